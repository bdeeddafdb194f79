//! Freezes: when owners want nothing to happen.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::FreezeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::OfOwner;
use super::problem::Problem;
use super::views::{FreezeBody, FreezeView, Page};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, owned, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put, remove))
}

/// List freezes
///
/// In the order of ids. An owner sees his own.
#[utoipa::path(get, path = "/v1/freezes", tag = "windows", params(OfOwner), security(("token" = [])),
    responses((status = 200, description = "A page of freezes", body = Page<FreezeView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<OfOwner>,
) -> Result<Json<Page<FreezeView>>, Problem> {
    let owner = owned(&caller, which.owner.as_deref())?;
    let (freezes, now) = (app.store.freezes(owner.as_ref()).await, app.clock.now());
    which.page(freezes, |freeze| freeze.value.id.to_string(), |freeze| FreezeView::of(&freeze.value, now))
}

/// Show a freeze
#[utoipa::path(get, path = "/v1/freezes/{freeze}", tag = "windows",
    params(("freeze" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "The freeze", body = FreezeView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("freeze", &name);
    let id: FreezeId = name.parse().map_err(|_| missing())?;
    let freeze = app.store.freeze(id).await.map_err(|error| store_problem(&error))?;
    let freeze =
        freeze.filter(|freeze| caller.may_see(Some(&freeze.value.freeze.owner))).ok_or_else(missing)?;
    known.answer(None, &FreezeView::of(&freeze.value, app.clock.now()))
}

/// Add or replace a freeze
///
/// Nothing happens to the owner's servers in it, whatever his windows say; only an emergency, and an owner who says *now*, go before. The id
/// is a UUID of the caller's choice, so that a repeat is the same freeze. Times that were proposed in it are withdrawn and others
/// proposed; times that the owner agreed to or chose stand, and the answer warns of them.
#[utoipa::path(put, path = "/v1/freezes/{freeze}", tag = "windows", request_body = FreezeBody,
    params(("freeze" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 201, description = "Added", body = FreezeView),
        (status = 200, description = "Replaced", body = FreezeView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, FreezeBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.put_freeze(&name, &body).await
}

/// Remove a freeze
#[utoipa::path(delete, path = "/v1/freezes/{freeze}", tag = "windows",
    params(("freeze" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Removed"), Problems))]
async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.remove_freeze(&name).await
}
