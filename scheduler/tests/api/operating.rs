//! What operators do on the pages with migrations, maintenances and hosts: each by its form, and told by its word.

use axum::http::StatusCode;
use drover_agent_api::{LifeSign, OperationState, Order, Verdict, Wish};
use drover_policies::attempt::{Failure, FailureClass, Moved, Outcome, Phase, Progress};
use drover_policies::fleet::{Allowance, Server};
use drover_policies::samples::{NOON, gib, host_name, server_facts, server_id};
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};
use crate::pages::{Browser, hidden, location};
use crate::replicas::{pace_of, prepared, resting, tells};

/// Opens the page that says what will happen, sends its form, and answers with the page that this leads to.
async fn does(operator: &Browser<'_>, path: &str, said: &str) -> String {
    let asked = operator.get(path).await;
    assert_eq!(asked.status, StatusCode::OK, "{path}: {}", asked.text);
    assert!(asked.text.contains("This will happen"), "{path}: {}", asked.text);
    let generation = hidden(&asked.text, "generation").expect("what it was drawn from");
    sent(operator, path, &[("generation", &generation)], said).await
}

async fn sent(operator: &Browser<'_>, path: &str, fields: &[(&str, &str)], said: &str) -> String {
    let answer = operator.post(path, fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {answer:?}");
    let page = operator.get(location(&answer)).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
    assert!(page.text.contains(said), "{path} does not say {said}: {}", page.text);
    page.text
}

/// What the agent of h1 is to do with the order that `is` says.
async fn wished_of(api: &Api, is: impl Fn(&Order) -> bool) -> Vec<Wish> {
    let wanted = api.app.store.operations_wanted_of(&host_name("h1")).await.expect("a store");
    let wanted = wanted.into_iter().map(|wanted| wanted.operation);
    wanted.filter(|operation| is(&operation.order)).map(|operation| operation.wish).collect()
}

fn is_live(order: &Order) -> bool {
    matches!(order, Order::LiveMigrate(_))
}

fn running() -> OperationState {
    let progress =
        Progress { total_bytes: gib(2), remaining_bytes: gib(1), ..Progress::of(Phase::Transferring, NOON) };
    OperationState::Running { progress }
}

fn stayed() -> OperationState {
    let failure = Failure { class: FailureClass::Aborted, text: "aborted by wish".to_owned() };
    OperationState::Ended { outcome: Outcome::stayed(failure), done: Vec::new() }
}

fn moved() -> OperationState {
    let moved = Moved {
        sent_bytes: 0,
        downtime: Some(Span::seconds(40)),
        in_libvirt: None,
        power_off: None,
        tail: None,
    };
    OperationState::Ended { outcome: Outcome::Moved(moved), done: Vec::new() }
}

async fn path_of(api: &Api, server: &str) -> String {
    format!("/migrations/{}", api.migration_of(server).await["number"])
}

#[tokio::test]
async fn a_transfer_is_forced_aborted_and_begun_anew() {
    let api = Api::new().await;
    api.drain_h1().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let path = path_of(&api, "web").await;
    // What does not suit it is refused in words, and changes nothing.
    sent(&operator, &format!("{path}/retry"), &[], "note warn").await;
    api.answer_orders("h1", |order| is_live(order).then(running)).await;
    does(&operator, &format!("{path}/force"), "Forced.").await;
    let wished = wished_of(&api, is_live).await;
    assert!(matches!(wished[..], [Wish::Tuned(tuning)] if tuning.max_downtime_ms.is_some()), "{wished:?}");
    does(&operator, &format!("{path}/abort"), "It is being stopped.").await;
    let wished = wished_of(&api, is_live).await;
    assert!(matches!(wished[..], [Wish::Abort { .. }]), "{wished:?}");
    api.answer_orders("h1", |order| is_live(order).then(stayed)).await;
    assert_eq!(api.migration_of("web").await["state"], "failed");
    let page = operator.get(&path).await.text;
    assert!(page.contains(&format!("href=\"{path}/retry\"")), "{page}");
    does(&operator, &format!("{path}/retry"), "It begins anew.").await;
    api.look().await;
    let again = api.migration_of("web").await;
    assert!(again["state"] != "failed" && again["tries"] == 1, "{again}");
}

#[tokio::test]
async fn a_copy_is_brought_up_to_date_paused_and_resumed() {
    let api = Api::replicating().await;
    prepared(&api).await;
    tells(&api, resting()).await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let path = path_of(&api, "stuck").await;
    does(&operator, &format!("{path}/sync"), "A round is done next.").await;
    let story = api.get(&api.operator, &format!("/v1{path}")).await.json()["events"].to_string();
    assert!(story.contains("sync"), "{story}");
    // The one button or the other, and how far the copy is behind also in the list.
    let offers = async |act: &str| operator.get(&path).await.text.contains(&format!("{path}/{act}\""));
    assert!(offers("pause-replica").await && !offers("resume-replica").await);
    let list = operator.get("/migrations?sort=-lag").await.text;
    assert!(list.contains("<td data-label=\"Copy is behind\">12 seconds</td>"), "{list}");
    does(&operator, &format!("{path}/pause-replica"), "Paused.").await;
    api.look().await;
    assert_eq!(pace_of(&api).await["going"], "paused");
    assert!(offers("resume-replica").await && !offers("pause-replica").await);
    does(&operator, &format!("{path}/resume-replica"), "Rounds are done again.").await;
    api.look().await;
    assert_eq!(pace_of(&api).await["going"], "on");
}

/// `db` of acme, whose time has come, is moved by a reboot and seen alive.
pub async fn arrives(api: &mut Api) {
    api.look().await;
    let to = api.migration_of("db").await["to"].as_str().expect("a place").to_owned();
    api.answer_orders("h1", |order| matches!(order, Order::RebootMigrate(_)).then(moved)).await;
    api.moves(2, "h1", &to).await;
    let alive =
        || OperationState::Verified { verdict: Verdict::Alive { sign: LifeSign::GuestAgent, looked: None } };
    api.answer_orders(&to, |order| matches!(order, Order::VerifyGuest(_)).then(alive)).await;
    assert_eq!(api.migration_of("db").await["state"], "completed");
}

#[tokio::test]
async fn a_move_that_is_done_is_taken_back_and_one_that_was_asked_for_is_cancelled() {
    let mut api = Api::new().await;
    let at = json!({ "at": NOON + Span::hours(30).delta() });
    let asked = api.post(&api.operator, "/v1/servers/db/migrate", &at).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let operator = Browser::signed_in(&api, &api.operator).await;
    let path = path_of(&api, "db").await;
    does(&operator, &format!("{path}/cancel"), "Taken back.").await;
    assert_eq!(api.migration_of("db").await["state"], "cancelled");

    let asked = api.post(&api.operator, "/v1/servers/db/migrate", &at).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let path = path_of(&api, "db").await;
    does(&operator, &format!("{path}/start-now"), "It begins.").await;
    arrives(&mut api).await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    for wrong in ["tomorrow", "<b>", "2026-99-99T99:99"] {
        let answer = operator.post(&format!("{path}/revert"), &[("at", wrong)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        let typed = format!("value=\"{}\"", wrong.replace('<', "&#60;").replace('>', "&#62;"));
        assert!(answer.text.contains("class=\"error\"") && answer.text.contains(&typed), "{}", answer.text);
    }
    assert_eq!(api.migration_of("db").await["state"], "completed");
    does(&operator, &format!("{path}/revert"), "It is being taken back.").await;
    let back = api.get(&api.operator, "/v1/migrations?server=db&only=all").await.json();
    assert!(back.to_string().contains("reverting"), "{back}");
}

async fn maintenance(api: &Api) -> Value {
    api.get(&api.operator, "/v1/maintenances/MT-1").await.json()
}

#[tokio::test]
async fn a_draft_is_approved_paused_resumed_and_cancelled() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let fields = [
        ("hosts", "h1 h3 h4"),
        ("reason", "kernel-update"),
        ("deadline", "30d"),
        ("kind", "rolling-drain"),
        ("hosts_at_once", "1"),
        ("step", "begin"),
    ];
    let page = sent(&operator, "/maintenances/new", &fields, "being planned").await;
    assert!(!page.contains("/maintenances/MT-1/approve"), "there is nothing to approve yet: {page}");
    api.look().await;
    // The button comes with what is drawn anew while somebody watches.
    let live = operator.get("/fragments/maintenances/MT-1").await.text;
    assert!(live.contains("href=\"/maintenances/MT-1/approve\""), "{live}");
    let skip = sent(&operator, "/maintenances/MT-1/hosts/h4/skip", &[], "It is left out.").await;
    assert!(skip.contains("left out"), "{skip}");
    let host = api.get(&api.operator, "/v1/maintenances/MT-1/hosts/h4").await.json();
    assert_eq!(host["state"], "skipped", "{host}");
    sent(&operator, "/maintenances/MT-1/hosts/h3/retry", &[], "only one that has failed").await;
    assert_eq!(operator.post("/maintenances/MT-1/hosts/h9/skip", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(operator.post("/maintenances/MT-1/hosts/h3/burn", &[]).await.status, StatusCode::NOT_FOUND);
    does(&operator, "/maintenances/MT-1/approve", "Approved; it begins.").await;
    api.look().await;
    assert_eq!(maintenance(&api).await["state"], "running");
    does(&operator, "/maintenances/MT-1/pause", "Paused.").await;
    assert_eq!(maintenance(&api).await["state"], "paused");
    does(&operator, "/maintenances/MT-1/resume", "It goes on.").await;
    assert_eq!(maintenance(&api).await["state"], "running");
    // A page that was opened before says what has changed since, and does nothing.
    let old = operator.get("/maintenances/MT-1/pause").await.text;
    let generation = hidden(&old, "generation").expect("one");
    does(&operator, "/maintenances/MT-1/cancel", "It is being cancelled.").await;
    let stale: Answer = operator.post("/maintenances/MT-1/pause", &[("generation", &generation)]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{stale:?}");
    api.look().await;
    assert_ne!(maintenance(&api).await["state"], "running");
}

#[tokio::test]
async fn a_host_is_kept_free_of_new_servers_and_opened_again() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let standing = async || api.get(&api.operator, "/v1/hosts/h2").await.json()["standing"]["state"].clone();
    let page =
        sent(&operator, "/hosts/h2/cordon", &[("reason", "a <fan> hums")], "Nothing new is placed on it.")
            .await;
    assert!(page.contains("a &#60;fan&#62; hums"), "{page}");
    assert_eq!(standing().await, "cordoned");
    let (_, form) = page.split_once("action=\"/hosts/h2/uncordon\"").expect("a button");
    let generation = hidden(form, "generation").expect("what the page was drawn from");
    sent(&operator, "/hosts/h2/uncordon", &[("generation", &generation)], "Servers may come again.").await;
    assert_eq!(standing().await, "open");
    sent(&operator, "/hosts/h2/uncordon", &[("generation", &generation)], "note warn").await;
    assert_eq!(operator.post("/hosts/h9/cordon", &[("reason", "x")]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn before_something_is_done_with_a_maintenance_it_is_said_how_much_it_is_about() {
    let api = Api::new().await;
    api.drain_h1().await;
    let body = json!({
        "hosts": ["h3", "h5"],
        "reason": "fan",
        "deadline": "30d",
        "rolling": { "kind": "drain" },
    });
    assert_eq!(api.post(&api.operator, "/v1/maintenances", &body).await.status, StatusCode::CREATED);
    api.look().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    for (path, said) in [
        ("MT-1/pause", &["none of the 2 migrations that wait", "1 server is being moved now"][..]),
        (
            "MT-1/cancel",
            &["1 server is being moved now", "1 host is given back", "2 open tickets are closed"],
        ),
        ("MT-1/emergency", &["2 servers that have tickets", "2 owners are told"]),
        ("MT-2/approve", &["2 hosts are emptied", "2 servers are on them now", "They belong to 2 owners"]),
        ("MT-2/cancel", &["Nothing of it runs now", "None of its hosts is taken", "No ticket is open"]),
    ] {
        let page = operator.get(&format!("/maintenances/{path}")).await.text;
        for words in said {
            assert!(page.contains(words), "{path} does not say {words}: {page}");
        }
    }
}

#[tokio::test]
async fn the_turns_of_hosts_are_drawn_beside_the_migrations_and_what_is_not_drawn_is_counted() {
    let mut api = Api::new().await;
    for n in 0..30 {
        let mut facts = server_facts(server_id(1000 + n), &format!("many-{n:02}"));
        facts.memory_bytes = gib(1);
        facts.rules.live_migration = Some(Allowance::Forbidden);
        api.appears("h4", Server { host: host_name("h4"), facts, observed_at: NOON }).await;
    }
    let body = json!({
        "hosts": ["h4"],
        "reason": "fan",
        "deadline": "30d",
        "rolling": { "kind": "drain" },
    });
    assert_eq!(api.post(&api.operator, "/v1/maintenances", &body).await.status, StatusCode::CREATED);
    api.look().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let chart = async || {
        let page = operator.get("/maintenances/MT-1").await.text;
        page.split("<svg class=\"gantt\"")
            .nth(1)
            .and_then(|rest| rest.split("</div>").next())
            .map(ToOwned::to_owned)
    };
    assert_eq!(chart().await, None, "nothing has begun");
    let approved = api.post(&api.operator, "/v1/maintenances/MT-1/approve", &json!({ "anyway": true })).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
    api.look().await;
    api.pass(Span::minutes(10)).await;
    api.look().await;
    let chart = chart().await.expect("a chart");
    assert!(chart.contains(">h4</text>") && chart.contains("<title>draining, "), "{chart}");
    assert!(chart.contains("many-00") && !chart.contains("many-29"), "{chart}");
    assert!(chart.contains("<a href=\"/migrations?maintenance=MT-1\">and 5 more migrations</a>"), "{chart}");
}
