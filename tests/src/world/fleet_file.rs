//! `fleet.toml`: the hosts, servers and owners of a scenario. What is not said is as in `drover_policies::samples`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use drover_host_agent::hypervisor::simulated::{Console, Guest, Serves, Service};
use drover_policies::fleet::{
    Ability, Allowance, Autostart, Blocker, CertificateDigest, Disk, GuestAgent, GuestCpu, HostFacts, Labels,
    LocalStorage, Plug, Power, Replication, Resources, ServerFacts,
};
use drover_policies::ids::{HostName, OwnerId, ServerId};
use drover_policies::language::Language;
use drover_policies::notices::{Contact, Reminders};
use drover_policies::samples;
use drover_policies::time::{Instant, Span};
use serde::Deserialize;

/// All that a scenario begins with.
#[derive(Debug)]
pub struct FleetFile {
    /// When it begins.
    pub start: Instant,
    /// What every host's network carries, in bytes per second.
    pub bandwidth: u64,
    /// The hosts.
    pub hosts: BTreeMap<HostName, HostFacts>,
    /// The servers, by name.
    pub servers: BTreeMap<String, Placed>,
    /// The accounts whose contact is known.
    pub owners: Vec<Contact>,
}

/// A server and where it begins.
#[derive(Debug, Clone)]
pub struct Placed {
    /// On which host; nothing when the script lets it appear.
    pub host: Option<HostName>,
    /// What libvirt shows of it.
    pub facts: ServerFacts,
    /// How it behaves.
    pub guest: Guest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    start: Option<Instant>,
    bandwidth: Option<String>,
    #[serde(default)]
    host: BTreeMap<String, WrittenHost>,
    #[serde(default)]
    server: BTreeMap<String, WrittenServer>,
    #[serde(default)]
    owner: BTreeMap<String, WrittenOwner>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenHost {
    cluster: Option<String>,
    labels: Labels,
    memory: Option<String>,
    threads: Option<u32>,
    resources: Resources,
    storage: Option<BTreeSet<String>>,
    /// Room for copies of local disks. A host that does not say has an agent that makes and takes none.
    copies: Option<String>,
    /// Whether its agent moves running servers with their local disks.
    copies_live: bool,
    /// Whether servers of other hypervisors may be imported to it.
    imports: bool,
    /// Its bridges. A host that does not say has an agent that does not tell.
    bridges: Option<BTreeSet<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenServer {
    host: Option<HostName>,
    /// What libvirt calls it, if two servers are to have one name.
    called: Option<String>,
    owner: Option<OwnerId>,
    labels: Labels,
    memory: Option<String>,
    vcpus: Option<u32>,
    /// What it is plugged into.
    bridge: Option<String>,
    resources: Resources,
    power: Option<Power>,
    live: Option<Allowance>,
    anti_affinity: BTreeSet<String>,
    affinity: BTreeSet<String>,
    passthrough_cpu: bool,
    local_disk: bool,
    /// Its one disk is a local one of this size, which QEMU keeps account of.
    local: Option<String>,
    /// Bytes that it writes to its disks each second.
    writes: Option<String>,
    autostart: bool,
    blockers: Vec<Blocker>,
    guest_agent: Option<GuestAgent>,
    console: bool,
    /// Bytes that it writes anew each second.
    dirty: Option<String>,
    heeds_agent: Option<String>,
    heeds_acpi: Option<String>,
    boots_in: Option<Span>,
    /// Its addresses.
    addresses: BTreeSet<IpAddr>,
    /// What listens in it: `tcp 22`, `http 80 200`, `http 80 200 not on h2`.
    services: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenOwner {
    name: String,
    mail: Vec<String>,
    timezone: Option<chrono_tz::Tz>,
    language: Language,
    reminders: Reminders,
}

impl FleetFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or says something that makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let written: Written = toml::from_str(text)?;
        let mut hosts = BTreeMap::new();
        for (name, host) in written.host {
            hosts.insert(HostName::new(name.clone())?, host.facts(&name)?);
        }
        let mut servers = BTreeMap::new();
        for (number, (name, server)) in (1..).zip(written.server) {
            let placed =
                server.placed(samples::server_id(number), &name).with_context(|| format!("server {name}"))?;
            if let Some(host) = &placed.host
                && !hosts.contains_key(host)
            {
                bail!("server {name} is on host {host}, which is not in the file");
            }
            servers.insert(name, placed);
        }
        let owner = |(name, owner): (String, WrittenOwner)| -> Result<Contact> {
            Ok(Contact {
                owner: OwnerId::new(name)?,
                name: owner.name,
                mail: owner.mail,
                timezone: owner.timezone.unwrap_or(chrono_tz::UTC),
                language: owner.language,
                reminders: owner.reminders,
            })
        };
        Ok(Self {
            start: written.start.unwrap_or(samples::NOON),
            bandwidth: written.bandwidth.map_or(Ok(128 << 20), |text| bytes(&text))?,
            hosts,
            servers,
            owners: written.owner.into_iter().map(owner).collect::<Result<_>>()?,
        })
    }

    /// A server's id by the name that it has in the file.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn server(&self, name: &str) -> Result<ServerId> {
        Ok(self.servers.get(name).with_context(|| format!("no server {name} in fleet.toml"))?.facts.id)
    }
}

impl WrittenHost {
    fn facts(self, name: &str) -> Result<HostFacts> {
        let sample = samples::host_facts(name);
        let mut abilities = sample.abilities.clone();
        if self.copies_live {
            abilities.insert(Ability::CopyLive);
        }
        if self.imports {
            abilities.extend([Ability::Import, Ability::ReadForeignImages, Ability::FixGuests]);
        }
        Ok(HostFacts {
            abilities,
            cluster: self.cluster.unwrap_or(sample.cluster),
            labels: self.labels,
            resources: self.resources,
            memory_bytes: self.memory.map_or(Ok(sample.memory_bytes), |text| bytes(&text))?,
            cpu_threads: self.threads.unwrap_or(sample.cpu_threads),
            shared_storage: self.storage.unwrap_or(sample.shared_storage),
            replication: self.copies.map(|room| replication(name, &room)).transpose()?,
            plugs: self.bridges.map(|names| names.into_iter().map(Plug::Bridge).collect()),
            ..sample
        })
    }
}

impl WrittenServer {
    fn placed(self, id: ServerId, name: &str) -> Result<Placed> {
        let sample = samples::server_facts(id, self.called.as_deref().unwrap_or(name));
        let mut facts = ServerFacts {
            power: self.power.unwrap_or(sample.power),
            owner: self.owner,
            labels: self.labels,
            resources: self.resources,
            memory_bytes: self.memory.map_or(Ok(sample.memory_bytes), |text| bytes(&text))?,
            vcpus: self.vcpus.unwrap_or(sample.vcpus),
            cpu: if self.passthrough_cpu { GuestCpu::HostPassthrough } else { sample.cpu },
            disks: sample.disks,
            blockers: self.blockers,
            guest_agent: self.guest_agent.unwrap_or(sample.guest_agent),
            autostart: if self.autostart { Autostart::Yes } else { Autostart::No },
            plugs: self.bridge.map(|name| BTreeSet::from([Plug::Bridge(name)])),
            ..samples::server_facts(id, self.called.as_deref().unwrap_or(name))
        };
        facts.rules.live_migration = self.live;
        facts.rules.anti_affinity = self.anti_affinity;
        facts.rules.affinity = self.affinity;
        if let Some(size) = &self.local {
            facts.disks = vec![local_disk(name, bytes(size)?)];
        }
        if self.local_disk {
            facts.disks.push(samples::local_disk("vdb", &format!("/var/lib/libvirt/images/{name}.raw")));
        }
        let calm = Guest::default();
        let guest = Guest {
            dirty_rate: self.dirty.map_or(Ok(calm.dirty_rate), |text| bytes(&text))?,
            disk_dirty_rate: self.writes.map_or(Ok(calm.disk_dirty_rate), |text| bytes(&text))?,
            heeds_agent: heeds(self.heeds_agent, calm.heeds_agent)?,
            heeds_acpi: heeds(self.heeds_acpi, calm.heeds_acpi)?,
            boot_time: self.boots_in.unwrap_or(calm.boot_time),
            console: if self.console { Console::Kept } else { Console::NotKept },
            addresses: self.addresses,
            services: self.services.iter().map(|text| service(text)).collect::<Result<_>>()?,
        };
        Ok(Placed { host: self.host, facts, guest })
    }
}

/// Where local disks are on every host.
const LOCAL_DISKS: &str = "/var/lib/libvirt/images";

fn local_disk(server: &str, size: u64) -> Disk {
    Disk {
        format: "qcow2".to_owned(),
        virtual_bytes: Some(size),
        allocated_bytes: Some(size),
        ..samples::local_disk("vda", &format!("{LOCAL_DISKS}/{server}.qcow2"))
    }
}

fn replication(host: &str, room: &str) -> Result<Replication> {
    let room = bytes(room)?;
    let directory = LocalStorage { path: PathBuf::from(LOCAL_DISKS), total_bytes: room, free_bytes: room };
    Ok(Replication {
        address: format!("{host}.example:7447"),
        certificate: CertificateDigest(format!(
            "{:0<64}",
            host.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
        )),
        directories: vec![directory],
    })
}

fn heeds(written: Option<String>, otherwise: Option<Span>) -> Result<Option<Span>> {
    match written.as_deref() {
        None => Ok(otherwise),
        Some("never") => Ok(None),
        Some(span) => Ok(Some(span.parse()?)),
    }
}

fn service(text: &str) -> Result<(u16, Service)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, not_on) = match words.as_slice() {
        [words @ .., "not", "on", host] => (words, Some(host.parse()?)),
        words => (words, None),
    };
    let (port, answers) = match words {
        ["tcp", port] => (port.parse()?, Serves::Tcp),
        ["http", port, status] => (port.parse()?, Serves::Http { status: status.parse()? }),
        _ => bail!("{text:?} is no service; write for example \"tcp 22\" or \"http 80 200 not on h2\""),
    };
    Ok((port, Service { answers, not_on }))
}

/// `512MiB`, `2GiB`.
///
/// # Errors
/// It is no such thing.
pub fn bytes(text: &str) -> Result<u64> {
    let wrong = || format!("{text:?} is no size; write for example 512MiB or 2GiB");
    let (number, shift) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(number), _) => (number, 20),
        (None, Some(number)) => (number, 30),
        (None, None) => bail!(wrong()),
    };
    let number: u64 = number.trim().parse().with_context(wrong)?;
    Ok(number << shift)
}
