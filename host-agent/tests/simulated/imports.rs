//! An import as an operation: its log is told line by line whatever is killed, and whoever calls it off finds nothing left.

use std::collections::BTreeMap;

use drover_agent_api::{AbortBecause, ImportServer, Operation, OperationState, Order, Wish};
use drover_host_agent::hypervisor::importing::Cleared;
use drover_host_agent::hypervisor::simulated::{Fault, Guest, Moment};
use drover_policies::attempt::FailureClass;
use drover_policies::fleet::{Ability, Power};
use drover_policies::ids::{Generation, ImportId, OperationId, ServerId};
use drover_policies::import::{Begin, Description, ImportEnd, LogLine, Start, Step, Written};
use uuid::Uuid;

use crate::common::{Rig, host, live, server_facts};

const IMPORT: OperationId = OperationId(Uuid::from_u128(0x1a));
const LEGACY: ServerId = ServerId(Uuid::from_u128(0x1e));

/// More than an import makes; the loops end by themselves as soon as a run was not killed any more.
const MOST_CALLS: u64 = 2_000;

fn order(begin: Begin, start: Start) -> ImportServer {
    let text = "[import]\nname = \"legacy\"\nmemory_mib = 1024\nvcpus = 1\n\
        [[disk]]\ntarget = \"vda\"\nsource = \"/in/a.vmdk\"\npath = \"/images/a.qcow2\"\nsize_mib = 2048\n";
    let written: Written = toml::from_str(text).expect("understood");
    let description: Description = written.try_into().expect("good");
    ImportServer { import: ImportId(Uuid::from_u128(1)), server: LEGACY, description, begin, start }
}

fn operation(id: OperationId, order: ImportServer) -> Operation {
    Operation { id, generation: Generation::FIRST, order: Order::Import(order), wish: Wish::Run }
}

/// An agent at h2 that is ordered to import; what ran at h1 does not matter.
fn importing(start: Start) -> Rig {
    let mut rig = Rig::new(live(), server_facts(Power::Running), Guest::default());
    rig.fleet.change_host(&host("h2"), |facts| {
        facts.abilities.extend([Ability::Import, Ability::ReadForeignImages, Ability::FixGuests]);
    });
    rig.go_to(host("h2"), operation(IMPORT, order(Begin::Where, start)));
    rig
}

/// What was told of a log: a number stands for one line for ever.
#[derive(Default)]
struct Told(BTreeMap<u64, LogLine>);

impl Told {
    fn take(&mut self, log: &[LogLine], when: &str) {
        for line in log {
            let known = self.0.entry(line.number).or_insert_with(|| line.clone());
            assert_eq!(known, line, "{when}: line {} is another one now", line.number);
        }
    }

    fn texts(&self) -> Vec<&str> {
        self.0.values().map(|line| line.text.as_str()).collect()
    }
}

impl Rig {
    /// Drives the import to its end; every line that is told on the way is taken down.
    fn imported(&mut self, told: &mut Told, when: &str) -> ImportEnd {
        for _ in 0..100_000 {
            match self.state() {
                OperationState::Importing { status } => told.take(&status.log, when),
                OperationState::ImportEnded { end, log } => {
                    told.take(&log, when);
                    return end;
                }
                OperationState::Running { .. } => {}
                other => panic!("{when}: not the state of an import: {other:?}"),
            }
            self.turn();
        }
        panic!("{when}: the import has not ended: {:?}", self.state());
    }

    fn run_to_step(&mut self, wanted: Step) {
        for _ in 0..10_000 {
            if matches!(self.state(), OperationState::Importing { status } if status.step == wanted) {
                return;
            }
            self.turn();
        }
        panic!("never came to {wanted}: {:?}", self.state());
    }

    fn power_at_h2(&self) -> Option<Power> {
        self.fleet
            .places(LEGACY)
            .into_iter()
            .find(|place| place.host == host("h2"))
            .map(|place| place.state.power())
    }

    /// Whether nothing is left that clearing away would find.
    fn nothing_left(&self) -> bool {
        let imports = self.fleet.hypervisor(&host("h2"));
        !self.fleet.has_import(LEGACY)
            && imports.imports().clear(&order(Begin::Where, Start::No)) == Ok(Cleared::Gone)
    }
}

#[test]
fn an_import_tells_each_step_with_its_figures_and_the_converters_words() {
    let mut rig = importing(Start::Yes);
    rig.run_to_step(Step::Copy);
    let OperationState::Importing { status } = rig.state() else { panic!("it goes on") };
    assert_eq!(status.disks.first().map(|disk| disk.total_bytes), Some(2 << 30));
    let mut told = Told::default();
    let end = rig.imported(&mut told, "undisturbed");
    assert!(matches!(end, ImportEnd::Defined { .. }), "{end:?}");
    assert_eq!(rig.power_at_h2(), Some(Power::Running));
    let texts = told.texts();
    for line in [
        "copying the disks",
        "copying the disks: done in 20s, 2048 MiB",
        "Starting converters",
        "Finished starting converters",
        "defining the server: done in 200ms",
        "booting the server",
    ] {
        assert!(texts.contains(&line), "{line} is not in {texts:#?}");
    }
    let numbers: Vec<u64> = told.0.keys().copied().collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no line is left out");
}

#[test]
fn an_import_survives_a_kill_at_every_call_and_no_line_is_told_as_another() {
    for moment in [Moment::Before, Moment::After] {
        let mut last = 0;
        for n in 1..MOST_CALLS {
            let mut rig = importing(Start::No);
            rig.fleet.kill_agent_at_call(&host("h2"), n, moment);
            let (mut told, when) = (Told::default(), format!("killed {moment:?} call {n}"));
            let end = rig.imported(&mut told, &when);
            assert!(matches!(end, ImportEnd::Defined { .. }), "{when}: {end:?}");
            assert_eq!(rig.power_at_h2(), Some(Power::Off), "{when}");
            last = n;
            if rig.kills == 0 {
                break;
            }
        }
        assert!(last > 10 && last < MOST_CALLS - 1, "the agent makes more calls than {last}, and ends");
    }
}

#[test]
fn called_off_at_every_call_it_leaves_nothing_or_is_done() {
    let mut ends = (0, 0);
    for n in (1..400).step_by(3) {
        let mut rig = importing(Start::No);
        while rig.fleet.calls(&host("h2")) < n
            && matches!(rig.state(), OperationState::Running { .. } | OperationState::Importing { .. })
        {
            rig.turn();
        }
        rig.fleet.kill_agent_at_call(&host("h2"), 2, Moment::After);
        rig.wish(Wish::Abort { because: AbortBecause::Asked });
        match rig.imported(&mut Told::default(), "called off") {
            ImportEnd::Cancelled => {
                assert!(rig.power_at_h2().is_none() && rig.nothing_left(), "something is left of {n}");
                ends.0 += 1;
            }
            ImportEnd::Defined { .. } => {
                assert_eq!(rig.power_at_h2(), Some(Power::Off));
                ends.1 += 1;
            }
            ImportEnd::Failed { failure } => panic!("{n}: {failure}"),
        }
    }
    assert!(ends.0 > 10 && ends.1 > 0, "both ends have come: {ends:?}");
}

#[test]
fn a_failed_one_is_taken_up_by_the_next_order_and_an_order_that_begins_called_off_clears_it_away() {
    let mut rig = importing(Start::No);
    rig.fleet.fault(Fault::ConversionFails { host: host("h2") });
    let end = rig.imported(&mut Told::default(), "the converter fails");
    let ImportEnd::Failed { failure } = end else { panic!("{end:?}") };
    assert_eq!(failure.class, FailureClass::Unexpected);
    assert!(rig.fleet.has_import(LEGACY), "the copy is kept");
    let mut told = Told::default();
    rig.fleet.fault(Fault::ConversionFails { host: host("h2") });
    rig.go_to(host("h2"), operation(OperationId(Uuid::from_u128(0x1b)), order(Begin::Where, Start::No)));
    rig.imported(&mut told, "the next order");
    assert!(!told.texts().contains(&"copying the disks"), "{:#?}", told.texts());
    let clearing = Operation {
        wish: Wish::Abort { because: AbortBecause::Asked },
        ..operation(OperationId(Uuid::from_u128(0x1c)), order(Begin::Where, Start::No))
    };
    rig.go_to(host("h2"), clearing);
    assert_eq!(rig.imported(&mut Told::default(), "cleared away"), ImportEnd::Cancelled);
    assert!(rig.nothing_left());
}

#[test]
fn one_that_begins_anew_copies_again_and_what_is_in_the_way_is_told_before_anything_is_touched() {
    let mut rig = importing(Start::No);
    rig.fleet.fault(Fault::ConversionFails { host: host("h2") });
    rig.imported(&mut Told::default(), "the converter fails");
    rig.go_to(host("h2"), operation(OperationId(Uuid::from_u128(0x1b)), order(Begin::Anew, Start::No)));
    let mut told = Told::default();
    assert!(matches!(rig.imported(&mut told, "anew"), ImportEnd::Defined { .. }));
    assert!(told.texts().contains(&"copying the disks"), "{:#?}", told.texts());

    let mut rig = importing(Start::No);
    rig.fleet.fault(Fault::ImportInTheWay { host: host("h2"), text: "/images/a.qcow2 is there".into() });
    let end = rig.imported(&mut Told::default(), "in the way");
    let ImportEnd::Failed { failure } = end else { panic!("{end:?}") };
    assert_eq!(failure.class, FailureClass::RefusedByDestination);
    assert!(failure.text.contains("/images/a.qcow2 is there"));
}

#[test]
fn an_agent_that_is_not_told_from_where_it_may_import_says_so() {
    let mut rig = importing(Start::No);
    rig.fleet.change_host(&host("h2"), |facts| {
        facts.abilities.remove(&Ability::ReadForeignImages);
    });
    let end = rig.imported(&mut Told::default(), "not configured");
    let ImportEnd::Failed { failure } = end else { panic!("{end:?}") };
    assert!(failure.text.contains("[import] sources"), "{failure}");
}
