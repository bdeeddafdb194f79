//! libvirt's daemon is ended while it begins a backup, and holds the server for it from then on: no round can be done until the server has
//! been off, and libvirt would not even start it again.

use crate::common::{OPERATION, Rig, SERVER, host};
use crate::warm::{at, replicating, with_replica};
use drover_host_agent::hypervisor::simulated::{Fault, Moment};
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::Power;
use drover_policies::replica::{ReplicaStatus, RoundKind, Stage};
use drover_policies::time::Span;

/// A replica with so many rounds, whose next one finds that libvirt has lost its backup.
fn lost_after(rounds: u64) -> (Rig, ReplicaStatus) {
    let mut rig = replicating(Power::Running);
    rig.run_until("as many rounds", |status| status.rounds >= rounds);
    rig.fleet.fault(Fault::BackupLost { server: SERVER });
    let stalled = rig.run_until("stalled", |status| status.stage() == Stage::Stalled);
    (rig, stalled)
}

#[test]
fn a_server_whose_backup_libvirt_has_lost_is_cut_over_by_its_tail_alone() {
    for rounds in [1, 2] {
        let (mut rig, stalled) = lost_after(rounds);
        assert!(stalled.needs_power_cycle() && stalled.is_ready(), "{stalled:?}");
        rig.pass(Span::minutes(30));
        assert_eq!(rig.status().rounds, stalled.rounds, "no round can be done while it runs");
        rig.cut_over(with_replica(rounds));
        let moved = rig.moved();
        let tail = moved.tail.expect("what was written since is read when it is off");
        assert!(tail.sent_bytes >= 30 * 60 * (1 << 20), "half an hour's writes: {tail:?}");
        assert_eq!(rig.places(), at("h2", Power::Running));
    }
}

#[test]
fn one_that_has_to_be_brought_back_is_started_in_spite_of_libvirt_and_its_rounds_go_on() {
    let (mut rig, stalled) = lost_after(2);
    for _ in 0..3 {
        rig.fleet.fault(Fault::TailFails { server: SERVER });
    }
    rig.cut_over(with_replica(2));
    let (class, text) = rig.stayed();
    assert_ne!(class, FailureClass::NeedsPowerCycle, "{text}");
    assert_eq!(rig.places(), at("h1", Power::Running));
    let last = rig.run_until("rounds again", |status| status.rounds > stalled.rounds).last;
    assert_eq!(last.map(|last| last.kind), Some(RoundKind::Incremental));
}

/// The agent is killed at every call meanwhile.
#[test]
fn an_owner_who_stops_his_server_can_start_it_again_and_its_rounds_go_on() {
    for moment in [Moment::Before, Moment::After] {
        for n in 1..200 {
            let (mut rig, stalled) = lost_after(2);
            rig.fleet.owner_stops(SERVER);
            rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
            rig.run_until("read while it is off", |status| status.rounds > stalled.rounds);
            let kills = rig.kills;
            rig.fleet.owner_starts(SERVER);
            let told = format!("killed {moment:?} call {n}");
            assert_eq!(rig.places(), at("h1", Power::Running), "{told}");
            let off = rig.status().rounds;
            rig.run_until("rounds of the running server", |status| status.rounds > off + 1);
            assert!(rig.state_of(OPERATION).is_some(), "{told}");
            if kills == 0 {
                assert!(n > 3, "the agent makes more calls than {n}");
                break;
            }
        }
    }
}
