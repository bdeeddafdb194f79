//! What the API says when it refuses: problem details after RFC 9457.
//!
//! `type` is stable and is what programs should look at; `detail` is a sentence for a person, and says what would be right. Nothing in here
//! tells of the inside: an error that nobody expected is logged with the request's id, and the answer carries that id alone.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_policies::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Where every `type` begins.
pub const BASE: &str = "https://drover.dev/problems/";

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON.
    MalformedBody,
    /// A field of the body is wrong, missing or unknown.
    InvalidField,
    /// A parameter in the address or a header is wrong.
    InvalidParameter,
    /// The body is announced as something else than JSON.
    UnsupportedMediaType,
    /// The body is too large.
    TooLarge,
    /// No such object, or not one of this owner's.
    NotFound,
    /// No such address.
    NoSuchRoute,
    /// The address knows other methods only.
    MethodNotAllowed,
    /// No token, or not a valid one.
    Unauthenticated,
    /// A token of the wrong kind.
    WrongToken,
    /// Several objects have this name.
    AmbiguousName,
    /// The object's state does not allow it.
    Refused,
    /// Another maintenance has the host.
    HostTaken,
    /// The appointment can't be changed as wished.
    Appointment,
    /// It was asked for too often.
    TooOften,
    /// The object has changed since it was read.
    PreconditionFailed,
    /// The same `Idempotency-Key` came with another request.
    KeyReused,
    /// Somebody else changed it at the same moment.
    Conflict,
    /// A policy text is wrong.
    BadPolicy,
    /// This scheduler can't act now.
    Unavailable,
    /// Nobody expected it.
    Internal,
}

impl Kind {
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedBody => ("malformed-body", StatusCode::BAD_REQUEST, "The body is not JSON"),
            Self::InvalidField => {
                ("invalid-field", StatusCode::UNPROCESSABLE_ENTITY, "A field of the body is not usable")
            }
            Self::InvalidParameter => {
                ("invalid-parameter", StatusCode::BAD_REQUEST, "A parameter is not usable")
            }
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
            }
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such object"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "There is no such address"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The address has no such method")
            }
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "A valid token is needed"),
            Self::WrongToken => ("wrong-token", StatusCode::FORBIDDEN, "Another kind of token is needed"),
            Self::AmbiguousName => ("ambiguous-name", StatusCode::CONFLICT, "Several have this name"),
            Self::Refused => ("refused", StatusCode::CONFLICT, "That can't be done now"),
            Self::HostTaken => ("host-taken", StatusCode::CONFLICT, "Another maintenance has the host"),
            Self::Appointment => ("appointment", StatusCode::CONFLICT, "The appointment can't be changed so"),
            Self::TooOften => ("too-often", StatusCode::TOO_MANY_REQUESTS, "That was asked for too often"),
            Self::PreconditionFailed => {
                ("precondition-failed", StatusCode::PRECONDITION_FAILED, "It has changed meanwhile")
            }
            Self::KeyReused => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key was used for another request",
            ),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Somebody else changed it just now"),
            Self::BadPolicy => ("bad-policy", StatusCode::UNPROCESSABLE_ENTITY, "The policy is not usable"),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "The scheduler can't do this now")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something unexpected went wrong")
            }
        }
    }

    /// The stable name of the kind, as a part of the `type`.
    #[must_use]
    pub fn slug(self) -> &'static str {
        self.parts().0
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.parts().1
    }
}

/// A refusal, as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable address that names the kind of problem; for programs.
    #[serde(rename = "type")]
    #[schema(example = "https://drover.dev/problems/invalid-field")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What was wrong this time, and what would be right.
    pub detail: String,
    /// Further figures by kind: `field`, `allowed`, `free`, `candidates`, `suggestions`, `request_id` …
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub more: Map<String, Value>,
    /// After how many seconds it may be asked for again, where that is known; the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem, with its sentence.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (slug, status, title) = kind.parts();
        Self {
            kind: format!("{BASE}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            more: Map::new(),
            retry_after: None,
        }
    }

    /// The same with one figure more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // What can't be written as JSON is left out: the sentence says it already.
        if let Ok(value) = serde_json::to_value(value) {
            self.more.insert(name.to_owned(), value);
        }
        self
    }

    /// Too much was asked for lately; it may be asked for again at `next`.
    pub fn too_often(detail: impl Into<String>, next: Instant, now: Instant) -> Self {
        let wait = u64::try_from((next - now).num_milliseconds()).unwrap_or_default().div_ceil(1000);
        Self { retry_after: Some(wait), ..Self::new(Kind::TooOften, detail).with("next", next) }
    }

    /// A field of the body is wrong.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidField, detail).with("field", field)
    }

    /// A parameter of the address, or a header, is wrong.
    pub fn parameter(parameter: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, detail).with("parameter", parameter)
    }

    /// No such object. One of another owner's is answered by this very sentence.
    #[must_use]
    pub fn not_found(what: &str, given: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {given:?}")).with("given", given)
    }

    /// Logs an error that nobody expected, and answers without it.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            causes.push_str(": ");
            causes.push_str(&inner.to_string());
            cause = inner.source();
        }
        tracing::error!(error = causes, "a request failed unexpectedly");
        Self::new(
            Kind::Internal,
            "the scheduler could not answer this; nothing was changed. Its log says more under this request_id",
        )
    }

    /// The last part of the `type`.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix(BASE).unwrap_or(&self.kind)
    }
}

/// Marks an answer as a problem, so that the outermost layer can add the request's id to it.
#[derive(Clone)]
pub(crate) struct IsProblem(pub(crate) Problem);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"drover\""));
        }
        let usual = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2);
        if let Some(seconds) = self.retry_after.or(usual) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(IsProblem(self));
        response
    }
}
