//! Test launches out of a replica. The images are frozen as the last round left them; a test guest writes into layers of its own over them,
//! and rounds land in others, which are joined with the images when the test is over.
//!
//! What is on the disk if we die on this line? The record says that the images are frozen only when all layers are there, and nothing was
//! written into any of them before; layers that no record speaks of are removed. Joining may be done any number of times, and until it is
//! done what shows the last round is the layer.

use std::path::PathBuf;

use drover_policies::ids::{ReplicaId, ServerId};
use drover_policies::replica::Point;

use super::admission::need_room;
use super::error::ReplicaError;
use super::record::{Fork, Record, Stage};
use super::rounds::{for_each_disk, sync};
use super::store::{Replicas, Work, remove_file};
use super::tools::{Image, commit};
use super::wire::Content;
use crate::durable::DiskError;

/// What must be free for a test guest to write into, in bytes, when it is launched.
const TEST_ROOM: u64 = 256 << 20;

/// What a test guest starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFiles {
    /// By disk, its layer.
    pub disks: Vec<(String, PathBuf)>,
    /// Where it may keep the variables of UEFI.
    pub vars: PathBuf,
}

impl Record {
    /// Whatever moves or deletes the images may not be done while a guest reads them.
    pub(super) fn refuse_if_tested(&self) -> Result<(), ReplicaError> {
        match self.fork {
            Fork::None | Fork::Joining => Ok(()),
            Fork::Made { .. } => Err(ReplicaError::Testing),
        }
    }
}

impl Replicas {
    /// Freezes what has landed last, for this guest. A repeat changes nothing.
    ///
    /// # Errors
    /// When no round has landed, one is being done, or there is too little room; when another guest's test goes on.
    pub fn freeze(&self, replica: ReplicaId, guest: ServerId) -> Result<Point, ReplicaError> {
        let slot = self.slot(replica).ok_or(ReplicaError::Unknown)?;
        let mut turn = slot.turn()?;
        self.settle(&mut turn)?;
        match turn.record.fork {
            Fork::Made { guest: known, point } if known == guest => return Ok(point),
            Fork::Made { .. } => return Err(ReplicaError::Testing),
            Fork::None | Fork::Joining => {}
        }
        if turn.round.is_some() {
            return Err(ReplicaError::Busy);
        }
        self.join(&mut turn)?;
        let point = point(&turn.record)?;
        let record = &turn.record;
        for disk in &record.disks {
            need_room(&disk.path, TEST_ROOM)?;
        }
        for_each_disk(record, |disk| {
            let path = record.beside(&disk.path);
            let image = Image { path: &path, format: disk.format };
            for layer in [record.next(disk), record.test(disk)] {
                image.create_overlay(&layer)?;
                sync(&layer)?;
            }
            Ok(())
        })?;
        turn.record.fork = Fork::Made { guest, point };
        self.save(&turn.record)?;
        Ok(point)
    }

    /// The guest that may run from a replica.
    pub fn tested_by(&self, replica: ReplicaId) -> Result<Option<ServerId>, ReplicaError> {
        let Some(slot) = self.slot(replica) else { return Ok(None) };
        Ok(match slot.turn()?.record.fork {
            Fork::Made { guest, .. } => Some(guest),
            Fork::None | Fork::Joining => None,
        })
    }

    /// What was made for this guest to start from.
    ///
    /// # Errors
    /// When nothing was.
    pub fn test_files(&self, replica: ReplicaId, guest: ServerId) -> Result<TestFiles, ReplicaError> {
        let slot = self.slot(replica).ok_or(ReplicaError::Unknown)?;
        let turn = slot.turn()?;
        let record = &turn.record;
        match (record.fork, record.test_vars()) {
            (Fork::Made { guest: known, .. }, Some(vars)) if known == guest => {
                let layer =
                    |disk: &drover_policies::replica::ReplicaDisk| (disk.target.clone(), record.test(disk));
                Ok(TestFiles { disks: record.disks.iter().map(layer).collect(), vars })
            }
            (Fork::None | Fork::Made { .. } | Fork::Joining, _) => Err(ReplicaError::Unknown),
        }
    }

    /// The test guest is gone: what it wrote is deleted, and what has landed since is joined with the images, now or before the next round.
    ///
    /// # Errors
    /// When its files can't be removed or joined.
    pub fn thaw(&self, replica: ReplicaId) -> Result<(), ReplicaError> {
        let Some(slot) = self.slot(replica) else { return Ok(()) };
        let mut turn = slot.turn()?;
        if let Fork::Made { .. } = turn.record.fork {
            turn.record.fork = Fork::Joining;
            self.save(&turn.record)?;
        }
        remove_tests(&turn.record)?;
        if turn.round.is_some() {
            return Ok(());
        }
        self.settle(&mut turn)?;
        self.join(&mut turn)
    }

    /// Joins what has landed while the images were frozen. No round may be going on: its layer lies over that.
    pub(super) fn join(&self, work: &mut Work) -> Result<(), ReplicaError> {
        match work.record.fork {
            Fork::None => return Ok(remove_layers(&work.record)?),
            Fork::Made { .. } => return Ok(()),
            Fork::Joining => {}
        }
        let record = &work.record;
        remove_tests(record)?;
        for_each_disk(record, |disk| {
            commit(&record.next(disk))?;
            sync(&record.beside(&disk.path))
        })?;
        work.record.fork = Fork::None;
        self.save(&work.record)?;
        Ok(remove_layers(&work.record)?)
    }
}

fn point(record: &Record) -> Result<Point, ReplicaError> {
    match (&record.stage, record.content, &record.last) {
        (Stage::Beside, Content::Landed, Some(last)) => {
            Ok(Point { round: last.number, consistent_at: last.consistent_at })
        }
        (Stage::Beside, _, _) => Err(ReplicaError::NotLanded),
        (Stage::Releasing { .. }, _, _) => Err(ReplicaError::Unknown),
        (Stage::Landing { .. } | Stage::Placing | Stage::InPlace | Stage::TakingOut { .. }, _, _) => {
            Err(ReplicaError::InPlace)
        }
    }
}

fn remove_tests(record: &Record) -> Result<(), DiskError> {
    record.disks.iter().try_for_each(|disk| remove_file(&record.test(disk)))?;
    record.test_vars().map_or(Ok(()), |vars| remove_file(&vars))
}

/// Of a test that is over, or was never begun.
pub(super) fn remove_layers(record: &Record) -> Result<(), DiskError> {
    remove_tests(record)?;
    record.disks.iter().try_for_each(|disk| remove_file(&record.next(disk)))
}
