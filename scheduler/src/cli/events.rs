//! What happened, and what happens.

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::args::Events;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::migrations::line;
use super::sse::{Came, Following};
use crate::http::views::EventView;

pub(super) async fn events(context: &Context, which: Events) -> Result<(), Failed> {
    let mut query: Vec<Parameter> = Vec::new();
    query.extend(which.maintenance.map(|maintenance| ("maintenance", maintenance)));
    query.extend(which.migration.map(|migration| ("migration", migration)));
    query.extend(which.server.map(|server| ("server", server)));
    query.extend(which.import.map(|import| ("import", import)));
    if which.follow {
        return follow(context, query, which.after).await;
    }
    let mut listed = query.clone();
    listed.extend(which.after.map(|after| ("after", after.to_string())));
    let answer: Answer<Vec<EventView>> = context.client.list("/v1/events", &listed, None).await?;
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

async fn follow(context: &Context, query: Vec<Parameter>, after: Option<i64>) -> Result<(), Failed> {
    let screen = &context.screen;
    let mut following = Following::open(&context.client, query, after).await?;
    // Once, before the loop: one that is listened to anew in each round misses what comes between two rounds.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failed::refused(format!("signals can't be listened to: {error}")))?;
    loop {
        let came = tokio::select! {
            came = following.next() => came?,
            _ = interrupt.recv() => return Ok(()),
        };
        match came {
            Came::Event(_, json) if screen.json => screen.json_line(&json!({ "event": json })),
            Came::Progress(_, json) if screen.json => screen.json_line(&json!({ "progress": json })),
            Came::Replica(_, json) if screen.json => screen.json_line(&json!({ "replica": json })),
            Came::Import(_, json) if screen.json => screen.json_line(&json!({ "import": json })),
            Came::Event(event, _) => screen.line(line(screen, &event)),
            // Figures are for displays; a list of what happens would drown in them.
            Came::Progress(..) | Came::Replica(..) | Came::Import(..) | Came::Back => {}
            Came::Lost(why) => eprintln!("drover: {why}; connecting again"),
        }
    }
}
