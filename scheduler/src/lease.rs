//! Exactly one scheduler acts at a time: a row in the database says which, for how long, and in which generation.
//!
//! Every change names the generation under which it was decided, inside its own transaction. So a scheduler that was stopped in the middle of something,
//! and wakes up after another has taken over, changes nothing any more.

use std::time::Duration;

use drover_policies::time::{Instant, Span};

use crate::app::App;
use crate::store::{Claim, Fence, Store, StoreError};

/// The lease's name; there is one for everything that acts.
const NAME: &str = "acting";

/// How long a lease holds without being renewed: what a takeover waits for after a crash.
const TERM: Span = Span::seconds(15);

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);

/// The right to act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What a change has to name.
    pub fence: Fence,
    /// Until when it holds if it isn't renewed.
    pub expires_at: Instant,
}

impl Lease {
    /// Takes the lease, if nobody else holds it. No two schedulers that run at the same time may have the same holder's name.
    ///
    /// # Errors
    /// The database failed. That another holds it is no error, but nothing.
    pub async fn take(store: &Store, holder: &str, now: Instant) -> Result<Option<Self>, StoreError> {
        let claim = Claim { lease: NAME, holder, now, lasting: TERM };
        let fence = store.claim(&claim).await?;
        Ok(fence.map(|fence| Self { fence, expires_at: now + TERM.delta() }))
    }
}

/// Renews the lease until another scheduler has taken over; then this one must end.
pub async fn keep(app: &App) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let lease = app.lease();
        let expires_at = app.clock.now() + TERM.delta();
        match app.store.renew(&lease.fence, expires_at).await {
            Ok(()) => app.set_lease(Lease { expires_at, ..lease }),
            Err(StoreError::Fenced { .. }) => {
                tracing::error!("another scheduler has taken over; this one ends");
                return;
            }
            // The lease may still hold; if it does not, the next change is refused.
            Err(error) => tracing::warn!(error = %crate::chain(&error), "the lease could not be renewed"),
        }
    }
}
