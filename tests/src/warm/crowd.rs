//! Many servers that are cut over at once, each with disks, a load and a moment that are drawn by lot.
//!
//! The same seed draws the same servers and the same pauses. It does not draw the same story again: what a guest has written by the time
//! at which it is powered off is up to the machine.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};

use super::{REPAIRED, confirm, local_guest, until_well, was_off_only_in_cutovers};
use crate::lab::{DiskFormat, DiskLoad, GuestSpec};
use crate::scene::{BOOT, Scene, text};

/// What lots are drawn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Seed {
    /// One that nobody has chosen.
    #[must_use]
    pub fn any() -> Self {
        Self(fastrand::u64(..))
    }
}

/// The forms that a server's disks may have.
const DISKS: [&[DiskFormat]; 6] = [
    &[DiskFormat::Qcow2],
    &[DiskFormat::Raw],
    &[DiskFormat::Qcow2, DiskFormat::Qcow2],
    &[DiskFormat::Qcow2, DiskFormat::Raw],
    &[DiskFormat::Raw, DiskFormat::Qcow2],
    &[DiskFormat::Raw, DiskFormat::Raw],
];

/// One in so many does not hear its power button, and is powered off in the middle of its writing.
const DEAF: u32 = 5;

/// The longest pause between two servers whose cutover is ordered, in milliseconds.
const LONGEST_PAUSE: u64 = 1500;

/// MiB of each of its disks: the local storage of one host has room for twenty servers with two of them, whatever lots draw.
const DISK: u32 = 40;

/// The memory of each, in MiB: what the kernel and the guest program need.
const MEMORY: u32 = 80;

/// Servers with local disks that are moved from host to host.
pub struct Crowd<'a> {
    scene: &'a Scene,
    lots: Rng,
    servers: Vec<String>,
}

/// What a leg of a crowd's way was like.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many servers were cut over.
    pub cutovers: usize,
    /// From the order to empty the host until all replicas were ready.
    pub replicated_in: Duration,
    /// From the first cutover until all servers counted on.
    pub moved_in: Duration,
    /// How long each server was away, as its guest measured it, shortest first.
    pub away: Vec<Duration>,
}

impl<'a> Crowd<'a> {
    /// Makes this many servers on h1 and waits until they have booted.
    ///
    /// # Errors
    /// If one can't be made, or does not boot.
    pub fn gather(scene: &'a Scene, prefix: &str, count: usize, seed: Seed) -> Result<Self> {
        let mut lots = Rng::with_seed(seed.0);
        let specs: Vec<GuestSpec> =
            (1..=count).map(|number| draw(&format!("{prefix}-{number}"), &mut lots)).collect();
        // Not all at once: a processor that boots twenty guests has none of them up in time.
        for some in specs.chunks(5) {
            scene.add(some)?;
        }
        Ok(Self { scene, lots, servers: specs.into_iter().map(|spec| spec.name).collect() })
    }

    /// Moves all of them from one host to the other: all replicate at once, then each is cut over at its moment.
    ///
    /// # Errors
    /// If one does not arrive, or loses anything.
    pub fn travel(&mut self, from: &str, to: &str) -> Result<Report> {
        let scene = self.scene;
        let began = Instant::now();
        for host in
            scene.lab().hosts().iter().map(|host| host.name()).filter(|name| *name != from && *name != to)
        {
            let why = json!({ "reason": "the crowd goes elsewhere" });
            scene.drover().api().post(&format!("/v1/hosts/{host}/cordon"), &why)?.ok()?;
        }
        scene.drain(from)?;
        for server in &self.servers {
            scene.until(server, "to be ready", REPAIRED, |migration| migration["state"] == "ready")?;
        }
        let replicated_in = began.elapsed();
        let began = Instant::now();
        self.lots.shuffle(&mut self.servers);
        for server in &self.servers {
            scene.lab().collector()?.reset_downtime(server, BOOT)?;
            scene.wish(server, "start-now")?;
            std::thread::sleep(Duration::from_millis(self.lots.u64(..LONGEST_PAUSE)));
        }
        for server in &self.servers {
            let migration = until_well(scene, server)?;
            check_arrival(server, &migration, to)?;
            was_off_only_in_cutovers(scene, server)?;
        }
        let moved_in = began.elapsed();
        scene.until_drained(from)?;
        let away = self.away()?;
        scene.check_guests()?;
        Ok(Report { cutovers: self.servers.len(), replicated_in, moved_in, away })
    }

    /// Confirms all of their migrations, so that they may come back, and opens the host that they have left.
    ///
    /// # Errors
    /// If old disks are left there.
    pub fn settle(&self, left: &str) -> Result<()> {
        for server in &self.servers {
            confirm(self.scene, server)?;
        }
        self.scene.drover().api().post(&format!("/v1/hosts/{left}/uncordon"), &Value::Null)?.ok().map(drop)
    }

    fn away(&self) -> Result<Vec<Duration>> {
        let collector = self.scene.lab().collector()?;
        let mut away: Vec<_> =
            self.servers.iter().filter_map(|server| collector.of(server).downtime()).collect();
        away.sort();
        Ok(away)
    }
}

/// A server by lot. Its time lies far ahead, so that it is moved when it is told to.
fn draw(name: &str, lots: &mut Rng) -> GuestSpec {
    let deaf = lots.u32(..DEAF) == 0;
    let mut labels = vec![("notice", "long")];
    if deaf {
        labels.push(("ears", "none"));
    }
    let mut spec = local_guest(name, DISKS[lots.usize(..DISKS.len())], &labels);
    spec.memory_mib = MEMORY;
    spec.disk_mib = DISK;
    spec.ignore_acpi = deaf;
    spec.beat_ms = lots.u32(200..1000);
    if lots.bool() {
        spec.load = DiskLoad { mib: lots.u32(1..16), kib_per_second: lots.u32(64..2048) };
    }
    spec
}

fn check_arrival(server: &str, migration: &Value, to: &str) -> Result<()> {
    ensure!(text(&migration["to"])? == to, "{server} was moved elsewhere: {migration:#}");
    ensure!(migration["tries"] == 1, "{server} was not moved by the first try: {migration:#}");
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cutovers, replicated_in, moved_in, away } = self;
        let seconds = |at: usize| away.get(at).map_or(f64::NAN, Duration::as_secs_f64);
        write!(
            f,
            "{cutovers} cutovers: ready after {:.1} s, moved in {:.1} s, away for {:.1} s (median; at most {:.1} s)",
            replicated_in.as_secs_f64(),
            moved_in.as_secs_f64(),
            seconds(away.len() / 2),
            seconds(away.len().saturating_sub(1)),
        )
    }
}
