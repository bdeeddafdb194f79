//! Guest fixes: virt-v2v's in-place conversion makes a guest of another kind of hypervisor fit to boot here. It installs virtio drivers
//! into what boots it, mends the boot loader, and removes the other hypervisor's tools.
//!
//! It writes into overlays over the images, which are merged only when it has ended well: a conversion that failed or was killed leaves
//! the images as they were, and is simply done again. Merging may be repeated as well.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use drover_policies::import::{Accelerator, Description, Found, SourceDisk};
use drover_policies::replica::ImageFormat;

use super::Event;
use super::Listener;
use super::copy::word;
use super::record::{Workplace, image, overlay};
use super::tool::{Channel, Ended, Leash, Tool, find};
use super::v2v::{Failed, Hearing, Milestone, source_xml};
use crate::durable::{DiskError, io_error, remove, sync_parent};

/// The converter.
const CONVERTER: &str = "virt-v2v-in-place";

/// What it needs to open disks, which Debian only recommends with it.
const SERVER: &str = "nbdkit";

/// Why a guest could not be fixed. Its images are as they were.
#[derive(Debug, thiserror::Error)]
pub enum FixesError {
    /// A program is not on this host.
    #[error("{program} is not on this host; install {package}")]
    Absent {
        /// Which.
        program: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// The converter has a `/tmp` of its own, and would not see this.
    #[error("{path} lies below /tmp, which the converter can't see; choose another directory")]
    BelowTmp {
        /// What it would have to see.
        path: PathBuf,
    },
    /// A program could not be run.
    #[error("{program} can't be run")]
    Tool {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` refused.
    #[error("{image}: {text}")]
    Refused {
        /// Which image.
        image: PathBuf,
        /// Its words.
        text: String,
    },
    /// The conversion did not end well.
    #[error("the conversion failed: {0}")]
    Failed(Failed),
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The programs that fix guests, as they lie on this host.
///
/// # Errors
/// Names the one that is missing.
pub fn converter() -> Result<PathBuf, FixesError> {
    if find(SERVER).is_none() {
        return Err(FixesError::Absent { program: SERVER, package: "nbdkit" });
    }
    find(CONVERTER).ok_or(FixesError::Absent { program: CONVERTER, package: "virt-v2v" })
}

/// Looks whether this host could do it: the converter is there and can see the files.
///
/// # Errors
/// Names what is in the way.
pub fn check(description: &Description, data_dir: &Path) -> Result<PathBuf, FixesError> {
    let paths = description.disks.iter().map(|disk| disk.path.as_path()).chain([data_dir]);
    if let Some(path) = paths.into_iter().find(|path| path.starts_with("/tmp")) {
        return Err(FixesError::BelowTmp { path: path.to_owned() });
    }
    converter()
}

/// Converts the guest in the copied images, into overlays over them. When this returns well the overlays are whole and on the disk.
///
/// # Errors
/// When it could not be done; there are no overlays then, and the images are as they were.
pub fn convert(
    description: &Description,
    converter: &Path,
    place: &Workplace,
    leash: &Leash<'_>,
    listener: Listener<'_>,
) -> Result<Found, FixesError> {
    let made = make_overlays(&description.disks, leash)
        .and_then(|()| run(description, converter, place, leash, listener))
        .and_then(|report| sync(&description.disks).map(|()| report));
    place.remove_tmp()?;
    if made.is_err() {
        remove_overlays(&description.disks)?;
    }
    made
}

fn make_overlays(disks: &[SourceDisk], leash: &Leash<'_>) -> Result<(), FixesError> {
    // A new file each time: whatever still writes to one of an earlier try writes to nothing.
    remove_overlays(disks)?;
    for disk in disks {
        let (below, over) = (image(&disk.path), overlay(&disk.path));
        private_file(&over)?;
        let tool = Tool::new("qemu-img")
            .arguments(["create", "-q", "-f", word(ImageFormat::Qcow2), "-F", word(disk.format), "-b"])
            .arguments([&below, &over]);
        qemu_img(&tool, &over, leash)?;
    }
    Ok(())
}

/// Makes a file that nobody else may read: it gets a customer's data.
pub(super) fn private_file(path: &Path) -> Result<(), DiskError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = File::options().create_new(true).write(true).mode(0o600).open(path);
    made.map(drop).map_err(io_error("create", path))
}

fn qemu_img(tool: &Tool, image: &Path, leash: &Leash<'_>) -> Result<(), FixesError> {
    let mut said = Vec::new();
    let ended = tool.run(leash, &mut |_, line| said.push(line.to_owned()));
    match ended {
        Ok(Ended::Status(0)) => Ok(()),
        Ok(ended @ (Ended::Status(_) | Ended::Signal(_) | Ended::OutOfTime | Ended::Stopped)) => {
            said.push(format!("qemu-img has ended: {ended:?}"));
            Err(FixesError::Refused { image: image.to_owned(), text: said.join("; ") })
        }
        Err(source) => Err(FixesError::Tool { program: "qemu-img", source }),
    }
}

fn run(
    description: &Description,
    converter: &Path,
    place: &Workplace,
    leash: &Leash<'_>,
    listener: Listener<'_>,
) -> Result<Found, FixesError> {
    let tmp = place.fresh_tmp()?;
    let overlays: Vec<String> =
        description.disks.iter().map(|disk| overlay(&disk.path).display().to_string()).collect();
    let file = tmp.join("source.xml");
    fs::write(&file, source_xml(description, &overlays)).map_err(io_error("write", &file))?;
    let mut tool = Tool::new(converter)
        .arguments(["--machine-readable=stream:stderr", "--root", "single", "-i", "libvirtxml"])
        .arguments(["/tmp/source.xml"])
        .own_tmp(&tmp)
        // Without libvirt in between, which would run the appliance as somebody who may not read the images.
        .variable("LIBGUESTFS_BACKEND", "direct")
        .variable("LIBGUESTFS_CACHEDIR", place.appliance()?)
        .limit(description.conversion_limit);
    if description.accelerator == Accelerator::Tcg {
        tool = tool.variable("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    }
    listener(Event::Milestone(Milestone::Starting));
    let mut hearing = Hearing::default();
    let ended = tool
        .run(leash, &mut |channel, line| match channel {
            Channel::Err => hearing.hear(line, listener),
            // The same again, in words for people.
            Channel::Out => tracing::debug!("{CONVERTER}: {line}"),
        })
        .map_err(|source| FixesError::Tool { program: CONVERTER, source })?;
    hearing.end(ended, description.conversion_limit).map_err(FixesError::Failed)
}

fn sync(disks: &[SourceDisk]) -> Result<(), FixesError> {
    for disk in disks {
        let path = overlay(&disk.path);
        File::open(&path).and_then(|file| file.sync_all()).map_err(io_error("sync", &path))?;
        sync_parent(&path)?;
    }
    Ok(())
}

/// Merges what the conversion wrote into the images. The overlays stay, so that it may be repeated until it is known to be done.
///
/// # Errors
/// When it could not be done whole; it has to be repeated then.
pub fn merge(disks: &[SourceDisk], leash: &Leash<'_>) -> Result<(), FixesError> {
    for disk in disks {
        let (below, over) = (image(&disk.path), overlay(&disk.path));
        let tool = Tool::new("qemu-img")
            .arguments(["commit", "-q", "-d", "-t", "writeback", "-f", word(ImageFormat::Qcow2)])
            .arguments([&over]);
        qemu_img(&tool, &over, leash)?;
        File::open(&below).and_then(|file| file.sync_all()).map_err(io_error("sync", &below))?;
    }
    Ok(())
}

/// Removes the overlays; those that are not there are no error.
///
/// # Errors
/// When one can't be removed.
pub fn remove_overlays(disks: &[SourceDisk]) -> Result<(), DiskError> {
    disks.iter().try_for_each(|disk| remove(&overlay(&disk.path)))
}
