//! What agents tell of replicas, taken in.

use super::super::Conductor;
use super::Needs;
use crate::attempt::{Failure, FailureClass, Report};
use crate::events::Happened;
use crate::ids::{HostName, OperationId};
use crate::replica::{Activity, Filled, Replica, ReplicaState, ReplicaStatus, Stage};

impl Conductor<'_> {
    pub(super) fn take_in(&mut self, replica: Replica) -> Replica {
        let Some(report) = replica.state.operation().and_then(|id| self.reports.get(&id)).cloned() else {
            return self.without_report(replica);
        };
        match (replica.state.clone(), report) {
            (_, Report::Running(_)) => replica,
            (ReplicaState::Holding { operation }, Report::Held) => {
                self.changes.ended.push(operation);
                Replica { state: ReplicaState::Held, ..replica }
            }
            (
                ReplicaState::Holding { operation } | ReplicaState::Replicating { operation, .. },
                Report::Refused(failure),
            ) => self.refused(replica, operation, failure),
            (ReplicaState::Replicating { operation, seen }, Report::Replicating(status)) => {
                self.progressed(replica, (operation, seen), status)
            }
            // The server has left, or was away for a moment: what is wanted is worked out after this.
            (ReplicaState::Replicating { .. }, Report::Stopped) => replica,
            (ReplicaState::Stopping { operation, images }, Report::Stopped | Report::Refused(_)) => {
                self.changes.ended.push(operation);
                self.order_release(replica, images)
            }
            // Until the abort has reached its agent it goes on to tell of its rounds.
            (ReplicaState::Stopping { .. }, Report::Replicating(_)) => replica,
            (ReplicaState::Releasing { operation, images }, Report::Released) => {
                self.changes.ended.push(operation);
                self.say_of_replica(&replica, Happened::ReplicaReleased { at: replica.to.clone(), images });
                Replica { state: ReplicaState::Gone { at: self.now }, ..replica }
            }
            (ReplicaState::Releasing { operation, images }, Report::Refused(failure)) => {
                self.changes.ended.push(operation);
                let what = Happened::ReplicaLeft { at: replica.to.clone(), images, failure };
                self.say_of_replica(&replica, what);
                Replica { state: ReplicaState::Gone { at: self.now }, ..replica }
            }
            (
                ReplicaState::Holding { operation } | ReplicaState::Replicating { operation, .. },
                Report::Ended { .. }
                | Report::Alive { .. }
                | Report::NotAlive(_)
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Importing(_)
                | Report::ImportEnded { .. }
                | Report::Testing(_)
                | Report::RunningHook(_)
                | Report::HookRan(_)
                | Report::Healthy(_)
                | Report::Unhealthy(_)
                | Report::Tested { .. },
            ) => {
                let text = "the agent's answer does not fit the order".to_owned();
                self.refused(replica, operation, Failure { class: FailureClass::Unexpected, text })
            }
            (
                ReplicaState::Held
                | ReplicaState::Stopping { .. }
                | ReplicaState::Releasing { .. }
                | ReplicaState::Refused { .. }
                | ReplicaState::Gone { .. },
                _,
            ) => replica,
        }
    }

    /// An agent that is not known any more, because its host was taken out for good, is not waited for.
    fn without_report(&mut self, replica: Replica) -> Replica {
        let forgotten = |host: &HostName| !self.fleet.hosts.contains_key(host);
        match replica.state {
            ReplicaState::Stopping { operation, images } if forgotten(&replica.from) => {
                self.changes.ended.push(operation);
                self.order_release(replica, images)
            }
            ReplicaState::Releasing { operation, .. } if forgotten(&replica.to) => {
                self.changes.ended.push(operation);
                Replica { state: ReplicaState::Gone { at: self.now }, ..replica }
            }
            ReplicaState::Holding { .. }
            | ReplicaState::Held
            | ReplicaState::Replicating { .. }
            | ReplicaState::Refused { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => replica,
        }
    }

    fn refused(&mut self, replica: Replica, operation: OperationId, failure: Failure) -> Replica {
        self.changes.ended.push(operation);
        self.refuse(replica, failure)
    }

    /// What the two agents are told of each other is in the facts of their hosts; nothing when both have it.
    pub(super) fn not_replicating(&self, replica: &Replica) -> Option<Failure> {
        let lacks =
            |host: &&HostName| self.room.host(host).is_none_or(|known| known.facts.replication.is_none());
        let host = [&replica.from, &replica.to].into_iter().find(lacks)?;
        let text = format!("the agent of {host} keeps no replicas any more");
        let class = if *host == replica.to {
            FailureClass::RefusedByDestination
        } else {
            FailureClass::RefusedBySource
        };
        Some(Failure { class, text })
    }

    pub(super) fn refuse(&mut self, replica: Replica, failure: Failure) -> Replica {
        if replica.filled == Filled::AsRetained {
            // Its migration is given up for it, and tells why.
            return Replica { state: ReplicaState::Refused { failure, until: self.now }, ..replica };
        }
        // Refused at once and tried at once would be a circle.
        let until = self.now + self.policies.general().retry.longest.delta();
        let host = replica.to.clone();
        self.say_of_replica(
            &replica,
            Happened::ReplicaRefused { host, failure: failure.clone(), again_at: until },
        );
        Replica { state: ReplicaState::Refused { failure, until }, ..replica }
    }

    /// What an agent tells is kept only where it changes what may be decided: its figures change every second.
    fn progressed(
        &mut self,
        replica: Replica,
        (operation, seen): (OperationId, Option<Box<ReplicaStatus>>),
        status: ReplicaStatus,
    ) -> Replica {
        let coarse = |status: &ReplicaStatus| {
            (status.stage(), status.rounds.min(Needs::Ready.rounds()), status.needs_power_cycle())
        };
        let before = seen.as_deref().map(coarse);
        let now = coarse(&status);
        if before == Some(now) {
            return replica;
        }
        let (was_stalled, landed, needed_it) = before
            .map_or((false, 0, false), |(stage, rounds, needs)| (stage == Stage::Stalled, rounds, needs));
        let was_ready = seen.as_deref().is_some_and(ReplicaStatus::is_ready);
        if landed < 1
            && now.1 >= 1
            && let Some(round) = &status.last
        {
            self.say_of_replica(&replica, Happened::InitialSyncDone { round: round.clone() });
        }
        if !was_ready && status.is_ready() {
            self.say_of_replica(&replica, Happened::ReplicaReady { lag: status.lag(self.now) });
        }
        match &status.activity {
            Activity::Stalled { failure, .. } if !was_stalled || now.2 != needed_it => {
                self.say_of_replica(&replica, Happened::ReplicaStalled { failure: failure.clone() });
            }
            Activity::Round(_) | Activity::Resting { .. } if was_stalled => {
                self.say_of_replica(&replica, Happened::ReplicaGoesOn);
            }
            Activity::Initiating
            | Activity::Round(_)
            | Activity::Resting { .. }
            | Activity::Paused
            | Activity::Stalled { .. }
            | Activity::CuttingOver => {}
        }
        let seen = Some(Box::new(status));
        Replica { state: ReplicaState::Replicating { operation, seen }, ..replica }
    }
}
