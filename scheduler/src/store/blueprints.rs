//! What servers shall look like at their next launch.

use drover_policies::blueprint::Blueprint;
use drover_policies::ids::{Generation, ServerId};
use drover_policies::notices::Actor;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::records::{Versioned, from_json, generation, to_i64, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "blueprint";

/// A blueprint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlueprint {
    /// Whose.
    pub server: ServerId,
    /// The blueprint.
    pub blueprint: Blueprint,
    /// Who set it last.
    pub by: Actor,
    /// When.
    pub at: Instant,
}

type Row = (Uuid, String, String, i64, Instant);

fn blueprint((server, body, by, at, updated_at): Row) -> StoreResult<Versioned<StoredBlueprint>> {
    let value = StoredBlueprint {
        server: ServerId(server),
        blueprint: from_json(TABLE, &server, &body)?,
        by: from_json(TABLE, &server, &by)?,
        at: updated_at,
    };
    Ok(Versioned { value, generation: generation(at) })
}

impl Store {
    /// A server's blueprint, if it has one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn blueprint(&self, server: ServerId) -> StoreResult<Option<Versioned<StoredBlueprint>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a blueprint",
            Row,
            "SELECT server, body, set_by, generation, updated_at FROM blueprints WHERE server = $1",
            server.0,
        )?;
        row.map(blueprint).transpose()
    }

    /// Every server's that has one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn blueprints(&self) -> StoreResult<Vec<Versioned<StoredBlueprint>>> {
        all(&mut self.db.read().await?.conn()).await
    }
}

pub(super) async fn all(conn: &mut Conn<'_>) -> StoreResult<Vec<Versioned<StoredBlueprint>>> {
    let rows = fetch_all!(
        conn,
        "reading the blueprints",
        Row,
        "SELECT server, body, set_by, generation, updated_at FROM blueprints ORDER BY server",
    )?;
    rows.into_iter().map(blueprint).collect()
}

pub(super) async fn write(conn: &mut Conn<'_>, new: &Write<StoredBlueprint>) -> StoreResult<()> {
    let (value, stored) = match new {
        Write::Insert(value) => {
            let stored = execute!(
                conn,
                "storing a blueprint",
                "INSERT INTO blueprints (server, body, set_by, generation, updated_at) VALUES ($1, $2, $3, 1, $4)
                 ON CONFLICT (server) DO NOTHING",
                value.server.0,
                to_json(TABLE, &value.blueprint)?,
                to_json(TABLE, &value.by)?,
                value.at,
            )?;
            (value, stored)
        }
        Write::Update(value, Generation(read)) => {
            let stored = execute!(
                conn,
                "changing a blueprint",
                "UPDATE blueprints SET body = $1, set_by = $2, updated_at = $3, generation = generation + 1
                 WHERE server = $4 AND generation = $5",
                to_json(TABLE, &value.blueprint)?,
                to_json(TABLE, &value.by)?,
                value.at,
                value.server.0,
                to_i64(*read),
            )?;
            (value, stored)
        }
    };
    if stored == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, value.server)) }
}

/// One that was changed since it was read stays: it is for the launch after this one.
pub(super) async fn remove(
    conn: &mut Conn<'_>,
    (server, Generation(read)): (ServerId, Generation),
) -> StoreResult<()> {
    let removed = execute!(
        conn,
        "removing a blueprint",
        "DELETE FROM blueprints WHERE server = $1 AND generation = $2",
        server.0,
        to_i64(read),
    )?;
    if removed == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, server)) }
}
