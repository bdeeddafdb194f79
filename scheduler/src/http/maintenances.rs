//! Maintenances. For operators only.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use drover_policies::conduct::{ahead_of, times_of};
use drover_policies::ids::HostName;
use drover_policies::maintenance::{InPart, Maintenance};
use drover_policies::planner::{Input, report_of};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{cursor, limit, only};
use super::problem::{Kind, Problem};
use super::views::{
    ApproveBody, EmergencyBody, HostTurnView, MaintenanceBody, MaintenanceDetail, MaintenanceView, Page,
    PlanView,
};
use crate::app::App;
use crate::auth::Operator;
use crate::commands::hosts::reason;
use crate::commands::maintenances::MaintenanceWish;
use crate::commands::{Reply, find_maintenance, store_problem, suggestions};
use crate::situation::Loaded;
use crate::store::Only;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(plan))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(emergency))
        .routes(routes!(approve))
        .routes(routes!(host))
        .routes(routes!(retry_host))
        .routes(routes!(skip_host))
}

/// Which maintenances.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `open` (unless said), `closed` or `all`.
    only: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// List maintenances
///
/// Newest first.
#[utoipa::path(get, path = "/v1/maintenances", tag = "maintenances", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of maintenances", body = Page<MaintenanceView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Params(which): Params<Which>,
) -> Result<Json<Page<MaintenanceView>>, Problem> {
    let cursor = cursor(which.cursor.as_deref())?;
    let only = only(which.only.as_deref(), Only::Open)?;
    let page = app.store.maintenances_page(only, cursor.as_ref(), limit(which.limit)?).await;
    let page = page.map_err(|error| store_problem(&error))?;
    let (fleet, now) = (app.fleet(), app.clock.now());
    let mut items = Vec::with_capacity(page.items.len());
    for maintenance in &page.items {
        let migrations =
            app.store.migrations_of(maintenance.value.id).await.map_err(|error| store_problem(&error))?;
        let migrations = migrations.iter().map(|migration| &migration.value);
        items.push(MaintenanceView::of(&maintenance.value, migrations, &fleet, now));
    }
    Ok(Json(Page { items, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// Empty hosts, and have something done with them
///
/// The hosts are cordoned at once, and the servers on them planned and moved as they can be. With `rolling` nothing is done yet: the order of the
/// hosts is planned, and it begins when it is approved. With `dry_run` the plan alone is answered (200) and nothing changes.
#[utoipa::path(post, path = "/v1/maintenances", tag = "maintenances", request_body = MaintenanceBody, security(("token" = [])),
    responses((status = 201, description = "It has begun, or is a draft", body = MaintenanceView),
        (status = 200, description = "What would be done", body = PlanView), Problems))]
async fn create(
    State(app): State<Arc<App>>,
    change: Change<Operator, MaintenanceBody>,
) -> Result<Response, Problem> {
    let (wish, body) = change.wish(app);
    if body.dry_run {
        return Ok(Json(wish.dry_run(&body).await?).into_response());
    }
    Ok(wish.drain(&body).await?.into_response())
}

/// Show a maintenance
///
/// How far each host is, what moves, what waits for what, and what needs a person.
#[utoipa::path(get, path = "/v1/maintenances/{maintenance}", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "The maintenance", body = MaintenanceDetail), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let maintenance = find_maintenance(&app, &name).await?;
    let migrations =
        app.store.migrations_of(maintenance.value.id).await.map_err(|error| store_problem(&error))?;
    let migrations: Vec<_> = migrations.into_iter().map(|migration| migration.value).collect();
    let view = MaintenanceView::of(&maintenance.value, &migrations, &app.fleet(), app.clock.now());
    known.answer(Some(maintenance.generation), &MaintenanceDetail::of(view, &migrations))
}

/// Show the latest plan of a maintenance
///
/// As it was made; what became of it since is told by the maintenance itself. Before the first host has begun: as it would be now.
#[utoipa::path(get, path = "/v1/maintenances/{maintenance}/plan", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "The plan", body = PlanView), Problems))]
async fn plan(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    known.answer(None, &latest_plan(&app, &find_maintenance(&app, &name).await?.value).await?)
}

/// The latest plan of a maintenance.
///
/// # Errors
/// It has none.
pub(crate) async fn latest_plan(app: &App, maintenance: &Maintenance) -> Result<PlanView, Problem> {
    if !maintenance.empties() {
        return Ok(PlanView::of_balance(app.clock.now(), &maintenance.rolling.balance));
    }
    let loaded = Loaded::read(app).await.map_err(|error| store_problem(&error))?;
    let times = times_of(loaded.situation(app), maintenance, []);
    let latest = app.store.latest_plan(maintenance.id).await.map_err(|error| store_problem(&error))?;
    let waits = !maintenance.rolling.waves.ahead.is_empty();
    let ahead = waits.then(|| ahead_of(loaded.situation(app), maintenance));
    let Some(latest) = latest else {
        if let Some(ahead) = ahead {
            return Ok(PlanView::of_ahead(app.clock.now(), &ahead).at_times(times));
        }
        return Err(Problem::new(
            Kind::NotFound,
            format!(
                "MT-{} has no plan: no server has been seen on its hosts since it began",
                maintenance.number
            ),
        ));
    };
    let fleet = app.fleet();
    let doomed = maintenance.to_be_emptied().cloned().collect();
    let report = report_of(
        &Input {
            now: app.clock.now(),
            fleet: &fleet,
            policies: &app.policies,
            emptying: &maintenance.being_emptied().cloned().collect(),
            doomed: &doomed,
            reservations: &[],
            kept: &BTreeMap::new(),
            history: &BTreeMap::new(),
            blueprints: &BTreeMap::new(),
        },
        &latest.plan,
    );
    let plan = PlanView::of(&latest.plan, &report);
    Ok(ahead.iter().fold(plan, PlanView::followed_by).at_times(times))
}

macro_rules! wished {
    ($app:expr, $name:expr, $change:expr, $wish:expr) => {{
        let (wish, Nothing {}) = $change.wish($app);
        wish.maintain(&$name, &$wish).await
    }};
}

/// Pause a maintenance
///
/// Nothing new is begun; what runs goes on.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/pause", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "Paused", body = MaintenanceView), Problems))]
async fn pause(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    wished!(app, name, change, MaintenanceWish::Pause)
}

/// Go on with a maintenance
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/resume", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "It goes on", body = MaintenanceView), Problems))]
async fn resume(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    wished!(app, name, change, MaintenanceWish::Resume)
}

/// Give up a maintenance
///
/// What has begun is ended in order; its hosts are given back once nothing of it runs there.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/cancel", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "Cancelled", body = MaintenanceView), Problems))]
async fn cancel(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    wished!(app, name, change, MaintenanceWish::Cancel)
}

/// Make a maintenance an emergency
///
/// Windows and notice are skipped from here on, and owners are told afterwards, with the reason.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/emergency", tag = "maintenances", request_body = EmergencyBody,
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "An emergency", body = MaintenanceView), Problems))]
async fn emergency(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, EmergencyBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    let why = reason("why", &body.why)?;
    wish.maintain(&name, &MaintenanceWish::Emergency { why }).await
}

/// Approve a maintenance
///
/// It begins: hosts get their turns in the order that was planned. One that can't be done in whole is refused unless `anyway` is said.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/approve", tag = "maintenances", request_body = ApproveBody,
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id")), security(("token" = [])),
    responses((status = 200, description = "It begins", body = MaintenanceView), Problems))]
async fn approve(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, ApproveBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    let in_part = if body.anyway { InPart::Accepted } else { InPart::Refused };
    wish.maintain(&name, &MaintenanceWish::Approve { in_part }).await
}

/// Show one host of a maintenance
///
/// How far it is, why it comes in its wave, what would have to change for it to come earlier or to go on, and all that its hooks wrote.
#[utoipa::path(get, path = "/v1/maintenances/{maintenance}/hosts/{host}", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id"), ("host" = String, Path, description = "Its name")),
    security(("token" = [])), responses((status = 200, description = "The host", body = HostTurnView), Problems))]
async fn host(
    State(app): State<Arc<App>>,
    _: Operator,
    Path((name, host)): Path<(String, String)>,
    known: Known,
) -> Result<Response, Problem> {
    let maintenance = find_maintenance(&app, &name).await?.value;
    let host = host_of(&maintenance, &host)?;
    let hooks = app.store.hook_runs(maintenance.id, &host).await.map_err(|error| store_problem(&error))?;
    match HostTurnView::of(&maintenance, &host, &hooks, &app.fleet()) {
        Some(view) => known.answer(None, &view),
        None => Err(Problem::not_found("host", host.as_str())),
    }
}

/// Try a host again that has failed
///
/// From the step on in which it did. It is emptied once more if it was opened meanwhile.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/hosts/{host}/retry", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id"), ("host" = String, Path, description = "Its name")),
    security(("token" = [])), responses((status = 200, description = "It is tried again", body = MaintenanceView), Problems))]
async fn retry_host(
    State(app): State<Arc<App>>,
    Path((name, host)): Path<(String, String)>,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    let host = host_of(&find_maintenance(&wish.app, &name).await?.value, &host)?;
    wish.maintain(&name, &MaintenanceWish::RetryHost { host }).await
}

/// Leave a host out
///
/// It is in service as it was; servers that move come to the end of that.
#[utoipa::path(post, path = "/v1/maintenances/{maintenance}/hosts/{host}/skip", tag = "maintenances",
    params(("maintenance" = String, Path, description = "`MT-12`, `12` or its id"), ("host" = String, Path, description = "Its name")),
    security(("token" = [])), responses((status = 200, description = "It is left out", body = MaintenanceView), Problems))]
async fn skip_host(
    State(app): State<Arc<App>>,
    Path((name, host)): Path<(String, String)>,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    let host = host_of(&find_maintenance(&wish.app, &name).await?.value, &host)?;
    wish.maintain(&name, &MaintenanceWish::SkipHost { host }).await
}

pub(crate) fn host_of(maintenance: &Maintenance, given: &str) -> Result<HostName, Problem> {
    let found = maintenance.hosts.keys().find(|host| host.as_str() == given);
    found.cloned().ok_or_else(|| {
        let near = suggestions(given, maintenance.hosts.keys().map(HostName::as_str));
        Problem::not_found("host", given)
            .with("maintenance", format!("MT-{}", maintenance.number))
            .with("suggestions", near)
    })
}
