//! All that a decision depends on, as of one moment.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::ids::ServerId;
use drover_policies::import::Import;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use drover_policies::replica::Replica;
use drover_policies::time::Span;

use super::blueprints::{self, StoredBlueprint};
use super::checks::{self, StoredCheck};
use super::freezes::{self, StoredFreeze, StoredLimit};
use super::numbers::{self, Counter};
use super::records::{HostRecord, StoredOperation, StoredWindow, Versioned};
use super::{
    Store, StoreResult, hosts, imports, maintenances, migrations, notices, operations, owners, replicas,
};

/// What the database holds that a decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Every host.
    pub hosts: Vec<HostRecord>,
    /// Maintenances that are open, and those of which something is still going on.
    pub maintenances: Vec<Versioned<Maintenance>>,
    /// Migrations that are not over.
    pub migrations: Vec<Versioned<Migration>>,
    /// Replicas that are not gone.
    pub replicas: Vec<Versioned<Replica>>,
    /// Imports that are not over.
    pub imports: Vec<Versioned<Import>>,
    /// Orders that are wanted.
    pub operations: Vec<StoredOperation>,
    /// Keys of what has been told.
    pub told: BTreeSet<String>,
    /// Every account's windows.
    pub windows: Vec<StoredWindow>,
    /// Every account's freezes.
    pub freezes: Vec<Versioned<StoredFreeze>>,
    /// Every account's limits.
    pub limits: Vec<StoredLimit>,
    /// Every account's checks.
    pub checks: Vec<StoredCheck>,
    /// What servers shall look like at their next launch.
    pub blueprints: Vec<Versioned<StoredBlueprint>>,
    /// Downtimes of earlier reboot migrations, latest first.
    pub history: BTreeMap<ServerId, Vec<Span>>,
    /// The number that the next migration gets.
    pub next_number: u32,
}

impl Store {
    /// Reads all of it as of one moment, so that a decision never mixes what was before a write with what was after it.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn picture(&self) -> StoreResult<Picture> {
        let mut session = self.db.snapshot().await?;
        let conn = &mut session.conn();
        let picture = Picture {
            hosts: hosts::all(conn).await?,
            maintenances: maintenances::going_on(conn).await?,
            migrations: migrations::not_over(conn).await?,
            replicas: replicas::not_gone(conn).await?,
            imports: imports::not_over(conn).await?,
            operations: operations::wanted(conn).await?,
            told: notices::told(conn).await?,
            windows: owners::windows(conn).await?,
            freezes: freezes::freezes(conn, None).await?,
            limits: freezes::limits(conn, None).await?,
            checks: checks::checks(conn, None).await?,
            blueprints: blueprints::all(conn).await?,
            history: migrations::downtimes(conn).await?,
            next_number: numbers::next(conn, Counter::Migration).await?,
        };
        session.commit().await?;
        Ok(picture)
    }
}
