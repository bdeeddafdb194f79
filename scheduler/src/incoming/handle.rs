//! One mail: read, proved, and its words heard in its ticket.

use std::fmt;
use std::io;
use std::sync::Arc;

use drover_notifier::reply::{Bounce, Incoming, Kind};
use drover_policies::notices::Via;

use super::Answering;
use super::talk::{Commands, Heard, Talk};
use crate::app::App;
use crate::store::{StoreError, Ticket};

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// A command, carried out or refused, and answered.
    Answered,
    /// Words for people.
    Written,
    /// A mail of ours came back.
    Bounced,
    /// It was handled before.
    Repeated,
    /// Nothing of a person's is in it.
    Ignored(&'static str),
    /// It is for no ticket.
    NoTicket,
    /// It claims a ticket and can't prove it.
    Forged,
    /// Too many came for this ticket.
    TooMany,
}

impl fmt::Display for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Written => f.write_str("put before the operators"),
            Self::Bounced => f.write_str("noted as returned"),
            Self::Repeated => f.write_str("known already"),
            Self::Ignored(why) => write!(f, "ignored: {why}"),
            Self::NoTicket => f.write_str("ignored: it is for no ticket"),
            Self::Forged => f.write_str("ignored: it claims a ticket that it can't prove"),
            Self::TooMany => f.write_str("ignored: too many came for this ticket within an hour"),
        }
    }
}

/// Why a mail was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It can't be read, and never will.
    #[error("{0}")]
    Unreadable(String),
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] StoreError),
    /// The scheduler can't act now.
    #[error("{0}")]
    Refused(String),
    /// The spool failed.
    #[error("the spool of incoming mails failed")]
    Spool(#[source] io::Error),
}

/// Handles a mail.
///
/// # Errors
/// It can't be read, or something failed; nothing has changed then.
pub async fn handle(app: &Arc<App>, answering: &Answering, raw: Vec<u8>) -> Result<Handled, HandleError> {
    // On a thread of its own: a mail that breaks the parser breaks only that.
    let incoming = tokio::task::spawn_blocking(move || Incoming::read(&raw))
        .await
        .map_err(|_| HandleError::Unreadable("the parser broke on it".to_owned()))?
        .map_err(|error| HandleError::Unreadable(error.to_string()))?;
    if let Kind::Automatic { why } = incoming.kind {
        return Ok(Handled::Ignored(why));
    }
    if incoming.claims.is_empty() {
        return Ok(Handled::NoTicket);
    }
    let Some(ticket) = proved(app, answering, &incoming).await? else { return Ok(Handled::Forged) };
    match incoming.kind {
        Kind::Automatic { why } => Ok(Handled::Ignored(why)),
        Kind::Bounce(bounce) => bounced(app, &ticket, bounce).await,
        Kind::Words { ref text, ref attachments } => {
            let text = with_attachments(text, attachments);
            if text.is_empty() {
                return Ok(Handled::Ignored("there are no words in it"));
            }
            let heard = Heard {
                key: format!("mail/{}/{}", ticket.id, incoming.key),
                via: Via::Mail,
                from: &incoming.from,
                commands: Commands::Obeyed,
            };
            Talk::begin(app, ticket, heard).await?.hear(&text).await
        }
    }
}

/// The first ticket that it claims and proves.
async fn proved(
    app: &App,
    answering: &Answering,
    incoming: &Incoming,
) -> Result<Option<Ticket>, HandleError> {
    for claim in &incoming.claims {
        let ticket = app.store.ticket_by_number(&claim.number).await.map_err(HandleError::Store)?;
        if let Some(ticket) = ticket.filter(|ticket| answering.keys.prove(claim, ticket.id, &ticket.owner)) {
            return Ok(Some(ticket));
        }
    }
    Ok(None)
}

/// Notes on the message that it came back. Nobody is told by mail: that would come back too.
async fn bounced(app: &App, ticket: &Ticket, bounce: Bounce) -> Result<Handled, HandleError> {
    let Some(notice) = bounce.notice else {
        return Ok(Handled::Ignored("a returned mail that does not say which message it was"));
    };
    let story = app.store.notices_of(ticket.id).await.map_err(HandleError::Store)?;
    if !story.iter().any(|stored| stored.notice.id == notice) {
        return Ok(Handled::Ignored("a returned mail of a message that is not of this ticket"));
    }
    let now = app.clock.now();
    for bounced in bounce.addresses {
        tracing::warn!(ticket = %ticket.number, address = %bounced.address, why = %bounced.why, "a mail came back");
        app.store
            .note_bounce(notice, &bounced.address, &bounced.why, now)
            .await
            .map_err(HandleError::Store)?;
    }
    Ok(Handled::Bounced)
}

fn with_attachments(text: &str, attachments: &[String]) -> String {
    if attachments.is_empty() {
        return text.to_owned();
    }
    format!("{text}\n\n[attached, and not kept: {}]", attachments.join(", ")).trim_start().to_owned()
}
