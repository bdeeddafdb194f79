//! What an owner sees and does: his servers and what is coming, one migration, and another time for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use chrono_tz::Tz;
use drover_pages::form::Actions;
use drover_pages::portal::migration::{MyMigration, MyMigrationPage};
use drover_pages::portal::my::{Coming, ComingMove, MyPage, MyServer};
use drover_pages::portal::times::TimesPage;
use drover_pages::{Label, Tone};
use drover_policies::appointment::Appointment;
use drover_policies::conduct;
use drover_policies::fleet::Allowance;
use drover_policies::migration::{Confirmation, Migration, State as Life};
use drover_policies::owners::{Nearness, Whose};
use drover_policies::replica::TEST_AHEAD;
use drover_policies::windows::Slot;

use super::acts::owners;
use super::calendar::{Allowed, LOOKED_AT, days, thinned};
use super::lists::{Column, Sought, arranged};
use super::migrations::{
    Read, actions, checks, curve, events, expected, needs_time, newest, progress, reason, replica, test,
    thread_of,
};
use super::session::{Anybody, AtPortal, Visitor};
use super::shown::Shown;
use super::steps::steps;
use crate::app::App;
use crate::commands::migrations::policy_of;
use crate::commands::{store_problem, with_time};
use crate::http::problem::{Kind, Problem};
use crate::situation::Loaded;
use crate::store::{MigrationFilter, Only, Versioned};

const ROOT: &str = "/my/migrations";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/my", get(my))
        .route("/fragments/my", get(coming_anew))
        .route("/my/migrations/{migration}", get(show))
        .route("/my/migrations/{migration}/times", get(times))
        .route("/fragments/my/migrations/{migration}", get(show_live))
}

/// Whether something is still to be said about a migration: it lies ahead, goes on, or can be taken back.
fn concerns(migration: &Migration) -> bool {
    migration.is_open()
        || matches!(migration.state, Life::Completed { .. } | Life::Reverting { .. } | Life::Failed { .. })
}

async fn coming(app: &App, visitor: &Visitor) -> Result<Coming, Problem> {
    let filter = MigrationFilter {
        owner: visitor.caller.owner().cloned(),
        only: Only::All,
        ..MigrationFilter::default()
    };
    let mut moves = Vec::new();
    for migration in newest(app, &filter).await?.into_iter().filter(concerns) {
        let found = app.store.migration(migration.id).await.map_err(|error| store_problem(&error))?;
        let Some(found) = found else { continue };
        let read = Read::of(app, visitor, found).await?;
        moves.push(ComingMove {
            number: migration.number,
            server: migration.server_name.clone(),
            state: Label::from(&migration.state),
            appointment: needs_time(&migration).then(|| Label::from(&migration.appointment)),
            slot: migration.appointment.slot(),
            reason: migration.reason.clone(),
            why: read.view.why_not_live.as_ref().map(reason),
            estimate: Some(expected(app, &migration).await?),
            deadline: migration.deadline,
            confirm_until: read.view.confirm_until,
            needs_owner: needs_owner(&migration),
            actions: Actions(actions(&read, ROOT, true)),
        });
    }
    moves.sort_by_key(|one| (one.slot.map_or(one.deadline, |slot| slot.start), one.number));
    Ok(Coming(moves))
}

/// Whether nothing better will come of it than what its owner says now.
fn needs_owner(migration: &Migration) -> bool {
    match (&migration.state, &migration.appointment) {
        (Life::Completed { confirmation: Confirmation::Awaited { .. }, .. }, _) => true,
        (_, Appointment::Proposed { .. }) => migration.is_open(),
        (_, _) => false,
    }
}

const COLUMNS: [Column<MyServer>; 3] = [
    ("name", |a, b| a.name.cmp(&b.name)),
    ("power", |a, b| (a.power.tone, a.power.key).cmp(&(b.power.tone, b.power.key))),
    ("memory", |a, b| a.memory_bytes.cmp(&b.memory_bytes)),
];

async fn my(
    State(app): State<Arc<App>>,
    AtPortal(visitor): AtPortal,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let own: Vec<_> = fleet
        .servers()
        .into_values()
        .filter(|server| {
            server.facts.owner.is_some() && server.facts.owner.as_ref() == visitor.caller.owner()
        })
        .collect();
    let open = app.store.migrations_open_of(own.iter().map(|server| server.facts.id)).await;
    let open: BTreeMap<_, _> = open
        .map_err(|error| store_problem(&error))?
        .into_iter()
        .map(|read| (read.value.server, (read.value.number, Label::from(&read.value.state))))
        .collect();
    let rows = own.iter().map(|server| MyServer {
        id: server.facts.id.to_string(),
        name: server.facts.name.clone(),
        power: Label::from(server.facts.power),
        memory_bytes: server.facts.memory_bytes,
        vcpus: server.facts.vcpus,
        live: match server.facts.rules.live_migration {
            Some(Allowance::Forbidden) => Label::new("live-forbidden", Tone::Quiet),
            Some(Allowance::Allowed) | None => Label::new("live-allowed", Tone::Good),
        },
        migration: open.get(&server.facts.id).copied(),
        observed_at: server.observed_at,
    });
    let (list, servers) = arranged(&sought, rows.collect(), &COLUMNS, &[], |row: &MyServer| row.name.clone());
    shown.page(&app, &MyPage { coming: coming(&app, &visitor).await?, list, servers }).await
}

async fn coming_anew(
    State(app): State<Arc<App>>,
    AtPortal(visitor): AtPortal,
    shown: Shown,
) -> Result<Response, Problem> {
    let coming = coming(&app, &visitor).await?;
    shown.part(&app, |frame| coming.html(frame)).await
}

/// Whether nothing is left to happen that its owner would look at. What is thrown away once a move is confirmed is nobody's business but ours,
/// and after it the link of the mails opens nothing any more.
fn is_settled(migration: &Migration) -> bool {
    let confirmed = matches!(
        migration.state,
        Life::Completed { confirmation: Confirmation::Given { .. }, .. } | Life::Discarding { .. }
    );
    confirmed || migration.is_over()
}

async fn live(app: &App, visitor: &Visitor, given: &str) -> Result<(Read, MyMigration), Problem> {
    owners(visitor)?;
    let read = Read::of(app, visitor, visitor.migration(app, given).await?).await?;
    let (migration, view) = (read.migration(), &read.view);
    let replica_view = view.replica.as_deref();
    let tested = replica_view.and_then(|replica| replica.test.as_ref());
    let live = MyMigration {
        number: migration.number,
        server: migration.server_name.clone(),
        state: Label::from(&migration.state),
        drill: matches!(migration.state, Life::Rehearsing { .. } | Life::Rehearsed { .. }),
        over: is_settled(migration),
        waits_for: view.waits_for.as_ref().map(reason),
        outcome: view.outcome.as_ref().map(reason),
        reason: migration.reason.clone(),
        why: view.why_not_live.as_ref().map(reason),
        slot: migration.appointment.slot(),
        appointment: Label::from(&migration.appointment),
        estimate: if migration.is_open() { Some(expected(app, migration).await?) } else { None },
        deadline: migration.deadline,
        reserved: migration.is_open() && migration.place.is_some(),
        done_at: view.done_at,
        confirm_until: view.confirm_until,
        revert_loses: replica_view.is_some(),
        phases: steps(&read),
        progress: view.progress.as_ref().and_then(progress),
        curve: curve(&read),
        replica: replica_view.map(replica),
        test: tested.map(|of| test(of, migration.number, ROOT)),
        test_advised: tested.is_none() && replica_view.is_some_and(|replica| replica.figures.ready),
        test_soon: migration
            .appointment
            .slot()
            .is_some_and(|slot| migration.is_open() && slot.start < app.clock.now() + TEST_AHEAD.delta()),
        checks: checks(&view.checks),
        events: events(&read.events),
        actions: Actions(actions(&read, ROOT, true)),
    };
    Ok((read, live))
}

async fn show(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (read, live) = live(&app, &visitor, &given).await?;
    let thread = thread_of(&app, &visitor, read.migration()).await?;
    shown.page(&app, &MyMigrationPage { live, thread }).await
}

async fn show_live(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (_, live) = live(&app, &visitor, &given).await?;
    shown.part(&app, |frame| live.html(frame)).await
}

async fn times(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    owners(&visitor)?;
    let found = visitor.migration(&app, &given).await?;
    found.value.has_appointment().map_err(|refusal| Problem::new(Kind::Refused, refusal.to_string()))?;
    let zone = shown.zone(&app).await?;
    let page = times_page(&app, &found, zone, &Refused::default()).await?;
    shown.page(&app, &page).await
}

/// Why the last choice was not taken, and what it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    /// Why not, and what would be accepted.
    pub why: Option<String>,
    /// What was typed.
    pub typed: String,
    /// What is wrong with that.
    pub error: Option<String>,
}

/// The page on which another time is chosen.
pub(super) async fn times_page(
    app: &App,
    found: &Versioned<Migration>,
    zone: Tz,
    refused: &Refused,
) -> Result<TimesPage, Problem> {
    let generation = super::acts::seen(app, found).await?;
    let number = found.value.number;
    let migration = with_time(app, found.clone()).await?.value;
    let loaded = Loaded::read(app).await.map_err(|error| store_problem(&error))?;
    let free = conduct::free_slots(loaded.situation(app), migration.id, LOOKED_AT);
    let policy = policy_of(app, &migration);
    let now = app.clock.now();
    let range = Slot { start: now, end: migration.deadline.max(now) };
    let fleet = app.fleet();
    let labels = fleet.server(migration.server).map(|server| &server.facts.labels);
    let whose = Whose { owner: migration.owner.as_ref(), server: migration.server, labels };
    let (open, from) = loaded.owners().open_for(&whose, &policy, range);
    let frozen = loaded.owners().freezes_in(&whose, &policy, range);
    let allowed = Allowed { open: &open, frozen: &frozen, zone };
    let chosen = migration.appointment.slot();
    let offered = thinned(&free, chosen, zone);
    Ok(TimesPage {
        number,
        server: migration.server_name.clone(),
        slot: chosen,
        deadline: migration.deadline,
        estimate: Some(expected(app, &migration).await?),
        all_shown: offered.len() == free.len(),
        days: days(&offered, &allowed, range),
        own_windows: from != Nearness::Policy,
        generation: Some(generation),
        refusal: refused.why.clone(),
        typed: refused.typed.clone(),
        typed_error: refused.error.clone(),
        earliest: now + policy.owners.reschedule_ahead.delta(),
    })
}
