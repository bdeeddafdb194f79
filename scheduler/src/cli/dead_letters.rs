//! Dead letters.

use super::args::DeadLetters;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen};
use super::{Context, part};
use crate::http::views::{DeadLetterView, ReplayBody, Replayed};

pub(super) async fn dead_letters(context: &Context, command: DeadLetters) -> Result<(), Failed> {
    match command {
        DeadLetters::List { channel, owner, listing } => {
            let mut query: Vec<Parameter> = channel.map(|channel| ("channel", channel)).into_iter().collect();
            query.extend(owner.map(|owner| ("owner", owner)));
            let answer: Answer<Vec<DeadLetterView>> =
                context.client.list("/v1/dead-letters", &query, listing.limit).await?;
            context.show(&answer, |screen, letters| list(screen, letters));
        }
        DeadLetters::Replay { letter: Some(letter), channel: _ } => {
            let path = format!("/v1/dead-letters/{}/replay", part(&letter));
            context.ask(&path, |replayed: &Replayed| said(*replayed)).await?;
        }
        DeadLetters::Replay { letter: None, channel: Some(channel) } => {
            let body = ReplayBody { channel };
            let answer: Answer<Replayed> = context.client.post("/v1/dead-letters/replay", &body).await?;
            context.show(&answer, |screen, replayed| screen.line(said(*replayed)));
        }
        DeadLetters::Replay { letter: None, channel: None } => {
            return Err(Failed::usage("say which: its number, or --channel CHANNEL for all of a channel"));
        }
    }
    Ok(())
}

fn said(replayed: Replayed) -> String {
    match replayed.replayed {
        1 => "On its way again. drover tickets show DR-… says whether it has arrived.".to_owned(),
        many => format!("{many} are on their way again."),
    }
}

fn list(screen: &Screen, letters: &[DeadLetterView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["letter", "channel", "about", "told", "owner", "given up", "what went wrong"]);
    for letter in letters {
        rows.push(vec![
            letter.id.to_string(),
            letter.channel.clone(),
            letter.ticket.as_ref().or(letter.maintenance.as_ref()).cloned().unwrap_or_default(),
            letter.kind.replace('_', " "),
            letter.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            times.at(letter.failed_at),
            letter.problem.clone(),
        ]);
    }
    screen.table(&rows, "No message was given up.");
}
