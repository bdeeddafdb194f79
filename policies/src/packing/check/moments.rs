//! Whether a timetable keeps every constraint at each of its moments.

use std::collections::BTreeMap;

use super::super::schedule::{Scheduled, Timetable, Transfer, Way, Ways};
use super::super::{HostRow, Problem, ServerRow, Wave};
use super::{Broken, standing_on};

/// Looks at one wave's timetable: what every host holds while moves begin and end, and what links and slots carry.
///
/// `at` is where every server is when the wave begins.
///
/// # Errors
/// The first constraint that is broken.
pub fn moments(
    problem: &Problem,
    at: &[HostRow],
    wave: &Wave,
    ways: &Ways,
    transfers: &[Transfer],
    table: &Timetable,
) -> Result<(), Broken> {
    // Nothing comes to the other hosts.
    let mut tenants: BTreeMap<HostRow, Vec<ServerRow>> =
        wave.moves.iter().flat_map(|one| [one.from, one.to]).map(|host| (host, Vec::new())).collect();
    for (server, host) in (0_u32..).map(ServerRow).zip(at) {
        if let Some(tenants) = tenants.get_mut(host) {
            tenants.push(server);
        }
    }
    // Of two things at one moment the end comes first, but for a move that takes no time.
    let mut events: Vec<(u64, u8, usize)> = Vec::new();
    for (index, (transfer, one)) in transfers.iter().zip(&table.moves).enumerate() {
        long_enough(problem, transfer, one)?;
        let ends = if one.ends > one.begins { 0 } else { 2 };
        events.extend([(one.ends, ends, index), (one.begins, 1, index)]);
    }
    if transfers.len() != wave.moves.len() || table.moves.len() != wave.moves.len() {
        return Err(Broken::Unscheduled { moves: wave.moves.len(), scheduled: table.moves.len() });
    }
    events.sort_unstable();
    let mut busy = Busy { ways, carried: BTreeMap::new() };
    for (_, kind, index) in events {
        let (one, scheduled) = (&wave.moves[index], &table.moves[index]);
        if kind == 1 {
            tenants.entry(one.to).or_default().push(one.server);
            standing_on(problem, one.to, &tenants[&one.to])?;
            busy.begins(problem, one.from, one.to, scheduled.rate)?;
        } else {
            tenants.entry(one.from).or_default().retain(|server| *server != one.server);
            busy.ends(one.from, one.to, scheduled.rate);
        }
    }
    Ok(())
}

/// It can't have been sent in less time than once through the link.
fn long_enough(problem: &Problem, transfer: &Transfer, one: &Scheduled) -> Result<(), Broken> {
    let sent = u128::from(one.rate) * u128::from(one.ends.saturating_sub(one.begins));
    if sent < u128::from(transfer.bytes) * 1000 {
        let server = problem.servers[transfer.of.server.0 as usize].name.clone();
        return Err(Broken::TooShort { server });
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Host(HostRow),
    Rack(u32),
    Cluster(u32),
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Out,
    Into,
}

struct Busy<'a> {
    ways: &'a Ways,
    /// Moves, and bytes per second.
    carried: BTreeMap<(Place, Direction), (u32, u64)>,
}

impl Busy<'_> {
    fn used(&self, from: HostRow, to: HostRow) -> Vec<(Place, Direction)> {
        let racks = |host: HostRow| &self.ways.racks_of[host.0 as usize];
        let mut used = vec![
            (Place::Host(from), Direction::Out),
            (Place::Host(to), Direction::Into),
            (Place::Cluster(self.ways.cluster_of[from.0 as usize]), Direction::Out),
            (Place::All, Direction::Out),
        ];
        let (leaves, enters) = (racks(from), racks(to));
        let out = leaves.iter().filter(|rack| !enters.contains(rack));
        used.extend(out.map(|rack| (Place::Rack(*rack), Direction::Out)));
        let into = enters.iter().filter(|rack| !leaves.contains(rack));
        used.extend(into.map(|rack| (Place::Rack(*rack), Direction::Into)));
        used
    }

    fn begins(&mut self, problem: &Problem, from: HostRow, to: HostRow, rate: u64) -> Result<(), Broken> {
        for key in self.used(from, to) {
            let carried = self.carried.entry(key).or_default();
            *carried = (carried.0 + 1, carried.1 + rate);
            let (place, direction) = key;
            let way = match place {
                Place::Host(host) => self.ways.hosts[host.0 as usize],
                Place::Rack(rack) => self.ways.racks[rack as usize],
                Place::Cluster(_) => {
                    Way { rate: self.ways.cluster_rate, out: self.ways.at_once, ..Way::FREE }
                }
                Place::All => Way { rate: self.ways.together, ..Way::FREE },
            };
            let slots = if direction == Direction::Out { way.out } else { way.into };
            if carried.0 > slots || carried.1 > way.rate {
                let place = match place {
                    Place::Host(host) => problem.hosts[host.0 as usize].name.clone(),
                    Place::Rack(rack) => format!("the uplink of rack {rack}"),
                    Place::Cluster(_) => "its cluster".to_owned(),
                    Place::All => "the maintenance".to_owned(),
                };
                return Err(Broken::Crowded { place, moves: carried.0, rate: carried.1 });
            }
        }
        Ok(())
    }

    fn ends(&mut self, from: HostRow, to: HostRow, rate: u64) {
        for key in self.used(from, to) {
            if let Some(carried) = self.carried.get_mut(&key) {
                *carried = (carried.0 - 1, carried.1 - rate);
            }
        }
    }
}
