//! Replicas of local disks: how far they are, how far behind, and what a cutover with one does.

use drover_policies::replica::TEST_AHEAD;
use drover_policies::time::Span;
use serde_json::json;

use super::args::Replicas;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::words::{bytes, milliseconds, rate, span};
use super::{Context, part};
use crate::http::views::{
    CutoverEstimate, MigrationView, ReplicaFigures, ReplicaView, RoundView, RunningRoundView, ServerView,
};

pub(super) async fn replicas(context: &Context, command: Replicas) -> Result<(), Failed> {
    match command {
        Replicas::List { server, host, state, listing } => {
            let mut query: Vec<Parameter> = Vec::new();
            query.extend(server.map(|server| ("server", server)));
            query.extend(host.map(|host| ("host", host)));
            query.extend(state.map(|state| ("state", state.replace([' ', '-'], "_"))));
            let answer: Answer<Vec<ReplicaView>> =
                context.client.list("/v1/replicas", &query, listing.limit).await?;
            context.show(&answer, |screen, replicas| {
                screen.table(&rows(replicas), "No copy of local disks is kept.");
            });
        }
        Replicas::Show { replica } => {
            let answer = read(context, &replica).await?;
            context.show(&answer, show);
        }
        Replicas::Sync { replica } => {
            let said = |replica: &ReplicaView| {
                format!(
                    "A round for {} is done next. Follow it with: drover migrations watch DR-{}",
                    replica.server_name, replica.number
                )
            };
            wish(context, &replica, "sync", said).await?;
        }
        Replicas::Pause { replica } => {
            let said = |replica: &ReplicaView| {
                format!(
                    "The copy of {}'s disks is paused; its lag grows. Go on with: drover replicas resume DR-{}",
                    replica.server_name, replica.number
                )
            };
            wish(context, &replica, "pause", said).await?;
        }
        Replicas::Resume { replica } => {
            let said =
                |replica: &ReplicaView| format!("The copy of {}'s disks goes on.", replica.server_name);
            wish(context, &replica, "resume", said).await?;
        }
    }
    Ok(())
}

async fn read(context: &Context, replica: &str) -> Result<Answer<ReplicaView>, Failed> {
    context.client.get(&format!("/v1/replicas/{}", part(replica)), &[]).await
}

/// Wishes are for migrations; people may name the replica.
async fn wish(
    context: &Context,
    given: &str,
    what: &str,
    said: impl FnOnce(&ReplicaView) -> String,
) -> Result<(), Failed> {
    let migration = read(context, given).await?.value.migration;
    let path = format!("/v1/migrations/{migration}/replica/{what}");
    let answer: Answer<ReplicaView> = context.client.post(&path, &json!({})).await?;
    context.show(&answer, |screen, replica| screen.line(said(replica)));
    Ok(())
}

fn rows(replicas: &[ReplicaView]) -> Rows {
    let hosts = replicas.iter().any(|replica| replica.inside.is_some());
    let mut header = vec!["number", "server", "state", "lag", "behind", "rate"];
    if hosts {
        header.extend(["from", "to"]);
    }
    let mut rows = Rows::new(&header);
    for replica in replicas {
        let figures = &replica.figures;
        let mut row = vec![
            (format!("DR-{}", replica.number), Tone::Plain),
            (replica.server_name.clone(), Tone::Plain),
            (standing(figures), tone(figures)),
            lag(figures),
            (figures.lag_bytes.map_or_else(|| "-".to_owned(), bytes), Tone::Plain),
            (figures.round.as_ref().map_or_else(|| "-".to_owned(), |round| rate(round.rate)), Tone::Plain),
        ];
        if let (true, Some(inside)) = (hosts, &replica.inside) {
            row.push((inside.from.to_string(), Tone::Plain));
            row.push((inside.to.to_string(), Tone::Plain));
        }
        rows.push_toned(row);
    }
    rows
}

fn tone(figures: &ReplicaFigures) -> Tone {
    match figures.state.as_str() {
        "stalled" | "refused" => Tone::Bad,
        "continuous" if figures.late => Tone::Busy,
        "continuous" => Tone::Good,
        "gone" | "releasing" => Tone::Faint,
        _ => Tone::Busy,
    }
}

/// For a column: how old the copy is.
pub(super) fn lag(figures: &ReplicaFigures) -> (String, Tone) {
    match figures.lag_seconds {
        Some(seconds) => (span(Span::seconds(seconds)), if figures.late { Tone::Bad } else { Tone::Plain }),
        None => ("-".to_owned(), Tone::Faint),
    }
}

/// Its state, and how far the first copy is.
pub(super) fn standing(figures: &ReplicaFigures) -> String {
    match figures.initial_percent {
        Some(percent) => format!("{} {percent} %", figures.text),
        None => figures.text.clone(),
    }
}

/// How far what is being done is, 0 to 100.
pub(super) fn percent(figures: &ReplicaFigures) -> u64 {
    match &figures.round {
        Some(round) => u64::from(round.percent),
        None if figures.ready => 100,
        None => 0,
    }
}

/// Percent, rate and lag, as a bar shows them.
pub(super) fn figures(figures: &ReplicaFigures) -> String {
    let mut text = match &figures.round {
        Some(round) => format!("{} {} %, {}", figures.text, round.percent, rate(round.rate)),
        None => figures.text.clone(),
    };
    if let Some(seconds) = figures.lag_seconds {
        let behind = figures.lag_bytes.map(|behind| format!(" ({})", bytes(behind))).unwrap_or_default();
        text.push_str(&format!(", lag {}{behind}", span(Span::seconds(seconds))));
    }
    if let Some(stalled) = &figures.stalled {
        text.push_str(&format!(": {}", stalled.failure.meaning));
    }
    text
}

fn show(screen: &Screen, replica: &ReplicaView) {
    let way = replica.inside.as_ref().map(|inside| format!("{} to {}", inside.from, inside.to));
    let limit = replica.inside.as_ref().and_then(|inside| inside.bandwidth);
    screen.facts(&[
        ("replica", format!("of {} for DR-{} ({})", replica.server_name, replica.number, replica.id)),
        ("way", way.unwrap_or_default()),
        ("limit", limit.map(rate).unwrap_or_default()),
        ("since", screen.times().both(replica.opened_at)),
    ]);
    block(screen, replica);
    if let Some(next) = next(replica) {
        screen.line(format!("\n{next}"));
    }
}

/// What can be done about it now.
fn next(replica: &ReplicaView) -> Option<String> {
    let number = replica.number;
    match replica.figures.state.as_str() {
        "paused" => Some(format!("Go on: drover replicas resume DR-{number}")),
        "stalled" => Some(format!("Try at once: drover replicas sync DR-{number}")),
        "continuous" | "backlog" => Some(format!(
            "Sync now: drover replicas sync DR-{number}; pause: drover replicas pause DR-{number}"
        )),
        _ => None,
    }
}

/// How it stands, and each of its disks.
pub(super) fn block(screen: &Screen, replica: &ReplicaView) {
    let (times, figures) = (screen.times(), &replica.figures);
    let lag = figures.lag_seconds.map(|seconds| {
        let late = if figures.late { "; more than it should be" } else { "" };
        let behind = figures.lag_bytes.map(bytes).unwrap_or_else(|| "how much is not known".to_owned());
        format!("{}, {behind}{late}", span(Span::seconds(seconds)))
    });
    let lag = lag.unwrap_or_default();
    let stalled = figures.stalled.as_ref().map(|stalled| {
        let text = stalled.failure.text.as_ref().map(|text| format!("\n{text}")).unwrap_or_default();
        let since = stalled.since.map(|since| format!(", since {}", times.both(since))).unwrap_or_default();
        format!("{}{since}, again {}{text}", stalled.failure.meaning, times.both(stalled.again_at))
    });
    let ready = if figures.ready { "yes" } else { "not yet: the whole disks and one round more are needed" };
    screen.facts(&[
        ("copy", screen.paint(&standing(figures), tone(figures))),
        ("ready", ready.to_owned()),
        ("lag", lag),
        ("round", figures.round.as_ref().map(running).unwrap_or_default()),
        ("last round", figures.last_round.as_ref().map(|round| landed(screen, round)).unwrap_or_default()),
        ("next round", figures.next_at.map(|at| times.both(at)).unwrap_or_default()),
        ("stalled", stalled.unwrap_or_default()),
        ("guest writes", if figures.dirty_rate > 0 { rate(figures.dirty_rate) } else { String::new() }),
        ("cutover", replica.estimate.as_ref().map(expected).unwrap_or_default()),
    ]);
    let mut rows = Rows::new(&["disk", "format", "size", "behind"]);
    for disk in &replica.disks {
        rows.push(vec![
            disk.target.clone(),
            disk.format.clone(),
            bytes(disk.virtual_bytes),
            disk.lag_bytes.map_or_else(|| "-".to_owned(), bytes),
        ]);
    }
    screen.line("");
    screen.table(&rows, "No disk.");
}

fn running(round: &RunningRoundView) -> String {
    let left = round.total_bytes.saturating_sub(round.done_bytes);
    let end = match round.rate {
        0 => String::new(),
        rate => format!(", about {} left", span(Span::seconds(left.div_ceil(rate)))),
    };
    let held = match round.held_percent {
        0 => String::new(),
        percent => format!("; held back {percent} % of the time, for the guest's own reading and writing"),
    };
    format!(
        "{}: {} %, {} of {} at {}{end}{held}",
        round.kind,
        round.percent,
        bytes(round.done_bytes),
        bytes(round.total_bytes),
        rate(round.rate)
    )
}

fn landed(screen: &Screen, round: &RoundView) -> String {
    let frozen = if round.frozen { "\nfile systems stood still" } else { "" };
    format!(
        "{}, {}: {} written, {} sent in {}\nshows {}{frozen}",
        round.number,
        round.kind,
        bytes(round.dirty_bytes),
        bytes(round.sent_bytes),
        milliseconds(round.took_ms),
        screen.times().both(round.consistent_at)
    )
}

fn expected(estimate: &CutoverEstimate) -> String {
    let boot = estimate
        .boot_ms
        .map(|boot| format!("\nanswers {} after its start, as in its test", milliseconds(boot)));
    format!(
        "final delta {}in about {} (9 of 10 within {})\noff for about {} (9 of 10 within {}){}",
        estimate.final_delta_bytes.map(|delta| format!("{} ", bytes(delta))).unwrap_or_default(),
        milliseconds(estimate.final_delta_ms),
        milliseconds(estimate.final_delta_p90_ms),
        milliseconds(estimate.downtime_ms),
        milliseconds(estimate.downtime_p90_ms),
        boot.unwrap_or_default()
    )
}

/// A hint where the time of a cutover is too near for a test.
pub(super) fn best_practice(screen: &Screen, migration: &MigrationView) -> Option<String> {
    let replica = migration.replica.as_ref().filter(|_| migration.open)?;
    if replica.test.as_ref().is_some_and(|test| test.result.as_deref() == Some("passed")) {
        return None;
    }
    let start = migration.appointment.slot.as_ref()?.start;
    let now = screen.times().now;
    if start < now || start - now > TEST_AHEAD.delta() {
        return None;
    }
    Some(format!(
        "Best practice is a test at least a week before the window; this one opens {}. Another time: drover migrations slots DR-{}",
        screen.times().ago(start),
        replica.number
    ))
}

/// What a person is asked before a server is moved by a reboot at once: for one with local disks, what the cutover will do.
pub(super) async fn question(context: &Context, server: &ServerView) -> Result<String, Failed> {
    let name = &server.name;
    let ServerView { power, .. } = server;
    if !server.disks.iter().any(|disk| disk.reach == "local") {
        return Ok(format!("{name} is {power} and will be powered off, moved and booted, now. Go on?"));
    }
    let replica = match &server.migration {
        Some(brief) => {
            let path = format!("/v1/migrations/{}", brief.id);
            let found: Answer<MigrationView> = context.client.get(&path, &[]).await?;
            found.value.replica
        }
        None => None,
    };
    Ok(cutover_question(name, power, replica.as_deref()))
}

fn cutover_question(name: &str, power: &str, replica: Option<&ReplicaView>) -> String {
    let estimate = replica.and_then(|replica| replica.estimate.as_ref());
    let delta = estimate.map(|estimate| {
        let bytes = estimate.final_delta_bytes.map(|delta| format!("{}, ", bytes(delta))).unwrap_or_default();
        format!(" (about {bytes}{})", milliseconds(estimate.final_delta_ms))
    });
    let off = estimate.map(|estimate| {
        format!(
            "; off for about {} in all, 9 of 10 within {}",
            milliseconds(estimate.downtime_ms),
            milliseconds(estimate.downtime_p90_ms)
        )
    });
    let ready = match replica {
        Some(replica) if replica.figures.ready => String::new(),
        Some(replica) => {
            format!("The copy is not ready yet ({}); this begins when it is.\n", standing(&replica.figures))
        }
        None => "Its disks have to be copied first, while it runs; this begins when the copy is ready.\n"
            .to_owned(),
    };
    format!(
        "{name} is {power}, and its disks are on its host alone. To cut it over does four things:\n  \
         1. final delta: what it has written since the last round is copied while it runs{}\n  \
         2. power off source: it is shut down, and what it wrote at last is copied\n  \
         3. finalize: guest fixes if it needs any; its old definition is taken away, and kept with the old disks\n  \
         4. boot target: it is started from the copy{}\n\
         If it does not come up there, it is rolled back: it starts where it is now, from its own disks.\n{ready}Go on?",
        delta.unwrap_or_default(),
        off.unwrap_or_default()
    )
}

/// What a revert does first for a server with local disks.
pub(super) fn copied_back(migration: &MigrationView) -> &'static str {
    let local = migration.why_not_live.as_ref().is_some_and(|why| why.code == "local_disks")
        || migration.moved.as_ref().is_some_and(|moved| moved.tail_ms.is_some());
    if local {
        ", once what was written since the move has been copied back to its old disks while it runs"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::views::{FailureView, StalledView};
    use drover_policies::time::Instant;

    fn syncing() -> ReplicaFigures {
        ReplicaFigures {
            state: "syncing".to_owned(),
            text: "syncing".to_owned(),
            ready: true,
            initial_percent: None,
            lag_seconds: Some(12),
            lag_bytes: Some(4 << 20),
            late: false,
            rounds: 7,
            last_round: None,
            round: Some(RunningRoundView {
                kind: "incremental".to_owned(),
                began_at: Instant::UNIX_EPOCH,
                percent: 61,
                total_bytes: 100 << 20,
                done_bytes: 61 << 20,
                rate: 110 << 20,
                held_percent: 60,
            }),
            next_at: None,
            dirty_rate: 1 << 20,
            paused: false,
            stalled: None,
        }
    }

    #[test]
    fn a_bar_has_percent_rate_and_lag() {
        assert_eq!(figures(&syncing()), "syncing 61 %, 110 MiB/s, lag 12 s (4 MiB)");
        assert_eq!(percent(&syncing()), 61);
        let failure = FailureView {
            class: "destination_unreachable".to_owned(),
            meaning: "the destination could not be reached".to_owned(),
            text: None,
        };
        let stalled = StalledView { failure, since: None, again_at: Instant::UNIX_EPOCH };
        let stalled =
            ReplicaFigures { text: "stalled".to_owned(), round: None, stalled: Some(stalled), ..syncing() };
        assert_eq!(figures(&stalled), "stalled, lag 12 s (4 MiB): the destination could not be reached");
    }

    #[test]
    fn a_round_says_when_it_will_be_over() {
        let round = syncing().round.expect("one runs");
        assert_eq!(
            running(&round),
            "incremental: 61 %, 61 MiB of 100 MiB at 110 MiB/s, about 1.0 s left; held back 60 % of the time, for the guest's own reading and writing"
        );
    }

    #[test]
    fn who_cuts_over_is_told_the_four_steps_and_what_happens_if_one_fails() {
        let question = cutover_question("web-1", "running", None);
        let steps = ["1. final delta", "2. power off source", "3. finalize", "4. boot target", "rolled back"];
        let places: Vec<usize> = steps.iter().map(|step| question.find(step).expect(step)).collect();
        assert!(places.is_sorted(), "{question}");
        assert!(question.contains("have to be copied first") && question.ends_with("Go on?"), "{question}");
    }
}
