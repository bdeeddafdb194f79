//! Anything, found by its name, number, id or owner.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use drover_pages::console::search::{Group, Hit, SearchPage};
use drover_pages::html::segment;
use drover_pages::portal::windows::Wish;
use drover_pages::{Label, Tone};
use drover_policies::ids::OperationId;
use drover_policies::import::ImportState;

use super::lists::Sought;
use super::migrations::newest;
use super::session::{AtConsole, Visitor};
use super::shown::Shown;
use super::tickets;
use super::wishes::all_wishes;
use crate::app::App;
use crate::commands::{find_ticket, store_problem};
use crate::http::problem::Problem;
use crate::store::{ImportFilter, MigrationFilter, Only, StoreError, StoredOperation, Ticket};

/// How many things of a kind a search shows.
const HITS: usize = 20;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/search", get(search))
}

async fn search(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let q = sought.text("q").to_owned();
    let groups = if q.is_empty() { Vec::new() } else { found(&app, &visitor, &Text::new(&q)).await? };
    shown.page(&app, &SearchPage { q, groups }).await
}

/// What is searched for.
struct Text<'a> {
    typed: &'a str,
    lower: String,
}

impl<'a> Text<'a> {
    fn new(typed: &'a str) -> Self {
        Self { typed, lower: typed.to_lowercase() }
    }

    fn is_in(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| part.to_lowercase().contains(&self.lower))
    }
}

fn query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What was found of one kind; nothing where that is nothing. `list` shows all of it.
fn group(name: &'static str, list: Option<&str>, text: &Text<'_>, hits: Vec<Hit>) -> Option<Group> {
    let all = list.filter(|_| hits.len() > HITS).map(|list| format!("{list}?q={}", query(text.typed)));
    let hits: Vec<Hit> = hits.into_iter().take(HITS).collect();
    (!hits.is_empty()).then_some(Group { name, hits, all })
}

async fn found(app: &App, visitor: &Visitor, text: &Text<'_>) -> Result<Vec<Group>, Problem> {
    let groups = [
        group("nav-hosts", Some("/hosts"), text, hosts(app, text)),
        group("nav-servers", Some("/servers"), text, servers(app, text)),
        group("nav-tickets", Some("/tickets"), text, of_tickets(app, visitor, text).await?),
        group("nav-migrations", Some("/migrations"), text, migrations(app, text).await?),
        group("nav-maintenances", Some("/maintenances"), text, maintenances(app, text).await?),
        group("nav-windows", Some("/windows"), text, windows(app, text).await?),
        group("operations", None, text, operations(app, text).await.map_err(|error| store_problem(&error))?),
        group("imports", None, text, imports(app, text).await.map_err(|error| store_problem(&error))?),
    ];
    Ok(groups.into_iter().flatten().collect())
}

fn hosts(app: &App, text: &Text<'_>) -> Vec<Hit> {
    let fleet = app.fleet();
    let found = fleet.hosts.values().filter(|host| text.is_in(&[host.name.as_str(), &host.facts.cluster]));
    let hits = found.map(|host| Hit {
        href: format!("/hosts/{}", segment(host.name.as_str())),
        name: host.name.to_string(),
        text: host.facts.cluster.clone(),
        state: Some(Label::from(&host.standing)),
    });
    hits.collect()
}

fn servers(app: &App, text: &Text<'_>) -> Vec<Hit> {
    let fleet = app.fleet();
    let seen = fleet.servers();
    let hits = seen.values().filter_map(|server| {
        let owner = server.facts.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = server.facts.id.to_string();
        text.is_in(&[&server.facts.name, &id, &owner]).then(|| Hit {
            href: format!("/servers/{id}"),
            name: server.facts.name.clone(),
            text: owner,
            state: Some(Label::from(server.facts.power)),
        })
    });
    hits.collect()
}

/// The newest, and any by its number.
async fn of_tickets(app: &App, visitor: &Visitor, text: &Text<'_>) -> Result<Vec<Hit>, Problem> {
    let mut newest = tickets::newest(app, visitor).await?;
    if let Ok(named) = find_ticket(app, &visitor.caller, text.typed).await
        && newest.iter().all(|ticket| ticket.id != named.id)
    {
        newest.push(named);
    }
    let taker = |ticket: &Ticket| ticket.taken.as_ref().map(|taken| taken.by.clone()).unwrap_or_default();
    let found = newest.into_iter().filter(|ticket| {
        let Ticket { number, subject, owner, id, .. } = ticket;
        text.is_in(&[number, subject, owner.as_str(), &id.to_string(), &taker(ticket)])
    });
    let hits = found.map(|ticket| Hit {
        href: format!("/tickets/{}", ticket.number),
        state: Some(Label::ticket(ticket.closed_at.is_none(), ticket.unanswered_since.is_some())),
        name: ticket.number,
        text: format!("{}, {}", ticket.subject, ticket.owner),
    });
    Ok(hits.collect())
}

async fn migrations(app: &App, text: &Text<'_>) -> Result<Vec<Hit>, Problem> {
    let filter = MigrationFilter { only: Only::All, ..MigrationFilter::default() };
    let newest = newest(app, &filter).await?;
    let found = newest.iter().filter(|migration| {
        let number = format!("DR-{}", migration.number);
        text.is_in(&[&number, &migration.server_name, &migration.id.to_string()])
    });
    let hits = found.map(|migration| Hit {
        href: format!("/migrations/{}", migration.number),
        name: format!("DR-{}", migration.number),
        text: migration.server_name.clone(),
        state: Some(Label::from(&migration.state)),
    });
    Ok(hits.collect())
}

async fn maintenances(app: &App, text: &Text<'_>) -> Result<Vec<Hit>, Problem> {
    let page = app.store.maintenances_page(Only::All, None, 500).await;
    let page = page.map_err(|error| store_problem(&error))?;
    let found = page.items.iter().map(|read| &read.value).filter(|maintenance| {
        let number = format!("MT-{}", maintenance.number);
        text.is_in(&[&number, &maintenance.reason, &maintenance.id.to_string()])
    });
    let hits = found.map(|maintenance| Hit {
        href: format!("/maintenances/MT-{}", maintenance.number),
        name: format!("MT-{}", maintenance.number),
        text: maintenance.reason.clone(),
        state: Some(Label::from(&maintenance.state)),
    });
    Ok(hits.collect())
}

/// Owners' windows, freezes and limits: their list shows just the one that was found.
async fn windows(app: &App, text: &Text<'_>) -> Result<Vec<Hit>, Problem> {
    let found = all_wishes(app).await?.into_iter().map(|wish| Wish::words(&wish));
    let found = found.filter(|words| text.is_in(&[words]));
    let hits = found.map(|words| Hit {
        href: format!("/windows?q={}", query(&words)),
        name: words.split_whitespace().collect::<Vec<_>>().join(" "),
        text: String::new(),
        state: None,
    });
    Ok(hits.collect())
}

/// What an order is called: `live_migrate`.
fn name(operation: &StoredOperation) -> String {
    match serde_json::to_value(&operation.operation.order) {
        Ok(serde_json::Value::Object(order)) => {
            order.get("do").and_then(|name| name.as_str()).unwrap_or_default().replace('_', " ")
        }
        Ok(_) | Err(_) => String::new(),
    }
}

/// Orders that agents are to carry out, and any that ever was by its id. Each is told of where what it is for is.
async fn operations(app: &App, text: &Text<'_>) -> Result<Vec<Hit>, StoreError> {
    let mut known = app.store.operations_wanted().await?;
    if let Ok(id) = text.typed.parse().map(OperationId)
        && let Some(operation) = app.store.operation(id).await?.filter(|found| found.ended_at.is_some())
    {
        known.push(operation);
    }
    let hits = known.iter().filter_map(|operation| {
        let (id, host, name) = (operation.operation.id.to_string(), operation.host.as_str(), name(operation));
        let state = match operation.ended_at {
            None => Label::new("state-wanted", Tone::Busy),
            Some(_) => Label::new("state-ended", Tone::Quiet),
        };
        text.is_in(&[&id, host, &name]).then(|| Hit {
            href: match operation.migration {
                Some(migration) => format!("/migrations/{migration}"),
                None => format!("/hosts/{}", segment(host)),
            },
            text: format!("{host}, {id}"),
            name,
            state: Some(state),
        })
    });
    Ok(hits.collect())
}

/// Imports: what happened to each is in the audit log.
async fn imports(app: &App, text: &Text<'_>) -> Result<Vec<Hit>, StoreError> {
    let known = app.store.imports(&ImportFilter::default()).await?;
    let hits = known.iter().map(|read| &read.value).filter_map(|import| {
        let (id, host) = (import.id.to_string(), import.host.as_str());
        let name = import.description.name.to_string();
        let owner = import.description.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        text.is_in(&[&id, host, &name, &owner]).then(|| Hit {
            href: format!("/audit?q={id}"),
            name: name.clone(),
            text: format!("to {host}"),
            state: Some(standing(&import.state)),
        })
    });
    Ok(hits.collect())
}

fn standing(state: &ImportState) -> Label {
    match state {
        ImportState::Running { .. } => Label::new("state-importing", Tone::Busy),
        ImportState::Failed { .. } => Label::new("state-failed", Tone::Bad),
        ImportState::Cancelling { .. } => Label::new("state-cancelling", Tone::Busy),
        ImportState::Imported { .. } => Label::new("state-imported", Tone::Good),
        ImportState::Cancelled { .. } => Label::new("state-cancelled", Tone::Quiet),
    }
}
