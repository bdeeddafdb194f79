//! The port for replicas of local disks: the destination holds one, the source brings it up to date round by round.
//!
//! What has landed is known by both ends and by nobody's memory: the destination's record names the last round that landed, and the
//! source's checkpoint of that round tells what was written since. So a round finds out by itself what it has to be (the first, an
//! incremental one, a rescan), and one that was cut off anywhere is simply done again.

use drover_agent_api::{HoldReplica, ReleaseReplica, ReplicaPeer, TestLaunch};
use drover_policies::attempt::FailureClass;
use drover_policies::ids::{OperationId, ReplicaId, ServerId};
use drover_policies::replica::{DiskBacklog, Point, ReplicaDisk, Round, RoundFigures};
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

use super::{Answer, Refusal, RefusalKind};

/// What a round is done for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundOrder {
    /// The operation that asks for it, and alone is told how it ended: a replica's own, or that of a cutover with it.
    pub operation: OperationId,
    /// The replica.
    pub replica: ReplicaId,
    /// The server.
    pub server: ServerId,
    /// Where it is held.
    pub peer: ReplicaPeer,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// How fast it may be.
    pub limits: Limits,
    /// Of what the disks are read.
    pub from: ReadFrom,
    /// Whether a cutover waits for it. Where not all have room, others give theirs back first.
    pub goes_first: bool,
}

/// How fast a round may be. May change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most bytes per second on the wire; nothing for no limit.
    pub bandwidth: Option<u64>,
    /// What a running guest keeps of its own reading and writing, in percent; nothing where the copying goes first.
    #[serde(default)]
    pub guest_percent: Option<u8>,
}

/// Of what a round reads the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Of a running server, as they are at one moment.
    Running,
    /// Of a server that is off. NVRAM and the state of its TPM go with them.
    PoweredOff,
}

/// How a round of a server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundStatus {
    /// That operation has none that runs, and this agent has seen none of it end since it began.
    None,
    /// Under way.
    Running(RoundFigures),
    /// It has ended, and this is handed out once.
    Returned(Answer<Round>),
}

/// What is there of a replica, by the destination's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// It is held, and this many rounds have landed.
    Rounds {
        /// How many; 0 before the first.
        landed: u64,
    },
    /// Its images are where the server's definition names them.
    InPlace,
}

/// What fills images that are put in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilledBy {
    /// A round has: they show what it has brought.
    Rounds,
    /// The hypervisor will, in a live migration: it makes no difference what they show.
    Hypervisor,
}

/// What was done to images while they were in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// Nothing has run from them.
    No,
    /// Something may have written to them: the next round compares everything.
    Perhaps,
}

/// Whose test is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestOf {
    /// Whichever guest's: the replica is wanted for something else.
    Anybody,
    /// This guest's, and no later one's.
    Guest(ServerId),
}

impl TestOf {
    /// Whether that guest's is meant.
    #[must_use]
    pub fn is(self, guest: ServerId) -> bool {
        match self {
            Self::Anybody => true,
            Self::Guest(own) => own == guest,
        }
    }
}

/// A test guest that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// Its name.
    pub name: String,
    /// Where its console is reached on this host; nothing when it has none.
    pub console: Option<String>,
}

/// What can be asked about replicas. Both ends of it: an agent holds replicas of others and sends its own.
pub trait Replication: Send + Sync {
    /// Makes ready to take a replica. A repeat changes nothing.
    ///
    /// # Errors
    /// When it can't be held here: a file in its way, too little room, a path outside of the directories for disks.
    fn hold(&self, order: &HoldReplica) -> Answer<()>;

    /// Holds a replica no longer. One that is not known is no error.
    ///
    /// # Errors
    /// When its files can't be removed.
    fn release(&self, order: &ReleaseReplica) -> Answer<()>;

    /// Begins a round; how it goes is told by [`Replication::round`], and its end wakes the agent.
    ///
    /// # Errors
    /// When it could not even be begun; [`FailureClass::Busy`] when one runs already, whoever asked for it.
    fn start_round(&self, order: &RoundOrder) -> Answer<()>;

    /// How the round stands that this operation has started for a server. Of one that another operation has started it tells nothing.
    ///
    /// # Errors
    /// When that can't be said.
    fn round(&self, server: ServerId, operation: OperationId) -> Answer<RoundStatus>;

    /// Ends a running round without its landing. That it has ended is told by [`Replication::round`]; none running is no error.
    ///
    /// # Errors
    /// When it can't be ended.
    fn abort_round(&self, server: ServerId) -> Answer<()>;

    /// Changes how fast a running round may be.
    ///
    /// # Errors
    /// When that can't be done.
    fn limit_round(&self, server: ServerId, limits: Limits) -> Answer<()>;

    /// How much longer a guest is to be left alone, so that over the rounds that have been and the times between them it keeps its share
    /// ([`Limits::guest_percent`]). A round that is in a hurry need not wait for it.
    fn quiet_for(&self, replica: ReplicaId, server: ServerId) -> Span;

    /// What the server has written since the last round that landed, by disk.
    ///
    /// # Errors
    /// When the hypervisor can't be asked.
    fn backlog(
        &self,
        replica: ReplicaId,
        server: ServerId,
        disks: &[ReplicaDisk],
    ) -> Answer<Vec<DiskBacklog>>;

    /// What the destination has of a replica.
    ///
    /// # Errors
    /// When it can't be asked, and when something lies where the images are to be put, so that [`Replication::put_in_place`] would refuse.
    fn held(&self, replica: ReplicaId, peer: &ReplicaPeer) -> Answer<Held>;

    /// Has the destination put the images where the server's definition names them. Whole or not at all; a repeat changes nothing.
    ///
    /// # Errors
    /// When the destination can't be asked, or refuses.
    fn put_in_place(&self, replica: ReplicaId, peer: &ReplicaPeer, by: FilledBy) -> Answer<()>;

    /// Has the destination take the images out of their place, to be a replica again. A repeat changes nothing.
    ///
    /// # Errors
    /// When the destination can't be asked, or refuses.
    fn take_out(&self, replica: ReplicaId, peer: &ReplicaPeer, touched: Touched) -> Answer<()>;

    /// Takes away what rounds have left at a running source: its checkpoints, a backup job, scratch files. A repeat changes nothing.
    ///
    /// # Errors
    /// When the hypervisor refuses.
    fn forget(&self, replica: ReplicaId, server: ServerId) -> Answer<()>;

    /// Looks whether the disks of a server that left this host are there and can be opened, by the files' names as retained.
    ///
    /// # Errors
    /// One is not there, is no such image, or is in use.
    fn look_at_retained(&self, server: ServerId, disks: &[ReplicaDisk]) -> Answer<()>;

    /// Deletes the disks of a server that left this host and may not come back, by the files' names as retained.
    ///
    /// # Errors
    /// When they can't be deleted; a file that is not there is no error.
    fn delete_retained(&self, server: ServerId, disks: &[ReplicaDisk]) -> Answer<()>;

    /// Freezes what has landed last of a replica held here, for a test guest to start from; rounds go on beside. A repeat changes nothing.
    ///
    /// # Errors
    /// When no round has landed; [`FailureClass::Busy`] while a round is being done, or another test goes on.
    fn freeze(&self, order: &TestLaunch) -> Answer<Point>;

    /// Starts the test guest from what was frozen for it, as its server is defined at the source now. One that runs already is told again.
    ///
    /// # Errors
    /// When the source can't be asked, or the guest is not taken here.
    fn launch(&self, order: &TestLaunch) -> Answer<Launched>;

    /// Ends the test of a replica held here, if there is one: the guest is switched off, its disks are deleted, and what has landed since
    /// is joined with the images, at the latest when the next round begins. A repeat changes nothing.
    ///
    /// # Errors
    /// When libvirt can't be asked, or the files can't be removed or joined.
    fn end_test(&self, replica: ReplicaId, of: TestOf) -> Answer<()>;
}

/// Replication on a host whose agent is not configured for it: it has nothing and takes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotConfigured;

impl NotConfigured {
    fn refuse<T>(class: FailureClass) -> Answer<T> {
        let text = "this host's agent keeps no replicas: set `[replication] listen` in its configuration";
        Err(Refusal::new(RefusalKind::Failed(class), text))
    }
}

impl Replication for NotConfigured {
    fn hold(&self, _order: &HoldReplica) -> Answer<()> {
        Self::refuse(FailureClass::RefusedByDestination)
    }

    fn release(&self, _order: &ReleaseReplica) -> Answer<()> {
        Self::refuse(FailureClass::RefusedByDestination)
    }

    fn start_round(&self, _order: &RoundOrder) -> Answer<()> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn round(&self, _server: ServerId, _operation: OperationId) -> Answer<RoundStatus> {
        Ok(RoundStatus::None)
    }

    fn abort_round(&self, _server: ServerId) -> Answer<()> {
        Ok(())
    }

    fn limit_round(&self, _server: ServerId, _limits: Limits) -> Answer<()> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn quiet_for(&self, _replica: ReplicaId, _server: ServerId) -> Span {
        Span::ZERO
    }

    fn backlog(
        &self,
        _replica: ReplicaId,
        _server: ServerId,
        _disks: &[ReplicaDisk],
    ) -> Answer<Vec<DiskBacklog>> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn held(&self, _replica: ReplicaId, _peer: &ReplicaPeer) -> Answer<Held> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn put_in_place(&self, _replica: ReplicaId, _peer: &ReplicaPeer, _by: FilledBy) -> Answer<()> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn take_out(&self, _replica: ReplicaId, _peer: &ReplicaPeer, _touched: Touched) -> Answer<()> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    /// Rounds were never done: there is nothing to forget.
    fn forget(&self, _replica: ReplicaId, _server: ServerId) -> Answer<()> {
        Ok(())
    }

    fn look_at_retained(&self, _server: ServerId, _disks: &[ReplicaDisk]) -> Answer<()> {
        Self::refuse(FailureClass::RefusedByDestination)
    }

    fn delete_retained(&self, _server: ServerId, _disks: &[ReplicaDisk]) -> Answer<()> {
        Self::refuse(FailureClass::RefusedBySource)
    }

    fn freeze(&self, _order: &TestLaunch) -> Answer<Point> {
        Self::refuse(FailureClass::RefusedByDestination)
    }

    fn launch(&self, _order: &TestLaunch) -> Answer<Launched> {
        Self::refuse(FailureClass::RefusedByDestination)
    }

    /// Nothing is held, so nothing is tested.
    fn end_test(&self, _replica: ReplicaId, _of: TestOf) -> Answer<()> {
        Ok(())
    }
}
