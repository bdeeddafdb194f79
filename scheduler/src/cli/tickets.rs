//! Tickets.

use super::args::Tickets;
use super::client::{Answer, Parameter};
use super::exit::Failed;
use super::migrations::appointment;
use super::screen::{Rows, Screen, Tone};
use super::{Context, part};
use crate::http::views::TicketView;

pub(super) async fn tickets(context: &Context, command: Tickets) -> Result<(), Failed> {
    match command {
        Tickets::List { all, owner, listing } => {
            let mut query: Vec<Parameter> = vec![("only", if all { "all" } else { "open" }.to_owned())];
            query.extend(owner.map(|owner| ("owner", owner)));
            let answer: Answer<Vec<TicketView>> =
                context.client.list("/v1/tickets", &query, listing.limit).await?;
            context.show(&answer, |screen, tickets| list(screen, tickets));
        }
        Tickets::Show { ticket } => {
            let path = format!("/v1/tickets/{}", part(&ticket));
            let answer: Answer<TicketView> = context.client.get(&path, &[]).await?;
            context.show(&answer, show);
        }
    }
    Ok(())
}

fn list(screen: &Screen, tickets: &[TicketView]) {
    let mut rows = Rows::new(&["ticket", "state", "server", "owner", "time", "reason"]);
    for ticket in tickets {
        rows.push_toned(vec![
            (ticket.number.clone(), Tone::Plain),
            (ticket.state.clone(), if ticket.state == "open" { Tone::Busy } else { Tone::Faint }),
            (ticket.server_name.clone(), Tone::Plain),
            (ticket.owner.to_string(), Tone::Plain),
            (appointment(screen, &ticket.appointment), Tone::Plain),
            (ticket.reason.clone(), Tone::Plain),
        ]);
    }
    screen.table(&rows, "No open ticket. Closed ones: drover tickets list --all");
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
    ]);
    let mut rows = Rows::new(&["told", "when", "delivery", "what went wrong"]);
    for notice in ticket.notices.iter().flatten() {
        let delivered = notice.delivered_at.map(|at| format!(" {}", times.at(at))).unwrap_or_default();
        rows.push_toned(vec![
            (notice.kind.replace('_', " "), Tone::Plain),
            (times.at(notice.at), Tone::Plain),
            (format!("{}{delivered}", notice.delivery), Tone::of_state(&notice.delivery)),
            (notice.problem.clone().unwrap_or_default(), Tone::Plain),
        ]);
    }
    screen.line("");
    screen.table(&rows, "Nothing was told yet.");
}
