//! Plans by example. [`Case::plan`] first asserts that planning twice makes no difference and that the check finds nothing.

use drover_policies::attempt::FailureClass;
use drover_policies::eligibility::{WhyBlocked, WhyNotLive};
use drover_policies::fleet::{Allowance, Blocker, Fleet, HostFacts, Power, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::placement::{Reservation, WhyNotHere};
use drover_policies::plan::{Agreement, Decision, Plan, difference, text};
use drover_policies::planner::{Kept, Wait, Warning};
use drover_policies::samples::{NOON, Sample, gib, host_name, local_disk, owner_id, server_id, set};
use drover_policies::time::Span;

use crate::common::{Case, decision, planned, policies_with, to};

fn apart(server: &mut ServerFacts) {
    server.rules.anti_affinity = set(&["db"]);
}

fn together(server: &mut ServerFacts) {
    server.rules.affinity = set(&["shop"]);
}

fn forbids(server: &mut ServerFacts) {
    server.rules.live_migration = Some(Allowance::Forbidden);
}

#[test]
fn servers_are_spread_over_the_hosts_that_stay() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "a", |_| {})
        .server("h1", "b", |_| {})
        .server("h1", "c", |_| {})
        .server("h1", "d", |_| {})
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!((report.live, report.moves_at_least), (4, 4));
    assert_eq!(report.waits, []);
    let at = |host| plan.servers().filter(|planned| planned.decision.to() == Some(&host_name(host))).count();
    assert_eq!((at("h2"), at("h3")), (2, 2));
}

#[test]
fn an_empty_host_is_in_the_plan_with_nothing_to_move() {
    let (plan, report) = Case::new(Sample::new().hosts(&["h1", "h2"]).fleet(), &["h1"]).plan();
    assert_eq!(plan.hosts[&host_name("h1")], []);
    assert_eq!(report.moves_at_least, 0);
}

#[test]
fn nothing_goes_onto_a_host_that_is_to_be_emptied_as_well() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "a", |_| {})
        .server("h2", "b", |_| {})
        .server("h3", "big", |big| big.memory_bytes = gib(50))
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1", "h2"]).plan();
    assert_eq!((to(&plan, "a"), to(&plan, "b")), (Some("h3"), Some("h3")));
}

#[test]
fn the_large_are_placed_before_the_small_could_take_their_room() {
    let fleet = Sample::new()
        .hosts(&["h1"])
        .host("h2", |host| host.facts.memory_bytes = gib(41))
        .host("h3", |host| host.facts.memory_bytes = gib(22))
        .server("h1", "a-small", |small| small.memory_bytes = gib(20))
        .server("h1", "b-large", |large| large.memory_bytes = gib(40))
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    assert_eq!((to(&plan, "b-large"), to(&plan, "a-small")), (Some("h2"), Some("h3")));
}

#[test]
fn servers_of_several_hosts_are_placed_all_at_once_so_that_each_finds_room() {
    let room = |host: &mut HostFacts| host.memory_bytes = gib(63);
    let of = |tenths: u64| move |server: &mut ServerFacts| server.memory_bytes = gib(6 * tenths);
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .host("h3", |host| room(&mut host.facts))
        .host("h4", |host| room(&mut host.facts))
        .server("h1", "a", of(4))
        .server("h1", "b", of(3))
        .server("h1", "c", of(3))
        .server("h1", "f", of(2))
        .server("h2", "d", of(3))
        .server("h2", "e", of(3))
        .server("h2", "g", of(2))
        .fleet();
    // The largest first, each to the host that is emptier then, leaves no room for the last.
    let (plan, report) = Case::new(fleet, &["h1", "h2"]).plan();
    assert_eq!(report.live, 7, "{}", text(&plan, &report));
    let beside_a: u64 =
        ["b", "c", "d", "e", "f", "g"].iter().filter(|name| to(&plan, name) == to(&plan, "a")).count() as u64;
    assert_eq!(beside_a, 2);
}

#[test]
fn those_who_stay_together_do_so_though_others_are_placed_all_at_once() {
    let shop = |server: &mut ServerFacts| {
        together(server);
        server.memory_bytes = gib(4);
    };
    let base = || Sample::new().hosts(&["h1", "h2", "h3", "h4", "h5"]).server("h2", "x", |_| {});
    let fleet = base().server("h1", "a", shop).server("h1", "b", shop).server("h5", "c", shop).fleet();
    let (plan, _) = Case::new(fleet, &["h1", "h2"]).plan();
    assert_eq!((to(&plan, "a"), to(&plan, "b")), (Some("h5"), Some("h5")), "c stays there");
    let apart = base().server("h1", "a", shop).server("h1", "b", shop).server("h2", "c", shop).fleet();
    let (plan, _) = Case::new(apart, &["h1", "h2"]).plan();
    assert!(to(&plan, "a").is_some());
    assert_eq!((to(&plan, "a"), to(&plan, "b")), (to(&plan, "c"), to(&plan, "c")));
}

#[test]
fn what_operators_name_is_there_or_a_server_goes_elsewhere() {
    let slots = |has: u32| move |host: &mut HostFacts| host.resources.extend([("gpu-slots".to_owned(), has)]);
    let takes =
        |some: u32| move |server: &mut ServerFacts| server.resources.extend([("gpu-slots".to_owned(), some)]);
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .host("h3", |host| slots(2)(&mut host.facts))
        .host("h4", |host| slots(1)(&mut host.facts))
        .server("h1", "one", takes(1))
        .server("h1", "two", takes(2))
        .server("h1", "three", takes(3))
        .server("h1", "none", |_| {})
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!((to(&plan, "two"), to(&plan, "one"), to(&plan, "three")), (Some("h3"), Some("h4"), None));
    let said = text(&plan, &report);
    assert!(said.contains("lacks gpu-slots (needs 3, 0 are free)"), "{said}");
}

#[test]
fn a_host_carries_no_more_servers_than_its_operator_allows() {
    let fleet = Sample::new()
        .hosts(&["h1"])
        .host("h2", |host| host.facts.resources.extend([("servers".to_owned(), 2)]))
        .server("h1", "a", |_| {})
        .server("h1", "b", |_| {})
        .server("h2", "c", |_| {})
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(report.live, 1, "{}", text(&plan, &report));
    let left = plan.servers().find(|planned| planned.place.is_none()).expect("one finds no place");
    let Decision::NoPlace { why, .. } = &left.decision else { panic!("{:?}", left.decision) };
    let why = &why.hosts[&host_name("h2")];
    assert_eq!(why, &WhyNotHere::Resource { name: "servers".to_owned(), needs: 1, free: 0 });
}

#[test]
fn an_owner_who_forbids_live_migration_is_waited_for() {
    let fleet =
        Sample::new().hosts(&["h1", "h2"]).server("h1", "db", forbids).server("h1", "web", |_| {}).fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(
        decision(&plan, "db"),
        &Decision::Reboot { to: host_name("h2"), why: WhyNotLive::OwnerForbids }
    );
    assert_eq!(planned(&plan, "db").agreement, Agreement::Owner);
    assert_eq!(planned(&plan, "web").agreement, Agreement::NotNeeded);
    assert_eq!(report.waits, [Wait::Owner { owner: owner_id("acme"), servers: vec!["db".to_owned()] }]);
}

#[test]
fn a_server_without_metadata_goes_live_and_an_operator_stands_in_for_a_reboot() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "found", |found| found.owner = None)
        .server("h1", "busy", |busy| {
            busy.owner = None;
            busy.blockers.push(Blocker::BlockJob { disk: "vda".to_owned() });
        })
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(decision(&plan, "found"), &Decision::Live { to: host_name("h2") });
    assert_eq!(planned(&plan, "found").agreement, Agreement::NotNeeded);
    assert_eq!(planned(&plan, "busy").agreement, Agreement::Operator);
    assert_eq!(report.waits, [Wait::Operator { servers: vec!["busy".to_owned()] }]);
    let nobodys = report.warnings.iter().filter(|warning| matches!(warning, Warning::NoOwner { .. })).count();
    assert_eq!(nobodys, 2);
}

#[test]
fn a_server_that_is_off_is_moved_without_asking_anybody() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "old", |old| {
            old.power = Power::Off;
            forbids(old);
        })
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(
        decision(&plan, "old"),
        &Decision::Reboot { to: host_name("h2"), why: WhyNotLive::NotRunning }
    );
    assert_eq!((planned(&plan, "old").agreement, report.off), (Agreement::NotNeeded, 1));
    assert_eq!(planned(&plan, "old").expected, None);
}

#[test]
fn what_only_this_host_has_blocks_and_the_others_go_on() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "gpu", |gpu| {
            gpu.blockers.push(Blocker::HostDevice { device: "pci 0000:3b:00.0".to_owned() });
            gpu.disks.push(local_disk("sda", "/isos/install.iso"));
        })
        .server("h1", "snap", |snap| snap.blockers.push(Blocker::Snapshots { count: 1 }))
        .server("h1", "web", |_| {})
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!((report.blocked, report.live), (2, 1));
    let Decision::Blocked { why, also } = decision(&plan, "gpu") else { panic!("gpu is blocked") };
    assert_eq!(why, &WhyBlocked::HostDevice { device: "pci 0000:3b:00.0".to_owned() });
    assert_eq!(also.iter().map(WhyBlocked::code).collect::<Vec<_>>(), ["local_disk"]);
    assert_eq!(decision(&plan, "snap").code(), Some("snapshots"));
    let clearing = report.waits.iter().filter(|wait| matches!(wait, Wait::Clearing { .. })).count();
    assert_eq!(clearing, 2);
}

#[test]
fn an_anti_affinity_group_is_spread_and_the_one_too_many_has_no_place() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3", "h4"])
        .server("h1", "db1", apart)
        .server("h2", "db2", apart)
        .server("h4", "db3", apart)
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1", "h2"]).plan();
    let placed = [to(&plan, "db1"), to(&plan, "db2")];
    assert_eq!(placed.iter().filter(|to| **to == Some("h3")).count(), 1);
    assert_eq!(placed.iter().filter(|to| to.is_none()).count(), 1);
    assert_eq!(report.no_place, 1);
    let room = |wait: &Wait| match wait {
        Wait::Room { hint, .. } => Some(hint.clone()),
        Wait::Agent { .. } | Wait::Owner { .. } | Wait::Operator { .. } | Wait::Clearing { .. } => None,
    };
    assert_eq!(
        report.waits.iter().find_map(room).expect("it waits for room"),
        "add a host, or have the owner relax anti-affinity group db"
    );
}

#[test]
fn an_affinity_group_leaves_together_for_one_host() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .host("h3", |host| host.facts.memory_bytes = gib(20))
        .server("h1", "web", together)
        .server("h1", "app", together)
        .server("h1", "db", |db| {
            db.memory_bytes = gib(16);
            together(db);
        })
        .server("h2", "big", |big| big.memory_bytes = gib(40))
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    // h3 alone has most room left, but not for all three with their overhead.
    assert_eq!([to(&plan, "web"), to(&plan, "app"), to(&plan, "db")], [Some("h2"); 3]);
}

#[test]
fn an_affinity_group_that_fits_nowhere_as_a_whole_waits_as_a_whole() {
    let fleet = Sample::new()
        .hosts(&["h1"])
        .host("h2", |host| host.facts.memory_bytes = gib(10))
        .host("h3", |host| host.facts.memory_bytes = gib(10))
        .server("h1", "app", |app| {
            app.memory_bytes = gib(8);
            together(app);
        })
        .server("h1", "db", |db| {
            db.memory_bytes = gib(8);
            together(db);
        })
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(report.no_place, 2);
    let Decision::NoPlace { why, .. } = decision(&plan, "db") else { panic!("no place") };
    assert!(matches!(&why.hosts[&host_name("h2")], WhyNotHere::Together { servers: 2, .. }), "{why}");
}

#[test]
fn servers_that_are_to_stay_together_and_must_not_meet_are_named_with_their_groups() {
    let both = |server: &mut ServerFacts| {
        apart(server);
        together(server);
    };
    let alone = |sample: Sample| sample.hosts(&["h1", "h2", "h3"]).server("h1", "other", |_| {});
    let fleet = alone(Sample::new()).server("h1", "db1", both).server("h1", "db2", both).fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    for server in ["db1", "db2"] {
        let Decision::Blocked { why, .. } = decision(&plan, server) else { panic!("{server} has no place") };
        assert_eq!(why.code(), "contradiction");
        let told = why.to_string();
        assert!(told.contains("db1 and db2 are to stay together (affinity group shop)"), "{told}");
        assert!(told.contains("(anti-affinity group db)"), "{told}");
    }
    assert!(to(&plan, "other").is_some(), "it keeps nobody else");
    // Through a third one.
    let bound =
        |groups: &'static [&'static str]| move |server: &mut ServerFacts| server.rules.affinity = set(groups);
    let fleet = alone(Sample::new())
        .server("h1", "db1", |db| {
            apart(db);
            bound(&["a"])(db);
        })
        .server("h1", "app", bound(&["a", "b"]))
        .server("h1", "db2", |db| {
            apart(db);
            bound(&["b"])(db);
        })
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    let Decision::Blocked { why, .. } = decision(&plan, "app") else { panic!("app has a place") };
    let told = why.to_string();
    assert!(told.contains("db1 and db2 are to stay together (affinity group a, b)"), "{told}");
    // Who has been parted already can be moved.
    let fleet = alone(Sample::new()).server("h1", "db1", both).server("h2", "db2", both).fleet();
    let (plan, _) = Case::new(fleet, &["h1", "h2"]).plan();
    assert!(!matches!(decision(&plan, "db1"), Decision::Blocked { .. }));
}

#[test]
fn a_blocked_server_does_not_tie_down_the_rest_of_its_affinity_group() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "gpu", |gpu| {
            together(gpu);
            gpu.blockers.push(Blocker::HostDevice { device: "usb 1d6b:0002".to_owned() });
        })
        .server("h1", "web", together)
        .server("h1", "app", together)
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    assert!(to(&plan, "web").is_some());
    assert_eq!(to(&plan, "web"), to(&plan, "app"));
}

#[test]
fn a_blocked_server_that_is_seen_on_a_host_that_stays_can_be_joined_there() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "twin", |twin| {
            twin.power = Power::Off;
            together(twin);
        })
        .server("h2", "twin", |twin| {
            twin.id = server_id(1);
            together(twin);
        })
        .server("h3", "web", |web| {
            web.owner = Some(owner_id("globex"));
            together(web);
        })
        .server("h1", "app", together)
        .fleet();
    let (plan, _) = Case::new(fleet, &["h1"]).plan();
    assert_eq!(decision(&plan, "twin").code(), Some("seen_twice"));
    assert_eq!(to(&plan, "app"), Some("h2"));
}

#[test]
fn a_server_seen_on_two_hosts_is_left_for_people_to_sort_out() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "twin", |_| {})
        .server("h2", "twin", |twin| {
            twin.id = server_id(1);
            twin.power = Power::Off;
        })
        .fleet();
    let (plan, _) = Case::new(fleet.clone(), &["h1"]).plan();
    let seen_twice =
        |other| Decision::Blocked { why: WhyBlocked::SeenTwice { also_on: host_name(other) }, also: vec![] };
    assert_eq!(decision(&plan, "twin"), &seen_twice("h2"));
    let (plan, _) = Case::new(fleet.clone(), &["h2"]).plan();
    assert_eq!(decision(&plan, "twin"), &seen_twice("h1"));
    let (plan, _) = Case::new(fleet, &["h1", "h2"]).plan();
    assert_eq!(plan.servers().count(), 1);
    assert_eq!(planned(&plan, "twin").from, host_name("h1"));
}

#[test]
fn a_migration_under_way_keeps_its_method_and_destination_whatever_has_changed() {
    let fleet = Sample::new()
        .hosts(&["h1", "h3"])
        .host("h2", |host| host.standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON })
        .server("h1", "web", forbids)
        .server("h2", "web", |web| {
            web.id = server_id(1);
            web.power = Power::Arriving;
        })
        .fleet();
    let mut case = Case::new(fleet, &["h1"]);
    let under_way = Kept::UnderWay { to: host_name("h2"), reboot: None };
    case.kept.insert(server_id(1), under_way);
    let (plan, _) = case.plan();
    assert_eq!(decision(&plan, "web"), &Decision::Live { to: host_name("h2") });
}

#[test]
fn a_migration_under_way_between_two_hosts_to_be_emptied_is_planned_once() {
    for (from, arrives) in [("h1", "h2"), ("h2", "h1")] {
        let fleet = Sample::new()
            .hosts(&["h1", "h2", "h3"])
            .server(from, "web", |web| web.power = Power::Held)
            .server(arrives, "web", |web| web.id = server_id(1))
            .fleet();
        let mut case = Case::new(fleet, &["h1", "h2"]);
        case.kept.insert(server_id(1), Kept::UnderWay { to: host_name(arrives), reboot: None });
        let (plan, _) = case.plan();
        assert_eq!(plan.servers().count(), 1);
        assert_eq!(planned(&plan, "web").from, host_name(from));
        assert_eq!(to(&plan, "web"), Some(arrives));
    }
}

#[test]
fn a_place_that_was_decided_is_kept_even_if_another_is_better_now() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |_| {})
        .server("h3", "big", |big| big.memory_bytes = gib(30))
        .fleet();
    let mut case = Case::new(fleet, &["h1"]);
    assert_eq!(to(&case.plan().0, "web"), Some("h2"));
    case.kept.insert(server_id(1), Kept::Decided { to: Some(host_name("h3")), reboot: None, why: None });
    let (plan, report) = case.plan();
    assert_eq!(to(&plan, "web"), Some("h3"));
    assert_eq!(report.warnings, []);
}

#[test]
fn a_place_that_is_lost_is_replaced_and_said_to_be() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .host("h3", |host| host.standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON })
        .server("h1", "web", |_| {})
        .fleet();
    let mut case = Case::new(fleet, &["h1"]);
    case.kept.insert(server_id(1), Kept::Decided { to: Some(host_name("h3")), reboot: None, why: None });
    let (plan, report) = case.plan();
    assert_eq!(to(&plan, "web"), Some("h2"));
    let said: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["web was to go to h3, but h3 is cordoned"]);
}

#[test]
fn a_live_migration_that_failed_for_good_stays_a_reboot() {
    let fleet = Sample::new().hosts(&["h1", "h2"]).server("h1", "hot", |_| {}).fleet();
    let mut case = Case::new(fleet, &["h1"]);
    let class = FailureClass::NotConverging;
    let why = WhyNotLive::LiveFailed { attempts: 3, class, text: "aborted".to_owned() };
    case.kept.insert(server_id(1), Kept::Decided { to: None, reboot: Some(why.clone()), why: None });
    let (plan, _) = case.plan();
    assert_eq!(decision(&plan, "hot"), &Decision::Reboot { to: host_name("h2"), why });
    // An owner's word that he took back settles nothing.
    let forbade = Kept::Decided { to: None, reboot: Some(WhyNotLive::OwnerForbids), why: None };
    case.kept.insert(server_id(1), forbade);
    assert_eq!(decision(&case.plan().0, "hot"), &Decision::Live { to: host_name("h2") });
}

#[test]
fn a_place_held_for_another_maintenance_is_not_given_away() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |web| web.memory_bytes = gib(40))
        .server("h3", "db", |db| db.memory_bytes = gib(40))
        .fleet();
    let mut case = Case::new(fleet, &["h1"]);
    let db = case.fleet.server(server_id(2)).expect("db");
    case.reservations.push(Reservation::for_server(db, &host_name("h2"), &case.policies, &case.fleet));
    let (_, report) = case.plan();
    assert_eq!(report.no_place, 1);
}

#[test]
fn silent_hosts_take_nothing_and_are_named() {
    let long_ago = NOON - Span::hours(1).delta();
    let fleet = Sample::new()
        .host("h1", |host| host.observed_at = long_ago)
        .host("h2", |host| host.observed_at = long_ago)
        .hosts(&["h3"])
        .server("h1", "web", |_| {})
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1", "h9"]).plan();
    assert_eq!(to(&plan, "web"), Some("h3"));
    let silent_for = Span::hours(1);
    assert_eq!(report.warnings, [Warning::SilentHost { host: host_name("h2"), silent_for }]);
    let agent = |host, silent_for| Wait::Agent { host: host_name(host), silent_for };
    assert_eq!(report.waits, [agent("h1", Some(silent_for)), agent("h9", None)]);
}

#[test]
fn a_rule_for_one_server_holds_for_that_server() {
    let fleet =
        Sample::new().hosts(&["h1", "h2"]).server("h1", "db", |_| {}).server("h1", "web", |_| {}).fleet();
    let mut case = Case::new(fleet, &["h1"]);
    case.policies = policies_with(
        "[[rule]]\nname = \"databases stay put\"\nmatch = { server = \"db\" }\nset.live.allowed = false\n",
    );
    let (plan, _) = case.plan();
    assert_eq!(decision(&plan, "db").code(), Some("policy_forbids"));
    assert_eq!(decision(&plan, "web").code(), None);
}

#[test]
fn a_difference_names_who_came_who_left_and_what_changed() {
    let before = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "leaves", |_| {})
        .server("h1", "changes", |_| {})
        .fleet();
    let after = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "comes", |comes| comes.id = server_id(9))
        .server("h1", "changes", forbids)
        .fleet();
    let plan = |fleet: Fleet| Case::new(fleet, &["h1"]).plan().0;
    let difference = difference(&plan(before), &plan(after));
    assert_eq!(
        difference.to_string(),
        "+ comes on h1: live to h2\n- leaves is no longer on h1\n~ changes on h1: reboot to h2 (owner_forbids), was live to h2\n"
    );
}

#[test]
fn a_plan_is_read_as_a_table_and_what_it_waits_for() {
    let fleet = Sample::new()
        .hosts(&["h1"])
        .host("h2", |host| host.facts.memory_bytes = gib(12))
        .server("h1", "web", |_| {})
        .server("h1", "db", |db| {
            db.memory_bytes = gib(4);
            forbids(db);
        })
        .server("h1", "gpu", |gpu| {
            gpu.blockers.push(Blocker::HostDevice { device: "pci 0000:3b:00.0".to_owned() });
        })
        .server("h1", "huge", |huge| huge.memory_bytes = gib(32))
        .server("h1", "old", |old| old.power = Power::Off)
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    let expected = include_str!("plan.txt");
    assert_eq!(text(&plan, &report), expected, "\n{}", text(&plan, &report));
}

#[test]
fn a_plan_survives_being_stored() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "web", |_| {})
        .server("h1", "db", forbids)
        .server("h1", "snap", |snap| snap.blockers.push(Blocker::Snapshots { count: 1 }))
        .server("h1", "huge", |huge| huge.memory_bytes = gib(100))
        .fleet();
    let (plan, report) = Case::new(fleet, &["h1"]).plan();
    let stored = serde_json::to_string(&(&plan, &report)).expect("plain data");
    let read: (Plan, drover_policies::planner::Report) = serde_json::from_str(&stored).expect("round trip");
    assert_eq!(read, (plan, report));
}
