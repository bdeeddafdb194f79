//! All that a decision depends on, read in one go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use drover_policies::attempt::Report;
use drover_policies::blueprint::Blueprints;
use drover_policies::conduct::{NewWish, Situation, import_places};
use drover_policies::fleet::Fleet;
use drover_policies::ids::{
    Generation, HostName, ImportId, MaintenanceId, MigrationId, OperationId, ReplicaId, ServerId,
};
use drover_policies::import::Import;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use drover_policies::owners::OwnersRules;
use drover_policies::placement::Reservation;
use drover_policies::time::{Instant, Span};

use crate::app::App;
use crate::orders;
use crate::store::{Picture, StoreError, StoredBlueprint, StoredOperation, Versioned};

/// What was read.
pub struct Loaded {
    /// When.
    pub now: Instant,
    /// Observed.
    pub fleet: Arc<Fleet>,
    picture: Picture,
    /// Where in the picture each migration is: with very many of them each is looked up several times.
    places: HashMap<MigrationId, usize>,
    owners: OwnersRules,
    patient: BTreeSet<HostName>,
    checking: BTreeSet<HostName>,
    blueprints: Blueprints,
    reports: BTreeMap<OperationId, Report>,
    wishes: BTreeMap<OperationId, NewWish>,
}

impl Loaded {
    /// Reads everything.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn read(app: &App) -> Result<Self, StoreError> {
        // Reports first: what an agent tells while the rest is read is taken up by the next call, while the other way round a report could be
        // judged against a state that did not know its order yet.
        let reports = app.agents.reports();
        let now = app.clock.now();
        let fleet = app.agents.fleet(now);
        let picture = app.store.picture().await?;
        Ok(Self {
            now,
            fleet,
            owners: OwnersRules::new(
                picture.windows.iter().map(|stored| stored.window.clone()),
                picture.freezes.iter().map(|stored| stored.value.freeze.clone()),
                picture.limits.iter().map(|stored| stored.limit.clone()),
            )
            .with_checks(picture.checks.iter().map(|stored| stored.check.clone())),
            wishes: orders::wishes(picture.operations.iter().map(|stored| &stored.operation)),
            reports,
            patient: app.agents.patient(),
            checking: app.agents.checking(),
            blueprints: by_server(&picture.blueprints),
            places: picture.migrations.iter().enumerate().map(|(at, read)| (read.value.id, at)).collect(),
            picture,
        })
    }

    /// As a decision wants it.
    #[must_use]
    pub fn situation<'a>(&'a self, app: &'a App) -> Situation<'a> {
        Situation {
            now: self.now,
            ids: app.ids.as_ref(),
            next_number: self.picture.next_number,
            fleet: &self.fleet,
            policies: &app.policies,
            owners: &self.owners,
            maintenances: self.picture.maintenances.iter().map(|read| &read.value).collect(),
            migrations: self.picture.migrations.iter().map(|read| &read.value).collect(),
            replicas: self.picture.replicas.iter().map(|read| read.value.clone()).collect(),
            imports: self.imports().cloned().collect(),
            patient: &self.patient,
            checking: &self.checking,
            blueprints: &self.blueprints,
            reports: &self.reports,
            wishes: &self.wishes,
            told: &self.picture.told,
            history: &self.picture.history,
        }
    }

    /// What owners have set.
    #[must_use]
    pub fn owners(&self) -> &OwnersRules {
        &self.owners
    }

    /// Every migration that is not over.
    pub fn migrations(&self) -> impl Iterator<Item = &Migration> {
        self.picture.migrations.iter().map(|read| &read.value)
    }

    /// A maintenance as it was read.
    #[must_use]
    pub fn maintenance(&self, id: MaintenanceId) -> Option<&Maintenance> {
        self.picture.maintenances.iter().map(|read| &read.value).find(|maintenance| maintenance.id == id)
    }

    /// Downtimes of a server's earlier reboot migrations, latest first.
    #[must_use]
    pub fn downtimes(&self, server: ServerId) -> &[Span] {
        self.picture.history.get(&server).map_or(&[], Vec::as_slice)
    }

    /// What servers shall look like at their next launch.
    #[must_use]
    pub fn blueprints(&self) -> &Blueprints {
        &self.blueprints
    }

    /// The generation in which a server's blueprint was read.
    #[must_use]
    pub fn generation_of_blueprint(&self, server: ServerId) -> Option<Generation> {
        let mut read = self.picture.blueprints.iter();
        read.find(|read| read.value.server == server).map(|read| read.generation)
    }

    /// A migration as it was read.
    #[must_use]
    pub fn migration(&self, id: MigrationId) -> Option<&Migration> {
        self.found(id).map(|read| &read.value)
    }

    /// A running order.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<&StoredOperation> {
        self.picture.operations.iter().find(|stored| stored.operation.id == id)
    }

    /// The generation in which a migration was read; nothing when it is new.
    #[must_use]
    pub fn generation_of(&self, id: MigrationId) -> Option<Generation> {
        self.found(id).map(|read| read.generation)
    }

    fn found(&self, id: MigrationId) -> Option<&Versioned<Migration>> {
        self.places.get(&id).map(|place| &self.picture.migrations[*place])
    }

    /// The generation in which a replica was read; nothing when it is new.
    #[must_use]
    pub fn generation_of_replica(&self, id: ReplicaId) -> Option<Generation> {
        self.picture.replicas.iter().find(|read| read.value.id == id).map(|read| read.generation)
    }

    /// Every import that is not over.
    pub fn imports(&self) -> impl Iterator<Item = &Import> {
        self.picture.imports.iter().map(|read| &read.value)
    }

    /// The places that are held for imports.
    #[must_use]
    pub fn import_places(&self, app: &App) -> Vec<Reservation> {
        let imports: Vec<Import> = self.imports().cloned().collect();
        import_places(&imports, &self.fleet, &app.policies, &self.reports)
    }

    /// The generation in which an import was read; nothing when it is new.
    #[must_use]
    pub fn generation_of_import(&self, id: ImportId) -> Option<Generation> {
        self.picture.imports.iter().find(|read| read.value.id == id).map(|read| read.generation)
    }

    /// The generation in which a maintenance was read.
    #[must_use]
    pub fn generation_of_maintenance(&self, id: MaintenanceId) -> Option<Generation> {
        self.picture.maintenances.iter().find(|read| read.value.id == id).map(|read| read.generation)
    }

    /// The generation in which a host's standing was read.
    #[must_use]
    pub fn generation_of_standing(&self, host: &HostName) -> Option<Generation> {
        self.picture.hosts.iter().find(|read| read.name == *host).map(|read| read.standing.generation)
    }
}

/// As decisions want them.
#[must_use]
pub fn by_server(stored: &[Versioned<StoredBlueprint>]) -> Blueprints {
    stored.iter().map(|stored| (stored.value.server, stored.value.blueprint.clone())).collect()
}
