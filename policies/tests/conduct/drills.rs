use std::collections::{BTreeMap, BTreeSet};

use drover_policies::conduct::{Situation, decline, free_slots, slot_at};
use drover_policies::drills::DrillWish;
use drover_policies::fleet::Allowance;
use drover_policies::ids::MigrationId;
use drover_policies::maintenance::Urgency;
use drover_policies::migration::{Migration, Purpose};
use drover_policies::notices::{Actor, Tells, WhyGivenUp, Wisher};
use drover_policies::samples::{Sample, owner_id, server_id};
use drover_policies::time::Span;

use crate::story::Story;

fn owner() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

/// Two hosts, and one server that can't go live.
fn story() -> Story {
    let forbids = |facts: &mut drover_policies::fleet::ServerFacts| {
        facts.rules.live_migration = Some(Allowance::Forbidden);
    };
    Story::new(Sample::new().hosts(&["h1", "h2"]).server("h1", "db", forbids).fleet(), "")
}

/// A drill of db in a quarter of an hour, for five minutes, announced.
fn with_drill() -> Story {
    let mut story = story();
    let wish = DrillWish {
        by: owner(),
        starts_in: Span::minutes(15),
        duration: Span::minutes(5),
        reason: "an exercise".to_owned(),
        now: story.now,
    };
    let server = story.fleet.server(server_id(1)).expect("db");
    let drill = wish.drill(MigrationId::draw(&story.ids), 1001, server);
    story.migrations.push(drill);
    story.look();
    story
}

fn drill(story: &Story) -> &Migration {
    story.migrations.iter().find(|migration| migration.is_drill()).expect("the drill")
}

fn ask<T>(story: &Story, question: impl FnOnce(Situation<'_>) -> T) -> T {
    let (told, history) = (story.told.iter().map(|(key, _)| key.clone()).collect(), BTreeMap::new());
    question(Situation {
        now: story.now,
        ids: &story.ids,
        next_number: 1002,
        fleet: &story.fleet,
        policies: &story.policies,
        owners: &story.owners_rules(),
        maintenances: Vec::new(),
        migrations: story.migrations.iter().collect(),
        replicas: Vec::new(),
        imports: Vec::new(),
        patient: &story.fleet.hosts.keys().cloned().collect(),
        checking: &BTreeSet::new(),
        blueprints: &BTreeMap::new(),
        reports: &story.reports,
        wishes: &story.wishes,
        told: &told,
        history: &history,
    })
}

#[test]
fn a_drill_goes_by_the_clock_and_gives_no_order() {
    let mut story = with_drill();
    let before = story.fleet.clone();
    assert_eq!((drill(&story).state.name(), story.told()), ("ready", vec!["proposed"]));
    story.wait(Span::minutes(8));
    assert_eq!(
        story.told(),
        ["proposed", "reminder"],
        "it is too near for policy's reminders, so it has one halfway"
    );
    story.wait(Span::minutes(7));
    assert_eq!(drill(&story).state.name(), "rehearsing");
    story.wait(Span::minutes(4));
    assert_eq!(drill(&story).state.name(), "rehearsing");
    story.wait(Span::minutes(1));
    assert_eq!(drill(&story).state.name(), "rehearsed");
    assert_eq!(story.told(), ["proposed", "reminder", "started", "done"]);
    assert!(story.orders.is_empty());
    assert_eq!(story.fleet.sightings.keys().collect::<Vec<_>>(), before.sightings.keys().collect::<Vec<_>>());
    story.wait(Span::days(40));
    assert_eq!(story.told().len(), 4, "and that was all");
}

#[test]
fn a_drill_that_is_far_ahead_reminds_as_a_move_would() {
    let mut story = with_drill();
    let slot = drill(&story).appointment.slot().expect("a time");
    let start = slot.start + Span::hours(30).delta();
    let later =
        ask(&story, |situation| slot_at(situation, drill(&story).id, start)).expect("free").expect("known");
    let migration = story.migrations.iter_mut().find(|migration| migration.is_drill()).expect("the drill");
    migration.appointment =
        drover_policies::appointment::Appointment::Rescheduled { slot: later, by: owner() };
    story.look();
    for _ in 0..30 {
        story.wait(Span::hours(1));
    }
    story.wait(Span::minutes(15));
    story.wait(Span::minutes(5));
    assert_eq!(story.told(), ["proposed", "reminder", "reminder", "started", "done"]);
}

#[test]
fn a_drill_can_be_started_at_once() {
    let mut story = with_drill();
    let now = story.now;
    let migration = story.migrations.iter_mut().find(|migration| migration.is_drill()).expect("the drill");
    migration.appointment = migration.appointment.clone().start_now(owner(), now).expect("it waits");
    story.look();
    assert_eq!(story.told(), ["proposed", "started"]);
    story.wait(Span::minutes(5));
    assert_eq!(story.told(), ["proposed", "started", "done"]);
}

#[test]
fn a_drill_is_its_owners_to_end_and_declining_it_ends_it() {
    let story = with_drill();
    let ended = drill(&story).clone().cancel(Wisher::Owner, story.now).expect("it is his");
    assert_eq!(ended.state.name(), "cancelled");
    let id = drill(&story).id;
    let changes =
        ask(&story, |situation| decline(situation, id, owner())).expect("it may").expect("it is known");
    assert_eq!(changes.migrations[0].state.name(), "cancelled");
    assert_eq!(changes.notices[0].tells, Tells::GivenUp { why: WhyGivenUp::Cancelled { by: owner() } });
}

#[test]
fn a_drill_gives_way_when_its_server_is_to_be_moved_for_real() {
    let mut story = with_drill();
    let mut without = self::story();
    for story in [&mut story, &mut without] {
        story.drain(&["h1"], Urgency::Normal);
    }
    assert_eq!(drill(&story).state.name(), "cancelled");
    assert!(story.told.iter().any(|(_, tells)| *tells == Tells::GivenUp { why: WhyGivenUp::ForReal }));
    // The real one is the same as if there had been no drill.
    let real = |story: &Story| {
        let migration =
            story.migrations.iter().find(|migration| !migration.is_drill()).expect("the real one");
        (migration.state.clone(), migration.appointment.clone(), migration.place.clone())
    };
    assert_eq!(real(&story), real(&without));
}

#[test]
fn a_drill_takes_no_time_that_a_move_could_have() {
    let mut story = with_drill();
    let drill = drill(&story).clone();
    let slot = drill.appointment.slot().expect("a time");
    let id = MigrationId(uuid::Uuid::from_u128(99));
    let other = Migration { id, number: 1002, purpose: Purpose::Move, ..drill.clone() };
    assert!(
        !ask(&story, |situation| free_slots(situation, drill.id, 3)).is_empty(),
        "other times are offered"
    );
    story.migrations.push(other.clone());
    let free = ask(&story, |situation| slot_at(situation, other.id, slot.start));
    assert_eq!(free.map(|free| free.map(|free| free.start)), Ok(Some(slot.start)));
}

#[test]
fn a_drill_whose_time_passed_while_nobody_looked_ends_instead_of_beginning_late() {
    let mut story = with_drill();
    story.wait(Span::minutes(21));
    assert_eq!(drill(&story).state.name(), "cancelled");
    assert_eq!(story.told(), ["proposed", "given_up"]);
    let mut begun = with_drill();
    begun.wait(Span::minutes(17));
    begun.wait(Span::hours(5));
    assert_eq!(begun.told(), ["proposed", "started", "done"], "one that had begun comes to its end");
}

#[test]
fn a_drill_of_a_server_that_is_deleted_is_over() {
    let mut story = with_drill();
    story.fleet.sightings.clear();
    story.look();
    assert_eq!((drill(&story).state.name(), story.told()), ("avoided", vec!["proposed", "avoided"]));
}
