//! The story of a run: what was done to the world, and what happened in it.

use std::fmt::Write as _;

use drover_policies::events::Event;
use drover_policies::time::Instant;

/// The story so far.
#[derive(Debug, Default, Clone)]
pub struct Story {
    text: String,
}

impl Story {
    /// A line of the script.
    pub fn command(&mut self, at: Instant, text: &str) {
        self.line(at, &format!("> {text}"));
    }

    /// How it was answered, if not as usual.
    pub fn answer(&mut self, at: Instant, text: &str) {
        self.line(at, &format!("  < {text}"));
    }

    /// Something that the world did by itself: a process died or came back.
    pub fn note(&mut self, at: Instant, text: &str) {
        self.line(at, &format!("* {text}"));
    }

    /// Something that the scheduler stored as having happened.
    pub fn event(&mut self, event: &Event, maintenance: Option<u32>) {
        let subject = match (&event.server, &event.host, maintenance) {
            (None, None, Some(number)) => format!("MT-{number}"),
            (Some(_), _, _) | (None, Some(_), _) | (None, None, None) => event.subject().to_owned(),
        };
        self.line(event.at, &format!("{subject:<10}  {}", event.what));
    }

    fn line(&mut self, at: Instant, text: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.text, "{}  {text}", at.format("%m-%d %H:%M:%S"));
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
