//! What a request brings, checked: its caller, its parameters, its body, and what keeps a repeat from being done twice.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use drover_policies::ids::Generation;
use drover_policies::windows::LARGEST_CALENDAR;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::{Kind, Problem};
use crate::app::App;
use crate::auth::{Caller, hex};
use crate::commands::Wish;

/// The largest body that anything but an agent sends.
const LARGEST_BODY: usize = 256 * 1024;

/// The largest body in which a calendar is handed over: every line break in it is written as two characters more.
const LARGEST_CALENDAR_BODY: usize = LARGEST_CALENDAR * 3 / 2;

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 200;

/// The parameters after the `?`. Unknown ones are refused: a filter with a typo must not answer with everything.
#[derive(Debug, Clone)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Query(params) = Query::<T>::from_request_parts(parts, app).await.map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let named = text.split_once(": ").map(|(name, _)| name).filter(|name| !name.contains(' '));
            let problem =
                Problem::new(Kind::InvalidParameter, format!("the parameters are not usable: {text}"));
            match named.or_else(|| between_backticks(text)) {
                Some(name) => problem.with("parameter", name),
                None => problem,
            }
        })?;
        Ok(Self(params))
    }
}

/// One part of the path, as it was written.
#[derive(Debug, Clone)]
pub struct Named(pub String);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|rejection| Problem::new(Kind::InvalidParameter, rejection.body_text()))?;
        Ok(Self(name))
    }
}

/// What a reader has already.
#[derive(Debug, Clone, Default)]
pub struct Known(Option<String>);

impl FromRequestParts<Arc<App>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(
            parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned),
        ))
    }
}

impl Known {
    /// The object with its ETag, or that nothing has changed.
    ///
    /// The ETag is the object's generation and a hash of what is shown, for an answer also has figures that change without anybody's
    /// wish (progress, what agents see). `If-Match` compares the generation alone.
    pub fn answer(
        &self,
        generation: Option<Generation>,
        value: &impl Serialize,
    ) -> Result<Response, Problem> {
        // By way of a value, whose members have one order: a change compares its own text of the same object with this.
        let value = serde_json::to_value(value).map_err(|error| Problem::internal(&error))?;
        let body = serde_json::to_vec(&value).map_err(|error| Problem::internal(&error))?;
        let etag = etag(generation, &body);
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, value);
        }
        let same = self.0.as_deref().is_some_and(|known| {
            known.trim() == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
        });
        if same {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok((StatusCode::OK, headers, body).into_response())
    }
}

/// The ETag of an answer.
pub(crate) fn etag(generation: Option<Generation>, body: &[u8]) -> String {
    let digest = hex(&Sha256::digest(body)[..8]);
    match generation {
        Some(generation) => format!("\"{generation}-{digest}\""),
        None => format!("\"{digest}\""),
    }
}

/// A wish to change something, with all that came with it.
#[derive(Debug, Clone)]
pub struct Change<W, T> {
    /// Who wishes.
    pub who: W,
    /// Common to every change.
    pub envelope: Envelope,
    /// What is wished.
    pub body: T,
}

/// What every wish to change something may carry.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Names the wish: a repeat under the same key is the same wish.
    pub key: Option<String>,
    /// Hash of the whole request.
    pub hash: String,
    /// The version that the caller has seen.
    pub if_match: IfMatch,
}

/// The version that a caller has seen, if he says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// He doesn't say.
    #[default]
    Any,
    /// One of these ETags.
    One(Vec<String>),
}

impl IfMatch {
    fn read(headers: &HeaderMap) -> Self {
        match headers.get(IF_MATCH).and_then(|value| value.to_str().ok()) {
            None => Self::Any,
            Some(text) if text.trim() == "*" => Self::Any,
            Some(text) => Self::One(text.split(',').map(|one| one.trim().to_owned()).collect()),
        }
    }

    /// Whether the caller knew this generation.
    ///
    /// # Errors
    /// It has changed since.
    pub fn check(&self, generation: Generation) -> Result<(), Problem> {
        let knows = |etag: &String| {
            let text = etag.trim_start_matches("W/").trim_matches('"');
            text.split_once('-').map_or(text, |(generation, _)| generation) == generation.to_string()
        };
        self.settle(|etags| etags.iter().any(knows))
    }

    /// Whether the caller knew this very answer, where an object has no generation.
    ///
    /// # Errors
    /// It has changed since.
    pub fn check_etag(&self, now: &str) -> Result<(), Problem> {
        self.settle(|etags| etags.iter().any(|etag| etag.trim_start_matches("W/") == now))
    }

    fn settle(&self, knows: impl Fn(&[String]) -> bool) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::One(etags) if knows(etags) => Ok(()),
            Self::One(_) => Err(Problem::new(
                Kind::PreconditionFailed,
                "it has changed since you read it (If-Match); read it again, and decide anew",
            )),
        }
    }
}

impl<W, T> FromRequest<Arc<App>> for Change<W, T>
where
    W: FromRequestParts<Arc<App>, Rejection = Problem> + Send,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        // Who may do it comes before what is wished: nobody learns from a refusal about a field that he may not set.
        let who = W::from_request_parts(&mut parts, app).await?;
        let key = key(&parts.headers)?;
        let calendar = parts.uri.path().starts_with("/v1/freezes/");
        let (largest, of) = if calendar {
            (LARGEST_CALENDAR_BODY, format!("; a calendar has at most {LARGEST_CALENDAR}"))
        } else {
            (LARGEST_BODY, String::new())
        };
        let bytes = to_bytes(body, largest).await.map_err(|_| {
            Problem::new(Kind::TooLarge, format!("the body is larger than {largest} bytes{of}"))
        })?;
        let mut digest = Sha256::new();
        digest.update(parts.method.as_str());
        digest.update(parts.uri.path());
        digest.update(&bytes);
        let envelope =
            Envelope { key, hash: hex(&digest.finalize()), if_match: IfMatch::read(&parts.headers) };
        let body = if bytes.is_empty() {
            parse(b"{}")?
        } else {
            typed(&parts.headers).and_then(|()| parse(&bytes))?
        };
        Ok(Self { who, envelope, body })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= LONGEST_KEY => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(Problem::parameter(
            "Idempotency-Key",
            format!(
                "the Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters; a new UUID will do"
            ),
        )),
    }
}

fn typed(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let given = if given.is_empty() { "without a Content-Type".to_owned() } else { format!("as {given:?}") };
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        format!("the body was sent {given}; send JSON with `Content-Type: application/json`"),
    ))
}

/// Reads JSON; what is wrong is told with the field and the place.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        body_problem(&path, error.inner())
    })?;
    reader.end().map_err(|error| body_problem(".", &error))?;
    Ok(value)
}

fn body_problem(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}"))
            .with("line", error.line())
            .with("column", error.column());
    }
    let text = error.to_string();
    // serde says where in the text; the field says it better.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let unknown = text.strip_prefix("unknown field ").and_then(between_backticks);
    let missing = text.strip_prefix("missing field ").and_then(between_backticks);
    let parent = if path == "." { String::new() } else { path.to_owned() };
    // serde's path ends with an unknown field, but only begins before a missing one.
    let field = match (unknown, missing) {
        (Some(unknown), _) if parent.ends_with(unknown) => parent,
        (Some(name), _) | (None, Some(name)) if parent.is_empty() => name.to_owned(),
        (Some(name), _) | (None, Some(name)) => format!("{parent}.{name}"),
        (None, None) => parent,
    };
    let mut detail = if field.is_empty() { text.to_owned() } else { format!("field {field}: {text}") };
    if let Some(nearest) = unknown.and_then(|unknown| nearest(unknown, text)) {
        detail.push_str(&format!("; did you mean `{nearest}`?"));
    }
    Problem::field(&field, detail)
}

fn between_backticks(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// Of the fields that serde names as expected, the one that was probably meant.
fn nearest<'a>(unknown: &str, text: &'a str) -> Option<&'a str> {
    text.split('`')
        .skip(3)
        .step_by(2)
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Changes that need no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A caller of any kind of a change.
impl<W: Into<Caller>, T> Change<W, T> {
    /// Who wishes and what came with it, ready to be carried out; and what is wished.
    pub fn wish(self, app: Arc<App>) -> (Wish, T) {
        (Wish { app, caller: self.who.into(), envelope: self.envelope }, self.body)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only its name is looked at")]
        reason: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only its name is looked at")]
        deadline: Option<u32>,
    }

    fn refused(text: &str) -> Problem {
        parse::<Body>(text.as_bytes()).expect_err("refused")
    }

    #[test]
    fn a_wrong_field_is_named_with_what_would_be_right() {
        let typo = refused(r#"{"reason": "x", "deadlin": 3}"#);
        assert_eq!(typo.more["field"], "deadlin");
        assert!(typo.detail.contains("did you mean `deadline`?"), "{}", typo.detail);
        let missing = refused("{}");
        assert_eq!(missing.more["field"], "reason");
        let kind = refused(r#"{"reason": 3}"#);
        assert_eq!(kind.more["field"], "reason");
        assert!(kind.detail.contains("expected a string"), "{}", kind.detail);
    }

    #[test]
    fn what_is_not_json_is_told_with_its_place() {
        for text in ["{", "reason=x", "{} {}"] {
            assert_eq!(
                refused(text).slug(),
                if text == "{} {}" { "invalid-field" } else { "malformed-body" },
                "{text}"
            );
        }
    }

    #[test]
    fn if_match_compares_the_generation_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_static("\"3-abcdef\""));
        let seen = IfMatch::read(&headers);
        assert!(seen.check(Generation(3)).is_ok());
        assert_eq!(seen.check(Generation(4)).expect_err("refused").status, 412);
        assert!(IfMatch::Any.check(Generation(9)).is_ok());
    }
}
