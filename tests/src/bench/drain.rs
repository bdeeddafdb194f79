//! Emptying a host of eight guests: Drover beside virsh, one after the other in the same run.

use anyhow::Result;

use super::report::{Against, Row, Sample, Unit};
use super::say;
use super::stage::{Side, Stage};

/// How many guests.
const GUESTS: usize = 8;

/// How many virsh run at a time.
const AT_ONCE: [usize; 4] = [1, 2, 4, 8];

/// By how much Drover may take longer than the best peer. It looks at each guest afterwards, and asks libvirt whether the host
/// is empty; the peer does neither.
const GOAL: f64 = 1.1;

pub(super) fn measure(stage: &mut Stage<'_>, rounds: usize) -> Result<Vec<Row>> {
    let mut side = where_they_are(stage)?;
    say(&format!("booting {GUESTS} guests"));
    stage.add_guests(GUESTS, side)?;
    let mut peers = AT_ONCE.map(|at_once| (at_once, Sample::default()));
    let (mut drains, mut moves) = (Sample::default(), Sample::default());
    for round in 1..=rounds {
        for (at_once, peer) in &mut peers {
            let took = stage.move_by_virsh(side, *at_once)?.as_secs_f64();
            say(&format!("round {round} of {rounds}: virsh, {at_once} at a time: {took:.2} s"));
            peer.add(took);
            side = side.other();

            let drained = stage.drain(side)?;
            let (took, moved) = (drained.took.as_secs_f64(), drained.moved.as_secs_f64());
            say(&format!("round {round} of {rounds}: Drover: {took:.2} s, all moved after {moved:.2} s"));
            drains.add(took);
            moves.add(moved);
            side = side.other();
        }
    }
    Ok(rows(drains, moves, &peers))
}

/// The guest that is there already may have been moved by an earlier part.
fn where_they_are(stage: &Stage<'_>) -> Result<Side> {
    let first = stage.lab().host(Side::First.name())?.virsh(["list", "--name"])?.ok()?;
    Ok(if first.is_empty() { Side::Second } else { Side::First })
}

fn rows(drains: Sample, moves: Sample, peers: &[(usize, Sample)]) -> Vec<Row> {
    let name = |at_once: usize| format!("xargs -P {at_once} virsh migrate");
    let best = peers.iter().min_by(|(_, one), (_, other)| one.median().total_cmp(&other.median()));
    let against = best.map_or(Against::Nothing, |(at_once, sample)| Against::Peer {
        name: name(*at_once),
        sample: sample.clone(),
    });
    let what = format!("drain of {GUESTS} guests: ordered to confirmed empty");
    let mut rows = vec![Row { what, unit: Unit::Seconds, sample: drains, against, goal: Some(GOAL) }];
    rows.push(Row::told("  of it until the last has arrived", Unit::Seconds, moves));
    rows.extend(peers.iter().map(|(at_once, sample)| {
        Row::told(format!("  peer: {}", name(*at_once)), Unit::Seconds, sample.clone())
    }));
    rows
}
