//! Hosts: what is wished of them and what their agents tell.

use drover_agent_api::Inventory;
use drover_policies::host::Standing;
use drover_policies::ids::{Generation, HostName};
use drover_policies::time::Instant;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::records::{
    AgentSeen, HostRecord, HostStanding, Versioned, from_json, generation, host_name, to_i64, to_json, to_u64,
};
use super::{Store, StoreResult};

const TABLE: &str = "host";

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    standing: String,
    generation: i64,
    inventory: Option<String>,
    incarnation: i64,
    seen_at: Option<Instant>,
}

impl Row {
    fn record(self) -> StoreResult<HostRecord> {
        Ok(HostRecord {
            standing: Versioned {
                value: from_json(TABLE, &self.name, &self.standing)?,
                generation: generation(self.generation),
            },
            inventory: self.inventory.map(|text| from_json(TABLE, &self.name, &text)).transpose()?,
            incarnation: to_u64(self.incarnation),
            seen_at: self.seen_at,
            name: host_name(TABLE, &self.name, self.name.clone())?,
        })
    }
}

impl Store {
    /// Every host, in the order of names.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hosts(&self) -> StoreResult<Vec<HostRecord>> {
        all(&mut self.db.read().await?.conn()).await
    }

    /// One host.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn host(&self, name: &HostName) -> StoreResult<Option<HostRecord>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a host",
            Row,
            "SELECT name, standing, generation, inventory, incarnation, seen_at FROM hosts WHERE name = $1",
            name.as_str(),
        )?;
        row.map(Row::record).transpose()
    }

    /// Takes in that an agent has called, and what it told, if it told anything. Of two inventories the later one stays, by
    /// incarnation and serial, in whatever order they come; no lease is needed, since nobody decides here.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent_seen(
        &self,
        host: &HostName,
        incarnation: u64,
        inventory: Option<&Inventory>,
        at: Instant,
    ) -> StoreResult<AgentSeen> {
        let mut session = self.db.write().await?;
        let conn = &mut session.conn();
        let known = seen(conn, host, incarnation, at).await?;
        let (latest, mut serial) = (to_u64(known.0), known.1.map(to_u64));
        if latest > incarnation {
            return Ok(AgentSeen::Replaced { by: latest });
        }
        if let Some(inventory) = inventory
            && serial.is_none_or(|known| known < inventory.serial)
        {
            execute!(
                conn,
                "storing what runs on a host",
                "UPDATE hosts SET inventory = $1, serial = $2 WHERE name = $3",
                to_json(TABLE, inventory)?,
                to_i64(inventory.serial),
                host.as_str(),
            )?;
            serial = Some(inventory.serial);
        }
        session.commit().await?;
        Ok(AgentSeen::Current { serial })
    }
}

/// Notes the call and returns the latest incarnation with its serial. The row is locked from here to the end of the transaction.
async fn seen(
    conn: &mut Conn<'_>,
    host: &HostName,
    incarnation: u64,
    at: Instant,
) -> StoreResult<(i64, Option<i64>)> {
    // Serials count within an incarnation: with a new one, none is known. The inventory itself stays as the last known.
    let row = fetch_optional!(
        conn,
        "noting an agent's call",
        (i64, Option<i64>),
        "INSERT INTO hosts (name, standing, generation, incarnation, seen_at) VALUES ($1, $2, 1, $3, $4)
         ON CONFLICT (name) DO UPDATE SET
             serial = CASE WHEN hosts.incarnation = excluded.incarnation THEN hosts.serial END,
             incarnation = excluded.incarnation,
             seen_at = excluded.seen_at
         WHERE hosts.incarnation <= excluded.incarnation
         RETURNING incarnation, serial",
        host.as_str(),
        to_json(TABLE, &Standing::Open)?,
        to_i64(incarnation),
        at,
    )?;
    if let Some(row) = row {
        return Ok(row);
    }
    let newer = fetch_optional!(
        conn,
        "reading an agent's incarnation",
        (i64, Option<i64>),
        "SELECT incarnation, serial FROM hosts WHERE name = $1",
        host.as_str(),
    )?;
    newer.ok_or_else(|| StoreError::conflict(TABLE, host))
}

pub(super) async fn all(conn: &mut Conn<'_>) -> StoreResult<Vec<HostRecord>> {
    let rows = fetch_all!(
        conn,
        "reading the hosts",
        Row,
        "SELECT name, standing, generation, inventory, incarnation, seen_at FROM hosts ORDER BY name",
    )?;
    rows.into_iter().map(Row::record).collect()
}

pub(super) async fn write(conn: &mut Conn<'_>, write: &Write<HostStanding>) -> StoreResult<()> {
    match write {
        Write::Insert(new) => insert(conn, new).await,
        Write::Update(new, expected) => update(conn, new, *expected).await,
    }
}

async fn insert(conn: &mut Conn<'_>, new: &HostStanding) -> StoreResult<()> {
    execute!(
        conn,
        "adding a host",
        "INSERT INTO hosts (name, standing, generation, incarnation) VALUES ($1, $2, 1, 0)",
        new.host.as_str(),
        to_json(TABLE, &new.standing)?,
    )
    .map_err(|error| error.on_insert(TABLE, &new.host))?;
    Ok(())
}

async fn update(conn: &mut Conn<'_>, new: &HostStanding, expected: Generation) -> StoreResult<()> {
    let written = execute!(
        conn,
        "changing a host's standing",
        "UPDATE hosts SET standing = $1, generation = generation + 1 WHERE name = $2 AND generation = $3",
        to_json(TABLE, &new.standing)?,
        new.host.as_str(),
        to_i64(expected.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, &new.host)) }
}
