//! Fetching mails from a real mailbox: Dovecot, in a process namespace of its own, on loopback.
//!
//! Needs root and the packages that tests/lab/install.sh installs. Where they are missing, each test says SKIPPED and why.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dovecot::Dovecot;
use drover_notifier::TlsMode;
use drover_policies::time::Span;
use drover_scheduler::incoming::{ImapConfig, ImapError, Spool, fetch, keep_fetching};

#[path = "common/dovecot.rs"]
mod dovecot;

const LARGEST: u64 = 10_000;

impl Dovecot {
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

const MAIL: &str = "From: ada@acme.example\nTo: reply@cloud.example\nSubject: x\n\naccept\n";

#[tokio::test]
async fn mails_are_taken_once_over_every_kind_of_connection() {
    let Some(server) = Dovecot::start() else { return };
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
    let Some(server) = Dovecot::start() else { return };
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
    let Some(server) = Dovecot::start() else { return };
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
    let Some(server) = Dovecot::start() else { return };
    let spool = server.spool();
    fs::write(server.path("wrong-password"), "wrong\n").expect("written");
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
    let Some(server) = Dovecot::start() else { return };
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
