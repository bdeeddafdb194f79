//! How long a guest is left alone after a round, so that it keeps its share over the two together. Pure.
//!
//! While a backup is open QEMU sets aside what the guest overwrites for the first time, and that costs the guest something whether or not
//! we read. It can be made good only while no backup is open.

use std::time::{Duration, Instant};

use super::courtesy::{BUSY, Done, LEAST, Rate};
use super::gate::Seen;

/// What is looked at for a shorter time tells nothing.
const SHORTEST: Duration = Duration::from_millis(200);
/// A guest that is left alone is looked at so often: it may have ended its work.
const LOOK: Duration = Duration::from_secs(5);
/// It is left alone no longer than the round took, or this.
const LONGEST: Duration = Duration::from_secs(300);

/// What is known of one guest between its rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quiet {
    /// What it does while no backup is open.
    peace: Rate,
    /// The last round, when it had ended.
    ended: Option<Ended>,
}

/// A round that has ended, and what the guest is owed for it.
#[derive(Debug, Clone, Copy)]
struct Ended {
    at: Seen,
    /// What the guest did in it.
    during: Rate,
    took: Duration,
    share: f64,
    /// It is left alone until then.
    until: Instant,
    looked: Instant,
}

impl Quiet {
    /// Takes note of what the guest did while no backup was open.
    pub(super) fn saw(&mut self, done: Done, took: Duration) {
        if took >= SHORTEST {
            self.peace.saw(done, took);
        }
    }

    /// A round begins.
    pub(super) fn begins(&mut self, (done, now): Seen) {
        if let Some(Ended { at: (before, then), .. }) = self.ended.take() {
            self.saw(done.since(before), now - then);
        }
    }

    /// It has ended. The guest is to keep this share.
    pub(super) fn ends(&mut self, (before, began): Seen, at: Seen, share: f64) {
        let (done, now) = at;
        // One that was started anew in it counts from 0, and what it did is not known.
        if done.bytes < before.bytes {
            self.ended = None;
            return;
        }
        let (took, mut during) = (now - began, Rate::default());
        during.saw(done.since(before), took);
        let ended = Ended { at, during, took, share, until: now, looked: now };
        let until = now + ended.owed(self.peace);
        self.ended = Some(Ended { until, ..ended });
    }

    /// How much longer it is left alone.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.ended.map(|ended| ended.until.saturating_duration_since(now)).unwrap_or_default()
    }

    /// Whether it is to be looked at what the guest does now.
    pub(super) fn is_unsure(&self, now: Instant) -> bool {
        !self.left(now).is_zero() && self.ended.is_some_and(|ended| now - ended.looked >= LOOK)
    }

    /// It was looked at while it is left alone. What it does now is what the round took from it: it may have less to do than before.
    pub(super) fn looked(&mut self, (done, now): Seen) {
        let Some(ended) = &mut self.ended else { return };
        let ((before, then), mut peace) = (ended.at, Rate::default());
        peace.saw(done.since(before), now - then);
        ended.looked = now;
        let until = if peace.requests_per_second() < BUSY { now } else { then + ended.owed(peace) };
        ended.until = ended.until.min(until);
    }
}

impl Ended {
    /// For how long it has to be left alone that does so much in peace.
    fn owed(&self, peace: Rate) -> Duration {
        let longest = LONGEST.max(self.took);
        if self.during.requests_per_second().max(peace.requests_per_second()) < BUSY {
            return Duration::ZERO;
        }
        if !peace.is_known() {
            // Until it is known what it does in peace.
            return self.took.min(longest);
        }
        let (during, peace) = (self.during.bytes_per_second(), peace.bytes_per_second());
        let left = if peace > 0.0 { during / peace } else { 1.0 };
        // As in one backup, rounds are to have this part of the time at least.
        let most = 1.0 / LEAST - 1.0;
        self.took.mul_f64(((self.share - left) / (1.0 - self.share)).clamp(0.0, most)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn did(megabytes: u64) -> Done {
        Done { bytes: megabytes << 20, requests: megabytes * 16 }
    }

    /// So long after the beginning it had done so much.
    fn at(begin: Instant, seconds: u32, megabytes: u64) -> Seen {
        (did(megabytes), begin + SECOND * seconds)
    }

    /// What a guest is owed for a round of this length in which it did so much, when it does so much per second in peace.
    fn seconds_owed(peace: Option<u64>, megabytes: u64, took: u32) -> f64 {
        let (begin, mut quiet) = (Instant::now(), Quiet::default());
        if let Some(peace) = peace {
            quiet.saw(did(peace), SECOND);
        }
        quiet.ends(at(begin, 0, 0), at(begin, took, megabytes), 0.85);
        quiet.left(begin + SECOND * took).as_secs_f64()
    }

    #[test]
    fn what_a_round_took_from_it_is_made_good() {
        // 40 of 80 MB/s for 2 s, and 80 MB/s for as long as it is left alone: 85 % of the whole.
        let rest = seconds_owed(Some(80), 80, 2);
        let kept = (80.0 + 80.0 * rest) / (80.0 * (2.0 + rest));
        assert!((kept - 0.85).abs() < 0.001, "{rest} s leave it {kept}");
    }

    #[test]
    fn a_guest_that_keeps_its_share_or_does_nothing_is_owed_nothing() {
        assert!(seconds_owed(Some(80), 70 * 3, 3) < f64::EPSILON);
        assert!(seconds_owed(Some(80), 90 * 3, 3) < f64::EPSILON);
        assert!(seconds_owed(Some(0), 0, 3) < f64::EPSILON);
        assert!(seconds_owed(None, 0, 3) < f64::EPSILON);
    }

    #[test]
    fn a_guest_that_stood_still_does_not_hold_up_the_next_round_for_ever() {
        assert!(seconds_owed(Some(80), 0, 10) <= 90.0);
        assert!(seconds_owed(Some(80), 0, 3600) <= 3600.0);
        let rest = seconds_owed(None, 800, 10);
        assert!((rest - 10.0).abs() < 0.001, "as long as the round while nothing is known: {rest}");
    }

    #[test]
    fn what_it_does_between_rounds_is_what_it_does_in_peace() {
        let (begin, mut quiet) = (Instant::now(), Quiet::default());
        let at = |seconds, megabytes| at(begin, seconds, megabytes);
        quiet.begins(at(0, 0));
        quiet.ends(at(0, 0), at(1, 10), 0.85);
        assert_eq!(quiet.left(begin + SECOND), SECOND);
        // Ten times as much.
        quiet.begins(at(2, 110));
        assert_eq!(quiet.left(begin + SECOND * 2), Duration::ZERO);
        quiet.ends(at(2, 110), at(3, 120), 0.85);
        assert_eq!(quiet.left(begin + SECOND * 3).as_secs(), 5);
    }

    #[test]
    fn a_guest_that_has_ended_its_work_is_not_left_alone() {
        let (begin, mut quiet) = (Instant::now(), Quiet::default());
        let at = |seconds, megabytes| at(begin, seconds, megabytes);
        quiet.saw(did(80), SECOND);
        // It wrote for a tenth of the round.
        quiet.ends(at(0, 0), at(1000, 8000), 0.85);
        assert_eq!(quiet.left(begin + SECOND * 1000), SECOND * 1000);
        assert!(!quiet.is_unsure(begin + SECOND * 1001) && quiet.is_unsure(begin + SECOND * 1030));
        // It has less to do now …
        quiet.looked(at(1030, 8000 + 30 * 9));
        assert_eq!(quiet.left(begin + SECOND * 1030), Duration::ZERO);
        // … or nothing at all.
        quiet.ends(at(0, 0), at(1000, 8000), 0.85);
        quiet.looked(at(1030, 8000));
        assert_eq!(quiet.left(begin + SECOND * 1030), Duration::ZERO);
    }

    #[test]
    fn one_that_was_started_anew_in_the_round_is_owed_nothing() {
        let (begin, mut quiet) = (Instant::now(), Quiet::default());
        quiet.saw(did(80), SECOND);
        quiet.ends(at(begin, 0, 500), at(begin, 10, 20), 0.85);
        assert_eq!(quiet.left(begin + SECOND * 10), Duration::ZERO);
    }
}
