//! Scheduled events: migrations as owners' tools read them. [`super::compat`] tells the same in the words of others.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Known, Named, Params};
use super::lists::{cursor, limit, only};
use super::problem::Problem;
use super::views::{Page, ScheduledEventView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{find_migration, find_server, owned, store_problem};
use crate::store::{MigrationFilter, Only, Purposes};
use crate::upcoming::{Telling, with_history};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `open` (unless said), `closed` or `all`.
    only: Option<String>,
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this owner.
    owner: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// List scheduled events
///
/// What happens to servers and when, newest first, drills included. An owner sees his own.
#[utoipa::path(get, path = "/v1/scheduled-events", tag = "scheduled-events", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of events", body = Page<ScheduledEventView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<ScheduledEventView>>, Problem> {
    let server = match &which.server {
        None => None,
        Some(given) => Some(match given.parse() {
            Ok(id) => id,
            Err(_) => find_server(&app.fleet(), &caller, given)?.facts.id,
        }),
    };
    let filter = MigrationFilter {
        owner: owned(&caller, which.owner.as_deref())?,
        server,
        only: only(which.only.as_deref(), Only::Open)?,
        purposes: Purposes::All,
        ..MigrationFilter::default()
    };
    let cursor = cursor(which.cursor.as_deref())?;
    let page = app.store.migrations_page(&filter, cursor.as_ref(), limit(which.limit)?).await;
    let page = page.map_err(|error| store_problem(&error))?;
    let telling = Telling::of(&app, page.items.iter().map(|read| &read.value))
        .await
        .map_err(|error| store_problem(&error))?;
    let items = page
        .items
        .iter()
        .map(|read| ScheduledEventView::of(telling.tell(&read.value), caller.eyes()))
        .collect();
    Ok(Json(Page { items, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// Show a scheduled event
///
/// With what its owner was told of it.
#[utoipa::path(get, path = "/v1/scheduled-events/{event}", tag = "scheduled-events",
    params(("event" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "The event", body = ScheduledEventView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let migration = find_migration(&app, &caller, &name).await?;
    let event = with_history(&app, &migration).await.map_err(|error| store_problem(&error))?;
    known.answer(Some(migration.generation), &ScheduledEventView::of(event, caller.eyes()))
}
