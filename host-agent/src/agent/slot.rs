//! One operation in the agent's memory: its record, whether the ledger has it, what is told of it, and who works on it.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_agent_api::{OperationReport, OperationState, Order};
use drover_policies::attempt::{Outcome, Phase, Progress};
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::import::ImportStatus;
use drover_policies::replica::{ReplicaStatus, TestStatus};
use drover_policies::time::Instant;

use super::FULL_COMPARE;
use crate::cutover::Cutover;
use crate::driver::{Beside, Record, Stage, Telling, Work};
use crate::operation::{may_stand_beside, server_of};

pub(super) struct Slot {
    pub(super) record: Record,
    /// Whether the ledger has the record as it is here.
    pub(super) kept: Kept,
    /// What is told. Never ahead of the ledger with an end.
    pub(super) report: OperationReport,
    /// When its next step is to be taken, by [`crate::clock::HostClock::elapsed`]: nobody can set that.
    pub(super) due: Duration,
    pub(super) hands: Hands,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    No,
}

/// Who works on a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hands {
    /// Nobody.
    Free,
    /// A step is being taken.
    Stepping,
    /// A step is being taken, and something has happened since it began.
    SteppingPoked,
}

pub(super) struct Picked {
    pub(super) record: Record,
    pub(super) kept: Kept,
    /// When the step was taken, by both clocks.
    pub(super) stepped: (Instant, Duration),
}

#[derive(Clone, Copy)]
pub(super) enum Urgency {
    Urgent,
    Casual,
}

impl Slot {
    pub(super) fn new(record: Record, now: Instant, elapsed: Duration) -> Self {
        let report = match record.stage {
            // Its refusal is told when it is in the ledger; until then it only has been received.
            Stage::Ended(_) => OperationReport {
                id: record.id,
                generation: record.generation,
                state: OperationState::Running { progress: Progress::of(Phase::Preflight, now) },
            },
            Stage::Working(_) => record.report(now),
        };
        Self { record, kept: Kept::No, report, due: elapsed, hands: Hands::Free }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.record.stage, Stage::Ended(_)) && self.kept == Kept::Yes
    }

    pub(super) fn poke(&mut self, now: Duration) {
        match self.hands {
            Hands::Free => self.due = self.due.min(now),
            Hands::Stepping | Hands::SteppingPoked => self.hands = Hands::SteppingPoked,
        }
    }

    /// The server that this operation has moved away from here, or found to be gone.
    pub(super) fn has_left(&self) -> Option<ServerId> {
        match &self.record.stage {
            Stage::Ended(OperationState::Ended { outcome: Outcome::Moved(_) | Outcome::Gone, .. }) => {
                server_of(&self.record.order)
            }
            Stage::Ended(_) | Stage::Working(_) => None,
        }
    }

    /// After a step that had nothing to do: an end that is in the ledger now is told.
    pub(super) fn rest(&mut self, now: Instant, elapsed: Duration) -> Option<Urgency> {
        match &self.record.stage {
            Stage::Ended(end) if self.kept == Kept::Yes => {
                let end = end.clone();
                tracing::info!(operation = %self.record.id, ?end, "ended");
                self.report = self.record.report(now);
                Some(Urgency::Urgent)
            }
            Stage::Ended(_) => {
                self.due = elapsed;
                None
            }
            Stage::Working(_) => {
                self.due = elapsed + FULL_COMPARE.to_std().unwrap_or_default();
                None
            }
        }
    }

    /// The end of a cutover, with all its phases.
    pub(super) fn with_phases(&self, end: OperationState) -> OperationState {
        match end {
            OperationState::Ended { outcome, .. } => {
                OperationState::Ended { outcome, done: self.record.phases.done.clone() }
            }
            other => other,
        }
    }

    /// What a step tells. The same again is no news, though it was read later.
    pub(super) fn tell(&mut self, mut telling: Telling) -> Option<Urgency> {
        if let Telling::Progress(progress) = &mut telling {
            progress.done.clone_from(&self.record.phases.done);
        }
        let urgency = match (&self.report.state, &telling) {
            (OperationState::Running { progress: told }, Telling::Progress(progress))
                if told.phase == progress.phase =>
            {
                if (Progress { at: told.at, ..progress.clone() }) == *told {
                    return None;
                }
                Urgency::Casual
            }
            (OperationState::Replicating { status: told }, Telling::Replica(status))
                if told.stage() == status.stage() =>
            {
                if (ReplicaStatus { at: told.at, ..status.clone() }) == *told {
                    return None;
                }
                Urgency::Casual
            }
            (OperationState::Testing { status: told }, Telling::Test(status))
                if (TestStatus { at: told.at, ..status.clone() }) == *told =>
            {
                return None;
            }
            (OperationState::RunningHook { status: told }, Telling::Hook(status))
                if told.doing == status.doing =>
            {
                if told == status {
                    return None;
                }
                Urgency::Casual
            }
            (OperationState::Importing { status: told }, Telling::Import(status))
                if told.step == status.step && told.log.len() == status.log.len() =>
            {
                if (ImportStatus { at: told.at, ..status.clone() }) == *told {
                    return None;
                }
                Urgency::Casual
            }
            (
                OperationState::Running { .. }
                | OperationState::Refused { .. }
                | OperationState::Ended { .. }
                | OperationState::Verified { .. }
                | OperationState::Counted { .. }
                | OperationState::Discarded
                | OperationState::Held
                | OperationState::Replicating { .. }
                | OperationState::Stopped
                | OperationState::Released
                | OperationState::Importing { .. }
                | OperationState::ImportEnded { .. }
                | OperationState::Testing { .. }
                | OperationState::Tested { .. }
                | OperationState::RunningHook { .. }
                | OperationState::HookRan { .. }
                | OperationState::Healthy { .. }
                | OperationState::Unhealthy { .. },
                _,
            ) => Urgency::Urgent,
        };
        self.report.state = telling.into();
        Some(urgency)
    }
}

/// Other open operations on the same server.
fn others<'a>(
    slots: &'a BTreeMap<OperationId, Slot>,
    order: &Order,
    id: OperationId,
) -> impl Iterator<Item = &'a Slot> {
    let server = server_of(order);
    slots
        .values()
        .filter(move |slot| slot.record.id != id && matches!(slot.record.stage, Stage::Working(_)))
        .filter(move |slot| server.is_some() && server_of(&slot.record.order) == server)
}

/// Another open operation that this one may not stand beside: on the same server, or another hook of the host.
pub(super) fn in_the_way(
    slots: &BTreeMap<OperationId, Slot>,
    order: &Order,
    id: OperationId,
) -> Option<OperationId> {
    let hook = || {
        let is_hook = |order: &Order| matches!(order, Order::RunHook(_));
        let open = |slot: &&Slot| matches!(slot.record.stage, Stage::Working(Work::Hook(_)));
        let mut hooks = slots.values().filter(|slot| slot.record.id != id).filter(open);
        if is_hook(order) { hooks.next() } else { None }
    };
    let on_server = others(slots, order, id).find(|slot| !may_stand_beside(&slot.record.order, order));
    on_server.or_else(hook).map(|slot| slot.record.id)
}

/// What another open operation does with the same server.
pub(super) fn beside(slots: &BTreeMap<OperationId, Slot>, order: &Order, id: OperationId) -> Beside {
    if others(slots, order, id).any(|slot| is_cutting_over(&slot.record.stage)) {
        Beside::CuttingOver
    } else {
        Beside::Nothing
    }
}

/// Whether a server is being cut over: from the last round of its disks on.
pub(super) fn is_cutting_over(stage: &Stage) -> bool {
    let Stage::Working(work) = stage else { return false };
    work.cutover().is_some_and(|cutover| !matches!(cutover, Cutover::Preflight | Cutover::Armed))
}
