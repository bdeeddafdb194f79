//! Test launches: asked for, shown, ended and marked; and when they are refused.

use axum::http::StatusCode;
use drover_agent_api::{OperationState, Order};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::checks::{CheckName, Finding, Item, Looked, Verdict};
use drover_policies::replica::{EndOfTest, Point, Seen, TestStatus, TestStep};
use drover_policies::samples::NOON;
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};
use crate::pages::Browser;
use crate::replicas::{prepared, resting, tells};

async fn ask(api: &Api, token: &str, number: &str, what: &str) -> Answer {
    api.post(token, &format!("/v1/migrations/{number}/replica/test{what}"), &json!({})).await
}

async fn test(api: &Api, token: &str, number: &str) -> Value {
    let answer = api.get(token, &format!("/v1/replicas/{number}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["test"].clone()
}

async fn host_of(api: &Api) -> String {
    api.migration_of("stuck").await["to"].as_str().expect("a place").to_owned()
}

/// The destination's agent tells of the test.
pub async fn answers(api: &Api, state: OperationState) {
    let host = host_of(api).await;
    let told = |order: &Order| matches!(order, Order::TestLaunch(_)).then(|| state.clone());
    api.answer_orders(&host, told).await;
}

pub fn running() -> OperationState {
    OperationState::Testing {
        status: TestStatus {
            step: TestStep::Running,
            point: Some(Point { round: 2, consistent_at: NOON }),
            name: Some("stuck-test".to_owned()),
            console: Some("vnc://127.0.0.1:5901".to_owned()),
            seen: Some(Seen::Alive {
                sign: "its guest agent answers".to_owned(),
                answered_after: Some(Span::seconds(23)),
                looked: None,
            }),
            until: Some(NOON + Span::hours(24).delta()),
            ..TestStatus::new(NOON)
        },
    }
}

#[tokio::test]
async fn a_test_is_launched_shown_marked_and_ended_by_its_owner() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, resting()).await;
    let owner = api.acme.clone();
    let asked = ask(&api, &owner, &number, "").await;
    assert_eq!(
        (asked.status, &asked.json()["test"]["state"]),
        (StatusCode::OK, &json!("asked")),
        "{asked:?}"
    );
    api.look().await;
    assert_eq!(test(&api, &owner, &number).await["state"], "cleaning_up");
    answers(&api, running()).await;
    let shown = test(&api, &owner, &number).await;
    assert_eq!(
        (&shown["state"], &shown["name"], &shown["alive"]),
        (&json!("running"), &json!("stuck-test"), &json!(true))
    );
    assert_eq!(shown["console"], "vnc://127.0.0.1:5901", "whoever tests looks at it");
    let passed = ask(&api, &owner, &number, "/passed").await;
    assert_eq!(passed.json()["test"]["result"], "passed", "{passed:?}");
    let ended = ask(&api, &owner, &number, "/end").await;
    assert_eq!(ended.json()["test"]["state"], "ending", "{ended:?}");
    api.look().await;
    answers(&api, OperationState::Tested { because: EndOfTest::Asked, seen: None }).await;
    let over = test(&api, &owner, &number).await;
    assert_eq!(
        (&over["state"], &over["ended"], &over["result"]),
        (&json!("over"), &json!("ended on request"), &json!("passed"))
    );
}

#[tokio::test]
async fn what_a_test_guest_was_looked_at_for_is_shown() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, resting()).await;
    ask(&api, &api.acme, &number, "").await;
    api.look().await;
    let OperationState::Testing { mut status } = running() else { panic!("a test") };
    let check = Item::Own { check: CheckName::new("shop").expect("a name") };
    let findings = vec![
        Finding::read(Item::Addresses, Verdict::Passed, "as before"),
        Finding::read(check, Verdict::Failed, "no answer at port 443"),
    ];
    let looked = Looked { findings, ..Looked::default() };
    status.seen = Some(Seen::Alive {
        sign: "its guest agent answers".to_owned(),
        answered_after: Some(Span::seconds(23)),
        looked: Some(looked),
    });
    answers(&api, OperationState::Testing { status }).await;
    let shown = test(&api, &api.acme, &number).await;
    assert_eq!((&shown["alive"], &shown["well"]), (&json!(true), &json!(false)), "{shown}");
    assert_eq!(
        (&shown["checks"][1]["verdict"], &shown["checks"][1]["seen"]),
        (&json!("failed"), &json!("no answer at port 443"))
    );
    assert_eq!(shown["answered_after_ms"], 23_000, "{shown}");
    let migration = api.get(&api.acme, &format!("/v1/migrations/{number}")).await.json();
    assert_eq!(migration["replica"]["estimate"]["boot_ms"], 23_000, "{migration}");
    let events = api.get(&api.acme, &format!("/v1/events?migration={number}")).await.text;
    assert!(events.contains("answers, 23s after its start"), "{events}");
    assert!(events.contains("but it is not as it should be"), "{events}");
    let owner = Browser::signed_in(&api, &api.acme).await;
    let page = owner.get(&format!("/my/migrations/{number}")).await.text;
    assert!(page.contains("no answer at port 443") && page.contains("after its start"), "{page}");
}

#[tokio::test]
async fn what_can_not_be_done_is_refused_with_the_rule() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    let refused = |answer: Answer, rule: &str| {
        assert_eq!(
            (answer.status, &answer.json()["rule"]),
            (StatusCode::CONFLICT, &json!(rule)),
            "{answer:?}"
        );
    };
    let operator = api.operator.clone();
    refused(ask(&api, &operator, &number, "").await, "nothing_landed");
    refused(ask(&api, &operator, &number, "/end").await, "no_test");
    refused(ask(&api, &operator, &number, "/failed").await, "no_test_ran");
    tells(&api, resting()).await;
    assert_eq!(ask(&api, &operator, &number, "").await.status, StatusCode::OK);
    refused(ask(&api, &operator, &number, "").await, "test_under_way");
    api.look().await;
    refused(ask(&api, &operator, &number, "").await, "test_under_way");
    let failure =
        Failure { class: FailureClass::RefusedByDestination, text: "no such network on h3".to_owned() };
    answers(&api, OperationState::Tested { because: EndOfTest::Failed { failure }, seen: None }).await;
    let shown = test(&api, &operator, &number).await["ended"].as_str().unwrap_or_default().to_owned();
    assert!(shown.contains("no such network"), "{shown}");
    let shown = test(&api, &api.acme, &number).await["ended"].as_str().unwrap_or_default().to_owned();
    assert!(shown.starts_with("it could not be launched") && !shown.contains("h3"), "{shown}");
    refused(ask(&api, &operator, &number, "/passed").await, "no_test_ran");
}

#[tokio::test]
async fn another_owner_finds_nothing() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, resting()).await;
    for what in ["", "/end", "/passed", "/failed"] {
        let answer = ask(&api, &api.globex, &number, what).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    }
}
