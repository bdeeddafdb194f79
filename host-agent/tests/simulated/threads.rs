//! The agent as it runs in production: its threads, its link, the machine's own clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drover_agent_api::{Operation, OperationState, SyncRequest, SyncResponse, Wish};
use drover_host_agent::agent::Agent;
use drover_host_agent::clock::SystemClock;
use drover_host_agent::hypervisor::simulated::{Guest, SimulatedFleet};
use drover_host_agent::link::{Answering, Link, keep_in_step};
use drover_host_agent::runtime;
use drover_policies::attempt::Outcome;
use drover_policies::fleet::Power;
use drover_policies::ids::Generation;
use tokio::sync::watch;

use crate::common::{OPERATION, host, host_facts, live, server_facts};

/// A scheduler that wants a list of operations, answers telling calls at once and holds the others.
struct Desk {
    wanted: watch::Sender<(u64, Vec<Operation>)>,
    calls: Mutex<Vec<SyncRequest>>,
    held: AtomicUsize,
}

impl Desk {
    fn new() -> Self {
        Self {
            wanted: watch::Sender::new((1, Vec::new())),
            calls: Mutex::default(),
            held: AtomicUsize::new(0),
        }
    }

    fn want(&self, operations: Vec<Operation>) {
        self.wanted.send_modify(|wanted| *wanted = (wanted.0 + 1, operations));
    }

    /// When an end of the operation was first told.
    fn end(&self) -> Option<OperationState> {
        let calls = self.calls.lock().expect("no panics while held");
        let reports = calls.iter().flat_map(|call| &call.operations).filter(|report| report.id == OPERATION);
        reports
            .map(|report| report.state.clone())
            .find(|state| !matches!(state, OperationState::Running { .. }))
    }
}

impl Link for Desk {
    fn sync(&self, request: SyncRequest) -> Answering<'_> {
        self.calls.lock().expect("no panics while held").push(request.clone());
        Box::pin(async move {
            if request.wait_ms > 0 {
                self.held.fetch_add(1, Ordering::Relaxed);
                let mut wanted = self.wanted.subscribe();
                let news = wanted.wait_for(|wanted| Some(wanted.0) != request.seen_revision);
                drop(tokio::time::timeout(Duration::from_millis(request.wait_ms), news).await);
            }
            let (revision, operations) = self.wanted.borrow().clone();
            let inventory_serial = request.inventory.map(|inventory| inventory.serial);
            Ok(SyncResponse { revision, inventory_serial, operations, guests: None, now: None })
        })
    }
}

fn open(directory: &std::path::Path) -> (Arc<SimulatedFleet>, Arc<Agent>) {
    let clock = Arc::new(SystemClock);
    let fleet = SimulatedFleet::new(clock.clone());
    fleet.add_host(host("h1"), host_facts("h1"));
    fleet.add_host(host("h2"), host_facts("h2"));
    let mut facts = server_facts(Power::Running);
    facts.memory_bytes = 256 << 20;
    fleet.add_server(&host("h1"), facts, Guest::default());
    let agent = Agent::open(host("h1"), fleet.hypervisor(&host("h1")), clock, directory).expect("opened");
    (fleet, agent)
}

#[tokio::test]
async fn an_order_is_carried_out_by_threads_and_its_end_is_told_although_a_call_is_held() {
    let directory = tempfile::tempdir().expect("a directory");
    let (fleet, agent) = open(directory.path());
    runtime::start(&agent).expect("threads");
    let desk = Desk::new();
    let ordered = Operation { id: OPERATION, generation: Generation::FIRST, order: live(), wish: Wish::Run };
    let work = async {
        let limit = Instant::now() + Duration::from_secs(20);
        while desk.held.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < limit, "an idle agent listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        desk.want(vec![ordered]);
        loop {
            if let Some(end) = desk.end() {
                return end;
            }
            assert!(Instant::now() < limit, "no end was told");
            // The simulated migration ends by the clock alone; looking lets it happen and wakes the agent.
            let _next = fleet.next_event();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let end = tokio::select! {
        end = work => end,
        () = keep_in_step(Arc::clone(&agent), &desk) => unreachable!("it is kept in step for ever"),
    };
    assert!(matches!(end, OperationState::Ended { outcome: Outcome::Moved(_), .. }), "{end:?}");
}

#[tokio::test]
async fn a_telling_call_carries_all_that_is_new_and_a_listening_one_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_fleet, agent) = open(directory.path());
    agent.read_inventory();
    let desk = Desk::new();
    let silence = tokio::time::timeout(Duration::from_millis(500), keep_in_step(Arc::clone(&agent), &desk));
    silence.await.expect_err("it is kept in step for ever");
    let calls = desk.calls.lock().expect("no panics while held");
    let told: Vec<(bool, bool)> =
        calls.iter().map(|call| (call.wait_ms == 0, call.inventory.is_some())).collect();
    assert_eq!(told, [(true, true), (false, false)]);
}
