//! The wire types of the one call between a host agent and the scheduler: `POST /agent/v1/sync`.
//!
//! The agent sends what it sees; the answer, held open until there is something new, is the *full* list of operations wanted of
//! its host. Level, not edge: a lost request or answer costs nothing, the next one says it all again.

use std::fmt;

use drover_policies::attempt::{Failure, LeftOff, Outcome, PhaseDone, Progress};
use drover_policies::checks::{Look, Looked};
use drover_policies::fleet::{HostFacts, ServerFacts};
use drover_policies::hooks::{Health, HookRan, HookStatus};
use drover_policies::ids::{Generation, HostName, MigrationId, OperationId, ServerId};
use drover_policies::import::{ImportEnd, ImportStatus, LogLine};
use drover_policies::replica::{EndOfTest, Pace, ReplicaDisk, ReplicaStatus, Seen, TestStatus};
use drover_policies::time::{Instant, Span};
use drover_policies::upcoming::azure::Document;
use serde::{Deserialize, Serialize};

mod hooks;
mod import;
mod replica;
mod shape;
mod test_launch;

pub use drover_policies::replica::{Base, Images};
pub use hooks::{CheckHealth, RunHook};
pub use import::ImportServer;
pub use replica::{
    CutoverReplica, HoldReplica, LiveReplica, LookAtRetained, ReleaseReplica, ReplicaPeer, Replicate,
};
pub use shape::Shape;
pub use test_launch::TestLaunch;

/// The version of this protocol. The scheduler refuses an agent that speaks a later one. Since 2: [`SyncRequest::guests`].
/// Since 3: [`SyncResponse::now`] and [`RebootMigrate::within`]. Since 4: replicas of local disks, and [`RebootMigrate::if_failed`].
/// What only some agents of a version can is in their hosts' [`abilities`](HostFacts::abilities), and nobody else is asked for it.
pub const PROTOCOL: u32 = 4;

/// The first version whose agents wait for the time of an order by themselves.
pub const WAITS_SINCE: u32 = 3;

/// The first version whose agents hold replicas, keep them up to date, and cut over with them.
pub const REPLICATES_SINCE: u32 = 4;

/// The first version whose agents look at more than signs of life: [`VerifyGuest::look`].
pub const CHECKS_SINCE: u32 = 4;

/// What an agent tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// [`PROTOCOL`] as the agent speaks it.
    pub protocol: u32,
    /// The agent's host; must be the one that its token was given for.
    pub host: HostName,
    /// Counts the agent's starts on this host (kept in its ledger). A call with a lower one than known comes from an agent
    /// that has been replaced, and is refused.
    pub incarnation: u64,
    /// What runs here, when it differs from what was last acknowledged; nothing otherwise.
    pub inventory: Option<Inventory>,
    /// Every operation that the agent knows: running, and finished until the scheduler no longer wants it.
    pub operations: Vec<OperationReport>,
    /// The [`SyncResponse::revision`] that the agent has already; the answer waits until there is another.
    pub seen_revision: Option<u64>,
    /// For an agent that serves guests their own events; nothing for one that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests: Option<GuestsAsk>,
    /// How long the scheduler may hold the answer, in milliseconds; it may answer sooner.
    pub wait_ms: u64,
}

/// What the scheduler answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncResponse {
    /// Names this list of operations; to be sent as the next call's `seen_revision`.
    pub revision: u64,
    /// The [`Inventory::serial`] that the scheduler has stored; nothing when it has none and wants a full one.
    pub inventory_serial: Option<u64>,
    /// All that is wanted of this host. A finished operation that is missing here may be forgotten by the agent;
    /// a running one is carried to its end (only [`Wish::Abort`] stops it).
    pub operations: Vec<Operation>,
    /// For an agent that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests: Option<GuestsAnswer>,
    /// The scheduler's present when it answered, for agents since [`WAITS_SINCE`]: [`Within`] is meant by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Instant>,
}

/// What an agent asks and tells for the guests on its host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestsAsk {
    /// The [`GuestsTold::revision`] that the agent has already; nothing after its start.
    pub seen_revision: Option<u64>,
    /// What guests have acknowledged, until the scheduler has taken it.
    pub acknowledged: Vec<Acknowledgement>,
}

/// What a scheduler answers for the guests on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestsAnswer {
    /// What guests are told from now on; nothing when the agent has it already, or the scheduler does not know it yet.
    pub told: Option<GuestsTold>,
    /// Acknowledgements that the scheduler has taken, whatever came of them: the agent may forget them.
    pub taken: Vec<Acknowledgement>,
}

/// What the guests on a host are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestsTold {
    /// Names this; to be sent as the next call's `seen_revision`.
    pub revision: u64,
    /// Of each server on this host that has or had events.
    pub events: Vec<GuestEvents>,
    /// The incarnation of the document of every other server: one without events.
    pub incarnation: u64,
}

/// What one guest is told of its own server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestEvents {
    /// The server.
    pub server: ServerId,
    /// The document as the guest reads it.
    pub document: Document,
    /// Whether the guest may have its events started.
    pub start: GuestStart,
}

/// Whether a guest may have an event of its own server started before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "start", rename_all = "snake_case")]
pub enum GuestStart {
    /// It may: that is its owner's *start now*.
    Allowed,
    /// It may only read.
    Forbidden {
        /// Why, for the guest.
        why: String,
    },
}

/// A guest is ready for an event: it may start now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Whose guest, as the agent recognised it.
    pub server: ServerId,
    /// The event.
    pub event: MigrationId,
    /// The `NotBefore` that the guest was shown: what it acknowledged is the event at this time, and no later one.
    pub not_before: String,
    /// When it was acknowledged, by the agent's clock.
    pub at: Instant,
}

/// All that runs on a host, by libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Grows with each change within one incarnation.
    pub serial: u64,
    /// When libvirt was read.
    pub observed_at: Instant,
    /// The host.
    pub host: HostFacts,
    /// Every domain, running or defined.
    pub servers: Vec<ServerFacts>,
}

/// One order to a host agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Names it for ever: the same id is the same operation, however often it is sent.
    pub id: OperationId,
    /// Grows when what is wished of it changes; an older one than known is refused.
    pub generation: Generation,
    /// What is to be done. Never changes for an id.
    pub order: Order,
    /// What may change while it runs.
    pub wish: Wish,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Move a running server to another host, live.
    LiveMigrate(LiveMigrate),
    /// Power a server off here, define it there, boot it there.
    RebootMigrate(RebootMigrate),
    /// Look at a server that has arrived here.
    VerifyGuest(VerifyGuest),
    /// Ask libvirt, now, what is left on this host.
    ConfirmEmpty,
    /// Throw away what is retained of a server that left this host by a reboot migration: its definition, and its local disks. A file that
    /// is a disk of any server of this host is never deleted.
    DiscardRetained {
        /// The server.
        server: ServerId,
        /// Only what this operation retained: the server may have come back and left again since, and the later definition is another's.
        /// Nothing: whatever is retained of it.
        #[serde(default)]
        kept_by: Option<OperationId>,
    },
    /// Look whether the disks that were retained of a server are there as it left them. For agents that can
    /// [`ReturnToRetained`](drover_policies::fleet::Ability::ReturnToRetained).
    LookAtRetained(LookAtRetained),
    /// Take a replica of a server's local disks from another host.
    HoldReplica(HoldReplica),
    /// Keep a replica of a server's local disks up to date at another host. Goes on until it is stopped or the server has left.
    Replicate(Replicate),
    /// Hold a replica no longer.
    ReleaseReplica(ReleaseReplica),
    /// Boot a server from a replica of it that is held here, as a test. Goes on until the test is over.
    TestLaunch(TestLaunch),
    /// Run a hook of this host.
    RunHook(RunHook),
    /// Say whether this host is well.
    CheckHealth(CheckHealth),
    /// Bring a server of another kind of hypervisor here.
    Import(ImportServer),
}

/// Where a server goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The host.
    pub host: HostName,
    /// Where this host's libvirt reaches that one's.
    pub libvirt_uri: String,
    /// The address for the migration stream, if it has a network of its own.
    pub migration_address: Option<String>,
}

/// Move a running server to another host, live: peer to peer, with persistent definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveMigrate {
    /// The server.
    pub server: ServerId,
    /// Where to.
    pub destination: Destination,
    /// Let QEMU slow the guest down when it does not converge.
    pub auto_converge: AutoConverge,
    /// Connections that its memory is sent over. More than one is for agents that can
    /// [`Parallel`](drover_policies::fleet::Ability::Parallel).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub connections: u32,
    /// What takes its local disks; nothing for a server that has none. For agents that can
    /// [`CopyLive`](drover_policies::fleet::Ability::CopyLive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<LiveReplica>,
}

fn one() -> u32 {
    1
}

fn is_one(connections: &u32) -> bool {
    *connections == 1
}

/// Whether QEMU may slow the guest down so that its memory can be caught up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoConverge {
    /// It may.
    On,
    /// The guest keeps its full speed.
    Off,
}

/// Power a server off here, define it there, boot it there. A server that is off is moved without the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebootMigrate {
    /// The server.
    pub server: ServerId,
    /// Where to.
    pub destination: Destination,
    /// How long the guest agent's shutdown may take before the power button is pressed.
    pub agent_time: Span,
    /// How long the power button may take before it is powered off hard.
    pub acpi_time: Span,
    /// What is done when it is found running.
    #[serde(default)]
    pub if_running: IfRunning,
    /// When it may be begun; nothing for at once. Until then both hosts are looked at, and nothing is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// The replica of its local disks that it is booted from at the destination; nothing for a server whose disks the destination reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<CutoverReplica>,
    /// What becomes of a server that ran and could not be brought up at the destination.
    #[serde(default, skip_serializing_if = "IfFailed::is_restart")]
    pub if_failed: IfFailed,
    /// Set when an earlier cutover left it off at its source: if it still is off, it is brought up at the destination all the same. Only for
    /// agents that have said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_off: Option<LeftOff>,
    /// Local disks that it does without at the destination, where it goes back to its old ones as they are: these are retained here. For
    /// agents that can [`ReturnToRetained`](drover_policies::fleet::Ability::ReturnToRetained).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<ReplicaDisk>,
    /// What it looks like at the destination. Another than it has is for agents that can
    /// [`Reshape`](drover_policies::fleet::Ability::Reshape).
    #[serde(default, skip_serializing_if = "Shape::is_as_it_is")]
    pub shape: Shape,
}

impl RebootMigrate {
    /// The local disks that it has at its source: copied by its replica, or left there.
    #[must_use]
    pub fn disks(&self) -> &[ReplicaDisk] {
        self.replica.as_ref().map_or(&self.leaves, |replica| &replica.disks)
    }
}

/// What becomes of a server that was powered off and could not be brought up at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfFailed {
    /// It is started at its source again.
    #[default]
    RestartSource,
    /// It stays off at its source, as policy says for servers that must not come up twice in one window. An abort that somebody asked for
    /// starts it all the same.
    LeaveOff,
}

impl IfFailed {
    /// Left out on the wire, where agents before [`REPLICATES_SINCE`] do not know it.
    fn is_restart(&self) -> bool {
        *self == Self::RestartSource
    }
}

/// When something may be begun, by the scheduler's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// Not earlier.
    pub not_before: Instant,
    /// Not later: from then on the downtime would not fit into what was agreed.
    pub not_after: Instant,
}

/// What is done with a server that is found running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfRunning {
    /// It is powered off: its time has come, or its owner has said so.
    #[default]
    PowerOff,
    /// It stays: it was to be moved because it was off, and its owner has started it meanwhile.
    LeaveAlone,
}

/// Look at a server that has arrived here, or is about to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyGuest {
    /// The server.
    pub server: ServerId,
    /// How long it may take until it is seen alive.
    pub within: Span,
    /// What else is looked at once it was; nothing for agents before [`CHECKS_SINCE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
}

/// What may change while an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// Do it, with QEMU's and libvirt's own settings.
    #[default]
    Run,
    /// Do it with these settings.
    Tuned(Tuning),
    /// Begin it now, whatever time was agreed before.
    AtOnce,
    /// Keep the replica up to date at this pace.
    Pace(Pace),
    /// Stop it and leave the server at its source. Refused once the source has been fenced. A replica is not kept up to date any more,
    /// and nothing of its rounds stays at the source.
    Abort {
        /// Who wishes so: it decides what the failure is called.
        because: AbortBecause,
    },
}

/// Settings of a live migration that may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// How long the guest may stand still at the switch-over, in milliseconds; nothing for QEMU's default.
    pub max_downtime_ms: Option<u64>,
    /// Most bytes per second on the wire, sent to libvirt in whole MiB/s (rounded up); nothing for no limit.
    pub max_bandwidth: Option<u64>,
}

/// Who wished an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortBecause {
    /// The ladder: it does not converge.
    NotConverging,
    /// An operator, or the end of the maintenance.
    Asked,
    /// The scheduler: not at this time. What has been begun goes on.
    Postponed,
}

/// What an agent knows of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationReport {
    /// Which.
    pub id: OperationId,
    /// The latest generation that the agent has taken up.
    pub generation: Generation,
    /// How it stands.
    pub state: OperationState,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OperationState {
    /// Being done.
    Running {
        /// How far.
        progress: Progress,
    },
    /// Not begun and not going to be; nothing was touched.
    Refused {
        /// Why.
        failure: Failure,
    },
    /// A migration has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Of a cutover: every phase that there was, in their order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        done: Vec<PhaseDone>,
    },
    /// The guest was looked at.
    Verified {
        /// What was seen.
        verdict: Verdict,
    },
    /// libvirt was asked what is left here.
    Counted {
        /// Every domain that is left, running or defined; none means that the host is empty.
        left: Vec<Left>,
        /// When libvirt was asked.
        at: Instant,
    },
    /// What was retained is gone (or there was nothing).
    Discarded,
    /// The replica may come, or the retained disks are there.
    Held,
    /// The replica is kept up to date; goes on.
    Replicating {
        /// How far.
        status: ReplicaStatus,
    },
    /// The replica is not kept up to date any more, and nothing of its rounds is left here: it was aborted, or the server has left.
    Stopped,
    /// The replica is not held any more (or was not).
    Released,
    /// An import goes on.
    Importing {
        /// How far.
        status: ImportStatus,
    },
    /// An import is over.
    ImportEnded {
        /// How.
        end: ImportEnd,
        /// Its log, or the last of it if it is long.
        log: Vec<LogLine>,
    },
    /// A test launch goes on.
    Testing {
        /// How far.
        status: TestStatus,
    },
    /// A test launch is over, and nothing of it is left.
    Tested {
        /// Why.
        because: EndOfTest,
        /// What was seen of the guest, if it was looked at.
        seen: Option<Seen>,
    },
    /// A hook runs.
    RunningHook {
        /// How far.
        status: HookStatus,
    },
    /// A hook has ended.
    HookRan {
        /// How.
        ran: HookRan,
    },
    /// libvirt has answered.
    Healthy {
        /// What it says of itself.
        health: Health,
    },
    /// libvirt has not answered in time.
    Unhealthy {
        /// What it said instead.
        why: String,
    },
}

/// What was seen of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Alive, by this sign.
    Alive {
        /// The strongest sign that there was.
        sign: LifeSign,
        /// What else was looked at, if that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked: Option<Looked>,
    },
    /// Not seen alive in time.
    NotAlive {
        /// What was seen instead.
        text: String,
    },
}

/// By what a guest was seen to be alive, the strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifeSign {
    /// It was off before and is defined here now: there is no life to be seen.
    Off,
    /// libvirt says that it runs.
    Running,
    /// Its console prints.
    Console,
    /// Its guest agent answers.
    GuestAgent,
}

impl fmt::Display for LifeSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "defined, and off",
            Self::Running => "it runs",
            Self::Console => "its console prints",
            Self::GuestAgent => "its guest agent answers",
        })
    }
}

/// A domain that is left on a host that should be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Which.
    pub server: ServerId,
    /// Its name.
    pub name: String,
}
