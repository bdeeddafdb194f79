//! What a maintenance keeps to, in its plan and in what is promised: not only when somebody is about to begin.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use drover_policies::conduct::why_not_yet;
use drover_policies::fleet::{Allowance, Power, Server, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::maintenance::{Hooks, InPart, Kind, Maintenance, Terms};
use drover_policies::migration::Waiting;
use drover_policies::samples::{Sample, gib, host_name, set};
use drover_policies::time::Span;
use drover_policies::windows::Slot;

use crate::rolling::{NAMES, at_once, operator, six};
use crate::story::Story;

fn one() -> Option<NonZeroU32> {
    NonZeroU32::new(1)
}

fn forbids(facts: &mut ServerFacts) {
    facts.rules.live_migration = Some(Allowance::Forbidden);
}

/// Two servers of one owner that have to be rebooted, on two hosts that are emptied at once.
fn two_of_one_owner(terms: Terms) -> Story {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3", "h4"])
        .server("h1", "db-1", forbids)
        .server("h2", "db-2", forbids)
        .fleet();
    let mut story = Story::new(fleet, "[windows]\nslot_step = \"1h\"\n");
    story.patch(&["h1", "h2"], Terms { hooks: Hooks::None, ..terms });
    story
}

fn times(story: &Story) -> [Slot; 2] {
    ["db-1", "db-2"].map(|server| story.migration(server).appointment.slot().expect("a time"))
}

#[test]
fn times_are_promised_so_that_its_limit_for_an_owner_lets_them_begin() {
    let [first, second] = times(&two_of_one_owner(Terms::default()));
    assert!(first.overlaps(second), "nothing else keeps them apart: {first:?} {second:?}");
    let story = two_of_one_owner(Terms { per_owner: one(), ..Terms::default() });
    let [first, second] = times(&story);
    assert!(!first.overlaps(second), "both are promised at once: {first:?} {second:?}");
}

#[test]
fn where_its_limit_for_an_owner_leaves_no_time_that_limit_is_named() {
    let terms = Terms { per_owner: one(), hooks: Hooks::None, ..Terms::default() };
    let [first, second] = times(&two_of_one_owner(terms.clone()));
    let earlier = if first.start < second.start { first } else { second };
    let fleet = two_of_one_owner(terms.clone()).fleet;
    let mut story = Story::new(fleet, "[windows]\nslot_step = \"1h\"\n");
    story.fleet.hosts.values_mut().for_each(|host| host.standing = Standing::Open);
    let id = story.draft(&["h1", "h2"], Kind::Patch, terms);
    // Time for one of them, and not for the other after it.
    story.wish(id, |it| Maintenance { deadline: earlier.end + Span::minutes(30).delta(), ..it });
    story.approve(id);
    let waits: Vec<&str> = story
        .migrations
        .iter()
        .filter_map(|migration| match migration.state.waits_for() {
            Some(Waiting::Slot { why }) => Some(why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(waits.len(), 1, "{}", story.log.join("\n"));
    assert!(waits[0].contains("per_owner of 2 in its maintenance"), "{}", waits[0]);
}

/// The waves of a plan: hosts by name.
fn waves(story: &Story) -> BTreeMap<u32, Vec<String>> {
    let mut waves: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for maintenance in story.maintenances.values() {
        for wave in &maintenance.rolling.waves.ahead {
            waves.entry(wave.number).or_default().extend(wave.hosts.iter().map(ToString::to_string));
        }
    }
    waves
}

#[test]
fn no_wave_has_more_hosts_of_one_label_than_may_be_in_work() {
    let one = one().expect("it is not zero");
    let terms = |at_once| Terms {
        per: [("rack".to_owned(), one)].into(),
        hosts_at_once: NonZeroU32::new(at_once),
        ..Terms::default()
    };
    let spare = six().host("spare", |host| host.facts.memory_bytes = gib(256)).fleet();
    for (at_once, most) in [(2, 3), (3, 2), (6, 2)] {
        let mut story = Story::new(spare.clone(), "");
        story.draft(&NAMES, Kind::Patch, terms(at_once));
        let waves = waves(&story);
        for hosts in waves.values() {
            let racks: BTreeSet<&String> =
                hosts.iter().map(|host| &story.fleet.hosts[&host_name(host)].facts.labels["rack"]).collect();
            assert_eq!(racks.len(), hosts.len(), "two of one rack: {waves:?}");
            assert!(hosts.len() <= at_once as usize, "{waves:?}");
        }
        assert_eq!(waves.values().map(Vec::len).sum::<usize>(), 6);
        assert_eq!(waves.len(), most, "more waves than it takes: {waves:?}");
    }
}

#[test]
fn clusters_share_the_hosts_at_once_and_each_keeps_its_own_order() {
    let names = ["a1", "a2", "a3", "b1", "b2", "b3"];
    let fill = |sample: Sample, name: &str| {
        sample.host(name, |host| host.facts.cluster = name[..1].to_owned()).server(
            name,
            &format!("of-{name}"),
            |facts| facts.memory_bytes = gib(8),
        )
    };
    let fleet = names.into_iter().fold(Sample::new(), fill).fleet();
    let mut story = Story::new(fleet, "");
    story.draft(&names, Kind::Patch, at_once(1));
    let alone = waves(&story);
    assert!(alone.values().all(|hosts| hosts.len() == 1) && alone.len() == 6, "{alone:?}");
    let together = Terms { hosts_at_once: NonZeroU32::new(4), per_cluster: one(), ..Terms::default() };
    let mut story = Story::new(story.fleet, "");
    story.draft(&names, Kind::Patch, together);
    let waves = waves(&story);
    for hosts in waves.values() {
        let clusters: BTreeSet<&str> = hosts.iter().map(|host| &host[..1]).collect();
        assert_eq!(clusters.len(), hosts.len(), "two of one cluster: {waves:?}");
    }
    assert_eq!(waves.len(), 3, "{waves:?}");
}

/// Refused for what is in the way.
fn in_the_way(story: &Story) -> String {
    let maintenance = story.maintenances.values().next().expect("one").clone();
    maintenance.approve(operator(), InPart::Refused, story.now).expect_err("in part").to_string()
}

#[test]
fn servers_that_can_be_nowhere_together_and_may_not_part_are_an_obstacle() {
    let torn = |facts: &mut ServerFacts| {
        facts.rules.affinity = set(&["shop"]);
        facts.rules.anti_affinity = set(&["db"]);
    };
    let fleet = six().server("h1", "db-1", torn).server("h1", "db-2", torn).fleet();
    let mut story = Story::new(fleet, "");
    story.draft(&NAMES, Kind::Patch, at_once(2));
    let refused = in_the_way(&story);
    assert!(refused.contains("h1: db-1 can't leave: db-1 and db-2 are to stay together"), "{refused}");
    assert!(
        refused.contains("affinity group shop") && refused.contains("anti-affinity group db"),
        "{refused}"
    );
}

/// The server on h1 has room on another host only if something else makes way there.
fn needs_others_to_make_way() -> Story {
    let gib_of = |size: u64| move |facts: &mut ServerFacts| facts.memory_bytes = gib(size);
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "large", gib_of(40))
        .server("h2", "a", gib_of(20))
        .server("h2", "b", gib_of(14))
        .server("h3", "c", gib_of(20))
        .server("h3", "d", gib_of(14))
        .fleet();
    Story::new(fleet, "")
}

#[test]
fn a_host_for_which_others_would_have_to_make_way_is_an_obstacle_that_says_who() {
    let mut story = needs_others_to_make_way();
    let id = story.draft(&["h1"], Kind::Drain, Terms::default());
    let refused = in_the_way(&story);
    assert!(refused.contains("large of h1 finds no place: "), "{refused}");
    assert!(refused.contains("of memory more would be needed on h"), "{refused}");
    assert!(
        ["b from h2 to h3", "d from h3 to h2"]
            .iter()
            .any(|way| refused.contains(&format!("moving {way} first"))),
        "{refused}"
    );
    assert!(refused.contains("1 more host like h1") && refused.contains("leaving out h1"), "{refused}");
    let (now, host) = (story.now, host_name("h1"));
    story.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("what can be done"));
    assert!(
        story.migrations.is_empty() && story.logged("large of h1 finds no place"),
        "{}",
        story.log.join("\n")
    );
    let why = story.question(|situation| why_not_yet(situation, id, &host)).join("\n");
    assert!(
        why.contains("large of h1 finds no place") && why.contains("first, which nobody does by itself"),
        "{why}"
    );

    // Somebody does it.
    let moved =
        ["b", "d"].into_iter().find(|name| refused.contains(&format!("moving {name} from"))).expect("one");
    let (from, to) = if moved == "b" { ("h2", "h3") } else { ("h3", "h2") };
    let servers = story.fleet.on(&host_name(from)).find(|server| server.facts.name == moved).cloned();
    let server = servers.expect("it is there");
    story.fleet.sightings.leaves(&host_name(from), server.facts.id);
    story.fleet.sightings.see(Server { host: host_name(to), ..server });
    story.look();
    assert_eq!(story.migration("large").from, host);
}

#[test]
fn everything_in_the_way_is_named_before_it_is_approved() {
    let held = |facts: &mut ServerFacts| facts.power = Power::Held;
    let names: Vec<String> = (1..=12).map(|n| format!("h{n:02}")).collect();
    let fill = |sample: Sample, name: &String| {
        sample.host(name, |_| {}).server(name, &format!("stuck-{name}"), held)
    };
    let mut story = Story::new(names.iter().fold(Sample::new(), fill).fleet(), "");
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    story.draft(&hosts, Kind::Patch, Terms::default());
    let refused = in_the_way(&story);
    for name in &names[..8] {
        assert!(refused.contains(&format!("{name}: stuck-{name} can't leave")), "{refused}");
        assert!(refused.contains(&format!("drover explain stuck-{name}")), "{refused}");
    }
    assert!(refused.contains("and 4 more hosts") && !refused.contains("stuck-h09"), "{refused}");
}

#[test]
fn whoever_leaves_a_host_whose_turn_has_come_knows_why_he_goes_there() {
    let mut story = Story::new(six().host("spare", |host| host.facts.memory_bytes = gib(256)).fleet(), "");
    story.patch(&["h1"], at_once(1));
    for server in ["h1-1", "h1-2", "h1-3"] {
        let why = &story.migration(server).place_why;
        assert!(why.starts_with("evens out best; "), "{why}");
        assert!(why.contains("% memory") && why.contains("used there in the end"), "{why}");
    }
    // It is still the reason when somebody else's servers are planned.
    let before = story.migration("h1-1").place_why.clone();
    story.wait(Span::minutes(1));
    assert_eq!(story.migration("h1-1").place_why, before);
}
