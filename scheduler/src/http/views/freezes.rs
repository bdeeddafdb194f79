//! Freezes and limits, as the API shows them.

use chrono::{DateTime, NaiveDate, Utc};
use drover_policies::ids::{FreezeId, LimitId, OwnerId};
use drover_policies::owners::{Closed, OwnerLimit};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Reason, SlotView};
use super::owners::ScopeView;
use crate::freezes::STALE_AFTER;
use crate::store::{FreezeSource, StoredFreeze, StoredLimit};

/// How many stretches of a freeze are shown.
const SHOWN: usize = 10;

/// Times in which an owner wants nothing to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreezeView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: FreezeId,
    /// Whose.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// For which of his servers.
    pub scope: ScopeView,
    /// What it is called.
    pub name: String,
    /// Its days, when they were written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<DaysView>,
    /// Its calendar, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarView>,
    /// When nothing happens next, at most ten stretches.
    pub next: Vec<SlotView>,
    /// What its owner should know: servers that it leaves without any opening, appointments that were agreed before and stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whole days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaysView {
    /// The first day: `2026-12-19`.
    pub from: NaiveDate,
    /// The last day, included.
    pub to: NaiveDate,
    /// Where those days begin and end: `Europe/Berlin`.
    #[serde(default = "utc")]
    pub timezone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A calendar that a freeze is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CalendarView {
    /// In which zone its days, and its times without a zone, are meant.
    pub timezone: String,
    /// How many separate stretches of time it has.
    pub stretches: usize,
    /// Where it is fetched from, every hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When the copy in force was last known to be the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_at: Option<DateTime<Utc>>,
    /// Whether that is more than a day ago. The copy stays in force all the same.
    #[serde(default)]
    pub stale: bool,
    /// Why the last try to fetch it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A freeze as it is put: with either `days`, or `calendar`, or `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeBody {
    /// Whose; an owner may leave it out, for it is his own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For which servers; without it, for the whole account.
    #[serde(default)]
    pub scope: ScopeView,
    /// What it is called: `year-end sale`. Refusals name it.
    pub name: String,
    /// Whole days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<DaysView>,
    /// The text of an iCalendar file of at most 1 MiB: whatever stands in it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// An https address at which such a file is; it is fetched at once, and again every hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// In which zone a calendar's days, and its times without a zone, are meant; UTC unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
}

impl FreezeView {
    /// A freeze as of now.
    #[must_use]
    pub fn of(stored: &StoredFreeze, now: Instant) -> Self {
        let freeze = &stored.freeze;
        let times = freeze.times();
        let days = match &freeze.closed {
            Closed::Days { days } => {
                Some(DaysView { from: days.from, to: days.to, timezone: days.timezone.name().to_owned() })
            }
            Closed::Calendar { .. } => None,
        };
        let calendar = match &stored.source {
            FreezeSource::Days => None,
            FreezeSource::Calendar { timezone } => Some(CalendarView {
                timezone: timezone.name().to_owned(),
                stretches: times.as_slice().len(),
                url: None,
                good_at: None,
                stale: false,
                failure: None,
            }),
            FreezeSource::Url { timezone, url, good_at, failure, .. } => Some(CalendarView {
                timezone: timezone.name().to_owned(),
                stretches: times.as_slice().len(),
                url: Some(url.clone()),
                good_at: Some(*good_at),
                stale: now - *good_at > STALE_AFTER.delta(),
                failure: failure.clone(),
            }),
        };
        let ahead = |slot: &&Slot| slot.end > now;
        Self {
            id: stored.id,
            owner: freeze.owner.clone(),
            scope: ScopeView::from(&freeze.scope),
            name: freeze.name().to_owned(),
            days,
            calendar,
            next: times.as_slice().iter().filter(ahead).take(SHOWN).map(|slot| (*slot).into()).collect(),
            warnings: Vec::new(),
        }
    }
}

/// How many of an owner's servers may be rebooted at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: LimitId,
    /// Whose.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// Among which of his servers: those with a label, or all.
    pub scope: ScopeView,
    /// At most so many.
    pub max_simultaneous: u32,
}

/// A limit as it is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitBody {
    /// Whose; an owner may leave it out, for it is his own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Among which servers; without it, of the whole account. For one server it would say nothing, and is refused.
    #[serde(default)]
    pub scope: ScopeView,
    /// At most so many at once; 1 or more. Live migrations, which take nothing from anybody, are not counted.
    pub max_simultaneous: u32,
}

impl From<&StoredLimit> for LimitView {
    fn from(stored: &StoredLimit) -> Self {
        Self {
            id: stored.id,
            owner: stored.limit.owner.clone(),
            scope: ScopeView::from(&stored.limit.scope),
            max_simultaneous: stored.limit.max_simultaneous,
        }
    }
}

/// A freeze that holds for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FreezeHolds {
    /// What it is called.
    pub name: String,
    /// Set for this `server`, for a `label`, for the `account`, or by `policy`.
    pub from: String,
    /// When nothing happens next.
    pub next: Vec<SlotView>,
    /// Why its calendar may be old, if it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Reason>,
}

/// A limit that holds for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitHolds {
    /// Among which servers.
    pub scope: ScopeView,
    /// At most so many at once.
    pub max_simultaneous: u32,
}

impl From<&OwnerLimit> for LimitHolds {
    fn from(limit: &OwnerLimit) -> Self {
        Self { scope: ScopeView::from(&limit.scope), max_simultaneous: limit.max_simultaneous }
    }
}

/// A time that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// When.
    pub at: DateTime<Utc>,
    /// All that stands in its way; nothing when it is free.
    pub hindrances: Vec<Reason>,
}
