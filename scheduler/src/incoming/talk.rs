//! An owner's words in his ticket, by whichever way they came: understood, carried out and answered.
//!
//! A command goes through the very functions that the API calls, as the ticket's owner, and what is answered is stored in the
//! transaction of the change. The message's key is made of the words': those that come twice find their answer stored.

use std::sync::Arc;

use chrono_tz::Tz;
use drover_notifier::reply::{Command, Understood, understand};
use drover_policies::conduct;
use drover_policies::ids::{MigrationId, NoticeId};
use drover_policies::migration::{Migration, operators};
use drover_policies::notices::{Answer, Contact, Did, Notice, Reminders, Tells, TicketSummary, Via};
use drover_policies::time::{Instant, Span};
use uuid::Uuid;

use super::handle::{HandleError, Handled};
use crate::app::App;
use crate::auth::Caller;
use crate::commands::migrations::MigrationWish;
use crate::commands::tickets::summary;
use crate::commands::{Decided, Reply, Wish, store_problem};
use crate::http::extract::Envelope;
use crate::http::problem::Problem;
use crate::situation::Loaded;
use crate::store::{Batch, Role, StoredNotice, Ticket, Write};

/// In which time mails of a ticket are counted.
const COUNTED_IN: Span = Span::hours(1);
/// So many of them are answered; should two programs have found each other after all, one of them stops here.
const MOST_ANSWERS: usize = 6;
/// So many are kept; more is not a person.
const MOST_MAILS: usize = 30;
/// How many free times an answer offers.
const OFFERED: usize = 3;

/// What is known of somebody's words beside them.
pub(crate) struct Heard<'a> {
    /// Names them among all that was ever said: a repeat is known by it.
    pub(crate) key: String,
    /// By which way they came.
    pub(crate) via: Via,
    /// The address that stands as their sender's.
    pub(crate) from: &'a str,
    /// What is made of a command among them.
    pub(crate) commands: Commands,
}

/// What is made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commands {
    /// It is carried out.
    Obeyed,
    /// People read it, as all else.
    Read,
}

/// An owner's words in his ticket.
pub(crate) struct Talk {
    wish: Wish,
    migration: MigrationId,
    ticket: TicketSummary,
    zone: Tz,
    contact: Option<Contact>,
    /// Names the words.
    key: String,
    via: Via,
    commands: Commands,
    /// After his words, where the sender's address is not one that is known of him.
    sent_by: Option<String>,
}

impl Talk {
    /// As the owner of a ticket, of whom it is known that the words are his.
    ///
    /// # Errors
    /// The database failed, or has no migration for the ticket.
    pub(crate) async fn begin(app: &Arc<App>, ticket: Ticket, heard: Heard<'_>) -> Result<Self, HandleError> {
        let migration = app.store.migration(ticket.migration).await.map_err(HandleError::Store)?;
        let summary = migration
            .and_then(|migration| summary(&ticket, &migration.value))
            .ok_or_else(|| HandleError::Unreadable("its ticket has no migration".to_owned()))?;
        let contact = app.store.owner(&ticket.owner).await.map_err(HandleError::Store)?;
        // Operators stand in for an owner that is not known.
        let (role, known) = if ticket.owner == operators() {
            (Role::Operator, app.config.mail.operators.as_slice())
        } else {
            (Role::Owner(ticket.owner.clone()), contact.as_ref().map_or(&[][..], |contact| &contact.mail))
        };
        let is_known = known.iter().any(|address| address.trim().eq_ignore_ascii_case(heard.from));
        Ok(Self {
            wish: Wish {
                app: Arc::clone(app),
                caller: Caller { token: Uuid::nil(), name: named(heard.via).to_owned(), role },
                envelope: Envelope::default(),
            },
            migration: ticket.migration,
            zone: contact.as_ref().map_or(Tz::UTC, |contact| contact.timezone),
            contact,
            key: heard.key,
            via: heard.via,
            commands: heard.commands,
            ticket: summary,
            sent_by: (!is_known).then(|| heard.from.to_owned()),
        })
    }

    fn app(&self) -> &App {
        &self.wish.app
    }

    /// Takes the words in, does what they ask for, and answers. A repeat does nothing.
    ///
    /// # Errors
    /// Something failed; nothing has changed then.
    pub(crate) async fn hear(&self, text: &str) -> Result<Handled, HandleError> {
        let now = self.app().clock.now();
        let story = self.app().store.notices_of(self.ticket.id).await.map_err(HandleError::Store)?;
        if story.iter().any(|stored| stored.notice.key == self.key) {
            return Ok(Handled::Repeated);
        }
        let (mails, answers) = counted(&story, now);
        if mails >= MOST_MAILS {
            return Ok(Handled::TooMany);
        }
        let understood = match self.commands {
            Commands::Obeyed if answers < MOST_ANSWERS => understand(text, self.zone, now),
            Commands::Obeyed | Commands::Read => Understood::Words,
        };
        let handled = match understood {
            Understood::Words => Handled::Written,
            Understood::Unclear { .. } | Understood::Command { .. } => Handled::Answered,
        };
        self.carry_out(text, &understood).await.map_err(|problem| HandleError::Refused(problem.detail))?;
        Ok(handled)
    }

    async fn carry_out(&self, text: &str, understood: &Understood) -> Result<(), Problem> {
        let wished = match understood {
            Understood::Command { command, .. } => wished(*command),
            Understood::Unclear { .. } | Understood::Words => None,
        };
        let _promising = match wished {
            Some(wished) => self.wish.promising(wished).await,
            None => None,
        };
        self.wish
            .carry_out(|| async {
                let mut decided = match understood {
                    Understood::Words => self.only_told(vec![self.written(text)]),
                    Understood::Unclear { line, why } => {
                        let answer = Answer::NotUnderstood { why: why.clone(), free: self.free().await? };
                        self.only_told(vec![self.written(text), self.answered(line, answer)])
                    }
                    Understood::Command { command, line, besides } => {
                        let (mut decided, answer) = self.command(*command).await?;
                        // Before what it led to: it was said first.
                        decided.batch.notices.insert(0, self.notice("", self.answered(line, answer)));
                        if let Some(besides) = besides {
                            decided.batch.notices.push(self.notice("/besides", self.written(besides)));
                        }
                        return Ok(decided);
                    }
                };
                decided.batch.at = self.app().clock.now();
                Ok(decided)
            })
            .await
            .map(drop)
    }

    /// What a command comes to, and what is answered.
    async fn command(&self, command: Command) -> Result<(Decided, Answer), Problem> {
        let Some(wished) = wished(command) else { return self.no_reminders() };
        match self.wish.decide_migration(&self.migration.to_string(), wished).await {
            Ok(decided) => {
                let did = self.did(command, &decided).await?;
                Ok((decided, Answer::Done { did }))
            }
            // It is not his wish that fails.
            Err(problem) if problem.status >= 500 => Err(problem),
            Err(problem) => {
                let free = match free_in(&problem) {
                    Some(free) => free,
                    None => self.free().await?,
                };
                let why = refusal(&problem, self.zone);
                let understood = asked_for(command, self.zone);
                Ok((self.only_told(Vec::new()), Answer::Refused { understood, why, free }))
            }
        }
    }

    async fn did(&self, command: Command, decided: &Decided) -> Result<Did, Problem> {
        let slot = match decided.batch.migrations.first() {
            Some(Write::Insert(after) | Write::Update(after, _)) => after.appointment.slot(),
            None => self.stored().await?.and_then(|migration| migration.appointment.slot()),
        };
        // The message of the fact itself goes to the owner, if there is a fact.
        let is_told = !decided.batch.notices.is_empty();
        Ok(match (command, slot) {
            (Command::Accept, Some(slot)) if is_told => Did::Accepted { slot },
            (Command::MoveTo(_), Some(slot)) if is_told => Did::Moved { slot },
            (Command::Accept | Command::MoveTo(_), Some(slot)) => Did::WasSo { slot },
            (Command::Accept | Command::MoveTo(_) | Command::Now | Command::NoReminders, _) => Did::StartsNow,
        })
    }

    fn no_reminders(&self) -> Result<(Decided, Answer), Problem> {
        let mut decided = self.only_told(Vec::new());
        let Some(contact) = &self.contact else {
            return Ok((
                decided,
                Answer::Refused {
                    understood: "send no reminders".to_owned(),
                    why: "no owner is known who could decline them".to_owned(),
                    free: Vec::new(),
                },
            ));
        };
        if contact.reminders == Reminders::Wanted {
            decided.batch.owners_put.push(Contact { reminders: Reminders::Unwanted, ..contact.clone() });
        }
        Ok((decided, Answer::Done { did: Did::NoReminders }))
    }

    /// Nothing but these messages.
    fn only_told(&self, tells: Vec<Tells>) -> Decided {
        let mut batch = Batch::new(self.app().clock.now());
        let keys = ["", "/answer"];
        batch.notices.extend(tells.into_iter().zip(keys).map(|(tells, key)| self.notice(key, tells)));
        Decided::new(batch, Reply::nothing())
    }

    fn notice(&self, part: &str, tells: Tells) -> Notice {
        Notice {
            id: NoticeId::draw(self.app().ids.as_ref()),
            key: format!("{}{part}", self.key),
            ticket: self.ticket.clone(),
            tells,
            at: self.app().clock.now(),
        }
    }

    fn written(&self, text: &str) -> Tells {
        let text = match &self.sent_by {
            Some(from) if from.is_empty() => format!("{text}\n\n[sent without a sender's address]"),
            Some(from) => format!("{text}\n\n[sent by {from}, which is no address of the account]"),
            None => text.to_owned(),
        };
        Tells::Written { by: self.wish.caller.actor(), text, via: self.via }
    }

    fn answered(&self, asked: &str, answer: Answer) -> Tells {
        let asked = match &self.sent_by {
            Some(from) if !from.is_empty() => format!("{asked} [sent by {from}]"),
            Some(_) | None => asked.to_owned(),
        };
        Tells::Answered { asked, via: self.via, answer }
    }

    async fn stored(&self) -> Result<Option<Migration>, Problem> {
        let stored =
            self.app().store.migration(self.migration).await.map_err(|error| store_problem(&error))?;
        Ok(stored.map(|migration| migration.value))
    }

    /// Times to be offered; none where there is no appointment to move.
    async fn free(&self) -> Result<Vec<Instant>, Problem> {
        if self.stored().await?.is_none_or(|migration| migration.has_appointment().is_err()) {
            return Ok(Vec::new());
        }
        let loaded = Loaded::read(self.app()).await.map_err(|error| store_problem(&error))?;
        let slots = conduct::free_slots(loaded.situation(self.app()), self.migration, OFFERED);
        Ok(slots.into_iter().map(|slot| slot.start).collect())
    }
}

/// How the story calls somebody who has no token.
fn named(via: Via) -> &'static str {
    match via {
        Via::Api => "by the API",
        Via::Mail => "by mail",
        Via::TicketSystem => "in the ticket system",
    }
}

/// What is wished of the migration; nothing where it is about something else.
fn wished(command: Command) -> Option<MigrationWish> {
    match command {
        Command::Accept => Some(MigrationWish::Approve),
        Command::Now => Some(MigrationWish::StartNow),
        Command::MoveTo(start) => Some(MigrationWish::Reschedule { start }),
        Command::NoReminders => None,
    }
}

/// Mails and answers of the last while.
fn counted(story: &[StoredNotice], now: Instant) -> (usize, usize) {
    let lately = || story.iter().filter(|stored| now - stored.notice.at < COUNTED_IN.delta());
    let answers = lately().filter(|stored| matches!(stored.notice.tells, Tells::Answered { .. })).count();
    let mails = lately().filter(|stored| {
        ["mail/", "rt/"].iter().any(|way| stored.notice.key.starts_with(way))
            && !stored.notice.key.ends_with("/answer")
            && !stored.notice.key.ends_with("/besides")
    });
    (mails.count(), answers)
}

fn shown(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).format("%A, %-d %B %Y, %H:%M %Z (UTC%:z)").to_string()
}

/// After "you asked us to".
fn asked_for(command: Command, zone: Tz) -> String {
    match command {
        Command::Accept => "take the time that was proposed".to_owned(),
        Command::Now => "begin now".to_owned(),
        Command::MoveTo(at) => format!("move it to {}", shown(at, zone)),
        Command::NoReminders => "send no reminders".to_owned(),
    }
}

fn moment(problem: &Problem, name: &str, zone: Tz) -> Option<String> {
    let at: Instant = serde_json::from_value(problem.more.get(name)?.clone()).ok()?;
    Some(shown(at, zone))
}

/// The times that a refusal offers.
fn free_in(problem: &Problem) -> Option<Vec<Instant>> {
    let free: Vec<Instant> = serde_json::from_value(problem.more.get("free")?.clone()).ok()?;
    Some(free.into_iter().take(OFFERED).collect())
}

/// The refusal, with its times in the reader's zone where it has any.
fn refusal(problem: &Problem, zone: Tz) -> String {
    let at = |name| moment(problem, name, zone);
    let rule = problem.more.get("rule").and_then(serde_json::Value::as_str).unwrap_or_default();
    match (rule, at("start"), at("earliest"), at("latest"), at("deadline")) {
        ("too_close", Some(start), ..) => format!(
            "it begins at {start}, which is too close to move it; answer \"now\", or wait for its end"
        ),
        ("too_soon", _, Some(earliest), ..) => {
            format!("that is too soon; choose {earliest} or later, or answer \"now\"")
        }
        ("after_deadline", .., Some(latest), Some(deadline)) => {
            format!("that is too late: it must be over by {deadline}, so choose {latest} or earlier")
        }
        ("taken", ..) => "that time is taken: the hosts are busy with other migrations then".to_owned(),
        ("excluded", ..) => {
            let name =
                problem.more.get("exclusion").and_then(serde_json::Value::as_str).unwrap_or("an exclusion");
            format!("nothing is done on that day ({name})")
        }
        _ => problem.detail.clone(),
    }
}
