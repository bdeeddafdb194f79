//! What a guest is looked at for, besides signs of life.

use std::collections::{BTreeMap, BTreeSet};

use drover_agent_api::{OperationState, Order, Verdict, VerifyGuest};
use drover_host_agent::hypervisor::simulated::{Guest, Moment, Serves, Service};
use drover_policies::checks::{
    Baseline, Check, Finding, Item, Look, Looked, Side, Verdict as Found, Weight, what_failed,
};
use drover_policies::fleet::{GuestAgent, Power};
use drover_policies::time::{Clock, Span};

use crate::common::{Rig, SERVER, host, server_facts};

fn check(json: &str) -> Check {
    serde_json::from_str(json).expect("a check")
}

fn shop() -> Check {
    check(r#"{"name":"shop","check":"http","port":80,"path":"/health","expect":200}"#)
}

fn ssh() -> Check {
    check(r#"{"name":"ssh","check":"tcp","port":22}"#)
}

fn guest(services: &[(u16, Serves)]) -> Guest {
    let service = |(port, answers): &(u16, Serves)| (*port, Service { answers: *answers, not_on: None });
    Guest {
        addresses: BTreeSet::from(["192.0.2.7".parse().expect("an address")]),
        services: services.iter().map(service).collect::<BTreeMap<_, _>>(),
        ..Guest::default()
    }
}

fn rig(checks: &[Check], baseline: Option<Baseline>, guest: Guest) -> Rig {
    rig_at(Side::After { baseline }, GuestAgent::Connected, checks, guest)
}

fn rig_at(side: Side, agent: GuestAgent, checks: &[Check], guest: Guest) -> Rig {
    let look = Look { checks: checks.to_vec(), within: Span::seconds(30), addresses: Weight::MustPass, side };
    let order =
        Order::VerifyGuest(VerifyGuest { server: SERVER, within: Span::minutes(1), look: Some(look) });
    let mut facts = server_facts(Power::Running);
    facts.guest_agent = agent;
    Rig::new(order, facts, guest)
}

fn looked(rig: &mut Rig) -> Looked {
    match rig.run() {
        OperationState::Verified { verdict: Verdict::Alive { looked: Some(looked), .. } } => looked,
        other => panic!("{other:?}"),
    }
}

fn verdict_of(findings: &[Finding], name: &str) -> Found {
    let named = findings.iter().find(|finding| finding.item.to_string() == name);
    named.unwrap_or_else(|| panic!("{name} is in {findings:?}")).verdict
}

#[test]
fn everything_is_looked_at_once_and_nothing_waits_where_all_is_well() {
    let all = guest(&[(80, Serves::Http { status: 200 }), (22, Serves::Tcp)]);
    let mut rig = rig(&[shop(), ssh()], None, all);
    let looked = looked(&mut rig);
    assert_eq!(looked.took, Span::ZERO);
    for name in ["power state", "sign of life", "shop", "ssh"] {
        assert_eq!(verdict_of(&looked.findings, name), Found::Passed, "{name}");
    }
    for name in ["addresses", "network interfaces", "disks"] {
        assert_eq!(
            verdict_of(&looked.findings, name),
            Found::NotLooked,
            "there is nothing to compare {name} with"
        );
    }
    assert_eq!(looked.hardware.addresses.expect("its guest tells them").len(), 1);
}

#[test]
fn a_service_that_comes_up_late_passes_and_one_that_never_does_fails_when_its_time_is_over() {
    let mut rig = rig(&[shop(), ssh()], None, guest(&[(80, Serves::Http { status: 503 })]));
    rig.pass(Span::seconds(5));
    match rig.state() {
        OperationState::Running { progress } => {
            let told = progress.findings.iter().map(|finding| finding.item.clone()).collect::<Vec<_>>();
            assert!(told.contains(&Item::Disks), "what is settled is told meanwhile: {told:?}");
        }
        other => panic!("{other:?}"),
    }
    rig.fleet.change_guest(SERVER, |guest| {
        guest.services.insert(80, Service { answers: Serves::Http { status: 200 }, not_on: None });
    });
    let looked = looked(&mut rig);
    assert_eq!(verdict_of(&looked.findings, "shop"), Found::Passed);
    assert_eq!(verdict_of(&looked.findings, "ssh"), Found::Failed);
    assert_eq!(
        what_failed(&looked.findings).as_deref(),
        Some("ssh failed (TCP port 22: connection refused)")
    );
    assert!(looked.took >= Span::seconds(30));
}

#[test]
fn a_lost_address_counts_and_what_failed_before_does_not() {
    let both = guest(&[(22, Serves::Tcp)]);
    let mut source = rig_at(Side::Before, GuestAgent::Connected, &[shop(), ssh()], both.clone());
    let before = looked(&mut source);
    assert_eq!(verdict_of(&before.findings, "shop"), Found::Failed);
    assert_eq!(before.took, Span::ZERO, "nothing is waited for on a server that has been running");
    let baseline = Baseline { at: source.clock.now(), hardware: before.hardware, findings: before.findings };
    let mut same = rig(&[shop(), ssh()], Some(baseline.clone()), both.clone());
    let after = looked(&mut same);
    let findings = after.findings;
    assert_eq!(verdict_of(&findings, "shop"), Found::FailedBefore);
    assert_eq!(after.took, Span::ZERO, "what failed before is not waited for");
    assert_eq!(verdict_of(&findings, "addresses"), Found::Passed);
    assert_eq!(what_failed(&findings), None);

    let moved = Guest { addresses: BTreeSet::from(["192.0.2.8".parse().expect("an address")]), ..both };
    let findings = looked(&mut rig(&[ssh()], Some(baseline), moved)).findings;
    assert_eq!(verdict_of(&findings, "addresses"), Found::Failed);
    assert!(what_failed(&findings).is_some_and(|text| text.contains("missing: 192.0.2.7")));
}

#[test]
fn before_a_move_no_sign_of_life_is_waited_for_and_what_does_not_run_is_not_looked_at() {
    let mut silent = rig_at(Side::Before, GuestAgent::Absent, &[ssh()], guest(&[(22, Serves::Tcp)]));
    silent.turn();
    let state = silent.state();
    assert!(matches!(state, OperationState::Verified { .. }), "at the first activation: {state:?}");
    let findings = looked(&mut silent).findings;
    assert_eq!(verdict_of(&findings, "ssh"), Found::Passed);

    let mut off = rig_at(Side::Before, GuestAgent::Absent, &[ssh()], guest(&[]));
    off.fleet.owner_stops(SERVER);
    match off.run() {
        OperationState::Verified { verdict: Verdict::NotAlive { text } } => assert_eq!(text, "it is off"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_that_goes_off_while_its_services_are_waited_for_is_not_alive() {
    let mut rig = rig(&[ssh()], None, guest(&[]));
    rig.pass(Span::seconds(5));
    rig.fleet.owner_stops(SERVER);
    match rig.run() {
        OperationState::Verified { verdict: Verdict::NotAlive { text } } => {
            assert!(text.contains("is off now"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_that_dies_at_any_call_of_the_look_comes_to_the_same_end() {
    for moment in [Moment::Before, Moment::After] {
        for call in 1..12 {
            let mut rig = rig(&[shop(), ssh()], None, guest(&[(22, Serves::Tcp)]));
            rig.fleet.kill_agent_at_call(&host("h1"), call, moment);
            let findings = looked(&mut rig).findings;
            assert_eq!(verdict_of(&findings, "ssh"), Found::Passed, "killed {moment:?} call {call}");
            assert_eq!(verdict_of(&findings, "shop"), Found::Failed, "killed {moment:?} call {call}");
        }
    }
}
