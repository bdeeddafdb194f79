//! The REST API under `/v1`, and the call of the agents under `/agent/v1`.
//!
//! One file per resource: what a handler accepts, answers and refuses stands with it, and `openapi.json` is made from that. A handler
//! reads and shows; whatever changes something is a function of [`crate::commands`].
//!
//! What holds for all: JSON in snake_case, moments in RFC 3339 and UTC; lists answer `{items, next_cursor}`; errors are problem+json
//! ([`problem`]); a change may carry `Idempotency-Key` and `If-Match` ([`extract`]); owners see what is theirs, and nothing else
//! ([`views`]).

pub mod extract;
pub mod problem;
pub mod views;

mod agent;
mod blueprints;
mod checks;
mod compat;
mod dead_letters;
pub(crate) mod doctor;
mod drills;
pub(crate) mod events;
pub(crate) mod explain;
mod explain_host;
mod freezes;
mod health;
pub(crate) mod hosts;
mod imports;
mod layers;
mod limits;
mod lists;
pub(crate) mod maintenances;
pub(crate) mod migrations;
mod owners;
pub(crate) mod policy;
mod replicas;
mod scheduled_events;
pub(crate) mod servers;
mod stream;
pub(crate) mod tickets;
mod tokens;
mod webhooks;
pub(crate) mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Drover",
        description = "Empties hypervisors for maintenance without surprising the people whose servers run on them.\n\n\
            Every error is a problem after RFC 9457 whose `type` is stable. A POST may carry an `Idempotency-Key`: its repeat gets the \
            same answer, and is done once. Single objects carry an `ETag`, and changes honour `If-Match`. Lists take `limit` and \
            `cursor`. An owner's token sees that owner's objects only, and those of others as if they did not exist.",
        license(name = "Apache-2.0")
    ),
    components(schemas(problem::Problem, views::EventView, views::ProgressEvent, views::ReplicaEvent, views::ImportEvent)),
    tags(
        (name = "hosts", description = "Hypervisors"),
        (name = "servers", description = "Customers' virtual machines"),
        (name = "maintenances", description = "Emptying hosts"),
        (name = "migrations", description = "Moving one server off one host"),
        (name = "replicas", description = "Copies of servers' local disks, kept up to date while they run"),
        (name = "imports", description = "Bringing servers of other kinds of hypervisors here"),
        (name = "windows", description = "Times in which owners allow reboot migrations"),
        (name = "checks", description = "What servers are looked at for after a move"),
        (name = "webhooks", description = "Where owners' programs hear of their tickets"),
        (name = "tickets", description = "What owners were told"),
        (name = "owners", description = "How owners are reached"),
        (name = "tokens", description = "Who may call"),
        (name = "events", description = "What happened"),
        (name = "scheduled-events", description = "What happens to servers and when, for owners' tools"),
        (name = "drills", description = "Pretended maintenance events"),
        (name = "compat", description = "The same in the forms of six clouds"),
        (name = "policy", description = "What decides"),
        (name = "installation", description = "The scheduler itself"),
    )
)]
struct Described;

/// Every answer that is not the one asked for.
struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let response = ResponseBuilder::new()
            .description("Refused, and why: see `type` and `detail`.")
            .content(problem::MEDIA_TYPE, content)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .merge(hosts::routes())
        .merge(servers::routes())
        .merge(explain::routes())
        .merge(explain_host::routes())
        .merge(maintenances::routes())
        .merge(migrations::routes())
        .merge(replicas::routes())
        .merge(imports::routes())
        .merge(windows::routes())
        .merge(webhooks::routes())
        .merge(freezes::routes())
        .merge(blueprints::routes())
        .merge(checks::routes())
        .merge(limits::routes())
        .merge(tickets::routes())
        .merge(dead_letters::routes())
        .merge(owners::routes())
        .merge(tokens::routes())
        .merge(events::routes())
        .merge(stream::routes())
        .merge(scheduled_events::routes())
        .merge(drills::routes())
        .merge(compat::routes())
        .merge(policy::routes())
        .merge(doctor::routes())
        .merge(health::routes())
}

/// The whole API as OpenAPI describes it; `openapi.json` is this.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut api = described().into_openapi();
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let token = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An operator's, owner's or agent's token."))
            .build(),
    );
    if let Some(components) = &mut api.components {
        components.add_security_scheme("token", token);
    }
    api
}

/// The same as text; `openapi.json` is this and a line break.
#[must_use]
pub fn openapi_json() -> String {
    openapi().to_pretty_json().expect("a description that is made of plain values can be written")
}

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    let (api, _) = described().split_for_parts();
    layers::around(api.merge(agent::routes()).merge(crate::web::routes()), &app).with_state(app)
}

#[cfg(test)]
mod tests;
