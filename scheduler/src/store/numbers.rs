//! Short numbers for people. A number is never given twice, also not after its thing has been purged.

use super::db::{Conn, execute, fetch_optional};
use super::{Store, StoreResult};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Maintenances, from 1: `MT-1`.
    Maintenance,
    /// Migrations, from 1001: `DR-1001`.
    Migration,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Migration => "migration",
        }
    }
}

impl Store {
    /// The number that the next thing of this kind gets. It is taken by the commit that inserts the thing; of two that were
    /// given the same number, the second commit is a conflict, and looks again.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn next_number(&self, counter: Counter) -> StoreResult<u32> {
        next(&mut self.db.read().await?.conn(), counter).await
    }
}

pub(super) async fn next(conn: &mut Conn<'_>, counter: Counter) -> StoreResult<u32> {
    let row = fetch_optional!(
        conn,
        "reading a counter",
        (i64,),
        "SELECT value FROM counters WHERE name = $1",
        counter.name(),
    )?;
    let last = row.map_or(0, |(value,)| u32::try_from(value).unwrap_or(u32::MAX));
    Ok(last.saturating_add(1))
}

pub(super) async fn advance(conn: &mut Conn<'_>, counter: Counter, to: u32) -> StoreResult<()> {
    execute!(
        conn,
        "advancing a counter",
        "UPDATE counters SET value = $1 WHERE name = $2 AND value < $1",
        i64::from(to),
        counter.name(),
    )?;
    Ok(())
}
