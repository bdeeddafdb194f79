//! Windows: when owners allow reboot migrations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::WindowId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::OfOwner;
use super::problem::Problem;
use super::views::{Page, WindowBody, WindowView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::owners::{Really, next_openings};
use crate::commands::{Reply, owned, store_problem};
use crate::store::StoredWindow;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put, remove))
}

/// How it is put.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct How {
    /// Check it, and show its next openings, but change nothing.
    #[serde(default)]
    dry_run: bool,
}

pub(crate) fn view(app: &App, stored: &StoredWindow) -> WindowView {
    WindowView::of(stored.id, &stored.window, next_openings(&stored.window.opens, app.clock.now()))
}

/// List windows
///
/// In the order of ids. An owner sees his own.
#[utoipa::path(get, path = "/v1/windows", tag = "windows", params(OfOwner), security(("token" = [])),
    responses((status = 200, description = "A page of windows", body = Page<WindowView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<OfOwner>,
) -> Result<Json<Page<WindowView>>, Problem> {
    let windows = match owned(&caller, which.owner.as_deref())? {
        Some(owner) => app.store.windows_of(&owner).await,
        None => app.store.windows().await,
    };
    which.page(windows, |window| window.id.to_string(), |window| view(&app, window))
}

/// Show a window
#[utoipa::path(get, path = "/v1/windows/{window}", tag = "windows",
    params(("window" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 200, description = "The window", body = WindowView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("window", &name);
    let id: WindowId = name.parse().map_err(|_| missing())?;
    let windows = app.store.windows().await.map_err(|error| store_problem(&error))?;
    let window = windows
        .iter()
        .find(|window| window.id == id && caller.may_see(Some(&window.window.owner)))
        .ok_or_else(missing)?;
    known.answer(None, &view(&app, window))
}

/// Add or replace a window
///
/// The id is a UUID of the caller's choice, so that a repeat is the same window. Refused when it never opens, or is shorter than a
/// migration of the servers that it holds for, or opens in freezes only. The answer shows the next ten openings.
#[utoipa::path(put, path = "/v1/windows/{window}", tag = "windows", request_body = WindowBody,
    params(("window" = String, Path, description = "Its id"), How), security(("token" = [])),
    responses((status = 201, description = "Added", body = WindowView),
        (status = 200, description = "Replaced", body = WindowView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    Params(how): Params<How>,
    change: Change<Person, WindowBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    let really = if how.dry_run { Really::Preview } else { Really::Do };
    wish.put_window(&name, &body, really).await
}

/// Remove a window
///
/// Appointments that were agreed stay as they are.
#[utoipa::path(delete, path = "/v1/windows/{window}", tag = "windows",
    params(("window" = String, Path, description = "Its id")), security(("token" = [])),
    responses((status = 204, description = "Removed"), Problems))]
async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.remove_window(&name).await
}
