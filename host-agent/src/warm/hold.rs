//! The destination's two short operations: to take a replica, and to hold it no longer.

use drover_agent_api::{HoldReplica, OperationState, ReleaseReplica};
use drover_policies::attempt::{Failure, FailureClass};

use crate::driver::{Context, Step};
use crate::hypervisor::{Answer, RefusalKind};
use crate::retained::wait;

/// Makes ready to take a replica, or says why it can't be held here.
#[must_use]
pub fn hold(order: &HoldReplica, context: &Context<'_>) -> Step<()> {
    end(context.hypervisor.replication().hold(order), OperationState::Held, context)
}

/// Holds a replica no longer.
#[must_use]
pub fn release(order: &ReleaseReplica, context: &Context<'_>) -> Step<()> {
    end(context.hypervisor.replication().release(order), OperationState::Released, context)
}

/// What was answered is the end; what was not is asked again.
fn end(answer: Answer<()>, done: OperationState, context: &Context<'_>) -> Step<()> {
    match answer {
        Ok(()) => Step::End(done),
        Err(refusal) => match refusal.kind {
            RefusalKind::Failed(_) | RefusalKind::NoServer => {
                let failure = Failure { class: FailureClass::RefusedByDestination, text: refusal.text };
                Step::End(OperationState::Refused { failure })
            }
            RefusalKind::NoConnection | RefusalKind::NoAnswer => {
                tracing::warn!(operation = %context.id, "it is not known whether it was done, so it is asked again: {refusal}");
                wait(context)
            }
        },
    }
}
