//! Messages of tickets, and those about maintenances. What becomes of them on the channels is in [`super::deliveries`].

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::bulletins::Bulletin;
use drover_policies::channels::Listener;
use drover_policies::ids::{MaintenanceId, NoticeId, TicketId};
use drover_policies::notices::Notice;
use drover_policies::time::Instant;
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

/// What is delivered: a message of a ticket to its owner, or one about a maintenance to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Post {
    /// To an owner.
    Notice(Box<Notice>),
    /// To operators.
    Bulletin(Box<Bulletin>),
}

impl Post {
    pub(super) fn read(delivery: i64, body: &str, is_bulletin: bool) -> StoreResult<Self> {
        match is_bulletin {
            true => Ok(Self::Bulletin(from_json(TABLE, &delivery, body)?)),
            false => Ok(Self::Notice(from_json(TABLE, &delivery, body)?)),
        }
    }

    /// The message's own id.
    #[must_use]
    pub fn id(&self) -> NoticeId {
        match self {
            Self::Notice(notice) => notice.id,
            Self::Bulletin(bulletin) => bulletin.id,
        }
    }

    /// Its kind: the names of those of notices and of bulletins differ.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Notice(notice) => notice.tells.kind(),
            Self::Bulletin(bulletin) => bulletin.says.kind(),
        }
    }

    /// When its fact came about.
    #[must_use]
    pub fn at(&self) -> Instant {
        match self {
            Self::Notice(notice) => notice.at,
            Self::Bulletin(bulletin) => bulletin.at,
        }
    }

    /// What it is about, for people: `DR-1001` or `MT-12`.
    #[must_use]
    pub fn number(&self) -> &str {
        match self {
            Self::Notice(notice) => &notice.ticket.number,
            Self::Bulletin(bulletin) => &bulletin.maintenance.number,
        }
    }

    /// The ticket that it belongs to.
    #[must_use]
    pub fn ticket(&self) -> Option<TicketId> {
        match self {
            Self::Notice(notice) => Some(notice.ticket.id),
            Self::Bulletin(_) => None,
        }
    }
}

/// A message to be stored.
pub(super) struct New<'a> {
    pub(super) id: NoticeId,
    pub(super) thread: Thread,
    pub(super) at: Instant,
    key: &'a str,
    body: String,
}

/// What a message belongs to.
#[derive(Clone, Copy)]
pub(super) enum Thread {
    Ticket(TicketId),
    Maintenance(MaintenanceId),
}

impl Thread {
    pub(super) fn id(self) -> Uuid {
        match self {
            Self::Ticket(id) => id.0,
            Self::Maintenance(id) => id.0,
        }
    }
}

/// One message per fact, with a delivery for each channel that hears it: whether it was stored, or one of its key was there already.
pub(super) async fn insert(
    conn: &mut Conn<'_>,
    new: &Notice,
    listeners: impl Iterator<Item = &Listener>,
) -> StoreResult<bool> {
    let ticket = new.ticket.id;
    let body = to_json(TABLE, new)?;
    let row = New { id: new.id, thread: Thread::Ticket(ticket), at: new.at, key: &new.key, body };
    let is_new = insert_new(conn, &row, listeners.filter(|listener| listener.hears(new))).await?;
    if let (true, Some(turn)) = (is_new, new.tells.turn()) {
        tickets::turn(conn, ticket, turn, new.at).await?;
    }
    Ok(is_new)
}

/// The same of what operators are told.
pub(super) async fn insert_bulletin(
    conn: &mut Conn<'_>,
    new: &Bulletin,
    listeners: &[Listener],
) -> StoreResult<bool> {
    let thread = Thread::Maintenance(new.maintenance.id);
    let row = New { id: new.id, thread, at: new.at, key: &new.key, body: to_json(TABLE, new)? };
    insert_new(conn, &row, listeners.iter().filter(|listener| listener.hears_bulletin(new))).await
}

async fn insert_new(
    conn: &mut Conn<'_>,
    new: &New<'_>,
    hearing: impl Iterator<Item = &Listener>,
) -> StoreResult<bool> {
    let (ticket, maintenance) = match new.thread {
        Thread::Ticket(id) => (Some(id.0), None),
        Thread::Maintenance(id) => (None, Some(id.0)),
    };
    let stored = fetch_optional!(
        conn,
        "storing a notice",
        (i64,),
        "INSERT INTO notices (id, key, ticket, maintenance, body, at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING RETURNING seq",
        new.id.0,
        new.key,
        ticket,
        maintenance,
        new.body.as_str(),
        new.at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    let Some((seq,)) = stored else { return Ok(false) };
    for listener in hearing {
        deliveries::insert(conn, new, seq, &listener.channel).await?;
    }
    Ok(true)
}
