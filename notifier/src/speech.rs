//! A reader's language: times, spans and who did it, in words. Nothing here knows what is told.
//!
//! The words are in `words.ftl` of each language, in the format of [Fluent](https://projectfluent.org), whose plurals fit every
//! language. What has to be there is listed in [`MESSAGES`]; an operator's file is held against it when the scheduler starts.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Offset, Timelike};
use chrono_tz::Tz;
use drover_policies::language::Language;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::resolver::errors::{ReferenceKind, ResolverError};
use fluent_bundle::{FluentArgs, FluentError, FluentMessage, FluentResource, FluentValue};
use fluent_syntax::ast::Pattern;
use serde::Serialize;

use crate::said::{Said, sentences};

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

/// Who did something, as its reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doer<'a> {
    /// He himself.
    Reader,
    /// Operators stay unnamed: the name of a token is none of the owner's business.
    Operators,
    /// Another account.
    Account(&'a str),
    /// The scheduler.
    Scheduler,
}

/// Every message that a language must have, but for the sentences of the scheduler, each with its variables.
pub(crate) const MESSAGES: &[(&str, &[&str])] = &[
    ("weekday", &["weekday"]),
    ("month", &["month"]),
    ("date", &["weekday", "day", "month", "year"]),
    ("zoned", &["clock", "zone"]),
    ("moment", &["date", "clock"]),
    ("stretch", &["date", "from", "until"]),
    ("stretch-over-days", &["date", "from", "until-date", "until"]),
    ("ends-another-day", &["from", "until"]),
    ("clocks-change", &[]),
    ("seconds", &["n"]),
    ("minutes", &["n"]),
    ("hours", &["n"]),
    ("days", &["n"]),
    ("two-units", &["greater", "lesser"]),
    ("about", &["span"]),
    ("about-a-minute", &[]),
    ("a-few-seconds", &[]),
    ("less-than-a-second", &[]),
    ("by-reader", &[]),
    ("by-operators", &[]),
    ("by-account", &["account"]),
    ("by-scheduler", &[]),
];

/// The attribute of a message under which it says how it is read, where that is not how it is recognised.
const READ_AS: &str = "read-as";

/// What is wrong with a file of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WordsFault {
    /// The line, counted from 1, where that is known.
    pub(crate) line: Option<usize>,
    /// What is wrong, and what would be right.
    pub(crate) why: String,
}

/// The words of one language.
pub(crate) struct Speech {
    bundle: FluentBundle<FluentResource>,
    said: Said,
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech").field("locales", &self.bundle.locales).finish_non_exhaustive()
    }
}

impl Speech {
    /// From files, each of which may replace messages of those before it.
    ///
    /// # Errors
    /// Everything that is wrong with the last file; those before it were looked at when they were last themselves.
    pub(crate) fn new(language: &Language, files: &[&str]) -> Result<Self, Vec<WordsFault>> {
        let mut bundle = FluentBundle::new_concurrent(vec![language.identifier().clone()]);
        // The marks around each figure would be seen in plain text.
        bundle.set_use_isolating(false);
        let mut faults = Vec::new();
        for text in files {
            faults = Vec::new();
            let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(rest, errors)| {
                faults.extend(errors.iter().map(|error| WordsFault {
                    // Where the parser gave up is often the next line; what it gave up began where it is wrong.
                    line: Some(line_at(
                        text,
                        error.slice.as_ref().map_or(error.pos.start, |slice| slice.start),
                    )),
                    why: error.to_string(),
                }));
                rest
            });
            bundle.add_resource_overriding(resource);
        }
        let speech = Self { bundle, said: Said::english() };
        if let (true, Some(last)) = (faults.is_empty(), files.last()) {
            faults = speech.faults(last);
        }
        if faults.is_empty() { Ok(speech) } else { Err(faults) }
    }

    fn faults(&self, text: &str) -> Vec<WordsFault> {
        let known: BTreeMap<&str, Vec<&str>> = MESSAGES
            .iter()
            .map(|(id, variables)| (*id, variables.to_vec()))
            .chain(self.said.messages())
            .collect();
        let mut faults = Vec::new();
        let missing: Vec<&str> =
            known.keys().filter(|id| self.bundle.get_message(id).is_none()).copied().collect();
        if !missing.is_empty() {
            faults.push(WordsFault {
                line: None,
                why: format!("these messages are missing: {}", missing.join(", ")),
            });
        }
        for id in sentences(text) {
            let Some(variables) = known.get(id.as_str()) else {
                let known = known.keys().copied().collect::<Vec<_>>().join(", ");
                let why = format!("there is no message {id:?}; there are {known}");
                faults.push(WordsFault { line: line_of(text, &format!("{id} ")), why });
                continue;
            };
            faults.extend(self.wrong_in(&id, variables).map(|why| {
                let variable = why.strip_prefix('$').and_then(|why| why.split(' ').next());
                let line = variable.and_then(|name| line_of(text, &format!("${name}")));
                WordsFault { line: line.or_else(|| line_of(text, &id)), why: format!("message {id}: {why}") }
            }));
        }
        faults
    }

    /// Filled in with figures for all of its variables, a message must come out without a fault.
    fn wrong_in(&self, id: &str, variables: &[&str]) -> Option<String> {
        let args: FluentArgs<'_> =
            variables.iter().map(|variable| (*variable, FluentValue::from(1))).collect();
        self.patterns(id).find_map(|pattern| {
            let mut errors = Vec::new();
            let filled = self.bundle.format_pattern(pattern, Some(&args), &mut errors);
            match errors.into_iter().next() {
                Some(FluentError::ResolverError(ResolverError::Reference(ReferenceKind::Variable {
                    id,
                }))) => {
                    let known: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();
                    Some(format!("${id} is unknown; there are: {}", known.join(", ")))
                }
                Some(error) => Some(error.to_string()),
                None if filled.trim().is_empty() => Some("it says nothing".to_owned()),
                None => None,
            }
        })
    }

    fn say<'a>(&'a self, id: &str, args: &FluentArgs<'a>) -> String {
        let Some(pattern) = self.patterns(id).last() else {
            // Ruled out when the words were read.
            return id.to_owned();
        };
        // A fault leaves the rest of the message readable, and was ruled out as far as it can be.
        self.bundle.format_pattern(pattern, Some(args), &mut Vec::new()).into_owned()
    }

    /// What a message says, and after that what it is read as where that is another thing: the scheduler's "the owner's window" is the
    /// owner's "your window".
    fn patterns<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Pattern<&'a str>> {
        let message = self.bundle.get_message(id);
        let value = message.as_ref().and_then(FluentMessage::value);
        let read = message.as_ref().and_then(|message| Some(message.get_attribute(READ_AS)?.value()));
        value.into_iter().chain(read)
    }

    fn phrase(&self, id: &str, args: &[(&str, &str)]) -> String {
        let args = args.iter().map(|(name, value)| (*name, FluentValue::from((*value).to_owned()))).collect();
        self.say(id, &args)
    }

    /// One moment.
    pub(crate) fn moment(&self, at: Instant, zone: Tz) -> When {
        let told =
            |at: DateTime<Tz>| self.phrase("moment", &[("date", &self.date(at)), ("clock", &self.zoned(at))]);
        When {
            local: told(at.with_timezone(&zone)),
            utc: (zone != Tz::UTC).then(|| told(at.with_timezone(&Tz::UTC))),
            note: None,
        }
    }

    /// From a beginning to an end.
    pub(crate) fn slot(&self, slot: Slot, zone: Tz) -> When {
        let (start, end) = (slot.start.with_timezone(&zone), slot.end.with_timezone(&zone));
        When {
            local: self.stretch(start, end),
            utc: (zone != Tz::UTC)
                .then(|| self.stretch(slot.start.with_timezone(&Tz::UTC), slot.end.with_timezone(&Tz::UTC))),
            note: self.stretch_note(start, end),
        }
    }

    fn stretch(&self, start: DateTime<Tz>, end: DateTime<Tz>) -> String {
        let from = if zone_name(start) == zone_name(end) { clock(start) } else { self.zoned(start) };
        let (date, until) = (self.date(start), self.zoned(end));
        if same_day(start, end) {
            return self.phrase("stretch", &[("date", &date), ("from", &from), ("until", &until)]);
        }
        let until_date = self.date(end);
        let args = [("date", &*date), ("from", &from), ("until-date", &until_date), ("until", &until)];
        self.phrase("stretch-over-days", &args)
    }

    fn stretch_note(&self, start: DateTime<Tz>, end: DateTime<Tz>) -> Option<String> {
        let days = (!same_day(start, end)).then(|| {
            self.phrase("ends-another-day", &[("from", &self.weekday(start)), ("until", &self.weekday(end))])
        });
        let clocks = (start.offset().fix() != end.offset().fix()).then(|| self.phrase("clocks-change", &[]));
        let notes: Vec<String> = days.into_iter().chain(clocks).collect();
        (!notes.is_empty()).then(|| notes.join(" "))
    }

    fn weekday(&self, at: DateTime<Tz>) -> String {
        let args = [("weekday", FluentValue::from(at.weekday().number_from_monday()))];
        self.say("weekday", &args.into_iter().collect())
    }

    /// Without figures for the month: 3/4 is read as March by some and as April by others.
    fn date(&self, at: impl Datelike) -> String {
        let args = [
            ("weekday", FluentValue::from(at.weekday().number_from_monday())),
            ("day", FluentValue::from(at.day())),
            ("month", FluentValue::from(at.month())),
            ("year", FluentValue::from(at.year().to_string())),
        ];
        self.say("date", &args.into_iter().collect())
    }

    fn zoned(&self, at: DateTime<Tz>) -> String {
        self.phrase("zoned", &[("clock", &clock(at)), ("zone", &zone_name(at))])
    }

    /// An estimate, rounded upwards to what an estimate can say: `about 2 minutes`. Never "0 seconds": nobody can promise that.
    pub(crate) fn about(&self, span: Span) -> String {
        let seconds = span.as_milliseconds().div_ceil(1000);
        let rounded = match seconds {
            0..10 => return self.phrase("a-few-seconds", &[]),
            10..=50 => self.count(seconds.next_multiple_of(10), "seconds"),
            51..=60 => return self.phrase("about-a-minute", &[]),
            61..=600 => self.count(seconds.div_ceil(60), "minutes"),
            601..=3300 => self.count(seconds.div_ceil(60).next_multiple_of(5), "minutes"),
            3301..=86_400 => self.two_units(seconds.next_multiple_of(900)),
            _ => self.two_units(seconds.next_multiple_of(3600)),
        };
        self.phrase("about", &[("span", &rounded)])
    }

    /// A measured or an agreed span, with its two greatest units: `1 minute 5 seconds`.
    pub(crate) fn exactly(&self, span: Span) -> String {
        if span.0.as_millis() < 1000 {
            return self.phrase("less-than-a-second", &[]);
        }
        self.two_units((span.as_milliseconds().saturating_add(500)) / 1000)
    }

    fn two_units(&self, seconds: u64) -> String {
        let parts = [
            (seconds / 86_400, "days"),
            (seconds % 86_400 / 3600, "hours"),
            (seconds % 3600 / 60, "minutes"),
            (seconds % 60, "seconds"),
        ];
        let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(parts.len() - 1);
        let mut shown = parts[first..].iter().take(2).filter(|(n, _)| *n > 0);
        match (shown.next(), shown.next()) {
            (Some((n, unit)), None) => self.count(*n, unit),
            (Some((n, unit)), Some((m, lesser))) => self.phrase(
                "two-units",
                &[("greater", &self.count(*n, unit)), ("lesser", &self.count(*m, lesser))],
            ),
            (None, _) => self.count(0, "seconds"),
        }
    }

    fn count(&self, n: u64, unit: &str) -> String {
        self.say(unit, &[("n", FluentValue::from(n))].into_iter().collect())
    }

    /// Who did it, with the preposition that belongs before it in a passive sentence, if the language wants one.
    pub(crate) fn by(&self, doer: Doer<'_>) -> String {
        match doer {
            Doer::Reader => self.phrase("by-reader", &[]),
            Doer::Operators => self.phrase("by-operators", &[]),
            Doer::Account(account) => self.phrase("by-account", &[("account", account)]),
            Doer::Scheduler => self.phrase("by-scheduler", &[]),
        }
    }

    /// A sentence of the scheduler in this language; one that is not known, such as an operator's own, as it is.
    pub(crate) fn said(&self, text: &str) -> String {
        let Some((id, parts)) = self.said.recognise(text) else {
            return self.said_moment(text).unwrap_or_else(|| text.to_owned());
        };
        let parts: Vec<(String, String)> =
            parts.into_iter().map(|(name, part)| (name, self.said(&part))).collect();
        let args: Vec<(&str, &str)> = parts.iter().map(|(name, part)| (&**name, &**part)).collect();
        self.phrase(id, &args)
    }
}

impl Speech {
    /// A moment as it stands within a sentence of the scheduler: `Thursday, 3 December 2026, 22:00 CET (UTC+01:00)`.
    fn said_moment(&self, text: &str) -> Option<String> {
        let (date, clock) = text.rsplit_once(", ")?;
        let date = NaiveDate::parse_from_str(date, "%A, %d %B %Y").ok()?;
        let (clock, zone) = clock.split_once(' ')?;
        let clock = self.phrase("zoned", &[("clock", clock), ("zone", zone)]);
        Some(self.phrase("moment", &[("date", &self.date(date)), ("clock", &clock)]))
    }
}

fn same_day(a: DateTime<Tz>, b: DateTime<Tz>) -> bool {
    a.date_naive() == b.date_naive()
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

fn line_at(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

fn line_of(text: &str, what: &str) -> Option<usize> {
    text.lines().position(|line| !line.starts_with('#') && line.contains(what)).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tongues::{ENGLISH_WORDS, GERMAN_WORDS};

    fn english() -> Speech {
        Speech::new(&Language::default(), &[ENGLISH_WORDS]).expect("the shipped words are sound")
    }

    fn german() -> Speech {
        Speech::new(&"de".parse().expect("a language"), &[GERMAN_WORDS]).expect("the shipped words are sound")
    }

    fn at(text: &str) -> Instant {
        text.parse().expect("a moment")
    }

    fn slot(start: &str, end: &str) -> Slot {
        Slot { start: at(start), end: at(end) }
    }

    #[test]
    fn a_slot_is_told_in_the_readers_zone_and_in_utc() {
        let when = english().slot(slot("2026-11-24T02:00:00Z", "2026-11-24T04:00:00Z"), Tz::Europe__Berlin);
        assert_eq!(when.local, "Tuesday, 24 November 2026, 03:00 to 05:00 CET (UTC+01:00)");
        assert_eq!(when.utc.as_deref(), Some("Tuesday, 24 November 2026, 02:00 to 04:00 UTC"));
        assert_eq!(when.note, None);
    }

    #[test]
    fn a_slot_over_midnight_names_both_days() {
        let when = english().slot(slot("2026-11-24T22:30:00Z", "2026-11-25T00:30:00Z"), Tz::Europe__Berlin);
        assert_eq!(
            when.local,
            "Tuesday, 24 November 2026, 23:30 to Wednesday, 25 November 2026, 01:30 CET (UTC+01:00)"
        );
        assert_eq!(when.note.as_deref(), Some("It begins on Tuesday and ends on Wednesday."));
    }

    #[test]
    fn a_slot_in_which_the_clocks_change_names_both_offsets() {
        let when = english().slot(slot("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"), Tz::Europe__Berlin);
        assert_eq!(when.local, "Sunday, 25 October 2026, 02:30 CEST (UTC+02:00) to 02:30 CET (UTC+01:00)");
        assert_eq!(when.note.as_deref(), Some("The clocks change in between."));
    }

    #[test]
    fn a_zone_without_an_abbreviation_is_told_by_its_offset() {
        let when = english().moment(at("2026-11-24T02:00:05Z"), Tz::America__Sao_Paulo);
        assert_eq!(when.local, "Monday, 23 November 2026, 23:00:05 UTC-03:00");
    }

    #[test]
    fn a_reader_in_utc_is_told_the_time_once() {
        let when = english().moment(at("2026-11-24T02:00:00Z"), Tz::UTC);
        assert_eq!(when.local, "Tuesday, 24 November 2026, 02:00 UTC");
        assert_eq!(when.utc, None);
        let london = english().moment(at("2026-11-24T02:00:00Z"), Tz::Europe__London);
        assert_eq!(london.local, "Tuesday, 24 November 2026, 02:00 GMT (UTC+00:00)");
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
            assert_eq!(english().about(span), words, "{span}");
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
            assert_eq!(english().exactly(span), words, "{span}");
        }
    }

    #[test]
    fn german_readers_are_told_in_german() {
        let over_midnight = slot("2026-11-24T22:30:00Z", "2026-11-25T00:30:00Z");
        let when = german().slot(over_midnight, Tz::Europe__Berlin);
        assert_eq!(
            when.local,
            "Dienstag, 24. November 2026, 23:30 bis Mittwoch, 25. November 2026, 01:30 Uhr CET (UTC+01:00)"
        );
        assert_eq!(when.note.as_deref(), Some("Beginn ist am Dienstag, Ende am Mittwoch."));
        assert_eq!(german().about(Span::minutes(61)), "etwa 1 Stunde 15 Minuten");
        assert_eq!(german().exactly(Span::days(7)), "7 Tage");
    }

    #[test]
    fn what_the_scheduler_says_is_said_in_german_with_its_figures_and_what_is_not_known_stays() {
        let said = german().said(
            "no stretch of 30m is open and free in the default windows between the end of the notice, 3days from now, \
             and the deadline, 2026-11-29 00:00 UTC",
        );
        assert_eq!(
            said,
            "Zwischen dem Ende der Ankündigungsfrist (3days ab jetzt) und dem spätesten Termin (2026-11-29 00:00 UTC) sind \
             30m am Stück nirgends frei und offen – geprüft wurde: unsere üblichen Wartungsfenster"
        );
        assert_eq!(
            german().said("that is too soon; choose Thursday, 3 December 2026, 22:00 CET (UTC+01:00) or later, or answer \"now\""),
            "Das ist zu früh; wählen Sie Donnerstag, 3. Dezember 2026, 22:00 Uhr CET (UTC+01:00) oder später, oder antworten Sie „now“"
        );
        for unknown in ["the rack is on fire", "", "the notice of "] {
            assert_eq!(german().said(unknown), unknown);
        }
    }

    #[test]
    fn words_that_lack_a_message_or_name_what_there_is_not_are_refused_with_line_and_name() {
        let fault = |own: &str| {
            let faults = Speech::new(&Language::default(), &[ENGLISH_WORDS, own]).expect_err("refused");
            assert_eq!(faults.len(), 1, "{faults:?}");
            (faults[0].line, faults[0].why.clone())
        };
        let (line, why) = fault("# Ours.\nabout = roughly { $spann }\n");
        assert_eq!((line, &*why), (Some(2), "message about: $spann is unknown; there are: $span"));
        let (line, why) = fault("\nabut = roughly { $span }\n");
        assert_eq!(line, Some(2));
        assert!(why.starts_with("there is no message \"abut\"; there are a-few-seconds, about, "), "{why}");
        let (line, why) = fault("about = roughly { $span\n");
        assert_eq!(line, Some(1), "{why}");
        let french = Speech::new(&"fr".parse().expect("a language"), &["about = environ { $span }\n"]);
        let faults = french.expect_err("refused");
        assert!(
            faults[0]
                .why
                .starts_with("these messages are missing: a-few-seconds, about-a-minute, by-account")
        );
    }
}
