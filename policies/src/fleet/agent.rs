//! What an agent tells of itself: its version, and the certificates that its host lives by.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::time::{Instant, Span};

/// How long before its end a certificate is warned of: time enough to have another one made and laid out.
const WARN_BEFORE: Span = Span::days(30);

/// What an agent tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// `0.1.0`.
    pub version: String,
    /// Certificates by which its host is known to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The file that it is in.
    pub file: PathBuf,
    /// Whom it names.
    pub subject: String,
    /// Until when it is good; nothing for one that is known by its digest, whatever date is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

/// Why a certificate is warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is over, for so long.
    Over(Span),
    /// It ends in so long.
    Soon(Span),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(since) => write!(f, "ended {} ago; replace it", since.rounded()),
            Self::Soon(left) => write!(f, "ends in {}; replace it", left.rounded()),
        }
    }
}

impl Certificate {
    /// Whether it is over, or ends so soon that another one is to be made.
    #[must_use]
    pub fn ending(&self, now: Instant) -> Option<Ending> {
        let until = self.until?;
        if until <= now {
            return Some(Ending::Over(Span::between(until, now)));
        }
        let left = Span::between(now, until);
        (left < WARN_BEFORE).then_some(Ending::Soon(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_a_month_before_its_end_and_from_then_on() {
        let now = Instant::UNIX_EPOCH;
        let ending = |until: Option<Instant>| {
            Certificate { file: "a.pem".into(), subject: "CN=h1".into(), until }.ending(now)
        };
        let after = |span: Span| Some(now + span.delta());
        assert_eq!(ending(None), None);
        assert_eq!(ending(after(Span::days(30))), None);
        assert_eq!(ending(after(Span::days(29))), Some(Ending::Soon(Span::days(29))));
        assert_eq!(ending(after(Span::ZERO)), Some(Ending::Over(Span::ZERO)));
        assert_eq!(ending(Some(now - Span::days(2).delta())), Some(Ending::Over(Span::days(2))));
    }
}
