//! What holds for every fleet, over fleets as they are: several resources, hosts that are closed, storage that not every host reaches, servers
//! of several groups.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::packing::{
    Evenness, GroupRow, Host, HostRow, Move, Open, Problem, ReachRow, Resource, Server, Wave, check,
    evacuate, evacuate_making_way, even_out, fewest_moves, relieve, roll,
};
use proptest::prelude::*;

use crate::common::ANY_NUMBER;

/// Memory, processors, and room in a directory: nothing where a host has none.
type Has = ((u64, u64, u64), bool);

/// What it needs of the three, where it is, which groups and which reach it has.
type Asked = ((u64, u64, u64), u32, BTreeSet<u32>, u32);

fn any_fleet() -> impl Strategy<Value = Problem> {
    let host = ((8..40_u64, 4..20_u64, prop_oneof![Just(0_u64), 5..40_u64]), prop::bool::weighted(0.85));
    let reaches = prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.7), 12), 1..4);
    (prop::collection::vec(host, 2..12), reaches).prop_flat_map(|(hosts, reaches)| {
        let (count, kinds) =
            (u32::try_from(hosts.len()).expect("few"), u32::try_from(reaches.len()).expect("few"));
        let needs = (1..8_u64, 1..5_u64, prop_oneof![3 => Just(0_u64), 1 => 1..8_u64]);
        let groups =
            prop_oneof![3 => Just(BTreeSet::new()), 1 => prop::collection::btree_set(0..4_u32, 1..3)];
        let server = (needs, 0..count, groups, 0..kinds);
        prop::collection::vec(server, 0..40).prop_map(move |servers| fleet(&hosts, &reaches, servers))
    })
}

/// Only fleets that stand: nobody is where there is no room, whom he must not meet is, or his storage is not.
fn fleet(hosts: &[Has], reaches: &[Vec<bool>], servers: Vec<Asked>) -> Problem {
    let mut kept: Vec<Server> = Vec::new();
    for ((memory, vcpus, disk), host, groups, reach) in servers {
        let row = HostRow(host);
        let ((has_memory, has_vcpus, has_disk), _) = hosts[host as usize];
        let needs = vec![memory, vcpus, disk, 1];
        let there = || kept.iter().filter(|server| server.host == row);
        let used = |resource: usize| there().map(|server| server.needs[resource]).sum::<u64>();
        let fits = [has_memory, has_vcpus, has_disk]
            .iter()
            .enumerate()
            .all(|(at, has)| used(at) + needs[at] <= *has);
        let apart: Vec<GroupRow> = groups.into_iter().map(GroupRow).collect();
        let meets = there().any(|server| server.apart.iter().any(|group| apart.contains(group)));
        if fits && !meets && reaches[reach as usize][host as usize] {
            kept.push(Server {
                name: format!("s{}", kept.len()),
                needs,
                host: row,
                apart,
                reach: ReachRow(reach),
            });
        }
    }
    let host = |(number, ((memory, vcpus, disk), open)): (usize, &Has)| Host {
        name: format!("h{number}"),
        has: vec![*memory, *vcpus, *disk, u64::MAX],
        open: if *open { Open::Yes } else { Open::No },
    };
    let resource = |(name, weight): (&str, f32)| Resource { name: name.to_owned(), weight };
    Problem {
        resources: [("memory", 1.0), ("vcpus", 1.0), ("storage /srv", 0.0), ("servers", 0.1)]
            .map(resource)
            .into(),
        hosts: hosts.iter().enumerate().map(host).collect(),
        servers: kept,
        reaches: reaches.iter().map(|reach| reach[..hosts.len()].to_vec()).collect(),
    }
}

fn open_hosts(problem: &Problem) -> Vec<HostRow> {
    problem.host_rows().filter(|host| problem.hosts[host.0 as usize].open == Open::Yes).collect()
}

fn after(problem: &Problem, moves: impl IntoIterator<Item = Move>) -> Problem {
    let mut after = problem.clone();
    for one in moves {
        after.servers[one.server.0 as usize].host = one.to;
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_rolling_keeps_every_rule_empties_each_host_once_and_can_be_planned_anew_after_any_wave(problem in any_fleet()) {
        let hosts = open_hosts(&problem);
        let Ok(rolling) = roll(&problem, &hosts, &ANY_NUMBER) else { return Ok(()) };
        prop_assert_eq!(check::waves(&problem, &rolling.waves), Ok(()));
        let emptied: Vec<HostRow> = rolling.waves.iter().flat_map(|wave| wave.hosts.clone()).collect();
        prop_assert_eq!(emptied.iter().copied().collect::<BTreeSet<_>>(), hosts.iter().copied().collect::<BTreeSet<_>>());
        prop_assert_eq!(emptied.len(), hosts.len());
        prop_assert!(rolling.moves() >= fewest_moves(&problem, &hosts, rolling.waves.len()));
        // Whoever has moved to a host that is done stays: so in what is planned anew nobody moves who is on one.
        let mut now = problem.clone();
        let mut left: Vec<HostRow> = hosts;
        for wave in &rolling.waves {
            now = after(&now, wave.moves.iter().copied());
            left.retain(|host| !wave.hosts.contains(host));
            let Ok(rest) = roll(&now, &left, &ANY_NUMBER) else { continue };
            prop_assert_eq!(check::waves(&now, &rest.waves), Ok(()));
            let first: BTreeSet<HostRow> = left.iter().copied().collect();
            let begins = |one: &&Move| now.servers[one.server.0 as usize].host == one.from;
            let moved = rest.waves.iter().flat_map(|wave| &wave.moves).filter(begins);
            prop_assert!(moved.into_iter().all(|one| first.contains(&one.from)), "one moves that need not");
        }
        prop_assert!(left.is_empty());
        let none = roll(&now, &[], &ANY_NUMBER);
        prop_assert_eq!(none.map(|rolling| rolling.moves()), Ok(0), "nothing is left to be done");
    }

    #[test]
    fn evacuations_keep_every_rule_and_nothing_is_left_to_plan_when_they_are_done(
        problem in any_fleet(), doomed in prop::collection::btree_set(0..11_u32, 1..4)
    ) {
        let hosts: Vec<HostRow> =
            doomed.into_iter().filter(|host| (*host as usize) < problem.hosts.len()).map(HostRow).collect();
        for evacuation in [evacuate(&problem, &hosts), evacuate_making_way(&problem, &hosts)] {
            prop_assert_eq!(check::waves(&problem, &evacuation.waves(&problem, &hosts)), Ok(()));
            let leaving = problem.servers.iter().filter(|server| hosts.contains(&server.host)).count();
            prop_assert_eq!(evacuation.moves.len() + evacuation.unplaced.len(), leaving);
            let open = |one: &Move| problem.hosts[one.to.0 as usize].open == Open::Yes && !hosts.contains(&one.to);
            prop_assert!(evacuation.all_moves().all(open));
            let mut once = BTreeSet::new();
            prop_assert!(evacuation.all_moves().all(|one| once.insert(one.server)), "a server moves twice");
            let done = after(&problem, evacuation.all_moves().copied());
            let again = evacuate_making_way(&done, &hosts);
            prop_assert!(again.unplaced.len() <= evacuation.unplaced.len());
            if evacuation.unplaced.is_empty() {
                prop_assert_eq!(again.all_moves().count(), 0);
            }
        }
    }

    #[test]
    fn evening_out_keeps_every_rule_moves_each_once_and_comes_to_rest(
        problem in any_fleet(), fixed in prop::collection::btree_set(0..40_u32, 0..6), within in 0.02..0.4_f64
    ) {
        let hosts = open_hosts(&problem);
        let fixed: BTreeSet<_> = problem.server_rows().filter(|server| fixed.contains(&server.0)).collect();
        let wished = |problem: &Problem| {
            let cluster_of = vec![0; problem.hosts.len()];
            let besides = BTreeMap::new();
            even_out(problem, Evenness { hosts: &hosts, cluster_of: &cluster_of, besides: &besides, fixed: &fixed, within })
        };
        let evening = wished(&problem);
        let wave = Wave { hosts: Vec::new(), moves: evening.moves.clone() };
        prop_assert_eq!(check::waves(&problem, &[wave]), Ok(()));
        let moved: BTreeSet<_> = evening.moves.iter().map(|one| one.server).collect();
        prop_assert_eq!(moved.len(), evening.moves.len(), "one moves twice");
        prop_assert!(moved.is_disjoint(&fixed), "one moves that was to stay");
        if evening.left.is_empty() {
            prop_assert!(evening.moves.len() >= evening.least, "{} moves, bound {}", evening.moves.len(), evening.least);
            let again = wished(&after(&problem, evening.moves.iter().copied()));
            prop_assert_eq!(again.moves, vec![], "it was even");
        }
    }

    #[test]
    fn relief_keeps_every_rule_and_leaves_alone_what_stands(problem in any_fleet()) {
        prop_assert_eq!(relieve(&problem).all_moves().count(), 0, "nothing is too much here");
        // A host that loses half of what it has, as when memory fails.
        let mut less = problem.clone();
        less.hosts[0].has.iter_mut().take(2).for_each(|has| *has /= 2);
        let relief = relieve(&less);
        prop_assert_eq!(check::waves(&less, &relief.waves(&less, &[])), Ok(()));
        if relief.unplaced.is_empty() {
            let now = after(&less, relief.all_moves().copied());
            let at: Vec<HostRow> = now.servers.iter().map(|server| server.host).collect();
            prop_assert_eq!(check::stands(&now, &at), Ok(()));
        }
    }
}
