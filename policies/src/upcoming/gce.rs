//! Google Compute Engine: what an instance's metadata server tells of maintenance.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{Category, EventState, ScheduledEvent};
use crate::attempt::Method;
use crate::time::{Instant, Span};

/// How long before its beginning `maintenance-event` tells of one.
pub const TOLD_BEFORE: Span = Span::seconds(60);

/// What `instance/maintenance-event` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceEvent {
    /// Nothing goes on, and nothing begins within a minute.
    None,
    /// The server is moved while it runs.
    Migrate,
    /// The server is restarted elsewhere.
    Terminate,
}

impl MaintenanceEvent {
    /// As it is answered.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Migrate => "MIGRATE_ON_HOST_MAINTENANCE",
            Self::Terminate => "TERMINATE_ON_HOST_MAINTENANCE",
        }
    }

    /// Of all events of one server.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a ScheduledEvent>, now: Instant) -> Self {
        let near = |event: &&ScheduledEvent| match event.state {
            EventState::Starting | EventState::Running | EventState::Verifying => true,
            EventState::Pending | EventState::Notified | EventState::Scheduled => {
                event.not_before.is_some_and(|start| start - now <= TOLD_BEFORE.delta())
            }
            EventState::Completed | EventState::Failed | EventState::Canceled | EventState::Avoided => false,
        };
        events.into_iter().find(near).map_or(Self::None, |event| match event.method {
            Method::Live => Self::Migrate,
            Method::Reboot => Self::Terminate,
        })
    }
}

/// What `instance/upcoming-maintenance?alt=json` answers. Booleans are text there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpcomingMaintenance {
    /// `true` or `false`.
    pub can_reschedule: String,
    /// The latest time at which it may begin.
    pub latest_window_start_time: String,
    /// Why.
    pub maintenance_reasons: Vec<String>,
    /// Whether it has begun.
    pub maintenance_status: Status,
    /// Whether it was announced.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// It begins no earlier.
    pub window_start_time: String,
    /// It is over by then.
    pub window_end_time: String,
    /// Ours: `true` in a drill, for nothing else in this form could say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
}

/// Whether it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Not yet.
    Pending,
    /// It has.
    Ongoing,
}

/// Whether it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// With notice.
    Scheduled,
    /// Without.
    Unscheduled,
    /// Both, of several.
    Multiple,
}

impl UpcomingMaintenance {
    /// The event as the metadata tells it; nothing when it is over, or no time is known for it.
    #[must_use]
    pub fn of(event: &ScheduledEvent) -> Option<Self> {
        let not_before = event.not_before.filter(|_| event.state.is_active())?;
        let length = Span::seconds(event.est_duration_s).delta();
        Some(Self {
            can_reschedule: event.can_reschedule.to_string(),
            latest_window_start_time: seconds((event.hard_deadline - length).max(not_before)),
            maintenance_reasons: vec![reason(event.category).to_owned()],
            maintenance_status: if event.state.is_under_way() { Status::Ongoing } else { Status::Pending },
            kind: match event.category {
                Category::Planned | Category::Requested => Kind::Scheduled,
                Category::Emergency => Kind::Unscheduled,
            },
            window_start_time: seconds(not_before),
            window_end_time: seconds(event.not_after.unwrap_or(not_before + length)),
            drill: event.drill.then(|| "true".to_owned()),
        })
    }

    /// The first of one server's.
    #[must_use]
    pub fn first<'a>(events: impl IntoIterator<Item = &'a ScheduledEvent>) -> Option<Self> {
        events
            .into_iter()
            .filter_map(|event| Some((event.not_before, Self::of(event)?)))
            .min_by_key(|(at, _)| *at)
            .map(|(_, first)| first)
    }
}

/// An operator's reason is free text, and an emergency's hardware is not an owner's to know: so no finer word is chosen.
fn reason(category: Category) -> &'static str {
    match category {
        Category::Planned | Category::Requested => "PLANNED_UPDATE",
        Category::Emergency => "MAINTENANCE_REASON_UNKNOWN",
    }
}

/// `2025-02-20T02:00:00Z`
fn seconds(moment: Instant) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
