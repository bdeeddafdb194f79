//! Migrations.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_policies::attempt::{Method, PowerOff};
use drover_policies::ids::{Generation, HostName, MaintenanceId, MigrationId, OwnerId, ServerId};
use drover_policies::migration::{Migration, State};
use drover_policies::time::{Instant, Span};
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_all_in, fetch_optional};
use super::error::StoreError;
use super::numbers::{self, Counter};
use super::page::{Cursor, Page, cut, rows_for};
use super::records::{Only, Versioned, from_json, generation, to_i64, to_json, to_u64};
use super::{Store, StoreResult};

const TABLE: &str = "migration";

/// How many earlier reboots of a server an estimate may draw on.
const HISTORY: i64 = 10;

type Row = (Uuid, String, i64);

fn record((id, body, at): Row) -> StoreResult<Versioned<Migration>> {
    Ok(Versioned { value: from_json(TABLE, &id, &body)?, generation: generation(at) })
}

/// Which migrations are looked for. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigrationFilter {
    /// Of this account.
    pub owner: Option<OwnerId>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// From or to this host.
    pub host: Option<HostName>,
    /// Of this maintenance.
    pub maintenance: Option<MaintenanceId>,
    /// In this state, by its name in the API.
    pub state: Option<String>,
    /// Open ones, or those that are not.
    pub only: Only,
    /// Moves, drills or both.
    pub purposes: Purposes,
}

/// What migrations are for that are looked for. Whoever says nothing looks for moves: a drill is counted nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purposes {
    /// Those that move a server.
    #[default]
    Moves,
    /// Those that only pretend.
    Drills,
    /// Both.
    All,
}

const MOVE: &str = "move";
const DRILL: &str = "drill";

impl Purposes {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Moves => Some(MOVE),
            Self::Drills => Some(DRILL),
            Self::All => None,
        }
    }
}

impl Store {
    /// Those for which the scheduler still has something to do, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_not_over(&self) -> StoreResult<Vec<Versioned<Migration>>> {
        not_over(&mut self.db.read().await?.conn()).await
    }

    /// Those whose server may still have to leave its host, oldest first; no drills.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_open(&self) -> StoreResult<Vec<Versioned<Migration>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the open migrations",
            Row,
            "SELECT id, body, generation FROM migrations WHERE is_open AND NOT is_over AND purpose = $1 ORDER BY number",
            MOVE,
        )?;
        rows.into_iter().map(record).collect()
    }

    /// Of these servers, the migrations by which each may still have to leave its host, oldest first; no drills.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_open_of(
        &self,
        servers: impl IntoIterator<Item = ServerId>,
    ) -> StoreResult<Vec<Versioned<Migration>>> {
        let query = "SELECT id, body, generation FROM migrations
             WHERE is_open AND NOT is_over AND purpose = 'move' AND server IN";
        self.migrations_in(query, servers.into_iter().map(|server| server.0).collect()).await
    }

    /// Those of these ids that there are, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_by_id(
        &self,
        ids: impl IntoIterator<Item = MigrationId>,
    ) -> StoreResult<Vec<Versioned<Migration>>> {
        let query = "SELECT id, body, generation FROM migrations WHERE id IN";
        self.migrations_in(query, ids.into_iter().map(|id| id.0).collect()).await
    }

    async fn migrations_in(
        &self,
        query: &'static str,
        list: Vec<Uuid>,
    ) -> StoreResult<Vec<Versioned<Migration>>> {
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let session = &mut self.db.read().await?;
        let rows = fetch_all_in!(&mut session.conn(), "reading some migrations", Row, query, list)?;
        let mut found: Vec<_> = rows.into_iter().map(record).collect::<StoreResult<_>>()?;
        found.sort_unstable_by_key(|read| read.value.number);
        Ok(found)
    }

    /// All of a maintenance, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_of(&self, maintenance: MaintenanceId) -> StoreResult<Vec<Versioned<Migration>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the migrations of a maintenance",
            Row,
            "SELECT id, body, generation FROM migrations WHERE maintenance = $1 ORDER BY number",
            maintenance.0,
        )?;
        rows.into_iter().map(record).collect()
    }

    /// A page of those that fit, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_page(
        &self,
        filter: &MigrationFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> StoreResult<Page<Versioned<Migration>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading a page of migrations",
            Row,
            "SELECT id, body, generation FROM migrations
             WHERE number < $1
               AND ($2 IS NULL OR owner = $2)
               AND ($3 IS NULL OR server = $3)
               AND ($4 IS NULL OR from_host = $4 OR to_host = $4)
               AND ($5 IS NULL OR maintenance = $5)
               AND ($6 IS NULL OR state = $6)
               AND ($7 IS NULL OR is_open = $7)
               AND ($8 IS NULL OR purpose = $8)
             ORDER BY number DESC LIMIT $9",
            Cursor::below(cursor),
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.server.map(|server| server.0),
            filter.host.as_ref().map(HostName::as_str),
            filter.maintenance.map(|maintenance| maintenance.0),
            filter.state.as_deref(),
            filter.only.open(),
            filter.purposes.word(),
            rows_for(limit),
        )?;
        let items: Vec<_> = rows.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok(cut(items, limit, |last| Cursor::number(i64::from(last.value.number))))
    }

    /// Those of an account that were opened after a moment, whatever came of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migrations_opened_since(
        &self,
        owner: &OwnerId,
        since: Instant,
    ) -> StoreResult<Vec<Migration>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading an account's latest migrations",
            Row,
            "SELECT id, body, generation FROM migrations WHERE owner = $1 AND opened_at > $2 ORDER BY number",
            owner.as_str(),
            since,
        )?;
        rows.into_iter().map(|row| record(row).map(|read| read.value)).collect()
    }

    /// One, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migration(&self, id: MigrationId) -> StoreResult<Option<Versioned<Migration>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a migration",
            Row,
            "SELECT id, body, generation FROM migrations WHERE id = $1",
            id.0,
        )?;
        row.map(record).transpose()
    }

    /// One, by its number: 1042 for the one whose ticket is DR-1042.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn migration_by_number(&self, number: u32) -> StoreResult<Option<Versioned<Migration>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a migration by number",
            Row,
            "SELECT id, body, generation FROM migrations WHERE number = $1",
            i64::from(number),
        )?;
        row.map(record).transpose()
    }

    /// How many drills an account's servers have had since a moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn drills_since(&self, owner: Option<&OwnerId>, since: Instant) -> StoreResult<u64> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "counting drills",
            (i64,),
            // No account is called by an empty name.
            "SELECT COUNT(*) FROM migrations WHERE purpose = 'drill' AND opened_at >= $1 AND COALESCE(owner, '') = $2",
            since,
            owner.map_or("", OwnerId::as_str),
        )?;
        Ok(row.map_or(0, |(count,)| to_u64(count)))
    }

    /// How long servers were off in their last reboot migrations, at most ten of each, latest first. A server that was off
    /// anyway is not counted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reboot_downtimes(&self) -> StoreResult<BTreeMap<ServerId, Vec<Span>>> {
        downtimes(&mut self.db.read().await?.conn()).await
    }
}

pub(super) async fn not_over(conn: &mut Conn<'_>) -> StoreResult<Vec<Versioned<Migration>>> {
    let rows = fetch_all!(
        conn,
        "reading the migrations that are not over",
        Row,
        "SELECT id, body, generation FROM migrations WHERE NOT is_over ORDER BY number",
    )?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn downtimes(conn: &mut Conn<'_>) -> StoreResult<BTreeMap<ServerId, Vec<Span>>> {
    let rows = fetch_all!(
        conn,
        "reading earlier downtimes",
        (Uuid, i64),
        "SELECT server, downtime_us FROM (
             SELECT server, downtime_us, ROW_NUMBER() OVER (PARTITION BY server ORDER BY number DESC) AS place
             FROM migrations WHERE downtime_us IS NOT NULL
         ) AS latest WHERE place <= $1 ORDER BY server, place",
        HISTORY,
    )?;
    let mut history: BTreeMap<ServerId, Vec<Span>> = BTreeMap::new();
    for (server, microseconds) in rows {
        let downtime = Span(Duration::from_micros(to_u64(microseconds)));
        history.entry(ServerId(server)).or_default().push(downtime);
    }
    Ok(history)
}

/// What its reboot tells about the server's next one.
fn downtime_us(migration: &Migration) -> Option<i64> {
    let moved = match (&migration.state, migration.method) {
        (
            State::Completed { moved, .. }
            | State::Reverting { moved, .. }
            | State::Discarding { moved, .. }
            | State::Closed { moved, .. }
            | State::Reverted { moved, .. },
            Method::Reboot,
        ) => moved,
        (
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. },
            Method::Live | Method::Reboot,
        ) => return None,
    };
    match moved.power_off {
        Some(PowerOff::WasOff) => None,
        Some(PowerOff::GuestAgent | PowerOff::Acpi | PowerOff::Hard) | None => {
            moved.downtime.map(|downtime| i64::try_from(downtime.0.as_micros()).unwrap_or(i64::MAX))
        }
    }
}

pub(super) async fn write(conn: &mut Conn<'_>, write: &Write<Migration>, at: Instant) -> StoreResult<()> {
    match write {
        Write::Insert(new) => insert(conn, new, at).await,
        Write::Update(new, expected) => update(conn, new, *expected, at).await,
    }
}

async fn insert(conn: &mut Conn<'_>, new: &Migration, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding a migration",
        "INSERT INTO migrations (id, number, maintenance, server, server_name, owner, from_host, to_host, method,
             state, is_open, is_over, downtime_us, body, generation, opened_at, updated_at, purpose)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $16, $17)",
        new.id.0,
        i64::from(new.number),
        new.maintenance.map(|maintenance| maintenance.0),
        new.server.0,
        new.server_name.as_str(),
        new.owner.as_ref().map(OwnerId::as_str),
        new.from.as_str(),
        new.to().map(HostName::as_str),
        new.method.to_string(),
        new.state.name(),
        new.is_open(),
        new.is_over(),
        downtime_us(new),
        to_json(TABLE, new)?,
        new.opened_at,
        at,
        if new.is_drill() { DRILL } else { MOVE },
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    numbers::advance(conn, Counter::Migration, new.number).await
}

/// Number, server, source and purpose never change.
async fn update(conn: &mut Conn<'_>, new: &Migration, expected: Generation, at: Instant) -> StoreResult<()> {
    let written = execute!(
        conn,
        "changing a migration",
        "UPDATE migrations SET server_name = $1, owner = $2, to_host = $3, method = $4, state = $5, is_open = $6,
             is_over = $7, downtime_us = $8, body = $9, updated_at = $10, maintenance = $11,
             generation = generation + 1
         WHERE id = $12 AND generation = $13",
        new.server_name.as_str(),
        new.owner.as_ref().map(OwnerId::as_str),
        new.to().map(HostName::as_str),
        new.method.to_string(),
        new.state.name(),
        new.is_open(),
        new.is_over(),
        downtime_us(new),
        to_json(TABLE, new)?,
        at,
        new.maintenance.map(|maintenance| maintenance.0),
        new.id.0,
        to_i64(expected.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.id)) }
}
