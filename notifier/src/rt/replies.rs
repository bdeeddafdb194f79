//! What people write in Request Tracker.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use drover_policies::ids::TicketId;
use drover_policies::time::Instant;
use mail_parser::decoders::html::html_to_text;
use serde::Deserialize;

use super::client::{Hyperlink, Items, Numbered, number};
use super::{Rt, RtError, RtTicket, RtTransaction, hand_over};

/// How many are asked for at once; the most that Request Tracker gives.
const PAGE: &str = "100";

/// Correspondence of somebody else: its frame, for the words may be long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its number.
    pub transaction: RtTransaction,
    /// The ticket that it was written in.
    pub ticket: RtTicket,
    /// By whom.
    pub author: Author,
    /// When.
    pub at: Instant,
}

/// A user of Request Tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The login.
    pub name: String,
    /// The mail address; empty if there is none, or if we may not see it.
    pub mail: String,
}

/// The words of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// As plain text; empty when there are files only.
    pub text: String,
    /// How many files came with them; they stay where they are.
    pub files: usize,
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(deserialize_with = "number")]
    id: u64,
    #[serde(rename = "ObjectId", deserialize_with = "number")]
    ticket: u64,
    #[serde(rename = "Created")]
    created: Instant,
    #[serde(rename = "Creator")]
    creator: Creator,
}

#[derive(Deserialize)]
struct Creator {
    id: String,
    #[serde(rename = "EmailAddress", default)]
    mail: Option<String>,
}

/// A part of a message, as lists have it.
#[derive(Deserialize)]
struct Part {
    #[serde(deserialize_with = "number")]
    id: u64,
    #[serde(rename = "ContentType", default)]
    kind: String,
    #[serde(rename = "Filename", default)]
    file: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "Content", default)]
    content: String,
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

impl Rt {
    /// The newest transaction that we may see, as the place to begin reading from.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn newest(&self) -> Result<Option<RtTransaction>, RtError> {
        let query = [
            ("query", "ObjectType = 'RT::Ticket' AND id > 0"),
            ("orderby", "id"),
            ("order", "DESC"),
            ("per_page", "1"),
        ];
        let newest: Items<Numbered> = self.get(&["transactions"], &query).await?;
        Ok(newest.items.first().map(|newest| RtTransaction(newest.id)))
    }

    /// Correspondence after a transaction, by others than ourselves, in tickets that we created or that are in our queue; oldest first.
    /// Comments are not among it: they are staff's own.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn replies_since(&self, after: RtTransaction) -> Result<Vec<Reply>, RtError> {
        let queue = self.config.queue.replace('\\', "\\\\").replace('\'', "\\'");
        let query = format!(
            "ObjectType = 'RT::Ticket' AND Type = 'Correspond' AND id > {after} AND Creator != '__CurrentUser__' \
             AND ( TicketCreator = '__CurrentUser__' OR TicketQueue = '{queue}' )"
        );
        let mut replies = Vec::new();
        // A page may be short because of what we may not see, so only an empty one is the last.
        for page in 1_u32.. {
            let page = page.to_string();
            let query = [
                ("query", query.as_str()),
                ("fields", "ObjectId,Created,Creator"),
                ("fields[Creator]", "EmailAddress"),
                ("orderby", "id"),
                ("per_page", PAGE),
                ("page", &page),
            ];
            let found: Items<Transaction> = self.get(&["transactions"], &query).await?;
            if found.items.is_empty() {
                break;
            }
            replies.extend(found.items.into_iter().map(|found| Reply {
                transaction: RtTransaction(found.id),
                ticket: RtTicket(found.ticket),
                author: Author { name: found.creator.id, mail: found.creator.mail.unwrap_or_default() },
                at: found.created,
            }));
        }
        Ok(replies)
    }

    /// Which of our tickets a ticket is about. There are several when staff has merged them.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn tickets_of(&self, ticket: RtTicket) -> Result<Vec<TicketId>, RtError> {
        #[derive(Deserialize)]
        struct Linked {
            #[serde(rename = "_hyperlinks", default)]
            links: Vec<Hyperlink>,
        }
        let linked: Linked = self.get(&["ticket", &ticket.to_string()], &[]).await?;
        let of = linked.links.iter().filter(|link| link.relation == "refers-to");
        Ok(of.filter_map(|link| hand_over::linked(&link.url)).collect())
    }

    /// What was written.
    ///
    /// # Errors
    /// It can't be asked, or is longer than will be read.
    pub async fn words(&self, transaction: RtTransaction) -> Result<Words, RtError> {
        let number = transaction.to_string();
        let query = [("fields", "ContentType,Filename"), ("per_page", PAGE)];
        let parts: Items<Part> = self.get(&["transaction", &number, "attachments"], &query).await?;
        let is_file = |part: &&Part| part.file.as_ref().is_some_and(|name| !name.is_empty());
        let files = parts.items.iter().filter(is_file).count();
        let of_kind = |kind: &str| parts.items.iter().find(|part| part.kind == kind && !is_file(part));
        let text = match (of_kind("text/plain"), of_kind("text/html")) {
            (Some(plain), _) => self.content(plain).await?,
            (None, Some(html)) => html_to_text(&self.content(html).await?),
            (None, None) => String::new(),
        };
        Ok(Words { text, files })
    }

    async fn content(&self, part: &Part) -> Result<String, RtError> {
        let content: Content = self.get(&["attachment", &part.id.to_string()], &[]).await?;
        let compact: String = content.content.split_whitespace().collect();
        // Text is kept as UTF-8, whatever it came in.
        let bytes = BASE64_STANDARD.decode(&compact).unwrap_or_else(|_| content.content.into_bytes());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
