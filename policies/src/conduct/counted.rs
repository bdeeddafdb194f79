//! What limits count, kept up to date while a situation is worked through: who is being moved, and which times are promised.
//!
//! Found by host, owner and cluster, so that the question whether one more may begin, or has room, costs the same whether a hundred
//! migrations are open or ten thousand.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use hashbrown::HashMap;

use super::links::{Link, links_of};
use crate::attempt::Method;
use crate::estimate::ASSUMED_BANDWIDTH;
use crate::fleet::Fleet;
use crate::ids::{HostName, MigrationId, OwnerId, ServerId};
use crate::migration::Migration;
use crate::time::Instant;
use crate::windows::Slot;

type Ids = BTreeSet<MigrationId>;

/// Everything that limits count.
#[derive(Debug, Default)]
pub(super) struct Counted {
    live_out: HashMap<HostName, Ids>,
    live_in: HashMap<HostName, Ids>,
    live_within: HashMap<Option<String>, Ids>,
    sent: HashMap<Link, Ids>,
    /// What those that are moved live were given, in bytes per second.
    rates: HashMap<MigrationId, u64>,
    reboots_at: HashMap<HostName, Ids>,
    moved_of: HashMap<OwnerId, Ids>,
    rebooted_of: HashMap<OwnerId, BTreeMap<MigrationId, ServerId>>,
    promised_at: HashMap<HostName, Promises>,
    promised_to: HashMap<OwnerId, Promises>,
}

/// Stretches of time that are promised, in the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct Promises {
    by_start: BTreeSet<(Instant, Instant, MigrationId, ServerId)>,
    /// No stretch that was ever in it is longer, so nothing that begins earlier than this before a moment reaches it.
    longest: TimeDelta,
}

impl Promises {
    fn all(&self) -> impl Iterator<Item = (Slot, ServerId)> + '_ {
        self.by_start.iter().map(|(start, end, _, server)| (Slot { start: *start, end: *end }, *server))
    }

    fn overlapping(&self, slot: Slot) -> impl Iterator<Item = (MigrationId, ServerId)> + '_ {
        let nil = uuid::Uuid::nil();
        let bound = |moment: Instant| (moment, Instant::MIN_UTC, MigrationId(nil), ServerId(nil));
        let earliest = slot.start.checked_sub_signed(self.longest).unwrap_or(Instant::MIN_UTC);
        self.by_start
            .range(bound(earliest)..bound(slot.end.max(earliest)))
            .filter(move |(start, end, ..)| Slot { start: *start, end: *end }.overlaps(slot))
            .map(|(_, _, id, server)| (*id, *server))
    }
}

/// What a migration counts as.
struct Counts<'a> {
    from: &'a HostName,
    /// Nothing where it is the same host.
    to: Option<&'a HostName>,
    promised: Option<Slot>,
    migration: &'a Migration,
}

impl<'a> Counts<'a> {
    fn of(migration: &'a Migration) -> Self {
        let to = migration.to().filter(|to| **to != migration.from);
        let reboot = migration.method == Method::Reboot && migration.is_open();
        let promised = migration.appointment.slot().filter(|_| reboot);
        Self { from: &migration.from, to, promised, migration }
    }

    fn hosts(&self) -> impl Iterator<Item = &'a HostName> + use<'a> {
        [self.from].into_iter().chain(self.to)
    }
}

impl Counted {
    pub(super) fn new<'a>(migrations: impl IntoIterator<Item = &'a Migration>, fleet: &Fleet) -> Self {
        let mut counted = Self::default();
        for migration in migrations {
            counted.add(migration, fleet);
        }
        counted
    }

    /// A migration is not what it was.
    pub(super) fn change(&mut self, before: &Migration, after: &Migration, fleet: &Fleet) {
        self.remove(before, fleet);
        self.add(after, fleet);
    }

    pub(super) fn add(&mut self, migration: &Migration, fleet: &Fleet) {
        let counts = Counts::of(migration);
        self.moving(&counts, fleet, |ids| {
            ids.insert(migration.id);
        });
        if let (true, Some(owner)) = (counts_for_owner(migration), &migration.owner) {
            self.rebooted_of.entry(owner.clone()).or_default().insert(migration.id, migration.server);
        }
        self.promises(&counts, |promises, slot| {
            promises.longest = promises.longest.max(slot.end - slot.start);
            promises.by_start.insert((slot.start, slot.end, migration.id, migration.server));
        });
    }

    fn remove(&mut self, migration: &Migration, fleet: &Fleet) {
        let counts = Counts::of(migration);
        self.moving(&counts, fleet, |ids| {
            ids.remove(&migration.id);
        });
        if let Some(rebooted) = migration.owner.as_ref().and_then(|owner| self.rebooted_of.get_mut(owner)) {
            rebooted.remove(&migration.id);
        }
        self.promises(&counts, |promises, slot| {
            promises.by_start.remove(&(slot.start, slot.end, migration.id, migration.server));
        });
    }

    fn moving(&mut self, counts: &Counts<'_>, fleet: &Fleet, change: impl Fn(&mut Ids)) {
        let migration = counts.migration;
        if !migration.is_moving() {
            return;
        }
        if let Some(owner) = &migration.owner {
            change(self.moved_of.entry(owner.clone()).or_default());
        }
        match migration.method {
            Method::Live => {
                change(self.live_out.entry(migration.from.clone()).or_default());
                if let Some(to) = migration.to() {
                    change(self.live_in.entry(to.clone()).or_default());
                }
                let cluster = cluster_of(fleet, &migration.from).map(ToOwned::to_owned);
                change(self.live_within.entry(cluster).or_default());
                for link in links_of(migration, fleet) {
                    change(self.sent.entry(link).or_default());
                }
                // One that was given none may take what it gets.
                let rate = migration.attempts.last().and_then(|attempt| attempt.rate);
                self.rates.insert(migration.id, rate.unwrap_or(ASSUMED_BANDWIDTH));
            }
            Method::Reboot => {
                for host in counts.hosts() {
                    change(self.reboots_at.entry(host.clone()).or_default());
                }
            }
        }
    }

    fn promises(&mut self, counts: &Counts<'_>, change: impl Fn(&mut Promises, Slot)) {
        let Some(slot) = counts.promised else { return };
        for host in counts.hosts() {
            change(self.promised_at.entry(host.clone()).or_default(), slot);
        }
        if let Some(owner) = &counts.migration.owner {
            change(self.promised_to.entry(owner.clone()).or_default(), slot);
        }
    }

    /// Live migrations that leave a host, `but` not counted.
    pub(super) fn live_out(&self, host: &HostName, but: MigrationId) -> u32 {
        count(self.live_out.get(host), but)
    }

    /// Live migrations that arrive at a host.
    pub(super) fn live_in(&self, host: &HostName, but: MigrationId) -> u32 {
        count(self.live_in.get(host), but)
    }

    /// Live migrations in a cluster.
    pub(super) fn live_within(&self, cluster: Option<&str>, but: MigrationId) -> u32 {
        count(self.live_within.get(&cluster.map(ToOwned::to_owned)), but)
    }

    /// Bytes per second that are given away of a link.
    pub(super) fn sent(&self, link: &Link, but: MigrationId) -> u64 {
        let ids = self.sent.get(link).into_iter().flatten().filter(|id| **id != but);
        ids.filter_map(|id| self.rates.get(id)).sum()
    }

    /// Reboot migrations that leave a host or arrive at it.
    pub(super) fn reboots_at(&self, host: &HostName, but: MigrationId) -> u32 {
        count(self.reboots_at.get(host), but)
    }

    /// Migrations of an owner's servers, of either method.
    pub(super) fn moved_of(&self, owner: &OwnerId, but: MigrationId) -> u32 {
        count(self.moved_of.get(owner), but)
    }

    /// Servers of an owner that a reboot migration with a ticket takes down now.
    pub(super) fn rebooted_of(&self, owner: &OwnerId, but: MigrationId) -> impl Iterator<Item = ServerId> {
        let rebooted = self.rebooted_of.get(owner).into_iter().flatten();
        rebooted.filter(move |(id, _)| **id != but).map(|(_, server)| *server)
    }

    /// How many times at a host are promised that touch a stretch of time.
    pub(super) fn promised_at(&self, host: &HostName, slot: Slot, but: MigrationId) -> u32 {
        let promised = self.promised_at.get(host).into_iter().flat_map(|promises| promises.overlapping(slot));
        u32::try_from(promised.filter(|(id, _)| *id != but).count()).unwrap_or(u32::MAX)
    }

    /// All times at a host that are promised.
    pub(super) fn all_at(&self, host: &HostName) -> impl Iterator<Item = Slot> + '_ {
        self.promised_at.get(host).into_iter().flat_map(Promises::all).map(|(slot, _)| slot)
    }

    /// All times that an owner's servers are promised.
    pub(super) fn all_to(&self, owner: &OwnerId) -> impl Iterator<Item = (Slot, ServerId)> + '_ {
        self.promised_to.get(owner).into_iter().flat_map(Promises::all)
    }

    /// Which of an owner's servers are promised a time that touches a stretch of time.
    pub(super) fn promised_to(
        &self,
        owner: &OwnerId,
        slot: Slot,
        but: MigrationId,
    ) -> impl Iterator<Item = ServerId> {
        let promised = self.promised_to.get(owner).into_iter().flat_map(move |all| all.overlapping(slot));
        promised.filter(move |(id, _)| *id != but).map(|(_, server)| server)
    }
}

/// A server that was off anyway takes nothing from its owner, and has no ticket.
fn counts_for_owner(migration: &Migration) -> bool {
    migration.is_moving() && migration.method == Method::Reboot && migration.ticket.is_some()
}

fn count(ids: Option<&Ids>, but: MigrationId) -> u32 {
    let count = ids.map_or(0, |ids| ids.len() - usize::from(ids.contains(&but)));
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn cluster_of<'a>(fleet: &'a Fleet, host: &HostName) -> Option<&'a str> {
    fleet.hosts.get(host).map(|host| host.facts.cluster.as_str())
}
