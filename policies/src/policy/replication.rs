//! How replicas of local disks are kept up to date, and what is asked of one before a server is cut over with it.

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};
use crate::windows::Recurrence;

/// Replicas of local disks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicationPolicy {
    /// Between the beginnings of two rounds, while the cutover is far.
    pub far: Span,
    /// … and right before it.
    pub near: Span,
    /// Most bytes per second of one server's rounds; 0 for no limit.
    pub bandwidth: u64,
    /// Other limits at some times; the first that is open counts.
    pub bandwidth_at: Vec<TimedBandwidth>,
    /// What a guest keeps of its own reading and writing while its disks are copied, of 1; 0 where the copying goes first.
    pub guest_share: f64,
    /// A server is not cut over with a replica that is further behind than this.
    pub ready_lag: Span,
    /// People are warned of a replica that is further behind than its rhythm explains, by more than this.
    pub lag_warn: Span,
    /// How long the last round of the running server may take; past that it stays where it is.
    pub final_delta_within: Span,
    /// How long the round from the powered-off disks may take; past that the server is brought back.
    pub tail_within: Span,
    /// What becomes of a server that ran and could not be brought up at the destination.
    pub on_failure: OnFailure,
    /// How long a destination may be silent before another one is looked for, and the copy begun anew there.
    pub place_lost_after: Span,
}

/// A limit that holds at some times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedBandwidth {
    /// When.
    pub during: Recurrence,
    /// Most bytes per second of one server's rounds then; 0 for no limit.
    pub bandwidth: u64,
}

/// What becomes of a server that was powered off and could not be brought up at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is started at its source again.
    RestartSource,
    /// It stays off at its source, and a person decides.
    LeaveOff,
}

/// How far ahead the next change of the bandwidth is looked for; there is another look before that is over.
const AHEAD: Span = Span::hours(24);

impl ReplicationPolicy {
    /// The most bytes per second at a moment (nothing for no limit), and when that may change next.
    #[must_use]
    pub fn bandwidth_now(&self, now: Instant) -> (Option<u64>, Option<Instant>) {
        let mut limit = None;
        let mut next: Option<Instant> = None;
        for timed in &self.bandwidth_at {
            for slot in timed.during.occurrences(now, now + AHEAD.delta()) {
                if slot.contains(now) {
                    limit = limit.or(Some(timed.bandwidth));
                }
                for edge in [slot.start, slot.end] {
                    if edge > now && next.is_none_or(|known| edge < known) {
                        next = Some(edge);
                    }
                }
            }
        }
        (Some(limit.unwrap_or(self.bandwidth)).filter(|limit| *limit > 0), next)
    }

    /// What a guest keeps of its own reading and writing, in percent; nothing where the copying goes first.
    #[must_use]
    pub fn guest_percent(&self) -> Option<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share that was checked is between 0 and 1"
        )]
        let percent = (self.guest_share * 100.0).round() as u8;
        (percent > 0).then_some(percent)
    }

    /// The least that rounds are sure to get at any time of the day, of those limits that there are; nothing where there is none.
    #[must_use]
    pub fn least_bandwidth(&self) -> Option<u64> {
        let limits = self.bandwidth_at.iter().map(|timed| timed.bandwidth).chain([self.bandwidth]);
        limits.filter(|limit| *limit > 0).min()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::policy::PolicySet;
    use crate::samples::NOON;

    #[test]
    fn the_bandwidth_is_that_of_the_first_time_that_is_open() {
        let text = "[replication]\nbandwidth = 50000000\n\
                    bandwidth_at = [{ during = { cron = \"0 8 * * *\", duration = \"10h\", timezone = \"UTC\" }, bandwidth = 9000000 }]\n";
        let policies = PolicySet::parse(&[("test.toml", text)]).expect("right");
        let policy = &policies.general().replication;
        let at = |hours: i64| policy.bandwidth_now(NOON + TimeDelta::hours(hours));
        assert_eq!(at(0), (Some(9_000_000), Some(NOON + TimeDelta::hours(6))));
        assert_eq!(at(7), (Some(50_000_000), Some(NOON + TimeDelta::hours(20))));
        assert_eq!(policy.least_bandwidth(), Some(9_000_000));
        assert_eq!(PolicySet::default().general().replication.bandwidth_now(NOON), (None, None));
    }

    #[test]
    fn the_guest_goes_first_unless_policy_says_otherwise() {
        let percent = |line: &str| {
            let text = format!("[replication]\n{line}\n");
            let policies = PolicySet::parse(&[("test.toml", &text)]).expect("right");
            policies.general().replication.guest_percent()
        };
        assert_eq!(percent(""), Some(85));
        assert_eq!(percent("guest_share = 0.7"), Some(70));
        assert_eq!(percent("guest_share = 0.0"), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        let wrong = [
            ("near = \"10m\"", "replication.near"),
            ("ready_lag = \"0s\"", "replication.ready_lag"),
            ("guest_share = 1.0", "replication.guest_share"),
            ("guest_share = -0.1", "replication.guest_share"),
            ("guest_share = nan", "replication.guest_share"),
            (
                "bandwidth_at = [{ during = { cron = \"0 8 * * *\", duration = \"1h\", timezone = \"UTC\" }, bandwith = 1 }]",
                "bandwith",
            ),
        ];
        for (line, key) in wrong {
            let problems =
                PolicySet::parse(&[("test.toml", &format!("[replication]\n{line}\n"))]).expect_err("refused");
            assert!(problems.iter().any(|problem| problem.to_string().contains(key)), "{line}: {problems:?}");
        }
    }
}
