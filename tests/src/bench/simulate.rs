//! Simulating a maintenance over a whole fleet: how long that takes, how much memory, and whether a scheduler that is killed comes to the same end.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::report::{Row, Sample, Unit};
use super::say;
use crate::demo::interrupt::Interrupt;
use crate::installation::Programs;

/// The goals for the largest fleet: seconds, and megabytes (1.5 GiB).
const LIMIT_SECONDS: f64 = 60.0;
const LIMIT_MB: f64 = 1610.6;

/// How often the scheduler is killed.
const KILLS: u32 = 20;

/// What the goals are for.
const LARGEST: u32 = 10_000;

/// Hosts, with twenty servers each: how time and memory grow.
const FLEETS: [u32; 5] = [100, 300, 1_000, 3_000, LARGEST];

/// How often its memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn measure(interrupt: &Interrupt) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for hosts in FLEETS {
        interrupt.check()?;
        let servers = hosts * 20;
        let what = format!("simulate: roll {hosts} hosts, {servers} servers");
        let spared = simulated(hosts, 0)?;
        ensure!(
            spared.answer["ended"] == "completed",
            "it did not come to its end: {}",
            spared.answer["ended"]
        );
        ensure!(spared.answer["done"] == hosts, "{} of {hosts} hosts are done", spared.answer["done"]);
        say(&format!(
            "{what}: {:.1} s, {:.0} MB, {} looks",
            spared.seconds, spared.memory, spared.answer["looks"]
        ));
        let (seconds, memory): (Sample, Sample) = ([spared.seconds].into(), [spared.memory].into());
        if hosts < LARGEST {
            rows.push(Row::told(what.clone(), Unit::Seconds, seconds));
            rows.push(Row::told(format!("{what}: memory"), Unit::Megabytes, memory));
            continue;
        }
        rows.push(Row::limited(what.clone(), Unit::Seconds, seconds, LIMIT_SECONDS));
        rows.push(Row::limited(format!("{what}: memory"), Unit::Megabytes, memory, LIMIT_MB));
        interrupt.check()?;
        let killed = simulated(hosts, KILLS)?;
        ensure!(
            killed.answer["killed"] == KILLS,
            "the scheduler was killed {} times",
            killed.answer["killed"]
        );
        ensure!(but_kills(killed.answer) == but_kills(spared.answer), "killed, it came to another end");
        let what = format!("{what}, the scheduler killed {KILLS} times: the same result");
        rows.push(Row::told(what, Unit::Seconds, [killed.seconds].into()));
    }
    Ok(rows)
}

/// One run of the program.
struct Simulated {
    seconds: f64,
    /// The most that was resident, in megabytes.
    memory: f64,
    answer: Value,
}

fn simulated(hosts: u32, kills: u32) -> Result<Simulated> {
    let program = Programs::beside("drover")?;
    let began = Instant::now();
    let mut child = Command::new(&program)
        .args(["--json", "simulate", "--all", "--per-cluster", "3", "--link", "10Gbit", "--every", "30s"])
        .args(["--hosts", &hosts.to_string(), "--servers", &(hosts * 20).to_string()])
        .args(["--fail-rate", "0.01", "--kills", &kills.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut out = child.stdout.take().context("its output is not there")?;
    // All owners are in it, so it is more than a pipe holds.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0.0_f64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        memory = memory.max(resident_most(&fs::read_to_string(&status).unwrap_or_default()));
        std::thread::sleep(LOOK_EVERY);
    };
    let seconds = began.elapsed().as_secs_f64();
    ensure!(ended.success(), "drover simulate: {ended}");
    let text = reader.join().map_err(|_| anyhow::anyhow!("its output can't be read"))??;
    Ok(Simulated { seconds, memory, answer: serde_json::from_str(&text)? })
}

/// The most that a process ever had resident, in megabytes, by what the kernel says of it.
fn resident_most(status: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kilobytes.map_or(0.0, |kilobytes| kilobytes * 1024.0 / 1e6)
}

fn but_kills(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("killed");
    }
    answer
}
