//! Hosts and servers, as the API shows them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use drover_policies::fleet::{Allowance, Certificate, Host, Reach, Server};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, MaintenanceId, OwnerId, ServerId};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Eyes, Reason, word};
use super::helpers::HelpersView;
use super::migrations::MigrationBrief;
use super::rolling::HostTurnView;

/// Whether servers may be placed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// `open`, `cordoned`, `draining` or `drained`.
    pub state: String,
    /// Why it is cordoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// The maintenance that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub maintenance: Option<MaintenanceId>,
}

impl From<&Standing> for StandingView {
    fn from(standing: &Standing) -> Self {
        let (reason, since) = match standing {
            Standing::Open => (None, None),
            Standing::Cordoned { reason, since } => (Some(reason.clone()), Some(*since)),
            Standing::Draining { since, .. } => (None, Some(*since)),
            Standing::Drained { at, .. } => (None, Some(*at)),
        };
        Self { state: standing.to_string(), reason, since, maintenance: standing.maintenance() }
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// The widest circle in which its servers may be moved.
    pub cluster: String,
    /// From the agent's configuration.
    pub labels: BTreeMap<String, String>,
    /// What it has a number of, by the names that its agent's configuration gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// Whether servers may be placed on it.
    pub standing: StandingView,
    /// Whether its agent is heard of.
    pub agent: AgentView,
    /// Servers seen on it.
    pub servers: u32,
    /// Memory that servers may use, in bytes.
    pub memory_bytes: u64,
    /// Memory of the servers seen on it, in bytes.
    pub memory_used_bytes: u64,
    /// Threads of the node's processors.
    pub cpu_threads: u32,
    /// Virtual processors of the servers seen on it.
    pub vcpus_used: u32,
    /// `x86_64`, …
    pub arch: String,
    /// The processor's model, by libvirt's name.
    pub cpu_model: String,
    /// `11.3.0`.
    pub libvirt_version: String,
    /// `10.0.2`.
    pub qemu_version: String,
    /// Storage in which this host can open disks.
    #[schema(value_type = Vec<String>)]
    pub shared_storage: BTreeSet<String>,
}

/// What is known of a host's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// When it last told what runs on its host.
    pub last_seen: DateTime<Utc>,
    /// Whether it has been silent for longer than policy allows: nothing new is begun from or to its host.
    pub silent: bool,
    /// Its version, if it tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0.1.0")]
    pub version: Option<String>,
    /// The version of the protocol that it speaks; nothing until it has called this scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// Certificates by which its host is known to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateView>,
}

/// A certificate of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The file that it is in.
    #[schema(example = "/etc/pki/libvirt/servercert.pem")]
    pub file: String,
    /// Whom it names.
    #[schema(example = "CN=h1.example")]
    pub subject: String,
    /// Until when it is good; nothing for one that is known by its digest, whatever date is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// That it is over, or ends within a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ends in 12days; replace it")]
    pub warning: Option<String>,
}

impl CertificateView {
    fn of(certificate: &Certificate, now: Instant) -> Self {
        Self {
            file: certificate.file.display().to_string(),
            subject: certificate.subject.clone(),
            until: certificate.until,
            warning: certificate.ending(now).map(|ending| ending.to_string()),
        }
    }
}

/// What is known of an agent beside what it tells of its host.
#[derive(Debug, Clone, Copy)]
pub struct AgentHeard {
    /// Silent for longer than this, it counts as silent.
    pub silent_after: Span,
    /// The version of the protocol in which it called.
    pub protocol: Option<u32>,
}

impl AgentView {
    fn of(host: &Host, heard: AgentHeard, now: Instant) -> Self {
        let told = host.facts.agent.as_ref();
        let certificates = told.map_or(&[][..], |agent| &agent.certificates);
        Self {
            last_seen: host.observed_at,
            silent: now - host.observed_at > heard.silent_after.delta(),
            version: told.map(|agent| agent.version.clone()),
            protocol: heard.protocol,
            certificates: certificates.iter().map(|one| CertificateView::of(one, now)).collect(),
        }
    }
}

/// A host and what is on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostDetail {
    /// The host.
    #[serde(flatten)]
    pub host: HostView,
    /// Where other hosts' libvirt reaches it.
    pub libvirt_uri: String,
    /// The address for the migration stream, if it has a network of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_address: Option<String>,
    /// What its agent does for others.
    pub helpers: HelpersView,
    /// Servers seen on it.
    pub on_it: Vec<ServerView>,
}

/// Why a host is treated as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostExplanation {
    /// The host.
    pub host: HostView,
    /// Why no server is placed on it, or only where no other host can take it, each with what would help; nothing when it takes servers.
    pub why_no_servers: Vec<String>,
    /// What maintenances have to do with it.
    pub turns: Vec<TurnOf>,
    /// Migrations that leave it, and what each waits for.
    pub leaving: Vec<MigrationBrief>,
    /// Migrations for which a place is held on it.
    pub coming: Vec<MigrationBrief>,
}

/// A host's part in a maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnOf {
    /// `MT-12`.
    pub maintenance: String,
    /// How far it is, and why it comes when it does.
    pub turn: HostTurnView,
    /// What keeps it from beginning now, each with what would help.
    pub why_not_yet: Vec<String>,
}

impl HostView {
    /// A host with the servers on it.
    #[must_use]
    pub fn of(host: &Host, servers: &[&Server], heard: AgentHeard, now: Instant) -> Self {
        let facts = &host.facts;
        Self {
            name: host.name.clone(),
            cluster: facts.cluster.clone(),
            labels: facts.labels.clone(),
            resources: facts.resources.clone(),
            standing: StandingView::from(&host.standing),
            agent: AgentView::of(host, heard, now),
            servers: u32::try_from(servers.len()).unwrap_or(u32::MAX),
            memory_bytes: facts.memory_bytes,
            memory_used_bytes: servers.iter().map(|server| server.facts.memory_bytes).sum(),
            cpu_threads: facts.cpu_threads,
            vcpus_used: servers.iter().map(|server| server.facts.vcpus).sum(),
            arch: facts.cpu.arch.clone(),
            cpu_model: facts.cpu.model.clone(),
            libvirt_version: version(facts.libvirt_version),
            qemu_version: version(facts.qemu_version),
            shared_storage: facts.shared_storage.clone(),
        }
    }
}

/// 11003000 is 11.3.0.
fn version(number: u64) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// The domain's uuid.
    #[schema(value_type = uuid::Uuid)]
    pub id: ServerId,
    /// The domain's name.
    pub name: String,
    /// The host on which it counts; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host: Option<HostName>,
    /// Whom it belongs to, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerId>,
    /// `running`, `paused`, `held`, `arriving`, `off` or `crashed`.
    pub power: String,
    /// From metadata or import.
    pub labels: BTreeMap<String, String>,
    /// What it takes of its host's resources, by their names; operators only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// What the owner says of live migration: `allowed`, `forbidden`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_migration: Option<String>,
    /// Groups of which no two may share a host.
    #[schema(value_type = Vec<String>)]
    pub anti_affinity: BTreeSet<String>,
    /// Groups that stay on one host.
    #[schema(value_type = Vec<String>)]
    pub affinity: BTreeSet<String>,
    /// `absent`, `disconnected` or `connected`.
    pub guest_agent: String,
    /// Its disks.
    pub disks: Vec<DiskView>,
    /// When its host's agent last told of it.
    pub observed_at: DateTime<Utc>,
    /// The migration that is to move it, if one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationBrief>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskView {
    /// Its name in the definition.
    pub target: String,
    /// As the guest sees it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_bytes: Option<u64>,
    /// Where its bytes are; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `shared`, `local` or `empty`.
    pub reach: String,
}

impl ServerView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(server: &Server, migration: Option<MigrationBrief>, eyes: Eyes) -> Self {
        let facts = &server.facts;
        let inside = eyes == Eyes::Operator;
        Self {
            id: facts.id,
            name: facts.name.clone(),
            host: inside.then(|| server.host.clone()),
            owner: facts.owner.clone(),
            power: word(&facts.power),
            labels: facts.labels.clone(),
            resources: if inside { facts.resources.clone() } else { BTreeMap::new() },
            memory_bytes: facts.memory_bytes,
            vcpus: facts.vcpus,
            live_migration: facts.rules.live_migration.map(|allowance| {
                match allowance {
                    Allowance::Allowed => "allowed",
                    Allowance::Forbidden => "forbidden",
                }
                .to_owned()
            }),
            anti_affinity: facts.rules.anti_affinity.clone(),
            affinity: facts.rules.affinity.clone(),
            guest_agent: word(&facts.guest_agent),
            disks: facts
                .disks
                .iter()
                .map(|disk| DiskView {
                    target: disk.target.clone(),
                    virtual_bytes: disk.virtual_bytes,
                    source: inside.then(|| disk.source.clone()),
                    reach: match disk.reach {
                        Reach::Shared { .. } => "shared",
                        Reach::Local => "local",
                        Reach::Empty => "empty",
                    }
                    .to_owned(),
                })
                .collect(),
            observed_at: server.observed_at,
            migration,
        }
    }
}

/// Why a server is treated as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The server.
    pub server: ServerView,
    /// `live`, `reboot` or `nothing`: by which method it can leave its host now.
    pub method: String,
    /// Why not live, or what blocks both methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// Everything that stands in the way of both methods.
    pub obstacles: Vec<Reason>,
    /// Which rule of policy said what. A setting that nobody set is said by the shipped defaults.
    pub rules: Vec<RuleView>,
    /// Where it could go, best first, and why not elsewhere; operators only.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub places: Vec<PlaceView>,
    /// Whose windows hold for it.
    pub windows_from: String,
    /// When those windows are open next, less the days on which nothing is done.
    pub next_windows: Vec<super::common::SlotView>,
    /// The freezes that hold for it, policy's own days first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<super::freezes::FreezeHolds>,
    /// How many of its owner's servers may be rebooted at once with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<super::freezes::LimitHolds>,
    /// What it is looked at for after a move, besides what every server is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<super::checks::CheckHolds>,
    /// What is done when something that must pass fails: `hold`, `revert` or `tell`.
    #[schema(example = "hold")]
    pub on_failed_checks: String,
    /// What stands in the way of the time that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<super::freezes::Candidate>,
    /// What its blueprint changes at its next launch by a reboot, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
    /// Expected downtime of a reboot migration, in milliseconds.
    pub expected_downtime_ms: u64,
    /// For what its open migration waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Reason>,
    /// What is decided for it: where it goes and when, each with why; nothing while no migration of it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedView>,
}

/// Where a server goes and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecidedView {
    /// Where to; operators only, and nothing while there is no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<HostName>,
    /// Why there; operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_there: Option<String>,
    /// When it is rebooted; nothing where that is not agreed, or not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<super::common::SlotView>,
    /// Why then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_then: Option<String>,
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its name: `live.allowed`.
    pub setting: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Which rule said so.
    pub said_by: String,
}

/// A host as a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceView {
    /// The host.
    #[schema(value_type = String)]
    pub host: HostName,
    /// Whether the server could go there now.
    pub suits: bool,
    /// How full it would be, or why not.
    pub why: Reason,
}

/// Why something is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// In a few words.
    pub reason: String,
}

/// Why something is done, if anybody says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MayReasonBody {
    /// In a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What holds where no rule says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Every setting and who set it.
    pub settings: Vec<RuleView>,
    /// The rules for parts of the fleet, in the order of the files. Of those that are about a server the nearest wins.
    #[serde(default)]
    pub rules: Vec<PolicyRuleView>,
}

/// A rule of a policy, as it stands in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRuleView {
    /// Its name.
    pub name: String,
    /// Whom it is about: `label role=database`.
    pub about: String,
    /// Where it stands: the file and the line.
    pub said_by: String,
    /// About how many servers it is now; nothing where no fleet is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<usize>,
    /// What it sets.
    pub sets: BTreeMap<String, serde_json::Value>,
}
