//! By which method a server can leave its host, and if not live, why not.
//!
//! The answer hangs on the server and its policy alone; whether there is a place for it is another question
//! ([`crate::placement`]). What stands in the way of both methods is looked for first: a server that can't be moved at all is
//! not to be proposed a time by ticket.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::FailureClass;
use crate::fleet::{Ability, Allowance, Blocker, Definition, Fleet, Host, Power, Reach, Server, ServerFacts};
use crate::ids::HostName;
use crate::policy::Policy;

mod contradiction;
mod local;

use self::contradiction::contradiction;
pub use local::{WhyNotCopied, copied_disks, has_local_disks, local_bytes, needed_bytes};

/// By which method a server can leave its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "why", rename_all = "snake_case")]
pub enum Suits {
    /// While it runs.
    Live,
    /// By powering it off here and booting it there.
    Reboot(WhyNotLive),
    /// By neither, until somebody removes what is in the way.
    Nothing(WhyBlocked),
}

/// Why a server is not moved while it runs. The serialised `code` is the same word as [`WhyNotLive::code`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WhyNotLive {
    /// Its owner said so.
    OwnerForbids,
    /// The policy in force for it says so, and its owner said nothing.
    PolicyForbids,
    /// Its owner asked for a reboot migration (owners start no live ones).
    OwnerAskedForReboot,
    /// A block job or backup runs on one of its disks.
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
    /// It is off: it is moved the way of a reboot migration, but nobody notices, so there is no downtime, no ticket and no window.
    NotRunning,
    /// Its disks are files that only its host has: they are copied while it runs, and it is rebooted from the copy.
    LocalDisks {
        /// Which.
        disks: Vec<String>,
    },
    /// It is paused. libvirt would move it live, but a guest that does not run can't be seen alive afterwards.
    Paused,
    /// libvirt takes it for off although it runs.
    LostByLibvirt,
    /// Live migration was tried, and policy gives it no further try.
    LiveFailed {
        /// Tries so far.
        attempts: u32,
        /// How the last one failed.
        class: FailureClass,
        /// For operators: what the hypervisor said then.
        text: String,
    },
}

/// Whether moving a server has to be agreed with somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Whoever uses the server would notice.
    Felt,
    /// Nobody notices.
    None,
}

impl WhyNotLive {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OwnerForbids => "owner_forbids",
            Self::PolicyForbids => "policy_forbids",
            Self::OwnerAskedForReboot => "owner_asked_for_reboot",
            Self::BlockJob { .. } => "block_job",
            Self::UnsafeCache { .. } => "unsafe_cache",
            Self::NotRunning => "not_running",
            Self::LocalDisks { .. } => "local_disks",
            Self::Paused => "paused",
            Self::LostByLibvirt => "lost_by_libvirt",
            Self::LiveFailed { .. } => "live_failed",
        }
    }

    /// Whether it stands whatever the server and its policy look like now. Everything else is found anew each time, so that a server
    /// goes live once its block job has ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::OwnerAskedForReboot | Self::LiveFailed { .. } => true,
            Self::OwnerForbids
            | Self::PolicyForbids
            | Self::BlockJob { .. }
            | Self::UnsafeCache { .. }
            | Self::NotRunning
            | Self::LocalDisks { .. }
            | Self::Paused
            | Self::LostByLibvirt => false,
        }
    }

    /// Whether the reboot migration that follows from it interrupts anything.
    #[must_use]
    pub fn interruption(&self) -> Interruption {
        match self {
            Self::NotRunning => Interruption::None,
            Self::OwnerForbids
            | Self::PolicyForbids
            | Self::OwnerAskedForReboot
            | Self::BlockJob { .. }
            | Self::UnsafeCache { .. }
            | Self::LocalDisks { .. }
            | Self::Paused
            | Self::LostByLibvirt
            | Self::LiveFailed { .. } => Interruption::Felt,
        }
    }

    /// One sentence for the server's owner. It names no host, no disk path and nobody else's server.
    #[must_use]
    pub fn for_owner(&self) -> String {
        match self {
            Self::OwnerForbids => {
                "You have asked that this server is not moved while it is running, so it has to be restarted."
                    .to_owned()
            }
            Self::PolicyForbids => {
                "Servers of this kind are not moved while they are running, so it has to be restarted."
                    .to_owned()
            }
            Self::OwnerAskedForReboot => "You asked for it to be moved by a restart.".to_owned(),
            Self::BlockJob { disk } => format!(
                "A backup or copy job is working on its disk {disk}, and a server cannot be moved while it is running during such a job."
            ),
            Self::UnsafeCache { disk, cache } => format!(
                "Its disk {disk} uses the cache mode {cache}, with which a move of the running server could lose data."
            ),
            Self::NotRunning => "The server is switched off, so moving it interrupts nothing.".to_owned(),
            Self::LocalDisks { .. } => {
                "Its disks are on the hardware that it runs on, so they are copied while it runs, and it has to be restarted from the copy."
                    .to_owned()
            }
            Self::Paused => {
                "The server is paused, and only a server that is running can be moved without a restart."
                    .to_owned()
            }
            Self::LostByLibvirt => {
                "The software that runs it has lost its connection to it, which only a restart brings back."
                    .to_owned()
            }
            Self::LiveFailed { class: FailureClass::NotConverging, .. } => {
                "Its memory changes faster than it can be copied, so it cannot be moved while it is running. A server that is less busy, or has less memory, can be."
                    .to_owned()
            }
            Self::LiveFailed { .. } => {
                "Moving it while it was running was tried and did not succeed, without harm to the server; an up-to-date kernel in it, and less memory in use, make success more likely."
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for WhyNotLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerForbids => f.write_str(
                "its owner forbids live migration; it is rebooted in a window unless the owner allows it in the server's metadata",
            ),
            Self::PolicyForbids => f.write_str(
                "policy forbids live migration (live.allowed is false); the owner or a nearer rule may allow it",
            ),
            Self::OwnerAskedForReboot => f.write_str("its owner asked for a reboot migration"),
            Self::BlockJob { disk } => write!(
                f,
                "a block job runs on disk {disk} and libvirt refuses to migrate it live; let the job end or abort it, then plan again"
            ),
            Self::UnsafeCache { disk, cache } => write!(
                f,
                "disk {disk} uses cache mode {cache}, unsafe in a live migration; cache mode none or directsync would let it go live"
            ),
            Self::NotRunning => f.write_str("it is off; it is moved without ticket or window"),
            Self::LocalDisks { disks } => write!(
                f,
                "{} only on its host: copied while it runs, and booted from the copy in a window; shared storage would let it go live, and so would live.local_disks = true with agents that copy disks at both ends",
                match disks.as_slice() {
                    [disk] => format!("disk {disk} is"),
                    several => format!("disks {} are", several.join(", ")),
                }
            ),
            Self::Paused => f.write_str("it is paused; resume it and it can go live"),
            Self::LostByLibvirt => f.write_str(
                "libvirt takes it for off although its QEMU runs, as its daemon was ended at a bad moment; only a power cycle brings the two together again",
            ),
            Self::LiveFailed { attempts, class, text } => {
                match attempts {
                    1 => write!(f, "live migration was tried once: {class}")?,
                    _ => write!(f, "live migration was tried {attempts} times, at last: {class}")?,
                }
                if !text.is_empty() {
                    write!(f, " ({text})")?;
                }
                if class.live_may_succeed_later() {
                    f.write_str("; retry the migration to try live once more")
                } else {
                    f.write_str("; trying again without a change of the server or the policy will not help")
                }
            }
        }
    }
}

/// What keeps a server from being moved by either method. The serialised `code` is the same word as [`WhyBlocked::code`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WhyBlocked {
    /// A disk or an inserted medium is a file or device that only this host has.
    LocalDisk {
        /// The disk.
        disk: String,
        /// Where its bytes are.
        source: String,
        /// Why it can't be copied.
        #[serde(default)]
        why: WhyNotCopied,
    },
    /// It has local disks, and the agent of its host makes no copies of them.
    NotReplicating {
        /// The host.
        host: HostName,
    },
    /// A device of the host is handed through.
    HostDevice {
        /// Which.
        device: String,
    },
    /// libvirt keeps snapshots of it; their metadata would be lost.
    Snapshots {
        /// How many.
        count: u32,
    },
    /// A directory of the host is shared into the guest.
    SharedFilesystem {
        /// Its mount tag.
        tag: String,
    },
    /// libvirt stopped it at the end of a migration or for an input/output error, or it is still arriving.
    Held,
    /// The guest crashed and was kept to be looked at; moving it would throw that away.
    Crashed,
    /// Its definition would be gone once it is powered off, and it can't go live.
    Transient {
        /// Why not live, as an operator reads it.
        not_live: String,
    },
    /// It is seen on another host too, and no migration of ours explains that. Found by the planner, not from the server alone.
    SeenTwice {
        /// The other host.
        also_on: HostName,
    },
    /// It is to stay with others of which two must not meet. Found from the fleet, not from the server alone.
    Contradiction {
        /// One of these two.
        one: String,
        /// The other.
        other: String,
        /// The affinity groups that keep them together.
        together: String,
        /// The anti-affinity group that keeps them apart.
        apart: String,
    },
}

impl WhyBlocked {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LocalDisk { .. } => "local_disk",
            Self::NotReplicating { .. } => "not_replicating",
            Self::HostDevice { .. } => "host_device",
            Self::Snapshots { .. } => "snapshots",
            Self::SharedFilesystem { .. } => "shared_filesystem",
            Self::Held => "held",
            Self::Crashed => "crashed",
            Self::Transient { .. } => "transient",
            Self::SeenTwice { .. } => "seen_twice",
            Self::Contradiction { .. } => "contradiction",
        }
    }
}

impl fmt::Display for WhyBlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalDisk { disk, source, why } => {
                write!(f, "{disk} is {source}, which only this host has and {why}")
            }
            Self::NotReplicating { host } => write!(
                f,
                "it has local disks, and the agent of {host} copies none; set `[replication] listen` and `directories` in its \
                 configuration, upgrade it if it does not know them, or move the disks to shared storage"
            ),
            Self::HostDevice { device } => {
                write!(f, "host device {device} is handed through, and no other host has that one; agree with the owner to detach it")
            }
            Self::Snapshots { count: 1 } => {
                f.write_str("libvirt keeps a snapshot of it, whose metadata would be lost; delete the snapshot")
            }
            Self::Snapshots { count } => {
                write!(f, "libvirt keeps {count} snapshots of it, whose metadata would be lost; delete the snapshots")
            }
            Self::SharedFilesystem { tag } => write!(
                f,
                "host directory {tag} is shared into the guest and no other host has it; detach it, or serve it over the network"
            ),
            Self::Held => f.write_str(
                "libvirt holds it, in the middle of a migration or after an input/output error; see `virsh domstate --reason`, \
                 and resume it or mend its storage",
            ),
            Self::Crashed => f.write_str(
                "the guest crashed and was kept to be looked at; when that is done, destroy or reset it, and it can be moved",
            ),
            Self::Transient { not_live } => write!(
                f,
                "it is transient, so its definition would be gone after a power-off, and it can't go live: {not_live}; \
                 define it with `virsh define`, or remove what keeps it from going live"
            ),
            Self::SeenTwice { also_on } => write!(
                f,
                "it is seen on {also_on} as well; find out which of the two is in use and undefine the other, never start both"
            ),
            Self::Contradiction { one, other, together, apart } => write!(
                f,
                "{one} and {other} are to stay together (affinity group {together}) and must not be on one host (anti-affinity group \
                 {apart}), so there is no host for them; have the owner take one of them out of one of these groups"
            ),
        }
    }
}

/// By which method a server can leave its host.
///
/// A transient domain goes live like any other: it is made persistent at the destination.
#[must_use]
pub fn method_for(server: &ServerFacts, policy: &Policy) -> Suits {
    method_with(server, policy, LocalDisks::ByRounds)
}

/// How local disks come to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocalDisks {
    /// With the running server.
    Live,
    /// In the background, for a reboot.
    ByRounds,
}

/// Whether there is anywhere to go live to with local disks: both agents must be able to.
fn local_disks_of(server: &Server, fleet: &Fleet, policy: &Policy) -> LocalDisks {
    if !has_local_disks(&server.facts) {
        return LocalDisks::ByRounds;
    }
    let able = |host: &&Host| host.facts.can(Ability::CopyLive) && host.facts.replication.is_some();
    let Some(source) = fleet.hosts.get(&server.host).filter(able).filter(|_| policy.live.local_disks) else {
        return LocalDisks::ByRounds;
    };
    let elsewhere =
        |host: &Host| host.name != source.name && host.facts.cluster == source.facts.cluster && able(&host);
    if fleet.hosts.values().any(elsewhere) { LocalDisks::Live } else { LocalDisks::ByRounds }
}

fn method_with(server: &ServerFacts, policy: &Policy, local: LocalDisks) -> Suits {
    if let Some(why) = obstacles(server).into_iter().next() {
        return Suits::Nothing(why);
    }
    match why_not_live(server, policy, local) {
        None => Suits::Live,
        Some(why) => by_reboot(server, why),
    }
}

/// By which method a server can leave its host once it is settled, for `why`, that it won't go live.
#[must_use]
pub fn method_without_live(server: &ServerFacts, why: WhyNotLive) -> Suits {
    match obstacles(server).into_iter().next() {
        Some(blocked) => Suits::Nothing(blocked),
        // What was settled while it ran does not call for a ticket once it is off.
        None if server.power == Power::Off => by_reboot(server, WhyNotLive::NotRunning),
        None => by_reboot(server, why),
    }
}

/// By which method a server can leave its host, by what that host's agent can do as well. `settled`: why it won't go live in any case.
#[must_use]
pub fn suits(server: &Server, fleet: &Fleet, settled: Option<WhyNotLive>, policy: &Policy) -> Suits {
    if let Some(why) = contradiction(server, fleet) {
        return Suits::Nothing(why);
    }
    let suits = match settled {
        Some(why) => method_without_live(&server.facts, why),
        None => method_with(&server.facts, policy, local_disks_of(server, fleet, policy)),
    };
    let replicates = || fleet.hosts.get(&server.host).is_some_and(|host| host.facts.replication.is_some());
    match suits {
        Suits::Reboot(_) if has_local_disks(&server.facts) && !replicates() => {
            Suits::Nothing(WhyBlocked::NotReplicating { host: server.host.clone() })
        }
        Suits::Reboot(_) | Suits::Live | Suits::Nothing(_) => suits,
    }
}

fn by_reboot(server: &ServerFacts, why: WhyNotLive) -> Suits {
    match server.definition {
        Definition::Persistent => Suits::Reboot(why),
        Definition::Transient => Suits::Nothing(WhyBlocked::Transient { not_live: why.to_string() }),
    }
}

/// Everything that stands in the way of both methods, so that an operator can clear it in one go. The first is the one to name
/// where there is room for one only.
#[must_use]
pub fn obstacles(server: &ServerFacts) -> Vec<WhyBlocked> {
    let mut found = Vec::new();
    match server.power {
        Power::Held | Power::Arriving => found.push(WhyBlocked::Held),
        Power::Crashed => found.push(WhyBlocked::Crashed),
        Power::Running | Power::Paused | Power::Off => {}
    }
    found.extend(server.blockers.iter().filter_map(blocks_both));
    found.extend(server.disks.iter().filter_map(|disk| match disk.reach {
        Reach::Local => local::copied(disk).err(),
        Reach::Shared { .. } | Reach::Empty => None,
    }));
    found
}

fn blocks_both(blocker: &Blocker) -> Option<WhyBlocked> {
    match blocker {
        Blocker::HostDevice { device } => Some(WhyBlocked::HostDevice { device: device.clone() }),
        Blocker::Snapshots { count } => Some(WhyBlocked::Snapshots { count: *count }),
        Blocker::SharedFilesystem { tag } => Some(WhyBlocked::SharedFilesystem { tag: tag.clone() }),
        Blocker::BlockJob { .. } | Blocker::UnsafeCache { .. } | Blocker::LostByLibvirt => None,
    }
}

fn why_not_live(server: &ServerFacts, policy: &Policy, local: LocalDisks) -> Option<WhyNotLive> {
    match server.power {
        Power::Off => return Some(WhyNotLive::NotRunning),
        Power::Paused => return Some(WhyNotLive::Paused),
        // The last three never come here: they are obstacles to both methods.
        Power::Running | Power::Held | Power::Arriving | Power::Crashed => {}
    }
    match server.rules.live_migration {
        Some(Allowance::Forbidden) => return Some(WhyNotLive::OwnerForbids),
        None if !policy.live.allowed => return Some(WhyNotLive::PolicyForbids),
        Some(Allowance::Allowed) | None => {}
    }
    if local == LocalDisks::ByRounds && has_local_disks(server) {
        return Some(WhyNotLive::LocalDisks { disks: local::names(server) });
    }
    server.blockers.iter().find_map(|blocker| match blocker {
        Blocker::BlockJob { disk } => Some(WhyNotLive::BlockJob { disk: disk.clone() }),
        Blocker::UnsafeCache { disk, cache } => {
            Some(WhyNotLive::UnsafeCache { disk: disk.clone(), cache: cache.clone() })
        }
        Blocker::LostByLibvirt => Some(WhyNotLive::LostByLibvirt),
        Blocker::HostDevice { .. } | Blocker::Snapshots { .. } | Blocker::SharedFilesystem { .. } => None,
    })
}
