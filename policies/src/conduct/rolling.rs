//! Maintenances over many hosts: drafts are planned, and hosts get their turns.
//!
//! The waves of a plan say in which order hosts are taken. Who begins is decided anew in every look, by the state of the world: as many as limits
//! allow and as there is room for, so that a server moves once. A host whose servers wait for their owners takes nobody's turn.

mod ahead;
mod balance;
mod beside;
mod digest;
mod room;
mod waves;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use rayon::prelude::*;

use super::known::Known;
use super::{Conductor, Go};
use crate::bulletins::{Says, SlowHost};
use crate::events::Happened;
use crate::fleet::Host;
use crate::host::Standing;
use crate::ids::{HostName, MaintenanceId, ServerId};
use crate::maintenance::{
    Because, Maintenance, RollingHappened, Stage, State as MaintenanceState, Turn, Versions, Warned,
};
use crate::migration::{Migration, State, Waiting};
use crate::notices::Actor;
use crate::time::Span;

pub use ahead::{Ahead, Effort, PlannedAhead};
pub(super) use beside::Beside;
pub use why::why_not_yet;

/// Where the servers of a host that begins are to go.
type Moves = BTreeMap<ServerId, Bound>;

/// Where a server is to go, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) to: HostName,
    pub(super) why: String,
}

/// A cluster that was looked at for who begins.
struct LookedAt {
    cluster: String,
    /// All that it hangs on.
    picture: u64,
    begin: Vec<(HostName, Moves)>,
}

impl Conductor<'_> {
    /// Plans what is not planned yet, and lets those hosts begin whose turn it is.
    pub(super) fn give_turns(&mut self) {
        let ids: Vec<MaintenanceId> = self.maintenances.keys().copied().collect();
        for id in ids {
            let Some(before) = self.maintenances.get(&id).cloned() else { continue };
            if !before.empties() {
                self.even_out(&before);
                continue;
            }
            let mut after = before.clone();
            match &before.state {
                MaintenanceState::Draft | MaintenanceState::Planned => self.planned(&mut after),
                MaintenanceState::Approved { by, .. } => {
                    self.announce_begin(&before, by);
                    after.to_mut().state = MaintenanceState::Running;
                    self.take_turns(&mut after);
                }
                MaintenanceState::Running => self.take_turns(&mut after),
                MaintenanceState::Paused { .. }
                | MaintenanceState::Completed { .. }
                | MaintenanceState::Failed { .. }
                | MaintenanceState::Cancelled { .. } => continue,
            }
            if after != before {
                self.maintenances.insert(id, after);
                self.touched.insert(id);
            }
        }
    }

    /// The waves of those whose turn is yet to come, made anew when something has changed of what they were made of.
    fn planned(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        let seen = self.seen(maintenance);
        let draft = maintenance.state == MaintenanceState::Draft;
        // One that is approved when it is asked for is planned when it begins.
        let first = maintenance.rolling.waves.ahead.is_empty() && maintenance.rolling.turns.is_empty();
        if !draft && seen == maintenance.rolling.waves.seen {
            return;
        }
        let waves = self.waves(maintenance);
        let maintenance = maintenance.to_mut();
        let known = &mut maintenance.rolling.waves;
        let why = seen.changed_since(&known.seen);
        known.seen = seen;
        known.full.clear();
        if draft || first {
            if draft {
                maintenance.state = MaintenanceState::Planned;
            }
            maintenance.rolling.waves.ahead = waves.clone();
            self.say_rolling(maintenance, None, RollingHappened::Planned { waves });
            if draft {
                self.announce_plan(maintenance);
            }
        } else if known.ahead != waves {
            known.ahead = waves.clone();
            self.say_rolling(maintenance, None, RollingHappened::Replanned { waves, why });
        }
    }

    fn take_turns(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        if maintenance.waiting().next().is_none() {
            return;
        }
        self.planned(maintenance);
        if self.is_put_off(maintenance) {
            return;
        }
        let mut full = maintenance.rolling.waves.full.clone();
        let (mut tried, mut newly_full, mut none_began) = (BTreeSet::new(), false, true);
        // Where one that is in line finds no room, it is the turn of those of other clusters.
        loop {
            let lines = self.in_line(maintenance, &tried);
            if lines.is_empty() {
                break;
            }
            let looked_at = self.look_in_line(maintenance, &lines, &full);
            tried.extend(lines.into_keys());
            let mut begin = Vec::new();
            for LookedAt { cluster, picture, begin: some } in looked_at {
                if some.is_empty() {
                    full.insert(cluster, picture);
                    newly_full = true;
                }
                begin.extend(some);
            }
            none_began &= begin.is_empty();
            for (host, moves) in begin {
                if self.may_be_beside(maintenance, &host) {
                    self.begin_turn(maintenance.to_mut(), &host, moves);
                }
            }
        }
        full.retain(|cluster, _| tried.contains(cluster));
        if full != maintenance.rolling.waves.full {
            maintenance.to_mut().rolling.waves.full = full;
        }
        if newly_full && none_began && self.in_work(maintenance).is_empty() {
            let why = self.why_no_room(maintenance);
            self.announce(maintenance, Says::Stopped { why: why.clone() });
            self.say_rolling(maintenance, None, RollingHappened::NoneCanBegin { why });
        }
    }

    /// Who begins, by cluster, in those that are not what they were when they were full; and what they are now. No cluster hangs on another, so
    /// they are looked at side by side.
    fn look_in_line(
        &self,
        maintenance: &Maintenance,
        lines: &BTreeMap<String, Line>,
        full: &BTreeMap<String, u64>,
    ) -> Vec<LookedAt> {
        let look = |(cluster, line): (&String, &Line)| {
            let picture = self.picture(maintenance, cluster, line);
            let unlike = full.get(cluster) != Some(&picture);
            unlike.then(|| LookedAt {
                cluster: cluster.clone(),
                picture,
                begin: self.who_begins(maintenance, cluster, line),
            })
        };
        lines.par_iter().filter_map(look).collect()
    }

    /// Whether no host begins at present, whoever is next: too many have failed, or the last one has only just ended.
    pub(super) fn is_put_off(&mut self, maintenance: &mut Known<'_, Maintenance>) -> bool {
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
    pub(super) fn halt(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        if maintenance.rolling.halted_at.is_none() {
            maintenance.to_mut().rolling.halted_at = Some(self.now);
            let failed = maintenance.failed().cloned().collect();
            let borne = maintenance.rolling.bears();
            self.say_rolling(maintenance, None, RollingHappened::Halted { failed, borne });
        }
        let kind = maintenance.kind();
        if !maintenance.hosts.values().any(|stage| stage.is_in_work(kind)) {
            maintenance.to_mut().state = MaintenanceState::Paused { since: self.now, by: Actor::Drover };
            self.say_of(maintenance, None, Happened::Paused { by: Actor::Drover });
        }
    }

    /// Those that lack room are in line beyond the limits, so as to keep nobody waiting: when room comes for several at once they are not let
    /// in beyond them.
    fn may_be_beside(&self, maintenance: &Maintenance, host: &HostName) -> bool {
        let wave = maintenance.rolling.waves.of(host);
        if !wave.is_some_and(|wave| matches!(wave.because, Because::NoRoom { .. })) {
            return true;
        }
        let taken = self.in_work(maintenance);
        Beside::new(&maintenance.rolling.terms, self.fleet, &taken).has_room_for(host)
            && self.groups_on(&[host]).is_disjoint(&self.groups_on(&taken))
    }

    fn begin_turn(&mut self, maintenance: &mut Maintenance, host: &HostName, moves: Moves) {
        let Some(known) = self.room.host(host) else { return };
        let Ok(standing) = known.standing.clone().drain(maintenance.id, self.now) else { return };
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
        maintenance.hosts.insert(host.clone(), Stage::Draining);
        self.stands(host, standing);
        self.room.empties(host);
        self.doomed.remove(host);
        self.bound.extend(moves);
        self.say_rolling(maintenance, Some(host), RollingHappened::TurnBegan { wave });
    }

    /// Hosts that count for limits: those in work but for such as only wait for people.
    pub(super) fn in_work<'b>(&self, maintenance: &'b Maintenance) -> Vec<&'b HostName> {
        self.in_work_of(maintenance, maintenance.hosts.iter())
    }

    /// The same, of those that count beside one host: where all limits are for clusters, the others in its own.
    pub(super) fn in_work_beside<'b>(
        &self,
        maintenance: &'b Maintenance,
        host: &HostName,
    ) -> Vec<&'b HostName> {
        let cluster = self.cluster_of(host);
        match cluster.filter(|_| maintenance.rolling.terms.limits_end_with_clusters()) {
            Some(cluster) => {
                let near = self.room.hosts_of(cluster).iter();
                self.in_work_of(maintenance, near.filter_map(|host| maintenance.hosts.get_key_value(*host)))
            }
            None => self.in_work(maintenance),
        }
    }

    fn in_work_of<'b>(
        &self,
        maintenance: &Maintenance,
        hosts: impl Iterator<Item = (&'b HostName, &'b Stage)>,
    ) -> Vec<&'b HostName> {
        let kind = maintenance.kind();
        hosts
            .filter(|(_, stage)| stage.is_in_work(kind))
            .filter(|(host, stage)| !self.only_waits(maintenance, host, stage))
            .map(|(host, _)| host)
            .collect()
    }

    /// Whether all that is left on a host waits for its owner, or for an operator: that may take days, and is in nobody's way.
    fn only_waits(&self, maintenance: &Maintenance, host: &HostName, stage: &Stage) -> bool {
        let mut left = self.open_from(maintenance.id, host).peekable();
        *stage == Stage::Draining && left.peek().is_some() && left.all(waits_for_people)
    }

    /// Whether nothing leaves a host any more until an operator has done something.
    fn only_waits_for_operators(&self, maintenance: &Maintenance, host: &HostName) -> bool {
        let mut left = self.open_from(maintenance.id, host).peekable();
        let for_operators = |migration: &Migration| {
            matches!(migration.state, State::Failed { .. })
                || matches!(migration.state.waits_for(), Some(Waiting::Blocked { .. }))
        };
        left.peek().is_some() && left.all(for_operators)
    }

    /// Those who could begin now as far as order and limits go, by cluster: nobody leaves his, so in each it is decided by itself who does.
    /// `tried` are clusters in which that was done already.
    fn in_line(&mut self, maintenance: &Maintenance, tried: &BTreeSet<String>) -> BTreeMap<String, Line> {
        let kind = maintenance.kind();
        let terms = &maintenance.rolling.terms;
        let unfinished: BTreeSet<HostName> = match terms.hints.is_empty() {
            true => BTreeSet::new(),
            false => maintenance.hosts_at(|stage| !stage.is_over(kind)).cloned().collect(),
        };
        let free = |host: &HostName| terms.waits_for(host, &unfinished, self.fleet).is_none();
        let due = self.late_ones_begin_at(maintenance);
        let taken = self.in_work(maintenance);
        let busy: BTreeSet<&str> = taken.iter().filter_map(|host| self.cluster_of(host)).collect();
        let mut groups = self.groups_on(&taken);
        let mut beside = Beside::new(terms, self.fleet, &taken);
        let mut early_wait: HashSet<&str> = HashSet::new();
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        for (wave, host) in maintenance.rolling.waves.hosts() {
            let Some(known) = self.room.host(host) else { continue };
            let cluster = known.facts.cluster.as_str();
            if !wave.because.is_late() && free(host) {
                early_wait.insert(cluster);
            }
            if beside.is_full() || tried.contains(cluster) || !beside.has_room_in(cluster) {
                continue;
            }
            if !(beside.has_room_for(host) && free(host) && self.can_be_taken(maintenance, known)) {
                continue;
            }
            let lonely = self.groups_on(&[host]);
            if !lonely.is_disjoint(&groups) {
                continue;
            }
            let line = lines
                .entry(cluster.to_owned())
                .or_insert_with(|| Line { idle: !busy.contains(cluster), ..Line::default() });
            match wave.because {
                Because::Room | Because::First => {
                    beside.take(host);
                    groups.extend(lonely);
                    line.first |= wave.because == Because::First;
                    line.early.push(host.clone());
                }
                Because::NoRoom { .. } => line.early.push(host.clone()),
                // Of these none is emptied.
                Because::Gives { .. } => {}
                Because::Owners { .. } | Because::Blocked { .. } | Because::Silent => {
                    line.late.push(host.clone());
                }
            }
        }
        for (cluster, line) in &mut lines {
            line.late_may_begin = !early_wait.contains(cluster.as_str()) || due <= self.now;
        }
        if !early_wait.is_empty() {
            self.look_again_at(due);
        }
        lines
    }

    /// A host that nothing is heard of, or that another maintenance has, has to wait.
    fn can_be_taken(&self, maintenance: &Maintenance, host: &Host) -> bool {
        !self.tells_nothing(host) && host.standing.maintenance().is_none_or(|other| other == maintenance.id)
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
        changed.map(|(_, standing)| standing).or_else(|| self.room.host(host).map(|host| &host.standing))
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
        self.open_from(maintenance.id, host).any(|migration| self.go(migration) == Go::Cancelled)
    }

    /// A host that takes longer than it should is told of, once.
    pub(super) fn watch_the_time(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        let Some(after) = maintenance.rolling.terms.warn_after else { return };
        let kind = maintenance.kind();
        let begun: Vec<HostName> = maintenance.hosts_at(|stage| stage.is_in_work(kind)).cloned().collect();
        let mut slow = Vec::new();
        for host in begun {
            let Some(turn) = maintenance.rolling.turns.get(&host) else { continue };
            let due = turn.began_at + after.delta();
            match (turn.warned, due <= self.now) {
                (Warned::Yes, _) => {}
                (Warned::No, false) => self.look_again_at(due),
                (Warned::No, true) => {
                    let since = Span::between(turn.began_at, self.now);
                    if let Some(turn) = maintenance.to_mut().rolling.turns.get_mut(&host) {
                        turn.warned = Warned::Yes;
                    }
                    let stage = maintenance.hosts.get(&host).map(ToString::to_string).unwrap_or_default();
                    slow.push(SlowHost { host: host.clone(), stage: stage.clone(), since });
                    self.say_rolling(maintenance, Some(&host), RollingHappened::TakesLong { since, stage });
                }
            }
        }
        if !slow.is_empty() {
            self.announce(maintenance, Says::TakesLong { hosts: slow });
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

/// Who could begin now in a cluster.
#[derive(Debug, Default, Hash)]
struct Line {
    /// Those that are emptied as soon as there is room, in order.
    early: Vec<HostName>,
    /// Whether some of them begin though their servers will have to move again.
    first: bool,
    /// Those that will wait for people.
    late: Vec<HostName>,
    /// Whether it is time for these.
    late_may_begin: bool,
    /// Nobody is in work there, so nothing will make room by itself.
    idle: bool,
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
