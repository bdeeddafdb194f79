//! What a template can say: the facts of one notice, in words. The fields of these types are the variables of the templates, so
//! renaming one breaks what operators have written.

use chrono::TimeDelta;
use chrono_tz::Tz;
use drover_policies::attempt::PowerOff;
use drover_policies::checks::{Finding, Item, Verdict, Weight};
use drover_policies::language::{Direction, Language};
use drover_policies::migration::Loss;
use drover_policies::notices::{
    Actor, AfterFailedChecks, Answer, Avoidance, Cause, Contact, Did, Disks, Notice, Reserved, Tells, Trial,
    WhyGivenUp, Wisher,
};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;
use serde::Serialize;

use crate::links::LinkWords;
pub use crate::links::{Answers, Links};
use crate::shape::ShapeWords;
use crate::speech::{Doer, Speech, When};
use crate::words;

/// Longest name of a server in a mail; the rest of the subject must stay visible.
const NAME: usize = 80;
/// Longest text of a person or of a hypervisor in a mail.
const TEXT: usize = 600;
/// What an owner answers to a reminder who wants no more of them.
pub(crate) const STOP_REMINDERS: &str = "no reminders";
/// Longest message of a person in a mail; the ticket has it whole.
const MESSAGE: usize = 10_000;

/// Everything that a template of one notice can name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Letter {
    kind: &'static str,
    /// The tag of the language that it is written in.
    language: String,
    /// Whither that is written: `ltr` or `rtl`.
    direction: &'static str,
    ticket: TicketWords,
    server: ServerWords,
    owner: OwnerWords,
    /// `maintenance`, `asked` or `revert`: whether it must be, or somebody asked for it.
    cause: &'static str,
    /// Within a sentence: `kernel update`.
    reason: String,
    /// A sentence; may be empty.
    why_not_live: String,
    /// Whether some of its disks are its host's alone, and are copied.
    local_disks: bool,
    /// Whether what was written to those since the move is given up.
    data_loss: bool,
    /// What it is to look like afterwards; nothing where it stays as it is.
    shape: Option<ShapeWords>,
    deadline: When,
    links: LinkWords,
    #[serde(flatten)]
    told: Told,
}

#[derive(Debug, Clone, Serialize)]
struct TicketWords {
    id: String,
    number: String,
    /// Shows the ticket.
    command: String,
}

#[derive(Debug, Clone, Serialize)]
struct ServerWords {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Serialize)]
struct OwnerWords {
    id: String,
    /// May be empty.
    name: String,
}

/// What may be answered to a mail, each the whole of a line.
#[derive(Debug, Clone, Serialize)]
struct AnswerLines {
    /// Only where a time waits for agreement.
    accept: Option<&'static str>,
    /// With a time as an example.
    reschedule: String,
    now: &'static str,
}

/// What an owner may do. Commands, complete.
#[derive(Debug, Clone, Serialize)]
struct Choices {
    /// Leave it as it is: only where a time is set.
    leave: bool,
    /// Only where a time waits for agreement.
    approve: Option<String>,
    reschedule: String,
    now: String,
    /// Only of what its reader may take back.
    cancel: Option<String>,
    /// What may be answered; nothing where nobody reads answers.
    answers: Option<AnswerLines>,
}

/// The variables that only this kind has. `when` is always the time that holds now.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Told {
    Proposed {
        when: When,
        downtime: String,
        reserved: bool,
        window: String,
        choices: Choices,
    },
    Reminder {
        when: When,
        left: String,
        downtime: String,
        /// The command that tries it before.
        trial: Option<String>,
        stop: Option<&'static str>,
        choices: Choices,
    },
    Rescheduled {
        before: When,
        when: When,
        by: String,
        by_reader: bool,
        choices: Choices,
    },
    Accepted {
        when: When,
        by: String,
        by_reader: bool,
        choices: Choices,
    },
    Missed {
        missed: When,
        why: String,
        when: Option<When>,
        choices: Choices,
    },
    Started {
        downtime: String,
    },
    Done {
        downtime: Option<String>,
        shutdown: Option<&'static str>,
        /// Until when it can be confirmed or reverted, and how; nothing when it can't.
        until: Option<When>,
        confirm: Option<String>,
        revert: Option<String>,
        checks: Vec<CheckWords>,
    },
    NotSeenAlive {
        seen: String,
    },
    ChecksFailed {
        checks: Vec<CheckWords>,
        /// It goes back by itself; else it waits for somebody's word.
        reverting: bool,
        /// A sentence; only where it was to go back by itself.
        why_not_reverted: Option<String>,
        confirm: String,
        revert: String,
    },
    RolledBack {
        why: String,
        downtime: Option<String>,
        when: Option<When>,
        choices: Choices,
    },
    Cancelled {},
    Avoided {
        how: &'static str,
    },
    Emergency {
        why: String,
    },
    NoSlot {
        why: String,
        choices: Choices,
    },
    Requested {
        when: When,
        downtime: String,
        by: String,
        by_reader: bool,
        choices: Choices,
    },
    Needed {
        when: Option<When>,
        choices: Choices,
    },
    /// `by` is missing when it was nobody's wish.
    GivenUp {
        by: Option<String>,
        by_reader: bool,
        /// It was a drill, and the server is to be moved for real.
        for_real: bool,
        /// It was to go back to old disks that are not there as they were.
        not_retained: bool,
    },
    Confirmed {
        by: String,
        by_reader: bool,
    },
    Reverting {
        when: When,
        downtime: String,
        by: String,
        by_reader: bool,
        choices: Choices,
    },
    Reverted {
        downtime: Option<String>,
        shutdown: Option<&'static str>,
        /// Missing when nothing is lost.
        loss_accepted_by: Option<String>,
        loss_accepted_by_reader: bool,
    },
    Written {
        by: String,
        /// Whether operators read it; the owner does otherwise.
        to_operators: bool,
        message: String,
        /// A command.
        reply: String,
        /// Whether an answer to the mail is read, too.
        by_mail: bool,
    },
    Answered {
        asked: String,
        answer: AnswerWords,
    },
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
struct CheckWords {
    /// `power`, `life`, `addresses`, `interfaces`, `disks` or `own`.
    item: &'static str,
    /// Of an owner's own check: what he calls it.
    name: Option<String>,
    /// `passed`, `failed`, `failed_before` or `not_looked`.
    verdict: &'static str,
    must_pass: bool,
    /// What was seen; may be empty.
    seen: String,
}

/// What came of something that was asked for by mail.
#[derive(Debug, Clone, Serialize)]
struct AnswerWords {
    /// `was_so`, `starts_now`, `no_reminders`, `accepted`, `moved`, `refused` or `not_understood`.
    came_to: &'static str,
    /// The time that holds; nothing where none does.
    when: Option<When>,
    /// After "you asked us to"; only of a refusal.
    understood: Option<String>,
    /// A sentence; only where something was not done.
    why: Option<String>,
    /// Free times, each to be read and to be written into an answer.
    free: Vec<FreeTime>,
}

#[derive(Debug, Clone, Serialize)]
struct FreeTime {
    /// To be read.
    local: String,
    /// To be copied: `move to 2026-12-03 22:00`.
    write: String,
}

impl Letter {
    /// What stands before the subject in every language, so that no rule that sorts mails takes a drill for real.
    pub(crate) fn mark(&self) -> &'static str {
        if self.cause == "drill" { "[DRILL] " } else { "" }
    }

    /// Puts a notice into words for one owner.
    pub(crate) fn new(
        notice: &Notice,
        contact: &Contact,
        links: &Links,
        tongue: (&Language, &Speech),
    ) -> Self {
        let (language, speech) = tongue;
        let ticket = &notice.ticket;
        let number = words::one_line(&ticket.number, 20);
        Self {
            kind: notice.tells.kind(),
            language: language.to_string(),
            direction: match language.direction() {
                Direction::LeftToRight => "ltr",
                Direction::RightToLeft => "rtl",
            },
            ticket: TicketWords {
                id: ticket.id.to_string(),
                command: format!("drover tickets show {number}"),
                number,
            },
            server: ServerWords {
                id: ticket.server.to_string(),
                name: words::name(&ticket.server_name, NAME),
            },
            owner: OwnerWords { id: ticket.owner.to_string(), name: words::name(&contact.name, NAME) },
            cause: match ticket.cause {
                Cause::Maintenance => "maintenance",
                Cause::Asked { .. } => "asked",
                Cause::Revert { .. } => "revert",
                Cause::Drill => "drill",
            },
            reason: words::phrase(&ticket.reason, TEXT),
            why_not_live: words::sentence(&speech.said(&ticket.why_not_live), TEXT),
            local_disks: match ticket.disks {
                Disks::Shared => false,
                Disks::Local => true,
            },
            data_loss: matches!(ticket.cause, Cause::Revert { loss: Loss::Accepted, .. }),
            shape: ShapeWords::of(&ticket.blueprint),
            deadline: speech.moment(ticket.deadline, contact.timezone),
            links: links.filled(notice),
            told: Teller { notice, contact, speech, answers: links.answers }.told(),
        }
    }
}

struct Teller<'a> {
    notice: &'a Notice,
    contact: &'a Contact,
    speech: &'a Speech,
    answers: Answers,
}

impl Teller<'_> {
    fn told(&self) -> Told {
        match &self.notice.tells {
            Tells::Proposed { slot, downtime, reserved, window } => Told::Proposed {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                reserved: match reserved {
                    Reserved::Yes => true,
                    Reserved::NotYet => false,
                },
                window: words::phrase(&self.speech.said(window), TEXT),
                choices: self.choices(Some(*slot), Approval::Awaited),
            },
            Tells::Reminder { slot, left, downtime, trial } => Told::Reminder {
                when: self.when(*slot),
                left: self.speech.exactly(*left),
                downtime: self.speech.about(*downtime),
                trial: match trial {
                    Trial::NotAdvised => None,
                    Trial::Advised => Some(self.command("test launch")),
                },
                stop: self.answered_by_program().then_some(STOP_REMINDERS),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Rescheduled { from, slot, by } => Told::Rescheduled {
                before: self.when(*from),
                when: self.when(*slot),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Accepted { slot, by } => Told::Accepted {
                when: self.when(*slot),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Missed { missed, why, slot } => Told::Missed {
                missed: self.when(*missed),
                why: self.sentence(why),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::RolledBack { why, downtime, slot } => Told::RolledBack {
                why: self.sentence(why),
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::NoSlot { why } => {
                Told::NoSlot { why: self.sentence(why), choices: self.choices(None, Approval::NotNeeded) }
            }
            Tells::Started { downtime } => Told::Started { downtime: self.speech.about(*downtime) },
            Tells::Done { downtime, power_off, confirm_until, findings } => Told::Done {
                // What could not be looked at tells the owner of a server that is well nothing.
                checks: self.checks(findings.iter().filter(|finding| finding.verdict != Verdict::NotLooked)),
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                shutdown: power_off.map(shutdown),
                until: confirm_until.map(|until| self.speech.moment(until, self.contact.timezone)),
                confirm: confirm_until.map(|_| self.command("confirm")),
                revert: confirm_until.map(|_| self.command("revert")),
            },
            Tells::NotSeenAlive { text } => Told::NotSeenAlive { seen: self.sentence(text) },
            Tells::ChecksFailed { findings, then } => Told::ChecksFailed {
                checks: self.checks(findings),
                reverting: matches!(then, AfterFailedChecks::Reverting),
                why_not_reverted: match then {
                    AfterFailedChecks::Held { why_not_reverted } => {
                        why_not_reverted.as_deref().map(|why| self.clauses(why))
                    }
                    AfterFailedChecks::Reverting => None,
                },
                confirm: self.command("confirm"),
                revert: self.command("revert"),
            },
            Tells::Cancelled => Told::Cancelled {},
            Tells::Avoided { how } => Told::Avoided { how: avoidance(*how) },
            Tells::Emergency { why } => Told::Emergency { why: self.sentence(why) },
            Tells::Requested { slot, downtime, by } => Told::Requested {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Needed { slot } => Told::Needed {
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::NotNeeded),
            },
            Tells::GivenUp { why } => {
                let by = match why {
                    WhyGivenUp::Cancelled { by } => Some(by),
                    WhyGivenUp::OutOfTime | WhyGivenUp::ForReal | WhyGivenUp::NothingRetained { .. } => None,
                };
                Told::GivenUp {
                    by: by.map(|by| self.actor(by)),
                    by_reader: by.is_some_and(|by| self.is_reader(by)),
                    for_real: *why == WhyGivenUp::ForReal,
                    not_retained: matches!(why, WhyGivenUp::NothingRetained { .. }),
                }
            }
            Tells::Confirmed { by } => Told::Confirmed { by: self.actor(by), by_reader: self.is_reader(by) },
            Tells::Reverting { slot, downtime, by } => Told::Reverting {
                when: self.when(*slot),
                downtime: self.speech.about(*downtime),
                by: self.actor(by),
                by_reader: self.is_reader(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Reverted { downtime, power_off, loss_accepted_by } => Told::Reverted {
                downtime: downtime.map(|downtime| self.speech.exactly(downtime)),
                shutdown: power_off.map(shutdown),
                loss_accepted_by: loss_accepted_by.as_ref().map(|by| self.actor(by)),
                loss_accepted_by_reader: loss_accepted_by.as_ref().is_some_and(|by| self.is_reader(by)),
            },
            Tells::Written { by, text, via: _ } => Told::Written {
                by: self.actor(by),
                to_operators: !matches!(by, Actor::Operator { .. }),
                by_mail: matches!(by, Actor::Operator { .. }) && self.answered_by_program(),
                message: words::paragraphs(text, MESSAGE),
                reply: format!(
                    "drover tickets reply {} \"...\"",
                    words::one_line(&self.notice.ticket.number, 20)
                ),
            },
            Tells::Answered { asked, answer, .. } => {
                Told::Answered { asked: words::one_line(asked, TEXT), answer: self.answer(answer) }
            }
        }
    }

    fn checks<'f>(&self, findings: impl IntoIterator<Item = &'f Finding>) -> Vec<CheckWords> {
        let words = |finding: &Finding| {
            let (item, name) = match &finding.item {
                Item::Power => ("power", None),
                Item::Life => ("life", None),
                Item::Addresses => ("addresses", None),
                Item::Interfaces => ("interfaces", None),
                Item::Disks => ("disks", None),
                Item::Own { check } => ("own", Some(words::one_line(check.as_str(), NAME))),
            };
            CheckWords {
                item,
                name,
                verdict: match finding.verdict {
                    Verdict::Passed => "passed",
                    Verdict::Failed => "failed",
                    Verdict::FailedBefore => "failed_before",
                    Verdict::NotLooked => "not_looked",
                },
                must_pass: finding.weight == Weight::MustPass,
                seen: words::phrase(&self.speech.said(&finding.seen), TEXT),
            }
        };
        findings.into_iter().map(words).collect()
    }

    fn answer(&self, answer: &Answer) -> AnswerWords {
        let done = |came_to, slot: Option<Slot>| AnswerWords {
            came_to,
            when: slot.map(|slot| self.when(slot)),
            understood: None,
            why: None,
            free: Vec::new(),
        };
        match answer {
            Answer::Done { did: Did::Accepted { slot } } => done("accepted", Some(*slot)),
            Answer::Done { did: Did::Moved { slot } } => done("moved", Some(*slot)),
            Answer::Done { did: Did::WasSo { slot } } => done("was_so", Some(*slot)),
            Answer::Done { did: Did::StartsNow } => done("starts_now", None),
            Answer::Done { did: Did::NoReminders } => done("no_reminders", None),
            Answer::Refused { understood, why, free } => AnswerWords {
                understood: Some(words::phrase(&self.speech.said(understood), TEXT)),
                why: Some(self.sentence(why)),
                free: self.free(free),
                ..done("refused", None)
            },
            Answer::NotUnderstood { why, free } => AnswerWords {
                why: Some(self.sentence(why)),
                free: self.free(free),
                ..done("not_understood", None)
            },
        }
    }

    fn free(&self, free: &[Instant]) -> Vec<FreeTime> {
        let zone = self.contact.timezone;
        free.iter()
            .map(|at| FreeTime {
                local: self.speech.moment(*at, zone).local,
                write: format!("move to {}", words::for_answer(*at, zone)),
            })
            .collect()
    }

    fn when(&self, slot: Slot) -> When {
        self.speech.slot(slot, self.contact.timezone)
    }

    fn sentence(&self, text: &str) -> String {
        words::sentence(&self.speech.said(text), TEXT)
    }

    /// A sentence that is put together from others by `; `.
    fn clauses(&self, text: &str) -> String {
        let whole = self.speech.said(text);
        if whole != text {
            return words::sentence(&whole, TEXT);
        }
        let said: Vec<String> = text.split("; ").map(|clause| self.speech.said(clause)).collect();
        words::sentence(&said.join("; "), TEXT)
    }

    fn may_cancel(&self) -> bool {
        match self.notice.ticket.cause {
            Cause::Asked { by: Wisher::Owner } | Cause::Revert { by: Wisher::Owner, .. } => true,
            // A drill is its reader's to end, whoever asked for it.
            Cause::Drill => true,
            Cause::Maintenance
            | Cause::Asked { by: Wisher::Operators }
            | Cause::Revert { by: Wisher::Operators, .. } => false,
        }
    }

    fn command(&self, verb: &str) -> String {
        format!("drover {verb} {}", words::one_line(&self.notice.ticket.number, 20))
    }

    fn answered_by_program(&self) -> bool {
        self.answers == Answers::Read
    }

    fn is_reader(&self, by: &Actor) -> bool {
        matches!(by, Actor::Owner { owner } if *owner == self.contact.owner)
    }

    fn actor(&self, by: &Actor) -> String {
        self.speech.by(match by {
            Actor::Operator { .. } => Doer::Operators,
            Actor::Owner { .. } if self.is_reader(by) => Doer::Reader,
            Actor::Owner { owner } => Doer::Account(owner.as_str()),
            Actor::Drover => Doer::Scheduler,
        })
    }

    fn choices(&self, slot: Option<Slot>, approval: Approval) -> Choices {
        let number = words::one_line(&self.notice.ticket.number, 20);
        let zone = self.contact.timezone;
        let example = self.example(slot);
        let to = |write: fn(Instant, Tz) -> String| {
            example.map_or_else(|| "TIME".to_owned(), |moment| write(moment, zone))
        };
        let awaited = match approval {
            Approval::Awaited => slot.is_some(),
            Approval::NotNeeded => false,
        };
        Choices {
            leave: slot.is_some(),
            approve: awaited.then(|| format!("drover approve {number}")),
            reschedule: format!("drover reschedule {number} --to {}", to(words::for_command)),
            now: format!("drover migrate-now {number}"),
            cancel: self.may_cancel().then(|| self.command("cancel")),
            answers: self.answered_by_program().then(|| AnswerLines {
                accept: awaited.then_some("accept"),
                reschedule: format!("move to {}", to(words::for_answer)),
                now: "now",
            }),
        }
    }

    /// A time to stand in the command to be copied, one that has a chance: a day later, else a day earlier, else on the way to the
    /// deadline. Nothing when the deadline leaves no time at all.
    fn example(&self, slot: Option<Slot>) -> Option<Instant> {
        let (now, deadline) = (self.notice.at, self.notice.ticket.deadline);
        let day = TimeDelta::days(1);
        if let Some(slot) = slot {
            if slot.end + day <= deadline {
                return Some(slot.start + day);
            }
            if slot.start - day > now + TimeDelta::hours(2) {
                return Some(slot.start - day);
            }
        }
        let halfway = now + (deadline - now) / 2;
        let to_the_hour = halfway - TimeDelta::seconds(halfway.timestamp().rem_euclid(3600));
        let halfway = if to_the_hour > now + TimeDelta::hours(2) { to_the_hour } else { halfway };
        (halfway > now).then_some(halfway)
    }
}

enum Approval {
    Awaited,
    NotNeeded,
}

fn shutdown(power_off: PowerOff) -> &'static str {
    match power_off {
        PowerOff::GuestAgent | PowerOff::Acpi => "asked",
        PowerOff::Hard => "forced",
        PowerOff::WasOff => "was_off",
    }
}

fn avoidance(how: Avoidance) -> &'static str {
    match how {
        Avoidance::Deleted => "deleted",
        Avoidance::MovedElsewhere => "moved_elsewhere",
        Avoidance::MovedWhileOff => "moved_while_off",
        Avoidance::MovedLive => "moved_live",
    }
}
