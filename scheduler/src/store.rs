//! What the scheduler knows and has decided, kept so that nothing acknowledged is ever lost.
//!
//! One SQL text serves SQLite, the embedded default, and PostgreSQL, where several schedulers may share a database. What is decided
//! is written by [`Store::commit`] and by nothing else: one transaction, fenced by the lease under which the scheduler acts, each
//! thing compared with the generation in which it was read. What agents and channels tell is written at once and without a lease:
//! nobody decides there, and the latest fact wins.
//!
//! An aggregate is stored as JSON with the few columns that are looked for. The columns are drawn from the aggregate at every
//! write and never read back.

mod answers;
mod blueprints;
mod bounces;
mod checks;
mod commit;
mod cursors;
mod db;
mod deliveries;
mod documents;
mod error;
mod events;
mod freezes;
mod hook_runs;
mod hosts;
mod imports;
mod lease;
mod maintenances;
mod migrations;
mod notices;
mod numbers;
mod operations;
mod owners;
mod page;
mod picture;
mod purge;
mod records;
mod replicas;
mod sessions;
mod tickets;
mod tokens;
mod webhooks;

pub use blueprints::StoredBlueprint;
pub use bounces::StoredBounce;
pub use checks::StoredCheck;
pub use commit::{Batch, Committed, Write};
pub use deliveries::{
    Channels, DeadLetter, DeadLetterFilter, Delivery, DeliveryId, Due, Settled, StoredDelivery, Tried,
    Undelivered,
};
pub use error::{BadContent, StoreError};
pub use events::{EventFilter, Order, StoryPage};
pub use freezes::{FreezeSource, StoredFreeze, StoredLimit};
pub use imports::ImportFilter;
pub use lease::{Claim, Fence, Held};
pub use migrations::{MigrationFilter, Purposes};
pub use notices::{Post, StoredNotice};
pub use numbers::Counter;
pub use page::{BadCursor, Cursor, Page};
pub use picture::Picture;
pub use purge::{Keep, Purged};
pub use records::{
    AgentSeen, Answer, HostRecord, HostStanding, NewOperation, NewTicket, NewWish, Only, Role, Seq,
    StoredOperation, StoredPlan, StoredWindow, Taken, TakenTicket, Ticket, Token, Versioned,
};
pub use replicas::ReplicaFilter;
pub use sessions::{SessionFor, StoredSession};
pub use tickets::{LastWord, TicketFilter};
pub use webhooks::{ReplacedSecret, RotatedWebhook, StoredWebhook};

use std::sync::Arc;

use db::{Db, execute};
use drover_policies::channels::{ChannelName, Listener};

/// What the store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// The open database. Cheap to clone: clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    listeners: Arc<[Listener]>,
}

impl Store {
    /// Opens a database: a path or `sqlite:///path/drover.db` for a file, which is made if it isn't there, or
    /// `postgres://user@host/database`. Its tables are not touched; see [`Store::migrate`].
    ///
    /// # Errors
    /// The address is none, or the database can't be opened.
    pub async fn open(url: &str) -> StoreResult<Self> {
        let mail = Listener::to_all(ChannelName::Mail);
        Ok(Self { db: Db::open(url).await?, listeners: [mail].into() })
    }

    /// The channels that every message is offered to when it is stored. Unless told otherwise there is mail alone.
    #[must_use]
    pub fn with_listeners(self, listeners: Vec<Listener>) -> Self {
        Self { listeners: listeners.into(), ..self }
    }

    /// Brings the tables to the form that this version needs. Several schedulers may do so at the same time.
    ///
    /// # Errors
    /// [`StoreError::Schema`], also when a newer version has used the database.
    pub async fn migrate(&self) -> StoreResult<()> {
        self.db.migrate().await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> StoreResult<()> {
        execute!(&mut self.db.read().await?.conn(), "asking whether it is there", "SELECT 1")?;
        Ok(())
    }

    /// Closes all connections, and waits until they are. What is asked of the store afterwards fails.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
