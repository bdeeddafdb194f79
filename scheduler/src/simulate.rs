//! `drover simulate`: a maintenance carried out by the scheduler's own decisions, in a world of figures and on a clock of its own.
//!
//! What is real: [`conduct`], which decides everything here as it does in production; the orders that agents get, and what is wished of them later;
//! the words in which they answer. What is not: the database (all is kept in a value, and read again from its JSON after a kill), HTTP, mails, and
//! all that an agent does with libvirt. How long that takes, and whether it goes well, is a model ([`Model`]). `docs/decisions/034` says why.

mod agents;
pub mod drawn;
mod kept;
mod links;
mod lots;
mod measured;
mod report;
#[cfg(test)]
mod tests;
pub mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::attempt::Report as Told;
use drover_policies::blueprint::Blueprints;
use drover_policies::conduct::{Changes, Situation, conduct};
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::maintenance::{Maintenance, State};
use drover_policies::owners::OwnersRules;
use drover_policies::policy::PolicySet;
use drover_policies::time::{Instant, Span};

use self::agents::Agents;
use self::kept::{Counting, Kept};
use self::lots::{Lots, What};
use self::measured::Measured;
pub use self::report::{Ended, Left, OwnersDowntime, Report};
use self::timeline::Timeline;
use crate::agents::report_of;

/// How long things take, and how often they fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Of each host's link in each direction, in bytes per second.
    pub link: u64,
    /// What a guest in the middle writes anew, in bytes per second. Half of all guests write less, down to a tenth, and half more, up to ten times.
    pub dirty_rate: u64,
    /// The part of all tries to move a server that fails, 0 to 1.
    pub fail_rate: f64,
    /// The part of all hooks that fails, 0 to 1.
    pub hook_fail_rate: f64,
    /// How long the hook takes that a host is emptied for, a reboot included; it varies by a third.
    pub hook: Span,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Setup {
    /// At the beginning.
    pub fleet: Fleet,
    /// In force.
    pub policies: PolicySet,
    /// What owners have set: when they allow reboots.
    pub owners: OwnersRules,
    /// Approved, and of hosts of the fleet.
    pub maintenance: Maintenance,
    /// Of servers of which it is known, what they write anew, in bytes per second. For all others it is drawn.
    pub dirty: BTreeMap<ServerId, u64>,
    /// Of the world.
    pub model: Model,
    /// Everything that is left to chance hangs on it.
    pub seed: u64,
    /// When it ends at the latest.
    pub lasts: Span,
    /// The time between two looks while something happens; agents go on by themselves in between.
    pub every: Span,
    /// How often the scheduler is killed, at random points.
    pub kills: u32,
}

/// How far a simulation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// In its own time.
    pub now: Instant,
    /// Hosts that are over.
    pub over: usize,
    /// Of so many.
    pub hosts: usize,
    /// Looks of the scheduler.
    pub looks: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In figures.
    pub report: Report,
    /// Host by host.
    pub timeline: Timeline,
    /// How often the scheduler was killed.
    pub killed: u32,
}

/// When a maintenance begins that is simulated with this fleet: at the time of its latest fact.
#[must_use]
pub fn begins_at(fleet: &Fleet) -> Instant {
    fleet.hosts.values().map(|host| host.observed_at).max().unwrap_or(drawn::BEGINS)
}

/// Carries it out to its end.
pub fn run(setup: Setup, mut tell: impl FnMut(Progress)) -> Outcome {
    let mut running = Running::new(setup);
    loop {
        running.look();
        tell(running.progress());
        if let Some(ended) = running.ended() {
            return running.outcome(ended);
        }
        match running.next_look() {
            Some(moment) => running.wait_until(moment),
            None => return running.outcome(Ended::Stuck),
        }
    }
}

/// A simulation under way.
struct Running {
    policies: PolicySet,
    owners: OwnersRules,
    every: Span,
    began_at: Instant,
    until: Instant,
    now: Instant,
    agents: Agents,
    /// Of which nothing was heard at the beginning.
    silent: BTreeSet<HostName>,
    kept: Kept,
    memory: Memory,
    kills: Kills,
    measured: Measured,
    look_again_at: Option<Instant>,
    looks: u64,
}

/// What a scheduler has besides what it keeps: it is gone with it, and comes again.
struct Memory {
    reports: BTreeMap<OperationId, Told>,
    ids: Counting,
    patient: BTreeSet<HostName>,
}

impl Memory {
    fn new(kept: &Kept, agents: &mut Agents) -> Self {
        // All of it is told again: what was new is no news any more.
        drop(agents.news());
        Self {
            reports: agents.all_told().map(|(id, state)| (id, report_of(state))).collect(),
            ids: Counting::from(kept.ids),
            patient: kept.standings.keys().cloned().collect(),
        }
    }
}

/// When the scheduler is killed: when it has given so many orders, every other time between deciding and storing.
struct Kills {
    due: Vec<u64>,
    done: u32,
}

impl Kills {
    /// Every server takes two orders at least.
    fn new(kills: u32, servers: usize, seed: u64) -> Self {
        let at = |nth: u32| Lots(seed).draw(What::Kill, 0, u64::from(nth)) * 2.0 * servers as f64;
        let mut due: Vec<u64> = (0..kills).map(|nth| at(nth) as u64).collect();
        due.sort_unstable_by(|one, other| other.cmp(one));
        Self { due, done: 0 }
    }

    fn is_due(&mut self, orders: u64) -> bool {
        let due = self.due.pop_if(|at| *at <= orders).is_some();
        self.done += u32::from(due);
        due
    }
}

impl Running {
    fn new(setup: Setup) -> Self {
        let Setup { fleet, policies, owners, maintenance, dirty, model, seed, lasts, every, kills } = setup;
        let began_at = maintenance.requested_at;
        let limit = policies.general().agents.silent_after.delta();
        let silent = fleet.hosts.values().filter(|host| began_at - host.observed_at > limit);
        let silent = silent.map(|host| host.name.clone()).collect();
        let servers = maintenance.hosts.keys().map(|host| fleet.on(host).count()).sum();
        let measured = Measured::new(&maintenance, &fleet);
        let kept = Kept::new(maintenance, &fleet);
        let mut agents = Agents::new(fleet, policies.clone(), model, dirty, seed);
        let memory = Memory::new(&kept, &mut agents);
        Self {
            policies,
            owners,
            every: every.max(Span::milliseconds(1)),
            began_at,
            until: began_at + lasts.delta(),
            now: began_at,
            agents,
            silent,
            kept,
            memory,
            kills: Kills::new(kills, servers, seed),
            measured,
            look_again_at: None,
            looks: 0,
        }
    }

    /// One look of the scheduler: it hears, decides, stores and orders.
    fn look(&mut self) {
        self.looks += 1;
        self.agents.heard(&self.silent, self.now);
        self.hear();
        let mut changes = self.decide();
        if self.kills.is_due(self.memory.ids.given()) {
            if self.kills.done % 2 == 1 {
                // What was decided is lost with it, and decided again.
                self.kill();
                changes = self.decide();
            } else {
                self.store(changes);
                self.kill();
                return;
            }
        }
        self.store(changes);
    }

    fn hear(&mut self) {
        let news = self.agents.news();
        self.memory.reports.extend(news.into_iter().map(|(id, state)| (id, report_of(&state))));
    }

    fn decide(&self) -> Changes {
        let (kept, memory) = (&self.kept, &self.memory);
        conduct(Situation {
            now: self.now,
            ids: &memory.ids,
            next_number: kept.next_number,
            fleet: &self.agents.fleet,
            policies: &self.policies,
            owners: &self.owners,
            maintenances: vec![&kept.maintenance],
            migrations: kept.migrations.values().collect(),
            replicas: kept.replicas.values().cloned().collect(),
            imports: Vec::new(),
            patient: &memory.patient,
            checking: &BTreeSet::new(),
            blueprints: &Blueprints::new(),
            reports: &memory.reports,
            wishes: &kept.wishes(),
            told: &kept.told,
            history: &kept.history,
        })
    }

    fn store(&mut self, changes: Changes) {
        // What is stored stirs it, as in production: another look may come of it.
        let stirred = (!changes.is_empty()).then_some(self.now);
        self.look_again_at = stirred.or(changes.look_again_at);
        self.measured.decided(&changes, self.now);
        for (host, standing) in &changes.standings {
            if let Some(known) = self.agents.fleet.hosts.get_mut(host) {
                known.standing = standing.clone();
            }
        }
        let ids = self.memory.ids.given();
        let to_agents = self.kept.store(changes, &self.agents.fleet, &self.policies, ids);
        for id in to_agents.ended {
            self.agents.forget(id, self.now);
            self.memory.reports.remove(&id);
        }
        for id in to_agents.wanted {
            if let Some(given) = self.kept.operations.get(&id) {
                self.agents.take(&given.host, given.operation.clone(), self.now);
            }
        }
        for migration in &to_agents.over {
            self.measured.is_over(migration);
        }
        self.measured.stands(&self.kept, (self.agents.rate(), self.now));
    }

    /// All that it had in its memory is gone; what it has kept is read again, and agents tell again.
    fn kill(&mut self) {
        let text = serde_json::to_string(&self.kept);
        if let Ok(kept) = text.and_then(|text| serde_json::from_str(&text)) {
            self.kept = kept;
        }
        for (host, standing) in &self.kept.standings {
            if let Some(known) = self.agents.fleet.hosts.get_mut(host) {
                known.standing = standing.clone();
            }
        }
        self.memory = Memory::new(&self.kept, &mut self.agents);
    }

    fn ended(&self) -> Option<Ended> {
        match &self.kept.maintenance.state {
            State::Completed { .. } => Some(Ended::Completed),
            State::Failed { .. } => Some(Ended::Failed),
            State::Paused { .. } => Some(Ended::Halted),
            State::Cancelled { .. } => Some(Ended::Stuck),
            State::Draft | State::Planned | State::Approved { .. } | State::Running => {
                (self.now >= self.until).then_some(Ended::OutOfTime)
            }
        }
    }

    /// The next of the moments at which it looks at which there is something to be seen.
    fn next_look(&self) -> Option<Instant> {
        let next = self.agents.next_at().into_iter().chain(self.look_again_at).min()?;
        let step = self.every.delta().num_microseconds().unwrap_or(i64::MAX).max(1);
        let away = (next - self.began_at).num_microseconds().unwrap_or(i64::MAX - step);
        let steps = away.div_euclid(step) + i64::from(away.rem_euclid(step) > 0);
        let moment = self.began_at + chrono::TimeDelta::microseconds(steps.saturating_mul(step));
        Some(moment.max(self.now + self.every.delta()).min(self.until))
    }

    fn wait_until(&mut self, moment: Instant) {
        self.agents.run_until(moment);
        self.now = moment;
    }

    fn progress(&self) -> Progress {
        let (over, hosts) = self.measured.over();
        Progress { now: self.now, over, hosts, looks: self.looks }
    }

    fn outcome(self, ended: Ended) -> Outcome {
        let Self { kept, measured, agents, now, looks, kills, .. } = self;
        let (report, timeline) = measured.finish(&kept, (ended, now), agents.peak(), looks);
        let report = Report { overfull: agents.overfull(), ..report };
        Outcome { report, timeline, killed: kills.done }
    }
}
