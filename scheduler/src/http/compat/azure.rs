//! Azure's scheduled events: the document, and `StartRequests`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use drover_policies::upcoming::EventState;
use drover_policies::upcoming::azure::{API_VERSIONS, Approval, Document};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Problems;
use super::super::extract::{Envelope, Params, parse};
use super::super::problem::{Kind, Problem};
use super::{demand, whom};
use crate::app::App;
use crate::auth::Person;
use crate::commands::migrations::MigrationWish;
use crate::commands::{Wish, find_migration, store_problem};
use crate::upcoming::{Telling, document};

/// The most events that one request may start: more is a mistake.
const AT_ONCE: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show, start))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `2020-07-01`, say.
    #[serde(rename = "api-version")]
    #[param(rename = "api-version")]
    api_version: Option<String>,
    /// Of this server alone, by id or name.
    server: Option<String>,
    /// Of this owner; needed with an operator's token.
    owner: Option<String>,
}

fn checked(headers: &HeaderMap, which: &Which) -> Result<(), Problem> {
    demand(headers, "metadata", "true", StatusCode::BAD_REQUEST)?;
    match which.api_version.as_deref() {
        Some(version) if API_VERSIONS.contains(&version) => Ok(()),
        given => {
            let wrong =
                given.map_or_else(|| "is missing".to_owned(), |given| format!("{given} is not known"));
            let detail = format!("api-version {wrong}; choose one of {}", API_VERSIONS.join(", "));
            Err(Problem::parameter("api-version", detail).with("newest-versions", API_VERSIONS))
        }
    }
}

/// Azure: the document of scheduled events
///
/// Of all servers of the owner's, or of one. Needs `Metadata: true` and an `api-version`. `DocumentIncarnation` rises when the events change, and only then.
#[utoipa::path(get, path = "/compat/azure/metadata/scheduledevents", tag = "compat",
    params(Which, ("Metadata" = String, Header, description = "`true`")), security(("token" = [])),
    responses((status = 200, description = "The document", body = Value), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Json<Document>, Problem> {
    checked(&headers, &which)?;
    let whom = whom(&app, &caller, (which.owner.as_deref(), which.server.as_deref()))?;
    document(&app, &whom).await.map(Json).map_err(|error| store_problem(&error))
}

/// Azure: start events before their time
///
/// `{"StartRequests": [{"EventId": "…"}]}` starts each of them now. One that has been started already is no mistake; when one can't be started, none is.
#[utoipa::path(post, path = "/compat/azure/metadata/scheduledevents", tag = "compat", request_body = Value,
    params(Which, ("Metadata" = String, Header, description = "`true`")), security(("token" = [])),
    responses((status = 200, description = "They begin"), Problems))]
async fn start(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    checked(&headers, &which)?;
    // Azure's own examples name no content type, so none is asked for.
    let approval: Approval = parse(&body).map_err(malformed)?;
    if approval.start_requests.len() > AT_ONCE {
        let detail =
            format!("{} events in one request; send at most {AT_ONCE}", approval.start_requests.len());
        return Err(malformed(Problem::field("StartRequests", detail)));
    }
    let mut wanted = Vec::new();
    for request in &approval.start_requests {
        let migration = find_migration(&app, &caller, &request.migration().to_string()).await?;
        let telling = Telling::of(&app, [&migration.value]).await.map_err(|error| store_problem(&error))?;
        let event = telling.tell(&migration.value);
        match event.state {
            _ if event.can_start_now => wanted.push(migration.value.id),
            EventState::Starting | EventState::Running | EventState::Verifying => {}
            EventState::Pending
            | EventState::Notified
            | EventState::Scheduled
            | EventState::Completed
            | EventState::Failed
            | EventState::Canceled
            | EventState::Avoided => {
                let detail = format!("{} can't be started by its owner: it is {}", event.number, event.state);
                return Err(Problem::new(Kind::Refused, detail).with("EventId", request.event_id));
            }
        }
    }
    for migration in wanted {
        let envelope = Envelope::default();
        let wish = Wish { app: app.clone(), caller: caller.clone(), envelope };
        wish.migration(&migration.to_string(), MigrationWish::StartNow).await?;
    }
    Ok(StatusCode::OK)
}

/// Azure knows one status for all that is wrong with a body.
fn malformed(mut problem: Problem) -> Problem {
    problem.status = StatusCode::BAD_REQUEST.as_u16();
    problem
}
