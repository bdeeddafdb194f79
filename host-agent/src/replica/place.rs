//! Images and what goes with them are put where the server's definition names them, and taken out again: all or none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::ReplicaError;
use super::record::{Record, Stage};
use super::store::{Replicas, Work, move_new, remove_file, remove_overlays};
use super::tools::unpack;
use super::wire::{Content, Extra, LARGEST_EXTRA};
use crate::durable::{io_error, make_private_directory, sync_parent, write_durably};
use crate::hypervisor::replication::{FilledBy, Touched};

impl Replicas {
    pub(super) fn put_in_place(&self, work: &mut Work, by: FilledBy) -> Result<(), ReplicaError> {
        self.settle(work)?;
        match work.record.stage {
            Stage::InPlace => return Ok(()),
            Stage::Releasing { .. } => return Err(ReplicaError::Unknown),
            Stage::Beside | Stage::Landing { .. } | Stage::Placing | Stage::TakingOut { .. } => {}
        }
        if by == FilledBy::Rounds && work.record.content != Content::Landed {
            return Err(ReplicaError::NotLanded);
        }
        // Before anything is thrown away that a refusal would have to give back.
        work.record.refuse_if_tested()?;
        work.abandon();
        remove_overlays(&work.record)?;
        self.join(work)?;
        work.record.stage = Stage::Placing;
        self.save(&work.record)?;
        self.finish_placing(work)
    }

    pub(super) fn finish_placing(&self, work: &mut Work) -> Result<(), ReplicaError> {
        let placed = place_all(&work.record);
        if placed.is_err() {
            // None, then. If that fails as well, it is between, and a repeat of either goes on from there.
            take_all_out(&work.record)?;
        }
        work.record.stage = if placed.is_ok() { Stage::InPlace } else { Stage::Beside };
        self.save(&work.record)?;
        placed
    }

    pub(super) fn take_out(&self, work: &mut Work, touched: Touched) -> Result<(), ReplicaError> {
        match work.record.stage {
            Stage::Beside | Stage::Landing { .. } => return Ok(()),
            Stage::Releasing { .. } => return Err(ReplicaError::Unknown),
            // What was said first may be less than what is known now, not more.
            Stage::TakingOut { touched: Touched::Perhaps } => {}
            Stage::InPlace | Stage::Placing | Stage::TakingOut { touched: Touched::No } => {
                work.record.stage = Stage::TakingOut { touched };
                self.save(&work.record)?;
            }
        }
        self.settle(work)
    }

    pub(super) fn finish_taking_out(&self, work: &mut Work, touched: Touched) -> Result<(), ReplicaError> {
        take_all_out(&work.record)?;
        if touched == Touched::Perhaps {
            work.record.content = Content::Unknown;
        }
        work.record.stage = Stage::Beside;
        Ok(self.save(&work.record)?)
    }

    /// Keeps what goes with the disks, beside its place.
    pub(super) fn put_extra(&self, work: &mut Work, extra: &Extra, bytes: &[u8]) -> Result<(), ReplicaError> {
        if bytes.len() > LARGEST_EXTRA {
            return Err(ReplicaError::TooLarge { given: bytes.len(), most: LARGEST_EXTRA });
        }
        self.settle(work)?;
        match work.record.stage {
            Stage::Beside | Stage::Landing { .. } => {}
            Stage::InPlace | Stage::Placing | Stage::TakingOut { .. } => return Err(ReplicaError::InPlace),
            Stage::Releasing { .. } => return Err(ReplicaError::Unknown),
        }
        let path = extra.path();
        self.check_extra(&work.record, extra)?;
        let beside = work.record.beside(path);
        if !work.record.extras.contains(extra) {
            work.record.extras.push(extra.clone());
            self.save(&work.record)?;
        }
        match extra {
            Extra::Nvram { .. } => write_durably(&beside, bytes)?,
            Extra::Tpm { .. } => {
                remove_tree(&beside)?;
                make_private_directory(&beside)?;
                unpack(bytes, &beside)?;
                File::open(&beside)
                    .and_then(|directory| Ok(rustix::fs::syncfs(&directory)?))
                    .map_err(io_error("sync", &beside))?;
                sync_parent(&beside)?;
            }
        }
        Ok(())
    }

    fn check_extra(&self, record: &Record, extra: &Extra) -> Result<(), ReplicaError> {
        let (path, why) = match extra {
            Extra::Nvram { path } => {
                let is_disk = record.disks.iter().any(|disk| disk.path == *path);
                let real = self.within(path, &[&self.config.nvram])?;
                if !is_disk && !real.is_dir() {
                    return Ok(());
                }
                (path, "it is a disk or a directory, and no file for the variables of UEFI".to_owned())
            }
            Extra::Tpm { path } => {
                let right = self.config.swtpm.join(record.server.to_string());
                if *path == right {
                    return Ok(());
                }
                (path, format!("the state of this server's TPM is kept in {}", right.display()))
            }
        };
        Err(ReplicaError::Path { path: path.clone(), why })
    }

    /// Deletes what goes with disks that are deleted.
    pub(super) fn delete_extras(&self, record: &Record) -> Result<(), ReplicaError> {
        record.extras.iter().try_for_each(|extra| remove_tree(&record.beside(extra.path())))
    }

    /// Deletes what was there before.
    pub(super) fn keep_extras(&self, record: &Record) -> Result<(), ReplicaError> {
        record.extras.iter().try_for_each(|extra| remove_tree(&record.before(extra.path())))
    }
}

fn place_all(record: &Record) -> Result<(), ReplicaError> {
    for disk in &record.disks {
        move_new(&record.beside(&disk.path), &disk.path)?;
    }
    for extra in &record.extras {
        let (path, beside, before) = (extra.path(), record.beside(extra.path()), record.before(extra.path()));
        // NVRAM and the state of a TPM outlive a definition. What is there is of an earlier stay of this server, and is kept until this one
        // is for good.
        if is_there(&beside) && is_there(path) {
            move_new(path, &before)?;
        }
        move_new(&beside, path)?;
    }
    Ok(())
}

fn take_all_out(record: &Record) -> Result<(), ReplicaError> {
    let moved = |path: &Path| -> Option<PathBuf> {
        let beside = record.beside(path);
        (!is_there(&beside)).then_some(beside)
    };
    for extra in &record.extras {
        let (path, before) = (extra.path(), record.before(extra.path()));
        if let Some(beside) = moved(path) {
            move_new(path, &beside)?;
        }
        if is_there(&before) {
            move_new(&before, path)?;
        }
    }
    for disk in &record.disks {
        if let Some(beside) = moved(&disk.path) {
            move_new(&disk.path, &beside)?;
        }
    }
    Ok(())
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn remove_tree(path: &Path) -> Result<(), ReplicaError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            fs::remove_dir_all(path).map_err(io_error("remove", path))?;
            Ok(sync_parent(path)?)
        }
        Ok(_) | Err(_) => Ok(remove_file(path)?),
    }
}
