//! How many hosts may be in work beside others.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::super::counted::cluster_of;
use crate::fleet::Fleet;
use crate::ids::HostName;
use crate::maintenance::{Terms, label_of};

/// Hosts that are in work, as limits count them.
pub(in crate::conduct) struct Beside<'a> {
    terms: &'a Terms,
    fleet: &'a Fleet,
    hosts: BTreeSet<HostName>,
    clusters: HashMap<Option<&'a str>, usize>,
    /// By label and value.
    labels: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Beside<'a> {
    pub(in crate::conduct) fn new(terms: &'a Terms, fleet: &'a Fleet, hosts: &[&HostName]) -> Self {
        let mut beside =
            Self { terms, fleet, hosts: BTreeSet::new(), clusters: HashMap::new(), labels: BTreeMap::new() };
        for host in hosts {
            beside.take(host);
        }
        beside
    }

    pub(in crate::conduct) fn take(&mut self, host: &HostName) {
        if !self.hosts.insert(host.clone()) {
            return;
        }
        *self.clusters.entry(cluster_of(self.fleet, host)).or_default() += 1;
        for label in self.terms.per.keys() {
            if let Some(value) = label_of(self.fleet, host, label) {
                *self.labels.entry((label, value)).or_default() += 1;
            }
        }
    }

    /// Whether no further host may begin, whichever it is.
    pub(in crate::conduct) fn is_full(&self) -> bool {
        self.terms.hosts_at_once.is_some_and(|most| self.hosts.len() >= most.get() as usize)
    }

    /// Whether another host of a cluster may begin, as far as only that counts.
    pub(in crate::conduct) fn has_room_in(&self, cluster: &str) -> bool {
        let taken = || self.clusters.get(&Some(cluster)).copied().unwrap_or(0);
        self.terms.per_cluster.is_none_or(|most| taken() < most.get() as usize)
    }

    /// Whether a host may be in work beside the others.
    pub(in crate::conduct) fn has_room_for(&self, host: &HostName) -> bool {
        let itself = usize::from(self.hosts.contains(host));
        let few = |count: usize, most: u32| count - itself < most as usize;
        let at_once = self.terms.hosts_at_once.is_none_or(|most| few(self.hosts.len(), most.get()));
        let cluster = self.terms.per_cluster.is_none_or(|most| {
            let same = self.clusters.get(&cluster_of(self.fleet, host));
            few(same.copied().unwrap_or(0), most.get())
        });
        let labels = self.terms.per.iter().all(|(label, most)| match label_of(self.fleet, host, label) {
            None => true,
            Some(value) => {
                let same = self.labels.get(&(label.as_str(), value));
                few(same.copied().unwrap_or(0), most.get())
            }
        });
        at_once && cluster && labels
    }
}
