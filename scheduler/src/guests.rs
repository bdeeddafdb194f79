//! What a server's own guest is told of its events, and what becomes of its acknowledgement: the owner's *start now*.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use drover_agent_api::{Acknowledgement, GuestStart};
use drover_policies::ids::{HostName, ServerId};
use drover_policies::maintenance::Urgency;
use drover_policies::migration::Migration;
use drover_policies::policy::{Policy, Subject};
use drover_policies::time::Span;
use drover_policies::upcoming::azure::{Event, rfc1123};
use drover_policies::upcoming::{About, EventState, ScheduledEvent};
use uuid::Uuid;

use crate::agents::GuestNews;
use crate::app::App;
use crate::auth::Caller;
use crate::commands::Wish;
use crate::commands::migrations::MigrationWish;
use crate::http::extract::Envelope;
use crate::http::problem::{Kind, Problem};
use crate::situation::Loaded;
use crate::store::Role;
use crate::upcoming::estimate;

/// How long a guest that was restarted can read that its event is over.
const COMPLETED_SHOWN: Span = Span::minutes(10);

/// Has agents tell guests what is so now.
pub fn tell(app: &App, loaded: &Loaded) {
    if !app.agents.serve_guests() {
        return;
    }
    let mut news: BTreeMap<ServerId, GuestNews> = BTreeMap::new();
    for migration in loaded.migrations() {
        let subject = loaded.fleet.server(migration.server).map(|server| Subject::of(server, &loaded.fleet));
        let effective = match &subject {
            Some(subject) => app.policies.shared(subject),
            None => app.policies.shared_general(),
        };
        let event = told(loaded, migration, &effective.policy);
        let is_shown = match event.state {
            EventState::Completed => {
                event.finished_at.is_some_and(|at| loaded.now < at + COMPLETED_SHOWN.delta())
            }
            EventState::Pending
            | EventState::Notified
            | EventState::Scheduled
            | EventState::Starting
            | EventState::Running
            | EventState::Verifying
            | EventState::Failed
            | EventState::Canceled
            | EventState::Avoided => true,
        };
        let Some(shown) = Event::for_guest(&event).filter(|_| is_shown) else { continue };
        let of_server = news.entry(migration.server).or_insert_with(|| GuestNews {
            events: Vec::new(),
            start: may_start(migration, &effective.policy),
            hosts: [migration.from.clone()].into(),
        });
        of_server.events.push(shown);
        of_server.hosts.extend(migration.to().cloned());
    }
    app.agents.tell_guests(news, loaded.now);
}

fn told(loaded: &Loaded, migration: &Migration, policy: &Policy) -> ScheduledEvent {
    let maintenance = migration.maintenance.and_then(|id| loaded.maintenance(id));
    let server = loaded.fleet.server(migration.server).map(|server| &server.facts);
    ScheduledEvent::of(&About {
        migration,
        urgency: maintenance.map_or(&Urgency::Normal, |maintenance| &maintenance.urgency),
        estimate: estimate(migration, policy, server, loaded.downtimes(migration.server)),
        rules: &policy.owners,
        // Neither is in the form that guests read.
        window: None,
        timezone: Tz::UTC,
        now: loaded.now,
    })
}

fn may_start(migration: &Migration, policy: &Policy) -> GuestStart {
    if migration.owner.is_none() {
        let why = "nobody is known as this server's owner, and only an owner can have it started".to_owned();
        return GuestStart::Forbidden { why };
    }
    if policy.owners.guest_may_start {
        return GuestStart::Allowed;
    }
    let why =
        "events of this server are not started from within; its owner can start them elsewhere".to_owned();
    GuestStart::Forbidden { why }
}

/// Takes what guests on a host have acknowledged, and answers with what has been taken, whatever came of it. The others come again.
pub async fn take(app: &Arc<App>, host: &HostName, told: &[Acknowledgement]) -> Vec<Acknowledgement> {
    let mut taken = Vec::new();
    for one in told {
        match start(app, host, one).await {
            Ok(()) => tracing::info!(server = %one.server, event = %one.event, "acknowledged by its guest"),
            Err(problem) if comes_again(&problem) => {
                tracing::warn!(server = %one.server, "what its guest has acknowledged can't be taken now: {}", problem.detail);
                continue;
            }
            Err(problem) => {
                tracing::info!(server = %one.server, event = %one.event, "acknowledged by its guest, and not started: {}", problem.detail);
            }
        }
        taken.push(one.clone());
    }
    taken
}

/// Whether the same would perhaps be answered otherwise in a moment, without anything having changed.
fn comes_again(problem: &Problem) -> bool {
    problem.status >= 500 || problem.slug() == Kind::Conflict.slug()
}

async fn start(app: &Arc<App>, host: &HostName, one: &Acknowledgement) -> Result<(), Problem> {
    let refused = |text: &str| Problem::new(Kind::Refused, text);
    let found =
        app.store.migration(one.event).await.map_err(|error| crate::commands::store_problem(&error))?;
    let migration = found
        .map(|found| found.value)
        .filter(|migration| migration.server == one.server)
        .ok_or_else(|| refused("its server has no such event"))?;
    // An agent speaks for the guests on its own host alone.
    let is_here = app.fleet().sightings.get(host).is_some_and(|seen| seen.contains_key(&one.server));
    if !is_here && migration.from != *host {
        return Err(refused("its server is not on this agent's host"));
    }
    let owner = migration.owner.clone().ok_or_else(|| refused("nobody is known as its owner"))?;
    let start = match migration.appointment.slot() {
        Some(slot) if rfc1123(slot.start) == one.not_before => slot.start,
        Some(_) => return Err(refused("another time has been agreed on since")),
        // It is to start already, or has started: the command says which.
        None => one.at,
    };
    let name = format!("guest of {}", migration.server_name);
    let caller = Caller { token: Uuid::nil(), name, role: Role::Owner(owner) };
    let wish = Wish { app: Arc::clone(app), caller, envelope: Envelope::default() };
    wish.migration(&one.event.to_string(), MigrationWish::Acknowledged { start }).await.map(drop)
}
