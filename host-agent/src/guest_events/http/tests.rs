use std::sync::atomic::{AtomicU32, Ordering};

use drover_agent_api::{GuestEvents, GuestStart, GuestsAnswer, GuestsTold, SyncResponse};
use drover_policies::ids::HostName;
use drover_policies::time::Span;
use drover_policies::upcoming::azure::{Document, Event, EventSource, EventStatus, EventType};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use uuid::Uuid;

use super::*;
use crate::agent::Agent;
use crate::clock::SystemClock;
use crate::hypervisor::simulated::SimulatedFleet;

const EVENT: &str = "C7061BAC-AFDC-4513-B24B-AA5F13A16123";
const GET: &str =
    "GET /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n";

fn server(n: u128) -> ServerId {
    ServerId(Uuid::from_u128(n))
}

fn event(id: &str, name: &str, not_before: &str) -> Event {
    Event {
        event_id: id.to_owned(),
        event_type: EventType::Redeploy,
        resource_type: "VirtualMachine".to_owned(),
        resources: vec![name.to_owned()],
        event_status: EventStatus::Scheduled,
        not_before: not_before.to_owned(),
        description: String::new(),
        event_source: EventSource::Platform,
        duration_in_seconds: 300,
    }
}

fn told(n: u128, events: Vec<Event>, start: GuestStart) -> GuestEvents {
    GuestEvents { server: server(n), document: Document { document_incarnation: 7, events }, start }
}

/// An agent with two guests: 1, which has an event, at vsock address 3, and 2, which has none, at address 4.
struct Rig {
    ledger: TempDir,
    agent: Arc<Agent>,
    desk: Arc<Desk>,
    asked: Arc<AtomicU32>,
}

impl Rig {
    fn new() -> Self {
        let ledger = tempfile::tempdir().expect("a directory");
        let agent = open(&ledger);
        let asked = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&asked);
        let list = move || {
            counts.fetch_add(1, Ordering::Relaxed);
            let at = |n, cid| Attached { server: server(n), interfaces: Vec::new(), cid: Some(cid) };
            Ok(vec![at(1, 3), at(2, 4)])
        };
        let desk = Arc::new(Desk::new(Arc::clone(&agent), Arc::new(list)));
        Self { ledger, agent, desk, asked }
    }

    fn with_event() -> Self {
        let rig = Self::new();
        rig.told(GuestStart::Allowed);
        rig
    }

    fn told(&self, start: GuestStart) {
        let one = event(EVENT, "web-1", "Mon, 19 Sep 2016 18:29:47 GMT");
        take(&self.agent, Some(vec![told(1, vec![one], start)]), Vec::new());
    }

    async fn say(&self, cid: u32, words: &[u8]) -> String {
        let (mut here, there) = tokio::io::duplex(64 * 1024);
        let serving = tokio::spawn(Arc::clone(&self.desk).serve(there, Caller::Vsock { cid }));
        // It may be refused before all of it is read.
        let _ = here.write_all(words).await;
        let answer = read_to_end(here).await;
        serving.await.expect("no panic");
        answer
    }

    async fn get(&self, cid: u32) -> String {
        self.say(cid, GET.as_bytes()).await
    }

    async fn post(&self, cid: u32, body: &str) -> String {
        let words = format!(
            "POST /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.say(cid, words.as_bytes()).await
    }

    fn acknowledged(&self) -> Vec<drover_agent_api::Acknowledgement> {
        self.agent.request(Span::ZERO).guests.expect("it serves guests").acknowledged
    }
}

async fn read_to_end(mut stream: DuplexStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open(ledger: &TempDir) -> Arc<Agent> {
    let host: HostName = "h1".parse().expect("a name");
    let clock = Arc::new(SystemClock);
    let fleet = SimulatedFleet::new(clock.clone());
    let agent = Agent::open(host.clone(), fleet.hypervisor(&host), clock, ledger.path()).expect("opened");
    agent.serve_guests();
    agent
}

fn take(agent: &Agent, events: Option<Vec<GuestEvents>>, taken: Vec<drover_agent_api::Acknowledgement>) {
    let told = events.map(|events| GuestsTold { revision: 3, events, incarnation: 5 });
    let guests = Some(GuestsAnswer { told, taken });
    agent.take(&SyncResponse {
        revision: 1,
        inventory_serial: None,
        operations: Vec::new(),
        guests,
        now: None,
    });
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

fn approval(id: &str) -> String {
    format!(r#"{{"StartRequests":[{{"EventId":"{id}"}}]}}"#)
}

#[tokio::test]
async fn a_guest_reads_its_own_events_and_nobody_else_s() {
    let rig = Rig::with_event();
    let own = rig.get(3).await;
    assert_eq!(status(&own), 200, "{own}");
    assert!(own.contains(r#""DocumentIncarnation":7"#) && own.contains(EVENT), "{own}");
    let other = rig.get(4).await;
    assert_eq!(status(&other), 200, "{other}");
    assert!(other.ends_with(r#"{"DocumentIncarnation":5,"Events":[]}"#), "{other}");
}

#[tokio::test]
async fn a_stranger_is_told_nothing_at_all() {
    let rig = Rig::with_event();
    for cid in [1, 2, 9] {
        for answer in [rig.get(cid).await, rig.post(cid, &approval(EVENT)).await] {
            assert_eq!(status(&answer), 403, "{answer}");
            assert!(!answer.contains("EventId") && !answer.contains("web-1"), "{answer}");
        }
    }
    assert_eq!(rig.acknowledged(), Vec::new());
}

#[tokio::test]
async fn another_guest_s_event_can_t_be_acknowledged_and_reads_as_one_that_does_not_exist() {
    let rig = Rig::with_event();
    let foreign = rig.post(4, &approval(EVENT)).await;
    let missing = rig.post(4, &approval("00000000-AFDC-4513-B24B-AA5F13A16123")).await;
    assert_eq!(status(&foreign), 400, "{foreign}");
    let without_date =
        |answer: &str| answer.lines().filter(|line| !line.starts_with("date")).collect::<String>();
    assert_eq!(without_date(&foreign).replace("C7061BAC", "00000000"), without_date(&missing));
    assert_eq!(rig.acknowledged(), Vec::new());
}

#[tokio::test]
async fn before_the_scheduler_has_spoken_there_is_no_answer_rather_than_no_event() {
    let rig = Rig::new();
    assert_eq!(status(&rig.get(3).await), 503);
    assert_eq!(status(&rig.post(3, &approval(EVENT)).await), 503);
}

#[tokio::test]
async fn what_azure_demands_of_a_request_is_demanded() {
    let rig = Rig::with_event();
    let path = "/metadata/scheduledevents";
    let cases = [
        (format!("GET {path}?api-version=2020-07-01"), "", 400, "Metadata: true"),
        (format!("GET {path}?api-version=2020-07-01"), "Metadata: false\r\n", 400, "Metadata: true"),
        (
            format!("GET {path}?api-version=2020-07-01"),
            "Metadata: true\r\nMetadata: false\r\n",
            400,
            "Metadata: true",
        ),
        (format!("GET {path}"), "Metadata: true\r\n", 400, "newest-versions"),
        (format!("GET {path}?api-version=1999-01-01"), "Metadata: true\r\n", 400, "newest-versions"),
        (
            format!("GET {path}?api-version=2020-07-01&api-version=2019-08-01"),
            "Metadata: true\r\n",
            400,
            "twice",
        ),
        (
            format!("GET {path}?api-version=2020-07-01"),
            "Metadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n",
            400,
            "proxy",
        ),
        ("GET /latest/meta-data?api-version=2020-07-01".to_owned(), "Metadata: true\r\n", 404, path),
        (format!("DELETE {path}?api-version=2020-07-01"), "Metadata: true\r\n", 405, "GET, POST"),
        (format!("GET {path}/?api-version=2021-06-01"), "metadata: True\r\n", 200, EVENT),
    ];
    for (line, headers, expected, words) in cases {
        // As many as a guest may ask at once, and more: each case has a rig's account to itself.
        let answer = rig.say(3, format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await;
        assert_eq!(
            (status(&answer), answer.contains(words)),
            (expected, true),
            "{line} {headers:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn an_acknowledgement_is_on_the_disk_before_the_guest_hears_of_it_and_outlives_the_agent() {
    let rig = Rig::with_event();
    let answer = rig.post(3, &approval(&EVENT.to_lowercase())).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let acknowledged = rig.acknowledged();
    assert_eq!(
        (acknowledged[0].server, acknowledged[0].event.to_string()),
        (server(1), EVENT.to_lowercase())
    );
    assert_eq!(acknowledged[0].not_before, "Mon, 19 Sep 2016 18:29:47 GMT");
    // A repeat is the same one.
    assert_eq!(status(&rig.post(3, &approval(EVENT)).await), 200);
    assert_eq!(rig.acknowledged(), acknowledged);
    let Rig { ledger, agent, desk, .. } = rig;
    drop((agent, desk));
    let agent = open(&ledger);
    assert_eq!(agent.request(Span::ZERO).guests.expect("asked").acknowledged, acknowledged);
    // Taken: nothing is left of it, neither in memory nor on the disk.
    take(&agent, None, acknowledged);
    assert_eq!(agent.request(Span::ZERO).guests.expect("asked").acknowledged, Vec::new());
    drop(agent);
    assert_eq!(open(&ledger).request(Span::ZERO).guests.expect("asked").acknowledged, Vec::new());
}

#[tokio::test]
async fn a_later_acknowledgement_is_not_forgotten_with_the_earlier_one_that_was_taken() {
    let rig = Rig::with_event();
    rig.post(3, &approval(EVENT)).await;
    let first = rig.acknowledged();
    // Another time was agreed meanwhile, and the guest is ready for that one as well.
    let moved = told(1, vec![event(EVENT, "web-1", "Tue, 20 Sep 2016 18:29:47 GMT")], GuestStart::Allowed);
    take(&rig.agent, Some(vec![moved]), Vec::new());
    rig.post(3, &approval(EVENT)).await;
    take(&rig.agent, None, first.clone());
    let left = rig.acknowledged();
    assert_eq!((left.len(), left[0].not_before.starts_with("Tue")), (1, true), "{left:?}");
    assert_ne!(left, first);
}

#[tokio::test]
async fn a_guest_that_may_only_read_is_told_so() {
    let rig = Rig::with_event();
    rig.told(GuestStart::Forbidden { why: "the operator's policy says so".to_owned() });
    let answer = rig.post(3, &approval(EVENT)).await;
    assert_eq!((status(&answer), answer.contains("policy says so")), (403, true), "{answer}");
    assert_eq!(rig.acknowledged(), Vec::new());
    assert_eq!(status(&rig.get(3).await), 200);
}

#[tokio::test]
async fn of_several_events_all_are_approved_or_none() {
    let rig = Rig::with_event();
    let both = format!(
        r#"{{"StartRequests":[{{"EventId":"{EVENT}"}},{{"EventId":"00000000-AFDC-4513-B24B-AA5F13A16123"}}]}}"#
    );
    let answer = rig.post(3, &both).await;
    assert_eq!((status(&answer), answer.contains("no event 00000000")), (400, true), "{answer}");
    assert_eq!(rig.acknowledged(), Vec::new());
}

#[tokio::test]
async fn a_body_that_makes_no_sense_is_answered_with_one_that_does() {
    let rig = Rig::with_event();
    for body in
        ["", "{", "[]", "null", r#"{"StartRequests":[]}"#, r#"{"StartRequests":[{"EventId":"7"}]}"#, "\u{0}"]
    {
        let answer = rig.post(3, body).await;
        assert_eq!((status(&answer), answer.contains("StartRequests")), (400, true), "{body:?}: {answer}");
    }
    let large = rig.post(3, &" ".repeat(5000)).await;
    assert_eq!((status(&large), large.contains("4096 bytes")), (413, true), "{large}");
    assert_eq!(rig.acknowledged(), Vec::new());
}

#[tokio::test]
async fn who_asks_too_often_waits_and_another_one_does_not() {
    let rig = Rig::with_event();
    let mut codes = Vec::new();
    for _ in 0..30 {
        codes.push(status(&rig.get(3).await));
    }
    assert!(codes.starts_with(&[200; 20]) && codes.contains(&429), "{codes:?}");
    assert_eq!(status(&rig.get(4).await), 200);
    // Thirty questions within a moment are one question to libvirt, or a few on a slow machine.
    assert!(rig.asked.load(Ordering::Relaxed) < 10);
}

#[tokio::test]
async fn without_libvirt_s_word_nobody_is_told_anything() {
    let rig = Rig::with_event();
    let away = || {
        let kind = hypervisor::RefusalKind::NoConnection;
        Err(hypervisor::Refusal::new(kind, "cannot connect"))
    };
    let rig = Rig { desk: Arc::new(Desk::new(Arc::clone(&rig.agent), Arc::new(away))), ..rig };
    let answer = rig.get(3).await;
    assert_eq!((status(&answer), answer.contains(EVENT)), (503, false), "{answer}");
}

#[tokio::test]
async fn a_guest_that_left_between_its_connection_and_its_acknowledgement_has_not_acknowledged() {
    let rig = Rig::with_event();
    let gone = AtomicU32::new(0);
    // Another domain has its vsock address when libvirt is asked the second time.
    let list = move || {
        let holder = if gone.fetch_add(1, Ordering::Relaxed) == 0 { 1 } else { 2 };
        Ok(vec![Attached { server: server(holder), interfaces: Vec::new(), cid: Some(3) }])
    };
    let rig = Rig { desk: Arc::new(Desk::new(Arc::clone(&rig.agent), Arc::new(list))), ..rig };
    assert_eq!(status(&rig.post(3, &approval(EVENT)).await), 403);
    assert_eq!(rig.acknowledged(), Vec::new());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_never_comes_to_an_end_is_cut_off() {
    let rig = Rig::with_event();
    for words in [
        "",
        "GET /metadata",
        "POST /metadata/scheduledevents HTTP/1.1\r\nMetadata: true\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let (mut here, there) = tokio::io::duplex(1024);
        let serving = tokio::spawn(Arc::clone(&rig.desk).serve(there, Caller::Vsock { cid: 3 }));
        here.write_all(words.as_bytes()).await.expect("taken");
        serving.await.expect("it has an end");
    }
}

#[tokio::test]
async fn over_vsock_the_kernel_says_who_calls() {
    use tokio_vsock::{VMADDR_CID_LOCAL, VsockAddr, VsockListener, VsockStream};
    // The port is this process's own: nobody else's test has its number.
    let port = std::process::id();
    let listener = match VsockListener::bind(VsockAddr::new(VMADDR_CID_LOCAL, port)) {
        Ok(listener) => listener,
        Err(error) => {
            println!("SKIPPED: vsock has no loopback here (module vsock_loopback): {error}");
            return;
        }
    };
    let rig = Rig::with_event();
    let local =
        || Ok(vec![Attached { server: server(1), interfaces: Vec::new(), cid: Some(VMADDR_CID_LOCAL) }]);
    let desk = Arc::new(Desk::new(Arc::clone(&rig.agent), Arc::new(local)));
    let accepting = tokio::spawn(async move {
        let (stream, from) = listener.accept().await.expect("accepted");
        desk.serve(stream, Caller::Vsock { cid: from.cid() }).await;
    });
    let mut stream = VsockStream::connect(VsockAddr::new(VMADDR_CID_LOCAL, port)).await.expect("connected");
    stream.write_all(GET.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(status(&answer) == 200 && answer.contains(EVENT), "{answer}");
    accepting.await.expect("no panic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_words_whatever_bring_another_s_events_or_a_panic(
        words in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            "(GET|POST|PUT) /metadata/scheduledevents(\\?[ -~]{0,40})? HTTP/1\\.[01]\r\n(Metadata: true\r\n)?([A-Za-z-]{1,12}: [ -~]{0,30}\r\n){0,6}\r\n[ -~]{0,80}"
                .prop_map(String::into_bytes),
        ]
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let rig = Rig::with_event();
            let (mut here, there) = tokio::io::duplex(64 * 1024);
            let serving = tokio::spawn(Arc::clone(&rig.desk).serve(there, Caller::Vsock { cid: 4 }));
            let _ = here.write_all(&words).await;
            let _ = here.shutdown().await;
            let answer = read_to_end(here).await;
            serving.await.expect("no panic");
            assert!(!answer.contains(EVENT) && !answer.contains("web-1"), "{answer}");
            assert_eq!(rig.acknowledged(), Vec::new());
        });
    }
}
