//! The channels, and how a message is handed to one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drover_notifier::calendar::Standing;
use drover_notifier::deliver::{Delivery, Mailer};
use drover_notifier::letter::{Answers, Links};
use drover_notifier::mail::{Letterhead, Mail};
use drover_notifier::rt::Rt;
use drover_notifier::webhook::{self, Answered, Readers};
use drover_policies::bulletins::Bulletin;
use drover_policies::channels::ChannelName;
use drover_policies::ids::WebhookName;
use drover_policies::language::Language;
use drover_policies::migration::operators;
use drover_policies::notices::{Contact, Notice, Reader, Reminders, Tells, TicketSummary};
use drover_policies::time::Instant;

use super::{Delivering, rt};
use crate::app::App;
use crate::store::{Post, StoreError};
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
    pub post: &'a Post,
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
    /// What was sent, where it was in words.
    pub text: Option<String>,
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
        Self { ended, external: None, text: None }
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
            Self::Mail(delivering, mailer) => {
                let mail = match handed.post {
                    Post::Notice(notice) => of_notice(delivering, handed.app, notice).await?,
                    Post::Bulletin(bulletin) => of_bulletin(delivering, handed.app, bulletin),
                };
                Ok(match mail {
                    Err(ended) => ended.into(),
                    Ok(Written { mail, text }) => {
                        let ended = send(mailer, &mail.left_for(handed.still_to_get), handed.post).await;
                        let text = text.filter(|_| matches!(ended, Ended::Arrived { .. }));
                        Outcome { text, ..ended.into() }
                    }
                })
            }
            Self::Rt(delivering, rt) => match handed.post {
                Post::Notice(notice) => rt::hand_over(delivering, rt, (handed, notice)).await,
                // None is stored for it.
                Post::Bulletin(_) => Ok(Ended::Never { why: "it is about no ticket".to_owned() }.into()),
            },
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
        let (app, post) = (handed.app, handed.post);
        let gone = || Ended::Never { why: "it answered 410 Gone".to_owned() };
        if self.gone.load(Ordering::Relaxed) {
            return Ok(gone());
        }
        let source = &app.config.delivery.event_source;
        let body = match post {
            Post::Notice(notice) => webhook::body(notice, source, self.hook.readers),
            Post::Bulletin(bulletin) => webhook::bulletin_body(bulletin, source),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Ok(Ended::Never { why: crate::chain(&error) }),
        };
        Ok(match self.hook.post(app, &post.id().to_string(), body).await {
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

/// A mail, and its text as its ticket keeps it.
struct Written {
    mail: Mail,
    text: Option<String>,
}

/// The mail of a message to an owner, or what becomes of the message without one.
async fn of_notice(
    delivering: &Delivering,
    app: &App,
    notice: &Notice,
) -> Result<Result<Written, Ended>, StoreError> {
    let contact = contact(app, notice).await?;
    if let (Tells::Reminder { .. }, Reminders::Unwanted) = (&notice.tells, contact.reminders) {
        let how = "left out: the owner wants no reminders by mail".to_owned();
        return Ok(Err(Ended::Arrived { how }));
    }
    if notice.tells.mailed_to() == Reader::Operators && contact.mail.is_empty() {
        return Ok(Err(no_operators()));
    }
    let config = &app.config.mail;
    let answers = match notice.tells.mailed_to() {
        Reader::Owner => delivering.answers.as_ref().map(|answers| answers.to(&notice.ticket)),
        // Whoever answers to a signed address speaks for the owner.
        Reader::Operators | Reader::Nobody => None,
    };
    let read = if answers.is_some() { Answers::Read } else { Answers::Unread };
    let links = Links { answers: read, ..links(app, notice) };
    let message = match delivering.renderer.render(notice, &contact, &links) {
        Ok(message) => message,
        Err(error) => return Ok(Err(Ended::Never { why: crate::chain(&error) })),
    };
    let standing = standing(app, notice).await?;
    let letterhead =
        Letterhead { sender: &config.sender, links: &links, standing, answers: answers.as_ref() };
    let mail = Mail::new(&message, notice, &contact, &letterhead);
    Ok(match mail {
        Ok(mail) => Ok(Written { mail, text: Some(kept(app, notice, &links, &message.text)) }),
        Err(error) => Err(Ended::Never { why: crate::chain(&error) }),
    })
}

/// The mail of what operators are told of a maintenance.
fn of_bulletin(delivering: &Delivering, app: &App, bulletin: &Bulletin) -> Result<Written, Ended> {
    let contact = app.config.mail.operators_contact(&operators());
    if contact.mail.is_empty() {
        return Err(no_operators());
    }
    let configured = app.config.mail.links.clone();
    let console = || app.config.web.address().map(|address| format!("{address}/maintenances/{{number}}"));
    let links = Links { maintenance: configured.maintenance.clone().or_else(console), ..configured };
    let failed = |error: &dyn std::error::Error| Ended::Never { why: crate::chain(error) };
    let message =
        delivering.renderer.render_bulletin(bulletin, &contact, &links).map_err(|error| failed(&error))?;
    let mail = Mail::of_bulletin(&message, bulletin, &contact, &app.config.mail.sender);
    mail.map(|mail| Written { mail, text: None }).map_err(|error| failed(&error))
}

fn no_operators() -> Ended {
    Ended::Arrived { how: "left out: no address is set in mail.operators".to_owned() }
}

async fn send(mailer: &Mailer, mail: &Mail, post: &Post) -> Ended {
    match mailer.deliver(mail).await {
        Delivery::Delivered { how, refused } => {
            for refused in refused {
                tracing::warn!(about = %post.number(), address = %refused.address, why = %refused.why, "an address was refused");
            }
            Ended::Arrived { how }
        }
        Delivery::Retry { why, left, refused: _ } => Ended::Later { why, left, not_before: None },
        Delivery::Fail { why } => Ended::Never { why },
    }
}

/// What mails name, the ticket's own page among it where pages have an address and no other page was named. An owner needs no token for that
/// one; nobody else gets such a link.
pub(super) fn links(app: &App, notice: &Notice) -> Links {
    let links = app.config.mail.links.clone();
    let (None, Some(address)) = (&links.ticket, app.config.web.address()) else { return links };
    let TicketSummary { number, id, owner, .. } = &notice.ticket;
    let ticket = match (notice.tells.mailed_to(), &app.page_keys) {
        (Reader::Owner, Some(keys)) if *owner != operators() => {
            format!("{address}/t/{}", keys.sign_page(number, *id, owner))
        }
        (Reader::Owner | Reader::Operators | Reader::Nobody, _) => format!("{address}/tickets/{number}"),
    };
    Links { ticket: Some(ticket), ..links }
}

/// Where the messages before this one have left the entry in the reader's calendar.
async fn standing(app: &App, notice: &Notice) -> Result<Standing, StoreError> {
    let story = app.store.story_before(notice).await?;
    Ok(Standing::after(&story))
}

/// How the reader of a message is reached. Operators stand in where a server has no owner.
pub(super) async fn contact(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    match notice.tells.mailed_to() {
        Reader::Operators => taker(app, notice).await,
        Reader::Owner | Reader::Nobody => owner(app, notice).await,
    }
}

/// How operators are reached about a ticket: all of them, or the one who has taken it.
async fn taker(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    let taken = app.store.ticket(notice.ticket.id).await?.and_then(|ticket| ticket.taken);
    let taker = taken.as_ref().map(|taken| taken.by.as_str());
    Ok(app.config.mail.taker_contact(&notice.ticket.owner, taker))
}

/// How the owner of a ticket is reached.
pub(super) async fn owner(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    let owner = &notice.ticket.owner;
    if *owner == operators() {
        return taker(app, notice).await;
    }
    let unknown = || Contact {
        owner: owner.clone(),
        name: String::new(),
        mail: Vec::new(),
        timezone: chrono_tz::UTC,
        language: Language::default(),
        reminders: Reminders::Wanted,
    };
    Ok(app.store.owner(owner).await?.unwrap_or_else(unknown))
}

/// A mail's text as it may be read in its ticket: the link that opens that one without a token is the owner's alone.
fn kept(app: &App, notice: &Notice, links: &Links, text: &str) -> String {
    match (&app.config.mail.links.ticket, &links.ticket, app.config.web.address()) {
        (None, Some(link), Some(address)) => {
            text.replace(link.as_str(), &format!("{address}/tickets/{}", notice.ticket.number))
        }
        // A page of the installation's own is no secret.
        (_, _, _) => text.to_owned(),
    }
}
