//! Webhooks: the operator's from the configuration, and what holds for those of owners.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use drover_notifier::webhook::{Answered, BadSecret, Event, Readers, Secret, Signing, post};
use drover_policies::bulletins::Says;
use drover_policies::channels::{ChannelName, Listener, kinds};
use drover_policies::ids::{OwnerId, WebhookName};
use drover_policies::self_service::{TESTS_COUNTED, TooManyTests, may_test};
use drover_policies::time::Instant;
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::outbound::{CallError, unreachable};

/// Shorter than an owner's, whose name is a UUID: by its name alone it is known whose a channel is.
const LONGEST_NAME: usize = 30;

/// A webhook of the operator's: it may reach any address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name; the channel is `webhook:` and this.
    pub name: String,
    /// Where to.
    pub url: String,
    /// What it is signed with: `whsec_…`. Write it here or into a file of its own.
    #[serde(default)]
    pub secret: Option<String>,
    /// The file with what it is signed with.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The kinds of messages that it hears; none for all.
    #[serde(default)]
    pub kinds: BTreeSet<String>,
    /// The owner whose tickets it hears of; nothing for all.
    #[serde(default)]
    pub owner: Option<OwnerId>,
}

/// A webhook, ready to be posted to.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Where to.
    pub url: Url,
    /// What it is signed with.
    pub signing: Signing,
    /// Whose it is: the operators' reach any address, the owners' only what [`Outbound`](crate::outbound::Outbound) reaches.
    pub readers: Readers,
}

impl Hook {
    /// Posts an event. What stood in the way of an owner's says no more than he could have found out himself.
    pub async fn post(&self, app: &App, id: &str, body: Vec<u8>) -> Answered {
        let not_now = |why: String| Answered::NotNow { why, not_before: None };
        let client = match self.readers {
            Readers::Operators => app.webhook_client.as_ref().ok_or(CallError::NoClient),
            Readers::Owners => app.outbound.client(&self.url),
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return not_now(error.to_string()),
        };
        let timeout = app.config.delivery.webhook_timeout;
        let event = Event { url: &self.url, signing: &self.signing, id, body, timeout };
        match post(client, event, app.clock.now()).await {
            Ok(answered) => answered,
            Err(error) => not_now(match self.readers {
                Readers::Owners => unreachable(&self.url, &error).to_string(),
                Readers::Operators => crate::chain(&error),
            }),
        }
    }
}

/// When each account had test events posted lately. Kept in memory only: a restart forgets it, and a few events more do no harm.
#[derive(Debug, Default)]
pub struct Tests(Mutex<BTreeMap<OwnerId, Vec<Instant>>>);

impl Tests {
    /// Counts one more, if the account may have it posted.
    ///
    /// # Errors
    /// It had too many lately.
    pub fn count(&self, owner: &OwnerId, now: Instant) -> Result<(), TooManyTests> {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.retain(|_, tests| {
            tests.retain(|at| *at + TESTS_COUNTED.delta() > now);
            !tests.is_empty()
        });
        let tests = lately.entry(owner.clone()).or_default();
        may_test(tests, now)?;
        tests.push(now);
        Ok(())
    }
}

/// The client for the operators' own webhooks: it reaches any address, and follows no redirect. Nothing, and a line in the log, when
/// this machine can't make one.
#[must_use]
pub fn operators_client() -> Option<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
        .build()
        .inspect_err(|error| tracing::error!(error = %crate::chain(error), "no webhook can be posted to"))
        .ok()
}

/// Why there is no secret to sign with.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    /// It is said nowhere, or twice.
    #[error("write either secret = \"whsec_…\" or secret_file = \"/etc/drover/…\"")]
    NotOne,
    /// Its file can't be read.
    #[error("secret_file {} can't be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none.
    #[error(transparent)]
    Bad(#[from] BadSecret),
}

impl WebhookConfig {
    /// What it is signed with. A file is read each time, so that it can be changed at any time.
    ///
    /// # Errors
    /// There is none.
    pub fn secret(&self) -> Result<Secret, NoSecret> {
        match (&self.secret, &self.secret_file) {
            (Some(secret), None) => Ok(secret.parse()?),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| NoSecret::File { path: path.clone(), source })?;
                Ok(text.trim().parse()?)
            }
            (Some(_), Some(_)) | (None, None) => Err(NoSecret::NotOne),
        }
    }

    /// Where to; nothing when it is no address, which [`problems`] says.
    #[must_use]
    pub fn url(&self) -> Option<Url> {
        self.url.parse().ok().filter(|url: &Url| matches!(url.scheme(), "https" | "http") && url.has_host())
    }

    /// As a channel; nothing when its name is none, which [`problems`] says.
    #[must_use]
    pub fn listener(&self) -> Option<Listener> {
        let name = WebhookName::new(&self.name).ok()?;
        Some(Listener {
            channel: ChannelName::Webhook(name),
            owner: self.owner.clone(),
            kinds: self.kinds.clone(),
        })
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.chars().all(plain) {
            problems.push(format!(
                "name {:?} can't be one; write 1 to {LONGEST_NAME} of the characters a-z, 0-9 and -",
                self.name
            ));
        }
        if self.url().is_none() {
            problems.push(format!(
                "url {:?} is no address; write for example \"https://portal.example/drover\"",
                self.url
            ));
        }
        problems.extend(self.secret().err().map(|bad| crate::chain(&bad)));
        problems.extend(unknown_kind(&self.kinds, kinds()).map(|bad| format!("kinds: {bad}")));
        let of_maintenance = self.kinds.iter().find(|kind| Says::KINDS.contains(&kind.as_str()));
        if let (Some(owner), Some(kind)) = (&self.owner, of_maintenance) {
            problems.push(format!(
                "kinds: {kind:?} is told of maintenances, which belong to no owner, so that it never comes to one that hears of {owner} only; leave out owner or this kind"
            ));
        }
        problems
    }
}

/// What is wrong with the operator's webhooks, each in a sentence that names the field and what would be right.
#[must_use]
pub fn problems(webhooks: &[WebhookConfig]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut problems = Vec::new();
    for webhook in webhooks {
        let name = &webhook.name;
        if !names.insert(name) {
            problems.push(format!("webhook {name:?} is there twice; give each a name of its own"));
        }
        problems.extend(webhook.problems().into_iter().map(|problem| format!("webhook {name:?}: {problem}")));
    }
    problems
}

/// The first that is none of these kinds of messages, in a sentence that says which there are.
#[must_use]
pub fn unknown_kind(
    kinds: &BTreeSet<String>,
    known: impl IntoIterator<Item = &'static str>,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let unknown = kinds.iter().find(|kind| !known.contains(&kind.as_str()))?;
    Some(format!("{unknown:?} is no kind of message; choose from {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(text: &str) -> WebhookConfig {
        toml::from_str(text).expect("it parses")
    }

    #[test]
    fn a_webhook_with_something_wrong_is_refused_with_what_would_be_right() {
        let good = webhook(
            "name = \"portal\"\nurl = \"http://10.0.0.1:8080/x\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
        );
        assert_eq!(problems(std::slice::from_ref(&good)), Vec::<String>::new());
        let wrong = |change: fn(&mut WebhookConfig)| {
            let mut webhook = good.clone();
            change(&mut webhook);
            problems(&[webhook]).join("; ")
        };
        assert!(wrong(|w| w.name = "The Portal".to_owned()).contains("1 to 30 of the characters"));
        assert!(wrong(|w| w.url = "portal".to_owned()).contains("url \"portal\" is no address"));
        assert!(wrong(|w| w.secret = None).contains("either secret"));
        let hunter = wrong(|w| w.secret = Some("hunter2".to_owned()));
        assert!(hunter.contains("must be whsec_") && !hunter.contains("hunter2"), "{hunter}");
        assert!(wrong(|w| w.kinds = ["don".to_owned()].into()).contains("choose from proposed, reminder"));
        let never = wrong(|w| {
            w.kinds = ["maintenance_over".to_owned()].into();
            w.owner = Some(OwnerId::new("acme").expect("a name"));
        });
        assert!(never.contains("leave out owner or this kind"), "{never}");
        assert_eq!(wrong(|w| w.kinds = ["maintenance_over".to_owned()].into()), "");
        let file = wrong(|w| (w.secret, w.secret_file) = (None, Some("/nonexistent".into())));
        assert!(file.contains("secret_file /nonexistent can't be read"), "{file}");
        assert!(problems(&[good.clone(), good]).join("; ").contains("is there twice"));
    }
}
