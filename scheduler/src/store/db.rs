//! The two engines under one SQL text.
//!
//! Every query is written once, with `$1` for its parameters, and run by one of the macros below on whichever engine is there. What
//! differs between the engines is in this file and in `migrations/`.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Database, Encode, Postgres, QueryBuilder, Sqlite, Transaction, Type};

use super::error::StoreError;

/// How long one scheduler waits for another one's writing on the same file, and for a free connection.
const PATIENCE: Duration = Duration::from_secs(10);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;

/// An open database.
#[derive(Debug, Clone)]
pub(super) enum Db {
    /// A file. One connection writes, so that writers queue up here and not in SQLite, where waiting is polling.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// One connection, for as long as it is borrowed.
pub(super) enum Conn<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// A connection that is held: on its own, where every statement stands for itself, or within a transaction.
pub(super) enum Session {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
    SqliteTransaction(Transaction<'static, Sqlite>),
    PostgresTransaction(Transaction<'static, Postgres>),
}

impl Session {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(held) => Conn::Sqlite(held),
            Self::Postgres(held) => Conn::Postgres(held),
            Self::SqliteTransaction(held) => Conn::Sqlite(held),
            Self::PostgresTransaction(held) => Conn::Postgres(held),
        }
    }

    /// Ends a transaction and keeps what was written. Dropped without this, nothing is kept.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let ended = match self {
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
            Self::SqliteTransaction(held) => held.commit().await,
            Self::PostgresTransaction(held) => held.commit().await,
        };
        ended.map_err(|source| StoreError::database("committing", source))
    }
}

/// What a database's address means.
enum Address {
    File(PathBuf),
    Server(Box<PgConnectOptions>),
}

impl FromStr for Address {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = || StoreError::BadUrl { given: without_password(text) };
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(text).map_err(|_| bad())?;
            return Ok(Self::Server(Box::new(options.application_name("drover-scheduler"))));
        }
        let path = match text.split_once("://") {
            Some(("sqlite", path)) => path,
            Some(_) => return Err(bad()),
            None => text,
        };
        // An unnamed or a memory database would lose everything at the end of the process, and a mistyped scheme is no file's name.
        let first = path.split('/').next().unwrap_or_default();
        if path.is_empty() || first.contains(':') || path.contains('?') {
            return Err(bad());
        }
        Ok(Self::File(PathBuf::from(path)))
    }
}

fn without_password(url: &str) -> String {
    let Some((before, after)) = url.rsplit_once('@') else { return url.to_owned() };
    let Some((scheme, user)) = before.split_once("://") else { return url.to_owned() };
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    format!("{scheme}://{user}@{after}")
}

impl Db {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let opening = |source| StoreError::database("opening it", source);
        match url.parse()? {
            Address::File(path) => {
                let _turn = turn(&path).await?;
                make_private_file(&path)?;
                let options = sqlite_options(&path);
                let writer = sqlite_pool(1).connect_with(options.clone()).await.map_err(opening)?;
                let readers = sqlite_pool(SQLITE_READERS)
                    // A mistake must not be able to write beside the one writer.
                    .connect_with(options.pragma("query_only", "ON"))
                    .await
                    .map_err(opening)?;
                Ok(Self::Sqlite { writer, readers })
            }
            Address::Server(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(PATIENCE)
                    .connect_with(*options)
                    .await
                    .map_err(opening)?;
                Ok(Self::Postgres(pool))
            }
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let schema = |source| StoreError::Schema { source };
        // On SQLite the driver takes no lock of its own as it does on PostgreSQL: two that begin at once would both make the tables.
        let mut session = match self {
            Self::Sqlite { .. } => self.write().await?,
            Self::Postgres(_) => self.read().await?,
        };
        // Not `run`: the compiler can't show that its future may go from thread to thread.
        match session.conn() {
            Conn::Sqlite(held) => sqlx::migrate!("migrations/sqlite").run_direct(None, held, false).await,
            Conn::Postgres(held) => sqlx::migrate!("migrations/postgres").run_direct(None, held, false).await,
        }
        .map_err(schema)?;
        session.commit().await
    }

    /// For statements that read and stand for themselves.
    pub(super) async fn read(&self) -> Result<Session, StoreError> {
        let held = match self {
            Self::Sqlite { readers, .. } => readers.acquire().await.map(Session::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Session::Postgres),
        };
        held.map_err(|source| StoreError::database("waiting for a connection", source))
    }

    /// For several statements that must see the same moment.
    pub(super) async fn snapshot(&self) -> Result<Session, StoreError> {
        let held = match self {
            Self::Sqlite { readers, .. } => readers.begin().await.map(Session::SqliteTransaction),
            Self::Postgres(pool) => pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map(Session::PostgresTransaction),
        };
        held.map_err(|source| StoreError::database("beginning to read", source))
    }

    /// For writing, all or nothing.
    pub(super) async fn write(&self) -> Result<Session, StoreError> {
        let held = match self {
            // A transaction that began by reading could not become a writing one while another process writes.
            Self::Sqlite { writer, .. } => {
                writer.begin_with("BEGIN IMMEDIATE").await.map(Session::SqliteTransaction)
            }
            Self::Postgres(pool) => pool.begin().await.map(Session::PostgresTransaction),
        };
        held.map_err(|source| StoreError::database("beginning to write", source))
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection to a file does not break, so it is not tried before each use, which would cost every query a turn of its thread.
///
/// It is replaced when a transaction was not ended with it: of a full disk SQLite rolls back by itself, and the driver, which then tries to
/// do the same in vain, would take the connection for one in a transaction for ever.
fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .after_release(|held, _| {
            Box::pin(async move {
                if !held.is_in_transaction() {
                    return Ok(true);
                }
                // A rollback may be on its way: this comes after it.
                held.ping().await?;
                Ok(!held.is_in_transaction())
            })
        })
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // With WAL, anything less may lose what was acknowledged when the power fails.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
}

/// Those that open a file at the same time take turns: SQLite lets the switch of a new file to WAL fail when it meets another one, instead
/// of waiting. The turn is over when what is returned is dropped, or this process ends.
async fn turn(path: &Path) -> Result<File, StoreError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let shown = path.display().to_string();
    let locked = tokio::task::spawn_blocking(move || {
        let directory = File::open(directory)?;
        directory.lock().map(|()| directory)
    });
    locked
        .await
        .unwrap_or_else(|ended| Err(ended.into()))
        .map_err(|source| StoreError::File { path: shown, source })
}

/// It holds owners' addresses and the hashes of tokens; SQLite gives its other files the same mode. One that is there is not touched: to close
/// it here would take SQLite's own locks from whoever has it open in this process.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            Err(StoreError::File { path: path.display().to_string(), source })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Runs a query on either engine and returns all rows.
macro_rules! fetch_all {
    ($conn:expr, $doing:literal, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(held) => {
                sqlx::query_as::<sqlx::Sqlite, $row>($sql)$(.bind($argument))*.fetch_all(&mut **held).await
            }
            $crate::store::db::Conn::Postgres(held) => {
                sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($argument))*.fetch_all(&mut **held).await
            }
        }
        .map_err(|source| $crate::store::error::StoreError::database($doing, source))
    };
}

/// Runs a query on either engine and returns its row, if it has one.
macro_rules! fetch_optional {
    ($conn:expr, $doing:literal, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(held) => {
                sqlx::query_as::<sqlx::Sqlite, $row>($sql)$(.bind($argument))*.fetch_optional(&mut **held).await
            }
            $crate::store::db::Conn::Postgres(held) => {
                sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($argument))*.fetch_optional(&mut **held).await
            }
        }
        .map_err(|source| $crate::store::error::StoreError::database($doing, source))
    };
}

/// Runs a statement on either engine and returns the number of rows that it wrote.
macro_rules! execute {
    ($conn:expr, $doing:literal, $sql:expr $(, $argument:expr)* $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(held) => sqlx::query::<sqlx::Sqlite>($sql)
                $(.bind($argument))*
                .execute(&mut **held)
                .await
                .map(|done| done.rows_affected()),
            $crate::store::db::Conn::Postgres(held) => sqlx::query::<sqlx::Postgres>($sql)
                $(.bind($argument))*
                .execute(&mut **held)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(|source| $crate::store::error::StoreError::database($doing, source))
    };
}

/// Runs a query on either engine whose text ends before a list of values, as in `… WHERE id IN`, and returns all rows. The list has
/// one at least, as PostgreSQL takes no empty one, and at most the 32,766 parameters that SQLite takes.
macro_rules! fetch_all_in {
    ($conn:expr, $doing:literal, $row:ty, $sql:expr, $values:expr $(,)?) => {
        match $conn {
            $crate::store::db::Conn::Sqlite(held) => {
                let mut query = $crate::store::db::with_list::<sqlx::Sqlite, _>($sql, $values);
                // Its text differs with the length of the list, so it would push others out of the statements that are kept.
                query.build_query_as::<$row>().persistent(false).fetch_all(&mut **held).await
            }
            $crate::store::db::Conn::Postgres(held) => {
                let mut query = $crate::store::db::with_list::<sqlx::Postgres, _>($sql, $values);
                query.build_query_as::<$row>().persistent(false).fetch_all(&mut **held).await
            }
        }
        .map_err(|source| $crate::store::error::StoreError::database($doing, source))
    };
}

/// A query whose text ends in a list of values.
pub(super) fn with_list<DB, T>(sql: &'static str, values: impl IntoIterator<Item = T>) -> QueryBuilder<DB>
where
    DB: Database<Arguments: Default>,
    T: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(sql);
    query.push(" (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    query.push(")");
    query
}

pub(super) use {execute, fetch_all, fetch_all_in, fetch_optional};

#[cfg(test)]
mod tests {
    use super::*;

    async fn pragma(session: &mut Session, query: &'static str) -> String {
        let Conn::Sqlite(held) = session.conn() else { panic!("it is SQLite") };
        sqlx::query_scalar::<_, String>(query).fetch_one(held).await.expect("a setting")
    }

    /// A kill loses nothing under any setting; a failing power supply would, and can't be tried here. So the settings are looked at.
    #[tokio::test]
    async fn sqlite_waits_for_the_disk_and_only_its_writer_writes() {
        let home = tempfile::tempdir().expect("a directory");
        let db = Db::open(&home.path().join("drover.db").display().to_string()).await.expect("it opens");
        let mut writer = db.write().await.expect("a writer");
        assert_eq!(pragma(&mut writer, "SELECT journal_mode FROM pragma_journal_mode").await, "wal");
        assert_eq!(
            pragma(&mut writer, "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await,
            "2"
        );
        assert_eq!(
            pragma(&mut writer, "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys").await,
            "1"
        );
        drop(writer);
        let mut reader = db.read().await.expect("a reader");
        assert_eq!(pragma(&mut reader, "SELECT CAST(query_only AS TEXT) FROM pragma_query_only").await, "1");
    }

    #[tokio::test]
    async fn a_disk_that_was_full_for_a_moment_does_not_end_all_writing() {
        let home = tempfile::tempdir().expect("a directory");
        let db = Db::open(&home.path().join("drover.db").display().to_string()).await.expect("it opens");
        let run = async |session: &mut Session, query: &'static str| {
            let Conn::Sqlite(held) = session.conn() else { panic!("it is SQLite") };
            sqlx::query(query).execute(held).await
        };
        const WRITE: &str = "INSERT INTO things VALUES (zeroblob(100000))";
        let mut writer = db.write().await.expect("a writer");
        run(&mut writer, "CREATE TABLE things (thing BLOB)").await.expect("made");
        writer.commit().await.expect("kept");
        let mut writer = db.write().await.expect("a writer");
        run(&mut writer, "PRAGMA max_page_count = 4").await.expect("no room from now on");
        let refused = run(&mut writer, WRITE).await.expect_err("it is full");
        assert!(refused.to_string().contains("full"), "{refused}");
        drop(writer);
        // The limit was the connection's alone.
        let mut writer = db.write().await.expect("writing goes on");
        run(&mut writer, WRITE).await.expect("written");
        writer.commit().await.expect("kept");
    }
}
