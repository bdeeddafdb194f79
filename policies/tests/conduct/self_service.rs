use drover_policies::appointment::{self, Appointment};
use drover_policies::attempt::{FailureClass, Report};
use drover_policies::conduct::{AskedRefusal, Back, Intent, Request, ask, cancel, revert};
use drover_policies::host::Standing;
use drover_policies::ids::{MaintenanceId, MigrationId};
use drover_policies::maintenance::{State as MaintenanceState, Urgency};
use drover_policies::migration::{Loss, Migration, Refusal, State, Waiting};
use drover_policies::notices::{Actor, Tells, WhyGivenUp};
use drover_policies::samples::{Sample, gib, host_name, owner_id, server_id};
use drover_policies::self_service::{self, Earlier};
use drover_policies::time::{Instant, Span};

use crate::story::Story;

fn owner() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

fn operator() -> Actor {
    Actor::Operator { name: "olga".to_owned() }
}

/// Three hosts, one server, and nobody who wants anything.
fn story() -> Story {
    Story::new(Sample::new().hosts(&["h1", "h2", "h3"]).server("h1", "db", |_| {}).fleet(), "")
}

fn wish(by: Actor, at: Option<Instant>) -> Request {
    Request { server: server_id(1), by, at, reason: "asked for by its owner".to_owned(), earlier: Vec::new() }
}

fn hours(story: &Story, hours: u64) -> Option<Instant> {
    Some(story.now + Span::hours(hours).delta())
}

fn asks(story: &mut Story, by: Actor, at: Option<Instant>) -> Result<MigrationId, AskedRefusal> {
    let opened = story.question(|situation| ask(situation, &wish(by, at)))?;
    story.accept(opened.changes);
    Ok(opened.migration.id)
}

fn goes_back(story: &mut Story, at: Option<Instant>) -> Result<MigrationId, AskedRefusal> {
    let back = Back { migration: original(story).id, by: owner(), at, loss: Loss::None };
    let opened = story.question(|situation| revert(situation, &back))?.expect("it is not over");
    story.accept(opened.changes);
    Ok(opened.migration.id)
}

fn takes_back(story: &mut Story, id: MigrationId, by: &Actor) -> Result<(), Refusal> {
    let changes = story.question(|situation| cancel(situation, id, by))?.expect("it is not over");
    story.accept(changes);
    Ok(())
}

fn original(story: &Story) -> &Migration {
    story.migrations.iter().find(|migration| migration.number == 1001).expect("the first")
}

fn by_id(story: &Story, id: MigrationId) -> &Migration {
    story.migrations.iter().find(|migration| migration.id == id).expect("it is known")
}

/// Moved at its owner's wish from h1 to another host.
fn moved() -> Story {
    let mut story = story();
    asks(&mut story, owner(), None).expect("it goes");
    story.moves("db");
    assert_eq!(story.state("db"), "completed");
    story
}

fn discard_order(story: &Story) -> (String, bool) {
    let order = story.orders.values().find(|order| matches!(order.intent, Intent::Discard { .. }));
    let order = order.expect("something is thrown away");
    let known = matches!(&order.intent, Intent::Discard { kept_by: Some(_), .. });
    (order.host.to_string(), known)
}

#[test]
fn what_is_asked_for_has_its_place_and_its_ticket_at_once_and_begins_at_its_time() {
    let mut story = story();
    let at = hours(&story, 30);
    asks(&mut story, owner(), at).expect("granted");
    let migration = story.migration("db");
    assert_eq!(migration.state, State::Ready { waits_for: Waiting::Owner { until: at.expect("set") } });
    assert!(migration.place.is_some() && migration.ticket.is_some());
    assert_ne!(migration.to(), Some(&host_name("h1")));
    assert_eq!(story.told(), ["requested"]);
    story.wait(Span::hours(6));
    assert_eq!(story.told(), ["requested", "reminder"], "reminders as for any appointment");
    story.wait(Span::hours(24));
    assert_eq!(story.state("db"), "cutting_over");
    story.moves("db");
    let Some((_, Tells::Done { confirm_until: Some(until), .. })) = story.told.last() else {
        panic!("it is told until when it can be reverted: {:?}", story.told());
    };
    assert_eq!(*until, story.now + Span::hours(24).delta());
}

#[test]
fn the_rules_of_a_new_time_hold_and_are_told() {
    let mut story = story();
    let too_soon = Some(story.now + Span::minutes(59).delta());
    let refused = asks(&mut story, owner(), too_soon).expect_err("59 minutes");
    assert!(matches!(refused, AskedRefusal::Time(appointment::Refusal::TooSoon { .. })), "{refused}");
    let too_late = hours(&story, 31 * 24);
    let refused = asks(&mut story, owner(), too_late).expect_err("31 days");
    assert!(matches!(refused, AskedRefusal::Time(appointment::Refusal::AfterDeadline { .. })), "{refused}");
    let at = hours(&story, 2);
    asks(&mut story, owner(), at).expect("granted");
    let again = asks(&mut story, owner(), None).expect_err("once is enough");
    assert_eq!(again, AskedRefusal::UnderWay { number: 1001 });
}

#[test]
fn a_taken_time_is_refused_with_free_ones() {
    let fleet =
        Sample::new().hosts(&["h1", "h2"]).server("h1", "db", |_| {}).server("h1", "web", |_| {}).fleet();
    let mut story = Story::new(fleet, "[limits]\nreboots_per_host = 1\n");
    let at = hours(&story, 2);
    asks(&mut story, owner(), at).expect("the first");
    let other = Request { server: server_id(2), ..wish(owner(), at) };
    let refused = story.question(|situation| ask(situation, &other)).expect_err("both hosts are busy then");
    let AskedRefusal::Time(appointment::Refusal::Taken { free, .. }) = refused else { panic!("{refused}") };
    assert!(!free.is_empty());
}

#[test]
fn without_room_anywhere_nothing_is_promised_and_no_host_is_named_to_its_owner() {
    let fleet = Sample::new().hosts(&["h1"]).server("h1", "db", |_| {});
    let fleet = fleet.host("h2", |host| host.facts.memory_bytes = gib(1)).fleet();
    let mut story = Story::new(fleet, "");
    let refused = asks(&mut story, owner(), None).expect_err("h2 is too small");
    assert!(refused.to_string().contains("h2"), "{refused}");
    assert!(!refused.for_owner().contains("h2"), "{}", refused.for_owner());
    assert!(story.migrations.is_empty());
}

#[test]
fn an_owner_is_limited_and_an_operator_is_not() {
    let story = story();
    let earlier = vec![Earlier { server: server_id(1), at: story.now }; 3];
    let often = Request { earlier, ..wish(owner(), None) };
    let refused = story.question(|situation| ask(situation, &often)).expect_err("the fourth today");
    assert!(matches!(refused, AskedRefusal::TooOften(self_service::Refusal::OfServer { most: 3, .. })));
    let theirs = Request { by: operator(), ..often };
    story.question(|situation| ask(situation, &theirs)).expect("operators are not counted");
}

#[test]
fn what_is_switched_off_is_refused_to_owners() {
    let fleet = Sample::new().hosts(&["h1", "h2"]).server("h1", "db", |_| {}).fleet();
    let mut story = Story::new(fleet, "[owners]\nself_service = false\n");
    let refused = asks(&mut story, owner(), None).expect_err("switched off");
    assert_eq!(refused, AskedRefusal::TooOften(self_service::Refusal::SwitchedOff));
}

#[test]
fn its_owner_takes_back_what_he_asked_for_but_not_what_operators_did() {
    let mut story = story();
    let at = hours(&story, 5);
    let id = asks(&mut story, owner(), at).expect("granted");
    takes_back(&mut story, id, &owner()).expect("it is his");
    assert_eq!(story.state("db"), "cancelled");
    assert_eq!(story.told(), ["requested", "given_up"]);
    let id = asks(&mut story, operator(), at).expect("granted");
    assert_eq!(takes_back(&mut story, id, &owner()), Err(Refusal::AskedByOthers));
    takes_back(&mut story, id, &operator()).expect("operators may");
}

#[test]
fn what_has_begun_is_not_taken_back() {
    let mut story = story();
    let id = asks(&mut story, owner(), None).expect("granted");
    assert_eq!(story.state("db"), "cutting_over");
    let refused = takes_back(&mut story, id, &owner());
    assert_eq!(refused, Err(Refusal::NotCancelled { state: "cutting_over" }));
}

#[test]
fn a_maintenance_adopts_what_was_asked_for_and_gives_it_back_when_it_is_cancelled() {
    let mut story = story();
    let at = hours(&story, 30);
    let id = asks(&mut story, owner(), at).expect("granted");
    let maintenance = story.drain(&["h1"], Urgency::Normal);
    let migration = by_id(&story, id);
    assert_eq!(story.migrations.len(), 1, "it is not doubled");
    assert_eq!(migration.maintenance, Some(maintenance));
    assert_eq!(migration.deadline, story.maintenances[&maintenance].deadline);
    assert_eq!(migration.appointment.slot().map(|slot| slot.start), at, "the time stays his");
    assert_eq!(story.told(), ["requested", "needed"]);
    assert_eq!(takes_back(&mut story, id, &owner()), Err(Refusal::Needed));
    let at = story.now;
    change(&mut story, maintenance, MaintenanceState::Cancelled { at, by: operator() });
    let migration = by_id(&story, id);
    assert_eq!(migration.maintenance, None);
    assert_eq!(migration.reason, "asked for by its owner");
    takes_back(&mut story, id, &owner()).expect("it is his again");
}

fn change(story: &mut Story, id: MaintenanceId, state: MaintenanceState) {
    story.maintenances.get_mut(&id).expect("known").state = state;
    story.look();
}

#[test]
fn a_pause_does_not_put_off_what_its_owner_asked_for() {
    let mut story = story();
    let at = hours(&story, 30);
    asks(&mut story, owner(), at).expect("granted");
    let maintenance = story.drain(&["h1"], Urgency::Normal);
    let since = story.now;
    change(&mut story, maintenance, MaintenanceState::Paused { since, by: operator() });
    story.wait(Span::hours(30));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn a_chosen_time_after_the_deadline_of_the_maintenance_is_asked_for_anew() {
    let mut story = story();
    let at = hours(&story, 12 * 24);
    asks(&mut story, owner(), at).expect("granted");
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!(story.told(), ["requested", "proposed"]);
    let migration = story.migration("db");
    let slot = migration.appointment.slot().expect("another time");
    assert!(slot.end <= migration.deadline);
}

#[test]
fn a_server_that_is_off_is_moved_at_the_chosen_time_and_not_before() {
    let mut story = story();
    let at = hours(&story, 3);
    asks(&mut story, owner(), at).expect("granted");
    story.change("h1", "db", |facts| facts.power = drover_policies::fleet::Power::Off);
    assert_eq!(story.state("db"), "ready");
    story.wait(Span::hours(3));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn what_could_not_be_done_in_time_is_given_up() {
    let mut story = story();
    let at = hours(&story, 2);
    asks(&mut story, owner(), at).expect("granted");
    // No other host takes anything from now on.
    for host in ["h2", "h3"] {
        let since = story.now;
        let known = story.fleet.hosts.get_mut(&host_name(host)).expect("known");
        known.standing = Standing::Cordoned { reason: "flaky".to_owned(), since };
    }
    story.look();
    story.wait(Span::hours(4));
    assert_eq!(story.told(), ["requested", "missed"], "one message is enough");
    assert_eq!(story.state("db"), "ready");
    story.wait(Span::days(31));
    assert_eq!(story.state("db"), "cancelled");
    assert_eq!(
        story.told.last().map(|(_, tells)| tells),
        Some(&Tells::GivenUp { why: WhyGivenUp::OutOfTime })
    );
}

#[test]
fn nobody_s_word_confirms_when_the_time_is_over_and_the_definition_goes() {
    let mut story = moved();
    story.wait(Span::hours(23));
    assert_eq!(story.state("db"), "completed");
    story.wait(Span::hours(1));
    assert_eq!(story.state("db"), "discarding");
    assert_eq!(discard_order(&story), ("h1".to_owned(), true));
    assert_eq!(story.told().last(), Some(&"done"), "nobody is written to about it");
    story.report("db", Report::Discarded);
    assert_eq!(story.state("db"), "closed");
    let refused = original(&story).revertible(Span::hours(24), story.now);
    assert_eq!(refused, Err(Refusal::IsClosed));
}

#[test]
fn a_revert_goes_back_to_the_old_host_and_to_no_other() {
    let mut story = moved();
    goes_back(&mut story, None).expect("h1 has room");
    assert_eq!(original(&story).state.name(), "reverting");
    let back = story.migration("db");
    assert_eq!(back.to(), Some(&host_name("h1")));
    assert_eq!(back.ticket, original(&story).ticket, "one thread");
    assert_eq!(back.ticket_number(), "DR-1001");
    story.moves("db");
    assert_eq!(story.told(), ["started", "done", "started", "reverted"]);
    assert_eq!(original(&story).state.name(), "discarding", "what h1 kept is stale");
    for order in story.orders.values().map(|order| order.id).collect::<Vec<_>>() {
        story.reports.insert(order, Report::Discarded);
    }
    story.look();
    assert_eq!(original(&story).state.name(), "reverted");
    assert_eq!(story.migration("db").state.name(), "closed", "a revert needs no confirmation");
    assert_eq!(original(&story).reverted_by().map(|by| by.number), Some(1002));
    assert_eq!(story.migration("db").reverts().map(|of| of.number), Some(1001));
}

#[test]
fn a_revert_at_a_time_waits_for_it_and_keeps_within_what_is_kept() {
    let mut story = moved();
    let too_late = hours(&story, 8 * 24);
    let refused = goes_back(&mut story, too_late).expect_err("kept for a week");
    assert!(matches!(refused, AskedRefusal::Time(appointment::Refusal::AfterDeadline { .. })), "{refused}");
    let at = hours(&story, 40);
    goes_back(&mut story, at).expect("granted");
    assert_eq!(story.told().last(), Some(&"reverting"));
    story.wait(Span::hours(30));
    assert_eq!(original(&story).state.name(), "reverting", "its time to confirm does not run out meanwhile");
    story.wait(Span::hours(10));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn a_revert_that_is_taken_back_leaves_the_server_where_it_is_to_be_confirmed() {
    let mut story = moved();
    let at = hours(&story, 2);
    let id = goes_back(&mut story, at).expect("granted");
    takes_back(&mut story, id, &owner()).expect("it is his");
    assert_eq!(original(&story).state.name(), "completed");
    story.wait(Span::hours(24));
    assert_eq!(original(&story).state.name(), "discarding");
}

#[test]
fn a_revert_that_makes_no_sense_is_refused_with_the_reason() {
    let mut story = moved();
    let id = goes_back(&mut story, None).expect("granted");
    let twice = goes_back(&mut story, None).expect_err("two at once");
    assert_eq!(twice, AskedRefusal::State(Refusal::BeingReverted { by: 1002 }));
    story.moves("db");
    let back = Back { migration: id, by: owner(), at: None, loss: Loss::None };
    let refused = story.question(|situation| revert(situation, &back)).expect_err("a revert of a revert");
    assert_eq!(refused, AskedRefusal::State(Refusal::IsRevert));
    let again = goes_back(&mut story, None).expect_err("it was reverted");
    assert_eq!(again, AskedRefusal::State(Refusal::WasReverted { by: 1002 }));
}

#[test]
fn a_revert_after_a_confirmation_is_refused() {
    let mut story = moved();
    let confirmed = original(&story).clone().confirm(owner()).expect("it is done");
    let drover_policies::migration::Confirmed::Now(confirmed) = confirmed else { panic!("the first time") };
    story.migrations = vec![*confirmed];
    let refused = goes_back(&mut story, None).expect_err("confirmed");
    assert!(matches!(refused, AskedRefusal::State(Refusal::WasConfirmed { .. })), "{refused}");
    story.look();
    assert_eq!(story.state("db"), "discarding", "and what is kept goes at once");
}

#[test]
fn a_revert_to_a_host_that_takes_nothing_says_what_else_would_do() {
    let mut story = moved();
    let maintenance = story.drain(&["h1"], Urgency::Normal);
    let refused = goes_back(&mut story, None).expect_err("h1 is being emptied");
    let AskedRefusal::NotThere { other, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*other, drover_policies::conduct::Other::Could, "h3 could take it");
    assert!(!refused.for_owner().contains("h1"), "{}", refused.for_owner());
    let at = story.now;
    change(&mut story, maintenance, MaintenanceState::Cancelled { at, by: operator() });
    goes_back(&mut story, None).expect("h1 is open again");
}

#[test]
fn a_revert_of_what_is_about_to_leave_its_new_host_anyway_is_refused() {
    let mut story = moved();
    let host = story.fleet.server(server_id(1)).expect("seen").host.to_string();
    story.drain(&[host.as_str()], Urgency::Normal);
    let refused = goes_back(&mut story, None).expect_err("it leaves already");
    assert_eq!(refused, AskedRefusal::UnderWay { number: 1002 });
}

#[test]
fn a_host_that_closes_before_the_time_of_a_revert_is_waited_for_and_no_other_is_taken() {
    let mut story = moved();
    let at = hours(&story, 4);
    goes_back(&mut story, at).expect("granted");
    story.drain(&["h1"], Urgency::Normal);
    assert!(matches!(story.migration("db").state, State::Ready { waits_for: Waiting::Place { .. } }));
    story.wait(Span::hours(5));
    assert_eq!(story.told().last(), Some(&"missed"));
    story.wait(Span::days(8));
    assert_eq!(story.state("db"), "cancelled", "what is kept at the old host is kept no longer");
    assert_ne!(original(&story).state.name(), "reverting");
}

#[test]
fn a_revert_that_fails_is_told_and_tried_again_at_the_same_host() {
    let mut story = moved();
    goes_back(&mut story, None).expect("granted");
    story.fails("db", FailureClass::TargetDidNotBoot);
    let back = story.migration("db");
    assert!(matches!(back.appointment, Appointment::Proposed { .. }), "{:?}", back.appointment);
    assert_eq!(story.told().last(), Some(&"rolled_back"));
    let wait = Span::between(story.now, back.appointment.slot().expect("a time").start);
    story.wait(wait);
    assert_eq!(story.migration("db").to(), Some(&host_name("h1")));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn a_server_that_was_not_seen_alive_may_go_back_or_be_confirmed() {
    let mut story = story();
    asks(&mut story, owner(), None).expect("granted");
    story.leaves("db");
    let ended = drover_policies::attempt::Outcome::Moved(crate::story::moved(None));
    story.report("db", Report::ended(ended));
    story.report("db", Report::NotAlive("its console is silent".to_owned()));
    assert_eq!(story.state("db"), "failed");
    goes_back(&mut story, None).expect("that is what reverts are for");
    story.moves("db");
    assert_eq!(original(&story).state.name(), "discarding");
    assert_eq!(story.told().last(), Some(&"reverted"));
}

#[test]
fn a_roll_back_without_another_time_is_told_once() {
    let fleet = Sample::new().hosts(&["h1", "h2"]).server("h1", "db", |facts| {
        facts.rules.live_migration = Some(drover_policies::fleet::Allowance::Forbidden);
    });
    let mut story = Story::new(fleet.fleet(), "");
    let id = story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    // The deadline comes so soon after it that no other time is left.
    story.maintenances.get_mut(&id).expect("known").deadline = slot.end;
    for migration in &mut story.migrations {
        migration.deadline = slot.end;
    }
    let wait = Span::between(story.now, slot.start);
    story.wait(wait);
    story.fails("db", FailureClass::TargetDidNotBoot);
    assert_eq!(story.told().last(), Some(&"rolled_back"));
    assert!(!story.told().contains(&"no_slot"), "{:?}", story.told());
    assert!(matches!(story.migration("db").state, State::Ready { waits_for: Waiting::Slot { .. } }));
    story.wait(Span::hours(1));
    assert!(!story.told().contains(&"no_slot"));
}
