//! What a server is looked at for before and after its move, and what comes of it.

use drover_policies::attempt::{Outcome, PowerOff, Report};
use drover_policies::checks::{Before, Check, Finding, Hardware, Item, Looked, Side, Verdict};
use drover_policies::conduct::{Intent, Request, ask, cancel};
use drover_policies::host::Standing;
use drover_policies::ids::OperationId;
use drover_policies::migration::{FailedBecause, Purpose, State};
use drover_policies::notices::{Actor, AfterFailedChecks, Reader, Tells};
use drover_policies::owners::{OwnerCheck, Scope};
use drover_policies::samples::{Sample, host_name, owner_id, server_id};
use drover_policies::time::Span;

use crate::story::{Story, moved};

fn owner() -> Actor {
    Actor::Owner { owner: owner_id("acme") }
}

fn check() -> Check {
    serde_json::from_str(r#"{"name":"shop","check":"tcp","port":443}"#).expect("a check")
}

/// The owner of one server has it moved now; every agent can look.
fn asked(policy: &str) -> Story {
    let fleet = Sample::new().hosts(&["h1", "h2", "h3"]).server("h1", "db", |_| {}).fleet();
    let mut story = Story::new(fleet, policy);
    story.checking = story.fleet.hosts.keys().cloned().collect();
    story.checks.push(OwnerCheck { owner: owner_id("acme"), scope: Scope::Account, check: check() });
    let wish = Request {
        server: server_id(1),
        by: owner(),
        at: None,
        reason: "asked for by its owner".to_owned(),
        earlier: Vec::new(),
    };
    let opened = story.question(|situation| ask(situation, &wish)).expect("granted");
    story.accept(opened.changes);
    story
}

fn looks(story: &Story) -> Option<OperationId> {
    match story.migration("db").validation.before {
        Before::Taking { operation, .. } => Some(operation),
        Before::NotTaken | Before::Taken { .. } => None,
    }
}

fn shop(verdict: Verdict) -> Finding {
    Finding::read(Item::Own { check: check().name }, verdict, "TCP port 443")
}

fn seen(verdict: Verdict) -> Report {
    let findings = vec![Finding::read(Item::Power, Verdict::Passed, "running"), shop(verdict)];
    let looked = Looked { took: Span::seconds(20), hardware: Hardware::default(), findings };
    Report::Alive { sign: "its guest agent answers".to_owned(), looked: Some(looked) }
}

fn looked_before(story: &mut Story, verdict: Verdict) {
    let look = looks(story).expect("it is looked at");
    story.reports.insert(look, seen(verdict));
    story.look();
}

/// It is at its destination, and its agent there tells what it has seen.
fn arrives(story: &mut Story, verdict: Verdict) {
    story.leaves("db");
    story.report("db", Report::ended(Outcome::Moved(moved(Some(PowerOff::GuestAgent)))));
    story.report("db", seen(verdict));
}

#[test]
fn a_server_is_looked_at_before_its_move_and_what_was_seen_goes_along() {
    let mut story = asked("");
    assert_eq!(story.state("db"), "ready", "nothing is begun while it is looked at");
    looked_before(&mut story, Verdict::Failed);
    assert_eq!(story.state("db"), "cutting_over");
    story.leaves("db");
    story.report("db", Report::ended(Outcome::Moved(moved(Some(PowerOff::GuestAgent)))));
    let Intent::Verify { look: Some(look), .. } = story.order_for("db").intent else {
        panic!("its destination is asked to look");
    };
    let Side::After { baseline: Some(before) } = look.side else {
        panic!("with what was seen before: {look:?}")
    };
    assert!(before.findings.contains(&shop(Verdict::Failed)), "{before:?}");
    assert_eq!(look.checks, [check()]);
    assert_eq!(look.within, Span::minutes(2), "as policy says");
}

#[test]
fn an_agent_that_can_not_look_and_a_look_that_came_to_nothing_keep_nobody_waiting() {
    let mut story = asked("");
    let look = looks(&story).expect("it is looked at");
    story.reports.insert(look, Report::NotAlive("it is paused".to_owned()));
    story.look();
    assert_eq!(story.state("db"), "cutting_over");
    assert_eq!(story.migration("db").validation.before.baseline(), None);

    let story = asked("[validation]\nbefore_within = \"0s\"\n");
    assert_eq!(story.state("db"), "cutting_over", "operators want no look before");

    let mut story = asked("");
    story.wait(Span::seconds(19));
    assert_eq!(story.state("db"), "ready", "ten seconds for looking, as many for saying so");
    story.wait(Span::seconds(2));
    assert_eq!(story.state("db"), "cutting_over", "its agent says nothing");
    assert_eq!(looks(&story), None);
}

#[test]
fn an_order_to_look_ends_with_the_migration_that_it_was_for() {
    let story = asked("");
    let look = looks(&story).expect("it is looked at");
    let id = story.migration("db").id;
    let changes =
        story.question(|situation| cancel(situation, id, &owner())).expect("his own").expect("open");
    assert!(changes.ended.contains(&look), "{changes:?}");
}

#[test]
fn what_must_pass_and_fails_holds_until_somebody_says_so() {
    let mut story = asked("");
    looked_before(&mut story, Verdict::Passed);
    arrives(&mut story, Verdict::Failed);
    assert_eq!(story.state("db"), "failed");
    let State::Failed { why: FailedBecause::ChecksFailed { text, .. }, .. } = &story.migration("db").state
    else {
        panic!("{:?}", story.migration("db").state);
    };
    assert_eq!(text, "shop failed (TCP port 443)");
    let told = story.told();
    assert!(told.ends_with(&["checks_failed", "written"]), "its owner and the operators: {told:?}");
    let word = &story.told.last().expect("the word to operators").1;
    assert_eq!(word.mailed_to(), Reader::Operators);
    story.wait(Span::days(5));
    assert_eq!(story.state("db"), "failed", "no time is over by itself");
    let held = story.migration("db").clone();
    assert!(held.confirm(owner()).is_ok(), "he may say that it may stay");
}

#[test]
fn what_is_only_told_completes_and_what_had_failed_before_does_so_too() {
    let mut told = asked("[validation]\non_failed = \"tell\"\n");
    looked_before(&mut told, Verdict::Passed);
    arrives(&mut told, Verdict::Failed);
    assert_eq!(told.state("db"), "completed");
    let Some((_, Tells::Done { findings, downtime, .. })) = told.told.last() else {
        panic!("{:?}", told.told())
    };
    assert!(findings.contains(&shop(Verdict::Failed)));
    let without_looking = moved(Some(PowerOff::GuestAgent)).downtime;
    assert_eq!(*downtime, without_looking, "the look is no part of the downtime");

    let mut before = asked("");
    looked_before(&mut before, Verdict::Failed);
    arrives(&mut before, Verdict::FailedBefore);
    assert_eq!(before.state("db"), "completed");
}

#[test]
fn by_policy_it_goes_back_at_once_and_where_it_can_not_it_is_held_and_says_why() {
    let mut story = asked("[validation]\non_failed = \"revert\"\n");
    looked_before(&mut story, Verdict::Passed);
    arrives(&mut story, Verdict::Failed);
    let back = story.migrations.iter().find(|known| known.reverts().is_some()).expect("the way back");
    assert!(matches!(&back.purpose, Purpose::Revert { asked, .. } if asked.by == Actor::Drover));
    let original = story.migrations.iter().find(|known| known.reverts().is_none()).expect("the first");
    assert_eq!(original.state.name(), "reverting");
    let tells = |story: &Story| {
        story.told.iter().find_map(|(_, tells)| match tells {
            Tells::ChecksFailed { then, .. } => Some(then.clone()),
            _ => None,
        })
    };
    assert_eq!(tells(&story), Some(AfterFailedChecks::Reverting));

    let mut closed = asked("[validation]\non_failed = \"revert\"\n");
    looked_before(&mut closed, Verdict::Passed);
    let cordoned = Standing::Cordoned { reason: "a disk".to_owned(), since: closed.now };
    closed.fleet.hosts.get_mut(&host_name("h1")).expect("the host").standing = cordoned;
    arrives(&mut closed, Verdict::Failed);
    assert_eq!(closed.state("db"), "failed");
    let Some(AfterFailedChecks::Held { why_not_reverted: Some(why) }) = tells(&closed) else {
        panic!("{:?}", tells(&closed));
    };
    assert!(why.contains("closed for maintenance"), "{why}");
}
