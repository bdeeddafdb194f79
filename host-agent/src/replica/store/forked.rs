//! Test launches out of a replica: what is on the disk if we die, and what lands meanwhile.

use super::super::super::record::Fork;
use super::*;
use crate::hypervisor::replication::FilledBy;

const GUEST: ServerId = ServerId(Uuid::from_u128(0x7e57));

impl World {
    fn frozen(&self) -> Arc<Replicas> {
        let replicas = self.held();
        let point = replicas.freeze(REPLICA, GUEST).expect("frozen");
        assert_eq!(point.round, 1);
        replicas
    }

    /// The test guest and a round write: the first lands nowhere, the second in the layers.
    fn written(&self) -> Arc<Replicas> {
        let replicas = self.frozen();
        change(&replicas, |record| {
            for disk in &record.disks {
                write(&record.test(disk), ImageFormat::Qcow2, 9);
                let (path, format) = record.image(disk);
                Image { path: &path, format }.create_overlay(&record.overlay(disk)).expect("made");
                write(&record.overlay(disk), ImageFormat::Qcow2, 2);
            }
            record.stage = Stage::Landing { round: round(2) };
        });
        assert_eq!(status(&replicas).landed, 2);
        replicas
    }

    fn layers(&self) -> Vec<String> {
        let is_layer =
            |name: &String| name.ends_with(".next") || name.ends_with(".test") || name.ends_with(".vars");
        self.files().into_iter().filter(is_layer).collect()
    }
}

#[test]
fn rounds_land_beside_a_test_and_are_joined_when_it_is_over() {
    let world = World::new();
    let replicas = world.written();
    assert_eq!(world.begins_with(BESIDE), [1, 1], "what the test guest starts from is as it was");
    let files = replicas.test_files(REPLICA, GUEST).expect("made");
    fs::write(&files.vars, b"variables").expect("written");
    assert_eq!(replicas.freeze(REPLICA, GUEST).expect("again").round, 1);
    replicas.thaw(REPLICA).expect("thawed");
    replicas.thaw(REPLICA).expect("twice changes nothing");
    assert_eq!(world.begins_with(BESIDE), [2, 2]);
    assert_eq!(world.files().len(), 2, "{:?}", world.files());
}

#[test]
fn an_agent_that_dies_while_a_test_runs_leaves_it_and_one_that_dies_while_joining_goes_on() {
    for joined in 0..=2 {
        let world = World::new();
        let replicas = world.begin_again(world.written());
        assert_eq!(replicas.tested_by(REPLICA).expect("told"), Some(GUEST));
        change(&replicas, |record| {
            record.fork = Fork::Joining;
            record.disks.iter().take(joined).for_each(|disk| commit(&record.next(disk)).expect("joined"));
        });
        let replicas = world.begin_again(replicas);
        assert_eq!((world.begins_with(BESIDE), status(&replicas).landed), ([2, 2], 2), "{joined}");
        assert_eq!(world.layers(), [] as [&str; 0], "{joined}");
        assert_eq!(replicas.tested_by(REPLICA).expect("told"), None);
    }
}

#[test]
fn layers_that_no_record_speaks_of_are_removed() {
    let world = World::new();
    let replicas = world.frozen();
    change(&replicas, |record| record.fork = Fork::None);
    let replicas = world.begin_again(replicas);
    assert_eq!(world.layers(), [] as [&str; 0]);
    replicas.freeze(REPLICA, GUEST).expect("frozen anew");
    assert_eq!(world.layers().len(), 4);
}

#[test]
fn what_moves_or_deletes_the_images_is_refused_while_a_guest_may_read_them() {
    let world = World::new();
    let replicas = world.frozen();
    let release = ReleaseReplica { replica: REPLICA, images: Images::Delete };
    assert!(matches!(replicas.release(&release), Err(ReplicaError::Testing)));
    let placed = replicas
        .put_in_place(&mut replicas.slot(REPLICA).expect("held").turn().expect("free"), FilledBy::Rounds);
    assert!(matches!(placed, Err(ReplicaError::Testing)), "{placed:?}");
    let other = replicas.freeze(REPLICA, ServerId(Uuid::from_u128(1)));
    assert!(matches!(other, Err(ReplicaError::Testing)), "{other:?}");
    replicas.thaw(REPLICA).expect("thawed");
    replicas.release(&release).expect("released");
    assert!(world.files().is_empty());
}

#[test]
fn a_replica_without_a_round_can_not_be_tested() {
    let world = World::new();
    let replicas = world.open();
    assert!(matches!(replicas.freeze(REPLICA, GUEST), Err(ReplicaError::Unknown)));
    replicas.hold(&world.order()).expect("held");
    assert!(matches!(replicas.freeze(REPLICA, GUEST), Err(ReplicaError::NotLanded)));
    assert_eq!(world.layers(), [] as [&str; 0]);
    replicas.thaw(REPLICA).expect("nothing to be thawed");
}
