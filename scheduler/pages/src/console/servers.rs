//! Servers: the list, and why one is treated as it is.

use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use crate::form::Actions;
use crate::list::List;
use crate::parts::Events;
use crate::{Label, Tone, page};

/// All servers that whoever asks may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServersPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub servers: Vec<ServerRow>,
}

/// A server in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is; empty when that is not known.
    pub owner: String,
    /// The host on which it counts.
    pub host: String,
    /// Whether it runs.
    pub power: Label,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// The migration that is to move it: its number, and where in its life that is.
    pub migration: Option<(u32, Label)>,
}

page!(ServersPage, "console/servers.html", |_p, f| f.t("nav-servers"));

/// One server. What only operators see is left empty for an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPage {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// The host on which it counts; operators only.
    pub host: Option<String>,
    /// Whether it runs.
    pub power: Label,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// `name=value`.
    pub labels: Vec<String>,
    /// When it was last told of.
    pub observed_at: Instant,
    /// The migration that is to move it.
    pub migration: Option<(u32, Label)>,
    /// By which method it can leave its host now: the key of the word.
    pub method: Label,
    /// Everything that stands in the way of another: a stable word and a sentence each.
    pub obstacles: Vec<(String, String)>,
    /// What a reboot migration would take.
    pub downtime: Option<Span>,
    /// Which rule said what.
    pub rules: Vec<Rule>,
    /// Where it could go, best first; operators only.
    pub places: Vec<Place>,
    /// Whose windows hold for it.
    pub windows_from: String,
    /// When they are open next.
    pub next_windows: Vec<Slot>,
    /// What happened to it of late.
    pub events: Events,
    /// What can be done.
    pub actions: Actions,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name in the definition.
    pub target: String,
    /// As the guest sees it, in bytes.
    pub bytes: Option<u64>,
    /// `shared`, `local` or `empty`.
    pub reach: String,
    /// Where its bytes are; operators only.
    pub source: Option<String>,
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name: `live.allowed`.
    pub setting: String,
    /// Its value.
    pub value: String,
    /// Which rule said so.
    pub said_by: String,
}

/// A host as a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: String,
    /// Whether the server could go there now.
    pub suits: bool,
    /// How full it would be, or why not.
    pub why: String,
}

page!(ServerPage, "console/server.html", |p, _f| p.name.clone());
