//! Test launches: beside the replication, ended by many, and gone without a trace.

use crate::common::{OPERATION, Rig, SERVER, destination, host};
use crate::warm::{REPLICA, replicating};
use drover_agent_api::{
    AbortBecause, Destination, Images, Operation, OperationState, Order, ReleaseReplica, TestLaunch, Wish,
};
use drover_host_agent::hypervisor::simulated::{Fault, Moment};
use drover_policies::blueprint::Blueprint;
use drover_policies::fleet::Power;
use drover_policies::ids::{Generation, OperationId, ServerId};
use drover_policies::replica::{EndOfTest, Seen, TestNetwork, TestStatus, TestStep};
use drover_policies::time::Span;
use uuid::Uuid;

const TEST: OperationId = OperationId(Uuid::from_u128(0x7e57));
const GUEST: ServerId = ServerId(Uuid::from_u128(0x6e57));

fn launch(guest: ServerId) -> TestLaunch {
    TestLaunch {
        replica: REPLICA,
        server: SERVER,
        guest,
        source: Destination { host: host("h1"), libvirt_uri: "qemu+tcp://h1/system".into(), ..destination() },
        network: TestNetwork::Nowhere,
        ttl: Span::hours(24),
        within: Span::minutes(2),
        look: None,
        blueprint: Blueprint::default(),
    }
}

/// A ready replica at h2, whose agent is asked for a test.
fn testing(order: TestLaunch) -> Rig {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.go_to(host("h2"), operation(TEST, order));
    rig.order();
    rig
}

fn operation(id: OperationId, order: TestLaunch) -> Operation {
    Operation { id, generation: Generation::FIRST, order: Order::TestLaunch(order), wish: Wish::Run }
}

impl Rig {
    fn test(&self) -> TestStatus {
        match self.state() {
            OperationState::Testing { status } => status,
            other => panic!("no test goes on: {other:?}"),
        }
    }

    fn run_to_running(&mut self) -> TestStatus {
        for _ in 0..10_000 {
            let status = self.test();
            if status.step == TestStep::Running {
                return status;
            }
            self.turn();
        }
        panic!("the test never ran: {:?}", self.state());
    }

    fn ended(&mut self) -> EndOfTest {
        for _ in 0..100_000 {
            if let OperationState::Tested { because, .. } = self.state() {
                return because;
            }
            self.turn();
        }
        panic!("the test has not ended: {:?}", self.state());
    }

    /// Names of the domains at h2.
    fn left_at_h2(&self) -> Vec<String> {
        let left = self.fleet.hypervisor(&host("h2")).left().expect("told");
        left.into_iter().map(|left| left.name).collect()
    }
}

#[test]
fn a_test_guest_runs_beside_its_server_and_is_nobodys_server() {
    let mut rig = testing(launch(GUEST));
    let status = rig.run_to_running();
    assert_eq!(
        (status.name.as_deref(), status.point.map(|point| point.round)),
        (Some("web-1-test"), Some(2))
    );
    let Some(Seen::Alive { answered_after: Some(after), .. }) = status.seen else {
        panic!("{:?}", status.seen)
    };
    assert!(after > Span::ZERO, "a guest boots");
    assert!(status.console.is_some() && status.until.is_some());
    let observed = rig.fleet.hypervisor(&host("h2")).observe().expect("told");
    assert_eq!(observed.servers, []);
    assert_eq!(observed.host.memory_bytes, 64 << 30, "what it takes is held there for its server already");
    assert!(!rig.agent().is_busy());
    rig.wish(Wish::Abort { because: AbortBecause::Asked });
    assert_eq!(rig.ended(), EndOfTest::Asked);
    assert_eq!(rig.left_at_h2(), [] as [&str; 0]);
    assert_eq!(rig.fleet.violations(), [] as [&str; 0]);
}

#[test]
fn its_time_is_over_or_somebody_switches_it_off() {
    let mut rig = testing(TestLaunch { ttl: Span::hours(2), ..launch(GUEST) });
    rig.run_to_running();
    rig.pass(Span::minutes(119));
    assert_eq!(rig.test().step, TestStep::Running);
    assert_eq!(rig.ended(), EndOfTest::Expired);
    let mut rig = testing(launch(GUEST));
    rig.run_to_running();
    rig.fleet.hypervisor(&host("h2")).here().destroy(GUEST).expect("switched off");
    assert_eq!(rig.ended(), EndOfTest::WentOff);
    assert_eq!(rig.left_at_h2(), [] as [&str; 0]);
}

#[test]
fn one_that_can_not_be_started_leaves_nothing() {
    let mut rig = replicating(Power::Running);
    rig.run_until_ready();
    rig.fleet.fault(Fault::StartFails { host: host("h2") });
    rig.go_to(host("h2"), operation(TEST, launch(GUEST)));
    rig.order();
    assert!(matches!(rig.ended(), EndOfTest::Failed { .. }));
    assert_eq!(rig.left_at_h2(), [] as [&str; 0]);
}

#[test]
fn a_new_test_ends_the_one_before_and_so_does_the_release_of_the_replica() {
    let mut rig = testing(launch(GUEST));
    rig.run_to_running();
    // The agent's ledger is lost with its disk: nobody knows of the first test but the replica's record.
    let other = ServerId(Uuid::from_u128(0x6e58));
    rig.go_to(host("h2"), operation(OPERATION, launch(other)));
    rig.order();
    rig.run_to_running();
    assert_eq!(rig.left_at_h2(), ["web-1-test"]);
    let port = rig.fleet.hypervisor(&host("h2"));
    assert!(port.here().find(GUEST).expect("told").is_none());
    port.replication()
        .release(&ReleaseReplica { replica: REPLICA, images: Images::Delete })
        .expect("released");
    assert_eq!(rig.left_at_h2(), [] as [&str; 0]);
    assert_eq!(rig.ended(), EndOfTest::WentOff);
}

#[test]
fn a_kill_at_any_call_leaves_a_test_that_runs_or_none() {
    for moment in [Moment::Before, Moment::After] {
        let mut survived = 0;
        for n in 1..200 {
            let mut rig = replicating(Power::Running);
            rig.run_until_ready();
            rig.fleet.kill_agent_at_call(&host("h2"), n, moment);
            rig.go_to(host("h2"), operation(TEST, launch(GUEST)));
            rig.order();
            rig.run_to_running();
            rig.wish(Wish::Abort { because: AbortBecause::Asked });
            assert_eq!(rig.ended(), EndOfTest::Asked, "killed {moment:?} call {n}");
            // Not asked of the port: that would be a call at which the agent is killed.
            assert_eq!(rig.fleet.places(GUEST), [], "killed {moment:?} call {n}");
            survived = n;
            if rig.kills == 0 {
                break;
            }
        }
        assert!((5..199).contains(&survived), "{survived}");
    }
}
