//! The first copy of a guest that is given way to: in parts, each a backup of its own, with times between them in which none is open.
//!
//! What a part brings over is as it was when its backup began, so the parts together show no one moment. They need not: the first one's
//! checkpoint knows all that was written since, and a last backup brings that over. Only with that backup's moment does the round land.
//!
//! What is on the disk if we die on any line of this? At the destination a first copy that was cut off, at the source a checkpoint that
//! proves nothing. The next round compares everything in one backup, as after any first copy that was cut off.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use drover_policies::replica::{ImageFormat, ReplicaDisk};

use super::Doing;
use super::copy::What;
use super::courtesy::{Courtesy, Phase};
use super::gate::{Seen, look, see, tell_of_holding};
use super::plan::{Bitmaps, Plan};
use super::running::{Backups, Guest, Open, Opening, Running, Still, begin_round, plan};
use super::scratch::{Haste, Stay};
use crate::hypervisor::{Answer, Refusal, State};
use crate::replica::peer::PeerRound;
use crate::replica::wire::{Content, Status};

/// The guest is looked at so often while it does little, or nobody tells what it does.
const LOOK: Duration = Duration::from_millis(500);
/// Who waits looks so often whether the round is to end.
const STEP: Duration = Duration::from_millis(100);
/// All that is copied so far is at stake when a backup can't be opened: it is tried again for so long …
const PATIENCE: Duration = Duration::from_secs(120);
/// … with such pauses.
const PAUSE: Duration = Duration::from_secs(2);
/// Of the time of a part no more than one of so many is spent on opening and closing its backup, however short it should be.
const OF_A_PART: u32 = 3;
/// What is on its way when a part ends for want of scratch space is waited for so long.
const ARRIVES: Duration = Duration::from_secs(1);
/// People are told of a copy that was held back for so long.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// Brings the disks over, and opens the last backup, with the round begun at the destination. Nothing where this is no first copy, nobody
/// is given way to, or there is a disk without bitmaps.
pub(super) fn first_copy(
    backups: &Backups<'_>,
    status: &Status,
    guest: &Guest<'_>,
) -> Answer<Option<(Running, PeerRound)>> {
    let doing = backups.doing;
    let has_bitmaps = doing.order.disks.iter().all(|disk| disk.format == ImageFormat::Qcow2);
    if status.content != Content::Empty || !has_bitmaps || doing.progress.gate.share().is_none() {
        return Ok(None);
    }
    let plan = plan(doing, status, Bitmaps::Usable)?;
    // The last backup's checkpoint is the one that bears the round's number, as a number which is more than have landed proves nothing.
    let base = plan.number + 1;
    let parts = Parts {
        backups,
        doing,
        guest,
        courtesy: RefCell::new(Courtesy::backup_by_backup()),
        seen: Cell::default(),
        asked: Cell::new(Instant::now()),
        held: Cell::default(),
    };
    let round = parts.all(&plan, base)?;
    guest.was_seen(parts.seen.get());
    let last = Opening {
        since: Some(base),
        checkpoint: Some(plan.number),
        still: Still::IfPossible,
        haste: Haste::GoesFirst,
    };
    let open = parts.open_again(last)?;
    doing.progress.set_later(Vec::new());
    Ok(Some((Running { plan: Plan { since: Some(base), ..plan }, open }, round)))
}

struct Parts<'a> {
    backups: &'a Backups<'a>,
    doing: &'a Doing<'a>,
    guest: &'a Guest<'a>,
    courtesy: RefCell<Courtesy>,
    /// What the guest had done when the phase began; nothing while nobody tells.
    seen: Cell<Option<Seen>>,
    /// When that was asked last.
    asked: Cell<Instant>,
    /// How long nothing was copied for its sake.
    held: Cell<Duration>,
}

impl Parts<'_> {
    fn all(&self, plan: &Plan, base: u64) -> Answer<PeerRound> {
        let disks = &self.doing.order.disks;
        self.doing.progress.gate.begin();
        self.seen.set(look(self.guest));
        let mut length = self.rest()?;
        let mut open = self.backups.open(Opening {
            since: None,
            checkpoint: Some(base),
            still: Still::No,
            haste: Haste::CanWait,
        })?;
        let round = match begin_round(self.doing, plan) {
            Ok(round) => round,
            Err(refusal) => {
                open.end(self.doing)?;
                return Err(refusal);
            }
        };
        let mut from: Vec<u64> = disks.iter().map(|_| 0).collect();
        loop {
            let wanted = |disk: &ReplicaDisk| {
                let index = disks.iter().position(|other| other.target == disk.target);
                What::Data { from: index.and_then(|index| from.get(index)).copied().unwrap_or(0) }
            };
            let began: Cell<Option<Instant>> = Cell::default();
            let short: RefCell<Option<(Refusal, Instant)>> = RefCell::default();
            let goes_on = || {
                self.guest.runs()?;
                let Stay::No(refusal) = open.stays(self.doing)? else { return Ok(()) };
                // Others need its room: no more is read, and what is on its way has a moment to arrive.
                let since = short.borrow().as_ref().map_or_else(Instant::now, |(_, since)| *since);
                short.replace(Some((refusal.clone(), since)));
                if since.elapsed() < ARRIVES { Ok(()) } else { Err(refusal) }
            };
            let copied = open.copy(self.doing, &round, &wanted).run_until(&goes_on, &|| {
                // It counts from the first reads on.
                let since = began.get().unwrap_or_else(Instant::now);
                began.set(Some(since));
                short.borrow().is_some() || self.is_over(since + length)
            });
            let read_for = began.get().map(|began| began.elapsed()).unwrap_or_default();
            let ended = open.end(self.doing);
            let left = copied.and_then(|left| ended.map(|()| left))?;
            let took = self.see(Phase::Copying);
            self.doing.progress.set_later(self.doing.server.written().unwrap_or_default());
            if left.iter().all(Option::is_none) {
                return Ok(round);
            }
            let left = left.into_iter().map(|left| left.unwrap_or(u64::MAX)).collect();
            match short.take() {
                Some((refusal, _)) if left == from => return Err(refusal),
                // The rest has room when others have given theirs back.
                Some(_) | None => from = left,
            }
            let beside = took.saturating_sub(read_for);
            length = self.rest()?.max(beside * (OF_A_PART - 1));
            open = self.open_again(Opening {
                since: None,
                checkpoint: None,
                still: Still::No,
                haste: Haste::CanWait,
            })?;
        }
    }

    /// Somebody else's backup, a daemon that is started anew, scratch space that others have: all that passes.
    fn open_again(&self, opening: Opening) -> Answer<Open> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.backups.open(opening) {
                Err(refusal) if Instant::now() < until && !self.is_off() => {
                    self.doing.progress.goes_on()?;
                    tracing::info!(server = %self.doing.order.server, "its first copy can't go on yet: {refusal}");
                    std::thread::sleep(PAUSE);
                }
                opened => return opened,
            }
        }
    }

    fn is_off(&self) -> bool {
        self.doing.server.state().is_ok_and(|state| state == State::Off)
    }

    /// Whether no more is copied in this part: its time is over, and the guest is one to be given way to.
    fn is_over(&self, until: Instant) -> bool {
        if self.share().is_none() {
            return false;
        }
        self.look_again();
        self.courtesy.borrow().is_busy() && self.seen.get().is_some() && Instant::now() >= until
    }

    /// A guest that did little may do more now, and one that nobody told of may be told of.
    fn look_again(&self) {
        let is_known = self.courtesy.borrow().is_busy() && self.seen.get().is_some();
        if !is_known && self.asked.get().elapsed() >= LOOK {
            self.see(Phase::Copying);
        }
    }

    /// Leaves the guest alone as long as is its due, and tells how long the next part may be.
    fn rest(&self) -> Answer<Duration> {
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
            self.note_held(began.elapsed());
            let before = self.seen.get();
            self.see(Phase::Holding);
            if let (Some((before, then)), Some((done, now))) = (before, self.seen.get()) {
                self.doing
                    .rounds
                    .quiet(self.doing.order.server, |quiet| quiet.saw(done.since(before), now - then));
            }
        }
    }

    fn note_held(&self, length: Duration) {
        self.doing.progress.gate.was_held(length);
        let before = self.held.get();
        self.held.set(before + length);
        if before <= WORTH_TELLING && before + length > WORTH_TELLING {
            tell_of_holding(self.doing.order.server);
        }
    }

    fn share(&self) -> Option<f64> {
        self.doing.progress.gate.share()
    }

    /// Takes note of what the guest did in a phase that has just ended, and gives how long that was.
    fn see(&self, phase: Phase) -> Duration {
        self.asked.set(Instant::now());
        let before = self.seen.get();
        let seen = match (before, self.share()) {
            (Some(before), Some(share)) => {
                see(self.guest, before, (phase, share), &mut self.courtesy.borrow_mut())
            }
            (None, _) | (_, None) => look(self.guest),
        };
        self.seen.set(seen);
        before.zip(seen).map(|((_, then), (_, now))| now - then).unwrap_or_default()
    }
}
