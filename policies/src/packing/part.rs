//! Emptying for good as many of some hosts as there is room for.
//!
//! None of them takes servers again, so no order of theirs makes room: which of them fit together is all that is to be found. Each is as good
//! as any other, so the lightest come first: of these there is room for most.

use hashbrown::HashSet;

use super::{GroupRow, HostRow, Load, Move, Open, Problem, Rolling, Wave, evacuate_wholly};

/// Those that can be emptied together, and the others.
#[derive(Debug, Clone, PartialEq)]
pub struct InPart {
    /// In order. No two servers that must not meet move in one wave.
    pub rolling: Rolling,
    /// For these there is no room beside the others.
    pub full: Vec<HostRow>,
    /// The fleet when the others are empty.
    pub then: Problem,
}

/// Empties as many of these hosts as it finds room for, on others than these.
#[must_use]
pub fn empty_in_part(problem: &Problem, hosts: &[HostRow]) -> InPart {
    let mut then = problem.clone();
    hosts.iter().for_each(|host| then.hosts[host.index()].open = Open::No);
    let line = lightest_first(problem, hosts);
    let moves_of =
        |problem: &Problem, hosts: &[HostRow]| evacuate_wholly(problem, hosts).map(|found| found.moves);
    // Together they are packed more closely than one after the other. Who fits in larger company fits in smaller, as good as always.
    let (mut fit, mut unfit, mut moves) = (0, line.len() + 1, Vec::new());
    let mut next = line.len();
    while unfit - fit > 1 {
        match moves_of(&then, &line[..next]) {
            Some(found) => (fit, moves) = (next, found),
            None => unfit = next,
        }
        next = fit + (unfit - fit) / 2;
    }
    moved(&mut then, &moves);
    let (mut emptied, mut full) = (line[..fit].to_vec(), Vec::new());
    // What is heavier may ask less of what is short.
    for host in &line[fit..] {
        match moves_of(&then, &[*host]) {
            Some(found) => {
                moved(&mut then, &found);
                moves.extend(found);
                emptied.push(*host);
            }
            None => full.push(*host),
        }
    }
    InPart { rolling: Rolling { waves: apart(problem, &emptied, &moves) }, full, then }
}

fn moved(problem: &mut Problem, moves: &[Move]) {
    for one in moves {
        problem.servers[one.server.index()].host = one.to;
    }
}

/// By the part that is used of what they have most of in use.
fn lightest_first(problem: &Problem, hosts: &[HostRow]) -> Vec<HostRow> {
    let load = Load::new(problem);
    let fullness = |host: &HostRow| {
        let has = &problem.host(*host).has;
        let parts = has.iter().zip(load.used(*host));
        parts.map(|(has, used)| used.saturating_mul(1_000_000) / (*has).max(1)).max().unwrap_or(0)
    };
    let mut line = hosts.to_vec();
    line.sort_by_cached_key(|host| (fullness(host), load.on(*host).len(), *host));
    line
}

/// Each host in the first wave in which nobody moves whom a server of it must not meet.
fn apart(problem: &Problem, hosts: &[HostRow], moves: &[Move]) -> Vec<Wave> {
    let mut waves: Vec<(HashSet<GroupRow>, Wave)> = Vec::new();
    let load = Load::new(problem);
    for host in hosts {
        let on = load.on(*host).iter();
        let groups: HashSet<GroupRow> = on.flat_map(|server| problem.server(*server).apart.clone()).collect();
        let wave = match waves.iter().position(|(moving, _)| moving.is_disjoint(&groups)) {
            Some(wave) => wave,
            None => {
                waves.push((HashSet::new(), Wave { hosts: Vec::new(), moves: Vec::new() }));
                waves.len() - 1
            }
        };
        waves[wave].0.extend(groups);
        waves[wave].1.hosts.push(*host);
    }
    let mut waves: Vec<Wave> = waves.into_iter().map(|(_, wave)| wave).collect();
    for wave in &mut waves {
        let hosts: HashSet<HostRow> = wave.hosts.iter().copied().collect();
        wave.moves = moves.iter().filter(|one| hosts.contains(&one.from)).copied().collect();
    }
    waves
}
