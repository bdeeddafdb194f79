//! Blueprints, as the API shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use drover_policies::blueprint::{Blueprint, Boot, DiskShape};
use drover_policies::fleet::Server;
use drover_policies::ids::ServerId;
use drover_policies::replica::ImageFormat;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{ActorView, Eyes};
use crate::store::StoredBlueprint;

/// What a server shall look like at its next launch by a reboot. What is not said stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlueprintBody {
    /// Its memory, in bytes: whole MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its virtual processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Networks and bridges that its cards are plugged into, each with the name of what takes its place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// Local disks by their names in the definition, each with what its image shall be at the destination.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, DiskShapeBody>,
    /// `now`, or `later`: it is left off at its cutover, and its owner boots it.
    #[serde(default)]
    pub boot: BootView,
}

/// What a local disk's image shall be at the destination; what is not said is as at the source. The file's name always is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskShapeBody {
    /// The directory that it lies in: one of those that the agents there have for disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/srv/images")]
    pub directory: Option<String>,
    /// Its format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "qcow2")]
    pub format: Option<ImageFormat>,
}

/// Whether a server is booted at its cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BootView {
    /// At once, if it ran before.
    #[default]
    Now,
    /// It is left off.
    Later,
}

impl From<Boot> for BootView {
    fn from(boot: Boot) -> Self {
        match boot {
            Boot::Now => Self::Now,
            Boot::Later => Self::Later,
        }
    }
}

impl From<&Blueprint> for BlueprintBody {
    fn from(blueprint: &Blueprint) -> Self {
        let Blueprint { memory_bytes, vcpus, networks, disks, boot } = blueprint.clone();
        let disks = disks.into_iter().map(|(disk, DiskShape { directory, format })| {
            (disk, DiskShapeBody { directory: directory.map(|path| path.display().to_string()), format })
        });
        Self { memory_bytes, vcpus, networks, disks: disks.collect(), boot: boot.into() }
    }
}

impl From<&BlueprintBody> for Blueprint {
    fn from(body: &BlueprintBody) -> Self {
        let BlueprintBody { memory_bytes, vcpus, networks, disks, boot } = body.clone();
        let disks = disks.into_iter().map(|(disk, DiskShapeBody { directory, format })| {
            (disk, DiskShape { directory: directory.map(PathBuf::from), format })
        });
        let boot = match boot {
            BootView::Now => Boot::Now,
            BootView::Later => Boot::Later,
        };
        Self { memory_bytes, vcpus, networks, disks: disks.collect(), boot }
    }
}

/// A server's blueprint. Once a cutover has carried it out, the server has none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintView {
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// What it says.
    pub blueprint: BlueprintBody,
    /// What that changes, in one line.
    #[schema(example = "memory 4 GiB, 2 vCPUs")]
    pub changes: String,
    /// Who set it last; missing when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<ActorView>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<DateTime<Utc>>,
}

impl BlueprintView {
    /// As these eyes may see it.
    #[must_use]
    pub fn of(server: &Server, stored: Option<&StoredBlueprint>, eyes: Eyes) -> Self {
        let none = Blueprint::default();
        let blueprint = stored.map_or(&none, |stored| &stored.blueprint);
        Self {
            server: server.facts.id,
            server_name: server.facts.name.clone(),
            blueprint: blueprint.into(),
            changes: blueprint.to_string(),
            set_by: stored.map(|stored| ActorView::of(&stored.by, eyes)),
            set_at: stored.map(|stored| stored.at),
        }
    }
}
