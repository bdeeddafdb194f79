//! All that the simulated fleet is at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use drover_policies::fleet::{Autostart, Definition, HostFacts, ServerFacts};
use drover_policies::ids::{HookName, HostName, OperationId, ReplicaId, ServerId};
use drover_policies::time::Instant;

use super::super::{Figures, State, Wake, Waker};
use super::definition::Before;
use super::hooks::{Ran, Script};
use super::imports::Foreign;
use super::precopy::Transfer;
use super::replicas::{Checkpoint, Copying, Kept};
use super::{Condition, Fault, Guest, Moment, pair};

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) hosts: BTreeMap<HostName, Host>,
    pub(super) guests: BTreeMap<ServerId, Inside>,
    pub(super) transfers: BTreeMap<ServerId, Transfer>,
    /// The last round of each server.
    pub(super) rounds: BTreeMap<ServerId, Copying>,
    /// Until when guests are left alone by rounds that may wait.
    pub(super) quiet: BTreeMap<ServerId, Instant>,
    /// What is there of each import.
    pub(super) imports: BTreeMap<ServerId, Foreign>,
    /// Pairs of hosts that can't reach each other, each in the order of names.
    pub(super) cuts: BTreeSet<(HostName, HostName)>,
    pub(super) faults: Vec<Fault>,
    pub(super) violations: Vec<String>,
    /// Collected while the world is locked, called when it no longer is.
    pub(super) wakes: Vec<(HostName, Wake)>,
    pub(super) sessions: u64,
    pub(super) bandwidth: u64,
}

pub(super) struct Host {
    pub(super) facts: HostFacts,
    pub(super) daemon: Condition,
    pub(super) power: Condition,
    pub(super) domains: BTreeMap<ServerId, Domain>,
    /// Whether its agent is there for other agents.
    pub(super) listener: Condition,
    pub(super) replicas: BTreeMap<ReplicaId, Kept>,
    pub(super) waker: Option<(u64, Waker)>,
    pub(super) calls: u64,
    pub(super) kill: Option<(u64, Moment)>,
    pub(super) hooks: BTreeMap<HookName, Script>,
    /// In the order in which they were begun.
    pub(super) ran_hooks: Vec<(OperationId, Ran)>,
    /// Counts its boots.
    pub(super) boots: u32,
    /// When a reboot has been done.
    pub(super) up_at: Option<Instant>,
}

/// One domain on one host.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) facts: ServerFacts,
    pub(super) before: Option<Before>,
    pub(super) state: State,
    pub(super) definition: Definition,
    pub(super) autostart: Autostart,
    pub(super) booted_at: Instant,
    /// When a shutdown that the guest heeds will be done.
    pub(super) off_at: Option<Instant>,
    /// Whether it is held for a backup that its daemon knows nothing of.
    pub(super) held_for_backup: bool,
    /// What the migration that brought it here cost.
    pub(super) arrived_by: Option<Figures>,
}

/// What is the same wherever a server runs.
pub(super) struct Inside {
    pub(super) guest: Guest,
    /// Where its local disks are, each with the time that it had run when they were last written.
    pub(super) disks: BTreeMap<HostName, TimeDelta>,
    /// What its QEMU knows of what was written since a round.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Writes that it was told are on the disk.
    pub(super) ran: TimeDelta,
    /// Somebody has said that it goes back to disks that lack the last of them.
    pub(super) may_lose: bool,
}

impl World {
    pub(super) fn domain(&self, host: &HostName, server: ServerId) -> Option<&Domain> {
        self.hosts.get(host)?.domains.get(&server)
    }

    pub(super) fn domain_mut(&mut self, host: &HostName, server: ServerId) -> Option<&mut Domain> {
        self.hosts.get_mut(host)?.domains.get_mut(&server)
    }

    pub(super) fn holders(&self, server: ServerId) -> Vec<HostName> {
        self.hosts
            .iter()
            .filter(|(_, host)| host.domains.contains_key(&server))
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(super) fn daemon_answers(&self, host: &HostName) -> bool {
        self.hosts.get(host).is_some_and(|host| (host.daemon, host.power) == (Condition::Up, Condition::Up))
    }

    pub(super) fn linked(&self, a: &HostName, b: &HostName) -> bool {
        !self.cuts.contains(&pair(a, b))
    }

    pub(super) fn wake(&mut self, host: &HostName, wake: Wake) {
        self.wakes.push((host.clone(), wake));
    }

    pub(super) fn take_wakes(&mut self) -> Vec<(Waker, Wake)> {
        let wakes = std::mem::take(&mut self.wakes);
        wakes
            .into_iter()
            .filter_map(|(name, wake)| {
                let (_, waker) = self.hosts.get(&name)?.waker.as_ref()?;
                Some((Arc::clone(waker), wake))
            })
            .collect()
    }

    /// Whether the answer of a call to this daemon is to be lost; counts the call.
    pub(super) fn loses_answer(&mut self, daemon: &HostName) -> bool {
        for fault in &mut self.faults {
            if let Fault::AnswerLost { host, call } = fault
                && host == daemon
            {
                *call = call.saturating_sub(1);
            }
        }
        self.take_fault(|fault| *fault == Fault::AnswerLost { host: daemon.clone(), call: 0 }).is_some()
    }

    pub(super) fn take_fault(&mut self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let found = self.faults.iter().position(wanted)?;
        Some(self.faults.remove(found))
    }
}
