//! Rounds at the destination. What is on the disk if we die on this line? A round that was begun and not landed is thrown away, overlays and
//! all. From the moment the record says [`Stage::Landing`] it lands, whatever happens: its overlays are whole and on the disk, and
//! joining them with the images may be done any number of times.
//!
//! The first copy is written straight into the images, as nothing is lost when it is cut off: they hold nothing yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use drover_agent_api::Base;
use drover_policies::replica::{ImageFormat, ReplicaDisk, Round, RoundKind};
use tokio::sync::watch;

use super::admission::need_room;
use super::checksums::checksums;
use super::error::ReplicaError;
use super::nbd::{Export, NbdError, Reader};
use super::record::{Record, Stage};
use super::store::{Replicas, Work, lock, remove_file, remove_overlays};
use super::tools::{Image, commit};
use super::wire::{BeginRound, Checksums, Content, Covers, DiskSize};
use crate::durable::{io_error, sync_parent};

/// Data connections of one disk.
const MOST_CONNECTIONS: usize = 8;
/// How long a landing waits for data connections to be closed: the source has closed its ends, and that is on its way.
const CLOSING: Duration = Duration::from_secs(15);

/// Where a round is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Into a layer over each image.
    Overlay,
    /// Into the images.
    Straight,
}

/// A round that goes on.
#[derive(Debug)]
pub(super) struct Running {
    number: u64,
    written: Written,
    exports: Mutex<BTreeMap<String, Export>>,
    /// By disk.
    connections: Mutex<BTreeMap<String, usize>>,
    closed: Condvar,
    /// Dropped or changed when the round is over.
    over: watch::Sender<bool>,
}

/// A data connection of a round, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    running: Arc<Running>,
    target: String,
    /// Where it is put through to.
    pub(super) socket: PathBuf,
    /// Changes when the round is over: then it is cut.
    pub(super) over: watch::Receiver<bool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(open) = lock(&self.running.connections).get_mut(&self.target) {
            *open = open.saturating_sub(1);
        }
        self.running.closed.notify_all();
    }
}

impl Running {
    /// How many data connections are still open after a short wait.
    fn open(&self) -> usize {
        let sum = |open: &BTreeMap<String, usize>| open.values().sum::<usize>();
        let connections = lock(&self.connections);
        let (connections, _) = self
            .closed
            .wait_timeout_while(connections, CLOSING, |open| sum(open) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        sum(&connections)
    }

    fn socket(&self, target: &str) -> Result<PathBuf, ReplicaError> {
        let exports = lock(&self.exports);
        let known = || exports.keys().cloned().collect();
        let export = exports
            .get(target)
            .ok_or_else(|| ReplicaError::Disks { given: vec![target.to_owned()], known: known() })?;
        Ok(export.socket().to_owned())
    }
}

impl Work {
    /// Throws a round away that goes on: its connections are cut, its processes ended.
    pub(super) fn abandon(&mut self) {
        if let Some(running) = self.round.take() {
            running.over.send_replace(true);
            lock(&running.exports).clear();
        }
    }

    fn running(&self, number: u64) -> Result<&Arc<Running>, ReplicaError> {
        self.round.as_ref().filter(|round| round.number == number).ok_or(ReplicaError::NoRound(number))
    }

    /// Lets a data connection in.
    pub(super) fn connect(&self, number: u64, target: &str) -> Result<Connection, ReplicaError> {
        let running = self.running(number)?;
        let socket = running.socket(target)?;
        let mut connections = lock(&running.connections);
        let open = connections.entry(target.to_owned()).or_default();
        if *open >= MOST_CONNECTIONS {
            return Err(ReplicaError::Connections(*open));
        }
        *open += 1;
        drop(connections);
        let (running, over) = (Arc::clone(running), running.over.subscribe());
        Ok(Connection { running, target: target.to_owned(), socket, over })
    }

    /// Where the checksums of a disk can be read.
    pub(super) fn readable(&self, asked: &Checksums) -> Result<PathBuf, ReplicaError> {
        self.running(asked.round)?.socket(&asked.target)
    }
}

/// Reads checksums. Needs no turn: it only reads, and many at a time may.
pub(super) fn read_checksums(socket: &Path, asked: &Checksums) -> Result<Vec<u8>, ReplicaError> {
    let mut reader = Reader::connect(socket).map_err(NbdError::from)?;
    Ok(checksums(&mut reader, asked)?)
}

impl Replicas {
    pub(super) fn begin_round(&self, work: &mut Work, asked: &BeginRound) -> Result<(), ReplicaError> {
        self.settle(work)?;
        match work.record.stage {
            Stage::Beside => {}
            Stage::InPlace | Stage::Landing { .. } | Stage::Placing | Stage::TakingOut { .. } => {
                return Err(ReplicaError::InPlace);
            }
            Stage::Releasing { .. } => return Err(ReplicaError::Unknown),
        }
        check(&work.record, asked)?;
        work.abandon();
        remove_overlays(&work.record)?;
        self.join(work)?;
        need_rooms(&work.record, &asked.disks)?;
        self.enlarge(&mut work.record, &asked.disks)?;
        let written = self.prepare(&mut work.record, asked.kind)?;
        let exports = self.export(&work.record, written)?;
        work.round = Some(Arc::new(Running {
            number: asked.number,
            written,
            exports: Mutex::new(exports),
            connections: Mutex::default(),
            closed: Condvar::new(),
            over: watch::Sender::new(false),
        }));
        Ok(())
    }

    fn enlarge(&self, record: &mut Record, sizes: &[DiskSize]) -> Result<(), ReplicaError> {
        let mut grown = false;
        for n in 0..record.disks.len() {
            let Some(disk) = record.disks.get(n) else { break };
            let Some(size) = sizes.iter().find(|size| size.target == disk.target) else { continue };
            if size.virtual_bytes > disk.virtual_bytes {
                let (path, format) = record.image(disk);
                Image { path: &path, format }.enlarge(size.virtual_bytes)?;
                if let Some(disk) = record.disks.get_mut(n) {
                    disk.virtual_bytes = size.virtual_bytes;
                }
                grown = true;
            }
        }
        // After the images: one that is as large already is enlarged again without harm.
        if grown { Ok(self.save(record)?) } else { Ok(()) }
    }

    /// Makes what the round is written into.
    fn prepare(&self, record: &mut Record, kind: RoundKind) -> Result<Written, ReplicaError> {
        if !is_first(record) {
            for_each_disk(record, |disk| {
                let (path, format) = record.image(disk);
                Ok(Image { path: &path, format }.create_overlay(&record.overlay(disk))?)
            })?;
            return Ok(Written::Overlay);
        }
        if kind == RoundKind::Initial && record.content == Content::Partial {
            // The source leaves out what is empty, so nothing may be there.
            for disk in &record.disks {
                let path = record.beside(&disk.path);
                remove_file(&path)?;
                Image { path: &path, format: disk.format }.create(disk.virtual_bytes)?;
            }
        }
        record.content = Content::Partial;
        self.save(record)?;
        Ok(Written::Straight)
    }

    fn export(&self, record: &Record, written: Written) -> Result<BTreeMap<String, Export>, ReplicaError> {
        let directory = self.directory(record.replica);
        let mut exports = BTreeMap::new();
        for disk in &record.disks {
            let (path, format) = file_of(record, disk, written);
            let socket = directory.join(format!("{}.sock", disk.target));
            exports.insert(disk.target.clone(), Export::spawn(Image { path: &path, format }, socket)?);
        }
        // All of them begin at the same time.
        exports.values_mut().try_for_each(Export::hold)?;
        Ok(exports)
    }

    pub(super) fn land(&self, work: &mut Work, round: &Round) -> Result<(), ReplicaError> {
        self.settle(work)?;
        if round.number == work.record.landed {
            return Ok(());
        }
        let running = Arc::clone(work.running(round.number)?);
        match running.open() {
            0 => {}
            open => return Err(ReplicaError::Open(open)),
        }
        // From here on it lands, or is begun again.
        work.round = None;
        running.over.send_replace(true);
        let mut exports = std::mem::take(&mut *lock(&running.exports));
        exports.values_mut().for_each(Export::let_go);
        exports.into_values().try_for_each(Export::finish)?;
        let record = &work.record;
        for_each_disk(record, |disk| sync(&file_of(record, disk, running.written).0))?;
        match running.written {
            Written::Overlay => {
                work.record.stage = Stage::Landing { round: round.clone() };
                self.save(&work.record)?;
                self.finish_landing(work)
            }
            Written::Straight => self.landed(work, round.clone()),
        }
    }

    /// Joins a complete round with the images.
    pub(super) fn finish_landing(&self, work: &mut Work) -> Result<(), ReplicaError> {
        let Stage::Landing { round } = work.record.stage.clone() else { return Ok(()) };
        let record = &work.record;
        for_each_disk(record, |disk| {
            commit(&record.overlay(disk))?;
            sync(&record.image(disk).0)
        })?;
        self.landed(work, round)?;
        Ok(remove_overlays(&work.record)?)
    }

    fn landed(&self, work: &mut Work, round: Round) -> Result<(), ReplicaError> {
        let mut record = work.record.clone();
        record.landed = round.number;
        record.last = Some(round);
        record.content = Content::Landed;
        record.stage = Stage::Beside;
        // Only once it is on the disk: what could not be written has not happened.
        self.save(&record)?;
        work.record = record;
        Ok(())
    }
}

/// Does something with all disks at the same time: while a server is being cut over, it is waited for.
pub(super) fn for_each_disk(
    record: &Record,
    step: impl Fn(&ReplicaDisk) -> Result<(), ReplicaError> + Sync,
) -> Result<(), ReplicaError> {
    thread::scope(|scope| {
        let begin = |disk| {
            let step = &step;
            scope.spawn(move || step(disk))
        };
        let begun: Vec<_> = record.disks.iter().map(begin).collect();
        // All of them have ended before the first error is told.
        let ended: Vec<_> = begun.into_iter().map(ScopedJoinHandle::join).collect();
        ended.into_iter().try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn check(record: &Record, asked: &BeginRound) -> Result<(), ReplicaError> {
    if asked.number != record.landed + 1 {
        return Err(ReplicaError::Number { given: asked.number, landed: record.landed });
    }
    let (mut given, mut known): (Vec<String>, Vec<String>) = (
        asked.disks.iter().map(|size| size.target.clone()).collect(),
        record.disks.iter().map(|disk| disk.target.clone()).collect(),
    );
    given.sort();
    known.sort();
    if given != known {
        return Err(ReplicaError::Disks { given, known });
    }
    for size in &asked.disks {
        let DiskSize { target, virtual_bytes, .. } = size;
        if *virtual_bytes == 0 || virtual_bytes % 512 != 0 {
            return Err(ReplicaError::Size { target: target.clone(), virtual_bytes: *virtual_bytes });
        }
        let before = record.disk(target).map_or(0, |disk| disk.virtual_bytes);
        if *virtual_bytes < before {
            return Err(ReplicaError::Shrunk { target: target.clone(), before });
        }
    }
    match (asked.kind, record.content, asked.covers) {
        (RoundKind::Initial, Content::Unknown | Content::Landed, _) => Err(ReplicaError::NotEmpty),
        (_, Content::Empty | Content::Partial | Content::Unknown, Covers::Changes) => {
            Err(ReplicaError::Changes)
        }
        (_, Content::Landed, _) | (_, _, Covers::Everything) => Ok(()),
    }
}

/// Whether the images hold nothing that could be lost.
fn is_first(record: &Record) -> bool {
    record.landed == 0 && record.base == Base::New
}

/// Disks that go into one directory need its room together. What is written into a layer is there twice while it is joined.
fn need_rooms(record: &Record, sizes: &[DiskSize]) -> Result<(), ReplicaError> {
    let times = if is_first(record) { 1 } else { 2 };
    let mut needed: BTreeMap<&Path, u64> = BTreeMap::new();
    for size in sizes {
        let parent = record.disk(&size.target).and_then(|disk| disk.path.parent());
        if let Some(parent) = parent {
            let sum = needed.entry(parent).or_default();
            *sum = sum.saturating_add(size.expected_bytes.saturating_mul(times));
        }
    }
    needed.into_iter().try_for_each(|(parent, bytes)| need_room(&parent.join("image"), bytes))
}

fn file_of(record: &Record, disk: &ReplicaDisk, written: Written) -> (PathBuf, ImageFormat) {
    match written {
        Written::Overlay => (record.overlay(disk), ImageFormat::Qcow2),
        Written::Straight => (record.beside(&disk.path), disk.format),
    }
}

pub(super) fn sync(path: &Path) -> Result<(), ReplicaError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("sync", path))?;
    Ok(sync_parent(path)?)
}
