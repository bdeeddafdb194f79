//! Parts that many answers have.

use chrono::{DateTime, Utc};
use drover_policies::attempt::{Failure, Progress};
use drover_policies::notices::Actor;
use drover_policies::windows::Slot;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The objects.
    pub items: Vec<T>,
    /// To be given as `cursor` for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A reason, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub text: String,
}

impl Reason {
    /// A reason from its two forms.
    pub fn new(code: &str, text: impl ToString) -> Self {
        Self { code: code.to_owned(), text: text.to_string() }
    }
}

/// A stretch of time, its end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotView {
    /// First moment.
    pub start: DateTime<Utc>,
    /// First moment after it.
    pub end: DateTime<Utc>,
}

impl From<Slot> for SlotView {
    fn from(slot: Slot) -> Self {
        Self { start: slot.start, end: slot.end }
    }
}

impl From<SlotView> for Slot {
    fn from(view: SlotView) -> Self {
        Self { start: view.start, end: view.end }
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// Which kind.
    pub who: ActorKind,
    /// The operator's or owner's name; owners aren't shown those of operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which kind of actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// An operator.
    Operator,
    /// An owner.
    Owner,
    /// The scheduler itself.
    Drover,
}

/// Whose eyes an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eyes {
    /// An operator's: everything.
    Operator,
    /// An owner's: no host, no other owner, no words meant for operators.
    Owner,
}

impl ActorView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(actor: &Actor, eyes: Eyes) -> Self {
        match (actor, eyes) {
            (Actor::Operator { name }, Eyes::Operator) => {
                Self { who: ActorKind::Operator, name: Some(name.clone()) }
            }
            (Actor::Operator { .. }, Eyes::Owner) => Self { who: ActorKind::Operator, name: None },
            (Actor::Owner { owner }, Eyes::Operator | Eyes::Owner) => {
                Self { who: ActorKind::Owner, name: Some(owner.to_string()) }
            }
            (Actor::Drover, Eyes::Operator | Eyes::Owner) => Self { who: ActorKind::Drover, name: None },
        }
    }
}

impl std::fmt::Display for ActorView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.who {
            ActorKind::Operator => "operator",
            ActorKind::Owner => "owner",
            ActorKind::Drover => "drover",
        };
        match &self.name {
            Some(name) => write!(f, "{kind} {name}"),
            None => f.write_str(kind),
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// A stable word.
    pub class: String,
    /// The class as a sentence.
    pub meaning: String,
    /// What the hypervisor said; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl FailureView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(failure: &Failure, eyes: Eyes) -> Self {
        Self {
            class: word(&failure.class),
            meaning: failure.class.to_string(),
            text: (eyes == Eyes::Operator).then(|| failure.text.clone()),
        }
    }
}

/// How far a running attempt is. Figures that the phase hasn't got are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// `preflight`, `armed` (ordered, and its time has not come), `transferring`, `power_off_source`, `finalize`, `boot_target`, `verifying`, `rolling_back` or `in_doubt`.
    pub phase: String,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// Part of the memory that is at the destination, 0 to 100.
    pub percent: u8,
    /// Memory in all, in bytes.
    pub total_bytes: u64,
    /// Sent so far, in bytes; grows past the total when memory is sent again.
    pub sent_bytes: u64,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// Bytes per second on the wire.
    pub rate: u64,
    /// Bytes per second that the guest writes anew.
    pub dirty_rate: u64,
    /// Pass over the memory, from 1.
    pub iteration: u32,
    /// How long the guest would stand still if it were switched over now, in milliseconds.
    pub expected_downtime_ms: u64,
    /// The downtime that QEMU may use now, in milliseconds; 0 when not known.
    pub allowed_downtime_ms: u64,
}

impl From<&Progress> for ProgressView {
    fn from(progress: &Progress) -> Self {
        Self {
            phase: word(&progress.phase),
            at: progress.at,
            percent: progress.percent(),
            total_bytes: progress.total_bytes,
            sent_bytes: progress.sent_bytes,
            remaining_bytes: progress.remaining_bytes,
            rate: progress.rate,
            dirty_rate: progress.dirty_rate,
            iteration: progress.iteration,
            expected_downtime_ms: progress.expected_downtime_ms,
            allowed_downtime_ms: progress.allowed_downtime_ms,
        }
    }
}

/// The serialised word of a value that serialises as one.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Only enums without data come here.
        Ok(_) | Err(_) => String::new(),
    }
}

/// The tag of a value that serialises as an object with a tag.
pub fn tag(value: &impl Serialize, name: &str) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| Some(value.get(name)?.as_str()?.to_owned()))
        .unwrap_or_default()
}
