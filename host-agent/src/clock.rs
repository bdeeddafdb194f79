//! The system's clock and its random numbers: the only place of the agent that reads the present or draws an id.

use std::sync::LazyLock;
use std::time::Duration;

use drover_policies::ids::IdSource;
use drover_policies::time::{Clock, Instant, to_microseconds};
use uuid::Uuid;

/// A host's clock, and time that passes whatever is done to it.
pub trait HostClock: Clock {
    /// Since some moment that stays the same while this process lives. Never set, never goes back.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Instant {
        to_microseconds(std::time::SystemTime::now().into())
    }
}

static STARTED: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

impl HostClock for SystemClock {
    fn elapsed(&self) -> Duration {
        STARTED.elapsed()
    }
}

/// Ids that nobody has.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws ids")]
    fn next(&self) -> Uuid {
        Uuid::new_v4()
    }
}
