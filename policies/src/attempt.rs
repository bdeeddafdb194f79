//! One try of a migration: how far it is, and how it ended.
//!
//! An agent tells these, the ladder and the migration's machine decide by them. The end is always told by the *state of
//! both hosts*; libvirt's text is carried along for people and never decides.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checks::{Finding, Looked};
use crate::fleet::Autostart;
use crate::hooks::{Health, HookRan, HookStatus};
use crate::import::{ImportEnd, ImportStatus, LogLine};
use crate::replica::{EndOfTest, ReplicaStatus, Seen, TestStatus};
use crate::time::{Instant, Span};

/// What moves a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// While it runs.
    Live,
    /// By powering it off here and booting it there. A server that is off is moved the same way, without the two.
    Reboot,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Reboot => "reboot",
        })
    }
}

/// Where an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking at both hosts before anything is touched.
    Preflight,
    /// Looked at and found good; its time has not come.
    Armed,
    /// Memory is being sent.
    Transferring,
    /// The last round of its local disks while it runs.
    FinalDelta,
    /// The guest is asked to shut down, then made to; what it wrote at last is read from the disks.
    PowerOffSource,
    /// A guest of another kind of hypervisor is made fit to boot here.
    GuestFixes,
    /// The source's definition is retained and taken away, so that it can't start there again.
    Finalize,
    /// Defined and started at the destination.
    BootTarget,
    /// The guest is looked at where it runs now.
    Verifying,
    /// Bringing the server back at the source.
    RollingBack,
    /// The outcome can't be known until the destination answers; nothing is touched until then.
    InDoubt,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preflight => "preflight",
            Self::Armed => "armed",
            Self::Transferring => "transferring",
            Self::FinalDelta => "final delta",
            Self::PowerOffSource => "power off source",
            Self::GuestFixes => "guest fixes",
            Self::Finalize => "finalize",
            Self::BootTarget => "boot target",
            Self::Verifying => "verifying",
            Self::RollingBack => "rolling back",
            Self::InDoubt => "in doubt",
        })
    }
}

/// A phase of a cutover that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseDone {
    /// Which.
    pub phase: Phase,
    /// How long it took, as the agent measured it.
    pub took: Span,
    /// What it sent of local disks, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent_bytes: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl fmt::Display for PhaseDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} took {}", self.phase, self.took)?;
        match self.sent_bytes {
            0 => Ok(()),
            bytes => write!(f, ", {} KiB sent", bytes.div_ceil(1 << 10)),
        }
    }
}

/// How far an attempt is. Figures that the phase hasn't got are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where.
    pub phase: Phase,
    /// When this was read.
    pub at: Instant,
    /// Memory in all, in bytes.
    pub total_bytes: u64,
    /// Sent so far, in bytes; grows past the total when memory is sent again.
    pub sent_bytes: u64,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// Bytes per second on the wire.
    pub rate: u64,
    /// Bytes per second that the guest writes anew.
    pub dirty_rate: u64,
    /// Pass over the memory, counted from 1 within this attempt.
    pub iteration: u32,
    /// How long the guest would stand still if it were switched over now, in milliseconds, as QEMU expects.
    pub expected_downtime_ms: u64,
    /// The downtime that QEMU may use now, in milliseconds; 0 when not known.
    pub allowed_downtime_ms: u64,
    /// Of a look at a guest: what was found so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Of a cutover: the phases that are over, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<PhaseDone>,
}

impl Progress {
    /// The beginning of a phase, without figures.
    #[must_use]
    pub fn of(phase: Phase, at: Instant) -> Self {
        Self {
            phase,
            at,
            total_bytes: 0,
            sent_bytes: 0,
            remaining_bytes: 0,
            rate: 0,
            dirty_rate: 0,
            iteration: 0,
            expected_downtime_ms: 0,
            allowed_downtime_ms: 0,
            findings: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Part of the memory that is at the destination now, 0 to 100.
    #[must_use]
    pub fn percent(&self) -> u8 {
        if self.total_bytes == 0 {
            return 0;
        }
        let there = self.total_bytes.saturating_sub(self.remaining_bytes);
        u8::try_from(u128::from(there) * 100 / u128::from(self.total_bytes)).unwrap_or(100)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Outcome {
    /// The server is at the destination and nowhere else.
    Moved(Moved),
    /// The server is at the source as before; nothing is left at the destination.
    StayedAtSource {
        /// Why.
        failure: Failure,
        /// Set where it ran before and is off now, because policy wants it so. Agents of before never said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_off: Option<LeftOff>,
    },
    /// The server is neither here nor at the destination: its owner deleted it, or it was moved by other means.
    Gone,
}

impl Outcome {
    /// The server is at the source as before.
    #[must_use]
    pub fn stayed(failure: Failure) -> Self {
        Self::StayedAtSource { failure, left_off: None }
    }
}

/// A server that ran and was left off at its source after a cutover that failed: it is not started with its host either, or it might come up
/// where nobody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOff {
    /// Whether it was started with its host before. The next cutover gives that to it again.
    pub autostart: Autostart,
}

/// What an attempt that succeeded cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Bytes sent; 0 on a reboot migration over shared storage. Of local disks: what was read after the power-off.
    pub sent_bytes: u64,
    /// How long the server stood still or was off, as the hosts measured it.
    pub downtime: Option<Span>,
    /// Time inside libvirt's own migration call; nothing when there was none or it was not seen whole.
    pub in_libvirt: Option<Span>,
    /// How it was powered off, on a reboot migration of a running server.
    pub power_off: Option<PowerOff>,
    /// What was read from the powered-off disks, on a reboot migration of a server with local disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

/// What the round from the powered-off disks cost: a part of the downtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// What went over the wire, in bytes.
    pub sent_bytes: u64,
    /// From the power-off until it had landed, all tries together.
    pub took: Span,
}

/// What made a server stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerOff {
    /// Its guest agent shut it down.
    GuestAgent,
    /// It heeded the power button.
    Acpi,
    /// Neither helped in the time that policy gives; it was powered off.
    Hard,
    /// It was off already.
    WasOff,
}

impl fmt::Display for PowerOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GuestAgent => "by its guest agent",
            Self::Acpi => "by the power button",
            Self::Hard => "hard",
            Self::WasOff => "it was off",
        })
    }
}

/// Why an attempt failed, and libvirt's words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What decides what is done next.
    pub class: FailureClass,
    /// For people: what the hypervisor said.
    pub text: String,
}

/// In words; what the hypervisor said only where it says more.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text == self.class.to_string() {
            self.class.fmt(f)
        } else {
            write!(f, "{} ({})", self.class, self.text)
        }
    }
}

/// What decides what is done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Aborted by the ladder: memory changes faster than it can be sent.
    NotConverging,
    /// Aborted because somebody asked for it.
    Aborted,
    /// libvirt or QEMU will not migrate this server live, wherever to (a device, a block job, a snapshot).
    RefusedBySource,
    /// This destination can't take it: processor, machine type, storage, a clash of names, memory.
    RefusedByDestination,
    /// The destination could not be reached before anything began.
    DestinationUnreachable,
    /// The link, a daemon or the receiving QEMU failed on the way; the source goes on.
    LostOnTheWay,
    /// The domain was busy with something else for as long as libvirt waits.
    Busy,
    /// The server did not come up at the destination; it runs at the source again.
    TargetDidNotBoot,
    /// libvirt copies the disks of this server only after it has been off: it holds a backup of it that it knows nothing of any more.
    NeedsPowerCycle,
    /// Its time was over, or it was called off, before anything was touched.
    NotBegun,
    /// Something that none of the above describes.
    Unexpected,
}

impl FailureClass {
    /// Whether another destination may help.
    #[must_use]
    pub fn depends_on_destination(self) -> bool {
        match self {
            Self::RefusedByDestination
            | Self::DestinationUnreachable
            | Self::LostOnTheWay
            | Self::TargetDidNotBoot => true,
            Self::NotConverging
            | Self::Aborted
            | Self::RefusedBySource
            | Self::Busy
            | Self::NeedsPowerCycle
            | Self::NotBegun
            | Self::Unexpected => false,
        }
    }

    /// Whether a destination that has a copy of the server's disks should be given up for another one, after so many tries that failed
    /// there like this. A connection comes back; a copy takes hours.
    #[must_use]
    pub fn is_worth_another_copy(self, times: usize) -> bool {
        match self {
            Self::RefusedByDestination => times > 0,
            // Once, the guest itself may have been at fault.
            Self::TargetDidNotBoot => times > 1,
            Self::DestinationUnreachable
            | Self::LostOnTheWay
            | Self::NotConverging
            | Self::Aborted
            | Self::RefusedBySource
            | Self::Busy
            | Self::NeedsPowerCycle
            | Self::NotBegun
            | Self::Unexpected => false,
        }
    }

    /// Whether trying a live migration again may succeed at all.
    #[must_use]
    pub fn live_may_succeed_later(self) -> bool {
        match self {
            Self::NotConverging | Self::RefusedBySource => false,
            Self::Aborted
            | Self::RefusedByDestination
            | Self::DestinationUnreachable
            | Self::LostOnTheWay
            | Self::Busy
            | Self::TargetDidNotBoot
            | Self::NeedsPowerCycle
            | Self::NotBegun
            | Self::Unexpected => true,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotConverging => "its memory changes faster than it can be sent",
            Self::Aborted => "aborted on request",
            Self::RefusedBySource => "the hypervisor that it runs on refuses it",
            Self::RefusedByDestination => "the destination can't take it",
            Self::DestinationUnreachable => "the destination could not be reached",
            Self::LostOnTheWay => "the connection or the receiving side failed on the way",
            Self::Busy => "libvirt was busy with this server",
            Self::TargetDidNotBoot => "it did not come up at the destination",
            Self::NeedsPowerCycle => "its disks can't be read until it has been off once",
            Self::NotBegun => "it was not begun in its time",
            Self::Unexpected => "an unexpected error",
        })
    }
}

impl Report {
    /// A migration has ended, and nothing is known of its phases.
    #[must_use]
    pub fn ended(outcome: Outcome) -> Self {
        Self::Ended { outcome, done: Vec::new() }
    }

    /// The phases of a cutover that are over.
    #[must_use]
    pub fn phases_done(&self) -> &[PhaseDone] {
        match self {
            Self::Running(Progress { done, .. }) | Self::Ended { done, .. } => done,
            Self::Refused(_)
            | Self::Alive { .. }
            | Self::NotAlive(_)
            | Self::Counted { .. }
            | Self::Discarded
            | Self::Held
            | Self::Replicating(_)
            | Self::Stopped
            | Self::Released
            | Self::Importing(_)
            | Self::ImportEnded { .. }
            | Self::Testing(_)
            | Self::Tested { .. }
            | Self::RunningHook(_)
            | Self::HookRan(_)
            | Self::Healthy(_)
            | Self::Unhealthy(_) => &[],
        }
    }
}

/// What an agent last told of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Being done.
    Running(Progress),
    /// Not begun and not going to be; nothing was touched.
    Refused(Failure),
    /// A migration has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Of a cutover: every phase that there was, in their order.
        done: Vec<PhaseDone>,
    },
    /// The guest was seen alive.
    Alive {
        /// By this sign.
        sign: String,
        /// What else was looked at; nothing where the agent was not asked to, or can't.
        looked: Option<Looked>,
    },
    /// The guest was not seen alive in time; this was seen instead.
    NotAlive(String),
    /// What libvirt said is left on a host, by name; none means that it is empty.
    Counted {
        /// Names of servers.
        left: Vec<String>,
        /// When libvirt was asked.
        at: Instant,
    },
    /// What was retained is gone.
    Discarded,
    /// A replica may come.
    Held,
    /// A replica is kept up to date.
    Replicating(ReplicaStatus),
    /// A replica is not kept up to date any more.
    Stopped,
    /// A replica is not held any more.
    Released,
    /// An import goes on.
    Importing(Box<ImportStatus>),
    /// An import is over.
    ImportEnded {
        /// How.
        end: ImportEnd,
        /// The last of its log.
        log: Vec<LogLine>,
    },
    /// A test launch goes on.
    Testing(Box<TestStatus>),
    /// A test launch is over, and nothing of it is left.
    Tested {
        /// Why.
        because: EndOfTest,
        /// What was seen of the guest, if it was looked at.
        seen: Option<Seen>,
    },
    /// A hook runs on the host.
    RunningHook(HookStatus),
    /// A hook has ended.
    HookRan(HookRan),
    /// The host's libvirt has answered.
    Healthy(Health),
    /// The host's libvirt has not answered in time, and why.
    Unhealthy(String),
}
