//! Windows.

use drover_policies::ids::IdSource;

use super::args::{WindowAdd, Windows};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen};
use super::{Context, part};
use crate::clock::RandomIds;
use crate::http::views::{OpensView, ScopeView, WindowBody, WindowView};

pub(super) async fn windows(context: &Context, command: Windows) -> Result<(), Failed> {
    match command {
        Windows::List { owner } => {
            let query: Vec<Parameter> = owner.map(|owner| ("owner", owner)).into_iter().collect();
            let answer: Answer<Vec<WindowView>> = context.client.list("/v1/windows", &query, None).await?;
            context.show(&answer, |screen, windows| list(screen, windows));
        }
        Windows::Add(add) => {
            let dry_run = add.dry_run;
            let body = body(&context.screen, add)?;
            // The id is ours, so that a repeat after a lost answer is the same window.
            let path =
                format!("/v1/windows/{}{}", RandomIds.next(), if dry_run { "?dry_run=true" } else { "" });
            let answer: Answer<WindowView> = context.client.put(&path, &body).await?;
            context.show(&answer, |screen, window| {
                let what = opens(screen, &window.opens);
                if dry_run {
                    screen.line(format!("Nothing was added. {what} would open:"));
                } else {
                    screen.line(format!("Added {}: {what}", window.id));
                }
                openings(screen, window);
            });
        }
        Windows::Show { window } => {
            let path = format!("/v1/windows/{}", part(&window));
            let answer: Answer<WindowView> = context.client.get(&path, &[]).await?;
            context.show(&answer, |screen, window| {
                screen.facts(&[
                    ("window", window.id.to_string()),
                    ("owner", window.owner.to_string()),
                    ("for", scope(&window.scope)),
                    ("opens", opens(screen, &window.opens)),
                ]);
                openings(screen, window);
            });
        }
        Windows::Remove { window } => {
            context.client.delete(&format!("/v1/windows/{}", part(&window))).await?;
            if !context.screen.json {
                context.screen.line("Removed. Appointments that were agreed stay as they are.");
            }
        }
    }
    Ok(())
}

fn body(screen: &Screen, add: WindowAdd) -> Result<WindowBody, Failed> {
    let times = screen.times();
    let scope = scope_of(add.holds.server, add.holds.label)?;
    let opens = match (add.cron, add.from, add.to) {
        (Some(cron), _, _) => OpensView {
            cron: Some(cron),
            duration: add.duration,
            timezone: Some(add.zone.unwrap_or_else(|| times.zone.name().to_owned())),
            ..OpensView::default()
        },
        (None, Some(from), Some(to)) => OpensView {
            start: Some(times.parse(&from)?),
            end: Some(times.parse(&to)?),
            ..OpensView::default()
        },
        (None, _, _) => {
            return Err(Failed::usage(
                "say when it opens: --cron \"0 2 * * 0\" --duration 4h, or --from and --to",
            ));
        }
    };
    Ok(WindowBody { owner: add.holds.owner, scope, opens })
}

fn openings(screen: &Screen, window: &WindowView) {
    for slot in &window.next {
        screen.line(format!("  open {} to {}", screen.times().both(slot.start), screen.times().at(slot.end)));
    }
}

/// For which servers something is, by the options of a command.
pub(super) fn scope_of(server: Option<String>, label: Option<String>) -> Result<ScopeView, Failed> {
    match (server, label) {
        (Some(server), _) => Ok(ScopeView::Server { server }),
        (None, Some(label)) => match label.split_once('=') {
            Some((name, value)) => Ok(ScopeView::Label { name: name.to_owned(), value: value.to_owned() }),
            None => Err(Failed::usage(format!("--label {label:?}: write it as NAME=VALUE"))),
        },
        (None, None) => Ok(ScopeView::Account),
    }
}

pub(super) fn scope(scope: &ScopeView) -> String {
    match scope {
        ScopeView::Server { server } => format!("server {server}"),
        ScopeView::Label { name, value } => format!("label {name}={value}"),
        ScopeView::Account => "all servers".to_owned(),
    }
}

fn opens(screen: &Screen, opens: &OpensView) -> String {
    let times = screen.times();
    match (&opens.cron, &opens.duration, opens.start, opens.end) {
        (Some(cron), Some(duration), _, _) => {
            format!("\"{cron}\" {} for {duration}", opens.timezone.as_deref().unwrap_or("UTC"))
        }
        (_, _, Some(start), Some(end)) => format!("once, {} to {}", times.at(start), times.at(end)),
        _ => String::new(),
    }
}

fn list(screen: &Screen, windows: &[WindowView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["window", "owner", "for", "opens", "next"]);
    for window in windows {
        rows.push(vec![
            window.id.to_string(),
            window.owner.to_string(),
            scope(&window.scope),
            opens(screen, &window.opens),
            window.next.first().map_or_else(|| "never again".to_owned(), |slot| times.both(slot.start)),
        ]);
    }
    screen.table(&rows, "No window is set, so the default ones of the policy hold: drover policy show");
}
