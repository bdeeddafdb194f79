//! How even a placement is, and how to make it more so.
//!
//! Evenness is the weighted sum, over resources, of the variance of what is used of each host. What a server adds to it on a host hangs on
//! that host alone. So of all servers that need the same, each goes to the top of one heap of hosts, of which only the host that was given
//! something changes; and the best exchange of two kinds of servers is that of the server that is best replaced by the one kind and of
//! the one that is best replaced by the other. Nothing here costs more than hosts and servers together, but for a logarithm.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use hashbrown::HashSet;

use super::{HostRow, Load, Open, Problem, ServerRow, UNLIMITED};

/// Looks at servers and hosts in the search for something better: bounded, so that the answer does not depend on the machine's speed.
const LOOKS: usize = 2_000_000;

/// Rounds of that search.
const ROUNDS: usize = 16;

/// A change of evenness below this is none.
const LEAST: f64 = 1e-9;

/// What evenness costs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost(f64);

impl Eq for Cost {}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cost {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Servers or hosts, each with what it changes.
type Ranked<T> = Vec<(Cost, T)>;

/// A placement, and how full it makes every host.
pub(super) struct Spread<'a> {
    problem: &'a Problem,
    /// Where everything is.
    pub(super) load: Load<'a>,
    /// Whether a host may be used: open, and not one of those that servers leave.
    pub(super) open: Vec<bool>,
    /// By host, then by resource: what part of the host one unit is, weighted.
    unit: Vec<f64>,
}

impl<'a> Spread<'a> {
    pub(super) fn new(load: Load<'a>, problem: &'a Problem, left: &[HostRow]) -> Self {
        let mut open: Vec<bool> = problem.hosts.iter().map(|host| host.open == Open::Yes).collect();
        for host in left {
            open[host.index()] = false;
        }
        let count = problem.hosts.len().max(1) as f64;
        let used = |resource: usize| -> f64 {
            problem.host_rows().map(|host| load.used(host)[resource] as f64).sum()
        };
        let full: Vec<f64> =
            (0..problem.resources.len()).map(|resource| (2.0 * used(resource) / count).max(1.0)).collect();
        // By the share of the host, each host counting the same whatever its size.
        let unit = |(has, (full, weight)): (&u64, (&f64, f64))| match *has {
            UNLIMITED => weight / full,
            has => weight / has.max(1) as f64,
        };
        let weights: Vec<f64> =
            problem.resources.iter().map(|resource| f64::from(resource.weight).sqrt()).collect();
        let of =
            |host: &'a super::Host| host.has.iter().zip(full.iter().zip(weights.iter().copied())).map(unit);
        let unit = problem.hosts.iter().flat_map(of).collect();
        Self { problem, load, open, unit }
    }

    /// What it changes on a host that it gets so much of each resource, and loses so much.
    fn change(&self, host: HostRow, more: &[u64], less: &[u64]) -> f64 {
        let width = more.len();
        let units = &self.unit[host.index() * width..][..width];
        let mut sum = 0.0;
        for (resource, used) in self.load.used(host).iter().enumerate() {
            let unit = units[resource];
            let change = (more[resource] as f64 - less[resource] as f64) * unit;
            sum += change * (2.0 * *used as f64 * unit + change);
        }
        sum
    }

    fn needs(&self, server: ServerRow) -> &'a [u64] {
        &self.problem.server(server).needs
    }

    /// Puts servers of one kind where they add least, and answers those that fit nowhere.
    pub(super) fn place(&mut self, kind: &[ServerRow]) -> Vec<ServerRow> {
        let Some(first) = kind.first() else { return Vec::new() };
        let (nothing, about) = (vec![0; self.problem.resources.len()], self.needs(*first));
        let mut least = about.to_vec();
        for server in kind {
            least.iter_mut().zip(self.needs(*server)).for_each(|(least, needs)| *least = *needs.min(least));
        }
        let reach = &self.problem.reaches[self.problem.server(*first).reach.index()];
        let has_room =
            |load: &Load<'_>, host: HostRow| least.iter().zip(load.free(host)).all(|(a, b)| *a <= b);
        let hosts = self
            .problem
            .host_rows()
            .filter(|host| self.open[host.index()] && reach[host.index()] && has_room(&self.load, *host));
        let mut line: BinaryHeap<Reverse<(Cost, HostRow)>> =
            hosts.map(|host| Reverse((Cost(self.change(host, about, &nothing)), host))).collect();
        let (mut unplaced, mut aside) = (Vec::new(), Vec::new());
        for server in kind.iter().copied() {
            let mut found = false;
            while let Some(Reverse((cost, host))) = line.pop() {
                if self.load.fits(server, host) {
                    self.load.put(server, host);
                    if has_room(&self.load, host) {
                        line.push(Reverse((Cost(self.change(host, about, &nothing)), host)));
                    }
                    found = true;
                    break;
                }
                // Too small for this one, or with somebody whom it must not meet: the next one may fit.
                aside.push(Reverse((cost, host)));
            }
            line.extend(aside.drain(..));
            if !found {
                unplaced.push(server);
            }
        }
        unplaced
    }

    /// Moves and exchanges servers among hosts while that makes the spread more even.
    pub(super) fn improve(&mut self, kinds: &[Vec<ServerRow>]) {
        let mut looks = 0;
        for _ in 0..ROUNDS {
            let mut better = false;
            for (index, kind) in kinds.iter().enumerate() {
                better |= self.move_better(kind);
                looks += kind.len() + self.problem.hosts.len();
                for other in &kinds[index + 1..] {
                    if looks > LOOKS {
                        return;
                    }
                    better |= self.exchange_better(kind, other);
                    looks += kind.len() + other.len();
                }
            }
            if !better {
                return;
            }
        }
    }

    /// Those of a kind that have a place, with what it changes there that something else comes instead.
    fn ranked(&self, kind: &[ServerRow], instead: &[u64]) -> Ranked<ServerRow> {
        let placed = kind.iter().copied().filter(|server| self.open[self.load.host_of(*server).index()]);
        placed
            .map(|server| (Cost(self.change(self.load.host_of(server), instead, self.needs(server))), server))
            .collect()
    }

    fn move_better(&mut self, kind: &[ServerRow]) -> bool {
        let Some(first) = kind.first() else { return false };
        let (nothing, about) = (vec![0; self.problem.resources.len()], self.needs(*first));
        let reach = &self.problem.reaches[self.problem.server(*first).reach.index()];
        let leaving = self.ranked(kind, &nothing);
        let coming: Ranked<HostRow> = self
            .problem
            .host_rows()
            .filter(|host| self.open[host.index()] && reach[host.index()])
            .map(|host| (Cost(self.change(host, about, &nothing)), host))
            .collect();
        let (leaving, coming) = useful(leaving, coming);
        let (mut changed, mut from) = (HashSet::new(), leaving.into_iter());
        let Some(mut one) = from.next() else { return false };
        for (cost, to) in coming {
            while changed.contains(&self.load.host_of(one.1)) {
                let Some(next) = from.next() else { return !changed.is_empty() };
                one = next;
            }
            let (gain, server) = one;
            if gain.0 + cost.0 >= -LEAST {
                break;
            }
            let here = self.load.host_of(server);
            let change = gain.0 + self.change(to, self.needs(server), &nothing);
            if here != to && !changed.contains(&to) && change < -LEAST && self.load.fits(server, to) {
                self.load.put(server, to);
                changed.extend([here, to]);
            }
        }
        !changed.is_empty()
    }

    fn exchange_better(&mut self, one: &[ServerRow], other: &[ServerRow]) -> bool {
        let (Some(first), Some(second)) = (one.first(), other.first()) else { return false };
        let (ones, others) =
            useful(self.ranked(one, self.needs(*second)), self.ranked(other, self.needs(*first)));
        let mut changed = HashSet::new();
        let (mut ones, mut others) = (ones.into_iter().peekable(), others.into_iter().peekable());
        while let (Some((a, one)), Some((b, other))) = (ones.peek().copied(), others.peek().copied()) {
            if a.0 + b.0 >= -LEAST {
                break;
            }
            let (here, there) = (self.load.host_of(one), self.load.host_of(other));
            if changed.contains(&here) {
                ones.next();
                continue;
            }
            others.next();
            if here != there && !changed.contains(&there) && self.exchange((one, here), (other, there)) {
                changed.extend([here, there]);
            }
        }
        !changed.is_empty()
    }

    /// Only if both fit, who leaves making the room, and it gets better.
    fn exchange(&mut self, (one, here): (ServerRow, HostRow), (other, there): (ServerRow, HostRow)) -> bool {
        let (needs_one, needs_other) = (self.needs(one), self.needs(other));
        let change = self.change(here, needs_other, needs_one) + self.change(there, needs_one, needs_other);
        let better = change < -LEAST
            && self.load.fits_without(other, here, &[one])
            && self.load.fits_without(one, there, &[other]);
        if better {
            self.load.put(one, there);
            self.load.put(other, here);
        }
        better
    }
}

/// Of each list those that gain something beside the best of the other, the best first.
fn useful<A: Ord, B: Ord>(mut a: Ranked<A>, mut b: Ranked<B>) -> (Ranked<A>, Ranked<B>) {
    let best = |costs: &mut dyn Iterator<Item = Cost>| costs.min().map_or(f64::INFINITY, |cost| cost.0);
    let best_a = best(&mut a.iter().map(|(cost, _)| *cost));
    let best_b = best(&mut b.iter().map(|(cost, _)| *cost));
    a.retain(|(cost, _)| cost.0 + best_b < -LEAST);
    b.retain(|(cost, _)| cost.0 + best_a < -LEAST);
    a.sort_unstable();
    b.sort_unstable();
    (a, b)
}
