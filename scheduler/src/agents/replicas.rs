//! What agents tell of the replicas that they keep up to date.

use drover_agent_api::{OperationState, Wish};
use drover_policies::ids::OperationId;
use drover_policies::replica::{Pace, ReplicaStatus};

use super::Agents;

impl Agents {
    /// What the source's agent last told of a replica; nothing before it has told anything, or when it tells something else.
    #[must_use]
    pub fn replicating(&self, operation: OperationId) -> Option<ReplicaStatus> {
        let inner = self.lock();
        let report = inner.presence.values().find_map(|presence| presence.reports.get(&operation))?;
        match &report.state {
            OperationState::Replicating { status } => Some(status.clone()),
            OperationState::Running { .. }
            | OperationState::Refused { .. }
            | OperationState::Ended { .. }
            | OperationState::Verified { .. }
            | OperationState::Counted { .. }
            | OperationState::Discarded
            | OperationState::Held
            | OperationState::Stopped
            | OperationState::Released
            | OperationState::Importing { .. }
            | OperationState::ImportEnded { .. }
            | OperationState::Testing { .. }
            | OperationState::Tested { .. }
            | OperationState::RunningHook { .. }
            | OperationState::HookRan { .. }
            | OperationState::Healthy { .. }
            | OperationState::Unhealthy { .. } => None,
        }
    }

    /// The pace that is wished of an order to replicate.
    #[must_use]
    pub fn pace(&self, operation: OperationId) -> Option<Pace> {
        let inner = self.lock();
        let mut operations = inner.wanted.values().flat_map(|wanted| &wanted.operations);
        match operations.find(|known| known.id == operation)?.wish {
            Wish::Pace(pace) => Some(pace),
            Wish::Run | Wish::Tuned(_) | Wish::AtOnce | Wish::Abort { .. } => None,
        }
    }
}
