//! What a template can say: the facts of one notice, in words. The fields of these types are the variables of the templates, so
//! renaming one breaks what operators have written.

use chrono::TimeDelta;
use drover_policies::attempt::PowerOff;
use drover_policies::notices::{Actor, Answer, Avoidance, Contact, Did, Notice, Reserved, Tells};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;
use serde::{Deserialize, Serialize};

use crate::words::{self, When};

/// Longest name of a server in a mail; the rest of the subject must stay visible.
const NAME: usize = 80;
/// Longest text of a person or of a hypervisor in a mail.
const TEXT: usize = 600;
/// Longest message of a person in a mail; the ticket has it whole.
const MESSAGE: usize = 10_000;

/// Addresses that mails may name beside the commands. An operator's own pages; without them no mail has a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Page of a ticket, `https://portal.example/tickets/{number}`. Placeholders: `{number}`, `{ticket}`, `{server}`, `{migration}`.
    pub ticket: Option<String>,
    /// Where an owner finds help: an `https:` or `mailto:` address. It may hold the same placeholders.
    pub help: Option<String>,
}

impl Links {
    /// What is wrong with these addresses, each in a sentence that names the field and what would be right.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = check_link("ticket", self.ticket.as_deref(), &["https://", "http://"]);
        wrong.extend(check_link("help", self.help.as_deref(), &["https://", "http://", "mailto:"]));
        wrong
    }

    fn filled(&self, notice: &Notice) -> LinkWords {
        let fill = |pattern: &String| {
            pattern
                .replace("{number}", &notice.ticket.number)
                .replace("{ticket}", &notice.ticket.id.to_string())
                .replace("{server}", &notice.ticket.server.to_string())
                .replace("{migration}", &notice.ticket.migration.to_string())
        };
        LinkWords { ticket: self.ticket.as_ref().map(fill), help: self.help.as_ref().map(fill) }
    }
}

fn check_link(field: &str, address: Option<&str>, schemes: &[&str]) -> Vec<String> {
    let Some(address) = address else { return Vec::new() };
    let mut wrong = Vec::new();
    if !schemes.iter().any(|scheme| address.starts_with(scheme)) {
        wrong.push(format!("links.{field} {address:?} must begin with {}", schemes.join(" or ")));
    }
    if address.chars().any(|c| c.is_whitespace() || c.is_control() || "\"<>".contains(c)) {
        wrong.push(format!("links.{field} {address:?} must not hold spaces, quotes, '<' or '>'"));
    }
    let mut rest = address;
    while let Some((_, after)) = rest.split_once('{') {
        let name = after.split('}').next().unwrap_or(after);
        if !["number", "ticket", "server", "migration"].contains(&name) {
            wrong.push(format!(
                "links.{field} {address:?} has the unknown placeholder {{{name}}}; there are {{number}}, {{ticket}}, {{server}} and {{migration}}"
            ));
        }
        rest = after;
    }
    wrong
}

/// Everything that a template of one notice can name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Letter {
    kind: &'static str,
    ticket: TicketWords,
    server: ServerWords,
    owner: OwnerWords,
    /// Within a sentence: `kernel update`.
    reason: String,
    /// A sentence; may be empty.
    why_not_live: String,
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

#[derive(Debug, Clone, Serialize)]
struct LinkWords {
    ticket: Option<String>,
    help: Option<String>,
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
}

/// The variables that only this kind has. `when` is always the time that holds now.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Told {
    Proposed { when: When, downtime: String, reserved: bool, window: String, choices: Choices },
    Reminder { when: When, left: String, downtime: String, choices: Choices },
    Rescheduled { before: When, when: When, by: String, choices: Choices },
    Accepted { when: When, by: String, choices: Choices },
    Missed { missed: When, why: String, when: Option<When>, choices: Choices },
    Started { downtime: String },
    Done { downtime: Option<String>, shutdown: Option<&'static str> },
    NotSeenAlive { seen: String },
    RolledBack { why: String, downtime: Option<String>, when: Option<When>, choices: Choices },
    Cancelled {},
    Avoided { how: &'static str },
    Emergency { why: String },
    NoSlot { why: String, choices: Choices },
    Written { by: String, by_owner: bool, message: String, reply: String },
    Answered { asked: String, answer: AnswerWords },
}

/// What came of something that was asked for by mail.
#[derive(Debug, Clone, Serialize)]
struct AnswerWords {
    /// `was_so`, `starts_now`, `accepted`, `moved`, `refused` or `not_understood`.
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
    /// Puts a notice into words for one owner.
    pub(crate) fn new(notice: &Notice, contact: &Contact, links: &Links) -> Self {
        let ticket = &notice.ticket;
        let number = words::one_line(&ticket.number, 20);
        Self {
            kind: notice.tells.kind(),
            ticket: TicketWords {
                id: ticket.id.to_string(),
                command: format!("drover tickets show {number}"),
                number,
            },
            server: ServerWords {
                id: ticket.server.to_string(),
                name: words::one_line(&ticket.server_name, NAME),
            },
            owner: OwnerWords { id: ticket.owner.to_string(), name: words::one_line(&contact.name, NAME) },
            reason: words::phrase(&ticket.reason, TEXT),
            why_not_live: words::sentence(&ticket.why_not_live, TEXT),
            deadline: When::moment(ticket.deadline, contact.timezone),
            links: links.filled(notice),
            told: Teller { notice, contact }.told(),
        }
    }
}

struct Teller<'a> {
    notice: &'a Notice,
    contact: &'a Contact,
}

impl Teller<'_> {
    fn told(&self) -> Told {
        match &self.notice.tells {
            Tells::Proposed { slot, downtime, reserved, window } => Told::Proposed {
                when: self.when(*slot),
                downtime: words::about(*downtime),
                reserved: match reserved {
                    Reserved::Yes => true,
                    Reserved::NotYet => false,
                },
                window: words::phrase(window, TEXT),
                choices: self.choices(Some(*slot), Approval::Awaited),
            },
            Tells::Reminder { slot, left, downtime } => Told::Reminder {
                when: self.when(*slot),
                left: words::exactly(*left),
                downtime: words::about(*downtime),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Rescheduled { from, slot, by } => Told::Rescheduled {
                before: self.when(*from),
                when: self.when(*slot),
                by: self.actor(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Accepted { slot, by } => Told::Accepted {
                when: self.when(*slot),
                by: self.actor(by),
                choices: self.choices(Some(*slot), Approval::NotNeeded),
            },
            Tells::Missed { missed, why, slot } => Told::Missed {
                missed: self.when(*missed),
                why: words::sentence(why, TEXT),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::RolledBack { why, downtime, slot } => Told::RolledBack {
                why: words::sentence(why, TEXT),
                downtime: downtime.map(words::exactly),
                when: slot.map(|slot| self.when(slot)),
                choices: self.choices(*slot, Approval::Awaited),
            },
            Tells::NoSlot { why } => Told::NoSlot {
                why: words::sentence(why, TEXT),
                choices: self.choices(None, Approval::NotNeeded),
            },
            Tells::Started { downtime } => Told::Started { downtime: words::about(*downtime) },
            Tells::Done { downtime, power_off } => {
                Told::Done { downtime: downtime.map(words::exactly), shutdown: power_off.map(shutdown) }
            }
            Tells::NotSeenAlive { text } => Told::NotSeenAlive { seen: words::sentence(text, TEXT) },
            Tells::Cancelled => Told::Cancelled {},
            Tells::Avoided { how } => Told::Avoided { how: avoidance(*how) },
            Tells::Emergency { why } => Told::Emergency { why: words::sentence(why, TEXT) },
            Tells::Written { by, text, via: _ } => Told::Written {
                by: self.actor(by),
                by_owner: matches!(by, Actor::Owner { .. }),
                message: words::paragraphs(text, MESSAGE),
                reply: format!(
                    "drover tickets reply {} \"...\"",
                    words::one_line(&self.notice.ticket.number, 20)
                ),
            },
            Tells::Answered { asked, answer } => {
                Told::Answered { asked: words::one_line(asked, TEXT), answer: self.answer(answer) }
            }
        }
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
            Answer::Refused { understood, why, free } => AnswerWords {
                understood: Some(words::phrase(understood, TEXT)),
                why: Some(words::sentence(why, TEXT)),
                free: self.free(free),
                ..done("refused", None)
            },
            Answer::NotUnderstood { why, free } => AnswerWords {
                why: Some(words::sentence(why, TEXT)),
                free: self.free(free),
                ..done("not_understood", None)
            },
        }
    }

    fn free(&self, free: &[Instant]) -> Vec<FreeTime> {
        let zone = self.contact.timezone;
        free.iter()
            .map(|at| FreeTime {
                local: When::moment(*at, zone).local,
                write: format!("move to {}", words::for_answer(*at, zone)),
            })
            .collect()
    }

    fn when(&self, slot: Slot) -> When {
        When::slot(slot, self.contact.timezone)
    }

    /// Who did it, after `by`. Operators stay unnamed: the name of a token is none of the owner's business.
    fn actor(&self, by: &Actor) -> String {
        match by {
            Actor::Operator { .. } => "our operators".to_owned(),
            Actor::Owner { owner } if *owner == self.contact.owner => "you".to_owned(),
            Actor::Owner { owner } => format!("the account {owner}"),
            Actor::Drover => "our scheduler".to_owned(),
        }
    }

    fn choices(&self, slot: Option<Slot>, approval: Approval) -> Choices {
        let number = words::one_line(&self.notice.ticket.number, 20);
        let to = match self.example(slot) {
            Some(moment) => words::for_command(moment, self.contact.timezone),
            None => "TIME".to_owned(),
        };
        Choices {
            leave: slot.is_some(),
            approve: match approval {
                Approval::Awaited => slot.map(|_| format!("drover approve {number}")),
                Approval::NotNeeded => None,
            },
            reschedule: format!("drover reschedule {number} --to {to}"),
            now: format!("drover migrate-now {number}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_a_mail_must_not_hold_are_refused() {
        let links = Links {
            ticket: Some("javascript:alert(1)".to_owned()),
            help: Some("https://help.example/{nmber}".to_owned()),
        };
        assert_eq!(
            links.check(),
            [
                "links.ticket \"javascript:alert(1)\" must begin with https:// or http://",
                "links.help \"https://help.example/{nmber}\" has the unknown placeholder {nmber}; there are {number}, {ticket}, {server} and {migration}"
            ]
        );
    }
}
