//! A model of a page, drawn for whoever asked: in his zone and language, with what came of his last action.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use chrono_tz::Tz;
use drover_pages::problem::Link;
use drover_pages::{Flash, Frame, Page, Tone, Who};
use drover_policies::language::Language;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::refusal;
use super::session::{Known, Visitor};
use crate::app::App;
use crate::commands::{Reply, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::store::Seq;

/// What a request's page is surrounded by.
#[derive(Debug, Clone)]
pub struct Shown {
    path: String,
    visitor: Option<Visitor>,
    /// How far the story was told before anything of the page was read.
    since: Seq,
}

impl FromRequestParts<Arc<App>> for Shown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let path =
            parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
        let visitor = parts.extensions.get::<Known>().and_then(|known| known.0.as_deref().cloned());
        // Without it all of the page is drawn anew when it listens.
        let since = app.store.latest_event().await.unwrap_or(Seq::START);
        Ok(Self { path, visitor, since })
    }
}

/// What a session's next page says once, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    good: bool,
    text: String,
}

/// Says something on the visitor's next page.
pub(super) async fn say(app: &App, visitor: &Visitor, good: bool, text: &str) -> Result<(), Problem> {
    let said = serde_json::to_string(&Said { good, text: text.to_owned() });
    let said = said.map_err(|error| Problem::internal(&error))?;
    app.store.set_flash(&visitor.session.hash, Some(&said)).await.map_err(|error| store_problem(&error))
}

/// Says what came of a wish on the visitor's next page: that it was done, or why it was refused.
pub(super) async fn say_what_came(
    app: &App,
    visitor: &Visitor,
    done: Result<Reply, Problem>,
    good: &str,
) -> Result<(), Problem> {
    match done {
        Ok(_) => say(app, visitor, true, good).await,
        Err(problem) if problem.status < 500 => say(app, visitor, false, &problem.detail).await,
        Err(problem) => Err(problem),
    }
}

impl Shown {
    pub(super) fn at(path: &str, visitor: Option<Visitor>) -> Self {
        Self { path: path.to_owned(), visitor, since: Seq::START }
    }

    /// The page.
    pub(super) async fn page(&self, app: &App, page: &impl Page) -> Result<Response, Problem> {
        let frame = self.frame(app, self.visitor.as_ref(), true).await?;
        Ok(Html(page.render(&frame)).into_response())
    }

    /// The page for somebody who has just signed in.
    pub(super) async fn page_of(
        &self,
        app: &App,
        visitor: &Visitor,
        page: &impl Page,
    ) -> Result<Response, Problem> {
        let frame = self.frame(app, Some(visitor), false).await?;
        Ok(Html(page.render(&frame)).into_response())
    }

    /// The page on which something is asked once more, because it was not usable.
    pub(super) async fn refused(&self, app: &App, kind: Kind, page: &impl Page) -> Result<Response, Problem> {
        let frame = self.frame(app, self.visitor.as_ref(), false).await?;
        Ok((kind.status(), Html(page.render(&frame))).into_response())
    }

    /// The page of what went wrong.
    pub(super) async fn problem(
        &self,
        app: &App,
        problem: &Problem,
        from: Option<&str>,
    ) -> Result<Response, Problem> {
        let frame = self.frame(app, self.visitor.as_ref(), false).await?;
        let problem = refusal::said(&frame, problem.clone());
        let link = |href: &str, text: &str| Link { href: href.to_owned(), text: frame.t(text) };
        let back = from.map(|from| link(from, "Back to where you were"));
        let sign_in =
            (problem.slug() == Kind::WrongToken.slug()).then(|| link("/login", "Sign in as somebody else"));
        let page = drover_pages::problem::Problem {
            status: problem.status,
            title: problem.title.clone(),
            detail: upper(&problem.detail),
            links: back.into_iter().chain(sign_in).chain([link("/", "To the first page")]).collect(),
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok((status, Html(page.render(&frame))).into_response())
    }

    /// A refusal in the reader's words.
    pub(super) async fn told(&self, app: &App, problem: Problem) -> Result<Problem, Problem> {
        Ok(refusal::said(&self.around(app).await?, problem))
    }

    /// What surrounds a page that is put together by it.
    pub(super) async fn around(&self, app: &App) -> Result<Frame, Problem> {
        self.frame(app, self.visitor.as_ref(), false).await
    }

    /// A part of a page, drawn anew.
    pub(super) async fn part(
        &self,
        app: &App,
        draw: impl FnOnce(&Frame) -> drover_pages::Html,
    ) -> Result<Response, Problem> {
        let frame = self.frame(app, self.visitor.as_ref(), false).await?;
        Ok(Html(draw(&frame).into_string()).into_response())
    }

    /// The zone in which the reader sees and writes times.
    pub(super) async fn zone(&self, app: &App) -> Result<Tz, Problem> {
        Ok(self.reading(app, self.visitor.as_ref()).await?.0)
    }

    /// The zone and the language of a reader. Operators share theirs: they speak of the same clock.
    async fn reading(&self, app: &App, visitor: Option<&Visitor>) -> Result<(Tz, Language), Problem> {
        let Some(owner) = visitor.and_then(|visitor| visitor.caller.owner()) else {
            return Ok((Tz::UTC, Language::default()));
        };
        let contact = app.store.owner(owner).await.map_err(|error| store_problem(&error))?;
        Ok(contact.map_or((Tz::UTC, Language::default()), |contact| (contact.timezone, contact.language)))
    }

    async fn frame(&self, app: &App, visitor: Option<&Visitor>, tell: bool) -> Result<Frame, Problem> {
        let (zone, language) = self.reading(app, visitor).await?;
        let flash = match visitor {
            Some(visitor) if tell => told(app, visitor).await?,
            Some(_) | None => None,
        };
        Ok(Frame {
            who: visitor.map(|visitor| Who {
                name: visitor.caller.name.clone(),
                operator: visitor.caller.owner().is_none(),
            }),
            path: self.path.clone(),
            once: new_id(app),
            csrf: visitor.map(|visitor| visitor.session.csrf.clone()).unwrap_or_default(),
            zone,
            language,
            now: app.clock.now(),
            since: self.since.0,
            flash,
        })
    }
}

/// An id that nothing else has.
pub(super) fn new_id(app: &App) -> String {
    let id: Uuid = app.ids.next();
    id.to_string()
}

/// What is to be said once: it is taken away as it is told.
async fn told(app: &App, visitor: &Visitor) -> Result<Option<Flash>, Problem> {
    let Some(text) = &visitor.session.flash else { return Ok(None) };
    app.store.set_flash(&visitor.session.hash, None).await.map_err(|error| store_problem(&error))?;
    let said: Option<Said> = serde_json::from_str(text).ok();
    Ok(said.map(|Said { good, text }| Flash {
        tone: if good { Tone::Good } else { Tone::Warn },
        text: upper(&text),
    }))
}

/// Sentences of the API begin small, as they follow a name; those of a page begin a line.
pub(super) fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
