//! How long a guest is left alone after a round, so that it keeps its share over the two together. Pure.
//!
//! While a backup is open QEMU sets aside what the guest overwrites for the first time, and that costs the guest something whether or not
//! we read. It can be made good only while no backup is open.

use std::time::{Duration, Instant};

use super::courtesy::{BUSY, Done, LEAST, Rate};
use super::gate::Seen;

/// What is looked at for a shorter time tells nothing.
const SHORTEST: Duration = Duration::from_millis(200);

/// What is known of one guest between its rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quiet {
    /// What it does while no backup is open.
    peace: Rate,
    /// When the last round had ended.
    ended: Option<Seen>,
    /// It is left alone until then.
    until: Option<Instant>,
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
        if let Some((before, then)) = self.ended.take() {
            self.saw(done.since(before), now - then);
        }
        self.until = None;
    }

    /// It has ended. The guest is to keep this share.
    pub(super) fn ends(&mut self, (before, began): Seen, (done, now): Seen, share: f64) {
        self.ended = Some((done, now));
        self.until = Some(now + self.owed(done.since(before), now - began, share));
    }

    /// How much longer it is left alone.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default()
    }

    /// For how long it has to be left alone that did so much in a round of this length.
    fn owed(&self, done: Done, took: Duration, share: f64) -> Duration {
        let mut during = Rate::default();
        during.saw(done, took);
        if during.requests_per_second().max(self.peace.requests_per_second()) < BUSY {
            return Duration::ZERO;
        }
        if !self.peace.is_known() {
            // Until it is known what it does in peace.
            return took;
        }
        let (during, peace) = (during.bytes_per_second(), self.peace.bytes_per_second());
        let left = if peace > 0.0 { during / peace } else { 1.0 };
        // As in one backup, rounds are to have this part of the time at least.
        let most = 1.0 / LEAST - 1.0;
        took.mul_f64(((share - left) / (1.0 - share)).clamp(0.0, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn did(megabytes: u64) -> Done {
        Done { bytes: megabytes << 20, requests: megabytes * 16 }
    }

    /// Known to do so many megabytes per second in peace.
    fn known(megabytes: u64) -> Quiet {
        let mut quiet = Quiet::default();
        quiet.saw(did(megabytes), SECOND);
        quiet
    }

    fn seconds_owed(quiet: &Quiet, megabytes: u64, took: u32) -> f64 {
        quiet.owed(did(megabytes), SECOND * took, 0.85).as_secs_f64()
    }

    #[test]
    fn what_a_round_took_from_it_is_made_good() {
        // 40 of 80 MB/s for 2 s, and 80 MB/s for as long as it is left alone: 85 % of the whole.
        let rest = seconds_owed(&known(80), 80, 2);
        let kept = (80.0 + 80.0 * rest) / (80.0 * (2.0 + rest));
        assert!((kept - 0.85).abs() < 0.001, "{rest} s leave it {kept}");
    }

    #[test]
    fn a_guest_that_keeps_its_share_or_does_nothing_is_owed_nothing() {
        assert!(seconds_owed(&known(80), 70 * 3, 3) < f64::EPSILON);
        assert!(seconds_owed(&known(80), 90 * 3, 3) < f64::EPSILON);
        assert!(seconds_owed(&known(0), 0, 3) < f64::EPSILON);
        assert!(seconds_owed(&Quiet::default(), 0, 3) < f64::EPSILON);
    }

    #[test]
    fn a_guest_that_stood_still_does_not_hold_up_the_next_round_for_ever() {
        assert!(seconds_owed(&known(80), 0, 10) <= 90.0);
        let rest = Quiet::default().owed(did(80), SECOND * 10, 0.99).as_secs_f64();
        assert!((rest - 10.0).abs() < 0.001, "as long as the round while nothing is known: {rest}");
    }

    #[test]
    fn what_it_does_between_rounds_is_what_it_does_in_peace() {
        let (begin, mut quiet) = (Instant::now(), Quiet::default());
        let at = |seconds: u32, megabytes: u64| (did(megabytes), begin + SECOND * seconds);
        quiet.begins(at(0, 0));
        quiet.ends(at(0, 0), at(1, 10), 0.85);
        assert_eq!(quiet.left(begin + SECOND), SECOND);
        // Ten times as much.
        quiet.begins(at(2, 110));
        assert_eq!(quiet.left(begin + SECOND * 2), Duration::ZERO);
        quiet.ends(at(2, 110), at(3, 120), 0.85);
        assert_eq!(quiet.left(begin + SECOND * 3).as_secs(), 5);
    }
}
