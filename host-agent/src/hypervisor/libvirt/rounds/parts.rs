//! The first copy of a guest that is given way to: in parts, each a backup of its own, with times between them in which none is open.
//!
//! What a part brings over is as it was when its backup began, so the parts together show no one moment. They need not: the first one's
//! checkpoint knows all that was written since, and a last backup brings that over. Only with that backup's moment does the round land.
//!
//! What is on the disk if we die on any line of this? At the destination a first copy that was cut off, at the source a checkpoint that
//! proves nothing. The next round compares everything, as after any first copy that was cut off.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use drover_policies::replica::{ImageFormat, ReplicaDisk, RoundKind};

use super::Doing;
use super::copy::What;
use super::courtesy::{Courtesy, Phase};
use super::gate::{Seen, look, see};
use super::plan::{Bitmaps, Plan};
use super::running::{Guest, Opening, Running, Still, TryToOpen, begin_round, open, plan};
use crate::hypervisor::Answer;
use crate::replica::peer::PeerRound;
use crate::replica::wire::{Content, Status};

/// A guest that does little is looked at so often while it is copied.
const LOOK: Duration = Duration::from_millis(500);
/// Who waits looks so often whether the round is to end.
const STEP: Duration = Duration::from_millis(100);

/// The round, begun at the destination.
type Begun = (Running, Answer<PeerRound>);

/// Brings the disks over, and opens the last backup. Nothing where this is no first copy, nobody is given way to, or there is a disk
/// without bitmaps.
pub(super) fn first_copy(
    doing: &Doing<'_>,
    status: &Status,
    guest: &Guest<'_>,
    backup_of: &TryToOpen<'_>,
) -> Answer<Option<Begun>> {
    let has_bitmaps = doing.order.disks.iter().all(|disk| disk.format == ImageFormat::Qcow2);
    if status.content != Content::Empty || !has_bitmaps || doing.progress.gate.share().is_none() {
        return Ok(None);
    }
    let plan = plan(doing, status, Bitmaps::Usable)?;
    debug_assert_eq!(plan.kind, RoundKind::Initial);
    let parts =
        Parts { doing, guest, courtesy: RefCell::new(Courtesy::backup_by_backup()), seen: Cell::default() };
    // The last backup's checkpoint is the one that bears the round's number, so that a number which is more than have landed proves nothing.
    let base = plan.number + 1;
    let round = parts.all(&plan, base, backup_of)?;
    let last = Opening { since: Some(base), checkpoint: Some(plan.number), still: Still::IfPossible };
    let open = open(backup_of, last)?;
    Ok(Some((Running { plan: Plan { since: Some(base), ..plan }, open }, Ok(round))))
}

struct Parts<'a> {
    doing: &'a Doing<'a>,
    guest: &'a Guest<'a>,
    courtesy: RefCell<Courtesy>,
    /// What the guest had done when the phase began.
    seen: Cell<Option<Seen>>,
}

impl Parts<'_> {
    fn all(&self, plan: &Plan, base: u64, backup_of: &TryToOpen<'_>) -> Answer<PeerRound> {
        let disks = &self.doing.order.disks;
        self.doing.progress.gate.begin();
        self.seen.set(look(self.guest));
        let round = begin_round(self.doing, plan)?;
        let mut from: Vec<u64> = disks.iter().map(|_| 0).collect();
        let mut checkpoint = Some(base);
        loop {
            let length = self.leave_alone()?;
            let opening = Opening { since: None, checkpoint: checkpoint.take(), still: Still::No };
            let open = open(backup_of, opening)?;
            let wanted = |disk: &ReplicaDisk| {
                let index = disks.iter().position(|other| other.target == disk.target);
                What::Data { from: index.and_then(|index| from.get(index)).copied().unwrap_or(0) }
            };
            let until = Instant::now() + length;
            let copied = open
                .copy(self.doing, &round, &wanted)
                .run_until(&|| open.lasts(self.doing, self.guest), &|| self.is_over(until));
            let ended = open.end(self.doing);
            let left = copied.and_then(|left| ended.map(|()| left))?;
            self.see(Phase::Copying);
            if left.iter().all(Option::is_none) {
                return Ok(round);
            }
            from = left.into_iter().map(|left| left.unwrap_or(u64::MAX)).collect();
        }
    }

    /// Whether no more is copied in this part: its time is over, and the guest is one to be given way to.
    fn is_over(&self, until: Instant) -> bool {
        if self.share().is_none() {
            return false;
        }
        let is_due = |(_, then): Seen| then.elapsed() >= LOOK;
        if !self.courtesy.borrow().is_busy() && self.seen.get().is_none_or(is_due) {
            self.see(Phase::Copying);
        }
        self.courtesy.borrow().is_busy() && self.seen.get().is_some() && Instant::now() >= until
    }

    /// Leaves the guest alone as long as is its due, and tells how long the next part may be.
    fn leave_alone(&self) -> Answer<Duration> {
        loop {
            let (phase, length) = self.courtesy.borrow().next();
            if phase == Phase::Copying || self.seen.get().is_none() || self.share().is_none() {
                return Ok(length);
            }
            let began = Instant::now();
            while began.elapsed() < length && self.share().is_some() {
                self.doing.progress.goes_on()?;
                std::thread::sleep(STEP.min(length.saturating_sub(began.elapsed())));
            }
            self.doing.progress.gate.was_held(began.elapsed());
            let before = self.seen.get();
            self.see(Phase::Holding);
            if let (Some((before, then)), Some((done, now))) = (before, self.seen.get()) {
                self.doing
                    .rounds
                    .quiet(self.doing.order.server, |quiet| quiet.saw(done.since(before), now - then));
            }
        }
    }

    fn share(&self) -> Option<f64> {
        self.doing.progress.gate.share()
    }

    fn see(&self, phase: Phase) {
        let seen = match (self.seen.get(), self.share()) {
            (Some(before), Some(share)) => {
                see(self.guest, before, (phase, share), &mut self.courtesy.borrow_mut())
            }
            (None, _) | (_, None) => look(self.guest),
        };
        self.seen.set(seen);
    }
}
