use chrono::NaiveDateTime;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Instant {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time in the test").and_utc()
}

fn slot(start: &str, end: &str) -> Slot {
    Slot { start: at(start), end: at(end) }
}

fn window(cron: &str, duration: Span, timezone: Tz) -> Recurrence {
    Recurrence::new(cron, duration, timezone).expect("a window in the test")
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day in the test")
}

fn freeze(from: &str, to: &str, timezone: Tz) -> Exclusion {
    Exclusion { from: day(from), to: day(to), timezone, name: "freeze".to_owned() }
}

#[test]
fn days_on_which_nothing_happens_are_local_days_of_whatever_length() {
    let berlin = |from, to| freeze(from, to, Tz::Europe__Berlin).slot();
    assert_eq!(berlin("2026-12-24", "2027-01-01"), slot("2026-12-23 23:00", "2027-01-01 23:00"));
    assert_eq!(berlin("2026-03-29", "2026-03-29").length(), Span::hours(23));
    assert_eq!(berlin("2026-10-25", "2026-10-25").length(), Span::hours(25));
    assert_eq!(
        freeze("2026-03-08", "2026-03-08", Tz::America__Havana).slot(),
        slot("2026-03-08 05:00", "2026-03-09 04:00"),
        "a day whose midnight was left out begins at one"
    );
    let left_out = freeze("2011-12-30", "2011-12-30", Tz::Pacific__Apia).slot();
    assert!(left_out.is_empty(), "a day that never was has no moment: {left_out:?}");
    assert_eq!(
        freeze("2011-12-29", "2011-12-31", Tz::Pacific__Apia).slot(),
        slot("2011-12-29 10:00", "2011-12-31 10:00")
    );
}

#[test]
fn days_that_end_before_they_begin_are_refused() {
    let text = r#"{"from": "2027-01-01", "to": "2026-12-24", "timezone": "UTC"}"#;
    let refused = serde_json::from_str::<Exclusion>(text).expect_err("refused").to_string();
    assert_eq!(
        refused,
        "the last day, 2026-12-24, is before the first, 2027-01-01; write the earlier one as `from`, and the same day twice for a \
         single day"
    );
}

#[test]
fn the_end_of_the_calendar_is_no_accident() {
    let forever =
        Exclusion { from: NaiveDate::MIN, to: NaiveDate::MAX, timezone: Tz::UTC, name: String::new() };
    assert!(forever.slot().contains(at("2026-01-01 00:00")));
    assert_eq!(Slot::from_start(Instant::MAX_UTC, Span::days(1)).length(), Span::ZERO);
}

#[test]
fn open_time_is_what_any_window_opens_less_the_freeze() {
    let range = slot("2026-12-21 00:00", "2026-12-28 00:00");
    let nights = window("0 22 * * *", Span::hours(4), Tz::UTC);
    let sundays = window("0 1 * * SUN", Span::hours(6), Tz::UTC);
    let agreed = slot("2026-12-22 12:00", "2026-12-22 13:00");
    let open =
        open_slots(&[nights, sundays], &[agreed], &[freeze("2026-12-24", "2026-12-26", Tz::UTC)], range);
    assert_eq!(
        open,
        [
            slot("2026-12-20 22:00", "2026-12-21 02:00"),
            slot("2026-12-21 22:00", "2026-12-22 02:00"),
            agreed,
            slot("2026-12-22 22:00", "2026-12-23 02:00"),
            slot("2026-12-23 22:00", "2026-12-24 00:00"),
            slot("2026-12-27 00:00", "2026-12-27 07:00"),
            slot("2026-12-27 22:00", "2026-12-28 00:00"),
        ],
        "with its own beginning before the range, cut at the range's end, two that overlap as one"
    );
}

#[test]
fn a_window_that_opens_every_minute_for_a_minute_is_always_open() {
    let range = slot("2026-12-21 10:00", "2026-12-21 11:00");
    let always = window("* * * * *", Span::minutes(1), Tz::UTC);
    assert_eq!(open_slots(&[always], &[], &[], range), [range]);
}

#[test]
fn an_appointment_begins_at_whole_steps_from_the_opening() {
    let open = [slot("2026-05-01 22:10", "2026-05-01 23:00"), slot("2026-05-03 22:10", "2026-05-04 02:00")];
    let wanted = |not_before, length| Wanted {
        not_before: at(not_before),
        length: Span::minutes(length),
        step: Span::minutes(15),
    };
    let fit = |not_before, length| first_fit(&open, wanted(not_before, length), |_| true);
    assert_eq!(fit("2026-05-01 12:00", 20), Some(slot("2026-05-01 22:10", "2026-05-01 22:30")));
    assert_eq!(fit("2026-05-01 22:10", 20), Some(slot("2026-05-01 22:10", "2026-05-01 22:30")));
    assert_eq!(fit("2026-05-01 22:11", 20), Some(slot("2026-05-01 22:25", "2026-05-01 22:45")));
    assert_eq!(fit("2026-05-01 22:30", 20), Some(slot("2026-05-01 22:40", "2026-05-01 23:00")), "just fits");
    assert_eq!(
        fit("2026-05-01 22:30", 21),
        Some(slot("2026-05-03 22:10", "2026-05-03 22:31")),
        "the next one"
    );
    assert_eq!(fit("2026-05-01 12:00", 240), None, "longer than any window");
    assert_eq!(fit("2026-05-04 02:00", 1), None);
}

#[test]
fn what_is_taken_is_passed_over() {
    let open = [slot("2026-05-01 22:00", "2026-05-01 23:00")];
    let taken = slot("2026-05-01 22:00", "2026-05-01 22:20");
    let wanted =
        Wanted { not_before: at("2026-05-01 00:00"), length: Span::minutes(20), step: Span::minutes(15) };
    let found = first_fit(&open, wanted, |candidate| !candidate.overlaps(taken));
    assert_eq!(found, Some(slot("2026-05-01 22:30", "2026-05-01 22:50")));
    assert_eq!(first_fit(&open, wanted, |_| false), None);
}

proptest! {
    #[test]
    fn a_fit_is_open_not_too_early_on_a_step_and_the_first(
        openings in prop::collection::vec((0..5_000_i64, 1..300_i64), 0..6), not_before in 0..6_000_i64,
        length in 1..200_u64, step in 1..90_u64, taken in prop::collection::vec((0..5_000_i64, 1..300_i64), 0..4),
    ) {
        let minute = |n: i64| at("2026-05-01 00:00") + TimeDelta::minutes(n);
        let slots = |pairs: Vec<(i64, i64)>| -> Slots {
            pairs.into_iter().map(|(start, length)| Slot { start: minute(start), end: minute(start + length) }).collect()
        };
        let (open, taken) = (slots(openings), slots(taken));
        let is_free = |slot: Slot| !taken.as_slice().iter().any(|other| other.overlaps(slot));
        let wanted = Wanted { not_before: minute(not_before), length: Span::minutes(length), step: Span::minutes(step) };
        // Every minute is tried, the long way.
        let expected = (0..5_400).map(|n| Slot::from_start(minute(n), wanted.length)).find(|candidate| {
            candidate.start >= wanted.not_before && is_free(*candidate) && open.as_slice().iter().any(|slot| {
                slot.start <= candidate.start && candidate.end <= slot.end
                    && (candidate.start - slot.start).num_minutes() % i64::try_from(step).expect("small") == 0
            })
        });
        prop_assert_eq!(first_fit(open.as_slice(), wanted, is_free), expected);
    }

    #[test]
    fn asking_a_little_later_gives_the_same_open_times(shift in 0..600_i64) {
        let until = at("2026-05-04 00:00");
        let nights = [window("0 22 * * *", Span::hours(4), Tz::Europe__Berlin)];
        let early = open_slots(&nights, &[], &[], Slot { start: at("2026-05-01 00:00"), end: until });
        let late = open_slots(&nights, &[], &[], Slot { start: at("2026-05-01 00:00") + TimeDelta::minutes(shift), end: until });
        prop_assert!(early.ends_with(&late));
    }
}
