//! Rebalancing: as few servers as it takes go from hosts of which much is used to such of which little is. Nobody is cordoned, and no host has to
//! be empty.
//!
//! What is moved is worked out from the fleet as it will be when all has come about that is decided. So it comes to nothing once all of it has
//! begun, and it is worked out anew when somebody else has moved something: while it waits for approval in each look, later between two turns and
//! when hosts or servers have come or gone.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Conductor;
use super::super::known::Known;
use super::{Beside, versions};
use crate::eligibility::{Suits, WhyNotLive, suits};
use crate::host::Standing;
use crate::ids::{HostName, ServerId};
use crate::maintenance::{
    Balance, Because, Maintenance, RollingHappened, Shift, Stage, State as MaintenanceState, Turn, Warned,
    Wave,
};
use crate::migration::Migration;
use crate::packing::{Reboots, even_rows};
use crate::placement::{Reservation, Wish};
use crate::plan::{Agreement, Decision, Planned};

impl Conductor<'_> {
    /// One step of a rebalance.
    pub(super) fn even_out(&mut self, before: &Maintenance) {
        let running = |state: MaintenanceState| Maintenance { state, ..before.clone() };
        let after = match &before.state {
            MaintenanceState::Draft | MaintenanceState::Planned => self.balanced(before.clone()),
            state @ (MaintenanceState::Approved { .. } | MaintenanceState::Running) => {
                if let MaintenanceState::Approved { by, .. } = state {
                    self.announce_begin(before, by);
                }
                let maintenance = self.balanced(running(MaintenanceState::Running));
                self.let_give(maintenance)
            }
            MaintenanceState::Paused { .. }
            | MaintenanceState::Completed { .. }
            | MaintenanceState::Failed { .. }
            | MaintenanceState::Cancelled { .. } => return,
        };
        if after != *before {
            self.touched.insert(after.id);
            self.maintenances.insert(after.id, after.into());
        }
    }

    /// What is to be moved, worked out anew when it has to be.
    fn balanced(&mut self, mut maintenance: Maintenance) -> Maintenance {
        let draft = maintenance.state == MaintenanceState::Draft;
        let first = maintenance.rolling.waves.evened_at.is_none();
        let gives = maintenance.hosts_at(|stage| *stage == Stage::Giving).next().is_some();
        let seen = self.seen(&maintenance);
        let picture = self.picture_of(&maintenance);
        let known = &maintenance.rolling.waves;
        let same = if gives { seen == known.seen } else { known.evened_at == Some(picture) };
        if !first && same {
            return maintenance;
        }
        let why = match seen == known.seen {
            true => "servers are not where they were".to_owned(),
            false => seen.changed_since(&known.seen),
        };
        let balance = self.balance(&maintenance);
        let changed = balance != maintenance.rolling.balance;
        maintenance.rolling.waves.seen = seen;
        maintenance.rolling.waves.evened_at = Some(picture);
        maintenance.rolling.waves.ahead = waves(&balance);
        maintenance.rolling.balance = balance;
        if draft {
            maintenance.state = MaintenanceState::Planned;
            self.announce_plan(&maintenance);
        }
        if first || changed {
            let balance = &maintenance.rolling.balance;
            let hosts = givers(balance).into_keys().cloned().collect();
            let evens = RollingHappened::Evens {
                servers: balance.ahead().count(),
                hosts,
                uneven: balance.uneven.clone(),
                why: (!first).then_some(why),
            };
            self.say_rolling(&maintenance, None, evens);
        }
        maintenance
    }

    /// What evens its hosts out. What has begun stands; who is moved already, by whatever, is not moved again.
    pub(in crate::conduct) fn balance(&self, maintenance: &Maintenance) -> Balance {
        let begun: Vec<Shift> = maintenance
            .rolling
            .balance
            .shifts
            .iter()
            .filter(|shift| shift.begun_at.is_some())
            .cloned()
            .collect();
        let moving = self.migrations.iter().filter(|migration| migration.is_open());
        let settled: BTreeSet<ServerId> =
            moving.map(|migration| migration.server).chain(begun.iter().map(|shift| shift.server)).collect();
        let takes_part = |stage: &Stage| !matches!(stage, Stage::Skipped { .. } | Stage::Failed { .. });
        let hosts = maintenance.hosts_at(takes_part).cloned().collect();
        let rows = self.settled_rows(maintenance.hosts.keys(), &self.doomed);
        let terms = &maintenance.rolling.terms;
        let evened = even_rows(&rows, &hosts, (terms.even_within(), terms.reboots), &settled);
        let shift = |(id, to): (ServerId, HostName)| {
            let server = self.fleet.server(id)?;
            let (name, from) = (server.facts.name.clone(), server.host.clone());
            Some(Shift { server: id, name, from, to, begun_at: None })
        };
        let ahead = evened.moves.into_iter().filter_map(shift);
        Balance { shifts: begun.into_iter().chain(ahead).collect(), uneven: evened.uneven }
    }

    /// Hosts give what is too much, as many at once as may. When none has anything left to give it is over.
    fn let_give(&mut self, maintenance: Maintenance) -> Maintenance {
        let mut maintenance = Known::from(maintenance);
        if self.is_put_off(&mut maintenance) {
            return maintenance.into_inner();
        }
        let mut maintenance = maintenance.into_inner();
        let givers: Vec<HostName> = maintenance.rolling.waves.hosts().map(|(_, host)| host.clone()).collect();
        for host in givers {
            let beside = Beside::new(&maintenance.rolling.terms, self.fleet, &self.in_work(&maintenance));
            let has_room = beside.has_room_for(&host);
            // It looks at the maintenance, which is changed next.
            drop(beside);
            if !self.is_silent(&host) && has_room {
                self.begin_giving(&mut maintenance, &host);
            }
        }
        let gives = maintenance.hosts.values().any(|stage| *stage == Stage::Giving);
        if !gives && maintenance.rolling.waves.ahead.is_empty() {
            for stage in maintenance.hosts.values_mut().filter(|stage| **stage == Stage::Waiting) {
                *stage = Stage::Done { at: self.now };
            }
        }
        maintenance
    }

    fn begin_giving(&mut self, maintenance: &mut Maintenance, host: &HostName) {
        let Some(known) = self.room.host(host) else { return };
        let wave = maintenance.rolling.waves.take(host).unwrap_or(1);
        let turn = Turn {
            wave,
            began_at: self.now,
            was: known.standing.clone(),
            warned: Warned::No,
            had: versions(known),
            failure_told: None,
        };
        maintenance.rolling.turns.insert(host.clone(), turn);
        maintenance.hosts.insert(host.clone(), Stage::Giving);
        self.say_rolling(maintenance, Some(host), RollingHappened::TurnBegan { wave });
        let shifts: Vec<Shift> =
            maintenance.rolling.balance.ahead().filter(|shift| shift.from == *host).cloned().collect();
        let reboots = maintenance.rolling.terms.reboots;
        for shift in &shifts {
            if let Some(planned) = self.planned_shift(shift, reboots) {
                self.take_on(maintenance, &planned);
            }
        }
        for shift in maintenance.rolling.balance.shifts.iter_mut().filter(|shift| shift.from == *host) {
            shift.begun_at.get_or_insert(self.now);
        }
    }

    /// A server that is to be moved, if all that is known of it and its destination allows it.
    fn planned_shift(&self, shift: &Shift, reboots: Reboots) -> Option<Planned> {
        let server = self.fleet.seen(&shift.from, shift.server)?;
        let policy = self.policies.shared_of(server, self.fleet);
        let to = shift.to.clone();
        let decision = match suits(server, self.fleet, None, &policy.policy) {
            Suits::Live => Decision::Live { to },
            Suits::Reboot(why) if reboots == Reboots::Agreed => Decision::Reboot { to, why },
            Suits::Reboot(_) | Suits::Nothing(_) => return None,
        };
        let method = decision.method()?;
        let blueprint = self.blueprints.get(&shift.server);
        let wish = Wish { server, policy, method, blueprint };
        let score = self.room.judge_wish(&wish, &shift.to).ok()?;
        let why_not_live: Option<&WhyNotLive> = decision.why_not_live();
        Some(Planned {
            server: shift.server,
            name: shift.name.clone(),
            owner: server.facts.owner.clone(),
            from: shift.from.clone(),
            agreement: Agreement::needed_for(why_not_live, server.facts.owner.as_ref()),
            place: Some(Reservation::of(&wish, &shift.to)),
            place_why: format!("less of it is used: {score}"),
            expected: None,
            blueprint: wish.shape().cloned(),
            decision,
        })
    }

    /// A host that gives is done when nothing more is to leave it.
    pub(in crate::conduct) fn gives(&mut self, maintenance: &Maintenance, host: &HostName) -> Stage {
        let moving = self.open_from(maintenance.id, host).next().is_some();
        if moving { Stage::Giving } else { self.done(maintenance, host) }
    }

    /// Whether a server that can't go live after all is left where it is: nobody is rebooted for the sake of evenness, unless that was asked for.
    pub(in crate::conduct) fn goes_live_or_stays(&self, migration: &Migration) -> bool {
        let maintenance = migration.maintenance.and_then(|id| self.maintenances.get(&id));
        maintenance.is_some_and(|maintenance| {
            !maintenance.empties() && maintenance.rolling.terms.reboots == Reboots::None
        })
    }

    /// Whether there is no sense any more in what a server was to be moved for: the host that it would leave is being emptied by now, which is
    /// for another maintenance to do; or the one that it would go to takes nobody. Going just anywhere would make nothing more even.
    pub(in crate::conduct) fn is_overtaken(&mut self, migration: &Migration) -> bool {
        let maintenance = migration.maintenance.and_then(|id| self.maintenances.get(&id));
        let Some(id) = maintenance.filter(|maintenance| !maintenance.empties()).map(|known| known.id) else {
            return false;
        };
        let emptied = self.standing(&migration.from).and_then(Standing::maintenance).is_some();
        let is_open =
            |to: &HostName| self.standing(to).is_some_and(Standing::takes_servers) && !self.is_silent(to);
        let overtaken = emptied || migration.to().is_some_and(|to| !is_open(to) || self.doomed.contains(to));
        if overtaken {
            if let Some(maintenance) = self.maintenances.get_mut(&id) {
                maintenance.to_mut().rolling.balance.shifts.retain(|shift| shift.server != migration.server);
                self.touched.insert(id);
            }
            // Then it is planned anew.
            self.look_again_at(self.now + crate::time::Span::milliseconds(1).delta());
        }
        overtaken
    }
}

fn givers(balance: &Balance) -> BTreeMap<&HostName, usize> {
    let mut givers = BTreeMap::new();
    for shift in balance.ahead() {
        *givers.entry(&shift.from).or_default() += 1;
    }
    givers
}

/// Those that give most come first; all give at the same time, as far as limits allow.
fn waves(balance: &Balance) -> Vec<Wave> {
    let mut alike: BTreeMap<usize, Vec<HostName>> = BTreeMap::new();
    for (host, servers) in givers(balance) {
        alike.entry(servers).or_default().push(host.clone());
    }
    let most_first = (1..).zip(alike.into_iter().rev());
    let wave = |(number, (servers, hosts))| Wave { number, hosts, because: Because::Gives { servers } };
    most_first.map(wave).collect()
}
