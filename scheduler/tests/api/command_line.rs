//! The program itself against a scheduler that listens.

use std::process::{Output, Stdio};
use std::time::Duration;

use drover_policies::ids::IdSource;
use drover_policies::replica::RoundKind;
use drover_scheduler::clock::RandomIds;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::fixture::Api;
use crate::operating::arrives;
use crate::replicas::{in_a_round, prepared, resting, tells};
use crate::test_launches::{answers, running};

pub struct Served {
    pub api: Api,
    url: String,
}

impl Served {
    pub async fn new() -> Self {
        Self::of(Api::new().await).await
    }

    async fn of(api: Api) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = drover_scheduler::http::router(api.app.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { api, url }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
        command
            .args(args)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TZ", "UTC")
            .env("DROVER_URL", &self.url)
            .env("DROVER_TOKEN", &self.api.operator)
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().await.expect("it runs")
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_its_documented_exit_code() {
    let served = Served::new().await;
    for (args, expected) in [
        (&["hosts", "list"][..], 0),
        (&["drain", "h1"], 2),
        (&["drain", "h9", "--reason", "x"], 1),
        (&["hosts", "show", "h9"], 5),
        (&["--token", "drv_op_wrong", "hosts", "list"], 4),
        (&["--url", "http://127.0.0.1:9", "hosts", "list"], 3),
        (&["reschedule", "DR-1", "--to", "tomorrow"], 2),
        (&["policy", "check", "/nonexistent.toml"], 2),
    ] {
        let output = served.run(args).await;
        assert_eq!(code(&output), expected, "{args:?}: {}", text(&output.stderr));
        assert!(expected == 0 || !output.stderr.is_empty(), "{args:?} ends without a word");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_read_as_tables_in_a_pipe_and_as_json_for_programs() {
    let served = Served::new().await;
    let output = served.run(&["servers", "list"]).await;
    let table = text(&output.stdout);
    assert!(table.starts_with("SERVER"), "{table}");
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(!table.contains('\u{1b}'), "no colour in a pipe");
    let output = served.run(&["servers", "list", "--json", "--limit", "4"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["items"].as_array().expect("items").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_answered_with_the_right_name() {
    let served = Served::new().await;
    let output = served.run(&["explain", "wed"]).await;
    assert_eq!(code(&output), 5);
    assert!(text(&output.stderr).contains("Did you mean web?"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_of_a_drain_can_be_read() {
    let served = Served::new().await;
    let output =
        served.run(&["drain", "h1", "--reason", "kernel-update", "--deadline", "30d", "--dry-run"]).await;
    assert!(text(&output.stdout).contains("Nothing was changed"), "{}", text(&output.stdout));
    let draft =
        ["maintenance", "draft", "--all", "--kind", "patch", "--reason", "kernel-update", "--dry-run"];
    let draft = [&draft[..], &["--no-hooks", "--bandwidth", "100MiB"]].concat();
    let draft = text(&served.run(&draft).await.stdout);
    for said in ["BEGINS AFTER", "the least possible", "at most 100 MiB/s", "Nothing was stored"] {
        assert!(draft.contains(said), "{said}: {draft}");
    }
    served.api.drain_h1().await;
    let number = served.api.migration_of("db").await["number"].to_string();
    let number = number.as_str();
    for (args, said) in [
        (&["maintenance", "list"][..], "MT-1"),
        (&["maintenance", "show", "MT-1"], "Waiting:"),
        (&["maintenance", "plan", "MT-1"], "owner_forbids"),
        (&["migrations", "list"], "transferring"),
        (&["migrations", "show", number], "Other times: drover migrations slots"),
        (&["migrations", "slots", number], "Choose one with: drover reschedule"),
        (&["tickets", "list"], "proposed"),
        (&["tickets", "show", number], "proposed"),
        (&["hosts", "show", "h1"], "draining"),
        (&["servers", "show", "db"], "forbidden by its owner"),
        (&["explain", "stuck"], "not_replicating"),
        (&["events", "--maintenance", "MT-1"], "asked to empty h1"),
        (&["policy", "show"], "live.allowed"),
        (&["owners", "list"], "drover owners set"),
        (&["windows", "list"], "default ones"),
        (
            &["windows", "add", "--owner", "acme", "--cron", "0 2 * * 0", "--duration", "4h", "--dry-run"],
            "Nothing was added.",
        ),
        (
            &[
                "windows",
                "add",
                "--owner",
                "acme",
                "--server",
                "web",
                "--from",
                "2027-01-20 02:00",
                "--to",
                "2027-01-20 06:00",
            ],
            "Added ",
        ),
        (&["windows", "list"], "once, "),
        (&["freezes", "list"], "No freeze is set"),
        (
            &["freezes", "add", "a sale", "--owner", "acme", "--from", "2026-01-12", "--to", "2026-01-13"],
            "nothing happens ",
        ),
        (&["freezes", "list"], "in force"),
        (&["limits", "list"], "No limit is set"),
        (&["limits", "set", "1", "--owner", "acme"], "at most 1 at once for all servers"),
        (&["limits", "set", "2", "--owner", "acme"], "at most 2 at once for all servers"),
        (&["checks", "list"], "No check is set"),
        (&["checks", "add", "shop", "--owner", "acme", "--http", "/health", "--tls"], "https 443 /health"),
        (&["checks", "list"], "https 443 /health"),
        (
            &["explain", "db"],
            "Looked at after a move: shop (HTTPS /health at port 443, within 2m; its owner's, for the account)",
        ),
        (&["explain", "db"], "has failed after a move, it waits to be confirmed or reverted"),
        (
            &["explain", "db", "--at", "2026-01-13 02:00"],
            "nothing is done then: a sale (a freeze of its owner for the whole account) [excluded]",
        ),
        (&["explain", "db"], "At most 2 at once (all servers)"),
        (&["reschedule", number, "--slots"], "It must be over by "),
        (&["decline", number], "proposed"),
        (&["tokens", "list"], "operator"),
        (&["doctor"], "what to do:"),
        (&["approve", number], "accepted by operator ada"),
        (&["maintenance", "pause", "1"], "paused"),
        (&["maintenance", "resume", "1"], "goes on"),
        (&["maintenance", "cancel", "1"], "cancelled"),
    ] {
        let output = served.run(args).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let said = if args[1..] == ["list"] && args[0] == "migrations" { "preflight" } else { said };
        assert!(out.contains(said), "{args:?} should say {said:?}: {out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_read_from_a_file_that_is_one() {
    let served = Served::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let day = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20260112\r\nEND:VEVENT\r\n";
    let good = file("good.ics", &format!("BEGIN:VCALENDAR\r\n{day}END:VCALENDAR\r\n"));
    let huge = file("huge.ics", &format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", day.repeat(800_000)));
    let page = file("page.ics", "<html></html>");
    for (path, expected, said) in [
        (good, 0, "nothing happens "),
        (huge, 2, "it is longer than 1048576 bytes"),
        (page, 1, "field calendar: this is no iCalendar file"),
        ("/nowhere".to_owned(), 2, "No such file"),
    ] {
        let output = served.run(&["freezes", "add", "launches", "--owner", "acme", "--file", &path]).await;
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!((code(&output), told.contains(said)), (expected, true), "{path}: {told}");
    }
    let both =
        served.run(&["freezes", "add", "x", "--from", "2026-01-12", "--fetch", "https://x.example"]).await;
    assert_eq!(code(&both), 2, "one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_tells_the_story_and_ends_when_libvirt_says_that_the_host_is_empty() {
    let served = Served::new().await;
    let waiting = served
        .command(&["drain", "h4", "--reason", "disk", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let waiting = tokio::spawn(waiting.wait_with_output());
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        served.api.look().await;
        served.api.confirm_empty("h4").await;
        if waiting.is_finished() {
            break;
        }
    }
    let output = waiting.await.expect("it ended").expect("it ran");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), 0, "{out}{err}");
    for said in ["asked to empty h4 for disk", "h4: confirmed empty by its libvirt", "MT-1 completed"] {
        assert!(out.contains(said), "{said}: {out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_only_a_person_can_end_ends_with_its_own_code() {
    let served = Served::new().await;
    let begun = served.run(&["drain", "h2", "--reason", "disk"]).await;
    assert_eq!(code(&begun), 0, "{}", text(&begun.stderr));
    served.api.look().await;
    let output = served.run(&["maintenance", "watch", "MT-1"]).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), 6, "{out}{err}");
    assert!(out.contains("stuck") && out.contains("the agent of h2 copies none"), "{out}");
    assert!(
        err.contains("1 server left that need") && err.contains("drover maintenance watch MT-1"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_printed_alone_so_that_it_can_go_into_a_file() {
    let served = Served::new().await;
    let output = served.run(&["tokens", "create", "agent", "h2"]).await;
    let secret = text(&output.stdout);
    assert!(secret.starts_with("drv_ag_") && secret.trim().len() == 7 + 64, "{secret}");
    assert!(text(&output.stderr).contains("shown once"));
    let folder = std::env::temp_dir().join(format!("drover-{}", RandomIds.next()));
    std::fs::write(&folder, &secret).expect("written");
    let mut command = served.command(&["--token-file", folder.to_str().expect("text"), "hosts", "list"]);
    let output = command.env_remove("DROVER_TOKEN").output().await.expect("it runs");
    std::fs::remove_file(&folder).expect("removed");
    assert_eq!(code(&output), 4, "an agent's token is of the wrong kind");
    assert!(text(&output.stderr).contains("operator's token"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_read_well_on_eighty_columns_and_as_json() {
    let served = Served::of(Api::replicating().await).await;
    let number = prepared(&served.api).await;
    tells(&served.api, in_a_round(RoundKind::Initial, 0)).await;
    let list = text(&served.run(&["replicas", "list"]).await.stdout);
    let [header, row] = list.lines().collect::<Vec<_>>()[..] else { panic!("one row: {list}") };
    assert_eq!(
        header.split_whitespace().collect::<Vec<_>>(),
        ["NUMBER", "SERVER", "STATE", "LAG", "BEHIND", "RATE", "FROM", "TO"]
    );
    assert!(row.contains("initial sync 43 %") && row.contains("110 MiB/s"), "{row}");
    let shown = text(&served.run(&["migrations", "show", &number]).await.stdout);
    assert!(shown.contains("initial: 43 %, 430 MiB of 1000 MiB at 110 MiB/s, about 6.0 s left"), "{shown}");
    assert!(shown.contains("ready  not yet"), "{shown}");

    tells(&served.api, resting()).await;
    let listed = text(&served.run(&["migrations", "list"]).await.stdout);
    assert!(listed.lines().next().is_some_and(|header| header.contains("LAG")), "{listed}");
    let shown = text(&served.run(&["replicas", "show", &number]).await.stdout);
    for said in [
        "copy          continuous data replication",
        "ready         yes",
        "lag           12 s, 4 MiB",
        "2, incremental: 40 MiB written, 41 MiB sent in 410 ms",
        "final delta 4 MiB in about",
        "vdb   raw",
        "Sync now: drover replicas sync DR-",
    ] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    for screen in [&list, &shown] {
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    }
    let json = served.run(&["replicas", "show", &number, "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&json["state"], &json["lag_seconds"]), (&"continuous".into(), &12.into()));

    for (command, said) in [("sync", "is done next"), ("pause", "is paused"), ("resume", "goes on")] {
        let output = served.run(&["replicas", command, &number]).await;
        assert!(text(&output.stdout).contains(said), "{output:?}");
    }
    tells(&served.api, in_a_round(RoundKind::Incremental, 2)).await;
    let refused = served.run(&["replicas", "sync", &number]).await;
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("43 %"), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_launch_is_asked_for_read_judged_and_ended() {
    let served = Served::of(Api::replicating().await).await;
    let none = served.run(&["test", "launch", "stuck"]).await;
    assert_eq!(code(&none), 1, "{none:?}");
    assert!(text(&none.stderr).contains("drover replicas list"), "{}", text(&none.stderr));

    let number = prepared(&served.api).await;
    tells(&served.api, resting()).await;
    let launched = text(&served.run(&["test", "launch", "stuck"]).await.stdout);
    assert!(launched.contains(&format!("drover test show {number}")), "{launched}");
    served.api.look().await;
    let early = served.run(&["test", "launch", "stuck"]).await;
    assert_eq!(code(&early), 1);
    assert!(text(&early.stderr).contains("cleaning up"), "what it does is told: {}", text(&early.stderr));
    answers(&served.api, running()).await;
    let shown = text(&served.run(&["test", "show", &number]).await.stdout);
    for said in [
        "State    running",
        "Guest    stuck-test",
        "Alive    yes",
        "its guest agent answers, 23 s after its start",
        "Checks   not looked at",
        "Console  vnc://127.0.0.1:5901",
    ] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    let replica = text(&served.run(&["replicas", "show", &number]).await.stdout);
    assert!(replica.contains("answers 23 s after its start, as in its test"), "{replica}");
    let json = served.run(&["test", "show", "stuck", "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["test"]["answered_after_ms"], 23_000, "{json}");
    let judged = [("failed", "drover reschedule DR-"), ("passed", "noted"), ("end", "is being ended")];
    for (verb, said) in judged {
        let output = served.run(&["test", verb, "stuck"]).await;
        assert!(text(&output.stdout).contains(said), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_is_set_in_parts_read_and_cleared() {
    let served = Served::new().await;
    let none = text(&served.run(&["blueprint", "show", "db"]).await.stdout);
    assert!(none.contains("drover blueprint set db --memory 4GiB"), "{none}");
    served.run(&["blueprint", "set", "db", "--memory", "4GiB"]).await;
    let set = text(&served.run(&["blueprint", "set", "db", "--boot", "later"]).await.stdout);
    assert!(set.contains("memory 4 GiB, left off"), "what is not named stays: {set}");
    for (wrong, expected, says) in [
        (["--memory", "4GB"], 2, "write whole MiB or GiB"),
        (["--network", "br0"], 2, "br0=br1"),
        (["--vcpus", "0"], 1, "write 1 to 1024"),
    ] {
        let refused = served.run(&[&["blueprint", "set", "db"], wrong.as_slice()].concat()).await;
        assert_eq!(code(&refused), expected, "{refused:?}");
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
    }
    let json = served.run(&["blueprint", "show", "db", "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["blueprint"]["memory_bytes"], 4_u64 << 30, "{json}");
    let cleared = text(&served.run(&["blueprint", "clear", "db"]).await.stdout);
    assert_eq!(cleared, "Cleared: db stays as it is.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_taken_back_once_it_has_moved_and_nobody_is_there_to_be_asked_only_with_yes() {
    let mut served = Served::new().await;
    served.run(&["migrate-now", "db", "--yes"]).await;
    let number = format!("DR-{}", served.api.migration_of("db").await["number"]);
    let early = served.run(&["revert", &number, "--yes"]).await;
    assert_eq!(code(&early), 1, "{early:?}");
    arrives(&mut served.api).await;
    let unasked = served.run(&["revert", &number]).await;
    assert_ne!(code(&unasked), 0, "{unasked:?}");
    assert!(text(&unasked.stderr).contains("--yes"), "{}", text(&unasked.stderr));
    assert_eq!(served.api.migration_of("db").await["state"], "completed");
    let back = served.run(&["revert", &number, "--yes"]).await;
    assert_eq!(code(&back), 0, "{back:?}");
    let shown = text(&served.run(&["migrations", "show", &number]).await.stdout);
    assert!(shown.contains("reverting"), "{shown}");
}
