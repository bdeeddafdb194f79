//! A test launch: the server as it was at one round, booted at the destination under another name and cut off from its network, while it
//! runs on at its source and the replication goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::Failure;
use crate::checks::Looked;
use crate::time::{Instant, Span};

/// A server is best tried so long before it is moved: whoever finds something then has time to do something about it. CloudEndure's advice.
pub const TEST_AHEAD: Span = Span::hours(7 * 24);

/// The moment of the source's disks that a test guest starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The round that had landed last.
    pub round: u64,
    /// The moment that it shows.
    pub consistent_at: Instant,
}

/// What the network cards of a test guest are plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "plugged", rename_all = "snake_case")]
pub enum TestNetwork {
    /// Nothing: each card is there, and its link is down.
    #[default]
    Nowhere,
    /// A network of the destination's libvirt that leads nowhere else. One that forwards is refused.
    Isolated {
        /// Its name there.
        name: String,
    },
}

/// What an agent tells of a test launch that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestStatus {
    /// When this was read.
    pub at: Instant,
    /// What is being done.
    pub step: TestStep,
    /// What it starts from, once that is frozen.
    pub point: Option<Point>,
    /// The test guest's name, once it was started.
    pub name: Option<String>,
    /// Where its console is reached on the destination's host, once it was started and has one.
    pub console: Option<String>,
    /// What was seen of it, once it was looked at.
    pub seen: Option<Seen>,
    /// When it is ended by itself, by the destination's clock; nothing before it was started.
    pub until: Option<Instant>,
}

/// What is being done for a test launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestStep {
    /// The test before is ended, and what it left is deleted.
    CleaningUp,
    /// The last round that landed is frozen; one that runs is waited for.
    Freezing,
    /// The test guest is defined and started.
    Launching,
    /// It is looked at.
    Checking,
    /// It runs, to be tried by people.
    Running,
    /// It is ended, and its disks are deleted.
    Ending,
}

impl fmt::Display for TestStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CleaningUp => "cleaning up",
            Self::Freezing => "freezing",
            Self::Launching => "launching",
            Self::Checking => "checking",
            Self::Running => "running",
            Self::Ending => "ending",
        })
    }
}

/// What was seen of a test guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// It is alive.
    Alive {
        /// By this sign.
        sign: String,
        /// How long after its start its guest agent answered; nothing where it has none that did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answered_after: Option<Span>,
        /// What else was looked at, if that was asked for.
        looked: Option<Looked>,
    },
    /// It was not seen alive in time.
    NotAlive {
        /// What was seen instead.
        text: String,
    },
}

/// Why a test has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum EndOfTest {
    /// Somebody asked for it, the server is cut over, or its replica is let go of.
    Asked,
    /// Its time was over.
    Expired,
    /// The guest was switched off, from its inside or by somebody.
    WentOff,
    /// It could not be launched.
    Failed {
        /// Why.
        failure: Failure,
    },
}

impl fmt::Display for EndOfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("ended on request"),
            Self::Expired => f.write_str("its time was over"),
            Self::WentOff => f.write_str("the test guest was switched off"),
            Self::Failed { failure } => write!(f, "it could not be launched: {failure}"),
        }
    }
}

impl TestStatus {
    /// Before anything was done.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        let (point, name, console, seen, until) = (None, None, None, None, None);
        Self { at, step: TestStep::CleaningUp, point, name, console, seen, until }
    }
}

/// The name of a test guest of that server.
#[must_use]
pub fn test_name(server: &str) -> String {
    format!("{server}-test")
}
