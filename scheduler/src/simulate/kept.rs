//! What a scheduler keeps: all that survives it. In production that is the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use drover_agent_api::Operation;
use drover_policies::attempt::Method;
use drover_policies::conduct::{Changes, NewWish};
use drover_policies::fleet::Fleet;
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, IdSource, MigrationId, OperationId, ReplicaId, ServerId};
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use drover_policies::policy::PolicySet;
use drover_policies::replica::Replica;
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::orders;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) maintenance: Maintenance,
    /// Those that are not over.
    pub(super) migrations: BTreeMap<MigrationId, Migration>,
    pub(super) replicas: BTreeMap<ReplicaId, Replica>,
    pub(super) operations: BTreeMap<OperationId, Given>,
    pub(super) standings: BTreeMap<HostName, Standing>,
    pub(super) told: BTreeSet<String>,
    pub(super) history: BTreeMap<ServerId, Vec<Span>>,
    pub(super) next_number: u32,
    /// So many ids have been given.
    pub(super) ids: u64,
}

/// An order that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) host: HostName,
    pub(super) operation: Operation,
}

/// What has to be said to agents after something was stored.
#[derive(Debug, Default)]
pub(super) struct ToAgents {
    /// New orders, and known ones of which something else is wished.
    pub(super) wanted: Vec<OperationId>,
    /// Not wanted any more.
    pub(super) ended: Vec<OperationId>,
    /// Migrations that are over.
    pub(super) over: Vec<Migration>,
}

impl Kept {
    pub(super) fn new(maintenance: Maintenance, fleet: &Fleet) -> Self {
        Self {
            maintenance,
            migrations: BTreeMap::new(),
            replicas: BTreeMap::new(),
            operations: BTreeMap::new(),
            standings: fleet.hosts.iter().map(|(name, host)| (name.clone(), host.standing.clone())).collect(),
            told: BTreeSet::new(),
            history: BTreeMap::new(),
            next_number: 1001,
            ids: 1,
        }
    }

    pub(super) fn wishes(&self) -> BTreeMap<OperationId, NewWish> {
        orders::wishes(self.operations.values().map(|given| &given.operation))
    }

    /// Stores what was decided, as [`crate::execute`] does it in one transaction.
    pub(super) fn store(
        &mut self,
        changes: Changes,
        fleet: &Fleet,
        policies: &PolicySet,
        ids: u64,
    ) -> ToAgents {
        let mut to_agents = ToAgents { ended: changes.ended, ..ToAgents::default() };
        self.ids = ids;
        for new in &changes.begun {
            // The place was judged against this very fleet, so its host is in it.
            if let Ok(operation) = orders::order(new, fleet, policies) {
                self.operations.insert(new.id, Given { host: new.host.clone(), operation });
                to_agents.wanted.push(new.id);
            }
        }
        for (id, new) in changes.wished {
            if let Some(given) = self.operations.get_mut(&id) {
                given.operation.wish = orders::wish(given.operation.wish, new);
                given.operation.generation = given.operation.generation.next();
                to_agents.wanted.push(id);
            }
        }
        for id in &to_agents.ended {
            self.operations.remove(id);
        }
        self.told.extend(changes.notices.into_iter().map(|notice| notice.key));
        for migration in changes.migrations {
            self.next_number = self.next_number.max(migration.number + 1);
            if migration.is_over() {
                self.is_over(migration, &mut to_agents);
            } else {
                self.migrations.insert(migration.id, migration);
            }
        }
        for replica in changes.replicas {
            if replica.is_gone() {
                self.replicas.remove(&replica.id);
            } else {
                self.replicas.insert(replica.id, replica);
            }
        }
        self.standings.extend(changes.standings);
        if let Some(maintenance) = changes.maintenances.into_iter().next() {
            self.maintenance = maintenance;
        }
        to_agents
    }

    fn is_over(&mut self, migration: Migration, to_agents: &mut ToAgents) {
        self.migrations.remove(&migration.id);
        let of_it = format!("{}/", migration.id);
        if migration.ticket.is_some() {
            self.told.retain(|key| !key.starts_with(&of_it));
        }
        if let (Method::Reboot, Some(moved)) = (migration.method, migration.moved()) {
            self.history.entry(migration.server).or_default().extend(moved.downtime);
        }
        to_agents.over.push(migration);
    }
}

/// Ids that count on from what is kept.
#[derive(Debug)]
pub(super) struct Counting(AtomicU64);

impl Counting {
    pub(super) fn from(given: u64) -> Self {
        Self(AtomicU64::new(given))
    }

    pub(super) fn given(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl IdSource for Counting {
    fn next(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}
