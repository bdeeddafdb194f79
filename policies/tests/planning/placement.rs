//! Where a server can go.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::fleet::{Fleet, GuestCpu, Host, Power, Reach, Server, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::placement::{Reservation, Room, WhyNotHere};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, Sample, gib, host_name, owner_id, server_id, set, shared_disk};
use drover_policies::time::Span;

use crate::common::{policies, policies_with};

/// The first server that the sample got.
fn first(fleet: &Fleet) -> &Server {
    fleet.server(server_id(1)).expect("the sample has a server")
}

fn judge(fleet: &Fleet, policies: &PolicySet, reservations: &[Reservation]) -> Result<(), WhyNotHere> {
    Room::new(fleet, reservations, policies, NOON).judge(first(fleet), &host_name("h2")).map(drop)
}

/// Whether `web` on h1, changed as wanted, can go to h2, changed as wanted.
fn verdict(server: impl FnOnce(&mut ServerFacts), host: impl FnOnce(&mut Host)) -> Result<(), WhyNotHere> {
    let fleet = Sample::new().hosts(&["h1"]).host("h2", host).server("h1", "web", server).fleet();
    judge(&fleet, &policies(), &[])
}

#[test]
fn an_open_host_of_the_same_kind_takes_it() {
    assert_eq!(verdict(|_| {}, |_| {}), Ok(()));
}

#[test]
fn a_host_that_differs_in_what_the_guest_needs_does_not_take_it() {
    let code =
        |server: fn(&mut ServerFacts), host: fn(&mut Host)| verdict(server, host).map_err(|why| why.code());
    assert_eq!(code(|_| {}, |host| host.facts.cluster = "c2".to_owned()), Err("other_cluster"));
    assert_eq!(code(|_| {}, |host| host.facts.cpu.arch = "aarch64".to_owned()), Err("arch"));
    assert_eq!(code(|_| {}, |host| host.facts.cpu.usable_models = set(&["qemu64"])), Err("cpu_model"));
    assert_eq!(code(|_| {}, |host| host.facts.machine_types = set(&["pc-q35-9.2"])), Err("machine_type"));
    assert_eq!(code(|_| {}, |host| host.facts.shared_storage = BTreeSet::new()), Err("storage"));
    assert_eq!(code(|_| {}, |host| host.facts.libvirt_version = 10_010_000), Err("older_libvirt"));
    assert_eq!(code(|_| {}, |host| host.facts.libvirt_version = 11_000_000), Ok(()));
    let off = |server: &mut ServerFacts| server.power = Power::Off;
    assert_eq!(code(off, |host| host.facts.libvirt_version = 10_010_000), Ok(()));
}

#[test]
fn a_processor_handed_through_needs_its_like_and_the_emulators_own_needs_none() {
    let other = |host: &mut Host| host.facts.cpu.model = "EPYC".to_owned();
    assert_eq!(
        verdict(|server| server.cpu = GuestCpu::HostPassthrough, other),
        Err(WhyNotHere::CpuPassthrough { needs: "Skylake-Server-IBRS".to_owned(), has: "EPYC".to_owned() })
    );
    assert_eq!(verdict(|server| server.cpu = GuestCpu::HostPassthrough, |_| {}), Ok(()));
    assert_eq!(verdict(|server| server.cpu = GuestCpu::Default, other), Ok(()));
}

#[test]
fn every_storage_must_be_reached_and_an_empty_drive_asks_for_none() {
    let two = |server: &mut ServerFacts| {
        let mut second = shared_disk("vdb", "web");
        second.reach = Reach::Shared { storage: "archive".to_owned() };
        let mut drive = shared_disk("sda", "web");
        drive.reach = Reach::Empty;
        server.disks.extend([second, drive]);
    };
    assert_eq!(verdict(two, |_| {}), Err(WhyNotHere::Storage { lacks: set(&["archive"]) }));
    let both = |host: &mut Host| host.facts.shared_storage = set(&["archive", "pool"]);
    assert_eq!(verdict(two, both), Ok(()));
}

#[test]
fn a_host_that_is_cordoned_or_silent_does_not_take_it() {
    let cordoned =
        |host: &mut Host| host.standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON };
    let why = verdict(|_| {}, cordoned).expect_err("refused");
    assert_eq!(why.to_string(), "is cordoned");
    let silent_after = policies().general().agents.silent_after;
    assert_eq!(verdict(|_| {}, |host| host.observed_at = NOON - silent_after.delta()), Ok(()));
    let since = Span(silent_after.0 + Span::seconds(1).0);
    assert_eq!(
        verdict(|_| {}, |host| host.observed_at = NOON - since.delta()),
        Err(WhyNotHere::Silent { since })
    );
}

#[test]
fn a_label_that_policy_wants_the_same_must_be_the_same() {
    let rack = |rack: &str| (String::from("rack"), rack.to_owned());
    let fleet = Sample::new()
        .host("h1", |host| host.facts.labels.extend([rack("r1")]))
        .host("h2", |host| host.facts.labels.extend([rack("r2")]))
        .server("h1", "web", |_| {})
        .fleet();
    let policies = policies_with("[placement]\nsame_labels = [\"rack\"]\n");
    let why = judge(&fleet, &policies, &[]).expect_err("another rack");
    assert_eq!(why.to_string(), "has another rack (needs r1, has r2)");
}

#[test]
fn memory_counts_with_qemus_overhead_and_servers_that_are_off() {
    let fits = |free_mib: u64| {
        let fleet = Sample::new()
            .hosts(&["h1"])
            .host("h2", |host| host.facts.memory_bytes = gib(3) + (free_mib << 20))
            .server("h1", "web", |web| web.memory_bytes = gib(1))
            .server("h2", "off", |off| {
                off.memory_bytes = gib(2);
                off.power = Power::Off;
            })
            .fleet();
        judge(&fleet, &policies(), &[])
    };
    // 256 MiB of overhead for each of the two.
    assert_eq!(fits(512), Ok(()));
    let why = fits(511).expect_err("a mebibyte too little");
    assert_eq!(why.to_string(), "lacks memory (needs 1.3 GiB, 1.2 GiB are free)");
}

#[test]
fn processors_count_with_overcommit() {
    let policies = policies_with("[placement]\nvcpu_overcommit = 1.5\n");
    let fits = |threads: u32| {
        let fleet = Sample::new()
            .hosts(&["h1"])
            .host("h2", |host| host.facts.cpu_threads = threads)
            .server("h1", "web", |web| web.vcpus = 4)
            .server("h2", "db", |db| db.vcpus = 2)
            .fleet();
        judge(&fleet, &policies, &[])
    };
    assert_eq!(fits(4), Ok(()));
    assert_eq!(fits(3), Err(WhyNotHere::Vcpus { needs: 4, free: 2 }));
}

/// h2 has room for one of two servers of 40 GiB.
fn crowded() -> Fleet {
    Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "web", |web| web.memory_bytes = gib(40))
        .server("h1", "db", |db| db.memory_bytes = gib(40))
        .fleet()
}

#[test]
fn what_is_held_for_another_is_not_free_and_is_free_again_when_released() {
    let (fleet, policies) = (crowded(), policies());
    let db = fleet.server(server_id(2)).expect("db");
    let held = Reservation::for_server(db, &host_name("h2"), &policies, &fleet);
    let mut room = Room::new(&fleet, std::slice::from_ref(&held), &policies, NOON);
    let why = room.judge(first(&fleet), &host_name("h2")).expect_err("held for db");
    assert_eq!(why.code(), "memory");
    room.release(&held);
    assert!(room.judge(first(&fleet), &host_name("h2")).is_ok());
}

#[test]
fn a_server_is_judged_at_its_own_held_place_as_if_it_were_not_held() {
    let (fleet, policies) = (crowded(), policies());
    let held = Reservation::for_server(first(&fleet), &host_name("h2"), &policies, &fleet);
    let without = Room::new(&fleet, &[], &policies, NOON).judge(first(&fleet), &host_name("h2"));
    let with = Room::new(&fleet, &[held], &policies, NOON).judge(first(&fleet), &host_name("h2"));
    assert!(without.is_ok());
    assert_eq!(with, without);
}

#[test]
fn a_reservation_for_a_server_that_is_already_there_is_not_counted_twice() {
    let policies = policies();
    let arrived = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "web", |web| web.memory_bytes = gib(20))
        .server("h2", "db", |db| db.memory_bytes = gib(40))
        .fleet();
    let db = arrived.server(server_id(2)).expect("db");
    let held = Reservation::for_server(db, &host_name("h2"), &policies, &arrived);
    assert_eq!(judge(&arrived, &policies, std::slice::from_ref(&held)), Ok(()));
    // Released, it is still there.
    let mut room = Room::new(&arrived, std::slice::from_ref(&held), &policies, NOON);
    room.release(&held);
    let free = room.judge(first(&arrived), &host_name("h2")).expect("room for it");
    assert!(free.memory > 900_000, "60.5 of 64 GiB: {free:?}");
}

#[test]
fn a_server_with_a_place_elsewhere_still_counts_where_it_is() {
    let policies = policies();
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |web| web.memory_bytes = gib(40))
        .server("h2", "db", |db| db.memory_bytes = gib(40))
        .fleet();
    let db = fleet.server(server_id(2)).expect("db");
    let held = Reservation::for_server(db, &host_name("h3"), &policies, &fleet);
    assert_eq!(judge(&fleet, &policies, &[held]).map_err(|why| why.code()), Err("memory"));
}

#[test]
fn two_of_an_anti_affinity_group_never_meet_not_even_by_reservation() {
    let apart = |server: &mut ServerFacts| server.rules.anti_affinity = set(&["db"]);
    let policies = policies();
    let seen =
        Sample::new().hosts(&["h1", "h2"]).server("h1", "db1", apart).server("h2", "db2", apart).fleet();
    let why = judge(&seen, &policies, &[]).expect_err("db2 is there");
    assert_eq!(why.to_string(), "has db2 of anti-affinity group db");

    let held = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "db1", apart)
        .server("h3", "db2", apart)
        .fleet();
    let db2 = held.server(server_id(2)).expect("db2");
    let place = Reservation::for_server(db2, &host_name("h2"), &policies, &held);
    assert_eq!(judge(&held, &policies, &[]), Ok(()));
    assert_eq!(judge(&held, &policies, &[place]), Err(why));
}

#[test]
fn groups_of_two_owners_have_nothing_to_do_with_each_other() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "db1", |db| db.rules.anti_affinity = set(&["db"]))
        .server("h2", "db2", |db| {
            db.rules.anti_affinity = set(&["db"]);
            db.owner = Some(owner_id("globex"));
        })
        .fleet();
    assert_eq!(judge(&fleet, &policies(), &[]), Ok(()));
}

#[test]
fn a_server_follows_its_affinity_group_but_not_onto_a_host_that_is_left() {
    let together = |server: &mut ServerFacts| server.rules.affinity = set(&["shop"]);
    let policies = policies();
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", together)
        .server("h3", "db", together)
        .fleet();
    let at = BTreeSet::from([host_name("h3")]);
    assert_eq!(
        judge(&fleet, &policies, &[]),
        Err(WhyNotHere::Affinity { group: "shop".to_owned(), at: at.clone() })
    );
    let choice =
        Room::new(&fleet, &[], &policies, NOON).find(first(&fleet), &BTreeMap::new()).expect("h3 has room");
    assert_eq!(choice.host, host_name("h3"));
    assert!(choice.why.starts_with("joins its affinity group shop there"), "{}", choice.why);
    let room = Room::new(&fleet, &[], &policies, NOON).emptying(&at);
    assert!(room.judge(first(&fleet), &host_name("h2")).is_ok());
}

#[test]
fn a_name_that_is_taken_is_a_reason() {
    let fleet = Sample::new()
        .hosts(&["h1", "h2"])
        .server("h1", "web", |_| {})
        .server("h2", "web", |web| web.owner = Some(owner_id("globex")))
        .fleet();
    assert_eq!(judge(&fleet, &policies(), &[]), Err(WhyNotHere::NameTaken { name: "web".to_owned() }));
}

#[test]
fn the_emptiest_host_is_best_and_of_equals_the_first() {
    let policies = policies();
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3", "h4"])
        .server("h1", "web", |_| {})
        .server("h2", "big", |big| big.memory_bytes = gib(30))
        .fleet();
    let find = |excluded: &[&str]| {
        let excluded = excluded.iter().map(|host| (host_name(host), "it refused it".to_owned())).collect();
        Room::new(&fleet, &[], &policies, NOON).find(first(&fleet), &excluded).map(|choice| choice.host)
    };
    assert_eq!(find(&[]), Ok(host_name("h3")));
    assert_eq!(find(&["h3"]), Ok(host_name("h4")));
    assert_eq!(find(&["h3", "h4"]), Ok(host_name("h2")));
}

#[test]
fn many_small_servers_make_a_host_as_full_as_their_number() {
    let mut sample = Sample::new().hosts(&["h1", "h2", "h3"]).server("h1", "web", |_| {});
    for n in 0..20 {
        let small = |server: &mut ServerFacts| {
            server.memory_bytes = gib(1) / 4;
            server.vcpus = 1;
        };
        sample = sample.server("h2", &format!("small{n}"), small);
    }
    let fleet = sample.server("h3", "big", |big| big.memory_bytes = gib(12)).fleet();
    let policies = policies();
    let choice = Room::new(&fleet, &[], &policies, NOON).find(first(&fleet), &BTreeMap::new());
    assert_eq!(choice.map(|choice| choice.host), Ok(host_name("h3")));
}

#[test]
fn no_place_says_why_for_each_host_and_what_would_help() {
    let fleet = Sample::new()
        .hosts(&["h1"])
        .host("h2", |host| host.standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON })
        .host("h3", |host| host.facts.memory_bytes = gib(2))
        .host("h4", |host| host.facts.cluster = "c2".to_owned())
        .server("h1", "web", |web| web.memory_bytes = gib(4))
        .fleet();
    let policies = policies();
    let room = Room::new(&fleet, &[], &policies, NOON);
    let none = room.find(first(&fleet), &BTreeMap::new()).expect_err("no room");
    assert_eq!(
        none.to_string(),
        "no host can take it: h3 lacks memory (needs 4.3 GiB, 2.0 GiB are free); h2 is cordoned"
    );
    assert_eq!(none.hint(), "uncordon another host, or wait for its maintenance to end");
    let stored = serde_json::to_string(&none).expect("plain data");
    assert_eq!(
        serde_json::from_str::<drover_policies::placement::NoPlace>(&stored).expect("round trip"),
        none
    );
}

#[test]
fn of_many_hosts_with_the_same_reason_only_a_few_are_named() {
    let mut sample = Sample::new().hosts(&["h0"]).server("h0", "web", |_| {});
    for n in 1..=9 {
        sample = sample.host(&format!("h{n}"), |host| host.facts.machine_types.clear());
    }
    let fleet = sample.fleet();
    let policies = policies();
    let room = Room::new(&fleet, &[], &policies, NOON);
    let none = room.find(first(&fleet), &BTreeMap::new()).expect_err("no room").to_string();
    assert!(none.ends_with("h3 doesn't know machine type pc-q35-10.0; so it is on 6 more"), "{none}");
}

#[test]
fn a_lone_host_says_that_there_is_no_other() {
    let fleet = Sample::new().hosts(&["h1"]).server("h1", "web", |_| {}).fleet();
    let policies = policies();
    let none =
        Room::new(&fleet, &[], &policies, NOON).find(first(&fleet), &BTreeMap::new()).expect_err("alone");
    assert_eq!(none.to_string(), "no other host is in cluster c1");
    assert_eq!(none.hint(), "add a host to cluster c1");
}
