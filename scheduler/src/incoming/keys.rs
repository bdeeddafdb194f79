//! The keys that sign the addresses to which answers go, in a file of the data directory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use drover_notifier::reply::{BadKeys, Keys};

use crate::clock;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file can't be read or written.
    #[error("the keys in {} can't be {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{} can be read by others (mode {mode:o}); they could answer in every owner's name: chmod 600 it, and put a new first line into it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds none.
    #[error("{} is wrong", path.display())]
    Bad {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BadKeys,
    },
}

const HEADER: &str = "# Keys that sign the addresses to which owners answer, one on each line. The first one signs; all are recognised.
# To rotate: put a new line before the others (openssl rand -hex 32) and start the scheduler anew; remove the old one when no ticket
# is open that is older than that.
";

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("reply-keys")
}

/// Makes the file with one key, if it isn't there.
///
/// # Errors
/// It can't be written.
pub fn make_keys(data_dir: &Path) -> Result<(), KeysError> {
    let path = path_in(data_dir);
    let failed = |source| KeysError::File { path: path.clone(), what: "written", source };
    if path.exists() {
        return Ok(());
    }
    // Whole or not at all: half a key would be another key after the next start.
    let half = data_dir.join(".reply-keys.new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)
        .map_err(failed)?;
    file.write_all(format!("{HEADER}{}\n", Keys::write(clock::secret())).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&half, &path).map_err(failed)?;
    fs::File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// Reads the keys; makes one first where there is no file.
///
/// # Errors
/// The file can't be read, others can read it, or it holds no keys.
pub fn read_keys(data_dir: &Path) -> Result<Keys, KeysError> {
    make_keys(data_dir)?;
    let path = path_in(data_dir);
    let failed = |source| KeysError::File { path: path.clone(), what: "read", source };
    let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { path, mode });
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    Keys::read(&text).map_err(|source| KeysError::Bad { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_us_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = read_keys(folder.path()).expect("keys");
        assert_eq!(read_keys(folder.path()).expect("the same keys"), made);
        let path = path_in(folder.path());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("opened");
        let refused = read_keys(folder.path()).expect_err("others can read it").to_string();
        assert!(refused.contains("mode 640") && refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_file_without_a_key_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        make_keys(folder.path()).expect("made");
        fs::write(path_in(folder.path()), "# nothing\n").expect("written");
        assert!(matches!(read_keys(folder.path()), Err(KeysError::Bad { source: BadKeys::None, .. })));
    }
}
