//! Evening out, beside an exhaustive search over small fleets.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::packing::{
    Evening, Evenness, HostRow, Load, Move, Problem, ServerRow, Wave, check, even_out,
};

use crate::common::{Lots, all, problem};

fn evened(problem: &Problem, within: f64, fixed: &[ServerRow]) -> Evening {
    let hosts = all(problem);
    even_out(
        problem,
        Evenness {
            hosts: &hosts,
            cluster_of: &vec![0; hosts.len()],
            besides: &BTreeMap::new(),
            fixed: &fixed.iter().copied().collect::<BTreeSet<_>>(),
            within,
        },
    )
}

/// Hosts that are further from the mean use of memory than wished, counted anew.
fn off(problem: &Problem, moves: &[Move], within: f64) -> usize {
    let mut load = Load::new(problem);
    for one in moves {
        load.put(one.server, one.to);
    }
    let share = |host: HostRow| load.used(host)[0] as f64 / problem.hosts[host.0 as usize].has[0] as f64;
    let (used, has) = all(problem).into_iter().fold((0, 0), |(used, has), host| {
        (used + load.used(host)[0], has + problem.hosts[host.0 as usize].has[0])
    });
    let mean = used as f64 / has as f64;
    all(problem).into_iter().filter(|host| (share(*host) - mean).abs() > within + 1e-9).count()
}

#[test]
fn the_smallest_that_is_enough_goes_where_least_is_used() {
    let fleet = problem(
        &[100, 100, 100],
        &[(40, 0, None), (20, 0, None), (12, 0, None), (30, 1, None), (20, 2, None)],
    );
    let Evening { moves, left, least } = evened(&fleet, 0.2, &[]);
    assert_eq!(moves, [Move { server: ServerRow(2), from: HostRow(0), to: HostRow(2) }]);
    assert_eq!((left.len(), least), (0, 1));
}

#[test]
fn an_even_fleet_is_left_as_it_is() {
    let fleet = problem(&[100, 50], &[(40, 0, None), (20, 1, None)]);
    assert_eq!(evened(&fleet, 0.05, &[]).moves, []);
}

#[test]
fn a_host_that_stays_uneven_is_named() {
    let fleet = problem(&[100, 100], &[(80, 0, None), (10, 0, None)]);
    let Evening { moves, left, .. } = evened(&fleet, 0.1, &[ServerRow(1)]);
    assert_eq!(moves, [], "the large one would only carry it to the other");
    let hosts: Vec<HostRow> = left.iter().map(|left| left.host).collect();
    assert_eq!(hosts, [HostRow(0), HostRow(1)]);
    assert!((left[0].used - 0.9).abs() < 1e-9 && (left[0].mean - 0.45).abs() < 1e-9, "{left:?}");
}

#[test]
fn an_empty_host_takes_from_those_that_are_fullest() {
    let mut servers = Vec::new();
    for host in 0..4 {
        servers.extend((0..4).map(|_| (15, host, None)));
    }
    let fleet = problem(&[100; 5], &servers);
    let Evening { moves, left, .. } = evened(&fleet, 0.15, &[]);
    assert!(moves.iter().all(|one| one.to == HostRow(4)), "{moves:?}");
    let givers: BTreeSet<HostRow> = moves.iter().map(|one| one.from).collect();
    assert_eq!((moves.len(), givers.len(), left.len()), (3, 3, 0), "one each of three hosts: {moves:?}");
}

/// A fleet of up to five hosts and nine servers that stands.
fn drawn(lots: &mut Lots) -> Problem {
    let hosts: Vec<u64> = (0..3 + lots.below(3)).map(|_| 20 + lots.below(10)).collect();
    let mut kept: Vec<(u64, u32, Option<u32>)> = Vec::new();
    for _ in 0..5 + lots.below(8) {
        let host = lots.below(hosts.len() as u64).min(lots.below(hosts.len() as u64));
        let (size, group) = (2 + lots.below(7), (lots.below(5) == 0).then(|| lots.below(2) as u32));
        let there = || kept.iter().filter(|(_, at, _)| u64::from(*at) == host);
        let used: u64 = there().map(|(size, ..)| size).sum();
        let meets = group.is_some() && there().any(|(.., other)| *other == group);
        if kept.len() < 9 && used + size <= hosts[host as usize] && !meets {
            kept.push((size, host as u32, group));
        }
    }
    problem(&hosts, &kept)
}

/// The fewest moves, three at most, after which every host is as even as wished.
fn fewest(fleet: &Problem, within: f64) -> Option<usize> {
    fn search(fleet: &Problem, within: f64, moves: &mut Vec<Move>, from: u32, depth: usize) -> bool {
        if depth == 0 {
            let wave = Wave { hosts: Vec::new(), moves: moves.clone() };
            return off(fleet, moves, within) == 0 && check::waves(fleet, &[wave]).is_ok();
        }
        (from..fleet.servers.len() as u32).any(|server| {
            let here = fleet.servers[server as usize].host;
            all(fleet).into_iter().filter(|to| *to != here).any(|to| {
                moves.push(Move { server: ServerRow(server), from: here, to });
                let found = search(fleet, within, moves, server + 1, depth - 1);
                moves.pop();
                found
            })
        })
    }
    (0..=3).find(|depth| search(fleet, within, &mut Vec::new(), 0, *depth))
}

#[test]
fn of_three_hundred_small_fleets_nearly_all_are_evened_out_by_the_fewest_moves() {
    let mut lots = Lots(3);
    let (mut asked, mut best, mut failed, mut more) = (0, 0, 0, 0);
    for _ in 0..300 {
        let fleet = drawn(&mut lots);
        let within = 0.12;
        let Evening { moves, left, least } = evened(&fleet, within, &[]);
        let wave = Wave { hosts: Vec::new(), moves: moves.clone() };
        assert_eq!(check::waves(&fleet, &[wave]), Ok(()), "both ends have room at any moment");
        assert_eq!(left.len(), off(&fleet, &moves, within), "who stays uneven is said");
        assert!(off(&fleet, &moves, within) <= off(&fleet, &[], within), "it is never worse than before");
        let Some(fewest) = fewest(&fleet, within) else { continue };
        assert!(least <= fewest, "the bound holds");
        asked += 1;
        match (left.is_empty(), moves.len().cmp(&fewest)) {
            (true, std::cmp::Ordering::Equal) => best += 1,
            (true, _) => more += 1,
            (false, _) => failed += 1,
        }
    }
    assert!(asked > 100, "enough could be evened out: {asked}");
    assert!(
        best * 100 >= asked * 90,
        "{best} of {asked} at best, {more} with more moves, {failed} not at all"
    );
}
