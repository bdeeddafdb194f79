//! What an agent does for others, as the API shows it: copies of local disks that it keeps, and the converter that fixes guests of other
//! hypervisors.

use std::path::PathBuf;

use drover_policies::fleet::{Fleet, Host};
use drover_policies::ids::HostName;
use drover_policies::placement::lacks_for_imports;
use drover_policies::replica::Replica;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cli::words::bytes;

/// What a host's agent does for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HelpersView {
    /// How copies of local disks get here; missing where none are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationView>,
    /// Copies of other hosts' disks that are kept here, by the names of their servers.
    pub copies_here: Vec<String>,
    /// Servers of this host whose disks are being copied elsewhere.
    pub copied_from_here: Vec<String>,
    /// What keeps servers of other hypervisors from being imported here, and what helps; empty when nothing does.
    pub not_importing: Vec<String>,
}

/// How copies of local disks reach a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicationView {
    /// Where its agent listens for other agents: address and port.
    pub address: String,
    /// Where disks may be.
    pub directories: Vec<DirectoryView>,
}

/// A directory for disks that only its host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DirectoryView {
    /// Where it is.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// What its file system holds.
    pub total_bytes: u64,
    /// What is free there.
    pub free_bytes: u64,
}

impl HelpersView {
    /// Of a host, and the replicas that are kept at it or made of its servers.
    #[must_use]
    pub fn of(fleet: &Fleet, host: &Host, replicas: &[&Replica]) -> Self {
        let name = |replica: &Replica| match fleet.server(replica.server) {
            Some(server) => server.facts.name.clone(),
            None => replica.server.to_string(),
        };
        let names = |end: fn(&Replica) -> &HostName| {
            replicas.iter().copied().filter(|replica| *end(replica) == host.name).map(name).collect()
        };
        Self {
            replication: host.facts.replication.as_ref().map(|replication| ReplicationView {
                address: replication.address.clone(),
                directories: replication
                    .directories
                    .iter()
                    .map(|directory| DirectoryView {
                        path: directory.path.clone(),
                        total_bytes: directory.total_bytes,
                        free_bytes: directory.free_bytes,
                    })
                    .collect(),
            }),
            copies_here: names(|replica| &replica.to),
            copied_from_here: names(|replica| &replica.from),
            not_importing: lacks_for_imports(&host.facts),
        }
    }

    /// Copies of local disks for people, a line each: where they get here, how much room is left for more, and which there are.
    #[must_use]
    pub fn copies(&self) -> Vec<String> {
        let Some(replication) = &self.replication else {
            return vec!["no copies of local disks are kept here: its agent has no [replication]".to_owned()];
        };
        let mut lines = vec![format!("copies of local disks are taken at {}", replication.address)];
        lines.extend(replication.directories.iter().map(|directory| {
            let (free, total) = (bytes(directory.free_bytes), bytes(directory.total_bytes));
            format!("{}: {free} of {total} free", directory.path.display())
        }));
        for (what, servers) in
            [("kept here", &self.copies_here), ("made of its servers", &self.copied_from_here)]
        {
            if !servers.is_empty() {
                lines.push(format!("{what}: {}", servers.join(", ")));
            }
        }
        lines
    }

    /// Whether servers of other hypervisors can be imported here, for people.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        // One after the other: what comes first may bring the rest with it.
        vec![match self.not_importing.first() {
            None => "servers of other hypervisors can be imported here".to_owned(),
            Some(why) => format!("no imports: it {why}"),
        }]
    }
}
