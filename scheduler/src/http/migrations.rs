//! Migrations. Owners see their own, and change the time of theirs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::conduct;
use drover_policies::ids::HostName;
use drover_policies::migration::{Loss, Migration};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::events::story;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{cursor, limit, only, page};
use super::problem::{Kind, Problem};
use super::views::{
    FreeSlots, MigrationDetail, MigrationView, Page, ReplicaView, RescheduleBody, RevertBody, SlotView,
};
use crate::app::App;
use crate::auth::{Caller, Operator, Person};
use crate::commands::migrations::MigrationWish;
use crate::commands::{
    Reply, find_maintenance, find_migration, find_server, owned, store_problem, with_time,
};
use crate::replicas;
use crate::situation::Loaded;
use crate::store::{EventFilter, MigrationFilter, Only, Purposes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(slots))
        .routes(routes!(abort))
        .routes(routes!(retry))
        .routes(routes!(force))
        .routes(routes!(approve))
        .routes(routes!(decline))
        .routes(routes!(reschedule))
        .routes(routes!(start_now))
        .routes(routes!(cancel))
        .routes(routes!(confirm))
        .routes(routes!(revert))
}

/// The states that may be asked for.
const STATES: [&str; 19] = [
    "pending",
    "preflight",
    "transferring",
    "preparing",
    "ready",
    "cutting_over",
    "verifying",
    "succeeded",
    "completed",
    "reverting",
    "discarding",
    "closed",
    "reverted",
    "rehearsing",
    "rehearsed",
    "rolled_back",
    "failed",
    "cancelled",
    "avoided",
];

/// Which migrations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `open` (unless said), `closed` or `all`.
    only: Option<String>,
    /// Of this maintenance; operators only.
    maintenance: Option<String>,
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this owner.
    owner: Option<String>,
    /// From or to this host; operators only.
    host: Option<String>,
    /// In this state.
    state: Option<String>,
    /// Drills: `none` (unless said), `only` or `too`.
    drills: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

async fn filter(app: &App, caller: &Caller, which: &Which) -> Result<MigrationFilter, Problem> {
    if caller.owner().is_some() && (which.host.is_some() || which.maintenance.is_some()) {
        return Err(Problem::new(Kind::WrongToken, "host and maintenance are for operators; leave them out"));
    }
    if let Some(state) = &which.state
        && !STATES.contains(&state.as_str())
    {
        let detail = format!("state={state} is not known; choose one of {}", STATES.join(", "));
        return Err(Problem::parameter("state", detail).with("allowed", STATES));
    }
    let fleet = app.fleet();
    // A server that is gone has migrations all the same, so an id is taken as it is; the account is filtered for in any case.
    let server = match &which.server {
        None => None,
        Some(given) => Some(match given.parse() {
            Ok(id) => id,
            Err(_) => find_server(&fleet, caller, given)?.facts.id,
        }),
    };
    let maintenance = match &which.maintenance {
        None => None,
        Some(given) => Some(find_maintenance(app, given).await?.value.id),
    };
    let host = which
        .host
        .as_deref()
        .map(|name| HostName::new(name).map_err(|bad| Problem::parameter("host", bad.to_string())))
        .transpose()?;
    let usual = if which.state.is_some() { Only::All } else { Only::Open };
    Ok(MigrationFilter {
        owner: owned(caller, which.owner.as_deref())?,
        server,
        host,
        maintenance,
        state: which.state.clone(),
        only: only(which.only.as_deref(), usual)?,
        purposes: match which.drills.as_deref() {
            None | Some("none") => Purposes::Moves,
            Some("only") => Purposes::Drills,
            Some("too") => Purposes::All,
            Some(other) => {
                let detail = format!("drills={other} is not known; choose none, only or too");
                return Err(Problem::parameter("drills", detail).with("allowed", ["none", "only", "too"]));
            }
        },
    })
}

/// Migrations as their caller sees them, each with its replica if it has one.
pub(crate) async fn views(
    app: &App,
    caller: &Caller,
    migrations: &[&Migration],
) -> Result<Vec<MigrationView>, Problem> {
    let replicas = replicas::of_migrations(app, migrations).await.map_err(|error| store_problem(&error))?;
    let view = |migration: &&Migration| {
        let progress = migration.state.operation().and_then(|operation| app.progress(operation));
        let replica =
            replicas.get(&migration.id).map(|known| Box::new(ReplicaView::of(known, caller.eyes())));
        MigrationView { replica, ..MigrationView::of(migration, progress.as_ref(), caller.eyes()) }
    };
    Ok(migrations.iter().map(view).collect())
}

/// List migrations
///
/// Newest first. An owner sees his own.
#[utoipa::path(get, path = "/v1/migrations", tag = "migrations", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of migrations", body = Page<MigrationView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<MigrationView>>, Problem> {
    let cursor = cursor(which.cursor.as_deref())?;
    let filter = filter(&app, &caller, &which).await?;
    let found = app.store.migrations_page(&filter, cursor.as_ref(), limit(which.limit)?).await;
    let found = page(found, |migration| migration.value.clone())?;
    let items = views(&app, &caller, &found.items.iter().collect::<Vec<_>>()).await?;
    Ok(Json(Page { items, next_cursor: found.next_cursor }))
}

/// Show a migration
///
/// With its tries, live figures, and its story.
#[utoipa::path(get, path = "/v1/migrations/{migration}", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "The migration", body = MigrationDetail), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let migration = find_migration(&app, &caller, &name).await?;
    let filter = EventFilter { migration: Some(migration.value.id), ..EventFilter::default() };
    let events = story(&app, &caller, &filter).await?;
    let generation = Some(migration.generation);
    let mut views = views(&app, &caller, &[&migration.value]).await?;
    let detail = views.pop().map(|migration| MigrationDetail { migration, events });
    known.answer(generation, &detail)
}

/// How many free times.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HowMany {
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
}

/// Times that are open and free
///
/// Within the owner's windows, as far ahead as policy wants, and where the hosts have room. Another time may be wished as well; these
/// are sure to be accepted if nobody else takes them first.
#[utoipa::path(get, path = "/v1/migrations/{migration}/slots", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id"), HowMany), security(("token" = [])),
    responses((status = 200, description = "Free times, the earliest first", body = FreeSlots), Problems))]
async fn slots(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    Params(how_many): Params<HowMany>,
) -> Result<Json<FreeSlots>, Problem> {
    let migration = with_time(&app, find_migration(&app, &caller, &name).await?).await?.value;
    migration.has_appointment().map_err(|refusal| Problem::new(Kind::Refused, refusal.to_string()))?;
    let most = limit(how_many.limit)? as usize;
    let loaded = Loaded::read(&app).await.map_err(|error| store_problem(&error))?;
    let items = conduct::free_slots(loaded.situation(&app), migration.id, most);
    Ok(Json(FreeSlots {
        items: items.into_iter().map(SlotView::from).collect(),
        deadline: migration.deadline,
    }))
}

/// Stop a migration
///
/// The server stays where it is. Refused once it is past the point of return.
#[utoipa::path(post, path = "/v1/migrations/{migration}/abort", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "It is being stopped", body = MigrationView), Problems))]
async fn abort(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Abort).await
}

/// Begin a failed migration anew
#[utoipa::path(post, path = "/v1/migrations/{migration}/retry", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Begun anew", body = MigrationView), Problems))]
async fn retry(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Retry).await
}

/// Force a migration
///
/// Ends a wait that needs nobody's consent, or lets a live migration stand still for as long as a reboot would take, so that it comes
/// to its end. Never breaks a window: that is what an emergency is for.
#[utoipa::path(post, path = "/v1/migrations/{migration}/force", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Forced", body = MigrationView), Problems))]
async fn force(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Force).await
}

/// Agree to the proposed time
#[utoipa::path(post, path = "/v1/migrations/{migration}/approve", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Agreed", body = MigrationView), Problems))]
async fn approve(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Approve).await
}
/// Decline the proposed time
///
/// Another one is proposed at once, in another opening of the owner's windows if there is one. Where no time fits before the hard deadline,
/// policy says what is done: an operator is asked, or the last time before the deadline is proposed. Refused from five minutes before
/// the start on, as policy says.
#[utoipa::path(post, path = "/v1/migrations/{migration}/decline", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Declined; this is proposed instead", body = MigrationView), Problems))]
async fn decline(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Decline).await
}

/// Choose another time
///
/// A refusal (409, `appointment`) names the `rule` and what would be accepted: `earliest`, `latest`, or `free` times.
#[utoipa::path(post, path = "/v1/migrations/{migration}/reschedule", tag = "migrations", request_body = RescheduleBody,
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Moved to that time", body = MigrationView), Problems))]
async fn reschedule(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, RescheduleBody>,
) -> Result<Reply, Problem> {
    let (wish, RescheduleBody { start }) = change.wish(app);
    let start = drover_policies::time::to_microseconds(start);
    wish.migration(&name, MigrationWish::Reschedule { start }).await
}

/// Start a reboot migration now
#[utoipa::path(post, path = "/v1/migrations/{migration}/start-now", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "It begins", body = MigrationView), Problems))]
async fn start_now(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::StartNow).await
}

/// Take back what was asked for
///
/// Before it has begun. An owner takes back what he asked for himself, unless a maintenance needs it by now. The server stays where it is.
#[utoipa::path(post, path = "/v1/migrations/{migration}/cancel", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Taken back", body = MigrationView), Problems))]
async fn cancel(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.cancel(&name).await
}

/// Say that all is well after a reboot migration
///
/// It can't be reverted any more, and what its old host keeps of the server is thrown away. Without a word it is confirmed by itself when the time to
/// revert it is over.
#[utoipa::path(post, path = "/v1/migrations/{migration}/confirm", tag = "migrations",
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "Confirmed", body = MigrationView), Problems))]
async fn confirm(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.migration(&name, MigrationWish::Confirm).await
}

/// Take a server back to where it was before a reboot migration
///
/// By another reboot migration, now or at a time, in the same ticket. Nothing that was written is lost: the disks are shared, or what was written
/// to local ones since is copied back first. Where that can't be done, or shall not be waited for, `accept_data_loss` takes it back to its old
/// disks as they were. Refused once it is confirmed or the time for it is over, and where its old host can't take it; then a new migration may
/// take it to another one.
#[utoipa::path(post, path = "/v1/migrations/{migration}/revert", tag = "migrations", request_body = RevertBody,
    params(("migration" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 201, description = "The migration that takes it back", body = MigrationView), Problems))]
async fn revert(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, RevertBody>,
) -> Result<Reply, Problem> {
    let (wish, RevertBody { at, accept_data_loss }) = change.wish(app);
    let at = at.map(drover_policies::time::to_microseconds);
    let loss = if accept_data_loss { Loss::Accepted } else { Loss::None };
    wish.revert(&name, at, loss).await
}
