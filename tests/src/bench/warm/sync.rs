//! How long the first copy of a disk takes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::peers;
use super::stage::{Rounds, Stage};
use crate::bench::report::{Against, Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, DiskLoad};
use crate::warm::local_guest;

const SERVER: &str = "full-sync";

/// MiB of noise on the disk.
const MIB: u32 = 768;

/// At least 0.9 times as fast as qemu-img, as a time.
const GOAL_CONVERT: f64 = 1.0 / 0.9;

/// At least 1.2 times as fast as virtnbdbackup, as a time.
const GOAL_BACKUP: f64 = 1.0 / 1.2;

pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let mut spec = local_guest(SERVER, &[DiskFormat::Qcow2], &[Rounds::Rare.label()]);
    (spec.disk_mib, spec.beat_ms) = (MIB + 128, 500);
    // The load is there to fill the disk; then it is next to nothing.
    spec.load = DiskLoad { mib: MIB, kib_per_second: 64 };
    stage.add(&spec)?;
    let guest = stage.lab().guest(SERVER)?;
    let (mut ours, mut convert, mut backup) = (Sample::default(), Sample::default(), Sample::default());
    for number in 1..=repetitions {
        let took = peers::convert(stage, Side::First, &guest)?.as_secs_f64();
        convert.add(took);
        let own = first_round(stage)?;
        ours.add(own);
        let other = peers::backup(stage, Side::First, &guest)?.map(|took| took.as_secs_f64());
        let told = other.map_or("not installed".to_owned(), |took| format!("{took:.2} s"));
        say(&format!(
            "first copy {number} of {repetitions}: {own:.2} s, qemu-img convert {took:.2} s, virtnbdbackup {told}"
        ));
        other.into_iter().for_each(|took| backup.add(took));
    }
    stage.remove(SERVER)?;
    let row = |name: &str, peer: Sample, goal: f64| Row {
        what: format!("local disks: first copy of {MIB} MiB"),
        unit: Unit::Seconds,
        sample: ours.clone(),
        against: Against::Peer { name: name.to_owned(), sample: peer },
        goal: Some(goal),
    };
    let mut rows = vec![row("qemu-img convert over TLS", convert, GOAL_CONVERT)];
    if backup.count() > 0 {
        rows.push(row("virtnbdbackup, on the spot", backup, GOAL_BACKUP));
    } else {
        say(
            "virtnbdbackup is not installed, and nothing is compared with it; `apt-get install virtnbdbackup`",
        );
    }
    Ok(rows)
}

/// By the agent's own figures: from its beginning to its landing, the destination's disk included.
fn first_round(stage: &Stage<'_>) -> Result<f64> {
    let maintenance = stage.drain(Side::First)?;
    let replica = stage.replica(SERVER, 1)?;
    let round = &replica["last_round"];
    ensure!(round["kind"] == "initial", "the first round was not seen: {replica:#}");
    let took = round["took_ms"].as_u64().with_context(|| format!("the round tells no time: {replica:#}"))?;
    stage.cancel(&maintenance, Side::First)?;
    Ok(Duration::from_millis(took).as_secs_f64())
}
