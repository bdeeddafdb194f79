//! The agent is killed at every call that it makes of its hypervisor, and after every step, and still ends properly.

use crate::common::{OPERATION, Rig, host, live, reboot, reboot_at, server_facts};
use drover_agent_api::{OperationState, Order, Wish};
use drover_host_agent::hypervisor::simulated::{Fault, Guest, Moment};
use drover_policies::attempt::Outcome;
use drover_policies::fleet::{Autostart, Power};
use drover_policies::time::Clock;

/// More than any of these operations makes; the loops below end by themselves as soon as a run was not killed any more.
const MOST_CALLS: u64 = 2_000;

/// What must hold at the end, whatever happened: the server is at exactly one host, alive as before, marked as before.
fn assert_one_proper_end(rig: &Rig, end: &OperationState, power: Power, told: &str) {
    let OperationState::Ended { outcome, .. } = end else {
        panic!("{told}: {end:?}");
    };
    let expected = match outcome {
        Outcome::Moved(_) => "h2",
        Outcome::StayedAtSource { .. } => "h1",
        Outcome::Gone => panic!("{told}: a server was lost"),
    };
    assert_eq!(rig.places(), [(expected.to_owned(), power, Autostart::Yes)], "{told}: {outcome:?}");
}

fn kill_at_every_call(order: &Order, power: Power, prepare: impl Fn(&Rig)) {
    for moment in [Moment::Before, Moment::After] {
        let mut tried = 0;
        for n in 1..MOST_CALLS {
            let mut rig = Rig::new(order.clone(), server_facts(power), Guest::default());
            prepare(&rig);
            rig.fleet.kill_agent_at_call(&host("h1"), n, moment);
            let end = rig.run();
            assert_one_proper_end(&rig, &end, power, &format!("killed {moment:?} call {n}"));
            tried = n;
            if rig.kills == 0 {
                break;
            }
        }
        assert!(tried > 5, "the agent makes more calls than {tried}");
        assert!(tried < MOST_CALLS - 1, "the operation ends");
    }
}

/// Kills twice: at a call, and again soon after the agent has come back.
fn kill_twice(order: &Order, power: Power, prepare: impl Fn(&Rig)) {
    for first in 1..40 {
        for second in 1..8 {
            let mut rig = Rig::new(order.clone(), server_facts(power), Guest::default());
            prepare(&rig);
            rig.fleet.kill_agent_at_call(&host("h1"), first, Moment::After);
            while rig.kills == 0 && matches!(rig.state(), OperationState::Running { .. }) {
                rig.turn();
            }
            rig.fleet.kill_agent_at_call(&host("h1"), second, Moment::Before);
            let end = rig.run();
            assert_one_proper_end(&rig, &end, power, &format!("killed at {first} and {second} later"));
        }
    }
}

#[test]
fn a_live_migration_survives_a_kill_at_every_call() {
    kill_at_every_call(&live(), Power::Running, |_| {});
    kill_twice(&live(), Power::Running, |_| {});
}

#[test]
fn a_live_migration_that_fails_survives_a_kill_at_every_call() {
    kill_at_every_call(&live(), Power::Running, |rig| {
        rig.fleet.fault(Fault::ReceiverDies { server: crate::common::SERVER, percent: 40 });
    });
}

#[test]
fn a_reboot_migration_survives_a_kill_at_every_call() {
    kill_at_every_call(&reboot(), Power::Running, |_| {});
    kill_twice(&reboot(), Power::Running, |_| {});
}

#[test]
fn a_reboot_migration_that_waits_for_its_time_survives_a_kill_at_every_call() {
    let order = reboot_at(chrono::TimeDelta::zero());
    kill_at_every_call(&order, Power::Running, |_| {});
    kill_twice(&order, Power::Running, |_| {});
}

#[test]
fn a_reboot_migration_of_a_server_that_is_off_survives_a_kill_at_every_call() {
    kill_at_every_call(&reboot(), Power::Off, |_| {});
}

#[test]
fn a_roll_back_survives_a_kill_at_every_call() {
    let fails = |name: &str| Fault::StartFails { host: host(name) };
    let cases = [
        vec![Fault::DefineFails { host: host("h2") }],
        vec![fails("h2")],
        vec![Fault::DiskErrorOnBoot { host: host("h2") }],
        // The source refuses at first to take its own server back.
        vec![fails("h2"), fails("h1")],
    ];
    for faults in cases {
        let prepare = |rig: &Rig| faults.iter().for_each(|fault| rig.fleet.fault(fault.clone()));
        kill_at_every_call(&reboot(), Power::Running, prepare);
        kill_twice(&reboot(), Power::Running, prepare);
    }
}

#[test]
fn any_answer_of_the_destination_may_be_lost() {
    for order in [live(), reboot()] {
        for call in 1..20 {
            let mut rig = Rig::running(order.clone());
            rig.fleet.fault(Fault::AnswerLost { host: host("h2"), call });
            let end = rig.run();
            assert_one_proper_end(&rig, &end, Power::Running, &format!("answer {call} is lost"));
        }
    }
    // Together with a start that fails, so that the way back loses answers as well.
    for call in 1..20 {
        let mut rig = Rig::running(reboot());
        rig.fleet.fault(Fault::StartFails { host: host("h2") });
        rig.fleet.fault(Fault::AnswerLost { host: host("h2"), call });
        let end = rig.run();
        assert_one_proper_end(&rig, &end, Power::Running, &format!("rolling back, answer {call} is lost"));
    }
}

/// Between two writes into the ledger there may be no call at all, so the agent is also thrown away after every few steps,
/// wherever they have led. (A state is written by the step after it, so two steps in a life are the least that can lead on.)
#[test]
fn an_agent_that_is_replaced_after_every_few_steps_comes_to_the_end() {
    for steps in 3..7 {
        for (order, power) in [(live(), Power::Running), (reboot(), Power::Running), (reboot(), Power::Off)] {
            let mut rig = Rig::new(order, server_facts(power), Guest::default());
            let mut lives = 0;
            while matches!(rig.state(), OperationState::Running { .. }) {
                for _ in 0..steps {
                    rig.agent().step_operation(OPERATION);
                    let due = rig.clock.now() + chrono::TimeDelta::milliseconds(250);
                    rig.clock.set(due);
                }
                rig.kill();
                // An end is told only beside an inventory.
                rig.agent().read_inventory();
                lives += 1;
                assert!(lives < 100, "it makes no progress: {:?}", rig.state());
            }
            let end = rig.run();
            assert_one_proper_end(&rig, &end, power, &format!("replaced after every {steps} steps"));
        }
    }
}

#[test]
fn an_abort_that_comes_at_any_call_leads_to_one_of_the_two_ends() {
    for (order, guest) in [(live(), Guest::default()), (reboot(), Guest::default())] {
        for n in 1..MOST_CALLS {
            let mut rig = Rig::new(order.clone(), server_facts(Power::Running), guest.clone());
            while rig.fleet.calls(&host("h1")) < n && matches!(rig.state(), OperationState::Running { .. }) {
                rig.turn();
            }
            if !matches!(rig.state(), OperationState::Running { .. }) {
                break;
            }
            rig.wish(Wish::Abort { because: drover_agent_api::AbortBecause::Asked });
            let end = rig.run();
            assert_one_proper_end(&rig, &end, Power::Running, &format!("aborted at call {n}"));
        }
    }
}
