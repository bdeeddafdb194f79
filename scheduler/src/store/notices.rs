//! Messages of tickets, and their delivery.

use std::collections::BTreeSet;

use drover_policies::ids::{NoticeId, TicketId};
use drover_policies::notices::Notice;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::BadContent;
use super::records::{Delivery, StoredNotice, Tried, Undelivered, corrupt, from_json, to_json, to_u64};
use super::{Store, StoreResult};

const TABLE: &str = "notice";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    body: String,
    delivery: String,
    tries: i64,
    next_try_at: Instant,
    settled_at: Option<Instant>,
    how: Option<String>,
    last_error: Option<String>,
    still_to_get: String,
}

impl Row {
    fn record(self) -> StoreResult<StoredNotice> {
        let delivery = match (self.delivery.as_str(), self.settled_at) {
            ("pending", None) => Delivery::Pending { next_try_at: self.next_try_at },
            ("delivered", Some(at)) => Delivery::Delivered { at, how: self.how.unwrap_or_default() },
            ("failed", Some(at)) => Delivery::Failed { at },
            (found, _) => {
                let found = found.to_owned();
                return Err(corrupt(TABLE, &self.id, BadContent::Value { column: "delivery", found }));
            }
        };
        Ok(StoredNotice {
            notice: from_json(TABLE, &self.id, &self.body)?,
            delivery,
            tries: u32::try_from(self.tries).unwrap_or(u32::MAX),
            last_error: self.last_error,
            still_to_get: from_json(TABLE, &self.id, &self.still_to_get)?,
        })
    }
}

impl Store {
    /// All of a ticket, in the order in which they came about.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn notices_of(&self, ticket: TicketId) -> StoreResult<Vec<StoredNotice>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the notices of a ticket",
            Row,
            "SELECT id, body, delivery, tries, next_try_at, settled_at, how, last_error, still_to_get FROM notices
             WHERE ticket = $1 ORDER BY seq",
            ticket.0,
        )?;
        rows.into_iter().map(Row::record).collect()
    }

    /// Those to be delivered now, at most one of each ticket: a later message never overtakes an earlier one, so it is due only
    /// when the earlier one has arrived or was given up.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn notices_due(&self, now: Instant, limit: u32) -> StoreResult<Vec<StoredNotice>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the notices that are due",
            Row,
            "SELECT id, body, delivery, tries, next_try_at, settled_at, how, last_error, still_to_get FROM notices AS due
             WHERE delivery = 'pending' AND next_try_at <= $1
               AND NOT EXISTS (
                   SELECT 1 FROM notices AS earlier
                   WHERE earlier.ticket = due.ticket AND earlier.delivery = 'pending' AND earlier.seq < due.seq)
             ORDER BY next_try_at, seq LIMIT $2",
            now,
            i64::from(limit),
        )?;
        rows.into_iter().map(Row::record).collect()
    }

    /// When the next try of a delivery is due; nothing when none is pending.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn next_delivery_at(&self) -> StoreResult<Option<Instant>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading when a notice is due",
            (Instant,),
            "SELECT next_try_at FROM notices AS due
             WHERE delivery = 'pending'
               AND NOT EXISTS (
                   SELECT 1 FROM notices AS earlier
                   WHERE earlier.ticket = due.ticket AND earlier.delivery = 'pending' AND earlier.seq < due.seq)
             ORDER BY next_try_at LIMIT 1",
        )?;
        Ok(row.map(|(at,)| at))
    }

    /// Notes how a try went. A message that is settled stays so: a late second result changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn notice_tried(&self, id: NoticeId, tried: &Tried, at: Instant) -> StoreResult<()> {
        let nobody = &Vec::new();
        let (delivery, next_try_at, settled_at, how, error, still_to_get) = match tried {
            Tried::Delivered { how } => ("delivered", at, Some(at), Some(how.as_str()), None, nobody),
            Tried::Retry { at: next, error, still_to_get } => {
                ("pending", *next, None, None, Some(error.as_str()), still_to_get)
            }
            Tried::Failed { error } => ("failed", at, Some(at), None, Some(error.as_str()), nobody),
        };
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting a delivery",
            "UPDATE notices SET delivery = $1, next_try_at = $2, settled_at = $3, how = $4,
                 last_error = COALESCE($5, last_error), still_to_get = $6, tries = tries + 1
             WHERE id = $7 AND delivery = 'pending'",
            delivery,
            next_try_at,
            settled_at,
            how,
            error,
            to_json(TABLE, still_to_get)?,
            id.0,
        )?;
        session.commit().await
    }

    /// How many messages have not arrived.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn undelivered(&self) -> StoreResult<Undelivered> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "counting the undelivered notices",
            (String, bool, i64),
            "SELECT delivery, tries > 0, COUNT(*) FROM notices WHERE delivery <> 'delivered' GROUP BY delivery, tries > 0",
        )?;
        let mut counted = Undelivered::default();
        for (delivery, tried, count) in rows {
            let count = to_u64(count);
            if delivery == "failed" {
                counted.failed += count;
            } else {
                counted.pending += count;
                counted.retrying += if tried { count } else { 0 };
            }
        }
        Ok(counted)
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

/// One message per fact: whether it was stored, or one of its key was there already.
pub(super) async fn insert(conn: &mut Conn<'_>, new: &Notice) -> StoreResult<bool> {
    let stored = execute!(
        conn,
        "storing a notice",
        "INSERT INTO notices (id, key, ticket, body, at, delivery, tries, next_try_at)
         VALUES ($1, $2, $3, $4, $5, 'pending', 0, $5) ON CONFLICT (key) DO NOTHING",
        new.id.0,
        new.key.as_str(),
        new.ticket.id.0,
        to_json(TABLE, new)?,
        new.at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    Ok(stored == 1)
}
