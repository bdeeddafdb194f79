//! What a template can say: the facts of one notice, in words. The fields of these types are the variables of the templates, so
//! renaming one breaks what operators have written.

mod teller;

use drover_policies::language::{Direction, Language};
use drover_policies::migration::Loss;
use drover_policies::notices::{Cause, Contact, Disks, Notice};
use serde::Serialize;

use crate::links::LinkWords;
pub use crate::links::{Answers, Links};
use crate::render::Sheet;
use crate::shape::ShapeWords;
use crate::speech::{Speech, When};
use crate::words;
use teller::Teller;

/// Longest name of a server in a mail; the rest of the subject must stay visible.
const NAME: usize = 80;
/// Longest text of a person or of a hypervisor in a mail.
const TEXT: usize = 600;
/// What an owner answers to a reminder who wants no more of them.
pub(crate) const STOP_REMINDERS: &str = "no reminders";

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

/// How a server is tried before it is moved.
#[derive(Debug, Clone, Serialize)]
struct TrialWords {
    command: String,
    /// Whether a copy of its disks is there by now.
    copied: bool,
    /// Whether its time is nearer than is good for that.
    soon: bool,
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
        trial: Option<TrialWords>,
        choices: Choices,
    },
    Reminder {
        when: When,
        left: String,
        downtime: String,
        trial: Option<TrialWords>,
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
        left_off: bool,
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
    pub(crate) fn sheet(&self) -> Sheet {
        // In every language, so that no rule that sorts mails takes a drill for real.
        let mark = if self.cause == "drill" { "[DRILL] " } else { "" };
        let values = minijinja::value::Serde(self).into();
        Sheet { folder: self.kind, mark, entry: Some("shared/calendar.txt"), values }
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
            direction: direction(language),
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

/// Whither a language is written, as HTML names it.
pub(crate) fn direction(language: &Language) -> &'static str {
    match language.direction() {
        Direction::LeftToRight => "ltr",
        Direction::RightToLeft => "rtl",
    }
}
