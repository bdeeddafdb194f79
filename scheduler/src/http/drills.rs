//! Drills: pretended maintenance events, for trying what is done about real ones.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::Change;
use super::problem::Problem;
use super::views::{DrillBody, ScheduledEventView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::Reply;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin))
}

/// Begin a drill
///
/// The owner of a server is told and asked as for a reboot migration, on every channel and in every form, marked as a drill. The server is
/// never touched, no place is held, and a real migration ends it. The drill can be agreed to, moved, started and cancelled like a migration, by its
/// number; it goes by the clock, and ends by itself.
#[utoipa::path(post, path = "/v1/drills", tag = "drills", request_body = DrillBody, security(("token" = [])),
    responses((status = 201, description = "The drill", body = ScheduledEventView), Problems))]
async fn begin(State(app): State<Arc<App>>, change: Change<Person, DrillBody>) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.drill(&body).await
}
