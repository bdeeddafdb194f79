//! Calendars of freezes that are kept at an address: fetched when they are set, and again every hour.
//!
//! A copy that was good stays in force until a better one is there, however long the address is silent or talks nonsense: a freeze that lapses
//! because a web server is down would be worse than an old one. That it is old is shown to its owner, and by `explain`.

use std::time::Duration;

use chrono_tz::Tz;
use drover_policies::owners::Closed;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{BadCalendar, LARGEST_CALENDAR, Slots, read_times};
use futures_util::StreamExt;

use crate::app::App;
use crate::outbound::{CallError, Fetched};
use crate::store::{Batch, FreezeSource, StoreError, StoredFreeze, Versioned, Write};

/// How often a calendar is fetched, and how soon again when that came to nothing.
pub const FETCH_EVERY: Span = Span::hours(1);
const AFTER_FAILURE: Span = Span::minutes(15);

/// A copy that has not been confirmed for this long is called stale.
pub const STALE_AFTER: Span = Span::hours(24);

/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many are fetched at the same time: one that hangs must not hold up the others.
const AT_ONCE: usize = 8;

/// Why a calendar can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It does not come.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is not usable.
    #[error(transparent)]
    Bad(#[from] BadCalendar),
}

/// A calendar as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// The one that is known.
    Same,
    /// Another one.
    New {
        /// When nothing may happen.
        times: Slots,
        /// What the other side calls it.
        etag: Option<String>,
    },
}

/// Fetches whatever is due, for ever.
pub async fn run(app: &App) {
    loop {
        if let Err(error) = fetch_due(app).await {
            tracing::warn!(error = %crate::chain(&error), "calendars of freezes could not be fetched");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fetches every calendar that is due now, and stores what came of it.
///
/// # Errors
/// The database failed, or another scheduler has taken over.
pub async fn fetch_due(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now();
    let due = app.store.freezes(None).await?.into_iter().filter(|freeze| is_due(&freeze.value, now));
    let mut fetched =
        futures_util::stream::iter(due.map(|freeze| fetch_again(app, freeze, now))).buffer_unordered(AT_ONCE);
    while let Some(write) = fetched.next().await {
        let Some(write) = write else { continue };
        let batch = Batch { freezes: vec![write], ..Batch::new(app.clock.now()) };
        match app.commit(batch).await {
            // Its owner has changed it, or taken it away, meanwhile.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_due(stored: &StoredFreeze, now: Instant) -> bool {
    match &stored.source {
        FreezeSource::Url { next_at, .. } => *next_at <= now,
        FreezeSource::Days | FreezeSource::Calendar { .. } => false,
    }
}

async fn fetch_again(app: &App, read: Versioned<StoredFreeze>, now: Instant) -> Option<Write<StoredFreeze>> {
    let Versioned { value: mut stored, generation } = read;
    let FreezeSource::Url { timezone, url, etag, good_at, next_at, failure } = &mut stored.source else {
        return None;
    };
    match fetch(app, url, etag.as_deref(), *timezone).await {
        Ok(copy) => {
            if let Copy::New { times: new, etag: newer } = copy {
                if let Closed::Calendar { times, .. } = &mut stored.freeze.closed {
                    *times = new;
                }
                *etag = newer;
            }
            (*good_at, *next_at, *failure) = (now, now + FETCH_EVERY.delta(), None);
        }
        Err(error) => {
            *next_at = now + AFTER_FAILURE.delta();
            *failure = Some(error.to_string());
        }
    }
    Some(Write::Update(stored, generation))
}

/// Fetches a calendar and reads it.
///
/// # Errors
/// It does not come, or is not usable.
pub async fn fetch(app: &App, url: &str, etag: Option<&str>, timezone: Tz) -> Result<Copy, FetchError> {
    let target = app.outbound.target(url).map_err(CallError::from)?;
    match app.outbound.fetch(&target, etag, LARGEST_CALENDAR).await? {
        Fetched::Unchanged => Ok(Copy::Same),
        Fetched::New { text, etag } => Ok(Copy::New { times: read(text, timezone).await?, etag }),
    }
}

/// Reads a calendar beside the threads that answer requests: a large one takes a while.
///
/// # Errors
/// It is not usable.
pub async fn read(text: String, timezone: Tz) -> Result<Slots, BadCalendar> {
    let reading = tokio::task::spawn_blocking(move || read_times(&text, timezone));
    let broken = |_| BadCalendar::NotACalendar { why: "it can't be read".to_owned() };
    reading.await.map_err(broken)?
}
