//! Servers with disks that only their host has.

use std::path::PathBuf;

use drover_policies::attempt::{
    Failure, FailureClass, LeftOff, Outcome, Phase, PhaseDone, PowerOff, Progress, Report,
};
use drover_policies::conduct::{Back, IfRunning, Intent, LocalDisks, NewOperation, NewWish, revert};
use drover_policies::fleet::{
    Ability, Autostart, CertificateDigest, Disk, Fleet, Host, LocalStorage, Power, Reach, Replication,
    ServerFacts,
};
use drover_policies::host::Standing;
use drover_policies::ids::OperationId;
use drover_policies::maintenance::{State as MaintenanceState, Urgency};
use drover_policies::migration::{Loss, State, Waiting};
use drover_policies::notices::{Actor, Tells};
use drover_policies::replica::{
    Activity, Base, Frozen, Going, Images, Replica, ReplicaStatus, Round, RoundFigures, RoundKind,
};
use drover_policies::samples::{Sample, gib, host_name, owner_id};
use drover_policies::time::{Instant, Span};

use crate::story::{Story, moved};

const DISKS: &str = "/var/lib/libvirt/images";

fn replicates(host: &mut Host) {
    host.facts.replication = Some(Replication {
        address: format!("{}.example:7447", host.name),
        certificate: CertificateDigest("ab".repeat(32)),
        directories: vec![LocalStorage {
            path: PathBuf::from(DISKS),
            total_bytes: gib(100),
            free_bytes: gib(50),
        }],
    });
}

fn local(facts: &mut ServerFacts) {
    facts.disks = vec![Disk {
        target: "vda".to_owned(),
        source: format!("{DISKS}/db.qcow2"),
        format: "qcow2".to_owned(),
        virtual_bytes: Some(gib(20)),
        allocated_bytes: Some(gib(10)),
        reach: Reach::Local,
    }];
}

/// `db` with a local disk on h1, and three hosts whose agents keep replicas.
pub fn fleet() -> Fleet {
    let hosts =
        ["h1", "h2", "h3"].into_iter().fold(Sample::new(), |sample, name| sample.host(name, replicates));
    hosts.server("h1", "db", local).fleet()
}

fn story() -> Story {
    Story::new(fleet(), "")
}

pub fn replica(story: &Story) -> Replica {
    story.replicas.last().expect("a replica").clone()
}

pub fn order_of(story: &Story) -> NewOperation {
    let operation = replica(story).state.operation().expect("something is being done for it");
    story.orders.get(&operation).expect("the order was given").clone()
}

pub fn tell(story: &mut Story, report: Report) {
    let id = order_of(story).id;
    story.reports.insert(id, report);
    story.look();
}

/// As the agent tells after so many rounds, the last of which landed just now.
fn rounds(story: &Story, rounds: u64) -> ReplicaStatus {
    let mut status = ReplicaStatus::new(story.now);
    status.rounds = rounds;
    status.activity = Activity::Resting { next_at: story.now };
    status.last = Some(Round {
        number: rounds,
        kind: RoundKind::Incremental,
        consistent_at: story.now,
        frozen: Frozen::Yes,
        dirty_bytes: 1 << 20,
        sent_bytes: 1 << 20,
        took: Span::seconds(1),
    });
    status
}

pub fn land(story: &mut Story, count: u64) {
    let status = rounds(story, count);
    tell(story, Report::Replicating(status));
}

/// Drained, held at h2 and ready.
pub fn ready() -> Story {
    ready_under("")
}

/// The same under a policy.
pub fn ready_under(policy: &str) -> Story {
    let mut story = Story::new(fleet(), policy);
    story.drain(&["h1"], Urgency::Normal);
    tell(&mut story, Report::Held);
    land(&mut story, 1);
    land(&mut story, 2);
    story
}

/// Its time has come, and the last round is a moment old.
pub fn begin(story: &mut Story) {
    let slot = story.migration("db").appointment.slot().expect("a time is proposed");
    let almost = Span::between(story.now, slot.start - Span::minutes(1).delta());
    story.wait(almost);
    let status = rounds(story, 9);
    tell(story, Report::Replicating(status));
    story.wait(Span::minutes(1));
}

#[test]
fn its_disks_are_copied_while_its_time_is_agreed_and_it_boots_from_the_copy() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!((story.state("db"), story.told()), ("preparing", vec!["proposed"]));
    assert!(matches!(order_of(&story).intent, Intent::HoldReplica { .. }));
    tell(&mut story, Report::Held);
    assert!(matches!(order_of(&story).intent, Intent::Replicate { .. }));
    assert_eq!(order_of(&story).host, host_name("h1"));
    land(&mut story, 1);
    assert_eq!(story.state("db"), "preparing", "one round alone is no full copy of any moment but the first");
    land(&mut story, 2);
    assert_eq!(story.state("db"), "ready");
    begin(&mut story);
    assert_eq!(story.state("db"), "cutting_over");
    let Intent::Reboot { disks: LocalDisks::Replica(cutover), .. } = story.order_for("db").intent else {
        panic!("it is cut over with its replica")
    };
    assert_eq!((cutover.replica.id, cutover.rounds), (replica(&story).id, 2));
    story.moves("db");
    assert_eq!(story.state("db"), "completed");
    tell(&mut story, Report::Stopped);
    let Intent::ReleaseReplica { images: Images::Keep, .. } = order_of(&story).intent else {
        panic!("its images are its disks now")
    };
    tell(&mut story, Report::Released);
    assert!(replica(&story).is_gone());
}

#[test]
fn a_server_is_not_powered_off_for_a_comparison_that_takes_longer_than_it_may_be_off() {
    let mut story = ready();
    let compares = |story: &Story, took| {
        let mut status = rounds(story, 3);
        status.compared_bytes = 500 << 30;
        status.last.iter_mut().for_each(|last| last.took = took);
        status
    };
    let status = compares(&story, Span::minutes(10));
    tell(&mut story, Report::Replicating(status));
    let slot = story.migration("db").appointment.slot().expect("a time is proposed");
    let almost = Span::between(story.now, slot.start - Span::minutes(1).delta());
    story.wait(almost);
    let status = compares(&story, Span::minutes(10));
    tell(&mut story, Report::Replicating(status));
    story.wait(Span::minutes(1));
    assert_ne!(story.state("db"), "cutting_over");
    let waits = format!("{:?}", story.migration("db").state);
    assert!(waits.contains("replication.tail_within"), "{waits}");

    let status = compares(&story, Span::minutes(1));
    tell(&mut story, Report::Replicating(status));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn the_pace_follows_the_time_that_is_agreed() {
    let story = ready();
    let NewOperation { id, .. } = order_of(&story);
    let opens_at = story.migration("db").appointment.slot().expect("a time").start;
    let Some(NewWish::Pace(pace)) = story.wishes.get(&id) else { panic!("a pace is wished") };
    assert_eq!((pace.opens_at, pace.going), (Some(opens_at), Going::On));
}

#[test]
fn an_agent_that_can_t_hold_the_copying_back_is_not_told_what_the_guest_is_to_keep() {
    let told = |agent: fn(&mut Host), policy: &str| {
        let mut fleet = fleet();
        fleet.hosts.get_mut(&host_name("h1")).map(agent).expect("it is there");
        let mut story = Story::new(fleet, policy);
        story.drain(&["h1"], Urgency::Normal);
        tell(&mut story, Report::Held);
        let Intent::Replicate { pace, .. } = order_of(&story).intent else { panic!("it is kept up to date") };
        pace.guest_percent
    };
    let able = |host: &mut Host| host.facts.abilities.extend([Ability::HoldBack]);
    assert_eq!(told(able, ""), Some(85));
    assert_eq!(told(able, "[replication]\nguest_share = 0.0\n"), None);
    assert_eq!(told(|_| (), ""), None);
}

#[test]
fn without_a_whole_copy_its_time_is_missed_and_another_is_proposed() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    tell(&mut story, Report::Held);
    land(&mut story, 1);
    let slot = story.migration("db").appointment.slot().expect("a time");
    story.wait(Span::between(story.now, slot.start));
    let State::Preparing { waits_for: Waiting::Replica { .. } } = &story.migration("db").state else {
        panic!("it waits for its copy: {:?}", story.migration("db").state)
    };
    story.wait(Span::between(story.now, slot.end));
    assert!(story.told().contains(&"missed"), "{:?}", story.told());
    assert_ne!(story.migration("db").appointment.slot(), Some(slot));
}

#[test]
fn a_copy_that_is_too_old_is_waited_for_within_the_window() {
    let mut story = ready();
    let slot = story.migration("db").appointment.slot().expect("a time");
    story.wait(Span::between(story.now, slot.start));
    assert!(matches!(story.migration("db").state.waits_for(), Some(Waiting::Replica { .. })));
    land(&mut story, 3);
    story.wait(Span::seconds(10));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn a_destination_that_refuses_is_replaced_and_what_it_has_is_released() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    let first = replica(&story);
    let failure =
        Failure { class: FailureClass::RefusedByDestination, text: "a file is in the way".to_owned() };
    tell(&mut story, Report::Refused(failure));
    let second = replica(&story);
    assert_ne!((second.id, &second.to), (first.id, &first.to));
    let released = story.orders.values().any(
        |order| matches!(order.intent, Intent::ReleaseReplica { replica, images: Images::Delete } if replica == first.id),
    );
    assert!(released, "{:?}", story.orders);
}

#[test]
fn a_place_that_is_lost_takes_its_copy_with_it() {
    let mut story = ready();
    let lost = replica(&story);
    story.fleet.hosts.get_mut(&lost.to).expect("known").standing =
        Standing::Cordoned { reason: "disk".to_owned(), since: story.now };
    story.wait(Span::seconds(10));
    assert_eq!(story.state("db"), "preparing", "the copy elsewhere has only begun");
    let old = story.replicas.iter().find(|known| known.id == lost.id).expect("known");
    assert_eq!(old.state.name(), "stopping");
    assert_ne!(replica(&story).to, lost.to);
}

#[test]
fn a_destination_that_is_silent_for_a_moment_keeps_its_copy() {
    let mut story = ready();
    let held = replica(&story);
    let silent = |story: &mut Story, span: Span| {
        let seen = story.fleet.hosts[&held.to].observed_at;
        story.now += span.delta();
        for (name, host) in &mut story.fleet.hosts {
            host.observed_at = if *name == held.to { seen } else { story.now };
        }
        story.look();
    };
    silent(&mut story, Span::minutes(10));
    assert_eq!(story.migration("db").to(), Some(&held.to));
    silent(&mut story, Span::hours(2));
    assert_ne!(story.migration("db").to(), Some(&held.to));
}

#[test]
fn what_is_cancelled_is_cleared_away_although_it_is_over() {
    let mut story = ready();
    let id = *story.maintenances.keys().next().expect("one");
    let maintenance = story.maintenances.get_mut(&id).expect("known");
    maintenance.state = MaintenanceState::Cancelled { at: story.now, by: Actor::Drover };
    story.look();
    assert_eq!(story.state("db"), "cancelled");
    let operation = order_of(&story).id;
    assert_eq!(story.wishes.get(&operation), Some(&NewWish::AbortAsked));
    story.wait(Span::days(2));
    assert_eq!(replica(&story).state.name(), "stopping", "its source is waited for");
    tell(&mut story, Report::Stopped);
    assert!(matches!(order_of(&story).intent, Intent::ReleaseReplica { images: Images::Delete, .. }));
    tell(&mut story, Report::Released);
    assert!(replica(&story).is_gone());
}

/// The cutover that has begun fails, and the server runs at its source again.
fn fails(story: &mut Story, class: FailureClass) {
    let failure = Failure { class, text: "as the story wants it".to_owned() };
    story.report("db", Report::ended(Outcome::stayed(failure)));
}

/// It could not be brought up at its destination, and policy leaves it off.
fn is_left_off() -> Story {
    let mut story = ready();
    begin(&mut story);
    let failure = Failure { class: FailureClass::TargetDidNotBoot, text: "so says libvirt".to_owned() };
    let left_off = Some(LeftOff { autostart: Autostart::Yes });
    story.report("db", Report::ended(Outcome::StayedAtSource { failure, left_off }));
    story.change("h1", "db", |facts| facts.power = Power::Off);
    story
}

#[test]
fn one_that_is_left_off_waits_for_a_person_and_the_next_try_starts_it() {
    let mut story = is_left_off();
    story.wait(Span::hours(3));
    assert_eq!(story.state("db"), "failed", "nobody moves it unasked because it is off");
    let (_, last) = story.told.last().expect("its owner was told");
    assert!(matches!(last, Tells::RolledBack { left_off: true, slot: None, .. }), "{last:?}");

    story.retry("db");
    let status = rounds(&story, 11);
    tell(&mut story, Report::Replicating(status));
    let Intent::Reboot { left_off, if_running, .. } = story.order_for("db").intent else {
        panic!("it is cut over at once")
    };
    assert_eq!((left_off, if_running), (Some(LeftOff { autostart: Autostart::Yes }), IfRunning::LeaveAlone));
    story.leaves("db");
    story.report("db", Report::ended(Outcome::Moved(moved(Some(PowerOff::WasOff)))));
    story.report("db", Report::Alive { sign: "it runs".to_owned(), looked: None });
    assert_eq!(story.state("db"), "completed");
    let (_, last) = story.told.last().expect("its owner was told");
    assert!(matches!(last, Tells::Done { power_off: None, .. }), "{last:?}");
}

#[test]
fn one_that_is_left_off_still_is_when_the_next_try_can_not_begin() {
    let mut story = is_left_off();
    story.retry("db");
    let status = rounds(&story, 11);
    tell(&mut story, Report::Replicating(status));
    fails(&mut story, FailureClass::RefusedByDestination);
    assert_eq!(story.state("db"), "failed");
    let (_, last) = story.told.last().expect("its owner was told");
    assert!(matches!(last, Tells::RolledBack { left_off: true, slot: None, .. }), "{last:?}");
}

#[test]
fn one_that_is_left_off_is_not_forgotten_when_its_maintenance_is_cancelled() {
    let mut story = is_left_off();
    let id = *story.maintenances.keys().next().expect("one");
    let maintenance = story.maintenances.get_mut(&id).expect("known");
    maintenance.state = MaintenanceState::Cancelled { at: story.now, by: Actor::Drover };
    story.look();
    assert_eq!(story.state("db"), "failed");
    story.change("h1", "db", |facts| facts.power = Power::Running);
    assert_eq!(story.state("db"), "cancelled");
}

#[test]
fn each_phase_of_a_cutover_is_told_once_with_its_figures_also_one_that_nobody_saw_running() {
    let mut story = ready();
    begin(&mut story);
    let done = |phase, ms, sent_bytes| PhaseDone { phase, took: Span::milliseconds(ms), sent_bytes };
    let delta = done(Phase::FinalDelta, 800, 5 << 20);
    let running = |done: &[PhaseDone]| {
        let progress = Progress::of(Phase::PowerOffSource, Instant::UNIX_EPOCH);
        Report::Running(Progress { done: done.to_vec(), ..progress })
    };
    story.report("db", running(&[delta]));
    story.report("db", running(&[delta]));
    let rest = [done(Phase::PowerOffSource, 2_100, 1 << 10), done(Phase::Finalize, 30, 0)];
    let failure = Failure { class: FailureClass::TargetDidNotBoot, text: "as the story wants it".to_owned() };
    let outcome = Outcome::stayed(failure);
    let all = [&[delta], &rest[..]].concat();
    story.report("db", Report::Ended { outcome, done: all.clone() });
    let told: Vec<&str> =
        story.log.iter().map(String::as_str).filter(|line| line.contains(" took ")).collect();
    let wanted = [
        "db: final delta took 800ms, 5120 KiB sent",
        "db: power off source took 2s 100ms, 1 KiB sent",
        "db: finalize took 30ms",
    ];
    assert_eq!(told, wanted);
    assert_eq!(story.migration("db").attempts[0].phases, all, "kept with the try");
}

#[test]
fn a_failed_cutover_keeps_the_copy_for_the_next_try() {
    let mut story = ready();
    begin(&mut story);
    let held = replica(&story);
    fails(&mut story, FailureClass::LostOnTheWay);
    assert!(story.told().contains(&"rolled_back"));
    // What its owner is told of next is a time, and until then nothing is copied anew.
    assert_eq!(story.state("db"), "ready");
    begin(&mut story);
    assert_eq!(story.replicas.iter().map(|known| known.id).collect::<Vec<_>>(), [held.id]);
    let Intent::Reboot { disks: LocalDisks::Replica(cutover), to, .. } = story.order_for("db").intent else {
        panic!("it is cut over with the copy that it has")
    };
    assert_eq!((cutover.replica.id, to), (held.id, held.to));
}

#[test]
fn a_destination_that_refuses_the_server_is_left_with_its_copy() {
    let mut story = ready();
    begin(&mut story);
    let held = replica(&story);
    fails(&mut story, FailureClass::RefusedByDestination);
    let slot = story.migration("db").appointment.slot().expect("another time is proposed");
    let until = Span::between(story.now, slot.start);
    story.wait(until);
    assert_ne!(story.migration("db").to(), Some(&held.to));
    assert_ne!(replica(&story).to, held.to);
}

#[test]
fn a_server_that_does_not_come_up_gets_a_second_chance_there_and_no_third() {
    let mut story = ready();
    begin(&mut story);
    let held = replica(&story);
    fails(&mut story, FailureClass::TargetDidNotBoot);
    begin(&mut story);
    assert_eq!(story.migration("db").to(), Some(&held.to));
    fails(&mut story, FailureClass::TargetDidNotBoot);
    let slot = story.migration("db").appointment.slot().expect("another time is proposed");
    let until = Span::between(story.now, slot.start);
    story.wait(until);
    assert_ne!(story.migration("db").to(), Some(&held.to));
}

#[test]
fn a_destination_to_which_rounds_fail_for_too_long_is_left() {
    let mut story = ready();
    let held = replica(&story);
    let since = story.now;
    let mut status = rounds(&story, 2);
    let failure = Failure { class: FailureClass::DestinationUnreachable, text: "no route".to_owned() };
    status.activity = Activity::Stalled { failure, since, next_at: since };
    tell(&mut story, Report::Replicating(status));
    story.wait(Span::minutes(59));
    assert_eq!(story.migration("db").to(), Some(&held.to));
    story.wait(Span::minutes(2));
    assert_ne!(story.migration("db").to(), Some(&held.to));
    assert_ne!(replica(&story).to, held.to);
}

#[test]
fn one_whose_rounds_wait_for_it_to_be_off_is_cut_over_with_the_copy_that_is_there_however_old() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Normal);
    tell(&mut story, Report::Held);
    land(&mut story, 1);
    assert_eq!(story.state("db"), "preparing");
    let stalled = |class, story: &Story| {
        let mut status = rounds(story, 1);
        let failure = Failure { class, text: "libvirt has lost its backup".to_owned() };
        status.activity = Activity::Stalled { failure, since: story.now, next_at: story.now };
        Report::Replicating(status)
    };
    let told = stalled(FailureClass::Busy, &story);
    tell(&mut story, told);
    assert_eq!(story.state("db"), "preparing", "what passes is waited for");
    let told = stalled(FailureClass::NeedsPowerCycle, &story);
    tell(&mut story, told);
    assert_eq!(story.state("db"), "ready");
    let reasons = story.log.iter().filter(|line| line.contains("the copy of its disks is stalled")).count();
    assert_eq!(reasons, 2, "each is told once");
    let slot = story.migration("db").appointment.slot().expect("a time");
    story.wait(Span::between(story.now, slot.start));
    assert_eq!(story.state("db"), "cutting_over", "days behind: it does not become newer by waiting");
    let Intent::Reboot { disks: LocalDisks::Replica(cutover), .. } = story.order_for("db").intent else {
        panic!("with its replica")
    };
    assert_eq!(cutover.rounds, 1);
}

#[test]
fn a_server_that_is_off_needs_one_whole_copy_and_nobodys_consent() {
    let mut story = story();
    story.change("h1", "db", |facts| facts.power = Power::Off);
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!(story.state("db"), "pending");
    tell(&mut story, Report::Held);
    land(&mut story, 1);
    assert_eq!(story.state("db"), "cutting_over");
    let Intent::Reboot { disks: LocalDisks::Replica(cutover), .. } = story.order_for("db").intent else {
        panic!("with its replica")
    };
    assert_eq!(cutover.rounds, 1);
    assert!(story.told().is_empty());
}

#[test]
fn an_emergency_asks_for_whole_disks_alone() {
    let mut story = story();
    story.drain(&["h1"], Urgency::Emergency { why: "a fan".to_owned() });
    tell(&mut story, Report::Held);
    assert_ne!(story.state("db"), "cutting_over");
    land(&mut story, 1);
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn an_agent_that_makes_no_copies_is_named_and_no_owner_is_asked() {
    let mut story = story();
    story.fleet.hosts.get_mut(&host_name("h1")).expect("known").facts.replication = None;
    story.drain(&["h1"], Urgency::Normal);
    let waits = story.migration("db").state.waits_for().map(ToString::to_string).unwrap_or_default();
    assert!(waits.contains("h1") && waits.contains("[replication] listen"), "{waits}");
    assert!(story.told().is_empty());
}

#[test]
fn copies_do_not_go_where_they_have_no_room() {
    let mut story = story();
    for host in ["h2", "h3"] {
        let known = story.fleet.hosts.get_mut(&host_name(host)).expect("known");
        let free = if host == "h2" { gib(9) } else { gib(11) };
        known.facts.replication.as_mut().expect("it replicates").directories[0].free_bytes = free;
    }
    story.drain(&["h1"], Urgency::Normal);
    assert_eq!(story.migration("db").to(), Some(&host_name("h3")));
    let id: OperationId = order_of(&story).id;
    assert_eq!(story.orders[&id].host, host_name("h3"));
}

#[test]
fn agents_that_are_installed_anew_are_told_of_each_other_again() {
    let mut story = ready();
    let (held, order) = (replica(&story), order_of(&story));
    let host = story.fleet.hosts.get_mut(&held.to).expect("known");
    host.facts.replication.as_mut().expect("it replicates").certificate = CertificateDigest("cd".repeat(32));
    story.look();
    assert_eq!(story.wishes.get(&order.id), Some(&NewWish::AbortAsked));
    tell(&mut story, Report::Stopped);
    assert!(matches!(order_of(&story).intent, Intent::HoldReplica { .. }), "it may have lost what it held");
    tell(&mut story, Report::Held);
    let anew = order_of(&story);
    assert!(matches!(anew.intent, Intent::Replicate { .. }) && anew.id != order.id);
    assert_eq!(replica(&story).id, held.id);
    story.wait(Span::minutes(1));
    assert_eq!(order_of(&story).id, anew.id, "once");
}

#[test]
fn a_copy_that_falls_behind_is_told_of_once_and_when_it_has_caught_up() {
    let mut story = ready();
    let said = |story: &Story, words: &str| story.log.iter().filter(|line| line.contains(words)).count();
    story.wait(Span::minutes(6));
    assert_eq!(said(&story, "lag_warn"), 0, "five minutes are its rhythm");
    story.wait(Span::minutes(2));
    story.wait(Span::minutes(2));
    assert_eq!((said(&story, "lag_warn"), said(&story, "caught up")), (1, 0));
    let mut status = rounds(&story, 2);
    status.last.as_mut().expect("landed").consistent_at = story.now - Span::minutes(10).delta();
    status.activity = Activity::Round(RoundFigures {
        kind: RoundKind::Incremental,
        began_at: story.now,
        disks: Vec::new(),
        rate: 0,
        held_percent: 0,
    });
    tell(&mut story, Report::Replicating(status));
    assert_eq!(said(&story, "caught up"), 0, "a round that has only begun has brought nothing");
    land(&mut story, 3);
    story.wait(Span::minutes(1));
    assert_eq!((said(&story, "lag_warn"), said(&story, "caught up")), (1, 1));
}

#[test]
fn a_copy_whose_guest_is_left_alone_for_longer_than_its_rhythm_is_not_late() {
    let mut story = ready();
    let mut status = rounds(&story, 2);
    status.activity = Activity::Resting { next_at: story.now + Span::minutes(30).delta() };
    tell(&mut story, Report::Replicating(status));
    story.wait(Span::minutes(29));
    assert!(!story.log.iter().any(|line| line.contains("lag_warn")), "it was left alone: {:?}", story.log);
    story.wait(Span::minutes(4));
    assert!(story.log.iter().any(|line| line.contains("lag_warn")), "no round came: {:?}", story.log);
}

/// Moved to its copy, and its owner wants it back.
fn goes_back() -> Story {
    let mut story = ready();
    begin(&mut story);
    story.moves("db");
    tell(&mut story, Report::Stopped);
    tell(&mut story, Report::Released);
    for host in story.fleet.hosts.values_mut() {
        host.standing = Standing::Open;
    }
    let by = Actor::Owner { owner: owner_id("acme") };
    let back = Back { migration: story.migration("db").id, by, at: None, loss: Loss::None };
    let opened =
        story.question(|situation| revert(situation, &back)).expect("granted").expect("it is not over");
    story.accept(opened.changes);
    story
}

#[test]
fn the_way_back_begins_with_the_disks_that_were_kept() {
    let story = goes_back();
    let back = replica(&story);
    assert_eq!((&back.from, &back.to), (&host_name("h2"), &host_name("h1")));
    assert!(
        matches!(&order_of(&story).intent, Intent::HoldReplica { replica } if replica.base == Base::Retained)
    );
}

#[test]
fn a_way_back_that_a_maintenance_takes_over_begins_with_them_as_well() {
    let mut story = goes_back();
    let first = replica(&story);
    tell(&mut story, Report::Held);
    story.drain(&["h2"], Urgency::Normal);
    assert!(story.migration("db").maintenance.is_some(), "the maintenance has taken it over");
    let failure = Failure { class: FailureClass::RefusedBySource, text: "no checkpoint".to_owned() };
    tell(&mut story, Report::Refused(failure));
    story.wait(Span::hours(1));
    tell(&mut story, Report::Released);
    let again = replica(&story);
    assert_ne!(again.id, first.id);
    assert_eq!((again.to, again.base), (first.to, Base::Retained));
}
