//! Time and ids of the world: both only ever do what the runner says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use drover_host_agent::clock::HostClock;
use drover_policies::ids::IdSource;
use drover_policies::time::{Clock, Instant};
use uuid::Uuid;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The world's own time, in which its machines really run.
#[derive(Debug)]
pub struct WorldTime(Mutex<Instant>);

impl WorldTime {
    /// Begins at a moment.
    #[must_use]
    pub fn new(start: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(start)))
    }

    /// Lets time pass up to a moment; never backwards.
    pub fn advance_to(&self, to: Instant) {
        let mut now = lock(&self.0);
        *now = (*now).max(to);
    }
}

impl Clock for WorldTime {
    fn now(&self) -> Instant {
        *lock(&self.0)
    }
}

/// A machine's clock: the world's time, and by how much this clock is wrong.
#[derive(Debug)]
pub struct MachineClock {
    time: Arc<WorldTime>,
    wrong_by: Mutex<TimeDelta>,
}

impl MachineClock {
    /// A clock that is right.
    #[must_use]
    pub fn new(time: &Arc<WorldTime>) -> Arc<Self> {
        Arc::new(Self { time: Arc::clone(time), wrong_by: Mutex::new(TimeDelta::zero()) })
    }

    /// Somebody sets it forward, or back.
    pub fn jump(&self, by: TimeDelta) {
        *lock(&self.wrong_by) += by;
    }

    /// What the world's time is when this clock shows a moment.
    #[must_use]
    pub fn in_world(&self, shown: Instant) -> Instant {
        shown - *lock(&self.wrong_by)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        self.time.now() + *lock(&self.wrong_by)
    }
}

impl HostClock for MachineClock {
    fn elapsed(&self) -> Duration {
        (self.time.now() - Instant::UNIX_EPOCH).to_std().unwrap_or_default()
    }
}

/// Ids that count, so that a log is the same on every run.
#[derive(Debug, Default)]
pub struct CountingIds(Mutex<u128>);

/// Servers have the numbers below.
const FIRST_ID: u128 = 1 << 64;

impl IdSource for CountingIds {
    fn next(&self) -> Uuid {
        let mut drawn = lock(&self.0);
        *drawn += 1;
        Uuid::from_u128(FIRST_ID + *drawn)
    }
}
