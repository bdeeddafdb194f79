//! A small world for the drivers: one source with its agent, one destination, one server, one order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta};
use drover_agent_api::{
    AutoConverge, Destination, IfFailed, IfRunning, LiveMigrate, Operation, OperationState, Order,
    RebootMigrate, Shape, SyncResponse, Wish, Within,
};
use drover_host_agent::agent::Agent;
use drover_host_agent::clock::HostClock;
use drover_host_agent::hypervisor::simulated::{Guest, Place, SimulatedFleet, survive};
use drover_policies::attempt::{FailureClass, Moved, Outcome, Phase, Progress};
use drover_policies::fleet::{
    Ability, Autostart, Definition, Disk, GuestAgent, GuestCpu, HostCpu, HostFacts, OwnerRules, Power, Reach,
    ServerFacts,
};
use drover_policies::ids::{Generation, HostName, OperationId, ServerId};
use drover_policies::time::{Clock, Instant, Span};
use uuid::Uuid;

pub struct VirtualClock(Mutex<Instant>);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        *self.0.lock().expect("no panics while held")
    }
}

impl HostClock for VirtualClock {
    fn elapsed(&self) -> std::time::Duration {
        (self.now() - Instant::UNIX_EPOCH).to_std().expect("after 1970")
    }
}

impl VirtualClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(DateTime::from_timestamp(1_800_000_000, 0).expect("in range"))))
    }

    pub fn set(&self, to: Instant) {
        let mut now = self.0.lock().expect("no panics while held");
        *now = (*now).max(to);
    }
}

pub const SERVER: ServerId = ServerId(Uuid::from_u128(0x51));
pub const OPERATION: OperationId = OperationId(Uuid::from_u128(0x09));

pub fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

pub fn host_facts(name: &str) -> HostFacts {
    HostFacts {
        cluster: "c".into(),
        labels: BTreeMap::new(),
        libvirt_uri: format!("qemu+tcp://{name}/system"),
        migration_address: None,
        memory_bytes: 64 << 30,
        cpu_threads: 16,
        cpu: HostCpu { arch: "x86_64".into(), model: "EPYC".into(), usable_models: BTreeSet::new() },
        machine_types: BTreeSet::new(),
        shared_storage: BTreeSet::from(["pool".to_owned()]),
        libvirt_version: 11_003_000,
        qemu_version: 10_000_002,
        replication: None,
        abilities: BTreeSet::from([Ability::ReturnToRetained, Ability::Reshape, Ability::ReshapeDisks]),
        plugs: None,
        boot_id: None,
        hooks: BTreeSet::new(),
        agent: None,
        resources: BTreeMap::new(),
    }
}

pub fn server_facts(power: Power) -> ServerFacts {
    ServerFacts {
        id: SERVER,
        name: "web-1".into(),
        power,
        definition: Definition::Persistent,
        owner: None,
        labels: BTreeMap::new(),
        rules: OwnerRules::default(),
        memory_bytes: 4 << 30,
        vcpus: 2,
        arch: "x86_64".into(),
        machine_type: "pc-q35-10.0".into(),
        cpu: GuestCpu::Default,
        disks: vec![Disk {
            target: "vda".into(),
            source: "/pool/web-1.qcow2".into(),
            format: "qcow2".into(),
            virtual_bytes: Some(10 << 30),
            allocated_bytes: None,
            reach: Reach::Shared { storage: "pool".into() },
        }],
        blockers: Vec::new(),
        guest_agent: GuestAgent::Connected,
        autostart: Autostart::Yes,
        plugs: None,
        resources: BTreeMap::new(),
    }
}

pub fn destination() -> Destination {
    Destination { host: host("h2"), libvirt_uri: "qemu+tcp://h2/system".into(), migration_address: None }
}

pub fn live() -> Order {
    Order::LiveMigrate(LiveMigrate {
        server: SERVER,
        destination: destination(),
        auto_converge: AutoConverge::Off,
        connections: 1,
        replica: None,
    })
}

pub fn reboot() -> Order {
    Order::RebootMigrate(RebootMigrate {
        server: SERVER,
        destination: destination(),
        agent_time: Span::seconds(20),
        acpi_time: Span::seconds(20),
        if_running: IfRunning::PowerOff,
        within: None,
        replica: None,
        if_failed: IfFailed::RestartSource,
        left_off: None,
        leaves: Vec::new(),
        shape: Shape::AsItIs,
    })
}

/// To be begun from half a minute after the beginning of the rig on, for five minutes, by the scheduler's clock.
pub fn reboot_at(scheduler_ahead: TimeDelta) -> Order {
    let not_before = VirtualClock::new().now() + TimeDelta::seconds(30) + scheduler_ahead;
    let within = Within { not_before, not_after: not_before + TimeDelta::minutes(5) };
    match reboot() {
        Order::RebootMigrate(order) => Order::RebootMigrate(RebootMigrate { within: Some(within), ..order }),
        other => other,
    }
}

/// In memory where the system has such a place: these tests write the ledger some ten thousand times.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

pub struct Rig {
    pub clock: Arc<VirtualClock>,
    pub fleet: Arc<SimulatedFleet>,
    pub agent: Option<Arc<Agent>>,
    pub operation: Operation,
    /// Other operations that are wanted of the same agent.
    pub beside: Vec<Operation>,
    pub phases: Vec<Phase>,
    pub kills: u32,
    /// Whose agent this is.
    pub host: HostName,
    /// By how much the scheduler's clock shows more than this host's.
    pub scheduler_ahead: TimeDelta,
    directory: tempfile::TempDir,
}

impl Rig {
    pub fn new(order: Order, facts: ServerFacts, guest: Guest) -> Self {
        Self::with_scheduler(order, facts, guest, TimeDelta::zero())
    }

    pub fn with_scheduler(
        order: Order,
        facts: ServerFacts,
        guest: Guest,
        scheduler_ahead: TimeDelta,
    ) -> Self {
        let clock = VirtualClock::new();
        let fleet = SimulatedFleet::new(Arc::clone(&clock) as Arc<dyn Clock>);
        fleet.add_host(host("h1"), host_facts("h1"));
        fleet.add_host(host("h2"), host_facts("h2"));
        fleet.add_server(&host("h1"), facts, guest);
        let operation = Operation { id: OPERATION, generation: Generation::FIRST, order, wish: Wish::Run };
        let directory = scratch();
        let (agent, phases, kills, beside, host) = (None, Vec::new(), 0, Vec::new(), host("h1"));
        let mut rig =
            Self { clock, fleet, agent, operation, beside, phases, kills, host, scheduler_ahead, directory };
        rig.open();
        rig.order();
        rig
    }

    pub fn running(order: Order) -> Self {
        Self::new(order, server_facts(Power::Running), Guest::default())
    }

    fn open(&mut self) {
        let port = self.fleet.hypervisor(&self.host);
        let clock = Arc::clone(&self.clock) as Arc<dyn HostClock>;
        let agent = Agent::open(self.host.clone(), port, clock, self.directory.path()).expect("opened");
        self.agent = Some(agent);
    }

    /// From now on this is the agent of another host, with a ledger of its own. Gives back the ledger of the one before.
    pub fn go_to(&mut self, host: HostName, operation: Operation) -> tempfile::TempDir {
        self.agent = None;
        self.host = host;
        self.operation = operation;
        self.beside.clear();
        self.phases.clear();
        let before = std::mem::replace(&mut self.directory, scratch());
        self.open();
        self.order();
        before
    }

    /// As after kill -9: whatever the agent held in memory is gone.
    pub fn kill(&mut self) {
        self.agent = None;
        self.kills += 1;
        self.open();
        self.order();
    }

    /// As while the scheduler is down.
    pub fn restart_unheard(&mut self) {
        self.agent = None;
        self.open();
    }

    /// As a failing disk may do.
    pub fn spoil_the_operation(&self) {
        let path = self.directory.path().join("operations").join(format!("{OPERATION}.json"));
        std::fs::write(path, b"\0\0\0").expect("spoiled");
    }

    /// The files of retained definitions.
    pub fn retained(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.directory.path().join("retained")).expect("the ledger is there");
        files.map(|file| file.expect("readable").path()).collect()
    }

    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("the agent lives")
    }

    /// The scheduler's answer, as after each call of the agent.
    pub fn order(&self) {
        let response = SyncResponse {
            revision: 1,
            inventory_serial: None,
            operations: self.beside.iter().chain([&self.operation]).cloned().collect(),
            guests: None,
            now: Some(self.clock.now() + self.scheduler_ahead),
        };
        self.agent().take(&response);
    }

    pub fn wish(&mut self, wish: Wish) {
        self.operation.generation = self.operation.generation.next();
        self.operation.wish = wish;
        self.order();
    }

    /// What the scheduler takes it for: an end that is not told yet, as an agent that has just been started has not looked around,
    /// is none.
    pub fn state(&self) -> OperationState {
        self.state_of(self.operation.id).unwrap_or_else(|| OperationState::Running {
            progress: Progress::of(Phase::Preflight, self.clock.now()),
        })
    }

    pub fn state_of(&self, id: OperationId) -> Option<OperationState> {
        let request = self.agent().request(Span::ZERO);
        request.operations.into_iter().find(|report| report.id == id).map(|report| report.state)
    }

    pub fn phase(&self) -> Option<Phase> {
        match self.state() {
            OperationState::Running { progress } => Some(progress.phase),
            _ => None,
        }
    }

    /// One activation of the agent, then time passes until something is due.
    pub fn turn(&mut self) {
        let agent = Arc::clone(self.agent.as_ref().expect("the agent lives"));
        let stepped = survive(|| agent.step());
        drop(agent);
        match stepped {
            Ok(_) => {
                if let Some(phase) = self.phase()
                    && self.phases.last() != Some(&phase)
                {
                    self.phases.push(phase);
                }
                let due = self.agent().next_due();
                let event = self.fleet.next_event().unwrap_or(due);
                self.clock.set(due.min(event).max(self.clock.now() + TimeDelta::milliseconds(1)));
            }
            Err(_) => self.kill(),
        }
        assert_eq!(self.fleet.violations(), Vec::<String>::new(), "never two copies running");
    }

    pub fn pass(&mut self, time: Span) {
        let until = self.clock.now() + time.delta();
        while self.clock.now() < until {
            self.turn();
        }
    }

    pub fn run_to_phase(&mut self, phase: Phase) {
        for _ in 0..20_000 {
            if self.phase() == Some(phase) {
                return;
            }
            self.turn();
        }
        panic!("never came to {phase}: {:?}", self.state());
    }

    /// Drives the operation to its end, at most a simulated day.
    pub fn run(&mut self) -> OperationState {
        let limit = self.clock.now() + TimeDelta::days(1);
        loop {
            let state = self.state();
            if !matches!(state, OperationState::Running { .. }) {
                return state;
            }
            assert!(self.clock.now() < limit, "no end within a day: {state:?}");
            self.turn();
        }
    }

    pub fn outcome(&mut self) -> Outcome {
        match self.run() {
            OperationState::Ended { outcome, .. } => outcome,
            other => panic!("not the end of a migration: {other:?}"),
        }
    }

    pub fn moved(&mut self) -> Moved {
        match self.outcome() {
            Outcome::Moved(moved) => moved,
            other => panic!("it was to be moved: {other:?}"),
        }
    }

    /// It stays at its source; libvirt has its definition there, and nothing else is left of the try.
    pub fn stayed(&mut self) -> (FailureClass, String) {
        let failure = match self.outcome() {
            Outcome::StayedAtSource { failure, .. } => failure,
            other => panic!("it was to stay: {other:?}"),
        };
        assert_eq!(self.retained(), Vec::<std::path::PathBuf>::new());
        (failure.class, failure.text)
    }

    pub fn places(&self) -> Vec<(String, Power, Autostart)> {
        let short = |place: Place| (place.host.to_string(), place.state.power(), place.autostart);
        self.fleet.places(SERVER).into_iter().map(short).collect()
    }
}
