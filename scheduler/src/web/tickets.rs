//! Tickets: the threads with owners. An operator sees all of them, an owner his own, and whoever came by the link of a mail that one.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use drover_pages::Label;
use drover_pages::confirm::Confirm;
use drover_pages::console::tickets::{Care, TicketPage, TicketRow, TicketsPage};
use drover_pages::form::{Actions, Field, Form, Input, Weight};
use drover_policies::notices::Via;

use super::form::Posted;
use super::lists::{By, Column, Sought, arranged};
use super::migrations::{Read, actions, reason, thread};
use super::see;
use super::session::{Anybody, AtConsole, Signed, Visitor};
use super::shown::{Shown, say, say_what_came};
use crate::app::App;
use crate::commands::{owned, reverting, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::tickets::migrations_of;
use crate::store::{Only, Ticket, TicketFilter};

/// The most tickets that a list is made of, the newest first. Whoever looks for an older one searches for its number.
const MOST: usize = 2_000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/tickets", get(list))
        .route("/tickets/{ticket}", get(show))
        .route("/tickets/{ticket}/messages", post(write))
        .route("/tickets/{ticket}/take", post(take))
        .route("/tickets/{ticket}/give-back", post(give_back))
        .route("/fragments/tickets/{ticket}", get(show_thread))
}

/// The newest tickets that a visitor may see.
pub(super) async fn newest(app: &App, visitor: &Visitor) -> Result<Vec<Ticket>, Problem> {
    let filter =
        TicketFilter { owner: owned(&visitor.caller, None)?, only: Only::All, ..TicketFilter::default() };
    let mut tickets = Vec::new();
    let mut cursor = None;
    while tickets.len() < MOST {
        let page = app.store.tickets_page(&filter, cursor.as_ref(), 500).await;
        let page = page.map_err(|error| store_problem(&error))?;
        tickets.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(tickets)
}

async fn rows(app: &App, tickets: Vec<Ticket>) -> Result<Vec<TicketRow>, Problem> {
    let migrations = migrations_of(app, tickets.iter().map(|ticket| ticket.migration)).await?;
    let reverts = migrations_of(app, migrations.values().filter_map(reverting)).await?;
    let row = |ticket: Ticket| {
        let migration = migrations.get(&ticket.migration)?;
        // What is still to come, if it is on its way back, has the time that people talk about.
        let current = reverting(migration).and_then(|id| reverts.get(&id)).unwrap_or(migration);
        Some(TicketRow {
            server: migration.server_name.clone(),
            owner: ticket.owner.to_string(),
            state: Label::ticket(ticket.closed_at.is_none(), ticket.unanswered_since.is_some()),
            slot: current.appointment.slot(),
            appointment: Label::from(&current.appointment),
            deadline: migration.deadline,
            unanswered_since: ticket.unanswered_since,
            taken_by: ticket.taken.map(|taken| taken.by),
            number: ticket.number,
            subject: ticket.subject,
        })
    };
    Ok(tickets.into_iter().filter_map(row).collect())
}

const COLUMNS: [Column<TicketRow>; 7] = [
    ("number", |a, b| a.number.cmp(&b.number)),
    ("server", |a, b| a.server.cmp(&b.server)),
    ("owner", |a, b| a.owner.cmp(&b.owner)),
    ("state", |a, b| a.state.tone.cmp(&b.state.tone)),
    ("taken-by", |a, b| a.taken_by.cmp(&b.taken_by)),
    ("slot", |a, b| a.slot.map(|slot| slot.start).cmp(&b.slot.map(|slot| slot.start))),
    ("deadline", |a, b| a.deadline.cmp(&b.deadline)),
];

const BY: [By<TicketRow>; 2] = [
    ("state", "col-state", |row| row.state.key.to_owned()),
    ("taken-by", "col-taken-by", |row| row.taken_by.clone().unwrap_or_default()),
];

fn without(columns: &[Column<TicketRow>], name: &str) -> Vec<Column<TicketRow>> {
    columns.iter().filter(|(known, _)| *known != name).copied().collect()
}

async fn list(
    State(app): State<Arc<App>>,
    Signed(visitor): Signed,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let rows = rows(&app, newest(&app, &visitor).await?).await?;
    let words = |row: &TicketRow| format!("{} {} {} {}", row.number, row.server, row.owner, row.subject);
    // Which operator looks after it is none of an owner's business.
    let (by, columns) = match visitor.caller.owner() {
        Some(_) => (&BY[..1], without(&COLUMNS, "taken-by")),
        None => (&BY[..], COLUMNS.to_vec()),
    };
    let (list, tickets) = arranged(&sought, rows, &columns, by, words);
    shown.page(&app, &TicketsPage { list, tickets }).await
}

async fn show(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let ticket = visitor.ticket(&app, &given).await?;
    let missing = || Problem::not_found("ticket", &given);
    let found = app.store.migration(ticket.migration).await.map_err(|error| store_problem(&error))?;
    let read = Read::of(&app, &visitor, found.ok_or_else(missing)?).await?;
    let row = rows(&app, vec![ticket.clone()]).await?.pop().ok_or_else(missing)?;
    let owner = visitor.caller.owner().is_some();
    let root = if owner { "/my/migrations" } else { "/migrations" };
    let page = TicketPage {
        subject: row.subject,
        state: row.state,
        server: row.server,
        owner: row.owner,
        migration: format!("{root}/{}", read.migration().number),
        reason: read.migration().reason.clone(),
        why: read.view.why_not_live.as_ref().map(reason),
        slot: row.slot,
        appointment: row.appointment,
        deadline: row.deadline,
        opened_at: ticket.opened_at,
        actions: Actions(actions(&read, root, owner)),
        care: (!owner).then(|| care(&visitor, &ticket)),
        thread: thread(&app, &visitor, &ticket).await?,
        number: row.number,
    };
    shown.page(&app, &page).await
}

/// Who looks after a ticket, and what the operator who sees its page can do about it.
fn care(visitor: &Visitor, ticket: &Ticket) -> Care {
    let at = |act: &str| format!("/tickets/{}/{act}", ticket.number);
    let from = |by: &str| Field::line("from", "col-taken-by").input(Input::Hidden).value(by);
    let form = match &ticket.taken {
        None => Form { action: at("take"), submit: "take-ticket", weight: Weight::Plain, ..Form::default() },
        Some(taken) if taken.by == visitor.caller.name => Form {
            action: at("give-back"),
            submit: "give-back-ticket",
            weight: Weight::Plain,
            ..Form::default()
        },
        Some(taken) => Form {
            action: at("take"),
            fields: vec![from(&taken.by)],
            submit: "take-over-ticket",
            weight: Weight::Plain,
            ..Form::default()
        },
    };
    Care { taken: ticket.taken.as_ref().map(|taken| (taken.by.clone(), taken.at)), form }
}

async fn take(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    Posted { who: AtConsole(visitor), typed, envelope }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let ticket = visitor.ticket(&app, &given).await?;
    let done = visitor.wish(&app, envelope).take_ticket(&ticket.number, typed.some("from")).await;
    say_what_came(&app, &visitor, done, "You look after it.").await?;
    see(&format!("/tickets/{}", ticket.number))
}

async fn give_back(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    Posted { who: AtConsole(visitor), envelope, .. }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let ticket = visitor.ticket(&app, &given).await?;
    let done = visitor.wish(&app, envelope).give_ticket_back(&ticket.number).await;
    say_what_came(&app, &visitor, done, "Nobody in particular looks after it now.").await?;
    see(&format!("/tickets/{}", ticket.number))
}

async fn show_thread(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let ticket = visitor.ticket(&app, &given).await?;
    let thread = thread(&app, &visitor, &ticket).await?;
    shown.part(&app, |frame| thread.messages.html(frame)).await
}

/// What is written into a ticket.
pub(super) fn message_form(number: &str, typed: &str, error: Option<String>) -> Form {
    Form {
        action: format!("/tickets/{number}/messages"),
        fields: vec![Field::line("text", "f-text").input(Input::Text).value(typed).error(error).required()],
        submit: "reply",
        ..Form::default()
    }
}

async fn write(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    shown: Shown,
    Posted { who: Anybody(visitor), typed, envelope }: Posted<Anybody>,
) -> Result<Response, Problem> {
    let ticket = visitor.ticket(&app, &given).await?;
    let wish = visitor.wish(&app, envelope);
    match wish.write(&ticket.number, typed.text("text"), Via::Api).await {
        Ok(_) => say(&app, &visitor, true, "Your message is in the ticket.").await?,
        Err(problem) if problem.slug() == Kind::InvalidField.slug() => {
            let problem = shown.told(&app, problem).await?;
            let page = Confirm {
                question: shown.around(&app).await?.t("Your message was not sent"),
                lead: String::new(),
                happens: Vec::new(),
                stays: Vec::new(),
                changed: None,
                form: Form {
                    back: Some(format!("/tickets/{}", ticket.number)),
                    ..message_form(&ticket.number, typed.text("text"), Some(problem.detail))
                },
            };
            return shown.refused(&app, Kind::InvalidField, &page).await;
        }
        Err(problem) => return Err(problem),
    }
    see(&format!("/tickets/{}", ticket.number))
}
