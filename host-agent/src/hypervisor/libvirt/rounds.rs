//! Rounds out of this host: each on a thread and a libvirt connection of its own.
//!
//! What a round leaves when the agent dies in it: a backup job of QEMU's, a checkpoint that proves nothing, files in the scratch
//! directory, perhaps frozen file systems. The next start takes all of it back before the first round is begun, and a round takes back
//! what it finds of its own replica.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use drover_policies::attempt::FailureClass;
use drover_policies::ids::{OperationId, ReplicaId, ServerId};
use drover_policies::replica::{DiskBacklog, Frozen, ReplicaDisk, Round, RoundKind};
use drover_policies::time::{Clock, Instant, Span};

use super::super::replication::{Limits, ReadFrom, RoundOrder, RoundStatus};
use super::super::{Answer, Refusal, RefusalKind, Wake, Waker};
use super::daemon::Daemon;
use super::lock;
use crate::clock::SystemClock;
use crate::replica::Ends;
use crate::replica::peer::{PeerError, PeerReplica, Peers};

mod copy;
mod courtesy;
mod domain;
mod gate;
mod image;
mod limiter;
mod parts;
mod plan;
mod powered_off;
mod progress;
mod quiet;
mod running;
mod scratch;
mod source;
mod stretches;
mod workers;

pub(super) use domain::disk_files;
use gate::Seen;
use limiter::Limiter;
use plan::{Names, Plan};
use progress::Progress;
use quiet::Quiet;
use scratch::Scratch;
use source::Server;
use workers::Workers;

/// Threads that copy for all rounds of this host together, beside one of each round.
const WORKERS: usize = 12;

/// Rounds under way, and rounds that have ended and were not looked at yet.
pub(super) struct Rounds {
    uri: String,
    swtpm: PathBuf,
    peers: Peers,
    scratch: Scratch,
    workers: Workers,
    limit: Arc<Limiter>,
    rounds: Mutex<HashMap<ServerId, Standing>>,
    /// Of guests that are given way to.
    quiet: Mutex<HashMap<ServerId, Quiet>>,
    /// Whether what an earlier agent left was taken back.
    recovered: Mutex<Recovered>,
    waker: Arc<Mutex<Option<Waker>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovered {
    Yes,
    No,
}

struct Standing {
    operation: OperationId,
    state: State,
}

enum State {
    Running(Arc<Progress>),
    Returned(Answer<Round>),
}

/// A round, as the code that does it sees it.
struct Doing<'a> {
    rounds: &'a Rounds,
    order: &'a RoundOrder,
    progress: &'a Progress,
    names: Names,
    server: Server,
    replica: PeerReplica,
    /// What the guest had done before, where it is given way to.
    before: Option<Seen>,
}

fn failed(class: FailureClass, text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed(class), text)
}

impl Rounds {
    pub(super) fn new(uri: String, ends: &Ends, waker: Arc<Mutex<Option<Waker>>>) -> Self {
        Self {
            uri,
            swtpm: ends.config.swtpm.clone(),
            peers: ends.peers.clone(),
            scratch: Scratch::new(&ends.config.scratch),
            workers: Workers::new(WORKERS),
            limit: Arc::new(Limiter::new(ends.config.bandwidth.map(NonZeroU64::get))),
            rounds: Mutex::default(),
            quiet: Mutex::default(),
            recovered: Mutex::new(Recovered::No),
            waker,
        }
    }

    pub(super) fn start(self: &Arc<Self>, order: &RoundOrder) -> Answer<()> {
        let kind = match order.from {
            ReadFrom::Running => RoundKind::Incremental,
            ReadFrom::PoweredOff => RoundKind::Tail,
        };
        let progress =
            Arc::new(Progress::new(SystemClock.now(), kind, order.limits, Arc::clone(&self.limit)));
        {
            let mut rounds = lock(&self.rounds);
            if let Some(Standing { state: State::Running(_), .. }) = rounds.get(&order.server) {
                return Err(failed(FailureClass::Busy, "a round of this server runs already"));
            }
            let state = State::Running(Arc::clone(&progress));
            rounds.insert(order.server, Standing { operation: order.operation, state });
        }
        let (rounds, order) = (Arc::clone(self), order.clone());
        let server = order.server;
        let run = move || {
            // Whatever becomes of this thread, its round does not look like a running one.
            let mut ending = Ending { rounds: &rounds, order: &order, answer: None };
            ending.answer = Some(rounds.run(&order, &progress));
        };
        thread::Builder::new().name(format!("round-{server}")).spawn(run).map(drop).map_err(|error| {
            lock(&self.rounds).remove(&server);
            Refusal::new(RefusalKind::NoAnswer, format!("the system gives no thread: {error}"))
        })
    }

    fn run(&self, order: &RoundOrder, progress: &Progress) -> Answer<Round> {
        self.recover()?;
        let names = Names::new(order.replica);
        let server = Server::new(Daemon::new(self.uri.clone()), order.server, names.clone());
        let replica = self.peers.connect(&order.peer, order.replica).map_err(PeerError::in_round)?;
        let mut doing = Doing { rounds: self, order, progress, names, server, replica, before: None };
        progress.goes_on()?;
        let began = std::time::Instant::now();
        let done = match order.from {
            ReadFrom::Running => {
                doing.before = doing.begins();
                let done = running::run(&doing);
                if done.is_ok() {
                    doing.ends();
                }
                done
            }
            ReadFrom::PoweredOff => {
                lock(&self.quiet).remove(&order.server);
                powered_off::run(&doing)
            }
        };
        tracing::debug!(server = %order.server, took = ?began.elapsed(), "a round has ended");
        done
    }

    /// What an operation's round came to is handed out once.
    pub(super) fn status(&self, server: ServerId, operation: OperationId) -> RoundStatus {
        let mut rounds = lock(&self.rounds);
        match rounds.remove(&server) {
            Some(Standing { operation: own, state: State::Returned(answer) }) if own == operation => {
                RoundStatus::Returned(answer)
            }
            Some(other) => {
                let status = match &other.state {
                    State::Running(progress) if other.operation == operation => {
                        RoundStatus::Running(progress.figures())
                    }
                    State::Running(_) | State::Returned(_) => RoundStatus::None,
                };
                rounds.insert(server, other);
                status
            }
            None => RoundStatus::None,
        }
    }

    fn progress(&self, server: ServerId) -> Option<Arc<Progress>> {
        match lock(&self.rounds).get(&server)?.state {
            State::Running(ref progress) => Some(Arc::clone(progress)),
            State::Returned(_) => None,
        }
    }

    pub(super) fn abort(&self, server: ServerId) {
        if let Some(progress) = self.progress(server) {
            progress.abort();
        }
    }

    pub(super) fn limit(&self, server: ServerId, limits: Limits) {
        if let Some(progress) = self.progress(server) {
            progress.limit(limits);
        }
    }

    fn quiet<T>(&self, server: ServerId, with: impl FnOnce(&mut Quiet) -> T) -> T {
        with(lock(&self.quiet).entry(server).or_default())
    }

    /// How much longer a guest is left alone.
    pub(super) fn quiet_for(&self, replica: ReplicaId, server: ServerId) -> std::time::Duration {
        let known = |now| lock(&self.quiet).get(&server).map(|quiet| (quiet.left(now), quiet.is_unsure(now)));
        let now = std::time::Instant::now();
        let Some((left, is_unsure)) = known(now) else { return std::time::Duration::ZERO };
        if !is_unsure {
            return left;
        }
        let Ok(done) = self.server(replica, server).done() else { return left };
        let now = std::time::Instant::now();
        self.quiet(server, |quiet| {
            quiet.looked((done, now));
            quiet.left(now)
        })
    }

    fn server(&self, replica: ReplicaId, server: ServerId) -> Server {
        Server::new(Daemon::new(self.uri.clone()), server, Names::new(replica))
    }

    /// What was written since the last round that landed. Of disks without a bitmap that is not known, nor while the server is off.
    pub(super) fn backlog(
        &self,
        replica: ReplicaId,
        server: ServerId,
        disks: &[ReplicaDisk],
    ) -> Answer<Vec<DiskBacklog>> {
        let sizes = self.server(replica, server).written()?;
        let of_disk = |(target, bytes): (String, u64)| {
            disks.iter().any(|disk| disk.target == target).then_some(DiskBacklog { target, bytes })
        };
        Ok(sizes.into_iter().filter_map(of_disk).collect())
    }

    /// Takes away what rounds of a replica have left. A server that is not here has nothing.
    pub(super) fn forget(&self, replica: ReplicaId, server: ServerId) -> Answer<()> {
        if self.progress(server).is_some() {
            return Err(failed(FailureClass::Busy, "a round of this server runs: abort it first"));
        }
        lock(&self.quiet).remove(&server);
        let source = self.server(replica, server);
        match source.forget(&self.scratch) {
            Ok(()) | Err(Refusal { kind: RefusalKind::NoServer, .. }) => {}
            Err(refusal) => return Err(refusal),
        }
        self.scratch.clean(&Names::new(replica));
        Ok(())
    }

    /// Takes back what an agent left that died in its rounds. Done once; a daemon that is away is tried again with the next round.
    pub(super) fn recover(&self) -> Answer<()> {
        let mut recovered = lock(&self.recovered);
        if *recovered == Recovered::No {
            source::recover(&Daemon::new(self.uri.clone()), &self.scratch)?;
            *recovered = Recovered::Yes;
        }
        Ok(())
    }
}

/// Writes down how a round has ended and wakes the agent, also when its thread panics.
struct Ending<'a> {
    rounds: &'a Rounds,
    order: &'a RoundOrder,
    answer: Option<Answer<Round>>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let panicked =
            || Err(failed(FailureClass::Unexpected, "the round's thread has panicked; see the agent's log"));
        let answer = self.answer.take().unwrap_or_else(panicked);
        let standing = Standing { operation: self.order.operation, state: State::Returned(answer) };
        lock(&self.rounds.rounds).insert(self.order.server, standing);
        let waker = lock(&self.rounds.waker).clone();
        if let Some(waker) = waker {
            waker(Wake::Server(self.order.server));
        }
    }
}

impl Doing<'_> {
    /// What the guest has done until now, where it is given way to.
    fn begins(&self) -> Option<Seen> {
        let share = self.progress.gate.share();
        let seen = share.and_then(|_| Some((self.server.done().ok()?, std::time::Instant::now())));
        match seen {
            Some(seen) => self.rounds.quiet(self.order.server, |quiet| quiet.begins(seen)),
            // What follows is no time of peace.
            None => drop(lock(&self.rounds.quiet).remove(&self.order.server)),
        }
        seen
    }

    /// What this round took from a guest that is still to be given way to is made good before the next.
    fn ends(&self) {
        let Some((before, share)) = self.before.zip(self.progress.gate.share()) else { return };
        let Ok(done) = self.server.done() else { return };
        let now = std::time::Instant::now();
        self.rounds.quiet(self.order.server, |quiet| quiet.ends(before, (done, now), share));
    }

    /// The round as it is told to the destination when everything has been sent.
    fn landed(&self, plan: &Plan, at: Instant, frozen: Frozen) -> Round {
        Round {
            number: plan.number,
            kind: plan.kind,
            consistent_at: at,
            frozen,
            dirty_bytes: self.progress.dirty_bytes(),
            sent_bytes: self.replica.sent_bytes(),
            took: Span::between(self.progress.figures().began_at, SystemClock.now()),
        }
    }
}
