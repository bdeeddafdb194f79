//! The plan of a maintenance, or of one that is only thought of: each server's way and time, and how many moves it takes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::console::maintenances::{Moves, PlanPage, Planned, PlannedTime, Takes, Wave};
use drover_pages::form::Actions;
use drover_pages::{Label, Tone};
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::time::{Instant, Span};

use super::asking::actions;
use crate::app::App;
use crate::commands::find_maintenance;
use crate::http::maintenances::latest_plan;
use crate::http::problem::Problem;
use crate::http::views::{EffortView, PlanView, PlannedView, ShiftView, TimeView};
use crate::web::lists::{By, Column, Sought, arranged};
use crate::web::session::AtConsole;
use crate::web::shown::{Shown, upper};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/maintenances/{maintenance}/plan", get(plan))
}

/// What has a time comes before what has none.
fn by_time(a: &Planned, b: &Planned) -> Ordering {
    let begins = |planned: &Planned| -> Option<Instant> {
        match &planned.time {
            Some(PlannedTime::At(slot)) => Some(slot.start),
            Some(PlannedTime::Never { .. }) | None => None,
        }
    };
    let (a, b) = (begins(a), begins(b));
    (a.is_none(), a).cmp(&(b.is_none(), b))
}

const COLUMNS: [Column<Planned>; 7] = [
    ("wave", |a, b| (a.wave, a.begins).cmp(&(b.wave, b.begins))),
    ("name", |a, b| a.name.cmp(&b.name)),
    ("from", |a, b| a.from.cmp(&b.from)),
    ("decision", |a, b| a.decision.key.cmp(b.decision.key)),
    ("time", by_time),
    ("expected", |a, b| a.expected.cmp(&b.expected)),
    ("downtime", |a, b| a.downtime.cmp(&b.downtime)),
];

const BY: [By<Planned>; 1] = [("decision", "col-method", |planned| planned.decision.key.to_owned())];

/// By what word a decision is told.
fn decision(word: &str) -> Label {
    match word {
        "live" => Label::new("method-live", Tone::Good),
        "reboot" => Label::new("method-reboot", Tone::Waits),
        "blocked" => Label::new("blocked", Tone::Bad),
        _ => Label::new("no place", Tone::Bad),
    }
}

/// What a server is called and whose it is, wherever it is seen.
fn owner_of(fleet: &Fleet, server: ServerId) -> String {
    let owner = fleet.server(server).and_then(|server| server.facts.owner.as_ref());
    owner.map(ToString::to_string).unwrap_or_default()
}

fn time_of(view: TimeView) -> PlannedTime {
    match view.slot {
        Some(slot) => PlannedTime::At(slot.into()),
        None => PlannedTime::Never {
            why: view.why.unwrap_or_default(),
            would_help: view.would_help.unwrap_or_default(),
        },
    }
}

fn planned(one: PlannedView, time: Option<TimeView>) -> Planned {
    Planned {
        server: one.server.to_string(),
        name: one.name,
        owner: one.owner.unwrap_or_default(),
        from: one.from.to_string(),
        decision: decision(&one.decision),
        to: one.to.map(|to| to.to_string()),
        place_why: one.place_why,
        why: one.why.map(|why| (why.code, why.text)),
        agreement: match one.agreement.as_str() {
            "owner" => "the owner",
            "operator" => "an operator",
            _ => "nobody",
        },
        time: time.map(time_of),
        wave: one.wave,
        begins: one.begins_after_ms.map(Span::milliseconds),
        expected: one.expected_ms.map(Span::milliseconds),
        downtime: one.expected_downtime_ms.map(Span::milliseconds),
    }
}

/// One of a host whose turn is yet to come: where it goes is planned then, but its owner has a time already.
fn timed(fleet: &Fleet, view: TimeView) -> Planned {
    Planned {
        server: view.server.to_string(),
        name: view.name.clone(),
        owner: owner_of(fleet, view.server),
        from: view.from.to_string(),
        decision: decision("reboot"),
        to: None,
        place_why: String::new(),
        why: None,
        agreement: "the owner",
        time: Some(time_of(view)),
        wave: None,
        begins: None,
        expected: None,
        downtime: None,
    }
}

/// One that goes where less is used.
fn shifted(fleet: &Fleet, view: ShiftView) -> Planned {
    let begun = view.begun_at.is_some();
    Planned {
        server: view.server.to_string(),
        owner: owner_of(fleet, view.server),
        name: view.name,
        from: view.from.to_string(),
        decision: if begun {
            Label::new("state-begun", Tone::Busy)
        } else {
            Label::new("look-waits", Tone::Waits)
        },
        to: Some(view.to.to_string()),
        place_why: String::new(),
        why: None,
        agreement: "none",
        time: None,
        wave: None,
        begins: None,
        expected: None,
        downtime: None,
    }
}

/// How many moves there are, and how many it takes at the least: a host is empty when each server on it has left it once.
fn moves(fleet: &Fleet, view: &PlanView) -> Moves {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let begun = || view.servers.iter().filter(|one| one.wave.is_none());
    let goes = |one: &&PlannedView| matches!(one.decision.as_str(), "live" | "reboot");
    let on = |name: &String| name.parse::<HostName>().map_or(0, |host| fleet.on(&host).count());
    let effort = view.effort.as_ref();
    Moves {
        planned: count(begun().filter(goes).count()),
        least: count(begun().count()),
        later: effort.map_or(0, |effort| u32::try_from(effort.moves).unwrap_or(u32::MAX)),
        least_later: match effort {
            Some(effort) => u32::try_from(effort.least_moves).unwrap_or(u32::MAX),
            None => count(view.waves.iter().flat_map(|wave| &wave.hosts).map(on).sum()),
        },
        evens_out: count(view.moves.len()),
    }
}

fn takes(effort: &EffortView) -> Takes {
    let EffortView { expected_ms, p90_ms, least_ms, .. } = effort;
    let [expected, p90, least] = [expected_ms, p90_ms, least_ms].map(|ms| Span::milliseconds(*ms));
    Takes { expected, p90, least }
}

/// The plan as it is asked to be seen. `kept`: what else its address says.
pub(super) fn plan_page(
    fleet: &Fleet,
    sought: &Sought,
    kept: Vec<(String, String)>,
    (number, why): (Option<String>, &str),
    view: PlanView,
) -> PlanPage {
    let (moves, takes) = (moves(fleet, &view), view.effort.as_ref().map(takes));
    let mut times: BTreeMap<ServerId, TimeView> =
        view.times.into_iter().map(|time| (time.server, time)).collect();
    let mut rows: Vec<Planned> = Vec::with_capacity(view.servers.len() + view.moves.len());
    for one in view.servers {
        let time = times.remove(&one.server);
        rows.push(planned(one, time));
    }
    rows.extend(times.into_values().map(|time| timed(fleet, time)));
    rows.extend(view.moves.into_iter().map(|shift| shifted(fleet, shift)));
    let count = |key: &'static str| {
        let n = rows.iter().filter(|row| row.decision.key == key).count();
        (n > 0).then(|| (key, u32::try_from(n).unwrap_or(u32::MAX)))
    };
    let keys = ["method-live", "method-reboot", "blocked", "no place", "state-begun", "look-waits"];
    let methods = keys.into_iter().filter_map(count).collect();
    let words = |row: &Planned| format!("{} {} {}", row.name, row.owner, row.from);
    let (mut list, servers) = arranged(sought, rows, &COLUMNS, &BY, words);
    list.kept = kept;
    PlanPage {
        number,
        reason: why.to_owned(),
        made_at: view.made_at,
        moves,
        takes,
        list,
        servers,
        methods,
        waves: view
            .waves
            .into_iter()
            .map(|wave| Wave {
                number: wave.number,
                hosts: wave.hosts,
                because: wave.because.text,
                obstacle: wave.obstacle,
            })
            .collect(),
        remarks: view.remarks.iter().map(|remark| upper(remark)).collect(),
        actions: Actions::default(),
        start: None,
    }
}

async fn plan(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path(given): Path<String>,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let maintenance = find_maintenance(&app, &given).await?.value;
    let view = latest_plan(&app, &maintenance).await?;
    let number = Some(format!("MT-{}", maintenance.number));
    let page = plan_page(&app.fleet(), &sought, Vec::new(), (number, &maintenance.reason), view);
    shown.page(&app, &PlanPage { actions: actions(&maintenance), ..page }).await
}
