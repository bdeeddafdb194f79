//! What owners want their servers to be looked at for after a move.

use drover_policies::ids::{CheckId, OwnerId};
use drover_policies::owners::OwnerCheck;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all};
use super::error::StoreError;
use super::records::{from_json, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "check";

/// A check as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheck {
    /// Its id.
    pub id: CheckId,
    /// The check.
    pub check: OwnerCheck,
    /// Since when it is there.
    pub created_at: Instant,
}

type Row = (Uuid, String, Instant);

fn check((id, body, created_at): Row) -> StoreResult<StoredCheck> {
    Ok(StoredCheck { id: CheckId(id), check: from_json(TABLE, &id, &body)?, created_at })
}

impl Store {
    /// The checks of one account, or of all, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn checks(&self, of: Option<&OwnerId>) -> StoreResult<Vec<StoredCheck>> {
        checks(&mut self.db.read().await?.conn(), of).await
    }
}

pub(super) async fn checks(conn: &mut Conn<'_>, of: Option<&OwnerId>) -> StoreResult<Vec<StoredCheck>> {
    let rows = fetch_all!(
        conn,
        "reading the checks",
        Row,
        "SELECT id, body, created_at FROM checks WHERE $1 IS NULL OR owner = $1 ORDER BY owner, created_at, id",
        of.map(OwnerId::as_str),
    )?;
    rows.into_iter().map(check).collect()
}

/// A check keeps the account and the moment with which it was stored first.
pub(super) async fn put(conn: &mut Conn<'_>, new: &StoredCheck) -> StoreResult<()> {
    let stored = execute!(
        conn,
        "storing a check",
        "INSERT INTO checks (id, owner, body, generation, created_at) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, generation = checks.generation + 1
         WHERE checks.owner = excluded.owner",
        new.id.0,
        new.check.owner.as_str(),
        to_json(TABLE, &new.check)?,
        new.created_at,
    )?;
    if stored == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.id)) }
}

/// Removing what is not there changes nothing.
pub(super) async fn remove(conn: &mut Conn<'_>, id: CheckId) -> StoreResult<()> {
    execute!(conn, "removing a check", "DELETE FROM checks WHERE id = $1", id.0)?;
    Ok(())
}
