//! What is looked at before a replica is held: may it be where it is to be, and is there room?

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use drover_agent_api::{Base, HoldReplica};
use drover_policies::replica::ReplicaDisk;

use super::config::room;
use super::error::ReplicaError;
use super::record::{LONGEST_SUFFIX, Record};
use super::store::Replicas;
use crate::durable::io_error;

/// What must be free where a replica is to be, in bytes, for its images' heads. How much the first round needs is known when it begins.
const LEAST_ROOM: u64 = 64 << 20;
/// The longest name of a file.
const LONGEST_NAME: usize = 255;

impl Replicas {
    /// Looks at an order before anything is touched. Gives back the disks' paths without symbolic links.
    pub(super) fn check(&self, order: &HoldReplica) -> Result<Vec<PathBuf>, ReplicaError> {
        let targets: BTreeSet<&str> = order.disks.iter().map(|disk| disk.target.as_str()).collect();
        if targets.is_empty() || targets.len() != order.disks.len() {
            let target = order.disks.first().map(|disk| disk.target.clone()).unwrap_or_default();
            return Err(ReplicaError::Name { target });
        }
        let named = Record::new(order);
        let mut paths: Vec<PathBuf> = Vec::new();
        for disk in &order.disks {
            let path = self.check_disk(disk, order.base)?;
            if paths.contains(&path) {
                return Err(ReplicaError::Path { path, why: "two disks can't have one file".to_owned() });
            }
            let other = self.holder_of(&path);
            if let Some(by) = other {
                return Err(ReplicaError::HeldByOther { path, by });
            }
            // Made by a replica whose record is lost: it would be taken for this one's.
            let beside = named.beside(&disk.path);
            if fs::symlink_metadata(&beside).is_ok() {
                return Err(ReplicaError::InTheWay { path: beside });
            }
            need_room(&path, LEAST_ROOM)?;
            paths.push(path);
        }
        Ok(paths)
    }

    fn check_disk(&self, disk: &ReplicaDisk, base: Base) -> Result<PathBuf, ReplicaError> {
        let ReplicaDisk { target, path, virtual_bytes, .. } = disk;
        if target.is_empty() || target.len() > 32 || !target.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(ReplicaError::Name { target: target.clone() });
        }
        if *virtual_bytes == 0 || virtual_bytes % 512 != 0 {
            return Err(ReplicaError::Size { target: target.clone(), virtual_bytes: *virtual_bytes });
        }
        let real = self.within(path, &[])?;
        let in_the_way = || ReplicaError::InTheWay { path: path.clone() };
        match (fs::symlink_metadata(&real), base) {
            (Err(missing), _) if missing.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) => return Err(io_error("look for", path)(error).into()),
            (Ok(_), Base::New) => return Err(in_the_way()),
            (Ok(found), Base::Retained) if found.is_file() => {}
            (Ok(_), Base::Retained) => {
                return Err(ReplicaError::Path { path: path.clone(), why: "it is no plain file".to_owned() });
            }
        }
        Ok(real)
    }

    /// The path without symbolic links, if it lies in one of the directories for disks or in one of these.
    pub(super) fn within(&self, path: &Path, others: &[&Path]) -> Result<PathBuf, ReplicaError> {
        let refuse = |why: String| ReplicaError::Path { path: path.to_owned(), why };
        let is_plain = path.is_absolute()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let name =
            path.file_name().filter(|_| is_plain && !path.as_os_str().as_encoded_bytes().ends_with(b"/"));
        let Some(name) = name else {
            return Err(refuse("write the file's whole path, without \"..\"".to_owned()));
        };
        if name.len() + LONGEST_SUFFIX > LONGEST_NAME {
            return Err(refuse("its name is too long to put a few letters after it".to_owned()));
        }
        let real = resolved(path).map_err(|error| refuse(format!("its directory can't be used: {error}")))?;
        let others = others.iter().filter_map(|other| fs::canonicalize(other).ok());
        let allowed: Vec<PathBuf> = self.directories.iter().cloned().chain(others).collect();
        if allowed.iter().any(|directory| real.parent().is_some_and(|parent| parent.starts_with(directory))) {
            return Ok(real);
        }
        let names: Vec<String> = allowed.iter().map(|directory| directory.display().to_string()).collect();
        Err(refuse(format!(
            "this host takes disks below {} only; see `replication.directories` in its agent's configuration",
            names.join(", ")
        )))
    }
}

/// A path whose directory has no symbolic links.
pub(super) fn resolved(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(parent)?.join(name))
}

/// Refuses where a file is to be that takes so much.
pub(super) fn need_room(path: &Path, needed_bytes: u64) -> Result<(), ReplicaError> {
    let directory = path.parent().unwrap_or(path);
    let found = room(directory).map_err(io_error("look at", directory))?;
    if found.free_bytes >= needed_bytes {
        return Ok(());
    }
    Err(ReplicaError::NoRoom { path: directory.to_owned(), free_bytes: found.free_bytes, needed_bytes })
}
