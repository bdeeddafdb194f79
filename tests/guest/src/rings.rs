//! The guest's rings: one on each of its disks, with the same records.
//!
//! A number goes to the first disk and is there before it goes to the next. So at every moment the disks differ by one
//! number at most, and a guest that finds them farther apart was given disks of two moments.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

use drover_lab_guest::{RECORD, Record, read};

/// Where the rings are, made by the lab together with the disks: they never grow, so that a write changes data only and
/// can be found in the image of a running guest too. The second one is there if the guest has a second disk.
const RINGS: [&str; 2] = ["/data/ring", "/more/ring"];

/// All rings, open.
pub struct Rings {
    files: Vec<File>,
    slots: u64,
}

impl Rings {
    /// Opens them and returns the newest record of the first.
    pub fn open() -> io::Result<(Self, Record)> {
        let (mut files, mut newest, mut slots) = (Vec::new(), Vec::new(), u64::MAX);
        for (number, path) in RINGS.into_iter().enumerate() {
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(error) if number > 0 && error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let size = file.metadata()?.len();
            slots = slots.min(size / RECORD as u64);
            let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            newest.push(read(&bytes).newest().unwrap_or_default());
            files.push(file);
        }
        if slots == 0 {
            return Err(io::Error::other("a ring is empty"));
        }
        let first = newest[0];
        for other in &newest[1..] {
            if first.number < other.number || first.number > other.number + 1 {
                println!("trouble: disks of two moments, {} and {}", first.number, other.number);
            }
        }
        Ok((Self { files, slots }, first))
    }

    /// Writes a record on every disk, and returns when all have it.
    pub fn write(&self, record: Record) -> io::Result<()> {
        let place = (record.number - 1) % self.slots * RECORD as u64;
        for file in &self.files {
            file.write_all_at(record.to_line().as_bytes(), place)?;
            file.sync_data()?;
        }
        Ok(())
    }
}
