//! How far an import is and what has come of it, as its agent tells, and what is told of it in the story.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Firmware;
use crate::attempt::Failure;
use crate::ids::HostName;
use crate::notices::Actor;
use crate::replica::DiskFigures;
use crate::time::{Instant, Span};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What an earlier try has left is thrown away.
    Clear,
    /// Looks for what would be in the way.
    Check,
    /// Copies the disks.
    Copy,
    /// Fixes the guest.
    Fix,
    /// Merges the fixes into the images.
    Merge,
    /// Gives the images their names.
    Place,
    /// Defines the server.
    Define,
    /// Boots it.
    Start,
}

impl Step {
    /// Its name, as in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Check => "check",
            Self::Copy => "copy",
            Self::Fix => "fix",
            Self::Merge => "merge",
            Self::Place => "place",
            Self::Define => "define",
            Self::Start => "start",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clear => "throwing away what was done before",
            Self::Check => "looking for what is in the way",
            Self::Copy => "copying the disks",
            Self::Fix => "fixing the guest",
            Self::Merge => "merging the fixes into the images",
            Self::Place => "putting the images in place",
            Self::Define => "defining the server",
            Self::Start => "booting the server",
        })
    }
}

/// A step that is done, with its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Which.
    pub step: Step,
    /// How long it took.
    pub took: Span,
    /// What was copied, in bytes, as a guest sees it; nothing of a step that copies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: done in {}", self.step, self.took.rounded())?;
        match self.bytes {
            Some(bytes) => write!(f, ", {} MiB", bytes.div_ceil(1 << 20)),
            None => Ok(()),
        }
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Its place in the log of one order, from 1.
    pub number: u64,
    /// When it was written, by the agent's clock.
    pub at: Instant,
    /// What it says.
    pub text: String,
    /// The step that it says is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportStatus {
    /// When this was so, by the agent's clock.
    pub at: Instant,
    /// What is being done.
    pub step: Step,
    /// Since when.
    pub since: Instant,
    /// Of the copying: how far each disk is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskFigures>,
    /// The log, or the last of it if it is long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

impl ImportStatus {
    /// What is to be copied of all disks that were looked at, and what has been, in bytes.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let sum = |of: fn(&DiskFigures) -> u64| self.disks.iter().map(of).sum();
        (sum(|disk| disk.total_bytes), sum(|disk| disk.done_bytes))
    }
}

/// What a conversion that ended well has found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The guest's operating system, as far as it was recognised.
    pub system: Option<String>,
    /// Whether it knows virtio devices now.
    pub virtio: Virtio,
    /// What it boots by, where its disks say so.
    pub firmware: Option<Firmware>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Whether a guest knows virtio devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Virtio {
    /// It does.
    Installed,
    /// It doesn't: disks and interfaces have to be emulated.
    #[default]
    Missing,
}

/// What has come of an import, as its agent tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum ImportEnd {
    /// libvirt knows the server.
    Defined {
        /// When that was so, by the agent's clock.
        at: Instant,
        /// What the conversion has found.
        found: Found,
    },
    /// It stopped; what was done is kept.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was called off, and nothing of it is left.
    Cancelled,
}

/// What happened to an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "import", rename_all = "snake_case")]
pub enum ImportHappened {
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: Actor,
        /// Where it goes.
        to: HostName,
        /// Why there.
        why: String,
    },
    /// A line of its log.
    Log {
        /// Which.
        line: LogLine,
    },
    /// Lines of its log that were too many to be kept until they could be told.
    LogLost {
        /// How many.
        lines: u64,
    },
    /// Its host won't have it, and another one is tried.
    Replanned {
        /// Which.
        to: HostName,
        /// What changed.
        why: String,
    },
    /// It has failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It is tried again.
    Retried {
        /// Says who.
        by: Actor,
        /// Where.
        to: HostName,
    },
    /// It is being called off.
    Cancelling {
        /// Says who.
        by: Actor,
    },
    /// Nothing of it is left.
    Cancelled,
    /// The server is there.
    Imported {
        /// What the conversion has found.
        found: Found,
    },
}

impl fmt::Display for ImportHappened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { by, to, why } => write!(f, "is to be imported to {to} ({why}), says {by}"),
            Self::Log { line } => f.write_str(&line.text),
            Self::LogLost { lines } => write!(f, "{lines} lines of the log are lost here"),
            Self::Replanned { to, why } => write!(f, "is imported to {to} instead: {why}"),
            Self::Failed { failure } => write!(f, "the import failed: {failure}"),
            Self::Retried { by, to } => write!(f, "the import to {to} is tried again, says {by}"),
            Self::Cancelling { by } => write!(f, "the import is being cancelled, says {by}"),
            Self::Cancelled => f.write_str("the import is cancelled; nothing of it is left"),
            Self::Imported { found } => {
                let system = found.system.as_deref().unwrap_or("its system was not recognised");
                write!(f, "is imported ({system})")?;
                match found.virtio {
                    Virtio::Installed => Ok(()),
                    Virtio::Missing => f.write_str(
                        "; it has no virtio drivers: disks and interfaces are emulated, which is slow",
                    ),
                }
            }
        }
    }
}
