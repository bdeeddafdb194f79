//! The hosts' agents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Moment};

use anyhow::{Result, ensure};
use drover_agent_api::Order;
use drover_policies::fleet::{HostFacts, ServerFacts};
use drover_policies::ids::OperationId;
use drover_policies::samples::{gib, host_facts, owner_id, server_facts, server_id};
use drover_policies::time::{Clock as _, Instant};
use drover_scheduler::clock::SystemClock;
use tokio::runtime::{Builder, Runtime};

use super::{Crowd, say};
use crate::bench::agent::{Agent, looked};
use crate::demo::interrupt::Interrupt;
use crate::installation::Api;

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
        let client = reqwest::Client::builder().no_proxy().build()?;
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        for number in 0..crowd.hosts {
            runtime.block_on(agent(&client, api, &target(number), Vec::new())?.call())?;
            let servers = (number..crowd.servers).step_by(crowd.hosts).map(|n| server(crowd, n)).collect();
            let mut agent = agent(&client, api, &source(number), servers)?;
            runtime.block_on(agent.call())?;
            let heard = Arc::clone(&heard);
            runtime.spawn(async move { wait_for_orders(agent, &heard).await });
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

fn agent(client: &reqwest::Client, api: &Api, host: &str, servers: Vec<ServerFacts>) -> Result<Agent> {
    let large = HostFacts { memory_bytes: gib(1024), cpu_threads: 256, ..host_facts(host) };
    Agent::new(client, api, large, host, servers)
}

fn server(crowd: Crowd, number: usize) -> ServerFacts {
    let owner = owner_id(&super::owners::name(number % crowd.owners));
    let id = server_id(number as u128 + 1);
    ServerFacts { owner: Some(owner), ..server_facts(id, &format!("server-{number}")) }
}

async fn wait_for_orders(mut agent: Agent, heard: &Mutex<BTreeMap<OperationId, Instant>>) {
    loop {
        match agent.call().await {
            Ok(answer) => {
                let now = SystemClock.now();
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                agent.request.operations = answer.operations.iter().filter_map(looked).collect();
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
