//! Evening out: the fewest moves after which no host is used by more than so much more, or less, than all of its cluster together are.
//!
//! One move after the other: of the host that is furthest out, the one that takes away most of what is too much or too little, and of those
//! that take away the same the smallest. In the end moves without which it would be as even are left out. A host that gives takes nothing and
//! one that takes gives nothing, so no move waits for another, and both ends of each have room at any moment.

use std::collections::{BTreeMap, BTreeSet};

use super::{HostRow, Load, Move, Open, Problem, ServerRow, UNLIMITED};

/// Looks at a server and a host: bounded, so that the answer does not depend on the machine's speed.
const LOOKS: usize = 20_000_000;

/// Of hosts that could give something to one with too little, so many of the fullest are looked at.
const GIVERS: usize = 64;

/// Less than this is nothing.
const LEAST: f64 = 1e-9;

/// What is to be even.
#[derive(Debug, Clone, Copy)]
pub struct Evenness<'a> {
    /// The hosts among which servers are moved; those that are not open are left as they are.
    pub hosts: &'a [HostRow],
    /// By host, which are compared with each other: those of one cluster.
    pub cluster_of: &'a [u32],
    /// What is used of each host by servers that have no row, by resource; nothing where there are none.
    pub besides: &'a BTreeMap<HostRow, Vec<u64>>,
    /// Servers that stay where they are.
    pub fixed: &'a BTreeSet<ServerRow>,
    /// By so much of a host its use may be more or less than that of its cluster: 0.1 is ten percentage points.
    pub within: f64,
}

/// What evens hosts out.
#[derive(Debug, Clone, PartialEq)]
pub struct Evening {
    /// Each server once, and all at once.
    pub moves: Vec<Move>,
    /// Hosts that are beyond what was wished even so.
    pub left: Vec<StillUneven>,
    /// No moves can do with fewer.
    pub least: usize,
}

/// A host that is beyond what was wished.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StillUneven {
    /// Which.
    pub host: HostRow,
    /// The resource, by its place among [`Problem::resources`].
    pub resource: usize,
    /// What part of the host is used.
    pub used: f64,
    /// What part of its cluster is.
    pub mean: f64,
}

/// Evens hosts out.
#[must_use]
pub fn even_out(problem: &Problem, wish: Evenness<'_>) -> Evening {
    let mut evener = Evener::new(problem, wish);
    let least = evener.least();
    evener.run();
    evener.leave_out();
    Evening { moves: evener.moves.clone(), left: evener.left(), least }
}

/// What a host does in this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    None,
    Gives,
    Takes,
}

/// A move that could be made, the better the smaller.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    one: Move,
    gain: f64,
    size: u64,
    /// How full its destination is then.
    full: f64,
}

impl Candidate {
    fn is_better_than(&self, other: &Self) -> bool {
        if (self.gain - other.gain).abs() > LEAST {
            return self.gain > other.gain;
        }
        let key = |it: &Self| (it.size, it.full.to_bits(), it.one.server, it.one.to);
        key(self) < key(other)
    }
}

struct Evener<'a> {
    problem: &'a Problem,
    wish: Evenness<'a>,
    load: Load<'a>,
    /// The open hosts that are evened out.
    hosts: Vec<HostRow>,
    members: BTreeMap<u32, Vec<HostRow>>,
    /// By cluster, what part of each resource is used; nothing of those that are not evened out.
    mean: BTreeMap<u32, Vec<Option<f64>>>,
    parts: Vec<Part>,
    moves: Vec<Move>,
    looks: usize,
}

impl<'a> Evener<'a> {
    fn new(problem: &'a Problem, wish: Evenness<'a>) -> Self {
        let open = |host: &HostRow| problem.host(*host).open == Open::Yes;
        let hosts: Vec<HostRow> =
            wish.hosts.iter().copied().filter(open).collect::<BTreeSet<_>>().into_iter().collect();
        let mut members: BTreeMap<u32, Vec<HostRow>> = BTreeMap::new();
        for host in &hosts {
            members.entry(wish.cluster_of[host.index()]).or_default().push(*host);
        }
        let mut evener = Self {
            problem,
            wish,
            load: Load::new(problem),
            hosts,
            members,
            mean: BTreeMap::new(),
            parts: vec![Part::None; problem.hosts.len()],
            moves: Vec::new(),
            looks: 0,
        };
        evener.mean = evener.members.iter().map(|(cluster, hosts)| (*cluster, evener.means(hosts))).collect();
        evener
    }

    fn means(&self, hosts: &[HostRow]) -> Vec<Option<f64>> {
        let of = |(at, resource): (usize, &super::Resource)| {
            let amounts: Option<Vec<(f64, f64)>> =
                hosts.iter().map(|host| self.amount(*host, at, self.load.used(*host)[at])).collect();
            // What has no weight need not be spread, and what a host has without limit can't be a part of anything.
            let amounts = amounts.filter(|_| resource.weight > 0.0)?;
            let (used, has): (f64, f64) =
                amounts.iter().fold((0.0, 0.0), |(a, b), (used, has)| (a + used, b + has));
            (has > 0.0).then_some(used / has)
        };
        self.problem.resources.iter().enumerate().map(of).collect()
    }

    /// What is used of a host, and what it has, with all that has no row.
    fn amount(&self, host: HostRow, resource: usize, used: u64) -> Option<(f64, f64)> {
        let has = self.problem.host(host).has[resource];
        let besides = self.wish.besides.get(&host).map_or(0, |besides| besides[resource]);
        (has != UNLIMITED).then_some((used as f64 + besides as f64, has as f64 + besides as f64))
    }

    fn cluster(&self, host: HostRow) -> u32 {
        self.wish.cluster_of[host.index()]
    }

    /// By how much a host is beyond what is wished, over all resources, with so much more and less of each.
    fn excess(&self, host: HostRow, more: Option<ServerRow>, less: Option<ServerRow>) -> f64 {
        self.beyond(host, more, less).map(|(_, by)| by.abs()).sum()
    }

    /// Per resource, by how much it is above or below what is wished.
    fn beyond(
        &self,
        host: HostRow,
        more: Option<ServerRow>,
        less: Option<ServerRow>,
    ) -> impl Iterator<Item = (usize, f64)> + '_ {
        let means = self.mean.get(&self.cluster(host)).map_or(&[][..], Vec::as_slice);
        let needs = move |server: Option<ServerRow>, resource: usize| {
            server.map_or(0, |server| self.problem.server(server).needs[resource])
        };
        means.iter().enumerate().filter_map(move |(resource, mean)| {
            let used = self.load.used(host)[resource] + needs(more, resource) - needs(less, resource);
            let (used, has) = self.amount(host, resource, used)?;
            let off = used / has.max(1.0) - (*mean)?;
            Some((resource, off.signum() * (off.abs() - self.wish.within).max(0.0)))
        })
    }

    /// Every host with too much has to give something, and every one with too little to take something.
    fn least(&self) -> usize {
        let is_off =
            |host: &HostRow, sign: f64| self.beyond(*host, None, None).any(|(_, by)| by * sign > LEAST);
        let count = |sign: f64| self.hosts.iter().filter(|host| is_off(host, sign)).count();
        count(1.0).max(count(-1.0))
    }

    fn run(&mut self) {
        let mut stuck: BTreeSet<HostRow> = BTreeSet::new();
        while self.looks < LOOKS {
            let worst = self
                .hosts
                .iter()
                .filter(|host| !stuck.contains(host))
                .map(|host| (self.excess(*host, None, None), *host))
                .filter(|(excess, _)| *excess > LEAST)
                .max_by(|(a, one), (b, other)| a.total_cmp(b).then(other.cmp(one)));
            let Some((_, worst)) = worst else { return };
            match self.best(worst) {
                None => drop(stuck.insert(worst)),
                Some(one) => {
                    self.load.put(one.server, one.to);
                    self.parts[one.from.index()] = Part::Gives;
                    self.parts[one.to.index()] = Part::Takes;
                    self.moves.push(one);
                    stuck.clear();
                }
            }
        }
    }

    /// What helps a host most: that one of its servers leaves it, or that one comes.
    fn best(&mut self, worst: HostRow) -> Option<Move> {
        let others = self.members.get(&self.cluster(worst)).cloned().unwrap_or_default();
        let signs: Vec<f64> = self.beyond(worst, None, None).map(|(_, by)| by).collect();
        let mut best: Option<Candidate> = None;
        if signs.iter().any(|by| *by > LEAST) && self.parts[worst.index()] != Part::Takes {
            for to in others.iter().filter(|to| **to != worst) {
                self.look_at(worst, *to, &mut best);
            }
        }
        if signs.iter().any(|by| *by < -LEAST) && self.parts[worst.index()] != Part::Gives {
            let mut givers: Vec<HostRow> = others.into_iter().filter(|host| *host != worst).collect();
            givers.sort_by(|a, b| self.fullness(*b).total_cmp(&self.fullness(*a)).then(a.cmp(b)));
            for from in givers.into_iter().take(GIVERS) {
                self.look_at(from, worst, &mut best);
            }
        }
        best.map(|best| best.one)
    }

    fn look_at(&mut self, from: HostRow, to: HostRow, best: &mut Option<Candidate>) {
        if self.parts[from.index()] == Part::Takes || self.parts[to.index()] == Part::Gives {
            return;
        }
        let now = self.excess(from, None, None) + self.excess(to, None, None);
        for server in self.load.on(from) {
            self.looks += 1;
            if self.wish.fixed.contains(server) || !self.load.fits(*server, to) {
                continue;
            }
            let then = self.excess(from, None, Some(*server)) + self.excess(to, Some(*server), None);
            let size = self.problem.server(*server).needs.first().copied().unwrap_or(0);
            let one = Move { server: *server, from, to };
            let candidate = Candidate { one, gain: now - then, size, full: self.fullness(to) };
            let better = best.as_ref().is_none_or(|best| candidate.is_better_than(best));
            let upsets = || self.upsets(from, None, Some(*server)) || self.upsets(to, Some(*server), None);
            if candidate.gain > LEAST && better && !upsets() {
                *best = Some(candidate);
            }
        }
    }

    /// Whether a host that had too much would have too little, or the other way round: that only carries the trouble elsewhere.
    fn upsets(&self, host: HostRow, more: Option<ServerRow>, less: Option<ServerRow>) -> bool {
        let before = self.beyond(host, None, None);
        let after = self.beyond(host, more, less);
        before.zip(after).any(|((_, before), (_, after))| after.abs() > LEAST && after * before <= 0.0)
    }

    /// What part of a host is used, of the resource of which most is.
    fn fullness(&self, host: HostRow) -> f64 {
        let used = self.load.used(host).iter().enumerate();
        used.filter_map(|(resource, used)| self.amount(host, resource, *used))
            .map(|(used, has)| used / has.max(1.0))
            .fold(0.0, f64::max)
    }

    /// A later move may have made an earlier one needless.
    fn leave_out(&mut self) {
        for one in std::mem::take(&mut self.moves) {
            let now = self.excess(one.from, None, None) + self.excess(one.to, None, None);
            let then =
                self.excess(one.from, Some(one.server), None) + self.excess(one.to, None, Some(one.server));
            if then <= now + LEAST {
                self.load.put(one.server, one.from);
            } else {
                self.moves.push(one);
            }
        }
    }

    fn left(&self) -> Vec<StillUneven> {
        let off = |host: &HostRow| {
            let beyond = self.beyond(*host, None, None).filter(|(_, by)| by.abs() > LEAST);
            let (resource, _) = beyond.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))?;
            let (used, has) = self.amount(*host, resource, self.load.used(*host)[resource])?;
            let mean = (*self.mean.get(&self.cluster(*host))?.get(resource)?)?;
            Some(StillUneven { host: *host, resource, used: used / has.max(1.0), mean })
        };
        self.hosts.iter().filter_map(off).collect()
    }
}
