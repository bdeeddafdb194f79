//! One maintenance event of one server, as its owner's tools read it.
//!
//! Clouds tell the same fact in different words. Here it is written once, as [`ScheduledEvent`], and each of their forms is made from that:
//! [`aws`], [`azure`], [`gce`], [`linode`], [`oci`], [`rackspace`]. None of the forms decides anything.
//!
//! ```text
//! pending ─▶ notified ─▶ scheduled ─▶ starting ─▶ running ─▶ verifying ─▶ completed
//!    ▲           │            │            │           │           │
//!    └───────────┴── the time passed, or it was rolled back ◀──────┘       failed · canceled · avoided
//! ```
//!
//! No host is named in here: from a host's name an owner could infer who else is on it.

pub mod aws;
pub mod azure;
pub mod gce;
pub mod linode;
pub mod oci;
pub mod rackspace;

#[cfg(test)]
mod tests;

use std::fmt;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::appointment::Appointment;
use crate::attempt::{Method, Phase};
use crate::blueprint::Boot;
use crate::eligibility::WhyNotLive;
use crate::estimate::Estimate;
use crate::ids::{MigrationId, OwnerId, ServerId, WindowId};
use crate::maintenance::Urgency;
use crate::migration::{Migration, Purpose, State};
use crate::notices::Actor;
use crate::owners::{Opens, OwnerWindow, Whose};
use crate::policy::OwnerPolicy;
use crate::time::{Instant, Span};
use crate::windows::Slot;

/// One maintenance event of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduledEvent {
    /// The migration's id.
    pub id: MigrationId,
    /// For people: `DR-1042`.
    pub number: String,
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whose it is; nothing when nobody is known.
    pub owner: Option<OwnerId>,
    /// Whether it only pretends.
    pub drill: bool,
    /// Live or reboot.
    pub method: Method,
    /// How binding it is.
    pub category: Category,
    /// A stable word for why it is done by this method: that of [`WhyNotLive::code`], or `live`.
    pub reason_code: String,
    /// Why it is done at all, for people.
    pub reason_text: String,
    /// Where in its life it is.
    pub state: EventState,
    /// It begins no earlier; nothing while no time is known.
    pub not_before: Option<Instant>,
    /// It is over by then.
    pub not_after: Option<Instant>,
    /// The latest moment at which the server must have left its host.
    pub hard_deadline: Instant,
    /// Whether its owner may choose another time now.
    pub can_reschedule: bool,
    /// Whether its owner may start it now.
    pub can_start_now: bool,
    /// The owner's window that its time lies in, if it lies in one.
    pub window_id: Option<WindowId>,
    /// In which its owner reads times.
    pub tz: Tz,
    /// Whether it is booted when it has been moved.
    pub boot: Boot,
    /// How long the server will stand still or be off, nine times in ten at most, in whole seconds; until it could be booted, where it is
    /// left off.
    pub est_downtime_s: u64,
    /// From the first act to the server's running at the destination, in whole seconds.
    pub est_duration_s: u64,
    /// Until when a place is held for it; nothing while none is.
    pub dest_reserved_until: Option<Instant>,
    /// Who wanted it.
    pub source: Source,
    /// Who agreed to the time, chose it, or said: now.
    pub ack_by: Option<Actor>,
    /// When; known where a time was chosen or it was started by hand.
    pub ack_at: Option<Instant>,
    /// Since when it is wanted.
    pub created_at: Instant,
    /// When it began.
    pub started_at: Option<Instant>,
    /// When it came to its end.
    pub finished_at: Option<Instant>,
    /// What its owner was told of it, oldest first; only where one event is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Told>,
}

/// How binding an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A maintenance, with notice.
    Planned,
    /// Without notice: the host is in danger.
    Emergency,
    /// Wished for without a maintenance.
    Requested,
}

/// Where in its life an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Wanted, and no time is known yet.
    Pending,
    /// A time was proposed to the owner.
    Notified,
    /// The time is agreed.
    Scheduled,
    /// It is about to begin.
    Starting,
    /// The server is being moved.
    Running,
    /// It was moved, and is looked at.
    Verifying,
    /// Done.
    Completed,
    /// It needs a person.
    Failed,
    /// Given up.
    Canceled,
    /// Resolved without us.
    Avoided,
}

/// Who wanted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Whoever runs the hosts.
    Platform,
    /// The server's owner.
    User,
}

/// One thing that an owner was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// Which kind of message: `proposed`, `reminder`, `started` …
    pub what: String,
}

/// All that an event is worked out from.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The migration.
    pub migration: &'a Migration,
    /// Of its maintenance; normal where it has none.
    pub urgency: &'a Urgency,
    /// How long it is expected to take.
    pub estimate: Estimate,
    /// What its owner may change.
    pub rules: &'a OwnerPolicy,
    /// The owner's window that its time lies in.
    pub window: Option<WindowId>,
    /// In which its owner reads times.
    pub timezone: Tz,
    /// The present.
    pub now: Instant,
}

impl EventState {
    /// Whether it lies ahead or goes on; what is over is history.
    #[must_use]
    pub fn is_active(self) -> bool {
        self.lies_ahead() || self.is_under_way()
    }

    /// Whether it has not begun.
    #[must_use]
    pub fn lies_ahead(self) -> bool {
        match self {
            Self::Pending | Self::Notified | Self::Scheduled | Self::Starting => true,
            Self::Running
            | Self::Verifying
            | Self::Completed
            | Self::Failed
            | Self::Canceled
            | Self::Avoided => false,
        }
    }

    /// Whether it has begun and is not over.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Running | Self::Verifying => true,
            Self::Pending
            | Self::Notified
            | Self::Scheduled
            | Self::Starting
            | Self::Completed
            | Self::Failed
            | Self::Canceled
            | Self::Avoided => false,
        }
    }

    fn of(migration: &Migration) -> Self {
        match &migration.state {
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { phase: Phase::Armed, .. } => match &migration.appointment {
                Appointment::Unscheduled | Appointment::Running { .. } | Appointment::Done => Self::Pending,
                Appointment::Proposed { .. } => Self::Notified,
                Appointment::Accepted { .. } | Appointment::Rescheduled { .. } => Self::Scheduled,
                Appointment::StartNow { .. } | Appointment::Emergency { .. } => Self::Starting,
            },
            State::Preflight { .. } => Self::Starting,
            State::CuttingOver { phase, .. } => match phase {
                Phase::Preflight | Phase::Armed | Phase::FinalDelta => Self::Starting,
                Phase::Transferring
                | Phase::PowerOffSource
                | Phase::GuestFixes
                | Phase::Finalize
                | Phase::BootTarget
                | Phase::RollingBack
                | Phase::InDoubt => Self::Running,
                Phase::Verifying => Self::Verifying,
            },
            State::Transferring { .. } => Self::Running,
            State::Verifying { .. } => Self::Verifying,
            State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Reverting { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Rehearsed { .. } => Self::Completed,
            State::Rehearsing { .. } => Self::Running,
            State::RolledBack { .. } => Self::Pending,
            State::Failed { .. } => Self::Failed,
            State::Cancelled { .. } => Self::Canceled,
            State::Avoided { .. } => Self::Avoided,
        }
    }
}

impl fmt::Display for EventState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Notified => "notified",
            Self::Scheduled => "scheduled",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Avoided => "avoided",
        })
    }
}

impl ScheduledEvent {
    /// The event that a migration is to its owner.
    #[must_use]
    pub fn of(about: &About<'_>) -> Self {
        let migration = about.migration;
        let state = EventState::of(migration);
        let (not_before, not_after) = times(migration);
        let (ack_by, ack_at) = acknowledged(migration);
        let (downtime, duration) = match migration.purpose {
            Purpose::Drill { duration, .. } => (duration, duration),
            Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. } => {
                (about.estimate.downtime_p90, about.estimate.duration)
            }
        };
        Self {
            id: migration.id,
            number: migration.ticket_number(),
            server: migration.server,
            server_name: migration.server_name.clone(),
            owner: migration.owner.clone(),
            drill: migration.is_drill(),
            method: migration.method,
            category: category(about),
            reason_code: migration.why_not_live.as_ref().map_or("live", WhyNotLive::code).to_owned(),
            reason_text: migration.reason.clone(),
            state,
            not_before,
            not_after,
            hard_deadline: migration.deadline,
            can_reschedule: can_reschedule(about),
            can_start_now: match migration.method {
                Method::Live => false,
                Method::Reboot => migration.can_be_started().is_ok() && state != EventState::Starting,
            },
            window_id: about.window,
            tz: about.timezone,
            boot: match migration.method {
                Method::Live => Boot::Now,
                Method::Reboot => migration.blueprint().map_or(Boot::Now, |blueprint| blueprint.boot),
            },
            est_downtime_s: whole_seconds(downtime),
            est_duration_s: whole_seconds(duration.max(downtime)),
            dest_reserved_until: migration
                .place
                .as_ref()
                .filter(|_| migration.is_open())
                .map(|_| migration.deadline),
            source: source(migration),
            ack_by,
            ack_at,
            created_at: migration.opened_at,
            started_at: migration.began_at(),
            finished_at: migration.ended_at(),
            history: Vec::new(),
        }
    }

    /// How long the server is off; nothing where it is left off until somebody starts it.
    #[must_use]
    pub fn off_for_s(&self) -> Option<u64> {
        self.boot.is_now().then_some(self.est_downtime_s)
    }

    /// One sentence that says what will happen, for the forms that have room for text. A drill says so first.
    #[must_use]
    pub fn description(&self) -> String {
        let how = match self.method {
            Method::Live => "moved to another host while it runs",
            Method::Reboot if self.boot.is_now() => "moved to another host by a restart",
            Method::Reboot => {
                "powered off and moved to another host, where it is left off until you start it"
            }
        };
        let mark = if self.drill { "DRILL, nothing happens to the server: " } else { "" };
        format!("{mark}{} is {how} ({}): {}", self.server_name, self.number, self.reason_text)
    }
}

/// The window of an owner's in which a moment lies: of those that are nearest to the server, the first that is open then.
#[must_use]
pub fn window_at<'a>(
    windows: impl IntoIterator<Item = (WindowId, &'a OwnerWindow)>,
    whose: &Whose<'_>,
    moment: Instant,
) -> Option<WindowId> {
    let his = |window: &OwnerWindow| Some(&window.owner) == whose.owner;
    let holding: Vec<_> = windows
        .into_iter()
        .filter(|(_, window)| his(window))
        .filter_map(|(id, window)| Some((window.scope.nearness(whose)?, id, window)))
        .collect();
    let nearest = holding.iter().map(|(nearness, ..)| *nearness).min()?;
    let instant = Slot { start: moment, end: moment + TimeDelta::microseconds(1) };
    holding
        .into_iter()
        .filter(|(nearness, ..)| *nearness == nearest)
        .find(|(_, _, window)| match &window.opens {
            Opens::Recurring { recurrence } => !recurrence.occurrences(instant.start, instant.end).is_empty(),
            Opens::Once { slot } => slot.contains(moment),
        })
        .map(|(_, id, _)| id)
}

fn times(migration: &Migration) -> (Option<Instant>, Option<Instant>) {
    if let Some(began_at) = migration.began_at() {
        let slot = migration.appointment.slot();
        // It may have been looked at before its time; it begins no earlier for all that.
        let start = slot.map_or(began_at, |slot| began_at.max(slot.start));
        return (Some(start), migration.ended_at().or(slot.map(|slot| slot.end)));
    }
    match &migration.appointment {
        Appointment::StartNow { at, .. } => (Some(*at), None),
        Appointment::Proposed { slot }
        | Appointment::Accepted { slot, .. }
        | Appointment::Rescheduled { slot, .. }
        | Appointment::Running { slot: Some(slot) } => (Some(slot.start), Some(slot.end)),
        Appointment::Unscheduled
        | Appointment::Emergency { .. }
        | Appointment::Running { slot: None }
        | Appointment::Done => (None, None),
    }
}

fn acknowledged(migration: &Migration) -> (Option<Actor>, Option<Instant>) {
    match &migration.appointment {
        Appointment::Accepted { by, .. } => (Some(by.clone()), None),
        Appointment::Rescheduled { by, .. } => (Some(by.clone()), migration.agreed_at),
        Appointment::StartNow { by, at } => (Some(by.clone()), Some(*at)),
        Appointment::Unscheduled
        | Appointment::Proposed { .. }
        | Appointment::Emergency { .. }
        | Appointment::Running { .. }
        | Appointment::Done => (None, None),
    }
}

fn category(about: &About<'_>) -> Category {
    let emergency = matches!(about.urgency, Urgency::Emergency { .. })
        || matches!(about.migration.appointment, Appointment::Emergency { .. });
    match &about.migration.purpose {
        // A drill pretends what it is an exercise for.
        Purpose::Drill { .. } => Category::Planned,
        Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. } if emergency => Category::Emergency,
        Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. }
            if about.migration.maintenance.is_none() =>
        {
            Category::Requested
        }
        Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. } => Category::Planned,
    }
}

fn source(migration: &Migration) -> Source {
    match (&migration.purpose, migration.maintenance) {
        (Purpose::Drill { by: Actor::Owner { .. }, .. }, _)
        | (Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. }, None) => Source::User,
        (Purpose::Drill { by: Actor::Operator { .. } | Actor::Drover, .. }, _)
        | (Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. }, Some(_)) => Source::Platform,
    }
}

fn can_reschedule(about: &About<'_>) -> bool {
    let migration = about.migration;
    if !matches!(migration.state, State::Preparing { .. } | State::Ready { .. }) {
        return false;
    }
    // Whether any time is left that could be chosen; whether the hosts have room then is asked with the time.
    let time_is_left = about.now + about.rules.reschedule_ahead.delta() < migration.deadline;
    let fixed = match &migration.appointment {
        Appointment::Unscheduled => false,
        Appointment::Proposed { slot }
        | Appointment::Accepted { slot, .. }
        | Appointment::Rescheduled { slot, .. } => slot.start - about.now <= about.rules.fixed_before.delta(),
        Appointment::StartNow { .. }
        | Appointment::Emergency { .. }
        | Appointment::Running { .. }
        | Appointment::Done => true,
    };
    time_is_left && !fixed
}

/// Never less than it takes.
fn whole_seconds(span: Span) -> u64 {
    span.as_milliseconds().div_ceil(1000)
}
