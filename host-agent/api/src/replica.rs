//! Orders about replicas: the destination's agent holds one, the source's agent keeps it up to date over a connection between the two.

use drover_policies::fleet::CertificateDigest;
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::replica::{Base, Images, Pace, ReplicaDisk};
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

/// To the agent of the host that a server left: are the disks that it retained there as the server left them, and does nothing use them?
/// Ends when they are, or refuses. Nothing is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookAtRetained {
    /// Of which server.
    pub server: ServerId,
    /// All the local disks that its definition names now.
    pub disks: Vec<ReplicaDisk>,
}

/// To the destination's agent: take a replica from that host, and from no other. Ends when it may come.
///
/// Asked again it changes nothing. What is there in its way (a file of that name, too little room) refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldReplica {
    /// Names it at both ends.
    pub replica: ReplicaId,
    /// Of this server.
    pub server: ServerId,
    /// From there.
    pub source: HostName,
    /// By which the source's agent is known when it calls.
    pub source_certificate: CertificateDigest,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// What is done with files that are there already.
    pub base: Base,
}

/// To the source's agent: keep the replica up to date until told to stop, at the pace that is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicate {
    /// Which.
    pub replica: ReplicaId,
    /// Of this server.
    pub server: ServerId,
    /// Where it is held.
    pub peer: ReplicaPeer,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// How often and how fast, until another pace is wished.
    pub pace: Pace,
}

/// The agent that holds a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaPeer {
    /// Its host.
    pub host: HostName,
    /// Where it listens: address and port.
    pub address: String,
    /// By which it is known.
    pub certificate: CertificateDigest,
}

/// The replica that a live migration fills: its images are put in their place empty, and libvirt copies the disks into them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveReplica {
    /// Which.
    pub replica: ReplicaId,
    /// Where it is held.
    pub peer: ReplicaPeer,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
}

/// The replica that a server is cut over with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutoverReplica {
    /// Which.
    pub replica: ReplicaId,
    /// Where it is held.
    pub peer: ReplicaPeer,
    /// What it consists of.
    pub disks: Vec<ReplicaDisk>,
    /// Most bytes per second on the wire; nothing for no limit.
    pub bandwidth: Option<u64>,
    /// Rounds that must have landed before it is begun. 0 where the whole disks may be copied as a part of it: in an emergency, or of a
    /// server that is off.
    pub rounds: u64,
    /// How long the last round of the running server may take. Past that nothing has been touched, and the server stays.
    pub final_delta_within: Span,
    /// How long the round from the powered-off disks may take, all tries together. Past that the server is brought back at its source.
    pub tail_within: Span,
}

/// To the destination's agent: hold this replica no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReplica {
    /// Which.
    pub replica: ReplicaId,
    /// What becomes of its images.
    pub images: Images,
}
