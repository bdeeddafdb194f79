//! What is to be done now: the one place that turns fleet, wishes and reports into orders.
//!
//! [`conduct`] reads the whole situation and answers with everything that changes. It is called again whenever something may have changed,
//! and on a timer; it keeps nothing between two calls, and called twice in the same situation it changes nothing the second time. There is one such
//! path, used all the time, also after a crash.

mod armed;
mod asked;
mod at_hand;
mod bulletins;
mod counted;
mod decided;
mod drill;
mod explain;
mod hosts;
mod imports;
mod known;
mod links;
mod live;
mod reboot;
mod replicas;
mod rolling;
mod schedule;
mod shape;
mod shared;
mod test_launches;
mod times;
mod validation;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use crate::appointment::Refusal;
use crate::attempt::Report;
use crate::blueprint::Blueprints;
use crate::events::{Event, Happened};
use crate::fleet::Fleet;
use crate::ids::{HostName, IdSource, MaintenanceId, MigrationId, OperationId, ServerId};
use crate::import::Import;
use crate::maintenance::{Balance, Maintenance, Stage, State as MaintenanceState, Urgency, Wave};
use crate::migration::{Migration, State, Waiting};
use crate::notices::{Actor, Tells, WhyGivenUp};
use crate::owners::OwnersRules;
use crate::placement::Room;
use crate::policy::PolicySet;
use crate::replica::Replica;
use crate::time::{Instant, Span};
use crate::windows::Slot;

use at_hand::AtHand;
use counted::Counted;
use known::Known;
use rolling::Bound;

pub use armed::Within;
pub use asked::{Back, Opened, Other, Refusal as AskedRefusal, Request, ask, cancel, revert};
pub use decided::{
    Changes, Cutover, DraftBulletin, DraftNotice, HookRun, IfRunning, Intent, LocalDisks, NewOperation,
    NewWish, Shape, Situation,
};
pub use explain::{Hindrance, hindrances};
pub use imports::{
    ImportRefusal, ImportRequest, OpenedImport, cancel as cancel_import, import,
    reservations as import_places, retry as retry_import,
};
pub use rolling::{Ahead, Effort, PlannedAhead, why_not_yet};
pub use schedule::slot_length;
pub use times::{NoTime, TimeOf, times_of};

/// Whether something may be begun for a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Go {
    Run,
    Paused,
    Emergency { why: String },
    Cancelled,
}

/// Decides what is to be done now.
#[must_use]
pub fn conduct(situation: Situation<'_>) -> Changes {
    let mut conductor = Conductor::new(situation);
    conductor.look_at_imports();
    conductor.give_turns();
    conductor.plan_newcomers();
    conductor.look_at_replicas();
    conductor.set_times_aside();
    conductor.advance_all();
    conductor.look_after_replicas();
    conductor.look_at_hosts();
    conductor.rehearse();
    conductor.into_changes()
}

/// In which order a maintenance would take its hosts, as things are now.
#[must_use]
pub fn waves_of(situation: Situation<'_>, maintenance: &Maintenance) -> Vec<Wave> {
    Conductor::new(situation).waves(maintenance)
}

/// What a maintenance would do with the hosts whose turn is yet to come, as things are now.
#[must_use]
pub fn ahead_of(situation: Situation<'_>, maintenance: &Maintenance) -> Ahead {
    Conductor::new(situation).expecting_back(maintenance).ahead(maintenance)
}

/// What a rebalance would move, as things are now.
#[must_use]
pub fn balance_of(situation: Situation<'_>, maintenance: &Maintenance) -> Balance {
    Conductor::new(situation).balance(maintenance)
}

/// Times at which a migration could happen, for its owner to choose from: the first `most` that are open to him, have room, and are as far
/// ahead as policy wants a new time to be.
#[must_use]
pub fn free_slots(situation: Situation<'_>, migration: MigrationId, most: usize) -> Vec<Slot> {
    let conductor = Conductor::new(situation);
    let Some(migration) = conductor.find(migration) else { return Vec::new() };
    let policy = conductor.policy_for(migration);
    conductor.free_slots(migration, &policy.policy, most)
}

/// The slot that begins at a wished moment, as long as this migration needs.
///
/// An owner may choose a time outside of his own windows, for he knows best; but not on a day on which nothing is done, and not when the
/// hosts are taken, or as many of his servers as he allows at once.
///
/// # Errors
/// Why that time can't be had, with others that can.
pub fn slot_at(
    situation: Situation<'_>,
    migration: MigrationId,
    wished: Instant,
) -> Result<Option<Slot>, Refusal> {
    let conductor = Conductor::new(situation);
    let Some(migration) = conductor.find(migration) else { return Ok(None) };
    let policy = conductor.policy_for(migration);
    conductor.slot_at(migration, &policy.policy, wished).map(Some)
}

/// The owner says: not at this time. Another one is proposed, in another opening of his windows if there is one; and if there is none at
/// all, what policy says is done. Answers with all that changes; with nothing when the migration is none that waits.
///
/// # Errors
/// The time can't be declined, and what can be done instead.
pub fn decline(
    situation: Situation<'_>,
    migration: MigrationId,
    by: Actor,
) -> Result<Option<Changes>, Refusal> {
    let mut conductor = Conductor::new(situation);
    let Some(migration) = conductor.find(migration).cloned() else { return Ok(None) };
    if migration.is_drill() {
        // There is no better time for a drill: it ends.
        let ended = conductor.stop_drill(migration, WhyGivenUp::Cancelled { by });
        conductor.write(ended);
        return Ok(Some(conductor.into_changes()));
    }
    conductor.decline(migration, by)?;
    Ok(Some(conductor.into_changes()))
}

/// The situation while it is being worked through.
struct Conductor<'a> {
    now: Instant,
    ids: &'a dyn IdSource,
    next_number: u32,
    fleet: &'a Fleet,
    policies: &'a PolicySet,
    owners: &'a OwnersRules,
    patient: &'a BTreeSet<HostName>,
    checking: &'a BTreeSet<HostName>,
    blueprints: &'a Blueprints,
    reports: &'a BTreeMap<OperationId, Report>,
    wishes: &'a BTreeMap<OperationId, NewWish>,
    told: &'a BTreeSet<String>,
    history: &'a BTreeMap<ServerId, Vec<Span>>,
    maintenances: BTreeMap<MaintenanceId, Known<'a, Maintenance>>,
    /// In the order in which they are served: oldest first, so that nobody starves.
    migrations: Vec<Known<'a, Migration>>,
    /// Apart from them: see [`drill`].
    drills: Vec<Known<'a, Migration>>,
    /// Every one that is not gone.
    replicas: Vec<Replica>,
    /// Every one that is not over.
    imports: Vec<Import>,
    /// Maintenances that have changed in this look.
    touched: BTreeSet<MaintenanceId>,
    /// Hosts whose turn to be emptied is yet to come: nobody goes there who can go elsewhere.
    doomed: BTreeSet<HostName>,
    /// Hosts that are worked on and counted on for what is to come: only where that is looked at.
    expected_back: BTreeSet<HostName>,
    /// Where servers are to go whose hosts begin in this look.
    bound: BTreeMap<ServerId, Bound>,
    /// Times that were found for several together, for this look.
    set_aside: BTreeMap<MigrationId, times::SetAside>,
    counted: Counted,
    at_hand: AtHand,
    room: Room<'a>,
    changes: Changes,
    /// Where in `changes` a migration is.
    changed: BTreeMap<MigrationId, usize>,
    /// Keys of the notices in `changes`.
    drafted: BTreeSet<String>,
}

impl<'a> Conductor<'a> {
    fn new(situation: Situation<'a>) -> Self {
        let (drills, mut migrations): (Vec<_>, Vec<_>) =
            situation.migrations.into_iter().map(Known::Read).partition(|migration| migration.is_drill());
        migrations.sort_by_key(|migration| (migration.opened_at, migration.number));
        let under_way = situation.maintenances.iter().filter(|maintenance| maintenance.is_under_way());
        let doomed: BTreeSet<HostName> =
            under_way.flat_map(|maintenance| maintenance.to_be_emptied()).cloned().collect();
        let Situation { fleet, policies, reports, now, .. } = situation;
        let (imports, replicas) = (&situation.imports, &situation.replicas);
        let read = || migrations.iter().map(|known| &**known);
        // Thousands of open migrations are gone over for each of these.
        let (room, (counted, at_hand)) = rayon::join(
            || {
                let open = read().filter(|migration| migration.is_open());
                let mut reservations: Vec<_> = open.filter_map(|migration| migration.place.clone()).collect();
                reservations.extend(imports::reservations(imports, fleet, policies, reports));
                let mut room = Room::new(fleet, &reservations, policies, now);
                replicas::settle(&mut room, replicas, &migrations);
                room.spares(&doomed);
                room
            },
            || (Counted::new(read(), fleet), AtHand::new(read())),
        );
        Self {
            now: situation.now,
            ids: situation.ids,
            next_number: situation.next_number,
            fleet: situation.fleet,
            policies: situation.policies,
            owners: situation.owners,
            patient: situation.patient,
            checking: situation.checking,
            blueprints: situation.blueprints,
            reports: situation.reports,
            wishes: situation.wishes,
            told: situation.told,
            history: situation.history,
            maintenances: situation.maintenances.into_iter().map(|m| (m.id, Known::Read(m))).collect(),
            touched: BTreeSet::new(),
            doomed,
            expected_back: BTreeSet::new(),
            bound: BTreeMap::new(),
            set_aside: BTreeMap::new(),
            counted,
            at_hand,
            migrations,
            drills,
            replicas: situation.replicas,
            imports: situation.imports,
            room,
            changes: Changes::default(),
            changed: BTreeMap::new(),
            drafted: BTreeSet::new(),
        }
    }

    fn find(&self, id: MigrationId) -> Option<&Migration> {
        let known = self.at_hand.migration(id).map(|place| &self.migrations[place]);
        known.or_else(|| self.drills.iter().find(|known| known.id == id)).map(|known| &**known)
    }

    fn advance_all(&mut self) {
        for index in 0..self.migrations.len() {
            if self.goes_on_by_itself(&self.migrations[index]) {
                continue;
            }
            let before = self.migrations[index].clone();
            let mut migration = Migration::clone(&before);
            // A few states follow at once (an end is taken in, and the next try begins). The bound is a guard against a cycle, which
            // would be a mistake in the machine: the next call goes on.
            for _ in 0..4 {
                let state = migration.state.clone();
                migration = self.advance(migration);
                if migration.state == state {
                    break;
                }
            }
            if migration != *before {
                self.counted.change(&before, &migration, self.fleet);
                self.migrations[index] = migration.clone().into();
                self.write(migration);
            }
        }
    }

    /// Whether there is nothing to be decided: an agent works on it, nobody wants it to stop, and nothing has been told.
    fn goes_on_by_itself(&self, migration: &Migration) -> bool {
        match migration.state {
            State::Preflight { operation }
            | State::Transferring { operation, .. }
            | State::Verifying { operation, .. } => {
                !self.reports.contains_key(&operation) && self.go(migration) != Go::Cancelled
            }
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::RolledBack { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Failed { .. }
            | State::Succeeded { .. }
            | State::Reverting { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => false,
        }
    }

    /// One that was opened in this very call is written once, as it is now.
    fn write(&mut self, mut migration: Migration) {
        if let Some(idle) = Self::look_is_idle(&mut migration)
            && !self.changes.ended.contains(&idle)
        {
            self.changes.ended.push(idle);
        }
        match self.changed.get(&migration.id) {
            Some(index) => self.changes.migrations[*index] = migration,
            None => {
                self.changed.insert(migration.id, self.changes.migrations.len());
                self.changes.migrations.push(migration);
            }
        }
    }

    fn advance(&mut self, migration: Migration) -> Migration {
        match migration.state {
            State::Pending { .. } => self.pending(migration),
            State::Preflight { .. } | State::Transferring { .. } => self.moving_live(migration),
            State::Preparing { .. } | State::Ready { .. } => self.ready(migration),
            State::CuttingOver { .. } => self.cutting_over(migration),
            State::Verifying { .. } => self.verifying(migration),
            State::RolledBack { .. } => self.rolled_back(migration),
            State::Completed { .. } => self.completed(migration),
            State::Discarding { .. } => self.discarding(migration),
            State::Failed { .. } => self.failed(migration),
            State::Succeeded { .. }
            // Its end comes from what reverts it.
            | State::Reverting { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            // A drill is no part of this: see `drill`.
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => migration,
        }
    }

    fn go(&self, migration: &Migration) -> Go {
        let Some(maintenance) = migration.maintenance.and_then(|id| self.maintenances.get(&id)) else {
            return Go::Run;
        };
        if matches!(maintenance.hosts.get(&migration.from), Some(Stage::Skipped { .. })) {
            return Go::Cancelled;
        }
        match &maintenance.state {
            MaintenanceState::Cancelled { .. } => Go::Cancelled,
            // What somebody asked for himself is not the maintenance's to put off.
            MaintenanceState::Paused { .. } if migration.asked().is_some() => Go::Run,
            MaintenanceState::Paused { .. } => Go::Paused,
            MaintenanceState::Draft
            | MaintenanceState::Planned
            | MaintenanceState::Approved { .. }
            | MaintenanceState::Running
            | MaintenanceState::Completed { .. }
            | MaintenanceState::Failed { .. } => match &maintenance.urgency {
                Urgency::Emergency { why } => Go::Emergency { why: why.clone() },
                Urgency::Normal => Go::Run,
            },
        }
    }

    /// Waits on; said in the story only when the reason is another one than before.
    fn wait(&mut self, mut migration: Migration, waits_for: Waiting) -> Migration {
        let wake = match &waits_for {
            Waiting::BackOff { until } | Waiting::Owner { until } => Some(*until),
            Waiting::Nothing
            | Waiting::Turn { .. }
            | Waiting::Place { .. }
            | Waiting::Blocked { .. }
            | Waiting::Slot { .. }
            | Waiting::Agent { .. }
            | Waiting::Replica { .. }
            | Waiting::Paused => None,
        };
        if let Some(wake) = wake {
            self.look_again_at(wake);
        }
        if migration.state.waits_for() != Some(&waits_for) {
            match &waits_for {
                // A turn and a try come by themselves in a moment; an appointment has been told as such.
                Waiting::Nothing
                | Waiting::Turn { .. }
                | Waiting::BackOff { .. }
                | Waiting::Owner { .. }
                // How far it is, is told by the replica.
                | Waiting::Replica { .. } => {}
                Waiting::Place { .. }
                | Waiting::Blocked { .. }
                | Waiting::Slot { .. }
                | Waiting::Agent { .. }
                | Waiting::Paused => {
                    self.say(&migration, Happened::Waits { waits_for: waits_for.to_string() });
                }
            }
        }
        let ready = matches!(migration.state, State::Ready { .. });
        let preparing = matches!(migration.state, State::Preparing { .. });
        migration.state = if ready {
            State::Ready { waits_for }
        } else if preparing {
            State::Preparing { waits_for }
        } else {
            State::Pending { waits_for }
        };
        migration
    }

    fn look_again_at(&mut self, moment: Instant) {
        if moment > self.now {
            let sooner = self.changes.look_again_at.is_none_or(|known| moment < known);
            if sooner {
                self.changes.look_again_at = Some(moment);
            }
        }
    }

    /// Wishes something else of a running order, unless that is wished already or it is being aborted.
    fn wish(&mut self, operation: OperationId, wish: NewWish) {
        let known = self.wishes.get(&operation);
        let aborting = matches!(known, Some(NewWish::AbortNotConverging | NewWish::AbortAsked));
        if !aborting && known != Some(&wish) {
            self.changes.wished.push((operation, wish));
        }
    }

    /// Ends what runs for a maintenance that was cancelled; what can't be ended any more comes to its own end.
    fn abort_if_cancelled(&mut self, migration: &Migration) {
        if self.go(migration) == Go::Cancelled
            && let Ok(operation) = migration.abort()
        {
            self.wish(operation, NewWish::AbortAsked);
        }
    }

    fn say(&mut self, migration: &Migration, what: Happened) {
        self.changes.events.push(Event {
            at: self.now,
            maintenance: migration.maintenance,
            migration: Some(migration.id),
            import: None,
            server: Some((migration.server, migration.server_name.clone())),
            owner: migration.owner.clone(),
            host: Some(migration.from.clone()),
            what,
        });
    }

    /// Tells the owner, unless the fact has been told.
    fn tell(&mut self, migration: &Migration, fact: &str, tells: Tells) {
        if migration.ticket.is_none() {
            return;
        }
        let key = format!("{}/{fact}", migration.id);
        if !self.told.contains(&key) && self.drafted.insert(key.clone()) {
            self.changes.notices.push(DraftNotice { key, migration: migration.id, tells });
        }
    }

    fn into_changes(self) -> Changes {
        let Self { touched, mut maintenances, mut changes, .. } = self;
        let changed = touched.into_iter().filter_map(|id| maintenances.remove(&id));
        changes.maintenances.extend(changed.map(Known::into_inner));
        changes
    }
}
