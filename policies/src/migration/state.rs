//! Where in its life a migration is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Link;
use crate::attempt::{Failure, Moved, Phase};
use crate::eligibility::WhyBlocked;
use crate::ids::{HostName, OperationId};
use crate::ladder::LadderState;
use crate::notices::{Actor, Avoidance};
use crate::time::Instant;

/// Whether it has been said that a finished reboot migration may stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "confirmation", rename_all = "snake_case")]
pub enum Confirmation {
    /// Not yet: it can be confirmed and reverted.
    Awaited {
        /// Until then, as its owner was told; nothing where nobody was told, and then policy says.
        until: Option<Instant>,
    },
    /// It has, or the time for it is over.
    Given {
        /// By whom; by Drover when the time was over.
        by: Actor,
    },
}

impl Default for Confirmation {
    fn default() -> Self {
        Self::Awaited { until: None }
    }
}

/// What comes after the retained definition is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "ends", rename_all = "snake_case")]
pub enum Ends {
    /// The migration stays made.
    #[default]
    Closed,
    /// It has been reverted.
    Reverted {
        /// By this one.
        by: Link,
    },
}

/// Where in its life a migration is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not begun.
    Pending {
        /// For what it waits.
        waits_for: Waiting,
    },
    /// Both hosts are looked at; nothing is touched yet.
    Preflight {
        /// The order to the source's agent.
        operation: OperationId,
    },
    /// Memory is being sent.
    Transferring {
        /// The order to the source's agent.
        operation: OperationId,
        /// How far up the convergence ladder it is.
        ladder: LadderState,
    },
    /// Its local disks are being copied for a reboot migration; its time is agreed on meanwhile.
    Preparing {
        /// For what it waits.
        waits_for: Waiting,
    },
    /// Everything is prepared for a reboot migration; its time is awaited.
    Ready {
        /// For what it waits.
        waits_for: Waiting,
    },
    /// The server is taken from here to there.
    CuttingOver {
        /// The order to the source's agent.
        operation: OperationId,
        /// Where in it.
        phase: Phase,
    },
    /// It is at the destination, and being looked at there.
    Verifying {
        /// The order to the destination's agent.
        operation: OperationId,
        /// What the move cost.
        moved: Moved,
    },
    /// Moved live.
    Succeeded {
        /// When it was seen alive.
        at: Instant,
        /// What the move cost.
        moved: Moved,
    },
    /// Moved by a reboot; the source keeps the definition for a while.
    Completed {
        /// When it was seen alive.
        at: Instant,
        /// What the move cost.
        moved: Moved,
        /// Whether that is to stay so.
        #[serde(default)]
        confirmation: Confirmation,
    },
    /// Moved by a reboot, and on its way back, or waiting for the time of that.
    Reverting {
        /// By this migration.
        by: Link,
        /// When it was completed.
        completed_at: Instant,
        /// What the move cost.
        moved: Moved,
        /// Until when it can be confirmed, should the revert be given up.
        until: Instant,
    },
    /// The retained definition is being thrown away.
    Discarding {
        /// The order to the source's agent.
        operation: OperationId,
        /// When it was completed.
        completed_at: Instant,
        /// What the move cost.
        moved: Moved,
        /// What it is then.
        #[serde(default)]
        then: Ends,
    },
    /// Moved by a reboot, and nothing of it is left at the source.
    Closed {
        /// When it was completed.
        completed_at: Instant,
        /// What the move cost.
        moved: Moved,
    },
    /// Moved by a reboot, and back again.
    Reverted {
        /// By this migration.
        by: Link,
        /// When it was completed.
        completed_at: Instant,
        /// What the move cost.
        moved: Moved,
    },
    /// A drill: the server is said to be off, and runs where it is.
    Rehearsing {
        /// Since when.
        began_at: Instant,
        /// Until when.
        until: Instant,
    },
    /// A drill that came to its end.
    Rehearsed {
        /// When it was said to begin.
        began_at: Instant,
        /// When it ended.
        at: Instant,
    },
    /// A reboot migration failed, and the server runs at its source again. Another time is looked for.
    RolledBack {
        /// When.
        at: Instant,
        /// Why.
        failure: Failure,
    },
    /// It needs a person.
    Failed {
        /// When.
        at: Instant,
        /// Why.
        why: FailedBecause,
    },
    /// Given up with its maintenance.
    Cancelled {
        /// When.
        at: Instant,
    },
    /// It was resolved without us, or without a window.
    Avoided {
        /// When.
        at: Instant,
        /// By what.
        how: Avoidance,
    },
}

/// Why a migration needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum FailedBecause {
    /// An operator aborted it; the server is at its source.
    Aborted,
    /// Every try failed; the server is at its source.
    AttemptsUsedUp {
        /// The last failure.
        last: Failure,
    },
    /// It could not be brought up at its destination, and policy leaves it off at its source.
    LeftOff {
        /// The failure.
        last: Failure,
    },
    /// It has left its host, but was not seen alive at the destination.
    NotSeenAlive {
        /// What was seen instead.
        text: String,
        /// What the move cost.
        moved: Moved,
    },
    /// It was moved and is alive, but something that must pass has failed.
    ChecksFailed {
        /// What, in one line.
        text: String,
        /// What the move cost.
        moved: Moved,
    },
}

impl fmt::Display for FailedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("aborted by an operator; `drover migrations retry` goes on"),
            Self::AttemptsUsedUp { last } => {
                write!(f, "every try failed, last: {} ({})", last.class, last.text)
            }
            Self::LeftOff { last } => {
                write!(
                    f,
                    "not brought up at its destination, and left off at its source (replication.on_failure): {} ({}); `drover migrations retry` moves it now and starts it there, or start it where it is",
                    last.class, last.text
                )
            }
            Self::NotSeenAlive { text, .. } => {
                write!(f, "moved, but not seen alive at the destination: {text}")
            }
            Self::ChecksFailed { text, .. } => {
                write!(f, "moved and alive, and held until it is confirmed or reverted: {text}")
            }
        }
    }
}

/// For what a migration waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "waits_for", rename_all = "snake_case")]
pub enum Waiting {
    /// For nothing: it has just come about.
    Nothing,
    /// Others go first.
    Turn {
        /// Which limit is reached.
        limit: String,
    },
    /// Until it is tried again.
    BackOff {
        /// When.
        until: Instant,
    },
    /// A host with room.
    Place {
        /// Why none can take it.
        why: String,
    },
    /// Somebody must take something away.
    Blocked {
        /// What.
        why: WhyBlocked,
    },
    /// The time agreed with the owner.
    Owner {
        /// When it begins.
        until: Instant,
    },
    /// A time before the deadline.
    Slot {
        /// Why none can be found.
        why: String,
    },
    /// The copy of its local disks.
    Replica {
        /// What it lacks.
        why: String,
    },
    /// An agent that is silent.
    Agent {
        /// Its host.
        host: HostName,
    },
    /// The maintenance is paused.
    Paused,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Turn { limit } => write!(f, "its turn: {limit}"),
            Self::BackOff { until } => write!(f, "the next try at {}", until.format("%H:%M:%S UTC")),
            Self::Place { why } => write!(f, "a place: {why}"),
            Self::Blocked { why } => write!(f, "an operator: {why}"),
            Self::Owner { until } => write!(f, "its owner's time, {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
            Self::Slot { why } => write!(f, "a time: {why}"),
            Self::Replica { why } => write!(f, "the copy of its disks: {why}"),
            Self::Agent { host } => write!(f, "the agent of {host}, which is silent"),
            Self::Paused => f.write_str("the maintenance, which is paused"),
        }
    }
}

impl State {
    /// The state's name, as in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Preflight { .. } => "preflight",
            Self::Transferring { .. } => "transferring",
            Self::Preparing { .. } => "preparing",
            Self::Ready { .. } => "ready",
            Self::CuttingOver { .. } => "cutting_over",
            Self::Verifying { .. } => "verifying",
            Self::Succeeded { .. } => "succeeded",
            Self::Completed { .. } => "completed",
            Self::Discarding { .. } => "discarding",
            Self::Closed { .. } => "closed",
            Self::Reverting { .. } => "reverting",
            Self::Reverted { .. } => "reverted",
            Self::Rehearsing { .. } => "rehearsing",
            Self::Rehearsed { .. } => "rehearsed",
            Self::RolledBack { .. } => "rolled_back",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Avoided { .. } => "avoided",
        }
    }

    /// The order that an agent is carrying out for it.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Preflight { operation }
            | Self::Transferring { operation, .. }
            | Self::CuttingOver { operation, .. }
            | Self::Verifying { operation, .. }
            | Self::Discarding { operation, .. } => Some(*operation),
            Self::Pending { .. }
            | Self::Preparing { .. }
            | Self::Ready { .. }
            | Self::Succeeded { .. }
            | Self::Completed { .. }
            | Self::Closed { .. }
            | Self::Reverting { .. }
            | Self::Reverted { .. }
            | Self::Rehearsing { .. }
            | Self::Rehearsed { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Avoided { .. } => None,
        }
    }

    /// For what it waits, if it waits.
    #[must_use]
    pub fn waits_for(&self) -> Option<&Waiting> {
        match self {
            Self::Pending { waits_for } | Self::Preparing { waits_for } | Self::Ready { waits_for } => {
                Some(waits_for)
            }
            Self::Preflight { .. }
            | Self::Transferring { .. }
            | Self::CuttingOver { .. }
            | Self::Verifying { .. }
            | Self::Succeeded { .. }
            | Self::Completed { .. }
            | Self::Discarding { .. }
            | Self::Closed { .. }
            | Self::Reverting { .. }
            | Self::Reverted { .. }
            | Self::Rehearsing { .. }
            | Self::Rehearsed { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Avoided { .. } => None,
        }
    }
}
