//! The copy of a server's local disks at the destination, kept up to date while the server runs.
//!
//! A *round* brings the replica from one moment of the source's disks to a later one, and lands whole or not at all. What is missing
//! since the last one is the *lag*, in bytes and as an age. The replica can be cut over to once the whole disks and at least one
//! incremental round are there.

mod kept;
mod test_launch;
mod tested;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::attempt::{Failure, FailureClass};
use crate::time::{Instant, Span};

pub use kept::{Base, Filled, Images, Peers, Refusal, Replica, ReplicaState};
pub use test_launch::{EndOfTest, Point, Seen, TEST_AHEAD, TestNetwork, TestStatus, TestStep, test_name};
pub use tested::{Mark, Test, TestHappened, TestRefusal, TestResult, TestState, test_story};

/// An image's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// QEMU's own: knows what was written since the last round, by a bitmap.
    Qcow2,
    /// Bytes as they are: what was written is found by comparing checksums of both sides.
    Raw,
}

impl ImageFormat {
    /// By the name that libvirt and QEMU have for it, if it is one of these.
    #[must_use]
    pub fn called(name: &str) -> Option<Self> {
        [Self::Qcow2, Self::Raw].into_iter().find(|format| format.to_string() == name)
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        })
    }
}

/// One disk that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaDisk {
    /// Its name in the guest's definition: `vda`.
    pub target: String,
    /// The file at the source.
    pub source: PathBuf,
    /// The file at the destination, once the replica is put in its place.
    pub path: PathBuf,
    /// The image's format at the source.
    pub format: ImageFormat,
    /// … and at the destination, where that is another. For agents that can
    /// [`ReshapeDisks`](crate::fleet::Ability::ReshapeDisks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<ImageFormat>,
    /// As the guest sees it, in bytes.
    pub virtual_bytes: u64,
}

impl ReplicaDisk {
    /// The same disk as its destination knows it.
    #[must_use]
    pub fn at_destination(&self) -> Self {
        let Self { target, path, format, becomes, virtual_bytes, .. } = self.clone();
        Self {
            target,
            source: path.clone(),
            path,
            format: becomes.unwrap_or(format),
            becomes: None,
            virtual_bytes,
        }
    }

    /// Whether it is another file at the destination, or of another format.
    #[must_use]
    pub fn is_reshaped(&self) -> bool {
        self.path != self.source || self.becomes.is_some()
    }
}

/// What a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundKind {
    /// The first: everything that is not empty.
    Initial,
    /// What was written since the last round.
    Incremental,
    /// Everything is read and compared, as it is not known what was written: of a raw image always, of another one after a crash.
    Rescan,
    /// What is left, read from the disks of a server that is off.
    Tail,
}

/// Whether guest file systems stood still at the moment that a round brings over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frozen {
    /// The guest agent froze them: files are whole.
    Yes,
    /// No guest agent answered: as after a power failure.
    #[default]
    No,
}

/// How far a running round is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundFigures {
    /// What it does.
    pub kind: RoundKind,
    /// When it began.
    pub began_at: Instant,
    /// By disk, in the order of the definition.
    pub disks: Vec<DiskFigures>,
    /// Bytes per second on the wire, of late.
    pub rate: u64,
    /// How much of the time it was held back for the guest's own reading and writing, in percent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_percent: u8,
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

/// How far a running round is with one disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFigures {
    /// The disk.
    pub target: String,
    /// What the round is to bring over, in bytes.
    pub total_bytes: u64,
    /// What it has.
    pub done_bytes: u64,
}

/// A round that has landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Counts the rounds of this replica from 1.
    pub number: u64,
    /// What it did.
    pub kind: RoundKind,
    /// The moment of the source's disks that the replica shows since.
    pub consistent_at: Instant,
    /// Whether guest file systems stood still at that moment.
    pub frozen: Frozen,
    /// What had been written since the round before, in bytes, by the source's own account.
    pub dirty_bytes: u64,
    /// What went over the wire, in bytes.
    pub sent_bytes: u64,
    /// How long it took.
    pub took: Span,
}

/// How many of the last rounds an agent keeps in mind.
pub const RECENT_ROUNDS: usize = 20;

/// What a round has shown that what comes is estimated by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What the guest had written since the round before, in bytes per second.
    pub dirty_rate: u64,
    /// What it sent, in bytes per second; nothing of one that had too little to send to say anything about the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
}

/// A round that has sent less than this says nothing about the link.
const TELLS_OF_LINK: u64 = 1 << 20;

impl Shown {
    /// By a round and the one before it; nothing where no time lies between them.
    #[must_use]
    pub fn by(round: &Round, before: &Round) -> Option<Self> {
        let between = Span::between(before.consistent_at, round.consistent_at).as_milliseconds();
        let rate = |bytes: u64, milliseconds: u64| bytes.saturating_mul(1000).checked_div(milliseconds);
        let took = round.took.as_milliseconds();
        Some(Self {
            dirty_rate: rate(round.dirty_bytes, between)?,
            // What compares takes the time that reading takes.
            rate: rate(round.sent_bytes, took)
                .filter(|_| round.kind == RoundKind::Incremental && round.sent_bytes >= TELLS_OF_LINK),
        })
    }
}

/// What an agent tells of a replica that it keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaStatus {
    /// When this was read.
    pub at: Instant,
    /// What is being done.
    pub activity: Activity,
    /// Rounds that have landed.
    pub rounds: u64,
    /// The last one that landed.
    pub last: Option<Round>,
    /// What the guest has written since that one, by disk; empty before the first.
    pub backlog: Vec<DiskBacklog>,
    /// What the guest writes, in bytes per second, as the last rounds have shown.
    pub dirty_rate: u64,
    /// What the last [`RECENT_ROUNDS`] that found something out have shown, latest last. Agents of before never told it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Shown>,
    /// The size of those of its disks that nobody notes the changes of, as of raw ones: every round reads them whole at both ends and
    /// compares. Agents of before never told it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compared_bytes: u64,
}

/// What has not been brought over of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskBacklog {
    /// The disk.
    pub target: String,
    /// In bytes, at the granularity of the bitmap.
    pub bytes: u64,
}

/// What is being done for a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "activity", rename_all = "snake_case")]
pub enum Activity {
    /// Both hosts are looked at, connections are made.
    Initiating,
    /// A round runs.
    Round(RoundFigures),
    /// Up to date as of the last round; the next one comes then.
    Resting {
        /// When.
        next_at: Instant,
    },
    /// Somebody has paused it.
    Paused,
    /// The last round failed; it is tried again then.
    Stalled {
        /// Why.
        failure: Failure,
        /// Since when rounds have failed.
        since: Instant,
        /// When it is tried again.
        next_at: Instant,
    },
    /// The server is being cut over with it.
    CuttingOver,
}

/// A replica's state, as people are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Being set up.
    Initiating,
    /// The whole disks are being copied for the first time.
    InitialSync,
    /// Everything is compared again.
    Rescan,
    /// A round runs.
    Syncing,
    /// Up to date, waiting for the next round.
    Continuous,
    /// The guest writes more than is brought over: the lag grows.
    Backlog,
    /// Paused by somebody.
    Paused,
    /// Rounds fail.
    Stalled,
    /// Being cut over.
    CuttingOver,
}

/// Where a replica is, as coarse as decisions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Being set up.
    Initiating,
    /// No round has landed.
    FirstCopy,
    /// The first has.
    SecondRound,
    /// It can be cut over to, and rounds go on.
    Ready,
    /// Paused by somebody.
    Paused,
    /// Rounds fail.
    Stalled,
    /// Being cut over.
    CuttingOver,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initiating => "initiating data replication",
            Self::InitialSync => "initial sync",
            Self::Rescan => "rescan",
            Self::Syncing => "syncing",
            Self::Continuous => "continuous data replication",
            Self::Backlog => "backlog",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::CuttingOver => "cutting over",
        })
    }
}

/// A rest of more than this many planned ones is a backlog, not a rhythm.
const BACKLOG_AFTER: u32 = 3;

impl ReplicaStatus {
    /// Before anything was done.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self {
            at,
            activity: Activity::Initiating,
            rounds: 0,
            last: None,
            backlog: Vec::new(),
            dirty_rate: 0,
            recent: Vec::new(),
            compared_bytes: 0,
        }
    }

    /// Whether a server can be cut over with it: the whole disks are there and at least one round after that; or no round can follow until
    /// the server has been off, as it is in a cutover.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.rounds >= if self.needs_power_cycle() { 1 } else { 2 }
    }

    /// Whether no further round can be done until the server has been off: all that it writes until then is brought over by the cutover.
    #[must_use]
    pub fn needs_power_cycle(&self) -> bool {
        matches!(&self.activity, Activity::Stalled { failure, .. } if failure.class == FailureClass::NeedsPowerCycle)
    }

    /// What decisions may depend on. Figures and the rhythm of rounds change within a stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &self.activity {
            Activity::Initiating => Stage::Initiating,
            Activity::Round(_) | Activity::Resting { .. } => match self.rounds {
                0 => Stage::FirstCopy,
                1 => Stage::SecondRound,
                _ => Stage::Ready,
            },
            Activity::Paused => Stage::Paused,
            Activity::Stalled { .. } => Stage::Stalled,
            Activity::CuttingOver => Stage::CuttingOver,
        }
    }

    /// The lag as an age: how far the replica is behind the source.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Option<Span> {
        self.last.as_ref().map(|last| Span::between(last.consistent_at, now))
    }

    /// When the lag becomes longer than the time between two rounds, the last round and what policy bears on top explain; nothing before
    /// the first has landed. One that is late since some moment stays so until a round has landed, however soon that may be.
    #[must_use]
    pub fn late_at(
        &self,
        pace: &Pace,
        bearable: Span,
        late_since: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let last = self.last.as_ref()?;
        let due = last.consistent_at + pace.interval(now).delta();
        let begins = match (&self.activity, late_since) {
            // Its guest may be left alone for longer than the interval.
            (Activity::Resting { next_at }, None) => *next_at,
            (Activity::Round(figures), None) => figures.began_at,
            _ => due,
        };
        Some(due.max(begins) + last.took.delta() + bearable.delta())
    }

    /// The lag in bytes; nothing where it is not known, as of disks that are compared.
    #[must_use]
    pub fn lag_bytes(&self) -> Option<u64> {
        let known = self.last.is_some() && self.compared_bytes == 0;
        known.then(|| self.backlog.iter().map(|disk| disk.bytes).sum())
    }

    /// How much of the first copy is there, 0 to 100; nothing when it is not under way.
    #[must_use]
    pub fn initial_percent(&self) -> Option<u8> {
        match (&self.activity, self.rounds) {
            (Activity::Round(figures), 0) => Some(figures.percent()),
            _ => None,
        }
    }

    /// As people are shown it.
    #[must_use]
    pub fn standing(&self, pace: &Pace) -> Standing {
        match &self.activity {
            Activity::Initiating => Standing::Initiating,
            Activity::Paused => Standing::Paused,
            Activity::Stalled { .. } => Standing::Stalled,
            Activity::CuttingOver => Standing::CuttingOver,
            Activity::Round(figures) => match figures.kind {
                RoundKind::Initial => Standing::InitialSync,
                RoundKind::Rescan if self.last.as_ref().is_none_or(|last| last.kind != RoundKind::Rescan) => {
                    Standing::Rescan
                }
                RoundKind::Rescan | RoundKind::Incremental | RoundKind::Tail => Standing::Syncing,
            },
            Activity::Resting { .. } => {
                let bearable =
                    pace.interval(self.at).delta() * i32::try_from(BACKLOG_AFTER).unwrap_or(i32::MAX);
                match self.lag(self.at) {
                    Some(lag) if lag.delta() > bearable => Standing::Backlog,
                    Some(_) | None => Standing::Continuous,
                }
            }
        }
    }
}

impl RoundFigures {
    /// What it is to bring over, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.total_bytes).sum()
    }

    /// What it has, in bytes.
    #[must_use]
    pub fn done_bytes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.done_bytes).sum()
    }

    /// How far it is, 0 to 100.
    #[must_use]
    pub fn percent(&self) -> u8 {
        match self.total_bytes() {
            0 => 100,
            total => {
                u8::try_from(u128::from(self.done_bytes()) * 100 / u128::from(total)).unwrap_or(100).min(100)
            }
        }
    }
}

/// Whether rounds are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Going {
    /// They are.
    #[default]
    On,
    /// Somebody has paused them.
    Paused,
}

/// How often rounds are done, and how fast. May change while a replica is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Whether rounds are done at all.
    pub going: Going,
    /// Between the beginnings of two rounds, while the cutover is far.
    pub far: Span,
    /// … and right before it.
    pub near: Span,
    /// When the server is to be cut over, by the scheduler's clock; nothing while that is open.
    pub opens_at: Option<Instant>,
    /// Most bytes per second on the wire; nothing for no limit.
    pub bandwidth: Option<u64>,
    /// What the guest keeps of its own reading and writing, in percent; nothing where the copying goes first. For agents that can
    /// [`HoldBack`](crate::fleet::Ability::HoldBack).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_percent: Option<u8>,
    /// Counts the rounds that somebody asked for: when it grows, one is done at once.
    pub sync_now: u64,
}

/// The interval is this part of the time that is left until the cutover.
const SHARE_OF_REST: u32 = 12;

impl Pace {
    /// The time between the beginnings of two rounds at this moment: the farther the cutover, the longer, so that the lag is next to
    /// nothing when it comes and the guest is left in peace before.
    #[must_use]
    pub fn interval(&self, now: Instant) -> Span {
        let (near, far) = (self.near.min(self.far), self.far.max(self.near));
        match self.opens_at {
            None => far,
            Some(opens_at) => Span(Span::between(now, opens_at).0 / SHARE_OF_REST).clamp(near, far),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Instant {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a moment")
    }

    fn pace() -> Pace {
        Pace {
            going: Going::On,
            far: Span::minutes(5),
            near: Span::seconds(10),
            opens_at: Some(at(7200)),
            bandwidth: None,
            guest_percent: None,
            sync_now: 0,
        }
    }

    fn landed(number: u64, consistent_at: Instant) -> Round {
        Round {
            number,
            kind: RoundKind::Incremental,
            consistent_at,
            frozen: Frozen::No,
            dirty_bytes: 65_536,
            sent_bytes: 65_536,
            took: Span::seconds(1),
        }
    }

    #[test]
    fn rounds_come_closer_as_the_cutover_does() {
        let intervals = [0, 3600, 6600, 7180, 7300].map(|seconds| pace().interval(at(seconds)));
        let expected = [300, 300, 50, 10, 10].map(Span::seconds);
        assert_eq!(intervals, expected);
        assert_eq!(Pace { opens_at: None, ..pace() }.interval(at(0)), Span::minutes(5));
    }

    #[test]
    fn a_replica_is_ready_after_the_first_copy_and_one_round_more() {
        let mut status = ReplicaStatus::new(at(0));
        assert!(!status.is_ready() && status.lag(at(9)).is_none() && status.lag_bytes().is_none());
        status.rounds = 1;
        status.last = Some(landed(1, at(0)));
        assert!(!status.is_ready());
        status.rounds = 2;
        status.last = Some(landed(2, at(60)));
        assert!(status.is_ready());
        assert_eq!(status.lag(at(65)), Some(Span::seconds(5)));
    }

    #[test]
    fn a_rest_that_lasts_is_called_a_backlog() {
        let mut status = ReplicaStatus::new(at(0));
        status.rounds = 2;
        status.last = Some(landed(2, at(0)));
        status.activity = Activity::Resting { next_at: at(300) };
        status.at = at(200);
        assert_eq!(status.standing(&pace()), Standing::Continuous);
        status.at = at(1000);
        assert_eq!(status.standing(&pace()), Standing::Backlog);
    }

    proptest! {
        #[test]
        fn the_interval_lies_between_near_and_far_and_never_grows_towards_the_cutover(a in 0..8000_i64, b in 0..8000_i64) {
            let (early, late) = (a.min(b), a.max(b));
            let (before, after) = (pace().interval(at(early)), pace().interval(at(late)));
            prop_assert!(after <= before);
            prop_assert!(before <= Span::minutes(5) && after >= Span::seconds(10));
        }
    }
}
