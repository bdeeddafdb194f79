//! The waves of a maintenance: first those that can be emptied at any time, in the order that moves servers once, then those that wait for people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use super::super::Conductor;
use super::Beside;
use super::room::{Helps, Lacks};
use crate::eligibility::{Suits, WhyBlocked, suits};
use crate::fleet::Server;
use crate::ids::HostName;
use crate::maintenance::{Because, Maintenance, Urgency, Wave};
use crate::owners::Whose;
use crate::packing::{HostRow, InPart, Rolling, Rows, Stuck, Wishes, check, empty_in_part, roll};
use crate::plan::Agreement;
use crate::policy::Policy;
use crate::time::Span;
use crate::windows::Slot;

/// Hosts that come in one wave for the same reason.
type Alike = (Vec<HostName>, Because);

/// The waves of those whose turn is yet to come, and how those of each cluster were found that can be emptied at any time.
pub(super) struct LaidOut {
    pub(super) waves: Vec<Wave>,
    pub(super) found: Vec<(Rows, Rolling)>,
}

/// What was found for the hosts of a cluster that can be emptied at any time.
struct Rolled {
    waves: Vec<Alike>,
    /// Nothing where not all of them can be emptied.
    found: Option<(Rows, Rolling)>,
}

impl Conductor<'_> {
    /// Those whose turn is yet to come, in waves.
    pub(in crate::conduct) fn waves(&self, maintenance: &Maintenance) -> Vec<Wave> {
        self.lay_out(maintenance).waves
    }

    pub(super) fn lay_out(&self, maintenance: &Maintenance) -> LaidOut {
        let mut early = BTreeSet::new();
        let mut late: BTreeMap<u8, Vec<(HostName, Because)>> = BTreeMap::new();
        for host in maintenance.waiting() {
            match self.why_late(maintenance, host) {
                None => drop(early.insert(host.clone())),
                Some(because) => late.entry(turn(&because)).or_default().push((host.clone(), because)),
            }
        }
        let rolled = self.roll(maintenance, &early);
        let (mut clusters, found): (Vec<_>, Vec<_>) =
            rolled.into_iter().map(|cluster| (cluster.waves, cluster.found)).unzip();
        for (hosts, because) in
            clusters.iter_mut().flat_map(|waves| waves.extract_if(.., |(_, why)| why.is_late()))
        {
            late.entry(turn(&because))
                .or_default()
                .extend(hosts.into_iter().map(|host| (host, because.clone())));
        }
        let mut waves = self.side_by_side(maintenance, clusters);
        for hosts in late.into_values() {
            waves.extend(alike(hosts));
        }
        let base = self.first_number(maintenance, &waves);
        let numbered = waves.into_iter().zip(base..);
        let waves = numbered.map(|((hosts, because), number)| Wave { number, hosts, because }).collect();
        LaidOut { waves, found: found.into_iter().flatten().collect() }
    }

    /// The first wave keeps its number as long as one of its hosts is left.
    fn first_number(&self, maintenance: &Maintenance, waves: &[Alike]) -> u32 {
        let before = maintenance.rolling.waves.ahead.first();
        let last = maintenance.rolling.turns.values().map(|turn| turn.wave).max().unwrap_or(0);
        let goes_on = |wave: &&Wave| {
            waves.first().is_some_and(|(hosts, _)| hosts.iter().any(|host| wave.hosts.contains(host)))
        };
        before.filter(goes_on).map_or(last + 1, |wave| wave.number)
    }

    /// Why a host comes after those that can be emptied at any time; nothing where it is one of them.
    fn why_late(&self, maintenance: &Maintenance, host: &HostName) -> Option<Because> {
        if self.is_silent(host) {
            return Some(Because::Silent);
        }
        let mut waiting = 0;
        for server in self.fleet.on(host) {
            let effective = self.policies.shared_of(server, self.fleet);
            match suits(server, self.fleet, None, &effective.policy) {
                Suits::Live => {}
                Suits::Nothing(why) => return Some(blocked(server, &why)),
                Suits::Reboot(why) => {
                    let needed = Agreement::needed_for(Some(&why), server.facts.owner.as_ref());
                    if needed == Agreement::NotNeeded || maintenance.urgency != Urgency::Normal {
                        continue;
                    }
                    waiting += 1;
                    if let Some(why) = self.no_window(maintenance, server, &effective.policy) {
                        return Some(Because::Blocked { server: server.facts.name.clone(), why });
                    }
                }
            }
        }
        (waiting > 0).then_some(Because::Owners { servers: waiting })
    }

    /// Why there is no time for a server before the deadline, and which deadline would do.
    fn no_window(&self, maintenance: &Maintenance, server: &Server, policy: &Policy) -> Option<String> {
        let whose = Whose::server(server);
        let lead =
            policy.notice.lead_by_reason.get(&maintenance.reason).copied().unwrap_or(policy.notice.lead);
        let earliest = maintenance.requested_at.max(self.now) + lead.delta();
        let found = |end| {
            let range = Slot { start: earliest, end };
            let open =
                if earliest < end { self.owners.open_for(&whose, policy, range).0 } else { Vec::new() };
            open.into_iter().map(|slot| slot.start.max(earliest)).min()
        };
        if found(maintenance.deadline).is_some() {
            return None;
        }
        let write = |at: crate::time::Instant| at.format("%Y-%m-%d %H:%M UTC").to_string();
        let would = match found(earliest + Span::days(60).delta()) {
            Some(start) => format!("a deadline some hours after {} would do", write(start)),
            None => "there is none within 60 days after that either".to_owned(),
        };
        Some(format!(
            "its owner's windows have no time between {} (notice.lead is {lead}) and the deadline {}; {would}",
            write(earliest),
            write(maintenance.deadline)
        ))
    }

    /// The waves of hosts that can be emptied at any time, and those for which there is no room, cluster by cluster: nobody leaves his.
    fn roll(&self, maintenance: &Maintenance, hosts: &BTreeSet<HostName>) -> Vec<Rolled> {
        let mut clusters: BTreeMap<Option<&str>, BTreeSet<HostName>> = BTreeMap::new();
        for host in hosts {
            clusters.entry(self.cluster_of(host)).or_default().insert(host.clone());
        }
        clusters.values().map(|hosts| self.roll_cluster(maintenance, hosts)).collect()
    }

    fn roll_cluster(&self, maintenance: &Maintenance, hosts: &BTreeSet<HostName>) -> Rolled {
        // Others that are to be emptied, and come late, are used only when there is no other way. Who stays empty takes nobody, whoever comes
        // after him: servers would be put where they must not stay.
        let doomed = self.doomed.iter().chain(maintenance.waiting());
        let doomed = doomed.filter(|host| !hosts.contains(*host));
        let stay_empty: BTreeSet<HostName> = maintenance.stay_empty().cloned().collect();
        let both: BTreeSet<HostName> = doomed.chain(&stay_empty).cloned().collect();
        let mut closed = vec![&both];
        closed.extend((both != stay_empty).then_some(&stay_empty));
        if let Some((rows, rolling)) =
            closed.into_iter().find_map(|closed| self.all_of(maintenance, hosts, closed))
        {
            return Rolled { waves: in_names(&rows, &rolling), found: Some((rows, rolling)) };
        }
        match maintenance.gives_back() {
            true => Rolled { waves: self.one_by_one(hosts), found: None },
            false => self.in_part(hosts, &stay_empty),
        }
    }

    /// How all of these are emptied while nobody goes to those that are closed; nothing where not all can be.
    fn all_of(
        &self,
        maintenance: &Maintenance,
        hosts: &BTreeSet<HostName>,
        closed: &BTreeSet<HostName>,
    ) -> Option<(Rows, Rolling)> {
        let terms = &maintenance.rolling.terms;
        let number = |most: NonZeroU32| most.get() as usize;
        let at_once = terms.hosts_at_once.into_iter().chain(terms.per_cluster).map(number).min();
        let rows = self.settled_rows(hosts, closed);
        let keeping: BTreeSet<HostRow> = rows.stays.iter().map(|stays| stays.host).collect();
        let emptied: Vec<HostRow> = hosts
            .iter()
            .filter_map(|host| rows.host_row(host))
            .filter(|host| !keeping.contains(host))
            .collect();
        if emptied.is_empty() {
            return None;
        }
        let shares = terms.per.iter().map(|(label, most)| rows.share_of(self.fleet, label, number(*most)));
        let mut wishes =
            Wishes { hosts_at_once: at_once, shares: shares.collect(), ..Wishes::in_waves(usize::MAX) };
        // A second plan begins in the middle of the first: as many waves as it takes are better than servers that move twice.
        if maintenance.rolling.turns.is_empty() {
            // One more than are needed in any case: the first wave is a small one.
            wishes.waves = (terms.waves.get() as usize).max(wishes.fewest_waves(&emptied) + 1);
        }
        let mut planned = roll(&rows.problem, &emptied, &wishes);
        if let Err(Stuck::MoreWaves { least, .. }) = planned {
            wishes.waves = least;
            planned = roll(&rows.problem, &emptied, &wishes);
        }
        let kept = |rolling: &Rolling| check::waves(&rows.problem, &rolling.waves).is_ok();
        planned.ok().filter(kept).map(|rolling| (rows, rolling))
    }

    /// Not all of them can be emptied, and what is emptied stays empty: those are left aside for which there is no room beside the others.
    fn in_part(&self, hosts: &BTreeSet<HostName>, closed: &BTreeSet<HostName>) -> Rolled {
        let rows = self.settled_rows(hosts, closed);
        let emptied: Vec<HostRow> = hosts.iter().filter_map(|host| rows.host_row(host)).collect();
        let InPart { rolling, full, then: problem } = empty_in_part(&rows.problem, &emptied);
        let mut waves = in_names(&rows, &rolling);
        let mut then = rows.clone();
        then.problem = problem;
        let full = full.into_iter().filter_map(|host| rows.host_name(host)).enumerate();
        let full = full
            .map(|(at, host)| (no_room_beside(&rows, &rolling, &then, &host, Helps::of_the_first(at)), host));
        waves.extend(full.map(|(because, host)| (vec![host], because)));
        Rolled { waves, found: (!rolling.waves.is_empty()).then_some((rows, rolling)) }
    }

    /// Not all of them can be emptied: those are left aside that could not be even if they were alone.
    fn one_by_one(&self, hosts: &BTreeSet<HostName>) -> Vec<Alike> {
        let (mut room, mut full) = (Vec::new(), Vec::new());
        for (host, lacking) in self.lacks_of(hosts) {
            match lacking {
                None => room.push(host),
                Some(Lacks { why, would_help }) => {
                    full.push((vec![host], Because::NoRoom { why, would_help }))
                }
            }
        }
        let first = (!room.is_empty()).then_some((room, Because::First));
        first.into_iter().chain(full).collect()
    }
}

/// Hosts of a wave whose servers go to hosts of a later one are emptied though there is no room yet.
fn in_names(rows: &Rows, rolling: &Rolling) -> Vec<Alike> {
    let waves = || rolling.waves.iter().enumerate();
    let turn: BTreeMap<HostRow, usize> =
        waves().flat_map(|(at, wave)| wave.hosts.iter().map(move |host| (*host, at))).collect();
    waves()
        .map(|(at, wave)| {
            let twice = wave.moves.iter().any(|one| turn.get(&one.to).is_some_and(|turn| *turn > at));
            let hosts = wave.hosts.iter().filter_map(|host| rows.host_name(*host)).collect();
            (hosts, if twice { Because::First } else { Because::Room })
        })
        .collect()
}

/// What a host lacks when others have been emptied as they are in `rolling`; these are named where it would have room but for them.
fn no_room_beside(rows: &Rows, rolling: &Rolling, then: &Rows, host: &HostName, helps: Helps) -> Because {
    let emptied = rolling.hosts();
    let others = || match (emptied.first().and_then(|first| rows.host_name(*first)), emptied.len()) {
        (None, _) => String::new(),
        (Some(first), 1) => format!("when {first} has been emptied, "),
        (Some(first), 2) => format!("when {first} and another host have been emptied, "),
        (Some(first), more) => format!("when {first} and {} others have been emptied, ", more - 1),
    };
    let because = |Lacks { why, would_help }| Because::NoRoom { why, would_help };
    match (Lacks::of(then, host, helps), Lacks::of(rows, host, Helps::NotAsked)) {
        (Some(lacks), Some(_)) => because(lacks),
        (Some(lacks), None) => because(Lacks { why: format!("{}{}", others(), lacks.why), ..lacks }),
        (None, _) => {
            let why = format!("{}not all servers of {host} find a place", others());
            because(Lacks { why, would_help: Vec::new() })
        }
    }
}

fn blocked(server: &Server, why: &WhyBlocked) -> Because {
    Because::Blocked { server: server.facts.name.clone(), why: why.to_string() }
}

/// In which order those come that are late.
fn turn(because: &Because) -> u8 {
    match because {
        Because::Room | Because::First | Because::Gives { .. } => 0,
        Because::Owners { .. } => 1,
        Because::NoRoom { .. } => 2,
        Because::Blocked { .. } => 3,
        Because::Silent => 4,
    }
}

/// Those of one wave that come in it for the same reason, as one: servers that wait are counted together, what stands in the way is named
/// host by host.
fn alike(hosts: Vec<(HostName, Because)>) -> Vec<Alike> {
    let mut waves: Vec<Alike> = Vec::new();
    for (host, because) in hosts {
        match (waves.last_mut(), &because) {
            (Some((known, Because::Owners { servers })), Because::Owners { servers: more }) => {
                known.push(host);
                *servers += more;
            }
            (Some((known, same)), _) if *same == because => known.push(host),
            _ => waves.push((vec![host], because)),
        }
    }
    waves
}

impl Conductor<'_> {
    /// The waves of all clusters, one beside the other: each cluster's in their order, in each wave no more hosts than may be in work at once,
    /// and a host that has to come after another in a later one than that.
    fn side_by_side(&self, maintenance: &Maintenance, clusters: Vec<Vec<Alike>>) -> Vec<Alike> {
        let terms = &maintenance.rolling.terms;
        let mut clusters: Vec<Cluster> = clusters.into_iter().map(Cluster::new).collect();
        let mut ordered = Vec::new();
        while clusters.iter().any(|cluster| !cluster.left.is_empty()) {
            let waiting: BTreeSet<HostName> = match terms.hints.is_empty() {
                true => BTreeSet::new(),
                false => {
                    clusters.iter().flat_map(|cluster| &cluster.left).map(|left| left.host.clone()).collect()
                }
            };
            let free = |host: &HostName| terms.waits_for(host, &waiting, self.fleet).is_none();
            let mut beside = Beside::new(terms, self.fleet, &[]);
            let mut wave: Vec<Left> =
                clusters.iter_mut().flat_map(|cluster| cluster.take(&mut beside, free)).collect();
            if wave.is_empty() {
                // They wait for each other; the request is refused for that, and a label may have changed since.
                wave = clusters.iter_mut().flat_map(|cluster| cluster.left.drain(..)).collect();
            }
            // Those whose servers move again come first.
            let mut by_reason: BTreeMap<(bool, String), Alike> = BTreeMap::new();
            for Left { host, because, .. } in wave {
                let key = (because != Because::First, because.to_string());
                by_reason.entry(key).or_insert_with(|| (Vec::new(), because)).0.push(host);
            }
            ordered.extend(by_reason.into_values());
        }
        ordered
    }
}

/// Hosts of a cluster that are in no wave yet, in their order.
struct Cluster {
    left: VecDeque<Left>,
}

/// A host, the wave of its cluster in which it is planned, and why.
struct Left {
    planned: usize,
    host: HostName,
    because: Because,
}

impl Cluster {
    fn new(waves: Vec<Alike>) -> Self {
        let left = |(planned, (hosts, because)): (usize, Alike)| {
            hosts.into_iter().map(move |host| Left { planned, host, because: because.clone() })
        };
        Self { left: waves.into_iter().enumerate().flat_map(left).collect() }
    }

    /// As many of the next wave as may be beside the others; what has to wait for others holds up nobody.
    fn take(&mut self, beside: &mut Beside<'_>, free: impl Fn(&HostName) -> bool) -> Vec<Left> {
        let Some(next) = self.left.iter().find(|left| free(&left.host)).map(|left| left.planned) else {
            return Vec::new();
        };
        let (mut taken, mut later) = (Vec::new(), VecDeque::new());
        while !beside.is_full() && self.left.front().is_some_and(|left| left.planned <= next) {
            let Some(left) = self.left.pop_front() else { break };
            if free(&left.host) && beside.has_room_for(&left.host) {
                beside.take(&left.host);
                taken.push(left);
            } else {
                later.push_back(left);
            }
        }
        // Back in front, in the order in which they were.
        later.into_iter().rev().for_each(|left| self.left.push_front(left));
        taken
    }
}
