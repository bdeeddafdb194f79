//! Delivery to a real mail server: OpenSMTPD, in a mount and a process namespace of its own, which delivers into a maildir.
//!
//! Needs root and the packages that tests/lab/install.sh installs. Where they are missing, each test says SKIPPED and why.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drover_notifier::calendar::Standing;
use drover_notifier::samples::{Sample, samples};
use drover_notifier::{Channel, Delivery, Letterhead, Mail, Renderer, Sender, SmtpConfig, TlsMode};
use drover_policies::ids::NoticeId;
use drover_policies::time::Span;
use mail_parser::MessageParser;
use opensmtpd::{MailServer, skipped};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[path = "common/opensmtpd.rs"]
mod opensmtpd;

/// Refuses one recipient for now and one for good; knows one account for logging in.
const CONFIG: &str = r#"
table everybody { "@example.org" = "nobody" }
table accounts file:@DIR@/accounts
table later { "later@example.org" }
table never { "never@example.org" }
pki server cert "@DIR@/cert.pem"
pki server key "@DIR@/key.pem"
filter later phase rcpt-to match rcpt-to <later> reject "451 4.7.1 Greylisted, come back later"
filter never phase rcpt-to match rcpt-to <never> reject "550 5.1.1 No such user here"
filter all chain { later, never }
listen on 127.0.0.1 port @CLEAR@ hostname mail.example.org filter all
listen on 127.0.0.1 port @STARTTLS@ tls-require pki server auth <accounts> hostname mail.example.org filter all
action "store" maildir "@DIR@/mail" virtual <everybody>
match from any for domain "example.org" action "store"
"#;

impl MailServer {
    /// What has arrived, once there are this many.
    fn arrived(&self, count: usize) -> Vec<Vec<u8>> {
        let new = self.file("mail/new");
        let entries = || fs::read_dir(&new).map(|d| d.flatten().collect::<Vec<_>>()).unwrap_or_default();
        self.wait_until("the mails have arrived", || entries().len() >= count);
        // One too many would come right behind.
        std::thread::sleep(Duration::from_millis(300));
        entries().iter().map(|e| fs::read(e.path()).expect("readable")).collect()
    }

    fn config(&self) -> SmtpConfig {
        SmtpConfig {
            host: "127.0.0.1".to_owned(),
            port: Some(self.clear),
            tls: TlsMode::None,
            ca_file: None,
            user: None,
            password_file: None,
            timeout: Span::seconds(15),
            hello: Some("drover.cloud.example".to_owned()),
        }
    }
}

fn sample(name: &str, notice: u128, to: &[&str]) -> Sample {
    let mut found =
        samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name");
    found.notice.id = NoticeId(uuid::Uuid::from_u128(notice));
    found.contact.mail = to.iter().map(|&address| address.to_owned()).collect();
    found
}

fn mail(sample: &Sample) -> Mail {
    let renderer = Renderer::new(None).expect("sound templates");
    let message = renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered");
    let sender = Sender { from: "Example Cloud <maintenance@cloud.example>".to_owned(), reply_to: None };
    let letterhead =
        Letterhead { sender: &sender, links: &sample.links, standing: Standing::default(), answers: None };
    Mail::new(&message, &sample.notice, &sample.contact, &letterhead).expect("a mail")
}

fn assert_delivered(delivery: &Delivery) {
    assert!(matches!(delivery, Delivery::Delivered { refused, .. } if refused.is_empty()), "{delivery:?}");
}

#[tokio::test]
async fn mails_of_one_ticket_arrive_whole_and_in_one_thread() {
    let Some(server) = MailServer::start(CONFIG) else { return };
    let channel = Channel::Smtp(server.config());
    assert_eq!(channel.check(), Vec::<String>::new());
    let mut opening = sample("proposed", 0x2a, &["ada@example.org"]);
    opening.notice.ticket.server_name = "Büro 東京\r\nBcc: thief@example.org".to_owned();
    assert_delivered(&channel.open().deliver(&mail(&opening)).await);
    assert_delivered(&channel.open().deliver(&mail(&sample("done", 0x2b, &["ada@example.org"]))).await);

    let arrived = server.arrived(2);
    assert_eq!(arrived.len(), 2);
    let parsed: Vec<_> =
        arrived.iter().map(|bytes| MessageParser::default().parse(bytes).expect("a mail")).collect();
    let mut ids: Vec<_> = parsed.iter().filter_map(|m| m.message_id()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            "notice.00000000-0000-0000-0000-00000000002a@cloud.example",
            "notice.00000000-0000-0000-0000-00000000002b@cloud.example"
        ]
    );
    for mail in &parsed {
        let thread = "ticket.00000000-0000-0000-0000-000000000007@cloud.example";
        assert_eq!(mail.references().as_text(), Some(thread));
        assert_eq!(mail.in_reply_to().as_text(), Some(thread));
        assert_eq!(mail.return_path().as_text(), Some("maintenance@cloud.example"));
        assert!(mail.body_html(0).expect("html").contains("</html>"));
        assert!(mail.bcc().is_none());
    }
    let subjects: Vec<_> = parsed.iter().filter_map(|m| m.subject()).collect();
    assert!(
        subjects.contains(&"[ACTION REQUIRED] Server Migration: Büro 東京 Bcc: thief@example.org [DR-1042]"),
        "{subjects:?}"
    );
}

#[tokio::test]
async fn a_temporary_refusal_is_tried_again_and_a_permanent_one_is_not() {
    let Some(server) = MailServer::start(CONFIG) else { return };
    let channel = Channel::Smtp(server.config());
    let greylisted = channel.open().deliver(&mail(&sample("done", 1, &["later@example.org"]))).await;
    let Delivery::Retry { why, left, refused } = &greylisted else { panic!("{greylisted:?}") };
    assert!(why.contains("Greylisted, come back later"), "{why}");
    assert_eq!((left.as_slice(), refused.as_slice()), (&["later@example.org".to_owned()][..], &[][..]));

    let unknown = channel.open().deliver(&mail(&sample("done", 2, &["never@example.org"]))).await;
    assert!(matches!(&unknown, Delivery::Fail { why } if why.contains("No such user here")), "{unknown:?}");
}

#[tokio::test]
async fn each_recipient_is_answered_on_its_own_and_nobody_gets_it_twice() {
    let Some(server) = MailServer::start(CONFIG) else { return };
    let channel = Channel::Smtp(server.config());
    let to = ["ada@example.org", "later@example.org", "never@example.org", "bob@example.org"];
    let whole = mail(&sample("done", 3, &to));
    let delivery = channel.open().deliver(&whole).await;
    let Delivery::Retry { left, refused, .. } = &delivery else { panic!("{delivery:?}") };
    assert_eq!(left, &["later@example.org"]);
    assert_eq!(refused.iter().map(|r| r.address.as_str()).collect::<Vec<_>>(), ["never@example.org"]);
    assert_eq!(server.arrived(2).len(), 2, "for Ada and for Bob");

    let again = channel.open().deliver(&whole.left_for(left)).await;
    assert!(matches!(&again, Delivery::Retry { left, .. } if left == &["later@example.org"]), "{again:?}");
    assert_eq!(server.arrived(2).len(), 2, "still one each");

    let some =
        channel.open().deliver(&mail(&sample("done", 4, &["never@example.org", "ada@example.org"]))).await;
    assert!(matches!(&some, Delivery::Delivered { refused, .. } if refused.len() == 1), "{some:?}");
}

/// Encrypts in front of the mail server's clear port. OpenSMTPD 6.8 of Debian 12 can't do it itself: with OpenSSL 3 every one of its
/// handshakes ends in an internal error.
async fn encrypted(server: &MailServer, mode: TlsMode) -> u16 {
    let certificate = CertificateDer::from_pem_file(server.file("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(server.file("key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let clear = server.clear;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that doesn't trust the certificate goes away in the middle; that is its good right.
            drop(relay(client, clear, acceptor.clone(), mode).await);
        }
    });
    port
}

async fn relay(
    client: tokio::net::TcpStream,
    clear: u16,
    acceptor: TlsAcceptor,
    mode: TlsMode,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut behind = BufReader::new(tokio::net::TcpStream::connect(("127.0.0.1", clear)).await?);
    let mut line = String::new();
    if mode == TlsMode::Starttls {
        // The client has had its greeting before it encrypts and is not greeted again after it.
        behind.read_line(&mut line).await?;
        client.write_all(b"220 mail.example.org\r\n").await?;
        while !line.starts_with("STARTTLS") {
            line.clear();
            client.read_line(&mut line).await?;
            assert!(line.starts_with("EHLO") || line.starts_with("STARTTLS"), "in clear: {line}");
            let answer: &[u8] = if line.starts_with("EHLO") {
                b"250-mail.example.org\r\n250 STARTTLS\r\n"
            } else {
                b"220 go on\r\n"
            };
            client.write_all(answer).await?;
        }
    }
    let mut client = acceptor.accept(client.into_inner()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut behind).await.map(drop)
}

#[tokio::test]
async fn nothing_is_sent_but_encrypted_and_to_a_server_that_is_the_one_named() {
    let Some(server) = MailServer::start(CONFIG) else { return };
    for (n, mode) in [(1, TlsMode::Starttls), (2, TlsMode::Implicit)] {
        let config = SmtpConfig {
            host: "localhost".to_owned(),
            port: Some(encrypted(&server, mode).await),
            tls: mode,
            ca_file: Some(server.file("cert.pem")),
            ..server.config()
        };
        let mail = mail(&sample("done", n, &["ada@example.org"]));
        let channel = Channel::Smtp(config.clone());
        assert_eq!(channel.check(), Vec::<String>::new());
        assert_delivered(&channel.open().deliver(&mail).await);

        let unknown_authority = Channel::Smtp(SmtpConfig { ca_file: None, ..config.clone() });
        let delivery = unknown_authority.open().deliver(&mail).await;
        assert!(
            matches!(&delivery, Delivery::Retry { why, .. } if why.contains("certificate")),
            "{delivery:?}"
        );
        let other_name = Channel::Smtp(SmtpConfig { host: "127.0.0.1".to_owned(), ..config });
        let delivery = other_name.open().deliver(&mail).await;
        assert!(
            matches!(&delivery, Delivery::Retry { why, .. } if why.contains("certificate")),
            "{delivery:?}"
        );
    }
    let in_clear = Channel::Smtp(SmtpConfig { tls: TlsMode::Starttls, ..server.config() });
    let delivery = in_clear.open().deliver(&mail(&sample("done", 3, &["ada@example.org"]))).await;
    assert!(matches!(&delivery, Delivery::Retry { why, .. } if why.contains("STARTTLS")), "{delivery:?}");
    assert_eq!(server.arrived(2).len(), 2);
}

/// OpenSMTPD takes logins only over its own encryption.
#[tokio::test]
async fn a_login_that_is_refused_is_tried_again_and_works_once_it_is_mended() {
    let Some(server) = MailServer::start(CONFIG) else { return };
    let password = server.file("password");
    fs::write(&password, "wrong\n").expect("written");
    let config = SmtpConfig {
        host: "localhost".to_owned(),
        port: Some(server.starttls),
        tls: TlsMode::Starttls,
        ca_file: Some(server.file("cert.pem")),
        user: Some("drover".to_owned()),
        password_file: Some(password.clone()),
        ..server.config()
    };
    let channel = Channel::Smtp(config);
    let mail = mail(&sample("done", 5, &["ada@example.org"]));
    let refused = channel.open().deliver(&mail).await;
    let Delivery::Retry { why, .. } = &refused else { panic!("{refused:?}") };
    if why.contains("InternalError") {
        skipped("this OpenSMTPD can't encrypt (6.8 of Debian 12 can't, 7.4 from its backports can)");
        return;
    }
    assert!(why.contains("login refused; check smtp user and password_file"), "{why}");
    fs::write(&password, "right\n").expect("written");
    assert_delivered(&channel.open().deliver(&mail).await);
    assert_eq!(server.arrived(1).len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_tried_again() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let config = SmtpConfig {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        tls: TlsMode::None,
        ca_file: None,
        user: None,
        password_file: None,
        timeout: Span::seconds(1),
        hello: None,
    };
    let channel = Channel::Smtp(config);
    let mail = mail(&sample("done", 9, &["ada@example.org"]));
    let delivery = channel.open().deliver(&mail).await;
    assert!(
        matches!(&delivery, Delivery::Retry { why, .. } if why.contains("no end after 1s")),
        "{delivery:?}"
    );
    drop(silent);
    let delivery = channel.open().deliver(&mail).await;
    assert!(
        matches!(&delivery, Delivery::Retry { why, left, .. } if why.contains("can't connect") && left.len() == 1),
        "{delivery:?}"
    );
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let parse = |text: &str| serde_json::from_str::<Channel>(text);
    let error = parse(r#"{"kind": "smtp", "host": "mail.example.org", "prot": 25}"#).expect_err("refused");
    assert!(error.to_string().contains("prot"), "{error}");
    let channel = parse(r#"{"kind": "smtp", "host": "mail.example.org:25", "tls": "none", "user": "drover", "timeout": "10ms"}"#)
        .expect("understood");
    assert_eq!(
        channel.check(),
        [
            "smtp timeout 10ms is too short; write at least 1s",
            "smtp user needs a password_file beside it",
            "smtp tls \"none\" would send the password in clear to mail.example.org:25; write tls = \"starttls\" or \"implicit\"",
        ]
    );
    let channel = parse(r#"{"kind": "smtp", "host": "mail.example.org", "ca_file": "/nonexistent.pem"}"#)
        .expect("understood");
    assert_eq!(channel.check().len(), 1);
    assert!(
        channel.check()[0].starts_with("ca_file \"/nonexistent.pem\" can't be read"),
        "{:?}",
        channel.check()
    );
}

/// Answers like a mail server to so many mails on a connection, and then closes it without a word. Counts connections and mails.
async fn short_tempered(listener: tokio::net::TcpListener, patience: usize, counts: Arc<[AtomicUsize; 2]>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        counts[0].fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let mut mails = 0;
            write.write_all(b"220 here\r\n").await.expect("written");
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match line.as_str() {
                    "DATA" => b"354 go on\r\n",
                    "." => {
                        mails += 1;
                        counts[1].fetch_add(1, Ordering::Relaxed);
                        b"250 taken\r\n"
                    }
                    command if ["EHLO", "MAIL", "RCPT", "QUIT"].iter().any(|c| command.starts_with(c)) => {
                        b"250 yes\r\n"
                    }
                    _ => continue,
                };
                write.write_all(answer).await.expect("written");
                if mails == patience {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn mails_share_a_connection_and_one_that_the_server_has_closed_is_replaced() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let serving = tokio::spawn(short_tempered(listener, 4, Arc::clone(&counts)));
    let config = format!(r#"{{"kind": "smtp", "host": "127.0.0.1", "port": {port}, "tls": "none"}}"#);
    let mailer = serde_json::from_str::<Channel>(&config).expect("understood").open();
    for n in 0..10 {
        assert_delivered(&mailer.deliver(&mail(&sample("done", n, &["ada@example.org"]))).await);
    }
    mailer.close().await;
    let [connections, mails] = [0, 1].map(|n| counts[n].load(Ordering::Relaxed));
    assert_eq!((connections, mails), (3, 10), "four mails, four mails, and two");
    serving.abort();
}
