//! What has happened, for the story that operators read, for the API's event stream and for the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::{Failure, Method, Moved, Phase, PowerOff};
use crate::checks::Finding;
use crate::eligibility::WhyNotLive;
use crate::ids::{HostName, ImportId, MaintenanceId, MigrationId, OwnerId, ServerId};
use crate::import::ImportHappened;
use crate::maintenance::RollingHappened;
use crate::migration::Loss;
use crate::notices::{Actor, Avoidance, WhyGivenUp};
use crate::replica::{Images, Round, TestHappened};
use crate::time::{Instant, Span};
use crate::windows::Slot;

/// One thing that happened, and to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The maintenance that it belongs to.
    pub maintenance: Option<MaintenanceId>,
    /// The migration that it belongs to.
    pub migration: Option<MigrationId>,
    /// The import that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportId>,
    /// The server, and its name at that time.
    pub server: Option<(ServerId, String)>,
    /// Whose server it is.
    pub owner: Option<OwnerId>,
    /// The host.
    pub host: Option<HostName>,
    /// What.
    pub what: Happened,
}

impl Event {
    /// What it happened to, in a word for people: the server, or else the host, or else the maintenance as a whole.
    #[must_use]
    pub fn subject(&self) -> &str {
        match (&self.server, &self.host) {
            (Some((_, name)), _) => name,
            (None, Some(host)) => host.as_str(),
            (None, None) => "maintenance",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happened {
    /// A maintenance was asked for.
    Requested {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
        /// The hosts.
        hosts: Vec<HostName>,
        /// Until when.
        deadline: Instant,
    },
    /// A maintenance was paused.
    Paused {
        /// By whom.
        by: Actor,
    },
    /// A maintenance goes on.
    Resumed {
        /// By whom.
        by: Actor,
    },
    /// A maintenance was given up.
    MaintenanceCancelled {
        /// By whom.
        by: Actor,
    },
    /// A maintenance became an emergency.
    EmergencyDeclared {
        /// By whom.
        by: Actor,
        /// What endangers the hosts.
        why: String,
    },
    /// The deadline is near, and some servers still wait.
    DeadlineNear {
        /// How many.
        waiting: usize,
        /// The deadline.
        deadline: Instant,
    },
    /// A host's libvirt said that it is empty.
    HostEmpty,
    /// A host's libvirt named servers that nobody had seen.
    HostNotEmpty {
        /// Their names.
        left: Vec<String>,
    },
    /// Every host of a maintenance is empty.
    MaintenanceCompleted,
    /// Something about a maintenance over many hosts.
    Rolling {
        /// What.
        what: RollingHappened,
    },
    /// A server has to leave.
    Planned {
        /// How.
        method: Method,
        /// Where to, if a place was found.
        to: Option<HostName>,
        /// Why not live.
        why_not_live: Option<WhyNotLive>,
    },
    /// What was decided does not hold any more.
    Replanned {
        /// Where to now.
        to: HostName,
        /// What changed.
        why: String,
    },
    /// It will be a reboot migration.
    FellBack {
        /// Why.
        why: WhyNotLive,
    },
    /// It can be moved live after all.
    BecameLive,
    /// It can't go on at present.
    Waits {
        /// For what, in words.
        waits_for: String,
    },
    /// A ticket was opened, and this time proposed.
    Proposed {
        /// When.
        slot: Slot,
    },
    /// The time was changed.
    Rescheduled {
        /// When.
        slot: Slot,
        /// By whom.
        by: Actor,
    },
    /// The owner does not want this time.
    Declined {
        /// Which.
        slot: Slot,
        /// By whom.
        by: Actor,
    },
    /// A time that was proposed is not kept, before it came.
    Withdrawn {
        /// Which.
        slot: Slot,
        /// Why.
        why: String,
    },
    /// The owner agreed.
    Accepted {
        /// By whom.
        by: Actor,
    },
    /// Somebody said: now.
    StartNow {
        /// Who.
        by: Actor,
        /// How he said it.
        #[serde(default)]
        through: Through,
    },
    /// The agreed time passed.
    Missed {
        /// The time.
        slot: Slot,
        /// Why.
        why: String,
    },
    /// A try was ordered.
    Began {
        /// How.
        method: Method,
        /// Where to.
        to: HostName,
        /// Which try of this method, from 1.
        attempt: u32,
    },
    /// A try reached another phase.
    PhaseReached {
        /// Which.
        phase: Phase,
    },
    /// The ladder allowed a longer downtime.
    DowntimeRaised {
        /// In milliseconds.
        to_ms: u64,
        /// The pass over the memory in which it did.
        iteration: u32,
    },
    /// An abort was ordered.
    Aborting {
        /// Why.
        why: String,
    },
    /// An operator forced it.
    Forced {
        /// Who.
        by: Actor,
    },
    /// An operator began it anew.
    Retried {
        /// Who.
        by: Actor,
    },
    /// A try failed, and the server is where it was.
    AttemptFailed {
        /// How it was tried.
        method: Method,
        /// Why.
        failure: Failure,
        /// When it is tried again, if it is.
        again_at: Option<Instant>,
    },
    /// The server is at its destination.
    Arrived {
        /// How.
        method: Method,
        /// Where.
        to: HostName,
        /// What it cost.
        moved: Moved,
    },
    /// The guest was seen alive.
    Alive {
        /// By which sign.
        sign: String,
    },
    /// Something was looked at where it arrived.
    Checked {
        /// What, and what was seen.
        finding: Finding,
    },
    /// It needs a person.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// It was given up with its maintenance.
    Cancelled,
    /// It was resolved without us.
    Avoided {
        /// By what.
        how: Avoidance,
    },
    /// Nothing of it is left at the source.
    Closed,
    /// Somebody wants a server moved at this time, without a maintenance.
    AskedFor {
        /// When.
        slot: Slot,
        /// Who.
        by: Actor,
    },
    /// Somebody wants a drill at this time.
    DrillAskedFor {
        /// When.
        slot: Slot,
        /// Who.
        by: Actor,
    },
    /// A drill pretends from now on that the server is being moved.
    DrillBegan {
        /// Until when.
        until: Instant,
    },
    /// A drill has come to its end.
    DrillEnded,
    /// A maintenance needs what was asked for without one.
    Adopted,
    /// The maintenance that needed what was asked for was cancelled.
    Released,
    /// What was asked for is not done.
    GivenUp {
        /// Why not.
        why: WhyGivenUp,
    },
    /// A finished reboot migration is to stay as it is.
    Confirmed {
        /// Who said so; Drover, when the time to revert it is over.
        by: Actor,
    },
    /// The server is to go back.
    Reverting {
        /// Who said so.
        by: Actor,
        /// The number of the migration that takes it back.
        through: u32,
        /// Whether he gives up what it has written to its local disks since.
        #[serde(default, skip_serializing_if = "Loss::is_none")]
        loss: Loss,
    },
    /// The server is back where it was.
    Reverted {
        /// The number of the migration that took it back.
        through: u32,
    },
    /// The server was to go back, and stays where it is.
    NotReverted {
        /// The number of the migration that would have taken it back.
        through: u32,
    },
    /// The disks of a server begin to be copied.
    ReplicaInitiating {
        /// Where to.
        to: HostName,
        /// As the guest sees them, in bytes.
        bytes: u64,
    },
    /// An agent will not have, or make, a copy.
    ReplicaRefused {
        /// Where it was to be.
        host: HostName,
        /// Why not.
        failure: Failure,
        /// When it is tried again.
        again_at: Instant,
    },
    /// The whole disks have been copied once.
    InitialSyncDone {
        /// With these figures.
        round: Round,
    },
    /// A server can be cut over with its copy.
    ReplicaReady {
        /// How far it is behind.
        lag: Option<Span>,
    },
    /// Rounds fail.
    ReplicaStalled {
        /// Why.
        failure: Failure,
    },
    /// A copy is further behind than its rounds explain, by more than policy bears.
    ReplicaLate {
        /// How far.
        lag: Span,
    },
    /// It is not any more.
    ReplicaCaughtUp {
        /// How far it is behind.
        lag: Span,
    },
    /// Rounds are done again after they have failed.
    ReplicaGoesOn,
    /// A copy is not kept up to date until somebody resumes it.
    ReplicaPaused {
        /// Who.
        by: Actor,
    },
    /// It is again.
    ReplicaResumed {
        /// Who.
        by: Actor,
    },
    /// Somebody has said what the server shall look like at its next launch.
    BlueprintSet {
        /// What it changes, in one line; `as it is` when it was cleared.
        blueprint: String,
        /// Who.
        by: Actor,
    },
    /// The server has been launched as its blueprint says.
    Shaped {
        /// What was changed.
        blueprint: String,
    },
    /// The server is back, and looks as it did before.
    ShapedBack,
    /// Somebody wants a replica to be brought up to date now.
    SyncAskedFor {
        /// Who.
        by: Actor,
    },
    /// Something about a test launch.
    TestLaunch {
        /// On which host.
        at: HostName,
        /// What.
        what: TestHappened,
    },
    /// Something about an import.
    Import {
        /// What.
        what: ImportHappened,
    },
    /// A copy is not held any more.
    ReplicaReleased {
        /// Where.
        at: HostName,
        /// What became of its files.
        images: Images,
    },
    /// A copy was to be let go of, and something of it is left.
    ReplicaLeft {
        /// Where.
        at: HostName,
        /// What was to become of its files.
        images: Images,
        /// Why it did not.
        failure: Failure,
    },
    /// An operator keeps servers away from a host, or lets them come again.
    StandingChanged {
        /// The standing now.
        to: String,
        /// By whom.
        by: Actor,
    },
}

/// How an owner has said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// Himself, or by a program of his that has his token.
    #[default]
    Himself,
    /// By software in the server: its guest has acknowledged the event.
    Guest,
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Himself => "",
            Self::Guest => " through the guest",
        })
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { by, reason, hosts, deadline } => write!(
                f,
                "{by} asked to empty {} for {reason} by {}",
                hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "),
                deadline.format("%Y-%m-%d %H:%M UTC")
            ),
            Self::Paused { by } => write!(f, "paused by {by}"),
            Self::Resumed { by } => write!(f, "resumed by {by}"),
            Self::MaintenanceCancelled { by } => write!(f, "cancelled by {by}"),
            Self::EmergencyDeclared { by, why } => write!(f, "emergency declared by {by}: {why}"),
            Self::DeadlineNear { waiting, deadline } => {
                let who = if *waiting == 1 {
                    "1 server still waits".to_owned()
                } else {
                    format!("{waiting} servers still wait")
                };
                write!(f, "{who}, and the deadline is {}", deadline.format("%Y-%m-%d %H:%M UTC"))
            }
            Self::HostEmpty => f.write_str("confirmed empty by its libvirt"),
            Self::HostNotEmpty { left } => write!(f, "not empty: libvirt still names {}", left.join(", ")),
            Self::MaintenanceCompleted => f.write_str("completed: every host is empty"),
            Self::Rolling { what } => what.fmt(f),
            Self::Planned { method, to, why_not_live } => {
                planned(f, *method, to.as_ref(), why_not_live.as_ref())
            }
            Self::Replanned { to, why } => write!(f, "goes to {to} instead: {why}"),
            Self::FellBack { why } => write!(f, "becomes a reboot migration: {why}"),
            Self::BecameLive => f.write_str("can be moved live after all"),
            Self::Waits { waits_for } => write!(f, "waits for {waits_for}"),
            Self::Proposed { slot } => {
                write!(f, "ticket: {} proposed", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::Rescheduled { slot, by } => {
                write!(f, "moved to {} by {by}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::Declined { slot, by } => {
                write!(f, "{} declined by {by}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::Withdrawn { slot, why } => {
                write!(f, "{} is not kept: {why}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::Accepted { by } => write!(f, "time accepted by {by}"),
            Self::StartNow { by, through } => write!(f, "to be started now, says {by}{through}"),
            Self::Missed { slot, why } => {
                write!(f, "missed its time {}: {why}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::Began { method, to, attempt } => {
                write!(f, "{method} migration to {to} begins (try {attempt})")
            }
            Self::PhaseReached { phase } => write!(f, "{phase}"),
            Self::DowntimeRaised { to_ms, iteration } => {
                write!(f, "allowed downtime raised to {to_ms} ms at pass {iteration}")
            }
            Self::Aborting { why } => write!(f, "is being aborted: {why}"),
            Self::Forced { by } => write!(f, "forced by {by}"),
            Self::Retried { by } => write!(f, "begun anew by {by}"),
            Self::AttemptFailed { method, failure, again_at } => {
                write!(f, "{method} migration failed: {failure}")?;
                match again_at {
                    Some(at) => write!(f, "; again at {}", at.format("%H:%M:%S UTC")),
                    None => Ok(()),
                }
            }
            Self::Arrived { method, to, moved } => {
                write!(f, "is on {to} ({method}")?;
                if let Some(downtime) = moved.downtime {
                    write!(f, ", stood still for {}", downtime.rounded())?;
                }
                match moved.power_off {
                    Some(PowerOff::WasOff) => f.write_str(", it was off")?,
                    Some(how) => write!(f, ", powered off {how}")?,
                    None => {}
                }
                f.write_str(")")
            }
            Self::Alive { sign } => write!(f, "seen alive: {sign}"),
            Self::Checked { finding } => write!(f, "check: {finding}"),
            Self::Failed { why } => write!(f, "needs a person: {why}"),
            Self::Cancelled => f.write_str("given up with its maintenance"),
            Self::Avoided { how } => f.write_str(match how {
                Avoidance::Deleted => "resolved: the server was deleted",
                Avoidance::MovedElsewhere => "resolved: the server was moved by other means",
                Avoidance::MovedWhileOff => "resolved: the server was off, and was moved meanwhile",
                Avoidance::MovedLive => "resolved: it could be moved live after all",
            }),
            Self::Closed => f.write_str("closed: the retained definition is gone"),
            Self::AskedFor { slot, by } => {
                write!(f, "{by} wants it moved at {}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::DrillAskedFor { slot, by } => {
                write!(f, "{by} wants a drill at {}", slot.start.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            Self::DrillBegan { until } => {
                write!(f, "a drill says that it is off, until {}", until.format("%H:%M:%S UTC"))
            }
            Self::DrillEnded => f.write_str("the drill is over; nothing was done to it"),
            Self::Adopted => f.write_str("was asked for, and a maintenance needs it now"),
            Self::Released => f.write_str("its maintenance was cancelled; what was asked for stands"),
            Self::GivenUp { why: WhyGivenUp::Cancelled { by } } => write!(f, "cancelled by {by}"),
            Self::GivenUp { why: WhyGivenUp::ForReal } => {
                f.write_str("the drill is ended: it is to be moved for real")
            }
            Self::GivenUp { why: WhyGivenUp::NothingRetained { text } } => {
                write!(f, "given up, as its old disks are not there as they were retained: {text}")
            }
            Self::GivenUp { why: WhyGivenUp::OutOfTime } => {
                f.write_str("given up: it could not be done in time")
            }
            Self::Confirmed { by: Actor::Drover } => {
                f.write_str("confirmed by itself: the time to revert it is over")
            }
            Self::Confirmed { by } => write!(f, "confirmed by {by}"),
            Self::Reverting { by, through, loss } => {
                write!(f, "is to go back to where it was, by migration {through}, says {by}")?;
                match loss {
                    Loss::None => Ok(()),
                    Loss::Accepted => {
                        f.write_str(", who accepts that what it has written to its local disks since is lost")
                    }
                }
            }
            Self::Reverted { through } => write!(f, "is back where it was, by migration {through}"),
            Self::NotReverted { through } => {
                write!(f, "stays where it is: migration {through}, which was to take it back, is over")
            }
            Self::ReplicaInitiating { to, bytes } => {
                write!(f, "copying its disks to {to} begins, {}", mebibytes(*bytes))
            }
            Self::ReplicaRefused { host, failure, again_at } => write!(
                f,
                "no copy of its disks at {host}: {failure}; again at {}",
                again_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            Self::InitialSyncDone { round } => write!(
                f,
                "its disks have been copied once: {} in {}",
                mebibytes(round.sent_bytes),
                round.took.rounded()
            ),
            Self::ReplicaReady { lag: Some(lag) } => {
                write!(f, "the copy of its disks is ready, {} behind", lag.rounded())
            }
            Self::ReplicaReady { lag: None } => f.write_str("the copy of its disks is ready"),
            Self::ReplicaStalled { failure } => write!(f, "the copy of its disks is stalled: {failure}"),
            Self::ReplicaLate { lag } => write!(
                f,
                "the copy of its disks is {} behind, which its rounds do not explain (replication.lag_warn)",
                lag.rounded()
            ),
            Self::ReplicaCaughtUp { lag } => {
                write!(f, "the copy of its disks has caught up: {} behind", lag.rounded())
            }
            Self::ReplicaGoesOn => f.write_str("the copy of its disks is kept up to date again"),
            Self::ReplicaPaused { by } => write!(f, "the copy of its disks was paused by {by}"),
            Self::ReplicaResumed { by } => write!(f, "the copy of its disks was resumed by {by}"),
            Self::BlueprintSet { blueprint, by } => {
                write!(f, "at its next launch by a reboot: {blueprint}, says {by}")
            }
            Self::Shaped { blueprint } => write!(f, "looks as its blueprint says: {blueprint}"),
            Self::ShapedBack => f.write_str("looks as it did before"),
            Self::SyncAskedFor { by } => {
                write!(f, "{by} asked for the copy of its disks to be brought up to date")
            }
            Self::Import { what } => what.fmt(f),
            Self::TestLaunch { at, what } => write!(f, "test launch at {at}: {what}"),
            Self::ReplicaReleased { at, images: Images::Delete } => {
                write!(f, "the copy of its disks at {at} is gone")
            }
            Self::ReplicaReleased { at, images: Images::Keep } => {
                write!(f, "the copy at {at} is its disks now")
            }
            Self::ReplicaLeft { at, failure, .. } => {
                write!(f, "something of the copy of its disks may be left at {at}: {failure}")
            }
            Self::StandingChanged { to, by } => write!(f, "{to} by {by}"),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn planned(
    f: &mut fmt::Formatter<'_>,
    method: Method,
    to: Option<&HostName>,
    why_not_live: Option<&WhyNotLive>,
) -> fmt::Result {
    write!(f, "has to leave: {method}")?;
    match to {
        Some(to) => write!(f, " to {to}")?,
        None => f.write_str(", no place yet")?,
    }
    match why_not_live {
        Some(why) => write!(f, "; {why}"),
        None => Ok(()),
    }
}
