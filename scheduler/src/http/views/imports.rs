//! Imports, as the API shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use drover_policies::ids::{HostName, ImportId, ServerId};
use drover_policies::import::{
    Accelerator, Chosen, Description, DiskTable, Firmware, Found, Import, ImportState, ImportStatus,
    NetworkTable, ServerTable, SourceFormat, Virtio, Written,
};
use drover_policies::replica::ImageFormat;
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ActorView, Eyes, FailureView};

/// A server of another kind of hypervisor to be brought here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImport {
    /// The server.
    pub import: ImportServerBody,
    /// What it takes of resources that hosts name in the `[resources]` of their agents: `{"gpu-slots": 1}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// Its network interfaces, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<ImportNetworkBody>,
    /// Its disks; it boots from the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk: Vec<ImportDiskBody>,
    /// Where it is to go: a host's name, or `auto` to have the planner look for the best place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "auto")]
    pub host: Option<String>,
    /// In which cluster the planner looks; all of them unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Boot it when it is there. It must be off at its source then, and stay so.
    #[serde(default)]
    pub start: bool,
}

/// The server that is imported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportServerBody {
    /// Its name: 1 to 60 letters, digits, `.`, `_` or `-`.
    pub name: Option<String>,
    /// Its id, to keep the one that it has; a new one unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Free words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// Virtual processors.
    pub vcpus: Option<u32>,
    /// `bios` or `uefi`: by what it boots at its source; `bios` unless said.
    #[schema(value_type = String)]
    pub firmware: Firmware,
    /// `kvm` or `tcg` (plain emulation); `kvm` unless said.
    #[schema(value_type = String)]
    pub accelerator: Accelerator,
    /// A file on its host that keeps what its serial console prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub console_log: Option<PathBuf>,
    /// How long the conversion may take; `1h` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1h")]
    pub conversion_limit: Option<Span>,
}

/// A network interface: a bridge of its host, or a network of libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportNetworkBody {
    /// A bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// A network of libvirt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its Ethernet address; guests often know their interfaces by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A disk: where it is read, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportDiskBody {
    /// Its name here: `vda`.
    pub target: Option<String>,
    /// The path of an image on its host, or an address: `nbd://host:10809/export`.
    pub source: Option<String>,
    /// `vpc` (VHD), `vhdx`, `vmdk`, `raw` or `qcow2`, where the file's ending doesn't say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub source_format: Option<SourceFormat>,
    /// The image that it becomes.
    #[schema(value_type = Option<String>)]
    pub path: Option<PathBuf>,
    /// `qcow2` or `raw`; `qcow2` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub format: Option<ImageFormat>,
    /// How large it is as the guest sees it, in MiB: a place is looked for by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
}

impl From<&NewImport> for Written {
    fn from(body: &NewImport) -> Self {
        let ImportServerBody {
            name,
            uuid,
            owner,
            labels,
            memory_mib,
            vcpus,
            firmware,
            accelerator,
            console_log,
            conversion_limit,
        } = body.import.clone();
        let network = body.network.iter().cloned().map(|one| {
            let ImportNetworkBody { bridge, network, mac } = one;
            NetworkTable { bridge, network, mac }
        });
        let disk = body.disk.iter().cloned().map(|one| {
            let ImportDiskBody { target, source, source_format, path, format, size_mib } = one;
            DiskTable { target, source, source_format, path, format, size_mib }
        });
        Self {
            import: ServerTable {
                name,
                uuid,
                owner,
                labels,
                memory_mib,
                vcpus,
                firmware,
                accelerator,
                console_log,
                conversion_limit,
            },
            resources: body.resources.clone(),
            network: network.collect(),
            disk: disk.collect(),
        }
    }
}

/// How an import is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryImport {
    /// Throw away what was done, and begin anew.
    #[serde(default)]
    pub anew: bool,
}

/// A server that is brought here. Its log is a stream of events: `/v1/events/stream?import=…&after=0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ImportId,
    /// The server's id.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// The server's name.
    pub server_name: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it goes.
    #[schema(value_type = String)]
    pub host: HostName,
    /// Why there.
    pub host_why: String,
    /// Hosts that would not have it, each with why; of one for which the planner looks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub refused_by: BTreeMap<HostName, String>,
    /// `running`, `failed`, `cancelling`, `imported` or `cancelled`.
    pub state: String,
    /// When it came to that; missing of one that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// How far it is, as its agent tells; missing where there is nothing to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ImportProgress>,
    /// Why it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// What the conversion has found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundView>,
    /// What it takes of resources that hosts name in the `[resources]` of their agents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// Its disks.
    pub disks: Vec<ImportedDiskView>,
    /// Whether it is booted at the end.
    pub start: bool,
    /// Who asked for it.
    pub asked_by: ActorView,
    /// When.
    pub opened_at: DateTime<Utc>,
}

/// A disk of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedDiskView {
    /// Its name.
    pub target: String,
    /// Where it is read.
    pub source: String,
    /// The image that it becomes.
    pub path: String,
    /// That image's format.
    pub format: String,
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportProgress {
    /// `clear`, `check`, `copy`, `fix`, `merge`, `place`, `define` or `start`.
    pub step: String,
    /// The same in words: `copying the disks`.
    pub text: String,
    /// For how many seconds that has been done.
    pub seconds: u64,
    /// What is to be copied of all disks that were looked at, in bytes.
    pub total_bytes: u64,
    /// What has been.
    pub done_bytes: u64,
    /// Disk by disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<CopiedDiskView>,
}

/// How far the copy of a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CopiedDiskView {
    /// Its name.
    pub target: String,
    /// In all, in bytes.
    pub total_bytes: u64,
    /// Copied, in bytes.
    pub done_bytes: u64,
}

/// What a conversion has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundView {
    /// The guest's operating system, as far as it was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether it has virtio drivers; without them its disks and interfaces are emulated, which is slow.
    pub virtio: bool,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Live figures of an import, as `event: import` of the stream carries them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportEvent {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub import: ImportId,
    /// The server's name.
    pub server_name: String,
    /// How far.
    pub progress: ImportProgress,
}

impl From<&ImportStatus> for ImportProgress {
    fn from(status: &ImportStatus) -> Self {
        let (total_bytes, done_bytes) = status.bytes();
        let disks = status.disks.iter().map(|disk| CopiedDiskView {
            target: disk.target.clone(),
            total_bytes: disk.total_bytes,
            done_bytes: disk.done_bytes,
        });
        Self {
            step: status.step.name().to_owned(),
            text: status.step.to_string(),
            seconds: Span::between(status.since, status.at).as_milliseconds() / 1000,
            total_bytes,
            done_bytes,
            disks: disks.collect(),
        }
    }
}

impl From<&Found> for FoundView {
    fn from(found: &Found) -> Self {
        let Found { system, virtio, warnings, .. } = found.clone();
        Self { system, virtio: virtio == Virtio::Installed, warnings }
    }
}

impl ImportView {
    /// An import, with what its agent tells at present. Imports are for operators.
    #[must_use]
    pub fn of(import: &Import, status: Option<&ImportStatus>) -> Self {
        let (since, failure, found) = match &import.state {
            ImportState::Running { .. } | ImportState::Cancelling { .. } => (None, None, None),
            ImportState::Failed { at, failure, .. } => (Some(*at), Some(failure), None),
            ImportState::Imported { at, found } => (Some(*at), None, Some(found)),
            ImportState::Cancelled { at } => (Some(*at), None, None),
        };
        let Description { name, owner, disks, resources, .. } = &import.description;
        let disks = disks.iter().map(|disk| ImportedDiskView {
            target: disk.target.clone(),
            source: disk.source.to_string(),
            path: disk.path.display().to_string(),
            format: disk.format.to_string(),
        });
        Self {
            id: import.id,
            server: import.server,
            server_name: name.to_string(),
            owner: owner.as_ref().map(ToString::to_string),
            host: import.host.clone(),
            host_why: import.host_why.clone(),
            refused_by: match &import.chosen {
                Chosen::ByName => BTreeMap::new(),
                Chosen::ByPlanner { refused_by, .. } => refused_by.clone(),
            },
            state: import.state.name().to_owned(),
            since,
            progress: status.map(ImportProgress::from),
            failure: failure.map(|failure| FailureView::of(failure, Eyes::Operator)),
            found: found.map(FoundView::from),
            resources: resources.clone(),
            disks: disks.collect(),
            start: import.start == drover_policies::import::Start::Yes,
            asked_by: ActorView::of(&import.by, Eyes::Operator),
            opened_at: import.opened_at,
        }
    }
}
