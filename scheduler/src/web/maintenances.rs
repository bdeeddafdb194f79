//! Maintenances: asked for, planned, approved, watched.

mod asking;
mod new;
mod plan;
mod reach;
mod timeline;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::console::maintenances::{
    Counts, MaintenanceLive, MaintenancePage, MaintenanceRow, MaintenancesPage, Turn,
};
use drover_pages::form::{Action, Actions, Weight};
use drover_pages::parts::{Brief, Briefs};
use drover_pages::{Label, Tone};
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;

use asking::actions;

use super::lists::{By, Column, Sought, arranged};
use super::migrations::events_of_several;
use super::session::{AtConsole, Visitor};
use super::shown::Shown;
use crate::app::App;
use crate::commands::{find_maintenance, store_problem};
use crate::http::events::{OF_LATE, story_of_late};
use crate::http::problem::Problem;
use crate::http::views::{Eyes, MaintenanceView, MigrationBrief, needs_person};
use crate::store::{EventFilter, Only, Versioned};

/// How many of a maintenance's waiting migrations and hosts are named on its page.
const NAMED: usize = 25;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/maintenances", get(list))
        .route("/maintenances/{maintenance}", get(show))
        .route("/fragments/maintenances/{maintenance}", get(show_live))
        .merge(asking::routes())
        .merge(plan::routes())
}

async fn migrations_of(app: &App, maintenance: &Maintenance) -> Result<Vec<Migration>, Problem> {
    let found = app.store.migrations_of(maintenance.id).await.map_err(|error| store_problem(&error))?;
    Ok(found.into_iter().map(|read| read.value).collect())
}

fn deadline_tone(view: &MaintenanceView) -> Tone {
    match (view.overdue, view.deadline_near) {
        (true, _) => Tone::Bad,
        (false, true) => Tone::Warn,
        (false, false) => Tone::Quiet,
    }
}

fn counts(view: &MaintenanceView) -> Counts {
    let of = &view.counts;
    Counts {
        total: of.total,
        moved_live: of.moved_live,
        moved_by_reboot: of.moved_by_reboot,
        avoided: of.avoided,
        moving: of.moving,
        waiting_for_owner: of.waiting_for_owner,
        waiting: of.waiting,
        needs_person: of.needs_person,
        cancelled: of.cancelled,
        to_come: of.to_come,
    }
}

fn row(maintenance: &Maintenance, view: &MaintenanceView) -> MaintenanceRow {
    let done = view.hosts.iter().filter(|host| host.drained_at.is_some() || host.ended_at.is_some()).count();
    MaintenanceRow {
        number: view.number.clone(),
        reason: view.reason.clone(),
        state: Label::from(&maintenance.state),
        emergency: view.emergency.is_some(),
        hosts_done: u32::try_from(done).unwrap_or(u32::MAX),
        hosts: u32::try_from(view.hosts.len()).unwrap_or(u32::MAX),
        counts: counts(view),
        deadline: view.deadline,
        deadline_tone: deadline_tone(view),
        forecast: view.rolling.as_ref().and_then(|rolling| rolling.forecast),
        requested_by: view.requested_by.to_string(),
    }
}

const COLUMNS: [Column<MaintenanceRow>; 4] = [
    ("number", |a, b| (a.number.len(), &a.number).cmp(&(b.number.len(), &b.number))),
    ("reason", |a, b| a.reason.cmp(&b.reason)),
    ("state", |a, b| a.state.key.cmp(b.state.key)),
    ("deadline", |a, b| a.deadline.cmp(&b.deadline)),
];

const BY: [By<MaintenanceRow>; 1] = [("state", "col-state", |row| row.state.key.to_owned())];

async fn list(
    State(app): State<Arc<App>>,
    _: AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let (fleet, now) = (app.fleet(), app.clock.now());
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = app.store.maintenances_page(Only::All, cursor.as_ref(), 500).await;
        let page = page.map_err(|error| store_problem(&error))?;
        for read in &page.items {
            let migrations = migrations_of(&app, &read.value).await?;
            rows.push(row(&read.value, &MaintenanceView::of(&read.value, &migrations, &fleet, now)));
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let words = |row: &MaintenanceRow| format!("{} {} {}", row.number, row.reason, row.requested_by);
    let (list, maintenances) = arranged(&sought, rows, &COLUMNS, &BY, words);
    shown.page(&app, &MaintenancesPage { list, maintenances }).await
}

fn brief(migration: &Migration) -> Brief {
    let view = MigrationBrief::of(migration, Eyes::Operator);
    Brief {
        number: migration.number,
        server: view.server_name,
        method: view.method,
        state: Label::from(&migration.state),
        text: view.waits_for.map(|why| why.text).unwrap_or_default(),
    }
}

async fn live(
    app: &App,
    visitor: &Visitor,
    found: &Versioned<Maintenance>,
) -> Result<MaintenanceLive, Problem> {
    let maintenance = &found.value;
    let migrations = migrations_of(app, maintenance).await?;
    let now = app.clock.now();
    let view = MaintenanceView::of(maintenance, &migrations, &app.fleet(), now);
    let briefs = |wanted: &dyn Fn(&Migration) -> bool| -> Vec<Brief> {
        migrations.iter().filter(|migration| wanted(migration)).map(brief).collect()
    };
    let mut waiting =
        briefs(&|migration| migration.is_open() && !migration.is_moving() && !needs_person(migration));
    let more_waiting = waiting.len().saturating_sub(NAMED);
    waiting.truncate(NAMED);
    let mut hosts: Vec<Turn> = maintenance
        .hosts
        .iter()
        .zip(&view.hosts)
        .map(|((name, stage), drain)| {
            let path = |act: &str| format!("/maintenances/{}/hosts/{name}/{act}", view.number);
            let actions = match drain.state.as_str() {
                "failed" => vec![
                    Action::act("retry-host", path("retry"), None, Weight::Plain),
                    Action::act("skip-host", path("skip"), None, Weight::Plain),
                ],
                "waiting" if view.rolling.is_some() => {
                    vec![Action::act("skip-host", path("skip"), None, Weight::Plain)]
                }
                _ => Vec::new(),
            };
            Turn {
                host: name.to_string(),
                state: Label::from(stage),
                text: drain.step.iter().chain(&drain.why).cloned().collect::<Vec<_>>().join(": "),
                wave: drain.wave,
                began_at: drain.began_at,
                ended_at: drain.ended_at,
                servers_left: drain.servers_left,
                actions: Actions(actions),
            }
        })
        .collect();
    hosts.sort_by_key(|turn| std::cmp::Reverse(turn.state.tone == Tone::Bad));
    let more_hosts = hosts.len().saturating_sub(NAMED * 2);
    hosts.truncate(NAMED * 2);
    let filter = EventFilter { maintenance: Some(maintenance.id), ..EventFilter::default() };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(MaintenanceLive {
        state: Label::from(&maintenance.state),
        requested_by: view.requested_by.to_string(),
        requested_at: view.requested_at,
        deadline: view.deadline,
        deadline_tone: deadline_tone(&view),
        emergency: view.emergency.clone(),
        counts: counts(&view),
        forecast: view.rolling.as_ref().and_then(|rolling| rolling.forecast),
        halted: view.rolling.as_ref().and_then(|rolling| rolling.halted.clone()),
        needs_person: Briefs(briefs(&needs_person)),
        moving: Briefs(briefs(&Migration::is_moving)),
        waiting: Briefs(waiting),
        more_waiting: count(more_waiting),
        hosts,
        more_hosts: count(more_hosts),
        actions: actions(maintenance),
        gantt: timeline::gantt(app, maintenance, &view, &migrations, now).await?,
        events: events_of_several(&story_of_late(app, &visitor.caller, &filter, OF_LATE).await?),
        number: view.number,
        reason: view.reason,
    })
}

async fn show(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let found = find_maintenance(&app, &given).await?;
    let page = MaintenancePage { live: live(&app, &visitor, &found).await? };
    shown.page(&app, &page).await
}

async fn show_live(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let live = live(&app, &visitor, &find_maintenance(&app, &given).await?).await?;
    shown.part(&app, |frame| live.html(frame)).await
}
