//! Why a server is treated as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use drover_policies::appointment::Appointment;
use drover_policies::blueprint::Blueprints;
use drover_policies::conduct::hindrances;
use drover_policies::eligibility::{Suits, WhyBlocked, obstacles, suits};
use drover_policies::estimate::expected_move;
use drover_policies::fleet::{Fleet, Server};
use drover_policies::migration::Migration;
use drover_policies::owners::{Nearness, OwnersRules, Whose};
use drover_policies::placement::{Reservation, Room, Score, WhyNotHere, Wish};
use drover_policies::policy::{Policy, Subject};
use drover_policies::windows::{Slot, Slots};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Named, Params};
use super::policy::settings;
use super::problem::Problem;
use super::views::{
    Candidate, CheckHolds, DecidedView, Explanation, Eyes, FreezeHolds, FreezeView, LimitHolds,
    MigrationBrief, PlaceView, Reason, ServerView, SlotView,
};
use crate::app::App;
use crate::auth::{Caller, Person};
use crate::commands::migrate::blocked;
use crate::commands::{find_server, store_problem};
use crate::situation::Loaded;

/// How many openings are shown, and how far ahead they are looked for.
const OPENINGS: usize = 5;
const AHEAD: drover_policies::time::Span = drover_policies::time::Span::days(60);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// What else is asked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// A time at which it might be rebooted.
    at: Option<DateTime<Utc>>,
}

/// Explain a server
///
/// By which method it can leave its host now and why, which rule set what, where it could go and why not elsewhere, whose windows
/// and freezes hold, how many may be rebooted at once, what it is looked at for after a move, what is decided for it and why, and what it waits
/// for. With `at`, also what stands in the way of a reboot at that time.
/// Owners see neither hosts nor rules.
#[utoipa::path(get, path = "/v1/servers/{server}/explain", tag = "servers",
    params(("server" = String, Path, description = "Its id or name"), Which), security(("token" = [])),
    responses((status = 200, description = "Why", body = Explanation), Problems))]
async fn explain(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    Params(which): Params<Which>,
) -> Result<Json<Explanation>, Problem> {
    explanation(&app, &caller, &name, which.at).await.map(Json)
}

/// Why a server is treated as it is, as its reader may see it; with a time, what stands in the way of a reboot then.
///
/// # Errors
/// There is no such server for him.
pub(crate) async fn explanation(
    app: &App,
    caller: &Caller,
    name: &str,
    at: Option<DateTime<Utc>>,
) -> Result<Explanation, Problem> {
    let fleet = app.fleet();
    let eyes = caller.eyes();
    let server = find_server(&fleet, caller, name)?;
    let effective = app.policies.effective(&Subject::of(server, &fleet));
    let open = app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
    let migration = open.iter().map(|open| &open.value).find(|open| open.server == server.facts.id);
    let brief = migration.map(|migration| MigrationBrief::of(migration, eyes));
    let suits = suits(server, &fleet, None, &effective.policy);
    let (method, why) = method(&suits, eyes);
    let loaded = Loaded::read(app).await.map_err(|error| store_problem(&error))?;
    let mut reservations: Vec<_> = open.iter().filter_map(|open| open.value.place.clone()).collect();
    reservations.extend(loaded.import_places(app));
    let whose = Whose::server(server);
    let range = Slot::from_start(app.clock.now(), AHEAD);
    let (open, windows_from) = loaded.owners().open_for(&whose, &effective.policy, range);
    let history = app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
    let history = history.get(&server.facts.id).map_or(&[][..], Vec::as_slice);
    let inside = eyes == Eyes::Operator;
    Ok(Explanation {
        blueprint: loaded.blueprints().get(&server.facts.id).map(ToString::to_string),
        decided: migration
            .map(|migration| decided(migration, loaded.owners(), &whose, &effective.policy, eyes)),
        waits_for: brief.as_ref().and_then(|brief| brief.waits_for.clone()),
        server: ServerView::of(server, brief, eyes),
        method,
        why,
        obstacles: all_obstacles(server, suits).iter().map(|why| blocked(why, eyes)).collect(),
        rules: if inside { settings(&effective) } else { Vec::new() },
        places: if inside {
            places(app, &fleet, server, &reservations, loaded.blueprints())
        } else {
            Vec::new()
        },
        windows_from: windows_from.windows().to_owned(),
        freezes: freezes(app, loaded.owners(), &whose, &effective.policy).await?,
        limits: loaded.owners().limits_for(&whose).iter().map(|limit| LimitHolds::from(*limit)).collect(),
        checks: checks(loaded.owners(), &whose, &effective.policy),
        on_failed_checks: effective.policy.validation.on_failed.code().to_owned(),
        at: at.map(|at| Candidate {
            at,
            hindrances: hindrances(loaded.situation(app), server, at)
                .iter()
                .map(|why| Reason::new(why.code(), why))
                .collect(),
        }),
        next_windows: open.into_iter().take(OPENINGS).map(SlotView::from).collect(),
        expected_downtime_ms: expected_move(&server.facts, &effective.policy, history, None)
            .downtime
            .as_milliseconds(),
    })
}

/// Where a server goes and when, and why.
fn decided(
    migration: &Migration,
    rules: &OwnersRules,
    whose: &Whose<'_>,
    policy: &Policy,
    eyes: Eyes,
) -> DecidedView {
    let inside = eyes == Eyes::Operator;
    DecidedView {
        to: migration.to().filter(|_| inside).cloned(),
        why_there: Some(migration.place_why.clone()).filter(|why| inside && !why.is_empty()),
        when: migration.appointment.slot().map(SlotView::from),
        why_then: why_then(&migration.appointment, rules, whose, policy),
    }
}

fn why_then(
    appointment: &Appointment,
    rules: &OwnersRules,
    whose: &Whose<'_>,
    policy: &Policy,
) -> Option<String> {
    Some(match appointment {
        Appointment::Unscheduled | Appointment::Done | Appointment::Running { .. } => return None,
        Appointment::Proposed { slot } => {
            let (open, from) = rules.open_for(whose, policy, *slot);
            match Slots::from(open).covers(*slot) {
                true => format!(
                    "it is open in {}, and was free at both hosts and within all limits",
                    from.windows()
                ),
                false => {
                    "nothing earlier fits the windows: it is the last time before the deadline".to_owned()
                }
            }
        }
        Appointment::Accepted { by, .. } => format!("{by} has agreed to it"),
        Appointment::Rescheduled { by, .. } => format!("{by} has chosen it"),
        Appointment::StartNow { by, .. } => format!("{by} wanted it at once"),
        Appointment::Emergency { why } => format!("at once, as its host is in danger: {why}"),
    })
}

/// What stands in the way by the server itself, or else by its host's agent.
pub(crate) fn all_obstacles(server: &Server, suits: Suits) -> Vec<WhyBlocked> {
    let mut all = obstacles(&server.facts);
    match suits {
        Suits::Nothing(why) if !all.contains(&why) => all.push(why),
        Suits::Nothing(_) | Suits::Live | Suits::Reboot(_) => {}
    }
    all
}

fn method(suits: &Suits, eyes: Eyes) -> (String, Option<Reason>) {
    match suits {
        Suits::Live => ("live".to_owned(), None),
        Suits::Reboot(why) => {
            let reason = match eyes {
                Eyes::Operator => Reason::new(why.code(), why),
                Eyes::Owner => Reason::new(why.code(), why.for_owner()),
            };
            ("reboot".to_owned(), Some(reason))
        }
        Suits::Nothing(why) => ("nothing".to_owned(), Some(blocked(why, eyes))),
    }
}

/// Every other host of the cluster: those that suit first, the emptiest before the fuller.
fn places(
    app: &App,
    fleet: &Fleet,
    server: &Server,
    reservations: &[Reservation],
    blueprints: &Blueprints,
) -> Vec<PlaceView> {
    let room = Room::new(fleet, reservations, &app.policies, app.clock.now());
    let wish = Wish::of(server, &app.policies, fleet).with(blueprints.get(&server.facts.id));
    let mut judged: Vec<(&drover_policies::ids::HostName, Result<Score, WhyNotHere>)> = fleet
        .hosts
        .keys()
        .map(|host| (host, room.judge_wish(&wish, host)))
        .filter(|(_, verdict)| !matches!(verdict, Err(WhyNotHere::Source | WhyNotHere::OtherCluster { .. })))
        .collect();
    judged.sort_by(|(one, a), (other, b)| match (a, b) {
        (Ok(a), Ok(b)) => a.cmp(b),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    });
    judged
        .into_iter()
        .map(|(host, verdict)| PlaceView {
            host: host.clone(),
            suits: verdict.is_ok(),
            why: match verdict {
                Ok(score) => Reason::new("suits", score),
                Err(why) => Reason::new(why.code(), &why),
            },
        })
        .collect()
}

/// The freezes that hold for a server and are not over, policy's first.
fn checks(rules: &OwnersRules, whose: &Whose<'_>, policy: &Policy) -> Vec<CheckHolds> {
    let (checks, from) = rules.checks_for(whose, policy);
    checks.into_iter().map(|check| CheckHolds::of(check, from, policy.validation.within)).collect()
}

async fn freezes(
    app: &App,
    rules: &OwnersRules,
    whose: &Whose<'_>,
    policy: &Policy,
) -> Result<Vec<FreezeHolds>, Problem> {
    let now = app.clock.now();
    let ahead = rules.frozen(whose, policy, Slot::from_start(now, AHEAD));
    let policys = ahead.iter().filter(|freeze| freeze.from == Nearness::Policy);
    let mut holds: Vec<FreezeHolds> = policys
        .map(|freeze| FreezeHolds {
            name: freeze.name.to_owned(),
            from: Nearness::Policy.code().to_owned(),
            next: vec![freeze.slot.into()],
            stale: None,
        })
        .collect();
    let Some(owner) = whose.owner else { return Ok(holds) };
    let own = app.store.freezes(Some(owner)).await.map_err(|error| store_problem(&error))?;
    for stored in own {
        let Some(from) = stored.value.freeze.scope.nearness(whose) else { continue };
        let view = FreezeView::of(&stored.value, now);
        let stale =
            view.calendar.filter(|calendar| calendar.stale || calendar.failure.is_some()).map(|calendar| {
                let why = calendar.failure.unwrap_or_else(|| "it has not been fetched for a day".to_owned());
                let good = calendar.good_at.map(|at| at.to_string()).unwrap_or_default();
                Reason::new("stale", format!("its calendar is as of {good}: {why}"))
            });
        if !view.next.is_empty() || stale.is_some() {
            let from = from.code().to_owned();
            holds.push(FreezeHolds { name: view.name, from, next: view.next, stale });
        }
    }
    Ok(holds)
}
