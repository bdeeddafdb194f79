//! What becomes of a message on each channel that it goes to.
//!
//! A delivery is written with its message. From there on only this table tells whether the channel has it; it is written without a
//! lease, because nobody decides by it.

use std::fmt;
use std::str::FromStr;

use drover_policies::channels::ChannelName;
use drover_policies::ids::{NoticeId, OwnerId, TicketId};
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::BadContent;
use super::notices::{New, Post};
use super::page::{Cursor, Page, cut, rows_for};
use super::records::{corrupt, from_json, to_json, to_u64};
use super::{Store, StoreResult};

const TABLE: &str = "delivery";

/// One message on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What became of a message on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The channel.
    pub channel: ChannelName,
    /// How it stands.
    pub state: Delivery,
    /// How often it has been tried.
    pub tries: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What was sent, where it was in words: a mail's.
    pub text: Option<String>,
}

/// How a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// To be delivered.
    Pending {
        /// Not before this.
        next_try_at: Instant,
    },
    /// It has arrived.
    Delivered {
        /// When.
        at: Instant,
        /// On which ways, in words.
        how: String,
    },
    /// It was given up, and is a dead letter until somebody has it tried again.
    Failed {
        /// Since when.
        at: Instant,
    },
}

/// A message to be delivered on a channel now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which delivery.
    pub id: DeliveryId,
    /// The message.
    pub post: Post,
    /// How often it has been tried.
    pub tries: u32,
    /// From when on the time counts after which it is given up.
    pub since: Instant,
    /// The addresses that have not got it yet, when others have; empty for all.
    pub still_to_get: Vec<String>,
    /// What the ticket is called on this channel, if it has told.
    pub external: Option<String>,
}

/// How a try to deliver a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It has arrived.
    Delivered {
        /// On which ways, in words.
        how: String,
    },
    /// Another try may help.
    Retry {
        /// Not before this.
        at: Instant,
        /// What went wrong.
        error: String,
        /// The addresses that have not got it yet, when others have; empty for all.
        still_to_get: Vec<String>,
    },
    /// No try will help, or it has been tried for long enough.
    Failed {
        /// What went wrong.
        error: String,
    },
}

/// The end of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Of which delivery.
    pub id: DeliveryId,
    /// Of which ticket; nothing of a message about a maintenance.
    pub ticket: Option<TicketId>,
    /// How it went.
    pub tried: Tried,
    /// What the ticket is called on the channel, when it has told that now.
    pub external: Option<String>,
    /// What was sent, where it was in words.
    pub text: Option<String>,
}

/// A message that was given up on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which delivery.
    pub id: DeliveryId,
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub post: Post,
    /// How often it was tried.
    pub tries: u32,
    /// Since when it is given up.
    pub failed_at: Instant,
    /// What went wrong last.
    pub last_error: String,
}

/// Which dead letters. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterFilter {
    /// This one alone.
    pub id: Option<DeliveryId>,
    /// Of this channel.
    pub channel: Option<ChannelName>,
    /// Of tickets for this account.
    pub owner: Option<OwnerId>,
    /// Of whose channels.
    pub channels: Channels,
}

/// Whose channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// All.
    #[default]
    All,
    /// The webhooks that owners have registered.
    Owners,
}

impl Channels {
    /// Their names by their form: an owner's webhook is called by its id, and the operator's are all shorter than that.
    fn pattern(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Owners => Some("webhook:____________________________________"),
        }
    }
}

/// Messages that have not arrived on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The channel.
    pub channel: ChannelName,
    /// Waiting for their first try or for another one.
    pub pending: u64,
    /// Of these, those that have failed at least once.
    pub retrying: u64,
    /// Given up.
    pub failed: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    notice: Uuid,
    channel: String,
    state: String,
    tries: i64,
    next_try_at: Instant,
    settled_at: Option<Instant>,
    how: Option<String>,
    last_error: Option<String>,
    text: Option<String>,
}

impl Row {
    fn record(self) -> StoreResult<(NoticeId, StoredDelivery)> {
        let state = match (self.state.as_str(), self.settled_at) {
            ("pending", None) => Delivery::Pending { next_try_at: self.next_try_at },
            ("delivered", Some(at)) => Delivery::Delivered { at, how: self.how.unwrap_or_default() },
            ("failed", Some(at)) => Delivery::Failed { at },
            (found, _) => {
                let found = found.to_owned();
                return Err(corrupt(TABLE, &self.id, BadContent::Value { column: "state", found }));
            }
        };
        let delivery = StoredDelivery {
            id: DeliveryId(self.id),
            channel: channel(self.id, self.channel)?,
            state,
            tries: tries(self.tries),
            last_error: self.last_error,
            text: self.text,
        };
        Ok((NoticeId(self.notice), delivery))
    }
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: i64,
    body: String,
    is_bulletin: bool,
    tries: i64,
    since: Instant,
    still_to_get: String,
    external: Option<String>,
}

#[derive(sqlx::FromRow)]
struct DeadRow {
    id: i64,
    channel: String,
    body: String,
    is_bulletin: bool,
    tries: i64,
    settled_at: Instant,
    last_error: Option<String>,
}

fn channel(delivery: i64, name: String) -> StoreResult<ChannelName> {
    name.parse().map_err(|_| corrupt(TABLE, &delivery, BadContent::Value { column: "channel", found: name }))
}

fn tries(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Store {
    /// Those to be delivered on a channel now, at most one of each ticket or maintenance: a later message never overtakes an earlier one, so it is
    /// due only when the earlier one has arrived or was given up.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn deliveries_due(
        &self,
        channel: &ChannelName,
        now: Instant,
        limit: usize,
    ) -> StoreResult<Vec<Due>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the deliveries that are due",
            DueRow,
            "SELECT due.id, notices.body, notices.maintenance IS NOT NULL AS is_bulletin, due.tries, due.since, due.still_to_get, channel_tickets.external
             FROM deliveries AS due
             JOIN notices ON notices.id = due.notice
             LEFT JOIN channel_tickets ON channel_tickets.channel = due.channel AND channel_tickets.ticket = due.thread
             WHERE due.state = 'pending' AND due.channel = $1 AND due.next_try_at <= $2
               AND NOT EXISTS (
                   SELECT 1 FROM deliveries AS earlier
                   WHERE earlier.state = 'pending' AND earlier.channel = due.channel
                     AND earlier.thread = due.thread AND earlier.notice_seq < due.notice_seq)
             ORDER BY due.next_try_at, due.notice_seq LIMIT $3",
            channel.to_string(),
            now,
            i64::try_from(limit).unwrap_or(i64::MAX),
        )?;
        let due = rows.into_iter().map(|row| {
            Ok(Due {
                id: DeliveryId(row.id),
                post: Post::read(row.id, &row.body, row.is_bulletin)?,
                tries: tries(row.tries),
                since: row.since,
                still_to_get: from_json(TABLE, &row.id, &row.still_to_get)?,
                external: row.external,
            })
        });
        due.collect()
    }

    /// The channels that have something to deliver, each with the moment at which its next try is due.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn channels_waiting(&self) -> StoreResult<Vec<(ChannelName, Instant)>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading which channels have something to deliver",
            (String, Instant),
            "SELECT due.channel, MIN(due.next_try_at) FROM deliveries AS due
             WHERE due.state = 'pending'
               AND NOT EXISTS (
                   SELECT 1 FROM deliveries AS earlier
                   WHERE earlier.state = 'pending' AND earlier.channel = due.channel
                     AND earlier.thread = due.thread AND earlier.notice_seq < due.notice_seq)
             GROUP BY due.channel ORDER BY due.channel",
        )?;
        rows.into_iter().map(|(name, at)| Ok((channel(0, name)?, at))).collect()
    }

    /// When the next try of a delivery is due, on whichever channel; nothing when none is pending.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn next_delivery_at(&self) -> StoreResult<Option<Instant>> {
        Ok(self.channels_waiting().await?.into_iter().map(|(_, at)| at).min())
    }

    /// Notes how tries on a channel went, all in one transaction. A delivery that is settled stays so: a late second result changes
    /// nothing.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn deliveries_tried(
        &self,
        channel: &ChannelName,
        settled: &[Settled],
        at: Instant,
    ) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        let conn = &mut session.conn();
        for settled in settled {
            note(conn, settled, at).await?;
            if let (Some(external), Some(ticket)) = (&settled.external, settled.ticket) {
                name_ticket(conn, channel, ticket, external).await?;
            }
        }
        session.commit().await
    }

    /// Gives up all that waits on a channel; answers how many.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn give_up_channel(&self, channel: &ChannelName, why: &str, at: Instant) -> StoreResult<u64> {
        let mut session = self.db.write().await?;
        let given_up = execute!(
            &mut session.conn(),
            "giving up what waits on a channel",
            "UPDATE deliveries SET state = 'failed', settled_at = $1, last_error = $2
             WHERE state = 'pending' AND channel = $3",
            at,
            why,
            channel.to_string(),
        )?;
        session.commit().await?;
        Ok(given_up)
    }

    /// A page of what was given up, latest first.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn dead_letters_page(
        &self,
        filter: &DeadLetterFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> StoreResult<Page<DeadLetter>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading a page of dead letters",
            DeadRow,
            "SELECT deliveries.id, deliveries.channel, notices.body, notices.maintenance IS NOT NULL AS is_bulletin, deliveries.tries, deliveries.settled_at, deliveries.last_error
             FROM deliveries
             JOIN notices ON notices.id = deliveries.notice
             LEFT JOIN tickets ON tickets.id = deliveries.thread
             WHERE deliveries.state = 'failed' AND deliveries.id < $1
               AND ($2 IS NULL OR deliveries.id = $2)
               AND ($3 IS NULL OR deliveries.channel = $3)
               AND ($4 IS NULL OR tickets.owner = $4)
               AND ($5 IS NULL OR deliveries.channel LIKE $5)
             ORDER BY deliveries.id DESC LIMIT $6",
            Cursor::below(cursor),
            filter.id.map(|id| id.0),
            filter.channel.as_ref().map(ToString::to_string),
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.channels.pattern(),
            rows_for(limit),
        )?;
        let items: Vec<DeadLetter> = rows
            .into_iter()
            .map(|row| {
                Ok(DeadLetter {
                    id: DeliveryId(row.id),
                    channel: channel(row.id, row.channel)?,
                    post: Post::read(row.id, &row.body, row.is_bulletin)?,
                    tries: tries(row.tries),
                    failed_at: row.settled_at,
                    last_error: row.last_error.unwrap_or_default(),
                })
            })
            .collect::<StoreResult<_>>()?;
        Ok(cut(items, limit, |last| Cursor::number(last.id.0)))
    }

    /// How many dead letters fit.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn dead_letters(&self, filter: &DeadLetterFilter) -> StoreResult<u64> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "counting dead letters",
            (i64,),
            "SELECT COUNT(*) FROM deliveries
             WHERE state = 'failed'
               AND ($1 IS NULL OR id = $1)
               AND ($2 IS NULL OR channel = $2)
               AND ($3 IS NULL OR thread IN (SELECT id FROM tickets WHERE owner = $3))
               AND ($4 IS NULL OR channel LIKE $4)",
            filter.id.map(|id| id.0),
            filter.channel.as_ref().map(ToString::to_string),
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.channels.pattern(),
        )?;
        Ok(row.map_or(0, |(count,)| to_u64(count)))
    }

    /// How many messages have not arrived, of each channel that has such.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn undelivered(&self) -> StoreResult<Vec<Undelivered>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "counting the undelivered notices",
            (String, String, bool, i64),
            "SELECT channel, state, tries > 0, COUNT(*) FROM deliveries WHERE state <> 'delivered'
             GROUP BY channel, state, tries > 0 ORDER BY channel",
        )?;
        let mut counted: Vec<Undelivered> = Vec::new();
        for (name, state, tried, count) in rows {
            let (name, count) = (channel(0, name)?, to_u64(count));
            if counted.last().is_none_or(|last| last.channel != name) {
                counted.push(Undelivered { channel: name, pending: 0, retrying: 0, failed: 0 });
            }
            let Some(last) = counted.last_mut() else { continue };
            if state == "failed" {
                last.failed += count;
            } else {
                last.pending += count;
                last.retrying += if tried { count } else { 0 };
            }
        }
        Ok(counted)
    }

    /// What a ticket is called on a channel, if it has told.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn external_ticket(
        &self,
        channel: &ChannelName,
        ticket: TicketId,
    ) -> StoreResult<Option<String>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading what a ticket is called on a channel",
            (String,),
            "SELECT external FROM channel_tickets WHERE channel = $1 AND ticket = $2",
            channel.to_string(),
            ticket.0,
        )?;
        Ok(row.map(|(external,)| external))
    }
}

async fn note(conn: &mut Conn<'_>, settled: &Settled, at: Instant) -> StoreResult<()> {
    let nobody = &Vec::new();
    let (state, next_try_at, settled_at, how, error, still_to_get) = match &settled.tried {
        Tried::Delivered { how } => ("delivered", at, Some(at), Some(how.as_str()), None, nobody),
        Tried::Retry { at: next, error, still_to_get } => {
            ("pending", *next, None, None, Some(error.as_str()), still_to_get)
        }
        Tried::Failed { error } => ("failed", at, Some(at), None, Some(error.as_str()), nobody),
    };
    execute!(
        conn,
        "noting a delivery",
        "UPDATE deliveries SET state = $1, next_try_at = $2, settled_at = $3, how = $4,
             last_error = COALESCE($5, last_error), still_to_get = $6, text = COALESCE($7, text), tries = tries + 1
         WHERE id = $8 AND state = 'pending'",
        state,
        next_try_at,
        settled_at,
        how,
        error,
        to_json(TABLE, still_to_get)?,
        settled.text.as_deref(),
        settled.id.0,
    )?;
    Ok(())
}

/// The first name stays: answers that come from the channel are found by it.
async fn name_ticket(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    ticket: TicketId,
    external: &str,
) -> StoreResult<()> {
    execute!(
        conn,
        "noting what a ticket is called on a channel",
        "INSERT INTO channel_tickets (channel, ticket, external) VALUES ($1, $2, $3)
         ON CONFLICT (channel, ticket) DO NOTHING",
        channel.to_string(),
        ticket.0,
        external,
    )?;
    Ok(())
}

pub(super) async fn of_ticket(
    conn: &mut Conn<'_>,
    ticket: TicketId,
) -> StoreResult<Vec<(NoticeId, StoredDelivery)>> {
    let rows = fetch_all!(
        conn,
        "reading the deliveries of a ticket",
        Row,
        "SELECT id, notice, channel, state, tries, next_try_at, settled_at, how, last_error, text FROM deliveries
         WHERE thread = $1 ORDER BY notice_seq, id",
        ticket.0,
    )?;
    rows.into_iter().map(Row::record).collect()
}

pub(super) async fn insert(
    conn: &mut Conn<'_>,
    new: &New<'_>,
    seq: i64,
    channel: &ChannelName,
) -> StoreResult<()> {
    execute!(
        conn,
        "storing a delivery",
        "INSERT INTO deliveries (notice, channel, thread, notice_seq, state, tries, since, next_try_at)
         VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5)",
        new.id.0,
        channel.to_string(),
        new.thread.id(),
        seq,
        new.at,
    )?;
    Ok(())
}

/// All that fit are tried again from now on, as if they were new. What came later and has arrived stays arrived: a replayed message
/// may be read after one that followed it.
pub(super) async fn replay(conn: &mut Conn<'_>, filter: &DeadLetterFilter, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "having dead letters tried again",
        "UPDATE deliveries SET state = 'pending', tries = 0, since = $1, next_try_at = $1, settled_at = NULL
         WHERE state = 'failed'
           AND ($2 IS NULL OR id = $2)
           AND ($3 IS NULL OR channel = $3)
           AND ($4 IS NULL OR thread IN (SELECT id FROM tickets WHERE owner = $4))
           AND ($5 IS NULL OR channel LIKE $5)",
        at,
        filter.id.map(|id| id.0),
        filter.channel.as_ref().map(ToString::to_string),
        filter.owner.as_ref().map(OwnerId::as_str),
        filter.channels.pattern(),
    )?;
    Ok(())
}
