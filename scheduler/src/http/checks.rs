//! Checks: what owners want their servers to be looked at for after a move.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::CheckId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::OfOwner;
use super::problem::Problem;
use super::views::{CheckBody, CheckView, Page};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, owned, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put, remove))
}

/// List checks
///
/// In the order of ids. An owner sees his own.
#[utoipa::path(get, path = "/v1/checks", tag = "checks", params(OfOwner), security(("token" = [])),
    responses((status = 200, description = "A page of checks", body = Page<CheckView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<OfOwner>,
) -> Result<Json<Page<CheckView>>, Problem> {
    let owner = owned(&caller, which.owner.as_deref())?;
    which.page(
        app.store.checks(owner.as_ref()).await,
        |check| check.id.to_string(),
        |check| CheckView::from(check),
    )
}

/// Show a check
#[utoipa::path(get, path = "/v1/checks/{check}", tag = "checks",
    params(("check" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "The check", body = CheckView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("check", &name);
    let id: CheckId = name.parse().map_err(|_| missing())?;
    let checks = app.store.checks(caller.owner()).await.map_err(|error| store_problem(&error))?;
    let check = checks.iter().find(|check| check.id == id).ok_or_else(missing)?;
    known.answer(None, &CheckView::from(check))
}

/// Add or replace a check
///
/// After a move it is looked whether a TCP port of the server is open, or an HTTP path answers. Of checks for a server, a label and the account the
/// nearest hold, and they take the place of the operator's. Only the server's own addresses are connected to. What failed before the move as well is
/// not held against it. The id is a UUID of the caller's choice.
#[utoipa::path(put, path = "/v1/checks/{check}", tag = "checks", request_body = CheckBody,
    params(("check" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 201, description = "Added", body = CheckView),
        (status = 200, description = "Replaced", body = CheckView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, CheckBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.put_check(&name, &body).await
}

/// Remove a check
#[utoipa::path(delete, path = "/v1/checks/{check}", tag = "checks",
    params(("check" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Removed"), Problems))]
async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.remove_check(&name).await
}
