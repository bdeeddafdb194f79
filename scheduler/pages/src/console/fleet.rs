//! The whole fleet at a glance: each host a tile, each server a block in it.

use std::fmt::Write as _;

use drover_policies::host::Standing;

use crate::chart::Fill;
use crate::html::{Html, escaped, segment};
use crate::say::amount;
use crate::{Frame, Label, page, part};

/// The fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPage {
    /// Its clusters.
    pub clusters: Vec<Cluster>,
}

/// Hosts among which servers may be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its racks.
    pub racks: Vec<Rack>,
}

/// Hosts that stand together: those with the same `rack` label, or those without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rack {
    /// The cluster's name.
    pub cluster: String,
    /// The label's value; empty for hosts without one.
    pub name: String,
    /// How large its tiles are.
    pub tiles: TileSize,
    /// Its hosts.
    pub hosts: Vec<Tile>,
}

/// How large tiles are, by how many there are of them in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileSize {
    /// A few fill a screen.
    Large,
    /// Dozens do.
    Usual,
    /// Hundreds do: without names.
    Small,
}

impl TileSize {
    /// For so many hosts.
    #[must_use]
    pub fn of(hosts: usize) -> Self {
        match hosts {
            ..=40 => Self::Large,
            41..300 => Self::Usual,
            300.. => Self::Small,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Large => " large",
            Self::Usual => "",
            Self::Small => " dense",
        }
    }

    /// All lines together are the whole of a host.
    fn fill(self) -> Fill {
        match self {
            Self::Large | Self::Usual => Fill { width: 64, lines: 4, pitch: 8 },
            Self::Small => Fill { width: 36, lines: 3, pitch: 6 },
        }
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Its name.
    pub name: String,
    /// Whether servers may be placed on it.
    pub look: HostLook,
    /// Memory that servers may use, in bytes.
    pub memory_bytes: u64,
    /// Its servers.
    pub servers: Vec<Block>,
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// How it stands.
    pub look: ServerLook,
}

/// How a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostLook {
    /// Servers may be placed on it.
    Open,
    /// Nothing new shall come.
    Cordoned,
    /// A maintenance empties it.
    Draining,
    /// It is empty.
    Drained,
    /// Its agent is not heard of, whatever else it is.
    Silent,
}

/// How a server stands, worst first: in this order a tile is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerLook {
    /// It needs a person.
    NeedsPerson,
    /// It is being moved.
    Moving,
    /// It is to be moved, and waits.
    Waits,
    /// It runs.
    Runs,
    /// It doesn't.
    Off,
}

impl HostLook {
    /// By its standing, and by whether its agent has been silent for too long.
    #[must_use]
    pub fn of(standing: &Standing, silent: bool) -> Self {
        match (standing, silent) {
            (_, true) => Self::Silent,
            (Standing::Open, false) => Self::Open,
            (Standing::Cordoned { .. }, false) => Self::Cordoned,
            (Standing::Draining { .. }, false) => Self::Draining,
            (Standing::Drained { .. }, false) => Self::Drained,
        }
    }

    const ALL: [Self; 5] = [Self::Open, Self::Cordoned, Self::Draining, Self::Drained, Self::Silent];

    fn class(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Cordoned => " c",
            Self::Draining => " d",
            Self::Drained => " e",
            Self::Silent => " s",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Open => "state-open-host",
            Self::Cordoned => "state-cordoned",
            Self::Draining => "state-draining",
            Self::Drained => "state-drained",
            Self::Silent => "state-silent",
        }
    }
}

impl ServerLook {
    const ALL: [Self; 5] = [Self::NeedsPerson, Self::Moving, Self::Waits, Self::Runs, Self::Off];

    fn class(self) -> &'static str {
        match self {
            Self::NeedsPerson => "p",
            Self::Moving => "m",
            Self::Waits => "w",
            Self::Runs => "r",
            Self::Off => "o",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NeedsPerson => "look-needs-person",
            Self::Moving => "look-moving",
            Self::Waits => "look-waits",
            Self::Runs => "look-runs",
            Self::Off => "look-off",
        }
    }
}

impl Tile {
    /// Written by hand: a fleet has thousands of them.
    fn draw(&self, frame: &Frame, looks: &Looks, size: TileSize, out: &mut String) {
        let name = escaped(&self.name);
        let used: u64 = self.servers.iter().map(|server| server.memory_bytes).sum();
        let word = looks.host(self.look);
        let _ = write!(
            out,
            "<a class=\"tile{}\" href=\"/hosts/{}\" title=\"{name}: {word}, {}, {} / {}\">",
            self.look.class(),
            segment(&self.name),
            escaped(&frame.tn("servers-n", self.servers.len())),
            amount(used),
            amount(self.memory_bytes),
        );
        // Without a name in it, a tile is called what it says when pointed at.
        let fill = size.fill();
        if size != TileSize::Small {
            let _ = write!(out, "<span>{name}</span>");
        }
        let _ = write!(
            out,
            "<svg width=\"{}\" height=\"{}\" aria-hidden=\"true\">",
            fill.width,
            fill.lines * fill.pitch
        );
        let mut servers = self.servers.clone();
        servers.sort_by_key(|server| (server.look, std::cmp::Reverse(server.memory_bytes)));
        let blocks = servers.iter().map(|server| (server.look.class(), server.memory_bytes));
        fill.paths(self.memory_bytes, blocks, out);
        out.push_str("</svg></a>\n");
    }
}

/// The words of all looks, looked up once.
struct Looks(Vec<(HostLook, String)>);

impl Looks {
    fn of(frame: &Frame) -> Self {
        Self(HostLook::ALL.into_iter().map(|look| (look, escaped(&frame.t(look.word())))).collect())
    }

    fn host(&self, look: HostLook) -> &str {
        self.0.iter().find(|(of, _)| *of == look).map_or("", |(_, word)| word)
    }
}

impl Rack {
    fn address(&self) -> String {
        format!("{}/{}", segment(&self.cluster), segment(&self.name))
    }

    fn drawn(&self, frame: &Frame) -> Html {
        let looks = Looks::of(frame);
        let mut out = String::with_capacity(self.hosts.len() * 400);
        for host in &self.hosts {
            host.draw(frame, &looks, self.tiles, &mut out);
        }
        Html::made(out)
    }
}

part!(Rack, "console/rack.html");

impl FleetPage {
    fn hosts(&self) -> impl Iterator<Item = &Tile> {
        self.clusters.iter().flat_map(|cluster| &cluster.racks).flat_map(|rack| &rack.hosts)
    }

    /// How many hosts stand so, for the looks that there are.
    fn host_counts(&self) -> Vec<(HostLook, usize)> {
        let count = |look| self.hosts().filter(|host| host.look == look).count();
        HostLook::ALL.into_iter().map(|look| (look, count(look))).collect()
    }

    fn server_counts(&self) -> Vec<(ServerLook, usize)> {
        let count =
            |look| self.hosts().flat_map(|host| &host.servers).filter(|server| server.look == look).count();
        ServerLook::ALL.into_iter().map(|look| (look, count(look))).collect()
    }
}

page!(FleetPage, "console/fleet.html", |_p, f| f.t("nav-fleet"));

/// What is on a host, in a few lines, while one points at its tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTip {
    /// Its name.
    pub name: String,
    /// Whether servers may be placed on it.
    pub standing: Label,
    /// Its servers by name with their states, those first that are moved or need a person. At most a dozen.
    pub servers: Vec<(String, Label)>,
    /// How many more there are.
    pub more: usize,
    /// Memory of its servers, in bytes.
    pub used_bytes: u64,
    /// Memory that servers may use, in bytes.
    pub memory_bytes: u64,
}

part!(HostTip, "console/tip.html");
