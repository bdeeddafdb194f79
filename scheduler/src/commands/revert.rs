//! What comes after a reboot migration: taking it back before it begins, saying that all is well, and going back.

use drover_policies::conduct::{self, Back};
use drover_policies::migration::{Loss, Migration};
use drover_policies::time::Instant;

use super::find::with_time;
use super::migrations::{just_ended, policy_of, refused};
use super::{Decided, Reply, Wish, find_migration, store_problem};
use crate::execute;
use crate::http::problem::{Kind, Problem};
use crate::http::views::MigrationView;
use crate::situation::Loaded;

impl Wish {
    /// Takes back what was asked for, before it has begun.
    ///
    /// # Errors
    /// There is no such migration, a maintenance needs it, somebody else asked for it, or it has begun.
    pub async fn cancel(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let found = with_time(&self.app, find_migration(&self.app, &self.caller, given).await?).await?;
            self.envelope.if_match.check(found.generation)?;
            let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
            let by = self.caller.actor();
            let changes = conduct::cancel(loaded.situation(&self.app), found.value.id, &by)
                .map_err(|refusal| refused(&refusal))?
                .ok_or_else(|| {
                    let detail =
                        format!("it is {}; there is nothing left to cancel", found.value.state.name());
                    Problem::new(Kind::Refused, detail).with("rule", "not_cancelled")
                })?;
            let after = changes.migrations.iter().find(|known| known.id == found.value.id).cloned();
            let view = MigrationView::of(after.as_ref().unwrap_or(&found.value), None, self.caller.eyes());
            let batch =
                execute::batch(&self.app, &loaded, changes).await.map_err(|error| store_problem(&error))?;
            Ok(Decided::new(batch, Reply::ok(&view)?))
        })
        .await
    }

    /// Takes a server back to where it was before a migration, now or at a time.
    ///
    /// # Errors
    /// There is no such migration, it can't be reverted any more, its old host can't take it, or the time can't be had.
    pub async fn revert(&self, given: &str, at: Option<Instant>, loss: Loss) -> Result<Reply, Problem> {
        let _promising = self.app.promise_times().await;
        self.carry_out(|| async {
            let found = find_migration(&self.app, &self.caller, given).await?;
            self.envelope.if_match.check(found.generation)?;
            let original = found.value;
            let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
            let back = Back { migration: original.id, by: self.caller.actor(), at, loss };
            let opened = conduct::revert(loaded.situation(&self.app), &back)
                .map_err(|refusal| self.not_granted(&refusal))?
                .ok_or_else(|| self.over(&original, loaded.now))?;
            // Last: what is wrong about the wish itself is said before what stands in its way.
            self.not_blocked_by_id(&self.app, original.server, loss)?;
            let batch = execute::batch(&self.app, &loaded, opened.changes)
                .await
                .map_err(|error| store_problem(&error))?;
            self.made(batch, &opened.migration)
        })
        .await
    }

    /// Why one that is over can't be reverted.
    fn over(&self, original: &Migration, now: Instant) -> Problem {
        let within = policy_of(&self.app, original).owners.confirm_within;
        let why = original.revertible(within, now).err();
        why.map_or_else(just_ended, |why| refused(&why))
    }
}
