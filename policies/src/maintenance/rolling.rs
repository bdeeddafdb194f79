//! What a maintenance over many hosts knows besides: whose turn it was, and who is next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hooks, Kind, Terms, Warned};
use crate::host::Standing;
use crate::ids::{HostName, ServerId};
use crate::packing::Uneven;
use crate::time::Instant;

/// What a maintenance over many hosts has besides. One of a few hosts that are all emptied at once has nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rolling {
    /// What is done with the hosts.
    #[serde(default, skip_serializing_if = "Kind::is_drain")]
    pub kind: Kind,
    /// What it keeps to.
    #[serde(default)]
    pub terms: Terms,
    /// Hosts whose turn has come.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub turns: BTreeMap<HostName, Turn>,
    /// Those whose turn is yet to come.
    #[serde(default, skip_serializing_if = "Waves::is_empty")]
    pub waves: Waves,
    /// So many failed hosts are borne, whatever the terms say: somebody went on in spite of them.
    #[serde(default)]
    pub borne: u32,
    /// Since when no host begins any more because too many have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted_at: Option<Instant>,
    /// Whether operators were told that the deadline is not kept.
    #[serde(default, skip_serializing_if = "Warned::is_no")]
    pub late_told: Warned,
    /// Of a rebalance, what is moved.
    #[serde(default, skip_serializing_if = "Balance::is_empty")]
    pub balance: Balance,
}

/// What evens hosts out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Each server once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<Shift>,
    /// Hosts that are used by more or less than was wished even so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uneven: Vec<Uneven>,
}

/// A server goes where less is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Which.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// From there.
    pub from: HostName,
    /// To there; by the time it is moved that may be another.
    pub to: HostName,
    /// When its migration was opened; nothing before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Instant>,
}

impl Balance {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that are yet to begin.
    pub fn ahead(&self) -> impl Iterator<Item = &Shift> {
        self.shifts.iter().filter(|shift| shift.begun_at.is_none())
    }
}

impl Rolling {
    /// Whether there is nothing of it: hosts that are all emptied at once.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Failed hosts that are borne.
    #[must_use]
    pub fn bears(&self) -> u32 {
        self.terms.max_failed_hosts.max(self.borne)
    }

    /// Whether hooks are run.
    #[must_use]
    pub fn runs_hooks(&self) -> bool {
        self.kind == Kind::Patch && self.terms.hooks == Hooks::Run
    }
}

/// A host's turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// With which wave it came.
    pub wave: u32,
    /// When.
    pub began_at: Instant,
    /// What was wished of the host before, which it goes back to.
    #[serde(default)]
    pub was: Standing,
    /// Whether it was told that it takes long.
    pub warned: Warned,
    /// What ran on it then.
    pub had: Versions,
    /// When it failed, if operators were told of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_told: Option<Instant>,
}

/// What runs on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// libvirt's version as it counts: 11003000 is 11.3.0.
    pub libvirt: u64,
    /// QEMU's.
    pub qemu: u64,
    /// Another one after each boot; nothing where the agent does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

impl Versions {
    /// What is another than before, in words; nothing when all is as it was.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Option<String> {
        let version = |name: &str, before: u64, now: u64| {
            (before != now).then(|| format!("{name} {} instead of {}", dotted(now), dotted(before)))
        };
        let changed: Vec<String> = [
            (self.boot_id.is_some() && self.boot_id != before.boot_id).then(|| "booted anew".to_owned()),
            version("libvirt", before.libvirt, self.libvirt),
            version("QEMU", before.qemu, self.qemu),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }
}

fn dotted(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// The hosts whose turn is yet to come, as last planned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waves {
    /// In order.
    pub ahead: Vec<Wave>,
    /// Of what they were made.
    pub seen: Seen,
    /// By cluster, the whole picture in which none of its hosts could begin for want of room: until it changes that is not tried again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub full: BTreeMap<String, u64>,
    /// Of a rebalance, the whole picture in which hosts were evened out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evened_at: Option<u64>,
}

/// What waves were made of, so that it is found when something of it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// A digest of everything that counts.
    pub digest: u64,
    /// How many servers there were.
    pub servers: usize,
    /// Hosts on which nothing can be begun or placed: nothing is heard of them, or somebody has cordoned them.
    pub unusable: BTreeSet<HostName>,
}

impl Seen {
    /// What is another than before, in words.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> String {
        let names = |hosts: Vec<&HostName>, what: &str| {
            let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            (!names.is_empty()).then(|| format!("{} {what}", names.join(", ")))
        };
        let count = |more: usize, what: &str| {
            (more > 0).then(|| format!("{more} {} {what}", if more == 1 { "server" } else { "servers" }))
        };
        let changed: Vec<String> = [
            names(self.unusable.difference(&before.unusable).collect(), "can't be used any more"),
            names(before.unusable.difference(&self.unusable).collect(), "can be used again"),
            count(self.servers.saturating_sub(before.servers), "more"),
            count(before.servers.saturating_sub(self.servers), "less"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match changed.is_empty() {
            true => "hosts or servers are not what they were".to_owned(),
            false => changed.join("; "),
        }
    }
}

/// Hosts that are emptied together, as far as limits allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Counted from 1.
    pub number: u32,
    /// They.
    pub hosts: Vec<HostName>,
    /// Why they come in this wave.
    pub because: Because,
}

/// Why hosts come in a wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Because {
    /// Others that are open, or done by then, have room for their servers.
    Room,
    /// There is no room but on hosts whose own turn is yet to come: their servers move twice.
    First,
    /// Servers of theirs wait for the time of their owners.
    Owners {
        /// So many.
        servers: usize,
    },
    /// Something keeps a server of theirs from leaving.
    Blocked {
        /// The server, for example.
        server: String,
        /// What.
        why: String,
    },
    /// There is no room for their servers.
    NoRoom {
        /// Which server finds no place, and what is missing.
        why: String,
        /// The least changes by which there would be room; each by itself is enough.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        would_help: Vec<String>,
    },
    /// Nothing is heard of them.
    Silent,
    /// More of them is used than of others, and some of their servers go there.
    Gives {
        /// So many.
        servers: usize,
    },
}

impl Because {
    /// Whether these come after all that can be emptied at any time.
    #[must_use]
    pub fn is_late(&self) -> bool {
        match self {
            Self::Room | Self::First | Self::Gives { .. } => false,
            Self::Owners { .. } | Self::Blocked { .. } | Self::NoRoom { .. } | Self::Silent => true,
        }
    }

    /// Whether somebody has to do something before these can be emptied.
    #[must_use]
    pub fn is_obstacle(&self) -> bool {
        match self {
            Self::Room | Self::First | Self::Owners { .. } | Self::Gives { .. } => false,
            Self::Blocked { .. } | Self::NoRoom { .. } | Self::Silent => true,
        }
    }

    /// What would have to change so that these hosts need not wait for this.
    #[must_use]
    pub fn would_help(&self, hosts: &str) -> String {
        match self {
            Self::Room => {
                "more hosts at once (hosts_at_once, per, per_cluster), or room on other hosts".to_owned()
            }
            Self::First => {
                "room on hosts that are no part of this maintenance: its servers would move once".to_owned()
            }
            Self::Owners { .. } => "owners who start their servers' migrations now, or allow them to go live; an emergency waits for nobody".to_owned(),
            Self::Blocked { server, .. } => {
                format!("clearing away what keeps {server}: drover explain {server}")
            }
            Self::NoRoom { would_help, .. } if would_help.is_empty() => {
                "room on other hosts: open one that is cordoned, add one, or leave these out".to_owned()
            }
            Self::NoRoom { would_help, .. } => format!("{}; or leaving out {hosts}", would_help.join("; or ")),
            Self::Gives { .. } => "more hosts at once (hosts_at_once, per, per_cluster)".to_owned(),
            Self::Silent => {
                format!("its agent: see that drover-agent runs on {hosts} and reaches the scheduler")
            }
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room => f.write_str("others have room for their servers by then"),
            Self::First => f.write_str(
                "nobody else has room yet: their servers go to hosts of later waves, and move again",
            ),
            Self::Owners { servers: 1 } => f.write_str("a server waits for the time of its owner"),
            Self::Owners { servers } => write!(f, "{servers} servers wait for the times of their owners"),
            Self::Blocked { server, why } => write!(f, "{server} can't leave: {why}"),
            Self::NoRoom { why, .. } => write!(f, "no room: {why}"),
            Self::Silent => f.write_str("nothing is heard of their agents"),
            Self::Gives { servers: 1 } => f.write_str("a server goes where less is used"),
            Self::Gives { servers } => write!(f, "{servers} servers go where less is used"),
        }
    }
}

impl Waves {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whose turn is yet to come, in order.
    pub fn hosts(&self) -> impl Iterator<Item = (&Wave, &HostName)> {
        self.ahead.iter().flat_map(|wave| wave.hosts.iter().map(move |host| (wave, host)))
    }

    /// The wave of a host whose turn is yet to come.
    #[must_use]
    pub fn of(&self, host: &HostName) -> Option<&Wave> {
        self.hosts().find(|(_, known)| *known == host).map(|(wave, _)| wave)
    }

    /// Its turn has come. Answers with the number of its wave.
    pub fn take(&mut self, host: &HostName) -> Option<u32> {
        let place = |hosts: &[HostName]| hosts.iter().position(|known| known == host);
        let (wave, place) =
            self.ahead.iter().enumerate().find_map(|(wave, ahead)| Some((wave, place(&ahead.hosts)?)))?;
        let number = self.ahead[wave].number;
        self.ahead[wave].hosts.remove(place);
        if self.ahead[wave].hosts.is_empty() {
            self.ahead.remove(wave);
        }
        Some(number)
    }
}
