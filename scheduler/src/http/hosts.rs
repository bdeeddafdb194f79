//! Hosts. For operators only: from a host's name an owner could infer who else is on it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::fleet::{Fleet, Host};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{limit, of_all};
use super::problem::Problem;
use super::views::{AgentHeard, Eyes, HelpersView, HostDetail, HostView, Page, ReasonBody, ServerView};
use crate::app::App;
use crate::auth::Operator;
use crate::commands::{Reply, find_host, hosts::standing, store_problem};
use crate::http::servers::open_migrations;
use crate::store::ReplicaFilter;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(cordon))
        .routes(routes!(uncordon))
        .routes(routes!(export))
}

/// Which hosts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this cluster.
    cluster: Option<String>,
    /// In this standing: `open`, `cordoned`, `draining` or `drained`.
    standing: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

pub(crate) fn view(app: &App, fleet: &Fleet, host: &Host) -> HostView {
    let servers: Vec<_> = fleet.on(&host.name).collect();
    let heard = AgentHeard {
        silent_after: app.policies.general().agents.silent_after,
        protocol: app.agents.protocol(&host.name),
    };
    HostView::of(host, &servers, heard, app.clock.now())
}

/// Export the fleet
///
/// Every host and server with all that is known of them, each fact with its age: what plans are made from, as one object. For
/// `drover plan --fleet`, and as the attachment of a bug report.
#[utoipa::path(get, path = "/v1/fleet", tag = "hosts", security(("token" = [])),
    responses((status = 200, description = "The fleet, in the form of the agents' protocol", body = serde_json::Value), Problems))]
async fn export(State(app): State<Arc<App>>, _: Operator) -> Json<Fleet> {
    Json(Fleet::clone(&app.fleet()))
}

/// List hosts
///
/// In the order of their names.
#[utoipa::path(get, path = "/v1/hosts", tag = "hosts", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of hosts", body = Page<HostView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Params(which): Params<Which>,
) -> Result<Json<Page<HostView>>, Problem> {
    let fleet = app.fleet();
    if let Some(standing) = &which.standing
        && !["open", "cordoned", "draining", "drained"].contains(&standing.as_str())
    {
        let detail = format!("standing={standing} is not known; choose open, cordoned, draining or drained");
        return Err(Problem::parameter("standing", detail));
    }
    let hosts: Vec<&Host> = fleet
        .hosts
        .values()
        .filter(|host| which.cluster.as_ref().is_none_or(|cluster| *cluster == host.facts.cluster))
        .filter(|host| which.standing.as_ref().is_none_or(|standing| *standing == host.standing.to_string()))
        .collect();
    let page = of_all(hosts, |host| host.name.to_string(), which.cursor.as_deref(), limit(which.limit)?);
    Ok(Json(Page {
        items: page.items.into_iter().map(|host| view(&app, &fleet, host)).collect(),
        next_cursor: page.next_cursor,
    }))
}

/// Show a host
///
/// With the servers that are seen on it.
#[utoipa::path(get, path = "/v1/hosts/{host}", tag = "hosts", params(("host" = String, Path, description = "Its name")),
    security(("token" = [])), responses((status = 200, description = "The host", body = HostDetail), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let host = find_host(&fleet, &name)?;
    let generation = standing(&app, host).await?.generation;
    let open = open_migrations(&app, fleet.on(&host.name), Eyes::Operator).await?;
    let detail = HostDetail {
        host: view(&app, &fleet, host),
        libvirt_uri: host.facts.libvirt_uri.clone(),
        migration_address: host.facts.migration_address.clone(),
        helpers: helpers(&app, &fleet, host).await?,
        on_it: fleet
            .on(&host.name)
            .map(|server| ServerView::of(server, open.get(&server.facts.id).cloned(), Eyes::Operator))
            .collect(),
    };
    known.answer(Some(generation), &detail)
}

pub(crate) async fn helpers(app: &App, fleet: &Fleet, host: &Host) -> Result<HelpersView, Problem> {
    let filter = ReplicaFilter { host: Some(host.name.clone()), ..ReplicaFilter::default() };
    let replicas = app.store.replicas(&filter).await.map_err(|error| store_problem(&error))?;
    let replicas: Vec<_> = replicas.iter().map(|read| &read.value).collect();
    Ok(HelpersView::of(fleet, host, &replicas))
}

/// Keep new servers away from a host
#[utoipa::path(post, path = "/v1/hosts/{host}/cordon", tag = "hosts", request_body = ReasonBody,
    params(("host" = String, Path, description = "Its name")), security(("token" = [])),
    responses((status = 200, description = "Cordoned", body = HostView), Problems))]
async fn cordon(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, ReasonBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.cordon(&name, &body.reason).await
}

/// Let servers come to a host again
///
/// Also after its maintenance is completed and the host is back in service.
#[utoipa::path(post, path = "/v1/hosts/{host}/uncordon", tag = "hosts",
    params(("host" = String, Path, description = "Its name")), security(("token" = [])),
    responses((status = 200, description = "Open", body = HostView), Problems))]
async fn uncordon(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.uncordon(&name).await
}
