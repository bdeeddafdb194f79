//! The agent: takes orders, keeps their drivers going, tells what it sees.
//!
//! Nothing here waits. Production gives every open operation a thread of its own ([`crate::runtime`]); the simulated world calls
//! [`Agent::step`] when its clock says so. Both run the same [`Agent::step_operation`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use drover_agent_api::{Operation, OperationState, Order, PROTOCOL, SyncRequest, SyncResponse};
use drover_policies::ids::{HostName, OperationId};
use drover_policies::time::{Instant, Span};
use tokio::sync::watch;

use crate::clock::HostClock;
use crate::cutover::Cutover;
use crate::driver::{self, Context, Record, Stage, Step, When, Work};
use crate::hypervisor::{Hypervisor, Wake};
use crate::ledger::{Ledger, LedgerError};
use crate::operation::{Admission, Known, Standing, admit, server_of};

mod guests;
mod inventory;
mod slot;
mod waits;

use guests::GuestState;
pub use guests::{NotAcknowledged, NotKnownYet};
use inventory::InventoryState;
use slot::{Hands, Kept, Picked, Slot, Urgency, beside, in_the_way, is_cutting_over};

/// A full compare of the inventory, whether or not anything was heard.
const FULL_COMPARE: TimeDelta = TimeDelta::seconds(60);
/// Events come in swarms; they are answered by one reading.
const GATHER: TimeDelta = TimeDelta::milliseconds(300);
/// How long a disk that refused a write is left alone.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Counts what there is to tell: whoever holds an older count than the agent's has not told it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// To be told at once: an operation was taken up, refused, or has ended.
    pub urgent: u64,
    /// To be told soon: figures, the inventory.
    pub casual: u64,
}

/// One host's agent.
pub struct Agent {
    host: HostName,
    hypervisor: Arc<dyn Hypervisor>,
    clock: Arc<dyn HostClock>,
    /// What the scheduler's clock showed in its last answer, and when that came by [`HostClock::elapsed`].
    heard: Mutex<Option<(Instant, Duration)>>,
    ledger: Ledger,
    slots: Mutex<BTreeMap<OperationId, Slot>>,
    inventory: Mutex<InventoryState>,
    guests: Mutex<GuestState>,
    /// Held while a guest's acknowledgement is written or forgotten, so that what is on the disk is what `guests` says.
    acknowledging: Mutex<()>,
    /// The last answer's revision.
    revision: Mutex<Option<u64>>,
    news: watch::Sender<News>,
    /// Belongs to `slots`: something is due, or there is a new operation.
    poke: Condvar,
    inventory_poke: Condvar,
}

/// When an operation's next step is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Then, or when it is poked.
    At(Instant),
    /// Never: it has ended and its end is in the ledger, or it is not known.
    Never,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has left no half-done change behind: each one is a plain assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_at_rest(stage: &Stage) -> bool {
    match stage {
        Stage::Working(Work::Replicate(warm)) => warm.is_at_rest(),
        Stage::Working(Work::Test(testing)) => testing.is_at_rest(),
        // It says little, and that is told when it says it.
        Stage::Working(Work::Hook(_)) => true,
        stage => is_armed(stage),
    }
}

fn is_armed(stage: &Stage) -> bool {
    matches!(stage, Stage::Working(Work::Cutover(Cutover::Armed)))
}

impl Agent {
    /// Opens the ledger and takes up what it holds.
    ///
    /// # Errors
    /// When the ledger cannot be used, or another agent has it.
    pub fn open(
        host: HostName,
        hypervisor: Arc<dyn Hypervisor>,
        clock: Arc<dyn HostClock>,
        ledger: &Path,
    ) -> Result<Arc<Self>, LedgerError> {
        let (ledger, found) = Ledger::open(ledger)?;
        for (path, why) in &found.unreadable {
            tracing::error!(path = %path.display(), "a file of the ledger can't be understood and was set aside: {why}");
        }
        let (now, due) = (clock.now(), clock.elapsed());
        let slots = found.records.into_iter().map(Record::after_restart).map(|record| {
            match &record.stage {
                Stage::Working(work) => {
                    tracing::info!(operation = %record.id, ?work, "taken up from the ledger")
                }
                Stage::Ended(end) => tracing::debug!(operation = %record.id, ?end, "known from the ledger"),
            }
            (record.id, Slot { report: record.report(now), record, kept: Kept::Yes, due, hands: Hands::Free })
        });
        let agent = Arc::new(Self {
            host,
            hypervisor,
            clock,
            heard: Mutex::new(None),
            ledger,
            slots: Mutex::new(slots.collect()),
            inventory: Mutex::new(InventoryState { due: Some(now), ..InventoryState::default() }),
            guests: Mutex::new(GuestState::new(found.acknowledged)),
            acknowledging: Mutex::new(()),
            revision: Mutex::new(None),
            news: watch::Sender::new(News { urgent: 1, casual: 1 }),
            poke: Condvar::new(),
            inventory_poke: Condvar::new(),
        });
        let listener = Arc::downgrade(&agent);
        agent.hypervisor.listen(Arc::new(move |wake| {
            if let Some(agent) = listener.upgrade() {
                agent.woken(wake);
            }
        }));
        Ok(agent)
    }

    /// Which host's.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// What there is to tell; changes whenever [`Agent::request`] would say something new.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Whether an operation goes on that has something to tell again and again. One that waits for its time has not, nor has a replica
    /// between two rounds.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        lock(&self.slots)
            .values()
            .any(|slot| matches!(slot.record.stage, Stage::Working(_)) && !is_at_rest(&slot.record.stage))
    }

    /// The scheduler's present, as far as it is certain: what it said, and the time since that came here. The way of the answer
    /// makes it a little less, never more.
    fn scheduler_now(&self) -> Option<Instant> {
        let (said, at) = (*lock(&self.heard))?;
        Some(said + TimeDelta::from_std(self.clock.elapsed().saturating_sub(at)).unwrap_or_default())
    }

    /// Takes the scheduler's present; what waits by it looks again, for it may have been set.
    fn hear(&self, now: Instant) {
        let (reckoned, elapsed) = (self.scheduler_now(), self.clock.elapsed());
        *lock(&self.heard) = Some((now, elapsed));
        if reckoned == Some(now) {
            return;
        }
        let mut slots = lock(&self.slots);
        slots.values_mut().filter(|slot| is_armed(&slot.record.stage)).for_each(|slot| slot.poke(elapsed));
        drop(slots);
        self.poke.notify_all();
    }

    /// All that is to be told now.
    ///
    /// No end is told beside an inventory that is older than it: who reads that a server has moved, and still sees it here, would
    /// have it moved again.
    #[must_use]
    pub fn request(&self, wait: Span) -> SyncRequest {
        let slots = lock(&self.slots);
        let (inventory, has_read) = {
            let state = lock(&self.inventory);
            let untold = state.current.clone().filter(|current| state.acknowledged != Some(current.serial));
            (untold, state.current.is_some())
        };
        // What goes on, and ends that say nothing of any server: they are told while libvirt can't be read.
        let moves_nobody = |state: &OperationState| {
            matches!(
                state,
                OperationState::Running { .. }
                    | OperationState::Replicating { .. }
                    | OperationState::Testing { .. }
                    | OperationState::RunningHook { .. }
                    | OperationState::HookRan { .. }
                    | OperationState::Unhealthy { .. }
                    | OperationState::Importing { .. }
            )
        };
        let tellable = |slot: &&Slot| has_read || moves_nobody(&slot.report.state);
        SyncRequest {
            protocol: PROTOCOL,
            host: self.host.clone(),
            incarnation: self.ledger.incarnation(),
            inventory,
            operations: slots.values().filter(tellable).map(|slot| slot.report.clone()).collect(),
            seen_revision: *lock(&self.revision),
            guests: lock(&self.guests).ask(),
            wait_ms: wait.as_milliseconds(),
        }
    }

    /// Takes the scheduler's answer: begins, takes up, forgets.
    pub fn take(&self, response: &SyncResponse) {
        if let Some(now) = response.now {
            self.hear(now);
        }
        *lock(&self.revision) = Some(response.revision);
        lock(&self.inventory).acknowledged = response.inventory_serial;
        if let Some(guests) = &response.guests {
            self.take_guests(guests);
        }
        for wanted in &response.operations {
            self.take_one(wanted);
        }
        let forgotten: Vec<OperationId> = lock(&self.slots)
            .values()
            .filter(|slot| matches!(slot.record.stage, Stage::Ended(_)) && slot.kept == Kept::Yes)
            .map(|slot| slot.record.id)
            .filter(|id| response.operations.iter().all(|wanted| wanted.id != *id))
            .collect();
        for id in forgotten {
            self.forget(id);
        }
    }

    fn forget(&self, id: OperationId) {
        let hook =
            lock(&self.slots).get(&id).is_some_and(|slot| matches!(slot.record.order, Order::RunHook(_)));
        if hook && let Err(refusal) = self.hypervisor.hooks().forget(id) {
            tracing::error!(operation = %id, "what is kept of the hook could not be removed: {refusal}");
            return;
        }
        match self.ledger.forget(id) {
            Ok(()) => drop(lock(&self.slots).remove(&id)),
            Err(error) => tracing::error!(operation = %id, "could not be forgotten: {error}"),
        }
    }

    fn take_one(&self, wanted: &Operation) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let mut slots = lock(&self.slots);
        let busy = in_the_way(&slots, &wanted.order, wanted.id);
        let known = slots.get(&wanted.id).map(|slot| Known {
            generation: slot.record.generation,
            order: &slot.record.order,
            standing: match slot.record.stage {
                Stage::Working(_) => Standing::Open,
                Stage::Ended(_) => Standing::Ended,
            },
        });
        let admission = admit(wanted, known, busy);
        match admission {
            Admission::Begin => {
                tracing::info!(operation = %wanted.id, order = ?wanted.order, "begun");
                let record = Record::new(wanted);
                slots.insert(wanted.id, Slot::new(record, now, elapsed));
            }
            Admission::Refuse(failure) => {
                tracing::info!(operation = %wanted.id, "refused: {}", failure.text);
                slots.insert(wanted.id, Slot::new(Record::refused(wanted, failure), now, elapsed));
            }
            Admission::TakeUp { generation, wish } => {
                tracing::info!(operation = %wanted.id, %generation, ?wish, "taken up");
                if let Some(slot) = slots.get_mut(&wanted.id) {
                    slot.record.generation = generation;
                    slot.record.wish = wish;
                    slot.report.generation = generation;
                    slot.kept = Kept::No;
                    slot.poke(elapsed);
                }
            }
            Admission::Nothing => return,
            Admission::Outdated => {
                tracing::info!(operation = %wanted.id, generation = %wanted.generation, "older than known, not taken up");
                return;
            }
            Admission::Contradiction => {
                tracing::error!(operation = %wanted.id, "came again as another order; the first one is carried on");
                return;
            }
        }
        drop(slots);
        self.poke.notify_all();
        self.tell(Urgency::Urgent);
    }

    /// Takes one step of an operation, if it is due.
    pub fn step_operation(&self, id: OperationId) -> Next {
        let Some(mut picked) = self.pick_up(id) else {
            return self.next_of(id);
        };
        match self.step_record(&mut picked) {
            Ok(step) => self.put_down(&picked, step),
            Err(error) => {
                tracing::error!(operation = %id, "the ledger can't be written, so nothing is done: {error}");
                let mut slots = lock(&self.slots);
                if let Some(slot) = slots.get_mut(&id) {
                    slot.hands = Hands::Free;
                    slot.due = self.clock.elapsed() + WRITE_AGAIN;
                }
            }
        }
        self.next_of(id)
    }

    fn pick_up(&self, id: OperationId) -> Option<Picked> {
        let stepped = (self.clock.now(), self.clock.elapsed());
        let mut slots = lock(&self.slots);
        let slot = slots.get_mut(&id)?;
        if slot.hands != Hands::Free || slot.due > stepped.1 || slot.is_over() {
            return None;
        }
        slot.hands = Hands::Stepping;
        Some(Picked { record: slot.record.clone(), kept: slot.kept, stepped })
    }

    /// Writes the state down if the step may touch something, and only then acts on it.
    fn step_record(&self, picked: &mut Picked) -> Result<Option<Step<driver::Work>>, LedgerError> {
        let record = &picked.record;
        if picked.kept == Kept::No && record.stage.must_be_kept() {
            self.ledger.save(record)?;
            picked.kept = Kept::Yes;
        }
        let work = match &record.stage {
            Stage::Working(work) => work,
            Stage::Ended(_) => return Ok(None),
        };
        picked.stepped = (self.clock.now(), self.clock.elapsed());
        let context = Context {
            hypervisor: self.hypervisor.as_ref(),
            ledger: &self.ledger,
            id: record.id,
            wish: record.wish,
            now: picked.stepped.0,
            scheduler_now: self.scheduler_now(),
            beside: beside(&lock(&self.slots), &record.order, record.id),
        };
        let step = driver::step(&picked.record, work, &context);
        if step.is_none() {
            tracing::error!(operation = %picked.record.id, "its file does not fit its order; it is left alone until a person mends it");
        }
        Ok(step)
    }

    fn put_down(&self, picked: &Picked, step: Option<Step<driver::Work>>) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let mut slots = lock(&self.slots);
        let Some(slot) = slots.get_mut(&picked.record.id) else {
            return;
        };
        let poked = slot.hands == Hands::SteppingPoked;
        slot.hands = Hands::Free;
        if slot.record == picked.record {
            slot.kept = picked.kept;
        }
        let cut_over = is_cutting_over(&slot.record.stage);
        let urgency = match step {
            None => {
                if let Some(server) = slot.has_left() {
                    lock(&self.inventory).forget(server);
                }
                slot.rest(now, elapsed)
            }
            Some(Step::Go { state, telling, when }) => {
                slot.record.phases.pass(Some(&state), Some(&telling), now);
                let stage = Stage::Working(state);
                if stage != slot.record.stage {
                    slot.record.stage = stage;
                    slot.kept = Kept::No;
                }
                slot.due = match when {
                    When::AtOnce => elapsed,
                    When::At(_) if poked => elapsed,
                    // So much later, whatever has been done to the clock since.
                    When::At(due) => picked.stepped.1 + (due - picked.stepped.0).to_std().unwrap_or_default(),
                };
                slot.tell(telling)
            }
            Some(Step::End(end)) => {
                slot.record.phases.pass(None, None, now);
                slot.record.stage = Stage::Ended(slot.with_phases(end));
                slot.kept = Kept::No;
                slot.due = elapsed;
                None
            }
        };
        // A replica's rounds rest while its server is cut over, and go on when that has failed.
        if is_cutting_over(&slot.record.stage) != cut_over {
            let (id, server) = (slot.record.id, server_of(&slot.record.order));
            let others = slots.values_mut().filter(|slot| slot.record.id != id);
            others.filter(|slot| server_of(&slot.record.order) == server).for_each(|slot| slot.poke(elapsed));
            self.poke.notify_all();
        }
        drop(slots);
        if let Some(urgency) = urgency {
            self.tell(urgency);
        }
    }

    fn next_of(&self, id: OperationId) -> Next {
        match lock(&self.slots).get(&id) {
            Some(slot) if !slot.is_over() => Next::At(self.shown_at(slot.due)),
            Some(_) | None => Next::Never,
        }
    }

    /// What this host's clock shows then, if it is left alone.
    fn shown_at(&self, due: Duration) -> Instant {
        let ahead = due.saturating_sub(self.clock.elapsed());
        self.clock.now() + TimeDelta::from_std(ahead).unwrap_or(FULL_COMPARE)
    }

    /// Takes every step that is due, the operations in the order of their ids, and reads the inventory if that is due. Gives
    /// back when the next step is due; a wake-up from the hypervisor or an answer of the scheduler may make it sooner.
    ///
    /// For the simulated world. Do not mix with [`crate::runtime`].
    pub fn step(&self) -> Instant {
        loop {
            let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
            let due: Vec<OperationId> = lock(&self.slots)
                .values()
                .filter(|slot| !slot.is_over() && slot.due <= elapsed)
                .map(|slot| slot.record.id)
                .collect();
            if due.is_empty() && self.inventory_due().is_some_and(|due| due <= now) {
                self.read_inventory();
                continue;
            }
            if due.is_empty() {
                return self.next_due();
            }
            for id in due {
                self.step_operation(id);
            }
        }
    }

    /// When [`Agent::step`] wants to be called next.
    #[must_use]
    pub fn next_due(&self) -> Instant {
        let operations = lock(&self.slots).values().filter(|slot| !slot.is_over()).map(|slot| slot.due).min();
        let operations = operations.map(|due| self.shown_at(due));
        let inventory = self.inventory_due();
        operations.into_iter().chain(inventory).min().unwrap_or_else(|| self.clock.now() + FULL_COMPARE)
    }

    fn woken(&self, wake: Wake) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        {
            let mut slots = lock(&self.slots);
            for slot in slots.values_mut() {
                let concerned = match wake {
                    Wake::Everything => true,
                    Wake::Server(server) => server_of(&slot.record.order) == Some(server),
                };
                if concerned {
                    slot.poke(elapsed);
                }
            }
        }
        self.poke.notify_all();
        lock(&self.inventory).read_at(now + GATHER);
        self.inventory_poke.notify_all();
    }

    fn tell(&self, urgency: Urgency) {
        self.news.send_modify(|news| match urgency {
            Urgency::Urgent => news.urgent += 1,
            Urgency::Casual => news.casual += 1,
        });
    }
}
