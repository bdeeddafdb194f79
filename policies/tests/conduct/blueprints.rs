//! Servers that are to look otherwise after a move.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use drover_policies::attempt::{FailureClass, Report};
use drover_policies::blueprint::{Blueprint, Boot, DiskShape};
use drover_policies::conduct::{Back, Intent, Request, Shape, ask, revert};
use drover_policies::fleet::{LocalStorage, Plug};
use drover_policies::host::Standing;
use drover_policies::maintenance::Urgency;
use drover_policies::migration::{Loss, State, Waiting};
use drover_policies::notices::Actor;
use drover_policies::replica::{Base, ImageFormat};
use drover_policies::samples::{Sample, gib, host_name, owner_id, server_id};

use crate::replicas;
use crate::story::Story;

fn owner() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

fn larger() -> Blueprint {
    Blueprint { memory_bytes: Some(gib(8)), vcpus: Some(4), ..Blueprint::default() }
}

fn onto(network: &str) -> Blueprint {
    Blueprint { networks: BTreeMap::from([("br0".to_owned(), network.to_owned())]), ..Blueprint::default() }
}

/// Hosts with a bridge each, and a server on h1 that is plugged into its.
fn story(blueprint: Blueprint) -> Story {
    let bridge = |name: &str| Some(BTreeSet::from([Plug::Bridge(name.to_owned())]));
    let sample = [("h1", "br0"), ("h2", "br2"), ("h3", "br3")].into_iter();
    let sample = sample.fold(Sample::new(), |sample, (host, own)| {
        sample.host(host, |known| known.facts.plugs = bridge(own))
    });
    let fleet = sample.server("h1", "db", |facts| facts.plugs = bridge("br0")).fleet();
    let mut story = Story::new(fleet, "");
    story.blueprints.insert(server_id(1), blueprint);
    story
}

/// Its owner has it rebooted elsewhere, now.
fn rebooted(story: &mut Story) {
    let reason = "asked for by its owner".to_owned();
    let request = Request { server: server_id(1), by: owner(), at: None, reason, earlier: Vec::new() };
    let opened = story.question(|situation| ask(situation, &request)).expect("granted");
    story.accept(opened.changes);
}

fn ordered(story: &Story) -> Shape {
    match story.order_for("db").intent {
        Intent::Reboot { shape, .. } => shape,
        other => panic!("no reboot: {other:?}"),
    }
}

#[test]
fn a_cutover_carries_the_blueprint_out_has_room_for_it_and_that_was_it() {
    let mut story = story(larger());
    rebooted(&mut story);
    assert_eq!(ordered(&story), Shape::Blueprint(larger()));
    let place = story.migration("db").place.clone().expect("a place");
    assert_eq!((place.memory_bytes, place.vcpus), (gib(8) + (256 << 20), 4));
    let summary = story.migration("db").ticket_summary().map(|ticket| ticket.blueprint);
    story.moves("db");
    assert_eq!(story.state("db"), "completed");
    assert!(story.blueprints.is_empty(), "the server is so now");
    assert!(summary.is_none_or(|told| told == larger()));
    assert!(
        story.log.iter().any(|line| line.ends_with("looks as its blueprint says: memory 8 GiB, 4 vCPUs"))
    );
}

#[test]
fn one_that_fails_or_is_changed_meanwhile_stays_for_the_next_launch() {
    let mut story = story(larger());
    rebooted(&mut story);
    story.fails("db", FailureClass::Aborted);
    assert_eq!(story.blueprints.get(&server_id(1)), Some(&larger()));

    let mut story = self::story(larger());
    rebooted(&mut story);
    story.blueprints.insert(server_id(1), onto("br2"));
    story.look();
    assert_eq!(ordered(&story), Shape::Blueprint(larger()), "what is ordered is ordered");
    story.moves("db");
    assert_eq!(story.blueprints.get(&server_id(1)), Some(&onto("br2")));
}

#[test]
fn who_goes_live_stays_as_he_is() {
    let mut story = story(larger());
    story.drain(&["h1"], Urgency::Normal);
    assert!(matches!(story.order_for("db").intent, Intent::Live { .. }));
    story.moves("db");
    assert_eq!(story.state("db"), "succeeded");
    assert_eq!(story.blueprints.get(&server_id(1)), Some(&larger()));
}

#[test]
fn it_goes_where_its_network_is_or_waits_and_says_for_what() {
    let mut story = story(onto("br3"));
    rebooted(&mut story);
    assert_eq!(story.migration("db").to(), Some(&host_name("h3")));

    let mut story = self::story(onto("br9"));
    story.change("h1", "db", |facts| facts.power = drover_policies::fleet::Power::Off);
    story.drain(&["h1"], Urgency::Normal);
    let Some(Waiting::Place { why }) = story.migration("db").state.waits_for().cloned() else {
        panic!("{:?}", story.migration("db").state);
    };
    assert!(why.contains("h2 has no bridge br9, which the server's blueprint wants"), "{why}");
    story.blueprints.clear();
    story.look();
    assert_eq!(story.state("db"), "cutting_over", "cleared, it goes");
    assert_eq!(ordered(&story), Shape::AsItIs);
}

#[test]
fn an_agent_that_can_t_do_it_is_not_asked_to() {
    let mut story = story(larger());
    let able =
        std::mem::take(&mut story.fleet.hosts.get_mut(&host_name("h1")).expect("known").facts.abilities);
    rebooted(&mut story);
    let Some(Waiting::Turn { limit }) = story.migration("db").state.waits_for() else {
        panic!("{:?}", story.migration("db").state);
    };
    assert!(limit.starts_with("the agent of h1 is too old"), "{limit}");
    story.fleet.hosts.get_mut(&host_name("h1")).expect("known").facts.abilities = able;
    story.look();
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn a_revert_brings_back_what_was_and_leaves_what_was_wished_since() {
    let mut story = story(larger());
    rebooted(&mut story);
    let operation = story.order_for("db").id;
    story.moves("db");
    let to = story.migration("db").to().cloned().expect("a place").to_string();
    story.change(&to, "db", |facts| (facts.memory_bytes, facts.vcpus) = (gib(8), 4));
    story.blueprints.insert(server_id(1), onto("br0"));
    let back = Back { migration: story.migration("db").id, by: owner(), at: None, loss: Loss::None };
    let opened = story.question(|situation| revert(situation, &back)).expect("granted").expect("not over");
    story.accept(opened.changes);
    assert_eq!(ordered(&story), Shape::Before(operation));
    let place = story.migration("db").place.clone().expect("a place");
    assert_eq!((place.memory_bytes, place.vcpus), (gib(2) + (256 << 20), 2), "what it needed there before");
    story.moves("db");
    assert!(matches!(story.migration("db").state, State::Completed { .. } | State::Discarding { .. }));
    assert_eq!(story.blueprints.get(&server_id(1)), Some(&onto("br0")));
    assert!(story.log.iter().any(|line| line.ends_with("looks as it did before")));
}

#[test]
fn one_that_is_left_off_is_asked_for_nothing() {
    let mut story = story(Blueprint { boot: Boot::Later, ..Blueprint::default() });
    story.checking = story.fleet.hosts.keys().cloned().collect();
    rebooted(&mut story);
    if let Some(before) =
        story.orders.values().find(|order| matches!(order.intent, Intent::LookBefore { .. }))
    {
        let id = before.id;
        let sign = "it runs".to_owned();
        story.reports.insert(id, drover_policies::attempt::Report::Alive { sign, looked: None });
        story.look();
    }
    story.leaves("db");
    let moved = crate::story::moved(Some(drover_policies::attempt::PowerOff::Acpi));
    story.report(
        "db",
        drover_policies::attempt::Report::ended(drover_policies::attempt::Outcome::Moved(moved)),
    );
    assert!(matches!(story.order_for("db").intent, Intent::Verify { look: None, .. }));
}

/// A local disk in another directory and format.
fn elsewhere(directory: &str) -> Blueprint {
    let shape = DiskShape { directory: Some(directory.into()), format: Some(ImageFormat::Raw) };
    Blueprint { disks: BTreeMap::from([("vda".to_owned(), shape)]), ..Blueprint::default() }
}

/// Hosts whose agents keep replicas, in a second directory too.
fn with_local_disks(blueprint: Blueprint) -> Story {
    let mut fleet = replicas::fleet();
    for host in fleet.hosts.values_mut() {
        let replication = host.facts.replication.as_mut().expect("they keep replicas");
        let fast = LocalStorage { path: "/srv/fast".into(), ..replication.directories[0].clone() };
        replication.directories.push(fast);
    }
    let mut story = Story::new(fleet, "");
    story.blueprints.insert(server_id(1), blueprint);
    story.drain(&["h1"], Urgency::Normal);
    story
}

#[test]
fn a_disk_is_copied_as_its_blueprint_wants_it_and_goes_back_as_it_was() {
    let mut story = with_local_disks(elsewhere("/srv/fast"));
    let copy = replicas::replica(&story).disks.remove(0);
    let (old, new) = (Path::new("/var/lib/libvirt/images/db.qcow2"), Path::new("/srv/fast/db.qcow2"));
    assert_eq!((copy.source.as_path(), copy.format), (old, ImageFormat::Qcow2));
    assert_eq!((copy.path.as_path(), copy.becomes), (new, Some(ImageFormat::Raw)));
    let there = copy.at_destination();
    assert_eq!((there.source.as_path(), there.format, there.becomes), (new, ImageFormat::Raw, None));
    let place = story.migration("db").place.clone().expect("a place");
    assert_eq!(place.disks.keys().collect::<Vec<_>>(), [new], "room is held where it comes to be");

    replicas::tell(&mut story, Report::Held);
    replicas::land(&mut story, 1);
    replicas::land(&mut story, 2);
    replicas::begin(&mut story);
    assert_eq!(ordered(&story), Shape::Blueprint(elsewhere("/srv/fast")));
    story.moves("db");
    assert!(story.blueprints.is_empty());
    let to = story.migration("db").to().cloned().expect("a place").to_string();
    story.change(&to, "db", |facts| {
        facts.disks[0].source = "/srv/fast/db.qcow2".to_owned();
        facts.disks[0].format = "raw".to_owned();
    });
    replicas::tell(&mut story, Report::Stopped);
    replicas::tell(&mut story, Report::Released);
    for host in story.fleet.hosts.values_mut() {
        host.standing = Standing::Open;
    }
    let back = Back { migration: story.migration("db").id, by: owner(), at: None, loss: Loss::None };
    let opened = story.question(|situation| revert(situation, &back)).expect("granted").expect("not over");
    story.accept(opened.changes);
    let copy = replicas::replica(&story);
    assert_eq!((copy.to.as_str(), copy.base), ("h1", Base::Retained));
    let disk = &copy.disks[0];
    assert_eq!(
        (disk.path.as_path(), disk.becomes),
        (old, Some(ImageFormat::Qcow2)),
        "what is retained there"
    );
}

#[test]
fn one_that_is_changed_has_the_disks_copied_anew_and_one_that_fits_nowhere_waits() {
    let mut story = with_local_disks(elsewhere("/srv/fast"));
    replicas::tell(&mut story, Report::Held);
    let first = replicas::replica(&story).id;
    story.blueprints.insert(server_id(1), elsewhere("/var/lib/libvirt/images/raw"));
    story.look();
    replicas::tell(&mut story, Report::Stopped);
    replicas::tell(&mut story, Report::Released);
    let anew = replicas::replica(&story);
    assert!(anew.id != first && anew.disks[0].path.starts_with("/var/lib/libvirt/images/raw"), "{anew:#?}");

    let story = with_local_disks(elsewhere("/srv/nowhere"));
    let Some(Waiting::Place { why }) = story.migration("db").state.waits_for().cloned() else {
        panic!("{:?}", story.migration("db").state);
    };
    assert!(why.contains("/srv/nowhere/db.qcow2"), "{why}");
}
