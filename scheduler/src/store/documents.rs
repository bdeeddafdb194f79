//! Documents of scheduled events as they were shown last.

use drover_policies::time::Instant;
use drover_policies::upcoming::azure::Document;

use super::db::{execute, fetch_optional};
use super::records::{from_json, to_i64, to_json};
use super::{Store, StoreResult};

const TABLE: &str = "document";

impl Store {
    /// The document that was shown last under this name.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn document(&self, name: &str) -> StoreResult<Option<Document>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading a document",
            (String,),
            "SELECT body FROM documents WHERE name = $1",
            name,
        )?;
        row.map(|(body,)| from_json(TABLE, &name, &body)).transpose()
    }

    /// Remembers a document as the successor of `last`. False when somebody else has shown another one since `last` was read; nothing is changed
    /// then. Nobody decides anything here, and several schedulers may show documents, so no lease is asked for.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn show_document(
        &self,
        name: &str,
        last: Option<&Document>,
        next: &Document,
        at: Instant,
    ) -> StoreResult<bool> {
        let mut session = self.db.write().await?;
        let conn = &mut session.conn();
        let written = match last {
            None => execute!(
                conn,
                "storing a document",
                "INSERT INTO documents (name, incarnation, body, changed_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO NOTHING",
                name,
                to_i64(next.document_incarnation),
                to_json(TABLE, next)?,
                at,
            )?,
            Some(last) => execute!(
                conn,
                "changing a document",
                "UPDATE documents SET incarnation = $1, body = $2, changed_at = $3 WHERE name = $4 AND incarnation = $5",
                to_i64(next.document_incarnation),
                to_json(TABLE, next)?,
                at,
                name,
                to_i64(last.document_incarnation),
            )?,
        };
        session.commit().await?;
        Ok(written == 1)
    }
}
