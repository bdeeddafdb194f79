//! Answers to mails: taken in, understood, carried out, answered.
//!
//! ```text
//! mail server ── pipe ──▶ drover-scheduler mail-in ──┐
//! IMAP mailbox ◀── fetched by ── imap ───────────────┴──▶ spool/new ──▶ handle ──▶ spool/done │ failed
//! ```
//!
//! A mail is durably in the spool before its sender's side is told that we have it, and leaves `new` after all that follows from it
//! is committed. A crash between the two handles it again, and then its key is there already: nothing is lost, nothing done twice.

mod handle;
mod imap;
mod keys;
mod spool;
mod talk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drover_notifier::reply::{Address, Keys, Return};
use drover_policies::notices::TicketSummary;

pub use handle::{HandleError, Handled, handle};
pub use imap::{ImapConfig, ImapError, fetch, keep_fetching};
pub use keys::{KeysError, make_keys, read_keys};
pub use spool::{Refused, Spool, Taking, receive};
pub(crate) use talk::{Commands, Heard, Talk};

use crate::app::App;
use crate::config::{Config, IncomingConfig};

/// How often the spool is looked at: a pipe is another process, which has no way to nudge this one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The wait after the database or the disk has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How answers are taken in.
#[derive(Debug, Clone)]
pub struct Answering {
    /// The address that signed ones are made of.
    pub address: Address,
    /// What signs them.
    pub keys: Keys,
}

impl Answering {
    /// Where answers to this ticket go.
    #[must_use]
    pub fn to(&self, ticket: &TicketSummary) -> Return {
        self.keys.sign(&self.address, &ticket.number, ticket.id, &ticket.owner)
    }

    /// As it is configured; nothing where answers are not taken in.
    ///
    /// # Errors
    /// The keys can't be read.
    pub fn configured(config: &Config) -> Result<Option<Self>, KeysError> {
        let Some(address) = config.mail.incoming.as_ref().and_then(IncomingConfig::address) else {
            return Ok(None);
        };
        Ok(Some(Self { address, keys: read_keys(&config.data_dir)? }))
    }
}

/// Where the spool is.
#[must_use]
pub fn spool_of(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("incoming")
}

/// Takes in answers for ever, if they are to be taken in.
pub async fn run(app: &Arc<App>, answering: Option<&Answering>) {
    let (Some(answering), Some(config)) = (answering, &app.config.mail.incoming) else {
        return std::future::pending().await;
    };
    let spool = match Spool::open(&spool_of(&app.config.data_dir)) {
        Ok(spool) => spool,
        Err(error) => {
            tracing::error!(%error, "the spool of incoming mails can't be opened; answers by mail wait");
            return std::future::pending().await;
        }
    };
    let fetching = async {
        match &config.imap {
            Some(imap) => keep_fetching(imap, &spool, config.largest).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(fetching, work(app, answering, &spool));
}

async fn work(app: &Arc<App>, answering: &Answering, spool: &Spool) {
    let mut swept = None;
    loop {
        let now = app.clock.now();
        if swept.is_none_or(|at| now - at > chrono::TimeDelta::hours(1)) {
            spool.sweep(now);
            swept = Some(now);
        }
        let wait = match work_off(app, answering, spool).await {
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(error = %crate::chain(&error), "an incoming mail could not be handled; it is tried again");
                AFTER_FAILURE
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Handles what is in the spool now, the oldest first; answers how many mails that were. One that can't be handled at present keeps
/// no other waiting.
///
/// # Errors
/// The first failure of the database or the disk; what was not handled stays where it is.
pub async fn work_off(app: &Arc<App>, answering: &Answering, spool: &Spool) -> Result<usize, HandleError> {
    let mut count = 0;
    let mut failure = None;
    for name in spool.waiting().map_err(HandleError::Spool)? {
        match handle_one(app, answering, spool, &name).await {
            Ok(()) => count += 1,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(count), Err)
}

async fn handle_one(
    app: &Arc<App>,
    answering: &Answering,
    spool: &Spool,
    name: &str,
) -> Result<(), HandleError> {
    let Some(raw) = spool.read(name).map_err(HandleError::Spool)? else { return Ok(()) };
    let moved = match handle(app, answering, raw).await {
        Ok(handled @ Handled::Forged) => {
            tracing::warn!(mail = name, %handled, "a mail was handled");
            spool.done(name)
        }
        Ok(handled) => {
            tracing::info!(mail = name, %handled, "a mail was handled");
            spool.done(name)
        }
        Err(HandleError::Unreadable(why)) => {
            tracing::warn!(mail = name, %why, "an incoming mail can't be read; it is kept in failed");
            spool.failed(name)
        }
        Err(error @ (HandleError::Store(_) | HandleError::Refused(_) | HandleError::Spool(_))) => {
            return Err(error);
        }
    };
    moved.map_err(HandleError::Spool)
}
