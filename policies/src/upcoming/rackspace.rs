//! Rackspace told a server's reboot in the server's own metadata.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::ScheduledEvent;
use crate::attempt::Method;

/// The key; there only while a time is known.
pub const REBOOT_WINDOW: &str = "rax:reboot_window";

/// Ours: marks the window of a drill.
pub const DRILL: &str = "drover:drill";

/// What `GET /v2/{account}/servers/{id}/metadata` answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Names and values.
    pub metadata: BTreeMap<String, String>,
}

impl Metadata {
    /// Of all events of one server: the window of the first that restarts it.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a ScheduledEvent>) -> Self {
        let first = events
            .into_iter()
            .filter(|event| event.method == Method::Reboot && event.state.is_active())
            .filter_map(|event| Some((event.not_before?, event.not_after?, event.drill)))
            .min();
        let mut metadata = BTreeMap::new();
        if let Some((start, end, drill)) = first {
            let [start, end] = [start, end].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
            metadata.insert(REBOOT_WINDOW.to_owned(), format!("{start};{end}"));
            if drill {
                metadata.insert(DRILL.to_owned(), "true".to_owned());
            }
        }
        Self { metadata }
    }
}
