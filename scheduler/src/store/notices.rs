//! Messages of tickets. What becomes of them on the channels is in [`super::deliveries`].

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::channels::Listener;
use drover_policies::ids::{NoticeId, TicketId};
use drover_policies::notices::Notice;
use uuid::Uuid;

use super::db::{Conn, fetch_all, fetch_optional};
use super::deliveries::{self, StoredDelivery};
use super::records::{from_json, to_json};
use super::{Store, StoreResult, tickets};

const TABLE: &str = "notice";

/// A message of a ticket, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotice {
    /// The message.
    pub notice: Notice,
    /// What became of it, on each channel that it goes to.
    pub deliveries: Vec<StoredDelivery>,
}

impl Store {
    /// All of a ticket, in the order in which they came about.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn notices_of(&self, ticket: TicketId) -> StoreResult<Vec<StoredNotice>> {
        let mut session = self.db.snapshot().await?;
        let conn = &mut session.conn();
        let rows = fetch_all!(
            conn,
            "reading the notices of a ticket",
            (Uuid, String),
            "SELECT id, body FROM notices WHERE ticket = $1 ORDER BY seq",
            ticket.0,
        )?;
        let mut deliveries: BTreeMap<NoticeId, Vec<StoredDelivery>> = BTreeMap::new();
        for (notice, delivery) in deliveries::of_ticket(conn, ticket).await? {
            deliveries.entry(notice).or_default().push(delivery);
        }
        session.commit().await?;
        let stored = rows.into_iter().map(|(id, body)| {
            Ok(StoredNotice {
                notice: from_json(TABLE, &id, &body)?,
                deliveries: deliveries.remove(&NoticeId(id)).unwrap_or_default(),
            })
        });
        stored.collect()
    }

    /// The messages of a ticket that came about before one of them, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn story_before(&self, notice: &Notice) -> StoreResult<Vec<Notice>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the notices before another",
            (Uuid, String),
            "SELECT id, body FROM notices
             WHERE ticket = $1 AND seq < (SELECT seq FROM notices WHERE id = $2) ORDER BY seq",
            notice.ticket.id.0,
            notice.id.0,
        )?;
        rows.into_iter().map(|(id, body)| from_json(TABLE, &id, &body)).collect()
    }

    /// Keys of the facts that have been told, of tickets that are open and of migrations that are not over.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn told(&self) -> StoreResult<BTreeSet<String>> {
        told(&mut self.db.read().await?.conn()).await
    }
}

pub(super) async fn told(conn: &mut Conn<'_>) -> StoreResult<BTreeSet<String>> {
    let rows = fetch_all!(
        conn,
        "reading what has been told",
        (String,),
        "SELECT notices.key FROM notices
         JOIN tickets ON tickets.id = notices.ticket
         JOIN migrations ON migrations.id = tickets.migration
         WHERE tickets.is_open OR NOT migrations.is_over",
    )?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// One message per fact, with a delivery for each channel that hears it: whether it was stored, or one of its key was there already.
pub(super) async fn insert(
    conn: &mut Conn<'_>,
    new: &Notice,
    listeners: impl Iterator<Item = &Listener>,
) -> StoreResult<bool> {
    let stored = fetch_optional!(
        conn,
        "storing a notice",
        (i64,),
        "INSERT INTO notices (id, key, ticket, body, at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO NOTHING RETURNING seq",
        new.id.0,
        new.key.as_str(),
        new.ticket.id.0,
        to_json(TABLE, new)?,
        new.at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    let Some((seq,)) = stored else { return Ok(false) };
    if let Some(turn) = new.tells.turn() {
        tickets::turn(conn, new.ticket.id, turn, new.at).await?;
    }
    for listener in listeners.filter(|listener| listener.hears(new)) {
        deliveries::insert(conn, new, seq, &listener.channel).await?;
    }
    Ok(true)
}
