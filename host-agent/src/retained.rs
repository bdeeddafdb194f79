//! The two short operations: what is left on this host, and the end of a retained definition.

use drover_agent_api::OperationState;
use drover_policies::attempt::{Phase, Progress};
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::time::Span;

use crate::driver::{Context, Step, Telling};

/// How long to wait before a daemon or a disk that did not answer is asked again.
const PAUSE: Span = Span::seconds(1);

/// Asks the hypervisor, now, what is left here. It is asked until it answers: an empty host is never assumed.
#[must_use]
pub fn count(context: &Context<'_>) -> Step<()> {
    match context.hypervisor.left() {
        Ok(left) => Step::End(OperationState::Counted { left, at: context.now }),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, "cannot ask libvirt what is left here: {refusal}");
            wait(context)
        }
    }
}

/// Throws the retained definition of a server away: whichever it is, or only that of one operation.
#[must_use]
pub fn discard(server: ServerId, kept_by: Option<OperationId>, context: &Context<'_>) -> Step<()> {
    let discarded = match kept_by {
        Some(operation) => context.ledger.discard_of(server, operation),
        None => context.ledger.discard(server),
    };
    match discarded {
        Ok(()) => Step::End(OperationState::Discarded),
        Err(error) => {
            tracing::error!(operation = %context.id, %server, "cannot throw the retained definition away: {error}");
            wait(context)
        }
    }
}

/// The same again, soon.
pub(crate) fn wait(context: &Context<'_>) -> Step<()> {
    let progress = Progress::of(Phase::Preflight, context.now);
    Step::Go { state: (), telling: Telling::Progress(progress), when: context.after(PAUSE) }
}
