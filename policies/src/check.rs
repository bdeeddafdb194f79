//! What must hold of every plan, whoever made it.
//!
//! Looked for straight in the fleet's facts and not by way of [`crate::placement`], so that a mistake there is found here. A migration
//! that is under way is not judged: it was begun when the facts were others, and nothing can change it.

mod capacity;
mod company;

use std::collections::{BTreeMap, BTreeSet};

use crate::attempt::Method;
use crate::eligibility::{Interruption, WhyNotLive};
use crate::fleet::{Allowance, Blocker, GuestCpu, Host, Power, Reach, Server};
use crate::ids::{HostName, ServerId};
use crate::plan::{Agreement, Decision, Plan, Planned};
use crate::planner::{Input, Kept};
use crate::policy::Policy;
use crate::time::Span;

/// Something in a plan that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A server on a host to be emptied is left out.
    #[error("server {0} is on a host to be emptied and the plan leaves it out")]
    Missing(ServerId),
    /// A server is planned for more than once.
    #[error("server {0} is planned for more than once")]
    Twice(ServerId),
    /// A server that isn't seen on the host that it is to leave, or that host is not to be emptied.
    #[error("server {server} is planned to leave {from}, where it is not, or which is not to be emptied")]
    Stranger {
        /// The server.
        server: ServerId,
        /// The host that it is to leave.
        from: HostName,
    },
    /// The place to be held is another than the decision's.
    #[error("the place held for server {0} is not where it goes")]
    OtherPlace(ServerId),
    /// A destination that takes no servers.
    #[error("server {server} goes to {to}, which {why}")]
    ClosedDestination {
        /// The server.
        server: ServerId,
        /// Where to.
        to: HostName,
        /// Why that won't do.
        why: Closed,
    },
    /// A destination that can't run the server.
    #[error("server {server} goes to {to}, which has not the right {lacks}")]
    UnfitDestination {
        /// The server.
        server: ServerId,
        /// Where to.
        to: HostName,
        /// What it lacks.
        lacks: Lacks,
    },
    /// A server is moved although something on it stands against that.
    #[error("server {server} is moved by {method}, though {against}")]
    UnfitServer {
        /// The server.
        server: ServerId,
        /// By which method.
        method: Method,
        /// What stands against it.
        against: &'static str,
    },
    /// Downtime that nobody is asked for.
    #[error("server {0} is to be rebooted without anybody's agreement")]
    NobodyAsked(ServerId),
    /// More memory than the host has, with everything moved at once.
    #[error("{host} would need {used} bytes of memory and has {has}")]
    Memory {
        /// The host.
        host: HostName,
        /// Needed.
        used: u64,
        /// There.
        has: u64,
    },
    /// More virtual processors than overcommit allows, with everything moved at once.
    #[error("{host} would carry {used} vCPUs and may carry {has}")]
    Vcpus {
        /// The host.
        host: HostName,
        /// Needed.
        used: u64,
        /// Allowed.
        has: u64,
    },
    /// More of a resource that operators name than the host has, with everything moved at once.
    #[error("{host} would need {used} of {name} and has {has}")]
    Resource {
        /// The host.
        host: HostName,
        /// Which resource.
        name: String,
        /// Needed.
        used: u64,
        /// There.
        has: u64,
    },
    /// Two servers of one name on one host.
    #[error("two servers called {name} would be on {host}")]
    Name {
        /// The host.
        host: HostName,
        /// The name.
        name: String,
    },
    /// Two servers of an anti-affinity group on one host.
    #[error("two servers of anti-affinity group {group} would be on {host}")]
    AntiAffinity {
        /// The host.
        host: HostName,
        /// The group.
        group: String,
    },
    /// An affinity group is torn apart.
    #[error("affinity group {group} would be torn apart: server {server} goes elsewhere than the others")]
    Affinity {
        /// The server.
        server: ServerId,
        /// The group.
        group: String,
    },
}

/// Why a destination takes no servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// Nobody ever told of it.
    #[error("is not known")]
    Unknown,
    /// The server is there already.
    #[error("is where it is")]
    Source,
    /// It is to be emptied.
    #[error("is to be emptied")]
    Emptied,
    /// Its standing.
    #[error("is cordoned, draining or drained")]
    NotOpen,
    /// Its agent.
    #[error("is silent")]
    Silent,
}

/// What a destination lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lacks {
    /// The cluster.
    #[error("cluster")]
    Cluster,
    /// Architecture or model.
    #[error("processor")]
    Processor,
    /// The machine type.
    #[error("machine type")]
    MachineType,
    /// Some storage.
    #[error("storage")]
    Storage,
    /// libvirt's major version.
    #[error("libvirt")]
    Libvirt,
    /// A label that policy wants the same.
    #[error("label")]
    Label,
}

/// Everything in a plan that must not be. Empty for every plan that [`crate::planner::plan`] makes of the same input.
#[must_use]
pub fn check(input: &Input<'_>, plan: &Plan) -> Vec<Violation> {
    let mut found = census(input, plan);
    for planned in plan.servers() {
        let Some(server) = input.fleet.seen(&planned.from, planned.server) else { continue };
        if is_under_way(input, planned.server) {
            continue;
        }
        let policy = &input.policies.shared_of(server, input.fleet).policy;
        found.extend(manner(input, planned, server, policy));
        if let Some(to) = planned.decision.to() {
            found.extend(destination(input, planned, server, policy, to));
        }
    }
    found.extend(capacity::capacity(input, plan));
    found.extend(company::company(input, plan));
    found
}

fn is_under_way(input: &Input<'_>, server: ServerId) -> bool {
    matches!(input.kept.get(&server), Some(Kept::UnderWay { .. }))
}

/// Everybody once, and nobody else.
fn census(input: &Input<'_>, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut times: BTreeMap<ServerId, usize> = BTreeMap::new();
    for planned in plan.servers() {
        *times.entry(planned.server).or_default() += 1;
        let leaves = input.emptying.contains(&planned.from);
        if !leaves || input.fleet.seen(&planned.from, planned.server).is_none() {
            found.push(Violation::Stranger { server: planned.server, from: planned.from.clone() });
        }
        if planned.place.as_ref().map(|place| (place.server, &place.host))
            != planned.decision.to().map(|to| (planned.server, to))
        {
            found.push(Violation::OtherPlace(planned.server));
        }
    }
    found.extend(times.iter().filter(|(_, times)| **times > 1).map(|(server, _)| Violation::Twice(*server)));
    let there: BTreeSet<ServerId> =
        input.emptying.iter().flat_map(|host| input.fleet.on(host)).map(|server| server.facts.id).collect();
    found.extend(there.into_iter().filter(|id| !times.contains_key(id)).map(Violation::Missing));
    found
}

/// Whether the server may be moved in this way at all.
fn manner(input: &Input<'_>, planned: &Planned, server: &Server, policy: &Policy) -> Vec<Violation> {
    let facts = &server.facts;
    let method = match &planned.decision {
        Decision::Live { .. } => Method::Live,
        Decision::Reboot { .. } => Method::Reboot,
        Decision::Blocked { .. } | Decision::NoPlace { .. } => return Vec::new(),
    };
    let mut against = Vec::new();
    for disk in &facts.disks {
        match disk.reach {
            Reach::Local => against.push("a disk is only on its own host"),
            Reach::Shared { .. } | Reach::Empty => {}
        }
    }
    for blocker in &facts.blockers {
        match blocker {
            Blocker::HostDevice { .. } => against.push("a host device is handed through"),
            Blocker::Snapshots { .. } => against.push("libvirt keeps snapshots of it"),
            Blocker::SharedFilesystem { .. } => against.push("a host directory is shared into it"),
            Blocker::BlockJob { .. } | Blocker::UnsafeCache { .. } if method == Method::Live => {
                against.push("a disk's job or cache mode forbids it");
            }
            Blocker::LostByLibvirt if method == Method::Live => against.push("libvirt takes it for off"),
            Blocker::BlockJob { .. } | Blocker::UnsafeCache { .. } | Blocker::LostByLibvirt => {}
        }
    }
    match (facts.power, method) {
        (Power::Held | Power::Arriving | Power::Crashed, _) => against.push("it is no state to act on"),
        (Power::Off | Power::Paused, Method::Live) => against.push("it doesn't run"),
        (Power::Running, _) | (Power::Off | Power::Paused, Method::Reboot) => {}
    }
    let forbidden = match facts.rules.live_migration {
        Some(Allowance::Forbidden) => true,
        Some(Allowance::Allowed) => false,
        None => !policy.live.allowed,
    };
    if method == Method::Live && forbidden {
        against.push("its owner or policy forbids it");
    }
    if input.fleet.sightings_of(facts.id).count() > 1 {
        against.push("it is seen on two hosts");
    }
    let mut found: Vec<Violation> = against
        .into_iter()
        .map(|against| Violation::UnfitServer { server: facts.id, method, against })
        .collect();
    let felt = planned.decision.why_not_live().map(WhyNotLive::interruption) == Some(Interruption::Felt);
    if felt && planned.agreement == Agreement::NotNeeded {
        found.push(Violation::NobodyAsked(facts.id));
    }
    found
}

/// Whether the destination takes servers, and this one.
fn destination(
    input: &Input<'_>,
    planned: &Planned,
    server: &Server,
    policy: &Policy,
    to: &HostName,
) -> Vec<Violation> {
    let closed = |why| Violation::ClosedDestination { server: planned.server, to: to.clone(), why };
    let Some(here) = input.fleet.hosts.get(to) else { return vec![closed(Closed::Unknown)] };
    let silent = Span::between(here.observed_at, input.now) > policy.agents.silent_after;
    let reasons = [
        (*to == planned.from, Closed::Source),
        (input.emptying.contains(to), Closed::Emptied),
        (!here.standing.takes_servers(), Closed::NotOpen),
        (silent, Closed::Silent),
    ];
    let mut found: Vec<Violation> =
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| closed(why)).collect();
    let Some(source) = input.fleet.hosts.get(&planned.from) else { return found };
    let live = matches!(planned.decision, Decision::Live { .. });
    let lacks =
        lacking(server, policy, source, here).into_iter().filter(|lacks| live || *lacks != Lacks::Libvirt);
    found.extend(lacks.map(|lacks| Violation::UnfitDestination {
        server: planned.server,
        to: to.clone(),
        lacks,
    }));
    found
}

fn lacking(server: &Server, policy: &Policy, source: &Host, here: &Host) -> Vec<Lacks> {
    let (facts, source, here) = (&server.facts, &source.facts, &here.facts);
    let processor = facts.arch == here.cpu.arch
        && match &facts.cpu {
            GuestCpu::Model { name } => here.cpu.usable_models.contains(name),
            GuestCpu::HostPassthrough => {
                (&source.cpu.arch, &source.cpu.model) == (&here.cpu.arch, &here.cpu.model)
            }
            GuestCpu::Default => true,
        };
    let storage = facts.disks.iter().all(|disk| match &disk.reach {
        Reach::Shared { storage } => here.shared_storage.contains(storage),
        Reach::Local | Reach::Empty => true,
    });
    let labels =
        policy.placement.same_labels.iter().all(|label| source.labels.get(label) == here.labels.get(label));
    let libvirt = here.libvirt_version / 1_000_000 >= source.libvirt_version / 1_000_000;
    let holds = [
        (source.cluster == here.cluster, Lacks::Cluster),
        (processor, Lacks::Processor),
        (here.machine_types.contains(&facts.machine_type), Lacks::MachineType),
        (storage, Lacks::Storage),
        (libvirt, Lacks::Libvirt),
        (labels, Lacks::Label),
    ];
    holds.into_iter().filter(|(holds, _)| !holds).map(|(_, lacks)| lacks).collect()
}
