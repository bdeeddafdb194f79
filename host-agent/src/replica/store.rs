//! The replicas that this host holds.
//!
//! Each has a directory with its record; every step is written there before it is begun and after it was done, and may be repeated. Steps
//! of one replica are done one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_agent_api::{Base, HoldReplica, Images, ReleaseReplica};
use drover_policies::fleet::CertificateDigest;
use drover_policies::ids::ReplicaId;
use drover_policies::replica::ReplicaDisk;

use super::admission::resolved;
use super::config::Config;
use super::error::ReplicaError;
use super::fork::remove_layers;
use super::nbd;
use super::record::{Record, Stage};
use super::rounds::Running;
use super::tools::Image;
use super::wire::{Place, Status};
use crate::durable::{
    DiskError, Lock, io_error, make_private_directory, read_json, sync_parent, try_lock, write_json,
};

/// How long a step waits for another one of the same replica.
const TURN: Duration = Duration::from_secs(10);

/// Why a host can't hold replicas.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another agent has them.
    #[error(
        "{path} is locked by another agent; only one agent may hold replicas there, so stop the other one first"
    )]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
}

/// The replicas that this host holds.
#[derive(Debug)]
pub struct Replicas {
    root: PathBuf,
    pub(super) config: Config,
    /// The configured directories without symbolic links.
    pub(super) directories: Vec<PathBuf>,
    slots: Mutex<BTreeMap<ReplicaId, Arc<Slot>>>,
    /// Held while a new one is looked at and made, so that no two are made for one path.
    holding: Mutex<()>,
    /// Held open: the lock ends with it.
    _lock: Lock,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// By which its source is known.
    certificate: Mutex<CertificateDigest>,
    /// Where its disks go, without symbolic links.
    paths: Vec<PathBuf>,
    busy: Mutex<bool>,
    free: Condvar,
    work: Mutex<Work>,
}

/// What steps work on.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) record: Record,
    /// The round that goes on.
    pub(super) round: Option<Arc<Running>>,
}

/// The right to do a step, until it is dropped.
pub(super) struct Turn<'a> {
    // Given back in this order.
    work: MutexGuard<'a, Work>,
    _busy: Busy<'a>,
}

struct Busy<'a>(&'a Slot);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that panicked was doing is in the record, and is done again from there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    fn new(record: Record, paths: Vec<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            certificate: Mutex::new(record.source_certificate.clone()),
            paths,
            busy: Mutex::new(false),
            free: Condvar::new(),
            work: Mutex::new(Work { record, round: None }),
        })
    }

    pub(super) fn turn(&self) -> Result<Turn<'_>, ReplicaError> {
        let busy = lock(&self.busy);
        let (mut busy, waited) =
            self.free.wait_timeout_while(busy, TURN, |busy| *busy).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(ReplicaError::Busy);
        }
        *busy = true;
        drop(busy);
        let busy = Busy(self);
        Ok(Turn { work: lock(&self.work), _busy: busy })
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *lock(&self.0.busy) = false;
        self.0.free.notify_one();
    }
}

impl Deref for Turn<'_> {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.work
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.work
    }
}

impl Replicas {
    /// Opens what is held, and ends the processes of an earlier agent. What was cut off is finished by [`Replicas::recover`].
    ///
    /// # Errors
    /// When the directory can't be used, or another agent has it.
    pub fn open(config: Config, data_dir: &Path) -> Result<Arc<Self>, OpenError> {
        let root = data_dir.join("replicas");
        make_private_directory(&root)?;
        let path = root.join("lock");
        let Some(held) = try_lock(&path)? else { return Err(OpenError::Locked { path }) };
        nbd::end_orphans(&root).map_err(io_error("look for processes by", Path::new("/proc")))?;
        let resolve = |path: &PathBuf| fs::canonicalize(path).map_err(io_error("look at", path));
        let directories = config.directories.iter().map(resolve).collect::<Result<_, _>>()?;
        let replicas = Self {
            root,
            config,
            directories,
            slots: Mutex::default(),
            holding: Mutex::default(),
            _lock: held,
        };
        replicas.read()?;
        Ok(Arc::new(replicas))
    }

    fn read(&self) -> Result<(), DiskError> {
        for entry in fs::read_dir(&self.root).map_err(io_error("list", &self.root))? {
            let directory = entry.map_err(io_error("list", &self.root))?.path();
            let path = directory.join("record.json");
            if !directory.is_dir() {
                continue;
            }
            if !path.exists() {
                // Nothing was made yet, or nothing is left.
                fs::remove_dir_all(&directory).map_err(io_error("remove", &directory))?;
                continue;
            }
            match read_json::<Record>(&path)? {
                Ok(record) => {
                    let paths = record.disks.iter().filter_map(|disk| resolved(&disk.path).ok()).collect();
                    lock(&self.slots).insert(record.replica, Slot::new(record, paths));
                }
                Err(why) => tracing::error!(
                    "{} can't be understood: the replica is not held, and its files are left alone: {why}",
                    path.display()
                ),
            }
        }
        Ok(())
    }

    /// Finishes what an earlier agent was in the middle of: each replica ends with the round before or the round after, and with its images
    /// in their place or out of it. May take long, as a round that is complete is joined with its image.
    pub fn recover(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().cloned().collect();
        for slot in slots {
            let Ok(mut turn) = slot.turn() else { continue };
            let replica = turn.record.replica;
            if let Err(error) = self.settle(&mut turn) {
                tracing::warn!(%replica, "not finished yet, it is tried again when it is asked for: {}", error.failure().text);
            }
            if turn.round.is_none()
                && let Err(error) = remove_overlays(&turn.record)
            {
                tracing::warn!(%replica, "left behind: {error}");
            }
            if let Err(error) = self.join(&mut turn) {
                tracing::warn!(%replica, "not joined yet, the next round will do it: {}", error.failure().text);
            }
        }
    }

    /// Brings a step that was cut off to its end.
    pub(super) fn settle(&self, work: &mut Work) -> Result<(), ReplicaError> {
        match work.record.stage.clone() {
            Stage::Beside | Stage::InPlace => Ok(()),
            Stage::Landing { .. } => self.finish_landing(work),
            Stage::Placing => self.finish_placing(work),
            Stage::TakingOut { touched } => self.finish_taking_out(work, touched),
            Stage::Releasing { images } => self.finish_release(work, images),
        }
    }

    /// Whether some replica is to come from the agent with this certificate.
    pub(super) fn knows(&self, certificate: &CertificateDigest) -> bool {
        lock(&self.slots).values().any(|slot| *lock(&slot.certificate) == *certificate)
    }

    /// A replica, for the agent with this certificate.
    pub(super) fn of_source(
        &self,
        replica: ReplicaId,
        certificate: &CertificateDigest,
    ) -> Result<Arc<Slot>, ReplicaError> {
        self.slot(replica)
            .filter(|slot| *lock(&slot.certificate) == *certificate)
            .ok_or(ReplicaError::Unknown)
    }

    /// Which replica goes there, by a path without symbolic links.
    pub(super) fn holder_of(&self, path: &PathBuf) -> Option<ReplicaId> {
        lock(&self.slots).iter().find(|(_, slot)| slot.paths.contains(path)).map(|(id, _)| *id)
    }

    pub(super) fn slot(&self, replica: ReplicaId) -> Option<Arc<Slot>> {
        lock(&self.slots).get(&replica).cloned()
    }

    pub(super) fn directory(&self, replica: ReplicaId) -> PathBuf {
        self.root.join(replica.to_string())
    }

    pub(super) fn save(&self, record: &Record) -> Result<(), DiskError> {
        write_json(&self.directory(record.replica).join("record.json"), record)
    }

    /// Makes ready to take a replica. A repeat changes nothing, but takes the source's certificate anew.
    ///
    /// # Errors
    /// When it can't be held here: a file in its way, too little room, a path outside of the directories for disks, another replica.
    pub fn hold(&self, order: &HoldReplica) -> Result<(), ReplicaError> {
        let _one = lock(&self.holding);
        if let Some(slot) = self.slot(order.replica) {
            return self.hold_again(&slot, order);
        }
        let paths = self.check(order)?;
        let directory = self.directory(order.replica);
        make_private_directory(&directory)?;
        sync_parent(&directory)?;
        let record = Record::new(order);
        self.save(&record)?;
        let slot = Slot::new(record, paths);
        lock(&self.slots).insert(order.replica, Arc::clone(&slot));
        let mut turn = slot.turn()?;
        let made = self.make_images(&mut turn.record);
        if made.is_err()
            && let Err(error) = self.release_work(&mut turn, Images::Delete)
        {
            tracing::warn!(replica = %order.replica, "could not be held, and was not tidied: {error}");
        }
        made
    }

    fn hold_again(&self, slot: &Slot, order: &HoldReplica) -> Result<(), ReplicaError> {
        let mut turn = slot.turn()?;
        self.settle(&mut turn)?;
        if !turn.record.is_of(order) || matches!(turn.record.stage, Stage::Releasing { .. }) {
            return Err(ReplicaError::Different);
        }
        if turn.record.source_certificate != order.source_certificate {
            turn.record.source_certificate = order.source_certificate.clone();
            turn.record.source = order.source.clone();
            self.save(&turn.record)?;
            *lock(&slot.certificate) = order.source_certificate.clone();
        }
        if turn.record.landed == 0 && turn.round.is_none() {
            self.make_images(&mut turn.record)?;
        }
        Ok(())
    }

    /// Makes the images that are not there yet, or begins with what this host has retained.
    fn make_images(&self, record: &mut Record) -> Result<(), ReplicaError> {
        for n in 0..record.disks.len() {
            let Some(disk) = record.disks.get(n).cloned() else { break };
            let path = record.beside(&disk.path);
            let image = Image { path: &path, format: disk.format };
            let is_there = fs::exists(&path).map_err(io_error("look for", &path))?;
            match record.base {
                Base::New if is_there => {}
                Base::New => image.create(disk.virtual_bytes)?,
                Base::Retained => {
                    if !is_there && fs::exists(&disk.path).map_err(io_error("look for", &disk.path))? {
                        // Refused for a file that a running server has open.
                        Image { path: &disk.path, format: disk.format }.virtual_bytes()?;
                        move_new(&disk.path, &path)?;
                    } else if !is_there {
                        image.create(disk.virtual_bytes)?;
                    }
                    let virtual_bytes = image.virtual_bytes()?;
                    if let Some(known) = record.disks.get_mut(n) {
                        known.virtual_bytes = virtual_bytes;
                    }
                }
            }
            sync_parent(&path)?;
        }
        Ok(self.save(record)?)
    }

    /// Whether images are there that a server could be started from.
    ///
    /// # Errors
    /// For the first that is not there, is another kind of image, or that a running server has open.
    pub fn look_at(&self, disks: &[ReplicaDisk]) -> Result<(), ReplicaError> {
        for ReplicaDisk { source, format, .. } in disks {
            self.within(source, &[])?;
            Image { path: source, format: *format }.virtual_bytes()?;
        }
        Ok(())
    }

    /// What is there of a replica.
    pub(super) fn status(&self, work: &mut Work) -> Result<Status, ReplicaError> {
        self.settle(work)?;
        let record = &work.record;
        let place = match &record.stage {
            Stage::Beside | Stage::Landing { .. } => Place::Beside,
            Stage::InPlace => Place::InPlace,
            Stage::Placing | Stage::TakingOut { .. } => Place::Between,
            Stage::Releasing { .. } => return Err(ReplicaError::Unknown),
        };
        let in_the_way = match place {
            Place::Beside => {
                record.disks.iter().map(|disk| &disk.path).find(|path| fs::symlink_metadata(path).is_ok())
            }
            Place::InPlace | Place::Between => None,
        };
        Ok(Status { landed: record.landed, content: record.content, place, in_the_way: in_the_way.cloned() })
    }

    /// Holds a replica no longer. One that is not known is no error.
    ///
    /// # Errors
    /// When its files can't be removed; when it is in its place and is to be deleted, or is not and is to be kept.
    pub fn release(&self, order: &ReleaseReplica) -> Result<(), ReplicaError> {
        match self.slot(order.replica) {
            Some(slot) => self.release_work(&mut *slot.turn()?, order.images),
            None => Ok(()),
        }
    }

    fn release_work(&self, work: &mut Work, images: Images) -> Result<(), ReplicaError> {
        let images = match (&work.record.stage, images) {
            (Stage::InPlace | Stage::Placing | Stage::TakingOut { .. }, Images::Delete) => {
                return Err(ReplicaError::InPlace);
            }
            (
                Stage::Beside | Stage::Landing { .. } | Stage::Placing | Stage::TakingOut { .. },
                Images::Keep,
            ) => {
                return Err(ReplicaError::NotInPlace);
            }
            // What was begun is finished.
            (Stage::Releasing { images }, _) => *images,
            (Stage::InPlace, Images::Keep) | (Stage::Beside | Stage::Landing { .. }, Images::Delete) => {
                images
            }
        };
        work.record.refuse_if_tested()?;
        work.abandon();
        work.record.stage = Stage::Releasing { images };
        self.save(&work.record)?;
        self.finish_release(work, images)
    }

    fn finish_release(&self, work: &mut Work, images: Images) -> Result<(), ReplicaError> {
        let record = &work.record;
        match images {
            Images::Delete => {
                remove_overlays(record)?;
                remove_layers(record)?;
                // Retained disks that no round has reached are what they were.
                let is_untouched = record.base == Base::Retained && record.landed == 0;
                for disk in &record.disks {
                    let path = record.beside(&disk.path);
                    if is_untouched && path.exists() {
                        move_new(&path, &disk.path)?;
                    } else {
                        remove_file(&path)?;
                    }
                }
                self.delete_extras(record)?;
            }
            Images::Keep => self.keep_extras(record)?,
        }
        let directory = self.directory(record.replica);
        fs::remove_dir_all(&directory).map_err(io_error("remove", &directory))?;
        sync_parent(&directory)?;
        lock(&self.slots).remove(&record.replica);
        Ok(())
    }
}

pub(super) fn remove_overlays(record: &Record) -> Result<(), DiskError> {
    record.disks.iter().try_for_each(|disk| remove_file(&record.overlay(disk)))
}

pub(super) use crate::durable::remove as remove_file;

/// Gives a file another name, which nothing may have. Done already is no error.
pub(super) fn move_new(from: &Path, to: &Path) -> Result<(), ReplicaError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Ok(()) => {}
        Err(missing) if missing.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(to).is_ok() => {}
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ReplicaError::InTheWay { path: to.to_owned() });
        }
        Err(error) => return Err(io_error("move", from)(error).into()),
    }
    sync_parent(from)?;
    Ok(sync_parent(to)?)
}

#[cfg(test)]
mod tests;
