//! A server's blueprint: what it shall look like where it is launched next, be it by a test or by the cutover.
//!
//! What is not said stays as the server's definition has it. A change is valid from the next launch on; what runs already is not touched.
//! Once a cutover has carried it out, the server *is* so, and has no blueprint any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fleet::{Disk, Plug, ServerFacts};
use crate::ids::ServerId;
use crate::replica::ImageFormat;

/// Every server's that has one.
pub type Blueprints = BTreeMap<ServerId, Blueprint>;

/// The least memory that a server can be given, in bytes: less than any system boots with.
const LEAST_MEMORY: u64 = 16 << 20;
/// Memory comes in whole steps of this, in bytes.
const MEMORY_STEP: u64 = 1 << 20;
/// More processors than any machine type takes.
const MOST_VCPUS: u32 = 1024;
/// The longest name of a network.
const LONGEST_NAME: usize = 64;
/// The longest name of a disk in a definition.
const LONGEST_TARGET: usize = 32;

/// What a server shall look like at its next launch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blueprint {
    /// Its memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Networks and bridges as the source names them, each with the name of the one that takes its place at the destination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// Local disks by their names in the definition, each with what its image shall be at the destination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, DiskShape>,
    /// Whether it is booted at its cutover.
    #[serde(skip_serializing_if = "Boot::is_now")]
    pub boot: Boot,
}

/// What a local disk's image shall be at the destination. What is not said is as at the source; the file's name always is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskShape {
    /// The directory that it lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Its format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
}

impl DiskShape {
    /// Where the image of this file comes to be.
    #[must_use]
    pub fn path(&self, source: &Path) -> PathBuf {
        match (&self.directory, source.file_name()) {
            (Some(directory), Some(name)) => directory.join(name),
            (Some(_) | None, _) => source.to_owned(),
        }
    }
}

impl fmt::Display for DiskShape {
    /// `as raw in /srv/fast`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format.map(|format| format!("as {format}"));
        let directory = self.directory.as_ref().map(|directory| format!("in {}", directory.display()));
        f.write_str(&format.into_iter().chain(directory).collect::<Vec<_>>().join(" "))
    }
}

/// Whether a server is booted at its cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// At once, if it ran before.
    #[default]
    Now,
    /// It is defined and left off: its owner boots it.
    Later,
}

impl Boot {
    /// Whether it is booted at once.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self == Self::Now
    }
}

/// Why a blueprint can't be used: the field, what is wrong with it, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBlueprint {
    /// Memory.
    #[error("memory_bytes is {given}; write whole MiB, and at least {LEAST_MEMORY}")]
    Memory {
        /// As given.
        given: u64,
    },
    /// Processors.
    #[error("vcpus is {given}; write 1 to {most}")]
    Vcpus {
        /// As given.
        given: u32,
        /// What is allowed.
        most: u32,
    },
    /// A network's name.
    #[error(
        "networks has the name {given:?}; a name is 1 to {LONGEST_NAME} letters, digits, and any of - _ . : as libvirt gives them"
    )]
    Network {
        /// As given.
        given: String,
    },
    /// A disk's name.
    #[error("disks has the name {given:?}; a disk is called as in the server's definition: vda, sdb")]
    Disk {
        /// As given.
        given: String,
    },
    /// A disk of which nothing is said.
    #[error("disks says nothing about {disk}; say its directory, its format, or both")]
    DiskUnchanged {
        /// Which.
        disk: String,
    },
    /// A directory.
    #[error(
        "disks has {given:?} as the directory of {disk}; write its whole path, without \"..\": /srv/images"
    )]
    Directory {
        /// Of which disk.
        disk: String,
        /// As given.
        given: String,
    },
}

/// A size of memory for people: `4 GiB`, `1536 MiB`.
#[must_use]
pub fn in_words(bytes: u64) -> String {
    let mib = bytes / MEMORY_STEP;
    if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

/// Whether a network or bridge can be called so.
#[must_use]
pub fn is_network(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

impl BadBlueprint {
    /// The part that is wrong.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Memory { .. } => Part::Memory,
            Self::Vcpus { .. } => Part::Vcpus,
            Self::Network { .. } => Part::Networks,
            Self::Disk { .. } | Self::DiskUnchanged { .. } | Self::Directory { .. } => Part::Disks,
        }
    }
}

fn check_disk(disk: &str, shape: &DiskShape) -> Result<(), BadBlueprint> {
    let is_named =
        (1..=LONGEST_TARGET).contains(&disk.len()) && disk.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_named {
        return Err(BadBlueprint::Disk { given: disk.to_owned() });
    }
    if *shape == DiskShape::default() {
        return Err(BadBlueprint::DiskUnchanged { disk: disk.to_owned() });
    }
    let is_whole = |path: &&PathBuf| {
        path.is_absolute()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    };
    match shape.directory.as_ref().filter(|path| !is_whole(path)) {
        Some(given) => {
            Err(BadBlueprint::Directory { disk: disk.to_owned(), given: given.display().to_string() })
        }
        None => Ok(()),
    }
}

impl Blueprint {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parts that are another than in the other one.
    #[must_use]
    pub fn differs_in(&self, other: &Self) -> BTreeSet<Part> {
        let parts = [
            (Part::Memory, self.memory_bytes != other.memory_bytes),
            (Part::Vcpus, self.vcpus != other.vcpus),
            (Part::Networks, self.networks != other.networks),
            (Part::Disks, self.disks != other.disks),
            (Part::Boot, self.boot != other.boot),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
    }

    /// What a server with these facts is plugged into when it is launched, of what this changes.
    pub fn plugs<'a>(&'a self, facts: &'a ServerFacts) -> impl Iterator<Item = Plug> + 'a {
        facts.plugs.iter().flatten().filter_map(|plug| Some(plug.called(self.networks.get(plug.name())?)))
    }

    /// Looks whether it can be used at all.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), BadBlueprint> {
        if let Some(given) = self.memory_bytes
            && (given < LEAST_MEMORY || given % MEMORY_STEP != 0)
        {
            return Err(BadBlueprint::Memory { given });
        }
        if let Some(given) = self.vcpus
            && !(1..=MOST_VCPUS).contains(&given)
        {
            return Err(BadBlueprint::Vcpus { given, most: MOST_VCPUS });
        }
        match self.networks.iter().flat_map(|(from, to)| [from, to]).find(|name| !is_network(name)) {
            Some(given) => Err(BadBlueprint::Network { given: given.clone() }),
            None => self.disks.iter().try_for_each(|(disk, shape)| check_disk(disk, shape)),
        }
    }
}

impl fmt::Display for Blueprint {
    /// What it changes, in one line: `memory 2 GiB, 2 vCPUs, network br1 in place of br0, left off`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_bytes.map(|bytes| format!("memory {}", in_words(bytes)));
        let vcpus = self.vcpus.map(|vcpus| match vcpus {
            1 => "1 vCPU".to_owned(),
            more => format!("{more} vCPUs"),
        });
        let networks = self.networks.iter().map(|(from, to)| format!("network {to} in place of {from}"));
        let disks = self.disks.iter().map(|(disk, shape)| format!("disk {disk} {shape}"));
        let boot = match self.boot {
            Boot::Now => None,
            Boot::Later => Some("left off".to_owned()),
        };
        let all: Vec<String> =
            memory.into_iter().chain(vcpus).chain(networks).chain(disks).chain(boot).collect();
        f.write_str(if all.is_empty() { "nothing" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// A part of a blueprint, by the name that policies use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its memory.
    Memory,
    /// Its virtual processors.
    Vcpus,
    /// Its networks.
    Networks,
    /// Where its local disks are, and as what.
    Disks,
    /// Whether it is booted.
    Boot,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Vcpus, Self::Networks, Self::Disks, Self::Boot];

    /// The field of a blueprint that says it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Memory => "memory_bytes",
            Self::Vcpus => "vcpus",
            Self::Networks => "networks",
            Self::Disks => "disks",
            Self::Boot => "boot",
        }
    }
}

/// What a move changes about its server besides its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shaped {
    /// By this blueprint; of a revert, what brings back what was.
    pub blueprint: Blueprint,
    /// Its memory before, in bytes.
    pub memory_before: u64,
    /// Its virtual processors before.
    pub vcpus_before: u32,
    /// The disks that it changes, as they were before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disks_before: BTreeMap<String, DiskShape>,
}

impl Shaped {
    /// A server that is to be moved with a blueprint.
    #[must_use]
    pub fn of(blueprint: &Blueprint, facts: &ServerFacts) -> Self {
        let is_changed = |disk: &&Disk| blueprint.disks.contains_key(&disk.target);
        let disks_before = facts.disks.iter().filter(is_changed).map(|disk| {
            let directory = Path::new(&disk.source).parent().map(Path::to_owned);
            (disk.target.clone(), DiskShape { directory, format: ImageFormat::called(&disk.format) })
        });
        Self {
            blueprint: blueprint.clone(),
            memory_before: facts.memory_bytes,
            vcpus_before: facts.vcpus,
            disks_before: disks_before.collect(),
        }
    }

    /// The way back. Which network was in the place of which is known to the server's definition alone.
    #[must_use]
    pub fn back(&self) -> Self {
        let Self { blueprint, memory_before, vcpus_before, disks_before } = self;
        Self {
            blueprint: Blueprint {
                memory_bytes: blueprint.memory_bytes.map(|_| *memory_before),
                vcpus: blueprint.vcpus.map(|_| *vcpus_before),
                disks: disks_before.clone(),
                ..Blueprint::default()
            },
            memory_before: blueprint.memory_bytes.unwrap_or(*memory_before),
            vcpus_before: blueprint.vcpus.unwrap_or(*vcpus_before),
            disks_before: blueprint.disks.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused_with_the_field_and_what_would_be_right() {
        let told = |blueprint: Blueprint| blueprint.check().expect_err("bad").to_string();
        let memory = |given| Blueprint { memory_bytes: Some(given), ..Blueprint::default() };
        assert!(told(memory(1)).starts_with("memory_bytes is 1; write whole MiB"));
        assert!(told(memory((64 << 20) + 512)).contains("whole MiB"));
        for given in [0, 4096] {
            let vcpus = Blueprint { vcpus: Some(given), ..Blueprint::default() };
            assert_eq!(told(vcpus), format!("vcpus is {given}; write 1 to 1024"));
        }
        for hostile in ["", "a'/><x", "a b", &"n".repeat(65)] {
            let networks = BTreeMap::from([("br0".to_owned(), hostile.to_owned())]);
            assert!(told(Blueprint { networks, ..Blueprint::default() }).contains(&format!("{hostile:?}")));
        }
        memory(64 << 20).check().expect("good");
        let disk = |name: &str, directory: Option<&str>| {
            let shape = DiskShape { directory: directory.map(PathBuf::from), format: None };
            Blueprint { disks: BTreeMap::from([(name.to_owned(), shape)]), ..Blueprint::default() }
        };
        for hostile in ["", "v d", "vda'/>"] {
            assert!(told(disk(hostile, Some("/srv"))).contains("vda, sdb"), "{hostile:?}");
        }
        assert!(told(disk("vda", None)).contains("its directory, its format, or both"));
        for hostile in ["images", "/srv/../etc", ""] {
            assert!(told(disk("vda", Some(hostile))).contains("write its whole path"), "{hostile:?}");
        }
        disk("vda", Some("/srv/images")).check().expect("good");
    }

    #[test]
    fn the_way_back_of_a_disk_is_where_and_what_it_was() {
        let mut facts = crate::samples::server_facts(crate::samples::server_id(1), "db");
        let disk = Disk {
            source: "/srv/slow/db.img".to_owned(),
            format: "qcow2".to_owned(),
            ..facts.disks[0].clone()
        };
        facts.disks = vec![disk];
        let raw = DiskShape { directory: Some("/srv/fast".into()), format: Some(ImageFormat::Raw) };
        assert_eq!(raw.to_string(), "as raw in /srv/fast");
        assert_eq!(raw.path(Path::new("/srv/slow/db.img")), Path::new("/srv/fast/db.img"));
        let blueprint =
            Blueprint { disks: BTreeMap::from([("vda".to_owned(), raw)]), ..Blueprint::default() };
        let back = Shaped::of(&blueprint, &facts).back();
        assert_eq!(back.blueprint.to_string(), "disk vda as qcow2 in /srv/slow");
        assert_eq!(back.back().blueprint, blueprint);
    }

    #[test]
    fn what_is_not_said_is_left_out_and_what_is_not_known_is_refused() {
        assert_eq!(serde_json::to_string(&Blueprint::default()).expect("written"), "{}");
        serde_json::from_str::<Blueprint>(r#"{"memory": 1}"#).expect_err("no such field");
    }
}
