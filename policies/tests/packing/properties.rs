//! What holds for every fleet.

use drover_policies::packing::schedule::{Transfer, Way, Ways, schedule};
use drover_policies::packing::{
    HostRow, Move, Problem, Wishes, check, evacuate, evacuate_making_way, fewest_moves, roll,
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
        if let Ok(rolling) = roll(&problem, &hosts, ANY_NUMBER) {
            prop_assert_eq!(check::waves(&problem, &rolling.waves), Ok(()));
            let emptied: std::collections::BTreeSet<_> = rolling.waves.iter().flat_map(|wave| &wave.hosts).collect();
            prop_assert_eq!(emptied.len(), hosts.len());
            let least = fewest_moves(&problem, &hosts, rolling.waves.len());
            prop_assert!(rolling.moves() >= least, "{} moves, bound {least}", rolling.moves());
            let fewer = Wishes { waves: rolling.waves.len(), ..ANY_NUMBER };
            prop_assert!(roll(&problem, &hosts, fewer).is_ok(), "what was done can be wished");
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
        let Ok(rolling) = roll(&problem, &all(&problem), ANY_NUMBER) else { return Ok(()) };
        let mut ways = Ways::among(problem.hosts.len(), Way { rate: 100, out, into });
        ways.rack_of = (0..problem.hosts.len()).map(|host| Some(u32::from(host % 2 == 0))).collect();
        ways.racks = vec![Way { rate: 150, ..Way::FREE }; 2];
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
        let Ok(rolling) = roll(&problem, &all(&problem), wishes) else { return Ok(()) };
        prop_assert_eq!(check::waves(&problem, &rolling.waves), Ok(()));
        let total: u64 = problem.servers.iter().map(|server| server.needs[0]).sum();
        for wave in &rolling.waves {
            let serving = problem.host_rows().filter(|host| !wave.hosts.contains(host));
            let has: Vec<u64> = serving.map(|host| problem.hosts[host.0 as usize].has[0]).collect();
            let largest = has.iter().copied().max().unwrap_or(0);
            prop_assert!(has.iter().sum::<u64>() >= total + largest, "too little is left free");
        }
    }
}
