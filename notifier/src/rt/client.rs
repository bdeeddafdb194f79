//! One request and its answer.

use std::fs;
use std::path::Path;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::{RtConfig, RtError};
use crate::words;

/// The most of an answer that is read, in bytes.
const MOST: usize = 4 << 20;

/// Longest text of Request Tracker's in an error.
const SAYS: usize = 300;

/// A connection to a Request Tracker.
#[derive(Debug, Clone)]
pub struct Rt {
    pub(super) config: RtConfig,
    http: reqwest::Client,
    /// Ends in `/REST/2.0/`.
    base: Url,
}

/// What was seen when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Request Tracker's version.
    pub version: String,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

/// Whatever has a number. Request Tracker writes numbers now as such and now as text.
#[derive(Deserialize)]
pub(super) struct Numbered {
    #[serde(deserialize_with = "number")]
    pub(super) id: u64,
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A related thing, as every record names it.
#[derive(Deserialize)]
pub(super) struct Hyperlink {
    #[serde(rename = "ref", default)]
    pub(super) relation: String,
    #[serde(rename = "_url", default)]
    pub(super) url: String,
}

impl RtConfig {
    /// What proves who we are.
    pub(super) fn secret(&self) -> Result<HeaderValue, RtError> {
        let bad = |field, path: &Path| RtError::Secret { field, path: path.to_owned() };
        if let Some(path) = &self.token_file {
            let token = read("token_file", path)?;
            let mut value = HeaderValue::from_str(&format!("token {token}"))
                .ok()
                .filter(|_| !token.is_empty() && !token.contains(char::is_whitespace))
                .ok_or_else(|| bad("token_file", path))?;
            value.set_sensitive(true);
            return Ok(value);
        }
        let path = self.password_file.clone().unwrap_or_default();
        let password = read("password_file", &path)?;
        if password.is_empty() || password.contains(char::is_control) {
            return Err(bad("password_file", &path));
        }
        let pair = format!("{}:{password}", self.user.as_deref().unwrap_or_default());
        let mut value = HeaderValue::from_str(&format!("Basic {}", super::replies::encoded(pair.as_bytes())))
            .map_err(|_| bad("password_file", &path))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read(field: &'static str, path: &Path) -> Result<String, RtError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(source) => Err(RtError::File { field, path: path.to_owned(), source }),
    }
}

impl Rt {
    /// Nothing is connected to yet.
    ///
    /// # Errors
    /// The settings make no client.
    pub fn new(config: RtConfig) -> Result<Self, RtError> {
        let mut builder = reqwest::Client::builder()
            .timeout(config.timeout.0)
            // A secret is for the address that it was given for. An operator who is sent elsewhere writes that address.
            .redirect(redirect::Policy::none());
        if let Some(path) = &config.ca_file {
            let pem = fs::read(path).map_err(|source| RtError::File {
                field: "ca_file",
                path: path.clone(),
                source,
            })?;
            let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(RtError::Certificates { path: path.clone() });
            }
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(RtError::Setup)?;
        let base = format!("{}/REST/2.0/", config.url.trim_end_matches('/'));
        let base = http.get(base).build().map_err(RtError::Setup)?.url().clone();
        Ok(Self { config, http, base })
    }

    /// Looks whether it is there, knows us, and lets us create tickets in the queue.
    ///
    /// # Errors
    /// It isn't or doesn't; the error says what to do.
    pub async fn look(&self) -> Result<Seen, RtError> {
        #[derive(Deserialize)]
        struct Installation {
            #[serde(rename = "Version")]
            version: String,
        }
        #[derive(Deserialize)]
        struct Queue {
            #[serde(rename = "_hyperlinks", default)]
            links: Vec<Hyperlink>,
        }
        let installation: Installation = self.get(&["rt"], &[]).await?;
        let queue: Queue = self.get(&["queue", &self.config.queue], &[]).await?;
        if queue.links.iter().any(|link| link.relation == "create") {
            return Ok(Seen { version: installation.version });
        }
        Err(self.refused(StatusCode::FORBIDDEN, "no right to create tickets there".to_owned()))
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, RtError> {
        self.ask(self.request(Method::GET, path)?.query(query)).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &serde_json::Value,
    ) -> Result<T, RtError> {
        self.ask(self.request(method, path)?.json(body)).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, RtError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(self.http.request(method, url).header(AUTHORIZATION, self.config.secret()?))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, RtError> {
        let response = request.send().await.map_err(|source| self.unanswered(source))?;
        let status = response.status();
        let body = self.whole(response).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| RtError::Foreign {
                url: self.base.to_string(),
                what: format!("{error} in {:?}", excerpt(&body)),
            });
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RtError::Busy { url: self.base.to_string(), status, says: said(&body) });
        }
        Err(self.refused(status, said(&body)))
    }

    async fn whole(&self, mut response: Response) -> Result<Vec<u8>, RtError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unanswered(source))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST {
                return Err(RtError::TooLong { url: self.base.to_string(), most: MOST });
            }
        }
        Ok(body)
    }

    /// Only a connection that never came about is sure to have done nothing.
    fn unanswered(&self, source: reqwest::Error) -> RtError {
        let (url, source) = (self.base.to_string(), source.without_url());
        if source.is_connect() || source.is_builder() {
            RtError::Unreachable { url, source }
        } else {
            RtError::Unanswered { url, source }
        }
    }

    fn refused(&self, status: StatusCode, says: String) -> RtError {
        let queue = &self.config.queue;
        let advice = match status {
            StatusCode::UNAUTHORIZED => {
                "make a new token for Drover's own user and write it into rt.token_file (or mend rt.user and rt.password_file)".to_owned()
            }
            StatusCode::FORBIDDEN => format!(
                "look whether the queue {queue:?} exists and is enabled, and give Drover's own user the rights SeeQueue, CreateTicket, ShowTicket, ShowTicketComments, \
                 ReplyToTicket, CommentOnTicket and ModifyTicket in it"
            ),
            StatusCode::NOT_FOUND => {
                format!("look whether rt.url, the queue {queue:?} and the ticket still exist")
            }
            _ if status.is_redirection() => {
                "write the address that it sends browsers to as rt.url".to_owned()
            }
            _ => "look into Request Tracker's log for the reason".to_owned(),
        };
        RtError::Refused { url: self.base.to_string(), status, says, advice }
    }
}

/// What Request Tracker gives as the reason.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Reason {
        message: String,
    }
    match serde_json::from_slice::<Reason>(body) {
        Ok(reason) => words::one_line(&reason.message, SAYS),
        Err(_) => excerpt(body),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = words::one_line(&String::from_utf8_lossy(&body[..body.len().min(SAYS)]), SAYS);
    if text.is_empty() { "nothing".to_owned() } else { text }
}
