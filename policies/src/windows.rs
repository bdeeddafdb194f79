//! Times in which reboot migrations may happen.
//!
//! A window that comes again is written in cron's five fields, meant in a time zone. Where clocks are put forward or back, this holds:
//!
//! | the opening's local time | an expression with given hours | one that opens in every hour (`*`, `0-23`) |
//! |---|---|---|
//! | exists once | opens then | opens then |
//! | lies in a gap (clocks were put forward over it) | opens at the first moment after the gap | doesn't open: that hour did not happen |
//! | exists twice (clocks were put back over it) | opens once, the first time | opens both times |
//!
//! A day that a zone left out (Samoa's 30 December 2011) is a gap like any other. The duration is time that passes, not time that clocks
//! show: a window of three hours is open for three hours, also in the night that has 23 or 25. Several openings moved to the end of
//! the same gap are one.
//!
//! Of day of month and day of week one that fits is enough when both are restricted; when either begins with `*`, both must fit.

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

mod calendar;
mod cron;
mod recurrence;
mod slots;
mod together;
mod zone;

pub use calendar::{BadCalendar, LARGEST_CALENDAR, read_times};
pub use cron::BadCron;
pub use recurrence::{BadRecurrence, LONGEST_OPENING, TooShort};
pub use slots::Slots;
pub use together::{Gate, Seeker, Use, assign};
pub use zone::{BadTimezone, parse_timezone};

/// A stretch of time, its end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// First moment.
    pub start: Instant,
    /// First moment after it.
    pub end: Instant,
}

impl Slot {
    /// From a moment on, for a length of time; to the end of time where it would reach beyond.
    #[must_use]
    pub fn from_start(start: Instant, length: Span) -> Self {
        Self { start, end: start.checked_add_signed(length.delta()).unwrap_or(Instant::MAX_UTC) }
    }

    /// Whether it has no moment.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Span {
        Span::between(self.start, self.end)
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub fn contains(self, moment: Instant) -> bool {
        self.start <= moment && moment < self.end
    }

    /// Whether they have a moment in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }
}

/// A window that comes again: when it opens, and for how long. Checked when it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "recurrence::Unchecked")]
pub struct Recurrence {
    /// When it opens, in the standard five fields of cron: minute, hour, day of month, month, day of week (Sunday is 0 and 7).
    pub cron: String,
    /// How long it stays open.
    pub duration: Span,
    /// In which zone the expression is meant.
    pub timezone: Tz,
}

/// Days on which nothing happens. Checked when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedExclusion")]
pub struct Exclusion {
    /// The first day.
    pub from: NaiveDate,
    /// The last day, included.
    pub to: NaiveDate,
    /// Where those days begin and end.
    pub timezone: Tz,
    /// For people: `year-end freeze`.
    #[serde(default)]
    pub name: String,
}

/// As written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedExclusion {
    from: NaiveDate,
    to: NaiveDate,
    #[serde(deserialize_with = "zone::deserialize")]
    timezone: Tz,
    #[serde(default)]
    name: String,
}

impl TryFrom<UncheckedExclusion> for Exclusion {
    type Error = BackwardExclusion;

    fn try_from(written: UncheckedExclusion) -> Result<Self, Self::Error> {
        let UncheckedExclusion { from, to, timezone, name } = written;
        let exclusion = Self { from, to, timezone, name };
        exclusion.check()?;
        Ok(exclusion)
    }
}

/// Days that end before they begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the last day, {to}, is before the first, {from}; write the earlier one as `from`, and the same day twice for a single day"
)]
pub struct BackwardExclusion {
    /// The first day, as written.
    pub from: NaiveDate,
    /// The last.
    pub to: NaiveDate,
}

impl Exclusion {
    /// Whether it makes sense. Whatever is read from a file, a request or the store has passed this.
    ///
    /// # Errors
    /// Refuses days that end before they begin.
    pub fn check(&self) -> Result<(), BackwardExclusion> {
        if self.to < self.from {
            return Err(BackwardExclusion { from: self.from, to: self.to });
        }
        Ok(())
    }

    /// From the first moment of the first day to the first moment after the last, wherever the zone's clocks were put in between.
    /// Days at the end of the calendar last until the end of time.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let begins = |day: NaiveDate| zone::day_begins(day, self.timezone);
        Slot {
            start: begins(self.from).unwrap_or(Instant::MIN_UTC),
            end: self.to.succ_opt().and_then(begins).unwrap_or(Instant::MAX_UTC),
        }
    }
}

/// The times open in `range`: all that `recurrences` and `once` open, less the exclusions.
///
/// Nothing begins at or after the range's end, and nothing reaches beyond it. A time that was open already when the range begins
/// keeps its own beginning: appointments are counted from there, and must not shift with the moment at which somebody asks. Whoever
/// needs the part within the range cuts it with [`Slots::intersect`].
#[must_use]
pub fn open_slots(
    recurrences: &[Recurrence],
    once: &[Slot],
    exclusions: &[Exclusion],
    range: Slot,
) -> Vec<Slot> {
    let coming_again = recurrences.iter().flat_map(|window| window.occurrences(range.start, range.end));
    let closed: Slots = exclusions.iter().map(Exclusion::slot).collect();
    let open: Slots = coming_again
        .chain(once.iter().copied())
        .map(|slot| Slot { end: slot.end.min(range.end), ..slot })
        .collect();
    let mut open = open.subtract(&closed).into_vec();
    open.retain(|slot| slot.overlaps(range));
    open
}

/// What an appointment needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// It begins no earlier.
    pub not_before: Instant,
    /// How long it takes.
    pub length: Span,
    /// It begins at a whole multiple of this from the opening. Nothing, or less than a second, counts as a second.
    pub step: Span,
}

impl Wanted {
    /// Every appointment that fits into the open times, in order. Lazy: a long window with a short step has very many.
    pub fn fits(self, open: &[Slot]) -> impl Iterator<Item = Slot> + '_ {
        let step = self.step.delta().max(TimeDelta::seconds(1));
        open.iter().flat_map(move |slot| {
            let first = first_start(*slot, self.not_before, step);
            std::iter::successors(first, move |start| start.checked_add_signed(step))
                .map(move |start| Slot::from_start(start, self.length))
                .take_while(|candidate| candidate.end <= slot.end && candidate.start < slot.end)
        })
    }
}

/// The first appointment that fits into the open times and is free.
///
/// It begins at a whole multiple of the step from the opening of its time, and not before [`Wanted::not_before`].
pub fn first_fit(open: &[Slot], wanted: Wanted, is_free: impl Fn(Slot) -> bool) -> Option<Slot> {
    wanted.fits(open).find(|candidate| is_free(*candidate))
}

/// The slot's start, or the first whole step from it that isn't before `not_before`.
fn first_start(slot: Slot, not_before: Instant, step: TimeDelta) -> Option<Instant> {
    if not_before <= slot.start {
        return Some(slot.start);
    }
    let late = (not_before - slot.start).to_std().ok()?;
    let steps = late.as_nanos().div_ceil(step.to_std().ok()?.as_nanos());
    step.checked_mul(i32::try_from(steps).ok()?).and_then(|wait| slot.start.checked_add_signed(wait))
}

#[cfg(test)]
mod tests;
