//! Linode's list of an account's maintenance, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use drover_policies::upcoming::linode::{Maintenance, Page, Status};
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

const USUAL_SIZE: usize = 100;
const SIZES: std::ops::RangeInclusive<usize> = 25..=500;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// From 1.
    page: Option<usize>,
    /// 25 to 500; 100 unless said.
    page_size: Option<usize>,
    /// Of this server alone, by id or name.
    server: Option<String>,
    /// Of this owner; needed with an operator's token.
    owner: Option<String>,
}

/// Linode: an account's maintenance
///
/// What lies ahead or goes on, then what was completed lately, latest first. What was given up is left out, as there.
#[utoipa::path(get, path = "/compat/linode/v4/account/maintenance", tag = "compat", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page", body = Value), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page>, Problem> {
    let whom = whom(&app, &caller, (which.owner.as_deref(), which.server.as_deref()))?;
    let size = which.page_size.unwrap_or(USUAL_SIZE);
    if !SIZES.contains(&size) {
        let detail = format!("page_size={size} is out of range; choose {} to {}", SIZES.start(), SIZES.end());
        return Err(Problem::parameter("page_size", detail).with("allowed", [SIZES.start(), SIZES.end()]));
    }
    let mut events = active(&app, &whom).await.map_err(|error| store_problem(&error))?;
    events.extend(over(&app, &whom).await.map_err(|error| store_problem(&error))?);
    let all: Vec<Maintenance> = events
        .iter()
        .filter_map(Maintenance::of)
        .filter(|maintenance| maintenance.status != Status::Canceled)
        .collect();
    let page = which.page.unwrap_or(1);
    let answer = Page::cut(all, page, size);
    if page == 0 || page > answer.pages {
        let detail = format!("there is no page {page}; the last one is {}", answer.pages);
        return Err(Problem::parameter("page", detail).with("allowed", [1, answer.pages]));
    }
    Ok(Json(answer))
}
