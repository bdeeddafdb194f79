//! What is answered to a guest that is known: Azure's *Scheduled Events*, as `GET` and `POST /metadata/scheduledevents`.
//!
//! Whoever asks sends `Metadata: true`, which no browser or forwarded link does by itself, and `api-version`. What comes through a proxy is
//! refused, for then it may be anybody's.

use drover_policies::ids::ServerId;
use drover_policies::upcoming::azure::{API_VERSIONS, Approval};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::agent::{Agent, NotAcknowledged};

/// The one path that there is.
pub const PATH: &str = "/metadata/scheduledevents";

/// The largest body, in bytes. Approving every event that a server ever had at once needs less.
pub const LARGEST_BODY: usize = 4096;

/// How many events are approved at once.
const MOST_APPROVED: usize = 16;

/// What tells of a proxy.
const OF_PROXIES: [&str; 4] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded"];

/// An answer, whole.
pub type Answer = Response<Vec<u8>>;

/// Why a guest that is known is not answered as it wished.
enum Refusal {
    /// It was not asked as it has to be asked.
    Bad(String),
    /// Nor in a version that is known.
    Version(&'static str),
    /// There is no such thing.
    NotFound,
    /// It can't be done to it.
    Method,
    /// It is not allowed.
    Forbidden(String),
    /// It will perhaps work in a moment.
    NotNow(String),
}

impl Refusal {
    fn answer(&self) -> Answer {
        match self {
            Self::Bad(text) => refused(StatusCode::BAD_REQUEST, text),
            Self::Version(text) => {
                let body = json!({ "error": text, "newest-versions": API_VERSIONS });
                json_answer(StatusCode::BAD_REQUEST, &body)
            }
            Self::NotFound => refused(StatusCode::NOT_FOUND, &format!("there is only {PATH}")),
            Self::Method => {
                let answer = refused(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are known here");
                with(answer, ALLOW, HeaderValue::from_static("GET, POST"))
            }
            Self::Forbidden(text) => refused(StatusCode::FORBIDDEN, text),
            Self::NotNow(text) => not_now(text),
        }
    }
}

/// Answers the guest of this server.
#[must_use]
pub fn answer(agent: &Agent, guest: ServerId, request: &Request<Vec<u8>>) -> Answer {
    let answered = checked(request).and_then(|()| match *request.method() {
        Method::GET => {
            let document = agent.events_of(guest).map_err(|not_yet| Refusal::NotNow(not_yet.to_string()))?;
            Ok(json_answer(StatusCode::OK, &document))
        }
        Method::POST => {
            approve(agent, guest, request.body())?;
            Ok(json_answer(StatusCode::OK, &json!({})))
        }
        _ => Err(Refusal::Method),
    });
    answered.unwrap_or_else(|refusal| refusal.answer())
}

/// A refusal that says why.
#[must_use]
pub fn refused(status: StatusCode, text: &str) -> Answer {
    json_answer(status, &json!({ "error": text }))
}

/// A refusal that will not last.
#[must_use]
pub fn not_now(text: &str) -> Answer {
    with(refused(StatusCode::SERVICE_UNAVAILABLE, text), RETRY_AFTER, HeaderValue::from_static("5"))
}

fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Answer {
    // These types are plain structs and texts: they always have a JSON form.
    let mut answer = Response::new(serde_json::to_vec(body).unwrap_or_default());
    *answer.status_mut() = status;
    with(answer, CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn checked(request: &Request<Vec<u8>>) -> Result<(), Refusal> {
    if let Some(header) = OF_PROXIES.iter().find(|name| request.headers().contains_key(**name)) {
        return Err(Refusal::Bad(format!(
            "a request with {header} has come through a proxy; ask from the server itself, without one"
        )));
    }
    if !says_metadata(request.headers()) {
        return Err(Refusal::Bad("the header `Metadata: true` is required".to_owned()));
    }
    if request.uri().path().trim_end_matches('/').eq_ignore_ascii_case(PATH) {
        version(request.uri().query().unwrap_or_default())
    } else {
        Err(Refusal::NotFound)
    }
}

fn says_metadata(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("metadata").iter();
    let first = values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    first && values.next().is_none()
}

fn version(query: &str) -> Result<(), Refusal> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut given = pairs.filter(|(name, _)| *name == "api-version");
    match (given.next(), given.next()) {
        (Some((_, version)), None) if API_VERSIONS.contains(&version) => Ok(()),
        (Some(_), None) => Err(Refusal::Version("this api-version is not known")),
        (Some(_), Some(_)) => Err(Refusal::Version("api-version is there twice")),
        (None, _) => Err(Refusal::Version("api-version is required, for example ?api-version=2020-07-01")),
    }
}

/// All that are named, or none.
fn approve(agent: &Agent, guest: ServerId, body: &[u8]) -> Result<(), Refusal> {
    const EXAMPLE: &str = r#"{"StartRequests":[{"EventId":"C7061BAC-AFDC-4513-B24B-AA5F13A16123"}]}"#;
    let approval: Approval =
        serde_json::from_slice(body).map_err(|error| Refusal::Bad(format!("{error}; send {EXAMPLE}")))?;
    let requests = &approval.start_requests;
    if requests.is_empty() || requests.len() > MOST_APPROVED {
        let text = format!("name between 1 and {MOST_APPROVED} events, as in {EXAMPLE}");
        return Err(Refusal::Bad(text));
    }
    let document = agent.events_of(guest).map_err(|not_yet| Refusal::NotNow(not_yet.to_string()))?;
    for request in requests {
        let event = request.event_id.to_string().to_uppercase();
        if document.events.iter().all(|known| known.event_id != event) {
            return Err(Refusal::Bad(NotAcknowledged::NoSuchEvent { event }.to_string()));
        }
    }
    for request in requests {
        agent.acknowledge(guest, request.migration()).map_err(|why| {
            let text = why.to_string();
            match why {
                NotAcknowledged::NoSuchEvent { .. } => Refusal::Bad(text),
                NotAcknowledged::Forbidden { .. } => Refusal::Forbidden(text),
                NotAcknowledged::NotKnownYet(_) => Refusal::NotNow(text),
                NotAcknowledged::NotKept(error) => {
                    tracing::error!(server = %guest, "what its guest acknowledged can't be kept: {error}");
                    Refusal::NotNow(text)
                }
            }
        })?;
    }
    Ok(())
}
