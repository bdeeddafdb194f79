//! Webhooks against a real receiver, and dead letters.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::http::{HeaderValue, Method, StatusCode};
use drover_notifier::render::Renderer;
use drover_notifier::webhook::Secret;
use drover_policies::time::{Instant, Span};
use drover_scheduler::deliver::{self, Delivering};
use drover_scheduler::webhooks::WebhookConfig;
use serde_json::{Value, json};

use crate::fixture::{Answer, Api};
use crate::receiver::{Manner, Receiver};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Owners' webhooks may go to loopback here: that is where the receivers are.
async fn api() -> Api {
    Api::configured(|config| config.outbound.allow = vec!["127.0.0.0/8".parse().expect("a network")]).await
}

async fn deliver(api: &Api) {
    let delivering = delivering(api);
    while deliver::deliver_due(&api.app, &delivering).await.expect("a store") > 0 {}
}

async fn add(api: &Api, token: &str, url: &str) -> Value {
    let answer = api.post(token, "/v1/webhooks", &json!({ "url": url })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

async fn delete(api: &Api, token: &str, path: &str) -> Answer {
    api.ask(Method::DELETE, path).token(token).send().await
}

fn delivering(api: &Api) -> Arc<Delivering> {
    let renderer = Renderer::new(None).expect("the shipped templates");
    Arc::new(Delivering { renderer, mail: api.app.config.channel(), answers: None, rt: None })
}

/// What became of acme's only ticket's first message on a channel.
async fn stands(api: &Api, token: &str, channel: &str) -> Value {
    let tickets = api.get(token, "/v1/tickets?owner=acme&only=all").await.json();
    let number = tickets["items"][0]["number"].as_str().expect("a ticket").to_owned();
    let ticket = api.get(token, &format!("/v1/tickets/{number}")).await.json();
    let deliveries = ticket["notices"][0]["deliveries"].as_array().expect("deliveries").clone();
    deliveries.into_iter().find(|delivery| delivery["channel"] == channel).unwrap_or(Value::Null)
}

async fn dead_letters(api: &Api, token: &str) -> Vec<Value> {
    api.get(token, "/v1/dead-letters").await.json()["items"].as_array().expect("items").clone()
}

/// Lets time pass to the next try, and has it made.
async fn next_try(api: &Api) {
    let now = drover_policies::time::Clock::now(api.app.clock.as_ref());
    if let Some(at) = api.app.store.next_delivery_at().await.expect("a store") {
        api.pass(Span::between(now, at)).await;
    }
    deliver(api).await;
}

#[tokio::test]
async fn an_owners_program_is_sent_his_own_tickets_signed_as_another_implementation_signs_them() {
    let (api, receiver, other) = (api().await, Receiver::new().await, Receiver::new().await);
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    add(&api, &api.globex, &other.url()).await;
    api.drain_h1().await;
    deliver(&api).await;
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    let (event, body) = (got[0].json(), String::from_utf8(got[0].body.to_vec()).expect("text"));
    assert_eq!(got[0].header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "dev.drover.notice.proposed");
    assert_eq!(event["id"], got[0].header("webhook-id"), "what a receiver recognises a repeat by");
    assert_eq!(event["data"]["ticket"]["server_name"], "db");
    for word in ["globex", "shop", "\"h1\"", "h1 ", "ada"] {
        assert!(!body.contains(word), "{word}: {body}");
    }
    let secret = webhook["secret"].as_str().expect("shown once");
    let signed = ["webhook-id", "webhook-timestamp"].map(|name| got[0].header(name).to_owned());
    if let Some(signature) = signed_by_python(secret, &signed, &body) {
        assert_eq!(got[0].header("webhook-signature"), format!("v1,{signature}"));
    }
    assert_eq!(other.got()[0].json()["data"]["ticket"]["server_name"], "shop");
    let channel = format!("webhook:{}", webhook["id"].as_str().expect("an id"));
    assert_eq!(stands(&api, &api.acme, &channel).await["state"], "delivered");
    // What has arrived is not sent again.
    next_try(&api).await;
    assert!(receiver.got().is_empty());
}

/// By Python's own HMAC and base64, as the operations manual has it; nothing where there is no Python.
fn signed_by_python(secret: &str, [id, timestamp]: &[String; 2], body: &str) -> Option<String> {
    let script = "import sys,hmac,hashlib,base64
secret,head,body=sys.argv[1],sys.argv[2],sys.stdin.buffer.read()
key=base64.b64decode(secret.removeprefix('whsec_'))
print(base64.b64encode(hmac.new(key,head.encode()+body,hashlib.sha256).digest()).decode())";
    let mut command = Command::new("python3");
    command.args(["-c", script, secret, &format!("{id}.{timestamp}.")]);
    let Ok(mut python) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        println!("SKIPPED: python3 is not installed");
        return None;
    };
    python.stdin.take().expect("a pipe").write_all(body.as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).expect("text").trim().to_owned())
}

#[tokio::test]
async fn a_receiver_that_answers_500_for_a_day_is_tried_ever_more_rarely_and_gets_it_once() {
    let (api, receiver) = (api().await, Receiver::new().await);
    add(&api, &api.acme, &receiver.url()).await;
    receiver.answers(Manner::Status(500));
    api.drain_h1().await;
    let begun = drover_policies::time::Clock::now(api.app.clock.as_ref());
    deliver(&api).await;
    let mut tries = receiver.got();
    while drover_policies::time::Clock::now(api.app.clock.as_ref()) - begun < Span::hours(24).delta() {
        next_try(&api).await;
        tries.extend(receiver.got());
    }
    // Within the first hour by doubling waits, then each half hour.
    assert!((45..=60).contains(&tries.len()), "{}", tries.len());
    assert!(tries.iter().all(|got| got.header("webhook-id") == tries[0].header("webhook-id")));
    assert!(tries.iter().all(|got| got.body == tries[0].body), "a repeat is the same event");
    assert_ne!(
        tries[0].header("webhook-timestamp"),
        tries[1].header("webhook-timestamp"),
        "signed anew, so that a receiver can refuse old ones"
    );
    receiver.answers(Manner::Status(204));
    next_try(&api).await;
    assert_eq!(receiver.got().len(), 1);
    next_try(&api).await;
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn after_its_time_an_event_is_a_dead_letter_that_its_owner_can_replay() {
    let (api, receiver) = (api().await, Receiver::new().await);
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    let channel = format!("webhook:{}", webhook["id"].as_str().expect("an id"));
    receiver.answers(Manner::Status(500));
    api.drain_h1().await;
    deliver(&api).await;
    assert!(dead_letters(&api, &api.acme).await.is_empty());
    while dead_letters(&api, &api.operator).await.iter().all(|letter| letter["channel"] != channel.as_str()) {
        next_try(&api).await;
    }
    let stuck = stands(&api, &api.acme, &channel).await;
    assert_eq!(stuck["state"], "undeliverable");
    let why = stuck["problem"].as_str().expect("told to its owner");
    assert!(why.starts_with("given up after 3days") && why.contains("500"), "{why}");

    // Another owner sees nothing of it, and can't touch it; its owner sees this one alone, and not the mail's.
    let own = dead_letters(&api, &api.acme).await;
    assert!(!own.is_empty() && own.iter().all(|letter| letter["channel"] == channel.as_str()), "{own:?}");
    assert!(dead_letters(&api, &api.globex).await.is_empty());
    let id = own.last().expect("one")["id"].as_i64().expect("a number");
    let replay = format!("/v1/dead-letters/{id}/replay");
    for token in [&api.globex, &api.agent] {
        let refused = api.post(token, &replay, &json!({})).await;
        assert!(matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN), "{refused:?}");
    }
    let all = json!({ "channel": channel });
    assert_eq!(api.post(&api.globex, "/v1/dead-letters/replay", &all).await.problem(), "not-found");
    assert_eq!(
        api.post(&api.acme, "/v1/dead-letters/replay", &json!({ "channel": "mail" })).await.problem(),
        "not-found",
        "an owner replays his own webhooks'"
    );
    assert_eq!(
        api.post(&api.acme, "/v1/dead-letters/replay", &json!({ "channel": "fax" })).await.problem(),
        "invalid-field"
    );

    receiver.got();
    receiver.answers(Manner::Status(200));
    assert_eq!(api.post(&api.acme, &replay, &json!({})).await.json()["replayed"], 1);
    deliver(&api).await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(stands(&api, &api.acme, &channel).await["state"], "delivered");
    assert_eq!(api.post(&api.acme, &replay, &json!({})).await.problem(), "not-found", "it is none any more");
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_and_one_that_is_gone_is_left_alone() {
    let (api, receiver) = (api().await, Receiver::new().await);
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    let id = webhook["id"].as_str().expect("an id");
    let channel = format!("webhook:{id}");
    receiver.answers(Manner::After(503, "7200"));
    api.drain_h1().await;
    let asked = drover_policies::time::Clock::now(api.app.clock.as_ref());
    deliver(&api).await;
    let next = stands(&api, &api.acme, &channel).await["next_try_at"].as_str().expect("a moment").to_owned();
    let next: drover_policies::time::Instant = next.parse().expect("a moment");
    assert_eq!(next, asked + Span::hours(2).delta());

    receiver.answers(Manner::Status(410));
    api.pass(Span::hours(2)).await;
    deliver(&api).await;
    assert_eq!(receiver.got().len(), 2);
    let listed = api.get(&api.acme, "/v1/webhooks").await.json();
    assert_eq!(listed["items"][0]["disabled_because"], "it answered 410 Gone");
    assert_eq!(stands(&api, &api.acme, &channel).await["state"], "undeliverable");
    let test = api.post(&api.acme, &format!("/v1/webhooks/{id}/test"), &json!({})).await;
    assert_eq!(test.problem(), "refused");
    // What is told from now on is not even offered to it.
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    api.look().await;
    deliver(&api).await;
    assert!(receiver.got().is_empty());
    let doctor = api.get(&api.operator, "/v1/doctor").await.text;
    assert!(doctor.contains("is disabled"), "{doctor}");
}

#[tokio::test]
async fn a_hostile_receiver_holds_up_nobody() {
    let hostile = [Manner::Silence, Manner::Redirect, Manner::Endless];
    let mut receivers = Vec::new();
    for manner in hostile {
        let receiver = Receiver::new().await;
        receiver.answers(manner);
        receivers.push(receiver);
    }
    let api = Api::configured(|config| {
        config.delivery.webhook_timeout = Span::seconds(1);
        config.outbound.allow = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let mut channels = Vec::new();
    for receiver in &receivers {
        let webhook = add(&api, &api.acme, &receiver.url()).await;
        channels.push(format!("webhook:{}", webhook["id"].as_str().expect("an id")));
    }
    api.drain_h1().await;
    deliver(&api).await;
    let mut ends = Vec::new();
    for channel in &channels {
        let stands = stands(&api, &api.acme, channel).await;
        ends.push((stands["state"].clone(), stands["problem"].as_str().unwrap_or_default().to_owned()));
    }
    assert_eq!(ends[0].0, "waiting");
    assert!(ends[0].1.contains("does not answer in time"), "{ends:?}");
    assert_eq!(ends[1].0, "waiting");
    assert!(ends[1].1.contains("redirects are not followed"), "{ends:?}");
    assert_eq!(receivers[1].got().len(), 1, "the place that it sends to was not asked");
    assert_eq!(ends[2].0, "delivered", "its endless answer is not read: {ends:?}");
}

#[tokio::test]
async fn an_address_inside_is_refused_when_it_is_registered_and_when_it_is_connected_to() {
    let closed = Api::new().await;
    for url in [
        "http://hooks.example.org/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://localhost/",
        "https://no-such-host.invalid/",
        "https://me:secret@hooks.example.org/",
        "ftp://hooks.example.org/",
        "hooks",
    ] {
        let refused = closed.post(&closed.acme, "/v1/webhooks", &json!({ "url": url })).await;
        assert_eq!(refused.problem(), "invalid-field", "{url}");
        assert_eq!(refused.json()["field"], "url", "{url}");
    }
    // A name that stood for something else when it was registered: here it was allowed then, and is not any more.
    let receiver = Receiver::new().await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/hook", receiver.address.port());
        let webhook = drover_scheduler::store::StoredWebhook {
            id: drover_policies::ids::WebhookId::draw(closed.app.ids.as_ref()),
            owner: "acme".parse().expect("an owner"),
            url,
            secret: SECRET.to_owned(),
            replaced: Vec::new(),
            kinds: Default::default(),
            created_at: drover_policies::samples::NOON,
            disabled: None,
        };
        let path = format!("/v1/webhooks/{}/test", webhook.id);
        let batch = drover_scheduler::store::Batch {
            webhooks_added: vec![webhook],
            ..drover_scheduler::store::Batch::new(drover_policies::samples::NOON)
        };
        closed.app.commit(batch).await.expect("stored");
        let tested = closed.post(&closed.acme, &path, &json!({})).await.json();
        assert_eq!(tested["arrived"], false, "{tested}");
        let why = tested["problem"].as_str().expect("a reason");
        assert!(why.contains("is no public address"), "{host}: {why}");
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn webhooks_are_their_owners_own() {
    let (api, receiver) = (api().await, Receiver::new().await);
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
    let count = |answer: Answer| answer.json()["items"].as_array().expect("items").len();
    assert_eq!(count(api.get(&api.acme, "/v1/webhooks").await), 1);
    assert_eq!(count(api.get(&api.globex, "/v1/webhooks").await), 0);
    assert_eq!(count(api.get(&api.operator, "/v1/webhooks?owner=acme").await), 1);
    // Another's reads as one that does not exist.
    let nowhere = "/v1/webhooks/00000000-0000-0000-0000-00000000dead";
    for (token, at) in [(&api.globex, path.as_str()), (&api.acme, nowhere)] {
        assert_eq!(delete(&api, token, at).await.problem(), "not-found");
        assert_eq!(api.post(token, &format!("{at}/test"), &json!({})).await.problem(), "not-found");
    }
    assert_eq!(api.get(&api.globex, "/v1/webhooks?owner=acme").await.problem(), "not-found");
    let for_another = json!({ "url": receiver.url(), "owner": "acme" });
    assert_eq!(api.post(&api.globex, "/v1/webhooks", &for_another).await.problem(), "not-found");
    let nobodys = json!({ "url": receiver.url() });
    assert_eq!(api.post(&api.operator, "/v1/webhooks", &nobodys).await.json()["field"], "owner");
    let operators = json!({ "url": receiver.url(), "owner": "operators" });
    assert_eq!(api.post(&api.operator, "/v1/webhooks", &operators).await.json()["field"], "owner");
    let kinds = json!({ "url": receiver.url(), "kinds": ["don"] });
    assert_eq!(api.post(&api.acme, "/v1/webhooks", &kinds).await.json()["field"], "kinds");
    for (token, at) in [(&api.agent, "/v1/webhooks"), (&api.agent, "/v1/dead-letters")] {
        assert_eq!(api.get(token, at).await.status, StatusCode::FORBIDDEN);
    }

    let tested = api.post(&api.acme, &format!("{path}/test"), &json!({})).await.json();
    assert_eq!((&tested["arrived"], &tested["status"]), (&json!(true), &json!(200)));
    assert_eq!(receiver.got()[0].json()["type"], "dev.drover.notice.test");

    // The secret is in the first answer and in no other.
    let secret = webhook["secret"].as_str().expect("shown once");
    assert!(!api.get(&api.acme, "/v1/webhooks").await.text.contains(secret));
    let again = || {
        let ask = api.ask(Method::POST, "/v1/webhooks").token(&api.acme).header("idempotency-key", "w1");
        ask.json(&json!({ "url": receiver.url() })).send()
    };
    let (first, second) = (again().await.json(), again().await.json());
    assert!(first["secret"].is_string() && second["secret"].is_null(), "{first} {second}");
    assert_eq!(first["id"], second["id"]);

    // Removed, it gets nothing of what waited for it.
    receiver.answers(Manner::Status(500));
    api.drain_h1().await;
    deliver(&api).await;
    receiver.got();
    for webhook in [&webhook, &first] {
        let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
        assert_eq!(delete(&api, &api.acme, &path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(delete(&api, &api.acme, &path).await.problem(), "not-found");
    }
    next_try(&api).await;
    assert!(receiver.got().is_empty());
    for n in 0..11 {
        let answer = api.post(&api.acme, "/v1/webhooks", &json!({ "url": receiver.url() })).await;
        assert_eq!(answer.status.is_success(), n < 10, "{n}: {answer:?}");
    }
}

#[tokio::test]
async fn a_secret_that_was_replaced_signs_too_until_its_receiver_had_time_to_change_over() {
    let (api, receiver) = (api().await, Receiver::new().await);
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
    let rotate = async |body: &Value| api.post(&api.acme, &format!("{path}/rotate"), body).await;
    let secret = |issued: &Value| -> Secret {
        issued["secret"].as_str().expect("shown once").parse().expect("a secret")
    };
    // The signatures of a test event, each by the secret that made it.
    let signed = async |secrets: &[&Secret]| {
        api.post(&api.operator, &format!("{path}/test"), &json!({})).await;
        let got = receiver.got().pop().expect("a test event");
        let timestamp = got.header("webhook-timestamp").parse().expect("a number");
        let expected: Vec<String> = secrets
            .iter()
            .map(|secret| secret.sign(got.header("webhook-id"), timestamp, &got.body))
            .collect();
        assert_eq!(got.header("webhook-signature"), expected.join(" "));
    };
    let first = secret(&webhook);
    signed(&[&first]).await;

    let issued = rotate(&json!({})).await.json();
    let second = secret(&issued);
    signed(&[&second, &first]).await;
    let ends = |body: &Value| -> Instant {
        body["replaced_until"].as_str().expect("told").parse().expect("a moment")
    };
    let now = || drover_policies::time::Clock::now(api.app.clock.as_ref());
    assert_eq!(ends(&issued), now() + Span::hours(24).delta());
    let listed = api.get(&api.acme, "/v1/webhooks").await;
    assert_eq!(ends(&listed.json()["items"][0]), ends(&issued));
    assert!(!listed.text.contains("whsec_"), "{}", listed.text);
    api.pass(Span::hours(24)).await;
    signed(&[&second]).await;
    assert!(api.get(&api.acme, "/v1/webhooks").await.json()["items"][0]["replaced_until"].is_null());

    // A repeat of the same wish changes nothing more, and shows nothing.
    let again = || {
        let ask = api.ask(Method::POST, &format!("{path}/rotate")).token(&api.acme);
        ask.header("idempotency-key", "r1").json(&json!({ "grace": "1h" })).send()
    };
    let (issued, repeated) = (again().await.json(), again().await.json());
    assert!(repeated["secret"].is_null(), "{repeated}");
    let third = secret(&issued);
    signed(&[&third, &second]).await;
    let mut last = third.clone();
    for _ in 0..2 {
        last = secret(&rotate(&json!({ "grace": "2h" })).await.json());
    }
    let full = rotate(&json!({ "grace": "2h" })).await;
    assert_eq!(
        (full.problem().as_str(), &full.headers["retry-after"]),
        ("too-often", &HeaderValue::from(3600))
    );
    // One that somebody else has seen ends at once, with all before it.
    let fresh = secret(&rotate(&json!({ "grace": "0s" })).await.json());
    assert_ne!(fresh, last);
    signed(&[&fresh]).await;

    assert_eq!(rotate(&json!({ "grace": "8d" })).await.json()["field"], "grace");
    for token in [&api.globex, &api.agent] {
        let refused = api.post(token, &format!("{path}/rotate"), &json!({})).await;
        assert!(matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN), "{refused:?}");
    }
}

#[tokio::test]
async fn an_owner_has_ten_test_events_posted_and_is_told_when_the_next_can_be() {
    let (api, receiver) = (api().await, Receiver::new().await);
    let mut paths = Vec::new();
    for _ in 0..2 {
        let webhook = add(&api, &api.acme, &receiver.url()).await;
        paths.push(format!("/v1/webhooks/{}/test", webhook["id"].as_str().expect("an id")));
    }
    for n in 0..10 {
        let tested = api.post(&api.acme, &paths[n % 2], &json!({})).await;
        assert_eq!(tested.status, StatusCode::OK, "{n}: {tested:?}");
    }
    api.pass(Span::minutes(4)).await;
    let refused = api.post(&api.acme, &paths[0], &json!({})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-often"));
    assert_eq!(refused.headers["retry-after"], "360");
    assert_eq!(receiver.got().len(), 10, "the eleventh was not posted");
    // Another account, and operators, are not held up by it.
    let other = add(&api, &api.globex, &receiver.url()).await;
    let other = format!("/v1/webhooks/{}/test", other["id"].as_str().expect("an id"));
    assert_eq!(api.post(&api.globex, &other, &json!({})).await.status, StatusCode::OK);
    assert_eq!(api.post(&api.operator, &paths[0], &json!({})).await.status, StatusCode::OK);
    api.pass(Span::minutes(6)).await;
    assert_eq!(api.post(&api.acme, &paths[0], &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_operators_own_webhooks_hear_of_what_they_want_to_and_no_owner_hears_of_them() {
    let receiver = Receiver::new().await;
    let portal = WebhookConfig {
        name: "portal".to_owned(),
        url: receiver.url(),
        secret: Some(SECRET.to_owned()),
        secret_file: None,
        kinds: ["proposed".to_owned()].into(),
        owner: Some("globex".parse().expect("an owner")),
    };
    let api = Api::configured(|config| config.webhooks = vec![portal]).await;
    api.drain_h1().await;
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    api.look().await;
    deliver(&api).await;
    let got = receiver.got();
    let letters = dead_letters(&api, &api.operator).await;
    assert_eq!(got.len(), 1, "one ticket is globex's, and of it one message is wanted: {letters:?}");
    assert_eq!(got[0].json()["data"]["ticket"]["owner"], "globex");
    let webhooks = api.get(&api.operator, "/v1/webhooks").await.json();
    assert_eq!(
        (&webhooks["items"][0]["id"], webhooks["items"].as_array().map(Vec::len)),
        (&json!("portal"), Some(1))
    );
    assert!(!webhooks.to_string().contains("/hook"), "the path may hold a key");
    let tickets = api.get(&api.globex, "/v1/tickets?only=all").await.json();
    let number = tickets["items"][0]["number"].as_str().expect("a ticket").to_owned();
    for (token, sees) in [(&api.globex, false), (&api.operator, true)] {
        let ticket = api.get(token, &format!("/v1/tickets/{number}")).await.text;
        assert_eq!(ticket.contains("portal"), sees, "{ticket}");
        assert!(ticket.contains("\"mail\""), "{ticket}");
    }
}

#[tokio::test]
async fn the_operators_own_webhooks_hear_of_maintenances() {
    let receiver = Receiver::new().await;
    let desk = WebhookConfig {
        name: "desk".to_owned(),
        url: receiver.url(),
        secret: Some(SECRET.to_owned()),
        secret_file: None,
        kinds: ["maintenance_begun".to_owned(), "maintenance_over".to_owned()].into(),
        owner: None,
    };
    let api = Api::configured(|config| config.webhooks = vec![desk]).await;
    api.drain_h1().await;
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    // Cancelled once more, it is told no second time.
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    deliver(&api).await;
    let got: Vec<_> = receiver.got().iter().map(|got| got.json()).collect();
    let types: Vec<_> = got.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, ["dev.drover.notice.maintenance_begun", "dev.drover.notice.maintenance_over"]);
    assert_eq!((&got[1]["subject"], &got[1]["data"]["maintenance"]["hosts"]), (&json!("MT-1"), &json!(1)));
    let fact = &got[1]["data"]["fact"];
    assert_eq!((&fact["end"]["end"], &fact["tally"]["left"]), (&json!("cancelled"), &json!(1)));
    assert!(fact["tally"]["servers"].is_object(), "{fact}");
}

#[tokio::test]
async fn mails_go_on_while_a_program_hangs() {
    let receiver = Receiver::new().await;
    receiver.answers(Manner::Silence);
    let api = Api::configured(|config| {
        config.delivery.webhook_timeout = Span::minutes(5);
        config.outbound.allow = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let webhook = add(&api, &api.acme, &receiver.url()).await;
    let contact = json!({ "mail": ["ops@acme.example"] });
    assert!(api.put(&api.acme, "/v1/owners/acme", &contact).await.status.is_success());
    let (app, delivering) = (Arc::clone(&api.app), delivering(&api));
    let running = tokio::spawn(async move { deliver::run(&app, &delivering).await });
    api.drain_h1().await;
    // Two mails of the ticket, one after the other, while the program has not answered to the first.
    api.post(&api.operator, "/v1/maintenances/1/cancel", &json!({})).await;
    api.look().await;
    let mut arrived = 0;
    while arrived < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let tickets = api.get(&api.acme, "/v1/tickets?only=all").await.json();
        let number = tickets["items"][0]["number"].as_str().expect("a ticket").to_owned();
        let ticket = api.get(&api.acme, &format!("/v1/tickets/{number}")).await.json();
        let notices = ticket["notices"].as_array().expect("notices");
        let mails = notices.iter().flat_map(|notice| notice["deliveries"].as_array().expect("deliveries"));
        arrived = mails.filter(|d| d["channel"] == "mail" && d["state"] == "delivered").count();
    }
    let channel = format!("webhook:{}", webhook["id"].as_str().expect("an id"));
    assert_eq!(stands(&api, &api.acme, &channel).await["state"], "waiting");
    assert_eq!(receiver.got().len(), 1, "and the second does not overtake the first");
    running.abort();
}
