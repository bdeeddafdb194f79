//! Hosts and their agents, as far as the scheduler sees them: orders come, time passes, and something is told.
//!
//! Orders and what is told are in the words of the agent protocol. What an agent really does with libvirt is not in here: how long it takes and
//! whether it goes well is drawn by a [`Model`].

mod moves;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use chrono::TimeDelta;
use drover_agent_api::{AbortBecause, LifeSign, Operation, OperationState, Order, Verdict, Wish};
use drover_policies::attempt::{Failure, FailureClass, Outcome};
use drover_policies::fleet::Fleet;
use drover_policies::hooks::{Health, HookOutcome, HookOutput, HookRan};
use drover_policies::ids::{HookName, HostName, OperationId, ServerId};
use drover_policies::policy::PolicySet;
use drover_policies::time::{Instant, Span};

use self::moves::{Copying, Live};
use super::Model;
use super::links::{Ends, Links, Peak, seconds};
use super::lots::{Lots, What};

/// The least that an agent needs for anything.
const AT_ONCE: TimeDelta = TimeDelta::milliseconds(200);

/// Until a guest that was moved live is seen alive, and one that has booted.
const SEEN_ALIVE: (Span, Span) = (Span::seconds(1), Span::seconds(20));

/// A hook that only looks, or only prepares.
const SMALL_HOOK: Span = Span::seconds(10);

/// All hosts.
pub(super) struct Agents {
    pub(super) fleet: Fleet,
    policies: PolicySet,
    model: Model,
    /// What servers write anew, where it is known.
    dirty: BTreeMap<ServerId, u64>,
    lots: Lots,
    /// The place of each host, for links.
    rows: BTreeMap<HostName, usize>,
    links: Links,
    /// What is being done, or has been and is still asked for.
    acts: BTreeMap<OperationId, Act>,
    told: BTreeMap<OperationId, OperationState>,
    /// Told since this was last asked.
    news: BTreeSet<OperationId>,
    due: BinaryHeap<Reverse<Due>>,
    /// Copies that go on and are looked at when the scheduler asks.
    resting: BTreeSet<OperationId>,
    /// How often each server was tried to be moved: each try has its own lot.
    tries: BTreeMap<ServerId, u64>,
    hooks: BTreeMap<HostName, u64>,
    overfull: usize,
}

/// When something comes to its end.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    operation: OperationId,
    version: u32,
}

/// An order, and how far it is.
struct Act {
    host: HostName,
    operation: Operation,
    doing: Doing,
    version: u32,
}

enum Doing {
    /// It ends with this.
    Ends(Box<OperationState>),
    /// A reboot whose time has not come.
    Armed,
    /// The server is off.
    Off {
        since: Instant,
    },
    Live(Live),
    Copying(Copying),
    Over,
}

impl Agents {
    pub(super) fn new(
        fleet: Fleet,
        policies: PolicySet,
        model: Model,
        dirty: BTreeMap<ServerId, u64>,
        seed: u64,
    ) -> Self {
        let rows: BTreeMap<HostName, usize> = fleet.hosts.keys().cloned().zip(0..).collect();
        Self {
            links: Links::new(rows.len(), model.link),
            fleet,
            policies,
            model,
            dirty,
            lots: Lots(seed),
            rows,
            acts: BTreeMap::new(),
            told: BTreeMap::new(),
            news: BTreeSet::new(),
            due: BinaryHeap::new(),
            resting: BTreeSet::new(),
            tries: BTreeMap::new(),
            hooks: BTreeMap::new(),
            overfull: 0,
        }
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    pub(super) fn overfull(&self) -> usize {
        self.overfull
    }

    pub(super) fn peak(&self) -> Peak {
        self.links.peak()
    }

    /// Bytes per second that are being sent.
    pub(super) fn rate(&self) -> f64 {
        self.links.in_all()
    }

    /// Everything that is told of orders that are still wanted, as after a restart of the scheduler.
    pub(super) fn all_told(&self) -> impl Iterator<Item = (OperationId, &OperationState)> {
        self.told.iter().map(|(id, state)| (*id, state))
    }

    /// What has been told since this was last asked.
    pub(super) fn news(&mut self) -> Vec<(OperationId, OperationState)> {
        let news = std::mem::take(&mut self.news);
        news.into_iter().filter_map(|id| Some((id, self.told.get(&id)?.clone()))).collect()
    }

    /// Every agent is heard of, but for those of which nothing was at the beginning.
    pub(super) fn heard(&mut self, silent: &BTreeSet<HostName>, now: Instant) {
        for (name, host) in &mut self.fleet.hosts {
            if !silent.contains(name) {
                host.observed_at = now;
            }
        }
        for id in self.resting.clone() {
            self.still_fresh(id, now);
        }
    }

    /// Whatever happens until then.
    pub(super) fn run_until(&mut self, moment: Instant) {
        while let Some(Reverse(due)) = self.due.peek() {
            if due.at > moment {
                return;
            }
            if let Some(Reverse(Due { at, operation, version })) = self.due.pop() {
                self.comes_due(operation, version, at);
            }
        }
    }

    /// An order, or another wish for one that is known.
    pub(super) fn take(&mut self, host: &HostName, operation: Operation, now: Instant) {
        let id = operation.id;
        if let Some(act) = self.acts.get_mut(&id) {
            if act.operation.wish != operation.wish {
                act.operation = operation;
                self.wished(id, now);
            }
            return;
        }
        let act = Act { host: host.clone(), operation, doing: Doing::Over, version: 0 };
        let order = act.operation.order.clone();
        self.acts.insert(id, act);
        self.begin(id, host, order, now);
    }

    /// It is not wanted any more.
    pub(super) fn forget(&mut self, id: OperationId, now: Instant) {
        let later = self.links.end(id, now);
        self.move_ends(later);
        self.acts.remove(&id);
        self.told.remove(&id);
        self.news.remove(&id);
        self.resting.remove(&id);
    }

    fn begin(&mut self, id: OperationId, host: &HostName, order: Order, now: Instant) {
        match order {
            Order::LiveMigrate(order) => self.begin_live(id, host, &order, now),
            Order::RebootMigrate(order) => match order.within {
                Some(within) if within.not_before > now => self.arm(id, within.not_before, now),
                Some(_) | None => self.power_off(id, now),
            },
            Order::VerifyGuest(order) => {
                let seen = self.fleet.seen(host, order.server).map(|seen| seen.facts.power);
                let verdict = match seen {
                    Some(drover_policies::fleet::Power::Off) => alive(LifeSign::Off),
                    Some(_) => alive(LifeSign::Running),
                    None => Verdict::NotAlive { text: "libvirt knows no such domain".to_owned() },
                };
                let takes = if order.within > Span::minutes(1) { SEEN_ALIVE.1 } else { SEEN_ALIVE.0 };
                self.ends_in(id, OperationState::Verified { verdict }, takes.min(order.within).delta(), now);
            }
            Order::ConfirmEmpty => {
                let left = self.fleet.on(host).map(|server| drover_agent_api::Left {
                    server: server.facts.id,
                    name: server.facts.name.clone(),
                });
                let at = now + AT_ONCE;
                self.ends_in(id, OperationState::Counted { left: left.collect(), at }, AT_ONCE, now);
            }
            Order::DiscardRetained { .. } => self.ends_in(id, OperationState::Discarded, AT_ONCE, now),
            Order::LookAtRetained(_) | Order::HoldReplica(_) => {
                self.ends_in(id, OperationState::Held, AT_ONCE, now);
            }
            Order::Replicate(order) => self.begin_copy(id, host, &order, now),
            Order::ReleaseReplica(_) => self.ends_in(id, OperationState::Released, AT_ONCE, now),
            Order::RunHook(order) => self.run_hook(id, host, &order.hook, now),
            Order::CheckHealth(_) => {
                let Some(facts) = self.fleet.hosts.get(host).map(|host| &host.facts) else { return };
                let health = Health {
                    libvirt_version: facts.libvirt_version,
                    qemu_version: facts.qemu_version,
                    boot_id: facts.boot_id.clone(),
                    at: now + AT_ONCE,
                };
                self.ends_in(id, OperationState::Healthy { health }, AT_ONCE, now);
            }
            // Nobody asks for these in a maintenance.
            Order::TestLaunch(_) | Order::Import(_) => {
                let text = "a simulated host does no such thing".to_owned();
                let failure = Failure { class: FailureClass::Unexpected, text };
                self.ends_in(id, OperationState::Refused { failure }, AT_ONCE, now);
            }
        }
    }

    fn run_hook(&mut self, id: OperationId, host: &HostName, hook: &HookName, now: Instant) {
        let nth = self.hooks.entry(host.clone()).or_default();
        *nth += 1;
        let (nth, row) = (*nth, self.rows.get(host).map_or(0, |row| *row as u128));
        let (took, fails) = if *hook == HookName::maintain() {
            let long = self.lots.between(What::Hook, row, nth, (0.75, 4.0 / 3.0));
            let fails = self.lots.draw(What::HookFails, row, nth) < self.model.hook_fail_rate;
            (Span(self.model.hook.0.mul_f64(long)), fails)
        } else {
            (SMALL_HOOK.min(self.model.hook), false)
        };
        let outcome = HookOutcome::of_status(Some(i32::from(fails)), None);
        let ran = HookRan { outcome, output: HookOutput::default(), took };
        self.ends_in(id, OperationState::HookRan { ran }, took.delta(), now);
    }

    fn ends_in(&mut self, id: OperationId, state: OperationState, takes: TimeDelta, now: Instant) {
        self.does(id, Doing::Ends(Box::new(state)), Some(now + takes));
    }

    /// What it does now, and until when.
    fn does(&mut self, id: OperationId, doing: Doing, until: Option<Instant>) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        act.doing = doing;
        act.version += 1;
        if let Some(at) = until {
            self.due.push(Reverse(Due { at, operation: id, version: act.version }));
        }
    }

    fn tell(&mut self, id: OperationId, state: OperationState) {
        self.told.insert(id, state);
        self.news.insert(id);
    }

    fn over(&mut self, id: OperationId, state: OperationState) {
        self.does(id, Doing::Over, None);
        self.resting.remove(&id);
        self.tell(id, state);
    }

    fn stayed(&mut self, id: OperationId, class: FailureClass) {
        let failure = Failure { class, text: class.to_string() };
        self.over(id, OperationState::Ended { outcome: Outcome::stayed(failure), done: Vec::new() });
    }

    fn move_ends(&mut self, ends: Vec<Ends>) {
        let due =
            ends.into_iter().map(|Ends { operation, at, version }| Reverse(Due { at, operation, version }));
        self.due.extend(due);
    }

    fn comes_due(&mut self, id: OperationId, version: u32, at: Instant) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        let holds = match &act.doing {
            Doing::Live(_) | Doing::Copying(Copying::Whole { .. }) => self.links.holds(id, version),
            Doing::Ends(_) | Doing::Armed | Doing::Off { .. } | Doing::Copying(_) | Doing::Over => {
                act.version == version
            }
        };
        if !holds {
            return;
        }
        match std::mem::replace(&mut act.doing, Doing::Over) {
            Doing::Ends(state) => self.over(id, *state),
            Doing::Armed => self.power_off(id, at),
            Doing::Off { since } => self.boots(id, since, at),
            Doing::Live(live) => self.pass_over(id, live, at),
            Doing::Copying(copying) => self.copied(id, copying, at),
            Doing::Over => {}
        }
    }

    /// Something else is wished of an order.
    fn wished(&mut self, id: OperationId, now: Instant) {
        let Some(act) = self.acts.get_mut(&id) else { return };
        match (act.operation.wish, &mut act.doing) {
            (Wish::Tuned(tuning), Doing::Live(live)) => {
                live.allowed_ms = tuning.max_downtime_ms.unwrap_or(live.allowed_ms);
            }
            (Wish::AtOnce, Doing::Armed) => self.power_off(id, now),
            (Wish::Abort { because }, Doing::Live(_)) => {
                let later = self.links.end(id, now);
                self.move_ends(later);
                let class = match because {
                    AbortBecause::NotConverging => FailureClass::NotConverging,
                    AbortBecause::Asked | AbortBecause::Postponed => FailureClass::Aborted,
                };
                self.stayed(id, class);
            }
            (Wish::Abort { .. }, Doing::Armed) => self.stayed(id, FailureClass::NotBegun),
            (Wish::Abort { .. }, Doing::Copying(_)) => {
                let later = self.links.end(id, now);
                self.move_ends(later);
                self.over(id, OperationState::Stopped);
            }
            // What can't be ended any more comes to its own end.
            (
                Wish::Run | Wish::Tuned(_) | Wish::AtOnce | Wish::Pace(_) | Wish::Abort { .. },
                Doing::Ends(_)
                | Doing::Armed
                | Doing::Off { .. }
                | Doing::Live(_)
                | Doing::Copying(_)
                | Doing::Over,
            ) => {}
        }
    }

    /// A server is at another host now.
    fn arrives(&mut self, server: ServerId, from: &HostName, to: &HostName, now: Instant) {
        if let Some(mut seen) = self.fleet.sightings.leaves(from, server) {
            seen.host = to.clone();
            seen.observed_at = now;
            self.fleet.sightings.see(seen);
            let has = self.fleet.hosts.get(to).map_or(0, |host| host.facts.memory_bytes);
            let carries: u64 = self.fleet.on(to).map(|server| server.facts.memory_bytes).sum();
            self.overfull += usize::from(carries > has);
        }
    }

    /// The places of two hosts among links; nothing for one that is not there.
    fn between(&self, from: &HostName, to: &HostName) -> Option<(usize, usize)> {
        Some((*self.rows.get(from)?, *self.rows.get(to)?))
    }

    /// Which try of a server this is.
    fn next_try(&mut self, server: ServerId) -> u64 {
        let tries = self.tries.entry(server).or_default();
        *tries += 1;
        *tries
    }

    fn fails(&self, server: ServerId, nth: u64) -> bool {
        self.lots.draw(What::Fails, server.0.as_u128(), nth) < self.model.fail_rate
    }
}

fn alive(sign: LifeSign) -> Verdict {
    Verdict::Alive { sign, looked: None }
}

/// So many seconds from then.
fn after(now: Instant, long: f64) -> Instant {
    now + seconds(long)
}
