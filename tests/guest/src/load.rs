//! A load on the first disk: blocks of noise at places that change, past the guest's own cache, so that what was written
//! is with the hypervisor when the next one goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

/// The file that is written into; as long as the load asks for, all of it written once before the load begins.
const FILE: &str = "/data/load";

/// Bytes of one write, and what its place is a multiple of: the granularity of the bitmaps that tell what was written.
const BLOCK: usize = 65_536;

/// What the kernel wants a buffer's address to be a multiple of.
const ALIGNED: usize = 4096;

/// `O_DIRECT` of this architecture.
const DIRECT: i32 = 0o40_000;

/// How much is written into, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// MiB of the file.
    pub mib: u64,
    /// KiB per second; 0 for as fast as the disk takes it.
    pub kib_per_second: u64,
}

/// Writes until something fails.
pub fn write_for_ever(load: Load) -> io::Result<()> {
    let blocks = (load.mib << 20) / BLOCK as u64;
    let mut noise = Noise::new()?;
    let file = prepared(blocks, &mut noise)?;
    println!("load: {blocks} blocks");
    let pause = match load.kib_per_second {
        0 => Duration::ZERO,
        rate => Duration::from_secs(BLOCK as u64) / 1024 / u32::try_from(rate).unwrap_or(u32::MAX),
    };
    let mut due = Instant::now();
    loop {
        let place = noise.next() % blocks;
        file.write_all_at(noise.block(), place * BLOCK as u64)?;
        due = (due + pause).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// The file with all of its blocks in place: from then on, writes change data only. One of an earlier boot is taken as it is.
fn prepared(blocks: u64, noise: &mut Noise) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(DIRECT)
        .open(FILE)?;
    for place in file.metadata()?.len() / BLOCK as u64..blocks {
        file.write_all_at(noise.block(), place * BLOCK as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Bytes that no two blocks have in common and that don't get smaller when packed.
struct Noise {
    state: u64,
    bytes: Vec<u8>,
}

impl Noise {
    /// Begins anew at each boot, so that no two write the same.
    fn new() -> io::Result<Self> {
        let mut seed = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self { state: u64::from_le_bytes(seed) | 1, bytes: vec![0; BLOCK + ALIGNED] })
    }

    /// The next number; xorshift64.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next block, at an address that direct writes may have.
    fn block(&mut self) -> &[u8] {
        let from = self.bytes.as_ptr().align_offset(ALIGNED);
        for place in (from..from + BLOCK).step_by(8) {
            let number = self.next();
            self.bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        &self.bytes[from..from + BLOCK]
    }
}
