//! What owners set about their time, and what they wish of an appointment: every rule broken once, and everything that is offered accepted.

#[path = "../common/postgres.rs"]
mod postgres;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use drover_policies::time::{Instant, Span};
use drover_scheduler::freezes::fetch_due;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fixture::{Answer, Api, id};

const ONE_AT_A_TIME: &str = "[limits]\nreboots_per_host = 1\n";

fn time(value: &Value) -> Instant {
    value.as_str().expect("a time").parse().expect("a time")
}

fn freeze(n: u128) -> String {
    format!("/v1/freezes/{}", id(n))
}

fn days(name: &str, from: &str, to: &str) -> Value {
    json!({ "name": name, "days": { "from": from, "to": to, "timezone": "UTC" } })
}

async fn wishes(api: &Api, server: &str, what: &str, body: &Value) -> Answer {
    let number = api.migration_of(server).await["number"].to_string();
    let token = if server == "shop" { &api.globex } else { &api.acme };
    api.post(token, &format!("/v1/migrations/{number}/{what}"), body).await
}

async fn reschedules(api: &Api, server: &str, start: Instant) -> Answer {
    wishes(api, server, "reschedule", &json!({ "start": start })).await
}

/// The rule that was broken, after a look at what every such refusal has.
fn rule(answer: &Answer) -> String {
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::CONFLICT, "appointment"),
        "{answer:?}"
    );
    answer.json()["rule"].as_str().expect("a rule").to_owned()
}

#[tokio::test]
async fn every_rule_about_a_new_time_is_told_with_a_time_that_is_accepted() {
    let api = Api::with_policy(ONE_AT_A_TIME).await;
    api.drain_h1().await;
    let shops = time(&api.migration_of("shop").await["appointment"]["slot"]["start"]);
    let frozen = shops + Span::days(2).delta();
    let day = frozen.format("%Y-%m-%d").to_string();
    assert_eq!(
        api.put(&api.acme, &freeze(1), &days("a launch", &day, &day)).await.status,
        StatusCode::CREATED
    );
    let soon = "2026-01-05T12:10:00Z".parse::<Instant>().expect("a time");
    for (wished, broken, offer, words) in [
        (soon, "too_soon", "earliest", "or later, or start it now"),
        (soon + Span::days(60).delta(), "after_deadline", "latest", "it must be over by"),
        (frozen, "excluded", "free", "nothing is done (a launch); free are"),
        (shops, "taken", "free", "the hosts are busy with other migrations then; free are"),
    ] {
        let refused = reschedules(&api, "db", wished).await;
        assert_eq!(rule(&refused), broken);
        assert!(refused.detail().contains(words), "{}", refused.detail());
        let offered = &refused.json()[offer];
        let offered = time(offered.get(0).unwrap_or(offered));
        let accepted = reschedules(&api, "db", offered).await;
        assert_eq!(accepted.status, StatusCode::OK, "{broken} offered {offered}: {accepted:?}");
        assert!(accepted.json()["deadline"].is_string(), "the hard deadline is shown");
    }
    assert_eq!(wishes(&api, "web", "reschedule", &json!({ "start": frozen })).await.problem(), "refused");
    let start = time(&api.migration_of("db").await["appointment"]["slot"]["start"]);
    let close =
        Span::between("2026-01-05T12:00:00Z".parse().expect("a time"), start - Span::minutes(4).delta());
    api.pass(close).await;
    for what in ["reschedule", "decline"] {
        let refused = wishes(&api, "db", what, &json!({ "start": start + Span::days(1).delta() })).await;
        let refused = if what == "decline" { wishes(&api, "db", what, &json!({})).await } else { refused };
        assert_eq!(rule(&refused), "too_close", "{what}");
        assert!(refused.detail().contains("within 5m of that; wait for its end, or start it now"));
    }
    assert!(wishes(&api, "db", "approve", &json!({})).await.status.is_success(), "it may still be agreed to");
    assert!(api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await.status.is_success());
    for (what, body) in
        [("reschedule", json!({ "start": start })), ("decline", json!({})), ("approve", json!({}))]
    {
        let refused = wishes(&api, "db", what, &body).await;
        assert_eq!(rule(&refused), "already_begun", "{what}");
    }
}

#[tokio::test]
async fn where_no_time_is_left_there_is_nothing_to_agree_to_or_to_decline() {
    let api = Api::new().await;
    let body = json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "2d" });
    assert_eq!(api.post(&api.operator, "/v1/maintenances", &body).await.status, StatusCode::CREATED);
    api.look().await;
    assert_eq!(api.migration_of("db").await["waits_for"]["code"], "slot");
    for what in ["approve", "decline"] {
        let refused = wishes(&api, "db", what, &json!({})).await;
        assert_eq!(rule(&refused), "nothing_proposed");
        assert!(
            refused.detail().contains("choose one with reschedule, or start it now"),
            "{}",
            refused.detail()
        );
    }
    let chosen = reschedules(&api, "db", "2026-01-06T03:00:00Z".parse().expect("a time")).await;
    assert_eq!(chosen.status, StatusCode::OK, "{chosen:?}");
}

#[tokio::test]
async fn declining_answers_with_the_next_time_and_tells_it_in_the_ticket() {
    let api = Api::new().await;
    api.drain_h1().await;
    let before = api.migration_of("db").await;
    let declined = wishes(&api, "db", "decline", &json!({})).await;
    assert_eq!(declined.status, StatusCode::OK, "{declined:?}");
    let next = declined.json();
    assert_eq!(next["appointment"]["state"], "proposed");
    let (first, second) =
        (time(&before["appointment"]["slot"]["start"]), time(&next["appointment"]["slot"]["start"]));
    assert!(second - first >= Span::hours(12).delta(), "another night: {first} {second}");
    let ticket = api.get(&api.acme, &format!("/v1/tickets/DR-{}", before["number"])).await.json();
    let codes: Vec<&str> = ticket["notices"]
        .as_array()
        .expect("notices")
        .iter()
        .filter_map(|told| told["kind"].as_str())
        .collect();
    assert_eq!(codes, ["proposed", "proposed"], "{ticket}");
    assert_eq!(wishes(&api, "shop", "decline", &json!({})).await.status, StatusCode::OK);
    let number = &before["number"];
    let foreign = api.post(&api.globex, &format!("/v1/migrations/{number}/decline"), &json!({})).await;
    let missing = api.post(&api.globex, "/v1/migrations/4711/decline", &json!({})).await;
    assert_eq!((foreign.status, foreign.problem()), (missing.status, missing.problem()));
}

#[tokio::test]
async fn a_limit_of_ones_own_is_kept_by_whoever_chooses_a_time() {
    let api = Api::with_policy("[live]\nallowed = false\n[limits]\nreboots_per_host = 5\n").await;
    let limit = format!("/v1/limits/{}", id(1));
    for (body, field, words) in [
        (json!({ "max_simultaneous": 0 }), "max_simultaneous", "0 would let nothing happen ever"),
        (
            json!({ "max_simultaneous": 1, "scope": { "for": "server", "server": "db" } }),
            "scope",
            "never rebooted twice at once",
        ),
        (json!({ "max_simultaneous": 1, "owner": "globex" }), "owner", "your own account only"),
    ] {
        let refused = api.put(&api.acme, &limit, &body).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some(field))
        );
        assert!(refused.detail().contains(words), "{}", refused.detail());
    }
    let body = json!({ "max_simultaneous": 1 });
    assert_eq!(api.put(&api.acme, &limit, &body).await.status, StatusCode::CREATED);
    assert_eq!(api.put(&api.acme, &limit, &body).await.status, StatusCode::OK, "a repeat");
    let twice = api.put(&api.acme, &format!("/v1/limits/{}", id(2)), &body).await;
    assert!(twice.detail().contains("is for the whole account already"), "{}", twice.detail());
    assert_eq!(api.put(&api.globex, &limit, &body).await.problem(), "refused", "the id is another's");
    assert_eq!(api.get(&api.globex, &limit).await.problem(), "not-found");

    api.drain_h1().await;
    let slot = |migration: &Value| {
        let slot = &migration["appointment"]["slot"];
        (time(&slot["start"]), time(&slot["end"]))
    };
    let (db, web) = (slot(&api.migration_of("db").await), slot(&api.migration_of("web").await));
    assert!(db.1 <= web.0 || web.1 <= db.0, "one after the other: {db:?} {web:?}");
    let refused = reschedules(&api, "web", db.0).await;
    assert_eq!(rule(&refused), "limit");
    assert!(
        refused
            .detail()
            .contains("no more than 1 of the owner's servers are rebooted at once (the whole account)")
    );
    let offered = time(&refused.json()["free"][0]);
    assert_eq!(reschedules(&api, "web", offered).await.status, StatusCode::OK);
    let explained = api.get(&api.acme, "/v1/servers/db/explain").await.json();
    assert_eq!(explained["limits"], json!([{ "scope": { "for": "account" }, "max_simultaneous": 1 }]));
    let removed = api.ask(Method::DELETE, &limit).token(&api.acme).send().await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_freeze_says_whom_it_leaves_without_a_time_and_explain_says_what_stands_in_the_way() {
    let api = Api::new().await;
    api.drain_h1().await;
    assert!(wishes(&api, "db", "approve", &json!({})).await.status.is_success());
    let agreed = time(&api.migration_of("db").await["appointment"]["slot"]["start"]);
    let put = api.put(&api.acme, &freeze(1), &days("years of rest", "2026-01-01", "2030-01-01")).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let warnings = put.json()["warnings"].to_string();
    assert!(
        warnings.contains("db: with this freeze none of its windows opens for long enough"),
        "{warnings}"
    );
    assert!(warnings.contains("(db) keeps the time that was agreed"), "{warnings}");
    let window = json!({ "opens": { "cron": "0 2 * * 0", "duration": "4h", "timezone": "UTC" } });
    let frozen = api.put(&api.acme, &format!("/v1/windows/{}", id(9)), &window).await;
    assert_eq!(frozen.json()["field"], "opens", "{frozen:?}");
    assert!(frozen.detail().contains("lies in a freeze (years of rest)"), "{}", frozen.detail());

    let at = agreed.format("%Y-%m-%dT%H:%M:%SZ");
    let explained = api.get(&api.acme, &format!("/v1/servers/db/explain?at={at}")).await.json();
    assert_eq!(explained["next_windows"], json!([]));
    assert_eq!(explained["freezes"][0]["name"], "years of rest");
    assert_eq!(explained["freezes"][0]["from"], "account");
    assert_eq!(explained["at"]["hindrances"][0]["code"], "excluded");
    let globex = api.get(&api.globex, "/v1/servers/shop/explain").await.json();
    assert_eq!(globex["freezes"], Value::Null, "others are not concerned");

    for (body, field, words) in [
        (json!({ "name": "x" }), "days", "write one of them"),
        (
            json!({ "name": " ", "days": { "from": "2026-02-01", "to": "2026-02-01" } }),
            "name",
            "1 to 100 characters",
        ),
        (days("x", "2026-02-02", "2026-02-01"), "days.to", "is before the first"),
        (
            json!({ "name": "x", "days": { "from": "2026-02-01", "to": "2026-02-01", "timezone": "Berlin" } }),
            "days.timezone",
            "\"Europe/Berlin\"",
        ),
        (json!({ "name": "x", "calendar": "hello" }), "calendar", "no iCalendar file"),
        (json!({ "name": "x", "url": "https://127.0.0.1/" }), "url", "is no public address"),
        (json!({ "name": "x", "url": "https://localhost/" }), "url", "is no public address"),
        (json!({ "name": "x", "url": "http://calendar.example/" }), "url", "write an https:// address"),
    ] {
        let refused = api.put(&api.acme, &freeze(2), &body).await;
        assert_eq!(refused.json()["field"], field, "{body} {refused:?}");
        assert!(refused.detail().contains(words), "{}", refused.detail());
    }
    let mut shop = days("x", "2026-02-01", "2026-02-01");
    shop["scope"] = json!({ "for": "server", "server": "shop" });
    let foreign = api.put(&api.acme, &freeze(2), &shop).await;
    shop["scope"]["server"] = json!("nothing");
    let missing = api.put(&api.acme, &freeze(2), &shop).await;
    assert_eq!((foreign.status, foreign.problem()), (missing.status, missing.problem()));
    assert_eq!(foreign.detail().replace("shop", "nothing"), missing.detail());
    let huge = json!({ "name": "x", "calendar": "x".repeat(2 << 20) });
    let refused = api.put(&api.acme, &freeze(2), &huge).await;
    assert_eq!(refused.problem(), "too-large");
    assert!(refused.detail().contains("a calendar has at most 1048576"), "{}", refused.detail());
    assert_eq!(api.get(&api.acme, "/v1/freezes").await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_window_can_be_tried_before_it_is_set() {
    let api = Api::new().await;
    let path = format!("/v1/windows/{}", id(9));
    let window = json!({ "opens": { "cron": "0 2 * * 0", "duration": "4h", "timezone": "Europe/Berlin" } });
    let shown = api.put(&api.acme, &format!("{path}?dry_run=true"), &window).await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    assert_eq!(shown.json()["next"].as_array().map(Vec::len), Some(10));
    assert_eq!(api.get(&api.acme, &path).await.problem(), "not-found", "nothing was set");
    assert_eq!(api.put(&api.acme, &path, &window).await.status, StatusCode::CREATED);
}

/// A web server with calendars, as good and as bad as they come.
async fn calendars() -> (SocketAddr, Arc<AtomicBool>) {
    let works = Arc::new(AtomicBool::new(true));
    let app = Router::new().route("/{name}", get(calendar)).with_state(works.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, works)
}

async fn calendar(
    State(works): State<Arc<AtomicBool>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    const GOOD: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20260112\r\nDTEND;VALUE=DATE:20260114\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let etag = [(header::ETAG, "\"1\"")];
    match name.as_str() {
        "good.ics" if !works.load(Ordering::SeqCst) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "good.ics" if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == "\"1\"") => {
            (StatusCode::NOT_MODIFIED, etag).into_response()
        }
        "good.ics" => (etag, GOOD).into_response(),
        "elsewhere.ics" => Redirect::temporary("/good.ics").into_response(),
        "huge.ics" => "x".repeat(50 << 20).into_response(),
        "endless.ics" => {
            let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 65_536]));
            axum::body::Body::from_stream(chunks).into_response()
        }
        "page.ics" => "<html>please log in</html>".into_response(),
        "for-ever.ics" => GOOD.replace("UID:1", "UID:1\r\nRRULE:FREQ=YEARLY").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_calendar_at_an_address_is_fetched_again_and_an_old_copy_is_kept_and_said_to_be_old() {
    let (address, works) = calendars().await;
    let api = Api::configured(|config| {
        config.outbound.allow = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let at = |name: &str| json!({ "name": "launches", "url": format!("http://{address}/{name}") });
    for (name, words) in [
        ("elsewhere.ics", "answers 307 and sends elsewhere, which is not followed"),
        ("huge.ics", "longer than 1048576 bytes"),
        ("endless.ics", "longer than 1048576 bytes"),
        ("page.ics", "this is no iCalendar file"),
        ("for-ever.ics", "RRULE: repeats for ever"),
        ("missing.ics", "answers 404; it must answer 200"),
    ] {
        let refused = api.put(&api.acme, &freeze(1), &at(name)).await;
        assert_eq!(refused.json()["field"], "url", "{name}: {refused:?}");
        assert!(refused.detail().contains(words), "{name}: {}", refused.detail());
    }
    let put = api.put(&api.acme, &freeze(1), &at("good.ics")).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    assert_eq!(
        put.json()["next"],
        json!([{ "start": "2026-01-12T00:00:00Z", "end": "2026-01-14T00:00:00Z" }])
    );
    let state = || async {
        fetch_due(&api.app).await.expect("fetched");
        api.get(&api.acme, &freeze(1)).await.json()["calendar"].clone()
    };
    api.pass(Span::hours(2)).await;
    let unchanged = state().await;
    assert_eq!((&unchanged["good_at"], &unchanged["stale"]), (&json!("2026-01-05T14:00:00Z"), &json!(false)));
    works.store(false, Ordering::SeqCst);
    api.pass(Span::hours(2)).await;
    let failed = state().await;
    assert_eq!(
        (&failed["failure"], &failed["stale"]),
        (&json!("the address answers 503; it must answer 200"), &json!(false))
    );
    api.pass(Span::hours(30)).await;
    assert_eq!(state().await["stale"], true);
    let explained = api.get(&api.acme, "/v1/servers/db/explain?at=2026-01-13T02:00:00Z").await.json();
    assert!(
        explained["freezes"][0]["stale"]["text"]
            .as_str()
            .is_some_and(|text| text.contains("as of 2026-01-05 14:00:00 UTC")),
        "{explained}"
    );
    assert_eq!(explained["at"]["hindrances"][0]["code"], "excluded", "the copy is in force all the same");
    works.store(true, Ordering::SeqCst);
    api.pass(Span::hours(1)).await;
    let good = state().await;
    assert_eq!((&good["failure"], &good["stale"]), (&Value::Null, &json!(false)));
}

/// Both ask at the same moment, over real connections, again and again for another time.
async fn race(api: &Api) {
    api.drain_h1().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = drover_scheduler::http::router(api.app.clone());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::new();
    let (db, shop) = (api.migration_of("db").await, api.migration_of("shop").await);
    let asks = |migration: &Value, token: &str, start: Instant| {
        let url = format!("http://{address}/v1/migrations/{}/reschedule", migration["number"]);
        let request = client.post(url).bearer_auth(token).json(&json!({ "start": start }));
        async move {
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
        }
    };
    let first = "2026-01-20T02:00:00Z".parse::<Instant>().expect("a time");
    for round in 0..10 {
        let start = first + Span::days(round / 2).delta() + Span::hours(round).delta();
        let ((one, a), (other, b)) =
            tokio::join!(asks(&db, &api.acme, start), asks(&shop, &api.globex, start));
        let (loser, told) = match (one, other) {
            (200, 409) => ((&shop, &api.globex), b),
            (409, 200) => ((&db, &api.acme), a),
            both => panic!("{both:?} in round {round}: {a} {b}"),
        };
        assert_eq!(told["rule"], "taken");
        let offered = time(&told["free"][0]);
        let (status, answer) = asks(loser.0, loser.1, offered).await;
        assert_eq!(status, 200, "what is offered is accepted: {answer}");
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_choose_the_last_time_at_once_one_gets_it_on_sqlite() {
    race(&Api::with_policy(ONE_AT_A_TIME).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_choose_the_last_time_at_once_one_gets_it_on_postgresql() {
    let Some(cluster) = postgres::cluster() else { return };
    let url = cluster.database();
    race(&Api::with(ONE_AT_A_TIME, |config| config.database = Some(url)).await).await;
}

#[tokio::test]
async fn a_check_is_refused_with_its_field_and_what_would_be_right_or_kept_as_it_is() {
    let api = Api::with_policy("").await;
    let check = |n: u128| format!("/v1/checks/{}", id(n));
    let tcp = |name: &str, port: u32| json!({ "name": name, "check": "tcp", "port": port });
    let http = |path: &str| json!({ "name": "shop", "check": "http", "path": path });
    for (body, field, words) in [
        (tcp("ssh", 0), "port", "write 1 to 65535"),
        (http("health"), "path", "begins with /"),
        (http("/a\r\nHost: elsewhere"), "path", "begins with /"),
        (tcp("<script>", 22), "name", "letters, digits"),
        (tcp(&"x".repeat(300), 22), "name", "letters, digits"),
        (json!({ "name": "ssh", "check": "ping" }), "check", "tcp or http"),
        (
            json!({ "name": "ssh", "check": "tcp", "port": 22, "address": "127.0.0.1" }),
            "address",
            "own addresses",
        ),
        (json!({ "name": "ssh", "check": "tcp", "port": 22, "within": "2 days" }), "within", "within"),
        (
            json!({ "name": "ssh", "check": "tcp", "port": 22, "owner": "globex" }),
            "owner",
            "your own account only",
        ),
    ] {
        let refused = api.put(&api.acme, &check(1), &body).await;
        let told = (refused.status, refused.json()["field"].as_str().map(str::to_owned));
        assert_eq!(told, (StatusCode::UNPROCESSABLE_ENTITY, Some(field.to_owned())), "{body}");
        assert!(refused.detail().contains(words), "{}", refused.detail());
    }
    let put = api.put(&api.acme, &check(1), &http("/health")).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let known = api.get(&api.acme, &check(1)).await.json();
    assert_eq!(
        (&known["port"], &known["must_pass"], &known["path"]),
        (&json!(80), &json!(true), &json!("/health"))
    );
    assert_eq!(api.put(&api.acme, &check(1), &http("/health")).await.status, StatusCode::OK, "a repeat");
    let twice = api.put(&api.acme, &check(2), &http("/other")).await;
    assert!(twice.detail().contains("choose another name"), "{}", twice.detail());
    assert_eq!(api.put(&api.globex, &check(1), &http("/")).await.problem(), "refused", "the id is another's");
    assert_eq!(api.get(&api.globex, &check(1)).await.problem(), "not-found");

    let mut last = None;
    for n in 2..=300 {
        let answer = api.put(&api.acme, &check(n), &tcp(&format!("port {n}"), 22)).await;
        if answer.status != StatusCode::CREATED {
            last = Some((n, answer));
            break;
        }
    }
    let (n, refused) = last.expect("300 checks are too many");
    assert_eq!(n, 51);
    assert!(refused.detail().contains("at most 50 checks"), "{}", refused.detail());
    let removed = api.ask(Method::DELETE, &check(1)).token(&api.acme).send().await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
}
