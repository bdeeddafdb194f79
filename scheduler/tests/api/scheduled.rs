//! Scheduled events: ours, and the forms of six clouds over HTTP. What the forms look like is tested where they are made.

use axum::http::{Method, StatusCode};
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api, id};

const AZURE: &str = "/compat/azure/metadata/scheduledevents?api-version=2020-07-01";
const GCE: &str = "/compat/gce/computeMetadata/v1/instance";

async fn azure(api: &Api, token: &str) -> Value {
    let answer = api.ask(Method::GET, AZURE).token(token).header("metadata", "true").send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

async fn start(api: &Api, token: &str, body: &str) -> Answer {
    api.ask(Method::POST, AZURE).token(token).header("metadata", "true").text(body).send().await
}

async fn gce(api: &Api, what: &str) -> Answer {
    let ask = api.ask(Method::GET, &format!("{GCE}/{what}")).token(&api.acme);
    ask.header("metadata-flavor", "Google").send().await
}

async fn drill(api: &Api, body: &Value) -> Answer {
    let answer = api.post(&api.acme, "/v1/drills", body).await;
    api.look().await;
    answer
}

/// The kinds of what was told in a ticket.
async fn told(api: &Api, number: &str) -> Vec<String> {
    let ticket = api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json();
    let notices = ticket["notices"].as_array().expect("notices").clone();
    notices.iter().map(|notice| notice["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[tokio::test]
async fn an_owner_sees_the_events_of_his_servers_and_of_nobody_elses() {
    let api = Api::new().await;
    api.drain_h1().await;
    let events = api.get(&api.acme, "/v1/scheduled-events").await.json();
    let events = events["items"].as_array().expect("items").clone();
    let db = events.iter().find(|event| event["server_name"] == "db").expect("db waits");
    assert_eq!(
        (&db["state"], &db["method"], &db["drill"]),
        (&json!("notified"), &json!("reboot"), &json!(false))
    );
    assert_eq!((&db["reason_code"], &db["can_start_now"]), (&json!("owner_forbids"), &json!(true)));
    assert!(events.iter().all(|event| event["owner"] == "acme"), "{events:?}");
    let number = db["number"].as_str().expect("a number");
    let one = api.get(&api.acme, &format!("/v1/scheduled-events/{number}")).await.json();
    assert_eq!(one["history"][0]["what"], "proposed");
    assert_eq!(api.get(&api.globex, &format!("/v1/scheduled-events/{number}")).await.problem(), "not-found");
    assert!(!one.to_string().contains("h1"), "{one}");
}

#[tokio::test]
async fn each_form_shows_the_owners_servers_alone() {
    let api = Api::new().await;
    api.drain_h1().await;
    let forms = [
        "/compat/aws/DescribeInstanceStatus",
        "/compat/linode/v4/account/maintenance",
        "/compat/oci/20160918/instanceMaintenanceEvents",
    ];
    for form in forms {
        let (acme, globex) = (api.get(&api.acme, form).await, api.get(&api.globex, form).await);
        assert_eq!((acme.status, globex.status), (StatusCode::OK, StatusCode::OK), "{form} {acme:?}");
        assert!(acme.text.contains("db is moved") || acme.text.contains("\"db\""), "{form} {}", acme.text);
        assert!(
            !acme.text.contains("shop") && globex.text.contains("shop"),
            "{form} {} {}",
            acme.text,
            globex.text
        );
        // An operator says whose.
        assert_eq!(api.get(&api.operator, form).await.problem(), "invalid-parameter", "{form}");
        assert_eq!(api.get(&api.agent, form).await.problem(), "wrong-token", "{form}");
        let name = if form.contains("oci") { "compartmentId" } else { "owner" };
        let asked = api.get(&api.operator, &format!("{form}?{name}=globex")).await;
        assert_eq!(asked.text, globex.text, "{form}");
        assert_eq!(
            api.get(&api.acme, &format!("{form}?{name}=globex")).await.problem(),
            "not-found",
            "{form}"
        );
    }
    let globexs = azure(&api, &api.globex).await;
    assert_eq!(globexs["Events"][0]["Resources"], json!(["shop"]));
    let rackspace = |server: &str| format!("/compat/rackspace/v2/servers/{server}/metadata");
    let window = api.get(&api.acme, &rackspace("db")).await.json()["metadata"]["rax:reboot_window"].clone();
    assert_eq!(window.as_str().expect("a window").matches(';').count(), 1);
    assert_eq!(api.get(&api.acme, &rackspace("web")).await.json(), json!({ "metadata": {} }));
    assert_eq!(api.get(&api.globex, &rackspace("db")).await.problem(), "not-found");
}

#[tokio::test]
async fn azures_incarnation_rises_with_its_events_and_start_requests_start_now() {
    let api = Api::new().await;
    let empty = azure(&api, &api.acme).await;
    assert_eq!((&empty["DocumentIncarnation"], &empty["Events"]), (&json!(1), &json!([])));
    api.drain_h1().await;
    let document = azure(&api, &api.acme).await;
    assert_eq!(document["DocumentIncarnation"], 2);
    api.pass(Span::minutes(1)).await;
    api.look().await;
    assert_eq!(azure(&api, &api.acme).await, document, "nothing has changed");
    let event =
        document["Events"].as_array().expect("events").iter().find(|event| event["EventType"] == "Redeploy");
    let event = event.expect("db waits")["EventId"].as_str().expect("an id").to_owned();
    let body = json!({ "StartRequests": [{ "EventId": event }] }).to_string();
    for _ in 0..2 {
        let answer = start(&api, &api.acme, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "twice is once");
    }
    assert_eq!(api.migration_of("db").await["appointment"]["state"], "start_now");
    api.look().await;
    let after = azure(&api, &api.acme).await;
    assert!(after["DocumentIncarnation"].as_u64() > document["DocumentIncarnation"].as_u64(), "{after}");
    assert_eq!(start(&api, &api.acme, &body).await.status, StatusCode::OK, "it runs already");
}

#[tokio::test]
async fn what_azure_refuses_is_refused_and_nothing_is_half_done() {
    let api = Api::new().await;
    api.drain_h1().await;
    let bare = api.get(&api.acme, AZURE).await;
    assert_eq!((bare.status, bare.problem()), (StatusCode::BAD_REQUEST, "invalid-parameter".to_owned()));
    assert!(
        bare.detail().contains("Metadata: true") || bare.detail().contains("metadata: true"),
        "{}",
        bare.detail()
    );
    let ask =
        api.ask(Method::GET, "/compat/azure/metadata/scheduledevents?api-version=1999").token(&api.acme);
    assert!(ask.header("metadata", "true").send().await.detail().contains("2020-07-01"));
    for body in ["", "[]", "{\"StartRequests\":[{\"EventId\":\"soon\"}]}", "{\"StartRequest\":[]}"] {
        assert_eq!(start(&api, &api.acme, body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let of = |document: &Value| document["Events"][0]["EventId"].as_str().expect("an id").to_owned();
    let (own, others) = (of(&azure(&api, &api.acme).await), of(&azure(&api, &api.globex).await));
    let both = json!({ "StartRequests": [{ "EventId": own }, { "EventId": others }] }).to_string();
    assert_eq!(start(&api, &api.acme, &both).await.problem(), "not-found", "as one that doesn't exist");
    assert_eq!(
        api.migration_of("db").await["appointment"]["state"],
        "proposed",
        "the first was not begun either"
    );
}

#[tokio::test]
async fn gce_wants_its_header_and_tells_of_what_lies_ahead() {
    let api = Api::new().await;
    let bare = api.get(&api.acme, &format!("{GCE}/maintenance-event?server=db")).await;
    assert_eq!((bare.status, bare.problem()), (StatusCode::FORBIDDEN, "invalid-parameter".to_owned()));
    assert_eq!(gce(&api, "upcoming-maintenance?alt=json&server=db").await.text, "{}");
    assert_eq!(gce(&api, "upcoming-maintenance?server=db").await.problem(), "invalid-parameter");
    assert_eq!(gce(&api, "maintenance-event").await.problem(), "invalid-parameter");
    assert_eq!(gce(&api, "maintenance-event?server=shop").await.problem(), "not-found");
    api.drain_h1().await;
    let upcoming = gce(&api, "upcoming-maintenance?alt=json&server=db").await;
    assert_eq!(upcoming.headers["metadata-flavor"], "Google");
    let upcoming = upcoming.json();
    assert_eq!((&upcoming["can_reschedule"], &upcoming["type"]), (&json!("true"), &json!("SCHEDULED")));
    let event = gce(&api, "maintenance-event?server=db").await;
    assert_eq!((event.text.as_str(), event.status), ("NONE", StatusCode::OK));
}

#[tokio::test]
async fn gces_held_answer_comes_when_it_is_another_one() {
    let api = Api::new().await;
    let known = gce(&api, "maintenance-event?server=db").await;
    let etag = known.headers["etag"].to_str().expect("text").to_owned();
    let held = format!("maintenance-event?server=db&wait_for_change=true&last_etag={etag}");
    let still = gce(&api, &format!("{held}&timeout_sec=0")).await;
    assert_eq!(still.text, "NONE", "the time is over");
    let change = async {
        api.drain_h1().await;
        let event = api.migration_of("db").await["id"].as_str().expect("an id").to_owned();
        api.post(&api.acme, &format!("/v1/migrations/{event}/start-now"), &json!({})).await;
    };
    let (held, ()) = tokio::join!(gce(&api, &held), change);
    assert_eq!(held.text, "TERMINATE_ON_HOST_MAINTENANCE");
    assert_ne!(held.headers["etag"].to_str().expect("text"), etag);
}

#[tokio::test]
async fn linodes_pages_and_awss_windows_are_asked_for_as_there() {
    let api = Api::new().await;
    api.drain_h1().await;
    let path = "/compat/linode/v4/account/maintenance";
    let page = api.get(&api.acme, path).await.json();
    assert_eq!((&page["page"], &page["pages"]), (&json!(1), &json!(1)));
    for wrong in ["?page=2", "?page=0", "?page_size=1", "?page_size=501", "?sort=x"] {
        assert_eq!(
            api.get(&api.acme, &format!("{path}{wrong}")).await.problem(),
            "invalid-parameter",
            "{wrong}"
        );
    }
    let opens = json!({ "cron": "0 2 * * 6", "duration": "4h", "timezone": "Europe/Madrid" });
    let window = json!({ "scope": { "for": "account" }, "opens": opens });
    let put = api.put(&api.acme, &format!("/v1/windows/{}", uuid::Uuid::from_u128(77)), &window).await;
    assert!(put.status.is_success(), "{put:?}");
    let windows = api.get(&api.acme, "/compat/aws/DescribeInstanceEventWindows").await.json();
    let range = &windows["InstanceEventWindows"][0]["TimeRanges"][0];
    assert_eq!((&range["StartWeekDay"], &range["EndHour"]), (&json!("saturday"), &json!(6)));
    let others = api.get(&api.globex, "/compat/aws/DescribeInstanceEventWindows").await.json();
    assert_eq!(others, json!({ "InstanceEventWindows": [] }));
    let scheduled = format!("/compat/aws/latest/meta-data/events/maintenance/scheduled?server={}", id(2));
    let scheduled = api.get(&api.acme, &scheduled).await.json();
    assert_eq!((&scheduled[0]["Code"], &scheduled[0]["State"]), (&json!("system-reboot"), &json!("active")));
}

#[tokio::test]
async fn a_drill_runs_through_its_ticket_by_the_clock_and_leaves_nothing_behind() {
    let api = Api::new().await;
    let begun = drill(&api, &json!({ "server": "web", "starts_in": "15m", "duration": "5m" })).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
    let number = begun.json()["number"].as_str().expect("a number").to_owned();
    assert!(begun.headers["location"].to_str().expect("text").starts_with("/v1/scheduled-events/"));
    assert_eq!(told(&api, &number).await, ["proposed"]);
    let subject = api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json()["subject"].clone();
    assert_eq!(subject, "[DRILL] [ACTION REQUIRED] Server Migration: web");
    assert!(
        azure(&api, &api.acme).await["Events"][0]["Description"]
            .as_str()
            .is_some_and(|text| text.starts_with("DRILL"))
    );
    // It is on no list of migrations, unless somebody asks for drills, and changes nothing about the server.
    let listed = |query: &'static str| {
        let api = &api;
        async move {
            let answer = api.get(&api.acme, &format!("/v1/migrations?{query}")).await.json();
            answer["items"].as_array().expect("items").len()
        }
    };
    assert_eq!(
        (listed("only=all").await, listed("drills=only").await, listed("drills=too").await),
        (0, 1, 1)
    );
    let server = api.get(&api.acme, "/v1/servers/web").await.json();
    assert!(server["migration"].is_null(), "{server}");
    for minutes in [8, 7, 5] {
        api.pass(Span::minutes(minutes)).await;
        api.look().await;
    }
    assert_eq!(told(&api, &number).await, ["proposed", "reminder", "started", "done"]);
    let ticket = api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json();
    assert_eq!(ticket["state"], "closed");
    let event = api.get(&api.acme, &format!("/v1/scheduled-events/{number}")).await.json();
    assert_eq!((&event["state"], &event["drill"]), (&json!("completed"), &json!(true)));
    assert_eq!(azure(&api, &api.acme).await["Events"], json!([]));
    assert!(
        api.app.store.operations_wanted().await.expect("a store").is_empty(),
        "no agent was asked for anything"
    );
    assert!(api.app.store.reboot_downtimes().await.expect("a store").is_empty(), "it counts for no estimate");
}

#[tokio::test]
async fn a_drill_is_approved_moved_started_and_cancelled_like_a_migration() {
    let api = Api::new().await;
    let body = json!({ "server": "web", "starts_in": "2h" });
    let number = drill(&api, &body).await.json()["number"].as_str().expect("a number").to_owned();
    let ask = |what: &'static str, body: Value| {
        let (api, path) = (&api, format!("/v1/migrations/{number}/{what}"));
        async move { api.post(&api.acme, &path, &body).await }
    };
    assert_eq!(ask("approve", json!({})).await.status, StatusCode::OK);
    let later = api.app.clock.now() + Span::hours(5).delta();
    let moved = ask("reschedule", json!({ "start": later })).await;
    assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
    let soon = ask("reschedule", json!({ "start": api.app.clock.now() })).await;
    assert_eq!(soon.problem(), "appointment", "the rules are the same");
    let event = azure(&api, &api.acme).await["Events"][0]["EventId"].as_str().expect("an id").to_owned();
    let body = json!({ "StartRequests": [{ "EventId": event }] }).to_string();
    assert_eq!(start(&api, &api.acme, &body).await.status, StatusCode::OK);
    api.look().await;
    assert_eq!(told(&api, &number).await, ["proposed", "accepted", "rescheduled", "started"]);
    let cancel = |token: String| {
        let (api, path) = (&api, format!("/v1/migrations/{number}/cancel"));
        async move { api.post(&token, &path, &json!({})).await }
    };
    assert_eq!(cancel(api.globex.clone()).await.problem(), "not-found");
    assert_eq!(cancel(api.operator.clone()).await.status, StatusCode::OK);
    api.look().await;
    assert_eq!(told(&api, &number).await.last().map(String::as_str), Some("given_up"));
    assert_eq!(api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json()["state"], "closed");
    assert_eq!(cancel(api.acme.clone()).await.problem(), "refused", "it is over");
}

#[tokio::test]
async fn a_drill_gives_way_to_a_maintenance_and_takes_no_place_from_it() {
    let api = Api::new().await;
    let number = drill(&api, &json!({ "server": "db", "starts_in": "1h" })).await.json()["number"].clone();
    api.drain_h1().await;
    let number = number.as_str().expect("a number");
    assert_eq!(told(&api, number).await, ["proposed", "given_up"]);
    assert_eq!(api.migration_of("db").await["state"], "ready");
    let refused = drill(&api, &json!({ "server": "db", "starts_in": "1h" })).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::CONFLICT, "refused".to_owned()));
    assert!(refused.detail().contains("for real"), "{}", refused.detail());
}

#[tokio::test]
async fn drills_have_rules_and_a_foreign_server_is_none() {
    let api = Api::new().await;
    let wrong = [
        (json!({ "server": "web", "starts_in": "31d" }), "invalid-field"),
        (json!({ "server": "web", "starts_in": "soon" }), "invalid-field"),
        (json!({ "server": "web", "starts_in": "5m", "duration": "5h" }), "invalid-field"),
        (json!({ "server": "web" }), "invalid-field"),
        (json!({ "server": "web", "starts_in": "5m", "reason": " " }), "invalid-field"),
        (json!({ "server": "shop", "starts_in": "5m" }), "not-found"),
        (json!({ "server": "nothing", "starts_in": "5m" }), "not-found"),
    ];
    for (body, problem) in wrong {
        assert_eq!(drill(&api, &body).await.problem(), problem, "{body}");
    }
    let body = json!({ "server": "web", "starts_in": "0s", "duration": "1m" });
    for had in 0..10 {
        assert_eq!(drill(&api, &body).await.status, StatusCode::CREATED, "{had}");
        assert_eq!(drill(&api, &body).await.problem(), "refused", "one at a time");
        api.pass(Span::minutes(2)).await;
        api.look().await;
    }
    let many = drill(&api, &body).await;
    assert!(many.detail().contains("10 drills within 1day"), "{}", many.detail());
    let operators =
        api.post(&api.operator, "/v1/drills", &json!({ "server": "db", "starts_in": "1h" })).await;
    assert_eq!(operators.problem(), "refused", "an operator's drills are told to the same owner");
    api.pass(Span::hours(24)).await;
    assert_eq!(drill(&api, &body).await.status, StatusCode::CREATED);
}
