//! The one way in which decisions are written: all that belongs together, in one transaction, under a lease.

use drover_policies::bulletins::Bulletin;
use drover_policies::channels::Listener;
use drover_policies::conduct::HookRun;
use drover_policies::events::Event;
use drover_policies::ids::{
    CheckId, FreezeId, Generation, LimitId, NoticeId, OperationId, ServerId, TicketId, WebhookId, WindowId,
};
use drover_policies::import::Import;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use drover_policies::notices::{Contact, Notice};
use drover_policies::replica::Replica;
use drover_policies::time::Instant;
use uuid::Uuid;

use super::blueprints::{self, StoredBlueprint};
use super::checks::{self, StoredCheck};
use super::db::Conn;
use super::deliveries::{self, DeadLetterFilter};
use super::freezes::{self, StoredFreeze, StoredLimit};
use super::lease::{self, Fence};
use super::records::{
    Answer, HostStanding, NewOperation, NewTicket, NewWish, Seq, StoredPlan, StoredWindow, TakenTicket, Token,
};
use super::webhooks::{self, RotatedWebhook, StoredWebhook};
use super::{
    Store, StoreResult, answers, events, hook_runs, hosts, imports, maintenances, migrations, notices,
    operations, owners, replicas,
};
use super::{tickets, tokens};

/// One thing to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write<T> {
    /// It is new; a conflict when it is there already.
    Insert(T),
    /// It is written over what was read in this generation; a conflict when that has changed.
    Update(T, Generation),
}

/// All that is written at once, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// When it was decided.
    pub at: Instant,
    /// Maintenances.
    pub maintenances: Vec<Write<Maintenance>>,
    /// Plans of theirs.
    pub plans: Vec<StoredPlan>,
    /// Migrations.
    pub migrations: Vec<Write<Migration>>,
    /// Replicas of local disks.
    pub replicas: Vec<Write<Replica>>,
    /// Imports.
    pub imports: Vec<Write<Import>>,
    /// What is wished of hosts.
    pub standings: Vec<Write<HostStanding>>,
    /// Orders to be given.
    pub operations_begun: Vec<NewOperation>,
    /// Orders of which something else is wished.
    pub operations_wished: Vec<NewWish>,
    /// Orders that are not wanted any more; a conflict when one is not wanted already.
    pub operations_ended: Vec<OperationId>,
    /// Hooks that have ended.
    pub hooks_ran: Vec<HookRun>,
    /// Tickets to be opened.
    pub tickets_opened: Vec<NewTicket>,
    /// Tickets to be closed; closing twice is closing.
    pub tickets_closed: Vec<TicketId>,
    /// Closed tickets that go on.
    pub tickets_reopened: Vec<TicketId>,
    /// Tickets that another operator looks after; a conflict when it is another than was read.
    pub tickets_taken: Vec<TakenTicket>,
    /// Messages. One whose key is stored already is left out, and the rest is written.
    pub notices: Vec<Notice>,
    /// Messages to operators, in the same way.
    pub bulletins: Vec<Bulletin>,
    /// Webhooks that owners register.
    pub webhooks_added: Vec<StoredWebhook>,
    /// Webhooks that get another secret; a conflict when one has another than was read.
    pub webhooks_rotated: Vec<RotatedWebhook>,
    /// Webhooks that are no more; a conflict when one is not there.
    pub webhooks_removed: Vec<WebhookId>,
    /// Dead letters to be tried again.
    pub replays: Vec<DeadLetterFilter>,
    /// For the story.
    pub events: Vec<Event>,
    /// Windows as they are now.
    pub windows_put: Vec<StoredWindow>,
    /// Windows that are no more.
    pub windows_removed: Vec<WindowId>,
    /// Freezes as they are now.
    pub freezes: Vec<Write<StoredFreeze>>,
    /// Freezes that are no more.
    pub freezes_removed: Vec<FreezeId>,
    /// Limits as they are now.
    pub limits_put: Vec<StoredLimit>,
    /// Limits that are no more.
    pub limits_removed: Vec<LimitId>,
    /// Checks as they are now.
    pub checks_put: Vec<StoredCheck>,
    /// Checks that are no more.
    pub checks_removed: Vec<CheckId>,
    /// What servers shall look like at their next launch.
    pub blueprints: Vec<Write<StoredBlueprint>>,
    /// Blueprints that are no more, as they were read; a conflict when one has changed.
    pub blueprints_removed: Vec<(ServerId, Generation)>,
    /// How accounts are reached now.
    pub owners_put: Vec<Contact>,
    /// New tokens.
    pub tokens_added: Vec<Token>,
    /// Tokens that are refused from now on.
    pub tokens_revoked: Vec<Uuid>,
    /// What was answered to the request that led to all this; a conflict when its key has an answer already.
    pub answer: Option<Answer>,
}

/// What came of a batch that was written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Committed {
    /// The events with their places in the story.
    pub events: Vec<(Seq, Event)>,
    /// The messages that are new.
    pub notices: Vec<NoticeId>,
}

impl Batch {
    /// Nothing yet.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self {
            at,
            maintenances: Vec::new(),
            plans: Vec::new(),
            migrations: Vec::new(),
            replicas: Vec::new(),
            imports: Vec::new(),
            standings: Vec::new(),
            operations_begun: Vec::new(),
            operations_wished: Vec::new(),
            operations_ended: Vec::new(),
            hooks_ran: Vec::new(),
            tickets_opened: Vec::new(),
            tickets_closed: Vec::new(),
            tickets_reopened: Vec::new(),
            tickets_taken: Vec::new(),
            notices: Vec::new(),
            bulletins: Vec::new(),
            webhooks_added: Vec::new(),
            webhooks_rotated: Vec::new(),
            webhooks_removed: Vec::new(),
            replays: Vec::new(),
            events: Vec::new(),
            windows_put: Vec::new(),
            windows_removed: Vec::new(),
            freezes: Vec::new(),
            freezes_removed: Vec::new(),
            limits_put: Vec::new(),
            limits_removed: Vec::new(),
            checks_put: Vec::new(),
            checks_removed: Vec::new(),
            blueprints: Vec::new(),
            blueprints_removed: Vec::new(),
            owners_put: Vec::new(),
            tokens_added: Vec::new(),
            tokens_revoked: Vec::new(),
            answer: None,
        }
    }
}

impl Store {
    /// Writes a batch, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Fenced`](super::StoreError::Fenced) when the lease has gone to another: the caller stops acting.
    /// [`StoreError::Conflict`](super::StoreError::Conflict) when something was changed meanwhile: the caller reads and decides again.
    pub async fn commit(&self, fence: &Fence, batch: Batch) -> StoreResult<Committed> {
        let mut session = self.db.write().await?;
        let conn = &mut session.conn();
        lease::check(conn, fence).await?;
        write_aggregates(conn, &batch).await?;
        write_orders(conn, &batch).await?;
        write_settings(conn, &batch).await?;
        let notices = write_tickets(conn, &batch, &self.listeners).await?;
        let mut events = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            events.push((events::insert(conn, &event).await?, event));
        }
        session.commit().await?;
        Ok(Committed { events, notices })
    }
}

async fn write_aggregates(conn: &mut Conn<'_>, batch: &Batch) -> StoreResult<()> {
    for maintenance in &batch.maintenances {
        maintenances::write(conn, maintenance, batch.at).await?;
    }
    for plan in &batch.plans {
        maintenances::insert_plan(conn, plan).await?;
    }
    for migration in &batch.migrations {
        migrations::write(conn, migration, batch.at).await?;
    }
    for replica in &batch.replicas {
        replicas::write(conn, replica, batch.at).await?;
    }
    for import in &batch.imports {
        imports::write(conn, import, batch.at).await?;
    }
    for standing in &batch.standings {
        hosts::write(conn, standing).await?;
    }
    Ok(())
}

/// Ends come last: what is wished of an order that ends in the same batch was wished while it ran.
async fn write_orders(conn: &mut Conn<'_>, batch: &Batch) -> StoreResult<()> {
    for operation in &batch.operations_begun {
        operations::insert(conn, operation, batch.at).await?;
    }
    for wish in &batch.operations_wished {
        operations::wish(conn, wish).await?;
    }
    for operation in &batch.operations_ended {
        operations::end(conn, *operation, batch.at).await?;
    }
    for run in &batch.hooks_ran {
        hook_runs::insert(conn, run, batch.at).await?;
    }
    Ok(())
}

async fn write_tickets(
    conn: &mut Conn<'_>,
    batch: &Batch,
    listeners: &[Listener],
) -> StoreResult<Vec<NoticeId>> {
    for ticket in &batch.tickets_opened {
        tickets::insert(conn, ticket, batch.at).await?;
    }
    for ticket in &batch.tickets_reopened {
        tickets::reopen(conn, *ticket).await?;
    }
    for ticket in &batch.tickets_closed {
        tickets::close(conn, *ticket, batch.at).await?;
    }
    for taken in &batch.tickets_taken {
        tickets::take(conn, taken, batch.at).await?;
    }
    let owners = batch.notices.iter().map(|notice| &notice.ticket.owner).collect();
    let theirs = webhooks::listeners(conn, &owners).await?;
    let mut stored = Vec::new();
    for notice in &batch.notices {
        let theirs = theirs.get(&notice.ticket.owner).into_iter().flatten();
        if notices::insert(conn, notice, listeners.iter().chain(theirs)).await? {
            stored.push(notice.id);
        }
    }
    for bulletin in &batch.bulletins {
        if notices::insert_bulletin(conn, bulletin, listeners).await? {
            stored.push(bulletin.id);
        }
    }
    for webhook in &batch.webhooks_removed {
        webhooks::remove(conn, *webhook).await?;
    }
    for webhook in &batch.webhooks_added {
        webhooks::insert(conn, webhook).await?;
    }
    for rotated in &batch.webhooks_rotated {
        webhooks::rotate(conn, rotated).await?;
    }
    for replay in &batch.replays {
        deliveries::replay(conn, replay, batch.at).await?;
    }
    Ok(stored)
}

async fn write_settings(conn: &mut Conn<'_>, batch: &Batch) -> StoreResult<()> {
    for window in &batch.windows_put {
        owners::put_window(conn, window).await?;
    }
    for window in &batch.windows_removed {
        owners::remove_window(conn, *window).await?;
    }
    for freeze in &batch.freezes {
        freezes::write_freeze(conn, freeze).await?;
    }
    for freeze in &batch.freezes_removed {
        freezes::remove_freeze(conn, *freeze).await?;
    }
    for limit in &batch.limits_put {
        freezes::put_limit(conn, limit).await?;
    }
    for limit in &batch.limits_removed {
        freezes::remove_limit(conn, *limit).await?;
    }
    for check in &batch.checks_put {
        checks::put(conn, check).await?;
    }
    for check in &batch.checks_removed {
        checks::remove(conn, *check).await?;
    }
    for blueprint in &batch.blueprints {
        blueprints::write(conn, blueprint).await?;
    }
    for removed in &batch.blueprints_removed {
        blueprints::remove(conn, *removed).await?;
    }
    for owner in &batch.owners_put {
        owners::put(conn, owner).await?;
    }
    for token in &batch.tokens_added {
        tokens::insert(conn, token).await?;
    }
    for token in &batch.tokens_revoked {
        tokens::revoke(conn, *token, batch.at).await?;
    }
    if let Some(answer) = &batch.answer {
        answers::insert(conn, answer).await?;
    }
    Ok(())
}
