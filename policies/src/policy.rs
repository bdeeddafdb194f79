//! What operators set: one TOML file (or several, merged in the order of their names), with rules that hold for a part of the fleet.
//!
//! A key that nobody sets has the value of `files/default.toml`, which is compiled in, so that the shipped, commented file and the
//! defaults can't drift apart. The nearest rule wins: server, label, owner, cluster, then the file's own top level.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::checks::{Check, OnFailed, Weight};
use crate::estimate::ASSUMED_BANDWIDTH;
use crate::maintenance::Terms;
use crate::time::Span;
use crate::windows::{Exclusion, Recurrence};

mod aloud;
mod blueprint;
mod check;
mod problem;
mod read;
mod replication;
mod rules;
mod set;
mod test_launch;

pub use aloud::{RuleRead, meaning};
pub use blueprint::BlueprintPolicy;
pub use check::LEAST_BANDWIDTH;
pub use problem::PolicyProblem;
pub use replication::{OnFailure, ReplicationPolicy, TimedBandwidth};
pub use set::{Effective, Origin, PolicySet, Subject};
pub use test_launch::TestPolicy;

/// The shipped file, with every key and what it means.
pub const DEFAULT_FILE: &str = include_str!("../files/default.toml");
/// For trying Drover out: seconds in place of days.
pub const DEMO_FILE: &str = include_str!("../files/demo.toml");

struct Shipped {
    table: toml::Table,
    policy: Policy,
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    let table: toml::Table = DEFAULT_FILE.parse().expect("a test reads the compiled-in file");
    let policy = toml::Value::Table(table.clone()).try_into().expect("a test reads the compiled-in file");
    Shipped { table, policy }
});

/// All settings in force for one server (or, without a server, for the scheduler as a whole).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// When owners are told.
    pub notice: NoticePolicy,
    /// How much may go on at once.
    pub limits: Limits,
    /// Live migrations.
    pub live: LivePolicy,
    /// Reboot migrations.
    pub reboot: RebootPolicy,
    /// What is looked at after a move.
    pub validation: ValidationPolicy,
    /// Replicas of local disks.
    pub replication: ReplicationPolicy,
    /// Test launches from replicas.
    pub test: TestPolicy,
    /// What owners may set in their servers' blueprints.
    pub blueprint: BlueprintPolicy,
    /// Trying again.
    pub retry: Retry,
    /// When reboot migrations may happen if the owner has set no window.
    pub windows: WindowPolicy,
    /// What owners may change.
    pub owners: OwnerPolicy,
    /// Where servers may go.
    pub placement: PlacementPolicy,
    /// Maintenances as a whole.
    pub maintenance: MaintenancePolicy,
    /// How long things are kept.
    pub retention: Retention,
    /// When an agent counts as lost.
    pub agents: AgentPolicy,
}

/// When owners are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticePolicy {
    /// At least this long between the ticket and the appointment that it proposes.
    pub lead: Span,
    /// Shorter or longer leads by the maintenance's reason: `security = "24h"`.
    pub lead_by_reason: BTreeMap<String, Span>,
    /// A reminder is sent when this much time is left before the appointment. One that would come within the first tenth of the lead is left out.
    pub reminders: Vec<Span>,
}

/// How much may go on at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Live migrations leaving one host.
    pub live_out_per_host: u32,
    /// Live migrations arriving at one host.
    pub live_in_per_host: u32,
    /// Live migrations in one cluster.
    pub live_per_cluster: u32,
    /// Migrations of either method of one owner's servers; 0 for no limit.
    pub per_owner: u32,
    /// Reboot migrations leaving or arriving at one host at the same time.
    pub reboots_per_host: u32,
    /// Bytes per second of all live migrations in one cluster together; 0 for no limit.
    pub bandwidth_per_cluster: u64,
    /// By label: bytes per second in each direction through the uplink that hosts of one cluster with the same value of it share.
    pub uplinks: BTreeMap<String, u64>,
}

impl Limits {
    /// These, and those of a maintenance where they are narrower.
    #[must_use]
    pub fn within(&self, terms: &Terms) -> Self {
        let least = |most: u32, own: Option<NonZeroU32>| own.map_or(most, |own| own.get().min(most));
        let mut limits = Self {
            live_out_per_host: least(self.live_out_per_host, terms.live_out_per_host),
            live_in_per_host: least(self.live_in_per_host, terms.live_in_per_host),
            ..self.clone()
        };
        for (label, own) in &terms.uplinks {
            let most = limits.uplinks.entry(label.clone()).or_insert(own.get());
            *most = own.get().min(*most);
        }
        limits
    }
}

/// Live migrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePolicy {
    /// Whether servers may be migrated live unless their owner says otherwise.
    pub allowed: bool,
    /// Whether servers with local disks go live, their disks with them, where the agents can do that.
    pub local_disks: bool,
    /// Tries before it becomes a reboot migration.
    pub attempts: u32,
    /// Most bytes per second of one migration; 0 for no limit.
    pub bandwidth: u64,
    /// Connections that the memory of one migration is sent over side by side.
    pub connections: u32,
    /// Let QEMU slow a guest down that does not converge.
    pub auto_converge: bool,
    /// What is done when a migration does not converge.
    pub ladder: LadderPolicy,
    /// How long the guest may take to be seen alive at the destination.
    pub verify_within: Span,
}

impl LivePolicy {
    /// What one migration takes of a link that it has for itself.
    #[must_use]
    pub fn full_rate(&self) -> u64 {
        if self.bandwidth > 0 { self.bandwidth } else { ASSUMED_BANDWIDTH }
    }
}

/// The convergence ladder: how long a migration is waited for and what is done then. It climbs by passes over the memory,
/// never by the clock alone: a slow link is no reason to give up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderPolicy {
    /// The downtime allowed at first.
    pub downtime_start: Span,
    /// The most that the ladder may raise it to.
    pub downtime_most: Span,
    /// In how many equal steps it gets there.
    pub downtime_steps: u32,
    /// Passes before the first step.
    pub patience: u32,
    /// Passes between two steps.
    pub passes_per_step: u32,
    /// Passes without the remaining memory becoming less than ever before, after the last step, that end in an abort.
    pub abort_after_stalled: u32,
    /// Passes after which it is aborted in any case.
    pub abort_after: u32,
}

/// Reboot migrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebootPolicy {
    /// How long the guest agent's shutdown may take.
    pub agent_time: Span,
    /// How long the power button may take after that, before the server is powered off hard.
    pub acpi_time: Span,
    /// How long the guest may take to be seen alive at the destination.
    pub verify_within: Span,
    /// Expected downtime until this server's own history says better.
    pub expected_downtime: Span,
    /// Tries before an operator is asked.
    pub attempts: u32,
}

/// What is looked at after a move, and what comes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationPolicy {
    /// What is done when something that must pass has failed.
    pub on_failed: OnFailed,
    /// How long a check may take after the guest was seen alive, unless it says otherwise.
    pub within: Span,
    /// How long all checks together may take before the move. 0 for no look before: then nothing can be compared.
    pub before_within: Span,
    /// What it means that an address from before is missing.
    pub addresses: Weight,
    /// What servers are looked at for whose owners have set nothing.
    pub checks: Vec<Check>,
}

/// Trying again elsewhere or later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Before the second try.
    pub first: Span,
    /// Each further wait is this many times the one before.
    pub factor: u32,
    /// But never longer than this.
    pub longest: Span,
}

impl Retry {
    /// The wait before try number `next`, counted from 1.
    #[must_use]
    pub fn wait_before(&self, next: u32) -> Span {
        if next <= 1 {
            return Span::ZERO;
        }
        let factor = self.factor.max(1).saturating_pow((next - 2).min(16));
        Span(self.first.0.saturating_mul(factor)).min(self.longest)
    }
}

/// When reboot migrations may happen if the owner has set no window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowPolicy {
    /// The windows; a time in any of them will do.
    pub default: Vec<Recurrence>,
    /// Days on which nothing happens, whatever the windows say (owners' own windows included).
    pub exclusions: Vec<Exclusion>,
    /// Appointments begin at whole multiples of this within a window.
    pub slot_step: Span,
}

/// What owners may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnerPolicy {
    /// A new time must be at least this far ahead.
    pub reschedule_ahead: Span,
    /// An appointment this close is not moved any more.
    pub fixed_before: Span,
    /// How long a finished migration can be confirmed or reverted.
    pub confirm_within: Span,
    /// Whether owners may ask for reboot migrations without a maintenance.
    pub self_service: bool,
    /// How far ahead they may.
    pub self_service_ahead: Span,
    /// How many they may ask for within 24 hours, for all servers of an account; 0 for no limit.
    pub self_service_per_day: u32,
    /// How many for one server.
    pub self_service_per_server: u32,
    /// What is done when no time fits the windows before the deadline.
    pub no_slot: WithoutSlot,
    /// Whether a server's own guest may have its reboot migration started now.
    pub guest_may_start: bool,
}

/// What is done when no time fits the windows before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutSlot {
    /// The owner is told, and an operator is asked.
    Ask,
    /// The last time before the deadline is proposed, outside of the windows.
    AtDeadline,
}

/// Where servers may go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacementPolicy {
    /// Virtual processors per thread of a host.
    pub vcpu_overcommit: f64,
    /// Memory per server on top of its own, for QEMU itself, in bytes.
    pub memory_overhead: u64,
    /// Labels that a destination must have with the same value as the source: `["rack"]`.
    pub same_labels: Vec<String>,
}

/// Maintenances as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenancePolicy {
    /// The deadline when the operator names none, from the request on.
    pub deadline: Span,
    /// Warn when this much time is left and something still waits.
    pub warn_before: Span,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// Definitions of servers that left by reboot migration, on their old host.
    pub definitions: Span,
    /// Events, finished operations and answered requests.
    pub history: Span,
}

/// When an agent counts as lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentPolicy {
    /// Facts older than this are not relied on: nothing new is begun from or to that host.
    pub silent_after: Span,
}

#[cfg(test)]
mod tests;
