//! What people say in a ticket, as the API shows it.

use chrono::{DateTime, Utc};
use drover_policies::notices::{Actor, Answer, Did, Notice, Tells};
use drover_policies::windows::Slot;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ActorView, Eyes, SlotView, word};

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SaidView {
    /// Who.
    pub by: ActorView,
    /// By which way: `api`, `mail` or `ticket_system`.
    pub via: String,
    /// His words.
    pub text: String,
    /// What was answered at once, where it was something to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerView>,
}

/// What was answered to somebody who wanted something done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerView {
    /// `accepted`, `moved`, `was_so`, `starts_now`, `no_reminders`, `refused` or `not_understood`.
    pub came_to: String,
    /// The time that holds, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotView>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Times that were offered instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub free: Vec<DateTime<Utc>>,
}

impl SaidView {
    /// What a message says in somebody's words; nothing where it is all ours.
    #[must_use]
    pub fn of(notice: &Notice, eyes: Eyes) -> Option<Self> {
        match &notice.tells {
            Tells::Written { by, text, via } => {
                Some(Self { by: ActorView::of(by, eyes), via: word(via), text: text.clone(), answer: None })
            }
            Tells::Answered { asked, via, answer } => Some(Self {
                by: ActorView::of(&Actor::Owner { owner: notice.ticket.owner.clone() }, eyes),
                via: word(via),
                text: asked.clone(),
                answer: Some(AnswerView::of(answer)),
            }),
            Tells::Proposed { .. }
            | Tells::Reminder { .. }
            | Tells::Rescheduled { .. }
            | Tells::Accepted { .. }
            | Tells::Missed { .. }
            | Tells::Started { .. }
            | Tells::Done { .. }
            | Tells::NotSeenAlive { .. }
            | Tells::ChecksFailed { .. }
            | Tells::RolledBack { .. }
            | Tells::Cancelled
            | Tells::Avoided { .. }
            | Tells::Emergency { .. }
            | Tells::NoSlot { .. }
            | Tells::Requested { .. }
            | Tells::Needed { .. }
            | Tells::GivenUp { .. }
            | Tells::Confirmed { .. }
            | Tells::Reverting { .. }
            | Tells::Reverted { .. } => None,
        }
    }
}

impl AnswerView {
    fn of(answer: &Answer) -> Self {
        let done = |came_to: &str, slot: Option<Slot>| Self {
            came_to: came_to.to_owned(),
            slot: slot.map(SlotView::from),
            why: None,
            free: Vec::new(),
        };
        match answer {
            Answer::Done { did: Did::Accepted { slot } } => done("accepted", Some(*slot)),
            Answer::Done { did: Did::Moved { slot } } => done("moved", Some(*slot)),
            Answer::Done { did: Did::WasSo { slot } } => done("was_so", Some(*slot)),
            Answer::Done { did: Did::StartsNow } => done("starts_now", None),
            Answer::Done { did: Did::NoReminders } => done("no_reminders", None),
            Answer::Refused { understood: _, why, free } => {
                Self { why: Some(why.clone()), free: free.clone(), ..done("refused", None) }
            }
            Answer::NotUnderstood { why, free } => {
                Self { why: Some(why.clone()), free: free.clone(), ..done("not_understood", None) }
            }
        }
    }
}

/// An address that a message did not reach after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BounceView {
    /// The address.
    pub address: String,
    /// Why, in the words of a mail server.
    pub why: String,
    /// When the mail came back.
    pub at: DateTime<Utc>,
}

/// A message as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    /// What is to be read, of at most 10,000 characters; line breaks are kept.
    pub text: String,
}

/// A ticket as it is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TakeTicket {
    /// Who has it, where it is to be taken over from another operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}
