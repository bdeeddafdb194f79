//! Who is signed in on the pages. What a browser holds is known by its hash alone.

use drover_policies::ids::TicketId;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{execute, fetch_optional};
use super::error::BadContent;
use super::records::corrupt;
use super::{Store, StoreResult};

const TABLE: &str = "session";

/// What a session stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionFor {
    /// A token, by its id: whatever that may do, until it is revoked.
    Token(Uuid),
    /// One ticket, opened by the link in its mails.
    Ticket(TicketId),
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Of what the browser holds.
    pub hash: String,
    /// What it stands for.
    pub stands_for: SessionFor,
    /// What every form of it carries.
    pub csrf: String,
    /// What its next page says once, as the pages wrote it.
    pub flash: Option<String>,
    /// When it began.
    pub created_at: Instant,
    /// When it was last used; noted now and then.
    pub last_used_at: Instant,
}

#[derive(sqlx::FromRow)]
struct Row {
    hash: String,
    token: Option<Uuid>,
    ticket: Option<Uuid>,
    csrf: String,
    flash: Option<String>,
    created_at: Instant,
    last_used_at: Instant,
}

impl Row {
    fn record(self) -> StoreResult<StoredSession> {
        let stands_for = match (self.token, self.ticket) {
            (Some(token), None) => SessionFor::Token(token),
            (None, Some(ticket)) => SessionFor::Ticket(TicketId(ticket)),
            (found, _) => {
                let found = format!("{found:?}");
                return Err(corrupt(TABLE, &self.hash, BadContent::Value { column: "token", found }));
            }
        };
        Ok(StoredSession {
            hash: self.hash,
            stands_for,
            csrf: self.csrf,
            flash: self.flash,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        })
    }
}

impl Store {
    /// Begins a session. Like tokens' uses it needs no lease: nothing is decided by it.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn begin_session(&self, new: &StoredSession) -> StoreResult<()> {
        let (token, ticket) = match new.stands_for {
            SessionFor::Token(token) => (Some(token), None),
            SessionFor::Ticket(ticket) => (None, Some(ticket.0)),
        };
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "beginning a session",
            "INSERT INTO sessions (hash, token, ticket, csrf, flash, created_at, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            new.hash.as_str(),
            token,
            ticket,
            new.csrf.as_str(),
            new.flash.as_deref(),
            new.created_at,
            new.last_used_at,
        )?;
        session.commit().await
    }

    /// The session of a hash.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn session(&self, hash: &str) -> StoreResult<Option<StoredSession>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "looking up a session",
            Row,
            "SELECT hash, token, ticket, csrf, flash, created_at, last_used_at FROM sessions WHERE hash = $1",
            hash,
        )?;
        row.map(Row::record).transpose()
    }

    /// Notes that a session was used. To be called now and then: it is a write.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn session_used(&self, hash: &str, at: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting a session's use",
            "UPDATE sessions SET last_used_at = $1 WHERE hash = $2 AND last_used_at < $1",
            at,
            hash,
        )?;
        session.commit().await
    }

    /// What the next page of a session says once; nothing takes it away.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn set_flash(&self, hash: &str, flash: Option<&str>) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting what a session's next page says",
            "UPDATE sessions SET flash = $1 WHERE hash = $2",
            flash,
            hash,
        )?;
        session.commit().await
    }

    /// Ends a session; one that is over stays so.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn end_session(&self, hash: &str) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(&mut session.conn(), "ending a session", "DELETE FROM sessions WHERE hash = $1", hash)?;
        session.commit().await
    }
}
