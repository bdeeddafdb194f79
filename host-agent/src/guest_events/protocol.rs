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

/// Answers the guest of this server.
#[must_use]
pub fn answer(agent: &Agent, guest: ServerId, request: &Request<Vec<u8>>) -> Answer {
    match checked(request) {
        Ok(()) => {}
        Err(refusal) => return refusal,
    }
    match *request.method() {
        Method::GET => match agent.events_of(guest) {
            Ok(document) => json_answer(StatusCode::OK, &document),
            Err(not_yet) => not_now(&not_yet.to_string()),
        },
        Method::POST => match approve(agent, guest, request.body()) {
            Ok(()) => json_answer(StatusCode::OK, &json!({})),
            Err(refusal) => refusal,
        },
        _ => {
            let text = "only GET and POST are known here";
            with(refused(StatusCode::METHOD_NOT_ALLOWED, text), ALLOW, HeaderValue::from_static("GET, POST"))
        }
    }
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

fn checked(request: &Request<Vec<u8>>) -> Result<(), Answer> {
    let bad = |text: &str| refused(StatusCode::BAD_REQUEST, text);
    if let Some(header) = OF_PROXIES.iter().find(|name| request.headers().contains_key(**name)) {
        let text = format!(
            "a request with {header} has come through a proxy; ask from the server itself, without one"
        );
        return Err(bad(&text));
    }
    if !says_metadata(request.headers()) {
        return Err(bad("the header `Metadata: true` is required"));
    }
    if request.uri().path().trim_end_matches('/').eq_ignore_ascii_case(PATH) {
        version(request.uri().query().unwrap_or_default())
    } else {
        Err(refused(StatusCode::NOT_FOUND, &format!("there is only {PATH}")))
    }
}

fn says_metadata(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("metadata").iter();
    let first = values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    first && values.next().is_none()
}

fn version(query: &str) -> Result<(), Answer> {
    let mut given =
        query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| *name == "api-version");
    let refusal = |text: String| {
        Err(json_answer(StatusCode::BAD_REQUEST, &json!({ "error": text, "newest-versions": API_VERSIONS })))
    };
    match (given.next(), given.next()) {
        (Some((_, version)), None) if API_VERSIONS.contains(&version) => Ok(()),
        (Some(_), None) => refusal("this api-version is not known".to_owned()),
        (Some(_), Some(_)) => refusal("api-version is there twice".to_owned()),
        (None, _) => refusal("api-version is required, for example ?api-version=2020-07-01".to_owned()),
    }
}

/// All that are named, or none.
fn approve(agent: &Agent, guest: ServerId, body: &[u8]) -> Result<(), Answer> {
    const EXAMPLE: &str = r#"{"StartRequests":[{"EventId":"C7061BAC-AFDC-4513-B24B-AA5F13A16123"}]}"#;
    let bad = |text: String| refused(StatusCode::BAD_REQUEST, &text);
    let approval: Approval =
        serde_json::from_slice(body).map_err(|error| bad(format!("{error}; send {EXAMPLE}")))?;
    let requests = &approval.start_requests;
    if requests.is_empty() || requests.len() > MOST_APPROVED {
        return Err(bad(format!("name between 1 and {MOST_APPROVED} events, as in {EXAMPLE}")));
    }
    let document = agent.events_of(guest).map_err(|not_yet| not_now(&not_yet.to_string()))?;
    for request in requests {
        let named = request.event_id.to_string().to_uppercase();
        if document.events.iter().all(|event| event.event_id != named) {
            return Err(bad(NotAcknowledged::NoSuchEvent { event: named }.to_string()));
        }
    }
    for request in requests {
        agent.acknowledge(guest, request.migration()).map_err(|refusal| {
            let text = refusal.to_string();
            match refusal {
                NotAcknowledged::NoSuchEvent { .. } => bad(text),
                NotAcknowledged::Forbidden { .. } => refused(StatusCode::FORBIDDEN, &text),
                NotAcknowledged::NotKnownYet(_) => not_now(&text),
                NotAcknowledged::NotKept(error) => {
                    tracing::error!(server = %guest, "what its guest acknowledged can't be kept: {error}");
                    not_now(&text)
                }
            }
        })?;
    }
    Ok(())
}
