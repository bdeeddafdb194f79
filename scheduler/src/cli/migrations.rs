//! Migrations, and the time of those that wait for their owners.

use drover_policies::migration::Loss;
use serde_json::json;

use super::args::Migrations;
use super::client::{Answer, Parameter};
use super::exit::{Exit, Failed};
use super::screen::{Rows, Screen, Tone};
use super::words::{bytes, milliseconds};
use super::{Context, checks, confirm, part, replicas, watch};
use crate::http::views::{
    AppointmentView, EventView, FreeSlots, MigrationBrief, MigrationDetail, MigrationView, RevertBody,
    ServerView,
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
            return slots(context, &migration, limit).await;
        }
    }
    Ok(())
}

pub(super) async fn slots(context: &Context, migration: &str, limit: usize) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/slots", part(migration));
    let answer: Answer<FreeSlots> = context.client.get(&path, &[("limit", limit.to_string())]).await?;
    context.show(&answer, |screen, slots| free(screen, migration, slots));
    Ok(())
}

fn free(screen: &Screen, migration: &str, slots: &FreeSlots) {
    let times = screen.times();
    for slot in &slots.items {
        screen.line(times.both(slot.start));
    }
    if let Some(first) = slots.items.first() {
        let start = first.start.format("%Y-%m-%dT%H:%M:%SZ");
        screen.line(format!("\nIt must be over by {}.", times.both(slots.deadline)));
        screen.line(format!("Choose one with: drover reschedule {migration} --to {start}"));
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
    if let Some(replica) = migration.replica.as_ref().filter(|replica| !replica.figures.ready) {
        return replicas::standing(&replica.figures);
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
    let lags = migrations.iter().any(|migration| migration.replica.is_some());
    if lags {
        header.push("lag");
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
        if lags {
            let lag = migration.replica.as_ref().map(|replica| replicas::lag(&replica.figures));
            row.push(lag.unwrap_or_else(|| ("-".to_owned(), Tone::Faint)));
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
        let tail = moved.tail_ms.map(|ms| format!(" in {}", milliseconds(ms))).unwrap_or_default();
        format!("{downtime}, {} sent{tail}{off}", bytes(moved.sent_bytes))
    });
    screen.facts(&[
        ("migration", format!("DR-{} of {} ({})", migration.number, migration.server_name, migration.server)),
        ("state", screen.paint(&migration.state.replace('_', " "), tone)),
        ("outcome", text(&migration.outcome)),
        ("waits for", text(&migration.waits_for)),
        ("method", migration.method.clone()),
        ("why not live", text(&migration.why_not_live)),
        ("way", way.unwrap_or_default()),
        ("blueprint", migration.blueprint.clone().unwrap_or_default()),
        ("now", if migration.progress.is_some() { doing(screen, migration) } else { String::new() }),
        ("moved", moved.unwrap_or_default()),
        ("time", appointment(screen, &migration.appointment)),
        ("ticket", migration.ticket.clone().unwrap_or_default()),
        (
            "to confirm",
            migration.confirm_until.map(|until| format!("until {}", times.both(until))).unwrap_or_default(),
        ),
        ("reverts", migration.reverts.map(|number| format!("DR-{number}")).unwrap_or_default()),
        ("data loss", if migration.data_loss_accepted { "accepted".to_owned() } else { String::new() }),
        ("reverted by", migration.reverted_by.map(|number| format!("DR-{number}")).unwrap_or_default()),
        ("owner", migration.owner.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("reason", migration.reason.clone()),
        ("deadline", times.both(migration.deadline)),
        ("tries", if migration.tries > 0 { migration.tries.to_string() } else { String::new() }),
    ]);
    if let Some(replica) = &migration.replica {
        screen.line("");
        replicas::block(screen, replica);
    }
    if !migration.checks.is_empty() {
        screen.line("");
        checks::findings(screen, &migration.checks);
    }
    screen.line("");
    for event in &detail.events {
        screen.line(line(screen, event));
    }
    if let Some(hint) = replicas::best_practice(screen, migration) {
        screen.line(format!("\n{hint}"));
    }
    if let Some(next) = next(migration) {
        screen.line(format!("\n{next}"));
    }
}

/// What one may do about it now.
fn next(migration: &MigrationView) -> Option<String> {
    let number = format!("DR-{}", migration.number);
    match migration.state.as_str() {
        "failed" if migration.moved.is_some() => Some(format!(
            "All is well in spite of that: drover confirm {number}; take it back: drover revert {number}"
        )),
        "failed" => Some(format!("Begin it anew: drover migrations retry {number}")),
        "preparing" | "ready" => Some(format!(
            "Other times: drover migrations slots {number}; now: drover migrate-now {}; agree: drover approve {number}; not then: drover decline {number}",
            migration.server_name
        )),
        "completed" if migration.confirm_until.is_some() => {
            Some(format!("All is well: drover confirm {number}; take it back: drover revert {number}"))
        }
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
    context.show(&answer, agreed);
    Ok(())
}

/// What is agreed now, and until when it could be another time.
fn agreed(screen: &Screen, migration: &MigrationView) {
    let waits = migration.waits_for.as_ref().map(|waits| format!("no time: it waits for {}", waits.text));
    let time = match &migration.appointment.slot {
        Some(_) => appointment(screen, &migration.appointment),
        None => waits.unwrap_or_else(|| "no time yet".to_owned()),
    };
    screen.line(format!("{}: {time}", migration.server_name));
    screen.line(format!("It must be over by {}.", screen.times().both(migration.deadline)));
}

pub(super) async fn decline(context: &Context, migration: &str) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/decline", part(migration));
    let answer: Result<Answer<MigrationView>, Failed> = context.client.post(&path, &json!({})).await;
    let answer = answer.map_err(|failed| offer(context, migration, failed))?;
    context.show(&answer, agreed);
    Ok(())
}

/// Times that are free, in the reader's own zone; or, where none are named, how to ask for them.
fn offer(context: &Context, migration: &str, failed: Failed) -> Failed {
    free_times(context, &failed, Some(migration))
}

fn free_times(context: &Context, failed: &Failed, migration: Option<&str>) -> Failed {
    let failed = failed.clone();
    let times = context.screen.times();
    let moments = |name: &str| -> Vec<String> {
        let found = failed.problem.as_ref().and_then(|problem| problem.get(name));
        let found = found.map(|found| found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]));
        found
            .into_iter()
            .flatten()
            .filter_map(|moment| Some(times.both(times.parse(moment.as_str()?).ok()?)))
            .collect()
    };
    let (free, next) = (moments("free"), moments("next"));
    match (free.is_empty(), next.first(), migration) {
        (false, _, _) => failed.hint(format!("Free: {}", free.join("; "))),
        (true, Some(next), _) => failed.hint(format!("The next can be asked for: {next}")),
        (true, None, Some(migration)) => {
            failed.hint(format!("Times that are free: drover migrations slots {migration}"))
        }
        (true, None, None) => failed,
    }
}

pub(super) async fn approve(context: &Context, migration: &str) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/approve", part(migration));
    let answer: Answer<MigrationView> = context.client.post(&path, &json!({})).await?;
    context.show(&answer, agreed);
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
    if !yes && found.value.power != "off" {
        confirm(&replicas::question(context, &found.value).await?)?;
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

pub(super) async fn migrate(
    context: &Context,
    server: &str,
    at: &str,
    reason: Option<String>,
) -> Result<(), Failed> {
    let at = context.screen.times().parse(at)?;
    let server = server_of(context, server).await?;
    let path = format!("/v1/servers/{}/migrate", part(&server));
    let mut body = json!({ "at": at });
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let answer: Result<Answer<MigrationView>, Failed> = context.client.post(&path, &body).await;
    let answer = answer.map_err(|failed| free_times(context, &failed, None))?;
    context.show(&answer, |screen, migration| {
        screen.line(format!(
            "{}: {} (DR-{})",
            migration.server_name,
            appointment(screen, &migration.appointment),
            migration.number
        ));
    });
    Ok(())
}

pub(super) async fn cancel(context: &Context, migration: &str) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/cancel", part(migration));
    context
        .ask(&path, |migration: &MigrationView| {
            format!("{} stays where it is; DR-{} is cancelled.", migration.server_name, migration.number)
        })
        .await
}

pub(super) async fn confirm_done(context: &Context, migration: &str) -> Result<(), Failed> {
    let path = format!("/v1/migrations/{}/confirm", part(migration));
    context
        .ask(&path, |migration: &MigrationView| {
            format!("The migration of {} is confirmed.", migration.server_name)
        })
        .await
}

pub(super) async fn revert(
    context: &Context,
    migration: &str,
    (at, loss): (Option<&str>, Loss),
    yes: bool,
) -> Result<(), Failed> {
    let at = at.map(|at| context.screen.times().parse(at)).transpose()?;
    let path = format!("/v1/migrations/{}", part(migration));
    // A loss is asked about also where there is time to take the wish back.
    if !yes && (at.is_none() || loss == Loss::Accepted) {
        let found: Answer<MigrationView> = context.client.get(&path, &[]).await?;
        let when = if at.is_none() { ", now" } else { "" };
        let first = match loss {
            Loss::None => replicas::copied_back(&found.value),
            Loss::Accepted => {
                ", from its old disks as they were: WHAT IT HAS WRITTEN TO LOCAL DISKS SINCE THE MOVE IS LOST"
            }
        };
        confirm(&format!(
            "{} will be powered off, taken back to where it was and booted{when}{first}. Go on?",
            found.value.server_name
        ))?;
    }
    let body = RevertBody { at, accept_data_loss: loss == Loss::Accepted };
    let answer: Result<Answer<MigrationView>, Failed> =
        context.client.post(&format!("{path}/revert"), &body).await;
    let answer = answer.map_err(|failed| free_times(context, &failed, None))?;
    context.show(&answer, |screen, back| {
        let when = match &back.appointment.slot {
            Some(_) => appointment(screen, &back.appointment),
            None => "now".to_owned(),
        };
        let lost = match loss {
            Loss::None => "Nothing that was written is lost.",
            Loss::Accepted => "What it has written to local disks since the move is lost.",
        };
        screen.line(format!(
            "{} goes back to where it was: {when}. {lost} Follow it with: drover migrations watch {}",
            back.server_name, back.number
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
        "succeeded" | "completed" | "reverting" | "discarding" | "closed" | "reverted" | "avoided" => {
            Some(Ok(()))
        }
        "cancelled" => Some(Err(Failed::refused("it was given up with its maintenance"))),
        _ => None,
    }
}
