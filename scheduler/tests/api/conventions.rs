//! Repeats, versions and pages.

use axum::http::{Method, StatusCode};
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};

async fn drain(api: &Api, key: &str, body: &Value) -> Answer {
    let ask = api.ask(Method::POST, "/v1/maintenances").token(&api.operator);
    ask.header("idempotency-key", key).json(body).send().await
}

#[tokio::test]
async fn a_repeat_under_the_same_key_gets_the_same_answer_and_is_done_once() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "7d" });
    // The first answer is lost on its way: what counts is that the change is there, and its answer with it.
    let lost = drain(&api, "k1", &body).await;
    api.look().await;
    api.pass(Span::minutes(5)).await;
    let again = drain(&api, "k1", &body).await;
    assert_eq!((again.status, &again.text), (StatusCode::CREATED, &lost.text));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["location"], lost.headers["location"]);
    let all = api.get(&api.operator, "/v1/maintenances?only=all").await.json();
    assert_eq!(all["items"].as_array().expect("items").len(), 1);
}

#[tokio::test]
async fn the_same_key_with_another_request_is_refused() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "7d" });
    drain(&api, "k1", &body).await;
    let other = json!({ "hosts": ["h2"], "reason": "kernel-update", "deadline": "7d" });
    let answer = drain(&api, "k1", &other).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.problem(), "idempotency-key-reused");
    let ask =
        api.ask(Method::POST, "/v1/hosts/h2/cordon").token(&api.operator).header("idempotency-key", "k1");
    assert_eq!(ask.json(&json!({ "reason": "x" })).send().await.problem(), "idempotency-key-reused");
    assert_eq!(drain(&api, "", &body).await.problem(), "invalid-parameter");
}

#[tokio::test]
async fn a_refused_wish_leaves_its_key_free() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h4"], "reason": "kernel-update", "deadline": "7d" });
    let cordon = json!({ "reason": "x" });
    drain(&api, "k1", &body).await;
    let ask =
        || api.ask(Method::POST, "/v1/hosts/h4/cordon").token(&api.operator).header("idempotency-key", "k2");
    assert_eq!(ask().json(&cordon).send().await.problem(), "host-taken");
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    api.look().await;
    api.look().await;
    let answer = ask().json(&cordon).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn two_repeats_at_the_same_moment_make_one_maintenance() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "7d" });
    let (one, other) = tokio::join!(drain(&api, "k1", &body), drain(&api, "k1", &body));
    assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED), "{one:?} {other:?}");
    assert_eq!(one.json()["id"], other.json()["id"]);
    let all = api.get(&api.operator, "/v1/maintenances?only=all").await.json();
    assert_eq!(all["items"].as_array().expect("items").len(), 1);
}

#[tokio::test]
async fn a_secret_is_answered_once_and_stored_nowhere() {
    let api = Api::new().await;
    let body = json!({ "role": "operator", "subject": "grace" });
    let ask = || api.ask(Method::POST, "/v1/tokens").token(&api.operator).header("idempotency-key", "t1");
    let first = ask().json(&body).send().await.json();
    let second = ask().json(&body).send().await.json();
    assert!(first["secret"].is_string());
    assert!(second["secret"].is_null(), "{second}");
    assert_eq!(first["id"], second["id"]);
}

#[tokio::test]
async fn a_change_is_made_only_to_what_was_seen() {
    let api = Api::new().await;
    api.drain_h1().await;
    let seen = api.get(&api.operator, "/v1/maintenances/1").await;
    let etag = seen.headers["etag"].to_str().expect("text").to_owned();
    let known =
        api.ask(Method::GET, "/v1/maintenances/MT-1").token(&api.operator).header("if-none-match", &etag);
    let known = known.send().await;
    assert_eq!((known.status, known.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let change = |what: &str| {
        let path = format!("/v1/maintenances/1/{what}");
        api.ask(Method::POST, &path).token(&api.operator).header("if-match", &etag).json(&json!({}))
    };
    assert_eq!(change("pause").send().await.status, StatusCode::OK);
    let late = change("resume").send().await;
    assert_eq!(
        (late.status, late.problem().as_str()),
        (StatusCode::PRECONDITION_FAILED, "precondition-failed")
    );
    assert_eq!(api.get(&api.operator, "/v1/maintenances/1").await.json()["state"], "paused");
    let fresh =
        api.ask(Method::GET, "/v1/maintenances/1").token(&api.operator).header("if-none-match", &etag);
    assert_eq!(fresh.send().await.status, StatusCode::OK, "it has changed");
}

#[tokio::test]
async fn windows_and_contacts_are_versioned_by_what_they_say() {
    let api = Api::new().await;
    let body = json!({ "name": "Acme", "mail": ["ops@acme.example"], "timezone": "Europe/Berlin" });
    assert_eq!(api.put(&api.acme, "/v1/owners/acme", &body).await.status, StatusCode::OK);
    let etag = api.get(&api.acme, "/v1/owners/acme").await.headers["etag"].to_str().expect("text").to_owned();
    let put = |name: &str| {
        let body = json!({ "name": name, "mail": ["ops@acme.example"] });
        api.ask(Method::PUT, "/v1/owners/acme").token(&api.acme).header("if-match", &etag).json(&body)
    };
    assert_eq!(put("Acme Ltd").send().await.status, StatusCode::OK);
    assert_eq!(put("Acme Inc").send().await.problem(), "precondition-failed");
}

#[tokio::test]
async fn every_answer_carries_an_id_that_a_caller_may_choose() {
    let api = Api::new().await;
    let answer = api.ask(Method::GET, "/v1/nowhere").header("x-request-id", "trace-7").send().await;
    assert_eq!(answer.json()["request_id"], "trace-7");
    let answer = api.ask(Method::GET, "/v1/nowhere").header("x-request-id", "a b{}").send().await;
    assert_ne!(answer.json()["request_id"], "a b{}");
}
