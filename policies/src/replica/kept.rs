//! The copy of one server's local disks at one destination, as it is decided on.
//!
//! ```text
//! holding ──▶ held ──▶ replicating ──▶ stopping ──▶ releasing ──▶ gone
//!    └─────────┴────────────┴──▶ refused ── back-off over, or not wanted any more ──▲
//! ```
//!
//! Only one that is filled by rounds goes on from *held*; see [`Filled`].
//!
//! It is wanted as long as its migration is open, goes by a reboot, and holds that place. Whatever is not wanted is let go of, whatever
//! became of the migration: that may take longer than the migration itself, where an agent is silent.

use serde::{Deserialize, Serialize};

use super::{Going, ReplicaDisk, ReplicaStatus, Test};
use crate::attempt::Failure;
use crate::fleet::CertificateDigest;
use crate::ids::{HostName, MigrationId, OperationId, ReplicaId, ServerId};
use crate::notices::Wisher;
use crate::time::Instant;

/// What is done with files that are where a replica is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// They are somebody's: the order is refused.
    #[default]
    New,
    /// They are what this host has retained of this server: the replica begins with them, so that only what differs is sent.
    Retained,
}

/// How a replica comes to show what is on the server's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filled {
    /// By rounds, while the server runs, until it is cut over with it.
    #[default]
    ByRounds,
    /// By the hypervisor, in a live migration. When the server won't go live after all it is filled by rounds, and begins with what is there.
    Live,
    /// Not at all: the server goes back to what the host has retained of it, as that is. It is no file that is held but the answer that all of
    /// it is there.
    AsRetained,
}

impl Filled {
    fn is_by_rounds(&self) -> bool {
        *self == Self::ByRounds
    }
}

/// What becomes of a replica's images when it is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// They are deleted; never those that were put in their place for a server that runs from them.
    Delete,
    /// They are the server's disks now.
    Keep,
}

/// By what the agents of a source and a destination reach and know each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The source's certificate, as the destination is told.
    pub source: CertificateDigest,
    /// The destination's certificate, as the source is told.
    pub destination: CertificateDigest,
    /// Where the destination listens: address and port.
    pub address: String,
}

/// The copy of one server's local disks at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its id, by which both agents know it.
    pub id: ReplicaId,
    /// For which migration it is made.
    pub migration: MigrationId,
    /// Of which server.
    pub server: ServerId,
    /// Where the server is.
    pub from: HostName,
    /// Where it is held.
    pub to: HostName,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// What it begins with.
    #[serde(default)]
    pub base: Base,
    /// How it is filled.
    #[serde(default, skip_serializing_if = "Filled::is_by_rounds")]
    pub filled: Filled,
    /// What the two agents were told of each other; nothing of one that was begun before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// Whether somebody has paused it.
    pub going: Going,
    /// Counts the rounds that somebody asked for.
    pub sync_now: u64,
    /// Since when it is further behind than its rounds explain, by more than policy bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<Instant>,
    /// Since when it is wanted.
    pub opened_at: Instant,
    /// Where in its life it is.
    pub state: ReplicaState,
    /// The last test launch from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// Where in its life a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReplicaState {
    /// The destination makes ready to take it.
    Holding {
        /// The order to the destination's agent.
        operation: OperationId,
    },
    /// The destination has made ready, and nothing is being done.
    Held,
    /// The source keeps it up to date.
    Replicating {
        /// The order to the source's agent.
        operation: OperationId,
        /// What the agent told when that last changed what may be decided; its figures are as old as that.
        seen: Option<Box<ReplicaStatus>>,
    },
    /// One of the two agents will not. It is tried again then, elsewhere if there is another place.
    Refused {
        /// Why.
        failure: Failure,
        /// When it is tried again.
        until: Instant,
    },
    /// The source ends its rounds, and takes away what they have left there.
    Stopping {
        /// The order to the source's agent, which is aborted.
        operation: OperationId,
        /// What becomes of the images after that.
        images: Images,
    },
    /// The destination lets go of it.
    Releasing {
        /// The order to the destination's agent.
        operation: OperationId,
        /// What becomes of the images.
        images: Images,
    },
    /// Nobody holds it any more.
    Gone {
        /// Since when.
        at: Instant,
    },
}

impl ReplicaState {
    /// The state's name, as in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Holding { .. } => "holding",
            Self::Held => "held",
            Self::Replicating { .. } => "replicating",
            Self::Refused { .. } => "refused",
            Self::Stopping { .. } => "stopping",
            Self::Releasing { .. } => "releasing",
            Self::Gone { .. } => "gone",
        }
    }

    /// The order that an agent is carrying out for it.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Holding { operation }
            | Self::Replicating { operation, .. }
            | Self::Stopping { operation, .. }
            | Self::Releasing { operation, .. } => Some(*operation),
            Self::Held | Self::Refused { .. } | Self::Gone { .. } => None,
        }
    }
}

/// Why a replica can't do what is asked of it, and what would be possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing keeps it up to date now.
    #[error(
        "the replica is {state}; only one that is being kept up to date can be synced, paused or resumed"
    )]
    NotKept {
        /// Its state.
        state: &'static str,
    },
    /// A round runs already.
    #[error("a round is being done already ({percent} % of it); ask again when it has landed")]
    RoundRuns {
        /// How much of it, 0 to 100.
        percent: u8,
    },
    /// The server is being cut over with it.
    #[error("the server is being cut over: its last rounds are done by that")]
    CuttingOver,
    /// Somebody has paused it.
    #[error("the replica is paused; an operator can resume it with `drover replicas resume`")]
    IsPaused,
    /// That is not for owners.
    #[error("only operators can pause and resume a replica; an owner can have it synced")]
    NotForOwners,
}

impl Replica {
    /// Whether nothing is left to be done for it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self.state {
            ReplicaState::Gone { .. } => true,
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Replicating { .. }
            | ReplicaState::Refused { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. } => false,
        }
    }

    /// Whether it is being let go of, or has been: it is no base for anything any more.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        match self.state {
            ReplicaState::Stopping { .. } | ReplicaState::Releasing { .. } | ReplicaState::Gone { .. } => {
                true
            }
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Replicating { .. }
            | ReplicaState::Refused { .. } => false,
        }
    }

    /// What the agent told when that last changed what may be decided.
    #[must_use]
    pub fn seen(&self) -> Option<&ReplicaStatus> {
        match &self.state {
            ReplicaState::Replicating { seen, .. } => seen.as_deref(),
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Refused { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => None,
        }
    }

    /// A round at once. `now` is what the agent tells at present, if anything.
    ///
    /// # Errors
    /// One runs already, or none can be done.
    pub fn sync(mut self, now: Option<&ReplicaStatus>) -> Result<Self, Refusal> {
        self.is_kept()?;
        if self.going == Going::Paused {
            return Err(Refusal::IsPaused);
        }
        match now.map(|status| &status.activity) {
            Some(super::Activity::Round(figures)) => {
                return Err(Refusal::RoundRuns { percent: figures.percent() });
            }
            Some(super::Activity::CuttingOver) => return Err(Refusal::CuttingOver),
            Some(
                super::Activity::Initiating
                | super::Activity::Resting { .. }
                | super::Activity::Paused
                | super::Activity::Stalled { .. },
            )
            | None => {}
        }
        self.sync_now += 1;
        Ok(self)
    }

    /// No further rounds until it is resumed; one that runs is brought to its end. Paused twice is paused.
    ///
    /// # Errors
    /// An owner asks, or nothing keeps it up to date.
    pub fn pause(self, who: Wisher) -> Result<Self, Refusal> {
        self.go(who, Going::Paused)
    }

    /// Rounds go on. Resumed twice is resumed.
    ///
    /// # Errors
    /// An owner asks, or nothing keeps it up to date.
    pub fn resume(self, who: Wisher) -> Result<Self, Refusal> {
        self.go(who, Going::On)
    }

    fn go(self, who: Wisher, going: Going) -> Result<Self, Refusal> {
        match who {
            Wisher::Owner => return Err(Refusal::NotForOwners),
            Wisher::Operators => {}
        }
        self.is_kept()?;
        Ok(Self { going, ..self })
    }

    /// One that is about to be replicated takes wishes up when it is.
    fn is_kept(&self) -> Result<(), Refusal> {
        match self.state {
            ReplicaState::Holding { .. } | ReplicaState::Replicating { .. } => Ok(()),
            ReplicaState::Held
            | ReplicaState::Refused { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => Err(Refusal::NotKept { state: self.state.name() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::replica::{Activity, DiskFigures, RoundFigures, RoundKind};

    fn replica(state: ReplicaState) -> Replica {
        Replica {
            id: ReplicaId(Uuid::nil()),
            migration: MigrationId(Uuid::nil()),
            server: ServerId(Uuid::nil()),
            from: "h1".parse().expect("a name"),
            to: "h2".parse().expect("a name"),
            disks: Vec::new(),
            base: Base::New,
            filled: Filled::ByRounds,
            peers: None,
            late_since: None,
            going: Going::On,
            sync_now: 0,
            opened_at: Instant::UNIX_EPOCH,
            state,
            test: None,
        }
    }

    fn kept() -> Replica {
        replica(ReplicaState::Replicating { operation: OperationId(Uuid::nil()), seen: None })
    }

    #[test]
    fn a_round_that_runs_is_not_asked_for_again() {
        let disk = DiskFigures { target: "vda".to_owned(), total_bytes: 100, done_bytes: 40 };
        let figures = RoundFigures {
            kind: RoundKind::Incremental,
            began_at: Instant::UNIX_EPOCH,
            disks: vec![disk],
            rate: 1,
            held_percent: 0,
        };
        let mut status = ReplicaStatus::new(Instant::UNIX_EPOCH);
        status.activity = Activity::Round(figures);
        assert_eq!(kept().sync(Some(&status)), Err(Refusal::RoundRuns { percent: 40 }));
        status.activity = Activity::Resting { next_at: Instant::UNIX_EPOCH };
        assert_eq!(kept().sync(Some(&status)).expect("granted").sync_now, 1);
    }

    #[test]
    fn operators_pause_and_owners_do_not() {
        assert_eq!(kept().pause(Wisher::Owner), Err(Refusal::NotForOwners));
        let paused = kept().pause(Wisher::Operators).expect("granted");
        assert_eq!(paused.clone().sync(None), Err(Refusal::IsPaused));
        assert_eq!(paused.resume(Wisher::Operators).expect("granted").going, Going::On);
    }

    #[test]
    fn what_is_being_let_go_of_is_not_synced() {
        let leaving =
            replica(ReplicaState::Stopping { operation: OperationId(Uuid::nil()), images: Images::Delete });
        assert_eq!(leaving.sync(None), Err(Refusal::NotKept { state: "stopping" }));
    }
}
