//! The agent's port to the replicas of the simulated fleet.

use drover_agent_api::{HoldReplica, ReleaseReplica, ReplicaPeer, TestLaunch};
use drover_policies::attempt::FailureClass;
use drover_policies::ids::{OperationId, ReplicaId, ServerId};
use drover_policies::replica::{DiskBacklog, Point, ReplicaDisk};
use drover_policies::time::Span;

use super::super::replication::{
    FilledBy, Held, Launched, Limits, NotConfigured, Replication, RoundOrder, RoundStatus, TestOf, Touched,
};
use super::super::{Answer, Refusal, RefusalKind};
use super::World;
use super::port::Port;
use super::replicas::{Copying, no_agent};

impl Port {
    /// A call to the agent of another host: nothing of libvirt's is in it.
    fn on_peer<T>(&self, peer: &ReplicaPeer, act: impl FnOnce(&mut World) -> Answer<T>) -> Answer<T> {
        self.counted(|world| {
            if !world.reaches_agent(self.host(), &peer.host) {
                return Err(no_agent(&peer.host));
            }
            let answer = act(world);
            if world.loses_answer(&peer.host) { Err(no_agent(&peer.host)) } else { answer }
        })
    }

    /// A call about replicas held here.
    fn on_held<T>(
        &self,
        unless: impl FnOnce() -> Answer<T>,
        act: impl FnOnce(&mut World) -> Answer<T>,
    ) -> Answer<T> {
        self.counted(|world| {
            let configured =
                world.hosts.get(self.host()).is_some_and(|host| host.facts.replication.is_some());
            if configured { act(world) } else { unless() }
        })
    }
}

impl Replication for Port {
    fn hold(&self, order: &HoldReplica) -> Answer<()> {
        self.on_held(|| NotConfigured.hold(order), |world| world.hold(self.host(), order))
    }

    fn release(&self, order: &ReleaseReplica) -> Answer<()> {
        let released = |world: &mut World| world.release(self.host(), order.replica, order.images);
        self.on_held(|| NotConfigured.release(order), released)
    }

    fn start_round(&self, order: &RoundOrder) -> Answer<()> {
        self.counted(|world| world.start_round(self.host(), self.session(), order))
    }

    fn round(&self, server: ServerId, operation: OperationId) -> Answer<RoundStatus> {
        self.counted(|world| {
            let own = |round: &Copying| {
                round.session == self.session()
                    && round.source == *self.host()
                    && round.order.operation == operation
            };
            let Some(round) = world.rounds.get(&server).filter(|round| own(round)) else {
                return Ok(RoundStatus::None);
            };
            let rate = round.rate(world.share(&round.source));
            match round.ended.clone() {
                None => Ok(RoundStatus::Running(round.figures(rate))),
                Some(answer) => {
                    world.rounds.remove(&server);
                    Ok(RoundStatus::Returned(answer))
                }
            }
        })
    }

    fn abort_round(&self, server: ServerId) -> Answer<()> {
        self.counted(|world| {
            let text = "the round was ended on request";
            world.end_round(server, Err(Refusal::new(RefusalKind::Failed(FailureClass::Aborted), text)));
            Ok(())
        })
    }

    fn limit_round(&self, server: ServerId, limits: Limits) -> Answer<()> {
        self.counted(|world| {
            if let Some(round) = world.rounds.get_mut(&server) {
                round.limits = limits;
            }
            Ok(())
        })
    }

    fn quiet_for(&self, _replica: ReplicaId, server: ServerId) -> Span {
        let left = |world: &mut World| {
            let until = world.quiet.get(&server).copied().unwrap_or(world.now);
            Ok(Span::between(world.now, until))
        };
        self.counted(left).unwrap_or(Span::ZERO)
    }

    fn backlog(
        &self,
        replica: ReplicaId,
        server: ServerId,
        disks: &[ReplicaDisk],
    ) -> Answer<Vec<DiskBacklog>> {
        self.counted(|world| Ok(world.backlog(disks, server, replica)))
    }

    fn held(&self, replica: ReplicaId, peer: &ReplicaPeer) -> Answer<Held> {
        self.on_peer(peer, |world| world.held(&peer.host, replica))
    }

    fn put_in_place(&self, replica: ReplicaId, peer: &ReplicaPeer, by: FilledBy) -> Answer<()> {
        self.on_peer(peer, |world| world.put_in_place(&peer.host, replica, by))
    }

    fn take_out(&self, replica: ReplicaId, peer: &ReplicaPeer, touched: Touched) -> Answer<()> {
        self.on_peer(peer, |world| world.take_out(&peer.host, replica, touched))
    }

    fn forget(&self, replica: ReplicaId, server: ServerId) -> Answer<()> {
        self.counted(|world| {
            world.forget(server, replica);
            Ok(())
        })
    }

    fn look_at_retained(&self, server: ServerId, _disks: &[ReplicaDisk]) -> Answer<()> {
        self.counted(|world| world.look_at_retained(self.host(), server))
    }

    fn delete_retained(&self, server: ServerId, _disks: &[ReplicaDisk]) -> Answer<()> {
        self.counted(|world| {
            world.delete_retained(self.host(), server);
            Ok(())
        })
    }

    fn freeze(&self, order: &TestLaunch) -> Answer<Point> {
        self.on_held(|| NotConfigured.freeze(order), |world| world.freeze(self.host(), order))
    }

    fn launch(&self, order: &TestLaunch) -> Answer<Launched> {
        self.on_held(|| NotConfigured.launch(order), |world| world.launch(self.host(), order))
    }

    fn end_test(&self, replica: ReplicaId, of: TestOf) -> Answer<()> {
        self.counted(|world| {
            world.end_test(self.host(), replica, of);
            Ok(())
        })
    }
}
