//! What hosts have room for, beside memory and processors: local disks, and places that are held for others.

use std::collections::BTreeSet;
use std::path::PathBuf;

use drover_policies::fleet::{
    Ability, CertificateDigest, Disk, Fleet, Host, LocalStorage, Reach, Replication, ServerFacts,
};
use drover_policies::packing::{Held, evacuate, plan_evacuation, rows, rows_beside};
use drover_policies::packing::{HostRow, Rows};
use drover_policies::placement::Reservation;
use drover_policies::policy::PolicySet;
use drover_policies::samples::{Sample, gib, host_name};

const DISKS: &str = "/var/lib/libvirt/images";

fn with_free(free: u64) -> impl Fn(&mut Host) {
    move |host| {
        host.facts.abilities.insert(Ability::CopyLive);
        host.facts.replication = Some(Replication {
            address: format!("{}.example:7447", host.name),
            certificate: CertificateDigest("ab".repeat(32)),
            directories: vec![LocalStorage {
                path: PathBuf::from(DISKS),
                total_bytes: gib(100),
                free_bytes: gib(free),
            }],
        });
    }
}

fn local(name: &'static str) -> impl Fn(&mut ServerFacts) {
    move |facts| {
        facts.memory_bytes = gib(1);
        facts.disks = vec![Disk {
            target: "vda".to_owned(),
            source: format!("{DISKS}/{name}.qcow2"),
            format: "qcow2".to_owned(),
            virtual_bytes: Some(gib(20)),
            allocated_bytes: Some(gib(20)),
            reach: Reach::Local,
        }];
    }
}

fn policies() -> PolicySet {
    PolicySet::parse(&[]).expect("the shipped policy is right")
}

/// Three servers with disks of 20 GiB on h1; h2 and h3 have room for so much.
fn fleet(h2: u64, h3: u64) -> Fleet {
    let hosts = Sample::new().host("h1", with_free(0)).host("h2", with_free(h2)).host("h3", with_free(h3));
    hosts.server("h1", "a", local("a")).server("h1", "b", local("b")).server("h1", "c", local("c")).fleet()
}

fn storage(rows: &Rows, host: usize) -> u64 {
    let at = rows.problem.resources.iter().position(|resource| resource.name == format!("storage {DISKS}"));
    rows.problem.hosts[host].has[at.expect("it is a resource")]
}

#[test]
fn local_disks_go_where_there_is_room_for_them() {
    let rows = rows(&fleet(25, 50), &policies());
    let found = evacuate(&rows.problem, &[HostRow(0)]);
    assert!(found.unplaced.is_empty(), "{found:?}");
    let to_h2 = found.moves.iter().filter(|one| one.to == HostRow(1)).count();
    assert_eq!(to_h2, 1, "h2 has room for one of them: {:?}", found.moves);
}

#[test]
fn storage_that_is_missing_is_named() {
    let rows = rows(&fleet(25, 30), &policies());
    let plan = plan_evacuation(&rows, &["h1".to_owned()]).expect("h1 is there");
    assert_eq!(plan.not_placed.len(), 1);
    assert!(plan.not_placed[0].why.contains(&format!("storage {DISKS}")), "{}", plan.not_placed[0].why);
}

#[test]
fn what_is_held_for_others_is_nobody_elses() {
    let (fleet, policies) = (fleet(50, 50), policies());
    let held = Reservation {
        server: drover_policies::ids::ServerId(uuid::Uuid::from_u128(7)),
        host: host_name("h2"),
        owner: None,
        memory_bytes: gib(4),
        vcpus: 2,
        anti_affinity: BTreeSet::new(),
        affinity: BTreeSet::new(),
        disks: [(PathBuf::from(DISKS).join("new.qcow2"), gib(40))].into(),
        resources: [].into(),
    };
    let (free, beside) = (
        rows(&fleet, &policies),
        rows_beside(&fleet, &policies, &Held { places: vec![held], ..Held::default() }),
    );
    assert_eq!(storage(&free, 1) - storage(&beside, 1), gib(40));
    assert_eq!(free.problem.hosts[1].has[0] - beside.problem.hosts[1].has[0], gib(4));
    let found = evacuate(&beside.problem, &[HostRow(0)]);
    assert!(found.moves.iter().all(|one| one.to == HostRow(2)), "{:?}", found.moves);
}

#[test]
fn room_that_a_server_will_take_is_not_free_though_nothing_is_written_yet() {
    let (mut fleet, policies) = (fleet(25, 0), policies());
    // "a" is bound for h2, and shown there.
    let mut there =
        fleet.sightings.get_mut(&host_name("h1")).expect("it has servers").pop_first().expect("a");
    there.1.host = host_name("h2");
    let coming = [there.0].into();
    fleet.sightings.entry(host_name("h2")).or_default().insert(there.0, there.1);
    let rows = rows_beside(&fleet, &policies, &Held { coming, ..Held::default() });
    let found = evacuate(&rows.problem, &[HostRow(0)]);
    assert!(found.moves.is_empty() && found.unplaced.len() == 2, "{found:?}");
}
