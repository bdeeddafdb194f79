//! Migrations as pages show them, to operators and to owners alike: what the API shows to the same eyes, in the models of the pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::chart::{Curve, CurvePoint};
use drover_pages::console::migrations::{
    Attempt, MigrationLive, MigrationPage, MigrationRow, MigrationsPage, Moved,
};
use drover_pages::form::{Action, Actions, Choice, Weight};
use drover_pages::html::segment;
use drover_pages::list::Filter;
use drover_pages::parts::{
    Check, Checks, Delivery, Event, Events, Message, Messages, Progress, Replica, Test, Thread, Tooks, Voice,
};
use drover_pages::{Label, Tone};
use drover_policies::appointment::Appointment;
use drover_policies::attempt::{Method, PhaseDone};
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::{Confirmation, Migration, State as Life};
use drover_policies::notices::Tells;
use drover_policies::time::Span;
use drover_policies::windows::Slot;

use super::lists::{By, Column, Sought, arranged};
use super::session::{AtConsole, Visitor};
use super::shown::Shown;
use super::steps::{steps, took_of};
use super::tickets::message_form;
use crate::agents::Reading;
use crate::app::App;
use crate::commands::migrations::policy_of;
use crate::commands::{find_maintenance, store_problem};
use crate::http::events::story;
use crate::http::migrations::views;
use crate::http::problem::Problem;
use crate::http::views::{
    ActorKind, AttemptView, DeliveryState, EventView, FindingView, MigrationView, NoticeView, ProgressView,
    Reason, ReplicaView, TestView,
};
use crate::store::{EventFilter, MigrationFilter, Only, Ticket, Versioned};
use crate::upcoming::estimate;

/// A migration with all that its page shows.
pub(super) struct Read {
    pub found: Versioned<Migration>,
    pub view: MigrationView,
    pub events: Vec<EventView>,
    /// Of what runs.
    readings: Vec<Reading>,
    /// The steps of the latest attempt that are over.
    done: Vec<PhaseDone>,
}

impl Read {
    pub(super) async fn of(
        app: &App,
        visitor: &Visitor,
        found: Versioned<Migration>,
    ) -> Result<Self, Problem> {
        let filter = EventFilter { migration: Some(found.value.id), ..EventFilter::default() };
        let events = story(app, &visitor.caller, &filter).await?;
        let view = views(app, &visitor.caller, &[&found.value]).await?.pop();
        let view = view.ok_or_else(|| Problem::not_found("migration", &found.value.number.to_string()))?;
        let running = found.value.state.operation();
        let readings = running.map(|operation| app.readings(operation)).unwrap_or_default();
        // Those of a running one are stored when it ends.
        let done = match running.and_then(|operation| app.progress(operation)) {
            Some(progress) => progress.done,
            None => found.value.attempts.last().map(|attempt| attempt.phases.clone()).unwrap_or_default(),
        };
        Ok(Self { found, view, events, readings, done })
    }

    pub(super) fn migration(&self) -> &Migration {
        &self.found.value
    }

    /// The steps of the latest attempt that are over.
    pub(super) fn done(&self) -> &[PhaseDone] {
        &self.done
    }
}

/// How long a server is expected to be off.
pub(super) async fn expected(
    app: &App,
    migration: &Migration,
) -> Result<drover_policies::estimate::Estimate, Problem> {
    let history = app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
    let downtimes = history.get(&migration.server).map_or(&[][..], Vec::as_slice);
    let fleet = app.fleet();
    let server = fleet.server(migration.server).map(|server| &server.facts);
    Ok(estimate(migration, &policy_of(app, migration), server, downtimes))
}

/// What can be done with it now, at `root`.
pub(super) fn actions(read: &Read, root: &str, owner: bool) -> Vec<Action> {
    let migration = read.migration();
    let at = |act: &str| format!("{root}/{}/{act}", migration.number);
    let mut actions = Vec::new();
    if migration.has_appointment().is_ok() {
        if matches!(migration.appointment, Appointment::Proposed { .. }) {
            actions.push(Action::ask("accept-time", at("approve"), Weight::Main));
        }
        let times = if owner { "times" } else { "reschedule" };
        actions.push(Action::ask("pick-another-time", at(times), Weight::Plain));
    }
    if migration.can_be_started().is_ok() {
        actions.push(Action::ask("migrate-now", at("start-now"), Weight::Plain));
        if migration.maintenance.is_none() {
            actions.push(Action::ask("cancel", at("cancel"), Weight::Danger));
        }
    }
    if let Life::Completed { confirmation: Confirmation::Awaited { .. }, .. } = migration.state {
        actions.push(Action::ask("confirm-good", at("confirm"), Weight::Main));
        actions.push(Action::ask("revert", at("revert"), Weight::Danger));
    }
    if read.view.replica.as_ref().is_some_and(|replica| replica.figures.ready && !replica.figures.paused) {
        actions.push(Action::ask("launch-test", at("test"), Weight::Plain));
        actions.push(Action::ask("sync-now", at("sync"), Weight::Plain));
    }
    if !owner {
        let kept = read.view.replica.as_ref().filter(|replica| replica.figures.is_kept());
        actions.extend(kept.map(|replica| match replica.figures.paused {
            true => Action::ask("resume-copy", at("resume-replica"), Weight::Plain),
            false => Action::ask("pause-copy", at("pause-replica"), Weight::Plain),
        }));
        actions.extend(operators_actions(migration, &at));
    }
    actions
}

fn operators_actions(migration: &Migration, at: &impl Fn(&str) -> String) -> Vec<Action> {
    let can_retry = migration.clone().retry().is_ok();
    let can_force = migration.clone().force(Span::ZERO).is_ok();
    [
        (can_force, "force", "force", Weight::Danger),
        (can_retry, "retry", "retry", Weight::Plain),
        (migration.abort().is_ok(), "abort", "abort", Weight::Danger),
    ]
    .into_iter()
    .filter(|(can, ..)| *can)
    .map(|(_, label, act, weight)| Action::ask(label, at(act), weight))
    .collect()
}

/// How far it is; nothing for steps that send nothing.
pub(super) fn progress(view: &ProgressView) -> Option<Progress> {
    (view.total_bytes > 0).then(|| Progress {
        at: view.at,
        percent: view.percent,
        total_bytes: view.total_bytes,
        sent_bytes: view.sent_bytes,
        remaining_bytes: view.remaining_bytes,
        rate: view.rate,
        dirty_rate: view.dirty_rate,
        iteration: view.iteration,
        expected_downtime: Span::milliseconds(view.expected_downtime_ms),
        allowed_downtime: (view.allowed_downtime_ms > 0)
            .then(|| Span::milliseconds(view.allowed_downtime_ms)),
    })
}

/// What it had left, over time, while it runs.
pub(super) fn curve(read: &Read) -> Option<Curve> {
    let point = |reading: &Reading| CurvePoint {
        at: reading.at,
        remaining_bytes: reading.remaining_bytes,
        dirty_rate: reading.dirty_rate,
    };
    let points: Vec<CurvePoint> = read.readings.iter().map(point).collect();
    let total_bytes = read.view.progress.as_ref().map_or(0, |progress| progress.total_bytes);
    (points.len() > 1).then_some(Curve { total_bytes, points })
}

pub(super) fn replica(view: &ReplicaView) -> Replica {
    let figures = &view.figures;
    let tone = match (&figures.stalled, figures.late, figures.ready) {
        (Some(_), _, _) => Tone::Bad,
        (None, true, _) => Tone::Warn,
        (None, false, true) => Tone::Good,
        (None, false, false) => Tone::Busy,
    };
    Replica {
        text: figures.text.clone(),
        tone,
        initial_percent: figures.initial_percent,
        lag: figures.lag_seconds.map(Span::seconds),
        lag_bytes: figures.lag_bytes,
        late: figures.late,
        rounds: figures.rounds,
        round_percent: figures.round.as_ref().map(|round| round.percent),
        next_at: figures.next_at,
        dirty_rate: figures.dirty_rate,
        stalled: figures.stalled.as_ref().map(|stalled| stalled.failure.meaning.clone()),
    }
}

pub(super) fn test(view: &TestView, number: u32, root: &str) -> Test {
    let at = |act: &str| format!("{root}/{number}/{act}");
    let well = view.alive.map(|alive| alive && view.well.unwrap_or(true));
    let tone = match (view.result.as_deref(), well) {
        (Some("passed"), _) | (None, Some(true)) => Tone::Good,
        (Some(_), _) | (None, Some(false)) => Tone::Warn,
        (None, None) => Tone::Busy,
    };
    let mut actions = Vec::new();
    if view.alive.is_some() {
        actions.push(Action::ask("test-passed", at("test-passed"), Weight::Plain));
        actions.push(Action::ask("test-failed", at("test-failed"), Weight::Plain));
    }
    if view.name.is_some() && view.ended.is_none() {
        actions.push(Action::ask("end-test", at("end-test"), Weight::Plain));
    }
    Test {
        state: view.state.clone(),
        ended: view.ended.clone(),
        result: view.result.clone(),
        tone,
        name: view.name.clone(),
        consistent_at: view.consistent_at,
        until: view.until,
        seen: view.seen.clone(),
        answered_after: view.answered_after_ms.map(Span::milliseconds),
        checks: checks(&view.checks),
        console: view.console.clone(),
        actions: drover_pages::form::Actions(actions),
    }
}

pub(super) fn checks(findings: &[FindingView]) -> Checks {
    let check = |finding: &FindingView| {
        let tone = match (finding.verdict.as_str(), finding.must_pass) {
            ("passed", _) => Tone::Good,
            ("failed", true) => Tone::Bad,
            ("failed", false) => Tone::Warn,
            (_, _) => Tone::Quiet,
        };
        Check {
            item: finding.item.clone(),
            name: finding.name.clone(),
            verdict: finding.verdict.clone(),
            seen: finding.seen.clone(),
            tone,
        }
    };
    Checks(findings.iter().map(check).collect())
}

/// Whether there is a word to be said of its time: what goes live has none, and what is over without one never had any.
pub(super) fn needs_time(migration: &Migration) -> bool {
    migration.appointment != Appointment::Unscheduled
        || (migration.is_open() && migration.method == Method::Reboot)
}

/// What happened, the latest first; of a page about one thing without its name.
pub(super) fn events(views: &[EventView]) -> Events {
    let nameless = |view| Event { subject: String::new(), href: None, ..event(view) };
    Events(views.iter().rev().map(nameless).collect())
}

/// The same of a page about several things: each says of whom it is.
pub(super) fn events_of_several(views: &[EventView]) -> Events {
    Events(views.iter().rev().map(event).collect())
}

pub(super) fn event(view: &EventView) -> Event {
    let host = view.host.as_ref().map(ToString::to_string);
    Event {
        at: view.at,
        href: view
            .migration
            .map(|id| format!("/migrations/{id}"))
            .or_else(|| host.as_ref().map(|host| format!("/hosts/{}", segment(host)))),
        subject: view.server_name.clone().or(host).unwrap_or_default(),
        text: view.saying(),
        tone: tone_of(&view.kind),
    }
}

/// What a kind of event means for whoever looks.
fn tone_of(kind: &str) -> Tone {
    if ["failed", "gave_up", "not_alive", "checks_failed"].iter().any(|word| kind.contains(word)) {
        Tone::Bad
    } else if ["rolled_back", "aborting", "missed", "stalled"].iter().any(|word| kind.contains(word)) {
        Tone::Warn
    } else if ["arrived", "completed", "succeeded", "drained", "confirmed"]
        .iter()
        .any(|word| kind.contains(word))
    {
        Tone::Good
    } else {
        Tone::Quiet
    }
}

/// The time that a message tells of.
fn told_slot(tells: &Tells) -> Option<Slot> {
    // Each kind that tells of one has it under the same name.
    let value = serde_json::to_value(tells).ok()?;
    serde_json::from_value(value.get("slot")?.clone()).ok()
}

/// A message of a ticket.
fn message(view: NoticeView, slot: Option<Slot>) -> Message {
    let (voice, name, text) = match view.said {
        Some(said) => {
            let voice = match said.by.who {
                ActorKind::Operator => Voice::Operator,
                ActorKind::Owner => Voice::Owner,
                ActorKind::Drover => Voice::Drover,
            };
            (voice, said.by.name.unwrap_or_default(), said.text)
        }
        None => (Voice::Drover, String::new(), view.text.unwrap_or_default()),
    };
    let deliveries = view.deliveries.into_iter().map(|delivery| Delivery {
        channel: delivery.channel.to_string(),
        state: delivery.state.as_str(),
        tone: match delivery.state {
            DeliveryState::Delivered => Tone::Good,
            DeliveryState::Waiting => Tone::Busy,
            DeliveryState::Undeliverable => Tone::Bad,
        },
    });
    Message { at: view.at, voice, name, kind: view.kind, text, slot, deliveries: deliveries.collect() }
}

/// What was said in a ticket.
pub(super) async fn thread(app: &App, visitor: &Visitor, ticket: &Ticket) -> Result<Thread, Problem> {
    let notices = app.store.notices_of(ticket.id).await.map_err(|error| store_problem(&error))?;
    let eyes = visitor.caller.eyes();
    let told =
        notices.iter().map(|stored| message(NoticeView::of(stored, eyes), told_slot(&stored.notice.tells)));
    Ok(Thread {
        number: ticket.number.clone(),
        messages: Messages(told.collect()),
        reply: Some(message_form(&ticket.number, "", None)),
    })
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/migrations", get(list))
        .route("/migrations/{migration}", get(show))
        .route("/fragments/migrations/{migration}", get(show_live))
}

/// The most migrations that a list is made of, the newest first.
const MOST: usize = 5_000;

/// Migrations that a visitor may see, the newest first.
pub(super) async fn newest(app: &App, filter: &MigrationFilter) -> Result<Vec<Migration>, Problem> {
    let mut migrations = Vec::new();
    let mut cursor = None;
    while migrations.len() < MOST {
        let page = app.store.migrations_page(filter, cursor.as_ref(), 500).await;
        let page = page.map_err(|error| store_problem(&error))?;
        migrations.extend(page.items.into_iter().map(|read| read.value));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(migrations)
}

/// How far the copy of its disks is behind, and what that means.
fn lag(view: &ReplicaView) -> Option<(Span, Tone)> {
    let tone = if view.figures.late { Tone::Warn } else { Tone::Quiet };
    view.figures.lag_seconds.map(|lag| (Span::seconds(lag), tone))
}

/// A migration in a list.
fn row(migration: &Migration, view: &MigrationView) -> MigrationRow {
    let text = view.waits_for.as_ref().or(view.outcome.as_ref()).map(|why| why.text.clone());
    MigrationRow {
        number: migration.number,
        server: migration.server_name.clone(),
        owner: migration.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        method: view.method.clone(),
        state: Label::from(&migration.state),
        text: text.unwrap_or_default(),
        from: migration.from.to_string(),
        to: migration.to().map(ToString::to_string).unwrap_or_default(),
        slot: migration.appointment.slot(),
        percent: view.progress.as_ref().map(|progress| progress.percent),
        lag: view.replica.as_ref().filter(|_| migration.is_open()).and_then(|replica| lag(replica)),
        needs_person: view.needs_person,
        deadline: migration.deadline,
    }
}

const COLUMNS: [Column<MigrationRow>; 9] = [
    ("number", |a, b| a.number.cmp(&b.number)),
    ("server", |a, b| a.server.cmp(&b.server)),
    ("owner", |a, b| a.owner.cmp(&b.owner)),
    ("state", |a, b| (a.state.tone, a.state.key).cmp(&(b.state.tone, b.state.key))),
    ("method", |a, b| a.method.cmp(&b.method)),
    ("from", |a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to))),
    ("lag", |a, b| a.lag.map(|(lag, _)| lag).cmp(&b.lag.map(|(lag, _)| lag))),
    ("slot", |a, b| a.slot.map(|slot| slot.start).cmp(&b.slot.map(|slot| slot.start))),
    ("deadline", |a, b| a.deadline.cmp(&b.deadline)),
];

const BY: [By<MigrationRow>; 2] = [
    ("state", "col-state", |row| row.state.key.to_owned()),
    ("method", "col-method", |row| row.method.clone()),
];

/// The choice of a maintenance: those that are open, and the one that is chosen.
async fn of_maintenances(app: &App, chosen: Option<&Maintenance>) -> Result<Filter, Problem> {
    let open = app.store.maintenances_open().await.map_err(|error| store_problem(&error))?;
    let numbers: BTreeSet<u32> =
        open.iter().map(|read| &read.value).chain(chosen).map(|maintenance| maintenance.number).collect();
    let name = |number: u32| format!("MT-{number}");
    let choices = numbers.into_iter().map(name).map(|name| Choice { value: name.clone(), text: name });
    Ok(Filter {
        name: "maintenance",
        label: "col-maintenance",
        choices: choices.collect(),
        chosen: chosen.map(|maintenance| name(maintenance.number)).unwrap_or_default(),
    })
}

async fn list(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    sought: Sought,
    shown: Shown,
) -> Result<Response, Problem> {
    let maintenance = match sought.text("maintenance") {
        "" => None,
        given => Some(find_maintenance(&app, given).await?.value),
    };
    let of = maintenance.as_ref().map(|maintenance| maintenance.id);
    let filter = MigrationFilter { maintenance: of, only: Only::All, ..MigrationFilter::default() };
    let migrations = newest(&app, &filter).await?;
    let views = views(&app, &visitor.caller, &migrations.iter().collect::<Vec<_>>()).await?;
    let rows = migrations.iter().zip(&views).map(|(migration, view)| row(migration, view)).collect();
    let words = |row: &MigrationRow| {
        format!("DR-{} {} {} {} {} {}", row.number, row.server, row.owner, row.from, row.to, row.text)
    };
    let (mut list, migrations) = arranged(&sought, rows, &COLUMNS, &BY, words);
    list.filters.push(of_maintenances(&app, maintenance.as_ref()).await?);
    shown.page(&app, &MigrationsPage { list, migrations }).await
}

/// Why something is so: a stable word, and a sentence.
pub(super) fn reason(why: &Reason) -> (String, String) {
    (why.code.clone(), why.text.clone())
}

async fn live(app: &App, visitor: &Visitor, given: &str) -> Result<(Read, MigrationLive), Problem> {
    let read = Read::of(app, visitor, visitor.migration(app, given).await?).await?;
    let (migration, view) = (read.migration(), &read.view);
    let text = view.waits_for.as_ref().or(view.outcome.as_ref()).map(|why| why.text.clone());
    let maintenance = match migration.maintenance {
        Some(id) => Some(crate::commands::hosts::number_of(app, id).await?),
        None => None,
    };
    let phases_of = |view: &AttemptView| {
        let known = migration.attempts.iter().find(|attempt| attempt.operation == view.operation);
        Tooks(known.map(|attempt| attempt.phases.iter().map(took_of).collect()).unwrap_or_default())
    };
    let attempt = |view: &AttemptView| Attempt {
        phases: phases_of(view),
        method: view.method.clone(),
        to: view.to.to_string(),
        began_at: view.began_at,
        ended_at: view.ended_at,
        failure: view.failure.as_ref().map(|failure| {
            (failure.class.clone(), failure.meaning.clone(), failure.text.clone().unwrap_or_default())
        }),
    };
    let live = MigrationLive {
        number: migration.number,
        server_id: migration.server.to_string(),
        server: migration.server_name.clone(),
        owner: migration.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        method: view.method.clone(),
        state: Label::from(&migration.state),
        needs_person: view.needs_person,
        text: text.unwrap_or_default(),
        reason: migration.reason.clone(),
        why_not_live: view.why_not_live.as_ref().map(reason),
        maintenance,
        from: migration.from.to_string(),
        to: migration.to().map(ToString::to_string),
        place_why: migration.place_why.clone(),
        slot: migration.appointment.slot(),
        appointment: needs_time(migration).then(|| Label::from(&migration.appointment)),
        deadline: migration.deadline,
        opened_at: migration.opened_at,
        confirm_until: view.confirm_until,
        estimate: if migration.is_open() { Some(expected(app, migration).await?) } else { None },
        blueprint: view.blueprint.clone(),
        phases: steps(&read),
        progress: view.progress.as_ref().and_then(progress),
        curve: curve(&read),
        replica: view.replica.as_deref().map(replica),
        test: view
            .replica
            .as_ref()
            .and_then(|replica| replica.test.as_ref())
            .map(|of| test(of, migration.number, "/migrations")),
        checks: checks(&view.checks),
        attempts: view.inside.iter().flat_map(|inside| inside.attempts.iter().map(attempt)).collect(),
        moved: view.moved.as_ref().map(|moved| Moved {
            sent_bytes: moved.sent_bytes,
            downtime: moved.downtime_ms.map(Span::milliseconds),
            power_off: moved.power_off.clone(),
        }),
        events: events(&read.events),
        actions: Actions(actions(&read, "/migrations", false)),
    };
    Ok((read, live))
}

/// The thread of a migration's ticket, if it has one.
pub(super) async fn thread_of(
    app: &App,
    visitor: &Visitor,
    migration: &Migration,
) -> Result<Option<Thread>, Problem> {
    let Some(id) = migration.ticket else { return Ok(None) };
    let ticket = app.store.ticket(id).await.map_err(|error| store_problem(&error))?;
    match ticket {
        Some(ticket) => Ok(Some(thread(app, visitor, &ticket).await?)),
        None => Ok(None),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (read, live) = live(&app, &visitor, &given).await?;
    let thread = thread_of(&app, &visitor, read.migration()).await?;
    shown.page(&app, &MigrationPage { live, thread }).await
}

async fn show_live(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(given): Path<String>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (_, live) = live(&app, &visitor, &given).await?;
    shown.part(&app, |frame| live.html(frame)).await
}

#[cfg(test)]
mod tests {
    use drover_policies::checks::{CheckName, Finding, Item, Verdict};
    use drover_policies::replica::{EndOfTest, TestStep};
    use serde_json::json;

    use super::super::german;
    use super::*;

    /// Words of English that stand in what a German reads.
    fn english<'a>(text: &str, words: &[&'a str]) -> Vec<&'a str> {
        let text = format!(" {} ", text.split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>().join(" "));
        words.iter().filter(|word| text.contains(&format!(" {word} "))).copied().collect()
    }

    #[test]
    fn no_english_word_of_a_message_or_of_what_became_of_it_is_left_for_a_german() {
        let states = ["waiting", "delivered", "undeliverable"];
        let view = |kind: &&str| -> NoticeView {
            let deliveries = states.map(|state| json!({ "channel": "mail", "state": state, "tries": 1 }));
            serde_json::from_value(json!({
                "id": uuid::Uuid::nil(), "kind": kind, "at": "2026-11-21T09:00:00Z", "deliveries": deliveries,
            }))
            .expect("a notice")
        };
        let messages = Tells::KINDS.iter().map(|kind| message(view(kind), None)).collect();
        let text = Messages(messages).html(&german()).text();
        let kinds: Vec<String> = Tells::KINDS.iter().map(|kind| kind.replace('_', " ")).collect();
        let words: Vec<&str> = kinds.iter().map(String::as_str).chain(states).chain(["mail"]).collect();
        assert_eq!(english(&text, &words), Vec::<&str>::new(), "{text}");
        assert_eq!(text.matches("Mail zugestellt").count(), Tells::KINDS.len(), "{text}");
    }

    #[test]
    fn no_english_word_of_a_check_or_of_what_it_came_to_is_left_for_a_german() {
        let own = Item::Own { check: CheckName::new("shop").expect("a name") };
        let items = [Item::Power, Item::Life, Item::Addresses, Item::Interfaces, Item::Disks, own];
        let verdicts = [Verdict::Passed, Verdict::Failed, Verdict::FailedBefore, Verdict::NotLooked];
        let findings = items.iter().flat_map(|item| {
            verdicts.map(|verdict| FindingView::from(&Finding::read(item.clone(), verdict, "running")))
        });
        let findings: Vec<FindingView> = findings.collect();
        let text = checks(&findings).html(&german()).text();
        let words = findings.iter().filter(|finding| finding.item != "own").flat_map(|finding| {
            [finding.name.clone(), finding.item.clone(), finding.verdict.replace('_', " ")]
        });
        let words: Vec<String> = words.chain(["running".to_owned()]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(english(&text, &words), Vec::<&str>::new(), "{text}");
        assert!(
            text.contains("shop") && text.contains("nicht in Ordnung, wie schon vor dem Umzug: läuft"),
            "{text}"
        );
    }

    #[test]
    fn no_english_word_of_a_test_launch_is_left_for_a_german() {
        let steps = [
            TestStep::CleaningUp,
            TestStep::Freezing,
            TestStep::Launching,
            TestStep::Checking,
            TestStep::Running,
            TestStep::Ending,
        ];
        let states: Vec<String> =
            steps.iter().map(ToString::to_string).chain(["asked", "over"].map(str::to_owned)).collect();
        let ends = [EndOfTest::Asked, EndOfTest::Expired, EndOfTest::WentOff].map(|end| end.to_string());
        for (state, end) in states.iter().zip(ends.iter().cycle()) {
            let shown = Test {
                state: state.replace(' ', "_"),
                ended: Some(end.clone()),
                result: Some("passed".to_owned()),
                tone: Tone::Good,
                name: None,
                consistent_at: None,
                until: None,
                seen: None,
                answered_after: None,
                checks: Checks::default(),
                console: None,
                actions: Actions::default(),
            };
            let text = shown.html(&german()).text();
            assert_eq!(english(&text, &[state, end, "passed", "said"]), Vec::<&str>::new(), "{text}");
        }
    }
}
