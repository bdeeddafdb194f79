//! How much longer a server is away than for a bare shutdown and boot, as its guest measures it: from its last write at the source to its
//! first at the destination.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::stage::{Rounds, Stage};
use crate::bench::report::{Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, DiskLoad};
use crate::warm::local_guest;

const SERVER: &str = "downtime";

/// The goal, in milliseconds.
const LIMIT_MS: f64 = 500.0;

/// MiB that the guest writes into again and again: with what it writes beside that, some 64 MiB are dirty when its time comes.
const LOAD_MIB: u32 = 60;

/// So many beats after its boot the guest has surely told how long it was away: a second's.
const BEATS_UNTIL_TOLD: u64 = 50;

/// So much has to be dirty before the cutover is ordered, in bytes.
const DIRTY: u64 = 48 << 20;

pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let mut spec = local_guest(SERVER, &[DiskFormat::Qcow2], &[Rounds::Rare.label()]);
    (spec.disk_mib, spec.beat_ms) = (160, 20);
    spec.load = DiskLoad { mib: LOAD_MIB, kib_per_second: 8192 };
    stage.add(&spec)?;
    let (mut bare, mut away, mut side) = (Sample::default(), Sample::default(), Side::First);
    for number in 1..=repetitions {
        let own = bare_reboot(stage, side)?;
        let ours = cutover(stage, side)?;
        say(&format!(
            "downtime {number} of {repetitions}: {ours:.0} ms, a bare shutdown and boot {own:.0} ms"
        ));
        bare.add(own);
        away.add(ours);
        side = side.other();
    }
    stage.remove(SERVER)?;
    let usual = bare.median();
    let beyond = away.less(usual);
    let ms = Unit::Milliseconds;
    Ok(vec![
        Row::limited("local disks: downtime beyond shutdown and boot", ms, beyond, LIMIT_MS),
        Row::told("  downtime of the cutover", ms, away),
        Row::told("  a bare shutdown and boot of the same guest", ms, bare),
    ])
}

/// Shuts the guest down and starts it where it is.
fn bare_reboot(stage: &Stage<'_>, side: Side) -> Result<f64> {
    let (host, collector) = (stage.host(side)?, stage.lab().collector()?);
    collector.reset_downtime(SERVER, Duration::from_secs(30))?;
    host.virsh(["shutdown", SERVER, "--mode", "acpi"])?.ok()?;
    while host.qemu_pid(SERVER).is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // libvirt may still be tidying up after it, and then lets the start wait.
    stage.wait("the guest to start again", || Ok(host.virsh(["start", SERVER])?.success.then_some(())))?;
    measured(stage)
}

fn cutover(stage: &Stage<'_>, side: Side) -> Result<f64> {
    stage.drain(side)?;
    stage.replica(SERVER, 2)?;
    stage.until(SERVER, "enough to be dirty", |replica| replica["lag_bytes"].as_u64() >= Some(DIRTY))?;
    stage.lab().collector()?.reset_downtime(SERVER, Duration::from_secs(30))?;
    stage.wish(SERVER, "start-now")?;
    let migration = stage.wait("the server to be moved", || {
        Ok(stage.migration(SERVER)?.filter(|migration| migration["done_at"].is_string()))
    })?;
    ensure!(migration["tries"] == 1, "it took more than one try: {migration:#}");
    let away = measured(stage)?;
    confirm(stage, side, &migration)?;
    Ok(away)
}

/// So that it may come back: its old disks are deleted.
fn confirm(stage: &Stage<'_>, from: Side, migration: &Value) -> Result<()> {
    stage.wish(SERVER, "confirm")?;
    let (source, guest) = (stage.host(from)?, stage.lab().guest(SERVER)?);
    stage.wait("the old disks to be deleted", || {
        Ok((!source.outside(&guest.disk_path()).exists()).then_some(()))
    })?;
    stage.open(from).with_context(|| format!("{migration:#}"))
}

/// What the guest measured, once it has told.
fn measured(stage: &Stage<'_>) -> Result<f64> {
    let collector = stage.lab().collector()?;
    let before = collector.of(SERVER);
    let now = stage.wait("the guest to be heard again", || {
        let heard = collector.of(SERVER);
        Ok((heard.boots > before.boots || heard.last() > before.last() + 2).then_some(heard))
    })?;
    // The first answer after the boot ends the gap, a beat after that tells of it; right after a boot answers come late.
    let told = collector.wait_beyond(SERVER, now.last() + BEATS_UNTIL_TOLD, Duration::from_secs(60))?;
    let away = told.downtime().context("the guest has not heard that it is to measure anew")?;
    Ok(away.as_secs_f64() * 1e3)
}
