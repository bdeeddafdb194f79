//! Carries decisions out: reads the situation, lets it be decided, and stores the answer in one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_policies::bulletins::{Bulletin, Says};
use drover_policies::conduct::{Changes, DraftNotice, conduct};
use drover_policies::ids::{MaintenanceId, MigrationId, NoticeId, PlanId};
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::{Migration, State};
use drover_policies::notices::Notice;
use drover_policies::plan::Plan;
use drover_policies::time::Instant;
use tokio::time::{Instant as Deadline, sleep_until};

use crate::app::App;
use crate::guests;
use crate::http::views::Counts;
use crate::orders;
use crate::situation::Loaded;
use crate::store::{Batch, HostStanding, NewOperation, NewTicket, NewWish, StoreError, StoredPlan, Write};

/// The longest between two looks, should a nudge ever be lost.
const AT_THE_LATEST: Duration = Duration::from_secs(10);

/// How often one look is repeated when somebody else changed something at the same time.
const TRIES: u32 = 5;

/// Looks again whenever something may have changed, for ever.
pub async fn run(app: &App) {
    loop {
        let next = match look(app).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(error = %crate::chain(&error), "the situation could not be worked through; it is tried again");
                None
            }
        };
        let wait = match next {
            Some(at) => (at - app.clock.now()).to_std().unwrap_or_default().min(AT_THE_LATEST),
            None => AT_THE_LATEST,
        };
        tokio::select! {
            () = app.stirred.notified() => {}
            () = sleep_until(Deadline::now() + wait) => {}
        }
    }
}

/// One look: everything that is due is decided and stored. Answers when to look again at the latest.
///
/// # Errors
/// The database failed, or another scheduler has taken over.
pub async fn look(app: &App) -> Result<Option<Instant>, StoreError> {
    let _promising = app.promise_times().await;
    for _ in 0..TRIES {
        let loaded = Loaded::read(app).await?;
        guests::tell(app, &loaded);
        let changes = conduct(loaded.situation(app));
        let next = changes.look_again_at;
        if changes.is_empty() {
            return Ok(next);
        }
        match app.commit(batch(app, &loaded, changes).await?).await {
            Ok(_) => return Ok(next),
            // A person changed something between the reading and the writing: it is read again.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(app.clock.now()))
}

/// What a decision changes, as it is stored.
///
/// # Errors
/// The database can't be read.
pub(crate) async fn batch(app: &App, loaded: &Loaded, changes: Changes) -> Result<Batch, StoreError> {
    let mut batch = Batch {
        events: changes.events,
        operations_ended: changes.ended,
        hooks_ran: changes.hooks_ran,
        ..Batch::new(loaded.now)
    };
    for new in &changes.begun {
        match orders::order(new, &loaded.fleet, &app.policies) {
            Ok(operation) => batch.operations_begun.push(NewOperation {
                operation,
                host: new.host.clone(),
                migration: new.migration,
            }),
            // The place was judged against this very fleet, so its host is in it.
            Err(unknown) => tracing::error!(error = %unknown, "an order can't be given"),
        }
    }
    for (id, new) in changes.wished {
        if let Some(stored) = loaded.operation(id) {
            batch.operations_wished.push(NewWish {
                operation: id,
                read_at: stored.operation.generation,
                wish: orders::wish(stored.operation.wish, new),
            });
        }
    }
    let changed: BTreeMap<MigrationId, &Migration> =
        changes.migrations.iter().map(|migration| (migration.id, migration)).collect();
    for draft in &changes.notices {
        // A notice may tell of a migration that is otherwise unchanged: a reminder.
        let migration = changed.get(&draft.migration).copied().or_else(|| loaded.migration(draft.migration));
        batch.notices.extend(migration.and_then(|migration| notice(app, loaded.now, migration, draft)));
    }
    let known: BTreeMap<MaintenanceId, &Maintenance> =
        changes.maintenances.iter().map(|maintenance| (maintenance.id, maintenance)).collect();
    for draft in changes.bulletins {
        // All that is told of a maintenance is kept in it, too.
        let Some(maintenance) = known.get(&draft.maintenance) else { continue };
        let id = NoticeId::draw(app.ids.as_ref());
        let mut bulletin = Bulletin::new(id, maintenance, draft.says, loaded.now);
        if let Says::Over { tally, .. } = &mut bulletin.says {
            let migrations = app.store.migrations_of(draft.maintenance).await?;
            tally.servers = Some(Counts::of(migrations.iter().map(|read| &read.value)).servers());
        }
        batch.bulletins.push(bulletin);
    }
    for (maintenance, plan) in changes.plans {
        let after = known.get(&maintenance).copied().or_else(|| loaded.maintenance(maintenance));
        batch.plans.push(whole_plan(app, loaded, (maintenance, after), plan).await?);
    }
    for migration in changes.migrations {
        let reverted = migration.reverts().and_then(|of| loaded.migration(of.migration));
        match reverted.and_then(|original| original.ticket).filter(|shared| migration.ticket == Some(*shared))
        {
            Some(shared) if loaded.migration(migration.id).is_none() => batch.tickets_reopened.push(shared),
            Some(_) | None => tickets(loaded.migration(migration.id), &migration, &mut batch),
        }
        batch.migrations.push(match loaded.generation_of(migration.id) {
            Some(generation) => Write::Update(migration, generation),
            None => Write::Insert(migration),
        });
    }
    for replica in changes.replicas {
        batch.replicas.push(match loaded.generation_of_replica(replica.id) {
            Some(generation) => Write::Update(replica, generation),
            None => Write::Insert(replica),
        });
    }
    for import in changes.imports {
        batch.imports.push(match loaded.generation_of_import(import.id) {
            Some(generation) => Write::Update(import, generation),
            None => Write::Insert(import),
        });
    }
    for server in changes.blueprints_spent {
        let read = loaded.generation_of_blueprint(server);
        batch.blueprints_removed.extend(read.map(|generation| (server, generation)));
    }
    for maintenance in changes.maintenances {
        if let Some(generation) = loaded.generation_of_maintenance(maintenance.id) {
            batch.maintenances.push(Write::Update(maintenance, generation));
        }
    }
    for (host, standing) in changes.standings {
        if let Some(generation) = loaded.generation_of_standing(&host) {
            batch.standings.push(Write::Update(HostStanding { host, standing }, generation));
        }
    }
    Ok(batch)
}

/// What was planned in a look, beside what was planned before and still holds.
async fn whole_plan(
    app: &App,
    loaded: &Loaded,
    (maintenance, after): (MaintenanceId, Option<&Maintenance>),
    plan: Plan,
) -> Result<StoredPlan, StoreError> {
    let before = app.store.latest_plan(maintenance).await?;
    let (parent, before) = before.map(|before| (before.id, before.plan)).unzip();
    let plan = match (before, after) {
        (Some(before), Some(after)) => {
            plan.beside(before, &after.being_emptied().cloned().collect(), &loaded.fleet)
        }
        (None, _) | (_, None) => plan,
    };
    Ok(StoredPlan { id: PlanId::draw(app.ids.as_ref()), maintenance, parent, at: loaded.now, plan })
}

fn notice(app: &App, at: Instant, migration: &Migration, draft: &DraftNotice) -> Option<Notice> {
    Some(Notice {
        id: NoticeId::draw(app.ids.as_ref()),
        key: draft.key.clone(),
        ticket: migration.ticket_summary()?,
        tells: draft.tells.clone(),
        at,
    })
}

/// A ticket is opened with the migration's first, and closed with its end. A revert goes on in the ticket of what it reverts.
pub(crate) fn tickets(before: Option<&Migration>, after: &Migration, batch: &mut Batch) {
    let Some(summary) = after.ticket_summary() else { return };
    if before.and_then(|before| before.ticket).is_none() {
        let drill = if after.is_drill() { "[DRILL] " } else { "" };
        batch.tickets_opened.push(NewTicket {
            id: summary.id,
            subject: format!("{drill}[ACTION REQUIRED] Server Migration: {}", summary.server_name),
            number: summary.number,
            migration: summary.migration,
            owner: summary.owner,
            server: summary.server,
        });
    } else if !is_resolved(before.map(|before| &before.state)) && is_resolved(Some(&after.state)) {
        batch.tickets_closed.push(summary.id);
    }
}

/// Whether a ticket about a migration in this state has nothing left to say. One that needs a person stays open.
fn is_resolved(state: Option<&State>) -> bool {
    match state {
        Some(
            State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. },
        ) => true,
        Some(
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Reverting { .. }
            | State::Rehearsing { .. }
            | State::RolledBack { .. }
            | State::Failed { .. },
        )
        | None => false,
    }
}
