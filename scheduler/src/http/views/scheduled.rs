//! Scheduled events as the API tells them.

use chrono::{DateTime, Utc};
use drover_policies::ids::OwnerId;
use drover_policies::time::Span;
use drover_policies::upcoming::{Category, ScheduledEvent, Source};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ActorView, Eyes};

/// One maintenance event of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduledEventView {
    /// The migration's id.
    pub id: Uuid,
    /// For people: `DR-1042`.
    pub number: String,
    /// The server.
    pub server: Uuid,
    /// Its name.
    pub server_name: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerId>,
    /// Whether it only pretends.
    pub drill: bool,
    /// `live` or `reboot`.
    pub method: String,
    /// `planned`, `emergency` or `requested`.
    pub category: String,
    /// A stable word for why it is done by this method; `live` for one that is.
    pub reason_code: String,
    /// Why it is done at all.
    pub reason_text: String,
    /// `pending`, `notified`, `scheduled`, `starting`, `running`, `verifying`, `completed`, `failed`, `canceled` or `avoided`.
    pub state: String,
    /// It begins no earlier; missing while no time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// It is over by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<DateTime<Utc>>,
    /// The latest moment at which the server must have left its host.
    pub hard_deadline: DateTime<Utc>,
    /// Whether its owner may choose another time now.
    pub can_reschedule: bool,
    /// Whether its owner may start it now.
    pub can_start_now: bool,
    /// The owner's window that its time lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_id: Option<Uuid>,
    /// The zone in which its owner reads times.
    pub tz: String,
    /// How long the server will stand still or be off, nine times in ten at most, in seconds.
    pub est_downtime_s: u64,
    /// How long it takes as a whole, in seconds.
    pub est_duration_s: u64,
    /// Until when a place is held for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_reserved_until: Option<DateTime<Utc>>,
    /// Who wanted it: `platform` or `user`.
    pub source: String,
    /// Who agreed to the time, chose it, or said: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_by: Option<ActorView>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_at: Option<DateTime<Utc>>,
    /// Since when it is wanted.
    pub created_at: DateTime<Utc>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// What its owner was told of it, oldest first; only where one event is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ToldView>,
}

/// One thing that an owner was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToldView {
    /// When.
    pub at: DateTime<Utc>,
    /// Which kind of message: `proposed`, `reminder`, `started` …
    pub what: String,
}

/// A drill that is wished for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillBody {
    /// Which server, by id or name.
    pub server: String,
    /// It begins in so long: `15m`. At most 30 days.
    #[schema(value_type = String)]
    pub starts_in: Span,
    /// For so long the server pretends to be off: `5m` unless said. 1 minute to 4 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub duration: Option<Span>,
    /// Why, for the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ScheduledEventView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(event: ScheduledEvent, eyes: Eyes) -> Self {
        Self {
            id: event.id.0,
            number: event.number,
            server: event.server.0,
            server_name: event.server_name,
            owner: event.owner,
            drill: event.drill,
            method: event.method.to_string(),
            category: match event.category {
                Category::Planned => "planned",
                Category::Emergency => "emergency",
                Category::Requested => "requested",
            }
            .to_owned(),
            reason_code: event.reason_code,
            reason_text: event.reason_text,
            state: event.state.to_string(),
            not_before: event.not_before,
            not_after: event.not_after,
            hard_deadline: event.hard_deadline,
            can_reschedule: event.can_reschedule,
            can_start_now: event.can_start_now,
            window_id: event.window_id.map(|window| window.0),
            tz: event.tz.name().to_owned(),
            est_downtime_s: event.est_downtime_s,
            est_duration_s: event.est_duration_s,
            dest_reserved_until: event.dest_reserved_until,
            source: match event.source {
                Source::Platform => "platform",
                Source::User => "user",
            }
            .to_owned(),
            ack_by: event.ack_by.map(|by| ActorView::of(&by, eyes)),
            ack_at: event.ack_at,
            created_at: event.created_at,
            started_at: event.started_at,
            finished_at: event.finished_at,
            history: event
                .history
                .into_iter()
                .map(|told| ToldView { at: told.at, what: told.what })
                .collect(),
        }
    }
}
