//! Replicas that are kept up to date, and servers that are cut over with them.

use std::path::PathBuf;

use crate::common::{OPERATION, Rig, SERVER, host, live, reboot, server_facts};
use chrono::TimeDelta;
use drover_agent_api::{
    AbortBecause, Base, CutoverReplica, Destination, HoldReplica, IfFailed, IfRunning, Images, Operation,
    OperationState, Order, RebootMigrate, ReleaseReplica, ReplicaPeer, Replicate, Wish,
};
use drover_host_agent::hypervisor::simulated::{Condition, Fault, Guest};
use drover_policies::attempt::{FailureClass, LeftOff, Outcome, Phase, PowerOff};
use drover_policies::fleet::{
    Autostart, CertificateDigest, Disk, LocalStorage, Power, Reach, Replication, ServerFacts,
};
use drover_policies::ids::{Generation, OperationId, ReplicaId};
use drover_policies::replica::{
    Activity, Going, ImageFormat, Pace, ReplicaDisk, ReplicaStatus, RoundKind, Stage,
};
use drover_policies::time::{Clock, Span};
use uuid::Uuid;

pub const REPLICA: ReplicaId = ReplicaId(Uuid::from_u128(0x7e));
pub const CUTOVER: OperationId = OperationId(Uuid::from_u128(0xc0));

const SIZE: u64 = 10 << 30;
const PATH: &str = "/var/lib/libvirt/images/web-1.qcow2";

pub fn disks() -> Vec<ReplicaDisk> {
    vec![ReplicaDisk {
        target: "vda".into(),
        source: PATH.into(),
        path: PATH.into(),
        format: ImageFormat::Qcow2,
        becomes: None,
        virtual_bytes: SIZE,
    }]
}

pub fn peer() -> ReplicaPeer {
    ReplicaPeer {
        host: host("h2"),
        address: "h2:16520".into(),
        certificate: CertificateDigest("2".repeat(64)),
    }
}

pub fn pace() -> Pace {
    Pace {
        going: Going::On,
        far: Span::minutes(5),
        near: Span::seconds(10),
        opens_at: None,
        bandwidth: None,
        guest_percent: None,
        sync_now: 0,
    }
}

fn replicate() -> Order {
    Order::Replicate(Replicate {
        replica: REPLICA,
        server: SERVER,
        peer: peer(),
        disks: disks(),
        pace: pace(),
    })
}

pub fn with_replica(rounds: u64) -> RebootMigrate {
    let replica = CutoverReplica {
        replica: REPLICA,
        peer: peer(),
        disks: disks(),
        bandwidth: None,
        rounds,
        final_delta_within: Span::minutes(10),
        tail_within: Span::minutes(2),
    };
    match reboot() {
        Order::RebootMigrate(order) => RebootMigrate { replica: Some(replica), ..order },
        other => panic!("{other:?}"),
    }
}

pub fn local_facts(power: Power) -> ServerFacts {
    let disk = Disk {
        target: "vda".into(),
        source: PATH.into(),
        format: "qcow2".into(),
        virtual_bytes: Some(SIZE),
        allocated_bytes: Some(SIZE),
        reach: Reach::Local,
    };
    ServerFacts { disks: vec![disk], ..server_facts(power) }
}

fn hold(base: Base) -> HoldReplica {
    HoldReplica {
        replica: REPLICA,
        server: SERVER,
        source: host("h1"),
        source_certificate: CertificateDigest("1".repeat(64)),
        disks: disks(),
        base,
    }
}

/// Both hosts can hold replicas, and h2 holds one of the server, which is at h1.
pub fn held(order: Order, power: Power) -> Rig {
    let rig = Rig::new(order, local_facts(power), Guest::default());
    for name in ["h1", "h2"] {
        rig.fleet.change_host(&host(name), |facts| {
            let path = PathBuf::from("/var/lib/libvirt/images");
            let room = LocalStorage { path, total_bytes: 1 << 40, free_bytes: 1 << 39 };
            facts.replication = Some(Replication {
                address: format!("{name}:16520"),
                certificate: CertificateDigest(name[1..].repeat(64)),
                directories: vec![room],
            });
        });
    }
    rig.fleet.hypervisor(&host("h2")).replication().hold(&hold(Base::New)).expect("held");
    rig
}

/// A replica of it is being kept up to date.
pub fn replicating(power: Power) -> Rig {
    held(replicate(), power)
}

impl Rig {
    pub fn status(&self) -> ReplicaStatus {
        match self.state_of(OPERATION) {
            Some(OperationState::Replicating { status }) => status,
            other => panic!("the replica is not kept up to date: {other:?}"),
        }
    }

    pub fn run_until(&mut self, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        let limit = self.clock.now() + TimeDelta::days(1);
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(self.clock.now() < limit, "never {what}: {status:?}");
            self.turn();
        }
    }

    pub fn run_until_ready(&mut self) -> ReplicaStatus {
        self.run_until("ready", ReplicaStatus::is_ready)
    }

    /// The cutover is ordered beside the replication.
    pub fn cut_over(&mut self, order: RebootMigrate) {
        let (id, generation, order) = (CUTOVER, Generation::FIRST, Order::RebootMigrate(order));
        let cutover = Operation { id, generation, order, wish: Wish::Run };
        let replication = std::mem::replace(&mut self.operation, cutover);
        self.beside.push(replication);
        self.order();
    }

    pub fn ready_and_cut_over(&mut self) {
        self.run_until_ready();
        self.cut_over(with_replica(2));
    }

    fn wish_pace(&mut self, pace: Pace) {
        self.wish(Wish::Pace(pace));
    }
}

pub fn at(name: &str, power: Power) -> [(String, Power, Autostart); 1] {
    [(name.to_owned(), power, Autostart::Yes)]
}

#[test]
fn the_whole_disks_come_first_and_then_what_was_written_since() {
    let mut rig = replicating(Power::Running);
    let first = rig.run_until("a first round", |status| matches!(status.activity, Activity::Round(_)));
    assert_eq!(first.stage(), Stage::FirstCopy);
    assert!(rig.agent().is_busy(), "figures are told while a round runs");
    let half = rig.run_until("half", |status| status.initial_percent().is_some_and(|percent| percent > 50));
    assert!(!half.is_ready());
    let ready = rig.run_until_ready();
    let last = ready.last.expect("one has landed");
    assert_eq!((last.number, last.kind), (2, RoundKind::Incremental));
    assert!(last.sent_bytes < SIZE / 100, "only what was written meanwhile: {last:?}");
    let resting = rig.run_until("at rest", |status| matches!(status.activity, Activity::Resting { .. }));
    assert!(!rig.agent().is_busy(), "a replica at rest has nothing to tell again and again");
    assert_eq!(resting.dirty_rate / 1000, (1 << 20) / 1000);
    rig.pass(Span::seconds(60));
    assert!(rig.status().lag_bytes().is_some_and(|bytes| bytes >= 25 << 20), "{:?}", rig.status().backlog);
}

#[test]
fn rounds_come_closer_as_the_cutover_does_by_the_schedulers_clock() {
    let mut rig = replicating(Power::Running);
    rig.scheduler_ahead = TimeDelta::minutes(90);
    rig.order();
    rig.run_until_ready();
    rig.pass(Span::minutes(20));
    assert!((4..=8).contains(&rig.status().rounds), "{}", rig.status().rounds);
    let before = rig.status().rounds;
    let opens_at = Some(rig.clock.now() + rig.scheduler_ahead + TimeDelta::minutes(1));
    rig.wish_pace(Pace { opens_at, ..pace() });
    rig.pass(Span::minutes(2));
    assert!(rig.status().rounds >= before + 10, "{} {before}", rig.status().rounds);
}

#[test]
fn a_pause_lets_the_running_round_land_and_then_nothing_is_done_until_it_is_lifted() {
    let mut rig = replicating(Power::Running);
    rig.pass(Span::seconds(3));
    rig.wish_pace(Pace { going: Going::Paused, ..pace() });
    let paused = rig.run_until("paused", |status| status.activity == Activity::Paused);
    assert_eq!(paused.rounds, 1);
    rig.wish_pace(Pace { going: Going::Paused, sync_now: 1, ..pace() });
    rig.pass(Span::minutes(30));
    assert_eq!(rig.status().rounds, 1);
    rig.wish_pace(Pace { sync_now: 1, ..pace() });
    rig.run_until_ready();
}

#[test]
fn a_round_that_somebody_asks_for_is_done_at_once_and_once() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.pass(Span::seconds(30));
    let rounds = rig.status().rounds;
    rig.wish_pace(Pace { sync_now: 1, ..pace() });
    rig.pass(Span::seconds(2));
    assert_eq!(rig.status().rounds, rounds + 1);
    // What was asked for is known to have been done, also by an agent that has been replaced.
    rig.kill();
    rig.pass(Span::seconds(60));
    assert_eq!(rig.status().rounds, rounds + 1);
}

#[test]
fn the_bandwidth_of_a_running_round_can_be_changed() {
    let mut rig = replicating(Power::Running);
    rig.pass(Span::seconds(2));
    rig.wish_pace(Pace { bandwidth: Some(1 << 20), ..pace() });
    rig.pass(Span::minutes(2));
    let slow = rig.status();
    assert_eq!(slow.rounds, 0);
    assert!(matches!(&slow.activity, Activity::Round(figures) if figures.rate == 1 << 20), "{slow:?}");
    rig.wish_pace(pace());
    rig.pass(Span::seconds(20));
    assert!(rig.status().rounds > 0);
}

/// A server whose guest writes a lot is being replicated.
fn replicating_a_busy_one() -> Rig {
    let rig = replicating(Power::Running);
    rig.fleet.change_guest(SERVER, |guest| guest.disk_dirty_rate = 2 << 20);
    rig
}

/// How fast the first copy goes so long after it was begun, of a server that is cut over so much later.
fn rate_after(passed: Span, window: Option<TimeDelta>) -> u64 {
    let mut rig = replicating_a_busy_one();
    let opens_at = window.map(|window| rig.clock.now() + window);
    rig.wish_pace(Pace { opens_at, guest_percent: Some(85), ..pace() });
    rig.run_until("a first round", |status| matches!(status.activity, Activity::Round(_)));
    rig.pass(passed);
    match rig.status().activity {
        Activity::Round(figures) => figures.rate,
        other => panic!("it is over: {other:?}"),
    }
}

#[test]
fn a_copy_is_held_back_for_the_guest_unless_it_would_be_late() {
    let (soon, later) = (Span::seconds(5), Span::seconds(14));
    let held_back = rate_after(later, None);
    assert_eq!(rate_after(later, Some(TimeDelta::hours(3))), held_back);
    // It takes about a minute when it is held back.
    let almost = Some(TimeDelta::seconds(90));
    assert_eq!(rate_after(soon, almost), held_back);
    assert!(rate_after(later, almost) > held_back * 4);
    assert!(rate_after(soon, Some(TimeDelta::zero())) > held_back * 4);
}

#[test]
fn a_guest_that_was_given_way_to_is_left_alone_after_a_round_unless_that_would_be_late() {
    let begun_after_the_first_copy = |window: Option<TimeDelta>| {
        let mut rig = replicating_a_busy_one();
        let opens_at = window.map(|window| rig.clock.now() + window);
        rig.wish_pace(Pace { opens_at, guest_percent: Some(85), ..pace() });
        let first = rig.run_until("the first copy", |status| status.rounds == 1);
        let landed_at = rig.clock.now();
        rig.run_until("the next round", |status| matches!(status.activity, Activity::Round(_)));
        let took = first.last.map(|round| round.took).expect("it has landed");
        (took, Span::between(landed_at, rig.clock.now()))
    };
    let (took, waited) = begun_after_the_first_copy(None);
    assert!(waited.delta() + TimeDelta::seconds(2) >= took.delta(), "{took} and then {waited}");
    let (took, waited) = begun_after_the_first_copy(Some(TimeDelta::seconds(120)));
    assert!(waited <= Span::seconds(2), "{took} and then {waited}");
}

#[test]
fn a_guest_that_writes_little_holds_nothing_back() {
    let mut rig = replicating(Power::Running);
    rig.wish_pace(Pace { guest_percent: Some(85), ..pace() });
    rig.pass(Span::seconds(15));
    assert!(rig.status().rounds > 1);
}

#[test]
fn the_share_of_the_guest_can_be_changed_while_a_round_runs() {
    let mut rig = replicating_a_busy_one();
    rig.wish_pace(Pace { guest_percent: Some(85), ..pace() });
    rig.run_until("a first round", |status| matches!(status.activity, Activity::Round(_)));
    rig.wish_pace(pace());
    rig.pass(Span::seconds(15));
    assert!(rig.status().rounds > 0);
}

#[test]
fn a_replica_stalls_with_the_reason_and_goes_on_when_that_is_gone() {
    type Trouble = fn(&Rig, Condition);
    let troubles: [(Trouble, &str); 2] = [
        (
            |rig, condition| match condition {
                Condition::Down => rig.fleet.cut(&host("h1"), &host("h2")),
                Condition::Up => rig.fleet.heal(&host("h1"), &host("h2")),
            },
            "the link",
        ),
        (|rig, condition| rig.fleet.set_listener(&host("h2"), condition), "the other agent"),
    ];
    for (trouble, name) in troubles {
        let mut rig = replicating(Power::Running);
        rig.pass(Span::seconds(4));
        trouble(&rig, Condition::Down);
        let stalled = rig.run_until(name, |status| status.stage() == Stage::Stalled);
        assert_eq!(stalled.rounds, 0, "{name}: a round that was cut off has not landed");
        rig.pass(Span::minutes(60));
        match rig.run_until(name, |status| status.stage() == Stage::Stalled).activity {
            Activity::Stalled { since, next_at, .. } => {
                assert!(Span::between(since, rig.clock.now()) >= Span::minutes(59), "{name}");
                assert!(Span::between(rig.clock.now(), next_at) <= Span::minutes(1), "{name}: not given up");
            }
            other => panic!("{name}: {other:?}"),
        }
        trouble(&rig, Condition::Up);
        rig.run_until_ready();
    }
}

#[test]
fn a_round_that_does_not_fit_or_breaks_off_is_done_again() {
    for fault in [Fault::DestinationFull { host: host("h2") }, Fault::RoundFails { server: SERVER }] {
        let mut rig = replicating(Power::Running);
        rig.fleet.fault(fault);
        let stalled = rig.run_until("stalled", |status| status.stage() == Stage::Stalled);
        assert_eq!(stalled.rounds, 0);
        rig.run_until_ready();
    }
}

#[test]
fn an_aborted_replication_leaves_nothing_at_the_source_and_the_destination_is_told_by_its_own_order() {
    for passed in [Span::seconds(3), Span::minutes(3)] {
        let mut rig = replicating(Power::Running);
        rig.pass(passed);
        rig.wish(Wish::Abort { because: AbortBecause::Asked });
        rig.pass(Span::seconds(5));
        assert_eq!(rig.state_of(OPERATION), Some(OperationState::Stopped));
        let there = rig.fleet.hypervisor(&host("h2"));
        let release = ReleaseReplica { replica: REPLICA, images: Images::Delete };
        there.replication().release(&release).expect("released");
        assert_eq!(rig.fleet.replicas(&host("h2")), []);
        assert_eq!(rig.places(), at("h1", Power::Running));
    }
}

#[test]
fn a_server_that_is_deleted_ends_its_replication_and_a_live_migration_beside_one_is_refused() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    let (id, generation) = (CUTOVER, Generation::FIRST);
    rig.beside.push(Operation { id, generation, order: live(), wish: Wish::Run });
    rig.order();
    rig.pass(Span::seconds(1));
    match rig.state_of(CUTOVER) {
        Some(OperationState::Refused { failure }) => assert_eq!(failure.class, FailureClass::Busy),
        other => panic!("{other:?}"),
    }
    rig.fleet.owner_deletes(SERVER);
    rig.pass(Span::seconds(5));
    assert_eq!(rig.state_of(OPERATION), Some(OperationState::Stopped));
}

#[test]
fn the_disks_of_a_server_that_is_off_are_brought_over_as_well() {
    let mut rig = replicating(Power::Off);
    let ready = rig.run_until_ready();
    assert_eq!(ready.last.expect("one has landed").kind, RoundKind::Tail);
    rig.cut_over(with_replica(2));
    assert_eq!(rig.moved().power_off, Some(PowerOff::WasOff));
    assert_eq!(rig.places(), at("h2", Power::Off));
}

#[test]
fn a_server_is_cut_over_with_its_replica_and_its_old_disks_go_when_they_are_discarded() {
    let mut rig = replicating(Power::Running);
    rig.ready_and_cut_over();
    let moved = rig.moved();
    let tail = moved.tail.expect("what was written at last was read from its disks");
    assert_eq!((moved.power_off, moved.sent_bytes), (Some(PowerOff::GuestAgent), tail.sent_bytes));
    assert!(
        moved.downtime.is_some_and(|downtime| tail.took <= downtime && downtime < Span::seconds(10)),
        "{moved:?}"
    );
    assert_eq!(rig.phases, [Phase::FinalDelta, Phase::PowerOffSource], "those that last");
    assert_eq!(rig.places(), at("h2", Power::Running));
    rig.pass(Span::seconds(5));
    assert_eq!(rig.state_of(OPERATION), Some(OperationState::Stopped), "there is nothing more to bring over");
    assert_eq!(rig.fleet.disks(SERVER), [host("h1"), host("h2")]);
    rig.operation = Operation {
        id: OperationId(Uuid::from_u128(0xd1)),
        generation: Generation::FIRST,
        order: Order::DiscardRetained { server: SERVER, kept_by: Some(CUTOVER) },
        wish: Wish::Run,
    };
    rig.order();
    assert_eq!(rig.run(), OperationState::Discarded);
    assert_eq!(rig.fleet.disks(SERVER), [host("h2")]);
    assert_eq!(rig.retained(), Vec::<PathBuf>::new());
}

#[test]
fn a_server_is_taken_back_with_what_it_has_written_since_and_its_old_disks_are_the_base() {
    let mut rig = replicating(Power::Running);
    rig.ready_and_cut_over();
    rig.moved();
    rig.pass(Span::minutes(10));
    let back = ReplicaId(Uuid::from_u128(0xba));
    let (h1, h2) = (rig.fleet.hypervisor(&host("h1")), rig.fleet.hypervisor(&host("h2")));
    let release = ReleaseReplica { replica: REPLICA, images: Images::Keep };
    h2.replication().release(&release).expect("released");
    let order = HoldReplica { replica: back, source: host("h2"), ..hold(Base::Retained) };
    h1.replication().hold(&order).expect("held");
    let to_h1 = ReplicaPeer { host: host("h1"), address: "h1:16520".into(), ..peer() };
    let replicate =
        Replicate { replica: back, server: SERVER, peer: to_h1.clone(), disks: disks(), pace: pace() };
    let generation = Generation::FIRST;
    let operation =
        Operation { id: OPERATION, generation, order: Order::Replicate(replicate), wish: Wish::Run };
    let _ledger = rig.go_to(host("h2"), operation);
    let first = rig.run_until("a first round", |status| status.rounds == 1).last.expect("one has landed");
    assert_eq!(first.kind, RoundKind::Rescan);
    assert!(first.sent_bytes < SIZE / 10, "only what differs: {first:?}");
    rig.run_until_ready();
    let mut order = with_replica(2);
    order.destination =
        Destination { host: host("h1"), libvirt_uri: "qemu+tcp://h1/system".into(), migration_address: None };
    if let Some(replica) = &mut order.replica {
        (replica.replica, replica.peer) = (back, to_h1);
    }
    rig.cut_over(order);
    rig.moved();
    assert_eq!(rig.places(), at("h1", Power::Running));
}

#[test]
fn retained_disks_that_a_server_here_has_again_are_never_deleted() {
    let mut rig = replicating(Power::Running);
    rig.ready_and_cut_over();
    rig.moved();
    // Somebody has defined another server here that uses the old disk.
    let other = drover_policies::ids::ServerId(Uuid::from_u128(0x99));
    let facts = ServerFacts { id: other, name: "rescue".into(), ..local_facts(Power::Off) };
    rig.fleet.add_server(&host("h1"), facts, Guest::default());
    rig.operation = Operation {
        id: OperationId(Uuid::from_u128(0xd1)),
        generation: Generation::FIRST,
        order: Order::DiscardRetained { server: SERVER, kept_by: None },
        wish: Wish::Run,
    };
    rig.order();
    assert_eq!(rig.run(), OperationState::Discarded);
    assert_eq!(rig.fleet.disks(SERVER), [host("h1"), host("h2")]);
}

#[test]
fn a_replica_that_is_not_ready_or_in_whose_way_something_lies_touches_nothing() {
    let mut rig = held(Order::RebootMigrate(with_replica(2)), Power::Running);
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::NotBegun);
    assert!(text.contains("0 rounds"), "{text}");
    assert_eq!(rig.phases, [], "nothing is begun");

    let mut order = with_replica(0);
    if let Some(replica) = &mut order.replica {
        replica.replica = ReplicaId(Uuid::from_u128(0xff));
    }
    let mut rig = held(Order::RebootMigrate(order), Power::Running);
    assert_eq!(rig.stayed().0, FailureClass::RefusedByDestination);
    assert_eq!(rig.phases, [], "nothing is begun");
}

#[test]
fn in_an_emergency_the_whole_disks_are_copied_as_a_part_of_the_cutover() {
    for (power, by) in [(Power::Running, PowerOff::GuestAgent), (Power::Off, PowerOff::WasOff)] {
        let mut rig = held(Order::RebootMigrate(with_replica(0)), power);
        assert_eq!(rig.moved().power_off, Some(by));
        assert_eq!(rig.places(), at("h2", power));
    }
}

#[test]
fn a_failure_before_the_target_has_booted_brings_the_source_back_and_the_next_try_sends_only_what_differs() {
    let tail = || Fault::TailFails { server: SERVER };
    let cases = [
        vec![tail(), tail(), tail()],
        vec![Fault::PutInPlaceFails { host: host("h2") }],
        vec![Fault::DefineFails { host: host("h2") }],
    ];
    for faults in cases {
        let mut rig = replicating(Power::Running);
        rig.run_until_ready();
        faults.iter().for_each(|fault| rig.fleet.fault(fault.clone()));
        rig.cut_over(with_replica(2));
        rig.stayed();
        assert_eq!(rig.places(), at("h1", Power::Running), "{faults:?}");
        assert_eq!(rig.fleet.disks(SERVER), [host("h1")], "{faults:?}: the images are a replica again");
        let rounds = rig.status().rounds;
        rig.pass(Span::minutes(6));
        let last = rig.status().last.expect("rounds go on");
        assert!(last.number > rounds && last.kind == RoundKind::Incremental, "{faults:?}: {last:?}");
        rig.operation.id = OperationId(Uuid::from_u128(0xc1));
        rig.order();
        rig.moved();
        assert_eq!(rig.places(), at("h2", Power::Running));
    }
}

#[test]
fn images_that_the_target_may_have_written_to_are_compared_before_the_next_try() {
    for fault in [Fault::StartFails { host: host("h2") }, Fault::DiskErrorOnBoot { host: host("h2") }] {
        let mut rig = replicating(Power::Running);
        rig.run_until_ready();
        rig.fleet.fault(fault.clone());
        rig.cut_over(with_replica(2));
        assert_eq!(rig.stayed().0, FailureClass::TargetDidNotBoot, "{fault:?}");
        assert_eq!(rig.places(), at("h1", Power::Running));
        let rounds = rig.run_until("going on", |status| status.stage() == Stage::Ready).rounds;
        let next =
            rig.run_until("another round", |status| status.rounds > rounds).last.expect("one has landed");
        assert_eq!(next.kind, RoundKind::Rescan, "{fault:?}");
    }
}

#[test]
fn a_link_that_is_cut_in_the_tail_costs_the_server_less_than_a_minute() {
    let mut rig = replicating(Power::Running);
    rig.ready_and_cut_over();
    rig.run_to_phase(Phase::PowerOffSource);
    rig.fleet.cut(&host("h1"), &host("h2"));
    let began = rig.clock.now();
    while rig.places() != at("h1", Power::Off).map(|(name, power, _)| (name, power, Autostart::No)) {
        rig.turn();
    }
    while rig.places() != at("h1", Power::Running) {
        rig.turn();
    }
    assert!(Span::between(began, rig.clock.now()) < Span::minutes(1));
    rig.stayed();
    rig.fleet.heal(&host("h1"), &host("h2"));
    rig.pass(Span::minutes(10));
    assert_eq!(rig.status().stage(), Stage::Ready);
}

#[test]
fn a_tail_that_takes_too_long_is_given_up() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    let mut order = with_replica(2);
    if let Some(replica) = &mut order.replica {
        replica.tail_within = Span::seconds(20);
        replica.final_delta_within = Span::minutes(60);
        replica.bandwidth = Some(64 << 10);
    }
    rig.fleet.change_guest(SERVER, |guest| guest.disk_dirty_rate = 4 << 20);
    rig.cut_over(order);
    let (class, text) = rig.stayed();
    assert_eq!(class, FailureClass::LostOnTheWay, "{text}");
    assert_eq!(rig.places(), at("h1", Power::Running));
}

#[test]
fn policy_may_leave_a_server_off_that_could_not_be_cut_over_but_not_one_whose_cutover_was_aborted() {
    let leave_off = || RebootMigrate { if_failed: IfFailed::LeaveOff, ..with_replica(2) };
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.fleet.fault(Fault::PutInPlaceFails { host: host("h2") });
    rig.cut_over(leave_off());
    let Outcome::StayedAtSource { left_off, .. } = rig.outcome() else { panic!("it stays") };
    let was = LeftOff { autostart: Autostart::Yes };
    assert_eq!(left_off, Some(was));
    // Nor does it come up with its host.
    assert_eq!(rig.places(), [("h1".to_owned(), Power::Off, Autostart::No)]);

    // The next try knows that it is off by our doing.
    let again = RebootMigrate { left_off: Some(was), if_running: IfRunning::LeaveAlone, ..leave_off() };
    rig.operation.order = Order::RebootMigrate(again);
    rig.operation.id = OperationId(Uuid::from_u128(0xc1));
    rig.order();
    assert_eq!(rig.moved().power_off, Some(PowerOff::WasOff));
    assert_eq!(rig.places(), at("h2", Power::Running));

    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.cut_over(leave_off());
    rig.run_to_phase(Phase::PowerOffSource);
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(rig.stayed().0, FailureClass::Aborted);
    assert_eq!(rig.places(), at("h1", Power::Running));
}

#[test]
fn a_cutover_waits_for_the_replicas_own_round_and_its_final_delta_can_be_called_off() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.fleet.change_guest(SERVER, |guest| guest.disk_dirty_rate = 100 << 20);
    rig.pass(Span::minutes(4));
    rig.operation.generation = rig.operation.generation.next();
    rig.operation.wish = Wish::Pace(Pace { sync_now: 1, bandwidth: Some(256 << 20), ..pace() });
    rig.order();
    rig.run_until("in a round", |status| matches!(status.activity, Activity::Round(_)));
    let rounds = rig.status().rounds;
    rig.cut_over(with_replica(2));
    rig.run_to_phase(Phase::FinalDelta);
    rig.pass(Span::seconds(2));
    assert_eq!(rig.phase(), Some(Phase::FinalDelta));
    assert!(matches!(rig.status().activity, Activity::Round(_)), "it is not cut off");
    rig.run_until("resting", |status| status.activity == Activity::CuttingOver);
    assert_eq!(rig.status().rounds, rounds + 1, "its end is told to whoever began it");
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(rig.stayed().0, FailureClass::Aborted);
    assert_eq!(rig.places(), at("h1", Power::Running));
}

#[test]
fn an_owner_who_starts_his_server_in_the_tail_has_it_powered_off_and_read_again() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    let mut order = with_replica(2);
    if let Some(replica) = &mut order.replica {
        replica.bandwidth = Some(1 << 20);
    }
    rig.cut_over(order);
    rig.run_to_phase(Phase::PowerOffSource);
    while rig.places()[0].1 != Power::Off {
        rig.turn();
    }
    rig.fleet.owner_starts(SERVER);
    rig.pass(Span::seconds(2));
    rig.moved();
    assert_eq!(rig.places(), at("h2", Power::Running));
}

#[test]
fn what_an_owner_writes_between_the_tail_and_the_fence_is_read_as_well() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    let mut order = with_replica(2);
    if let Some(replica) = &mut order.replica {
        replica.bandwidth = Some(1 << 20);
    }
    rig.cut_over(order);
    rig.run_to_phase(Phase::PowerOffSource);
    while rig.places()[0].1 != Power::Off {
        rig.turn();
    }
    while !matches!(rig.state(), OperationState::Running { progress } if progress.remaining_bytes > 0) {
        rig.turn();
    }
    // The tail lands while libvirt is away from its agent, but not from its owner.
    rig.fleet.set_daemon(&host("h1"), Condition::Down);
    rig.pass(Span::seconds(30));
    rig.fleet.owner_starts(SERVER);
    rig.pass(Span::seconds(7));
    rig.fleet.owner_stops(SERVER);
    rig.fleet.set_daemon(&host("h1"), Condition::Up);
    rig.moved();
    assert_eq!(rig.places(), at("h2", Power::Running));
}

#[test]
fn the_destinations_orders_are_answered_or_refused_with_what_is_in_the_way() {
    let mut rig = held(Order::ConfirmEmpty, Power::Running);
    let mut ask = |order: Order, id: u128| {
        let (id, generation) = (OperationId(Uuid::from_u128(id)), Generation::FIRST);
        rig.operation = Operation { id, generation, order, wish: Wish::Run };
        rig.order();
        rig.run()
    };
    // At h1 the server's own disk lies where the replica would be.
    match ask(Order::HoldReplica(hold(Base::New)), 1) {
        OperationState::Refused { failure } => {
            assert_eq!(failure.class, FailureClass::RefusedByDestination);
            assert!(failure.text.contains(PATH), "{}", failure.text);
        }
        other => panic!("{other:?}"),
    }
    let release = ReleaseReplica { replica: REPLICA, images: Images::Delete };
    assert_eq!(ask(Order::ReleaseReplica(release), 2), OperationState::Released);
    assert!(matches!(
        ask(reboot(), 3),
        OperationState::Ended { outcome: Outcome::StayedAtSource { .. }, .. }
    ));
}
