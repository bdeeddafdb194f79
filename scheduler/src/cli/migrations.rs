//! Migrations, and the time of those that wait for their owners.

use serde_json::json;

use super::args::Migrations;
use super::client::{Answer, Parameter};
use super::exit::{Exit, Failed};
use super::screen::{Rows, Screen, Tone};
use super::words::{bytes, milliseconds};
use super::{Context, confirm, part, watch};
use crate::http::views::{
    AppointmentView, EventView, FreeSlots, MigrationBrief, MigrationDetail, MigrationView, ServerView,
};

pub(super) async fn migrations(context: &Context, command: Migrations) -> Result<(), Failed> {
    let client = &context.client;
    let path = |migration: &str, what: &str| format!("/v1/migrations/{}{what}", part(migration));
    match command {
        Migrations::List { all, maintenance, server, host, listing } => {
            let mut query: Vec<Parameter> = vec![("only", if all { "all" } else { "open" }.to_owned())];
            query.extend(maintenance.map(|maintenance| ("maintenance", maintenance)));
            query.extend(server.map(|server| ("server", server)));
            query.extend(host.map(|host| ("host", host)));
            let answer: Answer<Vec<MigrationView>> =
                client.list("/v1/migrations", &query, listing.limit).await?;
            context.show(&answer, |screen, migrations| {
                screen.table(
                    &rows(screen, migrations),
                    "No open migration. Those that are over: drover migrations list --all",
                );
            });
        }
        Migrations::Show { migration } => {
            let answer: Answer<MigrationDetail> = client.get(&path(&migration, ""), &[]).await?;
            context.show(&answer, show);
        }
        Migrations::Watch { migration } => return watch::migration(context, &migration).await,
        Migrations::Abort { migration } => {
            context
                .ask(&path(&migration, "/abort"), |migration: &MigrationView| {
                    format!("{} is being stopped; it stays where it is.", migration.server_name)
                })
                .await?;
        }
        Migrations::Retry { migration } => {
            context
                .ask(&path(&migration, "/retry"), |migration: &MigrationView| {
                    format!("{} begins anew.", migration.server_name)
                })
                .await?;
        }
        Migrations::Force { migration } => {
            context
                .ask(&path(&migration, "/force"), |migration: &MigrationView| {
                    format!("{} is forced ({}).", migration.server_name, migration.state)
                })
                .await?;
        }
        Migrations::Slots { migration, limit } => {
            let query = [("limit", limit.to_string())];
            let answer: Answer<FreeSlots> = client.get(&path(&migration, "/slots"), &query).await?;
            context.show(&answer, |screen, slots| free(screen, &migration, slots));
        }
    }
    Ok(())
}

fn free(screen: &Screen, migration: &str, slots: &FreeSlots) {
    let times = screen.times();
    for slot in &slots.items {
        screen.line(times.both(slot.start));
    }
    if let Some(first) = slots.items.first() {
        let start = first.start.format("%Y-%m-%dT%H:%M:%SZ");
        screen.line(format!("\nChoose one with: drover reschedule {migration} --to {start}"));
    } else {
        screen.line(format!(
            "Nothing is open and free before the deadline, {}. Another time may be chosen all the same (drover reschedule), or start it now.",
            times.both(slots.deadline)
        ));
    }
}

/// In one word or two, for a column.
pub(super) fn brief(migration: &MigrationBrief) -> String {
    match &migration.waits_for {
        Some(waits) => format!("{} DR-{} waits for {}", migration.method, migration.number, waits.text),
        None => format!("{} DR-{} {}", migration.method, migration.number, migration.state.replace('_', " ")),
    }
}

/// The time of a reboot migration.
pub(super) fn appointment(screen: &Screen, appointment: &AppointmentView) -> String {
    let times = screen.times();
    let state = match appointment.state.as_str() {
        "unscheduled" => String::new(),
        other => other.replace('_', " "),
    };
    match (&appointment.slot, &appointment.by) {
        (Some(slot), Some(by)) => format!("{}, {state} by {by}", times.both(slot.start)),
        (Some(slot), None) => format!("{}, {state}", times.both(slot.start)),
        (None, Some(by)) => format!("{state}, says {by}"),
        (None, None) => state,
    }
}

/// What a migration is doing, in a few words.
pub(super) fn doing(screen: &Screen, migration: &MigrationView) -> String {
    if let Some(outcome) = &migration.outcome {
        return outcome.text.clone();
    }
    if let Some(progress) = &migration.progress
        && progress.total_bytes > 0
    {
        return format!("{} % at {}/s, pass {}", progress.percent, bytes(progress.rate), progress.iteration);
    }
    if migration.waits_for.as_ref().is_some_and(|waits| waits.code == "owner") {
        return appointment(screen, &migration.appointment);
    }
    match (&migration.waits_for, &migration.moved) {
        (Some(waits), _) => format!("waits for {}", waits.text),
        (None, Some(moved)) => {
            moved.downtime_ms.map(|ms| format!("down for {}", milliseconds(ms))).unwrap_or_default()
        }
        (None, None) => migration.phase.clone().unwrap_or_default().replace('_', " "),
    }
}

fn rows(screen: &Screen, migrations: &[MigrationView]) -> Rows {
    let hosts = migrations.iter().any(|migration| migration.inside.is_some());
    let mut header = vec!["number", "server", "method", "state"];
    if hosts {
        header.extend(["from", "to"]);
    }
    header.push("what");
    let mut rows = Rows::new(&header);
    for migration in migrations {
        let tone = if migration.needs_person { Tone::Bad } else { Tone::of_state(&migration.state) };
        let mut row = vec![
            (format!("DR-{}", migration.number), Tone::Plain),
            (migration.server_name.clone(), Tone::Plain),
            (migration.method.clone(), Tone::Plain),
            (migration.state.replace('_', " "), tone),
        ];
        if let (true, Some(inside)) = (hosts, &migration.inside) {
            row.push((inside.from.to_string(), Tone::Plain));
            row.push((inside.to.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string), Tone::Plain));
        }
        row.push((doing(screen, migration), Tone::Plain));
        rows.push_toned(row);
    }
    rows
}

fn show(screen: &Screen, detail: &MigrationDetail) {
    let times = screen.times();
    let migration = &detail.migration;
    let inside = migration.inside.as_ref();
    let text = |reason: &Option<crate::http::views::Reason>| {
        reason.as_ref().map(|reason| format!("{} [{}]", reason.text, reason.code)).unwrap_or_default()
    };
    let way = inside.map(|inside| {
        let to = inside.to.as_ref().map_or_else(|| "no place yet".to_owned(), ToString::to_string);
        let why =
            if inside.place_why.is_empty() { String::new() } else { format!(" ({})", inside.place_why) };
        format!("{} to {to}{why}", inside.from)
    });
    let tone = if migration.needs_person { Tone::Bad } else { Tone::of_state(&migration.state) };
    let moved = migration.moved.as_ref().map(|moved| {
        let downtime = moved
            .downtime_ms
            .map_or_else(|| "unknown downtime".to_owned(), |ms| format!("down for {}", milliseconds(ms)));
        let off = moved
            .power_off
            .as_ref()
            .map(|how| format!(", powered off: {}", how.replace('_', " ")))
            .unwrap_or_default();
        format!("{downtime}, {} sent{off}", bytes(moved.sent_bytes))
    });
    screen.facts(&[
        ("migration", format!("DR-{} of {} ({})", migration.number, migration.server_name, migration.server)),
        ("state", screen.paint(&migration.state.replace('_', " "), tone)),
        ("outcome", text(&migration.outcome)),
        ("waits for", text(&migration.waits_for)),
        ("method", migration.method.clone()),
        ("why not live", text(&migration.why_not_live)),
        ("way", way.unwrap_or_default()),
        ("now", if migration.progress.is_some() { doing(screen, migration) } else { String::new() }),
        ("moved", moved.unwrap_or_default()),
        ("time", appointment(screen, &migration.appointment)),
        ("ticket", migration.ticket.clone().unwrap_or_default()),
        ("owner", migration.owner.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("reason", migration.reason.clone()),
        ("deadline", times.both(migration.deadline)),
        ("tries", if migration.tries > 0 { migration.tries.to_string() } else { String::new() }),
    ]);
    screen.line("");
    for event in &detail.events {
        screen.line(line(screen, event));
    }
    if let Some(next) = next(migration) {
        screen.line(format!("\n{next}"));
    }
}

/// What one may do about it now.
fn next(migration: &MigrationView) -> Option<String> {
    let number = format!("DR-{}", migration.number);
    match migration.state.as_str() {
        "failed" => Some(format!("Begin it anew: drover migrations retry {number}")),
        "ready" => Some(format!(
            "Other times: drover migrations slots {number}; now: drover migrate-now {}; agree: drover approve {number}",
            migration.server_name
        )),
        "preflight" | "transferring" => Some(format!("Stop it: drover migrations abort {number}")),
        _ => None,
    }
}

/// An event as a line of a story.
pub(super) fn line(screen: &Screen, event: &EventView) -> String {
    let who = match (&event.server_name, &event.host) {
        (Some(server), _) => format!("{server}: "),
        (None, Some(host)) => format!("{host}: "),
        (None, None) => String::new(),
    };
    format!("{}  {who}{}", screen.paint(&screen.times().stamp(event.at), Tone::Faint), event.text)
}

pub(super) async fn reschedule(context: &Context, migration: &str, start: &str) -> Result<(), Failed> {
    let start = context.screen.times().parse(start)?;
    let path = format!("/v1/migrations/{}/reschedule", part(migration));
    let answer: Result<Answer<MigrationView>, Failed> =
        context.client.post(&path, &json!({ "start": start })).await;
    let answer = answer.map_err(|failed| offer(context, migration, failed))?;
    context.show(&answer, |screen, migration| {
        screen.line(format!("{}: {}", migration.server_name, appointment(screen, &migration.appointment)));
    });
    Ok(())
}

/// Times that are free, in the reader's own zone.
fn offer(context: &Context, migration: &str, failed: Failed) -> Failed {
    let times = context.screen.times();
    let free: Vec<String> = failed
        .problem
        .as_ref()
        .and_then(|problem| problem.get("free")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|moment| Some(times.both(times.parse(moment.as_str()?).ok()?)))
        .collect();
    if free.is_empty() {
        return failed.hint(format!("Times that are free: drover migrations slots {migration}"));
    }
    failed.hint(format!("Free: {}", free.join("; ")))
}

pub(super) async fn approve(context: &Context, migration: &str) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/approve", part(migration));
    let answer: Answer<MigrationView> = context.client.post(&path, &json!({})).await?;
    context.show(&answer, |screen, migration| {
        screen.line(format!("{}: {}", migration.server_name, appointment(screen, &migration.appointment)));
    });
    Ok(())
}

pub(super) async fn migrate_now(
    context: &Context,
    server: &str,
    reason: Option<String>,
    yes: bool,
) -> Result<(), Failed> {
    let server = server_of(context, server).await?;
    let found: Answer<ServerView> =
        context.client.get(&format!("/v1/servers/{}", part(&server)), &[]).await?;
    let name = &found.value.name;
    if !yes && found.value.power != "off" {
        confirm(&format!(
            "{name} is {} and will be powered off, moved and booted, now. Go on?",
            found.value.power
        ))?;
    }
    let path = format!("/v1/servers/{}/migrate-now", found.value.id);
    let body = match reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let answer: Answer<MigrationView> = context.client.post(&path, &body).await?;
    context.show(&answer, |screen, migration| {
        screen.line(format!(
            "{} begins. Follow it with: drover migrations watch DR-{}",
            migration.server_name, migration.number
        ));
    });
    Ok(())
}

/// The server that a ticket is about; mails name the ticket, since it says all that an owner has to know. Anything else is a server already.
async fn server_of(context: &Context, given: &str) -> Result<String, Failed> {
    let number =
        given.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("DR-")).and_then(|_| given.get(3..));
    if number.is_none_or(|number| number.parse::<u32>().is_err()) {
        return Ok(given.to_owned());
    }
    let path = format!("/v1/migrations/{}", part(given));
    let found: Answer<MigrationView> = context.client.get(&path, &[]).await?;
    Ok(found.value.server.to_string())
}

/// What a wait for one migration has come to.
pub(super) fn ended(migration: &MigrationView) -> Option<Result<(), Failed>> {
    if migration.needs_person {
        return Some(Err(Failed::new(Exit::NeedsPerson, "")));
    }
    match migration.state.as_str() {
        "succeeded" | "completed" | "discarding" | "closed" | "avoided" => Some(Ok(())),
        "cancelled" => Some(Err(Failed::refused("it was given up with its maintenance"))),
        _ => None,
    }
}
