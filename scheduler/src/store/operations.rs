//! Orders to host agents.

use drover_agent_api::Operation;
use drover_policies::ids::{HostName, MigrationId, OperationId};
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::records::{
    NewOperation, NewWish, StoredOperation, from_json, generation, host_name, to_i64, to_json,
};
use super::{Store, StoreResult};

const TABLE: &str = "operation";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    host: String,
    migration: Option<Uuid>,
    generation: i64,
    instruction: String,
    wish: String,
    begun_at: Instant,
    ended_at: Option<Instant>,
}

impl Row {
    fn record(self) -> StoreResult<StoredOperation> {
        Ok(StoredOperation {
            operation: Operation {
                id: OperationId(self.id),
                generation: generation(self.generation),
                order: from_json(TABLE, &self.id, &self.instruction)?,
                wish: from_json(TABLE, &self.id, &self.wish)?,
            },
            host: host_name(TABLE, &self.id, self.host)?,
            migration: self.migration.map(MigrationId),
            begun_at: self.begun_at,
            ended_at: self.ended_at,
        })
    }
}

impl Store {
    /// Those wanted of one host, in the order in which they were given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn operations_wanted_of(&self, host: &HostName) -> StoreResult<Vec<StoredOperation>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the operations wanted of a host",
            Row,
            "SELECT id, host, migration, generation, instruction, wish, begun_at, ended_at FROM operations
             WHERE host = $1 AND wanted ORDER BY begun_at, id",
            host.as_str(),
        )?;
        rows.into_iter().map(Row::record).collect()
    }

    /// Those wanted of any host, in the order in which they were given.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn operations_wanted(&self) -> StoreResult<Vec<StoredOperation>> {
        wanted(&mut self.db.read().await?.conn()).await
    }

    /// One, wanted or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn operation(&self, id: OperationId) -> StoreResult<Option<StoredOperation>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading an operation",
            Row,
            "SELECT id, host, migration, generation, instruction, wish, begun_at, ended_at FROM operations WHERE id = $1",
            id.0,
        )?;
        row.map(Row::record).transpose()
    }
}

pub(super) async fn wanted(conn: &mut Conn<'_>) -> StoreResult<Vec<StoredOperation>> {
    let rows = fetch_all!(
        conn,
        "reading the operations that are wanted",
        Row,
        "SELECT id, host, migration, generation, instruction, wish, begun_at, ended_at FROM operations
         WHERE wanted ORDER BY begun_at, id",
    )?;
    rows.into_iter().map(Row::record).collect()
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &NewOperation, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding an operation",
        "INSERT INTO operations (id, host, migration, generation, wanted, instruction, wish, begun_at)
         VALUES ($1, $2, $3, $4, TRUE, $5, $6, $7)",
        new.operation.id.0,
        new.host.as_str(),
        new.migration.map(|migration| migration.0),
        to_i64(new.operation.generation.0),
        to_json(TABLE, &new.operation.order)?,
        to_json(TABLE, &new.operation.wish)?,
        at,
    )
    .map_err(|error| error.on_insert(TABLE, new.operation.id))?;
    Ok(())
}

pub(super) async fn wish(conn: &mut Conn<'_>, new: &NewWish) -> StoreResult<()> {
    let written = execute!(
        conn,
        "wishing something else of an operation",
        "UPDATE operations SET wish = $1, generation = generation + 1 WHERE id = $2 AND generation = $3 AND wanted",
        to_json(TABLE, &new.wish)?,
        new.operation.0,
        to_i64(new.read_at.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.operation)) }
}

pub(super) async fn end(conn: &mut Conn<'_>, id: OperationId, at: Instant) -> StoreResult<()> {
    let written = execute!(
        conn,
        "ending an operation",
        "UPDATE operations SET wanted = FALSE, ended_at = $1 WHERE id = $2 AND wanted",
        at,
        id.0,
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, id)) }
}
