//! How much one guest may ask: a guest that asks without end slows nobody down but itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drover_policies::ids::ServerId;

/// Connections of one guest at a time.
const MOST_OF_ONE: u32 = 4;
/// Connections of all guests at a time.
const MOST: u32 = 256;
/// Requests of one guest in a burst.
const BURST: u32 = 20;
/// After a burst, one request of a guest each so often.
const EVERY: Duration = Duration::from_millis(500);
/// When so many are remembered, those who have long been quiet are forgotten.
const MOST_REMEMBERED: usize = 1024;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A guest that is known.
    Guest(ServerId),
    /// All others together: one of them can make up as many addresses as it likes.
    Strangers,
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Limits {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    open: u32,
    askers: HashMap<Asker, Account>,
}

#[derive(Debug)]
struct Account {
    open: u32,
    /// When the burst would be whole again if nothing more came.
    whole_at: Instant,
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub struct Open {
    limits: Arc<Limits>,
    asker: Asker,
}

/// Whether there is room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// There is.
    Within,
    /// There is not.
    Exceeded,
}

impl Limits {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; nothing when there are too many.
    #[must_use]
    pub fn open(self: &Arc<Self>, asker: Asker, now: Instant) -> Option<Open> {
        let mut counted = self.lock();
        if counted.askers.len() >= MOST_REMEMBERED {
            counted.askers.retain(|_, account| account.open > 0 || account.whole_at > now);
        }
        if counted.open >= MOST {
            return None;
        }
        let account = counted.askers.entry(asker).or_insert(Account { open: 0, whole_at: now });
        if account.open >= MOST_OF_ONE {
            return None;
        }
        account.open += 1;
        counted.open += 1;
        Some(Open { limits: Arc::clone(self), asker })
    }
}

impl Open {
    /// Counts a request.
    #[must_use]
    pub fn request(&self, now: Instant) -> Rate {
        let mut counted = self.limits.lock();
        let Some(account) = counted.askers.get_mut(&self.asker) else { return Rate::Exceeded };
        let whole_at = account.whole_at.max(now) + EVERY;
        if whole_at > now + EVERY * BURST {
            return Rate::Exceeded;
        }
        account.whole_at = whole_at;
        Rate::Within
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counted = self.limits.lock();
        counted.open = counted.open.saturating_sub(1);
        if let Some(account) = counted.askers.get_mut(&self.asker) {
            account.open = account.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn guest(n: u128) -> Asker {
        Asker::Guest(ServerId(Uuid::from_u128(n)))
    }

    #[test]
    fn a_guest_has_so_many_connections_and_takes_none_from_another() {
        let (limits, now) = (Arc::new(Limits::default()), Instant::now());
        let one: Vec<Open> = (0..9).filter_map(|_| limits.open(guest(3), now)).collect();
        assert_eq!(one.len(), 4);
        assert!(limits.open(guest(3), now).is_none());
        assert!(limits.open(guest(4), now).is_some());
        assert!(limits.open(Asker::Strangers, now).is_some());
        drop(one);
        assert!(limits.open(guest(3), now).is_some());
    }

    #[test]
    fn after_a_burst_a_guest_waits_half_a_second_for_each_request_whatever_connection_it_uses() {
        let (limits, now) = (Arc::new(Limits::default()), Instant::now());
        for _ in 0..BURST {
            assert_eq!(limits.open(guest(3), now).expect("open").request(now), Rate::Within);
        }
        let open = limits.open(guest(3), now).expect("open");
        assert_eq!(open.request(now), Rate::Exceeded);
        assert_eq!(open.request(now + EVERY), Rate::Within);
        assert_eq!(open.request(now + EVERY), Rate::Exceeded);
        assert_eq!(open.request(now + EVERY * 60), Rate::Within);
    }

    #[test]
    fn all_guests_together_have_a_bound_and_who_is_quiet_is_forgotten() {
        let (limits, now) = (Arc::new(Limits::default()), Instant::now());
        let all: Vec<Open> = (0..1000).filter_map(|n| limits.open(guest(n), now)).collect();
        assert_eq!(all.len(), 256);
        drop(all);
        for n in 0..5000 {
            drop(limits.open(guest(n), now));
        }
        assert!(limits.lock().askers.len() <= MOST_REMEMBERED);
    }
}
