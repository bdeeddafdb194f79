//! What owners set, and what becomes of it: freezes, limits, times that are declined.

use chrono::NaiveDate;
use drover_policies::appointment::{Appointment, Refusal};
use drover_policies::conduct::{decline, free_slots, hindrances, slot_at};
use drover_policies::fleet::{Allowance, ServerFacts};
use drover_policies::maintenance::Urgency;
use drover_policies::migration::{State, Waiting};
use drover_policies::notices::{Actor, Tells};
use drover_policies::owners::{Closed, Opens, OwnerFreeze, OwnerLimit, OwnerWindow, Scope};
use drover_policies::samples::{Sample, host_name, owner_id};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{Exclusion, Recurrence, Slot};

use crate::story::Story;

/// One step is an hour, so that a few times are all there is.
const HOURLY: &str = "[windows]\nslot_step = \"1h\"\n";

fn forbids(facts: &mut ServerFacts) {
    facts.rules.live_migration = Some(Allowance::Forbidden);
}

fn labelled(facts: &mut ServerFacts) {
    forbids(facts);
    facts.labels.insert("role".to_owned(), "db".to_owned());
}

/// Two servers of acme on different hosts, so that only acme's own limits stand between their times.
fn story(policy: &str) -> Story {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3", "h4"])
        .server("h1", "db-1", labelled)
        .server("h2", "db-2", labelled)
        .fleet();
    Story::new(fleet, policy)
}

fn acme() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

fn slot(story: &Story, server: &str) -> Slot {
    story.migration(server).appointment.slot().expect("a time")
}

fn set_freeze(story: &mut Story, name: &str, from: Instant, to: Instant) {
    let (from, to) = (from.date_naive(), to.date_naive());
    let days = Exclusion { from, to, timezone: chrono_tz::UTC, name: name.to_owned() };
    story.freezes.push(OwnerFreeze {
        owner: owner_id("acme"),
        scope: Scope::Account,
        closed: Closed::Days { days },
    });
}

fn limit(scope: Scope, max_simultaneous: u32) -> OwnerLimit {
    OwnerLimit { owner: owner_id("acme"), scope, max_simultaneous }
}

fn role_db() -> Scope {
    Scope::Label { name: "role".to_owned(), value: "db".to_owned() }
}

fn says_no(story: &mut Story, server: &str) -> Result<(), Refusal> {
    let id = story.migration(server).id;
    let changes = story.question(|situation| decline(situation, id, acme()))?.expect("it waits for a time");
    story.accept(changes);
    Ok(())
}

fn wishes(story: &Story, server: &str, at: Instant) -> Result<Option<Slot>, Refusal> {
    let id = story.migration(server).id;
    story.question(|situation| slot_at(situation, id, at))
}

#[test]
fn a_proposed_time_that_is_frozen_afterwards_is_withdrawn_and_one_that_was_agreed_stands() {
    let mut story = story("");
    story.drain(&["h1", "h2"], Urgency::Normal);
    let (first, second) = (slot(&story, "db-1"), slot(&story, "db-2"));
    let agreed = story.migration("db-2").clone();
    let accepted = agreed.appointment.clone().accept(acme()).expect("it is proposed");
    story.migrations.retain(|known| known.id != agreed.id);
    story.migrations.push(drover_policies::migration::Migration { appointment: accepted.clone(), ..agreed });
    set_freeze(&mut story, "a launch", first.start, second.end);
    story.look();
    let next = slot(&story, "db-1");
    assert!(next.start.date_naive() > first.end.date_naive(), "{next:?}");
    assert_eq!(story.migration("db-2").appointment, accepted, "its owner has agreed to it");
    assert!(
        story.log.iter().any(|line| line.contains("is not kept: a freeze has been set for it (a launch)"))
    );
    assert_eq!(story.told(), ["proposed", "proposed", "proposed"]);
}

#[test]
fn no_more_than_allowed_are_proposed_chosen_or_begun_at_once() {
    let mut story = story("");
    story.limits = vec![limit(role_db(), 1)];
    story.drain(&["h1", "h2"], Urgency::Normal);
    let (first, second) = (slot(&story, "db-1"), slot(&story, "db-2"));
    assert!(!first.overlaps(second), "{first:?} {second:?}");
    let refused = wishes(&story, "db-2", first.start).expect_err("the other has it");
    let Refusal::Limit { most: 1, free, .. } = &refused else { panic!("{refused:?}") };
    assert!(wishes(&story, "db-2", free[0]).is_ok(), "what is offered is accepted");
    assert!(
        refused
            .to_string()
            .contains("no more than 1 of the owner's servers are rebooted at once (label role=db)")
    );

    let starts: Vec<_> = story
        .migrations
        .iter()
        .map(|migration| {
            let appointment = migration.appointment.clone().start_now(acme(), story.now).expect("it waits");
            drover_policies::migration::Migration { appointment, ..migration.clone() }
        })
        .collect();
    story.migrations = starts;
    story.look();
    assert_eq!((story.state("db-1"), story.state("db-2")), ("cutting_over", "ready"), "one after the other");
    let State::Ready { waits_for: Waiting::Turn { limit } } = &story.migration("db-2").state else {
        panic!()
    };
    assert!(limit.contains("his limit for label role=db"), "{limit}");
    story.moves("db-1");
    assert_eq!(story.state("db-2"), "cutting_over");
}

#[test]
fn a_limit_among_others_and_an_emergency_hold_nobody_up() {
    let mut other = story("");
    other.limits = vec![limit(Scope::Label { name: "role".to_owned(), value: "web".to_owned() }, 1)];
    other.drain(&["h1", "h2"], Urgency::Normal);
    assert_eq!(slot(&other, "db-1"), slot(&other, "db-2"), "neither is a web server");
    let mut burning = story("");
    burning.limits = vec![limit(Scope::Account, 1)];
    burning.drain(&["h1", "h2"], Urgency::Emergency { why: "fire".to_owned() });
    assert_eq!((burning.state("db-1"), burning.state("db-2")), ("cutting_over", "cutting_over"));
}

#[test]
fn a_time_that_is_declined_is_followed_by_one_in_another_opening_and_never_comes_again() {
    let mut story = story(HOURLY);
    story.drain(&["h1"], Urgency::Normal);
    let mut seen = vec![slot(&story, "db-1")];
    for _ in 0..5 {
        says_no(&mut story, "db-1").expect("there are other nights");
        let next = slot(&story, "db-1");
        assert!(seen.iter().all(|declined| !declined.overlaps(next)), "{next:?} was declined");
        assert!(
            seen.iter().all(|declined| declined.start.date_naive() != next.start.date_naive()),
            "another night"
        );
        seen.push(next);
    }
    assert_eq!(story.told(), ["proposed"; 6], "each is told at once, with the decline");
}

#[test]
fn whoever_declines_everything_is_asked_and_an_operator_with_him() {
    let mut story = story(HOURLY);
    story.drain(&["h1"], Urgency::Normal);
    let mut declined = 0;
    while story.migration("db-1").appointment.slot().is_some() {
        says_no(&mut story, "db-1").expect("it may be declined");
        declined += 1;
        assert!(declined < 100, "it comes to an end");
    }
    assert!(declined > 7, "every night until the deadline, and what is left of each: {declined}");
    assert!(matches!(story.told.last(), Some((_, Tells::NoSlot { .. }))), "{:?}", story.told());
    assert!(matches!(story.migration("db-1").state, State::Ready { waits_for: Waiting::Slot { .. } }));
    assert_eq!(says_no(&mut story, "db-1"), Err(Refusal::NothingToDecline));
}

#[test]
fn where_policy_says_so_the_last_time_before_the_deadline_is_proposed_outside_of_the_windows() {
    let policy = "[owners]\nno_slot = \"at_deadline\"\n[windows]\nslot_step = \"1h\"\n";
    let mut story = story(policy);
    let monthly = Recurrence::new("0 3 28 * *", Span::hours(4), chrono_tz::UTC).expect("a window");
    let opens = Opens::Recurring { recurrence: monthly };
    story.windows.push(OwnerWindow { owner: owner_id("acme"), scope: Scope::Account, opens });
    story.drain(&["h1"], Urgency::Normal);
    let last = slot(&story, "db-1");
    let deadline = story.migration("db-1").deadline;
    assert!(last.end <= deadline && deadline - last.end < Span::hours(1).delta(), "{last:?}");
    assert!(
        matches!(&story.told[0].1, Tells::Proposed { window, .. } if window.contains("last time before the deadline"))
    );
    let refused = says_no(&mut story, "db-1").expect_err("nothing is left");
    assert!(refused.to_string().contains("is what is left before the deadline"), "{refused}");
    set_freeze(&mut story, "a launch", last.start, last.end);
    story.look();
    assert!(
        slot(&story, "db-1").start.date_naive() < last.start.date_naive(),
        "freezes are kept all the same"
    );
}

#[test]
fn a_refused_time_says_why_and_everything_that_is_offered_is_accepted() {
    let mut story = story(HOURLY);
    story.drain(&["h1", "h2"], Urgency::Normal);
    let day = NaiveDate::from_ymd_opt(2026, 1, 9).expect("a day");
    let noon = day.and_hms_opt(12, 0, 0).expect("a time").and_utc();
    set_freeze(&mut story, "a launch", noon, noon);
    story.look();
    let refused = wishes(&story, "db-1", noon).expect_err("it is frozen");
    assert!(refused.to_string().contains("nothing is done (a launch); free are 2026-01-"), "{refused}");
    let id = story.migration("db-1").id;
    let free = story.question(|situation| free_slots(situation, id, 500));
    assert!(free.len() > 20, "{}", free.len());
    for slot in free {
        assert!(slot.start.date_naive() != day, "{slot:?} is frozen");
        assert_eq!(wishes(&story, "db-1", slot.start), Ok(Some(slot)));
    }
}

#[test]
fn what_stands_in_the_way_of_a_time_is_told_all_at_once() {
    let mut story = story(HOURLY);
    story.limits = vec![limit(Scope::Account, 1)];
    story.drain(&["h1", "h2"], Urgency::Normal);
    let taken = slot(&story, "db-1").start;
    set_freeze(&mut story, "a launch", taken, taken);
    let server = story.fleet.on(&host_name("h2")).next().expect("db-2").clone();
    let codes = |at: Instant| -> Vec<&'static str> {
        story.question(|situation| hindrances(situation, &server, at)).iter().map(|why| why.code()).collect()
    };
    assert_eq!(codes(taken), ["excluded", "limit"]);
    assert_eq!(codes(story.now), ["too_soon", "outside_windows"]);
    assert_eq!(codes(story.migration("db-2").deadline), ["outside_windows", "after_deadline"]);
    assert!(matches!(story.migration("db-2").appointment, Appointment::Proposed { .. }));
    assert_eq!(codes(slot(&story, "db-2").start), Vec::<&str>::new());
}
