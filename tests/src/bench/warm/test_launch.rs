//! How long a test launch takes beyond the boot itself: from the owner's wish to the first write of the server that is tested, less what
//! the same guest takes from a bare start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::guest::written;
use super::stage::{Rounds, Stage};
use crate::bench::report::{Row, Sample, Unit};
use crate::bench::say;
use crate::bench::stage::Side;
use crate::lab::{DiskFormat, GuestSpec, Host};
use crate::warm::local_guest;

const SERVER: &str = "tried";

/// The same guest, started without anything of ours.
const BARE: &str = "bare";

/// What libvirt calls it while it is tested.
const TEST: &str = "tried-test";

/// The goal, in milliseconds.
const LIMIT_MS: f64 = 1500.0;

/// A guest that has not written by then does not boot.
const BOOTS_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn measure(stage: &Stage<'_>, repetitions: usize) -> Result<Vec<Row>> {
    let guest = |name: &str| local_guest(name, &[DiskFormat::Qcow2], &[Rounds::Rare.label()]);
    let destination = stage.host(Side::Second)?;
    stage.add(&guest(SERVER))?;
    // Its like, on the host that tests it: the two are started in turn.
    stage.add(&GuestSpec { host: destination.name().to_owned(), ..guest(BARE) })?;
    let (mut bare, mut ours) = (Sample::default(), Sample::default());
    let maintenance = stage.drain(Side::First)?;
    stage.replica(SERVER, 2)?;
    for number in 1..=repetitions {
        destination.virsh(["destroy", BARE])?.ok()?;
        let start = || destination.virsh(["start", BARE])?.ok().map(drop);
        bare.add(until_it_writes(destination, BARE, start)?);
        let took = until_it_writes(destination, TEST, || stage.wish(SERVER, "replica/test"))?;
        say(&format!(
            "test launch {number} of {repetitions}: {took:.0} ms, a bare boot {:.0} ms",
            bare.median()
        ));
        ours.add(took);
        stage.until(SERVER, "the test to run", |replica| replica["test"]["state"] == "running")?;
        stage.wish(SERVER, "replica/test/end")?;
        stage.until(SERVER, "the test to be over", |replica| replica["test"]["state"] == "over")?;
    }
    stage.cancel(&maintenance, Side::First)?;
    stage.remove(SERVER)?;
    stage.remove(BARE)?;
    let (ms, beyond) = (Unit::Milliseconds, ours.less(bare.median()));
    Ok(vec![
        Row::limited("local disks: a test launch beyond its boot", ms, beyond, LIMIT_MS),
        Row::told("  from the wish to the first write of the test", ms, ours),
        Row::told("  a bare start to the first write of the same guest", ms, bare),
    ])
}

/// From now on, in milliseconds.
fn until_it_writes(host: &Host, domain: &str, begin: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    begin()?;
    loop {
        // Until there is such a domain, libvirt refuses to tell.
        if written(host, domain).is_ok_and(|bytes| bytes > 0.0) {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(began.elapsed() < BOOTS_WITHIN, "{domain} has written nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
}
