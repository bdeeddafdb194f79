//! Emptying some hosts at once: each of their servers moves once, and what comes out is spread as evenly as these moves allow.
//!
//! First every server is put where it adds least, the largest first. Then servers are moved and exchanged among hosts as long as that gets
//! more even ([`super::spread`]). Where some find no room although there is some in all, others make way for them ([`super::room`]):
//! only then does a server move that is on none of these hosts.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::fill::{mean_host, size};
use super::room::{Until, make_room};
use super::spread::Spread;
use super::{GroupRow, HostRow, Load, Move, Open, Problem, ReachRow, ServerRow, Wave};

/// What emptying some hosts takes, or relieving them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evacuation {
    /// Servers of other hosts that make way, all at once and before anything else.
    pub making_way: Vec<Move>,
    /// Those that have to leave, each once and all at once.
    pub moves: Vec<Move>,
    /// Servers for which there is no host.
    pub unplaced: Vec<Unplaced>,
}

/// A server for which there is no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Which.
    pub server: ServerRow,
    /// What the host that lacks least still lacks; nothing where no host may take it at all.
    pub lacks: Option<Lacks>,
}

/// What is missing on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacks {
    /// Where.
    pub host: HostRow,
    /// Of each resource. Nothing of any: a server is there that it must not meet.
    pub of: Vec<u64>,
}

impl Evacuation {
    /// All of them.
    pub fn all_moves(&self) -> impl Iterator<Item = &Move> {
        self.making_way.iter().chain(&self.moves)
    }

    /// One after the other. Of these hosts those count as emptied from which nobody is left.
    #[must_use]
    pub fn waves(&self, problem: &Problem, hosts: &[HostRow]) -> Vec<Wave> {
        let full: HashSet<HostRow> =
            self.unplaced.iter().map(|left| problem.server(left.server).host).collect();
        let emptied = hosts.iter().copied().filter(|host| !full.contains(host)).collect();
        let before =
            (!self.making_way.is_empty()).then(|| Wave { hosts: Vec::new(), moves: self.making_way.clone() });
        before.into_iter().chain([Wave { hosts: emptied, moves: self.moves.clone() }]).collect()
    }
}

/// Empties `hosts`. What is placed elsewhere stays where it is.
#[must_use]
pub fn evacuate(problem: &Problem, hosts: &[HostRow]) -> Evacuation {
    let load = Load::new(problem);
    let leaving: Vec<ServerRow> = hosts.iter().flat_map(|host| load.on(*host)).copied().collect();
    find_places(load, problem, hosts, &leaving, Searched { others: 0, until: Until::End })
}

/// Empties `hosts`, or nothing where one of their servers finds no place. That is known much sooner than who of them finds none.
#[must_use]
pub fn evacuate_wholly(problem: &Problem, hosts: &[HostRow]) -> Option<Evacuation> {
    let load = Load::new(problem);
    let leaving: Vec<ServerRow> = hosts.iter().flat_map(|host| load.on(*host)).copied().collect();
    if !is_room_in_all(problem, &load, hosts, &leaving) {
        return None;
    }
    let found =
        find_places(load, problem, hosts, &leaving, Searched { others: 0, until: Until::FirstWithout });
    found.unplaced.is_empty().then_some(found)
}

/// Whether those who leave would fit elsewhere if they were a fluid. Nobody else leaves.
fn is_room_in_all(problem: &Problem, load: &Load<'_>, left: &[HostRow], leaving: &[ServerRow]) -> bool {
    let left: HashSet<HostRow> = left.iter().copied().collect();
    let takes = |host: &HostRow| problem.host(*host).open == Open::Yes && !left.contains(host);
    let mut free = vec![0_u64; problem.resources.len()];
    for host in problem.host_rows().filter(takes) {
        free.iter_mut().zip(load.free(host)).for_each(|(sum, free)| *sum = sum.saturating_add(free));
    }
    leaving.iter().all(|server| {
        let needs = &problem.server(*server).needs;
        free.iter_mut().zip(needs).all(|(free, needs)| match free.checked_sub(*needs) {
            Some(rest) => {
                *free = rest;
                true
            }
            None => false,
        })
    })
}

/// A server of these hosts that fits nowhere as things are, before anybody makes room for it.
pub(super) fn first_without_place(problem: &Problem, hosts: &[HostRow]) -> Option<Unplaced> {
    let load = Load::new(problem);
    let leaving: Vec<ServerRow> = hosts.iter().flat_map(|host| load.on(*host)).copied().collect();
    let mut spread = Spread::new(load, problem, hosts);
    let without = kinds(problem, &leaving).iter().find_map(|kind| spread.place(kind).into_iter().next())?;
    let Spread { load, open, .. } = spread;
    Some(Unplaced { server: without, lacks: lacks(problem, &load, without, &open) })
}

/// Empties `hosts`. For each server that would fit nowhere, a few others make way if that helps.
#[must_use]
pub fn evacuate_making_way(problem: &Problem, hosts: &[HostRow]) -> Evacuation {
    let load = Load::new(problem);
    let leaving: Vec<ServerRow> = hosts.iter().flat_map(|host| load.on(*host)).copied().collect();
    find_places(load, problem, hosts, &leaving, Searched { others: OTHERS, until: Until::End })
}

/// Moves as few servers as it takes, so that no host carries more than it has and nobody is beside somebody whom it must not meet.
#[must_use]
pub fn relieve(problem: &Problem) -> Evacuation {
    let load = Load::new(problem);
    let mean = mean_host(problem);
    let (mut crowded, mut leaving) = (Vec::new(), Vec::new());
    for host in problem.host_rows() {
        let too_many = too_many(problem, &load, host, &mean);
        if !too_many.is_empty() {
            crowded.push(host);
            leaving.extend(too_many);
        }
    }
    find_places(load, problem, &crowded, &leaving, Searched { others: OTHERS, until: Until::End })
}

/// Whom a host can't keep: those that meet somebody, and then of what is too much the fewest.
fn too_many(problem: &Problem, load: &Load<'_>, host: HostRow, mean: &[f64]) -> Vec<ServerRow> {
    let has = &problem.host(host).has;
    let mut over: Vec<u64> =
        load.used(host).iter().zip(has).map(|(used, has)| used.saturating_sub(*has)).collect();
    let needs = |server: ServerRow| &problem.server(server).needs;
    let mut there = load.on(host).to_vec();
    there.sort_by(|a, b| size(needs(*b), mean).total_cmp(&size(needs(*a), mean)).then(a.cmp(b)));
    let mut known: HashSet<GroupRow> = HashSet::new();
    let (mut leaving, mut staying): (Vec<ServerRow>, Vec<ServerRow>) =
        there.into_iter().partition(|server| {
            let apart = &problem.server(*server).apart;
            let meets = apart.iter().any(|group| known.contains(group));
            if !meets {
                known.extend(apart);
            }
            meets
        });
    let less = |over: &mut Vec<u64>, server: ServerRow| {
        over.iter_mut().zip(needs(server)).for_each(|(over, needs)| *over = over.saturating_sub(*needs));
    };
    leaving.iter().for_each(|server| less(&mut over, *server));
    while over.iter().any(|over| *over > 0) {
        // The smallest that is enough by itself, or else the one that helps most. The largest comes first in `staying`.
        let enough = |server: &ServerRow| over.iter().zip(needs(*server)).all(|(over, needs)| over <= needs);
        let helps = |server: &ServerRow| -> f64 {
            let parts = over.iter().zip(needs(*server)).zip(mean);
            parts.map(|((over, needs), mean)| *over.min(needs) as f64 / mean).sum()
        };
        let most = || (0..staying.len()).max_by(|a, b| helps(&staying[*a]).total_cmp(&helps(&staying[*b])));
        let Some(next) = staying.iter().rposition(enough).or_else(most) else { break };
        let server = staying.remove(next);
        less(&mut over, server);
        leaving.push(server);
    }
    leaving
}

/// How far places are searched for.
#[derive(Clone, Copy)]
struct Searched {
    /// So many servers that need not be moved may make way for one.
    others: usize,
    until: Until,
}

/// Finds places for servers that leave, on hosts other than those that they leave.
fn find_places(
    load: Load<'_>,
    problem: &Problem,
    left: &[HostRow],
    leaving: &[ServerRow],
    searched: Searched,
) -> Evacuation {
    let mut spread = Spread::new(load, problem, left);
    let kinds = kinds(problem, leaving);
    let mut unplaced: Vec<ServerRow> = Vec::new();
    for kind in &kinds {
        unplaced.extend(spread.place(kind));
    }
    spread.improve(&kinds);
    let Spread { mut load, open, .. } = spread;
    let unplaced = make_room(problem, &mut load, &open, unplaced, searched.others, searched.until);
    let unplaced = unplaced
        .into_iter()
        .map(|server| Unplaced { server, lacks: lacks(problem, &load, server, &open) })
        .collect();
    let (moves, making_way) = moves(problem, &load, leaving);
    Evacuation { making_way, moves, unplaced }
}

/// Those that ask nearly the same together, the kind with the largest first.
fn kinds(problem: &Problem, servers: &[ServerRow]) -> Vec<Vec<ServerRow>> {
    let mut members: BTreeMap<(Vec<u64>, ReachRow), Vec<ServerRow>> = BTreeMap::new();
    for server in servers.iter().copied() {
        let row = problem.server(server);
        let about = row.needs.iter().copied().map(rounded).collect();
        members.entry((about, row.reach)).or_default().push(server);
    }
    let mean = mean_host(problem);
    let largest = |server: ServerRow| size(&problem.server(server).needs, &mean);
    let mut kinds: Vec<Vec<ServerRow>> = members.into_values().collect();
    for kind in &mut kinds {
        kind.sort_by(|a, b| largest(*b).total_cmp(&largest(*a)).then(a.cmp(b)));
    }
    kinds.sort_by(|a, b| largest(b[0]).total_cmp(&largest(a[0])).then(a[0].cmp(&b[0])));
    kinds
}

/// At most so many servers that need not be moved make way for one.
const OTHERS: usize = 3;

/// Its three highest binary digits: so there are few kinds, however many sizes there are.
fn rounded(needs: u64) -> u64 {
    let low = u64::BITS.saturating_sub(needs.leading_zeros()).saturating_sub(3);
    needs >> low << low
}

/// From where the servers are to where they are in `load`: those that leave, and those that make way.
fn moves(problem: &Problem, load: &Load<'_>, leaving: &[ServerRow]) -> (Vec<Move>, Vec<Move>) {
    let mut leaves = vec![false; problem.servers.len()];
    for server in leaving {
        leaves[server.index()] = true;
    }
    let moved = problem.server_rows().filter_map(|server| {
        let (from, to) = (problem.server(server).host, load.host_of(server));
        (from != to).then_some(Move { server, from, to })
    });
    moved.partition(|one| leaves[one.server.index()])
}

/// What the host that lacks least still lacks for a server.
fn lacks(problem: &Problem, load: &Load<'_>, server: ServerRow, open: &[bool]) -> Option<Lacks> {
    let row = problem.server(server);
    let mean = mean_host(problem);
    let may = |host: &HostRow| open[host.index()] && problem.may_use(row, *host);
    let of = |host: HostRow| Lacks {
        host,
        of: row.needs.iter().zip(load.free(host)).map(|(needs, free)| needs.saturating_sub(free)).collect(),
    };
    let less = |a: &Lacks, b: &Lacks| size(&a.of, &mean).total_cmp(&size(&b.of, &mean));
    problem.host_rows().filter(may).map(of).min_by(less)
}
