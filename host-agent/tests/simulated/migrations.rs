//! What an operator and an owner see of both kinds of migration, on simulated hypervisors.

use crate::common::{Rig, SERVER, host, live, reboot, server_facts};
use drover_agent_api::{AbortBecause, OperationState, Tuning, Wish};
use drover_host_agent::hypervisor::State;
use drover_host_agent::hypervisor::simulated::{Condition, Fault, Guest};
use drover_policies::attempt::{FailureClass, Outcome, Phase, PowerOff};
use drover_policies::fleet::{Autostart, Definition, GuestAgent, Power, Reach};
use drover_policies::time::{Clock, Span};

const HERE: &str = "h1";
const THERE: &str = "h2";

fn only(place: &str, power: Power) -> Vec<(String, Power, Autostart)> {
    vec![(place.to_owned(), power, Autostart::Yes)]
}

fn deaf() -> Guest {
    Guest { heeds_agent: None, heeds_acpi: None, ..Guest::default() }
}

fn busy() -> Guest {
    Guest { dirty_rate: 4 << 30, ..Guest::default() }
}

#[test]
fn a_live_migration_carries_the_autostart_mark_over_and_tells_what_it_cost() {
    let mut rig = Rig::running(live());
    let moved = rig.moved();
    assert_eq!(rig.places(), only(THERE, Power::Running));
    assert!(moved.sent_bytes >= 4 << 30, "{moved:?}");
    assert!(moved.downtime.is_some_and(|downtime| downtime <= Span::milliseconds(305)), "{moved:?}");
    assert!(moved.in_libvirt.is_some_and(|time| time >= Span::seconds(4)), "{moved:?}");
    assert_eq!(rig.phases, [Phase::Transferring]);
}

#[test]
fn progress_is_told_several_times_a_second_and_counts_passes_from_one() {
    let mut rig = Rig::running(live());
    let mut told = Vec::new();
    while let OperationState::Running { progress } = rig.state() {
        if progress.phase == Phase::Transferring && progress.total_bytes > 0 && told.last() != Some(&progress)
        {
            told.push(progress);
        }
        rig.turn();
    }
    assert!(told.len() >= 12, "4 GiB at 1 GiB/s take 4 s: {}", told.len());
    assert_eq!(told.first().map(|progress| progress.iteration), Some(1));
    assert!(told.windows(2).all(|two| two[0].sent_bytes <= two[1].sent_bytes));
}

#[test]
fn a_guest_that_writes_too_fast_goes_on_until_it_is_aborted_and_the_ladder_s_reason_is_kept() {
    let mut rig = Rig::new(live(), server_facts(Power::Running), busy());
    rig.run_to_phase(Phase::Transferring);
    rig.pass(Span::minutes(5));
    match rig.state() {
        OperationState::Running { progress } => assert!(progress.iteration > 10, "{progress:?}"),
        ended => panic!("{ended:?}"),
    }
    rig.wish(Wish::Abort { because: AbortBecause::NotConverging });
    assert_eq!(rig.stayed().0, FailureClass::NotConverging);
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_longer_downtime_lets_a_stubborn_guest_go() {
    let mut rig = Rig::new(live(), server_facts(Power::Running), busy());
    rig.run_to_phase(Phase::Transferring);
    rig.pass(Span::minutes(1));
    rig.wish(Wish::Tuned(Tuning { max_downtime_ms: Some(20_000), max_bandwidth: None }));
    let moved = rig.moved();
    assert!(moved.downtime.is_some_and(|downtime| downtime > Span::seconds(1)), "{moved:?}");
    assert_eq!(rig.places(), only(THERE, Power::Running));
}

#[test]
fn a_limit_of_bandwidth_is_kept() {
    let mut rig = Rig::running(live());
    rig.wish(Wish::Tuned(Tuning { max_downtime_ms: None, max_bandwidth: Some(64 << 20) }));
    rig.run_to_phase(Phase::Transferring);
    rig.pass(Span::seconds(5));
    match rig.state() {
        OperationState::Running { progress } => assert_eq!(progress.rate, 64 << 20),
        ended => panic!("{ended:?}"),
    }
    assert!(rig.moved().in_libvirt.is_some_and(|time| time > Span::minutes(1)));
}

#[test]
fn an_older_generation_changes_nothing() {
    let mut rig = Rig::new(live(), server_facts(Power::Running), busy());
    rig.run_to_phase(Phase::Transferring);
    rig.wish(Wish::Tuned(Tuning { max_downtime_ms: Some(100), max_bandwidth: None }));
    rig.turn();
    let newest = rig.operation.clone();
    rig.operation.generation = drover_policies::ids::Generation::FIRST;
    rig.operation.wish = Wish::Abort { because: AbortBecause::Asked };
    rig.order();
    rig.pass(Span::minutes(1));
    assert_eq!(rig.phase(), Some(Phase::Transferring));
    rig.operation = newest;
}

#[test]
fn a_second_order_for_the_same_server_is_refused_and_stays_refused() {
    let mut rig = Rig::running(live());
    rig.run_to_phase(Phase::Transferring);
    let mut second = rig.operation.clone();
    second.id = drover_policies::ids::OperationId(uuid::Uuid::from_u128(77));
    let both = drover_agent_api::SyncResponse {
        revision: 2,
        inventory_serial: None,
        operations: vec![rig.operation.clone(), second.clone()],
        guests: None,
        now: None,
    };
    rig.agent().take(&both);
    rig.run();
    rig.agent().take(&both);
    rig.turn();
    let report = rig.agent().request(Span::ZERO).operations.into_iter().find(|report| report.id == second.id);
    match report.expect("it is reported").state {
        OperationState::Refused { failure } => assert_eq!(failure.class, FailureClass::Busy),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_clash_of_names_is_found_before_anything_is_touched_and_names_the_other_server() {
    for order in [live(), reboot()] {
        let mut rig = Rig::running(order);
        let mut other = server_facts(Power::Off);
        other.id = drover_policies::ids::ServerId(uuid::Uuid::from_u128(0x99));
        rig.fleet.add_server(&host(THERE), other.clone(), Guest::default());
        let (class, text) = rig.stayed();
        assert_eq!(class, FailureClass::RefusedByDestination);
        assert!(text.contains("web-1") && text.contains(&other.id.to_string()), "{text}");
        assert_eq!(rig.places(), only(HERE, Power::Running));
    }
}

#[test]
fn a_destination_without_its_daemon_is_unreachable_and_the_server_runs_on() {
    for order in [live(), reboot()] {
        let mut rig = Rig::running(order);
        rig.fleet.set_daemon(&host(THERE), Condition::Down);
        assert_eq!(rig.stayed().0, FailureClass::DestinationUnreachable);
        assert_eq!(rig.places(), only(HERE, Power::Running));
    }
}

#[test]
fn a_receiving_side_that_dies_leaves_the_server_at_its_source() {
    let mut rig = Rig::running(live());
    rig.fleet.fault(Fault::ReceiverDies { server: SERVER, percent: 40 });
    assert_eq!(rig.stayed().0, FailureClass::LostOnTheWay);
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_link_that_stays_cut_ends_the_attempt_and_a_short_cut_does_not() {
    let mut rig = Rig::running(live());
    rig.run_to_phase(Phase::Transferring);
    rig.fleet.cut(&host(HERE), &host(THERE));
    assert_eq!(rig.stayed().0, FailureClass::LostOnTheWay);
    assert_eq!(rig.places(), only(HERE, Power::Running));

    let mut rig = Rig::running(live());
    rig.run_to_phase(Phase::Transferring);
    rig.fleet.cut(&host(HERE), &host(THERE));
    rig.pass(Span::seconds(10));
    rig.fleet.heal(&host(HERE), &host(THERE));
    rig.moved();
}

#[test]
fn a_link_cut_in_the_switch_over_leaves_a_doubt_until_the_destination_has_said_that_it_runs() {
    let mut rig =
        Rig::new(live(), server_facts(Power::Running), Guest { dirty_rate: 200 << 20, ..Guest::default() });
    while rig.fleet.places(SERVER).first().is_none_or(|place| place.state != State::HeldByMigration) {
        rig.turn();
        assert!(rig.phase().is_some(), "it was to be seen in the switch-over");
    }
    rig.fleet.cut(&host(HERE), &host(THERE));
    rig.pass(Span::minutes(10));
    assert_eq!(rig.phase(), Some(Phase::InDoubt));
    assert_eq!(rig.places().len(), 2, "nothing was touched");
    rig.fleet.heal(&host(HERE), &host(THERE));
    rig.moved();
    assert_eq!(rig.places(), only(THERE, Power::Running));
}

#[test]
fn a_source_daemon_that_restarts_in_the_middle_rolls_back_and_the_agent_lives_on() {
    let mut rig = Rig::running(live());
    rig.run_to_phase(Phase::Transferring);
    rig.fleet.set_daemon(&host(HERE), Condition::Down);
    rig.pass(Span::minutes(2));
    assert!(rig.phase().is_some(), "nothing is known while libvirt is away");
    rig.fleet.set_daemon(&host(HERE), Condition::Up);
    assert_eq!(rig.stayed().0, FailureClass::LostOnTheWay);
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_server_that_is_off_is_not_moved_live() {
    let mut rig = Rig::new(live(), server_facts(Power::Off), Guest::default());
    assert_eq!(rig.stayed().0, FailureClass::RefusedBySource);
}

#[test]
fn a_refusal_of_libvirt_keeps_its_words() {
    let mut rig = Rig::running(live());
    rig.fleet.fault(Fault::MigrationRefused {
        server: SERVER,
        class: FailureClass::RefusedBySource,
        text: "domain has active block job".into(),
    });
    assert_eq!(rig.stayed(), (FailureClass::RefusedBySource, "domain has active block job".into()));
}

#[test]
fn a_server_that_its_owner_deletes_before_it_is_moved_is_gone() {
    for order in [live(), reboot()] {
        let mut rig = Rig::running(order);
        rig.fleet.owner_deletes(SERVER);
        assert_eq!(rig.outcome(), Outcome::Gone);
    }
}

#[test]
fn a_guest_is_shut_down_by_its_agent_else_by_the_button_else_hard() {
    let no_agent = Guest { heeds_agent: None, ..Guest::default() };
    for (guest, by, least) in [
        (Guest::default(), PowerOff::GuestAgent, 3),
        (no_agent, PowerOff::Acpi, 25),
        (deaf(), PowerOff::Hard, 40),
    ] {
        let mut rig = Rig::new(reboot(), server_facts(Power::Running), guest);
        let begun = rig.clock.now();
        let moved = rig.moved();
        assert_eq!(moved.power_off, Some(by));
        assert!(Span::between(begun, rig.clock.now()) >= Span::seconds(least));
        assert!(moved.downtime.is_some_and(|downtime| downtime < Span::seconds(2)), "{moved:?}");
        assert_eq!(rig.places(), only(THERE, Power::Running));
    }
}

#[test]
fn a_guest_without_an_agent_is_shut_down_by_the_button_at_once() {
    let mut facts = server_facts(Power::Running);
    facts.guest_agent = GuestAgent::Absent;
    let mut rig = Rig::new(reboot(), facts, Guest::default());
    let begun = rig.clock.now();
    assert_eq!(rig.moved().power_off, Some(PowerOff::Acpi));
    assert!(Span::between(begun, rig.clock.now()) < Span::seconds(10));
}

#[test]
fn a_server_that_is_off_is_moved_and_stays_off() {
    let mut rig = Rig::new(reboot(), server_facts(Power::Off), Guest::default());
    let moved = rig.moved();
    assert_eq!((moved.power_off, moved.downtime), (Some(PowerOff::WasOff), None));
    assert_eq!(rig.places(), only(THERE, Power::Off));
}

#[test]
fn a_server_that_was_off_and_is_started_by_its_owner_meanwhile_is_left_to_him() {
    let mut rig = Rig::new(reboot(), server_facts(Power::Off), Guest::default());
    rig.agent().step_operation(crate::common::OPERATION);
    rig.fleet.owner_starts(SERVER);
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::Busy);
    assert!(text.contains("started meanwhile"), "{text}");
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_transient_server_is_moved_by_its_retained_definition() {
    let mut facts = server_facts(Power::Running);
    facts.definition = Definition::Transient;
    facts.autostart = Autostart::No;
    let mut rig = Rig::new(reboot(), facts, Guest::default());
    rig.moved();
    assert_eq!(rig.places(), [(THERE.to_owned(), Power::Running, Autostart::No)]);
}

#[test]
fn a_target_that_does_not_boot_brings_the_server_back_to_its_source() {
    for fault in [
        Fault::StartFails { host: host(THERE) },
        Fault::DiskErrorOnBoot { host: host(THERE) },
        Fault::DefineFails { host: host(THERE) },
    ] {
        let mut rig = Rig::running(reboot());
        rig.fleet.fault(fault.clone());
        let (class, _) = rig.stayed();
        let expected = match fault {
            Fault::DefineFails { .. } => FailureClass::RefusedByDestination,
            _ => FailureClass::TargetDidNotBoot,
        };
        assert_eq!(class, expected);
        assert_eq!(rig.places(), only(HERE, Power::Running));
    }
}

#[test]
fn a_local_disk_is_noticed_by_the_start_at_the_destination_and_rolled_back() {
    let mut facts = server_facts(Power::Running);
    facts.disks[0].reach = Reach::Local;
    let mut rig = Rig::new(reboot(), facts, Guest::default());
    assert_eq!(rig.stayed().0, FailureClass::RefusedByDestination);
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_destination_that_goes_silent_after_it_may_have_started_stops_everything_until_it_answers() {
    let mut rig = Rig::running(reboot());
    rig.run_to_phase(Phase::PowerOffSource);
    // The third answer of the destination from here on is that of its start.
    rig.fleet.fault(Fault::AnswerLost { host: host(THERE), call: 7 });
    while rig.phase() != Some(Phase::BootTarget) && rig.phase() != Some(Phase::InDoubt) {
        rig.turn();
    }
    rig.fleet.cut(&host(HERE), &host(THERE));
    rig.pass(Span::hours(3));
    assert_eq!(rig.phase(), Some(Phase::InDoubt));
    assert!(rig.places().iter().all(|(place, _, _)| place != HERE), "the source was never brought back");
    rig.fleet.heal(&host(HERE), &host(THERE));
    rig.moved();
    assert_eq!(rig.places(), only(THERE, Power::Running));
}

#[test]
fn a_destination_that_loses_its_power_between_the_fence_and_the_boot_gives_the_server_back() {
    let mut rig = Rig::running(reboot());
    rig.run_to_phase(Phase::PowerOffSource);
    rig.fleet.set_power(&host(THERE), Condition::Down);
    assert_eq!(rig.stayed().0, FailureClass::DestinationUnreachable);
    assert_eq!(rig.places(), only(HERE, Power::Running));
}

#[test]
fn a_destination_that_is_silent_for_a_moment_between_the_fence_and_the_boot_is_waited_for() {
    let mut rig = Rig::running(reboot());
    rig.run_to_phase(Phase::PowerOffSource);
    rig.fleet.cut(&host(HERE), &host(THERE));
    while !rig.places().is_empty() {
        rig.turn();
    }
    rig.pass(Span::seconds(5));
    assert_eq!(rig.places(), [], "it is not booted at its source meanwhile");
    rig.fleet.heal(&host(HERE), &host(THERE));
    rig.moved();
    assert_eq!(rig.places(), only(THERE, Power::Running));
}

#[test]
fn an_abort_while_the_guest_shuts_down_starts_it_again() {
    let mut rig = Rig::running(reboot());
    rig.run_to_phase(Phase::PowerOffSource);
    rig.turn();
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(rig.stayed().0, FailureClass::Aborted);
    assert_eq!(rig.places(), only(HERE, Power::Running));
    rig.pass(Span::minutes(5));
    assert_eq!(rig.places(), only(HERE, Power::Running), "it does not go off after all");
}

#[test]
fn an_abort_after_the_fence_is_too_late() {
    let mut rig = Rig::running(reboot());
    while !rig.fleet.places(SERVER).is_empty() {
        rig.agent().step_operation(crate::common::OPERATION);
        let next = rig.clock.now() + chrono::TimeDelta::milliseconds(100);
        rig.clock.set(next);
    }
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    rig.moved();
    assert_eq!(rig.places(), only(THERE, Power::Running));
}

#[test]
fn no_acknowledged_write_is_lost_and_the_writing_goes_on_at_the_destination() {
    let mut rig = Rig::running(reboot());
    rig.pass(Span::seconds(2));
    let before = rig.fleet.acknowledged_writes(SERVER);
    rig.moved();
    rig.pass(Span::seconds(10));
    assert!(rig.fleet.acknowledged_writes(SERVER) >= before + 100);
}

#[test]
fn a_lost_ledger_file_in_the_middle_of_a_cutover_brings_the_server_back_from_its_retained_definition() {
    let mut rig = Rig::running(reboot());
    while !rig.fleet.places(SERVER).is_empty() {
        rig.agent().step_operation(crate::common::OPERATION);
        let next = rig.clock.now() + chrono::TimeDelta::milliseconds(100);
        rig.clock.set(next);
    }
    rig.spoil_the_operation();
    rig.kill();
    rig.stayed();
    assert_eq!(rig.places(), only(HERE, Power::Running));
}
