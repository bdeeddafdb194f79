//! Why a server is treated as it is.

use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::hosts::show_server;
use super::screen::{Rows, Screen, Tone};
use super::windows::scope;
use super::words::milliseconds;
use super::{Context, part};
use crate::http::views::{Explanation, RuleView};

pub(super) async fn explain(context: &Context, server: &str, at: Option<&str>) -> Result<(), Failed> {
    let path = format!("/v1/servers/{}/explain", part(server));
    let at = at.map(|at| context.screen.times().parse(at)).transpose()?;
    let query: Vec<Parameter> =
        at.map(|at| ("at", at.format("%Y-%m-%dT%H:%M:%SZ").to_string())).into_iter().collect();
    let answer: Answer<Explanation> = context.client.get(&path, &query).await?;
    context.show(&answer, tell);
    Ok(())
}

fn tell(screen: &Screen, explained: &Explanation) {
    show_server(screen, &explained.server);
    screen.line("");
    let why = explained.why.as_ref();
    let how = match (explained.method.as_str(), why) {
        ("live", _) => "It can be moved live.".to_owned(),
        ("reboot", Some(why)) => format!("It can be moved by a reboot only: {} [{}]", why.text, why.code),
        ("nothing", Some(why)) => format!("It can't be moved at present: {} [{}]", why.text, why.code),
        (method, _) => method.to_owned(),
    };
    let tone = match explained.method.as_str() {
        "live" => Tone::Good,
        "nothing" => Tone::Bad,
        _ => Tone::Busy,
    };
    screen.line(screen.paint(&how, tone));
    for obstacle in explained.obstacles.iter().filter(|obstacle| Some(*obstacle) != why) {
        screen.line(format!("Also in the way: {} [{}]", obstacle.text, obstacle.code));
    }
    if let Some(decided) = &explained.decided {
        if let (Some(to), why) = (&decided.to, decided.why_there.as_deref().unwrap_or_default()) {
            screen.line(format!("It goes to {to}: {why}"));
        }
        let why = decided.why_then.as_deref();
        match (&decided.when, why) {
            (Some(slot), Some(why)) => {
                screen.line(format!("Its time is {}: {why}", screen.times().both(slot.start)));
            }
            (None, Some(why)) => screen.line(format!("Its time: {why}")),
            (_, None) => {}
        }
    }
    if let Some(waits) = &explained.waits_for {
        screen.line(format!("It waits for {}", waits.text));
    }
    if let Some(blueprint) = &explained.blueprint {
        screen.line(format!("By its blueprint, at its next launch by a reboot: {blueprint}"));
    }
    screen.line(format!(
        "A reboot migration is expected to take it down for {}.",
        milliseconds(explained.expected_downtime_ms)
    ));
    windows(screen, explained);
    freezes_and_limits(screen, explained);
    checks(screen, explained);
    candidate(screen, explained);
    if !explained.places.is_empty() {
        let mut rows = Rows::new(&["host", "suits", "why"]);
        for place in &explained.places {
            let (word, tone) = if place.suits { ("yes", Tone::Good) } else { ("no", Tone::Faint) };
            rows.push_toned(vec![
                (place.host.to_string(), Tone::Plain),
                (word.to_owned(), tone),
                (place.why.text.clone(), Tone::Plain),
            ]);
        }
        screen.line("\nWhere it could go, best first:");
        screen.table(&rows, "");
    }
    let set: Vec<&RuleView> = explained.rules.iter().filter(|rule| rule.said_by != "as shipped").collect();
    if !explained.rules.is_empty() {
        screen.line("\nSettings that differ from the shipped policy (all of them with --json):");
        screen.table(&rules(&set), "none");
    }
}

fn windows(screen: &Screen, explained: &Explanation) {
    let times = screen.times();
    let next: Vec<String> = explained
        .next_windows
        .iter()
        .map(|slot| format!("{} to {}", times.both(slot.start), times.at(slot.end)))
        .collect();
    screen.line(format!("Reboots may happen in {}:", explained.windows_from));
    if next.is_empty() {
        screen.line(screen.paint("  never in the next 60 days; see `drover windows list`", Tone::Bad));
    }
    for line in next {
        screen.line(format!("  {line}"));
    }
}

fn freezes_and_limits(screen: &Screen, explained: &Explanation) {
    let times = screen.times();
    for freeze in &explained.freezes {
        let next = freeze.next.first().map_or_else(
            || "nothing ahead".to_owned(),
            |slot| format!("next {} to {}", times.both(slot.start), times.at(slot.end)),
        );
        screen.line(format!("Frozen by {:?} ({}): {next}", freeze.name, from(&freeze.from)));
        if let Some(stale) = &freeze.stale {
            screen.line(screen.paint(&format!("  {} [{}]", stale.text, stale.code), Tone::Bad));
        }
    }
    for limit in &explained.limits {
        screen.line(format!("At most {} at once ({})", limit.max_simultaneous, scope(&limit.scope)));
    }
}

fn checks(screen: &Screen, explained: &Explanation) {
    for check in &explained.checks {
        let weight = if check.must_pass { "" } else { ", only noted" };
        screen.line(format!(
            "Looked at after a move: {} ({}, within {}{weight}; {})",
            check.name,
            check.looks_at,
            check.within,
            from(&check.from)
        ));
    }
    let then = match explained.on_failed_checks.as_str() {
        "hold" => "it waits to be confirmed or reverted",
        "revert" => "it goes back to where it was",
        "tell" => "its owner is told",
        other => other,
    };
    screen.line(format!("Where something that must pass has failed after a move, {then}."));
}

fn from(from: &str) -> String {
    match from {
        "policy" => "policy".to_owned(),
        nearness => format!("its owner's, for the {nearness}"),
    }
}

fn candidate(screen: &Screen, explained: &Explanation) {
    let Some(candidate) = &explained.at else { return };
    let at = screen.times().both(candidate.at);
    if candidate.hindrances.is_empty() {
        screen.line(screen.paint(&format!("Nothing stands in the way of {at}."), Tone::Good));
    }
    for why in &candidate.hindrances {
        screen.line(screen.paint(&format!("Not {at}: {} [{}]", why.text, why.code), Tone::Bad));
    }
}

/// Settings with who set them.
pub(super) fn rules(rules: &[&RuleView]) -> Rows {
    let mut rows = Rows::new(&["setting", "value", "said by"]);
    for rule in rules {
        let value = rule.value.as_str().map_or_else(|| rule.value.to_string(), ToOwned::to_owned);
        rows.push(vec![rule.setting.clone(), value, rule.said_by.clone()]);
    }
    rows
}
