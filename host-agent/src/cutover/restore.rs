//! Bringing the server back at its source, as it was found.

use drover_agent_api::{IfFailed, RebootMigrate};
use drover_policies::attempt::{Failure, FailureClass, LeftOff, Outcome};
use drover_policies::fleet::Autostart;
use drover_policies::time::{Instant, Span};

use super::fence::retained;
use super::target::own_definition;
use super::{Before, Cutover, Life};
use crate::driver::{Context, Step, When};
use crate::hypervisor::replication::Touched;
use crate::hypervisor::{Answer, Refusal, RefusalKind, Sighting, State};

/// How often a guest is looked at that may still shut down.
const LOOK: Span = Span::milliseconds(500);

pub(super) struct Restoring {
    pub(super) before: Before,
    pub(super) since: Instant,
    pub(super) settles: Instant,
    pub(super) failure: Failure,
    pub(super) placed: Option<Touched>,
}

impl Restoring {
    fn state(self) -> Cutover {
        let Self { before, since, settles, failure, placed } = self;
        Cutover::Restoring { before, since, settles, failure, placed }
    }
}

/// Never gives up: a server that could not be brought back yet is shown as rolling back, with the reason in the log.
pub(super) fn step(order: &RebootMigrate, restoring: Restoring, context: &Context<'_>) -> Step<Cutover> {
    match bring_back(order, &restoring, context) {
        Ok(Next::Look) => restoring.state().go(context, When::AtOnce),
        Ok(Next::Settle) => restoring.state().go(context, context.after(LOOK)),
        Ok(Next::Done(left_off)) => {
            // libvirt has the definition again. A file that can't be removed is no reason to keep anybody waiting: the next try writes over it.
            if let Err(error) = context.ledger.discard_of(order.server, context.id) {
                tracing::warn!(operation = %context.id, server = %order.server,
                    "the server is back at its source, but its retained definition can't be thrown away: {error}");
            }
            let outcome = Outcome::StayedAtSource { failure: restoring.failure, left_off };
            ended(restoring.placed, outcome, context)
        }
        Ok(Next::Gone) => ended(restoring.placed, Outcome::Gone, context),
        Err(text) => {
            tracing::error!(operation = %context.id, server = %order.server,
                "the server is not back at its source yet, trying again: {text}");
            let since = restoring.since;
            restoring.state().go(context, context.again(since))
        }
    }
}

fn ended(placed: Option<Touched>, outcome: Outcome, context: &Context<'_>) -> Step<Cutover> {
    match placed {
        Some(touched) => {
            Cutover::TakingOut { since: context.now, touched, outcome }.go(context, When::AtOnce)
        }
        None => Step::ended(outcome),
    }
}

enum Next {
    Look,
    Settle,
    Done(Option<LeftOff>),
    Gone,
}

fn bring_back(order: &RebootMigrate, restoring: &Restoring, context: &Context<'_>) -> Result<Next, String> {
    let source = context.hypervisor.here();
    let Some(here) = told(source.find(order.server))? else {
        return redefine(order, context);
    };
    let Before { life, autostart } = restoring.before;
    let stays_off = life == Life::On && stays_off(order, &restoring.failure);
    if stays_off && here.state == State::Off {
        return Ok(Next::Done(Some(LeftOff { autostart })));
    }
    // One that is still on its way down will be looked at again.
    let going_down = here.state == State::HeldOtherwise && context.now < restoring.settles;
    if autostart == Autostart::Yes && here.autostart == Autostart::No && !(stays_off && going_down) {
        told(source.set_autostart(order.server, Autostart::Yes))?;
    }
    match (here.state, life) {
        (State::Off, Life::On) => match source.start(order.server) {
            Ok(()) => Ok(Next::Settle),
            Err(Refusal { kind: RefusalKind::Failed(FailureClass::NeedsPowerCycle), text }) => {
                tracing::warn!(operation = %context.id, server = %order.server, "its definition is taken away and given back, as libvirt holds it: {text}");
                let_go(order, restoring, &here, context)
            }
            Err(refusal) => Err(refusal.text),
        },
        (State::Running, Life::On) if context.now < restoring.settles => Ok(Next::Settle),
        // Still on its way down; it is started again when it is off.
        (State::HeldOtherwise, Life::On) if going_down => Ok(Next::Settle),
        (
            State::Running
            | State::Paused
            | State::Off
            | State::HeldOtherwise
            | State::HeldByMigration
            | State::Arriving
            | State::Crashed,
            _,
        ) => Ok(Next::Done(None)),
    }
}

/// libvirt may hold a server that is off for a job that it knows nothing of any more, and lets go of it with its definition. That is
/// retained first, as for the fence; it is given back like after one.
fn let_go(
    order: &RebootMigrate,
    restoring: &Restoring,
    here: &Sighting,
    context: &Context<'_>,
) -> Result<Next, String> {
    let definition = told(context.hypervisor.definition(order.server))?;
    let kept = retained(order, restoring.before, here, definition, context);
    context.ledger.retain(&kept).map_err(|error| error.to_string())?;
    told(context.hypervisor.here().undefine(order.server))?;
    Ok(Next::Look)
}

/// Policy may leave it off. Who asked for an end wants it to run.
fn stays_off(order: &RebootMigrate, failure: &Failure) -> bool {
    order.if_failed == IfFailed::LeaveOff && failure.class != FailureClass::Aborted
}

/// libvirt does not know it any more: by our own fence, or because its owner deleted it while it was being powered off.
fn redefine(order: &RebootMigrate, context: &Context<'_>) -> Result<Next, String> {
    let kept = context.ledger.retained(order.server).map_err(|error| error.to_string())?;
    if kept.is_none_or(|kept| kept.operation != context.id) {
        return Ok(Next::Gone);
    }
    let retained = own_definition(order, context)?;
    told(context.hypervisor.here().define(&retained.definition))?;
    Ok(Next::Look)
}

fn told<T>(answer: Answer<T>) -> Result<T, String> {
    answer.map_err(|refusal| refusal.text)
}
