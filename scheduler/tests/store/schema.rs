//! Both engines have the same migrations and, after each, the same tables.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sqlx::migrate::Migrator;
use sqlx::{PgPool, SqlitePool};

use crate::place::Place;

pub fn folder(engine: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine)
}

pub async fn migrator(engine: &str) -> Migrator {
    Migrator::new(folder(engine)).await.expect("the migrations are well-formed")
}

/// One pool of either engine; the store's own are not shown.
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    pub async fn open(place: &Place) -> Self {
        if place.url.starts_with("sqlite") {
            let options = place.url.parse::<sqlx::sqlite::SqliteConnectOptions>().expect("an address");
            Self::Sqlite(SqlitePool::connect_with(options.create_if_missing(true)).await.expect("it opens"))
        } else {
            Self::Postgres(PgPool::connect(&place.url).await.expect("it opens"))
        }
    }

    pub async fn run_to(&self, version: i64) {
        match self {
            Self::Sqlite(pool) => migrator("sqlite").await.run_to(version, pool).await,
            Self::Postgres(pool) => migrator("postgres").await.run_to(version, pool).await,
        }
        .unwrap_or_else(|error| panic!("migration {version}: {error}"));
    }

    pub async fn execute(&self, statement: &str) {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query(text).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::query(text).execute(pool).await.map(drop),
        }
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Every column as `table.column type required`, and every index, in SQLite's words.
    async fn described(&self) -> BTreeSet<String> {
        match self {
            Self::Sqlite(pool) => describe_sqlite(pool).await,
            Self::Postgres(pool) => describe_postgres(pool).await,
        }
    }
}

async fn describe_sqlite(pool: &SqlitePool) -> BTreeSet<String> {
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT tables.name, columns.name, columns.type, columns.\"notnull\" OR columns.pk > 0
         FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%' AND tables.name NOT LIKE '_sqlx%'",
    )
    .fetch_all(pool)
    .await
    .expect("columns");
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(pool)
    .await
    .expect("indexes");
    describe(columns, indexes)
}

async fn describe_postgres(pool: &PgPool) -> BTreeSet<String> {
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO'
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(pool)
    .await
    .expect("columns");
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT indexname::text, tablename::text FROM pg_indexes WHERE schemaname = 'public'
           AND indexname NOT IN (SELECT conname FROM pg_constraint) AND tablename NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(pool)
    .await
    .expect("indexes");
    let in_sqlites_words = |kind: String| match kind.as_str() {
        "uuid" => "BLOB".to_owned(),
        "bigint" | "boolean" => "INTEGER".to_owned(),
        "text" | "timestamp with time zone" => "TEXT".to_owned(),
        other => panic!("a type that SQLite's side has no counterpart for: {other}"),
    };
    let columns = columns
        .into_iter()
        .map(|(table, name, kind, required)| (table, name, in_sqlites_words(kind), required));
    describe(columns.collect(), indexes)
}

fn describe(
    columns: Vec<(String, String, String, bool)>,
    indexes: Vec<(String, String)>,
) -> BTreeSet<String> {
    let columns = columns.into_iter().map(|(table, name, kind, required)| {
        format!("{table}.{name} {kind}{}", if required { " required" } else { "" })
    });
    let indexes = indexes.into_iter().map(|(name, table)| format!("index {name} on {table}"));
    columns.chain(indexes).collect()
}

fn files(engine: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder(engine)).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect()
}

#[test]
fn both_engines_have_the_same_migrations_numbered_without_a_gap() {
    let names = files("sqlite");
    assert_eq!(names, files("postgres"));
    for (name, number) in names.iter().zip(1..) {
        assert!(name.starts_with(&format!("{number:04}_")) && name.ends_with(".sql"), "{name}");
    }
}

#[tokio::test]
async fn after_each_migration_both_engines_have_the_same_tables_and_indexes() {
    let Some(place) = Place::postgres() else { return };
    let other = Place::sqlite();
    let (sqlite, postgres) = (Pool::open(&other).await, Pool::open(&place).await);
    for migration in migrator("sqlite").await.iter() {
        sqlite.run_to(migration.version).await;
        postgres.run_to(migration.version).await;
        let (one, two) = (sqlite.described().await, postgres.described().await);
        assert!(one.len() > 100, "{}", one.len());
        let only_one: Vec<_> = one.difference(&two).collect();
        let only_two: Vec<_> = two.difference(&one).collect();
        assert!(only_one.is_empty() && only_two.is_empty(), "SQLite {only_one:#?}, PostgreSQL {only_two:#?}");
    }
}
