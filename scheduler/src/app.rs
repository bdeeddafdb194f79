//! What every part of the scheduler shares.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use drover_notifier::reply::Keys;
use drover_policies::attempt::Progress;
use drover_policies::events::Event;
use drover_policies::fleet::Fleet;
use drover_policies::ids::{IdSource, OperationId};
use drover_policies::import::ImportStatus;
use drover_policies::language::Language;
use drover_policies::policy::PolicySet;
use drover_policies::replica::ReplicaStatus;
use drover_policies::time::{Clock, Instant};
use tokio::sync::{Notify, broadcast, watch};

use crate::agents::{Agents, Reading, StoredHost};
use crate::config::Config;
use crate::lease::Lease;
use crate::outbound::Outbound;
use crate::store::{Batch, Committed, HostStanding, Seq, Store, StoreError, Write};
use crate::web::news::News;
use crate::webhooks;

/// How many events and figures a slow reader of a stream may be behind before it has to begin anew.
const STREAM_BACKLOG: usize = 4096;

/// What is told to those who watch.
#[derive(Debug, Clone)]
pub enum Told {
    /// Something was stored as having happened.
    Event(Seq, Event),
    /// A running operation has got further.
    Progress(OperationId, Progress),
    /// A replica has got further, or further behind.
    Replicating(OperationId, ReplicaStatus),
    /// An import has got further.
    Importing(OperationId, ImportStatus),
}

/// The scheduler.
pub struct App {
    /// Settings.
    pub config: Config,
    /// What is kept.
    pub store: Store,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// Wished by operators.
    pub policies: Arc<PolicySet>,
    /// Observed, and what is wanted of agents.
    pub agents: Agents,
    /// Woken when something may be decided differently.
    pub stirred: Notify,
    /// For the operators' own webhooks; nothing where this machine can't make one.
    pub webhook_client: Option<reqwest::Client>,
    /// Test events of owners' webhooks.
    pub webhook_tests: webhooks::Tests,
    /// Touched when there may be something to deliver.
    pub outbox: watch::Sender<()>,
    /// Calls to addresses that others have named.
    pub outbound: Outbound,
    /// What signs the links of tickets' mails; nothing where mails have none.
    pub page_keys: Option<Keys>,
    /// Those that mails can be written in.
    pub languages: BTreeSet<Language>,
    pub(crate) news: News,
    promising: tokio::sync::Mutex<()>,
    lease: RwLock<Lease>,
    told: broadcast::Sender<Arc<Told>>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// What is kept; migrated already.
    pub store: Store,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// Wished by operators.
    pub policies: Arc<PolicySet>,
    /// Held by this scheduler.
    pub lease: Lease,
    /// What signs the links of tickets' mails; nothing where mails have none.
    pub page_keys: Option<Keys>,
    /// Those that mails can be written in.
    pub languages: BTreeSet<Language>,
}

impl App {
    /// Begins with what was stored.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn open(parts: Parts) -> Result<Arc<Self>, StoreError> {
        let now = parts.clock.now();
        let hosts = parts.store.hosts().await?.into_iter().map(|host| StoredHost {
            name: host.name,
            standing: host.standing.value,
            inventory: host.inventory,
            incarnation: host.incarnation,
            seen_at: host.seen_at.unwrap_or(Instant::UNIX_EPOCH),
        });
        let wanted = parts.store.operations_wanted().await?;
        // Microseconds: no life of the scheduler changes a list that often, so a later life always begins above.
        let first_revision = u64::try_from(now.timestamp_micros()).unwrap_or_default();
        Ok(Arc::new(Self {
            agents: Agents::new(hosts.collect(), wanted, first_revision),
            webhook_client: webhooks::operators_client(),
            webhook_tests: webhooks::Tests::default(),
            store: parts.store.with_listeners(parts.config.listeners()),
            outbound: Outbound::new(&parts.config.outbound),
            config: parts.config,
            clock: parts.clock,
            ids: parts.ids,
            policies: parts.policies,
            page_keys: parts.page_keys,
            languages: parts.languages,
            news: News::default(),
            stirred: Notify::new(),
            outbox: watch::Sender::new(()),
            promising: tokio::sync::Mutex::default(),
            lease: RwLock::new(parts.lease),
            told: broadcast::Sender::new(STREAM_BACKLOG),
        }))
    }

    /// The fleet as last observed.
    #[must_use]
    pub fn fleet(&self) -> Arc<Fleet> {
        self.agents.fleet(self.clock.now())
    }

    /// How far a running operation is.
    #[must_use]
    pub fn progress(&self, operation: OperationId) -> Option<Progress> {
        self.agents.progress(operation)
    }

    /// What a running operation had left to send, oldest first.
    #[must_use]
    pub fn readings(&self, operation: OperationId) -> Vec<Reading> {
        self.agents.readings(operation)
    }

    /// All that is told from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.told.subscribe()
    }

    /// Tells those who watch, if anybody does.
    pub fn tell(&self, told: Told) {
        let _ = self.told.send(Arc::new(told));
    }

    /// Held by whoever looks for a free time, until what it found is stored: two must not find the same last one, and appointments of
    /// two migrations are two rows, of which neither knows of the other. One scheduler acts at a time, so its own lock is enough.
    pub async fn promise_times(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.promising.lock().await
    }

    /// The lease that fences every change.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lease has been renewed.
    pub fn set_lease(&self, lease: Lease) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    /// Stores what changes, whole or not at all, and tells everybody whom it concerns: agents, watchers, the next decision.
    ///
    /// # Errors
    /// Somebody changed one of these things meanwhile ([`StoreError::Conflict`]), another scheduler has taken over, or the database failed.
    /// Nothing has changed then.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let standings: Vec<HostStanding> = batch
            .standings
            .iter()
            .map(|write| match write {
                Write::Insert(standing) | Write::Update(standing, _) => standing.clone(),
            })
            .collect();
        let has_orders = !(batch.operations_begun.is_empty()
            && batch.operations_wished.is_empty()
            && batch.operations_ended.is_empty());
        let replays = !batch.replays.is_empty();
        let committed = self.store.commit(&self.lease().fence, batch).await?;
        for HostStanding { host, standing } in standings {
            self.agents.set_standing(&host, standing);
        }
        if has_orders {
            self.agents.want(self.store.operations_wanted().await?);
        }
        for (seq, event) in &committed.events {
            tracing::info!(%seq, about = %event.subject(), "{}", event.what);
            self.tell(Told::Event(*seq, event.clone()));
        }
        if replays || !committed.notices.is_empty() {
            self.outbox.send_replace(());
        }
        self.stirred.notify_one();
        Ok(committed)
    }
}
