//! Limits: how many of an owner's servers are rebooted at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::LimitId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::OfOwner;
use super::problem::Problem;
use super::views::{LimitBody, LimitView, Page};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, owned, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put, remove))
}

/// List limits
///
/// In the order of ids. An owner sees his own.
#[utoipa::path(get, path = "/v1/limits", tag = "windows", params(OfOwner), security(("token" = [])),
    responses((status = 200, description = "A page of limits", body = Page<LimitView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<OfOwner>,
) -> Result<Json<Page<LimitView>>, Problem> {
    let owner = owned(&caller, which.owner.as_deref())?;
    which.page(
        app.store.limits(owner.as_ref()).await,
        |limit| limit.id.to_string(),
        |limit| LimitView::from(limit),
    )
}

/// Show a limit
#[utoipa::path(get, path = "/v1/limits/{limit}", tag = "windows",
    params(("limit" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "The limit", body = LimitView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("limit", &name);
    let id: LimitId = name.parse().map_err(|_| missing())?;
    let limits = app.store.limits(caller.owner()).await.map_err(|error| store_problem(&error))?;
    let limit = limits.iter().find(|limit| limit.id == id).ok_or_else(missing)?;
    known.answer(None, &LimitView::from(limit))
}

/// Add or replace a limit
///
/// No more than so many of the owner's servers are rebooted at once: among those with a label, or of all of them. The nearest holds.
/// Live migrations are not counted, and a time that is chosen, proposed or begun keeps it. The id is a UUID of the caller's choice.
#[utoipa::path(put, path = "/v1/limits/{limit}", tag = "windows", request_body = LimitBody,
    params(("limit" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 201, description = "Added", body = LimitView),
        (status = 200, description = "Replaced", body = LimitView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, LimitBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.put_limit(&name, &body).await
}

/// Remove a limit
#[utoipa::path(delete, path = "/v1/limits/{limit}", tag = "windows",
    params(("limit" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Removed"), Problems))]
async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.remove_limit(&name).await
}
