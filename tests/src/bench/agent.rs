//! A host's agent, played: it tells what runs on its host, and then waits for orders as a real one does.

use anyhow::{Context as _, Result};
use drover_agent_api::{
    Inventory, LifeSign, Operation, OperationReport, OperationState, Order, PROTOCOL, SyncRequest,
    SyncResponse, Verdict,
};
use drover_policies::checks::{Hardware, Looked};
use drover_policies::fleet::{HostFacts, ServerFacts};
use drover_policies::samples::host_name;
use drover_policies::time::{Clock as _, Span};
use drover_scheduler::clock::SystemClock;
use serde_json::json;

use crate::installation::Api;

/// How long a call is held, in milliseconds.
pub(super) const HELD_MS: u64 = 30_000;

/// The agent of one host.
pub(super) struct Agent {
    client: reqwest::Client,
    url: String,
    token: String,
    /// What it tells in its next call.
    pub(super) request: SyncRequest,
}

impl Agent {
    /// One that has not called yet; all may share a client.
    pub(super) fn new(
        client: &reqwest::Client,
        api: &Api,
        host: HostFacts,
        name: &str,
        servers: Vec<ServerFacts>,
    ) -> Result<Self> {
        let issued = api.post("/v1/tokens", &json!({ "role": "agent", "subject": name }))?.ok()?;
        let inventory = Inventory { serial: 1, observed_at: SystemClock.now(), host, servers };
        Ok(Self {
            client: client.clone(),
            url: format!("{}/agent/v1/sync", api.url()),
            token: issued["secret"].as_str().context("the answer has no secret")?.to_owned(),
            request: SyncRequest {
                protocol: PROTOCOL,
                host: host_name(name),
                incarnation: 1,
                inventory: Some(inventory),
                operations: Vec::new(),
                seen_revision: None,
                guests: None,
                wait_ms: 0,
            },
        })
    }

    /// Calls once. What runs there has been told by it; the next call is held.
    pub(super) async fn call(&mut self) -> Result<SyncResponse> {
        let answer = self.client.post(&self.url).bearer_auth(&self.token).json(&self.request).send().await?;
        let answer: SyncResponse = answer.error_for_status()?.json().await?;
        self.request.seen_revision = Some(answer.revision);
        self.request.inventory = None;
        self.request.wait_ms = HELD_MS;
        Ok(answer)
    }
}

/// A server that is to be looked at is alive, and nothing else is found.
pub(super) fn looked(operation: &Operation) -> Option<OperationReport> {
    let Order::VerifyGuest(_) = operation.order else { return None };
    let looked = Looked { took: Span::ZERO, hardware: Hardware::default(), findings: Vec::new() };
    let verdict = Verdict::Alive { sign: LifeSign::GuestAgent, looked: Some(looked) };
    Some(report(operation, OperationState::Verified { verdict }))
}

/// How an operation stands.
pub(super) fn report(operation: &Operation, state: OperationState) -> OperationReport {
    OperationReport { id: operation.id, generation: operation.generation, state }
}
