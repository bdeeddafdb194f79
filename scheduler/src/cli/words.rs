//! Figures and times as people read them.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use drover_policies::time::{Instant, Span};

use super::exit::Failed;

/// `12.3 GiB`, `512 MiB`, `0 B`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// `12.3 MiB/s`.
#[must_use]
pub fn rate(per_second: u64) -> String {
    format!("{}/s", bytes(per_second))
}

/// `43 ms`, `3.2 s`, `4 min`, `2 h`, `3 days`.
#[must_use]
pub fn span(span: Span) -> String {
    let ms = span.as_milliseconds();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// What is said within a sentence, as one of its own.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", rest.as_str())
}

/// Milliseconds in the same way.
#[must_use]
pub fn milliseconds(ms: u64) -> String {
    span(Span::milliseconds(ms))
}

/// The present and the zone, for telling times.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The present.
    pub now: Instant,
    /// In which times are told.
    pub zone: Tz,
}

impl Times {
    /// `in 2 h`, `4 min ago`, `now`.
    #[must_use]
    pub fn ago(&self, moment: Instant) -> String {
        let away = moment - self.now;
        if away.abs() < TimeDelta::seconds(1) {
            return "now".to_owned();
        }
        if moment > self.now {
            // Cut to whole seconds upwards, or what was set to "in 7 days" a moment ago reads as "in 6 days".
            let rounded = Span::between(self.now, moment + TimeDelta::milliseconds(999));
            format!("in {}", span(whole(rounded)))
        } else {
            format!("{} ago", span(whole(Span::between(moment, self.now))))
        }
    }

    /// `14:30 CET` today, `Tue 14:30 CET` within a week, `2026-12-01 14:30 CET` else.
    #[must_use]
    pub fn at(&self, moment: Instant) -> String {
        let local = moment.with_timezone(&self.zone);
        let today = self.now.with_timezone(&self.zone);
        let days = (local.date_naive() - today.date_naive()).num_days();
        if days == 0 {
            local.format("%H:%M %Z").to_string()
        } else if (-6..=6).contains(&days) {
            local.format("%a %H:%M %Z").to_string()
        } else if local.year() == today.year() {
            local.format("%-d %b %H:%M %Z").to_string()
        } else {
            local.format("%Y-%m-%d %H:%M %Z").to_string()
        }
    }

    /// Both: `Tue 14:30 CET (in 2 days)`.
    #[must_use]
    pub fn both(&self, moment: Instant) -> String {
        format!("{} ({})", self.at(moment), self.ago(moment))
    }

    /// For lines of a story: `14:30:07`, with the date when it isn't today's.
    #[must_use]
    pub fn stamp(&self, moment: Instant) -> String {
        let local = moment.with_timezone(&self.zone);
        if local.date_naive() == self.now.with_timezone(&self.zone).date_naive() {
            local.format("%H:%M:%S").to_string()
        } else {
            local.format("%Y-%m-%d %H:%M:%S").to_string()
        }
    }

    /// A moment as people write it: RFC 3339, `2026-11-25 03:00` in the zone, or a span from now, with or without `+`.
    ///
    /// # Errors
    /// It is none of these, or it doesn't exist in the zone.
    pub fn parse(&self, text: &str) -> Result<Instant, Failed> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(moment.with_timezone(&Utc));
        }
        // As mails write it: RFC 3339 without seconds.
        if let Ok(moment) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%:z") {
            return Ok(moment.with_timezone(&Utc));
        }
        if let Ok(span) = text.trim_start_matches('+').parse::<Span>() {
            return self
                .now
                .checked_add_signed(span.delta())
                .ok_or_else(|| Failed::usage(format!("{text:?} is too far away")));
        }
        let local = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        match local.map(|local| self.zone.from_local_datetime(&local)) {
            Some(chrono::LocalResult::Single(moment) | chrono::LocalResult::Ambiguous(moment, _)) => {
                Ok(moment.with_timezone(&Utc))
            }
            Some(chrono::LocalResult::None) => Err(Failed::usage(format!(
                "{text} does not exist in {}: the clocks are put forward over it",
                self.zone
            ))),
            None => Err(Failed::usage(format!(
                "{text:?} is no time; write \"2026-11-25 03:00\" (in {}), 2026-11-25T03:00:00Z, or a span from now such as +2h",
                self.zone
            ))),
        }
    }
}

/// In whole seconds, from a second on.
fn whole(span: Span) -> Span {
    Span::seconds(span.0.as_secs().max(1))
}

/// `1 server`, `2 servers`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> Times {
        let now = DateTime::parse_from_rfc3339("2026-11-20T12:00:00Z").expect("a moment").with_timezone(&Utc);
        Times { now, zone: chrono_tz::Europe::Berlin }
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_people_read() {
        for (n, told) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1 << 30, "1 GiB"),
            (1_610_612_736, "1.5 GiB"),
            (158 << 20, "158 MiB"),
        ] {
            assert_eq!(bytes(n), told);
        }
    }

    #[test]
    fn times_are_told_in_the_readers_zone_and_as_a_distance() {
        let times = times();
        let after = |minutes| times.now + TimeDelta::minutes(minutes);
        assert_eq!(times.both(after(90)), "14:30 CET (in 90 min)");
        assert_eq!(times.both(after(-3)), "12:57 CET (3 min ago)");
        assert_eq!(times.both(after(3 * 24 * 60)), "Mon 13:00 CET (in 3 days)");
        assert_eq!(times.both(after(60 * 24 * 60)), "2027-01-19 13:00 CET (in 60 days)");
        assert_eq!(times.ago(times.now), "now");
    }

    #[test]
    fn a_time_is_read_in_the_readers_zone() {
        let times = times();
        let read = |text: &str| times.parse(text).expect("a time").to_rfc3339();
        assert_eq!(read("2026-11-25 03:00"), "2026-11-25T02:00:00+00:00");
        assert_eq!(read("2026-11-25T03:00:00Z"), "2026-11-25T03:00:00+00:00");
        assert_eq!(read("+2h"), "2026-11-20T14:00:00+00:00");
        assert!(times.parse("2027-03-28 02:30").expect_err("a gap").to_string().contains("put forward"));
        assert!(times.parse("tomorrow").expect_err("no time").to_string().contains("+2h"));
    }
}
