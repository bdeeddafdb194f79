//! Replicas of local disks.

use drover_policies::ids::{Generation, HostName, MigrationId, OwnerId, ReplicaId, ServerId};
use drover_policies::replica::Replica;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::records::{Versioned, from_json, generation, to_i64, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "replica";

type Row = (Uuid, String, i64);

fn record((id, body, at): Row) -> StoreResult<Versioned<Replica>> {
    Ok(Versioned { value: from_json(TABLE, &id, &body)?, generation: generation(at) })
}

/// Which replicas are looked for, of those that are not gone. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaFilter {
    /// From or to this host.
    pub host: Option<HostName>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// Of this account's migrations.
    pub owner: Option<OwnerId>,
}

impl Store {
    /// Those that are not gone and fit, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replicas(&self, filter: &ReplicaFilter) -> StoreResult<Vec<Versioned<Replica>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading replicas",
            Row,
            "SELECT replicas.id, replicas.body, replicas.generation FROM replicas
             JOIN migrations ON migrations.id = replicas.migration
             WHERE NOT replicas.is_gone
               AND ($1 IS NULL OR replicas.from_host = $1 OR replicas.to_host = $1)
               AND ($2 IS NULL OR replicas.server = $2)
               AND ($3 IS NULL OR migrations.owner = $3)
             ORDER BY replicas.opened_at, replicas.id",
            filter.host.as_ref().map(HostName::as_str),
            filter.server.map(|server| server.0),
            filter.owner.as_ref().map(OwnerId::as_str),
        )?;
        rows.into_iter().map(record).collect()
    }

    /// Every one of a migration, also those that are gone, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replicas_of(&self, migration: MigrationId) -> StoreResult<Vec<Versioned<Replica>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the replicas of a migration",
            Row,
            "SELECT id, body, generation FROM replicas WHERE migration = $1 ORDER BY opened_at, id",
            migration.0,
        )?;
        rows.into_iter().map(record).collect()
    }

    /// One, also when it is gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replica(&self, id: ReplicaId) -> StoreResult<Option<Versioned<Replica>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a replica",
            Row,
            "SELECT id, body, generation FROM replicas WHERE id = $1",
            id.0,
        )?;
        row.map(record).transpose()
    }
}

pub(super) async fn not_gone(conn: &mut Conn<'_>) -> StoreResult<Vec<Versioned<Replica>>> {
    let rows = fetch_all!(
        conn,
        "reading the replicas that are not gone",
        Row,
        "SELECT id, body, generation FROM replicas WHERE NOT is_gone ORDER BY opened_at, id",
    )?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn write(conn: &mut Conn<'_>, write: &Write<Replica>, at: Instant) -> StoreResult<()> {
    match write {
        Write::Insert(new) => insert(conn, new, at).await,
        Write::Update(new, expected) => update(conn, new, *expected, at).await,
    }
}

async fn insert(conn: &mut Conn<'_>, new: &Replica, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding a replica",
        "INSERT INTO replicas (id, migration, server, from_host, to_host, state, is_gone, body, generation, opened_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10)",
        new.id.0,
        new.migration.0,
        new.server.0,
        new.from.as_str(),
        new.to.as_str(),
        new.state.name(),
        new.is_gone(),
        to_json(TABLE, new)?,
        new.opened_at,
        at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    Ok(())
}

/// Only its state and what people wish of it ever change.
async fn update(conn: &mut Conn<'_>, new: &Replica, expected: Generation, at: Instant) -> StoreResult<()> {
    let written = execute!(
        conn,
        "changing a replica",
        "UPDATE replicas SET state = $1, is_gone = $2, body = $3, updated_at = $4, generation = generation + 1
         WHERE id = $5 AND generation = $6",
        new.state.name(),
        new.is_gone(),
        to_json(TABLE, new)?,
        at,
        new.id.0,
        to_i64(expected.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.id)) }
}
