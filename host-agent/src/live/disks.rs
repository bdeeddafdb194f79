//! Local disks of a server that goes live: images are put in their place for libvirt to fill, and taken out again if it does not arrive.
//!
//! The old disks and the definition are retained before libvirt begins, for it forgets the server by itself at the end: the file in the
//! ledger is what they are found by until they are discarded. Whatever leaves the server here takes that back.

use drover_agent_api::{LiveMigrate, Wish};
use drover_policies::attempt::{Failure, FailureClass, Outcome};
use drover_policies::time::Instant;

use super::{Live, aborted, unanswered};
use crate::cutover::images::{Taken, rounds_there, taken_out};
use crate::cutover::{Before, Life};
use crate::driver::{Context, Step, When};
use crate::hypervisor::replication::{FilledBy, Touched};
use crate::hypervisor::{Sighting, State};
use crate::ledger::Retained;

/// From the look at both hosts to the beginning: by way of the images, if it has local disks.
pub(super) fn approach(order: &LiveMigrate, here: &Sighting, context: &Context<'_>) -> Step<Live> {
    let autostart = here.autostart;
    let Some(replica) = &order.replica else {
        return Live::Starting { autostart }.go(context, When::AtOnce);
    };
    // libvirt takes the definition along as it is.
    if let Some(disk) = replica.disks.iter().find(|disk| disk.is_reshaped()) {
        let there = disk.at_destination();
        let text = format!(
            "{} is {} ({}) by the definition and would be {} ({}) at the destination: of a server that goes live the two must be the same",
            disk.target,
            disk.source.display(),
            disk.format,
            there.path.display(),
            there.format
        );
        let failure = Failure { class: FailureClass::RefusedBySource, text };
        return Step::ended(Outcome::stayed(failure));
    }
    match rounds_there((replica.replica, &replica.peer), context) {
        Ok(_) => {
            let before = Before { life: Life::On, autostart };
            Live::Placing { before, since: context.now }.go(context, When::AtOnce)
        }
        Err(failure) => Step::ended(Outcome::stayed(failure)),
    }
}

/// Retains what would be left here, and has the images put where the definition names them.
pub(super) fn place(
    order: &LiveMigrate,
    (before, since): (Before, Instant),
    context: &Context<'_>,
) -> Step<Live> {
    let state = Live::Placing { before, since };
    let stayed = |class, text| {
        let failure = Failure { class, text };
        not_moved(order, Outcome::stayed(failure), context)
    };
    if let Wish::Abort { because } = context.wish {
        return not_moved(order, Outcome::stayed(aborted(because)), context);
    }
    let Some(replica) = &order.replica else {
        return Live::Starting { autostart: before.autostart }.go(context, When::AtOnce);
    };
    let here = match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) if matches!(here.state, State::Running | State::Paused) => here,
        Ok(Some(here)) => {
            let text = format!("{} is {}: only a running server can be moved live", here.name, here.state);
            return stayed(FailureClass::RefusedBySource, text);
        }
        Ok(None) => return not_moved(order, Outcome::Gone, context),
        Err(refusal) => return unanswered(state, &refusal, context),
    };
    let definition = match context.hypervisor.definition(order.server) {
        Ok(definition) => definition,
        Err(refusal) => return unanswered(state, &refusal, context),
    };
    let retained = Retained {
        server: order.server,
        name: here.name,
        definition,
        life: before.life,
        autostart: before.autostart,
        operation: context.id,
        destination: order.destination.host.clone(),
        at: context.now,
        disks: replica.disks.clone(),
    };
    if let Err(error) = context.ledger.retain(&retained) {
        return stayed(
            FailureClass::RefusedBySource,
            format!("what it leaves here can't be retained: {error}"),
        );
    }
    match context.hypervisor.replication().put_in_place(replica.replica, &replica.peer, FilledBy::Hypervisor)
    {
        Ok(()) => Live::Starting { autostart: before.autostart }.go(context, When::AtOnce),
        Err(refusal) => {
            let failure = refusal.at_destination();
            not_moved(order, Outcome::stayed(failure), context)
        }
    }
}

/// The end of one that did not arrive, once nothing is left of it at the destination.
pub(super) fn not_moved(order: &LiveMigrate, outcome: Outcome, context: &Context<'_>) -> Step<Live> {
    match order.replica {
        Some(_) => Live::TakingOut { since: context.now, outcome }.go(context, When::AtOnce),
        None => Step::ended(outcome),
    }
}

/// Takes back what was made for its disks. The destination neither runs nor knows the server.
pub(super) fn take_out(
    order: &LiveMigrate,
    (since, outcome): (Instant, Outcome),
    context: &Context<'_>,
) -> Step<Live> {
    let Some(replica) = &order.replica else { return Step::ended(outcome) };
    if let Err(error) = context.ledger.discard_of(order.server, context.id) {
        tracing::warn!(operation = %context.id, server = %order.server,
            "the server stays here, but its retained definition can't be thrown away: {error}");
    }
    match taken_out((replica.replica, &replica.peer), (since, Touched::Perhaps), context) {
        Taken::Over => Step::ended(outcome),
        Taken::Again(when) => Live::TakingOut { since, outcome }.go(context, when),
    }
}
