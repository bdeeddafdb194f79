//! What this host's disk says of a replica, and the names of its files.
//!
//! ```text
//! <data_dir>/replicas/lock               held by the one agent that works with these
//! <data_dir>/replicas/<id>/record.json   the record
//! <data_dir>/replicas/<id>/<disk>.sock   while a round goes on: its qemu-nbd's socket, with a .log of what it says
//! <path>.drover-<id8>                    an image or what goes with it, beside its place
//! <path>.drover-<id8>.round              a round that has not landed
//! <path>.drover-<id8>.before             what was at an extra's place before
//! <path>.drover-<id8>.test               while a test guest runs: what it writes
//! <path>.drover-<id8>.vars               the same: its variables of UEFI, beside the first disk
//! <path>.drover-<id8>.next               what has landed since the test began, until it is joined with the image
//! ```

use std::path::{Path, PathBuf};

use drover_agent_api::{Base, HoldReplica, Images};
use drover_policies::fleet::CertificateDigest;
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::replica::{ImageFormat, Point, ReplicaDisk, Round};
use serde::{Deserialize, Serialize};

use super::wire::{Content, Extra};
use crate::hypervisor::replication::Touched;

/// A replica's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) replica: ReplicaId,
    pub(super) server: ServerId,
    pub(super) source: HostName,
    pub(super) source_certificate: CertificateDigest,
    pub(super) base: Base,
    /// With the sizes that the images have.
    pub(super) disks: Vec<ReplicaDisk>,
    /// What goes with the disks and is there.
    pub(super) extras: Vec<Extra>,
    pub(super) landed: u64,
    pub(super) last: Option<Round>,
    pub(super) content: Content,
    pub(super) stage: Stage,
    /// Whether a test guest reads the images.
    #[serde(default)]
    pub(super) fork: Fork,
}

/// What is being done to the files. Written before it is begun, and after it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(super) enum Stage {
    /// Beside their place; a round may go on.
    Beside,
    /// This round is complete in the overlays, and will land whatever happens.
    Landing { round: Round },
    /// They are being put in their place.
    Placing,
    /// Where the server's definition names them.
    InPlace,
    /// They are being taken out of their place.
    TakingOut { touched: Touched },
    /// The replica is not held any more; its files are being tidied.
    Releasing { images: Images },
}

/// Whether the images are frozen, so that what lands goes into layers over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "fork", rename_all = "snake_case")]
pub(super) enum Fork {
    /// They are not.
    #[default]
    None,
    /// A test guest may run from them. Written after the layers were made.
    Made {
        /// Which.
        guest: ServerId,
        /// What they show.
        point: Point,
    },
    /// The test is over; the layers are to be joined with the images.
    Joining,
}

impl Record {
    pub(super) fn new(order: &HoldReplica) -> Self {
        let content = match order.base {
            Base::New => Content::Empty,
            Base::Retained => Content::Unknown,
        };
        Self {
            replica: order.replica,
            server: order.server,
            source: order.source.clone(),
            source_certificate: order.source_certificate.clone(),
            base: order.base,
            disks: order.disks.clone(),
            extras: Vec::new(),
            landed: 0,
            last: None,
            content,
            stage: Stage::Beside,
            fork: Fork::None,
        }
    }

    /// Whether the order means this replica. Sizes may have changed since.
    pub(super) fn is_of(&self, order: &HoldReplica) -> bool {
        let same = |(known, ordered): (&ReplicaDisk, &ReplicaDisk)| {
            (&known.target, &known.path, known.format) == (&ordered.target, &ordered.path, ordered.format)
        };
        self.server == order.server
            && self.base == order.base
            && self.disks.len() == order.disks.len()
            && self.disks.iter().zip(&order.disks).all(same)
    }

    pub(super) fn disk(&self, target: &str) -> Option<&ReplicaDisk> {
        self.disks.iter().find(|disk| disk.target == target)
    }

    /// Where a file of the replica is while it is not in its place.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        with_suffix(path, self.replica, "")
    }

    /// Where a round of a disk is written until it lands.
    pub(super) fn overlay(&self, disk: &ReplicaDisk) -> PathBuf {
        with_suffix(&disk.path, self.replica, ".round")
    }

    /// What shows the last round that landed, and what the next one is written over.
    pub(super) fn image(&self, disk: &ReplicaDisk) -> (PathBuf, ImageFormat) {
        match self.fork {
            Fork::None => (self.beside(&disk.path), disk.format),
            Fork::Made { .. } | Fork::Joining => (self.next(disk), ImageFormat::Qcow2),
        }
    }

    /// Where rounds land while the image is frozen.
    pub(super) fn next(&self, disk: &ReplicaDisk) -> PathBuf {
        with_suffix(&disk.path, self.replica, ".next")
    }

    /// What a test guest writes.
    pub(super) fn test(&self, disk: &ReplicaDisk) -> PathBuf {
        with_suffix(&disk.path, self.replica, ".test")
    }

    /// Where a test guest keeps the variables of UEFI.
    pub(super) fn test_vars(&self) -> Option<PathBuf> {
        self.disks.first().map(|disk| with_suffix(&disk.path, self.replica, ".vars"))
    }

    /// Where what was at an extra's place is kept.
    pub(super) fn before(&self, path: &Path) -> PathBuf {
        with_suffix(path, self.replica, ".before")
    }
}

/// The longest thing that is added to a file's name.
pub(super) const LONGEST_SUFFIX: usize = ".drover-01234567.before".len();

fn with_suffix(path: &Path, replica: ReplicaId, kind: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".drover-{}{kind}", replica.mark()));
    PathBuf::from(name)
}

impl Extra {
    /// Where it goes.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Nvram { path } | Self::Tpm { path } => path,
        }
    }
}
