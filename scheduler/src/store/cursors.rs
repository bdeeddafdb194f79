//! How far channels have been read from which replies come, and whose those are.

use drover_policies::channels::ChannelName;
use drover_policies::ids::TicketId;
use uuid::Uuid;

use super::db::{execute, fetch_optional};
use super::records::to_u64;
use super::{Store, StoreResult};

impl Store {
    /// How far a channel has been read, in its own count; nothing when it never was.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn read_to(&self, channel: &ChannelName) -> StoreResult<Option<u64>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading how far a channel was read",
            (i64,),
            "SELECT read_to FROM channel_cursors WHERE channel = $1",
            channel.to_string(),
        )?;
        Ok(row.map(|(read_to,)| to_u64(read_to)))
    }

    /// Notes how far a channel has been read. It never goes back: a late second reader changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn note_read_to(&self, channel: &ChannelName, read_to: u64) -> StoreResult<()> {
        let mut session = self.db.write().await?;
        execute!(
            &mut session.conn(),
            "noting how far a channel was read",
            "INSERT INTO channel_cursors (channel, read_to) VALUES ($1, $2)
             ON CONFLICT (channel) DO UPDATE SET read_to = excluded.read_to
             WHERE channel_cursors.read_to < excluded.read_to",
            channel.to_string(),
            i64::try_from(read_to).unwrap_or(i64::MAX),
        )?;
        session.commit().await
    }

    /// The ticket that has this name on a channel.
    ///
    /// # Errors
    /// See [`StoreError`](super::StoreError).
    pub async fn ticket_called(
        &self,
        channel: &ChannelName,
        external: &str,
    ) -> StoreResult<Option<TicketId>> {
        let row = fetch_optional!(
            &mut self.db.read().await?.conn(),
            "reading which ticket has a name on a channel",
            (Uuid,),
            "SELECT ticket FROM channel_tickets WHERE channel = $1 AND external = $2 ORDER BY ticket LIMIT 1",
            channel.to_string(),
            external,
        )?;
        Ok(row.map(|(ticket,)| TicketId(ticket)))
    }
}
