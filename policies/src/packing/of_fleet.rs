//! From a fleet as it was observed to rows.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use super::schedule::{Way, Ways};
use super::{
    GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, ServerRow, Share, UNLIMITED,
};
use crate::attempt::Method;
use crate::eligibility::{Suits, WhyBlocked, local_bytes, suits};
use crate::estimate::{ASSUMED_BANDWIDTH, expected_move, share_of};
use crate::fleet::{
    Disk, Fleet, GuestCpu, Host as Seen, Reach, Resources, SERVERS, Server as Observed, counts_before,
};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::placement::{
    Reservation, Wish, disk_room, is_machine_for, memory_with_overhead, takes_disks, vcpu_limit,
};
use crate::planner::Circles;
use crate::policy::{Limits, Policy, PolicySet};
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
    /// So many of its servers are rebooted; the others go live.
    pub reboots: u32,
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

    /// What a host is called; nothing of one whose name is none that a fleet could have.
    #[must_use]
    pub fn host_name(&self, row: HostRow) -> Option<HostName> {
        HostName::new(self.problem.host(row).name.clone()).ok()
    }

    /// A host by its name.
    #[must_use]
    pub fn host_row(&self, name: &HostName) -> Option<HostRow> {
        // Hosts of a fleet are in the order of their names.
        let found = self.problem.hosts.binary_search_by(|host| host.name.as_str().cmp(name.as_str()));
        found.ok().and_then(|index| u32::try_from(index).ok()).map(HostRow)
    }

    /// Within these limits as well, and `together` for all moves at once. Only where times are planned.
    pub fn within(&mut self, fleet: &Fleet, limits: &Limits, together: Option<NonZeroU64>) {
        let Some(ways) = &mut self.ways else { return };
        for way in &mut ways.hosts {
            way.out = limits.live_out_per_host;
            way.into = limits.live_in_per_host;
        }
        let full = ways.most_rate;
        if limits.bandwidth_per_cluster > 0 {
            ways.cluster_rate = limits.bandwidth_per_cluster;
            ways.most_rate = ways.most_rate.min(share_of(limits.bandwidth_per_cluster, full));
        }
        if let Some(together) = together {
            ways.together = together.get();
            ways.most_rate = ways.most_rate.min(share_of(together.get(), full));
        }
        let shares = limits.uplinks.values().map(|rate| share_of(*rate, full));
        ways.most_rate = shares.fold(ways.most_rate, u64::min);
        for (label, rate) in &limits.uplinks {
            self.with_uplinks(fleet, label, *rate);
        }
    }

    /// By host, which are in one cluster.
    pub(super) fn clusters(&self) -> &[u32] {
        &self.cluster_of
    }

    /// Of hosts of `fleet` whose label `label` is the same at most so many may be in one wave.
    #[must_use]
    pub fn share_of(&self, fleet: &Fleet, label: &str, most: usize) -> Share {
        let mut values: BTreeMap<&str, u32> = BTreeMap::new();
        let of = self.problem.hosts.iter().map(|host| {
            let name = HostName::new(host.name.clone()).ok()?;
            let value = fleet.hosts.get(&name)?.facts.labels.get(label)?;
            let next = u32::try_from(values.len()).unwrap_or(u32::MAX);
            Some(*values.entry(value).or_insert(next))
        });
        Share { most, of: of.collect() }
    }

    /// Hosts of `fleet` whose label `label` is the same share an uplink of this rate, in bytes per second in each direction. Only where times
    /// are planned.
    pub fn with_uplinks(&mut self, fleet: &Fleet, label: &str, rate: u64) {
        let Some(ways) = &mut self.ways else { return };
        let mut racks: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for (host, of) in self.problem.hosts.iter().zip(&mut ways.racks_of) {
            let Some(seen) = HostName::new(host.name.clone()).ok().and_then(|name| fleet.hosts.get(&name))
            else {
                continue;
            };
            let Some(value) = seen.facts.labels.get(label) else { continue };
            let next = u32::try_from(ways.racks.len() + racks.len()).unwrap_or(u32::MAX);
            of.push(*racks.entry((&seen.facts.cluster, value)).or_insert(next));
        }
        ways.racks.extend(vec![Way { rate, ..Way::FREE }; racks.len()]);
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
    /// What it uses there of each resource, which the host's row doesn't have any more.
    pub needs: Vec<u64>,
    /// Why.
    pub why: WhyBlocked,
}

/// What is held in a fleet beside the servers that are seen.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Servers that are shown where they are bound for: what their disks will take up there is not taken yet.
    pub coming: BTreeSet<ServerId>,
    /// Places of servers that the fleet doesn't show at all: imports.
    pub places: Vec<Reservation>,
}

/// A fleet as it is to be put into rows, or a part of it: for the most part as it was seen, so without a copy.
#[derive(Debug, Default)]
pub struct Shown<'a> {
    hosts: BTreeMap<&'a HostName, (&'a Seen, Open)>,
    /// Each where it counts.
    servers: BTreeMap<ServerId, Cow<'a, Observed>>,
}

impl<'a> Shown<'a> {
    /// A host, and whether anything may be placed on it.
    pub fn host(&mut self, host: &'a Seen, open: Open) {
        self.hosts.insert(&host.name, (host, open));
    }

    /// A server where it was seen. Of several sightings the one stays that counts.
    pub fn server(&mut self, server: &'a Observed) {
        self.counts(Cow::Borrowed(server));
    }

    /// A server as if it had been moved there.
    pub fn moved(&mut self, server: &'a Observed, to: &HostName) {
        self.counts(Cow::Owned(Observed { host: to.clone(), ..server.clone() }));
    }

    fn counts(&mut self, server: Cow<'a, Observed>) {
        match self.servers.entry(server.facts.id) {
            Entry::Vacant(none) => drop(none.insert(server)),
            Entry::Occupied(mut known) if counts_before(&server, known.get()) => drop(known.insert(server)),
            Entry::Occupied(_) => {}
        }
    }
}

/// Puts a fleet into rows: every server where it counts, by the policy in force for it.
#[must_use]
pub fn rows(fleet: &Fleet, policies: &PolicySet) -> Rows {
    rows_beside(fleet, policies, &Held::default())
}

/// The same, beside what is held for others.
#[must_use]
pub fn rows_beside(fleet: &Fleet, policies: &PolicySet, held: &Held) -> Rows {
    let mut shown = Shown::default();
    for host in fleet.hosts.values() {
        let open = match host.standing {
            Standing::Open => Open::Yes,
            Standing::Cordoned { .. } | Standing::Draining { .. } | Standing::Drained { .. } => Open::No,
        };
        shown.host(host, open);
    }
    fleet.sightings.values().flat_map(|seen| seen.values()).for_each(|server| shown.server(server));
    rows_of(fleet, &shown, policies, held)
}

/// What is shown of a fleet in rows, beside what is held for others.
#[must_use]
pub fn rows_of(fleet: &Fleet, shown: &Shown<'_>, policies: &PolicySet, held: &Held) -> Rows {
    let mut maker = Maker::new(fleet, shown, policies, held);
    for (id, server) in &shown.servers {
        maker.add(*id, server);
    }
    for place in &held.places {
        maker.hold(place);
    }
    maker.finish()
}

/// Several servers that stay together, as one.
struct Bundle<'a> {
    host: HostRow,
    needs: Vec<u64>,
    members: Vec<(ServerId, &'a str)>,
    sent: Sent,
    groups: BTreeSet<GroupRow>,
    reach: ReachRow,
}

/// What decides which hosts a server may use.
#[derive(PartialEq, Eq, Hash)]
struct Asks<'a> {
    machine: (&'a str, &'a str, &'a GuestCpu, Method),
    /// Where they are, and the directories of those that lie in one.
    disks: Vec<(&'a Reach, Option<&'a str>)>,
    same_labels: Vec<String>,
    labels: Vec<Option<String>>,
    /// Cluster, model and libvirt of the host that it is on.
    from: Option<(&'a str, &'a str, u64)>,
}

struct Maker<'a> {
    fleet: &'a Fleet,
    shown: &'a Shown<'a>,
    policies: &'a PolicySet,
    held: &'a Held,
    /// Resources that operators name and servers take some of.
    named: Vec<&'a str>,
    /// Directories in which servers have disks that only their hosts have, each a resource.
    directories: Vec<&'a Path>,
    hosts: Vec<Host>,
    rows: BTreeMap<&'a HostName, HostRow>,
    groups: BTreeMap<(Option<OwnerId>, String), GroupRow>,
    names: HashMap<&'a str, u32>,
    /// The row for what servers ask.
    reaches: HashMap<Asks<'a>, ReachRow>,
    reach_rows: Vec<Vec<bool>>,
    bundles: Vec<Bundle<'a>>,
    /// For each bundle, the names of its affinity groups.
    together: Vec<Vec<(Option<OwnerId>, String)>>,
    stays: Vec<Stays>,
}

impl<'a> Maker<'a> {
    fn new(fleet: &'a Fleet, shown: &'a Shown<'a>, policies: &'a PolicySet, held: &'a Held) -> Self {
        let (named, directories) = (named(shown, held), directories(shown));
        let host = |(host, open): &(&Seen, Open)| Host {
            name: host.name.to_string(),
            has: [
                host.facts.memory_bytes,
                vcpu_limit(host.facts.cpu_threads, policies.general()),
                host.facts.most_servers().unwrap_or(UNLIMITED),
            ]
            .into_iter()
            .chain(of_each(&named, &host.facts.resources))
            .chain(directories.iter().map(|directory| free_in(host, directory)))
            .collect(),
            open: *open,
        };
        let mut names = HashMap::with_capacity(shown.servers.len());
        for server in shown.servers.values() {
            *names.entry(server.facts.name.as_str()).or_default() += 1;
        }
        Self {
            fleet,
            shown,
            policies,
            held,
            hosts: shown.hosts.values().map(host).collect(),
            named,
            directories,
            rows: shown.hosts.keys().copied().zip((0_u32..).map(HostRow)).collect(),
            groups: BTreeMap::new(),
            names,
            reaches: HashMap::new(),
            reach_rows: Vec::new(),
            bundles: Vec::new(),
            together: Vec::new(),
            stays: Vec::new(),
        }
    }

    fn add(&mut self, id: ServerId, server: &'a Observed) {
        let Some(host) = self.rows.get(&server.host).copied() else { return };
        let policy = self.policies.shared_of(server, self.fleet);
        let facts = &server.facts;
        let mut needs = vec![memory_with_overhead(server, &policy.policy), u64::from(facts.vcpus), 1];
        needs.extend(of_each(&self.named, &facts.resources));
        let method = match suits(server, self.fleet, None, &policy.policy) {
            Suits::Live => Method::Live,
            Suits::Reboot(_) => Method::Reboot,
            Suits::Nothing(why) => {
                // What its disks take up is not free any more as it is.
                needs.resize(self.hosts[host.index()].has.len(), 0);
                self.take(host, &needs);
                let name = facts.name.clone();
                self.stays.push(Stays { server: id, name, host, needs, why });
                return;
            }
        };
        let disks = self.in_directories(&disk_room(server));
        if !self.held.coming.contains(&id) {
            // What is free on its host is so beside its disks.
            for (has, disks) in self.hosts[host.index()].has[needs.len()..].iter_mut().zip(&disks) {
                *has = has.saturating_add(*disks);
            }
        }
        needs.extend(disks);
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

    /// A place that is held: for nobody else.
    fn hold(&mut self, place: &Reservation) {
        let seen = self.shown.servers.get(&place.server).is_some_and(|server| server.host == place.host);
        let Some(host) = self.rows.get(&place.host).copied().filter(|_| !seen) else { return };
        let disks = self.in_directories(&place.disks);
        let named = of_each(&self.named, &place.resources);
        let needs: Vec<u64> =
            [place.memory_bytes, u64::from(place.vcpus), 1].into_iter().chain(named).chain(disks).collect();
        self.take(host, &needs);
    }

    /// So much of a host is not there for anybody.
    fn take(&mut self, host: HostRow, needs: &[u64]) {
        for (has, needs) in self.hosts[host.index()].has.iter_mut().zip(needs) {
            *has = if *has == UNLIMITED { UNLIMITED } else { has.saturating_sub(*needs) };
        }
    }

    /// Bytes by directory, of bytes by path.
    fn in_directories(&self, disks: &BTreeMap<PathBuf, u64>) -> Vec<u64> {
        let mut sums = vec![0_u64; self.directories.len()];
        for (path, bytes) in disks {
            let holding = self
                .directories
                .iter()
                .position(|directory| Some(*directory) == holding(path, &self.directories));
            if let Some(index) = holding {
                sums[index] = sums[index].saturating_add(*bytes);
            }
        }
        sums
    }

    fn group(&mut self, owner: Option<OwnerId>, name: String) -> GroupRow {
        let next = GroupRow(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        *self.groups.entry((owner, name)).or_insert(next)
    }

    /// Servers that ask the same of a host's machine share a row.
    fn reach(&mut self, wish: &Wish<'a>) -> ReachRow {
        let (facts, policy) = (&wish.server.facts, wish.policy());
        let source = self.shown.hosts.get(&wish.server.host).map(|(host, _)| &host.facts);
        let labels = policy.placement.same_labels.iter();
        let labels = labels.map(|label| source.and_then(|source| source.labels.get(label)).cloned());
        // Of a disk on shared storage any host with that storage will do; of a local one, one with its directory.
        let directory = |disk: &'a Disk| match disk.reach {
            Reach::Local => disk.source.rsplit_once('/').map(|(directory, _)| directory),
            Reach::Shared { .. } | Reach::Empty => None,
        };
        let disks: BTreeSet<_> = facts.disks.iter().map(|disk| (&disk.reach, directory(disk))).collect();
        let key = Asks {
            machine: (&facts.arch, &facts.machine_type, &facts.cpu, wish.method),
            disks: disks.into_iter().collect(),
            same_labels: policy.placement.same_labels.clone(),
            labels: labels.collect(),
            from: source
                .map(|source| (source.cluster.as_str(), source.cpu.model.as_str(), source.libvirt_version)),
        };
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
        self.reach_rows.push(self.shown.hosts.values().map(|(host, _)| may(host)).collect());
        self.reaches.insert(key, row);
        row
    }

    fn finish(self) -> Rows {
        let Self { shown, hosts, named, directories, reach_rows, bundles, together, stays, .. } = self;
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
        let problem = Problem { resources: resources(&named, &directories), hosts, servers: rows, reaches };
        Rows { problem, stays, servers, sent, ways: None, cluster_of: clusters(shown) }
    }
}

impl Bundle<'_> {
    fn join(&mut self, other: Self, reaches: &mut Vec<Vec<bool>>) {
        self.needs.iter_mut().zip(&other.needs).for_each(|(sum, needs)| *sum = sum.saturating_add(*needs));
        self.members.extend(other.members);
        self.groups.extend(other.groups);
        // One after the other.
        self.sent.bytes = self.sent.bytes.saturating_add(other.sent.bytes);
        self.sent.besides.0 = self.sent.besides.0.saturating_add(other.sent.besides.0);
        self.sent.besides_p90.0 = self.sent.besides_p90.0.saturating_add(other.sent.besides_p90.0);
        self.sent.reboots += other.sent.reboots;
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
            needs: self.needs,
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
            Sent { bytes: disks, besides: expected.downtime, besides_p90: expected.downtime_p90, reboots: 1 }
        }
    }
}

fn clusters(shown: &Shown<'_>) -> Vec<u32> {
    let mut rows: BTreeMap<&str, u32> = BTreeMap::new();
    let of = shown.hosts.values().map(|(host, _)| {
        let next = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        *rows.entry(&host.facts.cluster).or_insert(next)
    });
    of.collect()
}

/// Every directory of a host in which a server has a disk that only that host has.
fn directories<'a>(shown: &'a Shown<'_>) -> Vec<&'a Path> {
    let known: Vec<&Path> = shown
        .hosts
        .values()
        .filter_map(|(host, _)| host.facts.replication.as_ref())
        .flat_map(|replication| replication.directories.iter().map(|directory| directory.path.as_path()))
        .collect();
    let used = shown.servers.values().flat_map(|server| disk_room(server).into_keys());
    let used: BTreeSet<&Path> = used.filter_map(|path| holding(&path, &known)).collect();
    used.into_iter().collect()
}

/// The longest path is the directory's own file system, if one lies in another.
fn holding<'p>(path: &Path, directories: &[&'p Path]) -> Option<&'p Path> {
    let holding = directories.iter().filter(|directory| path.starts_with(directory));
    holding.copied().max_by_key(|directory| directory.as_os_str().len())
}

/// What is free for copies in a directory of a host; nothing where it has none like it.
fn free_in(host: &Seen, directory: &Path) -> u64 {
    let mut known = host.facts.replication.iter().flat_map(|replication| &replication.directories);
    known.find(|known| known.path == directory).map_or(0, |known| known.free_bytes)
}

/// Resources that operators name and of which somebody takes some.
fn named<'a>(shown: &'a Shown<'_>, held: &'a Held) -> Vec<&'a str> {
    let servers = shown.servers.values().map(|server| &server.facts.resources);
    let names = servers.chain(held.places.iter().map(|place| &place.resources)).flat_map(Resources::keys);
    let names: BTreeSet<&str> = names.map(String::as_str).filter(|name| *name != SERVERS).collect();
    names.into_iter().collect()
}

/// So much of each, none of what is not there.
fn of_each<'n>(named: &'n [&str], amounts: &'n Resources) -> impl Iterator<Item = u64> + 'n {
    named.iter().map(|name| amounts.get(*name).copied().unwrap_or(0).into())
}

fn resources(named: &[&str], directories: &[&Path]) -> Vec<Resource> {
    let weighted = |name: &str, weight| Resource { name: name.to_owned(), weight };
    // Room for disks has to be there, and so has what operators name; but an even use of it makes no host easier to empty.
    let named = named.iter().map(|name| weighted(name, 0.0));
    let storage =
        directories.iter().map(|directory| weighted(&format!("storage {}", directory.display()), 0.0));
    [weighted("memory", 1.0), weighted("vcpus", 1.0), weighted("servers", EVEN_NUMBER)]
        .into_iter()
        .chain(named)
        .chain(storage)
        .collect()
}

/// How much an even number of servers counts beside an even use of memory. Many small servers make a host as hard to empty as a few big
/// ones; and so does Ganeti's `hbal` weigh it, by whose score fleets are compared.
pub(super) const EVEN_NUMBER: f32 = 16.0;
