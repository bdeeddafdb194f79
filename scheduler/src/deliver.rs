//! Hands notices to the channel, each until it is taken or refused for good.
//!
//! A notice is stored with the fact that it tells; from there on it is this task's. It may be cut off anywhere: what is not
//! known to be delivered is delivered again, and its Message-ID tells a mail system that it is the same.

use std::time::Duration;

use drover_notifier::deliver::{Channel, Delivery};
use drover_notifier::mail::Mail;
use drover_notifier::render::Renderer;
use drover_policies::migration::operators;
use drover_policies::notices::{Contact, Notice, Tells};
use drover_policies::time::Span;

use crate::app::App;
use crate::store::{StoreError, StoredNotice, Tried};

/// The longest between two looks, should a nudge ever be lost.
const AT_THE_LATEST: Duration = Duration::from_secs(30);

/// How many are taken at once.
const AT_ONCE: u32 = 50;

/// The wait before a second try; each further one waits twice as long as the one before.
const FIRST_WAIT: Span = Span::seconds(10);

/// But never longer than this.
const LONGEST_WAIT: Span = Span::minutes(30);

/// What is needed to deliver.
pub struct Delivering {
    /// Facts into words.
    pub renderer: Renderer,
    /// Where to.
    pub channel: Channel,
}

/// Delivers whatever is due, for ever.
pub async fn run(app: &App, delivering: &Delivering) {
    loop {
        match deliver_due(app, delivering).await {
            Ok(0) => {
                let wait = match app.store.next_delivery_at().await {
                    Ok(Some(at)) => (at - app.clock.now()).to_std().unwrap_or_default().min(AT_THE_LATEST),
                    Ok(None) | Err(_) => AT_THE_LATEST,
                };
                tokio::select! {
                    () = app.mail.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = %crate::chain(&error), "notices could not be read or marked");
                tokio::time::sleep(AT_THE_LATEST).await;
            }
        }
    }
}

/// Delivers what is due now; answers how many notices were tried.
///
/// # Errors
/// The database failed.
pub async fn deliver_due(app: &App, delivering: &Delivering) -> Result<usize, StoreError> {
    let due = app.store.notices_due(app.clock.now(), AT_ONCE).await?;
    let count = due.len();
    for notice in due {
        let delivery = deliver(app, delivering, &notice).await?;
        let now = app.clock.now();
        let number = &notice.notice.ticket.number;
        let tried = match delivery {
            Delivery::Delivered { how, refused } => {
                for refused in refused {
                    tracing::warn!(ticket = %number, address = %refused.address, why = %refused.why, "an address was refused");
                }
                Tried::Delivered { how }
            }
            Delivery::Retry { why, left, refused: _ } => {
                let at = now + wait_after(notice.tries).delta();
                tracing::warn!(ticket = %number, %why, next = %at, "a notice could not be delivered yet");
                Tried::Retry { at, error: why, still_to_get: left }
            }
            Delivery::Fail { why } => {
                tracing::error!(ticket = %number, %why, "a notice can't be delivered");
                Tried::Failed { error: why }
            }
        };
        app.store.notice_tried(notice.notice.id, &tried, now).await?;
    }
    Ok(count)
}

async fn deliver(app: &App, delivering: &Delivering, due: &StoredNotice) -> Result<Delivery, StoreError> {
    if let Tells::Reminder { slot, .. } = &due.notice.tells
        && slot.start <= app.clock.now()
    {
        // The channel was away for so long that it would remind of what is past.
        return Ok(Delivery::Delivered {
            how: "left out: what it reminds of was past before it could be sent".to_owned(),
            refused: Vec::new(),
        });
    }
    let contact = contact(app, &due.notice).await?;
    let message = match delivering.renderer.render(&due.notice, &contact, &app.config.mail.links) {
        Ok(message) => message,
        Err(error) => return Ok(Delivery::Fail { why: crate::chain(&error) }),
    };
    match Mail::new(&message, &due.notice, &contact, &app.config.mail.sender) {
        Ok(mail) => Ok(delivering.channel.deliver(&mail.left_for(&due.still_to_get)).await),
        Err(error) => Ok(Delivery::Fail { why: crate::chain(&error) }),
    }
}

/// How the owner is reached. Operators stand in where a server has no owner.
async fn contact(app: &App, notice: &Notice) -> Result<Contact, StoreError> {
    let owner = &notice.ticket.owner;
    let known = app.store.owner(owner).await?;
    Ok(known.unwrap_or_else(|| Contact {
        owner: owner.clone(),
        name: String::new(),
        mail: if *owner == operators() { app.config.mail.operators.clone() } else { Vec::new() },
        timezone: chrono_tz::UTC,
    }))
}

fn wait_after(tries: u32) -> Span {
    let factor = 2_u32.saturating_pow(tries.min(16));
    Span(FIRST_WAIT.0.saturating_mul(factor)).min(LONGEST_WAIT)
}
