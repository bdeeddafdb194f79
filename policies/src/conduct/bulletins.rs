//! What operators are told of a maintenance while they look elsewhere: that it waits for them, that something went wrong, that it is over.
//!
//! Each is told in the look in which it comes about, so in the transaction of what has come about. Failures are collected: hosts of one wave
//! share what is done with them, and mostly what is wrong with it.

use std::collections::BTreeMap;

use super::known::Known;
use super::{Conductor, DraftBulletin};
use crate::bulletins::{End, FailedHost, Left, Says, Tally};
use crate::ids::HostName;
use crate::maintenance::{Because, Maintenance, Stage, State, Warned, Wave};
use crate::notices::Actor;
use crate::time::{Instant, Span};

/// A failure waits so long for others of its wave, unless nothing more can come of that.
const TOGETHER: Span = Span::minutes(10);

/// Obstacles that are named; the plan names all.
const NAMED: usize = 10;

impl Conductor<'_> {
    /// Operators are told of a maintenance.
    pub(super) fn announce(&mut self, maintenance: &Maintenance, says: Says) {
        self.changes.bulletins.push(DraftBulletin { maintenance: maintenance.id, says });
    }

    /// It waits for approval from now on.
    pub(super) fn announce_plan(&mut self, maintenance: &Maintenance) {
        let waves = &maintenance.rolling.waves.ahead;
        let obstacles = waves.iter().filter(|wave| wave.because.is_obstacle()).take(NAMED).map(obstacle);
        let uneven = &maintenance.rolling.balance.uneven;
        let uneven = uneven.iter().take(NAMED).map(|uneven| format!("{}: {}", uneven.host, uneven.why));
        let obstacles = obstacles.chain(uneven).collect();
        self.announce(maintenance, Says::AwaitsApproval { obstacles });
    }

    /// It begins, as somebody has said that it may.
    pub(super) fn announce_begin(&mut self, maintenance: &Maintenance, by: &Actor) {
        self.announce(maintenance, Says::Begun { by: by.clone() });
    }

    /// Hosts that have failed and that nobody was told of, those of each wave together. Called when it is not over.
    pub(super) fn announce_failures(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        let mut waves: BTreeMap<u32, Vec<(HostName, Instant)>> = BTreeMap::new();
        for (host, stage) in &maintenance.hosts {
            let Stage::Failed { at, .. } = stage else { continue };
            let Some(turn) = maintenance.rolling.turns.get(host) else { continue };
            // What had failed before it was cancelled was told with that.
            let told = turn.failure_told == Some(*at)
                || matches!(maintenance.state, State::Cancelled { at: end, .. } if *at < end);
            if !told {
                waves.entry(turn.wave).or_default().push((host.clone(), *at));
            }
        }
        for (wave, hosts) in waves {
            let due = hosts.iter().map(|(_, at)| *at).min().map(|first| first + TOGETHER.delta());
            match due.filter(|due| *due > self.now && may_grow(maintenance, wave)) {
                Some(due) => self.look_again_at(due),
                None => self.announce_failed(maintenance.to_mut(), wave, &hosts),
            }
        }
    }

    fn announce_failed(&mut self, maintenance: &mut Maintenance, wave: u32, hosts: &[(HostName, Instant)]) {
        for (host, at) in hosts {
            if let Some(turn) = maintenance.rolling.turns.get_mut(host) {
                turn.failure_told = Some(*at);
            }
        }
        let stages = hosts.iter().filter_map(|(host, _)| maintenance.hosts.get_key_value(host));
        let failed = stages.filter_map(|(host, stage)| FailedHost::of(host, stage)).collect();
        let stopped = maintenance.is_halted();
        self.announce(maintenance, Says::HostsFailed { failed, wave, stopped });
    }

    /// It is over.
    pub(super) fn announce_end(&mut self, maintenance: &Maintenance, end: End) {
        self.announce(maintenance, Says::Over { end, tally: Tally::of(maintenance, self.now) });
    }

    /// The deadline is near. Who has set it so near himself knows that.
    pub(super) fn announce_deadline(&mut self, maintenance: &Maintenance, left: Left) {
        if maintenance.warn_at > maintenance.requested_at {
            self.announce(maintenance, Says::DeadlineNear { left });
        }
    }

    /// The deadline of one over many hosts won't be kept at the pace so far, or has passed. Told once.
    pub(super) fn watch_the_deadline(&mut self, maintenance: &mut Known<'_, Maintenance>) {
        let over_many = !maintenance.rolling.is_plain() && maintenance.state == State::Running;
        if !over_many || maintenance.rolling.late_told == Warned::Yes {
            return;
        }
        let late_from = match maintenance.late_from() {
            // While the first hosts are in work, those that are over tell too little of the pace.
            Some(at) if maintenance.empties() && has_a_pace(maintenance) => at.min(maintenance.deadline),
            Some(_) | None => maintenance.deadline,
        };
        if self.now <= late_from {
            self.look_again_at(late_from + Span::milliseconds(1).delta());
            return;
        }
        maintenance.to_mut().rolling.late_told = Warned::Yes;
        let expected = maintenance.forecast(self.now).filter(|_| self.now <= maintenance.deadline);
        self.announce(maintenance, Says::Late { expected });
    }
}

/// Whether as many hosts are over as are in work: what is in work at once does not count for slow then.
fn has_a_pace(maintenance: &Maintenance) -> bool {
    let kind = maintenance.kind();
    let over = maintenance.hosts_at(|stage| stage.ended_at(kind).is_some()).count();
    over >= maintenance.hosts_at(|stage| stage.is_in_work(kind)).count()
}

/// Whether another host of a wave may still fail.
fn may_grow(maintenance: &Maintenance, wave: u32) -> bool {
    let kind = maintenance.kind();
    let turns = maintenance.rolling.turns.iter().filter(|(_, turn)| turn.wave == wave);
    let in_work = |host| maintenance.hosts.get(host).is_some_and(|stage| stage.is_in_work(kind));
    let more_come = maintenance.is_open() && !maintenance.is_halted();
    turns.map(|(host, _)| host).any(in_work)
        || (more_come && maintenance.rolling.waves.ahead.iter().any(|ahead| ahead.number == wave))
}

fn obstacle(wave: &Wave) -> String {
    let because: &Because = &wave.because;
    let hosts: Vec<&str> = wave.hosts.iter().take(NAMED).map(HostName::as_str).collect();
    let more = if wave.hosts.len() > NAMED { ", …" } else { "" };
    format!("{}{more}: {because}", hosts.join(", "))
}
