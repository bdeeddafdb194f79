//! A server goes back to its old disks as it left them, where it has been said that what it wrote since may be lost.

use std::path::PathBuf;

use crate::common::{Rig, SERVER, host, reboot};
use crate::warm::{CUTOVER, at, disks, local_facts, replicating};
use drover_agent_api::{
    Destination, Images, LookAtRetained, Operation, OperationState, Order, RebootMigrate, ReleaseReplica,
    Wish,
};
use drover_host_agent::hypervisor::simulated::{Fault, Guest, Moment};
use drover_policies::attempt::{FailureClass, Outcome, PowerOff};
use drover_policies::fleet::{Power, ServerFacts};
use drover_policies::ids::{Generation, OperationId, ServerId};
use drover_policies::replica::ReplicaDisk;
use drover_policies::time::Span;
use uuid::Uuid;

const LOOK: OperationId = OperationId(Uuid::from_u128(0x100c));
const BACK: OperationId = OperationId(Uuid::from_u128(0xbacc));
const DISCARD: OperationId = OperationId(Uuid::from_u128(0xd1));

fn operation(id: OperationId, order: Order) -> Operation {
    Operation { id, generation: Generation::FIRST, order, wish: Wish::Run }
}

/// Cut over from h1 to h2 a while ago, and it has written since.
fn moved() -> Rig {
    let mut rig = replicating(Power::Running);
    rig.ready_and_cut_over();
    rig.moved();
    let release = ReleaseReplica { replica: crate::warm::REPLICA, images: Images::Keep };
    rig.fleet.hypervisor(&host("h2")).replication().release(&release).expect("released");
    rig.pass(Span::minutes(10));
    rig
}

/// What the agent of h1 says of its retained disks.
fn look(rig: &mut Rig, disks: Vec<ReplicaDisk>) -> OperationState {
    rig.operation = operation(LOOK, Order::LookAtRetained(LookAtRetained { server: SERVER, disks }));
    rig.order();
    rig.run()
}

fn refused(state: OperationState) -> String {
    match state {
        OperationState::Refused { failure } => {
            assert_eq!(failure.class, FailureClass::RefusedByDestination);
            failure.text
        }
        other => panic!("it was to be refused: {other:?}"),
    }
}

/// The agent of h2 is ordered to take it back; the ledger of h1 goes with it.
fn go_back(rig: &mut Rig) -> tempfile::TempDir {
    let destination =
        Destination { host: host("h1"), libvirt_uri: "qemu+tcp://h1/system".into(), migration_address: None };
    let order = match reboot() {
        Order::RebootMigrate(order) => RebootMigrate { destination, leaves: disks(), ..order },
        other => panic!("{other:?}"),
    };
    rig.go_to(host("h2"), operation(BACK, Order::RebootMigrate(order)))
}

#[test]
fn a_server_goes_back_to_its_old_disks_and_those_that_it_leaves_go_when_they_are_discarded() {
    let mut rig = moved();
    assert_eq!(look(&mut rig, disks()), OperationState::Held);
    let _ledger = go_back(&mut rig);
    let moved = rig.moved();
    assert_eq!((moved.power_off, moved.tail), (Some(PowerOff::GuestAgent), None), "nothing is copied");
    assert_eq!(rig.places(), at("h1", Power::Running));
    assert_eq!(
        rig.fleet.disks(SERVER),
        [host("h1"), host("h2")],
        "what it leaves is there until it is discarded"
    );
    rig.operation = operation(DISCARD, Order::DiscardRetained { server: SERVER, kept_by: Some(BACK) });
    rig.order();
    assert_eq!(rig.run(), OperationState::Discarded);
    assert_eq!(rig.fleet.disks(SERVER), [host("h1")]);
    assert_eq!(rig.retained(), Vec::<PathBuf>::new());
}

#[test]
fn it_is_refused_where_its_old_disks_are_not_there_as_it_left_them() {
    let mut rig = moved();
    let mut other = disks();
    other[0].source = "/var/lib/libvirt/images/added.qcow2".into();
    assert!(refused(look(&mut rig, other)).contains("added.qcow2"), "a disk that it got since");

    let mut rig = moved();
    let facts =
        ServerFacts { id: ServerId(Uuid::from_u128(0x99)), name: "rescue".into(), ..local_facts(Power::Off) };
    rig.fleet.add_server(&host("h1"), facts, Guest::default());
    assert!(refused(look(&mut rig, disks())).contains("is a disk of a server of this host"));

    let mut rig = moved();
    rig.operation = operation(DISCARD, Order::DiscardRetained { server: SERVER, kept_by: Some(CUTOVER) });
    rig.order();
    assert_eq!(rig.run(), OperationState::Discarded);
    assert!(refused(look(&mut rig, disks())).contains("nothing is retained"), "it has been confirmed");

    let mut rig = moved();
    rig.fleet.lose_disks(&host("h1"), SERVER);
    assert!(refused(look(&mut rig, disks())).contains("No such file"), "deleted by hand");
}

#[test]
fn the_way_back_survives_a_kill_at_every_call() {
    for faults in
        [vec![], vec![Fault::DefineFails { host: host("h1") }], vec![Fault::StartFails { host: host("h1") }]]
    {
        for moment in [Moment::Before, Moment::After] {
            let mut killed = 0;
            for n in 1..200 {
                let mut rig = moved();
                assert_eq!(look(&mut rig, disks()), OperationState::Held);
                faults.iter().for_each(|fault: &Fault| rig.fleet.fault(fault.clone()));
                let _ledger = go_back(&mut rig);
                rig.kills = 0;
                rig.fleet.kill_agent_at_call(&host("h2"), n, moment);
                let told = format!("killed {moment:?} call {n}, {faults:?}");
                let expected = match rig.outcome() {
                    Outcome::Moved(_) => "h1",
                    Outcome::StayedAtSource { .. } => "h2",
                    Outcome::Gone => panic!("{told}: a server was lost"),
                };
                assert_eq!(rig.places(), at(expected, Power::Running), "{told}");
                // One that fails only once may be tried again by the agent that comes after.
                assert!(expected == "h1" || !faults.is_empty(), "{told}");
                killed += rig.kills;
                if rig.kills == 0 {
                    break;
                }
            }
            assert!(killed > 5, "it makes more calls than {killed}");
        }
    }
}
