//! The fleet: hosts and servers as last observed, each fact with its age.
//!
//! The facts are what an agent reads from libvirt on its own host; nothing in here is wished or decided. The
//! agent protocol carries these very types, so that a fact has one definition from libvirt to the planner.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::{HookName, HostName, OwnerId, ServerId};
use crate::time::Instant;

mod agent;
mod sightings;

pub use agent::{AgentFacts, Certificate, Ending};
pub(crate) use sightings::at;
pub use sightings::{OnHost, Sightings};

/// Free words on a host or server, for policies and placement: `rack = "r12"`.
pub type Labels = BTreeMap<String, String>;

/// What an agent knows of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The cluster, from the agent's configuration: the widest circle in which servers may be moved.
    pub cluster: String,
    /// From the agent's configuration.
    pub labels: Labels,
    /// Where the source's libvirt daemon reaches this host's: `qemu+tls://h2.example/system`.
    pub libvirt_uri: String,
    /// The address for the migration stream itself, if it has a network of its own.
    pub migration_address: Option<String>,
    /// Memory that servers may use, in bytes: the node's, less what the agent's configuration reserves for the host.
    pub memory_bytes: u64,
    /// Threads of the node's processors.
    pub cpu_threads: u32,
    /// The node's processor.
    pub cpu: HostCpu,
    /// Machine types that this host's emulators can run, canonical names and aliases.
    pub machine_types: BTreeSet<String>,
    /// Storage in which this host can open disks: names that mean the same storage on every host.
    pub shared_storage: BTreeSet<String>,
    /// libvirt's version as it counts: 11003000 is 11.3.0.
    pub libvirt_version: u64,
    /// QEMU's version in the same way.
    pub qemu_version: u64,
    /// How replicas of local disks reach this host; nothing when its agent takes and sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// What its agent can do beyond what every agent can.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub abilities: BTreeSet<Ability>,
    /// What network cards can be plugged into here; nothing when its agent does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugs: Option<BTreeSet<Plug>>,
    /// Names the host's boot: another one than before is a host that was rebooted. Nothing when its agent does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Hooks that can be run here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hooks: BTreeSet<HookName>,
    /// What its agent tells of itself; nothing when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentFacts>,
    /// What it has besides, from its agent's configuration. Of what is not named it has nothing, but for [`SERVERS`].
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
}

/// Things that hosts have a number of and servers take some of, by the names that operators give them: slots of a card, licences.
pub type Resources = BTreeMap<String, u32>;

/// Whether a resource may be called so: letters, digits, `-`, `_` and `.`, and no word that Drover has for something else.
#[must_use]
pub fn is_resource_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let taken = matches!(name, "memory" | "vcpus") || name.starts_with("storage");
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && !taken
}

/// What to write instead of a name that is none.
pub const RESOURCE_NAME: &str =
    "write up to 63 letters, digits, -, _ or ., and not memory, vcpus or what begins with storage";

/// The resource of which every server takes one, whether it says so or not. A host that does not name it carries any number.
pub const SERVERS: &str = "servers";

/// What a network card is plugged into, by the name that a definition has for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Plug {
    /// A network of libvirt's.
    Network(String),
    /// A bridge of the host's.
    Bridge(String),
}

impl Plug {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Network(name) | Self::Bridge(name) => name,
        }
    }

    /// The one of the same kind with this name.
    #[must_use]
    pub fn called(&self, name: &str) -> Self {
        match self {
            Self::Network(_) => Self::Network(name.to_owned()),
            Self::Bridge(_) => Self::Bridge(name.to_owned()),
        }
    }
}

impl fmt::Display for Plug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Bridge(name) => write!(f, "bridge {name}"),
        }
    }
}

impl HostFacts {
    /// How many servers it carries at the most.
    #[must_use]
    pub fn most_servers(&self) -> Option<u64> {
        self.resources.get(SERVERS).copied().map(u64::from)
    }

    /// Whether its agent says that it can do this.
    #[must_use]
    pub fn can(&self, what: Ability) -> bool {
        self.abilities.contains(&what)
    }
}

/// What not every agent can do. One that does not name it is not asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// A server goes back to the disks that were retained of it, as they are: away from this host, or to it.
    ReturnToRetained,
    /// A running server is moved with its local disks: away from this host, or to it. Only of agents that hold replicas.
    CopyLive,
    /// It sends the memory of a live migration over several connections.
    Parallel,
    /// It gives a server another shape where it is moved to.
    Reshape,
    /// … also its local disks, which lie elsewhere there or have another format.
    ReshapeDisks,
    /// It holds the copying of local disks back for the guest's own reading and writing.
    HoldBack,
    /// It runs the hooks of its host, and says whether its host is well.
    RunHooks,
    /// It knows what an import is.
    Import,
    /// It is told from where it may import.
    ReadForeignImages,
    /// The programs that fix guests of other hypervisors are installed on it.
    FixGuests,
    /// Something that a later agent can.
    #[serde(other)]
    Unknown,
}

/// How replicas of local disks reach a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Where its agent listens for other agents: address and port.
    pub address: String,
    /// By which its agent is known to them.
    pub certificate: CertificateDigest,
    /// Directories in which disks may be, here and at other hosts, each with its room.
    pub directories: Vec<LocalStorage>,
}

/// A directory for disks that only this host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalStorage {
    /// Where it is.
    pub path: PathBuf,
    /// What its file system holds, in bytes.
    pub total_bytes: u64,
    /// What is free there for files of root, in bytes.
    pub free_bytes: u64,
}

/// The SHA-256 digest of a certificate in DER, in hexadecimal: 64 digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertificateDigest(pub String);

/// A node's processor, as libvirt tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCpu {
    /// `x86_64`, `aarch64`, …
    pub arch: String,
    /// The host's model by libvirt's name: `Skylake-Server-IBRS`.
    pub model: String,
    /// Models that libvirt says can be run on this host without missing features (`usable='yes'`).
    pub usable_models: BTreeSet<String>,
}

/// A server as its host's libvirt shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// The domain's uuid.
    pub id: ServerId,
    /// The domain's name.
    pub name: String,
    /// Running, off, or between.
    pub power: Power,
    /// Whether libvirt keeps the definition when the server stops.
    pub definition: Definition,
    /// The account it belongs to, if any metadata or import says so.
    pub owner: Option<OwnerId>,
    /// From metadata or import.
    pub labels: Labels,
    /// What its owner allows and wishes.
    pub rules: OwnerRules,
    /// Memory in bytes (the domain's maximum: ballooning may give it back at any time).
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// `x86_64`, …
    pub arch: String,
    /// The machine type as pinned: `pc-q35-10.0`.
    pub machine_type: String,
    /// What the guest sees of the processor.
    pub cpu: GuestCpu,
    /// Disks, removable media included.
    pub disks: Vec<Disk>,
    /// What libvirt would refuse to migrate live, as found on the domain now.
    pub blockers: Vec<Blocker>,
    /// Whether a guest agent is there to be asked.
    pub guest_agent: GuestAgent,
    /// Whether libvirt starts it with the host.
    pub autostart: Autostart,
    /// What its network cards are plugged into; nothing when its host's agent does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugs: Option<BTreeSet<Plug>>,
    /// What it takes of its host's resources, from metadata or import.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
}

/// Running, off, or between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Its processors run.
    Running,
    /// Stopped by its owner or an operator, memory kept.
    Paused,
    /// Stopped by libvirt at the end of a migration or by an input/output error: not a state to act on.
    Held,
    /// Arriving by a migration, not running yet.
    Arriving,
    /// Off.
    Off,
    /// The guest crashed and was kept.
    Crashed,
}

/// Whether libvirt keeps the definition when the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Kept.
    Persistent,
    /// Gone with the server's end.
    Transient,
}

/// Whether libvirt starts the server with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autostart {
    /// With the host.
    Yes,
    /// By hand.
    No,
}

/// A guest agent's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestAgent {
    /// No channel for one.
    Absent,
    /// A channel, but nobody at its other end.
    Disconnected,
    /// There and connected.
    Connected,
}

/// What the guest sees of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum GuestCpu {
    /// A named model: runs wherever the host can offer it.
    Model {
        /// By libvirt's name.
        name: String,
    },
    /// The host's own processor handed through: runs on the same model only.
    HostPassthrough,
    /// The emulator's default or its maximum: runs on every host of the architecture under emulation.
    Default,
}

/// What the owner allows and wishes, from the server's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwnerRules {
    /// Said by the owner; nothing said leaves it to policy.
    pub live_migration: Option<Allowance>,
    /// Never two of one group on one host.
    pub anti_affinity: BTreeSet<String>,
    /// All of one group on one host.
    pub affinity: BTreeSet<String>,
}

/// Allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// It may be done.
    Allowed,
    /// It may not.
    Forbidden,
}

/// One disk of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name in the guest's definition: `vda`.
    pub target: String,
    /// Where its bytes are: a path, or `protocol:name` for network storage. Empty for a drive without a medium.
    pub source: String,
    /// `raw`, `qcow2`, …
    pub format: String,
    /// As the guest sees it, in bytes; nothing when libvirt could not say.
    pub virtual_bytes: Option<u64>,
    /// What its file takes up on the host, in bytes; nothing when libvirt could not say, or it is no local file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes: Option<u64>,
    /// Who can open it.
    pub reach: Reach,
}

/// Who can open a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reach {
    /// Every host with this storage.
    Shared {
        /// The storage's name, as in [`HostFacts::shared_storage`].
        storage: String,
    },
    /// This host only.
    Local,
    /// Nothing to open: an empty drive.
    Empty,
}

/// What libvirt would refuse to migrate live, with the words for a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Blocker {
    /// A device of the host is handed through.
    HostDevice {
        /// `pci 0000:3b:00.0`, `usb 1d6b:0002`, …
        device: String,
    },
    /// Snapshots known to libvirt.
    Snapshots {
        /// How many.
        count: u32,
    },
    /// A block job or backup runs on a disk.
    BlockJob {
        /// The disk.
        disk: String,
    },
    /// A disk's cache mode may lose data in a live migration.
    UnsafeCache {
        /// The disk.
        disk: String,
        /// The mode.
        cache: String,
    },
    /// A host directory is shared into the guest.
    SharedFilesystem {
        /// Its mount tag.
        tag: String,
    },
    /// libvirt takes it for off, and its QEMU runs: nothing but a power cycle brings the two together again.
    LostByLibvirt,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostDevice { device } => write!(f, "host device {device} is handed through"),
            Self::Snapshots { count: 1 } => f.write_str("libvirt keeps a snapshot of it"),
            Self::Snapshots { count } => write!(f, "libvirt keeps {count} snapshots of it"),
            Self::BlockJob { disk } => write!(f, "a block job runs on disk {disk}"),
            Self::UnsafeCache { disk, cache } => write!(f, "disk {disk} uses cache mode {cache}"),
            Self::SharedFilesystem { tag } => write!(f, "host directory {tag} is shared into the guest"),
            Self::LostByLibvirt => f.write_str(
                "libvirt takes it for off although its QEMU runs, as its daemon was ended at a bad moment",
            ),
        }
    }
}

/// A host with what is wished of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Observed.
    pub facts: HostFacts,
    /// When its agent last told.
    pub observed_at: Instant,
    /// Whether servers may be placed on it.
    pub standing: crate::host::Standing,
}

/// A server where it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where.
    pub host: HostName,
    /// Observed.
    pub facts: ServerFacts,
    /// When its host's agent last told.
    pub observed_at: Instant,
}

/// Every host and server as last observed.
///
/// A server may be seen on two hosts: during a live migration, or when a retained definition was brought back by hand.
/// So sightings are kept per host, and whoever asks says what he needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// By name.
    pub hosts: BTreeMap<HostName, Host>,
    /// By host and server.
    pub sightings: Sightings,
}

impl Fleet {
    /// The servers seen on a host, in the order of their ids.
    pub fn on(&self, host: &HostName) -> impl Iterator<Item = &Server> {
        self.sightings.get(host).into_iter().flat_map(|seen| seen.values())
    }

    /// A server as seen on one host.
    #[must_use]
    pub fn seen(&self, host: &HostName, server: ServerId) -> Option<&Server> {
        self.sightings.get(host)?.get(&server)
    }

    /// Every sighting of one server, in the order of the hosts' names.
    pub fn sightings_of(&self, server: ServerId) -> impl Iterator<Item = &Server> {
        self.sightings.of(server)
    }

    /// The sighting that counts: the running one, else the first that is not merely arriving.
    #[must_use]
    pub fn server(&self, server: ServerId) -> Option<&Server> {
        self.sightings.that_counts(server)
    }

    /// Every server once, where it counts, in the order of ids.
    #[must_use]
    pub fn servers(&self) -> BTreeMap<ServerId, &Server> {
        let mut servers: BTreeMap<ServerId, &Server> = BTreeMap::new();
        for (id, seen) in self.sightings.values().flat_map(|seen| seen.iter()) {
            let known = servers.entry(*id).or_insert(seen);
            if counts_before(seen, known) {
                *known = seen;
            }
        }
        servers
    }
}

/// Whether of two sightings of a server the first one counts, although the other was known before.
pub(crate) fn counts_before(one: &Server, known: &Server) -> bool {
    weight(one) < weight(known)
}

/// Which of several sightings of a server counts: the least.
fn weight(seen: &Server) -> u8 {
    match seen.facts.power {
        Power::Running => 0,
        Power::Paused | Power::Held | Power::Crashed => 1,
        Power::Off => 2,
        Power::Arriving => 3,
    }
}
