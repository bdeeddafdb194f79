//! How far one host of a maintenance is.
//!
//! ```text
//! waiting ─ its turn ─▶ draining ⇄ confirming ─▶ drained          a drain ends here
//!                                                   │
//!                 done ◀─ post ◀─ health ◀─ check ◀─ maintain ◀─ pre        a patch goes on
//!
//! waiting ─ its turn ─▶ giving ─▶ done          of a rebalance
//!
//! pre, maintain, … ── exit 70 ──▶ skipped        any of them ── fails ──▶ failed ── retry ──▶ that step again
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::ids::{HookName, OperationId};
use crate::notices::Actor;
use crate::time::Instant;

/// How far a host is. What a tag is called is stored, and read by later versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drain", rename_all = "snake_case")]
pub enum Stage {
    /// Its turn has not come.
    Waiting,
    /// Some of its servers go to hosts with less; it stays in service.
    Giving,
    /// Servers are on it, as far as is known.
    Draining,
    /// Nothing is seen on it any more; its libvirt is being asked.
    Confirming {
        /// The question.
        operation: OperationId,
    },
    /// Its libvirt said that it is empty.
    Drained {
        /// When.
        at: Instant,
    },
    /// What it was emptied for is being done.
    Working {
        /// Which part.
        step: Step,
        /// The order; nothing before it is given.
        operation: Option<OperationId>,
        /// Which try of this step, from 1.
        attempt: u32,
        /// Since when.
        since: Instant,
    },
    /// It is in service again, or has been given up for good.
    Done {
        /// When.
        at: Instant,
    },
    /// It was left out, and is in service as it was.
    Skipped {
        /// When.
        at: Instant,
        /// Who wanted it so.
        by: SkippedBy,
    },
    /// It needs a person, and is kept out of service.
    Failed {
        /// When.
        at: Instant,
        /// In which step.
        step: Step,
        /// Which try of it.
        attempt: u32,
        /// Why.
        why: String,
    },
}

/// A part of what a host was emptied for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The hook before.
    Pre,
    /// The hook that does it.
    Maintain,
    /// Its libvirt answers again.
    Check,
    /// The hook that says whether all is well.
    Health,
    /// The hook after.
    Post,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 5] = [Self::Pre, Self::Maintain, Self::Check, Self::Health, Self::Post];

    /// The hook that is run; nothing where something else is done.
    #[must_use]
    pub fn hook(self) -> Option<HookName> {
        match self {
            Self::Pre => Some(HookName::pre()),
            Self::Maintain => Some(HookName::maintain()),
            Self::Check => None,
            Self::Health => Some(HookName::health()),
            Self::Post => Some(HookName::post()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pre => "hook pre",
            Self::Maintain => "hook maintain",
            Self::Check => "health check",
            Self::Health => "hook health",
            Self::Post => "hook post",
        })
    }
}

/// Who wanted a host to be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "skipped_by", rename_all = "snake_case")]
pub enum SkippedBy {
    /// A hook, by its exit code 70.
    Hook {
        /// In which step.
        step: Step,
    },
    /// Somebody.
    Actor {
        /// Who.
        by: Actor,
    },
}

impl fmt::Display for SkippedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook { step } => write!(f, "its {step} says so (exit code 70)"),
            Self::Actor { by } => write!(f, "{by} says so"),
        }
    }
}

impl Stage {
    /// A stable word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Giving => "giving",
            Self::Draining => "draining",
            Self::Confirming { .. } => "confirming",
            Self::Drained { .. } => "drained",
            Self::Working { .. } => "working",
            Self::Done { .. } => "done",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether its turn has come and is not over.
    #[must_use]
    pub fn is_in_work(&self, kind: Kind) -> bool {
        match self {
            Self::Giving | Self::Draining | Self::Confirming { .. } | Self::Working { .. } => true,
            Self::Drained { .. } => kind != Kind::Drain,
            Self::Waiting | Self::Done { .. } | Self::Skipped { .. } | Self::Failed { .. } => false,
        }
    }

    /// Whether nothing more is done with it, and all is well.
    #[must_use]
    pub fn is_over(&self, kind: Kind) -> bool {
        match self {
            Self::Done { .. } | Self::Skipped { .. } => true,
            Self::Drained { .. } => kind == Kind::Drain,
            Self::Waiting
            | Self::Giving
            | Self::Draining
            | Self::Confirming { .. }
            | Self::Working { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// Whether its servers have to leave it: from the beginning of its turn until what it was emptied for begins.
    #[must_use]
    pub fn is_being_emptied(&self) -> bool {
        match self {
            Self::Draining | Self::Confirming { .. } | Self::Drained { .. } => true,
            Self::Waiting
            | Self::Giving
            | Self::Working { .. }
            | Self::Done { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// When its turn was over, well or not.
    #[must_use]
    pub fn ended_at(&self, kind: Kind) -> Option<Instant> {
        match self {
            Self::Done { at } | Self::Skipped { at, .. } | Self::Failed { at, .. } => Some(*at),
            Self::Drained { at } => (kind == Kind::Drain).then_some(*at),
            Self::Waiting
            | Self::Giving
            | Self::Draining
            | Self::Confirming { .. }
            | Self::Working { .. } => None,
        }
    }

    /// The order that is being carried out for it.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Confirming { operation } => Some(*operation),
            Self::Working { operation, .. } => *operation,
            Self::Waiting
            | Self::Giving
            | Self::Draining
            | Self::Drained { .. }
            | Self::Done { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => None,
        }
    }
}

/// In words, for people.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Working { step, .. } => f.pad(&step.to_string()),
            other => f.pad(other.name()),
        }
    }
}
