//! Webhooks, as the API shows them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use drover_policies::ids::OwnerId;
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::StoredWebhook;
use crate::webhooks::WebhookConfig;

/// Where somebody's program hears of tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id; of one that is set in the configuration its name. The channel is `webhook:` and this.
    pub id: String,
    /// Whose tickets it hears of; missing for all.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// Where to; of one that is set in the configuration without its path.
    pub url: String,
    /// The kinds of messages that it hears; none for all.
    pub kinds: BTreeSet<String>,
    /// Since when it is there; missing of one that is set in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// Until when events are signed with a secret that was replaced, too; missing when with none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_until: Option<DateTime<Utc>>,
    /// Since when nothing is sent to it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<DateTime<Utc>>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
}

impl WebhookView {
    /// One that is stored, at this moment.
    #[must_use]
    pub fn of(webhook: &StoredWebhook, now: Instant) -> Self {
        let (disabled_at, disabled_because) = webhook.disabled.clone().unzip();
        Self {
            id: webhook.id.to_string(),
            owner: Some(webhook.owner.clone()),
            url: webhook.url.clone(),
            kinds: webhook.kinds.clone(),
            created_at: Some(webhook.created_at),
            replaced_until: webhook.replaced.iter().map(|secret| secret.until).filter(|at| now < *at).max(),
            disabled_at,
            disabled_because,
        }
    }
}

impl From<&WebhookConfig> for WebhookView {
    fn from(webhook: &WebhookConfig) -> Self {
        Self {
            id: webhook.name.clone(),
            owner: webhook.owner.clone(),
            url: webhook.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
            kinds: webhook.kinds.clone(),
            created_at: None,
            replaced_until: None,
            disabled_at: None,
            disabled_because: None,
        }
    }
}

/// A webhook with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookView,
    /// What its events are signed with; in no other answer, and missing in a repeated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A webhook as it is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookBody {
    /// Where to: an address that begins with `https://`.
    pub url: String,
    /// The kinds of messages that it is to hear, such as `proposed`, `reminder` or `done`; none for all.
    #[serde(default)]
    pub kinds: BTreeSet<String>,
    /// Whose it is; an owner's token needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Another secret for a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// For so long events are signed with the present secret, too: `24h` unless said, at most 7 days. With `0s` it ends at once, and
    /// those before it as well: for one that somebody else has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub grace: Option<Span>,
}

/// What came of trying a webhook out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestedWebhook {
    /// Whether the receiver has taken the event.
    pub arrived: bool,
    /// The status that it answered, if it did and this is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What stood in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
