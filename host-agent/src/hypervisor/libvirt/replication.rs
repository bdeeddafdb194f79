//! Replicas on real hosts: what this one holds for others, and the rounds out of this one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use drover_agent_api::{HoldReplica, ReleaseReplica, ReplicaPeer, TestLaunch};
use drover_policies::attempt::FailureClass;
use drover_policies::ids::{OperationId, ReplicaId, ServerId};
use drover_policies::replica::{DiskBacklog, Point, ReplicaDisk};
use drover_policies::time::Span;

use super::super::replication::{
    FilledBy, Held, Launched, Limits, Replication, RoundOrder, RoundStatus, TestOf, Touched,
};
use super::super::{Answer, Refusal, RefusalKind, Waker};
use super::daemon::{Daemon, LOOK};
use super::rounds::{self, Rounds};
use crate::replica::Ends;
use crate::replica::peer::Peers;
use crate::replica::store::Replicas;
use crate::replica::wire::Place;

/// What this host holds for others, and its rounds.
pub(super) struct Replicating {
    pub(super) held: Arc<Replicas>,
    peers: Peers,
    rounds: Arc<Rounds>,
    pub(super) daemon: Daemon,
}

impl Replicating {
    pub(super) fn new(uri: String, ends: &Ends, waker: Arc<Mutex<Option<Waker>>>) -> Self {
        let rounds = Arc::new(Rounds::new(uri.clone(), ends, waker));
        let ahead = Arc::clone(&rounds);
        // What an earlier agent left must not wait for a next round: file systems may be frozen, scratch files grow.
        let recover = move || {
            if let Err(refusal) = ahead.recover() {
                tracing::warn!("what earlier rounds left is taken back with the next one: {refusal}");
            }
        };
        if let Err(error) = thread::Builder::new().name("rounds-ahead".to_owned()).spawn(recover) {
            tracing::warn!("what earlier rounds left is taken back with the next one: {error}");
        }
        let (held, peers) = (Arc::clone(&ends.replicas), ends.peers.clone());
        Self { held, peers, rounds, daemon: Daemon::new(uri) }
    }

    /// Every file that a definition here names as a disk.
    fn in_use(&self) -> Answer<Vec<PathBuf>> {
        let definitions = self.daemon.call(LOOK, |connect| {
            connect
                .list_all_domains(0)?
                .iter()
                .map(|domain| domain.xml_desc(0))
                .collect::<Result<Vec<_>, _>>()
        })?;
        Ok(definitions.iter().flat_map(|xml| rounds::disk_files(xml)).map(|path| resolved(&path)).collect())
    }
}

/// Without symbolic links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn refused(text: String) -> Refusal {
    Refusal::new(RefusalKind::Failed(FailureClass::RefusedBySource), text)
}

impl Replication for Replicating {
    fn hold(&self, order: &HoldReplica) -> Answer<()> {
        Ok(self.held.hold(order)?)
    }

    /// Nobody needs the test of a replica that nobody needs.
    fn release(&self, order: &ReleaseReplica) -> Answer<()> {
        self.end_test(order.replica, TestOf::Anybody)?;
        Ok(self.held.release(order)?)
    }

    fn start_round(&self, order: &RoundOrder) -> Answer<()> {
        self.rounds.start(order)
    }

    fn round(&self, server: ServerId, operation: OperationId) -> Answer<RoundStatus> {
        Ok(self.rounds.status(server, operation))
    }

    fn abort_round(&self, server: ServerId) -> Answer<()> {
        self.rounds.abort(server);
        Ok(())
    }

    fn limit_round(&self, server: ServerId, limits: Limits) -> Answer<()> {
        self.rounds.limit(server, limits);
        Ok(())
    }

    fn quiet_for(&self, replica: ReplicaId, server: ServerId) -> Span {
        Span::milliseconds(
            u64::try_from(self.rounds.quiet_for(replica, server).as_millis()).unwrap_or(u64::MAX),
        )
    }

    fn backlog(
        &self,
        replica: ReplicaId,
        server: ServerId,
        disks: &[ReplicaDisk],
    ) -> Answer<Vec<DiskBacklog>> {
        self.rounds.backlog(replica, server, disks)
    }

    fn held(&self, replica: ReplicaId, peer: &ReplicaPeer) -> Answer<Held> {
        let status = self.peers.connect(peer, replica)?.status()?;
        if let Some(path) = &status.in_the_way {
            let text = format!("{} is there already at {}: move it away", path.display(), peer.host);
            return Err(Refusal::new(RefusalKind::Failed(FailureClass::RefusedByDestination), text));
        }
        Ok(match status.place {
            Place::InPlace => Held::InPlace,
            // Neither a replica to go on with nor one to start from, until it is put in place or taken out again.
            Place::Beside | Place::Between => Held::Rounds { landed: status.landed },
        })
    }

    fn put_in_place(&self, replica: ReplicaId, peer: &ReplicaPeer, by: FilledBy) -> Answer<()> {
        Ok(self.peers.connect(peer, replica)?.put_in_place(by)?)
    }

    fn take_out(&self, replica: ReplicaId, peer: &ReplicaPeer, touched: Touched) -> Answer<()> {
        Ok(self.peers.connect(peer, replica)?.take_out(touched)?)
    }

    fn forget(&self, replica: ReplicaId, server: ServerId) -> Answer<()> {
        self.rounds.forget(replica, server)
    }

    fn look_at_retained(&self, _server: ServerId, disks: &[ReplicaDisk]) -> Answer<()> {
        Ok(self.held.look_at(disks)?)
    }

    fn delete_retained(&self, server: ServerId, disks: &[ReplicaDisk]) -> Answer<()> {
        let in_use = self.in_use()?;
        // All are looked at before any is deleted.
        for disk in disks {
            if in_use.contains(&resolved(&disk.source)) {
                let path = disk.source.display();
                return Err(refused(format!(
                    "{path} is a disk of a server that is defined here, so it is not deleted"
                )));
            }
        }
        for disk in disks {
            match fs::remove_file(&disk.source) {
                Ok(()) => {
                    tracing::info!(%server, path = %disk.source.display(), "a retained disk is deleted")
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(refused(format!("{} can't be deleted: {error}", disk.source.display())));
                }
            }
        }
        Ok(())
    }

    fn freeze(&self, order: &TestLaunch) -> Answer<Point> {
        self.freeze_for(order)
    }

    fn launch(&self, order: &TestLaunch) -> Answer<Launched> {
        self.launch_test(order)
    }

    fn end_test(&self, replica: ReplicaId, of: TestOf) -> Answer<()> {
        self.end_test_of(replica, of)
    }
}
