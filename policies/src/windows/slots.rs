//! Sets of moments, as ordered stretches of time.

use serde::{Deserialize, Serialize};

use super::Slot;

/// A set of moments: stretches that neither overlap nor touch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Slot>", into = "Vec<Slot>")]
pub struct Slots(Vec<Slot>);

impl Slots {
    /// No moment at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The stretches, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Slot] {
        &self.0
    }

    /// The stretches, in order.
    #[must_use]
    pub fn into_vec(self) -> Vec<Slot> {
        self.0
    }

    /// Whether it has no moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the whole of `slot` is in it. An empty slot has nothing that could be missing.
    #[must_use]
    pub fn covers(&self, slot: Slot) -> bool {
        slot.is_empty() || self.0.iter().any(|mine| mine.start <= slot.start && slot.end <= mine.end)
    }

    /// The first stretch that has a moment in common with `slot`. By halving: a calendar may have very many.
    #[must_use]
    pub fn touching(&self, slot: Slot) -> Option<Slot> {
        let first = self.0.partition_point(|mine| mine.end <= slot.start);
        self.0.get(first).copied().filter(|mine| mine.overlaps(slot))
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut others = other.0.iter().peekable();
        for slot in &self.0 {
            let mut start = slot.start;
            while others.next_if(|gone| gone.end <= start).is_some() {}
            // The last one that overlaps may reach into the next slot, so it is looked at and kept.
            let mut ahead = others.clone();
            while let Some(gone) = ahead.next_if(|gone| gone.start < slot.end) {
                left.push(Slot { start, end: gone.start });
                start = gone.end;
            }
            left.push(Slot { start, end: slot.end });
        }
        left.retain(|slot| !slot.is_empty());
        Self(left)
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            both.push(Slot { start: a.start.max(b.start), end: a.end.min(b.end) });
            if a.end <= b.end {
                mine.next()
            } else {
                theirs.next()
            };
        }
        both.retain(|slot| !slot.is_empty());
        Self(both)
    }
}

impl FromIterator<Slot> for Slots {
    /// Takes slots in any order; those that overlap or touch become one, empty ones are dropped.
    fn from_iter<T: IntoIterator<Item = Slot>>(slots: T) -> Self {
        let mut ordered: Vec<Slot> = slots.into_iter().filter(|slot| !slot.is_empty()).collect();
        ordered.sort_unstable();
        let mut merged: Vec<Slot> = Vec::with_capacity(ordered.len());
        for slot in ordered {
            match merged.last_mut() {
                Some(last) if slot.start <= last.end => last.end = last.end.max(slot.end),
                Some(_) | None => merged.push(slot),
            }
        }
        Self(merged)
    }
}

impl From<Vec<Slot>> for Slots {
    fn from(slots: Vec<Slot>) -> Self {
        slots.into_iter().collect()
    }
}

impl From<Slots> for Vec<Slot> {
    fn from(slots: Slots) -> Self {
        slots.0
    }
}

impl From<Slot> for Slots {
    fn from(slot: Slot) -> Self {
        std::iter::once(slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn second(n: i64) -> crate::time::Instant {
        DateTime::from_timestamp(n, 0).expect("a moment")
    }

    fn slot(start: i64, end: i64) -> Slot {
        Slot { start: second(start), end: second(end) }
    }

    fn moments(slots: &Slots) -> BTreeSet<i64> {
        slots.as_slice().iter().flat_map(|slot| slot.start.timestamp()..slot.end.timestamp()).collect()
    }

    fn is_normal(slots: &Slots) -> bool {
        slots.as_slice().iter().all(|slot| !slot.is_empty())
            && slots.as_slice().is_sorted_by(|a, b| a.end < b.start)
    }

    #[test]
    fn slots_that_touch_or_overlap_become_one() {
        let slots: Slots = [slot(5, 9), slot(0, 3), slot(3, 4), slot(6, 7), slot(8, 12), slot(20, 20)].into();
        assert_eq!(slots.as_slice(), [slot(0, 4), slot(5, 12)]);
    }

    #[test]
    fn one_subtrahend_cuts_several_slots() {
        let slots: Slots = [slot(0, 10), slot(20, 30), slot(40, 50)].into();
        assert_eq!(slots.subtract(&slot(5, 45).into()).as_slice(), [slot(0, 5), slot(45, 50)]);
    }

    impl<const N: usize> From<[Slot; N]> for Slots {
        fn from(slots: [Slot; N]) -> Self {
            slots.into_iter().collect()
        }
    }

    prop_compose! {
        fn any_slots()(pairs in prop::collection::vec((0..60_i64, 0..15_i64), 0..12)) -> Slots {
            pairs.into_iter().map(|(start, length)| slot(start, start + length)).collect()
        }
    }

    proptest! {
        #[test]
        fn the_operations_are_those_of_sets(a in any_slots(), b in any_slots()) {
            let (left, right) = (moments(&a), moments(&b));
            for (slots, set) in [
                (a.union(&b), left.union(&right).copied().collect::<BTreeSet<_>>()),
                (a.subtract(&b), left.difference(&right).copied().collect()),
                (a.intersect(&b), left.intersection(&right).copied().collect()),
            ] {
                prop_assert_eq!(moments(&slots), set);
                prop_assert!(is_normal(&slots), "{:?}", slots);
            }
        }

        #[test]
        fn a_set_covers_exactly_what_is_wholly_in_it(a in any_slots(), start in 0..70_i64, length in 0..20_i64) {
            let inside = (start..start + length).all(|moment| moments(&a).contains(&moment));
            prop_assert_eq!(a.covers(slot(start, start + length)), inside);
            let first = a.as_slice().iter().copied().find(|mine| mine.overlaps(slot(start, start + length)));
            prop_assert_eq!(a.touching(slot(start, start + length)), first);
        }
    }
}
