//! The lists of the pages: what can be clicked does what it says, and an address keeps what it was about.

use axum::http::StatusCode;
use serde_json::json;

use crate::fixture::Api;
use crate::pages::Browser;

/// Where the headings of a list lead by which it can be sorted.
pub fn headings(page: &str) -> Vec<String> {
    let heads = page.split("<th scope=\"col\"").skip(1).filter_map(|rest| rest.split("</th>").next());
    let links = heads.filter_map(|head| head.split("<a href=\"").nth(1)?.split('"').next());
    links.map(|href| href.replace("&#38;", "&")).collect()
}

/// The text of the first cell of each row, in order.
pub fn names(page: &str) -> Vec<String> {
    let cells = page.split("<th scope=\"row\"").skip(1).filter_map(|rest| rest.split("</th>").next());
    cells.filter_map(|cell| Some(cell.split("\">").nth(2)?.split('<').next()?.to_owned())).collect()
}

#[tokio::test]
async fn every_heading_that_can_be_clicked_sorts_and_turns_round() {
    let api = Api::new().await;
    api.drain_h1().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    for (browser, path, least) in [
        (&operator, "/maintenances", 3),
        (&operator, "/maintenances/MT-1/plan", 5),
        (&operator, "/migrations", 6),
        (&operator, "/servers", 5),
        (&operator, "/hosts", 6),
        (&operator, "/tickets", 5),
        (&operator, "/agents", 3),
        (&acme, "/my", 3),
    ] {
        let links = headings(&browser.get(path).await.text);
        assert!(links.len() >= least, "{path}: {links:?}");
        for link in links {
            let sorted = browser.get(&link).await;
            assert_eq!(sorted.status, StatusCode::OK, "{link}");
            assert_eq!(sorted.text.matches("aria-sort=\"ascending\"").count(), 1, "{link}: {}", sorted.text);
            let turned = browser.get(&link.replace("sort=", "sort=-")).await;
            assert_eq!(turned.text.matches("aria-sort=\"descending\"").count(), 1, "{link}");
        }
        let unknown = browser.get(&format!("{path}?sort=nothing")).await;
        assert!(!unknown.text.contains("aria-sort"), "{path}");
    }
    let by = async |query: &str| names(&operator.get(&format!("/migrations?{query}")).await.text);
    assert_eq!(by("sort=method").await[0], "web", "it alone goes live");
    assert_eq!(by("sort=-method").await.last().map(String::as_str), Some("web"));
}

#[tokio::test]
async fn what_a_list_is_about_stays_while_it_is_sorted_and_filtered() {
    let api = Api::new().await;
    api.drain_h1().await;
    let body = json!({ "hosts": ["h5"], "reason": "fan", "deadline": "30d" });
    assert_eq!(api.post(&api.operator, "/v1/maintenances", &body).await.status, StatusCode::CREATED);
    api.look().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    assert!(names(&operator.get("/migrations").await.text).contains(&"twin".to_owned()));
    let page = operator.get("/migrations?maintenance=MT-1").await.text;
    assert_eq!(names(&page).len(), 3, "{page}");
    for link in headings(&page) {
        let sorted = operator.get(&link).await.text;
        assert!(link.contains("maintenance=MT-1") && names(&sorted).len() == 3, "{link}: {sorted}");
    }
    assert!(page.contains("<option value=\"MT-1\" selected>"), "the form that filters sends it too: {page}");
    assert!(page.contains("<option value=\"MT-2\">"), "{page}");
    assert_eq!(operator.get("/migrations?maintenance=MT-9").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_hosts_of_a_maintenance_are_found_before_their_turn_and_after() {
    let api = Api::new().await;
    let body = json!({
        "hosts": ["h1", "h2", "h4"],
        "reason": "kernel-update",
        "deadline": "30d",
        "rolling": { "kind": "drain" },
    });
    let made = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    api.look().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let of = async || names(&operator.get("/hosts?maintenance=MT-1&sort=name").await.text);
    assert_eq!(of().await, ["h1", "h2", "h4"], "it is a draft, and none of them is in work");
    assert!(operator.get("/hosts/h2").await.text.contains("href=\"/maintenances/MT-1\""));
    let cancelled = operator.post("/maintenances/MT-1/cancel", &[]).await;
    assert_eq!(cancelled.status, StatusCode::SEE_OTHER);
    api.look().await;
    assert_eq!(of().await, ["h1", "h2", "h4"], "it is over");
    assert!(!operator.get("/hosts/h2").await.text.contains("href=\"/maintenances/MT-1\""));
    assert!(names(&operator.get("/hosts?maintenance=MT-9").await.text).is_empty());
}

#[tokio::test]
async fn the_order_of_the_audit_log_is_turned_by_a_link() {
    let api = Api::new().await;
    api.drain_h1().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let log = async |path: &str| {
        let page = operator.get(path).await.text;
        let (_, order) = page.split_once("first. <a href=\"").expect("a link");
        let link = order.split('"').next().expect("an address").replace("&#38;", "&");
        let (asked, proposed) = (page.find("asked to empty h1"), page.find(" proposed</"));
        (link, asked.expect("told") < proposed.expect("told"))
    };
    let (turned, oldest_first) = log("/audit?q=1").await;
    assert!(!oldest_first && turned == "/audit?sort=at&q=1", "{turned}");
    let (back, oldest_first) = log("/audit?sort=at").await;
    assert!(oldest_first && back == "/audit", "{back}");
}
