//! Moving a server by a reboot, because somebody wishes so: now, or at a time that he chooses.

use drover_policies::attempt::{Method, Phase};
use drover_policies::conduct::{self, Request};
use drover_policies::eligibility::{Suits, WhyBlocked, WhyNotLive, suits};
use drover_policies::events::{Happened, Through};
use drover_policies::fleet::Server;
use drover_policies::ids::ServerId;
use drover_policies::migration::{Loss, Migration, Purpose, State, Waiting};
use drover_policies::notices::Actor;
use drover_policies::policy::Subject;
use drover_policies::self_service::{COUNTED, Earlier};
use drover_policies::time::Instant;

use super::hosts::reason;
use super::migrations::{MigrationWish, appointment_refused, event, refused};
use super::{Decided, Reply, Wish, find_server, store_problem};
use crate::app::App;
use crate::execute;
use crate::http::explain::all_obstacles;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{Eyes, MigrationView, Reason};
use crate::situation::Loaded;
use crate::store::{Batch, Versioned, Write};

impl Wish {
    /// Moves a server by a reboot, now or at a time: the open migration is given that time, or a new one is opened that belongs to no maintenance.
    ///
    /// # Errors
    /// There is no such server, it is being moved already, something stands in the way, or it is asked for too often.
    pub async fn migrate(
        &self,
        given: &str,
        at: Option<Instant>,
        why: Option<&str>,
    ) -> Result<Reply, Problem> {
        let why = why.map(|why| reason("reason", why)).transpose()?;
        if let Some(start) = at
            && let Some(open) = self.open_of(find_server(&self.app.fleet(), &self.caller, given)?).await?
        {
            // Its ticket has a time already; another one is chosen by the same rules as ever.
            return self.migration(&open.value.number.to_string(), MigrationWish::Reschedule { start }).await;
        }
        let _promising = self.app.promise_times().await;
        self.carry_out(|| async {
            let fleet = self.app.fleet();
            let server = find_server(&fleet, &self.caller, given)?;
            self.not_blocked(server, Loss::None)?;
            match self.open_of(server).await? {
                Some(open) if at.is_none() => self.begin_open(open),
                // One that was opened in this very moment is refused by what is asked next.
                Some(_) | None => self.open_new(server, at, why.clone()).await,
            }
        })
        .await
    }

    async fn open_of(&self, server: &Server) -> Result<Option<Versioned<Migration>>, Problem> {
        let open = self.app.store.migrations_open_of([server.facts.id]).await;
        Ok(open.map_err(|error| store_problem(&error))?.into_iter().next())
    }

    fn begin_open(&self, open: Versioned<Migration>) -> Result<Decided, Problem> {
        let mut batch = Batch::new(self.app.clock.now());
        let (write, migration) = self.start_known(open, &mut batch)?;
        let by = self.caller.actor();
        batch.events.push(event(&migration, batch.at, Happened::StartNow { by, through: Through::Himself }));
        batch.migrations.push(write);
        self.made(batch, &migration)
    }

    async fn open_new(
        &self,
        server: &Server,
        at: Option<Instant>,
        why: Option<String>,
    ) -> Result<Decided, Problem> {
        let loaded = Loaded::read(&self.app).await.map_err(|error| store_problem(&error))?;
        let request = Request {
            server: server.facts.id,
            by: self.caller.actor(),
            at,
            reason: why.unwrap_or_else(|| match self.caller.eyes() {
                Eyes::Operator => "asked for by an operator".to_owned(),
                Eyes::Owner => "asked for by its owner".to_owned(),
            }),
            earlier: self.earlier(&loaded).await?,
        };
        let opened = conduct::ask(loaded.situation(&self.app), &request)
            .map_err(|refusal| self.not_granted(&refusal))?;
        let batch = execute::batch(&self.app, &loaded, opened.changes)
            .await
            .map_err(|error| store_problem(&error))?;
        self.made(batch, &opened.migration)
    }

    /// What this owner has asked for himself lately. What operators ask for, and reverts, are not counted.
    async fn earlier(&self, loaded: &Loaded) -> Result<Vec<Earlier>, Problem> {
        let Some(owner) = self.caller.owner() else { return Ok(Vec::new()) };
        let since = loaded.now - COUNTED.delta();
        let opened = self.app.store.migrations_opened_since(owner, since).await;
        let opened = opened.map_err(|error| store_problem(&error))?;
        Ok(opened
            .iter()
            .filter(|migration| match &migration.purpose {
                Purpose::Asked { asked } => matches!(asked.by, Actor::Owner { .. }),
                Purpose::Move | Purpose::Revert { .. } | Purpose::Drill { .. } => false,
            })
            .map(|migration| Earlier { server: migration.server, at: migration.opened_at })
            .collect())
    }

    pub(super) fn made(&self, batch: Batch, migration: &Migration) -> Result<Decided, Problem> {
        let view = MigrationView::of(migration, None, self.caller.eyes());
        Ok(Decided::new(batch, Reply::created(format!("/v1/migrations/{}", migration.id), &view)?))
    }

    /// Why it is not done; the figures in it also as members, for programs.
    pub(super) fn not_granted(&self, refusal: &conduct::AskedRefusal) -> Problem {
        use conduct::AskedRefusal;
        let detail = match self.caller.eyes() {
            Eyes::Operator => refusal.to_string(),
            Eyes::Owner => refusal.for_owner(),
        };
        match refusal {
            AskedRefusal::Time(refusal) => appointment_refused(refusal),
            AskedRefusal::TooOften(limit) => {
                let problem = match limit.next() {
                    Some(next) => Problem::too_often(detail, next, self.app.clock.now()),
                    None => Problem::new(Kind::Refused, detail),
                };
                problem.with("rule", refusal.code())
            }
            AskedRefusal::UnderWay { number } => Problem::new(Kind::Refused, detail)
                .with("rule", refusal.code())
                .with("migration", format!("DR-{number}")),
            AskedRefusal::State(refusal) => refused(refusal),
            AskedRefusal::NotSeen
            | AskedRefusal::MovedSince
            | AskedRefusal::NoPlace { .. }
            | AskedRefusal::NotCopiedBack { .. }
            | AskedRefusal::NothingToLose
            | AskedRefusal::TooOld { .. }
            | AskedRefusal::NotThere { .. } => {
                Problem::new(Kind::Refused, detail).with("rule", refusal.code())
            }
        }
    }

    /// Whether nothing on a server stands in the way, for a wish that begins with a migration.
    pub(super) fn not_blocked_by_id(&self, app: &App, server: ServerId, loss: Loss) -> Result<(), Problem> {
        match app.fleet().server(server) {
            Some(server) => self.not_blocked(server, loss),
            // That it is not seen is said by what is decided next.
            None => Ok(()),
        }
    }

    fn not_blocked(&self, server: &Server, loss: Loss) -> Result<(), Problem> {
        let fleet = self.app.fleet();
        let policy = &self.app.policies.effective(&Subject::of(server, &fleet)).policy;
        match suits(server, &fleet, Some(WhyNotLive::OwnerAskedForReboot), policy) {
            Suits::Live | Suits::Reboot(_) => Ok(()),
            // Nothing is copied of one that goes back to its old disks as they were.
            Suits::Nothing(WhyBlocked::NotReplicating { .. }) if loss == Loss::Accepted => Ok(()),
            blocks @ Suits::Nothing(_) => {
                let all = all_obstacles(server, blocks);
                let told: Vec<Reason> = all.iter().map(|why| blocked(why, self.caller.eyes())).collect();
                let detail = match self.caller.eyes() {
                    Eyes::Operator => all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                    Eyes::Owner => {
                        "something stands in the way of moving this server; an operator has to clear it first"
                            .to_owned()
                    }
                };
                Err(Problem::new(Kind::Refused, detail).with("rule", "obstacles").with("obstacles", told))
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
            // What waits for its time at its agent is begun there.
            State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { phase: Phase::Armed, .. } => {}
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
        migration.appointment =
            migration.appointment.start_now(by, batch.at).map_err(|refusal| appointment_refused(&refusal))?;
        Ok((Write::Update(migration.clone(), generation), migration))
    }
}

/// What blocks a server, in words for these eyes: paths and devices of a host are not an owner's to see.
pub(crate) fn blocked(why: &WhyBlocked, eyes: Eyes) -> Reason {
    match eyes {
        Eyes::Operator => Reason::new(why.code(), why),
        Eyes::Owner => Reason::new(why.code(), "an operator has to clear the way first"),
    }
}
