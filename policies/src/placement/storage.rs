//! Room for the copies of local disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::WhyNotHere;
use crate::attempt::Method;
use crate::blueprint::Blueprint;
use crate::eligibility::{copied_disks, needed_bytes};
use crate::fleet::{Ability, HostFacts, LocalStorage, Reach, Server};

/// What the copies of a server's local disks take up where they come to be, by path. Nothing of one that can't be copied: it goes nowhere.
pub(super) fn needed(server: &Server, shape: Option<&Blueprint>) -> BTreeMap<PathBuf, u64> {
    let Ok(copied) = copied_disks(&server.facts, shape) else { return BTreeMap::new() };
    let local = server.facts.disks.iter().filter(|disk| disk.reach == Reach::Local);
    copied.into_iter().zip(local).map(|(copy, disk)| (copy.path, needed_bytes(disk))).collect()
}

/// What a server asks of a host.
pub(super) struct Needs<'a> {
    /// By path, in bytes.
    pub(super) disks: &'a BTreeMap<PathBuf, u64>,
    /// Whether they have been copied there already.
    pub(super) settled: bool,
    /// How it is moved.
    pub(super) method: Method,
}

/// Whether a host has a directory for each disk, and room beside what `others` will still take.
pub(super) fn fits<'a>(
    needs: &Needs<'_>,
    others: impl Iterator<Item = (&'a PathBuf, &'a u64)>,
    here: &HostFacts,
) -> Result<(), WhyNotHere> {
    let Some(replication) = &here.replication else { return Err(WhyNotHere::NotReplicating) };
    if needs.method == Method::Live && !here.can(Ability::CopyLive) {
        return Err(WhyNotHere::NotCopyingLive);
    }
    // The longest path is the directory's own file system, if one lies in another.
    let of = |path: &Path| {
        let holding = replication.directories.iter().filter(|directory| path.starts_with(&directory.path));
        holding.max_by_key(|directory| directory.path.as_os_str().len())
    };
    let mut wanted: BTreeMap<&Path, (&LocalStorage, u64)> = BTreeMap::new();
    for (path, bytes) in needs.disks {
        let Some(directory) = of(path) else {
            return Err(WhyNotHere::NoDirectory { path: path.display().to_string() });
        };
        wanted.entry(&directory.path).or_insert((directory, 0)).1 += bytes;
    }
    if needs.settled {
        return Ok(());
    }
    let mut taken: BTreeMap<&Path, u64> = BTreeMap::new();
    for (path, bytes) in others {
        if let Some(directory) = of(path) {
            *taken.entry(&directory.path).or_default() += bytes;
        }
    }
    for (path, (directory, needs)) in wanted {
        let free = directory.free_bytes.saturating_sub(taken.get(path).copied().unwrap_or_default());
        if needs > free {
            return Err(WhyNotHere::DiskRoom { directory: path.display().to_string(), needs, free });
        }
    }
    Ok(())
}
