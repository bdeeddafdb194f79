//! What the agent must not forget: a directory with a JSON file per operation, the count of its starts, and the definitions it
//! has taken away from libvirt.
//!
//! ```text
//! lock                        held by the one agent that works with this ledger
//! incarnation                 how often an agent has started here
//! operations/<id>.json        one operation: its order, its wish, where it is or how it ended
//! acknowledged/<event>.json   an event that its server's guest has acknowledged, until the scheduler has taken that
//! retained/<server>.json      the definition of a server that has left this host by a reboot migration
//! *.unreadable                a file that could not be read, set aside
//! ```
//!
//! A write is whole or not there: temporary file, fsync, rename, fsync of the directory. What a driver is about to do is
//! written before it is done, so that after a kill at any point the ledger names everything that may have happened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use drover_agent_api::Acknowledgement;
use drover_policies::fleet::Autostart;
use drover_policies::ids::{HostName, MigrationId, OperationId, ServerId};
use drover_policies::replica::ReplicaDisk;
use drover_policies::time::Instant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cutover::Life;
use crate::driver::Record;
use crate::durable::{
    DiskError, Lock, io_error, make_private_directory, read_json, remove, try_lock, write_durably, write_json,
};

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The directory or a file in it could not be read or written.
    #[error(transparent)]
    Io(#[from] DiskError),
    /// Another agent has it.
    #[error(
        "{path} is locked by another agent; only one agent may work with a ledger, so stop the other one first"
    )]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// The count of starts is unreadable. It is not guessed: a count that goes back would have the scheduler refuse this
    /// agent as one that has been replaced.
    #[error(
        "{path} does not hold a number; write a number into it that is higher than every `incarnation` in the scheduler's log of this host"
    )]
    Incarnation {
        /// The file.
        path: PathBuf,
    },
}

/// A definition that was taken away from libvirt here, kept until the scheduler says that it is not needed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retained {
    /// The server.
    pub server: ServerId,
    /// Its name, for a person who reads the file.
    pub name: String,
    /// The definition, as libvirt takes it back.
    pub definition: String,
    /// Whether it was on when it was found.
    pub life: Life,
    /// Whether it was started with this host.
    pub autostart: Autostart,
    /// Which operation took it away.
    pub operation: OperationId,
    /// Where the server went.
    pub destination: HostName,
    /// When.
    pub at: Instant,
    /// Its local disks, which stay on this host with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ReplicaDisk>,
}

/// The agent's ledger. Only one agent at a time has it.
#[derive(Debug)]
pub struct Ledger {
    root: PathBuf,
    incarnation: u64,
    /// Held open: the lock ends with it, also when the process is killed.
    _lock: Lock,
}

/// What was found when the ledger was opened.
#[derive(Debug)]
pub struct Found {
    /// The operations, in the order of ids.
    pub records: Vec<Record>,
    /// What guests have acknowledged and the scheduler has not taken.
    pub acknowledged: Vec<Acknowledgement>,
    /// Files that could not be read, under their new names, each with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Ledger {
    /// Opens a ledger, makes it if it is new, and counts this start.
    ///
    /// # Errors
    /// When the directory cannot be used, or another agent has it.
    pub fn open(root: &Path) -> Result<(Self, Found), LedgerError> {
        for directory in ["", "operations", "retained", "acknowledged"].map(|name| root.join(name)) {
            make_private_directory(&directory)?;
        }
        let lock = take_lock(&root.join("lock"))?;
        let incarnation = read_incarnation(&root.join("incarnation"))? + 1;
        write_durably(&root.join("incarnation"), incarnation.to_string().as_bytes())?;
        let ledger = Self { root: root.to_owned(), incarnation, _lock: lock };
        let mut found = Found { records: Vec::new(), acknowledged: Vec::new(), unreadable: Vec::new() };
        read_all(&root.join("operations"), &mut found.records, &mut found.unreadable)?;
        read_all(&root.join("acknowledged"), &mut found.acknowledged, &mut found.unreadable)?;
        found.records.sort_by_key(|record: &Record| record.id);
        Ok((ledger, found))
    }

    /// How often an agent has started with this ledger, this start included.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Keeps an operation as it is now.
    ///
    /// # Errors
    /// When it could not be written; the file is as it was before.
    pub fn save(&self, record: &Record) -> Result<(), LedgerError> {
        Ok(write_json(&self.operation(record.id), record)?)
    }

    /// Forgets an operation.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn forget(&self, id: OperationId) -> Result<(), LedgerError> {
        Ok(remove(&self.operation(id))?)
    }

    /// Keeps what a guest has acknowledged; an earlier one of the same event is forgotten by that.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn acknowledge(&self, acknowledgement: &Acknowledgement) -> Result<(), LedgerError> {
        Ok(write_json(&self.acknowledged_path(acknowledgement.event), acknowledgement)?)
    }

    /// Forgets what a guest has acknowledged; nothing to forget is no error.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn forget_acknowledged(&self, event: MigrationId) -> Result<(), LedgerError> {
        Ok(remove(&self.acknowledged_path(event))?)
    }

    /// Keeps a definition before libvirt forgets it. When this returns it is on the disk.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn retain(&self, retained: &Retained) -> Result<(), LedgerError> {
        Ok(write_json(&self.retained_path(retained.server), retained)?)
    }

    /// A retained definition.
    ///
    /// # Errors
    /// When it is there and cannot be read. It is left in its place: it may be the last copy.
    pub fn retained(&self, server: ServerId) -> Result<Option<Retained>, LedgerError> {
        let path = self.retained_path(server);
        match fs::exists(&path) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(source) => return Err(io_error("look for", &path)(source).into()),
        }
        match read_json(&path)? {
            Ok(retained) => Ok(Some(retained)),
            Err(why) => {
                Err(io_error("understand", &path)(io::Error::new(io::ErrorKind::InvalidData, why)).into())
            }
        }
    }

    /// Throws a retained definition away; one that is not there is no error.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn discard(&self, server: ServerId) -> Result<(), LedgerError> {
        Ok(remove(&self.retained_path(server))?)
    }

    /// Throws a definition away if this operation retained it. One that can't be read is nobody's, and is thrown away as well.
    ///
    /// # Errors
    /// When the file could not be removed.
    pub fn discard_of(&self, server: ServerId, operation: OperationId) -> Result<(), LedgerError> {
        match self.retained(server) {
            Ok(Some(retained)) if retained.operation != operation => Ok(()),
            Ok(Some(_) | None) | Err(_) => self.discard(server),
        }
    }

    fn operation(&self, id: OperationId) -> PathBuf {
        self.root.join("operations").join(format!("{id}.json"))
    }

    fn acknowledged_path(&self, event: MigrationId) -> PathBuf {
        self.root.join("acknowledged").join(format!("{event}.json"))
    }

    fn retained_path(&self, server: ServerId) -> PathBuf {
        self.root.join("retained").join(format!("{server}.json"))
    }
}

fn take_lock(path: &Path) -> Result<Lock, LedgerError> {
    try_lock(path)?.ok_or_else(|| LedgerError::Locked { path: path.to_owned() })
}

fn read_incarnation(path: &Path) -> Result<u64, LedgerError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| LedgerError::Incarnation { path: path.to_owned() }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(io_error("read", path)(source).into()),
    }
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let path = entry.map_err(io_error("list", directory))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => paths.push(path),
            // Left by a kill in the middle of a write; the file that it was to replace is whole.
            Some("new") => remove(&path)?,
            _ => {}
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads every file of a directory; those that can't be understood are set aside.
fn read_all<T: DeserializeOwned>(
    directory: &Path,
    read: &mut Vec<T>,
    unreadable: &mut Vec<(PathBuf, String)>,
) -> Result<(), LedgerError> {
    for path in files_in(directory)? {
        match read_json(&path)? {
            Ok(value) => read.push(value),
            Err(why) => unreadable.push((set_aside(&path)?, why)),
        }
    }
    Ok(())
}

fn set_aside(path: &Path) -> Result<PathBuf, LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".unreadable");
    let aside = PathBuf::from(name);
    fs::rename(path, &aside).map_err(io_error("set aside", path))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use drover_agent_api::{Operation, Order, Wish};
    use drover_policies::ids::Generation;
    use uuid::Uuid;

    use super::*;

    fn record(n: u128) -> Record {
        Record::new(&Operation {
            id: OperationId(Uuid::from_u128(n)),
            generation: Generation::FIRST,
            order: Order::ConfirmEmpty,
            wish: Wish::Run,
        })
    }

    fn retained(server: ServerId) -> Retained {
        Retained {
            server,
            name: "web".into(),
            definition: "<domain/>".into(),
            life: Life::On,
            autostart: Autostart::Yes,
            operation: OperationId(Uuid::nil()),
            destination: HostName::new("h2").expect("a name"),
            at: Instant::default(),
            disks: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_is_found_again_and_every_start_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ledger, found) = Ledger::open(directory.path()).expect("new");
        assert_eq!((ledger.incarnation(), found.records.len()), (1, 0));
        ledger.save(&record(2)).expect("saved");
        ledger.save(&record(1)).expect("saved");
        drop(ledger);
        let (ledger, found) = Ledger::open(directory.path()).expect("again");
        assert_eq!(ledger.incarnation(), 2);
        assert_eq!(found.records, [record(1), record(2)]);
        ledger.forget(record(1).id).expect("forgotten");
        drop(ledger);
        assert_eq!(Ledger::open(directory.path()).expect("again").1.records, [record(2)]);
    }

    #[test]
    fn a_second_agent_on_the_same_ledger_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let _first = Ledger::open(directory.path()).expect("new");
        assert!(matches!(Ledger::open(directory.path()), Err(LedgerError::Locked { .. })));
    }

    #[test]
    fn a_corrupt_operation_is_set_aside_and_named_and_the_others_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ledger, _) = Ledger::open(directory.path()).expect("new");
        ledger.save(&record(1)).expect("saved");
        ledger.save(&record(2)).expect("saved");
        fs::write(ledger.operation(record(1).id), b"{\"id\": ").expect("spoiled");
        drop(ledger);
        let (_ledger, found) = Ledger::open(directory.path()).expect("again");
        assert_eq!(found.records, [record(2)]);
        let (path, why) = found.unreadable.first().expect("one is unreadable");
        assert!(path.exists(), "{path:?} is kept for a person");
        assert!(why.contains("EOF"), "{why}");
    }

    #[test]
    fn a_half_written_file_of_a_killed_agent_does_not_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ledger, _) = Ledger::open(directory.path()).expect("new");
        ledger.save(&record(1)).expect("saved");
        let half = directory.path().join("operations").join(format!("{}.json.new", record(1).id));
        fs::write(&half, b"{").expect("half");
        drop(ledger);
        let (_ledger, found) = Ledger::open(directory.path()).expect("again");
        assert_eq!((found.records, found.unreadable.len(), half.exists()), (vec![record(1)], 0, false));
    }

    #[test]
    fn an_unreadable_retained_definition_is_an_error_and_stays_in_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ledger, _) = Ledger::open(directory.path()).expect("new");
        let server = ServerId(Uuid::from_u128(7));
        assert_eq!(ledger.retained(server).expect("readable"), None);
        ledger.retain(&retained(server)).expect("kept");
        assert_eq!(ledger.retained(server).expect("readable"), Some(retained(server)));
        fs::write(ledger.retained_path(server), b"<domain").expect("spoiled");
        ledger.retained(server).expect_err("not understood");
        assert!(ledger.retained_path(server).exists());
        ledger.discard(server).expect("thrown away");
        ledger.discard(server).expect("twice is no error");
    }
}
