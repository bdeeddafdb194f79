//! What running orders have left to send, over time: for the chart of whoever watches. It is worth nothing after a restart, so it is not stored.

use std::collections::BTreeMap;

use drover_agent_api::{OperationReport, OperationState};
use drover_policies::attempt::Progress;
use drover_policies::ids::OperationId;
use drover_policies::time::Instant;

use super::Agents;

/// The most that is kept of one order: a chart has no more room.
const MOST: usize = 240;

/// One reading of a running order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// What the guest wrote anew, in bytes per second.
    pub dirty_rate: u64,
}

/// The readings of one order. When they are too many every second one is left out, and of those to come as well: so all of the way stays in
/// sight, in the same room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Readings {
    kept: Vec<Reading>,
    /// The newest, kept or not: a chart ends where the order is.
    latest: Option<Reading>,
    /// So many are left out after one that is kept.
    leaves_out: usize,
    left_out: usize,
}

impl Readings {
    /// Steps that send nothing have no figures, and are passed over; so is what was told before.
    fn add(&mut self, progress: &Progress) {
        let Progress { at, remaining_bytes, dirty_rate, .. } = *progress;
        if progress.total_bytes == 0 || self.latest.is_some_and(|latest| latest.at >= at) {
            return;
        }
        let reading = Reading { at, remaining_bytes, dirty_rate };
        self.latest = Some(reading);
        if !self.kept.is_empty() && self.left_out < self.leaves_out {
            self.left_out += 1;
            return;
        }
        self.left_out = 0;
        self.kept.push(reading);
        if self.kept.len() > MOST {
            let mut stays = false;
            self.kept.retain(|_| {
                stays = !stays;
                stays
            });
            self.leaves_out = self.leaves_out * 2 + 1;
        }
    }

    fn all(&self) -> Vec<Reading> {
        let latest = self.latest.filter(|latest| self.kept.last() != Some(latest));
        self.kept.iter().copied().chain(latest).collect()
    }
}

/// Takes in what a call told of running orders, and forgets those of which it told that they run no more, or nothing.
pub(super) fn take(
    readings: &mut BTreeMap<OperationId, Readings>,
    told: &BTreeMap<OperationId, OperationReport>,
) {
    let running = told.iter().filter_map(|(id, report)| match &report.state {
        OperationState::Running { progress } => Some((*id, progress)),
        _ => None,
    });
    let mut before = std::mem::take(readings);
    for (id, progress) in running {
        let mut of_it = before.remove(&id).unwrap_or_default();
        of_it.add(progress);
        readings.insert(id, of_it);
    }
}

impl Agents {
    /// What a running operation had left, oldest first.
    #[must_use]
    pub fn readings(&self, operation: OperationId) -> Vec<Reading> {
        let inner = self.lock();
        let known = inner.presence.values().find_map(|presence| presence.readings.get(&operation));
        known.map(Readings::all).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use drover_policies::attempt::Phase;

    use super::*;

    fn progress(second: i64) -> Progress {
        let at = Instant::UNIX_EPOCH + TimeDelta::seconds(second);
        let remaining_bytes = u64::try_from(10_000 - second).expect("less");
        Progress { total_bytes: 10_000, remaining_bytes, ..Progress::of(Phase::Transferring, at) }
    }

    #[test]
    fn a_long_way_is_kept_from_its_beginning_to_its_end_in_little_room() {
        let mut readings = Readings::default();
        for second in 0..5_000 {
            readings.add(&progress(second));
            assert!(readings.kept.len() <= MOST, "{second}");
        }
        let all = readings.all();
        let seconds: Vec<i64> = all.iter().map(|reading| reading.at.timestamp()).collect();
        assert!(all.len() > MOST / 2 && seconds[0] == 0 && seconds.last() == Some(&4_999), "{seconds:?}");
        let gaps: Vec<i64> = seconds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (most, least) = (gaps[..gaps.len() - 1].iter().max(), gaps[..gaps.len() - 1].iter().min());
        assert_eq!(most, least, "they stand evenly: {gaps:?}");
    }

    #[test]
    fn what_has_no_figures_or_was_told_before_is_no_reading() {
        let mut readings = Readings::default();
        for told in [progress(1), progress(1), Progress::of(Phase::BootTarget, progress(9).at), progress(0)] {
            readings.add(&told);
        }
        assert_eq!(readings.all().len(), 1);
        readings.add(&progress(2));
        assert_eq!(readings.all().len(), 2);
    }
}
