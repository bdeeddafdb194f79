//! The port for hooks: programs that this host's configuration names.
//!
//! Whether a hook was begun is known by what is on the host, and by nobody's memory; so it is begun once for its operation, however often
//! that is asked for, and whatever dies between.

use drover_agent_api::RunHook;
use drover_policies::hooks::{HookOutcome, HookRan, HookStatus};
use drover_policies::ids::OperationId;

use super::Answer;

/// How the hook of an operation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Going(HookStatus),
    /// It has ended, or is not going to be begun.
    Ended(HookRan),
}

/// What can be asked of a host about its hooks.
pub trait Hooks: Send + Sync {
    /// Begins a hook if that was not done for this operation before, and tells how it stands. Its end wakes the agent.
    ///
    /// # Errors
    /// When what is kept of it can't be read or written: how it stands is not known.
    fn run(&self, operation: OperationId, order: &RunHook) -> Answer<Standing>;

    /// Asks for its end, with all that it has started. One that was not begun is not going to be. That it has ended is told by
    /// [`Hooks::run`].
    ///
    /// # Errors
    /// When that could not be asked.
    fn stop(&self, operation: OperationId) -> Answer<()>;

    /// Throws away what is kept of it: it has ended, and everybody knows how.
    ///
    /// # Errors
    /// When something of it is left.
    fn forget(&self, operation: OperationId) -> Answer<()>;
}

/// Of a host whose agent runs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn run(&self, _operation: OperationId, _order: &RunHook) -> Answer<Standing> {
        Ok(Standing::Ended(HookRan::not_begun(HookOutcome::NotConfigured)))
    }

    fn stop(&self, _operation: OperationId) -> Answer<()> {
        Ok(())
    }

    fn forget(&self, _operation: OperationId) -> Answer<()> {
        Ok(())
    }
}
