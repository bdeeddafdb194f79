//! From a fleet as it was observed to rows.

use std::collections::{BTreeMap, BTreeSet};

use super::schedule::{Way, Ways};
use super::{GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, ServerRow, UNLIMITED};
use crate::attempt::Method;
use crate::eligibility::{Suits, WhyBlocked, local_bytes, suits};
use crate::estimate::{ASSUMED_BANDWIDTH, expected_move};
use crate::fleet::{Disk, Fleet, Host as Seen, Reach, Server as Observed};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::placement::{Wish, is_machine_for, memory_with_overhead, takes_disks, vcpu_limit};
use crate::planner::Circles;
use crate::policy::{Policy, PolicySet, Subject};
use crate::time::Span;

/// A fleet as rows, and what the rows stand for.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows.
    pub problem: Problem,
    /// Servers that can't be moved, and why. They take up their host's room, and keep it from being emptied.
    pub stays: Vec<Stays>,
    /// What each server's row stands for: one server, or several of one host that have to stay together.
    pub servers: Vec<Vec<ServerId>>,
    /// By server's row: what is sent for it.
    pub sent: Vec<Sent>,
    /// What moves share; without it no times are planned.
    pub ways: Option<Ways>,
    /// By host, its cluster.
    cluster_of: Vec<u32>,
}

/// What is sent for a server, and what moving it takes besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Memory, and local disks that go along; of one that is rebooted its local disks.
    pub bytes: u64,
    /// The time for which one that is rebooted is off, as often longer as shorter.
    pub besides: Span,
    /// Nine times in ten it is no longer than this.
    pub besides_p90: Span,
}

impl Rows {
    /// Of a cluster in Ganeti's text format: rows that stand for one server each, all of which can be moved live.
    #[must_use]
    pub fn of_ganeti(problem: Problem) -> Self {
        let id = |row: ServerRow| vec![ServerId(uuid::Uuid::from_u128(u128::from(row.0)))];
        let memory = problem.resources.iter().position(|resource| resource.name == "memory");
        let sent = |server: &Server| Sent {
            bytes: memory.map_or(0, |memory| server.needs[memory]),
            ..Sent::default()
        };
        let reach_of = |host: usize| problem.reaches.iter().position(|reach| reach[host]).unwrap_or(0);
        let clusters = (0..problem.hosts.len()).map(|host| u32::try_from(reach_of(host)).unwrap_or(u32::MAX));
        Self {
            servers: problem.server_rows().map(id).collect(),
            sent: problem.servers.iter().map(sent).collect(),
            ways: None,
            cluster_of: clusters.collect(),
            problem,
            stays: Vec::new(),
        }
    }

    /// Times are planned: each host has a link of this many bytes per second in each direction, or an assumed one, and as much goes on at
    /// once as policy allows.
    pub fn on_links(&mut self, policies: &PolicySet, link: Option<u64>) {
        let (limits, live) = (&policies.general().limits, &policies.general().live);
        let rate = link.unwrap_or(ASSUMED_BANDWIDTH);
        let way = Way { rate, out: limits.live_out_per_host, into: limits.live_in_per_host };
        let capped = Some(live.bandwidth).filter(|cap| *cap > 0);
        self.ways = Some(Ways {
            most_rate: capped.map_or(rate, |cap| cap.min(rate)),
            cluster_of: self.cluster_of.clone(),
            at_once: limits.live_per_cluster,
            ..Ways::among(self.problem.hosts.len(), way)
        });
    }

    /// Hosts of `fleet` whose label `label` is the same share an uplink of this rate, in bytes per second in each direction. Only where times
    /// are planned.
    pub fn with_uplinks(&mut self, fleet: &Fleet, label: &str, rate: u64) {
        let Some(ways) = &mut self.ways else { return };
        let mut racks: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let rack_of = fleet.hosts.values().map(|host| {
            let name = host.facts.labels.get(label)?;
            let next = u32::try_from(racks.len()).unwrap_or(u32::MAX);
            Some(*racks.entry((&host.facts.cluster, name)).or_insert(next))
        });
        ways.rack_of = rack_of.collect();
        ways.racks = vec![Way { rate, ..Way::FREE }; racks.len()];
    }
}

/// A server that can't be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// Which.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub host: HostRow,
    /// Why.
    pub why: WhyBlocked,
}

/// Puts a fleet into rows: every server where it counts, by the policy in force for it.
#[must_use]
pub fn rows(fleet: &Fleet, policies: &PolicySet) -> Rows {
    let mut maker = Maker::new(fleet, policies);
    for (id, server) in fleet.servers() {
        maker.add(id, server);
    }
    maker.finish()
}

/// Several servers that stay together, as one.
struct Bundle<'a> {
    host: HostRow,
    needs: [u64; 3],
    members: Vec<(ServerId, &'a str)>,
    sent: Sent,
    groups: BTreeSet<GroupRow>,
    reach: ReachRow,
}

struct Maker<'a> {
    fleet: &'a Fleet,
    policies: &'a PolicySet,
    hosts: Vec<Host>,
    rows: BTreeMap<&'a HostName, HostRow>,
    groups: BTreeMap<(Option<OwnerId>, String), GroupRow>,
    names: BTreeMap<&'a str, u32>,
    /// What decides which hosts a server may use, and the row for it.
    reaches: BTreeMap<String, ReachRow>,
    reach_rows: Vec<Vec<bool>>,
    bundles: Vec<Bundle<'a>>,
    /// For each bundle, the names of its affinity groups.
    together: Vec<Vec<(Option<OwnerId>, String)>>,
    stays: Vec<Stays>,
}

impl<'a> Maker<'a> {
    fn new(fleet: &'a Fleet, policies: &'a PolicySet) -> Self {
        let host = |host: &Seen| Host {
            name: host.name.to_string(),
            has: vec![
                host.facts.memory_bytes,
                vcpu_limit(host.facts.cpu_threads, policies.general()),
                UNLIMITED,
            ],
            open: match host.standing {
                Standing::Open => Open::Yes,
                Standing::Cordoned { .. } | Standing::Draining { .. } | Standing::Drained { .. } => Open::No,
            },
        };
        let mut names = BTreeMap::new();
        for server in fleet.servers().into_values() {
            *names.entry(server.facts.name.as_str()).or_default() += 1;
        }
        Self {
            fleet,
            policies,
            hosts: fleet.hosts.values().map(host).collect(),
            rows: fleet.hosts.keys().zip((0_u32..).map(HostRow)).collect(),
            groups: BTreeMap::new(),
            names,
            reaches: BTreeMap::new(),
            reach_rows: Vec::new(),
            bundles: Vec::new(),
            together: Vec::new(),
            stays: Vec::new(),
        }
    }

    fn add(&mut self, id: ServerId, server: &'a Observed) {
        let Some(host) = self.rows.get(&server.host).copied() else { return };
        let policy = self.policies.shared(&Subject::of(server, self.fleet));
        let facts = &server.facts;
        let needs = [memory_with_overhead(server, &policy.policy), u64::from(facts.vcpus), 1];
        let method = match suits(server, self.fleet, None, &policy.policy) {
            Suits::Live => Method::Live,
            Suits::Reboot(_) => Method::Reboot,
            Suits::Nothing(why) => {
                for (has, needs) in self.hosts[host.index()].has.iter_mut().zip(needs) {
                    *has = if *has == UNLIMITED { UNLIMITED } else { has.saturating_sub(needs) };
                }
                self.stays.push(Stays { server: id, name: facts.name.clone(), host, why });
                return;
            }
        };
        let sent = sent(server, method, &policy.policy);
        let mut groups: BTreeSet<GroupRow> = BTreeSet::new();
        for name in &facts.rules.anti_affinity {
            groups.insert(self.group(facts.owner.clone(), name.clone()));
        }
        if self.names.get(facts.name.as_str()).is_some_and(|count| *count > 1) {
            // libvirt knows no two servers of one name. No owner can have a group of an empty name's kind: a name has no line break.
            groups.insert(self.group(None, format!("name\n{}", facts.name)));
        }
        let reach = self.reach(&Wish { server, policy, method, blueprint: None });
        self.together
            .push(facts.rules.affinity.iter().map(|name| (facts.owner.clone(), name.clone())).collect());
        self.bundles.push(Bundle { host, needs, members: vec![(id, &facts.name)], sent, groups, reach });
    }

    fn group(&mut self, owner: Option<OwnerId>, name: String) -> GroupRow {
        let next = GroupRow(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        *self.groups.entry((owner, name)).or_insert(next)
    }

    /// Servers that ask the same of a host's machine share a row.
    fn reach(&mut self, wish: &Wish<'a>) -> ReachRow {
        let (facts, policy) = (&wish.server.facts, wish.policy());
        let source = self.fleet.hosts.get(&wish.server.host).map(|host| &host.facts);
        let labels: Vec<_> = policy
            .placement
            .same_labels
            .iter()
            .map(|label| (label, source.and_then(|source| source.labels.get(label))))
            .collect();
        // Of a disk on shared storage any host with that storage will do; of a local one, one with its directory.
        let directory = |disk: &'a Disk| match disk.reach {
            Reach::Local => disk.source.rsplit_once('/').map(|(directory, _)| directory),
            Reach::Shared { .. } | Reach::Empty => None,
        };
        let disks: BTreeSet<String> =
            facts.disks.iter().map(|disk| format!("{:?} {:?}", disk.reach, directory(disk))).collect();
        let machine = (&facts.arch, &facts.machine_type, &facts.cpu, wish.method, disks, labels);
        let from = source.map(|source| (&source.cluster, &source.cpu.model, source.libvirt_version));
        let key = format!("{machine:?} {from:?}");
        if let Some(known) = self.reaches.get(&key) {
            return *known;
        }
        let row = ReachRow(u32::try_from(self.reach_rows.len()).unwrap_or(u32::MAX));
        let may = |host: &Seen| {
            source.is_some_and(|source| {
                host.facts.cluster == source.cluster
                    && is_machine_for(wish, source, &host.facts)
                    && takes_disks(wish, &host.facts)
            })
        };
        self.reach_rows.push(self.fleet.hosts.values().map(may).collect());
        self.reaches.insert(key, row);
        row
    }

    fn finish(self) -> Rows {
        let Self { fleet, hosts, reach_rows, bundles, together, stays, .. } = self;
        let mut circles = Circles::new(bundles.len());
        let mut first_of = BTreeMap::new();
        for (index, groups) in together.into_iter().enumerate() {
            for group in groups {
                // Those on other hosts have been parted already; bringing them together is no part of this.
                let first = *first_of.entry((bundles[index].host, group)).or_insert(index);
                circles.join(first, index);
            }
        }
        let mut joined: BTreeMap<usize, Bundle<'_>> = BTreeMap::new();
        let mut reaches = reach_rows;
        for (index, bundle) in bundles.into_iter().enumerate() {
            match joined.get_mut(&circles.root(index)) {
                None => drop(joined.insert(circles.root(index), bundle)),
                Some(known) => known.join(bundle, &mut reaches),
            }
        }
        let servers =
            joined.values().map(|bundle| bundle.members.iter().map(|(id, _)| *id).collect()).collect();
        let sent = joined.values().map(|bundle| bundle.sent).collect();
        let rows = joined.into_values().map(Bundle::into_row).collect();
        let problem = Problem { resources: resources(), hosts, servers: rows, reaches };
        Rows { problem, stays, servers, sent, ways: None, cluster_of: clusters(fleet) }
    }
}

impl Bundle<'_> {
    fn join(&mut self, other: Self, reaches: &mut Vec<Vec<bool>>) {
        self.needs.iter_mut().zip(other.needs).for_each(|(sum, needs)| *sum = sum.saturating_add(needs));
        self.members.extend(other.members);
        self.groups.extend(other.groups);
        // One after the other.
        self.sent.bytes = self.sent.bytes.saturating_add(other.sent.bytes);
        self.sent.besides.0 = self.sent.besides.0.saturating_add(other.sent.besides.0);
        self.sent.besides_p90.0 = self.sent.besides_p90.0.saturating_add(other.sent.besides_p90.0);
        if self.reach != other.reach {
            let (one, two) = (&reaches[self.reach.index()], &reaches[other.reach.index()]);
            let both = one.iter().zip(two).map(|(one, two)| *one && *two).collect();
            self.reach = ReachRow(u32::try_from(reaches.len()).unwrap_or(u32::MAX));
            reaches.push(both);
        }
    }

    fn into_row(self) -> Server {
        let names: Vec<&str> = self.members.iter().map(|(_, name)| *name).collect();
        Server {
            name: names.join(" + "),
            needs: self.needs.to_vec(),
            host: self.host,
            apart: self.groups.into_iter().collect(),
            reach: self.reach,
        }
    }
}

fn sent(server: &Observed, method: Method, policy: &Policy) -> Sent {
    let disks = local_bytes(&server.facts);
    match method {
        Method::Live => Sent { bytes: server.facts.memory_bytes.saturating_add(disks), ..Sent::default() },
        Method::Reboot => {
            let expected = expected_move(&server.facts, policy, &[], None);
            Sent { bytes: disks, besides: expected.downtime, besides_p90: expected.downtime_p90 }
        }
    }
}

fn clusters(fleet: &Fleet) -> Vec<u32> {
    let mut rows: BTreeMap<&str, u32> = BTreeMap::new();
    let of = fleet.hosts.values().map(|host| {
        let next = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        *rows.entry(&host.facts.cluster).or_insert(next)
    });
    of.collect()
}

fn resources() -> Vec<Resource> {
    let weighted = |name: &str, weight| Resource { name: name.to_owned(), weight };
    vec![weighted("memory", 1.0), weighted("vcpus", 1.0), weighted("servers", EVEN_NUMBER)]
}

/// How much an even number of servers counts beside an even use of memory. Many small servers make a host as hard to empty as a few big
/// ones; and so does Ganeti's `hbal` weigh it, by whose score fleets are compared.
pub(super) const EVEN_NUMBER: f32 = 16.0;
