//! Oracle's `InstanceMaintenanceEvent`.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{Category, EventState, ScheduledEvent, Source};
use crate::attempt::Method;
use crate::time::{Instant, Span};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceMaintenanceEvent {
    /// Its id.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// The server.
    pub instance_id: String,
    /// The account.
    pub compartment_id: String,
    /// How binding it is.
    pub maintenance_category: MaintenanceCategory,
    /// Why.
    pub maintenance_reason: String,
    /// What is done.
    pub instance_action: InstanceAction,
    /// What else would resolve it.
    pub alternative_resolution_actions: Vec<InstanceAction>,
    /// It begins no earlier.
    pub time_window_start: Option<String>,
    /// Within how long of that it begins, as ISO 8601 writes a length of time.
    pub start_window_duration: Option<String>,
    /// How long it is expected to take, likewise.
    pub estimated_duration: String,
    /// The hard deadline.
    pub time_hard_due_date: String,
    /// Whether another time may be chosen.
    pub can_reschedule: bool,
    /// Where in its life it is.
    pub lifecycle_state: LifecycleState,
    /// The same, more finely.
    pub lifecycle_details: String,
    /// Who wanted it.
    pub created_by: CreatedBy,
    /// What belongs together has the same.
    pub correlation_token: String,
    /// Always false: nothing of a server's is deleted.
    pub can_delete_local_storage: bool,
    /// Anything else.
    pub additional_details: std::collections::BTreeMap<String, String>,
    /// Since when it is wanted.
    pub time_created: String,
    /// When it began.
    pub time_started: Option<String>,
    /// When it came to its end.
    pub time_finished: Option<String>,
}

/// How binding an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MaintenanceCategory {
    /// Without notice.
    Emergency,
    /// At the latest at its deadline.
    Mandatory,
    /// The time may be chosen freely.
    Flexible,
    /// It need not be.
    Optional,
    /// It is only told.
    Notification,
}

/// What is done with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceAction {
    /// A reboot migration.
    RebootMigration,
    /// Taken away.
    Terminate,
    /// Stopped.
    Stop,
    /// Nothing that its owner would notice.
    None,
}

/// Where in its life an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleState {
    /// It lies ahead.
    Scheduled,
    /// It has begun.
    Started,
    /// It goes on.
    Processing,
    /// Done.
    Succeeded,
    /// It failed.
    Failed,
    /// It does not happen.
    Canceled,
}

/// Who wanted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CreatedBy {
    /// The owner.
    Customer,
    /// Whoever runs the hosts.
    System,
}

impl From<&ScheduledEvent> for InstanceMaintenanceEvent {
    fn from(event: &ScheduledEvent) -> Self {
        let mark = if event.drill { "[DRILL] " } else { "" };
        let window = event.not_before.zip(event.not_after).map(|(start, end)| Span::between(start, end));
        let action = match event.method {
            Method::Live => InstanceAction::None,
            Method::Reboot => InstanceAction::RebootMigration,
        };
        let extra = [("number", event.number.clone()), ("drill", event.drill.to_string())];
        Self {
            id: event.id.to_string(),
            display_name: format!("{mark}{}", event.number),
            instance_id: event.server.to_string(),
            compartment_id: event.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            maintenance_category: match event.category {
                Category::Planned => MaintenanceCategory::Mandatory,
                Category::Emergency => MaintenanceCategory::Emergency,
                Category::Requested => MaintenanceCategory::Optional,
            },
            // Of Oracle's six reasons only this one is true of every drain; the operator's own words stand in the details.
            maintenance_reason: "EVACUATION".to_owned(),
            instance_action: action,
            // A server that is off is moved without a window.
            alternative_resolution_actions: match event.method {
                Method::Live => Vec::new(),
                Method::Reboot => vec![InstanceAction::Stop],
            },
            time_window_start: event.not_before.map(seconds),
            start_window_duration: window.map(iso8601),
            estimated_duration: iso8601(Span::seconds(event.est_duration_s)),
            time_hard_due_date: seconds(event.hard_deadline),
            can_reschedule: event.can_reschedule,
            lifecycle_state: match event.state {
                EventState::Pending | EventState::Notified | EventState::Scheduled => {
                    LifecycleState::Scheduled
                }
                EventState::Starting => LifecycleState::Started,
                EventState::Running | EventState::Verifying => LifecycleState::Processing,
                EventState::Completed => LifecycleState::Succeeded,
                EventState::Failed => LifecycleState::Failed,
                EventState::Canceled | EventState::Avoided => LifecycleState::Canceled,
            },
            lifecycle_details: format!("{}: {}", event.state, event.description()),
            created_by: match event.source {
                Source::User => CreatedBy::Customer,
                Source::Platform => CreatedBy::System,
            },
            correlation_token: event.id.to_string(),
            can_delete_local_storage: false,
            additional_details: extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            time_created: seconds(event.created_at),
            time_started: event.started_at.map(seconds),
            time_finished: event.finished_at.map(seconds),
        }
    }
}

fn seconds(moment: Instant) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `PT10M`, `PT1H30M`, `PT45S`
fn iso8601(span: Span) -> String {
    let seconds = span.0.as_secs();
    let part = |count: u64, unit: char| if count == 0 { String::new() } else { format!("{count}{unit}") };
    match seconds {
        0 => "PT0S".to_owned(),
        _ => format!(
            "PT{}{}{}",
            part(seconds / 3600, 'H'),
            part(seconds / 60 % 60, 'M'),
            part(seconds % 60, 'S')
        ),
    }
}
