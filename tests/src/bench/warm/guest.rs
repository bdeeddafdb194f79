//! How much slower a guest writes while its disks are replicated.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::stage::{Rounds, Stage};
use crate::bench::report::{Against, Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, DiskLoad, Host};
use crate::warm::local_guest;

/// At least 0.85 times as fast, as a time.
const GOAL: f64 = 1.0 / 0.85;

/// MiB of noise on the disk whose first copy is made meanwhile: it takes some seconds.
const COPIED_MIB: u32 = 768;

/// How long it is looked at, each time: two rounds that come as usual.
const FOR: Duration = Duration::from_secs(20);

/// The guest writes as fast as it can, into the same part of its disk again and again: all of that is in every round.
pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let usual = while_replicated(stage, ("writes", Rounds::Usual), repetitions)?;
    let often = while_replicated(stage, ("writes-often", Rounds::Often), repetitions)?;
    let first = during_first_copy(stage, repetitions)?;
    let row = |what: &str, (replicated, idle): (Sample, Sample)| Row {
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        sample: replicated,
        against: Against::Peer { name: "the same guest in peace".to_owned(), sample: idle },
        goal: Some(GOAL),
    };
    Ok(vec![
        row("local disks: the guest writes a MB while replicated", usual),
        row("  the same while one round follows the other", often),
        row("  the same while the whole disk is copied for the first time", first),
    ])
}

/// What a megabyte takes while rounds come, and while they are paused.
fn while_replicated(
    stage: &Stage<'_>,
    (server, rounds): (&str, Rounds),
    repetitions: usize,
) -> Result<(Sample, Sample)> {
    let mut spec = local_guest(server, &[DiskFormat::Qcow2], &[rounds.label()]);
    spec.disk_mib = 256;
    spec.load = DiskLoad { mib: 128, kib_per_second: 0 };
    stage.add(&spec)?;
    let maintenance = stage.drain(Side::First)?;
    stage.replica(server, 2)?;
    let source = stage.host(Side::First)?;
    let (mut replicated, mut idle) = (Sample::default(), Sample::default());
    for number in 1..=repetitions {
        stage.wish(server, "replica/pause")?;
        // A round that is being done then is done to its end.
        stage.until(server, "to be paused", |replica| replica["state"] == "paused")?;
        let alone = time_for_a_megabyte(source, server)?;
        stage.wish(server, "replica/resume")?;
        let before = stage.replica(server, 0)?["rounds"].as_u64().unwrap_or(0);
        stage.replica(server, before + 1)?;
        let together = time_for_a_megabyte(source, server)?;
        say(&format!(
            "writing {number} of {repetitions}, rounds {rounds:?}: {together:.2} ms for a MB, in peace {alone:.2} ms"
        ));
        idle.add(alone);
        replicated.add(together);
    }
    stage.cancel(&maintenance, Side::First)?;
    stage.remove(server)?;
    Ok((replicated, idle))
}

/// What a megabyte takes while the whole disk is copied, and before that is asked for. There is no limit on the copying.
fn during_first_copy(stage: &Stage<'_>, repetitions: usize) -> Result<(Sample, Sample)> {
    let server = "writes-first";
    let mut spec = local_guest(server, &[DiskFormat::Qcow2], &[Rounds::Rare.label()]);
    spec.disk_mib = COPIED_MIB + 128;
    spec.load = DiskLoad { mib: COPIED_MIB, kib_per_second: 0 };
    stage.add(&spec)?;
    let source = stage.host(Side::First)?;
    let (mut copied, mut idle) = (Sample::default(), Sample::default());
    for number in 1..=repetitions {
        let alone = time_for_a_megabyte(source, server)?;
        let maintenance = stage.drain(Side::First)?;
        stage.until(server, "its first copy to begin", |replica| replica["state"] == "initial_sync")?;
        let together = time_for_a_megabyte_until(source, server, || {
            stage.replica(server, 1)?;
            // What the copy took from the guest is made good right after it, before the next round.
            let goes_on =
                |replica: &Value| replica["next_at"].is_null() || replica["rounds"].as_u64() > Some(1);
            stage.until(server, "the round after it", goes_on).map(drop)
        })?;
        stage.cancel(&maintenance, Side::First)?;
        say(&format!(
            "writing {number} of {repetitions}, during the first copy: {together:.2} ms for a MB, in peace {alone:.2} ms"
        ));
        idle.add(alone);
        copied.add(together);
    }
    stage.remove(server)?;
    Ok((copied, idle))
}

fn time_for_a_megabyte(source: &Host, server: &str) -> Result<f64> {
    time_for_a_megabyte_until(source, server, || {
        std::thread::sleep(FOR);
        Ok(())
    })
}

/// By QEMU's own account of what the guest has written, in milliseconds.
fn time_for_a_megabyte_until(source: &Host, server: &str, over: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (from, began) = (written(source, server)?, Instant::now());
    over()?;
    let (bytes, took) = (written(source, server)? - from, began.elapsed());
    ensure!(bytes > 0.0, "the guest writes nothing");
    Ok(took.as_secs_f64() * 1e3 / (bytes / 1e6))
}

/// Bytes that a guest has written since it was started, by QEMU's account.
pub(super) fn written(host: &Host, domain: &str) -> Result<f64> {
    let stats = host.virsh(["domblkstat", domain, "vda"])?.ok()?;
    let value = stats.lines().find_map(|line| line.split_once("wr_bytes ")?.1.trim().parse().ok());
    value.with_context(|| format!("libvirt tells no bytes written: {stats}"))
}
