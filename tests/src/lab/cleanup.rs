//! Taking a lab away, also one whose creator was killed in the middle of anything.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::process::wait_for;
use super::state::{LabState, RegistryLock};
use super::{host, network};

/// Ends every process of the lab and removes its network and files. Does nothing where nothing is.
///
/// # Errors
/// If something is left over; calling it again goes on.
pub fn remove(state: &LabState) -> Result<()> {
    for helper in state.helpers() {
        helper.kill();
    }
    for number in 1..=state.hosts {
        host::kill_all(state, number);
    }
    {
        let _lock = RegistryLock::take()?;
        network::remove(state);
    }
    // QEMU may still be letting go of a disk; and a directory is only gone when nobody has put anything into it meanwhile.
    let removed = wait_for(Duration::from_secs(10), Duration::from_millis(50), || {
        match fs::remove_dir_all(&state.dir) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(()),
            Err(_) => None,
        }
    });
    removed.with_context(|| format!("cannot remove {}", state.dir.display()))?;
    state.forget();
    Ok(())
}

/// Removes the lab of this name, whoever made it. False if there was none.
///
/// # Errors
/// As [`remove`].
pub fn remove_named(name: &str) -> Result<bool> {
    let Some(state) = LabState::load(name)? else { return Ok(false) };
    remove(&state)?;
    Ok(true)
}

/// Removes every lab of this machine and returns their names.
///
/// # Errors
/// As [`remove`].
pub fn remove_all() -> Result<Vec<String>> {
    LabState::all()?.into_iter().map(|state| remove(&state).map(|()| state.name)).collect()
}
