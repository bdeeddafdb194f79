//! A real Request Tracker of one's own: its database and everything else in a directory that goes away with it.
//!
//! Needs root and the packages that tests/lab/install.sh installs. Where they are missing, each test says SKIPPED and why.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

const SETUP: &str = "/usr/sbin/rt-setup-database-5";
const SERVER: &str = "/usr/share/request-tracker5/libexec/rt-server";
const GATE: &str = "/usr/bin/rt-mailgate-5";
const CONFIG: &str = include_str!("site_config.pm");
const SEED: &str = include_str!("seed.pl");

/// In a process namespace of its own: when its first process ends, so does every other one. That one waits for the end of its input,
/// which comes even when the test is killed.
const START: &str = "\"$0\" \"$@\" & cat >/dev/null";

pub struct RequestTracker {
    process: Child,
    directory: tempfile::TempDir,
    pub url: String,
}

impl Drop for RequestTracker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Several seconds go into starting one, so tests that run at the same time have it together. The last one ends it.
static SHARED: Mutex<Weak<RequestTracker>> = Mutex::new(Weak::new());

impl RequestTracker {
    /// Nothing, said aloud, where this machine can't run one.
    pub fn start() -> Option<Arc<Self>> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let there = Path::new(SETUP).exists() && Path::new(SERVER).exists();
        let why = match (there, root) {
            (true, true) => return Some(Self::shared()),
            (false, _) => "there is no Request Tracker; tests/lab/install.sh installs request-tracker5",
            (true, false) => "a Request Tracker of one's own needs root",
        };
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!("SKIPPED: {why} ({count} so far in this run)");
        None
    }

    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::started());
        *shared = Arc::downgrade(&started);
        started
    }

    fn started() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        for folder in ["var/mason", "var/session", "tmp"] {
            fs::create_dir_all(path.join(folder)).expect("created");
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let config =
            CONFIG.replace("@DIR@", &path.display().to_string()).replace("@PORT@", &port.to_string());
        fs::write(path.join("config.pm"), config).expect("written");
        fs::write(path.join("seed.pl"), SEED).expect("written");
        output(path, Command::new(SETUP).args(["--action", "init", "--skip-create"]));
        let token = output(path, Command::new("perl").arg(path.join("seed.pl")));
        for (file, secret) in [("token", token.as_str()), ("password", "drover-password")] {
            fs::write(path.join(file), format!("{secret}\n")).expect("written");
        }
        let log = fs::File::create(path.join("log")).expect("created");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", START, SERVER])
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--max-workers", "4"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let process = own(path, &mut command).spawn().expect("unshare runs");
        let tracker = Self { process, directory, url: format!("http://127.0.0.1:{port}") };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(tracker.file("log")).unwrap_or_default();
            assert!(Instant::now() < until, "Request Tracker does not listen after 30 s; it says:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        tracker
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Takes in a mail as a mail server would give it one.
    pub fn receives(&self, mail: &[u8]) {
        let mut gate = Command::new(GATE)
            .args(["--queue", "General", "--action", "correspond", "--url", &self.url])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it runs");
        gate.stdin.take().expect("piped").write_all(mail).expect("taken");
        assert!(gate.wait().expect("it ends").success(), "the mail was refused");
    }

    /// Asks it as one of its people.
    pub async fn get(&self, who: &str, path: &str) -> Value {
        let request = reqwest::Client::new().get(format!("{}/REST/2.0/{path}", self.url));
        answer(request, who).await
    }

    /// Has one of its people do something.
    pub async fn send(&self, who: &str, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new().request(method, format!("{}/REST/2.0/{path}", self.url));
        answer(request.json(body), who).await
    }

    /// Has one of its people write into a ticket; answers the transaction's number.
    pub async fn writes(&self, who: &str, ticket: u64, text: &str) -> u64 {
        let body = serde_json::json!({ "Content": text, "ContentType": "text/plain" });
        self.send(who, reqwest::Method::POST, &format!("ticket/{ticket}/correspond"), &body).await;
        let newest = self
            .get("root", &format!("ticket/{ticket}/history?orderby=id&order=DESC&per_page=20&fields=Type"))
            .await;
        newest["items"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|entry| entry["Type"] == "Correspond")
            .and_then(|entry| entry["id"].as_str()?.parse().ok())
            .expect("it is in the history")
    }
}

async fn answer(request: reqwest::RequestBuilder, who: &str) -> Value {
    let name = who.split('@').next().unwrap_or(who);
    let password = if who == "root" { "password".to_owned() } else { format!("{name}-password") };
    let response = request.basic_auth(who, Some(password)).send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a text");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// With the settings of this one, none of the machine's.
fn own<'a>(directory: &Path, command: &'a mut Command) -> &'a mut Command {
    command
        .env("RT_SITE_CONFIG", directory.join("config.pm"))
        .env("RT_SITE_CONFIG_DIR", "/dev/null")
        .env("TMPDIR", directory.join("tmp"))
}

fn output(directory: &Path, command: &mut Command) -> String {
    let output = own(directory, command).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
