//! Freezes out of a calendar: the times of all its events, whatever they are called.
//!
//! Read are the events (`VEVENT`) of an iCalendar file (RFC 5545): whole days and times, repeated ones with their exceptions and moved
//! instances. Cancelled events are left out; whether an event marks its time as busy or free does not matter, for holidays are commonly
//! marked as free. Time zones are those of the IANA database by their names: what a file itself says about a zone of the same name
//! (`VTIMEZONE`) is not asked.
//!
//! A file is somebody else's text. So everything in it is bounded before it is worked on: its length, how deep its parts are nested, how many
//! events there are, how many repeat, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use icalendar::parser::{Component, Property, read_calendar, unfold};
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

use super::zone::{Shown, parse_timezone};
use super::{Exclusion, Slot, Slots};
use crate::time::Instant;

/// The longest calendar that is read, in bytes. A year of a busy team's appointments is a fifth of it.
pub const LARGEST_CALENDAR: usize = 1 << 20;
const MOST_EVENTS: usize = 5_000;
const MOST_REPEATED: usize = 200;
const MOST_OCCURRENCES: u16 = 10_000;
const MOST_STRETCHES: usize = 2_000;
const DEEPEST: usize = 8;

/// Why a calendar was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCalendar {
    /// Too long.
    #[error(
        "the calendar has {bytes} bytes, and at most {LARGEST_CALENDAR} are read; export only what nothing may happen in"
    )]
    TooLarge {
        /// How many there are; of one that is fetched, how many had come when it was given up.
        bytes: usize,
    },
    /// Not one at all.
    #[error("this is no iCalendar file ({why}); it begins with BEGIN:VCALENDAR and ends with END:VCALENDAR")]
    NotACalendar {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing in it.
    #[error("the calendar has no events, so nothing would be frozen; export one with VEVENT parts")]
    Empty,
    /// Too much in it.
    #[error("the calendar has too many {what}: at most {most}; export only what nothing may happen in")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        most: usize,
    },
    /// One of its events is wrong.
    #[error("event {number} of the calendar ({name:?}), {field}: {why}")]
    Event {
        /// Which, from 1.
        number: usize,
        /// What it is called.
        name: String,
        /// Its property.
        field: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// When an event begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    Day(NaiveDate),
    At(Instant),
}

/// How long it takes.
#[derive(Debug, Clone, Copy)]
enum Length {
    Days(u64),
    Exact(TimeDelta),
}

struct Event<'a> {
    number: usize,
    part: &'a Component<'a>,
    timezone: Tz,
}

/// The times of all events of a calendar. Whole days, and times without a zone, are meant in `timezone`.
///
/// # Errors
/// What is wrong with it, by event and property, and what would be right.
pub fn read_times(text: &str, timezone: Tz) -> Result<Slots, BadCalendar> {
    let unfolded = outline(text)?;
    let calendar =
        read_calendar(&unfolded).map_err(|error| BadCalendar::NotACalendar { why: first_line(&error) })?;
    let parts: Vec<&Component<'_>> =
        calendar.components.iter().filter(|part| part.name.as_str() == "VEVENT").collect();
    let too_many = |what, most| BadCalendar::TooMany { what, most };
    if parts.is_empty() {
        return Err(BadCalendar::Empty);
    }
    if parts.len() > MOST_EVENTS {
        return Err(too_many("events", MOST_EVENTS));
    }
    if parts.iter().filter(|part| part.find_prop("RRULE").is_some()).count() > MOST_REPEATED {
        return Err(too_many("events that repeat", MOST_REPEATED));
    }
    let events: Vec<Event<'_>> =
        parts.into_iter().zip(1..).map(|(part, number)| Event { number, part, timezone }).collect();
    let mut moved: BTreeMap<&str, BTreeSet<Start>> = BTreeMap::new();
    for event in &events {
        if let Some(instance) = event.part.find_prop("RECURRENCE-ID") {
            let uid = event.text("UID").unwrap_or_default();
            moved.entry(uid).or_default().insert(event.start("RECURRENCE-ID", instance)?.0);
        }
    }
    let mut slots = Vec::new();
    for event in &events {
        slots.extend(event.slots(&moved)?);
        if slots.len() > usize::from(MOST_OCCURRENCES) {
            return Err(too_many("times", usize::from(MOST_OCCURRENCES)));
        }
    }
    let times = Slots::from(slots);
    match times.as_slice().len() {
        0 => Err(BadCalendar::Empty),
        count if count > MOST_STRETCHES => Err(too_many("separate stretches of time", MOST_STRETCHES)),
        _ => Ok(times),
    }
}

/// The text with its folded lines joined, when it looks like a calendar that can be read safely: the parser goes into parts by recursion.
fn outline(text: &str) -> Result<String, BadCalendar> {
    if text.len() > LARGEST_CALENDAR {
        return Err(BadCalendar::TooLarge { bytes: text.len() });
    }
    let not = |why: &str| Err(BadCalendar::NotACalendar { why: why.to_owned() });
    let text = text.trim_start_matches('\u{feff}').trim();
    let lines = || text.lines().map(str::trim_end);
    if lines().next().is_none_or(|first| !first.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return not("it begins otherwise");
    }
    if lines().next_back().is_none_or(|last| !last.eq_ignore_ascii_case("END:VCALENDAR")) {
        return not("it ends otherwise, so something is missing");
    }
    let mut depth = 0_usize;
    for line in lines() {
        let keyword = line.split(':').next().unwrap_or_default();
        if keyword.eq_ignore_ascii_case("BEGIN") {
            depth += 1;
        } else if keyword.eq_ignore_ascii_case("END") {
            depth = depth.saturating_sub(1);
        }
        if depth > DEEPEST {
            return not("its parts are nested too deep");
        }
    }
    Ok(format!("{}\r\n", unfold(text)))
}

fn first_line(error: &str) -> String {
    let line = error.lines().find(|line| !line.trim().is_empty()).unwrap_or("it can't be read");
    line.chars().take(120).collect()
}

fn param<'a>(property: &'a Property<'_>, name: &str) -> Option<&'a str> {
    let found = property.params.iter().find(|param| param.key.as_str().eq_ignore_ascii_case(name))?;
    found.val.as_ref().map(|value| value.as_str().trim_matches('"'))
}

impl Event<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.part.find_prop(name).map(|property| property.val.as_str())
    }

    fn bad(&self, field: &'static str, why: impl Into<String>) -> BadCalendar {
        let name = self.text("SUMMARY").or_else(|| self.text("UID")).unwrap_or("without a name");
        let name = name.chars().take(80).collect();
        BadCalendar::Event { number: self.number, name, field, why: why.into() }
    }

    /// All its times.
    fn slots(&self, moved: &BTreeMap<&str, BTreeSet<Start>>) -> Result<Vec<Slot>, BadCalendar> {
        if self.text("STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")) {
            return Ok(Vec::new());
        }
        let property = self
            .part
            .find_prop("DTSTART")
            .ok_or_else(|| self.bad("DTSTART", "is missing; an event has a beginning"))?;
        let (start, zone) = self.start("DTSTART", property)?;
        let length = self.length(start)?;
        let mut starts = self.starts(start, zone)?;
        if self.part.find_prop("RECURRENCE-ID").is_none()
            && let Some(elsewhere) = self.text("UID").and_then(|uid| moved.get(uid))
        {
            starts.retain(|start| !elsewhere.contains(start));
        }
        Ok(starts.into_iter().filter_map(|start| self.slot(start, length)).collect())
    }

    fn slot(&self, start: Start, length: Length) -> Option<Slot> {
        match (start, length) {
            (Start::Day(from), Length::Days(days)) => {
                let to = from.checked_add_days(Days::new(days.saturating_sub(1)))?;
                Some(Exclusion { from, to, timezone: self.timezone, name: String::new() }.slot())
            }
            (Start::At(start), Length::Exact(length)) => {
                Some(Slot { start, end: start.checked_add_signed(length)? })
            }
            (Start::Day(_), Length::Exact(_)) | (Start::At(_), Length::Days(_)) => None,
        }
    }

    /// A day or a moment, and in which zone it repeats.
    fn start(&self, field: &'static str, property: &Property<'_>) -> Result<(Start, Tz), BadCalendar> {
        let zone = match param(property, "TZID") {
            None => self.timezone,
            Some(name) => parse_timezone(name).map_err(|bad| {
                self.bad(field, format!("{bad}; zones are known by their names in the IANA database"))
            })?,
        };
        self.moment(field, property.val.as_str(), zone)
    }

    fn moment(&self, field: &'static str, text: &str, zone: Tz) -> Result<(Start, Tz), BadCalendar> {
        let text = text.trim();
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y%m%d") {
            return Ok((Start::Day(day), Tz::UTC));
        }
        let (local, zone) = match text.strip_suffix('Z') {
            Some(utc) => (utc, Tz::UTC),
            None => (text, zone),
        };
        let local = NaiveDateTime::parse_from_str(local, "%Y%m%dT%H%M%S").map_err(|_| {
            self.bad(
                field,
                format!("{text:?} is no time; write it as 20261224, 20261224T180000 or 20261224T180000Z"),
            )
        })?;
        let shown = Shown::of(local, zone).ok_or_else(|| self.bad(field, "lies outside of the calendar"))?;
        let moment = match shown {
            Shown::Once(moment) | Shown::Twice(moment, _) | Shown::Never(moment) => moment,
        };
        Ok((Start::At(moment), zone))
    }

    fn length(&self, start: Start) -> Result<Length, BadCalendar> {
        let backward = || self.bad("DTEND", "is before the beginning; write the later one as DTEND");
        if let Some(property) = self.part.find_prop("DTEND") {
            return match (start, self.start("DTEND", property)?.0) {
                (Start::Day(from), Start::Day(to)) => {
                    let days = u64::try_from((to - from).num_days()).map_err(|_| backward())?;
                    // A day that ends on the day it begins is written by some programs for a single one.
                    Ok(Length::Days(days.max(1)))
                }
                (Start::At(from), Start::At(to)) if from <= to => Ok(Length::Exact(to - from)),
                (Start::At(_), Start::At(_)) => Err(backward()),
                (Start::Day(_), Start::At(_)) | (Start::At(_), Start::Day(_)) => {
                    Err(self
                        .bad("DTEND", "must be a day where DTSTART is a day, and a time where that is one"))
                }
            };
        }
        let Some(text) = self.text("DURATION") else {
            return Ok(match start {
                Start::Day(_) => Length::Days(1),
                Start::At(_) => Length::Exact(TimeDelta::zero()),
            });
        };
        let bad =
            || self.bad("DURATION", format!("{text:?} is no length of time; write it as P1D or PT2H30M"));
        let exact = iso8601::duration(text).map_err(|_| bad())?;
        let exact = TimeDelta::from_std(exact.into()).map_err(|_| bad())?;
        match start {
            Start::At(_) => Ok(Length::Exact(exact)),
            Start::Day(_) if exact.num_days() >= 1 && exact == TimeDelta::days(exact.num_days()) => {
                Ok(Length::Days(exact.num_days().unsigned_abs()))
            }
            Start::Day(_) => Err(bad()),
        }
    }

    /// When it begins, each time.
    fn starts(&self, first: Start, zone: Tz) -> Result<Vec<Start>, BadCalendar> {
        let mut starts = match self.text("RRULE") {
            None => vec![first],
            Some(rule) => self.repeated(rule, first, zone)?,
        };
        for (field, name) in [("RDATE", "RDATE"), ("EXDATE", "EXDATE")] {
            for property in self.part.properties.iter().filter(|property| property.name.as_str() == name) {
                if param(property, "VALUE").is_some_and(|value| value.eq_ignore_ascii_case("PERIOD")) {
                    return Err(self.bad(field, "periods are not read; write days or times"));
                }
                let zone = self.start_zone(field, property)?;
                for text in property.val.as_str().split(',') {
                    let (moment, _) = self.moment(field, text, zone)?;
                    if name == "RDATE" {
                        starts.push(moment);
                    } else {
                        starts.retain(|start| *start != moment);
                    }
                }
            }
        }
        Ok(starts)
    }

    fn start_zone(&self, field: &'static str, property: &Property<'_>) -> Result<Tz, BadCalendar> {
        match param(property, "TZID") {
            None => Ok(self.timezone),
            Some(name) => parse_timezone(name).map_err(|bad| self.bad(field, bad.to_string())),
        }
    }

    fn repeated(&self, text: &str, first: Start, zone: Tz) -> Result<Vec<Start>, BadCalendar> {
        const FIELD: &str = "RRULE";
        let bad = |error: &dyn std::fmt::Display| self.bad(FIELD, first_line(&error.to_string()));
        let rule =
            RRule::<Unvalidated>::from_str(&self.with_until(text, zone)?).map_err(|error| bad(&error))?;
        match rule.get_freq() {
            Frequency::Yearly | Frequency::Monthly | Frequency::Weekly | Frequency::Daily => {}
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
                return Err(self.bad(FIELD, "repeats within a day; a freeze repeats at most DAILY"));
            }
        }
        if rule.get_until().is_none() && rule.get_count().is_none() {
            return Err(self.bad(
                FIELD,
                "repeats for ever, and a calendar is read once and for all; give it an end, such as UNTIL=20301231 or COUNT=5",
            ));
        }
        let zone = rrule::Tz::from(zone);
        let begin = match first {
            Start::Day(day) => rrule::Tz::UTC.from_utc_datetime(&day.and_time(NaiveTime::MIN)),
            Start::At(moment) => moment.with_timezone(&zone),
        };
        let rule = rule.validate(begin).map_err(|error| bad(&error))?;
        let found = RRuleSet::new(begin).rrule(rule).all(MOST_OCCURRENCES);
        if found.limited {
            return Err(
                self.bad(FIELD, format!("comes to no end within {MOST_OCCURRENCES} times; end it sooner"))
            );
        }
        if found.dates.is_empty() {
            return Err(self.bad(FIELD, "never occurs; a rule names days that exist"));
        }
        let starts = found.dates.into_iter().map(|date| match first {
            Start::Day(_) => Start::Day(date.date_naive()),
            Start::At(_) => Start::At(date.to_utc()),
        });
        Ok(starts.collect())
    }

    /// The rule with its end in UTC, as the crate wants it. A day as the end means that whole day.
    fn with_until(&self, rule: &str, zone: Tz) -> Result<String, BadCalendar> {
        let mut parts = Vec::new();
        for part in rule.split(';') {
            let Some((_, until)) = part.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("UNTIL"))
            else {
                parts.push(part.to_owned());
                continue;
            };
            let until = match self.moment("RRULE", until, zone)?.0 {
                Start::Day(day) => format!("{}T235959Z", day.format("%Y%m%d")),
                Start::At(moment) => moment.format("%Y%m%dT%H%M%SZ").to_string(),
            };
            parts.push(format!("UNTIL={until}"));
        }
        Ok(parts.join(";"))
    }
}

#[cfg(test)]
mod tests;
