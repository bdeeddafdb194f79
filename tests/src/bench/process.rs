//! How much memory the idle processes hold.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::report::{Row, Sample, Unit};
use super::say;
use super::stage::Stage;

/// The goal, in megabytes.
const LIMIT_MB: f64 = 40.0;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// So many looks in a row that all say the same are what "stable" means here: five seconds, in which every background task of
/// the scheduler but the hourly one has had its turn, and agents have had calls held and answered.
const LOOKS: usize = 20;

/// What "the same" means, in megabytes.
const SAME_MB: f64 = 0.1;

/// Memory that is not stable after this is told as it is.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn measure_idle(stage: &Stage<'_>) -> Result<Vec<Row>> {
    let scheduler = Process::with_word(&stage.installation().dir().join("scheduler.toml"))?;
    let idle = scheduler.stable_memory(stage)?;
    let mut agents = Sample::default();
    for host in stage.lab().hosts() {
        let agent = Process::with_word(&host.dir().join("agent/agent.toml"))?;
        for value in agent.stable_memory(stage)?.latest {
            agents.add(value);
        }
    }
    if !idle.is_stable {
        say("the scheduler's memory is still changing");
    }
    let mut sample = Sample::default();
    idle.latest.iter().for_each(|value| sample.add(*value));
    Ok(vec![
        Row::limited("scheduler: idle, resident", Unit::Megabytes, sample, LIMIT_MB),
        Row::told("agents: idle, resident, each", Unit::Megabytes, agents),
    ])
}

/// A running process of the installation.
struct Process(i32);

/// Memory in megabytes, at each of the latest looks.
struct Memory {
    latest: Vec<f64>,
    is_stable: bool,
}

impl Process {
    /// The one that was started with this file.
    fn with_word(file: &Path) -> Result<Self> {
        let file = file.as_os_str().as_encoded_bytes();
        let pid = fs::read_dir("/proc")?.flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            line.split(|byte| *byte == 0).any(|word| word == file).then_some(pid)
        });
        pid.map(Self)
            .with_context(|| format!("no process was started with {}", String::from_utf8_lossy(file)))
    }

    fn resident(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("{path}: has it ended?"))?;
        let kib: Option<f64> = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(kib.context("the kernel tells no VmRSS")? * 1024.0 / 1e6)
    }

    fn stable_memory(&self, stage: &Stage<'_>) -> Result<Memory> {
        let deadline = Instant::now() + PATIENCE;
        let mut looks: Vec<f64> = Vec::new();
        loop {
            stage.interrupt().check()?;
            looks.push(self.resident()?);
            let latest = &looks[looks.len().saturating_sub(LOOKS)..];
            let least = latest.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = latest.iter().copied().fold(0.0, f64::max);
            let is_stable = latest.len() == LOOKS && greatest - least <= SAME_MB;
            if is_stable || Instant::now() > deadline {
                return Ok(Memory { latest: latest.to_vec(), is_stable });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
