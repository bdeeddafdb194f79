//! Servers with local disks that go live, their disks with them.

use drover_policies::attempt::{Failure, FailureClass, Outcome, Report};
use drover_policies::conduct::Intent;
use drover_policies::eligibility::WhyNotLive;
use drover_policies::fleet::Ability;
use drover_policies::maintenance::Urgency;
use drover_policies::migration::State;
use drover_policies::replica::{Filled, Images, ReplicaState};
use drover_policies::samples::{gib, host_name};
use drover_policies::time::Span;

use crate::replicas::{fleet, order_of, replica, tell};
use crate::story::{Story, moved};

/// Every host's agent can take running servers with their disks.
fn story(policy: &str) -> Story {
    let mut story = Story::new(fleet(), policy);
    for host in story.fleet.hosts.values_mut() {
        host.facts.abilities.insert(Ability::CopyLive);
    }
    story
}

fn draining(policy: &str) -> Story {
    let mut story = story(policy);
    story.drain(&["h1"], Urgency::Normal);
    story
}

/// It moves, and its images are made.
fn under_way() -> Story {
    let mut story = draining("");
    tell(&mut story, Report::Held);
    story
}

#[test]
fn images_are_made_first_and_then_it_goes_live_without_a_ticket() {
    let mut story = draining("");
    let order = order_of(&story);
    assert!(matches!(order.intent, Intent::HoldReplica { .. }), "{order:?}");
    let waits = story.migration("db").state.waits_for().map(ToString::to_string).unwrap_or_default();
    assert!(waits.contains("images"), "{waits}");
    tell(&mut story, Report::Held);
    assert_eq!((story.state("db"), &replica(&story).state), ("preflight", &ReplicaState::Held));
    let intent = story.order_for("db").intent;
    assert!(matches!(intent, Intent::Live { replica: Some(_), .. }), "{intent:?}");
    story.moves("db");
    assert_eq!(story.state("db"), "completed", "its old disks are kept until it is confirmed");
    let released = order_of(&story).intent;
    assert!(matches!(released, Intent::ReleaseReplica { images: Images::Keep, .. }), "{released:?}");
    assert!(story.told().is_empty(), "nobody noticed anything: {:?}", story.told());
    story.wait(Span::hours(25));
    assert_eq!(story.state("db"), "discarding", "then they are deleted");
    story.report("db", Report::Discarded);
    assert_eq!(story.state("db"), "closed");
}

#[test]
fn a_try_that_fails_keeps_its_images_for_the_next_one() {
    let mut story = under_way();
    let first = replica(&story).id;
    story.fails("db", FailureClass::LostOnTheWay);
    story.wait(Span::hours(1));
    assert_eq!(story.state("db"), "preflight");
    assert_eq!(replica(&story).id, first);
}

#[test]
fn one_that_does_not_converge_is_copied_by_rounds_and_rebooted() {
    let mut story = under_way();
    let images = replica(&story);
    story.fails("db", FailureClass::NotConverging);
    assert!(matches!(story.migration("db").why_not_live, Some(WhyNotLive::LiveFailed { .. })));
    assert_eq!(story.state("db"), "preparing");
    let copy = replica(&story);
    assert_eq!((copy.id, copy.filled), (images.id, Filled::ByRounds), "what is there is the base");
    assert!(matches!(order_of(&story).intent, Intent::Replicate { .. }));
}

#[test]
fn policy_or_an_agent_that_can_t_leads_to_a_copy_and_a_reboot() {
    let forbidden = draining("[live]\nlocal_disks = false\n");
    assert_eq!(replica(&forbidden).filled, Filled::ByRounds);
    assert!(matches!(forbidden.migration("db").why_not_live, Some(WhyNotLive::LocalDisks { .. })));
    for able in [&["h1"][..], &["h2", "h3"][..]] {
        let mut story = story("");
        for host in story.fleet.hosts.values_mut() {
            if !able.contains(&host.name.as_str()) {
                host.facts.abilities.remove(&Ability::CopyLive);
            }
        }
        story.drain(&["h1"], Urgency::Normal);
        assert_eq!(replica(&story).filled, Filled::ByRounds, "{able:?}");
    }
    let mut one = story("");
    one.fleet.hosts.get_mut(&host_name("h2")).expect("known").facts.abilities.remove(&Ability::CopyLive);
    one.drain(&["h1"], Urgency::Normal);
    assert_eq!((replica(&one).filled, &replica(&one).to), (Filled::Live, &host_name("h3")));
}

#[test]
fn images_of_another_size_are_made_anew() {
    let mut story = draining("");
    story.change("h1", "db", |facts| facts.disks[0].virtual_bytes = Some(gib(30)));
    tell(&mut story, Report::Held);
    assert!(matches!(order_of(&story).intent, Intent::ReleaseReplica { images: Images::Delete, .. }));
    assert_eq!(story.state("db"), "pending");
    tell(&mut story, Report::Released);
    let anew = replica(&story);
    assert_eq!(anew.disks[0].virtual_bytes, gib(30));
}

#[test]
fn a_host_that_can_t_make_the_images_is_passed_over() {
    let mut story = draining("");
    let first = replica(&story).to;
    let text = "/var/lib/libvirt/images/db.qcow2 is there already".to_owned();
    tell(&mut story, Report::Refused(Failure { class: FailureClass::RefusedByDestination, text }));
    story.look();
    assert_ne!(story.migration("db").to(), Some(&first));
}

#[test]
fn one_that_waits_for_its_reboot_goes_live_once_it_may_and_its_old_disks_are_kept_as_well() {
    let mut story = draining("[live]\nlocal_disks = false\n");
    tell(&mut story, Report::Held);
    story.policies = drover_policies::policy::PolicySet::parse(&[]).expect("right");
    story.look();
    tell(&mut story, Report::Stopped);
    tell(&mut story, Report::Released);
    tell(&mut story, Report::Held);
    assert_eq!(story.state("db"), "preflight");
    story.leaves("db");
    story.report("db", Report::ended(Outcome::Moved(moved(None))));
    story.report("db", Report::Alive { sign: "it runs".to_owned(), looked: None });
    assert!(matches!(story.migration("db").state, State::Completed { .. }));
    assert_eq!(story.told().last(), Some(&"avoided"), "its owner is told that no reboot is needed");
}
