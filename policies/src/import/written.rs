//! The description as a person writes it, and what must hold of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::description::{
    Accelerator, BadDescription, CONVERSION_LIMIT, Description, Firmware, Network, Source, SourceDisk,
    SourceFormat, is_plain,
};
use crate::fleet::{Labels, Plug, RESOURCE_NAME, Resources, SERVERS, is_resource_name};
use crate::mac::Mac;
use crate::replica::ImageFormat;
use crate::time::Span;

/// A description as it is written. Everything may be missing here, so that what is missing is named with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// The server.
    pub import: ServerTable,
    /// What it takes of resources that operators name.
    pub resources: Resources,
    /// Its network interfaces.
    pub network: Vec<NetworkTable>,
    /// Its disks.
    pub disk: Vec<DiskTable>,
}

/// The `[import]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    /// The server's name.
    pub name: Option<String>,
    /// Its id.
    pub uuid: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
    /// Free words.
    pub labels: Labels,
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// Virtual processors.
    pub vcpus: Option<u32>,
    /// What it boots by.
    pub firmware: Firmware,
    /// What runs it.
    pub accelerator: Accelerator,
    /// A file for what its console prints.
    pub console_log: Option<PathBuf>,
    /// How long the conversion may take.
    pub conversion_limit: Option<Span>,
}

/// A `[[network]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkTable {
    /// A bridge.
    pub bridge: Option<String>,
    /// A network of libvirt.
    pub network: Option<String>,
    /// Its Ethernet address.
    pub mac: Option<String>,
}

/// A `[[disk]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskTable {
    /// Its name.
    pub target: Option<String>,
    /// Where it is read.
    pub source: Option<String>,
    /// In which format.
    pub source_format: Option<SourceFormat>,
    /// The image that it becomes.
    pub path: Option<PathBuf>,
    /// That image's format.
    pub format: Option<ImageFormat>,
    /// How large it is as the guest sees it, in MiB.
    pub size_mib: Option<u64>,
}

/// What the disks before one have taken.
#[derive(Default)]
struct Seen {
    targets: BTreeSet<String>,
    places: BTreeSet<PathBuf>,
}

/// More memory than any host has: a number of another unit.
const MOST_MEMORY_MIB: u64 = 64 << 20;

/// A disk larger than any: a number of another unit.
const LARGEST_MIB: u64 = 1 << 30;

fn missing<T>(key: impl Into<String>, advice: &'static str) -> Result<T, BadDescription> {
    Err(BadDescription::Missing { key: key.into(), advice })
}

fn wrong<T>(key: impl Into<String>, given: impl ToString, advice: &'static str) -> Result<T, BadDescription> {
    Err(BadDescription::Wrong { key: key.into(), given: given.to_string(), advice })
}

/// What a text stands for, or what it should be.
fn read<T: FromStr>(key: &str, given: &str, advice: &'static str) -> Result<T, BadDescription> {
    given.parse().or_else(|_| wrong(key, given, advice))
}

impl Written {
    pub(super) fn check(self) -> Result<Description, BadDescription> {
        let ServerTable { name, uuid, owner, labels, memory_mib, vcpus, .. } = self.import;
        let Some(name) = name else {
            return missing("import.name", "name the server, for example name = \"legacy\"");
        };
        let name = name.parse().or_else(|advice| wrong("import.name", &name, advice))?;
        let uuid = uuid.map(|uuid| {
            let advice =
                "write an id like 0190b5c2-7a4e-7c3d-9b1f-2e8d6a5c4b30, or leave it out to be given one";
            read("import.uuid", &uuid, advice)
        });
        let owner = owner.map(|owner| {
            let advice = "write the owner's name as `drover owners list` shows it";
            read("import.owner", &owner, advice)
        });
        let memory_bytes = match memory_mib {
            None => {
                return missing(
                    "import.memory_mib",
                    "say how much memory it gets, in MiB: memory_mib = 2048",
                );
            }
            Some(mib @ 1..=MOST_MEMORY_MIB) => mib << 20,
            Some(other) => {
                return wrong("import.memory_mib", other, "write a number of MiB, for example 2048");
            }
        };
        let vcpus = match vcpus {
            None => return missing("import.vcpus", "say how many virtual processors it gets: vcpus = 2"),
            Some(0) => return wrong("import.vcpus", 0, "a server has at least one"),
            Some(vcpus) => vcpus,
        };
        if let Some(path) = self.import.console_log.as_ref().filter(|path| !is_plain(path)) {
            return wrong(
                "import.console_log",
                path.display(),
                "write the whole path of a file, without \"..\"",
            );
        }
        let conversion_limit = self.import.conversion_limit.unwrap_or(CONVERSION_LIMIT);
        if conversion_limit == Span::ZERO {
            return wrong("import.conversion_limit", conversion_limit, "write for example \"1h\"");
        }
        Ok(Description {
            name,
            uuid: uuid.transpose()?,
            owner: owner.transpose()?,
            labels,
            memory_bytes,
            vcpus,
            firmware: self.import.firmware,
            accelerator: self.import.accelerator,
            console_log: self.import.console_log,
            conversion_limit,
            resources: resources(self.resources)?,
            networks: networks(self.network)?,
            disks: disks(self.disk)?,
        })
    }
}

fn resources(given: Resources) -> Result<Resources, BadDescription> {
    for (name, amount) in &given {
        let key = || format!("resources.{name}");
        if !is_resource_name(name) {
            return wrong("resources", name, RESOURCE_NAME);
        }
        if name == SERVERS {
            return wrong(key(), amount, "every server takes one of these by itself; leave it out");
        }
        if *amount == 0 {
            return wrong(key(), amount, "write how many it takes, 1 or more, or leave it out");
        }
    }
    Ok(given)
}

fn networks(given: Vec<NetworkTable>) -> Result<Vec<Network>, BadDescription> {
    let mut networks: Vec<Network> = Vec::new();
    for (number, NetworkTable { bridge, network, mac }) in given.into_iter().enumerate() {
        let key = |field: &str| format!("network[{number}].{field}");
        let plug = match (bridge, network) {
            (Some(bridge), None) => Plug::Bridge(bridge),
            (None, Some(network)) => Plug::Network(network),
            (None, None) => {
                return missing(
                    key("bridge"),
                    "name a bridge of the host (bridge = \"br0\") or a network of libvirt (network = \"default\")",
                );
            }
            (Some(_), Some(network)) => {
                return wrong(
                    key("network"),
                    network,
                    "there is a bridge as well; an interface is plugged into one of them",
                );
            }
        };
        let (Plug::Bridge(name) | Plug::Network(name)) = &plug;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong(key("bridge"), name, "write the name as `ip link` or `virsh net-list` shows it");
        }
        let mac: Option<Mac> = match mac {
            Some(text) => Some(read(&key("mac"), &text, "write it as 52:54:00:12:34:56")?),
            None => None,
        };
        if let Some(mac) = mac {
            if mac.0[0] & 1 == 1 {
                return wrong(key("mac"), mac, "this is a group's address; a guest's has an even first byte");
            }
            if networks.iter().any(|other| other.mac == Some(mac)) {
                return wrong(key("mac"), mac, "another interface has it");
            }
        }
        networks.push(Network { plug, mac });
    }
    Ok(networks)
}

fn disks(given: Vec<DiskTable>) -> Result<Vec<SourceDisk>, BadDescription> {
    if given.is_empty() {
        return missing("disk", "say with [[disk]] where the disk it boots from is read, and where it goes");
    }
    let mut seen = Seen::default();
    let disks = given.into_iter().enumerate().map(|(number, table)| disk(number, table, &mut seen));
    disks.collect()
}

fn disk(number: usize, given: DiskTable, seen: &mut Seen) -> Result<SourceDisk, BadDescription> {
    let key = |field: &str| format!("disk[{number}].{field}");
    let Some(target) = given.target else {
        return missing(
            key("target"),
            "name the disk as the guest's first virtio disk is named: target = \"vda\"",
        );
    };
    let letters = target.strip_prefix("vd").unwrap_or_default();
    if letters.len() != 1 || !letters.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return wrong(key("target"), target, "write vda, vdb and so on, up to vdz");
    }
    let Some(source) = given.source else {
        return missing(
            key("source"),
            "write the path of an image, or an address like nbd://host:10809/export",
        );
    };
    let source = read_source(number, source, given.source_format)?;
    let Some(path) = given.path else {
        return missing(
            key("path"),
            "write where the image goes on its host: path = \"/var/lib/libvirt/images/legacy.qcow2\"",
        );
    };
    if !is_plain(&path) {
        return wrong(key("path"), path.display(), "write the whole path of the image to be, without \"..\"");
    }
    if !seen.targets.insert(target.clone()) {
        return wrong(key("target"), target, "another disk has this name");
    }
    if !seen.places.insert(source.name().to_owned()) {
        return wrong(key("source"), source, "it is there twice; each disk has its own");
    }
    if !seen.places.insert(path.clone()) {
        return wrong(
            key("path"),
            path.display(),
            "something else in this file has this path; an image is never written over its source",
        );
    }
    let bytes = match given.size_mib {
        Some(mib @ 1..=LARGEST_MIB) => Some(mib << 20),
        Some(other) => {
            return wrong(
                key("size_mib"),
                other,
                "write how large the guest sees it, in MiB, or leave it out",
            );
        }
        None => None,
    };
    Ok(SourceDisk { target, source, path, format: given.format.unwrap_or(ImageFormat::Qcow2), bytes })
}

fn read_source(number: usize, given: String, format: Option<SourceFormat>) -> Result<Source, BadDescription> {
    let key = format!("disk[{number}].source");
    let format_key = format!("disk[{number}].source_format");
    if given.contains("://") {
        check_address(&key, &given)?;
        return match format {
            None | Some(SourceFormat::Raw) => Ok(Source::Nbd { uri: given }),
            Some(other) => {
                wrong(format_key, other.word(), "an NBD export's bytes are the disk's; leave it out")
            }
        };
    }
    let path = PathBuf::from(given);
    if !is_plain(&path) {
        return wrong(
            key,
            path.display(),
            "write the whole path of an image, without \"..\", or an address like nbd://host:10809/export",
        );
    }
    match format.or_else(|| SourceFormat::by_ending(&path)) {
        Some(format) => Ok(Source::File { path, format }),
        None => {
            missing(format_key, "the file's ending doesn't say it: write vpc (VHD), vhdx, vmdk, raw or qcow2")
        }
    }
}

fn check_address(key: &str, given: &str) -> Result<(), BadDescription> {
    if given.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong(key, given, "an address has no spaces");
    }
    let (scheme, rest) = given.split_once("://").unwrap_or_default();
    match scheme {
        "nbd" if !rest.is_empty() && !rest.starts_with('/') => Ok(()),
        "nbd" => wrong(key, given, "it names no host; write nbd://host:10809/export"),
        "nbd+unix" if rest.starts_with('/') && rest.contains("?socket=/") => Ok(()),
        "nbd+unix" => wrong(key, given, "write nbd+unix:///export?socket=/path/of/the/socket"),
        "nbds" | "nbds+unix" => wrong(
            key,
            given,
            "encrypted NBD is not read here; bring it over a tunnel, and write nbd://localhost:10809/export",
        ),
        _ => wrong(key, given, "only nbd:// and nbd+unix:// addresses are read; others are downloaded first"),
    }
}
