//! Policies: checked here, shown from there.

use std::path::PathBuf;

use drover_policies::policy::PolicySet;
use serde_json::json;

use super::client::Answer;
use super::exit::Failed;
use super::explain::rules;
use super::screen::{Screen, Tone};
use super::words::count;
use super::{Context, part};
use crate::http::views::{Explanation, PolicyRuleView, PolicyView};

fn texts(files: &[PathBuf]) -> Result<Vec<(String, String)>, Failed> {
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .map(|text| (file.display().to_string(), text))
            .map_err(|error| Failed::usage(format!("{} can't be read: {error}", file.display())))
    };
    files.iter().map(read).collect()
}

/// Reads files that have to be in order; none for what holds where nobody sets anything.
pub(super) fn read_files(files: &[PathBuf]) -> Result<PolicySet, Failed> {
    let texts = texts(files)?;
    let named: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    PolicySet::parse(&named).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        Failed::usage(first).hint("`drover policy check` shows all of it.")
    })
}

/// Checks files without a scheduler.
pub(super) fn check(screen: &Screen, files: &[PathBuf]) -> Result<(), Failed> {
    let texts = texts(files)?;
    let named: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    match PolicySet::parse(&named) {
        Ok(_) => {
            if screen.json {
                screen.json(&json!({ "ok": true, "problems": [] }));
            } else {
                screen.line(format!("{} in order.", count(files.len(), "file")));
            }
            Ok(())
        }
        Err(problems) => {
            if screen.json {
                screen.json(&json!({ "ok": false, "problems": problems }));
            } else {
                for problem in &problems {
                    screen.line(screen.paint(&problem.to_string(), Tone::Plain));
                }
            }
            Err(Failed::refused(format!("{} found", count(problems.len(), "problem"))))
        }
    }
}

/// A rule: its name, whom it is about, and what it sets.
fn of_rule(screen: &Screen, rule: &PolicyRuleView) {
    let holds = rule.servers.map(|servers| format!(", holds for {}", count(servers, "server")));
    let about = format!("{}{}", rule.about, holds.unwrap_or_default());
    let name = format!("{:?}, {}", rule.name, rule.said_by);
    let sets = rule.sets.iter().map(|(setting, value)| (setting.as_str(), value.to_string()));
    let facts = [("rule", name), ("about", about)].into_iter().chain(sets);
    screen.facts(&facts.collect::<Vec<_>>());
}

/// Shows what is in force.
pub(super) async fn show(context: &Context, server: Option<&str>) -> Result<(), Failed> {
    match server {
        None => {
            let answer: Answer<PolicyView> = context.client.get("/v1/policy", &[]).await?;
            context.show(&answer, |screen, policy| {
                screen.table(&rules(&policy.settings.iter().collect::<Vec<_>>()), "no settings");
                for rule in &policy.rules {
                    screen.line("");
                    of_rule(screen, rule);
                }
            });
        }
        Some(server) => {
            let path = format!("/v1/servers/{}/explain", part(server));
            let answer: Answer<Explanation> = context.client.get(&path, &[]).await?;
            context.show(&answer, |screen, explained| {
                screen.table(&rules(&explained.rules.iter().collect::<Vec<_>>()), "no settings");
            });
        }
    }
    Ok(())
}
