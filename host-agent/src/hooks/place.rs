//! The directory of one hook: how agent and supervisor know of each other, whichever of them dies.
//!
//! ```text
//! run.json       what is to be run: by the agent, before it starts a supervisor
//! lock           held by the supervisor as long as the hook goes on
//! begun.json     by the supervisor, before it begins the hook: whoever finds this does not begin it again
//! output.json    what has been written so far
//! ended.json     how it ended, the last thing that the supervisor writes; by the agent, for one that is not going to be begun
//! stop           by the agent: it is to be ended, or not to be begun
//! reboots        by the hook: it reboots the host
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use drover_policies::hooks::{HookOutcome, HookOutput};
use drover_policies::time::{Instant, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::{
    DiskError, Lock, io_error, make_private_directory, read_json, try_lock, write_durably, write_json,
};

/// What one of the files holds.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// The file.
    const NAME: &'static str;
}

/// What is to be run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) program: PathBuf,
    pub(super) limit: Span,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) boot_id: Option<String>,
}

/// It may run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    pub(super) at: Instant,
    pub(super) boot_id: Option<String>,
}

/// What it has written so far.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) output: HookOutput,
    pub(super) line: Option<String>,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) outcome: HookOutcome,
    pub(super) took: Span,
}

impl Kept for Run {
    const NAME: &'static str = "run.json";
}

impl Kept for Begun {
    const NAME: &'static str = "begun.json";
}

impl Kept for Written {
    const NAME: &'static str = "output.json";
}

impl Kept for Ended {
    const NAME: &'static str = "ended.json";
}

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn make(&self) -> Result<(), DiskError> {
        make_private_directory(&self.directory)
    }

    pub(super) fn remove(&self) -> Result<(), DiskError> {
        match fs::remove_dir_all(&self.directory) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(io_error("remove", &self.directory)),
        }
    }

    pub(super) fn read<T: Kept>(&self) -> Result<Option<T>, DiskError> {
        let path = self.directory.join(T::NAME);
        if !self.has(T::NAME)? {
            return Ok(None);
        }
        let unreadable = |why| io_error("understand", &path)(io::Error::new(io::ErrorKind::InvalidData, why));
        read_json(&path)?.map(Some).map_err(unreadable)
    }

    pub(super) fn write<T: Kept>(&self, value: &T) -> Result<(), DiskError> {
        write_json(&self.directory.join(T::NAME), value)
    }

    /// Held until it is dropped. Nothing when a supervisor has it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, DiskError> {
        try_lock(&self.directory.join("lock"))
    }

    /// Whether a supervisor has it.
    pub(super) fn is_held(&self) -> Result<bool, DiskError> {
        Ok(self.lock()?.is_none())
    }

    pub(super) fn stop(&self) -> Result<(), DiskError> {
        write_durably(&self.directory.join("stop"), b"")
    }

    pub(super) fn is_to_stop(&self) -> Result<bool, DiskError> {
        self.has("stop")
    }

    /// What the hook makes to say that it reboots the host.
    pub(super) fn reboot_file(&self) -> PathBuf {
        self.directory.join("reboots")
    }

    pub(super) fn reboots(&self) -> Result<bool, DiskError> {
        self.has("reboots")
    }

    fn has(&self, name: &str) -> Result<bool, DiskError> {
        let path = self.directory.join(name);
        fs::exists(&path).map_err(io_error("look for", &path))
    }
}
