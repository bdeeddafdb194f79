//! Maintenances as they are asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A maintenance as it is asked for. Without `rolling` it is a drain, which empties all of its hosts at once and begins at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceBody {
    /// The hosts to be emptied, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Hosts to be emptied besides, by what they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<SelectBody>,
    /// Why: policies choose the notice by it, and owners read it.
    #[schema(example = "kernel-update")]
    pub reason: String,
    /// When the hosts must be free: a moment (RFC 3339) or a span from now (`7d`). Without it, what policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub deadline: Option<String>,
    /// The hosts are in danger: windows and notice are skipped, and owners are told afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyBody>,
    /// Many hosts, one after the other, and what is done with each. It is planned first, and begins when it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<RollingBody>,
    /// Answer with the plan only, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which hosts are meant: those that have all of the labels and are in one of the clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectBody {
    /// Labels of hosts: `{"rack": "r12"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Every host, unless labels or clusters say less.
    #[serde(default)]
    pub all: bool,
}

/// How many hosts at once, in which order, and what is done with each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollingBody {
    /// `patch` (emptied, worked on by hooks, back in service), `drain` (emptied), `decommission` (emptied, out of service for good) or `rebalance` (in service, evened out by as few moves as it takes). A patch unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "patch")]
    pub kind: Option<String>,
    /// At most so many hosts at once; without it, as many as there is room for. Hosts whose servers wait for their owners are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts_at_once: Option<u32>,
    /// At most so many at once of those with the same value of a label: `{"rack": 1}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per: BTreeMap<String, u32>,
    /// At most so many at once in one cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_cluster: Option<u32>,
    /// At most so many live migrations leave one host at once, where policy allows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_out_per_host: Option<u32>,
    /// At most so many arrive at one host at once, where policy allows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_in_per_host: Option<u32>,
    /// At most so many servers of one owner are moved at once, where policy allows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_owner: Option<u32>,
    /// At most so many bytes per second of all its live migrations together: each is given a share of it as its limit, or waits. 1048576 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// At most so many bytes per second, in each direction, of all live migrations through the uplink that hosts with the same value of a label
    /// share, where policy allows more: `{"rack": 1250000000}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uplinks: BTreeMap<String, u64>,
    /// In so many waves, if that can be; 6 unless said. Fewer waves take more moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waves: Option<u32>,
    /// No further host begins when more than so many have failed; 0 unless said.
    #[serde(default)]
    pub max_failed_hosts: u32,
    /// A host that takes longer is told of: `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2h")]
    pub warn_after: Option<String>,
    /// After a host's turn no other begins for so long: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_between: Option<String>,
    /// Which hosts come after or before which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<HintBody>,
    /// Run no hooks.
    #[serde(default)]
    pub no_hooks: bool,
    /// How long a host that is worked on may be out of reach, or not healthy, before it has failed; 30m unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_within: Option<String>,
    /// In a rebalance: by so many percentage points a host's use may be more or less than that of its cluster; 10 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
    /// In a rebalance: servers that can't go live are moved as well, at times that their owners agree to.
    #[serde(default)]
    pub with_reboots: bool,
    /// Begin at once, without anybody's looking at the plan.
    #[serde(default)]
    pub approve: bool,
    /// With `approve`: also if not all of it can be done.
    #[serde(default)]
    pub anyway: bool,
}

/// These hosts come after, or before, those. Each is a host's name, or `label=value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HintBody {
    /// Which.
    #[schema(example = "rack=r1")]
    pub hosts: String,
    /// They begin when these are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// These begin when they are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// Somebody has looked at the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveBody {
    /// Also if not all of it can be done: what can be is.
    #[serde(default)]
    pub anyway: bool,
}

/// What endangers the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmergencyBody {
    /// In words; owners are told it.
    pub why: String,
}
