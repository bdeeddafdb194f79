//! Servers that are given another shape by their move, and the old one by their way back.

use std::collections::{BTreeMap, BTreeSet};

use drover_agent_api::{Destination, LiveMigrate, LiveReplica, Operation, Order, RebootMigrate, Shape};
use drover_host_agent::hypervisor::simulated::{Fault, Guest, Moment};
use drover_policies::attempt::{FailureClass, Outcome};
use drover_policies::blueprint::{Blueprint, Boot};
use drover_policies::fleet::{Autostart, Plug, Power, ServerFacts};
use drover_policies::ids::OperationId;
use drover_policies::replica::{ImageFormat, ReplicaDisk};
use uuid::Uuid;

use crate::common::{OPERATION, Rig, SERVER, host, live, reboot, server_facts};
use crate::warm::{REPLICA, disks, held, peer, replicating, with_replica};

const BACK: OperationId = OperationId(Uuid::from_u128(0xbac4));

fn blueprint() -> Blueprint {
    Blueprint {
        memory_bytes: Some(8 << 30),
        vcpus: Some(6),
        networks: BTreeMap::from([("br0".to_owned(), "br1".to_owned())]),
        disks: BTreeMap::new(),
        boot: Boot::Now,
    }
}

fn shaped(shape: Shape) -> Order {
    match reboot() {
        Order::RebootMigrate(order) => Order::RebootMigrate(RebootMigrate { shape, ..order }),
        other => other,
    }
}

fn with(blueprint: Blueprint) -> Order {
    shaped(Shape::Blueprint { blueprint })
}

fn bridge(name: &str) -> Option<BTreeSet<Plug>> {
    Some(BTreeSet::from([Plug::Bridge(name.to_owned())]))
}

fn plugged() -> ServerFacts {
    ServerFacts { plugs: bridge("br0"), ..server_facts(Power::Running) }
}

type Size = (u64, u32, Option<BTreeSet<Plug>>);

fn before() -> Size {
    (4 << 30, 2, bridge("br0"))
}

fn after() -> Size {
    (8 << 30, 6, bridge("br1"))
}

/// What it looks like, where it is.
fn looks(rig: &Rig) -> Vec<(String, Size)> {
    let facts = rig.fleet.facts(SERVER).into_iter();
    facts.map(|(host, facts)| (host.to_string(), (facts.memory_bytes, facts.vcpus, facts.plugs))).collect()
}

fn at(host: &str, size: Size) -> Vec<(String, Size)> {
    vec![(host.to_owned(), size)]
}

/// Drives to the end, killed at a call of the agent if there is one.
fn end(rig: &mut Rig, told: &str) -> Outcome {
    let outcome = rig.outcome();
    let expected = match outcome {
        Outcome::Moved(_) => at("h2", after()),
        Outcome::StayedAtSource { .. } => at("h1", before()),
        Outcome::Gone => panic!("{told}: a server was lost"),
    };
    assert_eq!(looks(rig), expected, "{told}: {outcome:?}");
    outcome
}

#[test]
fn it_is_shaped_once_whenever_the_agent_is_killed() {
    for moment in [Moment::Before, Moment::After] {
        for n in 1.. {
            let mut rig = Rig::new(with(blueprint()), plugged(), Guest::default());
            rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
            end(&mut rig, &format!("killed {moment:?} call {n}"));
            if rig.kills == 0 {
                assert!(n > 5, "the agent makes more calls than {n}");
                break;
            }
        }
    }
}

#[test]
fn one_that_can_t_be_brought_up_is_at_its_source_as_it_was() {
    for n in 1.. {
        let mut rig = Rig::new(with(blueprint()), plugged(), Guest::default());
        rig.fleet.change_host(&host("h2"), |facts| facts.plugs = bridge("br7"));
        rig.fleet.kill_agent_at_call(&host("h1"), n, Moment::After);
        let Outcome::StayedAtSource { failure, .. } = end(&mut rig, &format!("killed after call {n}")) else {
            panic!("there is no br1 there");
        };
        assert_eq!(failure.class, FailureClass::RefusedByDestination, "{}", failure.text);
        if rig.kills == 0 {
            break;
        }
    }
}

/// Moved with its blueprint, and on its way back from h2.
fn back(of: OperationId) -> Rig {
    let mut rig = Rig::new(with(blueprint()), plugged(), Guest::default());
    rig.moved();
    let destination =
        Destination { host: host("h1"), libvirt_uri: "qemu+tcp://h1/system".into(), migration_address: None };
    let order = match shaped(Shape::Before { operation: of }) {
        Order::RebootMigrate(order) => Order::RebootMigrate(RebootMigrate { destination, ..order }),
        other => other,
    };
    let operation = Operation { id: BACK, order, ..rig.operation.clone() };
    rig.go_to(host("h2"), operation);
    rig
}

#[test]
fn the_way_back_brings_back_what_was_whenever_the_agent_is_killed() {
    for n in 1.. {
        let mut rig = back(OPERATION);
        let kills = rig.kills;
        let made = rig.fleet.calls(&host("h2"));
        rig.fleet.kill_agent_at_call(&host("h2"), made + n, Moment::After);
        rig.moved();
        assert_eq!(looks(&rig), at("h1", before()), "killed after call {n}");
        if rig.kills == kills {
            break;
        }
    }
    let mut rig = back(BACK);
    rig.moved();
    assert_eq!(looks(&rig), at("h1", after()), "the order named gave it no other shape");
}

#[test]
fn one_that_is_to_be_booted_later_is_left_off_there_and_runs_again_where_that_fails() {
    let later = || with(Blueprint { boot: Boot::Later, ..blueprint() });
    let mut rig = Rig::new(later(), plugged(), Guest::default());
    let moved = rig.moved();
    assert_eq!(rig.places(), [("h2".to_owned(), Power::Off, Autostart::Yes)]);
    assert_eq!(looks(&rig), at("h2", after()));
    assert_eq!(moved.downtime, None, "it is down until its owner boots it");

    let mut rig = Rig::new(later(), plugged(), Guest::default());
    rig.fleet.fault(Fault::DefineFails { host: host("h2") });
    rig.stayed();
    assert_eq!(rig.places(), [("h1".to_owned(), Power::Running, Autostart::Yes)]);
}

/// Its disk becomes raw, in another directory.
fn elsewhere(disks: &mut [ReplicaDisk]) {
    for disk in disks {
        disk.path = "/srv/fast/web-1.qcow2".into();
        disk.becomes = Some(ImageFormat::Raw);
    }
}

fn disk_of(rig: &Rig) -> Vec<(String, String, String)> {
    let facts = rig.fleet.facts(SERVER).into_iter();
    facts
        .map(|(host, facts)| (host.to_string(), facts.disks[0].source.clone(), facts.disks[0].format.clone()))
        .collect()
}

#[test]
fn its_disks_are_where_and_what_they_are_to_be_whenever_the_agent_is_killed() {
    let there = ("h2".to_owned(), "/srv/fast/web-1.qcow2".to_owned(), "raw".to_owned());
    let here = ("h1".to_owned(), "/var/lib/libvirt/images/web-1.qcow2".to_owned(), "qcow2".to_owned());
    for n in 1.. {
        let mut rig = replicating(Power::Running);
        rig.run_until_ready();
        let mut order = with_replica(2);
        elsewhere(&mut order.replica.as_mut().expect("it has one").disks);
        rig.cut_over(order);
        let (made, kills) = (rig.fleet.calls(&host("h1")), rig.kills);
        rig.fleet.kill_agent_at_call(&host("h1"), made + n, Moment::After);
        let expected = match rig.outcome() {
            Outcome::Moved(_) => &there,
            Outcome::StayedAtSource { .. } => &here,
            Outcome::Gone => panic!("a server was lost"),
        };
        assert_eq!(disk_of(&rig), std::slice::from_ref(expected), "killed after call {n}");
        if rig.kills == kills {
            assert!(n > 5 && expected == &there, "the agent makes more calls than {n}");
            break;
        }
    }
}

#[test]
fn a_server_that_goes_live_keeps_its_disks_where_and_what_they_are() {
    let mut disks = disks();
    elsewhere(&mut disks);
    let replica = LiveReplica { replica: REPLICA, peer: peer(), disks };
    let order = match live() {
        Order::LiveMigrate(order) => Order::LiveMigrate(LiveMigrate { replica: Some(replica), ..order }),
        other => panic!("{other:?}"),
    };
    let mut rig = held(order, Power::Running);
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::RefusedBySource);
    assert!(text.contains("would be /srv/fast/web-1.qcow2 (raw)"), "{text}");
}
