//! A round from a running server: a backup that QEMU offers over NBD is read, and the checkpoint of its moment is the base of the next.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use drover_policies::attempt::FailureClass;
use drover_policies::ids::ServerId;
use drover_policies::replica::{Frozen, ImageFormat, ReplicaDisk, Round, RoundKind};
use drover_policies::time::{Clock, Instant as Moment};

use super::super::lock;
use super::copy::{Copy, Offer, What};
use super::courtesy::Done;
use super::domain::{self, Unfit};
use super::gate::{Seen, Watched};
use super::image::{self, Image, allocated};
use super::plan::{Bitmaps, Plan};
use super::scratch::{Ahead, Haste, Stay, Turn};
use super::source::{Backup, Begun, Server};
use super::{Doing, failed, parts};
use crate::clock::SystemClock;
use crate::hypervisor::{Answer, Refusal, State};
use crate::replica::peer::{PeerError, PeerRound};
use crate::replica::wire::{BeginRound, Content, Covers, DiskSize, Status};

/// How often it is looked whether the guest stands still.
const LOOK_AT_GUEST: Duration = Duration::from_secs(1);

/// One whole round.
pub(super) fn run(doing: &Doing<'_>) -> Answer<Round> {
    let (scratch, server, disks) = (&doing.rounds.scratch, &doing.server, &doing.order.disks);
    let xml = server.xml()?;
    if server.state()? == State::Off {
        return Err(failed(FailureClass::Busy, "the server is off; rounds go on when it runs"));
    }
    if let Some(words) = server.lost()? {
        return Err(Unfit::LostServer(words).into());
    }
    let source = domain::read(&xml, disks)?;
    let guest = Guest::new(doing);
    let socket = scratch.socket(&doing.names);
    match server.backup(&socket)? {
        Backup::None if server.has_lost_backup()? => {
            server.end_lost_backup(scratch, disks)?;
            return Err(Unfit::LostBackup.into());
        }
        Backup::None => {}
        // What stopped the guest then may have been its scratch file.
        Backup::Ours => take_back(doing, &socket)?,
        Backup::Theirs => return Err(Unfit::OtherBackup.into()),
    }
    if server.is_stopped_by_storage()? {
        return Err(failed(
            FailureClass::Busy,
            "the guest stands still as its storage failed; see to that first",
        ));
    }
    server.is_free(disks)?;
    scratch.prepare(domain::emulator_owner(&server.capabilities()?))?;
    if scratch.frozen().contains(&doing.order.server) {
        server.thaw(scratch);
    }
    scratch.clean(&doing.names);
    let status = doing.replica.status().map_err(PeerError::in_round)?;
    look_at_images(doing, &status, &source.targets)?;

    let backups = Backups { doing, xml: &xml, targets: &source.targets };
    let (backup, begun) = match parts::first_copy(&backups, &status, &guest)? {
        Some((backup, round)) => (backup, Some(round)),
        None => (begin(&backups, &status)?, None),
    };
    let round = begun.map_or_else(|| begin_round(doing, &backup.plan), Ok);
    let copied = round.and_then(|round| backup.copy(doing, &round, &guest).map(|()| round));
    let (at, frozen) = (backup.open.at, backup.open.frozen);
    let ended = backup.open.end(doing);
    let round = copied.and_then(|round| ended.map(|()| round))?;
    let landed = doing.landed(&backup.plan, at, frozen);
    round.land(&landed).map_err(PeerError::in_round)?;
    // From here on it is the base of the next one; should the agent die before this, the next round deletes the others.
    let number = backup.plan.number;
    if let Err(refusal) = server.delete(move |round| round != number) {
        tracing::warn!(server = %doing.order.server, "old checkpoints stay for now: {refusal}");
    }
    Ok(landed)
}

/// What libvirt does not tell is asked only when it may have changed: each question is a process.
fn look_at_images(doing: &Doing<'_>, status: &Status, targets: &[String]) -> Answer<()> {
    let rounds = doing.server.rounds()?;
    if status.content == Content::Landed && !rounds.is_empty() {
        return Ok(());
    }
    for disk in &doing.order.disks {
        Image::read(disk)?.fit(disk)?;
    }
    doing.server.adopt(&doing.order.disks, targets)
}

/// A round whose backup is open.
pub(super) struct Running {
    pub(super) plan: Plan,
    pub(super) open: Open,
}

/// A backup that QEMU offers.
pub(super) struct Open {
    at: Moment,
    frozen: Frozen,
    socket: PathBuf,
    ahead: Ahead,
    /// Others wait for the room that it takes.
    turn: Turn,
}

/// How a backup is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    /// The round whose checkpoint it goes on from.
    pub(super) since: Option<u64>,
    /// The round that a checkpoint of the same moment is made of.
    pub(super) checkpoint: Option<u64>,
    /// Whether the guest's file systems are held still for that moment.
    pub(super) still: Still,
    /// Whether others give their room back first.
    pub(super) haste: Haste,
}

/// Whether file systems are held still for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Still {
    /// Where the guest agent can.
    IfPossible,
    /// Nobody looks at that moment alone.
    No,
}

/// What stands in the way of a backup and can be put right.
pub(super) enum NotBegun {
    /// Bitmaps are of no use.
    Inconsistent(String),
    /// The new checkpoint's bitmap is there already.
    Unknown(String),
}

impl NotBegun {
    fn refusal(self) -> Refusal {
        let (Self::Inconsistent(why) | Self::Unknown(why)) = self;
        failed(FailureClass::RefusedBySource, why)
    }
}

/// Opens the backups of a round.
pub(super) struct Backups<'a> {
    pub(super) doing: &'a Doing<'a>,
    xml: &'a str,
    targets: &'a [String],
}

impl Backups<'_> {
    /// Makes a checkpoint's bitmap known that libvirt has not noted, so that it can be deleted like any other.
    fn make_known(&self, checkpoint: u64, why: &str) -> Answer<()> {
        let doing = self.doing;
        tracing::info!(server = %doing.order.server, "libvirt has not noted a checkpoint of ours: {why}");
        doing.server.make_known(checkpoint, &doing.order.disks, self.targets)
    }

    /// Opens one whose bitmaps were made in this round, or are to be.
    pub(super) fn open(&self, opening: Opening) -> Answer<Open> {
        let again = match (self.try_to_open(opening)?, opening.checkpoint) {
            (Err(NotBegun::Unknown(why)), Some(checkpoint)) => {
                self.make_known(checkpoint, &why)?;
                self.doing.server.delete(move |round| round == checkpoint)?;
                self.try_to_open(opening)?
            }
            (other, _) => other,
        };
        again.map_err(NotBegun::refusal)
    }
}

/// Begins a backup. Bitmaps that turn out to be broken are given up, and everything is compared; one that libvirt does not know of is
/// made known to it, so that it is deleted like any other that is of no use. Each is done once.
fn begin(backups: &Backups<'_>, status: &Status) -> Answer<Running> {
    let doing = backups.doing;
    let (mut bitmaps, mut known) = (Bitmaps::Usable, false);
    loop {
        let plan = plan(doing, status, bitmaps)?;
        let has_bitmaps = doing.order.disks.iter().any(|disk| disk.format == ImageFormat::Qcow2);
        let opening = Opening {
            since: plan.since.filter(|_| has_bitmaps),
            checkpoint: Some(plan.number),
            still: Still::IfPossible,
            haste: Haste::CanWait,
        };
        match backups.try_to_open(opening)? {
            Ok(open) => return Ok(Running { plan, open }),
            Err(NotBegun::Inconsistent(why)) if bitmaps == Bitmaps::Usable => {
                tracing::info!(server = %doing.order.server, "everything is compared, as its checkpoint is of no use: {why}");
                bitmaps = Bitmaps::Broken;
            }
            Err(NotBegun::Unknown(why)) if !known => {
                backups.make_known(plan.number, &why)?;
                known = true;
            }
            Err(not_begun) => return Err(not_begun.refusal()),
        }
    }
}

/// What the round has to be. Checkpoints that are of no use to it are deleted.
pub(super) fn plan(doing: &Doing<'_>, status: &Status, bitmaps: Bitmaps) -> Answer<Plan> {
    let plan = Plan::running(status, &doing.server.rounds()?, bitmaps);
    doing.progress.set_kind(plan.kind);
    if !plan.stale.is_empty() {
        let stale = plan.stale.clone();
        doing.server.delete(move |round| stale.contains(&round))?;
    }
    Ok(plan)
}

impl Backups<'_> {
    fn try_to_open(&self, opening: Opening) -> Answer<Result<Open, NotBegun>> {
        let Self { doing, xml, targets } = *self;
        let (scratch, server, disks) = (&doing.rounds.scratch, &doing.server, &doing.order.disks);
        let socket = scratch.socket(&doing.names);
        let since = opening.since.map(|round| doing.names.checkpoint(round));
        let copied: Vec<_> =
            disks.iter().map(|disk| (disk, scratch.file(&doing.names, &disk.target))).collect();
        // Before the guest depends on it.
        let set_aside = || {
            for (disk, file) in &copied {
                image::create(file, server.virtual_bytes(disk)?)?;
            }
            scratch.ahead_of(copied.iter().map(|(_, file)| file.clone()).collect())
        };
        let haste = if doing.order.goes_first { Haste::GoesFirst } else { opening.haste };
        let (turn, ahead) = scratch.enter(haste, &|| doing.progress.goes_on(), &set_aside)?;
        let backup = domain::Backup {
            socket: &socket,
            targets,
            copied: &copied,
            since: since.as_deref(),
            bitmap: doing.names.prefix(),
        };
        let named = opening.checkpoint.map(|round| doing.names.checkpoint(round));
        let checkpoint = named.and_then(|name| domain::checkpoint(&name, targets, disks));
        doing.progress.goes_on()?;
        let frozen = match opening.still {
            Still::IfPossible => server.freeze(xml, scratch),
            Still::No => Frozen::No,
        };
        let at = SystemClock.now();
        let begun = server.begin(backup.xml(), checkpoint);
        if frozen == Frozen::Yes {
            server.thaw(scratch);
        }
        match begun {
            Ok(Begun::Yes) => Ok(Ok(Open { at, frozen, socket, ahead, turn })),
            Ok(Begun::Inconsistent(why)) => Ok(Err(NotBegun::Inconsistent(why))),
            Ok(Begun::Unknown(why)) => Ok(Err(NotBegun::Unknown(why))),
            Err(refusal) => {
                // It may have begun all the same, if only the answer was lost.
                let _ = server.end_backup(&socket);
                Err(refusal)
            }
        }
    }
}

impl Running {
    /// Brings over what this round is to bring over.
    fn copy(&self, doing: &Doing<'_>, round: &PeerRound, guest: &Guest<'_>) -> Answer<()> {
        let context = format!("qemu:dirty-bitmap:{}", doing.names.prefix());
        let wanted = |disk: &ReplicaDisk| what(&self.plan, disk, &context);
        let mut copy = self.open.copy(doing, round, &wanted);
        copy.guest = Some(guest);
        copy.run(&|| self.open.lasts(doing, guest))
    }
}

/// Has the destination begin a round.
pub(super) fn begin_round(doing: &Doing<'_>, plan: &Plan) -> Answer<PeerRound> {
    let written = match plan.covers {
        Covers::Changes => doing.server.written().unwrap_or_default(),
        Covers::Everything => Vec::new(),
    };
    let disks = doing.order.disks.iter().map(|disk| {
        let known = written.iter().find(|(target, _)| *target == disk.target);
        let expected_bytes = match (plan.kind, known) {
            (RoundKind::Initial, _) => allocated(disk),
            // What differs is seen when it is compared.
            (RoundKind::Incremental | RoundKind::Rescan | RoundKind::Tail, known) => {
                known.map_or(0, |(_, bytes)| *bytes)
            }
        };
        let virtual_bytes = doing.server.virtual_bytes(disk)?;
        Ok(DiskSize { target: disk.target.clone(), virtual_bytes, expected_bytes })
    });
    let disks = disks.collect::<Answer<_>>()?;
    let begin = BeginRound { number: plan.number, kind: plan.kind, covers: plan.covers, disks };
    doing.replica.begin_round(&begin).map_err(PeerError::in_round)
}

impl Open {
    /// What is to be brought over from it.
    pub(super) fn copy<'a>(
        &'a self,
        doing: &'a Doing<'_>,
        round: &'a PeerRound,
        wanted: &dyn Fn(&ReplicaDisk) -> What,
    ) -> Copy<'a> {
        let offer = |disk: &'a ReplicaDisk| Offer { disk, export: disk.target.clone(), what: wanted(disk) };
        Copy {
            source: Box::new(|_: &ReplicaDisk| UnixStream::connect(&self.socket)),
            replica: &doing.replica,
            round,
            offers: doing.order.disks.iter().map(offer).collect(),
            progress: doing.progress,
            workers: &doing.rounds.workers,
            guest: None,
        }
    }

    /// An error when it has to be ended early.
    pub(super) fn lasts(&self, doing: &Doing<'_>, guest: &Guest<'_>) -> Answer<()> {
        match self.stays(doing)? {
            Stay::Yes | Stay::NotForLong => guest.runs(),
            Stay::No(refusal) => Err(refusal),
        }
    }

    /// Whether there is room for it to stay open; an error when there is none at all. Nobody is given way to while there may soon be too
    /// little.
    pub(super) fn stays(&self, doing: &Doing<'_>) -> Answer<Stay> {
        let stay = doing.rounds.scratch.stays(&self.turn)?;
        if doing.progress.gate.hurry(stay != Stay::Yes) {
            tracing::info!(server = %doing.order.server, "its guest is not given way to for now: scratch space is scarce (replication.scratch)");
        }
        self.ahead.keep()?;
        Ok(stay)
    }

    pub(super) fn end(self, doing: &Doing<'_>) -> Answer<()> {
        take_back(doing, &self.socket)
    }
}

/// Ends the backup, and lets a guest go on that the scratch files' storage has stopped.
fn take_back(doing: &Doing<'_>, socket: &Path) -> Answer<()> {
    let server = &doing.server;
    server.end_backup(socket)?;
    doing.rounds.scratch.clean(&doing.names);
    if server.is_stopped_by_storage().unwrap_or(false) {
        server.resume()?;
        tracing::warn!(server = %doing.order.server, "its guest stood still for want of scratch space and goes on now");
    }
    Ok(())
}

/// What is brought over of a disk.
fn what(plan: &Plan, disk: &ReplicaDisk, context: &str) -> What {
    match (plan.kind, plan.since, disk.format) {
        (RoundKind::Initial, None, _) => What::Data { from: 0 },
        (_, Some(_), ImageFormat::Qcow2) => What::Written(context.to_owned()),
        (_, Some(_), ImageFormat::Raw) | (_, None, _) => What::Differences,
    }
}

/// The guest while it is backed up.
pub(super) struct Guest<'a> {
    server: &'a Server,
    id: ServerId,
    looked: Mutex<Instant>,
    /// What it had read and written before.
    before: Mutex<Option<Seen>>,
}

impl<'a> Guest<'a> {
    fn new(doing: &'a Doing<'_>) -> Self {
        Self {
            server: &doing.server,
            id: doing.order.server,
            looked: Mutex::new(Instant::now()),
            before: Mutex::new(doing.before),
        }
    }

    /// It was looked at since, and is left alone from then until its disks are read again.
    pub(super) fn was_seen(&self, seen: Option<Seen>) {
        *lock(&self.before) = seen;
    }

    /// Whether it still runs: QEMU stops it when its scratch file can't grow.
    pub(super) fn runs(&self) -> Answer<()> {
        let mut looked = lock(&self.looked);
        if looked.elapsed() < LOOK_AT_GUEST {
            return Ok(());
        }
        let stopped = self.server.is_stopped_by_storage();
        *looked = Instant::now();
        match stopped {
            Ok(true) => Err(failed(
                FailureClass::RefusedBySource,
                "the guest stood still: there was no room for its scratch file (replication.scratch), or its own storage failed",
            )),
            // What libvirt can't say now, the copying will find out.
            Ok(false) | Err(Refusal { .. }) => Ok(()),
        }
    }
}

impl Watched for Guest<'_> {
    fn server(&self) -> ServerId {
        self.id
    }

    fn done(&self) -> Option<Done> {
        self.server.done().ok()
    }

    fn before(&self) -> Option<Seen> {
        *lock(&self.before)
    }
}
