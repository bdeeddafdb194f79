//! What is wrong with this installation: what the scheduler finds, and what can be seen only from here.

use drover_policies::time::{Clock, Instant, Span};

use super::Context;
use super::client::Answer;
use super::exit::{Exit, Failed};
use super::screen::{Screen, Tone};
use super::words::span;
use crate::clock::SystemClock;
use crate::http::views::{Finding, Findings, RoleView, Severity, Version, WhoAmI};

/// What two clocks may differ by.
const CLOCKS_APART: Span = Span::seconds(5);

/// An answer slower than this is worth a word.
const SLOW: Span = Span::seconds(1);

pub(super) async fn doctor(context: &Context) -> Result<(), Failed> {
    let mut items = Vec::new();
    let ended = examine(context, &mut items).await;
    let worst = items.iter().map(|item| item.severity).max().unwrap_or(Severity::Ok);
    if context.screen.json {
        context.screen.json(&serde_json::json!({ "items": items }));
    } else {
        for item in &items {
            context.screen.line(told(&context.screen, item));
        }
    }
    // What ended the examination has been told among the findings.
    ended.map_err(|failed| Failed { message: String::new(), ..failed })?;
    match worst {
        Severity::Ok | Severity::Warning => Ok(()),
        Severity::Problem => Err(Failed::new(Exit::Refused, "")),
    }
}

async fn examine(context: &Context, items: &mut Vec<Finding>) -> Result<(), Failed> {
    let client = &context.client;
    let asked = SystemClock.now();
    let version: Version = match client.get("/version", &[]).await {
        Ok(Answer { value, .. }) => value,
        Err(failed) => {
            items.push(Finding::problem(
                "scheduler",
                &failed.message,
                failed.hint.clone().unwrap_or_default(),
            ));
            return Err(failed);
        }
    };
    let answered = SystemClock.now();
    let took = Span::between(asked, answered);
    items.push(if took > SLOW {
        Finding::warning(
            "scheduler",
            format!("{} answers, but took {}", client.url(), span(took)),
            "look at its load and at the network in between",
        )
    } else {
        Finding::ok("scheduler", format!("{} answers (version {})", client.url(), version.version))
    });
    items.push(versions(&version.version));
    items.push(clock(asked, answered, version.now));
    if let Err(failed) = client.get::<serde_json::Value>("/readyz", &[]).await
        && failed.exit == Exit::Unreachable
    {
        items.push(Finding::problem(
            "readiness",
            failed.message,
            "look at the scheduler's log and its database",
        ));
    }
    let who: WhoAmI = match client.get("/v1/whoami", &[]).await {
        Ok(Answer { value, .. }) => value,
        Err(failed) => {
            items.push(Finding::problem("token", &failed.message, failed.hint.clone().unwrap_or_default()));
            return Err(failed);
        }
    };
    items.push(token(&who));
    if who.role == RoleView::Operator {
        let findings: Answer<Findings> = client.get("/v1/doctor", &[]).await?;
        items.extend(findings.value.items);
    }
    Ok(())
}

fn versions(theirs: &str) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        Finding::ok("version", format!("drover and the scheduler are both {ours}"))
    } else {
        Finding::warning(
            "version",
            format!("this drover is {ours}, the scheduler {theirs}"),
            "install the same version of both",
        )
    }
}

/// Their clock should lie between the question and the answer.
fn clock(asked: Instant, answered: Instant, theirs: Instant) -> Finding {
    let apart = Span::between(theirs, asked).max(Span::between(answered, theirs));
    if apart > CLOCKS_APART {
        Finding::warning(
            "clock",
            format!("the clocks of this machine and the scheduler are {} apart", span(apart)),
            "let both take their time from the same servers (chrony, NTP)",
        )
    } else {
        Finding::ok("clock", "this machine's clock agrees with the scheduler's")
    }
}

fn token(who: &WhoAmI) -> Finding {
    match who.role {
        RoleView::Operator => Finding::ok("token", format!("valid, operator {}", who.name)),
        RoleView::Owner => Finding::warning(
            "token",
            format!(
                "valid, but of owner {}: the rest of the installation can't be looked at with it",
                who.name
            ),
            "use an operator's token to see all",
        ),
        RoleView::Agent => Finding::problem(
            "token",
            format!("it is the token of the agent of {}", who.name),
            "give drover an operator's or owner's token: drover tokens create operator NAME",
        ),
    }
}

fn told(screen: &Screen, item: &Finding) -> String {
    let (mark, tone) = match item.severity {
        Severity::Ok => ("ok      ", Tone::Good),
        Severity::Warning => ("warning ", Tone::Busy),
        Severity::Problem => ("PROBLEM ", Tone::Bad),
    };
    let mut text = format!("{} {}", screen.paint(mark, tone), item.text);
    if !item.remedy.is_empty() {
        text.push_str(&format!("\n           what to do: {}", item.remedy));
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn clocks_are_compared_with_the_time_that_the_answer_took() {
        let at = |seconds: i64| Instant::UNIX_EPOCH + TimeDelta::seconds(seconds);
        assert_eq!(clock(at(0), at(20), at(10)).severity, Severity::Ok, "a slow answer is no skew");
        let behind = clock(at(100), at(101), at(40));
        assert_eq!(behind.severity, Severity::Warning);
        assert!(behind.text.contains("60 s apart"), "{}", behind.text);
        assert_eq!(clock(at(0), at(1), at(90)).severity, Severity::Warning);
    }

    #[test]
    fn every_finding_that_is_not_ok_says_what_to_do() {
        let screen = Screen::plain(chrono_tz::UTC);
        let text = told(&screen, &versions("9.9.9"));
        assert!(text.starts_with("warning ") && text.contains("what to do: install"), "{text}");
    }
}
