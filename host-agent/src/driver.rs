//! One operation on its way: an explicit state that is written down before it is acted on, and a step that acts on it once.
//!
//! The rule that makes every kill harmless: *a step that may begin something acts only on a state that is in the ledger*, and
//! every act may be repeated.
//! So a step that was cut off is simply taken again, by whoever opens the ledger next. Nothing lives in a stack: a step
//! never waits, it says when it wants to be taken again.

use chrono::TimeDelta;
use drover_agent_api::{Operation, OperationReport, OperationState, Order, Wish};
use drover_policies::attempt::{Failure, FailureClass, Outcome, Phase, Progress};
use drover_policies::hooks::HookStatus;
use drover_policies::ids::{Generation, OperationId};
use drover_policies::import::ImportStatus;
use drover_policies::replica::{ReplicaStatus, TestStatus};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use crate::cutover::Cutover;
use crate::health::HealthCheck;
use crate::hook::Hook;
use crate::hypervisor::Hypervisor;
use crate::importing::Importing;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::phases::Phases;
use crate::retained;
use crate::test_launch::Testing;
use crate::verify::Verify;
use crate::warm::{self, Warm};

/// All that the ledger keeps of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which.
    pub id: OperationId,
    /// The latest generation that was taken up.
    pub generation: Generation,
    /// What is to be done.
    pub order: Order,
    /// What is wished of it now.
    pub wish: Wish,
    /// Where it is.
    pub stage: Stage,
    /// What the phases of a cutover took.
    #[serde(default, skip_serializing_if = "Phases::is_empty")]
    pub phases: Phases,
}

/// Where an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being done.
    Working(Work),
    /// Over, with its final report.
    Ended(OperationState),
}

/// The state of each kind of operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A live migration.
    Live(Live),
    /// A reboot migration.
    Cutover(Cutover),
    /// Looking at a guest.
    Verify(Verify),
    /// Counting what is left.
    Count,
    /// Throwing away what is retained of a server.
    Discard,
    /// Looking whether what was retained of a server is there.
    LookAtRetained,
    /// Making ready to take a replica.
    Hold,
    /// Keeping a replica up to date.
    Replicate(Warm),
    /// Holding a replica no longer.
    Release,
    /// Booting a server from a replica of it, as a test.
    Test(Testing),
    /// Running a hook of this host.
    Hook(Hook),
    /// Asking whether this host is well.
    Health(HealthCheck),
    /// Bringing a server of another kind of hypervisor here.
    Import(Importing),
}

impl Work {
    /// The reboot migration, where it is one.
    pub(crate) fn cutover(&self) -> Option<&Cutover> {
        if let Self::Cutover(cutover) = self { Some(cutover) } else { None }
    }
}

impl Record {
    /// A new operation, nothing done yet.
    #[must_use]
    pub fn new(operation: &Operation) -> Self {
        let work = match &operation.order {
            Order::LiveMigrate(_) => Work::Live(Live::Preflight),
            Order::RebootMigrate(_) => Work::Cutover(Cutover::Preflight),
            Order::VerifyGuest(_) => Work::Verify(Verify::Preparing),
            Order::ConfirmEmpty => Work::Count,
            Order::DiscardRetained { .. } => Work::Discard,
            Order::LookAtRetained(_) => Work::LookAtRetained,
            Order::HoldReplica(_) => Work::Hold,
            Order::Replicate(order) => Work::Replicate(Warm::new(order)),
            Order::ReleaseReplica(_) => Work::Release,
            Order::TestLaunch(_) => Work::Test(Testing::new()),
            Order::RunHook(_) => Work::Hook(Hook::Preparing),
            Order::CheckHealth(_) => Work::Health(HealthCheck::Preparing),
            Order::Import(order) => Work::Import(Importing::new(order)),
        };
        Self::at(operation, Stage::Working(work))
    }

    /// An operation that is not going to be begun.
    #[must_use]
    pub fn refused(operation: &Operation, failure: Failure) -> Self {
        Self::at(operation, Stage::Ended(OperationState::Refused { failure }))
    }

    fn at(operation: &Operation, stage: Stage) -> Self {
        Self {
            id: operation.id,
            generation: operation.generation,
            order: operation.order.clone(),
            wish: operation.wish,
            stage,
            phases: Phases::default(),
        }
    }

    /// As it is to be taken up by an agent that has just been started.
    #[must_use]
    pub fn after_restart(self) -> Self {
        let stage = match self.stage {
            Stage::Working(Work::Live(live)) => Stage::Working(Work::Live(live.after_restart())),
            Stage::Working(Work::Replicate(warm)) => Stage::Working(Work::Replicate(warm.after_restart())),
            stage @ (Stage::Working(
                Work::Cutover(_)
                | Work::Verify(_)
                | Work::Count
                | Work::Discard
                | Work::LookAtRetained
                | Work::Hold
                | Work::Release
                | Work::Test(_)
                | Work::Hook(_)
                | Work::Health(_)
                | Work::Import(_),
            )
            | Stage::Ended(_)) => stage,
        };
        Self { stage, ..self }
    }

    /// What is told of it, before a step has anything better to tell.
    #[must_use]
    pub fn report(&self, now: Instant) -> OperationReport {
        let state = match &self.stage {
            Stage::Working(Work::Replicate(warm)) => OperationState::Replicating { status: warm.status(now) },
            Stage::Working(Work::Test(testing)) => OperationState::Testing { status: testing.status(now) },
            Stage::Working(Work::Hook(hook)) => OperationState::RunningHook { status: hook.status(now) },
            Stage::Working(Work::Import(importing)) => {
                OperationState::Importing { status: importing.status(Vec::new(), now) }
            }
            Stage::Working(work) => {
                let progress = Progress::of(work.phase(), now);
                OperationState::Running { progress: Progress { done: self.phases.done.clone(), ..progress } }
            }
            Stage::Ended(state) => state.clone(),
        };
        OperationReport { id: self.id, generation: self.generation, state }
    }
}

impl Stage {
    /// Whether the ledger must hold it before it is acted on. Not so where the step before it, taken again, leads to the
    /// same acts: looking at hosts before anything has begun, and again after it has ended.
    #[must_use]
    pub(crate) fn must_be_kept(&self) -> bool {
        match self {
            Self::Ended(_) => true,
            Self::Working(Work::Live(live)) => live.must_be_kept(),
            Self::Working(Work::Cutover(cutover)) => !matches!(cutover, Cutover::Preflight | Cutover::Armed),
            Self::Working(Work::Replicate(warm)) => warm.must_be_kept(),
            Self::Working(Work::Test(_) | Work::Import(_)) => true,
            Self::Working(Work::Hook(hook)) => *hook != Hook::Preparing,
            Self::Working(
                Work::Verify(_)
                | Work::Count
                | Work::Discard
                | Work::LookAtRetained
                | Work::Hold
                | Work::Release
                | Work::Health(_),
            ) => false,
        }
    }
}

impl Work {
    fn phase(&self) -> Phase {
        match self {
            Self::Live(live) => live.phase(),
            Self::Cutover(cutover) => cutover.phase(),
            Self::Verify(_) | Self::Health(_) => Phase::Verifying,
            Self::Count
            | Self::Discard
            | Self::LookAtRetained
            | Self::Hold
            | Self::Replicate(_)
            | Self::Release
            | Self::Test(_)
            | Self::Hook(_)
            | Self::Import(_) => Phase::Preflight,
        }
    }
}

/// What a step may use.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The hypervisor.
    pub hypervisor: &'a dyn Hypervisor,
    /// The ledger, for retained definitions; the operation's own state is kept by whoever takes the step.
    pub ledger: &'a Ledger,
    /// Which operation.
    pub id: OperationId,
    /// What is wished of it now.
    pub wish: Wish,
    /// The present.
    pub now: Instant,
    /// The scheduler's present, or a little before that; nothing until it was heard.
    pub scheduler_now: Option<Instant>,
    /// What another open operation does with the same server.
    pub beside: Beside,
}

/// What another open operation does with the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing that this one has to mind.
    Nothing,
    /// It is being cut over: its rounds are the cutover's.
    CuttingOver,
}

/// What is told of an operation that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// How far an attempt is.
    Progress(Progress),
    /// How a replica is.
    Replica(ReplicaStatus),
    /// How a test launch is.
    Test(TestStatus),
    /// How a hook is.
    Hook(HookStatus),
    /// How an import is.
    Import(ImportStatus),
}

impl From<Telling> for OperationState {
    fn from(telling: Telling) -> Self {
        match telling {
            Telling::Progress(progress) => Self::Running { progress },
            Telling::Replica(status) => Self::Replicating { status },
            Telling::Test(status) => Self::Testing { status },
            Telling::Hook(status) => Self::RunningHook { status },
            Telling::Import(status) => Self::Importing { status },
        }
    }
}

impl Context<'_> {
    /// The present, so much later.
    #[must_use]
    pub fn after(&self, span: Span) -> When {
        When::At(self.now + span.delta())
    }

    /// When to look again at what could not be known since `since`: soon at first, then less and less often.
    #[must_use]
    pub fn again(&self, since: Instant) -> When {
        const SOONEST: TimeDelta = TimeDelta::milliseconds(50);
        const LATEST: TimeDelta = TimeDelta::seconds(30);
        When::At(self.now + ((self.now - since) / 4).clamp(SOONEST, LATEST))
    }
}

/// What a step has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<S> {
    /// It goes on.
    Go {
        /// The state to be written down, then acted on.
        state: S,
        /// What is told meanwhile.
        telling: Telling,
        /// When.
        when: When,
    },
    /// It is over.
    End(OperationState),
}

/// When the next step is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// As soon as the state is written down.
    AtOnce,
    /// Then, or sooner if something happens.
    At(Instant),
}

impl<S> Step<S> {
    fn map<T>(self, into: impl FnOnce(S) -> T) -> Step<T> {
        match self {
            Self::Go { state, telling, when } => Step::Go { state: into(state), telling, when },
            Self::End(end) => Step::End(end),
        }
    }

    /// The end of a migration.
    #[must_use]
    pub fn ended(outcome: Outcome) -> Self {
        Self::End(OperationState::Ended { outcome, done: Vec::new() })
    }

    /// The end of a migration that has changed nothing.
    #[must_use]
    pub fn stayed(class: FailureClass, text: impl Into<String>) -> Self {
        Self::ended(Outcome::stayed(Failure { class, text: text.into() }))
    }
}

/// Takes one step of an operation that goes on. `None` when the ledger holds an order together with the work of another
/// kind of order, which only a hand in the file can bring about.
#[must_use]
pub fn step(record: &Record, work: &Work, context: &Context<'_>) -> Option<Step<Work>> {
    Some(match (work.clone(), &record.order) {
        (Work::Live(state), Order::LiveMigrate(order)) => state.step(order, context).map(Work::Live),
        (Work::Cutover(state), Order::RebootMigrate(order)) => state.step(order, context)?.map(Work::Cutover),
        (Work::Verify(state), Order::VerifyGuest(order)) => state.step(order, context).map(Work::Verify),
        (Work::Count, Order::ConfirmEmpty) => retained::count(context).map(|()| Work::Count),
        (Work::Discard, Order::DiscardRetained { server, kept_by }) => {
            retained::discard(*server, *kept_by, context).map(|()| Work::Discard)
        }
        (Work::LookAtRetained, Order::LookAtRetained(order)) => {
            retained::look(order, context).map(|()| Work::LookAtRetained)
        }
        (Work::Hold, Order::HoldReplica(order)) => warm::hold(order, context).map(|()| Work::Hold),
        (Work::Replicate(state), Order::Replicate(order)) => state.step(order, context).map(Work::Replicate),
        (Work::Release, Order::ReleaseReplica(order)) => {
            warm::release(order, context).map(|()| Work::Release)
        }
        (Work::Test(state), Order::TestLaunch(order)) => state.step(order, context).map(Work::Test),
        (Work::Hook(state), Order::RunHook(order)) => state.step(order, context).map(Work::Hook),
        (Work::Health(state), Order::CheckHealth(order)) => state.step(*order, context).map(Work::Health),
        (Work::Import(state), Order::Import(order)) => state.step(order, context).map(Work::Import),
        (
            Work::Live(_)
            | Work::Cutover(_)
            | Work::Verify(_)
            | Work::Count
            | Work::Discard
            | Work::LookAtRetained
            | Work::Hold
            | Work::Replicate(_)
            | Work::Release
            | Work::Test(_)
            | Work::Hook(_)
            | Work::Health(_)
            | Work::Import(_),
            _,
        ) => return None,
    })
}
