//! Rackspace: a server's metadata, with the window of its reboot.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::upcoming::rackspace::Metadata;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Problems;
use super::super::extract::Named;
use super::super::problem::Problem;
use super::whom;
use crate::app::App;
use crate::auth::Person;
use crate::commands::store_problem;
use crate::upcoming::active;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Rackspace: a server's metadata
///
/// `rax:reboot_window` is there only while a time is known.
#[utoipa::path(get, path = "/compat/rackspace/v2/servers/{server}/metadata", tag = "compat",
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 200, description = "Names and values", body = Value), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
) -> Result<Json<Metadata>, Problem> {
    let whom = whom(&app, &caller, (None, Some(&name)))?;
    let events = active(&app, &whom).await.map_err(|error| store_problem(&error))?;
    Ok(Json(Metadata::of(&events)))
}
