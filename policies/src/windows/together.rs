//! Times for many at once. Whoever takes the first that is free may take the only one that another could have had; so where that leaves somebody
//! without a time, all who still wait for theirs are looked at together.
//!
//! Of each group that shares anything first everybody gets the first free time, in order. If somebody gets none, all ways are tried, beginning with
//! whoever has the fewest, up to a bound; and where that finds no way for all, whoever has none takes another's time as long as that one finds
//! another in turn.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::Slot;
use crate::planner::Circles;

/// Looks at a time for somebody, so that the answer does not depend on the machine's speed.
const LOOKS: usize = 4_000_000;

/// So many at the most make way for one, each for the one before.
const CHAIN: usize = 6;

/// Somebody who needs a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeker {
    /// The times that would do, the best first.
    pub may: Vec<Slot>,
    /// What it uses then.
    pub uses: Vec<Use>,
}

/// Something is used by somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// What, by its place among the gates.
    pub gate: usize,
    /// With itself at most so many at once; nothing for one that counts but does not mind.
    pub most: Option<u32>,
}

/// Something of which only so much may go on at once: a host, an owner's servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// Times that are promised to others.
    pub taken: Vec<Slot>,
}

/// A time for each, or for as many as were found; nothing for those that have none.
#[must_use]
pub fn assign(seekers: &[Seeker], gates: &[Gate]) -> Vec<Option<Slot>> {
    let mut circles = Circles::new(seekers.len());
    let mut first_at: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, seeker) in seekers.iter().enumerate() {
        for using in &seeker.uses {
            let first = *first_at.entry(using.gate).or_insert(index);
            circles.join(first, index);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..seekers.len() {
        groups.entry(circles.root(index)).or_default().push(index);
    }
    let mut table = Table::new(seekers, gates);
    for group in groups.into_values() {
        table.settle(&group);
    }
    table.at
}

struct Table<'a> {
    seekers: &'a [Seeker],
    gates: &'a [Gate],
    at: Vec<Option<Slot>>,
    /// By gate, who uses it.
    users: Vec<Vec<usize>>,
    looks: Cell<usize>,
}

impl<'a> Table<'a> {
    fn new(seekers: &'a [Seeker], gates: &'a [Gate]) -> Self {
        let mut users = vec![Vec::new(); gates.len()];
        for (index, seeker) in seekers.iter().enumerate() {
            for using in &seeker.uses {
                users[using.gate].push(index);
            }
        }
        Self { seekers, gates, at: vec![None; seekers.len()], users, looks: Cell::new(0) }
    }

    fn settle(&mut self, group: &[usize]) {
        self.looks.set(0);
        for seeker in group {
            let mut may = self.seekers[*seeker].may.iter().copied();
            self.at[*seeker] = may.find(|slot| !self.has_looked_enough() && self.fits(*seeker, *slot));
        }
        if group.iter().all(|seeker| self.at[*seeker].is_some()) {
            return;
        }
        let first_come: Vec<Option<Slot>> = group.iter().map(|seeker| self.at[*seeker]).collect();
        self.clear(group);
        self.looks.set(0);
        if self.all_ways(&mut group.to_vec()) {
            return;
        }
        self.clear(group);
        for (seeker, slot) in group.iter().zip(first_come) {
            self.at[*seeker] = slot;
        }
        self.looks.set(0);
        for seeker in group.iter().filter(|seeker| !self.seekers[**seeker].may.is_empty()) {
            if self.at[*seeker].is_none() {
                self.displace(*seeker, CHAIN, &mut BTreeSet::new());
            }
        }
    }

    fn clear(&mut self, group: &[usize]) {
        for seeker in group {
            self.at[*seeker] = None;
        }
    }

    /// Whoever has the fewest times left is settled next; it is gone back where that leaves somebody with none.
    fn all_ways(&mut self, left: &mut Vec<usize>) -> bool {
        let mut next: Option<(usize, Vec<Slot>)> = None;
        for (place, seeker) in left.iter().enumerate() {
            let may = self.seekers[*seeker].may.iter().copied();
            let open: Vec<Slot> = may.filter(|slot| self.fits(*seeker, *slot)).collect();
            if next.as_ref().is_none_or(|(_, fewest)| open.len() < fewest.len()) {
                next = Some((place, open));
            }
        }
        let Some((place, open)) = next else { return true };
        let seeker = left.swap_remove(place);
        for slot in open {
            if self.has_looked_enough() {
                break;
            }
            self.at[seeker] = Some(slot);
            if self.all_ways(left) {
                return true;
            }
        }
        self.at[seeker] = None;
        left.push(seeker);
        let end = left.len() - 1;
        left.swap(place, end);
        false
    }

    /// Takes a time from those that have it, if each of them finds another.
    fn displace(&mut self, seeker: usize, chain: usize, settled: &mut BTreeSet<usize>) -> bool {
        settled.insert(seeker);
        for slot in self.seekers[seeker].may.clone() {
            if self.has_looked_enough() {
                break;
            }
            if self.fits(seeker, slot) {
                self.at[seeker] = Some(slot);
                return true;
            }
            let others = self.in_the_way(seeker, slot);
            if chain == 0 || others.is_empty() || others.iter().any(|other| settled.contains(other)) {
                continue;
            }
            let before: Vec<(usize, Option<Slot>)> = self.at.iter().copied().enumerate().collect();
            let known = settled.clone();
            self.clear(&others);
            if self.fits(seeker, slot) {
                self.at[seeker] = Some(slot);
                if others.iter().all(|other| self.displace(*other, chain - 1, settled)) {
                    return true;
                }
            }
            for (index, slot) in before {
                self.at[index] = slot;
            }
            *settled = known;
        }
        settled.remove(&seeker);
        false
    }

    fn in_the_way(&self, seeker: usize, slot: Slot) -> Vec<usize> {
        let gates = self.seekers[seeker].uses.iter().map(|using| using.gate);
        let users = gates.flat_map(|gate| self.users[gate].iter().copied());
        let others: BTreeSet<usize> = users
            .filter(|other| *other != seeker && self.at[*other].is_some_and(|at| at.overlaps(slot)))
            .collect();
        others.into_iter().collect()
    }

    fn has_looked_enough(&self) -> bool {
        self.looks.get() > LOOKS
    }

    /// Whether a time is free for somebody, and leaves everybody else as many at once as they want at the most.
    fn fits(&self, seeker: usize, slot: Slot) -> bool {
        self.seekers[seeker].uses.iter().all(|using| {
            let gate = &self.gates[using.gate];
            self.looks.set(self.looks.get() + 1 + gate.taken.len() + self.users[using.gate].len());
            let taken = gate.taken.iter().map(|slot| (*slot, None));
            let settled = self.users[using.gate].iter().filter(|other| **other != seeker);
            let settled = settled.filter_map(|other| Some((self.at[*other]?, self.most(*other, using.gate))));
            let beside: Vec<(Slot, Option<u32>)> =
                taken.chain(settled).filter(|(other, _)| other.overlaps(slot)).collect();
            // As many at once as at any moment are so at a moment at which one of them begins.
            let moments = beside.iter().map(|(other, _)| other.start.max(slot.start)).chain([slot.start]);
            moments.into_iter().all(|moment| {
                let then = || beside.iter().filter(|(other, _)| other.contains(moment));
                let count = 1 + then().count();
                let most = then().filter_map(|(_, most)| *most).chain(using.most).min();
                most.is_none_or(|most| count <= most as usize)
            })
        })
    }

    fn most(&self, seeker: usize, gate: usize) -> Option<u32> {
        self.seekers[seeker].uses.iter().find(|using| using.gate == gate)?.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Span;

    fn slot(from: u64, length: u64) -> Slot {
        let midnight = chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("a time");
        Slot::from_start(midnight + Span::minutes(from).delta(), Span::minutes(length))
    }

    fn seeker(may: &[Slot], uses: &[usize]) -> Seeker {
        let uses = uses.iter().map(|gate| Use { gate: *gate, most: Some(1) }).collect();
        Seeker { may: may.to_vec(), uses }
    }

    #[test]
    fn the_only_time_of_one_is_left_to_him() {
        let both = [slot(0, 10), slot(10, 10)];
        let seekers = [seeker(&both, &[0]), seeker(&both[..1], &[0])];
        assert_eq!(assign(&seekers, &[Gate::default()]), [Some(both[1]), Some(both[0])]);
    }

    #[test]
    fn who_comes_first_has_the_first_time_where_all_have_one() {
        let both = [slot(0, 10), slot(10, 10)];
        let seekers = [seeker(&both, &[0]), seeker(&both, &[0])];
        assert_eq!(assign(&seekers, &[Gate::default()]), [Some(both[0]), Some(both[1])]);
    }

    #[test]
    fn what_is_promised_to_others_stays_theirs() {
        let both = [slot(0, 10), slot(10, 10)];
        let gate = Gate { taken: vec![slot(5, 5)] };
        assert_eq!(assign(&[seeker(&both, &[0])], &[gate]), [Some(both[1])]);
    }

    #[test]
    fn as_many_as_can_have_a_time_where_not_all_can() {
        let both = [slot(0, 10), slot(10, 10)];
        let seekers = [seeker(&both, &[0]), seeker(&both[..1], &[0]), seeker(&both[..1], &[0])];
        let found = assign(&seekers, &[Gate::default()]);
        assert_eq!(found.iter().flatten().count(), 2, "{found:?}");
    }

    #[test]
    fn one_who_counts_but_does_not_mind_is_in_the_way_of_one_who_does() {
        let both = [slot(0, 10), slot(10, 10)];
        let counts = Seeker { may: both[..1].to_vec(), uses: vec![Use { gate: 0, most: None }] };
        assert_eq!(
            assign(&[counts, seeker(&both, &[0])], &[Gate::default()]),
            [Some(both[0]), Some(both[1])]
        );
    }

    /// Minute by minute, with nothing in common with what assigns.
    fn is_kept(seekers: &[Seeker], gates: &[Gate], found: &[Option<Slot>]) -> bool {
        (0..60).all(|minute| {
            let moment = slot(minute, 1).start;
            (0..gates.len()).all(|gate| {
                let of = |(seeker, at): (&Seeker, &Option<Slot>)| {
                    let using = seeker.uses.iter().find(|using| using.gate == gate)?;
                    at.filter(|at| at.contains(moment)).map(|_| using.most)
                };
                let there: Vec<Option<u32>> = seekers.iter().zip(found).filter_map(of).collect();
                let others = gates[gate].taken.iter().filter(|taken| taken.contains(moment)).count();
                there.iter().flatten().all(|most| there.len() + others <= *most as usize)
            })
        })
    }

    fn brute_force(seekers: &[Seeker], gates: &[Gate], found: &mut Vec<Option<Slot>>) -> bool {
        match seekers.get(found.len()) {
            None => is_kept(seekers, gates, found),
            Some(seeker) => seeker.may.iter().any(|slot| {
                found.push(Some(*slot));
                let all = brute_force(seekers, gates, found);
                found.pop();
                all
            }),
        }
    }

    fn some_seekers() -> impl Strategy<Value = Vec<Seeker>> {
        let may = prop::collection::vec((0..6_u64, 1..3_u64), 1..5);
        let uses = prop::collection::btree_map(0..3_usize, prop::option::weighted(0.9, 1..3_u32), 1..3);
        let one = (may, uses).prop_map(|(may, uses)| Seeker {
            may: may.into_iter().map(|(start, length)| slot(start * 5, length * 5)).collect(),
            uses: uses.into_iter().map(|(gate, most)| Use { gate, most }).collect(),
        });
        prop::collection::vec(one, 1..7)
    }

    proptest! {
        #[test]
        fn whenever_all_can_have_a_time_all_get_one(
            seekers in some_seekers(), taken in prop::collection::vec((0..3_usize, 0..6_u64), 0..3)
        ) {
            let mut gates = vec![Gate::default(); 3];
            for (gate, start) in taken {
                gates[gate].taken.push(slot(start * 5, 5));
            }
            let found = assign(&seekers, &gates);
            prop_assert!(is_kept(&seekers, &gates, &found), "{found:?}");
            let theirs = found.iter().zip(&seekers).all(|(at, seeker)| at.is_none_or(|at| seeker.may.contains(&at)));
            prop_assert!(theirs, "everybody has one of his own times");
            if brute_force(&seekers, &gates, &mut Vec::new()) {
                prop_assert!(found.iter().all(Option::is_some), "{found:?}");
            }
        }
    }
}
