//! Replicas of local disks: what is shown of them, to whom, and what may be wished.

use axum::http::StatusCode;
use drover_agent_api::{OperationState, Order, Wish};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::replica::{
    Activity, DiskBacklog, DiskFigures, Frozen, ReplicaStatus, Round, RoundFigures, RoundKind,
};
use drover_policies::samples::{NOON, host_name};
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api, id};

const MIB: u64 = 1 << 20;

/// `stuck` of acme has a local disk; its host is to be emptied. Answers with the number of its migration.
pub async fn prepared(api: &Api) -> String {
    api.report().await;
    let body = json!({ "hosts": ["h2"], "reason": "kernel-update", "deadline": "30d" });
    let answer = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    api.look().await;
    let migration = api.migration_of("stuck").await;
    assert_eq!(migration["state"], "preparing", "{migration}");
    let to = migration["to"].as_str().expect("a place");
    let held = |order: &Order| matches!(order, Order::HoldReplica(_)).then_some(OperationState::Held);
    api.answer_orders(to, held).await;
    format!("DR-{}", migration["number"])
}

/// The source's agent tells of the replica.
pub async fn tells(api: &Api, status: ReplicaStatus) {
    let replicating = |order: &Order| {
        matches!(order, Order::Replicate(_)).then(|| OperationState::Replicating { status: status.clone() })
    };
    api.answer_orders("h2", replicating).await;
}

/// 430 of 1000 MiB of a round are there.
pub fn in_a_round(kind: RoundKind, rounds: u64) -> ReplicaStatus {
    let disk = DiskFigures { target: "vdb".to_owned(), total_bytes: 1000 * MIB, done_bytes: 430 * MIB };
    let figures = RoundFigures { kind, began_at: NOON, disks: vec![disk], rate: 110 * MIB, held_percent: 60 };
    ReplicaStatus { activity: Activity::Round(figures), rounds, ..ReplicaStatus::new(NOON) }
}

/// Two rounds have landed, the last one twelve seconds ago; 4 MiB were written since.
pub fn resting() -> ReplicaStatus {
    ReplicaStatus {
        at: NOON,
        activity: Activity::Resting { next_at: NOON + Span::minutes(4).delta() },
        rounds: 2,
        last: Some(Round {
            number: 2,
            kind: RoundKind::Incremental,
            consistent_at: NOON - Span::seconds(12).delta(),
            frozen: Frozen::Yes,
            dirty_bytes: 40 * MIB,
            sent_bytes: 41 * MIB,
            took: Span::milliseconds(410),
        }),
        backlog: vec![DiskBacklog { target: "vdb".to_owned(), bytes: 4 * MIB }],
        dirty_rate: MIB,
        recent: Vec::new(),
        compared_bytes: 0,
    }
}

async fn wish(api: &Api, token: &str, number: &str, what: &str) -> Answer {
    api.post(token, &format!("/v1/migrations/{number}/replica/{what}"), &json!({})).await
}

async fn replica(api: &Api, token: &str) -> Value {
    let answer = api.get(token, "/v1/replicas").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["items"][0].clone()
}

#[tokio::test]
async fn a_replica_is_shown_from_its_first_copy_to_its_lag() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    assert_eq!(replica(&api, &api.operator).await["state"], "initiating");

    tells(&api, in_a_round(RoundKind::Initial, 0)).await;
    let migration = api.migration_of("stuck").await;
    assert_eq!(migration["waits_for"]["code"], "owner", "its time is agreed on meanwhile: {migration}");
    let shown = &migration["replica"];
    assert_eq!((&shown["state"], &shown["initial_percent"]), (&json!("initial_sync"), &json!(43)), "{shown}");
    assert_eq!(shown["round"]["done_bytes"], 430 * MIB);
    assert_eq!(shown["round"]["rate"], 110 * MIB);
    assert_eq!((&shown["ready"], &shown["lag_seconds"]), (&json!(false), &Value::Null));
    assert_eq!(shown["estimate"], Value::Null, "nothing is known of its rounds");

    tells(&api, resting()).await;
    let migration = api.get(&api.operator, &format!("/v1/migrations/{number}")).await.json();
    assert_eq!(migration["state"], "ready", "{migration}");
    let shown = &migration["replica"];
    assert_eq!((&shown["state"], &shown["ready"]), (&json!("continuous"), &json!(true)), "{shown}");
    assert_eq!(shown["text"], "continuous data replication");
    assert_eq!((&shown["lag_seconds"], &shown["lag_bytes"]), (&json!(12), &json!(4 * MIB)));
    assert_eq!(shown["disks"][0]["lag_bytes"], 4 * MIB);
    assert_eq!(shown["last_round"]["sent_bytes"], 41 * MIB);
    assert_eq!(shown["estimate"]["final_delta_bytes"], 4 * MIB);
    let (usual, p90) = (&shown["estimate"]["downtime_ms"], &shown["estimate"]["downtime_p90_ms"]);
    assert!(usual.as_u64() <= p90.as_u64() && usual.as_u64() > Some(0), "{shown}");
    assert_eq!((&shown["from"], &shown["late"]), (&json!("h2"), &json!(false)));
    let by_number = api.get(&api.operator, &format!("/v1/replicas/{number}")).await.json();
    assert_eq!(&by_number, shown);
    let story = migration["events"].as_array().expect("events");
    assert!(story.iter().any(|event| event["kind"] == "replica_ready"), "{story:?}");

    api.pass(Span::minutes(20)).await;
    let late = replica(&api, &api.operator).await;
    assert_eq!((&late["late"], &late["lag_seconds"]), (&json!(true), &json!(1212)), "{late}");
}

#[tokio::test]
async fn rounds_that_fail_are_told_with_their_reason() {
    let api = Api::replicating().await;
    prepared(&api).await;
    let failure = Failure {
        class: FailureClass::DestinationUnreachable,
        text: "h3.example:16520 refused the connection".to_owned(),
    };
    let again = NOON + Span::minutes(1).delta();
    let activity = Activity::Stalled { failure, since: NOON, next_at: again };
    tells(&api, ReplicaStatus { activity, ..resting() }).await;
    let shown = replica(&api, &api.operator).await;
    assert_eq!(
        (&shown["state"], &shown["stalled"]["class"]),
        (&json!("stalled"), &json!("destination_unreachable"))
    );
    assert!(shown["stalled"]["text"].as_str().is_some_and(|text| text.contains("h3.example")), "{shown}");
    let shown = replica(&api, &api.acme).await;
    assert_eq!(shown["stalled"]["meaning"], "the destination could not be reached");
    assert_eq!(shown["stalled"]["text"], Value::Null, "which host that is, is not for owners");
}

#[tokio::test]
async fn an_owner_sees_his_own_replicas_and_no_host_or_path() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, resting()).await;
    let own = api.get(&api.acme, "/v1/replicas").await;
    assert_eq!(own.json()["items"].as_array().map(Vec::len), Some(1), "{own:?}");
    let shown = replica(&api, &api.operator).await;
    let path = format!("/v1/replicas/{}", shown["id"].as_str().expect("an id"));
    let migration = api.get(&api.acme, &format!("/v1/migrations/{number}")).await;
    for answer in [&own, &api.get(&api.acme, &path).await, &migration] {
        assert_eq!(answer.status, StatusCode::OK);
        for secret in ["\"h2\"", "\"h3\"", "secret-path", "16520", "\"from\"", "bandwidth"] {
            assert!(!answer.text.contains(secret), "{secret} in {}", answer.text);
        }
    }
    // Of another owner nothing exists, by the same words.
    assert_eq!(api.get(&api.globex, "/v1/replicas").await.json()["items"], json!([]));
    assert_eq!(api.get(&api.globex, "/v1/replicas?owner=acme").await.problem(), "not-found");
    let missing = api.get(&api.globex, &format!("/v1/replicas/{}", id(999))).await;
    for given in [shown["id"].as_str().expect("an id"), &number] {
        let answer = api.get(&api.globex, &format!("/v1/replicas/{given}")).await;
        let mended = answer.detail().replace(given, &id(999));
        assert_eq!((answer.status, mended), (missing.status, missing.detail()));
    }
    for what in ["sync", "pause", "resume"] {
        let answer = wish(&api, &api.globex, &number, what).await;
        assert!(!answer.status.is_success() && !answer.text.contains("stuck"), "{answer:?}");
    }
    // What is not for owners at all.
    assert_eq!(api.get(&api.acme, "/v1/replicas?host=h2").await.problem(), "wrong-token");
    for what in ["pause", "resume"] {
        assert_eq!(wish(&api, &api.acme, &number, what).await.problem(), "wrong-token");
    }
}

#[tokio::test]
async fn a_round_can_be_asked_for_where_none_is_being_done() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, in_a_round(RoundKind::Incremental, 1)).await;
    let refused = wish(&api, &api.acme, &number, "sync").await;
    assert_eq!(refused.problem(), "refused");
    let json = refused.json();
    assert_eq!(
        (refused.status, &json["rule"], &json["percent"]),
        (StatusCode::CONFLICT, &json!("round_runs"), &json!(43))
    );
    assert!(refused.detail().contains("when it has landed"), "{}", refused.detail());

    tells(&api, resting()).await;
    assert_eq!(pace_of(&api).await["sync_now"], 0);
    let granted = wish(&api, &api.acme, &number, "sync").await;
    assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
    api.look().await;
    assert_eq!(pace_of(&api).await["sync_now"], 1, "its agent is told");
    let events = api.get(&api.acme, &format!("/v1/migrations/{number}")).await.json()["events"].clone();
    let asked = "owner acme asked for the copy of its disks to be brought up to date";
    assert!(events.as_array().expect("events").iter().any(|event| event["text"] == asked), "{events}");
}

/// The pace that is wished of the source's agent.
pub async fn pace_of(api: &Api) -> Value {
    let wanted = api.app.store.operations_wanted_of(&host_name("h2")).await.expect("a store");
    let pace = wanted.iter().find_map(|wanted| match wanted.operation.wish {
        Wish::Pace(pace) => Some(pace),
        _ => None,
    });
    serde_json::to_value(pace.expect("an order to replicate")).expect("JSON")
}

#[tokio::test]
async fn an_operator_pauses_and_resumes_and_a_paused_replica_is_not_synced() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    tells(&api, resting()).await;
    let paused = wish(&api, &api.operator, &number, "pause").await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    assert_eq!(wish(&api, &api.operator, &number, "pause").await.status, StatusCode::OK, "twice is once");
    api.look().await;
    assert_eq!(pace_of(&api).await["going"], "paused");
    tells(&api, ReplicaStatus { activity: Activity::Paused, ..resting() }).await;
    let shown = replica(&api, &api.acme).await;
    assert_eq!((&shown["state"], &shown["paused"]), (&json!("paused"), &json!(true)), "{shown}");
    let refused = wish(&api, &api.acme, &number, "sync").await;
    assert_eq!((refused.problem().as_str(), &refused.json()["rule"]), ("refused", &json!("paused")));
    assert_eq!(wish(&api, &api.operator, &number, "resume").await.status, StatusCode::OK);
    api.look().await;
    assert_eq!(pace_of(&api).await["going"], "on");
    let story = api.get(&api.operator, &format!("/v1/events?migration={number}&limit=500")).await.text;
    assert_eq!(story.matches("\"replica_paused\"").count() / 2, 1, "once, with its figures: {story}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_would() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    let answer = api.get(&api.operator, "/v1/replicas?state=fine").await;
    assert_eq!(
        (answer.problem().as_str(), &answer.json()["parameter"]),
        ("invalid-parameter", &json!("state"))
    );
    assert!(answer.detail().contains("continuous"), "{}", answer.detail());
    for query in ["limit=0", "host=a%20b", "stat=paused", "limit=x"] {
        let answer = api.get(&api.operator, &format!("/v1/replicas?{query}")).await;
        assert_eq!(answer.problem(), "invalid-parameter", "{query}");
    }
    assert_eq!(api.get(&api.operator, "/v1/replicas?server=nobody").await.problem(), "not-found");
    assert_eq!(api.get(&api.operator, "/v1/replicas/DR-9").await.problem(), "not-found");
    for (query, found) in
        [("host=h2", 1), ("host=h1", 0), ("server=stuck", 1), ("state=initiating", 1), ("state=paused", 0)]
    {
        let answer = api.get(&api.operator, &format!("/v1/replicas?{query}")).await.json();
        assert_eq!(answer["items"].as_array().map(Vec::len), Some(found), "{query}: {answer}");
    }
    let body =
        api.post(&api.operator, &format!("/v1/migrations/{number}/replica/sync"), &json!({ "x": 1 })).await;
    assert_eq!(body.problem(), "invalid-field");
    // A server whose disks are shared has none.
    api.drain_h1().await;
    let shared = format!("DR-{}", api.migration_of("db").await["number"]);
    let refused = wish(&api, &api.operator, &shared, "sync").await;
    assert_eq!((refused.problem().as_str(), &refused.json()["rule"]), ("refused", &json!("no_replica")));
    assert_eq!(api.get(&api.operator, &format!("/v1/replicas/{shared}")).await.problem(), "not-found");
}

#[tokio::test]
async fn a_stream_tells_how_far_a_round_is_to_those_whom_it_concerns() {
    let api = Api::replicating().await;
    let number = prepared(&api).await;
    let path = format!("/v1/events/stream?migration={number}");
    let round = || tells(&api, in_a_round(RoundKind::Initial, 0));
    let own = api.stream(&api.acme, &path, round()).await;
    assert!(own.contains("event: replica\n") && own.contains("\"initial_percent\":43"), "{own}");
    assert!(!own.contains("\"h2\""), "{own}");
    let further = || {
        tells(
            &api,
            ReplicaStatus { at: NOON + Span::seconds(1).delta(), ..in_a_round(RoundKind::Initial, 0) },
        )
    };
    let other = api.stream(&api.globex, "/v1/events/stream", further()).await;
    assert!(!other.contains("replica"), "{other}");
}
