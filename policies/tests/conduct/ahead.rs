//! What a maintenance over many hosts would do with every server, before it begins.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::conduct::{Ahead, PlannedAhead, ahead_of};
use drover_policies::fleet::{Allowance, ServerFacts};
use drover_policies::ids::{HostName, MaintenanceId};
use drover_policies::maintenance::{Because, Hint, InPart, Kind, Terms, Which};
use drover_policies::plan::Decision;
use drover_policies::samples::host_name;
use drover_policies::time::Span;

use crate::rolling::{NAMES, at_once, operator, six};
use crate::story::Story;

fn ahead(story: &Story, id: MaintenanceId) -> Ahead {
    story.question(|situation| ahead_of(situation, &story.maintenances[&id]))
}

fn to(one: &PlannedAhead) -> &str {
    one.planned.decision.to().map_or("", |to| to.as_str())
}

#[test]
fn every_server_of_a_draft_has_its_place_time_and_reason() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&NAMES, Kind::Patch, at_once(2));
    let ahead = ahead(&story, id);
    assert_eq!(ahead.waves, story.maintenances[&id].rolling.waves.ahead);
    let wave_of: BTreeMap<&str, u32> = ahead
        .waves
        .iter()
        .flat_map(|wave| wave.hosts.iter().map(|host| (host.as_str(), wave.number)))
        .collect();
    let servers: BTreeSet<&str> = ahead.servers.iter().map(|one| one.planned.name.as_str()).collect();
    assert_eq!(servers.len(), 18, "each is there");
    for one in &ahead.servers {
        let (from, why) = (one.planned.from.as_str(), &one.planned.place_why);
        assert_eq!(one.wave, wave_of[from], "{one:?}");
        assert!(one.when.is_some() && one.planned.expected.is_some(), "{one:?}");
        let turn = wave_of[to(one)];
        if turn < one.wave {
            assert!(why.contains(&format!("was emptied in wave {turn}, so this is its only move")), "{why}");
        } else {
            assert!(why.contains(&format!("from there it moves on in wave {turn}")), "{why}");
            let again = ahead.servers.iter().filter(|other| other.planned.server == one.planned.server);
            assert!(again.count() > 1, "{one:?}");
        }
    }
    let effort = ahead.effort;
    assert_eq!(effort.moves, ahead.servers.len());
    assert!((18..=effort.moves).contains(&effort.least_moves), "{effort:?}");
    let time = effort.time.expect("times");
    assert!(Span::ZERO < time.least && time.least <= time.expected && time.expected <= time.p90, "{time:?}");
    let last = ahead.servers.iter().filter_map(|one| one.when).map(|when| when.begins.0 + when.lasts.0).max();
    assert_eq!(last, Some(time.expected.0), "the plan ends with its last move");
}

#[test]
fn clusters_go_side_by_side_and_no_host_is_used_by_more_at_once_than_its_terms_allow() {
    let two = six().host("g1", |host| host.facts.cluster = "c2".to_owned());
    let two = two.host("g2", |host| host.facts.cluster = "c2".to_owned());
    let two = two.server("g1", "g1-1", |_| {});
    let mut story = Story::new(two.fleet(), "");
    let one_out = Terms { live_out_per_host: std::num::NonZeroU32::new(1), ..Terms::default() };
    let id = story.draft(&["h1", "g1"], Kind::Drain, one_out);
    let ahead = ahead(&story, id);
    assert_eq!(ahead.effort.moves, 4);
    assert_eq!(ahead.effort.least_moves, 4, "every server once");
    let begins = |name: &str| {
        let one = ahead.servers.iter().find(|one| one.planned.name == name).expect(name);
        (one.when.expect("a time").begins, to(one).to_owned())
    };
    assert_eq!(begins("g1-1"), (Span::ZERO, "g2".to_owned()));
    let of_h1: BTreeSet<Span> = ["h1-1", "h1-2", "h1-3"].map(|name| begins(name).0).into();
    assert_eq!(of_h1.len(), 3, "one after the other: {of_h1:?}");
}

#[test]
fn a_host_that_waits_for_an_owner_is_planned_onto_hosts_that_are_done_by_then() {
    let mut story = Story::new(six().fleet(), "");
    story.change("h3", "h3-1", |facts| facts.rules.live_migration = Some(Allowance::Forbidden));
    let id = story.draft(&NAMES, Kind::Patch, Terms::default());
    let ahead = ahead(&story, id);
    let wave = ahead.waves.last().expect("waves");
    assert_eq!((&wave.because, &wave.hosts[..]), (&Because::Owners { servers: 1 }, &[host_name("h3")][..]));
    let of_h3: Vec<&PlannedAhead> = ahead
        .servers
        .iter()
        .filter(|one| one.planned.from == host_name("h3") && one.wave == wave.number)
        .collect();
    assert_eq!(of_h3.len(), 3);
    for one in of_h3 {
        assert!(one.planned.place_why.contains("so this is its only move"), "{one:?}");
        let rebooted = matches!(one.planned.decision, Decision::Reboot { .. });
        assert_eq!(rebooted, one.planned.name == "h3-1");
        assert_eq!(one.when.is_none(), rebooted, "its owner's time says when: {one:?}");
    }
}

#[test]
fn what_can_not_be_moved_is_named_and_what_has_no_place_yet_has_none() {
    let mut story = Story::new(six().fleet(), "");
    story.change("h6", "h6-2", |facts| facts.power = drover_policies::fleet::Power::Crashed);
    let id = story.draft(&NAMES, Kind::Patch, Terms::default());
    let ahead = ahead(&story, id);
    let of = |name: &str| ahead.servers.iter().find(|one| one.planned.name == name).expect(name);
    assert!(matches!(of("h6-2").planned.decision, Decision::Blocked { .. }));
    assert!(matches!(of("h6-1").planned.decision, Decision::NoPlace { .. }) && of("h6-1").when.is_none());
    assert!(of("h1-1").when.is_some(), "the others are planned all the same");
}

#[test]
fn an_order_against_the_room_leaves_places_to_the_turns() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&NAMES, Kind::Patch, at_once(1));
    let before = ahead(&story, id);
    // Whoever comes first by room is wished last.
    let first = before.waves[0].hosts[0].clone();
    let others = NAMES.iter().filter(|name| **name != first.as_str());
    let hint = |name: &&str| Hint { hosts: Which::Host(first.clone()), after: Which::Host(host_name(name)) };
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&NAMES, Kind::Patch, Terms { hints: others.map(hint).collect(), ..at_once(1) });
    let ahead = ahead(&story, id);
    assert_eq!(ahead.servers.len(), 18);
    let planned = ahead.servers.iter().filter(|one| one.when.is_some()).count();
    assert!(planned == 0 || planned == ahead.effort.moves, "all of it, or nothing: {planned}");
}

#[test]
fn once_hosts_have_begun_the_others_have_places_in_the_order_that_stands() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.patch(&NAMES, at_once(2));
    story.until_hooks();
    let begun = story.in_work(id);
    assert!(!begun.is_empty(), "some are worked on");
    let ahead = ahead(&story, id);
    let stands = &story.maintenances[&id].rolling.waves.ahead;
    assert_eq!(&ahead.waves, stands);
    let wave_of = |host: &str| stands.iter().find(|wave| wave.hosts.contains(&host_name(host)));
    for one in &ahead.servers {
        assert_eq!(Some(one.wave), wave_of(one.planned.from.as_str()).map(|wave| wave.number), "{one:?}");
        assert!(one.when.is_some() && !one.planned.place_why.is_empty(), "{one:?}");
    }
    let onto_begun = ahead.servers.iter().filter(|one| begun.iter().any(|host| host == to(one))).count();
    assert!(onto_begun > 0, "those that are worked on are counted on: {:?}", ahead.servers);
    assert!(
        ahead.effort.moves >= ahead.effort.least_moves && ahead.effort.least_moves > 0,
        "{:?}",
        ahead.effort
    );
}

#[test]
fn nobody_is_planned_onto_a_host_that_stays_empty() {
    let free = six().hosts(&["s1", "s2", "s3"]);
    for kind in [Kind::Drain, Kind::Decommission] {
        let mut story = Story::new(free.clone().fleet(), "");
        let id = story.draft(&["h1", "h2", "h3"], kind, at_once(1));
        let emptied = ["h1", "h2", "h3"];
        let before = ahead(&story, id);
        assert_eq!(before.servers.len(), 9, "{kind}: {:?}", before.servers);
        story.approve(id);
        story.until_hooks();
        let then = ahead(&story, id);
        for one in before.servers.iter().chain(&then.servers) {
            assert!(one.when.is_some() && !emptied.contains(&to(one)), "{kind}: {one:?}");
        }
    }
}

#[test]
fn once_hosts_have_begun_servers_of_hosts_of_which_nobody_knows_when_they_are_empty_have_no_places() {
    let needs = |facts: &mut ServerFacts| facts.resources.extend([("gpu".to_owned(), 1)]);
    let fleet = six().host("h4", |host| host.facts.resources.extend([("gpu".to_owned(), 1)]));
    let mut story = Story::new(fleet.server("h4", "gpu-1", needs).fleet(), "");
    story.change("h6", "h6-2", |facts| facts.power = drover_policies::fleet::Power::Crashed);
    let id = story.draft(&NAMES, Kind::Patch, at_once(1));
    let now = story.now;
    story.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("the rest can be done"));
    story.until_hooks();
    // Nothing is heard of one that has not begun.
    let begun = story.in_work(id);
    let silent = ["h1", "h2", "h3", "h5"].into_iter().find(|host| !begun.contains(&(*host).to_owned()));
    let silent = host_name(silent.expect("one"));
    story.now += Span::minutes(30).delta();
    for host in story.fleet.hosts.values_mut().filter(|host| host.name != silent) {
        host.observed_at = story.now;
    }
    story.look();

    let ahead = ahead(&story, id);
    assert_eq!(ahead.waves, story.maintenances[&id].rolling.waves.ahead);
    let because = |host: &HostName| {
        let wave = ahead.waves.iter().find(|wave| wave.hosts.contains(host));
        &wave.expect("its turn is yet to come").because
    };
    assert!(matches!(because(&host_name("h4")), Because::NoRoom { .. }), "{:?}", ahead.waves);
    assert!(matches!(because(&host_name("h6")), Because::Blocked { .. }), "{:?}", ahead.waves);
    assert_eq!(because(&silent), &Because::Silent);
    let unknown = [host_name("h4"), host_name("h6"), silent];
    let (without, with): (Vec<&PlannedAhead>, Vec<&PlannedAhead>) =
        ahead.servers.iter().partition(|one| unknown.contains(&one.planned.from));
    let there: usize = unknown.iter().map(|host| story.fleet.on(host).count()).sum();
    assert_eq!(without.len(), there, "each is listed: {without:?}");
    assert!(without.iter().all(|one| to(one).is_empty() && one.when.is_none()), "{without:?}");
    assert!(!with.is_empty());
    for one in with {
        assert!(one.when.is_some(), "{one:?}");
        let goes_on = one.planned.decision.to().is_some_and(|to| !unknown.contains(to));
        assert!(goes_on, "nobody is planned onto one of them: {one:?}");
    }
}
