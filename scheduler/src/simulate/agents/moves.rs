//! How long it takes until a server is elsewhere.
//!
//! A live migration sends the memory once, then what was written meanwhile, and so on, until the rest can be sent within the downtime that is
//! allowed. So one that writes faster than its part of the link carries does not end by itself, and the ladder decides about it.

use drover_agent_api::{LiveMigrate, OperationState, Order, Replicate, Wish};
use drover_policies::attempt::{FailureClass, Moved, Outcome, Phase, PowerOff, Progress};
use drover_policies::fleet::Power;
use drover_policies::ids::{HostName, OperationId, ServerId};
use drover_policies::replica::{
    Activity, DiskFigures, Frozen, ReplicaStatus, Round, RoundFigures, RoundKind,
};
use drover_policies::time::{Instant, Span};

use super::{Agents, Doing, after};
use crate::simulate::links::seconds;
use crate::simulate::lots::What;

/// Stopping the guest here and starting it there, besides what is sent meanwhile.
const SWITCH_OVER: f64 = 0.03;

/// Between two rounds of a copy.
const BETWEEN_ROUNDS: f64 = 5.0;

/// Around what a guest's dirty rate and downtime are drawn: from a part of what is usual to a multiple.
const DIRTY: (f64, f64) = (0.1, 10.0);
const OFF: (f64, f64) = (0.5, 2.0);

/// A server on its way, while it runs.
pub(super) struct Live {
    server: ServerId,
    to: HostName,
    memory: f64,
    /// Bytes per second that it writes anew.
    dirty: f64,
    began_at: Instant,
    pass_began_at: Instant,
    pass: u32,
    sending: f64,
    sent: f64,
    pub(super) allowed_ms: u64,
    fails: bool,
}

/// The copy of local disks of a server that will be rebooted.
pub(super) enum Copying {
    /// The first one, of all bytes.
    Whole { bytes: u64, began_at: Instant },
    /// What was written during that.
    Second { status: Box<ReplicaStatus> },
    /// It is kept up to date.
    Resting { status: Box<ReplicaStatus> },
}

impl Agents {
    pub(super) fn begin_live(&mut self, id: OperationId, host: &HostName, order: &LiveMigrate, now: Instant) {
        let (server, to) = (order.server, order.destination.host.clone());
        let (Some(seen), Some(way)) = (self.fleet.seen(host, server), self.between(host, &to)) else {
            return self.over(id, OperationState::Ended { outcome: Outcome::Gone, done: Vec::new() });
        };
        let memory = seen.facts.memory_bytes as f64;
        let disks: u64 =
            order.replica.iter().flat_map(|copy| &copy.disks).map(|disk| disk.virtual_bytes).sum();
        let nth = self.next_try(server);
        let fails = self.fails(server, nth);
        let of = server.0.as_u128();
        let drawn = || self.model.dirty_rate as f64 * self.lots.between(What::DirtyRate, of, 0, DIRTY);
        let dirty = self.dirty.get(&server).map_or_else(drawn, |known| *known as f64);
        let part = if fails { self.lots.draw(What::FailsAt, of, nth) } else { 1.0 };
        let (allowed_ms, most) = match self.acts.get(&id).map(|act| act.operation.wish) {
            Some(Wish::Tuned(tuning)) => (
                tuning.max_downtime_ms.unwrap_or(0),
                tuning.max_bandwidth.map_or(f64::INFINITY, |most| most as f64),
            ),
            Some(Wish::Run | Wish::AtOnce | Wish::Pace(_) | Wish::Abort { .. }) | None => (0, f64::INFINITY),
        };
        let sending = (memory + disks as f64) * part;
        let live = Live {
            server,
            to,
            memory,
            dirty,
            began_at: now,
            pass_began_at: now,
            pass: 1,
            sending,
            sent: 0.0,
            allowed_ms,
            fails,
        };
        self.does(id, Doing::Live(live), None);
        let ends = self.links.begin(id, way, (sending, most), now);
        self.move_ends(ends);
    }

    /// One pass over the memory is over.
    pub(super) fn pass_over(&mut self, id: OperationId, mut live: Live, now: Instant) {
        if live.fails {
            let later = self.links.end(id, now);
            self.move_ends(later);
            return self.stayed(id, FailureClass::LostOnTheWay);
        }
        live.sent += live.sending;
        let lasted = (now - live.pass_began_at).num_microseconds().unwrap_or(0) as f64 / 1e6;
        let rate = self.links.rate_of(id);
        let rest = (live.dirty * lasted).min(live.memory);
        let downtime = rest / rate;
        if downtime * 1000.0 <= live.allowed_ms as f64 {
            return self.switches_over(id, live, (rest, downtime), now);
        }
        (live.pass, live.pass_began_at, live.sending) = (live.pass + 1, now, rest);
        let progress = Progress {
            total_bytes: live.memory as u64,
            sent_bytes: live.sent as u64,
            remaining_bytes: rest as u64,
            rate: rate as u64,
            dirty_rate: live.dirty as u64,
            iteration: live.pass,
            expected_downtime_ms: (downtime * 1000.0) as u64,
            allowed_downtime_ms: live.allowed_ms,
            ..Progress::of(Phase::Transferring, now)
        };
        let ends = self.links.more(id, rest, now);
        if let Some(act) = self.acts.get_mut(&id) {
            act.doing = Doing::Live(live);
        }
        self.move_ends(ends.into_iter().collect());
        self.tell(id, OperationState::Running { progress });
    }

    fn switches_over(&mut self, id: OperationId, live: Live, (rest, downtime): (f64, f64), now: Instant) {
        let later = self.links.end(id, now);
        self.move_ends(later);
        let Some(from) = self.acts.get(&id).map(|act| act.host.clone()) else { return };
        if self.fleet.seen(&from, live.server).is_none() {
            return self.over(id, OperationState::Ended { outcome: Outcome::Gone, done: Vec::new() });
        }
        let downtime = downtime + SWITCH_OVER;
        let ends_at = after(now, downtime);
        self.arrives(live.server, &from, &live.to, ends_at);
        let moved = Moved {
            sent_bytes: (live.sent + rest) as u64,
            downtime: Some(span(downtime)),
            in_libvirt: Some(Span::between(live.began_at, ends_at)),
            power_off: None,
            tail: None,
        };
        let state = OperationState::Ended { outcome: Outcome::Moved(moved), done: Vec::new() };
        self.does(id, Doing::Ends(Box::new(state)), Some(ends_at));
    }

    /// Its time has not come.
    pub(super) fn arm(&mut self, id: OperationId, until: Instant, now: Instant) {
        self.does(id, Doing::Armed, Some(until));
        self.tell(id, OperationState::Running { progress: Progress::of(Phase::Armed, now) });
    }

    pub(super) fn power_off(&mut self, id: OperationId, now: Instant) {
        let Some((host, order)) = self.reboot(id) else { return };
        if order.within.is_some_and(|within| within.not_after < now) {
            return self.stayed(id, FailureClass::NotBegun);
        }
        let Some(seen) = self.fleet.seen(&host, order.server) else {
            return self.over(id, OperationState::Ended { outcome: Outcome::Gone, done: Vec::new() });
        };
        let off = seen.facts.power == Power::Off;
        let usual = self.policies.shared_of(seen, &self.fleet).policy.reboot.expected_downtime;
        let nth = self.next_try(order.server);
        let takes = if off {
            seconds(2.0)
        } else {
            let of = order.server.0.as_u128();
            seconds(usual.0.as_secs_f64() * self.lots.between(What::Downtime, of, nth, OFF))
        };
        self.does(id, Doing::Off { since: now }, Some(now + takes));
        let phase = if off { Phase::Finalize } else { Phase::PowerOffSource };
        self.tell(id, OperationState::Running { progress: Progress::of(phase, now) });
    }

    pub(super) fn boots(&mut self, id: OperationId, since: Instant, now: Instant) {
        let Some((host, order)) = self.reboot(id) else { return };
        let nth = self.tries.get(&order.server).copied().unwrap_or(0);
        let off = self.fleet.seen(&host, order.server).is_none_or(|seen| seen.facts.power == Power::Off);
        if self.fails(order.server, nth) {
            return self.stayed(id, FailureClass::TargetDidNotBoot);
        }
        self.arrives(order.server, &host, &order.destination.host, now);
        let moved = Moved {
            sent_bytes: 0,
            downtime: Some(Span::between(since, now)).filter(|_| !off),
            in_libvirt: None,
            power_off: Some(if off { PowerOff::WasOff } else { PowerOff::Acpi }),
            tail: None,
        };
        self.over(id, OperationState::Ended { outcome: Outcome::Moved(moved), done: Vec::new() });
    }

    fn reboot(&self, id: OperationId) -> Option<(HostName, drover_agent_api::RebootMigrate)> {
        let act = self.acts.get(&id)?;
        let Order::RebootMigrate(order) = &act.operation.order else { return None };
        Some((act.host.clone(), order.clone()))
    }

    pub(super) fn begin_copy(&mut self, id: OperationId, host: &HostName, order: &Replicate, now: Instant) {
        let Some(way) = self.between(host, &order.peer.host) else {
            return self.over(id, OperationState::Stopped);
        };
        let bytes: u64 = order.disks.iter().map(|disk| disk.virtual_bytes).sum();
        let most = order.pace.bandwidth.map_or(f64::INFINITY, |most| most as f64);
        self.does(id, Doing::Copying(Copying::Whole { bytes, began_at: now }), None);
        let disks = order.disks.iter().map(|disk| DiskFigures {
            target: disk.target.clone(),
            total_bytes: disk.virtual_bytes,
            done_bytes: 0,
        });
        let activity = Activity::Round(RoundFigures {
            kind: RoundKind::Initial,
            began_at: now,
            disks: disks.collect(),
            rate: 0,
            held_percent: 0,
        });
        self.tell(
            id,
            OperationState::Replicating { status: ReplicaStatus { activity, ..ReplicaStatus::new(now) } },
        );
        let ends = self.links.begin(id, way, (bytes as f64, most), now);
        self.move_ends(ends);
    }

    pub(super) fn copied(&mut self, id: OperationId, copying: Copying, now: Instant) {
        match copying {
            Copying::Whole { bytes, began_at } => {
                let later = self.links.end(id, now);
                self.move_ends(later);
                let last = Round {
                    number: 1,
                    kind: RoundKind::Initial,
                    consistent_at: began_at,
                    frozen: Frozen::No,
                    dirty_bytes: bytes,
                    sent_bytes: bytes,
                    took: Span::between(began_at, now),
                };
                let next_at = after(now, BETWEEN_ROUNDS);
                let activity = Activity::Resting { next_at };
                let status =
                    ReplicaStatus { activity, rounds: 1, last: Some(last), ..ReplicaStatus::new(now) };
                self.tell(id, OperationState::Replicating { status: status.clone() });
                self.does(id, Doing::Copying(Copying::Second { status: Box::new(status) }), Some(next_at));
            }
            Copying::Second { mut status } => {
                status.rounds = 2;
                self.does(id, Doing::Copying(Copying::Resting { status }), None);
                self.resting.insert(id);
                self.still_fresh(id, now);
            }
            Copying::Resting { .. } => {}
        }
    }

    /// Rounds that follow each other are not carried out one by one: there has been one a moment ago.
    pub(super) fn still_fresh(&mut self, id: OperationId, now: Instant) {
        let Some(Doing::Copying(Copying::Resting { status })) =
            self.acts.get_mut(&id).map(|act| &mut act.doing)
        else {
            return;
        };
        let began_at = now - seconds(1.0);
        status.at = now;
        status.activity = Activity::Resting { next_at: after(now, BETWEEN_ROUNDS) };
        if let Some(last) = &mut status.last {
            let next =
                Round { number: 2, kind: RoundKind::Incremental, consistent_at: began_at, ..last.clone() };
            *last = Round { dirty_bytes: 0, sent_bytes: 0, took: Span::seconds(1), ..next };
        }
        let status = (**status).clone();
        self.tell(id, OperationState::Replicating { status });
    }
}

fn span(seconds: f64) -> Span {
    Span(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}
