//! What a notice tells: the fact itself, whose turn it is after it, and who reads it.

use serde::{Deserialize, Serialize};

use super::{Actor, Avoidance};
use crate::attempt::PowerOff;
use crate::checks::Finding;
use crate::time::{Instant, Span};
use crate::windows::Slot;

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
        /// Whether it should be tried before.
        #[serde(default, skip_serializing_if = "Trial::is_not_advised")]
        trial: Trial,
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
        /// It is still off, and an operator brings it up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        left_off: bool,
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

/// Whether an owner is advised to try a server at its destination before it is moved, by a test launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// He is not: it can't be tried, has been, or there is no time left for it.
    #[default]
    NotAdvised,
    /// He is.
    Advised,
}

impl Trial {
    fn is_not_advised(&self) -> bool {
        *self == Self::NotAdvised
    }
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
