//! Why a host can't take a server, with the figures, and what would help.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::NoPlace;
use crate::fleet::{Ability, HostFacts, Plug, SERVERS};
use crate::ids::HostName;
use crate::time::Span;

/// Why a host can't take a server. In the order in which it is looked for: what nothing can change first, what the next hour may
/// change last, so that the reason named is the one that must be dealt with anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WhyNotHere {
    /// No agent ever told of it.
    Unknown,
    /// The host on which the server is now is not known, so nothing can be compared.
    SourceUnknown,
    /// The server is there already.
    Source,
    /// It belongs to another cluster.
    OtherCluster {
        /// Which.
        cluster: String,
    },
    /// The same maintenance empties it.
    Emptied,
    /// Another architecture.
    Arch {
        /// The server's.
        needs: String,
        /// The host's.
        has: String,
    },
    /// Its processor can't offer the model that the guest was given.
    CpuModel {
        /// The guest's.
        needs: String,
    },
    /// The host's processor is handed through, and this one is another.
    CpuPassthrough {
        /// The source's model.
        needs: String,
        /// This host's.
        has: String,
    },
    /// Its emulator doesn't know the machine type.
    MachineType {
        /// The server's.
        needs: String,
    },
    /// It doesn't reach all of the server's storage.
    Storage {
        /// What it doesn't reach.
        lacks: BTreeSet<String>,
    },
    /// It has not what a network card is to be plugged into by the server's blueprint.
    Network {
        /// What it lacks.
        lacks: Plug,
    },
    /// The server has local disks, and this host's agent takes no copies of them.
    NotReplicating,
    /// The server goes live with its local disks, and this host's agent takes no such servers.
    NotCopyingLive,
    /// A local disk's path lies in none of the directories in which it takes copies.
    NoDirectory {
        /// The path.
        path: String,
    },
    /// Too little room for the copies of its local disks.
    DiskRoom {
        /// The directory.
        directory: String,
        /// Wanted, in bytes.
        needs: u64,
        /// Free, in bytes, less what other copies will take.
        free: u64,
    },
    /// Nothing can be imported to it.
    NotImporting {
        /// What it lacks.
        lacks: Ability,
    },
    /// Its libvirt is a major version behind the source's, and a live migration back in versions is not supported.
    OlderLibvirt {
        /// The source's major version.
        source: u64,
        /// This host's.
        here: u64,
    },
    /// Policy wants a label to be the same as at the source.
    Label {
        /// Which.
        label: String,
        /// Its value at the source; nothing if the source lacks it.
        wants: Option<String>,
        /// Its value here.
        has: Option<String>,
    },
    /// Another server of the same name is there, and libvirt knows servers by name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// A server of the same anti-affinity group is there, or will be.
    AntiAffinity {
        /// The group.
        group: String,
        /// That server; its id, if its name isn't known.
        with: String,
    },
    /// The other servers of an affinity group are elsewhere, or will be.
    Affinity {
        /// The group.
        group: String,
        /// Where they are.
        at: BTreeSet<HostName>,
    },
    /// Not enough of a resource that operators name, or as many servers as it may carry.
    Resource {
        /// Which.
        name: String,
        /// Wanted.
        needs: u64,
        /// Free.
        free: u64,
    },
    /// Not enough virtual processors, overcommit included.
    Vcpus {
        /// Wanted.
        needs: u64,
        /// Free.
        free: u64,
    },
    /// Not enough memory.
    Memory {
        /// Wanted, in bytes, with QEMU's overhead.
        needs: u64,
        /// Free, in bytes.
        free: u64,
    },
    /// Whoever asked left it out: it refused this server a while ago, or an operator said so.
    Excluded {
        /// Why.
        why: String,
    },
    /// It is cordoned, draining or drained.
    NotOpen {
        /// Its standing, as one word.
        standing: String,
    },
    /// Its agent has not been heard of for too long.
    Silent {
        /// For how long.
        since: Span,
    },
    /// It can't take the whole affinity group at once.
    Together {
        /// How many servers have to stay together.
        servers: usize,
        /// The first for which there is no place beside the others.
        server: String,
        /// Why not.
        why: Box<WhyNotHere>,
    },
}

impl WhyNotHere {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::SourceUnknown => "source_unknown",
            Self::Source => "source",
            Self::OtherCluster { .. } => "other_cluster",
            Self::Emptied => "emptied",
            Self::Arch { .. } => "arch",
            Self::CpuModel { .. } => "cpu_model",
            Self::CpuPassthrough { .. } => "cpu_passthrough",
            Self::MachineType { .. } => "machine_type",
            Self::Storage { .. } => "storage",
            Self::Network { .. } => "network",
            Self::NotReplicating => "not_replicating",
            Self::NotCopyingLive => "not_copying_live",
            Self::NoDirectory { .. } => "no_directory",
            Self::DiskRoom { .. } => "disk_room",
            Self::NotImporting { .. } => "not_importing",
            Self::OlderLibvirt { .. } => "older_libvirt",
            Self::Label { .. } => "label",
            Self::NameTaken { .. } => "name_taken",
            Self::AntiAffinity { .. } => "anti_affinity",
            Self::Affinity { .. } => "affinity",
            Self::Resource { .. } => "resource",
            Self::Vcpus { .. } => "vcpus",
            Self::Memory { .. } => "memory",
            Self::Excluded { .. } => "excluded",
            Self::NotOpen { .. } => "not_open",
            Self::Silent { .. } => "silent",
            Self::Together { .. } => "together",
        }
    }

    /// How easily an operator can change it, more is easier, and what to do; nothing where this host will never do.
    fn remedy(&self) -> Option<(u8, String)> {
        let easy = match self {
            Self::Unknown | Self::Source | Self::OtherCluster { .. } | Self::Emptied | Self::Arch { .. } => {
                return None;
            }
            Self::CpuModel { .. } | Self::CpuPassthrough { .. } | Self::MachineType { .. } => {
                (1, "add a host of the same kind to the cluster".to_owned())
            }
            Self::NotReplicating => {
                (3, "set `[replication] listen` and `directories` in another host's agent".to_owned())
            }
            Self::NotCopyingLive => {
                (3, "upgrade another host's agent, or set live.local_disks to false for it".to_owned())
            }
            Self::NoDirectory { path } => (
                3,
                format!(
                    "add a directory that holds {path} to `[replication] directories` of another host's agent"
                ),
            ),
            Self::DiskRoom { directory, .. } => (5, format!("make room in {directory} on another host")),
            Self::NotImporting { lacks } => (3, not_importing(*lacks).1.to_owned()),
            Self::OlderLibvirt { .. } => (1, "upgrade libvirt on another host first".to_owned()),
            Self::SourceUnknown => (2, "see why the agent of its own host does not report".to_owned()),
            Self::Storage { lacks } => (2, format!("attach storage {} to another host", list(lacks))),
            Self::Network { lacks } => {
                (4, format!("make {lacks} on another host, or change the server's blueprint"))
            }
            Self::Label { label, .. } => {
                (2, format!("add a host with the same {label}, or take it out of placement.same_labels"))
            }
            Self::NameTaken { name } => (3, format!("rename one of the two servers called {name}")),
            Self::AntiAffinity { group, .. } => {
                (4, format!("add a host, or have the owner relax anti-affinity group {group}"))
            }
            Self::Affinity { group, at } => (4, format!("make room on {}, where group {group} is", list(at))),
            Self::Resource { name, .. } if name == SERVERS => {
                (5, "add a host, or raise `servers` in `[resources]` of another one's agent".to_owned())
            }
            Self::Resource { name, .. } => (
                5,
                format!(
                    "free {name} on another host, or raise it in `[resources]` of its agent's configuration"
                ),
            ),
            Self::Vcpus { .. } => (5, "add a host, or raise placement.vcpu_overcommit".to_owned()),
            Self::Memory { .. } => (5, "free memory on another host, or add one".to_owned()),
            Self::Excluded { .. } => (6, "it is tried there again later".to_owned()),
            Self::Silent { .. } => (7, "see why the agents of the silent hosts do not report".to_owned()),
            Self::NotOpen { .. } => {
                (8, "uncordon another host, or wait for its maintenance to end".to_owned())
            }
            Self::Together { why, .. } => return why.remedy(),
        };
        Some(easy)
    }
}

impl fmt::Display for WhyNotHere {
    /// Goes on after the host's name: `h3 lacks memory (…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("is not known: no agent has told of it"),
            Self::SourceUnknown => {
                f.write_str("can't be compared with the server's own host, of which no agent has told")
            }
            Self::Source => f.write_str("is where it is now"),
            Self::OtherCluster { cluster } => write!(f, "belongs to cluster {cluster}"),
            Self::Emptied => f.write_str("is to be emptied as well"),
            Self::Arch { needs, has } => write!(f, "has another architecture (needs {needs}, is {has})"),
            Self::CpuModel { needs } => write!(f, "can't offer processor model {needs}"),
            Self::CpuPassthrough { needs, has } => {
                write!(f, "has another processor (the guest was given a {needs} as it is, this is a {has})")
            }
            Self::MachineType { needs } => write!(f, "doesn't know machine type {needs}"),
            Self::Storage { lacks } => write!(f, "doesn't reach storage {}", list(lacks)),
            Self::Network { lacks } => write!(f, "has no {lacks}, which the server's blueprint wants"),
            Self::NotReplicating => f.write_str("takes no copies of local disks"),
            Self::NotCopyingLive => f.write_str("takes no running servers with local disks"),
            Self::NoDirectory { path } => write!(f, "takes no copies of disks into {path}"),
            Self::DiskRoom { directory, needs, free } => write!(
                f,
                "lacks room in {directory} (needs {}, {} are free)",
                Bytes::needed(*needs),
                Bytes::free(*free)
            ),
            Self::NotImporting { lacks } => {
                let (what, advice) = not_importing(*lacks);
                write!(f, "{what}; {advice}")
            }
            Self::OlderLibvirt { source, here } => {
                write!(f, "has an older libvirt (version {here}, the source has {source})")
            }
            Self::Label { label, wants, has } => {
                let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                write!(f, "has another {label} (needs {}, has {})", say(wants), say(has))
            }
            Self::NameTaken { name } => write!(f, "has another server called {name}"),
            Self::AntiAffinity { group, with } => {
                write!(f, "has {with} of anti-affinity group {group}")
            }
            Self::Affinity { group, at } => {
                write!(f, "is not where affinity group {group} is ({})", list(at))
            }
            Self::Resource { name, .. } if name == SERVERS => {
                f.write_str("carries as many servers as it may")
            }
            Self::Resource { name, needs, free } => {
                write!(f, "lacks {name} (needs {needs}, {free} are free)")
            }
            Self::Vcpus { needs, free } => write!(f, "lacks vCPUs (needs {needs}, {free} are free)"),
            Self::Memory { needs, free } => {
                write!(f, "lacks memory (needs {}, {} are free)", Bytes::needed(*needs), Bytes::free(*free))
            }
            Self::Excluded { why } => write!(f, "is left out ({why})"),
            Self::NotOpen { standing } => write!(f, "is {standing}"),
            Self::Silent { since } => write!(f, "has been silent for {}", since.rounded()),
            Self::Together { servers, server, why } => {
                write!(f, "can't take the {servers} servers that stay together: for {server} it {why}")
            }
        }
    }
}

/// What a host must be able to do for an import. In the order in which it is to be dealt with.
pub(super) const NEEDED_FOR_IMPORTS: [Ability; 3] =
    [Ability::Import, Ability::ReadForeignImages, Ability::FixGuests];

/// What keeps servers of other hypervisors from being imported at a host, and what to do.
#[must_use]
pub fn lacks_for_imports(facts: &HostFacts) -> Vec<String> {
    let lacking = NEEDED_FOR_IMPORTS.into_iter().filter(|ability| !facts.can(*ability));
    let say = |(what, advice): (&str, &str)| format!("{what}; {advice}");
    lacking.map(not_importing).map(say).collect()
}

/// What stands against importing where this is lacking, after the host's name, and what to do.
fn not_importing(lacks: Ability) -> (&'static str, &'static str) {
    match lacks {
        Ability::ReadForeignImages => {
            ("is not told from where it may import", "set `[import] sources` in its agent's configuration")
        }
        Ability::FixGuests => {
            ("has no virt-v2v", "install virt-v2v (with virt-v2v-in-place) and nbdkit on it")
        }
        Ability::Import
        | Ability::ReturnToRetained
        | Ability::CopyLive
        | Ability::Parallel
        | Ability::Reshape
        | Ability::ReshapeDisks
        | Ability::HoldBack
        | Ability::RunHooks
        | Ability::Unknown => ("has an agent that knows nothing of imports", "upgrade its agent"),
    }
}

/// How many hosts with the same reason are named one by one.
const NAMED: usize = 3;

impl NoPlace {
    /// What an operator can do about it: the easiest of what would help on one of the hosts.
    #[must_use]
    pub fn hint(&self) -> String {
        self.hosts
            .values()
            .filter_map(WhyNotHere::remedy)
            .max_by(|one, other| one.0.cmp(&other.0).then_with(|| other.1.cmp(&one.1)))
            .map_or_else(|| format!("add a host to cluster {}", self.cluster), |(_, what)| what)
    }
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut alike: BTreeMap<&'static str, Vec<(&HostName, &WhyNotHere)>> = BTreeMap::new();
        for (host, why) in &self.hosts {
            if !matches!(why, WhyNotHere::Source) {
                alike.entry(why.code()).or_default().push((host, why));
            }
        }
        if alike.is_empty() {
            return write!(f, "no other host is in cluster {}", self.cluster);
        }
        f.write_str("no host can take it: ")?;
        let mut first = true;
        for hosts in alike.values() {
            for (host, why) in hosts.iter().take(NAMED) {
                let between = if first { "" } else { "; " };
                first = false;
                write!(f, "{between}{host} {why}")?;
            }
            if let more @ 1.. = hosts.len().saturating_sub(NAMED) {
                write!(f, "; so it is on {more} more")?;
            }
        }
        Ok(())
    }
}

/// Bytes as people read them: `4.0 GiB`, `512 MiB`. What is needed is rounded up and what is free is cut, so that a host that lacks
/// a little never reads as one that has enough.
pub(crate) struct Bytes {
    tenths_of_gib: u128,
    mib: u64,
}

impl Bytes {
    pub(crate) fn needed(bytes: u64) -> Self {
        Self { tenths_of_gib: (u128::from(bytes) * 10).div_ceil(1 << 30), mib: bytes.div_ceil(1 << 20) }
    }

    pub(crate) fn free(bytes: u64) -> Self {
        Self { tenths_of_gib: u128::from(bytes) * 10 / (1 << 30), mib: bytes >> 20 }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mib < 1 << 10 {
            write!(f, "{} MiB", self.mib)
        } else {
            write!(f, "{}.{} GiB", self.tenths_of_gib / 10, self.tenths_of_gib % 10)
        }
    }
}

fn list<T: fmt::Display>(things: &BTreeSet<T>) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
