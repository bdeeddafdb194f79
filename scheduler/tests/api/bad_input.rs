//! Whatever is wrong gets an answer that says what would be right, and changes nothing.

use axum::http::{Method, StatusCode};
use drover_policies::time::Span;
use serde_json::json;

use crate::fixture::{Api, id};

async fn nothing_was_begun(api: &Api) {
    let maintenances = api.get(&api.operator, "/v1/maintenances?only=all").await.json();
    assert_eq!(maintenances["items"], json!([]));
    let hosts = api.get(&api.operator, "/v1/hosts").await.json();
    for host in hosts["items"].as_array().expect("hosts") {
        assert_eq!(host["standing"]["state"], "open", "{host}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named_and_the_nearest_is_offered() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1", "h9"], "reason": "x", "deadline": "7d" });
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field")
    );
    let problem = answer.json();
    assert_eq!(problem["field"], "hosts");
    assert_eq!(problem["unknown"], json!(["h9"]));
    assert!(problem["suggestions"].as_array().is_some_and(|names| !names.is_empty()));
    nothing_was_begun(&api).await;
    let answer = api.get(&api.operator, "/v1/hosts/h9").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
}

#[tokio::test]
async fn a_server_that_does_not_exist_is_not_found_and_one_of_two_names_is_not_guessed() {
    let api = Api::new().await;
    let answer = api.get(&api.operator, "/v1/servers/wed").await;
    assert_eq!(answer.problem(), "not-found");
    assert_eq!(answer.json()["suggestions"], json!(["web"]));
    let answer = api.get(&api.operator, "/v1/servers/twin").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "ambiguous-name"));
    assert_eq!(answer.json()["candidates"], json!([id(5), id(6)]));
    let answer = api.get(&api.acme, "/v1/servers/twin").await;
    assert_eq!(answer.json()["id"], id(5), "an owner has one of that name only");
}

#[tokio::test]
async fn a_deadline_in_the_past_or_without_meaning_is_refused() {
    let api = Api::new().await;
    for (deadline, said) in [
        ("2020-01-01T00:00:00Z", "is past"),
        ("10s", "less than"),
        ("soon", "is no time"),
        ("900000000000000d", "no time"),
        ("99999999d", "too far"),
    ] {
        let body = json!({ "hosts": ["h1"], "reason": "x", "deadline": deadline });
        let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{deadline}: {answer:?}");
        assert_eq!(answer.json()["field"], "deadline");
        assert!(answer.detail().contains(said), "{deadline}: {}", answer.detail());
    }
    nothing_was_begun(&api).await;
}

#[tokio::test]
async fn an_empty_reason_and_no_hosts_are_refused() {
    let api = Api::new().await;
    for (body, field) in [
        (json!({ "hosts": [], "reason": "x" }), "hosts"),
        (json!({ "hosts": ["h1"], "reason": "  " }), "reason"),
        (json!({ "hosts": ["h1"], "reason": "a\nb" }), "reason"),
        (json!({ "hosts": ["h1"] }), "reason"),
        (json!({ "hosts": "h1", "reason": "x" }), "hosts"),
        (json!({ "hosts": ["h1"], "reason": "x", "emergency": { "why": "" } }), "emergency.why"),
        (json!({ "hosts": ["h1"], "reason": "x", "deadlin": "7d" }), "deadlin"),
    ] {
        let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{body}");
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.detail());
    }
    nothing_was_begun(&api).await;
}

#[tokio::test]
async fn two_operators_who_drain_the_same_host_do_not_both_get_it() {
    let api = Api::new().await;
    let first = api.drain_h1().await;
    let body = json!({ "hosts": ["h2", "h1"], "reason": "disk", "deadline": "7d" });
    for body in [body.clone(), json!({ "dry_run": true, "hosts": ["h1"], "reason": "disk" })] {
        let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "host-taken"));
        assert_eq!(answer.json()["number"], first["number"]);
        assert!(answer.detail().contains("MT-1"), "{}", answer.detail());
    }
    let h2 = api.get(&api.operator, "/v1/hosts/h2").await.json();
    assert_eq!(h2["standing"]["state"], "open", "the other host is not taken either");
    let answer = api.post(&api.operator, "/v1/hosts/h1/uncordon", &json!({})).await;
    assert_eq!(answer.problem(), "host-taken");
}

#[tokio::test]
async fn what_is_not_json_or_not_announced_as_such_is_refused_with_its_place() {
    let api = Api::new().await;
    let ask = || api.ask(Method::POST, "/v1/maintenances").token(&api.operator);
    let answer = ask().header("content-type", "application/json").text("{\"hosts\": [").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, "malformed-body"));
    assert!(answer.json()["column"].is_number());
    let answer =
        ask().header("content-type", "application/x-www-form-urlencoded").text("reason=x").send().await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.problem(), "unsupported-media-type");
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(300_000));
    let answer = ask().header("content-type", "application/json").text(&large).send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    nothing_was_begun(&api).await;
}

#[tokio::test]
async fn an_address_a_method_or_a_parameter_that_does_not_exist_is_a_problem_as_well() {
    let api = Api::new().await;
    let answer = api.get(&api.operator, "/v1/hostz").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "no-such-route"));
    let answer = api.ask(Method::DELETE, "/v1/hosts").token(&api.operator).send().await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
    );
    assert!(answer.headers["allow"].to_str().expect("text").contains("GET"));
    for (path, parameter) in [
        ("/v1/hosts?clustre=c1", "clustre"),
        ("/v1/hosts?limit=0", "limit"),
        ("/v1/hosts?limit=many", "limit"),
        ("/v1/hosts?standing=closed", "standing"),
        ("/v1/migrations?state=stuck", "state"),
        ("/v1/migrations?cursor=nonsense", "cursor"),
        ("/v1/events?cursor=nonsense", "cursor"),
        ("/v1/tickets?only=new", "only"),
    ] {
        let answer = api.get(&api.operator, path).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::BAD_REQUEST, "invalid-parameter"),
            "{path}"
        );
        assert_eq!(answer.json()["parameter"], parameter, "{path}: {}", answer.detail());
    }
}

#[tokio::test]
async fn a_window_that_never_opens_or_is_too_short_is_refused() {
    let api = Api::new().await;
    let recurring = |cron: &str, duration: &str, timezone: &str| json!({ "opens": { "cron": cron, "duration": duration, "timezone": timezone } });
    for (body, field) in [
        (recurring("0 2 30 2 *", "4h", "UTC"), "opens.cron"),
        (recurring("0 2 * *", "4h", "UTC"), "opens.cron"),
        (recurring("0 2 * * 0", "1s", "UTC"), "opens.duration"),
        (recurring("0 2 * * 0", "0s", "UTC"), "opens.duration"),
        (recurring("0 2 * * 0", "long", "UTC"), "opens.duration"),
        (recurring("0 2 * * 0", "4h", "Europe/Berln"), "opens.timezone"),
        (json!({ "opens": { "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" } }), "opens.end"),
        (json!({ "opens": { "start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z" } }), "opens.end"),
        (json!({ "opens": { "cron": "0 2 * * 0" } }), "opens"),
    ] {
        let path = format!("/v1/windows/{}", id(900));
        let answer = api.put(&api.acme, &path, &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{body}");
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.detail());
    }
    assert_eq!(api.get(&api.acme, "/v1/windows").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_policy_with_a_typo_is_refused_with_the_nearest_right_name() {
    let api = Api::new().await;
    let body = json!({ "files": [{ "name": "site.toml", "text": "[live]\nallowd = false\n" }] });
    let answer = api.post(&api.operator, "/v1/policy/check", &body).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "bad-policy"));
    assert_eq!(answer.json()["problems"][0]["line"], 2);
    assert!(answer.detail().contains("allowed"), "{}", answer.detail());
    let body = json!({ "files": [{ "name": "site.toml", "text": "[live]\nallowed = false\n" }] });
    assert_eq!(api.post(&api.operator, "/v1/policy/check", &body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_time_that_breaks_a_rule_is_refused_with_what_would_be_accepted() {
    let api = Api::new().await;
    api.drain_h1().await;
    let migration = api.migration_of("db").await;
    assert_eq!(migration["state"], "ready", "{migration}");
    let path = format!("/v1/migrations/{}/reschedule", migration["number"]);
    let deadline = migration["deadline"].as_str().expect("a deadline");
    for (start, rule, member) in [
        ("2026-01-05T12:10:00Z", "too_soon", "earliest"),
        ("2020-01-05T12:10:00Z", "too_soon", "earliest"),
        (deadline, "after_deadline", "latest"),
    ] {
        let answer = api.post(&api.acme, &path, &json!({ "start": start })).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::CONFLICT, "appointment"),
            "{answer:?}"
        );
        assert_eq!(answer.json()["rule"], rule);
        assert!(answer.json()[member].is_string(), "{answer:?}");
    }
    assert_eq!(api.migration_of("db").await["appointment"], migration["appointment"], "nothing was changed");
}

#[tokio::test]
async fn a_server_that_can_not_be_moved_is_not_begun_and_says_why() {
    let api = Api::new().await;
    let answer = api.post(&api.operator, "/v1/servers/stuck/migrate-now", &json!({})).await;
    assert_eq!(answer.problem(), "refused");
    assert_eq!(
        answer.json()["obstacles"][0]["code"],
        "not_replicating",
        "it could be copied, if its agent did that"
    );
    let answer = api.post(&api.acme, "/v1/servers/stuck/migrate-now", &json!({})).await;
    assert_eq!(answer.problem(), "refused");
    assert!(!answer.text.contains("secret-path"), "{}", answer.text);
    assert_eq!(api.get(&api.operator, "/v1/migrations?only=all").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_maintenance_that_is_over_and_a_migration_that_has_not_failed_say_so() {
    let api = Api::new().await;
    api.drain_h1().await;
    let answer = api.post(&api.operator, "/v1/migrations/1001/retry", &json!({})).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "refused"));
    assert_eq!(api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await.status, StatusCode::OK);
    let answer = api.post(&api.operator, "/v1/maintenances/MT-1/resume", &json!({})).await;
    assert_eq!(answer.problem(), "refused");
    assert!(answer.detail().contains("cancelled"), "{}", answer.detail());
    api.pass(Span::seconds(1)).await;
}

#[tokio::test]
async fn an_agent_of_another_host_or_of_an_earlier_start_is_refused() {
    let api = Api::new().await;
    let request = |host: &str, incarnation: u64| {
        json!({ "protocol": 1, "host": host, "incarnation": incarnation, "inventory": null, "operations": [],
                "seen_revision": null, "wait_ms": 0 })
    };
    let answer = api.post(&api.agent, "/agent/v1/sync", &request("h2", 1)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "wrong-token"));
    let answer = api.post(&api.agent, "/agent/v1/sync", &request("h1", 0)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "refused"));
    let answer = api.post(&api.agent, "/agent/v1/sync", &request("h1", 1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let answer = api.post(&api.agent, "/agent/v1/sync", &json!({ "hots": 1 })).await;
    assert_eq!(answer.problem(), "invalid-field");
}

#[tokio::test]
async fn contacts_with_wrong_parts_are_refused_by_field() {
    let api = Api::new().await;
    for (body, field) in [
        (json!({ "mail": ["nobody"] }), "mail[0]"),
        (json!({ "mail": ["ok@example.org", "a@b, c@d"] }), "mail[1]"),
        (json!({ "timezone": "Mars" }), "timezone"),
        (json!({ "name": "a\nb" }), "name"),
        (json!({ "language": "german language" }), "language"),
        (json!({ "language": "" }), "language"),
        (json!({ "language": "klingon" }), "language"),
        (json!({ "reminders": "no" }), "reminders"),
    ] {
        let answer = api.put(&api.acme, "/v1/owners/acme", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{body}");
        assert_eq!(answer.json()["field"], field, "{}", answer.detail());
    }
    assert_eq!(api.get(&api.acme, "/v1/owners/acme").await.status, StatusCode::NOT_FOUND);
    let body = json!({ "mail": ["ok@example.org"], "language": "DE-at", "reminders": false });
    api.put(&api.acme, "/v1/owners/acme", &body).await;
    let shown = api.get(&api.acme, "/v1/owners/acme").await.json();
    assert_eq!((&shown["language"], &shown["reminders"]), (&json!("de-AT"), &json!(false)));
}
