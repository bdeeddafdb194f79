//! What an agent tells of its host, and the operations that only look.

use drover_agent_api::{Inventory, LifeSign, OperationState, Order, SyncResponse, Verdict, VerifyGuest};
use drover_host_agent::hypervisor::simulated::{Condition, Console, Guest};
use drover_policies::fleet::{GuestAgent, Power};
use drover_policies::time::{Clock, Span};

use crate::common::{OPERATION, Rig, SERVER, host, reboot, server_facts};

fn look(order: Order, agent: GuestAgent, guest: Guest) -> Rig {
    let mut facts = server_facts(Power::Running);
    facts.guest_agent = agent;
    Rig::new(order, facts, guest)
}

fn verify(within: Span) -> Order {
    Order::VerifyGuest(VerifyGuest { server: SERVER, within, look: None })
}

fn verdict(rig: &mut Rig) -> Verdict {
    match rig.run() {
        OperationState::Verified { verdict } => verdict,
        other => panic!("{other:?}"),
    }
}

fn alive(sign: LifeSign) -> Verdict {
    Verdict::Alive { sign, looked: None }
}

/// The inventory that would be told, if any, and the scheduler's thanks for it.
fn told(rig: &Rig) -> Option<Inventory> {
    let inventory = rig.agent().request(Span::ZERO).inventory;
    let response = SyncResponse {
        revision: 1,
        inventory_serial: inventory.as_ref().map(|inventory| inventory.serial),
        operations: vec![rig.operation.clone()],
        guests: None,
        now: None,
    };
    if inventory.is_some() {
        rig.agent().take(&response);
    }
    inventory
}

#[test]
fn the_strongest_sign_that_there_is_is_waited_for() {
    let kept = Guest { console: Console::Kept, ..Guest::default() };
    let calm = Guest::default();
    for (agent, guest, sign) in [
        (GuestAgent::Connected, calm.clone(), LifeSign::GuestAgent),
        (GuestAgent::Absent, kept.clone(), LifeSign::Console),
        (GuestAgent::Absent, calm, LifeSign::Running),
        (GuestAgent::Connected, kept, LifeSign::GuestAgent),
    ] {
        let mut rig = look(verify(Span::minutes(1)), agent, guest);
        assert_eq!(verdict(&mut rig), alive(sign));
    }
}

#[test]
fn an_agent_that_never_connects_is_waited_for_until_the_time_is_over() {
    let slow = Guest { boot_time: Span::hours(9), ..Guest::default() };
    let mut rig = look(verify(Span::minutes(1)), GuestAgent::Connected, slow);
    let begun = rig.clock.now();
    assert_eq!(verdict(&mut rig), alive(LifeSign::Running));
    assert!(Span::between(begun, rig.clock.now()) >= Span::minutes(1));
}

#[test]
fn a_server_that_goes_off_while_it_is_looked_at_is_not_alive_and_one_that_was_off_is_only_off() {
    let slow = Guest { boot_time: Span::hours(9), ..Guest::default() };
    let mut rig = look(verify(Span::minutes(1)), GuestAgent::Connected, slow);
    rig.pass(Span::seconds(5));
    rig.fleet.owner_stops(SERVER);
    assert!(matches!(verdict(&mut rig), Verdict::NotAlive { text } if text.contains("went off")));

    let mut rig = Rig::new(verify(Span::minutes(1)), server_facts(Power::Off), Guest::default());
    assert_eq!(verdict(&mut rig), alive(LifeSign::Off));
}

#[test]
fn a_server_that_is_not_here_is_not_alive_when_the_time_is_over() {
    let mut rig = Rig::running(verify(Span::seconds(30)));
    rig.fleet.owner_deletes(SERVER);
    assert!(matches!(verdict(&mut rig), Verdict::NotAlive { text } if text.contains("does not know it")));
}

#[test]
fn a_host_is_called_empty_by_libvirt_alone_and_never_while_libvirt_is_away() {
    let mut rig = Rig::running(Order::ConfirmEmpty);
    rig.fleet.set_daemon(&host("h1"), Condition::Down);
    rig.pass(Span::minutes(10));
    assert!(matches!(rig.state(), OperationState::Running { .. }));
    rig.fleet.set_daemon(&host("h1"), Condition::Up);
    match rig.run() {
        OperationState::Counted { left, .. } => assert_eq!(left.len(), 1),
        other => panic!("{other:?}"),
    }
    let mut rig = Rig::running(Order::ConfirmEmpty);
    rig.fleet.owner_deletes(SERVER);
    match rig.run() {
        OperationState::Counted { left, .. } => assert!(left.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_inventory_is_told_when_it_differs_and_only_then() {
    let mut rig = Rig::running(Order::ConfirmEmpty);
    rig.run();
    let first = told(&rig).expect("the first one");
    assert_eq!(first.servers.len(), 1);
    rig.pass(Span::minutes(10));
    assert_eq!(told(&rig), None, "nothing has changed");

    rig.fleet.change_server(SERVER, |facts| facts.name = "web-2".into());
    rig.pass(Span::seconds(2));
    let second = told(&rig).expect("a change");
    assert!(second.serial > first.serial);
    assert_eq!(second.servers.first().map(|server| server.name.as_str()), Some("web-2"));
}

#[test]
fn a_scheduler_that_has_lost_the_inventory_is_told_it_again() {
    let mut rig = Rig::running(Order::ConfirmEmpty);
    rig.run();
    told(&rig).expect("the first one");
    assert_eq!(told(&rig), None);
    let response =
        SyncResponse { revision: 2, inventory_serial: None, operations: Vec::new(), guests: None, now: None };
    rig.agent().take(&response);
    assert!(told(&rig).is_some());
}

#[test]
fn an_ended_operation_is_told_until_it_is_no_longer_wanted_and_then_forgotten() {
    let mut rig = Rig::running(Order::ConfirmEmpty);
    let end = rig.run();
    rig.kill();
    rig.turn();
    assert_eq!(rig.state(), end, "also by the next agent, and without asking libvirt again");
    let response =
        SyncResponse { revision: 2, inventory_serial: None, operations: Vec::new(), guests: None, now: None };
    rig.agent().take(&response);
    assert!(rig.agent().request(Span::ZERO).operations.is_empty());
}

#[test]
fn a_retained_definition_stays_until_it_is_discarded() {
    let mut rig = Rig::running(reboot());
    rig.moved();
    let kept = rig.retained();
    assert_eq!(kept.len(), 1, "{kept:?}");
    rig.operation.id = drover_policies::ids::OperationId(uuid::Uuid::from_u128(0x10));
    let another = drover_policies::ids::OperationId(uuid::Uuid::from_u128(0x99));
    rig.operation.order = Order::DiscardRetained { server: SERVER, kept_by: Some(another) };
    rig.order();
    rig.pass(Span::seconds(5));
    assert_eq!(rig.retained(), kept, "what another operation retained is not its business");
    rig.operation.id = drover_policies::ids::OperationId(uuid::Uuid::from_u128(0x11));
    rig.operation.order = Order::DiscardRetained { server: SERVER, kept_by: Some(OPERATION) };
    rig.order();
    rig.pass(Span::seconds(5));
    assert_eq!(rig.retained(), Vec::<std::path::PathBuf>::new());
    let report = rig.agent().request(Span::ZERO).operations;
    assert!(report.iter().any(|report| report.state == OperationState::Discarded), "{report:?}");
    assert!(report.iter().all(|report| report.id != OPERATION), "the migration is no longer wanted");
}

#[test]
fn each_start_of_an_agent_is_counted() {
    let mut rig = Rig::running(Order::ConfirmEmpty);
    let first = rig.agent().request(Span::ZERO).incarnation;
    rig.kill();
    assert_eq!(rig.agent().request(Span::ZERO).incarnation, first + 1);
}
