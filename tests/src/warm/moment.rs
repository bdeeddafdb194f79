//! The moments of a cutover, as they are seen from outside: by files and processes where they tell, and not by Drover's own word.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::is_over;
use crate::lab::witness::Held;
use crate::lab::{Guest, Host};
use crate::scene::{REPLICA_MARK, Scene};

/// The pause between two looks at what Drover says of the migration, and two words to it to get on.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// A moment at which something can be broken, in the order in which a migration comes to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The whole disks are being copied, and a part of them is there.
    InitialSync,
    /// A later round is being read from the running server.
    Round,
    /// The last round while it runs.
    FinalDelta,
    /// It is off, and what it wrote at last is being copied.
    Tail,
    /// Its disks are in their place at the destination.
    Finalize,
    /// Its QEMU is about to be started there.
    BootTarget,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InitialSync => "initial sync",
            Self::Round => "a round",
            Self::FinalDelta => "final delta",
            Self::Tail => "tail",
            Self::Finalize => "finalize",
            Self::BootTarget => "boot target",
        })
    }
}

/// A replica that has grown beyond this has more in it than an empty image.
const BEGUN: u64 = 1 << 20;

/// The pause between two looks: shorter than the shortest of these moments.
const LOOK_EVERY: Duration = Duration::from_millis(4);

impl Moment {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::InitialSync, Self::Round, Self::FinalDelta, Self::Tail, Self::Finalize, Self::BootTarget];

    /// Waits until a server's migration is there, and returns true; false if it has passed by, or the server was moved before. A cutover
    /// is begun at once, whatever its time. `held` is what keeps the server from being started at the destination, if anything does.
    ///
    /// # Errors
    /// If it is not there within `limit`.
    pub fn wait(self, scene: &Scene, guest: &Guest, held: Option<&Held>, limit: Duration) -> Result<bool> {
        let source = scene.host("h1")?;
        let deadline = Instant::now() + limit;
        let mut asked = Instant::now();
        loop {
            if self.is_now(scene, guest, held, source)? {
                return Ok(true);
            }
            // Past its start, the server is held where it is at the last of all moments.
            if self != Self::BootTarget && is_held_elsewhere(held, source) {
                return Ok(false);
            }
            if asked.elapsed() > ASK_EVERY {
                asked = Instant::now();
                // The scheduler may be away, and refuses what it can't do yet.
                let Ok(migration) = scene.migration(&guest.name) else { continue };
                if is_over(&migration) {
                    return Ok(false);
                }
                if self.is_of_the_cutover() && migration["state"] == "ready" {
                    let _ = scene.wish(&guest.name, "start-now");
                }
            }
            if Instant::now() > deadline {
                let migration = scene.migration(&guest.name)?;
                bail!("{} did not come to {self} within {limit:?}: {migration:#}", guest.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn is_of_the_cutover(self) -> bool {
        match self {
            Self::InitialSync | Self::Round => false,
            Self::FinalDelta | Self::Tail | Self::Finalize | Self::BootTarget => true,
        }
    }

    fn is_now(self, scene: &Scene, guest: &Guest, held: Option<&Held>, source: &Host) -> Result<bool> {
        let elsewhere = || scene.lab().hosts().iter().filter(|host| host.name() != source.name());
        let in_place = || elsewhere().any(|host| host.inside(&guest.disk_path()).exists());
        Ok(match self {
            Self::InitialSync => elsewhere().any(|host| replica_bytes(host, guest) > BEGUN),
            Self::Round => checkpoints(source, guest)? >= 2,
            Self::FinalDelta => {
                scene.migration(&guest.name).is_ok_and(|migration| migration["phase"] == "final_delta")
            }
            Self::Tail => source.qemu_pid(&guest.name).is_none() && !in_place(),
            Self::Finalize => in_place(),
            Self::BootTarget => is_held_elsewhere(held, source),
        })
    }
}

fn is_held_elsewhere(held: Option<&Held>, source: &Host) -> bool {
    held.and_then(Held::waits_on).is_some_and(|host| host != source.name())
}

/// How much storage the replica of a guest's first disk takes on a host.
fn replica_bytes(host: &Host, guest: &Guest) -> u64 {
    let disk = host.inside(&guest.disk_path());
    let (Some(dir), Some(name)) = (disk.parent(), disk.file_name()) else { return 0 };
    let prefix = format!("{}{REPLICA_MARK}", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.blocks() * 512)
        .max()
        .unwrap_or(0)
}

/// A round has a checkpoint of its own beside that of the last one, as long as it has not landed.
fn checkpoints(source: &Host, guest: &Guest) -> Result<usize> {
    let said = source.virsh(["checkpoint-list", &guest.name, "--name"])?;
    if !said.success {
        return Ok(0);
    }
    let names = said.ok().context("the checkpoints")?;
    Ok(names.split_whitespace().count())
}
