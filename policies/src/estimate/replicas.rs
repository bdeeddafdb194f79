//! What to expect of copying local disks, and of a cutover with the copy.

use super::{ASSUMED_BANDWIDTH, Estimate, expected_reboot, rank, span};
use crate::eligibility::local_bytes;
use crate::fleet::Server;
use crate::policy::{Policy, ReplicationPolicy};
use crate::replica::{Activity, ReplicaStatus};
use crate::time::Span;

/// How many of a replica's own rounds make their spread more than a guess.
const ENOUGH_ROUNDS: usize = 5;

/// Before that, something may take so many times longer than the last round lets expect.
const SPREAD_UNKNOWN: u32 = 3;

/// A round from powered-off disks that has nothing to send still takes this long: both ends open the images and say that they are done.
const TAIL_AT_LEAST: Span = Span::seconds(2);

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
    let behind = alone.and_then(ReplicaStatus::lag_bytes).map_or(0.0, |behind| behind as f64);
    let (tail, longest) = match history.is_empty() || alone.is_some() {
        true => Spread::of(&policy.replication, known).takes(|rates| rates.takes(since, behind)),
        false => (Span::ZERO, Span::ZERO),
    };
    // Past `tail_within` it would be brought back; what is written until its time is not known.
    let longest = if alone.is_some() { policy.replication.tail_within } else { longest };
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
    /// What it has written since the last round, in bytes; nothing where it has disks that are compared.
    pub bytes: Option<u64>,
    /// How long that takes, as often longer as shorter.
    pub duration: Span,
    /// Nine times in ten it will be no longer than this.
    pub duration_p90: Span,
}

/// What to expect of the last round of a running server; nothing before the whole disks have been copied once.
#[must_use]
pub fn expected_final_delta(policy: &ReplicationPolicy, known: &ReplicaStatus) -> Option<FinalDelta> {
    known.last.as_ref()?;
    let bytes = known.lag_bytes();
    let takes = |rates: &Rates| rates.takes(0.0, bytes.unwrap_or_default() as f64);
    let (duration, duration_p90) = Spread::of(policy, Some(known)).takes(takes);
    Some(FinalDelta { bytes, duration, duration_p90 })
}

/// How long it takes to compare the disks that no changes are noted of, as the last round has shown; nothing without such disks, or a round.
///
/// What it sent is taken out of its time: that is another matter, and may be much once.
#[must_use]
pub fn expected_comparison(policy: &ReplicationPolicy, known: &ReplicaStatus) -> Span {
    let last = known.last.as_ref().filter(|_| known.compared_bytes > 0);
    last.map_or(Span::ZERO, |last| {
        Span(last.took.0.saturating_sub(span(last.sent_bytes as f64 / limit(policy)).0))
    })
}

/// What a replica's rounds let expect, in bytes per second.
struct Rates {
    /// What the guest writes.
    dirty: f64,
    /// What is sent.
    sent: f64,
    /// What a round takes that has nothing to send.
    least: Span,
}

impl Rates {
    /// Bytes that were written in so many seconds, or that are behind in any case.
    fn takes(&self, seconds: f64, behind: f64) -> Span {
        span((self.dirty * seconds).max(behind) / self.sent).max(self.least)
    }
}

/// As often better as worse; and those that nine of ten rounds are better than, once there are enough of them.
struct Spread {
    middle: Rates,
    worst: Option<Rates>,
}

impl Spread {
    fn of(policy: &ReplicationPolicy, known: Option<&ReplicaStatus>) -> Self {
        let comparing = known.map_or(Span::ZERO, |status| expected_comparison(policy, status));
        let least = TAIL_AT_LEAST.max(comparing);
        let recent = || known.into_iter().flat_map(|status| &status.recent);
        let (mut dirty, mut sent): (Vec<u64>, Vec<u64>) = (
            recent().map(|shown| shown.dirty_rate).collect(),
            recent().filter_map(|shown| shown.rate).collect(),
        );
        if sent.len() < ENOUGH_ROUNDS {
            let dirty = known.map_or(0.0, |status| status.dirty_rate as f64);
            return Self { middle: Rates { dirty, sent: last_rate(policy, known), least }, worst: None };
        }
        dirty.sort_unstable();
        sent.sort_unstable();
        let at = |percent: usize| Rates {
            dirty: rank(&dirty, percent) as f64,
            sent: believed(policy, rank(&sent, 100 - percent) as f64),
            least,
        };
        Self { middle: at(50), worst: Some(at(90)) }
    }

    /// How long something takes, and nine times in ten at the most.
    fn takes(&self, takes: impl Fn(&Rates) -> Span) -> (Span, Span) {
        let middle = takes(&self.middle);
        (middle, self.worst.as_ref().map_or(Span(middle.0 * SPREAD_UNKNOWN), takes))
    }
}

fn limit(policy: &ReplicationPolicy) -> f64 {
    policy.least_bandwidth().unwrap_or(ASSUMED_BANDWIDTH).min(ASSUMED_BANDWIDTH) as f64
}

fn believed(policy: &ReplicationPolicy, rate: f64) -> f64 {
    rate.max(limit(policy) / 10.0)
}

/// Bytes per second of a replica's rounds: as the last one has shown, or else what a link carries.
fn last_rate(policy: &ReplicationPolicy, known: Option<&ReplicaStatus>) -> f64 {
    let last = known.and_then(|status| status.last.as_ref()).filter(|last| !last.took.0.is_zero());
    let measured = last.map(|last| last.sent_bytes as f64 / last.took.0.as_secs_f64());
    // A round that had next to nothing to send says little about the link, and so does one whose time was spent with reading.
    let measured = measured.filter(|_| known.is_none_or(|status| status.compared_bytes == 0));
    believed(policy, measured.filter(|rate| *rate > 1.0).unwrap_or(limit(policy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet;
    use crate::replica::Shown;

    const MIB: u64 = 1 << 20;

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
    fn disks_that_are_compared_are_read_whole_while_the_server_is_off() {
        let policies = PolicySet::default();
        let policy = policies.general();
        let mut known = writes(MIB, (117_000_000, Span::seconds(61)));
        let without = expected_cutover(policy, &[], Some(&known));
        known.compared_bytes = 500 << 30;
        assert_eq!(known.lag_bytes(), None, "nobody notes what is written to them");
        // The last round sent for a second, and read for a minute.
        assert_eq!(expected_comparison(&policy.replication, &known), Span::seconds(60));
        let delta = expected_final_delta(&policy.replication, &known).expect("a round has landed");
        assert_eq!((delta.bytes, delta.duration), (None, Span::seconds(60)));
        let with = expected_cutover(policy, &[], Some(&known));
        assert_eq!(with.downtime.0 - without.downtime.0, Span::seconds(58).0);
    }

    #[test]
    fn what_a_server_was_off_for_before_has_its_last_round_in_it() {
        let policies = PolicySet::default();
        let history: Vec<Span> = (1..=10).map(|n| Span::seconds(n * 10)).collect();
        let known = writes(40 * MIB, (200 * MIB, Span::seconds(10)));
        let estimate = expected_cutover(policies.general(), &history, Some(&known));
        assert_eq!((estimate.downtime, estimate.downtime_p90), (Span::seconds(50), Span::seconds(90)));
    }

    #[test]
    fn the_spread_is_that_of_its_own_rounds_once_there_are_enough() {
        let policies = PolicySet::default();
        let policy = policies.general();
        let mut known = writes(40 * MIB, (200 * MIB, Span::seconds(10)));
        known.backlog = vec![crate::replica::DiskBacklog { target: "vda".to_owned(), bytes: 400 * MIB }];
        let delta =
            |known: &ReplicaStatus| expected_final_delta(&policy.replication, known).expect("it is there");
        let guessed = delta(&known);
        assert_eq!((guessed.duration, guessed.duration_p90), (Span::seconds(20), Span::seconds(60)));
        // Rounds of 40 to 76 MiB/s, of a guest that writes 1 to 10 MiB/s; one of them had nothing to tell of the link.
        known.recent =
            (1..=10).map(|n| Shown { dirty_rate: n * MIB, rate: Some((36 + 4 * n) * MIB) }).collect();
        known.recent.push(Shown { dirty_rate: 5 * MIB, rate: None });
        let shown = delta(&known);
        assert_eq!((shown.duration, shown.duration_p90), (Span::milliseconds(7143), Span::seconds(10)));
        let cutover = expected_cutover(policy, &[], Some(&known));
        let reboot = expected_reboot(&policy.reboot, &[]);
        // Ten seconds of 5 and of 9 MiB/s: the second one at the rate of a slow round.
        assert_eq!(cutover.downtime.0 - reboot.downtime.0, TAIL_AT_LEAST.0);
        assert_eq!(cutover.downtime_p90.0 - reboot.downtime_p90.0, Span::milliseconds(2250).0);
    }
}
