//! How fast it is: each figure beside a peer that does the same in the same run, or beside the limit that it is to stay below.
//!
//! A shared machine is noisy, so nothing here fails because of a time: a goal that was missed is said to be missed, and the
//! spread shows how much the figure is worth. What must be right (every guest has arrived, each host is empty) is checked.

mod agent;
mod asking;
mod btrplace;
mod crowd;
mod drain;
mod fleet;
mod htools;
mod overhead;
mod pages;
mod process;
mod report;
mod scheduler;
mod simulate;
mod stage;
mod start;
mod story;
mod warm;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::demo::interrupt::Interrupt;
use crate::lab;
pub use report::{Machine, Report, Row};
use stage::Stage;
pub use warm::Piece;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Emptying a host of eight guests, beside virsh.
    Drain,
    /// What Drover adds to libvirt's own time of a live migration.
    Overhead,
    /// Memory of the idle scheduler.
    Idle,
    /// From the start of the scheduler on an empty database to its being ready.
    Start,
    /// Ten thousand tickets, their reminders and their windows at once.
    Crowd,
    /// Planning for whole fleets, beside Ganeti's tools.
    Fleet,
    /// Simulating a maintenance over a whole fleet.
    Simulate,
    /// The console before 1,000 hosts, and 1,000 people before one drain.
    Pages,
    /// Reboot migrations of servers with local disks, beside qemu-img and virtnbdbackup.
    Warm,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this part.
    pub only: Option<Part>,
    /// How often drains and their peers are repeated.
    pub rounds: usize,
    /// How many single migrations are looked at.
    pub migrations: usize,
    /// How often the scheduler is started.
    pub starts: usize,
    /// How many servers the crowd has.
    pub crowd: usize,
    /// Of the warm part, only this piece.
    pub warm: Option<Piece>,
    /// How often each piece of the warm part is repeated.
    pub warm_rounds: usize,
    /// A folder with BtrPlace's published instances, if they are at hand.
    pub btrplace: Option<PathBuf>,
    /// Fleets in Ganeti's text format, to be planned as well.
    pub htools: Vec<PathBuf>,
}

/// Measures, and tells on standard error how far it is.
///
/// # Errors
/// If something does not work; that it is slow is no error. Everything that was made is taken away again.
pub fn run(options: &Options) -> Result<Report> {
    let wants = |part: Part| options.only.is_none_or(|only| only == part);
    let interrupt = Interrupt::listen()?;
    let load_before = load();
    if cfg!(debug_assertions) {
        say(
            "a debug build is measured, so these figures are worth nothing; `make bench` measures a release build",
        );
    }
    let mut rows = Vec::new();
    if wants(Part::Drain) || wants(Part::Overhead) || wants(Part::Idle) {
        if let Some(reason) = lab::unable() {
            bail!("the measurements on real hypervisors can't be made here: {reason}");
        }
        let mut stage = Stage::set(&interrupt)?;
        // A guest of its own, before the others take the processor's time.
        if wants(Part::Overhead) {
            rows.extend(overhead::measure(&stage, options.migrations)?);
        }
        if wants(Part::Idle) {
            rows.extend(process::measure_idle(&stage)?);
        }
        if wants(Part::Drain) {
            rows.splice(0..0, drain::measure(&mut stage, options.rounds)?);
        }
        stage.clear()?;
    }
    if wants(Part::Start) {
        rows.extend(start::measure(options.starts, &interrupt)?);
    }
    if wants(Part::Crowd) {
        rows.extend(crowd::measure(crowd::Crowd::of(options.crowd), &interrupt)?);
    }
    if wants(Part::Fleet) {
        rows.extend(fleet::measure(&interrupt, &options.htools)?);
        rows.extend(btrplace::measure(options.btrplace.as_deref())?);
    }
    if wants(Part::Simulate) {
        rows.extend(simulate::measure(&interrupt)?);
    }
    if wants(Part::Pages) {
        rows.extend(pages::measure(&interrupt)?);
    }
    if wants(Part::Warm) {
        if let Some(reason) = lab::unable() {
            bail!("the measurements on real hypervisors can't be made here: {reason}");
        }
        rows.extend(warm::measure(options.warm, options.warm_rounds, &interrupt)?);
    }
    let machine = Machine {
        processors: std::thread::available_parallelism()?.get(),
        load_before,
        load_after: load(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
    };
    Ok(Report { machine, rows })
}

/// The load average of the last minute; not a number if the kernel does not tell.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

fn say(text: &str) {
    eprintln!("bench: {text}");
}
