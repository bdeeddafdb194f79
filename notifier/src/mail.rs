//! A message as a mail: MIME parts, and the headers by which mail systems thread it and recognise a repeat.
//!
//! The same notice always gives the same bytes: Message-ID, date and MIME boundary come from the notice. A repeat after a crash is
//! therefore the same mail, and a mail system that has it already may drop it.

use std::time::SystemTime;

use drover_policies::bulletins::Bulletin;
use drover_policies::ids::NoticeId;
use drover_policies::notices::{Contact, Notice, Tells};
use drover_policies::time::Instant;
use lettre::Address;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue,
};
use lettre::message::{Body, Mailbox, MessageBuilder, MultiPart, MultiPartKind, SinglePart};
use serde::{Deserialize, Serialize};

use crate::calendar::{Change, Invitation, Standing};
use crate::letter::{Answers, Links, STOP_REMINDERS};
use crate::render::Message;
use crate::reply::Return;
use crate::words;

/// Whose name stands on the mails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// `Example Cloud <maintenance@cloud.example>`. Its domain is also the domain of the mails' ids, so it should not change while
    /// tickets are open: answers and follow-ups would no longer be threaded.
    pub from: String,
    /// Where answers go, if not to `from`.
    #[serde(default)]
    pub reply_to: Option<String>,
}

impl Sender {
    /// What is wrong, each in a sentence that names the field and what would be right.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let reply_to = self.reply_to.as_ref().map(|address| ("reply_to", address));
        [("from", &self.from)]
            .into_iter()
            .chain(reply_to)
            .filter(|(_, address)| mailbox(address).is_err())
            .map(|(field, address)| {
                format!(
                    "{field} {address:?} is no mail address; write for example \"Example Cloud <maintenance@cloud.example>\""
                )
            })
            .collect()
    }
}

/// What a mail needs beside its message.
#[derive(Debug, Clone, Copy)]
pub struct Letterhead<'a> {
    /// Whose name stands on it.
    pub sender: &'a Sender,
    /// Addresses that it may name.
    pub links: &'a Links,
    /// Where the messages before this one have left the ticket's entry in the reader's calendar.
    pub standing: Standing,
    /// Where answers to it are taken in; nothing where nobody reads them, or where its reader must not answer for the ticket's owner.
    pub answers: Option<&'a Return>,
}

/// A mail, ready to be handed to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub(crate) id: NoticeId,
    pub(crate) at: Instant,
    pub(crate) sender: Address,
    pub(crate) recipients: Vec<Address>,
    /// Addresses of the contact that are none.
    pub(crate) unusable: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// Why there is no mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender's own address is wrong; [`Sender::check`] says so at the start.
    #[error("{address:?} is no mail address to send from")]
    Sender {
        /// The setting.
        address: String,
    },
    /// The owner has no address that a mail could be sent to.
    #[error("the owner {owner} has no usable mail address (known: {known:?}); give the account one")]
    NoRecipient {
        /// The account.
        owner: String,
        /// What is known.
        known: Vec<String>,
    },
    /// The parts make no mail.
    #[error("the mail could not be put together")]
    Build(#[source] lettre::error::Error),
}

impl Mail {
    /// Puts a message into the form of a mail to all addresses of its owner.
    ///
    /// # Errors
    /// The sender's address is wrong, or the owner has none.
    pub fn new(
        message: &Message,
        notice: &Notice,
        contact: &Contact,
        letterhead: &Letterhead<'_>,
    ) -> Result<Self, MailError> {
        let Letterhead { sender, links, standing, answers } = *letterhead;
        let from = mailbox(&sender.from)?;
        let domain = from.email.domain().to_owned();
        let ticket = format!("<ticket.{}@{domain}>", notice.ticket.id);
        let reply_to = answers.map(|answers| &answers.address).or(sender.reply_to.as_ref());
        let head = Head {
            id: notice.id,
            at: notice.at,
            kind: notice.tells.kind(),
            from: &from,
            reply_to,
            auto_submitted: auto_submitted(&notice.tells),
            // The second one proves the ticket, should an answer not go to the address that does.
            references: answers.map_or(ticket.clone(), |answers| format!("{ticket} {}", answers.reference)),
            thread: ticket,
            contact,
        };
        let (recipients, unusable) = addresses(&contact.mail);
        let mut builder = head
            .builder(message, &recipients)?
            .raw_header(header("X-Drover-Ticket", &notice.ticket.number))
            .raw_header(header("X-Drover-Server", &notice.ticket.server.to_string()));
        if let Some(ways) = unsubscribe(notice, reply_to.unwrap_or(&sender.from), links) {
            builder = builder
                .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("List-Unsubscribe"), ways));
        }
        let attendees: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let page = links.ticket_page(notice);
        let invitation = Change::of(notice, standing.slot).map(|change| Invitation {
            change,
            standing,
            notice,
            domain: &domain,
            organizer: (from.name.as_deref().unwrap_or_default(), from.email.as_ref()),
            attendee_name: &contact.name,
            attendees: &attendees,
            title: &message.entry_title,
            text: &message.entry_text,
            timezone: contact.timezone,
            page: page.as_deref(),
        });
        let parts = parts(message, notice.id, invitation.as_ref());
        let bytes = builder.multipart(parts).map_err(MailError::Build)?.formatted();
        // What can't be delivered comes back to where it is understood.
        let sender = match answers {
            Some(answers) => mailbox(&answers.address)?.email,
            None => from.email,
        };
        Ok(Self { id: notice.id, at: notice.at, sender, recipients, unusable, bytes })
    }

    /// Puts a bulletin into the form of a mail to all addresses of operators. Nobody's program reads answers to it.
    ///
    /// # Errors
    /// The sender's address is wrong, or there is none that it could go to.
    pub fn of_bulletin(
        message: &Message,
        bulletin: &Bulletin,
        contact: &Contact,
        sender: &Sender,
    ) -> Result<Self, MailError> {
        let from = mailbox(&sender.from)?;
        let thread = format!("<maintenance.{}@{}>", bulletin.maintenance.id, from.email.domain());
        let head = Head {
            id: bulletin.id,
            at: bulletin.at,
            kind: bulletin.says.kind(),
            from: &from,
            reply_to: sender.reply_to.as_ref(),
            auto_submitted: GENERATED,
            references: thread.clone(),
            thread,
            contact,
        };
        let (recipients, unusable) = addresses(&contact.mail);
        let bytes = head
            .builder(message, &recipients)?
            .raw_header(header("X-Drover-Maintenance", &bulletin.maintenance.number))
            .multipart(parts(message, bulletin.id, None))
            .map_err(MailError::Build)?
            .formatted();
        Ok(Self { id: bulletin.id, at: bulletin.at, sender: from.email, recipients, unusable, bytes })
    }

    /// The same mail to those who are still to get it, as [`Delivery::Retry`](crate::deliver::Delivery::Retry) names them. Its
    /// headers go on naming all. An empty list means everybody.
    #[must_use]
    pub fn left_for(mut self, left: &[String]) -> Self {
        if !left.is_empty() {
            self.recipients.retain(|address| left.iter().any(|l| l == address.as_ref() as &str));
            self.unusable.clear();
        }
        self
    }

    /// Headers and parts, as they go over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// To whom it comes back if it can't be delivered.
    #[must_use]
    pub fn envelope_sender(&self) -> &str {
        self.sender.as_ref()
    }

    /// Whom it goes to.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.iter().map(ToString::to_string).collect()
    }
}

/// What the head of every mail is made of.
struct Head<'a> {
    id: NoticeId,
    at: Instant,
    kind: &'a str,
    from: &'a Mailbox,
    reply_to: Option<&'a String>,
    auto_submitted: &'static str,
    /// No message bears this id: as the common parent of all it threads them also when one of them is lost.
    thread: String,
    references: String,
    contact: &'a Contact,
}

impl Head<'_> {
    fn builder(&self, message: &Message, recipients: &[Address]) -> Result<MessageBuilder, MailError> {
        if recipients.is_empty() {
            return Err(MailError::NoRecipient {
                owner: self.contact.owner.to_string(),
                known: self.contact.mail.clone(),
            });
        }
        let domain = self.from.email.domain();
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(words::joined(&message.subject, usize::MAX))
            .date(SystemTime::from(self.at))
            .message_id(Some(format!("<notice.{}@{domain}>", self.id)))
            .in_reply_to(self.thread.clone())
            .references(self.references.clone())
            // RFC 3834: keeps autoresponders from answering.
            .raw_header(header("Auto-Submitted", self.auto_submitted))
            // The same for Exchange, which knows nothing of that.
            .raw_header(header("X-Auto-Response-Suppress", "OOF, AutoReply"))
            .raw_header(header("X-Drover-Notice", &self.id.to_string()))
            .raw_header(header("X-Drover-Kind", self.kind));
        if let Some(reply_to) = self.reply_to {
            builder = builder.reply_to(mailbox(reply_to)?);
        }
        let name = Some(words::one_line(&self.contact.name, 80)).filter(|name| !name.is_empty());
        Ok(recipients
            .iter()
            .fold(builder, |builder, address| builder.to(Mailbox::new(name.clone(), address.clone()))))
    }
}

/// Text, HTML and the invitation are forms of the same, the best one last; clients that show such an invitation want it there. Those
/// that know calendars by their files only want it attached: it is both, as the large calendars send it.
fn parts(message: &Message, notice: NoticeId, invitation: Option<&Invitation<'_>>) -> MultiPart {
    let alternative = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(boundary("drover", message, notice))
        .singlepart(SinglePart::plain(message.text.clone()))
        .singlepart(SinglePart::html(message.html.clone()));
    let Some(invitation) = invitation else { return alternative };
    let (written, method) = (invitation.written(), invitation.method().name());
    let calendar = ContentType::parse(&format!("text/calendar; charset=utf-8; method={method}"))
        .expect("a content type of constants");
    let file = ContentType::parse("application/ics; name=\"invite.ics\"").expect("a constant content type");
    // In base64 no mail system on the way changes its line ends, and no text ends the part.
    let encoded = |text: String| {
        Body::new_with_encoding(text.into_bytes(), ContentTransferEncoding::Base64)
            .expect("base64 takes any bytes")
    };
    MultiPart::builder()
        .kind(MultiPartKind::Mixed)
        .boundary(boundary("drover-mixed", message, notice))
        .multipart(
            alternative.singlepart(SinglePart::builder().header(calendar).body(encoded(written.clone()))),
        )
        .singlepart(
            SinglePart::builder()
                .header(file)
                .header(ContentDisposition::attachment("invite.ics"))
                .body(encoded(written)),
        )
}

/// What nobody has asked for by a mail.
const GENERATED: &str = "auto-generated";

/// An answer to a person's mail says so.
fn auto_submitted(tells: &Tells) -> &'static str {
    if matches!(tells, Tells::Answered { .. }) { "auto-replied" } else { GENERATED }
}

/// RFC 2369: how a reader gets no more of these. Only reminders can be declined; what a ticket tells is what its reader has to know.
fn unsubscribe(notice: &Notice, answers_to: &str, links: &Links) -> Option<String> {
    let Tells::Reminder { .. } = &notice.tells else { return None };
    let page = links.no_reminders(notice);
    let mail = match links.answers {
        Answers::Read => mailbox(answers_to).ok().map(|to| to.email.to_string()),
        Answers::Unread => None,
    };
    // In other addresses some signs would have to be written in another way, which not every client reads.
    let plain = |c: char| c.is_ascii_alphanumeric() || "@.+-_=".contains(c);
    let mail = mail.filter(|address| address.chars().all(plain)).map(|address| {
        format!(
            "mailto:{address}?subject={}&body={}",
            notice.ticket.number,
            STOP_REMINDERS.replace(' ', "%20")
        )
    });
    let ways: Vec<String> = page.into_iter().chain(mail).map(|way| format!("<{way}>")).collect();
    (!ways.is_empty()).then(|| ways.join(", "))
}

/// Comes from the notice, so that a repeat has the same, and occurs in neither part: a name that held it would end the part.
fn boundary(prefix: &str, message: &Message, notice: NoticeId) -> String {
    let mut boundary = format!("{prefix}-{}", notice.0.simple());
    while message.text.contains(&boundary) || message.html.contains(&boundary) {
        boundary.push_str("-x");
    }
    boundary
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    let wrong = || MailError::Sender { address: address.to_owned() };
    let parsed: Mailbox = address.parse().map_err(|_| wrong())?;
    let name = parsed.name.map(|name| words::one_line(&name, 80));
    Ok(Mailbox::new(name, parsed.email))
}

/// Those that are addresses, each once, and those that are none.
fn addresses(known: &[String]) -> (Vec<Address>, Vec<String>) {
    let mut good: Vec<Address> = Vec::new();
    let mut bad = Vec::new();
    for text in known {
        match text.trim().parse::<Address>() {
            Ok(address) if good.contains(&address) => {}
            Ok(address) => good.push(address),
            Err(_) => bad.push(text.clone()),
        }
    }
    (good, bad)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    // A constant's name is checked when it is compiled in; the value is encoded, and it has no line breaks to begin with.
    HeaderValue::new(HeaderName::new_from_ascii_str(name), words::one_line(value, 200))
}
