//! The calendar on which an owner chooses another time: day by day what is free, what his windows allow, and what is frozen.

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use drover_pages::portal::times::{Day, Frozen};
use drover_policies::owners;
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

/// How many free times are looked at at the most: every quarter of an hour of all days that are shown.
pub(super) const LOOKED_AT: usize = DAYS * 96;

/// About how many of them are offered: more is no choice but a search.
const OFFERED: usize = 240;

/// How many days are shown at the most.
const DAYS: usize = 62;

/// What windows and freezes say of a stretch of time, for a reader in a zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed<'a> {
    /// When windows are open, less what is frozen.
    pub open: &'a [Slot],
    /// What is frozen.
    pub frozen: &'a [owners::Frozen<'a>],
    /// In which zone its days begin.
    pub zone: Tz,
}

fn day_of(at: Instant, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// Of many times those on round hours, as few as it takes; the one that holds now stays. So each day has some, however far away it is.
pub(super) fn thinned(free: &[Slot], chosen: Option<Slot>, zone: Tz) -> Vec<Slot> {
    let every = |minutes: u32| {
        let stays = move |slot: &&Slot| {
            let local = slot.start.with_timezone(&zone);
            (local.hour() * 60 + local.minute()).is_multiple_of(minutes)
                || chosen.is_some_and(|chosen| chosen.start == slot.start)
        };
        free.iter().filter(stays).copied().collect::<Vec<Slot>>()
    };
    if free.len() <= OFFERED {
        return free.to_vec();
    }
    let rounder = [30, 60, 120, 180, 360].into_iter().map(every);
    let few = rounder.into_iter().find(|times| times.len() <= OFFERED && !times.is_empty());
    few.unwrap_or_else(|| free[..OFFERED].to_vec())
}

/// A day from its midnight to the next, as they are in a zone.
fn whole(day: NaiveDate, zone: Tz) -> Slot {
    let begins = |day: NaiveDate| {
        // Where the clocks go forward at midnight, the day begins when they have.
        let from_midnight = |hours| day.and_time(NaiveTime::MIN) + TimeDelta::hours(hours);
        let begin = (0..=2).find_map(|hours| from_midnight(hours).and_local_timezone(zone).earliest());
        begin.map(|begin| begin.to_utc())
    };
    let start = begins(day).unwrap_or_default();
    let next = day.checked_add_days(Days::new(1)).and_then(begins);
    Slot { start, end: next.unwrap_or(start + TimeDelta::days(1)) }
}

/// The part of a stretch of time that lies in another.
fn part(slot: Slot, of: Slot) -> Option<Slot> {
    let part = Slot { start: slot.start.max(of.start), end: slot.end.min(of.end) };
    (!part.is_empty()).then_some(part)
}

/// Every day until the end of a range, with what is free on it, when windows are open, and what is frozen. What goes on over midnight stands on
/// both days.
pub(super) fn days(free: &[Slot], allowed: &Allowed<'_>, range: Slot) -> Vec<Day> {
    let Allowed { open, frozen, zone } = *allowed;
    let last = day_of(range.end, zone);
    let days = day_of(range.start, zone).iter_days().take_while(|day| *day <= last).take(DAYS);
    days.map(|day| {
        let whole = whole(day, zone);
        let frozen = frozen.iter().filter_map(|freeze| {
            let hours = part(freeze.slot, whole)?;
            Some(Frozen { name: freeze.name.to_owned(), hours: (hours != whole).then_some(hours) })
        });
        Day {
            at: whole.start,
            frozen: frozen.collect(),
            windows: open.iter().filter_map(|slot| part(*slot, whole)).collect(),
            free: free.iter().filter(|slot| whole.contains(slot.start)).copied().collect(),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use drover_policies::owners::Nearness;

    use super::*;

    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    fn at(text: &str) -> Instant {
        text.parse().expect("a moment")
    }

    fn slot(start: &str, end: &str) -> Slot {
        Slot { start: at(start), end: at(end) }
    }

    const NOTHING: Allowed<'_> = Allowed { open: &[], frozen: &[], zone: BERLIN };

    #[test]
    fn of_many_free_times_round_ones_are_offered_on_every_day() {
        let start = "2026-03-27T23:00:00Z".parse::<Instant>().expect("a moment");
        let slot = |quarter: i64| {
            let start = start + chrono::TimeDelta::minutes(15 * quarter);
            Slot { start, end: start + chrono::TimeDelta::minutes(30) }
        };
        let free: Vec<Slot> = (0..14 * 96).map(slot).collect();
        let offered = thinned(&free, Some(slot(5)), BERLIN);
        assert!(offered.len() <= OFFERED && offered.contains(&slot(5)), "{}", offered.len());
        let range = Slot { start, end: start + chrono::TimeDelta::days(13) };
        let days = days(&offered, &NOTHING, range);
        assert!(days.iter().all(|day| day.free.len() >= 11), "the clocks go forward on one of them");
        assert_eq!(thinned(&free[..OFFERED], None, chrono_tz::UTC), free[..OFFERED], "few are all offered");
    }

    #[test]
    fn a_free_time_stands_on_the_day_that_its_reader_calls_so() {
        let slot = |start: &str| slot(start, start);
        let range = Slot { start: at("2026-03-28T12:00:00Z"), end: at("2026-03-30T22:30:00Z") };
        let free = [slot("2026-03-28T22:59:00Z"), slot("2026-03-28T23:00:00Z"), slot("2026-03-29T22:00:00Z")];
        let days = days(&free, &NOTHING, range);
        let counts: Vec<usize> = days.iter().map(|day| day.free.len()).collect();
        assert_eq!(
            counts,
            [1, 1, 1, 0],
            "the deadline is on the 31st in Berlin, and the clocks go forward on the 29th"
        );
    }
    #[test]
    fn what_goes_on_over_midnight_stands_on_both_days_and_a_freeze_says_which_hours_it_takes() {
        let open = [slot("2026-03-27T21:00:00Z", "2026-03-28T01:00:00Z")];
        let frozen = |name, slot| owners::Frozen { name, from: Nearness::Account, slot };
        let frozen = [
            // From midnight to midnight in Berlin: the 29th has 23 hours.
            frozen("Sale", slot("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")),
            frozen("Launch", slot("2026-03-28T16:00:00Z", "2026-03-28T18:00:00Z")),
        ];
        let allowed = Allowed { open: &open, frozen: &frozen, zone: BERLIN };
        let days = days(&[], &allowed, slot("2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z"));
        let windows: Vec<&[Slot]> = days.iter().map(|day| day.windows.as_slice()).collect();
        assert_eq!(
            windows,
            [
                &[slot("2026-03-27T21:00:00Z", "2026-03-27T23:00:00Z")][..],
                &[slot("2026-03-27T23:00:00Z", "2026-03-28T01:00:00Z")],
                &[],
                &[]
            ]
        );
        let said = |day: &Day| day.frozen.iter().map(|one| (one.name.clone(), one.hours)).collect::<Vec<_>>();
        assert_eq!(said(&days[1]), [("Launch".to_owned(), Some(frozen[1].slot))]);
        assert_eq!(said(&days[2]), [("Sale".to_owned(), None)], "all of the day");
        assert!(days[0].frozen.is_empty() && days[3].frozen.is_empty());
    }

    #[test]
    fn a_day_that_begins_at_one_begins_at_one() {
        // In Beirut the clocks go forward at midnight.
        let day = NaiveDate::from_ymd_opt(2026, 3, 29).expect("a day");
        assert_eq!(whole(day, chrono_tz::Asia::Beirut), slot("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"));
    }
}
