//! The hosts' agents, played: each tells what runs on its host, and then waits for orders as a real one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Moment};

use anyhow::{Context as _, Result, ensure};
use drover_agent_api::{
    Inventory, LifeSign, Operation, OperationReport, OperationState, Order, PROTOCOL, SyncRequest,
    SyncResponse, Verdict,
};
use drover_policies::checks::{Hardware, Looked};
use drover_policies::fleet::{HostFacts, ServerFacts};
use drover_policies::ids::OperationId;
use drover_policies::samples::{gib, host_facts, host_name, owner_id, server_facts, server_id};
use drover_policies::time::{Clock as _, Instant, Span};
use drover_scheduler::clock::SystemClock;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::{Crowd, say};
use crate::demo::interrupt::Interrupt;
use crate::installation::Api;

/// How long a call is held, in milliseconds.
const HELD_MS: u64 = 30_000;

/// The name of a host that is to be emptied.
pub(super) fn source(number: usize) -> String {
    format!("from-{number}")
}

fn target(number: usize) -> String {
    format!("to-{number}")
}

/// All agents. They end when it is dropped.
pub(super) struct Played {
    heard: Arc<Mutex<BTreeMap<OperationId, Instant>>>,
    _runtime: Runtime,
}

impl Played {
    /// Lets all tell what they have, and those of the sources wait for orders.
    pub(super) fn begin(api: &Api, crowd: Crowd) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        for number in 0..crowd.hosts {
            Agent::new(api, &target(number), Vec::new())?.tell(&runtime)?;
            let servers = (number..crowd.servers).step_by(crowd.hosts).map(|n| server(crowd, n)).collect();
            let mut agent = Agent::new(api, &source(number), servers)?;
            agent.tell(&runtime)?;
            let heard = Arc::clone(&heard);
            runtime.spawn(async move { agent.wait_for_orders(&heard).await });
        }
        Ok(Self { heard, _runtime: runtime })
    }

    /// When each reboot migration can begin: when its order came, or later where that says so; as soon as there are so many.
    pub(super) fn orders(
        &self,
        count: usize,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<Vec<Instant>> {
        let deadline = Moment::now() + patience;
        loop {
            interrupt.check()?;
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() >= count {
                return Ok(heard.values().copied().collect());
            }
            ensure!(Moment::now() < deadline, "{} of {count} orders were given", heard.len());
            drop(heard);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn server(crowd: Crowd, number: usize) -> ServerFacts {
    let owner = owner_id(&super::owners::name(number % crowd.owners));
    let id = server_id(number as u128 + 1);
    ServerFacts { owner: Some(owner), ..server_facts(id, &format!("server-{number}")) }
}

struct Agent {
    client: reqwest::Client,
    url: String,
    token: String,
    request: SyncRequest,
}

impl Agent {
    fn new(api: &Api, host: &str, servers: Vec<ServerFacts>) -> Result<Self> {
        let issued = api.post("/v1/tokens", &json!({ "role": "agent", "subject": host }))?.ok()?;
        let large = HostFacts { memory_bytes: gib(1024), cpu_threads: 256, ..host_facts(host) };
        let inventory = Inventory { serial: 1, observed_at: SystemClock.now(), host: large, servers };
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().build()?,
            url: format!("{}/agent/v1/sync", api.url()),
            token: issued["secret"].as_str().context("the answer has no secret")?.to_owned(),
            request: SyncRequest {
                protocol: PROTOCOL,
                host: host_name(host),
                incarnation: 1,
                inventory: Some(inventory),
                operations: Vec::new(),
                seen_revision: None,
                guests: None,
                wait_ms: 0,
            },
        })
    }

    fn tell(&mut self, runtime: &Runtime) -> Result<()> {
        let answer = runtime.block_on(self.call())?;
        self.request.seen_revision = Some(answer.revision);
        self.request.inventory = None;
        self.request.wait_ms = HELD_MS;
        Ok(())
    }

    async fn call(&self) -> Result<SyncResponse> {
        let answer = self.client.post(&self.url).bearer_auth(&self.token).json(&self.request).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn wait_for_orders(&mut self, heard: &Mutex<BTreeMap<OperationId, Instant>>) {
        loop {
            match self.call().await {
                Ok(answer) => {
                    let now = SystemClock.now();
                    self.request.seen_revision = Some(answer.revision);
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    self.request.operations = answer.operations.iter().filter_map(looked).collect();
                    for operation in &answer.operations {
                        if let Order::RebootMigrate(order) = &operation.order {
                            // A real one waits by itself until then.
                            let begins = order.within.map_or(now, |within| within.not_before.max(now));
                            heard.entry(operation.id).or_insert(begins);
                        }
                    }
                }
                Err(error) => {
                    say(&format!("an agent got no answer: {error:#}"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// A server that is to be looked at before its move is alive, and nothing else is found.
fn looked(operation: &Operation) -> Option<OperationReport> {
    let Order::VerifyGuest(_) = operation.order else { return None };
    let looked = Looked { took: Span::ZERO, hardware: Hardware::default(), findings: Vec::new() };
    let verdict = Verdict::Alive { sign: LifeSign::GuestAgent, looked: Some(looked) };
    let Operation { id, generation, .. } = operation;
    Some(OperationReport { id: *id, generation: *generation, state: OperationState::Verified { verdict } })
}
