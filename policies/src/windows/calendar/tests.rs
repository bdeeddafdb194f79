use proptest::prelude::*;

use super::*;

fn calendar(events: &[&str]) -> String {
    let events: String = events
        .iter()
        .map(|event| {
            format!("BEGIN:VEVENT\r\nSUMMARY:Sale\r\n{}\r\nEND:VEVENT\r\n", event.replace('\n', "\r\n"))
        })
        .collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\n{events}END:VCALENDAR\r\n")
}

fn times(events: &[&str]) -> Vec<String> {
    let times = read_times(&calendar(events), chrono_tz::Europe::Berlin).expect("a calendar");
    let text = |moment: Instant| moment.format("%Y-%m-%dT%H:%M").to_string();
    times.as_slice().iter().map(|slot| format!("{} {}", text(slot.start), text(slot.end))).collect()
}

fn refused(events: &[&str]) -> String {
    read_times(&calendar(events), chrono_tz::UTC).expect_err("refused").to_string()
}

#[test]
fn days_last_from_midnight_to_midnight_where_they_are_meant() {
    assert_eq!(times(&["DTSTART;VALUE=DATE:20261224"]), ["2026-12-23T23:00 2026-12-24T23:00"]);
    let over_the_change = "DTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260330";
    assert_eq!(times(&[over_the_change]), ["2026-03-27T23:00 2026-03-29T22:00"], "47 hours");
    assert_eq!(times(&["DTSTART:20261224\nDURATION:P2D"]), ["2026-12-23T23:00 2026-12-25T23:00"]);
}

#[test]
fn times_are_meant_in_their_zone_or_in_the_calendars() {
    assert_eq!(
        times(&[
            "DTSTART:20261201T100000Z\nDTEND:20261201T113000Z",
            "DTSTART;TZID=America/New_York:20261202T100000\nDTEND;TZID=America/New_York:20261202T110000",
            "DTSTART:20261203T100000\nDURATION:PT90M",
        ]),
        [
            "2026-12-01T10:00 2026-12-01T11:30",
            "2026-12-02T15:00 2026-12-02T16:00",
            "2026-12-03T09:00 2026-12-03T10:30",
        ]
    );
}

#[test]
fn repeated_events_come_with_their_exceptions_and_moved_instances() {
    let weekly = "UID:1\nDTSTART;TZID=Europe/Berlin:20260320T090000\nDTEND;TZID=Europe/Berlin:20260320T100000\n\
                  RRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20260403T090000";
    let moved = "UID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20260327T090000\n\
                 DTSTART;TZID=Europe/Berlin:20260328T120000\nDTEND;TZID=Europe/Berlin:20260328T130000";
    assert_eq!(
        times(&[weekly, moved]),
        [
            "2026-03-20T08:00 2026-03-20T09:00",
            "2026-03-28T11:00 2026-03-28T12:00",
            "2026-04-10T07:00 2026-04-10T08:00"
        ],
        "at nine in Berlin, before and after clocks are put forward"
    );
    let yearly = "DTSTART;VALUE=DATE:20251224\nDTEND;VALUE=DATE:20251227\nRRULE:FREQ=YEARLY;UNTIL=20271224";
    assert_eq!(times(&[yearly]).len(), 3, "the last day counts");
}

#[test]
fn what_is_cancelled_or_takes_no_time_freezes_nothing_and_what_touches_is_one() {
    let cancelled = "DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED";
    let reminder = "DTSTART:20261225T100000Z";
    let days = ["DTSTART;VALUE=DATE:20261227", "DTSTART;VALUE=DATE:20261228"];
    assert_eq!(times(&[cancelled, reminder, days[0], days[1]]), ["2026-12-26T23:00 2026-12-28T23:00"]);
    assert!(refused(&[cancelled]).contains("nothing would be frozen"));
}

#[test]
fn a_refusal_names_the_event_the_field_and_what_would_be_right() {
    for (event, answer) in [
        ("SUMMARY:x", "DTSTART: is missing"),
        ("DTSTART:tomorrow", "DTSTART: \"tomorrow\" is no time; write it as 20261224"),
        (
            "DTSTART;TZID=W. Europe Standard Time:20261201T100000",
            "DTSTART: \"W. Europe Standard Time\" is no time zone",
        ),
        ("DTSTART:20261201T100000Z\nDTEND:20261201T090000Z", "DTEND: is before the beginning"),
        ("DTSTART:20261201T100000Z\nDTEND;VALUE=DATE:20261202", "DTEND: must be a day where DTSTART is"),
        ("DTSTART:20261201T100000Z\nDURATION:soon", "DURATION: \"soon\" is no length of time"),
        ("DTSTART;VALUE=DATE:20261201\nRRULE:FREQ=YEARLY", "RRULE: repeats for ever"),
        ("DTSTART:20261201T100000Z\nRRULE:FREQ=SECONDLY;COUNT=5", "RRULE: repeats within a day"),
        (
            "DTSTART;VALUE=DATE:20261201\nRRULE:FREQ=DAILY;COUNT=1000000",
            "RRULE: comes to no end within 10000",
        ),
        (
            "DTSTART;VALUE=DATE:20261201\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=2",
            "RRULE: never occurs",
        ),
        ("DTSTART;VALUE=DATE:20261201\nRRULE:FREQ=NEVER", "RRULE: "),
        (
            "DTSTART;VALUE=DATE:20261201\nRDATE;VALUE=PERIOD:20261201T000000Z/P1D",
            "RDATE: periods are not read",
        ),
    ] {
        let said = refused(&["DTSTART;VALUE=DATE:20261111", event]);
        assert!(said.starts_with("event 2 of the calendar (\"Sale\"), "), "{said}");
        assert!(said.contains(answer), "{event:?} is answered with {said:?}");
    }
}

#[test]
fn what_is_no_calendar_or_far_too_much_is_refused_before_it_is_worked_on() {
    let read = |text: &str| read_times(text, chrono_tz::UTC).expect_err("refused").to_string();
    assert!(read("").contains("begins otherwise"));
    assert!(read("<html>not found</html>").contains("begins otherwise"));
    assert!(read("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n").contains("something is missing"));
    assert!(read(&calendar(&[])).contains("no events"));
    let deep = format!("BEGIN:VCALENDAR\n{}END:VCALENDAR", "BEGIN:VEVENT\n".repeat(50_000));
    assert!(read(&deep).contains("nested too deep"));
    assert!(read(&"x".repeat(LARGEST_CALENDAR + 1)).contains("at most 1048576"));
    let many = vec!["DTSTART;VALUE=DATE:20261224"; MOST_EVENTS + 1];
    assert!(read(&calendar(&many)).contains("too many events: at most 5000"));
    let repeated = vec!["DTSTART;VALUE=DATE:20261224\nRRULE:FREQ=DAILY;COUNT=2"; MOST_REPEATED + 1];
    assert!(read(&calendar(&repeated)).contains("too many events that repeat"));
    let often = vec!["DTSTART;VALUE=DATE:20261224\nRRULE:FREQ=WEEKLY;COUNT=3000"; 4];
    assert!(read(&calendar(&often)).contains("too many times"));
}

proptest! {
    /// Whatever is sent, it is read or refused; nothing panics and nothing hangs.
    #[test]
    fn any_text_is_read_or_refused(lines in prop::collection::vec(
        prop_oneof![
            Just("BEGIN:VEVENT".to_owned()), Just("END:VEVENT".to_owned()), Just("BEGIN:VALARM".to_owned()),
            "(DTSTART|DTEND|RDATE|EXDATE|RECURRENCE-ID)(;VALUE=DATE|;TZID=[A-Z/a-z]{0,12})?:[0-9TZ,]{0,20}",
            "RRULE:FREQ=(YEARLY|DAILY|WEEKLY)(;(COUNT|BYDAY|BYMONTH|INTERVAL|BYSETPOS|UNTIL)=[0-9A-Z,-]{0,8}){0,3}",
            "[A-Z;:=\"\\\\]{0,20}", ".{0,20}", " .{0,8}",
        ], 0..30))
    {
        let text = format!("BEGIN:VCALENDAR\r\n{}\r\nEND:VCALENDAR", lines.join("\r\n"));
        let _ = read_times(&text, chrono_tz::Europe::Berlin);
    }
}
