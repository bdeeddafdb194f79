//! A fleet without anybody's names is planned as the fleet is: else nobody could look into a complaint about a plan.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::fleet::{
    Blocker, CertificateDigest, Fleet, Host, Labels, LocalStorage, Plug, Reach, Replication, ServerFacts,
};
use drover_policies::host::Standing;
use drover_policies::ids::{HookName, OwnerId, ServerId};
use drover_policies::packing::{FleetPlan, plan_evacuation, plan_rolling, rows};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{Sample, gib, local_disk, shared_disk};
use drover_policies::scramble::scrambled;
use uuid::Uuid;

use crate::common::{ANY_NUMBER, Lots};

/// Twelve hosts in two clusters. Whatever somebody could be told by bears the letters `zq`, in an order that numbers by first sight would not keep.
fn fleet() -> Fleet {
    let mut lots = Lots(7);
    let mut sample = Sample::new();
    for n in [11, 3, 7, 1, 9, 12, 2, 10, 5, 8, 4, 6] {
        sample = sample.host(&format!("zq-host{n}"), |host| facts_of(host, n));
    }
    for n in 0..60_u64 {
        let host = 1 + lots.below(12);
        let (memory, kind) = (1 + lots.below(9), lots.below(9));
        sample = sample.server(&format!("zq-host{host}"), &format!("zq-vm{}", n * 37 % 61), |facts| {
            facts.id = ServerId(Uuid::from_u128(
                0x2a2a_0000_0000_4000_8000_0000_0000_0000 + u128::from(n * 29 % 61),
            ));
            facts.memory_bytes = gib(memory);
            facts.owner = OwnerId::new(format!("zq-owner{}", n % 3)).ok();
            facts.labels.insert("zq-role".to_owned(), format!("zq-{}", n % 4));
            facts.disks = vec![shared_disk("vda", "zq-image")];
            facts.disks[0].reach = Reach::Shared { storage: format!("zq-store{}", u8::from(host > 6)) };
            facts.plugs = Some([Plug::Network("zq-net".to_owned())].into());
            what_it_is(facts, kind, n);
        });
    }
    sample.fleet()
}

fn facts_of(host: &mut Host, n: u64) {
    let directory = |path: &str, free: u64| LocalStorage {
        path: path.into(),
        total_bytes: gib(800),
        free_bytes: gib(free),
    };
    let facts = &mut host.facts;
    facts.cluster = format!("zq-cluster{}", u8::from(n > 6));
    facts.shared_storage = [format!("zq-store{}", u8::from(n > 6))].into();
    facts.labels = Labels::from([("zq-rack".to_owned(), format!("zq-{}", n % 3))]);
    facts.libvirt_uri = "qemu+tls://zq/system".to_owned();
    facts.migration_address = Some("zq.example".to_owned());
    facts.boot_id = Some("zq-boot".to_owned());
    facts.hooks = [HookName::pre(), HookName::new("zq-hook").expect("a name")].into();
    facts.plugs = Some([Plug::Network("zq-net".to_owned())].into());
    facts.replication = Some(Replication {
        address: format!("zq-{n}.example:7071"),
        certificate: CertificateDigest(format!("{:064x}", 0xfeed_0000_u64 + n)),
        // The second is a file system of its own within the first.
        directories: vec![directory("/srv/zq-a", 120), directory("/srv/zq-a/zq-b", 30 + n)],
    });
    if n == 5 {
        host.standing = Standing::Cordoned { reason: "zq".to_owned(), since: host.observed_at };
    }
}

fn what_it_is(facts: &mut ServerFacts, kind: u64, n: u64) {
    match kind {
        _ if n == 11 => facts.blockers.push(Blocker::HostDevice { device: "pci zq:3b:00.0".to_owned() }),
        _ if n == 23 => facts.disks.push(local_disk("sda", "/srv/zq-a/zq-medium.ISO")),
        _ if n == 41 => facts.disks.push(local_disk("vdb", "/dev/zq-disk")),
        0 => facts.disks.push(local_disk("vdb", &format!("/srv/zq-a/zq-{n}.qcow2"))),
        1 => facts.disks.push(local_disk("vdb", &format!("/srv/zq-a/zq-b/zq-{n}.qcow2"))),
        3 => drop(facts.rules.anti_affinity.insert("zq-apart".to_owned())),
        4 => drop(facts.rules.affinity.insert(format!("zq-with{}", n % 2))),
        _ => {}
    }
}

/// By the order that both fleets have their names in.
fn renamed(before: &Fleet, after: &Fleet) -> BTreeMap<String, String> {
    let hosts = |fleet: &Fleet| fleet.hosts.keys().map(ToString::to_string).collect::<Vec<_>>();
    let servers = |fleet: &Fleet| -> BTreeSet<String> {
        let seen = fleet.sightings.values().flat_map(|seen| seen.values());
        seen.map(|server| server.facts.name.clone()).collect()
    };
    let all = hosts(before).into_iter().zip(hosts(after));
    all.chain(servers(before).into_iter().zip(servers(after))).collect()
}

/// Everything of a plan that has names, one a line.
fn told(plan: &FleetPlan, name: impl Fn(&str) -> String) -> Vec<String> {
    let names = |text: &str| text.split(" + ").map(&name).collect::<Vec<_>>().join(" + ");
    let mut lines = vec![format!("{} {} {}", plan.hosts, plan.servers, plan.least_moves)];
    for wave in &plan.waves {
        lines.push(wave.hosts.iter().map(|host| names(host)).collect::<Vec<_>>().join(", "));
        lines.extend(wave.moves.iter().map(|one| {
            format!("{} {} {} {:?}", names(&one.server), names(&one.from), names(&one.to), one.when)
        }));
    }
    lines.extend(plan.stays.iter().map(|one| format!("stays {} {}", names(&one.server), names(&one.host))));
    lines.extend(
        plan.not_placed.iter().map(|one| format!("left {} {}", names(&one.server), names(&one.host))),
    );
    lines
}

#[test]
fn it_is_planned_as_the_fleet_is() {
    let before = fleet();
    let after = scrambled(&before);
    let names = renamed(&before, &after);
    let policies = PolicySet::default();
    let planned = |fleet: &Fleet, hosts: &[&str]| {
        let mut rows = rows(fleet, &policies);
        rows.on_links(&policies, None);
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        match hosts.is_empty() {
            true => plan_rolling(&rows, None, &ANY_NUMBER),
            false => plan_evacuation(&rows, &hosts),
        }
        .expect("a plan")
    };
    for hosts in [&[][..], &["zq-host1", "zq-host10"], &["zq-host2", "zq-host3", "zq-host4"]] {
        let others: Vec<&str> = hosts.iter().map(|host| names[*host].as_str()).collect();
        let plan = planned(&before, hosts);
        assert!(
            plan.moves > 0 && (!hosts.is_empty() || !plan.stays.is_empty()),
            "this fleet shows too little"
        );
        let expected = told(&plan, |name| names[name].clone());
        assert_eq!(told(&planned(&after, &others), str::to_owned), expected);
    }
}

#[test]
fn nothing_is_left_of_it_by_which_anybody_could_be_told() {
    let before = fleet();
    let text = serde_json::to_string(&scrambled(&before)).expect("a fleet is written");
    let was = serde_json::to_string(&before).expect("a fleet is written");
    let ids = before.sightings.values().flat_map(|seen| seen.keys()).map(ToString::to_string);
    let telling = ["zq", "srv", "feed", "pci", "example"].into_iter().map(str::to_owned).chain(ids);
    for word in telling {
        assert!(was.contains(&word), "{word} is nowhere in it to begin with");
        assert!(!text.contains(&word), "{word} is still there");
    }
}
