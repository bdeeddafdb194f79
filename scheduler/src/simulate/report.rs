//! What a simulation found, in figures.

use std::fmt;

use drover_policies::ids::{HostName, OwnerId};
use drover_policies::time::{Instant, Span};
use serde::Serialize;

/// All of it. Of two runs with the same input and the same seed it is the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Hosts of the maintenance.
    pub hosts: usize,
    /// Servers on them at the beginning.
    pub servers: usize,
    /// In the simulation's own time.
    pub began_at: Instant,
    /// In the same.
    pub ended_at: Instant,
    /// How.
    pub ended: Ended,
    /// Hosts that are over, and well.
    pub done: usize,
    /// Hosts that were left out.
    pub skipped: usize,
    /// Hosts that need a person.
    pub failed: usize,
    /// Servers that were moved, and what went wrong with it.
    pub moves: Moves,
    /// How long servers stood still that were moved live.
    pub live: Downtime,
    /// How long those were off that were rebooted.
    pub reboots: Downtime,
    /// By owner, the longest first.
    pub owners: Vec<OwnersDowntime>,
    /// What was not done in time.
    pub deadline: Deadline,
    /// The most at any one moment.
    pub peaks: Peaks,
    /// Arrivals at hosts that then carried more memory than they have. Drover lets none happen; a fleet may begin so.
    pub overfull: usize,
    /// Hosts that are not over.
    pub left: Vec<Left>,
    /// What last kept hosts from beginning, if it did not come to its end.
    pub no_room: Option<String>,
    /// How often the scheduler looked.
    pub looks: u64,
    /// A digest of every event: two runs of which it is the same went the same way.
    pub story: String,
}

/// How a simulation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every host is over.
    Completed,
    /// Every host has had its turn, and more have failed than may.
    Failed,
    /// Too many hosts have failed: it waits for a person.
    Halted,
    /// Its days were over.
    OutOfTime,
    /// Nothing would ever happen any more.
    Stuck,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Failed => "over, with more failed hosts than may be",
            Self::Halted => "halted: more hosts have failed than may, so it waits for a person",
            Self::OutOfTime => "not over when its days were: give it more by --days",
            Self::Stuck => "stuck: nothing would happen any more without a person",
        })
    }
}

/// Servers that were moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Moves {
    /// While they ran.
    pub live: usize,
    /// By a reboot, or while they were off.
    pub reboot: usize,
    /// Servers that were moved twice or more.
    pub more_than_once: usize,
    /// Tries that failed.
    pub tries_failed: usize,
    /// Servers that were to go live and had to be rebooted.
    pub fell_back: usize,
    /// Migrations that were not needed any more.
    pub avoided: usize,
}

/// How long servers stood still or were off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Downtime {
    /// All together, in milliseconds.
    #[serde(rename = "total_ms", serialize_with = "milliseconds")]
    pub total: Span,
    /// The longest of one.
    #[serde(rename = "longest_ms", serialize_with = "milliseconds")]
    pub longest: Span,
}

impl Downtime {
    pub(super) fn add(&mut self, one: Span) {
        self.total.0 = self.total.0.saturating_add(one.0);
        self.longest = self.longest.max(one);
    }
}

fn milliseconds<S: serde::Serializer>(span: &Span, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(span.as_milliseconds())
}

/// What a maintenance cost an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnersDowntime {
    /// Who.
    pub owner: OwnerId,
    /// Moves of his servers.
    pub moves: usize,
    /// Of these, by a reboot.
    pub reboots: usize,
    /// Of all of his servers.
    #[serde(flatten)]
    pub downtime: Downtime,
}

impl OwnersDowntime {
    pub(super) fn none(owner: OwnerId) -> Self {
        Self { owner, moves: 0, reboots: 0, downtime: Downtime::default() }
    }
}

/// The deadline, and what was not done by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Hosts.
    pub hosts_late: usize,
    /// Servers that had still to leave hosts whose turn had come.
    pub servers_late: usize,
}

/// The most at any one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Peaks {
    /// Servers under way, those that are looked at afterwards included.
    pub moving: usize,
    /// Bytes per second over all links.
    pub rate: u64,
    /// Things that were being sent.
    pub flows: usize,
    /// … over one host's link in one direction.
    pub at_one_host: usize,
}

/// A host that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Which.
    pub host: HostName,
    /// How far it is.
    pub stage: String,
    /// What keeps it, as far as that is known.
    pub why: Option<String>,
}
