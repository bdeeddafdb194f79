//! What software in a server's guest does: it reads its events from its host's agent, and says that it is ready.
//!
//! The agent's own answers, without the network: which guest asks is what the network is there to find out.

use anyhow::{Context, Result, bail};
use axum::http::{Method, Request};
use drover_host_agent::guest_events::protocol::{self, PATH};
use drover_host_agent::hypervisor::State as DomainState;
use drover_policies::time::Clock;
use drover_policies::upcoming::azure::{Approval, Document, Event, StartRequest};

use super::run::World;
use super::script::GuestVerb;

impl World {
    /// A guest asks the agent of the host where it runs. What it is answered is told in the story.
    ///
    /// # Errors
    /// There is no such server, or its guest does not run.
    pub fn guest_asks(&mut self, verb: GuestVerb, name: &str) -> Result<()> {
        let answer = match verb {
            GuestVerb::Reads => match self.document(name)? {
                Ok(document) => match document.events.as_slice() {
                    [] => "no events".to_owned(),
                    events => events.iter().map(told).collect::<Vec<_>>().join("; "),
                },
                Err(refusal) => refusal,
            },
            GuestVerb::Acknowledges => match self.document(name)? {
                Ok(document) => self.acknowledge(name, &document)?,
                Err(refusal) => refusal,
            },
        };
        self.story.answer(self.control.clock.now(), &answer);
        Ok(())
    }

    /// What a guest reads, or how it is refused.
    ///
    /// # Errors
    /// There is no such server, or its guest does not run.
    pub fn document(&self, name: &str) -> Result<Result<Document, String>> {
        let (status, body) = self.ask_agent(name, Method::GET, Vec::new())?;
        Ok(match status {
            200 => Ok(serde_json::from_slice(&body).context("the document is not of Azure's shape")?),
            _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
        })
    }

    fn acknowledge(&self, name: &str, document: &Document) -> Result<String> {
        let start_requests: Vec<StartRequest> = document
            .events
            .iter()
            .map(|event| Ok(StartRequest { event_id: event.event_id.parse()? }))
            .collect::<Result<_>>()?;
        let approval = Approval { start_requests, document_incarnation: None };
        let (status, body) = self.ask_agent(name, Method::POST, serde_json::to_vec(&approval)?)?;
        Ok(format!("{status}: {}", String::from_utf8_lossy(&body)))
    }

    fn ask_agent(&self, name: &str, method: Method, body: Vec<u8>) -> Result<(u16, Vec<u8>)> {
        let server = self.file.server(name)?;
        let places = self.fleet.places(server);
        let Some(place) = places.iter().find(|place| place.state == DomainState::Running) else {
            bail!("{name} does not run, so its guest asks nothing");
        };
        let Some(agent) = self.nodes.get(&place.host).and_then(|node| node.agent.clone()) else {
            return Ok((0, b"nobody listens".to_vec()));
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{PATH}?api-version=2020-07-01"))
            .header("metadata", "true")
            .body(body)?;
        let answer = protocol::answer(&agent, server, &request);
        Ok((answer.status().as_u16(), answer.into_body()))
    }
}

/// An event without its id, which is another in each run.
fn told(event: &Event) -> String {
    let Event { event_type, event_status, not_before, resources, duration_in_seconds, .. } = event;
    let when = if not_before.is_empty() { String::new() } else { format!(", not before {not_before}") };
    format!("{event_type:?} {event_status:?}{when}, {resources:?}, {duration_in_seconds} s")
}
