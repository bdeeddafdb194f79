//! A maintenance over time: what was done and what is agreed, with what owners allow behind those that wait for them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use drover_pages::chart::{Gantt, GanttBar, GanttFreeze, GanttRow};
use drover_pages::{Label, Tone};
use drover_policies::appointment::Appointment;
use drover_policies::ids::{HostName, OwnerId};
use drover_policies::maintenance::{Maintenance, Stage};
use drover_policies::migration::Migration;
use drover_policies::owners::{OwnersRules, Whose};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use super::NAMED;
use crate::app::App;
use crate::commands::store_problem;
use crate::http::problem::Problem;
use crate::http::views::{DrainView, MaintenanceView};

/// How far it is looked ahead where the deadline is later.
const AHEAD: Span = Span::days(14);

/// Hosts and migrations over time, of what has a time or waits for one: first the turns of hosts, each host's by the order in which they came.
pub(super) async fn gantt(
    app: &App,
    maintenance: &Maintenance,
    view: &MaintenanceView,
    migrations: &[Migration],
    now: Instant,
) -> Result<Option<Gantt>, Problem> {
    let shown = |migration: &&Migration| !bars(migration, now).is_empty() || waits_for_owner(migration);
    let all: Vec<&Migration> = migrations.iter().filter(shown).collect();
    let (shown, more) = all.split_at(all.len().min(NAMED));
    let mut turns = turns(maintenance, view, now);
    let more_hosts = turns.len().saturating_sub(NAMED);
    turns.truncate(NAMED);
    let rules = rules_of(app, shown).await?;
    let range = range(view, shown, &turns, now);
    let moves = shown.iter().map(|one| row(app, &rules, one, range, now));
    let rows: Vec<GanttRow> = turns.into_iter().chain(moves).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Ok((!rows.is_empty()).then_some(Gantt {
        from: range.start,
        to: range.end,
        deadline: view.deadline,
        rows,
        more_hosts: count(more_hosts),
        more_migrations: count(more.len()),
    }))
}

/// The turns of hosts that have begun, the latest first: so those in work are among those that are drawn.
fn turns(maintenance: &Maintenance, view: &MaintenanceView, now: Instant) -> Vec<GanttRow> {
    let turn = |((name, stage), drain): ((&HostName, &Stage), &DrainView)| {
        let began = drain.began_at?;
        let end = drain.ended_at.or(drain.drained_at).unwrap_or(now).max(began);
        let tone = Label::from(stage).tone;
        let text = drain.step.iter().chain(&drain.why).cloned().collect::<Vec<_>>().join(": ");
        let text = if text.is_empty() { drain.state.clone() } else { format!("{}, {text}", drain.state) };
        let bar = GanttBar { slot: Slot { start: began, end }, tone, planned: false, text };
        Some(GanttRow { name: name.to_string(), windows: Vec::new(), freezes: Vec::new(), bars: vec![bar] })
    };
    let mut turns: Vec<GanttRow> = maintenance.hosts.iter().zip(&view.hosts).filter_map(turn).collect();
    turns.sort_by_key(|row| std::cmp::Reverse(row.bars.first().map(|bar| bar.slot.start)));
    turns
}

/// Up to the deadline while owners have a say in when something goes; else what there is to see would be a dash at the left edge, so that it ends
/// soon after what is done.
fn range(view: &MaintenanceView, shown: &[&Migration], turns: &[GanttRow], now: Instant) -> Slot {
    let start = view.requested_at;
    let of_hosts = turns.iter().flat_map(|row| row.bars.clone());
    let last = shown.iter().flat_map(|one| bars(one, now)).chain(of_hosts).map(|bar| bar.slot.end).max();
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
