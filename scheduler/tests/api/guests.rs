//! What agents are told for the guests on their hosts, and what comes of a guest's acknowledgement.

use drover_agent_api::{Acknowledgement, GuestEvents, GuestStart, GuestsAsk, GuestsTold};
use drover_policies::samples::server_id;
use drover_policies::time::Span;
use serde_json::{Value, json};

use crate::fixture::Api;

/// What the agent of a host has been told last, when it has forgotten all.
async fn told(api: &Api, host: &str) -> GuestsTold {
    api.guests(host, GuestsAsk::default()).await.told.expect("it is known")
}

/// An agent asks for the first time, and the scheduler works out what is to be told.
async fn serving(api: &Api, hosts: &[&str]) {
    for host in hosts {
        api.guests(host, GuestsAsk::default()).await;
    }
    api.look().await;
}

fn of(told: &GuestsTold, server: u128) -> &GuestEvents {
    told.events.iter().find(|one| one.server == server_id(server)).expect("it has events")
}

async fn db_of(api: &Api) -> GuestEvents {
    let told = told(api, "h1").await;
    of(&told, 2).clone()
}

fn ready_for(events: &GuestEvents) -> Acknowledgement {
    let event = &events.document.events[0];
    Acknowledgement {
        server: events.server,
        event: event.event_id.to_lowercase().parse().expect("an id"),
        not_before: event.not_before.clone(),
        at: drover_policies::samples::NOON,
    }
}

async fn tells(api: &Api, host: &str, one: &Acknowledgement) -> Vec<Acknowledgement> {
    let ask = GuestsAsk { seen_revision: None, acknowledged: vec![one.clone()] };
    api.guests(host, ask).await.taken
}

async fn story_of(api: &Api, server: &str) -> Vec<String> {
    let id = api.migration_of(server).await["id"].as_str().expect("an id").to_owned();
    let events = api.get(&api.operator, &format!("/v1/events?migration={id}&limit=500")).await.json();
    let items = events["items"].as_array().expect("a list").clone();
    items.iter().map(|event: &Value| event["text"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn an_agent_is_told_the_events_of_its_own_servers_and_of_those_that_come() {
    let api = Api::new().await;
    assert_eq!(api.guests("h1", GuestsAsk::default()).await.told, None, "not yet worked out is not nothing");
    api.look().await;
    let before = told(&api, "h1").await;
    assert_eq!(before.events, Vec::new());
    serving(&api, &["h2", "h3", "h4", "h5"]).await;
    api.drain_h1().await;
    let here = told(&api, "h1").await;
    // db and shop wait for their owners; web goes live.
    for server in [2, 3] {
        let document = &of(&here, server).document;
        assert_eq!(document.events.len(), 1, "{document:?}");
        assert!(document.document_incarnation > before.incarnation - 1, "{document:?}");
    }
    let seen = GuestsAsk { seen_revision: Some(here.revision), acknowledged: Vec::new() };
    assert_eq!(api.guests("h1", seen).await.told, None, "it has that already");
    let to = api.migration_of("db").await["to"].as_str().expect("a place").to_owned();
    let there = told(&api, &to).await;
    assert_eq!(of(&there, 2).document, of(&here, 2).document);
    for host in ["h2", "h3", "h4", "h5"] {
        for events in told(&api, host).await.events {
            let server = api.get(&api.operator, &format!("/v1/servers/{}", events.server)).await.json();
            let migration = api.migration_of(&events.server.to_string()).await;
            assert!(server["host"] == host || migration["to"] == host, "{host} is told of {server}");
        }
    }
}

#[tokio::test]
async fn a_guest_s_acknowledgement_is_the_owner_s_start_now_however_often_it_comes() {
    let api = Api::new().await;
    serving(&api, &["h1"]).await;
    api.drain_h1().await;
    let one = ready_for(&db_of(&api).await);
    for _ in 0..3 {
        assert_eq!(tells(&api, "h1", &one).await, std::slice::from_ref(&one));
        api.look().await;
    }
    let story = story_of(&api, "db").await;
    let said = story.iter().filter(|text| text.contains("to be started now"));
    assert_eq!(said.collect::<Vec<_>>(), ["to be started now, says owner acme through the guest"]);
    assert_eq!(api.migration_of("db").await["state"], "cutting_over");
    assert_eq!(api.migration_of("shop").await["state"], "ready");
}

#[tokio::test]
async fn an_agent_speaks_for_no_guest_of_another_host() {
    let api = Api::new().await;
    serving(&api, &["h1"]).await;
    api.drain_h1().await;
    let one = ready_for(&db_of(&api).await);
    let to = api.migration_of("db").await["to"].as_str().expect("a place").to_owned();
    // Nor does the host that has only a place for it.
    for host in [to.as_str(), "h5"] {
        assert_eq!(tells(&api, host, &one).await, std::slice::from_ref(&one), "it need not be told again");
    }
    // Another's event, and one that there is not.
    let foreign = Acknowledgement { server: server_id(3), ..one.clone() };
    tells(&api, "h1", &foreign).await;
    let missing =
        Acknowledgement { event: "00000000-0000-4000-8000-000000000009".parse().expect("an id"), ..one };
    tells(&api, "h1", &missing).await;
    api.look().await;
    assert_eq!(api.migration_of("db").await["state"], "ready");
    assert_eq!(api.migration_of("shop").await["state"], "ready");
}

#[tokio::test]
async fn what_was_acknowledged_is_the_time_that_was_shown_and_no_later_one() {
    let api = Api::new().await;
    serving(&api, &["h1"]).await;
    api.drain_h1().await;
    let before = db_of(&api).await;
    let number = api.migration_of("db").await["number"].to_string();
    let slots = api.get(&api.acme, &format!("/v1/migrations/{number}/slots?limit=3")).await.json();
    let start = slots["items"][2]["start"].clone();
    api.post(&api.acme, &format!("/v1/migrations/{number}/reschedule"), &json!({ "start": start })).await;
    api.look().await;
    tells(&api, "h1", &ready_for(&before)).await;
    api.look().await;
    assert_eq!(api.migration_of("db").await["state"], "ready");
    let now = db_of(&api).await;
    assert!(now.document.document_incarnation > before.document.document_incarnation, "{now:?}");
    tells(&api, "h1", &ready_for(&now)).await;
    api.look().await;
    assert_eq!(api.migration_of("db").await["state"], "cutting_over");
}

#[tokio::test]
async fn where_policy_forbids_it_guests_are_told_so_and_start_nothing() {
    let api = Api::with_policy("[owners]\nguest_may_start = false\n").await;
    serving(&api, &["h1"]).await;
    api.drain_h1().await;
    let events = db_of(&api).await;
    assert!(matches!(&events.start, GuestStart::Forbidden { why } if why.contains("owner")), "{events:?}");
    // An agent that has not heard of it yet takes it up all the same.
    tells(&api, "h1", &ready_for(&events)).await;
    api.look().await;
    assert_eq!(api.migration_of("db").await["state"], "ready");
}

#[tokio::test]
async fn a_document_s_incarnation_does_not_go_back_when_its_events_are_over() {
    let api = Api::new().await;
    serving(&api, &["h1"]).await;
    let maintenance = api.drain_h1().await;
    let with = db_of(&api).await.document;
    let number = maintenance["number"].as_str().expect("a number");
    let cancelled = api.post(&api.operator, &format!("/v1/maintenances/{number}/cancel"), &json!({})).await;
    assert!(cancelled.status.is_success(), "{cancelled:?}");
    api.look().await;
    let without = db_of(&api).await.document;
    assert_eq!(without.events, Vec::new());
    assert_eq!(without.document_incarnation, with.document_incarnation + 1);
    api.pass(Span::hours(1)).await;
    api.look().await;
    assert_eq!(db_of(&api).await.document, without, "nothing has changed");
}
