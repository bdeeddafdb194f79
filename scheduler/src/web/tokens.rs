//! An owner's tokens: which there are, a new one, and the end of one.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use drover_pages::form::{Action, Field, Form, Weight};
use drover_pages::portal::tokens::{Issued, Token, TokensPage};

use super::form::{Posted, Typed};
use super::see;
use super::session::{AtPortal, Visitor};
use super::shown::{Shown, say, upper};
use crate::app::App;
use crate::commands::store_problem;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{RoleView, TokenBody};
use crate::store::SessionFor;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/my/tokens", get(tokens).post(issue))
        .route("/my/tokens/{token}/revoke", post(revoke))
}

/// The form of a new one, with what was wrong with the last try.
fn new_form(typed: &Typed, wrong: Option<&Problem>) -> Form {
    let of_field = |problem: &&Problem| problem.more.contains_key("field");
    let said = |problem: &Problem| upper(&problem.detail);
    Form {
        action: "/my/tokens".to_owned(),
        fields: vec![
            Field::line("note", "f-note")
                .value(typed.text("note"))
                .hint("f-note-hint")
                .error(wrong.filter(of_field).map(said)),
        ],
        submit: "issue",
        error: wrong.filter(|problem| !of_field(problem)).map(said),
        ..Form::default()
    }
}

async fn page(
    app: &App,
    visitor: &Visitor,
    issued: Option<Issued>,
    new: Form,
) -> Result<TokensPage, Problem> {
    let all = app.store.tokens(visitor.caller.owner()).await.map_err(|error| store_problem(&error))?;
    let token = |token: &crate::store::Token| Token {
        id: token.id.to_string(),
        subject: token.name.clone(),
        created_at: token.created_at,
        last_used_at: token.last_used_at,
        revoked_at: token.revoked_at,
        this_session: visitor.session.stands_for == SessionFor::Token(token.id),
        revoke: token
            .revoked_at
            .is_none()
            .then(|| Action::act("revoke", format!("/my/tokens/{}/revoke", token.id), None, Weight::Danger)),
    };
    Ok(TokensPage { tokens: all.iter().map(token).collect(), issued, new: Some(new) })
}

async fn tokens(
    State(app): State<Arc<App>>,
    AtPortal(visitor): AtPortal,
    shown: Shown,
) -> Result<Response, Problem> {
    let new = new_form(&Typed::default(), None);
    shown.page(&app, &page(&app, &visitor, None, new).await?).await
}

/// The answer is the page itself and leads to no other: the secret is nowhere but in it.
async fn issue(
    State(app): State<Arc<App>>,
    shown: Shown,
    Posted { who: AtPortal(visitor), typed, envelope }: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let wish = visitor.wish(&app, envelope);
    let note = typed.some("note").map(ToOwned::to_owned);
    let body = TokenBody { role: RoleView::Owner, subject: String::new(), note };
    match wish.issue_token(&body).await {
        Ok(reply) => {
            let secret = reply.body.get("secret").and_then(|secret| secret.as_str());
            // Sent twice, it is issued once, and its secret went with the first answer.
            let issued = secret.map_or(Issued::Before, |secret| Issued::Now(secret.to_owned()));
            let new = new_form(&Typed::default(), None);
            shown.page(&app, &page(&app, &visitor, Some(issued), new).await?).await
        }
        Err(problem) if problem.status < 500 => {
            let problem = shown.told(&app, problem).await?;
            let new = new_form(&typed, Some(&problem));
            shown.refused(&app, Kind::InvalidField, &page(&app, &visitor, None, new).await?).await
        }
        Err(problem) => Err(problem),
    }
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    Posted { who: AtPortal(visitor), envelope, .. }: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let wish = visitor.wish(&app, envelope);
    wish.revoke_token(&token).await?;
    say(&app, &visitor, true, "It is refused from now on.").await?;
    see("/my/tokens")
}
