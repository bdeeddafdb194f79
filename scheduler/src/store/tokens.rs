//! Who may call.

use drover_policies::ids::HostName;
use drover_policies::ids::OwnerId;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::error::{BadContent, StoreError};
use super::records::{Role, Token, corrupt, host_name, owner_id};
use super::{Store, StoreResult};

const TABLE: &str = "token";

#[derive(sqlx::FromRow)]
struct Row {
    hash: String,
    id: Uuid,
    name: String,
    role: String,
    subject: Option<String>,
    created_at: Instant,
    last_used_at: Option<Instant>,
    revoked_at: Option<Instant>,
}

impl Row {
    fn record(self) -> StoreResult<Token> {
        let role = match (self.role.as_str(), self.subject) {
            ("operator", None) => Role::Operator,
            ("owner", Some(owner)) => Role::Owner(owner_id(TABLE, &self.id, owner)?),
            ("agent", Some(host)) => Role::Agent(host_name(TABLE, &self.id, host)?),
            (found, _) => {
                let found = found.to_owned();
                return Err(corrupt(TABLE, &self.id, BadContent::Value { column: "role", found }));
            }
        };
        Ok(Token {
            id: self.id,
            hash: self.hash,
            name: self.name,
            role,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        })
    }
}

impl Store {
    /// The token of a hash, revoked or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token_by_hash(&self, hash: &str) -> StoreResult<Option<Token>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "looking up a token",
            Row,
            "SELECT hash, id, name, role, subject, created_at, last_used_at, revoked_at FROM tokens WHERE hash = $1",
            hash,
        )?;
        row.map(Row::record).transpose()
    }

    /// The token of an id, revoked or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token(&self, id: Uuid) -> StoreResult<Option<Token>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "looking up a token",
            Row,
            "SELECT hash, id, name, role, subject, created_at, last_used_at, revoked_at FROM tokens WHERE id = $1",
            id,
        )?;
        row.map(Row::record).transpose()
    }

    /// Every token, or every one of an account, revoked ones included, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tokens(&self, of: Option<&OwnerId>) -> StoreResult<Vec<Token>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the tokens",
            Row,
            "SELECT hash, id, name, role, subject, created_at, last_used_at, revoked_at FROM tokens
             WHERE CAST($1 AS TEXT) IS NULL OR (role = 'owner' AND subject = $1)
             ORDER BY created_at, id",
            of.map(OwnerId::as_str),
        )?;
        rows.into_iter().map(Row::record).collect()
    }

    /// Adds a token without a lease. For the first one, which is made before any scheduler runs; nothing depends on it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_token(&self, new: &Token) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        insert(&mut session.conn(), new).await?;
        session.commit().await
    }

    /// Revokes a token without a lease, at once.
    ///
    /// # Errors
    /// See [`StoreError`]; a conflict when there is no such token.
    pub async fn revoke_token(&self, id: Uuid, at: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        revoke(&mut session.conn(), id, at).await?;
        session.commit().await
    }

    /// Notes that a token was used. To be called now and then, not with every request: it is a write.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token_used(&self, id: Uuid, at: Instant) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting a token's use",
            "UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
            at,
            id,
        )?;
        session.commit().await
    }
}

pub(super) async fn insert(conn: &mut Conn<'_>, new: &Token) -> StoreResult<()> {
    let (role, subject) = match &new.role {
        Role::Operator => ("operator", None),
        Role::Owner(owner) => ("owner", Some(OwnerId::as_str(owner))),
        Role::Agent(host) => ("agent", Some(HostName::as_str(host))),
    };
    execute!(
        conn,
        "adding a token",
        "INSERT INTO tokens (hash, id, name, role, subject, created_at, last_used_at, revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.hash.as_str(),
        new.id,
        new.name.as_str(),
        role,
        subject,
        new.created_at,
        new.last_used_at,
        new.revoked_at,
    )
    .map_err(|error| error.on_insert(TABLE, new.id))?;
    Ok(())
}

/// Revoking what is revoked changes nothing.
pub(super) async fn revoke(conn: &mut Conn<'_>, id: Uuid, at: Instant) -> StoreResult<()> {
    let found = execute!(
        conn,
        "revoking a token",
        "UPDATE tokens SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2",
        at,
        id,
    )?;
    if found == 1 { Ok(()) } else { Err(StoreError::conflict(TABLE, id)) }
}
