//! What became of messages on their channels, as the API shows it.

use chrono::{DateTime, Utc};
use drover_policies::channels::ChannelName;
use drover_policies::ids::{NoticeId, OwnerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{DeadLetter, Delivery, Post, StoredDelivery};

use super::common::Eyes;

/// How a message stands on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be delivered.
    Waiting,
    /// The channel has it.
    Delivered,
    /// It was given up.
    Undeliverable,
}

impl DeliveryState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// One message on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// `mail`, `rt`, or `webhook:` and its name.
    pub channel: String,
    /// How it stands.
    pub state: DeliveryState,
    /// When it was delivered, or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// When it is tried next; only while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<DateTime<Utc>>,
    /// How often it was tried.
    pub tries: u32,
    /// What went wrong last; an owner is told this of his webhooks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// By which it can be replayed, once it is undeliverable; an owner is told this of his webhooks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<i64>,
}

impl DeliveryView {
    /// As these eyes may see it.
    pub fn of(stored: &StoredDelivery, eyes: Eyes) -> Self {
        let (state, at, next_try_at) = match &stored.state {
            Delivery::Pending { next_try_at } => (DeliveryState::Waiting, None, Some(*next_try_at)),
            Delivery::Delivered { at, .. } => (DeliveryState::Delivered, Some(*at), None),
            Delivery::Failed { at } => (DeliveryState::Undeliverable, Some(*at), None),
        };
        // Of his own webhook an owner may know everything.
        let whole = eyes == Eyes::Operator
            || matches!(&stored.channel, ChannelName::Webhook(name) if name.registered().is_some());
        Self {
            channel: stored.channel.to_string(),
            state,
            at,
            next_try_at,
            tries: stored.tries,
            problem: stored.last_error.clone().filter(|_| whole),
            dead_letter: (state == DeliveryState::Undeliverable && whole).then_some(stored.id.0),
        }
    }
}

/// A message that was given up on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    /// Its number.
    pub id: i64,
    /// `mail`, `rt`, or `webhook:` and its name.
    pub channel: String,
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    pub notice: NoticeId,
    /// `proposed`, `reminder`, `done`, … of a ticket, `maintenance_begun`, … of a maintenance.
    pub kind: String,
    /// The ticket: `DR-1001`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whose ticket it is.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// The maintenance, of what is told of one: `MT-12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// When the fact came about.
    pub at: DateTime<Utc>,
    /// When it was given up.
    pub failed_at: DateTime<Utc>,
    /// How often it was tried.
    pub tries: u32,
    /// What went wrong last.
    pub problem: String,
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(letter: &DeadLetter) -> Self {
        let (ticket, maintenance) = match &letter.post {
            Post::Notice(notice) => (Some(&notice.ticket), None),
            Post::Bulletin(bulletin) => (None, Some(bulletin.maintenance.number.clone())),
        };
        Self {
            id: letter.id.0,
            channel: letter.channel.to_string(),
            notice: letter.post.id(),
            kind: letter.post.kind().to_owned(),
            ticket: ticket.map(|ticket| ticket.number.clone()),
            server_name: ticket.map(|ticket| ticket.server_name.clone()),
            owner: ticket.map(|ticket| ticket.owner.clone()),
            maintenance,
            at: letter.post.at(),
            failed_at: letter.failed_at,
            tries: letter.tries,
            problem: letter.last_error.clone(),
        }
    }
}

/// Which dead letters are replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// All of this channel: `mail`, `rt`, or `webhook:` and its name.
    pub channel: String,
}

/// How many are on their way again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// So many.
    pub replayed: u64,
}
