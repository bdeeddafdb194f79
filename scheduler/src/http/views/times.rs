//! When servers would be rebooted, as a plan shows it.

use drover_policies::conduct::TimeOf;
use drover_policies::ids::{HostName, ServerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::SlotView;
use super::maintenances::PlanView;

/// When a server would be rebooted, or why there is no time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimeView {
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// The host that it leaves.
    #[schema(value_type = String)]
    pub from: HostName,
    /// When, if there is a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotView>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The least that would have to change for there to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_help: Option<String>,
}

impl From<TimeOf> for TimeView {
    fn from(of: TimeOf) -> Self {
        let TimeOf { server, name, from, time } = of;
        let (slot, none) = match time {
            Ok(slot) => (Some(slot.into()), None),
            Err(none) => (None, Some(none)),
        };
        let (why, would_help) = none.map(|none| (none.why, none.would_help)).unzip();
        Self { server, name, from, slot, why, would_help }
    }
}

impl TimeView {
    fn line(&self) -> String {
        let Self { name, from, .. } = self;
        match (&self.slot, &self.why, &self.would_help) {
            (Some(slot), ..) => {
                let write = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
                format!(
                    "{name} of {from} would be rebooted between {} and {}",
                    write(slot.start),
                    write(slot.end)
                )
            }
            (None, why, help) => format!(
                "{name} of {from} has no time: {}; {}",
                why.as_deref().unwrap_or_default(),
                help.as_deref().unwrap_or_default()
            ),
        }
    }
}

impl PlanView {
    /// With the times at which servers would be rebooted.
    #[must_use]
    pub fn at_times(mut self, times: Vec<TimeOf>) -> Self {
        self.times = times.into_iter().map(TimeView::from).collect();
        self.remarks.extend(self.times.iter().filter(|time| time.slot.is_none()).map(TimeView::line));
        self.text.extend(self.times.iter().map(|time| time.line() + "\n"));
        self
    }
}
