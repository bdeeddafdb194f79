//! What owners are told, as facts: which kind of message, about what, with which figures. Words are the notifier's.
//!
//! A notice is stored in the same transaction as the fact that it tells, under a key that names the fact. A second notice of the
//! same key is the same notice: that is why no crash can make an owner read a thing twice, or never.
//!
//! No host is named in here: from a host's name an owner could infer who else is on it.

mod tells;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::blueprint::Blueprint;
use crate::ids::{MigrationId, NoticeId, OwnerId, ServerId, TicketId};
use crate::language::Language;
use crate::migration::Loss;
use crate::time::Instant;

pub use tells::{
    AfterFailedChecks, Answer, Did, Leaves, Reader, Reserved, Tells, Trial, Turn, Via, WhyGivenUp,
};

/// One message of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its own id; also the mail's Message-ID.
    pub id: NoticeId,
    /// Names the fact that it tells: unique among all notices.
    pub key: String,
    /// The thread that it belongs to.
    pub ticket: TicketSummary,
    /// What is told.
    pub tells: Tells,
    /// When the fact came about.
    pub at: Instant,
}

/// What every message of a ticket needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSummary {
    /// The ticket; the mails of one ticket are one thread.
    pub id: TicketId,
    /// A short number for people: `DR-1042`.
    pub number: String,
    /// What it is about.
    pub migration: MigrationId,
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whom it is for.
    pub owner: OwnerId,
    /// The operator's reason for the maintenance, for people: `kernel update`.
    pub reason: String,
    /// Why the server can't be moved while it runs, in one sentence for its owner.
    pub why_not_live: String,
    /// The latest moment at which the server must have left its host.
    pub deadline: Instant,
    /// Why it is done.
    #[serde(default)]
    pub cause: Cause,
    /// Where its disks are.
    #[serde(default, skip_serializing_if = "Disks::are_shared")]
    pub disks: Disks,
    /// What it is to look like afterwards, where that is another than before.
    #[serde(default, skip_serializing_if = "Blueprint::is_empty")]
    pub blueprint: Blueprint,
}

/// Where a server's disks are, as far as its owner needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disks {
    /// Both hosts reach them.
    #[default]
    Shared,
    /// Its host alone has some of them: they are copied while it runs, and the old ones are kept for a while.
    Local,
}

impl Disks {
    fn are_shared(&self) -> bool {
        match self {
            Self::Shared => true,
            Self::Local => false,
        }
    }
}

/// Why a server is moved, as far as its owner has a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Its host must be empty.
    #[default]
    Maintenance,
    /// Somebody asked for it, and no maintenance needs it.
    Asked {
        /// Who.
        by: Wisher,
    },
    /// It isn't: everybody's handling of it is tried.
    Drill,
    /// It goes back to where it was.
    Revert {
        /// Who asked for that.
        by: Wisher,
        /// Whether what was written to local disks since is given up.
        #[serde(default, skip_serializing_if = "Loss::is_none")]
        loss: Loss,
    },
}

/// Who asked for something that no maintenance needs: what an owner asked for himself he may take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wisher {
    /// The owner.
    Owner,
    /// Somebody else.
    Operators,
}

impl Wisher {
    /// Which of the two somebody is.
    #[must_use]
    pub fn of(by: &Actor) -> Self {
        match by {
            Actor::Owner { .. } => Self::Owner,
            Actor::Operator { .. } | Actor::Drover => Self::Operators,
        }
    }
}

/// What resolved a migration without us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Avoidance {
    /// The server was deleted.
    Deleted,
    /// The server was found on another host.
    MovedElsewhere,
    /// The owner had stopped the server, and it was moved while it was off.
    MovedWhileOff,
    /// What stood in the way of a live migration is gone, and it was moved live.
    MovedLive,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum Actor {
    /// An operator, by the name of the token.
    Operator {
        /// The name.
        name: String,
    },
    /// The owner.
    Owner {
        /// The account.
        owner: OwnerId,
    },
    /// The scheduler itself.
    Drover,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { name } => write!(f, "operator {name}"),
            Self::Owner { owner } => write!(f, "owner {owner}"),
            Self::Drover => f.write_str("drover"),
        }
    }
}

/// How an owner is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The account.
    pub owner: OwnerId,
    /// For the salutation; may be empty.
    pub name: String,
    /// Mail addresses; without one, notices are kept in the ticket and shown to operators as undeliverable.
    pub mail: Vec<String>,
    /// In which times are told.
    pub timezone: chrono_tz::Tz,
    /// In which he is written to.
    #[serde(default)]
    pub language: Language,
    /// Whether reminders are mailed.
    #[serde(default)]
    pub reminders: Reminders,
}

/// Whether an owner wants reminders by mail. What a ticket must tell him he can't decline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reminders {
    /// He wants them.
    #[default]
    Wanted,
    /// He has declined them; they are kept in the ticket only.
    Unwanted,
}
