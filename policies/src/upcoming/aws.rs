//! AWS: the `Events` of `DescribeInstanceStatus`, the same as an instance's own metadata tells it, and event windows.
//!
//! Identifiers are made from ours: AWS's are a word and seventeen hexadecimal digits, which are the last ones of the uuid.

use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EventState, ScheduledEvent};
use crate::attempt::Method;
use crate::ids::{MigrationId, ServerId, WindowId};
use crate::owners::{Opens, OwnerWindow, Scope};
use crate::time::{Instant, Span};
use crate::windows::Recurrence;

/// An event in `Events` of `DescribeInstanceStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceEvent {
    /// `instance-event-` and seventeen digits.
    pub instance_event_id: String,
    /// What happens.
    pub code: Code,
    /// For people; `[Completed] ` or `[Canceled] ` stands before it when it is over.
    pub description: String,
    /// It begins no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// It is over by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// The latest time that may be chosen; left out when none may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_deadline: Option<String>,
}

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Restarted where it is.
    InstanceReboot,
    /// Restarted on another host: a reboot migration.
    SystemReboot,
    /// Touched without a restart: a live migration.
    SystemMaintenance,
    /// Taken away.
    InstanceRetirement,
    /// Stopped.
    InstanceStop,
}

/// The state of an instance, with its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceStatus {
    /// `i-` and seventeen digits.
    pub instance_id: String,
    /// What is known of it.
    pub instance_state: InstanceState,
    /// Its events.
    pub events: Vec<InstanceEvent>,
}

/// Whether an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceState {
    /// 16 for running, 80 for stopped.
    pub code: u16,
    /// The same in a word.
    pub name: String,
}

/// What `DescribeInstanceStatus` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceStatuses {
    /// One per instance.
    pub instance_statuses: Vec<InstanceStatus>,
}

/// An event as an instance's metadata tells it, under `events/maintenance/scheduled` and `events/maintenance/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetadataEvent {
    /// It begins no earlier, in a form of its own: `21 Jan 2019 09:00:43 GMT`.
    pub not_before: String,
    /// What happens.
    pub code: Code,
    /// For people.
    pub description: String,
    /// `instance-event-` and seventeen digits.
    pub event_id: String,
    /// It is over by then.
    pub not_after: String,
    /// Whether it is over.
    pub state: MetadataState,
}

/// Whether an event of the metadata is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataState {
    /// It lies ahead or goes on.
    Active,
    /// It is done.
    Completed,
    /// It does not happen.
    Canceled,
}

/// What `DescribeInstanceEventWindows` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventWindows {
    /// The account's windows.
    pub instance_event_windows: Vec<EventWindow>,
}

/// A standing window. `TimeZone` and `Duration` are ours: AWS knows UTC and whole hours only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventWindow {
    /// `iew-` and seventeen digits.
    pub instance_event_window_id: String,
    /// For people.
    pub name: String,
    /// When it opens, in cron's five fields; for windows that can't be told as [`time_ranges`](Self::time_ranges).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_expression: Option<String>,
    /// When it is open, for windows of whole hours that come every week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ranges: Option<Vec<TimeRange>>,
    /// For which servers.
    pub association_target: AssociationTarget,
    /// Always `active`: ours are in force as soon as they are stored.
    pub state: String,
    /// None of ours has any.
    pub tags: Vec<Tag>,
    /// In which the hours are meant; left out for UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How long it stays open, with [`cron_expression`](Self::cron_expression).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}

/// Whole hours of a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeRange {
    /// `sunday` to `saturday`.
    pub start_week_day: String,
    /// 0 to 23.
    pub start_hour: u32,
    /// `sunday` to `saturday`.
    pub end_week_day: String,
    /// 0 to 23.
    pub end_hour: u32,
}

/// For which servers a window holds. With none of anything it holds for the whole account, which AWS has no word for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssociationTarget {
    /// Servers.
    pub instance_ids: Vec<String>,
    /// Labels.
    pub tags: Vec<Tag>,
    /// Always empty: owners choose no hosts.
    pub dedicated_host_ids: Vec<String>,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

fn seventeen(id: Uuid) -> String {
    format!("{:017x}", id.as_u128() & ((1 << 68) - 1))
}

/// A server's id as AWS writes one.
#[must_use]
pub fn instance_id(server: ServerId) -> String {
    format!("i-{}", seventeen(server.0))
}

/// An event's id as AWS writes one.
#[must_use]
pub fn event_id(migration: MigrationId) -> String {
    format!("instance-event-{}", seventeen(migration.0))
}

fn code(method: Method) -> Code {
    match method {
        Method::Live => Code::SystemMaintenance,
        Method::Reboot => Code::SystemReboot,
    }
}

fn description(event: &ScheduledEvent) -> String {
    let mark = match metadata_state(event.state) {
        Some(MetadataState::Completed) => "[Completed] ",
        Some(MetadataState::Canceled) => "[Canceled] ",
        Some(MetadataState::Active) | None => "",
    };
    format!("{mark}{}", event.description())
}

/// Nothing for one that failed: AWS has no such state, and it needs an operator, not its owner.
fn metadata_state(state: EventState) -> Option<MetadataState> {
    match state {
        EventState::Pending
        | EventState::Notified
        | EventState::Scheduled
        | EventState::Starting
        | EventState::Running
        | EventState::Verifying => Some(MetadataState::Active),
        EventState::Completed => Some(MetadataState::Completed),
        EventState::Canceled | EventState::Avoided => Some(MetadataState::Canceled),
        EventState::Failed => None,
    }
}

impl InstanceEvent {
    /// The event as `DescribeInstanceStatus` tells it; nothing when no time is known for it, or it failed.
    #[must_use]
    pub fn of(event: &ScheduledEvent) -> Option<Self> {
        let state = metadata_state(event.state)?;
        if state == MetadataState::Active && event.not_before.is_none() {
            return None;
        }
        Some(Self {
            instance_event_id: event_id(event.id),
            code: code(event.method),
            description: description(event),
            not_before: event.not_before.map(milliseconds),
            not_after: event.not_after.map(milliseconds),
            not_before_deadline: event.can_reschedule.then(|| milliseconds(event.hard_deadline)),
        })
    }
}

impl MetadataEvent {
    /// The event as the metadata tells it; nothing when no time was ever known for it, or it failed.
    #[must_use]
    pub fn of(event: &ScheduledEvent) -> Option<Self> {
        let not_before = event.not_before?;
        Some(Self {
            not_before: day_first(not_before),
            code: code(event.method),
            description: description(event),
            event_id: event_id(event.id),
            // One that was started by hand has no end yet but the longest that it is expected to take.
            not_after: day_first(
                event.not_after.unwrap_or_else(|| not_before + Span::seconds(event.est_duration_s).delta()),
            ),
            state: metadata_state(event.state)?,
        })
    }
}

impl EventWindow {
    /// A standing window; nothing for one that opens once, which AWS does not know.
    #[must_use]
    pub fn of(id: WindowId, window: &OwnerWindow) -> Option<Self> {
        let recurrence = match &window.opens {
            Opens::Recurring { recurrence } => recurrence,
            Opens::Once { .. } => return None,
        };
        let time_ranges = weekly(recurrence);
        let told_as_cron = time_ranges.is_none();
        Some(Self {
            instance_event_window_id: format!("iew-{}", seventeen(id.0)),
            name: format!("{} for {}", recurrence.cron, recurrence.duration),
            cron_expression: told_as_cron.then(|| recurrence.cron.clone()),
            time_ranges,
            association_target: target(&window.scope),
            state: "active".to_owned(),
            tags: Vec::new(),
            time_zone: Some(recurrence.timezone)
                .filter(|timezone| *timezone != chrono_tz::UTC)
                .map(|timezone| timezone.name().to_owned()),
            duration: told_as_cron.then_some(recurrence.duration),
        })
    }
}

fn target(scope: &Scope) -> AssociationTarget {
    let mut target = AssociationTarget::default();
    match scope {
        Scope::Server { server } => target.instance_ids.push(instance_id(*server)),
        Scope::Label { name, value } => {
            target.tags.push(Tag { key: name.clone(), value: value.clone() });
        }
        Scope::Account => {}
    }
    target
}

/// The openings of one week by weekday and hour, when every week has the same and all are of whole hours.
fn weekly(recurrence: &Recurrence) -> Option<Vec<TimeRange>> {
    let every_week = match recurrence.cron.split_whitespace().collect::<Vec<_>>()[..] {
        [_, _, day_of_month, month, _] => day_of_month == "*" && month == "*",
        _ => false,
    };
    if !every_week || recurrence.duration > Span::days(7) {
        return None;
    }
    // A week without a change of clocks: what hours a zone's clocks show is what is asked for, not which moments those are.
    let plain = Recurrence { timezone: chrono_tz::UTC, ..recurrence.clone() };
    let monday = NaiveDate::from_ymd_opt(2024, 1, 1)?.and_hms_opt(0, 0, 0)?.and_utc();
    let sunday = monday.checked_add_days(Days::new(7))?;
    let openings: Vec<_> =
        plain.occurrences(monday, sunday).into_iter().filter(|slot| slot.start >= monday).collect();
    let whole =
        |moment: DateTime<Utc>| moment.minute() == 0 && moment.second() == 0 && moment.nanosecond() == 0;
    openings
        .iter()
        .map(|slot| {
            (whole(slot.start) && whole(slot.end)).then(|| TimeRange {
                start_week_day: week_day(slot.start),
                start_hour: slot.start.hour(),
                end_week_day: week_day(slot.end),
                end_hour: slot.end.hour(),
            })
        })
        .collect()
}

fn week_day(moment: Instant) -> String {
    match moment.weekday() {
        chrono::Weekday::Mon => "monday",
        chrono::Weekday::Tue => "tuesday",
        chrono::Weekday::Wed => "wednesday",
        chrono::Weekday::Thu => "thursday",
        chrono::Weekday::Fri => "friday",
        chrono::Weekday::Sat => "saturday",
        chrono::Weekday::Sun => "sunday",
    }
    .to_owned()
}

/// `2019-03-14T20:00:00.000Z`
fn milliseconds(moment: Instant) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `21 Jan 2019 09:00:43 GMT`
fn day_first(moment: Instant) -> String {
    moment.format("%d %b %Y %H:%M:%S GMT").to_string()
}
