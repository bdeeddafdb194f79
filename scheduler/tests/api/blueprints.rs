//! Blueprints: set, shown, cleared; what is refused, and to whom.

use axum::http::{Method, StatusCode};
use drover_agent_api::{Order, Shape};
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};

const DB: &str = "/v1/servers/db/blueprint";

async fn clear(api: &Api, token: &str) -> Answer {
    api.ask(Method::DELETE, DB).token(token).send().await
}

#[tokio::test]
async fn a_blueprint_is_shown_wherever_the_server_s_move_is_and_given_to_the_agent() {
    let api = Api::new().await;
    let none = api.get(&api.acme, DB).await.json();
    assert_eq!((&none["blueprint"], none.get("set_by")), (&json!({ "boot": "now" }), None), "{none}");
    let body = json!({ "memory_bytes": 4_u64 << 30, "vcpus": 3 });
    let set = api.put(&api.operator, DB, &body).await;
    assert_eq!(
        (set.status, &set.json()["changes"]),
        (StatusCode::OK, &json!("memory 4 GiB, 3 vCPUs")),
        "{set:?}"
    );
    let shown = api.get(&api.acme, DB).await.json();
    assert_eq!(shown["set_by"], json!({ "who": "operator" }), "owners are not told who: {shown}");
    let explained = api.get(&api.acme, "/v1/servers/db/explain").await.json();
    assert_eq!(explained["blueprint"], "memory 4 GiB, 3 vCPUs");
    let moved = api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    assert_eq!(moved.json()["blueprint"], "memory 4 GiB, 3 vCPUs", "{moved:?}");
    api.look().await;
    let given = std::cell::Cell::new(false);
    for host in ["h1", "h2", "h3"] {
        api.answer_orders(host, |order| {
            if let Order::RebootMigrate(order) = order {
                let Shape::Blueprint { blueprint } = &order.shape else { panic!("{order:?}") };
                assert_eq!((blueprint.memory_bytes, blueprint.vcpus), (Some(4 << 30), Some(3)));
                given.set(true);
            }
            None
        })
        .await;
    }
    assert!(given.get(), "the agent has its order");
}

#[tokio::test]
async fn owners_set_what_policy_lets_them_of_their_own_servers() {
    let api = Api::new().await;
    let memory = json!({ "memory_bytes": 4_u64 << 30 });
    let refused = api.put(&api.acme, DB, &memory).await;
    assert_eq!(
        (refused.problem().as_str(), &refused.json()["field"]),
        ("invalid-field", &json!("memory_bytes"))
    );
    assert_eq!(refused.detail(), "field memory_bytes can't be changed by owners here; they may change boot");
    let foreign = api.put(&api.globex, DB, &json!({ "boot": "later" })).await;
    let missing = api.put(&api.globex, "/v1/servers/nothing/blueprint", &json!({ "boot": "later" })).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.detail().replace("db", "nothing"), missing.detail());
    let set = api.put(&api.acme, DB, &json!({ "boot": "later" })).await;
    assert_eq!(set.json()["set_by"], json!({ "who": "owner", "name": "acme" }), "{set:?}");
    assert_eq!(clear(&api, &api.acme).await.status, StatusCode::NO_CONTENT);
    api.put(&api.operator, DB, &memory).await;
    let kept = api.put(&api.acme, DB, &json!({ "memory_bytes": 4_u64 << 30, "boot": "later" })).await;
    assert_eq!(kept.json()["changes"], "memory 4 GiB, left off", "what he leaves may be anything: {kept:?}");
    let refused = clear(&api, &api.acme).await;
    assert_eq!(refused.json()["field"], "memory_bytes", "{refused:?}");
    assert_eq!(clear(&api, &api.operator).await.status, StatusCode::NO_CONTENT);
    assert_eq!(clear(&api, &api.operator).await.status, StatusCode::NO_CONTENT, "nothing to clear");
    assert_eq!(api.get(&api.acme, DB).await.json().get("set_by"), None);
}

#[tokio::test]
async fn what_is_wrong_is_named_with_what_would_be_right() {
    let api = Api::new().await;
    for (body, field, says) in [
        (json!({}), "memory_bytes", "say memory_bytes, vcpus, networks, disks or boot"),
        (json!({ "memory_bytes": 1 }), "memory_bytes", "write whole MiB"),
        (json!({ "vcpus": 0 }), "vcpus", "write 1 to 1024"),
        (json!({ "networks": { "br0": "a b" } }), "networks", "1 to 64 letters"),
        (json!({ "disks": { "vda": {} } }), "disks", "its directory, its format, or both"),
        (json!({ "disks": { "vda": { "directory": "images" } } }), "disks", "write its whole path"),
        (
            json!({ "disks": { "vdz": { "format": "raw" } } }),
            "disks",
            "db has no local disk vdz; it has none",
        ),
    ] {
        let refused = api.put(&api.operator, DB, &body).await;
        assert_eq!((refused.problem().as_str(), &refused.json()["field"]), ("invalid-field", &json!(field)));
        assert!(refused.detail().contains(says), "{refused:?}");
    }
    for body in [
        json!({ "memory": 1 }),
        json!({ "boot": "never" }),
        json!({ "networks": [] }),
        json!({ "disks": { "vda": { "format": "vmdk" } } }),
    ] {
        let refused = api.put(&api.operator, DB, &body).await;
        assert_eq!(refused.problem(), "invalid-field", "{body}: {refused:?}");
    }
    let events = api.get(&api.operator, "/v1/events").await.json();
    assert!(!events.to_string().contains("at its next launch"), "{events}");
}

#[tokio::test]
async fn a_plan_says_what_changes_and_a_stale_change_is_refused() {
    let api = Api::new().await;
    let first = api.get(&api.operator, DB).await;
    let etag = first.headers.get("etag").and_then(|tag| tag.to_str().ok()).expect("an ETag").to_owned();
    let vcpus = |n: u32| json!({ "vcpus": n });
    let with =
        |body: Value| api.ask(Method::PUT, DB).token(&api.operator).header("if-match", &etag).json(&body);
    assert_eq!(with(vcpus(3)).send().await.status, StatusCode::OK);
    assert_eq!(with(vcpus(4)).send().await.status, StatusCode::PRECONDITION_FAILED);
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "dry_run": true });
    let plan = api.post(&api.operator, "/v1/maintenances", &body).await.json();
    let servers = plan["servers"].as_array().cloned().unwrap_or_default();
    let says = |name: &str| {
        servers.iter().find(|server| server["name"] == name).map(|server| server.get("blueprint"))
    };
    assert_eq!(says("db"), Some(Some(&json!("3 vCPUs"))), "{plan}");
    assert_eq!(says("web"), Some(None), "{plan}");
    assert!(plan["text"].as_str().is_some_and(|text| text.contains("its blueprint: 3 vCPUs")), "{plan}");
}
