//! When a window that comes again is open.

use serde::Deserialize;

use chrono::{DateTime, Days, TimeDelta};
use chrono_tz::Tz;

use super::cron::{BadCron, Cron};
use super::zone::{Shown, local_day};
use super::{Recurrence, Slot};
use crate::time::{Instant, Span};

/// The longest that a window may stay open at a time.
pub const LONGEST_OPENING: Span = Span::days(28);

/// Why a window was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecurrence {
    /// The expression.
    #[error(transparent)]
    Cron(#[from] BadCron),
    /// No time at all.
    #[error("duration 0s: the window would close as it opens; write how long it stays open, such as 2h")]
    NoDuration,
    /// Too long.
    #[error(
        "duration {given}: a window stays open for at most {LONGEST_OPENING}; for one that is always open write cron \"0 0 * * *\" and duration 25h"
    )]
    TooLong {
        /// What was asked for.
        given: Span,
    },
}

/// A window too short for what is to be done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the window is open for {open}, and the server is expected to be down for {needed}; make it at least {needed} long"
)]
pub struct TooShort {
    /// How long it stays open.
    pub open: Span,
    /// How long the server is expected to be down.
    pub needed: Span,
}

/// As written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unchecked {
    cron: String,
    duration: Span,
    #[serde(deserialize_with = "super::zone::deserialize")]
    timezone: Tz,
}

impl TryFrom<Unchecked> for Recurrence {
    type Error = BadRecurrence;

    fn try_from(written: Unchecked) -> Result<Self, Self::Error> {
        Self::new(written.cron, written.duration, written.timezone)
    }
}

impl Recurrence {
    /// A window, checked as by [`check`](Self::check).
    ///
    /// # Errors
    /// What makes it unusable, with what would be right.
    pub fn new(cron: impl Into<String>, duration: Span, timezone: Tz) -> Result<Self, BadRecurrence> {
        let recurrence = Self { cron: cron.into(), duration, timezone };
        recurrence.check()?;
        Ok(recurrence)
    }

    /// Whether it makes sense. Whatever is read from a file, a request or the store has passed this.
    ///
    /// # Errors
    /// Refuses an expression that isn't five fields of cron or never occurs, and a duration of nothing or of more than
    /// [`LONGEST_OPENING`].
    pub fn check(&self) -> Result<(), BadRecurrence> {
        Cron::parse(&self.cron)?;
        if self.duration == Span::ZERO {
            return Err(BadRecurrence::NoDuration);
        }
        if self.duration > LONGEST_OPENING {
            return Err(BadRecurrence::TooLong { given: self.duration });
        }
        Ok(())
    }

    /// Whether each opening, by itself, is long enough for a downtime of `length`.
    ///
    /// # Errors
    /// Both figures, when it isn't.
    pub fn check_holds(&self, length: Span) -> Result<(), TooShort> {
        if self.duration < length { Err(TooShort { open: self.duration, needed: length }) } else { Ok(()) }
    }

    /// Every opening that has a moment in common with `from` to `until` (the latter not included), whole and in order: one that
    /// began before `from` and is still open then is told with its own beginning. Openings that overlap are told separately.
    ///
    /// A value put together by hand without [`check`](Self::check) whose expression is wrong never opens.
    #[must_use]
    pub fn occurrences(&self, from: Instant, until: Instant) -> Vec<Slot> {
        let Ok(cron) = Cron::parse(&self.cron) else { return Vec::new() };
        let duration = self.duration.delta();
        let earliest = from.checked_sub_signed(duration).unwrap_or(DateTime::UNIX_EPOCH);
        // Two days: an opening of a day that the zone left out is moved to the day after. One: an hour that comes twice around
        // midnight comes for the second time after the next day has begun.
        let first = local_day(earliest, self.timezone) - Days::new(2);
        let last = local_day(until, self.timezone) + Days::new(1);
        let mut slots: Vec<Slot> = first
            .iter_days()
            .take_while(|day| *day <= last)
            .filter(|day| cron.fits_day(*day))
            .flat_map(|day| cron.times().filter_map(move |(hour, minute)| day.and_hms_opt(hour, minute, 0)))
            .filter_map(|local| Shown::of(local, self.timezone))
            .flat_map(|shown| openings(shown, cron.hourly))
            .filter_map(|start| slot_of(start, duration))
            .filter(|slot| slot.start < until && slot.end > from)
            .collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// The table in [`super`].
fn openings(shown: Shown, hourly: bool) -> impl Iterator<Item = Instant> {
    let (first, second) = match (shown, hourly) {
        (Shown::Once(moment), true | false) => (Some(moment), None),
        (Shown::Twice(first, second), true) => (Some(first), Some(second)),
        (Shown::Twice(first, _), false) => (Some(first), None),
        (Shown::Never(_), true) => (None, None),
        (Shown::Never(after), false) => (Some(after), None),
    };
    first.into_iter().chain(second)
}

fn slot_of(start: Instant, duration: TimeDelta) -> Option<Slot> {
    Some(Slot { start, end: start.checked_add_signed(duration)? })
}

#[cfg(test)]
mod tests;
