//! Powering the source off: its guest agent, then the power button, then hard.

use drover_agent_api::RebootMigrate;
use drover_policies::attempt::{FailureClass, Outcome, PowerOff};
use drover_policies::fleet::{Autostart, Definition, GuestAgent};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use super::{Before, Bringing, Cutover, Life, Off, abort_wished, alive_again, fence::retained};
use crate::driver::{Context, Step, When};
use crate::hypervisor::{Refusal, ShutdownBy, Sighting, State};

/// How often the state is looked at when no event comes.
const LOOK: Span = Span::milliseconds(250);

/// A power button that a booting guest did not see is pressed again after so long.
const PRESS_AGAIN: Span = Span::seconds(10);

/// What has been tried to make the guest stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// Nothing yet.
    None,
    /// The guest agent was asked.
    Agent {
        /// When.
        since: Instant,
    },
    /// The power button was pressed.
    Acpi {
        /// When first.
        since: Instant,
        /// When last.
        pressed: Instant,
    },
    /// The power was taken away.
    Hard,
}

pub(super) fn step(
    order: &RebootMigrate,
    before: Before,
    pressure: Pressure,
    context: &Context<'_>,
) -> Step<Cutover> {
    let state = Cutover::PoweringOff { before, pressure };
    let here = match context.hypervisor.here().find(order.server) {
        Ok(here) => here,
        Err(refusal) => return state.unanswered(&refusal, context),
    };
    if let Some(failure) = abort_wished(context.wish) {
        return Cutover::restoring(before, settles(order, pressure, context.now), failure, context);
    }
    let Some(here) = here else {
        return vanished(order, before, pressure, context);
    };
    match prepare(order, before, &here, context) {
        Ok(()) => {}
        Err(Unready::Refused(refusal)) => return state.unanswered(&refusal, context),
        Err(Unready::NotRetained) => return state.go(context, context.after(super::PAUSE)),
    }
    match (here.state, before.life) {
        (State::Off, _) => off(order, before, pressure, context),
        (_, Life::Off) => alive_again(before, &here, context),
        // Its processors stand still: it can't hear anybody.
        (State::Crashed | State::Paused, Life::On) => next(order, before, Pressure::Hard, context),
        // Held is also what QEMU looks like in the moment after a shutdown that was heeded.
        (State::Running | State::HeldOtherwise, Life::On) => press(order, before, pressure, context),
        (State::HeldByMigration | State::Arriving, Life::On) => Cutover::restoring(
            before,
            context.now,
            drover_policies::attempt::Failure {
                class: FailureClass::Busy,
                text: format!("{} is {}", here.name, here.state),
            },
            context,
        ),
    }
}

enum Unready {
    Refused(Refusal),
    NotRetained,
}

/// Before anything is asked of the guest: the host must not start it again by itself, and a transient server's only definition
/// must be in the ledger.
fn prepare(
    order: &RebootMigrate,
    before: Before,
    here: &Sighting,
    context: &Context<'_>,
) -> Result<(), Unready> {
    if here.autostart == Autostart::Yes {
        let source = context.hypervisor.here();
        source.set_autostart(order.server, Autostart::No).map_err(Unready::Refused)?;
    }
    if here.definition == Definition::Transient {
        let definition = context.hypervisor.definition(order.server).map_err(Unready::Refused)?;
        let kept = retained(order, before, here, definition, context);
        context.ledger.retain(&kept).map_err(|error| {
            tracing::error!(operation = %context.id, "the definition can't be retained, so nothing is done: {error}");
            Unready::NotRetained
        })?;
    }
    Ok(())
}

/// A transient server is unknown as soon as it is off; any other one was deleted by its owner.
fn vanished(
    order: &RebootMigrate,
    before: Before,
    pressure: Pressure,
    context: &Context<'_>,
) -> Step<Cutover> {
    match context.ledger.retained(order.server) {
        Ok(Some(retained)) if retained.operation == context.id => off(order, before, pressure, context),
        Ok(_) => Step::ended(Outcome::Gone),
        Err(error) => {
            tracing::error!(operation = %context.id, server = %order.server, "{error}");
            Cutover::PoweringOff { before, pressure }.go(context, context.after(super::PAUSE))
        }
    }
}

fn off(order: &RebootMigrate, before: Before, pressure: Pressure, context: &Context<'_>) -> Step<Cutover> {
    let by = match (before.life, pressure) {
        (Life::Off, _) => PowerOff::WasOff,
        (Life::On, Pressure::None) if order.left_off.is_some() => PowerOff::WasOff,
        // It ran when it was looked at, and nothing is noted as tried: an agent was killed between asking and noting it. So it went
        // off by what is asked first, and its owner must not read that he had stopped it himself.
        (Life::On, Pressure::None) if order.agent_time == Span::ZERO => PowerOff::Acpi,
        (Life::On, Pressure::None) => PowerOff::GuestAgent,
        (Life::On, Pressure::Agent { .. }) => PowerOff::GuestAgent,
        (Life::On, Pressure::Acpi { .. }) => PowerOff::Acpi,
        (Life::On, Pressure::Hard) => PowerOff::Hard,
    };
    let off = Off { before, at: context.now, by, tail: None };
    match order.replica {
        Some(_) => Cutover::Tail { off, bringing: Bringing::new(context.now) }.go(context, When::AtOnce),
        None => Cutover::Fencing { off }.go(context, When::AtOnce),
    }
}

/// Goes on to the next means when the time of this one is over. A guest that reboots instead of shutting down looks as one
/// that does not heed, and ends the same way.
fn press(order: &RebootMigrate, before: Before, pressure: Pressure, context: &Context<'_>) -> Step<Cutover> {
    let now = context.now;
    match pressure {
        Pressure::None => match context.hypervisor.signs(order.server) {
            Ok(signs) if signs.agent == GuestAgent::Connected => {
                next(order, before, Pressure::Agent { since: now }, context)
            }
            Ok(_) => next(order, before, Pressure::Acpi { since: now, pressed: now }, context),
            Err(refusal) => Cutover::PoweringOff { before, pressure }.unanswered(&refusal, context),
        },
        Pressure::Agent { since } if now < since + order.agent_time.delta() => {
            wait(before, pressure, context)
        }
        Pressure::Agent { .. } => next(order, before, Pressure::Acpi { since: now, pressed: now }, context),
        Pressure::Acpi { since, .. } if now >= since + order.acpi_time.delta() => {
            next(order, before, Pressure::Hard, context)
        }
        Pressure::Acpi { since, pressed } if now >= pressed + PRESS_AGAIN.delta() => {
            next(order, before, Pressure::Acpi { since, pressed: now }, context)
        }
        Pressure::Acpi { .. } => wait(before, pressure, context),
        Pressure::Hard => next(order, before, Pressure::Hard, context),
    }
}

fn wait(before: Before, pressure: Pressure, context: &Context<'_>) -> Step<Cutover> {
    Cutover::PoweringOff { before, pressure }.go(context, context.after(LOOK))
}

/// Uses a means. Each may be used twice, so a kill between the use and its record does no harm.
fn next(order: &RebootMigrate, before: Before, pressure: Pressure, context: &Context<'_>) -> Step<Cutover> {
    let answer = match pressure {
        Pressure::None => Ok(()),
        Pressure::Agent { .. } => context.hypervisor.shutdown(order.server, ShutdownBy::GuestAgent),
        Pressure::Acpi { .. } => context.hypervisor.shutdown(order.server, ShutdownBy::Acpi),
        Pressure::Hard => context.hypervisor.here().destroy(order.server),
    };
    if let Err(refusal) = answer {
        tracing::warn!(operation = %context.id, ?pressure, "the guest could not be asked to stop: {refusal}");
        if let Pressure::Agent { .. } = pressure {
            let pressed = context.now;
            return wait(
                before,
                Pressure::Acpi { since: pressed, pressed: pressed - PRESS_AGAIN.delta() },
                context,
            );
        }
    }
    wait(before, pressure, context)
}

/// Until when a guest that was asked to stop may still do so after nobody wants it any more.
fn settles(order: &RebootMigrate, pressure: Pressure, now: Instant) -> Instant {
    match pressure {
        Pressure::None | Pressure::Hard => now,
        Pressure::Agent { since } => since + order.agent_time.delta(),
        Pressure::Acpi { pressed, .. } => pressed + order.acpi_time.delta(),
    }
}
