//! What has changed on pages, put together once for all who watch: a thousand before one page cost what one costs, and a line each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_pages::html::segment;
use drover_policies::events::Event;
use drover_policies::fleet::Host;
use drover_policies::ids::{HostName, MaintenanceId, MigrationId, OperationId, OwnerId, TicketId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::app::{App, Told};
use crate::store::{EventFilter, Seq};

/// What happens within this time is told at once: a page is drawn anew once for it, and not more than some times a second.
const GATHERED: Duration = Duration::from_millis(250);

/// Readers are written to one after the other within so many milliseconds, so that whoever asks for something else meanwhile does not wait for
/// a thousand of them.
const SPREAD_OVER: u32 = 200;

/// So many tellings a reader may be behind before everything is out of date for him.
const BEHIND: usize = 16;

/// How often it is looked whether anybody watches still.
const LOOK: Duration = Duration::from_secs(5);

/// Of a page that was drawn before more than so many events, all is out of date.
const MOST_MISSED: u32 = 200;

/// More is not remembered: what is still of interest is looked up again.
const MOST: usize = 4096;

/// Told when it is not known what has changed: whatever a page shows may be out of date.
pub(super) const EVERYTHING: &str = "*";

/// A part of pages that is out of date, and who may know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) topic: String,
    pub(super) audience: Audience,
}

/// Who may know of a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    Everybody,
    Operators,
    /// Whoever may see a migration, its ticket's guest among them.
    Migration {
        owner: Option<OwnerId>,
        ticket: Option<TicketId>,
    },
    /// Its owner, on the pages of all that is his.
    Owner(OwnerId),
}

/// What is told at once.
type Telling = Arc<Vec<Change>>;

/// Tellings, in the order in which things happened.
pub(super) type Tellings = Receiver<Telling>;

/// Where tellings come from while anybody watches: their sender, and the task that puts them together.
#[derive(Debug, Default)]
pub(crate) struct News {
    crier: Mutex<Option<(Sender<Telling>, JoinHandle<()>)>>,
    readers: AtomicU32,
}

impl News {
    /// How long after a telling one more reader is written to.
    pub(super) fn turn(&self) -> Duration {
        let before = self.readers.fetch_add(1, Ordering::Relaxed);
        Duration::from_millis(u64::from(before % SPREAD_OVER))
    }

    /// All that changes from now on.
    pub(super) fn subscribe(app: &Arc<App>) -> Tellings {
        let mut crier = app.news.crier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, task)) = &*crier
            && !task.is_finished()
        {
            return sender.subscribe();
        }
        let (sender, tellings) = channel(BEHIND);
        let told = app.subscribe();
        let task = tokio::spawn(Crier::new(Arc::clone(app), sender.clone()).run(told));
        *crier = Some((sender, task));
        tellings
    }

    /// What has changed since a place in the story: a page was drawn then, and is heard of only now.
    pub(super) async fn since(app: &Arc<App>, seen: Seq) -> BTreeSet<Change> {
        let mut happenings = Happenings::default();
        match app.store.events_after(seen, &EventFilter::default(), MOST_MISSED + 1).await {
            Ok(events) if events.len() <= MOST_MISSED as usize => {
                events.iter().for_each(|(_, event)| happenings.note(event));
            }
            Ok(_) | Err(_) => happenings.missed = true,
        }
        Crier::new(Arc::clone(app), channel(1).0).changes(happenings).await
    }

    /// Whether nobody watches any more; then whoever comes next begins anew.
    fn is_over(&self) -> bool {
        let mut crier = self.crier.lock().unwrap_or_else(PoisonError::into_inner);
        let over = crier.as_ref().is_none_or(|(sender, _)| sender.receiver_count() == 0);
        if over {
            *crier = None;
        }
        over
    }
}

/// Puts tellings together.
struct Crier {
    app: Arc<App>,
    sender: Sender<Telling>,
    migrations: BTreeMap<MigrationId, Concerned>,
    orders: BTreeMap<OperationId, Option<MigrationId>>,
    numbers: BTreeMap<MaintenanceId, u32>,
}

/// What a migration concerns.
#[derive(Debug, Clone)]
struct Concerned {
    number: u32,
    maintenance: Option<MaintenanceId>,
    hosts: Vec<HostName>,
    owner: Option<OwnerId>,
    ticket: Option<TicketId>,
}

/// What has happened, before it is known what that concerns.
#[derive(Debug, Default)]
struct Happenings {
    hosts: BTreeSet<HostName>,
    maintenances: BTreeSet<MaintenanceId>,
    /// Of which something was stored: they may have another place, owner or ticket by now.
    changed: BTreeSet<MigrationId>,
    /// That got further.
    orders: BTreeSet<OperationId>,
    /// Some of it was missed.
    missed: bool,
}

impl Happenings {
    fn note(&mut self, event: &Event) {
        self.hosts.extend(event.host.clone());
        self.maintenances.extend(event.maintenance);
        self.changed.extend(event.migration);
    }

    /// False when nothing will ever happen again.
    fn take(&mut self, told: Result<Arc<Told>, RecvError>) -> bool {
        match told.as_deref() {
            Ok(Told::Event(_, event)) => self.note(event),
            Ok(Told::Progress(operation, _) | Told::Replicating(operation, _)) => {
                self.orders.insert(*operation);
            }
            Ok(Told::Importing(..)) => {}
            Err(RecvError::Lagged(_)) => self.missed = true,
            Err(RecvError::Closed) => return false,
        }
        true
    }
}

impl Crier {
    fn new(app: Arc<App>, sender: Sender<Telling>) -> Self {
        Self { app, sender, migrations: BTreeMap::new(), orders: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    async fn run(mut self, mut told: Receiver<Arc<Told>>) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let first = tokio::select! {
                first = told.recv() => first,
                _ = look.tick() => {
                    if self.app.news.is_over() { return }
                    continue;
                }
            };
            let mut happenings = Happenings::default();
            let mut goes_on = happenings.take(first);
            let gathered = tokio::time::sleep(GATHERED);
            tokio::pin!(gathered);
            while goes_on {
                tokio::select! {
                    next = told.recv() => goes_on = happenings.take(next),
                    () = &mut gathered => break,
                }
            }
            let changes = self.changes(happenings).await;
            if !changes.is_empty() {
                // Nobody may listen just now.
                let _ = self.sender.send(Arc::new(changes.into_iter().collect()));
            }
            if !goes_on {
                return;
            }
        }
    }

    async fn changes(&mut self, happened: Happenings) -> BTreeSet<Change> {
        let mut changes = BTreeSet::new();
        if happened.missed || self.migrations.len() + self.orders.len() + self.numbers.len() > MOST {
            // What is remembered may be what was missed.
            self.migrations.clear();
            self.orders.clear();
            self.numbers.clear();
        }
        if happened.missed {
            changes.insert(Change { topic: EVERYTHING.to_owned(), audience: Audience::Everybody });
            return changes;
        }
        let Happenings { mut hosts, mut maintenances, changed, orders, .. } = happened;
        for id in &changed {
            self.migrations.remove(id);
        }
        let mut migrations = changed;
        for order in orders {
            migrations.extend(self.of_order(order).await);
        }
        for id in migrations {
            let Some(concerned) = self.concerned(id).await else { continue };
            let Concerned { number, maintenance, hosts: of_it, owner, ticket } = concerned;
            let audience = Audience::Migration { owner: owner.clone(), ticket };
            changes.insert(Change { topic: format!("migration/{number}"), audience: audience.clone() });
            changes.insert(Change { topic: format!("ticket/DR-{number}"), audience });
            changes.extend(
                owner.map(|owner| Change { topic: "my".to_owned(), audience: Audience::Owner(owner) }),
            );
            hosts.extend(of_it);
            maintenances.extend(maintenance);
        }
        let fleet = self.app.fleet();
        let racks = hosts.iter().filter_map(|name| fleet.hosts.get(name)).map(rack_topic);
        changes.extend(racks.map(for_operators));
        for id in maintenances {
            changes.extend(
                self.number(id).await.map(|number| for_operators(format!("maintenance/MT-{number}"))),
            );
        }
        changes
    }

    async fn number(&mut self, id: MaintenanceId) -> Option<u32> {
        if let Some(number) = self.numbers.get(&id) {
            return Some(*number);
        }
        let number = self.app.store.maintenance(id).await.ok()??.value.number;
        self.numbers.insert(id, number);
        Some(number)
    }

    /// The migration that an order is for.
    async fn of_order(&mut self, operation: OperationId) -> Option<MigrationId> {
        if let Some(migration) = self.orders.get(&operation) {
            return *migration;
        }
        let migration = self.app.store.operation(operation).await.ok()??.migration;
        self.orders.insert(operation, migration);
        migration
    }

    async fn concerned(&mut self, id: MigrationId) -> Option<Concerned> {
        if let Some(concerned) = self.migrations.get(&id) {
            return Some(concerned.clone());
        }
        let migration = self.app.store.migration(id).await.ok()??.value;
        let concerned = Concerned {
            number: migration.number,
            maintenance: migration.maintenance,
            hosts: [&migration.from].into_iter().chain(migration.to()).cloned().collect(),
            owner: migration.owner,
            ticket: migration.ticket,
        };
        self.migrations.insert(id, concerned.clone());
        Some(concerned)
    }
}

fn for_operators(topic: String) -> Change {
    Change { topic, audience: Audience::Operators }
}

/// The topic of the rack that a host stands in.
fn rack_topic(host: &Host) -> String {
    let rack = host.facts.labels.get("rack").map(String::as_str).unwrap_or_default();
    format!("fleet/{}/{}", segment(&host.facts.cluster), segment(rack))
}
