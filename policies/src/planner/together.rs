//! Which servers have to be placed as one, and in which order all are placed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Candidate;
use crate::ids::OwnerId;

/// Servers that share an affinity group, directly or through others, as one; all others alone. First those that stay together, since
/// they find a place hardest; then by memory and processors, the largest first; then by name.
pub(super) fn in_order(candidates: Vec<Candidate<'_>>) -> Vec<Vec<Candidate<'_>>> {
    let mut circles = Circles::new(candidates.len());
    let mut first_of: BTreeMap<(Option<OwnerId>, String), usize> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let facts = &candidate.wish.server.facts;
        for group in &facts.rules.affinity {
            let first = *first_of.entry((facts.owner.clone(), group.clone())).or_insert(index);
            circles.join(first, index);
        }
    }
    let mut groups: BTreeMap<usize, Vec<Candidate<'_>>> = BTreeMap::new();
    for (index, candidate) in candidates.into_iter().enumerate() {
        groups.entry(circles.root(index)).or_default().push(candidate);
    }
    let mut groups: Vec<Vec<Candidate<'_>>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by_cached_key(|candidate| {
            let facts = &candidate.wish.server.facts;
            (Reverse((facts.memory_bytes, facts.vcpus)), facts.name.clone(), facts.id)
        });
    }
    groups.sort_by_cached_key(|group| {
        let facts = || group.iter().map(|candidate| &candidate.wish.server.facts);
        let memory = facts().fold(0_u64, |sum, facts| sum.saturating_add(facts.memory_bytes));
        let vcpus: u64 = facts().map(|facts| u64::from(facts.vcpus)).sum();
        let first = facts().map(|facts| (facts.name.clone(), facts.id)).min();
        (group.len() == 1, Reverse((memory, vcpus)), first)
    });
    groups
}

/// Disjoint sets of indices, each known by one of its members.
pub(crate) struct Circles {
    parent: Vec<usize>,
}

impl Circles {
    pub(crate) fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    pub(crate) fn root(&mut self, mut index: usize) -> usize {
        while self.parent[index] != index {
            self.parent[index] = self.parent[self.parent[index]];
            index = self.parent[index];
        }
        index
    }

    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parent[one.max(other)] = one.min(other);
    }
}
