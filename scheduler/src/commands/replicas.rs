//! What may be wished of a replica.

use drover_policies::events::Happened;
use drover_policies::ids::{MigrationId, ServerId};
use drover_policies::migration::{Migration, State};
use drover_policies::notices::Wisher;
use drover_policies::replica::{Mark, Refusal, Replica, TestHappened, TestRefusal, TestResult};

use super::migrations::event;
use super::{Decided, Reply, Wish, find_migration, store_problem, with_time};
use crate::app::App;
use crate::auth::Caller;
use crate::http::problem::{Kind, Problem};
use crate::http::views::ReplicaView;
use crate::replicas::Present;
use crate::store::{Batch, Versioned, Write};

/// What may be wished of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaWish {
    /// A round at once.
    Sync,
    /// No further rounds.
    Pause,
    /// Rounds again.
    Resume,
    /// A test launch, in the place of one that runs.
    LaunchTest,
    /// No test launch any longer.
    EndTest,
    /// What came of the test.
    MarkTest(TestResult),
}

impl Wish {
    /// Changes how the replica of a migration is kept up to date.
    ///
    /// # Errors
    /// There is no such migration, it has no replica, or its replica can't do that now.
    pub async fn replica(&self, given: &str, wished: ReplicaWish) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let found = find_migration(&self.app, &self.caller, given).await?;
            let migration = with_time(&self.app, found).await?.value;
            let Versioned { value: before, generation } = kept_for(&self.app, &migration).await?;
            self.envelope.if_match.check(generation)?;
            let by = self.caller.actor();
            let told = before.state.operation().and_then(|operation| self.app.agents.replicating(operation));
            let at = self.app.clock.now();
            let refused_test = |refusal: TestRefusal| {
                Problem::new(Kind::Refused, refusal.to_string()).with("rule", refusal.rule())
            };
            let (after, what) = match wished {
                ReplicaWish::Sync => {
                    let synced = before.clone().sync(told.as_ref()).map_err(|refusal| refused(&refusal))?;
                    (synced, Some(Happened::SyncAskedFor { by }))
                }
                ReplicaWish::Pause => {
                    let paused =
                        before.clone().pause(Wisher::of(&by)).map_err(|refusal| refused(&refusal))?;
                    (paused, Some(Happened::ReplicaPaused { by }))
                }
                ReplicaWish::Resume => {
                    let resumed =
                        before.clone().resume(Wisher::of(&by)).map_err(|refusal| refused(&refusal))?;
                    (resumed, Some(Happened::ReplicaResumed { by }))
                }
                // Armed or further: it would be in the way of what has been begun.
                ReplicaWish::LaunchTest if matches!(migration.state, State::CuttingOver { .. }) => {
                    return Err(refused_test(TestRefusal::CuttingOver));
                }
                ReplicaWish::LaunchTest => {
                    let guest = (ServerId::draw(self.app.ids.as_ref()), by.clone());
                    let asked = before.clone().launch_test(guest, told.as_ref(), at).map_err(refused_test)?;
                    (asked, Some(of_test(&before, TestHappened::Asked { by })))
                }
                // That it has ended is told when nothing is left of it.
                ReplicaWish::EndTest => (before.clone().end_test(at).map_err(refused_test)?, None),
                ReplicaWish::MarkTest(result) => {
                    let mark = Mark { result, by: by.clone(), at };
                    let marked = before.clone().mark_test(mark).map_err(refused_test)?;
                    (marked, Some(of_test(&before, TestHappened::Marked { result, by })))
                }
            };
            let mut batch = Batch::new(at);
            if after != before {
                batch.events.extend(what.map(|what| event(&migration, at, what)));
                batch.replicas.push(Write::Update(after.clone(), generation));
            }
            let view = view(&self.app, &self.caller, after, &migration).await?;
            Ok(Decided::new(batch, Reply::ok(&view)?))
        })
        .await
    }
}

fn of_test(replica: &Replica, what: TestHappened) -> Happened {
    Happened::TestLaunch { at: replica.to.clone(), what }
}

/// A replica as its caller sees it.
///
/// # Errors
/// The database failed.
pub async fn view(
    app: &App,
    caller: &Caller,
    replica: Replica,
    migration: &Migration,
) -> Result<ReplicaView, Problem> {
    let history = app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
    Ok(ReplicaView::of(&Present::of(app, replica, migration, &history), caller.eyes()))
}

/// A replica and its migration: by its own id, or by its migration's number.
///
/// # Errors
/// There is none that the caller may see.
pub async fn find_replica(
    app: &App,
    caller: &Caller,
    given: &str,
) -> Result<(Versioned<Replica>, Migration), Problem> {
    let missing = || Problem::not_found("replica", given);
    if let Ok(id) = given.parse() {
        let found = app.store.replica(id).await.map_err(|error| store_problem(&error))?;
        if let Some(replica) = found {
            let migration = migration_of(app, caller, replica.value.migration).await?.ok_or_else(missing)?;
            return Ok((replica, migration));
        }
    }
    let found = find_migration(app, caller, given).await.map_err(|_| missing())?;
    let migration = with_time(app, found).await?.value;
    let replica = latest(app, migration.id).await?.ok_or_else(missing)?;
    Ok((replica, migration))
}

async fn migration_of(app: &App, caller: &Caller, id: MigrationId) -> Result<Option<Migration>, Problem> {
    let found = app.store.migration(id).await.map_err(|error| store_problem(&error))?;
    Ok(found.map(|found| found.value).filter(|found| caller.may_see(found.owner.as_ref())))
}

/// The one that is kept, or else the last that was.
async fn latest(app: &App, migration: MigrationId) -> Result<Option<Versioned<Replica>>, Problem> {
    let mut known = app.store.replicas_of(migration).await.map_err(|error| store_problem(&error))?;
    let kept = known.iter().rposition(|replica| !replica.value.is_leaving());
    Ok(match kept {
        Some(place) => Some(known.swap_remove(place)),
        None => known.pop(),
    })
}

/// The replica of a migration that is not gone yet.
async fn kept_for(app: &App, migration: &Migration) -> Result<Versioned<Replica>, Problem> {
    let found = latest(app, migration.id).await?.filter(|replica| !replica.value.is_gone());
    found.ok_or_else(|| {
        let text = format!(
            "no copy of {}'s disks is kept for this migration: they are shared, or the copy is not begun yet, or it was let go of when the \
             migration came to its end",
            migration.server_name
        );
        Problem::new(Kind::Refused, text).with("rule", "no_replica")
    })
}

/// A refusal; the rule and its figures also as members, for programs.
fn refused(refusal: &Refusal) -> Problem {
    let problem = Problem::new(Kind::Refused, refusal.to_string());
    match refusal {
        Refusal::NotKept { state } => problem.with("rule", "not_kept").with("state", state),
        Refusal::RoundRuns { percent } => problem.with("rule", "round_runs").with("percent", percent),
        Refusal::CuttingOver => problem.with("rule", "cutting_over"),
        Refusal::IsPaused => problem.with("rule", "paused"),
        Refusal::NotForOwners => problem.with("rule", "not_for_owners"),
    }
}
