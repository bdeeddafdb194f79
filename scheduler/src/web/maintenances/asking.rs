//! What is asked for, and how it goes on.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use drover_pages::confirm::Confirm;
use drover_pages::console::ask::AskPage;
use drover_pages::console::maintenances::PlanPage;
use drover_pages::form::{Action, Actions, Choice, Field, Form, Input, Weight};
use drover_policies::maintenance::{InPart, Maintenance, State as Life};

use super::plan::plan_page;
use super::reach::reach;
use crate::app::App;
use crate::commands::find_maintenance;
use crate::commands::hosts::reason;
use crate::commands::maintenances::MaintenanceWish;
use crate::http::extract::Envelope;
use crate::http::maintenances::host_of;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{EmergencyBody, MaintenanceBody, RollingBody, SelectBody};
use crate::store::{EventFilter, Versioned};
use crate::web::acts::{changed, seen};
use crate::web::form::{Posted, Typed};
use crate::web::lists::Sought;
use crate::web::see;
use crate::web::session::AtConsole;
use crate::web::shown::{Shown, say, say_what_came, upper};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/maintenances/new", get(ask).post(make))
        .route("/maintenances/{maintenance}/{act}", get(ask_act).post(act))
        .route("/maintenances/{maintenance}/hosts/{host}/{act}", post(act_on_host))
}

/// What may be wished of a maintenance, and how that is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Approve,
    Pause,
    Resume,
    Cancel,
    Emergency,
}

impl Act {
    const ALL: [(&'static str, Self); 5] = [
        ("approve", Self::Approve),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("cancel", Self::Cancel),
        ("emergency", Self::Emergency),
    ];

    fn named(name: &str) -> Result<(&'static str, Self), Problem> {
        Self::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| Problem::not_found("page", name))
    }

    /// Whether it makes sense for a maintenance in this state.
    fn suits(self, state: &Life) -> bool {
        let open = matches!(
            state,
            Life::Draft | Life::Planned | Life::Approved { .. } | Life::Running | Life::Paused { .. }
        );
        match self {
            Self::Approve => matches!(state, Life::Planned),
            Self::Pause => matches!(state, Life::Approved { .. } | Life::Running),
            Self::Resume => matches!(state, Life::Paused { .. }),
            Self::Cancel | Self::Emergency => open,
        }
    }

    fn button(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Emergency => "emergency",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Approve => "Approved; it begins.",
            Self::Pause => "Paused.",
            Self::Resume => "It goes on.",
            Self::Cancel => "It is being cancelled.",
            Self::Emergency => "It is an emergency now.",
        }
    }

    fn fields(self, typed: &Typed, error: Option<String>) -> Vec<Field> {
        match self {
            Self::Emergency => vec![
                Field::line("why", "What endangers the hosts? Owners read it.")
                    .value(typed.text("why"))
                    .error(error)
                    .required(),
            ],
            Self::Approve => vec![
                Field::line("anyway", "Also if not all of it can be done: what can be is")
                    .input(Input::Check)
                    .value(typed.text("anyway")),
            ],
            Self::Pause | Self::Resume | Self::Cancel => Vec::new(),
        }
    }

    fn wish(self, typed: &Typed) -> Result<MaintenanceWish, Problem> {
        Ok(match self {
            Self::Approve => MaintenanceWish::Approve {
                in_part: if typed.ticked("anyway") { InPart::Accepted } else { InPart::Refused },
            },
            Self::Pause => MaintenanceWish::Pause,
            Self::Resume => MaintenanceWish::Resume,
            Self::Cancel => MaintenanceWish::Cancel,
            Self::Emergency => MaintenanceWish::Emergency { why: reason("why", typed.text("why"))? },
        })
    }
}

pub(super) fn actions(maintenance: &Maintenance) -> Actions {
    let action = |(name, act): &(&'static str, Act)| {
        let weight = match act {
            Act::Approve | Act::Resume => Weight::Main,
            Act::Pause => Weight::Plain,
            Act::Cancel | Act::Emergency => Weight::Danger,
        };
        Action::ask(act.button(), format!("/maintenances/MT-{}/{name}", maintenance.number), weight)
    };
    Actions(Act::ALL.iter().filter(|(_, act)| act.suits(&maintenance.state)).map(action).collect())
}

/// Where a new one is asked for.
const NEW: &str = "/maintenances/new";

/// What is asked for a new one, by the names of the fields. The address of its plan says the same.
const ASKED: [&str; 5] = ["hosts", "reason", "deadline", "kind", "hosts_at_once"];

/// What is asked for a new maintenance.
fn fields(typed: &Typed, wrong: Option<&Problem>) -> Vec<Field> {
    let field = wrong.and_then(|problem| problem.more.get("field")).and_then(|field| field.as_str());
    let error = |names: &[&str]| {
        wrong
            .filter(|_| field.is_some_and(|field| names.iter().any(|name| field.starts_with(name))))
            .map(|problem| upper(&problem.detail))
    };
    let choice = |value: &str, text: &str| Choice { value: value.to_owned(), text: text.to_owned() };
    let kinds = vec![
        choice("drain", "Empty these hosts, beginning at once"),
        choice("patch", "One after the other: emptied, worked on, back in service"),
        choice("rolling-drain", "One after the other: emptied"),
    ];
    vec![
        Field::line("hosts", "Hosts")
            .value(typed.text("hosts"))
            .hint("Names, with spaces between them; or * for all.")
            .error(error(&["hosts", "select"]))
            .required(),
        Field::line("reason", "Why")
            .value(typed.text("reason"))
            .hint("Owners read it; such as kernel-update.")
            .error(error(&["reason"]))
            .required(),
        Field::line("deadline", "By when")
            .value(typed.text("deadline"))
            .hint("Such as 7d, or 2026-12-03T22:00:00Z. Left empty, as policy says.")
            .error(error(&["deadline"])),
        Field::line("kind", "How")
            .input(Input::Select(kinds))
            .value(typed.some("kind").unwrap_or("drain"))
            .required(),
        Field::line("hosts_at_once", "Hosts at once")
            .input(Input::Number)
            .value(typed.text("hosts_at_once"))
            .hint("Left empty, as many as there is room for.")
            .error(error(&["rolling", "hosts_at_once"])),
    ]
}

fn new_page(typed: &Typed, wrong: Option<&Problem>) -> AskPage {
    let has_field = wrong.is_some_and(|problem| problem.more.contains_key("field"));
    AskPage {
        title: "New maintenance".to_owned(),
        lead: "First you see what would be done. Nothing is touched before you begin it.".to_owned(),
        form: Form {
            action: NEW.to_owned(),
            fields: fields(typed, wrong),
            asks: true,
            kept: vec![("step".to_owned(), "plan".to_owned())],
            submit: "Show the plan",
            back: Some("/maintenances".to_owned()),
            error: wrong.filter(|_| !has_field).map(|problem| upper(&problem.detail)),
            ..Form::default()
        },
    }
}

/// The empty form, or with `step=plan` the plan of what its address asks for: so the plan can be sorted, filtered, paged, and sent as a link.
async fn ask(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let typed = sought.typed();
    if typed.text("step") != "plan" {
        return shown.page(&app, &new_page(&typed, None)).await;
    }
    let planned = async { visitor.wish(&app, Envelope::default()).dry_run(&body(&typed)?).await };
    match planned.await {
        Ok(view) => {
            let kept: Vec<(String, String)> =
                ASKED.iter().map(|name| ((*name).to_owned(), typed.text(name).to_owned())).collect();
            let with = |step: &str| {
                let step = ("step".to_owned(), step.to_owned());
                kept.iter().cloned().chain([step]).collect::<Vec<_>>()
            };
            let of = (None, typed.text("reason"));
            let page = plan_page(&app.fleet(), &sought, with("plan"), of, view);
            let rolling = !matches!(typed.text("kind"), "" | "drain");
            let start = Form {
                action: NEW.to_owned(),
                submit: if rolling { "Make the draft" } else { "Begin it now" },
                weight: if rolling { Weight::Main } else { Weight::Danger },
                back: Some(address(&kept)),
                kept: with("begin"),
                ..Form::default()
            };
            shown.page(&app, &PlanPage { start: Some(start), ..page }).await
        }
        Err(problem) if problem.status < 500 => {
            shown.refused(&app, Kind::InvalidField, &new_page(&typed, Some(&problem))).await
        }
        Err(problem) => Err(problem),
    }
}

/// The form with this in it.
fn address(typed: &[(String, String)]) -> String {
    let mut query = form_urlencoded::Serializer::new(format!("{NEW}?"));
    query.extend_pairs(typed.iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}

fn body(typed: &Typed) -> Result<MaintenanceBody, Problem> {
    let names: Vec<String> = typed
        .text("hosts")
        .split([' ', ','])
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let all = names == ["*"];
    let hosts_at_once = typed.some("hosts_at_once").map(|text| {
        text.parse().map_err(|_| {
            Problem::field("hosts_at_once", format!("{text:?} is no number of hosts; write one such as 2"))
        })
    });
    let rolling = match typed.text("kind") {
        "" | "drain" => None,
        kind => Some(RollingBody {
            kind: Some(kind.trim_start_matches("rolling-").to_owned()),
            hosts_at_once: hosts_at_once.transpose()?,
            ..RollingBody::default()
        }),
    };
    Ok(MaintenanceBody {
        hosts: if all { Vec::new() } else { names },
        select: all.then(|| SelectBody { all: true, ..SelectBody::default() }),
        reason: typed.text("reason").to_owned(),
        deadline: typed.some("deadline").map(ToOwned::to_owned),
        emergency: None::<EmergencyBody>,
        rolling,
        dry_run: false,
    })
}

/// What was planned is begun. Whoever sends the form of what he asks for sees the plan of it first.
async fn make(
    State(app): State<Arc<App>>,
    shown: Shown,
    Posted { who: AtConsole(visitor), typed, envelope }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    if typed.text("step") != "begin" {
        let asked: Vec<(String, String)> =
            ASKED.iter().map(|name| ((*name).to_owned(), typed.text(name).to_owned())).collect();
        return see(&format!("{}&step=plan", address(&asked)));
    }
    let wish = visitor.wish(&app, envelope);
    let begun = async { wish.drain(&body(&typed)?).await };
    match begun.await {
        Ok(reply) => {
            let number = reply.body.get("number").and_then(|number| number.as_str()).unwrap_or_default();
            say(&app, &visitor, true, "It is there; this page follows it.").await?;
            see(&format!("/maintenances/{number}"))
        }
        Err(problem) if problem.status < 500 => {
            shown.refused(&app, Kind::InvalidField, &new_page(&typed, Some(&problem))).await
        }
        Err(problem) => Err(problem),
    }
}

async fn confirm(
    app: &App,
    shown: &Shown,
    found: &Versioned<Maintenance>,
    (name, act): (&'static str, Act),
    typed: &Typed,
    error: Option<String>,
    changed: Option<String>,
) -> Result<Confirm, Problem> {
    let number = format!("MT-{}", found.value.number);
    let form = Form {
        action: format!("/maintenances/{number}/{name}"),
        fields: act.fields(typed, error),
        submit: act.button(),
        weight: match act {
            Act::Cancel | Act::Emergency => Weight::Danger,
            Act::Approve | Act::Pause | Act::Resume => Weight::Main,
        },
        generation: Some(seen(app, found).await?),
        back: Some(format!("/maintenances/{number}")),
        ..Form::default()
    };
    let (frame, reach) = (shown.around(app).await?, reach(app, &found.value).await?);
    let page = match act {
        Act::Approve => Confirm::approve(&frame, &number, &reach, form),
        Act::Pause => Confirm::pause(&frame, &number, &reach, form),
        Act::Resume => Confirm::resume(&frame, &number, &reach, form),
        Act::Cancel => Confirm::cancel_maintenance(&frame, &number, &reach, form),
        Act::Emergency => Confirm::emergency(&frame, &number, &reach, form),
    };
    Ok(Confirm { changed, ..page })
}

async fn ask_act(
    State(app): State<Arc<App>>,
    _: AtConsole,
    Path((given, act)): Path<(String, String)>,
    shown: Shown,
) -> Result<Response, Problem> {
    let found = find_maintenance(&app, &given).await?;
    let page = confirm(&app, &shown, &found, Act::named(&act)?, &Typed::default(), None, None).await?;
    shown.page(&app, &page).await
}

async fn act(
    State(app): State<Arc<App>>,
    Path((given, act)): Path<(String, String)>,
    shown: Shown,
    Posted { who: AtConsole(visitor), typed, envelope }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let found = find_maintenance(&app, &given).await?;
    let named = Act::named(&act)?;
    let number = format!("MT-{}", found.value.number);
    let wished = match named.1.wish(&typed) {
        Ok(wished) => wished,
        Err(problem) => {
            let page = confirm(&app, &shown, &found, named, &typed, Some(problem.detail), None).await?;
            return shown.refused(&app, Kind::InvalidField, &page).await;
        }
    };
    let wish = visitor.wish(&app, envelope);
    match wish.maintain(&number, &wished).await {
        Err(problem) if problem.slug() == Kind::PreconditionFailed.slug() => {
            let filter = EventFilter { maintenance: Some(found.value.id), ..EventFilter::default() };
            let changed = changed(&app, &visitor, &shown, &filter, &wish.envelope).await?;
            let page = confirm(&app, &shown, &found, named, &typed, None, Some(changed)).await?;
            return shown.refused(&app, Kind::PreconditionFailed, &page).await;
        }
        done => say_what_came(&app, &visitor, done, named.1.done()).await?,
    }
    see(&format!("/maintenances/{number}"))
}

async fn act_on_host(
    State(app): State<Arc<App>>,
    Path((given, host, act)): Path<(String, String, String)>,
    Posted { who: AtConsole(visitor), envelope, .. }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let maintenance = find_maintenance(&app, &given).await?.value;
    let host = host_of(&maintenance, &host)?;
    let (wished, done) = match act.as_str() {
        "retry" => (MaintenanceWish::RetryHost { host }, "It is tried again."),
        "skip" => (MaintenanceWish::SkipHost { host }, "It is left out."),
        _ => return Err(Problem::not_found("page", &act)),
    };
    let number = format!("MT-{}", maintenance.number);
    let wish = visitor.wish(&app, envelope);
    say_what_came(&app, &visitor, wish.maintain(&number, &wished).await, done).await?;
    see(&format!("/maintenances/{number}"))
}
