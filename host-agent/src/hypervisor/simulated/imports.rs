//! Imports in the simulated fleet: what a job has done by now follows from the time since it was begun.

use chrono::TimeDelta;
use drover_agent_api::ImportServer;
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::fleet::{Ability, Autostart, Definition};
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::import::{Done, Found, Start, Step, Virtio, server};
use drover_policies::replica::DiskFigures;
use drover_policies::time::{Instant, Span};

use super::super::importing::{Cleared, Importer, Job, NoImports, Said};
use super::super::{Answer, State, Wake};
use super::port::Port;
use super::{Domain, Fault, Guest, Inside, SimulatedFleet, World};

/// What is copied of foreign disks, in bytes per second.
const COPY_RATE: u64 = 100 << 20;

/// A disk of which nobody has said how large it is.
const DISK: u64 = 1 << 30;

/// What is there of an import on its host, whoever works on it.
pub(super) struct Foreign {
    host: HostName,
    copied: bool,
    job: Option<Working>,
}

/// A job, as long as the agent lives that has started it.
struct Working {
    session: u64,
    operation: OperationId,
    began: Instant,
    /// What it says, each at its time since it began; what was said is not in it any more.
    script: Vec<(TimeDelta, Said)>,
    disks: Vec<DiskFigures>,
    /// When the copying begins.
    copies_from: TimeDelta,
    end: (TimeDelta, Result<(), Failure>),
    order: ImportServer,
}

/// What an order finds done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Copies,
    Server,
}

/// A script being written.
struct Writing {
    at: TimeDelta,
    script: Vec<(TimeDelta, Said)>,
}

impl Writing {
    fn step(&mut self, step: Step, took: Span, bytes: Option<u64>, lines: &[(i64, &str)]) {
        let began = self.at;
        self.script.push((began, Said::Began(step)));
        for (seconds, line) in lines {
            self.script.push((began + TimeDelta::seconds(*seconds), Said::Line((*line).to_owned())));
        }
        self.at = began + took.delta();
        self.script.push((self.at, Said::Ended(Done { step, took, bytes })));
    }
}

/// What virt-v2v says of a Debian guest.
const CONVERSION: [(i64, &str); 5] = [
    (0, "Starting converters"),
    (4, "Finished starting converters"),
    (4, "Inspecting the source"),
    (9, "Converting Debian 12 to run on KVM"),
    (20, "This guest has virtio drivers installed."),
];

impl Working {
    fn new(
        (session, operation): (u64, OperationId),
        order: &ImportServer,
        now: Instant,
        before: Before,
        fault: Option<&Fault>,
    ) -> Self {
        let disks = order.description.disks.iter().map(|disk| DiskFigures {
            target: disk.target.clone(),
            total_bytes: disk.bytes.unwrap_or(DISK),
            done_bytes: 0,
        });
        let disks: Vec<DiskFigures> = disks.collect();
        let mut writing = Writing { at: TimeDelta::zero(), script: Vec::new() };
        let mut end = Ok(());
        match fault {
            Some(Fault::ImportInTheWay { text, .. }) => {
                writing.script.push((writing.at, Said::Began(Step::Check)));
                let class = FailureClass::RefusedByDestination;
                end = Err(Failure { class, text: format!("this is in the way: {text}") });
            }
            _ => writing.step(Step::Check, Span::milliseconds(500), None, &[]),
        }
        let copies_from = writing.at;
        if end.is_ok() && before == Before::Nothing {
            for disk in &disks {
                let took = Span::milliseconds(disk.total_bytes * 1000 / COPY_RATE);
                writing.step(Step::Copy, took, Some(disk.total_bytes), &[]);
            }
        }
        match fault {
            Some(Fault::ConversionFails { .. }) if end.is_ok() => {
                writing.script.push((writing.at, Said::Began(Step::Fix)));
                let starting = Said::Line("Starting converters".to_owned());
                writing.script.push((writing.at, starting));
                writing.at += TimeDelta::seconds(6);
                let text =
                    "the conversion failed: see whether the first disk is the one that the guest boots from";
                end = Err(Failure { class: FailureClass::Unexpected, text: text.to_owned() });
            }
            _ if end.is_ok() && before != Before::Server => {
                writing.step(Step::Fix, Span::seconds(24), None, &CONVERSION);
                for step in [Step::Merge, Step::Place, Step::Define] {
                    writing.step(step, Span::milliseconds(200), None, &[]);
                }
                if order.start == Start::Yes {
                    writing.step(Step::Start, Span::milliseconds(400), None, &[]);
                }
            }
            _ => {}
        }
        let (end, script) = ((writing.at, end), writing.script);
        Self { session, operation, began: now, script, disks, copies_from, end, order: order.clone() }
    }

    /// How far the disks are by then, one after the other.
    fn figures(&self, since: TimeDelta, copied: bool) -> Vec<DiskFigures> {
        let copying = (since - self.copies_from).to_std().unwrap_or_default().as_millis();
        let mut left = u64::try_from(copying).unwrap_or(u64::MAX) / 1000 * COPY_RATE;
        let figures = self.disks.iter().cloned().map(|disk| {
            let done_bytes = if copied { disk.total_bytes } else { left.min(disk.total_bytes) };
            left = left.saturating_sub(disk.total_bytes);
            DiskFigures { done_bytes, ..disk }
        });
        figures.collect()
    }
}

impl SimulatedFleet {
    /// Whether anything is left of an import that has not come to its end.
    #[must_use]
    pub fn has_import(&self, server: ServerId) -> bool {
        self.change(|world| world.imports.contains_key(&server))
    }
}

impl World {
    fn start_import(&mut self, host: &HostName, by: (u64, OperationId), order: &ImportServer) -> Answer<()> {
        let here = |fault: &Fault| match fault {
            Fault::ImportInTheWay { host: at, .. } | Fault::ConversionFails { host: at } => at == host,
            _ => false,
        };
        let fault = self.take_fault(here);
        let (now, defined) = (self.now, self.domain(host, order.server).is_some());
        let known = self.imports.entry(order.server).or_insert_with(|| Foreign {
            host: host.clone(),
            copied: false,
            job: None,
        });
        known.host = host.clone();
        let before = match (defined, known.copied) {
            (true, _) => Before::Server,
            (false, true) => Before::Copies,
            (false, false) => Before::Nothing,
        };
        known.job = Some(Working::new(by, order, now, before, fault.as_ref()));
        Ok(())
    }

    fn look_at_import(&mut self, host: &HostName, by: (u64, OperationId)) -> Job {
        let now = self.now;
        let of = |foreign: &Foreign| {
            foreign.host == *host
                && foreign.job.as_ref().is_some_and(|job| (job.session, job.operation) == by)
        };
        let Some(foreign) = self.imports.values_mut().find(|foreign| of(foreign)) else { return Job::None };
        let Some(job) = &mut foreign.job else { return Job::None };
        let since = now - job.began;
        let still = job.script.iter().position(|(at, _)| *at > since).unwrap_or(job.script.len());
        let said: Vec<Said> = job.script.drain(..still).map(|(_, said)| said).collect();
        foreign.copied |= said.contains(&Said::Began(Step::Fix));
        if since < job.end.0 {
            let disks = job.figures(since, foreign.copied);
            return Job::Running { said, disks };
        }
        let (end, order) = (job.end.1.clone(), job.order.clone());
        foreign.job = None;
        if end.is_ok() {
            self.imports.remove(&order.server);
            self.define_import(host, &order);
        }
        let found = Found {
            system: Some("Debian 12".to_owned()),
            virtio: Virtio::Installed,
            firmware: None,
            warnings: Vec::new(),
        };
        Job::Returned { said, answer: end.map(|()| found) }
    }

    fn define_import(&mut self, host: &HostName, order: &ImportServer) {
        let id = order.server;
        if self.domain(host, id).is_some() {
            return;
        }
        let mut facts = server(&order.description, id, host, &[]).facts;
        for disk in &mut facts.disks {
            disk.virtual_bytes = disk.virtual_bytes.filter(|bytes| *bytes > 0).or(Some(DISK));
        }
        let domain = Domain {
            facts,
            before: None,
            state: State::Off,
            definition: Definition::Persistent,
            autostart: Autostart::No,
            booted_at: self.now,
            off_at: None,
            held_for_backup: false,
            arrived_by: None,
        };
        let disks = [(host.clone(), TimeDelta::zero())].into();
        let (ran, guest) = (TimeDelta::zero(), Guest::default());
        self.guests.insert(id, Inside { guest, disks, checkpoint: None, ran, may_lose: false });
        if let Some(host) = self.hosts.get_mut(host) {
            host.domains.insert(id, domain);
        }
        if order.start == Start::Yes {
            self.boot(host, id);
        }
        self.wake(host, Wake::Server(id));
    }
}

impl Port {
    fn may_import(&self) -> bool {
        let may = |world: &mut World| {
            let host = world.hosts.get(self.host());
            Ok(host.is_some_and(|host| host.facts.can(Ability::ReadForeignImages)))
        };
        self.counted(may).unwrap_or_default()
    }
}

impl Importer for Port {
    fn start(&self, operation: OperationId, order: &ImportServer) -> Answer<()> {
        if !self.may_import() {
            return NoImports.start(operation, order);
        }
        self.counted(|world| world.start_import(self.host(), (self.session(), operation), order))
    }

    fn look(&self, operation: OperationId) -> Job {
        let by = (self.session(), operation);
        self.counted(|world| Ok(world.look_at_import(self.host(), by))).unwrap_or(Job::None)
    }

    fn stop(&self, operation: OperationId) {
        let stopped = self.counted(|world| {
            let now = world.now;
            let jobs = world.imports.values_mut().filter_map(|foreign| foreign.job.as_mut());
            for job in jobs.filter(|job| job.operation == operation) {
                let failure =
                    Failure { class: FailureClass::Aborted, text: "the import was called off".to_owned() };
                job.end = (now - job.began, Err(failure));
            }
            Ok(())
        });
        // Nothing is asked of a daemon that could refuse.
        drop(stopped);
    }

    fn clear(&self, order: &ImportServer) -> Answer<Cleared> {
        self.counted(|world| {
            if world.domain(self.host(), order.server).is_some() {
                return Ok(Cleared::TooLate);
            }
            world.imports.remove(&order.server);
            Ok(Cleared::Gone)
        })
    }
}
