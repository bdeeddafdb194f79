//! What becomes of the servers of those hosts whose turn is yet to come, as things are now: for whoever looks at a plan before it begins.
//!
//! None of it is kept or held. When a host's turn comes, its servers' places are found anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hashbrown::HashMap;

use super::super::Conductor;
use super::waves::LaidOut;
use crate::eligibility::{Suits, obstacles, suits};
use crate::fleet::Server;
use crate::ids::{HostName, ServerId};
use crate::maintenance::{Because, Maintenance, Urgency, Wave};
use crate::packing::{
    HostRow, Move, Open, PlannedTime, Rows, Sent, ServerRow, Wave as Emptied, When, Wishes, empty_in_part,
    evacuate_wholly, fewest_moves, find_rolling, plan_waves,
};
use crate::placement::NoPlace;
use crate::plan::{Agreement, Decision, Planned};
use crate::planner::{expected, planned};

/// What a maintenance would do with hosts whose turn is yet to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// In which order they are emptied.
    pub waves: Vec<Wave>,
    /// Every server of theirs, wave by wave in the order in which they begin. One that moves twice is there twice.
    pub servers: Vec<PlannedAhead>,
    /// How much that is, of those servers that have a place.
    pub effort: Effort,
}

/// What is done with a server when its host's turn comes. One without a place gets it then.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedAhead {
    /// With which wave.
    pub wave: u32,
    /// What is done.
    pub planned: Planned,
    /// When it would be under way if nothing but moving took time; nothing where there is no place yet, or somebody has to agree to a time.
    pub when: Option<When>,
}

/// How much has to be moved, and how long that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// So many moves.
    pub moves: usize,
    /// No plan of so many waves can do with fewer.
    pub least_moves: usize,
    /// How long they take.
    pub time: Option<PlannedTime>,
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moves = if self.moves == 1 { "move" } else { "moves" };
        write!(f, "{} {moves}, where {} is the least possible", self.moves, self.least_moves)?;
        self.time.iter().try_for_each(|time| write!(f, "; {time}"))
    }
}

/// Hosts of a cluster that are emptied together, and where the servers of each row go: by the first server that the row stands for.
#[derive(Debug, Default)]
struct Step {
    hosts: Vec<HostName>,
    moves: Vec<(ServerId, HostName, HostName)>,
}

/// By cluster, what is emptied when, in their order.
type Steps<'a> = BTreeMap<Option<&'a str>, Vec<Step>>;

/// Where a server goes, why there, and when.
struct Bound {
    server: ServerId,
    from: HostName,
    to: HostName,
    why: String,
    when: Option<When>,
}

impl Conductor<'_> {
    /// Counting on those hosts of a maintenance that are worked on: they take servers before the turn of those comes that are yet to come.
    pub(in crate::conduct) fn expecting_back(mut self, maintenance: &Maintenance) -> Self {
        let kind = maintenance.kind();
        if maintenance.gives_back() {
            self.expected_back = maintenance.hosts_at(|stage| stage.is_in_work(kind)).cloned().collect();
        }
        self
    }

    /// What would be done with the hosts whose turn is yet to come.
    pub(in crate::conduct) fn ahead(&self, maintenance: &Maintenance) -> Ahead {
        let (waves, steps) = match maintenance.rolling.turns.is_empty() {
            true => self.found_anew(maintenance),
            false => self.as_it_stands(maintenance),
        };
        let (bound, effort) = self.scheduled(maintenance, &waves, &steps).unwrap_or_default();
        let servers = waves.iter().flat_map(|wave| self.servers_of(wave, &bound)).collect();
        Ahead { waves, servers, effort }
    }

    /// Before a host has begun: the waves that would be found now.
    fn found_anew(&self, maintenance: &Maintenance) -> (Vec<Wave>, Steps<'_>) {
        let LaidOut { waves, found } = self.lay_out(maintenance);
        let mut steps = Steps::new();
        for (rows, rolling) in &found {
            let of_cluster: Vec<Step> = rolling.waves.iter().map(|wave| Step::of(rows, wave)).collect();
            let first = of_cluster.iter().find_map(|step| step.hosts.first());
            if let Some(cluster) = first.map(|host| self.cluster_of(host)) {
                steps.insert(cluster, of_cluster);
            }
        }
        self.those_who_wait(maintenance, &waves, &mut steps);
        (waves, steps)
    }

    /// Once hosts have begun, their order stands. Where the servers of each wave find room when its turn comes: beside those that were emptied before
    /// it, and on hosts whose turn is yet to come only where nothing else will do.
    fn as_it_stands(&self, maintenance: &Maintenance) -> (Vec<Wave>, Steps<'_>) {
        let waves = maintenance.rolling.waves.ahead.clone();
        let mut turns: BTreeMap<Option<&str>, Vec<Vec<HostName>>> = BTreeMap::new();
        // Of hosts that somebody has to do something for first, nobody knows when they are empty.
        let emptied =
            |wave: &&Wave| matches!(wave.because, Because::Room | Because::First | Because::Owners { .. });
        for wave in waves.iter().filter(emptied) {
            let mut here: BTreeMap<Option<&str>, Vec<HostName>> = BTreeMap::new();
            for host in &wave.hosts {
                here.entry(self.cluster_of(host)).or_default().push(host.clone());
            }
            for (cluster, hosts) in here {
                turns.entry(cluster).or_default().push(hosts);
            }
        }
        let steps =
            turns.into_iter().map(|(cluster, turns)| (cluster, self.steps(maintenance, turns))).collect();
        (waves, steps)
    }

    fn steps(&self, maintenance: &Maintenance, turns: Vec<Vec<HostName>>) -> Vec<Step> {
        let all: BTreeSet<HostName> = turns.iter().flatten().cloned().collect();
        let closed = self.doomed.difference(&all).chain(maintenance.stay_empty()).cloned().collect();
        let mut rows = self.settled_rows(&all, &closed);
        let opens: Vec<Open> = rows.problem.hosts.iter().map(|host| host.open).collect();
        let mut to_come: BTreeSet<HostRow> = all.iter().filter_map(|host| rows.host_row(host)).collect();
        let mut steps = Vec::new();
        for hosts in turns {
            let emptied: Vec<HostRow> = hosts.iter().filter_map(|host| rows.host_row(host)).collect();
            to_come.retain(|host| !emptied.contains(host));
            open_as(&mut rows, &opens, &to_come);
            let found = evacuate_wholly(&rows.problem, &emptied).or_else(|| {
                open_as(&mut rows, &opens, &BTreeSet::new());
                evacuate_wholly(&rows.problem, &emptied)
            });
            let waves = match found {
                Some(found) => vec![Emptied { hosts: emptied, moves: found.moves }],
                None => empty_in_part(&rows.problem, &emptied).rolling.waves,
            };
            for wave in waves {
                steps.push(Step::of(&rows, &wave));
                for one in wave.moves {
                    rows.problem.servers[one.server.0 as usize].host = one.to;
                }
            }
        }
        steps
    }

    /// Hosts that wait for their owners are emptied after the others of their cluster, onto hosts that are done by then.
    fn those_who_wait<'a>(&'a self, maintenance: &Maintenance, waves: &[Wave], steps: &mut Steps<'a>) {
        let wait = waves.iter().filter(|wave| matches!(wave.because, Because::Owners { .. }));
        let mut late: BTreeMap<Option<&str>, Vec<&HostName>> = BTreeMap::new();
        for host in wait.flat_map(|wave| &wave.hosts) {
            late.entry(self.cluster_of(host)).or_default().push(host);
        }
        for (cluster, hosts) in late {
            let known = steps.entry(cluster).or_default();
            let emptied = known.iter().flat_map(|step| &step.hosts).chain(hosts.iter().copied());
            let closed = self.not_for_these(maintenance, waves, emptied);
            let mut rows = self.settled_rows(hosts.iter().copied(), &closed);
            let row_of = by_server(&rows);
            for (server, _, to) in known.iter().flat_map(|step| &step.moves) {
                if let (Some(row), Some(to)) = (row_of.get(server), rows.host_row(to)) {
                    rows.problem.servers[row.0 as usize].host = to;
                }
            }
            let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            let found = find_rolling(&rows, Some(&names), &Wishes::in_waves(usize::MAX));
            // Who finds no place before the owners' times have come finds one then, or is told of.
            let found = match found {
                Ok((rolling, _)) => rolling,
                Err(_) => {
                    let emptied: Vec<_> = hosts.iter().filter_map(|host| rows.host_row(host)).collect();
                    empty_in_part(&rows.problem, &emptied).rolling
                }
            };
            known.extend(found.waves.iter().map(|wave| Step::of(&rows, wave)));
        }
    }

    /// To which nobody is planned to go while these are emptied: hosts that are to be emptied as well, and those that stay empty.
    fn not_for_these<'a>(
        &'a self,
        maintenance: &'a Maintenance,
        waves: &'a [Wave],
        these: impl Iterator<Item = &'a HostName>,
    ) -> BTreeSet<HostName> {
        let all = self.doomed.iter().chain(waves.iter().flat_map(|wave| &wave.hosts));
        let these: BTreeSet<&HostName> = these.collect();
        all.filter(|host| !these.contains(host)).chain(maintenance.stay_empty()).cloned().collect()
    }

    /// By the host that they leave, each server's place and time, when all clusters go side by side; nothing where the wished order of hosts is not the one in which there is
    /// room, so that only their turns can tell.
    fn scheduled(
        &self,
        maintenance: &Maintenance,
        waves: &[Wave],
        steps: &Steps<'_>,
    ) -> Option<(HashMap<HostName, Vec<Bound>>, Effort)> {
        let emptied = || steps.values().flatten().flat_map(|step| &step.hosts);
        // One that can't be emptied when its turn comes is still there for others.
        let taking = steps.values().flatten().flat_map(|step| step.moves.iter().map(|(_, _, to)| to));
        let closed = self.not_for_these(maintenance, waves, emptied().chain(taking));
        let mut rows = self.settled_rows(emptied(), &closed);
        rows.on_links(self.policies, None);
        let terms = &maintenance.rolling.terms;
        rows.within(self.fleet, &self.policies.general().limits.within(terms), terms.bandwidth);
        // Whose owners agree to a time are no part of a schedule.
        let asks = |server: &ServerId| {
            let known = self.fleet.server(*server).filter(|_| maintenance.urgency == Urgency::Normal);
            known.is_some_and(|server| self.planned_later(server).agreement != Agreement::NotNeeded)
        };
        let asked: Vec<bool> = rows.servers.iter().map(|servers| servers.iter().any(asks)).collect();
        for (sent, _) in rows.sent.iter_mut().zip(&asked).filter(|(_, asked)| **asked) {
            *sent = Sent::default();
        }
        let (numbers, together) = in_waves(&rows, waves, steps);
        let least = steps.values().map(|steps| self.least_moves(steps, &closed)).sum();
        let plan = plan_waves(&rows, &together, &numbers, least).ok()?;
        let mut bound: HashMap<HostName, Vec<Bound>> = HashMap::new();
        let moves = together.iter().flat_map(|wave| &wave.moves);
        for (one, told) in moves.zip(plan.waves.into_iter().flat_map(|wave| wave.moves)) {
            let (Some(from), Some(to)) = (rows.host_name(one.from), rows.host_name(one.to)) else { continue };
            let of = |server: &ServerId| Bound {
                server: *server,
                from: from.clone(),
                to: to.clone(),
                why: told.why.clone(),
                when: told.when.filter(|_| !asked[one.server.0 as usize]),
            };
            let servers = &rows.servers[one.server.0 as usize];
            bound.entry(from.clone()).or_default().extend(servers.iter().map(of));
        }
        Some((bound, Effort { moves: plan.moves, least_moves: plan.least_moves, time: plan.time }))
    }

    fn least_moves(&self, steps: &[Step], closed: &BTreeSet<HostName>) -> usize {
        let hosts = || steps.iter().flat_map(|step| &step.hosts);
        let rows = self.settled_rows(hosts(), closed);
        let emptied: Vec<_> = hosts().filter_map(|host| rows.host_row(host)).collect();
        fewest_moves(&rows.problem, &emptied, steps.len())
    }

    /// The servers of a wave's hosts, and those that are there for a while because they move twice.
    fn servers_of(&self, wave: &Wave, bound: &HashMap<HostName, Vec<Bound>>) -> Vec<PlannedAhead> {
        let mut servers = Vec::new();
        for host in &wave.hosts {
            let placed = bound.get(host).map_or(&[][..], Vec::as_slice);
            let leaves = self.bound_elsewhere(std::iter::once(host)).map(|(migration, _)| migration.server);
            let known: BTreeSet<ServerId> = placed.iter().map(|bound| bound.server).chain(leaves).collect();
            let others = self.fleet.on(host).filter(|server| !known.contains(&server.facts.id));
            servers.extend(others.map(|server| (self.planned_ahead(server, None), None)));
            servers.extend(placed.iter().filter_map(|bound| {
                let server = self.fleet.server(bound.server)?;
                Some((self.planned_ahead(server, Some(bound)), bound.when))
            }));
        }
        servers.sort_by_cached_key(|(planned, when)| {
            let begins = when.map(|when| when.begins);
            (begins.is_none(), begins, planned.from.clone(), planned.name.clone(), planned.server)
        });
        let ahead = |(planned, when)| PlannedAhead { wave: wave.number, planned, when };
        servers.into_iter().map(ahead).collect()
    }

    /// By which method a server leaves when its host's turn comes, and where to, if that is planned.
    pub(in crate::conduct) fn planned_later(&self, server: &Server) -> Planned {
        self.planned_ahead(server, None)
    }

    fn planned_ahead(&self, server: &Server, bound: Option<&Bound>) -> Planned {
        let policy = self.policies.shared_of(server, self.fleet);
        let not_live = match suits(server, self.fleet, None, &policy.policy) {
            Suits::Live => None,
            Suits::Reboot(why) => Some(why),
            Suits::Nothing(why) => {
                let also = obstacles(&server.facts).into_iter().filter(|other| *other != why).collect();
                return planned(server, Decision::Blocked { why, also });
            }
        };
        let id = &server.facts.id;
        let history = self.history.get(id).map_or(&[][..], Vec::as_slice);
        let expected = expected(&server.facts, &policy.policy, not_live.as_ref(), history);
        let blueprint = not_live.as_ref().and_then(|_| self.blueprints.get(id)).cloned();
        let decision = match (bound.map(|bound| bound.to.clone()), not_live) {
            (Some(to), None) => Decision::Live { to },
            (Some(to), Some(why)) => Decision::Reboot { to, why },
            (None, not_live) => {
                let why = NoPlace { cluster: String::new(), hosts: BTreeMap::new() };
                Decision::NoPlace { why, not_live }
            }
        };
        let place_why = bound.map(|bound| bound.why.clone()).unwrap_or_default();
        let from = bound.map_or(&server.host, |bound| &bound.from).clone();
        Planned { from, place_why, expected, blueprint, ..planned(server, decision) }
    }
}

/// Open as they were, but for those that are spared.
fn open_as(rows: &mut Rows, opens: &[Open], spared: &BTreeSet<HostRow>) {
    for (host, open) in rows.problem.hosts.iter_mut().zip(opens) {
        host.open = *open;
    }
    for host in spared {
        rows.problem.hosts[host.0 as usize].open = Open::No;
    }
}

impl Step {
    fn of(rows: &Rows, wave: &Emptied) -> Self {
        let one = |of: &Move| {
            let server = rows.servers[of.server.0 as usize].first()?;
            Some((*server, rows.host_name(of.from)?, rows.host_name(of.to)?))
        };
        Self {
            hosts: wave.hosts.iter().filter_map(|host| rows.host_name(*host)).collect(),
            moves: wave.moves.iter().filter_map(one).collect(),
        }
    }
}

fn by_server(rows: &Rows) -> HashMap<ServerId, ServerRow> {
    let ids = rows.servers.iter().map(|servers| servers.first().copied());
    ids.zip(rows.problem.server_rows()).filter_map(|(id, row)| Some((id?, row))).collect()
}

/// The waves as rows, each with its number. Hosts of one wave that are emptied one after the other are as many.
fn in_waves(rows: &Rows, waves: &[Wave], steps: &Steps<'_>) -> (Vec<u32>, Vec<Emptied>) {
    let turns = steps.values().flat_map(|steps| steps.iter().enumerate());
    let turn_of: HashMap<&HostName, usize> =
        turns.flat_map(|(turn, step)| step.hosts.iter().map(move |host| (host, turn))).collect();
    let row_of = by_server(rows);
    let mut leaving: HashMap<&HostName, Vec<Move>> = HashMap::new();
    for (server, from, to) in steps.values().flatten().flat_map(|step| &step.moves) {
        if let (Some(server), Some(from_row), Some(to)) =
            (row_of.get(server), rows.host_row(from), rows.host_row(to))
        {
            leaving.entry(from).or_default().push(Move { server: *server, from: from_row, to });
        }
    }
    let (mut numbers, mut emptied) = (Vec::new(), Vec::new());
    for wave in waves {
        let mut parts: BTreeMap<usize, Emptied> = BTreeMap::new();
        for host in &wave.hosts {
            let (Some(turn), Some(row)) = (turn_of.get(host), rows.host_row(host)) else { continue };
            let nothing = || Emptied { hosts: Vec::new(), moves: Vec::new() };
            let part = parts.entry(*turn).or_insert_with(nothing);
            part.hosts.push(row);
            part.moves.extend(leaving.remove(host).unwrap_or_default());
        }
        numbers.extend(parts.keys().map(|_| wave.number));
        emptied.extend(parts.into_values());
    }
    (numbers, emptied)
}
