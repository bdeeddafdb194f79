//! Hands mails to a channel: a mail server, or a maildir on this machine.
//!
//! Each delivery ends in one of three ways. *Delivered*: the channel has taken responsibility. *Retry*: it has not, and may later.
//! *Fail*: it never will. Whoever calls keeps that, and waits between tries as it sees fit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::connections::Connections;
use crate::mail::Mail;
use crate::maildir;
pub use crate::smtp::{SmtpConfig, TlsMode};

/// Where mails go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Channel {
    /// Into a maildir: for a first look, and for installations whose mail is fetched from there.
    Maildir(MaildirConfig),
    /// To a mail server.
    Smtp(SmtpConfig),
}

/// A maildir.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaildirConfig {
    /// The directory that has, or will get, `tmp`, `new` and `cur`. All mails go into this one, whoever they are for.
    pub path: PathBuf,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The channel has it.
    Delivered {
        /// Where it went, for people.
        how: String,
        /// Addresses that were refused for good, while others were accepted.
        refused: Vec<Refused>,
    },
    /// Not now; the same mail may be accepted later.
    Retry {
        /// What stood in the way.
        why: String,
        /// Who still has to get it: give these to [`Mail::left_for`] next time, or those who have it get it twice.
        left: Vec<String>,
        /// Addresses that were refused for good in this try; they are not among those left.
        refused: Vec<Refused>,
    },
    /// Never: nobody got it, and a repeat would end the same way.
    Fail {
        /// Who refused it, and why.
        why: String,
    },
}

/// An address that will never get the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The address.
    pub address: String,
    /// In the words of whoever refused it.
    pub why: String,
}

impl Channel {
    /// What is wrong with the settings, each in a sentence that names the field and what would be right. Files that are named are
    /// opened, but nothing is connected to: a mail server that is down now must not keep the scheduler from starting.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        match self {
            Self::Maildir(config) => maildir::check(&config.path),
            Self::Smtp(config) => config.check(),
        }
    }

    /// Opens it for a number of mails.
    #[must_use]
    pub fn open(&self) -> Mailer {
        Mailer { channel: self.clone(), connections: Connections::default() }
    }
}

/// A channel in use. Between mails it keeps what it has opened, until it is [closed](Mailer::close).
pub struct Mailer {
    channel: Channel,
    connections: Connections,
}

impl Mailer {
    /// Hands a mail over. Several may be handed over at the same time.
    ///
    /// An interrupted delivery may be repeated. A maildir then still holds one copy. A mail server may get a second one if the
    /// connection was lost between the end of the mail and the server's answer; nobody can know what it did, and both copies bear
    /// the same Message-ID.
    pub async fn deliver(&self, mail: &Mail) -> Delivery {
        let unusable = mail
            .unusable
            .iter()
            .map(|address| Refused { address: address.clone(), why: "it is no mail address".to_owned() });
        match &self.channel {
            Channel::Maildir(config) => maildir::deliver(&config.path, mail).await,
            Channel::Smtp(config) => config.deliver(&self.connections, mail).await,
        }
        .with_refused(unusable)
    }

    /// Closes what was kept open. It may be used again afterwards.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

impl Delivery {
    fn with_refused(mut self, more: impl Iterator<Item = Refused>) -> Self {
        match &mut self {
            Self::Delivered { refused, .. } | Self::Retry { refused, .. } => refused.extend(more),
            Self::Fail { why } => {
                for Refused { address, why: reason } in more {
                    why.push_str(&format!("; {address}: {reason}"));
                }
            }
        }
        self
    }
}
