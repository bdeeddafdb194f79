//! The hosts of the fleet: their agents move whatever they are told to, each server within seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use drover_agent_api::{Inventory, Left, Operation, OperationReport, OperationState, Order};
use drover_policies::attempt::{Moved, Outcome, Phase, Progress};
use drover_policies::fleet::{HostFacts, Labels, ServerFacts};
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::samples::{gib, host_facts, host_name, owner_id, server_facts, server_id};
use drover_policies::time::{Clock as _, Instant, Span};
use drover_scheduler::clock::SystemClock;
use tokio::runtime::{Builder, Runtime};

use super::{HOSTS, SERVERS, say};
use crate::bench::agent::{Agent, HELD_MS, looked, report};
use crate::demo::interrupt::Interrupt;
use crate::installation::Api;

/// How long a move takes.
const MOVE: Span = Span::seconds(4);

/// How long a call is held while something is moved, in milliseconds: as long as a real agent's.
const BUSY_MS: u64 = 200;

const HOSTS_PER_RACK: usize = 20;
const RACKS_PER_CLUSTER: usize = 10;

pub(super) fn name(number: usize) -> String {
    format!("host-{number:04}")
}

/// All agents. They end when it is dropped.
pub(super) struct Hosts {
    _runtime: Runtime,
}

impl Hosts {
    /// Lets all tell what they have, and wait for orders from then on.
    pub(super) fn begin(api: &Api, interrupt: &Interrupt) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let fleet = Arc::new(Fleet::default());
        for number in 0..HOSTS {
            interrupt.check()?;
            let servers: Vec<ServerFacts> = (number..SERVERS).step_by(HOSTS).map(server).collect();
            fleet.servers().insert(host_name(&name(number)), servers.clone());
            let mut agent = Agent::new(&client, api, facts(number), &name(number), servers)?;
            runtime.block_on(agent.call())?;
            runtime.spawn(serve(agent, facts(number), Arc::clone(&fleet)));
        }
        Ok(Self { _runtime: runtime })
    }
}

fn facts(number: usize) -> HostFacts {
    let rack = number / HOSTS_PER_RACK;
    HostFacts {
        cluster: format!("cluster-{}", rack / RACKS_PER_CLUSTER),
        labels: Labels::from([("rack".to_owned(), format!("rack-{rack:02}"))]),
        memory_bytes: gib(512),
        cpu_threads: 256,
        ..host_facts(&name(number))
    }
}

fn server(number: usize) -> ServerFacts {
    let id = server_id(number as u128 + 1);
    let memory = [1, 2, 2, 4, 8, 16][number % 6];
    ServerFacts {
        owner: Some(owner_id(&format!("owner-{}", number % 500))),
        memory_bytes: gib(memory),
        ..server_facts(id, &format!("server-{number}"))
    }
}

/// Where every server is, and which are being moved.
#[derive(Default)]
struct Fleet {
    servers: Mutex<BTreeMap<HostName, Vec<ServerFacts>>>,
    begun: Mutex<BTreeMap<OperationId, Instant>>,
}

impl Fleet {
    fn servers(&self) -> MutexGuard<'_, BTreeMap<HostName, Vec<ServerFacts>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on(&self, host: &HostName) -> Vec<ServerFacts> {
        self.servers().get(host).cloned().unwrap_or_default()
    }

    fn carry(&self, from: &HostName, to: &HostName, server: ServerId) {
        let mut servers = self.servers();
        let Some(there) = servers.get_mut(from) else { return };
        let Some(at) = there.iter().position(|one| one.id == server) else { return };
        let moved = there.remove(at);
        servers.entry(to.clone()).or_default().push(moved);
    }

    fn moving(&self, from: &HostName, id: OperationId, to: &HostName, server: ServerId) -> OperationState {
        let now = SystemClock.now();
        let began = *self.begun.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(now);
        let passed = Span::between(began, now);
        if passed >= MOVE {
            self.carry(from, to, server);
            let downtime = Some(Span::milliseconds(120));
            let moved = Moved { sent_bytes: gib(2), downtime, in_libvirt: None, power_off: None, tail: None };
            return OperationState::Ended { outcome: Outcome::Moved(moved), done: Vec::new() };
        }
        let sent_bytes = gib(2) / MOVE.as_milliseconds() * passed.as_milliseconds();
        let progress = Progress {
            total_bytes: gib(2),
            sent_bytes,
            remaining_bytes: gib(2) - sent_bytes,
            rate: 500_000_000,
            dirty_rate: 20_000_000,
            iteration: 1,
            ..Progress::of(Phase::Transferring, now)
        };
        OperationState::Running { progress }
    }

    /// How an operation of this host stands; nothing for what no drain asks for.
    fn stands(&self, host: &HostName, operation: &Operation) -> Option<OperationReport> {
        match &operation.order {
            Order::LiveMigrate(order) => {
                let state = self.moving(host, operation.id, &order.destination.host, order.server);
                Some(report(operation, state))
            }
            Order::ConfirmEmpty => {
                let left =
                    self.on(host).into_iter().map(|one| Left { server: one.id, name: one.name }).collect();
                Some(report(operation, OperationState::Counted { left, at: SystemClock.now() }))
            }
            _ => looked(operation),
        }
    }
}

async fn serve(mut agent: Agent, facts: HostFacts, fleet: Arc<Fleet>) {
    let host = agent.request.host.clone();
    let mut told = fleet.on(&host);
    let (mut serial, mut wanted) = (1, Vec::new());
    loop {
        agent.request.operations =
            wanted.iter().filter_map(|operation| fleet.stands(&host, operation)).collect();
        let runs = |told: &OperationReport| matches!(told.state, OperationState::Running { .. });
        agent.request.wait_ms = if agent.request.operations.iter().any(runs) { BUSY_MS } else { HELD_MS };
        let servers = fleet.on(&host);
        if servers != told {
            serial += 1;
            told.clone_from(&servers);
            let observed_at = SystemClock.now();
            agent.request.inventory = Some(Inventory { serial, observed_at, host: facts.clone(), servers });
        }
        match agent.call().await {
            Ok(answer) => wanted = answer.operations,
            Err(error) => {
                say(&format!("an agent got no answer: {error:#}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
