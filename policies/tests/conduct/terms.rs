//! What a maintenance keeps to, in its plan and in what is promised: not only when somebody is about to begin.

use std::num::NonZeroU32;

use drover_policies::fleet::{Allowance, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::maintenance::{Hooks, Kind, Maintenance, Terms};
use drover_policies::migration::Waiting;
use drover_policies::samples::Sample;
use drover_policies::time::Span;
use drover_policies::windows::Slot;

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
