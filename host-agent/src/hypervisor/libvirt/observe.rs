//! Reading the host and its servers.

use std::sync::{Arc, Mutex};

use drover_policies::fleet::{
    Ability, AgentFacts, Autostart, Blocker, Definition, HostCpu, HostFacts, Plug, Power, ServerFacts,
};
use std::collections::BTreeSet;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

use super::super::libvirt_sys::{self, Called, Which};
use super::super::{Answer, Observed, Refusal, RefusalKind};
use super::classify::refusal;
use super::daemon::{ACT, Daemon, state_of};
use super::{HostConfig, lock, lost};
use crate::capabilities;
use crate::certificates;
use crate::convert::fixes;
use crate::domain_edit::is_test_guest;
use crate::domain_xml::{self, DomainFacts};
use crate::hooks::Runner;
use crate::replica::Ends;
use drover_policies::attempt::FailureClass;

/// Reads the inventory on a connection of its own.
pub(super) struct Reader {
    config: Arc<HostConfig>,
    /// For what is told of replicas.
    ends: Option<Arc<Ends>>,
    /// For what is told of hooks.
    hooks: Option<Arc<Runner>>,
    imports: Imports,
    daemon: Daemon,
    capabilities: Arc<Mutex<Option<Cached>>>,
    /// What was warned of last, so that it is not said again with every reading.
    warned: Mutex<BTreeSet<String>>,
}

/// Whether this host is told from where it may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Imports {
    Configured,
    NotConfigured,
}

/// What changes only with libvirt's or QEMU's version, and takes long to ask.
#[derive(Clone)]
struct Cached {
    libvirt: u32,
    qemu: u32,
    cpu: HostCpu,
    machine_types: BTreeSet<String>,
}

impl Reader {
    pub(super) fn new(config: &HostConfig) -> Self {
        Self {
            ends: None,
            hooks: None,
            imports: Imports::NotConfigured,
            config: Arc::new(config.clone()),
            daemon: Daemon::new(config.own_uri.clone()),
            capabilities: Arc::new(Mutex::new(None)),
            warned: Mutex::new(BTreeSet::new()),
        }
    }

    pub(super) fn tell_of(&mut self, ends: Arc<Ends>) {
        self.ends = Some(ends);
    }

    pub(super) fn tell_of_hooks(&mut self, hooks: Arc<Runner>) {
        self.hooks = Some(hooks);
    }

    pub(super) fn tell_of_imports(&mut self) {
        self.imports = Imports::Configured;
    }

    pub(super) fn observe(&self) -> Answer<Observed> {
        let (config, cache) = (Arc::clone(&self.config), Arc::clone(&self.capabilities));
        let (mut observed, mut warnings) = self.daemon.call_with(ACT, move |connect| {
            let host = read_host(connect, &config, &cache).map_err(|error| refusal(&error))?;
            let mut warnings = BTreeSet::new();
            let domains = connect.list_all_domains(0).map_err(|error| refusal(&error))?;
            let mut servers: Vec<ServerFacts> = domains
                .iter()
                .filter_map(|domain| read_server(domain, &config, &host, &mut warnings).transpose())
                .collect::<Answer<_>>()?;
            servers.sort_by_key(|server| server.id);
            Ok((Observed { host, servers }, warnings))
        })?;
        let (mut certificates, unread) = certificates::read(&self.config.certificates);
        warnings.extend(unread);
        self.warn(warnings);
        certificates.extend(self.ends.iter().map(|ends| ends.certificate().clone()));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        observed.host.agent = Some(AgentFacts { version, certificates });
        if let Some(ends) = &self.ends {
            observed.host.replication = Some(ends.facts());
            observed.host.abilities.insert(Ability::CopyLive);
        }
        if let Some(hooks) = &self.hooks {
            observed.host.abilities.insert(Ability::RunHooks);
            observed.host.hooks = hooks.able();
            observed.host.boot_id = hooks.boot_id().map(str::to_owned);
        }
        if self.imports == Imports::Configured {
            observed.host.abilities.insert(Ability::ReadForeignImages);
        }
        if fixes::converter().is_ok() {
            observed.host.abilities.insert(Ability::FixGuests);
        }
        Ok(observed)
    }

    fn warn(&self, warnings: BTreeSet<String>) {
        let mut known = lock(&self.warned);
        for new in warnings.difference(&known) {
            tracing::warn!("{new}");
        }
        *known = warnings;
    }

    /// What this host's libvirt says that stands in the way of draining it.
    pub(super) fn check(&self) -> Answer<Vec<String>> {
        let observed = self.observe()?;
        let mut found: Vec<String> = lock(&self.warned).iter().cloned().collect();
        if observed.host.memory_bytes == 0 {
            found.push("reserve_memory is as large as the node's memory: nothing could be placed here; make it smaller".to_owned());
        }
        if observed.host.machine_types.is_empty() {
            found.push(
                "libvirt knows no emulator for this node's architecture: install QEMU's package".to_owned(),
            );
        }
        for server in &observed.servers {
            for blocker in &server.blockers {
                found.push(format!("{}: {blocker}: it can't be moved live", server.name));
            }
        }
        Ok(found)
    }
}

fn read_host(connect: &Connect, config: &HostConfig, cache: &Mutex<Option<Cached>>) -> Called<HostFacts> {
    let node = connect.node_info()?;
    let cached = read_capabilities(connect, cache)?;
    Ok(HostFacts {
        cluster: config.cluster.clone(),
        labels: config.labels.clone(),
        libvirt_uri: config.libvirt_uri.clone(),
        migration_address: config.migration_address.clone(),
        memory_bytes: (node.memory * 1024).saturating_sub(config.reserve_memory),
        cpu_threads: node.cpus,
        cpu: cached.cpu,
        machine_types: cached.machine_types,
        shared_storage: config.storage.shared.iter().map(|(name, _)| name.clone()).collect(),
        libvirt_version: cached.libvirt.into(),
        qemu_version: cached.qemu.into(),
        replication: None,
        abilities: BTreeSet::from([
            Ability::Parallel,
            Ability::ReturnToRetained,
            Ability::Reshape,
            Ability::ReshapeDisks,
            Ability::HoldBack,
            Ability::Import,
        ]),
        plugs: Some(plugs(connect)),
        boot_id: None,
        hooks: BTreeSet::new(),
        agent: None,
        resources: config.resources.clone(),
    })
}

/// Networks of libvirt's that are active, and whatever of this host a card may be plugged into by name: bridges, of which those of Open
/// vSwitch look like any other device. The guests' own ends, which come and go with them, are none.
fn plugs(connect: &Connect) -> BTreeSet<Plug> {
    // Where libvirt's network driver is not installed there are no networks; the servers are what matters here.
    let networks = connect.list_all_networks(sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE).unwrap_or_default();
    let networks = networks.iter().filter_map(|network| network.name().ok()).map(Plug::Network);
    let devices = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let bridges = devices.filter(|device| !device.path().join("tun_flags").exists());
    let bridges = bridges.filter_map(|device| device.file_name().into_string().ok()).map(Plug::Bridge);
    networks.chain(bridges).collect()
}

fn read_capabilities(connect: &Connect, cache: &Mutex<Option<Cached>>) -> Called<Cached> {
    let (libvirt, qemu) = (connect.lib_version()?, connect.hyp_version()?);
    if let Some(cached) = lock(cache).as_ref()
        && (cached.libvirt, cached.qemu) == (libvirt, qemu)
    {
        return Ok(cached.clone());
    }
    let unreadable = |error: roxmltree::Error| {
        tracing::warn!("libvirt's capabilities can't be read: {error}");
        capabilities::Capabilities {
            arch: String::new(),
            model: String::new(),
            machine_types: BTreeSet::new(),
        }
    };
    let node = capabilities::read(&connect.capabilities()?).unwrap_or_else(unreadable);
    let models = connect.domain_capabilities(None, Some(&node.arch), None, None, 0)?;
    let usable = capabilities::usable_models(&models).unwrap_or_default();
    let cached =
        Cached { libvirt, qemu, cpu: capabilities::cpu(&node, usable), machine_types: node.machine_types };
    *lock(cache) = Some(cached.clone());
    Ok(cached)
}

/// Nothing when the domain has vanished meanwhile, or is none that anybody has.
fn read_server(
    domain: &Domain,
    config: &HostConfig,
    host: &HostFacts,
    warnings: &mut BTreeSet<String>,
) -> Answer<Option<ServerFacts>> {
    let read = || -> Called<_> {
        Ok((
            domain.xml_desc(0)?,
            state_of(domain)?,
            domain.is_persistent()?,
            domain.is_persistent()? && domain.autostart()?,
            domain.num_snapshots(0)?,
            lost::process(domain)?.is_some(),
        ))
    };
    let (xml, state, persistent, autostart, snapshots, lost) = match read() {
        Ok(read) => read,
        Err(error) => {
            return match refusal(&error) {
                Refusal { kind: RefusalKind::NoServer, .. } => Ok(None),
                refusal => Err(refusal),
            };
        }
    };
    // A test guest is nobody's server; its memory is what is held here for the server that it tests.
    if is_test_guest(&xml) {
        return Ok(None);
    }
    let facts = domain_xml::read(&xml, &config.storage, &config.imported, host.qemu_version)
        .map_err(|error| Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), error.to_string()))?;
    for warning in &facts.warnings {
        warnings.insert(format!("metadata of {}: {warning}", facts.name));
    }
    let mut server = put_together(facts, state.power());
    server.definition = if persistent { Definition::Persistent } else { Definition::Transient };
    server.autostart = if autostart { Autostart::Yes } else { Autostart::No };
    if lost {
        server.blockers.push(Blocker::LostByLibvirt);
    }
    if snapshots > 0 {
        server.blockers.push(Blocker::Snapshots { count: snapshots });
    }
    look_at_disks(domain, &mut server);
    Ok(Some(server))
}

fn put_together(facts: DomainFacts, power: Power) -> ServerFacts {
    ServerFacts {
        id: facts.id,
        name: facts.name,
        power,
        definition: Definition::Persistent,
        owner: facts.said.owner,
        labels: facts.said.labels,
        rules: facts.said.rules,
        memory_bytes: facts.memory_bytes,
        vcpus: facts.vcpus,
        arch: facts.arch,
        machine_type: facts.machine_type,
        cpu: facts.cpu,
        disks: facts.disks,
        blockers: facts.blockers,
        guest_agent: facts.guest_agent,
        autostart: Autostart::No,
        plugs: Some(facts.plugs),
        resources: facts.said.resources,
    }
}

/// Sizes, and jobs that the XML does not show. What can't be asked now (the domain is busy, a path is gone) is left out.
fn look_at_disks(domain: &Domain, server: &mut ServerFacts) {
    let running = server.power == Power::Running || server.power == Power::Paused;
    let mut jobs = BTreeSet::new();
    for disk in server.disks.iter_mut().filter(|disk| !disk.source.is_empty()) {
        disk.virtual_bytes = libvirt_sys::block_capacity(domain, &disk.target).ok();
        if running && libvirt_sys::has_block_job(domain, &disk.target).unwrap_or(false) {
            jobs.insert(disk.target.clone());
        }
    }
    let backup = running
        && libvirt_sys::job(domain, Which::Current)
            .is_ok_and(|job| job.kind != 0 && job.operation == sys::VIR_DOMAIN_JOB_OPERATION_BACKUP);
    if backup {
        jobs.extend(
            server.disks.iter().filter(|disk| !disk.source.is_empty()).map(|disk| disk.target.clone()),
        );
    }
    for disk in jobs {
        let blocker = Blocker::BlockJob { disk };
        if !server.blockers.contains(&blocker) {
            server.blockers.push(blocker);
        }
    }
    server.blockers.sort();
}
