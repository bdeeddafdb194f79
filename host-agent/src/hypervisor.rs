//! The port to the hypervisor: what drivers may ask of libvirt, here and at a destination.
//!
//! Every call is short and bounded in time, and may be repeated: what takes long is *started* and then *looked at*. Two
//! implementations stand behind it, [`libvirt`] and [`simulated`], and the drivers cannot tell them apart.

use std::fmt;
use std::sync::Arc;

use drover_agent_api::{Destination, Left, LiveMigrate, RebootMigrate, Tuning};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::checks::{Answered, Check, Hardware};
use drover_policies::fleet::{Autostart, Definition, GuestAgent, HostFacts, Power, ServerFacts};
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

use hooks::Hooks;
use importing::Importer;
use replication::Replication;

mod addresses_sys;
pub mod hooks;
pub mod importing;
pub mod libvirt;
mod libvirt_backup_sys;
mod libvirt_sys;
mod nbd_sys;
pub mod replication;
pub mod simulated;

/// The answer of the port.
pub type Answer<T> = Result<T, Refusal>;

/// Why the hypervisor did not do as asked: what it means for the driver, and the hypervisor's words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// The hypervisor's words.
    pub text: String,
}

/// What a refusal means for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such server on that host.
    NoServer,
    /// The daemon could not be reached, or the connection broke: whether the call was carried out is not known.
    NoConnection,
    /// No answer in time: whether the call was, or still will be, carried out is not known.
    NoAnswer,
    /// The daemon has answered, and nothing was done.
    Failed(FailureClass),
}

impl Refusal {
    /// A refusal in these words.
    pub fn new(kind: RefusalKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// As a failure of an attempt, for a call that went to this host's own daemon.
    #[must_use]
    pub fn at_source(&self) -> Failure {
        self.failure(FailureClass::Busy)
    }

    /// As a failure of an attempt, for a call that went to the destination's daemon.
    #[must_use]
    pub fn at_destination(&self) -> Failure {
        self.failure(FailureClass::DestinationUnreachable)
    }

    fn failure(&self, unreached: FailureClass) -> Failure {
        let class = match self.kind {
            RefusalKind::NoServer => FailureClass::Unexpected,
            RefusalKind::NoConnection | RefusalKind::NoAnswer => unreached,
            RefusalKind::Failed(class) => class,
        };
        Failure { class, text: self.text.clone() }
    }
}

/// What a domain is doing, with the distinctions that an ambiguous outcome is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its processors run.
    Running,
    /// Stopped by somebody, memory kept.
    Paused,
    /// Stopped by libvirt at the end of a migration: the other host may have it.
    HeldByMigration,
    /// Stopped by libvirt for another reason: an input/output error, a save, a shutdown that has not ended.
    HeldOtherwise,
    /// Arriving by a migration.
    Arriving,
    /// Off.
    Off,
    /// The guest crashed and was kept.
    Crashed,
}

impl State {
    /// The same without those distinctions.
    #[must_use]
    pub fn power(self) -> Power {
        match self {
            Self::Running => Power::Running,
            Self::Paused => Power::Paused,
            Self::HeldByMigration | Self::HeldOtherwise => Power::Held,
            Self::Arriving => Power::Arriving,
            Self::Off => Power::Off,
            Self::Crashed => Power::Crashed,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::HeldByMigration => "held by a migration",
            Self::HeldOtherwise => "held by the hypervisor",
            Self::Arriving => "arriving",
            Self::Off => "off",
            Self::Crashed => "crashed",
        })
    }
}

/// A server as one daemon sees it at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The domain's name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Whether the definition stays when it stops.
    pub definition: Definition,
    /// Whether it is started with the host.
    pub autostart: Autostart,
}

/// What a live migration moved, as QEMU measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Memory in all, in bytes.
    pub total_bytes: u64,
    /// Sent so far, in bytes.
    pub sent_bytes: u64,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// Bytes per second on the wire.
    pub rate: u64,
    /// Bytes per second that the guest writes anew.
    pub dirty_rate: u64,
    /// Pass over the memory as QEMU counts it: it may go on counting from an earlier migration that was cancelled.
    pub iteration: u32,
    /// Expected while it runs, measured when it has ended, in milliseconds.
    pub downtime_ms: Option<u64>,
    /// The downtime that QEMU may use now, in milliseconds.
    pub allowed_downtime_ms: Option<u64>,
    /// Its local disks, which are copied before its memory is sent.
    pub disks: DiskFigures,
}

/// How far the local disks of a server that is migrated live are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskFigures {
    /// In all, in bytes.
    pub total_bytes: u64,
    /// Sent so far, in bytes.
    pub sent_bytes: u64,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// Bytes per second on the wire.
    pub rate: u64,
}

/// How a live migration out of this host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationStatus {
    /// No job on the domain, and this agent has started none since it began. Tells nothing of how an earlier one ended.
    None,
    /// Under way.
    Running(Figures),
    /// The call that this agent started has returned. What it returned is for people: both hosts decide.
    Returned {
        /// What the hypervisor said.
        answer: Answer<()>,
        /// Time inside of the call.
        in_hypervisor: Span,
    },
}

/// Signs of life that can be read without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// The guest agent's channel.
    pub agent: GuestAgent,
    /// How much the serial console has printed so far, in bytes; nothing when its output is not kept in a file here.
    pub console_bytes: Option<u64>,
}

/// How a guest is asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownBy {
    /// Through its guest agent.
    GuestAgent,
    /// By the power button.
    Acpi,
}

/// A host and its servers as read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The host.
    pub host: HostFacts,
    /// Every domain, in the order of ids.
    pub servers: Vec<ServerFacts>,
}

/// What makes the agent look again before the time it had set itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something has happened to this server.
    Server(ServerId),
    /// Anything may have changed: events were lost, or the connection came back.
    Everything,
}

/// Something that is asked of a guest over its network.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// For which operation.
    pub operation: OperationId,
    /// Of which server.
    pub server: ServerId,
    /// What.
    pub check: &'a Check,
}

/// Called by a hypervisor when something has happened. It only takes a note: it must not call the hypervisor.
pub type Waker = Arc<dyn Fn(Wake) + Send + Sync>;

/// What can be asked of a daemon about its domains, be it this host's or a destination's.
pub trait Domains: Send + Sync {
    /// The server as it is now; nothing when this daemon does not know it.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn find(&self, server: ServerId) -> Answer<Option<Sighting>>;

    /// Which server has this name.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn named(&self, name: &str) -> Answer<Option<ServerId>>;

    /// Keeps a definition. A repeat changes nothing.
    ///
    /// # Errors
    /// When the daemon refuses it, for example as another server has this name.
    fn define(&self, definition: &str) -> Answer<()>;

    /// Forgets the definition of a server that is off, with its snapshots' and checkpoints' descriptions and a saved memory
    /// image; its disks and its NVRAM stay. A server that is unknown already is no error; one that is not off is refused.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn undefine(&self, server: ServerId) -> Answer<()>;

    /// Keeps the definition of a running server that would vanish with its end.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn keep(&self, server: ServerId) -> Answer<()>;

    /// Boots a server that is off.
    ///
    /// # Errors
    /// When it does not start.
    fn start(&self, server: ServerId) -> Answer<()>;

    /// Takes the power away, at once. A server that is off already is no error.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn destroy(&self, server: ServerId) -> Answer<()>;

    /// Lets a held or paused server run on.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn resume(&self, server: ServerId) -> Answer<()>;

    /// Sets whether it is started with the host.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn set_autostart(&self, server: ServerId, autostart: Autostart) -> Answer<()>;

    /// What the last live migration of this server cost, as the host where it is now has measured it.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn last_migration(&self, server: ServerId) -> Answer<Option<Figures>>;
}

/// What can be asked of this host's hypervisor.
pub trait Hypervisor: Send + Sync {
    /// This host's domains.
    fn here(&self) -> &dyn Domains;

    /// A destination's domains, over its own daemon.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn peer(&self, destination: &Destination) -> Answer<Arc<dyn Domains>>;

    /// Reads the host and all of its servers.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn observe(&self) -> Answer<Observed>;

    /// Every domain, running or defined.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn left(&self) -> Answer<Vec<Left>>;

    /// Starts a live migration; how it goes is told by [`Hypervisor::migration`], and its return wakes the agent.
    ///
    /// # Errors
    /// When it could not even be started.
    fn start_migration(&self, order: &LiveMigrate, tuning: Tuning) -> Answer<()>;

    /// How a live migration of this server stands.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn migration(&self, server: ServerId) -> Answer<MigrationStatus>;

    /// Asks for the end of a live migration. That it has ended is told by [`Hypervisor::migration`].
    ///
    /// # Errors
    /// When there is none, or it can't be stopped any more.
    fn abort_migration(&self, server: ServerId) -> Answer<()>;

    /// Changes the settings of a live migration that runs.
    ///
    /// # Errors
    /// When the daemon refuses.
    fn tune_migration(&self, server: ServerId, tuning: Tuning) -> Answer<()>;

    /// Asks the guest to shut down; whether it does is to be seen.
    ///
    /// # Errors
    /// When it could not be asked.
    fn shutdown(&self, server: ServerId, by: ShutdownBy) -> Answer<()>;

    /// The definition as kept (not as running), secrets included, fit to be given to [`Domains::define`].
    ///
    /// # Errors
    /// When there is none.
    fn definition(&self, server: ServerId) -> Answer<String>;

    /// A definition as this order wants it at the destination. Asks no daemon.
    ///
    /// # Errors
    /// When what is to be changed can't be.
    fn reshaped(&self, definition: &str, order: &RebootMigrate, id: OperationId) -> Answer<String>;

    /// Signs of life that can be read without waiting.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    fn signs(&self, server: ServerId) -> Answer<Signs>;

    /// Whether the guest agent answers within about a second.
    ///
    /// # Errors
    /// When it does not.
    fn ping(&self, server: ServerId) -> Answer<()>;

    /// What a server is made of, as far as its network and disks go. Asks its guest as well, so it may take a second.
    ///
    /// # Errors
    /// When there is no such server, or the daemon cannot be asked.
    fn hardware(&self, server: ServerId) -> Answer<Hardware>;

    /// Whether something answers in a guest: begins to ask, or tells what came of it. Nothing while it is under way. What was told once is asked
    /// anew the next time.
    fn probe(&self, probe: &Probe<'_>) -> Option<Answered>;

    /// What an operation has asked guests for is of no interest any more.
    fn forget_probes(&self, operation: OperationId);

    /// Replicas of local disks, those held here and those of servers here.
    fn replication(&self) -> &dyn Replication;

    /// Programs that this host's configuration names.
    fn hooks(&self) -> &dyn Hooks;

    /// Imports of servers of other kinds of hypervisors to this host.
    fn imports(&self) -> &dyn Importer;

    /// Names who is to be told when something has happened. The last one named counts.
    fn listen(&self, waker: Waker);
}
