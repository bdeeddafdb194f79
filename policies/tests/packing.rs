//! Whole fleets: emptied at once, or in waves. Each plan is looked at by the checker, which shares no code with the planner.

use drover_policies::packing::{
    GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, Stuck, Wave, Wishes, check, evacuate,
    fewest_moves, ganeti, plan_evacuation, plan_rolling, roll, rows,
};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{Sample, gib};
use proptest::prelude::*;

fn problem(hosts: &[u64], servers: &[(u64, u32, Option<u32>)]) -> Problem {
    let resource = |name: &str| Resource { name: name.to_owned(), weight: 1.0 };
    Problem {
        resources: vec![resource("memory"), resource("servers")],
        hosts: hosts
            .iter()
            .enumerate()
            .map(|(n, has)| Host { name: format!("h{n}"), has: vec![*has, u64::MAX], open: Open::Yes })
            .collect(),
        servers: servers
            .iter()
            .enumerate()
            .map(|(n, (memory, host, group))| Server {
                name: format!("s{n}"),
                needs: vec![*memory, 1],
                host: HostRow(*host),
                apart: group.iter().copied().map(GroupRow).collect(),
                reach: ReachRow(0),
            })
            .collect(),
        reaches: vec![vec![true; hosts.len()]],
    }
}

fn all(problem: &Problem) -> Vec<HostRow> {
    problem.host_rows().collect()
}

const ANY_NUMBER: Wishes = Wishes { waves: usize::MAX, hosts_at_once: None, reserve_hosts: 0 };

#[test]
fn a_host_that_stands_by_makes_every_server_move_once() {
    let problem = problem(&[10, 10, 10], &[(6, 0, None), (7, 1, None)]);
    let rolling = roll(&problem, &[HostRow(0), HostRow(1)], ANY_NUMBER).expect("a rolling");
    assert_eq!(rolling.moves(), 2);
    check::waves(&problem, &rolling.waves).expect("every rule is kept");
}

#[test]
fn without_one_only_the_first_hosts_servers_move_twice() {
    let problem = problem(&[10; 4], &[(2, 0, None), (6, 1, None), (6, 2, None), (6, 3, None)]);
    let rolling = roll(&problem, &all(&problem), ANY_NUMBER).expect("a rolling");
    assert_eq!(rolling.moves(), 5);
    assert_eq!(fewest_moves(&problem, &all(&problem), rolling.waves.len()), 5);
    assert_eq!(rolling.waves[0].hosts, [HostRow(0)]);
}

#[test]
fn two_that_must_not_meet_are_never_moved_in_one_wave() {
    let problem = problem(&[10; 4], &[(2, 0, Some(1)), (2, 1, Some(1)), (2, 2, Some(1))]);
    let rolling = roll(&problem, &all(&problem), ANY_NUMBER).expect("a rolling");
    for wave in &rolling.waves {
        let together = wave.moves.len();
        assert!(together <= 1, "{together} of one group are moved at once");
    }
    check::waves(&problem, &rolling.waves).expect("every rule is kept");
}

#[test]
fn a_full_fleet_is_stuck_and_one_with_too_few_waves_says_how_many_will_do() {
    let full = problem(&[10; 3], &[(10, 0, None), (10, 1, None), (10, 2, None)]);
    assert_eq!(roll(&full, &all(&full), ANY_NUMBER), Err(Stuck::NoRoom));
    let half = problem(&[10; 4], &[(8, 0, None), (8, 1, None), (8, 2, None), (1, 3, None)]);
    let hurried = roll(&half, &all(&half), Wishes { waves: 2, ..ANY_NUMBER });
    assert_eq!(hurried, Err(Stuck::MoreWaves { wished: 2, least: 4 }));
}

#[test]
fn the_checker_sees_each_kind_of_mistake() {
    let problem = problem(&[10; 3], &[(6, 0, Some(1)), (6, 1, None), (2, 2, Some(1))]);
    let mut far = problem.clone();
    far.reaches = vec![vec![true, true, false]];
    let wave = |server, from, to| {
        let moves = vec![drover_policies::packing::Move { server, from: HostRow(from), to: HostRow(to) }];
        vec![Wave { hosts: vec![HostRow(from)], moves }]
    };
    let row = drover_policies::packing::ServerRow;
    let said =
        |problem: &Problem, waves: &[Wave]| check::waves(problem, waves).expect_err("a mistake").to_string();
    assert_eq!(said(&problem, &wave(row(0), 0, 1)), "h1 has 10 of memory, and 12 would be used");
    assert_eq!(said(&problem, &wave(row(0), 0, 2)), "s2 and s0 must not meet, and do on h2");
    assert_eq!(said(&problem, &wave(row(0), 1, 2)), "s0 is not on h1");
    assert_eq!(said(&far, &wave(row(0), 0, 2)), "s0 may not go to h2");
    assert_eq!(said(&problem, &wave(row(2), 2, 2)), "h2 takes no servers");
    let left = [Wave { hosts: vec![HostRow(0)], moves: Vec::new() }];
    assert_eq!(said(&problem, &left), "h0 is not empty: s0 is left");
}

#[test]
fn a_fleet_is_planned_by_names_and_what_can_not_move_keeps_its_host() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |web| web.memory_bytes = gib(4))
        .server("h2", "held", |held| held.power = drover_policies::fleet::Power::Held)
        .fleet();
    let rows = rows(&fleet, &PolicySet::default());
    let plan = plan_rolling(&rows, None, ANY_NUMBER).expect("a plan");
    assert_eq!((plan.servers, plan.moves, plan.least_moves), (2, 1, 1));
    assert_eq!((plan.stays[0].server.as_str(), plan.stays[0].host.as_str()), ("held", "h2"));
    let refused = plan_evacuation(&rows, &["h9".to_owned()]).expect_err("refused");
    assert_eq!(refused.to_string(), "there is no host \"h9\" in this fleet");
}

#[test]
fn what_finds_no_room_says_how_much_is_missing() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "big", |big| big.memory_bytes = gib(60))
        .server("h2", "other", |other| other.memory_bytes = gib(10))
        .fleet();
    let plan = plan_evacuation(&rows(&fleet, &PolicySet::default()), &["h1".to_owned()]).expect("a plan");
    assert_eq!(plan.not_placed.len(), 1);
    assert!(plan.not_placed[0].why.ends_with("of memory"), "{}", plan.not_placed[0].why);
    assert!(plan.waves[0].hosts.is_empty(), "h1 is not empty then");
}

#[test]
fn a_cluster_of_ganeti_is_read_and_a_bad_line_is_named() {
    let text = "g|u|preferred||\n\n\
        n1|4096|1024|0|100|100|4|Y|u|1||N|0|1|1.0\nn2|4096|1024|0|100|100|4|N|u|1||N|0|1|1.0\n\n\
        i1|512|10|1|running|Y|n1||ext||1|-\n\n\n|pol|8.0|64.0\n";
    let problem = ganeti::read(text).expect("a cluster");
    assert_eq!(problem.hosts[0].has[..2], [3072, 32]);
    assert_eq!((problem.hosts[0].open, problem.servers[0].host), (Open::No, HostRow(0)));
    let bad = text.replace("|512|", "|half|");
    let told = ganeti::read(&bad).expect_err("refused").to_string();
    assert_eq!(told, "line 6: its memory is \"half\"; a whole number is needed");
}

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
        let evacuation = evacuate(&problem, &hosts);
        let leaving = problem.servers.iter().filter(|server| hosts.contains(&server.host)).count();
        prop_assert_eq!(evacuation.moves.len() + evacuation.unplaced.len(), leaving);
        let full: Vec<HostRow> =
            evacuation.unplaced.iter().map(|left| problem.servers[left.server.0 as usize].host).collect();
        let emptied = hosts.iter().copied().filter(|host| !full.contains(host)).collect();
        let wave = Wave { hosts: emptied, moves: evacuation.moves };
        prop_assert_eq!(check::waves(&problem, std::slice::from_ref(&wave)), Ok(()));
        prop_assert!(wave.moves.iter().all(|one| !hosts.contains(&one.to)));
        prop_assert_eq!(evacuate(&problem, &hosts).moves, wave.moves, "the same again");
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
