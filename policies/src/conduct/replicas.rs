//! Replicas of local disks: held at the place that a migration has, kept up to date until it is made, and let go of after that.
//!
//! Level, not edge: what is wanted is worked out anew in every look, from the migrations as they are, and every replica takes the next
//! step towards it. So it makes no difference how a migration came to its end, nor when an agent is heard of again.

mod lasting;
mod readiness;
mod reported;

use super::known::Known;
use super::{Conductor, Cutover, Intent, LocalDisks, NewWish};
use crate::appointment::Appointment;
use crate::attempt::{Method, Report};
use crate::eligibility::{copied_disks, has_local_disks};
use crate::events::Happened;
use crate::fleet::Ability;
use crate::ids::{HostName, MigrationId, ReplicaId};
use crate::migration::{Migration, State, Waiting};
use crate::placement::Room;
use crate::policy::Policy;
use crate::replica::{Base, Filled, Going, Images, Pace, Replica, ReplicaDisk, ReplicaState, ReplicaStatus};
use crate::time::Span;

/// How soon it is looked again whether a test launch has ended.
const TEST_ENDS: Span = Span::seconds(1);

/// Whether a server can be cut over, as far as its local disks go.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Readiness {
    /// It has none.
    NotNeeded,
    /// With this replica.
    Ready(Box<Replica>),
    /// With these disks, which its destination has retained.
    Retained(Vec<ReplicaDisk>),
    /// Not yet.
    Not(Waiting),
}

/// What a cutover asks of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// The whole disks, and so small a lag that its last rounds are short.
    Ready,
    /// The whole disks, however old: nobody waits for the last rounds of a server that is off or has to be, and an emergency does not wait
    /// for a lag.
    WholeDisks,
}

impl Needs {
    /// Rounds that must have landed.
    pub(super) fn rounds(self) -> u64 {
        match self {
            Self::Ready => 2,
            Self::WholeDisks => 1,
        }
    }
}

/// What is wanted of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It is to be kept.
    Kept,
    /// The server is being cut over: nothing is changed until that has ended.
    AsItIs,
    /// It is to be let go of.
    Not(Images),
}

impl Conductor<'_> {
    /// Takes in what agents have told of replicas, before migrations are decided on.
    pub(super) fn look_at_replicas(&mut self) {
        for index in 0..self.replicas.len() {
            let before = self.replicas[index].clone();
            let after = self.take_in(before.clone());
            let after = self.take_in_test(after);
            self.put_replica(index, before, after);
        }
    }

    /// Wants of replicas what follows from the migrations as they are now.
    pub(super) fn look_after_replicas(&mut self) {
        for index in 0..self.replicas.len() {
            let before = self.replicas[index].clone();
            let after = match self.wanted(&before) {
                Wanted::Kept => {
                    let kept = self.keep(before.clone());
                    self.look_after_test(kept)
                }
                Wanted::AsItIs => before.clone(),
                Wanted::Not(images) => {
                    let leaving = self.let_go(before.clone(), images);
                    self.leave_test(leaving)
                }
            };
            self.put_replica(index, before, after);
        }
        let lacking: Vec<Known<'_, Migration>> =
            self.migrations.iter().filter(|migration| self.lacks_replica(migration)).cloned().collect();
        for migration in lacking {
            self.hold(&migration);
        }
    }

    pub(super) fn put_replica(&mut self, index: usize, before: Replica, after: Replica) {
        if before == after {
            return;
        }
        self.replicas[index] = after.clone();
        match self.changes.replicas.iter_mut().find(|known| known.id == after.id) {
            Some(known) => *known = after,
            None => self.changes.replicas.push(after),
        }
    }

    fn wanted(&self, replica: &Replica) -> Wanted {
        let Some(migration) = self.find(replica.migration) else {
            // It is over: what was moved with it was let go of when it was.
            return Wanted::Not(Images::Delete);
        };
        let has_place = migration.to() == Some(&replica.to);
        if migration.moved().is_some() && has_place {
            return Wanted::Not(Images::Keep);
        }
        if matches!(
            migration.state,
            State::CuttingOver { .. } | State::Preflight { .. } | State::Transferring { .. }
        ) {
            return Wanted::AsItIs;
        }
        let wanted = migration.is_open() && has_place;
        let same_way = match (replica.filled, self.filled_for(migration)) {
            (Filled::Live, Filled::ByRounds) => true,
            (is, wanted) => is == wanted,
        };
        if wanted && same_way && self.fits(replica) { Wanted::Kept } else { Wanted::Not(Images::Delete) }
    }

    /// How the replica of a migration is to be filled, where it is to go now.
    fn filled_for(&self, migration: &Migration) -> Filled {
        match migration.method {
            Method::Live => Filled::Live,
            Method::Reboot if migration.loss_accepted_by().is_some() && self.goes_back(migration) => {
                Filled::AsRetained
            }
            Method::Reboot => Filled::ByRounds,
        }
    }

    /// Whether it takes its server where that was before.
    fn goes_back(&self, migration: &Migration) -> bool {
        let original = migration.reverts().and_then(|of| self.find(of.migration));
        original.is_some_and(|original| migration.to() == Some(&original.from))
    }

    /// Whether it still consists of the disks that the server has; a server that is not seen now keeps its replica.
    fn fits(&self, replica: &Replica) -> bool {
        let Some(server) = self.fleet.seen(&replica.from, replica.server) else { return true };
        // A hypervisor fills only images of the right size; rounds make them larger.
        let shape = self.find(replica.migration).and_then(Self::shape_of_disks);
        copied_disks(&server.facts, shape).is_ok_and(|disks| match replica.filled {
            Filled::Live => disks == replica.disks,
            Filled::ByRounds | Filled::AsRetained => same_disks(&disks, &replica.disks),
        })
    }

    fn keep(&mut self, replica: Replica) -> Replica {
        match &replica.state {
            ReplicaState::Replicating { operation, .. } => {
                let operation = *operation;
                let told_wrong = self.is_told_wrong(&replica);
                if matches!(self.reports.get(&operation), Some(Report::Stopped)) {
                    self.changes.ended.push(operation);
                    // If nobody wanted it to stop, the server had gone and is back.
                    return if told_wrong { self.order_hold(replica) } else { self.replicate(replica) };
                }
                if told_wrong {
                    self.wish(operation, NewWish::AbortAsked);
                    return replica;
                }
                self.look_when_lost(&replica);
                let pace = self.pace(&replica);
                self.wish(operation, NewWish::Pace(pace));
                self.noted_if_late(replica, &pace)
            }
            ReplicaState::Held if self.is_told_wrong(&replica) => self.order_hold(replica),
            ReplicaState::Held => self.held(replica),
            ReplicaState::Refused { until, .. } if self.now < *until => {
                self.look_again_at(*until);
                replica
            }
            // Whatever it left is cleared away before it is tried again.
            ReplicaState::Refused { .. } => self.order_release(replica, Images::Delete),
            ReplicaState::Holding { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => replica,
        }
    }

    /// What a live migration was to fill is filled by rounds once its server won't go live.
    fn held(&mut self, mut replica: Replica) -> Replica {
        let wanted = self.find(replica.migration).map(|migration| self.filled_for(migration));
        if let Some(wanted) = wanted {
            replica.filled = wanted;
        }
        match replica.filled {
            Filled::ByRounds => self.replicate(replica),
            Filled::Live | Filled::AsRetained => replica,
        }
    }

    /// One that is being held is let go of once its agent has said that it holds it: the two orders may not meet.
    fn let_go(&mut self, replica: Replica, images: Images) -> Replica {
        match &replica.state {
            ReplicaState::Replicating { operation, .. } => {
                let operation = *operation;
                match self.reports.get(&operation) {
                    Some(Report::Stopped) => {
                        self.changes.ended.push(operation);
                        self.order_release(replica, images)
                    }
                    Some(_) | None => {
                        self.wish(operation, NewWish::AbortAsked);
                        Replica { state: ReplicaState::Stopping { operation, images }, ..replica }
                    }
                }
            }
            ReplicaState::Held | ReplicaState::Refused { .. } => self.order_release(replica, images),
            ReplicaState::Holding { operation } if !self.fleet.hosts.contains_key(&replica.to) => {
                self.changes.ended.push(*operation);
                Replica { state: ReplicaState::Gone { at: self.now }, ..replica }
            }
            ReplicaState::Holding { .. }
            | ReplicaState::Stopping { .. }
            | ReplicaState::Releasing { .. }
            | ReplicaState::Gone { .. } => replica,
        }
    }

    fn order_release(&mut self, replica: Replica, images: Images) -> Replica {
        if replica.filled == Filled::AsRetained {
            // The answer is forgotten. What it was about is let go of with the migration that it is retained of.
            return Replica { state: ReplicaState::Gone { at: self.now }, ..replica };
        }
        let intent = Intent::ReleaseReplica { replica: replica.id, images };
        let operation = self.order(replica.to.clone(), Some(replica.migration), intent);
        Replica { state: ReplicaState::Releasing { operation, images }, ..replica }
    }

    fn replicate(&mut self, replica: Replica) -> Replica {
        if let Some(failure) = self.not_replicating(&replica) {
            return self.refuse(replica, failure);
        }
        let pace = self.pace(&replica);
        let intent = Intent::Replicate { replica: Box::new(replica.clone()), pace };
        let operation = self.order(replica.from.clone(), Some(replica.migration), intent);
        let bytes = replica.disks.iter().map(|disk| disk.virtual_bytes).sum();
        self.say_of_replica(&replica, Happened::ReplicaInitiating { to: replica.to.clone(), bytes });
        Replica { state: ReplicaState::Replicating { operation, seen: None }, ..replica }
    }

    /// Whether a replica has to be begun for it. One that is being let go of at the same place is waited for: their files are the same.
    fn lacks_replica(&self, migration: &Migration) -> bool {
        let waits = match migration.state {
            State::Pending { .. } | State::Preparing { .. } | State::Ready { .. } => true,
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Reverting { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => false,
        };
        let Some(to) = migration.to().filter(|_| waits) else {
            return false;
        };
        let local = self
            .fleet
            .seen(&migration.from, migration.server)
            .is_some_and(|server| has_local_disks(&server.facts));
        local
            && !self
                .replicas
                .iter()
                .any(|known| known.server == migration.server && known.to == *to && !known.is_gone())
    }

    fn hold(&mut self, migration: &Migration) {
        let Some(to) = migration.to().cloned() else { return };
        let Some(server) = self.fleet.seen(&migration.from, migration.server) else { return };
        let Ok(disks) = copied_disks(&server.facts, Self::shape_of_disks(migration)) else { return };
        // Where it was before, its disks are kept: most of what they hold it still has.
        let base = if self.goes_back(migration) { Base::Retained } else { Base::New };
        let replica = Replica {
            id: ReplicaId::draw(self.ids),
            migration: migration.id,
            server: migration.server,
            from: migration.from.clone(),
            to,
            disks,
            base,
            filled: self.filled_for(migration),
            peers: None,
            late_since: None,
            going: Going::On,
            sync_now: 0,
            opened_at: self.now,
            state: ReplicaState::Gone { at: self.now },
            test: None,
        };
        let replica = self.order_hold(replica);
        self.replicas.push(replica.clone());
        self.changes.replicas.push(replica);
    }

    /// How often and how fast, by policy, the hour and the time agreed.
    fn pace(&mut self, replica: &Replica) -> Pace {
        let migration = self.find(replica.migration).cloned();
        let effective = match &migration {
            Some(migration) => self.policy_for(migration),
            None => self.policies.shared_general(),
        };
        let policy = &effective.policy.replication;
        let (bandwidth, until) = policy.bandwidth_now(self.now);
        if let Some(until) = until {
            self.look_again_at(until);
        }
        let opens_at = migration.and_then(|migration| match migration.appointment {
            Appointment::Proposed { slot }
            | Appointment::Accepted { slot, .. }
            | Appointment::Rescheduled { slot, .. } => Some(slot.start),
            Appointment::StartNow { at, .. } => Some(at),
            // It is begun as soon as the whole disks are there.
            Appointment::Emergency { .. } => Some(replica.opened_at),
            Appointment::Unscheduled | Appointment::Running { .. } | Appointment::Done => None,
        });
        let source = self.room.host(&replica.from);
        let holds_back = source.is_some_and(|host| host.facts.can(Ability::HoldBack));
        Pace {
            going: replica.going,
            far: policy.far,
            near: policy.near,
            opens_at,
            bandwidth,
            guest_percent: policy.guest_percent().filter(|_| holds_back),
            sync_now: replica.sync_now,
        }
    }

    /// The replica with which a migration is to be made, if there is one where its place is.
    pub(super) fn replica_for(&self, migration: &Migration) -> Option<&Replica> {
        let to = migration.to()?;
        self.replicas
            .iter()
            .find(|known| known.migration == migration.id && known.to == *to && !known.is_leaving())
    }

    /// As the agent tells now, or else as it did when that was last of any weight.
    pub(super) fn status_of<'b>(&'b self, replica: &'b Replica) -> Option<&'b ReplicaStatus> {
        let told = replica.state.operation().and_then(|operation| self.reports.get(&operation));
        match told {
            Some(Report::Replicating(status)) => Some(status),
            Some(_) | None => replica.seen(),
        }
    }

    /// From what a server boots at its destination.
    ///
    /// # Errors
    /// It can't be cut over now; for what it waits.
    pub(super) fn cut_over_with(
        &mut self,
        migration: &Migration,
        policy: &Policy,
    ) -> Result<LocalDisks, Waiting> {
        let Some(server) = self.fleet.seen(&migration.from, migration.server) else {
            return Err(Waiting::Agent { host: migration.from.clone() });
        };
        match self.readiness(migration, server, policy) {
            Readiness::NotNeeded => Ok(LocalDisks::None),
            Readiness::Retained(disks) => Ok(LocalDisks::Retained(disks)),
            Readiness::Ready(replica) => {
                if self.end_test_before_cutover(migration) {
                    self.look_again_at(self.now + TEST_ENDS.delta());
                    return Err(Waiting::Replica { why: "its test launch is being ended".to_owned() });
                }
                let rounds = self.needs(migration, server).rounds();
                let (bandwidth, _) = policy.replication.bandwidth_now(self.now);
                Ok(LocalDisks::Replica(Cutover { replica, rounds, bandwidth }))
            }
            Readiness::Not(waits_for) => {
                // A lag becomes shorter without anybody telling.
                self.look_again_at(self.now + policy.replication.near.delta());
                Err(waits_for)
            }
        }
    }

    /// Hosts that have refused this migration's replica, and may not be asked again yet.
    pub(super) fn refused_at(&self, migration: MigrationId) -> impl Iterator<Item = (HostName, String)> {
        self.replicas.iter().filter(move |known| known.migration == migration).filter_map(|replica| {
            match &replica.state {
                ReplicaState::Refused { failure, .. } if failure.class.depends_on_destination() => {
                    Some((replica.to.clone(), failure.to_string()))
                }
                ReplicaState::Refused { .. }
                | ReplicaState::Holding { .. }
                | ReplicaState::Held
                | ReplicaState::Replicating { .. }
                | ReplicaState::Stopping { .. }
                | ReplicaState::Releasing { .. }
                | ReplicaState::Gone { .. } => None,
            }
        })
    }

    pub(super) fn say_of_replica(&mut self, replica: &Replica, what: Happened) {
        // Its migration may be over and not be at hand.
        let known = self.fleet.server(replica.server);
        match self.find(replica.migration).cloned() {
            Some(migration) => self.say(&migration, what),
            None => self.changes.events.push(crate::events::Event {
                at: self.now,
                maintenance: None,
                migration: Some(replica.migration),
                import: None,
                server: known.map(|server| (server.facts.id, server.facts.name.clone())),
                owner: known.and_then(|server| server.facts.owner.clone()),
                host: Some(replica.to.clone()),
                what,
            }),
        }
    }
}

/// What has been copied once takes no further room where it is, nor does what is retained there of a server that goes back.
pub(super) fn settle(room: &mut Room<'_>, replicas: &[Replica], migrations: &[Known<'_, Migration>]) {
    for replica in replicas.iter().filter(|replica| replica.seen().is_some_and(|seen| seen.rounds > 0)) {
        room.settle(replica.server, &replica.to);
    }
    let original = |of: MigrationId| migrations.iter().find(|known| known.id == of);
    for revert in migrations.iter().filter(|migration| migration.is_open()) {
        if let Some(original) = revert.reverts().and_then(|of| original(of.migration)) {
            room.settle(revert.server, &original.from);
        }
    }
}

/// A disk may have grown; that is taken up by its next round.
fn same_disks(now: &[ReplicaDisk], then: &[ReplicaDisk]) -> bool {
    let but_size = |disk: &ReplicaDisk| ReplicaDisk { virtual_bytes: 0, ..disk.clone() };
    now.iter().map(but_size).eq(then.iter().map(but_size))
}
