//! Bringing servers of other kinds of hypervisors here.

use std::path::Path;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{ImportServer, Imports};
use super::client::{Answer, Parameter};
use super::exit::{Exit, Failed};
use super::migrations::line;
use super::screen::{Rows, Screen, Tone};
use super::sse::{Came, Following};
use super::words::bytes;
use super::{Context, part};
use crate::http::views::{EventView, ImportProgress, ImportView, NewImport};

/// `drover import FILE`.
pub(super) async fn import(context: &Context, asked: ImportServer) -> Result<(), Failed> {
    let ImportServer { file, host, cluster, start, follow } = asked;
    let body = NewImport { host: Some(host), cluster, start, ..read(&file)? };
    let answer: Answer<ImportView> = context.client.post("/v1/imports", &json!(body)).await?;
    if follow {
        return self::follow(context, &answer.value).await;
    }
    context.show(&answer, |screen, import| {
        screen.line(format!(
            "{0} is to be imported to {1} ({2}).\nFollow it with: drover imports log --follow {0}",
            import.server_name, import.host, import.host_why
        ));
    });
    Ok(())
}

fn read(file: &Path) -> Result<NewImport, Failed> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failed::usage(format!("{shown} can't be read: {error}")))?;
    toml::from_str(&text).map_err(|error| Failed::usage(format!("{shown} is not as it should be: {error}")))
}

/// `drover imports …`.
pub(super) async fn imports(context: &Context, command: Imports) -> Result<(), Failed> {
    match command {
        Imports::List { all, host, state, listing } => {
            let mut query: Vec<Parameter> = Vec::new();
            query.extend(all.then(|| ("only", "all".to_owned())));
            query.extend(host.map(|host| ("host", host)));
            query.extend(state.map(|state| ("state", state)));
            let answer: Answer<Vec<ImportView>> =
                context.client.list("/v1/imports", &query, listing.limit).await?;
            context
                .show(&answer, |screen, imports| screen.table(&rows(imports), "Nothing is being imported."));
            Ok(())
        }
        Imports::Show { import } => {
            let answer: Answer<ImportView> = context.client.get(&path(&import, ""), &[]).await?;
            context.show(&answer, show);
            Ok(())
        }
        Imports::Log { import, follow: false } => log(context, &import).await,
        Imports::Log { import, follow: true } => {
            let known: Answer<ImportView> = context.client.get(&path(&import, ""), &[]).await?;
            follow(context, &known.value).await
        }
        Imports::Cancel { import } => {
            let said = |import: &ImportView| {
                format!(
                    "The import of {} is being cancelled; what was done is cleared away.",
                    import.server_name
                )
            };
            context.ask(&path(&import, "/cancel"), said).await
        }
        Imports::Retry { import, anew } => {
            let body = json!({ "anew": anew });
            let answer: Answer<ImportView> = context.client.post(&path(&import, "/retry"), &body).await?;
            context.show(&answer, |screen, import| {
                screen.line(format!(
                    "The import of {0} to {1} is tried again. Follow it with: drover imports log --follow {0}",
                    import.server_name, import.host
                ));
            });
            Ok(())
        }
    }
}

fn path(import: &str, what: &str) -> String {
    format!("/v1/imports/{}{what}", part(import))
}

async fn log(context: &Context, import: &str) -> Result<(), Failed> {
    let query: [Parameter; 1] = [("import", import.to_owned())];
    let answer: Answer<Vec<EventView>> = context.client.list("/v1/events", &query, None).await?;
    if context.screen.json {
        for event in answer.json["items"].as_array().into_iter().flatten() {
            context.screen.json_line(event);
        }
    } else {
        for event in &answer.value {
            context.screen.line(line(&context.screen, event));
        }
    }
    Ok(())
}

/// Its whole log, and what follows, until it has come to an end or needs a person.
async fn follow(context: &Context, import: &ImportView) -> Result<(), Failed> {
    let screen = &context.screen;
    let query: Vec<Parameter> = vec![("import", import.id.to_string())];
    let mut following = Following::open(&context.client, query, Some(0)).await?;
    // Once, before the loop: one that is listened to anew in each round misses what comes between two rounds.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failed::refused(format!("signals can't be listened to: {error}")))?;
    let mut shown = Shown::default();
    loop {
        let came = tokio::select! {
            came = following.next() => came?,
            _ = interrupt.recv() => {
                eprintln!("The import goes on. Come back with: drover imports log --follow {}", import.server_name);
                return Err(Failed::new(Exit::Interrupted, ""));
            }
        };
        match came {
            Came::Event(event, json) => {
                if screen.json {
                    screen.json_line(&json!({ "event": json }));
                } else {
                    screen.line(line(screen, &event));
                }
                if may_be_the_end(&event)
                    && let Some(end) = ended(context, import, &event).await?
                {
                    return end;
                }
            }
            Came::Import(_, json) if screen.json => screen.json_line(&json!({ "import": json })),
            Came::Import(figures, _) => {
                if let Some(line) = shown.next(&figures.progress) {
                    screen.line(screen.paint(&line, Tone::Faint));
                }
            }
            Came::Progress(..) | Came::Replica(..) | Came::Back => {}
            Came::Lost(why) => eprintln!("drover: {why}; connecting again (the import goes on meanwhile)"),
        }
    }
}

/// Whether an event may tell an end.
fn may_be_the_end(event: &EventView) -> bool {
    let what = event.figures.as_ref().and_then(|figures| figures["what"]["import"].as_str());
    what.is_some_and(|what| ["failed", "imported", "cancelled"].contains(&what))
}

/// How an import has come to an end or needs a person, if it is this event that says so: one that failed before may have been retried.
async fn ended(
    context: &Context,
    import: &ImportView,
    event: &EventView,
) -> Result<Option<Result<(), Failed>>, Failed> {
    let now: Answer<ImportView> = context.client.get(&path(&import.id.to_string(), ""), &[]).await?;
    if now.value.since != Some(event.at) {
        return Ok(None);
    }
    let name = &now.value.server_name;
    Ok(match now.value.state.as_str() {
        "imported" => Some(Ok(())),
        "cancelled" => Some(Err(Failed::refused(format!("the import of {name} was cancelled")))),
        "failed" => {
            let hint = format!(
                "Go on with: drover imports retry {name} (or give it up: drover imports cancel {name})"
            );
            Some(Err(Failed::new(Exit::NeedsPerson, format!("the import of {name} failed")).hint(hint)))
        }
        _ => None,
    })
}

/// Figures come several times a second; a line is worth each tenth of the copying.
#[derive(Default)]
struct Shown {
    tenth: Option<u64>,
}

impl Shown {
    fn next(&mut self, progress: &ImportProgress) -> Option<String> {
        if progress.step != "copy" {
            return None;
        }
        let tenth = (progress.done_bytes * 10).checked_div(progress.total_bytes)?;
        if self.tenth.replace(tenth) == Some(tenth) {
            return None;
        }
        let (done, total) = (bytes(progress.done_bytes), bytes(progress.total_bytes));
        Some(format!("{done} of {total} copied after {} s", progress.seconds))
    }
}

fn standing(import: &ImportView) -> String {
    let percent = |progress: &ImportProgress| {
        (progress.done_bytes * 100).checked_div(progress.total_bytes).filter(|_| progress.step == "copy")
    };
    match &import.progress {
        Some(progress) => match percent(progress) {
            Some(percent) => format!("{} {percent} %", progress.text),
            None => progress.text.clone(),
        },
        None => import.state.clone(),
    }
}

fn tone(import: &ImportView) -> Tone {
    match import.state.as_str() {
        "failed" => Tone::Bad,
        "imported" => Tone::Good,
        "cancelled" => Tone::Faint,
        _ => Tone::Busy,
    }
}

fn rows(imports: &[ImportView]) -> Rows {
    let mut rows = Rows::new(&["server", "state", "to", "asked by"]);
    for import in imports {
        rows.push_toned(vec![
            (import.server_name.clone(), Tone::Plain),
            (standing(import), tone(import)),
            (import.host.to_string(), Tone::Plain),
            (import.asked_by.to_string(), Tone::Plain),
        ]);
    }
    rows
}

fn show(screen: &Screen, import: &ImportView) {
    let mut facts = vec![
        ("Server", format!("{} ({})", import.server_name, import.server)),
        ("State", import.state.clone()),
        ("To", format!("{} ({})", import.host, import.host_why)),
    ];
    facts.extend(import.progress.is_some().then(|| ("Now", standing(import))));
    if let Some(failure) = &import.failure {
        facts.push(("Failed", failure.text.clone().unwrap_or_else(|| failure.meaning.clone())));
    }
    for (host, why) in &import.refused_by {
        facts.push(("Not at", format!("{host}: {why}")));
    }
    if let Some(found) = &import.found {
        facts.push(("System", found.system.clone().unwrap_or_else(|| "not recognised".to_owned())));
        let virtio = if found.virtio { "yes" } else { "NO: disks and interfaces are emulated" };
        facts.push(("Virtio", virtio.to_owned()));
        facts.extend(found.warnings.iter().map(|warning| ("Warning", warning.clone())));
    }
    facts.extend(import.resources.iter().map(|(name, amount)| ("Takes", format!("{amount} {name}"))));
    for disk in &import.disks {
        facts.push((
            "Disk",
            format!("{}: {} becomes {} ({})", disk.target, disk.source, disk.path, disk.format),
        ));
    }
    facts.push(("Asked", format!("{} by {}", screen.times().ago(import.opened_at), import.asked_by)));
    screen.facts(&facts);
}
