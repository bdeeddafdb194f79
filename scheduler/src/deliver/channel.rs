//! The channels, and how a message is handed to one.

use std::sync::Arc;

use drover_notifier::calendar;
use drover_notifier::deliver::{Delivery, Mailer};
use drover_notifier::mail::{Letterhead, Mail};
use drover_policies::channels::ChannelName;
use drover_policies::language::Language;
use drover_policies::migration::operators;
use drover_policies::notices::{Contact, Notice, Reader, Reminders, Tells};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use super::Delivering;
use crate::app::App;
use crate::store::StoreError;

/// One way to somebody, ready for use.
pub enum Channel {
    /// By mail, to the owner or to the operators.
    Mail(Arc<Delivering>, Mailer),
}

/// A message, and what a channel may want to know beside it.
pub struct Handed<'a> {
    /// The scheduler.
    pub app: &'a App,
    /// The message.
    pub notice: &'a Notice,
    /// What the ticket is called on the channel, if it has told before.
    pub external: Option<&'a str>,
    /// Those who have not got it yet, when others have; empty for all.
    pub still_to_get: &'a [String],
}

/// What came of handing a message over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// What the ticket is called on the channel, when the channel has just told, whether the message was taken or not.
    pub external: Option<String>,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The channel has it.
    Arrived {
        /// Where it went, for people.
        how: String,
    },
    /// Not now; another try may help.
    Later {
        /// What stood in the way.
        why: String,
        /// Those who have not got it yet, when others have; empty for all.
        left: Vec<String>,
        /// The other end asks not to be tried before this.
        not_before: Option<Instant>,
    },
    /// Never.
    Never {
        /// Who refused it, and why.
        why: String,
    },
}

impl From<Ended> for Outcome {
    fn from(ended: Ended) -> Self {
        Self { ended, external: None }
    }
}

impl Channel {
    /// The channel of a name; nothing when there is none.
    #[must_use]
    pub fn open(delivering: &Arc<Delivering>, name: &ChannelName) -> Option<Self> {
        match name {
            ChannelName::Mail => Some(Self::Mail(Arc::clone(delivering), delivering.mail.open())),
            ChannelName::Rt | ChannelName::Webhook(_) => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> ChannelName {
        match self {
            Self::Mail(..) => ChannelName::Mail,
        }
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// The database failed; nothing was handed over.
    pub async fn deliver(&self, handed: &Handed<'_>) -> Result<Outcome, StoreError> {
        match self {
            Self::Mail(delivering, mailer) => mail(delivering, mailer, handed).await.map(Outcome::from),
        }
    }

    /// Closes what it has kept open from message to message.
    pub async fn close(&self) {
        match self {
            Self::Mail(_, mailer) => mailer.close().await,
        }
    }
}

async fn mail(
    delivering: &Delivering,
    mailer: &Mailer,
    handed: &Handed<'_>,
) -> Result<Ended, StoreError> {
    let (app, notice) = (handed.app, handed.notice);
    let contact = contact(app, notice).await?;
    if let (Tells::Reminder { .. }, Reminders::Unwanted) = (&notice.tells, contact.reminders) {
        return Ok(Ended::Arrived { how: "left out: the owner wants no reminders by mail".to_owned() });
    }
    let message = match delivering.renderer.render(notice, &contact, &app.config.mail.links) {
        Ok(message) => message,
        Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }),
    };
    let config = &app.config.mail;
    let standing = standing(app, notice).await?;
    let letterhead = Letterhead { sender: &config.sender, links: &config.links, standing };
    let mail = match Mail::new(&message, notice, &contact, &letterhead) {
        Ok(mail) => mail.left_for(handed.still_to_get),
        Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }),
    };
    Ok(match mailer.deliver(&mail).await {
        Delivery::Delivered { how, refused } => {
            for refused in refused {
                tracing::warn!(ticket = %notice.ticket.number, address = %refused.address, why = %refused.why, "an address was refused");
            }
            Ended::Arrived { how }
        }
        Delivery::Retry { why, left, refused: _ } => Ended::Later { why, left, not_before: None },
        Delivery::Fail { why } => Ended::Never { why },
    })
}

/// Where the mails before this one have left the appointment in the reader's calendar, if this one has to know.
async fn standing(app: &App, notice: &Notice) -> Result<Option<Slot>, StoreError> {
    if !calendar::depends_on_story(&notice.tells) {
        return Ok(None);
    }
    let story = app.store.notices_of(notice.ticket.id).await?;
    Ok(calendar::standing(story.iter().map(|told| &told.notice).take_while(|told| told.id != notice.id)))
}

/// How the reader of a mail is reached. Operators stand in where a server has no owner.
async fn contact(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    let owner = &notice.ticket.owner;
    let to_operators = match notice.tells.mailed_to() {
        Reader::Operators => true,
        Reader::Owner | Reader::Nobody => *owner == operators(),
    };
    if !to_operators && let Some(known) = app.store.owner(owner).await? {
        return Ok(known);
    }
    Ok(Contact {
        owner: owner.clone(),
        name: String::new(),
        mail: if to_operators { app.config.mail.operators.clone() } else { Vec::new() },
        timezone: chrono_tz::UTC,
        language: Language::default(),
        reminders: Reminders::Wanted,
    })
}
