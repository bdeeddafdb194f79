//! An order that waits for its time: never begun early or too late, and called off without a trace.

use crate::common::{Rig, SERVER, host, reboot_at, server_facts};
use chrono::TimeDelta;
use drover_agent_api::{AbortBecause, SyncResponse, Wish};
use drover_host_agent::hypervisor::simulated::{Fault, Guest};
use drover_policies::attempt::{FailureClass, Phase};
use drover_policies::fleet::{Autostart, Power};
use drover_policies::time::{Clock, Span};

fn rig(scheduler_ahead: TimeDelta) -> Rig {
    let order = reboot_at(scheduler_ahead);
    Rig::with_scheduler(order, server_facts(Power::Running), Guest::default(), scheduler_ahead)
}

/// Both hosts are looked at at once, and then it waits.
fn look(rig: &Rig) {
    rig.agent().step();
    assert_eq!(rig.phase(), Some(Phase::Armed));
}

fn runs_here(rig: &Rig) -> bool {
    rig.places() == [("h1".to_owned(), Power::Running, Autostart::Yes)]
}

#[test]
fn it_is_begun_at_its_time_by_the_schedulers_clock_however_wrong_that_of_the_host_is() {
    for wrong_by in [-7200, -90, 0, 90, 7200].map(TimeDelta::seconds) {
        let mut rig = rig(wrong_by);
        let begun = rig.clock.now();
        look(&rig);
        assert!(!rig.agent().is_busy(), "it has nothing to tell again and again");
        rig.run_to_phase(Phase::PowerOffSource);
        let waited = Span::between(begun, rig.clock.now());
        assert!((Span::seconds(30)..Span::milliseconds(30_300)).contains(&waited), "{wrong_by}: {waited}");
        rig.moved();
    }
}

#[test]
fn a_clash_of_names_is_found_before_its_time() {
    let mut rig = rig(TimeDelta::zero());
    let begun = rig.clock.now();
    let mut other = server_facts(Power::Running);
    other.id = drover_policies::ids::ServerId(uuid::Uuid::from_u128(0x52));
    rig.fleet.add_server(&host("h2"), other, Guest::default());
    rig.agent().step();
    assert_eq!(rig.clock.now(), begun, "no time has passed");
    assert_eq!(rig.stayed().0, FailureClass::RefusedByDestination);
}

#[test]
fn an_agent_that_comes_to_it_too_late_leaves_the_server_alone() {
    let mut rig = rig(TimeDelta::zero());
    look(&rig);
    rig.agent = None;
    rig.clock.set(rig.clock.now() + TimeDelta::minutes(6));
    rig.kill();
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::NotBegun, "{text}");
    assert!(runs_here(&rig));
}

#[test]
fn a_restarted_agent_that_has_not_heard_the_scheduler_does_not_begin() {
    let mut rig = rig(TimeDelta::zero());
    look(&rig);
    rig.restart_unheard();
    let operations = vec![rig.operation.clone()];
    let answer = SyncResponse { revision: 1, inventory_serial: None, operations, guests: None, now: None };
    rig.agent().take(&answer);
    rig.pass(Span::minutes(2));
    assert_eq!(rig.phase(), Some(Phase::Armed));
    assert!(runs_here(&rig));
    rig.order();
    rig.moved();
}

#[test]
fn what_is_called_off_before_its_time_was_not_begun() {
    for because in [AbortBecause::Asked, AbortBecause::Postponed] {
        let mut rig = rig(TimeDelta::zero());
        look(&rig);
        rig.wish(Wish::Abort { because });
        assert_eq!(rig.stayed().0, FailureClass::NotBegun);
        rig.pass(Span::minutes(2));
        assert!(runs_here(&rig));
    }
}

#[test]
fn what_has_been_begun_is_not_put_off_any_more_but_can_be_aborted() {
    let mut rig = rig(TimeDelta::zero());
    rig.fleet.change_guest(SERVER, |guest| guest.heeds_agent = Some(Span::seconds(10)));
    rig.run_to_phase(Phase::PowerOffSource);
    rig.wish(Wish::Abort { because: AbortBecause::Postponed });
    rig.turn();
    assert_eq!(rig.phase(), Some(Phase::PowerOffSource));
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(rig.stayed().0, FailureClass::Aborted);
    assert!(runs_here(&rig));
}

#[test]
fn start_now_does_not_wait_for_the_time() {
    let mut rig = rig(TimeDelta::zero());
    look(&rig);
    let said = rig.clock.now();
    rig.wish(Wish::AtOnce);
    rig.run_to_phase(Phase::PowerOffSource);
    assert!(rig.clock.now() - said < TimeDelta::seconds(1));
    rig.moved();
}

#[test]
fn what_the_scheduler_says_last_of_the_time_counts() {
    let mut rig = rig(TimeDelta::zero());
    let begun = rig.clock.now();
    look(&rig);
    // Its clock was a minute fast when it gave the order.
    rig.scheduler_ahead = TimeDelta::seconds(-60);
    rig.order();
    rig.run_to_phase(Phase::PowerOffSource);
    assert!(rig.clock.now() - begun >= TimeDelta::seconds(90));
}

#[test]
fn a_destination_that_fails_while_it_waits_is_found_when_it_is_begun_and_it_is_rolled_back() {
    let mut rig = rig(TimeDelta::zero());
    look(&rig);
    rig.fleet.fault(Fault::StartFails { host: host("h2") });
    rig.stayed();
    assert!(runs_here(&rig));
}
