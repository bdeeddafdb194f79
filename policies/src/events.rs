//! What has happened, for the story that operators read, for the API's event stream and for the log.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::attempt::{Failure, Method, Moved, Phase, PhaseDone};
use crate::checks::Finding;
use crate::eligibility::WhyNotLive;
use crate::ids::{HostName, ImportId, MaintenanceId, MigrationId, OwnerId, ServerId};
use crate::import::ImportHappened;
use crate::maintenance::RollingHappened;
use crate::migration::Loss;
use crate::notices::{Actor, Avoidance, WhyGivenUp};
use crate::replica::{Images, Round, TestHappened};
use crate::time::{Instant, Span};
use crate::windows::Slot;

mod words;

/// One thing that happened, and to what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The maintenance that it belongs to.
    pub maintenance: Option<MaintenanceId>,
    /// The migration that it belongs to.
    pub migration: Option<MigrationId>,
    /// The import that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportId>,
    /// The server, and its name at that time.
    pub server: Option<(ServerId, String)>,
    /// Whose server it is.
    pub owner: Option<OwnerId>,
    /// The host.
    pub host: Option<HostName>,
    /// What.
    pub what: Happened,
}

impl Event {
    /// What it happened to, in a word for people: the server, or else the host, or else the account or the maintenance as a whole.
    #[must_use]
    pub fn subject(&self) -> &str {
        match (&self.server, &self.host, &self.owner) {
            (Some((_, name)), _, _) => name,
            (None, Some(host), _) => host.as_str(),
            (None, None, Some(owner)) => owner.as_str(),
            (None, None, None) => "maintenance",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happened {
    /// A maintenance was asked for.
    Requested {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
        /// The hosts.
        hosts: Vec<HostName>,
        /// Until when.
        deadline: Instant,
    },
    /// A maintenance was paused.
    Paused {
        /// By whom.
        by: Actor,
    },
    /// A maintenance goes on.
    Resumed {
        /// By whom.
        by: Actor,
    },
    /// A maintenance was given up.
    MaintenanceCancelled {
        /// By whom.
        by: Actor,
    },
    /// A maintenance became an emergency.
    EmergencyDeclared {
        /// By whom.
        by: Actor,
        /// What endangers the hosts.
        why: String,
    },
    /// The deadline is near, and some servers still wait.
    DeadlineNear {
        /// How many.
        waiting: usize,
        /// The deadline.
        deadline: Instant,
    },
    /// A host's libvirt said that it is empty.
    HostEmpty,
    /// A host's libvirt named servers that nobody had seen.
    HostNotEmpty {
        /// Their names.
        left: Vec<String>,
    },
    /// Every host of a maintenance is empty.
    MaintenanceCompleted,
    /// Something about a maintenance over many hosts.
    Rolling {
        /// What.
        what: RollingHappened,
    },
    /// A server has to leave.
    Planned {
        /// How.
        method: Method,
        /// Where to, if a place was found.
        to: Option<HostName>,
        /// Why not live.
        why_not_live: Option<WhyNotLive>,
    },
    /// What was decided does not hold any more.
    Replanned {
        /// Where to now.
        to: HostName,
        /// What changed.
        why: String,
    },
    /// It will be a reboot migration.
    FellBack {
        /// Why.
        why: WhyNotLive,
    },
    /// It can be moved live after all.
    BecameLive,
    /// It can't go on at present.
    Waits {
        /// For what, in words.
        waits_for: String,
    },
    /// A ticket was opened, and this time proposed.
    Proposed {
        /// When.
        slot: Slot,
    },
    /// The time was changed.
    Rescheduled {
        /// When.
        slot: Slot,
        /// By whom.
        by: Actor,
    },
    /// The owner does not want this time.
    Declined {
        /// Which.
        slot: Slot,
        /// By whom.
        by: Actor,
    },
    /// A time that was proposed is not kept, before it came.
    Withdrawn {
        /// Which.
        slot: Slot,
        /// Why.
        why: String,
        /// The freeze that was set for it, if that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        freeze: Option<String>,
    },
    /// The owner agreed.
    Accepted {
        /// By whom.
        by: Actor,
    },
    /// Somebody said: now.
    StartNow {
        /// Who.
        by: Actor,
        /// How he said it.
        #[serde(default)]
        through: Through,
    },
    /// The agreed time passed.
    Missed {
        /// The time.
        slot: Slot,
        /// Why.
        why: String,
    },
    /// A try was ordered.
    Began {
        /// How.
        method: Method,
        /// Where to.
        to: HostName,
        /// Which try of this method, from 1.
        attempt: u32,
    },
    /// A try reached another phase.
    PhaseReached {
        /// Which.
        phase: Phase,
    },
    /// A phase of a cutover is over.
    PhaseDone {
        /// Which, and what it took.
        done: PhaseDone,
    },
    /// The ladder allowed a longer downtime.
    DowntimeRaised {
        /// In milliseconds.
        to_ms: u64,
        /// The pass over the memory in which it did.
        iteration: u32,
    },
    /// An abort was ordered.
    Aborting {
        /// Why.
        why: String,
    },
    /// An operator forced it.
    Forced {
        /// Who.
        by: Actor,
    },
    /// An operator began it anew.
    Retried {
        /// Who.
        by: Actor,
    },
    /// A try failed, and the server is where it was.
    AttemptFailed {
        /// How it was tried.
        method: Method,
        /// Why.
        failure: Failure,
        /// When it is tried again, if it is.
        again_at: Option<Instant>,
    },
    /// The server is at its destination.
    Arrived {
        /// How.
        method: Method,
        /// Where.
        to: HostName,
        /// What it cost.
        moved: Moved,
    },
    /// The guest was seen alive.
    Alive {
        /// By which sign.
        sign: String,
    },
    /// Something was looked at where it arrived.
    Checked {
        /// What, and what was seen.
        finding: Finding,
    },
    /// It needs a person.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// It was given up with its maintenance.
    Cancelled,
    /// It was resolved without us.
    Avoided {
        /// By what.
        how: Avoidance,
    },
    /// Nothing of it is left at the source.
    Closed,
    /// Somebody wants a server moved at this time, without a maintenance.
    AskedFor {
        /// When.
        slot: Slot,
        /// Who.
        by: Actor,
    },
    /// Somebody wants a drill at this time.
    DrillAskedFor {
        /// When.
        slot: Slot,
        /// Who.
        by: Actor,
    },
    /// A drill pretends from now on that the server is being moved.
    DrillBegan {
        /// Until when.
        until: Instant,
    },
    /// A drill has come to its end.
    DrillEnded,
    /// A maintenance needs what was asked for without one.
    Adopted,
    /// The maintenance that needed what was asked for was cancelled.
    Released,
    /// What was asked for is not done.
    GivenUp {
        /// Why not.
        why: WhyGivenUp,
    },
    /// A finished reboot migration is to stay as it is.
    Confirmed {
        /// Who said so; Drover, when the time to revert it is over.
        by: Actor,
    },
    /// The server is to go back.
    Reverting {
        /// Who said so.
        by: Actor,
        /// The number of the migration that takes it back.
        through: u32,
        /// Whether he gives up what it has written to its local disks since.
        #[serde(default, skip_serializing_if = "Loss::is_none")]
        loss: Loss,
    },
    /// The server is back where it was.
    Reverted {
        /// The number of the migration that took it back.
        through: u32,
    },
    /// The server was to go back, and stays where it is.
    NotReverted {
        /// The number of the migration that would have taken it back.
        through: u32,
    },
    /// The disks of a server begin to be copied.
    ReplicaInitiating {
        /// Where to.
        to: HostName,
        /// As the guest sees them, in bytes.
        bytes: u64,
    },
    /// An agent will not have, or make, a copy.
    ReplicaRefused {
        /// Where it was to be.
        host: HostName,
        /// Why not.
        failure: Failure,
        /// When it is tried again.
        again_at: Instant,
    },
    /// The whole disks have been copied once.
    InitialSyncDone {
        /// With these figures.
        round: Round,
    },
    /// A server can be cut over with its copy.
    ReplicaReady {
        /// How far it is behind.
        lag: Option<Span>,
    },
    /// Rounds fail.
    ReplicaStalled {
        /// Why.
        failure: Failure,
    },
    /// A copy is further behind than its rounds explain, by more than policy bears.
    ReplicaLate {
        /// How far.
        lag: Span,
    },
    /// It is not any more.
    ReplicaCaughtUp {
        /// How far it is behind.
        lag: Span,
    },
    /// Rounds are done again after they have failed.
    ReplicaGoesOn,
    /// A copy is not kept up to date until somebody resumes it.
    ReplicaPaused {
        /// Who.
        by: Actor,
    },
    /// It is again.
    ReplicaResumed {
        /// Who.
        by: Actor,
    },
    /// Somebody has said what the server shall look like at its next launch.
    BlueprintSet {
        /// What it changes, in one line; `as it is` when it was cleared.
        blueprint: String,
        /// Who.
        by: Actor,
    },
    /// The server has been launched as its blueprint says.
    Shaped {
        /// What was changed.
        blueprint: String,
    },
    /// The server is back, and looks as it did before.
    ShapedBack,
    /// Somebody wants a replica to be brought up to date now.
    SyncAskedFor {
        /// Who.
        by: Actor,
    },
    /// Something about a test launch.
    TestLaunch {
        /// On which host.
        at: HostName,
        /// What.
        what: TestHappened,
    },
    /// Something about an import.
    Import {
        /// What.
        what: ImportHappened,
    },
    /// A copy is not held any more.
    ReplicaReleased {
        /// Where.
        at: HostName,
        /// What became of its files.
        images: Images,
    },
    /// A copy was to be let go of, and something of it is left.
    ReplicaLeft {
        /// Where.
        at: HostName,
        /// What was to become of its files.
        images: Images,
        /// Why it did not.
        failure: Failure,
    },
    /// A token was issued: to an owner, to the agent of a host, or to an operator.
    TokenIssued {
        /// Its id.
        token: Uuid,
        /// What it is called.
        name: String,
        /// By whom.
        by: Actor,
    },
    /// A token is worthless from now on.
    TokenRevoked {
        /// Its id.
        token: Uuid,
        /// What it is called.
        name: String,
        /// By whom.
        by: Actor,
    },
    /// An operator looks after a ticket from now on.
    TicketTaken {
        /// Who.
        by: Actor,
        /// Who did before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// He does not any more, and nobody in particular does.
    TicketGivenBack {
        /// Who.
        by: Actor,
    },
    /// An operator keeps servers away from a host, or lets them come again.
    StandingChanged {
        /// The standing now.
        to: String,
        /// By whom.
        by: Actor,
    },
}

/// How an owner has said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// Himself, or by a program of his that has his token.
    #[default]
    Himself,
    /// By software in the server: its guest has acknowledged the event.
    Guest,
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Himself => "",
            Self::Guest => " through the guest",
        })
    }
}
