//! Whether the scheduler lives, what it is, and who asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::problem::{Kind, Problem};
use super::views::{RoleView, Version, WhoAmI};
use crate::app::App;
use crate::auth::Caller;
use crate::store::Role;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(version))
        .routes(routes!(whoami))
        .routes(routes!(description))
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "installation", responses((status = 200, description = "It does")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the scheduler can do its work
///
/// Its database answers, and it holds the lease.
#[utoipa::path(get, path = "/readyz", tag = "installation", responses((status = 200, description = "It can"), Problems))]
async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.ping().await.map_err(|error| {
        tracing::error!(error = %crate::chain(&error), "the database does not answer");
        Problem::new(Kind::Unavailable, "the database does not answer")
    })?;
    if app.lease().expires_at < app.clock.now() {
        return Err(Problem::new(
            Kind::Unavailable,
            "the lease has run out; another scheduler may have taken over",
        ));
    }
    Ok("ready\n")
}

/// Which version this is
#[utoipa::path(get, path = "/version", tag = "installation", responses((status = 200, description = "The version", body = Version)))]
async fn version(State(app): State<Arc<App>>) -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").to_owned(), now: app.clock.now() })
}

/// Whose token this is
#[utoipa::path(get, path = "/v1/whoami", tag = "installation", security(("token" = [])),
    responses((status = 200, description = "Its role and name", body = WhoAmI), Problems))]
async fn whoami(caller: Caller) -> Json<WhoAmI> {
    let role = match &caller.role {
        Role::Operator => RoleView::Operator,
        Role::Owner(_) => RoleView::Owner,
        Role::Agent(_) => RoleView::Agent,
    };
    Json(WhoAmI { role, name: caller.name, token: caller.token })
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "installation", responses((status = 200, description = "OpenAPI")))]
async fn description() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}
