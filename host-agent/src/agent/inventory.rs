//! What the agent knows of its host: read when something has happened, and every minute.

use chrono::TimeDelta;
use drover_agent_api::Inventory;
use drover_policies::ids::ServerId;
use drover_policies::time::Instant;

use super::waits::{bounded, wait};
use super::{Agent, FULL_COMPARE, Urgency, lock};
use crate::hypervisor::Observed;

/// How long after a failed reading libvirt is read again.
const READ_AGAIN: TimeDelta = TimeDelta::seconds(5);

/// A reading asks a dozen things of every server. While events come without end, libvirt and the processors belong to what they tell of:
/// after a reading that took so long, this many times as long passes before the next one …
const REST: i32 = 30;
/// … but never more than this.
const LONGEST_REST: TimeDelta = TimeDelta::seconds(10);

#[derive(Default)]
pub(super) struct InventoryState {
    pub(super) current: Option<Inventory>,
    pub(super) acknowledged: Option<u64>,
    pub(super) due: Option<Instant>,
    /// Not to be read before this.
    pub(super) rests_until: Option<Instant>,
    pub(super) away: bool,
    /// Counts the readings as they begin.
    pub(super) begun: u64,
    /// Readings up to this one began before something was known to have left, and may still show it.
    pub(super) outdated: u64,
}

impl Agent {
    pub(super) fn inventory_due(&self) -> Option<Instant> {
        lock(&self.inventory).due
    }

    /// Reads the host and its servers; they are told if they differ from what was told last.
    pub fn read_inventory(&self) {
        // Set before reading: what happens while libvirt is read must be read again.
        let begun_at = self.clock.now();
        let number = {
            let mut state = lock(&self.inventory);
            state.due = Some(begun_at + FULL_COMPARE);
            state.begun += 1;
            state.begun
        };
        let observed = self.hypervisor.observe();
        let now = self.clock.now();
        let mut state = lock(&self.inventory);
        state.rests_until = Some(now + (now - begun_at) * REST);
        if number <= state.outdated {
            state.read_at(now);
            return;
        }
        match observed {
            Ok(observed) => {
                if std::mem::take(&mut state.away) {
                    tracing::info!("libvirt answers again");
                }
                if state.take(observed, now) {
                    drop(state);
                    self.tell(Urgency::Casual);
                }
            }
            Err(refusal) => {
                if !std::mem::replace(&mut state.away, true) {
                    tracing::warn!(
                        "the servers of this host can't be read, what was read last is told on: {refusal}"
                    );
                }
                state.due = Some(now + READ_AGAIN);
            }
        }
    }

    /// Waits until the inventory is to be read.
    pub(crate) fn wait_for_inventory(&self) {
        let mut state = lock(&self.inventory);
        loop {
            let now = self.clock.now();
            match state.due {
                Some(due) if due > now => state = wait(&self.inventory_poke, state, bounded(now, due)),
                Some(_) | None => return,
            }
        }
    }
}

impl InventoryState {
    /// It is to be read then, unless it is to be read sooner, or rests.
    pub(super) fn read_at(&mut self, wished: Instant) {
        // No clock that was put back makes for a rest without end.
        let at = self.rests_until.map_or(wished, |until| until.clamp(wished, wished + LONGEST_REST));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A server has left this host by our doing: libvirt need not be asked.
    pub(super) fn forget(&mut self, server: ServerId) {
        self.outdated = self.begun;
        if let Some(current) = &mut self.current
            && current.servers.iter().any(|known| known.id == server)
        {
            current.servers.retain(|known| known.id != server);
            current.serial += 1;
        }
    }

    pub(super) fn take(&mut self, observed: Observed, now: Instant) -> bool {
        let Observed { host, servers } = observed;
        let same =
            self.current.as_ref().is_some_and(|current| current.host == host && current.servers == servers);
        if same {
            return false;
        }
        let serial = self.current.as_ref().map_or(1, |current| current.serial + 1);
        self.current = Some(Inventory { serial, observed_at: now, host, servers });
        true
    }
}
