//! Hooks that have ended, with what they wrote.

use drover_policies::conduct::HookRun;
use drover_policies::ids::{HostName, MaintenanceId};
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all};
use super::records::{from_json, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "hook run";

impl Store {
    /// Those of one host of a maintenance, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn hook_runs(&self, maintenance: MaintenanceId, host: &HostName) -> StoreResult<Vec<HookRun>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the hooks of a host",
            (Uuid, String),
            "SELECT operation, body FROM hook_runs WHERE maintenance = $1 AND host = $2 ORDER BY ended_at, operation",
            maintenance.0,
            host.as_str(),
        )?;
        rows.into_iter().map(|(id, body)| from_json(TABLE, &id, &body)).collect()
    }
}

pub(super) async fn insert(conn: &mut Conn<'_>, run: &HookRun, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "adding a hook's end",
        "INSERT INTO hook_runs (operation, maintenance, host, body, ended_at) VALUES ($1, $2, $3, $4, $5)",
        run.operation.0,
        run.maintenance.0,
        run.host.as_str(),
        to_json(TABLE, run)?,
        at,
    )
    .map_err(|error| error.on_insert(TABLE, run.operation))?;
    Ok(())
}
