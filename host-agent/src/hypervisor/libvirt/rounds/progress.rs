//! How a running round is doing, and what ends it early.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Moment};

use drover_policies::attempt::FailureClass;
use drover_policies::replica::{DiskFigures, RoundFigures, RoundKind};
use drover_policies::time::Instant;

use super::super::lock;
use super::gate::{Gate, Reading};
use super::limiter::Limiter;
use crate::hypervisor::nbd_sys::{Cut, Nbd, NbdError};
use crate::hypervisor::replication::Limits;
use crate::hypervisor::{Answer, Refusal, RefusalKind};

/// The rate is that of about so long.
const RATE_OF: Duration = Duration::from_secs(2);
/// Who waits for the limit looks so often whether the round is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Of one round. Its thread and its workers write it, anybody reads it.
pub(super) struct Progress {
    began_at: Instant,
    shape: Mutex<Shape>,
    dirty: AtomicU64,
    rate: Mutex<Rate>,
    /// The limits of this round and of this host.
    limits: [Arc<Limiter>; 2],
    /// What reads of the source wait for.
    pub(super) gate: Gate,
    end: Mutex<End>,
}

struct Shape {
    kind: RoundKind,
    disks: Vec<DiskFigures>,
    /// What is known to be done when that has been.
    later: Vec<(String, u64)>,
}

impl Shape {
    fn all(&self) -> Vec<DiskFigures> {
        let later = |disk: &DiskFigures| {
            self.later.iter().find(|(target, _)| *target == disk.target).map_or(0, |(_, bytes)| *bytes)
        };
        let whole =
            |disk: &DiskFigures| DiskFigures { total_bytes: disk.total_bytes + later(disk), ..disk.clone() };
        self.disks.iter().map(whole).collect()
    }
}

struct Rate {
    began: Moment,
    per_second: f64,
    last: Option<(Moment, u64)>,
}

impl Rate {
    fn on_average(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let bytes = self.last.map_or(0, |(_, bytes)| bytes) as f64;
        bytes / self.began.elapsed().as_secs_f64().max(0.001)
    }
}

#[derive(Default)]
struct End {
    why: Option<Refusal>,
    /// Of all connections that calls may hang in.
    cuts: Vec<Cut>,
}

impl Progress {
    pub(super) fn new(began_at: Instant, kind: RoundKind, limits: Limits, host: Arc<Limiter>) -> Self {
        Self {
            began_at,
            shape: Mutex::new(Shape { kind, disks: Vec::new(), later: Vec::new() }),
            dirty: AtomicU64::new(0),
            rate: Mutex::new(Rate { began: Moment::now(), per_second: 0.0, last: None }),
            limits: [Arc::new(Limiter::new(limits.bandwidth)), host],
            gate: Gate::new(limits.guest_percent),
            end: Mutex::default(),
        }
    }

    pub(super) fn figures(&self) -> RoundFigures {
        let shape = lock(&self.shape);
        let held_percent = self.gate.held_percent();
        let rate = lock(&self.rate);
        // Of a round that goes by fits and starts only the whole until now tells how it will go on.
        let per_second = if held_percent > 0 { rate.on_average() } else { rate.per_second };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is finite and not negative, and no more than a network's"
        )]
        let rate = per_second as u64;
        RoundFigures { kind: shape.kind, began_at: self.began_at, disks: shape.all(), rate, held_percent }
    }

    pub(super) fn set_kind(&self, kind: RoundKind) {
        lock(&self.shape).kind = kind;
    }

    /// Whether it is known what is to be done with a disk.
    pub(super) fn knows(&self, target: &str) -> bool {
        lock(&self.shape).disks.iter().any(|disk| disk.target == target)
    }

    /// What will have to be done after that, as far as is known now.
    pub(super) fn set_later(&self, disks: Vec<(String, u64)>) {
        lock(&self.shape).later = disks;
    }

    /// What is to be done now, by disk, in bytes, beside what was done before.
    pub(super) fn set_disks(&self, disks: Vec<(String, u64)>) {
        let mut shape = lock(&self.shape);
        let done = |target: &String| {
            shape.disks.iter().find(|disk| disk.target == *target).map_or(0, |disk| disk.done_bytes)
        };
        let disks = disks.into_iter().map(|(target, bytes)| {
            let done_bytes = done(&target);
            DiskFigures { total_bytes: done_bytes + bytes, done_bytes, target }
        });
        shape.disks = disks.collect();
    }

    pub(super) fn done(&self, disk: usize, bytes: u64) {
        if let Some(disk) = lock(&self.shape).disks.get_mut(disk) {
            disk.done_bytes += bytes;
        }
    }

    /// Bytes that turned out to have been written since the round before.
    pub(super) fn found_dirty(&self, bytes: u64) {
        self.dirty.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Takes note of what has gone over the wire in all.
    pub(super) fn sent(&self, bytes: u64, now: Moment) {
        let mut rate = lock(&self.rate);
        if let Some((then, before)) = rate.last {
            let passed = now.saturating_duration_since(then).as_secs_f64();
            if passed <= 0.0 {
                return;
            }
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let fresh = bytes.saturating_sub(before) as f64 / passed;
            let weight = (passed / RATE_OF.as_secs_f64()).min(1.0);
            rate.per_second += (fresh - rate.per_second) * weight;
        }
        rate.last = Some((now, bytes));
    }

    pub(super) fn limit(&self, limits: Limits) {
        self.limits[0].set(limits.bandwidth);
        self.gate.set(limits.guest_percent);
    }

    /// Waits until the source may be read; while it is, keep what is given.
    pub(super) fn may_read(&self) -> Answer<Reading<'_>> {
        loop {
            self.goes_on()?;
            if let Some(reading) = self.gate.enter() {
                return Ok(reading);
            }
        }
    }

    /// Waits until so many bytes may be sent.
    pub(super) fn may_send(&self, bytes: u64) -> Answer<()> {
        let now = Moment::now();
        let wait = self.limits.iter().map(|limit| limit.pass(bytes, now)).max().unwrap_or_default();
        let until = now + wait;
        loop {
            self.goes_on()?;
            let left = until.saturating_duration_since(Moment::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Ends the round: calls that hang in a connection return. The first reason counts.
    pub(super) fn end(&self, why: Refusal) {
        let mut end = lock(&self.end);
        end.why.get_or_insert(why);
        end.cuts.drain(..).for_each(|cut| cut.now());
    }

    /// As somebody has asked for it.
    pub(super) fn abort(&self) {
        self.end(Refusal::new(RefusalKind::Failed(FailureClass::Aborted), "the round was aborted"));
    }

    /// An error when the round is to end.
    pub(super) fn goes_on(&self) -> Answer<()> {
        lock(&self.end).why.clone().map_or(Ok(()), Err)
    }

    /// Has a connection end with the round.
    pub(super) fn watch(&self, connection: &Nbd) -> Result<(), NbdError> {
        let cut = connection.cut()?;
        let mut end = lock(&self.end);
        match end.why {
            Some(_) => cut.now(),
            None => end.cuts.push(cut),
        }
        Ok(())
    }

    /// The connections that are watched are about to be closed in good order.
    pub(super) fn watch_no_more(&self) {
        lock(&self.end).cuts.clear();
    }
}
