//! Tickets in a real Request Tracker, and what people write there. How it is run: notifier/tests/rt/server.rs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use drover_notifier::render::Renderer;
use drover_notifier::rt::{CommandsByMail, Rt, RtConfig};
use drover_policies::time::Span;
use drover_scheduler::deliver::{self, Delivering};
use drover_scheduler::rt::Reader;
use serde_json::{Value, json};

use crate::fixture::Api;

#[path = "../../../notifier/tests/rt/server.rs"]
mod server;
use server::RequestTracker;

fn config(url: &str, token_file: PathBuf) -> RtConfig {
    RtConfig {
        url: url.to_owned(),
        queue: "Owner's maintenance".to_owned(),
        token_file: Some(token_file),
        user: None,
        password_file: None,
        ca_file: None,
        timeout: Span::seconds(20),
        poll: Span::seconds(1),
        open_status: "open".to_owned(),
        closed_status: "resolved".to_owned(),
        commands_by_mail: CommandsByMail::Read,
    }
}

/// Tickets of acme's db and globex's shop are about to be told to a Request Tracker.
struct Scene {
    api: Api,
    rt: Rt,
    delivering: Arc<Delivering>,
    reader: Reader,
}

impl Scene {
    async fn new(config: RtConfig) -> Self {
        let rt = Rt::new(config.clone()).expect("a client");
        let api = Api::configured(|all| all.rt = Some(config)).await;
        let owner = json!({ "name": "Ada", "mail": ["Ada@Example.org"], "timezone": "Europe/Berlin" });
        let put = api.put(&api.operator, "/v1/owners/acme", &owner).await;
        assert_eq!(put.status, StatusCode::OK, "{put:?}");
        let delivering = Delivering {
            renderer: Renderer::new(None).expect("the shipped templates"),
            mail: api.app.config.channel(),
            answers: None,
            rt: Some(rt.clone()),
        };
        api.drain_h1().await;
        Self { api, rt, delivering: Arc::new(delivering), reader: Reader::default() }
    }

    async fn deliver(&self) {
        while deliver::deliver_due(&self.api.app, &self.delivering).await.expect("a store") > 0 {}
    }

    async fn read(&mut self) -> usize {
        self.reader.look(&self.api.app, &self.rt).await.expect("replies are read")
    }

    /// The ticket of an owner.
    async fn ticket(&self, owner: &str) -> Value {
        let path = format!("/v1/tickets?owner={owner}&only=all");
        let tickets = self.api.get(&self.api.operator, &path).await.json();
        let number = tickets["items"][0]["number"].as_str().expect("a ticket").to_owned();
        self.api.get(&self.api.operator, &format!("/v1/tickets/{number}")).await.json()
    }

    /// Kinds of an owner's messages.
    async fn told(&self, owner: &str) -> Vec<String> {
        let ticket = self.ticket(owner).await;
        let notices = ticket["notices"].as_array().expect("messages");
        notices.iter().map(|notice| notice["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// What became of an owner's first message on a channel.
    async fn delivery(&self, owner: &str, channel: &str) -> Value {
        let ticket = self.ticket(owner).await;
        let deliveries = ticket["notices"][0]["deliveries"].as_array().expect("deliveries").clone();
        deliveries.into_iter().find(|delivery| delivery["channel"] == channel).expect("it goes there")
    }

    fn mails(&self) -> usize {
        mails_in(&self.api.app.config.data_dir)
    }
}

fn mails_in(data_dir: &Path) -> usize {
    fs::read_dir(data_dir.join("mail/new")).map_or(0, |entries| entries.flatten().count())
}

/// The number in Request Tracker of an owner's ticket.
async fn there(tracker: &RequestTracker, scene: &Scene, owner: &str) -> u64 {
    let id = scene.ticket(owner).await["id"].as_str().expect("an id").to_owned();
    let found = tracker.get("nina", &format!("tickets?query=RefersTo='drover:{id}'")).await;
    assert_eq!(found["count"], 1, "{found}");
    found["items"][0]["id"].as_str().and_then(|id| id.parse().ok()).expect("a number")
}

async fn entries(tracker: &RequestTracker, ticket: u64) -> usize {
    let history = tracker.get("nina", &format!("ticket/{ticket}/history?fields=Type&per_page=100")).await;
    let of = |entry: &&Value| matches!(entry["Type"].as_str(), Some("Create" | "Correspond" | "Comment"));
    history["items"].as_array().expect("a list").iter().filter(of).count()
}

#[tokio::test]
async fn what_staff_and_owner_write_in_request_tracker_comes_into_the_ticket_once_and_is_not_sent_back() {
    let Some(tracker) = RequestTracker::start() else { return };
    let mut scene = Scene::new(config(&tracker.url, tracker.file("token"))).await;
    scene.read().await;
    scene.deliver().await;
    let ticket = there(&tracker, &scene, "acme").await;
    let (mails, before) = (scene.mails(), entries(&tracker, ticket).await);
    assert_eq!((scene.delivery("acme", "rt").await["state"].as_str(), before), (Some("delivered"), 1));

    tracker.writes("nina", ticket, "We will be quick.\n\n> Message 1\n> quoted").await;
    assert_eq!(scene.read().await, 1);
    let said = scene.ticket("acme").await["notices"][1].clone();
    assert_eq!(
        (&said["said"]["text"], &said["said"]["via"]),
        (&json!("We will be quick."), &json!("ticket_system"))
    );
    assert_eq!(said["said"]["by"]["name"], "nina");
    scene.deliver().await;
    assert_eq!(
        (scene.mails(), entries(&tracker, ticket).await),
        (mails + 1, before + 1),
        "mailed, and not sent back"
    );

    tracker.writes("ada@example.org", ticket, "Hello,\n\naccept\n\nThanks\nAda").await;
    assert_eq!(scene.read().await, 1);
    let told = scene.told("acme").await;
    assert_eq!(told, ["proposed", "written", "answered", "accepted"]);
    assert_eq!(scene.ticket("acme").await["notices"][2]["said"]["via"], "ticket_system");
    assert_eq!(scene.api.migration_of("db").await["appointment"]["state"], "accepted");
    scene.deliver().await;
    assert_eq!(entries(&tracker, ticket).await, before + 4, "what came of it is in the thread");

    // As after a restart, with what was read last lost: nothing is taken in a second time.
    scene.reader = Reader::default();
    scene.read().await;
    assert_eq!(scene.told("acme").await, told);
    assert_eq!(scene.told("globex").await, ["proposed"], "no other ticket has heard of it");
}

#[tokio::test]
async fn a_mail_to_request_tracker_obeys_nobody_unless_it_may_and_a_stranger_is_nobody() {
    let Some(tracker) = RequestTracker::start() else { return };
    let mut scene = Scene::new(config(&tracker.url, tracker.file("token"))).await;
    scene.deliver().await;
    scene.read().await;
    let ticket = there(&tracker, &scene, "acme").await;
    let mail = |id: &str, from: &str, more: &str, text: &str| {
        format!(
            "From: {from}\nTo: rt@example.org\nSubject: Re: [example #{ticket}] x\nMessage-ID: <{id}@example.org>\n{more}\n{text}\n"
        )
    };
    tracker.receives(mail("1", "mallory@evil.example", "", "accept").as_bytes());
    tracker.receives(mail("2", "ada@example.org", "Auto-Submitted: auto-replied\n", "I am away").as_bytes());
    tracker.receives(mail("3", "ada@example.org", "", "accept").as_bytes());
    assert_eq!(scene.read().await, 1);
    assert_eq!(scene.told("acme").await, ["proposed", "written"]);
    assert_eq!(scene.ticket("acme").await["notices"][1]["said"]["text"], "accept");
    assert_eq!(scene.api.migration_of("db").await["appointment"]["state"], "proposed");

    let obeying =
        RtConfig { commands_by_mail: CommandsByMail::Obeyed, ..config(&tracker.url, tracker.file("token")) };
    let mut other = Scene::new(obeying).await;
    other.read().await;
    other.deliver().await;
    let ticket = there(&tracker, &other, "acme").await;
    let mail = format!(
        "From: ada@example.org\nTo: rt@example.org\nSubject: [example #{ticket}]\nMessage-ID: <4@example.org>\n\naccept\n"
    );
    tracker.receives(mail.as_bytes());
    assert_eq!(other.read().await, 1);
    assert_eq!(other.told("acme").await, ["proposed", "answered", "accepted"]);
}

#[tokio::test]
async fn what_request_tracker_refused_is_a_dead_letter_that_arrives_when_it_is_replayed() {
    let Some(tracker) = RequestTracker::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "1-2-wrong\n").expect("written");
    let scene = Scene::new(config(&tracker.url, token.clone())).await;
    scene.deliver().await;
    let delivery = scene.delivery("acme", "rt").await;
    assert_eq!(delivery["state"], "undeliverable", "{delivery}");
    let why = delivery["problem"].as_str().expect("a reason");
    assert!(why.contains("make a new token"), "{why}");
    assert_eq!(scene.delivery("acme", "mail").await["state"], "delivered");
    let doctor = scene.api.get(&scene.api.operator, "/v1/doctor").await;
    assert!(doctor.text.contains("make a new token"), "{}", doctor.text);

    fs::copy(tracker.file("token"), &token).expect("copied");
    let doctor = scene.api.get(&scene.api.operator, "/v1/doctor").await;
    assert!(doctor.text.contains("(Request Tracker 5."), "{}", doctor.text);
    let replay =
        scene.api.post(&scene.api.operator, "/v1/dead-letters/replay", &json!({ "channel": "rt" })).await;
    assert!(replay.status.is_success(), "{replay:?}");
    scene.deliver().await;
    assert_eq!(scene.delivery("acme", "rt").await["state"], "delivered");
    there(&tracker, &scene, "acme").await;
}

#[tokio::test]
async fn a_request_tracker_that_never_answers_holds_up_no_mail() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "1-2-3\n").expect("written");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let scene = Scene::new(RtConfig { timeout: Span::minutes(10), ..config(&url, token) }).await;
    let (app, delivering) = (scene.api.app.clone(), scene.delivering.clone());
    let delivers = tokio::spawn(async move { deliver::run(&app, &delivering).await });
    // Long enough for any machine; the tracker's own time is much longer still.
    let until = Instant::now() + Duration::from_secs(60);
    while scene.mails() < 1 || scene.delivery("acme", "mail").await["state"] != "delivered" {
        assert!(Instant::now() < until, "no mail has arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.delivery("acme", "rt").await["state"], "waiting");
    // The next one too, while the first still hangs.
    let approved = scene.api.migration_of("db").await["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/migrations/{approved}/approve");
    let answer = scene.api.post(&scene.api.acme, &path, &json!({})).await;
    assert!(answer.status.is_success(), "{answer:?}");
    while scene.mails() < 2 {
        assert!(Instant::now() < until, "no second mail has arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    delivers.abort();
}

#[tokio::test]
async fn one_that_is_gone_from_the_configuration_gives_up_what_waited_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "1-2-3\n").expect("written");
    let scene = Scene::new(config("http://127.0.0.1:1", token)).await;
    scene.deliver().await;
    let waiting = scene.delivery("acme", "rt").await;
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    assert!(waiting["problem"].as_str().is_some_and(|why| why.contains("can't be reached")), "{waiting}");
    let without = Delivering {
        renderer: Renderer::new(None).expect("the shipped templates"),
        mail: scene.api.app.config.channel(),
        answers: None,
        rt: None,
    };
    scene.api.pass(Span::minutes(1)).await;
    deliver::deliver_due(&scene.api.app, &Arc::new(without)).await.expect("a store");
    assert_eq!(scene.delivery("acme", "rt").await["state"], "undeliverable");
}
