//! Moving one server off one host.
//!
//! ```text
//!            ┌─────────────────────── back-off, elsewhere ───────────────────────┐
//!            ▼                                                                   │
//! pending ──────▶ preflight ──▶ transferring ──▶ verifying ──▶ succeeded         │   (live)
//!    │                └───────────────┴── stayed at its source ─────────────────┤
//!    │                                        │ live failed for good            │
//!    │   ┌────────────────────────────────────┘                                 │
//!    ▼   ▼                                                                       │
//! (preparing ─▶) ready ─▶ cutting_over ──▶ verifying ──▶ completed ── confirmed, or time over ──▶ discarding ──▶ closed   (reboot)
//!    ▲                  │                         ▲   │
//!    └── rolled_back ◀──┘ stayed at its source    │   └─ revert ─▶ reverting ── it is back ──▶ discarding ──▶ reverted
//!                                                 └──────────────────┘ the revert was given up
//!
//! pending, ready, rolled_back ──▶ cancelled | avoided        any that acts ──▶ failed ── retry ──▶ pending
//! ```
//!
//! A revert is a migration of its own, the other way; the one that it reverts waits for its end. Both are about one ticket.
//!
//! A drill goes `pending ─▶ ready ─▶ rehearsing ─▶ rehearsed` by the clock alone, and touches nothing.
//!
//! A migration that is not over holds its place at the destination: that *is* the reservation, there is no second record of it.

mod state;
mod wishes;

use serde::{Deserialize, Serialize};

use crate::appointment::Appointment;
use crate::attempt::{Failure, LeftOff, Method, Moved, Phase, PhaseDone};
use crate::blueprint::{Blueprint, Shaped};
use crate::checks::Validation;
use crate::eligibility::WhyNotLive;
use crate::ids::{HostName, MaintenanceId, MigrationId, OperationId, OwnerId, ServerId, TicketId};
use crate::notices::{Actor, Cause, Disks, TicketSummary, Wisher};
use crate::placement::Reservation;
use crate::time::{Instant, Span};
use crate::windows::Slot;

pub use state::{Confirmation, Ends, FailedBecause, State, Waiting};
pub use wishes::{Confirmed, Forced, Refusal, Revertible};

/// Moving one server off one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    /// Its id.
    pub id: MigrationId,
    /// A short number for people; its ticket is `DR-` and this number.
    pub number: u32,
    /// The maintenance that it belongs to; nothing when the owner asked for it himself.
    pub maintenance: Option<MaintenanceId>,
    /// Whether the server is to be moved, or only everybody's handling of it is tried.
    #[serde(default)]
    pub purpose: Purpose,
    /// Why it is done, in the operator's words.
    pub reason: String,
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whom it belongs to; nothing when nobody is known, and then operators stand in.
    pub owner: Option<OwnerId>,
    /// The host that it leaves.
    pub from: HostName,
    /// The place held for it.
    pub place: Option<Reservation>,
    /// Why there, for people.
    pub place_why: String,
    /// Live or reboot.
    pub method: Method,
    /// Why it isn't moved live, if it isn't.
    pub why_not_live: Option<WhyNotLive>,
    /// Where in its life it is.
    pub state: State,
    /// Every try, the running one last.
    pub attempts: Vec<Attempt>,
    /// The time agreed with the owner.
    pub appointment: Appointment,
    /// Since when that time is proposed or chosen; reminders count from there.
    #[serde(default)]
    pub agreed_at: Option<Instant>,
    /// Times that its owner has declined, or frozen after they were proposed: they are not proposed again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<Slot>,
    /// The thread with the owner, once there is one.
    pub ticket: Option<TicketId>,
    /// The hard deadline.
    pub deadline: Instant,
    /// Since when it is wanted.
    pub opened_at: Instant,
    /// What the server was looked at for, before and after.
    #[serde(default, skip_serializing_if = "Validation::is_empty")]
    pub validation: Validation,
    /// Set once a try has left the server off at its source, and how it was before: the next one brings it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_off: Option<LeftOff>,
    /// What it changes about the server besides its host: as of the last look until it is ordered, and then as ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shaped: Option<Shaped>,
}

/// What a migration is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Purpose {
    /// The server is to leave its host.
    #[default]
    Move,
    /// Somebody asked for it without a maintenance. One that comes later and needs it as well adopts it.
    Asked {
        /// The wish.
        asked: Asked,
    },
    /// The server is to go back to where it was before another migration.
    Revert {
        /// That migration.
        of: Link,
        /// The wish.
        asked: Asked,
        /// Whether what the server has written to its local disks since is given up.
        #[serde(default, skip_serializing_if = "Loss::is_none")]
        loss: Loss,
    },
    /// A drill: its owner is told and asked as for a move, and the server is never touched.
    Drill {
        /// For how long the server pretends to be off.
        duration: Span,
        /// Who wanted it.
        by: Actor,
    },
}

/// Whether a revert may lose what a server has written to its local disks since it was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// It may not: that is copied back before the server goes back.
    #[default]
    None,
    /// It may, as whoever asked for the revert has said: the server goes back to its old disks as they were when it left them.
    Accepted,
}

impl Loss {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What somebody asked for, as he did: what a maintenance that adopts it puts in its place is given back when that is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub by: Actor,
    /// Why, in his words.
    pub reason: String,
    /// When it is given up, if it can't be done before.
    pub deadline: Instant,
}

/// Another migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which.
    pub migration: MigrationId,
    /// Its number.
    pub number: u32,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The order to the source's agent.
    pub operation: OperationId,
    /// Live or reboot.
    pub method: Method,
    /// Where to.
    pub to: HostName,
    /// When it was ordered.
    pub began_at: Instant,
    /// Most bytes per second, where it was given a share of what it has in common with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// How it ended, once it has.
    pub end: Option<AttemptEnd>,
    /// Of a cutover: the phases that are over, as far as its agent has told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseDone>,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// When the scheduler knew.
    pub at: Instant,
    /// Why it failed; nothing when it did not.
    pub failure: Option<Failure>,
}

impl Migration {
    /// Whether the server may still have to leave its host by it; of a drill, whether that is still pretended. One that failed is open: the
    /// server is still there, or needs a person.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.state {
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Rehearsing { .. }
            | State::RolledBack { .. } => true,
            State::Failed { why, .. } => match why {
                FailedBecause::Aborted
                | FailedBecause::AttemptsUsedUp { .. }
                | FailedBecause::LeftOff { .. } => true,
                FailedBecause::NotSeenAlive { .. } | FailedBecause::ChecksFailed { .. } => false,
            },
            State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => false,
        }
    }

    /// Whether an agent moves the server right now, so that limits count it.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        match self.state {
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. } => true,
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => false,
        }
    }

    /// Whether nothing is left to be done for it, now or later.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            State::Succeeded { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => true,
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Completed { .. }
            | State::Reverting { .. }
            | State::Discarding { .. }
            | State::Rehearsing { .. }
            | State::RolledBack { .. }
            | State::Failed { .. } => false,
        }
    }

    /// Whether it only pretends.
    #[must_use]
    pub fn is_drill(&self) -> bool {
        match self.purpose {
            Purpose::Drill { .. } => true,
            Purpose::Move | Purpose::Asked { .. } | Purpose::Revert { .. } => false,
        }
    }

    /// Whether it was ordered ahead of its time, and has not begun.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        matches!(self.state, State::CuttingOver { phase: Phase::Armed, .. })
    }

    /// When the try began that runs now, or that was the last one of what is over; nothing while it waits.
    #[must_use]
    pub fn began_at(&self) -> Option<Instant> {
        match self.state {
            State::CuttingOver { phase: Phase::Armed, .. } => None,
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Reverting { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Failed { .. } => self.attempts.last().map(|attempt| attempt.began_at),
            State::Rehearsing { began_at, .. } | State::Rehearsed { began_at, .. } => Some(began_at),
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::RolledBack { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => None,
        }
    }

    /// When it came to its end, for its owner: what is kept at the source after that is no concern of his.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        match self.state {
            State::Succeeded { at, .. }
            | State::Completed { at, .. }
            | State::Failed { at, .. }
            | State::Rehearsed { at, .. }
            | State::Cancelled { at }
            | State::Avoided { at, .. } => Some(at),
            State::Reverting { completed_at, .. }
            | State::Discarding { completed_at, .. }
            | State::Closed { completed_at, .. }
            | State::Reverted { completed_at, .. } => Some(completed_at),
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Rehearsing { .. }
            | State::RolledBack { .. } => None,
        }
    }

    /// The host that holds a place for it.
    #[must_use]
    pub fn to(&self) -> Option<&HostName> {
        self.place.as_ref().map(|place| &place.host)
    }

    /// What moved, once it has.
    #[must_use]
    pub fn moved(&self) -> Option<&Moved> {
        match &self.state {
            State::Verifying { moved, .. }
            | State::Succeeded { moved, .. }
            | State::Completed { moved, .. }
            | State::Reverting { moved, .. }
            | State::Discarding { moved, .. }
            | State::Closed { moved, .. }
            | State::Reverted { moved, .. }
            | State::Failed {
                why: FailedBecause::NotSeenAlive { moved, .. } | FailedBecause::ChecksFailed { moved, .. },
                ..
            } => Some(moved),
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => None,
        }
    }

    /// How many tries of a method have ended in a failure that was not a wish.
    #[must_use]
    pub fn failed_attempts(&self, method: Method) -> u32 {
        let count = self
            .attempts
            .iter()
            .filter(|attempt| attempt.method == method)
            .filter_map(|attempt| attempt.end.as_ref()?.failure.as_ref())
            .filter(|failure| failure.class != crate::attempt::FailureClass::Aborted)
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What messages to the owner say of it; nothing when it has no ticket.
    #[must_use]
    pub fn ticket_summary(&self) -> Option<TicketSummary> {
        Some(TicketSummary {
            id: self.ticket?,
            number: self.ticket_number(),
            migration: self.id,
            server: self.server,
            server_name: self.server_name.clone(),
            owner: self.owner.clone().unwrap_or_else(operators),
            reason: self.reason.clone(),
            why_not_live: self.why_not_live.as_ref().map(WhyNotLive::for_owner).unwrap_or_default(),
            deadline: self.deadline,
            cause: self.cause(),
            disks: self.disks(),
            blueprint: self.blueprint().cloned().unwrap_or_default(),
        })
    }

    /// Whether some of its disks are its host's alone, by what holds its place, or else by what the move took or its reason was.
    fn disks(&self) -> Disks {
        let held = self.place.as_ref().is_some_and(|place| !place.disks.is_empty());
        let copied = self.moved().is_some_and(|moved| moved.tail.is_some());
        let because = matches!(self.why_not_live, Some(WhyNotLive::LocalDisks { .. }));
        if held || copied || because { Disks::Local } else { Disks::Shared }
    }

    /// Whether disks of its server stay at the host that it leaves.
    #[must_use]
    pub fn leaves_disks(&self) -> bool {
        self.place.as_ref().is_some_and(|place| !place.disks.is_empty())
    }

    /// What the server is to look like at its destination; nothing where it stays as it is.
    #[must_use]
    pub fn blueprint(&self) -> Option<&Blueprint> {
        self.shaped.as_ref().map(|shaped| &shaped.blueprint)
    }

    /// The ticket's number for people. A revert goes on in the ticket of what it reverts.
    #[must_use]
    pub fn ticket_number(&self) -> String {
        format!("DR-{}", self.reverts().map_or(self.number, |of| of.number))
    }

    /// What was asked for, if somebody asked for it without a maintenance.
    #[must_use]
    pub fn asked(&self) -> Option<&Asked> {
        match &self.purpose {
            Purpose::Asked { asked } | Purpose::Revert { asked, .. } => Some(asked),
            Purpose::Move | Purpose::Drill { .. } => None,
        }
    }

    /// What it reverts, if it reverts something.
    #[must_use]
    pub fn reverts(&self) -> Option<Link> {
        match self.purpose {
            Purpose::Revert { of, .. } => Some(of),
            Purpose::Move | Purpose::Asked { .. } | Purpose::Drill { .. } => None,
        }
    }

    /// Who has accepted that what the server has written since is lost, if it goes back that way. Where a maintenance takes the revert over
    /// and moves the server to another host, nothing is.
    #[must_use]
    pub fn loss_accepted_by(&self) -> Option<&Actor> {
        match &self.purpose {
            Purpose::Revert { asked, loss: Loss::Accepted, .. } => Some(&asked.by),
            Purpose::Revert { loss: Loss::None, .. }
            | Purpose::Move
            | Purpose::Asked { .. }
            | Purpose::Drill { .. } => None,
        }
    }

    /// By what it has been reverted, or is being reverted.
    #[must_use]
    pub fn reverted_by(&self) -> Option<Link> {
        match self.state {
            State::Reverting { by, .. }
            | State::Reverted { by, .. }
            | State::Discarding { then: Ends::Reverted { by }, .. } => Some(by),
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { then: Ends::Closed, .. }
            | State::Closed { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => None,
        }
    }

    /// As another one names it.
    #[must_use]
    pub fn link(&self) -> Link {
        Link { migration: self.id, number: self.number }
    }

    /// Why it is done, as its owner has to know it: what he asked for himself he may take back, until a maintenance needs it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match (&self.purpose, self.maintenance) {
            (Purpose::Asked { asked }, None) => Cause::Asked { by: Wisher::of(&asked.by) },
            (Purpose::Revert { asked, loss, .. }, None) => {
                Cause::Revert { by: Wisher::of(&asked.by), loss: *loss }
            }
            (Purpose::Drill { .. }, _) => Cause::Drill,
            (Purpose::Move, _) | (Purpose::Asked { .. } | Purpose::Revert { .. }, Some(_)) => {
                Cause::Maintenance
            }
        }
    }
}

/// Who stands in where a server has no owner.
#[must_use]
pub fn operators() -> OwnerId {
    OwnerId::new("operators").expect("a fixed, valid name")
}
