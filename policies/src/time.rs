//! Instants and spans. Nothing here reads a clock: whoever decides is told what time it is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A moment, in UTC, in whole microseconds: that is what PostgreSQL keeps, and a moment that changes by being
/// stored would make equal things differ.
pub type Instant = DateTime<Utc>;

/// The only source of the present. Two implementations: the system's, and the simulated world's.
pub trait Clock: Send + Sync {
    /// The present, in whole microseconds.
    fn now(&self) -> Instant;
}

/// Cuts a moment to whole microseconds.
#[must_use]
pub fn to_microseconds(moment: Instant) -> Instant {
    moment.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(moment)
}

/// A length of time, written as people write it: `90s`, `10m`, `24h`, `7d`, `1h 30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn milliseconds(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// A span of whole minutes.
    #[must_use]
    pub const fn minutes(n: u64) -> Self {
        Self(Duration::from_secs(n * 60))
    }

    /// A span of whole hours.
    #[must_use]
    pub const fn hours(n: u64) -> Self {
        Self(Duration::from_secs(n * 3600))
    }

    /// A span of days of 24 hours.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self(Duration::from_secs(n * 86_400))
    }

    /// As a signed difference of moments. A span too long for it (290,000 years) is cut to the longest.
    #[must_use]
    pub fn delta(self) -> TimeDelta {
        TimeDelta::from_std(self.0).unwrap_or(TimeDelta::MAX)
    }

    /// In milliseconds.
    #[must_use]
    pub fn as_milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// From `from` to `to`; nothing when `to` is not later.
    #[must_use]
    pub fn between(from: Instant, to: Instant) -> Self {
        Self((to - from).to_std().unwrap_or_default())
    }

    /// Rounded for a reader: to milliseconds below ten seconds, to seconds below an hour, to minutes above.
    #[must_use]
    pub fn rounded(self) -> Self {
        let seconds = self.0.as_secs();
        match seconds {
            0..10 => Self::milliseconds(self.as_milliseconds()),
            10..3600 => Self::seconds(seconds),
            _ => Self::seconds(seconds - seconds % 60),
        }
    }
}

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no length of time; write for example 90s, 10m, 24h or 7d")]
pub struct BadSpan {
    /// The refused text.
    pub given: String,
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self).map_err(|_| BadSpan { given: text.to_owned() })
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_people_write_them() {
        for text in ["90s", "10m", "1day", "1h 30m"] {
            let span: Span = text.parse().expect("a span");
            assert_eq!(span.to_string().parse::<Span>().expect("round trip"), span);
        }
        assert_eq!("7d".parse::<Span>().expect("a span"), Span::days(7));
        assert_eq!(
            "soon".parse::<Span>().expect_err("refused").to_string(),
            "\"soon\" is no length of time; write for example 90s, 10m, 24h or 7d"
        );
    }
}
