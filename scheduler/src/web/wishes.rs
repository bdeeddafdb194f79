//! What an owner wishes for all that is his: windows, freezes, limits, and how he is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use drover_pages::console::windows::AllWindowsPage;
use drover_pages::form::{Action, Field, Form, Input, Weight};
use drover_pages::portal::contacts::ContactsPage;
use drover_pages::portal::windows::{self as model, Scope, What, WithoutOpening};
use drover_policies::appointment::Appointment;
use drover_policies::attempt::Method;
use drover_policies::ids::{OwnerId, ServerId};
use drover_policies::migration::Migration;
use drover_policies::owners::Whose;
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{Slot, Slots};

use super::form::{Posted, Typed};
use super::lists::{By, Column, Sought, arranged};
use super::see;
use super::session::{AtConsole, AtPortal, Visitor};
use super::shown::{Shown, new_id, say, upper};
use crate::app::App;
use crate::commands::owners::Really;
use crate::commands::{Reply, Wish, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{
    ContactBody, ContactView, DaysView, FreezeBody, FreezeView, LimitBody, LimitView, OpensView, ScopeView,
    SlotView, WindowBody, WindowView,
};
use crate::http::windows::view;
use crate::situation::Loaded;

/// How far ahead the next openings are looked for, and how many are shown.
const AHEAD: Span = Span::days(90);
const OPENINGS: usize = 10;

/// How long ago mail may have come back for its address to be named.
const OF_LATE: Span = Span::days(30);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/windows", get(all_windows))
        .route("/my/windows", get(windows))
        .route("/my/windows/window", post(add_window))
        .route("/my/windows/freeze", post(add_freeze))
        .route("/my/windows/limit", post(add_limit))
        .route("/my/windows/window/{window}/remove", post(remove_window))
        .route("/my/windows/freeze/{freeze}/remove", post(remove_freeze))
        .route("/my/windows/limit/{limit}/remove", post(remove_limit))
        .route("/my/contacts", get(contacts).post(put_contacts))
}

fn scope(view: &ScopeView) -> Scope {
    match view {
        ScopeView::Server { server } => Scope::Server(server.clone()),
        ScopeView::Label { name, value } => Scope::Label(format!("{name}={value}")),
        ScopeView::Account => Scope::All,
    }
}

/// A scope as it is typed: nothing, `name=value`, or a server's name.
fn scope_of(text: &str) -> ScopeView {
    match text.split_once('=') {
        _ if text.is_empty() => ScopeView::Account,
        Some((name, value)) => {
            ScopeView::Label { name: name.trim().to_owned(), value: value.trim().to_owned() }
        }
        None => ScopeView::Server { server: text.to_owned() },
    }
}

fn slots(views: &[SlotView]) -> Vec<Slot> {
    views.iter().copied().map(Into::into).collect()
}

/// Who sees wishes: an owner may take away his own.
#[derive(Debug, Clone, Copy)]
enum Seen {
    ByOwner,
    ByOperators,
}

impl Seen {
    fn remove(self, kind: &str, id: &impl ToString) -> Option<Action> {
        let href = format!("/my/windows/{kind}/{}/remove", id.to_string());
        match self {
            Self::ByOwner => Some(Action::act("remove", href, None, Weight::Danger)),
            Self::ByOperators => None,
        }
    }

    fn window(self, view: &WindowView) -> model::Wish {
        let OpensView { cron, duration, timezone, .. } = &view.opens;
        let parts = [cron, duration, timezone].into_iter().flatten().cloned().collect::<Vec<_>>();
        model::Wish {
            what: if parts.is_empty() { What::Once } else { What::Opens(parts.join(", ")) },
            scope: scope(&view.scope),
            owner: view.owner.to_string(),
            failure: None,
            next: slots(&view.next),
            remove: self.remove("window", &view.id),
        }
    }

    fn freeze(self, view: &FreezeView) -> model::Wish {
        let days = view.days.as_ref();
        model::Wish {
            what: What::Frozen {
                name: view.name.clone(),
                days: days.map(|days| [days.from.to_string(), days.to.to_string(), days.timezone.clone()]),
            },
            scope: scope(&view.scope),
            owner: view.owner.to_string(),
            failure: view.calendar.as_ref().and_then(|calendar| calendar.failure.clone()),
            next: slots(&view.next),
            remove: self.remove("freeze", &view.id),
        }
    }

    fn limit(self, view: &LimitView) -> model::Wish {
        model::Wish {
            what: What::AtMost(view.max_simultaneous),
            scope: scope(&view.scope),
            owner: view.owner.to_string(),
            failure: None,
            next: Vec::new(),
            remove: self.remove("limit", &view.id),
        }
    }

    /// Windows, freezes and limits of one account, or of all.
    async fn wishes(self, app: &App, owner: Option<&OwnerId>) -> Result<[Vec<model::Wish>; 3], Problem> {
        let failed = |error| store_problem(&error);
        let windows = match owner {
            Some(owner) => app.store.windows_of(owner).await,
            None => app.store.windows().await,
        };
        let (freezes, limits) = (app.store.freezes(owner).await, app.store.limits(owner).await);
        let now = app.clock.now();
        Ok([
            windows.map_err(failed)?.iter().map(|stored| self.window(&view(app, stored))).collect(),
            freezes
                .map_err(failed)?
                .iter()
                .map(|stored| self.freeze(&FreezeView::of(&stored.value, now)))
                .collect(),
            limits.map_err(failed)?.iter().map(|stored| self.limit(&LimitView::from(stored))).collect(),
        ])
    }
}

/// What the owners of all servers have said of when these may be restarted.
pub(super) async fn all_wishes(app: &App) -> Result<Vec<model::Wish>, Problem> {
    Ok(Seen::ByOperators.wishes(app, None).await?.concat())
}

/// A form whose last try was refused.
struct Wrong<'a> {
    kind: &'static str,
    typed: &'a Typed,
    problem: &'a Problem,
}

fn new_form(kind: &'static str, zone: &str, wrong: Option<&Wrong<'_>>) -> Form {
    let wrong = wrong.filter(|wrong| wrong.kind == kind);
    let typed = |name: &str, usual: &str| {
        wrong.map_or_else(|| usual.to_owned(), |wrong| wrong.typed.text(name).to_owned())
    };
    let line =
        |name: &'static str, label: &str, usual: &str| Field::line(name, label).value(typed(name, usual));
    let mut fields = match kind {
        "window" => vec![
            line("cron", "Opens", "0 2 * * 0")
                .hint("Minute, hour, day of month, month, day of week: 0 2 * * 0 is each Sunday at 02:00.")
                .required(),
            line("duration", "For how long", "4h").required(),
            line("timezone", "Time zone", zone).required(),
        ],
        "freeze" => vec![
            line("name", "What is it?", "").required(),
            line("from", "First day", "").input(Input::Day).required(),
            line("to", "Last day", "").input(Input::Day).required(),
            line("timezone", "Time zone", zone).required(),
        ],
        _ => vec![line("max_simultaneous", "At most", "1").input(Input::Number).required()],
    };
    fields.push(
        line("scope", "For which servers", "")
            .hint("Left empty: all. A label such as tier=db, or a server's name."),
    );
    Form {
        action: format!("/my/windows/{kind}"),
        fields,
        submit: "add",
        error: wrong.map(|wrong| upper(&wrong.problem.detail)),
        ..Form::default()
    }
}

async fn page(
    app: &App,
    visitor: &Visitor,
    zone: &str,
    wrong: Option<Wrong<'_>>,
) -> Result<model::WindowsPage, Problem> {
    let [windows, freezes, limits] = Seen::ByOwner.wishes(app, visitor.caller.owner()).await?;
    let Openings { next, without } = openings(app, visitor).await?;
    let form = |kind| new_form(kind, zone, wrong.as_ref());
    Ok(model::WindowsPage {
        windows,
        freezes,
        limits,
        next,
        without_opening: without,
        new_window: form("window"),
        new_freeze: form("freeze"),
        new_limit: form("limit"),
    })
}

/// What an owner's windows and freezes leave, taken together.
#[derive(Default)]
struct Openings {
    /// When any of his servers may be restarted next.
    next: Vec<Slot>,
    /// Those of his that have to be, and can't.
    without: Vec<WithoutOpening>,
}

async fn openings(app: &App, visitor: &Visitor) -> Result<Openings, Problem> {
    let Some(owner) = visitor.caller.owner() else { return Ok(Openings::default()) };
    let loaded = Loaded::read(app).await.map_err(|error| store_problem(&error))?;
    let range = Slot::from_start(loaded.now, AHEAD);
    let open: BTreeMap<ServerId, &Migration> =
        loaded.migrations().map(|migration| (migration.server, migration)).collect();
    let seen = loaded.fleet.servers();
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for server in seen.values().filter(|server| server.facts.owner.as_ref() == Some(owner)) {
        let policy =
            app.policies.effective(&drover_policies::policy::Subject::of(server, &loaded.fleet)).policy;
        let slots = loaded.owners().open_for(&Whose::server(server), &policy, range).0;
        if let Some(migration) = open.get(&server.facts.id)
            && migration.method == Method::Reboot
            && migration.appointment == Appointment::Unscheduled
            && !slots.iter().any(|slot| slot.start < migration.deadline)
        {
            let server = migration.server_name.clone();
            without.push(WithoutOpening { server, deadline: migration.deadline });
        }
        all.extend(slots);
    }
    let next = all.into_iter().collect::<Slots>().into_vec().into_iter().take(OPENINGS).collect();
    Ok(Openings { next, without })
}

const COLUMNS: [Column<model::Wish>; 5] = [
    ("wish", |a, b| a.what.cmp(&b.what)),
    ("kind", |a, b| a.kind().cmp(b.kind())),
    ("owner", |a, b| a.owner.cmp(&b.owner)),
    ("scope", |a, b| a.scope.cmp(&b.scope)),
    ("next", |a, b| opens(a).cmp(&opens(b))),
];

/// When it holds next. What never does comes last.
fn opens(wish: &model::Wish) -> (bool, Option<Instant>) {
    let first = wish.next.first().map(|slot| slot.start);
    (first.is_none(), first)
}

const BY_KIND: By<model::Wish> = ("kind", "col-sort", |wish| wish.kind().to_owned());

async fn all_windows(
    State(app): State<Arc<App>>,
    _: AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let wishes = all_wishes(&app).await?;
    let (list, wishes) = arranged(&sought, wishes, &COLUMNS, &[BY_KIND], model::Wish::words);
    shown.page(&app, &AllWindowsPage { list, wishes }).await
}

async fn windows(
    State(app): State<Arc<App>>,
    AtPortal(visitor): AtPortal,
    shown: Shown,
) -> Result<Response, Problem> {
    let zone = shown.zone(&app).await?;
    let page = page(&app, &visitor, zone.name(), None).await?;
    shown.page(&app, &page).await
}

/// Says that it was done, or shows the form again with what was wrong.
async fn settled(
    app: &App,
    shown: &Shown,
    visitor: &Visitor,
    (kind, typed): (&'static str, &Typed),
    done: Result<Reply, Problem>,
) -> Result<Response, Problem> {
    match done {
        Ok(_) => {
            say(app, visitor, true, "It holds from now on. Times that were agreed before stand.").await?;
            see("/my/windows")
        }
        Err(problem) if problem.status < 500 => {
            let problem = shown.told(app, problem).await?;
            let zone = shown.zone(app).await?;
            let wrong = Wrong { kind, typed, problem: &problem };
            let page = page(app, visitor, zone.name(), Some(wrong)).await?;
            shown.refused(app, Kind::InvalidField, &page).await
        }
        Err(problem) => Err(problem),
    }
}

fn wish(app: &Arc<App>, posted: &Posted<AtPortal>) -> Wish {
    posted.who.0.wish(app, posted.envelope.clone())
}

async fn add_window(
    State(app): State<Arc<App>>,
    shown: Shown,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let typed = &posted.typed;
    let some = |name: &str| typed.some(name).map(ToOwned::to_owned);
    let done = async {
        // The API takes a missing one for UTC, and says so in its answer; whoever empties a field meant something else.
        let timezone = some("timezone").ok_or_else(|| {
            Problem::field("opens.timezone", "the time zone is empty; write one such as Europe/Berlin")
        })?;
        let opens = OpensView {
            cron: some("cron"),
            duration: some("duration"),
            timezone: Some(timezone),
            ..OpensView::default()
        };
        let body = WindowBody { owner: None, scope: scope_of(typed.text("scope")), opens };
        wish(&app, &posted).put_window(&new_id(&app), &body, Really::Do).await
    };
    let done = done.await;
    settled(&app, &shown, &posted.who.0, ("window", typed), done).await
}

async fn add_freeze(
    State(app): State<Arc<App>>,
    shown: Shown,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let typed = &posted.typed;
    let day = |field: &str| {
        let text = typed.text(field);
        text.parse()
            .map_err(|_| Problem::field(field, format!("{text:?} is no day; write one like 2026-12-19")))
    };
    let done = async {
        let timezone = typed.text("timezone").to_owned();
        let days = DaysView { from: day("from")?, to: day("to")?, timezone };
        let body = FreezeBody {
            owner: None,
            scope: scope_of(typed.text("scope")),
            name: typed.text("name").to_owned(),
            days: Some(days),
            calendar: None,
            url: None,
            timezone: None,
        };
        wish(&app, &posted).put_freeze(&new_id(&app), &body).await
    };
    settled(&app, &shown, &posted.who.0, ("freeze", typed), done.await).await
}

async fn add_limit(
    State(app): State<Arc<App>>,
    shown: Shown,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let typed = &posted.typed;
    let done = async {
        let text = typed.text("max_simultaneous");
        let most = text.parse().map_err(|_| {
            Problem::field(
                "max_simultaneous",
                format!("{text:?} is no number of servers; write one such as 1"),
            )
        })?;
        let body = LimitBody { owner: None, scope: scope_of(typed.text("scope")), max_simultaneous: most };
        wish(&app, &posted).put_limit(&new_id(&app), &body).await
    };
    settled(&app, &shown, &posted.who.0, ("limit", typed), done.await).await
}

async fn removed(app: &App, visitor: &Visitor, done: Result<Reply, Problem>) -> Result<Response, Problem> {
    done?;
    say(app, visitor, true, "Removed. Times that were agreed before stand.").await?;
    see("/my/windows")
}

async fn remove_window(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    removed(&app, &posted.who.0, wish(&app, &posted).remove_window(&id).await).await
}

async fn remove_freeze(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    removed(&app, &posted.who.0, wish(&app, &posted).remove_freeze(&id).await).await
}

async fn remove_limit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    removed(&app, &posted.who.0, wish(&app, &posted).remove_limit(&id).await).await
}

fn contact_form(typed: &Typed, wrong: Option<&Problem>) -> Form {
    let field = wrong.and_then(|problem| problem.more.get("field")).and_then(|field| field.as_str());
    let error = |name: &str| {
        wrong
            .filter(|_| field.is_some_and(|field| field.starts_with(name)))
            .map(|problem| upper(&problem.detail))
    };
    let line =
        |name: &'static str, label: &str| Field::line(name, label).value(typed.text(name)).error(error(name));
    let known = ["name", "mail", "timezone", "language"];
    let placed = field.is_some_and(|field| known.iter().any(|name| field.starts_with(name)));
    Form {
        action: "/my/contacts".to_owned(),
        fields: vec![
            line("name", "Name"),
            line("mail", "Mail addresses").input(Input::Text).hint("One on each line."),
            line("timezone", "Time zone").hint("Such as Europe/Berlin.").required(),
            line("language", "Language").hint("Such as en or de.").required(),
            line("reminders", "Mail me reminders").input(Input::Check),
        ],
        submit: "save",
        error: wrong.filter(|_| !placed).map(|problem| upper(&problem.detail)),
        ..Form::default()
    }
}

/// The mail addresses that are typed, one on each line.
fn addresses(typed: &Typed) -> impl Iterator<Item = &str> {
    typed.text("mail").lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Those of the addresses from which mail came back of late.
async fn came_back(app: &App, typed: &Typed) -> Result<Vec<String>, Problem> {
    let since = app.clock.now() - OF_LATE.delta();
    let bounced = app.store.bounced_since(since).await.map_err(|error| store_problem(&error))?;
    let has = |address: &&str| bounced.iter().any(|one| one.eq_ignore_ascii_case(address));
    Ok(addresses(typed).filter(has).map(ToOwned::to_owned).collect())
}

async fn contacts(
    State(app): State<Arc<App>>,
    AtPortal(visitor): AtPortal,
    shown: Shown,
) -> Result<Response, Problem> {
    let known = match visitor.caller.owner() {
        Some(owner) => app.store.owner(owner).await.map_err(|error| store_problem(&error))?,
        None => None,
    };
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let typed = match known.as_ref().map(ContactView::from) {
        Some(contact) => Typed(vec![
            pair("name", contact.name),
            pair("mail", contact.mail.join("\n")),
            pair("timezone", contact.timezone),
            pair("language", contact.language.to_string()),
            pair("reminders", if contact.reminders { "on" } else { "" }.to_owned()),
        ]),
        None => Typed(vec![
            pair("timezone", "UTC".to_owned()),
            pair("language", "en".to_owned()),
            pair("reminders", "on".to_owned()),
        ]),
    };
    let bounces = came_back(&app, &typed).await?;
    shown.page(&app, &ContactsPage { form: contact_form(&typed, None), bounces }).await
}

async fn put_contacts(
    State(app): State<Arc<App>>,
    shown: Shown,
    posted: Posted<AtPortal>,
) -> Result<Response, Problem> {
    let (visitor, typed) = (&posted.who.0, &posted.typed);
    let text = |name: &str| typed.text(name).to_owned();
    let body = ContactBody {
        name: text("name"),
        mail: addresses(typed).map(ToOwned::to_owned).collect(),
        timezone: text("timezone"),
        language: text("language"),
        reminders: typed.ticked("reminders"),
    };
    match wish(&app, &posted).put_owner(&visitor.caller.name, &body).await {
        Ok(_) => {
            say(&app, visitor, true, "Saved.").await?;
            see("/my/contacts")
        }
        Err(problem) if problem.status < 500 => {
            let problem = shown.told(&app, problem).await?;
            let bounces = came_back(&app, typed).await?;
            let page = ContactsPage { form: contact_form(typed, Some(&problem)), bounces };
            shown.refused(&app, Kind::InvalidField, &page).await
        }
        Err(problem) => Err(problem),
    }
}
