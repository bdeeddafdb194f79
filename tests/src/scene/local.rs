//! What a scene has for servers with local disks.

use std::path::PathBuf;

use anyhow::Result;

use super::{BOOT, Scene};
use crate::installation::SCRATCH;
use crate::lab::{LOCAL_STORAGE, Lab, Witness};

/// MiB of each host's local storage, where guests have local disks.
const LOCAL_MIB: u32 = 2048;

/// What the file names of replicas have in them.
pub const REPLICA_MARK: &str = ".drover-";

/// MiB of each host's scratch space: twenty servers replicate at once, each of whose disks has room set aside.
const SCRATCH_MIB: u32 = 192;

/// Gives each host local storage and scratch space of their own, small enough to be filled, and puts the witness there.
pub(super) fn furnish(lab: &Lab) -> Result<Witness> {
    for host in lab.hosts() {
        host.mount_small(LOCAL_STORAGE, LOCAL_MIB)?;
        host.mount_small(SCRATCH, SCRATCH_MIB)?;
    }
    Witness::install(lab)
}

impl Scene {
    /// What is left of local disks has nobody any more that it is for; a replica is deleted by Drover, once its migration is cancelled.
    pub(super) fn delete_local_disks(&self) -> Result<()> {
        if self.witness.is_none() {
            return Ok(());
        }
        self.drover.wait("replicas to be released", BOOT, || {
            let mut files = self.local_files()?.into_iter();
            Ok((!files.any(|file| file.to_string_lossy().contains(REPLICA_MARK))).then_some(()))
        })?;
        self.local_files()?.iter().try_for_each(|file| Ok(std::fs::remove_file(file)?))
    }

    /// All files in the local storage of all hosts, as seen from outside.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn local_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for host in self.lab.hosts() {
            for entry in std::fs::read_dir(host.inside(LOCAL_STORAGE))? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    files.push(entry.path());
                }
            }
        }
        Ok(files)
    }
}
