//! Replicas of local disks: how far they are, and what may be wished of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::HostName;
use drover_policies::replica::{Replica, TestResult};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{limit, of_all};
use super::problem::{Kind, Problem};
use super::views::{Page, ReplicaView};
use crate::app::App;
use crate::auth::{Caller, Operator, Person};
use crate::commands::replicas::{ReplicaWish, find_replica, view};
use crate::commands::{Reply, find_server, owned, store_problem};
use crate::replicas::Present;
use crate::store::{ReplicaFilter, Versioned};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(sync))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(launch_test))
        .routes(routes!(end_test))
        .routes(routes!(test_passed))
        .routes(routes!(test_failed))
}

/// The states that may be asked for.
const STATES: [&str; 11] = [
    "initiating",
    "initial_sync",
    "rescan",
    "syncing",
    "continuous",
    "backlog",
    "paused",
    "stalled",
    "cutting_over",
    "refused",
    "releasing",
];

/// Which replicas.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this owner's servers.
    owner: Option<String>,
    /// From or to this host; operators only.
    host: Option<String>,
    /// In this state.
    state: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

fn filter(app: &App, caller: &Caller, which: &Which) -> Result<ReplicaFilter, Problem> {
    if caller.owner().is_some() && which.host.is_some() {
        return Err(Problem::new(Kind::WrongToken, "host is for operators; leave it out"));
    }
    if let Some(state) = &which.state
        && !STATES.contains(&state.as_str())
    {
        let detail = format!("state={state} is not known; choose one of {}", STATES.join(", "));
        return Err(Problem::parameter("state", detail).with("allowed", STATES));
    }
    let server = match &which.server {
        None => None,
        Some(given) => Some(match given.parse() {
            Ok(id) => id,
            Err(_) => find_server(&app.fleet(), caller, given)?.facts.id,
        }),
    };
    let host = which
        .host
        .as_deref()
        .map(|name| HostName::new(name).map_err(|bad| Problem::parameter("host", bad.to_string())))
        .transpose()?;
    Ok(ReplicaFilter { host, server, owner: owned(caller, which.owner.as_deref())? })
}

/// By when it was wanted, and its id.
fn key(replica: &Replica) -> String {
    format!("{:020}.{}", replica.opened_at.timestamp_micros(), replica.id)
}

/// List replicas
///
/// Copies of servers' local disks that are kept, or that are still to be let go of; oldest first. An owner sees those of his servers.
#[utoipa::path(get, path = "/v1/replicas", tag = "replicas", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of replicas", body = Page<ReplicaView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<ReplicaView>>, Problem> {
    let limit = limit(which.limit)?;
    let filter = filter(&app, &caller, &which)?;
    let failed = |error| store_problem(&error);
    let found = app.store.replicas(&filter).await.map_err(failed)?;
    let history = app.store.reboot_downtimes().await.map_err(failed)?;
    let mut views = Vec::new();
    for Versioned { value: replica, .. } in found {
        let Some(migration) = app.store.migration(replica.migration).await.map_err(failed)? else { continue };
        let key = key(&replica);
        let present = Present::of(&app, replica, &migration.value, &history);
        let view = ReplicaView::of(&present, caller.eyes());
        if which.state.as_ref().is_none_or(|state| *state == view.figures.state) {
            views.push((key, view));
        }
    }
    let page = of_all(views, |(key, _)| key.clone(), which.cursor.as_deref(), limit);
    let items = page.items.into_iter().map(|(_, view)| view).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// Show a replica
///
/// By its id, or by the number of its migration.
#[utoipa::path(get, path = "/v1/replicas/{replica}", tag = "replicas",
    params(("replica" = String, Path, description = "Its id, or `DR-1001` or `1001` of its migration")), security(("token" = [])),
    responses((status = 200, description = "The replica", body = ReplicaView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let (replica, migration) = find_replica(&app, &caller, &name).await?;
    let generation = replica.generation;
    let view = view(&app, &caller, replica.value, &migration).await?;
    known.answer(Some(generation), &view)
}

/// Bring a replica up to date now
///
/// The next round is done at once instead of at its time. Refused (409, with the `rule`) while a round is being done, while it is paused, and once the
/// server is being cut over.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/sync", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "A round is done next", body = ReplicaView), Problems))]
async fn sync(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::Sync).await
}

/// Pause a replica
///
/// No further rounds; one that is being done is brought to its end. Its lag grows until it is resumed, and the server is not cut over with a replica that
/// is too far behind.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/pause", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Paused", body = ReplicaView), Problems))]
async fn pause(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::Pause).await
}

/// Resume a replica
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/resume", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Rounds are done again", body = ReplicaView), Problems))]
async fn resume(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::Resume).await
}

/// Launch a test
///
/// The server is booted at its destination from the last round that landed, under another name and cut off from its network, while it runs on where it is
/// and the replication goes on. A test that runs is ended first, and its disks are deleted. Refused (409, with the `rule`) before the first copy, while
/// another launch is under way, and once the server is being cut over.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/test", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "The test is launched next", body = ReplicaView), Problems))]
async fn launch_test(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::LaunchTest).await
}

/// End a test
///
/// The test guest is switched off, and its disks are deleted. By itself that is done when its time is over (`test.ttl`), and before the cutover.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/test/end", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "It is being ended", body = ReplicaView), Problems))]
async fn end_test(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::EndTest).await
}

/// Say that a test has passed
///
/// Only of one whose guest has run; said again, what was said last counts.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/test/passed", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Noted", body = ReplicaView), Problems))]
async fn test_passed(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::MarkTest(TestResult::Passed)).await
}

/// Say that a test has failed
///
/// Only of one whose guest has run; said again, what was said last counts. It changes nothing about the migration.
#[utoipa::path(post, path = "/v1/migrations/{migration}/replica/test/failed", tag = "replicas",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Noted", body = ReplicaView), Problems))]
async fn test_failed(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.replica(&name, ReplicaWish::MarkTest(TestResult::Failed)).await
}
