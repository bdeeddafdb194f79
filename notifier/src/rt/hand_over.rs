//! A message into its ticket, once.

use chrono::TimeDelta;
use drover_policies::ids::{NoticeId, TicketId};
use drover_policies::notices::{Contact, Leaves, Notice, Reader};
use drover_policies::time::Instant;
use lettre::Address;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Hyperlink, Numbered, number};
use super::{Rt, RtError, RtTicket, RtTransaction};
use crate::render::Message;

/// How far Request Tracker's clock may be behind ours: a message is looked for among those that are not older by more than this.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

/// How many of a list are asked for at once; the most that Request Tracker gives.
const PAGE: &str = "100";

/// A message, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// What is told.
    pub notice: &'a Notice,
    /// In words, as the mail has them.
    pub message: &'a Message,
    /// Whose addresses become the ticket's requestors.
    pub contact: &'a Contact,
    /// The ticket there, if an earlier message has one.
    pub ticket: Option<RtTicket>,
}

/// What came of it.
#[derive(Debug)]
pub struct HandedOver {
    /// The ticket there, as soon as it is known; also when the message is not in it yet.
    pub ticket: Option<RtTicket>,
    /// Where the message is, for people.
    pub ended: Result<String, RtError>,
}

/// How a message comes into a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its requestors may read it.
    Correspond,
    /// Only staff may read it.
    Comment,
}

impl Way {
    /// What its owner isn't told by mail either is a note for staff.
    fn of(notice: &Notice) -> Self {
        match notice.tells.mailed_to() {
            Reader::Owner | Reader::Operators => Self::Correspond,
            Reader::Nobody => Self::Comment,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Correspond => "correspond",
            Self::Comment => "comment",
        }
    }
}

#[derive(Deserialize)]
struct Ticket {
    #[serde(rename = "Status")]
    status: String,
}

/// One entry of a ticket's history.
#[derive(Deserialize)]
struct Entry {
    #[serde(deserialize_with = "number")]
    id: u64,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Created")]
    created: Instant,
    #[serde(rename = "_hyperlinks", default)]
    links: Vec<Hyperlink>,
}

/// The link by which our ticket is found again, whatever becomes of its subject and its queue.
pub(super) fn link(ticket: TicketId) -> String {
    format!("drover:{ticket}")
}

/// The ticket that a link names; nothing for other links.
pub(super) fn linked(link: &str) -> Option<TicketId> {
    link.strip_prefix("drover:")?.parse().ok().map(TicketId)
}

/// The message with its id, by which it is known again.
fn marked(text: &str, id: NoticeId) -> String {
    format!("{}\n\n-- \nMessage {id}\n", text.trim_end())
}

impl Rt {
    /// Brings a message into its ticket, which is created with the first. Requestors are the owner's addresses, and Request Tracker is
    /// told to send them no mails about it: two systems that mail the same would be read as two things.
    ///
    /// May be repeated at any time, also while it is not known what became of an earlier try, once that can't be under way any more
    /// ([`RtError::then`]).
    pub async fn hand_over(&self, letter: &Letter<'_>) -> HandedOver {
        let found = match letter.ticket {
            Some(ticket) => Ok(Some(ticket)),
            None => self.find(letter.notice.ticket.id).await,
        };
        let (ticket, ended) = match found {
            Ok(Some(ticket)) => (Some(ticket), self.add(ticket, letter).await),
            Ok(None) => match self.create(letter).await {
                Ok(ticket) => (Some(ticket), self.see_to_status(ticket, letter.notice, None).await),
                Err(error) => (None, Err(error)),
            },
            Err(error) => (None, Err(error)),
        };
        let ended = ended.map(|()| {
            let number = ticket.map_or_else(String::new, |ticket| ticket.to_string());
            format!("in ticket {number} of Request Tracker")
        });
        HandedOver { ticket, ended }
    }

    /// The ticket that links to ours; the oldest, should somebody have copied the link.
    async fn find(&self, ticket: TicketId) -> Result<Option<RtTicket>, RtError> {
        let query = format!("RefersTo = '{}'", link(ticket));
        let found: super::client::Items<Numbered> =
            self.get(&["tickets"], &[("query", &query), ("orderby", "id"), ("per_page", "1")]).await?;
        Ok(found.items.first().map(|first| RtTicket(first.id)))
    }

    async fn create(&self, letter: &Letter<'_>) -> Result<RtTicket, RtError> {
        let Letter { notice, message, contact, .. } = letter;
        let requestors: Vec<&str> = contact
            .mail
            .iter()
            .map(|address| address.trim())
            .filter(|address| address.parse::<Address>().is_ok())
            .collect();
        let mut ticket = json!({
            "Queue": self.config.queue,
            "Subject": message.subject,
            "RefersTo": [link(notice.ticket.id)],
            "Due": notice.ticket.deadline.format("%Y-%m-%d %H:%M:%S").to_string(),
            "Content": marked(&message.text, notice.id),
            "ContentType": "text/plain",
        });
        if !requestors.is_empty() {
            ticket["Requestor"] = json!(requestors);
            // Request Tracker takes several as one text only.
            ticket["SquelchMailTo"] = Value::from(requestors.join(", "));
        }
        let created: Numbered = self.send(Method::POST, &["ticket"], &ticket).await?;
        Ok(RtTicket(created.id))
    }

    async fn add(&self, ticket: RtTicket, letter: &Letter<'_>) -> Result<(), RtError> {
        let Letter { notice, message, .. } = letter;
        let before = self.status(ticket).await?;
        if !self.has(ticket, notice).await? {
            let body = json!({
                "Subject": message.subject,
                "Content": marked(&message.text, notice.id),
                "ContentType": "text/plain",
            });
            let number = ticket.to_string();
            let _: Value =
                self.send(Method::POST, &["ticket", &number, Way::of(notice).path()], &body).await?;
        }
        self.see_to_status(ticket, notice, Some(&before)).await
    }

    /// Whether a message is in a ticket already. One that quotes it proves the same.
    async fn has(&self, ticket: RtTicket, notice: &Notice) -> Result<bool, RtError> {
        let since = notice.at - CLOCKS_DIFFER;
        let number = ticket.to_string();
        for page in 1_u32.. {
            let page = page.to_string();
            let query = [
                ("fields", "Type,Created,_hyperlinks"),
                ("orderby", "id"),
                ("order", "DESC"),
                ("per_page", PAGE),
                ("page", &page),
            ];
            let entries: super::client::Items<Entry> =
                self.get(&["ticket", &number, "history"], &query).await?;
            for entry in &entries.items {
                if entry.created < since {
                    return Ok(false);
                }
                if matches!(entry.kind.as_str(), "Create" | "Correspond" | "Comment")
                    && self.holds(entry, notice.id).await?
                {
                    return Ok(true);
                }
            }
            if entries.items.is_empty() {
                break;
            }
        }
        Ok(false)
    }

    async fn holds(&self, entry: &Entry, id: NoticeId) -> Result<bool, RtError> {
        // Ours have one part. More is somebody's mail, with files that need not be fetched for this.
        if entry.links.iter().filter(|link| link.relation == "attachment").count() != 1 {
            return Ok(false);
        }
        match self.words(RtTransaction(entry.id)).await {
            Ok(words) => Ok(words.text.contains(&id.to_string())),
            Err(RtError::TooLong { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn status(&self, ticket: RtTicket) -> Result<String, RtError> {
        let ticket: Ticket = self.get(&["ticket", &ticket.to_string()], &[]).await?;
        Ok(ticket.status)
    }

    /// Gives the ticket the status that belongs to what the message tells. Writing into a ticket may change its status by itself,
    /// so it is looked at after it.
    async fn see_to_status(
        &self,
        ticket: RtTicket,
        notice: &Notice,
        before: Option<&str>,
    ) -> Result<(), RtError> {
        let (open, closed) = (&self.config.open_status, &self.config.closed_status);
        let wanted = match notice.tells.leaves() {
            Leaves::Closed => closed,
            Leaves::AsItWas if before == Some(closed) => closed,
            Leaves::AsItWas | Leaves::Open => open,
        };
        let is = self.status(ticket).await?;
        // A status that we know nothing of (new, stalled) is as good as open, and staff's own affair.
        if is == *wanted || (wanted == open && is != *closed) {
            return Ok(());
        }
        // Refusals are told in the answer's text, under a status of 200.
        let told: Value =
            self.send(Method::PUT, &["ticket", &ticket.to_string()], &json!({ "Status": wanted })).await?;
        if self.status(ticket).await? == *wanted {
            return Ok(());
        }
        let says = told.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        Err(RtError::Status {
            ticket,
            status: wanted.clone(),
            says: crate::words::one_line(&says.join("; "), 300),
            advice: "give Drover's own user the right ModifyTicket in its queue, or write statuses of the queue's lifecycle as rt.open_status and \
                     rt.closed_status; then replay the message",
        })
    }
}
