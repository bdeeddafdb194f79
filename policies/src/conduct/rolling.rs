//! Maintenances over many hosts: drafts are planned, and hosts get their turns.
//!
//! The waves of a plan say in which order hosts are taken. Who begins is decided anew in every look, by the state of the world: as many as limits
//! allow and as there is room for, so that a server moves once. A host whose servers wait for their owners takes nobody's turn.

mod digest;
mod room;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use super::counted::cluster_of;
use super::{Conductor, Go};
use crate::events::Happened;
use crate::fleet::Host;
use crate::host::Standing;
use crate::ids::{HostName, MaintenanceId, ServerId};
use crate::maintenance::{
    Because, Maintenance, RollingHappened, Stage, State as MaintenanceState, Turn, Versions, Warned, label_of,
};
use crate::migration::{Migration, State, Waiting};
use crate::notices::Actor;
use crate::time::Span;

/// Where the servers of a host that begins are to go.
type Moves = BTreeMap<ServerId, HostName>;

impl Conductor<'_> {
    /// Plans what is not planned yet, and lets those hosts begin whose turn it is.
    pub(super) fn give_turns(&mut self) {
        let ids: Vec<MaintenanceId> = self.maintenances.keys().copied().collect();
        for id in ids {
            let Some(before) = self.maintenances.get(&id).cloned() else { continue };
            let after = match &before.state {
                MaintenanceState::Draft | MaintenanceState::Planned => self.planned(before.clone()),
                MaintenanceState::Approved { .. } => {
                    self.take_turns(Maintenance { state: MaintenanceState::Running, ..before.clone() })
                }
                MaintenanceState::Running => self.take_turns(before.clone()),
                MaintenanceState::Paused { .. }
                | MaintenanceState::Completed { .. }
                | MaintenanceState::Failed { .. }
                | MaintenanceState::Cancelled { .. } => continue,
            };
            if after != before {
                self.maintenances.insert(id, after);
                self.touched.insert(id);
            }
        }
    }

    /// The waves of those whose turn is yet to come, made anew when something has changed of what they were made of.
    fn planned(&mut self, mut maintenance: Maintenance) -> Maintenance {
        let seen = self.seen(&maintenance);
        let draft = maintenance.state == MaintenanceState::Draft;
        // One that is approved when it is asked for is planned when it begins.
        let first = maintenance.rolling.waves.ahead.is_empty() && maintenance.rolling.turns.is_empty();
        if !draft && seen == maintenance.rolling.waves.seen {
            return maintenance;
        }
        let waves = self.waves(&maintenance);
        let known = &mut maintenance.rolling.waves;
        let why = seen.changed_since(&known.seen);
        known.seen = seen;
        known.full_at = None;
        if draft || first {
            if draft {
                maintenance.state = MaintenanceState::Planned;
            }
            maintenance.rolling.waves.ahead = waves.clone();
            self.say_rolling(&maintenance, None, RollingHappened::Planned { waves });
        } else if known.ahead != waves {
            known.ahead = waves.clone();
            self.say_rolling(&maintenance, None, RollingHappened::Replanned { waves, why });
        }
        maintenance
    }

    fn take_turns(&mut self, maintenance: Maintenance) -> Maintenance {
        if maintenance.waiting().next().is_none() {
            return maintenance;
        }
        let mut maintenance = self.planned(maintenance);
        if self.is_put_off(&mut maintenance) {
            return maintenance;
        }
        let line = self.in_line(&maintenance);
        if line.early.is_empty() && line.late.is_empty() {
            return maintenance;
        }
        let picture = self.picture(&maintenance);
        let mut begin = Vec::new();
        if maintenance.rolling.waves.full_at != Some(picture) {
            begin = self.with_room(&maintenance, &line.early);
        }
        let idle = begin.is_empty() && self.in_work(&maintenance).is_empty();
        if begin.is_empty() && (idle || line.late_may_begin) {
            begin = self.as_far_as_possible(&line.late);
        }
        if begin.is_empty() {
            if maintenance.rolling.waves.full_at != Some(picture) {
                maintenance.rolling.waves.full_at = Some(picture);
                if idle {
                    let why = self.why_no_room(&maintenance);
                    self.say_rolling(&maintenance, None, RollingHappened::NoneCanBegin { why });
                }
            }
            return maintenance;
        }
        for (host, moves) in begin {
            self.begin_turn(&mut maintenance, &host, moves);
        }
        maintenance
    }

    /// Whether no host begins at present, whoever is next: too many have failed, or the last one has only just ended.
    fn is_put_off(&mut self, maintenance: &mut Maintenance) -> bool {
        if maintenance.is_halted() {
            self.halt(maintenance);
            return true;
        }
        let kind = maintenance.kind();
        let last = maintenance.hosts.values().filter_map(|stage| stage.ended_at(kind)).max();
        let next = last.map(|last| last + maintenance.rolling.terms.pause_between.delta());
        match next.filter(|next| *next > self.now) {
            Some(next) => {
                self.look_again_at(next);
                true
            }
            None => false,
        }
    }

    /// No further host begins. Servers that move, and hosts that are at work, go on; when none is left of them a person is waited for.
    pub(super) fn halt(&mut self, maintenance: &mut Maintenance) {
        if maintenance.rolling.halted_at.is_none() {
            maintenance.rolling.halted_at = Some(self.now);
            let failed = maintenance.failed().cloned().collect();
            let borne = maintenance.rolling.bears();
            self.say_rolling(maintenance, None, RollingHappened::Halted { failed, borne });
        }
        let kind = maintenance.kind();
        if !maintenance.hosts.values().any(|stage| stage.is_in_work(kind)) {
            maintenance.state = MaintenanceState::Paused { since: self.now, by: Actor::Drover };
            self.say_of(maintenance, None, Happened::Paused { by: Actor::Drover });
        }
    }

    fn begin_turn(&mut self, maintenance: &mut Maintenance, host: &HostName, moves: Moves) {
        let Some(known) = self.fleet.hosts.get(host) else { return };
        let Ok(standing) = known.standing.clone().drain(maintenance.id, self.now) else { return };
        let wave = maintenance.rolling.waves.of(host).map_or(1, |wave| wave.number);
        let turn = Turn {
            wave,
            began_at: self.now,
            was: known.standing.clone(),
            warned: Warned::No,
            had: versions(known),
        };
        maintenance.rolling.turns.insert(host.clone(), turn);
        maintenance.rolling.waves.remove(host);
        maintenance.hosts.insert(host.clone(), Stage::Draining);
        self.stands(host, standing);
        self.room.empties(host);
        self.doomed.remove(host);
        self.bound.extend(moves);
        self.say_rolling(maintenance, Some(host), RollingHappened::TurnBegan { wave });
    }

    /// Hosts that count for limits: those in work but for such as only wait for people.
    pub(super) fn in_work<'b>(&self, maintenance: &'b Maintenance) -> Vec<&'b HostName> {
        let kind = maintenance.kind();
        let hosts = maintenance.hosts.iter().filter(|(_, stage)| stage.is_in_work(kind));
        hosts
            .filter(|(host, stage)| !self.only_waits(maintenance, host, stage))
            .map(|(host, _)| host)
            .collect()
    }

    /// Whether all that is left on a host waits for its owner, or for an operator: that may take days, and is in nobody's way.
    fn only_waits(&self, maintenance: &Maintenance, host: &HostName, stage: &Stage) -> bool {
        let mut left = self.open_of(maintenance.id).filter(|migration| migration.from == *host).peekable();
        *stage == Stage::Draining && left.peek().is_some() && left.all(waits_for_people)
    }

    /// Whether one more host may be in work beside these.
    pub(super) fn is_within_limits(
        &self,
        maintenance: &Maintenance,
        host: &HostName,
        beside: &[&HostName],
    ) -> bool {
        let terms = &maintenance.rolling.terms;
        let others = || beside.iter().filter(|other| **other != host);
        let few = |count: usize, most: u32| count < most as usize;
        let at_once = terms.hosts_at_once.is_none_or(|most| few(others().count(), most.get()));
        let cluster = cluster_of(self.fleet, host);
        let same = others().filter(|other| cluster_of(self.fleet, other) == cluster).count();
        let labels = terms.per.iter().all(|(label, most)| match label_of(self.fleet, host, label) {
            None => true,
            Some(value) => {
                let same = others().filter(|other| label_of(self.fleet, other, label) == Some(value)).count();
                few(same, most.get())
            }
        });
        at_once && labels && terms.per_cluster.is_none_or(|most| few(same, most.get()))
    }

    /// Those who could begin now as far as order and limits go.
    fn in_line(&mut self, maintenance: &Maintenance) -> Line {
        let kind = maintenance.kind();
        let unfinished: BTreeSet<HostName> =
            maintenance.hosts_at(|stage| !stage.is_over(kind)).cloned().collect();
        let terms = &maintenance.rolling.terms;
        let free = |host: &HostName| terms.waits_for(host, &unfinished, self.fleet).is_none();
        let early_wait = maintenance.rolling.waves.hosts();
        let early_waits = early_wait.into_iter().any(|(wave, host)| !wave.because.is_late() && free(host));
        let due = self.late_ones_begin_at(maintenance);
        let late_may_begin = !early_waits || due <= self.now;
        let mut taken = self.in_work(maintenance);
        let mut groups = self.groups_on(&taken);
        let mut line = Line { early: Vec::new(), late: Vec::new(), late_may_begin };
        for (wave, host) in maintenance.rolling.waves.hosts() {
            let lonely = self.groups_on(&[host]);
            let fits = free(host)
                && self.can_be_taken(maintenance, host)
                && self.is_within_limits(maintenance, host, &taken)
                && lonely.is_disjoint(&groups);
            if !fits {
                continue;
            }
            match wave.because {
                Because::Room | Because::First => {
                    taken.push(host);
                    groups.extend(lonely);
                    line.early.push(host.clone());
                }
                Because::NoRoom { .. } => line.early.push(host.clone()),
                Because::Owners { .. } | Because::Blocked { .. } | Because::Silent => {
                    line.late.push(host.clone());
                }
            }
        }
        if early_waits {
            self.look_again_at(due);
        }
        line
    }

    /// A host that nothing is heard of, or that another maintenance has, has to wait.
    fn can_be_taken(&self, maintenance: &Maintenance, host: &HostName) -> bool {
        let standing = self.fleet.hosts.get(host).map(|host| &host.standing);
        !self.is_silent(host)
            && standing
                .is_some_and(|standing| standing.maintenance().is_none_or(|other| other == maintenance.id))
    }

    /// When those that wait for owners begin at the latest: their notice, and as much again for a window to come.
    fn late_ones_begin_at(&self, maintenance: &Maintenance) -> crate::time::Instant {
        let notice = &self.policies.general().notice;
        let lead = notice.lead_by_reason.get(&maintenance.reason).copied().unwrap_or(notice.lead);
        maintenance.deadline - Span(lead.0.saturating_mul(2)).delta()
    }

    /// A host is given back to everybody, as it was before its turn.
    pub(super) fn back_in_service(&mut self, maintenance: &Maintenance, host: &HostName) {
        if self.standing(host).and_then(Standing::maintenance) != Some(maintenance.id) {
            return;
        }
        let was = maintenance.rolling.turns.get(host).map(|turn| &turn.was);
        let standing = match was {
            Some(Standing::Cordoned { .. }) => was.cloned().unwrap_or_default(),
            _ => Standing::Open,
        };
        let changed = Happened::StandingChanged { to: standing.to_string(), by: Actor::Drover };
        self.say_of(maintenance, Some(host), changed);
        self.stands(host, standing);
    }

    /// What is wished of a host, as this look has it.
    pub(super) fn standing(&self, host: &HostName) -> Option<&Standing> {
        let changed = self.changes.standings.iter().find(|(known, _)| known == host);
        changed
            .map(|(_, standing)| standing)
            .or_else(|| self.fleet.hosts.get(host).map(|host| &host.standing))
    }

    /// Written once, as it is in the end.
    pub(super) fn stands(&mut self, host: &HostName, standing: Standing) {
        match self.changes.standings.iter_mut().find(|(known, _)| known == host) {
            Some((_, known)) => *known = standing,
            None => self.changes.standings.push((host.clone(), standing)),
        }
    }

    /// Whether something of a host that is left out still has to come to its end.
    pub(super) fn is_busy(&self, maintenance: &Maintenance, host: &HostName) -> bool {
        self.open_of(maintenance.id)
            .any(|migration| migration.from == *host && self.go(migration) == Go::Cancelled)
    }

    /// A host that takes longer than it should is told of, once.
    pub(super) fn watch_the_time(&mut self, maintenance: &mut Maintenance) {
        let Some(after) = maintenance.rolling.terms.warn_after else { return };
        let kind = maintenance.kind();
        let begun: Vec<HostName> = maintenance.hosts_at(|stage| stage.is_in_work(kind)).cloned().collect();
        for host in begun {
            let Some(turn) = maintenance.rolling.turns.get_mut(&host) else { continue };
            let due = turn.began_at + after.delta();
            match (turn.warned, due <= self.now) {
                (Warned::Yes, _) => {}
                (Warned::No, false) => self.look_again_at(due),
                (Warned::No, true) => {
                    turn.warned = Warned::Yes;
                    let since = Span::between(turn.began_at, self.now);
                    let stage = maintenance.hosts.get(&host).map(ToString::to_string).unwrap_or_default();
                    self.say_rolling(maintenance, Some(&host), RollingHappened::TakesLong { since, stage });
                }
            }
        }
    }

    pub(super) fn say_rolling(
        &mut self,
        maintenance: &Maintenance,
        host: Option<&HostName>,
        what: RollingHappened,
    ) {
        self.say_of(maintenance, host, Happened::Rolling { what });
    }
}

/// Who could begin now.
struct Line {
    /// Those that are emptied as soon as there is room, in order.
    early: Vec<HostName>,
    /// Those that will wait for people.
    late: Vec<HostName>,
    /// Whether it is time for these.
    late_may_begin: bool,
}

/// What runs on a host.
fn versions(host: &Host) -> Versions {
    Versions {
        libvirt: host.facts.libvirt_version,
        qemu: host.facts.qemu_version,
        boot_id: host.facts.boot_id.clone(),
    }
}

fn waits_for_people(migration: &Migration) -> bool {
    let for_people = |waits: &Waiting| match waits {
        Waiting::Owner { .. } | Waiting::Blocked { .. } | Waiting::Slot { .. } | Waiting::Place { .. } => {
            true
        }
        Waiting::Nothing
        | Waiting::Turn { .. }
        | Waiting::BackOff { .. }
        | Waiting::Agent { .. }
        | Waiting::Replica { .. }
        | Waiting::Paused => false,
    };
    matches!(migration.state, State::Failed { .. }) || migration.state.waits_for().is_some_and(for_people)
}
