//! How fast may be sent: a limit that may change at any time, shared by all who send under it.
//!
//! The crates that limit rates (`governor`) fix the rate when a limiter is made and count in 32 bits; this one must change while
//! others wait in it, and counts bytes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was not sent is made up for within this time and no longer.
const MADE_UP: Duration = Duration::from_millis(100);

/// A limit of bytes per second; none at all lets everything pass.
#[derive(Debug)]
pub(super) struct Limiter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: Option<u64>,
    /// When all that was let pass so far will have been sent at the rate.
    sent_at: Option<Instant>,
}

impl Limiter {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { state: Mutex::new(State { rate, sent_at: None }) }
    }

    /// Changes the rate. It counts for what is let pass from now on.
    pub(super) fn set(&self, rate: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.rate != rate {
            *state = State { rate, sent_at: None };
        }
    }

    /// Lets so many bytes pass, and tells how long to wait before they are sent.
    pub(super) fn pass(&self, bytes: u64, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = state.rate else { return Duration::ZERO };
        let earliest = now.checked_sub(MADE_UP).unwrap_or(now);
        let begins = state.sent_at.map_or(now, |sent_at| sent_at.max(earliest));
        state.sent_at = Some(begins + Duration::from_nanos(nanoseconds(bytes, rate)));
        begins.saturating_duration_since(now)
    }
}

fn nanoseconds(bytes: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        let limiter = Limiter::new(None);
        assert_eq!(limiter.pass(u64::MAX, Instant::now()), Duration::ZERO);
    }

    #[test]
    fn a_changed_rate_counts_from_then_on() {
        let limiter = Limiter::new(Some(1000));
        let now = Instant::now();
        assert_eq!(limiter.pass(1000, now), Duration::ZERO);
        assert_eq!(limiter.pass(1000, now), Duration::from_secs(1));
        limiter.set(Some(2000));
        assert_eq!(limiter.pass(1000, now), Duration::ZERO);
        assert_eq!(limiter.pass(1000, now), Duration::from_millis(500));
    }

    proptest! {
        /// Whatever the pieces and pauses: over the whole time no more passes than the rate, one piece and what may be made up for.
        #[test]
        fn no_more_passes_than_the_rate(pieces in proptest::collection::vec((1..100_000_u64, 0..50_u64), 1..60)) {
            let (rate, begin) = (1_000_000, Instant::now());
            let limiter = Limiter::new(Some(rate));
            let (mut now, mut passed) = (begin, 0);
            for (bytes, pause) in pieces {
                now += Duration::from_millis(pause);
                now += limiter.pass(bytes, now);
                passed += bytes;
                let allowed = u128::from(rate) * ((now - begin) + MADE_UP).as_micros() / 1_000_000 + 100_000;
                prop_assert!(u128::from(passed) <= allowed + u128::from(bytes));
            }
        }
    }
}
