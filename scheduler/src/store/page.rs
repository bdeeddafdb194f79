//! Long lists in pieces.

use std::fmt;
use std::str::FromStr;

use drover_policies::time::Instant;
use uuid::Uuid;

/// One piece of a long list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Where the next piece begins; nothing when this is the last.
    pub next: Option<Cursor>,
}

/// Where a piece of a list begins. Whoever gets one gives it back unread.
///
/// It names the last item of the piece before, not a position: what is added or taken away meanwhile neither repeats an item nor
/// hides one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Number(i64),
    Moment(Instant, Uuid),
}

/// What was given as a cursor is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no cursor of this list; take the one that came with the page before, or leave it out to begin anew"
)]
pub struct BadCursor {
    /// The refused text.
    pub given: String,
}

impl Cursor {
    pub(super) fn number(number: i64) -> Self {
        Self(Place::Number(number))
    }

    pub(super) fn moment(at: Instant, id: Uuid) -> Self {
        Self(Place::Moment(at, id))
    }

    /// The number after which a list by numbers goes on, downwards. A cursor of another kind of list begins this one anew: the HTTP
    /// interface refuses such a one before.
    pub(super) fn below(cursor: Option<&Self>) -> i64 {
        match cursor {
            Some(Self(Place::Number(number))) => *number,
            Some(Self(Place::Moment(..))) | None => i64::MAX,
        }
    }

    /// The moment before which a list by moments goes on, backwards.
    pub(super) fn before(cursor: Option<&Self>) -> Option<(Instant, Uuid)> {
        match cursor {
            Some(Self(Place::Moment(at, id))) => Some((*at, *id)),
            Some(Self(Place::Number(_))) | None => None,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Number(number) => write!(f, "n{number:x}"),
            Place::Moment(at, id) => write!(f, "m{:x}-{}", at.timestamp_micros(), id.simple()),
        }
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let number = |text: &str| i64::from_str_radix(text, 16).ok();
        let read = || match text.split_at_checked(1)? {
            ("n", rest) => Some(Self::number(number(rest)?)),
            ("m", rest) => {
                let (at, id) = rest.split_once('-')?;
                Some(Self::moment(Instant::from_timestamp_micros(number(at)?)?, Uuid::try_parse(id).ok()?))
            }
            _ => None,
        };
        read().ok_or_else(|| BadCursor { given: text.to_owned() })
    }
}

/// Cuts what was read with one item too many to a page.
pub(super) fn cut<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let limit = limit.max(1) as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

/// How many rows to read for a page: one more shows whether there is another.
pub(super) fn rows_for(limit: u32) -> i64 {
    i64::from(limit.max(1)) + 1
}
