//! Brings stretches of disks from the source's NBD server to the destination's, with several connections at a time.

use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use drover_policies::attempt::FailureClass;
use drover_policies::replica::ReplicaDisk;

use super::super::lock;
use super::gate::Watched;
use super::progress::Progress;
use super::stretches::{self, Act, Queue, Stretch, Wanted};
use super::workers::Workers;
use crate::hypervisor::nbd_sys::{ALLOCATION, DIRTY, Nbd, NbdError};
use crate::hypervisor::{Answer, Refusal, RefusalKind};
use crate::replica::peer::{PeerError, PeerReplica, PeerRound, Range};

/// Checksums are made of so much at a time when data is compared: what a bitmap would know, too.
const CHUNK: u64 = 64 << 10;
/// … and when holes are.
const HOLE_CHUNK: u64 = 1 << 20;
/// What is read at a time.
const READ: u64 = 1 << 20;
/// A worker more is worth its connections for so much.
const WORTH_A_WORKER: u64 = 8 << 20;
/// How often it is looked whether the round may go on.
const LOOK: Duration = Duration::from_millis(100);

/// One disk, as its source offers it.
pub(super) struct Offer<'a> {
    pub(super) disk: &'a ReplicaDisk,
    /// What its export is called.
    pub(super) export: String,
    /// What is brought over.
    pub(super) what: What,
}

/// What is brought over of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// All that is not empty from this offset on, onto what is empty there.
    Data { from: u64 },
    /// What this context of its export says was written.
    Written(String),
    /// What differs.
    Differences,
}

/// Connects to a disk's NBD server at the source.
pub(super) type Connect<'a> = dyn Fn(&ReplicaDisk) -> std::io::Result<UnixStream> + Sync + 'a;

/// All that a copy needs.
pub(super) struct Copy<'a> {
    pub(super) source: Box<Connect<'a>>,
    pub(super) replica: &'a PeerReplica,
    pub(super) round: &'a PeerRound,
    pub(super) offers: Vec<Offer<'a>>,
    pub(super) progress: &'a Progress,
    pub(super) workers: &'a Workers,
    /// Who reads and writes the disks meanwhile; nobody when the server is off.
    pub(super) guest: Option<&'a dyn Watched>,
}

/// A disk's two connections.
struct Line {
    source: Nbd,
    target: Nbd,
}

fn at_source(disk: &ReplicaDisk, error: &NbdError) -> Refusal {
    let text = format!("disk {} can't be read at its source: {error}{}", disk.target, cause(error));
    Refusal::new(RefusalKind::Failed(FailureClass::LostOnTheWay), text)
}

fn at_destination(disk: &ReplicaDisk, error: &NbdError) -> Refusal {
    if let NbdError::NoRoom(_) = error {
        let dir = disk.path.parent().unwrap_or(&disk.path).display();
        let text = format!(
            "there is no room left in {dir} at the destination for disk {}: make room there",
            disk.target
        );
        return Refusal::new(RefusalKind::Failed(FailureClass::RefusedByDestination), text);
    }
    let text = format!("disk {} can't be written at the destination: {error}{}", disk.target, cause(error));
    Refusal::new(RefusalKind::Failed(FailureClass::LostOnTheWay), text)
}

fn cause(error: &NbdError) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

impl Copy<'_> {
    /// Copies everything; when this returns, the destination has it on its disk and all connections are closed.
    /// `may_go_on` is asked about ten times a second; an error ends the round.
    pub(super) fn run(&self, may_go_on: &dyn Fn() -> Answer<()>) -> Answer<()> {
        self.run_until(may_go_on, &|| false).map(drop)
    }

    /// The same, but no more is begun once it is over, which is asked as often. Gives, by disk, where that begins which is left.
    pub(super) fn run_until(
        &self,
        may_go_on: &dyn Fn() -> Answer<()>,
        is_over: &dyn Fn() -> bool,
    ) -> Answer<Vec<Option<u64>>> {
        // These stay open until all is done, as a qemu-nbd ends with its last client.
        let mut lines = self.all_lines()?;
        let queue = Mutex::new(self.look_at(&mut lines)?);
        let bytes = lock(&queue).bytes();
        let more = usize::try_from(bytes / WORTH_A_WORKER).unwrap_or(usize::MAX);
        let helpers = self.workers.take(more);
        self.progress.gate.begin();
        let done = thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            let first = {
                let (ended, queue, lines) = (ended.clone(), &queue, &mut lines);
                scope.spawn(move || self.ended(self.work_on_all(queue, lines), &ended))
            };
            let others: Vec<_> = (0..helpers.count())
                .map(|_| {
                    let (ended, queue) = (ended.clone(), &queue);
                    scope.spawn(move || self.ended(self.work(queue), &ended))
                })
                .collect();
            drop(ended);
            if let Some(guest) = self.guest {
                scope.spawn(|| self.progress.gate.keep(guest));
            }
            self.watch(&ends, may_go_on, &|| {
                if is_over() {
                    lock(&queue).close();
                }
            });
            self.progress.gate.end();
            others
                .into_iter()
                .chain([first])
                .map(|worker| worker.join().unwrap_or_else(|_| Err(panicked())))
                .collect::<Vec<_>>()
        });
        // Whoever failed first has ended the others, so its reason is the round's.
        self.progress.goes_on()?;
        done.into_iter().collect::<Answer<()>>()?;
        self.progress.watch_no_more();
        for (line, offer) in lines.into_iter().zip(&self.offers) {
            self.finish(line, offer.disk)?;
        }
        self.progress.sent(self.replica.sent_bytes(), Instant::now());
        let queue = lock(&queue);
        Ok((0..self.offers.len()).map(|disk| queue.left_of(disk)).collect())
    }

    /// A worker that failed ends all of them, so that none hangs for what will not come.
    fn ended(&self, done: Answer<()>, ended: &mpsc::Sender<()>) -> Answer<()> {
        if let Err(refusal) = &done {
            self.progress.end(refusal.clone());
        }
        let _ = ended.send(());
        done
    }

    /// Until all workers have ended.
    fn watch(&self, ends: &mpsc::Receiver<()>, may_go_on: &dyn Fn() -> Answer<()>, look: &dyn Fn()) {
        loop {
            match ends.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            self.progress.sent(self.replica.sent_bytes(), Instant::now());
            if let Err(refusal) = may_go_on() {
                self.progress.end(refusal);
            }
            look();
        }
    }

    fn all_lines(&self) -> Answer<Vec<Line>> {
        thread::scope(|scope| {
            let opened: Vec<_> =
                self.offers.iter().map(|offer| scope.spawn(move || self.line(offer))).collect();
            opened.into_iter().map(|line| line.join().unwrap_or_else(|_| Err(panicked()))).collect()
        })
    }

    fn line(&self, offer: &Offer<'_>) -> Answer<Line> {
        let disk = offer.disk;
        let told = |error: NbdError| at_source(disk, &error);
        let mut contexts = vec![ALLOCATION];
        if let What::Written(context) = &offer.what {
            contexts.push(context);
        }
        let socket = (self.source)(disk).map_err(|error| told(error.into()))?;
        let source = Nbd::open(socket, &offer.export, &contexts).map_err(told)?;
        self.progress.watch(&source).map_err(told)?;
        let told = |error: NbdError| at_destination(disk, &error);
        let target =
            Nbd::open(self.round.data(&disk.target).map_err(PeerError::in_round)?, "", &[]).map_err(told)?;
        self.progress.watch(&target).map_err(told)?;
        if source.size() > target.size() {
            let text = format!(
                "disk {} has {} bytes here and {} at the destination",
                disk.target,
                source.size(),
                target.size()
            );
            return Err(Refusal::new(RefusalKind::Failed(FailureClass::Unexpected), text));
        }
        Ok(Line { source, target })
    }

    /// What is to be done.
    fn look_at(&self, lines: &mut [Line]) -> Answer<Queue> {
        let mut all = Vec::new();
        let mut figures = Vec::new();
        for (index, (line, offer)) in lines.iter_mut().zip(&self.offers).enumerate() {
            let told = |error: NbdError| at_source(offer.disk, &error);
            let size = line.source.size();
            let from = if let What::Data { from } = offer.what { from.min(size) } else { 0 };
            let allocation = line.source.extents(ALLOCATION, from, size - from).map_err(told)?;
            let written;
            let wanted = match &offer.what {
                What::Data { from } => Wanted::Data { from: *from },
                What::Differences => Wanted::Differences,
                What::Written(context) => {
                    written = line.source.extents(context, 0, size).map_err(told)?;
                    let dirty = written.iter().filter(|extent| extent.flags & DIRTY != 0);
                    self.progress.found_dirty(dirty.map(|extent| extent.length).sum());
                    Wanted::Written(&written)
                }
            };
            let stretches = stretches::of(index, &allocation, wanted);
            let total_bytes = stretches.iter().map(|stretch| stretch.length).sum();
            // Later parts of a first copy find what is left of it.
            if matches!(offer.what, What::Data { .. }) && !self.progress.knows(&offer.disk.target) {
                self.progress.found_dirty(total_bytes);
            }
            figures.push((offer.disk.target.clone(), total_bytes));
            all.extend(stretches);
        }
        self.progress.set_disks(figures);
        Ok(Queue::new(all))
    }

    /// With connections that are open already.
    fn work_on_all(&self, queue: &Mutex<Queue>, lines: &mut [Line]) -> Answer<()> {
        let mut buffer = Vec::new();
        while let Some(piece) = next(queue) {
            self.piece(piece, &mut lines[piece.disk], &mut buffer)?;
        }
        Ok(())
    }

    /// With connections of its own, to one disk at a time.
    fn work(&self, queue: &Mutex<Queue>) -> Answer<()> {
        let mut buffer = Vec::new();
        let mut open: Option<(usize, Line)> = None;
        while let Some(piece) = next(queue) {
            let line = match open.take() {
                Some((disk, line)) if disk == piece.disk => line,
                other => {
                    if let Some((disk, line)) = other {
                        self.finish(line, self.offers[disk].disk)?;
                    }
                    self.line(&self.offers[piece.disk])?
                }
            };
            let (_, line) = open.insert((piece.disk, line));
            self.piece(piece, line, &mut buffer)?;
        }
        open.map_or(Ok(()), |(disk, line)| self.finish(line, self.offers[disk].disk))
    }

    fn finish(&self, mut line: Line, disk: &ReplicaDisk) -> Answer<()> {
        self.progress.goes_on()?;
        line.target
            .flush()
            .and_then(|()| line.target.close())
            .map_err(|error| at_destination(disk, &error))?;
        // It has served; how it ends does not matter.
        let _ = line.source.close();
        Ok(())
    }

    fn piece(&self, piece: Stretch, line: &mut Line, buffer: &mut Vec<u8>) -> Answer<()> {
        self.progress.goes_on()?;
        let disk = self.offers[piece.disk].disk;
        match piece.act {
            Act::Copy => {
                let buffer = sized(buffer, piece.length);
                self.read(line, disk, piece.offset, buffer)?;
                self.send(line, disk, piece.offset, buffer)?;
            }
            Act::Zero => {
                let zeroed = line.target.zero(piece.offset, piece.length);
                zeroed.map_err(|error| at_destination(disk, &error))?;
            }
            Act::Compare => return self.compare(piece, line, buffer),
            Act::CompareZero => self.compare_zero(piece, line, disk)?,
        }
        self.progress.done(piece.disk, piece.length);
        Ok(())
    }

    fn read(&self, line: &mut Line, disk: &ReplicaDisk, offset: u64, buffer: &mut [u8]) -> Answer<()> {
        let _reading = self.progress.may_read()?;
        line.source.read(offset, buffer).map_err(|error| at_source(disk, &error))
    }

    fn send(&self, line: &mut Line, disk: &ReplicaDisk, offset: u64, bytes: &[u8]) -> Answer<()> {
        // A first copy of an image that was written once and never trimmed has many of them.
        let written = if is_zero(bytes) {
            line.target.zero(offset, length(bytes))
        } else {
            self.progress.may_send(length(bytes))?;
            line.target.write(offset, bytes)
        };
        written.map_err(|error| at_destination(disk, &error))
    }

    fn compare(&self, piece: Stretch, line: &mut Line, buffer: &mut Vec<u8>) -> Answer<()> {
        let disk = self.offers[piece.disk].disk;
        let range = Range { target: &disk.target, offset: piece.offset, length: piece.length, chunk: CHUNK };
        let theirs = self.round.checksums(&range).map_err(PeerError::in_round)?;
        let mut theirs = theirs.iter();
        let end = piece.offset + piece.length;
        let mut at = piece.offset;
        while at < end {
            let bytes = sized(buffer, READ.min(end - at));
            self.read(line, disk, at, bytes)?;
            let differs: Vec<bool> = chunks(bytes)
                .map(|chunk| theirs.next().is_none_or(|theirs| blake3::hash(chunk).as_bytes() != theirs))
                .collect();
            // Neighbours that differ go in one request.
            let mut first = 0;
            for run in differs.chunk_by(|one, next| one == next) {
                let from = first * CHUNK_BYTES;
                first += run.len();
                if run[0] {
                    let part = &bytes[from..(first * CHUNK_BYTES).min(bytes.len())];
                    self.progress.found_dirty(length(part));
                    self.send(line, disk, at + length(&bytes[..from]), part)?;
                }
            }
            self.progress.done(piece.disk, length(bytes));
            at += length(bytes);
        }
        Ok(())
    }

    fn compare_zero(&self, piece: Stretch, line: &mut Line, disk: &ReplicaDisk) -> Answer<()> {
        let range =
            Range { target: &disk.target, offset: piece.offset, length: piece.length, chunk: HOLE_CHUNK };
        let theirs = self.round.checksums(&range).map_err(PeerError::in_round)?;
        let (full, rest) = (zeroes(HOLE_CHUNK), piece.length % HOLE_CHUNK);
        let last = if rest == 0 { full } else { zeroes(rest) };
        let mut at = piece.offset;
        let end = piece.offset + piece.length;
        for theirs in theirs {
            let here = HOLE_CHUNK.min(end - at);
            let wanted = if here == HOLE_CHUNK { full } else { last };
            if *wanted.as_bytes() != theirs {
                self.progress.found_dirty(here);
                line.target.zero(at, here).map_err(|error| at_destination(disk, &error))?;
            }
            at += here;
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "64 KiB")]
const CHUNK_BYTES: usize = CHUNK as usize;

fn chunks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(CHUNK_BYTES)
}

fn next(queue: &Mutex<Queue>) -> Option<Stretch> {
    lock(queue).take()
}

/// The buffer's beginning, in this length.
fn sized(buffer: &mut Vec<u8>, length: u64) -> &mut [u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The checksum of so many zeroes.
fn zeroes(count: u64) -> blake3::Hash {
    let block = [0_u8; 16 << 10];
    let mut hasher = blake3::Hasher::new();
    let mut left = count;
    while left > 0 {
        let now = left.min(length(&block));
        hasher.update(&block[..usize::try_from(now).unwrap_or(block.len())]);
        left -= now;
    }
    hasher.finalize()
}

fn panicked() -> Refusal {
    Refusal::new(
        RefusalKind::Failed(FailureClass::Unexpected),
        "a thread that copied has panicked; see the agent's log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_zeroes_is_that_of_zeroes() {
        for count in [0, 1, 65_536, 100_001] {
            let bytes = vec![0; usize::try_from(count).expect("small")];
            assert_eq!(zeroes(count), blake3::hash(&bytes), "{count}");
            assert!(is_zero(&bytes));
        }
        let mut bytes = vec![0; 1001];
        bytes[1000] = 1;
        assert!(!is_zero(&bytes));
    }
}
