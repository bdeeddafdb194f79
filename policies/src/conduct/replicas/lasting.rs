//! What may change around a replica that is kept: its agents are installed anew, it falls behind, its destination is lost.

use super::super::{Conductor, Intent};
use crate::events::Happened;
use crate::ids::HostName;
use crate::migration::Migration;
use crate::replica::{Activity, Filled, Going, Pace, Peers, Replica, ReplicaState, ReplicaStatus};
use crate::time::Span;

impl Conductor<'_> {
    /// What the agents of a replica's hosts tell of themselves now.
    fn peers(&self, from: &HostName, to: &HostName) -> Option<Peers> {
        let of = |host| self.room.host(host)?.facts.replication.as_ref();
        let (source, destination) = (of(from)?, of(to)?);
        Some(Peers {
            source: source.certificate.clone(),
            destination: destination.certificate.clone(),
            address: destination.address.clone(),
        })
    }

    /// Whether one of the two agents is not any more what the other one was told: it was installed anew, or listens elsewhere.
    pub(super) fn is_told_wrong(&self, replica: &Replica) -> bool {
        let now = self.peers(&replica.from, &replica.to);
        replica.peers.as_ref().zip(now).is_some_and(|(told, now)| *told != now)
    }

    /// Both agents are told of each other, as they are now. A destination that has the images already goes on with them.
    pub(super) fn order_hold(&mut self, mut replica: Replica) -> Replica {
        replica.peers = self.peers(&replica.from, &replica.to);
        let intent = match replica.filled {
            Filled::ByRounds | Filled::Live => Intent::HoldReplica { replica: Box::new(replica.clone()) },
            Filled::AsRetained => Intent::LookAtRetained { replica: Box::new(replica.clone()) },
        };
        let operation = self.order(replica.to.clone(), Some(replica.migration), intent);
        Replica { state: ReplicaState::Holding { operation }, ..replica }
    }

    /// A lag grows without anybody telling; it is looked at whenever anything is.
    pub(super) fn noted_if_late(&mut self, replica: Replica, pace: &Pace) -> Replica {
        let Some(migration) = self.find(replica.migration).cloned() else { return replica };
        let bearable = self.policy_for(&migration).policy.replication.lag_warn;
        let status = self.status_of(&replica).filter(|_| replica.going == Going::On);
        let late_at = |status: &ReplicaStatus| status.late_at(pace, bearable, replica.late_since, self.now);
        let Some((late_at, lag)) = status.and_then(|status| late_at(status).zip(status.lag(self.now))) else {
            return replica;
        };
        match (self.now > late_at, replica.late_since) {
            (true, None) => {
                self.say_of_replica(&replica, Happened::ReplicaLate { lag });
                Replica { late_since: Some(self.now), ..replica }
            }
            (false, Some(_)) => {
                self.say_of_replica(&replica, Happened::ReplicaCaughtUp { lag });
                Replica { late_since: None, ..replica }
            }
            (true, Some(_)) | (false, None) => replica,
        }
    }

    /// Rounds that fail for too long cost the destination its place, without anybody telling anything new.
    pub(super) fn look_when_lost(&mut self, replica: &Replica) {
        let Some(migration) = self.find(replica.migration).cloned() else { return };
        if let Some(Activity::Stalled { since, .. }) = self.status_of(replica).map(|status| &status.activity)
        {
            let lost_at = *since + self.policy_for(&migration).policy.replication.place_lost_after.delta();
            if lost_at > self.now {
                self.look_again_at(lost_at);
            }
        }
    }

    /// The host with this migration's replica, if rounds to it have failed for longer than a destination may be lost.
    pub(in crate::conduct) fn lost_at(
        &self,
        migration: &Migration,
        after: Span,
    ) -> Option<(HostName, String)> {
        let replica = self.replica_for(migration)?;
        match &self.status_of(replica)?.activity {
            Activity::Stalled { failure, since, .. }
                if failure.class.depends_on_destination() && self.now - *since >= after.delta() =>
            {
                Some((replica.to.clone(), failure.to_string()))
            }
            Activity::Stalled { .. }
            | Activity::Initiating
            | Activity::Round(_)
            | Activity::Resting { .. }
            | Activity::Paused
            | Activity::CuttingOver => None,
        }
    }
}
