//! What owners have set beside their windows: freezes, and how many of theirs at once.

use drover_policies::ids::{FreezeId, Generation, LimitId, OwnerId};
use drover_policies::owners::{OwnerFreeze, OwnerLimit};
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::records::{Versioned, from_json, generation, to_i64, to_json};
use super::{Store, StoreError, StoreResult};

const FREEZE: &str = "freeze";
const LIMIT: &str = "limit";

/// A freeze as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFreeze {
    /// Its id.
    pub id: FreezeId,
    /// The freeze.
    pub freeze: OwnerFreeze,
    /// Where it came from.
    pub source: FreezeSource,
    /// Since when it is there.
    pub created_at: Instant,
}

/// Where a freeze came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum FreezeSource {
    /// Its days were written down.
    Days,
    /// A calendar was handed over.
    Calendar {
        /// In which zone its days, and its times without a zone, are meant.
        timezone: chrono_tz::Tz,
    },
    /// A calendar is fetched again and again.
    Url {
        /// In which zone its days, and its times without a zone, are meant.
        timezone: chrono_tz::Tz,
        /// Where from.
        url: String,
        /// What the other side calls the copy that is in force.
        etag: Option<String>,
        /// When that copy was last known to be the newest.
        good_at: Instant,
        /// When it is to be fetched again.
        next_at: Instant,
        /// Why the last try came to nothing, if it did: the copy in force may be old then.
        failure: Option<String>,
    },
}

/// A limit as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLimit {
    /// Its id.
    pub id: LimitId,
    /// The limit.
    pub limit: OwnerLimit,
    /// Since when it is there.
    pub created_at: Instant,
}

type FreezeRow = (Uuid, String, String, i64, Instant);
type LimitRow = (Uuid, String, Instant);

fn freeze((id, body, source, at, created_at): FreezeRow) -> StoreResult<Versioned<StoredFreeze>> {
    let value = StoredFreeze {
        id: FreezeId(id),
        freeze: from_json(FREEZE, &id, &body)?,
        source: from_json(FREEZE, &id, &source)?,
        created_at,
    };
    Ok(Versioned { value, generation: generation(at) })
}

fn limit((id, body, created_at): LimitRow) -> StoreResult<StoredLimit> {
    Ok(StoredLimit { id: LimitId(id), limit: from_json(LIMIT, &id, &body)?, created_at })
}

impl Store {
    /// The freezes of one account, or of all, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn freezes(&self, of: Option<&OwnerId>) -> StoreResult<Vec<Versioned<StoredFreeze>>> {
        freezes(&mut self.db.read().await?.conn(), of).await
    }

    /// One freeze.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn freeze(&self, id: FreezeId) -> StoreResult<Option<Versioned<StoredFreeze>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a freeze",
            FreezeRow,
            "SELECT id, body, source, generation, created_at FROM freezes WHERE id = $1",
            id.0,
        )?;
        row.map(freeze).transpose()
    }

    /// The limits of one account, or of all, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn limits(&self, of: Option<&OwnerId>) -> StoreResult<Vec<StoredLimit>> {
        limits(&mut self.db.read().await?.conn(), of).await
    }
}

pub(super) async fn freezes(
    conn: &mut Conn<'_>,
    of: Option<&OwnerId>,
) -> StoreResult<Vec<Versioned<StoredFreeze>>> {
    let rows = fetch_all!(
        conn,
        "reading the freezes",
        FreezeRow,
        "SELECT id, body, source, generation, created_at FROM freezes
         WHERE $1 IS NULL OR owner = $1 ORDER BY owner, created_at, id",
        of.map(OwnerId::as_str),
    )?;
    rows.into_iter().map(freeze).collect()
}

pub(super) async fn limits(conn: &mut Conn<'_>, of: Option<&OwnerId>) -> StoreResult<Vec<StoredLimit>> {
    let rows = fetch_all!(
        conn,
        "reading the limits",
        LimitRow,
        "SELECT id, body, created_at FROM limits WHERE $1 IS NULL OR owner = $1 ORDER BY owner, created_at, id",
        of.map(OwnerId::as_str),
    )?;
    rows.into_iter().map(limit).collect()
}

/// A copy that was fetched must not overwrite what its owner has changed, or removed, while it was under way.
pub(super) async fn write_freeze(conn: &mut Conn<'_>, new: &Write<StoredFreeze>) -> StoreResult<()> {
    let (value, stored) = match new {
        Write::Insert(value) => {
            let stored = execute!(
                conn,
                "storing a freeze",
                "INSERT INTO freezes (id, owner, body, source, generation, created_at) VALUES ($1, $2, $3, $4, 1, $5)
                 ON CONFLICT (id) DO NOTHING",
                value.id.0,
                value.freeze.owner.as_str(),
                to_json(FREEZE, &value.freeze)?,
                to_json(FREEZE, &value.source)?,
                value.created_at,
            )?;
            (value, stored)
        }
        Write::Update(value, Generation(read)) => {
            let stored = execute!(
                conn,
                "changing a freeze",
                "UPDATE freezes SET body = $1, source = $2, generation = generation + 1
                 WHERE id = $3 AND owner = $4 AND generation = $5",
                to_json(FREEZE, &value.freeze)?,
                to_json(FREEZE, &value.source)?,
                value.id.0,
                value.freeze.owner.as_str(),
                to_i64(*read),
            )?;
            (value, stored)
        }
    };
    if stored == 1 { Ok(()) } else { Err(StoreError::conflict(FREEZE, value.id)) }
}

/// Removing what is not there changes nothing.
pub(super) async fn remove_freeze(conn: &mut Conn<'_>, id: FreezeId) -> StoreResult<()> {
    execute!(conn, "removing a freeze", "DELETE FROM freezes WHERE id = $1", id.0)?;
    Ok(())
}

/// A limit keeps the account and the moment with which it was stored first.
pub(super) async fn put_limit(conn: &mut Conn<'_>, new: &StoredLimit) -> StoreResult<()> {
    let stored = execute!(
        conn,
        "storing a limit",
        "INSERT INTO limits (id, owner, body, generation, created_at) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, generation = limits.generation + 1
         WHERE limits.owner = excluded.owner",
        new.id.0,
        new.limit.owner.as_str(),
        to_json(LIMIT, &new.limit)?,
        new.created_at,
    )?;
    if stored == 1 { Ok(()) } else { Err(StoreError::conflict(LIMIT, new.id)) }
}

/// Removing what is not there changes nothing.
pub(super) async fn remove_limit(conn: &mut Conn<'_>, id: LimitId) -> StoreResult<()> {
    execute!(conn, "removing a limit", "DELETE FROM limits WHERE id = $1", id.0)?;
    Ok(())
}
