//! A server with the reasons for its treatment, the audit log, the agents, the policies.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::console::agents::{AgentRow, AgentsPage};
use drover_pages::console::audit::AuditPage;
use drover_pages::console::policies::{ExplainForm, PoliciesPage, PolicyRule, Setting, Table};
use drover_pages::console::servers::{Disk, Place, Rule, ServerPage};
use drover_pages::design::DesignPage;
use drover_pages::form::{Action, Actions, Choice, Field, Form, Input, Weight};
use drover_pages::list::Filter;
use drover_pages::parts::Events;
use drover_pages::{Frame, Label, Tone};
use drover_policies::policy::{PolicySet, meaning};
use drover_policies::time::Span;

use super::form::{Posted, Typed};
use super::lists::{Column, Sought, arranged, listed, passed_over};
use super::migrations::{event, events};
use super::see;
use super::session::{AtConsole, Signed, Visitor};
use super::shown::{Shown, say, upper};
use super::when;
use crate::app::App;
use crate::commands::{find_server, store_problem};
use crate::http::doctor::findings;
use crate::http::events::{OF_LATE, story_of_late, view as view_of_event};
use crate::http::explain::explanation;
use crate::http::hosts::view;
use crate::http::policy::in_full;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{AgentView, EventView, PolicyRuleView, PolicyView, RuleView, Severity};
use crate::store::{EventFilter, Order, StoryPage};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/servers/{server}", get(server))
        .route("/servers/{server}/migrate", get(ask_migrate).post(migrate))
        .route("/audit", get(audit))
        .route("/agents", get(agents))
        .route("/policies", get(policies).post(check))
        .route("/policies/explain", get(explain))
        .route("/design", get(design))
}

fn rules(views: &[RuleView]) -> Vec<Rule> {
    let rule = |view: &RuleView| Rule {
        setting: view.setting.clone(),
        value: value_text(&view.value),
        said_by: view.said_by.clone(),
    };
    views.iter().map(rule).collect()
}

/// By what word the method is told by which a server can leave its host.
fn method(word: &str) -> Label {
    match word {
        "live" => Label::new("method-live", Tone::Good),
        "reboot" => Label::new("method-reboot", Tone::Waits),
        _ => Label::new("method-nothing", Tone::Bad),
    }
}

async fn server(
    State(app): State<Arc<App>>,
    Signed(visitor): Signed,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let told = explanation(&app, &visitor.caller, &given, None).await?;
    let fleet = app.fleet();
    let server = find_server(&fleet, &visitor.caller, &given)?;
    let filter = EventFilter {
        server: Some(server.facts.id),
        owner: visitor.caller.owner().cloned(),
        ..EventFilter::default()
    };
    let open = app.store.migrations_open_of(std::iter::once(server.facts.id)).await;
    let open = open.map_err(|error| store_problem(&error))?.pop().map(|read| read.value);
    let migrate =
        Action::ask("Move it by a restart", format!("/servers/{}/migrate", server.facts.id), Weight::Plain);
    let view = told.server;
    let page = ServerPage {
        id: view.id.to_string(),
        name: view.name,
        owner: view.owner.map(|owner| owner.to_string()).unwrap_or_default(),
        host: view.host.map(|host| host.to_string()),
        power: Label::from(server.facts.power),
        memory_bytes: view.memory_bytes,
        vcpus: view.vcpus,
        disks: view
            .disks
            .into_iter()
            .map(|disk| Disk {
                target: disk.target,
                bytes: disk.virtual_bytes,
                reach: disk.reach,
                source: disk.source,
            })
            .collect(),
        labels: view.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        observed_at: view.observed_at,
        migration: open.as_ref().map(|migration| (migration.number, Label::from(&migration.state))),
        method: method(&told.method),
        obstacles: told.obstacles.into_iter().chain(told.why).map(|why| (why.code, why.text)).collect(),
        downtime: Some(Span::milliseconds(told.expected_downtime_ms)),
        rules: rules(&told.rules),
        places: told
            .places
            .into_iter()
            .map(|place| Place { host: place.host.to_string(), suits: place.suits, why: place.why.text })
            .collect(),
        windows_from: told.windows_from,
        next_windows: told.next_windows.into_iter().map(Into::into).collect(),
        events: events(&story_of_late(&app, &visitor.caller, &filter, OF_LATE).await?),
        actions: Actions(if open.is_none() { vec![migrate] } else { Vec::new() }),
    };
    shown.page(&app, &page).await
}

fn migrate_form(
    frame: &Frame,
    id: &str,
    name: &str,
    typed: &Typed,
    error: Option<String>,
) -> drover_pages::confirm::Confirm {
    drover_pages::confirm::Confirm {
        question: format!("{name}: {}?", frame.t("Move it by a restart")),
        lead: String::new(),
        happens: [
            "A place is reserved on another host.",
            "At the time that you choose, or now, the server is shut down and started there.",
            "It is checked, and you are told.",
        ]
        .map(|line| frame.t(line))
        .to_vec(),
        stays: vec![frame.t("Until then it runs on as it is, and you can take it back.")],
        changed: None,
        form: Form {
            action: format!("/servers/{id}/migrate"),
            fields: vec![
                Field::line("start", "When")
                    .input(Input::Moment)
                    .value(typed.text("start"))
                    .hint("Left empty: now.")
                    .error(error),
            ],
            submit: "Move it",
            back: Some(format!("/servers/{id}")),
            ..Form::default()
        },
    }
}

async fn ask_migrate(
    State(app): State<Arc<App>>,
    Signed(visitor): Signed,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let facts = &find_server(&fleet, &visitor.caller, &given)?.facts;
    let frame = shown.around(&app).await?;
    shown.page(&app, &migrate_form(&frame, &facts.id.to_string(), &facts.name, &Typed::default(), None)).await
}

async fn migrate(
    State(app): State<Arc<App>>,
    Path(given): Path<String>,
    shown: Shown,
    Posted { who: Signed(visitor), typed, envelope }: Posted<Signed>,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let facts = find_server(&fleet, &visitor.caller, &given)?.facts.clone();
    let id = facts.id.to_string();
    let zone = shown.zone(&app).await?;
    let wish = visitor.wish(&app, envelope);
    let asked = match when::optional("start", &typed, zone) {
        Ok(at) => wish.migrate(&id, at, None).await,
        Err(problem) => Err(problem),
    };
    match asked {
        Ok(reply) => {
            say(&app, &visitor, true, "It is asked for.").await?;
            let root = if visitor.caller.owner().is_some() { "/my/migrations" } else { "/migrations" };
            let number = reply.body.get("number").map(ToString::to_string).unwrap_or_default();
            see(&format!("{root}/{number}"))
        }
        Err(problem) if problem.status < 500 => {
            let (frame, problem) = (shown.around(&app).await?, shown.told(&app, problem).await?);
            let page = migrate_form(&frame, &id, &facts.name, &typed, Some(upper(&problem.detail)));
            shown.refused(&app, Kind::InvalidField, &page).await
        }
        Err(problem) => Err(problem),
    }
}

/// Every component of the pages, for whoever makes one.
async fn design(State(app): State<Arc<App>>, _: AtConsole, shown: Shown) -> Result<Response, Problem> {
    shown.page(&app, &DesignPage {}).await
}

/// The whole story: it grows without end, so it is sorted, filtered and counted where it is stored.
async fn audit(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let kinds = app.store.event_kinds().await.map_err(|error| store_problem(&error))?;
    let filter = Filter {
        name: "kind",
        label: "col-kind",
        choices: kinds.into_iter().map(|kind| Choice { value: kind.clone(), text: kind }).collect(),
        chosen: sought.text("kind").to_owned(),
    };
    let page = StoryPage {
        kind: sought.text("kind").to_owned(),
        text: sought.text("q").to_owned(),
        order: if sought.text("sort") == "at" { Order::OldestFirst } else { Order::NewestFirst },
        ..StoryPage::default()
    };
    // Counted first: which page there is depends on how much there is.
    let (_, total) = app.store.events_page(&page).await.map_err(|error| store_problem(&error))?;
    let list = listed(&sought, vec![filter], total);
    let page = StoryPage { skip: passed_over(&list), take: list.per_page, ..page };
    let (events, _) = app.store.events_page(&page).await.map_err(|error| store_problem(&error))?;
    let views: Vec<EventView> =
        events.iter().filter_map(|(seq, event)| view_of_event(&visitor.caller, *seq, event)).collect();
    shown.page(&app, &AuditPage { list, events: Events(views.iter().map(event).collect()) }).await
}

const AGENT_COLUMNS: [Column<AgentRow>; 4] = [
    ("name", |a, b| a.host.cmp(&b.host)),
    ("host", |a, b| a.host.cmp(&b.host)),
    ("state", |a, b| a.state.tone.cmp(&b.state.tone)),
    ("seen", |a, b| a.last_seen.cmp(&b.last_seen)),
];

/// `0.1.0, protocol 4`, as far as it is known.
fn version_of(agent: &AgentView) -> String {
    let protocol = agent.protocol.map(|version| format!("protocol {version}"));
    agent.version.clone().into_iter().chain(protocol).collect::<Vec<_>>().join(", ")
}

async fn agents(
    State(app): State<Arc<App>>,
    _: AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let fleet = app.fleet();
    let rows = fleet.hosts.values().map(|host| {
        let view = view(&app, &fleet, host);
        AgentRow {
            host: view.name.to_string(),
            state: Label::agent(view.agent.silent),
            last_seen: view.agent.last_seen,
            version: version_of(&view.agent),
            hypervisor: format!("libvirt {}, QEMU {}", view.libvirt_version, view.qemu_version),
            certificates: host.facts.agent.iter().flat_map(|agent| agent.certificates.clone()).collect(),
        }
    });
    let (list, agents) =
        arranged(&sought, rows.collect(), &AGENT_COLUMNS, &[], |row: &AgentRow| row.host.clone());
    let wrong = findings(&app).await?.items.into_iter().filter_map(|finding| {
        let tone = match finding.severity {
            Severity::Ok => return None,
            Severity::Warning => Tone::Warn,
            Severity::Problem => Tone::Bad,
        };
        Some((tone, upper(&finding.text), finding.remedy))
    });
    shown.page(&app, &AgentsPage { list, agents, findings: wrong.collect() }).await
}

/// The settings by their tables, each in the order of the shipped file, which explains them.
fn tables(settings: &[RuleView]) -> Vec<Table> {
    let placed = rules(settings).into_iter().map(|rule| (meaning(&rule.setting), rule));
    let mut placed: Vec<_> = placed.collect();
    placed.sort_by_key(|(meaning, _)| meaning.map_or(usize::MAX, |(place, _)| place));
    let mut tables: Vec<Table> = Vec::new();
    for (meaning, rule) in placed {
        let name = rule.setting.split('.').next().unwrap_or_default().to_owned();
        let text = meaning.map(|(_, text)| text.to_owned()).unwrap_or_default();
        let setting = Setting { rule, meaning: text };
        match tables.iter_mut().find(|table| table.name == name) {
            Some(table) => table.settings.push(setting),
            None => tables.push(Table { name, settings: vec![setting] }),
        }
    }
    tables
}

fn policy_rule(view: PolicyRuleView) -> PolicyRule {
    PolicyRule {
        name: view.name,
        about: view.about,
        said_by: view.said_by,
        servers: view.servers.unwrap_or_default(),
        sets: view.sets.into_iter().map(|(setting, value)| (setting, value_text(&value))).collect(),
    }
}

/// A setting's value as people read it: `7d, 24h` for a list of texts.
fn value_text(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", value_text(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null | Value::Number(_) => value.to_string(),
    }
}

fn policies_page(app: &App, typed: &Typed, findings: Option<Vec<(Tone, String)>>) -> PoliciesPage {
    let PolicyView { settings, rules } = in_full(app);
    PoliciesPage {
        tables: tables(&settings),
        rules: rules.into_iter().map(policy_rule).collect(),
        check: Form {
            action: "/policies".to_owned(),
            fields: vec![
                Field::line("text", "A policy file (TOML)")
                    .input(Input::Text)
                    .value(typed.text("text"))
                    .required(),
            ],
            submit: "Check it",
            ..Form::default()
        },
        findings,
        explain: ExplainForm::default(),
    }
}

async fn policies(State(app): State<Arc<App>>, _: AtConsole, shown: Shown) -> Result<Response, Problem> {
    shown.page(&app, &policies_page(&app, &Typed::default(), None)).await
}

async fn check(
    State(app): State<Arc<App>>,
    shown: Shown,
    Posted { typed, .. }: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let findings = match PolicySet::parse(&[("policy.toml", typed.text("text"))]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| (Tone::Bad, problem.to_string())).collect(),
    };
    shown.page(&app, &policies_page(&app, &typed, Some(findings))).await
}

async fn explain(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let q = sought.text("server").to_owned();
    match find(&app, &visitor, &q) {
        Ok(id) => see(&format!("/servers/{id}")),
        Err(problem) => {
            let page = PoliciesPage {
                explain: ExplainForm { q, error: Some(upper(&problem.detail)) },
                ..policies_page(&app, &Typed::default(), None)
            };
            shown.refused(&app, Kind::NotFound, &page).await
        }
    }
}

fn find(app: &App, visitor: &Visitor, given: &str) -> Result<String, Problem> {
    find_server(&app.fleet(), &visitor.caller, given).map(|server| server.facts.id.to_string())
}
