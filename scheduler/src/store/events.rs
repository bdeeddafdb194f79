//! The story: what has happened, in order.

use drover_policies::events::Event;
use drover_policies::ids::{HostName, ImportId, MaintenanceId, MigrationId, OwnerId, ServerId};
use serde::Deserialize;

use super::db::{Conn, fetch_all, fetch_optional};
use super::error::BadContent;
use super::records::{Seq, corrupt, from_json, to_json, to_u64};
use super::{Store, StoreResult};

const TABLE: &str = "event";

/// Which events are looked for. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Of this maintenance.
    pub maintenance: Option<MaintenanceId>,
    /// Of this migration.
    pub migration: Option<MigrationId>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// Of this account's servers.
    pub owner: Option<OwnerId>,
    /// Of this host.
    pub host: Option<HostName>,
    /// Of this import.
    pub import: Option<ImportId>,
}

/// Which part of the whole story is looked through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoryPage {
    /// Of this kind; empty for every kind.
    pub kind: String,
    /// With this text in what is stored of it: names, hosts, owners, reasons. Empty for all.
    pub text: String,
    /// In which order.
    pub order: Order,
    /// How many are passed over.
    pub skip: u64,
    /// How many are wanted.
    pub take: u32,
}

/// The order of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As people look for what went wrong.
    #[default]
    NewestFirst,
    /// As it happened.
    OldestFirst,
}

impl Store {
    /// A part of the whole story, and how much there is of what was looked for.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn events_page(&self, page: &StoryPage) -> StoreResult<(Vec<(Seq, Event)>, u64)> {
        let pattern = format!("%{}%", page.text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_"));
        let skip = i64::try_from(page.skip).unwrap_or(i64::MAX);
        let mut session = self.db.snapshot().await?;
        let conn = &mut session.conn();
        let total = fetch_optional!(
            conn,
            "counting events",
            (i64,),
            r"SELECT COUNT(*) FROM events
             WHERE ($1 = '' OR kind = $1) AND ($2 = '%%' OR LOWER(body) LIKE LOWER($2) ESCAPE '\')",
            page.kind.as_str(),
            pattern.as_str(),
        )?;
        // The order can't be a parameter.
        let rows = match page.order {
            Order::NewestFirst => fetch_all!(
                conn,
                "reading a part of the story",
                (i64, String),
                r"SELECT seq, body FROM events
                 WHERE ($1 = '' OR kind = $1) AND ($2 = '%%' OR LOWER(body) LIKE LOWER($2) ESCAPE '\')
                 ORDER BY seq DESC LIMIT $3 OFFSET $4",
                page.kind.as_str(),
                pattern.as_str(),
                i64::from(page.take),
                skip,
            )?,
            Order::OldestFirst => fetch_all!(
                conn,
                "reading a part of the story",
                (i64, String),
                r"SELECT seq, body FROM events
                 WHERE ($1 = '' OR kind = $1) AND ($2 = '%%' OR LOWER(body) LIKE LOWER($2) ESCAPE '\')
                 ORDER BY seq LIMIT $3 OFFSET $4",
                page.kind.as_str(),
                pattern.as_str(),
                i64::from(page.take),
                skip,
            )?,
        };
        session.commit().await?;
        let events = rows.into_iter().map(|(seq, body)| Ok((Seq(seq), from_json(TABLE, &seq, &body)?)));
        Ok((events.collect::<StoreResult<_>>()?, total.map_or(0, |(total,)| to_u64(total))))
    }

    /// The kinds of what has happened, in their order.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn event_kinds(&self) -> StoreResult<Vec<String>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the kinds of events",
            (String,),
            "SELECT DISTINCT kind FROM events ORDER BY kind",
        )?;
        Ok(rows.into_iter().map(|(kind,)| kind).collect())
    }

    /// What happened after a place in the story, oldest first, at most `limit`. The last one's place is where to go on.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn events_after(
        &self,
        after: Seq,
        filter: &EventFilter,
        limit: u32,
    ) -> StoreResult<Vec<(Seq, Event)>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading events",
            (i64, String),
            "SELECT seq, body FROM events
             WHERE seq > $1
               AND ($2 IS NULL OR maintenance = $2)
               AND ($3 IS NULL OR migration = $3)
               AND ($4 IS NULL OR server = $4)
               AND ($5 IS NULL OR owner = $5)
               AND ($6 IS NULL OR host = $6)
               AND ($7 IS NULL OR import = $7)
             ORDER BY seq LIMIT $8",
            after.0,
            filter.maintenance.map(|id| id.0),
            filter.migration.map(|id| id.0),
            filter.server.map(|id| id.0),
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.host.as_ref().map(HostName::as_str),
            filter.import.map(|id| id.0),
            i64::from(limit),
        )?;
        rows.into_iter().map(|(seq, body)| Ok((Seq(seq), from_json(TABLE, &seq, &body)?))).collect()
    }

    /// The latest things that happened, oldest first, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn events_of_late(&self, filter: &EventFilter, limit: u32) -> StoreResult<Vec<(Seq, Event)>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the latest events",
            (i64, String),
            "SELECT seq, body FROM events
             WHERE ($1 IS NULL OR maintenance = $1)
               AND ($2 IS NULL OR migration = $2)
               AND ($3 IS NULL OR server = $3)
               AND ($4 IS NULL OR owner = $4)
               AND ($5 IS NULL OR host = $5)
               AND ($6 IS NULL OR import = $6)
             ORDER BY seq DESC LIMIT $7",
            filter.maintenance.map(|id| id.0),
            filter.migration.map(|id| id.0),
            filter.server.map(|id| id.0),
            filter.owner.as_ref().map(OwnerId::as_str),
            filter.host.as_ref().map(HostName::as_str),
            filter.import.map(|id| id.0),
            i64::from(limit),
        )?;
        let read = |(seq, body): (i64, String)| Ok((Seq(seq), from_json(TABLE, &seq, &body)?));
        rows.into_iter().rev().map(read).collect()
    }

    /// The place of the latest event.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn latest_event(&self) -> StoreResult<Seq> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading the latest event",
            (i64,),
            "SELECT seq FROM events ORDER BY seq DESC LIMIT 1",
        )?;
        Ok(row.map_or(Seq::START, |(seq,)| Seq(seq)))
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &Event) -> StoreResult<Seq> {
    let what = to_json(TABLE, &new.what)?;
    let Kind { kind } = from_json(TABLE, &"that is new", &what)?;
    let row = fetch_optional!(
        conn,
        "storing an event",
        (i64,),
        "INSERT INTO events (at, maintenance, migration, import, server, owner, host, kind, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq",
        new.at,
        new.maintenance.map(|id| id.0),
        new.migration.map(|id| id.0),
        new.import.map(|id| id.0),
        new.server.as_ref().map(|(id, _)| id.0),
        new.owner.as_ref().map(OwnerId::as_str),
        new.host.as_ref().map(HostName::as_str),
        kind,
        to_json(TABLE, new)?,
    )?;
    let missing = || BadContent::Value { column: "seq", found: "nothing".to_owned() };
    row.map(|(seq,)| Seq(seq)).ok_or_else(|| corrupt(TABLE, &"that is new", missing()))
}
