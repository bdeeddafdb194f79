//! Times, spans and texts as a reader of a mail wants them. Nothing here knows what is told.

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;
use serde::Serialize;

/// A moment or a stretch of time, in the reader's zone and in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct When {
    /// In the reader's zone, which is named.
    pub local: String,
    /// In UTC; nothing when the reader's own zone is UTC, so that no line says the same twice.
    pub utc: Option<String>,
    /// What is easily overlooked: that it ends on another day, or that the clocks change in between.
    pub note: Option<String>,
}

impl When {
    /// One moment.
    #[must_use]
    pub fn moment(at: Instant, zone: Tz) -> Self {
        Self {
            local: moment(at.with_timezone(&zone)),
            utc: (zone != Tz::UTC).then(|| moment(at.with_timezone(&Tz::UTC))),
            note: None,
        }
    }

    /// From a beginning to an end.
    #[must_use]
    pub fn slot(slot: Slot, zone: Tz) -> Self {
        let (start, end) = (slot.start.with_timezone(&zone), slot.end.with_timezone(&zone));
        Self {
            local: stretch(start, end),
            utc: (zone != Tz::UTC)
                .then(|| stretch(slot.start.with_timezone(&Tz::UTC), slot.end.with_timezone(&Tz::UTC))),
            note: stretch_note(start, end),
        }
    }
}

fn moment(at: DateTime<Tz>) -> String {
    format!("{}, {} {}", day(at), clock(at), zone_name(at))
}

fn stretch(start: DateTime<Tz>, end: DateTime<Tz>) -> String {
    let offset_changes = zone_name(start) != zone_name(end);
    let start_zone = if offset_changes { format!(" {}", zone_name(start)) } else { String::new() };
    let end_day = if same_day(start, end) { String::new() } else { format!("{}, ", day(end)) };
    format!("{}, {}{start_zone} to {end_day}{} {}", day(start), clock(start), clock(end), zone_name(end))
}

fn stretch_note(start: DateTime<Tz>, end: DateTime<Tz>) -> Option<String> {
    let days = (!same_day(start, end))
        .then(|| format!("It begins on {} and ends on {}.", start.format("%A"), end.format("%A")));
    let clocks =
        (start.offset().fix() != end.offset().fix()).then(|| "The clocks change in between.".to_owned());
    match (days, clocks) {
        (Some(days), Some(clocks)) => Some(format!("{days} {clocks}")),
        (days, clocks) => days.or(clocks),
    }
}

fn same_day(a: DateTime<Tz>, b: DateTime<Tz>) -> bool {
    a.date_naive() == b.date_naive()
}

/// Without figures for the month: 3/4 is read as March by some and as April by others.
fn day(at: DateTime<Tz>) -> String {
    format!("{}, {} {}", at.format("%A"), at.day(), at.format("%B %Y"))
}

/// Seconds only where they say something: a time that was asked for begins at a full minute.
fn clock(at: DateTime<Tz>) -> String {
    if at.second() == 0 { at.format("%H:%M").to_string() } else { at.format("%H:%M:%S").to_string() }
}

/// `CET (UTC+01:00)`. Abbreviations are ambiguous (IST, CST), so the offset is always there; zones that have none are told
/// by the offset alone.
fn zone_name(at: DateTime<Tz>) -> String {
    let abbreviation = at.format("%Z").to_string();
    let seconds = at.offset().fix().local_minus_utc();
    if abbreviation == "UTC" {
        return abbreviation;
    }
    let offset = if seconds == 0 { "UTC+00:00".to_owned() } else { format!("UTC{}", at.format("%:z")) };
    if abbreviation.starts_with(['+', '-']) { offset } else { format!("{abbreviation} ({offset})") }
}

/// A moment as a command takes it: with its offset, and to the minute.
#[must_use]
pub fn for_command(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%dT%H:%M%:z").to_string()
}

/// A moment as an answer by mail takes it: in the reader's zone, to the minute. With its offset where the clocks show that time twice.
#[must_use]
pub fn for_answer(at: Instant, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    let twice = zone.from_local_datetime(&local.naive_local()).single().is_none();
    local.format(if twice { "%Y-%m-%d %H:%M %:z" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// An estimate, rounded upwards to what an estimate can say: `about 2 minutes`. Never "0 seconds": nobody can promise that.
#[must_use]
pub fn about(span: Span) -> String {
    let seconds = whole_seconds_up(span);
    match seconds {
        0..10 => "a few seconds".to_owned(),
        10..=50 => format!("about {} seconds", seconds.next_multiple_of(10)),
        51..=60 => "about a minute".to_owned(),
        61..=600 => format!("about {}", count(seconds.div_ceil(60), "minute")),
        601..=3300 => format!("about {}", count(seconds.div_ceil(60).next_multiple_of(5), "minute")),
        3301..=86_400 => format!("about {}", two_parts(seconds.next_multiple_of(900))),
        _ => format!("about {}", two_parts(seconds.next_multiple_of(3600))),
    }
}

/// A measured or an agreed span, with its two greatest units: `1 minute 5 seconds`.
#[must_use]
pub fn exactly(span: Span) -> String {
    if span.0.as_millis() < 1000 {
        return "less than a second".to_owned();
    }
    two_parts((span.as_milliseconds().saturating_add(500)) / 1000)
}

fn whole_seconds_up(span: Span) -> u64 {
    span.as_milliseconds().div_ceil(1000)
}

fn two_parts(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day"),
        (seconds % 86_400 / 3600, "hour"),
        (seconds % 3600 / 60, "minute"),
        (seconds % 60, "second"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(parts.len() - 1);
    let shown: Vec<String> =
        parts[first..].iter().take(2).filter(|(n, _)| *n > 0).map(|(n, unit)| count(*n, unit)).collect();
    shown.join(" ")
}

fn count(n: u64, unit: &str) -> String {
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list(things: &[&str]) -> String {
    match things {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A text from elsewhere as one line: white space of any kind becomes one space, what can't be seen or turns the direction of
/// writing is left out, and what is longer than `most` characters ends in an ellipsis.
///
/// Names of servers are the customers' own; a line break in one must not become a header of a mail or a paragraph that we seem
/// to have written.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let visible: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_unseen(*c)).collect();
    let joined = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if joined.chars().count() <= most {
        return joined;
    }
    let mut cut: String = joined.chars().take(most.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// A text from elsewhere with its lines: each as [`one_line`] would have it, never two empty ones in a row, and no more than `most`
/// characters in all.
#[must_use]
pub fn paragraphs(text: &str, most: usize) -> String {
    let mut left = most;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if left == 0 {
            lines.push("…".to_owned());
            break;
        }
        let line = one_line(line, left);
        if line.is_empty() && lines.last().is_none_or(String::is_empty) {
            continue;
        }
        left = left.saturating_sub(line.chars().count() + 1);
        lines.push(line);
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{00AD}')
}

/// A text from elsewhere as a sentence: one line, a capital first letter, a full stop.
#[must_use]
pub fn sentence(text: &str, most: usize) -> String {
    let line = one_line(text, most);
    let mut chars = line.chars();
    let Some(first) = chars.next() else { return line };
    let stop = if line.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
}

/// A text from elsewhere to stand within a sentence: one line without a full stop.
#[must_use]
pub fn phrase(text: &str, most: usize) -> String {
    one_line(text, most).trim_end_matches(['.', ' ']).to_owned()
}

/// Breaks the lines of a plain text at `width` columns and leaves one empty line where there are several.
///
/// An indented line goes on under its own text, a row like `When      Tuesday` under its second column. A line that starts with
/// `$ ` or holds an address is never broken, because it will be copied.
#[must_use]
pub fn fold(text: &str, width: usize) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 20);
    let mut empty_before = true;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            if !empty_before {
                folded.push('\n');
            }
            empty_before = true;
            continue;
        }
        empty_before = false;
        if line.trim_start().starts_with("$ ") || line.contains("://") {
            folded.push_str(line);
        } else {
            let hanging = " ".repeat(hanging_indent(line));
            let indent = line.len() - line.trim_start().len();
            let options = textwrap::Options::new(width)
                .subsequent_indent(&hanging)
                .break_words(false)
                .word_splitter(textwrap::WordSplitter::NoHyphenation);
            // The indent is taken off first: textwrap would take it for a word's white space and drop it at a break.
            let (lead, rest) = line.split_at(indent);
            folded.push_str(&textwrap::fill(rest, options.initial_indent(lead)));
        }
        folded.push('\n');
    }
    folded.truncate(folded.trim_end().len());
    folded.push('\n');
    folded
}

/// The column of a row's second cell, or of the text itself.
fn hanging_indent(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    if indent == 0 {
        return 0;
    }
    let text = &line[indent..];
    let Some(gap) = text.find("  ") else { return indent };
    let after = &text[gap..];
    indent + textwrap::core::display_width(&text[..gap]) + after.len() - after.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().expect("a moment")
    }

    fn slot(start: &str, end: &str) -> Slot {
        Slot { start: at(start), end: at(end) }
    }

    #[test]
    fn a_slot_is_told_in_the_readers_zone_and_in_utc() {
        let when = When::slot(slot("2026-11-24T02:00:00Z", "2026-11-24T04:00:00Z"), Tz::Europe__Berlin);
        assert_eq!(when.local, "Tuesday, 24 November 2026, 03:00 to 05:00 CET (UTC+01:00)");
        assert_eq!(when.utc.as_deref(), Some("Tuesday, 24 November 2026, 02:00 to 04:00 UTC"));
        assert_eq!(when.note, None);
    }

    #[test]
    fn a_slot_over_midnight_names_both_days() {
        let when = When::slot(slot("2026-11-24T22:30:00Z", "2026-11-25T00:30:00Z"), Tz::Europe__Berlin);
        assert_eq!(
            when.local,
            "Tuesday, 24 November 2026, 23:30 to Wednesday, 25 November 2026, 01:30 CET (UTC+01:00)"
        );
        assert_eq!(when.note.as_deref(), Some("It begins on Tuesday and ends on Wednesday."));
    }

    #[test]
    fn a_slot_in_which_the_clocks_change_names_both_offsets() {
        let when = When::slot(slot("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"), Tz::Europe__Berlin);
        assert_eq!(when.local, "Sunday, 25 October 2026, 02:30 CEST (UTC+02:00) to 02:30 CET (UTC+01:00)");
        assert_eq!(when.note.as_deref(), Some("The clocks change in between."));
    }

    #[test]
    fn a_zone_without_an_abbreviation_is_told_by_its_offset() {
        let when = When::moment(at("2026-11-24T02:00:05Z"), Tz::America__Sao_Paulo);
        assert_eq!(when.local, "Monday, 23 November 2026, 23:00:05 UTC-03:00");
    }

    #[test]
    fn a_reader_in_utc_is_told_the_time_once() {
        let when = When::moment(at("2026-11-24T02:00:00Z"), Tz::UTC);
        assert_eq!(when.local, "Tuesday, 24 November 2026, 02:00 UTC");
        assert_eq!(when.utc, None);
        let london = When::moment(at("2026-11-24T02:00:00Z"), Tz::Europe__London);
        assert_eq!(london.local, "Tuesday, 24 November 2026, 02:00 GMT (UTC+00:00)");
    }

    #[test]
    fn a_command_gets_a_time_with_its_offset() {
        assert_eq!(for_command(at("2026-11-24T02:00:00Z"), Tz::Asia__Kolkata), "2026-11-24T07:30+05:30");
    }

    #[test]
    fn estimates_are_rounded_upwards_and_never_promise_nothing() {
        let cases = [
            (Span::ZERO, "a few seconds"),
            (Span::milliseconds(9_100), "about 10 seconds"),
            (Span::seconds(41), "about 50 seconds"),
            (Span::seconds(55), "about a minute"),
            (Span::seconds(61), "about 2 minutes"),
            (Span::minutes(10), "about 10 minutes"),
            (Span::minutes(12), "about 15 minutes"),
            (Span::minutes(56), "about 1 hour"),
            (Span::minutes(61), "about 1 hour 15 minutes"),
            (Span::hours(24), "about 1 day"),
            (Span::minutes(24 * 60 + 1), "about 1 day 1 hour"),
        ];
        for (span, words) in cases {
            assert_eq!(about(span), words, "{span}");
        }
    }

    #[test]
    fn measured_spans_keep_two_units() {
        let cases = [
            (Span::milliseconds(700), "less than a second"),
            (Span::milliseconds(1_000), "1 second"),
            (Span::milliseconds(37_600), "38 seconds"),
            (Span::seconds(65), "1 minute 5 seconds"),
            (Span::seconds(7_384), "2 hours 3 minutes"),
            (Span::hours(24), "1 day"),
            (Span::days(7), "7 days"),
        ];
        for (span, words) in cases {
            assert_eq!(exactly(span), words, "{span}");
        }
    }

    #[test]
    fn lists_end_in_and() {
        assert_eq!(list(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn foreign_text_becomes_one_visible_line() {
        assert_eq!(one_line("web\r\nBcc: x@y\t\u{202E}1 \u{0}", 80), "web Bcc: x@y 1");
        assert_eq!(one_line("Zürich 東京", 80), "Zürich 東京");
        assert_eq!(one_line(&"ü".repeat(100), 10), format!("{}…", "ü".repeat(9)));
        assert_eq!(sentence("it has a\nhost device", 80), "It has a host device.");
        assert_eq!(sentence("", 80), "");
        assert_eq!(phrase("Kernel update. ", 80), "Kernel update");
    }

    #[test]
    fn a_message_keeps_its_lines_and_nothing_that_can_not_be_seen() {
        assert_eq!(
            paragraphs("\n\nHello,\r\n\n\n\n can\tyou \u{202E}wait?\n\n", 80),
            "Hello,\n\ncan you wait?"
        );
        assert_eq!(paragraphs("one\ntwo\nthree", 8), "one\ntwo\n…");
        assert_eq!(paragraphs(" \u{200B}\n", 8), "");
    }

    #[test]
    fn a_time_to_be_answered_with_has_its_offset_only_where_the_clocks_show_it_twice() {
        assert_eq!(for_answer(at("2026-11-24T02:00:00Z"), Tz::Europe__Berlin), "2026-11-24 03:00");
        assert_eq!(for_answer(at("2026-10-25T01:30:00Z"), Tz::Europe__Berlin), "2026-10-25 02:30 +01:00");
    }

    #[test]
    fn folding_keeps_rows_and_commands_whole() {
        let text =
            "one two three four\n\n\n\n  When    aaa bbb ccc ddd\n  $ drover reschedule DR-1 --to TIME\n";
        assert_eq!(
            fold(text, 18),
            "one two three four\n\n  When    aaa bbb\n          ccc ddd\n  $ drover reschedule DR-1 --to TIME\n"
        );
    }
}
