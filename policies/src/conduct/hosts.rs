//! Maintenances and their hosts: newcomers are planned, warnings given, and a host is called empty when its libvirt says so.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conductor, Intent};
use crate::appointment::Appointment;
use crate::attempt::{Method, Report};
use crate::checks::Validation;
use crate::events::{Event, Happened};
use crate::ids::{HostName, MaintenanceId, MigrationId, ServerId};
use crate::maintenance::{Kind, Maintenance, RollingHappened, Stage, State as MaintenanceState, Warned};
use crate::migration::{Migration, Purpose, State, Waiting};
use crate::plan::Planned;
use crate::planner::{self, Input, Kept};
use crate::time::Instant;

impl Conductor<'_> {
    /// Servers on hosts that are being emptied and of which no migration is known get one. That is the first plan of a maintenance, and every later
    /// one: a server that appears is planned like the others.
    pub(super) fn plan_newcomers(&mut self) {
        let running: Vec<MaintenanceId> = self
            .maintenances
            .values()
            .filter(|maintenance| maintenance.state == MaintenanceState::Running)
            .map(|maintenance| maintenance.id)
            .collect();
        let adopting = self.adopt_and_release();
        for id in running {
            let newcomers = self.newcomers(id);
            if !newcomers.is_empty() || adopting.contains(&id) {
                self.plan(id, &newcomers);
            }
        }
    }

    fn newcomers(&self, id: MaintenanceId) -> BTreeSet<ServerId> {
        let Some(maintenance) = self.maintenances.get(&id) else { return BTreeSet::new() };
        let known: BTreeSet<(&HostName, ServerId)> = self
            .migrations
            .iter()
            .filter(|migration| migration.is_open())
            .map(|migration| (&migration.from, migration.server))
            .collect();
        maintenance
            .being_emptied()
            .filter(|host| !self.is_silent(host))
            .flat_map(|host| self.fleet.on(host))
            .filter(|server| !known.contains(&(&server.host, server.facts.id)))
            // One that arrives was begun before the host was cordoned; it is planned when it is there.
            .filter(|server| server.facts.power != crate::fleet::Power::Arriving)
            .map(|server| server.facts.id)
            .collect()
    }

    fn plan(&mut self, id: MaintenanceId, newcomers: &BTreeSet<ServerId>) {
        let Some(maintenance) = self.maintenances.get(&id).cloned() else { return };
        let open = || self.migrations.iter().filter(|migration| migration.is_open());
        let mut reservations: Vec<_> = open().filter_map(|migration| migration.place.clone()).collect();
        reservations.extend(self.imports.iter().map(|import| self.place_of(import)));
        let placed = self
            .bound
            .iter()
            .map(|(server, to)| (*server, Kept::Decided { to: Some(to.clone()), reboot: None }));
        let kept: BTreeMap<ServerId, Kept> =
            placed.chain(open().map(|migration| (migration.server, kept(migration)))).collect();
        let emptying: BTreeSet<HostName> = maintenance.being_emptied().cloned().collect();
        let (plan, _) = planner::plan(&Input {
            now: self.now,
            fleet: self.fleet,
            policies: self.policies,
            emptying: &emptying,
            doomed: &self.doomed,
            reservations: &reservations,
            kept: &kept,
            history: self.history,
            blueprints: self.blueprints,
        });
        for planned in plan.servers().filter(|planned| newcomers.contains(&planned.server)) {
            let migration = self.open(&maintenance, planned);
            self.counted.add(&migration, self.fleet);
            self.write(migration.clone());
            self.migrations.push(migration);
        }
        self.changes.plans.push((id, plan));
    }

    fn open(&mut self, maintenance: &Maintenance, planned: &Planned) -> Migration {
        let number = self.next_number;
        self.next_number += 1;
        if let Some(place) = &planned.place {
            self.room.reserve(place.clone());
        }
        let method = planned.decision.method().unwrap_or(Method::Live);
        let why_not_live = planned.decision.why_not_live().cloned();
        let migration = Migration {
            id: MigrationId::draw(self.ids),
            number,
            maintenance: Some(maintenance.id),
            purpose: Purpose::Move,
            reason: maintenance.reason.clone(),
            server: planned.server,
            server_name: planned.name.clone(),
            owner: planned.owner.clone(),
            from: planned.from.clone(),
            place: planned.place.clone(),
            place_why: planned.place_why.clone(),
            method,
            why_not_live: why_not_live.clone(),
            state: State::Pending { waits_for: Waiting::Nothing },
            attempts: Vec::new(),
            appointment: Appointment::Unscheduled,
            agreed_at: None,
            declined: Vec::new(),
            ticket: None,
            deadline: maintenance.deadline,
            opened_at: self.now,
            validation: Validation::default(),
            shaped: None,
        };
        let to = migration.to().cloned();
        self.say(&migration, Happened::Planned { method, to, why_not_live });
        migration
    }

    /// Every open maintenance: what its hosts need, and whether a warning is due. A cancelled one gives its hosts back.
    pub(super) fn look_at_hosts(&mut self) {
        let ids: Vec<MaintenanceId> = self.maintenances.keys().copied().collect();
        for id in ids {
            let Some(before) = self.maintenances.get(&id).cloned() else { continue };
            let after = if before.goes_on() { self.look_at(before.clone()) } else { before.clone() };
            if !after.is_open() {
                self.give_back(&after);
            }
            if after != before || self.touched.contains(&id) {
                self.maintenances.insert(id, after.clone());
                self.changes.maintenances.push(after);
            }
        }
    }

    fn look_at(&mut self, mut maintenance: Maintenance) -> Maintenance {
        let hosts: Vec<HostName> = maintenance.hosts.keys().cloned().collect();
        for host in hosts {
            let Some(stage) = maintenance.hosts.get(&host).cloned() else { continue };
            let stage = self.look_at_host(&maintenance, &host, stage);
            maintenance.hosts.insert(host, stage);
        }
        if !maintenance.is_open() {
            return maintenance;
        }
        if maintenance.state == MaintenanceState::Running && self.every_host_is_over(&maintenance) {
            maintenance.state = self.end(&maintenance);
            return maintenance;
        }
        if maintenance.state == MaintenanceState::Running && maintenance.is_halted() {
            self.halt(&mut maintenance);
        }
        self.watch_the_time(&mut maintenance);
        if maintenance.warned == Warned::No {
            if self.now >= maintenance.warn_at {
                let (kind, deadline) = (maintenance.kind(), maintenance.deadline);
                if maintenance.rolling.is_plain() {
                    let waiting = self.open_of(maintenance.id).count();
                    self.say_of(&maintenance, None, Happened::DeadlineNear { waiting, deadline });
                } else {
                    let hosts = maintenance.hosts_at(|stage| !stage.is_over(kind)).count();
                    self.say_rolling(&maintenance, None, RollingHappened::DeadlineNear { hosts, deadline });
                }
                maintenance.warned = Warned::Yes;
            } else {
                self.look_again_at(maintenance.warn_at);
            }
        }
        maintenance
    }

    /// Nothing more is done with any of them: what was left out is back in service, and who has failed needs a person in any case.
    fn every_host_is_over(&self, maintenance: &Maintenance) -> bool {
        let kind = maintenance.kind();
        maintenance.hosts.iter().all(|(host, stage)| match stage {
            Stage::Skipped { .. } => !self.is_busy(maintenance, host),
            Stage::Failed { .. } => true,
            stage => stage.is_over(kind),
        })
    }

    fn end(&mut self, maintenance: &Maintenance) -> MaintenanceState {
        let failed: Vec<HostName> = maintenance.failed().cloned().collect();
        let skipped = maintenance.hosts_at(|stage| matches!(stage, Stage::Skipped { .. })).count();
        if maintenance.kind() == Kind::Drain && skipped == 0 {
            self.say_of(maintenance, None, Happened::MaintenanceCompleted);
        } else {
            let done = maintenance.hosts.len() - skipped - failed.len();
            self.say_rolling(maintenance, None, RollingHappened::Ended { done, skipped, failed });
        }
        match maintenance.is_halted() {
            true => MaintenanceState::Failed { at: self.now },
            false => MaintenanceState::Completed { at: self.now },
        }
    }

    fn look_at_host(&mut self, maintenance: &Maintenance, host: &HostName, stage: Stage) -> Stage {
        match stage {
            Stage::Draining | Stage::Confirming { .. } if maintenance.is_under_way() => {
                match self.drain(maintenance, host, stage) {
                    Stage::Drained { at } => self.emptied_for(maintenance, host, at),
                    stage => stage,
                }
            }
            Stage::Drained { at } if maintenance.is_under_way() => {
                match self.drain(maintenance, host, Stage::Drained { at }) {
                    Stage::Drained { at } => self.emptied_for(maintenance, host, at),
                    stage => stage,
                }
            }
            Stage::Working { .. } => self.work(maintenance, host, stage),
            Stage::Skipped { .. } if !self.is_busy(maintenance, host) => {
                self.back_in_service(maintenance, host);
                stage
            }
            Stage::Waiting
            | Stage::Draining
            | Stage::Confirming { .. }
            | Stage::Drained { .. }
            | Stage::Done { .. }
            | Stage::Skipped { .. }
            | Stage::Failed { .. } => stage,
        }
    }

    fn emptied_for(&mut self, maintenance: &Maintenance, host: &HostName, at: Instant) -> Stage {
        match maintenance.kind() {
            Kind::Drain | Kind::Decommission => Stage::Drained { at },
            Kind::Patch => self.begin_work(maintenance, host, at),
        }
    }

    fn drain(&mut self, maintenance: &Maintenance, host: &HostName, stage: Stage) -> Stage {
        match stage {
            Stage::Drained { at } => match self.nobody_left(maintenance.id, host) {
                // Somebody started a server there by hand while other hosts were still being emptied.
                false if !self.is_silent(host) => Stage::Draining,
                _ => Stage::Drained { at },
            },
            Stage::Draining => {
                if self.nobody_left(maintenance.id, host) && !self.is_silent(host) {
                    let operation = self.order(host.clone(), None, Intent::ConfirmEmpty);
                    Stage::Confirming { operation }
                } else {
                    Stage::Draining
                }
            }
            Stage::Confirming { operation } => match self.reports.get(&operation) {
                None | Some(Report::Running(_)) => Stage::Confirming { operation },
                Some(Report::Counted { left, .. }) if left.is_empty() => {
                    self.changes.ended.push(operation);
                    self.confirmed(maintenance, host)
                }
                Some(Report::Counted { left, .. }) => {
                    self.changes.ended.push(operation);
                    // The inventory that names them is on its way; they are planned like any newcomer.
                    self.say_of(maintenance, Some(host), Happened::HostNotEmpty { left: left.clone() });
                    Stage::Draining
                }
                Some(
                    Report::Refused(_)
                    | Report::Ended(_)
                    | Report::Alive { .. }
                    | Report::NotAlive(_)
                    | Report::Discarded
                    | Report::Held
                    | Report::Replicating(_)
                    | Report::Stopped
                    | Report::Released
                    | Report::Importing(_)
                    | Report::ImportEnded { .. }
                    | Report::Testing(_)
                    | Report::RunningHook(_)
                    | Report::HookRan(_)
                    | Report::Healthy(_)
                    | Report::Unhealthy(_)
                    | Report::Tested { .. },
                ) => {
                    self.changes.ended.push(operation);
                    Stage::Draining
                }
            },
            Stage::Waiting
            | Stage::Working { .. }
            | Stage::Done { .. }
            | Stage::Skipped { .. }
            | Stage::Failed { .. } => stage,
        }
    }

    fn confirmed(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        self.say_of(maintenance, Some(host), Happened::HostEmpty);
        if let Some(known) = self.fleet.hosts.get(host)
            && let Ok(standing) = known.standing.clone().confirmed_empty(maintenance.id, self.now)
            && standing != known.standing
        {
            self.stands(host, standing);
        }
        self.drained(maintenance, host)
    }

    fn nobody_left(&self, id: MaintenanceId, host: &HostName) -> bool {
        // What is being imported becomes a server there, and has to leave like the others.
        let coming = self.imports.iter().any(|import| import.is_being_done() && import.host == *host);
        !coming
            && self.fleet.on(host).next().is_none()
            && !self.open_of(id).any(|migration| migration.from == *host)
    }

    pub(super) fn open_of(&self, id: MaintenanceId) -> impl Iterator<Item = &Migration> {
        self.migrations
            .iter()
            .filter(move |migration| migration.maintenance == Some(id) && migration.is_open())
    }

    /// Hosts go back to everybody once nothing of a cancelled maintenance runs on them. Those of a completed one stay drained: the operator works on
    /// them now, and opens them when he is done. So do those on which a hook had begun.
    fn give_back(&mut self, maintenance: &Maintenance) {
        if !matches!(maintenance.state, MaintenanceState::Cancelled { .. }) {
            return;
        }
        for (host, stage) in &maintenance.hosts {
            if stage.is_being_emptied() && !self.is_busy(maintenance, host) {
                self.back_in_service(maintenance, host);
            }
        }
    }

    pub(super) fn say_of(&mut self, maintenance: &Maintenance, host: Option<&HostName>, what: Happened) {
        self.changes.events.push(Event {
            at: self.now,
            maintenance: Some(maintenance.id),
            migration: None,
            import: None,
            server: None,
            owner: None,
            host: host.cloned(),
            what,
        });
    }
}

/// What a new plan has to take as given of a migration.
fn kept(migration: &Migration) -> Kept {
    match migration.to() {
        Some(to) if migration.is_moving() => {
            Kept::UnderWay { to: to.clone(), reboot: migration.why_not_live.clone() }
        }
        to => Kept::Decided { to: to.cloned(), reboot: migration.why_not_live.clone() },
    }
}
