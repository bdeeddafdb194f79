//! What is too old to be kept.

use drover_policies::time::Instant;

use super::db::{Conn, execute};
use super::{Store, StoreResult, imports};

/// From when on things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Maintenances, migrations, imports, tickets and events.
    pub history_since: Instant,
    /// Answers to requests with an idempotency key.
    pub answers_since: Instant,
    /// Sessions of the pages, by their last use.
    pub sessions_since: Instant,
}

/// How many were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Migrations, each with its orders, tickets and messages.
    pub migrations: u64,
    /// Maintenances, each with its plans and hooks.
    pub maintenances: u64,
    /// Imports.
    pub imports: u64,
    /// Events.
    pub events: u64,
    /// Answers.
    pub answers: u64,
    /// Sessions.
    pub sessions: u64,
}

impl Store {
    /// Throws away what is over and has not changed since. A maintenance goes with its last migration and never before; a ticket
    /// with a message that has not been delivered or given up stays, and all that it is about.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn purge(&self, keep: Keep) -> StoreResult<Purged> {
        let mut session = self.db.write().await?;
        let conn = &mut session.conn();
        let purged = Purged {
            migrations: purge_migrations(conn, keep.history_since).await?,
            maintenances: purge_maintenances(conn, keep.history_since).await?,
            imports: imports::purge(conn, keep.history_since).await?,
            events: execute!(conn, "purging events", "DELETE FROM events WHERE at < $1", keep.history_since)?,
            answers: execute!(
                conn,
                "purging answers",
                "DELETE FROM answers WHERE at < $1",
                keep.answers_since
            )?,
            sessions: execute!(
                conn,
                "purging sessions",
                "DELETE FROM sessions WHERE last_used_at < $1",
                keep.sessions_since
            )?,
        };
        session.commit().await?;
        Ok(purged)
    }
}

/// Which migrations go. Evaluated anew by each statement; the order of the statements takes care that it names the same ones:
/// what it looks at is deleted last.
macro_rules! old_migrations {
    () => {
        "SELECT migrations.id FROM migrations
         LEFT JOIN maintenances ON maintenances.id = migrations.maintenance
         WHERE migrations.is_over AND migrations.updated_at < $1
           AND (maintenances.id IS NULL OR NOT maintenances.is_open)
           AND NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.migration = migrations.id AND NOT replicas.is_gone)
           AND NOT EXISTS (SELECT 1 FROM operations WHERE operations.migration = migrations.id AND operations.wanted)
           AND NOT EXISTS (
               SELECT 1 FROM tickets WHERE tickets.migration = migrations.id AND (tickets.is_open OR EXISTS (
                   SELECT 1 FROM deliveries WHERE deliveries.thread = tickets.id AND deliveries.state = 'pending')))"
    };
}

async fn purge_migrations(conn: &mut Conn<'_>, before: Instant) -> StoreResult<u64> {
    execute!(
        conn,
        "purging deliveries",
        concat!(
            "DELETE FROM deliveries WHERE thread IN (SELECT id FROM tickets WHERE migration IN (",
            old_migrations!(),
            "))"
        ),
        before,
    )?;
    execute!(
        conn,
        "purging the names of tickets on channels",
        concat!(
            "DELETE FROM channel_tickets WHERE ticket IN (SELECT id FROM tickets WHERE migration IN (",
            old_migrations!(),
            "))"
        ),
        before,
    )?;
    execute!(
        conn,
        "purging bounces",
        concat!(
            "DELETE FROM bounces WHERE notice IN (SELECT id FROM notices WHERE ticket IN (SELECT id FROM tickets WHERE migration IN (",
            old_migrations!(),
            ")))"
        ),
        before,
    )?;
    execute!(
        conn,
        "purging notices",
        concat!(
            "DELETE FROM notices WHERE ticket IN (SELECT id FROM tickets WHERE migration IN (",
            old_migrations!(),
            "))"
        ),
        before,
    )?;
    execute!(
        conn,
        "purging tickets",
        concat!("DELETE FROM tickets WHERE migration IN (", old_migrations!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging operations",
        concat!(
            "DELETE FROM operations WHERE migration IN (",
            old_migrations!(),
            ") OR (migration IS NULL AND NOT wanted AND ended_at < $1)"
        ),
        before,
    )?;
    execute!(
        conn,
        "purging replicas",
        concat!("DELETE FROM replicas WHERE migration IN (", old_migrations!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging migrations",
        concat!("DELETE FROM migrations WHERE id IN (", old_migrations!(), ")"),
        before,
    )
}

/// Which maintenances go, in the same way.
macro_rules! old_maintenances {
    () => {
        "SELECT id FROM maintenances WHERE NOT is_open AND updated_at < $1
           AND NOT EXISTS (SELECT 1 FROM migrations WHERE migrations.maintenance = maintenances.id)
           AND NOT EXISTS (
               SELECT 1 FROM deliveries WHERE deliveries.thread = maintenances.id AND deliveries.state = 'pending')"
    };
}

async fn purge_maintenances(conn: &mut Conn<'_>, before: Instant) -> StoreResult<u64> {
    execute!(
        conn,
        "purging plans",
        concat!("DELETE FROM plans WHERE maintenance IN (", old_maintenances!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging the hooks of maintenances",
        concat!("DELETE FROM hook_runs WHERE maintenance IN (", old_maintenances!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging the deliveries of bulletins",
        concat!("DELETE FROM deliveries WHERE thread IN (", old_maintenances!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging bulletins",
        concat!("DELETE FROM notices WHERE maintenance IN (", old_maintenances!(), ")"),
        before,
    )?;
    execute!(
        conn,
        "purging maintenances",
        concat!("DELETE FROM maintenances WHERE id IN (", old_maintenances!(), ")"),
        before,
    )
}
