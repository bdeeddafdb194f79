//! Replicas as they are at present: what is stored of them, what their agents tell, and what is to be expected of a cutover.

use std::collections::BTreeMap;

use drover_policies::estimate::{Estimate, FinalDelta, expected_cutover, expected_final_delta};
use drover_policies::ids::{MigrationId, ServerId};
use drover_policies::migration::Migration;
use drover_policies::policy::Policy;
use drover_policies::replica::{Pace, Replica, ReplicaStatus};
use drover_policies::time::{Instant, Span};

use crate::app::App;
use crate::commands::migrations::policy_of;
use crate::store::{ReplicaFilter, StoreError};

/// A replica at present.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// As it is stored.
    pub replica: Replica,
    /// The number of its migration.
    pub number: u32,
    /// The name of its server.
    pub server_name: String,
    /// What its agent tells; where that is silent, what it told when it last mattered.
    pub status: Option<ReplicaStatus>,
    /// How often rounds are wished, and how fast.
    pub pace: Pace,
    /// By how much more than its rhythm explains it may be behind before people are warned.
    pub lag_warn: Span,
    /// What to expect of the last round of the running server, if its time came now.
    pub final_delta: Option<FinalDelta>,
    /// What to expect of the cutover.
    pub cutover: Estimate,
    /// When all this holds.
    pub at: Instant,
}

/// What an agent tells of a replica, and what that is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// What it tells.
    pub status: &'a ReplicaStatus,
    /// How often rounds are wished, and how fast.
    pub pace: &'a Pace,
    /// By how much more than its rhythm explains it may be behind before people are warned.
    pub lag_warn: Span,
    /// [`Replica::late_since`].
    pub late_since: Option<Instant>,
    /// The present.
    pub at: Instant,
}

impl Telling<'_> {
    /// Whether the replica is behind by more than the time between two rounds, the last round, and what policy bears on top.
    #[must_use]
    pub fn is_late(&self) -> bool {
        let Self { status, pace, lag_warn, late_since, at } = *self;
        status.late_at(pace, lag_warn, late_since, at).is_some_and(|late_at| at > late_at)
    }
}

/// Downtimes of servers' earlier reboot migrations, latest first.
pub type History = BTreeMap<ServerId, Vec<Span>>;

impl Present {
    /// A replica, with the migration that it is made for.
    #[must_use]
    pub fn of(app: &App, replica: Replica, migration: &Migration, history: &History) -> Self {
        let policy = policy_of(app, migration);
        let operation = replica.state.operation();
        let status = operation.and_then(|operation| app.agents.replicating(operation));
        let status = status.or_else(|| replica.seen().cloned());
        let history = history.get(&replica.server).map_or(&[][..], Vec::as_slice);
        let at = app.clock.now();
        let wished = operation.and_then(|operation| app.agents.pace(operation));
        Self {
            number: migration.number,
            server_name: migration.server_name.clone(),
            pace: wished.unwrap_or_else(|| as_policy_says(&policy, &replica, migration, at)),
            lag_warn: policy.replication.lag_warn,
            final_delta: status.as_ref().and_then(|known| expected_final_delta(&policy.replication, known)),
            cutover: expected_cutover(&policy, history, status.as_ref()),
            status,
            replica,
            at,
        }
    }

    /// What its agent tells; nothing where none has told anything.
    #[must_use]
    pub fn telling(&self) -> Option<Telling<'_>> {
        let status = self.status.as_ref()?;
        let Self { pace, lag_warn, at, replica: Replica { late_since, .. }, .. } = self;
        Some(Telling { status, pace, lag_warn: *lag_warn, late_since: *late_since, at: *at })
    }
}

/// The pace of a replica whose order is not given yet, or was taken back.
fn as_policy_says(policy: &Policy, replica: &Replica, migration: &Migration, now: Instant) -> Pace {
    Pace {
        going: replica.going,
        far: policy.replication.far,
        near: policy.replication.near,
        opens_at: migration.appointment.slot().map(|slot| slot.start),
        bandwidth: policy.replication.bandwidth_now(now).0,
        guest_percent: policy.replication.guest_percent(),
        sync_now: replica.sync_now,
    }
}

/// The replicas of migrations, of those that have one: that which is kept, or else the one that is let go of.
///
/// # Errors
/// The database failed.
pub async fn of_migrations(
    app: &App,
    migrations: &[&Migration],
) -> Result<BTreeMap<MigrationId, Present>, StoreError> {
    let filter = match migrations {
        [] => return Ok(BTreeMap::new()),
        [migration] => ReplicaFilter { server: Some(migration.server), ..ReplicaFilter::default() },
        _ => ReplicaFilter::default(),
    };
    let mut found: BTreeMap<MigrationId, Replica> = BTreeMap::new();
    for replica in app.store.replicas(&filter).await? {
        let replica = replica.value;
        // Oldest first: a later one takes the place of an earlier one, unless it is on its way out and the earlier one is not.
        if found.get(&replica.migration).is_none_or(|known| known.is_leaving() || !replica.is_leaving()) {
            found.insert(replica.migration, replica);
        }
    }
    found.retain(|id, _| migrations.iter().any(|migration| migration.id == *id));
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    let history = app.store.reboot_downtimes().await?;
    let with_replica = migrations.iter().filter_map(|migration| {
        Some((migration.id, Present::of(app, found.remove(&migration.id)?, migration, &history)))
    });
    Ok(with_replica.collect())
}
