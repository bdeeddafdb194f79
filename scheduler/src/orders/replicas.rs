//! Orders about replicas: who the two agents are, by the fleet as it is now.

use drover_agent_api::{
    CutoverReplica, Destination, HoldReplica, LiveReplica, ReplicaPeer, Replicate, TestLaunch,
};
use drover_policies::blueprint::Blueprint;
use drover_policies::conduct::Cutover;
use drover_policies::fleet::{Fleet, Replication};
use drover_policies::ids::{HostName, ServerId};
use drover_policies::policy::Policy;
use drover_policies::replica::{Pace, Replica, ReplicaDisk};

use super::NoOrder;

pub(super) fn hold(replica: &Replica, fleet: &Fleet) -> Result<HoldReplica, NoOrder> {
    let source = replication(&replica.from, fleet)?;
    replication(&replica.to, fleet)?;
    Ok(HoldReplica {
        replica: replica.id,
        server: replica.server,
        source: replica.from.clone(),
        source_certificate: source.certificate.clone(),
        disks: at_destination(replica),
        base: replica.base,
    })
}

pub(super) fn replicate(replica: &Replica, pace: Pace, fleet: &Fleet) -> Result<Replicate, NoOrder> {
    Ok(Replicate {
        replica: replica.id,
        server: replica.server,
        peer: peer(&replica.to, fleet)?,
        // What they become is no matter of rounds, and agents that can't reshape disks do not know the word.
        disks: replica.disks.iter().map(|disk| ReplicaDisk { becomes: None, ..disk.clone() }).collect(),
        pace,
    })
}

pub(super) fn live(replica: &Replica, fleet: &Fleet) -> Result<LiveReplica, NoOrder> {
    Ok(LiveReplica { replica: replica.id, peer: peer(&replica.to, fleet)?, disks: replica.disks.clone() })
}

pub(super) fn cut_over(cutover: &Cutover, policy: &Policy, fleet: &Fleet) -> Result<CutoverReplica, NoOrder> {
    let replica = &cutover.replica;
    Ok(CutoverReplica {
        replica: replica.id,
        peer: peer(&replica.to, fleet)?,
        disks: replica.disks.clone(),
        bandwidth: cutover.bandwidth,
        rounds: cutover.rounds,
        final_delta_within: policy.replication.final_delta_within,
        tail_within: policy.replication.tail_within,
    })
}

pub(super) fn test(replica: &Replica, guest: ServerId, source: Destination, policy: &Policy) -> TestLaunch {
    TestLaunch {
        replica: replica.id,
        server: replica.server,
        guest,
        source,
        network: policy.test.network(),
        ttl: policy.test.ttl,
        within: policy.test.within,
        look: None,
        blueprint: Blueprint::default(),
    }
}

/// The disks as the replica's destination knows them.
pub(super) fn at_destination(replica: &Replica) -> Vec<ReplicaDisk> {
    replica.disks.iter().map(ReplicaDisk::at_destination).collect()
}

fn peer(host: &HostName, fleet: &Fleet) -> Result<ReplicaPeer, NoOrder> {
    let known = replication(host, fleet)?;
    Ok(ReplicaPeer {
        host: host.clone(),
        address: known.address.clone(),
        certificate: known.certificate.clone(),
    })
}

fn replication<'a>(host: &HostName, fleet: &'a Fleet) -> Result<&'a Replication, NoOrder> {
    let known = fleet.hosts.get(host).ok_or_else(|| NoOrder::UnknownHost(host.clone()))?;
    known.facts.replication.as_ref().ok_or_else(|| NoOrder::NotReplicating(host.clone()))
}
