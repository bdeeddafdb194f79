//! Hosts that stay empty when they have been emptied, where there is no room for the servers of all.

use std::collections::BTreeSet;

use drover_policies::conduct::{ahead_of, why_not_yet};
use drover_policies::fleet::{Allowance, ServerFacts};
use drover_policies::ids::MaintenanceId;
use drover_policies::maintenance::{Because, InPart, Kind, Stage, State, Terms};
use drover_policies::samples::{Sample, gib, host_name};

use crate::rolling::{at_once, moves_of, operator, six};
use crate::story::Story;

const KINDS: [Kind; 2] = [Kind::Drain, Kind::Decommission];

/// Four hosts that are full, each with three servers of 20 GiB, and one with room for three such.
fn four_and_one() -> Sample {
    let full = |sample: Sample, name: &&str| {
        let servers = |sample: Sample, n: u32| {
            sample.server(name, &format!("{name}-{n}"), |facts| facts.memory_bytes = gib(20))
        };
        (1..=3).fold(sample.host(name, |_| {}), servers)
    };
    ["h1", "h2", "h3", "h4"].iter().fold(Sample::new().hosts(&["spare"]), full)
}

impl Story {
    fn waves(&self, id: MaintenanceId) -> Vec<(Vec<&str>, &Because)> {
        let waves = self.maintenances[&id].rolling.waves.ahead.iter();
        waves.map(|wave| (wave.hosts.iter().map(|host| host.as_str()).collect(), &wave.because)).collect()
    }

    fn in_part(&mut self, id: MaintenanceId) {
        let now = self.now;
        self.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("the rest can be done"));
    }
}

#[test]
fn of_those_that_do_not_fit_together_as_many_are_emptied_as_do_and_the_others_lack_room() {
    for kind in KINDS {
        let mut story = Story::new(four_and_one().fleet(), "");
        let id = story.draft(&["h1", "h2", "h3"], kind, Terms::default());
        let waves = story.waves(id);
        let hosts: Vec<&[&str]> = waves.iter().map(|(hosts, _)| &hosts[..]).collect();
        assert_eq!(hosts, [["h1"], ["h2"], ["h3"]], "{kind}: {waves:?}");
        assert_eq!(waves[0].1, &Because::Room, "{kind}");
        for (hosts, because) in &waves[1..] {
            let said = because.to_string();
            assert!(matches!(because, Because::NoRoom { .. }), "{kind}: {said}");
            let begins = format!("no room: when h1 has been emptied, {}-", hosts[0]);
            assert!(said.starts_with(&begins) && said.contains("of memory more would be needed"), "{said}");
            assert!(because.would_help("h2").contains("1 more host like"), "{because:?}");
        }

        let ahead = story.question(|situation| ahead_of(situation, &story.maintenances[&id]));
        assert_eq!(ahead.servers.len(), 9, "{kind}");
        for one in &ahead.servers {
            let expected = (one.planned.from == host_name("h1")).then(|| host_name("spare"));
            assert_eq!(one.planned.decision.to(), expected.as_ref(), "{kind}: {one:?}");
            assert_eq!(one.when.is_some(), expected.is_some(), "{kind}: {one:?}");
        }
        assert_eq!((ahead.effort.moves, ahead.effort.least_moves), (3, 3), "{kind}");
    }
}

#[test]
fn those_without_room_do_not_begin_and_no_server_moves_twice() {
    for kind in KINDS {
        let mut story = Story::new(four_and_one().fleet(), "");
        let id = story.draft(&["h1", "h2", "h3"], kind, Terms::default());
        let refused = story.maintenances[&id].clone().approve(operator(), InPart::Refused, story.now);
        assert!(refused.expect_err("in part").to_string().contains("when h1 has been emptied"));
        story.in_part(id);
        story.until_hooks();
        story.look();
        let moves = moves_of(&story);
        let moved: Vec<(&str, usize)> = moves.iter().map(|(name, moves)| (name.as_str(), *moves)).collect();
        assert_eq!(moved, [("h1-1", 1), ("h1-2", 1), ("h1-3", 1)], "{kind}");
        for host in ["h2", "h3"] {
            assert_eq!(*story.stage(id, host), Stage::Waiting, "{kind}");
            let why = story.question(|situation| why_not_yet(situation, id, &host_name(host))).join("\n");
            assert!(why.contains("finds no place"), "{kind}: {why}");
        }
        assert!(story.logged("no further host can begin"), "{kind}: {}", story.log.join("\n"));
    }
}

#[test]
fn where_there_is_no_room_at_all_nobody_begins_and_each_says_what_it_lacks() {
    let mut story = Story::new(six().fleet(), "");
    let names = ["h1", "h2", "h3", "h4", "h5", "h6"];
    let id = story.draft(&names, Kind::Drain, at_once(2));
    let waves = story.waves(id);
    assert_eq!(waves.len(), 6, "{waves:?}");
    for (hosts, because) in waves {
        let said = because.to_string();
        assert!(said.contains(&format!(" of {} finds no place", hosts[0])), "{said}");
        assert!(!said.contains("has been emptied"), "nobody is: {said}");
    }
    story.in_part(id);
    story.until_hooks();
    assert!(story.migrations.is_empty(), "none is put where it must not stay");
}

#[test]
fn a_host_that_comes_back_to_those_who_can_be_used_makes_room() {
    let mut story = Story::new(four_and_one().fleet(), "");
    let id = story.draft(&["h1", "h2"], Kind::Drain, Terms::default());
    story.in_part(id);
    story.until_hooks();
    assert_eq!(*story.stage(id, "h2"), Stage::Waiting);
    // A host is added.
    let more = Sample::new().hosts(&["more"]).fleet();
    let host = more.hosts.values().next().expect("one").clone();
    story.fleet.hosts.insert(host.name.clone(), host);
    story.look();
    story.until_hooks();
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    assert!(moves_of(&story).values().all(|moves| *moves == 1), "{:?}", moves_of(&story));
}

#[test]
fn a_host_that_is_left_out_takes_servers_like_any_other() {
    let sample = ["h1", "h2", "h3"].iter().fold(Sample::new(), |sample, name| {
        sample.host(name, |_| {}).server(name, &format!("of-{name}"), |facts| facts.memory_bytes = gib(24))
    });
    let mut story = Story::new(sample.fleet(), "");
    let id = story.draft(&["h1", "h2", "h3"], Kind::Drain, Terms::default());
    assert!(story.waves(id).iter().all(|(_, because)| because.is_obstacle()), "{:?}", story.waves(id));
    story.in_part(id);
    let (now, host) = (story.now, host_name("h3"));
    story.wish(id, |it| it.skip_host(&host, operator(), now).expect("it can be left out"));
    story.until_hooks();
    assert_eq!(story.migration("of-h1").to(), Some(&host));
    assert_eq!(*story.stage(id, "h2"), Stage::Waiting, "{}", story.log.join("\n"));
}

#[test]
fn hosts_that_wait_for_their_owners_have_places_as_far_as_there_is_room() {
    let forbids = |facts: &mut ServerFacts| facts.rules.live_migration = Some(Allowance::Forbidden);
    let mut story = Story::new(four_and_one().fleet(), "");
    for host in ["h1", "h2"] {
        story.change(host, &format!("{host}-1"), forbids);
    }
    let id = story.draft(&["h1", "h2"], Kind::Drain, Terms::default());
    let ahead = story.question(|situation| ahead_of(situation, &story.maintenances[&id]));
    let to: BTreeSet<_> = ahead.servers.iter().filter_map(|one| one.planned.decision.to()).collect();
    assert_eq!(to, BTreeSet::from([&host_name("spare")]));
    let placed = ahead.servers.iter().filter(|one| one.planned.decision.to().is_some());
    let from: BTreeSet<_> = placed.map(|one| one.planned.from.as_str()).collect();
    assert_eq!(from, BTreeSet::from(["h1"]), "all of one host, and nobody of the other");
}

#[test]
fn no_more_begin_at_once_than_may_when_room_comes_for_several() {
    // Hosts of 64 GiB; nobody fits beside `big` until it goes elsewhere.
    let with = |sample: Sample, name: &&str| {
        sample.host(name, |_| {}).server(name, &format!("of-{name}"), |facts| facts.memory_bytes = gib(12))
    };
    let sample = Sample::new().hosts(&["spare"]).server("spare", "big", |facts| facts.memory_bytes = gib(56));
    let sample = sample.host("far", |host| host.facts.cluster = "c2".to_owned());
    let mut story = Story::new(["h1", "h2", "h3"].iter().fold(sample, with).fleet(), "");
    let id = story.draft(&["h1", "h2", "h3"], Kind::Drain, at_once(1));
    assert!(story.waves(id).iter().all(|(_, because)| because.is_obstacle()), "{:?}", story.waves(id));
    story.in_part(id);
    assert!(story.migrations.is_empty());
    let big = story.fleet.on(&host_name("spare")).next().cloned().expect("it is there");
    story.fleet.sightings.leaves(&host_name("spare"), big.facts.id);
    story.fleet.sightings.see(drover_policies::fleet::Server { host: host_name("far"), ..big });
    story.look();
    let begun = story.maintenances[&id].hosts_at(|stage| *stage != Stage::Waiting).count();
    assert_eq!(begun, 1, "{}", story.log.join("\n"));
}
