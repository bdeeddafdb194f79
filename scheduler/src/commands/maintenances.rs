//! What may be wished of a maintenance once it is asked for.

mod asking;
mod terms;

pub(crate) use asking::drafted;

use drover_policies::bulletins::{Bulletin, End, Says, Tally};
use drover_policies::events::{Event, Happened};
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, NoticeId};
use drover_policies::maintenance::{InPart, Maintenance, Refusal, RollingHappened, SkippedBy, Stage, State};
use drover_policies::migration::Migration;
use drover_policies::notices::Actor;
use drover_policies::time::Instant;

use super::hosts::standing;
use super::{Decided, Reply, Wish, find_maintenance, store_problem};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{Counts, MaintenanceView};
use crate::store::{Batch, HostStanding, Versioned, Write};

/// What an operator may wish of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceWish {
    /// Let it begin.
    Approve {
        /// Also if not all of it can be done.
        in_part: InPart,
    },
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Give up.
    Cancel,
    /// Skip windows and notice.
    Emergency {
        /// What endangers the hosts.
        why: String,
    },
    /// Try a host again that has failed.
    RetryHost {
        /// Which.
        host: HostName,
    },
    /// Leave a host out.
    SkipHost {
        /// Which.
        host: HostName,
    },
}

impl Wish {
    /// Changes how a maintenance goes on.
    ///
    /// # Errors
    /// It is unknown, over, or has changed since it was read.
    pub async fn maintain(&self, given: &str, wish: &MaintenanceWish) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let Versioned { value: before, generation } = find_maintenance(&self.app, given).await?;
            self.envelope.if_match.check(generation)?;
            let mut batch = Batch::new(self.app.clock.now());
            let by = self.caller.actor();
            let (after, host, what) =
                transition(before.clone(), wish, by, batch.at).map_err(|refusal| refused(&refusal))?;
            let migrations =
                self.app.store.migrations_of(before.id).await.map_err(|error| store_problem(&error))?;
            let migrations: Vec<_> = migrations.into_iter().map(|migration| migration.value).collect();
            let view = MaintenanceView::of(&after, &migrations, &self.app.fleet(), batch.at);
            if after != before {
                // A question to a host's libvirt that nobody waits for any more ends with its maintenance, or with its host's turn.
                for (name, stage) in &after.hosts {
                    let left = matches!(after.state, State::Cancelled { .. })
                        || before.hosts.get(name) != Some(stage);
                    if let (true, Some(Stage::Confirming { operation })) = (left, before.hosts.get(name)) {
                        batch.operations_ended.push(*operation);
                    }
                }
                if matches!(after.state, State::Cancelled { .. }) {
                    self.give_back(&after, &migrations, &mut batch).await?;
                }
                if let State::Cancelled { by, .. } = &after.state {
                    let servers = Some(Counts::of(&migrations).servers());
                    let tally = Tally { servers, ..Tally::of(&after, batch.at) };
                    let says = Says::Over { end: End::Cancelled { by: by.clone() }, tally };
                    batch.bulletins.push(self.bulletin(&after, says, batch.at));
                }
                batch.events.push(Event { host, ..event(&after, batch.at, what) });
                batch.maintenances.push(Write::Update(after, generation));
            }
            Ok(Decided::new(batch, Reply::ok(&view)?))
        })
        .await
    }
}

impl Wish {
    /// What operators are told of a maintenance as it is now.
    fn bulletin(&self, maintenance: &Maintenance, says: Says, at: Instant) -> Bulletin {
        Bulletin::new(NoticeId::draw(self.app.ids.as_ref()), maintenance, says, at)
    }

    /// Hosts from which nothing of a cancelled maintenance still has to come to its end go back at once: the conductor looks after a cancelled
    /// maintenance for as long as one of its migrations is not over, or a hook runs, and no longer. A host on which a hook had begun stays
    /// out of service until somebody has looked at it.
    async fn give_back(
        &self,
        cancelled: &Maintenance,
        migrations: &[Migration],
        batch: &mut Batch,
    ) -> Result<(), Problem> {
        let fleet = self.app.fleet();
        for (name, _) in cancelled.hosts.iter().filter(|(_, stage)| stage.is_being_emptied()) {
            let busy = migrations.iter().any(|migration| migration.from == *name && !migration.is_over());
            let Some(host) = fleet.hosts.get(name).filter(|_| !busy) else { continue };
            let Versioned { value: before, generation } = standing(&self.app, host).await?;
            let was = cancelled.rolling.turns.get(name).map(|turn| turn.was.clone());
            let after = match (before.clone().release(cancelled.id), was) {
                (Standing::Open, Some(was @ Standing::Cordoned { .. })) => was,
                (after, _) => after,
            };
            if after != before {
                let standing = HostStanding { host: name.clone(), standing: after };
                batch.standings.push(Write::Update(standing, generation));
            }
        }
        Ok(())
    }
}

fn transition(
    maintenance: Maintenance,
    wish: &MaintenanceWish,
    by: Actor,
    now: Instant,
) -> Result<(Maintenance, Option<HostName>, Happened), Refusal> {
    let rolling = |what| Happened::Rolling { what };
    Ok(match wish {
        MaintenanceWish::Approve { in_part } => {
            let after = maintenance.approve(by.clone(), *in_part, now)?;
            (after, None, rolling(RollingHappened::Approved { by }))
        }
        MaintenanceWish::Pause => (maintenance.pause(by.clone(), now)?, None, Happened::Paused { by }),
        MaintenanceWish::Resume => (maintenance.resume()?, None, Happened::Resumed { by }),
        MaintenanceWish::Cancel => {
            (maintenance.cancel(by.clone(), now)?, None, Happened::MaintenanceCancelled { by })
        }
        MaintenanceWish::Emergency { why } => {
            let declared = Happened::EmergencyDeclared { by, why: why.clone() };
            (maintenance.declare_emergency(why.clone())?, None, declared)
        }
        MaintenanceWish::RetryHost { host } => {
            let (after, step) = maintenance.retry_host(host, now)?;
            (after, Some(host.clone()), rolling(RollingHappened::HostRetried { by, step }))
        }
        MaintenanceWish::SkipHost { host } => {
            let after = maintenance.skip_host(host, by.clone(), now)?;
            let by = SkippedBy::Actor { by };
            (after, Some(host.clone()), rolling(RollingHappened::HostSkipped { by }))
        }
    })
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Over { number, state } => Problem::new(
            Kind::Refused,
            format!(
                "MT-{number} is {state}; ask for a new one with `drover drain` or `drover maintenance draft`"
            ),
        ),
        Refusal::NoHost { host, .. } => Problem::new(Kind::NotFound, refusal.to_string()).with("host", host),
        Refusal::NotBegun { .. }
        | Refusal::NotPlanned { .. }
        | Refusal::NotUrgent { .. }
        | Refusal::InPart { .. }
        | Refusal::NotFailed { .. }
        | Refusal::AtWork { .. }
        | Refusal::HadItsTurn { .. } => Problem::new(Kind::Refused, refusal.to_string()),
    }
}

fn event(maintenance: &Maintenance, at: Instant, what: Happened) -> Event {
    Event {
        at,
        maintenance: Some(maintenance.id),
        migration: None,
        import: None,
        server: None,
        owner: None,
        host: None,
        what,
    }
}
