//! Why an import can't be had, and what can.

use crate::ids::{HostName, ServerId};
use crate::import::{Refusal, Source};
use crate::placement::{NoPlace, WhyNotHere};

/// Why an import can't be had, and what can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// The host that was named can't take it.
    #[error("{host} can't take it: it {why}")]
    NotThere {
        /// Which.
        host: HostName,
        /// Why not.
        why: WhyNotHere,
    },
    /// No host can.
    #[error("{0}; {hint}", hint = .0.hint())]
    NoPlace(NoPlace),
    /// There is a server of this name.
    #[error("import.name is {name:?}, and a server of this name is on {host}; choose another name")]
    NameTaken {
        /// The name.
        name: String,
        /// Where that server is.
        host: HostName,
    },
    /// An import of this name goes on.
    #[error(
        "import.name is {name:?}, and an import of this name is not over; choose another name, or see `drover imports show {name}`"
    )]
    BeingImported {
        /// The name.
        name: String,
    },
    /// The id is somebody's.
    #[error("import.uuid is {uuid}, which {by} has; leave it out to be given a new one")]
    UuidTaken {
        /// The id.
        uuid: ServerId,
        /// Who has it.
        by: String,
    },
    /// The source is being imported.
    #[error(
        "disk[{number}].source is {place}, which is being imported as {by}; wait for its end, or cancel it"
    )]
    SourceTaken {
        /// Which disk.
        number: usize,
        /// Where it is read.
        place: Source,
        /// As which server.
        by: String,
    },
    /// What it is doing does not allow that.
    #[error(transparent)]
    State(#[from] Refusal),
}

impl ImportRefusal {
    /// The rule, as one word.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NotThere { why, .. } => why.code(),
            Self::NoPlace(_) => "no_place",
            Self::NameTaken { .. } | Self::BeingImported { .. } => "name_taken",
            Self::UuidTaken { .. } => "uuid_taken",
            Self::SourceTaken { .. } => "source_taken",
            Self::State(refusal) => refusal.rule(),
        }
    }

    /// The field of the request that stands against it, if one does.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        match self {
            Self::NotThere { .. } => Some("host".to_owned()),
            Self::NameTaken { .. } | Self::BeingImported { .. } => Some("import.name".to_owned()),
            Self::UuidTaken { .. } => Some("import.uuid".to_owned()),
            Self::SourceTaken { number, .. } => Some(format!("disk[{number}].source")),
            Self::NoPlace(_) | Self::State(_) => None,
        }
    }
}

impl From<NoPlace> for ImportRefusal {
    fn from(none: NoPlace) -> Self {
        Self::NoPlace(none)
    }
}
