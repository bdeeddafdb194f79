//! How long a plan takes, and how sure that is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::check;
use super::super::schedule::{Scheduled, Timetable, Transfer, Ways, schedule};
use super::super::{HostRow, Rows, Wave};
use super::Impossible;
use crate::time::Span;

/// How long a plan takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTime {
    /// As often longer as shorter: guests write an eighth of what can be sent.
    pub expected: Span,
    /// Nine times in ten it will be no longer than this: guests write half of what can be sent.
    pub p90: Span,
    /// No schedule of these moves, in these waves and at what is expected, is shorter.
    pub least: Span,
    /// Bytes per second of one migration at the most.
    pub rate: u64,
}

impl fmt::Display for PlannedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, p90, least, rate } = self;
        if *expected == Span::ZERO {
            return f.write_str("nothing is to be sent");
        }
        let gap = 100.0 * (1.0 - least.0.as_secs_f64() / expected.0.as_secs_f64());
        let mib = *rate as f64 / f64::from(1 << 20);
        write!(
            f,
            "moving takes about {} (nine times in ten at most {}), with at most {mib:.0} MiB/s for a migration; no schedule of these moves \
             takes less than {}, {gap:.1} % less than this one",
            expected.rounded(),
            p90.rounded(),
            least.rounded(),
        )
    }
}

/// When a move is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// From the plan's beginning.
    pub begins: Span,
    /// From there.
    pub lasts: Span,
}

/// What a guest writes while it is sent, as a part of what can be sent: usually, and nine times in ten at the most. Nothing is known of
/// what each guest really writes before it is being migrated.
const WRITES: [u64; 2] = [8, 2];

/// Schedules every wave, one after the other: by wave and move.
pub(super) fn times(
    rows: &Rows,
    ways: &Ways,
    waves: &[Wave],
) -> Result<(Vec<Vec<When>>, PlannedTime), Impossible> {
    let [usual, busy] = WRITES;
    let mut at: Vec<HostRow> = rows.problem.servers.iter().map(|server| server.host).collect();
    let (mut begins, mut p90, mut least) = (0_u64, 0_u64, 0_u64);
    let mut told = Vec::new();
    for wave in waves {
        let transfers = transfers(rows, ways, wave, usual, |sent| sent.besides);
        let table = schedule(ways, &transfers);
        check::moments(&rows.problem, &at, wave, ways, &transfers, &table).map_err(Impossible::Broken)?;
        told.push(whens(&table, begins));
        begins = begins.saturating_add(table.lasts);
        least = least.saturating_add(table.least);
        let slow = self::transfers(rows, ways, wave, busy, |sent| sent.besides_p90);
        p90 = p90.saturating_add(schedule(ways, &slow).lasts);
        for one in &wave.moves {
            at[one.server.index()] = one.to;
        }
    }
    let time = PlannedTime {
        expected: Span::milliseconds(begins),
        p90: Span::milliseconds(p90.max(begins)),
        least: Span::milliseconds(least),
        rate: ways.most_rate,
    };
    Ok((told, time))
}

fn whens(table: &Timetable, wave_begins: u64) -> Vec<When> {
    let when = |one: &Scheduled| When {
        begins: Span::milliseconds(wave_begins.saturating_add(one.begins)),
        lasts: Span::milliseconds(one.ends - one.begins),
    };
    table.moves.iter().map(when).collect()
}

fn transfers(
    rows: &Rows,
    ways: &Ways,
    wave: &Wave,
    part: u64,
    besides: impl Fn(&super::super::Sent) -> Span,
) -> Vec<Transfer> {
    let rate = |host: HostRow| ways.hosts[host.index()].rate;
    let transfer = |of: &super::super::Move| {
        let sent = &rows.sent[of.server.index()];
        Transfer {
            of: *of,
            bytes: sent.bytes,
            dirty_rate: ways.most_rate.min(rate(of.from)).min(rate(of.to)) / part,
            besides: besides(sent).as_milliseconds(),
        }
    };
    wave.moves.iter().map(transfer).collect()
}
