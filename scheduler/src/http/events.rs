//! What happened, page by page. [`super::stream`] goes on with what happens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::events::Event;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::Params;
use super::lists::limit;
use super::problem::{Kind, Problem};
use super::views::{EventView, Page};
use crate::app::App;
use crate::auth::{Caller, Person};
use crate::commands::{find_import, find_maintenance, find_migration, find_server, store_problem};
use crate::store::{EventFilter, Seq};

/// The most events of one migration's story that are shown with it.
const STORY: u32 = 1000;

/// How many of the latest are shown with something that has a longer story.
pub(crate) const OF_LATE: u32 = 50;

/// The most events that fit into what is said to somebody whose page was out of date.
const SENTENCES: u32 = 5;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// After this one, by its `seq`.
    after: Option<i64>,
    /// Of this maintenance; operators only.
    maintenance: Option<String>,
    /// Of this migration.
    migration: Option<String>,
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this import, by id or name; operators only.
    import: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// Of what events are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) maintenance: Option<&'a str>,
    pub(super) migration: Option<&'a str>,
    pub(super) server: Option<&'a str>,
    pub(super) import: Option<&'a str>,
}

/// What is asked for, as the store looks for it. An owner's own account is a part of every look-up.
pub(super) async fn filter(app: &App, caller: &Caller, asked: Asked<'_>) -> Result<EventFilter, Problem> {
    let Asked { maintenance, migration, server, import } = asked;
    if import.is_some() && caller.owner().is_some() {
        return Err(Problem::new(Kind::WrongToken, "import is for operators; leave it out"));
    }
    if maintenance.is_some() && caller.owner().is_some() {
        return Err(Problem::new(Kind::WrongToken, "maintenance is for operators; leave it out"));
    }
    let mut filter = EventFilter { owner: caller.owner().cloned(), ..EventFilter::default() };
    if let Some(given) = maintenance {
        filter.maintenance = Some(find_maintenance(app, given).await?.value.id);
    }
    if let Some(given) = migration {
        filter.migration = Some(find_migration(app, caller, given).await?.value.id);
    }
    if let Some(given) = import {
        filter.import = Some(find_import(app, given).await?.value.id);
    }
    if let Some(given) = server {
        filter.server = Some(match given.parse() {
            Ok(id) => id,
            Err(_) => find_server(&app.fleet(), caller, given)?.facts.id,
        });
    }
    Ok(filter)
}

/// An event as a caller sees it; nothing when it is not for him.
pub(crate) fn view(caller: &Caller, seq: Seq, event: &Event) -> Option<EventView> {
    match caller.owner() {
        None => Some(EventView::for_operator(seq.0, event)),
        Some(owner) => EventView::for_owner(seq.0, event, owner),
    }
}

/// The whole story of one thing.
pub(crate) async fn story(
    app: &App,
    caller: &Caller,
    filter: &EventFilter,
) -> Result<Vec<EventView>, Problem> {
    let events =
        app.store.events_after(Seq::START, filter, STORY).await.map_err(|error| store_problem(&error))?;
    Ok(events.iter().filter_map(|(seq, event)| view(caller, *seq, event)).collect())
}

/// The last things of a story, oldest first.
pub(crate) async fn story_of_late(
    app: &App,
    caller: &Caller,
    filter: &EventFilter,
    most: u32,
) -> Result<Vec<EventView>, Problem> {
    let events = app.store.events_of_late(filter, most).await.map_err(|error| store_problem(&error))?;
    Ok(events.iter().filter_map(|(seq, event)| view(caller, *seq, event)).collect())
}

/// The first things of a story after a place in it.
pub(crate) async fn told_since(
    app: &App,
    caller: &Caller,
    filter: &EventFilter,
    after: i64,
) -> Result<Vec<EventView>, Problem> {
    let events =
        app.store.events_after(Seq(after), filter, SENTENCES).await.map_err(|error| store_problem(&error))?;
    Ok(events.iter().filter_map(|(seq, event)| view(caller, *seq, event)).collect())
}

/// List events
///
/// Oldest first, after a place in the story.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of events", body = Page<EventView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<EventView>>, Problem> {
    let limit = limit(which.limit)?;
    let after = match &which.cursor {
        None => which.after.unwrap_or(0),
        Some(text) => text.parse().map_err(|_| {
            Problem::parameter(
                "cursor",
                format!("{text:?} is no cursor of this list; take the one of the page before"),
            )
        })?,
    };
    let asked = Asked {
        maintenance: which.maintenance.as_deref(),
        migration: which.migration.as_deref(),
        server: which.server.as_deref(),
        import: which.import.as_deref(),
    };
    let filter = filter(&app, &caller, asked).await?;
    let events = app
        .store
        .events_after(Seq(after), &filter, limit + 1)
        .await
        .map_err(|error| store_problem(&error))?;
    let more = events.len() > limit as usize;
    let shown = &events[..events.len().min(limit as usize)];
    // Events that an owner is not told of are skipped within a page: the cursor passes over them, so the list has no end before its end.
    let next_cursor = shown.last().filter(|_| more).map(|(seq, _)| seq.to_string());
    let items = shown.iter().filter_map(|(seq, event)| view(&caller, *seq, event)).collect();
    Ok(Json(Page { items, next_cursor }))
}
