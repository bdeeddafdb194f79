//! Bringing the server up at the destination, and taking it back from there.

use std::sync::Arc;

use chrono::TimeDelta;
use drover_agent_api::RebootMigrate;
use drover_policies::attempt::{Failure, FailureClass, Moved, Outcome, PowerOff};
use drover_policies::fleet::Autostart;
use drover_policies::time::{Instant, Span};

use super::{Cutover, Life, Off, PAUSE};
use crate::driver::{Context, Step, When};
use crate::hypervisor::{Domains, Refusal, RefusalKind, State};
use crate::ledger::Retained;

/// How long a destination may be silent before the server is brought back at its source. Going back costs the guest a boot there and
/// another one with the next try, so a daemon that is only being restarted is waited for.
const SILENCE: TimeDelta = TimeDelta::seconds(10);

/// Looks whether the destination can be reached now, while nothing has been done there.
pub(super) fn approach(order: &RebootMigrate, off: Off, context: &Context<'_>) -> Step<Cutover> {
    let there = context.hypervisor.peer(&order.destination).and_then(|peer| peer.find(order.server));
    match there {
        Ok(None) => Cutover::BootTarget { off, since: context.now }.go(context, When::AtOnce),
        Ok(Some(there)) => back(
            off,
            Failure {
                class: FailureClass::RefusedByDestination,
                text: format!(
                    "{} has got a definition of this server meanwhile ({}, {})",
                    order.destination.host, there.name, there.state
                ),
            },
            context,
        ),
        Err(Refusal { kind: RefusalKind::NoConnection | RefusalKind::NoAnswer, text })
            if context.now < off.at + SILENCE =>
        {
            tracing::warn!(operation = %context.id, host = %order.destination.host,
                "the destination is silent; it is waited for before the server is brought back: {text}");
            Cutover::Fenced { off }.go(context, context.again(off.at))
        }
        Err(refusal) => back(off, refusal.at_destination(), context),
    }
}

fn back(off: Off, failure: Failure, context: &Context<'_>) -> Step<Cutover> {
    Cutover::restoring(off.before, context.now, failure, context)
}

fn undoing(off: Off, failure: Failure, context: &Context<'_>) -> Step<Cutover> {
    Cutover::UndoTarget { off, since: context.now, failure }.go(context, When::AtOnce)
}

/// From here on the destination may run it.
pub(super) fn boot(order: &RebootMigrate, off: Off, since: Instant, context: &Context<'_>) -> Step<Cutover> {
    let state = Cutover::BootTarget { off, since };
    match context.hypervisor.here().find(order.server) {
        Ok(None) => {}
        Ok(Some(here)) => {
            let text = format!("{} was defined at its source again ({})", here.name, here.state);
            return undoing(off, Failure { class: FailureClass::Busy, text }, context);
        }
        Err(refusal) => return state.unanswered(&refusal, context),
    }
    let looked = context.hypervisor.peer(&order.destination).and_then(|peer| {
        let there = peer.find(order.server)?;
        Ok((peer, there))
    });
    let (peer, there) = match looked {
        Ok(looked) => looked,
        Err(refusal) => {
            tracing::warn!(operation = %context.id, host = %order.destination.host,
                "the destination is silent, and may have started the server; nothing is touched until it answers: {refusal}");
            return state.in_doubt(context, since);
        }
    };
    match (there.map(|there| there.state), off.before.life) {
        (None, _) => define(order, off, since, &peer, context),
        (Some(State::Running | State::Paused), _) | (Some(State::Off), Life::Off) => {
            arrived(order, off, since, &peer, context)
        }
        (Some(State::Off), Life::On) => start(order, off, since, &peer, context),
        (Some(State::Arriving | State::HeldByMigration), _) => state.go(context, context.after(PAUSE)),
        (Some(held @ (State::HeldOtherwise | State::Crashed)), _) => {
            let text = format!("it was started at {} and is {held} there", order.destination.host);
            undoing(off, Failure { class: FailureClass::TargetDidNotBoot, text }, context)
        }
    }
}

/// Starts it and looks at once. A guest that goes off right after its start is started again, but not in a tight loop.
fn start(
    order: &RebootMigrate,
    off: Off,
    since: Instant,
    peer: &Arc<dyn Domains>,
    context: &Context<'_>,
) -> Step<Cutover> {
    if let Err(refusal) = peer.start(order.server) {
        return failed(off, since, &refusal, context);
    }
    match peer.find(order.server) {
        // The next step tells the end: this one began before QEMU's start, which is a part of the downtime.
        Ok(Some(there)) if there.state == State::Running => {
            Cutover::BootTarget { off, since }.go(context, When::AtOnce)
        }
        Ok(_) => Cutover::BootTarget { off, since }.go(context, context.after(PAUSE)),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, "started, but the destination has gone silent: {refusal}");
            Cutover::BootTarget { off, since }.in_doubt(context, since)
        }
    }
}

fn define(
    order: &RebootMigrate,
    off: Off,
    since: Instant,
    peer: &Arc<dyn Domains>,
    context: &Context<'_>,
) -> Step<Cutover> {
    let state = Cutover::BootTarget { off, since };
    match own_definition(order, context) {
        Ok(retained) => match peer.define(&retained.definition) {
            Ok(()) => state.go(context, When::AtOnce),
            Err(refusal) => failed(off, since, &refusal, context),
        },
        Err(text) => {
            tracing::error!(operation = %context.id, server = %order.server, "{text}");
            state.go(context, context.after(PAUSE))
        }
    }
}

/// The definition that this operation has retained.
pub(super) fn own_definition(order: &RebootMigrate, context: &Context<'_>) -> Result<Retained, String> {
    match context.ledger.retained(order.server) {
        Ok(Some(retained)) if retained.operation == context.id => Ok(retained),
        Ok(_) => {
            Err("the retained definition has been taken out of the ledger by hand; put it back".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A refusal that was an answer is believed after one more look, by `undo`; any other one leaves everything open.
fn failed(off: Off, since: Instant, refusal: &Refusal, context: &Context<'_>) -> Step<Cutover> {
    match refusal.kind {
        RefusalKind::NoConnection | RefusalKind::NoAnswer | RefusalKind::NoServer => {
            tracing::warn!(operation = %context.id, "what the destination did is not known: {refusal}");
            Cutover::BootTarget { off, since }.in_doubt(context, since)
        }
        RefusalKind::Failed(class) => {
            let class = match class {
                FailureClass::RefusedByDestination => FailureClass::RefusedByDestination,
                FailureClass::NotConverging
                | FailureClass::Aborted
                | FailureClass::RefusedBySource
                | FailureClass::DestinationUnreachable
                | FailureClass::LostOnTheWay
                | FailureClass::Busy
                | FailureClass::TargetDidNotBoot
                | FailureClass::NotBegun
                | FailureClass::Unexpected => FailureClass::TargetDidNotBoot,
            };
            undoing(off, Failure { class, text: refusal.text.clone() }, context)
        }
    }
}

fn arrived(
    order: &RebootMigrate,
    off: Off,
    since: Instant,
    peer: &Arc<dyn Domains>,
    context: &Context<'_>,
) -> Step<Cutover> {
    if off.before.autostart == Autostart::Yes
        && let Err(refusal) = peer.set_autostart(order.server, Autostart::Yes)
    {
        tracing::warn!(operation = %context.id, "could not set the autostart mark at the destination: {refusal}");
        return Cutover::BootTarget { off, since }.in_doubt(context, since);
    }
    let downtime = match off.by {
        PowerOff::WasOff => None,
        PowerOff::GuestAgent | PowerOff::Acpi | PowerOff::Hard => Some(Span::between(off.at, context.now)),
    };
    Step::ended(Outcome::Moved(Moved {
        sent_bytes: 0,
        downtime,
        in_libvirt: None,
        power_off: Some(off.by),
        tail: None,
    }))
}

/// Takes the server back from the destination. The source stays as it is until the destination has said that the server
/// neither runs nor is known there.
pub(super) fn undo(
    order: &RebootMigrate,
    off: Off,
    since: Instant,
    failure: Failure,
    context: &Context<'_>,
) -> Step<Cutover> {
    let settled = match take_back(order, off, &failure, context) {
        Ok(Taken::Nothing) => return Cutover::restoring(off.before, context.now, failure, context),
        Ok(Taken::RunsThere) => {
            return Cutover::BootTarget { off, since: context.now }.go(context, When::AtOnce);
        }
        Ok(Taken::Something) => When::AtOnce,
        Ok(Taken::NotYet) => context.again(since),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, host = %order.destination.host,
                "the destination has not said that it has given the server up; the source stays off: {refusal}");
            return Cutover::UndoTarget { off, since, failure }.in_doubt(context, since);
        }
    };
    Cutover::UndoTarget { off, since, failure }.go(context, settled)
}

enum Taken {
    /// It has nothing.
    Nothing,
    /// It had something: look again.
    Something,
    /// It is in the middle of something.
    NotYet,
    /// It came up after all.
    RunsThere,
}

fn take_back(
    order: &RebootMigrate,
    off: Off,
    failure: &Failure,
    context: &Context<'_>,
) -> Result<Taken, Refusal> {
    let peer = context.hypervisor.peer(&order.destination)?;
    let Some(there) = peer.find(order.server)? else {
        return Ok(Taken::Nothing);
    };
    match there.state {
        State::Off => {
            peer.undefine(order.server)?;
            Ok(Taken::Something)
        }
        // It was started again at its source by hand, so the later one must not be touched by a program: both are shown.
        State::Running | State::Paused => {
            if context.hypervisor.here().find(order.server)?.is_some() {
                tracing::error!(operation = %context.id, server = %order.server, host = %order.destination.host,
                    "the server is known at both hosts and runs at the destination; a person must decide: {}", failure.text);
                return Ok(Taken::NotYet);
            }
            Ok(Taken::RunsThere)
        }
        // It never ran properly; what it may have written is on the shared disks, where the source finds it.
        State::HeldOtherwise | State::Crashed if off.before.life == Life::On => {
            peer.destroy(order.server)?;
            Ok(Taken::Something)
        }
        State::HeldOtherwise | State::Crashed | State::Arriving | State::HeldByMigration => Ok(Taken::NotYet),
    }
}
