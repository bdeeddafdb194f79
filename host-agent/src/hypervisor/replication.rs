//! The port for replicas of local disks: the destination holds one, the source brings it up to date round by round.
//!
//! What has landed is known by both ends and by nobody's memory: the destination's record names the last round that landed, and the
//! source's checkpoint of that round tells what was written since. So a round finds out by itself what it has to be (the first, an
//! incremental one, a rescan), and one that was cut off anywhere is simply done again.

use drover_agent_api::{HoldReplica, ReleaseReplica, ReplicaPeer};
use drover_policies::ids::{ReplicaId, ServerId};
use drover_policies::replica::{DiskBacklog, ReplicaDisk, Round, RoundFigures};
use serde::{Deserialize, Serialize};

use super::Answer;

/// What a round is done for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundOrder {
    /// The replica.
    pub replica: ReplicaId,
    /// The server.
    pub server: ServerId,
    /// Where it is held.
    pub peer: ReplicaPeer,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// Most bytes per second on the wire; nothing for no limit.
    pub bandwidth: Option<u64>,
    /// Of what the disks are read.
    pub from: ReadFrom,
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
    /// None runs, and this agent has seen none end since it began.
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

/// What was done to images while they were in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// Nothing has run from them.
    No,
    /// Something may have written to them: the next round compares everything.
    Perhaps,
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
    /// When it could not even be begun; also when one runs already.
    fn start_round(&self, order: &RoundOrder) -> Answer<()>;

    /// How the round of a server stands.
    ///
    /// # Errors
    /// When that can't be said.
    fn round(&self, server: ServerId) -> Answer<RoundStatus>;

    /// Ends a running round without its landing. That it has ended is told by [`Replication::round`]; none running is no error.
    ///
    /// # Errors
    /// When it can't be ended.
    fn abort_round(&self, server: ServerId) -> Answer<()>;

    /// Changes how fast a running round may be; nothing for no limit.
    ///
    /// # Errors
    /// When that can't be done.
    fn limit_round(&self, server: ServerId, bandwidth: Option<u64>) -> Answer<()>;

    /// What the server has written since the last round that landed, by disk.
    ///
    /// # Errors
    /// When the hypervisor can't be asked.
    fn backlog(&self, replica: ReplicaId, server: ServerId, disks: &[ReplicaDisk]) -> Answer<Vec<DiskBacklog>>;

    /// What the destination has of a replica.
    ///
    /// # Errors
    /// When it can't be asked.
    fn held(&self, replica: ReplicaId, peer: &ReplicaPeer) -> Answer<Held>;

    /// Has the destination put the images where the server's definition names them. Whole or not at all; a repeat changes nothing.
    ///
    /// # Errors
    /// When the destination can't be asked, or refuses.
    fn put_in_place(&self, replica: ReplicaId, peer: &ReplicaPeer) -> Answer<()>;

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

    /// Deletes the disks of a server that left this host and may not come back, by the files' names as retained.
    ///
    /// # Errors
    /// When they can't be deleted; a file that is not there is no error.
    fn delete_retained(&self, server: ServerId, disks: &[ReplicaDisk]) -> Answer<()>;
}
