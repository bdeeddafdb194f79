//! Exactly one scheduler acts at a time.
//!
//! ```text
//! free ── claim ──▶ held (generation + 1) ── renew ──▶ held        held ── release ──▶ free (generation + 1)
//!                     └── not renewed in time ──▶ may be claimed by another
//! ```
//!
//! Time decides only who may *claim*. Whether a write is let in depends on the generation alone: a scheduler that slept past
//! the end of its lease may go on as long as nobody has claimed it, and not a moment longer, whatever its clock says.

use drover_policies::ids::Generation;
use drover_policies::time::{Instant, Span};

use super::db::{Conn, execute, fetch_optional};
use super::error::StoreError;
use super::records::{generation, to_i64};
use super::{Store, StoreResult};

/// What a scheduler shows with each write: the lease in the generation in which it claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Which lease.
    pub lease: String,
    /// In which generation.
    pub generation: Generation,
}

/// A wish for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Which lease.
    pub lease: &'a str,
    /// Who claims it. A holder of the same name takes it over from its earlier self at once, so that a restart needs no waiting; so no
    /// two that run at the same time may have the same name.
    pub holder: &'a str,
    /// The present.
    pub now: Instant,
    /// For how long, unless it is renewed.
    pub lasting: Span,
}

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its holder; empty when it was released.
    pub holder: String,
    /// In which generation.
    pub generation: Generation,
    /// Until when, unless it is renewed.
    pub expires_at: Instant,
}

impl Store {
    /// Claims a lease: nothing when somebody else has it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim(&self, claim: &Claim<'_>) -> StoreResult<Option<Fence>> {
        let mut session = self.db.write().await?;
        let row = fetch_optional!(
            &mut session.conn(),
            "claiming a lease",
            (i64,),
            "INSERT INTO leases (name, holder, generation, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 holder = excluded.holder, generation = leases.generation + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= $4 OR leases.holder = excluded.holder
             RETURNING generation",
            claim.lease,
            claim.holder,
            claim.now + claim.lasting.delta(),
            claim.now,
        )?;
        session.commit().await?;
        Ok(row.map(|(at,)| Fence { lease: claim.lease.to_owned(), generation: generation(at) }))
    }

    /// Keeps a lease.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it has been claimed by another.
    pub async fn renew(&self, fence: &Fence, until: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        let kept = execute!(
            &mut session.conn(),
            "renewing a lease",
            "UPDATE leases SET expires_at = $1 WHERE name = $2 AND generation = $3",
            until,
            fence.lease.as_str(),
            to_i64(fence.generation.0),
        )?;
        session.commit().await?;
        if kept == 1 { Ok(()) } else { Err(fenced(fence)) }
    }

    /// Gives a lease back, so that another need not wait for its end. What is written under it after this is refused. Giving back
    /// what another has claimed already changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release(&self, fence: &Fence, now: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "releasing a lease",
            "UPDATE leases SET holder = '', expires_at = $1, generation = generation + 1
             WHERE name = $2 AND generation = $3",
            now,
            fence.lease.as_str(),
            to_i64(fence.generation.0),
        )?;
        session.commit().await
    }

    /// Who has a lease; nothing when nobody ever had.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lease(&self, name: &str) -> StoreResult<Option<Held>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a lease",
            (String, i64, Instant),
            "SELECT holder, generation, expires_at FROM leases WHERE name = $1",
            name,
        )?;
        Ok(row.map(|(holder, at, expires_at)| Held { holder, generation: generation(at), expires_at }))
    }
}

/// Lets a transaction go on only under a lease that still holds.
///
/// It is a write on purpose: the row stays locked until the transaction ends, so that no other scheduler can claim the lease in
/// between, and transactions under one lease come one after the other. That is also why events become visible in the order of
/// their numbers.
pub(super) async fn check(conn: &mut Conn<'_>, fence: &Fence) -> StoreResult<()> {
    let holds = execute!(
        conn,
        "checking a lease",
        "UPDATE leases SET generation = generation WHERE name = $1 AND generation = $2",
        fence.lease.as_str(),
        to_i64(fence.generation.0),
    )?;
    if holds == 1 { Ok(()) } else { Err(fenced(fence)) }
}

fn fenced(fence: &Fence) -> StoreError {
    StoreError::Fenced { lease: fence.lease.clone() }
}
