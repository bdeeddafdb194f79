//! An import, step by step: each step is a function that may be killed anywhere and done again; the [`Stage`] that it leads to is on
//! disk before the next one begins.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use drover_policies::ids::{IdSource, ServerId};

use super::copy::{self, CopyError};
use super::domain::definition;
use super::fixes::{self, FixesError};
use super::record::{Record, RecordError, Stage, Workplace, image, overlay};
use super::source::{Accelerator, Description, ServerName, SourceDisk};
use super::v2v::Report;
use super::{Event, Listener};
use crate::clock::HostClock;
use crate::durable::{DiskError, io_error, remove, sync_parent};
use crate::hypervisor::{Domains, Refusal, State};

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Looks for what would be in the way.
    Check,
    /// Copies the disks.
    Copy,
    /// Fixes the guest.
    Fix,
    /// Merges the fixes into the images.
    Merge,
    /// Gives the images their names.
    Place,
    /// Defines the server.
    Define,
    /// Boots it.
    Start,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Check => "looking for what is in the way",
            Self::Copy => "copying the disks",
            Self::Fix => "fixing the guest",
            Self::Merge => "merging the fixes into the images",
            Self::Place => "putting the images in place",
            Self::Define => "defining the server",
            Self::Start => "booting the server",
        })
    }
}

/// Why an import stopped. What it has done so far is kept, and taken up by the next try.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its record could not be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A disk could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The guest could not be fixed.
    #[error(transparent)]
    Fixes(#[from] FixesError),
    /// libvirt did not do as asked.
    #[error("libvirt: {0}")]
    Libvirt(Refusal),
    /// libvirt has another server of this name.
    #[error(
        "import.name is {name:?}, and libvirt here has a server of this name already ({other}); choose another name"
    )]
    NameTaken {
        /// The name.
        name: ServerName,
        /// Whose it is.
        other: ServerId,
    },
    /// A file is where an image is to be.
    #[error("{path} is there already; move it away, or choose another path")]
    PathTaken {
        /// Which.
        path: PathBuf,
    },
    /// There is no KVM.
    #[error(
        "this host has no /dev/kvm; load the module kvm_intel or kvm_amd, or say accelerator = \"tcg\" for plain emulation"
    )]
    NoKvm,
    /// Something else was imported under this name before.
    #[error(
        "an import of {name} has begun from another description; finish that one, or begin anew with --restart"
    )]
    OtherDescription {
        /// The name.
        name: ServerName,
    },
    /// It was imported before, and libvirt has forgotten it.
    #[error(
        "{name} was imported before as {server}, and libvirt doesn't know it any more; --restart imports it again"
    )]
    Gone {
        /// The name.
        name: ServerName,
        /// As what.
        server: ServerId,
    },
    /// Something is in the way, and nothing was begun.
    #[error("{}", list(.0))]
    InTheWay(Vec<ImportError>),
    /// An import that is done is not begun anew.
    #[error("{name} is imported, and libvirt knows it; undefine it first if it is to be imported again")]
    Done {
        /// The name.
        name: ServerName,
    },
}

fn list(found: &[ImportError]) -> String {
    let lines: Vec<String> = found.iter().map(|error| format!("- {error}")).collect();
    format!("this is in the way:\n{}", lines.join("\n"))
}

impl From<Refusal> for ImportError {
    fn from(refusal: Refusal) -> Self {
        Self::Libvirt(refusal)
    }
}

/// Whether what an earlier try has done is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It is: the import goes on where it stopped.
    Where,
    /// It is thrown away.
    Anew,
}

/// What an import works with.
pub struct Means<'a> {
    /// Where the agent keeps its files.
    pub data_dir: &'a Path,
    /// This host's libvirt.
    pub domains: &'a dyn Domains,
    /// The clock.
    pub clock: &'a dyn HostClock,
    /// Where a server's id comes from.
    pub ids: &'a dyn IdSource,
}

/// An import of one server, held by this process alone.
pub struct Import<'a> {
    means: Means<'a>,
    place: Workplace,
    record: Record,
    known: Known,
}

/// Whether the record of an import was found, or made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Before,
    New,
}

/// What has come of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The server.
    pub server: ServerId,
    /// What the conversion has found.
    pub report: Report,
}

impl<'a> Import<'a> {
    /// Takes an import up, or begins one.
    ///
    /// # Errors
    /// When another try runs, something else was begun under this name, or it is done and was to begin anew.
    pub fn open(description: Description, begin: Begin, means: Means<'a>) -> Result<Self, ImportError> {
        let place = Workplace::open(means.data_dir, &description.name)?;
        let found = match (place.load(), begin) {
            (Err(RecordError::Unreadable { .. }), Begin::Anew) => None,
            (found, _) => found?,
        };
        let found = match (found, begin) {
            (Some(record), Begin::Anew) => {
                discard(&place, &record, &means)?;
                None
            }
            (found, Begin::Anew | Begin::Where) => found,
        };
        let (record, known) = match found {
            Some(record) if record.description != description => {
                return Err(ImportError::OtherDescription { name: description.name });
            }
            Some(record) => (record, Known::Before),
            None => {
                let stage = Stage::Copying { copied: BTreeSet::new() };
                (Record { server: ServerId::draw(means.ids), description, stage }, Known::New)
            }
        };
        Ok(Self { means, place, record, known })
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.record.stage
    }

    /// What stands in the way of what is left to do; nothing is changed by looking.
    #[must_use]
    pub fn check(&self) -> Vec<ImportError> {
        let mut found = Vec::new();
        let description = &self.record.description;
        found.extend(self.check_name().err());
        if let Stage::Copying { copied } = self.stage() {
            let to_copy: Vec<SourceDisk> =
                description.disks.iter().filter(|disk| !copied.contains(&disk.target)).cloned().collect();
            let sources: Vec<CopyError> =
                to_copy.iter().filter_map(|disk| copy::look(&disk.source, self.means.clock).err()).collect();
            // Room is measured by what the sources hold.
            if sources.is_empty() {
                found.extend(copy::check_room(&to_copy, self.means.clock).err().map(ImportError::from));
            }
            found.extend(sources.into_iter().map(ImportError::from));
            let mut wanted: Vec<PathBuf> = description.disks.iter().map(|disk| disk.path.clone()).collect();
            if self.known == Known::New {
                // Files of these names can't be an earlier try's, and would be overwritten.
                wanted.extend(
                    description.disks.iter().flat_map(|disk| [image(&disk.path), overlay(&disk.path)]),
                );
            }
            wanted.retain(|path| fs::symlink_metadata(path).is_ok());
            found.extend(wanted.into_iter().map(|path| ImportError::PathTaken { path }));
            found.extend(fixes::check(description, self.means.data_dir).err().map(ImportError::from));
            if description.accelerator == Accelerator::Kvm && !Path::new("/dev/kvm").exists() {
                found.push(ImportError::NoKvm);
            }
        }
        found
    }

    fn check_name(&self) -> Result<(), ImportError> {
        let name = &self.record.description.name;
        match self.means.domains.named(name.as_str())? {
            Some(other) if other != self.record.server => {
                Err(ImportError::NameTaken { name: name.clone(), other })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Goes on to the end. What happens is told as it happens.
    ///
    /// # Errors
    /// When something is in the way, or at the first step that could not be done. Calling it again, also in another process, goes on there.
    pub fn run(&mut self, listener: Listener<'_>) -> Result<Imported, ImportError> {
        listener(Event::Began(Step::Check));
        let found = self.check();
        if !found.is_empty() {
            return Err(ImportError::InTheWay(found));
        }
        self.place.save(&self.record)?;
        loop {
            let next = match self.record.stage.clone() {
                Stage::Copying { copied } => self.copy_or_fix(copied, listener)?,
                Stage::Fixed { report } => self.merge(report, listener)?,
                Stage::Merged { report } => self.put_in_place(report, listener)?,
                Stage::Placed { report } => self.define(report, listener)?,
                Stage::Defined { report } => return self.defined(report),
            };
            self.record.stage = next;
            self.place.save(&self.record)?;
        }
    }

    fn copy_or_fix(
        &self,
        mut copied: BTreeSet<String>,
        listener: Listener<'_>,
    ) -> Result<Stage, ImportError> {
        let description = &self.record.description;
        let Some(disk) = description.disks.iter().find(|disk| !copied.contains(&disk.target)) else {
            return self.fix(listener);
        };
        listener(Event::Began(Step::Copy));
        copy::copy(disk, &image(&disk.path), self.means.clock, listener)?;
        copied.insert(disk.target.clone());
        Ok(Stage::Copying { copied })
    }

    fn fix(&self, listener: Listener<'_>) -> Result<Stage, ImportError> {
        let description = &self.record.description;
        listener(Event::Began(Step::Fix));
        let converter = fixes::check(description, self.means.data_dir)?;
        let report = fixes::convert(description, &converter, &self.place, self.means.clock, listener)?;
        Ok(Stage::Fixed { report })
    }

    fn merge(&self, report: Report, listener: Listener<'_>) -> Result<Stage, ImportError> {
        listener(Event::Began(Step::Merge));
        fixes::merge(&self.record.description.disks, self.means.clock)?;
        Ok(Stage::Merged { report })
    }

    fn put_in_place(&self, report: Report, listener: Listener<'_>) -> Result<Stage, ImportError> {
        listener(Event::Began(Step::Place));
        fixes::remove_overlays(&self.record.description.disks)?;
        self.record.description.disks.iter().try_for_each(|disk| link(&image(&disk.path), &disk.path))?;
        Ok(Stage::Placed { report })
    }

    fn define(&self, report: Report, listener: Listener<'_>) -> Result<Stage, ImportError> {
        listener(Event::Began(Step::Define));
        self.record.description.disks.iter().try_for_each(|disk| remove(&image(&disk.path)))?;
        self.check_name()?;
        if self.means.domains.find(self.record.server)?.is_none() {
            let definition = definition(&self.record.description, self.record.server, &report);
            self.means.domains.define(&definition)?;
        }
        Ok(Stage::Defined { report })
    }

    fn defined(&self, report: Report) -> Result<Imported, ImportError> {
        let server = self.record.server;
        match self.means.domains.find(server)? {
            Some(_) => Ok(Imported { server, report }),
            None => Err(ImportError::Gone { name: self.record.description.name.clone(), server }),
        }
    }

    /// Boots the imported server. One that is not off is left as it is.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, listener: Listener<'_>) -> Result<(), ImportError> {
        let server = self.record.server;
        let found = self.means.domains.find(server)?.map(|sighting| sighting.state);
        match found {
            None => Err(ImportError::Gone { name: self.record.description.name.clone(), server }),
            Some(State::Off | State::Crashed) => {
                listener(Event::Began(Step::Start));
                Ok(self.means.domains.start(server)?)
            }
            Some(
                State::Running
                | State::Paused
                | State::HeldByMigration
                | State::HeldOtherwise
                | State::Arriving,
            ) => Ok(()),
        }
    }
}

/// Throws away what an earlier try has done. Images that are in their place are left: a person decides about those.
fn discard(place: &Workplace, record: &Record, means: &Means<'_>) -> Result<(), ImportError> {
    if means.domains.find(record.server)?.is_some() {
        return Err(ImportError::Done { name: record.description.name.clone() });
    }
    fixes::remove_overlays(&record.description.disks)?;
    record.description.disks.iter().try_for_each(|disk| remove(&image(&disk.path)))?;
    place.remove_tmp()?;
    Ok(place.forget()?)
}

/// Gives a file its name beside the one that it has; never another file's. Done already is no error.
fn link(from: &Path, to: &Path) -> Result<(), ImportError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(sync_parent(to)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let id = |path: &Path| {
                fs::symlink_metadata(path)
                    .map(|file| (file.dev(), file.ino()))
                    .map_err(io_error("look at", path))
            };
            if id(from)? == id(to)? { Ok(()) } else { Err(ImportError::PathTaken { path: to.to_owned() }) }
        }
        Err(error) => Err(io_error("name", to)(error).into()),
    }
}
