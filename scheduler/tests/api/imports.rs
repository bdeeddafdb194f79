//! Servers of other hypervisors are brought here: who may ask, what is refused, how it is followed.

use axum::http::{Method, StatusCode};
use drover_agent_api::{OperationState, Order, Wish};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::import::{Found, Import, ImportEnd, ImportStatus, LogLine, Step};
use drover_policies::replica::DiskFigures;
use drover_policies::samples::{NOON, host_name};
use serde_json::{Value, json};

use crate::fixture::Api;

/// A description of `legacy`, with one value in it replaced.
fn legacy(pointer: &str, value: Value) -> Value {
    let mut body = json!({
        "import": { "name": "legacy", "owner": "acme", "memory_mib": 2048, "vcpus": 2 },
        "network": [{ "bridge": "br0", "mac": "00:0c:29:3a:11:5e" }],
        "disk": [{ "target": "vda", "source": "/in/legacy.vmdk", "path": "/var/lib/secret-path/legacy.qcow2", "size_mib": 10240 }],
        "host": "auto",
    });
    if let Some((parent, key)) = pointer.rsplit_once('/') {
        body.pointer_mut(parent).expect("it is there")[key] = value;
    }
    body
}

/// Asks for `legacy`, and answers with the import.
pub async fn asked(api: &Api) -> Value {
    let answer = api.post(&api.operator, "/v1/imports", &legacy("", Value::Null)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let view = answer.json();
    assert_eq!(answer.headers["location"], format!("/v1/imports/{}", view["id"].as_str().expect("an id")));
    view
}

#[tokio::test]
async fn an_import_goes_where_the_resources_are_that_it_names_and_is_shown_with_them() {
    let mut api = Api::importing().await;
    let with = |resources: Value| legacy("/resources", resources);
    for (resources, field, said) in [
        (json!({ "gpu slots": 1 }), "resources", "write up to 63 letters"),
        (json!({ "gpu-slots": 0 }), "resources.gpu-slots", "1 or more"),
        (json!({ "servers": 1 }), "resources.servers", "leave it out"),
    ] {
        let refused = api.post(&api.operator, "/v1/imports", &with(resources)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert_eq!(refused.json()["field"], field, "{refused:?}");
        assert!(refused.detail().contains(said), "{}", refused.detail());
    }
    let none = api.post(&api.operator, "/v1/imports", &with(json!({ "gpu-slots": 1 }))).await;
    assert_eq!(none.problem(), "refused", "{none:?}");
    assert!(none.json()["hosts"].to_string().contains("gpu-slots"), "{none:?}");

    api.host_is("h4", |facts| facts.resources = [("gpu-slots".to_owned(), 1)].into()).await;
    let answer = api.post(&api.operator, "/v1/imports", &with(json!({ "gpu-slots": 1 }))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let view = answer.json();
    assert_eq!((&view["host"], &view["resources"]), (&json!("h4"), &json!({ "gpu-slots": 1 })));
    let wanted = api.app.store.operations_wanted_of(&host_name("h4")).await.expect("read");
    let ordered = wanted.iter().find_map(|wanted| match &wanted.operation.order {
        Order::Import(import) => Some(import.description.resources.clone()),
        _ => None,
    });
    assert_eq!(
        ordered,
        Some([("gpu-slots".to_owned(), 1)].into()),
        "its agent writes them into the definition"
    );
}

async fn tells(api: &Api, host: &str, state: OperationState) {
    let answer = |order: &Order| matches!(order, Order::Import(_)).then(|| state.clone());
    api.answer_orders(host, answer).await;
}

fn line(number: u64, text: &str) -> LogLine {
    LogLine { number, at: NOON, text: text.to_owned(), done: None }
}

fn copying(log: Vec<LogLine>) -> OperationState {
    let disk = DiskFigures { target: "vda".to_owned(), total_bytes: 10 << 30, done_bytes: 1 << 30 };
    let status = ImportStatus { at: NOON, step: Step::Copy, since: NOON, disks: vec![disk], log };
    OperationState::Importing { status }
}

fn failed(class: FailureClass) -> OperationState {
    let failure = Failure { class, text: "virt-v2v says no".to_owned() };
    OperationState::ImportEnded { end: ImportEnd::Failed { failure }, log: Vec::new() }
}

#[tokio::test]
async fn an_import_is_asked_for_and_followed_line_by_line_to_its_end() {
    let mut api = Api::importing().await;
    let view = asked(&api).await;
    assert_eq!(
        (&view["state"], &view["server_name"], &view["host"]),
        (&json!("running"), &json!("legacy"), &json!("h4"))
    );
    let path = "/v1/events/stream?import=legacy&after=0";
    let told = api
        .stream(&api.operator, path, async {
            tells(&api, "h4", copying(vec![line(1, "copying the disks"), line(2, "Starting converters")]))
                .await;
        })
        .await;
    for part in [
        "is to be imported to h4",
        "\"text\":\"copying the disks\"",
        "\"text\":\"Starting converters\"",
        "event: import",
        "\"total_bytes\":10737418240",
        "\"done_bytes\":1073741824",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let now = api.get(&api.operator, "/v1/imports/legacy").await.json();
    assert_eq!(
        (&now["progress"]["step"], &now["progress"]["text"]),
        (&json!("copy"), &json!("copying the disks"))
    );

    let import: Import = {
        let found = api.app.store.import_named("legacy").await.expect("read").expect("it is there");
        found.value
    };
    let found = Found { system: Some("Debian 12".to_owned()), ..Found::default() };
    let log = vec![line(2, "Starting converters"), line(3, "Finishing off")];
    let end = OperationState::ImportEnded { end: ImportEnd::Defined { at: NOON, found }, log };
    tells(&api, "h4", end.clone()).await;
    assert_eq!(api.get(&api.operator, "/v1/imports/legacy").await.json()["state"], "running");
    api.appears("h4", import.server(&[])).await;
    tells(&api, "h4", end).await;
    let done = api.get(&api.operator, "/v1/imports/legacy").await.json();
    assert_eq!((&done["state"], &done["found"]["system"]), (&json!("imported"), &json!("Debian 12")));
    assert!(api.app.store.operations_wanted_of(&host_name("h4")).await.expect("read").is_empty());

    let log = api.get(&api.operator, "/v1/events?import=legacy").await.json();
    let texts: Vec<&str> =
        log["items"].as_array().expect("events").iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(
        texts[1..],
        [
            "copying the disks",
            "Starting converters",
            "Finishing off",
            "is imported (Debian 12); it has no virtio drivers: disks and interfaces are emulated, which is slow"
        ]
    );
    // Its owner hears that it is here, and nothing of how it came.
    let owners = api.get(&api.acme, "/v1/events").await.json();
    let heard: Vec<&Value> =
        owners["items"].as_array().expect("events").iter().map(|event| &event["text"]).collect();
    assert_eq!(heard, [&json!("is here")]);
    assert_eq!(api.get(&api.operator, "/v1/imports").await.json()["items"], json!([]));
    let all = api.get(&api.operator, "/v1/imports?only=all").await.json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_with_what_would_be_right() {
    let api = Api::importing().await;
    for (pointer, value, field, advice) in [
        ("/import/name", json!("../x"), "import.name", "letters"),
        ("/import/name", Value::Null, "import.name", "name = "),
        ("/import/uuid", json!("x"), "import.uuid", "leave it out"),
        ("/import/memory_mib", json!(0), "import.memory_mib", "MiB"),
        ("/import/vcpus", json!(0), "import.vcpus", "at least one"),
        ("/import/conversion_limit", json!("0s"), "import.conversion_limit", "1h"),
        ("/network/0/mac", json!("01:0c:29:3a:11:5e"), "network[0].mac", "group"),
        ("/disk/0/source", json!("https://x/y.vmdk"), "disk[0].source", "nbd://"),
        ("/disk/0/path", json!("legacy.qcow2"), "disk[0].path", "whole path"),
        ("/disk/0/size_mib", json!(0), "disk[0].size_mib", "MiB"),
        ("/cluster", json!("c9"), "cluster", "c1"),
    ] {
        let answer = api.post(&api.operator, "/v1/imports", &legacy(pointer, value)).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field"),
            "{pointer}"
        );
        assert_eq!(answer.json()["field"], field);
        assert!(answer.detail().contains(advice), "{}", answer.detail());
    }
    let answer = api.post(&api.operator, "/v1/imports", &legacy("/import/cpus", json!(1))).await;
    assert!(answer.detail().contains("cpus"), "{answer:?}");
    let answer = api.post(&api.operator, "/v1/imports", &legacy("/host", json!("h9"))).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    assert!(answer.json()["suggestions"].as_array().is_some_and(|near| !near.is_empty()));
}

#[tokio::test]
async fn what_can_not_be_had_is_refused_by_a_rule_and_a_field() {
    let api = Api::importing().await;
    api.post(&api.operator, "/v1/hosts/h3/cordon", &json!({ "reason": "fans" })).await;
    asked(&api).await;
    for (pointer, value, rule, field, says) in [
        ("/host", json!("h1"), "name_taken", "import.name", "is not over"),
        ("/import/name", json!("web"), "name_taken", "import.name", "is on h1"),
        ("/import/name", json!("other"), "source_taken", "disk[0].source", "being imported as legacy"),
    ] {
        let answer = api.post(&api.operator, "/v1/imports", &legacy(pointer, value)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::CONFLICT, "refused"));
        let json = answer.json();
        assert_eq!((json["rule"].as_str(), json["field"].as_str()), (Some(rule), Some(field)));
        assert!(answer.detail().contains(says), "{}", answer.detail());
    }
    let other = |host: &str| {
        let mut body = legacy("/import/name", json!("other"));
        body["disk"][0]["source"] = json!("/in/other.vmdk");
        body["host"] = json!(host);
        body
    };
    let answer = api.post(&api.operator, "/v1/imports", &other("h1")).await;
    assert_eq!(
        (answer.json()["rule"].as_str(), answer.json()["field"].as_str()),
        (Some("not_importing"), Some("host"))
    );
    assert!(answer.detail().contains("upgrade its agent"), "{}", answer.detail());
    let answer = api.post(&api.operator, "/v1/imports", &other("h3")).await;
    assert_eq!(answer.json()["rule"], "not_open");
    assert!(answer.detail().contains("it is cordoned"), "{}", answer.detail());
    let mut large = other("auto");
    large["disk"][0]["size_mib"] = json!(50 << 10);
    let answer = api.post(&api.operator, "/v1/imports", &large).await;
    assert_eq!(answer.json()["rule"], "no_place");
    let why = answer.json()["hosts"]["h4"].as_str().expect("why not there").to_owned();
    assert!(why.contains("lacks room in /var/lib/secret-path (needs 50.0 GiB, 40.0 GiB are free)"), "{why}");
}

#[tokio::test]
async fn imports_are_for_operators() {
    let api = Api::importing().await;
    asked(&api).await;
    for (method, path) in [
        (Method::GET, "/v1/imports"),
        (Method::GET, "/v1/imports/legacy"),
        (Method::POST, "/v1/imports/legacy/cancel"),
        (Method::GET, "/v1/events?import=legacy"),
        (Method::GET, "/v1/events/stream?import=legacy"),
    ] {
        let answer = api.ask(method, path).token(&api.acme).json(&json!({})).send().await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::FORBIDDEN, "wrong-token"),
            "{path}"
        );
    }
    let answer = api.post(&api.acme, "/v1/imports", &legacy("", Value::Null)).await;
    assert_eq!(answer.problem(), "wrong-token");
    assert_eq!(api.get(&api.operator, "/v1/imports/lost").await.problem(), "not-found");
}

#[tokio::test]
async fn a_failed_import_is_retried_and_cancelled_and_what_is_over_is_neither() {
    let api = Api::importing().await;
    asked(&api).await;
    let answer = api.post(&api.operator, "/v1/imports/legacy/retry", &json!({})).await;
    assert_eq!(
        (answer.problem().as_str(), answer.json()["rule"].as_str()),
        ("refused", Some("import_not_failed"))
    );
    tells(&api, "h4", copying(Vec::new())).await;
    tells(&api, "h4", failed(FailureClass::Unexpected)).await;
    let now = api.get(&api.operator, "/v1/imports/legacy").await.json();
    assert_eq!((&now["state"], &now["failure"]["text"]), (&json!("failed"), &json!("virt-v2v says no")));
    let answer = api.post(&api.operator, "/v1/imports/legacy/retry", &json!({ "anew": true })).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("running")));
    let answer = api.post(&api.operator, "/v1/imports/legacy/cancel", &json!({})).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("cancelling")));
    let wanted = api.app.store.operations_wanted_of(&host_name("h4")).await.expect("read");
    assert!(matches!(wanted[0].operation.wish, Wish::Abort { .. }));
    tells(&api, "h4", OperationState::ImportEnded { end: ImportEnd::Cancelled, log: Vec::new() }).await;
    let now = api.get(&api.operator, "/v1/imports/legacy").await.json();
    assert_eq!(now["state"], "cancelled");
    for what in ["cancel", "retry"] {
        let answer = api.post(&api.operator, &format!("/v1/imports/legacy/{what}"), &json!({})).await;
        assert_eq!(
            (answer.problem().as_str(), answer.json()["rule"].as_str()),
            ("refused", Some("import_over"))
        );
    }
    // Its name may be used again.
    asked(&api).await;
}
