//! An operator's request to free hosts.
//!
//! ```text
//! running ⇄ paused        running ── every host found empty ──▶ completed
//!    └──────┴── cancel ──▶ cancelled
//! ```
//!
//! "9 of 10 moved, 1 waits for its owner until Tuesday" is the state *running*, and nothing else: a server that waits is no error. Past
//! its deadline a maintenance goes on and is shown as overdue; it is for people to decide what is given up then.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HostName, MaintenanceId, OperationId};
use crate::notices::Actor;
use crate::time::Instant;

/// An operator's request: these hosts, this reason, this deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// A short number for people: `MT-12`.
    pub number: u32,
    /// The hosts to be emptied, and how far each is.
    pub hosts: BTreeMap<HostName, Drain>,
    /// Why, in the operator's words: `kernel-update`. Policies choose the notice by it, owners read it.
    pub reason: String,
    /// When the hosts must be free.
    pub deadline: Instant,
    /// When to warn about what still waits.
    pub warn_at: Instant,
    /// Whether that warning has been given.
    pub warned: Warned,
    /// Windows and notice are kept, or not.
    pub urgency: Urgency,
    /// Who asked for it.
    pub requested_by: Actor,
    /// When.
    pub requested_at: Instant,
    /// How it stands.
    pub state: State,
}

/// How far a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drain", rename_all = "snake_case")]
pub enum Drain {
    /// Servers are on it, as far as is known.
    Draining,
    /// Nothing is seen on it any more; its libvirt is being asked.
    Confirming {
        /// The question.
        operation: OperationId,
    },
    /// Its libvirt said that it is empty.
    Drained {
        /// When.
        at: Instant,
    },
}

/// Whether windows and notice are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "urgency", rename_all = "snake_case")]
pub enum Urgency {
    /// They are.
    Normal,
    /// They are skipped, and owners are told afterwards, with the reason.
    Emergency {
        /// What endangers the hosts.
        why: String,
    },
}

/// Whether the warning before the deadline has been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warned {
    /// Not yet.
    No,
    /// It has.
    Yes,
}

/// How a maintenance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Servers are moved as they can be.
    Running,
    /// Nothing new is begun; what runs goes on.
    Paused {
        /// Since when.
        since: Instant,
        /// Who paused it.
        by: Actor,
    },
    /// Every host was found empty.
    Completed {
        /// When.
        at: Instant,
    },
    /// Given up; what had begun was ended in order.
    Cancelled {
        /// When.
        at: Instant,
        /// Who cancelled it.
        by: Actor,
    },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Completed { .. } => "completed",
            Self::Cancelled { .. } => "cancelled",
        })
    }
}

/// Why a maintenance can't do what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("maintenance MT-{number} is {state}; start a new one")]
    Over {
        /// Its number.
        number: u32,
        /// How it ended.
        state: State,
    },
}

impl Maintenance {
    /// Whether it may still change.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            State::Running | State::Paused { .. } => true,
            State::Completed { .. } | State::Cancelled { .. } => false,
        }
    }

    /// Whether something still waits past the deadline.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.is_open() && now > self.deadline
    }

    fn open(self) -> Result<Self, Refusal> {
        if self.is_open() { Ok(self) } else { Err(Refusal::Over { number: self.number, state: self.state }) }
    }

    /// Begins nothing new from here on. Pausing twice is pausing.
    ///
    /// # Errors
    /// It is over.
    pub fn pause(self, by: Actor, now: Instant) -> Result<Self, Refusal> {
        let this = self.open()?;
        match this.state {
            State::Paused { .. } => Ok(this),
            State::Running | State::Completed { .. } | State::Cancelled { .. } => {
                Ok(Self { state: State::Paused { since: now, by }, ..this })
            }
        }
    }

    /// Goes on.
    ///
    /// # Errors
    /// It is over.
    pub fn resume(self) -> Result<Self, Refusal> {
        Ok(Self { state: State::Running, ..self.open()? })
    }

    /// Gives up. Cancelling what is cancelled is no error.
    ///
    /// # Errors
    /// It is completed.
    pub fn cancel(self, by: Actor, now: Instant) -> Result<Self, Refusal> {
        match self.state {
            State::Cancelled { .. } => Ok(self),
            State::Running | State::Paused { .. } | State::Completed { .. } => {
                Ok(Self { state: State::Cancelled { at: now, by }, ..self.open()? })
            }
        }
    }

    /// Skips windows and notice from here on, and goes on if it was paused.
    ///
    /// # Errors
    /// It is over.
    pub fn declare_emergency(self, why: String) -> Result<Self, Refusal> {
        Ok(Self { urgency: Urgency::Emergency { why }, state: State::Running, ..self.open()? })
    }
}
