//! Azure's *Scheduled Events*, as its metadata service answers `GET /metadata/scheduledevents`.
//!
//! Azure knows no end: an event that is over is gone from the document. So does ours, but for one thing: a guest that was restarted
//! reads for a while that this is over, for it can't have seen it go ([`Event::for_guest`]).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EventState, ScheduledEvent, Source};
use crate::attempt::Method;
use crate::ids::MigrationId;
use crate::time::Instant;

/// Versions of the interface whose answer has this shape.
pub const API_VERSIONS: [&str; 3] = ["2019-08-01", "2020-07-01", "2021-06-01"];

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// Rises when the events change, and only then.
    pub document_incarnation: u64,
    /// What lies ahead or goes on.
    pub events: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// A uuid in capital letters.
    pub event_id: String,
    /// What happens to the resources.
    pub event_type: EventType,
    /// Always `VirtualMachine`.
    pub resource_type: String,
    /// Names of servers.
    pub resources: Vec<String>,
    /// Whether it has begun.
    pub event_status: EventStatus,
    /// It begins no earlier, as RFC 1123 writes it; empty once it has begun, and while no time is known.
    pub not_before: String,
    /// For people.
    pub description: String,
    /// Who wanted it.
    pub event_source: EventSource,
    /// How long the server is interrupted, in seconds; 0 for not at all, -1 for unknown.
    pub duration_in_seconds: i64,
}

/// What happens to the resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// They stand still for a moment: a live migration.
    Freeze,
    /// They are restarted where they are.
    Reboot,
    /// They are restarted on another host: a reboot migration.
    Redeploy,
    /// They are taken away.
    Preempt,
    /// They are deleted.
    Terminate,
}

/// Whether an event has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventStatus {
    /// Not yet.
    Scheduled,
    /// It has.
    Started,
    /// It is over. Not a word of Azure's; said to the guest itself alone, and only for a while.
    Completed,
}

/// Who wanted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventSource {
    /// Whoever runs the hosts.
    Platform,
    /// The owner.
    User,
}

/// What is posted to have events started before their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Approval {
    /// Which. Some clients send a `DocumentIncarnation` along, as the first version of the interface wanted; it decides nothing.
    pub start_requests: Vec<StartRequest>,
    /// See above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_incarnation: Option<u64>,
}

/// One event that may start now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StartRequest {
    /// Its id, in capital or small letters.
    pub event_id: Uuid,
}

impl StartRequest {
    /// The migration that it means.
    #[must_use]
    pub fn migration(&self) -> MigrationId {
        MigrationId(self.event_id)
    }
}

impl Event {
    /// The event as Azure tells it; nothing when it is over, or is a live migration that has not begun, for which no time is known.
    #[must_use]
    pub fn of(event: &ScheduledEvent) -> Option<Self> {
        let event_status = match event.state {
            EventState::Pending if event.not_before.is_none() => return None,
            EventState::Pending | EventState::Notified | EventState::Scheduled | EventState::Starting => {
                EventStatus::Scheduled
            }
            EventState::Running | EventState::Verifying => EventStatus::Started,
            EventState::Completed | EventState::Failed | EventState::Canceled | EventState::Avoided => {
                return None;
            }
        };
        Some(Self {
            event_id: event.id.to_string().to_uppercase(),
            event_type: match event.method {
                Method::Live => EventType::Freeze,
                Method::Reboot => EventType::Redeploy,
            },
            resource_type: "VirtualMachine".to_owned(),
            resources: vec![event.server_name.clone()],
            event_status,
            not_before: match event_status {
                EventStatus::Scheduled => event.not_before.map(rfc1123).unwrap_or_default(),
                EventStatus::Started | EventStatus::Completed => String::new(),
            },
            description: event.description(),
            event_source: match event.source {
                Source::Platform => EventSource::Platform,
                Source::User => EventSource::User,
            },
            duration_in_seconds: event
                .off_for_s()
                .and_then(|seconds| i64::try_from(seconds).ok())
                .unwrap_or(-1),
        })
    }

    /// The event as the server's own guest reads it: as [`Event::of`], and when it is done, that it is.
    #[must_use]
    pub fn for_guest(event: &ScheduledEvent) -> Option<Self> {
        if event.state != EventState::Completed {
            return Self::of(event);
        }
        let last_shown = ScheduledEvent { state: EventState::Verifying, ..event.clone() };
        Some(Self { event_status: EventStatus::Completed, ..Self::of(&last_shown)? })
    }
}

impl Document {
    /// No event, as long as nobody has ever seen one.
    #[must_use]
    pub fn empty() -> Self {
        Self { document_incarnation: 1, events: Vec::new() }
    }

    /// What `events` come to, as the successor of the document that was shown last: the same one, with the same incarnation, when the events
    /// are the same, and the next one otherwise. Events stand in the order of their ids, so that the order in which they were read is no change.
    #[must_use]
    pub fn after<'a>(last: Option<&Self>, events: impl IntoIterator<Item = &'a ScheduledEvent>) -> Self {
        Self::succeeding(last, events.into_iter().filter_map(Event::of).collect())
    }

    /// As [`Document::after`], of events in this form.
    #[must_use]
    pub fn succeeding(last: Option<&Self>, mut events: Vec<Event>) -> Self {
        events.sort_by(|a, b| a.event_id.cmp(&b.event_id));
        match last {
            Some(last) if last.events == events => last.clone(),
            Some(last) => Self { document_incarnation: last.document_incarnation + 1, events },
            None => Self { events, ..Self::empty() },
        }
    }
}

/// A moment as HTTP writes it: `Mon, 19 Sep 2016 18:29:47 GMT`. What begins later within its second is told as that second: a client that waits until
/// then waits no longer than it must.
#[must_use]
pub fn rfc1123(moment: Instant) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
