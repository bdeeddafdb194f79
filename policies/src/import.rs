//! Bringing a server of another kind of hypervisor here: what is wished, how far it is, what has come of it.
//!
//! ```text
//! running ─▶ imported            failed ─▶ retried: running
//!    └─▶ cancelling ─▶ cancelled    └─▶ cancelled: cancelling
//! ```
//!
//! The agent of its host carries it out as one operation, from looking for what is in the way to booting the server. What it has done
//! stays when it fails, and is taken up when it is retried; a cancelled one leaves nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attempt::Failure;
use crate::fleet::{
    Autostart, Definition, Disk, GuestAgent, GuestCpu, OwnerRules, Power, Reach, Server, ServerFacts,
};
use crate::ids::{HostName, ImportId, OperationId, ServerId};
use crate::notices::Actor;
use crate::replica::DiskFigures;
use crate::time::Instant;

mod description;
mod progress;
mod written;

pub use description::{
    Accelerator, BadDescription, Description, Firmware, Network, ServerName, Source, SourceDisk, SourceFormat,
};
pub use progress::{Done, Found, ImportEnd, ImportHappened, ImportStatus, LogLine, Step, Virtio};
pub use written::{DiskTable, NetworkTable, ServerTable, Written};

/// Whether what an earlier try has done is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// It is: the import goes on where it stopped.
    #[default]
    Where,
    /// It is thrown away.
    Anew,
}

/// Whether an imported server is booted when it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It is left off.
    #[default]
    No,
    /// It is. It must be off at its source then, and stay so.
    Yes,
}

/// Who chose the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "chosen", rename_all = "snake_case")]
pub enum Chosen {
    /// Whoever asked.
    ByName,
    /// The planner. As long as nothing has been copied, a host that won't have it is replaced by another.
    ByPlanner {
        /// In which cluster, if only one was to be looked at.
        cluster: Option<String>,
        /// Hosts that would not have it, each with why.
        refused_by: BTreeMap<HostName, String>,
    },
}

/// A server being brought here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// The server's id, from now on and for ever.
    pub server: ServerId,
    /// What is imported.
    pub description: Description,
    /// Where it goes.
    pub host: HostName,
    /// Who chose that.
    pub chosen: Chosen,
    /// Why there, for people.
    pub host_why: String,
    /// Whether it is booted at the end.
    pub start: Start,
    /// Who asked for it.
    pub by: Actor,
    /// When.
    pub opened_at: Instant,
    /// Where in its life it is.
    pub state: ImportState,
}

/// What has been heard of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The order.
    pub operation: OperationId,
    /// Lines of its log that are in the story.
    pub lines: u64,
    /// What was being done last; nothing before the agent has told.
    pub step: Option<Step>,
}

impl Heard {
    /// Nothing of it yet.
    #[must_use]
    pub fn nothing(operation: OperationId) -> Self {
        Self { operation, lines: 0, step: None }
    }
}

/// Where in its life an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ImportState {
    /// The agent of its host is at it.
    Running {
        /// The order, and what was heard of it.
        heard: Heard,
    },
    /// It has failed. What was done is kept until it is retried or cancelled.
    Failed {
        /// When.
        at: Instant,
        /// Why.
        failure: Failure,
        /// Whether anything has been copied.
        touched: Touched,
    },
    /// Somebody has called it off, and its agent clears away what was done.
    Cancelling {
        /// The order, and what was heard of it.
        heard: Heard,
        /// Who.
        by: Actor,
    },
    /// The server is there.
    Imported {
        /// Since when.
        at: Instant,
        /// What the conversion has found.
        found: Found,
    },
    /// Nothing of it is left.
    Cancelled {
        /// Since when.
        at: Instant,
    },
}

/// Whether anything has been copied to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// Nothing is there.
    No,
    /// Something may be.
    Perhaps,
}

/// Why an import can't do what is asked of it, and what would be possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the import is {state}; {advice}")]
    IsOver {
        /// Its state.
        state: &'static str,
        /// What would be right.
        advice: &'static str,
    },
    /// Nothing has failed.
    #[error("the import is {state}; only one that has failed can be retried")]
    NotFailed {
        /// Its state.
        state: &'static str,
    },
}

impl Refusal {
    /// The rule, as one word.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::IsOver { .. } => "import_over",
            Self::NotFailed { .. } => "import_not_failed",
        }
    }
}

impl ImportState {
    /// The state's name, as in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running { .. } => "running",
            Self::Failed { .. } => "failed",
            Self::Cancelling { .. } => "cancelling",
            Self::Imported { .. } => "imported",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// What has been heard of the order that an agent carries out for it.
    #[must_use]
    pub fn heard(&self) -> Option<Heard> {
        match self {
            Self::Running { heard } | Self::Cancelling { heard, .. } => Some(*heard),
            Self::Failed { .. } | Self::Imported { .. } | Self::Cancelled { .. } => None,
        }
    }
}

impl Import {
    /// Whether nothing is left to be done, or to be decided by a person.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            ImportState::Imported { .. } | ImportState::Cancelled { .. } => true,
            ImportState::Running { .. } | ImportState::Failed { .. } | ImportState::Cancelling { .. } => {
                false
            }
        }
    }

    /// Whether its agent works on it, so that a server may appear on its host.
    #[must_use]
    pub fn is_being_done(&self) -> bool {
        self.state.heard().is_some()
    }

    /// The order that an agent carries out for it.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        self.state.heard().map(|heard| heard.operation)
    }

    /// Whether it may be called off.
    ///
    /// # Errors
    /// It is over.
    pub fn may_cancel(&self) -> Result<(), Refusal> {
        let state = self.state.name();
        match self.state {
            ImportState::Running { .. } | ImportState::Failed { .. } | ImportState::Cancelling { .. } => {
                Ok(())
            }
            ImportState::Imported { .. } => {
                Err(Refusal::IsOver { state, advice: "delete the server as any other" })
            }
            ImportState::Cancelled { .. } => {
                Err(Refusal::IsOver { state, advice: "nothing is left to be cancelled" })
            }
        }
    }

    /// Whether it may be tried again.
    ///
    /// # Errors
    /// It has not failed.
    pub fn may_retry(&self) -> Result<(), Refusal> {
        let state = self.state.name();
        match self.state {
            ImportState::Failed { .. } => Ok(()),
            ImportState::Imported { .. } | ImportState::Cancelled { .. } => {
                Err(Refusal::IsOver { state, advice: "ask for a new import" })
            }
            ImportState::Running { .. } | ImportState::Cancelling { .. } => Err(Refusal::NotFailed { state }),
        }
    }

    /// The server that it will be, where it will be, for the planner: off, and with the room that its disks still need.
    #[must_use]
    pub fn server(&self, figures: &[DiskFigures]) -> Server {
        server(&self.description, self.server, &self.host, figures)
    }
}

/// A described server as the planner sees one. `figures` are what is known of the copying.
#[must_use]
pub fn server(description: &Description, id: ServerId, host: &HostName, figures: &[DiskFigures]) -> Server {
    let disks = description.disks.iter().map(|disk| {
        let known = figures.iter().find(|known| known.target == disk.target);
        let remaining = known.map(|known| known.total_bytes.saturating_sub(known.done_bytes));
        Disk {
            target: disk.target.clone(),
            source: disk.path.display().to_string(),
            format: disk.format.to_string(),
            virtual_bytes: Some(remaining.or(disk.bytes).unwrap_or_default()),
            allocated_bytes: None,
            reach: Reach::Local,
        }
    });
    let facts = ServerFacts {
        id,
        name: description.name.to_string(),
        power: Power::Off,
        definition: Definition::Persistent,
        owner: description.owner.clone(),
        labels: description.labels.clone(),
        rules: OwnerRules::default(),
        memory_bytes: description.memory_bytes,
        vcpus: description.vcpus,
        arch: "x86_64".to_owned(),
        machine_type: "q35".to_owned(),
        cpu: GuestCpu::Default,
        disks: disks.collect(),
        blockers: Vec::new(),
        guest_agent: GuestAgent::Absent,
        autostart: Autostart::No,
        plugs: None,
        resources: description.resources.clone(),
    };
    Server { host: host.clone(), facts, observed_at: Instant::default() }
}

#[cfg(test)]
mod tests;
