//! What happens, as it happens: server-sent events.
//!
//! Stored events carry their place in the story as `id`, so a reader that lost the connection sends it back as `Last-Event-ID` and
//! misses nothing. Live figures carry none: they are worth nothing a moment later.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use drover_policies::attempt::Progress;
use drover_policies::events::Event;
use drover_policies::ids::{ImportId, MigrationId, OperationId, ServerId};
use drover_policies::import::ImportStatus;
use drover_policies::migration::Migration;
use drover_policies::replica::ReplicaStatus;
use drover_policies::time::{Instant, Span};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Problems;
use super::events::{Asked, filter, view};
use super::extract::Params;
use super::problem::Problem;
use super::views::{ImportEvent, ProgressEvent, ReplicaEvent, ReplicaFigures};
use crate::app::{App, Told};
use crate::auth::{Caller, Person};
use crate::commands::migrations::policy_of;
use crate::commands::store_problem;
use crate::replicas::Telling;
use crate::store::{EventFilter, ImportFilter, Only, ReplicaFilter, Seq, StoreError};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often the reader's token is looked at again.
const TOKEN_CHECKED: Duration = Duration::from_secs(30);

/// Events that wait for a slow reader; beyond that the reading stops until he has caught up.
const AHEAD: usize = 64;

/// How many events are read from the store at once.
const CHUNK: u32 = 200;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// After this one; without it and without `Last-Event-ID`, from now on.
    after: Option<i64>,
    /// Of this maintenance; operators only.
    maintenance: Option<String>,
    /// Of this migration.
    migration: Option<String>,
    /// Of this server, by id or name.
    server: Option<String>,
    /// Of this import, by id or name; operators only.
    import: Option<String>,
}

/// Follow events
///
/// `event: event` for what is stored, with its `seq` as `id`; `event: progress` for the live figures of running migrations, several
/// times a second; `event: replica` for those of replicas, `event: import` for those of imports. With `after=0` a job's whole log comes first, and
/// then what follows. A reconnect with `Last-Event-ID` misses no stored event.
#[utoipa::path(get, path = "/v1/events/stream", tag = "events",
    params(Which, ("Last-Event-ID" = Option<i64>, Header, description = "Where to go on")), security(("token" = [])),
    responses((status = 200, description = "EventView, ProgressEvent, ReplicaEvent and ImportEvent as server-sent events",
        content_type = "text/event-stream", body = String), Problems))]
async fn stream(
    State(app): State<Arc<App>>,
    Person(caller): Person,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let asked = Asked {
        maintenance: which.maintenance.as_deref(),
        migration: which.migration.as_deref(),
        server: which.server.as_deref(),
        import: which.import.as_deref(),
    };
    let filter = filter(&app, &caller, asked).await?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // Before the store is read: what happens in between comes twice then, and is told by its place, rather than not at all.
    let news = app.subscribe();
    let after = match last.or(which.after) {
        Some(seq) => Seq(seq),
        None => app.store.latest_event().await.map_err(|error| store_problem(&error))?,
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let follower =
        Follower { app, caller, filter, after, sender, known: BTreeMap::new(), imports: BTreeMap::new() };
    tokio::spawn(follower.run(news));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Follower {
    app: Arc<App>,
    caller: Caller,
    filter: EventFilter,
    /// The last one that was told.
    after: Seq,
    sender: mpsc::Sender<Result<Sent, Infallible>>,
    /// Whose figures are for this reader: nothing for those that are not.
    known: BTreeMap<OperationId, Option<Shown>>,
    /// The same of imports: which one, and its server's name.
    imports: BTreeMap<OperationId, Option<(ImportId, String)>>,
}

/// What a figure is told with.
#[derive(Debug, Clone)]
struct Shown {
    migration: MigrationId,
    server_name: String,
    method: String,
    /// See [`Telling::lag_warn`].
    lag_warn: Span,
    /// See [`Telling::late_since`].
    late_since: Option<Instant>,
}

/// The reader is gone.
struct Gone;

impl Follower {
    async fn run(mut self, mut news: Receiver<Arc<Told>>) {
        // The reader's going away ends this; a failing store does, too: the reader comes back and says where he was.
        if self.catch_up().await.is_err() {
            return;
        }
        let mut check = tokio::time::interval(TOKEN_CHECKED);
        loop {
            let told = tokio::select! {
                told = news.recv() => told,
                () = self.sender.closed() => return,
                _ = check.tick() => match self.still_allowed().await {
                    Ok(()) => continue,
                    Err(Gone) => return,
                },
            };
            let done = match told {
                Ok(told) => match told.as_ref() {
                    Told::Event(seq, event) => self.event(*seq, event).await,
                    Told::Progress(operation, progress) => self.progress(*operation, progress).await,
                    Told::Replicating(operation, status) => self.replica(*operation, status).await,
                    Told::Importing(operation, status) => self.import(*operation, status).await,
                },
                // Too slow for what happens: the store has all of it.
                Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => Err(Gone),
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// A stream outlives the request that opened it, but not the token.
    async fn still_allowed(&self) -> Result<(), Gone> {
        let token = self.app.store.token(self.caller.token).await.map_err(|error| self.log(&error))?;
        if token.is_some_and(|token| token.revoked_at.is_none()) { Ok(()) } else { Err(Gone) }
    }

    async fn catch_up(&mut self) -> Result<(), Gone> {
        loop {
            let events = self.app.store.events_after(self.after, &self.filter, CHUNK).await;
            let events = events.map_err(|error| self.log(&error))?;
            let last = events.len() < CHUNK as usize;
            for (seq, event) in events {
                self.event(seq, &event).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    fn log(&self, error: &StoreError) -> Gone {
        tracing::error!(error = %crate::chain(error), "a stream of events ends early");
        Gone
    }

    async fn event(&mut self, seq: Seq, event: &Event) -> Result<(), Gone> {
        if seq <= self.after || !self.wants(event) {
            return Ok(());
        }
        self.after = seq;
        // A migration's figures may be told of from now on, or not any more: it is looked at again.
        self.known.clear();
        self.imports.clear();
        let Some(view) = view(&self.caller, seq, event) else { return Ok(()) };
        let sent = Sent::default().event("event").id(seq.to_string()).json_data(&view);
        self.send(sent).await
    }

    fn wants(&self, event: &Event) -> bool {
        let EventFilter { maintenance, migration, server, owner, host, import } = &self.filter;
        maintenance.is_none_or(|id| event.maintenance == Some(id))
            && migration.is_none_or(|id| event.migration == Some(id))
            && server.is_none_or(|id| event.server.as_ref().is_some_and(|(known, _)| *known == id))
            && owner.as_ref().is_none_or(|owner| event.owner.as_ref() == Some(owner))
            && host.as_ref().is_none_or(|host| event.host.as_ref() == Some(host))
            && import.is_none_or(|id| event.import == Some(id))
    }

    async fn progress(&mut self, operation: OperationId, progress: &Progress) -> Result<(), Gone> {
        let shown = self.shown(operation).await?;
        let Some(Shown { migration, server_name, method, .. }) = shown else { return Ok(()) };
        let view = ProgressEvent { migration, server_name, method, progress: progress.into() };
        self.figure(Sent::default().event("progress").json_data(&view)).await
    }

    async fn replica(&mut self, operation: OperationId, status: &ReplicaStatus) -> Result<(), Gone> {
        // One that is to stop has none.
        let Some(pace) = self.app.agents.pace(operation) else { return Ok(()) };
        let Some(shown) = self.shown(operation).await? else { return Ok(()) };
        let Shown { lag_warn, late_since, .. } = shown;
        let telling = Telling { status, pace: &pace, lag_warn, late_since, at: self.app.clock.now() };
        let replica = ReplicaFigures::told(&telling, self.caller.eyes());
        let view = ReplicaEvent { migration: shown.migration, server_name: shown.server_name, replica };
        self.figure(Sent::default().event("replica").json_data(&view)).await
    }

    async fn import(&mut self, operation: OperationId, status: &ImportStatus) -> Result<(), Gone> {
        if !self.imports.contains_key(&operation) {
            let found = self.look_up_import(operation).await?;
            self.imports.insert(operation, found);
        }
        let Some((import, server_name)) = self.imports.get(&operation).cloned().flatten() else {
            return Ok(());
        };
        let view = ImportEvent { import, server_name, progress: status.into() };
        self.figure(Sent::default().event("import").json_data(&view)).await
    }

    /// The import that an order is about, if it is for this reader. Where a server is to go is for operators.
    async fn look_up_import(&self, operation: OperationId) -> Result<Option<(ImportId, String)>, Gone> {
        let EventFilter { maintenance, migration, server, owner, host, import: id } = self.filter.clone();
        if self.caller.owner().is_some() || maintenance.is_some() || migration.is_some() {
            return Ok(None);
        }
        let open = ImportFilter { host, only: Only::Open, ..ImportFilter::default() };
        let known = self.app.store.imports(&open).await.map_err(|error| self.log(&error))?;
        let found = known.into_iter().map(|found| found.value).find(|import| {
            import.operation() == Some(operation)
                && id.is_none_or(|id| import.id == id)
                && server.is_none_or(|id| import.server == id)
                && owner.as_ref().is_none_or(|owner| import.description.owner.as_ref() == Some(owner))
        });
        Ok(found.map(|import| (import.id, import.description.name.to_string())))
    }

    /// A figure that a slow reader can't take now is worth nothing later.
    async fn figure(&mut self, sent: Result<Sent, axum::Error>) -> Result<(), Gone> {
        if self.sender.capacity() == 0 {
            return Ok(());
        }
        self.send(sent).await
    }

    async fn shown(&mut self, operation: OperationId) -> Result<Option<Shown>, Gone> {
        match self.known.get(&operation) {
            Some(shown) => Ok(shown.clone()),
            None => self.look_up(operation).await,
        }
    }

    async fn look_up(&mut self, operation: OperationId) -> Result<Option<Shown>, Gone> {
        let order = self.app.store.operation(operation).await.map_err(|error| self.log(&error))?;
        let migration = match order.and_then(|order| order.migration) {
            Some(id) => self.app.store.migration(id).await.map_err(|error| self.log(&error))?,
            None => None,
        };
        let migration = migration.map(|migration| migration.value).filter(|found| self.follows(found));
        let shown = match migration {
            Some(migration) => Some(Shown {
                migration: migration.id,
                lag_warn: policy_of(&self.app, &migration).replication.lag_warn,
                late_since: self.late_since(migration.server, operation).await?,
                server_name: migration.server_name,
                method: migration.method.to_string(),
            }),
            None => None,
        };
        self.known.insert(operation, shown.clone());
        Ok(shown)
    }

    /// Since when the replica is late that this operation keeps, if it keeps one.
    async fn late_since(&self, server: ServerId, operation: OperationId) -> Result<Option<Instant>, Gone> {
        let filter = ReplicaFilter { server: Some(server), ..ReplicaFilter::default() };
        let kept = self.app.store.replicas(&filter).await.map_err(|error| self.log(&error))?;
        let kept = kept.into_iter().map(|replica| replica.value);
        let mut kept = kept.filter(|replica| replica.state.operation() == Some(operation));
        Ok(kept.next().and_then(|replica| replica.late_since))
    }

    fn follows(&self, migration: &Migration) -> bool {
        let EventFilter { maintenance, migration: id, server, owner, host: _, import } = &self.filter;
        self.caller.may_see(migration.owner.as_ref())
            && import.is_none()
            && maintenance.is_none_or(|id| migration.maintenance == Some(id))
            && id.is_none_or(|id| migration.id == id)
            && server.is_none_or(|id| migration.server == id)
            && owner.as_ref().is_none_or(|owner| migration.owner.as_ref() == Some(owner))
    }

    async fn send(&self, sent: Result<Sent, axum::Error>) -> Result<(), Gone> {
        // Our own views can always be written; one that can't is left out rather than ending the stream.
        let Ok(sent) = sent else { return Ok(()) };
        self.sender.send(Ok(sent)).await.map_err(|_| Gone)
    }
}
