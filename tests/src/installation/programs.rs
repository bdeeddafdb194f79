//! Drover's own programs, as cargo has built them beside the running one.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The scheduler.
    pub scheduler: PathBuf,
    /// The host agent.
    pub agent: PathBuf,
    /// The command line.
    pub drover: PathBuf,
}

impl Programs {
    /// Those of the profile that the running test or demonstration was built with. Cargo itself tells a test of the
    /// programs of its own package only.
    ///
    /// # Errors
    /// If one is not built; the message says which command builds it.
    pub fn find() -> Result<Self> {
        Ok(Self {
            scheduler: Self::beside("drover-scheduler")?,
            agent: Self::beside("drover-agent")?,
            drover: Self::beside("drover")?,
        })
    }

    /// One program of this workspace.
    ///
    /// # Errors
    /// As [`Programs::find`].
    pub fn beside(name: &str) -> Result<PathBuf> {
        let this = std::env::current_exe().context("cannot find out where this program is")?;
        let dir = this.parent().context("this program is in no directory")?;
        // Tests are one level deeper than programs.
        let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
        let path = dir.join(name);
        if !path.is_file() {
            let release = if dir.ends_with("release") { " --release" } else { "" };
            bail!("{} is not there; `cargo build{release} --workspace --bins` builds it", path.display());
        }
        Ok(path)
    }
}
