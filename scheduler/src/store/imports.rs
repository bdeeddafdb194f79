//! Imports.

use drover_policies::ids::{Generation, HostName, ImportId};
use drover_policies::import::Import;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::records::{Only, Versioned, from_json, generation, to_i64, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "import";

type Row = (Uuid, String, i64);

fn record((id, body, at): Row) -> StoreResult<Versioned<Import>> {
    Ok(Versioned { value: from_json(TABLE, &id, &body)?, generation: generation(at) })
}

/// Which imports are looked for. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportFilter {
    /// To this host.
    pub host: Option<HostName>,
    /// In this state.
    pub state: Option<String>,
    /// Those that are not over, or those that are.
    pub only: Only,
}

impl Store {
    /// Those that fit, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn imports(&self, filter: &ImportFilter) -> StoreResult<Vec<Versioned<Import>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading imports",
            Row,
            "SELECT id, body, generation FROM imports
             WHERE ($1 IS NULL OR host = $1) AND ($2 IS NULL OR state = $2) AND ($3 IS NULL OR is_over <> $3)
             ORDER BY opened_at, id",
            filter.host.as_ref().map(HostName::as_str),
            filter.state.as_deref(),
            filter.only.open(),
        )?;
        rows.into_iter().map(record).collect()
    }

    /// One.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn import(&self, id: ImportId) -> StoreResult<Option<Versioned<Import>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading an import",
            Row,
            "SELECT id, body, generation FROM imports WHERE id = $1",
            id.0,
        )?;
        row.map(record).transpose()
    }

    /// The latest of a server of this name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn import_named(&self, name: &str) -> StoreResult<Option<Versioned<Import>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading an import by its name",
            Row,
            "SELECT id, body, generation FROM imports WHERE name = $1 ORDER BY opened_at DESC, id DESC LIMIT 1",
            name,
        )?;
        row.map(record).transpose()
    }
}

pub(super) async fn not_over(conn: &mut Conn<'_>) -> StoreResult<Vec<Versioned<Import>>> {
    let rows = fetch_all!(
        conn,
        "reading the imports that are not over",
        Row,
        "SELECT id, body, generation FROM imports WHERE NOT is_over ORDER BY opened_at, id",
    )?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn write(conn: &mut Conn<'_>, write: &Write<Import>, at: Instant) -> StoreResult<()> {
    match write {
        Write::Insert(new) => insert(conn, new, at).await,
        Write::Update(new, expected) => update(conn, new, *expected, at).await,
    }
}

async fn insert(conn: &mut Conn<'_>, new: &Import, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding an import",
        "INSERT INTO imports (id, server, name, host, state, is_over, body, generation, opened_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9)",
        new.id.0,
        new.server.0,
        new.description.name.as_str(),
        new.host.as_str(),
        new.state.name(),
        new.is_over(),
        to_json(TABLE, new)?,
        new.opened_at,
        at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    Ok(())
}

/// Its state changes, and its host as long as nothing is there.
async fn update(conn: &mut Conn<'_>, new: &Import, expected: Generation, at: Instant) -> StoreResult<()> {
    let written = execute!(
        conn,
        "changing an import",
        "UPDATE imports SET host = $1, state = $2, is_over = $3, body = $4, updated_at = $5, generation = generation + 1
         WHERE id = $6 AND generation = $7",
        new.host.as_str(),
        new.state.name(),
        new.is_over(),
        to_json(TABLE, new)?,
        at,
        new.id.0,
        to_i64(expected.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.id)) }
}

/// Those that were over long ago.
pub(super) async fn purge(conn: &mut Conn<'_>, before: Instant) -> StoreResult<u64> {
    execute!(conn, "purging imports", "DELETE FROM imports WHERE is_over AND updated_at < $1", before)
}
