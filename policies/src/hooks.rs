//! What an operator has a host do in a maintenance: programs that the host's own configuration names, and what came of them.
//!
//! A hook is known here by its name alone. Which program that is, and how long it may take, is configured on the host and nowhere else: who
//! can talk to an agent can have it run what is on that list, and nothing besides.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

/// The exit status by which a hook says that this host is to be left out of the maintenance.
pub const SKIPS: i32 = 70;

/// How a hook stands that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// Since when.
    pub since: Instant,
    /// What it does.
    pub doing: HookDoing,
    /// The last line that it has written; nothing before it has written any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// What a hook does that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookDoing {
    /// It runs.
    Running,
    /// It has said that the host is rebooted, and that has not come about yet.
    WaitsForReboot,
}

/// A hook that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRan {
    /// How.
    pub outcome: HookOutcome,
    /// What it has written.
    pub output: HookOutput,
    /// How long it took; with a reboot, until the agent was there again.
    pub took: Span,
}

impl HookRan {
    /// One that was not even begun.
    #[must_use]
    pub fn not_begun(outcome: HookOutcome) -> Self {
        Self { outcome, output: HookOutput::default(), took: Span::ZERO }
    }
}

/// What a hook has written on both of its channels: the beginning and the end of it where it is too much.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HookOutput {
    /// As text; what is no UTF-8 is replaced.
    pub text: String,
    /// How much was left out between the beginning and the end, in bytes.
    #[serde(default)]
    pub dropped_bytes: u64,
}

/// How a hook has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum HookOutcome {
    /// With status 0; one that has said that it reboots the host: the host has booted anew.
    Succeeded,
    /// With the status by which it says that this host is to be left out: [`SKIPS`].
    Skip,
    /// Otherwise, by itself or killed by somebody else.
    Failed {
        /// Its exit status, if it had one.
        exit: Option<i32>,
        /// The signal that it was killed by, if it was.
        signal: Option<i32>,
    },
    /// It was killed with all that it had started, as its time was up.
    TimedOut {
        /// Its time.
        after: Span,
    },
    /// It was killed with all that it had started, as somebody asked for that; or it was not begun, for the same reason.
    Stopped,
    /// The host has no hook of this name.
    NotConfigured,
    /// The agent did not begin it: its program is not as it should be.
    Refused {
        /// What is wrong, and what would be right.
        why: String,
    },
    /// It was begun, and what became of it can't be known.
    Lost {
        /// Why.
        why: String,
    },
}

impl HookOutcome {
    /// By how a program has ended.
    #[must_use]
    pub fn of_status(exit: Option<i32>, signal: Option<i32>) -> Self {
        match exit {
            Some(0) => Self::Succeeded,
            Some(SKIPS) => Self::Skip,
            Some(_) | None => Self::Failed { exit, signal },
        }
    }
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("it has succeeded"),
            Self::Skip => write!(f, "it leaves this host out (exit status {SKIPS})"),
            Self::Failed { exit: Some(status), .. } => write!(f, "it failed with exit status {status}"),
            Self::Failed { exit: None, signal: Some(signal) } => {
                write!(f, "it was killed by signal {signal}")
            }
            Self::Failed { exit: None, signal: None } => f.write_str("it failed"),
            Self::TimedOut { after } => write!(f, "it had not ended after {after} and was killed"),
            Self::Stopped => f.write_str("it was stopped on request"),
            Self::NotConfigured => f.write_str("this host has no such hook"),
            Self::Refused { why } => write!(f, "it was not begun: {why}"),
            Self::Lost { why } => write!(f, "what became of it is not known: {why}"),
        }
    }
}

/// A host whose libvirt has been asked, and has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// As in [`HostFacts`](crate::fleet::HostFacts), read afresh.
    pub libvirt_version: u64,
    /// As in [`HostFacts`](crate::fleet::HostFacts), read afresh.
    pub qemu_version: u64,
    /// Names the host's boot; nothing where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When it was asked.
    pub at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_is_success_and_only_seventy_leaves_the_host_out() {
        assert_eq!(HookOutcome::of_status(Some(0), None), HookOutcome::Succeeded);
        assert_eq!(HookOutcome::of_status(Some(70), None), HookOutcome::Skip);
        for status in [1, 69, 71, 255] {
            let failed = HookOutcome::Failed { exit: Some(status), signal: None };
            assert_eq!(HookOutcome::of_status(Some(status), None), failed);
        }
        // Killed by a signal whose number happens to be that status.
        let killed = HookOutcome::Failed { exit: None, signal: Some(70) };
        assert_eq!(HookOutcome::of_status(None, Some(70)), killed);
    }

    #[test]
    fn an_outcome_is_told_in_words() {
        let words = [
            (HookOutcome::of_status(Some(100), None), "it failed with exit status 100"),
            (HookOutcome::of_status(None, Some(9)), "it was killed by signal 9"),
            (HookOutcome::TimedOut { after: Span::minutes(30) }, "it had not ended after 30m and was killed"),
        ];
        for (outcome, text) in words {
            assert_eq!(outcome.to_string(), text);
        }
    }
}
