//! The real hypervisor: libvirt on this host, and the daemons of destinations.
//!
//! Connections are kept apart by what they carry, as libvirt answers at most five calls of one connection at a time: one for
//! control, one for reading the inventory, one for events, one per destination, one per running migration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_agent_api::{Destination, Left, LiveMigrate, RebootMigrate, Tuning};
use drover_policies::attempt::FailureClass;
use drover_policies::checks::{Answered, Hardware};
use drover_policies::fleet::{GuestAgent, Labels, Resources};
use drover_policies::ids::{HostName, OperationId, ServerId};
use virt::domain::Domain;
use virt_sys as sys;

use super::hooks::{Hooks, NoHooks};
use super::importing::{Importer, NoImports};
use super::libvirt_sys;
use super::replication::{NotConfigured, Replication};
use super::{
    Answer, Domains, Hypervisor, MigrationStatus, Observed, Probe, Refusal, RefusalKind, ShutdownBy, Signs,
    Waker,
};
use crate::convert;
use crate::domain_edit::{reshaped, with_disks};
use crate::domain_xml::{self, Storage};
use crate::guest_events::identity::Attached;
use crate::hooks::{Runner, Setting};
use crate::metadata::Imported;
use crate::replica::Ends;

mod classify;
mod daemon;
mod events;
mod imports;
mod lost;
mod migrate;
mod observe;
mod reach;
mod replication;
mod rounds;
mod test_launch;
mod tls;

use daemon::{Daemon, KEPT, LOOK};
use imports::Imports;
use migrate::Migrations;
use observe::Reader;
use reach::Reach;
use replication::Replicating;

/// What is configured of this host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The host's name.
    pub name: HostName,
    /// The widest circle in which servers may be moved.
    pub cluster: String,
    /// Free words.
    pub labels: Labels,
    /// What it has besides, by the names that operators give it.
    pub resources: Resources,
    /// The daemon as this agent reaches it: `qemu:///system`.
    pub own_uri: String,
    /// The daemon as other hosts' daemons reach it: `qemu+tls://h1.example/system`.
    pub libvirt_uri: String,
    /// The address of the migration network, if there is one.
    pub migration_address: Option<String>,
    /// Memory that servers may not have, in bytes.
    pub reserve_memory: u64,
    /// Storage that other hosts have as well.
    pub storage: Storage,
    /// Servers as an imported file tells of them.
    pub imported: Imported,
    /// Whether memory is sent encrypted.
    pub encryption: Encryption,
    /// Whether a console that prints counts as a sign of life.
    pub console: ConsoleHeartbeat,
    /// Files with certificates by which this host is known to others.
    pub certificates: Vec<PathBuf>,
}

/// Whether memory is sent encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// By QEMU's own TLS; both hosts need certificates.
    Tls,
    /// In the clear: for a network of its own.
    None,
}

/// Whether a console that prints counts as a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleHeartbeat {
    /// It does.
    Counts,
    /// It does not.
    Ignored,
}

/// libvirt on this host.
pub struct Libvirt {
    config: HostConfig,
    control: Daemon,
    reader: Reader,
    /// For what guests make the agent ask, so that nothing else waits for that.
    guests: Daemon,
    peers: Mutex<HashMap<String, Arc<Daemon>>>,
    /// For what owners want their guests to be asked.
    reach: Reach,
    migrations: Arc<Migrations>,
    /// Nothing where replicas are not configured.
    replicating: Option<Replicating>,
    /// Nothing for one that runs no hooks at all.
    hooks: Option<Arc<Runner>>,
    /// Nothing where imports are not configured.
    importing: Option<Imports>,
    waker: Arc<Mutex<Option<Waker>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Libvirt {
    /// Prepares the port. No connection is opened yet; a daemon that is away is no error.
    ///
    /// # Errors
    /// When libvirt's event loop can't be started, which leaves nothing to work with.
    pub fn new(config: HostConfig) -> Result<Self, String> {
        libvirt_sys::start_event_loop()?;
        let waker = Arc::new(Mutex::new(None));
        events::watch(config.own_uri.clone(), Arc::clone(&waker)).map_err(|error| error.to_string())?;
        let migrations = Arc::new(Migrations::new(config.own_uri.clone(), Arc::clone(&waker)));
        let ahead = Arc::clone(&migrations);
        // Opened now, so that the first migration does not wait for it.
        let spawned =
            std::thread::Builder::new().name("libvirt-ahead".to_owned()).spawn(move || ahead.tidy());
        drop(spawned.map_err(|error| error.to_string())?);
        Ok(Self {
            control: Daemon::new(config.own_uri.clone()),
            reader: Reader::new(&config),
            guests: Daemon::new(config.own_uri.clone()),
            reach: Reach::new(config.own_uri.clone()),
            peers: Mutex::new(HashMap::new()),
            migrations,
            replicating: None,
            hooks: None,
            importing: None,
            waker,
            config,
        })
    }

    /// Has this host take and send replicas of local disks.
    #[must_use]
    pub fn replicating(mut self, ends: Arc<Ends>) -> Self {
        let (uri, waker) = (self.config.own_uri.clone(), Arc::clone(&self.waker));
        self.replicating = Some(Replicating::new(uri, &ends, waker));
        self.reader.tell_of(ends);
        self
    }

    /// Has this host run hooks.
    ///
    /// # Errors
    /// When the data directory has no absolute path.
    pub fn running_hooks(mut self, setting: Setting) -> std::io::Result<Self> {
        let runner = Arc::new(Runner::new(setting, Arc::clone(&self.waker))?);
        self.reader.tell_of_hooks(Arc::clone(&runner));
        self.hooks = Some(runner);
        Ok(self)
    }

    /// Has this host take servers of other kinds of hypervisors.
    #[must_use]
    pub fn importing(mut self, config: convert::config::Config, data_dir: PathBuf) -> Self {
        let (uri, waker) = (self.config.own_uri.clone(), Arc::clone(&self.waker));
        self.importing = Some(Imports::new(uri, config, data_dir, waker));
        self.reader.tell_of_imports();
        self
    }

    /// The running domains, by what their guests are recognised.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub fn attached(&self) -> Answer<Vec<Attached>> {
        self.guests.call_with(LOOK, |connect| {
            let running = sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE;
            let domains = connect.list_all_domains(running).map_err(|error| classify::refusal(&error))?;
            let mut attached = Vec::with_capacity(domains.len());
            for domain in domains {
                match domain.xml_desc(0).map_err(|error| classify::refusal(&error)) {
                    Ok(xml) => attached.push(domain_xml::attached(&xml).map_err(|error| {
                        Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), error.to_string())
                    })?),
                    // It has just ended.
                    Err(Refusal { kind: RefusalKind::NoServer, .. }) => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            Ok(attached)
        })
    }

    /// What is wrong with this installation, for `drover-agent check`: each line says what and what to do.
    ///
    /// # Errors
    /// When libvirt does not answer at all.
    pub fn check(&self) -> Answer<Vec<String>> {
        self.control.connect()?;
        self.reader.check()
    }
}

impl Hypervisor for Libvirt {
    fn here(&self) -> &dyn Domains {
        &self.control
    }

    fn peer(&self, destination: &Destination) -> Answer<Arc<dyn Domains>> {
        let peer = {
            let mut peers = lock(&self.peers);
            let uri = &destination.libvirt_uri;
            Arc::clone(peers.entry(uri.clone()).or_insert_with(|| Arc::new(Daemon::new(uri.clone()))))
        };
        peer.connect()?;
        Ok(peer)
    }

    fn observe(&self) -> Answer<Observed> {
        self.reader.observe()
    }

    fn left(&self) -> Answer<Vec<Left>> {
        self.control.call(LOOK, |connect| {
            let domains = connect.list_all_domains(0)?;
            let mut left = Vec::with_capacity(domains.len());
            for domain in domains {
                left.push(Left { server: ServerId(domain.uuid()?), name: domain.name()? });
            }
            left.sort_by_key(|left| left.server);
            Ok(left)
        })
    }

    fn start_migration(&self, order: &LiveMigrate, tuning: Tuning) -> Answer<()> {
        self.migrations.start(order, tuning, self.config.encryption)
    }

    fn migration(&self, server: ServerId) -> Answer<MigrationStatus> {
        self.migrations.status(server, &self.control)
    }

    fn abort_migration(&self, server: ServerId) -> Answer<()> {
        self.control.on(server, Duration::from_secs(30), libvirt_sys::abort_job)
    }

    fn tune_migration(&self, server: ServerId, tuning: Tuning) -> Answer<()> {
        self.migrations.tuned(server);
        self.control.on(server, LOOK, move |domain| {
            domain.migrate_set_max_downtime(
                tuning.max_downtime_ms.unwrap_or(migrate::DEFAULT_DOWNTIME_MS),
                0,
            )?;
            domain.migrate_set_max_speed(migrate::mebibytes(tuning.max_bandwidth), 0)
        })
    }

    fn shutdown(&self, server: ServerId, by: ShutdownBy) -> Answer<()> {
        let flags = match by {
            ShutdownBy::GuestAgent => sys::VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
            ShutdownBy::Acpi => sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
        };
        // The guest agent of one that libvirt has lost is out of reach, and libvirt says so.
        if by == ShutdownBy::Acpi
            && let Some(lost) = self.control.on(server, LOOK, lost::process)?
        {
            return lost.press_power_button();
        }
        self.control.on(server, Duration::from_secs(10), move |domain| domain.shutdown_flags(flags))
    }

    fn definition(&self, server: ServerId) -> Answer<String> {
        self.control.on(server, LOOK, |domain| domain.xml_desc(KEPT))
    }

    fn reshaped(&self, definition: &str, order: &RebootMigrate, id: OperationId) -> Answer<String> {
        let shaped = reshaped(definition, &order.shape, id).and_then(|xml| with_disks(&xml, order.disks()));
        shaped.map_err(|error| {
            Refusal::new(RefusalKind::Failed(FailureClass::RefusedBySource), error.to_string())
        })
    }

    fn signs(&self, server: ServerId) -> Answer<Signs> {
        let xml = self.control.on(server, LOOK, |domain| domain.xml_desc(0))?;
        let nothing = Signs { agent: GuestAgent::Absent, console_bytes: None };
        let Ok(facts) = domain_xml::read(&xml, &self.config.storage, &Imported::default(), u64::MAX) else {
            return Ok(nothing);
        };
        let console_bytes = match (self.config.console, facts.console_file) {
            (ConsoleHeartbeat::Counts, Some(path)) => std::fs::metadata(path).map(|file| file.len()).ok(),
            (ConsoleHeartbeat::Counts, None) | (ConsoleHeartbeat::Ignored, _) => None,
        };
        Ok(Signs { agent: facts.guest_agent, console_bytes })
    }

    fn ping(&self, server: ServerId) -> Answer<()> {
        let ping = |domain: &Domain| domain.qemu_agent_command(r#"{"execute":"guest-ping"}"#, 1, 0);
        self.control.on(server, Duration::from_secs(5), ping).map(drop)
    }

    fn hardware(&self, server: ServerId) -> Answer<Hardware> {
        self.reach.hardware(server)
    }

    fn probe(&self, probe: &Probe<'_>) -> Option<Answered> {
        self.reach.probe(probe)
    }

    fn forget_probes(&self, operation: OperationId) {
        self.reach.forget(operation);
    }

    fn replication(&self) -> &dyn Replication {
        match &self.replicating {
            Some(replicating) => replicating,
            None => &NotConfigured,
        }
    }

    fn hooks(&self) -> &dyn Hooks {
        match &self.hooks {
            Some(runner) => runner.as_ref(),
            None => &NoHooks,
        }
    }

    fn imports(&self) -> &dyn Importer {
        match &self.importing {
            Some(importing) => importing,
            None => &NoImports,
        }
    }

    fn listen(&self, waker: Waker) {
        *lock(&self.waker) = Some(waker);
    }
}
