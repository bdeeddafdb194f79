//! A database that was filled by an earlier version is read by this one.
//!
//! `samples/NNNN.sql` is what the version with migration NNNN as its last wrote. Each is loaded into a database of its own that was
//! brought just that far; then the rest of the migrations runs, and everything must be readable. A sample is never changed after its
//! version has been released, and a migration that was never the last of a release has none. While a version is being made, its
//! sample is written anew by `cargo test -p drover-scheduler --test store -- --ignored write_the_sample`.

use std::path::PathBuf;

use drover_policies::channels::ChannelName;
use drover_policies::time::Span;
use drover_scheduler::store::{
    EventFilter, MigrationFilter, Only, Seq, SessionFor, Store, StoreError, StoredSession, TicketFilter,
};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool, TypeInfo as _, ValueRef as _};
use uuid::Uuid;

use crate::place::{Place, on_both_engines};
use crate::samples::{at, everything, host, inventory, notice_id, owner, server_id, ticket_id, token_id};
use crate::schema::{Pool, migrator};

on_both_engines![
    what_every_earlier_version_wrote_is_read_after_all_migrations,
    several_that_begin_at_once_bring_the_tables_up_to_date_together,
    a_database_of_a_later_version_is_refused,
];

fn sample(version: i64) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/samples/{version:04}.sql"))
}

async fn what_every_earlier_version_wrote_is_read_after_all_migrations(place: Place) {
    let postgres = place.url.starts_with("postgres");
    let engine = if postgres { "postgres" } else { "sqlite" };
    let versions: Vec<i64> = migrator(engine).await.iter().map(|migration| migration.version).collect();
    let latest = versions.iter().max().expect("there is one");
    assert!(sample(*latest).is_file(), "migration {latest} has no sample; see the head of this file");
    for version in versions.iter().filter(|version| sample(**version).is_file()) {
        let place = if postgres { Place::postgres().expect("it was there") } else { Place::sqlite() };
        let pool = Pool::open(&place).await;
        pool.run_to(*version).await;
        let text = std::fs::read_to_string(sample(*version)).expect("a sample");
        for line in text.lines().filter(|line| line.starts_with("INSERT")) {
            let line = if postgres { line.replace("X'", "'") } else { line.to_owned() };
            pool.execute(&line).await;
        }
        let count = |table: &str| {
            text.lines().filter(|line| line.starts_with(&format!("INSERT INTO {table} "))).count()
        };
        let (freezes, limits, replicas) = (count("freezes"), count("limits"), count("replicas"));
        let webhooks = text.lines().filter(|line| line.starts_with("INSERT INTO webhooks ")).count();
        let store = place.open().await;
        let picture = store.picture().await.expect("a picture");
        assert_eq!((picture.freezes.len(), picture.limits.len()), (freezes, limits));
        assert_eq!(picture.replicas.len(), replicas);
        let hooks = store.hook_runs(picture.maintenances[0].value.id, &host("h1")).await.expect("hooks");
        assert_eq!(hooks.len(), count("hook_runs"));
        let sessions = [store.session(&"a".repeat(64)).await, store.session(&"b".repeat(64)).await];
        let sessions = sessions.into_iter().filter_map(|session| session.expect("sessions")).count();
        assert_eq!(sessions, count("sessions"));
        all_is_readable(&store, webhooks, count("notices")).await;
    }
}

async fn several_that_begin_at_once_bring_the_tables_up_to_date_together(place: Place) {
    let opened = (0..4).map(|_| {
        let url = place.url.clone();
        tokio::spawn(async move {
            let store = Store::open(&url).await.expect("it opens");
            store.migrate().await.expect("it is brought up to date");
            store.ping().await.expect("it answers");
            store.picture().await.expect("the tables are there");
        })
    });
    for opened in opened.collect::<Vec<_>>() {
        opened.await.expect("it comes to its end");
    }
}

async fn a_database_of_a_later_version_is_refused(place: Place) {
    let store = place.open().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9999, 'later', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
    match Pool::open(&place).await {
        Pool::Sqlite(pool) => sqlx::query(later).execute(&pool).await.map(drop),
        Pool::Postgres(pool) => sqlx::query(later).execute(&pool).await.map(drop),
    }
    .expect("noted as the driver does");
    let refused = store.migrate().await;
    assert!(matches!(refused, Err(StoreError::Schema { .. })), "{refused:?}");
}

async fn all_is_readable(store: &Store, webhooks: usize, messages: usize) {
    let picture = store.picture().await.expect("a picture");
    let h1 = picture.hosts.iter().find(|found| found.name == host("h1")).expect("the host");
    assert_eq!(h1.inventory.as_ref().map(|found| found.serial), Some(1));
    assert_eq!((picture.maintenances.len(), picture.migrations.len(), picture.operations.len()), (1, 1, 1));
    assert_eq!((picture.told.len(), picture.windows.len(), picture.next_number), (1, 1, 1003));
    assert_eq!(picture.history, [(server_id(2), vec![Span::milliseconds(41_500)])].into());
    let page = store.migrations_page(&MigrationFilter::default(), None, 10).await.expect("a page");
    assert_eq!(page.items.len(), 2);
    assert_eq!(store.maintenances_page(Only::All, None, 10).await.expect("a page").items.len(), 1);
    let plan =
        store.latest_plan(picture.maintenances[0].value.id).await.expect("plans").expect("there is one");
    assert_eq!(plan.parent, None, "and no other before it");
    assert_eq!(store.tickets_page(&TicketFilter::default(), None, 10).await.expect("a page").items.len(), 2);
    let notices = store.notices_of(ticket_id(1)).await.expect("notices");
    assert_eq!(notices.len(), 1);
    let bounces = store.bounces_of(ticket_id(1)).await.expect("bounces");
    assert!(bounces.iter().all(|bounce| bounce.notice == notice_id(1)), "{bounces:?}");
    let mail = &notices[0].deliveries[..];
    assert!(matches!(mail, [delivery] if delivery.channel == ChannelName::Mail), "{mail:?}");
    let due = store.deliveries_due(&ChannelName::Mail, at(0), 10).await.expect("deliveries");
    let due: Vec<_> = due.iter().map(|due| (due.post.id(), due.since, due.tries)).collect();
    // Two of tickets, and what operators were told since they are.
    let all = [1, 2, 3].map(|n| (notice_id(n), at(0), 0));
    assert_eq!(due, all[..messages]);
    assert_eq!(store.events_after(Seq::START, &EventFilter::default(), 10).await.expect("events").len(), 2);
    assert_eq!(store.owner(&owner("acme")).await.expect("owner").map(|contact| contact.mail.len()), Some(1));
    assert_eq!(store.webhooks(None).await.expect("webhooks").len(), webhooks);
    assert_eq!(store.tokens(None).await.expect("tokens").len(), 3);
    assert!(store.answer("operator ada", "key-1").await.expect("read").is_some());
    assert!(store.lease("scheduler").await.expect("read").is_some());
}

#[tokio::test]
#[ignore = "no test: `make sample` runs it, once for each new migration of the database"]
async fn write_the_sample_of_the_latest_migration() {
    let place = Place::sqlite();
    let (store, fence) = place.open_and_claim().await;
    store.commit(&fence, everything()).await.expect("written");
    store.agent_seen(&host("h1"), 1, Some(&inventory(1)), at(0)).await.expect("taken in");
    store.note_read_to(&ChannelName::Rt, 41).await.expect("noted");
    store.note_bounce(notice_id(1), "ada@acme.example", "no such user", at(1)).await.expect("noted");
    let by_token = StoredSession {
        hash: "a".repeat(64),
        stands_for: SessionFor::Token(token_id(1)),
        csrf: "c".repeat(64),
        flash: Some("{}".to_owned()),
        created_at: at(0),
        last_used_at: at(1),
    };
    let by_link = StoredSession {
        hash: "b".repeat(64),
        stands_for: SessionFor::Ticket(ticket_id(1)),
        flash: None,
        ..by_token.clone()
    };
    store.begin_session(&by_token).await.expect("begun");
    store.begin_session(&by_link).await.expect("begun");
    store.close().await;
    let latest =
        migrator("sqlite").await.iter().map(|migration| migration.version).max().expect("there is one");
    let Pool::Sqlite(pool) = Pool::open(&place).await else { panic!("it is SQLite") };
    let mut text = format!("-- What the version with migration {latest:04} wrote. See upgrade.rs.\n");
    // In an order in which no row refers to one that comes after it.
    for table in [
        "counters",
        "leases",
        "hosts",
        "maintenances",
        "plans",
        "hook_runs",
        "migrations",
        "replicas",
        "imports",
        "operations",
        "tickets",
        "notices",
        "bounces",
        "deliveries",
        "channel_tickets",
        "channel_cursors",
        "webhooks",
        "events",
        "windows",
        "freezes",
        "limits",
        "checks",
        "blueprints",
        "owners",
        "tokens",
        "sessions",
        "answers",
    ] {
        text.push_str(&dump(&pool, table).await);
    }
    std::fs::write(sample(latest), text).expect("written");
}

/// The rows of a table as statements that both engines take, but for `X'…'`, which is a UUID.
async fn dump(pool: &SqlitePool, table: &str) -> String {
    let rows =
        sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(pool).await.expect("rows");
    let mut text = String::new();
    for row in rows {
        let given: Vec<(&str, String)> = row
            .columns()
            .iter()
            .map(sqlx::Column::name)
            // Drawn by the database.
            .filter(|column| *column != "seq" && (table, *column) != ("deliveries", "id"))
            .map(|column| (column, literal(&row, column)))
            .collect();
        let (columns, values): (Vec<_>, Vec<_>) = given.into_iter().unzip();
        let (columns, values) = (columns.join(", "), values.join(", "));
        // The counters are there from the first migration on.
        text.push_str(&match table {
            "counters" => format!("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT (name) DO UPDATE SET value = excluded.value;\n"),
            _ => format!("INSERT INTO {table} ({columns}) VALUES ({values});\n"),
        });
    }
    text
}

fn literal(row: &sqlx::sqlite::SqliteRow, column: &str) -> String {
    let value = row.try_get_raw(column).expect("a column");
    if value.is_null() {
        return "NULL".to_owned();
    }
    let kind = value.type_info();
    match kind.name() {
        "BLOB" => format!("X'{}'", row.get::<Uuid, _>(column).simple()),
        "INTEGER" if column.starts_with("is_") || column == "wanted" => {
            row.get::<bool, _>(column).to_string().to_uppercase()
        }
        "INTEGER" => row.get::<i64, _>(column).to_string(),
        "TEXT" => format!("'{}'", row.get::<String, _>(column).replace('\'', "''")),
        other => panic!("a type that the dump does not know: {other}"),
    }
}
