//! The channels, and how a message is handed to one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drover_notifier::calendar::Standing;
use drover_notifier::deliver::{Delivery, Mailer};
use drover_notifier::letter::{Answers, Links};
use drover_notifier::mail::{Letterhead, Mail};
use drover_notifier::rt::Rt;
use drover_notifier::webhook::{self, Answered, Readers};
use drover_policies::channels::ChannelName;
use drover_policies::ids::WebhookName;
use drover_policies::language::Language;
use drover_policies::migration::operators;
use drover_policies::notices::{Contact, Notice, Reader, Reminders, Tells};
use drover_policies::time::Instant;

use super::{Delivering, rt};
use crate::app::App;
use crate::store::StoreError;
use crate::webhooks::{Hook, NoSecret};

/// One way to somebody, ready for use.
pub enum Channel {
    /// By mail, to the owner or to the operators.
    Mail(Arc<Delivering>, Mailer),
    /// Into the operators' ticket system.
    Rt(Arc<Delivering>, Rt),
    /// To somebody's program.
    Webhook(Program),
    /// To somebody's program, of which something is missing on this machine; it may come back.
    Unready(WebhookName, NoSecret),
}

/// Somebody's program.
pub struct Program {
    name: WebhookName,
    hook: Hook,
    /// It has said so; nothing more is sent to it.
    gone: AtomicBool,
}

/// Why there is no channel of a name.
#[derive(Debug, thiserror::Error)]
pub enum NoChannel {
    /// It was removed, or is not configured any more.
    #[error("there is no such channel any more")]
    Unknown,
    /// It is there, and nothing is sent to it.
    #[error("the webhook is disabled: {why}")]
    Disabled {
        /// Why.
        why: String,
    },
    /// The database failed.
    #[error("the webhook can't be read")]
    Store(#[from] StoreError),
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
    /// The channel of a name.
    ///
    /// # Errors
    /// There is none, or it can't be used.
    pub async fn open(
        app: &App,
        delivering: &Arc<Delivering>,
        name: &ChannelName,
    ) -> Result<Self, NoChannel> {
        match name {
            ChannelName::Mail => Ok(Self::Mail(Arc::clone(delivering), delivering.mail.open())),
            ChannelName::Rt => {
                let rt = delivering.rt.clone().ok_or(NoChannel::Unknown)?;
                Ok(Self::Rt(Arc::clone(delivering), rt))
            }
            ChannelName::Webhook(name) => program(app, name).await,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> ChannelName {
        match self {
            Self::Mail(..) => ChannelName::Mail,
            Self::Rt(..) => ChannelName::Rt,
            Self::Webhook(Program { name, .. }) | Self::Unready(name, _) => {
                ChannelName::Webhook(name.clone())
            }
        }
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// The database failed; nothing was handed over.
    pub async fn deliver(&self, handed: &Handed<'_>) -> Result<Outcome, StoreError> {
        match self {
            Self::Mail(delivering, mailer) => mail(delivering, mailer, handed).await.map(Outcome::from),
            Self::Rt(delivering, rt) => rt::hand_over(delivering, rt, handed).await,
            Self::Webhook(program) => program.deliver(handed).await.map(Outcome::from),
            Self::Unready(_, missing) => {
                let why = crate::chain(missing);
                Ok(Ended::Later { why, left: Vec::new(), not_before: None }.into())
            }
        }
    }

    /// Closes what it has kept open from message to message.
    pub async fn close(&self) {
        match self {
            Self::Mail(_, mailer) => mailer.close().await,
            Self::Rt(..) | Self::Webhook(..) | Self::Unready(..) => {}
        }
    }
}

async fn program(app: &App, name: &WebhookName) -> Result<Channel, NoChannel> {
    let ready = |hook| Channel::Webhook(Program { name: name.clone(), hook, gone: AtomicBool::new(false) });
    if let Some(id) = name.registered() {
        let stored = app.store.webhook(id).await?.ok_or(NoChannel::Unknown)?;
        return match stored.disabled {
            Some((_, why)) => Err(NoChannel::Disabled { why }),
            None => Ok(ready(stored.hook()?)),
        };
    }
    let configured = app.config.webhooks.iter().find(|webhook| webhook.name == name.as_str());
    let configured = configured.ok_or(NoChannel::Unknown)?;
    let url = configured.url().ok_or(NoChannel::Unknown)?;
    Ok(match configured.secret() {
        Ok(secret) => ready(Hook { url, signing: secret.into(), readers: Readers::Operators }),
        Err(missing) => Channel::Unready(name.clone(), missing),
    })
}

impl Program {
    async fn deliver(&self, handed: &Handed<'_>) -> Result<Ended, StoreError> {
        let (app, notice) = (handed.app, handed.notice);
        let gone = || Ended::Never { why: "it answered 410 Gone".to_owned() };
        if self.gone.load(Ordering::Relaxed) {
            return Ok(gone());
        }
        let body = match webhook::body(notice, &app.config.delivery.event_source, self.hook.readers) {
            Ok(body) => body,
            Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }),
        };
        Ok(match self.hook.post(app, &notice.id.to_string(), body).await {
            Answered::Taken { status } => Ended::Arrived { how: format!("posted, answered {status}") },
            Answered::NotNow { why, not_before } => Ended::Later { why, left: Vec::new(), not_before },
            Answered::Gone => {
                // The operator's stay in use: what the configuration says is not for a receiver to change.
                if let Some(id) = self.name.registered() {
                    app.store.disable_webhook(id, "it answered 410 Gone", app.clock.now()).await?;
                    self.gone.store(true, Ordering::Relaxed);
                }
                gone()
            }
        })
    }
}

async fn mail(delivering: &Delivering, mailer: &Mailer, handed: &Handed<'_>) -> Result<Ended, StoreError> {
    let (app, notice) = (handed.app, handed.notice);
    let contact = contact(app, notice).await?;
    if let (Tells::Reminder { .. }, Reminders::Unwanted) = (&notice.tells, contact.reminders) {
        return Ok(Ended::Arrived { how: "left out: the owner wants no reminders by mail".to_owned() });
    }
    if notice.tells.mailed_to() == Reader::Operators && contact.mail.is_empty() {
        return Ok(Ended::Arrived { how: "left out: no address is set in mail.operators".to_owned() });
    }
    let config = &app.config.mail;
    let answers = match notice.tells.mailed_to() {
        Reader::Owner => delivering.answers.as_ref().map(|answers| answers.to(&notice.ticket)),
        // Whoever answers to a signed address speaks for the owner.
        Reader::Operators | Reader::Nobody => None,
    };
    let read = if answers.is_some() { Answers::Read } else { Answers::Unread };
    let links = Links { answers: read, ..config.links.clone() };
    let message = match delivering.renderer.render(notice, &contact, &links) {
        Ok(message) => message,
        Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }),
    };
    let standing = standing(app, notice).await?;
    let letterhead =
        Letterhead { sender: &config.sender, links: &links, standing, answers: answers.as_ref() };
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

/// Where the messages before this one have left the entry in the reader's calendar.
async fn standing(app: &App, notice: &Notice) -> Result<Standing, StoreError> {
    let story = app.store.story_before(notice).await?;
    Ok(Standing::after(&story))
}

/// How the reader of a message is reached. Operators stand in where a server has no owner.
pub(super) async fn contact(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    match notice.tells.mailed_to() {
        Reader::Operators => Ok(stand_in(notice, app.config.mail.operators.clone())),
        Reader::Owner | Reader::Nobody => owner(app, notice).await,
    }
}

/// How the owner of a ticket is reached.
pub(super) async fn owner(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    let owner = &notice.ticket.owner;
    if *owner == operators() {
        return Ok(stand_in(notice, app.config.mail.operators.clone()));
    }
    Ok(app.store.owner(owner).await?.unwrap_or_else(|| stand_in(notice, Vec::new())))
}

fn stand_in(notice: &Notice, mail: Vec<String>) -> Contact {
    Contact {
        owner: notice.ticket.owner.clone(),
        name: String::new(),
        mail,
        timezone: chrono_tz::UTC,
        language: Language::default(),
        reminders: Reminders::Wanted,
    }
}
