//! The working picture of all hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use hashbrown::HashMap;

use super::{
    Choice, NoPlace, Reservation, Score, WhyNotHere, Wish, memory_with_overhead, storage, suits, vcpu_limit,
};
use crate::fleet::{Fleet, Host, Resources, SERVERS, Server};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::policy::PolicySet;
use crate::time::{Instant, Span};

mod newcomer;

/// Memory in bytes and virtual processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    memory: u64,
    vcpus: u64,
}

impl Load {
    /// The larger of each. A server that is both seen on a host and held there is there once.
    fn most(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), vcpus: self.vcpus.max(other.vcpus) }
    }
}

/// A group of one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    owner: Option<OwnerId>,
    name: String,
}

fn groups(owner: Option<&OwnerId>, names: &BTreeSet<String>) -> BTreeSet<Group> {
    names.iter().map(|name| Group { owner: owner.cloned(), name: name.clone() }).collect()
}

/// One server on one host: seen there, held there for a migration, or both.
#[derive(Debug, Clone, Default)]
struct Tenant<'a> {
    seen: Option<Load>,
    held: Option<Load>,
    name: Option<&'a str>,
    anti_affinity: BTreeSet<Group>,
    affinity: BTreeSet<Group>,
    /// Held here for copies of its local disks.
    disks: BTreeMap<PathBuf, u64>,
    /// What it takes of resources that operators name, as it is seen here.
    resources: Resources,
    /// The same, as it is held here.
    held_resources: Resources,
}

impl Tenant<'_> {
    fn load(&self) -> Load {
        self.seen.unwrap_or_default().most(self.held.unwrap_or_default())
    }

    fn takes(&self, resource: &str) -> u64 {
        let of = |resources: &Resources| resources.get(resource).copied().unwrap_or(0);
        of(&self.resources).max(of(&self.held_resources)).into()
    }
}

/// One host with everything that counts there.
#[derive(Debug, Clone)]
struct Place<'a> {
    host: &'a Host,
    used: Load,
    tenants: BTreeMap<ServerId, Tenant<'a>>,
    anti_affinity: BTreeMap<Group, BTreeSet<ServerId>>,
}

impl<'a> Place<'a> {
    /// With those that are seen there.
    fn seen(host: &'a Host, fleet: &'a Fleet, policies: &PolicySet) -> Self {
        let mut place =
            Self { host, used: Load::default(), tenants: BTreeMap::new(), anti_affinity: BTreeMap::new() };
        for server in fleet.on(&host.name) {
            let policy = policies.shared_of(server, fleet);
            let load = load_of(server, memory_with_overhead(server, &policy.policy));
            let facts = &server.facts;
            place.change(facts.id, |tenant| {
                tenant.seen = Some(load);
                tenant.name = Some(&facts.name);
                tenant.anti_affinity.extend(groups(facts.owner.as_ref(), &facts.rules.anti_affinity));
                tenant.affinity.extend(groups(facts.owner.as_ref(), &facts.rules.affinity));
                tenant.resources.clone_from(&facts.resources);
            });
        }
        place
    }

    /// Changes what is known of one server here, and every figure that hangs on it.
    fn change(&mut self, server: ServerId, change: impl FnOnce(&mut Tenant<'a>)) {
        let mut tenant = self.tenants.remove(&server).unwrap_or_default();
        let before = tenant.load();
        for group in &tenant.anti_affinity {
            leave(&mut self.anti_affinity, group, server);
        }
        change(&mut tenant);
        let after = tenant.load();
        self.used.memory = (self.used.memory - before.memory).saturating_add(after.memory);
        self.used.vcpus = (self.used.vcpus - before.vcpus).saturating_add(after.vcpus);
        if tenant.seen.is_none() && tenant.held.is_none() {
            return;
        }
        for group in &tenant.anti_affinity {
            self.anti_affinity.entry(group.clone()).or_default().insert(server);
        }
        self.tenants.insert(server, tenant);
    }
}

/// Whether there is enough of each resource that operators name, beside what others take of it.
fn resources(server: &Server, place: &Place<'_>, others: u64) -> Result<(), WhyNotHere> {
    let lacks = |name: &str, needs, free| WhyNotHere::Resource { name: name.to_owned(), needs, free };
    if let Some(most) = place.host.facts.most_servers().filter(|most| others >= *most) {
        return Err(lacks(SERVERS, 1, most.saturating_sub(others)));
    }
    for (name, needs) in server.facts.resources.iter().filter(|(name, _)| *name != SERVERS) {
        let has = place.host.facts.resources.get(name).copied().unwrap_or(0);
        let tenants = place.tenants.iter().filter(|(id, _)| **id != server.facts.id);
        let taken = tenants.map(|(_, tenant)| tenant.takes(name));
        let free = taken.fold(u64::from(has), u64::saturating_sub);
        let needs = u64::from(*needs);
        if needs > free {
            return Err(lacks(name, needs, free));
        }
    }
    Ok(())
}

fn leave<K: Ord>(members: &mut BTreeMap<K, BTreeSet<ServerId>>, key: &K, server: ServerId) {
    if let Some(there) = members.get_mut(key) {
        there.remove(&server);
        if there.is_empty() {
            members.remove(key);
        }
    }
}

/// A host that is counted when it is first asked for: of a large fleet most never are.
#[derive(Debug, Clone)]
struct Lazy<'a> {
    host: &'a Host,
    place: OnceLock<Box<Place<'a>>>,
    /// What is held there, until it is counted.
    held: Vec<Reservation>,
}

impl<'a> Lazy<'a> {
    fn of(host: &'a Host) -> Self {
        Self { host, place: OnceLock::new(), held: Vec::new() }
    }
}

/// The working picture of all hosts: what each has, less what is there or held there.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    now: Instant,
    fleet: &'a Fleet,
    policies: &'a PolicySet,
    emptying: BTreeSet<HostName>,
    /// Taken only where there is no other: their own turn to be emptied is yet to come.
    spared: BTreeSet<HostName>,
    places: HashMap<&'a HostName, Lazy<'a>>,
    clusters: BTreeMap<&'a str, Vec<&'a HostName>>,
    /// Where the servers of each affinity group are seen or held.
    affinity: BTreeMap<Group, BTreeMap<ServerId, BTreeSet<&'a HostName>>>,
    /// Servers whose disks have been copied to a host: the room that they take there is not free any more.
    settled: BTreeSet<(ServerId, HostName)>,
    /// Of all servers that are seen, in bytes and never 0: a host of this many of them counts as full of servers.
    mean_memory: u64,
}

impl<'a> Room<'a> {
    /// Counts what is seen and what is held.
    ///
    /// `reservations` are those of all migrations that are not finished. One on a host of which nobody ever told is left out: there
    /// is nothing to count it against.
    #[must_use]
    pub fn new(
        fleet: &'a Fleet,
        reservations: &[Reservation],
        policies: &'a PolicySet,
        now: Instant,
    ) -> Self {
        let mut room = Self {
            now,
            fleet,
            policies,
            emptying: BTreeSet::new(),
            spared: BTreeSet::new(),
            places: fleet.hosts.iter().map(|(name, host)| (name, Lazy::of(host))).collect(),
            clusters: BTreeMap::new(),
            affinity: BTreeMap::new(),
            settled: BTreeSet::new(),
            mean_memory: 1,
        };
        let mut clusters: HashMap<&str, Vec<&HostName>> = HashMap::new();
        for (name, host) in &fleet.hosts {
            clusters.entry(&host.facts.cluster).or_default().push(name);
        }
        room.clusters.extend(clusters);
        for server in fleet.sightings.with_affinity() {
            let Some((&host, _)) = room.places.get_key_value(&server.host) else { continue };
            for group in groups(server.facts.owner.as_ref(), &server.facts.rules.affinity) {
                room.affinity.entry(group).or_default().entry(server.facts.id).or_default().insert(host);
            }
        }
        let (count, memory) = fleet.sightings.memory();
        let overhead = u128::from(count) * u128::from(policies.general().placement.memory_overhead);
        let mean = (memory + overhead) / u128::from(count.max(1));
        room.mean_memory = u64::try_from(mean).unwrap_or(u64::MAX).max(1);
        for reservation in reservations {
            room.reserve(reservation.clone());
        }
        room
    }

    /// Nothing goes to these hosts because they are to be emptied, whatever their standing says yet.
    #[must_use]
    pub fn emptying(mut self, hosts: &BTreeSet<HostName>) -> Self {
        self.emptying.extend(hosts.iter().cloned());
        self
    }

    /// Nothing goes to this host any more.
    pub fn empties(&mut self, host: &HostName) {
        self.emptying.insert(host.clone());
    }

    /// Whether nothing goes to this host because it is to be emptied.
    #[must_use]
    pub fn is_emptying(&self, host: &HostName) -> bool {
        self.emptying.contains(host)
    }

    /// Nothing goes to these hosts that can go elsewhere: they are to be emptied later, and it would have to move again.
    pub fn spares(&mut self, hosts: &BTreeSet<HostName>) {
        // As a rule it is the first such set, and a large one: copying it compares nothing.
        let known = std::mem::replace(&mut self.spared, hosts.clone());
        self.spared.extend(known);
    }

    /// The hosts of a cluster, in the order of their names.
    pub(crate) fn hosts_of(&self, cluster: &str) -> &[&'a HostName] {
        self.clusters.get(cluster).map_or(&[], Vec::as_slice)
    }

    /// A host with everything that counts there; nothing for one of which nobody ever told.
    fn place(&self, host: &HostName) -> Option<&Place<'a>> {
        let place = self.places.get(host)?;
        let counted = place.place.get_or_init(|| {
            let mut counted = Box::new(Place::seen(place.host, self.fleet, self.policies));
            for reservation in &place.held {
                self.hold(&mut counted, reservation.clone());
            }
            counted
        });
        Some(counted)
    }

    /// A host as it was observed: found here as soon among ten thousand as among ten.
    pub(crate) fn host(&self, host: &HostName) -> Option<&'a Host> {
        self.places.get(host).map(|place| place.host)
    }

    /// Holds what a reservation says, until [`Room::release`]. A server that is seen on that host already is not counted twice.
    pub fn reserve(&mut self, reservation: Reservation) {
        let Some((&host, lazy)) = self.places.get_key_value(&reservation.host) else { return };
        if lazy.place.get().is_none() && reservation.affinity.is_empty() {
            if let Some(lazy) = self.places.get_mut(host) {
                lazy.held.push(reservation);
            }
            return;
        }
        let Some(mut place) = self.take(host) else { return };
        let server = reservation.server;
        let before = affinity_of(&place, server);
        self.hold(&mut place, reservation);
        self.counted_again(host, place, (server, before));
    }

    fn hold(&self, place: &mut Place<'a>, reservation: Reservation) {
        let Reservation {
            server, owner, memory_bytes, vcpus, anti_affinity, affinity, disks, resources, ..
        } = reservation;
        // A reservation carries none.
        let name = || self.fleet.server(server).map(|seen| seen.facts.name.as_str());
        place.change(server, |tenant| {
            let load = Load { memory: memory_bytes, vcpus: u64::from(vcpus) };
            tenant.held = Some(tenant.held.unwrap_or_default().most(load));
            tenant.name = tenant.name.or_else(name);
            tenant.anti_affinity.extend(groups(owner.as_ref(), &anti_affinity));
            tenant.affinity.extend(groups(owner.as_ref(), &affinity));
            tenant.disks.extend(disks);
            for (name, amount) in resources {
                let held = tenant.held_resources.entry(name).or_default();
                *held = amount.max(*held);
            }
        });
    }

    /// The disks of a server have been copied to a host, or are there already: they need no further room.
    pub fn settle(&mut self, server: ServerId, host: &HostName) {
        self.settled.insert((server, host.clone()));
    }

    /// Gives up what is held for a server on a host. If the server is seen there, it goes on to count.
    pub fn release(&mut self, reservation: &Reservation) {
        let Some((&host, lazy)) = self.places.get_key_value(&reservation.host) else { return };
        let server = reservation.server;
        if lazy.place.get().is_none() {
            if let Some(lazy) = self.places.get_mut(host) {
                lazy.held.retain(|held| held.server != server);
            }
            return;
        }
        let Some(mut place) = self.take(host) else { return };
        let before = affinity_of(&place, server);
        place.change(server, |tenant| {
            tenant.held = None;
            tenant.disks.clear();
            tenant.held_resources.clear();
        });
        self.counted_again(host, place, (server, before));
    }

    /// A host's place, counted, to be changed and put back.
    fn take(&mut self, host: &HostName) -> Option<Box<Place<'a>>> {
        self.place(host)?;
        self.places.get_mut(host)?.place.take()
    }

    /// Puts it back, and notes where the server binds those that stay with it.
    fn counted_again(
        &mut self,
        host: &'a HostName,
        place: Box<Place<'a>>,
        (server, before): (ServerId, BTreeSet<Group>),
    ) {
        let after = affinity_of(&place, server);
        if let Some(lazy) = self.places.get_mut(host) {
            lazy.place = OnceLock::from(place);
        }
        for group in before.difference(&after) {
            if let Some(hosts) = self.affinity.get_mut(group).and_then(|members| members.get_mut(&server)) {
                hosts.remove(host);
            }
        }
        for group in after {
            self.affinity.entry(group).or_default().entry(server).or_default().insert(host);
        }
    }

    /// Where the other servers of an affinity group will be. Those on hosts that are being emptied, by whichever maintenance, bind
    /// nobody: they have to leave themselves.
    fn bound_to(&self, group: &Group, except: ServerId) -> BTreeSet<HostName> {
        let mut bound = BTreeSet::new();
        for (server, hosts) in self.affinity.get(group).into_iter().flatten() {
            if *server == except {
                continue;
            }
            let staying = || hosts.iter().copied().filter(|host| !self.is_left(host));
            let held = |host: &&HostName| {
                let tenant = self.place(host).and_then(|place| place.tenants.get(server));
                tenant.is_some_and(|tenant| tenant.held.is_some())
            };
            let before = bound.len();
            bound.extend(staying().filter(held).cloned());
            if bound.len() == before && !staying().any(|host| held(&host)) {
                bound.extend(staying().cloned());
            }
        }
        bound
    }

    /// Whether servers are leaving this host, so that nobody should follow them to it.
    fn is_left(&self, host: &HostName) -> bool {
        let draining = self.host(host).is_none_or(|host| match host.standing {
            Standing::Draining { .. } | Standing::Drained { .. } => true,
            Standing::Open | Standing::Cordoned { .. } => false,
        });
        draining || self.emptying.contains(host)
    }

    /// Whether a server can go to a host, and how full that host is with it.
    ///
    /// A server for which a place is held there is judged as if it were not: what is asked is whether that still holds.
    ///
    /// # Errors
    /// Says why not.
    pub fn judge(&self, server: &Server, host: &HostName) -> Result<Score, WhyNotHere> {
        self.judge_wish(&Wish::of(server, self.policies, self.fleet), host)
    }

    /// [`Room::judge`] for a server whose method is settled.
    ///
    /// # Errors
    /// Says why not.
    pub fn judge_wish(&self, wish: &Wish<'_>, host: &HostName) -> Result<Score, WhyNotHere> {
        let place = self.place(host).ok_or(WhyNotHere::Unknown)?;
        if wish.server.host == *host {
            return Err(WhyNotHere::Source);
        }
        let source = self.host(&wish.server.host).ok_or(WhyNotHere::SourceUnknown)?;
        if place.host.facts.cluster != source.facts.cluster {
            return Err(WhyNotHere::OtherCluster { cluster: place.host.facts.cluster.clone() });
        }
        if self.emptying.contains(host) {
            return Err(WhyNotHere::Emptied);
        }
        suits::machine(wish, &source.facts, &place.host.facts)?;
        self.company(wish, place)?;
        self.storage(wish, place)?;
        let score = self.capacity(wish, place)?;
        self.open(wish, place)?;
        Ok(score)
    }

    /// Who else is there, and who ought to be.
    fn company(&self, wish: &Wish<'_>, place: &Place<'_>) -> Result<(), WhyNotHere> {
        let facts = &wish.server.facts;
        let is_other = |server: &&ServerId| **server != facts.id;
        let others = place.tenants.iter().filter(|(server, _)| is_other(server));
        if others.map(|(_, tenant)| tenant.name).any(|name| name == Some(&facts.name)) {
            return Err(WhyNotHere::NameTaken { name: facts.name.clone() });
        }
        for group in groups(facts.owner.as_ref(), &facts.rules.affinity) {
            let at = self.bound_to(&group, facts.id);
            if !at.is_empty() && !at.contains(&place.host.name) {
                return Err(WhyNotHere::Affinity { group: group.name, at });
            }
        }
        for group in groups(facts.owner.as_ref(), &facts.rules.anti_affinity) {
            let there = place.anti_affinity.get(&group);
            if let Some(other) = there.and_then(|members| members.iter().find(is_other)) {
                let name = place.tenants.get(other).and_then(|tenant| tenant.name);
                let with = name.map_or_else(|| other.to_string(), ToOwned::to_owned);
                return Err(WhyNotHere::AntiAffinity { group: group.name, with });
            }
        }
        Ok(())
    }

    /// Directories and room for the copies of local disks.
    fn storage(&self, wish: &Wish<'_>, place: &Place<'_>) -> Result<(), WhyNotHere> {
        let needs = storage::needed(wish.server, wish.shape());
        if needs.is_empty() {
            return Ok(());
        }
        let host = &place.host.name;
        let settled = |server: ServerId| self.settled.contains(&(server, host.clone()));
        let others = place.tenants.iter().filter(|(server, tenant)| {
            **server != wish.server.facts.id && tenant.held.is_some() && !settled(**server)
        });
        let others = others.flat_map(|(_, tenant)| tenant.disks.iter());
        let settled_here = settled(wish.server.facts.id);
        let needs = storage::Needs { disks: &needs, settled: settled_here, method: wish.method };
        storage::fits(&needs, others, &place.host.facts)
    }

    fn capacity(&self, wish: &Wish<'_>, place: &Place<'_>) -> Result<Score, WhyNotHere> {
        let facts = &wish.server.facts;
        let needs = Load { memory: wish.memory(), vcpus: u64::from(wish.vcpus()) };
        let here = place.tenants.get(&facts.id);
        let own = here.map(Tenant::load).unwrap_or_default();
        let others = Load { memory: place.used.memory - own.memory, vcpus: place.used.vcpus - own.vcpus };
        let limit = Load {
            memory: place.host.facts.memory_bytes,
            vcpus: vcpu_limit(place.host.facts.cpu_threads, wish.policy()),
        };
        let free = Load {
            memory: limit.memory.saturating_sub(others.memory),
            vcpus: limit.vcpus.saturating_sub(others.vcpus),
        };
        if needs.vcpus > free.vcpus {
            return Err(WhyNotHere::Vcpus { needs: needs.vcpus, free: free.vcpus });
        }
        if needs.memory > free.memory {
            return Err(WhyNotHere::Memory { needs: needs.memory, free: free.memory });
        }
        let others_here = place.tenants.len() as u64 - u64::from(here.is_some());
        resources(wish.server, place, others_here)?;
        let count = others_here + 1;
        Ok(Score {
            memory: millionths(others.memory.saturating_add(needs.memory), limit.memory),
            vcpus: millionths(others.vcpus.saturating_add(needs.vcpus), limit.vcpus),
            count: millionths(count.saturating_mul(self.mean_memory), limit.memory),
        })
    }

    /// Whether the host takes servers just now.
    fn open(&self, wish: &Wish<'_>, place: &Place<'_>) -> Result<(), WhyNotHere> {
        if !place.host.standing.takes_servers() {
            return Err(WhyNotHere::NotOpen { standing: place.host.standing.to_string() });
        }
        let since = Span::between(place.host.observed_at, self.now);
        if since > wish.policy().agents.silent_after {
            return Err(WhyNotHere::Silent { since });
        }
        Ok(())
    }

    /// The best host for a server. Of two that are equally good, the first by name.
    ///
    /// `excluded` says why a host is left out: it refused this server a while ago, for example.
    ///
    /// # Errors
    /// Says of every host of the cluster why it can't take it.
    pub fn find(&self, server: &Server, excluded: &BTreeMap<HostName, String>) -> Result<Choice, NoPlace> {
        self.find_wish(&Wish::of(server, self.policies, self.fleet), excluded)
    }

    /// [`Room::find`] for a server whose method is settled.
    ///
    /// # Errors
    /// Says of every host of the cluster why it can't take it.
    pub fn find_wish(
        &self,
        wish: &Wish<'_>,
        excluded: &BTreeMap<HostName, String>,
    ) -> Result<Choice, NoPlace> {
        let judged = self.candidates(wish).map(|host| {
            let score = self.judge_wish(wish, host).and_then(|score| match excluded.get(host) {
                Some(why) => Err(WhyNotHere::Excluded { why: why.clone() }),
                None => Ok(score),
            });
            (host, score)
        });
        self.best(wish, judged.collect())
    }

    /// The best host for several servers that have to stay together. Nothing is held afterwards.
    ///
    /// # Errors
    /// Says of every host of the cluster which of the servers it can't take beside the others, and why.
    pub fn find_together(&mut self, wishes: &[Wish<'_>]) -> Result<Option<Choice>, NoPlace> {
        let Some((first, rest)) = wishes.split_first() else { return Ok(None) };
        if rest.is_empty() {
            return self.find_wish(first, &BTreeMap::new()).map(Some);
        }
        let candidates: Vec<&HostName> = self.candidates(first).collect();
        let judged = candidates.into_iter().map(|host| (host, self.judge_together(wishes, host))).collect();
        self.best(first, judged).map(Some)
    }

    fn judge_together(&mut self, wishes: &[Wish<'_>], host: &HostName) -> Result<Score, WhyNotHere> {
        let mut taken = Vec::new();
        let mut verdict = Err(WhyNotHere::Unknown);
        for wish in wishes {
            verdict = self.judge_wish(wish, host).map_err(|why| WhyNotHere::Together {
                servers: wishes.len(),
                server: wish.server.facts.name.clone(),
                why: Box::new(why),
            });
            if verdict.is_err() {
                break;
            }
            let place = Reservation::of(wish, host);
            self.reserve(place.clone());
            taken.push(place);
        }
        for place in &taken {
            self.release(place);
        }
        verdict
    }

    fn candidates(&self, wish: &Wish<'_>) -> impl Iterator<Item = &'a HostName> {
        let cluster = self.host(&wish.server.host).map(|host| host.facts.cluster.as_str());
        let hosts = cluster.and_then(|cluster| self.clusters.get(cluster));
        hosts.map(|hosts| hosts.to_vec()).unwrap_or_default().into_iter()
    }

    fn best(
        &self,
        wish: &Wish<'_>,
        judged: Vec<(&'a HostName, Result<Score, WhyNotHere>)>,
    ) -> Result<Choice, NoPlace> {
        let fitting = judged.iter().filter(|(_, verdict)| verdict.is_ok()).count();
        let judged_well = judged
            .iter()
            .filter_map(|(host, verdict)| Some((self.spared.contains(*host), verdict.as_ref().ok()?, *host)));
        if let Some((spared, score, host)) = judged_well.min() {
            let why = match (self.joins(wish, host), fitting) {
                (Some(group), _) => format!("joins its affinity group {group} there: {score}"),
                (None, _) if spared => {
                    format!("no host can take it but such as are to be emptied themselves: {score}")
                }
                (None, 1) => format!("the only host that can take it: {score}"),
                (None, _) => format!("most room left of {fitting}: {score}"),
            };
            return Ok(Choice { host: host.clone(), score: *score, why });
        }
        let source = self.host(&wish.server.host);
        Err(NoPlace {
            cluster: source.map(|host| host.facts.cluster.clone()).unwrap_or_default(),
            hosts: judged
                .into_iter()
                .filter_map(|(host, verdict)| Some((host.clone(), verdict.err()?)))
                .collect(),
        })
    }

    /// The affinity group that binds a server to this host, if one does.
    fn joins(&self, wish: &Wish<'_>, host: &HostName) -> Option<String> {
        let facts = &wish.server.facts;
        let mine = groups(facts.owner.as_ref(), &facts.rules.affinity);
        mine.into_iter().find(|group| self.bound_to(group, facts.id).contains(host)).map(|group| group.name)
    }
}

fn affinity_of(place: &Place<'_>, server: ServerId) -> BTreeSet<Group> {
    place.tenants.get(&server).map(|tenant| tenant.affinity.clone()).unwrap_or_default()
}

fn load_of(server: &Server, memory: u64) -> Load {
    Load { memory, vcpus: u64::from(server.facts.vcpus) }
}

/// The part that is used, in millionths. A host that has none of a thing is full of it.
fn millionths(used: u64, of: u64) -> u64 {
    if of == 0 {
        return 1_000_000;
    }
    u64::try_from(u128::from(used) * 1_000_000 / u128::from(of)).unwrap_or(u64::MAX)
}
