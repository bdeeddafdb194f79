//! What agents tell of the imports that they carry out.

use drover_agent_api::OperationState;
use drover_policies::ids::OperationId;
use drover_policies::import::ImportStatus;

use super::Agents;

impl Agents {
    /// How far an import is, as its agent last told; nothing before it has told anything, or when it has ended.
    #[must_use]
    pub fn importing(&self, operation: OperationId) -> Option<ImportStatus> {
        let inner = self.lock();
        let report = inner.presence.values().find_map(|presence| presence.reports.get(&operation))?;
        if let OperationState::Importing { status } = &report.state { Some(status.clone()) } else { None }
    }
}
