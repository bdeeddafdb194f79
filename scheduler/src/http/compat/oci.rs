//! Oracle's list of instance maintenance events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::upcoming::oci::InstanceMaintenanceEvent;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Problems;
use super::super::extract::Params;
use super::super::problem::Problem;
use super::whom;
use crate::app::App;
use crate::auth::Person;
use crate::commands::store_problem;
use crate::upcoming::{active, over};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct Which {
    /// The owner; needed with an operator's token.
    compartment_id: Option<String>,
    /// Of this server alone, by id or name.
    instance_id: Option<String>,
}

/// Oracle: instance maintenance events
///
/// What lies ahead or goes on, then what is over, latest first.
#[utoipa::path(get, path = "/compat/oci/20160918/instanceMaintenanceEvents", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "Events", body = Vec<Value>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Vec<InstanceMaintenanceEvent>>, Problem> {
    let whom = whom(&app, &caller, (which.compartment_id.as_deref(), which.instance_id.as_deref()))?;
    let mut events = active(&app, &whom).await.map_err(|error| store_problem(&error))?;
    events.extend(over(&app, &whom).await.map_err(|error| store_problem(&error))?);
    Ok(Json(events.iter().map(InstanceMaintenanceEvent::from).collect()))
}
