//! Pre-copy migration, worked out from memory, dirty rate and bandwidth.
//!
//! A pass sends what is pending at the rate of the link; meanwhile the guest dirties memory, at most all of it, which is what the
//! next pass has to send. When a pass ends with so little pending that it fits into the allowed downtime, the guest is held, the
//! rest is sent, and the destination runs. A guest that dirties as fast as the link carries never gets there.

use chrono::TimeDelta;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::time::{Instant, Span};

use super::super::{Answer, DiskFigures, Figures};

/// QEMU's own.
pub(super) const DEFAULT_DOWNTIME_MS: u64 = 300;
/// What libvirt needs before memory flows, and after it has.
pub(super) const SETUP: TimeDelta = TimeDelta::milliseconds(400);
/// libvirt's keepalive gives a cut link up after about this long.
pub(super) const KEEPALIVE: TimeDelta = TimeDelta::seconds(27);

#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) server: ServerId,
    pub(super) from: HostName,
    pub(super) to: HostName,
    /// Which start of the agent asked for it.
    pub(super) session: u64,
    pub(super) begun: Instant,
    pub(super) memory: u64,
    /// What its local disks have, in bytes; nothing where they do not go along.
    pub(super) disks: Option<u64>,
    /// Of that still to be sent. Memory flows when nothing is.
    pub(super) disks_left: u64,
    pub(super) dirty_rate: u64,
    pub(super) auto_converge: bool,
    pub(super) stage: Stage,
    pub(super) pass: u32,
    pub(super) sent: u64,
    /// Still to be sent in this pass, in bytes.
    pub(super) left: u64,
    /// Dirtied since this pass began, in bytes.
    pub(super) dirtied: u64,
    pub(super) downtime_ms: Option<u64>,
    pub(super) max_bandwidth: Option<u64>,
    /// The guest was paused by its owner, and is paused where it arrives.
    pub(super) paused: bool,
    pub(super) receiver_dies_at: Option<u8>,
    pub(super) cut_since: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Until then libvirt prepares both sides.
    Setup { until: Instant },
    /// Memory flows.
    Copying,
    /// The guest is held until then.
    SwitchOver { since: Instant, until: Instant },
    /// Over; kept until the agent that asked has seen it.
    Returned { answer: Answer<()>, took: Span },
}

impl Transfer {
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.stage, Stage::Returned { .. })
    }

    pub(super) fn allowed_ms(&self) -> u64 {
        self.downtime_ms.unwrap_or(DEFAULT_DOWNTIME_MS)
    }

    /// What the guest writes anew, with the brake that auto-converge puts on it from the third pass: 20 per cent, then 10 more
    /// with each pass, at most 99.
    pub(super) fn effective_dirty_rate(&self) -> u64 {
        if self.paused {
            return 0;
        }
        if !self.auto_converge || self.pass < 3 {
            return self.dirty_rate;
        }
        let brake = (20 + 10 * u64::from(self.pass - 3)).min(99);
        self.dirty_rate / 100 * (100 - brake)
    }

    pub(super) fn rate(&self, share: u64) -> u64 {
        self.max_bandwidth.map_or(share, |limit| limit.min(share)).max(1)
    }

    /// When the present stage will be over at this rate.
    pub(super) fn next_event(&self, now: Instant, rate: u64) -> Option<Instant> {
        match &self.stage {
            Stage::Setup { until } | Stage::SwitchOver { until, .. } => Some(*until),
            Stage::Copying => match self.cut_since {
                Some(since) => Some(since + KEEPALIVE),
                None => Some(now + duration_of(self.left_until_event(), rate)),
            },
            Stage::Returned { .. } => None,
        }
    }

    fn left_until_event(&self) -> u64 {
        if self.disks_left > 0 {
            return self.disks_left;
        }
        match self.receiver_dies_at {
            Some(percent) if self.pass == 1 => {
                let bound = self.memory - self.memory / 100 * u64::from(percent.min(100));
                self.left.saturating_sub(bound)
            }
            Some(_) | None => self.left,
        }
    }

    pub(super) fn receiver_is_dead(&self) -> bool {
        matches!(self.stage, Stage::Copying)
            && self.receiver_dies_at.is_some()
            && self.left_until_event() == 0
    }

    /// Lets memory flow for so long. No pass ends within.
    pub(super) fn flow(&mut self, time: TimeDelta, rate: u64) {
        if !matches!(self.stage, Stage::Copying) || self.cut_since.is_some() {
            return;
        }
        if self.disks_left > 0 {
            self.disks_left -= amount(time, rate).min(self.disks_left);
            return;
        }
        let sent = amount(time, rate).min(self.left);
        self.left -= sent;
        self.sent += sent;
        self.dirtied = (self.dirtied + amount(time, self.effective_dirty_rate())).min(self.memory);
    }

    /// A pass has ended: another one, or the switch-over.
    pub(super) fn end_pass(&mut self, now: Instant, rate: u64) -> bool {
        let downtime = duration_of(self.dirtied, rate);
        let fits = downtime <= TimeDelta::milliseconds(i64::try_from(self.allowed_ms()).unwrap_or(i64::MAX));
        self.left = std::mem::take(&mut self.dirtied);
        if fits {
            self.sent += self.left;
            self.left = 0;
            self.stage = Stage::SwitchOver { since: now, until: now + downtime + TimeDelta::milliseconds(5) };
        } else {
            self.pass += 1;
        }
        fits
    }

    pub(super) fn figures(&self, rate: u64) -> Figures {
        let total = self.disks.unwrap_or(0);
        let disks = DiskFigures {
            total_bytes: total,
            sent_bytes: total - self.disks_left,
            remaining_bytes: self.disks_left,
            rate: if self.disks_left > 0 { rate } else { 0 },
        };
        let flowing = !matches!(self.stage, Stage::Setup { .. }) && self.disks_left == 0;
        let pending = self.left.max(self.dirtied);
        Figures {
            total_bytes: if flowing { self.memory } else { 0 },
            sent_bytes: self.sent,
            remaining_bytes: if flowing { self.left } else { 0 },
            rate: if flowing && self.cut_since.is_none() { rate } else { 0 },
            dirty_rate: if flowing { self.effective_dirty_rate() } else { 0 },
            iteration: if flowing { self.pass } else { 0 },
            downtime_ms: flowing
                .then(|| u64::try_from(duration_of(pending, rate).num_milliseconds()).unwrap_or(0)),
            allowed_downtime_ms: Some(self.allowed_ms()),
            disks,
        }
    }
}

/// Rounded up to the microsecond: what takes time must take some.
pub(super) fn duration_of(bytes: u64, rate: u64) -> TimeDelta {
    let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(rate.max(1)));
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX / 4))
}

pub(super) fn amount(time: TimeDelta, rate: u64) -> u64 {
    let micros = u128::try_from(time.num_microseconds().unwrap_or(0)).unwrap_or(0);
    // Rounded up as the time was, so that a pass really has nothing left at its end.
    u64::try_from((micros * u128::from(rate)).div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
