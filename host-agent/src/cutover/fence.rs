//! Fencing the source: its definition is retained, then taken away from libvirt, so that it can't start there again.

use drover_agent_api::RebootMigrate;
use drover_policies::attempt::Outcome;
use drover_policies::time::Span;

use super::{Before, Bringing, Cutover, Off, PAUSE, abort_wished, alive_again};
use crate::driver::{Context, Step, When};
use crate::hypervisor::{Sighting, State};
use crate::ledger::Retained;

/// The fence follows the tail within this time, or the tail is read again: somebody may have started the server and stopped it between.
const FRESH: Span = Span::seconds(5);

/// Retains the definition, then takes it away from libvirt.
pub(super) fn fence(order: &RebootMigrate, off: Off, context: &Context<'_>) -> Step<Cutover> {
    let state = Cutover::Fencing { off };
    let here = match context.hypervisor.here().find(order.server) {
        Ok(here) => here,
        Err(refusal) => return state.unanswered(&refusal, context),
    };
    let Some(here) = here else {
        return after_fence(order, off, context);
    };
    if let Some(failure) = abort_wished(context.wish) {
        return Cutover::restoring(off.before, context.now, failure, context);
    }
    if here.state != State::Off {
        return alive_again(off.before, &here, context);
    }
    if order.replica.is_some() && off.tail.is_none_or(|tail| Span::between(tail.at, context.now) > FRESH) {
        return Cutover::Tail { off, bringing: Bringing::new(context.now) }.go(context, When::AtOnce);
    }
    let definition = match context.hypervisor.definition(order.server) {
        Ok(definition) => definition,
        Err(refusal) => return state.unanswered(&refusal, context),
    };
    if let Err(error) = context.ledger.retain(&retained(order, off.before, &here, definition, context)) {
        tracing::error!(operation = %context.id, "the definition can't be retained, so it is not taken away: {error}");
        return state.go(context, context.after(PAUSE));
    }
    if let Err(refusal) = context.hypervisor.here().undefine(order.server) {
        return state.unanswered(&refusal, context);
    }
    // Somebody may have started it between the look and the undefining, and libvirt would have made it a transient one.
    match context.hypervisor.here().find(order.server) {
        Ok(None) => Cutover::Fenced { off }.go(context, When::AtOnce),
        Ok(Some(_)) => state.go(context, When::AtOnce),
        Err(refusal) => state.unanswered(&refusal, context),
    }
}

pub(super) fn retained(
    order: &RebootMigrate,
    before: Before,
    here: &Sighting,
    definition: String,
    context: &Context<'_>,
) -> Retained {
    Retained {
        server: order.server,
        name: here.name.clone(),
        definition,
        life: before.life,
        autostart: before.autostart,
        operation: context.id,
        destination: order.destination.host.clone(),
        at: context.now,
        disks: order.disks().to_vec(),
    }
}

/// It is unknown here now: by our own undefining before a kill, because it was transient and is off, or because its owner
/// deleted it. Only with its definition in the ledger does it go on.
fn after_fence(order: &RebootMigrate, off: Off, context: &Context<'_>) -> Step<Cutover> {
    match context.ledger.retained(order.server) {
        Ok(Some(retained)) if retained.operation == context.id => {
            Cutover::Fenced { off }.go(context, When::AtOnce)
        }
        Ok(_) => Step::ended(Outcome::Gone),
        Err(error) => {
            tracing::error!(operation = %context.id, server = %order.server, "{error}");
            Cutover::Fencing { off }.go(context, context.after(PAUSE))
        }
    }
}
