//! Files that are whole or not there, also after a power failure: temporary file, fsync, rename, fsync of the directory.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {kind}")]
pub struct DiskError {
    /// What was tried.
    pub what: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// The kind of the error.
    pub kind: io::ErrorKind,
    /// The system's error.
    #[source]
    pub source: io::Error,
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { what, path, kind: source.kind(), source }
}

/// Definitions hold secrets (passwords of consoles), so nobody else may read here.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), DiskError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("make directory", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io_error("restrict", path))
}

/// The outer error is the disk's, the inner one says what is wrong with the content.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Result<T, String>, DiskError> {
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| io_error("put into words", path)(io::Error::other(error)))?;
    write_durably(path, &bytes)
}

pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .map_err(io_error("create", &new))?;
    file.write_all(bytes).map_err(io_error("write", &new))?;
    file.sync_data().map_err(io_error("sync", &new))?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    sync_parent(path)
}

pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("remove", path)(source)),
    }
}

pub(crate) fn sync_parent(path: &Path) -> Result<(), DiskError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(io_error("sync", parent))
}

/// A file that is locked until this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// A program that another thread is starting at this moment has the file open as well, until it runs: closing it would not be enough.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!("a lock could not be given back: {error}");
        }
    }
}

/// Locks a file. Nothing when another process has it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Lock>, DiskError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}
