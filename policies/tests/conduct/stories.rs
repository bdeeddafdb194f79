use drover_policies::appointment::Appointment;
use drover_policies::attempt::{FailureClass, Method, Outcome, Report};
use drover_policies::conduct::NewWish;
use drover_policies::fleet::{Allowance, Blocker, Power};
use drover_policies::host::Standing;
use drover_policies::maintenance::{State as MaintenanceState, Urgency};
use drover_policies::migration::{State, Waiting};
use drover_policies::notices::{Actor, Avoidance, Tells};
use drover_policies::owners::{Opens, OwnerWindow, Scope};
use drover_policies::samples::{NOON, Sample, gib, host_name, owner_id};
use drover_policies::time::Span;
use drover_policies::windows::{Recurrence, Slot};

use crate::story::{Story, moved, transferring};

fn forbids(facts: &mut drover_policies::fleet::ServerFacts) {
    facts.rules.live_migration = Some(Allowance::Forbidden);
}

fn operator() -> Actor {
    Actor::Operator { name: "olga".to_owned() }
}

/// One host to be emptied with one server that can go live and one that can't, and room elsewhere.
fn story() -> Story {
    let fleet = Sample::new()
        .hosts(&["h1", "h2", "h3"])
        .server("h1", "web", |_| {})
        .server("h1", "db", forbids)
        .fleet();
    Story::new(fleet, "")
}

fn begin(story: &mut Story) {
    let slot = story.migration("db").appointment.slot().expect("a time is proposed");
    let wait = Span::between(story.now, slot.start);
    story.wait(wait);
}

#[test]
fn what_can_go_live_goes_and_the_other_gets_a_ticket_and_a_time() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!(story.state("web"), "preflight");
    assert_eq!(story.state("db"), "ready");
    assert_eq!(story.told(), ["proposed"]);
    let slot = story.migration("db").appointment.slot().expect("a time");
    assert!(slot.start - story.now >= story.policies.general().notice.lead.delta(), "the notice is kept");
    story.moves("web");
    assert_eq!(story.state("web"), "succeeded");
    assert_eq!(story.told(), ["proposed"], "nobody is told of a live migration");
}

#[test]
fn a_host_is_drained_only_when_its_libvirt_says_that_it_is_empty() {
    let mut story = story();
    let id = story.drain(&["h1"], Urgency::Normal);
    story.moves("web");
    begin(&mut story);
    assert_eq!(story.state("db"), "cutting_over");
    story.moves("db");
    assert_eq!(story.state("db"), "completed");
    assert_eq!(story.maintenances[&id].state, MaintenanceState::Running, "nobody has asked libvirt yet");
    story.counts_nothing("h1");
    assert!(matches!(story.maintenances[&id].state, MaintenanceState::Completed { .. }));
    assert!(matches!(story.fleet.hosts[&host_name("h1")].standing, Standing::Drained { .. }));
    assert_eq!(story.told().last(), Some(&"done"));
}

#[test]
fn reminders_come_in_order_and_an_outage_does_not_pile_them_up() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    let until_two_hours_before = Span::between(story.now, slot.start - Span::hours(2).delta());
    story.wait(until_two_hours_before);
    assert_eq!(story.told(), ["proposed", "reminder"], "one reminder speaks for all that were due");
    story.wait(Span::minutes(61));
    assert_eq!(story.told(), ["proposed", "reminder", "reminder"]);
}

#[test]
fn a_live_migration_that_was_lost_is_tried_elsewhere_after_a_while() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let first = story.migration("web").to().cloned();
    story.fails("web", FailureClass::LostOnTheWay);
    assert_eq!(story.state("web"), "pending");
    assert!(matches!(story.migration("web").state, State::Pending { waits_for: Waiting::BackOff { .. } }));
    story.wait(Span::minutes(10));
    assert_eq!(story.state("web"), "preflight");
    assert_ne!(story.migration("web").to().cloned(), first, "the other host gets a chance");
}

#[test]
fn what_libvirt_refuses_for_good_becomes_a_reboot_migration_at_once() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    story.fails("web", FailureClass::RefusedBySource);
    assert_eq!(story.state("web"), "ready");
    assert_eq!(story.migration("web").method, Method::Reboot);
    assert_eq!(story.told(), ["proposed", "proposed"]);
}

#[test]
fn a_migration_that_does_not_converge_is_aborted_by_the_ladder_and_falls_back() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let order = story.order_for("web");
    for pass in 1..=story.policies.general().live.ladder.abort_after {
        let progress = transferring(pass, story.now);
        story.report("web", Report::Running(progress));
    }
    assert_eq!(story.wishes.get(&order.id), Some(&NewWish::AbortNotConverging));
    story.fails("web", FailureClass::NotConverging);
    assert_eq!(story.state("web"), "ready");
    assert!(story.log.iter().any(|line| line.contains("allowed downtime raised")), "{:#?}", story.log);
}

#[test]
fn an_owners_own_window_is_kept() {
    let mut story = story();
    let recurrence =
        Recurrence::new("0 3 * * 0", Span::hours(2), chrono_tz::Europe::Berlin).expect("a window");
    let opens = Opens::Recurring { recurrence };
    story.windows.push(OwnerWindow { owner: owner_id("acme"), scope: Scope::Account, opens });
    story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    assert_eq!(slot.start.to_rfc3339(), "2026-01-11T02:00:00+00:00", "Sunday at three in Berlin");
}

#[test]
fn nothing_is_begun_after_the_window_and_another_time_is_proposed() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    let after = Span::between(story.now, slot.end);
    story.wait(after);
    assert_eq!(story.state("db"), "ready");
    let next = story.migration("db").appointment.slot().expect("another time");
    assert!(next.start > story.now);
    assert!(story.told().contains(&"missed"));
}

#[test]
fn an_emergency_waits_for_nobody_and_tells_afterwards() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Emergency { why: "the host is on fire".to_owned() });
    assert_eq!(story.state("db"), "cutting_over");
    assert_eq!(story.told(), Vec::<&str>::new());
    story.moves("db");
    assert_eq!(story.told(), ["emergency", "done"]);
}

#[test]
fn a_server_that_its_owner_stops_is_moved_while_it_is_off() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    story.change("h1", "db", |facts| facts.power = Power::Off);
    assert_eq!(story.state("db"), "cutting_over");
    story.leaves("db");
    let power_off = Some(drover_policies::attempt::PowerOff::WasOff);
    story.report("db", Report::ended(Outcome::Moved(moved(power_off))));
    story.report("db", Report::Alive { sign: "defined".to_owned(), looked: None });
    assert!(matches!(story.migration("db").state, State::Avoided { how: Avoidance::MovedWhileOff, .. }));
    assert_eq!(story.told().last(), Some(&"avoided"));
}

#[test]
fn a_server_that_is_deleted_or_moved_by_other_means_closes_its_ticket() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let on = story.fleet.sightings.get_mut(&host_name("h1")).expect("servers");
    on.retain(|_, seen| seen.facts.name != "db");
    story.look();
    assert!(matches!(story.migration("db").state, State::Avoided { how: Avoidance::Deleted, .. }));
    assert!(matches!(story.told.last(), Some((_, Tells::Avoided { how: Avoidance::Deleted }))));
}

#[test]
fn when_what_stood_in_the_way_is_gone_it_goes_live_after_all() {
    let job = |facts: &mut drover_policies::fleet::ServerFacts| {
        facts.blockers = vec![Blocker::BlockJob { disk: "vda".to_owned() }];
    };
    let fleet = Sample::new().hosts(&["h1", "h2"]).server("h1", "app", job).fleet();
    let mut story = Story::new(fleet, "");
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!(story.state("app"), "ready");
    story.change("h1", "app", |facts| facts.blockers.clear());
    assert_eq!(story.state("app"), "preflight");
    story.moves("app");
    assert!(matches!(story.migration("app").state, State::Avoided { how: Avoidance::MovedLive, .. }));
    assert_eq!(story.told(), ["proposed", "avoided"]);
}

#[test]
fn a_pause_begins_nothing_and_a_window_that_passes_in_it_is_missed_with_that_reason() {
    let mut story = story();
    let id = story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    let paused = story.maintenances[&id].clone().pause(operator(), story.now).expect("it is running");
    story.maintenances.insert(id, paused);
    let into_slot = Span::between(story.now, slot.start);
    story.wait(into_slot);
    assert_eq!(story.state("db"), "ready");
    let past = Span::between(story.now, slot.end);
    story.wait(past);
    let missed = story.told.iter().find_map(|(_, tells)| match tells {
        Tells::Missed { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(missed.as_deref(), Some("the maintenance was paused"));
}

#[test]
fn cancelling_ends_what_waits_aborts_what_runs_and_gives_the_host_back() {
    let mut story = story();
    let id = story.drain(&["h1"], Urgency::Normal);
    let order = story.order_for("web");
    let cancelled = story.maintenances[&id].clone().cancel(operator(), story.now).expect("it is running");
    story.maintenances.insert(id, cancelled);
    story.look();
    assert_eq!(story.state("db"), "cancelled");
    assert_eq!(story.told(), ["proposed", "cancelled"]);
    assert_eq!(story.wishes.get(&order.id), Some(&NewWish::AbortAsked));
    assert!(
        matches!(story.fleet.hosts[&host_name("h1")].standing, Standing::Draining { .. }),
        "something still runs"
    );
    story.fails("web", FailureClass::Aborted);
    assert_eq!(story.state("web"), "cancelled");
    assert_eq!(story.fleet.hosts[&host_name("h1")].standing, Standing::Open);
}

#[test]
fn a_place_that_is_lost_between_plan_and_act_is_replaced() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let held = story.migration("db").to().cloned().expect("a place");
    let host = story.fleet.hosts.get_mut(&held).expect("known");
    host.standing = Standing::Cordoned { reason: "disk swap".to_owned(), since: NOON };
    story.look();
    let now_held = story.migration("db").to().cloned().expect("another place");
    assert_ne!(now_held, held);
    assert!(story.log.iter().any(|line| line.contains("instead")), "{:#?}", story.log);
}

#[test]
fn two_maintenances_do_not_give_the_same_place_away() {
    let big = |facts: &mut drover_policies::fleet::ServerFacts| {
        facts.memory_bytes = gib(40);
        facts.rules.live_migration = Some(Allowance::Forbidden);
    };
    let fleet =
        Sample::new().hosts(&["h1", "h2", "h3"]).server("h1", "one", big).server("h2", "two", big).fleet();
    let mut story = Story::new(fleet, "");
    story.drain(&["h1"], Urgency::Normal);
    story.drain(&["h2"], Urgency::Normal);
    assert_eq!(story.migration("one").to(), Some(&host_name("h3")));
    assert_eq!(story.migration("two").to(), None, "h3 is held for the other");
    assert_eq!(story.state("two"), "ready", "its owner is told all the same");
}

#[test]
fn limits_hold_within_one_look_and_across_looks() {
    let mut sample = Sample::new().hosts(&["h1", "h2", "h3", "h4"]);
    for n in 0..8 {
        sample = sample.server("h1", &format!("web-{n}"), |_| {});
    }
    let mut story = Story::new(sample.fleet(), "[limits]\nlive_out_per_host = 2\n");
    story.drain(&["h1"], Urgency::Normal);
    let moving = |story: &Story| story.migrations.iter().filter(|migration| migration.is_moving()).count();
    assert_eq!(moving(&story), 2);
    let first =
        story.migrations.iter().find(|migration| migration.is_moving()).expect("one").server_name.clone();
    story.moves(&first);
    assert_eq!(moving(&story), 2);
}

#[test]
fn a_rolled_back_reboot_is_told_and_gets_another_time_and_finally_a_person() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let attempts = story.policies.general().reboot.attempts;
    for _ in 0..attempts {
        begin(&mut story);
        assert_eq!(story.state("db"), "cutting_over");
        story.fails("db", FailureClass::TargetDidNotBoot);
    }
    assert_eq!(story.state("db"), "failed");
    let rolled_back = story.told().iter().filter(|kind| **kind == "rolled_back").count();
    assert_eq!(rolled_back, usize::try_from(attempts).expect("few"));
}

#[test]
fn a_server_that_appears_on_a_draining_host_is_planned_too() {
    let mut story = story();
    let id = story.drain(&["h1"], Urgency::Normal);
    let newcomer = Sample::new().hosts(&["h1"]).server("h1", "late", |facts| {
        facts.id = drover_policies::samples::server_id(99);
    });
    let newcomer = newcomer.fleet().on(&host_name("h1")).next().expect("one").clone();
    story.fleet.sightings.entry(host_name("h1")).or_default().insert(newcomer.facts.id, newcomer);
    story.look();
    assert_eq!(story.state("late"), "preflight");
    assert_eq!(story.migration("late").maintenance, Some(id));
}

#[test]
fn nothing_is_begun_at_a_host_whose_agent_is_silent() {
    let mut story = story();
    story.fleet.hosts.get_mut(&host_name("h1")).expect("known").observed_at = NOON - Span::hours(1).delta();
    story.drain(&["h1"], Urgency::Normal);
    assert!(story.migrations.is_empty(), "what is on it is not known");
    story.wait(Span::seconds(1));
    assert_eq!(story.migrations.len(), 2);
}

#[test]
fn start_now_begins_outside_of_any_window() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let mut migration = story.migration("db").clone();
    let by = Actor::Owner { owner: owner_id("acme") };
    migration.appointment = migration.appointment.start_now(by, story.now).expect("it has not begun");
    story.migrations.retain(|known| known.id != migration.id);
    story.migrations.push(migration);
    story.look();
    assert_eq!(story.state("db"), "cutting_over");
    assert_eq!(story.told(), ["proposed", "started"]);
}

#[test]
fn a_guest_that_is_not_seen_alive_needs_a_person_and_its_owner_is_told() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    begin(&mut story);
    story.leaves("db");
    story.report("db", Report::ended(Outcome::Moved(moved(None))));
    story.report("db", Report::NotAlive("its console is silent".to_owned()));
    assert_eq!(story.state("db"), "failed");
    assert_eq!(story.told().last(), Some(&"not_seen_alive"));
    assert!(!story.migration("db").is_open(), "it has left the host, so the drain goes on");
}

#[test]
fn the_source_is_told_to_forget_after_the_time_that_policy_keeps() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    begin(&mut story);
    story.moves("db");
    let keep = story.policies.general().retention.definitions;
    story.wait(keep);
    assert_eq!(story.state("db"), "discarding");
    story.report("db", Report::Discarded);
    assert_eq!(story.state("db"), "closed");
}

#[test]
fn a_deadline_before_the_notice_is_over_leaves_no_time_and_says_so() {
    let mut story = story();
    let id = story.drain(&["h1"], Urgency::Normal);
    assert!(story.maintenances.contains_key(&id));
    let mut late = Story::new(story.fleet.clone(), "[notice]\nlead = \"11d\"\n");
    late.fleet.hosts.get_mut(&host_name("h1")).expect("known").standing = Standing::Open;
    late.drain(&["h1"], Urgency::Normal);
    assert_eq!(late.migration("db").appointment, Appointment::Unscheduled);
    assert_eq!(late.told(), ["no_slot"]);
    assert!(matches!(late.migration("db").state, State::Ready { waits_for: Waiting::Slot { .. } }));
}

#[test]
fn appointments_at_one_host_do_not_overlap() {
    let mut sample = Sample::new().hosts(&["h1", "h2", "h3"]);
    for n in 0..4 {
        sample = sample.server("h1", &format!("db-{n}"), forbids);
    }
    let mut story = Story::new(sample.fleet(), "[limits]\nreboots_per_host = 1\n");
    story.drain(&["h1"], Urgency::Normal);
    let mut slots: Vec<Slot> =
        (0..4).filter_map(|n| story.migration(&format!("db-{n}")).appointment.slot()).collect();
    slots.sort();
    assert_eq!(slots.len(), 4);
    assert!(slots.windows(2).all(|pair| pair[0].end <= pair[1].start), "{slots:#?}");
}

#[test]
fn a_time_that_passes_while_something_stands_in_the_way_is_told_as_missed() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time");
    story.change("h1", "db", |facts| facts.blockers = vec![Blocker::Snapshots { count: 1 }]);
    assert!(matches!(story.migration("db").state, State::Ready { waits_for: Waiting::Blocked { .. } }));
    let past = Span::between(story.now, slot.end);
    story.wait(past);
    assert!(story.told().contains(&"missed"));
    assert_eq!(story.state("db"), "ready");
}

#[test]
fn without_a_place_a_time_is_told_once_and_another_only_when_there_is_a_place() {
    let fleet = Sample::new().hosts(&["h1", "h2"]).server("h1", "db", forbids).fleet();
    let mut story = Story::new(fleet, "");
    let cordoned = Standing::Cordoned { reason: "disk swap".to_owned(), since: NOON };
    story.fleet.hosts.get_mut(&host_name("h2")).expect("known").standing = cordoned;
    story.drain(&["h1"], Urgency::Normal);
    let slot = story.migration("db").appointment.slot().expect("a time is told all the same");
    let past = Span::between(story.now, slot.end);
    story.wait(past);
    for _ in 0..10 {
        story.wait(Span::hours(12));
    }
    assert_eq!(story.told().iter().filter(|kind| **kind == "proposed").count(), 1);
    assert_eq!(story.told().iter().filter(|kind| **kind == "missed").count(), 1);
    assert!(matches!(story.migration("db").state, State::Ready { waits_for: Waiting::Place { .. } }));
    story.fleet.hosts.get_mut(&host_name("h2")).expect("known").standing = Standing::Open;
    story.look();
    assert!(story.migration("db").appointment.slot().is_some());
    assert_eq!(story.told().last(), Some(&"proposed"));
}
