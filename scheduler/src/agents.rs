//! What agents tell, and what is wanted of them.
//!
//! Everything here is level-triggered: an agent sends all it knows, and is answered with all that is wanted. So nothing of it has to
//! survive a restart but what the store keeps anyway (inventories, and the orders themselves); reports are told again until the
//! order that they answer is no longer wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_agent_api::{
    CHECKS_SINCE, GuestsTold, Inventory, Operation, OperationReport, OperationState, PROTOCOL, SyncRequest,
    SyncResponse, Verdict, WAITS_SINCE,
};
use drover_policies::attempt::{Progress, Report};
use drover_policies::fleet::{Fleet, Host, Server};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, OperationId};
use drover_policies::import::ImportStatus;
use drover_policies::replica::ReplicaStatus;
use drover_policies::time::{Instant, Span};
use tokio::sync::watch;

use crate::store::StoredOperation;

mod guests;
mod imports;
mod readings;
mod replicas;

pub use guests::GuestNews;
pub use readings::Reading;

/// The longest that an answer is held, whatever the agent asks for: proxies close what is silent for longer.
const LONGEST_HOLD: Duration = Duration::from_secs(25);

/// The longest that an answer is held for an agent whose inventory is not known.
const WITHOUT_INVENTORY: Duration = Duration::from_secs(1);

/// How often it is looked whose calls are held: far more often than any silence is of interest.
const TOUCHED_EVERY: Span = Span::seconds(1);

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefusal {
    /// The agent speaks a later protocol.
    #[error(
        "the agent speaks version {theirs} of the agent protocol, this scheduler up to {PROTOCOL}: upgrade the scheduler first"
    )]
    TooNew {
        /// Its version.
        theirs: u32,
    },
    /// The token is for another host.
    #[error(
        "this token is for host {token}, but the agent says that it runs on {told}; give the agent its own token, or mend `name` in its configuration"
    )]
    WrongHost {
        /// The host that the token was given for.
        token: HostName,
        /// The host that the agent named.
        told: HostName,
    },
    /// A later start of the same agent is known.
    #[error(
        "start {theirs} of the agent of {host} has been replaced by start {known}; only one agent may run on a host, so stop this one"
    )]
    Replaced {
        /// The host.
        host: HostName,
        /// The caller's start.
        theirs: u64,
        /// The latest start known.
        known: u64,
    },
}

/// What a call brought.
#[derive(Debug, Default)]
pub struct News {
    /// An inventory to be stored.
    pub inventory: Option<Inventory>,
    /// Whether something was told that a decision may hang on.
    pub decisive: bool,
    /// Progress that is new, for those who watch.
    pub progress: Vec<(OperationId, Progress)>,
    /// What is new of replicas, for those who watch.
    pub replicating: Vec<(OperationId, ReplicaStatus)>,
    /// What is new of imports, for those who watch.
    pub importing: Vec<(OperationId, ImportStatus)>,
    /// Whether the agent was unknown or silent before.
    pub appeared: bool,
}

/// Everything known of agents and their hosts.
#[derive(Default)]
pub struct Agents {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    fleet: Arc<Fleet>,
    presence: BTreeMap<HostName, Presence>,
    wanted: BTreeMap<HostName, Wanted>,
    guests: guests::Guests,
    first_revision: u64,
    /// When it was last looked which agents have a call open.
    touched_at: Option<Instant>,
}

#[derive(Default)]
struct Presence {
    incarnation: u64,
    /// As its agent speaks it; 0 until it has called.
    protocol: u32,
    serial: Option<u64>,
    /// Calls that are being held: as long as one is, the agent is there.
    open_calls: u32,
    reports: BTreeMap<OperationId, OperationReport>,
    /// Of what runs.
    readings: BTreeMap<OperationId, readings::Readings>,
}

struct Wanted {
    operations: Vec<Operation>,
    /// Nothing until it has been worked out: that is another thing than that there is nothing to be told.
    guests: Option<GuestsTold>,
    revision: watch::Sender<u64>,
}

/// A host as it was stored.
pub struct StoredHost {
    /// Its name.
    pub name: HostName,
    /// Whether servers may be placed on it.
    pub standing: Standing,
    /// What its agent told last.
    pub inventory: Option<Inventory>,
    /// The latest start of its agent.
    pub incarnation: u64,
    /// When its agent was last heard of.
    pub seen_at: Instant,
}

impl Agents {
    /// Begins with what was stored. Revisions count from `first_revision`, which has to be above all of earlier lives of this scheduler, so that
    /// no agent takes a new list for one it has.
    #[must_use]
    pub fn new(hosts: Vec<StoredHost>, wanted: Vec<StoredOperation>, first_revision: u64) -> Self {
        let mut inner = Inner { first_revision, ..Inner::default() };
        for host in hosts {
            let presence = Presence {
                incarnation: host.incarnation,
                serial: host.inventory.as_ref().map(|inventory| inventory.serial),
                ..Presence::default()
            };
            inner.presence.insert(host.name.clone(), presence);
            if let Some(inventory) = host.inventory {
                inner.observe(&host.name, &inventory, host.seen_at, Some(host.standing));
            }
        }
        let agents = Self { inner: Mutex::new(inner) };
        agents.want(wanted);
        agents
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half-changed by a panic: every change is a single assignment.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fleet as last observed; a host whose agent has a call open was observed within the last second.
    #[must_use]
    pub fn fleet(&self, now: Instant) -> Arc<Fleet> {
        let mut inner = self.lock();
        inner.touch_present(now);
        inner.fleet.clone()
    }

    /// Takes in a call. What it brought is for the caller to store and to act on.
    ///
    /// # Errors
    /// The caller is not the agent of that host, or not its latest start.
    pub fn take(&self, token: &HostName, request: &SyncRequest, now: Instant) -> Result<News, SyncRefusal> {
        if request.protocol > PROTOCOL {
            return Err(SyncRefusal::TooNew { theirs: request.protocol });
        }
        if *token != request.host {
            return Err(SyncRefusal::WrongHost { token: token.clone(), told: request.host.clone() });
        }
        let mut inner = self.lock();
        let presence = inner.presence.entry(request.host.clone()).or_default();
        if request.incarnation < presence.incarnation {
            return Err(SyncRefusal::Replaced {
                host: request.host.clone(),
                theirs: request.incarnation,
                known: presence.incarnation,
            });
        }
        presence.protocol = request.protocol;
        let mut news = News::default();
        if request.incarnation > presence.incarnation {
            presence.incarnation = request.incarnation;
            presence.serial = None;
            news.appeared = true;
        }
        let told: BTreeMap<OperationId, OperationReport> =
            request.operations.iter().map(|report| (report.id, report.clone())).collect();
        for (id, report) in &told {
            let before = presence.reports.get(id);
            news.decisive |= is_decisive(before, report);
            if before == Some(report) {
                continue;
            }
            match &report.state {
                OperationState::Running { progress } => news.progress.push((*id, progress.clone())),
                OperationState::Replicating { status } => news.replicating.push((*id, status.clone())),
                OperationState::Importing { status } => news.importing.push((*id, status.clone())),
                OperationState::Refused { .. }
                | OperationState::Ended { .. }
                | OperationState::Verified { .. }
                | OperationState::Counted { .. }
                | OperationState::Discarded
                | OperationState::Held
                | OperationState::Stopped
                | OperationState::Released
                | OperationState::ImportEnded { .. }
                | OperationState::Testing { .. }
                | OperationState::Tested { .. }
                | OperationState::RunningHook { .. }
                | OperationState::HookRan { .. }
                | OperationState::Healthy { .. }
                | OperationState::Unhealthy { .. } => {}
            }
        }
        readings::take(&mut presence.readings, &told);
        presence.reports = told;
        if let Some(inventory) = &request.inventory
            && presence.serial != Some(inventory.serial)
        {
            presence.serial = Some(inventory.serial);
            news.inventory = Some(inventory.clone());
            news.decisive = true;
            inner.observe(&request.host, inventory, now, None);
        }
        if request.guests.is_some() {
            news.decisive |= inner.serves_guests(&request.host);
        }
        inner.touch(&request.host, now);
        Ok(news)
    }

    /// The answer to a call; waits for another list than the agent has, as long as it lets us.
    pub async fn answer(&self, request: &SyncRequest) -> SyncResponse {
        let mut changes = self.revisions(&request.host);
        // What was told is confirmed at once: until then the agent would tell it again with every call.
        let has_told = request.inventory.is_some()
            || request.guests.as_ref().is_some_and(|guests| !guests.acknowledged.is_empty());
        let hold =
            if has_told { Duration::ZERO } else { Duration::from_millis(request.wait_ms).min(LONGEST_HOLD) };
        // An agent that can't read its libvirt yet has none to send: answered at once, it would call again as fast as it can.
        let hold = if self.serial(&request.host).is_none() { hold.min(WITHOUT_INVENTORY) } else { hold };
        if !hold.is_zero() && request.seen_revision == Some(*changes.borrow_and_update()) {
            let _open = OpenCall::new(self, &request.host);
            // Whether it changed or the time is over: either way the answer is the list as it is then.
            let _ = tokio::time::timeout(hold, changes.changed()).await;
        }
        let inner = self.lock();
        let operations =
            inner.wanted.get(&request.host).map(|wanted| wanted.operations.clone()).unwrap_or_default();
        let revision = *changes.borrow();
        SyncResponse {
            revision,
            inventory_serial: inner.presence.get(&request.host).and_then(|presence| presence.serial),
            operations,
            guests: request.guests.as_ref().map(|ask| inner.answer_for_guests(&request.host, ask)),
            now: None,
        }
    }

    /// Hosts whose agents can look at more than signs of life.
    #[must_use]
    pub fn checking(&self) -> BTreeSet<HostName> {
        self.speaking(CHECKS_SINCE)
    }

    /// Hosts whose agents wait by themselves for the time of an order.
    #[must_use]
    pub fn patient(&self) -> BTreeSet<HostName> {
        self.speaking(WAITS_SINCE)
    }

    /// The version in which a host's agent speaks; nothing until it has called.
    #[must_use]
    pub fn protocol(&self, host: &HostName) -> Option<u32> {
        self.lock().presence.get(host).map(|presence| presence.protocol).filter(|version| *version > 0)
    }

    fn speaking(&self, version: u32) -> BTreeSet<HostName> {
        let inner = self.lock();
        let able = inner.presence.iter().filter(|(_, presence)| presence.protocol >= version);
        able.map(|(host, _)| host.clone()).collect()
    }

    fn serial(&self, host: &HostName) -> Option<u64> {
        self.lock().presence.get(host).and_then(|presence| presence.serial)
    }

    fn revisions(&self, host: &HostName) -> watch::Receiver<u64> {
        self.lock().wanted(host).revision.subscribe()
    }

    /// All that is wanted now, of all hosts; the agents whose list is another than before are answered.
    pub fn want(&self, operations: Vec<StoredOperation>) {
        let mut by_host: BTreeMap<HostName, Vec<Operation>> = BTreeMap::new();
        for stored in operations {
            by_host.entry(stored.host).or_default().push(stored.operation);
        }
        let mut inner = self.lock();
        let known: BTreeSet<HostName> = inner.wanted.keys().chain(by_host.keys()).cloned().collect();
        for host in known {
            let now = by_host.remove(&host).unwrap_or_default();
            let wanted = inner.wanted(&host);
            if wanted.operations != now {
                wanted.operations = now;
                wanted.revision.send_modify(|revision| *revision += 1);
            }
        }
    }

    /// What agents last told, of the operations that are wanted.
    #[must_use]
    pub fn reports(&self) -> BTreeMap<OperationId, Report> {
        let inner = self.lock();
        let wanted: BTreeSet<OperationId> = inner
            .wanted
            .values()
            .flat_map(|wanted| wanted.operations.iter().map(|operation| operation.id))
            .collect();
        inner
            .presence
            .values()
            .flat_map(|presence| presence.reports.values())
            .filter(|report| wanted.contains(&report.id))
            .map(|report| (report.id, report_of(&report.state)))
            .collect()
    }

    /// How far a running operation is.
    #[must_use]
    pub fn progress(&self, operation: OperationId) -> Option<Progress> {
        let inner = self.lock();
        let report = inner.presence.values().find_map(|presence| presence.reports.get(&operation))?;
        match &report.state {
            OperationState::Running { progress } => Some(progress.clone()),
            OperationState::Refused { .. }
            | OperationState::Ended { .. }
            | OperationState::Verified { .. }
            | OperationState::Counted { .. }
            | OperationState::Discarded
            | OperationState::Held
            | OperationState::Replicating { .. }
            | OperationState::Stopped
            | OperationState::Released
            | OperationState::Importing { .. }
            | OperationState::ImportEnded { .. }
            | OperationState::Testing { .. }
            | OperationState::Tested { .. }
            | OperationState::RunningHook { .. }
            | OperationState::HookRan { .. }
            | OperationState::Healthy { .. }
            | OperationState::Unhealthy { .. } => None,
        }
    }

    /// The last inventory of a host could not be stored: the agent is to send it again.
    pub fn forget_inventory(&self, host: &HostName) {
        if let Some(presence) = self.lock().presence.get_mut(host) {
            presence.serial = None;
        }
    }

    /// A host's standing has been changed and stored.
    pub fn set_standing(&self, host: &HostName, standing: Standing) {
        let mut inner = self.lock();
        if let Some(known) = Arc::make_mut(&mut inner.fleet).hosts.get_mut(host) {
            known.standing = standing;
        }
    }
}

impl Inner {
    fn wanted(&mut self, host: &HostName) -> &mut Wanted {
        let first = self.first_revision;
        self.wanted.entry(host.clone()).or_insert_with(|| Wanted {
            operations: Vec::new(),
            guests: None,
            revision: watch::Sender::new(first),
        })
    }

    /// Agents whose call is held are there. Whoever asks for the fleet often is not made to pay for all of them each time.
    fn touch_present(&mut self, now: Instant) {
        if self.touched_at.is_some_and(|at| (at..at + TOUCHED_EVERY.delta()).contains(&now)) {
            return;
        }
        self.touched_at = Some(now);
        let present: Vec<HostName> = self
            .presence
            .iter()
            .filter(|(_, presence)| presence.open_calls > 0)
            .map(|(host, _)| host.clone())
            .collect();
        for host in present {
            self.touch(&host, now);
        }
    }

    fn touch(&mut self, host: &HostName, now: Instant) {
        let fresh = self.fleet.hosts.get(host).is_some_and(|known| known.observed_at < now);
        if fresh && let Some(known) = Arc::make_mut(&mut self.fleet).hosts.get_mut(host) {
            known.observed_at = now;
        }
    }

    fn observe(&mut self, name: &HostName, inventory: &Inventory, now: Instant, standing: Option<Standing>) {
        let fleet = Arc::make_mut(&mut self.fleet);
        let standing = standing.or_else(|| Some(fleet.hosts.get(name)?.standing.clone())).unwrap_or_default();
        let host = Host { name: name.clone(), facts: inventory.host.clone(), observed_at: now, standing };
        fleet.hosts.insert(name.clone(), host);
        let servers = inventory.servers.iter().map(|facts| {
            let server =
                Server { host: name.clone(), facts: facts.clone(), observed_at: inventory.observed_at };
            (facts.id, server)
        });
        fleet.sightings.tells(name, servers.collect());
    }
}

/// Counts a held call for as long as it is held, also when the caller goes away.
struct OpenCall<'a> {
    agents: &'a Agents,
    host: &'a HostName,
}

impl<'a> OpenCall<'a> {
    fn new(agents: &'a Agents, host: &'a HostName) -> Self {
        if let Some(presence) = agents.lock().presence.get_mut(host) {
            presence.open_calls += 1;
        }
        Self { agents, host }
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        if let Some(presence) = self.agents.lock().presence.get_mut(self.host) {
            presence.open_calls = presence.open_calls.saturating_sub(1);
        }
    }
}

/// Whether the next decision may differ because of this report. Plain progress within one pass over the memory changes nothing; another finding
/// of a look is told at once.
fn is_decisive(before: Option<&OperationReport>, now: &OperationReport) -> bool {
    let running = |report: &OperationReport| match &report.state {
        OperationState::Running { progress } => {
            Some((progress.phase, progress.iteration, progress.findings.len(), progress.done.len()))
        }
        OperationState::Refused { .. }
        | OperationState::Ended { .. }
        | OperationState::Verified { .. }
        | OperationState::Counted { .. }
        | OperationState::Discarded
        | OperationState::Held
        | OperationState::Replicating { .. }
        | OperationState::Stopped
        | OperationState::Released
        | OperationState::Importing { .. }
        | OperationState::ImportEnded { .. }
        | OperationState::Testing { .. }
        | OperationState::Tested { .. }
        | OperationState::RunningHook { .. }
        | OperationState::HookRan { .. }
        | OperationState::Healthy { .. }
        | OperationState::Unhealthy { .. } => None,
    };
    let Some(before) = before else { return true };
    if let (OperationState::Replicating { status: then }, OperationState::Replicating { status: now }) =
        (&before.state, &now.state)
    {
        return then.stage() != now.stage();
    }
    if let (OperationState::RunningHook { status: then }, OperationState::RunningHook { status: now }) =
        (&before.state, &now.state)
    {
        return then.doing != now.doing;
    }
    if let (OperationState::Importing { status: then }, OperationState::Importing { status: now }) =
        (&before.state, &now.state)
    {
        return (then.step, then.log.last()) != (now.step, now.log.last());
    }
    match (running(before), running(now)) {
        (Some(then), Some(now)) => then != now,
        _ => before.state != now.state,
    }
}

/// The wire's words in the words of decisions.
pub(crate) fn report_of(state: &OperationState) -> Report {
    match state {
        OperationState::Running { progress } => Report::Running(progress.clone()),
        OperationState::Refused { failure } => Report::Refused(failure.clone()),
        OperationState::Ended { outcome, done } => {
            Report::Ended { outcome: outcome.clone(), done: done.clone() }
        }
        OperationState::Verified { verdict: Verdict::Alive { sign, looked } } => {
            Report::Alive { sign: sign.to_string(), looked: looked.clone() }
        }
        OperationState::Verified { verdict: Verdict::NotAlive { text } } => Report::NotAlive(text.clone()),
        OperationState::Counted { left, at } => {
            Report::Counted { left: left.iter().map(|left| left.name.clone()).collect(), at: *at }
        }
        OperationState::Discarded => Report::Discarded,
        OperationState::Held => Report::Held,
        OperationState::Replicating { status } => Report::Replicating(status.clone()),
        OperationState::Stopped => Report::Stopped,
        OperationState::Released => Report::Released,
        OperationState::Importing { status } => Report::Importing(Box::new(status.clone())),
        OperationState::ImportEnded { end, log } => {
            Report::ImportEnded { end: end.clone(), log: log.clone() }
        }
        OperationState::Testing { status } => Report::Testing(Box::new(status.clone())),
        OperationState::Tested { because, seen } => {
            Report::Tested { because: because.clone(), seen: seen.clone() }
        }
        OperationState::RunningHook { status } => Report::RunningHook(status.clone()),
        OperationState::HookRan { ran } => Report::HookRan(ran.clone()),
        OperationState::Healthy { health } => Report::Healthy(health.clone()),
        OperationState::Unhealthy { why } => Report::Unhealthy(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_that_has_no_inventory_yet_is_held_and_not_answered_at_once() {
        let agents = Agents::new(Vec::new(), Vec::new(), 7);
        let host: HostName = "h1".parse().expect("a name");
        let request = SyncRequest {
            protocol: PROTOCOL,
            host: host.clone(),
            incarnation: 1,
            inventory: None,
            operations: Vec::new(),
            seen_revision: Some(7),
            guests: None,
            wait_ms: 60,
        };
        agents.take(&host, &request, Instant::UNIX_EPOCH).expect("it is this host's agent");
        let began = std::time::Instant::now();
        let answer = agents.answer(&request).await;
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
        assert_eq!((answer.revision, answer.inventory_serial), (7, None));
    }
}
