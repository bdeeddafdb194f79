//! Why a replica's holder does not do as asked.

use std::path::PathBuf;

use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::ids::ReplicaId;

use super::checksums::ChecksumError;
use super::nbd::NbdError;
use super::tools::ToolError;
use crate::durable::DiskError;
use crate::hypervisor::{Refusal, RefusalKind};

/// Why a replica's holder does not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It is not held here, or not for who asks.
    #[error("no such replica is held here")]
    Unknown,
    /// Something else is done to the replica, and took longer than was waited.
    #[error("another step of this replica is being done, as it may take long; ask again")]
    Busy,
    /// A disk's name can't be used.
    #[error(
        "the disk's name {target:?} can't be used; a name is 1 to 32 letters and digits, each one once, as libvirt gives them"
    )]
    Name {
        /// As given.
        target: String,
    },
    /// No disks, or not the replica's.
    #[error("the disks are {given:?}, and must be {known:?}")]
    Disks {
        /// What was given.
        given: Vec<String>,
        /// What the replica consists of.
        known: Vec<String>,
    },
    /// A size that no disk has.
    #[error("{target} has {virtual_bytes} bytes; a disk has a multiple of 512, and more than none")]
    Size {
        /// Which disk.
        target: String,
        /// What was given.
        virtual_bytes: u64,
    },
    /// A disk became smaller.
    #[error(
        "{target} is smaller than before ({before} bytes); a replica can't follow that: release it and begin a new one"
    )]
    Shrunk {
        /// Which disk.
        target: String,
        /// What it was, in bytes.
        before: u64,
    },
    /// A path that is not for this.
    #[error("{path} can't be used: {why}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why, and what would be right.
        why: String,
    },
    /// A file is where one is to be put.
    #[error("{path} is there already: move it away, or place the server elsewhere")]
    InTheWay {
        /// Which.
        path: PathBuf,
    },
    /// Another replica is to have this name.
    #[error("{path} is held for replica {by}: release that one first")]
    HeldByOther {
        /// Which path.
        path: PathBuf,
        /// By which.
        by: ReplicaId,
    },
    /// Known as another one.
    #[error("a replica of this id is held for other disks or another server; ids are not used twice")]
    Different,
    /// Too little room.
    #[error(
        "{path} has {free_bytes} bytes free, and {needed_bytes} are needed: make room there, or place the server elsewhere"
    )]
    NoRoom {
        /// In which directory.
        path: PathBuf,
        /// What there is.
        free_bytes: u64,
        /// What is needed.
        needed_bytes: u64,
    },
    /// Not this round.
    #[error("round {given} was asked for; {landed} have landed, so the next one is {}", landed + 1)]
    Number {
        /// What was asked for.
        given: u64,
        /// How many have landed.
        landed: u64,
    },
    /// What is sent would not be enough.
    #[error(
        "the replica does not show the last round that landed: everything must be compared, not only what was written since"
    )]
    Changes,
    /// The first copy is over.
    #[error("there is something to begin with already: do a rescan, not an initial round")]
    NotEmpty,
    /// No such round goes on.
    #[error("round {0} does not go on here any more: begin it again")]
    NoRound(u64),
    /// Somebody writes.
    #[error("{0} data connections of the round are still open: close them before it lands")]
    Open(usize),
    /// No more connections.
    #[error("{0} connections to this disk are open already, and there may be no more")]
    Connections(usize),
    /// It is where the server's definition names it.
    #[error("the replica is in its place: take it out first")]
    InPlace,
    /// It is not.
    #[error(
        "the replica is not in its place, so it can't be kept as the server's disks: put it in place first, or have it deleted"
    )]
    NotInPlace,
    /// Nothing to be put in place.
    #[error("the replica does not show a round that has landed, so no server can start from it")]
    NotLanded,
    /// A test guest may run from it.
    #[error("a test launch of this replica goes on: end it first")]
    Testing,
    /// More than is taken.
    #[error("{given} bytes go with the disks; at most {most} are taken")]
    TooLarge {
        /// What was given.
        given: usize,
        /// What is taken.
        most: usize,
    },
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// `qemu-img` or `tar`.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// `qemu-nbd`.
    #[error(transparent)]
    Nbd(#[from] NbdError),
    /// Checksums.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
}

impl ReplicaError {
    /// What it means for whoever asked, and all that is known of it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        use std::error::Error;
        let class = match self {
            Self::Busy | Self::Open(_) | Self::Connections(_) | Self::Testing => FailureClass::Busy,
            Self::NoRound(_) => FailureClass::LostOnTheWay,
            Self::Name { .. }
            | Self::Size { .. }
            | Self::Shrunk { .. }
            | Self::Path { .. }
            | Self::InTheWay { .. }
            | Self::HeldByOther { .. }
            | Self::Different
            | Self::NoRoom { .. }
            | Self::TooLarge { .. }
            | Self::Disk(_)
            | Self::Tool(_)
            | Self::Nbd(_)
            | Self::Unknown => FailureClass::RefusedByDestination,
            Self::Disks { .. }
            | Self::Number { .. }
            | Self::Changes
            | Self::NotEmpty
            | Self::InPlace
            | Self::NotInPlace
            | Self::NotLanded
            | Self::Checksum(_) => FailureClass::Unexpected,
        };
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        Failure { class, text }
    }
}

impl From<ReplicaError> for Refusal {
    fn from(error: ReplicaError) -> Self {
        let Failure { class, text } = error.failure();
        Self::new(RefusalKind::Failed(class), text)
    }
}
