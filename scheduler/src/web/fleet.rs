//! The fleet at a glance, and hosts and servers one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::Label;
use drover_pages::console::ask::AskPage;
use drover_pages::console::fleet::{
    Block, Cluster, FleetPage, HostLook, HostTip, Rack, ServerLook, Tile, TileSize,
};
use drover_pages::console::hosts::{HostPage, HostRow, HostsPage};
use drover_pages::console::servers::{ServerRow, ServersPage};
use drover_pages::form::{Action, Actions, Field, Form, Weight};
use drover_policies::fleet::{Fleet, Host, Power, Server};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::migration::Migration;

use super::form::{Posted, Typed};
use super::lists::{By, Column, Sought, arranged};
use super::migrations::events_of_several;
use super::see;
use super::session::AtConsole;
use super::shown::{Shown, say_what_came};
use crate::app::App;
use crate::commands::hosts::{number_of, standing};
use crate::commands::{find_host, find_maintenance, store_problem};
use crate::http::events::{OF_LATE, story_of_late};
use crate::http::hosts::{helpers, view};
use crate::http::problem::{Kind, Problem};
use crate::http::views::needs_person;
use crate::store::EventFilter;

/// How many servers are named while one points at a tile.
const NAMED: usize = 12;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fleet", get(fleet))
        .route("/fragments/fleet/{cluster}/{rack}", get(rack))
        .route("/fragments/fleet/{cluster}/", get(no_rack))
        .route("/fragments/tip/{host}", get(tip))
        .route("/hosts", get(hosts))
        .route("/hosts/{host}", get(host))
        .route("/hosts/{host}/cordon", get(ask_cordon).post(cordon))
        .route("/hosts/{host}/uncordon", axum::routing::post(uncordon))
        .route("/servers", get(servers))
}

/// The open migration of each server that has one.
type Open = BTreeMap<ServerId, Migration>;

async fn open(app: &App) -> Result<Open, Problem> {
    let open = app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
    Ok(open.into_iter().map(|read| (read.value.server, read.value)).collect())
}

fn look(server: &Server, open: &Open) -> ServerLook {
    match open.get(&server.facts.id) {
        Some(migration) if needs_person(migration) => ServerLook::NeedsPerson,
        Some(migration) if migration.is_moving() => ServerLook::Moving,
        Some(_) => ServerLook::Waits,
        None => match server.facts.power {
            Power::Running | Power::Arriving => ServerLook::Runs,
            Power::Paused | Power::Held | Power::Off | Power::Crashed => ServerLook::Off,
        },
    }
}

fn label_of(server: &Server, open: &Open) -> Label {
    open.get(&server.facts.id)
        .map_or_else(|| Label::from(server.facts.power), |migration| Label::from(&migration.state))
}

fn rack_of(host: &Host) -> &str {
    host.facts.labels.get("rack").map(String::as_str).unwrap_or_default()
}

fn tile(app: &App, fleet: &Fleet, host: &Host, open: &Open) -> Tile {
    let silent_after = app.policies.general().agents.silent_after;
    let silent = app.clock.now() - host.observed_at > silent_after.delta();
    Tile {
        name: host.name.to_string(),
        look: HostLook::of(&host.standing, silent),
        memory_bytes: host.facts.memory_bytes,
        servers: fleet
            .on(&host.name)
            .map(|server| Block { memory_bytes: server.facts.memory_bytes, look: look(server, open) })
            .collect(),
    }
}

/// The racks of the hosts for which `wanted` says so, by cluster and name.
fn racks(app: &App, fleet: &Fleet, open: &Open, wanted: impl Fn(&Host) -> bool) -> Vec<Rack> {
    let mut racks: BTreeMap<(&str, &str), Vec<Tile>> = BTreeMap::new();
    for host in fleet.hosts.values().filter(|host| wanted(host)) {
        racks.entry((&host.facts.cluster, rack_of(host))).or_default().push(tile(app, fleet, host, open));
    }
    let rack = |((cluster, name), hosts): ((&str, &str), Vec<Tile>)| Rack {
        cluster: cluster.to_owned(),
        name: name.to_owned(),
        tiles: TileSize::of(fleet.hosts.len()),
        hosts,
    };
    racks.into_iter().map(rack).collect()
}

async fn fleet(State(app): State<Arc<App>>, _: AtConsole, shown: Shown) -> Result<Response, Problem> {
    let (fleet, open) = (app.fleet(), open(&app).await?);
    let mut clusters: Vec<Cluster> = Vec::new();
    for rack in racks(&app, &fleet, &open, |_| true) {
        match clusters.last_mut().filter(|cluster| cluster.name == rack.cluster) {
            Some(cluster) => cluster.racks.push(rack),
            None => clusters.push(Cluster { name: rack.cluster.clone(), racks: vec![rack] }),
        }
    }
    shown.page(&app, &FleetPage { clusters }).await
}

async fn rack(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path((cluster, name)): Path<(String, String)>,
    shown: Shown,
) -> Result<Response, Problem> {
    rack_named(&app, &shown, &cluster, &name).await
}

async fn no_rack(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path(cluster): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    rack_named(&app, &shown, &cluster, "").await
}

async fn rack_named(app: &App, shown: &Shown, cluster: &str, name: &str) -> Result<Response, Problem> {
    let (fleet, open) = (app.fleet(), open(app).await?);
    let found =
        racks(app, &fleet, &open, |host| host.facts.cluster == cluster && rack_of(host) == name).pop();
    let rack = found.ok_or_else(|| Problem::not_found("rack", name))?;
    shown.part(app, |frame| rack.html(frame)).await
}

async fn tip(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (fleet, open) = (app.fleet(), open(&app).await?);
    let host = find_host(&fleet, &given)?;
    let mut on_it: Vec<&Server> = fleet.on(&host.name).collect();
    on_it.sort_by_key(|server| (look(server, &open), server.facts.name.clone()));
    let tip = HostTip {
        name: host.name.to_string(),
        standing: Label::from(&host.standing),
        servers: on_it
            .iter()
            .take(NAMED)
            .map(|server| (server.facts.name.clone(), label_of(server, &open)))
            .collect(),
        more: on_it.len().saturating_sub(NAMED),
        used_bytes: on_it.iter().map(|server| server.facts.memory_bytes).sum(),
        memory_bytes: host.facts.memory_bytes,
    };
    shown.part(&app, |frame| tip.html(frame)).await
}

/// The maintenance of each host that one has, also of those whose turn is yet to come or is over: of the open ones, and of the one that is asked for.
async fn maintenances(app: &App, asked: &str) -> Result<BTreeMap<HostName, String>, Problem> {
    let open = app.store.maintenances_open().await.map_err(|error| store_problem(&error))?;
    let asked = match asked {
        "" => None,
        // One that there is not has no hosts.
        asked => find_maintenance(app, asked).await.ok(),
    };
    let all = open.into_iter().chain(asked).map(|read| read.value);
    let hosts = all.flat_map(|maintenance| {
        let number = format!("MT-{}", maintenance.number);
        maintenance.hosts.into_keys().map(move |host| (host, number.clone()))
    });
    Ok(hosts.collect())
}

fn host_row(app: &App, fleet: &Fleet, host: &Host, maintenance: Option<&String>) -> HostRow {
    let view = view(app, fleet, host);
    let why = match &host.standing {
        Standing::Cordoned { reason, .. } => reason.clone(),
        Standing::Open | Standing::Draining { .. } | Standing::Drained { .. } => String::new(),
    };
    HostRow {
        name: view.name.to_string(),
        cluster: view.cluster,
        rack: rack_of(host).to_owned(),
        standing: Label::from(&host.standing),
        why,
        maintenance: maintenance.cloned().unwrap_or_default(),
        agent: Label::agent(view.agent.silent),
        last_seen: view.agent.last_seen,
        servers: view.servers,
        used_bytes: view.memory_used_bytes,
        memory_bytes: view.memory_bytes,
    }
}

const HOST_COLUMNS: [Column<HostRow>; 7] = [
    ("name", |a, b| a.name.cmp(&b.name)),
    ("cluster", |a, b| (&a.cluster, &a.rack).cmp(&(&b.cluster, &b.rack))),
    ("state", |a, b| a.standing.key.cmp(b.standing.key)),
    ("standing", |a, b| a.standing.key.cmp(b.standing.key)),
    ("agent", |a, b| a.last_seen.cmp(&b.last_seen)),
    ("servers", |a, b| a.servers.cmp(&b.servers)),
    ("memory", |a, b| a.used_bytes.cmp(&b.used_bytes)),
];

const HOSTS_BY: [By<HostRow>; 3] = [
    ("state", "col-state", |row| row.standing.key.to_owned()),
    ("cluster", "col-cluster", |row| row.cluster.clone()),
    ("maintenance", "col-maintenance", |row| row.maintenance.clone()),
];

async fn hosts(
    State(app): State<Arc<App>>,
    _: AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let of = maintenances(&app, sought.text("maintenance")).await?;
    let row = |host: &Host| host_row(&app, &fleet, host, of.get(&host.name));
    let rows = fleet.hosts.values().map(row).collect();
    let words =
        |row: &HostRow| format!("{} {} {} {} {}", row.name, row.cluster, row.rack, row.why, row.maintenance);
    let (list, hosts) = arranged(&sought, rows, &HOST_COLUMNS, &HOSTS_BY, words);
    shown.page(&app, &HostsPage { list, hosts }).await
}

pub(super) fn server_row(server: &Server, migration: Option<&Migration>) -> ServerRow {
    ServerRow {
        id: server.facts.id.to_string(),
        name: server.facts.name.clone(),
        owner: server.facts.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        host: server.host.to_string(),
        power: Label::from(server.facts.power),
        memory_bytes: server.facts.memory_bytes,
        vcpus: server.facts.vcpus,
        migration: migration.map(|migration| (migration.number, Label::from(&migration.state))),
    }
}

async fn host(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (fleet, open) = (app.fleet(), open(&app).await?);
    let host = find_host(&fleet, &given)?;
    let view = view(&app, &fleet, host);
    let generation = super::acts::seen(&app, &standing(&app, host).await?).await?;
    let filter = EventFilter { host: Some(host.name.clone()), ..EventFilter::default() };
    let path = |act: &str| format!("/hosts/{}/{act}", host.name);
    let drain = Action::ask("Empty it", format!("/maintenances/new?hosts={}", host.name), Weight::Main);
    let actions = match host.standing {
        Standing::Open => vec![drain, Action::ask("Keep new servers away", path("cordon"), Weight::Plain)],
        Standing::Cordoned { .. } => {
            vec![drain, Action::act("Open it again", path("uncordon"), Some(generation), Weight::Plain)]
        }
        Standing::Draining { .. } | Standing::Drained { .. } => {
            vec![Action::act("Open it again", path("uncordon"), Some(generation), Weight::Plain)]
        }
    };
    let helpers = helpers(&app, &fleet, host).await?;
    let maintenance = match host.standing.maintenance() {
        Some(id) => Some(number_of(&app, id).await?),
        None => maintenances(&app, "").await?.remove(&host.name),
    };
    let page = HostPage {
        row: host_row(&app, &fleet, host, maintenance.as_ref()),
        labels: view.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        resources: view.resources.iter().map(|(name, amount)| format!("{name}={amount}")).collect(),
        cpu_threads: view.cpu_threads,
        vcpus_used: view.vcpus_used,
        cpu: format!("{} ({})", view.cpu_model, view.arch),
        libvirt_version: view.libvirt_version,
        qemu_version: view.qemu_version,
        libvirt_uri: host.facts.libvirt_uri.clone(),
        shared_storage: view.shared_storage.into_iter().collect(),
        helpers: [helpers.copies(), helpers.imports()].concat(),
        maintenance,
        servers: fleet.on(&host.name).map(|server| server_row(server, open.get(&server.facts.id))).collect(),
        events: events_of_several(&story_of_late(&app, &visitor.caller, &filter, OF_LATE).await?),
        actions: Actions(actions),
    };
    shown.page(&app, &page).await
}

fn cordon_page(host: &str, typed: &Typed, error: Option<String>) -> AskPage {
    AskPage {
        title: format!("Keep new servers away from {host}"),
        lead: "Nothing new is placed on it. The servers on it stay.".to_owned(),
        form: Form {
            action: format!("/hosts/{host}/cordon"),
            fields: vec![Field::line("reason", "Why").value(typed.text("reason")).error(error).required()],
            submit: "Keep new servers away",
            back: Some(format!("/hosts/{host}")),
            ..Form::default()
        },
    }
}

async fn ask_cordon(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let name = find_host(&app.fleet(), &given)?.name.to_string();
    shown.page(&app, &cordon_page(&name, &Typed::default(), None)).await
}

async fn cordon(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    shown: Shown,
    Posted { who: AtConsole(visitor), typed, envelope }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let name = find_host(&app.fleet(), &given)?.name.to_string();
    let wish = visitor.wish(&app, envelope);
    match wish.cordon(&name, typed.text("reason")).await {
        Err(problem) if problem.slug() == Kind::InvalidField.slug() => {
            let page = cordon_page(&name, &typed, Some(problem.detail));
            return shown.refused(&app, Kind::InvalidField, &page).await;
        }
        done => say_what_came(&app, &visitor, done, "Nothing new is placed on it.").await?,
    }
    see(&format!("/hosts/{name}"))
}

async fn uncordon(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    Posted { who: AtConsole(visitor), envelope, .. }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let name = find_host(&app.fleet(), &given)?.name.to_string();
    let wish = visitor.wish(&app, envelope);
    say_what_came(&app, &visitor, wish.uncordon(&name).await, "Servers may come again.").await?;
    see(&format!("/hosts/{name}"))
}

const SERVER_COLUMNS: [Column<ServerRow>; 6] = [
    ("name", |a, b| a.name.cmp(&b.name)),
    ("owner", |a, b| a.owner.cmp(&b.owner)),
    ("host", |a, b| a.host.cmp(&b.host)),
    ("state", |a, b| a.power.key.cmp(b.power.key)),
    ("power", |a, b| a.power.key.cmp(b.power.key)),
    ("memory", |a, b| a.memory_bytes.cmp(&b.memory_bytes)),
];

const SERVERS_BY: [By<ServerRow>; 1] = [("state", "col-state", |row| row.power.key.to_owned())];

async fn servers(
    State(app): State<Arc<App>>,
    _: AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let (fleet, open) = (app.fleet(), open(&app).await?);
    let rows =
        fleet.servers().into_values().map(|server| server_row(server, open.get(&server.facts.id))).collect();
    let words = |row: &ServerRow| format!("{} {} {} {}", row.name, row.id, row.owner, row.host);
    let (list, servers) = arranged(&sought, rows, &SERVER_COLUMNS, &SERVERS_BY, words);
    shown.page(&app, &ServersPage { list, servers }).await
}
