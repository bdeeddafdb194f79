//! The story in words.

use std::fmt;

use super::Happened;
use crate::attempt::{Method, PowerOff};
use crate::eligibility::WhyNotLive;
use crate::ids::HostName;
use crate::migration::Loss;
use crate::notices::{Actor, Avoidance, WhyGivenUp};
use crate::replica::Images;

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
            Self::Withdrawn { slot, why, .. } => {
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
            Self::PhaseDone { done } => write!(f, "{done}"),
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
                    Some(PowerOff::WasOff) => f.write_str(", it was off and is left so")?,
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
                Avoidance::MovedWhileOff => "resolved: the server was off, and was moved meanwhile; it is off until its owner starts it",
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
            Self::TokenIssued { token, name, by } => write!(f, "token {name:?} ({token}) issued by {by}"),
            Self::TokenRevoked { token, name, by } => write!(f, "token {name:?} ({token}) revoked by {by}"),
            Self::TicketTaken { by, from: None } => write!(f, "its ticket was taken by {by}"),
            Self::TicketTaken { by, from: Some(from) } => {
                write!(f, "its ticket was taken over from {from} by {by}")
            }
            Self::TicketGivenBack { by } => write!(f, "its ticket was given back by {by}"),
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
