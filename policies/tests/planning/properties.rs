//! What holds of every plan, whatever the fleet.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::check::check;
use drover_policies::eligibility::WhyNotLive;
use drover_policies::fleet::{
    Allowance, Blocker, Definition, Fleet, GuestCpu, Power, Reach, Server, ServerFacts,
};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, MaintenanceId, ServerId};
use drover_policies::placement::Reservation;
use drover_policies::plan::{Decision, difference, text};
use drover_policies::planner::{Input, Kept, plan};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, Sample, gib, host_name, local_disk, owner_id, server_id, set};
use drover_policies::time::Span;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::common::{NO_BLUEPRINTS, NO_HOSTS, policies_with};

/// All that a plan is made of, owned.
#[derive(Debug, Clone)]
struct World {
    fleet: Fleet,
    policies: PolicySet,
    emptying: BTreeSet<HostName>,
    reservations: Vec<Reservation>,
    kept: BTreeMap<ServerId, Kept>,
}

impl World {
    fn input<'a>(&'a self, history: &'a BTreeMap<ServerId, Vec<Span>>) -> Input<'a> {
        Input {
            now: NOON,
            fleet: &self.fleet,
            policies: &self.policies,
            emptying: &self.emptying,
            doomed: &NO_HOSTS,
            reservations: &self.reservations,
            kept: &self.kept,
            history,
            blueprints: &NO_BLUEPRINTS,
        }
    }
}

fn host_names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("h{n}")).collect()
}

type HostChange = (u64, u32, u8, u8, u8);

fn change_host(
    host: &mut drover_policies::fleet::Host,
    (memory, threads, standing, oddity, rack): HostChange,
) {
    host.facts.memory_bytes = gib(memory);
    host.facts.cpu_threads = threads;
    host.facts.labels.insert("rack".to_owned(), format!("r{rack}"));
    let maintenance = MaintenanceId(uuid::Uuid::from_u128(7));
    match standing {
        0 => host.standing = Standing::Cordoned { reason: "fan".to_owned(), since: NOON },
        1 => host.standing = Standing::Draining { maintenance, since: NOON },
        _ => {}
    }
    match oddity {
        0 => host.observed_at = NOON - Span::hours(1).delta(),
        1 => host.facts.cluster = "c2".to_owned(),
        2 => host.facts.cpu.model = "EPYC".to_owned(),
        3 => host.facts.cpu.usable_models = set(&["qemu64"]),
        4 => host.facts.shared_storage.clear(),
        5 => host.facts.libvirt_version = 10_000_000,
        6 => host.facts.machine_types.clear(),
        _ => {}
    }
}

#[derive(Debug, Clone)]
struct ServerChange {
    host: usize,
    /// Seen on this host as well.
    twin: Option<usize>,
    name: u8,
    memory: u64,
    vcpus: u32,
    oddity: u8,
    power: Power,
    owner: Option<&'static str>,
    apart: Vec<&'static str>,
    together: Vec<&'static str>,
    /// Where a place is held or decided, and how.
    settled: Option<(usize, u8)>,
}

fn server_change(hosts: usize) -> impl Strategy<Value = ServerChange> {
    let powers = vec![Power::Off, Power::Paused, Power::Held, Power::Arriving, Power::Crashed];
    let power = prop_oneof![8 => Just(Power::Running), 2 => select(powers)];
    let place = (0..hosts, weighted(0.05, 0..hosts), 0..40_u8);
    let size = (1..24_u64, 1..9_u32, 0..24_u8, power);
    let company = (
        weighted(0.8, select(vec!["acme", "globex"])),
        prop_oneof![3 => Just(vec![]), 1 => subsequence(vec!["db", "web"], 1..=2)],
        prop_oneof![3 => Just(vec![]), 1 => subsequence(vec!["shop", "mail", "blog"], 1..=2)],
    );
    let settled = weighted(0.25, (0..hosts, 0..5_u8));
    (place, size, company, settled).prop_map(
        |((host, twin, name), (memory, vcpus, oddity, power), (owner, apart, together), settled)| {
            ServerChange { host, twin, name, memory, vcpus, oddity, power, owner, apart, together, settled }
        },
    )
}

fn change_server(facts: &mut ServerFacts, change: &ServerChange) {
    facts.memory_bytes = gib(change.memory);
    facts.vcpus = change.vcpus;
    facts.power = change.power;
    facts.owner = change.owner.map(owner_id);
    facts.rules.anti_affinity = set(&change.apart);
    facts.rules.affinity = set(&change.together);
    match change.oddity {
        0 => facts.cpu = GuestCpu::HostPassthrough,
        1 => facts.cpu = GuestCpu::Default,
        2 => facts.disks.push(local_disk("sda", "/isos/install.iso")),
        3 => facts.disks.iter_mut().for_each(|disk| disk.reach = Reach::Empty),
        4 => facts.definition = Definition::Transient,
        5 => facts.rules.live_migration = Some(Allowance::Forbidden),
        6 => facts.blockers.push(Blocker::BlockJob { disk: "vda".to_owned() }),
        7 => facts.blockers.push(Blocker::Snapshots { count: 1 }),
        8 => facts.blockers.push(Blocker::HostDevice { device: "usb 1d6b:0002".to_owned() }),
        _ => {}
    }
}

fn world() -> impl Strategy<Value = World> {
    (2..8_usize).prop_flat_map(|count| {
        let host = (8..96_u64, 2..24_u32, 0..12_u8, 0..40_u8, 0..2_u8);
        let files = ["", "[placement]\nvcpu_overcommit = 1.0\n", "[placement]\nsame_labels = [\"rack\"]\n"];
        let parts = (
            vec(host, count),
            vec(server_change(count), 0..30),
            subsequence((0..count).collect::<Vec<_>>(), 1..=count),
            select(files.to_vec()),
        );
        parts.prop_map(move |(hosts, servers, emptied, file)| build(&hosts, &servers, &emptied, file))
    })
}

fn build(hosts: &[HostChange], servers: &[ServerChange], emptied: &[usize], file: &str) -> World {
    let names = host_names(hosts.len());
    let mut sample = Sample::new();
    for (name, change) in names.iter().zip(hosts) {
        sample = sample.host(name, |host| change_host(host, *change));
    }
    for change in servers {
        let name = format!("s{}", change.name);
        sample = sample.server(&names[change.host], &name, |facts| change_server(facts, change));
    }
    let mut fleet = sample.fleet();
    let mut kept = BTreeMap::new();
    let mut reservations = Vec::new();
    let policies = policies_with(file);
    for (change, n) in servers.iter().zip(1..) {
        let id = server_id(n);
        if let Some(twin) = change.twin {
            let there = host_name(&names[twin]);
            let mut facts = fleet.server(id).expect("just added").facts.clone();
            facts.power = Power::Off;
            let server = Server { host: there.clone(), facts, observed_at: NOON };
            fleet.sightings.entry(there).or_default().entry(id).or_insert(server);
        }
        let Some((to, how)) = change.settled.filter(|(to, _)| *to != change.host) else { continue };
        let to = host_name(&names[to]);
        let server = fleet.seen(&host_name(&names[change.host]), id).expect("just added");
        if how != 1 {
            reservations.push(Reservation::for_server(server, &to, &policies, &fleet));
        }
        match how {
            0 => drop(kept.insert(id, Kept::UnderWay { to, reboot: None })),
            1 | 2 => drop(kept.insert(id, Kept::Decided { to: Some(to), reboot: None, why: None })),
            3 => {
                let reboot = Some(WhyNotLive::OwnerAskedForReboot);
                kept.insert(id, Kept::Decided { to: Some(to), reboot, why: None });
            }
            _ => {}
        }
    }
    let emptying = emptied.iter().map(|index| host_name(&names[*index])).collect();
    World { fleet, policies, emptying, reservations, kept }
}

/// The world after a plan was taken over: its places are held, its decisions are kept.
fn after(world: &World, plan: &drover_policies::plan::Plan) -> World {
    let mut next = world.clone();
    for planned in plan.servers() {
        if matches!(next.kept.get(&planned.server), Some(Kept::UnderWay { .. })) {
            continue;
        }
        // What is held for a server that is blocked just now goes on to be held.
        if matches!(planned.decision, Decision::Blocked { .. }) {
            continue;
        }
        next.reservations.retain(|place| place.server != planned.server);
        next.reservations.extend(planned.place.clone());
        let (to, reboot) = (planned.decision.to().cloned(), planned.decision.why_not_live().cloned());
        next.kept.insert(planned.server, Kept::Decided { to, reboot, why: None });
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_check_finds_nothing_in_any_plan(world in world()) {
        let history = BTreeMap::new();
        let input = world.input(&history);
        let (made, report) = plan(&input);
        prop_assert_eq!(check(&input, &made), []);
        prop_assert_eq!(report.live + report.reboot + report.off + report.blocked + report.no_place, made.servers().count());
        prop_assert!(text(&made, &report).ends_with('\n'));
    }

    #[test]
    fn planning_again_with_the_outcome_of_a_plan_changes_nothing(world in world()) {
        let history = BTreeMap::new();
        let (made, _) = plan(&world.input(&history));
        let next = after(&world, &made);
        let (again, _) = plan(&next.input(&history));
        let difference = difference(&made, &again);
        prop_assert!(difference.is_empty(), "{}", difference);
    }

    #[test]
    fn the_order_of_reservations_makes_no_difference(world in world()) {
        let history = BTreeMap::new();
        let mut turned = world.clone();
        turned.reservations.reverse();
        prop_assert_eq!(plan(&world.input(&history)), plan(&turned.input(&history)));
    }

    #[test]
    fn a_server_has_no_place_only_if_no_host_has_one_at_the_end(world in world()) {
        use drover_policies::placement::Room;

        let history = BTreeMap::new();
        let (made, _) = plan(&world.input(&history));
        let next = after(&world, &made);
        let room = Room::new(&next.fleet, &next.reservations, &next.policies, NOON).emptying(&next.emptying);
        for planned in made.servers() {
            let Decision::NoPlace { not_live: None, .. } = &planned.decision else { continue };
            let server = next.fleet.seen(&planned.from, planned.server).expect("planned from there");
            if server.facts.rules.affinity.is_empty() {
                prop_assert!(room.find(server, &BTreeMap::new()).is_err(), "{} has a place", planned.name);
            }
        }
    }
}
