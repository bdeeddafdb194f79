//! Delivery into a maildir: written beside, forced to disk, then moved to its place under a name that comes from the notice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::deliver::Delivery;
use crate::mail::Mail;

const FOLDERS: [&str; 3] = ["tmp", "new", "cur"];

pub(crate) fn check(directory: &Path) -> Vec<String> {
    match prepare(directory) {
        Ok(()) => Vec::new(),
        Err(e) => vec![format!(
            "maildir path {:?} can't be used: {e}; name a directory that can be written to, or one that can be created",
            directory.display()
        )],
    }
}

pub(crate) async fn deliver(directory: &Path, mail: &Mail) -> Delivery {
    let left = mail.recipients();
    let name = file_name(mail);
    let (directory, bytes) = (directory.to_owned(), mail.bytes().to_vec());
    let shown = directory.display().to_string();
    let written = tokio::task::spawn_blocking(move || store(&directory, &name, &bytes)).await;
    let why = match written {
        Ok(Ok(place)) => {
            return Delivery::Delivered {
                how: format!("written to {}", place.display()),
                refused: Vec::new(),
            };
        }
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    // Even a missing right is something that an operator can mend, and the notice must not be lost over it.
    Delivery::Retry { why: format!("maildir {shown}: {why}"), left, refused: Vec::new() }
}

/// The same for every try at the same notice: a repeat replaces the file instead of adding one.
fn file_name(mail: &Mail) -> String {
    format!("{}.{}.drover", mail.at.timestamp(), mail.id)
}

fn prepare(directory: &Path) -> io::Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(directory.join(folder))?;
    }
    // Under a name of its own: someone may check the configuration while the scheduler starts with it.
    tempfile::Builder::new().prefix(".drover-check-").tempfile_in(directory.join("tmp"))?.close()
}

fn store(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    for folder in FOLDERS {
        fs::create_dir_all(directory.join(folder))?;
    }
    if let Some(read) = already_read(&directory.join("cur"), name)? {
        return Ok(read);
    }
    let (beside, place) = (directory.join("tmp").join(name), directory.join("new").join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    // A maildir holds lines as this system writes them; CR LF is for the wire.
    file.write_all(&without_carriage_returns(bytes))?;
    file.sync_all()?;
    fs::rename(&beside, &place)?;
    // The new name itself is in the directory, and is durable only when that is.
    File::open(directory.join("new"))?.sync_all()?;
    Ok(place)
}

/// A reader moves what it has seen to `cur` and adds flags to the name.
fn already_read(cur: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(cur)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().split(':').next() == Some(name) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn without_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len());
    for (i, byte) in bytes.iter().enumerate() {
        if !(*byte == b'\r' && bytes.get(i + 1) == Some(&b'\n')) {
            lines.push(*byte);
        }
    }
    lines
}
