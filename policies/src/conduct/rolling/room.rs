//! Who of those in line can be emptied now, and where to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::Conductor;
use super::{Bound, Line, Moves};
use crate::fleet::Server;
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::maintenance::{Because, Maintenance};
use crate::migration::Migration;
use crate::packing::{
    Evacuation, Held, HostRow, Open, Rows, Shown, evacuate, evacuate_wholly, helps_empty, lacking,
    lacking_at_a_glance, rows_of, why_there,
};

impl Conductor<'_> {
    /// The clusters of these hosts as rows, as they will be when all has come about that is decided: servers are where they are bound for, and
    /// the places of imports are taken. Nobody goes to hosts that nothing is heard of, nor to those that are `closed`.
    pub(super) fn settled_rows<'b>(
        &self,
        of: impl IntoIterator<Item = &'b HostName>,
        closed: &BTreeSet<HostName>,
    ) -> Rows {
        // Nobody leaves his cluster.
        let clusters: BTreeSet<&str> = of.into_iter().filter_map(|host| self.cluster_of(host)).collect();
        let names = || clusters.iter().flat_map(|cluster| self.room.hosts_of(cluster)).copied();
        let mut shown = Shown::default();
        let mut leaving: BTreeSet<(&HostName, ServerId)> = BTreeSet::new();
        let mut coming = BTreeSet::new();
        for (migration, to) in self.bound_elsewhere(names()) {
            coming.insert(migration.server);
            let Some(seen) = self.fleet.seen(&migration.from, migration.server) else { continue };
            if leaving.insert((&migration.from, migration.server)) {
                shown.moved(seen, to);
            }
        }
        for name in names() {
            let Some(host) = self.room.host(name) else { continue };
            let open = host.standing == Standing::Open && !self.is_silent(name);
            let takes = (open || self.expected_back.contains(name)) && !closed.contains(name);
            shown.host(host, if takes { Open::Yes } else { Open::No });
            let stay = |server: &&Server| !leaving.contains(&(name, server.facts.id));
            self.fleet.on(name).filter(stay).for_each(|server| shown.server(server));
        }
        let places = self.imports.iter().filter(|import| import.is_being_done());
        let places = places.map(|import| self.place_of(import)).collect();
        rows_of(self.fleet, &shown, self.policies, &Held { coming, places })
    }

    /// Open migrations from these hosts, and where each goes.
    pub(super) fn bound_elsewhere<'b>(
        &self,
        from: impl Iterator<Item = &'b HostName>,
    ) -> impl Iterator<Item = (&Migration, &HostName)> {
        let of = from.flat_map(|host| self.at_hand.from(host)).map(|place| &*self.migrations[place]);
        let open = of.filter(|migration| migration.is_open());
        open.filter_map(|migration| Some((migration, migration.to().filter(|to| **to != migration.from)?)))
    }

    /// Who of those in line in a cluster begins, and where their servers go.
    pub(super) fn who_begins(
        &self,
        maintenance: &Maintenance,
        cluster: &str,
        line: &Line,
    ) -> Vec<(HostName, Moves)> {
        let mut settled = Settled::new(self, cluster, &maintenance.stay_empty().cloned().collect());
        let begin = self.with_room(maintenance, &mut settled, line);
        if begin.is_empty() && (line.idle || line.late_may_begin) {
            return self.late_with_room(maintenance, &mut settled, &line.late);
        }
        begin
    }

    /// As many of these as can be emptied now, each with where its servers go: onto hosts whose own turn is yet to come only where the plan
    /// has nothing better, and then onto those that come last.
    fn with_room(
        &self,
        maintenance: &Maintenance,
        settled: &mut Settled,
        line: &Line,
    ) -> Vec<(HostName, Moves)> {
        let begin = settled.emptied(&line.early, &self.doomed);
        if !begin.is_empty() {
            return begin;
        }
        let first = |host: &&HostName| {
            let wave = maintenance.rolling.waves.of(host);
            wave.is_some_and(|wave| wave.because == Because::First)
        };
        if line.first {
            let first: Vec<HostName> = line.early.iter().filter(first).cloned().collect();
            return self.onto_later_ones(maintenance, settled, &first);
        }
        // When nobody is in work nothing will make room by itself.
        if line.idle { self.onto_later_ones(maintenance, settled, &line.early) } else { Vec::new() }
    }

    /// Their servers move twice, so they go to hosts that come as late as can be.
    fn onto_later_ones(
        &self,
        maintenance: &Maintenance,
        settled: &mut Settled,
        line: &[HostName],
    ) -> Vec<(HostName, Moves)> {
        let waiting = maintenance.rolling.waves.hosts().map(|(_, host)| host);
        let later: Vec<&HostName> = waiting.filter(|host| settled.rows.contains_key(*host)).collect();
        let last: BTreeSet<&HostName> = later[later.len() / 2..].iter().copied().collect();
        let closed = self.doomed.iter().filter(|host| !last.contains(host)).cloned().collect();
        let begin = settled.emptied(line, &closed);
        if begin.is_empty() { settled.emptied(line, &BTreeSet::new()) } else { begin }
    }

    /// Those that wait for their owners begin where there is a place for all that they have. A host that is being emptied takes nobody, so of
    /// several that have no place but each other none would ever be empty. Where a server has to be freed by a person first, a host begins
    /// whatever becomes of the others: it waits in any case.
    fn late_with_room(
        &self,
        maintenance: &Maintenance,
        settled: &mut Settled,
        line: &[HostName],
    ) -> Vec<(HostName, Moves)> {
        let for_owners = |host: &&HostName| {
            let wave = maintenance.rolling.waves.of(host);
            wave.is_some_and(|wave| matches!(wave.because, Because::Owners { .. }))
        };
        let (owners, others): (Vec<HostName>, Vec<HostName>) =
            line.iter().cloned().partition(|host| for_owners(&host));
        let mut begin = settled.emptied(&owners, &self.doomed);
        begin.extend(settled.as_far_as_possible(&others, &self.doomed));
        // While another one is being emptied or worked on there will be room when it is done.
        if !begin.is_empty() || self.comes_to_an_end(maintenance, settled.rows.keys()) {
            return begin;
        }
        let begin = self.onto_later_ones(maintenance, settled, &owners);
        if begin.is_empty() {
            settled.as_far_as_possible(&owners[..owners.len().min(1)], &self.doomed)
        } else {
            begin
        }
    }

    /// Whether one of these hosts is in work that needs nobody's help to be over some time.
    pub(super) fn comes_to_an_end<'b>(
        &self,
        maintenance: &Maintenance,
        hosts: impl IntoIterator<Item = &'b HostName>,
    ) -> bool {
        let kind = maintenance.kind();
        hosts.into_iter().any(|host| {
            let in_work = maintenance.hosts.get(host).is_some_and(|stage| stage.is_in_work(kind));
            in_work && !self.only_waits_for_operators(maintenance, host)
        })
    }

    /// What keeps the next host from being emptied. Those that come first are looked at for one that lacks room, since others only wait for it.
    pub(super) fn why_no_room(&self, maintenance: &Maintenance) -> String {
        let next: Vec<&HostName> =
            maintenance.rolling.waves.hosts().map(|(_, host)| host).take(BESIDE).collect();
        let Some(first) = next.first() else { return "none is left".to_owned() };
        if let Some(lacking) = next.iter().find_map(|host| self.lacks(maintenance, host)) {
            return lacking.to_string();
        }
        let keeps = self.keeps_from_beginning(maintenance, first);
        match keeps.is_empty() {
            true => format!("{first} has to wait for others"),
            false => format!("{first}: {}", keeps.join("; ")),
        }
    }

    /// Which server of a host of a maintenance finds no place, what is missing, and what would help; nothing when all do.
    pub(super) fn lacks(&self, maintenance: &Maintenance, host: &HostName) -> Option<Lacks> {
        let closed = maintenance.stay_empty().cloned().collect();
        Lacks::of(&self.settled_rows([host], &closed), host, Helps::Found)
    }

    /// What each of many hosts lacks if it is emptied alone, cluster by cluster. What would help is found out for the first few, since it is many times the work.
    pub(super) fn lacks_of(&self, hosts: &BTreeSet<HostName>) -> BTreeMap<HostName, Option<Lacks>> {
        let mut clusters: BTreeMap<Option<&str>, Vec<&HostName>> = BTreeMap::new();
        for host in hosts {
            clusters.entry(self.cluster_of(host)).or_default().push(host);
        }
        let mut found = BTreeMap::new();
        let mut explained = 0;
        for hosts in clusters.into_values() {
            let rows = self.settled_rows(hosts.iter().copied(), &BTreeSet::new());
            for host in hosts {
                let lacks = Lacks::of(&rows, host, Helps::of_the_first(explained));
                explained += usize::from(lacks.is_some());
                found.insert(host.clone(), lacks);
            }
        }
        found
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

/// Of so many hosts without room it is found out what would help.
const EXPLAINED: usize = 8;

/// What keeps a host from being emptied, by the means that turns use: nobody else makes way.
pub(super) struct Lacks {
    pub(super) why: String,
    pub(super) would_help: Vec<String>,
}

/// Whether it is found out what would help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Helps {
    Found,
    NotAsked,
}

impl Helps {
    /// Found out for the first few only, since it is many times the work; `known` are those before.
    pub(super) fn of_the_first(known: usize) -> Self {
        if known < EXPLAINED { Self::Found } else { Self::NotAsked }
    }
}

impl Lacks {
    pub(super) fn of(rows: &Rows, host: &HostName, helps: Helps) -> Option<Self> {
        let host = rows.hosts_named(&[host.to_string()]).ok()?.pop()?;
        if evacuate_wholly(&rows.problem, &[host]).is_some() {
            return None;
        }
        Some(match helps {
            Helps::Found => Self { why: lacking(rows, host)?, would_help: helps_empty(rows, host) },
            Helps::NotAsked => Self { why: lacking_at_a_glance(rows, host), would_help: Vec::new() },
        })
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        match self.would_help.is_empty() {
            true => Ok(()),
            false => write!(f, "; what would do: {}", self.would_help.join("; or ")),
        }
    }
}

/// A cluster as rows, as it will be when all has come about that is decided.
struct Settled {
    problem: Rows,
    /// By host.
    rows: BTreeMap<HostName, HostRow>,
    /// By row, whether a host takes servers if it is not closed besides.
    takes: Vec<Open>,
}

impl Settled {
    /// Nobody ever goes to those that are closed.
    fn new(conductor: &Conductor<'_>, cluster: &str, closed: &BTreeSet<HostName>) -> Self {
        let hosts = conductor.room.hosts_of(cluster);
        let problem = conductor.settled_rows(hosts.iter().copied().take(1), closed);
        Self {
            rows: hosts.iter().copied().cloned().zip(problem.problem.host_rows()).collect(),
            takes: problem.problem.hosts.iter().map(|host| host.open).collect(),
            problem,
        }
    }

    /// Nobody goes to these hosts.
    fn close(&mut self, closed: &BTreeSet<HostName>) {
        for (name, row) in &self.rows {
            let row = row.0 as usize;
            let open = if closed.contains(name) { Open::No } else { self.takes[row] };
            self.problem.problem.hosts[row].open = open;
        }
    }

    fn rows_of(&self, names: &[HostName]) -> Vec<HostRow> {
        names.iter().filter_map(|name| self.rows.get(name).copied()).collect()
    }

    /// As many of these as can be emptied at once without anybody going to hosts that are closed: the first ones, and of the others those that
    /// still fit beside them.
    fn emptied(&mut self, line: &[HostName], closed: &BTreeSet<HostName>) -> Vec<(HostName, Moves)> {
        let hosts = self.rows_of(line);
        if hosts.is_empty() {
            return Vec::new();
        }
        self.close(closed);
        let fits = |hosts: &[HostRow]| evacuate_wholly(&self.problem.problem, hosts);
        // Who fits in larger company fits in smaller, as good as always; what is chosen in the end is tried in any case.
        let (mut fit, mut unfit) = (0, hosts.len() + 1);
        let mut next = hosts.len();
        let mut found = None;
        while unfit - fit > 1 {
            match fits(&hosts[..next]) {
                Some(evacuation) => (fit, found) = (next, Some(evacuation)),
                None => unfit = next,
            }
            next = fit + (unfit - fit) / 2;
        }
        let mut chosen = hosts[..fit].to_vec();
        for host in hosts.iter().skip(unfit).take(BESIDE) {
            chosen.push(*host);
            match fits(&chosen) {
                Some(evacuation) => found = Some(evacuation),
                None => drop(chosen.pop()),
            }
        }
        found.map(|evacuation| self.by_host(&chosen, &evacuation)).unwrap_or_default()
    }

    /// These begin whatever becomes of their servers: those that wait for people do so in any case.
    fn as_far_as_possible(
        &mut self,
        line: &[HostName],
        closed: &BTreeSet<HostName>,
    ) -> Vec<(HostName, Moves)> {
        let hosts = self.rows_of(line);
        if hosts.is_empty() {
            return Vec::new();
        }
        self.close(closed);
        self.by_host(&hosts, &evacuate(&self.problem.problem, &hosts))
    }

    /// In the order in which they were given.
    fn by_host(&self, hosts: &[HostRow], evacuation: &Evacuation) -> Vec<(HostName, Moves)> {
        let names: BTreeMap<HostRow, &HostName> = self.rows.iter().map(|(name, row)| (*row, name)).collect();
        let mut moves: BTreeMap<HostRow, Moves> = hosts.iter().map(|host| (*host, Moves::new())).collect();
        let reasons = why_there(&self.problem.problem, hosts, evacuation);
        for (one, why) in evacuation.moves.iter().zip(reasons) {
            let servers = self.problem.servers[one.server.0 as usize].iter();
            if let Some(to) = names.get(&one.to) {
                let bound = |server: &ServerId| (*server, Bound { to: (*to).clone(), why: why.clone() });
                moves.entry(one.from).or_default().extend(servers.map(bound));
            }
        }
        hosts.iter().filter_map(|host| Some(((*names.get(host)?).clone(), moves.remove(host)?))).collect()
    }
}
