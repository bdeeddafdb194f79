//! Bringing the server up at the destination, and taking it back from there.

use std::sync::Arc;

use chrono::TimeDelta;
use drover_agent_api::RebootMigrate;
use drover_policies::attempt::{Failure, FailureClass, Moved, Outcome, PowerOff};
use drover_policies::fleet::Autostart;
use drover_policies::time::{Instant, Span};

use super::{Cutover, Life, Off, PAUSE};
use crate::driver::{Context, Step, When};
use crate::hypervisor::replication::Touched;
use crate::hypervisor::{Domains, Refusal, RefusalKind, State};
use crate::ledger::Retained;

/// How long a destination may be silent before the server is brought back at its source. Going back costs the guest a boot there and
/// another one with the next try, so a daemon that is only being restarted is waited for.
pub(super) const SILENCE: TimeDelta = TimeDelta::seconds(10);

/// Looks whether the destination can be reached now, while nothing has been done there.
pub(super) fn approach(order: &RebootMigrate, off: Off, context: &Context<'_>) -> Step<Cutover> {
    let there = context.hypervisor.peer(&order.destination).and_then(|peer| peer.find(order.server));
    match there {
        Ok(None) => match order.replica {
            Some(_) => Cutover::PuttingInPlace { off, since: context.now }.go(context, When::AtOnce),
            None => Boot { off, since: context.now, touched: None }.state().go(context, When::AtOnce),
        },
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

/// The destination may have the server, and may have started it.
#[derive(Clone, Copy)]
pub(super) struct Boot {
    pub(super) off: Off,
    pub(super) since: Instant,
    pub(super) touched: Option<Touched>,
}

impl Boot {
    fn state(self) -> Cutover {
        let Self { off, since, touched } = self;
        Cutover::BootTarget { off, since, touched }
    }

    fn undo(self, failure: Failure, context: &Context<'_>) -> Step<Cutover> {
        let Self { off, touched, .. } = self;
        Cutover::UndoTarget { off, since: context.now, failure, touched }.go(context, When::AtOnce)
    }
}

/// From here on the destination may run it.
pub(super) fn boot(order: &RebootMigrate, boot: Boot, context: &Context<'_>) -> Step<Cutover> {
    let Boot { off, since, .. } = boot;
    let state = boot.state();
    match context.hypervisor.here().find(order.server) {
        Ok(None) => {}
        Ok(Some(here)) => {
            let text = format!("{} was defined at its source again ({})", here.name, here.state);
            return boot.undo(Failure { class: FailureClass::Busy, text }, context);
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
    let life = if order.shape.boot().is_now() { off.before.life } else { Life::Off };
    match (there.map(|there| there.state), life) {
        (None, _) => define(order, boot, &peer, context),
        (Some(State::Running | State::Paused), _) | (Some(State::Off), Life::Off) => {
            arrived(order, boot, &peer, context)
        }
        // That it may run from the images is in the ledger before it does.
        (Some(State::Off), Life::On) if boot.touched == Some(Touched::No) => {
            Boot { touched: Some(Touched::Perhaps), ..boot }.state().go(context, When::AtOnce)
        }
        (Some(State::Off), Life::On) => start(order, boot, &peer, context),
        (Some(State::Arriving | State::HeldByMigration), _) => state.go(context, context.after(PAUSE)),
        (Some(held @ (State::HeldOtherwise | State::Crashed)), _) => {
            let text = format!("it was started at {} and is {held} there", order.destination.host);
            boot.undo(Failure { class: FailureClass::TargetDidNotBoot, text }, context)
        }
    }
}

/// Starts it and looks at once. A guest that goes off right after its start is started again, but not in a tight loop.
fn start(order: &RebootMigrate, boot: Boot, peer: &Arc<dyn Domains>, context: &Context<'_>) -> Step<Cutover> {
    if let Err(refusal) = peer.start(order.server) {
        return failed(boot, &refusal, context);
    }
    match peer.find(order.server) {
        // The next step tells the end: this one began before QEMU's start, which is a part of the downtime.
        Ok(Some(there)) if there.state == State::Running => boot.state().go(context, When::AtOnce),
        Ok(_) => boot.state().go(context, context.after(PAUSE)),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, "started, but the destination has gone silent: {refusal}");
            boot.state().in_doubt(context, boot.since)
        }
    }
}

fn define(
    order: &RebootMigrate,
    boot: Boot,
    peer: &Arc<dyn Domains>,
    context: &Context<'_>,
) -> Step<Cutover> {
    let state = boot.state();
    match own_definition(order, context) {
        // Made from what was retained each time, so that a repeat makes the same.
        Ok(retained) => match context
            .hypervisor
            .reshaped(&retained.definition, order, context.id)
            .and_then(|definition| peer.define(&definition))
        {
            Ok(()) => state.go(context, When::AtOnce),
            Err(refusal) => failed(boot, &refusal, context),
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
fn failed(boot: Boot, refusal: &Refusal, context: &Context<'_>) -> Step<Cutover> {
    match refusal.kind {
        RefusalKind::NoConnection | RefusalKind::NoAnswer | RefusalKind::NoServer => {
            tracing::warn!(operation = %context.id, "what the destination did is not known: {refusal}");
            boot.state().in_doubt(context, boot.since)
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
                | FailureClass::NeedsPowerCycle
                | FailureClass::TargetDidNotBoot
                | FailureClass::NotBegun
                | FailureClass::Unexpected => FailureClass::TargetDidNotBoot,
            };
            boot.undo(Failure { class, text: refusal.text.clone() }, context)
        }
    }
}

fn arrived(
    order: &RebootMigrate,
    boot: Boot,
    peer: &Arc<dyn Domains>,
    context: &Context<'_>,
) -> Step<Cutover> {
    let off = boot.off;
    if off.before.autostart == Autostart::Yes
        && let Err(refusal) = peer.set_autostart(order.server, Autostart::Yes)
    {
        tracing::warn!(operation = %context.id, "could not set the autostart mark at the destination: {refusal}");
        return boot.state().in_doubt(context, boot.since);
    }
    // One that is left off is down until its owner boots it.
    let booted = order.shape.boot().is_now();
    let downtime = match off.by {
        PowerOff::WasOff => None,
        PowerOff::GuestAgent | PowerOff::Acpi | PowerOff::Hard => {
            booted.then(|| Span::between(off.at, context.now))
        }
    };
    Step::ended(Outcome::Moved(Moved {
        sent_bytes: off.tail.map_or(0, |tail| tail.cost.sent_bytes),
        downtime,
        in_libvirt: None,
        power_off: Some(off.by),
        tail: off.tail.map(|tail| tail.cost),
    }))
}

pub(super) struct Undo {
    pub(super) off: Off,
    pub(super) since: Instant,
    pub(super) failure: Failure,
    pub(super) touched: Option<Touched>,
}

impl Undo {
    fn state(self) -> Cutover {
        let Self { off, since, failure, touched } = self;
        Cutover::UndoTarget { off, since, failure, touched }
    }

    fn restoring(self, now: Instant) -> Cutover {
        let Self { off, failure, touched, .. } = self;
        Cutover::Restoring { before: off.before, since: now, settles: now, failure, placed: touched }
    }
}

/// Takes the server back from the destination. The source stays as it is until the destination has said that the server
/// neither runs nor is known there.
pub(super) fn undo(order: &RebootMigrate, undo: Undo, context: &Context<'_>) -> Step<Cutover> {
    let since = undo.since;
    let settled = match take_back(order, undo.off, &undo.failure, context) {
        Ok(Taken::Nothing) => return undo.restoring(context.now).go(context, When::AtOnce),
        Ok(Taken::RunsThere) => {
            let boot = Boot { off: undo.off, since: context.now, touched: undo.touched };
            return boot.state().go(context, When::AtOnce);
        }
        Ok(Taken::Something) => When::AtOnce,
        Ok(Taken::NotYet) => context.again(since),
        Err(refusal) => {
            tracing::warn!(operation = %context.id, host = %order.destination.host,
                "the destination has not said that it has given the server up; the source stays off: {refusal}");
            return undo.state().in_doubt(context, since);
        }
    };
    undo.state().go(context, settled)
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
        // It never ran properly. What it may have written is on shared disks, where the source finds it; local ones were a copy.
        State::HeldOtherwise | State::Crashed if off.before.life == Life::On => {
            peer.destroy(order.server)?;
            Ok(Taken::Something)
        }
        State::HeldOtherwise | State::Crashed | State::Arriving | State::HeldByMigration => Ok(Taken::NotYet),
    }
}
