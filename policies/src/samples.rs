//! Small fleets for examples and tests.
//!
//! ```
//! use drover_policies::samples::{Sample, gib};
//!
//! let fleet = Sample::new()
//!     .hosts(&["h1", "h2"])
//!     .server("h1", "web", |web| web.memory_bytes = gib(4))
//!     .fleet();
//! assert_eq!(fleet.servers().len(), 1);
//! ```
//!
//! Everything is fixed: ids count from 1 in the order in which servers are added, all facts are of [`NOON`].

mod racks;

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use uuid::Uuid;

use crate::fleet::{
    Ability, Autostart, Definition, Disk, Fleet, GuestAgent, GuestCpu, Host, HostCpu, HostFacts, OwnerRules,
    Power, Reach, Server, ServerFacts,
};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::time::Instant;

pub use self::racks::Racks;

/// When all facts of a sample were observed: 2026-01-05 12:00 UTC, a Monday.
pub const NOON: Instant = match DateTime::from_timestamp(1_767_614_400, 0) {
    Some(moment) => moment,
    None => Instant::UNIX_EPOCH,
};

/// The storage that every sample host reaches and every sample disk is on.
pub const STORAGE: &str = "pool";

/// So many gibibytes, in bytes.
#[must_use]
pub const fn gib(n: u64) -> u64 {
    n << 30
}

/// A host's name.
///
/// # Panics
/// If it is none: samples are written by hand.
#[must_use]
pub fn host_name(name: &str) -> HostName {
    HostName::new(name).expect("a sample's host name is usable")
}

/// An owner's id.
///
/// # Panics
/// If it is none: samples are written by hand.
#[must_use]
pub fn owner_id(name: &str) -> OwnerId {
    OwnerId::new(name).expect("a sample's owner is usable")
}

/// The id of the n-th server of a sample, counted from 1.
#[must_use]
pub fn server_id(n: u128) -> ServerId {
    ServerId(Uuid::from_u128(n))
}

/// An open host of 64 GiB and 16 threads in cluster `c1` that can run every sample server.
#[must_use]
pub fn host_facts(name: &str) -> HostFacts {
    HostFacts {
        cluster: "c1".to_owned(),
        labels: BTreeMap::new(),
        libvirt_uri: format!("qemu+tls://{name}.example/system"),
        migration_address: None,
        memory_bytes: gib(64),
        cpu_threads: 16,
        cpu: HostCpu {
            arch: "x86_64".to_owned(),
            model: "Skylake-Server-IBRS".to_owned(),
            usable_models: set(&["qemu64", "Haswell", "Skylake-Server-IBRS"]),
        },
        machine_types: set(&["pc-q35-10.0", "q35"]),
        shared_storage: set(&[STORAGE]),
        libvirt_version: 11_003_000,
        qemu_version: 10_000_002,
        replication: None,
        abilities: BTreeSet::from([Ability::ReturnToRetained, Ability::Reshape, Ability::ReshapeDisks]),
        plugs: None,
        boot_id: None,
        hooks: BTreeSet::new(),
        agent: None,
        resources: BTreeMap::new(),
    }
}

/// A running, persistent server of owner `acme` with 2 GiB, 2 processors and one disk on shared storage.
#[must_use]
pub fn server_facts(id: ServerId, name: &str) -> ServerFacts {
    ServerFacts {
        id,
        name: name.to_owned(),
        power: Power::Running,
        definition: Definition::Persistent,
        owner: Some(owner_id("acme")),
        labels: BTreeMap::new(),
        rules: OwnerRules::default(),
        memory_bytes: gib(2),
        vcpus: 2,
        arch: "x86_64".to_owned(),
        machine_type: "pc-q35-10.0".to_owned(),
        cpu: GuestCpu::Model { name: "Haswell".to_owned() },
        disks: vec![shared_disk("vda", name)],
        blockers: Vec::new(),
        guest_agent: GuestAgent::Connected,
        autostart: Autostart::No,
        plugs: None,
        resources: BTreeMap::new(),
    }
}

/// A disk on the storage that every sample host reaches.
#[must_use]
pub fn shared_disk(target: &str, server: &str) -> Disk {
    Disk {
        target: target.to_owned(),
        source: format!("/srv/{STORAGE}/{server}-{target}.qcow2"),
        format: "qcow2".to_owned(),
        virtual_bytes: Some(gib(10)),
        allocated_bytes: None,
        reach: Reach::Shared { storage: STORAGE.to_owned() },
    }
}

/// A disk that only its host has.
#[must_use]
pub fn local_disk(target: &str, source: &str) -> Disk {
    Disk {
        target: target.to_owned(),
        source: source.to_owned(),
        format: "raw".to_owned(),
        virtual_bytes: Some(gib(1)),
        allocated_bytes: None,
        reach: Reach::Local,
    }
}

/// A set of words.
#[must_use]
pub fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A fleet being made.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    fleet: Fleet,
    servers: u128,
}

impl Sample {
    /// No host and no server yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds hosts as [`host_facts`] has them.
    #[must_use]
    pub fn hosts(self, names: &[&str]) -> Self {
        names.iter().fold(self, |sample, name| sample.host(name, |_| {}))
    }

    /// Adds a host, changed as wanted.
    #[must_use]
    pub fn host(mut self, name: &str, change: impl FnOnce(&mut Host)) -> Self {
        let mut host = Host {
            name: host_name(name),
            facts: host_facts(name),
            observed_at: NOON,
            standing: Standing::Open,
        };
        change(&mut host);
        self.fleet.hosts.insert(host.name.clone(), host);
        self
    }

    /// Adds a server as [`server_facts`] has it, changed as wanted. It gets the next id.
    #[must_use]
    pub fn server(mut self, host: &str, name: &str, change: impl FnOnce(&mut ServerFacts)) -> Self {
        self.servers += 1;
        let mut facts = server_facts(server_id(self.servers), name);
        change(&mut facts);
        let server = Server { host: host_name(host), facts, observed_at: NOON };
        self.fleet.sightings.entry(server.host.clone()).or_default().insert(server.facts.id, server);
        self
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(self) -> Fleet {
        self.fleet
    }
}
