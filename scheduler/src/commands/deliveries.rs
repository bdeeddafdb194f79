//! Having what was given up tried again.

use drover_policies::channels::ChannelName;

use super::{Decided, Reply, Wish, store_problem};
use crate::auth::Caller;
use crate::http::problem::Problem;
use crate::http::views::Replayed;
use crate::store::{Batch, Channels, DeadLetterFilter};

/// All that a caller may see: an owner those of his webhooks.
#[must_use]
pub fn letters_of(caller: &Caller) -> DeadLetterFilter {
    match caller.owner() {
        None => DeadLetterFilter::default(),
        Some(owner) => DeadLetterFilter {
            owner: Some(owner.clone()),
            channels: Channels::Owners,
            ..DeadLetterFilter::default()
        },
    }
}

impl Wish {
    /// Has one dead letter tried again.
    ///
    /// # Errors
    /// There is no such one; also when it was replayed already.
    pub async fn replay_letter(&self, given: &str) -> Result<Reply, Problem> {
        let missing = || Problem::not_found("dead letter", given);
        let id = given.parse().map_err(|_| missing())?;
        let filter = DeadLetterFilter { id: Some(id), ..letters_of(&self.caller) };
        self.replay(filter, missing).await
    }

    /// Has all dead letters of a channel tried again.
    ///
    /// # Errors
    /// It is no channel, or it has no dead letter.
    pub async fn replay_channel(&self, given: &str) -> Result<Reply, Problem> {
        let channel: ChannelName =
            given.parse().map_err(|bad| Problem::field("channel", format!("field channel: {bad}")))?;
        let filter = DeadLetterFilter { channel: Some(channel), ..letters_of(&self.caller) };
        self.replay(filter, || Problem::not_found("dead letter of channel", given)).await
    }

    async fn replay(
        &self,
        filter: DeadLetterFilter,
        missing: impl Fn() -> Problem,
    ) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let replayed =
                self.app.store.dead_letters(&filter).await.map_err(|error| store_problem(&error))?;
            if replayed == 0 {
                return Err(missing());
            }
            let batch = Batch { replays: vec![filter.clone()], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::ok(&Replayed { replayed })?))
        })
        .await
    }
}
