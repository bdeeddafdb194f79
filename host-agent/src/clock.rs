//! The system's clock: the only place of the agent that reads the present.

use drover_policies::time::{Clock, Instant, to_microseconds};

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Instant {
        to_microseconds(std::time::SystemTime::now().into())
    }
}
