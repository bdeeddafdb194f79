//! What an operator finds on the pages: by the search, in the list of owners' wishes, and of the policies.

use axum::http::StatusCode;
use serde_json::json;

use crate::fixture::{Answer, Api, id};
use crate::imports::asked;
use crate::pages::Browser;

async fn seen(operator: &Browser<'_>, path: &str) -> String {
    let Answer { status, text, .. } = operator.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    text
}

#[tokio::test]
async fn tickets_windows_operations_and_imports_are_found_and_lead_to_where_they_are_shown() {
    let api = Api::importing().await;
    api.drain_h1().await;
    let freeze = json!({ "name": "Big Sale", "days": { "from": "2026-01-17", "to": "2026-01-18", "timezone": "UTC" } });
    let put = api.put(&api.acme, &format!("/v1/freezes/{}", id(701)), &freeze).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let import = asked(&api).await;
    api.look().await;
    let migration = api.migration_of("web").await;
    let running = api.app.store.operations_wanted().await.expect("a store");
    let live = running
        .iter()
        .find(|wanted| migration["id"] == wanted.migration.map(|id| id.to_string()).unwrap_or_default());
    let live = live.expect("it goes live").operation.id.to_string();
    let ticket = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
    let operator = Browser::signed_in(&api, &api.operator).await;

    let by_number = format!("href=\"/tickets/{ticket}\"");
    for (q, found) in [
        (ticket.as_str(), by_number.as_str()),
        ("server migration: db", by_number.as_str()),
        ("acme", by_number.as_str()),
        ("big sale", "href=\"/windows?q=Big+Sale"),
        (live.as_str(), &format!("href=\"/migrations/{}\"", migration["id"].as_str().expect("an id"))),
        ("live migrate", live.as_str()),
        ("legacy", &format!("href=\"/audit?q={}\"", import["id"].as_str().expect("an id"))),
    ] {
        let query: String = form_urlencoded::byte_serialize(q.as_bytes()).collect();
        let page = seen(&operator, &format!("/search?q={query}")).await;
        assert!(page.contains(found), "{q}: {found} is not in {page}");
    }
    let story = seen(&operator, &format!("/audit?q={}", import["id"].as_str().expect("an id"))).await;
    assert!(story.contains("is to be imported to h4"), "{story}");
    assert!(seen(&operator, "/search?q=nothing-of-this").await.contains("Nothing has this name"));
    let acme = Browser::signed_in(&api, &api.acme).await;
    assert_eq!(acme.get("/search?q=db").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_owners_wish_is_a_list_that_is_sorted_and_filtered_by_its_address() {
    let api = Api::new().await;
    for (owner, token, hour) in [("acme", &api.acme, 2), ("globex", &api.globex, 3)] {
        let window =
            json!({ "opens": { "cron": format!("0 {hour} * * *"), "duration": "6h", "timezone": "UTC" } });
        let put = api.put(token, &format!("/v1/windows/{}", id(700 + hour)), &window).await;
        assert_eq!(put.status, StatusCode::CREATED, "{owner}: {put:?}");
        let limit = json!({ "max_simultaneous": hour });
        let put = api.put(token, &format!("/v1/limits/{}", id(710 + hour)), &limit).await;
        assert_eq!(put.status, StatusCode::CREATED, "{owner}: {put:?}");
    }
    let operator = Browser::signed_in(&api, &api.operator).await;
    let rows = async |query: &str| {
        let page = seen(&operator, &format!("/windows{query}")).await;
        let rows = page.split("<tr>").skip(2).map(|row| {
            let owner = if row.contains(">acme<") { "acme" } else { "globex" };
            let kind = if row.contains(">Windows<") { "window" } else { "limit" };
            (owner, kind)
        });
        rows.collect::<Vec<_>>()
    };
    assert_eq!(rows("").await.len(), 4);
    assert_eq!(rows("?kind=limits&sort=-owner").await, [("globex", "limit"), ("acme", "limit")]);
    assert_eq!(rows("?kind=windows&sort=next").await, [("acme", "window"), ("globex", "window")]);
    assert_eq!(rows("?q=globex&sort=kind").await, [("globex", "limit"), ("globex", "window")]);
    assert!(seen(&operator, "/windows?q=nobody").await.contains("No windows, freezes or limits here."));
    let acme = Browser::signed_in(&api, &api.acme).await;
    assert_eq!(acme.get("/windows").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn policies_are_read_in_full_each_rule_with_whom_it_is_about() {
    let rule = "[[rule]]\nname = \"acme stays put\"\nmatch = { owner = \"acme\" }\nset.live.allowed = false\nset.notice.reminders = [\"2d\", \"1h\"]\n";
    let api = Api::with(rule, |_| {}).await;
    api.report().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let page = seen(&operator, "/policies").await;
    for said in [
        "acme stays put",
        "owner acme",
        "policy.toml:1",
        "<dd>2d, 1h</dd>",
        "servers at present",
        "Whether servers may be migrated live unless their owner says otherwise.",
        "as shipped",
    ] {
        assert!(page.contains(said), "{said} is not in {page}");
    }
    let api_says = api.get(&api.operator, "/v1/policy").await.json();
    let rule = &api_says["rules"][0];
    assert_eq!(rule["sets"], json!({ "live.allowed": false, "notice.reminders": ["2d", "1h"] }), "{rule}");
    let servers = api.get(&api.operator, "/v1/servers?owner=acme").await.json();
    assert_eq!(rule["servers"].as_u64(), servers["items"].as_array().map(|all| all.len() as u64), "{rule}");
    let checked = api.post(&api.operator, "/v1/policy/check", &json!({ "files": [{ "name": "a.toml", "text": "[[rule]]\nname = \"x\"\nmatch = { cluster = \"east\" }\nset.live.allowed = false\n" }] })).await;
    assert_eq!(checked.json()["rules"][0]["about"], "cluster east", "{checked:?}");
}
