//! Going back to the old local disks as they were, where whoever asks accepts that what was written since is lost.

use drover_policies::attempt::{Failure, FailureClass, Report};
use drover_policies::conduct::{AskedRefusal, Back, Intent, LocalDisks, revert};
use drover_policies::fleet::{Ability, Reach};
use drover_policies::host::Standing;
use drover_policies::ids::MigrationId;
use drover_policies::maintenance::{State as MaintenanceState, Urgency};
use drover_policies::migration::{Loss, Refusal, State};
use drover_policies::notices::{Actor, Cause, Tells, WhyGivenUp, Wisher};
use drover_policies::replica::{Filled, ReplicaState};
use drover_policies::samples::{host_name, owner_id};
use drover_policies::time::Span;

use crate::replicas::{begin, order_of, ready, replica, tell};
use crate::story::Story;

fn owner() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

/// Moved from h1 to its copy at h2.
fn moved() -> Story {
    let mut story = ready();
    begin(&mut story);
    story.moves("db");
    tell(&mut story, Report::Stopped);
    tell(&mut story, Report::Released);
    for host in story.fleet.hosts.values_mut() {
        host.standing = Standing::Open;
    }
    for maintenance in story.maintenances.values_mut() {
        maintenance.state = MaintenanceState::Completed { at: story.now };
    }
    story
}

fn ask(story: &mut Story, migration: MigrationId, loss: Loss) -> Result<(), AskedRefusal> {
    let back = Back { migration, by: owner(), at: None, loss };
    let opened = story.question(|situation| revert(situation, &back))?.expect("it is not over");
    story.accept(opened.changes);
    Ok(())
}

fn goes_back() -> Story {
    let mut story = moved();
    let original = story.migration("db").id;
    ask(&mut story, original, Loss::Accepted).expect("granted");
    story
}

fn refused(change: impl FnOnce(&mut Story), loss: Loss) -> AskedRefusal {
    let mut story = moved();
    change(&mut story);
    let original = story.migration("db").id;
    ask(&mut story, original, loss).expect_err("refused")
}

#[test]
fn its_old_disks_are_looked_at_and_it_is_booted_from_them_at_once() {
    let mut story = goes_back();
    let looked = order_of(&story);
    assert_eq!(looked.host, host_name("h1"));
    assert!(matches!(looked.intent, Intent::LookAtRetained { .. }), "{looked:?}");
    assert_eq!(story.state("db"), "preparing", "nothing is touched before they are known to be there");
    tell(&mut story, Report::Held);
    assert_eq!(story.state("db"), "cutting_over", "nothing is copied and nobody waited for");
    let order = story.order_for("db");
    assert_eq!(order.host, host_name("h2"));
    assert!(
        matches!(&order.intent, Intent::Reboot { disks: LocalDisks::Retained(disks), .. } if disks.len() == 1)
    );

    story.moves("db");
    let lost_by = story.told.iter().find_map(|(_, tells)| match tells {
        Tells::Reverted { loss_accepted_by, .. } => Some(loss_accepted_by.clone()),
        _ => None,
    });
    assert_eq!(lost_by, Some(Some(owner())), "the mail says who has accepted it");
    assert!(
        story.log.iter().any(|line| line.contains("accepts that what it has written")),
        "{:#?}",
        story.log
    );
    let gone = story.replicas.iter().all(|replica| replica.is_gone());
    assert!(gone, "no agent holds anything that had to be let go of");
}

#[test]
fn its_owner_reads_it_before_it_begins() {
    let story = goes_back();
    let cause = story.migration("db").cause();
    assert_eq!(cause, Cause::Revert { by: Wisher::Owner, loss: Loss::Accepted });
}

#[test]
fn old_disks_that_are_not_there_give_it_up_and_the_server_is_not_touched() {
    let mut story = goes_back();
    let original = story.migration("db").reverts().expect("a revert").migration;
    let text = "nothing is retained of it on this host any more".to_owned();
    tell(
        &mut story,
        Report::Refused(Failure { class: FailureClass::RefusedByDestination, text: text.clone() }),
    );
    assert_eq!(story.state("db"), "cancelled");
    let given_up = Tells::GivenUp { why: WhyGivenUp::NothingRetained { text } };
    assert_eq!(story.told.last().map(|(_, tells)| tells), Some(&given_up));
    let original = story.migrations.iter().find(|known| known.id == original).expect("known");
    assert!(
        matches!(original.state, State::Completed { .. }),
        "it can be confirmed, or reverted without a loss"
    );
    assert!(replica(&story).is_gone());
}

#[test]
fn a_cutover_that_fails_leaves_it_where_it_is_and_is_tried_again_from_the_same_disks() {
    let mut story = goes_back();
    tell(&mut story, Report::Held);
    story.fails("db", FailureClass::TargetDidNotBoot);
    assert_eq!(replica(&story).state, ReplicaState::Held);
    story.wait(Span::days(1));
    let state = story.state("db");
    assert!(["preparing", "ready", "pending", "cutting_over"].contains(&state), "{state}");
}

#[test]
fn a_maintenance_that_takes_it_over_and_sends_it_elsewhere_copies_its_disks() {
    let mut story = goes_back();
    story.fleet.hosts.get_mut(&host_name("h1")).expect("known").standing =
        Standing::Cordoned { reason: "disk".to_owned(), since: story.now };
    story.drain(&["h2"], Urgency::Normal);
    tell(&mut story, Report::Held);
    let copy = replica(&story);
    assert_eq!((copy.filled, copy.to), (Filled::ByRounds, host_name("h3")), "nothing is lost on that way");
}

#[test]
fn a_loss_is_accepted_only_where_there_would_be_one() {
    let on_shared_disks = |story: &mut Story| {
        story.change("h2", "db", |facts| {
            facts.disks[0].reach = Reach::Shared { storage: "pool".to_owned() };
        });
    };
    let refusal = refused(on_shared_disks, Loss::Accepted);
    assert_eq!(refusal, AskedRefusal::NothingToLose);
    assert!(refusal.for_owner().contains("without accept_data_loss"));
}

#[test]
fn what_can_t_be_copied_back_is_refused_with_what_else_can_be_done() {
    let silent = |story: &mut Story| {
        story.fleet.hosts.get_mut(&host_name("h2")).expect("known").facts.replication = None;
    };
    let refusal = refused(silent, Loss::None);
    assert!(
        refusal.to_string().contains("h2") && refusal.to_string().contains("--accept-data-loss"),
        "{refusal}"
    );
    let said = refusal.for_owner();
    assert!(said.contains("accept_data_loss") && !said.contains("h2"), "{said}");

    let mut story = moved();
    silent(&mut story);
    let original = story.migration("db").id;
    ask(&mut story, original, Loss::Accepted).expect("that needs no copying");
    tell(&mut story, Report::Held);
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn an_agent_that_does_not_know_how_is_not_asked() {
    for host in ["h1", "h2"] {
        let old = |story: &mut Story| {
            let known = story.fleet.hosts.get_mut(&host_name(host)).expect("known");
            known.facts.abilities.remove(&Ability::ReturnToRetained);
        };
        assert_eq!(refused(old, Loss::Accepted), AskedRefusal::TooOld { host: host_name(host) });
    }
}

#[test]
fn nobody_goes_back_twice_or_after_it_was_confirmed() {
    let mut story = goes_back();
    let original = story.migration("db").reverts().expect("a revert").migration;
    let by = story.migration("db").number;
    let again = ask(&mut story, original, Loss::Accepted).expect_err("refused");
    assert_eq!(again, AskedRefusal::State(Refusal::BeingReverted { by }));

    let confirmed = |story: &mut Story| story.wait(Span::hours(25));
    assert!(matches!(refused(confirmed, Loss::Accepted), AskedRefusal::State(_)));
}
