//! Webhooks.

use super::args::Webhooks;
use super::client::{Answer, Parameter};
use super::exit::{Exit, Failed};
use super::screen::{Rows, Screen, Tone};
use super::{Context, part};
use crate::http::views::{IssuedWebhook, RotateBody, TestedWebhook, WebhookBody, WebhookView};

pub(super) async fn webhooks(context: &Context, command: Webhooks) -> Result<(), Failed> {
    match command {
        Webhooks::List { owner } => {
            let query: Vec<Parameter> = owner.map(|owner| ("owner", owner)).into_iter().collect();
            let answer: Answer<Vec<WebhookView>> = context.client.list("/v1/webhooks", &query, None).await?;
            context.show(&answer, |screen, webhooks| list(screen, webhooks));
        }
        Webhooks::Add { url, kinds, owner } => {
            let body = WebhookBody { url, kinds: kinds.into_iter().collect(), owner };
            let answer: Answer<IssuedWebhook> = context.client.post("/v1/webhooks", &body).await?;
            context.show(&answer, |screen, issued| {
                screen.line(format!(
                    "Added {}. Events are signed with this secret, which is shown only now:",
                    issued.webhook.id
                ));
                screen.line(issued.secret.as_deref().unwrap_or("it was shown before"));
            });
        }
        Webhooks::Rotate { webhook, grace } => {
            let path = format!("/v1/webhooks/{}/rotate", part(&webhook));
            let answer: Answer<IssuedWebhook> = context.client.post(&path, &RotateBody { grace }).await?;
            context.show(&answer, |screen, issued| {
                let before = match issued.webhook.replaced_until {
                    Some(until) => format!("until {} also with the one before", screen.times().at(until)),
                    None => "from now on with no other".to_owned(),
                };
                screen.line(format!(
                    "Events of {} are signed with this secret, which is shown only now, {before}:",
                    issued.webhook.id
                ));
                screen.line(issued.secret.as_deref().unwrap_or("it was shown before"));
            });
        }
        Webhooks::Remove { webhook } => {
            context.client.delete(&format!("/v1/webhooks/{}", part(&webhook))).await?;
            if !context.screen.json {
                context.screen.line("Removed. What waited for it is not sent any more.");
            }
        }
        Webhooks::Test { webhook } => {
            let path = format!("/v1/webhooks/{}/test", part(&webhook));
            let answer: Answer<TestedWebhook> = context.client.post(&path, &serde_json::json!({})).await?;
            context.show(&answer, |screen, tested| screen.line(said(tested)));
            if !answer.value.arrived {
                return Err(Failed::new(Exit::Refused, "the test event did not arrive"));
            }
        }
    }
    Ok(())
}

fn said(tested: &TestedWebhook) -> String {
    match (&tested.problem, tested.status) {
        (Some(problem), _) => format!("Not taken: {problem}"),
        (None, Some(status)) => format!("Taken, with status {status}."),
        (None, None) => "Taken.".to_owned(),
    }
}

fn list(screen: &Screen, webhooks: &[WebhookView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["webhook", "owner", "url", "hears", "state"]);
    for webhook in webhooks {
        let kinds: Vec<&str> = webhook.kinds.iter().map(String::as_str).collect();
        let state = match (webhook.disabled_at, &webhook.disabled_because) {
            (None, _) => {
                let changes = webhook
                    .replaced_until
                    .map(|until| format!(", signed with a replaced secret too until {}", times.at(until)));
                (format!("in use{}", changes.unwrap_or_default()), Tone::Good)
            }
            (Some(at), why) => {
                (format!("disabled {}: {}", times.at(at), why.as_deref().unwrap_or_default()), Tone::Bad)
            }
        };
        rows.push_toned(vec![
            (webhook.id.clone(), Tone::Plain),
            (webhook.owner.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string), Tone::Plain),
            (webhook.url.clone(), Tone::Plain),
            (if kinds.is_empty() { "everything".to_owned() } else { kinds.join(", ") }, Tone::Plain),
            state,
        ]);
    }
    screen.table(&rows, "No webhook. drover webhooks add https://… adds one.");
}
