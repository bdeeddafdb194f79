//! A server that libvirt holds for a backup which it knows nothing of any more could not be started again once it is off.
//!
//! libvirt lets go of it only with its definition, so that is taken away and given back at once. In between the ledger has it: an agent
//! that is killed there gives it back after its next start, before anything else becomes of the replica.

use drover_agent_api::Replicate;

use crate::cutover::Life;
use crate::driver::Context;
use crate::hypervisor::Sighting;
use crate::ledger::Retained;

/// Whether libvirt knows the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Again.
    Yes,
    /// No, and nothing was taken away here: its owner has deleted it, or it has left.
    No,
}

/// Has libvirt let go of a server that is off. The reason when it can't be done now.
pub(super) fn let_go(order: &Replicate, here: &Sighting, context: &Context<'_>) -> Result<(), String> {
    let kept = retained(order, context)?;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.operation != context.id) {
        return Err(format!("the ledger has a definition of it from operation {}", kept.operation));
    }
    let definition = context.hypervisor.definition(order.server).map_err(|refusal| refusal.text)?;
    let taken = Retained {
        server: order.server,
        name: here.name.clone(),
        definition,
        life: Life::Off,
        // One that was given back by an agent that was killed right after that has lost it.
        autostart: kept.map_or(here.autostart, |kept| kept.autostart),
        operation: context.id,
        destination: order.peer.host.clone(),
        at: context.now,
        // They go nowhere.
        disks: Vec::new(),
    };
    context.ledger.retain(&taken).map_err(|error| error.to_string())?;
    context.hypervisor.here().undefine(order.server).map_err(|refusal| refusal.text)?;
    give_back(order, context).map(drop)
}

/// Gives back a definition that was taken away here.
pub(super) fn give_back(order: &Replicate, context: &Context<'_>) -> Result<Known, String> {
    let Some(kept) = retained(order, context)?.filter(|kept| kept.operation == context.id) else {
        return Ok(Known::No);
    };
    let here = context.hypervisor.here();
    here.define(&kept.definition)
        .and_then(|()| here.set_autostart(order.server, kept.autostart))
        .map_err(|refusal| refusal.text)?;
    context.ledger.discard_of(order.server, context.id).map_err(|error| error.to_string())?;
    Ok(Known::Yes)
}

/// What an agent that was killed in between has left in the ledger, when libvirt knows the server and it has been started since.
pub(super) fn forget(order: &Replicate, context: &Context<'_>) -> Result<(), String> {
    let Some(kept) = retained(order, context)?.filter(|kept| kept.operation == context.id) else {
        return Ok(());
    };
    let here = context.hypervisor.here();
    here.set_autostart(order.server, kept.autostart).map_err(|refusal| refusal.text)?;
    context.ledger.discard_of(order.server, context.id).map_err(|error| error.to_string())
}

fn retained(order: &Replicate, context: &Context<'_>) -> Result<Option<Retained>, String> {
    context.ledger.retained(order.server).map_err(|error| error.to_string())
}
