//! What surrounds every request: an id, a line in the log, and a problem where something answers without words.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tracing::Instrument;

use super::problem::{IsProblem, Kind, Problem};
use crate::app::App;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most that an agent may send: an inventory of a few thousand servers.
const LARGEST_FROM_AGENTS: usize = 16 * 1024 * 1024;

pub(super) fn around(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(LARGEST_FROM_AGENTS))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), crate::web::around))
        .layer(from_fn_with_state(app.clone(), outermost))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(is_of_pages))
        .layer(from_fn(whole_with_parameters))
}

/// A page of a thousand hosts is a tenth of its length then. Answers to programs stay as they are: some of them are streams.
fn is_of_pages(status: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    status == StatusCode::OK
        && ["text/html", "text/css", "text/javascript"].iter().any(|page| kind.starts_with(page))
}

/// A page whose address somebody else may have made up is not compressed: pages name their address and hold the secret of their session, and
/// by the length of the two together the one could be tried out against the other (the attack called BREACH).
async fn whole_with_parameters(mut request: Request, next: Next) -> Response {
    if request.uri().query().is_some() {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    next.run(request).await
}

async fn no_such_route(request: Request) -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        format!("there is nothing at {}; /openapi.json names all there is", request.uri().path()),
    )
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words");
    tracing::error!(panic = text, "a request made its handler panic");
    Problem::new(
        Kind::Internal,
        "the scheduler could not answer this; its log says more under this request_id",
    )
    .into_response()
}

async fn outermost(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request, &app);
    let method = request.method().clone();
    // The path alone: a parameter may hold what is nobody's business in a log.
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id, %method, path);
    let response = next.run(request).instrument(span.clone()).await;
    let mut response = worded(response, &method, &path);
    if let Some(IsProblem(problem)) = response.extensions_mut().remove::<IsProblem>() {
        let kept = response.headers().clone();
        response = problem.with("request_id", &id).into_response();
        for (name, value) in &kept {
            if name != header::CONTENT_LENGTH {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let status = response.status().as_u16();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if status >= 500 {
            tracing::error!(status, ms, "answered");
        } else {
            tracing::debug!(status, ms, "answered");
        }
    });
    response
}

/// A caller's own id is kept if it is one that a log can hold, so that it can be followed through several programs.
fn request_id(request: &Request, app: &App) -> String {
    let usable = |id: &&str| {
        (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(usable);
    given.map_or_else(|| app.ids.next().to_string(), ToOwned::to_owned)
}

/// Answers that the framework gives without words become problems.
fn worded(response: Response, method: &axum::http::Method, path: &str) -> Response {
    // What has a kind has words: it may be a page.
    if response.extensions().get::<IsProblem>().is_some()
        || response.headers().contains_key(header::CONTENT_TYPE)
    {
        return response;
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).cloned();
        let named = allow.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let allowed: Vec<&str> = named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let detail = format!("{path} has no {method}, but {}", allowed.join(", "));
        let mut worded =
            Problem::new(Kind::MethodNotAllowed, detail).with("allowed", allowed).into_response();
        if let Some(allow) = allow {
            worded.headers_mut().insert(header::ALLOW, allow);
        }
        return worded;
    }
    response
}
