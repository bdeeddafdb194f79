//! What is stored beside the aggregates of `drover_policies`, and how anything gets into and out of a row.

use std::fmt::Display;

use drover_agent_api::{Inventory, Operation, Wish};
use drover_policies::host::Standing;
use drover_policies::ids::{
    Generation, HostName, MaintenanceId, MigrationId, OperationId, OwnerId, PlanId, ServerId, TicketId,
    WindowId,
};
use drover_policies::owners::OwnerWindow;
use drover_policies::plan::Plan;
use drover_policies::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{BadContent, StoreError};

/// Something with the generation in which it was read. Writing it back is possible only as long as that is still its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What was read.
    pub value: T,
    /// Its generation then.
    pub generation: Generation,
}

/// A host: what is wished of it, and what its agent last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// Its name.
    pub name: HostName,
    /// What is wished of it; the generation is this one's and doesn't change by what an agent tells.
    pub standing: Versioned<Standing>,
    /// What its agent last told; nothing until it has told for the first time.
    pub inventory: Option<Inventory>,
    /// The latest incarnation of its agent; 0 before the first call.
    pub incarnation: u64,
    /// When its agent last called.
    pub seen_at: Option<Instant>,
}

/// What is wished of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStanding {
    /// Which host.
    pub host: HostName,
    /// What is wished.
    pub standing: Standing,
}

/// How an agent's call was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSeen {
    /// It is the agent of this host.
    Current {
        /// The serial of the inventory that is stored of this incarnation; nothing when there is none.
        serial: Option<u64>,
    },
    /// A later incarnation has called already; this one is to be refused.
    Replaced {
        /// The later one.
        by: u64,
    },
}

/// A plan of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlan {
    /// Its id.
    pub id: PlanId,
    /// Whose plan.
    pub maintenance: MaintenanceId,
    /// The plan that it follows.
    pub parent: Option<PlanId>,
    /// When it was stored.
    pub at: Instant,
    /// The plan.
    pub plan: Plan,
}

/// An order to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation {
    /// The order, in its first generation.
    pub operation: Operation,
    /// Whose agent.
    pub host: HostName,
    /// For which migration.
    pub migration: Option<MigrationId>,
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOperation {
    /// The order as it goes to the agent, with its present generation.
    pub operation: Operation,
    /// Whose agent.
    pub host: HostName,
    /// For which migration.
    pub migration: Option<MigrationId>,
    /// Since when it is wanted.
    pub begun_at: Instant,
    /// Since when it is not wanted any more.
    pub ended_at: Option<Instant>,
}

/// Something else is wished of a running order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWish {
    /// Of which.
    pub operation: OperationId,
    /// The generation in which it was read: else an abort could be undone by a wish that was decided before it.
    pub read_at: Generation,
    /// What is wished now; it gets the next generation.
    pub wish: Wish,
}

/// A ticket to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// Its id.
    pub id: TicketId,
    /// For people: `DR-1042`.
    pub number: String,
    /// About which migration.
    pub migration: MigrationId,
    /// For whom.
    pub owner: OwnerId,
    /// About which server.
    pub server: ServerId,
    /// Its subject.
    pub subject: String,
}

/// The thread with an owner about one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// For people: `DR-1042`.
    pub number: String,
    /// About which migration.
    pub migration: MigrationId,
    /// For whom.
    pub owner: OwnerId,
    /// About which server.
    pub server: ServerId,
    /// Its subject.
    pub subject: String,
    /// When it was opened.
    pub opened_at: Instant,
    /// When it was closed; nothing while it is open.
    pub closed_at: Option<Instant>,
    /// Since when an owner's words wait for an operator's answer; nothing when none do.
    pub unanswered_since: Option<Instant>,
    /// Which operator looks after it; nothing when nobody in particular does.
    pub taken: Option<Taken>,
}

/// An operator who looks after a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The name of his token.
    pub by: String,
    /// Since when.
    pub at: Instant,
}

/// Another operator looks after a ticket, or nobody does any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenTicket {
    /// Which ticket.
    pub ticket: TicketId,
    /// Who did when it was read; a conflict when it is another by now.
    pub from: Option<String>,
    /// Who does now.
    pub by: Option<String>,
}

/// The place of an event in the story; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// Before the first event.
    pub const START: Self = Self(0);
}

impl Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A time in which an owner allows reboot migrations, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWindow {
    /// Its id.
    pub id: WindowId,
    /// The window.
    pub window: OwnerWindow,
    /// Since when it is there.
    pub created_at: Instant,
}

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it without being it.
    pub id: Uuid,
    /// Its hash, in hex; the token itself is stored nowhere.
    pub hash: String,
    /// For people: an operator's name, or which of an owner's tokens it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Since when it is there.
    pub created_at: Instant,
    /// When it was last used, roughly.
    pub last_used_at: Option<Instant>,
    /// Since when it is refused.
    pub revoked_at: Option<Instant>,
}

impl Token {
    /// Whom it speaks for: the operator, the account or the host.
    #[must_use]
    pub fn subject(&self) -> &str {
        match &self.role {
            Role::Operator => &self.name,
            Role::Owner(owner) => owner.as_str(),
            Role::Agent(host) => host.as_str(),
        }
    }
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Operator,
    /// See and answer for this account's servers.
    Owner(OwnerId),
    /// Speak for this host.
    Agent(HostName),
}

/// The answer to a request that carried an idempotency key, so that its repeat gets the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who asked.
    pub principal: String,
    /// The key.
    pub key: String,
    /// What was asked, hashed: the same key with another request is a mistake.
    pub request_hash: String,
    /// The HTTP status.
    pub status: u16,
    /// The Location header.
    pub location: Option<String>,
    /// The body.
    pub body: String,
    /// When.
    pub at: Instant,
}

/// Whether what is open is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Only {
    /// All.
    #[default]
    All,
    /// Open ones.
    Open,
    /// Those that are not open.
    NotOpen,
}

impl Only {
    pub(super) fn open(self) -> Option<bool> {
        match self {
            Self::All => None,
            Self::Open => Some(true),
            Self::NotOpen => Some(false),
        }
    }
}

pub(super) fn to_json<T: Serialize>(table: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Unstorable { table, source })
}

pub(super) fn from_json<T: DeserializeOwned>(
    table: &'static str,
    id: &impl ToString,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| corrupt(table, id, BadContent::Json(source)))
}

pub(super) fn corrupt(table: &'static str, id: &impl ToString, source: BadContent) -> StoreError {
    StoreError::Corrupt { table, id: id.to_string(), source }
}

pub(super) fn host_name(
    table: &'static str,
    id: &impl ToString,
    name: String,
) -> Result<HostName, StoreError> {
    HostName::new(name).map_err(|source| corrupt(table, id, BadContent::Name(source)))
}

pub(super) fn owner_id(table: &'static str, id: &impl ToString, name: String) -> Result<OwnerId, StoreError> {
    OwnerId::new(name).map_err(|source| corrupt(table, id, BadContent::Name(source)))
}

/// Counters are far from the end of either type.
pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn generation(number: i64) -> Generation {
    Generation(to_u64(number))
}
