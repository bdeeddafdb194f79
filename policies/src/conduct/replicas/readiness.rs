//! Whether a server can be cut over with its replica, and how long that takes yet.

use super::super::Conductor;
use super::{Needs, Readiness};
use crate::appointment::Appointment;
use crate::eligibility::has_local_disks;
use crate::estimate::{expected_comparison, expected_sync};
use crate::fleet::{Power, Server};
use crate::migration::{Migration, State, Waiting};
use crate::policy::Policy;
use crate::replica::{Filled, Replica, ReplicaState, ReplicaStatus, Stage};
use crate::time::{Instant, Span};

impl Conductor<'_> {
    /// Whether the whole disks are where the migration's place is, and the copy is as new as is asked for.
    pub(super) fn readiness(&self, migration: &Migration, server: &Server, policy: &Policy) -> Readiness {
        if !has_local_disks(&server.facts) {
            return Readiness::NotNeeded;
        }
        let needs = self.needs(migration, server);
        let why = match self.replica_for(migration) {
            None => "it is not begun yet".to_owned(),
            Some(replica) if replica.filled == Filled::AsRetained => match &replica.state {
                ReplicaState::Held => return Readiness::Retained(replica.disks.clone()),
                ReplicaState::Refused { failure, .. } => failure.to_string(),
                ReplicaState::Holding { .. }
                | ReplicaState::Replicating { .. }
                | ReplicaState::Stopping { .. }
                | ReplicaState::Releasing { .. }
                | ReplicaState::Gone { .. } => "its old disks are being looked at".to_owned(),
            },
            Some(replica) if self.not_replicating(replica).is_some() => {
                "an agent that is needed for it keeps no replicas any more".to_owned()
            }
            Some(replica) => match (&replica.state, self.status_of(replica)) {
                (ReplicaState::Refused { failure, .. }, _) => failure.to_string(),
                (_, Some(status)) => match not_ready(status, needs, policy, self.now) {
                    None => return Readiness::Ready(Box::new(replica.clone())),
                    Some(why) => why,
                },
                (_, None) => "it is being set up".to_owned(),
            },
        };
        Readiness::Not(Waiting::Replica { why })
    }

    /// How long it will take until the whole disks have been copied once, by what has been measured or else by what a link carries; nothing
    /// when they have.
    pub(in crate::conduct) fn sync_left(&self, migration: &Migration, policy: &Policy) -> Span {
        let Some(server) = self.fleet.seen(&migration.from, migration.server) else { return Span::ZERO };
        if !has_local_disks(&server.facts) || migration.loss_accepted_by().is_some() {
            return Span::ZERO;
        }
        let known = self.replica_for(migration).and_then(|replica| self.status_of(replica));
        expected_sync(server, known, &policy.replication)
    }

    pub(super) fn needs(&self, migration: &Migration, server: &Server) -> Needs {
        // Nothing makes the lag of one shorter whose rounds wait for it to be off.
        let status = self.replica_for(migration).and_then(|replica| self.status_of(replica));
        let off = server.facts.power == Power::Off || status.is_some_and(ReplicaStatus::needs_power_cycle);
        match migration.appointment {
            Appointment::Emergency { .. } => Needs::WholeDisks,
            Appointment::Unscheduled
            | Appointment::Proposed { .. }
            | Appointment::Accepted { .. }
            | Appointment::Rescheduled { .. }
            | Appointment::StartNow { .. }
            | Appointment::Running { .. }
            | Appointment::Done => {
                if off {
                    Needs::WholeDisks
                } else {
                    Needs::Ready
                }
            }
        }
    }

    /// What takes the local disks of a server that goes live; nothing when it has none.
    ///
    /// # Errors
    /// It is not there yet; for what it waits.
    pub(in crate::conduct) fn live_copy(
        &self,
        migration: &Migration,
        server: &Server,
    ) -> Result<Option<Box<Replica>>, Waiting> {
        if !has_local_disks(&server.facts) {
            return Ok(None);
        }
        let why = match self.replica_for(migration) {
            Some(replica) if replica.filled == Filled::Live && self.fits(replica) => match &replica.state {
                ReplicaState::Held => return Ok(Some(Box::new(replica.clone()))),
                ReplicaState::Refused { failure, .. } => failure.to_string(),
                ReplicaState::Holding { .. }
                | ReplicaState::Replicating { .. }
                | ReplicaState::Stopping { .. }
                | ReplicaState::Releasing { .. }
                | ReplicaState::Gone { .. } => "its images are being made".to_owned(),
            },
            Some(_) => "what was made for other disks, or copied for a reboot, is being let go of".to_owned(),
            None => "its images are not made yet".to_owned(),
        };
        Err(Waiting::Replica { why })
    }

    fn is_whole(&self, replica: &Replica) -> bool {
        match replica.filled {
            Filled::ByRounds => self.status_of(replica).is_some_and(ReplicaStatus::is_ready),
            Filled::AsRetained => replica.state == ReplicaState::Held,
            Filled::Live => false,
        }
    }

    /// What is wrong with the old disks that a server was to go back to, if its old host has said so.
    pub(in crate::conduct) fn not_retained(&self, migration: &Migration) -> Option<String> {
        let replica = self.replica_for(migration).filter(|replica| replica.filled == Filled::AsRetained)?;
        match &replica.state {
            ReplicaState::Refused { failure, .. } => Some(failure.text.clone()),
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Replicating { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => None,
        }
    }

    /// A migration of local disks is *preparing* until its replica has been whole and up to date once, and again when that is lost.
    pub(in crate::conduct) fn prepared(&mut self, mut migration: Migration, server: &Server) -> Migration {
        let is_whole = !has_local_disks(&server.facts)
            || self.replica_for(&migration).is_some_and(|replica| self.is_whole(replica));
        migration.state = match (migration.state, is_whole) {
            (State::Preparing { waits_for }, true) => State::Ready { waits_for },
            (State::Ready { waits_for }, false) => State::Preparing { waits_for },
            (other, true | false) => other,
        };
        migration
    }
}

/// Why a server can't be cut over with its replica now; nothing when it can.
fn not_ready(status: &ReplicaStatus, needs: Needs, policy: &Policy, now: Instant) -> Option<String> {
    if status.rounds < needs.rounds() {
        return Some(match (status.stage(), status.initial_percent()) {
            (Stage::Paused, _) => "it is paused, and not whole yet".to_owned(),
            (Stage::Stalled, _) => "its rounds fail".to_owned(),
            (_, Some(percent)) => format!("{percent} % of the first copy is there"),
            (_, None) if status.rounds == 0 => "the first copy is not there yet".to_owned(),
            (_, None) => "the first copy is there, and the round after it is not".to_owned(),
        });
    }
    // It would be powered off, and brought back before it has moved, again and again.
    let (off, longest) = (expected_comparison(&policy.replication, status), policy.replication.tail_within);
    if off > longest {
        return Some(format!(
            "its raw disks are compared while it is off, which takes about {}, and may take {longest}: give it longer (replication.tail_within)",
            off.rounded()
        ));
    }
    let most = policy.replication.ready_lag;
    match (needs, status.lag(now)) {
        (Needs::Ready, Some(lag)) if lag > most => Some(format!(
            "it is {} behind, and may be {most} (replication.ready_lag)",
            Span::seconds(lag.0.as_secs() / 60 * 60).rounded()
        )),
        (Needs::Ready | Needs::WholeDisks, Some(_) | None) => None,
    }
}
