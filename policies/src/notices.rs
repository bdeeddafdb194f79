//! What owners are told, as facts: which kind of message, about what, with which figures. Words are the notifier's.
//!
//! A notice is stored in the same transaction as the fact that it tells, under a key that names the fact. A second notice of the
//! same key is the same notice: that is why no crash can make an owner read a thing twice, or never.
//!
//! No host is named in here: from a host's name an owner could infer who else is on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::PowerOff;
use crate::blueprint::Blueprint;
use crate::checks::Finding;
use crate::ids::{MigrationId, NoticeId, OwnerId, ServerId, TicketId};
use crate::language::Language;
use crate::migration::Loss;
use crate::time::{Instant, Span};
use crate::windows::Slot;

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

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tells", rename_all = "snake_case")]
pub enum Tells {
    /// A reboot migration is needed, and this time is proposed. Opens the ticket.
    Proposed {
        /// When it would happen.
        slot: Slot,
        /// Expected downtime.
        downtime: Span,
        /// Where a place is reserved.
        reserved: Reserved,
        /// Why this time: the owner's own window or the default one.
        window: String,
    },
    /// The appointment is near.
    Reminder {
        /// When it will happen.
        slot: Slot,
        /// What is left until then, as the policy's reminder says.
        left: Span,
        /// Expected downtime.
        downtime: Span,
    },
    /// The time has been changed.
    Rescheduled {
        /// The time before.
        from: Slot,
        /// The time now.
        slot: Slot,
        /// Who changed it.
        by: Actor,
    },
    /// The owner agreed to the time.
    Accepted {
        /// When it will happen.
        slot: Slot,
        /// Who agreed.
        by: Actor,
    },
    /// The window passed without the migration being begun; another time is proposed.
    Missed {
        /// The time that passed.
        missed: Slot,
        /// Why nothing was begun.
        why: String,
        /// The time proposed now; nothing when none can be found before the deadline.
        slot: Option<Slot>,
    },
    /// It begins now.
    Started {
        /// Expected downtime.
        downtime: Span,
    },
    /// It is done, the guest was seen alive. Closes the ticket.
    Done {
        /// How long the server was off, as measured.
        downtime: Option<Span>,
        /// How it was shut down.
        power_off: Option<PowerOff>,
        /// Until when it can be confirmed or reverted; nothing when it can't.
        #[serde(default)]
        confirm_until: Option<Instant>,
        /// What it was looked at for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<Finding>,
    },
    /// It was moved and is alive, but something that must pass has failed. The ticket stays open.
    ChecksFailed {
        /// What it was looked at for.
        findings: Vec<Finding>,
        /// What comes of it.
        then: AfterFailedChecks,
    },
    /// It was moved, but the guest was not seen alive in time; an operator looks after it. The ticket stays open.
    NotSeenAlive {
        /// What was seen.
        text: String,
    },
    /// It failed, and the server runs where it was. Another time is proposed if one can be found.
    RolledBack {
        /// Why it failed, for people.
        why: String,
        /// Whether the server was off in between, and for how long.
        downtime: Option<Span>,
        /// The time proposed now.
        slot: Option<Slot>,
    },
    /// It is not needed any more: the maintenance was cancelled. Closes the ticket.
    Cancelled,
    /// It is not needed any more: what the owner did has resolved it. Closes the ticket.
    Avoided {
        /// What resolved it.
        how: Avoidance,
    },
    /// It was done without notice, outside of windows, because the host was in danger. Told afterwards.
    Emergency {
        /// What endangered the host.
        why: String,
    },
    /// No time can be found in the owner's windows before the deadline; the owner is asked.
    NoSlot {
        /// What stands in the way, and what would help.
        why: String,
    },
    /// It will be moved at the time that was asked for, without a maintenance. Opens the ticket.
    Requested {
        /// When it will happen.
        slot: Slot,
        /// Expected downtime.
        downtime: Span,
        /// Who asked for it.
        by: Actor,
    },
    /// A maintenance needs what its owner has asked for: he can't cancel it any more. His time stays.
    Needed {
        /// When it will happen; nothing when it is to begin at once.
        slot: Option<Slot>,
    },
    /// What was asked for is not done. Closes the ticket.
    GivenUp {
        /// Why not.
        why: WhyGivenUp,
    },
    /// It has been said that all is well: it can't be reverted any more.
    Confirmed {
        /// Who said so.
        by: Actor,
    },
    /// It will go back to where it was. Opens the ticket again.
    Reverting {
        /// When. One that begins at once is told of by its start.
        slot: Slot,
        /// Expected downtime.
        downtime: Span,
        /// Who asked for it.
        by: Actor,
    },
    /// It is back where it was, and the guest was seen alive. Closes the ticket.
    Reverted {
        /// How long the server was off, as measured.
        downtime: Option<Span>,
        /// How it was shut down.
        power_off: Option<PowerOff>,
        /// Who had accepted that what was written to its local disks since is lost; nothing when it is there still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss_accepted_by: Option<Actor>,
    },
    /// Somebody wrote something that is for people to read.
    Written {
        /// Who. What the scheduler itself writes is for operators: something waits for them.
        by: Actor,
        /// His words, with line breaks; what he quoted of earlier mails is cut off.
        text: String,
        /// By which way it came.
        via: Via,
    },
    /// An answer to what an owner asked for in words.
    Answered {
        /// His words.
        asked: String,
        /// By which way they came.
        #[serde(default = "by_mail")]
        via: Via,
        /// What came of them.
        answer: Answer,
    },
}

/// It was the only way before it was written down.
fn by_mail() -> Via {
    Via::Mail
}

/// What comes of a check that must pass and has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "then", rename_all = "snake_case")]
pub enum AfterFailedChecks {
    /// It waits until its owner or an operator confirms or reverts it.
    Held {
        /// Where it was to go back by itself: why it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why_not_reverted: Option<String>,
    },
    /// It goes back where it was, now.
    Reverting,
}

/// Why something that was asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why_given_up", rename_all = "snake_case")]
pub enum WhyGivenUp {
    /// Somebody took it back.
    Cancelled {
        /// Who.
        by: Actor,
    },
    /// It could not be done in time.
    OutOfTime,
    /// It was a drill, and the server is to be moved for real.
    ForReal,
    /// A server was to go back to what was retained of it, and its old host does not have that as it was left.
    NothingRetained {
        /// What is wrong there, for operators.
        text: String,
    },
}

/// By which way words came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The API, and what is built on it.
    Api,
    /// A mail.
    Mail,
    /// A ticket system that this ticket is mirrored in.
    TicketSystem,
}

/// What came of something that an owner asked for by mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It was understood and done.
    Done {
        /// What.
        did: Did,
    },
    /// It was understood, and can't be done so.
    Refused {
        /// What was understood, to be read after "you asked us to".
        understood: String,
        /// The refusal: what was wrong, and what would be accepted.
        why: String,
        /// Times that are free.
        free: Vec<Instant>,
    },
    /// It could have several meanings, or none. Nothing was done, and an operator reads it.
    NotUnderstood {
        /// What was not understood.
        why: String,
        /// Times that are free, for the examples.
        free: Vec<Instant>,
    },
}

/// What was done because an owner asked for it by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Did {
    /// The time is agreed; [`Tells::Accepted`] confirms it.
    Accepted {
        /// When.
        slot: Slot,
    },
    /// It has another time; [`Tells::Rescheduled`] confirms it.
    Moved {
        /// When.
        slot: Slot,
    },
    /// Nothing, for it was so already.
    WasSo {
        /// When.
        slot: Slot,
    },
    /// It begins as soon as it can.
    StartsNow,
    /// Reminders are mailed no more.
    NoReminders,
}

/// Who has to write next in a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// An operator: an owner's words wait for an answer.
    Operators,
    /// Nobody in particular.
    Nobody,
}

/// What a message leaves of its ticket, for ticket systems that hold a copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Open: something is still to come, or somebody has to read it.
    Open,
    /// Closed: it has nothing left to say.
    Closed,
    /// As it was before.
    AsItWas,
}

/// Who gets a mail of something that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The owner.
    Owner,
    /// The operators.
    Operators,
    /// Nobody: it stands in the ticket.
    Nobody,
}

/// Whether a place is held at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserved {
    /// It is.
    Yes,
    /// It will be, as soon as there is room.
    NotYet,
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

impl Tells {
    /// The kind by its short name: the folder of its templates, and a part of its key.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Proposed { .. } => "proposed",
            Self::Reminder { .. } => "reminder",
            Self::Rescheduled { .. } => "rescheduled",
            Self::Accepted { .. } => "accepted",
            Self::Missed { .. } => "missed",
            Self::Started { .. } => "started",
            Self::Done { .. } => "done",
            Self::NotSeenAlive { .. } => "not_seen_alive",
            Self::ChecksFailed { .. } => "checks_failed",
            Self::RolledBack { .. } => "rolled_back",
            Self::Cancelled => "cancelled",
            Self::Avoided { .. } => "avoided",
            Self::Emergency { .. } => "emergency",
            Self::NoSlot { .. } => "no_slot",
            Self::Requested { .. } => "requested",
            Self::Needed { .. } => "needed",
            Self::GivenUp { .. } => "given_up",
            Self::Confirmed { .. } => "confirmed",
            Self::Reverting { .. } => "reverting",
            Self::Reverted { .. } => "reverted",
            Self::Written { .. } => "written",
            Self::Answered { .. } => "answered",
        }
    }

    /// What it changes about whose turn it is to write; nothing for most messages.
    #[must_use]
    pub fn turn(&self) -> Option<Turn> {
        match self {
            Self::Written { by: Actor::Owner { .. }, .. } => Some(Turn::Operators),
            Self::Written { by: Actor::Operator { .. }, .. } => Some(Turn::Nobody),
            Self::Written { by: Actor::Drover, .. }
            | Self::Answered { .. }
            | Self::Proposed { .. }
            | Self::Reminder { .. }
            | Self::Rescheduled { .. }
            | Self::Accepted { .. }
            | Self::Missed { .. }
            | Self::Started { .. }
            | Self::Done { .. }
            | Self::NotSeenAlive { .. }
            | Self::ChecksFailed { .. }
            | Self::RolledBack { .. }
            | Self::Cancelled
            | Self::Avoided { .. }
            | Self::Emergency { .. }
            | Self::NoSlot { .. }
            | Self::Requested { .. }
            | Self::Needed { .. }
            | Self::GivenUp { .. }
            | Self::Confirmed { .. }
            | Self::Reverting { .. }
            | Self::Reverted { .. } => None,
        }
    }

    /// What it leaves of its ticket elsewhere.
    #[must_use]
    pub fn leaves(&self) -> Leaves {
        match self {
            Self::Done { .. }
            | Self::Cancelled
            | Self::Avoided { .. }
            | Self::GivenUp { .. }
            | Self::Reverted { .. } => Leaves::Closed,
            Self::Written { by: Actor::Operator { .. } | Actor::Drover, .. }
            | Self::Answered { answer: Answer::Done { .. } | Answer::Refused { .. }, .. }
            | Self::Confirmed { .. } => Leaves::AsItWas,
            Self::Written { by: Actor::Owner { .. }, .. }
            | Self::Answered { answer: Answer::NotUnderstood { .. }, .. }
            | Self::Proposed { .. }
            | Self::Reminder { .. }
            | Self::Rescheduled { .. }
            | Self::Accepted { .. }
            | Self::Missed { .. }
            | Self::Started { .. }
            | Self::NotSeenAlive { .. }
            | Self::ChecksFailed { .. }
            | Self::RolledBack { .. }
            | Self::Emergency { .. }
            | Self::NoSlot { .. }
            | Self::Requested { .. }
            | Self::Needed { .. }
            | Self::Reverting { .. } => Leaves::Open,
        }
    }

    /// Who gets a mail of it. Nobody is sent his own words, and nobody two mails of the same thing.
    #[must_use]
    pub fn mailed_to(&self) -> Reader {
        match self {
            Self::Written { by: Actor::Owner { .. } | Actor::Drover, .. } => Reader::Operators,
            Self::Answered { answer: Answer::Done { did }, .. } => match did {
                // The message that tells the owner of the fact itself is the confirmation.
                Did::Accepted { .. } | Did::Moved { .. } => Reader::Nobody,
                Did::WasSo { .. } | Did::StartsNow | Did::NoReminders => Reader::Owner,
            },
            Self::Written { by: Actor::Operator { .. }, .. }
            | Self::Answered { answer: Answer::Refused { .. } | Answer::NotUnderstood { .. }, .. }
            | Self::Proposed { .. }
            | Self::Reminder { .. }
            | Self::Rescheduled { .. }
            | Self::Accepted { .. }
            | Self::Missed { .. }
            | Self::Started { .. }
            | Self::Done { .. }
            | Self::NotSeenAlive { .. }
            | Self::ChecksFailed { .. }
            | Self::RolledBack { .. }
            | Self::Cancelled
            | Self::Avoided { .. }
            | Self::Emergency { .. }
            | Self::NoSlot { .. }
            | Self::Requested { .. }
            | Self::Needed { .. }
            | Self::GivenUp { .. }
            | Self::Confirmed { .. }
            | Self::Reverting { .. }
            | Self::Reverted { .. } => Reader::Owner,
        }
    }

    /// Every kind, for whoever must have a template for each.
    pub const KINDS: [&'static str; 22] = [
        "proposed",
        "reminder",
        "rescheduled",
        "accepted",
        "missed",
        "started",
        "done",
        "not_seen_alive",
        "checks_failed",
        "rolled_back",
        "cancelled",
        "avoided",
        "emergency",
        "no_slot",
        "requested",
        "needed",
        "given_up",
        "confirmed",
        "reverting",
        "reverted",
        "written",
        "answered",
    ];
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
