//! Tokens: operators see and issue every one, owners those of their own accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Named, Nothing, Params};
use super::lists::{limit, of_all};
use super::problem::Problem;
use super::views::{IssuedToken, Page, TokenBody, TokenView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, issue)).routes(routes!(revoke))
}

/// Which part.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// List tokens
///
/// Without their secrets, revoked ones included, in the order of ids. An owner sees those of his account.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of tokens", body = Page<TokenView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<TokenView>>, Problem> {
    let mut tokens = app.store.tokens(caller.owner()).await.map_err(|error| store_problem(&error))?;
    tokens.sort_by_key(|token| token.id);
    let page = of_all(tokens, |token| token.id.to_string(), which.cursor.as_deref(), limit(which.limit)?);
    Ok(Json(Page { items: page.items.iter().map(TokenView::from).collect(), next_cursor: page.next_cursor }))
}

/// Issue a token
///
/// It is shown in this answer and never again. An owner issues tokens of his own account, each of which may do what he may.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenBody, security(("token" = [])),
    responses((status = 201, description = "The token", body = IssuedToken), Problems))]
async fn issue(State(app): State<Arc<App>>, change: Change<Person, TokenBody>) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.issue_token(&body).await
}

/// Revoke a token
///
/// It is refused from now on, and ends the sessions that were begun with it. The last one of an operator can't be revoked. An owner can revoke
/// every token of his account, the one that he asks with included.
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Revoked"), Problems))]
async fn revoke(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.revoke_token(&name).await
}
