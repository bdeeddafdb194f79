//! Servers with local disks on real hypervisors: what can go wrong while one is moved, at which moments, and many of them at once.

mod crowd;
mod fault;
mod moment;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use drover_policies::time::Clock as _;
use drover_scheduler::clock::SystemClock;
use serde_json::Value;

pub use crowd::{Crowd, Report, Seed};
pub use fault::{Broken, Fault};
pub use moment::Moment;

use crate::installation::{Options, Replicas};
use crate::lab::{Absence, DiskFormat, DiskLoad, DiskPlace, Guest, GuestSpec};
use crate::scene::{self, BOOT, MOVED, POLICY, REPLICA_MARK, Scene, text};

/// Rounds follow each other closely, and a label makes them slow, so that there is time to break something meanwhile. What breaks costs
/// tries, and a try that has to wait for a round must still be in time.
const REPLICATION: &str = r#"
[replication]
far = "2s"
near = "1s"

[[rule]]
name = "local disks"
match = { label = "disks=local" }
set.live.local_disks = false
set.windows.slot_step = "15s"
set.reboot.attempts = 20

[[rule]]
name = "slow rounds"
match = { label = "rounds=slow" }
set.replication.bandwidth = 3145728

[[rule]]
name = "tests in a network"
match = { label = "tests=network" }
set.test.network = "tests"

[[rule]]
name = "not soon"
match = { label = "window=far" }
set.windows.slot_step = "6h"
set.notice.lead = "30m"
"#;

/// The label of a server whose rounds are slow.
pub const SLOW_ROUNDS: (&str, &str) = ("rounds", "slow");

/// The label of a server whose time is hours away.
pub const FAR_WINDOW: (&str, &str) = ("window", "far");

/// The label of a server whose tests are plugged into a network.
pub const TESTED_IN_A_NETWORK: (&str, &str) = ("tests", "network");

/// How long a server may take from the order to its end, when something breaks on the way: a link that is cut is noticed after a while,
/// and a try that has failed is followed by another one.
pub const REPAIRED: Duration = Duration::from_secs(180);

/// Drover for servers with local disks.
///
/// # Errors
/// Never; a scene asks for its options each time that it is opened.
pub fn options() -> Result<Options> {
    Ok(Options { replicas: Replicas::Held, ..Options::new(&format!("{POLICY}{REPLICATION}")) })
}

/// A guest of the account acme on h1 with one or two local disks.
#[must_use]
pub fn local_guest(name: &str, formats: &[DiskFormat], labels: &[(&str, &str)]) -> GuestSpec {
    let labels: Vec<_> = labels.iter().copied().chain([("disks", "local")]).collect();
    let mut spec = scene::guest(name, "h1", &labels);
    spec.disk = DiskPlace::Local;
    spec.format = formats.first().copied().unwrap_or(DiskFormat::Qcow2);
    spec.second = formats.get(1).copied();
    spec
}

/// The same with a load on its first disk.
#[must_use]
pub fn loaded_guest(name: &str, formats: &[DiskFormat], labels: &[(&str, &str)]) -> GuestSpec {
    let mut spec = local_guest(name, formats, labels);
    spec.load = DiskLoad { mib: 16, kib_per_second: 1024 };
    spec
}

/// Waits until a server with local disks is moved, runs there alone and counts on, whatever broke on the way, and returns its last
/// migration. Nobody else may have a part of its disks then but the source, which keeps them until the migration is confirmed.
///
/// # Errors
/// If it is not in time, or something is left over.
pub fn until_well(scene: &Scene, server: &str) -> Result<Value> {
    let migration = scene.until(server, "to be moved", REPAIRED, is_over)?;
    ensure!(migration["method"] == "reboot", "{migration:#}");
    scene.runs_on(server, text(&migration["to"])?)?;
    let guest = scene.lab().guest(server)?;
    scene.drover().wait(&format!("nothing of a replica of {server} to be left"), MOVED, || {
        Ok(replica_files(scene, &guest)?.is_empty().then_some(()))
    })?;
    Ok(migration)
}

/// Whether a server ran somewhere all the time but for its cutovers, as the watch over all hosts saw it with virsh.
///
/// # Errors
/// If it was off without one, with when.
pub fn was_off_only_in_cutovers(scene: &Scene, server: &str) -> Result<()> {
    let uuid = scene.lab().guest(server)?.uuid;
    let (now, clock) = (Instant::now(), SystemClock.now());
    let at = |moment: Instant| clock - TimeDelta::from_std(now - moment).unwrap_or_default();
    let time = |value: &Value| text(value)?.parse::<DateTime<Utc>>().context("a time of the scheduler's");
    let mut tries = Vec::new();
    // Not asked for by its name: for a moment nobody may see it.
    let all = scene.drover().api().all("/v1/migrations?only=all&limit=500")?;
    for migration in all.iter().filter(|migration| migration["server_name"] == server) {
        let path = format!("/v1/migrations/{}", migration["number"]);
        let migration = scene.drover().api().get(&path)?.ok()?;
        for attempt in migration["attempts"].as_array().into_iter().flatten() {
            let ended = &attempt["ended_at"];
            tries.push((time(&attempt["began_at"])?, if ended.is_null() { clock } else { time(ended)? }));
        }
    }
    let absences = scene.watched()?.absences.into_iter().filter(|absence| absence.uuid == uuid);
    for Absence { from, until, .. } in absences {
        let (from, until) = (at(from), at(until));
        let in_one = tries.iter().any(|(began, ended)| *began <= from && until <= *ended);
        ensure!(in_one, "{server} ran nowhere from {from} to {until}; its cutovers: {tries:?}");
    }
    Ok(())
}

/// Whether a migration was carried out, or is over otherwise: a server that was off when it was moved has nobody to confirm it.
fn is_over(migration: &Value) -> bool {
    migration["done_at"].is_string() || migration["open"] == false
}

/// Confirms a server's migration, and waits until its old host has nothing of its disks any more.
///
/// # Errors
/// If it is refused, or files are left.
pub fn confirm(scene: &Scene, server: &str) -> Result<()> {
    let migration = scene.migration(server)?;
    scene.wish(server, "confirm")?;
    let (source, guest) = (scene.host(text(&migration["from"])?)?, scene.lab().guest(server)?);
    scene.drover().wait(&format!("the old disks of {server} to be deleted"), BOOT, || {
        let left = guest.disks().iter().any(|disk| source.inside(&disk.path).exists());
        Ok((!left).then_some(()))
    })
}

/// The names of files on any host that belong to a replica of this guest.
fn replica_files(scene: &Scene, guest: &Guest) -> Result<Vec<String>> {
    let files = scene.local_files()?;
    let of_it = |name: &String| {
        guest.disks().iter().any(|disk| {
            let file = disk.path.rsplit('/').next().unwrap_or_default();
            name.strip_prefix(file).is_some_and(|rest| rest.starts_with(REPLICA_MARK))
        })
    };
    Ok(files
        .iter()
        .filter_map(|file| file.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(of_it)
        .collect())
}
