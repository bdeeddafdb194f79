//! Addresses of an installation that mails may name.

use drover_policies::bulletins::{Bulletin, MaintenanceSummary};
use drover_policies::notices::Notice;
use serde::{Deserialize, Serialize};

use crate::words;

/// Addresses that mails may name beside the commands. An operator's own pages; without them no mail has a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Page of a ticket, `https://portal.example/tickets/{number}`. Placeholders: `{number}`, `{ticket}`, `{server}`, `{migration}`, `{owner}`.
    pub ticket: Option<String>,
    /// Page of a maintenance, for operators: `https://console.example/maintenances/{number}`. Placeholders: `{number}`, `{maintenance}`.
    pub maintenance: Option<String>,
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
        let pages = ["https://", "http://"].as_slice();
        [
            check_link("ticket", self.ticket.as_deref(), pages, OF_TICKET),
            check_link("maintenance", self.maintenance.as_deref(), pages, OF_MAINTENANCE),
            check_link("help", self.help.as_deref(), &["https://", "http://", "mailto:"], OF_TICKET),
            check_link("reminders", self.reminders.as_deref(), &["https://"], OF_TICKET),
        ]
        .concat()
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

    pub(crate) fn of_bulletin(&self, bulletin: &Bulletin) -> BulletinLinks {
        let MaintenanceSummary { id, number, .. } = &bulletin.maintenance;
        let maintenance = self
            .maintenance
            .as_ref()
            .map(|pattern| pattern.replace("{number}", number).replace("{maintenance}", &id.to_string()));
        BulletinLinks { maintenance }
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

/// Placeholders of addresses that belong to a ticket.
const OF_TICKET: &[&str] = &["number", "ticket", "server", "migration", "owner"];
/// Those of addresses that belong to a maintenance.
const OF_MAINTENANCE: &[&str] = &["number", "maintenance"];

fn check_link(field: &str, address: Option<&str>, schemes: &[&str], placeholders: &[&str]) -> Vec<String> {
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
        if !placeholders.contains(&name) {
            let known: Vec<String> = placeholders.iter().map(|known| format!("{{{known}}}")).collect();
            wrong.push(format!(
                "links.{field} {address:?} has the unknown placeholder {{{name}}}; there are {}",
                words::list(&known.iter().map(String::as_str).collect::<Vec<_>>())
            ));
        }
        rest = after;
    }
    wrong
}

/// The addresses of one bulletin, for its templates.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BulletinLinks {
    maintenance: Option<String>,
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
            maintenance: Some("https://console.example/{ticket}".to_owned()),
            help: Some("https://help.example/{nmber}".to_owned()),
            ..Links::default()
        };
        assert_eq!(
            links.check(),
            [
                "links.ticket \"javascript:alert(1)\" must begin with https:// or http://",
                "links.maintenance \"https://console.example/{ticket}\" has the unknown placeholder {ticket}; there are {number} and {maintenance}",
                "links.help \"https://help.example/{nmber}\" has the unknown placeholder {nmber}; there are {number}, {ticket}, {server}, {migration} and {owner}"
            ]
        );
    }
}
