//! Answers by mail, from the mail to what comes of it: a signed address, the same rules as everywhere else, and an answer.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use drover_notifier::reply::Keys;
use drover_notifier::{Channel, MaildirConfig, Renderer};
use drover_policies::time::{Instant, Span};
use drover_scheduler::deliver::{Delivering, deliver_due};
use drover_scheduler::incoming::{Answering, Handled, Spool, handle, spool_of, work_off};
use serde_json::{Value, json};

use crate::fixture::Api;
use crate::pages::Browser;

/// A drain in which `db` of acme has a ticket, and a mailbox.
struct Post {
    api: Api,
    answering: Answering,
    delivering: Arc<Delivering>,
    mails: PathBuf,
    spool: Spool,
    ticket: String,
}

impl Post {
    async fn open() -> Self {
        let api = Api::new().await;
        let contact = json!({ "name": "Ada", "mail": ["ada@acme.example"], "timezone": "Europe/Berlin" });
        assert!(api.put(&api.operator, "/v1/owners/acme", &contact).await.status.is_success());
        api.drain_h1().await;
        let answering = Answering {
            address: "reply@cloud.example".parse().expect("an address"),
            keys: Keys::read(&Keys::write([7; 32])).expect("a key"),
        };
        let data_dir = api.app.config.data_dir.clone();
        let mails = data_dir.join("mail");
        let mail = Channel::Maildir(MaildirConfig { path: mails.clone() });
        let renderer = Renderer::new(None).expect("the shipped templates");
        let delivering = Arc::new(Delivering { renderer, mail, answers: Some(answering.clone()), rt: None });
        let ticket = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
        let spool = Spool::open(&spool_of(&data_dir)).expect("a spool");
        let post = Self { api, answering, delivering, mails, spool, ticket };
        post.sent().await;
        post
    }

    /// The signed address of a ticket.
    async fn address(&self, number: &str) -> String {
        let ticket = self.api.app.store.ticket_by_number(number).await.expect("a store").expect("a ticket");
        self.answering.keys.sign(&self.answering.address, number, ticket.id, &ticket.owner).address
    }

    async fn handled(&self, raw: &str) -> Handled {
        handle(&self.api.app, &self.answering, raw.as_bytes().to_vec()).await.expect("handled")
    }

    /// An answer of the owner's to his ticket.
    async fn answer(&self, id: &str, text: &str) -> Handled {
        let to = self.address(&self.ticket).await;
        self.handled(&mail(id, &to, text)).await
    }

    /// The mails that went out since the last look, the newest last.
    async fn sent(&self) -> Vec<String> {
        deliver_due(&self.api.app, &self.delivering).await.expect("delivered");
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.mails.join("new"))
            .map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect())
            .unwrap_or_default();
        files.sort();
        files
            .iter()
            .map(|path| {
                let text = std::fs::read_to_string(path).expect("a mail");
                std::fs::remove_file(path).expect("taken");
                text
            })
            .collect()
    }

    /// The one that went out.
    async fn the_mail(&self) -> String {
        let [mail] = <[String; 1]>::try_from(self.sent().await).expect("one mail");
        mail
    }

    async fn thread(&self) -> Vec<Value> {
        let answer = self.api.get(&self.api.operator, &format!("/v1/tickets/{}", self.ticket)).await;
        answer.json()["notices"].as_array().expect("notices").clone()
    }

    async fn last(&self) -> Value {
        self.thread().await.last().expect("a notice").clone()
    }

    async fn start(&self) -> Instant {
        let migration = self.api.migration_of("db").await;
        migration["appointment"]["slot"]["start"].as_str().expect("a slot").parse().expect("a moment")
    }

    /// So many days from now, at an hour in Berlin; as it is written, and as a moment.
    fn at(&self, days: i64, hour: u32) -> (String, Instant) {
        let day = self.api.app.clock.now().with_timezone(&chrono_tz::Europe::Berlin).date_naive()
            + chrono::TimeDelta::days(days);
        let local = day.and_hms_opt(hour, 0, 0).expect("a time");
        let moment = local.and_local_timezone(chrono_tz::Europe::Berlin).single().expect("once");
        (local.format("%Y-%m-%d %H:%M").to_string(), moment.to_utc())
    }
}

fn mail(id: &str, to: &str, text: &str) -> String {
    format!(
        "From: Ada <ada@acme.example>\r\nTo: {to}\r\nSubject: Re: Server Migration\r\nMessage-ID: <{id}@acme.example>\r\n\r\n{text}\r\n"
    )
}

fn kinds(thread: &[Value]) -> Vec<&str> {
    thread.iter().map(|notice| notice["kind"].as_str().expect("a kind")).collect()
}

#[tokio::test]
async fn a_reply_moves_the_date_and_the_answer_says_so_once() {
    let post = Post::open().await;
    let (written, moment) = post.at(10, 22);
    let before = post.start().await;
    let handled = post.answer("1", &format!("Hello,\n\nplease move it to {written}\n\nThanks,\nAda")).await;
    assert_eq!(handled, Handled::Answered);
    assert_eq!(post.start().await, moment);
    assert_ne!(before, moment);
    let thread = post.thread().await;
    assert_eq!(kinds(&thread)[kinds(&thread).len() - 2..], ["answered", "rescheduled"]);
    assert_eq!(thread[thread.len() - 2]["said"]["answer"]["came_to"], "moved");

    let mail = post.the_mail().await;
    assert!(mail.contains("Subject: [NEW TIME] Server Migration: db"), "{mail}");
    let to = post.address(&post.ticket).await;
    assert!(mail.contains(&format!("Reply-To: {to}")), "{mail}");

    // The same mail, delivered again; and a later one that says the same.
    let again = post.answer("1", &format!("please move it to {written}")).await;
    assert_eq!(again, Handled::Repeated);
    assert_eq!(post.sent().await, Vec::<String>::new());
    assert_eq!(post.answer("2", &format!("move to {written}")).await, Handled::Answered);
    assert_eq!(post.last().await["said"]["answer"]["came_to"], "was_so");
    let mail = post.the_mail().await;
    assert!(mail.contains("Auto-Submitted: auto-replied"), "{mail}");
    assert!(mail.contains("It is agreed so already"), "{mail}");
}

#[tokio::test]
async fn accept_and_now_do_what_the_buttons_do() {
    let post = Post::open().await;
    assert_eq!(post.answer("1", "accept").await, Handled::Answered);
    assert_eq!(post.api.migration_of("db").await["appointment"]["state"], "accepted");
    assert!(post.the_mail().await.contains("Subject: [APPROVED]"));
    assert_eq!(post.answer("2", "now").await, Handled::Answered);
    let appointment = post.api.migration_of("db").await["appointment"].clone();
    assert_eq!(appointment["state"], "start_now", "{appointment}");
    assert_eq!(appointment["by"], json!({ "who": "owner", "name": "acme" }));
    assert!(post.the_mail().await.contains("We have understood: now"));
}

#[tokio::test]
async fn a_refusal_is_quoted_in_the_owners_zone_with_times_that_are_free() {
    let post = Post::open().await;
    let before = post.start().await;
    for (id, days, says) in [("1", 400, "that is too late"), ("2", -1, "that is too soon")] {
        let (written, _) = post.at(days, 22);
        assert_eq!(post.answer(id, &format!("move to {written}")).await, Handled::Answered);
        let answer = post.last().await["said"]["answer"].clone();
        assert_eq!(answer["came_to"], "refused", "{answer}");
        let why = answer["why"].as_str().expect("a reason");
        assert!(why.starts_with(says) && why.contains("(UTC+0"), "{why}");
        assert!(!answer["free"].as_array().expect("times").is_empty(), "{answer}");
        let mail = post.the_mail().await;
        assert!(mail.contains("  move to 20"), "{mail}");
    }
    assert_eq!(post.start().await, before);
    // A free time that was offered is accepted as it was offered.
    let mail = {
        post.answer("3", "move to whenever 22:00").await;
        post.the_mail().await
    };
    let line =
        mail.lines().find(|line| line.starts_with("  move to 20")).expect("an offer").trim().to_owned();
    assert_eq!(post.answer("4", &line).await, Handled::Answered);
    assert_eq!(
        post.thread().await.iter().rev().nth(1).expect("two")["said"]["answer"]["came_to"],
        "moved",
        "{line}"
    );
}

#[tokio::test]
async fn what_is_not_understood_is_asked_back_and_put_before_an_operator() {
    let post = Post::open().await;
    let before = post.start().await;
    assert_eq!(post.answer("1", "ok but not on a Friday").await, Handled::Answered);
    assert_eq!(post.start().await, before);
    assert_eq!(post.api.migration_of("db").await["appointment"]["state"], "proposed");
    let thread = post.thread().await;
    assert_eq!(kinds(&thread)[kinds(&thread).len() - 2..], ["written", "answered"]);
    let mail = post.the_mail().await;
    assert!(mail.contains("We are not sure what is meant"), "{mail}");

    assert_eq!(post.answer("2", "Does it keep its addresses?").await, Handled::Written);
    assert_eq!(post.last().await["said"]["via"], "mail");
    assert_eq!(post.sent().await, Vec::<String>::new());
    let waiting = post.api.get(&post.api.operator, "/v1/tickets?needs_answer=true").await.json();
    assert_eq!(waiting["items"][0]["number"], json!(post.ticket));
}

#[tokio::test]
async fn a_command_with_a_question_below_it_is_done_and_the_question_is_kept() {
    let post = Post::open().await;
    assert_eq!(post.answer("1", "accept\n\nDoes it keep its addresses?").await, Handled::Answered);
    let thread = post.thread().await;
    assert_eq!(kinds(&thread)[kinds(&thread).len() - 3..], ["answered", "accepted", "written"]);
    assert_eq!(post.last().await["said"]["text"], "Does it keep its addresses?");
}

#[tokio::test]
async fn a_forged_mail_does_nothing() {
    let post = Post::open().await;
    let before = post.thread().await;
    let good = post.address(&post.ticket).await;
    let shop = post.api.migration_of("shop").await["ticket"].as_str().expect("a ticket").to_owned();
    let of_another = post.address(&shop).await.replace(&shop, &post.ticket);
    let mut guess = good.clone();
    guess.replace_range(14..18, "0000");
    let unknown = good.replace(&post.ticket, "DR-9999");
    for (id, to) in [("1", &of_another), ("2", &guess), ("3", &unknown)] {
        assert_eq!(post.handled(&mail(id, to, "now")).await, Handled::Forged, "{to}");
    }
    assert_eq!(post.handled(&mail("4", "reply@cloud.example", "now")).await, Handled::NoTicket);
    assert_eq!(post.thread().await, before);
    assert_eq!(post.sent().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_reference_proves_the_ticket_where_the_address_was_lost() {
    let post = Post::open().await;
    let ticket = post.api.app.store.ticket_by_number(&post.ticket).await.expect("a store").expect("a ticket");
    let given = post.answering.keys.sign(&post.answering.address, &post.ticket, ticket.id, &ticket.owner);
    let raw = mail("1", "reply@cloud.example", "accept").replace(
        "Subject:",
        &format!("References: <ticket.x@cloud.example>\r\n {}\r\nSubject:", given.reference),
    );
    assert_eq!(post.handled(&raw).await, Handled::Answered);
    assert_eq!(post.api.migration_of("db").await["appointment"]["state"], "accepted");
}

#[tokio::test]
async fn a_mail_from_another_address_is_obeyed_said_so_and_answered_to_the_owner_alone() {
    let post = Post::open().await;
    let to = post.address(&post.ticket).await;
    let raw =
        mail("1", &to, "accept").replace("ada@acme.example>\r\nTo", "colleague@elsewhere.example>\r\nTo");
    assert_eq!(post.handled(&raw).await, Handled::Answered);
    let thread = post.thread().await;
    let asked = &thread[thread.len() - 2]["said"]["text"];
    assert_eq!(asked, "accept [sent by colleague@elsewhere.example]");
    let mail = post.the_mail().await;
    assert!(
        mail.contains("To: Ada <ada@acme.example>") || mail.contains("To: \"Ada\" <ada@acme.example>"),
        "{mail}"
    );
}

#[tokio::test]
async fn machines_get_no_answer() {
    let post = Post::open().await;
    let before = post.thread().await;
    let to = post.address(&post.ticket).await;
    for head in [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "Return-Path: <>",
        "X-Auto-Response-Suppress: All",
    ] {
        let raw = format!("{head}\r\n{}", mail("1", &to, "now"));
        assert!(matches!(post.handled(&raw).await, Handled::Ignored(_)), "{head}");
    }
    assert_eq!(post.thread().await, before);
    assert_eq!(post.sent().await, Vec::<String>::new());
}

#[tokio::test]
async fn two_programs_that_answer_each_other_stop() {
    let post = Post::open().await;
    let mut answers = 0;
    let mut last = Handled::Answered;
    for turn in 0..40 {
        last = post.answer(&format!("m{turn}"), "ok, I have got your mail").await;
        answers += post.sent().await.len();
    }
    assert_eq!((answers, last), (6, Handled::TooMany));
    post.api.pass(Span::hours(2)).await;
    assert_eq!(post.answer("later", "accept").await, Handled::Answered);
}

#[tokio::test]
async fn a_bounce_is_noted_on_its_message_and_shown_to_operators() {
    let post = Post::open().await;
    let notice = post.thread().await[0]["id"].as_str().expect("an id").to_owned();
    let to = post.address(&post.ticket).await;
    let report = |notice: &str| {
        format!(
            "Return-Path: <>\r\nFrom: MAILER-DAEMON@acme.example\r\nTo: {to}\r\nAuto-Submitted: auto-replied\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nfailed\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; ada@acme.example\r\n\
             Action: failed\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
             X-Drover-Notice: {notice}\r\n\r\nHello\r\n--b--\r\n"
        )
    };
    for _ in 0..2 {
        assert_eq!(post.handled(&report(&notice)).await, Handled::Bounced);
    }
    let bounces = post.thread().await[0]["bounces"].clone();
    assert_eq!(bounces.as_array().map(Vec::len), Some(1), "{bounces}");
    assert_eq!(
        (&bounces[0]["address"], &bounces[0]["why"]),
        (&json!("ada@acme.example"), &json!("550 5.1.1 no such user"))
    );
    let doctor = post.api.get(&post.api.operator, "/v1/doctor").await.text;
    assert!(doctor.contains("mails came back from ada@acme.example"), "{doctor}");
    let acme = Browser::signed_in(&post.api, &post.api.acme).await;
    let contacts = acme.get("/my/contacts").await.text;
    assert!(contacts.contains("Mail to ada@acme.example came back of late."), "{contacts}");
    let for_owner = post.api.get(&post.api.acme, &format!("/v1/tickets/{}", post.ticket)).await.json();
    assert_eq!(for_owner["notices"][0].get("bounces"), None);
    let foreign = "00000000-0000-0000-0000-00000000002a";
    assert!(matches!(post.handled(&report(foreign)).await, Handled::Ignored(_)));
    assert_eq!(post.sent().await, Vec::<String>::new());
}

#[tokio::test]
async fn reminders_are_declined_by_mail() {
    let post = Post::open().await;
    assert_eq!(post.answer("1", "no reminders").await, Handled::Answered);
    let contact = post.api.get(&post.api.operator, "/v1/owners/acme").await.json();
    assert_eq!((&contact["reminders"], &contact["name"]), (&json!(false), &json!("Ada")));
    assert!(post.the_mail().await.contains("no reminders from here on"));
}

#[tokio::test]
async fn the_spool_is_worked_off_once_whenever_the_scheduler_died() {
    let post = Post::open().await;
    let to = post.address(&post.ticket).await;
    let raw = mail("1", &to, "accept");
    // It died after the change was stored, and before the mail left the spool.
    assert_eq!(post.handled(&raw).await, Handled::Answered);
    let told = post.thread().await.len();
    post.spool.put("a", raw.as_bytes()).expect("stored");
    post.spool.put("b", b"\r\n").expect("stored");
    post.spool.put("c", mail("2", &to, "Hello?").as_bytes()).expect("stored");
    assert_eq!(work_off(&post.api.app, &post.answering, &post.spool).await.expect("worked off"), 3);
    assert_eq!(post.spool.waiting().expect("read"), Vec::<String>::new());
    assert_eq!(post.thread().await.len(), told + 1);
    assert_eq!(work_off(&post.api.app, &post.answering, &post.spool).await.expect("nothing to do"), 0);
}

/// The program as a mail server's pipe calls it: exit code, and what is in the spool.
fn piped(post: &Post, config: &str, arguments: &[&str], raw: &[u8]) -> (Option<i32>, Vec<String>) {
    let path = post.api.app.config.data_dir.join("scheduler.toml");
    std::fs::write(&path, config).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_drover-scheduler"))
        .arg("--config")
        .arg(&path)
        .arg("mail-in")
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(raw);
    let status = child.wait().expect("it ends");
    (status.code(), post.spool.waiting().expect("read"))
}

#[tokio::test]
async fn a_mail_servers_pipe_is_told_whether_the_mail_is_ours() {
    let post = Post::open().await;
    let to = post.address(&post.ticket).await;
    let data_dir = post.api.app.config.data_dir.display().to_string();
    let config = format!(
        "data_dir = {data_dir:?}\n[mail.incoming]\naddress = \"reply@cloud.example\"\nlargest = 4096\n"
    );
    let raw = mail("1", "undisclosed@cloud.example", "accept");
    let (code, waiting) = piped(&post, &config, &["--recipient", &to], raw.as_bytes());
    assert_eq!((code, waiting.len()), (Some(0), 1));
    for (arguments, raw, code) in
        [(&[][..], &b""[..], 65), (&[], &[b'x'; 5000], 65), (&["--nonsense"], b"x", 75)]
    {
        assert_eq!(piped(&post, &config, arguments, raw), (Some(code), waiting.clone()), "{arguments:?}");
    }
    // Nobody would read it, or the settings are wrong: it is kept by the mail server until somebody has put that right.
    for wrong in [format!("data_dir = {data_dir:?}"), "data_dir = 3".to_owned()] {
        assert_eq!(piped(&post, &wrong, &[], raw.as_bytes()), (Some(75), waiting.clone()), "{wrong}");
    }
    work_off(&post.api.app, &post.answering, &post.spool).await.expect("worked off");
    assert_eq!(post.api.migration_of("db").await["appointment"]["state"], "accepted");
}
