//! Request Tracker 5 as operators have it: tickets are created, written to, closed, and answered there.
//!
//! The tests that ask a real one start it themselves; see `rt/server.rs`.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drover_notifier::rt::{
    CommandsByMail, HandedOver, Letter, Reply, Rt, RtConfig, RtError, RtTicket, RtTransaction, Source,
    Standing, Then,
};
use drover_notifier::samples::{Sample, samples};
use drover_notifier::{Message, Renderer};
use drover_policies::ids::{NoticeId, TicketId};
use drover_policies::time::{Instant, Span};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use uuid::Uuid;

#[path = "rt/server.rs"]
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
        poll: Span::seconds(5),
        open_status: "open".to_owned(),
        closed_status: "resolved".to_owned(),
        commands_by_mail: CommandsByMail::Read,
    }
}

fn connected(tracker: &RequestTracker) -> Rt {
    let config = config(&tracker.url, tracker.file("token"));
    assert_eq!(config.check(), Vec::<String>::new());
    Rt::new(config).expect("a client")
}

/// A ticket of ours with its messages, told just now. Each test has its own numbers, for they share one Request Tracker.
struct Story {
    number: u128,
    told: u128,
}

impl Story {
    fn new(number: u128) -> Self {
        Self { number, told: 0 }
    }

    fn ticket(&self) -> TicketId {
        TicketId(Uuid::from_u128(self.number << 64))
    }

    fn next(&mut self, name: &str) -> (Sample, Message) {
        let mut sample =
            samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name");
        self.told += 1;
        sample.notice.id = NoticeId(Uuid::from_u128((self.number << 64) + self.told));
        sample.notice.ticket.id = self.ticket();
        sample.notice.ticket.number = format!("DR-{}", self.number);
        sample.notice.at = now();
        sample.contact.mail = vec!["ada@example.org".to_owned(), "not an address".to_owned()];
        let renderer = Renderer::new(None).expect("sound templates");
        let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
        (sample, message)
    }
}

#[expect(clippy::disallowed_methods, reason = "Request Tracker dates its history by the real time")]
fn now() -> Instant {
    chrono::DateTime::from(std::time::SystemTime::now())
}

async fn hand_over(rt: &Rt, told: &(Sample, Message), ticket: Option<RtTicket>) -> HandedOver {
    let (sample, message) = told;
    rt.hand_over(&Letter { notice: &sample.notice, message, contact: &sample.contact, ticket }).await
}

async fn handed_over(rt: &Rt, told: &(Sample, Message), ticket: Option<RtTicket>) -> RtTicket {
    let HandedOver { ticket, ended } = hand_over(rt, told, ticket).await;
    let ticket = ticket.expect("a ticket");
    assert_eq!(ended.expect("it is there"), format!("in ticket {ticket} of Request Tracker"));
    ticket
}

/// The types of a ticket's entries that hold messages, and its status.
async fn history(tracker: &RequestTracker, ticket: RtTicket) -> (Vec<String>, String) {
    let path = format!("ticket/{ticket}/history?fields=Type,Data&per_page=100&orderby=id");
    let history = tracker.get("nina", &path).await;
    let entries = history["items"].as_array().expect("a list").iter();
    let told = entries
        .filter(|entry| matches!(entry["Type"].as_str(), Some("Create" | "Correspond" | "Comment")))
        .map(|entry| entry["Type"].as_str().unwrap_or_default().to_owned())
        .collect();
    let status = tracker.get("nina", &format!("ticket/{ticket}")).await["Status"].clone();
    (told, status.as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_ticket_is_created_for_its_owner_written_to_and_resolved() {
    let Some(tracker) = RequestTracker::start() else { return };
    let rt = connected(&tracker);
    assert!(rt.look().await.expect("it is there").version.starts_with("5."));
    let mut story = Story::new(1001);
    let opening = story.next("proposed");
    let ticket = handed_over(&rt, &opening, None).await;
    let there = tracker.get("nina", &format!("ticket/{ticket}")).await;
    assert_eq!(there["Subject"], opening.1.subject);
    assert_eq!(there["Requestor"][0]["id"], "ada@example.org");
    assert_eq!(there["Requestor"].as_array().map(Vec::len), Some(1), "what is no address is left out");
    let deadline = opening.0.notice.ticket.deadline.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(there["Due"], deadline);
    let (told, status) = history(&tracker, ticket).await;
    assert_eq!((told.as_slice(), status.as_str()), (&["Create".to_owned()][..], "new"));
    let mut written = rt.words(transaction(&tracker, ticket, "Create").await).await.expect("readable").text;
    assert!(
        written.starts_with(opening.1.text.trim_end()),
        "the very text of the mail, and then:\n{written}"
    );
    written.drain(..opening.1.text.trim_end().len());
    assert_eq!(written, format!("\n\n-- \nMessage {}\n", opening.0.notice.id));

    assert_eq!(handed_over(&rt, &story.next("reminder"), Some(ticket)).await, ticket);
    assert_eq!(handed_over(&rt, &story.next("done"), Some(ticket)).await, ticket);
    let (told, status) = history(&tracker, ticket).await;
    assert_eq!(
        (told, status.as_str()),
        (vec!["Create".to_owned(), "Correspond".into(), "Correspond".into()], "resolved")
    );
    let mails = fs::read_to_string(tracker.file("mails")).unwrap_or_default();
    assert!(!mails.contains("To: ada@example.org"), "she gets our mails already");
}

async fn transaction(tracker: &RequestTracker, ticket: RtTicket, kind: &str) -> RtTransaction {
    let path = format!("ticket/{ticket}/history?fields=Type&per_page=100&orderby=id&order=DESC");
    let history = tracker.get("nina", &path).await;
    let found = history["items"].as_array().expect("a list").iter().find(|entry| entry["Type"] == kind);
    let id = found.and_then(|entry| entry["id"].as_str()?.parse().ok());
    RtTransaction(id.expect("it is in the history"))
}

#[tokio::test]
async fn a_ticket_is_reopened_where_ours_goes_on_and_a_confirmation_leaves_it_as_it_was() {
    let Some(tracker) = RequestTracker::start() else { return };
    let rt = connected(&tracker);
    let mut story = Story::new(1002);
    let ticket = handed_over(&rt, &story.next("cancelled"), None).await;
    assert_eq!(history(&tracker, ticket).await.1, "resolved");
    handed_over(&rt, &story.next("written_by_operator"), Some(ticket)).await;
    assert_eq!(history(&tracker, ticket).await.1, "resolved");
    handed_over(&rt, &story.next("answered_accepted"), Some(ticket)).await;
    let (told, status) = history(&tracker, ticket).await;
    assert_eq!((told.last().map(String::as_str), status.as_str()), (Some("Comment"), "resolved"));
    handed_over(&rt, &story.next("written_by_owner"), Some(ticket)).await;
    assert_eq!(history(&tracker, ticket).await.1, "open");
    for (name, status) in
        [("reverted", "resolved"), ("reverting", "open"), ("given_up", "resolved"), ("confirmed", "resolved")]
    {
        handed_over(&rt, &story.next(name), Some(ticket)).await;
        assert_eq!(history(&tracker, ticket).await.1, status, "{name}");
    }
    handed_over(&rt, &story.next("rolled_back"), Some(ticket)).await;
    let stalled = json!({ "Status": "stalled" });
    tracker.send("nina", Method::PUT, &format!("ticket/{ticket}"), &stalled).await;
    handed_over(&rt, &story.next("answered_accepted"), Some(ticket)).await;
    assert_eq!(history(&tracker, ticket).await.1, "stalled", "that is staff's own affair");
}

/// Between us and Request Tracker: passes requests on, and cuts the connection instead of giving one of the answers back.
async fn cutting(behind: &str, cut: usize) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let passed = Arc::new(AtomicUsize::new(0));
    let count = passed.clone();
    let behind = behind.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (count, behind) = (count.clone(), behind.clone());
            // A client that goes away in the middle is none of the proxy's affairs.
            tokio::spawn(async move { pass_on(client, &behind, &count, cut).await.ok() });
        }
    });
    (url, passed)
}

async fn pass_on(
    client: tokio::net::TcpStream,
    behind: &str,
    count: &AtomicUsize,
    cut: usize,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    let mut length = 0;
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a length");
        }
        head.push_str(&line);
    }
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    let mut behind = tokio::net::TcpStream::connect(behind).await?;
    behind.write_all(head.as_bytes()).await?;
    behind.write_all(&body).await?;
    let mut answer = Vec::new();
    behind.read_to_end(&mut answer).await?;
    if count.fetch_add(1, Ordering::SeqCst) != cut {
        client.write_all(&answer).await?;
    }
    client.shutdown().await
}

#[tokio::test]
async fn whichever_answer_is_lost_a_repeat_leaves_one_ticket_with_each_message_once() {
    let Some(tracker) = RequestTracker::start() else { return };
    let mut lost = 0;
    for cut in 0.. {
        let (url, passed) = cutting(&tracker.url, cut).await;
        let rt = Rt::new(config(&url, tracker.file("token"))).expect("a client");
        let mut story = Story::new(2000 + cut as u128);
        let mut ticket = None;
        for name in ["proposed", "done"] {
            let told = story.next(name);
            let first = hand_over(&rt, &told, ticket).await;
            ticket = Some(match first.ended {
                Ok(_) => first.ticket.expect("a ticket"),
                Err(error) => {
                    lost += 1;
                    assert!(matches!(error, RtError::Unanswered { .. }), "{error:?}");
                    assert!(matches!(error.then(), Then::RetryAfter(_)), "what was asked may be under way");
                    // As after a crash: what the failed try has learnt is forgotten.
                    handed_over(&rt, &told, ticket).await
                }
            });
        }
        let (told, status) = history(&tracker, ticket.expect("a ticket")).await;
        assert_eq!((told.len(), status.as_str()), (2, "resolved"), "answer {cut} was lost: {told:?}");
        let link = format!("tickets?query=RefersTo='drover:{}'", story.ticket());
        assert_eq!(tracker.get("nina", &link).await["count"], 1, "answer {cut} was lost");
        if passed.load(Ordering::SeqCst) <= cut {
            break;
        }
    }
    assert!(lost >= 8, "every answer was lost once: {lost}");
}

async fn replies(rt: &Rt, after: RtTransaction, of: RtTicket) -> Vec<Reply> {
    let all = rt.replies_since(after).await.expect("it answers");
    all.into_iter().filter(|reply| reply.ticket == of).collect()
}

#[tokio::test]
async fn what_others_write_to_the_owner_comes_back_and_nothing_else() {
    let Some(tracker) = RequestTracker::start() else { return };
    let rt = connected(&tracker);
    let mut story = Story::new(1003);
    let ticket = handed_over(&rt, &story.next("proposed"), None).await;
    let from = rt.newest().await.expect("it answers").expect("there is one");
    handed_over(&rt, &story.next("reminder"), Some(ticket)).await;
    let plain = tracker.writes("nina", ticket.0, "We will be quick.\n\nNína").await;
    let comment = json!({ "Content": "a difficult one", "ContentType": "text/plain" });
    tracker.send("nina", Method::POST, &format!("ticket/{ticket}/comment"), &comment).await;
    let html = json!({ "Content": "<p>It is <b>5 &lt; 6</b></p><p>Bye</p>", "ContentType": "text/html",
        "Attachments": [{ "FileName": "a.txt", "FileType": "text/plain", "FileContent": "YWJj" }] });
    tracker.send("nina", Method::POST, &format!("ticket/{ticket}/correspond"), &html).await;
    let own = tracker.writes("ada@example.org", ticket.0, "accept").await;

    let replies = replies(&rt, from, ticket).await;
    let authors: Vec<_> =
        replies.iter().map(|reply| (reply.author.name.as_str(), reply.author.mail.as_str())).collect();
    let (nina, ada) = (("nina", "nina@example.org"), ("ada@example.org", "ada@example.org"));
    assert_eq!(authors, [nina, nina, ada]);
    assert_eq!((replies[0].transaction.0, replies[2].transaction.0), (plain, own));
    let mut texts = Vec::new();
    for reply in &replies {
        let words = rt.words(reply.transaction).await.expect("readable");
        assert_eq!(words.from, Source::LoggedIn);
        texts.push((words.text.trim().to_owned(), words.files));
    }
    assert_eq!(texts[0], ("We will be quick.\n\nNína".to_owned(), 0));
    assert!(
        texts[1].0.contains("It is 5 < 6") && texts[1].0.ends_with("Bye") && texts[1].1 == 1,
        "{texts:?}"
    );
    assert_eq!(texts[2], ("accept".to_owned(), 0));
    assert_eq!(rt.standing(&replies[0].author).await.expect("it answers"), Standing::Staff);
    assert_eq!(rt.standing(&replies[2].author).await.expect("it answers"), Standing::Outsider);
    assert_eq!(self::replies(&rt, replies[1].transaction, ticket).await, replies[2..]);
    assert_eq!(rt.tickets_of(ticket).await.expect("it answers"), [story.ticket()]);
}

#[tokio::test]
async fn a_mail_is_told_from_what_somebody_wrote_who_had_logged_in_and_from_a_machines() {
    let Some(tracker) = RequestTracker::start() else { return };
    let rt = connected(&tracker);
    let ticket = handed_over(&rt, &Story::new(1009).next("proposed"), None).await;
    let from = rt.newest().await.expect("it answers").expect("there is one");
    let mail = |id: &str, more: &str, text: &str| {
        let mail = format!(
            "From: Ada <ada@example.org>\nTo: rt@example.org\nSubject: Re: [example #{ticket}] x\nMessage-ID: <{id}@example.org>\n{more}\n{text}\n"
        );
        // Every character here is one byte in ISO 8859-1.
        mail.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect::<Vec<u8>>()
    };
    tracker.receives(&mail("1", "Auto-Submitted: auto-replied\n", "I am away"));
    tracker.receives(&mail(
        "2",
        "Content-Type: text/plain; charset=iso-8859-1\nX-RT-Interface: Web\n",
        "accept \u{fc}",
    ));
    let replies = replies(&rt, from, ticket).await;
    let mut words = Vec::new();
    for reply in &replies {
        assert_eq!(reply.author.mail, "ada@example.org");
        words.push(rt.words(reply.transaction).await.expect("readable"));
    }
    let said: Vec<_> = words.iter().map(|words| (words.text.trim(), words.from)).collect();
    assert_eq!(said, [("I am away", Source::Machine), ("accept ü", Source::Mail)]);
}

#[tokio::test]
async fn a_ticket_that_staff_moves_or_merges_is_still_ours() {
    let Some(tracker) = RequestTracker::start() else { return };
    let rt = connected(&tracker);
    let (mut moved, mut merged) = (Story::new(1004), Story::new(1005));
    let from = rt.newest().await.expect("it answers").unwrap_or(RtTransaction(0));
    let one = handed_over(&rt, &moved.next("proposed"), None).await;
    let two = handed_over(&rt, &merged.next("proposed"), None).await;
    let other = json!({ "Queue": "Owner's maintenance", "Subject": "of somebody else" });
    let other = tracker.send("nina", Method::POST, "ticket", &other).await;
    let other = RtTicket(other["id"].as_str().and_then(|id| id.parse().ok()).expect("a number"));
    let elsewhere = json!({ "Queue": "Elsewhere", "Subject": "changed" });
    tracker.send("root", Method::PUT, &format!("ticket/{one}"), &elsewhere).await;
    tracker.send("root", Method::PUT, &format!("ticket/{two}"), &json!({ "MergeInto": other.0 })).await;

    handed_over(&rt, &moved.next("reminder"), Some(one)).await;
    handed_over(&rt, &merged.next("reminder"), Some(two)).await;
    assert_eq!(handed_over(&rt, &merged.next("done"), None).await, other, "found by the link alone");
    assert_eq!(history(&tracker, other).await.1, "resolved");
    for (ticket, story) in [(one, &moved), (other, &merged)] {
        tracker.writes("nina", ticket.0, "noted").await;
        assert_eq!(replies(&rt, from, ticket).await.len(), 1, "ticket {ticket}");
        assert_eq!(rt.tickets_of(ticket).await.expect("it answers"), [story.ticket()]);
    }
}

fn advice(error: &RtError) -> String {
    assert_eq!(error.then(), Then::GiveUp, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let Some(tracker) = RequestTracker::start() else { return };
    let told = Story::new(1006).next("proposed");
    let bad = tracker.file("bad-token");
    fs::write(&bad, "1-31-0123456789abcdef\n").expect("written");
    let wrong_token = Rt::new(config(&tracker.url, bad.clone())).expect("a client");
    let refused = hand_over(&wrong_token, &told, None).await.ended.expect_err("refused");
    assert!(advice(&refused).contains("401") && advice(&refused).contains("make a new token"), "{refused}");
    assert_eq!(advice(&refused), advice(&wrong_token.look().await.expect_err("refused")));
    // It is read anew for each request.
    fs::copy(tracker.file("token"), &bad).expect("copied");
    wrong_token.look().await.expect("mended");

    for queue in ["Nowhere", "Secret", "Elsewhere"] {
        let config = RtConfig { queue: queue.to_owned(), ..config(&tracker.url, tracker.file("token")) };
        let rt = Rt::new(config).expect("a client");
        for refused in [
            hand_over(&rt, &told, None).await.ended.expect_err("refused"),
            rt.look().await.expect_err("refused"),
        ] {
            let says = format!("look whether the queue {queue:?} exists");
            assert!(advice(&refused).contains(&says), "{refused}");
        }
    }
    let rt = connected(&tracker);
    let gone = hand_over(&rt, &told, Some(RtTicket(987_654))).await.ended.expect_err("refused");
    assert!(advice(&gone).contains("the ticket still exist"), "{gone}");

    let by_password = RtConfig {
        token_file: None,
        user: Some("drover".to_owned()),
        password_file: Some(tracker.file("password")),
        ..config(&format!("{}/", tracker.url), PathBuf::new())
    };
    assert_eq!(by_password.check(), Vec::<String>::new());
    Rt::new(by_password).expect("a client").look().await.expect("it is there");
}

#[tokio::test]
async fn a_status_that_the_queue_has_not_is_told_and_the_message_is_there_once() {
    let Some(tracker) = RequestTracker::start() else { return };
    let other = RtConfig {
        closed_status: "zur Ruhe gelegt".to_owned(),
        ..config(&tracker.url, tracker.file("token"))
    };
    let rt = Rt::new(other).expect("a client");
    let mut story = Story::new(1007);
    let ticket = handed_over(&rt, &story.next("proposed"), None).await;
    let done = story.next("done");
    let refused = hand_over(&rt, &done, Some(ticket)).await.ended.expect_err("refused");
    assert!(advice(&refused).contains("isn't a valid status"), "{refused}");
    assert!(advice(&refused).contains("rt.closed_status; then replay the message"), "{refused}");
    handed_over(&connected(&tracker), &done, Some(ticket)).await;
    let (told, status) = history(&tracker, ticket).await;
    assert_eq!((told, status.as_str()), (vec!["Create".to_owned(), "Correspond".into()], "resolved"));
}

#[tokio::test]
async fn one_that_is_away_hangs_or_is_something_else_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    fs::write(&token, "1-2-3\n").expect("written");
    let told = Story::new(1008).next("proposed");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let rt =
        Rt::new(RtConfig { timeout: Span::seconds(1), ..config(&url, token.clone()) }).expect("a client");
    let HandedOver { ticket, ended } = hand_over(&rt, &told, None).await;
    let error = ended.expect_err("no answer");
    assert!(matches!(error.then(), Then::RetryAfter(_)) && ticket.is_none(), "{error:?}");
    drop(silent);
    let error = hand_over(&rt, &told, None).await.ended.expect_err("nobody there");
    assert!(matches!(error, RtError::Unreachable { .. }) && error.then() == Then::Retry, "{error:?}");

    for (answer, says, then) in [
        (
            "503 Service Unavailable\r\n\r\n<h1>Down for\r\nmaintenance</h1>",
            "Down for maintenance",
            Then::Retry,
        ),
        ("504 Gateway Timeout\r\n\r\n", "504", Then::RetryAfter(Span::minutes(2))),
        ("429 Too Many Requests\r\n\r\n{\"message\":\"slowly\"}", "slowly", Then::Retry),
        ("200 OK\r\n\r\n<html>Log in", "is not Request Tracker's REST 2.0", Then::Retry),
        ("302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "as rt.url", Then::GiveUp),
        ("418 I'm a teapot\r\n\r\n", "log for the reason", Then::GiveUp),
    ] {
        let url = always(answer).await;
        let rt = Rt::new(config(&url, token.clone())).expect("a client");
        let error = hand_over(&rt, &told, None).await.ended.expect_err("refused");
        assert!(error.to_string().contains(says) && error.then() == then, "{error:?}");
    }
    let endless = always(format!("200 OK\r\n\r\n{}", " ".repeat(5 << 20))).await;
    let rt = Rt::new(config(&endless, token.clone())).expect("a client");
    let error = rt.words(RtTransaction(1)).await.expect_err("refused");
    assert!(matches!(error, RtError::TooLong { .. }), "{error:?}");
    fs::remove_file(&token).expect("removed");
    let error = rt.look().await.expect_err("refused");
    assert!(error.then() == Then::Retry && error.to_string().starts_with("token_file"), "{error}");
}

/// Gives everybody the same answer.
async fn always(answer: impl Into<String>) -> String {
    let answer = format!("HTTP/1.1 {}", answer.into());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 1 << 16];
            // Clients that have read enough go away.
            drop(client.read(&mut request).await);
            drop(client.write_all(answer.as_bytes()).await);
            drop(client.shutdown().await);
        }
    });
    url
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let parse = |value: Value| serde_json::from_value::<RtConfig>(value);
    let error = parse(json!({ "url": "https://rt.example", "que": "x" })).expect_err("refused");
    assert!(error.to_string().contains("que"), "{error}");
    let sound = parse(
        json!({ "url": "https://rt.example/rt/", "queue": "Maintenance", "token_file": "/nonexistent" }),
    )
    .expect("understood");
    assert_eq!((sound.timeout, sound.open_status.as_str()), (Span::seconds(30), "open"));
    assert_eq!(sound.commands_by_mail, CommandsByMail::Read);
    let wrong = sound.check();
    assert!(wrong.len() == 1 && wrong[0].starts_with("token_file /nonexistent can't be read"), "{wrong:?}");
    for (file, says) in [
        ("/nonexistent.pem", "ca_file /nonexistent.pem can't be read"),
        ("/dev/null", "ca_file /dev/null holds no certificate"),
    ] {
        let wrong = RtConfig { ca_file: Some(PathBuf::from(file)), ..sound.clone() }.check();
        assert!(wrong.len() == 2 && wrong[1].starts_with(says), "{wrong:?}");
    }
    let wrong = RtConfig {
        url: "http://rt.example/REST/2.0".to_owned(),
        queue: " ".to_owned(),
        user: Some("drover".to_owned()),
        timeout: Span::milliseconds(5),
        closed_status: "open".to_owned(),
        ..sound
    };
    assert_eq!(
        wrong.check(),
        [
            "url \"http://rt.example/REST/2.0\" would send the secret in clear; write https, or put the Request Tracker on this machine",
            "url \"http://rt.example/REST/2.0\" must end where Request Tracker begins; write for example \"https://rt.example\"",
            "queue \" \" is no name; write for example \"Maintenance\"",
            "open_status and closed_status are both \"open\"; no ticket could be closed",
            "timeout 5ms is too short; write at least 1s",
            "token_file stands for user and password_file; write one or the other",
        ]
    );
    for (url, says) in [
        ("rt.example", "is no address"),
        ("ftp://rt.example", "is no address of a web server"),
        ("https://drover:secret@rt.example", "must not hold a user or a password"),
    ] {
        let wrong = RtConfig { url: url.to_owned(), ..wrong.clone() }.check();
        assert!(wrong[0].contains(says), "{wrong:?}");
    }
}
