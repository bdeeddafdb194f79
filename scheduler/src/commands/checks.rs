//! What owners want their servers to be looked at for after a move.

use drover_policies::checks::{BadCheck, Check, MOST_CHECKS};
use drover_policies::ids::CheckId;
use drover_policies::owners::OwnerCheck;

use super::{Decided, Reply, Wish, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{CheckBody, CheckView};
use crate::store::{Batch, StoredCheck};

impl Wish {
    /// Adds a check, or replaces the one of that id.
    ///
    /// # Errors
    /// The id is another owner's, something about the check is wrong, or there are too many.
    pub async fn put_check(&self, given: &str, body: &CheckBody) -> Result<Reply, Problem> {
        let id: CheckId = given.parse().map_err(|_| {
            let detail = format!("{given:?} is no id of a check; a new one's is a UUID of your choice");
            Problem::parameter("check", detail)
        })?;
        self.carry_out(|| async {
            let (owner, scope) = self.scoped(body.owner.as_deref(), &body.scope)?;
            let check = Check::try_from(body.written()?).map_err(|bad| wrong(&bad))?;
            let now = self.app.clock.now();
            let all = self.app.store.checks(None).await.map_err(|error| store_problem(&error))?;
            let known = all.iter().find(|known| known.id == id);
            if known.is_some_and(|known| known.check.owner != owner) {
                return Err(Problem::new(Kind::Refused, "this id can't be used; choose another UUID"));
            }
            let before = known.map(|known| Reply::ok(&CheckView::from(known))).transpose()?;
            self.check_etag(before.map(|reply| reply.body))?;
            let others: Vec<&StoredCheck> =
                all.iter().filter(|other| other.check.owner == owner && other.id != id).collect();
            let same = |other: &&&StoredCheck| {
                other.check.scope == scope && other.check.check.name == check.name
            };
            if let Some(other) = others.iter().find(same) {
                let text = format!(
                    "field name: check {} of this name is for {scope} already; change that one, or choose another name",
                    other.id
                );
                return Err(Problem::field("name", text));
            }
            if known.is_none() && others.len() >= MOST_CHECKS {
                let text = format!("an account has at most {MOST_CHECKS} checks; remove some first");
                return Err(Problem::new(Kind::Refused, text));
            }
            let check = OwnerCheck { owner, scope, check };
            let stored = StoredCheck { id, check, created_at: known.map_or(now, |known| known.created_at) };
            let view = CheckView::from(&stored);
            let location = format!("/v1/checks/{id}");
            let reply = if known.is_none() { Reply::created(location, &view)? } else { Reply::ok(&view)? };
            Ok(Decided::new(Batch { checks_put: vec![stored], ..Batch::new(now) }, reply))
        })
        .await
    }

    /// Removes a check.
    ///
    /// # Errors
    /// There is none of that id, or it is another owner's.
    pub async fn remove_check(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let missing = || Problem::not_found("check", given);
            let id: CheckId = given.parse().map_err(|_| missing())?;
            let all = self.app.store.checks(None).await.map_err(|error| store_problem(&error))?;
            all.iter()
                .find(|known| known.id == id && self.caller.may_see(Some(&known.check.owner)))
                .ok_or_else(missing)?;
            let batch = Batch { checks_removed: vec![id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }
}

fn wrong(bad: &BadCheck) -> Problem {
    Problem::field(bad.field, format!("field {bad}"))
}
