//! Waiting, for the threads of production. The simulated world never waits.

use std::collections::BTreeMap;
use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use drover_policies::ids::OperationId;
use drover_policies::time::Instant;

use super::slot::Slot;
use super::{Agent, lock};

impl Agent {
    /// Waits until an operation is due. For a thread of its own.
    pub(crate) fn wait_for_operation(&self, id: OperationId) {
        let mut slots = lock(&self.slots);
        loop {
            let now = self.clock.elapsed();
            match slots.get(&id).map(|slot| slot.due) {
                Some(due) if due > now => slots = wait(&self.poke, slots, due - now),
                Some(_) | None => return,
            }
        }
    }

    /// Waits until there is an open operation that is not in `known`, at most a while.
    pub(crate) fn wait_for_others(&self, known: &dyn Fn(OperationId) -> bool) -> Vec<OperationId> {
        let others = |slots: &BTreeMap<OperationId, Slot>| -> Vec<OperationId> {
            slots
                .values()
                .filter(|slot| !slot.is_over())
                .map(|slot| slot.record.id)
                .filter(|id| !known(*id))
                .collect()
        };
        let slots = lock(&self.slots);
        let found = others(&slots);
        if !found.is_empty() {
            return found;
        }
        others(&wait(&self.poke, slots, Duration::from_secs(1)))
    }
}

/// Never long: the wall clock may jump while we wait, and a step too many does no harm.
pub(super) fn bounded(now: Instant, due: Instant) -> Duration {
    (due - now).to_std().unwrap_or_default().min(Duration::from_secs(2))
}

pub(super) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Duration,
) -> MutexGuard<'a, T> {
    match condition.wait_timeout(guard, limit) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}
