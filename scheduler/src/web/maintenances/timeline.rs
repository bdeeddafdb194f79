//! A maintenance over time: what was done and what is agreed, with what owners allow behind those that wait for them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use drover_pages::chart::{Gantt, GanttBar, GanttFreeze, GanttRow};
use drover_pages::{Label, Tone};
use drover_policies::appointment::Appointment;
use drover_policies::ids::OwnerId;
use drover_policies::migration::Migration;
use drover_policies::owners::{OwnersRules, Whose};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use super::NAMED;
use crate::app::App;
use crate::commands::store_problem;
use crate::http::problem::Problem;
use crate::http::views::MaintenanceView;

/// How far it is looked ahead where the deadline is later.
const AHEAD: Span = Span::days(14);

/// Hosts and migrations over time, of what has a time or waits for one.
pub(super) async fn gantt(
    app: &App,
    view: &MaintenanceView,
    migrations: &[Migration],
    now: Instant,
) -> Result<Option<Gantt>, Problem> {
    let shown = |migration: &&Migration| !bars(migration, now).is_empty() || waits_for_owner(migration);
    let shown: Vec<&Migration> = migrations.iter().filter(shown).take(NAMED).collect();
    let rules = rules_of(app, &shown).await?;
    let range = range(view, &shown, now);
    let rows: Vec<GanttRow> = shown.into_iter().map(|one| row(app, &rules, one, range, now)).collect();
    Ok((!rows.is_empty()).then_some(Gantt {
        from: range.start,
        to: range.end,
        deadline: view.deadline,
        rows,
    }))
}

/// Up to the deadline while owners have a say in when something goes; else what there is to see would be a dash at the left edge, so that it ends
/// soon after what is done.
fn range(view: &MaintenanceView, shown: &[&Migration], now: Instant) -> Slot {
    let start = view.requested_at;
    let last = shown.iter().flat_map(|one| bars(one, now)).map(|bar| bar.slot.end).max();
    let end = if shown.iter().any(|one| waits_for_owner(one)) {
        let near = view.deadline.min(now + AHEAD.delta());
        last.map_or(near, |last| last.max(near))
    } else {
        let last = last.unwrap_or(now).max(start);
        last + ((last - start) / 10).max(TimeDelta::minutes(1))
    };
    Slot { start, end }
}

fn bars(migration: &Migration, now: Instant) -> Vec<GanttBar> {
    let done = migration.attempts.iter().map(|attempt| {
        let end = attempt.end.as_ref().map_or(now, |end| end.at);
        GanttBar {
            slot: Slot { start: attempt.began_at, end: end.max(attempt.began_at) },
            tone: Label::from(&migration.state).tone,
            planned: false,
            text: format!("{} to {}", attempt.method, attempt.to),
        }
    });
    let ahead = migration.appointment.slot().filter(|slot| migration.is_open() && slot.start > now);
    let ahead =
        ahead.map(|slot| GanttBar { slot, tone: Tone::Waits, planned: true, text: "time agreed".to_owned() });
    done.chain(ahead).collect()
}

/// Whether its owner's windows and freezes still say when it goes.
fn waits_for_owner(migration: &Migration) -> bool {
    let bound = match migration.appointment {
        Appointment::Proposed { .. } | Appointment::Accepted { .. } | Appointment::Rescheduled { .. } => true,
        Appointment::Unscheduled => migration.ticket.is_some(),
        Appointment::StartNow { .. }
        | Appointment::Emergency { .. }
        | Appointment::Running { .. }
        | Appointment::Done => false,
    };
    bound && migration.is_open() && !migration.is_moving()
}

/// What those owners have set whose servers wait for them: not that of all, for this is drawn anew for everybody who watches.
async fn rules_of(app: &App, migrations: &[&Migration]) -> Result<OwnersRules, Problem> {
    let waiting = migrations.iter().filter(|migration| waits_for_owner(migration));
    let owners: BTreeSet<&OwnerId> = waiting.filter_map(|migration| migration.owner.as_ref()).collect();
    let (mut windows, mut freezes) = (Vec::new(), Vec::new());
    for owner in owners {
        windows.extend(app.store.windows_of(owner).await.map_err(|error| store_problem(&error))?);
        freezes.extend(app.store.freezes(Some(owner)).await.map_err(|error| store_problem(&error))?);
    }
    Ok(OwnersRules::new(
        windows.into_iter().map(|stored| stored.window),
        freezes.into_iter().map(|stored| stored.value.freeze),
        [],
    ))
}

fn row(app: &App, rules: &OwnersRules, migration: &Migration, range: Slot, now: Instant) -> GanttRow {
    let fleet = app.fleet();
    let server = fleet.server(migration.server).filter(|_| waits_for_owner(migration));
    let (windows, freezes) = server.map_or_else(Default::default, |server| {
        let whose = Whose::server(server);
        let effective = app.policies.shared_of(server, &fleet);
        let (windows, _) = rules.open_for(&whose, &effective.policy, range);
        let frozen = rules.freezes_in(&whose, &effective.policy, range).into_iter();
        let freezes = frozen.map(|one| GanttFreeze { name: one.name.to_owned(), slot: one.slot });
        (windows, freezes.collect())
    });
    GanttRow { name: migration.server_name.clone(), windows, freezes, bars: bars(migration, now) }
}
