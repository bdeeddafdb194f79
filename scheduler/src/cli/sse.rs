//! Reading the scheduler's stream of events, through its restarts.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::client::{Client, Parameter};
use super::exit::{Exit, Failed};
use crate::http::views::{EventView, ImportEvent, ProgressEvent, ReplicaEvent};

/// The scheduler lets itself be heard every ten seconds; after three missed ones the line counts as dead.
const SILENCE: Duration = Duration::from_secs(35);

/// How long the first and the longest wait before another connection is.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What came.
#[derive(Debug, Clone)]
pub(super) enum Came {
    /// Something that is stored.
    Event(Box<EventView>, Value),
    /// Live figures.
    Progress(Box<ProgressEvent>, Value),
    /// Live figures of a replica.
    Replica(Box<ReplicaEvent>, Value),
    /// Live figures of an import.
    Import(Box<ImportEvent>, Value),
    /// The line is lost, and it is tried to get it back.
    Lost(String),
    /// It is back, and nothing was missed.
    Back,
}

/// A stream that goes on through restarts of the scheduler.
pub(super) struct Following {
    client: Client,
    query: Vec<Parameter>,
    last: Option<i64>,
    line: Option<Response>,
    parser: Parser,
    waiting: Vec<Message>,
    wait: Duration,
    lost: bool,
}

impl Following {
    /// Opens the stream: after an event, or from now on.
    ///
    /// # Errors
    /// The scheduler can't be reached, or refuses.
    pub(super) async fn open(
        client: &Client,
        query: Vec<Parameter>,
        after: Option<i64>,
    ) -> Result<Self, Failed> {
        let line = client.stream(&query, after).await?;
        Ok(Self {
            client: client.clone(),
            query,
            last: after,
            line: Some(line),
            parser: Parser::default(),
            waiting: Vec::new(),
            wait: FIRST_WAIT,
            lost: false,
        })
    }

    /// What comes next. May be dropped in the middle: nothing is lost by that.
    ///
    /// # Errors
    /// The scheduler refuses to go on: the token was revoked, or what was watched is gone.
    pub(super) async fn next(&mut self) -> Result<Came, Failed> {
        loop {
            if !self.waiting.is_empty() {
                let message = self.waiting.remove(0);
                if let Some(came) = self.understand(message) {
                    return Ok(came);
                }
                continue;
            }
            let Some(line) = &mut self.line else {
                if let Some(back) = self.reconnect().await? {
                    return Ok(back);
                }
                continue;
            };
            let why = match timeout(SILENCE, line.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.waiting = self.parser.push(&bytes);
                    continue;
                }
                Ok(Ok(None)) => "the scheduler closed the stream".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("nothing was heard for {} s", SILENCE.as_secs()),
            };
            self.line = None;
            self.parser = Parser::default();
            self.lost = true;
            return Ok(Came::Lost(why));
        }
    }

    async fn reconnect(&mut self) -> Result<Option<Came>, Failed> {
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        match self.client.stream(&self.query, self.last).await {
            Ok(line) => {
                self.line = Some(line);
                self.wait = FIRST_WAIT;
                let back = std::mem::take(&mut self.lost);
                Ok(back.then_some(Came::Back))
            }
            Err(failed) if failed.exit == Exit::Unreachable => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    fn understand(&mut self, message: Message) -> Option<Came> {
        let json: Value = serde_json::from_str(&message.data).ok()?;
        match message.event.as_str() {
            "event" => {
                let event: EventView = serde_json::from_value(json.clone()).ok()?;
                self.last = Some(event.seq);
                Some(Came::Event(Box::new(event), json))
            }
            "progress" => {
                let progress = serde_json::from_value(json.clone()).ok()?;
                Some(Came::Progress(Box::new(progress), json))
            }
            "replica" => {
                let replica = serde_json::from_value(json.clone()).ok()?;
                Some(Came::Replica(Box::new(replica), json))
            }
            "import" => {
                let import = serde_json::from_value(json.clone()).ok()?;
                Some(Came::Import(Box::new(import), json))
            }
            // Of a later version: not ours to understand.
            _ => None,
        }
    }
}

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Message {
    event: String,
    data: String,
}

/// Cuts bytes into messages.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    message: Message,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let message = std::mem::take(&mut self.message);
                if !message.data.is_empty() {
                    messages.push(message);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.message.event),
                "data" => {
                    if !self.message.data.is_empty() {
                        self.message.data.push('\n');
                    }
                    self.message.data.push_str(value);
                }
                // `id` stands in the data as well; a line that begins with a colon is a heartbeat.
                _ => {}
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_come_in_any_pieces() {
        let text =
            b": heartbeat\n\nevent: event\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: progress\ndata: {}\n\n";
        let whole = Parser::default().push(text);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0], Message { event: "event".to_owned(), data: "{\"a\":\n1}".to_owned() });
        for cut in 1..text.len() {
            let mut parser = Parser::default();
            let mut pieces = parser.push(&text[..cut]);
            pieces.extend(parser.push(&text[cut..]));
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}
