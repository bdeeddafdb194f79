//! One libvirt daemon over one connection: every call bounded in time, the connection opened again when it has broken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Autostart, Definition};
use drover_policies::ids::ServerId;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

use super::super::libvirt_sys::{self, Called, Job, Which};
use super::super::{Answer, DiskFigures, Domains, Figures, Refusal, RefusalKind, Sighting, State};
use super::classify::refusal;
use super::lost;

/// For calls that only look. libvirt itself waits 30 s for a domain's lock.
pub(super) const LOOK: Duration = Duration::from_secs(35);
/// For calls that start, stop or define something.
pub(super) const ACT: Duration = Duration::from_secs(120);
/// For opening a connection.
const OPEN: Duration = Duration::from_secs(10);
/// A daemon that has so many calls hanging gets no more of them.
const MOST_HANGING: usize = 64;

/// A connection that is opened when it is needed.
pub(super) struct Daemon {
    uri: String,
    connect: Mutex<Option<Arc<Connect>>>,
    /// Calls whose threads were written off and have not come back.
    hanging: Arc<AtomicUsize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Daemon {
    pub(super) fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into(), connect: Mutex::new(None), hanging: Arc::new(AtomicUsize::new(0)) }
    }

    /// The connection, opened if there is none that lives.
    pub(super) fn connect(&self) -> Answer<Arc<Connect>> {
        if let Some(connect) = self.living() {
            return Ok(connect);
        }
        let uri = self.uri.clone();
        let opened = self.bounded(OPEN, move || open(&uri))?;
        let connect = Arc::new(opened.map_err(|error| {
            Refusal::new(
                RefusalKind::NoConnection,
                format!("cannot connect to {}: {}", self.uri, error.message()),
            )
        })?);
        *lock(&self.connect) = Some(Arc::clone(&connect));
        Ok(connect)
    }

    fn living(&self) -> Option<Arc<Connect>> {
        let mut slot = lock(&self.connect);
        let lives = slot.as_ref().is_some_and(|connect| connect.is_alive().unwrap_or(false));
        if !lives {
            *slot = None;
        }
        slot.clone()
    }

    /// Makes one call.
    pub(super) fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce(&Connect) -> Called<T> + Send + 'static,
    ) -> Answer<T> {
        self.call_with(limit, move |connect| call(connect).map_err(|error| refusal(&error)))
    }

    /// Makes several calls that refuse in the port's own terms.
    pub(super) fn call_with<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce(&Connect) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let connect = self.connect()?;
        let answer = self.bounded(limit, move || call(&connect)).and_then(|answer| answer);
        if let Err(Refusal { kind: RefusalKind::NoAnswer | RefusalKind::NoConnection, .. }) = &answer {
            // The next call finds out on a fresh connection.
            *lock(&self.connect) = None;
        }
        answer
    }

    /// Makes a call about one domain.
    pub(super) fn on<T: Send + 'static>(
        &self,
        server: ServerId,
        limit: Duration,
        call: impl FnOnce(&Domain) -> Called<T> + Send + 'static,
    ) -> Answer<T> {
        self.call(limit, move |connect| call(&connect.lookup_domain_by_uuid(server.0)?))
    }

    /// Runs a call on a thread of its own and waits for it, but not longer than the limit: a call on a stuck QEMU may hang for
    /// ever, and its thread with it.
    fn bounded<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let unanswered = |text: String| Err(Refusal::new(RefusalKind::NoAnswer, text));
        if self.hanging.load(Ordering::Relaxed) >= MOST_HANGING {
            return unanswered(format!(
                "{} does not answer, and {MOST_HANGING} calls hang in it already",
                self.uri
            ));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let hanging = Arc::clone(&self.hanging);
        hanging.fetch_add(1, Ordering::Relaxed);
        let run = move || {
            let answer = call();
            hanging.fetch_sub(1, Ordering::Relaxed);
            // Nobody listens any more if it took too long.
            let _ = sender.send(answer);
        };
        if let Err(error) = thread::Builder::new().name("libvirt-call".to_owned()).spawn(run) {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
            return unanswered(format!("the system gives no thread: {error}"));
        }
        match receiver.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(_) => unanswered(format!("{} has not answered for {} s", self.uri, limit.as_secs())),
        }
    }
}

/// Opens a connection that notices when its other end is gone.
pub(super) fn open(uri: &str) -> Called<Connect> {
    let connect = Connect::open(Some(uri))?;
    // Not every transport can do it; a local socket does not need it.
    if let Err(error) = connect.set_keep_alive(5, 3) {
        tracing::debug!(uri, "no keepalive on this connection: {error}");
    }
    Ok(connect)
}

/// A domain that vanishes while it is looked at was not there.
fn unless_gone<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Refusal { kind: RefusalKind::NoServer, .. }) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn sight(domain: &Domain) -> Called<Sighting> {
    let definition = if domain.is_persistent()? { Definition::Persistent } else { Definition::Transient };
    let autostart = match definition {
        Definition::Persistent if domain.autostart()? => Autostart::Yes,
        Definition::Persistent | Definition::Transient => Autostart::No,
    };
    Ok(Sighting { name: domain.name()?, state: state_of(domain)?, definition, autostart })
}

/// A domain that is held at the switch-over looks the same on both hosts; the job tells them apart.
pub(super) fn state_of(domain: &Domain) -> Called<State> {
    let (state, reason) = libvirt_sys::state(domain)?;
    let reason = u32::try_from(reason).unwrap_or(sys::VIR_DOMAIN_PAUSED_UNKNOWN);
    Ok(match state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => State::Running,
        sys::VIR_DOMAIN_PAUSED => match reason {
            sys::VIR_DOMAIN_PAUSED_MIGRATION | sys::VIR_DOMAIN_PAUSED_STARTING_UP => {
                let job = libvirt_sys::job(domain, Which::Current).unwrap_or_default();
                let starting = reason == sys::VIR_DOMAIN_PAUSED_STARTING_UP;
                if starting || job.operation == sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN {
                    State::Arriving
                } else {
                    State::HeldByMigration
                }
            }
            sys::VIR_DOMAIN_PAUSED_POSTCOPY | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED => {
                State::HeldByMigration
            }
            sys::VIR_DOMAIN_PAUSED_UNKNOWN
            | sys::VIR_DOMAIN_PAUSED_USER
            | sys::VIR_DOMAIN_PAUSED_FROM_SNAPSHOT
            | sys::VIR_DOMAIN_PAUSED_WATCHDOG => State::Paused,
            sys::VIR_DOMAIN_PAUSED_CRASHED => State::Crashed,
            _ => State::HeldOtherwise,
        },
        sys::VIR_DOMAIN_PMSUSPENDED => State::Paused,
        // One that libvirt has lost is anything but off: who took it for that would start it a second time.
        sys::VIR_DOMAIN_SHUTOFF if lost::process(domain)?.is_some() => State::Running,
        sys::VIR_DOMAIN_SHUTOFF => State::Off,
        sys::VIR_DOMAIN_CRASHED => State::Crashed,
        _ => State::HeldOtherwise,
    })
}

pub(super) fn figures(job: &Job) -> Figures {
    Figures {
        total_bytes: job.memory_total,
        sent_bytes: job.memory_processed,
        remaining_bytes: job.memory_remaining,
        rate: job.memory_bps,
        dirty_rate: job.memory_dirty_rate.saturating_mul(job.memory_page_size),
        iteration: u32::try_from(job.memory_iteration).unwrap_or(u32::MAX),
        downtime_ms: job.downtime_ms,
        allowed_downtime_ms: None,
        disks: DiskFigures {
            total_bytes: job.disk_total,
            sent_bytes: job.disk_processed,
            remaining_bytes: job.disk_remaining,
            rate: job.disk_bps,
        },
    }
}

impl Domains for Daemon {
    fn find(&self, server: ServerId) -> Answer<Option<Sighting>> {
        unless_gone(self.on(server, LOOK, sight))
    }

    fn named(&self, name: &str) -> Answer<Option<ServerId>> {
        let name = name.to_owned();
        unless_gone(self.call(LOOK, move |connect| {
            let uuid = connect.lookup_domain_by_name(&name)?.uuid()?;
            Ok(ServerId(uuid))
        }))
    }

    fn define(&self, definition: &str) -> Answer<()> {
        let definition = definition.to_owned();
        self.call(ACT, move |connect| connect.define_domain_xml(&definition).map(drop))
    }

    fn undefine(&self, server: ServerId) -> Answer<()> {
        let undefined = self.call_with(ACT, move |connect| {
            let told = |error| refusal(&error);
            let domain = connect.lookup_domain_by_uuid(server.0).map_err(told)?;
            if domain.is_active().map_err(told)? || lost::process(&domain).map_err(told)?.is_some() {
                let words = "it is running, so its definition is not taken away";
                return Err(Refusal::new(RefusalKind::Failed(FailureClass::Busy), words));
            }
            let flags = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                | sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
                | sys::VIR_DOMAIN_UNDEFINE_KEEP_TPM;
            domain.undefine_flags(flags).map_err(told)
        });
        unless_gone(undefined).map(drop)
    }

    fn keep(&self, server: ServerId) -> Answer<()> {
        self.call(ACT, move |connect| {
            let domain = connect.lookup_domain_by_uuid(server.0)?;
            let definition = domain.xml_desc(KEPT)?;
            connect.define_domain_xml(&definition).map(drop)
        })
    }

    fn start(&self, server: ServerId) -> Answer<()> {
        self.call_with(ACT, move |connect| {
            let told = |error| refusal(&error);
            let domain = connect.lookup_domain_by_uuid(server.0).map_err(told)?;
            if let Some(lost) = lost::process(&domain).map_err(told)? {
                return Err(Refusal::new(RefusalKind::Failed(FailureClass::Busy), lost.words()));
            }
            domain.create().map_err(told)
        })
    }

    fn destroy(&self, server: ServerId) -> Answer<()> {
        let destroyed = self.on(server, ACT, |domain| match domain.destroy() {
            Err(error) if domain.is_active()? => Err(error),
            Ok(()) | Err(_) => lost::process(domain),
        });
        match unless_gone(destroyed)?.flatten() {
            Some(lost) => lost.end(),
            None => Ok(()),
        }
    }

    fn resume(&self, server: ServerId) -> Answer<()> {
        self.on(server, ACT, Domain::resume)
    }

    fn set_autostart(&self, server: ServerId, autostart: Autostart) -> Answer<()> {
        self.on(server, LOOK, move |domain| domain.set_autostart(autostart == Autostart::Yes))
    }

    fn last_migration(&self, server: ServerId) -> Answer<Option<Figures>> {
        self.on(server, LOOK, |domain| {
            let job = libvirt_sys::job(domain, Which::Completed)?;
            let known = u32::try_from(job.kind).is_ok_and(|kind| kind == sys::VIR_DOMAIN_JOB_COMPLETED);
            Ok(known.then(|| figures(&job)))
        })
    }
}

/// A definition that another daemon, or this one again, takes: as kept, with its secrets.
pub(super) const KEPT: sys::virDomainXMLFlags =
    sys::VIR_DOMAIN_XML_SECURE | sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_MIGRATABLE;
