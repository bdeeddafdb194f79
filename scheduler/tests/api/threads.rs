//! What people write to each other in a ticket.

use std::sync::Arc;

use axum::http::StatusCode;
use drover_notifier::Renderer;
use drover_scheduler::deliver::{self, Delivering};
use serde_json::{Value, json};

use crate::fixture::Api;

async fn ticket_of(api: &Api, server: &str) -> String {
    api.migration_of(server).await["ticket"].as_str().expect("a ticket").to_owned()
}

async fn unanswered(api: &Api, token: &str) -> Vec<Value> {
    let answer = api.get(token, "/v1/tickets?needs_answer=true").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_owner_writes_and_an_operator_answers() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = ticket_of(&api, "db").await;
    let path = format!("/v1/tickets/{ticket}/messages");
    assert_eq!(unanswered(&api, &api.operator).await, Vec::<Value>::new());

    let asked = api
        .post(&api.acme, &path, &json!({ "text": "Hello,\r\n\r\ndoes it keep its \u{202E}addresses?" }))
        .await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    assert_eq!(asked.json()["said"]["text"], "Hello,\n\ndoes it keep its addresses?");
    let waiting = unanswered(&api, &api.operator).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(waiting[0]["unanswered_since"].is_string(), "{}", waiting[0]);

    let answered = api.post(&api.operator, &path, &json!({ "text": "Yes." })).await;
    assert_eq!(answered.status, StatusCode::CREATED, "{answered:?}");
    assert_eq!(unanswered(&api, &api.operator).await, Vec::<Value>::new());

    let thread = api.get(&api.acme, &format!("/v1/tickets/{ticket}")).await.json();
    let said: Vec<&Value> = thread["notices"]
        .as_array()
        .expect("notices")
        .iter()
        .filter_map(|notice| notice.get("said"))
        .collect();
    assert_eq!(said.len(), 2, "{thread}");
    assert_eq!(said[0]["by"], json!({ "who": "owner", "name": "acme" }));
    // The name of an operator's token is none of an owner's business.
    assert_eq!(said[1]["by"], json!({ "who": "operator" }));
    assert_eq!((&said[1]["text"], &said[1]["via"]), (&json!("Yes."), &json!("api")));
}

#[tokio::test]
async fn nobody_writes_into_another_owners_ticket_or_learns_that_there_is_one() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = ticket_of(&api, "db").await;
    let body = json!({ "text": "hello" });
    let foreign = api.post(&api.globex, &format!("/v1/tickets/{ticket}/messages"), &body).await;
    let missing = api.post(&api.globex, "/v1/tickets/DR-9999/messages", &body).await;
    assert_eq!((foreign.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(foreign.detail().replace(&ticket, "X"), missing.detail().replace("DR-9999", "X"));
    assert_eq!(unanswered(&api, &api.operator).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_message_that_says_nothing_is_refused_by_field() {
    let api = Api::new().await;
    api.drain_h1().await;
    let path = format!("/v1/tickets/{}/messages", ticket_of(&api, "db").await);
    for (body, says) in [
        (json!({ "text": " \n" }), "field text is empty; write what is to be read"),
        (json!({ "text": "a".repeat(10_001) }), "field text has 10001 characters; write at most 10000"),
        (json!({ "txt": "x" }), "field txt: unknown field `txt`, expected `text`; did you mean `text`?"),
    ] {
        let refused = api.post(&api.acme, &path, &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert_eq!(refused.detail(), says);
    }
}

#[tokio::test]
async fn a_repeat_of_a_message_is_the_same_message() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = ticket_of(&api, "db").await;
    let path = format!("/v1/tickets/{ticket}/messages");
    for _ in 0..2 {
        let asking =
            api.ask(axum::http::Method::POST, &path).token(&api.acme).header("idempotency-key", "one");
        let answer = asking.json(&json!({ "text": "hello" })).send().await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    let thread = api.get(&api.operator, &format!("/v1/tickets/{ticket}")).await.json();
    let written =
        thread["notices"].as_array().expect("notices").iter().filter(|notice| notice["kind"] == "written");
    assert_eq!(written.count(), 1, "{thread}");
}

#[tokio::test]
async fn a_closed_ticket_can_be_written_to_and_stays_closed() {
    let api = Api::new().await;
    let maintenance = api.drain_h1().await;
    let ticket = ticket_of(&api, "db").await;
    let cancelled = api
        .post(
            &api.operator,
            &format!("/v1/maintenances/{}/cancel", maintenance["number"].as_str().expect("a number")),
            &json!({}),
        )
        .await;
    assert_eq!(cancelled.status, StatusCode::OK, "{cancelled:?}");
    api.look().await;
    assert_eq!(api.get(&api.acme, &format!("/v1/tickets/{ticket}")).await.json()["state"], "closed");
    let written =
        api.post(&api.acme, &format!("/v1/tickets/{ticket}/messages"), &json!({ "text": "Why?" })).await;
    assert_eq!(written.status, StatusCode::CREATED, "{written:?}");
    assert_eq!(api.get(&api.acme, &format!("/v1/tickets/{ticket}")).await.json()["state"], "closed");
    assert_eq!(unanswered(&api, &api.operator).await.len(), 1);
    let open = api.get(&api.operator, "/v1/tickets?needs_answer=true&only=open").await.json();
    assert_eq!(open["items"], json!([]));
}

#[tokio::test]
async fn an_operator_takes_a_ticket_another_takes_it_over_by_name_and_its_owner_learns_nothing() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = ticket_of(&api, "db").await;
    let at = |act: &str| format!("/v1/tickets/{ticket}/{act}");
    let issued =
        api.post(&api.operator, "/v1/tokens", &json!({ "role": "operator", "subject": "bob" })).await;
    let bob = issued.json()["secret"].as_str().expect("shown once").to_owned();
    let mine = async |token: &str| {
        let answer = api.get(token, "/v1/tickets?mine=true").await.json();
        answer["items"].as_array().expect("a list").len()
    };

    for _ in 0..2 {
        let taken = api.post(&api.operator, &at("take"), &json!({})).await;
        assert_eq!((taken.status, &taken.json()["taken_by"]), (StatusCode::OK, &json!("ada")), "{taken:?}");
    }
    assert_eq!((mine(&api.operator).await, mine(&bob).await), (1, 0));

    for body in [json!({}), json!({ "from": "eve" })] {
        let refused = api.post(&bob, &at("take"), &body).await;
        assert_eq!((refused.status, &refused.json()["by"]), (StatusCode::CONFLICT, &json!("ada")));
        assert!(refused.detail().ends_with("name ada in the field from to take it over"), "{refused:?}");
    }
    let refused = api.post(&bob, &at("give-back"), &json!({})).await;
    assert_eq!(refused.json()["rule"], "ticket_taken", "{refused:?}");
    let taken = api.post(&bob, &at("take"), &json!({ "from": "ada" })).await;
    assert_eq!(taken.json()["taken_by"], "bob", "{taken:?}");
    assert_eq!((mine(&api.operator).await, mine(&bob).await), (0, 1));

    let seen = api.get(&api.acme, &format!("/v1/tickets/{ticket}")).await;
    assert!(!seen.text.contains("taken") && !seen.text.contains("bob"), "{seen:?}");
    assert_eq!(api.post(&api.acme, &at("take"), &json!({})).await.problem(), "wrong-token");
    assert_eq!(api.get(&api.acme, "/v1/tickets?mine=true").await.json()["field"], "mine");

    let back = api.post(&bob, &at("give-back"), &json!({})).await;
    assert_eq!((back.status, back.json().get("taken_by")), (StatusCode::OK, None), "{back:?}");
    let told = api.get(&api.operator, "/v1/events").await.json();
    let texts = told["items"].as_array().expect("a list").iter().filter_map(|event| event["text"].as_str());
    let texts: Vec<&str> = texts.filter(|text| text.starts_with("its ticket was")).collect();
    assert_eq!(
        texts,
        [
            "its ticket was taken by operator ada",
            "its ticket was taken over from ada by operator bob",
            "its ticket was given back by operator bob"
        ]
    );
    let owners = api.get(&api.acme, "/v1/events").await;
    assert!(!owners.text.contains("ticket was"), "{owners:?}");
}

#[tokio::test]
async fn what_an_owner_writes_is_mailed_to_whoever_has_taken_the_ticket_and_to_all_operators_otherwise() {
    let api = Api::configured(|config| {
        config.mail.operators = vec!["ops@cloud.example".to_owned()];
        config.mail.operator_addresses = [("ada".to_owned(), "ada@cloud.example".to_owned())].into();
    })
    .await;
    api.drain_h1().await;
    let delivering = Arc::new(Delivering {
        renderer: Renderer::new(None).expect("the shipped templates"),
        mail: api.app.config.channel(),
        answers: None,
        rt: None,
    });
    let ticket = ticket_of(&api, "db").await;
    let issued =
        api.post(&api.operator, "/v1/tokens", &json!({ "role": "operator", "subject": "bob" })).await;
    let bob = issued.json()["secret"].as_str().expect("shown once").to_owned();
    let mails = api.app.config.data_dir.join("mail/new");
    // To whom the mail of the owner's next words goes.
    let reader = async |text: &str| {
        while deliver::deliver_due(&api.app, &delivering).await.expect("a store") > 0 {}
        for old in std::fs::read_dir(&mails).into_iter().flatten() {
            std::fs::remove_file(old.expect("a file").path()).expect("removed");
        }
        let wrote =
            api.post(&api.acme, &format!("/v1/tickets/{ticket}/messages"), &json!({ "text": text })).await;
        assert_eq!(wrote.status, StatusCode::CREATED, "{wrote:?}");
        while deliver::deliver_due(&api.app, &delivering).await.expect("a store") > 0 {}
        let sent = std::fs::read_dir(&mails).expect("a maildir").map(|file| file.expect("a file").path());
        let sent: Vec<String> = sent.map(|path| std::fs::read_to_string(path).expect("a mail")).collect();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let to = sent[0].lines().find_map(|line| line.strip_prefix("To: ")).expect("a reader");
        to.to_owned()
    };
    assert!(reader("one").await.contains("ops@cloud.example"));
    let take = format!("/v1/tickets/{ticket}/take");
    assert_eq!(api.post(&api.operator, &take, &json!({})).await.status, StatusCode::OK);
    assert_eq!(reader("two").await, "ada@cloud.example");
    // Of bob no address is known: nothing is lost for that.
    assert_eq!(api.post(&bob, &take, &json!({ "from": "ada" })).await.status, StatusCode::OK);
    assert!(reader("three").await.contains("ops@cloud.example"));
}
