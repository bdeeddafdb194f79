//! Whole stories: a drain, an owner who moves the date, one who does not wait.

use axum::http::{Method, StatusCode};
use drover_policies::fleet::Server;
use drover_policies::samples::{NOON, host_name, server_facts, server_id};
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::Api;

fn codes(list: &Value) -> Vec<String> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|item| item["kind"].as_str().expect("a word").to_owned())
        .collect()
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "30d", "dry_run": true });
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let plan = answer.json();
    let mut decisions: Vec<(&str, &str)> = plan["servers"]
        .as_array()
        .expect("servers")
        .iter()
        .map(|server| {
            (server["name"].as_str().expect("a name"), server["decision"].as_str().expect("a word"))
        })
        .collect();
    decisions.sort_unstable();
    assert_eq!(decisions, [("db", "reboot"), ("shop", "reboot"), ("web", "live")]);
    assert!(plan["text"].as_str().is_some_and(|text| text.contains("owner_forbids")), "{plan}");
    api.look().await;
    assert_eq!(api.get(&api.operator, "/v1/hosts/h1").await.json()["standing"]["state"], "open");
    assert_eq!(api.get(&api.operator, "/v1/migrations?only=all").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_drain_begins_at_once_and_shows_what_waits_for_what() {
    let api = Api::new().await;
    let maintenance = api.drain_h1().await;
    assert_eq!(maintenance["number"], "MT-1");
    let detail = api.get(&api.operator, "/v1/maintenances/mt-1").await.json();
    assert_eq!(detail["state"], "running");
    assert_eq!(detail["hosts"][0]["servers_left"], 3);
    assert_eq!(detail["counts"]["total"], 3);
    assert_eq!(detail["counts"]["waiting_for_owner"], 2, "{detail}");
    assert_eq!(detail["moving"][0]["server_name"], "web");
    assert_eq!(api.get(&api.operator, "/v1/hosts/h1").await.json()["standing"]["state"], "draining");
    let plan = api.get(&api.operator, "/v1/maintenances/1/plan").await.json();
    assert_eq!(plan["servers"].as_array().expect("servers").len(), 3);
    let events = api.get(&api.operator, "/v1/events?maintenance=MT-1&limit=500").await.json();
    let kinds = codes(&events["items"]);
    assert_eq!(kinds[0], "requested");
    assert!(
        kinds.iter().any(|kind| kind == "began") && kinds.iter().any(|kind| kind == "proposed"),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_plan_stays_whole_when_somebody_appears_in_one_of_its_clusters() {
    let mut api = Api::new().await;
    for host in ["h3", "h4"] {
        api.host_is(host, |facts| facts.cluster = "c2".to_owned()).await;
    }
    let body = json!({ "hosts": ["h1", "h3"], "reason": "kernel-update", "deadline": "30d" });
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let planned = async |api: &Api| {
        api.look().await;
        let plan = api.get(&api.operator, "/v1/maintenances/MT-1/plan").await.json();
        let servers = plan["servers"].as_array().expect("servers").iter();
        let mut planned: Vec<String> =
            servers.map(|one| format!("{} to {}", one["name"], one["to"]).replace('"', "")).collect();
        planned.sort();
        planned
    };
    let before = planned(&api).await;
    let names: Vec<&str> = before.iter().filter_map(|one| one.split(' ').next()).collect();
    assert_eq!(names, ["db", "shop", "twin", "web"]);
    let late =
        Server { host: host_name("h3"), facts: server_facts(server_id(77), "late"), observed_at: NOON };
    api.appears("h3", late).await;
    let mut with_late = before;
    with_late.push("late to h4".to_owned());
    with_late.sort();
    assert_eq!(planned(&api).await, with_late);
}

#[tokio::test]
async fn an_owner_moves_the_date_to_a_free_one_and_is_told_so() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].to_string();
    let slots = api.get(&api.acme, &format!("/v1/migrations/{number}/slots?limit=3")).await.json();
    let start = slots["items"][2]["start"].as_str().expect("a third time");
    let path = format!("/v1/migrations/{number}/reschedule");
    let answer = api.post(&api.acme, &path, &json!({ "start": start })).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let moved = answer.json();
    assert_eq!(moved["appointment"]["state"], "rescheduled");
    assert_eq!(moved["appointment"]["slot"]["start"], start);
    assert_eq!(moved["appointment"]["by"], json!({ "who": "owner", "name": "acme" }));
    api.look().await;
    let ticket = api.get(&api.acme, &format!("/v1/tickets/DR-{number}")).await.json();
    assert_eq!(ticket["state"], "open");
    assert_eq!(codes(&ticket["notices"]), ["proposed", "rescheduled"]);
    assert_eq!(ticket["appointment"]["slot"]["start"], start);
}

#[tokio::test]
async fn agreeing_twice_is_agreeing_and_is_told_once() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].to_string();
    for _ in 0..2 {
        let answer = api.post(&api.acme, &format!("/v1/migrations/{number}/approve"), &json!({})).await;
        assert_eq!(answer.json()["appointment"]["state"], "accepted", "{answer:?}");
        api.pass(Span::seconds(5)).await;
    }
    let ticket = api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json();
    assert_eq!(codes(&ticket["notices"]), ["proposed", "accepted"]);
}

#[tokio::test]
async fn an_owner_who_does_not_wait_starts_it_now() {
    let api = Api::new().await;
    api.drain_h1().await;
    let answer = api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    api.look().await;
    let migration = api.migration_of("db").await;
    assert_eq!(migration["state"], "cutting_over", "{migration}");
    let path = format!("/v1/migrations/{}/reschedule", migration["number"]);
    let late = api.post(&api.acme, &path, &json!({ "start": "2026-01-20T02:00:00Z" })).await;
    assert_eq!((late.status, late.problem().as_str()), (StatusCode::CONFLICT, "refused"));
    let again = api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    assert_eq!(again.problem(), "refused");
}

#[tokio::test]
async fn without_a_maintenance_an_owner_gets_a_reboot_migration_of_his_own() {
    let api = Api::new().await;
    let answer =
        api.post(&api.acme, "/v1/servers/web/migrate-now", &json!({ "reason": "noisy neighbour" })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    api.look().await;
    let migration = api.migration_of("web").await;
    assert!(migration["maintenance"].is_null());
    assert_eq!(migration["method"], "reboot");
    assert_eq!(migration["why_not_live"]["code"], "owner_asked_for_reboot");
    assert_eq!(migration["reason"], "noisy neighbour");
    assert_eq!(migration["state"], "cutting_over", "{migration}");
}

#[tokio::test]
async fn an_operator_stops_a_live_migration() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("web").await["number"].to_string();
    let path = format!("/v1/migrations/DR-{number}/abort");
    for _ in 0..2 {
        assert_eq!(api.post(&api.operator, &path, &json!({})).await.status, StatusCode::OK);
    }
    let wanted = api.app.store.operations_wanted().await.expect("a store");
    let wished = wanted.iter().any(|wanted| {
        matches!(
            wanted.operation.wish,
            drover_agent_api::Wish::Abort { because: drover_agent_api::AbortBecause::Asked }
        )
    });
    assert!(wished, "the agent is told: {wanted:?}");
    let events = api.get(&api.operator, &format!("/v1/events?migration={number}&limit=500")).await.json();
    assert_eq!(codes(&events["items"]).iter().filter(|kind| *kind == "aborting").count(), 1);
}

#[tokio::test]
async fn an_emergency_skips_the_window() {
    let api = Api::new().await;
    api.drain_h1().await;
    let body = json!({ "why": "a power supply is failing" });
    let answer = api.post(&api.operator, "/v1/maintenances/1/emergency", &body).await;
    assert_eq!(answer.json()["emergency"], "a power supply is failing");
    api.look().await;
    let states: Vec<Value> = [api.migration_of("db").await, api.migration_of("shop").await]
        .map(|one| one["state"].clone())
        .to_vec();
    assert!(states.contains(&json!("cutting_over")), "{states:?}");
}

#[tokio::test]
async fn a_window_of_ones_own_is_put_shown_and_removed() {
    let api = Api::new().await;
    let path = "/v1/windows/6d9c1a52-5f0c-4f8e-9d35-0d9c2f6d1b11";
    let body = json!({ "scope": { "for": "server", "server": "db" },
                       "opens": { "cron": "0 3 * * 6", "duration": "4h", "timezone": "Europe/Berlin" } });
    let answer = api.put(&api.acme, path, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.json()["next"][0]["start"], "2026-01-10T02:00:00Z");
    assert_eq!(api.put(&api.acme, path, &body).await.status, StatusCode::OK, "the same again is the same");
    let explained = api.get(&api.acme, "/v1/servers/db/explain").await.json();
    assert_eq!(explained["windows_from"], "the owner's window for this server");
    assert_eq!(explained["next_windows"][0]["start"], "2026-01-10T02:00:00Z");
    assert_eq!(explained["method"], "reboot");
    let removed = api.ask(Method::DELETE, path).token(&api.acme).send().await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get(&api.acme, path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_explanation_names_rules_obstacles_and_places() {
    let api = Api::new().await;
    let explained = api.get(&api.operator, "/v1/servers/stuck/explain").await.json();
    assert_eq!(explained["method"], "nothing");
    assert_eq!(explained["obstacles"][0]["code"], "not_replicating");
    let explained = api.get(&api.operator, "/v1/servers/web/explain").await.json();
    assert_eq!(explained["places"][0]["suits"], true, "{}", explained["places"]);
    let rules = explained["rules"].as_array().expect("rules");
    let allowed = rules.iter().find(|rule| rule["setting"] == "live.allowed").expect("the setting");
    assert_eq!((&allowed["value"], &allowed["said_by"]), (&json!(true), &json!("as shipped")));
}

#[tokio::test]
async fn an_explanation_says_what_is_decided_and_why_and_owners_see_no_host_in_it() {
    let api = Api::new().await;
    let before = api.get(&api.operator, "/v1/servers/db/explain").await.json();
    assert!(before.get("decided").is_none(), "nothing is decided yet: {before}");
    api.drain_h1().await;
    let decided = api.get(&api.operator, "/v1/servers/db/explain").await.json()["decided"].clone();
    let migration = api.migration_of("db").await;
    assert_eq!(decided["to"], migration["to"], "{decided}");
    assert!(decided["why_there"].as_str().is_some_and(|why| why.contains('%')), "{decided}");
    assert!(decided["when"]["start"].is_string(), "{decided}");
    assert!(decided["why_then"].as_str().is_some_and(|why| why.starts_with("it is open in ")), "{decided}");
    let to_owner = api.get(&api.acme, "/v1/servers/db/explain").await.json()["decided"].clone();
    assert_eq!(to_owner["when"], decided["when"]);
    assert!(to_owner.get("to").is_none() && to_owner.get("why_there").is_none(), "{to_owner}");
}

#[tokio::test]
async fn the_doctor_says_what_to_do() {
    let api = Api::new().await;
    let findings = api.get(&api.operator, "/v1/doctor").await.json();
    let items = findings["items"].as_array().expect("items").clone();
    let contacts = items.iter().find(|item| item["check"] == "contacts").expect("looked at");
    assert_eq!(contacts["severity"], "warning");
    assert!(contacts["text"].as_str().is_some_and(|text| text.contains("acme") && text.contains("globex")));
    for item in &items {
        assert!(
            item["severity"] == "ok" || item["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()),
            "{item}"
        );
    }
}

#[tokio::test]
async fn a_cancelled_drain_gives_a_host_back_from_which_nothing_has_to_come_to_its_end() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h4"], "reason": "disk" });
    api.post(&api.operator, "/v1/maintenances", &body).await;
    api.look().await;
    let asked = api.app.store.operations_wanted().await.expect("a store");
    assert_eq!(asked.len(), 1, "its libvirt is asked whether it is empty");
    assert_eq!(api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await.status, StatusCode::OK);
    assert_eq!(api.get(&api.operator, "/v1/hosts/h4").await.json()["standing"]["state"], "open");
    assert_eq!(api.app.store.operations_wanted().await.expect("a store"), []);
}
