//! Hooks on simulated hosts, and the question whether a host is well.

use drover_agent_api::{AbortBecause, CheckHealth, Operation, OperationState, Order, RunHook, Wish};
use drover_host_agent::hypervisor::simulated::{Condition, Moment, Script, Then, Writes};
use drover_policies::attempt::FailureClass;
use drover_policies::hooks::{HookDoing, HookOutcome, HookRan};
use drover_policies::ids::{Generation, HookName, OperationId};
use drover_policies::time::{Clock, Span};
use uuid::Uuid;

use crate::common::{Rig, host};

fn maintain() -> Order {
    let (maintenance, reason) = ("MT-1".into(), "kernel-update".into());
    Order::RunHook(RunHook { hook: HookName::maintain(), maintenance, reason, attempt: 1, limit: None })
}

fn with(script: Script) -> Rig {
    let rig = Rig::running(maintain());
    rig.fleet.set_hook(&host("h1"), HookName::maintain(), script);
    rig
}

fn takes(span: Span) -> Script {
    Script { takes: Some(span), ..Script::default() }
}

/// Drives it to its end, at most a simulated day; a host that reboots takes its agent with it.
fn end(rig: &mut Rig) -> HookRan {
    let limit = rig.clock.now() + chrono::TimeDelta::days(1);
    loop {
        match rig.state() {
            OperationState::HookRan { ran } => return ran,
            OperationState::RunningHook { .. } | OperationState::Running { .. } => {}
            other => panic!("not the end of a hook: {other:?}"),
        }
        assert!(rig.clock.now() < limit, "no end within a day");
        if rig.fleet.power(&host("h1")) == Condition::Down {
            rig.agent = None;
            while rig.fleet.power(&host("h1")) == Condition::Down {
                let next = rig.fleet.next_event().expect("it comes up again");
                rig.clock.set(next);
            }
            rig.kill();
        }
        rig.turn();
    }
}

fn runs(rig: &Rig) -> usize {
    rig.fleet.hook_runs(&host("h1"), &HookName::maintain())
}

#[test]
fn a_hook_is_run_and_its_end_is_told_with_what_it_wrote() {
    let mut rig = with(takes(Span::minutes(2)));
    rig.pass(Span::minutes(1));
    match rig.state() {
        OperationState::RunningHook { status } => assert_eq!(status.doing, HookDoing::Running),
        other => panic!("{other:?}"),
    }
    assert!(!rig.agent().is_busy(), "hours of nothing are told by nobody five times a second");
    let ran = end(&mut rig);
    assert_eq!((ran.outcome, ran.took), (HookOutcome::Succeeded, Span::minutes(2)));
    assert_eq!(ran.output.text, "maintain is done\n");
}

#[test]
fn every_end_of_a_hook_is_told() {
    let script = |takes, then, writes| Script { takes, then, writes, ..Script::default() };
    let minute = Some(Span::minutes(1));
    let cases = [
        (script(minute, Then::Exits(70), Writes::Little), HookOutcome::Skip),
        (script(minute, Then::Exits(1), Writes::Flood), HookOutcome::Failed { exit: Some(1), signal: None }),
        (script(None, Then::Exits(0), Writes::Little), HookOutcome::TimedOut { after: Span::minutes(30) }),
        (script(minute, Then::Reboots(Span::minutes(3)), Writes::Little), HookOutcome::Succeeded),
    ];
    for (script, outcome) in cases {
        let mut rig = with(script.clone());
        assert_eq!(end(&mut rig).outcome, outcome, "{script:?}");
    }
    let mut rig = Rig::running(maintain());
    assert_eq!(end(&mut rig).outcome, HookOutcome::NotConfigured);
}

#[test]
fn a_hook_is_run_once_wherever_its_agent_is_killed() {
    for moment in [Moment::Before, Moment::After] {
        for call in 1..100 {
            let mut rig = with(takes(Span::seconds(10)));
            rig.fleet.kill_agent_at_call(&host("h1"), call, moment);
            let ran = end(&mut rig);
            assert_eq!((ran.outcome, runs(&rig)), (HookOutcome::Succeeded, 1), "{moment:?} call {call}");
            if rig.kills == 0 {
                assert!(call > 5, "it makes more calls than {call}");
                break;
            }
            assert!(call < 99, "it ends");
        }
    }
}

#[test]
fn a_hook_that_reboots_its_host_is_over_when_that_is_up_and_one_that_was_cut_off_is_lost() {
    let reboots = Script { then: Then::Reboots(Span::minutes(3)), ..takes(Span::minutes(1)) };
    let mut rig = with(reboots);
    let ran = end(&mut rig);
    assert_eq!((ran.outcome, ran.took, runs(&rig)), (HookOutcome::Succeeded, Span::minutes(4), 1));

    let mut rig = with(takes(Span::minutes(5)));
    rig.pass(Span::minutes(1));
    rig.fleet.set_power(&host("h1"), Condition::Down);
    rig.fleet.set_power(&host("h1"), Condition::Up);
    rig.kill();
    let ran = end(&mut rig);
    assert!(matches!(&ran.outcome, HookOutcome::Lost { why } if why.contains("rebooted")), "{ran:?}");
    assert_eq!(runs(&rig), 1);
}

#[test]
fn a_hook_that_hangs_can_be_stopped_and_one_that_has_not_begun_is_not() {
    let mut rig = with(Script { takes: None, ..Script::default() });
    rig.pass(Span::minutes(1));
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(end(&mut rig).outcome, HookOutcome::Stopped);

    let mut rig = with(Script::default());
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!((end(&mut rig).outcome, runs(&rig)), (HookOutcome::Stopped, 0));
}

#[test]
fn a_second_hook_beside_the_first_is_refused() {
    let mut rig = with(takes(Span::minutes(2)));
    rig.pass(Span::seconds(10));
    let id = OperationId(Uuid::from_u128(77));
    rig.beside = vec![Operation { id, generation: Generation::FIRST, order: maintain(), wish: Wish::Run }];
    rig.order();
    rig.pass(Span::seconds(10));
    match rig.state_of(id) {
        Some(OperationState::Refused { failure }) => {
            assert_eq!(failure.class, FailureClass::Busy);
            assert!(failure.text.contains(&rig.operation.id.to_string()), "{}", failure.text);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((end(&mut rig).outcome, runs(&rig)), (HookOutcome::Succeeded, 1));
}

#[test]
fn a_host_is_well_when_its_libvirt_answers_and_only_then() {
    let order = || Order::CheckHealth(CheckHealth { within: Span::minutes(5) });
    let mut rig = Rig::running(order());
    match rig.run() {
        OperationState::Healthy { health } => {
            assert_eq!((health.libvirt_version, health.qemu_version), (11_003_000, 10_000_002));
            assert_eq!(health.boot_id.as_deref(), Some("boot-1 of h1"));
        }
        other => panic!("{other:?}"),
    }
    for (away, well) in [(Span::minutes(3), true), (Span::minutes(9), false)] {
        let mut rig = Rig::running(order());
        rig.fleet.set_daemon(&host("h1"), Condition::Down);
        rig.pass(away);
        rig.fleet.set_daemon(&host("h1"), Condition::Up);
        match rig.run() {
            OperationState::Healthy { .. } => assert!(well, "it was away for {away}"),
            OperationState::Unhealthy { why } => assert!(!well && why.contains("h1"), "{away}: {why}"),
            other => panic!("{other:?}"),
        }
    }
}
