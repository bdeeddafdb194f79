//! How much slower a guest writes while its disks are replicated.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::stage::{Rounds, Stage};
use crate::bench::report::{Against, Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, DiskLoad, Host};
use crate::warm::local_guest;

/// At least 0.85 times as fast, as a time.
const GOAL: f64 = 1.0 / 0.85;

/// How long it is looked at, each time: two rounds that come as usual.
const FOR: Duration = Duration::from_secs(20);

/// The guest writes as fast as it can, into the same part of its disk again and again: all of that is in every round.
pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let usual = while_replicated(stage, ("writes", Rounds::Usual), repetitions)?;
    let often = while_replicated(stage, ("writes-often", Rounds::Often), repetitions)?;
    let row = |what: &str, (replicated, idle): (Sample, Sample), goal| Row {
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        sample: replicated,
        against: Against::Peer { name: "the same guest in peace".to_owned(), sample: idle },
        goal,
    };
    Ok(vec![
        row("local disks: the guest writes a MB while replicated", usual, Some(GOAL)),
        row("  the same while one round follows the other", often, None),
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

/// By QEMU's own account of what the guest has written, in milliseconds.
fn time_for_a_megabyte(source: &Host, server: &str) -> Result<f64> {
    let (from, began) = (written(source, server)?, Instant::now());
    std::thread::sleep(FOR);
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
