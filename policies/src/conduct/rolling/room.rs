//! Who of those in line can be emptied now, and where to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Conductor;
use super::Moves;
use crate::fleet::Fleet;
use crate::host::Standing;
use crate::ids::{HostName, OwnerId};
use crate::maintenance::{Because, Maintenance};
use crate::packing::{Evacuation, HostRow, Rows, evacuate, rows};

impl Conductor<'_> {
    /// The fleet as it will be when all has come about that is decided, as far as room goes: servers are where they are bound for. Nobody
    /// goes to hosts that nothing is heard of, nor to those that are `closed`.
    pub(super) fn settled(&self, closed: &BTreeSet<HostName>) -> Fleet {
        let mut fleet = self.fleet.clone();
        for migration in self.migrations.iter().filter(|migration| migration.is_open()) {
            let Some(to) = migration.to().filter(|to| **to != migration.from) else { continue };
            let leaving = fleet.sightings.get_mut(&migration.from);
            if let Some(mut server) = leaving.and_then(|servers| servers.remove(&migration.server)) {
                server.host = to.clone();
                fleet.sightings.entry(to.clone()).or_default().insert(migration.server, server);
            }
        }
        for (name, host) in &mut fleet.hosts {
            if host.standing == Standing::Open && (closed.contains(name) || self.is_silent(name)) {
                host.standing = Standing::Cordoned { reason: String::new(), since: self.now };
            }
        }
        fleet
    }

    /// As many of these as can be emptied now, each with where its servers go: onto hosts whose own turn is yet to come only where the plan
    /// has nothing better, and then onto those that come last.
    pub(super) fn with_room(&self, maintenance: &Maintenance, line: &[HostName]) -> Vec<(HostName, Moves)> {
        let begin = self.emptied(line, &self.doomed);
        if !begin.is_empty() {
            return begin;
        }
        let first = |host: &&HostName| {
            let wave = maintenance.rolling.waves.of(host);
            wave.is_some_and(|wave| wave.because == Because::First)
        };
        let first: Vec<HostName> = line.iter().filter(first).cloned().collect();
        // When nobody is in work nothing will make room by itself.
        let line = match (first.is_empty(), self.in_work(maintenance).is_empty()) {
            (false, _) => &first[..],
            (true, true) => line,
            (true, false) => return Vec::new(),
        };
        let later: Vec<&HostName> = maintenance.rolling.waves.hosts().map(|(_, host)| host).collect();
        let last: BTreeSet<&HostName> = later[later.len() / 2..].iter().copied().collect();
        let closed = self.doomed.iter().filter(|host| !last.contains(host)).cloned().collect();
        let begin = self.emptied(line, &closed);
        if begin.is_empty() { self.emptied(line, &BTreeSet::new()) } else { begin }
    }

    /// These begin whatever becomes of their servers: those that wait for people do so in any case.
    pub(super) fn as_far_as_possible(&self, line: &[HostName]) -> Vec<(HostName, Moves)> {
        if line.is_empty() {
            return Vec::new();
        }
        let rows = rows(&self.settled(&self.doomed), self.policies);
        let hosts = rows_of(&rows, line);
        by_host(&rows, &hosts, &evacuate(&rows.problem, &hosts))
    }

    /// As many of these as can be emptied at once without anybody going to hosts that are closed: the first ones, and of the others those that
    /// still fit beside them.
    fn emptied(&self, line: &[HostName], closed: &BTreeSet<HostName>) -> Vec<(HostName, Moves)> {
        if line.is_empty() {
            return Vec::new();
        }
        let rows = rows(&self.settled(closed), self.policies);
        let hosts = rows_of(&rows, line);
        let fits = |hosts: &[HostRow]| evacuate(&rows.problem, hosts).unplaced.is_empty();
        // Who fits in larger company fits in smaller, as good as always; what is chosen in the end is tried in any case.
        let (mut fit, mut unfit) = (0, hosts.len() + 1);
        let mut next = hosts.len();
        while unfit - fit > 1 {
            if fits(&hosts[..next]) {
                fit = next
            } else {
                unfit = next
            }
            next = fit + (unfit - fit) / 2;
        }
        let mut chosen = hosts[..fit].to_vec();
        for host in hosts.iter().skip(unfit).take(BESIDE) {
            chosen.push(*host);
            if !fits(&chosen) {
                chosen.pop();
            }
        }
        by_host(&rows, &chosen, &evacuate(&rows.problem, &chosen))
    }

    /// What keeps the next host from being emptied.
    pub(super) fn why_no_room(&self, maintenance: &Maintenance) -> String {
        let Some((_, host)) = maintenance.rolling.waves.hosts().next() else {
            return "none is left".to_owned();
        };
        self.lacks(host).unwrap_or_else(|| format!("{host} has to wait for others, or for its agent"))
    }

    /// Which server of a host finds no place, and what is missing; nothing when all do.
    pub(super) fn lacks(&self, host: &HostName) -> Option<String> {
        let rows = rows(&self.settled(&BTreeSet::new()), self.policies);
        let plan = crate::packing::plan_evacuation(&rows, &[host.to_string()]).ok()?;
        let first = plan.not_placed.first()?;
        let more = plan.not_placed.len() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        Some(format!("{} of {host} finds no place: {}{more}", first.server, first.why))
    }

    /// Groups of servers that must not meet, of which one is on these hosts: two of one group don't move at the same time.
    pub(super) fn groups_on(&self, hosts: &[&HostName]) -> BTreeSet<(Option<OwnerId>, String)> {
        let servers = hosts.iter().flat_map(|host| self.fleet.on(host));
        servers
            .flat_map(|server| {
                let facts = &server.facts;
                facts.rules.anti_affinity.iter().map(|group| (facts.owner.clone(), group.clone()))
            })
            .collect()
    }
}

/// How many of those that come after one without room are tried in its stead.
const BESIDE: usize = 32;

fn rows_of(rows: &Rows, names: &[HostName]) -> Vec<HostRow> {
    let by_name: BTreeMap<&str, HostRow> = rows
        .problem
        .host_rows()
        .zip(&rows.problem.hosts)
        .map(|(row, host)| (host.name.as_str(), row))
        .collect();
    names.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect()
}

fn by_host(rows: &Rows, hosts: &[HostRow], evacuation: &Evacuation) -> Vec<(HostName, Moves)> {
    let name = |row: HostRow| HostName::new(rows.problem.hosts[row.0 as usize].name.clone()).ok();
    let mut moves: BTreeMap<HostRow, Moves> = hosts.iter().map(|host| (*host, Moves::new())).collect();
    for one in &evacuation.moves {
        let servers = rows.servers[one.server.0 as usize].iter();
        if let Some(to) = name(one.to) {
            moves.entry(one.from).or_default().extend(servers.map(|server| (*server, to.clone())));
        }
    }
    // In the order in which they were given.
    hosts.iter().filter_map(|host| Some((name(*host)?, moves.remove(host)?))).collect()
}
