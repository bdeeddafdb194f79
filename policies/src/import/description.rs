//! The description of a foreign server: what it is, where its disks are, and what it shall be here.
//!
//! ```toml
//! [import]
//! name = "legacy"
//! owner = "acme"
//! memory_mib = 2048
//! vcpus = 2
//!
//! [resources]
//! gpu-slots = 1
//!
//! [[network]]
//! bridge = "br0"
//! mac = "00:0c:29:3a:11:5e"
//!
//! [[disk]]
//! target = "vda"
//! source = "/srv/incoming/legacy.vmdk"
//! path = "/var/lib/libvirt/images/legacy.qcow2"
//! ```

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::written::Written;
use crate::fleet::{Labels, Plug, Resources};
use crate::ids::{OwnerId, ServerId};
use crate::mac::Mac;
use crate::replica::ImageFormat;
use crate::time::Span;

/// How long a conversion may take if nothing else is said. The longest known are Windows guests on slow disks: about 20 minutes.
pub(super) const CONVERSION_LIMIT: Span = Span::hours(1);

/// A server to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Its name at its host's libvirt.
    pub name: ServerName,
    /// Its id there, where it is to keep one; nothing to be given a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<ServerId>,
    /// Whose it is.
    pub owner: Option<OwnerId>,
    /// Free words.
    pub labels: Labels,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// What it boots by at its source.
    pub firmware: Firmware,
    /// What runs it.
    pub accelerator: Accelerator,
    /// A file that keeps what its serial console prints.
    pub console_log: Option<PathBuf>,
    /// How long the conversion may take.
    pub conversion_limit: Span,
    /// What it takes of resources that operators name. Missing in those that were kept before there were any.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Its network interfaces, in order.
    pub networks: Vec<Network>,
    /// Its disks; it boots from the first.
    pub disks: Vec<SourceDisk>,
}

/// A server's name at libvirt. It is a part of file names as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

/// By what a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
}

/// What runs a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor's virtualisation.
    #[default]
    Kvm,
    /// QEMU's emulation: slow, and runs anywhere.
    Tcg,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What it is plugged into.
    pub plug: Plug,
    /// Its Ethernet address; nothing to be given one. Guests often know their interfaces by it.
    pub mac: Option<Mac>,
}

/// A disk: where it comes from, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDisk {
    /// Its name here: `vda`.
    pub target: String,
    /// Where it is read.
    pub source: Source,
    /// The image that it becomes.
    pub path: PathBuf,
    /// That image's format.
    pub format: ImageFormat,
    /// As the guest sees it, in bytes, where that was said: a place is looked for by it. How large it is is seen when it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Where a disk is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An image that the host can read.
    File {
        /// Where.
        path: PathBuf,
        /// In which format. Never found out from the content: that is the guest's to write.
        format: SourceFormat,
    },
    /// An NBD export: its bytes are the disk's.
    Nbd {
        /// Its address, as qemu takes it.
        uri: String,
    },
}

/// The format of a foreign image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// VHD, as of Virtual PC, Xen and Azure.
    #[serde(alias = "vhd")]
    Vpc,
    /// VHDX, as of Hyper-V.
    Vhdx,
    /// VMDK, as of VMware.
    Vmdk,
    /// Bytes as they are.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// Why a description was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDescription {
    /// Something is not said.
    #[error("{key} is not set; {advice}")]
    Missing {
        /// What.
        key: String,
        /// What would be right.
        advice: &'static str,
    },
    /// Something is said wrongly.
    #[error("{key} is {given:?}; {advice}")]
    Wrong {
        /// What.
        key: String,
        /// What was said.
        given: String,
        /// What would be right.
        advice: &'static str,
    },
}

impl BadDescription {
    /// What is missing or wrong: `import.name`, `disk[0].source`.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Missing { key, .. } | Self::Wrong { key, .. } => key,
        }
    }
}

impl TryFrom<Written> for Description {
    type Error = BadDescription;

    /// Checks what was written. What is refused is named by its field, with what would be right.
    fn try_from(written: Written) -> Result<Self, BadDescription> {
        written.check()
    }
}

impl ServerName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ServerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let usable = text.len() <= 60
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err("write 1 to 60 letters, digits, '.', '_' or '-', beginning with a letter or digit")
        }
    }
}

impl TryFrom<String> for ServerName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

impl SourceFormat {
    /// As qemu calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vpc => "vpc",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    /// By the ending of a file's name.
    pub(super) fn by_ending(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "vhd" | "vpc" => Some(Self::Vpc),
            "vhdx" => Some(Self::Vhdx),
            "vmdk" => Some(Self::Vmdk),
            "raw" | "img" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2),
            _ => None,
        }
    }
}

impl Source {
    /// As qemu takes it: a path or an address.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Nbd { uri } => Path::new(uri),
        }
    }

    /// In which format it is read.
    #[must_use]
    pub fn format(&self) -> SourceFormat {
        match self {
            Self::File { format, .. } => *format,
            Self::Nbd { .. } => SourceFormat::Raw,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().display())
    }
}

/// Whether a path can be taken literally: whole, and without steps back.
pub(super) fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.file_name().is_some()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !path.to_str().is_none_or(|text| text.chars().any(char::is_control))
}
