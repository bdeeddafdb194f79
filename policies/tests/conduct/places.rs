//! Places that are lost before their time: another is held at once, and an owner hears of it only if his time changes.

use std::collections::BTreeSet;

use drover_policies::fleet::{Allowance, Host, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::ids::HostName;
use drover_policies::maintenance::{Kind, Terms, Urgency};
use drover_policies::samples::{Sample, gib, host_name};
use drover_policies::time::Span;
use drover_policies::windows::Slot;

use crate::replicas::ready;
use crate::story::Story;

const ONE_REBOOT: &str = "[limits]\nreboots_per_host = 1\n";

fn forbids(facts: &mut ServerFacts) {
    facts.rules.live_migration = Some(Allowance::Forbidden);
    facts.memory_bytes = gib(30);
}

/// Two servers, each alone on its host and to be rebooted at the same time; each of them has a host of its own to go to.
fn both_drained(others: &[&str]) -> Story {
    let hosts: Vec<&str> = ["h1", "h2"].iter().chain(others).copied().collect();
    let fleet =
        Sample::new().hosts(&hosts).server("h1", "db-1", forbids).server("h2", "db-2", forbids).fleet();
    let mut story = Story::new(fleet, ONE_REBOOT);
    story.drain(&["h1", "h2"], Urgency::Normal);
    assert_ne!(place(&story, "db-1"), place(&story, "db-2"));
    assert_eq!(slot(&story, "db-1"), slot(&story, "db-2"));
    assert_eq!(story.told(), ["proposed", "proposed"]);
    story
}

fn place(story: &Story, server: &str) -> HostName {
    story.migration(server).to().expect("a place is held").clone()
}

fn slot(story: &Story, server: &str) -> Slot {
    story.migration(server).appointment.slot().expect("a time")
}

fn cordon(story: &mut Story, host: &HostName) {
    let known = story.fleet.hosts.get_mut(host).expect("a known host");
    known.standing = Standing::Cordoned { reason: "its memory fails".to_owned(), since: story.now };
    story.look();
}

#[test]
fn a_place_at_which_the_time_can_be_kept_is_taken_first_and_nobody_is_told() {
    let mut story = both_drained(&["h3", "h4", "h5"]);
    let (lost, before, theirs) = (place(&story, "db-1"), slot(&story, "db-1"), place(&story, "db-2"));
    cordon(&mut story, &lost);
    let now = place(&story, "db-1");
    assert!(now != lost && now != theirs, "{now}");
    assert_eq!(slot(&story, "db-1"), before);
    assert_eq!(story.told(), ["proposed", "proposed"]);
}

#[test]
fn where_only_a_host_is_left_that_is_promised_to_others_then_its_owner_is_told_of_another_time() {
    let mut story = both_drained(&["h3", "h4"]);
    let (lost, before) = (place(&story, "db-1"), slot(&story, "db-1"));
    cordon(&mut story, &lost);
    assert_eq!(place(&story, "db-1"), place(&story, "db-2"));
    assert!(!slot(&story, "db-1").overlaps(slot(&story, "db-2")), "{before:?}");
    assert!(slot(&story, "db-1").start >= before.end, "he has planned with none before");
    assert_eq!(story.told(), ["proposed", "proposed", "rescheduled"], "once, and only this one");
    story.wait(Span::minutes(10));
    assert_eq!(story.told().len(), 3);
}

#[test]
fn a_host_that_is_silent_loses_the_places_that_it_held() {
    let mut story = both_drained(&["h3", "h4", "h5"]);
    let (lost, before) = (place(&story, "db-1"), slot(&story, "db-1"));
    let seen = story.fleet.hosts[&lost].observed_at;
    story.wait(Span::minutes(10));
    story.fleet.hosts.get_mut(&lost).expect("it is known").observed_at = seen;
    story.look();
    assert_ne!(place(&story, "db-1"), lost);
    assert_eq!(slot(&story, "db-1"), before);
    assert_eq!(story.told(), ["proposed", "proposed"]);
}

#[test]
fn a_host_that_is_to_be_emptied_itself_gives_its_places_to_others() {
    let mut story = both_drained(&["h3", "h4", "h5"]);
    let (lost, before) = (place(&story, "db-1"), slot(&story, "db-1"));
    // Its turn does not come as long as nobody may begin.
    let terms = Terms { hosts_at_once: std::num::NonZeroU32::new(1), ..Terms::default() };
    let other = ["h3", "h4", "h5"].into_iter().filter(|name| *name != lost.as_str());
    let free = other.into_iter().find(|name| *name != place(&story, "db-2").as_str()).expect("a third");
    let id = story.draft(&[lost.as_str()], Kind::Drain, terms);
    assert_eq!(place(&story, "db-1"), lost, "a draft changes nothing");
    let now = story.now;
    story.wish(id, |it| {
        let approved = it.approve(
            drover_policies::notices::Actor::Operator { name: "olga".to_owned() },
            drover_policies::maintenance::InPart::Refused,
            now,
        );
        approved
            .expect("it can be approved")
            .pause(drover_policies::notices::Actor::Drover, now)
            .expect("it has begun")
    });
    assert_eq!(place(&story, "db-1"), host_name(free), "{}", story.log.join("\n"));
    assert_eq!(slot(&story, "db-1"), before);
    assert_eq!(story.told(), ["proposed", "proposed"]);
}

#[test]
fn a_copy_that_can_not_be_made_anew_in_time_changes_the_time() {
    let mut story = ready();
    let before = slot(&story, "db");
    let almost = Span::between(story.now, before.start - Span::minutes(1).delta());
    story.wait(almost);
    let told = story.told().len();
    let lost = place(&story, "db");
    cordon(&mut story, &lost);
    assert_ne!(place(&story, "db"), lost);
    assert!(slot(&story, "db").start > before.end, "{:?}", slot(&story, "db"));
    let since: BTreeSet<&str> = story.told()[told..].iter().copied().collect();
    assert_eq!(since, BTreeSet::from(["rescheduled"]), "{}", story.log.join("\n"));
}

#[test]
fn what_is_held_of_named_resources_follows_what_the_server_takes_now() {
    let cards = |has: u32| move |host: &mut Host| host.facts.resources.extend([("gpu".to_owned(), has)]);
    let takes = |facts: &mut ServerFacts, some: u32| facts.resources = [("gpu".to_owned(), some)].into();
    let fleet = Sample::new().host("h1", cards(4)).host("h2", cards(2)).host("h3", cards(4));
    let fleet = fleet.server("h1", "db-1", |facts| {
        forbids(facts);
        takes(facts, 1);
    });
    let mut story = Story::new(fleet.fleet(), "");
    // So that the smaller one is chosen first.
    let h3 = host_name("h3");
    cordon(&mut story, &h3);
    story.drain(&["h1"], Urgency::Normal);
    let held = |story: &Story| story.migration("db-1").place.clone().expect("a place is held");
    assert_eq!(
        (held(&story).host, held(&story).resources),
        (host_name("h2"), [("gpu".to_owned(), 1)].into())
    );

    story.change("h1", "db-1", |facts| takes(facts, 2));
    assert_eq!(
        (held(&story).host, held(&story).resources),
        (host_name("h2"), [("gpu".to_owned(), 2)].into())
    );

    story.fleet.hosts.get_mut(&h3).expect("a known host").standing = Standing::Open;
    story.change("h1", "db-1", |facts| takes(facts, 3));
    assert_eq!((held(&story).host, held(&story).resources), (h3, [("gpu".to_owned(), 3)].into()));

    story.change("h1", "db-1", |facts| facts.resources.clear());
    assert!(held(&story).resources.is_empty(), "{:?}", held(&story));
}
