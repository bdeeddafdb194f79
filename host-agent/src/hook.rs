//! Running a hook of this host.
//!
//! ```text
//! preparing ─▶ begun ─▶ ended: hook ran
//!                │ ▲
//!                └─┘ it runs, or waits for the reboot that it has announced
//! ```
//!
//! That it is begun once is the port's to see to ([`Hooks::run`](crate::hypervisor::hooks::Hooks::run)): the same question begins it and
//! asks how it stands.

use chrono::TimeDelta;
use drover_agent_api::{OperationState, RunHook, Wish};
use drover_policies::hooks::{HookDoing, HookOutcome, HookRan, HookStatus};
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::hooks::Standing;

/// A hook that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Nothing is done yet.
    Preparing,
    /// It may have been begun.
    Begun {
        /// Since when.
        since: Instant,
    },
}

impl Hook {
    /// What is told of it before the host was asked.
    pub(crate) fn status(&self, now: Instant) -> HookStatus {
        let since = match self {
            Self::Preparing => now,
            Self::Begun { since } => *since,
        };
        HookStatus { since, doing: HookDoing::Running, line: None }
    }

    pub(crate) fn step(self, order: &RunHook, context: &Context<'_>) -> Step<Self> {
        let aborted = matches!(context.wish, Wish::Abort { .. });
        let since = match self {
            Self::Preparing if aborted => return ended(HookRan::not_begun(HookOutcome::Stopped)),
            Self::Preparing => {
                let begun = Self::Begun { since: context.now };
                let telling = Telling::Hook(begun.status(context.now));
                return Step::Go { state: begun, telling, when: When::AtOnce };
            }
            Self::Begun { since } => since,
        };
        let hooks = context.hypervisor.hooks();
        if aborted && let Err(refusal) = hooks.stop(context.id) {
            tracing::error!(operation = %context.id, "the hook can't be stopped yet: {refusal}");
        }
        match hooks.run(context.id, order) {
            Ok(Standing::Ended(ran)) => ended(ran),
            Ok(Standing::Going(status)) => {
                Step::Go { state: self, telling: Telling::Hook(status), when: look_again(since, context) }
            }
            Err(refusal) => {
                tracing::error!(operation = %context.id, "how the hook stands is not known: {refusal}");
                let telling = Telling::Hook(self.status(context.now));
                Step::Go { state: self, telling, when: context.again(since) }
            }
        }
    }
}

fn ended(ran: HookRan) -> Step<Hook> {
    Step::End(OperationState::HookRan { ran })
}

/// Soon for one that is short. Its end wakes the agent as a rule.
fn look_again(since: Instant, context: &Context<'_>) -> When {
    const SOONEST: TimeDelta = TimeDelta::milliseconds(200);
    const LATEST: TimeDelta = TimeDelta::seconds(5);
    When::At(context.now + ((context.now - since) / 20).clamp(SOONEST, LATEST))
}
