//! Times, lengths and amounts, as people read them.

use std::borrow::Borrow;
use std::fmt::Write as _;

use chrono::{Datelike, NaiveDateTime, SecondsFormat};
use chrono_tz::Tz;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use crate::frame::Frame;
use crate::html::{Html, escaped};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const UTC: &str = " UTC";

/// The time with which a text ends, and where in the text it begins.
fn time_at_end(text: &str) -> Option<(usize, Instant)> {
    ["2026-01-31 23:59:59", "2026-01-31 23:59"].into_iter().zip(["%F %T", "%F %R"]).find_map(
        |(shape, form)| {
            let start = text.len().checked_sub(shape.len())?;
            let at = NaiveDateTime::parse_from_str(text.get(start..)?, form).ok()?;
            Some((start, at.and_utc()))
        },
    )
}

impl Frame {
    /// A moment: in the reader's zone, with how far it is from now beside it, and in UTC for whoever points at it.
    pub(crate) fn time(&self, at: &Instant) -> Html {
        let exact = self.exact(at, &self.date_and_clock(at));
        Html::made(format!("{exact} <span class=\"ago\">{}</span>", self.distance(at)))
    }

    /// A moment in as little room as in a table: how far it is from now, and the day and the time of day in short.
    pub(crate) fn ago(&self, at: &Instant) -> Html {
        let clock = at.with_timezone(&self.zone).format("%H:%M");
        let short = escaped(&format!("{} {clock}", self.date_short(at)));
        Html::made(format!("{} <span class=\"hint\">{short}</span>", self.distance(at)))
    }

    /// How far a moment is from now. The script has it go on.
    pub(crate) fn distance(&self, at: &Instant) -> Html {
        self.told(at, &self.away(at), " data-away")
    }

    /// A moment without its distance. [`Html::text`] of it is for sentences.
    #[must_use]
    pub fn moment(&self, at: &Instant) -> Html {
        self.exact(at, &self.date_and_clock(at))
    }

    /// A moment of a log: date and seconds, both in the reader's zone.
    pub(crate) fn stamp(&self, at: &Instant) -> Html {
        self.exact(at, &at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// A stretch of time: its day once, if it begins and ends on the same. [`Html::text`] of it is for sentences.
    #[must_use]
    pub fn slot(&self, slot: &Slot) -> Html {
        let (from, to) = (slot.start.with_timezone(&self.zone), slot.end.with_timezone(&self.zone));
        let end = if from.date_naive() == to.date_naive() {
            self.clock(&slot.end)
        } else {
            format!("{} {}", self.date(&slot.end), self.clock(&slot.end))
        };
        let start = if from.offset() == to.offset() {
            format!("{} {}", self.date(&slot.start), from.format("%H:%M"))
        } else {
            format!("{} {}", self.date(&slot.start), self.clock(&slot.start))
        };
        Html::made(format!("{}–{}", self.exact(&slot.start, &start), self.exact(&slot.end, &end)))
    }

    /// A sentence of the story, in which times are told in UTC, with the reader's own.
    pub(crate) fn story(&self, text: &str) -> String {
        let text = self.said(text);
        if self.zone == Tz::UTC {
            return text;
        }
        let mut told = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(UTC) {
            match time_at_end(before) {
                Some((start, at)) => {
                    told.push_str(&before[..start]);
                    told.push_str(&self.moment(&at).text());
                }
                None => told.extend([before, UTC]),
            }
            rest = after;
        }
        told + rest
    }

    /// Only the hours of a stretch.
    pub(crate) fn hours(&self, slot: &Slot) -> Html {
        let clock = |at: &Instant| at.with_timezone(&self.zone).format("%H:%M").to_string();
        Html::made(format!(
            "{}–{}",
            self.exact(&slot.start, &clock(&slot.start)),
            self.exact(&slot.end, &clock(&slot.end))
        ))
    }

    fn exact(&self, at: &Instant, text: &str) -> Html {
        self.told(at, text, "")
    }

    fn told(&self, at: &Instant, text: &str, mark: &str) -> Html {
        Html::made(format!(
            "<time{mark} datetime=\"{}\" title=\"{}\">{}</time>",
            at.to_rfc3339_opts(SecondsFormat::Secs, true),
            at.format("%Y-%m-%d %H:%M:%S UTC"),
            escaped(text)
        ))
    }

    /// `Tue 24 Nov 2026`.
    pub(crate) fn date(&self, at: &Instant) -> String {
        let local = at.with_timezone(&self.zone);
        let weekday = self.tn("weekday", local.weekday().number_from_monday());
        let month = self.tn("month", local.month());
        self.words().say(
            "date",
            &[
                ("weekday", weekday.into()),
                ("day", local.day().into()),
                ("month", month.into()),
                ("year", local.year().to_string().into()),
            ],
        )
    }

    /// `Tue 24 Nov 2026 03:00 CET`.
    pub(crate) fn date_and_clock(&self, at: &Instant) -> String {
        format!("{} {}", self.date(at), self.clock(at))
    }

    /// `Tue 24 Nov`.
    pub(crate) fn date_short(&self, at: &Instant) -> String {
        let local = at.with_timezone(&self.zone);
        let weekday = self.tn("weekday", local.weekday().number_from_monday());
        let month = self.tn("month", local.month());
        let args = [("weekday", weekday.into()), ("day", local.day().into()), ("month", month.into())];
        self.words().say("date-short", &args)
    }

    /// `03:00 CET`.
    pub(crate) fn clock(&self, at: &Instant) -> String {
        at.with_timezone(&self.zone).format("%H:%M %Z").to_string()
    }

    /// `in 3 hours`, `2 days ago`.
    pub(crate) fn away(&self, at: &Instant) -> String {
        let seconds = (*at - self.now).num_seconds();
        let far = seconds.abs();
        if far < 5 {
            return self.t("just-now");
        }
        let span = self.rough(far, "days-away");
        if seconds > 0 { self.t1("in-span", &span) } else { self.t1("span-ago", &span) }
    }

    /// One unit, or two where the greater one alone would be coarse. Days are said in another case after "in" than by themselves.
    fn rough(&self, seconds: i64, days: &str) -> String {
        let unit = |key: &str, n: i64| self.tn(key, u64::try_from(n).unwrap_or(0));
        match seconds {
            ..60 => unit("seconds", seconds),
            60..600 if seconds % MINUTE != 0 => {
                format!("{} {}", unit("minutes", seconds / MINUTE), unit("seconds", seconds % MINUTE))
            }
            60..5400 => unit("minutes", seconds / MINUTE),
            5400..36_000 => {
                let (hours, minutes) = (seconds / HOUR, seconds % HOUR / MINUTE);
                if minutes == 0 {
                    unit("hours", hours)
                } else {
                    format!("{} {}", unit("hours", hours), unit("minutes", minutes))
                }
            }
            36_000..172_800 => unit("hours", seconds / HOUR),
            _ => unit(days, seconds / DAY),
        }
    }

    /// A length of time in words.
    pub(crate) fn span(&self, span: &Span) -> String {
        let milliseconds = span.as_milliseconds();
        match milliseconds {
            0 => self.t("no-time"),
            1..1000 => format!("{milliseconds} ms"),
            1000..10_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
            _ => self.rough(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX), "days"),
        }
    }

    /// An amount of bytes.
    pub(crate) fn bytes(&self, bytes: &u64) -> String {
        amount(*bytes)
    }

    /// Bytes per second.
    pub(crate) fn rate(&self, bytes: &u64) -> String {
        format!("{}/s", amount(*bytes))
    }

    /// A part of a hundred, as a bar with words beside it.
    pub(crate) fn bar(&self, label: impl AsRef<str>, percent: impl Borrow<u8>) -> Html {
        let (label, percent) = (escaped(label.as_ref()), percent.borrow());
        Html::made(format!(
            "<span class=\"bar\"><progress max=\"100\" value=\"{percent}\" aria-label=\"{label}\">{percent} %</progress><span>{percent} %</span></span>"
        ))
    }
}

/// `61.4 GiB`: three figures, in powers of 1024.
#[must_use]
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths, so that nothing is rounded through a float.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let mut text = String::new();
    let _ = match (tenths / 10, tenths % 10) {
        (whole, 0) => write!(text, "{whole} {}", UNITS[unit]),
        (whole @ 100.., _) => write!(text, "{whole} {}", UNITS[unit]),
        (whole, tenth) => write!(text, "{whole}.{tenth} {}", UNITS[unit]),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn amounts_have_three_figures_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 30, "64 GiB"),
            (u64::MAX, "15.9 EiB"),
            (1023 * (1 << 20), "1023 MiB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }

    #[test]
    fn times_in_a_story_are_those_of_the_reader() {
        let mut frame = samples::operator("/");
        let text = "moved from 2026-11-23 05:15:00 UTC to 2026-12-06 23:30 UTC, not to UTC";
        frame.zone = Tz::UTC;
        assert_eq!(frame.story(text), text);
        frame.zone = Tz::Europe__Berlin;
        let (from, to) = ("Mon 23 Nov 2026 06:15 CET", "Mon 7 Dec 2026 00:30 CET");
        assert_eq!(frame.story(text), format!("moved from {from} to {to}, not to UTC"));
    }

    #[test]
    fn distances_are_told_in_the_unit_that_people_would_use() {
        let frame = samples::operator("/");
        let away = |seconds| frame.away(&(frame.now + chrono::TimeDelta::seconds(seconds)));
        assert_eq!(away(0), "just now");
        assert_eq!(away(-45), "45 seconds ago");
        assert_eq!(away(600), "in 10 minutes");
        assert_eq!(away(2 * 3600 + 600), "in 2 hours 10 minutes");
        assert_eq!(away(-26 * 3600), "26 hours ago");
        assert_eq!(away(3 * 86_400), "in 3 days");
    }

    #[test]
    fn a_distance_names_its_moment_so_that_it_can_go_on_and_stands_beside_the_time_itself() {
        let frame = samples::owner("/my");
        let html = frame.ago(&samples::hours(14)).into_string();
        assert!(html.starts_with("<time data-away datetime=\"2026-11-25T01:00:00Z\""), "{html}");
        assert!(html.contains(">in 14 hours</time> <span class=\"hint\">Wed 25 Nov 02:00</span>"), "{html}");
        assert!(frame.time(&samples::hours(14)).text().ends_with("02:00 CET in 14 hours"));
    }

    #[test]
    fn a_night_in_which_the_clocks_change_names_both_zones() {
        let frame = samples::owner("/my");
        let start = "2026-10-25T00:30:00Z".parse().expect("a moment");
        let slot = Slot { start, end: start + chrono::TimeDelta::hours(2) };
        let text = frame.slot(&slot).into_string();
        assert!(text.contains("02:30 CEST") && text.contains("03:30 CET"), "{text}");
    }
}
