//! What several pages show: a migration's phases, its progress, the copy of its disks, what happened, what was said.

use drover_policies::estimate::{Basis, Estimate};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use crate::form::{Actions, Form};
use crate::{Frame, Label, Saying, Tone, part};

/// A step of a migration's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// The key of its name.
    pub name: &'static str,
    /// Whether it is over.
    pub standing: PhaseStanding,
    /// What goes on in it, or its figures, in words.
    pub text: String,
    /// How far that is, 0 to 100.
    pub percent: Option<u8>,
    /// What its parts that are over took.
    pub took: Tooks,
}

/// What a part of a move took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// The key of its name.
    pub name: &'static str,
    /// How long.
    pub took: Span,
    /// What it sent, in bytes.
    pub sent_bytes: u64,
}

/// What the parts of a move took, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tooks(pub Vec<Took>);

part!(Tooks, "parts/tooks.html");

/// Where a migration is with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseStanding {
    /// It is over.
    Past,
    /// It goes on.
    Now,
    /// It is yet to come.
    Ahead,
    /// It has come to nothing.
    Stuck,
    /// Somebody took it back, or the whole of which it was a part.
    GivenUp,
    /// The server is gone from there without it.
    NotNeeded,
}

impl PhaseStanding {
    fn class(self) -> &'static str {
        match self {
            Self::Past => "past",
            Self::Now => "now",
            Self::Ahead => "ahead",
            Self::Stuck => "stuck",
            Self::GivenUp => "given-up",
            Self::NotNeeded => "not-needed",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Past => "phase-past",
            Self::Now => "phase-now",
            Self::Ahead => "phase-ahead",
            Self::Stuck => "phase-stuck",
            Self::GivenUp => "phase-given-up",
            Self::NotNeeded => "phase-not-needed",
        }
    }
}

/// The steps of a migration's life, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phases(pub Vec<Phase>);

part!(Phases, "parts/phases.html");

impl Phase {
    fn says(&self, f: &Frame) -> String {
        let text = Some(f.said(&self.text)).filter(|text| !text.is_empty());
        let percent = self.percent.map(|percent| format!("{percent} %"));
        let says: Vec<String> = text.into_iter().chain(percent).collect();
        if says.is_empty() { f.t(self.standing.word()) } else { says.join(", ") }
    }
}

/// How far a running attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// When this was read.
    pub at: Instant,
    /// What has arrived, 0 to 100.
    pub percent: u8,
    /// In all, in bytes.
    pub total_bytes: u64,
    /// Sent so far, in bytes.
    pub sent_bytes: u64,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// Bytes per second on the wire.
    pub rate: u64,
    /// Bytes per second that the guest writes anew.
    pub dirty_rate: u64,
    /// Pass over the memory, from 1.
    pub iteration: u32,
    /// How long the guest would stand still if it were switched over now.
    pub expected_downtime: Span,
    /// The downtime that may be used now; nothing when not known.
    pub allowed_downtime: Option<Span>,
}

part!(Progress, "parts/progress.html");

/// The copy of a server's local disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// How it stands, in words.
    pub text: String,
    /// What that means.
    pub tone: Tone,
    /// How much of the first copy is there, 0 to 100; only while it is made.
    pub initial_percent: Option<u8>,
    /// By how much it is behind the server.
    pub lag: Option<Span>,
    /// What the server has written since, in bytes.
    pub lag_bytes: Option<u64>,
    /// Whether it is later than it should be.
    pub late: bool,
    /// Rounds that have landed.
    pub rounds: u64,
    /// The round that is being done: its percentage.
    pub round_percent: Option<u8>,
    /// When the next one comes.
    pub next_at: Option<Instant>,
    /// What the server writes, in bytes per second.
    pub dirty_rate: u64,
    /// Why it does not go on.
    pub stalled: Option<String>,
}

part!(Replica, "parts/replica.html");

impl Frame {
    /// How long a server will be off, and from what that is known.
    pub(crate) fn estimate(&self, estimate: &Estimate) -> String {
        let args = [
            ("about", self.span(&estimate.downtime).into()),
            ("most", self.span(&estimate.downtime_p90).into()),
        ];
        self.words().say(
            if estimate.downtime == estimate.downtime_p90 { "downtime-about" } else { "downtime" },
            &args,
        )
    }

    /// From what an estimate is worked out.
    pub(crate) fn basis(&self, estimate: &Estimate) -> String {
        match estimate.basis {
            Basis::Memory { .. } => self.t("basis-memory"),
            Basis::WillNotConverge { .. } => self.t("basis-will-not-converge"),
            Basis::History { samples } => self.tn("basis-history", samples),
            Basis::Policy => self.t("basis-policy"),
        }
    }
}

/// A test launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// How it stands: `cleaning_up`.
    pub state: String,
    /// Why it is over, in words.
    pub ended: Option<String>,
    /// What a person says came of it: `passed` or `failed`.
    pub result: Option<String>,
    /// What that means.
    pub tone: Tone,
    /// The test guest's name, while it is there.
    pub name: Option<String>,
    /// The moment of the server's disks that it starts from.
    pub consistent_at: Option<Instant>,
    /// When it is ended by itself.
    pub until: Option<Instant>,
    /// By what it was seen to be alive, or what was seen instead.
    pub seen: Option<String>,
    /// How long after its start it answered.
    pub answered_after: Option<Span>,
    /// What else it was looked at for.
    pub checks: Checks,
    /// Where its console is.
    pub console: Option<String>,
    /// What can be done with it.
    pub actions: Actions,
}

part!(Test, "parts/test.html");

impl Test {
    fn text(&self, f: &Frame) -> String {
        let state = f.coded("test-state", &self.state, &spaced(&self.state));
        let ended = self.ended.as_ref().map(|why| f.said(why));
        let result = self.result.as_ref().map(|result| f.t(&format!("test-said-{result}")));
        std::iter::once(state).chain(ended).chain(result).collect::<Vec<_>>().join(", ")
    }
}

/// What a server was looked at for after its move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `power`, …, or `own` for a check that somebody has set.
    pub item: String,
    /// What that is called.
    pub name: String,
    /// What it came to: `failed_before`.
    pub verdict: String,
    /// What was seen.
    pub seen: String,
    /// What that means.
    pub tone: Tone,
}

impl Check {
    fn what(&self, f: &Frame) -> String {
        match self.item.as_str() {
            "own" => self.name.clone(),
            item => f.coded("check", item, &self.name),
        }
    }

    fn came_to(&self, f: &Frame) -> String {
        let verdict = f.coded("verdict", &self.verdict, &spaced(&self.verdict));
        let seen = Some(f.said(&self.seen)).filter(|seen| !seen.is_empty());
        std::iter::once(verdict).chain(seen).collect::<Vec<_>>().join(": ")
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks(pub Vec<Check>);

part!(Checks, "parts/checks.html");

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The server or host that it happened to; empty where the page is about it.
    pub subject: String,
    /// Where more of it is to be seen.
    pub href: Option<String>,
    /// What, as a sentence that goes on after the subject.
    pub text: Saying,
    /// What it means.
    pub tone: Tone,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events(pub Vec<Event>);

part!(Events, "parts/events.html");

/// What was said in a ticket, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// `DR-1042`.
    pub number: String,
    /// Its messages, which come while one looks.
    pub messages: Messages,
    /// The form of an answer, if there can be one.
    pub reply: Option<Form>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When.
    pub at: Instant,
    /// Who says it.
    pub voice: Voice,
    /// His name, where the reader may know it.
    pub name: String,
    /// What kind of message it is: `not_seen_alive`.
    pub kind: String,
    /// What is said.
    pub text: String,
    /// The time that it is about.
    pub slot: Option<Slot>,
    /// What became of it.
    pub deliveries: Vec<Delivery>,
}

/// What became of a message on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The channel: `mail`, `rt`, `webhook:NAME`.
    pub channel: String,
    /// `waiting`, `delivered` or `undeliverable`.
    pub state: &'static str,
    /// What that means.
    pub tone: Tone,
}

impl Message {
    fn what(&self, f: &Frame) -> String {
        f.coded("notice", &self.kind, &spaced(&self.kind))
    }
}

impl Delivery {
    fn text(&self, f: &Frame) -> String {
        let channel = f.coded("channel", &self.channel, &self.channel);
        format!("{channel} {}", f.coded("delivery", self.state, self.state))
    }
}

/// A stable word as it is read in English.
fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The scheduler.
    Drover,
    /// An operator.
    Operator,
    /// The owner.
    Owner,
}

impl Voice {
    fn class(self) -> &'static str {
        match self {
            Self::Drover => "drover",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Drover => "voice-drover",
            Self::Operator => "voice-operator",
            Self::Owner => "voice-owner",
        }
    }
}

/// Messages, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages(pub Vec<Message>);

part!(Thread, "parts/thread.html");
part!(Messages, "parts/messages.html");

/// A migration, named only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its number, which is its name in addresses too.
    pub number: u32,
    /// The server's name.
    pub server: String,
    /// `live` or `reboot`.
    pub method: String,
    /// Where in its life it is.
    pub state: Label,
    /// For what it waits, or how far it is.
    pub text: String,
}

/// Several of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Briefs(pub Vec<Brief>);

part!(Briefs, "parts/briefs.html");

/// Tabs: pages that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tabs(pub Vec<Tab>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// Where.
    pub href: String,
    /// The key of its name.
    pub name: &'static str,
    /// Whether it is open.
    pub current: bool,
}

part!(Tabs, "parts/tabs.html");
