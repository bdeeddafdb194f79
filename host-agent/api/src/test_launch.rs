//! The order for a test launch, to the agent that holds the replica.

use drover_policies::blueprint::Blueprint;
use drover_policies::checks::Look;
use drover_policies::ids::{ReplicaId, ServerId};
use drover_policies::replica::TestNetwork;
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

use crate::Destination;

/// To the destination's agent: boot the server as the replica's last round shows it, under another name and cut off from its network,
/// beside the replication. A test before it is ended first, and its disks are deleted.
///
/// It goes on until its time is over, the guest is switched off, or it is aborted; then nothing of it is left. It makes no difference to
/// the replica: what lands meanwhile is joined with it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestLaunch {
    /// From which replica.
    pub replica: ReplicaId,
    /// Of this server.
    pub server: ServerId,
    /// The test guest's own id, never used for anything else.
    pub guest: ServerId,
    /// Where the server runs: its libvirt is asked for the definition.
    pub source: Destination,
    /// What its network cards are plugged into.
    pub network: TestNetwork,
    /// For how long it may run.
    pub ttl: Span,
    /// How long it may take until it is seen alive.
    pub within: Span,
    /// What else is looked at once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// What it shall look like.
    #[serde(default, skip_serializing_if = "Blueprint::is_empty")]
    pub blueprint: Blueprint,
}
