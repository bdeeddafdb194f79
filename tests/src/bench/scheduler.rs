//! The real scheduler as a process of its own, on SQLite, for measurements whose hosts are played.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::start::{free_address, wait_until_ready};
use crate::installation::{Api, Programs, init, write_secret};

/// It ends with this.
pub(super) struct Scheduler {
    pub(super) api: Api,
    child: Child,
    // Deleted last.
    _dir: tempfile::TempDir,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scheduler {
    /// Starts it with this policy and more of its configuration, as TOML.
    pub(super) fn start(policy: &str, more: &str) -> Result<Self> {
        let programs = Programs::find()?;
        // On a disk, as in earnest.
        fs::create_dir_all(crate::lab::DEFAULT_DIR)?;
        let dir = tempfile::tempdir_in(crate::lab::DEFAULT_DIR)?;
        let path = |name: &str| dir.path().join(name);
        let address = free_address()?;
        fs::write(path("policy.toml"), policy)?;
        let config = format!(
            "data_dir = {:?}\nlisten = \"{address}\"\npolicies = {:?}\n{more}",
            path("data"),
            path("policy.toml")
        );
        fs::write(path("scheduler.toml"), config)?;
        let token = init(&programs, dir.path())?;
        write_secret(&path("token"), &token)?;
        let mut child = Command::new(&programs.scheduler)
            .arg("--config")
            .arg(path("scheduler.toml"))
            .arg("serve")
            .env("DROVER_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", programs.scheduler.display()))?;
        wait_until_ready(&mut child, address, Instant::now())
            .with_context(|| fs::read_to_string(path("log")).unwrap_or_default())?;
        let api = Api::new(&format!("http://{address}"), &token)?;
        Ok(Self { api, child, _dir: dir })
    }
}
