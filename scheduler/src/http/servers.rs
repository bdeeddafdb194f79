//! Servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::fleet::Server;
use drover_policies::ids::ServerId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Params};
use super::lists::{limit, of_all};
use super::problem::{Kind, Problem};
use super::views::{Eyes, MayReasonBody, MigrateBody, MigrationBrief, MigrationView, Page, ServerView};
use crate::app::App;
use crate::auth::Person;
use crate::commands::{Reply, find_server, owned, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(migrate_now))
        .routes(routes!(migrate))
}

/// Which servers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// On this host; operators only.
    host: Option<String>,
    /// Of this owner.
    owner: Option<String>,
    /// Of this name.
    name: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// The open migration of each of these servers that has one.
pub(super) async fn open_migrations(
    app: &App,
    servers: impl Iterator<Item = &Server>,
    eyes: Eyes,
) -> Result<BTreeMap<ServerId, MigrationBrief>, Problem> {
    let open = app.store.migrations_open_of(servers.map(|server| server.facts.id)).await;
    let open = open.map_err(|error| store_problem(&error))?;
    Ok(open
        .iter()
        .map(|migration| (migration.value.server, MigrationBrief::of(&migration.value, eyes)))
        .collect())
}

/// List servers
///
/// Each once, where it counts, in the order of ids. An owner sees his own.
#[utoipa::path(get, path = "/v1/servers", tag = "servers", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of servers", body = Page<ServerView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<ServerView>>, Problem> {
    if which.host.is_some() && caller.owner().is_some() {
        return Err(Problem::new(
            Kind::WrongToken,
            "which host a server is on is for operators; leave host out",
        ));
    }
    let owner = owned(&caller, which.owner.as_deref())?;
    let fleet = app.fleet();
    let servers: Vec<&Server> = fleet
        .servers()
        .into_values()
        .filter(|server| owner.is_none() || server.facts.owner == owner)
        .filter(|server| which.host.as_deref().is_none_or(|host| host == server.host.as_str()))
        .filter(|server| which.name.as_ref().is_none_or(|name| *name == server.facts.name))
        .collect();
    let page =
        of_all(servers, |server| server.facts.id.to_string(), which.cursor.as_deref(), limit(which.limit)?);
    let open = open_migrations(&app, page.items.iter().copied(), caller.eyes()).await?;
    let items = page
        .items
        .into_iter()
        .map(|server| ServerView::of(server, open.get(&server.facts.id).cloned(), caller.eyes()))
        .collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// Show a server
///
/// By its id, or by its name if no other has that.
#[utoipa::path(get, path = "/v1/servers/{server}", tag = "servers",
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 200, description = "The server", body = ServerView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let server = find_server(&fleet, &caller, &name)?;
    let open = open_migrations(&app, std::iter::once(server), caller.eyes()).await?;
    let view = ServerView::of(server, open.get(&server.facts.id).cloned(), caller.eyes());
    known.answer(None, &view)
}

/// Move a server by a reboot, now
///
/// Starts the appointment of its open reboot migration, or a new reboot migration that belongs to no maintenance. Never live: owners
/// start reboot migrations only.
#[utoipa::path(post, path = "/v1/servers/{server}/migrate-now", tag = "servers", request_body = MayReasonBody,
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 201, description = "It begins", body = MigrationView), Problems))]
async fn migrate_now(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, MayReasonBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.migrate(&name, None, body.reason.as_deref()).await
}

/// Move a server by a reboot, at a time
///
/// Gives its open reboot migration that time, or opens one that belongs to no maintenance, with a place reserved and a ticket. The rules are those of
/// a new time for any appointment. How often an owner may ask is limited (429, `too-often`, with the moment of the `next`).
#[utoipa::path(post, path = "/v1/servers/{server}/migrate", tag = "servers", request_body = MigrateBody,
    params(("server" = String, Path, description = "Its id or name")), security(("token" = [])),
    responses((status = 201, description = "It will be moved then", body = MigrationView),
        (status = 200, description = "The open migration has that time now", body = MigrationView), Problems))]
async fn migrate(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, MigrateBody>,
) -> Result<Reply, Problem> {
    let (wish, MigrateBody { at, reason }) = change.wish(app);
    let at = drover_policies::time::to_microseconds(at);
    wish.migrate(&name, Some(at), reason.as_deref()).await
}
