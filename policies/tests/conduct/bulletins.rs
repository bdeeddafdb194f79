//! What operators are told of a maintenance.

use drover_policies::bulletins::{Bulletin, End, FailedHost, Left, Says};
use drover_policies::fleet::{Ability, Fleet, ServerFacts};
use drover_policies::hooks::HookOutcome;
use drover_policies::ids::{HookName, MaintenanceId};
use drover_policies::maintenance::{InPart, Kind, Stage, State, Terms};
use drover_policies::samples::{Sample, gib, host_name};
use drover_policies::time::Span;

use crate::rolling::{NAMES, at_once, operator, six};
use crate::story::Story;

const BROKEN: HookOutcome = HookOutcome::Failed { exit: Some(1), signal: None };

/// Hosts without servers: all come in one wave, and are at their hooks at once.
fn empty(hosts: &[&str]) -> Fleet {
    let with_hooks = |sample: Sample, name: &&str| {
        sample.host(name, |host| {
            host.facts.abilities.insert(Ability::RunHooks);
            host.facts.hooks = [HookName::maintain()].into();
        })
    };
    hosts.iter().fold(Sample::new(), with_hooks).fleet()
}

fn at_their_hooks(hosts: &[&str], terms: Terms) -> (Story, MaintenanceId) {
    let mut story = Story::new(empty(hosts), "");
    let id = story.patch(hosts, terms);
    story.until_hooks();
    story.bulletins.clear();
    (story, id)
}

impl Story {
    fn kinds(&self) -> Vec<&'static str> {
        self.bulletins.iter().map(|bulletin| bulletin.says.kind()).collect()
    }
}

/// The hosts that a bulletin says have failed, and whether it says that no other begins.
fn failed(bulletin: &Bulletin) -> (Vec<&str>, bool) {
    match &bulletin.says {
        Says::HostsFailed { failed, stopped, .. } => {
            (failed.iter().map(|failed| failed.host.as_str()).collect(), *stopped)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn that_it_waits_has_begun_and_is_over_is_told_once_each() {
    let mut story = Story::new(six().fleet(), "");
    let id = story.draft(&NAMES, Kind::Patch, at_once(2));
    assert_eq!(story.kinds(), ["maintenance_awaits_approval"]);
    story.approve(id);
    assert_eq!(story.kinds()[1..], ["maintenance_begun"]);
    assert_eq!(story.bulletins[1].says, Says::Begun { by: operator() });
    story.run_out(id, 2);
    assert_eq!(story.kinds()[2..], ["maintenance_over"]);
    let Says::Over { end: End::Completed, tally } = &story.bulletins[2].says else {
        panic!("{:?}", story.bulletins)
    };
    assert_eq!((tally.done, tally.skipped, tally.left, tally.failed.len()), (6, 0, 0, 0));
    let about = &story.bulletins[2].maintenance;
    assert_eq!((about.number.as_str(), about.hosts, about.kind), ("MT-1", 6, Kind::Patch));
}

#[test]
fn failures_of_one_wave_that_come_within_minutes_are_told_together() {
    let (mut story, id) =
        at_their_hooks(&["h1", "h2", "h3", "h4"], Terms { max_failed_hosts: 4, ..Terms::default() });
    story.hook_ends("h1", BROKEN);
    story.wait(Span::minutes(4));
    story.hook_ends("h2", BROKEN);
    story.wait(Span::minutes(5));
    assert_eq!(story.kinds(), [""; 0], "others may follow");
    story.wait(Span::minutes(1));
    assert_eq!(story.bulletins.iter().map(failed).collect::<Vec<_>>(), [(vec!["h1", "h2"], false)]);
    story.wait(Span::hours(1));
    story.hook_ends("h3", BROKEN);
    assert_eq!(story.bulletins.len(), 1);
    story.passes("h4");
    assert!(matches!(story.maintenances[&id].state, State::Completed { .. }));
    assert_eq!(story.kinds()[1..], ["maintenance_over"], "the end tells of the last one");
    let Says::Over { tally, .. } = &story.bulletins[1].says else { panic!("{:?}", story.bulletins) };
    assert_eq!(
        tally.failed.iter().map(|failed| failed.host.as_str()).collect::<Vec<_>>(),
        ["h1", "h2", "h3"]
    );
}

#[test]
fn a_failure_that_nobody_can_join_is_told_at_once_and_again_when_the_next_try_fails() {
    let (mut story, id) = at_their_hooks(&["h1", "h2"], at_once(1));
    story.hook_ends("h1", BROKEN);
    assert_eq!(story.bulletins.iter().map(failed).collect::<Vec<_>>(), [(vec!["h1"], true)]);
    let Says::HostsFailed { failed: hosts, wave: 1, .. } = &story.bulletins[0].says else {
        panic!("{:?}", story.bulletins)
    };
    assert_eq!(hosts[0], FailedHost::of(&host_name("h1"), story.stage(id, "h1")).expect("it has failed"));
    story.wait(Span::hours(2));
    assert_eq!(story.bulletins.len(), 1, "told once");
    let now = story.now;
    story.wish(id, |it| it.retry_host(&host_name("h1"), now).expect("it has failed").0);
    story.hook_ends("h1", BROKEN);
    assert_eq!(story.bulletins.len(), 2, "that is another failure");
}

#[test]
fn a_host_that_fails_after_its_maintenance_was_cancelled_is_told_of() {
    let (mut story, id) = at_their_hooks(&["h1", "h2"], Terms { max_failed_hosts: 2, ..Terms::default() });
    story.hook_ends("h1", BROKEN);
    story.wait(Span::minutes(1));
    let now = story.now;
    story.wish(id, |it| it.cancel(operator(), now).expect("it is open"));
    story.wait(Span::minutes(1));
    story.hook_ends("h2", HookOutcome::Succeeded);
    assert!(matches!(story.stage(id, "h2"), Stage::Failed { .. }));
    let told: Vec<_> = story.bulletins.iter().map(failed).collect();
    assert_eq!(told, [(vec!["h2"], false)], "whoever cancelled it was told of the other");
}

#[test]
fn hosts_that_take_long_together_are_told_together() {
    let terms = Terms { warn_after: Some(Span::hours(1)), ..Terms::default() };
    let (mut story, _) = at_their_hooks(&["h1", "h2"], terms);
    story.wait(Span::hours(1));
    story.wait(Span::hours(1));
    let [Bulletin { says: Says::TakesLong { hosts }, .. }] = &story.bulletins[..] else {
        panic!("{:?}", story.bulletins)
    };
    let told: Vec<_> =
        hosts.iter().map(|slow| (slow.host.as_str(), slow.stage.as_str(), slow.since)).collect();
    assert_eq!(told, [("h1", "hook maintain", Span::hours(1)), ("h2", "hook maintain", Span::hours(1))]);
}

#[test]
fn when_the_pace_misses_the_deadline_that_is_told_once_and_when_it_is_near_as_well() {
    let (mut story, id) = at_their_hooks(&["h1", "h2", "h3", "h4"], at_once(1));
    let (began, deadline) = (story.now, story.maintenances[&id].deadline);
    story.wait(Span::days(2));
    story.passes("h1");
    story.until_hooks();
    assert_eq!(story.maintenances[&id].late_from(), Some(began + (deadline - began) / 4));
    assert_eq!(story.kinds(), [""; 0], "4 times 2 days are less than 10");
    story.wait(Span::days(1));
    let expected = Some(began + Span::days(12).delta());
    assert_eq!(
        story.bulletins.iter().map(|it| it.says.clone()).collect::<Vec<_>>(),
        [Says::Late { expected }]
    );
    story.wait(Span::days(6));
    story.wait(Span::days(6));
    let near = Says::DeadlineNear { left: Left::Hosts { count: 3 } };
    assert_eq!(story.bulletins[1..].iter().map(|it| it.says.clone()).collect::<Vec<_>>(), [near]);
}

#[test]
fn a_deadline_that_passes_is_told_where_no_pace_could_be_seen() {
    let (mut story, _) = at_their_hooks(&["h1", "h2"], Terms::default());
    story.bulletins.clear();
    story.wait(Span::days(9));
    story.wait(Span::days(1));
    assert_eq!(story.kinds(), ["maintenance_deadline_near"], "it is kept to its last moment");
    story.wait(Span::minutes(1));
    assert_eq!(story.bulletins[1].says, Says::Late { expected: None });
}

#[test]
fn that_none_can_begin_is_told_once_for_each_standstill() {
    let full = |sample: Sample, name: &&str| {
        let big = |facts: &mut ServerFacts| facts.memory_bytes = gib(40);
        sample.host(name, |_| {}).server(name, &format!("big-{name}"), big)
    };
    let fleet: Fleet = ["h1", "h2", "h3"].iter().fold(Sample::new(), full).fleet();
    let mut story = Story::new(fleet, "");
    let id = story.draft(&["h1", "h2"], Kind::Drain, Terms::default());
    let Says::AwaitsApproval { obstacles } = &story.bulletins[0].says else {
        panic!("{:?}", story.bulletins)
    };
    assert!(obstacles[0].contains("no room"), "{obstacles:?}");
    let now = story.now;
    story.wish(id, |it| it.approve(operator(), InPart::Accepted, now).expect("what can be done"));
    // What is seen changes, and it is tried again in vain.
    story.change("h3", "big-h3", |facts| facts.memory_bytes = gib(41));
    story.wait(Span::hours(1));
    let begun = ["maintenance_awaits_approval", "maintenance_begun", "maintenance_stopped"];
    assert_eq!(story.kinds(), begun);
}
