//! Hosts that are evened out, one migration at a time.

use std::num::NonZeroU32;

use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Allowance, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::maintenance::{Kind, Refusal, State, Terms, Urgency};
use drover_policies::packing::Reboots;
use drover_policies::samples::{Sample, gib, host_name};

use crate::rolling::moves_of;
use crate::story::Story;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// Hosts of 64 GiB: five servers of 8 GiB on the first, one on the second, none on the third.
fn uneven() -> Sample {
    let hosts = HOSTS.iter().fold(Sample::new(), |sample, name| sample.host(name, |_| {}));
    let eight = |facts: &mut ServerFacts| facts.memory_bytes = gib(8);
    let first = (1..=5).fold(hosts, |sample, n| sample.server("h1", &format!("s{n}"), eight));
    first.server("h2", "t1", eight)
}

fn within(points: u32) -> Terms {
    Terms { within: NonZeroU32::new(points), ..Terms::default() }
}

#[test]
fn a_rebalance_is_shown_approved_and_carried_out_and_cordons_nobody() {
    let mut story = Story::new(uneven().fleet(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(15));
    let balance = story.maintenances[&id].rolling.balance.clone();
    assert_eq!(story.maintenances[&id].state, State::Planned);
    assert!(!balance.shifts.is_empty() && balance.uneven.is_empty(), "{balance:?}");
    assert!(story.migrations.is_empty(), "nobody has approved it");
    story.approve(id);
    let planned = balance.shifts.len();
    for _ in 0..planned {
        let moving = story.migrations.iter().find(|migration| migration.is_moving());
        let server = moving.expect("one after the other moves").server_name.clone();
        assert!(story.fleet.hosts.values().all(|host| host.standing == Standing::Open));
        story.moves(&server);
    }
    story.look();
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    assert!(moves_of(&story).values().all(|moves| *moves == 1));
    assert_eq!(moves_of(&story).len(), planned);
}

#[test]
fn a_plan_that_waits_for_approval_follows_the_world() {
    let mut story = Story::new(uneven().fleet(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(15));
    let before = story.maintenances[&id].rolling.balance.clone();
    let there = story.fleet.sightings.get_mut(&host_name("h1")).expect("it has servers");
    there.retain(|_, server| !["s1", "s2", "s3"].contains(&server.facts.name.as_str()));
    story.look();
    let after = story.maintenances[&id].rolling.balance.clone();
    assert_ne!(before, after);
    assert!(story.logged("planned anew"), "{}", story.log.join("\n"));
    assert!(after.shifts.iter().all(|shift| !["s1", "s2", "s3"].contains(&shift.name.as_str())));
}

#[test]
fn a_server_that_fails_to_go_live_stays_and_another_goes() {
    let mut story = Story::new(uneven().fleet(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(20));
    story.approve(id);
    let first = story.migrations.iter().find(|it| it.is_moving()).expect("one moves").server_name.clone();
    for _ in 0..5 {
        if !story.migration(&first).is_open() {
            break;
        }
        story.fails(&first, FailureClass::NotConverging);
        story.wait(drover_policies::time::Span::minutes(10));
    }
    assert_eq!(story.state(&first), "cancelled", "{}", story.log.join("\n"));
    while let Some(next) = story.migrations.iter().find(|it| it.is_moving()) {
        let name = next.server_name.clone();
        story.moves(&name);
    }
    story.look();
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    assert!(story.told().is_empty(), "no owner hears of it: {:?}", story.told());
    assert!(moves_of(&story).values().all(|moves| *moves == 1), "{:?}", moves_of(&story));
}

#[test]
fn nobody_is_rebooted_for_evenness_unless_that_is_asked_for() {
    let forbid = |facts: &mut ServerFacts| facts.rules.live_migration = Some(Allowance::Forbidden);
    let hosts = HOSTS.iter().fold(Sample::new(), |sample, name| sample.host(name, |_| {}));
    let sample = (1..=5).fold(hosts, |sample, n| {
        sample.server("h1", &format!("s{n}"), |facts| {
            facts.memory_bytes = gib(8);
            forbid(facts);
        })
    });
    let mut story = Story::new(sample.fleet(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(15));
    let balance = &story.maintenances[&id].rolling.balance;
    assert!(balance.shifts.is_empty() && !balance.uneven.is_empty(), "{balance:?}");
    let with_reboots = Terms { reboots: Reboots::Agreed, ..within(15) };
    let mut story = Story::new(story.fleet.clone(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, with_reboots);
    assert!(!story.maintenances[&id].rolling.balance.shifts.is_empty());
    story.approve(id);
    assert!(story.told().contains(&"proposed"), "its owner is asked: {:?}", story.told());
}

#[test]
fn a_host_that_is_drained_meanwhile_is_left_to_that() {
    let mut story = Story::new(uneven().fleet(), "[limits]\nlive_out_per_host = 1\n");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(15));
    story.approve(id);
    let drain = story.drain(&["h1"], Urgency::Normal);
    story.look();
    let of = |id| story.migrations.iter().filter(move |it| it.maintenance == Some(id) && it.is_open());
    assert!(of(id).all(|migration| migration.is_moving()), "what moves comes to its end: {:?}", story.log);
    assert_eq!(of(id).count() + of(drain).count(), 5, "every server has one migration");
}

#[test]
fn it_is_never_an_emergency() {
    let mut story = Story::new(uneven().fleet(), "");
    let id = story.draft(&HOSTS, Kind::Rebalance, within(15));
    story.approve(id);
    let refused = story.maintenances[&id].clone().declare_emergency("smoke".to_owned());
    assert_eq!(refused, Err(Refusal::NotUrgent { number: 1 }));
}

#[test]
fn what_was_to_go_to_a_host_that_is_closed_meanwhile_is_planned_anew() {
    let fleet = uneven().host("h4", |_| {}).fleet();
    let mut story = Story::new(fleet, "[limits]\nlive_out_per_host = 1\n");
    let id = story.draft(&["h1", "h2", "h3", "h4"], Kind::Rebalance, within(10));
    story.approve(id);
    let waits =
        story.migrations.iter().find(|it| it.is_open() && !it.is_moving()).expect("one waits for its turn");
    let (server, closed) = (waits.server_name.clone(), waits.to().expect("a place").clone());
    let known = story.fleet.hosts.get_mut(&closed).expect("a known host");
    known.standing = Standing::Cordoned { reason: "its memory fails".to_owned(), since: story.now };
    story.look();
    assert_eq!(story.state(&server), "cancelled", "{}", story.log.join("\n"));
    story.wait(drover_policies::time::Span::seconds(1));
    while let Some(next) = story.migrations.iter().find(|it| it.is_moving()) {
        let name = next.server_name.clone();
        story.moves(&name);
    }
    story.look();
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }), "{}", story.log.join("\n"));
    let there = |host: &str| story.fleet.on(&host_name(host)).count();
    assert!(there("h1") <= 3, "h1 has given to the others: {}", story.log.join("\n"));
}
