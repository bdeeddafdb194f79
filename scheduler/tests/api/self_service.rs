//! What people ask for without a maintenance, and what comes after it.

use axum::http::StatusCode;
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};

fn in_hours(api: &Api, hours: u64) -> Value {
    json!(api.app.clock.now() + Span::hours(hours).delta())
}

async fn wishes(api: &Api, token: &str, server: &str, hours: u64) -> Answer {
    let body = json!({ "at": in_hours(api, hours) });
    api.post(token, &format!("/v1/servers/{server}/migrate"), &body).await
}

#[tokio::test]
async fn an_owner_asks_for_a_time_and_has_a_place_and_a_ticket_at_once() {
    let api = Api::new().await;
    let answer = wishes(&api, &api.acme, "db", 30).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let migration = answer.json();
    assert_eq!(migration["state"], "ready");
    assert_eq!(migration["waits_for"]["code"], "owner");
    assert_eq!(migration["ticket"], "DR-1001");
    assert_eq!(migration["appointment"]["by"]["who"], "owner");
    assert!(migration.get("to").is_none(), "an owner sees no host: {migration}");
    let inside = api.get(&api.operator, "/v1/migrations/DR-1001").await.json();
    assert_ne!(inside["to"], "h1", "{inside}");
    let ticket = api.get(&api.acme, "/v1/tickets/DR-1001").await.json();
    assert_eq!(ticket["notices"][0]["kind"], "requested", "{ticket}");
    let moved = wishes(&api, &api.acme, "db", 31).await;
    assert_eq!(moved.status, StatusCode::OK, "a second wish moves the first: {moved:?}");
    assert_eq!(moved.json()["id"], migration["id"]);
    api.look().await;
    let all = api.get(&api.acme, "/v1/migrations?only=all").await.json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all}");
}

#[tokio::test]
async fn what_is_wrong_about_a_wish_is_named_and_nothing_is_done() {
    let api = Api::new().await;
    let path = "/v1/servers/db/migrate";
    let answer = api.post(&api.acme, path, &json!({})).await;
    assert_eq!(answer.problem(), "invalid-field");
    assert!(answer.detail().contains("at"), "{answer:?}");
    let answer = api.post(&api.acme, path, &json!({ "at": "tomorrow" })).await;
    assert_eq!(answer.problem(), "invalid-field");
    let too_soon = json!({ "at": api.app.clock.now() + Span::minutes(59).delta() });
    let answer = api.post(&api.acme, path, &too_soon).await;
    assert_eq!((answer.problem().as_str(), &answer.json()["rule"]), ("appointment", &json!("too_soon")));
    let answer = wishes(&api, &api.acme, "db", 24 * 31).await;
    assert_eq!(answer.json()["rule"], "after_deadline", "{answer:?}");
    let foreign = wishes(&api, &api.globex, "db", 30).await;
    let missing = wishes(&api, &api.globex, "nothing", 30).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.detail().replace("db", "nothing"), missing.detail());
    let answer = wishes(&api, &api.acme, "stuck", 30).await;
    assert_eq!(answer.problem(), "refused");
    assert!(!answer.text.contains("secret-path"), "{}", answer.text);
    assert_eq!(api.get(&api.operator, "/v1/migrations?only=all").await.json()["items"], json!([]));
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_he_may_again() {
    let api = Api::with_policy("[owners]\nself_service_per_server = 2\n").await;
    for _ in 0..2 {
        let number = wishes(&api, &api.acme, "db", 30).await.json()["number"].clone();
        let cancelled = api.post(&api.acme, &format!("/v1/migrations/{number}/cancel"), &json!({})).await;
        assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
        api.pass(Span::hours(1)).await;
    }
    let refused = wishes(&api, &api.acme, "db", 30).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-often"));
    assert_eq!(refused.json()["next"], in_hours(&api, 22), "{refused:?}");
    let now = api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    assert_eq!(now.problem(), "too-often", "now is counted like later");
    let theirs = wishes(&api, &api.operator, "db", 30).await;
    assert_eq!(theirs.status, StatusCode::CREATED, "operators are not counted: {theirs:?}");
}

#[tokio::test]
async fn self_service_can_be_switched_off_and_what_a_maintenance_needs_goes_on() {
    let api = Api::with_policy("[owners]\nself_service = false\n").await;
    let refused = wishes(&api, &api.acme, "db", 30).await;
    assert_eq!((refused.problem().as_str(), &refused.json()["rule"]), ("refused", &json!("switched_off")));
    api.drain_h1().await;
    api.look().await;
    let now = api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    assert_eq!(now.status, StatusCode::CREATED, "{now:?}");
}

#[tokio::test]
async fn an_owner_takes_back_what_he_asked_for_and_nothing_else() {
    let api = Api::new().await;
    wishes(&api, &api.acme, "db", 30).await;
    let foreign = api.post(&api.globex, "/v1/migrations/1001/cancel", &json!({})).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let cancelled = api.post(&api.acme, "/v1/migrations/DR-1001/cancel", &json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
    let again = api.post(&api.acme, "/v1/migrations/DR-1001/cancel", &json!({})).await;
    assert_eq!(again.problem(), "refused");
    let ticket = api.get(&api.acme, "/v1/tickets/DR-1001").await.json();
    assert_eq!(ticket["state"], "closed");
    wishes(&api, &api.operator, "db", 30).await;
    let theirs = api.post(&api.acme, "/v1/migrations/DR-1002/cancel", &json!({})).await;
    assert!(theirs.detail().contains("operators"), "{theirs:?}");
    api.drain_h1().await;
    api.look().await;
    let adopted = api.get(&api.operator, "/v1/migrations/DR-1002").await.json();
    assert!(adopted["maintenance"].is_string(), "{adopted}");
    let needed = api.post(&api.operator, "/v1/migrations/DR-1002/cancel", &json!({})).await;
    assert!(needed.detail().contains("maintenance"), "{needed:?}");
    let of_it = api.get(&api.operator, "/v1/migrations?maintenance=MT-1&limit=50").await.json();
    let items = of_it["items"].as_array().expect("a list");
    assert!(items.iter().any(|item| item["number"] == 1002), "it is listed with the maintenance: {of_it}");
    assert_eq!(items.iter().filter(|item| item["server_name"] == "db").count(), 1, "and not doubled");
}

#[tokio::test]
async fn what_is_not_done_is_neither_confirmed_nor_reverted() {
    let api = Api::new().await;
    wishes(&api, &api.acme, "db", 30).await;
    for wish in ["confirm", "revert"] {
        let path = format!("/v1/migrations/DR-1001/{wish}");
        let answer = api.post(&api.acme, &path, &json!({})).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "refused"));
        assert!(answer.detail().contains("is done"), "{answer:?}");
        let foreign = api.post(&api.globex, &path, &json!({})).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    }
    for (body, field) in
        [(json!({ "when": "now" }), "when"), (json!({ "accept_data_loss": "yes" }), "accept_data_loss")]
    {
        let answer = api.post(&api.acme, "/v1/migrations/DR-1001/revert", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{answer:?}");
        assert!(answer.detail().contains(field), "{answer:?}");
    }
    let losing = json!({ "accept_data_loss": true });
    let answer = api.post(&api.operator, "/v1/migrations/DR-1001/revert", &losing).await;
    assert_eq!(answer.problem(), "refused", "it has not been moved: {answer:?}");
}
