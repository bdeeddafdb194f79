//! What goes over the wire in a round, beside what libvirt says that the guest has dirtied.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::stage::{Rounds, Stage};
use crate::bench::report::{Against, Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, DiskLoad, Host};
use crate::warm::local_guest;

const SERVER: &str = "rounds";

/// By how much more may be sent.
const GOAL: f64 = 1.1;

/// How long the guest writes between two rounds.
const WRITES_FOR: std::time::Duration = std::time::Duration::from_secs(3);

pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let mut spec = local_guest(SERVER, &[DiskFormat::Qcow2], &[Rounds::Rare.label()]);
    spec.disk_mib = 256;
    spec.load = DiskLoad { mib: 128, kib_per_second: 8192 };
    stage.add(&spec)?;
    let source = stage.host(Side::First)?;
    let maintenance = stage.drain(Side::First)?;
    let mut landed = rounds_of(&stage.replica(SERVER, 1)?)?;
    let (mut sent, mut dirtied) = (Sample::default(), Sample::default());
    for number in 1..=repetitions {
        std::thread::sleep(WRITES_FOR);
        // Nothing is written between the question and the round.
        source.virsh(["suspend", SERVER])?.ok()?;
        let dirty = megabytes(dirty_bytes(source)?);
        stage.wish(SERVER, "replica/sync")?;
        let replica = stage.replica(SERVER, landed + 1)?;
        source.virsh(["resume", SERVER])?.ok()?;
        landed = rounds_of(&replica)?;
        let bytes =
            replica["last_round"]["sent_bytes"].as_u64().context("the round tells what it has sent")?;
        let bytes = megabytes(bytes);
        say(&format!("round {number} of {repetitions}: {bytes:.1} MB sent, {dirty:.1} MB dirtied"));
        sent.add(bytes);
        dirtied.add(dirty);
    }
    stage.cancel(&maintenance, Side::First)?;
    stage.remove(SERVER)?;
    Ok(vec![Row {
        what: "local disks: sent in a round".to_owned(),
        unit: Unit::Megabytes,
        sample: sent,
        against: Against::Peer { name: "dirtied, by libvirt's bitmap".to_owned(), sample: dirtied },
        goal: Some(GOAL),
    }])
}

fn rounds_of(replica: &Value) -> Result<u64> {
    replica["rounds"].as_u64().context("the replica tells no rounds")
}

/// By libvirt's word: the size of what the newest checkpoint's bitmap has in it.
fn dirty_bytes(source: &Host) -> Result<u64> {
    let names = source.virsh(["checkpoint-list", SERVER, "--name", "--topological"])?.ok()?;
    let newest = names.split_whitespace().last().context("there is no checkpoint")?;
    let xml = source.virsh(["checkpoint-dumpxml", SERVER, newest, "--size", "--no-domain"])?.ok()?;
    let sizes = xml.split(" size='").skip(1).filter_map(|rest| rest.split('\'').next()?.parse::<u64>().ok());
    Ok(sizes.sum())
}

#[expect(clippy::cast_precision_loss, reason = "a disk of less than 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
