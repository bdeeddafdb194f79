//! Asking the scheduler.

use std::time::Duration;

use drover_policies::ids::IdSource;
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config::Connection;
use super::exit::{Exit, Failed};
use crate::clock::RandomIds;
use crate::http::problem::Problem;

/// How often a change is sent when its answer is lost: it carries a key, so that it is done once.
const TRIES: u32 = 3;

/// A scheduler that can be asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    connection: Connection,
}

/// An answer, as it came and as it is understood.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// As it came.
    pub json: Value,
    /// As it is understood.
    pub value: T,
}

/// A parameter of an address.
pub type Parameter = (&'static str, String);

impl Client {
    /// A client for a scheduler; nothing is sent yet.
    ///
    /// # Errors
    /// The machine's certificates can't be read.
    pub fn new(connection: Connection) -> Result<Self, Failed> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failed::refused(format!("no HTTPS can be spoken: {error}")))?;
        Ok(Self { http, connection })
    }

    /// Where the scheduler is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.connection.url
    }

    /// Reads an object.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[Parameter],
    ) -> Result<Answer<T>, Failed> {
        let request = self.request(Method::GET, path).query(query).timeout(Duration::from_secs(30));
        understood(self.send(request).await?).await
    }

    /// Reads a list, page after page, up to a limit.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[Parameter],
        limit: Option<usize>,
    ) -> Result<Answer<Vec<T>>, Failed> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = limit.map_or(200, |limit| limit.saturating_sub(items.len()).min(200));
            let mut query = query.to_vec();
            query.push(("limit", left.max(1).to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Answer<Value> = self.get(path, &query).await?;
            items.extend(page.value["items"].as_array().cloned().unwrap_or_default());
            cursor = page.value["next_cursor"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() || limit.is_some_and(|limit| items.len() >= limit) {
                break;
            }
        }
        let json = serde_json::json!({ "items": items });
        let value = serde_json::from_value(Value::Array(items)).map_err(|error| not_understood(&error))?;
        Ok(Answer { json, value })
    }

    /// Asks for a change. It is sent again when its answer is lost; the key makes sure that it is done once.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failed> {
        let key = RandomIds.next().to_string();
        let mut lost = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(500) * attempt).await;
            }
            let request = self
                .request(Method::POST, path)
                .header("idempotency-key", &key)
                .timeout(Duration::from_secs(30))
                .json(body);
            match self.send(request).await {
                Ok(response) => return understood(response).await,
                Err(failed) if failed.exit == Exit::Unreachable => lost = Some(failed),
                Err(failed) => return Err(failed),
            }
        }
        Err(lost.unwrap_or_else(|| self.unreachable("no answer")))
    }

    /// Puts an object.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failed> {
        let request = self.request(Method::PUT, path).timeout(Duration::from_secs(30)).json(body);
        understood(self.send(request).await?).await
    }

    /// Removes an object.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn delete(&self, path: &str) -> Result<(), Failed> {
        let request = self.request(Method::DELETE, path).timeout(Duration::from_secs(30));
        self.send(request).await.map(|_| ())
    }

    /// Opens the stream of events. It may last for days, so it has no time limit; the heartbeats are the caller's to miss.
    ///
    /// # Errors
    /// As [`Failed`] says.
    pub async fn stream(&self, query: &[Parameter], last: Option<i64>) -> Result<Response, Failed> {
        let mut request = self.request(Method::GET, "/v1/events/stream").query(query);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.connection.url));
        match &self.connection.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failed> {
        let response = request.send().await.map_err(|error| {
            if error.is_builder() {
                Failed::usage(format!("{:?} is no address: {}", self.connection.url, innermost(&error)))
                    .hint("write --url http://HOST:7070")
            } else {
                self.unreachable(&innermost(&error))
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(self.refusal(status, &text))
    }

    fn unreachable(&self, why: &str) -> Failed {
        Failed::new(
            Exit::Unreachable,
            format!("the scheduler at {} can't be reached: {why}", self.connection.url),
        )
        .hint("Is it running (systemctl status drover-scheduler), and is --url or DROVER_URL right?")
    }

    fn refusal(&self, status: StatusCode, text: &str) -> Failed {
        let Ok(problem) = serde_json::from_str::<Problem>(text) else {
            // Not ours: a proxy before the scheduler, or something else that listens there.
            let exit = if status.is_server_error() { Exit::Unreachable } else { Exit::Refused };
            return Failed::new(
                exit,
                format!("{} answered {status}, but not as a scheduler would", self.url()),
            )
            .hint("Is --url or DROVER_URL the scheduler's address?");
        };
        let exit = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Exit::Unreachable,
            _ => Exit::Refused,
        };
        let mut failed = Failed::new(exit, &problem.detail);
        failed.hint = hint(&problem, self.connection.token.is_some());
        failed.problem = serde_json::to_value(&problem).ok();
        failed
    }
}

/// What helps, where the sentence itself can't know it: how things are called here.
fn hint(problem: &Problem, has_token: bool) -> Option<String> {
    let list = |name: &str| -> Option<String> {
        let items = problem.more.get(name)?.as_array()?;
        let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    match problem.slug() {
        "unauthenticated" if !has_token => {
            Some("Give a token by --token-file, DROVER_TOKEN, or ~/.config/drover/config.toml.".to_owned())
        }
        "internal" => {
            let id = problem.more.get("request_id").and_then(Value::as_str)?;
            Some(format!("Look for {id} in the scheduler's log."))
        }
        _ => None,
    }
    .or_else(|| list("suggestions").map(|names| format!("Did you mean {names}?")))
}

async fn understood<T: DeserializeOwned>(response: Response) -> Result<Answer<T>, Failed> {
    let text = response.text().await.map_err(|error| {
        Failed::new(Exit::Unreachable, format!("the answer broke off: {}", innermost(&error)))
    })?;
    let json: Value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).map_err(|error| not_understood(&error))?
    };
    let value = serde_json::from_value(json.clone()).map_err(|error| not_understood(&error))?;
    Ok(Answer { json, value })
}

fn not_understood(error: &serde_json::Error) -> Failed {
    Failed::refused(format!("the scheduler's answer is not understood: {error}")).hint(
        "This drover and the scheduler are probably of different versions; compare with `drover doctor`.",
    )
}

/// The innermost cause: the outer ones say only that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Kind;

    fn client(token: Option<&str>) -> Client {
        Client::new(Connection { url: "http://127.0.0.1:9".to_owned(), token: token.map(ToOwned::to_owned) })
            .expect("a client")
    }

    fn refusal(client: &Client, problem: &Problem) -> Failed {
        let status = StatusCode::from_u16(problem.status).expect("a status");
        client.refusal(status, &serde_json::to_string(problem).expect("JSON"))
    }

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        let client = client(Some("drv_op_x"));
        for (kind, exit) in [
            (Kind::Unauthenticated, Exit::NotAllowed),
            (Kind::WrongToken, Exit::NotAllowed),
            (Kind::NotFound, Exit::NotFound),
            (Kind::HostTaken, Exit::Refused),
            (Kind::InvalidField, Exit::Refused),
            (Kind::Unavailable, Exit::Unreachable),
        ] {
            assert_eq!(refusal(&client, &Problem::new(kind, "no")).exit, exit, "{kind:?}");
        }
    }

    #[test]
    fn nearest_names_are_offered_and_a_missing_token_is_explained() {
        let typo = Problem::not_found("host", "h9").with("suggestions", ["h1", "h2"]);
        assert_eq!(refusal(&client(Some("t")), &typo).hint.as_deref(), Some("Did you mean h1, h2?"));
        let failed = refusal(&client(None), &Problem::new(Kind::Unauthenticated, "a token is needed"));
        assert!(failed.hint.expect("a hint").contains("DROVER_TOKEN"));
    }

    #[test]
    fn an_answer_of_something_else_says_that_it_is_no_scheduler() {
        let failed = client(None).refusal(StatusCode::BAD_GATEWAY, "<html>bad gateway</html>");
        assert_eq!(failed.exit, Exit::Unreachable);
        assert!(failed.to_string().contains("not as a scheduler would"));
    }

    #[tokio::test]
    async fn a_scheduler_that_is_not_there_is_told_with_its_address() {
        let failed = client(None).get::<Value>("/readyz", &[]).await.expect_err("nobody listens on port 9");
        assert_eq!(failed.exit, Exit::Unreachable);
        assert!(failed.message.contains("http://127.0.0.1:9"), "{failed}");
    }
}
