//! Keeping a replica of a server's local disks up to date at another host, round by round, until told to stop.
//!
//! ```text
//! initiating ─▶ resting ─▶ round ─▶ resting …        told to stop, or the server has left:
//!      ▲           │         │                          (a round is ended) ─▶ forget ─▶ ended: stopped
//!      │           ▼         ▼
//!      └──────── stalled ◀───┘  (tried for ever, less and less often)
//! ```
//!
//! What must hold, whatever is killed whenever:
//! - Both ends know what has landed, and a round finds out by itself what it has to be. So nothing here is needed to go on; what the
//!   ledger has are figures for people and which of the rounds that somebody asked for have been done.
//! - While the server is being cut over the rounds are the cutover's: none is begun here.
//! - A round that runs is never cut to obey a pause. It would have to be done again as a whole, so what it has sent would be lost; who
//!   needs the network back now lowers the bandwidth, which a running round takes up at once.

use std::collections::VecDeque;

use chrono::TimeDelta;
use drover_agent_api::{OperationState, Replicate, Wish};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::replica::{
    Activity, DiskBacklog, Going, ImageFormat, Pace, RECENT_ROUNDS, ReplicaStatus, Round, RoundFigures,
    RoundKind, Shown,
};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Beside, Context, Step, Telling, When};
use crate::hypervisor::replication::{Held, Limits, ReadFrom, RoundOrder, RoundStatus, Touched};
use crate::hypervisor::{Refusal, RefusalKind, Sighting, State};

mod hold;
mod renew;

pub use hold::{hold, release};
use renew::Known;

/// How often a running round is looked at; its end wakes the agent.
const LOOK: Span = Span::seconds(1);

/// How often a rest is looked at: whether the server is still here, and what it has written.
const REST_LOOK: Span = Span::seconds(30);

/// After so long a round has told how fast it is.
const TELLING: Span = Span::seconds(10);

/// How long a daemon that did not answer is left alone.
const PAUSE: Span = Span::seconds(1);

/// A replica that is kept up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// What is being done.
    doing: Doing,
    /// [`Pace::sync_now`] when the last round was begun.
    asked: u64,
    /// When the last round was begun.
    began_at: Option<Instant>,
    /// Since when rounds have failed.
    failing_since: Option<Instant>,
    /// Rounds that have landed.
    landed: u64,
    /// The last one that landed while this was kept up to date.
    last: Option<Round>,
    /// What the guest has written since, when that was last asked.
    backlog: Vec<DiskBacklog>,
    /// What the guest writes, in bytes per second.
    dirty_rate: u64,
    /// What the last rounds have shown, latest last.
    #[serde(default)]
    recent: VecDeque<Shown>,
    /// The size of the disks that are compared in every round.
    #[serde(default)]
    compared_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doing {
    /// Both ends are looked at.
    Initiating,
    /// This operation has begun a round, with these limits.
    Round(Limits),
    /// One has just landed; the ledger has that once.
    Landed,
    /// Nothing, until the next round is due.
    Resting,
    /// The last round failed.
    Stalled { failure: Failure, next_at: Instant },
}

impl Warm {
    /// Nothing done yet. What the order's pace asks for is the first round.
    #[must_use]
    pub fn new(order: &Replicate) -> Self {
        Self {
            doing: Doing::Initiating,
            asked: order.pace.sync_now,
            began_at: None,
            failing_since: None,
            landed: 0,
            last: None,
            backlog: Vec::new(),
            dirty_rate: 0,
            recent: VecDeque::new(),
            compared_bytes: compared(order),
        }
    }

    /// As an agent that has just been started takes it up: a round that ran has ended with the agent before.
    #[must_use]
    pub(crate) fn after_restart(self) -> Self {
        if self.waits_for_power_cycle() { self } else { Self { doing: Doing::Initiating, ..self } }
    }

    /// Whether the ledger is to have it: after each round, for the sake of what people are shown; and what can't be seen any more of a
    /// server that is off.
    #[must_use]
    pub(crate) fn must_be_kept(&self) -> bool {
        self.doing == Doing::Landed || self.waits_for_power_cycle()
    }

    /// Whether it has nothing to tell again and again.
    #[must_use]
    pub(crate) fn is_at_rest(&self) -> bool {
        match self.doing {
            Doing::Round(_) => false,
            Doing::Initiating | Doing::Landed | Doing::Resting | Doing::Stalled { .. } => true,
        }
    }

    /// What is told of it before a step has anything better to tell.
    #[must_use]
    pub(crate) fn status(&self, now: Instant) -> ReplicaStatus {
        ReplicaStatus {
            at: now,
            activity: self.activity(now),
            rounds: self.landed,
            last: self.last.clone(),
            backlog: self.backlog.clone(),
            dirty_rate: self.dirty_rate,
            recent: self.recent.iter().copied().collect(),
            compared_bytes: self.compared_bytes,
        }
    }

    fn activity(&self, now: Instant) -> Activity {
        match &self.doing {
            Doing::Initiating | Doing::Round(_) => Activity::Initiating,
            Doing::Landed | Doing::Resting => Activity::Resting { next_at: now },
            Doing::Stalled { failure, next_at } => Activity::Stalled {
                failure: failure.clone(),
                since: self.failing_since.unwrap_or(now),
                next_at: *next_at,
            },
        }
    }

    pub(crate) fn step(self, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        let stops = matches!((context.beside, context.wish), (Beside::Nothing, Wish::Abort { .. }));
        match (&self.doing, context.beside) {
            (Doing::Round(applied), _) => {
                let applied = *applied;
                self.in_round(applied, stops, order, context)
            }
            // What the cutover's rounds have brought over is asked for when it has ended.
            (
                Doing::Initiating | Doing::Landed | Doing::Resting | Doing::Stalled { .. },
                Beside::CuttingOver,
            ) => Self { doing: Doing::Initiating, ..self }.tell(
                Activity::CuttingOver,
                context,
                context.after(REST_LOOK),
            ),
            (Doing::Initiating | Doing::Landed | Doing::Resting | Doing::Stalled { .. }, Beside::Nothing) => {
                if stops {
                    self.stop(order, context)
                } else {
                    self.idle(order, context)
                }
            }
        }
    }

    /// The server is looked at first: it may have been deleted, moved or switched off since.
    fn idle(self, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        let here = match context.hypervisor.here().find(order.server) {
            Ok(Some(here)) => here,
            // Deleted by its owner, or it has left by the cutover that stood beside.
            Ok(None) => return self.stop(order, context),
            Err(refusal) => return self.unanswered(&refusal, context),
        };
        let state = here.state;
        if self.waits_for_power_cycle() {
            if state == State::Off {
                return self.let_go(&here, order, context);
            }
            if let Err(text) = renew::forget(order, context) {
                tracing::warn!(operation = %context.id, "the ledger's definition of it is left: {text}");
            }
        }
        let pace = pace(order, context.wish);
        if pace.going == Going::Paused {
            return self.paused(order, context);
        }
        if self.doing == Doing::Initiating {
            return self.initiate(state, order, context);
        }
        let due = self.due(&pace, order, context);
        if due > context.now {
            return self.rest(due, order, context);
        }
        match (&self.doing, from(state)) {
            // Something is wrong between the two ends: both are looked at anew.
            (Doing::Stalled { .. }, _) => self.initiate(state, order, context),
            (Doing::Initiating | Doing::Round(_) | Doing::Landed | Doing::Resting, Some(from)) => {
                self.begin(from, &pace, order, context)
            }
            (Doing::Initiating | Doing::Round(_) | Doing::Landed | Doing::Resting, None) => {
                let text = format!("the server is {state}: its disks can't be read now");
                self.stalled(Failure { class: FailureClass::Busy, text }, context)
            }
        }
    }

    fn waits_for_power_cycle(&self) -> bool {
        matches!(&self.doing, Doing::Stalled { failure, .. } if failure.class == FailureClass::NeedsPowerCycle)
    }

    /// It is off at last: rounds go on once libvirt does not hold it any more.
    fn let_go(self, here: &Sighting, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        match renew::let_go(order, here, context) {
            Ok(()) => {
                tracing::info!(operation = %context.id, "libvirt holds the server no longer; its rounds go on");
                Self { doing: Doing::Initiating, ..self }.tell_anew(context)
            }
            Err(text) => self.stalled(Failure { class: FailureClass::NeedsPowerCycle, text }, context),
        }
    }

    /// Asks the destination what it has.
    fn initiate(self, state: State, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        let replication = context.hypervisor.replication();
        let host = &order.peer.host;
        let failure = match replication.held(order.replica, &order.peer) {
            Ok(Held::Rounds { landed }) => {
                let state = Self { doing: Doing::Resting, landed, ..self };
                return state.tell(Activity::Initiating, context, When::AtOnce);
            }
            Ok(Held::Nothing) => {
                let text = format!("{host} does not hold this replica");
                Failure { class: FailureClass::RefusedByDestination, text }
            }
            // Left by a cutover that was taken back while the destination was silent. The server runs here, so nothing runs from them
            // there.
            Ok(Held::InPlace) if matches!(state, State::Running | State::Paused) => {
                match replication.take_out(order.replica, &order.peer, Touched::Perhaps) {
                    Ok(()) => {
                        let state = Self { doing: Doing::Initiating, ..self };
                        return state.tell(Activity::Initiating, context, When::AtOnce);
                    }
                    Err(refusal) => refusal.at_destination(),
                }
            }
            Ok(Held::InPlace) => {
                let text = format!("its images are in their place at {host}, and the server is {state} here");
                Failure { class: FailureClass::Busy, text }
            }
            Err(refusal) => refusal.at_destination(),
        };
        self.stalled(failure, context)
    }

    /// When the next round is to be begun.
    fn due(&self, pace: &Pace, order: &Replicate, context: &Context<'_>) -> Instant {
        let interval = pace.interval(scheduler_now(context)).delta();
        if pace.sync_now > self.asked {
            return context.now;
        }
        let due = match (&self.doing, self.began_at) {
            (Doing::Stalled { next_at, .. }, _) => *next_at,
            // The first copy is of no use without the round after it, and one that failed is not left to the rhythm.
            (_, Some(began_at)) if self.landed > 1 && self.failing_since.is_none() => began_at + interval,
            (Doing::Initiating | Doing::Round(_) | Doing::Landed | Doing::Resting, _) => context.now,
        };
        // A clock that was set back must not hold it up.
        due.min(context.now + interval).max(self.quiet_until(pace, order, context))
    }

    /// Until when the guest is left alone for what rounds have taken from it; now, where that would make the replica late.
    fn quiet_until(&self, pace: &Pace, order: &Replicate, context: &Context<'_>) -> Instant {
        let until =
            context.now + context.hypervisor.replication().quiet_for(order.replica, order.server).delta();
        // A round that failed is tried again as soon as it may be.
        if self.failing_since.is_some() {
            return context.now;
        }
        let took = self.last.as_ref().map_or(Span::ZERO, |round| round.took).delta();
        // A round like the last one, and the one after it.
        let is_late = pace
            .opens_at
            .is_some_and(|opens_at| scheduler_now(context) + (until - context.now) + took + took >= opens_at);
        let waits = !is_late && limits_at_first(pace, context).guest_percent.is_some();
        if waits { until } else { context.now }
    }

    fn begin(self, from: ReadFrom, pace: &Pace, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        let round = RoundOrder {
            operation: context.id,
            replica: order.replica,
            server: order.server,
            peer: order.peer.clone(),
            disks: order.disks.clone(),
            limits: limits_at_first(pace, context),
            from,
            goes_first: false,
        };
        let begun = Self { asked: pace.sync_now, began_at: Some(context.now), ..self };
        match context.hypervisor.replication().start_round(&round) {
            Ok(()) => Self { doing: Doing::Round(round.limits), ..begun }.in_round(
                round.limits,
                false,
                order,
                context,
            ),
            Err(refusal) => begun.stalled(refusal.at_source(), context),
        }
    }

    fn in_round(self, applied: Limits, stops: bool, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        match context.hypervisor.replication().round(order.server, context.id) {
            Ok(RoundStatus::Running(figures)) => {
                let wished = limits(applied, &figures, &pace(order, context.wish), context);
                let limits = steer(applied, wished, stops, order, context);
                let state = Self { doing: Doing::Round(limits), ..self };
                state.tell(Activity::Round(figures), context, context.after(LOOK))
            }
            Ok(RoundStatus::Returned(Ok(round))) => self.landed(round, order).tell_anew(context),
            Ok(RoundStatus::Returned(Err(refusal))) => self.stalled(refusal.at_source(), context),
            Ok(RoundStatus::None) => Self { doing: Doing::Initiating, ..self }.tell_anew(context),
            Err(refusal) => self.unanswered(&refusal, context),
        }
    }

    fn landed(self, round: Round, order: &Replicate) -> Self {
        let compared_bytes = compared(order);
        // A comparison finds what was written since the round before only where that one has landed whole, as it has unless bitmaps were lost.
        let tells = match round.kind {
            RoundKind::Incremental => true,
            RoundKind::Rescan => compared_bytes > 0,
            RoundKind::Initial | RoundKind::Tail => false,
        };
        let before = self.last.as_ref().filter(|_| tells);
        let shown = before.and_then(|before| Shown::by(&round, before));
        let mut recent = self.recent;
        recent.extend(shown);
        recent.drain(..recent.len().saturating_sub(RECENT_ROUNDS));
        // The one before counts as much as all before that: a rate that is calm, and follows within a few rounds.
        let dirty_rate = match (shown.map(|shown| shown.dirty_rate), self.dirty_rate) {
            (None, known) => known,
            (Some(measured), 0) => measured,
            (Some(measured), known) => measured.midpoint(known),
        };
        Self {
            doing: Doing::Landed,
            landed: round.number,
            last: Some(round),
            backlog: Vec::new(),
            failing_since: None,
            dirty_rate,
            recent,
            compared_bytes,
            ..self
        }
    }

    fn paused(mut self, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        self.read_backlog(order, context);
        Self { doing: Doing::Initiating, ..self }.tell(Activity::Paused, context, context.after(REST_LOOK))
    }

    fn rest(mut self, due: Instant, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        self.read_backlog(order, context);
        let activity = match &self.doing {
            Doing::Stalled { .. } => self.activity(context.now),
            Doing::Initiating | Doing::Round(_) | Doing::Landed | Doing::Resting => {
                self.doing = Doing::Resting;
                Activity::Resting { next_at: due }
            }
        };
        let look = context.now + REST_LOOK.delta();
        self.tell(activity, context, When::At(due.min(look)))
    }

    fn read_backlog(&mut self, order: &Replicate, context: &Context<'_>) {
        if self.landed == 0 {
            return;
        }
        match context.hypervisor.replication().backlog(order.replica, order.server, &order.disks) {
            Ok(backlog) => self.backlog = backlog,
            Err(refusal) => {
                tracing::debug!(operation = %context.id, "what the server has written since is not known: {refusal}")
            }
        }
    }

    /// Tried again for ever, less and less often: neither a link that is down for a day nor a full disk ends a replica.
    fn stalled(self, failure: Failure, context: &Context<'_>) -> Step<Self> {
        // Nothing but a power cycle helps then, and libvirt tells of most of them: it is tried only in case that one was missed.
        let needs_power_cycle = failure.class == FailureClass::NeedsPowerCycle;
        let (soonest, latest) = if needs_power_cycle {
            (TimeDelta::minutes(1), TimeDelta::minutes(10))
        } else {
            (TimeDelta::seconds(1), TimeDelta::minutes(1))
        };
        let since = self.failing_since.unwrap_or(context.now);
        let next_at = context.now + ((context.now - since) / 4).clamp(soonest, latest);
        tracing::warn!(operation = %context.id, "the replica is not brought up to date: {failure}");
        let doing = Doing::Stalled { failure, next_at };
        let state = Self { doing, failing_since: Some(since), ..self };
        let activity = state.activity(context.now);
        state.tell(activity, context, When::At(next_at))
    }

    /// Nothing of it stays here. The destination is told by its own order.
    fn stop(self, order: &Replicate, context: &Context<'_>) -> Step<Self> {
        match renew::give_back(order, context) {
            // An agent that was killed in between has taken it away.
            Ok(Known::Yes) => return Self { doing: Doing::Initiating, ..self }.tell_anew(context),
            Ok(Known::No) => {}
            Err(text) => return self.stalled(Failure { class: FailureClass::Busy, text }, context),
        }
        match context.hypervisor.replication().forget(order.replica, order.server) {
            // With the server its checkpoints have gone.
            Ok(()) | Err(Refusal { kind: RefusalKind::NoServer, .. }) => Step::End(OperationState::Stopped),
            Err(refusal) => self.stalled(refusal.at_source(), context),
        }
    }

    fn unanswered(self, refusal: &Refusal, context: &Context<'_>) -> Step<Self> {
        tracing::warn!(operation = %context.id, "libvirt does not answer: {refusal}");
        let activity = self.activity(context.now);
        self.tell(activity, context, context.after(PAUSE))
    }

    fn tell_anew(self, context: &Context<'_>) -> Step<Self> {
        let activity = self.activity(context.now);
        self.tell(activity, context, When::AtOnce)
    }

    fn tell(self, activity: Activity, context: &Context<'_>, when: When) -> Step<Self> {
        let status = ReplicaStatus { activity, ..self.status(context.now) };
        Step::Go { state: self, telling: Telling::Replica(status), when }
    }
}

/// The limits that a round is begun with.
fn limits_at_first(pace: &Pace, context: &Context<'_>) -> Limits {
    let is_open = pace.opens_at.is_some_and(|opens_at| opens_at <= scheduler_now(context));
    Limits { bandwidth: pace.bandwidth, guest_percent: pace.guest_percent.filter(|_| !is_open) }
}

/// The limits that a running round is to have now. Once it has been in a hurry it is not held back any more: what it was late by has
/// not been made up for.
fn limits(applied: Limits, figures: &RoundFigures, pace: &Pace, context: &Context<'_>) -> Limits {
    let hurries = applied.guest_percent.is_none()
        // The cutover waits for it.
        || context.beside == Beside::CuttingOver
        || would_be_late(figures, pace, context);
    Limits { bandwidth: pace.bandwidth, guest_percent: pace.guest_percent.filter(|_| !hurries) }
}

/// Whether a round that goes on as it has gone so far would leave no time before the server's window for a second one like it, with
/// which the replica is ready.
fn would_be_late(figures: &RoundFigures, pace: &Pace, context: &Context<'_>) -> bool {
    let Some(opens_at) = pace.opens_at else { return false };
    let now = scheduler_now(context);
    let took = context.now - figures.began_at;
    let (total, done) = (figures.total_bytes(), figures.done_bytes());
    let rest = if took < TELLING.delta() || done >= total {
        TimeDelta::zero()
    } else {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let times = (total - done) as f64 / done.max(1) as f64;
        took_times(took, times)
    };
    now + rest + rest >= opens_at
}

/// No longer than a year, so that nothing overflows.
fn took_times(took: TimeDelta, times: f64) -> TimeDelta {
    const LONGEST: TimeDelta = TimeDelta::days(365);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    let milliseconds = (took.num_milliseconds() as f64 * times).min(LONGEST.num_milliseconds() as f64) as i64;
    TimeDelta::milliseconds(milliseconds)
}

/// A window is meant by the scheduler's clock.
fn scheduler_now(context: &Context<'_>) -> Instant {
    context.scheduler_now.unwrap_or(context.now)
}

/// Ends a running round that nobody wants any more, or gives it the limits that are wished now. Gives those that it has.
fn steer(applied: Limits, wished: Limits, stops: bool, order: &Replicate, context: &Context<'_>) -> Limits {
    let replication = context.hypervisor.replication();
    let (answer, applied) = if stops {
        (replication.abort_round(order.server), applied)
    } else if wished == applied {
        (Ok(()), applied)
    } else {
        let answer = replication.limit_round(order.server, wished);
        let applied = if answer.is_ok() { wished } else { applied };
        (answer, applied)
    };
    if let Err(refusal) = answer {
        tracing::info!(operation = %context.id, "the running round did not take up {:?}: {refusal}", context.wish);
    }
    applied
}

fn pace(order: &Replicate, wish: Wish) -> Pace {
    match wish {
        Wish::Pace(pace) => pace,
        Wish::Run | Wish::Tuned(_) | Wish::AtOnce | Wish::Abort { .. } => order.pace,
    }
}

/// Of what a round can read the disks in this state.
fn from(state: State) -> Option<ReadFrom> {
    match state {
        State::Running | State::Paused => Some(ReadFrom::Running),
        State::Off => Some(ReadFrom::PoweredOff),
        State::HeldByMigration | State::HeldOtherwise | State::Arriving | State::Crashed => None,
    }
}

/// The size of the disks that no bitmap is kept of.
fn compared(order: &Replicate) -> u64 {
    let raw = order.disks.iter().filter(|disk| disk.format == ImageFormat::Raw);
    raw.map(|disk| disk.virtual_bytes).sum()
}
