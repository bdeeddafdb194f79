//! What a lab writes down before it makes anything, so that any later process can take it away again.
//!
//! Nearly every resource's name follows from the lab's index, so this record is written once, before the first of them
//! exists, and still names them all after the creator was killed. Only processes outside of the hosts' network
//! namespaces have to be written down when they are started; each has a file of its own below the lab's directory, so
//! that whoever starts one need not have the record.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::process::ProcessId;

/// Where the records of all labs of this machine lie.
pub const REGISTRY: &str = "/run/drover-lab";

/// Where processes are written down, below the lab's directory.
const HELPERS: &str = "helpers";

/// The most hosts of one lab; host addresses end in 11 to 90.
pub const MOST_HOSTS: usize = 80;

/// The most guests of one lab; guest addresses end in 101 to 250.
pub const MOST_GUESTS: usize = 150;

/// The record of one lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabState {
    /// The lab's name, unique on this machine.
    pub name: String,
    /// A number no other lab of this machine has; addresses and device names come from it.
    pub index: u8,
    /// The directory that holds the lab's files and goes with it.
    pub dir: PathBuf,
    /// How many hosts it has, named h1, h2 and so on.
    pub hosts: usize,
    /// The process whose end makes this lab a dead one; none if the lab was meant to outlive its creator.
    pub creator: Option<ProcessId>,
}

impl LabState {
    /// The lab's bridge in the root namespace.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("dlab{}", self.index)
    }

    /// The lab's first address with the last part replaced: the bridge is 1.
    #[must_use]
    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.index, last)
    }

    /// The network namespace of a host, counted from 1.
    #[must_use]
    pub fn namespace(&self, host: usize) -> String {
        format!("dlab{}-h{host}", self.index)
    }

    /// The end of a host's link that lies in the root namespace.
    #[must_use]
    pub fn outer_link(&self, host: usize) -> String {
        format!("dlab{}h{host}", self.index)
    }

    /// The directory of a host's own files.
    #[must_use]
    pub fn host_dir(&self, host: usize) -> PathBuf {
        self.dir.join(format!("h{host}"))
    }

    /// The storage that all hosts share, as it is seen from outside.
    #[must_use]
    pub fn shared_dir(&self) -> PathBuf {
        self.dir.join("shared")
    }

    /// Whether the process that the lab belongs to is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.creator.is_some_and(|creator| !creator.is_alive())
    }

    /// Writes down a process that ends with the lab.
    ///
    /// # Errors
    /// If the lab's directory cannot be written.
    pub fn add_helper(&self, process: ProcessId) -> Result<()> {
        let dir = self.dir.join(HELPERS);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(process.pid.to_string()), serde_json::to_vec(&process)?)
            .with_context(|| format!("cannot write {}", dir.display()))
    }

    /// The processes that were written down, those that have ended included.
    pub(super) fn helpers(&self) -> Vec<ProcessId> {
        let Ok(entries) = fs::read_dir(self.dir.join(HELPERS)) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect()
    }

    /// Writes the record; a reader sees the old one or the new one, never a part.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub fn save(&self) -> Result<()> {
        let path = path_of(&self.name);
        let draft = path.with_extension("draft");
        let mut file = File::create(&draft).with_context(|| format!("cannot write {}", draft.display()))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The record of the lab of this name, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(name: &str) -> Result<Option<Self>> {
        let path = path_of(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The records of all labs of this machine.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut labs = Vec::new();
        let Ok(entries) = fs::read_dir(REGISTRY) else { return Ok(labs) };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            {
                labs.extend(Self::load(name)?);
            }
        }
        labs.sort_by_key(|lab| lab.index);
        Ok(labs)
    }

    /// Forgets the lab; the last step of taking it away.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(path_of(&self.name));
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(REGISTRY).join(format!("{name}.json"))
}

/// Held while an index is chosen and while namespaces come and go, so that labs made at the same time do not meet.
pub(super) struct RegistryLock {
    _file: File,
}

impl RegistryLock {
    pub(super) fn take() -> Result<Self> {
        fs::create_dir_all(REGISTRY).with_context(|| format!("cannot make {REGISTRY}; is this root?"))?;
        let file = File::create(Path::new(REGISTRY).join("lock"))?;
        file.lock()?;
        Ok(Self { _file: file })
    }
}

/// Refuses names that would not do as a file name or a word on a command line.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let good = !name.is_empty()
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.starts_with('-');
    if !good {
        bail!(
            "{what} {name:?}: give 1 to 40 lower-case letters, digits and dashes, not starting with a dash"
        );
    }
    Ok(())
}
