//! By which method a server can leave its host.

use drover_policies::attempt::FailureClass;
use drover_policies::eligibility::{
    Suits, WhyBlocked, WhyNotCopied, WhyNotLive, method_for, method_without_live, obstacles,
};
use drover_policies::fleet::{Allowance, Blocker, Definition, Power, ServerFacts};
use drover_policies::samples::{host_name, local_disk, server_facts, server_id};

use crate::common::{policies, policies_with};

fn server(change: impl FnOnce(&mut ServerFacts)) -> ServerFacts {
    let mut facts = server_facts(server_id(1), "web");
    change(&mut facts);
    facts
}

fn suits(change: impl FnOnce(&mut ServerFacts)) -> Suits {
    method_for(&server(change), policies().general())
}

#[test]
fn a_running_server_with_nothing_against_it_goes_live() {
    assert_eq!(suits(|_| {}), Suits::Live);
}

#[test]
fn an_owner_who_forbids_live_migration_is_asked_for_a_time() {
    let forbids = |server: &mut ServerFacts| server.rules.live_migration = Some(Allowance::Forbidden);
    assert_eq!(suits(forbids), Suits::Reboot(WhyNotLive::OwnerForbids));
}

#[test]
fn an_owners_word_counts_for_more_than_policy() {
    let policies = policies_with("[live]\nallowed = false\n");
    let silent = server(|_| {});
    assert_eq!(method_for(&silent, policies.general()), Suits::Reboot(WhyNotLive::PolicyForbids));
    let allowed = server(|server| server.rules.live_migration = Some(Allowance::Allowed));
    assert_eq!(method_for(&allowed, policies.general()), Suits::Live);
}

#[test]
fn a_block_job_or_an_unsafe_cache_is_in_the_way_of_a_live_migration_only() {
    let job = Blocker::BlockJob { disk: "vda".to_owned() };
    assert_eq!(
        suits(|server| server.blockers.push(job)),
        Suits::Reboot(WhyNotLive::BlockJob { disk: "vda".to_owned() })
    );
    let cache = Blocker::UnsafeCache { disk: "vda".to_owned(), cache: "writeback".to_owned() };
    assert_eq!(
        suits(|server| server.blockers.push(cache)),
        Suits::Reboot(WhyNotLive::UnsafeCache { disk: "vda".to_owned(), cache: "writeback".to_owned() })
    );
}

#[test]
fn a_server_that_does_not_run_is_not_moved_live() {
    assert_eq!(suits(|server| server.power = Power::Off), Suits::Reboot(WhyNotLive::NotRunning));
    assert_eq!(suits(|server| server.power = Power::Paused), Suits::Reboot(WhyNotLive::Paused));
    assert_eq!(
        suits(|server| server.blockers = vec![Blocker::LostByLibvirt]),
        Suits::Reboot(WhyNotLive::LostByLibvirt)
    );
}

#[test]
fn what_no_other_host_has_or_would_be_lost_blocks_both_methods() {
    let device = "pci 0000:3b:00.0".to_owned();
    let cases = [
        (Blocker::HostDevice { device: device.clone() }, WhyBlocked::HostDevice { device }),
        (Blocker::Snapshots { count: 2 }, WhyBlocked::Snapshots { count: 2 }),
        (
            Blocker::SharedFilesystem { tag: "home".to_owned() },
            WhyBlocked::SharedFilesystem { tag: "home".to_owned() },
        ),
    ];
    for (blocker, why) in cases {
        assert_eq!(suits(|server| server.blockers.push(blocker.clone())), Suits::Nothing(why.clone()));
        // Being off doesn't help: the same things would be missing at the destination.
        let off = suits(|server| {
            server.power = Power::Off;
            server.blockers.push(blocker);
        });
        assert_eq!(off, Suits::Nothing(why));
    }
}

#[test]
fn a_cd_that_only_this_host_has_is_to_be_ejected() {
    let Suits::Nothing(why) = suits(|server| server.disks.push(local_disk("sda", "/isos/install.iso")))
    else {
        panic!("a local medium blocks")
    };
    assert_eq!(
        why.to_string(),
        "sda is /isos/install.iso, which only this host has and isn't copied, as it is a CD or floppy; eject it"
    );
}

#[test]
fn a_server_that_libvirt_holds_or_that_crashed_is_left_alone() {
    for power in [Power::Held, Power::Arriving] {
        assert_eq!(suits(|server| server.power = power), Suits::Nothing(WhyBlocked::Held));
    }
    assert_eq!(suits(|server| server.power = Power::Crashed), Suits::Nothing(WhyBlocked::Crashed));
}

#[test]
fn a_transient_server_goes_live_or_not_at_all() {
    assert_eq!(suits(|server| server.definition = Definition::Transient), Suits::Live);
    let stays = suits(|server| {
        server.definition = Definition::Transient;
        server.rules.live_migration = Some(Allowance::Forbidden);
    });
    let not_live = WhyNotLive::OwnerForbids.to_string();
    assert_eq!(stays, Suits::Nothing(WhyBlocked::Transient { not_live }));
}

#[test]
fn everything_in_the_way_is_named_at_once() {
    let facts = server(|server| {
        server.power = Power::Crashed;
        server.blockers.push(Blocker::Snapshots { count: 1 });
        server.disks.push(local_disk("sda", "/isos/install.iso"));
    });
    let codes: Vec<_> = obstacles(&facts).iter().map(WhyBlocked::code).collect();
    assert_eq!(codes, ["crashed", "snapshots", "local_disk"]);
}

#[test]
fn a_live_migration_that_failed_for_good_is_not_tried_again_unless_the_server_is_off() {
    let failed = WhyNotLive::LiveFailed {
        attempts: 3,
        class: FailureClass::NotConverging,
        text: "canceled by client".to_owned(),
    };
    assert!(failed.is_settled());
    let running = server(|_| {});
    assert_eq!(method_without_live(&running, failed.clone()), Suits::Reboot(failed.clone()));
    let off = server(|server| server.power = Power::Off);
    assert_eq!(method_without_live(&off, failed.clone()), Suits::Reboot(WhyNotLive::NotRunning));
    let device = server(|server| server.blockers.push(Blocker::Snapshots { count: 1 }));
    assert_eq!(method_without_live(&device, failed), Suits::Nothing(WhyBlocked::Snapshots { count: 1 }));
}

fn every_why_not_live() -> Vec<WhyNotLive> {
    vec![
        WhyNotLive::OwnerForbids,
        WhyNotLive::PolicyForbids,
        WhyNotLive::OwnerAskedForReboot,
        WhyNotLive::BlockJob { disk: "vda".to_owned() },
        WhyNotLive::UnsafeCache { disk: "vda".to_owned(), cache: "writeback".to_owned() },
        WhyNotLive::NotRunning,
        WhyNotLive::Paused,
        WhyNotLive::LostByLibvirt,
        WhyNotLive::LiveFailed {
            attempts: 1,
            class: FailureClass::LostOnTheWay,
            text: "h7.example: connection reset".to_owned(),
        },
    ]
}

#[test]
fn the_code_is_the_word_that_is_stored() {
    for why in every_why_not_live() {
        let stored = serde_json::to_value(&why).expect("plain data");
        assert_eq!(stored["code"], why.code());
        assert_eq!(serde_json::from_value::<WhyNotLive>(stored).expect("round trip"), why);
    }
    let blocked = [
        WhyBlocked::LocalDisk {
            disk: "vda".to_owned(),
            source: "/x".to_owned(),
            why: WhyNotCopied::BlockDevice,
        },
        WhyBlocked::HostDevice { device: "usb 1d6b:0002".to_owned() },
        WhyBlocked::Snapshots { count: 1 },
        WhyBlocked::SharedFilesystem { tag: "home".to_owned() },
        WhyBlocked::Held,
        WhyBlocked::Crashed,
        WhyBlocked::Transient { not_live: "it is paused".to_owned() },
        WhyBlocked::SeenTwice { also_on: host_name("h2") },
        WhyBlocked::Contradiction {
            one: "db-1".to_owned(),
            other: "db-2".to_owned(),
            together: "shop".to_owned(),
            apart: "db".to_owned(),
        },
    ];
    for why in blocked {
        let stored = serde_json::to_value(&why).expect("plain data");
        assert_eq!(stored["code"], why.code());
        assert_eq!(serde_json::from_value::<WhyBlocked>(stored).expect("round trip"), why);
    }
}

#[test]
fn owners_read_one_sentence_without_what_the_hypervisor_said() {
    for why in every_why_not_live() {
        let sentence = why.for_owner();
        assert!(sentence.ends_with('.') && !sentence.contains("h7"), "{sentence}");
        assert_eq!(sentence.matches(". ").count(), 0, "one sentence: {sentence}");
    }
}
