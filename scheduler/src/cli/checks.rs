//! Checks: what servers are looked at for after a move.

use drover_policies::ids::IdSource;

use super::args::{CheckAdd, Checks};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::windows::{scope, scope_of};
use super::{Context, part};
use crate::clock::RandomIds;
use crate::http::views::{CheckBody, CheckView, FindingView};

pub(super) async fn checks(context: &Context, command: Checks) -> Result<(), Failed> {
    match command {
        Checks::List { owner } => {
            let query: Vec<Parameter> = owner.map(|owner| ("owner", owner)).into_iter().collect();
            let answer: Answer<Vec<CheckView>> = context.client.list("/v1/checks", &query, None).await?;
            context.show(&answer, |screen, checks| list(screen, checks));
        }
        Checks::Add(add) => {
            let body = body(add)?;
            // The id is ours, so that a repeat after a lost answer is the same check.
            let path = format!("/v1/checks/{}", RandomIds.next());
            let answer: Answer<CheckView> = context.client.put(&path, &body).await?;
            context.show(&answer, |screen, check| {
                screen.line(format!(
                    "Added {}: {} ({}) for {}",
                    check.id,
                    check.name,
                    what(check),
                    scope(&check.scope)
                ));
            });
        }
        Checks::Remove { check } => {
            context.client.delete(&format!("/v1/checks/{}", part(&check))).await?;
            if !context.screen.json {
                context.screen.line("Removed.");
            }
        }
    }
    Ok(())
}

fn body(add: CheckAdd) -> Result<CheckBody, Failed> {
    let scope = scope_of(add.holds.server, add.holds.label)?;
    let (check, port) = match (add.tcp, &add.http) {
        (Some(port), None) => ("tcp", Some(port)),
        (None, Some(_)) => ("http", add.port),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Failed::usage("say what is looked at: --tcp 22, or --http /health"));
        }
    };
    Ok(CheckBody {
        owner: add.holds.owner,
        scope,
        name: add.name,
        check: check.to_owned(),
        port,
        path: add.http,
        tls: add.tls.then_some(true),
        expect: add.expect,
        address: add.address,
        must_pass: add.advisory.then_some(false),
        within: add.within,
    })
}

fn what(check: &CheckView) -> String {
    let at = check.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    match &check.path {
        Some(path) => {
            let scheme = if check.tls == Some(true) { "https" } else { "http" };
            let expect = check.expect.map(|status| format!(" {status}")).unwrap_or_default();
            format!("{scheme} {} {path}{expect}{at}", check.port)
        }
        None => format!("tcp {}{at}", check.port),
    }
}

fn list(screen: &Screen, checks: &[CheckView]) {
    let mut rows = Rows::new(&["check", "owner", "name", "for", "looks at", "must pass", "within"]);
    for check in checks {
        rows.push(vec![
            check.id.to_string(),
            check.owner.to_string(),
            check.name.clone(),
            scope(&check.scope),
            what(check),
            if check.must_pass { "yes" } else { "no" }.to_owned(),
            check.within.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    screen.table(&rows, "No check is set; those of policy hold all the same (validation.checks)");
}

/// What a server was looked at for where it arrived.
pub(super) fn findings(screen: &Screen, findings: &[FindingView]) {
    let mut rows = Rows::new(&["looked at", "result", "seen"]);
    for finding in findings {
        let (result, tone) = match (finding.verdict.as_str(), finding.must_pass) {
            ("passed", _) => ("passed", Tone::Good),
            ("failed", true) => ("FAILED", Tone::Bad),
            ("failed", false) => ("failed, only noted", Tone::Busy),
            ("failed_before", _) => ("failed before as well", Tone::Busy),
            _ => ("not looked at", Tone::Faint),
        };
        rows.push_toned(vec![
            (finding.name.clone(), Tone::Plain),
            (result.to_owned(), tone),
            (finding.seen.clone(), Tone::Plain),
        ]);
    }
    screen.table(&rows, "");
}
