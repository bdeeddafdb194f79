//! Filling hosts to the brim: the largest servers first, one host after the other.
//!
//! Servers that are the same to every host are not told apart here: they are counted by kind. That makes a whole rolling cheap enough to be
//! tried again and again; which server it is that goes along is settled once, at the end ([`Crowd::settle`]).

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{GroupRow, HostRow, Move, Problem, ReachRow, ServerRow, UNLIMITED};

/// By what servers are the same to every host: needs, reach and groups.
type Asks<'a> = (&'a [u64], ReachRow, &'a [GroupRow]);

/// Servers that are the same to every host.
struct Kind<'a> {
    needs: &'a [u64],
    reach: ReachRow,
    apart: &'a [GroupRow],
    /// The largest part of an average host that one needs.
    size: f64,
}

/// All kinds of a fleet. The largest comes first.
pub(super) struct Kinds<'a> {
    problem: &'a Problem,
    mean: Vec<f64>,
    kinds: Vec<Kind<'a>>,
    /// By server.
    of: Vec<u32>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let mean = mean_host(problem);
        let mut members: BTreeMap<Asks<'a>, Vec<ServerRow>> = BTreeMap::new();
        for server in problem.server_rows() {
            let row = problem.server(server);
            members.entry((&row.needs, row.reach, &row.apart)).or_default().push(server);
        }
        let mut kinds: Vec<(Kind<'a>, Vec<ServerRow>)> = members
            .into_iter()
            .map(|((needs, reach, apart), members)| {
                (Kind { needs, reach, apart, size: size(needs, &mean) }, members)
            })
            .collect();
        // Stable: of two kinds of one size the order of the needs decides.
        kinds.sort_by(|(a, _), (b, _)| b.size.total_cmp(&a.size));
        let mut of = vec![0; problem.servers.len()];
        for (kind, (_, members)) in (0_u32..).zip(&kinds) {
            for server in members {
                of[server.index()] = kind;
            }
        }
        Self { problem, mean, kinds: kinds.into_iter().map(|(kind, _)| kind).collect(), of }
    }

    fn kind(&self, kind: u32) -> &Kind<'a> {
        &self.kinds[kind as usize]
    }
}

/// So many of a kind go from one host to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    kind: u32,
    from: HostRow,
    to: HostRow,
    count: u32,
}

/// How many of each kind are on each host.
#[derive(Clone)]
pub(super) struct Crowd<'a> {
    kinds: &'a Kinds<'a>,
    /// By host: kinds, and how many of each.
    on: Vec<Vec<(u32, u32)>>,
    /// By host, then by resource.
    used: Vec<u64>,
    /// How many of a group are on a host.
    groups: HashMap<(HostRow, GroupRow), u32>,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(kinds: &'a Kinds<'a>) -> Self {
        let hosts = kinds.problem.hosts.len();
        let mut crowd = Self {
            kinds,
            on: vec![Vec::new(); hosts],
            used: vec![0; hosts * kinds.problem.resources.len()],
            groups: HashMap::new(),
        };
        for server in kinds.problem.server_rows() {
            crowd.add(kinds.problem.server(server).host, kinds.of[server.index()], 1);
        }
        crowd
    }

    /// How many servers are on a host.
    pub(super) fn count(&self, host: HostRow) -> usize {
        self.on[host.index()].iter().map(|(_, count)| *count as usize).sum()
    }

    /// The groups of the servers on a host.
    pub(super) fn groups_on(&self, host: HostRow) -> impl Iterator<Item = GroupRow> + '_ {
        self.on[host.index()].iter().flat_map(|(kind, _)| self.kinds.kind(*kind).apart).copied()
    }

    pub(super) fn used(&self, host: HostRow) -> &[u64] {
        let width = self.kinds.mean.len();
        &self.used[host.index() * width..][..width]
    }

    pub(super) fn free(&self, host: HostRow) -> impl Iterator<Item = u64> + '_ {
        let has = &self.kinds.problem.host(host).has;
        has.iter().zip(self.used(host)).map(|(has, used)| has.saturating_sub(*used))
    }

    fn add(&mut self, host: HostRow, kind: u32, count: u32) {
        let needs = self.kinds.kind(kind).needs;
        let used = &mut self.used[host.index() * needs.len()..][..needs.len()];
        used.iter_mut().zip(needs).for_each(|(used, needs)| *used += needs * u64::from(count));
        for group in self.kinds.kind(kind).apart {
            *self.groups.entry((host, *group)).or_default() += count;
        }
        let there = &mut self.on[host.index()];
        match there.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => *known += count,
            None => there.push((kind, count)),
        }
    }

    fn take(&mut self, host: HostRow, kind: u32, count: u32) {
        let needs = self.kinds.kind(kind).needs;
        let used = &mut self.used[host.index() * needs.len()..][..needs.len()];
        used.iter_mut().zip(needs).for_each(|(used, needs)| *used -= needs * u64::from(count));
        for group in self.kinds.kind(kind).apart {
            if let Some(known) = self.groups.get_mut(&(host, *group)) {
                *known -= count;
            }
        }
        if let Some((_, known)) = self.on[host.index()].iter_mut().find(|(known, _)| *known == kind) {
            *known -= count;
        }
        self.on[host.index()].retain(|(_, count)| *count > 0);
    }

    /// How many more of a kind a host can take.
    fn fitting(&self, kind: u32, host: HostRow) -> u64 {
        let kind = self.kinds.kind(kind);
        if !self.kinds.problem.reaches[kind.reach.index()][host.index()] {
            return 0;
        }
        let times = |(needs, free): (&u64, u64)| free.checked_div(*needs).unwrap_or(u64::MAX);
        let room = kind.needs.iter().zip(self.free(host)).map(times).min().unwrap_or(u64::MAX);
        if kind.apart.is_empty() {
            return room;
        }
        let meets = |group: &GroupRow| self.groups.get(&(host, *group)).is_some_and(|there| *there > 0);
        room.min(u64::from(!kind.apart.iter().any(meets)))
    }

    /// No kind of a larger size fits on a host.
    fn largest(&self, host: HostRow) -> f64 {
        let has = &self.kinds.problem.host(host).has;
        let parts = has.iter().zip(self.free(host)).zip(&self.kinds.mean);
        let part = |((has, free), mean): ((&u64, u64), &f64)| match *has {
            // Where nobody has a limit, nothing is large; where this host alone has none, anything may fit.
            UNLIMITED if *mean > UNLIMITED as f64 / 2.0 => 0.0,
            UNLIMITED => f64::INFINITY,
            _ => free as f64 / mean,
        };
        parts.map(part).fold(f64::MIN_POSITIVE, f64::max) * (1.0 + f64::EPSILON * 4.0)
    }

    /// Moves everything that is on `hosts` onto others, filling one after the other in their order; nothing at all when it does not fit.
    pub(super) fn empty(&mut self, hosts: &[HostRow], onto: &[HostRow]) -> Option<Vec<Flow>> {
        let mut from: BTreeMap<u32, Vec<(HostRow, u32)>> = BTreeMap::new();
        for host in hosts {
            for (kind, count) in &self.on[host.index()] {
                from.entry(*kind).or_default().push((*host, *count));
            }
        }
        let mut waiting: Vec<Waiting> = from
            .into_iter()
            .map(|(kind, from)| Waiting {
                kind,
                left: from.iter().map(|(_, count)| u64::from(*count)).sum(),
                from,
            })
            .collect();
        let mut flows = Vec::new();
        for host in onto {
            if waiting.is_empty() {
                break;
            }
            self.fill(*host, &mut waiting, &mut flows);
        }
        if !waiting.is_empty() {
            for flow in flows {
                self.take(flow.to, flow.kind, flow.count);
            }
            return None;
        }
        for flow in &flows {
            self.take(flow.from, flow.kind, flow.count);
        }
        Some(flows)
    }

    /// Puts as much of what waits on one host as it can take.
    fn fill(&mut self, host: HostRow, waiting: &mut Vec<Waiting>, flows: &mut Vec<Flow>) {
        let mut index = 0;
        let mut emptied = false;
        loop {
            let most = self.largest(host);
            index += waiting[index..].partition_point(|one| self.kinds.kind(one.kind).size > most);
            // The next of which there is room for one.
            let Some(skip) =
                waiting[index..].iter().position(|one| one.left > 0 && self.fitting(one.kind, host) > 0)
            else {
                break;
            };
            index += skip;
            let one = &mut waiting[index];
            let count = self.fitting(one.kind, host).min(one.left);
            one.left -= count;
            emptied |= one.left == 0;
            one.give(host, count, flows);
            let kind = one.kind;
            self.add(host, kind, u32::try_from(count).unwrap_or(u32::MAX));
            index += 1;
        }
        if emptied {
            waiting.retain(|one| one.left > 0);
        }
    }

    /// Who goes along with each flow, as things are at the beginning.
    pub(super) fn settle(kinds: &Kinds<'_>, waves: &[Vec<Flow>]) -> Vec<Vec<Move>> {
        let mut there: HashMap<(HostRow, u32), Vec<ServerRow>> = HashMap::new();
        for server in kinds.problem.server_rows() {
            let key = (kinds.problem.server(server).host, kinds.of[server.index()]);
            there.entry(key).or_default().push(server);
        }
        let mut settled = Vec::new();
        for flows in waves {
            let mut moves = Vec::new();
            for Flow { kind, from, to, count } in flows {
                let Some(those) = there.get_mut(&(*from, *kind)) else { continue };
                let going = those.split_off(those.len().saturating_sub(*count as usize));
                moves.extend(going.iter().map(|server| Move { server: *server, from: *from, to: *to }));
                there.entry((*to, *kind)).or_default().extend(going);
            }
            settled.push(moves);
        }
        settled
    }
}

/// Servers of a kind that need a place.
struct Waiting {
    kind: u32,
    left: u64,
    from: Vec<(HostRow, u32)>,
}

impl Waiting {
    fn give(&mut self, to: HostRow, mut count: u64, flows: &mut Vec<Flow>) {
        while let Some((from, there)) = self.from.last_mut() {
            let going = u32::try_from(count).unwrap_or(u32::MAX).min(*there);
            if going > 0 {
                flows.push(Flow { kind: self.kind, from: *from, to, count: going });
            }
            *there -= going;
            count -= u64::from(going);
            if *there > 0 {
                break;
            }
            self.from.pop();
            if count == 0 {
                break;
            }
        }
    }
}

/// What a host has on average, by resource; never 0.
pub(super) fn mean_host(problem: &Problem) -> Vec<f64> {
    let count = problem.hosts.len().max(1) as f64;
    let mut mean = vec![0.0; problem.resources.len()];
    for host in &problem.hosts {
        for (sum, has) in mean.iter_mut().zip(&host.has) {
            *sum += *has as f64 / count;
        }
    }
    mean.iter_mut().for_each(|mean| *mean = mean.max(f64::MIN_POSITIVE));
    mean
}

/// The largest part of an average host that a server needs.
pub(super) fn size(needs: &[u64], mean: &[f64]) -> f64 {
    needs.iter().zip(mean).map(|(needs, mean)| *needs as f64 / mean).fold(0.0, f64::max)
}
