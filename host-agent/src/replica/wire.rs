//! What two agents say to each other about a replica: HTTP/1.1 inside of TLS, JSON in both directions.
//!
//! ```text
//! POST /replica/v1/<id>/status
//! POST /replica/v1/<id>/round              BeginRound
//! GET  /replica/v1/<id>/data/<target>      with `upgrade: nbd`: the connection speaks NBD from then on
//! POST /replica/v1/<id>/checksums          Checksums; the answer is 32 bytes for each chunk
//! POST /replica/v1/<id>/extra              a line of JSON (Extra), then the bytes
//! POST /replica/v1/<id>/land               Land
//! POST /replica/v1/<id>/place
//! POST /replica/v1/<id>/place-empty        what the images show makes no difference: libvirt fills them in a live migration
//! POST /replica/v1/<id>/take-out           TakeOut
//! ```
//!
//! A refusal is a [`drover_policies::attempt::Failure`]. Who may not ask is answered like one who asks for what is not there.

use std::path::PathBuf;

use drover_policies::replica::{Round, RoundKind};
use serde::{Deserialize, Serialize};

use crate::hypervisor::replication::Touched;

/// The word after which a connection speaks NBD.
pub const NBD: &str = "nbd";
/// Names the round that a data connection belongs to.
pub const ROUND_HEADER: &str = "drover-round";
/// Bytes of a checksum: BLAKE3's own.
pub const CHECKSUM_BYTES: usize = 32;
/// The smallest chunk that a checksum is made of, in bytes: the cluster of an image.
pub const SMALLEST_CHUNK: u64 = 64 << 10;
/// The largest, in bytes.
pub const LARGEST_CHUNK: u64 = 16 << 20;
/// The most that checksums are made of in one request, in bytes: so that the answer comes in time from a slow disk.
pub const LARGEST_RANGE: u64 = 1 << 30;
/// The largest extra, in bytes. NVRAM is 64 MiB on some machines, the state of a TPM a few hundred KiB.
pub const LARGEST_EXTRA: usize = 80 << 20;

/// What is there of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Rounds that have landed.
    pub landed: u64,
    /// What its images hold now.
    pub content: Content,
    /// Where its images are.
    pub place: Place,
    /// A file that lies where an image is to be put, if there is one: putting the replica in its place would be refused.
    pub in_the_way: Option<PathBuf>,
}

/// What images hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Nothing: they read as zeroes.
    Empty,
    /// Some of a first copy that was cut off. A rescan goes on with it, an initial round begins anew.
    Partial,
    /// The disks as they were at some time or other, and nobody knows what has changed since: everything must be compared.
    Unknown,
    /// The moment that the last round has brought.
    Landed,
}

/// Where images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Beside their place, under names of their own.
    Beside,
    /// Where the server's definition names them.
    InPlace,
    /// Some here, some there: putting them in place, or taking them out, must be asked for again.
    Between,
}

/// Begin a round. One that was begun before and has not landed is thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRound {
    /// One more than have landed.
    pub number: u64,
    /// What it does.
    pub kind: RoundKind,
    /// What it looks at.
    pub covers: Covers,
    /// All of the replica's disks.
    pub disks: Vec<DiskSize>,
}

/// What a round looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// The whole disks: afterwards the replica is right whatever it held before.
    Everything,
    /// What was written since the last round that landed.
    Changes,
}

/// How large a disk is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSize {
    /// Which.
    pub target: String,
    /// As the guest sees it, in bytes.
    pub virtual_bytes: u64,
    /// What the round is expected to write, in bytes, as far as the source knows: the round is refused where there is no room for it.
    pub expected_bytes: u64,
}

/// Tell the checksums of a part of a disk, as it was when the round began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksums {
    /// The running round.
    pub round: u64,
    /// Which disk.
    pub target: String,
    /// Where the first chunk begins, in bytes.
    pub offset: u64,
    /// How far, in bytes; the last chunk may be a short one.
    pub length: u64,
    /// How large a chunk is, in bytes: [`SMALLEST_CHUNK`] to [`LARGEST_CHUNK`].
    pub chunk: u64,
}

/// What goes with the disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Extra {
    /// A file with the variables of UEFI.
    Nvram {
        /// As the definition names it.
        path: PathBuf,
    },
    /// A TPM's directory as a tar, with names that are relative to it.
    Tpm {
        /// The directory as libvirt names it.
        path: PathBuf,
    },
}

/// All that belongs to the round has been sent: make it the replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Land {
    /// The round, as the source counts and measures it.
    pub round: Round,
}

/// Take the images out of their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeOut {
    /// What was done to them there.
    pub touched: Touched,
}
