//! Emptying some hosts at once: each of their servers moves once, and what comes out is spread as evenly as these moves allow.
//!
//! Evenness is the weighted sum, over resources, of the variance of what is used. A server adds least where it meets least of what it
//! needs much of, so the best host of a server is the smallest product of two rows: one pass over all hosts, in blocks that the
//! processor can take at once. Then servers are exchanged among hosts as long as that gets better, within a bounded number of looks.

use super::fill::{mean_host, size};
use super::{HostRow, Load, Move, Open, Problem, ServerRow, UNLIMITED};

/// What emptying some hosts takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evacuation {
    /// Each server once.
    pub moves: Vec<Move>,
    /// Servers for which there is no host.
    pub unplaced: Vec<Unplaced>,
}

/// A server for which there is no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Which.
    pub server: ServerRow,
    /// Of each resource, how much the host that lacks least still lacks; nothing where no host may take it at all.
    pub lacks: Option<Vec<u64>>,
}

/// Looks at a server and a host in the search for something better: bounded, so that the answer does not depend on the machine's speed.
const LOOKS: usize = 500_000;

/// Rounds of that search.
const ROUNDS: usize = 8;

/// How many hosts are scored before the best of them is looked for.
const BLOCK: usize = 64;

/// Empties `hosts`. What is placed elsewhere stays where it is.
#[must_use]
pub fn evacuate(problem: &Problem, hosts: &[HostRow]) -> Evacuation {
    let mut spread = Spread::new(problem, hosts);
    let load = Load::new(problem);
    let mut leaving: Vec<ServerRow> = hosts.iter().flat_map(|host| load.on(*host)).copied().collect();
    let mean = mean_host(problem);
    leaving.sort_by(|a, b| {
        let by_size = |server: &ServerRow| size(&problem.server(*server).needs, &mean);
        by_size(b).total_cmp(&by_size(a)).then(a.cmp(b))
    });
    let mut state = load;
    let mut unplaced = Vec::new();
    for server in leaving.iter().copied() {
        match spread.best(&state, server) {
            Some((host, _)) => spread.put(&mut state, server, host),
            None => unplaced.push(Unplaced { server, lacks: lacks(problem, &state, server, &spread.open) }),
        }
    }
    leaving.retain(|server| unplaced.iter().all(|other| other.server != *server));
    spread.improve(&mut state, &leaving);
    let moves = leaving
        .into_iter()
        .map(|server| Move { server, from: problem.server(server).host, to: state.host_of(server) })
        .collect();
    Evacuation { moves, unplaced }
}

/// What the host that lacks least still lacks for a server.
fn lacks(problem: &Problem, load: &Load<'_>, server: ServerRow, open: &[bool]) -> Option<Vec<u64>> {
    let row = problem.server(server);
    let mean = mean_host(problem);
    problem
        .host_rows()
        .filter(|host| open[host.index()] && problem.may_use(row, *host))
        .map(|host| -> Vec<u64> {
            row.needs.iter().zip(load.free(host)).map(|(needs, free)| needs.saturating_sub(free)).collect()
        })
        .min_by(|a, b| size(a, &mean).total_cmp(&size(b, &mean)))
}

/// How full every host is, resource by resource, in parts of the mean: the rows that are multiplied.
struct Spread<'a> {
    problem: &'a Problem,
    /// Whether a host may be used: open, and not one of those that are emptied.
    open: Vec<bool>,
    /// By resource, then by host: the weighted part that is used.
    fullness: Vec<Vec<f32>>,
    /// By resource, then by host: what one unit makes of that part.
    unit: Vec<Vec<f32>>,
    /// By resource, then by host: what is free, rounded up, so that nothing that fits is overlooked.
    free: Vec<Vec<f32>>,
}

impl<'a> Spread<'a> {
    fn new(problem: &'a Problem, emptied: &[HostRow]) -> Self {
        let mut open: Vec<bool> = problem.hosts.iter().map(|host| host.open == Open::Yes).collect();
        for host in emptied {
            open[host.index()] = false;
        }
        let load = Load::new(problem);
        let (width, count) = (problem.resources.len(), problem.hosts.len());
        let mut spread = Self {
            problem,
            open,
            fullness: vec![vec![0.0; count]; width],
            unit: vec![vec![0.0; count]; width],
            free: vec![vec![f32::MIN; count]; width],
        };
        for (resource, of) in problem.resources.iter().enumerate() {
            let used: u64 = problem.servers.iter().map(|server| server.needs[resource]).sum();
            let full = (2.0 * used as f32 / count.max(1) as f32).max(1.0);
            for host in problem.host_rows().filter(|host| spread.open[host.index()]) {
                // By the share of the host, each host counting the same whatever its size.
                let has = match problem.host(host).has[resource] {
                    UNLIMITED => full,
                    has => has.max(1) as f32,
                };
                spread.unit[resource][host.index()] = of.weight.sqrt() / has;
            }
        }
        for host in problem.host_rows() {
            spread.refresh(&load, host);
        }
        spread
    }

    fn refresh(&mut self, load: &Load<'_>, host: HostRow) {
        if !self.open[host.index()] {
            return;
        }
        for (resource, (used, free)) in load.used(host).iter().zip(load.free(host)).enumerate() {
            self.fullness[resource][host.index()] = *used as f32 * self.unit[resource][host.index()];
            self.free[resource][host.index()] = (free as f32).next_up();
        }
    }

    fn put(&mut self, load: &mut Load<'_>, server: ServerRow, to: HostRow) {
        let moved = load.put(server, to);
        self.refresh(load, moved.from);
        self.refresh(load, moved.to);
    }

    /// What it takes from that sum by leaving a host that has it.
    fn takes(&self, needs: &[u64], host: HostRow) -> f32 {
        let mut sum = 0.0;
        for (resource, needs) in needs.iter().enumerate() {
            let less = *needs as f32 * self.unit[resource][host.index()];
            sum += less * (2.0 * self.fullness[resource][host.index()] - less);
        }
        sum
    }

    /// The host where a server adds least, and how much.
    fn best(&self, load: &Load<'_>, server: ServerRow) -> Option<(HostRow, f32)> {
        let row = self.problem.server(server);
        let reach = &self.problem.reaches[row.reach.index()];
        let mut best: Option<(HostRow, f32)> = None;
        let mut scores = [0.0_f32; BLOCK];
        for begin in (0..self.problem.hosts.len()).step_by(BLOCK) {
            let len = BLOCK.min(self.problem.hosts.len() - begin);
            self.score(&row.needs, begin, &mut scores[..len]);
            for (offset, score) in scores[..len].iter().enumerate() {
                if best.is_some_and(|(_, least)| *score >= least) || !score.is_finite() {
                    continue;
                }
                let host = HostRow(u32::try_from(begin + offset).unwrap_or(u32::MAX));
                if reach[host.index()] && load.host_of(server) != host && load.fits(server, host) {
                    best = Some((host, *score));
                }
            }
        }
        best
    }

    /// What a server adds on each host of a block; infinite where it does not fit.
    fn score(&self, needs: &[u64], begin: usize, scores: &mut [f32]) {
        scores.fill(0.0);
        for (resource, needs) in needs.iter().enumerate() {
            let needs = *needs as f32;
            let fullness = &self.fullness[resource][begin..][..scores.len()];
            let unit = &self.unit[resource][begin..][..scores.len()];
            let free = &self.free[resource][begin..][..scores.len()];
            for index in 0..scores.len() {
                let more = needs * unit[index];
                let added = more * (2.0 * fullness[index] + more);
                scores[index] += if needs <= free[index] { added } else { f32::INFINITY };
            }
        }
    }

    /// Moves and exchanges servers among hosts while that makes the spread more even.
    fn improve(&mut self, load: &mut Load<'_>, servers: &[ServerRow]) {
        let mut looks = 0;
        for _ in 0..ROUNDS {
            let mut better = false;
            for server in servers.iter().copied() {
                better |= self.move_better(load, server);
                looks += self.problem.hosts.len();
                if looks > LOOKS {
                    return;
                }
            }
            for (index, one) in servers.iter().copied().enumerate() {
                for other in servers[index + 1..].iter().copied() {
                    better |= self.exchange_better(load, one, other);
                }
                looks += servers.len() - index;
                if looks > LOOKS {
                    return;
                }
            }
            if !better {
                return;
            }
        }
    }

    fn move_better(&mut self, load: &mut Load<'_>, server: ServerRow) -> bool {
        const LEAST: f32 = 1e-6;
        let from = load.host_of(server);
        let gain = self.takes(&self.problem.server(server).needs, from);
        match self.best(load, server) {
            Some((to, cost)) if cost < gain * (1.0 - LEAST) => {
                self.put(load, server, to);
                true
            }
            Some(_) | None => false,
        }
    }

    fn exchange_better(&mut self, load: &mut Load<'_>, one: ServerRow, other: ServerRow) -> bool {
        const LEAST: f32 = 1e-5;
        let (a, b) = (load.host_of(one), load.host_of(other));
        let (needs_one, needs_other) = (&self.problem.server(one).needs, &self.problem.server(other).needs);
        if a == b || needs_one == needs_other {
            return false;
        }
        let mut change = 0.0;
        let mut scale = 0.0;
        for resource in 0..needs_one.len() {
            let difference = needs_other[resource] as f32 - needs_one[resource] as f32;
            for (host, sign) in [(a, 1.0), (b, -1.0)] {
                let more = sign * difference * self.unit[resource][host.index()];
                change += more * (2.0 * self.fullness[resource][host.index()] + more);
                scale += more.abs() * self.fullness[resource][host.index()];
            }
        }
        if change >= -LEAST * scale {
            return false;
        }
        self.exchange(load, (one, a), (other, b))
    }

    /// Only if both fit: who leaves makes the room.
    fn exchange(
        &mut self,
        load: &mut Load<'_>,
        one: (ServerRow, HostRow),
        other: (ServerRow, HostRow),
    ) -> bool {
        let ((one, a), (other, b)) = (one, other);
        let Some(shelter) = self.problem.host_rows().find(|host| !self.open[host.index()]) else {
            return false;
        };
        load.put(one, shelter);
        let other_fits = load.fits(other, a);
        load.put(other, shelter);
        let fits = other_fits && load.fits(one, b);
        let (one_to, other_to) = if fits { (b, a) } else { (a, b) };
        load.put(one, one_to);
        load.put(other, other_to);
        self.refresh(load, a);
        self.refresh(load, b);
        fits
    }
}
