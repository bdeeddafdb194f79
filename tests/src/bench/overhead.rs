//! What Drover adds to libvirt's own time: single live migrations on an otherwise quiet lab.

use std::time::Duration;

use anyhow::{Context as _, Result};
use drover_policies::time::Span;

use super::report::{Row, Sample, Unit};
use super::say;
use super::stage::{Side, Stage};
use super::story::Heard;

/// The goal, in milliseconds.
const LIMIT_MS: f64 = 20.0;

pub(super) fn measure(stage: &Stage<'_>, migrations: usize) -> Result<Vec<Row>> {
    let mut samples = Samples::default();
    let mut side = Side::First;
    for number in 1..=migrations {
        let overhead = samples.add_one(stage, side)?;
        say(&format!("migration {number} of {migrations}: {overhead:.1} ms beside libvirt's own time"));
        side = side.other();
    }
    let Samples { overhead, in_libvirt, ordering, looking, confirming } = samples;
    let ms = Unit::Milliseconds;
    Ok(vec![
        Row::limited("live migration: own overhead", ms, overhead, LIMIT_MS),
        Row::told("  libvirt's own time", ms, in_libvirt),
        Row::told("  before: drain asked for to order stored", ms, ordering),
        Row::told("  after: until the guest is seen alive", ms, looking),
        Row::told("  after that: until its host is confirmed empty", ms, confirming),
    ])
}

#[derive(Default)]
struct Samples {
    /// From the order being stored to the arrival being stored, less libvirt's own time.
    overhead: Sample,
    in_libvirt: Sample,
    ordering: Sample,
    looking: Sample,
    confirming: Sample,
}

impl Samples {
    fn add_one(&mut self, stage: &Stage<'_>, from: Side) -> Result<f64> {
        let (asked, story) = stage.order_drain(from)?;
        let began = story.next("began")?;
        let arrived = story.next("arrived")?;
        let alive = story.next("alive")?;
        let empty = story.next("host_empty")?;
        stage.end_drain(&story, from)?;
        let in_libvirt = milliseconds(in_libvirt(&arrived)?);
        let overhead = milliseconds(arrived.at - began.at) - in_libvirt;
        self.overhead.add(overhead);
        self.in_libvirt.add(in_libvirt);
        self.ordering.add(milliseconds(began.at - asked));
        self.looking.add(milliseconds(alive.at - arrived.at));
        self.confirming.add(milliseconds(empty.at - alive.at));
        Ok(overhead)
    }
}

/// How long libvirt's own call took, as the agent measured it.
fn in_libvirt(arrived: &Heard) -> Result<Duration> {
    let told = &arrived.event["figures"]["moved"]["in_libvirt"];
    let span: Span = told
        .as_str()
        .with_context(|| format!("the arrival tells no time of libvirt: {}", arrived.event))?
        .parse()?;
    Ok(span.0)
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
