//! Servers with local disks that go live, their disks with them.

use std::path::PathBuf;

use crate::common::{OPERATION, Rig, SERVER, host, live};
use crate::warm::{REPLICA, at, disks, held, local_facts, peer};
use drover_agent_api::{
    AbortBecause, Images, LiveMigrate, LiveReplica, Operation, OperationState, Order, ReleaseReplica, Wish,
};
use drover_host_agent::hypervisor::simulated::{Fault, Guest, Moment};
use drover_policies::attempt::{FailureClass, Outcome, Phase};
use drover_policies::fleet::Power;
use drover_policies::ids::{Generation, OperationId, ReplicaId};
use drover_policies::time::Span;
use uuid::Uuid;

const MOST_CALLS: u64 = 300;

fn with_disks() -> Order {
    let replica = LiveReplica { replica: REPLICA, peer: peer(), disks: disks() };
    match live() {
        Order::LiveMigrate(order) => Order::LiveMigrate(LiveMigrate { replica: Some(replica), ..order }),
        other => panic!("{other:?}"),
    }
}

fn rig() -> Rig {
    held(with_disks(), Power::Running)
}

/// Where it is, and that nobody else has a part of it but as it is meant.
fn end_of(rig: &mut Rig, told: &str) -> Outcome {
    let outcome = rig.outcome();
    match outcome {
        Outcome::Moved(_) => {
            assert_eq!(rig.places(), at("h2", Power::Running), "{told}");
            assert_eq!(rig.fleet.disks(SERVER), [host("h1"), host("h2")], "{told}: the old disks are kept");
            assert_eq!(rig.retained().len(), 1, "{told}: and their definition");
        }
        Outcome::StayedAtSource { .. } => {
            assert_eq!(rig.places(), at("h1", Power::Running), "{told}");
            assert_eq!(rig.fleet.disks(SERVER), [host("h1")], "{told}: what was made is no disk of it");
            assert_eq!(rig.retained(), Vec::<PathBuf>::new(), "{told}");
            let release = ReleaseReplica { replica: REPLICA, images: Images::Delete };
            rig.fleet.hypervisor(&host("h2")).replication().release(&release).expect("it can be deleted");
        }
        Outcome::Gone => panic!("{told}: a server was lost"),
    }
    outcome
}

#[test]
fn a_server_goes_live_with_its_disks_and_the_old_ones_go_when_they_are_discarded() {
    let mut rig = rig();
    rig.run_to_phase(Phase::Transferring);
    rig.turn();
    let OperationState::Running { progress } = rig.state() else { panic!("{:?}", rig.state()) };
    assert!(progress.total_bytes >= 10 << 30 && progress.iteration == 0, "its disks count: {progress:?}");
    assert!(progress.remaining_bytes > 0 && progress.rate > 0, "{progress:?}");
    let moved = rig.moved();
    assert!(moved.sent_bytes > 10 << 30 && moved.power_off.is_none(), "{moved:?}");
    assert!(
        moved.downtime.is_some_and(|downtime| downtime < Span::seconds(1)),
        "it was not rebooted: {moved:?}"
    );
    assert_eq!(rig.places(), at("h2", Power::Running));
    assert_eq!(rig.fleet.disks(SERVER), [host("h1"), host("h2")]);
    rig.operation = Operation {
        id: OperationId(Uuid::from_u128(0xd1)),
        generation: Generation::FIRST,
        order: Order::DiscardRetained { server: SERVER, kept_by: Some(OPERATION) },
        wish: Wish::Run,
    };
    rig.order();
    assert_eq!(rig.run(), OperationState::Discarded);
    assert_eq!(rig.fleet.disks(SERVER), [host("h2")]);
    assert_eq!(rig.retained(), Vec::<PathBuf>::new());
}

#[test]
fn without_images_at_the_destination_nothing_is_begun() {
    let mut rig = Rig::new(with_disks(), local_facts(Power::Running), Guest::default());
    assert_eq!(rig.stayed().0, FailureClass::DestinationUnreachable, "its agent takes none");

    let mut rig = rig_with(ReplicaId(Uuid::from_u128(0xff)));
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::RefusedByDestination);
    assert!(text.contains("does not hold"), "{text}");
    assert_eq!(rig.phases, [], "nothing is begun");
}

fn rig_with(replica: ReplicaId) -> Rig {
    match with_disks() {
        Order::LiveMigrate(LiveMigrate {
            replica: Some(known),
            server,
            destination,
            auto_converge,
            connections,
        }) => {
            let replica = Some(LiveReplica { replica, ..known });
            let order = LiveMigrate { replica, server, destination, auto_converge, connections };
            held(Order::LiveMigrate(order), Power::Running)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kill_at_every_call_leaves_it_at_one_host_and_what_was_made_is_taken_back() {
    let refused = Fault::MigrationRefused {
        server: SERVER,
        class: FailureClass::RefusedByDestination,
        text: "Source and target image have different sizes".to_owned(),
    };
    for faults in [
        vec![],
        vec![refused],
        vec![Fault::ReceiverDies { server: SERVER, percent: 50 }],
        vec![Fault::PutInPlaceFails { host: host("h2") }],
    ] {
        for moment in [Moment::Before, Moment::After] {
            let mut last = 0;
            for n in 1..MOST_CALLS {
                let mut rig = rig();
                faults.iter().for_each(|fault: &Fault| rig.fleet.fault(fault.clone()));
                rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
                let told = format!("killed {moment:?} call {n}, {faults:?}");
                let outcome = end_of(&mut rig, &told);
                if faults.is_empty() {
                    // A kill right before libvirt is asked leaves a try that was never begun.
                    let early = matches!(&outcome, Outcome::StayedAtSource { failure, .. } if failure.class == FailureClass::LostOnTheWay);
                    assert!(early || matches!(outcome, Outcome::Moved(_)), "{told}: {outcome:?}");
                }
                last = n;
                if rig.kills == 0 {
                    break;
                }
            }
            assert!(last > 5, "{faults:?}: it makes more calls than {last}");
        }
    }
}

#[test]
fn any_answer_of_the_destination_may_be_lost() {
    for call in 1..12 {
        let mut rig = rig();
        rig.fleet.fault(Fault::AnswerLost { host: host("h2"), call });
        end_of(&mut rig, &format!("answer {call} is lost"));
    }
}

#[test]
fn an_abort_at_any_turn_takes_back_what_was_made() {
    for turns in 0..40 {
        let mut rig = rig();
        for _ in 0..turns {
            rig.turn();
        }
        if !matches!(rig.state(), OperationState::Running { .. }) {
            return;
        }
        rig.wish(Wish::Abort { because: AbortBecause::Asked });
        end_of(&mut rig, &format!("aborted after {turns} turns"));
    }
}

/// What can't be taken back while the destination is away is made good before the next try or the next round.
#[test]
fn a_link_cut_at_any_turn_leaves_it_where_it_is_and_the_next_try_moves_it() {
    for turns in [1, 3, 5, 8, 12] {
        let mut rig = rig();
        for _ in 0..turns {
            rig.turn();
        }
        rig.fleet.cut(&host("h1"), &host("h2"));
        rig.pass(Span::minutes(3));
        rig.fleet.heal(&host("h1"), &host("h2"));
        let told = format!("cut after {turns} turns");
        assert!(matches!(rig.outcome(), Outcome::StayedAtSource { .. }), "{told}");
        assert_eq!(rig.places(), at("h1", Power::Running), "{told}");
        rig.operation = Operation { id: OperationId(Uuid::from_u128(0x11e)), ..rig.operation.clone() };
        rig.operation.wish = Wish::Run;
        rig.order();
        let outcome = end_of(&mut rig, &told);
        assert!(matches!(outcome, Outcome::Moved(_)), "{told}: {outcome:?}");
    }
}
