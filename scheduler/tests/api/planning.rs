//! How operators plan on the pages: what they ask for has an address, and its plan is read before anything is touched.

use axum::http::StatusCode;
use drover_policies::fleet::Server;
use drover_policies::samples::{NOON, gib, host_name, server_facts, server_id};
use serde_json::json;

use crate::fixture::Api;
use crate::lists::{headings, names};
use crate::pages::{Browser, location};

type Fields<'a> = [(&'a str, &'a str)];

/// The address that a browser makes of a form that only asks.
fn address(fields: &Fields<'_>) -> String {
    let mut query = form_urlencoded::Serializer::new("/maintenances/new?".to_owned());
    query.extend_pairs(fields).append_pair("step", "plan");
    query.finish()
}

/// The same fields, one of them another.
fn but<'a>(fields: &Fields<'a>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = fields.iter().copied().filter(|(field, _)| *field != name);
    others.chain([(name, value)]).collect()
}

async fn none_is_there(api: &Api) {
    let all = api.get(&api.operator, "/v1/maintenances").await.json();
    assert_eq!(all["items"], json!([]), "nothing was begun");
}

const DRAIN: [(&str, &str); 4] =
    [("hosts", "h1"), ("reason", "kernel-update"), ("deadline", "30d"), ("kind", "drain")];

#[tokio::test]
async fn an_operator_plans_looks_and_begins_by_forms_alone() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let form = operator.get("/maintenances/new?hosts=h1&reason=fan").await.text;
    assert!(form.contains("value=\"h1\"") && form.contains("value=\"fan\""), "{form}");
    assert!(form.contains("<input type=\"hidden\" name=\"step\" value=\"plan\">"), "{form}");
    let plan = operator.get(&address(&DRAIN)).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    assert!(
        plan.text.contains("shop") && plan.text.contains("name=\"step\" value=\"begin\""),
        "{}",
        plan.text
    );
    assert!(
        plan.text.contains("href=\"/maintenances/new?hosts=h1&#38;reason=kernel-update"),
        "{}",
        plan.text
    );
    // Whoever sends it otherwise is led there.
    let sent = operator.post("/maintenances/new", &DRAIN).await;
    assert_eq!((sent.status, location(&sent)), (StatusCode::SEE_OTHER, address(&DRAIN).as_str()));
    for (name, value) in [
        ("hosts", "h9"),
        ("hosts", ""),
        ("hosts", "<script>alert(1)</script>"),
        ("reason", ""),
        ("deadline", "yesterday"),
        ("kind", "explode"),
    ] {
        let answer = operator.get(&address(&but(&DRAIN, name, value))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}");
        assert!(
            answer.text.contains("class=\"error\"") || answer.text.contains("role=\"alert\""),
            "{}",
            answer.text
        );
        assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
    }
    none_is_there(&api).await;
    // No address begins anything: that takes the form, with the word of the session.
    operator.get(&format!("{}&step=begin", address(&DRAIN))).await;
    let begin = but(&DRAIN, "step", "begin");
    assert_eq!(operator.send("/maintenances/new", &begin).await.status, StatusCode::CONFLICT);
    none_is_there(&api).await;
    let begun = operator.post("/maintenances/new", &begin).await;
    assert_eq!((begun.status, location(&begun)), (StatusCode::SEE_OTHER, "/maintenances/MT-1"));
    api.look().await;
    let paused = operator.post("/maintenances/MT-1/pause", &[]).await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER);
    assert!(operator.get("/maintenances/MT-1").await.text.contains("Paused."));
    assert_eq!(api.get(&api.operator, "/v1/maintenances/MT-1").await.json()["state"], "paused");
    let why = operator.post("/maintenances/MT-1/emergency", &[("why", " ")]).await;
    assert_eq!(why.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// One after the other, with all limits that the form has.
const LIMITED: [(&str, &str); 13] = [
    ("hosts", "h1 h3 h4"),
    ("reason", "kernel-update"),
    ("deadline", "30d"),
    ("kind", "patch"),
    ("hosts_at_once", "2"),
    ("per_cluster", "1"),
    ("per_owner", "3"),
    ("bandwidth", "8Gbit"),
    ("max_failed_hosts", "1"),
    ("pause_between", "5m"),
    ("warn_after", "2h"),
    ("order", "h3 after h1, h4 before h1"),
    ("no_hooks", "on"),
];

#[tokio::test]
async fn the_limits_that_are_typed_are_what_the_maintenance_keeps_to() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let empty = operator.get("/maintenances/new").await.text;
    assert!(empty.contains("<details id=\"more\"><summary>More settings</summary>"), "{empty}");
    let typed = operator.get("/maintenances/new?bandwidth=8Gbit").await.text;
    assert!(typed.contains("<details id=\"more\" open>") && typed.contains("value=\"8Gbit\""), "{typed}");

    let plan = operator.get(&address(&LIMITED)).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
    for (name, value) in LIMITED {
        assert!(plan.text.contains(&format!("name=\"{name}\" value=\"{value}\"")), "{name}: {}", plan.text);
    }
    let begun = operator.post("/maintenances/new", &but(&LIMITED, "step", "begin")).await;
    assert_eq!((begun.status, location(&begun)), (StatusCode::SEE_OTHER, "/maintenances/MT-1"));
    let made = api.get(&api.operator, "/v1/maintenances/MT-1").await.json();
    let body = json!({
        "kind": "patch", "hosts_at_once": 2, "per_cluster": 1, "per_owner": 3, "bandwidth": 936_000_000_u64,
        "max_failed_hosts": 1, "pause_between": "5m", "warn_after": "2h", "no_hooks": true,
        "order": [{ "hosts": "h3", "after": "h1" }, { "hosts": "h4", "before": "h1" }],
    });
    let body = json!({ "hosts": ["h2"], "reason": "x", "deadline": "30d", "rolling": body });
    // The order is of hosts that are no part of the other one, so that one does without it.
    let mut same = body;
    same["rolling"]["order"] = json!([]);
    let answer = api.post(&api.operator, "/v1/maintenances", &same).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let other = api.get(&api.operator, "/v1/maintenances/MT-2").await.json();
    let mut terms = made["rolling"]["terms"].clone();
    assert_eq!(terms["hints"].as_array().map(Vec::len), Some(2), "{terms}");
    terms.as_object_mut().expect("terms").remove("hints");
    let mut by_api = other["rolling"]["terms"].clone();
    by_api.as_object_mut().expect("terms").remove("hints");
    assert_eq!(terms, by_api, "the same as by the API");
}

#[tokio::test]
async fn a_limit_that_can_not_be_read_is_named_beside_its_field() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    for (name, value, said) in [
        ("hosts_at_once", "many", "is no number of hosts"),
        ("per_cluster", "0", "write 1 or more"),
        ("per_owner", "-1", "is no number of servers"),
        ("per", "rack", "write it as label=number: rack=1"),
        ("per", "no-such-label=1", "none of these hosts has a label no-such-label"),
        ("bandwidth", "fast", "write for example 10Gbit, 800Mbit or 500MiB"),
        ("bandwidth", "1KiB", "is less than libvirt can count"),
        ("uplinks", "10Gbit", "write it as label=rate: rack=10Gbit"),
        ("max_failed_hosts", "1.5", "is no number of hosts"),
        ("pause_between", "a while", "is no length of time"),
        ("warn_after", "<script>alert(1)</script>", "is no length of time"),
        ("order", "h3 beside h1", "h2 after h1"),
        ("order", "h3 after h1, h1 after h3", "rolling.order"),
    ] {
        let answer = operator.get(&address(&but(&LIMITED, name, value))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}: {}", answer.text);
        let beside = format!("id=\"f-maintenances-new-{name}-error\">");
        let (_, error) = answer.text.split_once(&beside).unwrap_or_else(|| panic!("{name}: {}", answer.text));
        let error = error.split("</p>").next().expect("its end");
        assert!(error.contains(said), "{name}={value}: {error}");
        assert!(answer.text.contains("<details id=\"more\" open>"), "{}", answer.text);
        assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
    }
    // A limit that would not count is not taken.
    let answer = operator.get(&address(&but(&DRAIN, "bandwidth", "8Gbit"))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    assert!(answer.text.contains("counts for hosts that are taken one after the other"), "{}", answer.text);
    // What is wrong with a field that the form does not have is said above it.
    let without = but(&LIMITED, "kind", "rebalance");
    let answer = operator.get(&address(&without)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    none_is_there(&api).await;
}

#[tokio::test]
async fn a_plan_of_many_servers_is_sorted_filtered_and_paged_before_it_is_begun() {
    let mut api = Api::new().await;
    for n in 0..60 {
        let mut facts = server_facts(server_id(1000 + n), &format!("many-{n:02}"));
        facts.memory_bytes = gib(1);
        api.appears("h4", Server { host: host_name("h4"), facts, observed_at: NOON }).await;
    }
    let operator = Browser::signed_in(&api, &api.operator).await;
    let asked = address(&but(&DRAIN, "hosts", "h4"));
    let plan = operator.get(&asked).await.text;
    assert_eq!(names(&plan).len(), 50, "{plan}");
    assert!(plan.contains("60 moves are planned; at least 60 are needed"), "{plan}");
    for link in headings(&plan) {
        assert!(link.starts_with("/maintenances/new?hosts=h4&reason=kernel-update"), "{link}");
        let sorted = operator.get(&link).await.text;
        assert_eq!((names(&sorted).len(), sorted.contains("aria-sort")), (50, true), "{link}");
    }
    let second = operator.get(&format!("{asked}&sort=name&page=2")).await.text;
    assert_eq!(names(&second).first().map(String::as_str), Some("many-50"), "{second}");
    let found = operator.get(&format!("{asked}&q=many-42")).await.text;
    assert_eq!(names(&found), ["many-42"]);
    // The form that filters says again what was asked for, and so does the one that begins it: all of it.
    for form in ["<form class=\"filters\"", "<form class=\"form\""] {
        let (_, form) = found.split_once(form).expect("a form");
        let form = form.split("</form>").next().expect("its end");
        assert!(form.contains("name=\"hosts\" value=\"h4\""), "{form}");
        assert!(form.contains("name=\"deadline\" value=\"30d\""), "{form}");
    }
}

#[tokio::test]
async fn a_plan_says_each_servers_time_and_what_it_lacks_to_the_fewest_moves() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let row = |page: &str, server: &str| {
        let rows = page.split("<tr>").filter(|row| row.contains("<th scope=\"row\""));
        rows.into_iter().find(|row| row.contains(&format!(">{server}</a>"))).map(ToOwned::to_owned)
    };
    // `stuck` has a disk that no other host can read, and no copy is kept of it.
    let plan = operator.get(&address(&but(&DRAIN, "hosts", "h1 h2"))).await.text;
    assert!(plan.contains("3 moves are planned; at least 4 are needed"), "{plan}");
    assert!(plan.contains("1 has no way yet"), "{plan}");
    let times = |row: &str| row.matches("<time ").count();
    assert_eq!(row(&plan, "db").map(|row| times(&row)), Some(2), "from when until when");
    assert_eq!(row(&plan, "web").map(|row| times(&row)), Some(0), "it goes live, and needs nobody's word");
    let soonest = names(&operator.get(&format!("{}&sort=time", address(&DRAIN))).await.text);
    assert_eq!(soonest.last().map(String::as_str), Some("web"), "{soonest:?}");

    let rolling = but(&but(&DRAIN, "hosts", "h1 h3"), "kind", "rolling-drain");
    let draft = operator.get(&address(&rolling)).await.text;
    assert!(draft.contains("4 moves are planned for the hosts whose turn is yet to come"), "{draft}");
    assert!(draft.contains("no plan of so many waves has fewer than 4"), "{draft}");
    let db = row(&draft, "db").expect("it is in the plan");
    assert!(times(&db) == 2 && db.contains("so this is its only move"), "a time and a place: {db}");
    assert!(!db.contains("begins"), "its owner's time says when: {db}");
    assert!(row(&draft, "twin").is_some_and(|row| row.contains("begins at once")), "{draft}");

    // Where no window opens before the deadline, it is said why.
    let hopeless = operator.get(&address(&but(&DRAIN, "deadline", "2h"))).await.text;
    let db = row(&hopeless, "db").expect("it is in the plan");
    assert!(times(&db) == 0 && db.contains("class=\"state bad\""), "{db}");

    let body = json!({
        "select": { "all": true },
        "reason": "uneven",
        "deadline": "30d",
        "rolling": { "kind": "rebalance", "within": 1 },
    });
    let made = api.post(&api.operator, "/v1/maintenances", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    api.look().await;
    let moves = api.get(&api.operator, "/v1/maintenances/MT-1/plan").await.json()["moves"].clone();
    let moves = moves.as_array().expect("moves");
    assert!(!moves.is_empty());
    let plan = operator.get("/maintenances/MT-1/plan").await.text;
    for one in moves {
        let name = one["name"].as_str().expect("a name");
        let row = row(&plan, name).unwrap_or_else(|| panic!("no {name}: {plan}"));
        assert!(row.contains(one["to"].as_str().expect("a host")), "{row}");
    }
}
