//! Disks that only their host has: which of them can be copied to another one, and why not the others.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::WhyBlocked;
use crate::blueprint::Blueprint;
use crate::fleet::{Disk, Reach, ServerFacts};
use crate::replica::{ImageFormat, ReplicaDisk};

/// Why a local disk can't be copied to another host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum WhyNotCopied {
    /// It was found before copies could be made.
    #[default]
    NotLookedAt,
    /// A device of the host, not a file.
    BlockDevice,
    /// A CD or floppy, by its name.
    Medium,
    /// A volume of a pool, of which libvirt names no file.
    Volume,
    /// No format that the two hosts could bring up to date.
    Format {
        /// Which.
        format: String,
    },
    /// libvirt could not say how large it is.
    UnknownSize,
}

/// Follows "which only this host has and".
impl fmt::Display for WhyNotCopied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedAt => f.write_str("could not be copied; plan again, or move it to shared storage"),
            Self::BlockDevice => f.write_str(
                "can't be copied, as it is a block device and not a file; move it to shared storage, or into a qcow2 file",
            ),
            Self::Medium => f.write_str("isn't copied, as it is a CD or floppy; eject it"),
            Self::Volume => f.write_str(
                "can't be copied, as it is named by pool and volume; name the volume's file in the definition instead",
            ),
            Self::Format { format } => {
                write!(f, "can't be copied, as its format is {format}; convert it to qcow2 or raw")
            }
            Self::UnknownSize => f.write_str(
                "can't be copied, as libvirt does not know its size; see whether the file is there and can be read",
            ),
        }
    }
}

/// Whether a server has disks that only its host has.
#[must_use]
pub fn has_local_disks(server: &ServerFacts) -> bool {
    server.disks.iter().any(|disk| disk.reach == Reach::Local)
}

/// Their names in the guest's definition.
pub(super) fn names(server: &ServerFacts) -> Vec<String> {
    server.disks.iter().filter(|disk| disk.reach == Reach::Local).map(|disk| disk.target.clone()).collect()
}

/// A server's local disks as they are copied: to the same path and format at the destination, unless its blueprint wants another.
///
/// # Errors
/// The first of them that can't be.
pub fn copied_disks(
    server: &ServerFacts,
    blueprint: Option<&Blueprint>,
) -> Result<Vec<ReplicaDisk>, WhyBlocked> {
    let local = server.disks.iter().filter(|disk| disk.reach == Reach::Local);
    local
        .map(|disk| {
            let copy = copied(disk)?;
            let Some(shape) = blueprint.and_then(|blueprint| blueprint.disks.get(&disk.target)) else {
                return Ok(copy);
            };
            let becomes = shape.format.filter(|format| *format != copy.format);
            Ok(ReplicaDisk { path: shape.path(&copy.source), becomes, ..copy })
        })
        .collect()
}

pub(super) fn copied(disk: &Disk) -> Result<ReplicaDisk, WhyBlocked> {
    let refuse = |why: WhyNotCopied| {
        Err(WhyBlocked::LocalDisk { disk: disk.target.clone(), source: disk.source.clone(), why })
    };
    let source = PathBuf::from(&disk.source);
    if source.starts_with("/dev") {
        return refuse(WhyNotCopied::BlockDevice);
    }
    if !source.is_absolute() {
        return refuse(WhyNotCopied::Volume);
    }
    // libvirt's facts do not tell a CD from a disk; its file's name does as a rule, and nobody's data disk is called so.
    let extension = source.extension().map(|extension| extension.to_ascii_lowercase());
    if extension.is_some_and(|extension| extension == "iso") || disk.target.starts_with("fd") {
        return refuse(WhyNotCopied::Medium);
    }
    let Some(format) = ImageFormat::called(&disk.format) else {
        return refuse(WhyNotCopied::Format { format: disk.format.clone() });
    };
    let Some(virtual_bytes) = disk.virtual_bytes else { return refuse(WhyNotCopied::UnknownSize) };
    let (target, path) = (disk.target.clone(), source.clone());
    Ok(ReplicaDisk { target, path, source, format, becomes: None, virtual_bytes })
}

/// What a disk takes up at its destination, in bytes: what its file does here, where that is known.
#[must_use]
pub fn needed_bytes(disk: &Disk) -> u64 {
    disk.allocated_bytes.or(disk.virtual_bytes).unwrap_or_default()
}

/// What a server's local disks take up at their destination, in bytes.
#[must_use]
pub fn local_bytes(server: &ServerFacts) -> u64 {
    server.disks.iter().filter(|disk| disk.reach == Reach::Local).map(needed_bytes).sum()
}
