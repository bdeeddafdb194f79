//! Signing in with a token or by the link of a mail, and signing out.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use drover_notifier::reply::Claim;
use drover_pages::Frame;
use drover_pages::confirm::Confirm;
use drover_pages::form::Form;
use drover_pages::login::Login;
use serde::Deserialize;

use super::form::{Posted, Typed, typed};
use super::guard::local;
use super::session::{Anybody, Known, Visitor, begin, can_be_opened, forget, is_secure};
use super::{Shown, see, with_cookie};
use crate::app::App;
use crate::auth::caller_of;
use crate::commands::store_problem;
use crate::http::problem::{Kind, Problem};
use crate::store::{Role, SessionFor, Ticket};

/// Before the name of a field that belongs to a form which was not taken because its session was over.
const AGAIN: &str = "again.";

/// Where that form was sent to.
const AGAIN_TO: &str = "again_to";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(ask).post(sign_in))
        .route("/logout", axum::routing::post(sign_out))
        .route("/t/{link}", get(open))
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    next: Option<String>,
}

async fn ask(
    State(app): State<Arc<App>>,
    Extension(known): Extension<Known>,
    Query(Wanted { next }): Query<Wanted>,
    shown: Shown,
) -> Result<Response, Problem> {
    let next = local(next.as_deref());
    if known.0.is_some() && next != "/" {
        return see(next);
    }
    shown.page(&app, &Login { next: next.to_owned(), error: None, expired: false, kept: Vec::new() }).await
}

/// What is shown to somebody whose session was over when he sent a form: what he typed waits until he has signed in.
pub(super) fn ask_before(path: &str, back: &str, typed: Typed) -> Login {
    let fields = typed.own().into_iter().map(|(name, value)| (format!("{AGAIN}{name}"), value));
    let to = (AGAIN_TO.to_owned(), path.to_owned());
    Login {
        next: local(Some(back)).to_owned(),
        error: None,
        expired: true,
        kept: std::iter::once(to).chain(fields).collect(),
    }
}

async fn sign_in(State(app): State<Arc<App>>, shown: Shown, request: Request) -> Result<Response, Problem> {
    let secure = is_secure(&app, request.headers());
    let typed = typed(request).await?;
    let next = local(typed.some("next")).to_owned();
    let kept = || -> Vec<(String, String)> {
        typed.0.iter().filter(|(name, _)| name.starts_with("again")).cloned().collect()
    };
    let caller = match caller_of(&app, typed.text("token")).await {
        Ok(caller) if matches!(caller.role, Role::Agent(_)) => {
            Err("this is an agent's token, which opens no page; sign in with an operator's or an owner's"
                .to_owned())
        }
        Ok(caller) => Ok(caller),
        Err(problem) if problem.slug() == Kind::Unauthenticated.slug() => Err(problem.detail),
        Err(problem) => return Err(problem),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(problem) => {
            let page = Login { next, error: Some(problem), expired: false, kept: kept() };
            return shown.refused(&app, Kind::Unauthenticated, &page).await;
        }
    };
    let begun = begin(&app, SessionFor::Token(caller.token), secure).await?;
    let response = match typed.some(AGAIN_TO) {
        Some(to) => {
            let fields = typed
                .0
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(AGAIN)?.to_owned(), value.clone())));
            let visitor = Visitor { caller, session: begun.session };
            let frame = Shown::at(local(Some(to)), Some(visitor.clone())).around(&app).await?;
            let page = to_be_sent_again(&frame, local(Some(to)), next, fields.collect());
            shown.page_of(&app, &visitor, &page).await?
        }
        None => see(&next)?,
    };
    Ok(with_cookie(response, begun.cookie))
}

/// The form that was not taken, before whoever sent it.
fn to_be_sent_again(frame: &Frame, action: &str, back: String, kept: Vec<(String, String)>) -> Confirm {
    Confirm {
        question: frame.t("Send what you have typed?"),
        lead: frame
            .t("Your session was over when you sent it, so nothing was done yet. You are signed in again."),
        happens: kept
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}: {value}"))
            .collect(),
        stays: Vec::new(),
        changed: None,
        form: Form { action: action.to_owned(), submit: "reply", back: Some(back), kept, ..Form::default() },
    }
}

async fn sign_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Posted { who: Anybody(visitor), .. }: Posted<Anybody>,
) -> Result<Response, Problem> {
    app.store.end_session(&visitor.session.hash).await.map_err(|error| store_problem(&error))?;
    let mut response = with_cookie(see("/login")?, forget(is_secure(&app, &headers))?);
    // What a browser has kept of these pages is not for whoever comes next.
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

/// The link in a ticket's mails.
async fn open(
    State(app): State<Arc<App>>,
    Extension(known): Extension<Known>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ticket = opened(&app, &link).await?;
    let page = format!("/my/migrations/{}", ticket.number);
    // Whoever may see it anyway stays who he is.
    if let Some(visitor) = known.0
        && visitor.only().is_none_or(|only| only == ticket.id)
        && visitor.caller.owner() == Some(&ticket.owner)
    {
        return see(&page);
    }
    let begun = begin(&app, SessionFor::Ticket(ticket.id), is_secure(&app, &headers)).await?;
    Ok(with_cookie(see(&page)?, begun.cookie))
}

/// The ticket that a link opens.
async fn opened(app: &App, link: &str) -> Result<Ticket, Problem> {
    let nothing = || {
        Problem::new(
            Kind::NotFound,
            "this link opens nothing, or not any more: a mail's link is good until its server's move is settled; take the link of the latest mail, or sign in with a token",
        )
    };
    let (claim, keys) = Claim::in_page(link).zip(app.page_keys.as_ref()).ok_or_else(nothing)?;
    let ticket = app.store.ticket_by_number(&claim.number).await.map_err(|error| store_problem(&error))?;
    let ticket =
        ticket.filter(|ticket| keys.prove_page(&claim, ticket.id, &ticket.owner)).ok_or_else(nothing)?;
    if can_be_opened(app, &ticket).await? { Ok(ticket) } else { Err(nothing()) }
}

/// Where somebody without a session is sent.
pub(super) fn to_login(path: &str) -> Result<Response, Problem> {
    let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    let mut response = see(&format!("/login?next={next}"))?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
