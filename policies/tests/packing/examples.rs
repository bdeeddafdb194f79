//! Examples, named as sentences.

use drover_policies::fleet::{CertificateDigest, LocalStorage, Replication};
use drover_policies::packing::{
    HostRow, Open, Problem, Rows, Stuck, Wave, Wishes, check, empty_in_part, fewest_moves, fewest_relieving,
    ganeti, plan_evacuation, plan_rolling, relieve, roll, rows,
};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{Sample, gib, local_disk, set};
use drover_policies::time::Span;

use crate::common::{ANY_NUMBER, all, problem};

#[test]
fn a_host_that_stands_by_makes_every_server_move_once() {
    let problem = problem(&[10, 10, 10], &[(6, 0, None), (7, 1, None)]);
    let rolling = roll(&problem, &[HostRow(0), HostRow(1)], &ANY_NUMBER).expect("a rolling");
    assert_eq!(rolling.moves(), 2);
    check::waves(&problem, &rolling.waves).expect("every rule is kept");
}

#[test]
fn without_one_only_the_first_hosts_servers_move_twice() {
    let problem = problem(&[10; 4], &[(2, 0, None), (6, 1, None), (6, 2, None), (6, 3, None)]);
    let rolling = roll(&problem, &all(&problem), &ANY_NUMBER).expect("a rolling");
    assert_eq!(rolling.moves(), 5);
    assert_eq!(fewest_moves(&problem, &all(&problem), rolling.waves.len()), 5);
    assert_eq!(rolling.waves[0].hosts, [HostRow(0)]);
}

#[test]
fn two_that_must_not_meet_are_never_moved_in_one_wave() {
    let problem = problem(&[10; 4], &[(2, 0, Some(1)), (2, 1, Some(1)), (2, 2, Some(1))]);
    let rolling = roll(&problem, &all(&problem), &ANY_NUMBER).expect("a rolling");
    for wave in &rolling.waves {
        let together = wave.moves.len();
        assert!(together <= 1, "{together} of one group are moved at once");
    }
    check::waves(&problem, &rolling.waves).expect("every rule is kept");
}

#[test]
fn a_full_fleet_is_stuck_and_one_with_too_few_waves_says_how_many_will_do() {
    let full = problem(&[10; 3], &[(10, 0, None), (10, 1, None), (10, 2, None)]);
    assert_eq!(roll(&full, &all(&full), &ANY_NUMBER), Err(Stuck::NoRoom));
    let half = problem(&[10; 4], &[(8, 0, None), (8, 1, None), (8, 2, None), (1, 3, None)]);
    let hurried = roll(&half, &all(&half), &Wishes { waves: 2, ..ANY_NUMBER });
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
    let plan = plan_rolling(&rows, None, &ANY_NUMBER).expect("a plan");
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
    let told = &plan.not_placed[0].why;
    assert!(told.contains("of memory more would be needed on h2"), "{told}");
    assert!(plan.waves[0].hosts.is_empty(), "h1 is not empty then");
    assert!(plan.would_help[0].starts_with("1 more host like h1"), "{:?}", plan.would_help);
}

#[test]
fn servers_that_must_not_meet_and_may_not_part_keep_their_host_out_of_the_plan() {
    let torn = |facts: &mut drover_policies::fleet::ServerFacts| {
        facts.rules.affinity = set(&["shop"]);
        facts.rules.anti_affinity = set(&["db"]);
    };
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "db-1", torn)
        .server("h1", "db-2", torn)
        .fleet();
    let plan =
        plan_rolling(&rows(&fleet, &PolicySet::default()), None, &ANY_NUMBER).expect("the others can be");
    assert!(plan.waves.iter().all(|wave| !wave.hosts.contains(&"h1".to_owned())));
    let told: Vec<&str> = plan.stays.iter().map(|stays| stays.why.as_str()).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("db-1 and db-2 are to stay together (affinity group shop)"), "{told:?}");
}

#[test]
fn a_rolling_for_which_there_is_no_room_says_the_least_that_would_do() {
    // Each is more than half full, so that no two fit on one host.
    let full = problem(&[10, 10, 10], &[(6, 0, None), (6, 1, None), (6, 2, None)]);
    let mut rows = Rows::of_ganeti(full.clone());
    let refused = plan_rolling(&rows, None, &ANY_NUMBER).expect_err("there is no room").to_string();
    assert!(
        refused.contains("s0 has no place: ") && refused.contains("of memory more would be needed on h1"),
        "{refused}"
    );
    assert!(refused.contains("what would do: 1 more host like h0"), "{refused}");
    // What it says would do does.
    let more = drover_policies::packing::Host { name: "more".to_owned(), ..full.hosts[0].clone() };
    rows.problem.hosts.push(more);
    rows.problem.reaches[0].push(true);
    let names = ["h0", "h1", "h2"].map(str::to_owned);
    assert!(plan_rolling(&Rows::of_ganeti(rows.problem), Some(&names), &ANY_NUMBER).is_ok());
    // Without the large one the others go one after the other.
    let one_large = problem(&[10, 10, 30], &[(6, 0, None), (4, 1, None), (24, 2, None)]);
    let refused =
        plan_rolling(&Rows::of_ganeti(one_large), None, &ANY_NUMBER).expect_err("h2 has no room").to_string();
    assert!(refused.contains("; or leaving out h2"), "{refused}");
}

#[test]
fn a_cluster_of_ganeti_is_read_and_a_bad_line_is_named() {
    let text = "g|u|preferred||\n\n\
        n1|4096|1024|0|100|100|4|Y|u|1||N|0|1|1.0\nn2|4096|1024|0|100|100|4|N|u|1||N|0|1|1.0\n\n\
        i1|512|10|1|running|Y|n1||ext||1|-\n\n\n|pol|8.0|64.0\n";
    let problem = ganeti::read(text).expect("a cluster");
    assert_eq!(problem.hosts[0].has[..2], [3072 << 20, 32]);
    assert_eq!((problem.hosts[0].open, problem.servers[0].host), (Open::No, HostRow(0)));
    let bad = text.replace("|512|", "|half|");
    let told = ganeti::read(&bad).expect_err("refused").to_string();
    assert_eq!(told, "line 6: its memory is \"half\"; a whole number is needed");
}

#[test]
fn of_ganetis_clusters_exclusion_tags_are_kept_and_what_is_not_known_is_told_by_name() {
    let instance = |name: &str, more: &str| format!("{name}|512|10|1|running|{more}|1|-\n");
    let text = format!(
        "g|u|preferred||\n\n\
         n1|4096|0|0|100|100|4|N|u|1||N|0|1|1.0\nn2|4096|0|0|100|100|4|M|u|1||Y|0|1|1.0\nn3|4096|0|0|100|100|4|N|u|1||N|0|1|1.0\n\n\
         {}{}{}\nhtools:iextags:service\nhtools:bandwidth:x\n\n|pol|8.0|64.0\n",
        instance("web-1", "Y|n1||ext|service:web,other:x"),
        instance("web-2", "Y|n2||ext|other:x,service:web"),
        instance("db", "N|n1|n2|drbd|"),
    );
    let problem = ganeti::read(&text).expect("a cluster");
    assert_eq!(problem.servers[0].apart, problem.servers[1].apart);
    assert_eq!((problem.servers[0].apart.len(), problem.servers[2].apart.len()), (1, 0));
    let plan = plan_evacuation(&Rows::of_ganeti(problem), &["n1".to_owned()]).expect("a plan");
    let web =
        plan.waves.iter().flat_map(|wave| &wave.moves).find(|one| one.server == "web-1").expect("it moves");
    assert_eq!(web.to, "n3", "web-2 is on n2");
    let told = ganeti::ignored(&text);
    assert_eq!(
        told,
        [
            "secondary nodes are not planned with, nor what disks take up on them: db",
            "these are moved although they are not to be balanced (auto_balance N): db",
            "exclusive storage is not known, so disks may share spindles on: n2",
            "tags of the cluster that mean nothing here: htools:bandwidth:x",
        ]
    );
    let plain = text
        .replace("|N|n1|n2|drbd|", "|Y|n1||ext|")
        .replace("|Y|0|1|1.0", "|N|0|1|1.0")
        .replace("htools:bandwidth:x\n", "");
    assert_eq!(ganeti::ignored(&plain), [""; 0]);
    let many: String = (0..9).map(|n| instance(&format!("vm-{n}"), "Y|n1|n2|drbd|")).collect();
    let many = plain.replacen("\n\nhtools", &format!("\n{many}\nhtools"), 1);
    assert!(
        ganeti::ignored(&many)[0].ends_with("vm-0, vm-1, vm-2, vm-3, vm-4 and 4 more"),
        "{:?}",
        ganeti::ignored(&many)
    );
}

#[test]
fn a_host_that_carries_too_much_is_relieved_by_the_fewest_moves() {
    // h0 has 10 and carries 14: the one of 4 is enough. On h1 two meet that must not.
    let problem =
        problem(&[10, 10, 10], &[(3, 0, None), (4, 0, None), (7, 0, None), (2, 1, Some(1)), (3, 1, Some(1))]);
    assert!(check::stands(&problem, &at(&problem)).is_err());
    let found = relieve(&problem);
    assert_eq!((found.unplaced.len(), found.all_moves().count(), fewest_relieving(&problem)), (0, 2, 1));
    check::waves(&problem, &found.waves(&problem, &[])).expect("every rule is kept on the way");
    let mut after = at(&problem);
    for one in found.all_moves() {
        after[one.server.0 as usize] = one.to;
    }
    check::stands(&problem, &after).expect("and in the end");
    assert_eq!(found.all_moves().map(|one| one.server.0).collect::<Vec<_>>(), [1, 3]);
}

fn at(problem: &Problem) -> Vec<HostRow> {
    problem.servers.iter().map(|server| server.host).collect()
}

#[test]
fn each_move_has_its_reason_and_its_time() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |web| web.memory_bytes = gib(4))
        .server("h2", "db", |db| db.memory_bytes = gib(8))
        .fleet();
    let mut rows = rows(&fleet, &PolicySet::default());
    rows.on_links(&PolicySet::default(), None);
    let plan = plan_evacuation(&rows, &["h1".to_owned()]).expect("a plan");
    let one = &plan.waves[0].moves[0];
    let (when, time) = (one.when.expect("a time"), plan.time.as_ref().expect("a time"));
    assert_eq!((one.to.as_str(), when.begins), ("h3", Span::ZERO));
    assert!(
        one.why.starts_with("evens out best; ")
            && one.why.ends_with("2 hosts would have room for one more like it"),
        "{}",
        one.why
    );
    assert!(time.least <= time.expected && time.expected < time.p90, "{time:?}");
    assert_eq!(time.expected, when.lasts, "it is the only one");
    let rolled = plan_rolling(&rows, None, &ANY_NUMBER).expect("a plan");
    let reasons: Vec<&str> = rolled.waves.iter().map(|wave| wave.why.as_str()).collect();
    assert!(reasons[0].starts_with("those with the fewest servers"), "{reasons:?}");
    let last = rolled.waves.last().and_then(|wave| wave.moves.last()).expect("a move");
    assert!(last.why.ends_with("so this is its only move"), "{}", last.why);
}

#[test]
fn a_server_with_a_local_disk_goes_only_where_its_directory_is() {
    let keeps = |directory: &'static str| {
        move |host: &mut drover_policies::fleet::Host| {
            host.facts.replication = Some(Replication {
                address: "10.0.0.1:16600".to_owned(),
                certificate: CertificateDigest("aa".repeat(32)),
                directories: vec![LocalStorage {
                    path: directory.into(),
                    total_bytes: gib(9),
                    free_bytes: gib(9),
                }],
            });
        }
    };
    let fleet = Sample::new()
        .host("h1", keeps("/vms"))
        .host("h2", keeps("/other"))
        .host("h3", keeps("/vms"))
        .server("h1", "db", |db| db.disks = vec![local_disk("vda", "/vms/db.raw")])
        .server("h3", "full", |full| full.memory_bytes = gib(40))
        .fleet();
    let plan = plan_evacuation(&rows(&fleet, &PolicySet::default()), &["h1".to_owned()]).expect("a plan");
    let moved: Vec<(&str, &str)> =
        plan.waves[0].moves.iter().map(|one| (one.server.as_str(), one.to.as_str())).collect();
    assert_eq!(moved, [("db", "h3")], "{:?}", plan.not_placed);
}

#[test]
fn of_hosts_that_stay_empty_as_many_are_emptied_as_have_room_the_lightest_first() {
    // Twelve are free on the last: enough for the two that are lighter, and for none of them beside the heavy one.
    let full = problem(&[20; 4], &[(11, 0, None), (6, 1, None), (3, 2, None), (2, 2, None), (8, 3, None)]);
    let part = empty_in_part(&full, &[HostRow(0), HostRow(1), HostRow(2)]);
    let waves: Vec<&[HostRow]> = part.rolling.waves.iter().map(|wave| &wave.hosts[..]).collect();
    assert_eq!(waves, [&[HostRow(2), HostRow(1)][..]]);
    assert_eq!(part.full, [HostRow(0)]);
    check::waves(&full, &part.rolling.waves).expect("every rule is kept");
    assert!(part.rolling.waves[0].moves.iter().all(|one| one.to == HostRow(3)));
    assert!(part.then.servers.iter().skip(1).all(|server| server.host == HostRow(3)));
}

#[test]
fn one_that_is_heavier_but_asks_less_of_what_is_short_is_emptied_as_well() {
    let mut problem = problem(&[20; 4], &[(10, 0, None), (12, 1, None), (12, 2, None), (5, 3, None)]);
    // Nobody but s2 may go to h4, and there is room for one of the others.
    problem.hosts.push(problem.hosts[3].clone());
    problem.reaches = vec![vec![true, true, true, true, false], vec![true, true, true, false, true]];
    problem.servers[2].reach = drover_policies::packing::ReachRow(1);
    let part = empty_in_part(&problem, &[HostRow(0), HostRow(1), HostRow(2)]);
    assert_eq!((part.rolling.hosts(), part.full), (vec![HostRow(0), HostRow(2)], vec![HostRow(1)]));
    check::waves(&problem, &part.rolling.waves).expect("every rule is kept");
}

#[test]
fn hosts_that_stay_empty_are_apart_where_their_servers_must_not_meet() {
    let problem = problem(&[10; 4], &[(2, 0, Some(1)), (2, 1, Some(1)), (9, 2, None)]);
    let part = empty_in_part(&problem, &[HostRow(0), HostRow(1)]);
    assert_eq!(
        part.rolling.hosts(),
        [HostRow(0)],
        "there is one host with room, and they must not meet there"
    );
    let mut wide = problem;
    wide.servers[2].needs[0] = 1;
    let part = empty_in_part(&wide, &[HostRow(0), HostRow(1)]);
    assert_eq!(part.rolling.waves.len(), 2, "both can be, but not at once");
}
