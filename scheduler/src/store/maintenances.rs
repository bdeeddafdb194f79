//! Maintenances and their plans.

use drover_policies::ids::{Generation, MaintenanceId, PlanId};
use drover_policies::maintenance::Maintenance;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::commit::Write;
use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::numbers::{self, Counter};
use super::page::{Cursor, Page, cut, rows_for};
use super::records::{Only, StoredPlan, Versioned, from_json, generation, to_i64, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "maintenance";
const PLAN: &str = "plan";

type Row = (Uuid, String, i64);

fn record((id, body, at): Row) -> StoreResult<Versioned<Maintenance>> {
    Ok(Versioned { value: from_json(TABLE, &id, &body)?, generation: generation(at) })
}

impl Store {
    /// Those that are open, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn maintenances_open(&self) -> StoreResult<Vec<Versioned<Maintenance>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the open maintenances",
            Row,
            "SELECT id, body, generation FROM maintenances WHERE is_open ORDER BY number",
        )?;
        rows.into_iter().map(record).collect()
    }

    /// A page of all, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn maintenances_page(
        &self,
        only: Only,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> StoreResult<Page<Versioned<Maintenance>>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading a page of maintenances",
            Row,
            "SELECT id, body, generation FROM maintenances
             WHERE number < $1 AND ($2 IS NULL OR is_open = $2) ORDER BY number DESC LIMIT $3",
            Cursor::below(cursor),
            only.open(),
            rows_for(limit),
        )?;
        let items: Vec<_> = rows.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok(cut(items, limit, |last| Cursor::number(i64::from(last.value.number))))
    }

    /// One, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn maintenance(&self, id: MaintenanceId) -> StoreResult<Option<Versioned<Maintenance>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a maintenance",
            Row,
            "SELECT id, body, generation FROM maintenances WHERE id = $1",
            id.0,
        )?;
        row.map(record).transpose()
    }

    /// One, by its number: 12 for MT-12.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn maintenance_by_number(&self, number: u32) -> StoreResult<Option<Versioned<Maintenance>>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a maintenance by number",
            Row,
            "SELECT id, body, generation FROM maintenances WHERE number = $1",
            i64::from(number),
        )?;
        row.map(record).transpose()
    }

    /// The latest plan of a maintenance.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn latest_plan(&self, maintenance: MaintenanceId) -> StoreResult<Option<StoredPlan>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading the latest plan of a maintenance",
            (Uuid, Uuid, Option<Uuid>, Instant, String),
            "SELECT id, maintenance, parent, at, body FROM plans WHERE maintenance = $1
             ORDER BY at DESC, id DESC LIMIT 1",
            maintenance.0,
        )?;
        row.map(|(id, maintenance, parent, at, body)| {
            Ok(StoredPlan {
                id: PlanId(id),
                maintenance: MaintenanceId(maintenance),
                parent: parent.map(PlanId),
                at,
                plan: from_json(PLAN, &id, &body)?,
            })
        })
        .transpose()
    }
}

/// Those that are open, and those that are not but of which something is still going on.
pub(super) async fn going_on(conn: &mut Conn<'_>) -> StoreResult<Vec<Versioned<Maintenance>>> {
    let rows = fetch_all!(
        conn,
        "reading the maintenances that go on",
        Row,
        "SELECT id, body, generation FROM maintenances
         WHERE is_open OR id IN (SELECT maintenance FROM migrations WHERE NOT is_over) ORDER BY number",
    )?;
    rows.into_iter().map(record).collect()
}

pub(super) async fn write(conn: &mut Conn<'_>, write: &Write<Maintenance>, at: Instant) -> StoreResult<()> {
    match write {
        Write::Insert(new) => insert(conn, new, at).await,
        Write::Update(new, expected) => update(conn, new, *expected, at).await,
    }
}

async fn insert(conn: &mut Conn<'_>, new: &Maintenance, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding a maintenance",
        "INSERT INTO maintenances (id, number, state, is_open, body, generation, requested_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7)",
        new.id.0,
        i64::from(new.number),
        new.state.to_string(),
        new.goes_on(),
        to_json(TABLE, new)?,
        new.requested_at,
        at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    numbers::advance(conn, Counter::Maintenance, new.number).await
}

async fn update(
    conn: &mut Conn<'_>,
    new: &Maintenance,
    expected: Generation,
    at: Instant,
) -> StoreResult<()> {
    let written = execute!(
        conn,
        "changing a maintenance",
        "UPDATE maintenances SET state = $1, is_open = $2, body = $3, updated_at = $4, generation = generation + 1
         WHERE id = $5 AND generation = $6",
        new.state.to_string(),
        new.goes_on(),
        to_json(TABLE, new)?,
        at,
        new.id.0,
        to_i64(expected.0),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, new.id)) }
}

pub(super) async fn insert_plan(conn: &mut Conn<'_>, new: &StoredPlan) -> StoreResult<()> {
    execute!(
        conn,
        "adding a plan",
        "INSERT INTO plans (id, maintenance, parent, at, body) VALUES ($1, $2, $3, $4, $5)",
        new.id.0,
        new.maintenance.0,
        new.parent.map(|parent| parent.0),
        new.at,
        to_json(PLAN, &new.plan)?,
    )
    .map_err(|error| error.on_insert(PLAN, new.id))?;
    Ok(())
}
