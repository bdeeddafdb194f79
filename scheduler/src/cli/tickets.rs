//! Tickets.

use std::io::Read as _;

use super::args::Tickets;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::migrations::appointment;
use super::screen::{Rows, Screen, Tone};
use super::words::Times;
use super::{Context, part};
use crate::http::views::{
    ActorKind, ActorView, AnswerView, DeliveryView, MessageBody, NoticeView, SaidView, TakeTicket, TicketView,
};

pub(super) async fn tickets(context: &Context, command: Tickets) -> Result<(), Failed> {
    match command {
        Tickets::List { all, needs_answer, mine, owner, listing } => {
            let mut query: Vec<Parameter> = if needs_answer {
                vec![("needs_answer", "true".to_owned())]
            } else {
                vec![("only", if all { "all" } else { "open" }.to_owned())]
            };
            query.extend(mine.then(|| ("mine", "true".to_owned())));
            query.extend(owner.map(|owner| ("owner", owner)));
            let empty = match (needs_answer, mine) {
                (true, false) => "Nobody waits for an answer.",
                (true, true) => "In your tickets nobody waits for an answer.",
                (false, true) => "You have taken none of them. Take one: drover tickets take TICKET",
                (false, false) => "No open ticket. Closed ones: drover tickets list --all",
            };
            let answer: Answer<Vec<TicketView>> =
                context.client.list("/v1/tickets", &query, listing.limit).await?;
            context.show(&answer, |screen, tickets| list(screen, tickets, empty));
        }
        Tickets::Show { ticket } => {
            let path = format!("/v1/tickets/{}", part(&ticket));
            let answer: Answer<TicketView> = context.client.get(&path, &[]).await?;
            context.show(&answer, show);
        }
        Tickets::Reply { ticket, text } => {
            let body = MessageBody { text: if text == "-" { from_stdin()? } else { text } };
            let path = format!("/v1/tickets/{}/messages", part(&ticket));
            let answer: Answer<NoticeView> = context.client.post(&path, &body).await?;
            context.show(&answer, |screen, _| screen.line("Written."));
        }
        Tickets::Take { ticket, from } => {
            let path = format!("/v1/tickets/{}/take", part(&ticket));
            let answer: Answer<TicketView> = context.client.post(&path, &TakeTicket { from }).await?;
            context.show(&answer, |screen, ticket| screen.line(format!("{} is yours.", ticket.number)));
        }
        Tickets::GiveBack { ticket } => {
            let path = format!("/v1/tickets/{}/give-back", part(&ticket));
            let answer: Answer<TicketView> = context.client.post(&path, &serde_json::json!({})).await?;
            context.show(&answer, |screen, ticket| {
                screen.line(format!("{} is nobody's in particular.", ticket.number));
            });
        }
    }
    Ok(())
}

fn from_stdin() -> Result<String, Failed> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failed::usage(format!("standard input is no text: {error}")))?;
    Ok(text)
}

fn list(screen: &Screen, tickets: &[TicketView], empty: &str) {
    let mut rows = Rows::new(&[
        "ticket",
        "state",
        "server",
        "owner",
        "time",
        "reason",
        "taken by",
        "waits for an answer",
    ]);
    for ticket in tickets {
        let waits = ticket.unanswered_since.map(|at| screen.times().ago(at)).unwrap_or_default();
        rows.push_toned(vec![
            (ticket.number.clone(), Tone::Plain),
            (ticket.state.clone(), if ticket.state == "open" { Tone::Busy } else { Tone::Faint }),
            (ticket.server_name.clone(), Tone::Plain),
            (ticket.owner.to_string(), Tone::Plain),
            (appointment(screen, &ticket.appointment), Tone::Plain),
            (ticket.reason.clone(), Tone::Plain),
            (ticket.taken_by.clone().unwrap_or_default(), Tone::Plain),
            (waits, Tone::Bad),
        ]);
    }
    screen.table(&rows, empty);
}

fn show(screen: &Screen, ticket: &TicketView) {
    let times = screen.times();
    screen.facts(&[
        ("ticket", format!("{}, {}", ticket.number, ticket.state)),
        ("subject", ticket.subject.clone()),
        ("server", format!("{} ({})", ticket.server_name, ticket.server)),
        ("owner", ticket.owner.to_string()),
        ("reason", ticket.reason.clone()),
        ("why not live", ticket.why_not_live.clone()),
        ("time", appointment(screen, &ticket.appointment)),
        ("deadline", times.both(ticket.deadline)),
        ("opened", times.both(ticket.opened_at)),
        ("closed", ticket.closed_at.map(|at| times.both(at)).unwrap_or_default()),
        ("taken by", taken(&times, ticket)),
        ("unanswered", ticket.unanswered_since.map(|at| times.both(at)).unwrap_or_default()),
    ]);
    let notices = ticket.notices.as_deref().unwrap_or_default();
    if notices.is_empty() {
        screen.line("\nNothing was told yet.");
    }
    for notice in notices {
        screen.line("");
        screen.line(head(screen, &times, notice));
        for line in notice.said.iter().flat_map(|said| body(&times, said)) {
            screen.line(format!("    {line}").trim_end());
        }
        for line in notice.text.iter().flat_map(|text| text.lines()) {
            screen.line(format!("    {line}").trim_end());
        }
        for bounce in &notice.bounces {
            let came_back =
                format!("came back from {} {}: {}", bounce.address, times.at(bounce.at), bounce.why);
            screen.line(format!("    {}", screen.paint(&came_back, Tone::Bad)));
        }
    }
}

fn taken(times: &Times, ticket: &TicketView) -> String {
    let since = ticket.taken_at.map(|at| format!(" since {}", times.both(at))).unwrap_or_default();
    ticket.taken_by.as_ref().map(|by| format!("{by}{since}")).unwrap_or_default()
}

/// `Sat 21 Nov 09:00  acme wrote by mail  mail: delivered Sat 21 Nov 09:01`
fn head(screen: &Screen, times: &Times, notice: &NoticeView) -> String {
    let what = match &notice.said {
        None => notice.kind.replace('_', " "),
        Some(SaidView { by, via, answer: None, .. }) => format!("{} wrote{}", who(by), by_way(via)),
        Some(SaidView { by, via, answer: Some(_), .. }) => format!("{} asked{}", who(by), by_way(via)),
    };
    let mut head = format!("{}  {what}", times.at(notice.at));
    for delivery in &notice.deliveries {
        head.push_str("  ");
        head.push_str(&stands(screen, times, delivery));
    }
    head
}

/// Where a message stands on a channel.
fn stands(screen: &Screen, times: &Times, delivery: &DeliveryView) -> String {
    let state = delivery.state.as_str();
    let when = match (delivery.at, delivery.next_try_at) {
        (Some(at), _) => format!(" {}", times.at(at)),
        (None, Some(next)) if delivery.tries > 0 => format!(", tried again {}", times.at(next)),
        (None, _) => String::new(),
    };
    let problem = delivery.problem.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let shown = screen.paint(&format!("{state}{when}"), Tone::of_state(state));
    format!("{}: {shown}{problem}", delivery.channel)
}

fn who(by: &ActorView) -> String {
    match (&by.who, &by.name) {
        (ActorKind::Operator, Some(name)) => format!("operator {name}"),
        (ActorKind::Operator, None) => "an operator".to_owned(),
        (ActorKind::Owner, name) => name.clone().unwrap_or_else(|| "the owner".to_owned()),
        (ActorKind::Drover, _) => "drover".to_owned(),
    }
}

fn by_way(via: &str) -> &'static str {
    match via {
        "mail" => " by mail",
        "ticket_system" => " in the ticket system",
        _ => "",
    }
}

fn body(times: &Times, said: &SaidView) -> Vec<String> {
    let mut lines: Vec<String> = said.text.lines().map(ToOwned::to_owned).collect();
    lines.extend(said.answer.iter().map(|answer| format!("=> {}", outcome(times, answer))));
    lines
}

fn outcome(times: &Times, answer: &AnswerView) -> String {
    let slot = answer.slot.as_ref().map(|slot| format!(": {}", times.at(slot.start))).unwrap_or_default();
    let why = answer.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}{slot}{why}", answer.came_to.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(by: ActorView, via: &str, text: &str) -> SaidView {
        SaidView { by, via: via.to_owned(), text: text.to_owned(), answer: None }
    }

    fn notice(said: Option<SaidView>) -> NoticeView {
        serde_json::from_value(serde_json::json!({
            "id": uuid::Uuid::nil(), "kind": "not_seen_alive", "at": "2026-11-21T09:00:00Z", "said": said,
            "deliveries": [{ "channel": "mail", "state": "waiting", "tries": 0 }],
        }))
        .expect("a notice")
    }

    #[test]
    fn a_thread_reads_as_who_said_what_by_which_way() {
        let screen = Screen::plain(chrono_tz::UTC);
        let times = Times { now: "2026-11-21T10:00:00Z".parse().expect("a moment"), zone: chrono_tz::UTC };
        let owner = ActorView { who: ActorKind::Owner, name: Some("acme".to_owned()) };
        let operator = ActorView { who: ActorKind::Operator, name: None };
        let words = |said| head(&screen, &times, &notice(said)).split("  ").nth(1).map(ToOwned::to_owned);
        assert_eq!(words(None).as_deref(), Some("not seen alive"));
        assert_eq!(words(Some(said(owner.clone(), "mail", "x"))).as_deref(), Some("acme wrote by mail"));
        assert_eq!(words(Some(said(operator, "api", "x"))).as_deref(), Some("an operator wrote"));
        let answer = AnswerView {
            came_to: "not_understood".to_owned(),
            slot: None,
            why: Some("there is no time in it".to_owned()),
            free: Vec::new(),
        };
        let asked = SaidView { answer: Some(answer), ..said(owner, "mail", "move\nit") };
        assert_eq!(body(&times, &asked), ["move", "it", "=> not understood: there is no time in it"]);
        assert_eq!(words(Some(asked)).as_deref(), Some("acme asked by mail"));
    }
}
