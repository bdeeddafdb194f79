//! What happened, as the API shows it.

use chrono::{DateTime, Utc};
use drover_policies::events::{Event, Happened};
use drover_policies::ids::{HostName, ImportId, MaintenanceId, MigrationId, OwnerId, ServerId};
use drover_policies::import::ImportHappened;
use drover_policies::migration::Loss;
use drover_policies::notices::{Actor, WhyGivenUp};
use drover_policies::replica::{EndOfTest, TestHappened};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ActorView, Eyes, ProgressView, tag};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the order of all events; to be given as `after` or `Last-Event-ID`.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// A stable word: `requested`, `planned`, `began`, `arrived`, …
    pub kind: String,
    /// What, as a sentence that goes on after the server's or host's name.
    pub text: String,
    /// The maintenance that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub maintenance: Option<MaintenanceId>,
    /// The migration that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub migration: Option<MigrationId>,
    /// The import that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub import: Option<ImportId>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub server: Option<ServerId>,
    /// Its name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whose server it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerId>,
    /// The host; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host: Option<HostName>,
    /// All figures of it, as they are stored; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<serde_json::Value>,
}

impl EventView {
    /// As an operator sees it.
    #[must_use]
    pub fn for_operator(seq: i64, event: &Event) -> Self {
        Self {
            seq,
            at: event.at,
            kind: tag(&event.what, "kind"),
            text: event.what.to_string(),
            maintenance: event.maintenance,
            migration: event.migration,
            import: event.import,
            server: event.server.as_ref().map(|(id, _)| *id),
            server_name: event.server.as_ref().map(|(_, name)| name.clone()),
            owner: event.owner.clone(),
            host: event.host.clone(),
            figures: serde_json::to_value(&event.what).ok(),
        }
    }

    /// As an owner sees it; nothing when it isn't about one of his servers, or means something to operators only.
    #[must_use]
    pub fn for_owner(seq: i64, event: &Event, owner: &OwnerId) -> Option<Self> {
        if event.owner.as_ref() != Some(owner) {
            return None;
        }
        let text = words_for_owner(&event.what)?;
        let mut view = Self::for_operator(seq, event);
        view.text = text;
        view.host = None;
        view.import = None;
        view.figures = None;
        Some(view)
    }
}

/// What an owner is told of it: no host, no limit, no words of operators or hypervisors.
fn words_for_owner(what: &Happened) -> Option<String> {
    let by = |by| ActorView::of(by, Eyes::Owner);
    let at = |moment: &DateTime<Utc>| moment.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    Some(match what {
        Happened::Planned { method, .. } => format!("is to be moved: {method}"),
        Happened::FellBack { why } => format!("has to be restarted to be moved. {}", why.for_owner()),
        Happened::BecameLive => "can be moved live after all".to_owned(),
        Happened::Proposed { slot } => format!("ticket: {} proposed", at(&slot.start)),
        Happened::Rescheduled { slot, by: who } => format!("moved to {} by {}", at(&slot.start), by(who)),
        Happened::Declined { slot, by: who } => format!("{} declined by {}", at(&slot.start), by(who)),
        Happened::Withdrawn { slot, why } => format!("{} is not kept: {why}", at(&slot.start)),
        Happened::Accepted { by: who } => format!("time accepted by {}", by(who)),
        Happened::StartNow { by: who, through } => format!("to be started now, says {}{through}", by(who)),
        Happened::Missed { slot, .. } => format!("missed its time {}", at(&slot.start)),
        Happened::Began { method, .. } => format!("{method} migration begins"),
        Happened::PhaseReached { phase } => phase.to_string(),
        Happened::PhaseDone { done } => done.to_string(),
        Happened::AttemptFailed { method, failure, .. } => {
            format!("{method} migration did not succeed: {}", failure.class)
        }
        Happened::Arrived { method, moved, .. } => match moved.downtime {
            Some(downtime) => format!("moved ({method}, stood still for {})", downtime.rounded()),
            None => format!("moved ({method})"),
        },
        Happened::Alive { .. } => "seen alive".to_owned(),
        Happened::Failed { .. } => "needs an operator, who looks after it".to_owned(),
        Happened::AskedFor { slot, by: who } => {
            format!("to be moved at {}, says {}", at(&slot.start), by(who))
        }
        Happened::DrillAskedFor { slot, by: who } => {
            format!("a drill at {}, says {}", at(&slot.start), by(who))
        }
        Happened::GivenUp { why: WhyGivenUp::Cancelled { by: who } } => format!("cancelled by {}", by(who)),
        Happened::Confirmed { by: who @ (Actor::Owner { .. } | Actor::Operator { .. }) } => {
            format!("confirmed by {}", by(who))
        }
        Happened::Reverting { by: who, loss: Loss::None, .. } => {
            format!("is to go back to where it was, says {}", by(who))
        }
        Happened::Reverting { by: who, loss: Loss::Accepted, .. } => format!(
            "is to go back to where it was, says {}, who accepts that what it has written to its local disks since is lost",
            by(who)
        ),
        Happened::GivenUp { why: WhyGivenUp::NothingRetained { .. } } => {
            "given up, as its old disks are not there as they were".to_owned()
        }
        Happened::ReplicaInitiating { .. } => "its disks begin to be copied".to_owned(),
        Happened::ReplicaStalled { failure } => {
            format!("the copy of its disks is stalled: {}", failure.class)
        }
        Happened::ReplicaLate { lag } => format!("the copy of its disks is {} behind", lag.rounded()),
        Happened::ReplicaPaused { by: who } => format!("the copy of its disks was paused by {}", by(who)),
        Happened::ReplicaResumed { by: who } => format!("the copy of its disks was resumed by {}", by(who)),
        Happened::TestLaunch { what, .. } => match what {
            TestHappened::Asked { by: who } => format!("test launch: {} asked for it", by(who)),
            TestHappened::Marked { result, by: who } => format!("test launch: {result}, says {}", by(who)),
            TestHappened::Ended { because: EndOfTest::Failed { failure } } => {
                format!("test launch: it could not be launched: {}", failure.class)
            }
            // Where its console is on the host is for operators.
            TestHappened::Launched { name, .. } => format!("test launch: {name} runs"),
            TestHappened::CleanupStart
            | TestHappened::CleanupEnd
            | TestHappened::SnapshotStart
            | TestHappened::SnapshotEnd { .. }
            | TestHappened::LaunchStart
            | TestHappened::Checked { .. }
            | TestHappened::Ended { .. } => format!("test launch: {what}"),
        },
        Happened::Import { what: ImportHappened::Imported { .. } } => "is here".to_owned(),
        Happened::BlueprintSet { blueprint, by: who } => {
            format!("at its next launch by a reboot: {blueprint}, says {}", by(who))
        }
        Happened::SyncAskedFor { by: who } => {
            format!("{} asked for the copy of its disks to be brought up to date", by(who))
        }
        Happened::Avoided { .. }
        | Happened::InitialSyncDone { .. }
        | Happened::ReplicaReady { .. }
        | Happened::ReplicaCaughtUp { .. }
        | Happened::ReplicaGoesOn
        | Happened::Checked { .. }
        | Happened::Shaped { .. }
        | Happened::ShapedBack
        | Happened::Closed
        | Happened::Cancelled
        | Happened::Adopted
        | Happened::Released
        | Happened::DrillBegan { .. }
        | Happened::DrillEnded
        | Happened::GivenUp { why: WhyGivenUp::OutOfTime | WhyGivenUp::ForReal }
        | Happened::Confirmed { by: Actor::Drover }
        | Happened::Reverted { .. }
        | Happened::NotReverted { .. } => what.to_string(),
        Happened::Requested { .. }
        | Happened::Paused { .. }
        | Happened::Resumed { .. }
        | Happened::MaintenanceCancelled { .. }
        | Happened::EmergencyDeclared { .. }
        | Happened::DeadlineNear { .. }
        | Happened::HostEmpty
        | Happened::HostNotEmpty { .. }
        | Happened::MaintenanceCompleted
        | Happened::Rolling { .. }
        | Happened::Replanned { .. }
        | Happened::Waits { .. }
        | Happened::DowntimeRaised { .. }
        | Happened::Aborting { .. }
        | Happened::Forced { .. }
        | Happened::Retried { .. }
        | Happened::ReplicaRefused { .. }
        | Happened::ReplicaReleased { .. }
        | Happened::ReplicaLeft { .. }
        | Happened::Import { .. }
        | Happened::TokenIssued { .. }
        | Happened::TokenRevoked { .. }
        | Happened::TicketTaken { .. }
        | Happened::TicketGivenBack { .. }
        | Happened::StandingChanged { .. } => return None,
    })
}

/// Live figures of one migration, as `event: progress` of the stream carries them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressEvent {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub migration: MigrationId,
    /// The server's name.
    pub server_name: String,
    /// `live` or `reboot`.
    pub method: String,
    /// How far.
    pub progress: ProgressView,
}
