//! From local time to moments, where clocks are put forward and back.

use chrono::offset::LocalResult;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use serde::{Deserialize, Deserializer};

use crate::time::Instant;

/// Why a text is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no time zone of the IANA database; write {right}")]
pub struct BadTimezone {
    /// The refused text.
    pub given: String,
    /// The nearest name, or an example.
    pub right: String,
}

/// Reads the name of a time zone, `Europe/Berlin`.
///
/// # Errors
/// Refuses a name that the IANA database hasn't got, and offers the nearest that it has.
pub fn parse_timezone(name: &str) -> Result<Tz, BadTimezone> {
    name.parse().map_err(|_| BadTimezone { given: name.to_owned(), right: nearest_zone(name) })
}

fn nearest_zone(name: &str) -> String {
    let wanted = name.trim().to_lowercase().replace(' ', "_");
    let nearness = |zone: &Tz| {
        let known = zone.name().to_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        // A bare city is what people write most often.
        strsim::jaro_winkler(&wanted, &known).max(strsim::jaro_winkler(&wanted, city) - 0.001)
    };
    let best = TZ_VARIANTS.iter().map(|zone| (nearness(zone), zone)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((near, zone)) if near > 0.85 => format!("{:?}", zone.name()),
        Some(_) | None => "for example \"Europe/Berlin\" or \"UTC\"".to_owned(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(deserializer)?;
    parse_timezone(&name).map_err(serde::de::Error::custom)
}

/// The moments at which clocks in a zone show a time.
pub(super) enum Shown {
    /// Once.
    Once(Instant),
    /// Clocks were put back over it: the first time and the second.
    Twice(Instant, Instant),
    /// Clocks were put forward over it: the first moment after the gap.
    Never(Instant),
}

impl Shown {
    pub(super) fn of(local: NaiveDateTime, zone: Tz) -> Option<Self> {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(moment) => Some(Self::Once(moment.to_utc())),
            LocalResult::Ambiguous(a, b) => Some(Self::Twice(a.min(b).to_utc(), a.max(b).to_utc())),
            LocalResult::None => {
                // The gap begins when clocks are put forward, which is the first moment after it too.
                let (last_shown, before) = GapInfo::new(&local, &zone)?.begin?;
                let moment = last_shown.checked_sub_offset(before.fix())?;
                Some(Self::Never(moment.and_utc()))
            }
        }
    }
}

/// The first moment of a local day. A day that was left out as a whole begins, and ends, where the next one does.
pub(super) fn day_begins(day: NaiveDate, zone: Tz) -> Option<Instant> {
    Shown::of(day.and_time(NaiveTime::MIN), zone).map(|shown| match shown {
        Shown::Once(moment) | Shown::Twice(moment, _) | Shown::Never(moment) => moment,
    })
}

/// The local day of a moment. Moments outside of the years 1 to 9999 count as the first or last of them, so that no calculation
/// with days leaves the calendar.
pub(super) fn local_day(moment: Instant, zone: Tz) -> NaiveDate {
    let least = DateTime::from_timestamp(-62_135_510_400, 0).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let most = DateTime::from_timestamp(253_402_128_000, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    moment.clamp(least, most).with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_zone_is_answered_with_the_nearest() {
        for (given, right) in [
            ("Europe/Berln", "\"Europe/Berlin\""),
            ("berlin", "\"Europe/Berlin\""),
            ("New York", "\"America/New_York\""),
            ("utc", "\"UTC\""),
            ("", "for example \"Europe/Berlin\" or \"UTC\""),
        ] {
            assert_eq!(parse_timezone(given).expect_err("refused").right, right, "{given:?}");
        }
    }
}
