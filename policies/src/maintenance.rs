//! An operator's request to free hosts, and to have something done with them.
//!
//! ```text
//! draft ─▶ planned ─ approve ─▶ approved ─▶ running ⇄ paused        running ── every host is over ──▶ completed | failed
//!   └─────────┴──────────────────────┴─────────┴────────┴── cancel ──▶ cancelled          failed ── retry, skip ──▶ running
//! ```
//!
//! A drain of named hosts begins as *running*: who asks for it approves it. "9 of 10 moved, 1 waits for its owner until Tuesday" is the state
//! *running*, and nothing else: a server that waits is no error. Past its deadline a maintenance goes on and is shown as overdue; it is for
//! people to decide what is given up then.

mod happened;
mod rolling;
mod stage;
mod terms;
mod wishes;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HostName, MaintenanceId};
use crate::notices::Actor;
use crate::time::Instant;

pub use happened::RollingHappened;
pub use rolling::{Balance, Because, Rolling, Seen, Shift, Turn, Versions, Wave, Waves};
pub use stage::{SkippedBy, Stage, Step};
pub use terms::{BadOrder, Hint, Hooks, Kind, Terms, Which, label_of};
pub use wishes::{InPart, Refusal};

/// An operator's request: these hosts, this reason, this deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// A short number for people: `MT-12`.
    pub number: u32,
    /// The hosts to be emptied, and how far each is.
    pub hosts: BTreeMap<HostName, Stage>,
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
    /// What one over many hosts has besides.
    #[serde(default, skip_serializing_if = "Rolling::is_plain")]
    pub rolling: Rolling,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warned {
    /// Not yet.
    #[default]
    No,
    /// It has.
    Yes,
}

impl Warned {
    fn is_no(&self) -> bool {
        *self == Self::No
    }
}

/// How a maintenance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The order of its hosts is being worked out.
    Draft,
    /// It waits for somebody to approve it. Nothing is done, and its plan is kept up to date.
    Planned,
    /// It begins with the next look.
    Approved {
        /// When.
        at: Instant,
        /// Who approved it.
        by: Actor,
    },
    /// Servers are moved as they can be, and hosts get their turns.
    Running,
    /// Nothing new is begun; what runs goes on.
    Paused {
        /// Since when.
        since: Instant,
        /// Who paused it; Drover, when too many hosts have failed.
        by: Actor,
    },
    /// Every host is over.
    Completed {
        /// When.
        at: Instant,
    },
    /// Every host has had its turn, and more have failed than may.
    Failed {
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

impl State {
    /// As it is written.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Planned => "planned",
            Self::Approved { .. } => "approved",
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Since when it is so; nothing where it doesn't matter.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        match self {
            Self::Draft | Self::Planned | Self::Running => None,
            Self::Paused { since, .. } => Some(*since),
            Self::Approved { at, .. }
            | Self::Completed { at }
            | Self::Failed { at }
            | Self::Cancelled { at, .. } => Some(*at),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Maintenance {
    /// Whether it may still change.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            State::Draft
            | State::Planned
            | State::Approved { .. }
            | State::Running
            | State::Paused { .. } => true,
            State::Completed { .. } | State::Failed { .. } | State::Cancelled { .. } => false,
        }
    }

    /// Whether something of it may still be going on: a hook runs to its end, whatever became of its maintenance.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.is_open() || self.hosts.values().any(|stage| matches!(stage, Stage::Working { .. }))
    }

    /// Whether anything may be done for it: it has been approved, and is not over.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        match self.state {
            State::Approved { .. } | State::Running | State::Paused { .. } => true,
            State::Draft
            | State::Planned
            | State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled { .. } => false,
        }
    }

    /// Whether something still waits past the deadline.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.is_open() && now > self.deadline
    }

    /// What is done with its hosts.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.rolling.kind
    }

    /// Hosts that are at a stage.
    pub fn hosts_at<'a>(&'a self, is: impl Fn(&Stage) -> bool + 'a) -> impl Iterator<Item = &'a HostName> {
        self.hosts.iter().filter(move |(_, stage)| is(stage)).map(|(host, _)| host)
    }

    /// Hosts whose turn has not come.
    pub fn waiting(&self) -> impl Iterator<Item = &HostName> {
        self.hosts_at(|stage| *stage == Stage::Waiting)
    }

    /// Hosts that need a person.
    pub fn failed(&self) -> impl Iterator<Item = &HostName> {
        self.hosts_at(|stage| matches!(stage, Stage::Failed { .. }))
    }

    /// Hosts whose servers have to leave.
    pub fn being_emptied(&self) -> impl Iterator<Item = &HostName> {
        self.hosts_at(Stage::is_being_emptied)
    }

    /// Whether its servers are still to leave a host: it is emptied, or will be.
    #[must_use]
    pub fn frees(&self, host: &HostName) -> bool {
        self.empties()
            && self.hosts.get(host).is_some_and(|stage| stage.is_being_emptied() || *stage == Stage::Waiting)
    }

    /// Whether its hosts are emptied at all.
    #[must_use]
    pub fn empties(&self) -> bool {
        match self.kind() {
            Kind::Drain | Kind::Patch | Kind::Decommission => true,
            Kind::Rebalance => false,
        }
    }

    /// Whether a host that is done takes servers again.
    #[must_use]
    pub fn gives_back(&self) -> bool {
        match self.kind() {
            Kind::Patch | Kind::Rebalance => true,
            // An operator opens those when he has done what they were emptied for.
            Kind::Drain | Kind::Decommission => false,
        }
    }

    /// Hosts that take no servers once they are empty: nobody is to be moved there, neither before their turn nor after it.
    pub fn stay_empty(&self) -> impl Iterator<Item = &HostName> {
        let is_left_out = |stage: &Stage| matches!(stage, Stage::Skipped { .. });
        self.hosts_at(move |stage| !is_left_out(stage)).filter(|_| !self.gives_back())
    }

    /// Hosts whose turn to be emptied is yet to come.
    pub fn to_be_emptied(&self) -> impl Iterator<Item = &HostName> {
        self.waiting().filter(|_| self.empties())
    }

    /// When it will be over at the pace so far; nothing before a host is.
    #[must_use]
    pub fn forecast(&self, now: Instant) -> Option<Instant> {
        let (began, over, rest) = self.pace()?;
        now.checked_add_signed((now - began) / over * rest)
    }

    /// From when on [`Maintenance::forecast`] lies behind the deadline, if no other host is over by then.
    #[must_use]
    pub fn late_from(&self) -> Option<Instant> {
        let (began, over, rest) = self.pace()?;
        began.checked_add_signed((self.deadline - began) / (over + rest) * over)
    }

    /// Since when hosts have had their turns, how many are over and how many are not.
    fn pace(&self) -> Option<(Instant, i32, i32)> {
        let kind = self.kind();
        let over = i32::try_from(self.hosts_at(|stage| stage.ended_at(kind).is_some()).count()).ok()?;
        let rest = i32::try_from(self.hosts.len()).ok()? - over;
        let began = self.rolling.turns.values().map(|turn| turn.began_at).min()?;
        (over > 0 && rest > 0 && self.is_open()).then_some((began, over, rest))
    }

    /// Whether more hosts have failed than are borne.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.failed().count() > self.rolling.bears() as usize
    }
}
