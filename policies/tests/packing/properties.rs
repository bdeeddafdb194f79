//! What holds for every fleet.

use drover_policies::packing::schedule::{Transfer, Way, Ways, schedule};
use drover_policies::packing::{
    HostRow, Move, Problem, Share, Wishes, check, empty_in_part, evacuate, evacuate_making_way, fewest_moves,
    roll,
};
use proptest::prelude::*;

use crate::common::{ANY_NUMBER, all, problem};

fn any_problem() -> impl Strategy<Value = Problem> {
    let hosts = prop::collection::vec(8..20_u64, 2..9);
    hosts.prop_flat_map(|hosts| {
        let count = u32::try_from(hosts.len()).expect("few");
        let server = (1..6_u64, 0..count, prop::option::weighted(0.2, 0..3_u32));
        prop::collection::vec(server, 0..24).prop_map(move |servers| {
            // Only fleets that stand: nobody is where there is no room, or beside somebody he must not meet.
            let mut kept: Vec<(u64, u32, Option<u32>)> = Vec::new();
            for (memory, host, group) in servers {
                let there = || kept.iter().filter(|(_, at, _)| *at == host);
                let used: u64 = there().map(|(memory, ..)| memory).sum();
                let meets = group.is_some() && there().any(|(.., other)| *other == group);
                if used + memory <= hosts[host as usize] && !meets {
                    kept.push((memory, host, group));
                }
            }
            problem(&hosts, &kept)
        })
    })
}

proptest! {
    #[test]
    fn every_rolling_keeps_every_rule_at_every_moment_and_no_bound_is_beaten(problem in any_problem()) {
        let hosts = all(&problem);
        if let Ok(rolling) = roll(&problem, &hosts, &ANY_NUMBER) {
            prop_assert_eq!(check::waves(&problem, &rolling.waves), Ok(()));
            let emptied: std::collections::BTreeSet<_> = rolling.waves.iter().flat_map(|wave| &wave.hosts).collect();
            prop_assert_eq!(emptied.len(), hosts.len());
            let least = fewest_moves(&problem, &hosts, rolling.waves.len());
            prop_assert!(rolling.moves() >= least, "{} moves, bound {least}", rolling.moves());
            let fewer = Wishes { waves: rolling.waves.len(), ..ANY_NUMBER };
            prop_assert!(roll(&problem, &hosts, &fewer).is_ok(), "what was done can be wished");
        }
    }

    #[test]
    fn emptied_hosts_are_empty_each_server_moves_once_and_nobody_without_room_is_moved(
        problem in any_problem(), doomed in prop::collection::btree_set(0..8_u32, 1..4)
    ) {
        let hosts: Vec<HostRow> =
            doomed.into_iter().filter(|host| (*host as usize) < problem.hosts.len()).map(HostRow).collect();
        let evacuation = evacuate_making_way(&problem, &hosts);
        let leaving = problem.servers.iter().filter(|server| hosts.contains(&server.host)).count();
        let left = evacuation.all_moves().filter(|one| hosts.contains(&one.from)).count();
        prop_assert_eq!(left + evacuation.unplaced.len(), leaving);
        prop_assert_eq!(check::waves(&problem, &evacuation.waves(&problem, &hosts)), Ok(()));
        prop_assert!(evacuation.all_moves().all(|one| !hosts.contains(&one.to)));
        prop_assert_eq!(&evacuate_making_way(&problem, &hosts), &evacuation, "the same again");
        let mut once = std::collections::BTreeSet::new();
        prop_assert!(evacuation.all_moves().all(|one| once.insert(one.server)), "no server moves twice");
        let alone = evacuate(&problem, &hosts);
        prop_assert_eq!(check::waves(&problem, &alone.waves(&problem, &hosts)), Ok(()));
        prop_assert!(alone.making_way.is_empty() && alone.unplaced.len() >= evacuation.unplaced.len());
    }

    #[test]
    fn of_hosts_that_stay_empty_nobody_takes_a_server_and_only_those_without_room_are_left(
        problem in any_problem(), doomed in prop::collection::btree_set(0..8_u32, 1..6)
    ) {
        let hosts: Vec<HostRow> =
            doomed.into_iter().filter(|host| (*host as usize) < problem.hosts.len()).map(HostRow).collect();
        let part = empty_in_part(&problem, &hosts);
        prop_assert_eq!(check::waves(&problem, &part.rolling.waves), Ok(()));
        let mut all = [part.rolling.hosts(), part.full.clone()].concat();
        all.sort_unstable();
        prop_assert_eq!(&all, &hosts, "each is emptied or has no room");
        let moves = || part.rolling.waves.iter().flat_map(|wave| &wave.moves);
        prop_assert!(moves().all(|one| !hosts.contains(&one.to)));
        let once: std::collections::BTreeSet<_> = moves().map(|one| one.server).collect();
        prop_assert_eq!(once.len(), moves().count(), "each server moves once");
        for host in &part.full {
            prop_assert!(!evacuate(&part.then, &[*host]).unplaced.is_empty(), "{host:?} has room");
        }
        if evacuate(&problem, &hosts).unplaced.is_empty() {
            prop_assert!(part.full.is_empty());
        }
        prop_assert_eq!(&empty_in_part(&problem, &hosts), &part, "the same again");
    }

    #[test]
    fn when_it_is_done_there_is_nothing_left_to_plan(
        problem in any_problem(), doomed in prop::collection::btree_set(0..8_u32, 1..4)
    ) {
        let hosts: Vec<HostRow> =
            doomed.into_iter().filter(|host| (*host as usize) < problem.hosts.len()).map(HostRow).collect();
        let evacuation = evacuate_making_way(&problem, &hosts);
        let mut after = problem.clone();
        for one in evacuation.all_moves() {
            after.servers[one.server.0 as usize].host = one.to;
        }
        let again = evacuate_making_way(&after, &hosts);
        prop_assert_eq!(again.all_moves().count(), 0);
        prop_assert_eq!(again.unplaced.len(), evacuation.unplaced.len());
    }

    #[test]
    fn at_every_moment_of_a_schedule_every_rule_is_kept(
        problem in any_problem(), out in 1..4_u32, into in 1..4_u32, dirty in 0..60_u64
    ) {
        let Ok(rolling) = roll(&problem, &all(&problem), &ANY_NUMBER) else { return Ok(()) };
        let mut ways = Ways::among(problem.hosts.len(), Way { rate: 100, out, into });
        ways.racks_of = (0..problem.hosts.len()).map(|host| vec![u32::from(host % 2 == 0), 2]).collect();
        ways.together = 180;
        ways.racks = vec![Way { rate: 150, ..Way::FREE }; 3];
        let mut at: Vec<HostRow> = problem.servers.iter().map(|server| server.host).collect();
        for wave in &rolling.waves {
            let transfer = |of: &Move| Transfer {
                of: *of,
                bytes: problem.servers[of.server.0 as usize].needs[0] * 100,
                dirty_rate: dirty,
                besides: 0,
            };
            let transfers: Vec<Transfer> = wave.moves.iter().map(transfer).collect();
            let table = schedule(&ways, &transfers);
            prop_assert_eq!(check::moments(&problem, &at, wave, &ways, &transfers, &table), Ok(()));
            prop_assert!(table.lasts >= table.least, "{} is less than the bound {}", table.lasts, table.least);
            for one in &wave.moves {
                at[one.server.0 as usize] = one.to;
            }
        }
    }

    #[test]
    fn a_reserve_is_free_at_every_moment(problem in any_problem()) {
        let wishes = Wishes { reserve_hosts: 1, ..ANY_NUMBER };
        let Ok(rolling) = roll(&problem, &all(&problem), &wishes) else { return Ok(()) };
        prop_assert_eq!(check::waves(&problem, &rolling.waves), Ok(()));
        let total: u64 = problem.servers.iter().map(|server| server.needs[0]).sum();
        for wave in &rolling.waves {
            let serving = problem.host_rows().filter(|host| !wave.hosts.contains(host));
            let has: Vec<u64> = serving.map(|host| problem.hosts[host.0 as usize].has[0]).collect();
            let largest = has.iter().copied().max().unwrap_or(0);
            prop_assert!(has.iter().sum::<u64>() >= total + largest, "too little is left free");
        }
    }

    #[test]
    fn no_wave_has_more_hosts_that_are_alike_than_may_be_at_once(
        problem in any_problem(), racks in 1..5_u32, most in 1..3_usize, at_once in prop::option::of(1..5_usize)
    ) {
        let hosts = all(&problem);
        let rack = |host: &HostRow| (host.0 % 7 != 6).then_some(host.0 % racks);
        let shares = vec![Share { most, of: hosts.iter().map(rack).collect() }];
        let mut wishes = Wishes { hosts_at_once: at_once, shares, ..ANY_NUMBER };
        wishes.shares[0].of.push(None);
        // A host that stands by, so that there is a plan for most.
        let mut roomy = problem.clone();
        let spare = drover_policies::packing::Host { name: "spare".to_owned(), has: vec![1_000, u64::MAX], ..problem.hosts[0].clone() };
        roomy.hosts.push(spare);
        roomy.reaches[0].push(true);
        let rolling = roll(&roomy, &hosts, &wishes);
        if problem.servers.iter().any(|server| !server.apart.is_empty()) && rolling.is_err() {
            // Two that must not meet have no place beside the one that stands by.
            return Ok(());
        }
        let rolling = rolling.expect("the one that stands by holds all");
        prop_assert_eq!(check::waves(&roomy, &rolling.waves), Ok(()));
        for wave in &rolling.waves {
            prop_assert!(at_once.is_none_or(|most| wave.hosts.len() <= most));
            for value in 0..racks {
                let alike = wave.hosts.iter().filter(|host| rack(host) == Some(value)).count();
                prop_assert!(alike <= most, "{} of rack {}", alike, value);
            }
        }
        let emptied: usize = rolling.waves.iter().map(|wave| wave.hosts.len()).sum();
        prop_assert_eq!(emptied, hosts.len());
        let apart = problem.servers.iter().all(|server| server.apart.is_empty());
        if apart {
            prop_assert_eq!(rolling.waves.len(), wishes.fewest_waves(&hosts), "there is room, so it takes no more waves");
        }
    }
}
