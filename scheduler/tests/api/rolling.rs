//! Maintenances over many hosts, by the API.

use axum::http::StatusCode;
use drover_agent_api::Wish;
use serde_json::{Value, json};

use crate::fixture::Api;
use crate::pages::Browser;

fn all(rolling: &Value) -> Value {
    json!({ "select": { "all": true }, "reason": "kernel-update", "deadline": "30d", "rolling": rolling })
}

#[tokio::test]
async fn a_draft_is_planned_shown_approved_and_begins() {
    let api = Api::new().await;
    let rolling = json!({ "kind": "patch", "no_hooks": true, "hosts_at_once": 1 });
    let answer = api.post(&api.operator, "/v1/maintenances", &all(&rolling)).await;
    assert_eq!((answer.status, answer.json()["state"].clone()), (StatusCode::CREATED, json!("draft")));
    let early = api.post(&api.operator, "/v1/maintenances/MT-1/approve", &json!({})).await;
    assert!(early.detail().contains("still being planned"), "{}", early.detail());
    let early = api.post(&api.operator, "/v1/maintenances/MT-1/pause", &json!({})).await;
    assert!(early.detail().contains("has not begun"), "{}", early.detail());
    api.look().await;
    let planned = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    assert_eq!(planned["state"], "planned", "{planned}");
    let waves = planned["rolling"]["waves"].as_array().expect("waves").clone();
    let hosts: usize = waves.iter().map(|wave| wave["hosts"].as_array().expect("hosts").len()).sum();
    assert_eq!(hosts, planned["hosts"].as_array().expect("hosts").len());
    let plan = api.get(&api.operator, "/v1/maintenances/MT-1/plan").await.json();
    assert_eq!(plan["waves"], planned["rolling"]["waves"]);
    what_it_does_with_every_server(&api, &plan).await;
    assert_eq!(api.get(&api.operator, "/v1/migrations?only=all").await.json()["items"], json!([]));

    let name = waves[0]["hosts"][0].as_str().expect("a host");
    let host = api.get(&api.operator, &format!("/v1/maintenances/MT-1/hosts/{name}")).await.json();
    assert_eq!((&host["state"], &host["wave"]), (&json!("waiting"), &json!(1)));
    assert!(host["why_this_wave"]["text"].is_string() && host["would_help"].is_string(), "{host}");
    let unknown = api.get(&api.operator, "/v1/maintenances/MT-1/hosts/h99").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);

    let approve = json!({ "anyway": true });
    let answer = api.post(&api.operator, "/v1/maintenances/MT-1/approve", &approve).await;
    assert_eq!(answer.json()["state"], "approved", "{answer:?}");
    api.look().await;
    let running = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    assert_eq!(running["state"], "running");
    let events = api.get(&api.operator, "/v1/events?maintenance=MT-1&limit=500").await.json();
    let kinds: Vec<&Value> = events["items"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["figures"]["what"]["rolling"])
        .collect();
    for kind in ["drafted", "planned", "approved", "turn_began"] {
        assert!(kinds.contains(&&json!(kind)), "{kind}: {kinds:?}");
    }
}

/// A plan that waits for approval says of each server what `drover plan --fleet` says.
async fn what_it_does_with_every_server(api: &Api, plan: &Value) {
    let servers = plan["servers"].as_array().expect("servers");
    let effort = &plan["effort"];
    let placed: Vec<&Value> = servers.iter().filter(|one| one["to"].is_string()).collect();
    assert_eq!(effort["moves"], json!(placed.len()), "{plan}");
    assert!(effort["least_moves"].as_u64() <= effort["moves"].as_u64(), "{effort}");
    assert!(effort["least_ms"].as_u64() <= effort["expected_ms"].as_u64(), "{effort}");
    assert!(effort["expected_ms"].as_u64() <= effort["p90_ms"].as_u64(), "{effort}");
    for one in servers {
        let told = if one["decision"] == "blocked" { &one["why"]["text"] } else { &one["place_why"] };
        assert!(one["wave"].is_u64() && told.is_string(), "{one}");
    }
    for one in &placed {
        // Whoever waits for an owner begins at the time that he agrees to.
        let begins = one["agreement"] == "not_needed";
        assert_eq!(one["begins_after_ms"].is_u64(), begins, "{one}");
        assert!(one["expected_ms"].is_u64(), "{one}");
    }
    let not_live = servers.iter().find(|one| one["decision"] == "reboot").expect("one that can't go live");
    assert!(not_live["why"]["code"].is_string(), "{not_live}");

    let page = Browser::signed_in(api, &api.operator).await.get("/maintenances/MT-1/plan").await;
    let first = placed[0];
    for shown in [&first["name"], &first["to"], &not_live["why"]["code"]] {
        assert!(page.text.contains(shown.as_str().expect("text")), "{shown}: {}", page.text);
    }
    assert!(page.text.contains("no plan of so many waves has fewer than"), "{}", page.text);
    assert!(page.text.contains("nine times in ten at most"), "{}", page.text);
}

#[tokio::test]
async fn a_host_of_a_draft_is_taken_and_can_be_left_out() {
    let api = Api::new().await;
    api.post(&api.operator, "/v1/maintenances", &all(&json!({ "kind": "drain" }))).await;
    api.look().await;
    let body = json!({ "hosts": ["h1"], "reason": "x" });
    let refused = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(refused.problem(), "host-taken");
    assert!(refused.detail().contains("skip-host MT-1 h1"), "{}", refused.detail());
    let answer = api.post(&api.operator, "/v1/maintenances/MT-1/hosts/h1/retry", &json!({})).await;
    assert!(answer.detail().contains("only one that has failed"), "{}", answer.detail());
    let answer = api.post(&api.operator, "/v1/maintenances/MT-1/hosts/h1/skip", &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let h1 = api.get(&api.operator, "/v1/maintenances/MT-1/hosts/h1").await.json();
    assert_eq!(h1["state"], "skipped", "{h1}");
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

#[tokio::test]
async fn a_dry_run_names_the_waves_and_stores_nothing() {
    let api = Api::new().await;
    let mut body = all(&json!({ "kind": "drain" }));
    body["dry_run"] = json!(true);
    let plan = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(plan.status, StatusCode::OK, "{plan:?}");
    let plan = plan.json();
    assert!(!plan["waves"].as_array().expect("waves").is_empty());
    assert!(!plan["servers"].as_array().expect("servers").is_empty(), "{plan}");
    assert_eq!(api.get(&api.operator, "/v1/maintenances?only=all").await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_a_maintenance_may_send_is_shown_and_each_migrations_share_goes_to_its_agent() {
    let api = Api::new().await;
    let rolling = json!({ "kind": "drain", "hosts_at_once": 1, "bandwidth": 40 << 20, "approve": true, "anyway": true });
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "30d", "rolling": rolling });
    let made = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    api.look().await;
    api.look().await;
    let shown = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    assert_eq!(shown["rolling"]["terms"]["bandwidth"], json!(40 << 20), "{shown}");
    let web = api.migration_of("web").await;
    let number = &web["number"];
    let web = api.get(&api.operator, &format!("/v1/migrations/{number}")).await.json();
    assert_eq!(web["attempts"][0]["rate"], json!(40 << 20), "{web}");
    let wanted = api.app.store.operations_wanted().await.expect("a store");
    let limit = wanted.iter().find_map(|wanted| match wanted.operation.wish {
        Wish::Tuned(tuning) => tuning.max_bandwidth,
        Wish::Run | Wish::Pace(_) | Wish::AtOnce | Wish::Abort { .. } => None,
    });
    assert_eq!(limit, Some(40 << 20), "{wanted:?}");
}

#[tokio::test]
async fn what_is_wrong_is_named_field_by_field() {
    let api = Api::new().await;
    let cases = [
        (all(&json!({})), "rolling.no_hooks", "no hook maintain on h1"),
        (all(&json!({ "kind": "reboot" })), "rolling.kind", "write patch, drain, decommission or rebalance"),
        (all(&json!({ "kind": "drain", "hosts_at_once": 0 })), "rolling.hosts_at_once", "write 1 or more"),
        (all(&json!({ "kind": "drain", "per": { "rack": 1 } })), "rolling.per", "has a label rack"),
        (all(&json!({ "kind": "drain", "bandwidth": 1000 })), "rolling.bandwidth", "write 1048576 or more"),
        (
            all(&json!({ "kind": "drain", "uplinks": { "rack": 1 << 30 } })),
            "rolling.uplinks",
            "none of these hosts has a label rack",
        ),
        (
            all(&json!({ "kind": "drain", "warn_after": "soon" })),
            "rolling.warn_after",
            "write 90s, 30m, 2h or 1d",
        ),
        (
            all(
                &json!({ "kind": "drain", "order": [{ "hosts": "h1", "after": "h2" }, { "hosts": "h1", "before": "h2" }] }),
            ),
            "rolling.order",
            "h1 after h2 after h1",
        ),
        (
            all(&json!({ "kind": "drain", "order": [{ "hosts": "h1", "after": "rack=r9" }] })),
            "rolling.order",
            "no host of this maintenance is meant by rack=r9",
        ),
        (
            all(&json!({ "kind": "drain", "order": [{ "hosts": "h1" }] })),
            "rolling.order[0]",
            "either after or before",
        ),
        (all(&json!({ "kind": "drain", "within": 5 })), "rolling.within", "only a rebalance evens hosts out"),
        (all(&json!({ "kind": "rebalance", "within": 0 })), "rolling.within", "write 1 to 100"),
        (all(&json!({ "kind": "rebalance", "no_hooks": true })), "rolling.no_hooks", "nothing is emptied"),
        (json!({ "select": {}, "reason": "x" }), "select", "selects nothing"),
        (json!({ "select": { "labels": { "rack": "r9" } }, "reason": "x" }), "select.labels", "no host has"),
        (
            json!({ "select": { "clusters": ["c9"] }, "reason": "x" }),
            "select.clusters",
            "there is no cluster c9",
        ),
    ];
    for (body, field, says) in cases {
        let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{body}: {answer:?}");
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.detail());
        assert!(answer.detail().contains(says), "{body}: {}", answer.detail());
    }
    assert_eq!(api.get(&api.operator, "/v1/maintenances?only=all").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_rebalance_is_drafted_beside_a_drain_and_shows_what_it_moves() {
    let api = Api::new().await;
    let body = all(&json!({ "kind": "rebalance", "within": 1 }));
    let mut dry_run = body.clone();
    dry_run["dry_run"] = json!(true);
    let plan = api.post(&api.operator, "/v1/maintenances", &dry_run).await;
    assert_eq!(plan.status, StatusCode::OK, "{plan:?}");
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    api.look().await;
    let planned = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    assert_eq!((&planned["state"], &planned["rolling"]["kind"]), (&json!("planned"), &json!("rebalance")));
    let moves = &planned["rolling"]["moves"];
    assert_eq!(*moves, plan.json()["moves"], "what was shown is what is drafted");
    let shown = api.get(&api.operator, "/v1/maintenances/MT-1/plan").await.json();
    assert_eq!(shown["moves"], *moves);
    let again = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert!(again.detail().contains("MT-1 evens out some of these hosts already"), "{}", again.detail());
    let approve = api.post(&api.operator, "/v1/maintenances/MT-1/approve", &json!({})).await;
    assert_eq!(approve.status, StatusCode::OK, "{approve:?}");
    let why = json!({ "why": "smoke" });
    let refused = api.post(&api.operator, "/v1/maintenances/MT-1/emergency", &why).await;
    assert!(refused.detail().contains("never an emergency"), "{}", refused.detail());
    let drain = json!({ "hosts": ["h1"], "reason": "x" });
    let drain = api.post(&api.operator, "/v1/maintenances", &drain).await;
    assert_eq!(drain.status, StatusCode::CREATED, "nobody is kept from emptying a host: {drain:?}");
}

#[tokio::test]
async fn a_host_is_explained_with_what_keeps_it_from_beginning() {
    let api = Api::new().await;
    api.post(&api.operator, "/v1/maintenances", &all(&json!({ "kind": "drain", "hosts_at_once": 1 }))).await;
    api.look().await;
    let explained = api.get(&api.operator, "/v1/hosts/h1/explain").await.json();
    let turn = &explained["turns"][0];
    assert_eq!((&turn["maintenance"], &turn["turn"]["state"]), (&json!("MT-1"), &json!("waiting")));
    assert!(turn["turn"]["why_this_wave"]["text"].is_string(), "{explained}");
    let why = turn["why_not_yet"].to_string();
    assert!(why.contains("nobody has approved MT-1: drover maintenance approve MT-1"), "{why}");
    assert_eq!(explained["why_no_servers"], json!([]), "a draft keeps nobody away");

    api.post(&api.operator, "/v1/maintenances/MT-1/approve", &json!({ "anyway": true })).await;
    api.look().await;
    let all = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    let at = |state: &str| {
        let hosts = all["hosts"].as_array().expect("hosts").iter();
        hosts
            .filter(|host| host["state"] == state)
            .find_map(|host| host["host"].as_str())
            .map(ToOwned::to_owned)
    };
    // It was empty already, so its libvirt is being asked.
    let (begun, waits) = (at("confirming").expect("one has begun"), at("waiting").expect("another waits"));
    let explained = api.get(&api.operator, &format!("/v1/hosts/{waits}/explain")).await.json();
    let why = explained["turns"][0]["why_not_yet"].to_string();
    assert!(why.contains("as many hosts are in work as may be") && why.contains(&begun), "{why}");
    assert!(explained["why_no_servers"].to_string().contains("yet to come"), "{explained}");
    let explained = api.get(&api.operator, &format!("/v1/hosts/{begun}/explain")).await.json();
    assert_eq!(explained["host"]["standing"]["state"], "draining");
    assert!(!explained["why_no_servers"].as_array().expect("a list").is_empty(), "{explained}");
    let unknown = api.get(&api.operator, "/v1/hosts/h99/explain").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
