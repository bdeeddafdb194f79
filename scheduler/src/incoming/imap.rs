//! Mails fetched from a mailbox.
//!
//! A mail is taken away from the mailbox only after it is durably in the spool. Its name there is made of what the server promises
//! never to use twice, so that one that is found again after a crash is the same.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_imap::extensions::idle::IdleResponse;
use async_imap::{Client, Session};
use drover_notifier::TlsMode;
use drover_policies::time::Span;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::AFTER_FAILURE;
use super::spool::Spool;

/// How long a server may be silent within a conversation.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to tell of a new mail, before it is asked anew. Servers and firewalls forget connections after half an hour.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// Mails that were neither taken nor left for people.
const WAITING: &str = "UNDELETED UNFLAGGED";

/// A mailbox of answers. It is for them alone: what is taken is moved away, or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapConfig {
    /// The server's name or address. Its certificate must be for this name.
    pub host: String,
    /// Its port; without one 993, or 143 where the connection is not encrypted from its beginning.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default = "implicit")]
    pub tls: TlsMode,
    /// A file with the certificates (PEM) of the authority that signed the server's, if it is not a public one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The account.
    pub user: String,
    /// A file with its password. It is read for each connection, so that it can be changed at any time.
    pub password_file: PathBuf,
    /// The folder.
    #[serde(default = "inbox")]
    pub folder: String,
    /// A folder that taken mails are moved to; without one they are deleted, and kept in the spool for a week.
    #[serde(default)]
    pub done: Option<String>,
    /// How often is looked where the server can't tell of new mails by itself.
    #[serde(default = "every")]
    pub every: Span,
}

fn implicit() -> TlsMode {
    TlsMode::Implicit
}

fn inbox() -> String {
    "INBOX".to_owned()
}

fn every() -> Span {
    Span::minutes(1)
}

/// Why no mails could be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// A file can't be used.
    #[error("{what} {} can't be used", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server can't be reached, or the connection broke off.
    #[error("the connection to IMAP server {server} failed")]
    Connection {
        /// Which.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// It refused something.
    #[error("IMAP server {server}: {what} failed")]
    Refused {
        /// Which.
        server: String,
        /// What was asked.
        what: &'static str,
        /// Its words.
        source: Box<async_imap::error::Error>,
    },
    /// It says nothing.
    #[error("IMAP server {server} has been silent for too long: {what}")]
    Silent {
        /// Which.
        server: String,
        /// What was asked.
        what: &'static str,
    },
    /// The spool takes nothing.
    #[error("a fetched mail could not be put into the spool; it stays in the mailbox")]
    Spool(#[source] io::Error),
}

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Wire for T {}

type Mailbox = Session<Box<dyn Wire>>;

impl ImapConfig {
    /// What is wrong with the settings, each in a sentence that names the field and what would be right.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.host.is_empty() || self.host.contains(char::is_whitespace) {
            wrong.push(format!(
                "host {:?} is no name of a server; write for example imap.cloud.example",
                self.host
            ));
        }
        if self.tls == TlsMode::None && !self.is_on_this_machine() {
            wrong.push(format!(
                "tls \"none\" would send the password in clear to {}; write tls = \"implicit\" or \"starttls\"",
                self.host
            ));
        }
        if self.every < Span::seconds(5) {
            wrong.push(format!("every {} is too often; write at least 5s", self.every));
        }
        if self.done.as_ref() == Some(&self.folder) {
            wrong.push("done is the folder that is read; name another one".to_owned());
        }
        if let Err(error) = self.password() {
            wrong.push(crate::chain(&error));
        }
        if let Err(error) = self.trusted() {
            wrong.push(crate::chain(&error));
        }
        wrong
    }

    fn is_on_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn server(&self) -> String {
        let port = self.port.unwrap_or(match self.tls {
            TlsMode::None | TlsMode::Starttls => 143,
            TlsMode::Implicit => 993,
        });
        format!("{}:{port}", self.host)
    }

    fn password(&self) -> Result<String, ImapError> {
        let text = std::fs::read_to_string(&self.password_file)
            .map_err(|source| file("password_file", &self.password_file, source))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn trusted(&self) -> Result<RootCertStore, ImapError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &self.ca_file {
            let failed = |source| file("ca_file", path, source);
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| failed(io::Error::other(error)))?;
            if certificates.is_empty() {
                return Err(failed(io::Error::other("there is no certificate in it")));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| failed(io::Error::other(error)))?;
            }
        }
        Ok(roots)
    }
}

fn file(what: &'static str, path: &Path, source: io::Error) -> ImapError {
    ImapError::File { what, path: path.to_owned(), source: source.into() }
}

/// Fetches for ever, as soon as the server tells of a new mail where it can, and again after every failure.
pub async fn keep_fetching(config: &ImapConfig, spool: &Spool, largest: u64) {
    loop {
        let error = match stay(config, spool, largest).await {
            Err(error) => error,
            Ok(never) => match never {},
        };
        tracing::warn!(error = %crate::chain(&error), "mails can't be fetched at present; it is tried again");
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

/// Fetches what is there now, once; answers how many mails were new.
///
/// # Errors
/// The server or the spool failed; what was not taken is still in the mailbox.
pub async fn fetch(config: &ImapConfig, spool: &Spool, largest: u64) -> Result<usize, ImapError> {
    let mut fetcher = Fetcher::open(config, spool, largest).await?;
    let taken = fetcher.take_all().await?;
    // What is taken is taken, however the server says goodbye.
    let _ = timeout(PATIENCE, fetcher.mailbox.logout()).await;
    Ok(taken)
}

async fn stay(
    config: &ImapConfig,
    spool: &Spool,
    largest: u64,
) -> Result<std::convert::Infallible, ImapError> {
    let mut fetcher = Fetcher::open(config, spool, largest).await?;
    tracing::info!(server = %fetcher.server, folder = %config.folder, "mails are fetched");
    loop {
        fetcher.take_all().await?;
        fetcher = fetcher.wait().await?;
    }
}

struct Fetcher<'a> {
    config: &'a ImapConfig,
    spool: &'a Spool,
    largest: u64,
    server: String,
    mailbox: Mailbox,
    validity: u32,
    tells_of_new: bool,
}

impl<'a> Fetcher<'a> {
    async fn open(config: &'a ImapConfig, spool: &'a Spool, largest: u64) -> Result<Self, ImapError> {
        let server = config.server();
        let client = connected(config, &server).await?;
        let password = config.password()?;
        let login = async { client.login(&config.user, &password).await.map_err(|(error, _)| error) };
        let mut mailbox = asked(&server, "the login", login).await?;
        let capabilities = asked(&server, "CAPABILITY", mailbox.capabilities()).await?;
        let selected = asked(&server, "opening the folder", mailbox.select(&config.folder)).await?;
        Ok(Self {
            config,
            spool,
            largest,
            server,
            mailbox,
            // Without one, ids may be used again; then nothing can be told apart by them but within this connection.
            validity: selected.uid_validity.unwrap_or_default(),
            tells_of_new: capabilities.has_str("IDLE"),
        })
    }

    async fn take_all(&mut self) -> Result<usize, ImapError> {
        let found = asked(&self.server, "SEARCH", self.mailbox.uid_search(WAITING)).await?;
        let mut uids: Vec<u32> = found.into_iter().collect();
        uids.sort_unstable();
        let mut taken = 0;
        for uid in uids {
            taken += usize::from(self.take(uid).await?);
        }
        Ok(taken)
    }

    /// Into the spool first, away from the mailbox then.
    async fn take(&mut self, uid: u32) -> Result<bool, ImapError> {
        let set = uid.to_string();
        let sizes =
            async { self.mailbox.uid_fetch(&set, "RFC822.SIZE").await?.try_collect::<Vec<_>>().await };
        let size = asked(&self.server, "FETCH", sizes).await?.first().and_then(|found| found.size);
        if size.is_some_and(|size| u64::from(size) > self.largest) {
            tracing::warn!(
                uid,
                ?size,
                largest = self.largest,
                "a mail is too large to be taken; it is flagged, and stays in the mailbox"
            );
            return self.mark(&set, "+FLAGS.SILENT (\\Flagged)").await.map(|()| false);
        }
        let fetching =
            async { self.mailbox.uid_fetch(&set, "BODY.PEEK[]").await?.try_collect::<Vec<_>>().await };
        let found = asked(&self.server, "FETCH", fetching).await?;
        // Somebody else has taken it meanwhile.
        let Some(raw) = found.iter().find_map(|found| found.body()) else { return Ok(false) };
        let name = format!("imap-{}-{uid:010}", self.validity);
        let new = self.spool.put(&name, raw).map_err(ImapError::Spool)?;
        if let Some(done) = &self.config.done {
            let copied = self.mailbox.uid_copy(&set, done);
            asked(&self.server, "COPY to the folder of taken mails", copied).await?;
        }
        self.mark(&set, "+FLAGS.SILENT (\\Deleted)").await?;
        let expunged = async { self.mailbox.expunge().await?.try_collect::<Vec<_>>().await };
        asked(&self.server, "EXPUNGE", expunged).await?;
        Ok(new)
    }

    async fn mark(&mut self, set: &str, flags: &str) -> Result<(), ImapError> {
        let marked = async { self.mailbox.uid_store(set, flags).await?.try_collect::<Vec<_>>().await };
        asked(&self.server, "STORE", marked).await.map(drop)
    }

    /// Until there may be something new.
    async fn wait(mut self) -> Result<Self, ImapError> {
        if !self.tells_of_new {
            tokio::time::sleep(self.config.every.0).await;
            return Ok(self);
        }
        let mut idle = self.mailbox.idle();
        asked(&self.server, "IDLE", idle.init()).await?;
        {
            let (waiting, _stop) = idle.wait_with_timeout(IDLE);
            match waiting.await.map_err(|source| refused(&self.server, "IDLE", source))? {
                IdleResponse::NewData(_) | IdleResponse::Timeout | IdleResponse::ManualInterrupt => {}
            }
        }
        self.mailbox = asked(&self.server, "IDLE", idle.done()).await?;
        Ok(self)
    }
}

fn refused(server: &str, what: &'static str, source: async_imap::error::Error) -> ImapError {
    ImapError::Refused { server: server.to_owned(), what, source: Box::new(source) }
}

async fn asked<T>(
    server: &str,
    what: &'static str,
    answer: impl Future<Output = async_imap::error::Result<T>>,
) -> Result<T, ImapError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|source| refused(server, what, source)),
        Err(_) => Err(ImapError::Silent { server: server.to_owned(), what }),
    }
}

async fn connected(config: &ImapConfig, server: &str) -> Result<Client<Box<dyn Wire>>, ImapError> {
    let failed = |source| ImapError::Connection { server: server.to_owned(), source };
    let connecting = async {
        let plain = TcpStream::connect(server).await.map_err(failed)?;
        match config.tls {
            TlsMode::None => greeted(Box::new(plain) as Box<dyn Wire>).await.map_err(failed),
            TlsMode::Implicit => {
                let encrypted = encrypted(config, plain).await.map_err(failed)?;
                greeted(Box::new(encrypted) as Box<dyn Wire>).await.map_err(failed)
            }
            TlsMode::Starttls => {
                let mut client = greeted(plain).await.map_err(failed)?;
                client
                    .run_command_and_check_ok("STARTTLS", None)
                    .await
                    .map_err(|source| refused(server, "STARTTLS", source))?;
                let encrypted = encrypted(config, client.into_inner()).await.map_err(failed)?;
                // A greeting comes once, before the encryption.
                Ok(Client::new(Box::new(encrypted) as Box<dyn Wire>))
            }
        }
    };
    timeout(PATIENCE, connecting)
        .await
        .map_err(|_| ImapError::Silent { server: server.to_owned(), what: "the greeting" })?
}

async fn greeted<T: Wire>(wire: T) -> io::Result<Client<T>> {
    let mut client = Client::new(wire);
    match client.read_response().await? {
        Some(_) => Ok(client),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without a greeting")),
    }
}

async fn encrypted(config: &ImapConfig, plain: TcpStream) -> io::Result<impl Wire + use<>> {
    let roots = config.trusted().map_err(io::Error::other)?;
    // Named, because other crates bring another one, and then none is chosen by itself.
    let settings = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(config.host.clone()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(settings)).connect(name, plain).await
}
