//! The pages: the console of the operators, and the portal of the owners.
//!
//! A handler reads what the API shows to the same eyes ([`crate::http::views`]), makes a model of it, and `drover-pages` draws that. Whatever is
//! wished goes through [`crate::commands`], as from everywhere else. Every page works by links and forms alone.
//!
//! ```text
//! request ──▶ around: whose session, from our own page? ──▶ handler ──▶ around: a problem becomes a page ──▶ headers
//! ```

mod acts;
mod calendar;
mod console;
mod fleet;
mod form;
mod guard;
mod lists;
mod live;
mod maintenances;
mod migrations;
pub(crate) mod news;
mod portal;
mod refusal;
mod search;
mod session;
mod shown;
mod sign;
mod steps;
mod tickets;
mod tokens;
mod when;
mod wishes;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use drover_pages::assets::Asset;

use crate::app::App;
use crate::http::problem::{IsProblem, Kind, Problem};
use form::Kept;
use session::{Anybody, Known, Visitor};
use shown::Shown;

/// What programs ask for: their answers are no pages.
const FOR_PROGRAMS: [&str; 6] = ["/v1/", "/agent/", "/healthz", "/readyz", "/version", "/openapi.json"];

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(beginning))
        .route("/assets/{file}", get(asset))
        .merge(sign::routes())
        .merge(tickets::routes())
        .merge(tokens::routes())
        .merge(acts::routes())
        .merge(migrations::routes())
        .merge(portal::routes())
        .merge(fleet::routes())
        .merge(console::routes())
        .merge(search::routes())
        .merge(wishes::routes())
        .merge(maintenances::routes())
        .merge(live::routes())
}

/// Everybody's first page.
async fn beginning(State(app): State<Arc<App>>, Anybody(visitor): Anybody) -> Result<Response, Problem> {
    match (visitor.only(), visitor.caller.owner()) {
        (Some(_), _) => {
            let ticket = visitor.ticket(&app, &visitor.caller.token.to_string()).await?;
            see(&format!("/my/migrations/{}", ticket.number))
        }
        (None, Some(_)) => see("/my"),
        (None, None) => see("/fleet"),
    }
}

/// The style sheet and the script. Their addresses change with them.
async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let path = format!("/assets/{file}");
    let asset = Asset::at(&path).ok_or_else(|| Problem::not_found("file", &path))?;
    let headers =
        [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.text).into_response())
}

/// Go on there.
fn see(path: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(path).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// What surrounds every page: its reader is looked up, a form must come from here, and what went wrong is told as a page.
pub(crate) async fn around(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if FOR_PROGRAMS.iter().any(|start| path.starts_with(start)) {
        return next.run(request).await;
    }
    let asked = Asked {
        path: request.uri().path_and_query().map_or_else(|| path.to_owned(), ToString::to_string),
        method: request.method().clone(),
        page: wants_page(request.headers()),
        from: own_page(request.headers()),
    };
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    let (visitor, refused) = match session::visitor(&app, request.headers()).await {
        Ok(visitor) => (visitor.map(Arc::new), None),
        Err(problem) => (None, Some(problem)),
    };
    let foreign = if reads { None } else { guard::same_site(&app, request.headers()).err() };
    request.extensions_mut().insert(Known(visitor.clone()));
    let mut response = match refused.or(foreign) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    if asked.page {
        response = told_as_page(&app, visitor.as_deref(), &asked, response).await;
    }
    guard::protect(response.headers_mut());
    response
}

/// What is remembered of a request until it is answered.
struct Asked {
    path: String,
    method: Method,
    page: bool,
    /// The page of ours that it was sent from.
    from: Option<String>,
}

/// The path of the page that a request was sent from. Browsers name it to its own site.
fn own_page(headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    let (_, rest) = referer.split_once("://")?;
    Some(format!("/{}", rest.split_once('/')?.1))
}

async fn told_as_page(
    app: &App,
    visitor: Option<&Visitor>,
    asked: &Asked,
    mut response: Response,
) -> Response {
    let extensions = response.extensions_mut();
    let problem = extensions.remove::<IsProblem>().map(|IsProblem(problem)| problem);
    let kept = extensions.remove::<Kept>().map(|Kept(typed)| typed);
    let problem = match problem {
        Some(problem) => problem,
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Kind::MethodNotAllowed,
            "this address can't be asked like this; go back to the page that it belongs to",
        ),
        None => return response,
    };
    let signed_out = visitor.is_none() && problem.status == StatusCode::UNAUTHORIZED.as_u16();
    let page = match (signed_out, kept) {
        (true, Some(typed)) => {
            let login = sign::ask_before(&asked.path, asked.from.as_deref().unwrap_or("/"), typed);
            Shown::at(&asked.path, None).refused(app, Kind::Unauthenticated, &login).await
        }
        (true, None) if asked.method == Method::GET => sign::to_login(&asked.path),
        (true | false, _) => {
            Shown::at(&asked.path, visitor.cloned()).problem(app, &problem, asked.from.as_deref()).await
        }
    };
    page.unwrap_or_else(IntoResponse::into_response)
}

/// What a German without an account sees.
#[cfg(test)]
fn german() -> drover_pages::Frame {
    drover_pages::Frame {
        who: None,
        path: String::new(),
        csrf: String::new(),
        once: String::new(),
        zone: chrono_tz::UTC,
        language: "de".parse().expect("a language"),
        now: drover_policies::time::Instant::UNIX_EPOCH,
        since: 0,
        flash: None,
    }
}
