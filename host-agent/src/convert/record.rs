//! What an import knows between two of its steps, on disk.
//!
//! ```text
//! <data_dir>/imports/appliance/          the converter's appliance, kept for the next import
//! <data_dir>/imports/<name>/lock         held by the one import of this server
//! <data_dir>/imports/<name>/record.json  how far it is
//! <data_dir>/imports/<name>/tmp/         the converter's /tmp
//! <path of a disk>.import                the copy of its source
//! <path of a disk>.import-fixes          an overlay over it, into which the converter writes
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use drover_policies::ids::ServerId;
use drover_policies::import::{Description, Found, ServerName};
use serde::{Deserialize, Serialize};

use crate::durable::{
    DiskError, Lock, io_error, make_private_directory, read_json, remove, try_lock, write_json,
};

/// An import that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the server is called by here.
    pub server: ServerId,
    /// What is imported.
    pub description: Description,
    /// How far it is.
    pub stage: Stage,
}

/// How far an import is. Whatever comes after the stage may have been done in part, and is done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Disks are being copied.
    Copying {
        /// Those whose copies are whole.
        copied: BTreeSet<String>,
    },
    /// The conversion has ended well; what it wrote is in the overlays.
    Fixed {
        /// What it found.
        found: Found,
    },
    /// What it wrote is in the images.
    Merged {
        /// What it found.
        found: Found,
    },
    /// The images have their names.
    Placed {
        /// What it found.
        found: Found,
    },
    /// libvirt knows the server.
    Defined {
        /// What it found.
        found: Found,
    },
}

/// Why the record of an import could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another import of this server runs.
    #[error("{path} is locked: another import of this server runs; wait for its end, or end it")]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// The record is not understood.
    #[error("{path} is not understood ({why}); retry it anew (`drover imports retry --anew`)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The directory of one import, held by this process alone.
#[derive(Debug)]
pub struct Workplace {
    imports: PathBuf,
    own: PathBuf,
    _lock: Lock,
}

impl Workplace {
    /// Opens the directory of a server's import, makes it if it is new, and holds it.
    ///
    /// # Errors
    /// When it can't be used, or another import of this server runs.
    pub fn open(data_dir: &Path, name: &ServerName) -> Result<Self, RecordError> {
        let imports = data_dir.join("imports");
        let own = imports.join(name.as_str());
        make_private_directory(&imports)?;
        make_private_directory(&own)?;
        let path = own.join("lock");
        match try_lock(&path)? {
            Some(lock) => Ok(Self { imports, own, _lock: lock }),
            None => Err(RecordError::Locked { path }),
        }
    }

    fn record(&self) -> PathBuf {
        self.own.join("record.json")
    }

    /// The record; nothing before the import's first step.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn load(&self) -> Result<Option<Record>, RecordError> {
        let path = self.record();
        match read_json(&path) {
            Ok(Ok(record)) => Ok(Some(record)),
            Ok(Err(why)) => Err(RecordError::Unreadable { path, why }),
            Err(error) if error.kind == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the record. When this returns it is on the disk.
    ///
    /// # Errors
    /// When it could not be written; it is as it was before.
    pub fn save(&self, record: &Record) -> Result<(), DiskError> {
        write_json(&self.record(), record)
    }

    /// Forgets the record; none is no error.
    ///
    /// # Errors
    /// When it could not be removed.
    pub fn forget(&self) -> Result<(), DiskError> {
        remove(&self.record())
    }

    /// The converter's `/tmp`, empty.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn fresh_tmp(&self) -> Result<PathBuf, DiskError> {
        self.remove_tmp()?;
        let tmp = self.own.join("tmp");
        make_private_directory(&tmp)?;
        Ok(tmp)
    }

    /// Removes the converter's `/tmp`; none is no error.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove_tmp(&self) -> Result<(), DiskError> {
        let tmp = self.own.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Ok(()) => Ok(()),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io_error("remove", &tmp)(source)),
        }
    }

    /// Where the converter keeps its appliance, some 400 MB, which takes ten seconds to make.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn appliance(&self) -> Result<PathBuf, DiskError> {
        let appliance = self.imports.join("appliance");
        make_private_directory(&appliance)?;
        Ok(appliance)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Where the copy of a disk lies until it is put in its place.
#[must_use]
pub fn image(path: &Path) -> PathBuf {
    beside(path, ".import")
}

/// Where the converter writes.
#[must_use]
pub fn overlay(path: &Path) -> PathBuf {
    beside(path, ".import-fixes")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name() -> ServerName {
        "legacy".parse().expect("a name")
    }

    fn record() -> Record {
        let text = "[import]\nname = \"legacy\"\nmemory_mib = 64\nvcpus = 1\n\
            [[disk]]\ntarget = \"vda\"\nsource = \"/a.vmdk\"\npath = \"/b.qcow2\"\n";
        Record {
            server: ServerId(Uuid::from_u128(7)),
            description: crate::convert::described(text),
            stage: Stage::Fixed { found: Found { warnings: vec!["oh".to_owned()], ..Found::default() } },
        }
    }

    #[test]
    fn what_was_saved_is_found_again_and_forgotten_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let workplace = Workplace::open(directory.path(), &name()).expect("new");
        assert_eq!(workplace.load().expect("none"), None);
        workplace.save(&record()).expect("saved");
        drop(workplace);
        let workplace = Workplace::open(directory.path(), &name()).expect("again");
        assert_eq!(workplace.load().expect("some"), Some(record()));
        workplace.forget().and_then(|()| workplace.forget()).expect("forgotten, twice");
        assert_eq!(workplace.load().expect("none"), None);
    }

    #[test]
    fn a_second_import_of_the_same_server_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = Workplace::open(directory.path(), &name()).expect("new");
        assert!(matches!(Workplace::open(directory.path(), &name()), Err(RecordError::Locked { .. })));
        assert!(Workplace::open(directory.path(), &"other".parse().expect("a name")).is_ok());
    }

    #[test]
    fn a_spoiled_record_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let workplace = Workplace::open(directory.path(), &name()).expect("new");
        fs::write(workplace.record(), "{").expect("spoiled");
        let error = workplace.load().expect_err("refused").to_string();
        assert!(error.contains("record.json") && error.contains("--anew"), "{error}");
    }
}
