//! Tickets.

use drover_policies::ids::{MigrationId, OwnerId, ServerId, TicketId};
use drover_policies::notices::Turn;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::StoreError;
use super::page::{Cursor, Page, cut, rows_for};
use super::records::{NewTicket, Only, Taken, TakenTicket, Ticket, owner_id};
use super::{Store, StoreResult};

const TABLE: &str = "ticket";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    number: String,
    migration: Uuid,
    owner: String,
    server: Uuid,
    subject: String,
    opened_at: Instant,
    closed_at: Option<Instant>,
    unanswered_since: Option<Instant>,
    taken_by: Option<String>,
    taken_at: Option<Instant>,
}

impl Row {
    fn record(self) -> StoreResult<Ticket> {
        Ok(Ticket {
            id: TicketId(self.id),
            owner: owner_id(TABLE, &self.number, self.owner)?,
            number: self.number,
            migration: MigrationId(self.migration),
            server: ServerId(self.server),
            subject: self.subject,
            opened_at: self.opened_at,
            closed_at: self.closed_at,
            unanswered_since: self.unanswered_since,
            taken: self.taken_by.zip(self.taken_at).map(|(by, at)| Taken { by, at }),
        })
    }
}

/// Which tickets are looked for. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketFilter {
    /// For this account.
    pub owner: Option<OwnerId>,
    /// About this server.
    pub server: Option<ServerId>,
    /// Open ones, or those that are not.
    pub only: Only,
    /// Whose the last word is.
    pub last_word: LastWord,
    /// That this operator looks after.
    pub taken_by: Option<String>,
}

/// Tickets by whether an owner waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastWord {
    /// Whoever has it.
    #[default]
    Anybodys,
    /// An owner's, and no operator has answered.
    Owners,
}

impl Store {
    /// A page of those that fit, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tickets_page(
        &self,
        filter: &TicketFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> StoreResult<Page<Ticket>> {
        let (before, id) = Cursor::before(cursor).unzip();
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading a page of tickets",
            Row,
            "SELECT id, number, migration, owner, server, subject, opened_at, closed_at, unanswered_since, taken_by, taken_at FROM tickets
             WHERE ($1 IS NULL OR opened_at < $1 OR (opened_at = $1 AND id < $2))
               AND ($3 IS NULL OR owner = $3)
               AND ($4 IS NULL OR server = $4)
               AND ($5 IS NULL OR is_open = $5)
               AND ($6 = FALSE OR unanswered_since IS NOT NULL)
               AND ($7 IS NULL OR taken_by = $7)
             ORDER BY opened_at DESC, id DESC LIMIT $8",
            before,
            id,
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.server.map(|server| server.0),
            filter.only.open(),
            filter.last_word == LastWord::Owners,
            filter.taken_by.as_deref(),
            rows_for(limit),
        )?;
        let items: Vec<_> = rows.into_iter().map(Row::record).collect::<Result<_, _>>()?;
        Ok(cut(items, limit, |last| Cursor::moment(last.opened_at, last.id.0)))
    }

    /// One, by its number for people: `DR-1042`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ticket_by_number(&self, number: &str) -> StoreResult<Option<Ticket>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a ticket by number",
            Row,
            "SELECT id, number, migration, owner, server, subject, opened_at, closed_at, unanswered_since, taken_by, taken_at FROM tickets WHERE number = $1",
            number,
        )?;
        row.map(Row::record).transpose()
    }

    /// One, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ticket(&self, id: TicketId) -> StoreResult<Option<Ticket>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a ticket",
            Row,
            "SELECT id, number, migration, owner, server, subject, opened_at, closed_at, unanswered_since, taken_by, taken_at FROM tickets WHERE id = $1",
            id.0,
        )?;
        row.map(Row::record).transpose()
    }
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &NewTicket, at: Instant) -> StoreResult<()> {
    execute!(
        conn,
        "opening a ticket",
        "INSERT INTO tickets (id, number, migration, owner, server, is_open, subject, opened_at)
         VALUES ($1, $2, $3, $4, $5, TRUE, $6, $7)",
        new.id.0,
        new.number.as_str(),
        new.migration.0,
        new.owner.as_str(),
        new.server.0,
        new.subject.as_str(),
        at,
    )
    .map_err(|error| error.on_insert(TABLE, &new.number))?;
    Ok(())
}

/// Opening what is open changes nothing; what doesn't exist can't be opened again.
pub(super) async fn reopen(conn: &mut Conn<'_>, id: TicketId) -> StoreResult<()> {
    let found = execute!(
        conn,
        "opening a ticket again",
        "UPDATE tickets SET is_open = TRUE, closed_at = NULL WHERE id = $1",
        id.0,
    )?;
    if found == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, id)) }
}

/// Closing what is closed changes nothing; what doesn't exist can't be closed.
pub(super) async fn close(conn: &mut Conn<'_>, id: TicketId, at: Instant) -> StoreResult<()> {
    let found = execute!(
        conn,
        "closing a ticket",
        "UPDATE tickets SET is_open = FALSE, closed_at = COALESCE(closed_at, $1) WHERE id = $2",
        at,
        id.0,
    )?;
    if found == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, id)) }
}

/// Of two operators who take the same ticket at once, one finds that the other has it.
pub(super) async fn take(conn: &mut Conn<'_>, taken: &TakenTicket, at: Instant) -> StoreResult<()> {
    let found = execute!(
        conn,
        "noting who looks after a ticket",
        "UPDATE tickets SET taken_by = $1, taken_at = $2
         WHERE id = $3 AND ((taken_by IS NULL AND $4 IS NULL) OR taken_by = $4)",
        taken.by.as_deref(),
        taken.by.as_ref().map(|_| at),
        taken.ticket.0,
        taken.from.as_deref(),
    )?;
    if found == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, taken.ticket)) }
}

/// An owner's words begin a wait, and an operator's end it.
pub(super) async fn turn(conn: &mut Conn<'_>, id: TicketId, turn: Turn, at: Instant) -> StoreResult<()> {
    let since = match turn {
        Turn::Operators => Some(at),
        Turn::Nobody => None,
    };
    execute!(
        conn,
        "noting whose turn it is in a ticket",
        "UPDATE tickets SET unanswered_since = CASE WHEN $1 IS NULL THEN NULL ELSE COALESCE(unanswered_since, $1) END WHERE id = $2",
        since,
        id.0,
    )?;
    Ok(())
}
