//! What a round has to be, from what both ends have on their disks. Pure.
//!
//! A checkpoint's bitmap goes on recording after later rounds, so the bitmap of any round that has landed tells at least what was
//! written since the last one. That is how a source that came back after a cutover which failed stays incremental: its newest
//! checkpoint is older than what has landed.

use drover_policies::ids::ReplicaId;
use drover_policies::replica::RoundKind;

use crate::replica::wire::{Content, Covers, Status};

/// How the checkpoints of a replica are called: `drover-1a2b3c4d-7` is the one of its seventh round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    prefix: String,
}

/// What everything begins with that belongs to any replica.
pub(super) const EVERY_PREFIX: &str = "drover-";

impl Names {
    pub(super) fn new(replica: ReplicaId) -> Self {
        Self { prefix: format!("{EVERY_PREFIX}{}", replica.mark()) }
    }

    /// What all that belongs to the replica begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The checkpoint of a round.
    pub(super) fn checkpoint(&self, round: u64) -> String {
        format!("{}-{round}", self.prefix)
    }

    /// The round that a checkpoint is of; nothing when it is not one of this replica's.
    pub(super) fn round(&self, checkpoint: &str) -> Option<u64> {
        let number = checkpoint.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        // Only as it would be written: somebody else's `drover-1a2b3c4d-007` stays his.
        let round: u64 = number.parse().ok()?;
        (round.to_string() == number).then_some(round)
    }
}

/// Whether bitmaps can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bitmaps {
    /// As far as is known.
    Usable,
    /// Some is missing, or was not closed when QEMU ended.
    Broken,
}

/// What a round has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) kind: RoundKind,
    pub(super) covers: Covers,
    /// The round whose bitmaps tell what was written since.
    pub(super) since: Option<u64>,
    /// Rounds whose checkpoints are of no use any more, and are deleted before.
    pub(super) stale: Vec<u64>,
}

impl Plan {
    /// What to do about a running server, by what its destination has and by the rounds that it has checkpoints of.
    pub(super) fn running(status: &Status, rounds: &[u64], bitmaps: Bitmaps) -> Self {
        // A raw disk has no bitmap and is compared whatever the others do, so one bitmap is enough to be incremental.
        let since = since(status, rounds, bitmaps);
        let (kind, covers) = match (status.content, since) {
            (Content::Empty, _) => (RoundKind::Initial, Covers::Everything),
            (Content::Landed, Some(_)) => (RoundKind::Incremental, Covers::Changes),
            (Content::Landed, None) | (Content::Partial | Content::Unknown, _) => {
                (RoundKind::Rescan, Covers::Everything)
            }
        };
        // One that has not landed proves nothing; an older one that will still be needed knows all that it knew.
        let stale = rounds.iter().copied().filter(|round| Some(*round) != since).collect();
        Self { number: status.landed + 1, kind, covers, since, stale }
    }

    /// What to do about a server that is off. Its checkpoints stay, as it may come back.
    pub(super) fn powered_off(status: &Status, rounds: &[u64], bitmaps: Bitmaps) -> Self {
        let since = since(status, rounds, bitmaps);
        let covers = if since.is_some() { Covers::Changes } else { Covers::Everything };
        Self { number: status.landed + 1, kind: RoundKind::Tail, covers, since, stale: Vec::new() }
    }
}

fn since(status: &Status, rounds: &[u64], bitmaps: Bitmaps) -> Option<u64> {
    match (status.content, bitmaps) {
        (Content::Landed, Bitmaps::Usable) => {
            rounds.iter().copied().filter(|round| *round <= status.landed).max()
        }
        (Content::Landed, Bitmaps::Broken) | (Content::Empty | Content::Partial | Content::Unknown, _) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::replica::wire::Place;

    fn status(landed: u64, content: Content) -> Status {
        Status { landed, content, place: Place::Beside, in_the_way: None }
    }

    #[test]
    fn a_checkpoint_s_name_tells_whose_it_is_and_of_which_round() {
        let names = Names::new(ReplicaId(Uuid::from_u128(0x1a2b_3c4d)));
        assert_eq!(names.checkpoint(7), "drover-1a2b3c4d-7");
        assert_eq!(names.round("drover-1a2b3c4d-7"), Some(7));
        for other in [
            "drover-1a2b3c4d",
            "drover-1a2b3c4d-",
            "drover-1a2b3c4d-007",
            "drover-ffffffff-7",
            "virtnbdbackup.0",
        ] {
            assert_eq!(names.round(other), None, "{other}");
        }
    }

    #[test]
    fn a_round_is_what_both_ends_know_together() {
        use Bitmaps::{Broken, Usable};
        use Content::{Empty, Landed, Partial, Unknown};
        use RoundKind::{Incremental, Initial, Rescan};
        type Case = (
            &'static str,
            (u64, Content),
            &'static [u64],
            Bitmaps,
            (u64, RoundKind, Option<u64>, &'static [u64]),
        );
        let cases: [Case; 12] = [
            ("the first", (0, Empty), &[], Usable, (1, Initial, None, &[])),
            (
                "the first again, after it was cut off before anything came",
                (0, Empty),
                &[1],
                Usable,
                (1, Initial, None, &[1]),
            ),
            ("the first again, some of it is there", (0, Partial), &[1], Usable, (1, Rescan, None, &[1])),
            ("old disks are the base", (0, Unknown), &[], Usable, (1, Rescan, None, &[])),
            ("the next", (1, Landed), &[1], Usable, (2, Incremental, Some(1), &[])),
            ("cut off before it landed", (4, Landed), &[4, 5], Usable, (5, Incremental, Some(4), &[5])),
            (
                "landed, and the old checkpoint is left",
                (5, Landed),
                &[4, 5],
                Usable,
                (6, Incremental, Some(5), &[4]),
            ),
            (
                "back after a cutover that failed: the tail has no checkpoint",
                (9, Landed),
                &[8],
                Usable,
                (10, Incremental, Some(8), &[]),
            ),
            ("QEMU was killed", (5, Landed), &[5], Broken, (6, Rescan, None, &[5])),
            ("all checkpoints are gone", (5, Landed), &[], Usable, (6, Rescan, None, &[])),
            ("something may have run from the replica", (5, Unknown), &[5], Usable, (6, Rescan, None, &[5])),
            (
                "checkpoints of rounds that the destination never saw",
                (2, Landed),
                &[3, 4],
                Usable,
                (3, Rescan, None, &[3, 4]),
            ),
        ];
        for (case, (landed, content), rounds, bitmaps, (number, kind, since, stale)) in cases {
            let plan = Plan::running(&status(landed, content), rounds, bitmaps);
            assert_eq!(
                (plan.number, plan.kind, plan.since, plan.stale.as_slice()),
                (number, kind, since, stale),
                "{case}"
            );
            let everything = if since.is_some() { Covers::Changes } else { Covers::Everything };
            assert_eq!(plan.covers, everything, "{case}");
        }
    }

    #[test]
    fn a_tail_deletes_nothing_as_the_server_may_come_back() {
        let plan = Plan::powered_off(&status(6, Content::Landed), &[6, 7], Bitmaps::Usable);
        assert_eq!((plan.number, plan.kind, plan.since), (7, RoundKind::Tail, Some(6)));
        assert!(plan.stale.is_empty());
        let whole = Plan::powered_off(&status(6, Content::Landed), &[6], Bitmaps::Broken);
        assert_eq!((whole.since, whole.covers), (None, Covers::Everything));
        let never = Plan::powered_off(&status(0, Content::Empty), &[], Bitmaps::Usable);
        assert_eq!((never.number, never.covers), (1, Covers::Everything));
    }
}
