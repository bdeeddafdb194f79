//! An import, step by step: each step is a function that may be killed anywhere and done again; the [`Stage`] that it leads to is on
//! disk before the next one begins.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use drover_agent_api::ImportServer;
use drover_policies::ids::ServerId;
use drover_policies::import::{Accelerator, Begin, Done, Found, ServerName, SourceDisk, Start, Step};
use drover_policies::time::Span;

use super::config::{Config, Forbidden};
use super::copy::{self, CopyError};
use super::domain::definition;
use super::fixes::{self, FixesError};
use super::record::{Record, RecordError, Stage, Workplace, image, overlay};
use super::tool::Leash;
use super::{Event, Listener};
use crate::durable::{DiskError, io_error, remove, sync_parent};
use crate::hypervisor::{Domains, Refusal, State};

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
    /// Something else is being imported under this name.
    #[error(
        "an import of {name} has begun here as {other}; cancel that one, or retry this one anew (`drover imports retry --anew`)"
    )]
    OtherImport {
        /// The name.
        name: ServerName,
        /// As which server.
        other: ServerId,
    },
    /// It was imported, and libvirt has forgotten it.
    #[error(
        "{name} was imported, and libvirt doesn't know it any more; ask for a new import if it is wanted again"
    )]
    Gone {
        /// The name.
        name: ServerName,
    },
    /// A path may not be used.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Something is in the way, and nothing was begun.
    #[error("{}", list(.0))]
    InTheWay(Vec<ImportError>),
    /// An import that is done is not thrown away.
    #[error("{name} is imported, and libvirt knows it; undefine it first if it is to be imported again")]
    Done {
        /// The name.
        name: ServerName,
    },
    /// It was called off.
    #[error("the import was called off")]
    Stopped,
}

fn list(found: &[ImportError]) -> String {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!("this is in the way: {}", lines.join("; "))
}

impl From<Refusal> for ImportError {
    fn from(refusal: Refusal) -> Self {
        Self::Libvirt(refusal)
    }
}

/// What an import works with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Where the agent keeps its files.
    pub data_dir: &'a Path,
    /// From where this host may import, and where the images may go.
    pub config: &'a Config,
    /// This host's libvirt.
    pub domains: &'a dyn Domains,
    /// By what programs are held.
    pub leash: Leash<'a>,
}

/// An import of one server, held by this process alone.
pub struct Import<'a> {
    means: Means<'a>,
    place: Workplace,
    record: Record,
    known: Known,
    start: Start,
}

/// Whether the record of an import was found, or made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Before,
    New,
}

impl<'a> Import<'a> {
    /// Takes an import up, or begins one.
    ///
    /// # Errors
    /// When another try runs, or something else was begun under this name.
    pub fn open(order: &ImportServer, means: Means<'a>) -> Result<Self, ImportError> {
        let place = Workplace::open(means.data_dir, &order.description.name)?;
        let found = match (place.load(), order.begin) {
            (Err(RecordError::Unreadable { .. }), Begin::Anew) => None,
            (found, Begin::Where | Begin::Anew) => found?,
        };
        let (record, known) = match found {
            Some(record) if record.server == order.server => (record, Known::Before),
            Some(Record { server: other, ref stage, .. }) if !matches!(stage, Stage::Defined { .. }) => {
                return Err(ImportError::OtherImport { name: order.description.name.clone(), other });
            }
            // One of this name that is done is a server like any other.
            Some(_) | None => {
                let (server, description) = (order.server, order.description.clone());
                let stage = Stage::Copying { copied: BTreeSet::new() };
                (Record { server, description, stage }, Known::New)
            }
        };
        Ok(Self { means, place, record, known, start: order.start })
    }

    /// What stands in the way of what is left to do; nothing is changed by looking.
    #[must_use]
    pub fn check(&self) -> Vec<ImportError> {
        let mut found = Vec::new();
        let description = &self.record.description;
        found.extend(self.check_name().err());
        found.extend(self.means.config.forbidden(description).into_iter().map(ImportError::from));
        if !found.is_empty() {
            // What must not be read is not looked at either.
            return found;
        }
        if let Stage::Copying { copied } = &self.record.stage {
            let to_copy: Vec<SourceDisk> =
                description.disks.iter().filter(|disk| !copied.contains(&disk.target)).cloned().collect();
            let sources: Vec<CopyError> =
                to_copy.iter().filter_map(|disk| copy::look(&disk.source, &self.means.leash).err()).collect();
            // Room is measured by what the sources hold.
            if sources.is_empty() {
                found.extend(copy::check_room(&to_copy, &self.means.leash).err().map(ImportError::from));
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
    pub fn run(&mut self, listener: Listener<'_>) -> Result<Found, ImportError> {
        self.timed(Step::Check, listener, |this, _| match this.check() {
            found if found.is_empty() => Ok((this.record.stage.clone(), None)),
            found => Err(ImportError::InTheWay(found)),
        })?;
        self.place.save(&self.record)?;
        loop {
            if self.means.leash.is_pulled() {
                return Err(ImportError::Stopped);
            }
            let next = match self.record.stage.clone() {
                Stage::Copying { copied } => self.copy_or_fix(copied, listener)?,
                Stage::Fixed { found } => {
                    self.timed(Step::Merge, listener, |this, _| Ok((this.merge(found)?, None)))?
                }
                Stage::Merged { found } => {
                    self.timed(Step::Place, listener, |this, _| Ok((this.put_in_place(found)?, None)))?
                }
                Stage::Placed { found } => {
                    self.timed(Step::Define, listener, |this, _| Ok((this.define(found)?, None)))?
                }
                Stage::Defined { found } => {
                    self.finish(listener)?;
                    return Ok(found);
                }
            };
            self.record.stage = next;
            self.place.save(&self.record)?;
        }
    }

    /// Tells of a step when it begins, and of what it took when it is done.
    fn timed(
        &self,
        step: Step,
        listener: Listener<'_>,
        act: impl FnOnce(&Self, Listener<'_>) -> Result<(Stage, Option<u64>), ImportError>,
    ) -> Result<Stage, ImportError> {
        let clock = self.means.leash.clock;
        let began = clock.elapsed();
        listener(Event::Began(step));
        let (stage, bytes) = act(self, &mut *listener)?;
        let took = Span(clock.elapsed().saturating_sub(began));
        listener(Event::Ended(Done { step, took, bytes }));
        Ok(stage)
    }

    fn copy_or_fix(
        &self,
        mut copied: BTreeSet<String>,
        listener: Listener<'_>,
    ) -> Result<Stage, ImportError> {
        let disks = &self.record.description.disks;
        let Some(disk) = disks.iter().find(|disk| !copied.contains(&disk.target)) else {
            return self.timed(Step::Fix, listener, |this, listener| Ok((this.fix(listener)?, None)));
        };
        self.timed(Step::Copy, listener, |this, listener| {
            let mut bytes = 0;
            let mut hear = |event: Event| {
                if let Event::Copying(figures) = &event {
                    bytes = figures.total_bytes;
                }
                listener(event);
            };
            copy::copy(disk, &image(&disk.path), &this.means.leash, &mut hear)?;
            copied.insert(disk.target.clone());
            Ok((Stage::Copying { copied }, Some(bytes)))
        })
    }

    fn fix(&self, listener: Listener<'_>) -> Result<Stage, ImportError> {
        let description = &self.record.description;
        let converter = fixes::check(description, self.means.data_dir)?;
        let found = fixes::convert(description, &converter, &self.place, &self.means.leash, listener)?;
        Ok(Stage::Fixed { found })
    }

    fn merge(&self, found: Found) -> Result<Stage, ImportError> {
        fixes::merge(&self.record.description.disks, &self.means.leash)?;
        Ok(Stage::Merged { found })
    }

    fn put_in_place(&self, found: Found) -> Result<Stage, ImportError> {
        fixes::remove_overlays(&self.record.description.disks)?;
        self.record.description.disks.iter().try_for_each(|disk| link(&image(&disk.path), &disk.path))?;
        Ok(Stage::Placed { found })
    }

    fn define(&self, found: Found) -> Result<Stage, ImportError> {
        self.record.description.disks.iter().try_for_each(|disk| remove(&image(&disk.path)))?;
        self.check_name()?;
        if self.means.domains.find(self.record.server)?.is_none() {
            let definition = definition(&self.record.description, self.record.server, &found);
            self.means.domains.define(&definition)?;
        }
        Ok(Stage::Defined { found })
    }

    /// Boots the imported server if that is wished. One that is not off is left as it is.
    fn finish(&self, listener: Listener<'_>) -> Result<(), ImportError> {
        let server = self.record.server;
        match self.means.domains.find(server)?.map(|sighting| sighting.state) {
            None => Err(ImportError::Gone { name: self.record.description.name.clone() }),
            Some(State::Off | State::Crashed) if self.start == Start::Yes => self
                .timed(Step::Start, listener, |this, _| {
                    this.means.domains.start(server)?;
                    Ok((this.record.stage.clone(), None))
                })
                .map(drop),
            Some(
                State::Off
                | State::Crashed
                | State::Running
                | State::Paused
                | State::HeldByMigration
                | State::HeldOtherwise
                | State::Arriving,
            ) => Ok(()),
        }
    }
}

/// Whether what was done could be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing of it is left.
    Gone,
    /// The server is there already: it is brought to its end instead.
    TooLate,
}

/// Throws away what earlier orders for an import have done.
///
/// # Errors
/// When it can't be removed, or something else is being imported under this name.
pub fn clear(order: &ImportServer, means: &Means<'_>) -> Result<Cleared, ImportError> {
    let name = &order.description.name;
    let place = Workplace::open(means.data_dir, name)?;
    let record = match (place.load(), order.begin) {
        (Err(RecordError::Unreadable { .. }), Begin::Anew) => None,
        (found, Begin::Where | Begin::Anew) => found?,
    };
    match record {
        Some(record) if record.server != order.server => {
            let defined = matches!(record.stage, Stage::Defined { .. });
            match order.begin {
                // What somebody else's has left is not this one's to clear away, unless that is asked for.
                Begin::Where => return Ok(Cleared::Gone),
                Begin::Anew if defined => return Ok(Cleared::Gone),
                Begin::Anew if means.domains.find(record.server)?.is_some() => {
                    return Err(ImportError::Done { name: name.clone() });
                }
                Begin::Anew => discard(&place, &record)?,
            }
        }
        Some(record) => match (&record.stage, means.domains.find(record.server)?) {
            (Stage::Placed { .. } | Stage::Defined { .. }, Some(_)) => return Ok(Cleared::TooLate),
            // A server had them: whoever undefined it decides about them.
            (Stage::Defined { .. }, None) => place.forget()?,
            (Stage::Placed { .. }, None) => {
                record.description.disks.iter().try_for_each(|disk| remove(&disk.path))?;
                discard(&place, &record)?;
            }
            (Stage::Copying { .. } | Stage::Fixed { .. } | Stage::Merged { .. }, _) => {
                discard(&place, &record)?;
            }
        },
        None => {}
    }
    Ok(Cleared::Gone)
}

fn discard(place: &Workplace, record: &Record) -> Result<(), ImportError> {
    fixes::remove_overlays(&record.description.disks)?;
    for disk in &record.description.disks {
        let made = image(&disk.path);
        // Cut off between two of them, some are in their place already and the record does not know.
        if is_same(&made, &disk.path)? {
            remove(&disk.path)?;
        }
        remove(&made)?;
    }
    place.remove_tmp()?;
    Ok(place.forget()?)
}

/// Gives a file its name beside the one that it has; never another file's. Done already is no error.
fn link(from: &Path, to: &Path) -> Result<(), ImportError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(sync_parent(to)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_same(from, to)? {
                Ok(())
            } else {
                Err(ImportError::PathTaken { path: to.to_owned() })
            }
        }
        Err(error) => Err(io_error("name", to)(error).into()),
    }
}

/// Whether both are names of one file.
fn is_same(one: &Path, other: &Path) -> Result<bool, DiskError> {
    let id = |path: &Path| match fs::symlink_metadata(path) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("look at", path)(error)),
    };
    let (one, other) = (id(one)?, id(other)?);
    Ok(one.is_some() && one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_that_was_cut_off_while_its_disks_were_put_in_place_leaves_none_and_touches_nobody_elses() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let disk = |target: &str, name: &str| {
            format!("[[disk]]\ntarget = {target:?}\nsource = \"/{target}.vmdk\"\npath = {:?}\n", at(name))
        };
        let description = crate::convert::described(&format!(
            "[import]\nname = \"legacy\"\nmemory_mib = 64\nvcpus = 1\n{}{}",
            disk("vda", "first.qcow2"),
            disk("vdb", "second.qcow2")
        ));
        let place = Workplace::open(directory.path(), &description.name).expect("new");
        let stage = Stage::Merged { found: Found::default() };
        let record = Record { server: ServerId(uuid::Uuid::from_u128(7)), description, stage };
        for name in ["first.qcow2", "second.qcow2"] {
            fs::write(image(&at(name)), "made by the import").expect("written");
        }
        link(&image(&at("first.qcow2")), &at("first.qcow2")).expect("put in place");
        fs::write(at("second.qcow2"), "somebody else's").expect("written");
        discard(&place, &record).expect("thrown away");
        let left = ["first.qcow2", "second.qcow2"].map(|name| (at(name).exists(), image(&at(name)).exists()));
        assert_eq!(left, [(false, false), (true, false)]);
    }
}
