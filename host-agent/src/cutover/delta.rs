//! The cutover's own rounds of a server with local disks: the last one while it runs, and the tail, read from its powered-off disks.

use drover_agent_api::{CutoverReplica, RebootMigrate};
use drover_policies::attempt::{Failure, FailureClass, Outcome, Phase, Progress, Tail};
use drover_policies::replica::{Round, RoundFigures};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use super::{
    Before, Cutover, Due, Landed, Life, Off, PAUSE, Pressure, abort_wished, alive_again, due, find_elsewhere,
    life_of,
};
use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::replication::{Limits, ReadFrom, RoundOrder, RoundStatus};
use crate::hypervisor::{Refusal, RefusalKind, State};

/// How often a round is looked at; its end wakes the agent.
const LOOK: Span = Span::milliseconds(250);

/// A round that fails is done again, until so many have failed.
const TRIES: u32 = 3;

/// A round on its way, with the tries before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bringing {
    /// Since when, all tries together.
    since: Instant,
    /// Tries that have failed.
    failed: u32,
    /// Whether one was begun.
    round: Begun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Begun {
    No,
    Yes,
}

impl Bringing {
    /// Nothing done yet.
    pub(crate) fn new(since: Instant) -> Self {
        Self { since, failed: 0, round: Begun::No }
    }
}

/// What has become of a round.
enum Brought {
    Landed(Round),
    Goes { bringing: Bringing, figures: Option<RoundFigures>, when: When },
    Failed(Failure),
}

/// What a round is done for.
struct Task<'a> {
    order: &'a RebootMigrate,
    replica: &'a CutoverReplica,
    from: ReadFrom,
    within: Span,
}

impl Task<'_> {
    fn bring(&self, bringing: Bringing, context: &Context<'_>) -> Brought {
        let took = Span::between(bringing.since, context.now);
        if took > self.within {
            end_round(self.order, context);
            let text = format!("the last data was not brought over within {}", self.within);
            return Brought::Failed(Failure { class: FailureClass::LostOnTheWay, text });
        }
        match bringing.round {
            Begun::No => self.begin(bringing, context),
            Begun::Yes => self.look(bringing, context),
        }
    }

    fn begin(&self, bringing: Bringing, context: &Context<'_>) -> Brought {
        let round = RoundOrder {
            operation: context.id,
            replica: self.replica.replica,
            server: self.order.server,
            peer: self.replica.peer.clone(),
            disks: self.replica.disks.clone(),
            // Neither is held back: the server's window is short, and a server that is off does nothing.
            limits: Limits { bandwidth: self.replica.bandwidth, guest_percent: None },
            from: self.from,
            goes_first: true,
        };
        match context.hypervisor.replication().start_round(&round) {
            Ok(()) => self.look(Bringing { round: Begun::Yes, ..bringing }, context),
            // The replica's own round runs. It brings over a part of what this one would, so it is not cut.
            Err(Refusal { kind: RefusalKind::Failed(FailureClass::Busy), .. }) => {
                Brought::Goes { bringing, figures: None, when: context.after(LOOK) }
            }
            Err(refusal) => failed(bringing, &refusal, context),
        }
    }

    fn look(&self, bringing: Bringing, context: &Context<'_>) -> Brought {
        let goes = |bringing, figures, when| Brought::Goes { bringing, figures, when };
        match context.hypervisor.replication().round(self.order.server, context.id) {
            Ok(RoundStatus::Running(figures)) => goes(bringing, Some(figures), context.after(LOOK)),
            Ok(RoundStatus::Returned(Ok(round))) => Brought::Landed(round),
            Ok(RoundStatus::Returned(Err(refusal))) => failed(bringing, &refusal, context),
            // It ended with the agent that had begun it.
            Ok(RoundStatus::None) => goes(Bringing { round: Begun::No, ..bringing }, None, When::AtOnce),
            Err(refusal) => {
                tracing::warn!(operation = %context.id, "how the round stands is not known: {refusal}");
                goes(bringing, None, context.after(PAUSE))
            }
        }
    }
}

fn failed(bringing: Bringing, refusal: &Refusal, context: &Context<'_>) -> Brought {
    let failed = bringing.failed + 1;
    tracing::warn!(operation = %context.id, failed, "the last data was not brought over: {refusal}");
    let failure = refusal.at_destination();
    // What only a power-off mends is not tried again before.
    if failed >= TRIES || failure.class == FailureClass::NeedsPowerCycle {
        return Brought::Failed(failure);
    }
    let bringing = Bringing { failed, round: Begun::No, ..bringing };
    Brought::Goes { bringing, figures: None, when: context.after(PAUSE) }
}

/// Nobody waits for it any more. One that can't be ended now ends by itself, and lands whole or not at all.
fn end_round(order: &RebootMigrate, context: &Context<'_>) {
    if let Err(refusal) = context.hypervisor.replication().abort_round(order.server) {
        tracing::warn!(operation = %context.id, "the round could not be ended: {refusal}");
    }
}

fn go(state: Cutover, figures: Option<RoundFigures>, context: &Context<'_>, when: When) -> Step<Cutover> {
    let mut progress = Progress::of(state.phase(), context.now);
    if let Some(figures) = figures {
        progress.total_bytes = figures.total_bytes();
        progress.sent_bytes = figures.done_bytes();
        progress.remaining_bytes = progress.total_bytes.saturating_sub(progress.sent_bytes);
        progress.rate = figures.rate;
    }
    Step::Go { state, telling: Telling::Progress(progress), when }
}

/// The phase that is over tells its last figures.
fn landed(next: Cutover, over: Phase, sent_bytes: u64, context: &Context<'_>) -> Step<Cutover> {
    let progress = Progress { total_bytes: sent_bytes, sent_bytes, ..Progress::of(over, context.now) };
    Step::Go { state: next, telling: Telling::Progress(progress), when: When::AtOnce }
}

/// The last round while the server runs, so that little is left for the downtime. Nothing has been touched yet: whatever goes wrong here,
/// the server stays as it is.
pub(super) fn final_delta(
    order: &RebootMigrate,
    replica: &CutoverReplica,
    (before, bringing): (Before, Bringing),
    context: &Context<'_>,
) -> Step<Cutover> {
    let state = Cutover::FinalDelta { before, bringing };
    if let Some(failure) = abort_wished(context.wish) {
        return give_up(order, failure, context);
    }
    let here = match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) => here,
        Ok(None) => return find_elsewhere(order, context),
        Err(refusal) => return state.unanswered(&refusal, context),
    };
    let life = match life_of(order, &here) {
        Ok(life) => life,
        Err(failure) => return give_up(order, failure, context),
    };
    match due(order, context) {
        Due::Now => {}
        // An agent that has been restarted and has not heard of the time since.
        Due::Later(_) => return Cutover::Armed.go(context, When::AtOnce),
        Due::Over(text) => return give_up(order, Failure { class: FailureClass::NotBegun, text }, context),
    }
    let power_off = Cutover::PoweringOff { before: Before { life, ..before }, pressure: Pressure::None };
    // Its owner has stopped it: all that is left is read from the disks.
    if life == Life::Off {
        end_round(order, context);
        return power_off.go(context, When::AtOnce);
    }
    let task = Task { order, replica, from: ReadFrom::Running, within: replica.final_delta_within };
    match task.bring(bringing, context) {
        Brought::Landed(round) => landed(power_off, Phase::FinalDelta, round.sent_bytes, context),
        Brought::Goes { bringing, figures, when } => {
            go(Cutover::FinalDelta { before, bringing }, figures, context, when)
        }
        // It is about to be off: then all is read that no round could bring over.
        Brought::Failed(Failure { class: FailureClass::NeedsPowerCycle, text }) => {
            tracing::warn!(operation = %context.id, "all that was written since the last round is left to the time when it is off: {text}");
            power_off.go(context, When::AtOnce)
        }
        Brought::Failed(failure) => give_up(order, failure, context),
    }
}

fn give_up(order: &RebootMigrate, failure: Failure, context: &Context<'_>) -> Step<Cutover> {
    end_round(order, context);
    Step::ended(Outcome::stayed(failure))
}

/// What is left, read from the powered-off disks: the time of this round is downtime.
pub(super) fn tail(
    order: &RebootMigrate,
    replica: &CutoverReplica,
    (off, bringing): (Off, Bringing),
    context: &Context<'_>,
) -> Step<Cutover> {
    let here = match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) => here,
        // Deleted by its owner: of what this operation retained nothing is there yet.
        Ok(None) => {
            end_round(order, context);
            return Step::ended(Outcome::Gone);
        }
        Err(refusal) => return Cutover::Tail { off, bringing }.unanswered(&refusal, context),
    };
    if let Some(failure) = abort_wished(context.wish) {
        end_round(order, context);
        return Cutover::restoring(off.before, context.now, failure, context);
    }
    if here.state != State::Off {
        end_round(order, context);
        return alive_again(off.before, &here, context);
    }
    let task = Task { order, replica, from: ReadFrom::PoweredOff, within: replica.tail_within };
    match task.bring(bringing, context) {
        Brought::Landed(round) => {
            let cost = Tail { sent_bytes: round.sent_bytes, took: Span::between(off.at, context.now) };
            // Not when it was noticed: until the fence, somebody may start the server and stop it again.
            let at = context.now.min(round.consistent_at + round.took.delta());
            let off = Off { tail: Some(Landed { at, cost }), ..off };
            landed(Cutover::Fencing { off }, Phase::PowerOffSource, round.sent_bytes, context)
        }
        Brought::Goes { bringing, figures, when } => {
            go(Cutover::Tail { off, bringing }, figures, context, when)
        }
        Brought::Failed(failure) => Cutover::restoring(off.before, context.now, failure, context),
    }
}
