//! The scheduler's events as a client hears them, each with the moment at which it was heard.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::installation::Api;

/// No single event is waited for longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// An event, and when it was heard by this process's steady clock. What is told is on the disk: the scheduler tells after the
/// commit.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) event: Value,
}

/// The events from now on.
pub(super) struct Story {
    heard: Receiver<Heard>,
}

impl Story {
    /// Begins to listen; what happens after this returns is heard.
    pub(super) fn follow(api: &Api) -> Result<Self> {
        let (sender, heard) = mpsc::channel();
        let (opened, opening) = mpsc::channel();
        let url = format!("{}/v1/events/stream", api.url());
        let token = api.token().to_owned();
        std::thread::Builder::new().name("story".to_owned()).spawn(move || {
            let listened = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(listen(&url, &token, &opened, &sender)));
            // The other end is told what was in the way, if it still waits for the opening; else it finds the line dead.
            if let Err(error) = listened {
                let _ = opened.send(Err(error));
            }
        })?;
        opening.recv().context("the stream's thread ended")??;
        Ok(Self { heard })
    }

    /// The next event of this kind; those before it are passed over.
    pub(super) fn next(&self, kind: &str) -> Result<Heard> {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(heard) if heard.event["kind"] == kind => return Ok(heard),
                Ok(heard) if heard.event["kind"] == "failed" || heard.event["kind"] == "attempt_failed" => {
                    bail!("{} {}", heard.event["server_name"], heard.event["text"]);
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no event {kind} within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the stream of events broke off before {kind}"),
            }
        }
    }
}

async fn listen(url: &str, token: &str, opened: &Sender<Result<()>>, sender: &Sender<Heard>) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(url).bearer_auth(token).send().await?.error_for_status()?;
    let _ = opened.send(Ok(()));
    let mut body = response.bytes_stream();
    let mut text: Vec<u8> = Vec::new();
    while let Some(bytes) = body.next().await {
        let at = Instant::now();
        text.extend_from_slice(&bytes?);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let message: Vec<u8> = text.drain(..end + 2).collect();
            let told = stored_event(&String::from_utf8_lossy(&message));
            if let Some(event) = told
                && sender.send(Heard { at, event }).is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The content of a message that tells a stored event; live figures and heartbeats are none.
fn stored_event(message: &str) -> Option<Value> {
    let is_event = message.lines().any(|line| line == "event: event");
    let data = message.lines().find_map(|line| line.strip_prefix("data: "))?;
    if is_event { serde_json::from_str(data).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_heartbeats_are_no_events() {
        assert_eq!(stored_event("event: progress\ndata: {\"kind\":\"x\"}\n\n"), None);
        assert_eq!(stored_event(":\n\n"), None);
        let event = stored_event("event: event\nid: 7\ndata: {\"kind\":\"began\"}\n\n");
        assert_eq!(event.expect("an event")["kind"], "began");
    }
}
