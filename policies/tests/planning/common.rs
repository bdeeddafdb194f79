//! Planning with the checks that every example makes first.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::blueprint::Blueprints;
use drover_policies::check::check;
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::placement::Reservation;
use drover_policies::plan::{Decision, Plan, Planned, difference};
use drover_policies::planner::{Input, Kept, Report, plan};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, host_name};
use drover_policies::time::Instant;

/// Where servers stay as they are.
pub static NO_BLUEPRINTS: Blueprints = Blueprints::new();
pub static NO_HOSTS: BTreeSet<HostName> = BTreeSet::new();

/// The shipped policy.
pub fn policies() -> PolicySet {
    policies_with("")
}

/// The shipped policy, changed by a file.
pub fn policies_with(file: &str) -> PolicySet {
    PolicySet::parse(&[("test.toml", file)]).expect("a sound policy")
}

/// A situation to plan in.
pub struct Case {
    pub now: Instant,
    pub fleet: Fleet,
    pub policies: PolicySet,
    pub emptying: BTreeSet<HostName>,
    pub reservations: Vec<Reservation>,
    pub kept: BTreeMap<ServerId, Kept>,
}

impl Case {
    pub fn new(fleet: Fleet, emptying: &[&str]) -> Self {
        Self {
            now: NOON,
            fleet,
            policies: policies(),
            emptying: emptying.iter().map(|host| host_name(host)).collect(),
            reservations: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Plans, and asserts what must hold of every plan: planning again with its outcome changes nothing, and the check finds nothing.
    pub fn plan(&self) -> (Plan, Report) {
        let made = self.plan_with(&self.reservations, &self.kept);
        let mut reservations: Vec<Reservation> = self.reservations.clone();
        let anew: BTreeSet<ServerId> = made.0.reservations().iter().map(|place| place.server).collect();
        reservations.retain(|place| !anew.contains(&place.server));
        reservations.extend(made.0.reservations());
        let mut kept = self.kept.clone();
        for planned in made.0.servers() {
            if !matches!(kept.get(&planned.server), Some(Kept::UnderWay { .. })) {
                kept.insert(planned.server, decided(planned));
            }
        }
        // With what the plan holds, with what it settled, and with both. What was settled before it is no longer so.
        let under_way: BTreeMap<ServerId, Kept> = self
            .kept
            .iter()
            .filter(|(_, kept)| matches!(kept, Kept::UnderWay { .. }))
            .map(|(server, kept)| (*server, kept.clone()))
            .collect();
        let settled_methods = self.kept.len() > under_way.len();
        let first = if settled_methods { &kept } else { &under_way };
        for (reservations, kept) in
            [(&reservations, first), (&reservations, &kept), (&self.reservations, &kept)]
        {
            let again = self.plan_with(reservations, kept);
            let difference = difference(&made.0, &again.0);
            assert!(difference.is_empty(), "planning twice makes a difference:\n{difference}");
        }
        made
    }

    fn plan_with(&self, reservations: &[Reservation], kept: &BTreeMap<ServerId, Kept>) -> (Plan, Report) {
        let history = BTreeMap::new();
        let input = Input {
            now: self.now,
            fleet: &self.fleet,
            policies: &self.policies,
            emptying: &self.emptying,
            doomed: &NO_HOSTS,
            reservations,
            kept,
            history: &history,
            blueprints: &NO_BLUEPRINTS,
        };
        let made = plan(&input);
        assert_eq!(check(&input, &made.0), []);
        made
    }
}

fn decided(planned: &Planned) -> Kept {
    let (to, reboot) = (planned.decision.to().cloned(), planned.decision.why_not_live().cloned());
    Kept::Decided { to, reboot, why: None }
}

/// What a plan says of a server.
pub fn decision<'a>(plan: &'a Plan, name: &str) -> &'a Decision {
    &planned(plan, name).decision
}

/// What a plan says of a server.
pub fn planned<'a>(plan: &'a Plan, name: &str) -> &'a Planned {
    plan.servers().find(|planned| planned.name == name).expect("the plan names every server of the example")
}

/// Where a plan sends a server.
pub fn to<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    decision(plan, name).to().map(HostName::as_str)
}
