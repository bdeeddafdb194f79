//! Test launches: a server tried at its destination before it is moved there.

use super::args::Test;
use super::checks::findings;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::Screen;
use super::words::milliseconds;
use super::{Context, part};
use crate::http::views::{ReplicaView, TestView};

pub(super) async fn test(context: &Context, command: Test) -> Result<(), Failed> {
    match command {
        Test::Show { server } => {
            let answer = find(context, &server).await?;
            context.show(&answer, show);
            Ok(())
        }
        Test::Launch { server } => {
            let said = |replica: &ReplicaView| {
                format!(
                    "A test of {0} is launched. Look at it with: drover test show DR-{1}\nEnd it with: drover test end DR-{1}",
                    replica.server_name, replica.number
                )
            };
            wish(context, &server, "", said).await
        }
        Test::End { server } => {
            let said = |replica: &ReplicaView| format!("The test of {} is being ended.", replica.server_name);
            wish(context, &server, "/end", said).await
        }
        Test::Passed { server } => {
            let said =
                |replica: &ReplicaView| format!("The test of {} has passed: noted.", replica.server_name);
            wish(context, &server, "/passed", said).await
        }
        Test::Failed { server } => {
            let said = |replica: &ReplicaView| {
                format!(
                    "The test of {} has failed: noted. Its migration goes on; another time for it: drover reschedule DR-{}",
                    replica.server_name, replica.number
                )
            };
            wish(context, &server, "/failed", said).await
        }
    }
}

async fn wish(
    context: &Context,
    server: &str,
    what: &str,
    said: impl FnOnce(&ReplicaView) -> String,
) -> Result<(), Failed> {
    let number = find(context, server).await?.value.number;
    context.ask(&format!("/v1/migrations/DR-{number}/replica/test{what}"), said).await
}

/// The replica of a server, by the server or by its ticket.
async fn find(context: &Context, given: &str) -> Result<Answer<ReplicaView>, Failed> {
    let number = given.strip_prefix("DR-").unwrap_or(given);
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return context.client.get(&format!("/v1/replicas/{}", part(given)), &[]).await;
    }
    let query: [Parameter; 1] = [("server", given.to_owned())];
    let found: Answer<Vec<ReplicaView>> = context.client.list("/v1/replicas", &query, Some(1)).await?;
    match found.value.first() {
        Some(replica) => context.client.get(&format!("/v1/replicas/{}", replica.id), &[]).await,
        None => Err(Failed::refused(format!(
            "no copy of {given}'s disks is kept, so there is nothing to be tested from; only servers with local disks that wait for their move \
             have one: drover replicas list"
        ))),
    }
}

fn show(screen: &Screen, replica: &ReplicaView) {
    let Some(test) = &replica.test else {
        screen.line(format!(
            "{0} was not tested yet. Launch a test with: drover test launch DR-{1}",
            replica.server_name, replica.number
        ));
        return;
    };
    for line in lines(test) {
        screen.line(line);
    }
    if !test.checks.is_empty() {
        screen.line("");
        findings(screen, &test.checks);
    }
}

fn lines(test: &TestView) -> Vec<String> {
    let mut lines = vec![format!("State    {}", test.state.replace('_', " "))];
    let mut add =
        |name: &str, text: Option<String>| lines.extend(text.map(|text| format!("{name:<9}{text}")));
    add("Guest", test.name.clone());
    add("From", test.consistent_at.map(|at| format!("its disks of {}", at.format("%Y-%m-%d %H:%M:%S UTC"))));
    add("Alive", test.alive.map(|alive| if alive { "yes" } else { "NO" }.to_owned()));
    let after = |ms| format!(", {} after its start", milliseconds(ms));
    let answered = test.answered_after_ms.map(after).unwrap_or_default();
    add("Seen", test.seen.as_ref().map(|seen| format!("{seen}{answered}")));
    let well = test.well.map(|well| if well { "passed" } else { "FAILED, see below" }.to_owned());
    let alone = || "not looked at: a test has no network unless policy names one (test.network)".to_owned();
    add("Checks", well.or_else(|| test.alive?.then(alone)));
    add("Console", test.console.clone());
    add("Until", test.until.map(|until| until.format("%Y-%m-%d %H:%M UTC").to_string()));
    add("Ended", test.ended.clone());
    add("Result", test.result.clone());
    lines
}
