//! Emptying hosts.

pub(super) mod rolling;

pub(super) use rolling::turn;

use serde_json::json;

use super::args::{Drain, Maintenance};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::words::count;
use super::{Context, part, watch};
use crate::http::views::{
    ApproveBody, Counts, EmergencyBody, MaintenanceBody, MaintenanceDetail, MaintenanceView, MigrationBrief,
    PlanView,
};

pub(super) async fn drain(context: &Context, drain: Drain) -> Result<(), Failed> {
    let deadline = drain.deadline.map(|text| deadline(&context.screen, &text)).transpose()?;
    let (hosts_named, select) = rolling::which(drain.which);
    let body = MaintenanceBody {
        hosts: hosts_named,
        select,
        reason: drain.reason,
        deadline,
        emergency: drain.emergency.map(|why| EmergencyBody { why }),
        rolling: None,
        dry_run: drain.dry_run,
    };
    if drain.dry_run {
        let answer: Answer<PlanView> = context.client.post("/v1/maintenances", &body).await?;
        context.show(&answer, |screen, plan| {
            screen.line(plan.text.trim_end());
            screen.line("\nNothing was changed. Without --dry-run this begins.");
        });
        return Ok(());
    }
    let answer: Answer<MaintenanceView> = context.client.post("/v1/maintenances", &body).await?;
    if drain.wait {
        return watch::maintenance(context, &answer.value.number, Some(0)).await;
    }
    context.show(&answer, |screen, maintenance| {
        let number = &maintenance.number;
        screen.line(format!("{number} begins: {}", hosts(maintenance)));
        screen.line(format!("It must be done by {}.", screen.times().both(maintenance.deadline)));
        screen.line(format!(
            "Follow it: drover maintenance watch {number}. Its plan: drover maintenance plan {number}"
        ));
    });
    Ok(())
}

/// A span goes as it is, so that it counts from the scheduler's present; a local time goes as a moment.
fn deadline(screen: &Screen, text: &str) -> Result<String, Failed> {
    if text.trim_start_matches('+').parse::<drover_policies::time::Span>().is_ok() {
        return Ok(text.to_owned());
    }
    Ok(screen.times().parse(text)?.to_rfc3339())
}

/// Their names, or of very many how many.
fn hosts(maintenance: &MaintenanceView) -> String {
    if maintenance.hosts.len() > 8 {
        return count(maintenance.hosts.len(), "host");
    }
    maintenance.hosts.iter().map(|host| host.host.to_string()).collect::<Vec<_>>().join(", ")
}

pub(super) async fn maintenance(context: &Context, command: Maintenance) -> Result<(), Failed> {
    let path = |given: &str, what: &str| format!("/v1/maintenances/{}{what}", part(given));
    match command {
        Maintenance::List { all, listing } => {
            let query: Vec<Parameter> = vec![("only", if all { "all" } else { "open" }.to_owned())];
            let answer: Answer<Vec<MaintenanceView>> =
                context.client.list("/v1/maintenances", &query, listing.limit).await?;
            context.show(&answer, |screen, maintenances| {
                screen.table(
                    &rows(screen, maintenances),
                    "No open maintenance. Those that are over: drover maintenance list --all",
                );
            });
            Ok(())
        }
        Maintenance::Show { maintenance } => {
            let answer: Answer<MaintenanceDetail> = context.client.get(&path(&maintenance, ""), &[]).await?;
            context.show(&answer, show);
            Ok(())
        }
        Maintenance::Plan { maintenance } => {
            let answer: Answer<PlanView> = context.client.get(&path(&maintenance, "/plan"), &[]).await?;
            context.show(&answer, |screen, plan| {
                screen.line(format!("Made {}:", screen.times().both(plan.made_at)));
                screen.line(plan.text.trim_end());
                if plan.servers.iter().any(|one| one.wave.is_some()) {
                    rolling::servers(screen, plan);
                }
            });
            Ok(())
        }
        Maintenance::Draft(draft) => rolling::draft(context, *draft).await,
        Maintenance::Approve { maintenance, anyway } => {
            let body = ApproveBody { anyway };
            let answer: Answer<MaintenanceView> =
                context.client.post(&path(&maintenance, "/approve"), &body).await?;
            context.show(&answer, |screen, now| {
                screen.line(format!("{0} begins. Follow it: drover maintenance watch {0}", now.number));
            });
            Ok(())
        }
        Maintenance::Host { maintenance, host } => rolling::host(context, &maintenance, &host).await,
        Maintenance::RetryHost { maintenance, host } => {
            context
                .ask(
                    &path(&maintenance, &format!("/hosts/{}/retry", part(&host))),
                    |now: &MaintenanceView| format!("{host} of {} is tried again.", now.number),
                )
                .await
        }
        Maintenance::SkipHost { maintenance, host } => {
            context
                .ask(&path(&maintenance, &format!("/hosts/{}/skip", part(&host))), |now: &MaintenanceView| {
                    format!("{host} is left out of {}.", now.number)
                })
                .await
        }
        Maintenance::Pause { maintenance } => {
            context
                .ask(&path(&maintenance, "/pause"), |now: &MaintenanceView| {
                    let moving = count(now.counts.moving as usize, "migration");
                    format!(
                        "{} is {}: nothing new begins; {moving} under way goes on to the end.",
                        now.number, now.state
                    )
                })
                .await
        }
        Maintenance::Resume { maintenance } => {
            context
                .ask(&path(&maintenance, "/resume"), |now: &MaintenanceView| {
                    format!("{} goes on.", now.number)
                })
                .await
        }
        Maintenance::Cancel { maintenance } => {
            context
                .ask(&path(&maintenance, "/cancel"), |now: &MaintenanceView| {
                    format!(
                        "{} is {}; what has begun is ended in order, then {} is given back.",
                        now.number,
                        now.state,
                        hosts(now)
                    )
                })
                .await
        }
        Maintenance::Emergency { maintenance, why } => {
            let answer: Answer<MaintenanceView> =
                context.client.post(&path(&maintenance, "/emergency"), &json!({ "why": why })).await?;
            context.show(&answer, |screen, now| {
                screen.line(format!(
                    "{} skips windows and notice from here on; owners are told afterwards.",
                    now.number
                ));
            });
            Ok(())
        }
        Maintenance::Watch { maintenance } => watch::maintenance(context, &maintenance, None).await,
    }
}

/// `4 of 9 moved, 1 moving, 3 wait for their owners, 1 needs a person`.
pub(super) fn counts(counts: &Counts) -> String {
    let moved = counts.moved_live + counts.moved_by_reboot + counts.avoided;
    let mut text = format!("{moved} of {} moved", counts.total);
    let mut add = |n: u32, one: &str, many: &str| {
        if n > 0 {
            text.push_str(&format!(", {n} {}", if n == 1 { one } else { many }));
        }
    };
    add(counts.moving, "moving", "moving");
    add(counts.waiting_for_owner, "waits for its owner", "wait for their owners");
    add(counts.waiting, "waiting", "waiting");
    add(counts.to_come, "on hosts to come", "on hosts to come");
    add(counts.needs_person, "needs a person", "need a person");
    add(counts.cancelled, "given up", "given up");
    text
}

fn rows(screen: &Screen, maintenances: &[MaintenanceView]) -> Rows {
    let times = screen.times();
    let mut rows = Rows::new(&["number", "state", "hosts", "servers", "deadline", "reason"]);
    for maintenance in maintenances {
        let (state, tone) = state(maintenance);
        rows.push_toned(vec![
            (maintenance.number.clone(), Tone::Plain),
            (state, tone),
            (hosts(maintenance), Tone::Plain),
            (
                counts(&maintenance.counts),
                if maintenance.counts.needs_person > 0 { Tone::Bad } else { Tone::Plain },
            ),
            (times.ago(maintenance.deadline), if maintenance.overdue { Tone::Bad } else { Tone::Plain }),
            (maintenance.reason.clone(), Tone::Plain),
        ]);
    }
    rows
}

fn state(maintenance: &MaintenanceView) -> (String, Tone) {
    let emergency = if maintenance.emergency.is_some() { ", emergency" } else { "" };
    if maintenance.overdue {
        return (format!("{}, overdue{emergency}", maintenance.state), Tone::Bad);
    }
    let near = if maintenance.deadline_near { ", deadline near" } else { "" };
    let tone = if near.is_empty() { Tone::of_state(&maintenance.state) } else { Tone::Busy };
    (format!("{}{near}{emergency}", maintenance.state), tone)
}

fn show(screen: &Screen, detail: &MaintenanceDetail) {
    let times = screen.times();
    let maintenance = &detail.maintenance;
    let (state, tone) = state(maintenance);
    screen.facts(&[
        ("maintenance", format!("{} ({})", maintenance.number, maintenance.id)),
        ("state", screen.paint(&state, tone)),
        ("since", maintenance.since.map(|since| times.both(since)).unwrap_or_default()),
        ("reason", maintenance.reason.clone()),
        ("emergency", maintenance.emergency.clone().unwrap_or_default()),
        ("deadline", times.both(maintenance.deadline)),
        ("asked for", format!("{} by {}", times.both(maintenance.requested_at), maintenance.requested_by)),
        ("servers", counts(&maintenance.counts)),
    ]);
    if let Some(rolled) = &maintenance.rolling {
        rolling::facts(screen, maintenance, rolled);
    }
    screen.line("");
    let mut rows = Rows::new(&["host", "state", "servers left", "empty since"]);
    for host in maintenance.hosts.iter().filter(|_| maintenance.rolling.is_none()) {
        rows.push_toned(vec![
            (host.host.to_string(), Tone::Plain),
            (host.state.clone(), Tone::of_state(&host.state)),
            (host.servers_left.to_string(), Tone::Plain),
            (host.drained_at.map(|at| times.both(at)).unwrap_or_default(), Tone::Plain),
        ]);
    }
    match &maintenance.rolling {
        Some(rolled) => rolling::hosts(screen, maintenance, rolled),
        None => screen.table(&rows, ""),
    }
    section(screen, "Needs a person:", &detail.needs_person, Tone::Bad);
    section(screen, "Moving:", &detail.moving, Tone::Busy);
    section(screen, "Waiting:", &detail.waiting, Tone::Plain);
    if !detail.needs_person.is_empty() {
        screen.line("\nMore about one: drover migrations show DR-…, drover explain SERVER");
    }
}

pub(super) fn section(screen: &Screen, title: &str, migrations: &[MigrationBrief], tone: Tone) {
    if migrations.is_empty() {
        return;
    }
    screen.line(format!("\n{}", screen.paint(title, tone)));
    let width = migrations.iter().map(|migration| migration.server_name.len()).max().unwrap_or(0);
    for migration in migrations {
        screen.line(format!("  {:width$}  {}", migration.server_name, super::migrations::brief(migration)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_a_sentence_and_leave_out_what_is_nothing() {
        let some = Counts {
            total: 10,
            moved_live: 8,
            moved_by_reboot: 1,
            waiting_for_owner: 1,
            ..Counts::default()
        };
        assert_eq!(counts(&some), "9 of 10 moved, 1 waits for its owner");
        let bad = Counts { total: 3, moving: 1, needs_person: 2, ..Counts::default() };
        assert_eq!(counts(&bad), "0 of 3 moved, 1 moving, 2 need a person");
    }

    #[test]
    fn a_local_deadline_becomes_a_moment_and_a_span_stays_one() {
        let screen = Screen::plain(chrono_tz::Europe::Berlin);
        assert_eq!(deadline(&screen, "7d").expect("a span"), "7d");
        assert_eq!(deadline(&screen, "2026-11-25 18:00").expect("a time"), "2026-11-25T17:00:00+00:00");
        assert!(deadline(&screen, "next week").is_err());
    }
}
