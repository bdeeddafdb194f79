//! Test launches beside a replica.

use drover_policies::attempt::{Failure, FailureClass, Report};
use drover_policies::conduct::{Intent, NewOperation, NewWish};
use drover_policies::host::Standing;
use drover_policies::ids::{OperationId, ServerId};
use drover_policies::notices::{Actor, Tells, Trial};
use drover_policies::replica::{
    EndOfTest, Mark, Point, Seen, Test, TestResult, TestState, TestStatus, TestStep,
};
use drover_policies::time::Span;
use uuid::Uuid;

use crate::replicas::{begin, ready, ready_under, replica};
use crate::story::Story;

const GUEST: ServerId = ServerId(Uuid::from_u128(0x6e57));

/// Somebody asks for a test of the last replica.
fn ask(story: &mut Story) {
    let asked = replica(story).launch_test((GUEST, Actor::Drover), None, story.now).expect("granted");
    *story.replicas.last_mut().expect("one") = asked;
    story.look();
}

fn test(story: &Story) -> Test {
    replica(story).test.expect("a test")
}

fn order(story: &Story) -> NewOperation {
    let operation = test(story).state.operation().expect("an order");
    story.orders.get(&operation).expect("given").clone()
}

fn reports(story: &mut Story, operation: OperationId, report: Report) {
    story.reports.insert(operation, report);
    story.look();
}

fn running(story: &Story) -> TestStatus {
    TestStatus {
        step: TestStep::Running,
        point: Some(Point { round: 2, consistent_at: story.now }),
        name: Some("db-test".to_owned()),
        console: Some("vnc://127.0.0.1:5900".to_owned()),
        seen: Some(Seen::Alive { sign: "it runs".to_owned(), answered_after: None, looked: None }),
        until: Some(story.now + Span::hours(24).delta()),
        ..TestStatus::new(story.now)
    }
}

/// Ready, with a test that runs.
fn tested() -> (Story, OperationId) {
    let mut story = ready();
    ask(&mut story);
    let given = order(&story);
    assert_eq!(given.host, replica(&story).to);
    let Intent::TestLaunch { guest, look: None, .. } = given.intent else { panic!("{:?}", given.intent) };
    assert_eq!(guest, GUEST);
    let status = running(&story);
    reports(&mut story, given.id, Report::Testing(Box::new(status)));
    (story, given.id)
}

fn over(because: EndOfTest) -> Report {
    Report::Tested { because, seen: None }
}

#[test]
fn a_test_is_launched_at_the_destination_and_its_log_is_told_step_by_step() {
    let (mut story, operation) = tested();
    let told = |story: &Story| -> Vec<String> {
        story.log.iter().filter(|line| line.contains("test launch at")).cloned().collect()
    };
    assert_eq!(told(&story).len(), 7, "{:?}", told(&story));
    story.look();
    assert_eq!(told(&story).len(), 7, "nothing is told twice");
    reports(&mut story, operation, over(EndOfTest::Expired));
    assert!(matches!(
        test(&story).state,
        TestState::Over { because: EndOfTest::Expired, point: Some(_), .. }
    ));
    assert!(told(&story).last().is_some_and(|line| line.contains("its time was over")), "{:?}", told(&story));
    assert_eq!(story.state("db"), "ready", "the migration goes on");
}

#[test]
fn the_server_is_not_cut_over_before_its_test_is_gone() {
    let (mut story, operation) = tested();
    begin(&mut story);
    assert_eq!(story.state("db"), "ready");
    assert_eq!(story.wishes.get(&operation), Some(&NewWish::AbortAsked));
    assert_eq!(test(&story).state.name(), "ending");
    reports(&mut story, operation, over(EndOfTest::Asked));
    story.wait(Span::seconds(1));
    assert_eq!(story.state("db"), "cutting_over");
}

#[test]
fn another_test_is_ordered_when_the_one_before_is_gone() {
    let (mut story, first) = tested();
    ask(&mut story);
    assert_eq!(order(&story).id, first);
    assert_eq!(story.wishes.get(&first), Some(&NewWish::AbortAsked));
    reports(&mut story, first, over(EndOfTest::Asked));
    story.look();
    assert_ne!(order(&story).id, first);
}

#[test]
fn one_that_its_agent_will_not_have_is_over_with_the_reason() {
    let mut story = ready();
    ask(&mut story);
    let failure = Failure { class: FailureClass::Busy, text: "too old".to_owned() };
    let id = order(&story).id;
    reports(&mut story, id, Report::Refused(failure));
    assert!(matches!(test(&story).state, TestState::Over { because: EndOfTest::Failed { .. }, .. }));
    assert_eq!(story.state("db"), "ready");
}

#[test]
fn a_place_that_is_lost_ends_its_test() {
    let (mut story, operation) = tested();
    let lost = replica(&story);
    story.fleet.hosts.get_mut(&lost.to).expect("known").standing =
        Standing::Cordoned { reason: "disk".to_owned(), since: story.now };
    story.wait(Span::seconds(10));
    assert_eq!(story.wishes.get(&operation), Some(&NewWish::AbortAsked));
    assert_ne!(replica(&story).to, lost.to);
    assert_eq!(replica(&story).test, None, "what is elsewhere was not tested");
}

#[test]
fn an_early_reminder_advises_to_test_until_a_test_has_passed() {
    let reminded = |left: Span, result: Option<TestResult>| {
        let mut story = ready_under(&format!("[notice]\nreminders = [\"{left}\"]\n"));
        if let Some(result) = result {
            ask(&mut story);
            let (operation, status) = (order(&story).id, running(&story));
            reports(&mut story, operation, Report::Testing(Box::new(status)));
            let mark = Mark { result, by: Actor::Drover, at: story.now };
            *story.replicas.last_mut().expect("one") = replica(&story).mark_test(mark).expect("it ran");
        }
        let slot = story.migration("db").appointment.slot().expect("a time");
        story.wait(Span::between(story.now, slot.start - left.delta()));
        match story.told.last() {
            Some((_, Tells::Reminder { trial, .. })) => *trial,
            other => panic!("no reminder, but {other:?}"),
        }
    };
    let early = Span::hours(48);
    assert_eq!(reminded(early, None), Trial::Advised);
    assert_eq!(reminded(early, Some(TestResult::Failed)), Trial::Advised);
    assert_eq!(reminded(early, Some(TestResult::Passed)), Trial::NotAdvised);
    assert_eq!(reminded(Span::hours(24), None), Trial::Advised, "the last one that most owners get in time");
    assert_eq!(reminded(Span::hours(23), None), Trial::NotAdvised, "that is too late");
}
