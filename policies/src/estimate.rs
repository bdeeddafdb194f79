//! How long a migration is expected to take, and how long its server will stand still or be off.
//!
//! For people and for finding room in windows; nothing is ever aborted because an estimate was wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::eligibility::{has_local_disks, local_bytes};
use crate::fleet::{Server, ServerFacts};
use crate::policy::{LivePolicy, Policy, RebootPolicy, ReplicationPolicy};
use crate::replica::{Activity, ReplicaStatus};
use crate::time::Span;

/// What a link carries when nothing is known about it: one gigabit per second, less what TCP and Ethernet need.
pub const ASSUMED_BANDWIDTH: u64 = 117_000_000;

/// How many of a server's own downtimes make nine in ten more than a guess.
const ENOUGH_HISTORY: usize = 5;

/// A round from powered-off disks that has nothing to send still takes this long: both ends open the images and say that they are done.
const TAIL_AT_LEAST: Span = Span::seconds(2);

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
    let rank = |percent: usize| {
        ordered.get((ordered.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    };
    let (downtime, downtime_p90, basis) = match ordered.len() {
        0 => (policy.expected_downtime, slow, Basis::Policy),
        samples @ 1..ENOUGH_HISTORY => (rank(50), rank(90).max(slow), Basis::History { samples }),
        samples => (rank(50), rank(90), Basis::History { samples }),
    };
    // The server is off from the beginning to the end: on shared storage nothing is copied before.
    Estimate { duration: downtime, downtime, downtime_p90, basis }
}

/// How long it will take until a server's local disks have been copied once; nothing when they have.
#[must_use]
pub fn expected_sync(server: &Server, known: Option<&ReplicaStatus>, policy: &ReplicationPolicy) -> Span {
    let whole = || local_bytes(&server.facts);
    let (bytes, measured): (u64, u64) = match known.map(|status| (&status.activity, status.rounds)) {
        Some((_, 1..)) => return Span::ZERO,
        Some((Activity::Round(figures), 0)) => {
            (figures.total_bytes().saturating_sub(figures.done_bytes()), figures.rate)
        }
        Some(_) | None => (whole(), 0),
    };
    // A limit that holds for a part of the day only may hold for all of the copying.
    let limit = policy.least_bandwidth().unwrap_or(ASSUMED_BANDWIDTH).min(ASSUMED_BANDWIDTH);
    let rate = if measured > 0 { measured } else { limit };
    span(bytes as f64 / rate as f64)
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

/// What to expect of a reboot migration with a replica: what is left to be sent when the server is off comes on top of a reboot over shared
/// storage. A server whose downtimes are known has it in them already.
#[must_use]
pub fn expected_cutover(policy: &Policy, history: &[Span], known: Option<&ReplicaStatus>) -> Estimate {
    let reboot = expected_reboot(&policy.reboot, history);
    let alone = known.filter(|status| status.needs_power_cycle());
    // The tail is what is written while the last round of the running server is made, and while it shuts down; or all since the last round,
    // where none can follow.
    let near = policy.replication.near.0.as_secs_f64();
    let since = alone.and_then(|status| status.lag(status.at)).map_or(near, |lag| near + lag.0.as_secs_f64());
    let bytes = known.map_or(0.0, |status| status.dirty_rate as f64 * since);
    let bytes = alone.and_then(ReplicaStatus::lag_bytes).map_or(bytes, |behind| bytes.max(behind as f64));
    let tail = span(bytes / round_rate(&policy.replication, known)).max(TAIL_AT_LEAST);
    let tail = if history.is_empty() || alone.is_some() { tail } else { Span::ZERO };
    // Past `tail_within` it would be brought back; what is written until its time is not known.
    let longest = if alone.is_some() { policy.replication.tail_within } else { Span(tail.0 * 3) };
    Estimate {
        duration: Span(reboot.duration.0 + tail.0 + policy.replication.near.0),
        downtime: Span(reboot.downtime.0 + tail.0),
        // Earlier downtimes say by themselves how far they spread.
        downtime_p90: Span(reboot.downtime_p90.0 + longest.0.min(policy.replication.tail_within.0)),
        basis: reboot.basis,
    }
}

/// What the last round of a running server would bring over if its time came now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalDelta {
    /// What it has written since the last round, in bytes.
    pub bytes: u64,
    /// How long that takes, as often longer as shorter.
    pub duration: Span,
    /// Nine times in ten it will be no longer than this.
    pub duration_p90: Span,
}

/// What to expect of the last round of a running server; nothing before the whole disks have been copied once.
#[must_use]
pub fn expected_final_delta(policy: &ReplicationPolicy, known: &ReplicaStatus) -> Option<FinalDelta> {
    let bytes = known.lag_bytes()?;
    let duration = span(bytes as f64 / round_rate(policy, Some(known))).max(TAIL_AT_LEAST);
    Some(FinalDelta { bytes, duration, duration_p90: Span(duration.0 * 3) })
}

/// Bytes per second of a replica's rounds: as the last one has shown, or else what a link carries.
fn round_rate(policy: &ReplicationPolicy, known: Option<&ReplicaStatus>) -> f64 {
    let limit = policy.least_bandwidth().unwrap_or(ASSUMED_BANDWIDTH).min(ASSUMED_BANDWIDTH) as f64;
    let last = known.and_then(|status| status.last.as_ref()).filter(|last| !last.took.0.is_zero());
    let measured = last.map(|last| last.sent_bytes as f64 / last.took.0.as_secs_f64());
    // A round that had next to nothing to send says little about the link.
    measured.filter(|rate| *rate > 1.0).unwrap_or(limit).max(limit / 10.0)
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

    fn writes(dirty_rate: u64, round: (u64, Span)) -> ReplicaStatus {
        let mut status = ReplicaStatus::new(crate::time::Instant::UNIX_EPOCH);
        status.rounds = 2;
        status.dirty_rate = dirty_rate;
        status.last = Some(crate::replica::Round {
            number: 2,
            kind: crate::replica::RoundKind::Incremental,
            consistent_at: status.at,
            frozen: crate::replica::Frozen::Yes,
            dirty_bytes: round.0,
            sent_bytes: round.0,
            took: round.1,
        });
        status
    }

    #[test]
    fn what_is_written_in_the_last_round_is_brought_over_while_the_server_is_off() {
        let policies = PolicySet::default();
        let policy = policies.general();
        // 40 MiB/s for the ten seconds between two rounds, at 20 MiB/s.
        let known = writes(40 * MIB, (200 * MIB, Span::seconds(10)));
        let estimate = expected_cutover(policy, &[], Some(&known));
        assert_eq!(estimate.downtime, Span(policy.reboot.expected_downtime.0 + Span::seconds(20).0));
        assert!(estimate.downtime_p90 > estimate.downtime && estimate.duration > estimate.downtime);
        let idle = expected_cutover(policy, &[], Some(&writes(0, (MIB, Span::seconds(1)))));
        assert_eq!(idle.downtime, Span(policy.reboot.expected_downtime.0 + TAIL_AT_LEAST.0));
    }

    #[test]
    fn all_that_no_round_can_bring_over_is_expected_in_the_tail() {
        let policies = PolicySet::default();
        let policy = policies.general();
        let mut known = writes(MIB, (20 * MIB, Span::seconds(1)));
        let calm = expected_cutover(policy, &[], Some(&known));
        let history: Vec<Span> = (1..=10).map(|n| Span::seconds(n * 10)).collect();
        let before = expected_cutover(policy, &history, Some(&known));
        known.at += Span::minutes(10).delta();
        let failure = crate::attempt::Failure {
            class: crate::attempt::FailureClass::NeedsPowerCycle,
            text: "libvirt has lost its backup".to_owned(),
        };
        known.activity = Activity::Stalled { failure, since: known.at, next_at: known.at };
        let alone = expected_cutover(policy, &[], Some(&known));
        // Ten minutes and ten seconds at 1 MiB/s, sent at 20 MiB/s.
        assert_eq!(alone.downtime, Span(calm.downtime.0 - TAIL_AT_LEAST.0 + Span::milliseconds(30_500).0));
        assert_eq!(alone.downtime_p90, Span(policy.replication.tail_within.0 + Span::minutes(10).0));
        assert!(
            expected_cutover(policy, &history, Some(&known)).downtime > before.downtime,
            "it was never like this"
        );
    }

    #[test]
    fn what_a_server_was_off_for_before_has_its_last_round_in_it() {
        let policies = PolicySet::default();
        let history: Vec<Span> = (1..=10).map(|n| Span::seconds(n * 10)).collect();
        let known = writes(40 * MIB, (200 * MIB, Span::seconds(10)));
        let estimate = expected_cutover(policies.general(), &history, Some(&known));
        assert_eq!((estimate.downtime, estimate.downtime_p90), (Span::seconds(50), Span::seconds(90)));
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
