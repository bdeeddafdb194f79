//! Where a server can go, and which of those hosts is best.
//!
//! [`Room`] is a working picture of every host: what it has, less the servers seen there, less what is reserved there. A server
//! that is off counts in full, since its owner may start it at any time. A server on its way counts at both ends until it is seen
//! to have left: libvirt holds its memory at both.
//!
//! The best host is the one whose fullest of three measures is least full afterwards: memory, virtual processors, and the number
//! of servers. The number is in it because many small servers make a host as hard to empty as a few big ones; leaving it out
//! filled hosts with small servers when measured against other planners.

mod room;
mod storage;
mod suits;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::Method;
use crate::blueprint::Blueprint;
use crate::eligibility::{Suits, suits};
use crate::fleet::{Fleet, HostFacts, Resources, Server};
use crate::ids::{HostName, OwnerId, ServerId};
use crate::policy::{Effective, Policy, PolicySet};

pub use room::Room;
pub(crate) use why::Bytes;
pub use why::{WhyNotHere, lacks_for_imports};

/// Capacity held at a destination for a migration that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// For which server.
    pub server: ServerId,
    /// Where.
    pub host: HostName,
    /// Whose it is: groups of different owners have nothing to do with each other, even if they are called the same.
    pub owner: Option<OwnerId>,
    /// In bytes, QEMU's own overhead included.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// No other server of one of these groups comes to this host while the reservation holds.
    pub anti_affinity: BTreeSet<String>,
    /// Other servers of these groups go to this host as well.
    pub affinity: BTreeSet<String>,
    /// Its local disks, which are to be copied there: the room that each needs, in bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<PathBuf, u64>,
    /// What it takes of resources that operators name.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
}

impl Reservation {
    /// What has to be held at `host` for this server.
    #[must_use]
    pub fn of(wish: &Wish<'_>, host: &HostName) -> Self {
        let server = wish.server;
        Self {
            server: server.facts.id,
            host: host.clone(),
            owner: server.facts.owner.clone(),
            memory_bytes: wish.memory(),
            vcpus: wish.vcpus(),
            anti_affinity: server.facts.rules.anti_affinity.clone(),
            affinity: server.facts.rules.affinity.clone(),
            disks: storage::needed(server, wish.shape()),
            resources: server.facts.resources.clone(),
        }
    }

    /// What has to be held at `host` for this server.
    #[must_use]
    pub fn for_server(server: &Server, host: &HostName, policies: &PolicySet, fleet: &Fleet) -> Self {
        Self::of(&Wish::of(server, policies, fleet), host)
    }
}

/// What a server takes of its host's memory: its own, and what QEMU needs beside it.
#[must_use]
pub fn memory_with_overhead(server: &Server, policy: &Policy) -> u64 {
    server.facts.memory_bytes.saturating_add(policy.placement.memory_overhead)
}

/// Virtual processors that a host may carry in all, under this policy's overcommit.
#[must_use]
pub fn vcpu_limit(threads: u32, policy: &Policy) -> u64 {
    // A float that is no number or below zero becomes 0 here, one that is too large the largest integer: no policy can panic.
    (f64::from(threads) * policy.placement.vcpu_overcommit).floor() as u64
}

/// Whether a server can run on a host's machine at all, whatever else is there: processor, machine type, storage, libvirt, labels.
#[must_use]
pub fn is_machine_for(wish: &Wish<'_>, source: &HostFacts, here: &HostFacts) -> bool {
    suits::machine(wish, source, here).is_ok()
}

/// The room that a server's local disks need where they are copied to, by path, in bytes. Nothing of one whose disks can't be copied.
#[must_use]
pub fn disk_room(server: &Server) -> BTreeMap<PathBuf, u64> {
    storage::needed(server, None)
}

/// Whether a host has a directory for each of a server's local disks, and an agent that takes them. Not whether there is room.
#[must_use]
pub fn takes_disks(wish: &Wish<'_>, here: &HostFacts) -> bool {
    let disks = storage::needed(wish.server, wish.shape());
    let needs = storage::Needs { disks: &disks, settled: true, method: wish.method };
    disks.is_empty() || storage::fits(&needs, std::iter::empty(), here).is_ok()
}

/// A server that needs a place.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Where it is now, and what it needs.
    pub server: &'a Server,
    /// In force for it.
    pub policy: Arc<Effective>,
    /// How it will be moved; a live migration asks more of a destination.
    pub method: Method,
    /// What it shall look like there. A server that goes live stays as it is.
    pub blueprint: Option<&'a Blueprint>,
}

impl<'a> Wish<'a> {
    /// A server that goes live if nothing on it stands against that, and stays as it is.
    #[must_use]
    pub fn of(server: &'a Server, policies: &PolicySet, fleet: &Fleet) -> Self {
        let policy = policies.shared_of(server, fleet);
        let method = match suits(server, fleet, None, &policy.policy) {
            Suits::Live => Method::Live,
            Suits::Reboot(_) | Suits::Nothing(_) => Method::Reboot,
        };
        Self { server, policy, method, blueprint: None }
    }

    /// The settings in force for it.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy.policy
    }

    /// The same, with what it shall look like.
    #[must_use]
    pub fn with(self, blueprint: Option<&'a Blueprint>) -> Self {
        Self { blueprint, ..self }
    }

    /// What changes about it by the move.
    #[must_use]
    pub fn shape(&self) -> Option<&'a Blueprint> {
        match self.method {
            Method::Live => None,
            Method::Reboot => self.blueprint,
        }
    }

    /// The memory that it takes at its destination, in bytes, QEMU's own overhead included.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let own = self.shape().and_then(|blueprint| blueprint.memory_bytes);
        own.unwrap_or(self.server.facts.memory_bytes).saturating_add(self.policy().placement.memory_overhead)
    }

    /// Its virtual processors at its destination.
    #[must_use]
    pub fn vcpus(&self) -> u32 {
        self.shape().and_then(|blueprint| blueprint.vcpus).unwrap_or(self.server.facts.vcpus)
    }
}

/// How full a host would be, in millionths of what it has. Less is better: first the fullest measure counts, then their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Memory.
    pub memory: u64,
    /// Virtual processors, of those that overcommit allows.
    pub vcpus: u64,
    /// Servers, where a host full of average servers counts as full.
    pub count: u64,
}

impl Score {
    fn rank(&self) -> (u64, u64) {
        let fullest = self.memory.max(self.vcpus).max(self.count);
        (fullest, self.memory.saturating_add(self.vcpus).saturating_add(self.count))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    /// Fuller is greater. Scores of equal rank are told apart by their parts, so that the order agrees with equality.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |score: &Self| (score.rank(), score.memory, score.vcpus);
        key(self).cmp(&key(other))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |millionths: u64| millionths.saturating_add(5_000) / 10_000;
        write!(f, "{} % memory, {} % vCPU used after it", percent(self.memory), percent(self.vcpus))
    }
}

/// A place, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Where.
    pub host: HostName,
    /// How full it is then.
    pub score: Score,
    /// For people: `most room left of 3: 61 % memory, 12 % vCPU used after it`.
    pub why: String,
}

/// No host can take a server, and why not, for each host of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoPlace {
    /// The cluster in which a place was looked for.
    pub cluster: String,
    /// Every host of it. Nothing in here when the cluster has no other host.
    pub hosts: BTreeMap<HostName, WhyNotHere>,
}
