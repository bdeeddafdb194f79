//! Racks that are emptied into others: a published experiment on scheduling migrations.

use crate::packing::schedule::{Transfer, Way, Ways};
use crate::packing::{HostRow, Move, ServerRow};

/// Two racks of 24 hosts are emptied into one, or two or four times as many: from Kherbache, Madelaine and Hermenier, "Scheduling Live-
/// Migrations for Fast, Adaptable and Energy-Efficient Relocation Operations" (UCC 2015).
///
/// Each host has a link of one gigabit per second, and so many servers that two hosts fit onto one: a migration of one takes 18, 20, 36 or 38
/// seconds by itself. Racks have uplinks of ten times their number in gigabits per second. The destinations are booted first, and the
/// emptied hosts are shut down in the end.
#[derive(Debug, Clone)]
pub struct Racks {
    /// What they share.
    pub ways: Ways,
    /// What is moved.
    pub transfers: Vec<Transfer>,
}

const RACK: u32 = 24;
const GIGABIT: u64 = 125_000_000;
const SECONDS: [u64; 4] = [18, 20, 36, 38];
const BOOT: u64 = 120_000;
const SHUTDOWN: u64 = 17_000;

impl Racks {
    /// That many racks are filled: 1, 2 or 4 in the experiment, with 96 servers for each.
    #[must_use]
    pub fn new(filled: u32) -> Self {
        let (sources, destinations) = (RACK * 2 * filled, RACK * filled);
        let hosts = sources + destinations;
        let mut ways = Ways::among(hosts as usize, Way { rate: GIGABIT, ..Way::FREE });
        ways.racks_of = (0..hosts).map(|host| vec![host / RACK]).collect();
        ways.racks =
            vec![Way { rate: GIGABIT * 10 * u64::from(filled), ..Way::FREE }; (hosts / RACK) as usize];
        let transfer = |server: u32| Transfer {
            of: Move {
                server: ServerRow(server),
                from: HostRow(server / 2),
                to: HostRow(sources + server / 4),
            },
            bytes: GIGABIT * SECONDS[server as usize % 4],
            dirty_rate: 0,
            besides: 0,
        };
        Self { ways, transfers: (0..sources * 2).map(transfer).collect() }
    }

    /// From the first boot to the last shutdown, when moving takes so long; all in milliseconds.
    #[must_use]
    pub fn makespan(&self, moving: u64) -> u64 {
        BOOT + moving + SHUTDOWN
    }
}
