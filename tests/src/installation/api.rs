//! The scheduler's API as tests and the demonstration ask it: JSON in, JSON out, one call at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// No answer takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller of the API with its token.
#[derive(Debug, Clone)]
pub struct Api {
    runtime: Arc<Runtime>,
    client: reqwest::Client,
    url: String,
    token: String,
}

/// What the scheduler answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it says; null if it says nothing.
    pub body: Value,
}

impl Answer {
    /// What it says.
    ///
    /// # Errors
    /// If it is a refusal or an error; the message is the scheduler's.
    pub fn ok(self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("{}: {}", self.status, self.body);
        }
        Ok(self.body)
    }
}

impl Api {
    /// A caller that has not called yet.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub fn new(url: &str, token: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = {
            let _inside = runtime.enter();
            // What the environment says of proxies is for the world outside.
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?
        };
        Ok(Self { runtime: Arc::new(runtime), client, url: url.to_owned(), token: token.to_owned() })
    }

    /// The same scheduler, asked with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Where the scheduler is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Reads.
    ///
    /// # Errors
    /// If there is no answer. A refusal is an answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.call(self.client.get(format!("{}{path}", self.url)))
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    /// If a page is refused.
    pub fn all(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(path)?,
                Some(cursor) => self.get(&format!("{path}{mark}cursor={cursor}"))?,
            };
            let page = page.ok()?;
            items.extend(page["items"].as_array().context("the answer is no list")?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// Wishes something; null is a wish without a body.
    ///
    /// # Errors
    /// If there is no answer. A refusal is an answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.client.post(format!("{}{path}", self.url));
        self.call(if body.is_null() { request } else { request.json(body) })
    }

    /// Puts something in its place.
    ///
    /// # Errors
    /// If there is no answer. A refusal is an answer.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(self.client.put(format!("{}{path}", self.url)).json(body))
    }

    fn call(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        self.runtime.block_on(async {
            let response =
                request.bearer_auth(&self.token).send().await.context("the scheduler gives no answer")?;
            let status = response.status().as_u16();
            let text = response.text().await.context("the scheduler's answer broke off")?;
            let body = if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            };
            Ok(Answer { status, body })
        })
    }
}
