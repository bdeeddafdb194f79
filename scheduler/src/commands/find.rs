//! Finding what somebody means: by id, by number, by name.
//!
//! What belongs to another owner is not found, by the same look-ups and with the same words as what does not exist.

use std::collections::BTreeSet;

use drover_policies::fleet::{Fleet, Host, Server};
use drover_policies::ids::{HostName, MigrationId, OwnerId, ServerId};
use drover_policies::import::Import;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::{Migration, State, operators};

use super::store_problem;
use crate::app::App;
use crate::auth::Caller;
use crate::http::problem::{Kind, Problem};
use crate::store::{Ticket, Versioned};

/// How alike two names must be for one to be offered for the other (`h9` and `h1` are, just so), and how many are offered.
const ALIKE: f64 = 0.65;
const OFFERED: usize = 3;

/// A host, by name.
///
/// # Errors
/// There is none; the nearest names are offered.
pub fn find_host<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a Host, Problem> {
    fleet.hosts.values().find(|host| host.name.as_str() == name).ok_or_else(|| {
        Problem::not_found("host", name)
            .with("suggestions", suggestions(name, fleet.hosts.keys().map(HostName::as_str)))
    })
}

/// Names like this one, the nearest first.
#[must_use]
pub fn suggestions<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> = known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(near, _)| *near >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    near.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

/// A server, by uuid or name, among those that the caller may see.
///
/// # Errors
/// There is none, or several have that name.
pub fn find_server<'a>(fleet: &'a Fleet, caller: &Caller, given: &str) -> Result<&'a Server, Problem> {
    let visible = |server: &&Server| caller.may_see(server.facts.owner.as_ref());
    if let Ok(id) = given.parse() {
        return fleet.server(id).filter(visible).ok_or_else(|| Problem::not_found("server", given));
    }
    let seen = fleet.sightings.values().flat_map(|seen| seen.values());
    let ids: BTreeSet<ServerId> =
        seen.filter(|server| server.facts.name == given).map(|server| server.facts.id).collect();
    let named: Vec<&Server> = ids
        .into_iter()
        .filter_map(|id| fleet.server(id))
        .filter(visible)
        .filter(|server| server.facts.name == given)
        .collect();
    match named.as_slice() {
        [server] => Ok(server),
        [] => {
            let servers = fleet.servers();
            let names = servers.values().copied().filter(visible).map(|server| server.facts.name.as_str());
            Err(Problem::not_found("server", given).with("suggestions", suggestions(given, names)))
        }
        several => {
            let candidates: Vec<String> = several.iter().map(|server| server.facts.id.to_string()).collect();
            Err(Problem::new(
                Kind::AmbiguousName,
                format!(
                    "{} servers are called {given:?}; name one by its uuid: {}",
                    several.len(),
                    candidates.join(", ")
                ),
            )
            .with("candidates", candidates))
        }
    }
}

/// The number in `MT-12`, `mt-12` or `12`.
fn number(given: &str, prefix: &str) -> Option<u32> {
    let digits = match given.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => given.get(prefix.len()..)?,
        Some(_) | None => given,
    };
    digits.parse().ok()
}

/// A maintenance, by uuid, `MT-12` or `12`.
///
/// # Errors
/// There is none.
pub async fn find_maintenance(app: &App, given: &str) -> Result<Versioned<Maintenance>, Problem> {
    let found = match (given.parse(), number(given, "MT-")) {
        (Ok(id), _) => app.store.maintenance(id).await,
        (Err(_), Some(number)) => app.store.maintenance_by_number(number).await,
        (Err(_), None) => Ok(None),
    };
    found.map_err(|error| store_problem(&error))?.ok_or_else(|| Problem::not_found("maintenance", given))
}

/// An import, by uuid, or the latest of a server's name. Only operators see any.
///
/// # Errors
/// There is none.
pub async fn find_import(app: &App, given: &str) -> Result<Versioned<Import>, Problem> {
    let found = match given.parse() {
        Ok(id) => app.store.import(id).await,
        Err(_) => app.store.import_named(given).await,
    };
    found.map_err(|error| store_problem(&error))?.ok_or_else(|| Problem::not_found("import", given))
}

/// A migration, by uuid, `DR-1001` or `1001`, if the caller may see it.
///
/// # Errors
/// There is none.
pub async fn find_migration(
    app: &App,
    caller: &Caller,
    given: &str,
) -> Result<Versioned<Migration>, Problem> {
    let found = match (given.parse(), number(given, "DR-")) {
        (Ok(id), _) => app.store.migration(id).await,
        (Err(_), Some(number)) => app.store.migration_by_number(number).await,
        (Err(_), None) => Ok(None),
    };
    found
        .map_err(|error| store_problem(&error))?
        .filter(|migration| caller.may_see(migration.value.owner.as_ref()))
        .ok_or_else(|| Problem::not_found("migration", given))
}

/// The migration that a wish about a time means: of one that is being reverted, what takes the server back. The two share a ticket, and people
/// name that.
///
/// # Errors
/// The database failed.
pub async fn with_time(app: &App, found: Versioned<Migration>) -> Result<Versioned<Migration>, Problem> {
    let Some(reverting) = reverting(&found.value) else { return Ok(found) };
    let reverts = app.store.migration(reverting).await.map_err(|error| store_problem(&error))?;
    Ok(reverts.unwrap_or(found))
}

/// The migration that is taking the server of this one back.
#[must_use]
pub fn reverting(migration: &Migration) -> Option<MigrationId> {
    if let State::Reverting { by, .. } = migration.state { Some(by.migration) } else { None }
}

/// A ticket, by uuid, `DR-1001` or `1001`, if the caller may see it.
///
/// # Errors
/// There is none.
pub async fn find_ticket(app: &App, caller: &Caller, given: &str) -> Result<Ticket, Problem> {
    let found = match (given.parse(), number(given, "DR-")) {
        (Ok(id), _) => app.store.ticket(id).await,
        (Err(_), Some(number)) => app.store.ticket_by_number(&format!("DR-{number}")).await,
        (Err(_), None) => Ok(None),
    };
    found
        .map_err(|error| store_problem(&error))?
        // Tickets of servers without an owner are for the operators, who stand in; no account may be called so and read them.
        .filter(|ticket| {
            caller.owner().is_none() || (caller.may_see(Some(&ticket.owner)) && ticket.owner != operators())
        })
        .ok_or_else(|| Problem::not_found("ticket", given))
}

/// Confines a filter to the caller's own account.
///
/// # Errors
/// An owner asked for another's. It reads as an account without anything: there is no other answer that tells nothing.
pub fn owned(caller: &Caller, asked: Option<&str>) -> Result<Option<OwnerId>, Problem> {
    let asked = asked
        .map(|name| OwnerId::new(name).map_err(|bad| Problem::parameter("owner", bad.to_string())))
        .transpose()?;
    match (caller.owner(), asked) {
        (None, asked) => Ok(asked),
        (Some(own), None) => Ok(Some(own.clone())),
        (Some(own), Some(asked)) if *own == asked => Ok(Some(asked)),
        (Some(_), Some(asked)) => Err(Problem::not_found("owner", asked.as_str())),
    }
}
