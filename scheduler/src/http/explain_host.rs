//! Why a host is treated as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::conduct::why_not_yet;
use drover_policies::ids::HostName;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::Named;
use super::hosts::view;
use super::problem::Problem;
use super::views::{Eyes, HostExplanation, HostTurnView, MigrationBrief, TurnOf};
use crate::app::App;
use crate::auth::Operator;
use crate::commands::{find_host, store_problem};
use crate::situation::Loaded;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(explain_host))
}

/// Explain a host
///
/// Whether servers may be placed on it and why not, which maintenances have it, why it comes in its wave, what keeps it from beginning now, what
/// its servers wait for, and what would have to change.
#[utoipa::path(get, path = "/v1/hosts/{host}/explain", tag = "hosts", params(("host" = String, Path, description = "Its name")),
    security(("token" = [])), responses((status = 200, description = "Why", body = HostExplanation), Problems))]
async fn explain_host(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named,
) -> Result<Json<HostExplanation>, Problem> {
    let loaded = Loaded::read(&app).await.map_err(|error| store_problem(&error))?;
    let fleet = app.fleet();
    let host = find_host(&fleet, &name)?;
    let open = app.store.maintenances_open().await.map_err(|error| store_problem(&error))?;
    let mut turns = Vec::new();
    for maintenance in open.iter().map(|open| &open.value).filter(|it| is_concerned(it, &host.name)) {
        let hooks = app.store.hook_runs(maintenance.id, &host.name).await;
        let hooks = hooks.map_err(|error| store_problem(&error))?;
        let turn = HostTurnView::of(maintenance, &host.name, &hooks, &fleet);
        let why_not_yet = why_not_yet(loaded.situation(&app), maintenance.id, &host.name);
        let maintenance = format!("MT-{}", maintenance.number);
        turns.extend(turn.map(|turn| TurnOf { maintenance, turn, why_not_yet }));
    }
    let view = view(&app, &fleet, host);
    let migrations = app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
    let brief = |migration: &Migration| MigrationBrief::of(migration, Eyes::Operator);
    let of = |is: &dyn Fn(&Migration) -> bool| -> Vec<MigrationBrief> {
        migrations.iter().map(|open| &open.value).filter(|migration| is(migration)).map(brief).collect()
    };
    let mut under_way = open.iter().filter(|open| open.value.is_under_way());
    let to_come = under_way.any(|open| open.value.to_be_emptied().any(|waiting| *waiting == host.name));
    Ok(Json(HostExplanation {
        why_no_servers: why_no_servers(&view, to_come),
        leaving: of(&|migration| migration.from == host.name),
        coming: of(&|migration| migration.to() == Some(&host.name) && migration.from != host.name),
        turns,
        host: view,
    }))
}

/// Whether a maintenance still has something to do with a host.
fn is_concerned(maintenance: &Maintenance, host: &HostName) -> bool {
    maintenance.hosts.get(host).is_some_and(|stage| !stage.is_over(maintenance.kind()))
}

fn why_no_servers(host: &super::views::HostView, to_come: bool) -> Vec<String> {
    let standing = &host.standing.state;
    let name = &host.name;
    [
        (standing == "cordoned").then(|| format!("it is cordoned: drover hosts uncordon {name}")),
        (standing == "draining").then(|| "it is being emptied".to_owned()),
        (standing == "drained").then(|| {
            format!("it has been emptied; when it is fit for service again: drover hosts uncordon {name}")
        }),
        host.agent.silent.then(|| format!("nothing is heard of its agent: see that drover-agent runs on {name}")),
        to_come.then(|| "its turn to be emptied is yet to come: a server goes there only where no other host can take it".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
