//! Freezes, and limits of how many at once.

use std::io::Read;
use std::path::Path;

use chrono::NaiveDate;
use drover_policies::ids::IdSource;
use drover_policies::windows::LARGEST_CALENDAR;

use super::args::{FreezeAdd, Freezes, Limits};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::windows::{scope, scope_of};
use super::{Context, part};
use crate::clock::RandomIds;
use crate::http::views::{DaysView, FreezeBody, FreezeView, LimitBody, LimitView};

pub(super) async fn freezes(context: &Context, command: Freezes) -> Result<(), Failed> {
    match command {
        Freezes::List { owner } => {
            let query: Vec<Parameter> = owner.map(|owner| ("owner", owner)).into_iter().collect();
            let answer: Answer<Vec<FreezeView>> = context.client.list("/v1/freezes", &query, None).await?;
            context.show(&answer, |screen, freezes| list(screen, freezes));
        }
        Freezes::Show { freeze } => {
            let path = format!("/v1/freezes/{}", part(&freeze));
            let answer: Answer<FreezeView> = context.client.get(&path, &[]).await?;
            context.show(&answer, show);
        }
        Freezes::Add(add) => {
            let body = body(&context.screen, add)?;
            // The id is ours, so that a repeat after a lost answer is the same freeze.
            let path = format!("/v1/freezes/{}", RandomIds.next());
            let answer: Answer<FreezeView> = context.client.put(&path, &body).await?;
            context.show(&answer, show);
        }
        Freezes::Remove { freeze } => {
            context.client.delete(&format!("/v1/freezes/{}", part(&freeze))).await?;
            if !context.screen.json {
                context.screen.line("Removed.");
            }
        }
    }
    Ok(())
}

fn body(screen: &Screen, add: FreezeAdd) -> Result<FreezeBody, Failed> {
    let zone = add.zone.unwrap_or_else(|| screen.times().zone.name().to_owned());
    let day = |text: &str, option: &str| {
        text.parse::<NaiveDate>()
            .map_err(|_| Failed::usage(format!("{option} {text:?} is no day; write it as 2026-12-19")))
    };
    let days = match (&add.from, &add.to) {
        (Some(from), to) => Some(DaysView {
            from: day(from, "--from")?,
            to: day(to.as_ref().unwrap_or(from), "--to")?,
            timezone: zone.clone(),
        }),
        (None, _) => None,
    };
    let calendar = add.file.as_deref().map(read).transpose()?;
    let timezone = days.is_none().then_some(zone);
    let scope = scope_of(add.holds.server, add.holds.label)?;
    Ok(FreezeBody { owner: add.holds.owner, scope, name: add.name, days, calendar, url: add.fetch, timezone })
}

/// Not read on when it is longer than the scheduler reads.
fn read(path: &Path) -> Result<String, Failed> {
    let unusable = |why: &dyn std::fmt::Display| Failed::usage(format!("--file {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    let mut text = String::new();
    let most = LARGEST_CALENDAR as u64 + 1;
    file.take(most).read_to_string(&mut text).map_err(|error| unusable(&error))?;
    if text.len() > LARGEST_CALENDAR {
        return Err(unusable(&format!(
            "it is longer than {LARGEST_CALENDAR} bytes, and no longer calendar is read; export only what nothing may happen in"
        )));
    }
    Ok(text)
}

fn from(freeze: &FreezeView) -> String {
    match (&freeze.days, &freeze.calendar) {
        (Some(days), _) => format!("{} to {} {}", days.from, days.to, days.timezone),
        (None, Some(calendar)) => match &calendar.url {
            Some(url) => url.clone(),
            None => format!("a calendar, {} times", calendar.stretches),
        },
        (None, None) => String::new(),
    }
}

fn state(freeze: &FreezeView) -> (String, Tone) {
    match &freeze.calendar {
        Some(calendar) if calendar.stale => ("stale".to_owned(), Tone::Bad),
        Some(calendar) if calendar.failure.is_some() => ("last fetch failed".to_owned(), Tone::Busy),
        Some(_) | None if freeze.next.is_empty() => ("over".to_owned(), Tone::Faint),
        Some(_) | None => ("in force".to_owned(), Tone::Good),
    }
}

fn list(screen: &Screen, freezes: &[FreezeView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["freeze", "owner", "name", "for", "from", "next", "state"]);
    for freeze in freezes {
        let next = freeze.next.first().map_or_else(|| "-".to_owned(), |slot| times.both(slot.start));
        rows.push_toned(vec![
            (freeze.id.to_string(), Tone::Plain),
            (freeze.owner.to_string(), Tone::Plain),
            (freeze.name.clone(), Tone::Plain),
            (scope(&freeze.scope), Tone::Plain),
            (from(freeze), Tone::Plain),
            (next, Tone::Plain),
            state(freeze),
        ]);
    }
    screen.table(&rows, "No freeze is set; those of policy hold all the same: drover policy show");
}

fn show(screen: &Screen, freeze: &FreezeView) {
    let times = screen.times();
    let (state, tone) = state(freeze);
    let calendar = freeze.calendar.as_ref();
    screen.facts(&[
        ("freeze", freeze.id.to_string()),
        ("name", freeze.name.clone()),
        ("owner", freeze.owner.to_string()),
        ("for", scope(&freeze.scope)),
        ("from", from(freeze)),
        ("state", screen.paint(&state, tone)),
        (
            "copy of",
            calendar.and_then(|calendar| calendar.good_at).map(|at| times.both(at)).unwrap_or_default(),
        ),
        ("last fetch", calendar.and_then(|calendar| calendar.failure.clone()).unwrap_or_default()),
    ]);
    for slot in &freeze.next {
        screen.line(format!("  nothing happens {} to {}", times.both(slot.start), times.at(slot.end)));
    }
    for warning in &freeze.warnings {
        screen.line(screen.paint(&format!("Note: {warning}"), Tone::Bad));
    }
}

pub(super) async fn limits(context: &Context, command: Limits) -> Result<(), Failed> {
    match command {
        Limits::List { owner } => {
            let query: Vec<Parameter> = owner.map(|owner| ("owner", owner)).into_iter().collect();
            let answer: Answer<Vec<LimitView>> = context.client.list("/v1/limits", &query, None).await?;
            context.show(&answer, |screen, limits| {
                let mut rows = Rows::new(&["limit", "owner", "for", "at once"]);
                for limit in limits {
                    rows.push(vec![
                        limit.id.to_string(),
                        limit.owner.to_string(),
                        scope(&limit.scope),
                        limit.max_simultaneous.to_string(),
                    ]);
                }
                screen.table(&rows, "No limit is set; that of policy holds all the same (limits.per_owner)");
            });
        }
        Limits::Set { max_simultaneous, owner, label } => {
            let wanted = scope_of(None, label)?;
            // One that is there for the same servers is changed: there can be one only.
            let query: Vec<Parameter> = owner.clone().map(|owner| ("owner", owner)).into_iter().collect();
            let known: Answer<Vec<LimitView>> = context.client.list("/v1/limits", &query, None).await?;
            let same = known.value.iter().find(|limit| {
                limit.scope == wanted && owner.as_ref().is_none_or(|owner| limit.owner.as_str() == owner)
            });
            let id = same.map_or_else(|| RandomIds.next().to_string(), |limit| limit.id.to_string());
            let body = LimitBody { owner, scope: wanted, max_simultaneous };
            let answer: Answer<LimitView> = context.client.put(&format!("/v1/limits/{id}"), &body).await?;
            context.show(&answer, |screen, limit| {
                screen.line(format!(
                    "{}: at most {} at once for {}",
                    limit.id,
                    limit.max_simultaneous,
                    scope(&limit.scope)
                ));
            });
        }
        Limits::Remove { limit } => {
            context.client.delete(&format!("/v1/limits/{}", part(&limit))).await?;
            if !context.screen.json {
                context.screen.line("Removed.");
            }
        }
    }
    Ok(())
}
