//! Migrations as the events that owners' tools read: what [`drover_policies::upcoming`] works out from is gathered here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono_tz::Tz;
use drover_policies::attempt::Method;
use drover_policies::estimate::{Estimate, Guest, expected_live, expected_move, expected_reboot};
use drover_policies::fleet::{Fleet, ServerFacts};
use drover_policies::ids::{MaintenanceId, OwnerId, ServerId};
use drover_policies::maintenance::Urgency;
use drover_policies::migration::Migration;
use drover_policies::owners::Whose;
use drover_policies::policy::Policy;
use drover_policies::time::Span;
use drover_policies::upcoming::azure::Document;
use drover_policies::upcoming::{About, ScheduledEvent, Told, window_at};

use crate::app::App;
use crate::store::{Cursor, MigrationFilter, Only, Purposes, StoreError, StoredWindow, Versioned};

/// How many are read from the store at once.
const CHUNK: u32 = 500;

/// How many of those that are over are told in forms that tell of them.
const OVER: u32 = 100;

/// How often a document is put together anew when somebody else shows another one meanwhile.
const TRIES: u32 = 5;

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// Of this account.
    pub owner: OwnerId,
    /// Of this server alone.
    pub server: Option<ServerId>,
}

impl Whom {
    fn filter(&self, only: Only) -> MigrationFilter {
        MigrationFilter {
            owner: Some(self.owner.clone()),
            server: self.server,
            only,
            purposes: Purposes::All,
            ..MigrationFilter::default()
        }
    }
}

/// What is needed to tell of migrations, read once for all of them.
pub struct Telling<'a> {
    app: &'a App,
    fleet: Arc<Fleet>,
    downtimes: BTreeMap<ServerId, Vec<Span>>,
    windows: Vec<StoredWindow>,
    urgencies: BTreeMap<MaintenanceId, Urgency>,
    zones: BTreeMap<OwnerId, Tz>,
}

impl<'a> Telling<'a> {
    /// Reads what telling of these migrations needs.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn of<'m>(
        app: &'a App,
        migrations: impl IntoIterator<Item = &'m Migration>,
    ) -> Result<Self, StoreError> {
        let mut maintenances = BTreeSet::new();
        let mut owners = BTreeSet::new();
        for migration in migrations {
            maintenances.extend(migration.maintenance);
            owners.extend(migration.owner.clone());
        }
        let mut telling = Self {
            app,
            fleet: app.fleet(),
            downtimes: app.store.reboot_downtimes().await?,
            windows: Vec::new(),
            urgencies: BTreeMap::new(),
            zones: BTreeMap::new(),
        };
        for id in maintenances {
            if let Some(maintenance) = app.store.maintenance(id).await? {
                telling.urgencies.insert(id, maintenance.value.urgency);
            }
        }
        for owner in owners {
            telling.windows.extend(app.store.windows_of(&owner).await?);
            if let Some(contact) = app.store.owner(&owner).await? {
                telling.zones.insert(owner, contact.timezone);
            }
        }
        Ok(telling)
    }

    /// A migration as an event.
    #[must_use]
    pub fn tell(&self, migration: &Migration) -> ScheduledEvent {
        let effective = match self.fleet.server(migration.server) {
            Some(server) => self.app.policies.shared_of(server, &self.fleet),
            None => self.app.policies.shared_general(),
        };
        let policy = &effective.policy;
        let urgency =
            migration.maintenance.and_then(|id| self.urgencies.get(&id)).unwrap_or(&Urgency::Normal);
        let timezone = migration.owner.as_ref().and_then(|owner| self.zones.get(owner)).copied();
        let labels = self.fleet.server(migration.server).map(|server| &server.facts.labels);
        let whose = Whose { owner: migration.owner.as_ref(), server: migration.server, labels };
        let windows = self.windows.iter().map(|stored| (stored.id, &stored.window));
        ScheduledEvent::of(&About {
            migration,
            urgency,
            estimate: estimate(
                migration,
                policy,
                self.fleet.server(migration.server).map(|server| &server.facts),
                self.downtimes.get(&migration.server).map_or(&[][..], Vec::as_slice),
            ),
            rules: &policy.owners,
            window: migration.appointment.slot().and_then(|slot| window_at(windows, &whose, slot.start)),
            timezone: timezone.unwrap_or(Tz::UTC),
            now: self.app.clock.now(),
        })
    }
}

/// How long a migration is expected to take, by what its server is and the downtimes of its earlier reboot migrations.
pub(crate) fn estimate(
    migration: &Migration,
    policy: &Policy,
    server: Option<&ServerFacts>,
    downtimes: &[Span],
) -> Estimate {
    let disk_bytes = migration.place.as_ref().map_or(0, |place| place.disks.values().sum());
    match migration.method {
        Method::Live => {
            let memory_bytes = server.map_or(0, |server| server.memory_bytes);
            expected_live(&policy.live, Guest { memory_bytes, disk_bytes, dirty_rate: 0, link: None })
        }
        Method::Reboot => match server.filter(|_| migration.loss_accepted_by().is_none()) {
            Some(server) => expected_move(server, policy, downtimes, None),
            None => expected_reboot(&policy.reboot, downtimes),
        },
    }
}

/// Everything that lies ahead or goes on, oldest first.
///
/// # Errors
/// The database can't be read.
pub async fn active(app: &App, whom: &Whom) -> Result<Vec<ScheduledEvent>, StoreError> {
    let filter = whom.filter(Only::Open);
    let mut found: Vec<Versioned<Migration>> = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = app.store.migrations_page(&filter, cursor.as_ref(), CHUNK).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.reverse();
    let telling = Telling::of(app, found.iter().map(|read| &read.value)).await?;
    Ok(found.iter().map(|read| telling.tell(&read.value)).filter(|event| event.state.is_active()).collect())
}

/// The last ones that are over, latest first.
///
/// # Errors
/// The database can't be read.
pub async fn over(app: &App, whom: &Whom) -> Result<Vec<ScheduledEvent>, StoreError> {
    let found = app.store.migrations_page(&whom.filter(Only::NotOpen), None, OVER).await?.items;
    let telling = Telling::of(app, found.iter().map(|read| &read.value)).await?;
    Ok(found.iter().map(|read| telling.tell(&read.value)).collect())
}

/// One event, with what its owner was told of it.
///
/// # Errors
/// The database can't be read.
pub async fn with_history(app: &App, read: &Versioned<Migration>) -> Result<ScheduledEvent, StoreError> {
    let mut event = Telling::of(app, [&read.value]).await?.tell(&read.value);
    if let Some(ticket) = read.value.ticket {
        let notices = app.store.notices_of(ticket).await?;
        event.history = notices
            .iter()
            .map(|stored| Told { at: stored.notice.at, what: stored.notice.tells.kind().to_owned() })
            .collect();
    }
    Ok(event)
}

/// What lies ahead or goes on as Azure's document, whose incarnation rises when its events change.
///
/// # Errors
/// The database failed, or others show other documents again and again.
pub async fn document(app: &App, whom: &Whom) -> Result<Document, StoreError> {
    let name = match whom.server {
        None => whom.owner.to_string(),
        Some(server) => format!("{}/{server}", whom.owner),
    };
    for _ in 0..TRIES {
        // Before the events: one that is shown meanwhile makes the comparison below fail, rather than its own number be given twice.
        let last = app.store.document(&name).await?;
        let next = Document::after(last.as_ref(), &active(app, whom).await?);
        if last.as_ref() == Some(&next)
            || app.store.show_document(&name, last.as_ref(), &next, app.clock.now()).await?
        {
            return Ok(next);
        }
    }
    Err(StoreError::Conflict { table: "document", id: name })
}
