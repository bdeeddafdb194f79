//! Request Tracker 5: a copy of each ticket where operators work already, kept by its REST 2.0 API.
//!
//! Nothing is remembered here. What a message needs is found in Request Tracker itself: its ticket by a link that names ours, and the
//! message by its id, which stands in its last line. A message whose answer was lost is therefore found again, and not written twice.
//!
//! ```text
//! hand_over:  ticket known? ── no ──▶ search by link ── not found ──▶ create, with the message
//!                  │ yes                    │ found
//!                  ▼                        ▼
//!             is the message in its history? ── no ──▶ correspond or comment ──▶ see to its status
//! ```
//!
//! Request Tracker sends its requestors no mail about these tickets ([`Rt::hand_over`]): owners get ours. What people write there comes
//! back by [`Rt::replies_since`].

mod client;
mod hand_over;
mod replies;

use std::net::IpAddr;
use std::path::PathBuf;
use std::{fmt, io};

use drover_policies::time::Span;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

pub use client::{Rt, Seen};
pub use hand_over::{HandedOver, Letter};
pub use replies::{Author, Reply, Source, Standing, Words};

/// A Request Tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtConfig {
    /// Its address, as browsers have it: `https://rt.example`.
    pub url: String,
    /// The queue in which tickets are created.
    pub queue: String,
    /// A file with an authentication token of Drover's own user there. It is read for each request, so that it can be changed at any time.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Instead of a token: the name of Drover's own user.
    #[serde(default)]
    pub user: Option<String>,
    /// And a file with its password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of the authority that signed its own, if it is not a public one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How often replies are looked for.
    #[serde(default = "default_poll")]
    pub poll: Span,
    /// The status of a ticket that is open, in the words of the queue's lifecycle.
    #[serde(default = "default_open")]
    pub open_status: String,
    /// The status of a ticket that is closed.
    #[serde(default = "default_closed")]
    pub closed_status: String,
    /// What is made of a command that an owner has mailed to Request Tracker.
    #[serde(default)]
    pub commands_by_mail: CommandsByMail,
}

fn default_timeout() -> Span {
    Span::seconds(30)
}

fn default_poll() -> Span {
    Span::seconds(30)
}

fn default_open() -> String {
    "open".to_owned()
}

fn default_closed() -> String {
    "resolved".to_owned()
}

/// What is made of a command that came into Request Tracker by mail. Those of people who have logged in there are carried out in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandsByMail {
    /// People read it, and nothing else. Request Tracker believes the sender's address of a mail, which anybody can forge.
    #[default]
    Read,
    /// It is carried out, as one in a mail to Drover is: for a Request Tracker behind a mail server that refuses forged senders.
    Obeyed,
}

/// A ticket's number in Request Tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtTicket(pub u64);

impl fmt::Display for RtTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction's number in Request Tracker. They grow, but may be seen in another order than they were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtTransaction(pub u64);

impl fmt::Display for RtTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why something could not be done in Request Tracker.
#[derive(Debug, thiserror::Error)]
pub enum RtError {
    /// A file of the settings can't be read.
    #[error("{field} {} can't be read", path.display())]
    File {
        /// The setting.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file of the settings holds can't be sent.
    #[error("{field} {} holds something that is no secret of one line", path.display())]
    Secret {
        /// The setting.
        field: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file holds no certificate.
    #[error("ca_file {} holds no certificate in PEM form", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// The settings make no client.
    #[error("url or ca_file make no connection")]
    Setup(#[source] reqwest::Error),
    /// Nothing was asked.
    #[error("Request Tracker at {url} can't be reached")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It was asked, and whether it has done it is not known.
    #[error("Request Tracker at {url} did not answer to the end")]
    Unanswered {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It can't at this moment.
    #[error("Request Tracker at {url} answered {status}: {says}")]
    Busy {
        /// Where.
        url: String,
        /// A status of 500 and above, or 429.
        status: StatusCode,
        /// In its words.
        says: String,
    },
    /// It never will, as things are.
    #[error("Request Tracker at {url} refused ({status}: {says}); {advice}")]
    Refused {
        /// Where.
        url: String,
        /// Below 500.
        status: StatusCode,
        /// In its words.
        says: String,
        /// What to do.
        advice: String,
    },
    /// What answered does not speak as Request Tracker does.
    #[error(
        "what answered at {url} is not Request Tracker's REST 2.0: {what}; look at rt.url, and at what stands before it"
    )]
    Foreign {
        /// Where.
        url: String,
        /// What it said instead.
        what: String,
    },
    /// An answer is longer than will be read.
    #[error("an answer of Request Tracker at {url} is longer than {most} bytes")]
    TooLong {
        /// Where.
        url: String,
        /// The most that is read.
        most: usize,
    },
    /// The message is there, but its ticket has another status than it should have.
    #[error(
        "the message is in ticket {ticket} of Request Tracker, but its status could not be set to {status:?}: {says}; {advice}"
    )]
    Status {
        /// Where.
        ticket: RtTicket,
        /// The status that it should have.
        status: String,
        /// In Request Tracker's words.
        says: String,
        /// What to do.
        advice: &'static str,
    },
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Try again.
    Retry,
    /// Try again, but not before this has passed: what was asked may still be under way, and would not be found yet.
    RetryAfter(Span),
    /// Give it up; nothing changes by itself.
    GiveUp,
}

impl RtError {
    /// What to do after it.
    #[must_use]
    pub fn then(&self) -> Then {
        match self {
            Self::Unanswered { .. } => Then::RetryAfter(Span::minutes(2)),
            // A proxy's words: it does not know either.
            Self::Busy { status: StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, .. } => {
                Then::RetryAfter(Span::minutes(2))
            }
            Self::File { .. }
            | Self::Secret { .. }
            | Self::Certificates { .. }
            | Self::Setup(_)
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::Foreign { .. } => Then::Retry,
            Self::Refused { .. } | Self::Status { .. } | Self::TooLong { .. } => Then::GiveUp,
        }
    }
}

impl RtConfig {
    /// What is wrong with the settings, each in a sentence that names the field and what would be right. Files that are named are
    /// opened, but nothing is connected to.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = self.check_url();
        for (field, value, example) in [
            ("queue", &self.queue, "Maintenance"),
            ("open_status", &self.open_status, "open"),
            ("closed_status", &self.closed_status, "resolved"),
        ] {
            if value.trim().is_empty() || value.chars().any(char::is_control) {
                wrong.push(format!("{field} {value:?} is no name; write for example {example:?}"));
            }
        }
        if self.open_status == self.closed_status {
            wrong.push(format!(
                "open_status and closed_status are both {:?}; no ticket could be closed",
                self.open_status
            ));
        }
        for (field, span) in [("timeout", self.timeout), ("poll", self.poll)] {
            if span < Span::seconds(1) {
                wrong.push(format!("{field} {span} is too short; write at least 1s"));
            }
        }
        wrong.extend(self.check_secret());
        if self.ca_file.is_some() {
            wrong.extend(Rt::new(self.clone()).err().map(|error| crate::words::told(&error)));
        }
        wrong
    }

    fn check_url(&self) -> Vec<String> {
        let example = "write for example \"https://rt.example\"";
        let Ok(url) = Url::parse(&self.url) else {
            return vec![format!("url {:?} is no address; {example}", self.url)];
        };
        let mut wrong = Vec::new();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            wrong.push(format!("url {:?} is no address of a web server; {example}", self.url));
        } else if url.scheme() == "http" && !is_on_this_machine(&url) {
            wrong.push(format!(
                "url {:?} would send the secret in clear; write https, or put the Request Tracker on this machine",
                self.url
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            wrong.push(
                "url must not hold a user or a password; write them as user and password_file".to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() || url.path().contains("REST/2.0") {
            wrong.push(format!("url {:?} must end where Request Tracker begins; {example}", self.url));
        }
        wrong
    }

    fn check_secret(&self) -> Option<String> {
        match (&self.token_file, &self.user, &self.password_file) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {
                self.secret().err().map(|error| crate::words::told(&error))
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Some("token_file stands for user and password_file; write one or the other".to_owned())
            }
            (None, Some(_), None) => Some("user needs a password_file beside it".to_owned()),
            (None, None, Some(_)) => Some("password_file needs a user beside it".to_owned()),
            (None, None, None) => Some(
                "token_file is missing; make a token for Drover's own user in Request Tracker (Settings, Auth Tokens) and name the file that holds it"
                    .to_owned(),
            ),
        }
    }
}

fn is_on_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}
