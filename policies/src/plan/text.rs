//! A plan as people read it, on a terminal or in a mail.

use std::fmt::{self, Write as _};

use super::{Decision, Plan, Planned};
use crate::attempt::Method;
use crate::eligibility::WhyNotLive;
use crate::planner::Report;

const HEAD: [&str; 5] = ["SERVER", "METHOD", "TO", "EXPECTED", "WHY"];

/// A table per host, then what blocks, what is waited for, and what to look at.
#[must_use]
pub fn text(plan: &Plan, report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string can't fail; the result only exists because of the trait.
    let _infallible = write_all(&mut out, plan, report);
    out
}

fn write_all(out: &mut String, plan: &Plan, report: &Report) -> fmt::Result {
    for (host, servers) in &plan.hosts {
        match servers.len() {
            0 => writeln!(out, "{host}: nothing to move")?,
            1 => writeln!(out, "{host}: 1 server")?,
            n => writeln!(out, "{host}: {n} servers")?,
        }
        table(out, servers)?;
    }
    blocked(out, plan)?;
    section(out, "Waits for:", &report.waits)?;
    section(out, "Please note:", &report.warnings)?;
    writeln!(out, "{report}")
}

fn table(out: &mut String, servers: &[Planned]) -> fmt::Result {
    if servers.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; 5]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(servers.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for [server, method, to, expected, why] in &rows {
        let [a, b, c, d] = widths;
        writeln!(out, "  {server:a$}  {method:b$}  {to:c$}  {expected:d$}  {why}")?;
    }
    Ok(())
}

fn row(planned: &Planned) -> [String; 5] {
    let method = match &planned.decision {
        Decision::Live { .. } => "live",
        Decision::Reboot { why: WhyNotLive::NotRunning, .. } => "off",
        Decision::Reboot { .. } => "reboot",
        Decision::Blocked { .. } => "blocked",
        Decision::NoPlace { .. } => "no place",
    };
    let why = match &planned.decision {
        Decision::Live { .. } => planned.place_why.clone(),
        Decision::Reboot { why, .. } => format!("{}: {why}; {}", why.code(), planned.place_why),
        Decision::Blocked { why, .. } => format!("{}: {why}", why.code()),
        Decision::NoPlace { why, .. } => format!("no_place: {why}; {}", why.hint()),
    };
    let why = match &planned.blueprint {
        Some(blueprint) => format!("{why}; its blueprint: {blueprint}"),
        None => why,
    };
    let to = planned.decision.to().map_or_else(|| "-".to_owned(), ToString::to_string);
    let expected = match (&planned.expected, planned.decision.method()) {
        (Some(expected), Some(Method::Live)) => {
            format!("{}, still at most {}", expected.duration.rounded(), expected.downtime_p90.rounded())
        }
        (Some(expected), Some(Method::Reboot) | None) => format!("down {}", expected.downtime.rounded()),
        (None, _) => "-".to_owned(),
    };
    [planned.name.clone(), method.to_owned(), to, expected, why]
}

/// Only what the table had no room for: a server with more than one thing in its way.
fn blocked(out: &mut String, plan: &Plan) -> fmt::Result {
    let mut lines = Vec::new();
    for planned in plan.servers() {
        if let Decision::Blocked { also, .. } = &planned.decision {
            lines.extend(
                also.iter().map(|why| format!("{} is also blocked by {}: {why}", planned.name, why.code())),
            );
        }
    }
    section(out, "Also in the way:", &lines)
}

fn section<T: fmt::Display>(out: &mut String, title: &str, lines: &[T]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}
