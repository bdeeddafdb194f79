//! Webhooks that owners have registered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use drover_notifier::webhook::{BadSecret, Readers, Signing};
use drover_policies::channels::{ChannelName, Listener};
use drover_policies::ids::{OwnerId, WebhookId};
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::{BadContent, StoreError};
use super::records::{corrupt, from_json, owner_id, to_json};
use super::{Store, StoreResult};
use crate::webhooks::Hook;

const TABLE: &str = "webhook";

/// A webhook of an owner.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose.
    pub owner: OwnerId,
    /// Where to.
    pub url: String,
    /// What it is signed with.
    pub secret: String,
    /// What it was signed with before, the oldest first.
    pub replaced: Vec<ReplacedSecret>,
    /// The kinds of messages that it hears; none for all.
    pub kinds: BTreeSet<String>,
    /// Since when it is there.
    pub created_at: Instant,
    /// Since when nothing is sent to it any more, and why.
    pub disabled: Option<(Instant, String)>,
}

/// A secret that another has replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedSecret {
    /// The secret.
    pub secret: String,
    /// Until when it signs beside the other.
    pub until: Instant,
}

impl fmt::Debug for ReplacedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplacedSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// A webhook that gets another secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedWebhook {
    /// As it was read.
    pub before: StoredWebhook,
    /// As it is to be. Only its secrets are written.
    pub after: StoredWebhook,
}

impl fmt::Debug for StoredWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredWebhook")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

impl StoredWebhook {
    /// Ready to be posted to.
    ///
    /// # Errors
    /// What is stored is no address or no secret.
    pub fn hook(&self) -> StoreResult<Hook> {
        let bad = |column| {
            // Neither is repeated: a secret must not be logged.
            corrupt(TABLE, &self.id, BadContent::Value { column, found: "something else".to_owned() })
        };
        Ok(Hook {
            url: self.url.parse().map_err(|_| bad("url"))?,
            signing: Signing {
                secret: self.secret.parse().map_err(|_| bad("secret"))?,
                replaced: self
                    .replaced
                    .iter()
                    .map(|replaced| Ok((replaced.secret.parse()?, replaced.until)))
                    .collect::<Result<_, BadSecret>>()
                    .map_err(|_| bad("replaced_secrets"))?,
            },
            readers: Readers::Owners,
        })
    }

    /// As a channel.
    #[must_use]
    pub fn listener(&self) -> Listener {
        Listener {
            channel: ChannelName::Webhook(self.id.name()),
            owner: Some(self.owner.clone()),
            kinds: self.kinds.clone(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    owner: String,
    url: String,
    secret: String,
    replaced_secrets: String,
    kinds: String,
    created_at: Instant,
    disabled_at: Option<Instant>,
    disabled_why: Option<String>,
}

impl Row {
    fn record(self) -> StoreResult<StoredWebhook> {
        Ok(StoredWebhook {
            id: WebhookId(self.id),
            owner: owner_id(TABLE, &self.id, self.owner)?,
            url: self.url,
            secret: self.secret,
            // What can't be read is not repeated: a secret must not be logged.
            replaced: serde_json::from_str(&self.replaced_secrets).map_err(|_| {
                let found = "something else".to_owned();
                corrupt(TABLE, &self.id, BadContent::Value { column: "replaced_secrets", found })
            })?,
            kinds: from_json(TABLE, &self.id, &self.kinds)?,
            created_at: self.created_at,
            disabled: self.disabled_at.map(|at| (at, self.disabled_why.unwrap_or_default())),
        })
    }
}

impl Store {
    /// Every one, or those of one account, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhooks(&self, owner: Option<&OwnerId>) -> StoreResult<Vec<StoredWebhook>> {
        of(&mut self.db.read().await?.conn(), owner).await
    }

    /// One, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook(&self, id: WebhookId) -> StoreResult<Option<StoredWebhook>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a webhook",
            Row,
            "SELECT id, owner, url, secret, replaced_secrets, kinds, created_at, disabled_at, disabled_why
             FROM webhooks WHERE id = $1",
            id.0,
        )?;
        row.map(Row::record).transpose()
    }

    /// Sends nothing to one any more. What waits for it is given up by whoever delivers.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn disable_webhook(&self, id: WebhookId, why: &str, at: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "disabling a webhook",
            "UPDATE webhooks SET disabled_at = $1, disabled_why = $2 WHERE id = $3 AND disabled_at IS NULL",
            at,
            why,
            id.0,
        )?;
        session.commit().await
    }
}

async fn of(conn: &mut Conn<'_>, owner: Option<&OwnerId>) -> StoreResult<Vec<StoredWebhook>> {
    let rows = fetch_all!(
        conn,
        "reading webhooks",
        Row,
        "SELECT id, owner, url, secret, replaced_secrets, kinds, created_at, disabled_at, disabled_why FROM webhooks
         WHERE ($1 IS NULL OR owner = $1) ORDER BY created_at, id",
        owner.map(OwnerId::as_str),
    )?;
    rows.into_iter().map(Row::record).collect()
}

/// The webhooks of some accounts that may be sent to, as channels.
pub(super) async fn listeners(
    conn: &mut Conn<'_>,
    owners: &BTreeSet<&OwnerId>,
) -> StoreResult<BTreeMap<OwnerId, Vec<Listener>>> {
    let mut found = BTreeMap::new();
    for owner in owners {
        let enabled = of(conn, Some(owner)).await?.into_iter().filter(|webhook| webhook.disabled.is_none());
        found.insert((*owner).clone(), enabled.map(|webhook| webhook.listener()).collect());
    }
    Ok(found)
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &StoredWebhook) -> StoreResult<()> {
    execute!(
        conn,
        "storing a webhook",
        "INSERT INTO webhooks (id, owner, url, secret, replaced_secrets, kinds, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.id.0,
        new.owner.as_str(),
        new.url.as_str(),
        new.secret.as_str(),
        to_json(TABLE, &new.replaced)?,
        to_json(TABLE, &new.kinds)?,
        new.created_at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    Ok(())
}

/// Over the secret that was read: of two that rotate it at once, the second decides anew.
pub(super) async fn rotate(conn: &mut Conn<'_>, rotated: &RotatedWebhook) -> StoreResult<()> {
    let RotatedWebhook { before, after } = rotated;
    let written = execute!(
        conn,
        "changing a webhook's secret",
        "UPDATE webhooks SET secret = $1, replaced_secrets = $2 WHERE id = $3 AND secret = $4",
        after.secret.as_str(),
        to_json(TABLE, &after.replaced)?,
        before.id.0,
        before.secret.as_str(),
    )?;
    if written == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, before.id)) }
}

/// With all that has not arrived there; what has stays in the story of its ticket.
pub(super) async fn remove(conn: &mut Conn<'_>, id: WebhookId) -> StoreResult<()> {
    let removed = execute!(conn, "removing a webhook", "DELETE FROM webhooks WHERE id = $1", id.0)?;
    if removed == 0 {
        return Err(StoreError::conflict(TABLE, id));
    }
    execute!(
        conn,
        "forgetting what waited for a webhook",
        "DELETE FROM deliveries WHERE channel = $1 AND state <> 'delivered'",
        ChannelName::Webhook(id.name()).to_string(),
    )?;
    Ok(())
}
