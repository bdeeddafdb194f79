//! Where servers are seen, and what is asked of all of them at once.
//!
//! Every look of the conductor asks where a server is, and whether anything of the fleet is another than before. So that this costs the same
//! whether there are a hundred servers or two hundred thousand, the answers are kept beside the sightings: made when they are first asked for,
//! carried on by [`Sightings::see`], [`Sightings::leaves`] and [`Sightings::tells`], and thrown away by any other change.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{Server, weight};
use crate::ids::{HostName, ServerId};

type ByHost = BTreeMap<HostName, OnHost>;

/// The servers that are seen on each host. A copy shares what neither it nor the original changes, host by host: one is taken whenever
/// somebody still looks at the fleet while an agent tells.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    by_host: ByHost,
    /// Only ever what making it again would give.
    index: OnceLock<Arc<Index>>,
}

/// The servers that are seen on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "BTreeMap<ServerId, Server>")]
pub struct OnHost(Arc<BTreeMap<ServerId, Server>>);

impl From<BTreeMap<ServerId, Server>> for OnHost {
    fn from(servers: BTreeMap<ServerId, Server>) -> Self {
        Self(Arc::new(servers))
    }
}

impl Deref for OnHost {
    type Target = BTreeMap<ServerId, Server>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for OnHost {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

#[derive(Debug, Clone, Default)]
struct Index {
    /// In the order of their names.
    hosts_of: HashMap<ServerId, Vec<HostName>>,
    /// Sightings, and their memory together.
    count: u64,
    memory: u128,
    /// Sums, so that the order does not matter and each part can be taken out again.
    facts: u64,
    /// By host.
    places: HashMap<HostName, u64>,
    with_affinity: BTreeSet<ServerId>,
}

impl Sightings {
    /// A server is seen where it says.
    pub fn see(&mut self, server: Server) {
        let (id, host) = (server.facts.id, server.host.clone());
        self.changing(&host, &[id], |by_host| {
            by_host.entry(server.host.clone()).or_default().insert(id, server);
        });
    }

    /// A server is not seen on a host any more.
    pub fn leaves(&mut self, host: &HostName, server: ServerId) -> Option<Server> {
        let mut left = None;
        self.changing(host, &[server], |by_host| {
            left = by_host.get_mut(host).and_then(|servers| servers.remove(&server));
        });
        left
    }

    /// All that is seen on a host, in place of what was.
    pub fn tells(&mut self, host: &HostName, servers: BTreeMap<ServerId, Server>) {
        let before = self.by_host.get(host).into_iter().flat_map(|seen| seen.keys());
        let touched: BTreeSet<ServerId> = before.chain(servers.keys()).copied().collect();
        let touched: Vec<ServerId> = touched.into_iter().collect();
        self.changing(host, &touched, |by_host| {
            by_host.insert(host.clone(), servers.into());
        });
    }

    /// Every sighting of one server, in the order of the hosts' names.
    pub(super) fn of(&self, server: ServerId) -> impl Iterator<Item = &Server> {
        let hosts = self.index().hosts_of.get(&server).into_iter().flatten();
        hosts.filter_map(move |host| self.by_host.get(host)?.get(&server))
    }

    pub(super) fn that_counts(&self, server: ServerId) -> Option<&Server> {
        self.of(server).min_by_key(|seen| weight(seen))
    }

    /// How many servers there are.
    pub(crate) fn servers(&self) -> usize {
        self.index().hosts_of.len()
    }

    /// How many times servers are seen, and the memory of all these.
    pub(crate) fn memory(&self) -> (u64, u128) {
        (self.index().count, self.index().memory)
    }

    /// A digest of what waves are made of: each server's size, wherever it is.
    pub(crate) fn digest_of_facts(&self) -> u64 {
        self.index().facts
    }

    /// A digest of which servers are on a host: the sum of [`at`] over what is seen there.
    pub(crate) fn digest_of(&self, host: &HostName) -> u64 {
        self.index().places.get(host).copied().unwrap_or(0)
    }

    /// Servers that are to stay with others.
    pub(crate) fn with_affinity(&self) -> impl Iterator<Item = &Server> {
        self.index().with_affinity.iter().flat_map(|server| self.of(*server))
    }

    /// Changes what is seen on a host, of these servers and no others.
    fn changing(&mut self, host: &HostName, servers: &[ServerId], change: impl FnOnce(&mut ByHost)) {
        let Some(mut shared) = self.index.take() else { return change(&mut self.by_host) };
        let index = Arc::make_mut(&mut shared);
        let before: Vec<Vec<HostName>> =
            servers.iter().map(|server| index.without(*server, &self.by_host)).collect();
        change(&mut self.by_host);
        for (server, mut hosts) in servers.iter().zip(before) {
            if let Err(place) = hosts.binary_search(host) {
                hosts.insert(place, host.clone());
            }
            hosts.retain(|host| self.by_host.get(host).is_some_and(|seen| seen.contains_key(server)));
            index.with(*server, hosts, &self.by_host);
        }
        self.index = OnceLock::from(shared);
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut hosts_of: HashMap<ServerId, Vec<HostName>> = HashMap::new();
            for (host, servers) in &self.by_host {
                for server in servers.keys() {
                    hosts_of.entry(*server).or_default().push(host.clone());
                }
            }
            let mut index = Index::default();
            for (server, hosts) in hosts_of {
                index.with(server, hosts, &self.by_host);
            }
            Arc::new(index)
        })
    }
}

impl Index {
    /// Counts a server in, which is seen on these hosts.
    fn with(&mut self, server: ServerId, hosts: Vec<HostName>, by_host: &ByHost) {
        let sum = Sum::of(server, &hosts, by_host);
        self.count += sum.count;
        self.memory += sum.memory;
        self.facts = self.facts.wrapping_add(sum.facts);
        self.add(server, &hosts, u64::wrapping_add);
        if sum.stays_with_others {
            self.with_affinity.insert(server);
        }
        if !hosts.is_empty() {
            self.hosts_of.insert(server, hosts);
        }
    }

    /// Takes a server out, and answers with the hosts on which it was seen.
    fn without(&mut self, server: ServerId, by_host: &ByHost) -> Vec<HostName> {
        let hosts = self.hosts_of.remove(&server).unwrap_or_default();
        let sum = Sum::of(server, &hosts, by_host);
        self.count -= sum.count;
        self.memory -= sum.memory;
        self.facts = self.facts.wrapping_sub(sum.facts);
        self.add(server, &hosts, u64::wrapping_sub);
        self.with_affinity.remove(&server);
        hosts
    }

    fn add(&mut self, server: ServerId, hosts: &[HostName], add: impl Fn(u64, u64) -> u64) {
        for host in hosts {
            match self.places.get_mut(host) {
                Some(places) => *places = add(*places, at(host, server)),
                None => drop(self.places.insert(host.clone(), add(0, at(host, server)))),
            }
        }
    }
}

/// What one server adds.
struct Sum {
    count: u64,
    memory: u128,
    facts: u64,
    stays_with_others: bool,
}

impl Sum {
    fn of(server: ServerId, hosts: &[HostName], by_host: &ByHost) -> Self {
        let seen = || hosts.iter().filter_map(|host| by_host.get(host)?.get(&server));
        Self {
            count: hosts.len() as u64,
            memory: seen().map(|seen| u128::from(seen.facts.memory_bytes)).sum(),
            facts: seen().min_by_key(|seen| weight(seen)).map_or(0, |seen| {
                let facts = &seen.facts;
                let most = digest(&(server, facts.memory_bytes, facts.vcpus, facts.blockers.is_empty()));
                // Most take none, and what was worked out of them before is still right.
                if facts.resources.is_empty() { most } else { digest(&(most, &facts.resources)) }
            }),
            stays_with_others: seen().any(|seen| !seen.facts.rules.affinity.is_empty()),
        }
    }
}

/// What a server on a host adds to [`Sightings::digest_of`].
pub(crate) fn at(host: &HostName, server: ServerId) -> u64 {
    digest(&(host, server))
}

fn digest(of: &impl Hash) -> u64 {
    let mut digest = DefaultHasher::new();
    of.hash(&mut digest);
    digest.finish()
}

impl Deref for Sightings {
    type Target = ByHost;

    fn deref(&self) -> &ByHost {
        &self.by_host
    }
}

impl DerefMut for Sightings {
    fn deref_mut(&mut self) -> &mut ByHost {
        self.index.take();
        &mut self.by_host
    }
}

impl PartialEq for Sightings {
    fn eq(&self, other: &Self) -> bool {
        self.by_host == other.by_host
    }
}

impl Eq for Sightings {}

impl<'a> IntoIterator for &'a Sightings {
    type Item = (&'a HostName, &'a OnHost);
    type IntoIter = std::collections::btree_map::Iter<'a, HostName, OnHost>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_host.iter()
    }
}

impl FromIterator<(HostName, BTreeMap<ServerId, Server>)> for Sightings {
    fn from_iter<I: IntoIterator<Item = (HostName, BTreeMap<ServerId, Server>)>>(of: I) -> Self {
        let by_host = of.into_iter().map(|(host, servers)| (host, servers.into())).collect();
        Self { by_host, index: OnceLock::new() }
    }
}

impl Serialize for OnHost {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(to)
    }
}

impl Serialize for Sightings {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.by_host.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Sightings {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { by_host: ByHost::deserialize(from)?, index: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::Power;
    use crate::samples::NOON;
    use crate::samples::{host_name, server_facts, server_id};

    const POWERS: [Power; 4] = [Power::Running, Power::Off, Power::Arriving, Power::Paused];

    fn server(host: usize, id: u8, memory: u64, power: usize) -> Server {
        let mut facts = server_facts(server_id(u128::from(id)), "a");
        (facts.memory_bytes, facts.power) = (memory, POWERS[power]);
        if memory == 3 {
            facts.rules.affinity.insert("pair".to_owned());
        }
        Server { host: host_name(&format!("h{host}")), facts, observed_at: NOON }
    }

    fn all(sightings: &Sightings) -> impl PartialEq + std::fmt::Debug {
        let index = sightings.index();
        let hosts: BTreeMap<ServerId, Vec<HostName>> = index.hosts_of.clone().into_iter().collect();
        let places: BTreeMap<HostName, u64> = index
            .places
            .iter()
            .filter(|(_, places)| **places != 0)
            .map(|(host, places)| (host.clone(), *places))
            .collect();
        (hosts, index.count, index.memory, index.facts, places, index.with_affinity.clone())
    }

    proptest! {
        #[test]
        fn what_is_carried_on_is_what_making_it_anew_would_give(
            steps in prop::collection::vec((0_u8..4, 0_usize..3, 0_u8..5, 1_u64..4, 0_usize..4), 1..30)
        ) {
            let mut sightings = Sightings::default();
            prop_assert_eq!(sightings.servers(), 0);
            for (what, host, id, memory, power) in steps {
                let seen = server(host, id, memory, power);
                match what {
                    0 | 1 => sightings.see(seen),
                    2 => drop(sightings.leaves(&seen.host, seen.facts.id)),
                    _ => {
                        let beside = server(host, id + 1, memory, 0);
                        let servers = [seen.clone(), beside].map(|server| (server.facts.id, server));
                        sightings.tells(&seen.host, servers.into());
                    }
                }
                let anew = Sightings { by_host: sightings.by_host.clone(), index: OnceLock::new() };
                prop_assert_eq!(all(&sightings), all(&anew));
            }
        }
    }

    #[test]
    fn any_other_change_is_seen_as_well() {
        let mut sightings = Sightings::default();
        sightings.see(server(1, 1, 2, 0));
        let before = sightings.digest_of_facts();
        for seen in sightings.get_mut(&host_name("h1")).expect("it is seen there").values_mut() {
            seen.facts.memory_bytes = 1;
        }
        assert_ne!(sightings.digest_of_facts(), before);
        assert_eq!(sightings.memory(), (1, 1));
    }
}
