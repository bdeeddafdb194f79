//! Imports on this host: each job is a thread that takes the import's steps, and is held by a flag.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use drover_agent_api::ImportServer;
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::ids::OperationId;
use drover_policies::import::Found;
use drover_policies::replica::DiskFigures;

use super::super::importing::{Cleared, Importer, Job, Said};
use super::super::{Answer, Refusal, RefusalKind, Wake, Waker};
use super::daemon::Daemon;
use super::lock;
use crate::clock::SystemClock;
use crate::convert::Event;
use crate::convert::config::Config;
use crate::convert::import::{Import, ImportError, Means, clear};
use crate::convert::tool::Leash;

/// The imports of this host.
pub(super) struct Imports {
    shared: Arc<Shared>,
    jobs: Mutex<BTreeMap<OperationId, Running>>,
}

/// What all jobs work with.
struct Shared {
    config: Config,
    data_dir: PathBuf,
    daemon: Daemon,
    waker: Arc<Mutex<Option<Waker>>>,
}

struct Running {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    thread: JoinHandle<Result<Found, ImportError>>,
}

#[derive(Default)]
struct Told {
    said: Vec<Said>,
    disks: Vec<DiskFigures>,
}

impl Told {
    fn take(&mut self, event: Event) {
        match event {
            Event::Began(step) => self.said.push(Said::Began(step)),
            Event::Ended(done) => self.said.push(Said::Ended(done)),
            Event::Copying(figures) => {
                match self.disks.iter_mut().find(|known| known.target == figures.target) {
                    Some(known) => *known = figures,
                    None => self.disks.push(figures),
                }
            }
            Event::Milestone(_) | Event::Info(_) | Event::Warning(_) => {
                self.said.push(Said::Line(event.to_string()));
            }
        }
    }
}

impl Imports {
    pub(super) fn new(
        uri: String,
        config: Config,
        data_dir: PathBuf,
        waker: Arc<Mutex<Option<Waker>>>,
    ) -> Self {
        let shared = Shared { config, data_dir, daemon: Daemon::new(uri), waker };
        Self { shared: Arc::new(shared), jobs: Mutex::new(BTreeMap::new()) }
    }
}

impl Shared {
    fn means<'a>(&'a self, stop: &'a AtomicBool) -> Means<'a> {
        Means {
            data_dir: &self.data_dir,
            config: &self.config,
            domains: &self.daemon,
            leash: Leash { clock: &SystemClock, stop },
        }
    }

    fn wake(&self, order: &ImportServer) {
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker(Wake::Server(order.server));
        }
    }
}

impl Importer for Imports {
    fn start(&self, operation: OperationId, order: &ImportServer) -> Answer<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(Told::default()));
        let (shared, order) = (Arc::clone(&self.shared), order.clone());
        let (pulled, heard) = (Arc::clone(&stop), Arc::clone(&told));
        let import = move || {
            let done = Import::open(&order, shared.means(&pulled))
                .and_then(|mut import| import.run(&mut |event| lock(&heard).take(event)));
            shared.wake(&order);
            done
        };
        let thread = thread::Builder::new().name("import".to_owned()).spawn(import);
        let thread = thread.map_err(|error| {
            let text = format!("no thread for an import: {error}");
            Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), text)
        })?;
        lock(&self.jobs).insert(operation, Running { stop, told, thread });
        Ok(())
    }

    fn look(&self, operation: OperationId) -> Job {
        let mut jobs = lock(&self.jobs);
        let Some(running) = jobs.get(&operation) else { return Job::None };
        if !running.thread.is_finished() {
            let mut told = lock(&running.told);
            return Job::Running { said: std::mem::take(&mut told.said), disks: told.disks.clone() };
        }
        let Some(Running { told, thread, .. }) = jobs.remove(&operation) else { return Job::None };
        drop(jobs);
        let said = std::mem::take(&mut lock(&told).said);
        let answer = match thread.join() {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => {
                let text = "the import broke off by a mistake in this agent; its log says more".to_owned();
                Err(Failure { class: FailureClass::Unexpected, text })
            }
        };
        Job::Returned { said, answer }
    }

    fn stop(&self, operation: OperationId) {
        if let Some(running) = lock(&self.jobs).get(&operation) {
            running.stop.store(true, Ordering::Relaxed);
        }
    }

    fn clear(&self, order: &ImportServer) -> Answer<Cleared> {
        clear(order, &self.shared.means(&AtomicBool::new(false))).map_err(|error| match error {
            ImportError::Libvirt(refusal) => refusal,
            other => {
                let failure = failure(&other);
                Refusal::new(RefusalKind::Failed(failure.class), failure.text)
            }
        })
    }
}

/// Another host may help only as long as nothing was begun here.
fn failure(error: &ImportError) -> Failure {
    let class = match error {
        ImportError::InTheWay(_) | ImportError::OtherImport { .. } | ImportError::Forbidden(_) => {
            FailureClass::RefusedByDestination
        }
        ImportError::Stopped => FailureClass::Aborted,
        ImportError::Libvirt(refusal) => refusal.at_source().class,
        ImportError::Record(_)
        | ImportError::Disk(_)
        | ImportError::Copy(_)
        | ImportError::Fixes(_)
        | ImportError::NameTaken { .. }
        | ImportError::PathTaken { .. }
        | ImportError::NoKvm
        | ImportError::Gone { .. }
        | ImportError::Done { .. } => FailureClass::Unexpected,
    };
    Failure { class, text: error.to_string() }
}
