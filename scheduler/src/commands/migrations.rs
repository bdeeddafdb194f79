//! What may be wished of one migration: by its owner about its time, by operators about everything.

use drover_policies::appointment::{self, Appointment};
use drover_policies::conduct::{self, NewWish};
use drover_policies::events::{Event, Happened, Through};
use drover_policies::ids::{NoticeId, OperationId};
use drover_policies::migration::{self, Confirmed, Forced, Migration, State, Waiting};
use drover_policies::notices::{Notice, Tells};
use drover_policies::policy::{Policy, Subject};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use super::{Decided, Reply, Wish, find_migration, store_problem, with_time};
use crate::app::App;
use crate::execute;
use crate::http::problem::{Kind, Problem};
use crate::http::views::MigrationView;
use crate::orders;
use crate::situation::Loaded;
use crate::store::{self, Batch, Versioned, Write};

/// What may be wished of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationWish {
    /// Stop it, and leave the server where it is.
    Abort,
    /// Begin a failed one anew.
    Retry,
    /// End a wait that needs nobody's consent, or bring a live migration to its end.
    Force,
    /// Agree to the proposed time.
    Approve,
    /// Not at the proposed time.
    Decline,
    /// At another time.
    Reschedule {
        /// When it shall begin.
        start: Instant,
    },
    /// Now.
    StartNow,
    /// Now, says the owner through the server's guest: it has acknowledged the event.
    Acknowledged {
        /// The beginning that the guest was shown.
        start: Instant,
    },
    /// All is well with what was moved.
    Confirm,
}

impl MigrationWish {
    /// Whether it is about the time of what is still to come.
    fn is_about_time(self) -> bool {
        match self {
            Self::Approve
            | Self::Decline
            | Self::Reschedule { .. }
            | Self::StartNow
            | Self::Acknowledged { .. } => true,
            Self::Abort | Self::Retry | Self::Force | Self::Confirm => false,
        }
    }
}

/// A wish while it is being decided.
struct Change<'a> {
    wish: &'a Wish,
    before: Migration,
    after: Migration,
    batch: Batch,
}

impl Wish {
    /// Changes how a migration goes on.
    ///
    /// # Errors
    /// It is unknown, has changed since it was read, or its state does not allow it.
    pub async fn migration(&self, given: &str, wished: MigrationWish) -> Result<Reply, Problem> {
        let _promising = self.promising(wished).await;
        self.carry_out(|| self.decide_migration(given, wished)).await
    }

    /// Held while a time is chosen that must not be promised twice.
    pub(crate) async fn promising(&self, wished: MigrationWish) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match wished {
            MigrationWish::Reschedule { .. } | MigrationWish::Decline => Some(self.app.promise_times().await),
            MigrationWish::Abort
            | MigrationWish::Retry
            | MigrationWish::Force
            | MigrationWish::Approve
            | MigrationWish::StartNow
            | MigrationWish::Acknowledged { .. }
            | MigrationWish::Confirm => None,
        }
    }

    /// What a wish comes to; nothing is written yet.
    pub(crate) async fn decide_migration(
        &self,
        given: &str,
        wished: MigrationWish,
    ) -> Result<Decided, Problem> {
        let mut found = find_migration(&self.app, &self.caller, given).await?;
        if wished.is_about_time() {
            found = with_time(&self.app, found).await?;
        }
        let Versioned { value: before, generation } = found;
        self.envelope.if_match.check(generation)?;
        let batch = Batch::new(self.app.clock.now());
        let mut change = Change { wish: self, after: before.clone(), before, batch };
        match wished {
            MigrationWish::Abort => change.abort().await?,
            MigrationWish::Retry => change.retry()?,
            MigrationWish::Force => change.force().await?,
            MigrationWish::Approve => change.approve()?,
            MigrationWish::Decline => change.decline().await?,
            MigrationWish::Reschedule { start } => change.reschedule(start).await?,
            MigrationWish::StartNow => change.start_now(Through::Himself)?,
            MigrationWish::Acknowledged { start } => change.acknowledge(start)?,
            MigrationWish::Confirm => change.confirm()?,
        }
        let Change { before, after, mut batch, .. } = change;
        let progress = after.state.operation().and_then(|operation| self.app.progress(operation));
        let view = MigrationView::of(&after, progress.as_ref(), self.caller.eyes());
        if after != before {
            batch.migrations.push(Write::Update(after, generation));
        }
        Ok(Decided::new(batch, Reply::ok(&view)?))
    }
}

/// The policy in force for a migration's server.
pub(crate) fn policy_of(app: &App, migration: &Migration) -> Policy {
    let fleet = app.fleet();
    match fleet.server(migration.server) {
        Some(server) => app.policies.effective(&Subject::of(server, &fleet)).policy,
        None => app.policies.general().clone(),
    }
}

/// A refusal about its state; the rule also as a member, for programs.
pub(super) fn refused(refusal: &migration::Refusal) -> Problem {
    let problem = Problem::new(Kind::Refused, refusal.to_string()).with("rule", refusal.code());
    match refusal {
        migration::Refusal::TooLate { until } => problem.with("until", until),
        migration::Refusal::BeingReverted { by } | migration::Refusal::WasReverted { by } => {
            problem.with("by", format!("DR-{by}"))
        }
        _ => problem,
    }
}

/// It came to its end while the wish was on its way.
pub(super) fn just_ended() -> Problem {
    Problem::new(Kind::Refused, "it has just come to its end; look again").with("rule", "just_ended")
}

/// A refusal about a time; the figures in it also as members, for programs.
pub(super) fn appointment_refused(refusal: &appointment::Refusal) -> Problem {
    use appointment::Refusal;
    let problem = Problem::new(Kind::Appointment, refusal.to_string());
    match refusal {
        Refusal::AlreadyBegun => problem.with("rule", "already_begun"),
        Refusal::NothingProposed | Refusal::NothingToDecline => problem.with("rule", "nothing_proposed"),
        Refusal::TooClose { start, .. } | Refusal::TooCloseToDecline { start, .. } => {
            problem.with("rule", "too_close").with("start", start)
        }
        Refusal::TooSoon { earliest, .. } => problem.with("rule", "too_soon").with("earliest", earliest),
        Refusal::AfterDeadline { latest, deadline, .. } => {
            problem.with("rule", "after_deadline").with("latest", latest).with("deadline", deadline)
        }
        Refusal::Excluded { name, free, .. } => {
            problem.with("rule", "excluded").with("exclusion", name).with("free", free)
        }
        Refusal::Limit { most, among, free, .. } => problem
            .with("rule", "limit")
            .with("max_simultaneous", most)
            .with("among", among.to_string())
            .with("free", free),
        Refusal::LastTime { deadline, free, .. } => {
            problem.with("rule", "last_time").with("deadline", deadline).with("free", free)
        }
        Refusal::Taken { free, .. } => problem.with("rule", "taken").with("free", free),
    }
}

impl Change<'_> {
    fn app(&self) -> &App {
        &self.wish.app
    }

    fn say(&mut self, what: Happened) {
        self.batch.events.push(event(&self.after, self.batch.at, what));
    }

    /// Stores a message with the fact. Its key has the moment in it: a time that is chosen a second time is a new fact.
    fn tell(&mut self, tells: Tells) {
        let fact = format!("{}/{}", tells.kind(), self.batch.at.timestamp_micros());
        self.batch.notices.extend(notice(self.app(), &self.after, &fact, tells, self.batch.at));
    }

    async fn wish_of(&mut self, operation: OperationId, wish: NewWish) -> Result<(), Problem> {
        let stored = self.app().store.operation(operation).await.map_err(|error| store_problem(&error))?;
        let Some(stored) = stored.filter(|stored| stored.ended_at.is_none()) else {
            return Err(just_ended());
        };
        let after = orders::wish(stored.operation.wish, wish);
        if after != stored.operation.wish {
            self.batch.operations_wished.push(store::NewWish {
                operation,
                read_at: stored.operation.generation,
                wish: after,
            });
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), Problem> {
        let operation = self.before.abort().map_err(|refusal| refused(&refusal))?;
        self.wish_of(operation, NewWish::AbortAsked).await?;
        if !self.batch.operations_wished.is_empty() {
            let why = format!("{} asked for it", self.wish.caller.actor());
            self.say(Happened::Aborting { why });
        }
        Ok(())
    }

    fn retry(&mut self) -> Result<(), Problem> {
        self.after = self.before.clone().retry().map_err(|refusal| refused(&refusal))?;
        let by = self.wish.caller.actor();
        self.say(Happened::Retried { by });
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), Problem> {
        let by = self.wish.caller.actor();
        match self.before.clone().confirm(by.clone()).map_err(|refusal| refused(&refusal))? {
            Confirmed::Already => {}
            Confirmed::Now(after) => {
                self.after = *after;
                self.say(Happened::Confirmed { by: by.clone() });
                self.tell(Tells::Confirmed { by });
                // That of one which was not seen alive is open still.
                execute::tickets(Some(&self.before), &self.after, &mut self.batch);
            }
        }
        Ok(())
    }

    async fn force(&mut self) -> Result<(), Problem> {
        let downtime = policy_of(self.app(), &self.before).reboot.expected_downtime;
        match self.before.clone().force(downtime).map_err(|refusal| refused(&refusal))? {
            Forced::AllowDowntime(operation, downtime) => {
                self.wish_of(operation, NewWish::AllowDowntime(downtime.as_milliseconds())).await?;
            }
            Forced::Now(after) => self.after = *after,
        }
        if self.after != self.before || !self.batch.operations_wished.is_empty() {
            let by = self.wish.caller.actor();
            self.say(Happened::Forced { by });
        }
        Ok(())
    }

    fn approve(&mut self) -> Result<(), Problem> {
        self.before.has_appointment().map_err(|refusal| refused(&refusal))?;
        let by = self.wish.caller.actor();
        let appointment = self.before.appointment.clone();
        self.after.appointment =
            appointment.accept(by.clone()).map_err(|refusal| appointment_refused(&refusal))?;
        if self.after != self.before
            && let Some(slot) = self.after.appointment.slot()
        {
            self.say(Happened::Accepted { by: by.clone() });
            self.tell(Tells::Accepted { slot, by });
        }
        Ok(())
    }

    /// The next time is found and told in the same transaction: nobody is left without knowing what comes instead.
    async fn decline(&mut self) -> Result<(), Problem> {
        self.before.has_appointment().map_err(|refusal| refused(&refusal))?;
        let loaded = Loaded::read(self.app()).await.map_err(|error| store_problem(&error))?;
        let by = self.wish.caller.actor();
        let changes = conduct::decline(loaded.situation(self.app()), self.before.id, by)
            .map_err(|refusal| appointment_refused(&refusal))?
            .ok_or_else(just_ended)?;
        for after in changes.migrations {
            self.after = after;
        }
        // A drill that is declined is over.
        self.batch.tickets_closed.extend(self.after.ticket.filter(|_| self.after.is_over()));
        self.batch.events.extend(changes.events);
        let ids = self.app().ids.as_ref();
        let ticket = self.after.ticket_summary();
        let notices = changes.notices.into_iter().filter_map(|draft| {
            let ticket = ticket.clone()?;
            Some(Notice {
                id: NoticeId::draw(ids),
                key: draft.key,
                ticket,
                tells: draft.tells,
                at: self.batch.at,
            })
        });
        self.batch.notices.extend(notices.collect::<Vec<_>>());
        Ok(())
    }

    async fn reschedule(&mut self, start: Instant) -> Result<(), Problem> {
        self.before.has_appointment().map_err(|refusal| refused(&refusal))?;
        let policy = policy_of(self.app(), &self.before);
        // The rules about the time itself come first: a time that is past is not "taken".
        match self.choose(&policy, Slot::from_start(start, Span::ZERO)) {
            // Which is the latest is known when it is known how long it takes.
            Ok(_) | Err(appointment::Refusal::AfterDeadline { .. }) => {}
            Err(refusal) => return Err(appointment_refused(&refusal)),
        }
        let loaded = Loaded::read(self.app()).await.map_err(|error| store_problem(&error))?;
        let slot = conduct::slot_at(loaded.situation(self.app()), self.before.id, start)
            .map_err(|refusal| appointment_refused(&refusal))?
            .ok_or_else(just_ended)?;
        let from = self.before.appointment.slot();
        self.after.appointment =
            self.choose(&policy, slot).map_err(|refusal| appointment_refused(&refusal))?;
        self.after.state = State::Ready { waits_for: Waiting::Owner { until: slot.start } };
        if from == Some(slot) && self.after.appointment == self.before.appointment {
            return Ok(());
        }
        self.after.agreed_at = Some(self.batch.at);
        let by = self.wish.caller.actor();
        self.say(Happened::Rescheduled { slot, by: by.clone() });
        self.tell(match from {
            Some(from) => Tells::Rescheduled { from, slot, by },
            None => Tells::Accepted { slot, by },
        });
        Ok(())
    }

    fn choose(&self, policy: &Policy, slot: Slot) -> Result<Appointment, appointment::Refusal> {
        let wish = appointment::Wish {
            slot,
            by: self.wish.caller.actor(),
            deadline: self.before.deadline,
            rules: &policy.owners,
            now: self.batch.at,
        };
        self.before.appointment.clone().reschedule(&wish)
    }

    /// A guest's word counts if policy lets it, and for the time that it was shown.
    fn acknowledge(&mut self, start: Instant) -> Result<(), Problem> {
        if !policy_of(self.app(), &self.before).owners.guest_may_start {
            return Err(Problem::new(
                Kind::Refused,
                "policy does not let guests start it: owners.guest_may_start is false",
            ));
        }
        match self.before.appointment.slot() {
            Some(slot) if slot.start != start => {
                Err(Problem::new(Kind::Refused, "another time has been agreed on since"))
            }
            Some(_) | None => self.start_now(Through::Guest),
        }
    }

    fn start_now(&mut self, through: Through) -> Result<(), Problem> {
        self.before.can_be_started().map_err(|refusal| refused(&refusal))?;
        let by = self.wish.caller.actor();
        let appointment = self.before.appointment.clone();
        self.after.appointment = appointment
            .start_now(by.clone(), self.batch.at)
            .map_err(|refusal| appointment_refused(&refusal))?;
        if self.after != self.before {
            self.say(Happened::StartNow { by, through });
        }
        Ok(())
    }
}

/// What happened to a migration.
pub(super) fn event(migration: &Migration, at: Instant, what: Happened) -> Event {
    Event {
        at,
        maintenance: migration.maintenance,
        migration: Some(migration.id),
        import: None,
        server: Some((migration.server, migration.server_name.clone())),
        owner: migration.owner.clone(),
        host: Some(migration.from.clone()),
        what,
    }
}

fn notice(app: &App, migration: &Migration, fact: &str, tells: Tells, at: Instant) -> Option<Notice> {
    Some(Notice {
        id: NoticeId::draw(app.ids.as_ref()),
        key: format!("{}/{fact}", migration.id),
        ticket: migration.ticket_summary()?,
        tells,
        at,
    })
}
