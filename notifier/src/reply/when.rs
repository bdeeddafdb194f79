//! A day and a time of day, as people write them, in their zone.
//!
//! Every form is one that can mean a single thing. What is left out is left out because it can't: a day without a time, `6` that is
//! morning or evening, `3/4`, a time that the clocks skip or show twice. The refusal then says what it could have meant.

use chrono::offset::LocalResult;
use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Weekday};
use chrono_tz::Tz;
use drover_policies::time::Instant;

use crate::words;

/// The longest text that is looked at.
const LONGEST: usize = 100;

/// Reads `tomorrow 22:00`, `next friday at 6pm`, `3 December 2026 22:00`, `2026-12-03T22:00+01:00`, …
///
/// # Errors
/// A phrase that says what was not understood, or what it could mean.
pub(super) fn when(text: &str, zone: Tz, now: Instant) -> Result<Instant, String> {
    let text = words::one_line(text, LONGEST).to_lowercase();
    let (time, rest) = time(parts(&text))?;
    let (place, rest) = place(rest)?;
    let local_now = match place {
        Place::Offset(offset) => now.with_timezone(&offset).naive_local(),
        Place::Own | Place::Called(_) => now.with_timezone(&zone).naive_local(),
    };
    let date = Asked { now: local_now, time }.date(rest)?;
    let local = date.and_time(time);
    match place {
        Place::Own => in_zone(local, zone).map(|at| at.to_utc()),
        Place::Offset(offset) => {
            offset.from_local_datetime(&local).single().map(|at| at.to_utc()).ok_or_else(|| not_a_day(&text))
        }
        Place::Called(name) => {
            let at = in_zone(local, zone)?;
            if at.format("%Z").to_string().eq_ignore_ascii_case(&name) {
                return Ok(at.to_utc());
            }
            Err(format!(
                "{:?} is not what the time in {zone} is called then; leave it out, or write an offset such as {}",
                name.to_uppercase(),
                at.format("%:z")
            ))
        }
    }
}

/// The words, with times that stand close to something else set apart, and without what says nothing.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in text.replace([',', '(', ')'], " ").split_whitespace() {
        let word = word.trim_end_matches(['.', '!', ';']);
        let half = word.replace('.', "");
        if let Some((date, time)) = word.split_once('t')
            && NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok()
        {
            let offset = time.find(['+', '-', 'z']).unwrap_or(time.len());
            let pieces = [date, &time[..offset], &time[offset..]];
            parts.extend(pieces.into_iter().filter(|piece| !piece.is_empty()).map(ToOwned::to_owned));
        } else if ["am", "pm"].contains(&half.as_str())
            && let Some(last) = parts.last_mut().filter(|last| last.starts_with(|c: char| c.is_ascii_digit()))
        {
            last.push_str(&half);
        } else if !["at", "on", "the", "of", "o'clock", ""].contains(&word) {
            parts.push(ordinal(word).to_owned());
        }
    }
    parts
}

/// `3rd` is `3`.
fn ordinal(word: &str) -> &str {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_ordinal = ["st", "nd", "rd", "th"].contains(&&word[digits.len()..]);
    if is_ordinal && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits
    } else {
        word
    }
}

/// The one time of day, and everything else in its order.
fn time(parts: Vec<String>) -> Result<(NaiveTime, Vec<String>), String> {
    let is_offset = |word: &str| offset(word).is_some();
    let looks = |word: &str| {
        !is_offset(word)
            && word.starts_with(|c: char| c.is_ascii_digit())
            && (word.contains(':') || word.ends_with("am") || word.ends_with("pm"))
    };
    let (times, rest): (Vec<String>, Vec<String>) =
        parts.into_iter().partition(|word| looks(word) || word == "noon" || word == "midnight");
    let [word] = times.as_slice() else {
        return Err(match times.as_slice() {
            [] => "there is no time of day in it, such as 22:00".to_owned(),
            several => format!("there are several times of day in it: {}", several.join(", ")),
        });
    };
    if word == "midnight" {
        return Err(
            "midnight can be the beginning or the end of the day; write 00:00 and the day that begins then"
                .to_owned(),
        );
    }
    let full = match word.strip_suffix("am").or_else(|| word.strip_suffix("pm")) {
        Some(hour) if !hour.contains(':') => format!("{hour}:00{}", &word[hour.len()..]),
        Some(_) | None if word == "noon" => "12:00".to_owned(),
        Some(_) | None => word.clone(),
    };
    ["%H:%M", "%H:%M:%S", "%I:%M%p"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(&full, format).ok())
        .map(|time| (time, rest))
        .ok_or_else(|| format!("{word:?} is no time of day; write it as 22:00 or 10pm"))
}

/// Where the time is meant.
enum Place {
    /// In his own zone.
    Own,
    /// At an offset from UTC.
    Offset(FixedOffset),
    /// In a zone of this abbreviation, which should be his.
    Called(String),
}

/// `utc`, `+01:00`, `cet (utc+01:00)` or `cet` at the end.
fn place(mut rest: Vec<String>) -> Result<(Place, Vec<String>), String> {
    let Some(last) = rest.last() else { return Ok((Place::Own, rest)) };
    if let Some(offset) = offset(last) {
        rest.pop();
        // `CET (UTC+01:00)` stands in our own mails.
        if rest.last().is_some_and(|word| is_abbreviation(word)) {
            rest.pop();
        }
        return Ok((Place::Offset(offset), rest));
    }
    if is_abbreviation(last) {
        let name = rest.pop().unwrap_or_default();
        return Ok((Place::Called(name), rest));
    }
    Ok((Place::Own, rest))
}

fn is_abbreviation(word: &str) -> bool {
    (3..=5).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase())
        && word.parse::<Weekday>().is_err()
        && word.parse::<chrono::Month>().is_err()
        && !["today", "tonight", "next", "this"].contains(&word)
        && word.ends_with('t')
}

fn offset(word: &str) -> Option<FixedOffset> {
    let figures = word.strip_prefix("utc").or_else(|| word.strip_prefix("gmt")).unwrap_or(word);
    match figures {
        "" | "z" => FixedOffset::east_opt(0),
        _ if figures.starts_with(['+', '-']) => {
            let moment = format!("2000-01-01T00:00:00{figures}");
            ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M:%S%z"]
                .iter()
                .find_map(|format| DateTime::parse_from_str(&moment, format).ok())
                .map(|moment| *moment.offset())
        }
        _ => None,
    }
}

/// What a day is counted from.
struct Asked {
    now: NaiveDateTime,
    time: NaiveTime,
}

impl Asked {
    fn date(&self, words: Vec<String>) -> Result<NaiveDate, String> {
        let today = self.now.date();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Err("there is no day in it, such as tomorrow or 2026-12-03".to_owned()),
            ["today"] => Ok(today),
            ["tomorrow"] => later(today, 1),
            ["day", "after", "tomorrow"] => later(today, 2),
            [day] | ["this" | "coming", day] if day.parse::<Weekday>().is_ok() => self.weekday(day),
            ["next", day] if day.parse::<Weekday>().is_ok() => self.next_weekday(day),
            [day, rest @ ..] if !rest.is_empty() && day.parse::<Weekday>().is_ok() => {
                self.named(day, calendar_date(rest, today)?)
            }
            rest => calendar_date(rest, today),
        }
    }

    /// `friday` is the one that comes; said on a Friday it can be two.
    fn weekday(&self, day: &str) -> Result<NaiveDate, String> {
        let today = self.now.date();
        let ahead = days_until(today, day)?;
        if ahead > 0 {
            return later(today, ahead);
        }
        let in_a_week = later(today, 7)?;
        if self.time <= self.now.time() {
            return Ok(in_a_week);
        }
        Err(two_meanings(day, today, in_a_week))
    }

    /// `next friday` is in the coming week. Said before that day of a week, some mean the day of this one.
    fn next_weekday(&self, day: &str) -> Result<NaiveDate, String> {
        let today = self.now.date();
        let ahead = days_until(today, day)?;
        let first = later(today, if ahead == 0 { 7 } else { ahead })?;
        if first.iso_week() != today.iso_week() {
            return Ok(first);
        }
        Err(two_meanings(&format!("next {day}"), first, later(first, 7)?))
    }

    /// `thursday 3 december`: both must say the same.
    fn named(&self, day: &str, date: NaiveDate) -> Result<NaiveDate, String> {
        match day.parse::<Weekday>() {
            Ok(said) if said == date.weekday() => Ok(date),
            Ok(_) | Err(_) => Err(format!("{} is a {}, not a {day}", shown(date), date.format("%A"))),
        }
    }
}

fn later(day: NaiveDate, days: u64) -> Result<NaiveDate, String> {
    day.checked_add_days(Days::new(days)).ok_or_else(|| "it is beyond the calendar".to_owned())
}

fn days_until(today: NaiveDate, day: &str) -> Result<u64, String> {
    let wanted: Weekday = day.parse().map_err(|_| not_a_day(day))?;
    Ok(u64::from(wanted.days_since(today.weekday())))
}

fn two_meanings(said: &str, a: NaiveDate, b: NaiveDate) -> String {
    format!("{said:?} can be {} or {}; write the date", shown(a), shown(b))
}

fn shown(date: NaiveDate) -> String {
    format!("{} {}", date.day(), date.format("%B %Y"))
}

fn not_a_day(said: &str) -> String {
    format!("{said:?} is no day that is understood; write for example 2026-12-03")
}

/// `2026-12-03`, `3.12.2026`, `3 december 2026`, `dec 3 2026`, `3/12/2026`; without the year it is the next one.
fn calendar_date(words: &[&str], today: NaiveDate) -> Result<NaiveDate, String> {
    let said = words.join(" ");
    if said.contains('/') {
        return with_slashes(&said, today);
    }
    let found = ["%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d %Y"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(&said, format).ok())
        .or_else(|| next_of(&said, &["%d %B %Y", "%B %d %Y", "%d.%m %Y"], today));
    match found {
        // Two figures for a year are a year long ago.
        Some(date) if date.year() >= 1900 => Ok(date),
        Some(_) | None => Err(not_a_day(&said)),
    }
}

/// The first such day that is not past.
fn next_of(said: &str, formats: &[&str], today: NaiveDate) -> Option<NaiveDate> {
    // The 29th of February can be eight years off.
    (today.year()..=today.year() + 8).find_map(|year| {
        let dated = format!("{said} {year}");
        formats
            .iter()
            .find_map(|format| NaiveDate::parse_from_str(&dated, format).ok())
            .filter(|date| *date >= today)
    })
}

/// Some write the day first, others the month.
fn with_slashes(said: &str, today: NaiveDate) -> Result<NaiveDate, String> {
    let read = |full: &str, short: &str| {
        NaiveDate::parse_from_str(said, full)
            .ok()
            .filter(|date| date.year() >= 1900)
            .or_else(|| next_of(said, &[short], today))
    };
    if let Ok(date) = NaiveDate::parse_from_str(said, "%Y/%m/%d")
        && date.year() >= 1900
    {
        return Ok(date);
    }
    match (read("%d/%m/%Y", "%d/%m %Y"), read("%m/%d/%Y", "%m/%d %Y")) {
        (Some(a), Some(b)) if a != b => Err(two_meanings(said, a.min(b), a.max(b))),
        (Some(date), _) | (None, Some(date)) => Ok(date),
        (None, None) => Err(not_a_day(said)),
    }
}

/// The moment at which clocks in the zone show this.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Result<DateTime<Tz>, String> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Ok(at),
        LocalResult::Ambiguous(a, b) => Err(format!(
            "{} comes twice on {} in {zone}, because clocks are put back; write {} {} for the first, or {} for the second",
            local.format("%H:%M"),
            shown(local.date()),
            local.format("%H:%M"),
            a.format("%:z"),
            b.format("%:z"),
        )),
        LocalResult::None => Err(format!(
            "there is no {} on {} in {zone}, because clocks are put forward over it",
            local.format("%H:%M"),
            shown(local.date()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Wednesday, 25 November 2026, 10:30 in Berlin.
    const NOW: &str = "2026-11-25T09:30:00Z";

    fn berlin(text: &str) -> Result<String, String> {
        when(text, Tz::Europe__Berlin, NOW.parse().expect("a moment"))
            .map(|at| at.with_timezone(&Tz::Europe__Berlin).format("%a %Y-%m-%d %H:%M %:z").to_string())
    }

    #[test]
    fn a_day_and_a_time_are_read_in_many_forms() {
        for (text, read) in [
            ("2026-12-03 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("2026-12-03T22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("2026-12-03T22:00:00Z", "Thu 2026-12-03 23:00 +01:00"),
            ("2026-12-03T22:00+05:30", "Thu 2026-12-03 17:30 +01:00"),
            ("2026-12-03T22:00-0500", "Fri 2026-12-04 04:00 +01:00"),
            ("2026-12-03 22:00 UTC", "Thu 2026-12-03 23:00 +01:00"),
            ("2026-12-03 22:00 CET", "Thu 2026-12-03 22:00 +01:00"),
            ("Thursday, 3 December 2026, 22:00 CET (UTC+01:00)", "Thu 2026-12-03 22:00 +01:00"),
            ("Tuesday, 1 December 2026, 02:00 UTC", "Tue 2026-12-01 03:00 +01:00"),
            ("tomorrow 22:00", "Thu 2026-11-26 22:00 +01:00"),
            ("tomorrow at 10 PM", "Thu 2026-11-26 22:00 +01:00"),
            ("today at noon.", "Wed 2026-11-25 12:00 +01:00"),
            ("22:00 tomorrow", "Thu 2026-11-26 22:00 +01:00"),
            ("the day after tomorrow, 6 p.m.", "Fri 2026-11-27 18:00 +01:00"),
            ("Friday 18:00", "Fri 2026-11-27 18:00 +01:00"),
            ("this friday at 6pm", "Fri 2026-11-27 18:00 +01:00"),
            ("next Monday at 6:30am", "Mon 2026-11-30 06:30 +01:00"),
            ("next wednesday 06:00", "Wed 2026-12-02 06:00 +01:00"),
            ("wednesday 06:00", "Wed 2026-12-02 06:00 +01:00"),
            ("3 December 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("Dec 3rd, 10pm", "Thu 2026-12-03 22:00 +01:00"),
            ("on the 3rd of December at 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("3 february 22:00", "Wed 2027-02-03 22:00 +01:00"),
            ("29 february 22:00", "Tue 2028-02-29 22:00 +01:00"),
            ("03.12.2026 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("3.12. 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("2026/12/03 22:00", "Thu 2026-12-03 22:00 +01:00"),
            ("13/12/2026 22:00", "Sun 2026-12-13 22:00 +01:00"),
            ("12/13 22:00", "Sun 2026-12-13 22:00 +01:00"),
            ("12/12 12am", "Sat 2026-12-12 00:00 +01:00"),
            ("2026-10-25 02:30 +01:00", "Sun 2026-10-25 02:30 +01:00"),
        ] {
            assert_eq!(berlin(text).as_deref(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_can_have_two_meanings_is_a_question_and_not_a_guess() {
        for (text, why) in [
            ("", "there is no time of day in it, such as 22:00"),
            ("tomorrow", "there is no time of day in it, such as 22:00"),
            ("tomorrow at 6", "there is no time of day in it, such as 22:00"),
            ("22:00", "there is no day in it, such as tomorrow or 2026-12-03"),
            ("tomorrow 22:00 or 23:00", "there are several times of day in it: 22:00, 23:00"),
            (
                "tomorrow midnight",
                "midnight can be the beginning or the end of the day; write 00:00 and the day that begins then",
            ),
            ("tomorrow 25:00", "\"25:00\" is no time of day; write it as 22:00 or 10pm"),
            ("tomorrow 13pm", "\"13pm\" is no time of day; write it as 22:00 or 10pm"),
            ("soon 22:00", "\"soon\" is no day that is understood; write for example 2026-12-03"),
            ("2026-02-30 22:00", "\"2026-02-30\" is no day that is understood; write for example 2026-12-03"),
            ("3/12/26 22:00", "\"3/12/26\" is no day that is understood; write for example 2026-12-03"),
            ("3/12/2026 22:00", "\"3/12/2026\" can be 12 March 2026 or 3 December 2026; write the date"),
            (
                "next friday 22:00",
                "\"next friday\" can be 27 November 2026 or 4 December 2026; write the date",
            ),
            ("wednesday 22:00", "\"wednesday\" can be 25 November 2026 or 2 December 2026; write the date"),
            ("Friday 3 December 2026 22:00", "3 December 2026 is a Thursday, not a friday"),
            (
                "tomorrow 22:00 EST",
                "\"EST\" is not what the time in Europe/Berlin is called then; leave it out, or write an offset such as +01:00",
            ),
            (
                "2027-03-28 02:30",
                "there is no 02:30 on 28 March 2027 in Europe/Berlin, because clocks are put forward over it",
            ),
            (
                "2027-10-31 02:30",
                "02:30 comes twice on 31 October 2027 in Europe/Berlin, because clocks are put back; write 02:30 +02:00 for the first, or +01:00 for the second",
            ),
        ] {
            assert_eq!(berlin(text), Err(why.to_owned()), "{text}");
        }
    }

    proptest! {
        /// What our mails offer to be copied is read as what it was.
        #[test]
        fn an_offered_time_is_read_as_itself(minutes in 0_i64..60 * 24 * 366 * 20, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let at = Instant::UNIX_EPOCH + chrono::TimeDelta::minutes(29_000_000 + minutes);
            let now = Instant::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
            prop_assert_eq!(when(&words::for_answer(at, zone), zone, now), Ok(at));
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,80}") {
            let _ = when(&text, Tz::Europe__Berlin, Instant::UNIX_EPOCH);
        }

        #[test]
        fn no_text_of_likely_words_breaks_it(words in prop::collection::vec(prop::sample::select(vec![
            "next", "friday", "tomorrow", "at", "6", "6pm", "22:00", "3", "3rd", "december", "2026", "2026-12-03", "3/4", "+01:00",
            "utc", "cet", "t", "am", "99999999999", "-", "+", "00:00:60", "0000-00-00t", "31.12.", ":", "12:",
        ]), 0..6)) {
            let _ = when(&words.join(" "), Tz::Europe__Berlin, Instant::UNIX_EPOCH);
        }
    }
}
