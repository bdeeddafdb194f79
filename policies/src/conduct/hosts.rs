//! Maintenances and their hosts: newcomers are planned, warnings given, and a host is called empty when its libvirt says so.

use std::collections::{BTreeMap, BTreeSet};

use super::known::Known;
use super::rolling::Bound;
use super::{Conductor, Intent};
use crate::appointment::Appointment;
use crate::attempt::{Method, Report};
use crate::bulletins::{End, Left};
use crate::checks::Validation;
use crate::events::{Event, Happened};
use crate::fleet::Server;
use crate::ids::{HostName, MaintenanceId, MigrationId, ServerId};
use crate::maintenance::{Kind, Maintenance, RollingHappened, Stage, State as MaintenanceState, Warned};
use crate::migration::{Migration, Purpose, State, Waiting};
use crate::placement::Reservation;
use crate::plan::Planned;
use crate::planner::{self, Input, Kept};
use crate::time::Instant;

impl<'a> Conductor<'a> {
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
            let adopted = adopting.get(&id).into_iter().flatten();
            let concerned: BTreeSet<HostName> =
                newcomers.iter().map(|server| &server.host).chain(adopted).cloned().collect();
            if !concerned.is_empty() {
                let newcomers = newcomers.into_iter().map(|server| server.facts.id).collect();
                self.plan(id, &newcomers, &concerned);
            }
        }
    }

    fn newcomers(&self, id: MaintenanceId) -> Vec<&'a Server> {
        let Some(maintenance) = self.maintenances.get(&id) else { return Vec::new() };
        maintenance
            .being_emptied()
            .filter(|host| !self.is_silent(host))
            .flat_map(|host| {
                let open = self.at_hand.from(host).map(|place| &self.migrations[place]);
                let open = open.filter(|migration| migration.is_open());
                let known: BTreeSet<ServerId> = open.map(|migration| migration.server).collect();
                self.fleet.on(host).filter(move |server| !known.contains(&server.facts.id))
            })
            // One that arrives was begun before the host was cordoned; it is planned when it is there.
            .filter(|server| server.facts.power != crate::fleet::Power::Arriving)
            .collect()
    }

    /// Places newcomers, beside all that is settled. Nobody leaves his cluster, so in others than those of the hosts that are `concerned` there is
    /// nothing to be decided, and what was planned there stands.
    fn plan(&mut self, id: MaintenanceId, newcomers: &BTreeSet<ServerId>, concerned: &BTreeSet<HostName>) {
        let Some(maintenance) = self.maintenances.get(&id).cloned() else { return };
        let clusters: BTreeSet<Option<&str>> = concerned.iter().map(|host| self.cluster_of(host)).collect();
        let concerns = |host: &HostName| clusters.contains(&self.cluster_of(host));
        let open = || self.migrations.iter().filter(|migration| migration.is_open());
        // What is held elsewhere counts only where it binds those that stay together.
        let counts = |place: &&Reservation| concerns(&place.host) || !place.affinity.is_empty();
        let places = open().filter_map(|migration| migration.place.as_ref());
        let mut reservations: Vec<_> = places.filter(counts).cloned().collect();
        reservations.extend(self.imports.iter().map(|import| self.place_of(import)));
        let placed = self.bound.iter().map(|(server, Bound { to, why })| {
            let why = Some(why.clone());
            (*server, Kept::Decided { to: Some(to.clone()), reboot: None, why })
        });
        let leaving = open().filter(|migration| concerns(&migration.from));
        let kept: BTreeMap<ServerId, Kept> =
            placed.chain(leaving.map(|migration| (migration.server, kept(migration)))).collect();
        let emptying: BTreeSet<HostName> =
            maintenance.being_emptied().filter(|host| concerns(host)).cloned().collect();
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
            self.take_on(&maintenance, planned);
        }
        self.changes.plans.push((id, plan));
    }

    /// A migration is opened for what was planned.
    pub(super) fn take_on(&mut self, maintenance: &Maintenance, planned: &Planned) {
        let migration = self.open(maintenance, planned);
        self.counted.add(&migration, self.fleet);
        self.write(migration.clone());
        self.at_hand.add(self.migrations.len(), &migration);
        self.migrations.push(migration.into());
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
            left_off: None,
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
            let mut after = before.clone();
            if before.goes_on() {
                self.look_at(&mut after);
            }
            if !after.is_open() {
                self.give_back(&after);
            }
            if after != before {
                self.maintenances.insert(id, after);
                self.touched.insert(id);
            }
        }
    }

    fn look_at(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        let hosts: Vec<HostName> = maintenance.hosts_at(is_looked_at).cloned().collect();
        for host in hosts {
            let Some(before) = maintenance.hosts.get(&host).cloned() else { continue };
            let after = self.look_at_host(maintenance, &host, before.clone());
            if after != before {
                maintenance.to_mut().hosts.insert(host, after);
            }
        }
        if !maintenance.is_open() {
            self.announce_failures(maintenance);
            return;
        }
        if maintenance.state == MaintenanceState::Running && self.every_host_is_over(maintenance) {
            maintenance.to_mut().state = self.end(maintenance);
            return;
        }
        if maintenance.state == MaintenanceState::Running && maintenance.is_halted() {
            self.halt(maintenance);
        }
        self.announce_failures(maintenance);
        self.watch_the_time(maintenance);
        self.watch_the_deadline(maintenance);
        if maintenance.warned == Warned::No {
            if self.now >= maintenance.warn_at {
                let (kind, deadline) = (maintenance.kind(), maintenance.deadline);
                if maintenance.rolling.is_plain() {
                    let waiting = self.open_of(maintenance.id).count();
                    self.announce_deadline(maintenance, Left::Servers { count: waiting });
                    self.say_of(maintenance, None, Happened::DeadlineNear { waiting, deadline });
                } else {
                    let hosts = maintenance.hosts_at(|stage| !stage.is_over(kind)).count();
                    self.announce_deadline(maintenance, Left::Hosts { count: hosts });
                    self.say_rolling(maintenance, None, RollingHappened::DeadlineNear { hosts, deadline });
                }
                maintenance.to_mut().warned = Warned::Yes;
            } else {
                self.look_again_at(maintenance.warn_at);
            }
        }
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
        let (end, state) = match maintenance.is_halted() {
            true => (End::Failed, MaintenanceState::Failed { at: self.now }),
            false => (End::Completed, MaintenanceState::Completed { at: self.now }),
        };
        self.announce_end(maintenance, end);
        state
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
            Stage::Giving => self.gives(maintenance, host),
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
            Kind::Drain | Kind::Decommission | Kind::Rebalance => Stage::Drained { at },
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
                    | Report::Ended { .. }
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
            | Stage::Giving
            | Stage::Working { .. }
            | Stage::Done { .. }
            | Stage::Skipped { .. }
            | Stage::Failed { .. } => stage,
        }
    }

    fn confirmed(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        self.say_of(maintenance, Some(host), Happened::HostEmpty);
        if let Some(known) = self.room.host(host)
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
        !coming && self.fleet.on(host).next().is_none() && self.open_from(id, host).next().is_none()
    }

    pub(super) fn open_of(&self, id: MaintenanceId) -> impl Iterator<Item = &Migration> {
        self.migrations
            .iter()
            .map(|known| &**known)
            .filter(move |migration| migration.maintenance == Some(id) && migration.is_open())
    }

    /// Those of a maintenance that leave one of its hosts.
    pub(super) fn open_from(&self, id: MaintenanceId, host: &HostName) -> impl Iterator<Item = &Migration> {
        let leaving = self.at_hand.from(host).map(|place| &*self.migrations[place]);
        leaving.filter(move |migration| migration.maintenance == Some(id) && migration.is_open())
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

/// Whether anything may become of a host by itself. Of most hosts of a large maintenance nothing may.
fn is_looked_at(stage: &Stage) -> bool {
    match stage {
        Stage::Draining
        | Stage::Giving
        | Stage::Confirming { .. }
        | Stage::Drained { .. }
        | Stage::Working { .. }
        | Stage::Skipped { .. } => true,
        Stage::Waiting | Stage::Done { .. } | Stage::Failed { .. } => false,
    }
}

/// What a new plan has to take as given of a migration.
fn kept(migration: &Migration) -> Kept {
    match migration.to() {
        Some(to) if migration.is_moving() => {
            Kept::UnderWay { to: to.clone(), reboot: migration.why_not_live.clone() }
        }
        // What was found for it stands, and so does why.
        to => Kept::Decided {
            to: to.cloned(),
            reboot: migration.why_not_live.clone(),
            why: Some(migration.place_why.clone()).filter(|why| to.is_some() && !why.is_empty()),
        },
    }
}
