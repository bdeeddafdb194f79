//! Foreign disks into images of this host, by `qemu-img`. A copy that was cut off is done again from the beginning.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use drover_policies::import::{Source, SourceDisk, SourceFormat};
use drover_policies::replica::{DiskFigures, ImageFormat};
use serde::Deserialize;

use super::fixes::private_file;
use super::tool::{Channel, Ended, Leash, Tool};
use super::{Event, Listener};
use crate::durable::{DiskError, io_error, remove, sync_parent};

/// What a conversion writes before it is merged into the images, in bytes: an initramfs for each kernel, drivers. Seen: 15 MB for a
/// small Debian, some 300 MB for Windows.
const ROOM_FOR_FIXES: u64 = 512 << 20;

/// Why a disk could not be brought here.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// `qemu-img` could not be run.
    #[error("{source_name}: qemu-img can't be run; install qemu-utils")]
    NoTool {
        /// Which disk's source.
        source_name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` refused.
    #[error("{source_name}: {text}")]
    Refused {
        /// Which disk's source.
        source_name: String,
        /// Its words.
        text: String,
    },
    /// The source stands on other files.
    #[error("{source_name} is not whole by itself: it refers to {other}; {advice}")]
    Chain {
        /// Which disk's source.
        source_name: String,
        /// To what.
        other: String,
        /// What would be right.
        advice: &'static str,
    },
    /// There is less room than the images need.
    #[error("{directory} has {free} MiB of room, and the images need {needed} MiB there")]
    NoRoom {
        /// Where.
        directory: PathBuf,
        /// How much there is.
        free: u64,
        /// How much it takes.
        needed: u64,
    },
    /// Somebody has written to the source meanwhile.
    #[error(
        "{source_name} was written to while it was copied; shut the server down at its source, or copy a snapshot of it"
    )]
    Changed {
        /// Which disk's source.
        source_name: String,
    },
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What there is of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// As a guest sees it, in bytes.
    pub virtual_bytes: u64,
    /// The files it consists of; none of an NBD export.
    pub files: Vec<PathBuf>,
}

/// What `qemu-img info` tells of an image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    #[serde(default)]
    data: SpecificData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    data_file: Option<String>,
    #[serde(default)]
    extents: Vec<Extent>,
}

#[derive(Debug, Deserialize)]
struct Extent {
    filename: String,
}

/// What `qemu-img measure` tells.
#[derive(Debug, Deserialize)]
struct Measure {
    required: u64,
}

/// Looks at a source. It must be whole by itself: an image names other files, and those of a stranger could name any file of this host.
///
/// # Errors
/// When it can't be read, is encrypted, or consists of more than files beside it.
pub fn look(source: &Source, leash: &Leash<'_>) -> Result<SourceFacts, CopyError> {
    let text = qemu_img(source, &["info", "--output=json"], &[], leash)?;
    facts(source, &text)
}

fn facts(source: &Source, text: &str) -> Result<SourceFacts, CopyError> {
    let source_name = source.to_string();
    let info: Info = read(source, text)?;
    let chain = |other: String, advice| CopyError::Chain { source_name: source_name.clone(), other, advice };
    if let Some(backing) = info.backing_filename {
        return Err(chain(
            backing,
            "merge its snapshots at the source (one disk, one image) and import that",
        ));
    }
    if info.encrypted {
        let text = "it is encrypted; decrypt it first".to_owned();
        return Err(CopyError::Refused { source_name, text });
    }
    let data = info.format_specific.map(|specific| specific.data).unwrap_or_default();
    if let Some(file) = data.data_file {
        return Err(chain(file, "convert it to an image that holds its own data"));
    }
    let mut files = match source {
        Source::File { path, .. } => vec![path.clone()],
        Source::Nbd { .. } => Vec::new(),
    };
    let beside = source.name().parent();
    for Extent { filename } in data.extents {
        let extent = PathBuf::from(&filename);
        if extent.parent() != beside {
            return Err(chain(filename, "put all of its files into one directory"));
        }
        if !files.contains(&extent) {
            files.push(extent);
        }
    }
    Ok(SourceFacts { virtual_bytes: info.virtual_size, files })
}

fn read<T: serde::de::DeserializeOwned>(source: &Source, text: &str) -> Result<T, CopyError> {
    serde_json::from_str(text).map_err(|error| CopyError::Refused {
        source_name: source.to_string(),
        text: format!("qemu-img's answer is not understood: {error}"),
    })
}

/// Runs `qemu-img` on a source, and returns what it printed.
fn qemu_img(
    source: &Source,
    command: &[&str],
    more: &[&str],
    leash: &Leash<'_>,
) -> Result<String, CopyError> {
    let tool = Tool::new("qemu-img")
        .arguments(command)
        .arguments(["-f", source.format().word()])
        .arguments(more)
        .arguments([source.name()]);
    let mut text = String::new();
    run(source, &tool, leash, &mut |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(text)
}

/// Runs a tool to its good end; its standard output is heard.
fn run(source: &Source, tool: &Tool, leash: &Leash<'_>, hear: &mut dyn FnMut(&str)) -> Result<(), CopyError> {
    let source_name = source.to_string();
    let mut complaints = Vec::new();
    let ended = tool.run(leash, &mut |channel, line| match channel {
        Channel::Out => hear(line),
        Channel::Err => complaints.push(line.to_owned()),
    });
    match ended {
        Ok(Ended::Status(0)) => Ok(()),
        Ok(Ended::Status(_) | Ended::Signal(_) | Ended::OutOfTime | Ended::Stopped)
            if !complaints.is_empty() =>
        {
            Err(CopyError::Refused { source_name, text: complaints.join("; ") })
        }
        Ok(ended) => Err(CopyError::Refused { source_name, text: format!("qemu-img has ended: {ended:?}") }),
        Err(source) => Err(CopyError::NoTool { source_name, source }),
    }
}

/// Looks whether there is room for all images, and for what the conversion writes beside them.
///
/// # Errors
/// When there is not, or a directory can't be asked.
pub fn check_room(disks: &[SourceDisk], leash: &Leash<'_>) -> Result<(), CopyError> {
    let mut needed: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for disk in disks {
        let directory = disk.path.parent().unwrap_or(Path::new("/"));
        let device = fs::metadata(directory).map_err(io_error("look into", directory))?.dev();
        let entry = needed.entry(device).or_insert_with(|| (directory.to_owned(), ROOM_FOR_FIXES));
        let text = qemu_img(&disk.source, &["measure", "--output=json"], &["-O", word(disk.format)], leash)?;
        entry.1 += read::<Measure>(&disk.source, &text)?.required;
    }
    for (directory, needed) in needed.into_values() {
        let room = rustix::fs::statvfs(&directory)
            .map_err(|error| io_error("ask for the room in", &directory)(error.into()))?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if free < needed {
            return Err(CopyError::NoRoom { directory, free: free >> 20, needed: needed.div_ceil(1 << 20) });
        }
    }
    Ok(())
}

/// Copies a disk to `to`, which is made anew, and is on the disk when this returns. What an earlier try has left there is removed
/// first, so that whatever still writes to it writes to nothing.
///
/// # Errors
/// When it could not be copied whole, or its source changed meanwhile. What there is of the copy is removed.
pub fn copy(
    disk: &SourceDisk,
    to: &Path,
    leash: &Leash<'_>,
    listener: Listener<'_>,
) -> Result<(), CopyError> {
    remove(to)?;
    let copied = try_copy(disk, to, leash, listener);
    if copied.is_err() {
        remove(to)?;
    }
    copied
}

fn try_copy(
    disk: &SourceDisk,
    to: &Path,
    leash: &Leash<'_>,
    listener: Listener<'_>,
) -> Result<(), CopyError> {
    let facts = look(&disk.source, leash)?;
    let before = stamps(&facts.files)?;
    let mut figures =
        DiskFigures { target: disk.target.clone(), total_bytes: facts.virtual_bytes, done_bytes: 0 };
    listener(Event::Copying(figures.clone()));
    private_file(to)?;
    // Written through QEMU's cache and flushed at the end: by default it would leave that out.
    let tool = Tool::new("qemu-img")
        .arguments(["convert", "-p", "-t", "writeback", "-f", disk.source.format().word()])
        .arguments(["-O", word(disk.format)])
        .arguments([disk.source.name(), to]);
    run(&disk.source, &tool, leash, &mut |line| {
        let done = hundredths(line).map(|hundredths| part(facts.virtual_bytes, hundredths));
        if let Some(done) = done.filter(|done| *done > figures.done_bytes) {
            figures.done_bytes = done;
            listener(Event::Copying(figures.clone()));
        }
    })?;
    if stamps(&facts.files)? != before {
        return Err(CopyError::Changed { source_name: disk.source.to_string() });
    }
    File::open(to).and_then(|image| image.sync_all()).map_err(io_error("sync", to))?;
    Ok(sync_parent(to)?)
}

/// As qemu calls an image's format.
pub(super) fn word(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Qcow2 => SourceFormat::Qcow2.word(),
        ImageFormat::Raw => SourceFormat::Raw.word(),
    }
}

/// What of a file changes when it is written to.
fn stamps(files: &[PathBuf]) -> Result<Vec<(u64, SystemTime)>, DiskError> {
    let stamp = |path: &PathBuf| {
        let of = |metadata: fs::Metadata| Ok((metadata.len(), metadata.modified()?));
        fs::metadata(path).and_then(of).map_err(io_error("look at", path))
    };
    files.iter().map(stamp).collect()
}

/// What `qemu-img -p` writes of its progress, `(12.34/100%)`, in hundredths of a percent.
fn hundredths(line: &str) -> Option<u64> {
    let (whole, part) = line.trim().strip_prefix('(')?.strip_suffix("/100%)")?.split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.get(..2)?.parse().ok()?);
    Some((whole * 100 + part).min(10_000))
}

fn part(total: u64, hundredths: u64) -> u64 {
    u64::try_from(u128::from(total) * u128::from(hundredths) / 10_000).unwrap_or(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmdk() -> Source {
        Source::File { path: "/in/legacy.vmdk".into(), format: SourceFormat::Vmdk }
    }

    #[test]
    fn progress_is_read_as_qemu_img_writes_it() {
        assert_eq!(hundredths("    (12.34/100%)"), Some(1234));
        assert_eq!(hundredths("(100.00/100%)"), Some(10_000));
        for other in ["", "qemu-img: oh", "(1/2)", "(x.yy/100%)", "(1.2/100%)"] {
            assert_eq!(hundredths(other), None, "{other}");
        }
        assert_eq!(part(2 << 30, 5_000), 1 << 30);
        assert_eq!(part(u64::MAX, 10_000), u64::MAX);
    }

    #[test]
    fn an_image_that_is_whole_is_told_with_its_files() {
        let text = r#"{ "virtual-size": 2147483648, "filename": "/in/legacy.vmdk", "cluster-size": 65536, "format": "vmdk",
            "actual-size": 12288, "format-specific": { "type": "vmdk", "data": { "cid": 1, "parent-cid": 4294967295,
            "create-type": "twoGbMaxExtentSparse", "extents": [
                { "virtual-size": 1, "filename": "/in/legacy-s001.vmdk", "format": "SPARSE" },
                { "virtual-size": 1, "filename": "/in/legacy-s002.vmdk", "format": "SPARSE" } ] } }, "dirty-flag": false }"#;
        let facts = facts(&vmdk(), text).expect("whole");
        assert_eq!(facts.virtual_bytes, 2 << 30);
        let files = ["/in/legacy.vmdk", "/in/legacy-s001.vmdk", "/in/legacy-s002.vmdk"];
        assert_eq!(facts.files, files.map(PathBuf::from));
    }

    #[test]
    fn an_image_that_leads_elsewhere_is_refused() {
        for (more, word) in [
            (r#""backing-filename": "/in/base.vmdk""#, "snapshots"),
            (
                r#""format-specific": { "type": "qcow2", "data": { "data-file": "/etc/shadow" } }"#,
                "/etc/shadow",
            ),
            (
                r#""format-specific": { "type": "vmdk", "data": { "extents": [ { "filename": "/etc/shadow" } ] } }"#,
                "one directory",
            ),
            (r#""encrypted": true"#, "decrypt"),
        ] {
            let error = facts(&vmdk(), &format!(r#"{{ "virtual-size": 1, {more} }}"#)).expect_err("refused");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(facts(&vmdk(), "no JSON").is_err());
    }
}
