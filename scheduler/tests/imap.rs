//! Fetching mails from a real mailbox: Dovecot, in a process namespace of its own, on loopback.
//!
//! Needs root and the packages that tests/lab/install.sh installs. Where they are missing, each test says SKIPPED and why.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drover_notifier::TlsMode;
use drover_policies::time::Span;
use drover_scheduler::incoming::{ImapConfig, ImapError, Spool, fetch, keep_fetching};

const DOVECOT: &str = "/usr/sbin/dovecot";
const LARGEST: u64 = 10_000;

/// Everybody with this password is the one user, whose mails belong to nobody.
const CONFIG: &str = "
base_dir = @DIR@/run
log_path = @DIR@/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem
disable_plaintext_auth = no
mail_location = maildir:@DIR@/mail
first_valid_uid = 1
passdb {
  driver = static
  args = password=right
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=@DIR@/home
}
namespace inbox {
  inbox = yes
  mailbox Taken {
    auto = create
  }
}
service imap-login {
  inet_listener imap {
    port = @CLEAR@
  }
  inet_listener imaps {
    port = @IMPLICIT@
    ssl = yes
  }
}
";

struct Server {
    /// Killing it ends the namespace's first process, and with that every other one in there.
    process: Child,
    directory: tempfile::TempDir,
    clear: u16,
    implicit: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Server {
    /// Nothing, said aloud, where this machine can't run one.
    fn start() -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let why = match (root, Path::new(DOVECOT).exists() && Path::new("/usr/lib/dovecot/imap").exists()) {
            (true, true) => return Some(Self::started()),
            (_, false) => "there is no Dovecot with IMAP; tests/lab/install.sh installs dovecot-imapd",
            (false, _) => "a mailbox server of one's own needs root",
        };
        eprintln!("SKIPPED: {why}");
        None
    }

    fn started() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opened for the server's users");
        for folder in ["mail", "mail/tmp", "mail/new", "mail/cur", "home"] {
            fs::create_dir(path.join(folder)).expect("created");
            fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o777)).expect("opened");
        }
        certificate(path);
        fs::write(path.join("password"), "right\n").expect("written");
        fs::write(path.join("wrong-password"), "wrong\n").expect("written");
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [clear, implicit] = listeners.each_ref().map(|l| l.local_addr().expect("bound").port());
        drop(listeners);
        let config = CONFIG
            .replace("@DIR@", &path.display().to_string())
            .replace("@CLEAR@", &clear.to_string())
            .replace("@IMPLICIT@", &implicit.to_string());
        fs::write(path.join("dovecot.conf"), config).expect("written");
        let output = fs::File::create(path.join("output")).expect("created");
        let process = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", DOVECOT, "-F", "-c"])
            .arg(path.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("unshare runs");
        let server = Self { process, directory, clear, implicit };
        server.wait_until("it listens", || {
            [clear, implicit].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !done() {
            let said = ["output", "log"].map(|name| fs::read_to_string(self.path(name)).unwrap_or_default());
            assert!(
                Instant::now() < until,
                "waited for 30 s until {what}; the server says:\n{}",
                said.concat()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As a mail server would put it there.
    fn receive(&self, name: &str, text: &str) {
        let half = self.path("mail/tmp").join(name);
        fs::write(&half, text).expect("written");
        fs::set_permissions(&half, fs::Permissions::from_mode(0o666)).expect("opened");
        fs::rename(half, self.path("mail/new").join(name)).expect("delivered");
    }

    fn count(&self, folder: &str) -> usize {
        ["new", "cur"]
            .iter()
            .map(|part| fs::read_dir(self.path(folder).join(part)).map(Iterator::count).unwrap_or_default())
            .sum()
    }

    fn config(&self, tls: TlsMode) -> ImapConfig {
        ImapConfig {
            host: "127.0.0.1".to_owned(),
            port: Some(if tls == TlsMode::Implicit { self.implicit } else { self.clear }),
            tls,
            ca_file: (tls != TlsMode::None).then(|| self.path("cert.pem")),
            user: "reply".to_owned(),
            password_file: self.path("password"),
            folder: "INBOX".to_owned(),
            done: None,
            every: Span::minutes(1),
        }
    }

    fn spool(&self) -> Spool {
        Spool::open(&self.path("spool")).expect("a spool")
    }
}

fn certificate(path: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(path)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const MAIL: &str = "From: ada@acme.example\nTo: reply@cloud.example\nSubject: x\n\naccept\n";

#[tokio::test]
async fn mails_are_taken_once_over_every_kind_of_connection() {
    let Some(server) = Server::start() else { return };
    let spool = server.spool();
    for (index, tls) in [TlsMode::None, TlsMode::Starttls, TlsMode::Implicit].into_iter().enumerate() {
        let config = server.config(tls);
        assert_eq!(config.check(), Vec::<String>::new());
        server.receive(&format!("1.{index}.a"), MAIL);
        server.receive(&format!("2.{index}.b"), MAIL);
        assert_eq!(fetch(&config, &spool, LARGEST).await.expect("fetched"), 2, "{tls:?}");
        assert_eq!(server.count("mail"), 0);
        assert_eq!(fetch(&config, &spool, LARGEST).await.expect("nothing there"), 0);
        assert_eq!(spool.waiting().expect("read").len(), (index + 1) * 2);
    }
    let first = spool.waiting().expect("read").remove(0);
    let raw = spool.read(&first).expect("read").expect("there");
    assert_eq!(String::from_utf8(raw).expect("text").replace("\r\n", "\n"), MAIL);
}

#[tokio::test]
async fn a_mail_that_was_stored_before_the_connection_broke_off_is_not_stored_again() {
    let Some(server) = Server::start() else { return };
    let spool = server.spool();
    server.receive("1.a", MAIL);
    // It breaks off after the mail is in the spool, and before it is away from the mailbox.
    let broken = ImapConfig { done: Some("No such folder".to_owned()), ..server.config(TlsMode::Implicit) };
    let error = fetch(&broken, &spool, LARGEST).await.expect_err("there is no such folder");
    assert!(
        matches!(error, ImapError::Refused { what: "COPY to the folder of taken mails", .. }),
        "{error:?}"
    );
    assert_eq!((spool.waiting().expect("read").len(), server.count("mail")), (1, 1));
    let done = ImapConfig { done: Some("Taken".to_owned()), ..server.config(TlsMode::Implicit) };
    assert_eq!(fetch(&done, &spool, LARGEST).await.expect("fetched"), 0);
    assert_eq!(
        (spool.waiting().expect("read").len(), server.count("mail"), server.count("mail/.Taken")),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_flagged_and_left_and_keeps_nobody_waiting() {
    let Some(server) = Server::start() else { return };
    let spool = server.spool();
    server.receive("1.a", &format!("{MAIL}{}\n", "x".repeat(20_000)));
    server.receive("2.b", MAIL);
    let config = server.config(TlsMode::Implicit);
    for taken in [1, 0] {
        assert_eq!(fetch(&config, &spool, LARGEST).await.expect("fetched"), taken);
    }
    assert_eq!((spool.waiting().expect("read").len(), server.count("mail")), (1, 1));
}

#[tokio::test]
async fn a_wrong_password_and_a_certificate_of_somebody_else_are_told() {
    let Some(server) = Server::start() else { return };
    let spool = server.spool();
    let wrong =
        ImapConfig { password_file: server.path("wrong-password"), ..server.config(TlsMode::Implicit) };
    let error = fetch(&wrong, &spool, LARGEST).await.expect_err("refused");
    assert!(matches!(error, ImapError::Refused { what: "the login", .. }), "{error:?}");
    let unknown = ImapConfig { ca_file: None, ..server.config(TlsMode::Implicit) };
    let error = fetch(&unknown, &spool, LARGEST).await.expect_err("refused");
    assert!(matches!(error, ImapError::Connection { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_comes_while_nothing_is_asked_is_told_by_the_server() {
    let Some(server) = Server::start() else { return };
    let spool = server.spool();
    let config = server.config(TlsMode::Implicit);
    let fetching = {
        let (config, spool) = (config.clone(), spool.clone());
        tokio::spawn(async move { keep_fetching(&config, &spool, LARGEST).await })
    };
    for count in 1..=2 {
        server.receive(&format!("{count}.a"), MAIL);
        let (server, spool) = (&server, &spool);
        tokio::task::block_in_place(|| {
            server.wait_until("the mail is in the spool", || {
                spool.waiting().is_ok_and(|waiting| waiting.len() == count) && server.count("mail") == 0
            });
        });
    }
    fetching.abort();
}

#[test]
fn settings_that_can_not_work_are_refused_by_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ImapConfig {
        host: "imap.cloud.example".to_owned(),
        port: None,
        tls: TlsMode::None,
        ca_file: Some(folder.path().join("no-ca.pem")),
        user: "reply".to_owned(),
        password_file: folder.path().join("no-password"),
        folder: "INBOX".to_owned(),
        done: Some("INBOX".to_owned()),
        every: Span::seconds(1),
    };
    let wrong = config.check();
    for (wrong, says) in wrong.iter().zip([
        "tls \"none\" would send the password in clear to imap.cloud.example",
        "every 1s is too often; write at least 5s",
        "done is the folder that is read; name another one",
        "password_file ",
        "ca_file ",
    ]) {
        assert!(wrong.starts_with(says), "{wrong}");
    }
    assert_eq!(wrong.len(), 5, "{wrong:?}");
}
