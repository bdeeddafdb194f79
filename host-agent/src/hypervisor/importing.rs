//! The port for imports: each is a job that is started, looked at, and may be stopped.
//!
//! What it has done so far is on disk and in nobody's memory: a job that was cut off anywhere is simply started again.

use drover_agent_api::ImportServer;
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::ids::OperationId;
use drover_policies::import::{Done, Found, Step};
use drover_policies::replica::DiskFigures;

use super::{Answer, Refusal, RefusalKind};

pub use crate::convert::import::Cleared;

/// Something that a job has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A step begins.
    Began(Step),
    /// A step is done.
    Ended(Done),
    /// A line of whoever does it.
    Line(String),
}

/// How an import stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Nothing runs for that operation, and this agent has seen nothing of it end since it began.
    None,
    /// Under way.
    Running {
        /// What was said since it was looked at last; handed out once.
        said: Vec<Said>,
        /// How far the disks are.
        disks: Vec<DiskFigures>,
    },
    /// It has ended, and this is handed out once.
    Returned {
        /// What was said since it was looked at last.
        said: Vec<Said>,
        /// What has come of it.
        answer: Result<Found, Failure>,
    },
}

/// What can be asked about imports.
pub trait Importer: Send + Sync {
    /// Begins an import, or goes on with it.
    ///
    /// # Errors
    /// When it could not even be begun.
    fn start(&self, operation: OperationId, order: &ImportServer) -> Answer<()>;

    /// How the job stands that this operation has started.
    fn look(&self, operation: OperationId) -> Job;

    /// Has a job stop; that it has is told by [`Importer::look`].
    fn stop(&self, operation: OperationId);

    /// Throws away what was done for an import; nothing may run for it. A repeat changes nothing.
    ///
    /// # Errors
    /// When files can't be removed, or libvirt can't be asked.
    fn clear(&self, order: &ImportServer) -> Answer<Cleared>;
}

/// Imports on a host whose agent is not configured for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoImports;

impl Importer for NoImports {
    fn start(&self, _operation: OperationId, _order: &ImportServer) -> Answer<()> {
        let text = "this host's agent is not told from where it may import: set `[import] sources` in its configuration";
        Err(Refusal::new(RefusalKind::Failed(FailureClass::RefusedByDestination), text))
    }

    fn look(&self, _operation: OperationId) -> Job {
        Job::None
    }

    fn stop(&self, _operation: OperationId) {}

    /// What was begun before the configuration was changed stays, and is named to a person.
    fn clear(&self, order: &ImportServer) -> Answer<Cleared> {
        self.start(OperationId(order.import.0), order).map(|()| Cleared::Gone)
    }
}
