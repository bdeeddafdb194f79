//! Answers to requests that carried an idempotency key.

use drover_policies::time::Instant;

use super::db::{Conn, execute, fetch_optional};
use super::error::BadContent;
use super::records::{Answer, corrupt};
use super::{Store, StoreResult};

const TABLE: &str = "answer";

#[derive(sqlx::FromRow)]
struct Row {
    principal: String,
    key: String,
    request_hash: String,
    status: i64,
    location: Option<String>,
    body: String,
    at: Instant,
}

impl Row {
    fn record(self) -> StoreResult<Answer> {
        let status = u16::try_from(self.status).map_err(|_| {
            corrupt(TABLE, &self.key, BadContent::Value { column: "status", found: self.status.to_string() })
        })?;
        Ok(Answer {
            principal: self.principal,
            key: self.key,
            request_hash: self.request_hash,
            status,
            location: self.location,
            body: self.body,
            at: self.at,
        })
    }
}

impl Store {
    /// What was answered to this caller under this key.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn answer(&self, principal: &str, key: &str) -> StoreResult<Option<Answer>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "looking up an answer",
            Row,
            "SELECT principal, key, request_hash, status, location, body, at FROM answers
             WHERE principal = $1 AND key = $2",
            principal,
            key,
        )?;
        row.map(Row::record).transpose()
    }
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &Answer) -> StoreResult<()> {
    execute!(
        conn,
        "storing an answer",
        "INSERT INTO answers (principal, key, request_hash, status, location, body, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.principal.as_str(),
        new.key.as_str(),
        new.request_hash.as_str(),
        i64::from(new.status),
        new.location.as_deref(),
        new.body.as_str(),
        new.at,
    )
    .map_err(|error| error.on_insert(TABLE, &new.key))?;
    Ok(())
}
