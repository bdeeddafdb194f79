//! Who is signed in: a cookie whose hash is stored, and what it stands for.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use drover_policies::ids::TicketId;
use drover_policies::migration::Migration;
use drover_policies::time::{Instant, Span};

use crate::app::App;
use crate::auth::{self, Caller, hash, hex};
use crate::clock;
use crate::commands::{Wish, find_migration, find_ticket, store_problem};
use crate::http::extract::Envelope;
use crate::http::problem::{Kind, Problem};
use crate::store::{Role, SessionFor, StoredSession, Ticket, Versioned};

/// How exactly the last use of a session is known: noting it is a write.
const USE_NOTED_EVERY: Span = Span::minutes(2);

/// The cookie over TLS: browsers take one of this name from this very host alone.
const SECURE_NAME: &str = "__Host-drover";

/// The cookie where there is no TLS.
const PLAIN_NAME: &str = "drover";

/// Whoever is signed in, with the session.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// As whom he acts.
    pub caller: Caller,
    /// His session.
    pub session: StoredSession,
}

impl Visitor {
    /// The one ticket that he may see, if he came by the link of a mail.
    #[must_use]
    pub fn only(&self) -> Option<TicketId> {
        match self.session.stands_for {
            SessionFor::Ticket(ticket) => Some(ticket),
            SessionFor::Token(_) => None,
        }
    }

    /// What he wishes.
    pub fn wish(&self, app: &Arc<App>, envelope: Envelope) -> Wish {
        Wish { app: app.clone(), caller: self.caller.clone(), envelope }
    }

    /// A migration that he may see.
    ///
    /// # Errors
    /// There is none for him.
    pub async fn migration(&self, app: &App, given: &str) -> Result<Versioned<Migration>, Problem> {
        let found = find_migration(app, &self.caller, given).await?;
        let allowed = self.only().is_none_or(|only| found.value.ticket == Some(only));
        if allowed { Ok(found) } else { Err(Problem::not_found("migration", given)) }
    }

    /// A ticket that he may see.
    ///
    /// # Errors
    /// There is none for him.
    pub async fn ticket(&self, app: &App, given: &str) -> Result<Ticket, Problem> {
        let found = find_ticket(app, &self.caller, given).await?;
        let allowed = self.only().is_none_or(|only| found.id == only);
        if allowed { Ok(found) } else { Err(Problem::not_found("ticket", given)) }
    }
}

/// What a browser is given when a session begins.
pub(super) struct Begun {
    /// The header that sets its cookie.
    pub cookie: HeaderValue,
    /// The session.
    pub session: StoredSession,
}

/// Begins a session.
pub(super) async fn begin(app: &App, stands_for: SessionFor, secure: bool) -> Result<Begun, Problem> {
    let secret = hex(&clock::secret());
    let now = app.clock.now();
    let session = StoredSession {
        hash: hash(&secret),
        stands_for,
        csrf: hex(&clock::secret()),
        flash: None,
        created_at: now,
        last_used_at: now,
    };
    app.store.begin_session(&session).await.map_err(|error| store_problem(&error))?;
    let seconds = app.config.web.longest.as_milliseconds() / 1000;
    Ok(Begun { cookie: cookie(&secret, seconds, secure)?, session })
}

/// The header that takes the cookie away.
pub(super) fn forget(secure: bool) -> Result<HeaderValue, Problem> {
    cookie("", 0, secure)
}

fn cookie(value: &str, seconds: u64, secure: bool) -> Result<HeaderValue, Problem> {
    let (name, tls) = if secure { (SECURE_NAME, "; Secure") } else { (PLAIN_NAME, "") };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{tls}");
    HeaderValue::from_str(&text).map_err(|error| Problem::internal(&error))
}

/// Whether the browser came by TLS: the configured address says so, or the proxy does. Its word can only make things stricter.
pub(super) fn is_secure(app: &App, headers: &HeaderMap) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    app.config.web.is_secure() || forwarded.is_some_and(|scheme| scheme.trim() == "https")
}

fn given(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let name = if secure { SECURE_NAME } else { PLAIN_NAME };
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// Whoever has sent a request; nobody where no session is alive.
pub(super) async fn visitor(app: &App, headers: &HeaderMap) -> Result<Option<Visitor>, Problem> {
    let Some(secret) = given(headers, is_secure(app, headers)) else { return Ok(None) };
    let found = app.store.session(&hash(secret)).await.map_err(|error| store_problem(&error))?;
    let now = app.clock.now();
    let Some(session) = found.filter(|session| is_alive(app, session, now)) else { return Ok(None) };
    let Some(caller) = stands_for(app, &session).await? else { return Ok(None) };
    if now - session.last_used_at > USE_NOTED_EVERY.delta()
        && let Err(error) = app.store.session_used(&session.hash, now).await
    {
        tracing::warn!(%error, "the use of a session could not be noted");
    }
    Ok(Some(Visitor { caller, session }))
}

fn is_alive(app: &App, session: &StoredSession, now: Instant) -> bool {
    let web = &app.config.web;
    now - session.last_used_at <= web.idle.delta() && now - session.created_at <= web.longest.delta()
}

/// Whether a session that was alive still is: it may outlive the request that it was looked at for.
pub(super) async fn still(app: &App, visitor: &Visitor) -> bool {
    let found = app.store.session(&visitor.session.hash).await.ok().flatten();
    let now = app.clock.now();
    match found.filter(|session| is_alive(app, session, now)) {
        Some(session) => matches!(stands_for(app, &session).await, Ok(Some(_))),
        None => false,
    }
}

/// As whom a session acts; nobody when what it stands for is no more.
async fn stands_for(app: &App, session: &StoredSession) -> Result<Option<Caller>, Problem> {
    match session.stands_for {
        SessionFor::Token(id) => {
            let token = app.store.token(id).await.map_err(|error| store_problem(&error))?;
            let Some(token) = token.filter(|token| token.revoked_at.is_none()) else { return Ok(None) };
            auth::note_use(app, &token).await;
            Ok(Some(token.into()))
        }
        SessionFor::Ticket(id) => {
            let ticket = app.store.ticket(id).await.map_err(|error| store_problem(&error))?;
            let Some(ticket) = ticket else { return Ok(None) };
            let caller = by_link(&ticket);
            Ok(if can_be_opened(app, &ticket).await? { Some(caller) } else { None })
        }
    }
}

/// The owner of a ticket, as somebody who was proved by nothing but its link.
fn by_link(ticket: &Ticket) -> Caller {
    Caller { token: ticket.id.0, name: ticket.owner.to_string(), role: Role::Owner(ticket.owner.clone()) }
}

/// Whether the link in a ticket's mails still opens it: as long as there is something to be said about it. A ticket is closed when its server has
/// moved, and may be confirmed or reverted for a time after that.
pub(super) async fn can_be_opened(app: &App, ticket: &Ticket) -> Result<bool, Problem> {
    if ticket.closed_at.is_none() {
        return Ok(true);
    }
    let migration = app.store.migration(ticket.migration).await.map_err(|error| store_problem(&error))?;
    Ok(migration.is_some_and(|migration| !migration.value.is_over()))
}

/// What the surrounding layer has found out about a request; nobody is looked up twice.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Option<Arc<Visitor>>);

fn known(parts: &Parts) -> Result<Arc<Visitor>, Problem> {
    parts
        .extensions
        .get::<Known>()
        .and_then(|known| known.0.clone())
        .ok_or_else(|| Problem::new(Kind::Unauthenticated, "sign in first"))
}

/// Anybody who is signed in, also by a link: his handler asks [`Visitor::migration`] or [`Visitor::ticket`] for what he may see.
#[derive(Debug, Clone)]
pub struct Anybody(pub Arc<Visitor>);

/// An operator or an owner with a token.
#[derive(Debug, Clone)]
pub struct Signed(pub Arc<Visitor>);

/// An operator.
#[derive(Debug, Clone)]
pub struct AtConsole(pub Arc<Visitor>);

/// An owner with a token.
#[derive(Debug, Clone)]
pub struct AtPortal(pub Arc<Visitor>);

fn for_others(detail: &str) -> Problem {
    Problem::new(Kind::WrongToken, detail)
}

impl FromRequestParts<Arc<App>> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Problem> {
        known(parts).map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Problem> {
        let visitor = known(parts)?;
        if visitor.only().is_some() {
            return Err(for_others(
                "the link of a mail opens its own ticket alone; for the rest, sign in with a token",
            ));
        }
        Ok(Self(visitor))
    }
}

impl FromRequestParts<Arc<App>> for AtConsole {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Signed(visitor) = Signed::from_request_parts(parts, app).await?;
        match visitor.caller.role {
            Role::Operator => Ok(Self(visitor)),
            Role::Owner(_) | Role::Agent(_) => {
                Err(for_others("this page is for operators; sign in with an operator's token"))
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for AtPortal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Signed(visitor) = Signed::from_request_parts(parts, app).await?;
        match visitor.caller.role {
            Role::Owner(_) => Ok(Self(visitor)),
            Role::Operator | Role::Agent(_) => {
                Err(for_others("this page is for owners; sign in with an owner's token"))
            }
        }
    }
}
