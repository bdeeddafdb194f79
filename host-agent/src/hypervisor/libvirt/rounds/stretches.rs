//! What of a disk is brought over, and how: from what the source's exports tell. Pure.

use std::collections::VecDeque;

use crate::hypervisor::nbd_sys::{DIRTY, Extent, ZERO};

/// Smaller holes than this are read like data: as large as the clusters of an image, so that requests stay few.
const SMALLEST_HOLE: u64 = 64 << 10;
/// When all is compared: a question to the other host is worth more than reading a few zeroes.
const SMALLEST_COMPARED_HOLE: u64 = 1 << 20;

/// What is done with a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Read here and written there.
    Copy,
    /// Reads as zeroes here, is made so there.
    Zero,
    /// Read here, and written there where checksums differ.
    Compare,
    /// Reads as zeroes here, is made so there where it is not.
    CompareZero,
}

impl Act {
    /// The most that one piece of it is, in bytes.
    fn piece(self) -> u64 {
        match self {
            Self::Copy => 1 << 20,
            Self::Compare => 16 << 20,
            Self::Zero => 256 << 20,
            Self::CompareZero => 1 << 30,
        }
    }
}

/// A stretch of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) disk: usize,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) act: Act,
}

/// What of a disk is brought over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// All that is not empty from this offset on, onto an image that is empty there.
    Data { from: u64 },
    /// What a bitmap says was written.
    Written(&'a [Extent]),
    /// What differs.
    Differences,
}

/// What is done with a disk whose allocation is told by `allocation`, without gaps from its beginning to its end.
pub(super) fn of(disk: usize, allocation: &[Extent], wanted: Wanted<'_>) -> Vec<Stretch> {
    let whole: Vec<Extent>;
    let (within, data, zero, hole): (&[Extent], _, _, _) = match wanted {
        Wanted::Written(written) => (written, Act::Copy, Some(Act::Zero), SMALLEST_HOLE),
        Wanted::Data { .. } | Wanted::Differences => {
            let end = allocation.last().map_or(0, |extent| extent.offset + extent.length);
            let from = if let Wanted::Data { from } = wanted { from.min(end) } else { 0 };
            whole = vec![Extent { offset: from, length: end - from, flags: DIRTY }];
            match wanted {
                Wanted::Differences => (&whole, Act::Compare, Some(Act::CompareZero), SMALLEST_COMPARED_HOLE),
                Wanted::Data { .. } | Wanted::Written(_) => (&whole, Act::Copy, None, SMALLEST_HOLE),
            }
        }
    };
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut from = 0;
    for wanted in within.iter().filter(|extent| extent.flags & DIRTY != 0 && extent.length > 0) {
        let end = wanted.offset + wanted.length;
        while allocation.get(from).is_some_and(|part| part.offset + part.length <= wanted.offset) {
            from += 1;
        }
        for part in allocation[from..].iter().take_while(|part| part.offset < end) {
            let begins = part.offset.max(wanted.offset);
            let length = (part.offset + part.length).min(end) - begins;
            let empty = part.flags & ZERO != 0 && length >= hole;
            let Some(act) = (if empty { zero } else { Some(data) }) else { continue };
            push(&mut stretches, Stretch { disk, offset: begins, length, act });
        }
    }
    stretches
}

fn push(stretches: &mut Vec<Stretch>, next: Stretch) {
    match stretches.last_mut() {
        Some(last) if last.act == next.act && last.offset + last.length == next.offset => {
            last.length += next.length
        }
        Some(_) | None => stretches.push(next),
    }
}

/// Stretches of several disks, handed out piece by piece.
#[derive(Debug)]
pub(super) struct Queue {
    left: VecDeque<Stretch>,
    is_closed: bool,
}

impl Queue {
    /// Those of one disk have to be in the order of the disk.
    pub(super) fn new(stretches: impl IntoIterator<Item = Stretch>) -> Self {
        Self { left: stretches.into_iter().collect(), is_closed: false }
    }

    /// All that is left, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.left.iter().map(|stretch| stretch.length).sum()
    }

    /// No more is handed out.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Where that of a disk begins which was not handed out.
    pub(super) fn left_of(&self, disk: usize) -> Option<u64> {
        self.left.iter().find(|stretch| stretch.disk == disk).map(|stretch| stretch.offset)
    }

    /// The next piece.
    pub(super) fn take(&mut self) -> Option<Stretch> {
        if self.is_closed {
            return None;
        }
        let first = self.left.front_mut()?;
        let length = first.length.min(first.act.piece());
        let piece = Stretch { length, ..*first };
        first.offset += length;
        first.length -= length;
        if first.length == 0 {
            self.left.pop_front();
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIT: u64 = 64 << 10;

    fn extents(lengths: &[(u64, u32)]) -> Vec<Extent> {
        let mut at = 0;
        let extent = |(units, flags): &(u64, u32)| {
            let extent = Extent { offset: at, length: units * UNIT, flags: *flags };
            at += extent.length;
            extent
        };
        lengths.iter().map(extent).collect()
    }

    fn told(stretches: &[Stretch]) -> Vec<(Act, u64, u64)> {
        stretches.iter().map(|stretch| (stretch.act, stretch.offset / UNIT, stretch.length / UNIT)).collect()
    }

    #[test]
    fn a_first_copy_leaves_holes_out() {
        let allocation = extents(&[(2, 0), (3, ZERO | 1), (1, 0)]);
        let from = |units: u64| told(&of(0, &allocation, Wanted::Data { from: units * UNIT }));
        assert_eq!(from(0), [(Act::Copy, 0, 2), (Act::Copy, 5, 1)]);
        assert_eq!(from(1), [(Act::Copy, 1, 1), (Act::Copy, 5, 1)]);
        assert_eq!(from(6), []);
        assert_eq!(from(7), []);
    }

    #[test]
    fn what_a_closed_queue_has_left_begins_where_nothing_was_handed_out() {
        let stretch = |disk, offset, length| Stretch { disk, offset, length, act: Act::Copy };
        let mut queue =
            Queue::new([stretch(0, 0, 3 << 20), stretch(0, 8 << 20, 1 << 20), stretch(1, 4096, 512)]);
        assert_eq!((queue.take(), queue.left_of(0)), (Some(stretch(0, 0, 1 << 20)), Some(1 << 20)));
        queue.take();
        queue.take();
        assert_eq!(queue.left_of(0), Some(8 << 20));
        queue.take();
        queue.close();
        assert_eq!((queue.take(), queue.left_of(0), queue.left_of(1)), (None, None, Some(4096)));
    }

    #[test]
    fn what_was_written_may_have_become_zeroes() {
        let allocation = extents(&[(4, 0), (4, ZERO), (4, 0)]);
        let written = extents(&[(2, 0), (4, DIRTY), (5, 0), (1, DIRTY)]);
        let expected = [(Act::Copy, 2, 2), (Act::Zero, 4, 2), (Act::Copy, 11, 1)];
        assert_eq!(told(&of(0, &allocation, Wanted::Written(&written))), expected);
    }

    #[test]
    fn where_all_is_compared_a_small_hole_is_read_like_data() {
        let allocation = extents(&[(4, 0), (4, ZERO), (4, 0), (32, ZERO)]);
        let expected = [(Act::Compare, 0, 12), (Act::CompareZero, 12, 32)];
        assert_eq!(told(&of(0, &allocation, Wanted::Differences)), expected);
    }

    proptest! {
        /// The pieces are the stretches, cut; what is compared is the whole disk, and what was written is no more and no less.
        #[test]
        fn nothing_is_left_out_and_nothing_is_done_twice(
            allocated in proptest::collection::vec((1..40_u64, prop_oneof![Just(0), Just(ZERO)]), 1..30),
            dirty in proptest::collection::vec((1..40_u64, 0..2_u32), 1..30),
        ) {
            let allocation = extents(&allocated);
            let size: u64 = allocation.iter().map(|extent| extent.length).sum();
            let mut written = extents(&dirty);
            written.retain(|extent| extent.offset < size);
            for extent in &mut written {
                extent.length = extent.length.min(size - extent.offset);
            }
            let dirty: u64 = written.iter().filter(|extent| extent.flags == DIRTY).map(|extent| extent.length).sum();
            for (wanted, bytes) in [(Wanted::Differences, size), (Wanted::Written(&written), dirty)] {
                let stretches = of(0, &allocation, wanted);
                let mut queue = Queue::new(stretches.clone());
                prop_assert_eq!(queue.bytes(), bytes);
                let mut pieces = Vec::new();
                while let Some(piece) = queue.take() {
                    prop_assert!(piece.length > 0 && piece.length <= piece.act.piece());
                    push(&mut pieces, piece);
                }
                let mut whole = Vec::new();
                stretches.into_iter().for_each(|stretch| push(&mut whole, stretch));
                prop_assert_eq!(pieces, whole);
            }
        }
    }
}
