//! Hosts: the list, and one of them.

use drover_policies::time::Instant;

use super::servers::ServerRow;
use crate::form::Actions;
use crate::list::List;
use crate::parts::Events;
use crate::{Label, page};

/// All hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub hosts: Vec<HostRow>,
}

/// A host in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// The widest circle in which its servers may be moved.
    pub cluster: String,
    /// The value of its `rack` label; empty without one.
    pub rack: String,
    /// Whether servers may be placed on it.
    pub standing: Label,
    /// Why it is cordoned.
    pub why: String,
    /// The maintenance that it belongs to, also while its turn is yet to come; empty without one.
    pub maintenance: String,
    /// Whether its agent is heard of.
    pub agent: Label,
    /// When it last was.
    pub last_seen: Instant,
    /// Servers seen on it.
    pub servers: u32,
    /// Memory of the servers seen on it, in bytes.
    pub used_bytes: u64,
    /// Memory that servers may use, in bytes.
    pub memory_bytes: u64,
}

impl HostRow {
    fn percent(&self) -> u8 {
        let hundredths = u128::from(self.used_bytes) * 100 / u128::from(self.memory_bytes.max(1));
        u8::try_from(hundredths).unwrap_or(u8::MAX).min(100)
    }
}

page!(HostsPage, "console/hosts.html", |_p, f| f.t("nav-hosts"));

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPage {
    /// What the list says of it.
    pub row: HostRow,
    /// Its labels, `name=value`.
    pub labels: Vec<String>,
    /// What it has a number of, `name=amount`.
    pub resources: Vec<String>,
    /// Threads of the node's processors.
    pub cpu_threads: u32,
    /// Virtual processors of the servers seen on it.
    pub vcpus_used: u32,
    /// The processor's model and architecture.
    pub cpu: String,
    /// Of libvirt.
    pub libvirt_version: String,
    /// Of QEMU.
    pub qemu_version: String,
    /// Where other hosts' libvirt reaches it.
    pub libvirt_uri: String,
    /// Storage in which this host can open disks.
    pub shared_storage: Vec<String>,
    /// What its agent does for others, a line each: copies of local disks, and imports.
    pub helpers: Vec<String>,
    /// The maintenance that it belongs to, also while its turn is yet to come.
    pub maintenance: Option<String>,
    /// Servers seen on it.
    pub servers: Vec<ServerRow>,
    /// What happened to it of late.
    pub events: Events,
    /// What can be done.
    pub actions: Actions,
}

page!(HostPage, "console/host.html", |p, _f| p.row.name.clone());
