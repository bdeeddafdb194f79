//! How long a migration is expected to take, and how long its server will stand still or be off.
//!
//! For people and for finding room in windows; nothing is ever aborted because an estimate was wrong.

mod replicas;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::eligibility::has_local_disks;
use crate::fleet::ServerFacts;
use crate::policy::{LivePolicy, Policy, RebootPolicy};
use crate::replica::ReplicaStatus;
use crate::time::Span;

pub use replicas::{FinalDelta, expected_comparison, expected_cutover, expected_final_delta, expected_sync};

/// What a link carries when nothing is known about it: one gigabit per second, less what TCP and Ethernet need.
pub const ASSUMED_BANDWIDTH: u64 = 117_000_000;

/// What one migration is given of a limit on several together, in bytes per second: an equal part, for as many as use all of it when none takes
/// more than `full`. libvirt counts in MiB.
#[must_use]
pub fn share_of(most: u64, full: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    let share = most / most.div_ceil(full.max(1)).max(1);
    (share / MIB * MIB).max(MIB)
}

/// How many of a server's own downtimes make nine in ten more than a guess.
const ENOUGH_HISTORY: usize = 5;

/// What to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// From the first act to the server's running at the destination.
    pub duration: Span,
    /// How long it will stand still or be off, as often longer as shorter.
    pub downtime: Span,
    /// Nine times in ten it will be no longer than this.
    pub downtime_p90: Span,
    /// What this is worked out from.
    pub basis: Basis,
}

/// What an estimate is worked out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum Basis {
    /// Memory, dirty rate and bandwidth.
    Memory {
        /// Passes over the memory until it can be switched over.
        passes: u32,
        /// Bytes per second.
        bandwidth: u64,
        /// Where the bandwidth comes from.
        link: LinkBasis,
    },
    /// The same figures say that it can't be migrated live: the duration is that until the ladder aborts it.
    WillNotConverge {
        /// Passes until then.
        passes: u32,
        /// Bytes per second that the guest writes anew.
        dirty_rate: u64,
        /// Bytes per second that can be sent.
        bandwidth: u64,
    },
    /// This server's own earlier downtimes.
    History {
        /// How many.
        samples: usize,
    },
    /// What policy says, for want of history.
    Policy,
}

/// Where a bandwidth comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkBasis {
    /// Measured, or set by policy.
    Known,
    /// [`ASSUMED_BANDWIDTH`].
    Assumed,
}

/// What is known of a server that is to be migrated live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// Memory that is sent, in bytes.
    pub memory_bytes: u64,
    /// Local disks that go with it and are sent first, in bytes.
    pub disk_bytes: u64,
    /// Bytes per second that it writes anew; 0 for an idle one.
    pub dirty_rate: u64,
    /// Bytes per second that the link to the destination carried earlier, if any migration used it.
    pub link: Option<u64>,
}

/// What to expect of a live migration under a policy.
///
/// Each pass sends what was written during the one before, so the passes' lengths are a geometric series with the ratio of dirty rate
/// to bandwidth. It ends when what is left can be sent within the downtime that the ladder allows in that pass; that allowance is
/// also the downtime that it will hardly ever exceed.
#[must_use]
pub fn expected_live(policy: &LivePolicy, guest: Guest) -> Estimate {
    let (bandwidth, link) = bandwidth_of(policy, guest.link);
    let ladder = &policy.ladder;
    let seconds = |bytes: f64| bytes / bandwidth as f64;
    // More can't be dirty than there is.
    let ratio = guest.dirty_rate as f64 / bandwidth as f64;
    let mut remaining = guest.memory_bytes as f64;
    let mut elapsed = seconds(guest.disk_bytes as f64);
    let last = ladder.abort_after.max(1);
    for finished in 0..=last {
        let allowed = Span::milliseconds(ladder.downtime_at(steps_after(policy, finished)));
        let downtime = span(seconds(remaining));
        if downtime <= allowed {
            return Estimate {
                duration: span(elapsed + seconds(remaining)),
                downtime,
                downtime_p90: allowed,
                basis: Basis::Memory { passes: finished, bandwidth, link },
            };
        }
        if finished < last {
            elapsed += seconds(remaining);
            remaining = (remaining * ratio).min(guest.memory_bytes as f64);
        }
    }
    Estimate {
        duration: span(elapsed),
        downtime: Span::ZERO,
        downtime_p90: Span::ZERO,
        basis: Basis::WillNotConverge { passes: last, dirty_rate: guest.dirty_rate, bandwidth },
    }
}

/// The steps that the ladder has taken when so many passes are finished.
fn steps_after(policy: &LivePolicy, finished: u32) -> u32 {
    let ladder = &policy.ladder;
    match finished.checked_sub(ladder.patience) {
        None => 0,
        Some(beyond) => (1 + beyond / ladder.passes_per_step.max(1)).min(ladder.downtime_steps),
    }
}

fn bandwidth_of(policy: &LivePolicy, link: Option<u64>) -> (u64, LinkBasis) {
    let capped = Some(policy.bandwidth).filter(|cap| *cap > 0);
    match (link.filter(|rate| *rate > 0), capped) {
        (Some(link), Some(cap)) => (link.min(cap), LinkBasis::Known),
        (Some(rate), None) => (rate, LinkBasis::Known),
        (None, Some(cap)) if cap <= ASSUMED_BANDWIDTH => (cap, LinkBasis::Known),
        (None, Some(_) | None) => (ASSUMED_BANDWIDTH, LinkBasis::Assumed),
    }
}

/// What to expect of a reboot migration over shared storage, by this server's own earlier downtimes if there are any.
///
/// With few of them, the longest that policy allows a shutdown to take still counts as one that can happen.
#[must_use]
pub fn expected_reboot(policy: &RebootPolicy, history: &[Span]) -> Estimate {
    let shutdown = Span(policy.agent_time.0.saturating_add(policy.acpi_time.0));
    // A guest that heeds neither agent nor button is off only after both times are over.
    let slow = Span(policy.expected_downtime.0.saturating_add(shutdown.0));
    let mut ordered = history.to_vec();
    ordered.sort_unstable();
    let rank = |percent| rank(&ordered, percent);
    let (downtime, downtime_p90, basis) = match ordered.len() {
        0 => (policy.expected_downtime, slow, Basis::Policy),
        samples @ 1..ENOUGH_HISTORY => (rank(50), rank(90).max(slow), Basis::History { samples }),
        samples => (rank(50), rank(90), Basis::History { samples }),
    };
    // The server is off from the beginning to the end: on shared storage nothing is copied before.
    Estimate { duration: downtime, downtime, downtime_p90, basis }
}

/// What to expect of moving a server by a reboot: over shared storage, or with a copy of its local disks as far as that is known.
#[must_use]
pub fn expected_move(
    server: &ServerFacts,
    policy: &Policy,
    history: &[Span],
    known: Option<&ReplicaStatus>,
) -> Estimate {
    if has_local_disks(server) {
        expected_cutover(policy, history, known)
    } else {
        expected_reboot(&policy.reboot, history)
    }
}

/// Of ordered figures the one that so many percent of them don't exceed.
fn rank<T: Copy + Default>(ordered: &[T], percent: usize) -> T {
    ordered.get((ordered.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn span(seconds: f64) -> Span {
    // Whole milliseconds: more would feign a precision that no estimate has. What doesn't fit becomes the largest there is.
    Span::milliseconds((seconds * 1000.0).ceil() as u64)
}

fn rate(bytes_per_second: u64) -> String {
    format!("{:.0} MiB/s", bytes_per_second as f64 / f64::from(1 << 20))
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (duration, downtime, p90) =
            (self.duration.rounded(), self.downtime.rounded(), self.downtime_p90.rounded());
        match self.basis {
            Basis::Memory { passes, bandwidth, link } => {
                let passes = if passes == 1 { "1 pass".to_owned() } else { format!("{passes} passes") };
                let assumed = match link {
                    LinkBasis::Known => "",
                    LinkBasis::Assumed => ", assumed",
                };
                write!(
                    f,
                    "about {duration}, standing still for {downtime} (at most {p90}); {passes} at {}{assumed}",
                    rate(bandwidth)
                )
            }
            Basis::WillNotConverge { passes, dirty_rate, bandwidth } => write!(
                f,
                "cannot go live: it writes {} and {} can be sent; given up after {passes} passes, about {duration}",
                rate(dirty_rate),
                rate(bandwidth)
            ),
            Basis::History { samples } => {
                let times = if samples == 1 {
                    "the last time".to_owned()
                } else {
                    format!("{samples} earlier times")
                };
                write!(f, "off for about {downtime} (nine times in ten at most {p90}), going by {times}")
            }
            Basis::Policy => write!(
                f,
                "off for about {downtime} (nine times in ten at most {p90}), going by policy: this server has no history yet"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::PolicySet;

    const MIB: u64 = 1 << 20;

    fn live() -> LivePolicy {
        PolicySet::default().general().live.clone()
    }

    fn reboot() -> RebootPolicy {
        PolicySet::default().general().reboot.clone()
    }

    #[test]
    fn a_guest_that_writes_a_quarter_of_what_can_be_sent_takes_a_third_more_than_one_pass() {
        let guest =
            Guest { memory_bytes: 4096 * MIB, disk_bytes: 0, dirty_rate: 25 * MIB, link: Some(100 * MIB) };
        let estimate = expected_live(&live(), guest);
        // 40.96 s, 10.24 s, 2.56 s, 0.64 s; then 0.16 s are left, which the ladder's first step allows.
        assert_eq!(estimate.duration, Span::milliseconds(54_560));
        assert_eq!(estimate.downtime, Span::milliseconds(160));
        assert_eq!(estimate.downtime_p90, Span::milliseconds(200));
        assert_eq!(
            estimate.to_string(),
            "about 54s, standing still for 160ms (at most 200ms); 4 passes at 100 MiB/s"
        );
    }

    #[test]
    fn an_idle_guest_takes_one_pass_and_stands_still_for_nothing() {
        let guest = Guest { memory_bytes: 1170 * 1_000_000, disk_bytes: 0, dirty_rate: 0, link: None };
        let estimate = expected_live(&live(), guest);
        assert_eq!((estimate.duration, estimate.downtime), (Span::seconds(10), Span::ZERO));
        let with_disks = expected_live(&live(), Guest { disk_bytes: 2340 * 1_000_000, ..guest });
        assert_eq!((with_disks.duration, with_disks.downtime), (Span::seconds(30), Span::ZERO));
        assert!(estimate.to_string().ends_with("1 pass at 112 MiB/s, assumed"), "{estimate}");
    }

    #[test]
    fn a_guest_that_writes_faster_than_can_be_sent_is_said_not_to_converge() {
        let policy = LivePolicy { bandwidth: 24 * MIB, ..live() };
        let guest =
            Guest { memory_bytes: 240 * MIB, disk_bytes: 0, dirty_rate: 80 * MIB, link: Some(1000 * MIB) };
        let estimate = expected_live(&policy, guest);
        assert_eq!(
            estimate.basis,
            Basis::WillNotConverge { passes: 60, dirty_rate: 80 * MIB, bandwidth: 24 * MIB }
        );
        assert_eq!(estimate.duration, Span::seconds(600));
        assert!(
            estimate.to_string().starts_with("cannot go live: it writes 80 MiB/s and 24 MiB/s can be sent")
        );
    }

    #[test]
    fn without_history_policy_says_how_long_a_reboot_takes() {
        let estimate = expected_reboot(&reboot(), &[]);
        assert_eq!((estimate.downtime, estimate.downtime_p90), (Span::minutes(5), Span::minutes(10)));
        assert_eq!(
            estimate.to_string(),
            "off for about 5m (nine times in ten at most 10m), going by policy: this server has no history yet"
        );
    }

    #[test]
    fn a_servers_own_history_counts_more_the_longer_it_is() {
        let few = expected_reboot(&reboot(), &[Span::seconds(40), Span::seconds(20), Span::seconds(30)]);
        assert_eq!((few.downtime, few.downtime_p90), (Span::seconds(30), Span::minutes(10)));
        let many: Vec<Span> = (1..=10).rev().map(Span::seconds).collect();
        let many = expected_reboot(&reboot(), &many);
        assert_eq!((many.downtime, many.downtime_p90), (Span::seconds(5), Span::seconds(9)));
        assert_eq!(
            many.to_string(),
            "off for about 5s (nine times in ten at most 9s), going by 10 earlier times"
        );
    }

    proptest! {
        #[test]
        fn an_estimate_is_possible_and_grows_with_the_dirty_rate(
            memory in 1..1_000_000_u64, dirty in 0..2_000_u64, more in 0..500_u64, link in 1..5_000_u64,
        ) {
            let guest = |dirty: u64| Guest { memory_bytes: memory * MIB, disk_bytes: 0, dirty_rate: dirty * MIB, link: Some(link * MIB) };
            let (calm, busy) = (expected_live(&live(), guest(dirty)), expected_live(&live(), guest(dirty + more)));
            prop_assert!(calm.duration <= busy.duration);
            prop_assert!(calm.downtime <= calm.downtime_p90 && calm.downtime_p90 <= live().ladder.downtime_most);
            prop_assert!(calm.duration >= Span::milliseconds(memory * 1000 / link), "one pass at least");
        }

        #[test]
        fn the_spread_of_a_reboot_lies_within_what_was_seen(history in prop::collection::vec(0..10_000_u64, 5..40)) {
            let history: Vec<Span> = history.into_iter().map(Span::seconds).collect();
            let estimate = expected_reboot(&reboot(), &history);
            prop_assert!(estimate.downtime <= estimate.downtime_p90);
            prop_assert!(history.contains(&estimate.downtime) && history.contains(&estimate.downtime_p90));
        }
    }
}
