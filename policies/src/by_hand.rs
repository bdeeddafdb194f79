//! A fleet that a person writes: hosts and servers with what is known of them, many alike in one entry, and defaults for the rest.
//!
//! It is for plans and simulations of what is not there yet; `docs/fleets.md` shows one. What is written is the same in TOML and in JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::fleet::{
    Ability, Allowance, CertificateDigest, Disk, Fleet, GuestCpu, Host, HostFacts, Labels, LocalStorage,
    OnHost, Power, RESOURCE_NAME, Reach, Replication, Resources, Server, ServerFacts, is_resource_name,
};
use crate::host::Standing;
use crate::ids::{BadName, HostName, OwnerId, ServerId};
use crate::owners::{Opens, OwnerWindow, Scope};
use crate::samples::{NOON, host_facts, server_facts};
use crate::windows::Recurrence;

/// A fleet, and what a simulation wants to know of it besides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ByHand {
    /// The fleet.
    pub fleet: Fleet,
    /// When owners allow reboots.
    pub windows: Vec<OwnerWindow>,
    /// What servers write anew in their memory, in bytes per second, where it was said.
    pub dirty: BTreeMap<ServerId, u64>,
}

/// Why what was written is no fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct BadFleet {
    /// Which entry and field: `servers[2] (web).on`, counted from 1.
    pub at: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// What a person has written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Hosts, those that are alike as one.
    hosts: Vec<Hosts>,
    #[serde(default)]
    servers: Vec<Servers>,
    #[serde(default)]
    windows: Vec<Window>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    name: String,
    count: Option<u32>,
    cluster: Option<String>,
    #[serde(default)]
    labels: Labels,
    memory: Option<Bytes>,
    threads: Option<u32>,
    cpu: Option<String>,
    storage: Option<BTreeSet<String>>,
    #[serde(default)]
    resources: Resources,
    /// What is free for local disks, by directory.
    #[serde(default)]
    local: BTreeMap<String, Bytes>,
    cordoned: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Servers {
    name: String,
    count: Option<u32>,
    /// Hosts, or entries of hosts; each server goes to the one with most memory left.
    #[serde(default)]
    on: OneOrMany,
    memory: Option<Bytes>,
    vcpus: Option<u32>,
    owner: Option<OwnerId>,
    #[serde(default)]
    labels: Labels,
    live: Option<Allowance>,
    #[serde(default)]
    anti_affinity: BTreeSet<String>,
    #[serde(default)]
    affinity: BTreeSet<String>,
    storage: Option<String>,
    #[serde(default)]
    resources: Resources,
    /// Sizes of local disks, by directory.
    #[serde(default)]
    local: BTreeMap<String, Bytes>,
    #[serde(default)]
    passthrough_cpu: bool,
    #[serde(default)]
    off: bool,
    dirty_rate: Option<Bytes>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    owner: OwnerId,
    /// `role=db`: for those only.
    label: Option<String>,
    opens: Recurrence,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names: \"h1\" or [\"h1\", \"h2\"]")]
enum OneOrMany {
    #[default]
    Anywhere,
    One(String),
    Many(Vec<String>),
}

/// `4GiB`.
#[derive(Debug, Clone, Copy)]
struct Bytes(u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let read = units.into_iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(1 << shift)
        });
        read.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is no size; write a whole number of MiB, GiB or TiB: 512MiB, 64GiB"
            ))
        })
    }
}

/// At most so many hosts or servers are meant by one entry: more are a slip of the hand.
const MOST: u32 = 1_000_000;

/// The storage that all hosts share where nothing else is said.
const SHARED: &str = "shared";

impl Written {
    /// The fleet that is meant.
    ///
    /// # Errors
    /// The first entry that makes no sense.
    pub fn fleet(self) -> Result<ByHand, BadFleet> {
        let mut made = Made::default();
        if self.hosts.is_empty() {
            return Err(bad("hosts", "there is none; write at least one [[hosts]]"));
        }
        for (number, hosts) in (1..).zip(self.hosts) {
            made.hosts(&format!("hosts[{number}] ({})", hosts.name), hosts)?;
        }
        for (number, servers) in (1..).zip(self.servers) {
            made.servers(&format!("servers[{number}] ({})", servers.name), servers)?;
        }
        for (number, window) in (1..).zip(self.windows) {
            let at = format!("windows[{number}] ({})", window.owner);
            made.by_hand.windows.push(window.read(&at)?);
        }
        Ok(made.by_hand)
    }
}

impl Window {
    fn read(self, at: &str) -> Result<OwnerWindow, BadFleet> {
        let scope = match self.label.as_deref().map(|label| label.split_once('=')) {
            None => Scope::Account,
            Some(Some((name, value))) if !name.is_empty() => {
                Scope::Label { name: name.to_owned(), value: value.to_owned() }
            }
            Some(_) => return Err(bad(&format!("{at}.label"), "write it as label=value: role=db")),
        };
        Ok(OwnerWindow { owner: self.owner, scope, opens: Opens::Recurring { recurrence: self.opens } })
    }
}

fn bad(at: &str, what: impl ToString) -> BadFleet {
    BadFleet { at: at.to_owned(), what: what.to_string() }
}

/// `web-1` to `web-40`; the name itself where there is one.
fn names(at: &str, name: &str, count: Option<u32>) -> Result<Vec<String>, BadFleet> {
    match count {
        None => Ok(vec![name.to_owned()]),
        Some(count) if (1..=MOST).contains(&count) => {
            Ok((1..=count).map(|number| format!("{name}-{number}")).collect())
        }
        Some(count) => {
            Err(bad(&format!("{at}.count"), format!("it is {count}; write a number from 1 to {MOST}")))
        }
    }
}

#[derive(Default)]
struct Made {
    by_hand: ByHand,
    /// By entry of hosts.
    entries: BTreeMap<String, Vec<HostName>>,
    /// By host, memory that no server has yet.
    free: BTreeMap<HostName, i128>,
    servers: BTreeSet<String>,
}

/// Every name of a resource is one.
fn named(at: &str, resources: &Resources) -> Result<(), BadFleet> {
    match resources.keys().find(|name| !is_resource_name(name)) {
        Some(name) => {
            Err(bad(&format!("{at}.resources"), format!("{name:?} is no name of one; {RESOURCE_NAME}")))
        }
        None => Ok(()),
    }
}

impl Made {
    fn hosts(&mut self, at: &str, hosts: Hosts) -> Result<(), BadFleet> {
        named(at, &hosts.resources)?;
        if hosts.memory.is_some_and(|memory| memory.0 == 0) || hosts.threads == Some(0) {
            return Err(bad(
                at,
                "a host has memory and threads; write for example memory = \"256GiB\", threads = 64",
            ));
        }
        if let Some(path) = hosts.local.keys().find(|path| !path.starts_with('/')) {
            return Err(bad(
                &format!("{at}.local"),
                format!("{path:?} is no directory; write a path that begins with /"),
            ));
        }
        for name in names(at, &hosts.name, hosts.count)? {
            let name = HostName::new(name).map_err(|wrong: BadName| bad(&format!("{at}.name"), wrong))?;
            let facts = hosts.facts(&name);
            if self.free.insert(name.clone(), facts.memory_bytes.into()).is_some() {
                return Err(bad(
                    &format!("{at}.name"),
                    format!("there is a second host of the name {name}; give it another"),
                ));
            }
            let standing = hosts
                .cordoned
                .clone()
                .map_or(Standing::Open, |reason| Standing::Cordoned { reason, since: NOON });
            let host = Host { name: name.clone(), facts, observed_at: NOON, standing };
            self.entries.entry(hosts.name.clone()).or_default().push(name.clone());
            self.by_hand.fleet.sightings.insert(name.clone(), OnHost::default());
            self.by_hand.fleet.hosts.insert(name, host);
        }
        Ok(())
    }

    fn servers(&mut self, at: &str, servers: Servers) -> Result<(), BadFleet> {
        let on = self.on(at, &servers.on)?;
        named(at, &servers.resources)?;
        if servers.memory.is_some_and(|memory| memory.0 == 0) || servers.vcpus == Some(0) {
            return Err(bad(
                at,
                "a server has memory and vcpus; write for example memory = \"4GiB\", vcpus = 2",
            ));
        }
        for name in names(at, &servers.name, servers.count)? {
            if !self.servers.insert(name.clone()) {
                return Err(bad(
                    &format!("{at}.name"),
                    format!("there is a second server of the name {name}; give it another"),
                ));
            }
            let id = ServerId(Uuid::from_u128(self.servers.len() as u128));
            let roomiest = on.iter().rev().max_by_key(|host| self.free.get(*host).copied());
            let Some(host) = roomiest.cloned() else { continue };
            let facts = self.facts(at, id, &name, &host, &servers)?;
            if let Some(free) = self.free.get_mut(&host) {
                *free -= i128::from(facts.memory_bytes);
            }
            self.by_hand.dirty.extend(servers.dirty_rate.map(|rate| (id, rate.0)));
            let server = Server { host: host.clone(), facts, observed_at: NOON };
            self.by_hand.fleet.sightings.entry(host).or_default().insert(id, server);
        }
        Ok(())
    }

    /// Where servers of an entry are: all hosts, where nothing is said.
    fn on(&self, at: &str, on: &OneOrMany) -> Result<Vec<HostName>, BadFleet> {
        let named: Vec<&String> = match on {
            OneOrMany::Anywhere => return Ok(self.free.keys().cloned().collect()),
            OneOrMany::One(name) => vec![name],
            OneOrMany::Many(names) => names.iter().collect(),
        };
        let mut hosts = Vec::new();
        for name in named {
            let host = HostName::new(name.clone()).ok().filter(|host| self.free.contains_key(host));
            match (self.entries.get(name), host) {
                (Some(entry), _) => hosts.extend(entry.iter().cloned()),
                (None, Some(host)) => hosts.push(host),
                (None, None) => {
                    let known = self.entries.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return Err(bad(
                        &format!("{at}.on"),
                        format!(
                            "there is no host {name:?}, and no entry of hosts of that name; there are: {known}"
                        ),
                    ));
                }
            }
        }
        match hosts.is_empty() {
            true => Err(bad(&format!("{at}.on"), "the list is empty; name a host, or leave `on` out")),
            false => Ok(hosts),
        }
    }

    fn facts(
        &self,
        at: &str,
        id: ServerId,
        name: &str,
        host: &HostName,
        servers: &Servers,
    ) -> Result<ServerFacts, BadFleet> {
        let sample = server_facts(id, name);
        let here = self.by_hand.fleet.hosts.get(host).map(|host| &host.facts);
        let storage = match &servers.storage {
            Some(storage) if here.is_some_and(|here| here.shared_storage.contains(storage)) => {
                storage.clone()
            }
            Some(storage) => {
                return Err(bad(
                    &format!("{at}.storage"),
                    format!("{host} has no storage {storage:?}; add it to that host's `storage`"),
                ));
            }
            None => here
                .and_then(|here| here.shared_storage.first().cloned())
                .unwrap_or_else(|| SHARED.to_owned()),
        };
        let shared = |disk: Disk| Disk { reach: Reach::Shared { storage: storage.clone() }, ..disk };
        let local = servers.local.iter().zip('a'..='z').map(|((directory, size), letter)| Disk {
            target: format!("vd{letter}"),
            source: format!("{}/{name}-{letter}.qcow2", directory.trim_end_matches('/')),
            format: "qcow2".to_owned(),
            virtual_bytes: Some(size.0),
            allocated_bytes: Some(size.0),
            reach: Reach::Local,
        });
        let disks: Vec<Disk> = match servers.local.is_empty() {
            true => sample.disks.clone().into_iter().map(shared).collect(),
            false => local.collect(),
        };
        if let Some(path) = servers.local.keys().find(|path| !path.starts_with('/')) {
            return Err(bad(
                &format!("{at}.local"),
                format!("{path:?} is no directory; write a path that begins with /"),
            ));
        }
        let mut facts = ServerFacts {
            power: if servers.off { Power::Off } else { sample.power },
            owner: servers.owner.clone(),
            labels: servers.labels.clone(),
            memory_bytes: servers.memory.map_or(sample.memory_bytes, |memory| memory.0),
            vcpus: servers.vcpus.unwrap_or(sample.vcpus),
            cpu: if servers.passthrough_cpu { GuestCpu::HostPassthrough } else { sample.cpu.clone() },
            disks,
            resources: servers.resources.clone(),
            ..sample
        };
        facts.rules.live_migration = servers.live;
        facts.rules.anti_affinity = servers.anti_affinity.clone();
        facts.rules.affinity = servers.affinity.clone();
        Ok(facts)
    }
}

impl Hosts {
    fn facts(&self, name: &HostName) -> HostFacts {
        let mut facts = host_facts(name.as_str());
        facts.cluster = self.cluster.clone().unwrap_or(facts.cluster);
        facts.labels = self.labels.clone();
        facts.resources = self.resources.clone();
        facts.memory_bytes = self.memory.map_or(facts.memory_bytes, |memory| memory.0);
        facts.cpu_threads = self.threads.unwrap_or(facts.cpu_threads);
        if let Some(model) = &self.cpu {
            facts.cpu.model.clone_from(model);
            facts.cpu.usable_models.insert(model.clone());
        }
        facts.shared_storage = self.storage.clone().unwrap_or_else(|| [SHARED.to_owned()].into());
        if !self.local.is_empty() {
            let directory = |(path, free): (&String, &Bytes)| LocalStorage {
                path: path.into(),
                total_bytes: free.0,
                free_bytes: free.0,
            };
            facts.abilities.insert(Ability::CopyLive);
            facts.replication = Some(Replication {
                address: format!("{name}:7071"),
                certificate: CertificateDigest("0".repeat(64)),
                directories: self.local.iter().map(directory).collect(),
            });
        }
        facts
    }
}
