//! Local disks and their replicas in the simulated fleet.
//!
//! What is on a server's disks is told by one figure: for how long the server had run when they were last written. Images that show less
//! than the server has run lack writes that its owner was told are safe, and a server that boots from such ones is a violation.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use drover_agent_api::{Base, HoldReplica, Images};
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::Reach;
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::replica::{
    DiskBacklog, DiskFigures, Frozen, ImageFormat, ReplicaDisk, Round, RoundFigures, RoundKind,
};
use drover_policies::time::{Instant, Span};

use super::super::replication::{FilledBy, Held, Limits, ReadFrom, RoundOrder, TestOf, Touched};
use super::super::{Answer, Refusal, RefusalKind, State, Wake};
use super::launches::Test;
use super::precopy::{amount, duration_of};
use super::{Condition, Fault, Inside, SimulatedFleet, World};

/// Until bytes flow: connections, a checkpoint, the overlays at the destination.
const SETUP: TimeDelta = TimeDelta::milliseconds(200);
/// A guest that writes more to its disks than this, in bytes per second, is one to be given way to: as on real hosts, 20 requests of 64 KiB.
const BUSY: u64 = 20 * (64 << 10);
/// A round that is held back for it takes so many times as long.
const HELD_BACK: u64 = 5;
/// The agents' own keepalive gives a cut link up after so long.
const KEEPALIVE: TimeDelta = TimeDelta::seconds(15);

/// A replica that a host holds.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) server: ServerId,
    /// Rounds that have landed.
    pub(super) landed: u64,
    /// For how long the server had run at the moment that the images show.
    pub(super) shows: TimeDelta,
    /// That moment.
    pub(super) consistent_at: Instant,
    /// Whether the images are where the server's definition names them.
    pub(super) in_place: bool,
    /// Whether they have something of which the source knows nothing.
    pub(super) mixed: bool,
    /// Whether the server was booted from them since they were put in place.
    pub(super) booted: bool,
    /// What a test launch has frozen.
    pub(super) test: Option<Test>,
}

/// What a source's QEMU knows of what was written since a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checkpoint {
    replica: ReplicaId,
    number: u64,
    shows: TimeDelta,
}

/// A round, from its beginning until its end was told.
#[derive(Debug, Clone)]
pub(super) struct Copying {
    pub(super) order: RoundOrder,
    pub(super) source: HostName,
    /// Which start of the agent began it.
    pub(super) session: u64,
    pub(super) limits: Limits,
    pub(super) ended: Option<Answer<Round>>,
    began_at: Instant,
    kind: RoundKind,
    number: u64,
    shows: TimeDelta,
    dirty: u64,
    total: u64,
    done: u64,
    /// It fails when so much is done.
    fails_at: Option<u64>,
    cut_since: Option<Instant>,
    /// Whether there is a guest that writes a lot.
    disturbs: bool,
}

pub(super) fn failed(class: FailureClass, text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed(class), text)
}

impl Copying {
    pub(super) fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    fn is_held_back(&self) -> bool {
        self.disturbs && self.limits.guest_percent.is_some()
    }

    pub(super) fn rate(&self, share: u64) -> u64 {
        let held_back = if self.is_held_back() { HELD_BACK } else { 1 };
        self.limits.bandwidth.map_or(share, |limit| limit.min(share)).max(1).div_ceil(held_back)
    }

    fn goal(&self) -> u64 {
        self.fails_at.unwrap_or(self.total)
    }

    pub(super) fn next_event(&self, now: Instant, rate: u64) -> Option<Instant> {
        if !self.is_active() {
            return None;
        }
        let flows_from = self.began_at + SETUP;
        Some(match self.cut_since {
            Some(since) => since + KEEPALIVE,
            None => now.max(flows_from) + duration_of(self.goal().saturating_sub(self.done), rate),
        })
    }

    /// Lets bytes flow from one moment to another. The round does not end between.
    pub(super) fn flow(&mut self, from: Instant, to: Instant, rate: u64) {
        let begin = from.max(self.began_at + SETUP);
        if self.is_active() && self.cut_since.is_none() && to > begin {
            self.done = (self.done + amount(to - begin, rate)).min(self.goal());
        }
    }

    pub(super) fn figures(&self, rate: u64) -> RoundFigures {
        let disks = u64::try_from(self.order.disks.len().max(1)).unwrap_or(1);
        let of = |disk: &ReplicaDisk| DiskFigures {
            target: disk.target.clone(),
            total_bytes: self.total / disks,
            done_bytes: self.done / disks,
        };
        RoundFigures {
            kind: self.kind,
            began_at: self.began_at,
            disks: self.order.disks.iter().map(of).collect(),
            rate: if self.cut_since.is_none() { rate } else { 0 },
            held_percent: 0,
        }
    }
}

impl Inside {
    /// What the server has written since that moment, as far as it fits on its disks.
    fn written_since(&self, shows: TimeDelta, size: u64) -> u64 {
        amount(self.ran - shows, self.guest.disk_dirty_rate).min(size)
    }
}

fn size(order: &RoundOrder) -> u64 {
    order.disks.iter().map(|disk| disk.virtual_bytes).sum()
}

fn only_qcow2(order: &RoundOrder) -> bool {
    order.disks.iter().all(|disk| disk.format == ImageFormat::Qcow2)
}

impl SimulatedFleet {
    /// Whether a host has files where the definition of a server names its local disks.
    #[must_use]
    pub fn has_disks(&self, host: &HostName, server: ServerId) -> bool {
        self.change(|world| world.guests.get(&server).is_some_and(|inside| inside.disks.contains_key(host)))
    }

    /// Whether it has been said that what a server wrote last may be lost.
    #[must_use]
    pub fn may_lose_writes(&self, server: ServerId) -> bool {
        self.change(|world| world.guests.get(&server).is_some_and(|inside| inside.may_lose))
    }

    /// Somebody deletes a server's disks on a host by hand.
    pub fn lose_disks(&self, host: &HostName, server: ServerId) {
        self.change(|world| {
            if let Some(inside) = world.guests.get_mut(&server) {
                inside.disks.remove(host);
            }
        });
    }

    /// Whether a host holds a replica of a server's local disks.
    #[must_use]
    pub fn holds_replica(&self, host: &HostName, server: ServerId) -> bool {
        self.change(|world| {
            let held = world.hosts.get(host).map(|host| host.replicas.values());
            held.is_some_and(|mut held| held.any(|kept| kept.server == server))
        })
    }
}

impl World {
    /// Whether one host's agent reaches another's.
    pub(super) fn reaches_agent(&self, from: &HostName, to: &HostName) -> bool {
        let listens = self.hosts.get(to).is_some_and(|host| {
            (host.listener, host.power) == (Condition::Up, Condition::Up) && host.facts.replication.is_some()
        });
        listens && self.linked(from, to)
    }

    pub(super) fn kept(&self, host: &HostName, replica: ReplicaId) -> Option<&Kept> {
        self.hosts.get(host)?.replicas.get(&replica)
    }

    pub(super) fn kept_mut(&mut self, host: &HostName, replica: ReplicaId) -> Option<&mut Kept> {
        self.hosts.get_mut(host)?.replicas.get_mut(&replica)
    }

    pub(super) fn hold(&mut self, host: &HostName, order: &HoldReplica) -> Answer<()> {
        if self.kept(host, order.replica).is_some() {
            return Ok(());
        }
        if let Some(inside) = self.guests.get_mut(&order.server) {
            inside.may_lose = false;
        }
        let file = order.disks.first().map(|disk| disk.path.display().to_string()).unwrap_or_default();
        let inside = self.guests.get_mut(&order.server);
        let there = inside.and_then(|inside| match order.base {
            Base::New => inside.disks.get(host).copied(),
            Base::Retained => inside.disks.remove(host),
        });
        let adopted = match (order.base, there) {
            (Base::New, Some(_)) => {
                let words =
                    format!("{file} is there already; move it away, or say that the replica begins with it");
                return Err(failed(FailureClass::RefusedByDestination, words));
            }
            (Base::New, None) => None,
            (Base::Retained, Some(shows)) => Some(shows),
            (Base::Retained, None) => {
                return Err(failed(
                    FailureClass::RefusedByDestination,
                    format!("{file} is not retained here"),
                ));
            }
        };
        let other = self.hosts.get(host).and_then(|host| {
            host.replicas.iter().find(|(_, kept)| kept.server == order.server).map(|(id, _)| *id)
        });
        if let Some(other) = other {
            return Err(failed(
                FailureClass::RefusedByDestination,
                format!("{file} is held for replica {other}"),
            ));
        }
        let kept = Kept {
            server: order.server,
            landed: 0,
            shows: adopted.unwrap_or_default(),
            consistent_at: self.now,
            in_place: false,
            mixed: adopted.is_some(),
            booted: false,
            test: None,
        };
        if let Some(host) = self.hosts.get_mut(host) {
            host.replicas.insert(order.replica, kept);
        }
        Ok(())
    }

    pub(super) fn release(&mut self, host: &HostName, replica: ReplicaId, images: Images) -> Answer<()> {
        let in_place = self.kept(host, replica).is_some_and(|kept| kept.in_place);
        if in_place && images == Images::Delete {
            let words = "its images are in their place: they are a server's disks, and are not deleted";
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        self.end_test(host, replica, TestOf::Anybody);
        if let Some(host) = self.hosts.get_mut(host) {
            host.replicas.remove(&replica);
        }
        Ok(())
    }

    pub(super) fn held(&self, host: &HostName, replica: ReplicaId) -> Answer<Held> {
        let Some(kept) = self.kept(host, replica) else { return Ok(Held::Nothing) };
        if kept.in_place {
            return Ok(Held::InPlace);
        }
        match self.in_the_way(host, kept.server) {
            Some(refusal) => Err(refusal),
            None => Ok(Held::Rounds { landed: kept.landed }),
        }
    }

    fn in_the_way(&self, host: &HostName, server: ServerId) -> Option<Refusal> {
        let there = self.guests.get(&server)?.disks.contains_key(host);
        there
            .then(|| failed(FailureClass::RefusedByDestination, "a file lies where the images are to be put"))
    }

    pub(super) fn put_in_place(&mut self, host: &HostName, replica: ReplicaId, by: FilledBy) -> Answer<()> {
        let there = host.clone();
        if self.take_fault(|fault| *fault == Fault::PutInPlaceFails { host: there.clone() }).is_some() {
            return Err(failed(
                FailureClass::RefusedByDestination,
                "cannot rename the image: Input/output error",
            ));
        }
        let Some(kept) = self.kept(host, replica).cloned() else {
            return Err(failed(FailureClass::RefusedByDestination, "this replica is not held here"));
        };
        if kept.in_place {
            return Ok(());
        }
        if by == FilledBy::Rounds && kept.landed == 0 {
            return Err(failed(FailureClass::RefusedByDestination, "no round of this replica has landed"));
        }
        if kept.test.is_some() {
            return Err(failed(FailureClass::Busy, "a test launch of this replica goes on: end it first"));
        }
        if let Some(refusal) = self.in_the_way(host, kept.server) {
            return Err(refusal);
        }
        if let Some(inside) = self.guests.get_mut(&kept.server) {
            inside.disks.insert(host.clone(), kept.shows);
        }
        if let Some(kept) = self.kept_mut(host, replica) {
            kept.in_place = true;
            kept.booted = false;
        }
        Ok(())
    }

    pub(super) fn take_out(&mut self, host: &HostName, replica: ReplicaId, touched: Touched) -> Answer<()> {
        let Some(kept) = self.kept(host, replica).filter(|kept| kept.in_place).cloned() else {
            return Ok(());
        };
        let server = kept.server;
        if self.domain(host, server).is_some_and(|domain| domain.state != State::Off) {
            self.violate(format!("the images of {server} are taken out at {host} while it runs from them"));
        }
        if kept.booted && touched == Touched::No {
            self.violate(format!(
                "the images of {server} at {host} are told to be untouched, and it was booted from them"
            ));
        }
        let shows = self.guests.get_mut(&server).and_then(|inside| inside.disks.remove(host));
        if let Some(kept) = self.kept_mut(host, replica) {
            kept.in_place = false;
            kept.shows = shows.unwrap_or(kept.shows);
            kept.mixed |= touched == Touched::Perhaps;
        }
        Ok(())
    }

    pub(super) fn look_at_retained(&mut self, host: &HostName, server: ServerId) -> Answer<()> {
        let inside = self.guests.get_mut(&server).filter(|inside| inside.disks.contains_key(host));
        let Some(inside) = inside else {
            return Err(failed(FailureClass::RefusedByDestination, "vda.qcow2: No such file or directory"));
        };
        inside.may_lose = true;
        Ok(())
    }

    pub(super) fn delete_retained(&mut self, host: &HostName, server: ServerId) {
        if self.domain(host, server).is_some() {
            self.violate(format!("the disks of {server} are deleted at {host}, where it is defined"));
        }
        if let Some(inside) = self.guests.get_mut(&server) {
            inside.disks.remove(host);
        }
    }

    pub(super) fn forget(&mut self, server: ServerId, replica: ReplicaId) {
        self.rounds.remove(&server);
        self.quiet.remove(&server);
        if let Some(inside) = self.guests.get_mut(&server) {
            inside.checkpoint.take_if(|checkpoint| checkpoint.replica == replica);
        }
    }

    pub(super) fn backlog(
        &self,
        disks: &[ReplicaDisk],
        server: ServerId,
        replica: ReplicaId,
    ) -> Vec<DiskBacklog> {
        let inside = self.guests.get(&server);
        let known = inside
            .and_then(|inside| Some((inside, inside.checkpoint.filter(|known| known.replica == replica)?)));
        let Some((inside, checkpoint)) = known else { return Vec::new() };
        let size = disks.iter().map(|disk| disk.virtual_bytes).sum();
        let each =
            inside.written_since(checkpoint.shows, size) / u64::try_from(disks.len().max(1)).unwrap_or(1);
        disks.iter().map(|disk| DiskBacklog { target: disk.target.clone(), bytes: each }).collect()
    }

    pub(super) fn start_round(&mut self, source: &HostName, session: u64, order: &RoundOrder) -> Answer<()> {
        // One of an agent that was killed has ended with it.
        self.rounds.retain(|_, round| round.session == session || round.source != *source);
        if self.rounds.get(&order.server).is_some_and(Copying::is_active) {
            return Err(failed(FailureClass::Busy, "a round of this server is under way"));
        }
        let to = &order.peer.host;
        if !self.reaches_agent(source, to) {
            return Err(no_agent(to));
        }
        let state = self.domain(source, order.server).map(|domain| domain.state);
        let fits = match order.from {
            ReadFrom::Running => matches!(state, Some(State::Running | State::Paused)),
            ReadFrom::PoweredOff => state == Some(State::Off),
        };
        if !fits {
            let words = "the server is not in the state in which its disks were to be read";
            return Err(failed(FailureClass::Busy, words));
        }
        if order.from == ReadFrom::Running {
            self.may_back_up(source, order.server)?;
        }
        let Some(kept) = self.kept(to, order.replica).filter(|kept| !kept.in_place).cloned() else {
            return Err(failed(FailureClass::RefusedByDestination, "this replica is not held here"));
        };
        let round = self.new_round(source, session, order, &kept)?;
        self.rounds.insert(order.server, round);
        Ok(())
    }

    fn may_back_up(&mut self, source: &HostName, server: ServerId) -> Answer<()> {
        let lost = self.take_fault(|fault| *fault == Fault::BackupLost { server }).is_some();
        let Some(domain) = self.domain_mut(source, server) else { return Ok(()) };
        domain.held_for_backup |= lost;
        if domain.held_for_backup {
            return Err(failed(
                FailureClass::NeedsPowerCycle,
                "libvirt holds the server for a backup that it has lost",
            ));
        }
        Ok(())
    }

    fn new_round(
        &mut self,
        source: &HostName,
        session: u64,
        order: &RoundOrder,
        kept: &Kept,
    ) -> Answer<Copying> {
        let server = order.server;
        let fails = self.take_fault(|fault| match (fault, order.from) {
            (Fault::RoundFails { server: of }, _)
            | (Fault::TailFails { server: of }, ReadFrom::PoweredOff) => *of == server,
            _ => false,
        });
        let inside = self.guests.get(&server).ok_or_else(|| super::life::no_server(server))?;
        let size = size(order);
        let known =
            inside.checkpoint.filter(|known| known.replica == order.replica && known.number == kept.landed);
        let (kind, dirty, total) = match known.filter(|_| only_qcow2(order) && !kept.mixed && kept.landed > 0)
        {
            Some(known) => {
                let dirty = inside.written_since(known.shows, size);
                (RoundKind::Incremental, dirty, dirty)
            }
            None if kept.landed == 0 && !kept.mixed => (RoundKind::Initial, size, size),
            None => (RoundKind::Rescan, inside.written_since(kept.shows, size), size),
        };
        Ok(Copying {
            order: order.clone(),
            source: source.clone(),
            session,
            limits: order.limits,
            ended: None,
            began_at: self.now,
            kind: match order.from {
                ReadFrom::Running => kind,
                ReadFrom::PoweredOff => RoundKind::Tail,
            },
            number: kept.landed + 1,
            shows: inside.ran,
            dirty,
            total,
            done: 0,
            fails_at: fails.map(|_| total / 2),
            cut_since: None,
            disturbs: order.from == ReadFrom::Running && inside.guest.disk_dirty_rate > BUSY,
        })
    }

    pub(super) fn note_cut_rounds(&mut self) {
        let now = self.now;
        let reached: BTreeMap<ServerId, bool> = self
            .rounds
            .iter()
            .map(|(server, round)| (*server, self.reaches_agent(&round.source, &round.order.peer.host)))
            .collect();
        for (server, round) in &mut self.rounds {
            match (reached.get(server), round.cut_since) {
                (Some(false), None) => round.cut_since = Some(now),
                (Some(true), Some(_)) => round.cut_since = None,
                (Some(false), Some(_)) | (Some(true), None) | (None, _) => {}
            }
        }
    }

    /// Ends the rounds that are due now.
    pub(super) fn end_rounds(&mut self) {
        let due: Vec<ServerId> = self
            .rounds
            .iter()
            .filter(|(_, round)| {
                let rate = round.rate(self.share(&round.source));
                round.next_event(self.now, rate).is_some_and(|at| at <= self.now)
            })
            .map(|(server, _)| *server)
            .collect();
        for server in due {
            let Some(round) = self.rounds.get(&server).cloned() else { continue };
            let answer = if round.cut_since.is_some() {
                Err(failed(
                    FailureClass::LostOnTheWay,
                    "the connection to the other agent is gone: timed out",
                ))
            } else if round.fails_at.is_some() {
                Err(failed(FailureClass::LostOnTheWay, "the other side has closed the connection"))
            } else {
                self.land(&round)
            };
            self.end_round(server, answer);
        }
    }

    /// The destination takes a round, whole.
    fn land(&mut self, round: &Copying) -> Answer<Round> {
        let to = round.order.peer.host.clone();
        if self.take_fault(|fault| *fault == Fault::DestinationFull { host: to.clone() }).is_some() {
            return Err(failed(FailureClass::RefusedByDestination, format!("{to}: No space left on device")));
        }
        let now = self.now;
        let Some(kept) = self.kept_mut(&to, round.order.replica).filter(|kept| !kept.in_place) else {
            return Err(failed(FailureClass::RefusedByDestination, "this replica is not held here"));
        };
        kept.landed = round.number;
        kept.shows = round.shows;
        kept.consistent_at = round.began_at;
        kept.mixed = false;
        if let Some(inside) = self.guests.get_mut(&round.order.server) {
            let (replica, number, shows) = (round.order.replica, round.number, round.shows);
            inside.checkpoint = Some(Checkpoint { replica, number, shows });
        }
        // Its guest is owed as much time as the round took.
        if round.is_held_back() {
            self.quiet.insert(round.order.server, now + (now - round.began_at));
        }
        Ok(Round {
            number: round.number,
            kind: round.kind,
            consistent_at: round.began_at,
            frozen: Frozen::No,
            dirty_bytes: round.dirty,
            sent_bytes: round.dirty,
            took: Span::between(round.began_at, now),
        })
    }

    pub(super) fn end_round(&mut self, server: ServerId, answer: Answer<Round>) {
        if let Some(round) = self.rounds.get_mut(&server).filter(|round| round.is_active()) {
            round.ended = Some(answer);
            let source = round.source.clone();
            self.wake(&source, Wake::Server(server));
        }
    }

    /// A round that reads the disks of a server in one state ends when the server goes into another.
    pub(super) fn interrupt_round(&mut self, host: &HostName, server: ServerId, reads: ReadFrom) {
        let concerned =
            self.rounds.get(&server).is_some_and(|round| round.source == *host && round.order.from == reads);
        if concerned {
            let words = match reads {
                ReadFrom::Running => "the server was powered off in the middle of the round",
                ReadFrom::PoweredOff => "the server was started in the middle of the round",
            };
            self.end_round(server, Err(failed(FailureClass::Busy, words)));
        }
    }

    /// A server boots: it must be from disks that have all that it was told is on them.
    pub(super) fn boots_from_local_disks(&mut self, host: &HostName, server: ServerId) {
        let local = self
            .domain(host, server)
            .is_some_and(|domain| domain.facts.disks.iter().any(|disk| disk.reach == Reach::Local));
        let Some(inside) = self.guests.get(&server).filter(|_| local) else { return };
        match inside.disks.get(host) {
            Some(shows) if *shows == inside.ran => {}
            // What it wrote on other disks is nowhere any more, and nobody was told otherwise.
            Some(_) if inside.may_lose => {}
            Some(shows) => {
                let lost = (inside.ran - *shows).num_milliseconds();
                self.violate(format!(
                    "{server} boots at {host} from disks that lack what it wrote in {lost} ms"
                ));
            }
            None => self.violate(format!("{server} boots at {host} without its disks")),
        }
        if let Some(inside) = self.guests.get_mut(&server).filter(|inside| inside.may_lose)
            && let Some(shows) = inside.disks.get(host)
        {
            inside.ran = *shows;
        }
        for kept in self.hosts.get_mut(host).into_iter().flat_map(|host| host.replicas.values_mut()) {
            kept.booted |= kept.in_place && kept.server == server;
        }
    }

    pub(super) fn violate(&mut self, what: String) {
        self.violations.push(format!("{}: {what}", self.now));
    }
}

pub(super) fn no_agent(host: &HostName) -> Refusal {
    Refusal::new(
        RefusalKind::NoConnection,
        format!("the agent of {host} can't be reached: connection refused"),
    )
}
