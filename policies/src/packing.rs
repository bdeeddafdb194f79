//! A fleet as rows of numbers, so that whole fleets can be placed together in milliseconds.
//!
//! [`crate::placement`] judges one server and one host by everything that is known of both, and says why. Here the same constraints have
//! been worked out beforehand: what each server needs and each host has of every resource, which servers must not meet, and which hosts
//! each may use. What comes out is checked by [`check`], which shares no code with what places.

mod bounds;
pub mod check;
mod evacuate;
mod even;
mod fill;
pub mod ganeti;
mod load;
mod of_fleet;
mod part;
mod plan;
mod room;
pub mod schedule;
mod spread;
mod waves;

pub use bounds::{fewest_moves, fewest_relieving};
use evacuate::first_without_place;
pub use evacuate::{Evacuation, Lacks, Unplaced, evacuate, evacuate_making_way, evacuate_wholly, relieve};
pub use even::{Evening, Evenness, StillUneven, even_out};
pub use load::Load;
pub use of_fleet::{Held, Rows, Sent, Shown, Stays, rows, rows_beside, rows_of};
pub use part::{InPart, empty_in_part};
pub use plan::{
    Evened, FleetPlan, Impossible, NotPlaced, PlannedMove, PlannedTime, PlannedWave, Reboots, StaysThere,
    Uneven, When, even_rows, find_rolling, helps_empty, lacking, lacking_at_a_glance, plan_evacuation,
    plan_evening, plan_relief, plan_rolling, plan_waves, why_there,
};
use waves::needs_no_first;
pub use waves::{Rolling, Share, Stuck, Wave, Wishes, roll};

/// A host by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostRow(pub u32);

/// A server by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerRow(pub u32);

/// Servers that must not meet on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRow(pub u32);

/// Hosts among which a server may be moved: its cluster, less what its processor or disks rule out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReachRow(pub u32);

impl HostRow {
    fn index(self) -> usize {
        self.0 as usize
    }
}

impl ServerRow {
    fn index(self) -> usize {
        self.0 as usize
    }
}

impl ReachRow {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Something that hosts have and servers use up.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its name: `memory`, `vcpus`, `servers`, `storage`, or any other.
    pub name: String,
    /// How much an even spread of it counts beside the others.
    pub weight: f32,
}

/// What a host has of a resource that nothing limits.
pub const UNLIMITED: u64 = u64::MAX;

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// What it has of each resource, in the order of [`Problem::resources`].
    pub has: Vec<u64>,
    /// Whether anything may be placed on it.
    pub open: Open,
}

/// Whether anything may be placed on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It may.
    Yes,
    /// It is out of service, or about to be.
    No,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// What it needs of each resource, in the order of [`Problem::resources`].
    pub needs: Vec<u64>,
    /// Where it is.
    pub host: HostRow,
    /// Groups of which no two may be on one host.
    pub apart: Vec<GroupRow>,
    /// Where it may go.
    pub reach: ReachRow,
}

/// A fleet that is to be placed.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What counts.
    pub resources: Vec<Resource>,
    /// By row.
    pub hosts: Vec<Host>,
    /// By row.
    pub servers: Vec<Server>,
    /// For each reach, whether each host is in it.
    pub reaches: Vec<Vec<bool>>,
}

impl Problem {
    /// Every host, in the order of rows.
    pub fn host_rows(&self) -> impl Iterator<Item = HostRow> + use<> {
        (0..u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)).map(HostRow)
    }

    /// Every server, in the order of rows.
    pub fn server_rows(&self) -> impl Iterator<Item = ServerRow> + use<> {
        (0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX)).map(ServerRow)
    }

    fn host(&self, row: HostRow) -> &Host {
        &self.hosts[row.index()]
    }

    fn server(&self, row: ServerRow) -> &Server {
        &self.servers[row.index()]
    }

    fn may_use(&self, server: &Server, host: HostRow) -> bool {
        self.reaches[server.reach.index()][host.index()]
    }
}

/// A server goes somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub server: ServerRow,
    /// From there.
    pub from: HostRow,
    /// To there.
    pub to: HostRow,
}
