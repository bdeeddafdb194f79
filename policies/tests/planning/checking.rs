//! That the check finds what it is for: a sound plan, spoilt in one way, has just that violation.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::attempt::Method;
use drover_policies::check::{Closed, Lacks, Violation, check};
use drover_policies::eligibility::WhyNotLive;
use drover_policies::fleet::{Allowance, Blocker, Fleet, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::ids::HostName;
use drover_policies::placement::Reservation;
use drover_policies::plan::{Agreement, Decision, Plan};
use drover_policies::planner::{Input, plan};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, Sample, gib, host_name, local_disk, server_id, set};
use drover_policies::time::Span;

use crate::common::{NO_BLUEPRINTS, NO_HOSTS};

/// h1 is emptied of `web` (server 1) and `db` (server 2); h2 and h3 take servers.
fn fleet(change: impl FnOnce(&mut Fleet)) -> Fleet {
    let mut fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |_| {})
        .server("h1", "db", |_| {})
        .server("h2", "other", |_| {})
        .fleet();
    change(&mut fleet);
    fleet
}

/// Plans in the sound fleet, spoils the plan, and checks it in the spoilt fleet.
fn violations(spoil_plan: impl FnOnce(&mut Plan), spoil_fleet: impl FnOnce(&mut Fleet)) -> Vec<Violation> {
    let policies = PolicySet::default();
    let emptying = BTreeSet::from([host_name("h1")]);
    let (kept, history) = (BTreeMap::new(), BTreeMap::new());
    let (sound, spoilt) = (fleet(|_| {}), fleet(spoil_fleet));
    let input = |fleet| Input {
        now: NOON,
        fleet,
        policies: &policies,
        emptying: &emptying,
        doomed: &NO_HOSTS,
        reservations: &[],
        kept: &kept,
        history: &history,
        blueprints: &NO_BLUEPRINTS,
    };
    let (mut made, _) = plan(&input(&sound));
    send(&mut made, 0, "h3");
    send(&mut made, 1, "h3");
    assert_eq!(check(&input(&sound), &made), [], "the plan is sound before it is spoilt");
    spoil_plan(&mut made);
    check(&input(&spoilt), &made)
}

/// Sends a server elsewhere, with the place that is held for it.
fn send(plan: &mut Plan, index: usize, to: &str) {
    let planned = &mut plan.hosts.get_mut(&host_name("h1")).expect("h1 is emptied")[index];
    planned.decision = Decision::Live { to: host_name(to) };
    if let Some(place) = &mut planned.place {
        place.host = host_name(to);
    }
}

type SpoilFleet = fn(&mut Fleet);

/// The server that is first in the plan: of two alike the first by name.
const DB: u128 = 2;

fn server(fleet: &mut Fleet, host: &str, id: u128, change: impl FnOnce(&mut ServerFacts)) {
    let there = fleet.sightings.get_mut(&host_name(host)).expect("the host has servers");
    change(&mut there.get_mut(&server_id(id)).expect("it is there").facts);
}

fn h3(fleet: &mut Fleet) -> &mut drover_policies::fleet::Host {
    fleet.hosts.get_mut(&host_name("h3")).expect("h3")
}

fn planned(plan: &mut Plan) -> &mut Vec<drover_policies::plan::Planned> {
    plan.hosts.get_mut(&host_name("h1")).expect("h1 is emptied")
}

#[test]
fn a_server_that_is_left_out_named_twice_or_made_up() {
    let left_out = violations(|plan| drop(planned(plan).remove(0)), |_| {});
    assert_eq!(left_out, [Violation::Missing(server_id(DB))]);
    let twice = |plan: &mut Plan| {
        let again = planned(plan)[0].clone();
        planned(plan).push(again);
    };
    assert_eq!(violations(twice, |_| {}), [Violation::Twice(server_id(DB))]);
    let stranger = |plan: &mut Plan| {
        let mut other = planned(plan)[0].clone();
        (other.server, other.from) = (server_id(3), host_name("h2"));
        other.place.as_mut().expect("it has a place").server = server_id(3);
        planned(plan).push(other);
    };
    let found = violations(stranger, |_| {});
    assert!(
        found.contains(&Violation::Stranger { server: server_id(3), from: host_name("h2") }),
        "{found:?}"
    );
}

#[test]
fn a_place_held_elsewhere_than_the_server_goes() {
    let spoil = |plan: &mut Plan| planned(plan)[0].place.as_mut().expect("a place").host = host_name("h2");
    assert_eq!(violations(spoil, |_| {}), [Violation::OtherPlace(server_id(DB))]);
}

#[test]
fn a_destination_that_takes_no_servers() {
    let closed =
        |to: &str, why| Violation::ClosedDestination { server: server_id(DB), to: host_name(to), why };
    assert_eq!(violations(|plan| send(plan, 0, "h9"), |_| {}), [closed("h9", Closed::Unknown)]);
    assert_eq!(
        violations(|plan| send(plan, 0, "h1"), |_| {}),
        [closed("h1", Closed::Source), closed("h1", Closed::Emptied)]
    );
    let cordoned = |fleet: &mut Fleet| {
        h3(fleet).standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON };
    };
    let only_db = |plan: &mut Plan| send(plan, 1, "h2");
    assert_eq!(violations(only_db, cordoned), [closed("h3", Closed::NotOpen)]);
    let silent = |fleet: &mut Fleet| h3(fleet).observed_at = NOON - Span::hours(1).delta();
    assert_eq!(violations(only_db, silent), [closed("h3", Closed::Silent)]);
}

#[test]
fn a_destination_that_can_not_run_the_server() {
    let only_db = |plan: &mut Plan| send(plan, 1, "h2");
    let cases: [(SpoilFleet, Lacks); 5] = [
        (|fleet| h3(fleet).facts.cluster = "c2".to_owned(), Lacks::Cluster),
        (|fleet| h3(fleet).facts.cpu.usable_models.clear(), Lacks::Processor),
        (|fleet| h3(fleet).facts.machine_types.clear(), Lacks::MachineType),
        (|fleet| h3(fleet).facts.shared_storage.clear(), Lacks::Storage),
        (|fleet| h3(fleet).facts.libvirt_version = 9_000_000, Lacks::Libvirt),
    ];
    for (spoil, lacks) in cases {
        let unfit = Violation::UnfitDestination { server: server_id(DB), to: host_name("h3"), lacks };
        assert_eq!(violations(only_db, spoil), [unfit]);
    }
}

#[test]
fn a_server_that_is_not_to_be_moved_in_this_way() {
    let cases: [fn(&mut ServerFacts); 4] = [
        |db| db.disks.push(local_disk("sda", "/isos/install.iso")),
        |db| db.blockers.push(Blocker::Snapshots { count: 1 }),
        |db| db.blockers.push(Blocker::BlockJob { disk: "vda".to_owned() }),
        |db| db.rules.live_migration = Some(Allowance::Forbidden),
    ];
    for spoil in cases {
        let found = violations(|_| {}, |fleet| server(fleet, "h1", DB, spoil));
        assert!(
            matches!(found.as_slice(), [Violation::UnfitServer { method: Method::Live, .. }]),
            "{found:?}"
        );
    }
}

#[test]
fn a_reboot_that_nobody_is_asked_about() {
    let spoil = |plan: &mut Plan| {
        let planned = &mut planned(plan)[0];
        planned.decision = Decision::Reboot { to: host_name("h3"), why: WhyNotLive::PolicyForbids };
        planned.agreement = Agreement::NotNeeded;
    };
    assert_eq!(violations(spoil, |_| {}), [Violation::NobodyAsked(server_id(DB))]);
}

#[test]
fn more_than_a_host_has() {
    let little = violations(|_| {}, |fleet| h3(fleet).facts.memory_bytes = gib(4));
    assert!(matches!(little.as_slice(), [Violation::Memory { .. }]), "{little:?}");
    let few = violations(|_| {}, |fleet| h3(fleet).facts.cpu_threads = 0);
    assert!(matches!(few.as_slice(), [Violation::Vcpus { used: 4, has: 0, .. }]), "{few:?}");
}

#[test]
fn company_that_must_not_be_or_must_be() {
    let name = violations(
        |plan| send(plan, 0, "h2"),
        |fleet| server(fleet, "h2", 3, |other| other.name = "db".to_owned()),
    );
    assert_eq!(name, [Violation::Name { host: host_name("h2"), name: "db".to_owned() }]);
    let groups = |fleet: &mut Fleet, change: fn(&mut ServerFacts)| {
        server(fleet, "h1", DB, change);
        server(fleet, "h2", 3, change);
    };
    let anti = violations(
        |plan| send(plan, 0, "h2"),
        |fleet| groups(fleet, |server| server.rules.anti_affinity = set(&["db"])),
    );
    assert_eq!(anti, [Violation::AntiAffinity { host: host_name("h2"), group: "db".to_owned() }]);
    let torn = violations(|_| {}, |fleet| groups(fleet, |server| server.rules.affinity = set(&["shop"])));
    assert_eq!(torn, [Violation::Affinity { server: server_id(DB), group: "shop".to_owned() }]);
}

#[test]
fn a_place_that_is_held_for_somebody_else() {
    let policies = PolicySet::default();
    let fleet = fleet(|fleet| h3(fleet).facts.memory_bytes = gib(4));
    let emptying: BTreeSet<HostName> = BTreeSet::from([host_name("h1")]);
    let (kept, history) = (BTreeMap::new(), BTreeMap::new());
    let other = fleet.server(server_id(3)).expect("other");
    let held = [Reservation::for_server(other, &host_name("h3"), &policies, &fleet)];
    let input = |reservations| Input {
        now: NOON,
        fleet: &fleet,
        policies: &policies,
        emptying: &emptying,
        doomed: &NO_HOSTS,
        reservations,
        kept: &kept,
        history: &history,
        blueprints: &NO_BLUEPRINTS,
    };
    let (mut made, _) = plan(&input(&[]));
    send(&mut made, 0, "h3");
    send(&mut made, 1, "h2");
    assert_eq!(check(&input(&[]), &made), []);
    let found = check(&input(&held), &made);
    assert!(matches!(found.as_slice(), [Violation::Memory { .. }]), "{found:?}");
}
