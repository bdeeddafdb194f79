//! Times for many owners at once, where taking them one after the other would leave somebody without one.

use std::collections::BTreeMap;

use super::known::Known;
use super::schedule::{Full, Says};
use super::shared::Whereabouts;
use super::{Conductor, Go, Situation};
use crate::appointment::Appointment;
use crate::attempt::Method;
use crate::fleet::Power;
use crate::ids::{HostName, MigrationId, OwnerId, ServerId};
use crate::maintenance::{Maintenance, State as MaintenanceState, Urgency};
use crate::migration::{Migration, State, Waiting};
use crate::owners::{Nearness, Scope};
use crate::plan::{Agreement, Planned};
use crate::policy::Policy;
use crate::time::Span;
use crate::windows::{Gate, Seeker, Slot, Use, Wanted, assign};

/// Of very many times that would do the first so many are looked at.
const MOST_TIMES: usize = 2_000;

/// A time that was found for a migration, as long as it goes there.
#[derive(Debug, Clone)]
pub(super) struct SetAside {
    pub(super) slot: Slot,
    pub(super) to: Option<HostName>,
}

/// So far beyond a deadline a time is looked for that a later one would allow.
const LOOKED_AHEAD: Span = Span::days(60);

/// Something of which only so much may go on at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Host(HostName),
    Account(OwnerId),
    Limit(OwnerId, String),
}

impl Conductor<'_> {
    /// Looks whether all that need a time now find one in their turn; where somebody would not, times are set aside so that as many as possible do.
    pub(super) fn set_times_aside(&mut self) {
        let seeking: Vec<Known<'_, Migration>> =
            self.migrations.iter().filter(|migration| self.seeks_time(migration)).cloned().collect();
        if seeking.len() < 2 {
            return;
        }
        let (found, without) = self.one_after_the_other(&seeking);
        if without == 0 || found == 0 {
            return;
        }
        let times = self.together(&seeking);
        if times.len() <= found {
            return;
        }
        for migration in &seeking {
            let Some(slot) = times.get(&migration.id).copied() else { continue };
            self.counted.change(migration, &with_time(migration, slot), self.fleet);
            self.set_aside.insert(migration.id, SetAside { slot, to: migration.to().cloned() });
        }
    }

    /// Whether a time is looked for in this look.
    fn seeks_time(&self, migration: &Migration) -> bool {
        let soon = match &migration.state {
            State::Pending { waits_for } => *waits_for == Waiting::Nothing,
            State::Preparing { .. } | State::Ready { .. } => true,
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::RolledBack { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. }
            | State::Failed { .. } => false,
        };
        let go = self.go(migration);
        let may = go == Go::Run || (go == Go::Paused && !matches!(migration.state, State::Pending { .. }));
        let wants =
            soon && migration.method == Method::Reboot && migration.appointment == Appointment::Unscheduled;
        wants
            && may
            && matches!(self.whereabouts(migration), Whereabouts::Here(server) if server.facts.power != Power::Off)
    }

    /// How many find a time, and how many do not, when each takes the first in its windows.
    fn one_after_the_other(&mut self, seeking: &[Known<'_, Migration>]) -> (usize, usize) {
        let mut taken = Vec::new();
        for migration in seeking {
            let policy = self.policy_for(migration);
            let found = self.find_slot(migration, &policy.policy).ok().filter(|found| found.is_in_window());
            if let Some(found) = found {
                let with = with_time(migration, found.slot);
                self.counted.change(migration, &with, self.fleet);
                taken.push((migration, with));
            }
        }
        for (migration, with) in &taken {
            self.counted.change(with, migration, self.fleet);
        }
        (taken.len(), seeking.len() - taken.len())
    }

    /// A time for as many of them as possible.
    fn together(&self, seeking: &[Known<'_, Migration>]) -> BTreeMap<MigrationId, Slot> {
        let mut gates: BTreeMap<Shared, usize> = BTreeMap::new();
        let mut taken: Vec<Gate> = Vec::new();
        let mut seekers = Vec::with_capacity(seeking.len());
        for migration in seeking {
            let policy = self.policy_for(migration);
            let shared = self.shared_by(migration, &policy.policy, seeking);
            let uses = shared.into_iter().map(|(what, most)| {
                let gate = *gates.entry(what.clone()).or_insert_with(|| {
                    taken.push(self.promised(&what, migration));
                    taken.len() - 1
                });
                Use { gate, most }
            });
            let uses = uses.collect();
            seekers.push(Seeker { may: self.times_for(migration, &policy.policy), uses });
        }
        let found = assign(&seekers, &taken);
        let found = seeking.iter().zip(found);
        found.filter_map(|(migration, slot)| Some((migration.id, slot?))).collect()
    }

    /// The times that would do for one if nobody else sought any, in its order of preference.
    fn times_for(&self, migration: &Migration, policy: &Policy) -> Vec<Slot> {
        let (not_before, range) = self.between(migration, policy);
        if not_before >= migration.deadline {
            return Vec::new();
        }
        let (open, _) = self.owners.open_for(&self.whose(migration), policy, range);
        let wanted = Wanted {
            not_before,
            length: self.slot_length(migration, policy),
            step: policy.windows.slot_step,
        };
        let free = |slot: &Slot| {
            !migration.declined.iter().any(|declined| declined.overlaps(*slot))
                && self.room_for(migration, policy, *slot).is_ok()
        };
        let mut times: Vec<Slot> = wanted.fits(&open).filter(free).take(MOST_TIMES).collect();
        // Whoever declined one has later ones first.
        if let Some(declined) = migration.declined.last() {
            times.sort_by_key(|slot| (slot.start < declined.end, slot.start));
        }
        times
    }

    /// What a migration uses while it is done, and how much of that may go on at once.
    fn shared_by(
        &self,
        migration: &Migration,
        policy: &Policy,
        seeking: &[Known<'_, Migration>],
    ) -> Vec<(Shared, Option<u32>)> {
        let at_host = policy.limits.reboots_per_host;
        let mut shared = vec![(Shared::Host(migration.from.clone()), Some(at_host))];
        let to = migration.to().filter(|to| **to != migration.from);
        shared.extend(to.map(|to| (Shared::Host(to.clone()), Some(at_host))));
        let Some(owner) = &migration.owner else { return shared };
        let most = self.most_of_owner(migration, policy).map(|(most, _)| most);
        shared.push((Shared::Account(owner.clone()), most));
        // A limit that one of them has counts all that it is meant for, whether or not it is theirs as well.
        let theirs = seeking.iter().filter(|other| other.owner.as_ref() == Some(owner));
        let mut scopes: BTreeMap<String, (Scope, Option<u32>)> = BTreeMap::new();
        for other in theirs {
            for limit in self.owners.limits_for(&self.whose(other)) {
                let known = scopes.entry(limit.scope.to_string()).or_insert((limit.scope.clone(), None));
                if other.id == migration.id {
                    known.1 = Some(limit.max_simultaneous);
                }
            }
        }
        let mine = self.whose(migration);
        let counts = scopes.into_iter().filter(|(_, (scope, _))| scope.nearness(&mine).is_some());
        shared.extend(counts.map(|(name, (_, most))| (Shared::Limit(owner.clone(), name), most)));
        shared
    }

    /// What is promised already of something that is shared.
    fn promised(&self, what: &Shared, by: &Migration) -> Gate {
        let taken = match what {
            Shared::Host(host) => self.counted.all_at(host).collect(),
            Shared::Account(owner) => self.counted.all_to(owner).map(|(slot, _)| slot).collect(),
            Shared::Limit(owner, name) => {
                let limits = self.owners.limits_for(&self.whose(by));
                let scope =
                    limits.iter().find(|limit| limit.scope.to_string() == *name).map(|limit| &limit.scope);
                let among = |server: &ServerId| {
                    scope.is_none_or(|scope| scope.nearness(&self.whose_of(owner, *server)).is_some())
                };
                let promised = self.counted.all_to(owner).filter(|(_, server)| among(server));
                promised.map(|(slot, _)| slot).collect()
            }
        };
        Gate { taken }
    }
}

/// When a server would be rebooted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOf {
    /// Which.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// The host that it leaves.
    pub from: HostName,
    /// When, or why there is no time.
    pub time: Result<Slot, NoTime>,
}

/// Why there is no time for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTime {
    /// What stands in the way.
    pub why: String,
    /// The least that would have to change.
    pub would_help: String,
}

/// When the servers of a maintenance would be rebooted whose owners have to agree: those that wait for it, what is planned besides, and those of
/// hosts whose turn is yet to come.
/// Nothing is told to anybody.
#[must_use]
pub fn times_of<'p>(
    situation: Situation<'_>,
    maintenance: &Maintenance,
    planned: impl IntoIterator<Item = &'p Planned>,
) -> Vec<TimeOf> {
    if maintenance.urgency != Urgency::Normal {
        return Vec::new();
    }
    let mut conductor = Conductor::new(situation);
    let maintenance = Maintenance { state: MaintenanceState::Running, ..maintenance.clone() };
    conductor.maintenances.insert(maintenance.id, maintenance.clone().into());
    let later = conductor.to_be_asked_later(&maintenance);
    let all = planned.into_iter().filter(|planned| planned.agreement != Agreement::NotNeeded);
    let all: Vec<Planned> = all.cloned().chain(later).collect();
    let asked = |migration: &&Migration| {
        migration.method == Method::Reboot
            && (migration.appointment.slot().is_some() || conductor.seeks_time(migration))
    };
    let mut meant: Vec<Migration> = conductor.open_of(maintenance.id).filter(asked).cloned().collect();
    for planned in &all {
        let is_open = |known: &&Known<'_, Migration>| known.server == planned.server && known.is_open();
        if conductor.migrations.iter().find(is_open).is_none() {
            conductor.take_on(&maintenance, planned);
            meant.extend(conductor.migrations.last().map(|known| Migration::clone(known)));
        }
    }
    conductor.set_times_aside();
    meant.into_iter().filter_map(|migration| conductor.time_of(migration)).collect()
}

impl Conductor<'_> {
    /// Servers of hosts whose turn is yet to come, as far as their owners will be asked.
    fn to_be_asked_later(&self, maintenance: &Maintenance) -> Vec<Planned> {
        let servers = maintenance.to_be_emptied().flat_map(|host| self.fleet.on(host));
        let planned = servers.map(|server| self.planned_later(server));
        planned.filter(|planned| planned.agreement != Agreement::NotNeeded).collect()
    }

    fn time_of(&mut self, migration: Migration) -> Option<TimeOf> {
        let time = if let Some(slot) = migration.appointment.slot() {
            Ok(slot)
        } else if migration.appointment == Appointment::Unscheduled {
            let policy = self.policy_for(&migration);
            let found = self.find_slot(&migration, &policy.policy);
            if let Ok(found) = &found {
                self.counted.change(&migration, &with_time(&migration, found.slot), self.fleet);
            }
            found.map(|found| found.slot).map_err(|none| NoTime { why: none.why, would_help: none.help })
        } else {
            // It begins at once.
            return None;
        };
        let Migration { server, server_name: name, from, .. } = migration;
        Some(TimeOf { server, name, from, time })
    }

    /// What would make a time possible for one that finds none: the least of each kind, and `besides`.
    pub(super) fn would_help(&self, migration: &Migration, policy: &Policy, besides: &str) -> String {
        let (not_before, range) = self.between(migration, policy);
        let wanted = Wanted {
            not_before,
            length: self.slot_length(migration, policy),
            step: policy.windows.slot_step,
        };
        let whose = self.whose(migration);
        let mut helps = Vec::new();
        let (open, _) = match not_before < migration.deadline {
            true => self.owners.open_for(&whose, policy, range),
            false => (Vec::new(), Nearness::Policy),
        };
        let full: Vec<Full> = wanted
            .fits(&open)
            .take(MOST_TIMES)
            .filter_map(|slot| self.room_for(migration, policy, slot).err())
            .collect();
        if full.contains(&Full::Hosts) {
            let more = policy.limits.reboots_per_host + 1;
            helps.push(format!(
                "limits.reboots_per_host of {more} (its hosts are promised to others at all open times)"
            ));
        }
        let of_owner = full.iter().find_map(|full| match full {
            Full::Owner { most, among, says } => Some((most + 1, among, says)),
            Full::Hosts => None,
        });
        helps.extend(of_owner.map(|(more, among, says)| match says {
            Says::Policy => {
                format!("limits.per_owner of {more} (its owner's servers are promised all open times)")
            }
            Says::Maintenance => {
                format!(
                    "per_owner of {more} in its maintenance (its owner's servers are promised all open times)"
                )
            }
            Says::Owner => format!("{more} at once in its owner's limit for {among}"),
        }));
        let later = Slot::from_start(migration.deadline, LOOKED_AHEAD);
        let (open, _) = self.owners.open_for(&whose, policy, later);
        let beyond = Wanted { not_before: migration.deadline - wanted.length.delta(), ..wanted };
        let first = || beyond.fits(&open).find(|slot| self.room_for(migration, policy, *slot).is_ok());
        helps.push(if not_before >= migration.deadline {
            // Without the present in it, as above.
            let needed = Span(self.wait_for(migration, policy).0 + wanted.length.0);
            format!("a deadline at least {needed} away")
        } else if let Some(slot) = first() {
            format!("a deadline of {} or later", slot.end.format("%Y-%m-%d %H:%M UTC"))
        } else {
            "a later deadline".to_owned()
        });
        format!("{}, {besides}, or a time chosen by the owner would help", helps.join(", "))
    }
}

fn with_time(migration: &Migration, slot: Slot) -> Migration {
    Migration { appointment: Appointment::Proposed { slot }, ..migration.clone() }
}
