//! Accounts: how they are reached, and when they allow reboot migrations.

use drover_policies::ids::{OwnerId, WindowId};
use drover_policies::notices::Contact;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::db::{Conn, execute, fetch_all, fetch_optional};
use super::records::{StoredWindow, from_json, to_json};
use super::{Store, StoreResult};

const WINDOW: &str = "window";
const OWNER: &str = "owner";

type WindowRow = (Uuid, String, Instant);

fn window((id, body, created_at): WindowRow) -> StoreResult<StoredWindow> {
    Ok(StoredWindow { id: WindowId(id), window: from_json(WINDOW, &id, &body)?, created_at })
}

impl Store {
    /// The windows of one account, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn windows_of(&self, owner: &OwnerId) -> StoreResult<Vec<StoredWindow>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading an owner's windows",
            WindowRow,
            "SELECT id, body, created_at FROM windows WHERE owner = $1 ORDER BY created_at, id",
            owner.as_str(),
        )?;
        rows.into_iter().map(window).collect()
    }

    /// Every account's windows, by account, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn windows(&self) -> StoreResult<Vec<StoredWindow>> {
        windows(&mut self.db.read().await?.conn()).await
    }

    /// How an account is reached.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn owner(&self, owner: &OwnerId) -> StoreResult<Option<Contact>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading an owner",
            (String,),
            "SELECT body FROM owners WHERE id = $1",
            owner.as_str(),
        )?;
        row.map(|(body,)| from_json(OWNER, owner, &body)).transpose()
    }

    /// Every account of which it is known how it is reached.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn owners(&self) -> StoreResult<Vec<Contact>> {
        let rows = fetch_all!(
            &mut self.db.read().await?.conn(),
            "reading the owners",
            (String, String),
            "SELECT id, body FROM owners ORDER BY id",
        )?;
        rows.into_iter().map(|(id, body)| from_json(OWNER, &id, &body)).collect()
    }
}

pub(super) async fn windows(conn: &mut Conn<'_>) -> StoreResult<Vec<StoredWindow>> {
    let rows = fetch_all!(
        conn,
        "reading the windows",
        WindowRow,
        "SELECT id, body, created_at FROM windows ORDER BY owner, created_at, id",
    )?;
    rows.into_iter().map(window).collect()
}

/// A window keeps the account and the moment with which it was stored first.
pub(super) async fn put_window(conn: &mut Conn<'_>, new: &StoredWindow) -> StoreResult<()> {
    let owner = new.window.owner.as_str();
    let stored = execute!(
        conn,
        "storing a window",
        "INSERT INTO windows (id, owner, body, generation, created_at) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, generation = windows.generation + 1
         WHERE windows.owner = excluded.owner",
        new.id.0,
        owner,
        to_json(WINDOW, &new.window)?,
        new.created_at,
    )?;
    if stored == 1 { Ok(()) } else { Err(super::StoreError::conflict(WINDOW, new.id)) }
}

/// Removing what is not there changes nothing.
pub(super) async fn remove_window(conn: &mut Conn<'_>, id: WindowId) -> StoreResult<()> {
    execute!(conn, "removing a window", "DELETE FROM windows WHERE id = $1", id.0)?;
    Ok(())
}

pub(super) async fn put(conn: &mut Conn<'_>, new: &Contact) -> StoreResult<()> {
    execute!(
        conn,
        "storing an owner",
        "INSERT INTO owners (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        new.owner.as_str(),
        to_json(OWNER, new)?,
    )?;
    Ok(())
}
