//! Tickets: what owners were told, and whether it arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use drover_policies::appointment::Appointment;
use drover_policies::channels::ChannelName;
use drover_policies::ids::MigrationId;
use drover_policies::migration::Migration;
use drover_policies::notices::{Reader, Via};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::extract::{Change, Known, Named, Nothing, Params};
use super::lists::{cursor, limit, only};
use super::problem::Problem;
use super::views::{
    AppointmentView, BounceView, DeliveryView, Eyes, MessageBody, NoticeView, Page, SaidView, TakeTicket,
    TicketView,
};
use crate::app::App;
use crate::auth::{Caller, Operator, Person};
use crate::commands::{Reply, find_server, find_ticket, owned, reverting, store_problem};
use crate::store::{LastWord, Only, StoredDelivery, StoredNotice, Ticket, TicketFilter};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(write))
        .routes(routes!(take))
        .routes(routes!(give_back))
}

/// Which tickets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `open` (unless said), `closed` or `all`.
    only: Option<String>,
    /// Only those in which an owner waits for an operator's answer, closed ones among them unless `only` says otherwise.
    #[serde(default)]
    needs_answer: bool,
    /// Only those that the asking operator looks after.
    #[serde(default)]
    mine: bool,
    /// Of this owner.
    owner: Option<String>,
    /// About this server, by id or name.
    server: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

impl TicketView {
    fn of(ticket: &Ticket, migration: &Migration, time: &Appointment, eyes: Eyes) -> Self {
        let summary = migration.ticket_summary();
        let taken = ticket.taken.as_ref().filter(|_| eyes == Eyes::Operator);
        Self {
            id: ticket.id,
            number: ticket.number.clone(),
            migration: ticket.migration,
            server: ticket.server,
            server_name: migration.server_name.clone(),
            owner: ticket.owner.clone(),
            subject: ticket.subject.clone(),
            reason: migration.reason.clone(),
            why_not_live: summary.map(|summary| summary.why_not_live).unwrap_or_default(),
            deadline: migration.deadline,
            state: if ticket.closed_at.is_none() { "open" } else { "closed" }.to_owned(),
            opened_at: ticket.opened_at,
            closed_at: ticket.closed_at,
            unanswered_since: ticket.unanswered_since,
            taken_by: taken.map(|taken| taken.by.clone()),
            taken_at: taken.map(|taken| taken.at),
            appointment: AppointmentView::of(time, eyes),
            notices: None,
        }
    }
}

impl NoticeView {
    pub(crate) fn of(stored: &StoredNotice, eyes: Eyes) -> Self {
        let deliveries = stored.deliveries.iter().filter(|delivery| may_see(delivery, eyes));
        Self {
            id: stored.notice.id.0,
            kind: stored.notice.tells.kind().to_owned(),
            said: SaidView::of(&stored.notice, eyes),
            text: sent(stored, eyes),
            bounces: Vec::new(),
            at: stored.notice.at,
            deliveries: deliveries.map(|delivery| DeliveryView::of(delivery, eyes)).collect(),
        }
    }
}

/// The text of a notice's mail, for those to whom it went. What people have said is not said again.
fn sent(stored: &StoredNotice, eyes: Eyes) -> Option<String> {
    let tells = &stored.notice.tells;
    let reads = eyes == Eyes::Operator || tells.mailed_to() == Reader::Owner;
    let texts = stored.deliveries.iter().filter_map(|delivery| delivery.text.clone());
    let mut texts = texts.filter(|_| reads && SaidView::of(&stored.notice, eyes).is_none());
    texts.next()
}

/// What operators have set up for themselves is not shown to owners.
fn may_see(delivery: &StoredDelivery, eyes: Eyes) -> bool {
    match (eyes, &delivery.channel) {
        (Eyes::Operator, _) | (Eyes::Owner, ChannelName::Mail) => true,
        (Eyes::Owner, ChannelName::Rt) => false,
        // An owner's webhook hears of nothing but his own tickets.
        (Eyes::Owner, ChannelName::Webhook(name)) => name.registered().is_some(),
    }
}

/// By what name an operator takes tickets. No owner looks after one.
fn taker(caller: &Caller) -> Result<String, Problem> {
    match caller.eyes() {
        Eyes::Operator => Ok(caller.name.clone()),
        Eyes::Owner => {
            Err(Problem::field("mine", "field mine is for operators, who take tickets; leave it out"))
        }
    }
}

/// What is shown of tickets, whatever their number by two queries.
pub(crate) async fn views(
    app: &App,
    caller: &Caller,
    tickets: &[Ticket],
) -> Result<Vec<TicketView>, Problem> {
    let migrations = migrations_of(app, tickets.iter().map(|ticket| ticket.migration)).await?;
    // What is still to come, if it is on its way back, has the time that people talk about.
    let reverts = migrations_of(app, migrations.values().filter_map(reverting)).await?;
    let views = tickets.iter().filter_map(|ticket| {
        let migration = migrations.get(&ticket.migration)?;
        let current = reverting(migration).and_then(|id| reverts.get(&id)).unwrap_or(migration);
        Some(TicketView::of(ticket, migration, &current.appointment, caller.eyes()))
    });
    Ok(views.collect())
}

pub(crate) async fn migrations_of(
    app: &App,
    ids: impl Iterator<Item = MigrationId>,
) -> Result<BTreeMap<MigrationId, Migration>, Problem> {
    let found = app.store.migrations_by_id(ids).await.map_err(|error| store_problem(&error))?;
    Ok(found.into_iter().map(|read| (read.value.id, read.value)).collect())
}

/// List tickets
///
/// Newest first. An owner sees his own.
#[utoipa::path(get, path = "/v1/tickets", tag = "tickets", params(Which), security(("token" = [])),
    responses((status = 200, description = "A page of tickets", body = Page<TicketView>), Problems))]
async fn list(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
) -> Result<Json<Page<TicketView>>, Problem> {
    let cursor = cursor(which.cursor.as_deref())?;
    let server = match &which.server {
        None => None,
        Some(given) => Some(match given.parse() {
            Ok(id) => id,
            Err(_) => find_server(&app.fleet(), &caller, given)?.facts.id,
        }),
    };
    let filter = TicketFilter {
        owner: owned(&caller, which.owner.as_deref())?,
        server,
        only: only(which.only.as_deref(), if which.needs_answer { Only::All } else { Only::Open })?,
        last_word: if which.needs_answer { LastWord::Owners } else { LastWord::Anybodys },
        taken_by: if which.mine { Some(taker(&caller)?) } else { None },
    };
    let page = app.store.tickets_page(&filter, cursor.as_ref(), limit(which.limit)?).await;
    let page = page.map_err(|error| store_problem(&error))?;
    let items = views(&app, &caller, &page.items).await?;
    Ok(Json(Page { items, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// Show a ticket
///
/// With everything that was told, and whether it arrived.
#[utoipa::path(get, path = "/v1/tickets/{ticket}", tag = "tickets",
    params(("ticket" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "The ticket", body = TicketView), Problems))]
async fn show(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Named(name): Named,
    known: Known,
) -> Result<Response, Problem> {
    let ticket = find_ticket(&app, &caller, &name).await?;
    let notices = app.store.notices_of(ticket.id).await.map_err(|error| store_problem(&error))?;
    let view = views(&app, &caller, std::slice::from_ref(&ticket)).await?.pop();
    let mut view = view.ok_or_else(|| Problem::not_found("ticket", &name))?;
    let mut notices: Vec<NoticeView> =
        notices.iter().map(|notice| NoticeView::of(notice, caller.eyes())).collect();
    if caller.eyes() == Eyes::Operator {
        for bounce in app.store.bounces_of(ticket.id).await.map_err(|error| store_problem(&error))? {
            let of = notices.iter_mut().find(|notice| notice.id == bounce.notice.0);
            let view = BounceView { address: bounce.address, why: bounce.why, at: bounce.at };
            of.into_iter().for_each(|notice| notice.bounces.push(view.clone()));
        }
    }
    view.notices = Some(notices);
    known.answer(None, &view)
}

/// Write into a ticket
///
/// An owner writes to the operators, an operator to the owner; each is told by mail. A ticket that is closed can be written to as
/// well, and stays closed.
#[utoipa::path(post, path = "/v1/tickets/{ticket}/messages", tag = "tickets", request_body = MessageBody,
    params(("ticket" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 201, description = "Written", body = NoticeView), Problems))]
async fn write(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Person, MessageBody>,
) -> Result<Reply, Problem> {
    let (wish, MessageBody { text }) = change.wish(app);
    wish.write(&name, &text, Via::Api).await
}

/// Take a ticket
///
/// The operator who asks looks after it from now on: what its owner writes, and what of it needs a person, is mailed to him alone where
/// his address is in `mail.operator_addresses`. One that another operator has is taken over from him only where he is named.
#[utoipa::path(post, path = "/v1/tickets/{ticket}/take", tag = "tickets", request_body = TakeTicket,
    params(("ticket" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "It is taken", body = TicketView), Problems))]
async fn take(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, TakeTicket>,
) -> Result<Reply, Problem> {
    let (wish, TakeTicket { from }) = change.wish(app);
    wish.take_ticket(&name, from.as_deref()).await
}

/// Give a ticket back
///
/// Nobody in particular looks after it from now on; only whoever has taken it can do so.
#[utoipa::path(post, path = "/v1/tickets/{ticket}/give-back", tag = "tickets",
    params(("ticket" = String, Path, description = "`DR-1001`, `1001` or its id")), security(("token" = [])),
    responses((status = 200, description = "It is nobody's in particular", body = TicketView), Problems))]
async fn give_back(
    State(app): State<Arc<App>>,
    Named(name): Named,
    change: Change<Operator, Nothing>,
) -> Result<Reply, Problem> {
    let (wish, Nothing {}) = change.wish(app);
    wish.give_ticket_back(&name).await
}
