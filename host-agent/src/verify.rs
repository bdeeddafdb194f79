//! Looking at a server that has arrived here, or is about to leave: the strongest sign of life within a time, then its network, its disks and its owner's
//! own checks.
//!
//! ```text
//! preparing ──▶ watching ──▶ looking ──▶ verified: alive (guest agent > console > running > off), and what else was looked at
//!                  │            │
//!                  └────────────┴──────▶ verified: not alive
//! ```
//!
//! A guest agent that is connected must answer: a weaker sign is taken only when the time is over. Where none is connected a
//! console that prints is enough at once; where there is neither, running for a second is all that can be seen.
//!
//! What is not as it should be is looked at again until its time is over: services start after the guest agent does.

use drover_agent_api::{LifeSign, OperationState, Verdict, VerifyGuest};
use drover_policies::attempt::{Phase, Progress};
use drover_policies::checks::{Look, Side};
use drover_policies::fleet::GuestAgent;
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::{Signs, State};

mod looking;

pub use looking::Looking;

/// How often it is looked at.
const LOOK: Span = Span::milliseconds(100);

/// How often in its first second: after a live migration the guest has never stopped, and its host is empty a moment sooner.
const FIRST_LOOKS: Span = Span::milliseconds(50);

/// A guest that dies at once after its start must not count as running.
const STEADY: Span = Span::seconds(1);

/// Where the look at a guest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Not looked at yet.
    Preparing,
    /// Seen once, without a sign that is strong enough.
    Watching {
        /// Since when it is watched.
        since: Instant,
        /// Since when it has been seen running without a break.
        running_since: Option<Instant>,
        /// How much its console had printed at first, in bytes.
        console_bytes: Option<u64>,
    },
    /// Seen alive, and being looked at.
    Looking(Looking),
}

impl Verify {
    pub(crate) fn step(self, order: &VerifyGuest, context: &Context<'_>) -> Step<Self> {
        let first = Self::Watching { since: context.now, running_since: None, console_bytes: None };
        let (since, running_since, console_bytes) = match self {
            Self::Preparing => match &order.look {
                Some(look) if look.side == Side::Before => return look_before(look, order, context),
                Some(_) | None => return first.go(context, When::AtOnce),
            },
            Self::Watching { since, running_since, console_bytes } => (since, running_since, console_bytes),
            Self::Looking(looking) => return looking.step(order, context),
        };
        let late = Span::between(since, context.now) >= order.within;
        let state = match context.hypervisor.here().find(order.server) {
            Ok(Some(here)) => here.state,
            Ok(None) if late => return not_alive("libvirt does not know it here"),
            Err(refusal) if late => return not_alive(format!("libvirt could not be asked: {refusal}")),
            Ok(None) | Err(_) => return first.since(since).go(context, look_again(since, context)),
        };
        match (state, running_since) {
            (State::Running, _) => {
                let watched = Watched {
                    since,
                    running_since: running_since.unwrap_or(context.now),
                    console_bytes,
                    late,
                };
                watched.judge(order, context)
            }
            (State::Off, None) => alive(LifeSign::Off, order, context),
            (State::Off, Some(_)) => not_alive("it was running and went off while it was looked at"),
            (
                State::Paused
                | State::HeldByMigration
                | State::HeldOtherwise
                | State::Arriving
                | State::Crashed,
                _,
            ) if late => not_alive(format!("it is {state}")),
            (
                State::Paused
                | State::HeldByMigration
                | State::HeldOtherwise
                | State::Arriving
                | State::Crashed,
                _,
            ) => first.since(since).go(context, look_again(since, context)),
        }
    }

    fn since(self, begun: Instant) -> Self {
        match self {
            Self::Preparing | Self::Looking(_) => self,
            Self::Watching { running_since, console_bytes, .. } => {
                Self::Watching { since: begun, running_since, console_bytes }
            }
        }
    }

    fn go(self, context: &Context<'_>, when: When) -> Step<Self> {
        let progress = Progress::of(Phase::Verifying, context.now);
        Step::Go { state: self, telling: Telling::Progress(progress), when }
    }
}

fn look_again(since: Instant, context: &Context<'_>) -> When {
    let first = Span::between(since, context.now) < Span::seconds(1);
    context.after(if first { FIRST_LOOKS } else { LOOK })
}

/// A server that is about to leave is not watched for signs of life: its move waits for this, and whether they come says nothing about the move.
fn look_before(look: &Look, order: &VerifyGuest, context: &Context<'_>) -> Step<Verify> {
    match context.hypervisor.here().find(order.server) {
        Ok(Some(here)) if here.state == State::Running => {
            Looking::before_its_move(context.now).go(look, order, context)
        }
        Ok(Some(here)) => not_alive(format!("it is {}", here.state)),
        Ok(None) => not_alive("libvirt does not know it here"),
        Err(refusal) => not_alive(format!("libvirt could not be asked: {refusal}")),
    }
}

/// Seen alive: over where nothing else is asked for.
fn alive(sign: LifeSign, order: &VerifyGuest, context: &Context<'_>) -> Step<Verify> {
    match &order.look {
        None => Step::End(OperationState::Verified { verdict: Verdict::Alive { sign, looked: None } }),
        Some(look) => Looking::new(sign, context.now).go(look, order, context),
    }
}

fn not_alive<S>(text: impl Into<String>) -> Step<S> {
    Step::End(OperationState::Verified { verdict: Verdict::NotAlive { text: text.into() } })
}

struct Watched {
    since: Instant,
    running_since: Instant,
    console_bytes: Option<u64>,
    late: bool,
}

impl Watched {
    fn judge(mut self, order: &VerifyGuest, context: &Context<'_>) -> Step<Verify> {
        let signs = match context.hypervisor.signs(order.server) {
            Ok(signs) => signs,
            Err(refusal) => {
                tracing::debug!(operation = %context.id, "signs of life could not be read: {refusal}");
                Signs { agent: GuestAgent::Absent, console_bytes: None }
            }
        };
        if signs.agent == GuestAgent::Connected && context.hypervisor.ping(order.server).is_ok() {
            return alive(LifeSign::GuestAgent, order, context);
        }
        let first = *self.console_bytes.get_or_insert(signs.console_bytes.unwrap_or(0));
        let prints = signs.console_bytes.is_some_and(|printed| printed != first);
        let steady = Span::between(self.running_since, context.now) >= STEADY;
        let wait_for_agent = signs.agent == GuestAgent::Connected && !self.late;
        let wait_for_more =
            (signs.agent != GuestAgent::Absent || signs.console_bytes.is_some()) && !self.late;
        if prints && !wait_for_agent {
            alive(LifeSign::Console, order, context)
        } else if steady && !wait_for_more {
            alive(LifeSign::Running, order, context)
        } else if self.late && Span::between(self.since, context.now) >= order.within.max(STEADY) {
            not_alive("it has only just begun to run")
        } else {
            let Self { since, running_since, console_bytes, .. } = self;
            Verify::Watching { since, running_since: Some(running_since), console_bytes }
                .go(context, look_again(since, context))
        }
    }
}
