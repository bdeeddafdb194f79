//! The same events in the forms of six clouds, under `/compat`, so that a tool that reads one of them needs no more than another address and a token.
//!
//! Each form is made from [`drover_policies::upcoming`]; here is only how each is asked for: its paths, its parameters, and the headers that the
//! real one demands. All ask for `Authorization: Bearer` with an owner's token, and show that owner's servers. An operator says whose: `owner=`.
//! Nothing can be changed here, but for Azure's `StartRequests`, which is start-now as anywhere else.

mod aws;
mod azure;
mod gce;
mod linode;
mod oci;
mod rackspace;

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use drover_policies::ids::{OwnerId, ServerId};
use utoipa_axum::router::OpenApiRouter;

use super::problem::Problem;
use crate::app::App;
use crate::auth::Caller;
use crate::commands::{find_server, owned};
use crate::upcoming::Whom;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(aws::routes())
        .merge(azure::routes())
        .merge(gce::routes())
        .merge(linode::routes())
        .merge(oci::routes())
        .merge(rackspace::routes())
}

/// Whose events are asked for, and of which server if of one alone.
fn whom(app: &App, caller: &Caller, (owner, server): (Option<&str>, Option<&str>)) -> Result<Whom, Problem> {
    let owner = owned(caller, owner)?;
    let server = server.map(|given| find(app, caller, owner.as_ref(), given)).transpose()?;
    let owner = owner.or_else(|| server.as_ref().and_then(|(_, owner)| owner.clone())).ok_or_else(|| {
        Problem::parameter(
            "owner",
            "this form is one owner's: say whose with owner=NAME, or use an owner's token",
        )
    })?;
    Ok(Whom { owner, server: server.map(|(id, _)| id) })
}

/// One server alone: what is asked for where the real one is asked from within a server.
fn whom_of_one(
    app: &App,
    caller: &Caller,
    (owner, server): (Option<&str>, Option<&str>),
) -> Result<Whom, Problem> {
    if server.is_none() {
        return Err(Problem::parameter(
            "server",
            "this form is one server's, and is asked from outside of it here: say which with server=NAME or its id",
        ));
    }
    whom(app, caller, (owner, server))
}

fn find(
    app: &App,
    caller: &Caller,
    owner: Option<&OwnerId>,
    given: &str,
) -> Result<(ServerId, Option<OwnerId>), Problem> {
    let fleet = app.fleet();
    let server = find_server(&fleet, caller, given)?;
    if owner.is_some() && server.facts.owner.as_ref() != owner {
        return Err(Problem::not_found("server", given));
    }
    Ok((server.facts.id, server.facts.owner.clone()))
}

/// A header that the real one demands, so that no page in a browser can be made to ask.
fn demand(headers: &HeaderMap, name: &'static str, value: &str, status: StatusCode) -> Result<(), Problem> {
    let given = headers.get(name).and_then(|given| given.to_str().ok());
    if given.is_some_and(|given| given.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    let mut problem = Problem::parameter(
        name,
        format!("the header `{name}: {value}` is needed here, as the real service needs it"),
    );
    problem.status = status.as_u16();
    Err(problem)
}
