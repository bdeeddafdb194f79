//! Blueprints: what servers shall look like at their next launch.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing};
use super::problem::Problem;
use super::views::{BlueprintBody, BlueprintView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::blueprints::known;
use crate::commands::{Reply, find_server};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show, put, clear))
}

/// Show a server's blueprint
///
/// What it shall look like at its next launch by a reboot, be it by a test or by a cutover.
#[utoipa::path(get, path = "/v1/servers/{server}/blueprint", tag = "servers",
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 200, description = "The blueprint; without `set_by` when there is none", body = BlueprintView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    read: Known,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let server = find_server(&fleet, &caller, &name)?;
    let stored = known(&app, server.facts.id).await?;
    read.answer(None, &BlueprintView::of(server, stored.as_ref().map(|stored| &stored.value), caller.eyes()))
}

/// Set a server's blueprint
///
/// Valid from the next launch by a reboot on; what runs is not touched, and a live migration changes nothing. Once a cutover has carried it out, the
/// server has none any more. What it needs is reserved at the destination, and a host without the networks is none. A revert brings back what was. What
/// owners may set is policy's (`blueprint.owners_may`).
#[utoipa::path(put, path = "/v1/servers/{server}/blueprint", tag = "servers", request_body = BlueprintBody,
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 200, description = "Set", body = BlueprintView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, BlueprintBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.put_blueprint(&name, &body).await
}

/// Clear a server's blueprint
///
/// It stays as it is.
#[utoipa::path(delete, path = "/v1/servers/{server}/blueprint", tag = "servers",
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 204, description = "Cleared"), Problems))]
async fn clear(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.clear_blueprint(&name).await
}
