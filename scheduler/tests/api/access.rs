//! Who may do what, and what nobody learns of anybody else.

use axum::http::{Method, StatusCode};
use drover_policies::attempt::{Phase, Progress};
use drover_policies::samples::NOON;
use drover_scheduler::app::Told;
use serde_json::{Value, json};

use crate::fixture::{Api, id};

/// Words that an owner must never read: hosts, the other owner, operators, paths.
fn leaks(text: &str) -> Option<&'static str> {
    // As a word: the digits of an id may spell it.
    let operator = text.split(|c: char| !c.is_alphanumeric()).find(|word| *word == "ada").map(|_| "ada");
    ["\"h1\"", "\"h2\"", "\"h3\"", "h1 ", "h2 ", "h3 ", "globex", "shop", "secret-path", "qemu+tls"]
        .into_iter()
        .find(|word| text.contains(word))
        .or(operator)
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_told() {
    let api = Api::new().await;
    let answer = api.ask(Method::GET, "/v1/hosts").send().await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    assert!(answer.headers["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
    for header in ["Bearer drv_op_0000", "Basic abc", "Bearer"] {
        let answer = api.ask(Method::GET, "/v1/hosts").header("authorization", header).send().await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{header}");
    }
    for path in ["/healthz", "/readyz", "/version", "/openapi.json"] {
        assert_eq!(api.ask(Method::GET, path).send().await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_token_of_the_wrong_kind_is_told_which_kind_is_needed() {
    let api = Api::new().await;
    for (token, path) in [(&api.acme, "/v1/hosts"), (&api.agent, "/v1/hosts"), (&api.agent, "/v1/servers")] {
        let answer = api.get(token, path).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::FORBIDDEN, "wrong-token"),
            "{path}"
        );
        assert!(answer.json()["needs"].as_str().is_some_and(|needs| needs.contains("operator")));
    }
    let answer = api.post(&api.operator, "/agent/v1/sync", &json!({})).await;
    assert_eq!(answer.json()["needs"], "an agent's token");
    // Whoever may not do it at all is not told about his fields.
    let answer = api.post(&api.acme, "/v1/maintenances", &json!({ "nonsense": 1 })).await;
    assert_eq!(answer.problem(), "wrong-token");
}

#[tokio::test]
async fn a_revoked_token_is_worthless_at_once_and_the_last_operator_stays() {
    let api = Api::new().await;
    let body = json!({ "role": "owner", "subject": "acme" });
    let issued = api.post(&api.operator, "/v1/tokens", &body).await.json();
    let secret = issued["secret"].as_str().expect("shown once");
    assert_eq!(api.get(secret, "/v1/whoami").await.json()["name"], "acme");
    let list = api.get(&api.operator, "/v1/tokens").await;
    assert!(!list.text.contains(secret) && !list.text.contains("hash"), "{}", list.text);
    let path = format!("/v1/tokens/{}", issued["id"].as_str().expect("an id"));
    let revoke = api.ask(Method::DELETE, &path).token(&api.operator).send().await;
    assert_eq!(revoke.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get(secret, "/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
    let own = api.get(&api.operator, "/v1/whoami").await.json();
    let path = format!("/v1/tokens/{}", own["token"].as_str().expect("an id"));
    let answer = api.ask(Method::DELETE, &path).token(&api.operator).send().await;
    assert_eq!(answer.problem(), "refused");
    assert_eq!(api.get(&api.operator, "/v1/whoami").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_owner_has_tokens_of_his_own_and_nobody_elses() {
    let api = Api::new().await;
    for body in
        [json!({ "role": "owner" }), json!({ "role": "owner", "subject": "acme", "note": "backup script" })]
    {
        let issued = api.post(&api.acme, "/v1/tokens", &body).await;
        assert_eq!(issued.status, StatusCode::CREATED, "{issued:?}");
        let issued = issued.json();
        assert_eq!((&issued["subject"], &issued["note"]), (&json!("acme"), &body["note"]));
        let secret = issued["secret"].as_str().expect("shown once");
        let who = api.get(secret, "/v1/whoami").await.json();
        assert_eq!((who["name"].as_str(), who["role"].as_str()), (Some("acme"), Some("owner")), "{who}");
    }
    for (body, refused) in [
        (json!({ "role": "owner", "subject": "globex" }), "not-found"),
        (json!({ "role": "operator", "subject": "mallory" }), "wrong-token"),
        (json!({ "role": "agent", "subject": "h1" }), "wrong-token"),
        (json!({ "role": "owner", "note": "two\nlines" }), "invalid-field"),
        (json!({ "role": "owner", "note": "x".repeat(201) }), "invalid-field"),
    ] {
        assert_eq!(api.post(&api.acme, "/v1/tokens", &body).await.problem(), refused, "{body}");
    }
    let own = api.get(&api.acme, "/v1/tokens").await;
    let items = own.json()["items"].as_array().expect("a list").clone();
    assert_eq!(items.len(), 3, "{items:?}");
    assert!(items.iter().all(|token| token["subject"] == "acme") && !own.text.contains("secret"), "{own:?}");

    let backup = items.iter().find(|token| token["note"] == "backup script").expect("it is listed");
    let path = format!("/v1/tokens/{}", backup["id"].as_str().expect("an id"));
    let revoke = |token: &str| api.ask(Method::DELETE, &path).token(token).send();
    assert_eq!(revoke(&api.globex).await.problem(), "not-found");
    assert_eq!(revoke(&api.acme).await.status, StatusCode::NO_CONTENT);
    assert_eq!(revoke(&api.acme).await.status, StatusCode::NO_CONTENT, "it is so already");
    let audit = api.get(&api.operator, "/v1/events").await.json();
    let told: Vec<&str> = audit["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["kind"].as_str().filter(|kind| kind.starts_with("token_")))
        .collect();
    assert_eq!(told, ["token_issued", "token_issued", "token_revoked"], "{audit}");
}

#[tokio::test]
async fn an_owner_has_at_most_fifty_valid_tokens() {
    let api = Api::new().await;
    let body = json!({ "role": "owner" });
    // The one that he asks with is one of them.
    for _ in 1..50 {
        assert_eq!(api.post(&api.acme, "/v1/tokens", &body).await.status, StatusCode::CREATED);
    }
    let refused = api.post(&api.acme, "/v1/tokens", &body).await.json();
    assert_eq!((&refused["rule"], &refused["most"]), (&json!("token_limit"), &json!(50)));
    let own = api.get(&api.acme, "/v1/whoami").await.json();
    let mine = format!("/v1/tokens/{}", own["token"].as_str().expect("an id"));
    assert_eq!(api.ask(Method::DELETE, &mine).token(&api.acme).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get(&api.acme, "/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
}

/// Every route of the description, with each part of the path replaced by something of the other owner's.
async fn routes_against(api: &Api, foreign: &Value) -> Vec<(Method, String)> {
    let description = api.ask(Method::GET, "/openapi.json").send().await.json();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        if !path.starts_with("/v1/") || path.ends_with("/stream") {
            continue;
        }
        let path = [
            "host",
            "server",
            "maintenance",
            "migration",
            "event",
            "window",
            "freeze",
            "limit",
            "check",
            "ticket",
            "owner",
            "token",
            "webhook",
            "letter",
            "check",
            "replica",
            "import",
        ]
        .into_iter()
        .fold(path.clone(), |path, name| path.replace(&format!("{{{name}}}"), &text(&foreign[name])));
        assert!(!path.contains('{'), "{path} has a part that this test does not know");
        for method in methods.as_object().expect("methods").keys() {
            routes.push((method.to_uppercase().parse().expect("a method"), path.clone()));
        }
    }
    routes
}

#[tokio::test]
async fn an_owner_reaches_nothing_of_anothers_by_any_route() {
    let loopback = || vec!["127.0.0.0/8".parse().expect("a network")];
    let api = Api::configured(|config| config.outbound.allow = loopback()).await;
    let maintenance = api.drain_h1().await;
    let shop = api.migration_of("shop").await;
    let window = json!({ "opens": { "cron": "0 2 * * *", "duration": "20h", "timezone": "UTC" } });
    let window_path = format!("/v1/windows/{}", id(700));
    let put = api.put(&api.globex, &window_path, &window).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let freeze = json!({ "name": "a launch", "days": { "from": "2026-03-01", "to": "2026-03-01" } });
    let limit = json!({ "max_simultaneous": 1 });
    let check = json!({ "name": "ssh", "check": "tcp", "port": 22 });
    for (path, body) in [("freezes", &freeze), ("limits", &limit), ("checks", &check)] {
        let put = api.put(&api.globex, &format!("/v1/{path}/{}", id(700)), body).await;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    }
    let webhook = json!({ "url": "http://127.0.0.1:9/", "owner": "globex" });
    let hook = api.post(&api.globex, "/v1/webhooks", &webhook).await.json();
    api.put(&api.globex, "/v1/owners/globex", &json!({ "mail": ["ops@globex.example"] })).await;
    let tokens = api.get(&api.operator, "/v1/tokens").await.json();
    let of_globex = |token: &&Value| token["subject"] == "globex";
    let token =
        tokens["items"].as_array().and_then(|all| all.iter().find(of_globex)).expect("one")["id"].clone();
    let foreign = json!({
        "host": "h1", "server": id(3), "maintenance": maintenance["id"], "migration": shop["id"], "event": shop["id"], "import": shop["id"],
        "webhook": hook["id"], "letter": 1, "replica": shop["ticket"], "window": id(700), "freeze": id(700), "limit": id(700), "check": id(700), "ticket": shop["ticket"], "owner": "globex", "token": token,
    });
    let routes = routes_against(&api, &foreign).await;
    assert!(routes.len() > 40, "{}", routes.len());
    for (method, path) in &routes {
        let body = match path.rsplit('/').next() {
            Some("reschedule") => json!({ "start": "2026-01-20T02:00:00Z" }),
            Some("drills") => json!({ "server": id(3), "starts_in": "5m" }),
            Some("migrate") => json!({ "at": "2026-01-20T02:00:00Z" }),
            Some("messages") => json!({ "text": "What is this?" }),
            Some("webhooks") => webhook.clone(),
            Some("tokens") => json!({ "role": "owner", "subject": "globex" }),
            _ if path == "/v1/dead-letters/replay" => json!({ "channel": "mail" }),
            _ if path.starts_with("/v1/windows/") && *method == Method::PUT => window.clone(),
            _ if path.starts_with("/v1/freezes/") && *method == Method::PUT => freeze.clone(),
            _ if path.starts_with("/v1/limits/") && *method == Method::PUT => limit.clone(),
            _ if path.starts_with("/v1/checks/") && *method == Method::PUT => check.clone(),
            _ => json!({}),
        };
        let asking = api.ask(method.clone(), path).token(&api.acme);
        let answer =
            if *method == Method::GET { asking.send().await } else { asking.json(&body).send().await };
        let allowed = answer.status.is_success();
        if path.ends_with(&id(700)) && *method == Method::PUT {
            assert_eq!(answer.problem(), "refused", "an id that is taken: {answer:?}");
        } else if allowed {
            let harmless = [
                "/v1/servers",
                "/v1/migrations",
                "/v1/replicas",
                "/v1/windows",
                "/v1/freezes",
                "/v1/limits",
                "/v1/checks",
                "/v1/tickets",
                "/v1/events",
                "/v1/scheduled-events",
                "/v1/webhooks",
                "/v1/dead-letters",
                "/v1/tokens",
                "/v1/whoami",
            ];
            assert!(
                *method == Method::GET && harmless.contains(&path.as_str()),
                "{method} {path}: {answer:?}"
            );
        } else {
            let refused = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&answer.status);
            assert!(refused, "{method} {path}: {answer:?}");
        }
        // What he wrote himself may come back to him.
        let told = answer.text.replace(&foreign["owner"].to_string().replace('"', ""), "");
        assert_eq!(leaks(&told), None, "{method} {path}: {}", answer.text);
        assert!(!answer.text.contains("ops@globex.example"), "{method} {path}");
    }
    let after = api.migration_of("shop").await;
    assert_eq!(after["appointment"], shop["appointment"]);
    assert_eq!(api.get(&api.globex, &window_path).await.status, StatusCode::OK, "the window is still there");
}

#[tokio::test]
async fn anothers_object_is_answered_exactly_like_one_that_does_not_exist() {
    let api = Api::new().await;
    api.drain_h1().await;
    let shop = api.migration_of("shop").await;
    let shop = shop["id"].as_str().expect("an id");
    for (there, nowhere) in [
        (format!("/v1/servers/{}", id(3)), format!("/v1/servers/{}", id(99))),
        ("/v1/servers/shop".to_owned(), "/v1/servers/shap".to_owned()),
        (format!("/v1/migrations/{shop}"), format!("/v1/migrations/{}", id(99))),
        (format!("/v1/migrations/{shop}/slots"), format!("/v1/migrations/{}/slots", id(99))),
        ("/v1/owners/globex".to_owned(), "/v1/owners/nobody".to_owned()),
        ("/v1/migrations?owner=globex".to_owned(), "/v1/migrations?owner=nobody".to_owned()),
    ] {
        let last =
            |path: &str| path.split(['/', '=']).rfind(|part| *part != "slots").expect("a part").to_owned();
        let plain = |path: &str, text: &str| {
            let mut json: Value = serde_json::from_str(text).expect("JSON");
            json.as_object_mut().expect("a problem").remove("request_id");
            json.to_string().replace(&last(path), "X")
        };
        let (one, other) = (api.get(&api.acme, &there).await, api.get(&api.acme, &nowhere).await);
        assert_eq!(one.status, StatusCode::NOT_FOUND, "{there}");
        assert_eq!(plain(&there, &one.text), plain(&nowhere, &other.text), "{there}");
    }
}

#[tokio::test]
async fn what_an_owner_sees_of_his_own_names_no_host_and_nobody_else() {
    let api = Api::new().await;
    api.drain_h1().await;
    let migration = api.migration_of("db").await;
    let number = migration["number"].to_string();
    assert!(
        migration["from"].is_string() && migration["to"].is_string(),
        "an operator sees hosts: {migration}"
    );
    for path in [
        "/v1/servers".to_owned(),
        "/v1/servers/db".to_owned(),
        "/v1/servers/db/explain".to_owned(),
        "/v1/servers/stuck/explain".to_owned(),
        "/v1/migrations?only=all".to_owned(),
        format!("/v1/migrations/{number}"),
        format!("/v1/migrations/DR-{number}/slots"),
        "/v1/tickets?only=all".to_owned(),
        format!("/v1/tickets/DR-{number}"),
        "/v1/events?limit=500".to_owned(),
    ] {
        let answer = api.get(&api.acme, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert_eq!(leaks(&answer.text), None, "{path}: {}", answer.text);
    }
    let servers = api.get(&api.acme, "/v1/servers").await.json();
    assert_eq!(servers["items"].as_array().expect("items").len(), 4);
    let events = api.get(&api.acme, "/v1/events?limit=500").await.json();
    assert!(!events["items"].as_array().expect("items").is_empty(), "he is told what concerns him");
}

#[tokio::test]
async fn pages_of_an_owner_are_full_of_his_own() {
    let api = Api::new().await;
    let first = api.get(&api.acme, "/v1/servers?limit=3").await.json();
    assert_eq!(
        first["items"].as_array().expect("items").len(),
        3,
        "others' are filtered before the page is cut"
    );
    let cursor = first["next_cursor"].as_str().expect("one is left");
    let second = api.get(&api.acme, &format!("/v1/servers?limit=3&cursor={cursor}")).await.json();
    assert_eq!(second["items"].as_array().expect("items").len(), 1);
    assert!(second.get("next_cursor").is_none(), "{second}");
}

#[tokio::test]
async fn a_stream_tells_an_owner_of_his_own_and_misses_nothing() {
    let api = Api::new().await;
    api.drain_h1().await;
    api.post(&api.acme, "/v1/servers/db/migrate-now", &json!({})).await;
    api.post(&api.globex, "/v1/servers/shop/migrate-now", &json!({})).await;
    let figures = async {
        // Both cutovers are ordered in the end, one after the other: a host has only so many reboots at once.
        api.look().await;
        let progress = Progress::of(Phase::PowerOffSource, NOON);
        for wanted in api.app.store.operations_wanted().await.expect("a store") {
            api.app.tell(Told::Progress(wanted.operation.id, progress.clone()));
        }
    };
    let told = api.stream(&api.acme, "/v1/events/stream?after=0", figures).await;
    assert!(told.contains("event: event") && told.contains("event: progress"), "{told}");
    assert_eq!(leaks(&told), None, "{told}");
    let all = api.stream(&api.operator, "/v1/events/stream?after=0", async {}).await;
    assert!(all.contains("\"server_name\":\"shop\"") && all.contains("\"host\":\"h1\""), "{all}");
    let ids: Vec<i64> = all
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| id.parse().expect("a number"))
        .collect();
    assert!(ids.len() > 5 && ids.is_sorted_by(|a, b| a < b), "each once, in order: {ids:?}");
    let rest =
        api.stream(&api.operator, &format!("/v1/events/stream?after={}", ids[ids.len() - 3]), async {}).await;
    assert_eq!(rest.lines().filter(|line| line.starts_with("id: ")).count(), 2, "{rest}");
}
