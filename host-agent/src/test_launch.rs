//! A test launch at the destination: the server as the last round shows it, booted beside the replication, and gone without a trace.
//!
//! ```text
//! cleaning up ─▶ freezing ─▶ launching ─▶ checking ─▶ running
//!      └────────────┴────────────┴───────────┴──────────┴─▶ ending ─▶ ended: tested
//!                       told to stop, its time is over, it went off, it failed
//! ```
//!
//! What must hold, whatever is killed whenever:
//! - What a test has made is in the replica's record before it is used, and is deleted by [`Replication::end_test`] whoever made it. So a
//!   test that was cut off is ended by the next one, and by whatever lets go of the replica.
//! - The guest starts from layers of its own. The replica's images are read by it and written by nobody while it runs; rounds go into
//!   layers beside, and are joined with the images when it has ended.
//!
//! [`Replication::end_test`]: crate::hypervisor::replication::Replication::end_test

use drover_agent_api::{LifeSign, OperationState, TestLaunch, Verdict, VerifyGuest, Wish};
use drover_policies::attempt::FailureClass;
use drover_policies::replica::{EndOfTest, Point, Seen, TestStatus, TestStep};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::replication::{Launched, TestOf};
use crate::hypervisor::{Refusal, RefusalKind, State};
use crate::verify::Verify;

/// How often a guest that runs is looked at; its end wakes the agent.
const LOOK: Span = Span::seconds(5);

/// How long a daemon that does not answer may hold a launch up.
const SILENCE: Span = Span::seconds(60);

/// A test launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Testing {
    doing: Doing,
    /// Since when that is done.
    since: Instant,
    /// What it starts from.
    point: Option<Point>,
    guest: Option<Guest>,
    seen: Option<Seen>,
}

/// The test guest, since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guest {
    name: String,
    console: Option<String>,
    until: Instant,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doing {
    CleaningUp,
    Freezing,
    Launching,
    Checking(Verify),
    Running,
    Ending(EndOfTest),
}

impl Testing {
    pub(crate) fn new() -> Self {
        // The first step sets the time.
        Self { doing: Doing::CleaningUp, since: Instant::default(), point: None, guest: None, seen: None }
    }

    pub(crate) fn status(&self, now: Instant) -> TestStatus {
        let step = match &self.doing {
            Doing::CleaningUp => TestStep::CleaningUp,
            Doing::Freezing => TestStep::Freezing,
            Doing::Launching => TestStep::Launching,
            Doing::Checking(_) => TestStep::Checking,
            Doing::Running => TestStep::Running,
            Doing::Ending(_) => TestStep::Ending,
        };
        TestStatus {
            at: now,
            step,
            point: self.point,
            name: self.guest.as_ref().map(|guest| guest.name.clone()),
            console: self.guest.as_ref().and_then(|guest| guest.console.clone()),
            seen: self.seen.clone(),
            until: self.guest.as_ref().map(|guest| guest.until),
        }
    }

    /// Whether nothing is told until something happens.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.doing == Doing::Running
    }

    pub(crate) fn step(self, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        let aborted = matches!(context.wish, Wish::Abort { .. });
        match self.doing.clone() {
            Doing::Ending(because) => self.end(because, order, context),
            Doing::CleaningUp | Doing::Freezing | Doing::Launching | Doing::Checking(_) | Doing::Running
                if aborted =>
            {
                self.over(EndOfTest::Asked, context)
            }
            Doing::CleaningUp => self.clean_up(order, context),
            Doing::Freezing => match context.hypervisor.replication().freeze(order) {
                Ok(point) => Self { point: Some(point), ..self }.go_on(Doing::Launching, context),
                Err(refusal) => self.refused(&refusal, context),
            },
            Doing::Launching => match context.hypervisor.replication().launch(order) {
                Ok(launched) => self.launched(launched, order, context),
                Err(refusal) => self.refused(&refusal, context),
            },
            Doing::Checking(verify) => self.check(verify, order, context),
            Doing::Running => self.run(order, context),
        }
    }

    fn clean_up(self, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        let first = if self.since == Instant::default() { Self { since: context.now, ..self } } else { self };
        match context.hypervisor.replication().end_test(order.replica, TestOf::Anybody) {
            Ok(()) => first.go_on(Doing::Freezing, context),
            Err(refusal) => first.refused(&refusal, context),
        }
    }

    fn launched(self, launched: Launched, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        let Launched { name, console } = launched;
        let guest = Guest { name, console, until: context.now + order.ttl.delta() };
        Self { guest: Some(guest), ..self }.go_on(Doing::Checking(Verify::Preparing), context)
    }

    /// As a server is looked at that has arrived.
    fn check(self, verify: Verify, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        let asked = VerifyGuest { server: order.guest, within: order.within, look: order.look.clone() };
        match verify.step(&asked, context) {
            Step::Go { state, when, .. } => {
                Self { doing: Doing::Checking(state), ..self }.tell(context, when)
            }
            Step::End(end) => {
                let seen = match end {
                    OperationState::Verified { verdict: Verdict::Alive { sign, looked } } => {
                        // What is looked at when it has answered is no part of its boot.
                        let looking = looked.as_ref().map_or(Span::ZERO, |looked| looked.took);
                        let up = context.now - looking.delta();
                        let answered_after =
                            (sign == LifeSign::GuestAgent).then(|| Span::between(self.since, up));
                        Seen::Alive { sign: sign.to_string(), answered_after, looked }
                    }
                    OperationState::Verified { verdict: Verdict::NotAlive { text } } => {
                        Seen::NotAlive { text }
                    }
                    other => Seen::NotAlive { text: format!("it could not be looked at: {other:?}") },
                };
                Self { seen: Some(seen), ..self }.go_on(Doing::Running, context)
            }
        }
    }

    /// One that was not seen alive stays as well: its owner looks at its console why.
    fn run(self, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        let until = self.guest.as_ref().map_or(context.now, |guest| guest.until);
        if context.now >= until {
            return self.over(EndOfTest::Expired, context);
        }
        let look = context.now + LOOK.delta();
        match context.hypervisor.here().find(order.guest) {
            Ok(None) => self.over(EndOfTest::WentOff, context),
            Ok(Some(here)) => match here.state {
                State::Off => self.over(EndOfTest::WentOff, context),
                State::Running
                | State::Paused
                | State::HeldByMigration
                | State::HeldOtherwise
                | State::Arriving
                | State::Crashed => self.tell(context, When::At(until.min(look))),
            },
            Err(refusal) => {
                tracing::warn!(operation = %context.id, "libvirt does not answer: {refusal}");
                self.tell(context, When::At(look))
            }
        }
    }

    fn end(self, because: EndOfTest, order: &TestLaunch, context: &Context<'_>) -> Step<Self> {
        match context.hypervisor.replication().end_test(order.replica, TestOf::Guest(order.guest)) {
            Ok(()) => Step::End(OperationState::Tested { because, seen: self.seen }),
            Err(refusal) => {
                tracing::warn!(operation = %context.id, "the test is not gone yet: {refusal}");
                let again = context.again(self.since);
                self.tell(context, again)
            }
        }
    }

    /// What is busy is waited for, what is silent for a while; any other answer is the end.
    fn refused(self, refusal: &Refusal, context: &Context<'_>) -> Step<Self> {
        let silent_for_long = Span::between(self.since, context.now) > SILENCE;
        match refusal.kind {
            RefusalKind::Failed(FailureClass::Busy) => {
                let again = context.again(self.since);
                self.tell(context, again)
            }
            RefusalKind::NoConnection | RefusalKind::NoAnswer if !silent_for_long => {
                let again = context.again(self.since);
                self.tell(context, again)
            }
            RefusalKind::NoConnection
            | RefusalKind::NoAnswer
            | RefusalKind::NoServer
            | RefusalKind::Failed(_) => {
                self.over(EndOfTest::Failed { failure: refusal.at_destination() }, context)
            }
        }
    }

    fn over(self, because: EndOfTest, context: &Context<'_>) -> Step<Self> {
        self.go_on(Doing::Ending(because), context)
    }

    fn go_on(self, doing: Doing, context: &Context<'_>) -> Step<Self> {
        Self { doing, since: context.now, ..self }.tell(context, When::AtOnce)
    }

    fn tell(self, context: &Context<'_>, when: When) -> Step<Self> {
        let status = self.status(context.now);
        Step::Go { state: self, telling: Telling::Test(status), when }
    }
}
