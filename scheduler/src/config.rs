//! The scheduler's own settings: where it listens, where it keeps things, how mails leave. What is decided by policy is not in here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use drover_notifier::deliver::{Channel, MaildirConfig};
use drover_notifier::letter::{Answers, Links};
use drover_notifier::mail::Sender;
use drover_notifier::reply::Address;
use drover_notifier::rt::RtConfig;
use drover_policies::channels::{ChannelName, Listener};
use drover_policies::ids::OwnerId;
use drover_policies::language::Language;
use drover_policies::notices::{Contact, Reminders};
use drover_policies::time::Span;
use serde::{Deserialize, Serialize};

use crate::incoming::ImapConfig;
use crate::webhooks::{self, WebhookConfig};

use crate::outbound::OutboundConfig;

/// The shipped, commented example; it parses, and says what is used when nothing is set.
pub const EXAMPLE: &str = include_str!("../scheduler.example.toml");

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the database and the maildir are when nothing else is said.
    pub data_dir: PathBuf,
    /// `postgres://…`; without one SQLite in the data directory.
    pub database: Option<String>,
    /// Where the API is served. Put a proxy with TLS before it, unless it is loopback.
    pub listen: SocketAddr,
    /// A policy file, or a directory of them (`*.toml`, in the order of their names); without one the shipped policy holds.
    pub policies: Option<PathBuf>,
    /// How owners are reached.
    pub mail: MailConfig,
    /// How long and how fast messages are delivered, whatever the channel.
    pub delivery: DeliveryConfig,
    /// Where calls to addresses go that owners have named.
    pub outbound: OutboundConfig,
    /// The pages for people.
    pub web: WebConfig,
    /// The Request Tracker that keeps a copy of each ticket.
    pub rt: Option<RtConfig>,
    /// The operator's webhooks.
    #[serde(rename = "webhook")]
    pub webhooks: Vec<WebhookConfig>,
}

/// The pages for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Where browsers find this scheduler, such as `https://drover.cloud.example`. With it mails have a link that opens their ticket.
    pub address: Option<String>,
    /// How long a session lasts without use.
    pub idle: Span,
    /// How long a session lasts at the most.
    pub longest: Span,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { address: None, idle: Span::hours(8), longest: Span::days(7) }
    }
}

impl WebConfig {
    /// The address without a slash at its end.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref().map(|address| address.trim_end_matches('/'))
    }

    /// Whether browsers come by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.address.as_deref().is_some_and(|address| address.starts_with("https://"))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(address) = &self.address {
            let host = ["https://", "http://"].iter().find_map(|scheme| address.strip_prefix(scheme));
            let host = host.map(|rest| rest.trim_end_matches('/')).unwrap_or_default();
            if host.is_empty()
                || host.chars().any(|c| c.is_whitespace() || c.is_control() || "/?#@\"<>".contains(c))
            {
                problems.push(format!(
                    "address {address:?} is not the beginning of an address; write it without a path, such as \"https://drover.cloud.example\""
                ));
            }
        }
        for (field, span) in [("idle", self.idle), ("longest", self.longest)] {
            if !(Span::minutes(5)..=Span::days(90)).contains(&span) {
                problems.push(format!("{field} {span} is out of range; write 5m to 90days"));
            }
        }
        problems
    }
}

/// How long and how fast messages are delivered, whatever the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// After which time of vain tries a message is given up; it is a dead letter then.
    pub give_up_after: Span,
    /// How many messages are under way on a channel at the same time.
    pub at_once: usize,
    /// How long the receiver of a webhook may take to answer.
    pub webhook_timeout: Span,
    /// What events name as their source: a URI of this installation.
    pub event_source: String,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            give_up_after: Span::days(3),
            at_once: 16,
            webhook_timeout: Span::seconds(10),
            event_source: "urn:drover".to_owned(),
        }
    }
}

impl DeliveryConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.give_up_after < Span::minutes(1) {
            problems.push(format!("give_up_after {} is too short; write at least 1m", self.give_up_after));
        }
        if !(1..=256).contains(&self.at_once) {
            problems.push(format!("at_once {} is out of range; write 1 to 256", self.at_once));
        }
        if !(Span::seconds(1)..=Span::minutes(5)).contains(&self.webhook_timeout) {
            problems
                .push(format!("webhook_timeout {} is out of range; write 1s to 5m", self.webhook_timeout));
        }
        if self.event_source.is_empty()
            || self.event_source.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            problems.push(format!(
                "event_source {:?} is no URI; write for example \"https://cloud.example/drover\"",
                self.event_source
            ));
        }
        problems
    }
}

/// How owners are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Where mails go; without one into a maildir in the data directory.
    pub channel: Option<Channel>,
    /// Whose name stands on them.
    pub sender: Sender,
    /// Templates that replace shipped ones, as `<kind>/subject.txt`, `<kind>/body.txt`, `<kind>/body.html`.
    pub templates: Option<PathBuf>,
    /// Addresses that mails name.
    pub links: Links,
    /// Who gets the tickets of servers that have no owner, what owners write, and what is to be told of maintenances.
    pub operators: Vec<String>,
    /// By the names of operators' tokens: what of a ticket is for operators goes to whoever has taken it, and then to nobody else.
    pub operator_addresses: BTreeMap<String, String>,
    /// In which operators are written to.
    pub operators_language: Language,
    /// In which operators are told times.
    pub operators_timezone: Tz,
    /// How answers to mails are taken in; without it they are not.
    pub incoming: Option<IncomingConfig>,
}

/// How answers to mails are taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncomingConfig {
    /// `reply@cloud.example`: mails to it, and to it with `+` and anything before the `@`, must reach the scheduler.
    pub address: String,
    /// The largest mail that is taken, in bytes.
    #[serde(default = "largest_mail")]
    pub largest: u64,
    /// A mailbox that mails are fetched from; without one they are handed to `drover-scheduler mail-in`.
    #[serde(default)]
    pub imap: Option<ImapConfig>,
}

fn largest_mail() -> u64 {
    10 * 1024 * 1024
}

impl IncomingConfig {
    /// The address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        // The signature needs 42 of the 64 characters that may stand before the `@`.
        self.address
            .parse()
            .ok()
            .filter(|address: &Address| !address.user().contains('+') && address.user().len() <= 20)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.address().is_none() {
            problems.push(format!(
                "address {:?} can't be made into signed ones; write one without a name, without \"+\", and with at most 20 characters before the \"@\", such as reply@cloud.example",
                self.address
            ));
        }
        if !(4096..=64 * 1024 * 1024).contains(&self.largest) {
            problems.push(format!("largest {} is out of range; write 4096 to 67108864 bytes", self.largest));
        }
        problems
            .extend(self.imap.iter().flat_map(|imap| imap.check()).map(|problem| format!("imap.{problem}")));
        problems
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/drover"),
            database: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            policies: None,
            mail: MailConfig::default(),
            delivery: DeliveryConfig::default(),
            rt: None,
            webhooks: Vec::new(),
            outbound: OutboundConfig::default(),
            web: WebConfig::default(),
        }
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            channel: None,
            sender: Sender { from: "Drover <drover@localhost>".to_owned(), reply_to: None },
            templates: None,
            links: Links::default(),
            operators: Vec::new(),
            operator_addresses: BTreeMap::new(),
            operators_language: Language::default(),
            operators_timezone: Tz::UTC,
            incoming: None,
        }
    }
}

impl MailConfig {
    /// How operators are reached about a ticket that one of them may have taken.
    #[must_use]
    pub fn taker_contact(&self, about: &OwnerId, taker: Option<&str>) -> Contact {
        let contact = self.operators_contact(about);
        match taker.and_then(|taker| self.operator_addresses.get(taker)) {
            Some(address) => Contact { mail: vec![address.clone()], ..contact },
            // An operator without an address of his own reads what all of them get.
            None => contact,
        }
    }

    fn problems(&self) -> Vec<String> {
        let wrong = self.operator_addresses.iter().filter(|(_, address)| address.parse::<Address>().is_err());
        wrong
            .map(|(name, address)| {
                format!("operator_addresses.{name} {address:?} is no mail address; write one such as ada@cloud.example")
            })
            .collect()
    }

    /// How operators are reached, as readers of what is about an account: their own, or the one whose ticket it is.
    #[must_use]
    pub fn operators_contact(&self, about: &OwnerId) -> Contact {
        Contact {
            owner: about.clone(),
            name: String::new(),
            mail: self.operators.clone(),
            timezone: self.operators_timezone,
            language: self.operators_language.clone(),
            reminders: Reminders::Wanted,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("configuration {} can't be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can't be understood.
    #[error("configuration {} is wrong: {problem}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Where and what, with what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or something in it is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Wrong { path: path.to_owned(), problem: error.to_string() })?;
        config.mail.links.answers =
            if config.mail.incoming.is_some() { Answers::Read } else { Answers::Unread };
        match config.problems().as_slice() {
            [] => Ok(config),
            problems => Err(ConfigError::Wrong { path: path.to_owned(), problem: problems.join("; ") }),
        }
    }

    /// What is wrong, each in a sentence that names the field and what would be right.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(database) = &self.database
            && !database.starts_with("postgres://")
            && !database.starts_with("postgresql://")
        {
            problems.push(format!(
                "database {database:?} is no PostgreSQL address; write postgres://user@host/drover, or leave it out for SQLite in data_dir"
            ));
        }
        problems.extend(self.mail.sender.check().into_iter().map(|problem| format!("mail.sender.{problem}")));
        problems.extend(self.mail.links.check().into_iter().map(|problem| format!("mail.links.{problem}")));
        problems.extend(
            self.mail
                .incoming
                .iter()
                .flat_map(IncomingConfig::problems)
                .map(|problem| format!("mail.incoming.{problem}")),
        );
        problems.extend(self.mail.problems().into_iter().map(|problem| format!("mail.{problem}")));
        problems.extend(self.channel().check().into_iter().map(|problem| format!("mail.channel.{problem}")));
        problems.extend(self.rt.iter().flat_map(RtConfig::check).map(|problem| format!("rt.{problem}")));
        problems.extend(webhooks::problems(&self.webhooks));
        problems.extend(self.web.problems().into_iter().map(|problem| format!("web.{problem}")));
        problems.extend(self.delivery.problems().into_iter().map(|problem| format!("delivery.{problem}")));
        problems
    }

    /// The database's address.
    #[must_use]
    pub fn database_url(&self) -> String {
        match &self.database {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.data_dir.join("drover.db").display()),
        }
    }

    /// The channels that are always there.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let webhooks = self.webhooks.iter().filter_map(WebhookConfig::listener);
        let rt = self.rt.iter().map(|_| Listener::to_all(ChannelName::Rt));
        [Listener::to_all(ChannelName::Mail)].into_iter().chain(rt).chain(webhooks).collect()
    }

    /// The channel for mails.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match &self.mail.channel {
            Some(channel) => channel.clone(),
            None => Channel::Maildir(MaildirConfig { path: self.data_dir.join("mail") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Away from the machine's own data directory: what is configured is tried, so folders are made there.
    fn problems(config: Config) -> Vec<String> {
        let data = tempfile::tempdir().expect("a temporary directory");
        Config { data_dir: data.path().to_owned(), ..config }.problems()
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).expect("it parses")
    }

    #[test]
    fn the_example_says_what_is_used_when_nothing_is_set() {
        let example = config(EXAMPLE);
        assert_eq!(example, Config::default());
        assert_eq!(problems(example), Vec::<String>::new());
    }

    #[test]
    fn an_address_that_can_not_be_signed_is_refused_by_field() {
        for address in [
            "Reply <reply@cloud.example>",
            "reply",
            "reply+x@cloud.example",
            "a-name-that-is-too-long@cloud.example",
        ] {
            let problems = problems(config(&format!("[mail.incoming]\naddress = {address:?}\nlargest = 1")));
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(
                problems[0].starts_with(&format!("mail.incoming.address {address:?} can't be made")),
                "{problems:?}"
            );
            assert_eq!(problems[1], "mail.incoming.largest 1 is out of range; write 4096 to 67108864 bytes");
        }
        let right = config("[mail.incoming]\naddress = \"reply@cloud.example\"");
        assert_eq!(problems(right), Vec::<String>::new());
    }

    #[test]
    fn an_operator_without_a_usable_address_is_refused_by_name() {
        let problems =
            problems(config("[mail.operator_addresses]\nada = \"ada\"\nbob = \"bob@cloud.example\""));
        assert_eq!(
            problems,
            ["mail.operator_addresses.ada \"ada\" is no mail address; write one such as ada@cloud.example"]
        );
    }

    #[test]
    fn an_address_that_pages_can_not_have_is_refused_by_field() {
        for address in ["drover.example", "ftp://drover.example", "https://", "https://drover.example/pages"]
        {
            let problems = problems(config(&format!("[web]\naddress = {address:?}\nidle = \"1s\"")));
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(problems[0].starts_with(&format!("web.address {address:?} is not")), "{problems:?}");
            assert!(problems[1].starts_with("web.idle 1s is out of range"), "{problems:?}");
        }
        let right = config("[web]\naddress = \"https://drover.example/\"");
        assert_eq!(right.web.address(), Some("https://drover.example"));
        assert_eq!(problems(right), Vec::<String>::new());
    }

    #[test]
    fn a_typo_is_refused_and_named() {
        let error = toml::from_str::<Config>("lisen = \"127.0.0.1:1\"").expect_err("refused").to_string();
        assert!(error.contains("lisen") && error.contains("listen"), "{error}");
    }
}
