//! Bringing servers of other kinds of hypervisors here. For operators only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::HostName;
use drover_policies::import::{Begin, Import};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{limit, of_all, only};
use super::problem::Problem;
use super::views::{ImportView, NewImport, Page, RetryImport};
use crate::app::App;
use crate::auth::Operator;
use crate::commands::imports::{ImportWish, view};
use crate::commands::{Reply, find_import, store_problem};
use crate::store::{ImportFilter, Only};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, import))
        .routes(routes!(show))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

/// The states that may be asked for.
const STATES: [&str; 5] = ["running", "failed", "cancelling", "imported", "cancelled"];

/// Which imports.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// To this host.
    host: Option<String>,
    /// In this state.
    state: Option<String>,
    /// `open` (unless said), `closed` or `all`.
    only: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

fn filter(which: &Which) -> Result<ImportFilter, Problem> {
    if let Some(state) = &which.state
        && !STATES.contains(&state.as_str())
    {
        let detail = format!("state={state} is not known; choose one of {}", STATES.join(", "));
        return Err(Problem::parameter("state", detail).with("allowed", STATES));
    }
    let host = which
        .host
        .as_deref()
        .map(|name| HostName::new(name).map_err(|bad| Problem::parameter("host", bad.to_string())))
        .transpose()?;
    // Whoever asks for a state means that one, be it over or not.
    let usual = if which.state.is_some() { Only::All } else { Only::Open };
    Ok(ImportFilter { host, state: which.state.clone(), only: only(which.only.as_deref(), usual)? })
}

/// By when it was asked for, and its id.
fn key(import: &Import) -> String {
    format!("{:020}.{}", import.opened_at.timestamp_micros(), import.id)
}

/// List imports
///
/// Oldest first; those that are not over unless others are asked for.
#[utoipa::path(get, path = "/v1/imports", tag = "imports", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of imports", body = Page<ImportView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Params(which): Params<Which>,
) -> Result<Json<Page<ImportView>>, Problem> {
    let limit = limit(which.limit)?;
    let found = app.store.imports(&filter(&which)?).await.map_err(|error| store_problem(&error))?;
    let found = found.into_iter().map(|found| found.value).collect();
    let page = of_all(found, key, which.cursor.as_deref(), limit);
    let items = page.items.iter().map(|import| view(&app, import)).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// Import a server
///
/// Its disks are copied to a host of ours, the guest is made fit to boot there by virt-v2v, and the server is defined. Its place is held from now on.
/// Refused (409, with the `rule` and the `field`) where the name, the id or a source is taken, and where the host that was named, or any, can't take it.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", request_body = NewImport, security(("token" = [])),
    responses((status = 201, description = "It has been ordered", body = ImportView), Problems))]
async fn import(State(app): State<Arc<App>>, change: Change<Operator, NewImport>) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.import(&body).await
}

/// Show an import
///
/// By its id, or the latest by the server's name.
#[utoipa::path(get, path = "/v1/imports/{import}", tag = "imports",
    params(("import" = String, Path, description = "Its id, or the server's name")), security(("token" = [])),
    responses((status = 200, description = "The import", body = ImportView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let found = find_import(&app, &name).await?;
    known.answer(Some(found.generation), &view(&app, &found.value))
}

/// Cancel an import
///
/// What is being done is stopped, and what was done is cleared away. One whose server is there already comes to its end.
#[utoipa::path(post, path = "/v1/imports/{import}/cancel", tag = "imports",
    params(("import" = String, Path, description = "Its id, or the server's name")), security(("token" = [])),
    responses((status = 200, description = "It is being cancelled", body = ImportView), Problems))]
async fn cancel(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.change_import(&name, ImportWish::Cancel).await
}

/// Retry an import
///
/// One that has failed goes on where it stopped; or from the beginning, if that is wished.
#[utoipa::path(post, path = "/v1/imports/{import}/retry", tag = "imports", request_body = RetryImport,
    params(("import" = String, Path, description = "Its id, or the server's name")), security(("token" = [])),
    responses((status = 200, description = "It has been ordered", body = ImportView), Problems))]
async fn retry(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, RetryImport>,
) -> Result<Reply, Problem> {
    let (wish, RetryImport { anew }) = change.wish(app);
    let begin = if anew { Begin::Anew } else { Begin::Where };
    wish.change_import(&name, ImportWish::Retry(begin)).await
}
