use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{Datelike, NaiveDateTime, Timelike, Utc};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Instant {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time in the test").and_utc()
}

fn window(cron: &str, minutes: u64, zone: &str) -> Recurrence {
    Recurrence::new(cron, Span::minutes(minutes), zone.parse().expect("a zone in the test"))
        .expect("a window in the test")
}

fn starts(zone: &str, cron: &str, from: &str, until: &str) -> Vec<Instant> {
    window(cron, 1, zone).occurrences(at(from), at(until)).into_iter().map(|slot| slot.start).collect()
}

/// The table of the documentation: zone, expression, from, until, and when it opens; all but the expression in UTC, worked out by hand from
/// the zones' rules.
fn daylight_saving() -> Vec<(String, String, Instant, Instant, Vec<Instant>)> {
    let document = include_str!("../../../../docs/windows.md");
    let table = document.split_once("| zone | expression | from | until | opens |\n").expect("the table").1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [zone, cron, from, until, opens] = cells[..] else { panic!("five cells: {row}") };
        let opens = opens.split("<br>").map(at).collect();
        (zone.to_owned(), cron.trim_matches('`').to_owned(), at(from), at(until), opens)
    })
    .collect()
}

#[test]
fn where_clocks_are_changed_windows_open_as_the_documentation_says() {
    let table = daylight_saving();
    assert!(table.len() > 20, "the table is there");
    for (zone, cron, from, until, expected) in table {
        let slots = window(&cron, 1, &zone).occurrences(from, until);
        let starts: Vec<Instant> = slots.into_iter().map(|slot| slot.start).collect();
        assert_eq!(starts, expected, "{cron} in {zone}, {from} to {until}");
    }
}

#[test]
fn a_window_lasts_as_long_as_it_says_in_a_night_of_23_hours_and_in_one_of_25() {
    for (from, opened) in [("2026-03-29 00:00", "2026-03-29 00:00"), ("2026-10-25 00:00", "2026-10-24 23:00")]
    {
        let slots =
            window("0 1 * * *", 180, "Europe/Berlin").occurrences(at(from), at(from) + TimeDelta::hours(1));
        assert_eq!(slots, [Slot { start: at(opened), end: at(opened) + TimeDelta::hours(3) }]);
    }
}

#[test]
fn a_window_that_is_open_already_is_told_with_its_own_beginning() {
    let slots = window("0 22 * * *", 240, "UTC").occurrences(at("2026-05-02 01:00"), at("2026-05-02 01:30"));
    assert_eq!(slots, [Slot { start: at("2026-05-01 22:00"), end: at("2026-05-02 02:00") }]);
    let closed = window("0 22 * * *", 240, "UTC").occurrences(at("2026-05-02 02:00"), at("2026-05-02 22:00"));
    assert_eq!(closed, [], "its end is not part of it, nor is that of what is asked for");
}

#[test]
fn either_of_two_restricted_day_fields_is_enough() {
    assert_eq!(
        starts("UTC", "0 2 13 * FRI", "2026-02-01 00:00", "2026-02-28 00:00"),
        ["2026-02-06 02:00", "2026-02-13 02:00", "2026-02-20 02:00", "2026-02-27 02:00"].map(at),
    );
    assert_eq!(
        starts("UTC", "0 2 14 * FRI", "2026-02-12 00:00", "2026-02-19 00:00"),
        ["2026-02-13 02:00", "2026-02-14 02:00"].map(at)
    );
    assert_eq!(
        starts("UTC", "0 2 */2 * FRI", "2026-02-01 00:00", "2026-02-28 00:00"),
        ["2026-02-13 02:00", "2026-02-27 02:00"].map(at),
        "a field that begins with * is no restriction of its own: odd Fridays"
    );
}

#[test]
fn sunday_is_0_and_7_and_a_name() {
    let sunday = starts("UTC", "0 2 * * 0", "2026-02-01 00:00", "2026-03-01 00:00");
    assert_eq!(sunday[0], at("2026-02-01 02:00"));
    for same in ["0 2 * * 7", "0 2 * * SUN", "0 2 * * sun", "0 2 * FEB 0,7", "0 2 * * 7-7"] {
        assert_eq!(starts("UTC", same, "2026-02-01 00:00", "2026-03-01 00:00"), sunday, "{same}");
    }
    let weekend = starts("UTC", "0 2 * * 6,0", "2026-02-01 00:00", "2026-03-01 00:00");
    for same in ["0 2 * * SAT-SUN", "0 2 * * 6-7", "0 2 * * SAT,SUN", "0 2 * * 6-0"] {
        assert_eq!(starts("UTC", same, "2026-02-01 00:00", "2026-03-01 00:00"), weekend, "{same}");
    }
}

#[test]
fn a_refused_expression_is_told_which_field_is_wrong_and_what_would_be_right() {
    for (given, answer) in [
        ("60 2 * * *", "minute \"60\": out of range, which is 0 to 59; write for example 0, */15 or 0,30"),
        ("0 24 * * *", "hour \"24\": out of range, which is 0 to 23; write for example 2, 22-23 or *"),
        ("0 22-4 * * *", "hour \"22-4\": the range begins after its end; write 22-23,0-4"),
        ("0 2 0 * *", "day of month \"0\": out of range, which is 1 to 31; write for example 1, 1-7 or *"),
        (
            "0 2 * JUNE *",
            "month \"JUNE\": no number from 1 to 12 and no name from JAN to DEC; write for example 1, JAN or *",
        ),
        ("0 2 * NOV-FEB *", "month \"NOV-FEB\": the range begins after its end; write 11-12,1-2"),
        ("0 2 * * FRI-MON", "day of week \"FRI-MON\": the range begins after its end; write 5-6,0-1"),
        (
            "0 2 * * 5L",
            "day of week \"5L\": no number from 0 to 7 and no name from SUN to SAT; write for example 1-5, SAT,SUN or *",
        ),
        ("0 2 ? * 1", "day of month \"?\": no number from 1 to 31; write for example 1, 1-7 or *"),
        (
            "*/0 2 * * *",
            "minute \"*/0\": \"0\" is no step in this field; a step is a whole number from 1 to 59",
        ),
        (
            "*/90 2 * * *",
            "minute \"*/90\": \"90\" is no step in this field; a step is a whole number from 1 to 59",
        ),
        ("5/15 2 * * *", "minute \"5/15\": a step needs a range to step through; write 5-59/15"),
        ("0 2,, * * *", "hour \"\": no number from 0 to 23; write for example 2, 22-23 or *"),
        ("0 -2 * * *", "hour \"\": no number from 0 to 23; write for example 2, 22-23 or *"),
        (
            "0 0 2 * * SUN",
            "a cron expression has five fields (minute, hour, day of month, month, day of week), and \"0 0 2 * * SUN\" has 6: \
             leave the seconds out and write \"0 2 * * SUN\"",
        ),
        (
            "0 0 2 * * SUN 2027",
            "a cron expression has five fields (minute, hour, day of month, month, day of week), and \"0 0 2 * * SUN 2027\" has 7: \
             leave the seconds and the year out and write \"0 2 * * SUN\"",
        ),
        (
            "@daily",
            "a cron expression has five fields (minute, hour, day of month, month, day of week), and \"@daily\" has 1: write \"0 0 * * *\"",
        ),
        (
            "0 2 30 2 *",
            "\"0 2 30 2 *\" never occurs: no month that it names has such a day; name a day of month that exists, such as 28, or more months",
        ),
    ] {
        let refused = Recurrence::new(given, Span::hours(1), Tz::UTC).expect_err(given);
        assert_eq!(refused.to_string(), answer);
    }
}

#[test]
fn rare_days_are_no_days_that_never_occur() {
    for rare in ["0 2 29 2 *", "0 2 31 * *", "0 2 29 FEB */6", "0 2 30 2 MON"] {
        assert_eq!(Recurrence::new(rare, Span::hours(1), Tz::UTC).err(), None, "{rare}");
    }
}

#[test]
fn a_window_of_no_length_or_of_months_is_refused() {
    let refused = |length| Recurrence::new("0 2 * * *", length, Tz::UTC).expect_err("refused").to_string();
    assert_eq!(
        refused(Span::ZERO),
        "duration 0s: the window would close as it opens; write how long it stays open, such as 2h"
    );
    assert!(refused(Span::days(40)).contains("at most 28days"), "{}", refused(Span::days(40)));
}

#[test]
fn a_window_shorter_than_the_downtime_is_refused_with_both_figures() {
    let window = window("0 2 * * *", 30, "UTC");
    assert_eq!(window.check_holds(Span::minutes(30)), Ok(()));
    assert_eq!(
        window.check_holds(Span::minutes(45)).expect_err("too short").to_string(),
        "the window is open for 30m, and the server is expected to be down for 45m; make it at least 45m long"
    );
}

#[test]
fn what_is_read_is_checked() {
    let read = |cron: &str, zone: &str| {
        let text = format!(r#"{{"cron": "{cron}", "duration": "1h", "timezone": "{zone}"}}"#);
        serde_json::from_str::<Recurrence>(&text).map_err(|error| error.to_string())
    };
    let good = read("0 2 * * SUN", "Europe/Berlin").expect("a window");
    assert_eq!(
        serde_json::from_str::<Recurrence>(&serde_json::to_string(&good).expect("text")).expect("a window"),
        good
    );
    assert!(read("0 2 * * MOON", "Europe/Berlin").expect_err("refused").contains("day of week \"MOON\""));
    assert!(read("0 2 * * SUN", "Europe/Berln").expect_err("refused").contains("write \"Europe/Berlin\""));
}

#[test]
fn one_put_together_by_hand_and_wrong_never_opens() {
    let wrong = Recurrence { cron: "every day".to_owned(), duration: Span::hours(1), timezone: Tz::UTC };
    assert_eq!(wrong.occurrences(at("2026-01-01 00:00"), at("2027-01-01 00:00")), []);
}

/// A field as text and as the numbers it means.
fn any_field(least: u32, most: u32) -> impl Strategy<Value = (String, BTreeSet<u32>)> {
    let part = prop_oneof![
        (least..=most).prop_map(|n| (n.to_string(), BTreeSet::from([n]))),
        (least..=most, least..=most, 1..8_u32).prop_map(move |(a, b, step)| {
            let (a, b) = (a.min(b), a.max(b));
            let step = step.min(most - least);
            (format!("{a}-{b}/{step}"), (a..=b).step_by(step as usize).collect())
        }),
    ];
    let list = prop::collection::vec(part, 1..4).prop_map(|parts| {
        let text = parts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",");
        (text, parts.into_iter().flat_map(|(_, numbers)| numbers).collect())
    });
    prop_oneof![2 => list, 1 => Just(("*".to_owned(), (least..=most).collect()))]
}

fn listed(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// What the cron crate makes of it: whether both day fields are to fit is told by giving it only one of them.
fn by_the_crate(fields: &[String; 5], from: Instant, until: Instant) -> Vec<Instant> {
    let [minute, hour, day, month, weekday] = fields;
    let expression = format!("0 {minute} {hour} {day} {month} {weekday}");
    cron::Schedule::from_str(&expression)
        .expect(&expression)
        .after(&(from - TimeDelta::seconds(1)))
        .take_while(|moment| *moment < until)
        .collect()
}

proptest! {
    #[test]
    fn the_cron_crate_agrees_where_clocks_never_change(
        minute in any_field(0, 59), hour in any_field(0, 23), day in any_field(1, 31), month in any_field(1, 12),
        weekday in any_field(0, 6), start in 0..15_000_i64,
    ) {
        let from = DateTime::<Utc>::from_timestamp(start * 86_400, 0).expect("a moment");
        let until = from + TimeDelta::days(40);
        let expression = [&minute.0, &hour.0, &day.0, &month.0, &weekday.0].map(String::as_str).join(" ");
        let Ok(window) = Recurrence::new(expression.clone(), Span::minutes(1), Tz::UTC) else {
            prop_assert!(Cron::parse(&expression).is_err());
            let fields = [listed(minute.1), listed(hour.1), listed(day.1), listed(month.1), "*".to_owned()];
            let found = by_the_crate(&fields, from, from + TimeDelta::days(3000));
            prop_assert!(found.is_empty(), "{} is said never to occur, and does: {:?}", expression, found);
            return Ok(());
        };
        let weekdays = listed(weekday.1.iter().map(|n| n + 1));
        let both_restricted = day.0 != "*" && weekday.0 != "*";
        let fields = |day: String, weekday: String| [listed(minute.1.clone()), listed(hour.1.clone()), day, listed(month.1.clone()), weekday];
        let expected: BTreeSet<Instant> = if both_restricted {
            let by_day = by_the_crate(&fields(listed(day.1), "*".to_owned()), from, until);
            let by_weekday = by_the_crate(&fields("*".to_owned(), weekdays), from, until);
            by_day.into_iter().chain(by_weekday).collect()
        } else {
            by_the_crate(&fields(listed(day.1), weekdays), from, until).into_iter().collect()
        };
        let slots = window.occurrences(from, until);
        let opened: BTreeSet<Instant> = slots.iter().map(|slot| slot.start).filter(|start| *start >= from).collect();
        prop_assert_eq!(opened, expected, "{}", expression);
    }

    /// The second opinion looks at every minute of a day and a half and at what the clock on the wall shows then, which is
    /// never ambiguous.
    #[test]
    fn looking_at_the_clock_every_minute_gives_the_same(
        change in prop::sample::select(vec![
            ("Europe/Berlin", "2026-03-29 01:00"), ("Europe/Berlin", "2026-10-25 01:00"),
            ("America/New_York", "2026-03-08 07:00"), ("America/New_York", "2026-11-01 06:00"),
            ("Australia/Lord_Howe", "2026-10-03 15:30"), ("Australia/Lord_Howe", "2026-04-04 15:00"),
            ("Pacific/Apia", "2011-12-30 10:00"), ("America/Havana", "2026-03-08 05:00"),
            ("America/Havana", "2026-11-01 05:00"), ("America/Sao_Paulo", "2018-02-18 02:00"),
            ("America/Sao_Paulo", "2018-11-04 03:00"), ("Africa/Casablanca", "2026-02-15 02:00"),
            ("Africa/Casablanca", "2026-03-22 02:00"), ("Asia/Kolkata", "2026-03-22 02:00"),
        ]),
        minute in any_field(0, 59), hour in any_field(0, 4), late_hour in any_field(22, 23), every_hour in any::<bool>(),
    ) {
        let (name, change) = change;
        let zone: Tz = name.parse().expect("a zone");
        let (from, until) = (at(change) - TimeDelta::hours(18), at(change) + TimeDelta::hours(18));
        let (hours, text) = if every_hour || hour.0 == "*" || late_hour.0 == "*" {
            ((0..24).collect(), "*".to_owned())
        } else {
            (&hour.1 | &late_hour.1, format!("{},{}", hour.0, late_hour.0))
        };
        let fits = |local: NaiveDateTime| minute.1.contains(&local.minute()) && hours.contains(&local.hour());
        let local = |moment: Instant| moment.with_timezone(&zone).naive_local();

        let (mut expected, mut shown) = (BTreeSet::new(), BTreeSet::new());
        // From earlier on, so that the first time of what is shown twice is known.
        let mut moment = from - TimeDelta::hours(6);
        while moment < until {
            let (now, before) = (local(moment), local(moment - TimeDelta::minutes(1)));
            let mut skipped = before + TimeDelta::minutes(1);
            while text != "*" && skipped < now {
                if fits(skipped) { expected.insert(moment); }
                skipped += TimeDelta::minutes(1);
            }
            if fits(now) && (shown.insert(now) || text == "*") { expected.insert(moment); }
            moment += TimeDelta::minutes(1);
        }
        expected.retain(|moment| *moment >= from);
        let slots = window(&format!("{} {text} * * *", minute.0), 1, name).occurrences(from, until);
        let opened: BTreeSet<Instant> = slots.iter().map(|slot| slot.start).filter(|start| *start >= from).collect();
        prop_assert_eq!(opened, expected, "{} {} in {} around {}", minute.0, text, name, change);
    }

    #[test]
    fn openings_are_in_order_in_the_range_and_the_same_when_the_range_is_split(
        zone in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "UTC"]),
        minute in any_field(0, 59), hour in any_field(0, 23), weekday in any_field(0, 7), length in 1..3000_u64,
        start in 1_300_000_000..1_800_000_000_i64, first in 1..200_i64, second in 1..200_i64,
    ) {
        let window = window(&format!("{} {} * * {}", minute.0, hour.0, weekday.0), length, zone);
        let from = DateTime::from_timestamp(start, 0).expect("a moment");
        let between = from + TimeDelta::hours(first);
        let until = between + TimeDelta::hours(second);
        let whole = window.occurrences(from, until);
        prop_assert!(whole.is_sorted_by(|a, b| a < b));
        for slot in &whole {
            let range = Slot { start: from, end: until };
            prop_assert!(slot.overlaps(range));
            prop_assert_eq!(slot.length(), Span::minutes(length));
        }
        let parts: BTreeSet<Slot> =
            window.occurrences(from, between).into_iter().chain(window.occurrences(between, until)).collect();
        prop_assert_eq!(parts.into_iter().collect::<Vec<_>>(), whole);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-*/,0-9A-Z@ ]{0,24}", year in -3000..12_000_i32) {
        if let Ok(window) = Recurrence::new(text, Span::days(2), Tz::Europe__Berlin) {
            let day = chrono::NaiveDate::from_ymd_opt(year, 6, 1).expect("a day");
            let from = day.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
            prop_assert!(window.occurrences(from, from + TimeDelta::days(2)).iter().all(|slot| slot.start.year() >= year - 1));
        }
    }
}
