//! Whether this host is well: its libvirt is asked, from scratch, until it answers or the time is over.

use drover_agent_api::{CheckHealth, OperationState};
use drover_policies::attempt::{Phase, Progress};
use drover_policies::hooks::Health;
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling};

/// A look at the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// Not asked yet.
    Preparing,
    /// libvirt has not answered so far.
    Asking {
        /// Since when it is asked.
        since: Instant,
    },
}

impl HealthCheck {
    pub(crate) fn step(self, order: CheckHealth, context: &Context<'_>) -> Step<Self> {
        let since = match self {
            Self::Preparing => context.now,
            Self::Asking { since } => since,
        };
        match context.hypervisor.observe() {
            Ok(observed) => {
                let facts = observed.host;
                let health = Health {
                    libvirt_version: facts.libvirt_version,
                    qemu_version: facts.qemu_version,
                    boot_id: facts.boot_id,
                    at: context.now,
                };
                Step::End(OperationState::Healthy { health })
            }
            Err(refusal) if Span::between(since, context.now) >= order.within => {
                Step::End(OperationState::Unhealthy { why: refusal.to_string() })
            }
            Err(refusal) => {
                tracing::debug!(operation = %context.id, "libvirt does not answer yet: {refusal}");
                let telling = Telling::Progress(Progress::of(Phase::Verifying, context.now));
                Step::Go { state: Self::Asking { since }, telling, when: context.again(since) }
            }
        }
    }
}
