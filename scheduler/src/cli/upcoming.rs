//! What happens to servers and when, and drills of it.

use super::args::{Drill, Upcoming};
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::screen::{Rows, Screen, Tone};
use super::{Context, part};
use crate::http::views::{DrillBody, ScheduledEventView};

pub(super) async fn upcoming(context: &Context, which: Upcoming) -> Result<(), Failed> {
    if let Some(event) = which.event {
        let path = format!("/v1/scheduled-events/{}", part(&event));
        let answer: Answer<ScheduledEventView> = context.client.get(&path, &[]).await?;
        context.show(&answer, show);
        return Ok(());
    }
    let mut query: Vec<Parameter> = vec![("only", if which.all { "all" } else { "open" }.to_owned())];
    query.extend(which.server.map(|server| ("server", server)));
    query.extend(which.owner.map(|owner| ("owner", owner)));
    let answer: Answer<Vec<ScheduledEventView>> =
        context.client.list("/v1/scheduled-events", &query, which.listing.limit).await?;
    context.show(&answer, |screen, events| list(screen, events));
    Ok(())
}

pub(super) async fn drill(context: &Context, drill: Drill) -> Result<(), Failed> {
    let body = DrillBody {
        server: drill.server,
        starts_in: drill.starts_in,
        duration: drill.duration,
        reason: drill.reason,
    };
    let answer: Answer<ScheduledEventView> = context.client.post("/v1/drills", &body).await?;
    context.show(&answer, |screen, event| {
        let starts = event.not_before.map(|at| screen.times().both(at)).unwrap_or_default();
        screen.line(format!("{}: a drill of {} begins {starts}", event.number, event.server_name));
        screen.line("Nothing is done to the server. It can be approved, moved, started and cancelled like a migration.");
    });
    Ok(())
}

fn list(screen: &Screen, events: &[ScheduledEventView]) {
    let times = screen.times();
    let mut rows = Rows::new(&["event", "state", "server", "owner", "how", "begins", "down for", "reason"]);
    for event in events {
        rows.push_toned(vec![
            (event.number.clone(), Tone::Plain),
            (event.state.clone(), Tone::of_state(&event.state)),
            (event.server_name.clone(), Tone::Plain),
            (event.owner.as_ref().map(ToString::to_string).unwrap_or_default(), Tone::Plain),
            (how(event), Tone::Plain),
            (event.not_before.map(|at| times.both(at)).unwrap_or_default(), Tone::Plain),
            (down_for(event), Tone::Plain),
            (event.reason_text.clone(), Tone::Plain),
        ]);
    }
    screen.table(&rows, "Nothing lies ahead. What is over: drover upcoming --all");
}

fn how(event: &ScheduledEventView) -> String {
    if event.drill { "drill".to_owned() } else { event.method.clone() }
}

fn down_for(event: &ScheduledEventView) -> String {
    drover_policies::time::Span::seconds(event.est_downtime_s).to_string()
}

fn show(screen: &Screen, event: &ScheduledEventView) {
    let times = screen.times();
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| times.both(at)).unwrap_or_default();
    let may: Vec<&str> = [(event.can_reschedule, "be rescheduled"), (event.can_start_now, "be started now")]
        .into_iter()
        .filter_map(|(may, what)| may.then_some(what))
        .collect();
    screen.facts(&[
        ("event", format!("{}, {}", event.number, event.state)),
        ("server", format!("{} ({})", event.server_name, event.server)),
        ("how", how(event)),
        ("category", format!("{}, by the {}", event.category, event.source)),
        ("reason", format!("{} ({})", event.reason_text, event.reason_code)),
        ("begins", time(event.not_before)),
        ("over by", time(event.not_after)),
        ("deadline", times.both(event.hard_deadline)),
        ("down for", down_for(event)),
        ("place held until", time(event.dest_reserved_until)),
        ("agreed by", event.ack_by.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("can", may.join(", ")),
        ("began", time(event.started_at)),
        ("ended", time(event.finished_at)),
    ]);
    for told in &event.history {
        screen.line(format!("{}  {}", times.at(told.at), told.what.replace('_', " ")));
    }
}
