//! Warm reboot migrations of servers with local disks, beside what does a part of the same: how long the server is away, how long the first
//! copy takes, what is sent, and what the guest feels of it.

mod downtime;
mod guest;
mod peers;
mod rounds;
mod stage;
mod sync;
mod test_launch;

use anyhow::Result;

use super::report::Row;
use crate::demo::interrupt::Interrupt;
use stage::Stage;

/// What of it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Piece {
    /// Beside a bare shutdown and boot of the same guest.
    Downtime,
    /// The first copy, beside qemu-img and virtnbdbackup.
    Sync,
    /// What is sent in a round, beside what was dirtied.
    Rounds,
    /// The guest's own writing, beside that of the same guest in peace.
    Guest,
    /// From the wish for a test launch to the guest that runs, beside a bare start.
    TestLaunch,
}

/// Each piece has a guest of its own, with a disk of the size that it needs.
pub(super) fn measure(only: Option<Piece>, repetitions: usize, interrupt: &Interrupt) -> Result<Vec<Row>> {
    let wants = |piece: Piece| only.is_none_or(|only| only == piece);
    let stage = Stage::set(interrupt)?;
    let mut rows = Vec::new();
    if wants(Piece::Downtime) {
        rows.extend(downtime::measure(&stage, repetitions)?);
    }
    if wants(Piece::Sync) {
        rows.extend(sync::measure(&stage, repetitions)?);
    }
    if wants(Piece::Rounds) {
        rows.extend(rounds::measure(&stage, repetitions)?);
    }
    if wants(Piece::Guest) {
        rows.extend(guest::measure(&stage, repetitions)?);
    }
    if wants(Piece::TestLaunch) {
        rows.extend(test_launch::measure(&stage, repetitions)?);
    }
    stage.clear()?;
    Ok(rows)
}
