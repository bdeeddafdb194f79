//! What is asked for, and how it goes on.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use drover_pages::confirm::Confirm;
use drover_pages::console::ask::AskPage;
use drover_pages::console::maintenances::PlanPage;
use drover_pages::form::{Action, Actions, Field, Form, Input, Weight};
use drover_policies::maintenance::{InPart, Maintenance, State as Life};

use super::new::{asked, body, fields, is_beside, more};
use super::plan::plan_page;
use super::reach::reach;
use crate::app::App;
use crate::commands::find_maintenance;
use crate::commands::hosts::reason;
use crate::commands::maintenances::MaintenanceWish;
use crate::http::extract::Envelope;
use crate::http::maintenances::host_of;
use crate::http::problem::{Kind, Problem};
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

fn new_page(typed: &Typed, wrong: Option<&Problem>) -> AskPage {
    AskPage {
        title: "New maintenance".to_owned(),
        lead: "First you see what would be done. Nothing is touched before you begin it.".to_owned(),
        form: Form {
            action: NEW.to_owned(),
            fields: fields(typed, wrong),
            more: more(typed, wrong),
            asks: true,
            kept: vec![("step".to_owned(), "plan".to_owned())],
            submit: "Show the plan",
            back: Some("/maintenances".to_owned()),
            error: wrong.filter(|problem| !is_beside(problem)).map(|problem| upper(&problem.detail)),
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
            let kept = asked(&typed);
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
    query.extend_pairs(typed);
    query.finish()
}

/// What was planned is begun. Whoever sends the form of what he asks for sees the plan of it first.
async fn make(
    State(app): State<Arc<App>>,
    shown: Shown,
    Posted { who: AtConsole(visitor), typed, envelope }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    if typed.text("step") != "begin" {
        return see(&format!("{}&step=plan", address(&asked(&typed))));
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
