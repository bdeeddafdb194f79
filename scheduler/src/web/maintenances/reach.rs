//! How much a maintenance has to do with at this moment, for whoever is asked whether he means it.

use std::collections::BTreeSet;

use drover_pages::confirm::Reach;
use drover_policies::fleet::{Fleet, Server};
use drover_policies::ids::HostName;
use drover_policies::maintenance::{Maintenance, Stage};
use drover_policies::migration::Migration;

use super::migrations_of;
use crate::app::App;
use crate::http::problem::Problem;

/// How many of everything.
pub(super) async fn reach(app: &App, maintenance: &Maintenance) -> Result<Reach, Problem> {
    Ok(of(maintenance, &migrations_of(app, maintenance).await?, &app.fleet()))
}

fn of(maintenance: &Maintenance, migrations: &[Migration], fleet: &Fleet) -> Reach {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let to_come: Vec<&HostName> = maintenance
        .hosts
        .iter()
        .filter(|(_, stage)| matches!(stage, Stage::Waiting))
        .map(|(host, _)| host)
        .collect();
    let servers: Vec<&Server> = to_come.iter().flat_map(|host| fleet.on(host)).collect();
    let owners: BTreeSet<_> = servers.iter().filter_map(|server| server.facts.owner.as_ref()).collect();
    let has = |host: &&drover_policies::fleet::Host| host.standing.maintenance() == Some(maintenance.id);
    let open: Vec<&Migration> = migrations.iter().filter(|migration| migration.is_open()).collect();
    let with_ticket: Vec<&&Migration> = open.iter().filter(|migration| migration.ticket.is_some()).collect();
    let told: BTreeSet<_> = with_ticket.iter().filter_map(|migration| migration.owner.as_ref()).collect();
    let moving = open.iter().filter(|migration| migration.is_moving()).count();
    Reach {
        hosts: count(to_come.len()),
        taken: count(fleet.hosts.values().filter(has).count()),
        servers: count(servers.len()),
        owners: count(owners.len()),
        moving: count(moving),
        waiting: count(open.len() - moving),
        tickets: count(with_ticket.len()),
        owners_with_tickets: count(told.len()),
    }
}
