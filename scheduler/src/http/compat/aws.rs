//! AWS: what its command line prints of `DescribeInstanceStatus` and `DescribeInstanceEventWindows`, and the events of an instance's metadata.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::fleet::{Power, Server};
use drover_policies::upcoming::aws::{
    EventWindow, EventWindows, InstanceEvent, InstanceState, InstanceStatus, InstanceStatuses, MetadataEvent,
    instance_id,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Problems;
use super::super::extract::Params;
use super::super::problem::Problem;
use super::{whom, whom_of_one};
use crate::app::App;
use crate::auth::Person;
use crate::commands::store_problem;
use crate::upcoming::{active, over};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(describe_instance_status))
        .routes(routes!(describe_instance_event_windows))
        .routes(routes!(scheduled))
        .routes(routes!(history))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this owner; needed with an operator's token.
    owner: Option<String>,
}

impl Which {
    fn asked(&self) -> (Option<&str>, Option<&str>) {
        (self.owner.as_deref(), self.server.as_deref())
    }
}

/// AWS: the status of instances, with their events
///
/// The JSON that `aws ec2 describe-instance-status` prints. Every server of the owner's is told, those without an event too.
#[utoipa::path(get, path = "/compat/aws/DescribeInstanceStatus", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "InstanceStatuses[]", body = Value), Problems))]
async fn describe_instance_status(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<InstanceStatuses>, Problem> {
    let whom = whom(&app, &caller, which.asked())?;
    let events = active(&app, &whom).await.map_err(|error| store_problem(&error))?;
    let fleet = app.fleet();
    let his = |server: &&Server| {
        server.facts.owner.as_ref() == Some(&whom.owner) && whom.server.is_none_or(|id| id == server.facts.id)
    };
    let instance_statuses = fleet
        .servers()
        .into_values()
        .filter(his)
        .map(|server| InstanceStatus {
            instance_id: instance_id(server.facts.id),
            instance_state: state(server.facts.power),
            events: events
                .iter()
                .filter(|event| event.server == server.facts.id)
                .filter_map(InstanceEvent::of)
                .collect(),
        })
        .collect();
    Ok(Json(InstanceStatuses { instance_statuses }))
}

fn state(power: Power) -> InstanceState {
    let (code, name) = match power {
        Power::Running | Power::Paused | Power::Held => (16, "running"),
        Power::Arriving => (0, "pending"),
        Power::Off | Power::Crashed => (80, "stopped"),
    };
    InstanceState { code, name: name.to_owned() }
}

/// AWS: event windows
///
/// The JSON that `aws ec2 describe-instance-event-windows` prints, with `TimeZone` and `Duration` besides. Windows that open once are left out: AWS
/// has none.
#[utoipa::path(get, path = "/compat/aws/DescribeInstanceEventWindows", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "InstanceEventWindows[]", body = Value), Problems))]
async fn describe_instance_event_windows(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<EventWindows>, Problem> {
    let whom = whom(&app, &caller, which.asked())?;
    let stored = app.store.windows_of(&whom.owner).await.map_err(|error| store_problem(&error))?;
    let only = whom.server.map(instance_id);
    let instance_event_windows = stored
        .iter()
        .filter_map(|stored| EventWindow::of(stored.id, &stored.window))
        .filter(|window| only.as_ref().is_none_or(|id| window.association_target.instance_ids.contains(id)))
        .collect();
    Ok(Json(EventWindows { instance_event_windows }))
}

/// AWS: an instance's scheduled events, as its metadata tells them
#[utoipa::path(get, path = "/compat/aws/latest/meta-data/events/maintenance/scheduled", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "Events", body = Vec<Value>), Problems))]
async fn scheduled(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Vec<MetadataEvent>>, Problem> {
    let whom = whom_of_one(&app, &caller, which.asked())?;
    let events = active(&app, &whom).await.map_err(|error| store_problem(&error))?;
    Ok(Json(events.iter().filter_map(MetadataEvent::of).collect()))
}

/// AWS: an instance's past events, as its metadata tells them
#[utoipa::path(get, path = "/compat/aws/latest/meta-data/events/maintenance/history", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "Events", body = Vec<Value>), Problems))]
async fn history(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Vec<MetadataEvent>>, Problem> {
    let whom = whom_of_one(&app, &caller, which.asked())?;
    let events = over(&app, &whom).await.map_err(|error| store_problem(&error))?;
    Ok(Json(events.iter().filter_map(MetadataEvent::of).collect()))
}
