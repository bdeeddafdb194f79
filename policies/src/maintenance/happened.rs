//! What happens to a maintenance over many hosts, for its story.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Kind, SkippedBy, Step, Wave};
use crate::hooks::{HookOutcome, HookOutput};
use crate::ids::HostName;
use crate::notices::Actor;
use crate::packing::Uneven;
use crate::time::{Instant, Span};

/// What happened to a maintenance over many hosts, or to a host of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rolling", rename_all = "snake_case")]
pub enum RollingHappened {
    /// It was asked for; nothing is done before it is approved.
    Drafted {
        /// By whom.
        by: Actor,
        /// What is to be done.
        kind: Kind,
        /// Why.
        reason: String,
        /// With how many hosts.
        hosts: usize,
        /// Until when.
        deadline: Instant,
    },
    /// The order of its hosts is known.
    Planned {
        /// They.
        waves: Vec<Wave>,
    },
    /// The order of its hosts is another one than before.
    Replanned {
        /// Those whose turn is yet to come.
        waves: Vec<Wave>,
        /// What changed.
        why: String,
    },
    /// What evens its hosts out is known, or is another than before.
    Evens {
        /// So many servers are moved.
        servers: usize,
        /// Those that they leave.
        hosts: Vec<HostName>,
        /// Hosts that stay uneven, each with why.
        uneven: Vec<Uneven>,
        /// What changed; nothing the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// It may begin.
    Approved {
        /// Who said so.
        by: Actor,
    },
    /// A host's turn has come.
    TurnBegan {
        /// With which wave.
        wave: u32,
    },
    /// No further host can begin.
    NoneCanBegin {
        /// Why.
        why: String,
    },
    /// A step of a host's work has begun.
    StepBegan {
        /// Which.
        step: Step,
        /// Which try.
        attempt: u32,
    },
    /// A hook has ended.
    HookEnded {
        /// Which.
        step: Step,
        /// How.
        outcome: HookOutcome,
        /// The end of what it said.
        output: HookOutput,
        /// How long it ran.
        took: Span,
    },
    /// A host answers after the work.
    Healthy {
        /// What is another than before; nothing when all is as it was.
        changed: Option<String>,
    },
    /// A host is done.
    HostDone {
        /// What became of it.
        kind: Kind,
    },
    /// A host is left out.
    HostSkipped {
        /// Who wanted it so.
        by: SkippedBy,
    },
    /// A host needs a person.
    HostFailed {
        /// In which step.
        step: Step,
        /// Why.
        why: String,
    },
    /// A host is tried again.
    HostRetried {
        /// Who said so.
        by: Actor,
        /// From which step on.
        step: Step,
    },
    /// A host takes longer than expected.
    TakesLong {
        /// How long it has taken.
        since: Span,
        /// What it is at.
        stage: String,
    },
    /// The deadline is near, and not all hosts are over.
    DeadlineNear {
        /// How many are not.
        hosts: usize,
        /// The deadline.
        deadline: Instant,
    },
    /// So many hosts have failed that no other begins.
    Halted {
        /// Those that have.
        failed: Vec<HostName>,
        /// How many are borne.
        borne: u32,
    },
    /// All hosts have had their turn.
    Ended {
        /// So many are done.
        done: usize,
        /// So many were left out.
        skipped: usize,
        /// These have failed.
        failed: Vec<HostName>,
    },
}

impl fmt::Display for RollingHappened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drafted { by, kind, reason, hosts, deadline } => write!(
                f,
                "{by} drafted: {kind} of {} for {reason} by {}",
                count(*hosts),
                deadline.format("%Y-%m-%d %H:%M UTC")
            ),
            Self::Planned { waves } => write!(f, "planned: {}", in_words(waves)),
            Self::Replanned { waves, why } => write!(f, "planned anew, as {why}: {}", in_words(waves)),
            Self::Evens { servers, hosts, uneven, why } => {
                match why {
                    None => f.write_str("planned: ")?,
                    Some(why) => write!(f, "planned anew, as {why}: ")?,
                }
                match (servers, hosts.len()) {
                    (0, _) => f.write_str("nothing more is to be moved")?,
                    (servers, 1..=8) => write!(f, "{} of {}", count_of(*servers, "server"), names(hosts))?,
                    (servers, many) => write!(f, "{} of {}", count_of(*servers, "server"), count(many))?,
                }
                let stays = |uneven: &Uneven| format!("; {} stays uneven: {}", uneven.host, uneven.why);
                uneven.iter().take(SHOWN).try_for_each(|uneven| f.write_str(&stays(uneven)))?;
                match uneven.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {} more", count(more)),
                }
            }
            Self::Approved { by } => write!(f, "approved by {by}"),
            Self::TurnBegan { wave } => write!(f, "its turn has come (wave {wave})"),
            Self::NoneCanBegin { why } => write!(f, "no further host can begin: {why}"),
            Self::StepBegan { step, attempt: 1 } => write!(f, "{step} begins"),
            Self::StepBegan { step, attempt } => write!(f, "{step} begins (try {attempt})"),
            Self::HookEnded { step, outcome, output, took } => {
                write!(f, "{step}: {outcome} after {}", took.rounded())?;
                match output.text.trim_end().lines().last() {
                    Some(last) => write!(f, "; it said: {last}"),
                    None => Ok(()),
                }
            }
            Self::Healthy { changed: None } => f.write_str("its libvirt answers"),
            Self::Healthy { changed: Some(what) } => write!(f, "its libvirt answers; {what}"),
            Self::HostDone { kind: Kind::Decommission } => f.write_str("is empty, and stays out of service"),
            Self::HostDone { kind: Kind::Rebalance } => f.write_str("has given what was too much"),
            Self::HostDone { kind: Kind::Drain | Kind::Patch } => {
                f.write_str("is done, and in service again")
            }
            Self::HostSkipped { by } => write!(f, "is left out: {by}"),
            Self::HostFailed { step, why } => write!(f, "needs a person: {step} failed: {why}"),
            Self::HostRetried { by, step } => write!(f, "is tried again from {step} on, says {by}"),
            Self::TakesLong { since, stage } => write!(f, "takes long: {stage}, {} so far", since.rounded()),
            Self::DeadlineNear { hosts, deadline } => write!(
                f,
                "{} not over yet, and the deadline is {}",
                count(*hosts),
                deadline.format("%Y-%m-%d %H:%M UTC")
            ),
            Self::Halted { failed, borne } => write!(
                f,
                "no further host begins: {} failed, and {borne} may (max_failed_hosts)",
                names(failed)
            ),
            Self::Ended { done, skipped, failed } => {
                write!(f, "over: {} done", count(*done))?;
                if *skipped > 0 {
                    write!(f, ", {skipped} left out")?;
                }
                match failed.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", failed: {}", names(failed)),
                }
            }
        }
    }
}

/// Of so many hosts that stay uneven it is said why.
const SHOWN: usize = 3;

fn count(hosts: usize) -> String {
    count_of(hosts, "host")
}

fn count_of(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn names(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

/// `wave 1: h1, h2; wave 2: h3`. Of very large ones the number of hosts alone.
fn in_words(waves: &[Wave]) -> String {
    let one = |wave: &Wave| match wave.hosts.len() {
        0..=8 => format!("wave {}: {}", wave.number, names(&wave.hosts)),
        many => format!("wave {}: {}", wave.number, count(many)),
    };
    waves.iter().map(one).collect::<Vec<_>>().join("; ")
}
