//! The present and the ids of production: the only place of this crate that reads the clock or draws a random number.

use drover_policies::ids::IdSource;
use drover_policies::time::{Clock, Instant, to_microseconds};
use uuid::Uuid;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Instant {
        to_microseconds(chrono::Utc::now())
    }
}

/// Ids that nobody can guess and that sort by time.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws ids")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// What nobody can guess, for tokens.
#[must_use]
pub fn secret() -> [u8; 32] {
    rand::random()
}
