//! Drills: pretended maintenance events.

use drover_policies::drills::{DrillWish, Known, Refusal, USUAL, WITHIN};
use drover_policies::events::Happened;
use drover_policies::ids::MigrationId;
use drover_policies::migration::Migration;

use super::hosts::reason;
use super::migrations::event;
use super::{Decided, Reply, Wish, find_server, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{DrillBody, ScheduledEventView};
use crate::store::{Batch, Counter, MigrationFilter, Only, Purposes, Write};
use crate::upcoming::Telling;

/// Why, where nobody says so.
const USUAL_REASON: &str = "a drill, to try what happens in a maintenance";

/// More open migrations than one server ever has.
const ALL_OF_A_SERVER: u32 = 10;

impl Wish {
    /// Begins a drill: its owner is told by the next decision.
    ///
    /// # Errors
    /// There is no such server, or a rule is broken.
    pub async fn drill(&self, body: &DrillBody) -> Result<Reply, Problem> {
        let why = body.reason.as_deref().map(|why| reason("reason", why)).transpose()?;
        self.carry_out(|| async {
            let store = &self.app.store;
            let fleet = self.app.fleet();
            let server = find_server(&fleet, &self.caller, &body.server)?;
            let mut batch = Batch::new(self.app.clock.now());
            let wish = DrillWish {
                by: self.caller.actor(),
                starts_in: body.starts_in,
                duration: body.duration.unwrap_or(USUAL),
                reason: why.clone().unwrap_or_else(|| USUAL_REASON.to_owned()),
                now: batch.at,
            };
            let filter = MigrationFilter {
                server: Some(server.facts.id),
                only: Only::Open,
                purposes: Purposes::All,
                ..MigrationFilter::default()
            };
            let open = store.migrations_page(&filter, None, ALL_OF_A_SERVER).await;
            let open: Vec<Migration> = open
                .map_err(|error| store_problem(&error))?
                .items
                .into_iter()
                .map(|read| read.value)
                .collect();
            let since = batch.at - WITHIN.delta();
            let had = store.drills_since(server.facts.owner.as_ref(), since).await;
            let had = had.map_err(|error| store_problem(&error))?;
            wish.check(&Known { open: &open, had }).map_err(|refusal| refused(&refusal))?;
            // Two at the same moment get the same number: the second one is refused by the database and decided anew.
            let number =
                store.next_number(Counter::Migration).await.map_err(|error| store_problem(&error))?;
            let drill = wish.drill(MigrationId::draw(self.app.ids.as_ref()), number, server);
            if let Some(slot) = drill.appointment.slot() {
                let by = self.caller.actor();
                batch.events.push(event(&drill, batch.at, Happened::DrillAskedFor { slot, by }));
            }
            let view = self.told(&drill).await?;
            batch.migrations.push(Write::Insert(drill.clone()));
            Ok(Decided::new(batch, Reply::created(format!("/v1/scheduled-events/{}", drill.id), &view)?))
        })
        .await
    }

    async fn told(&self, drill: &Migration) -> Result<ScheduledEventView, Problem> {
        let telling = Telling::of(&self.app, [drill]).await.map_err(|error| store_problem(&error))?;
        Ok(ScheduledEventView::of(telling.tell(drill), self.caller.eyes()))
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let text = refusal.to_string();
    match refusal {
        Refusal::TooFar { .. } => Problem::field("starts_in", text),
        Refusal::Length { .. } => Problem::field("duration", text),
        Refusal::TooMany { .. } | Refusal::Another { .. } | Refusal::ForReal { .. } => {
            Problem::new(Kind::Refused, text)
        }
    }
    .with("refusal", refusal)
}
