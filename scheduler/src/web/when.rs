//! Moments as people type them: a day and a time of day in their zone, or one that a page has offered.

use chrono::{LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use drover_policies::time::{Instant, to_microseconds};

use super::form::Typed;
use crate::http::problem::Problem;

/// How browsers send a local date and time.
const LOCAL: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

/// A moment that must be there.
///
/// # Errors
/// It is missing, or none.
pub(super) fn required(field: &str, typed: &Typed, zone: Tz) -> Result<Instant, Problem> {
    optional(field, typed, zone)?
        .ok_or_else(|| Problem::field(field, "choose a day and a time of day").with("rule", "moment_missing"))
}

/// A moment that may be left out.
///
/// # Errors
/// It is none.
pub(super) fn optional(field: &str, typed: &Typed, zone: Tz) -> Result<Option<Instant>, Problem> {
    typed.some(field).map(|text| read(field, text, zone)).transpose()
}

fn read(field: &str, text: &str, zone: Tz) -> Result<Instant, Problem> {
    if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(to_microseconds(moment.to_utc()));
    }
    let local = LOCAL.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wrong = |rule: &str, detail: String| Problem::field(field, detail).with("rule", rule);
    let local = local.ok_or_else(|| {
        wrong("no_moment", format!("{text:?} is no day and time; write them like 2026-12-03T22:00"))
    })?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) => Ok(to_microseconds(moment.to_utc())),
        LocalResult::Ambiguous(first, second) => {
            let (first, second) = (first.to_rfc3339(), second.to_rfc3339());
            let detail =
                format!("{text} comes twice in {zone}, as the clocks go back; write {first} or {second}");
            // As they are to be written: a reader's zone would make the same of both.
            Err(wrong("moment_twice", detail).with("either", [first, second].join(", ")))
        }
        LocalResult::None => {
            let detail = format!(
                "{text} does not exist in {zone}, as the clocks go forward over it; choose an hour later"
            );
            Err(wrong("moment_never", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_that_comes_twice_or_never_is_asked_for_again() {
        let berlin = chrono_tz::Europe::Berlin;
        let read = |text| {
            read("start", text, berlin).map(|moment| moment.to_rfc3339()).map_err(|problem| problem.detail)
        };
        assert_eq!(read("2026-12-03T22:00"), Ok("2026-12-03T21:00:00+00:00".to_owned()));
        assert_eq!(read("2026-12-03T22:00:00+02:00"), Ok("2026-12-03T20:00:00+00:00".to_owned()));
        let twice = read("2026-10-25T02:30").expect_err("refused");
        assert!(twice.contains("2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"), "{twice}");
        assert!(read("2026-03-29T02:30").expect_err("refused").contains("does not exist"));
        for text in ["tomorrow", "2026-13-01T00:00", "<script>", "99999999-01-01T00:00"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
