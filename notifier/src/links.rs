//! Addresses of an installation that mails may name.

use drover_policies::notices::Notice;
use serde::{Deserialize, Serialize};

/// Addresses that mails may name beside the commands. An operator's own pages; without them no mail has a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Page of a ticket, `https://portal.example/tickets/{number}`. Placeholders: `{number}`, `{ticket}`, `{server}`, `{migration}`, `{owner}`.
    pub ticket: Option<String>,
    /// Where an owner finds help: an `https:` or `mailto:` address. It may hold the same placeholders.
    pub help: Option<String>,
    /// Page on which an owner declines reminders. It may hold the same placeholders.
    pub reminders: Option<String>,
    /// Whether answers to mails are read. It follows from the settings of incoming mail, and is none of its own.
    #[serde(skip)]
    pub answers: Answers,
}

/// Whether a program reads what owners answer to a mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answers {
    /// It does: a mail says what may be answered.
    Read,
    /// People do, if anybody.
    #[default]
    Unread,
}

impl Links {
    /// What is wrong with these addresses, each in a sentence that names the field and what would be right.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = check_link("ticket", self.ticket.as_deref(), &["https://", "http://"]);
        wrong.extend(check_link("help", self.help.as_deref(), &["https://", "http://", "mailto:"]));
        wrong.extend(check_link("reminders", self.reminders.as_deref(), &["https://"]));
        wrong
    }

    pub(crate) fn filled(&self, notice: &Notice) -> LinkWords {
        let ticket = self.ticket_page(notice);
        // A page that does not know these places shows its beginning, which is right too.
        let place = |name: &str| {
            ticket
                .as_ref()
                .map(|page| if page.contains('#') { page.clone() } else { format!("{page}#{name}") })
        };
        LinkWords {
            accept: place("accept"),
            reschedule: place("reschedule"),
            now: place("now"),
            ticket,
            help: filled(self.help.as_ref(), notice),
            reminders: self.no_reminders(notice),
        }
    }

    /// The ticket's page.
    pub(crate) fn ticket_page(&self, notice: &Notice) -> Option<String> {
        filled(self.ticket.as_ref(), notice)
    }

    /// The page on which the reader of this notice declines reminders.
    pub(crate) fn no_reminders(&self, notice: &Notice) -> Option<String> {
        filled(self.reminders.as_ref(), notice)
    }
}

fn filled(pattern: Option<&String>, notice: &Notice) -> Option<String> {
    let ticket = &notice.ticket;
    pattern.map(|pattern| {
        pattern
            .replace("{number}", &ticket.number)
            .replace("{ticket}", &ticket.id.to_string())
            .replace("{server}", &ticket.server.to_string())
            .replace("{migration}", &ticket.migration.to_string())
            .replace("{owner}", ticket.owner.as_str())
    })
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
        if !["number", "ticket", "server", "migration", "owner"].contains(&name) {
            wrong.push(format!(
                "links.{field} {address:?} has the unknown placeholder {{{name}}}; there are {{number}}, {{ticket}}, {{server}}, {{migration}} and {{owner}}"
            ));
        }
        rest = after;
    }
    wrong
}

/// The addresses of one notice, for its templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LinkWords {
    ticket: Option<String>,
    /// Places on the ticket's page; there when it is.
    accept: Option<String>,
    reschedule: Option<String>,
    now: Option<String>,
    help: Option<String>,
    reminders: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_a_mail_must_not_hold_are_refused() {
        let links = Links {
            ticket: Some("javascript:alert(1)".to_owned()),
            help: Some("https://help.example/{nmber}".to_owned()),
            ..Links::default()
        };
        assert_eq!(
            links.check(),
            [
                "links.ticket \"javascript:alert(1)\" must begin with https:// or http://",
                "links.help \"https://help.example/{nmber}\" has the unknown placeholder {nmber}; there are {number}, {ticket}, {server}, {migration} and {owner}"
            ]
        );
    }
}
