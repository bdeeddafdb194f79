//! Delivery to a mail server, one conversation per mail, several of them over the same connection.
//!
//! The conversation is led command by command, because each recipient is answered on its own: one full mailbox must neither keep the
//! mail from the others nor make them get it again and again.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use drover_policies::time::Span;
use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use serde::{Deserialize, Serialize};

use crate::connections::{Connection, Connections};
use crate::deliver::{Delivery, Refused};
use crate::mail::Mail;
use crate::words;

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name or address. With TLS its certificate must be for this name.
    pub host: String,
    /// Its port; without one 25, 587 or 465, as is usual for the way of encryption.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: TlsMode,
    /// A file with the certificates (PEM) of the authority that signed the server's, if it is not a public one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The account to log in with; without one there is no login.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the account's password. It is read for each connection, so that it can be changed at any time.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How long one mail may take altogether.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How we introduce ourselves; without one by this machine's name.
    #[serde(default)]
    pub hello: Option<String>,
}

fn default_timeout() -> Span {
    Span::seconds(60)
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Not at all: for a server on the same machine.
    None,
    /// It begins in clear and is encrypted before anything is sent. A server that can't do that gets nothing.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
}

/// The conversation did not get as far as the recipients. Nothing of this is about the mail, so it may be tried again.
#[derive(Debug, thiserror::Error)]
enum Unprepared {
    #[error("{field} {path:?} can't be read")]
    File { field: &'static str, path: PathBuf, source: io::Error },
    #[error("ca_file {path:?} holds no certificate in PEM form")]
    Certificate { path: PathBuf, source: SmtpError },
    #[error("{doing}")]
    Server { doing: &'static str, source: SmtpError },
    #[error("the server can't take addresses with letters beyond ASCII (it has no SMTPUTF8)")]
    NoUnicodeAddresses,
}

impl SmtpConfig {
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.host.is_empty() || self.host.chars().any(|c| c.is_whitespace() || c == '/' || c == '@') {
            wrong.push(format!(
                "smtp host {:?} must be a name or an address, for example \"mail.example.org\"; the port has a field of its own",
                self.host
            ));
        }
        if self.timeout < Span::seconds(1) {
            wrong.push(format!("smtp timeout {} is too short; write at least 1s", self.timeout));
        }
        match (&self.user, &self.password_file) {
            (Some(_), None) => wrong.push("smtp user needs a password_file beside it".to_owned()),
            (None, Some(_)) => wrong.push("smtp password_file needs a user beside it".to_owned()),
            (Some(_), Some(path)) => {
                wrong.extend(read("password_file", path).err().map(|e| words::told(&e)));
            }
            (None, None) => {}
        }
        if self.tls == TlsMode::None && self.user.is_some() && !self.is_on_this_machine() {
            wrong.push(format!(
                "smtp tls \"none\" would send the password in clear to {}; write tls = \"starttls\" or \"implicit\"",
                self.host
            ));
        }
        match (self.tls, &self.ca_file) {
            (TlsMode::None, Some(_)) => {
                wrong.push(
                    "smtp ca_file has no use with tls \"none\"; leave it out, or write tls = \"starttls\""
                        .to_owned(),
                );
            }
            (TlsMode::Starttls | TlsMode::Implicit, _) => {
                wrong.extend(self.tls().err().map(|e| words::told(&e)))
            }
            (TlsMode::None, None) => {}
        }
        wrong
    }

    fn is_on_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            TlsMode::None => 25,
            TlsMode::Starttls => 587,
            TlsMode::Implicit => 465,
        })
    }

    fn server(&self) -> String {
        format!("{}:{}", self.host, self.port())
    }

    pub(crate) async fn deliver(&self, connections: &Connections, mail: &Mail) -> Delivery {
        let retry = |why: String| Delivery::Retry {
            why: format!("mail server {}: {why}", self.server()),
            left: mail.recipients(),
            refused: Vec::new(),
        };
        let conversation = async {
            match self.prepared(connections, mail).await {
                Ok(connection) => {
                    Conversation { connection, connections, mail, server: self.server() }.lead().await
                }
                Err(e) => retry(words::told(&e)),
            }
        };
        match tokio::time::timeout(self.timeout.0, conversation).await {
            Ok(delivery) => delivery,
            Err(_) => retry(format!("no end after {}", self.timeout)),
        }
    }

    /// Connected, encrypted, logged in, and the sender accepted.
    async fn prepared(&self, connections: &Connections, mail: &Mail) -> Result<Connection, Unprepared> {
        while let Some(mut kept) = connections.take() {
            // A server closes what it finds idle, or has had enough of. Whatever else it has against the sender it says again below.
            if begin(&mut kept.smtp, mail).await.is_ok() {
                return Ok(kept);
            }
            kept.smtp.abort().await;
        }
        let mut connection = self.connected().await?;
        begin(&mut connection, mail).await?;
        Ok(Connection::new(connection))
    }

    async fn connected(&self) -> Result<AsyncSmtpConnection, Unprepared> {
        let hello = self.hello.clone().map_or_else(ClientId::default, ClientId::Domain);
        let tls = self.tls()?;
        let at_once = if self.tls == TlsMode::Implicit { tls.clone() } else { None };
        let address = (self.host.as_str(), self.port());
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout.0), &hello, at_once, None)
                .await
                .map_err(server("can't connect"))?;
        if let (TlsMode::Starttls, Some(tls)) = (self.tls, tls) {
            connection.starttls(tls, &hello).await.map_err(server("can't encrypt the connection"))?;
        }
        if let (Some(user), Some(path)) = (&self.user, &self.password_file) {
            let password = read("password_file", path)?;
            let password = String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned();
            let credentials = Credentials::new(user.clone(), password);
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(server("login refused; check smtp user and password_file"))?;
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<Option<TlsParameters>, Unprepared> {
        if self.tls == TlsMode::None {
            return Ok(None);
        }
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca_file {
            let certificate = Certificate::from_pem(&read("ca_file", path)?)
                .map_err(|source| Unprepared::Certificate { path: path.clone(), source })?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map(Some).map_err(server("the settings for TLS don't work"))
    }
}

async fn begin(connection: &mut AsyncSmtpConnection, mail: &Mail) -> Result<(), Unprepared> {
    let parameters = address_parameters(connection, mail)?;
    connection
        .command(MailFrom::new(Some(mail.sender.clone()), parameters))
        .await
        .map_err(server("the sender's address was refused"))?;
    Ok(())
}

fn address_parameters(
    connection: &AsyncSmtpConnection,
    mail: &Mail,
) -> Result<Vec<MailParameter>, Unprepared> {
    let all_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if all_ascii(&mail.sender) && mail.recipients.iter().all(all_ascii) {
        return Ok(Vec::new());
    }
    if connection.server_info().supports_feature(Extension::SmtpUtfEight) {
        Ok(vec![MailParameter::SmtpUtfEight])
    } else {
        Err(Unprepared::NoUnicodeAddresses)
    }
}

fn server(doing: &'static str) -> impl FnOnce(SmtpError) -> Unprepared {
    move |source| Unprepared::Server { doing, source }
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, Unprepared> {
    fs::read(path).map_err(|source| Unprepared::File { field, path: path.to_owned(), source })
}

/// From the recipients on, what the server says is about this mail.
struct Conversation<'a> {
    connection: Connection,
    connections: &'a Connections,
    mail: &'a Mail,
    server: String,
}

impl Conversation<'_> {
    async fn lead(mut self) -> Delivery {
        let mut accepted: Vec<&Address> = Vec::new();
        let mut later: Vec<Refused> = Vec::new();
        let mut never: Vec<Refused> = Vec::new();
        for address in &self.mail.recipients {
            match self.connection.smtp.command(Rcpt::new(address.clone(), Vec::new())).await {
                Ok(_) => accepted.push(address),
                Err(e) if e.is_permanent() => never.push(refused(address, &e)),
                Err(e) if e.is_transient() => later.push(refused(address, &e)),
                Err(e) => return self.retry(words::told(&e), self.mail.recipients(), Vec::new()),
            }
        }
        let sent = if accepted.is_empty() { None } else { Some(self.send().await) };
        match &sent {
            Some(Err(e)) if !e.is_permanent() => {
                let mut left: Vec<String> = accepted.iter().map(ToString::to_string).collect();
                left.extend(later.into_iter().map(|r| r.address));
                return self.retry(words::told(e), left, never);
            }
            Some(Err(e)) => never.extend(accepted.drain(..).map(|address| refused(address, e))),
            Some(Ok(())) | None => {}
        }
        let delivery = self.end(&accepted, later, never);
        match sent {
            Some(Ok(())) => self.connections.put(self.connection).await,
            // The server has answered for the mail, and may have begun to close or to slow down; it hears the goodbye or does not.
            Some(Err(_)) | None => self.connection.smtp.abort().await,
        }
        delivery
    }

    async fn send(&mut self) -> Result<(), SmtpError> {
        self.connection.smtp.command(Data).await?;
        self.connection.smtp.message(self.mail.bytes()).await?;
        Ok(())
    }

    fn retry(&self, why: String, left: Vec<String>, refused: Vec<Refused>) -> Delivery {
        Delivery::Retry { why: format!("mail server {}: {why}", self.server), left, refused }
    }

    fn end(&self, accepted: &[&Address], later: Vec<Refused>, never: Vec<Refused>) -> Delivery {
        if !later.is_empty() {
            let left = later.iter().map(|r| r.address.clone()).collect();
            return self.retry(all(&later), left, never);
        }
        if accepted.is_empty() {
            return Delivery::Fail { why: format!("mail server {}: {}", self.server, all(&never)) };
        }
        let names: Vec<&str> = accepted.iter().map(|address| (*address).as_ref()).collect();
        Delivery::Delivered {
            how: format!("accepted by mail server {} for {}", self.server, words::list(&names)),
            refused: never,
        }
    }
}

fn refused(address: &Address, error: &SmtpError) -> Refused {
    Refused { address: address.to_string(), why: words::told(error) }
}

fn all(refused: &[Refused]) -> String {
    let each: Vec<String> = refused.iter().map(|r| format!("{}: {}", r.address, r.why)).collect();
    each.join("; ")
}
