//! Moving a server by a reboot at once, because its owner wishes so.

use drover_policies::appointment::Appointment;
use drover_policies::attempt::Method;
use drover_policies::eligibility::{Suits, WhyBlocked, WhyNotLive, method_without_live, obstacles};
use drover_policies::events::{Happened, Through};
use drover_policies::fleet::Server;
use drover_policies::ids::MigrationId;
use drover_policies::migration::{Migration, Purpose, State, Waiting};
use drover_policies::policy::Subject;

use super::hosts::reason;
use super::migrations::event;
use super::{Decided, Reply, Wish, find_server, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{Eyes, MigrationView, Reason};
use crate::store::{Batch, Counter, Versioned, Write};

impl Wish {
    /// Starts a server's reboot migration now: the open one's appointment, or a new one that belongs to no maintenance.
    ///
    /// # Errors
    /// There is no such server, it is being moved already, or something stands in the way.
    pub async fn migrate_now(&self, given: &str, why: Option<&str>) -> Result<Reply, Problem> {
        let why = why.map(|why| reason("reason", why)).transpose()?;
        self.carry_out(|| async {
            let fleet = self.app.fleet();
            let server = find_server(&fleet, &self.caller, given)?;
            self.not_blocked(server)?;
            let mut batch = Batch::new(self.app.clock.now());
            let open = self.app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
            let known = open.into_iter().find(|migration| migration.value.server == server.facts.id);
            let (write, migration) = match known {
                Some(known) => self.start_known(known, &mut batch)?,
                None => {
                    let new = self.new_migration(server, why.clone(), &mut batch).await?;
                    (Write::Insert(new.clone()), new)
                }
            };
            let by = self.caller.actor();
            batch.events.push(event(&migration, batch.at, Happened::StartNow { by, through: Through::Himself }));
            batch.migrations.push(write);
            let view = MigrationView::of(&migration, None, self.caller.eyes());
            Ok(Decided::new(batch, Reply::created(format!("/v1/migrations/{}", migration.id), &view)?))
        })
        .await
    }

    fn not_blocked(&self, server: &Server) -> Result<(), Problem> {
        match method_without_live(&server.facts, WhyNotLive::OwnerAskedForReboot) {
            Suits::Live | Suits::Reboot(_) => Ok(()),
            Suits::Nothing(why) => {
                let mut all = obstacles(&server.facts);
                if all.is_empty() {
                    all.push(why);
                }
                let told: Vec<Reason> = all.iter().map(|why| blocked(why, self.caller.eyes())).collect();
                let detail = match self.caller.eyes() {
                    Eyes::Operator => all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                    Eyes::Owner => {
                        "something stands in the way of moving this server; an operator has to clear it first"
                            .to_owned()
                    }
                };
                Err(Problem::new(Kind::Refused, detail).with("obstacles", told))
            }
        }
    }

    fn start_known(
        &self,
        known: Versioned<Migration>,
        batch: &mut Batch,
    ) -> Result<(Write<Migration>, Migration), Problem> {
        let Versioned { value: mut migration, generation } = known;
        let by = self.caller.actor();
        let refuse = |text: String| Err(Problem::new(Kind::Refused, text));
        match &migration.state {
            State::Ready { .. } => {}
            // It has not begun: the owner may have it by a reboot now rather than live in its turn.
            State::Pending { .. } => {
                migration.method = Method::Reboot;
                migration.why_not_live = Some(WhyNotLive::OwnerAskedForReboot);
                migration.state = State::Pending { waits_for: Waiting::Nothing };
                let why = WhyNotLive::OwnerAskedForReboot;
                batch.events.push(event(&migration, batch.at, Happened::FellBack { why }));
            }
            State::RolledBack { .. } => {
                return refuse("its last migration was just rolled back, and another time is being found; ask again in a moment".to_owned());
            }
            State::Failed { .. } => {
                return refuse(format!(
                    "{} failed and waits for an operator, who may retry it",
                    migration.ticket_number()
                ));
            }
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => return refuse("it is being moved already".to_owned()),
        }
        migration.appointment = migration
            .appointment
            .start_now(by, batch.at)
            .map_err(|refusal| Problem::new(Kind::Appointment, refusal.to_string()))?;
        Ok((Write::Update(migration.clone(), generation), migration))
    }

    async fn new_migration(
        &self,
        server: &Server,
        why: Option<String>,
        batch: &mut Batch,
    ) -> Result<Migration, Problem> {
        let fleet = self.app.fleet();
        let policy = self.app.policies.effective(&Subject::of(server, &fleet)).policy;
        let number =
            self.app.store.next_number(Counter::Migration).await.map_err(|error| store_problem(&error))?;
        let by = self.caller.actor();
        let migration = Migration {
            id: MigrationId::draw(self.app.ids.as_ref()),
            number,
            maintenance: None,
            purpose: Purpose::Move,
            reason: why.unwrap_or_else(|| match self.caller.eyes() {
                Eyes::Operator => "asked for by an operator".to_owned(),
                Eyes::Owner => "asked for by its owner".to_owned(),
            }),
            server: server.facts.id,
            server_name: server.facts.name.clone(),
            owner: server.facts.owner.clone(),
            from: server.host.clone(),
            place: None,
            place_why: String::new(),
            method: Method::Reboot,
            why_not_live: Some(WhyNotLive::OwnerAskedForReboot),
            state: State::Pending { waits_for: Waiting::Nothing },
            attempts: Vec::new(),
            appointment: Appointment::StartNow { at: batch.at, by },
            agreed_at: None,
            declined: Vec::new(),
            ticket: None,
            deadline: batch.at + policy.maintenance.deadline.delta(),
            opened_at: batch.at,
        };
        let planned = Happened::Planned {
            method: Method::Reboot,
            to: None,
            why_not_live: Some(WhyNotLive::OwnerAskedForReboot),
        };
        batch.events.push(event(&migration, batch.at, planned));
        Ok(migration)
    }
}

/// What blocks a server, in words for these eyes: paths and devices of a host are not an owner's to see.
pub(crate) fn blocked(why: &WhyBlocked, eyes: Eyes) -> Reason {
    match eyes {
        Eyes::Operator => Reason::new(why.code(), why),
        Eyes::Owner => Reason::new(why.code(), "an operator has to clear the way first"),
    }
}
