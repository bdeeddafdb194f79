//! What a migration's page shows while one watches: what is left, what each step took, and what came to nothing without a fault.

use axum::http::StatusCode;
use drover_agent_api::{OperationState, Order};
use drover_policies::attempt::{Phase, PhaseDone, Progress};
use drover_policies::samples::{NOON, gib};
use drover_policies::time::Span;
use serde_json::json;

use crate::fixture::Api;
use crate::pages::Browser;

/// The agent of h1 tells that its live migration has so much left, some seconds after noon.
async fn has_left(api: &Api, seconds: u64, left: u64) {
    let progress = Progress {
        total_bytes: gib(2),
        sent_bytes: gib(2) - left,
        remaining_bytes: left,
        dirty_rate: 1 << 20,
        iteration: 1,
        ..Progress::of(Phase::Transferring, NOON + Span::seconds(seconds).delta())
    };
    let running = |order: &Order| {
        matches!(order, Order::LiveMigrate(_)).then(|| OperationState::Running { progress: progress.clone() })
    };
    api.answer_orders("h1", running).await;
}

/// The points of the line of what is left.
fn points(page: &str) -> Vec<String> {
    let line =
        page.split("<polyline class=\"left\" points=\"").nth(1).and_then(|rest| rest.split('"').next());
    line.unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_transfer_that_runs_has_a_chart_of_what_is_left_for_operators_and_its_owner() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("web").await["number"].to_string();
    let operator = Browser::signed_in(&api, &api.operator).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let globex = Browser::signed_in(&api, &api.globex).await;
    let console = format!("/migrations/{number}");
    has_left(&api, 1, gib(2)).await;
    assert!(points(&operator.get(&console).await.text).is_empty(), "one reading is no line");
    has_left(&api, 3, gib(1)).await;
    has_left(&api, 5, gib(1) / 2).await;
    // The same told twice is one reading.
    has_left(&api, 5, gib(1) / 2).await;
    for (browser, path) in [
        (&operator, console.clone()),
        (&operator, format!("/fragments{console}")),
        (&acme, format!("/my{console}")),
        (&acme, format!("/fragments/my{console}")),
    ] {
        let page = browser.get(&path).await.text;
        assert_eq!(points(&page), ["0,4", "500,102", "1000,151"], "{path}: {page}");
    }
    assert_eq!(globex.get(&format!("/my{console}")).await.status, StatusCode::NOT_FOUND);
    // An agent that tells of it no more has no figures of it.
    api.report().await;
    assert!(points(&operator.get(&console).await.text).is_empty());
}

#[tokio::test]
async fn each_step_of_a_restart_says_what_it_took() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].to_string();
    let started = api.post(&api.acme, &format!("/v1/migrations/{number}/start-now"), &json!({})).await;
    assert_eq!(started.status, StatusCode::OK, "{started:?}");
    api.look().await;
    let done = |phase, seconds, sent_bytes| PhaseDone { phase, took: Span::seconds(seconds), sent_bytes };
    let progress = Progress {
        done: vec![done(Phase::FinalDelta, 12, 40 << 20), done(Phase::PowerOffSource, 21, 0)],
        ..Progress::of(Phase::BootTarget, NOON)
    };
    let running = |order: &Order| {
        let of_db = matches!(order, Order::RebootMigrate(_));
        of_db.then(|| OperationState::Running { progress: progress.clone() })
    };
    api.answer_orders("h1", running).await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    for (browser, path) in [(&operator, "/migrations"), (&acme, "/my/migrations")] {
        let page = browser.get(&format!("{path}/{number}")).await.text;
        let (_, steps) = page.split_once("<ol class=\"phases\">").expect("its steps");
        let steps = steps.split("</ol>").next().expect("their end");
        let restart = steps.split("<li").nth(3).expect("the third");
        assert!(restart.contains("class=\"now\""), "{steps}");
        assert!(restart.contains("Last changes: 12 seconds, 40 MiB"), "{steps}");
        assert!(restart.contains("Shut down: 21 seconds</span>"), "{steps}");
        assert_eq!(steps.matches("class=\"took\"").count(), 2, "{steps}");
    }
}

#[tokio::test]
async fn what_was_cancelled_has_not_failed() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].to_string();
    let operator = Browser::signed_in(&api, &api.operator).await;
    let steps = async || {
        let page = operator.get(&format!("/migrations/{number}")).await.text;
        let (_, steps) = page.split_once("<ol class=\"phases\">").expect("its steps");
        steps.split("</ol>").next().expect("their end").to_owned()
    };
    assert!(steps().await.contains("class=\"now\""));
    assert_eq!(operator.post("/maintenances/MT-1/cancel", &[]).await.status, StatusCode::SEE_OTHER);
    api.look().await;
    assert_eq!(api.migration_of("db").await["state"], "cancelled");
    let steps = steps().await;
    assert_eq!(steps.matches("class=\"given-up\"").count(), 5, "{steps}");
    assert!(steps.contains("given up") && !steps.contains("failed") && !steps.contains("to come"), "{steps}");
}
