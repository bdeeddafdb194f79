//! What decisions are made of, and what comes out of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Within;
use crate::attempt::{LeftOff, Method, Report};
use crate::blueprint::{Blueprint, Blueprints};
use crate::bulletins::Says;
use crate::checks::Look;
use crate::events::Event;
use crate::fleet::Fleet;
use crate::hooks::HookRan;
use crate::host::Standing;
use crate::ids::{
    HookName, HostName, IdSource, MaintenanceId, MigrationId, OperationId, ReplicaId, ServerId,
};
use crate::import::{Begin, Import};
use crate::maintenance::{Maintenance, Step};
use crate::migration::Migration;
use crate::notices::Tells;
use crate::owners::OwnersRules;
use crate::plan::Plan;
use crate::policy::PolicySet;
use crate::replica::{Images, Pace, Replica, ReplicaDisk};
use crate::time::{Instant, Span};

/// All that a decision depends on.
pub struct Situation<'a> {
    /// The present.
    pub now: Instant,
    /// Where new ids come from.
    pub ids: &'a dyn IdSource,
    /// The number that the next migration gets.
    pub next_number: u32,
    /// Observed.
    pub fleet: &'a Fleet,
    /// Wished, in general.
    pub policies: &'a PolicySet,
    /// Wished by owners.
    pub owners: &'a OwnersRules,
    /// Requests: open ones, and those that were cancelled while something of theirs still runs.
    pub maintenances: Vec<&'a Maintenance>,
    /// Every migration that is not over.
    pub migrations: Vec<&'a Migration>,
    /// Every replica that is not gone.
    pub replicas: Vec<Replica>,
    /// Every import that is not over.
    pub imports: Vec<Import>,
    /// Hosts whose agents wait by themselves for the time of an order. Others get theirs when it has come.
    pub patient: &'a BTreeSet<HostName>,
    /// Hosts whose agents can look at more than signs of life.
    pub checking: &'a BTreeSet<HostName>,
    /// What servers are to look like at their next launch.
    pub blueprints: &'a Blueprints,
    /// What agents last told of their operations.
    pub reports: &'a BTreeMap<OperationId, Report>,
    /// What was wished last of the orders that run, where it is not simply that they be done.
    pub wishes: &'a BTreeMap<OperationId, NewWish>,
    /// Keys of the notices that are stored already, of tickets that are open.
    pub told: &'a BTreeSet<String>,
    /// Downtimes of earlier reboot migrations, by server.
    pub history: &'a BTreeMap<ServerId, Vec<Span>>,
}

/// Everything that changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Maintenances as they are now.
    pub maintenances: Vec<Maintenance>,
    /// Hosts whose standing changes.
    pub standings: Vec<(HostName, Standing)>,
    /// Migrations as they are now, new ones included.
    pub migrations: Vec<Migration>,
    /// Replicas as they are now, new ones included.
    pub replicas: Vec<Replica>,
    /// Imports as they are now, new ones included.
    pub imports: Vec<Import>,
    /// New plans, with their maintenance.
    pub plans: Vec<(MaintenanceId, Plan)>,
    /// Orders to be given.
    pub begun: Vec<NewOperation>,
    /// Running orders of which something else is wished now.
    pub wished: Vec<(OperationId, NewWish)>,
    /// Orders that are not wanted any more: what they told has been taken in.
    pub ended: Vec<OperationId>,
    /// Hooks that have ended.
    pub hooks_ran: Vec<HookRun>,
    /// Servers whose blueprints have been carried out, so that they have none any more.
    pub blueprints_spent: Vec<ServerId>,
    /// Messages to owners.
    pub notices: Vec<DraftNotice>,
    /// Messages to operators.
    pub bulletins: Vec<DraftBulletin>,
    /// For the story.
    pub events: Vec<Event>,
    /// When to look again at the latest, even if nothing happens.
    pub look_again_at: Option<Instant>,
}

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { look_again_at: self.look_again_at, ..Self::default() }
    }
}

/// A hook that has ended, with all that it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// By which order.
    pub operation: OperationId,
    /// For which maintenance.
    pub maintenance: MaintenanceId,
    /// Where.
    pub host: HostName,
    /// Which.
    pub step: Step,
    /// Which try of it.
    pub attempt: u32,
    /// When it was ordered.
    pub began_at: Instant,
    /// What came of it.
    pub ran: HookRan,
}

/// An order to be given to a host's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation {
    /// Its id.
    pub id: OperationId,
    /// Whose agent.
    pub host: HostName,
    /// For which migration.
    pub migration: Option<MigrationId>,
    /// What.
    pub intent: Intent,
}

/// What is done with a server that is found running when it is to be moved by a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRunning {
    /// It is powered off.
    PowerOff,
    /// It stays where it is.
    LeaveAlone,
}

/// What a server that is moved by a reboot has at its destination, of the disks that its host alone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalDisks {
    /// It has no such disks.
    None,
    /// A replica of them.
    Replica(Cutover),
    /// Its own old ones, as they are; those that it leaves behind are retained.
    Retained(Vec<ReplicaDisk>),
}

/// What a server looks like where it is moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    AsItIs,
    /// As its blueprint says.
    Blueprint(Blueprint),
    /// As it was before an earlier order moved it; that it was changed by that one is known to its definition.
    Before(OperationId),
}

/// A replica that a server is cut over with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutover {
    /// Which.
    pub replica: Box<Replica>,
    /// Rounds that must have landed.
    pub rounds: u64,
    /// Most bytes per second of its last rounds; nothing for no limit.
    pub bandwidth: Option<u64>,
}

/// What an agent is to do; the scheduler adds addresses and times from fleet and policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Move it live.
    Live {
        /// Which.
        server: ServerId,
        /// Where to.
        to: HostName,
        /// The downtime allowed at first, in milliseconds.
        max_downtime_ms: u64,
        /// Most bytes per second, where it shares a limit with others; nothing for what policy says of one.
        rate: Option<u64>,
        /// What takes its local disks; nothing when it has none.
        replica: Option<Box<Replica>>,
    },
    /// Move it by a reboot.
    Reboot {
        /// Which.
        server: ServerId,
        /// Where to.
        to: HostName,
        /// What is done when it is found running: one that is moved because it is off is left alone once its owner has started it.
        if_running: IfRunning,
        /// When; nothing for at once.
        within: Option<Within>,
        /// From what it boots there.
        disks: LocalDisks,
        /// Set when it is off because an earlier try has left it off.
        left_off: Option<LeftOff>,
        /// What it looks like there.
        shape: Shape,
    },
    /// Take a replica.
    HoldReplica {
        /// Which, and of what.
        replica: Box<Replica>,
    },
    /// Look whether what was retained of a server is there as it was left.
    LookAtRetained {
        /// Which disks, and whose.
        replica: Box<Replica>,
    },
    /// Keep a replica up to date.
    Replicate {
        /// Which, and of what.
        replica: Box<Replica>,
        /// At which pace, until another is wished.
        pace: Pace,
    },
    /// Hold a replica no longer.
    ReleaseReplica {
        /// Which.
        replica: ReplicaId,
        /// What becomes of its images.
        images: Images,
    },
    /// Boot a server from a replica of it, as a test.
    TestLaunch {
        /// From which, and of what.
        replica: Box<Replica>,
        /// The test guest's own id.
        guest: ServerId,
        /// What else is looked at; nothing when the agent there can't, or the guest has no network.
        look: Option<Look>,
        /// What it looks like.
        blueprint: Blueprint,
    },
    /// Look whether it is alive.
    Verify {
        /// Which.
        server: ServerId,
        /// How it came.
        method: Method,
        /// What else is looked at; nothing when the agent there can't.
        look: Option<Look>,
    },
    /// Look how it is before it is moved.
    LookBefore {
        /// Which.
        server: ServerId,
        /// For what.
        look: Look,
    },
    /// Bring a server of another kind of hypervisor here.
    Import {
        /// Which.
        import: Box<Import>,
        /// Whether what an earlier try has done is used.
        begin: Begin,
    },
    /// Clear away what was done of an import.
    ClearImport {
        /// Which.
        import: Box<Import>,
    },
    /// Say what is left on the host.
    ConfirmEmpty,
    /// Run a hook of the host's.
    RunHook {
        /// Which.
        hook: HookName,
        /// For which maintenance: `MT-12`.
        maintenance: String,
        /// Why it is maintained.
        reason: String,
        /// Which try of it.
        attempt: u32,
    },
    /// Ask its libvirt until it answers.
    CheckHealth {
        /// At most so long.
        within: Span,
    },
    /// Throw away what the source kept of it.
    Discard {
        /// Which.
        server: ServerId,
        /// The try that it was kept by; nothing when none is known.
        kept_by: Option<OperationId>,
    },
}

/// What else is wished of a running order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewWish {
    /// The guest may stand still for this long at the switch-over, in milliseconds.
    AllowDowntime(u64),
    /// Stop: it does not converge.
    AbortNotConverging,
    /// Stop: somebody wishes so.
    AbortAsked,
    /// Not at this time; what has been begun goes on.
    Postpone,
    /// Now, whatever time was agreed.
    StartAtOnce,
    /// Rounds of a replica so often, and so fast.
    Pace(Pace),
}

/// A message to be stored with the fact that it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftNotice {
    /// Names the fact.
    pub key: String,
    /// About which migration.
    pub migration: MigrationId,
    /// What.
    pub tells: Tells,
}

/// A message to operators, to be stored with the fact that it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftBulletin {
    /// About which maintenance.
    pub maintenance: MaintenanceId,
    /// What.
    pub says: Says,
}
