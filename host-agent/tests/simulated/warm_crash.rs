//! The agent is killed at every call while it keeps a replica up to date and cuts over with it; links, agents and daemons fail at every
//! point. At the end the server is at exactly one host, from disks that lack nothing (the simulated fleet watches that).

use crate::common::{Rig, SERVER, host};
use crate::warm::{CUTOVER, at, replicating, with_replica};
use chrono::TimeDelta;
use drover_agent_api::{AbortBecause, OperationState, Wish};
use drover_host_agent::hypervisor::simulated::{Condition, Fault, Moment};
use drover_policies::attempt::{Outcome, Phase};
use drover_policies::fleet::Power;
use drover_policies::replica::Stage;
use drover_policies::time::{Clock, Span};

/// More than any of these makes; the loops end by themselves as soon as a run was not killed any more.
const MOST_CALLS: u64 = 1_000;

fn end_of(rig: &mut Rig, power: Power, told: &str) -> Outcome {
    let OperationState::Ended { outcome, .. } = rig.run() else { panic!("{told}: not an end") };
    let expected = match outcome {
        Outcome::Moved(_) => "h2",
        Outcome::StayedAtSource { .. } => "h1",
        Outcome::Gone => panic!("{told}: a server was lost"),
    };
    assert_eq!(rig.places(), at(expected, power), "{told}: {outcome:?}");
    outcome
}

#[test]
fn a_replication_survives_a_kill_at_every_call() {
    for moment in [Moment::Before, Moment::After] {
        for n in 1..60 {
            let mut rig = replicating(Power::Running);
            rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
            rig.run_until_ready();
            assert_eq!(rig.fleet.replicas(&host("h2")).len(), 1, "{moment:?} {n}");
            rig.wish(Wish::Abort { because: AbortBecause::Asked });
            rig.pass(Span::seconds(10));
            assert_eq!(rig.state(), OperationState::Stopped, "killed {moment:?} call {n}");
        }
    }
}

fn kill_at_every_call(power: Power, faults: &[Fault]) {
    for moment in [Moment::Before, Moment::After] {
        let mut last = 0;
        for n in 1..MOST_CALLS {
            let mut rig = replicating(power);
            rig.run_until_ready();
            faults.iter().for_each(|fault| rig.fleet.fault(fault.clone()));
            rig.cut_over(with_replica(2));
            rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
            let told = format!("killed {moment:?} call {n}, {faults:?}");
            let outcome = end_of(&mut rig, power, &told);
            if faults.is_empty() {
                assert!(matches!(outcome, Outcome::Moved(_)), "{told}: {outcome:?}");
            }
            last = n;
            if rig.kills == 0 {
                break;
            }
        }
        assert!(last > 10 && last < MOST_CALLS - 1, "the agent makes more calls than {last}, and ends");
    }
}

#[test]
fn a_cutover_with_a_replica_survives_a_kill_at_every_call() {
    kill_at_every_call(Power::Running, &[]);
    kill_at_every_call(Power::Off, &[]);
}

#[test]
fn a_cutover_that_is_taken_back_survives_a_kill_at_every_call() {
    let tail = || Fault::TailFails { server: SERVER };
    for faults in [
        vec![tail(), tail(), tail()],
        vec![Fault::BackupLost { server: SERVER }, tail(), tail(), tail()],
        vec![Fault::BackupLost { server: SERVER }, Fault::DefineFails { host: host("h2") }],
        vec![Fault::PutInPlaceFails { host: host("h2") }],
        vec![Fault::DefineFails { host: host("h2") }],
        vec![Fault::StartFails { host: host("h2") }],
        vec![Fault::DiskErrorOnBoot { host: host("h2") }],
    ] {
        kill_at_every_call(Power::Running, &faults);
    }
}

#[test]
fn any_answer_of_the_destination_may_be_lost_in_a_cutover() {
    for faults in [vec![], vec![Fault::StartFails { host: host("h2") }]] {
        for call in 1..25 {
            let mut rig = replicating(Power::Running);
            rig.run_until_ready();
            faults.iter().for_each(|fault: &Fault| rig.fleet.fault(fault.clone()));
            rig.fleet.fault(Fault::AnswerLost { host: host("h2"), call });
            rig.cut_over(with_replica(2));
            end_of(&mut rig, Power::Running, &format!("answer {call} is lost, {faults:?}"));
        }
    }
}

#[test]
fn an_abort_at_any_call_leads_to_one_of_the_two_ends_and_the_replica_is_kept() {
    for n in 1..MOST_CALLS {
        let mut rig = replicating(Power::Running);
        rig.ready_and_cut_over();
        let until = rig.fleet.calls(&host("h1")) + n;
        while rig.fleet.calls(&host("h1")) < until && matches!(rig.state(), OperationState::Running { .. }) {
            rig.turn();
        }
        if !matches!(rig.state(), OperationState::Running { .. }) {
            return;
        }
        rig.wish(Wish::Abort { because: AbortBecause::Asked });
        let told = format!("aborted at call {n}");
        if let Outcome::StayedAtSource { .. } = end_of(&mut rig, Power::Running, &told) {
            rig.pass(Span::minutes(6));
            assert_eq!(rig.status().stage(), Stage::Ready, "{told}");
        }
    }
    panic!("the cutover ends");
}

/// Each kind of trouble begins at each moment of a cutover and lasts for some minutes.
#[test]
fn links_agents_and_daemons_may_fail_at_any_moment_of_a_cutover() {
    type Trouble = fn(&Rig, Condition);
    let troubles: [(Trouble, &str); 3] = [
        (
            |rig, condition| match condition {
                Condition::Down => rig.fleet.cut(&host("h1"), &host("h2")),
                Condition::Up => rig.fleet.heal(&host("h1"), &host("h2")),
            },
            "link cut",
        ),
        (|rig, condition| rig.fleet.set_listener(&host("h2"), condition), "the other agent is away"),
        (|rig, condition| rig.fleet.set_daemon(&host("h2"), condition), "the other daemon is away"),
    ];
    for (trouble, name) in troubles {
        for turns in 0..60 {
            let mut rig = replicating(Power::Running);
            rig.ready_and_cut_over();
            for _ in 0..turns {
                rig.turn();
            }
            trouble(&rig, Condition::Down);
            let told = format!("{name} after {turns} turns");
            let began = rig.clock.now();
            while Span::between(began, rig.clock.now()) < Span::minutes(3) {
                rig.turn();
                // Only what the destination may have started is waited for.
                let off = rig.places().iter().all(|(_, power, _)| *power == Power::Off);
                let waits = matches!(rig.phase(), Some(Phase::InDoubt | Phase::BootTarget));
                let late = Span::between(began, rig.clock.now()) > Span::minutes(2);
                assert!(!(off && late) || waits, "{told}: the server is off in {:?}", rig.phase());
            }
            trouble(&rig, Condition::Up);
            let outcome = end_of(&mut rig, Power::Running, &told);
            if let Outcome::StayedAtSource { .. } = outcome {
                rig.pass(Span::minutes(8));
                assert_eq!(
                    rig.status().stage(),
                    Stage::Ready,
                    "{told}: the replica is the base of the next try"
                );
            }
            assert!(rig.clock.now() - began < TimeDelta::minutes(30), "{told}");
        }
    }
}

/// Between two writes into the ledger there may be no call at all.
#[test]
fn an_agent_that_is_replaced_again_and_again_comes_to_the_end() {
    for turns in 3..12 {
        let mut rig = replicating(Power::Running);
        rig.ready_and_cut_over();
        for _ in 0..200 {
            if rig.state_of(CUTOVER).is_some_and(|state| !matches!(state, OperationState::Running { .. })) {
                break;
            }
            for _ in 0..turns {
                rig.turn();
            }
            rig.kill();
        }
        end_of(&mut rig, Power::Running, &format!("replaced after every {turns} turns"));
    }
}
