//! Following a drain, or one migration, until it is over or needs a person.
//!
//! What is watched lives in the scheduler: ending the watching ends nothing, and a watch that begins later shows the same.

mod display;

use std::time::Duration;

use drover_policies::time::{Clock, Instant, Span};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Answer, Parameter};
use super::exit::{Exit, Failed};
use super::maintenances::counts;
use super::migrations::{ended, line};
use super::sse::{Came, Following};
use super::words::count;
use super::{Context, items, part};
use crate::clock::SystemClock;
use crate::http::views::{MaintenanceDetail, MigrationView};

use display::{Display, summary};

/// How often the state is read again while something happens, and while nothing does.
const BUSY: Duration = Duration::from_millis(400);
const IDLE: Span = Span::seconds(15);

/// How long nothing but a person must have been in the way before the wait ends: an agent that restarts is silent for a moment.
const STABLE: Span = Span::seconds(8);

/// What is watched, as last read.
struct Watched {
    maintenance: Option<MaintenanceDetail>,
    migrations: Vec<MigrationView>,
    json: serde_json::Value,
}

impl Watched {
    /// Whether it is over, and how.
    fn ended(&self) -> Option<Result<(), Failed>> {
        let Some(detail) = &self.maintenance else { return self.migrations.first().and_then(ended) };
        let maintenance = &detail.maintenance;
        match maintenance.state.as_str() {
            "completed" => Some(Ok(())),
            "failed" => Some(Err(Failed::new(
                Exit::NeedsPerson,
                format!(
                    "{0} has failed; which hosts, and why: drover maintenance show {0}",
                    maintenance.number
                ),
            ))),
            "cancelled" if detail.moving.is_empty() => {
                Some(Err(Failed::refused(format!("{} was cancelled", maintenance.number))))
            }
            _ => None,
        }
    }

    /// Whether nothing will happen any more before somebody does something.
    fn is_stuck(&self) -> bool {
        match &self.maintenance {
            Some(detail) => {
                let rolling = detail.maintenance.rolling.as_ref();
                let halted = rolling.is_some_and(|rolling| rolling.halted.is_some() && rolling.in_work == 0);
                let needed = !detail.needs_person.is_empty() || halted;
                needed && detail.moving.is_empty() && detail.waiting.is_empty()
            }
            None => false,
        }
    }
}

/// Follows a maintenance: from an event on, or from now on.
pub(super) async fn maintenance(context: &Context, given: &str, after: Option<i64>) -> Result<(), Failed> {
    let query = vec![("maintenance", given.to_owned())];
    let back = format!("The drain goes on. Come back with: drover maintenance watch {given}");
    follow(context, Subject::Maintenance(given.to_owned()), (query, after), &back).await
}

/// Follows one migration, from its beginning.
pub(super) async fn migration(context: &Context, given: &str) -> Result<(), Failed> {
    let query = vec![("migration", given.to_owned())];
    let back = format!("The migration goes on. Come back with: drover migrations watch {given}");
    follow(context, Subject::Migration(given.to_owned()), (query, Some(0)), &back).await
}

enum Subject {
    Maintenance(String),
    Migration(String),
}

impl Subject {
    async fn read(&self, context: &Context) -> Result<Watched, Failed> {
        match self {
            Self::Maintenance(given) => {
                let path = format!("/v1/maintenances/{}", part(given));
                let detail: Answer<MaintenanceDetail> = context.client.get(&path, &[]).await?;
                let query: Vec<Parameter> = vec![("only", "all".to_owned()), ("maintenance", given.clone())];
                let migrations: Answer<Vec<MigrationView>> =
                    context.client.list("/v1/migrations", &query, None).await?;
                let json = json!({ "maintenance": detail.json, "migrations": migrations.json["items"] });
                Ok(Watched { maintenance: Some(detail.value), migrations: migrations.value, json })
            }
            Self::Migration(given) => {
                let path = format!("/v1/migrations/{}", part(given));
                let migration: Answer<MigrationView> = context.client.get(&path, &[]).await?;
                let json = items(vec![migration.json]);
                Ok(Watched { maintenance: None, migrations: vec![migration.value], json })
            }
        }
    }
}

async fn follow(
    context: &Context,
    subject: Subject,
    (query, after): (Vec<Parameter>, Option<i64>),
    back: &str,
) -> Result<(), Failed> {
    let mut watch = Watch {
        context,
        watched: subject.read(context).await?,
        following: Following::open(&context.client, query, after).await?,
        display: Display::new(&context.screen),
        subject,
        dirty: false,
        read_at: SystemClock.now(),
        stuck_since: None,
    };
    let came = watch.until_it_ends().await;
    watch.display.clear();
    match came {
        End::Over(result) => {
            watch.tell_end();
            result
        }
        End::Stuck => {
            watch.tell_end();
            let number = watch.watched.migrations.iter().filter(|migration| migration.needs_person).count();
            let hosts = watch.watched.maintenance.as_ref();
            let hosts = hosts.and_then(|detail| detail.maintenance.rolling.as_ref()?.halted.clone());
            let left =
                hosts.unwrap_or_else(|| format!("{} left that need a person", count(number, "server")));
            Err(Failed::new(Exit::NeedsPerson, left).hint(back))
        }
        End::Interrupted => {
            eprintln!("{back}");
            Err(Failed::new(Exit::Interrupted, ""))
        }
        End::Broken(failed) => Err(failed.hint(back)),
    }
}

/// How a watch ended.
enum End {
    Over(Result<(), Failed>),
    Stuck,
    Interrupted,
    Broken(Failed),
}

struct Watch<'a> {
    context: &'a Context,
    subject: Subject,
    watched: Watched,
    following: Following,
    display: Display,
    /// Something happened since the state was read.
    dirty: bool,
    read_at: Instant,
    stuck_since: Option<Instant>,
}

impl Watch<'_> {
    async fn until_it_ends(&mut self) -> End {
        // Listened to from here on: one that is listened to anew in each round misses what comes between two rounds.
        let mut interrupt = match signal(SignalKind::interrupt()) {
            Ok(interrupt) => interrupt,
            Err(error) => {
                return End::Broken(Failed::refused(format!("signals can't be listened to: {error}")));
            }
        };
        let mut tick = interval(BUSY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.show();
        loop {
            let came = tokio::select! {
                came = self.following.next() => Some(came),
                _ = tick.tick() => None,
                _ = interrupt.recv() => return End::Interrupted,
            };
            match came {
                Some(Ok(came)) => self.take(came),
                Some(Err(failed)) => return End::Broken(failed),
                None => {
                    if let Err(failed) = self.refresh().await {
                        return End::Broken(failed);
                    }
                    if let Some(end) = self.end() {
                        return end;
                    }
                }
            }
        }
    }

    fn take(&mut self, came: Came) {
        let screen = &self.context.screen;
        match came {
            Came::Event(event, json) => {
                self.dirty = true;
                if screen.json {
                    screen.json_line(&json!({ "event": json }));
                } else {
                    self.display.line(&line(screen, &event));
                }
            }
            Came::Progress(progress, json) => {
                if screen.json {
                    screen.json_line(&json!({ "progress": json }));
                } else {
                    self.display.progress(&progress);
                }
            }
            Came::Replica(replica, json) => {
                if screen.json {
                    screen.json_line(&json!({ "replica": json }));
                } else {
                    self.display.replica(&replica);
                }
            }
            // None of what is watched here has one.
            Came::Import(..) => {}
            Came::Lost(why) => {
                self.display.aside(&format!("{why}; connecting again (the drain goes on meanwhile)"))
            }
            Came::Back => {
                self.dirty = true;
                self.display.aside("connected again; nothing was missed");
            }
        }
    }

    async fn refresh(&mut self) -> Result<(), Failed> {
        let now = SystemClock.now();
        if !self.dirty && now - self.read_at < IDLE.delta() {
            return Ok(());
        }
        match self.subject.read(self.context).await {
            Ok(watched) => {
                self.watched = watched;
                self.dirty = false;
                self.read_at = now;
                self.show();
                Ok(())
            }
            // The stream says so, and comes back by itself.
            Err(failed) if failed.exit == Exit::Unreachable => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    fn end(&mut self) -> Option<End> {
        // What happened last is told before the end is.
        if self.dirty {
            return None;
        }
        if let Some(result) = self.watched.ended() {
            return Some(End::Over(result));
        }
        if !self.watched.is_stuck() {
            self.stuck_since = None;
            return None;
        }
        let now = SystemClock.now();
        let since = *self.stuck_since.get_or_insert(now);
        (now - since >= STABLE.delta()).then_some(End::Stuck)
    }

    fn show(&mut self) {
        let title = match &self.watched.maintenance {
            Some(detail) => {
                let maintenance = &detail.maintenance;
                let hosts = maintenance.rolling.as_ref();
                let hosts =
                    hosts.map(|it| format!("{} of {} hosts, ", it.done, it.total)).unwrap_or_default();
                format!(
                    "{} {}: {hosts}{}; deadline {}",
                    maintenance.number,
                    maintenance.state,
                    counts(&maintenance.counts),
                    self.context.screen.times().ago(maintenance.deadline)
                )
            }
            None => String::new(),
        };
        self.display.show(&self.context.screen, &title, &self.watched.migrations);
    }

    fn tell_end(&self) {
        let screen = &self.context.screen;
        if screen.json {
            screen.json_line(&json!({ "end": self.watched.json }));
            return;
        }
        screen.line("");
        screen.table(&summary(screen, &self.watched.migrations), "No server had to leave.");
        if let Some(detail) = &self.watched.maintenance {
            let maintenance = &detail.maintenance;
            let took = maintenance.since.map(|at| Span::between(maintenance.requested_at, at));
            let took = took.map(|took| format!(" after {}", super::words::span(took))).unwrap_or_default();
            screen.line(format!(
                "\n{} {}{took}: {}",
                maintenance.number,
                maintenance.state,
                counts(&maintenance.counts)
            ));
        }
    }
}
