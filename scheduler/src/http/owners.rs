//! Owners: how they are reached.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::ids::OwnerId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Params};
use super::lists::{limit, of_all};
use super::problem::Problem;
use super::views::{ContactBody, ContactView, Page};
use crate::app::App;
use crate::auth::{Operator, Person};
use crate::commands::{Reply, store_problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, put))
}

/// Which part.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// List owners
///
/// In the order of their names; those of which it is known how they are reached.
#[utoipa::path(get, path = "/v1/owners", tag = "owners", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of owners", body = Page<ContactView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Params(which): Params<Which>,
) -> Result<Json<Page<ContactView>>, Problem> {
    let owners = app.store.owners().await.map_err(|error| store_problem(&error))?;
    let page =
        of_all(owners, |contact| contact.owner.to_string(), which.cursor.as_deref(), limit(which.limit)?);
    Ok(Json(Page {
        items: page.items.iter().map(ContactView::from).collect(),
        next_cursor: page.next_cursor,
    }))
}

/// Show how an owner is reached
#[utoipa::path(get, path = "/v1/owners/{owner}", tag = "owners",
    params(("owner" = String, Path, description = "The account")), security(("token" = [])),
    responses((status = 200, description = "The contact", body = ContactView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("owner", &name);
    let owner = OwnerId::new(&name).map_err(|_| missing())?;
    let contact = app.store.owner(&owner).await.map_err(|error| store_problem(&error))?;
    let contact = contact.filter(|contact| caller.may_see(Some(&contact.owner))).ok_or_else(missing)?;
    known.answer(None, &ContactView::from(&contact))
}

/// Set how an owner is reached
#[utoipa::path(put, path = "/v1/owners/{owner}", tag = "owners", request_body = ContactBody,
    params(("owner" = String, Path, description = "The account")), security(("token" = [])),
    responses((status = 200, description = "Set", body = ContactView), Problems))]
async fn put(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, ContactBody>,
) -> Result<Reply, Problem> {
    let (wish, body) = change.wish(app);
    wish.put_owner(&name, &body).await
}
