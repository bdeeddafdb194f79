//! The call to the scheduler, again and again.
//!
//! Two kinds of call take turns. A *telling* call carries news and is answered at once; it is never given up, so what it tells
//! arrives however fast more news comes. A *listening* call carries nothing new and is held open by the scheduler; it is dropped
//! as soon as there is something urgent to tell, and the telling call goes out on a connection that is open already.

use std::collections::hash_map::RandomState;
use std::fs;
use std::future::Future;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use drover_agent_api::{SyncRequest, SyncResponse};
use drover_policies::time::Span;
use reqwest::{Certificate, Client, StatusCode};
use tokio::sync::watch;

use crate::agent::{Agent, News};
use crate::config::Config;

/// How long a listening call may be held when nothing goes on.
const LISTEN: Span = Span::seconds(25);
/// How long while operations run, so that their figures are told several times a second.
const LISTEN_BUSY: Span = Span::milliseconds(200);
/// How long news that is not urgent is gathered.
const GATHER: Duration = Duration::from_millis(200);
/// How much longer than it may be held a call may take.
const ANSWER: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The scheduler could not be reached, or broke off.
    #[error("the scheduler can't be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The scheduler has refused the call.
    #[error("the scheduler refuses this agent ({status}): {text}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it says.
        text: String,
    },
    /// The token could not be read.
    #[error("the token in {path} can't be read; put the token that the scheduler gave for this host into it")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate authority's file is of no use.
    #[error("{path} holds no certificate in PEM form")]
    Authority {
        /// The file.
        path: PathBuf,
    },
}

/// An answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<SyncResponse, LinkError>> + Send + 'a>>;

/// The way to the scheduler: HTTPS, or (in the simulated world) a function call.
pub trait Link: Send + Sync {
    /// Makes the one call.
    fn sync(&self, request: SyncRequest) -> Answering<'_>;
}

/// The way over HTTP.
pub struct HttpLink {
    client: Client,
    address: String,
    token_file: PathBuf,
}

impl HttpLink {
    /// Prepares the way; nothing is called yet.
    ///
    /// # Errors
    /// When the configured certificate authority can't be used.
    pub fn new(config: &Config) -> Result<Self, LinkError> {
        let mut builder = Client::builder().connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        if let Some(path) = &config.ca_file {
            let unusable = || LinkError::Authority { path: path.clone() };
            let pem = fs::read(path).map_err(|_| unusable())?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unusable())?;
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder.build().map_err(LinkError::Unreachable)?;
        let address = format!("{}/agent/v1/sync", config.scheduler);
        Ok(Self { client, address, token_file: config.token_file.clone() })
    }

    /// Read for each call, so that a new token needs no restart.
    fn token(&self) -> Result<String, LinkError> {
        let text = fs::read_to_string(&self.token_file)
            .map_err(|source| LinkError::Token { path: self.token_file.clone(), source })?;
        Ok(text.trim().to_owned())
    }

    async fn post(&self, body: Vec<u8>, limit: Duration) -> Result<Vec<u8>, LinkError> {
        let request = self
            .client
            .post(&self.address)
            .bearer_auth(self.token()?)
            .header("content-type", "application/json")
            .timeout(limit)
            .body(body);
        let answer = request.send().await.map_err(LinkError::Unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(LinkError::Unreachable)?;
        if status.is_success() {
            Ok(bytes.to_vec())
        } else {
            Err(LinkError::Refused { status, text: explanation(&bytes) })
        }
    }

    /// Asks whether the scheduler is there and knows the token, without telling it anything.
    ///
    /// # Errors
    /// Says what is in the way.
    pub async fn probe(&self) -> Result<(), LinkError> {
        match self.post(b"{}".to_vec(), ANSWER).await {
            // An empty call is no call; that it was read at all shows that the token is good.
            Err(LinkError::Refused { status, .. })
                if status == StatusCode::BAD_REQUEST || status == StatusCode::UNPROCESSABLE_ENTITY =>
            {
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, request: SyncRequest) -> Result<SyncResponse, LinkError> {
        let refused = |text: String| LinkError::Refused { status: StatusCode::OK, text };
        let limit = Duration::from_millis(request.wait_ms) + ANSWER;
        let body = serde_json::to_vec(&request).map_err(|error| refused(error.to_string()))?;
        let bytes = self.post(body, limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            refused(format!("its answer is not understood ({error}); is it another version?"))
        })
    }
}

impl Link for HttpLink {
    fn sync(&self, request: SyncRequest) -> Answering<'_> {
        Box::pin(self.call(request))
    }
}

/// The words of a problem document, or what there is.
fn explanation(bytes: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let words = |key: &str| problem.as_ref()?.get(key)?.as_str().map(str::to_owned);
    words("detail")
        .or_else(|| words("title"))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).chars().take(200).collect())
}

/// Keeps agent and scheduler in step, for ever.
pub async fn keep_in_step(agent: Arc<Agent>, link: &dyn Link) {
    let mut news = agent.news();
    let mut told: Option<News> = None;
    let mut trouble = Trouble::new();
    loop {
        let now = *news.borrow_and_update();
        let answer = if told == Some(now) {
            let wait = if agent.is_busy() { LISTEN_BUSY } else { LISTEN };
            tokio::select! {
                answer = link.sync(agent.request(wait)) => answer,
                () = worth_telling(&mut news, now) => continue,
            }
        } else {
            link.sync(agent.request(Span::ZERO)).await
        };
        match answer {
            Ok(response) => {
                told = Some(now);
                agent.take(&response);
                trouble.is_over();
            }
            Err(error) => {
                told = None;
                tokio::time::sleep(trouble.with(&error)).await;
            }
        }
    }
}

/// Until there is urgent news, or other news that has waited a little.
async fn worth_telling(news: &mut watch::Receiver<News>, told: News) {
    let changed = news.wait_for(|news| *news != told).await.map(|news| news.urgent != told.urgent);
    match changed {
        Ok(true) => {}
        Ok(false) => {
            // Whatever comes first: the end of the gathering, or something urgent.
            let urgent = news.wait_for(|news| news.urgent != told.urgent);
            drop(tokio::time::timeout(GATHER, urgent).await);
        }
        // The agent outlives its link, so its news never end.
        Err(_) => std::future::pending().await,
    }
}

/// A scheduler that is away or refuses: told once, tried on with growing pauses.
struct Trouble {
    pause: Duration,
    last: Option<String>,
    random: RandomState,
    tries: u64,
}

impl Trouble {
    fn new() -> Self {
        Self { pause: FIRST_PAUSE, last: None, random: RandomState::new(), tries: 0 }
    }

    fn with(&mut self, error: &LinkError) -> Duration {
        let text = said_whole(error);
        if self.last.as_ref() != Some(&text) {
            tracing::warn!("{text}; trying on");
            self.last = Some(text);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.tries += 1;
        // Between half of it and all of it, so that a fleet of agents does not come back at the same moment.
        let part = u32::try_from(self.random.hash_one(self.tries) % 512).unwrap_or(0);
        pause / 2 + pause / 2 * part / 512
    }

    fn is_over(&mut self) {
        if self.last.take().is_some() {
            tracing::info!("the scheduler answers");
        }
        self.pause = FIRST_PAUSE;
    }
}

fn said_whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_begin_anew_after_an_answer() {
        let mut trouble = Trouble::new();
        let error = LinkError::Refused { status: StatusCode::UNAUTHORIZED, text: "no".into() };
        let pauses: Vec<Duration> = (0..12).map(|_| trouble.with(&error)).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[0] >= FIRST_PAUSE / 2);
        assert!(pauses[11] <= LONGEST_PAUSE && pauses[11] >= LONGEST_PAUSE / 2);
        trouble.is_over();
        assert!(trouble.with(&error) <= FIRST_PAUSE);
    }

    #[test]
    fn a_problem_document_is_quoted_by_its_detail() {
        assert_eq!(
            explanation(br#"{"title":"Unauthorized","detail":"the token is for h2"}"#),
            "the token is for h2"
        );
        assert_eq!(explanation(b"<html>"), "<html>");
    }
}
