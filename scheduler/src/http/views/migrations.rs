//! Migrations and tickets, as the API shows them.

use chrono::{DateTime, Utc};
use drover_policies::appointment::Appointment;
use drover_policies::attempt::{Moved, Progress};
use drover_policies::ids::{HostName, MaintenanceId, MigrationId, OperationId, OwnerId, ServerId, TicketId};
use drover_policies::migration::{Attempt, Confirmation, FailedBecause, Migration, State, Waiting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::checks::FindingView;
use super::common::{ActorView, Eyes, FailureView, ProgressView, Reason, SlotView, tag, word};
use super::deliveries::DeliveryView;
use super::events::EventView;
use super::replicas::ReplicaView;
use super::threads::{BounceView, SaidView};

/// A migration, named only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationBrief {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: MigrationId,
    /// Its number; that of its ticket is the same with `DR-` before it.
    pub number: u32,
    /// The server's name.
    pub server_name: String,
    /// `live` or `reboot`.
    pub method: String,
    /// Where in its life it is.
    pub state: String,
    /// For what it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Reason>,
}

impl MigrationBrief {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(migration: &Migration, eyes: Eyes) -> Self {
        Self {
            id: migration.id,
            number: migration.number,
            server_name: migration.server_name.clone(),
            method: migration.method.to_string(),
            state: migration.state.name().to_owned(),
            waits_for: waits_for(migration, eyes),
        }
    }
}

/// A migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: MigrationId,
    /// A short number for people.
    pub number: u32,
    /// The maintenance that it belongs to; missing when its owner asked for it himself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub maintenance: Option<MaintenanceId>,
    /// Why it is done.
    pub reason: String,
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whom it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerId>,
    /// `live` or `reboot`.
    pub method: String,
    /// Why it isn't moved live, if it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not_live: Option<Reason>,
    /// `pending`, `preflight`, `transferring`, `preparing`, `ready`, `cutting_over`, `verifying`, `succeeded`, `completed`, `reverting`, `discarding`, `closed`, `reverted`,
    /// `rolled_back`, `failed`, `cancelled` or `avoided`; `rehearsing` and `rehearsed` of a drill.
    pub state: String,
    /// Where in a cutover it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// For what it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Reason>,
    /// Why it failed, was rolled back, or was avoided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Reason>,
    /// Whether the server may still have to leave its host by it.
    pub open: bool,
    /// Whether it needs a person.
    pub needs_person: bool,
    /// The time agreed with the owner.
    pub appointment: AppointmentView,
    /// Its ticket: `DR-` and the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The hard deadline.
    pub deadline: DateTime<Utc>,
    /// Since when it is wanted.
    pub opened_at: DateTime<Utc>,
    /// When the server was seen alive at its destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<DateTime<Utc>>,
    /// Until when it can be confirmed or reverted; missing when it can't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<DateTime<Utc>>,
    /// The number of the migration that it takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<u32>,
    /// For one that takes another back: whether whoever asked for it has accepted that what was written to local disks since is lost. Left out
    /// where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_loss_accepted: bool,
    /// The number of the migration that takes it back, or has done so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<u32>,
    /// What the move cost, once it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedView>,
    /// What the server was looked at for where it arrived, as far as that has come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<FindingView>,
    /// How far the running attempt is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// The copy of its local disks, where it has some; only where migrations are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Box<ReplicaView>>,
    /// What its blueprint changes about the server, in one line; of a revert, what is brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
    /// How many tries there were.
    pub tries: u32,
    /// What only operators see.
    #[serde(flatten)]
    pub inside: Option<MigrationInside>,
}

/// What only operators see of a migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationInside {
    /// The host that the server leaves.
    #[schema(value_type = String)]
    pub from: HostName,
    /// The host that holds a place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<HostName>,
    /// Why there.
    pub place_why: String,
    /// Every try, the running one last.
    pub attempts: Vec<AttemptView>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// The order to the agent.
    #[schema(value_type = uuid::Uuid)]
    pub operation: OperationId,
    /// `live` or `reboot`.
    pub method: String,
    /// Where to.
    #[schema(value_type = String)]
    pub to: HostName,
    /// When it was ordered.
    pub began_at: DateTime<Utc>,
    /// Most bytes per second, where it was given a share of what it has in common with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// When its end was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// Of a cutover: the phases that are over, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseView>,
}

/// A phase of a cutover that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseView {
    /// `final_delta`, `power_off_source`, `finalize`, `boot_target`, `rolling_back`.
    pub phase: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it sent of local disks, in bytes.
    pub sent_bytes: u64,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let end = attempt.end.as_ref();
        Self {
            operation: attempt.operation,
            method: attempt.method.to_string(),
            to: attempt.to.clone(),
            began_at: attempt.began_at,
            rate: attempt.rate,
            ended_at: end.map(|end| end.at),
            failure: end
                .and_then(|end| end.failure.as_ref())
                .map(|failure| FailureView::of(failure, Eyes::Operator)),
            phases: attempt
                .phases
                .iter()
                .map(|done| PhaseView {
                    phase: word(&done.phase),
                    took_ms: done.took.as_milliseconds(),
                    sent_bytes: done.sent_bytes,
                })
                .collect(),
        }
    }
}

/// What a move cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedView {
    /// Bytes sent; 0 on a reboot migration over shared storage. Of local disks, what was read after the power-off.
    pub sent_bytes: u64,
    /// How long the server stood still or was off, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<u64>,
    /// Time inside libvirt's own call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_libvirt_ms: Option<u64>,
    /// `guest_agent`, `acpi`, `hard` or `was_off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_off: Option<String>,
    /// How long it took to bring over what was left on its local disks when it was off, in milliseconds; a part of the downtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_ms: Option<u64>,
}

impl From<&Moved> for MovedView {
    fn from(moved: &Moved) -> Self {
        Self {
            sent_bytes: moved.sent_bytes,
            downtime_ms: moved.downtime.map(drover_policies::time::Span::as_milliseconds),
            in_libvirt_ms: moved.in_libvirt.map(drover_policies::time::Span::as_milliseconds),
            power_off: moved.power_off.map(|how| word(&how)),
            tail_ms: moved.tail.map(|tail| tail.took.as_milliseconds()),
        }
    }
}

/// The time agreed with an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppointmentView {
    /// `unscheduled`, `proposed`, `accepted`, `rescheduled`, `start_now`, `emergency`, `running` or `done`.
    pub state: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotView>,
    /// Who agreed to it, chose it, or said: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorView>,
    /// What the emergency is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl AppointmentView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(appointment: &Appointment, eyes: Eyes) -> Self {
        let (by, why) = match appointment {
            Appointment::Accepted { by, .. }
            | Appointment::Rescheduled { by, .. }
            | Appointment::StartNow { by, .. } => (Some(ActorView::of(by, eyes)), None),
            // Owners are told the reason by the notice that follows an emergency.
            Appointment::Emergency { why } => (None, Some(why.clone())),
            Appointment::Unscheduled
            | Appointment::Proposed { .. }
            | Appointment::Running { .. }
            | Appointment::Done => (None, None),
        };
        Self { state: tag(appointment, "state"), slot: appointment.slot().map(SlotView::from), by, why }
    }
}

fn waits_for(migration: &Migration, eyes: Eyes) -> Option<Reason> {
    let waiting = migration.state.waits_for()?;
    if *waiting == Waiting::Nothing {
        return None;
    }
    let code = tag(waiting, "waits_for");
    let text = match eyes {
        Eyes::Operator => waiting.to_string(),
        Eyes::Owner => for_owner(waiting).to_owned(),
    };
    Some(Reason { code, text })
}

/// For what it waits, without hosts, limits, or what others do.
fn for_owner(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::Nothing => "",
        Waiting::Turn { .. } => "its turn",
        Waiting::BackOff { .. } => "another try, a little later",
        Waiting::Place { .. } => "room on another host",
        Waiting::Blocked { .. } => "an operator, who has to clear the way",
        Waiting::Owner { .. } => "the time agreed with you",
        Waiting::Slot { .. } => "a time in your windows before the deadline; choose one with reschedule",
        Waiting::Replica { .. } => "the copy of its disks",
        Waiting::Agent { .. } => "its host, which can't be reached at present",
        Waiting::Paused => "the maintenance, which is paused",
    }
}

fn outcome(state: &State, eyes: Eyes) -> Option<Reason> {
    let operator = eyes == Eyes::Operator;
    match state {
        State::Failed { why, .. } => {
            let text = match (why, operator) {
                (why, true) => why.to_string(),
                (FailedBecause::NotSeenAlive { .. }, false) => {
                    "moved, but not seen alive yet; an operator looks after it".to_owned()
                }
                (FailedBecause::ChecksFailed { text, .. }, false) => {
                    format!("moved and alive, and waits for you to confirm or revert it: {text}")
                }
                (FailedBecause::LeftOff { .. }, false) => {
                    "it did not succeed, and the server is switched off for now; an operator brings it up again"
                        .to_owned()
                }
                (FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. }, false) => {
                    "it did not succeed, and the server was left where it was; an operator looks after it"
                        .to_owned()
                }
            };
            Some(Reason { code: tag(why, "because"), text })
        }
        State::RolledBack { failure, .. } => Some(Reason {
            code: word(&failure.class),
            text: if operator {
                format!("{} ({})", failure.class, failure.text)
            } else {
                failure.class.to_string()
            },
        }),
        State::Avoided { how, .. } => Some(Reason::new(&word(how), "resolved without a reboot by us")),
        State::Pending { .. }
        | State::Preflight { .. }
        | State::Transferring { .. }
        | State::Preparing { .. }
        | State::Ready { .. }
        | State::CuttingOver { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::Completed { .. }
        | State::Discarding { .. }
        | State::Closed { .. }
        | State::Reverting { .. }
        | State::Reverted { .. }
        | State::Rehearsing { .. }
        | State::Rehearsed { .. }
        | State::Cancelled { .. } => None,
    }
}

fn confirm_until(state: &State) -> Option<DateTime<Utc>> {
    match state {
        State::Completed { confirmation: Confirmation::Awaited { until }, .. } => *until,
        _ => None,
    }
}

fn done_at(state: &State) -> Option<DateTime<Utc>> {
    match state {
        State::Succeeded { at, .. } | State::Completed { at, .. } | State::Rehearsed { at, .. } => Some(*at),
        State::Reverting { completed_at, .. }
        | State::Discarding { completed_at, .. }
        | State::Closed { completed_at, .. }
        | State::Reverted { completed_at, .. } => Some(*completed_at),
        State::Pending { .. }
        | State::Preflight { .. }
        | State::Transferring { .. }
        | State::Preparing { .. }
        | State::Ready { .. }
        | State::CuttingOver { .. }
        | State::Verifying { .. }
        | State::Rehearsing { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Avoided { .. } => None,
    }
}

impl MigrationView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(migration: &Migration, progress: Option<&Progress>, eyes: Eyes) -> Self {
        let phase = match &migration.state {
            State::CuttingOver { phase, .. } => Some(word(phase)),
            _ => None,
        };
        Self {
            id: migration.id,
            number: migration.number,
            maintenance: migration.maintenance,
            reason: migration.reason.clone(),
            server: migration.server,
            server_name: migration.server_name.clone(),
            owner: migration.owner.clone(),
            method: migration.method.to_string(),
            why_not_live: migration.why_not_live.as_ref().map(|why| match eyes {
                Eyes::Operator => Reason::new(why.code(), why),
                Eyes::Owner => Reason::new(why.code(), why.for_owner()),
            }),
            state: migration.state.name().to_owned(),
            phase,
            waits_for: waits_for(migration, eyes),
            outcome: outcome(&migration.state, eyes),
            open: migration.is_open(),
            needs_person: needs_person(migration),
            appointment: AppointmentView::of(&migration.appointment, eyes),
            ticket: migration.ticket.map(|_| migration.ticket_number()),
            deadline: migration.deadline,
            opened_at: migration.opened_at,
            done_at: done_at(&migration.state),
            confirm_until: confirm_until(&migration.state),
            reverts: migration.reverts().map(|of| of.number),
            data_loss_accepted: migration.loss_accepted_by().is_some(),
            reverted_by: migration.reverted_by().map(|by| by.number),
            moved: migration.moved().map(MovedView::from),
            checks: migration.validation.findings.iter().map(FindingView::from).collect(),
            blueprint: migration.blueprint().map(ToString::to_string),
            progress: progress.map(ProgressView::from),
            replica: None,
            tries: u32::try_from(migration.attempts.len()).unwrap_or(u32::MAX),
            inside: (eyes == Eyes::Operator).then(|| MigrationInside {
                from: migration.from.clone(),
                to: migration.to().cloned(),
                place_why: migration.place_why.clone(),
                attempts: migration.attempts.iter().map(AttemptView::from).collect(),
            }),
        }
    }
}

/// Whether nothing will happen before somebody does something.
#[must_use]
pub fn needs_person(migration: &Migration) -> bool {
    match &migration.state {
        State::Failed { .. } => true,
        State::Pending { waits_for } | State::Preparing { waits_for } | State::Ready { waits_for } => {
            match waits_for {
                Waiting::Place { .. }
                | Waiting::Blocked { .. }
                | Waiting::Slot { .. }
                | Waiting::Agent { .. } => true,
                Waiting::Nothing
                | Waiting::Turn { .. }
                | Waiting::BackOff { .. }
                | Waiting::Owner { .. }
                | Waiting::Replica { .. }
                | Waiting::Paused => false,
            }
        }
        State::Preflight { .. }
        | State::Transferring { .. }
        | State::CuttingOver { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::Completed { .. }
        | State::Discarding { .. }
        | State::Closed { .. }
        | State::Reverting { .. }
        | State::Reverted { .. }
        | State::Rehearsing { .. }
        | State::Rehearsed { .. }
        | State::RolledBack { .. }
        | State::Cancelled { .. }
        | State::Avoided { .. } => false,
    }
}

/// A migration with its story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationDetail {
    /// The migration.
    #[serde(flatten)]
    pub migration: MigrationView,
    /// What happened to it, oldest first.
    pub events: Vec<EventView>,
}

/// Times that an owner may choose from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FreeSlots {
    /// The earliest first. None: nothing is open and free before the deadline.
    pub items: Vec<SlotView>,
    /// The hard deadline.
    pub deadline: DateTime<Utc>,
}

/// The thread with an owner about one migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TicketView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: TicketId,
    /// `DR-1042`.
    pub number: String,
    /// What it is about.
    #[schema(value_type = uuid::Uuid)]
    pub migration: MigrationId,
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whom it is for; `operators` where nobody is known.
    #[schema(value_type = String)]
    pub owner: OwnerId,
    /// Its subject.
    pub subject: String,
    /// Why the maintenance is done.
    pub reason: String,
    /// Why the server can't be moved while it runs.
    pub why_not_live: String,
    /// The latest moment at which the server must have left its host.
    pub deadline: DateTime<Utc>,
    /// `open` or `closed`.
    pub state: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// Since when an owner waits in it for an operator's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered_since: Option<DateTime<Utc>>,
    /// Which operator looks after it; only operators are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<String>,
    /// Since when he does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<DateTime<Utc>>,
    /// The time agreed.
    pub appointment: AppointmentView,
    /// What was told, oldest first; in a list of tickets this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notices: Option<Vec<NoticeView>>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Its id.
    pub id: uuid::Uuid,
    /// `proposed`, `reminder`, `done`, …
    pub kind: String,
    /// When the fact came about.
    pub at: DateTime<Utc>,
    /// What was said, where people speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<SaidView>,
    /// The text that went out by mail, without what opens the ticket to whoever has the mail; nothing before one has gone out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Addresses for which its mail came back; operators only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounces: Vec<BounceView>,
    /// What became of it on each channel that it goes to; owners see their mails.
    pub deliveries: Vec<DeliveryView>,
}

/// Another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RescheduleBody {
    /// When it shall begin.
    pub start: DateTime<Utc>,
}

/// A wish for a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateBody {
    /// When it shall begin.
    pub at: DateTime<Utc>,
    /// Why, in a few words, for the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Now, or at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// When it shall begin; now, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Go back to the old disks as they were when the server left them, at once: what it has written to its local disks since is lost. Without
    /// it that is copied back first. Refused where nothing would be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_data_loss: bool,
}
