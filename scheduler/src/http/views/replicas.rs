//! Replicas of local disks, as the API shows them.

use chrono::{DateTime, Utc};
use drover_policies::ids::{HostName, MigrationId, ReplicaId, ServerId};
use drover_policies::replica::{
    Activity, Frozen, Going, Replica, ReplicaState, ReplicaStatus, Round, RoundFigures, Test,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Eyes, FailureView, word};
use super::test_launches::TestView;
use crate::replicas::{Present, Telling};

/// The copy of a server's local disks at its destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ReplicaId,
    /// The migration that it is made for.
    #[schema(value_type = uuid::Uuid)]
    pub migration: MigrationId,
    /// That migration's number.
    pub number: u32,
    /// Of which server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// The server's name.
    pub server_name: String,
    /// Since when it is wanted.
    pub opened_at: DateTime<Utc>,
    /// How it stands.
    #[serde(flatten)]
    pub figures: ReplicaFigures,
    /// Its disks.
    pub disks: Vec<ReplicaDiskView>,
    /// What to expect of the cutover; missing before the whole disks have been copied once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<CutoverEstimate>,
    /// The last test launch from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestView>,
    /// What only operators see.
    #[serde(flatten)]
    pub inside: Option<ReplicaInside>,
}

/// How a replica stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaFigures {
    /// `initiating`, `initial_sync`, `rescan`, `syncing`, `continuous`, `backlog`, `paused`, `stalled` or `cutting_over` of one that is kept up to date;
    /// `refused` where an agent would not have it; `releasing` and `gone` of one that is not wanted any more.
    pub state: String,
    /// The same in words: `continuous data replication`.
    pub text: String,
    /// Whether a server can be cut over with it: the whole disks are there, and a round after that.
    pub ready: bool,
    /// How much of the first copy is there, 0 to 100; only while it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_percent: Option<u8>,
    /// By how many seconds it is behind the server; missing before the first copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// What the server has written since, in bytes; missing before the first copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Whether it is further behind than the time between its rounds explains, by more than policy bears (`replication.lag_warn`).
    pub late: bool,
    /// Rounds that have landed.
    pub rounds: u64,
    /// The last one that landed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_round: Option<RoundView>,
    /// The one that is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<RunningRoundView>,
    /// When the next one comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<DateTime<Utc>>,
    /// What the server writes, in bytes per second.
    pub dirty_rate: u64,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Why its rounds fail, or why an agent will not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<StalledView>,
}

/// Why a replica does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StalledView {
    /// What failed.
    #[serde(flatten)]
    pub failure: FailureView,
    /// Since when; missing where it has not begun at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// When it is tried again.
    pub again_at: DateTime<Utc>,
}

/// A round that has landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoundView {
    /// Counts from 1.
    pub number: u64,
    /// `initial`, `incremental`, `rescan` or `tail`.
    pub kind: String,
    /// The moment of the server's disks that the replica shows since.
    pub consistent_at: DateTime<Utc>,
    /// Whether the guest's file systems stood still at that moment.
    pub frozen: bool,
    /// What had been written since the round before, in bytes.
    pub dirty_bytes: u64,
    /// What went over the wire, in bytes.
    pub sent_bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A round that is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningRoundView {
    /// `initial`, `incremental`, `rescan` or `tail`.
    pub kind: String,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// How far it is, 0 to 100.
    pub percent: u8,
    /// What it is to bring over, in bytes.
    pub total_bytes: u64,
    /// What it has, in bytes.
    pub done_bytes: u64,
    /// Bytes per second on the wire, of late.
    pub rate: u64,
    /// How much of the time it was held back for the server's own reading and writing, 0 to 100.
    #[serde(default)]
    pub held_percent: u8,
}

/// A disk that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaDiskView {
    /// Its name in the definition.
    pub target: String,
    /// `qcow2` or `raw`: what it is at the destination.
    pub format: String,
    /// As the guest sees it, in bytes.
    pub virtual_bytes: u64,
    /// What was written to it since the last round, in bytes; missing before the first copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// The file at the destination, once the server runs from it; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What to expect of a cutover, learnt from this server's own rounds and downtimes where there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CutoverEstimate {
    /// What the last round of the running server would bring over now, in bytes; missing where that is not known, as of raw disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_delta_bytes: Option<u64>,
    /// How long that round takes, in milliseconds, as often longer as shorter. The server runs meanwhile.
    pub final_delta_ms: u64,
    /// Nine times in ten it is no longer than this, in milliseconds.
    pub final_delta_p90_ms: u64,
    /// How long the server will be off, in milliseconds, as often longer as shorter.
    pub downtime_ms: u64,
    /// Nine times in ten it is no longer than this, in milliseconds.
    pub downtime_p90_ms: u64,
    /// How long the guest takes after that until it answers, in milliseconds, as its last test launch has shown; missing before one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ms: Option<u64>,
}

/// What only operators see of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaInside {
    /// Where the server is.
    #[schema(value_type = String)]
    pub from: HostName,
    /// Where the copy is.
    #[schema(value_type = String)]
    pub to: HostName,
    /// Most bytes per second of its rounds at present; missing without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

/// How a replica stands, as `event: replica` of the stream carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaEvent {
    /// The migration that it is made for.
    #[schema(value_type = uuid::Uuid)]
    pub migration: MigrationId,
    /// The server's name.
    pub server_name: String,
    /// How it stands.
    pub replica: ReplicaFigures,
}

impl ReplicaView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(present: &Present, eyes: Eyes) -> Self {
        let Present { replica, status, pace, .. } = present;
        let operator = eyes == Eyes::Operator;
        Self {
            id: replica.id,
            migration: replica.migration,
            number: present.number,
            server: replica.server,
            server_name: present.server_name.clone(),
            opened_at: replica.opened_at,
            figures: figures(present, eyes),
            disks: disks(replica, status.as_ref(), eyes),
            estimate: present.final_delta.filter(|_| !replica.is_leaving()).map(|delta| CutoverEstimate {
                final_delta_bytes: delta.bytes,
                final_delta_ms: delta.duration.as_milliseconds(),
                final_delta_p90_ms: delta.duration_p90.as_milliseconds(),
                downtime_ms: present.cutover.downtime.as_milliseconds(),
                downtime_p90_ms: present.cutover.downtime_p90.as_milliseconds(),
                boot_ms: replica.test.as_ref().and_then(Test::boot).map(|boot| boot.as_milliseconds()),
            }),
            test: replica.test.as_ref().map(|test| TestView::of(test, eyes)),
            inside: operator.then(|| ReplicaInside {
                from: replica.from.clone(),
                to: replica.to.clone(),
                bandwidth: pace.bandwidth,
            }),
        }
    }
}

fn figures(present: &Present, eyes: Eyes) -> ReplicaFigures {
    let replica = &present.replica;
    let Some(telling) = present.telling() else { return ReplicaFigures::untold(replica, eyes) };
    let told = ReplicaFigures::told(&telling, eyes);
    match not_kept(&replica.state) {
        Some((state, text)) => {
            ReplicaFigures { state: state.to_owned(), text: text.to_owned(), ready: false, ..told }
        }
        None => told,
    }
}

impl ReplicaFigures {
    /// Whether it is kept up to date, or is about to be: then that can be paused and resumed.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !NOT_KEPT.contains(&self.state.as_str())
    }

    /// By what its agent tells.
    #[must_use]
    pub fn told(telling: &Telling<'_>, eyes: Eyes) -> Self {
        let Telling { status, pace, at, .. } = *telling;
        let standing = status.standing(pace);
        let (round, next_at, stalled) = match &status.activity {
            Activity::Round(figures) => (Some(RunningRoundView::from(figures)), None, None),
            Activity::Resting { next_at } => (None, Some(*next_at), None),
            Activity::Stalled { failure, since, next_at } => {
                let failure = FailureView::of(failure, eyes);
                (None, None, Some(StalledView { failure, since: Some(*since), again_at: *next_at }))
            }
            Activity::Initiating | Activity::Paused | Activity::CuttingOver => (None, None, None),
        };
        Self {
            state: word(&standing),
            text: standing.to_string(),
            ready: status.is_ready(),
            initial_percent: status.initial_percent(),
            lag_seconds: status.lag(at).map(|lag| lag.0.as_secs()),
            lag_bytes: status.lag_bytes(),
            late: telling.is_late(),
            rounds: status.rounds,
            last_round: status.last.as_ref().map(RoundView::from),
            round,
            next_at,
            dirty_rate: status.dirty_rate,
            paused: pace.going == Going::Paused,
            stalled,
        }
    }

    /// Of one of which no agent has told anything yet.
    fn untold(replica: &Replica, eyes: Eyes) -> Self {
        let (state, text) = not_kept(&replica.state).unwrap_or(("initiating", "initiating data replication"));
        let stalled = match &replica.state {
            ReplicaState::Refused { failure, until } => {
                Some(StalledView { failure: FailureView::of(failure, eyes), since: None, again_at: *until })
            }
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Replicating { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => None,
        };
        Self {
            state: state.to_owned(),
            text: text.to_owned(),
            ready: false,
            initial_percent: None,
            lag_seconds: None,
            lag_bytes: None,
            late: false,
            rounds: 0,
            last_round: None,
            round: None,
            next_at: None,
            dirty_rate: 0,
            paused: replica.going == Going::Paused,
            stalled,
        }
    }
}

/// The states of those that nobody keeps up to date.
const NOT_KEPT: [&str; 4] = ["held", "refused", "releasing", "gone"];

/// State and words of one that nobody keeps up to date; nothing of one that is kept, or is about to be.
fn not_kept(state: &ReplicaState) -> Option<(&'static str, &'static str)> {
    match state {
        ReplicaState::Holding { .. } | ReplicaState::Replicating { .. } => None,
        ReplicaState::Held => Some(("held", "ready to be filled")),
        ReplicaState::Refused { .. } => Some(("refused", "refused by an agent")),
        ReplicaState::Stopping { .. } | ReplicaState::Releasing { .. } => {
            Some(("releasing", "being let go of"))
        }
        ReplicaState::Gone { .. } => Some(("gone", "gone")),
    }
}

fn disks(replica: &Replica, status: Option<&ReplicaStatus>, eyes: Eyes) -> Vec<ReplicaDiskView> {
    let lag = |target: &str| {
        let backlog = status?.backlog.iter().find(|disk| disk.target == target)?;
        Some(backlog.bytes)
    };
    let views = replica.disks.iter().map(|disk| ReplicaDiskView {
        target: disk.target.clone(),
        format: disk.at_destination().format.to_string(),
        virtual_bytes: disk.virtual_bytes,
        lag_bytes: lag(&disk.target),
        path: (eyes == Eyes::Operator).then(|| disk.path.display().to_string()),
    });
    views.collect()
}

impl From<&Round> for RoundView {
    fn from(round: &Round) -> Self {
        Self {
            number: round.number,
            kind: word(&round.kind),
            consistent_at: round.consistent_at,
            frozen: round.frozen == Frozen::Yes,
            dirty_bytes: round.dirty_bytes,
            sent_bytes: round.sent_bytes,
            took_ms: round.took.as_milliseconds(),
        }
    }
}

impl From<&RoundFigures> for RunningRoundView {
    fn from(figures: &RoundFigures) -> Self {
        Self {
            kind: word(&figures.kind),
            began_at: figures.began_at,
            percent: figures.percent(),
            total_bytes: figures.total_bytes(),
            done_bytes: figures.done_bytes(),
            rate: figures.rate,
            held_percent: figures.held_percent,
        }
    }
}
