//! Owners and tokens.

use serde_json::json;

use super::args::{Owners, Role, Tokens};
use super::client::Answer;
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::{Context, part};
use crate::http::views::{ContactBody, ContactView, IssuedToken, RoleView, TokenView};

pub(super) async fn owners(context: &Context, command: Owners) -> Result<(), Failed> {
    match command {
        Owners::List => {
            let answer: Answer<Vec<ContactView>> = context.client.list("/v1/owners", &[], None).await?;
            context.show(&answer, |screen, owners| {
                let mut rows = Rows::new(&["owner", "name", "mail", "zone", "language"]);
                for owner in owners {
                    let mail = if owner.mail.is_empty() {
                        ("none: hears of nothing".to_owned(), Tone::Bad)
                    } else {
                        (owner.mail.join(", "), Tone::Plain)
                    };
                    rows.push_toned(vec![
                        (owner.owner.to_string(), Tone::Plain),
                        (owner.name.clone(), Tone::Plain),
                        mail,
                        (owner.timezone.clone(), Tone::Plain),
                        (owner.language.to_string(), Tone::Plain),
                    ]);
                }
                screen.table(
                    &rows,
                    "No owner can be reached yet. Add one: drover owners set OWNER --mail ADDRESS",
                );
            });
        }
        Owners::Show { owner } => {
            let path = format!("/v1/owners/{}", part(&owner));
            let answer: Answer<ContactView> = context.client.get(&path, &[]).await?;
            context.show(&answer, show);
        }
        Owners::Set { owner, name, mail, zone, language, no_reminders } => {
            let body = ContactBody { name, mail, timezone: zone, language, reminders: !no_reminders };
            let path = format!("/v1/owners/{}", part(&owner));
            let answer: Answer<ContactView> = context.client.put(&path, &body).await?;
            context.show(&answer, show);
        }
    }
    Ok(())
}

fn show(screen: &Screen, owner: &ContactView) {
    let mail =
        if owner.mail.is_empty() { "none: hears of nothing".to_owned() } else { owner.mail.join(", ") };
    screen.facts(&[
        ("owner", owner.owner.to_string()),
        ("name", owner.name.clone()),
        ("mail", mail),
        ("zone", owner.timezone.clone()),
        ("language", owner.language.to_string()),
        ("reminders", if owner.reminders { "mailed" } else { "not mailed" }.to_owned()),
    ]);
}

pub(super) async fn tokens(context: &Context, command: Tokens) -> Result<(), Failed> {
    match command {
        Tokens::List => {
            let answer: Answer<Vec<TokenView>> = context.client.list("/v1/tokens", &[], None).await?;
            context.show(&answer, |screen, tokens| list(screen, tokens));
        }
        Tokens::Create { role, subject, note } => {
            let role = match role {
                Role::Operator => "operator",
                Role::Owner => "owner",
                Role::Agent => "agent",
            };
            let mut body = json!({ "role": role, "subject": subject.unwrap_or_default() });
            if let Some(note) = note {
                body["note"] = note.into();
            }
            let answer: Answer<IssuedToken> = context.client.post("/v1/tokens", &body).await?;
            context.show(&answer, |screen, issued| match &issued.secret {
                Some(secret) => {
                    screen.line(secret);
                    // Beside the token, so that `drover tokens create … > file` keeps the token alone.
                    eprintln!("This is shown once. Revoke it with: drover tokens revoke {}", issued.token.id);
                }
                None => screen.line(format!(
                    "The token was issued, but its answer was lost on the way. Revoke it and issue another: drover tokens revoke {}",
                    issued.token.id
                )),
            });
        }
        Tokens::Revoke { token } => {
            context.client.delete(&format!("/v1/tokens/{}", part(&token))).await?;
            if !context.screen.json {
                context.screen.line("Revoked.");
            }
        }
    }
    Ok(())
}

fn list(screen: &Screen, tokens: &[TokenView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["token", "for", "name", "note", "issued", "last used", "state"]);
    for token in tokens {
        let role = match token.role {
            RoleView::Operator => "operator",
            RoleView::Owner => "owner",
            RoleView::Agent => "agent",
        };
        let state = match token.revoked_at {
            Some(at) => (format!("revoked {}", times.ago(at)), Tone::Faint),
            None => ("valid".to_owned(), Tone::Good),
        };
        rows.push_toned(vec![
            (token.id.to_string(), Tone::Plain),
            (role.to_owned(), Tone::Plain),
            (token.subject.clone(), Tone::Plain),
            (token.note.clone().unwrap_or_default(), Tone::Faint),
            (times.ago(token.created_at), Tone::Plain),
            (token.last_used_at.map_or_else(|| "never".to_owned(), |at| times.ago(at)), Tone::Plain),
            state,
        ]);
    }
    screen.table(&rows, "No token.");
}
