//! Mails that came back after the mail server had taken them.

use drover_policies::ids::{NoticeId, TicketId};
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{execute, fetch_all};
use super::{Store, StoreResult};

/// An address that a message did not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBounce {
    /// The message.
    pub notice: NoticeId,
    /// The address.
    pub address: String,
    /// Why, in the words of a mail server.
    pub why: String,
    /// When that was learned.
    pub at: Instant,
}

impl Store {
    /// Notes that a message did not reach an address. Told twice, the first reason stands.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn note_bounce(
        &self,
        notice: NoticeId,
        address: &str,
        why: &str,
        at: Instant,
    ) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting a returned mail",
            "INSERT INTO bounces (notice, address, why, at) VALUES ($1, $2, $3, $4) ON CONFLICT (notice, address) DO NOTHING",
            notice.0,
            address,
            why,
            at,
        )?;
        session.commit().await
    }

    /// The addresses that mails came back from since then, each once.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn bounced_since(&self, since: Instant) -> StoreResult<Vec<String>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading from which addresses mails came back",
            (String,),
            "SELECT DISTINCT address FROM bounces WHERE at >= $1 ORDER BY address",
            since,
        )?;
        Ok(rows.into_iter().map(|(address,)| address).collect())
    }

    /// Those of a ticket.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn bounces_of(&self, ticket: TicketId) -> StoreResult<Vec<StoredBounce>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the returned mails of a ticket",
            (Uuid, String, String, Instant),
            "SELECT bounces.notice, bounces.address, bounces.why, bounces.at FROM bounces
             JOIN notices ON notices.id = bounces.notice WHERE notices.ticket = $1 ORDER BY bounces.at, bounces.address",
            ticket.0,
        )?;
        let bounces = rows.into_iter().map(|(notice, address, why, at)| StoredBounce {
            notice: NoticeId(notice),
            address,
            why,
            at,
        });
        Ok(bounces.collect())
    }
}
