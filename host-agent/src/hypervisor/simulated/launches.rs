//! Test launches in the simulated fleet: guests beside the servers, from what a replica showed when it was frozen.

use chrono::TimeDelta;
use drover_agent_api::TestLaunch;
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Autostart, Definition, ServerFacts};
use drover_policies::ids::{HostName, ReplicaId, ServerId};
use drover_policies::replica::{Point, test_name};

use super::super::replication::{Launched, TestOf};
use super::super::{Answer, State, Wake};
use super::replicas::failed;
use super::state::Host;
use super::{Domain, Fault, Inside, World, no_connection};

/// What a test launch has frozen of a replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    guest: ServerId,
    point: Point,
    shows: TimeDelta,
}

impl Host {
    /// Whether a domain is a test guest, and nobody's server.
    pub(super) fn is_test(&self, domain: ServerId) -> bool {
        self.replicas.values().any(|kept| kept.test.is_some_and(|test| test.guest == domain))
    }
}

impl World {
    pub(super) fn freeze(&mut self, host: &HostName, order: &TestLaunch) -> Answer<Point> {
        let Some(kept) = self.kept(host, order.replica).cloned() else {
            return Err(failed(FailureClass::RefusedByDestination, "this replica is not held here"));
        };
        match kept.test {
            Some(test) if test.guest == order.guest => return Ok(test.point),
            Some(_) => return Err(failed(FailureClass::Busy, "another test launch of this replica goes on")),
            None => {}
        }
        if kept.landed == 0 || kept.mixed || kept.in_place {
            let words = "the replica does not show a round that has landed, so no server can start from it";
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        let is_written =
            |round: &super::replicas::Copying| round.is_active() && round.order.replica == order.replica;
        if self.rounds.values().any(is_written) {
            return Err(failed(FailureClass::Busy, "a round of this replica is being done"));
        }
        let point = Point { round: kept.landed, consistent_at: kept.consistent_at };
        if let Some(kept) = self.kept_mut(host, order.replica) {
            kept.test = Some(Test { guest: order.guest, point, shows: kept.shows });
        }
        Ok(point)
    }

    /// The guest has the server's habits, and no disks that anything could be compared with.
    pub(super) fn launch(&mut self, host: &HostName, order: &TestLaunch) -> Answer<Launched> {
        let test = self.kept(host, order.replica).and_then(|kept| kept.test);
        let Some(test) = test.filter(|test| test.guest == order.guest) else {
            return Err(failed(FailureClass::RefusedByDestination, "nothing is frozen for this test guest"));
        };
        let source = &order.source.host;
        if !self.linked(host, source) || !self.daemon_answers(source) {
            return Err(no_connection(source));
        }
        let Some(server) = self.domain(source, order.server).map(|domain| domain.facts.clone()) else {
            return Err(failed(FailureClass::RefusedByDestination, "the source does not know the server"));
        };
        let name = test_name(&server.name);
        let launched = Launched { name: name.clone(), console: Some("vnc://127.0.0.1:5900".to_owned()) };
        if self.domain(host, order.guest).is_some() {
            return Ok(launched);
        }
        if self.take_fault(|fault| *fault == Fault::StartFails { host: host.clone() }).is_some() {
            let words = "internal error: process exited while connecting to monitor";
            return Err(failed(FailureClass::RefusedByDestination, words));
        }
        let guest = self.guests.get(&order.server).map(|inside| inside.guest.clone()).unwrap_or_default();
        let inside = Inside { guest, disks: [].into(), checkpoint: None, ran: test.shows, may_lose: false };
        self.guests.insert(order.guest, inside);
        let memory_bytes = order.blueprint.memory_bytes.unwrap_or(server.memory_bytes);
        let vcpus = order.blueprint.vcpus.unwrap_or(server.vcpus);
        let facts = ServerFacts { id: order.guest, name, memory_bytes, vcpus, disks: Vec::new(), ..server };
        let domain = Domain {
            facts,
            before: None,
            state: State::Running,
            definition: Definition::Transient,
            autostart: Autostart::No,
            booted_at: self.now,
            off_at: None,
            held_for_backup: false,
            arrived_by: None,
        };
        if let Some(host) = self.hosts.get_mut(host) {
            host.domains.insert(order.guest, domain);
        }
        self.wake(host, Wake::Server(order.guest));
        Ok(launched)
    }

    pub(super) fn end_test(&mut self, host: &HostName, replica: ReplicaId, of: TestOf) {
        let kept = self.kept_mut(host, replica);
        let Some(test) = kept.and_then(|kept| kept.test.take_if(|test| of.is(test.guest))) else { return };
        if let Some(host) = self.hosts.get_mut(host) {
            host.domains.remove(&test.guest);
        }
        self.guests.remove(&test.guest);
    }
}
