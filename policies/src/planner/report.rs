//! What a plan comes to: how many by which way, what waits for what, what to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Input;
use crate::eligibility::{WhyBlocked, WhyNotLive};
use crate::ids::{HostName, OwnerId, ServerId};
use crate::placement::WhyNotHere;
use crate::plan::{Agreement, Decision, Plan};
use crate::time::Span;

/// What a plan comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Servers that go live.
    pub live: usize,
    /// Servers that are powered off and booted elsewhere.
    pub reboot: usize,
    /// Servers that are off and just moved.
    pub off: usize,
    /// Servers that can't be moved until somebody clears the way.
    pub blocked: usize,
    /// Servers that no host can take.
    pub no_place: usize,
    /// No plan can empty these hosts with fewer migrations: every server has to leave once. A plan that places all of them needs no more.
    pub moves_at_least: usize,
    /// What the plan waits for before every host can be empty.
    pub waits: Vec<Wait>,
    /// What an operator should look at, though nothing waits for it.
    pub warnings: Vec<Warning>,
}

/// Something that has to come about before every host can be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "waits_for", rename_all = "snake_case")]
pub enum Wait {
    /// The agent of a host to be emptied: nothing is begun from a host that is silent.
    Agent {
        /// The host.
        host: HostName,
        /// For how long it has been silent; nothing if it never told anything.
        silent_for: Option<Span>,
    },
    /// Appointments with an owner.
    Owner {
        /// Whom.
        owner: OwnerId,
        /// His servers, by name.
        servers: Vec<String>,
    },
    /// Times that an operator sets, since nobody knows whose the servers are.
    Operator {
        /// The servers, by name.
        servers: Vec<String>,
    },
    /// Somebody who clears the way.
    Clearing {
        /// The server.
        server: ServerId,
        /// Its name.
        name: String,
        /// What stands in it first.
        why: WhyBlocked,
    },
    /// Room on another host.
    Room {
        /// The server.
        server: ServerId,
        /// Its name.
        name: String,
        /// What would help.
        hint: String,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent { host, silent_for: Some(span) } => write!(
                f,
                "the agent of {host}, silent for {}: nothing is begun from there until it reports",
                span.rounded()
            ),
            Self::Agent { host, silent_for: None } => {
                write!(
                    f,
                    "the agent of {host}, which never told anything: check the name, or install the agent"
                )
            }
            Self::Owner { owner, servers } => write!(f, "appointments with {owner}: {}", servers.join(", ")),
            Self::Operator { servers } => {
                write!(f, "a time set by an operator, as the owner is not known: {}", servers.join(", "))
            }
            Self::Clearing { name, why, .. } => write!(f, "{name} to be cleared ({})", why.code()),
            Self::Room { name, hint, .. } => write!(f, "room for {name}: {hint}"),
        }
    }
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// Neither metadata nor an import says whose a server is. It goes live like any other; a reboot is agreed with an operator.
    NoOwner {
        /// The server.
        server: ServerId,
        /// Its name.
        name: String,
        /// Where it is.
        host: HostName,
    },
    /// A host of the same cluster is left out because its agent is silent.
    SilentHost {
        /// The host.
        host: HostName,
        /// For how long.
        silent_for: Span,
    },
    /// The place that was decided on can't take a server any more, so another was looked for.
    PlaceLost {
        /// The server.
        server: ServerId,
        /// Its name.
        name: String,
        /// The place that was lost.
        host: HostName,
        /// Why.
        why: WhyNotHere,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOwner { name, host, .. } => write!(
                f,
                "{name} on {host} belongs to nobody known; an operator stands in for its owner until its metadata names one"
            ),
            Self::SilentHost { host, silent_for } => {
                write!(f, "{host} is left out: its agent has been silent for {}", silent_for.rounded())
            }
            Self::PlaceLost { name, host, why, .. } => {
                write!(f, "{name} was to go to {host}, but {host} {why}")
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { live, reboot, off, blocked, no_place, moves_at_least, .. } = self;
        write!(
            f,
            "{live} live, {reboot} by reboot, {off} while off, {blocked} blocked, {no_place} without a place; \
             {moves_at_least} migrations at least"
        )
    }
}

pub(super) fn report(input: &Input<'_>, plan: &Plan, mut warnings: Vec<Warning>) -> Report {
    let mut report = Report { moves_at_least: plan.servers().count(), ..Report::default() };
    for planned in plan.servers() {
        match &planned.decision {
            Decision::Live { .. } => report.live += 1,
            Decision::Reboot { why: WhyNotLive::NotRunning, .. } => report.off += 1,
            Decision::Reboot { .. } => report.reboot += 1,
            Decision::Blocked { .. } => report.blocked += 1,
            Decision::NoPlace { .. } => report.no_place += 1,
        }
        if planned.owner.is_none() {
            let (server, name, host) = (planned.server, planned.name.clone(), planned.from.clone());
            warnings.push(Warning::NoOwner { server, name, host });
        }
    }
    report.waits = waits(input, plan);
    warnings.extend(silent_elsewhere(input));
    report.warnings = warnings;
    report
}

fn waits(input: &Input<'_>, plan: &Plan) -> Vec<Wait> {
    let mut waits = Vec::new();
    for host in input.emptying {
        match input.fleet.hosts.get(host) {
            None => waits.push(Wait::Agent { host: host.clone(), silent_for: None }),
            Some(_) => {
                let silent_for = silence(input, host);
                if silent_for.is_some() {
                    waits.push(Wait::Agent { host: host.clone(), silent_for });
                }
            }
        }
    }
    let mut owners: BTreeMap<&OwnerId, Vec<String>> = BTreeMap::new();
    let mut nobodys = Vec::new();
    for planned in plan.servers() {
        match (&planned.agreement, &planned.owner) {
            (Agreement::Owner, Some(owner)) => owners.entry(owner).or_default().push(planned.name.clone()),
            (Agreement::Owner, None) | (Agreement::Operator, _) => nobodys.push(planned.name.clone()),
            (Agreement::NotNeeded, _) => {}
        }
    }
    waits.extend(owners.into_iter().map(|(owner, servers)| Wait::Owner { owner: owner.clone(), servers }));
    if !nobodys.is_empty() {
        waits.push(Wait::Operator { servers: nobodys });
    }
    for planned in plan.servers() {
        let (server, name) = (planned.server, planned.name.clone());
        match &planned.decision {
            Decision::Blocked { why, .. } => waits.push(Wait::Clearing { server, name, why: why.clone() }),
            Decision::NoPlace { why, .. } => waits.push(Wait::Room { server, name, hint: why.hint() }),
            Decision::Live { .. } | Decision::Reboot { .. } => {}
        }
    }
    waits
}

/// For how long a known host has been silent, if for too long.
fn silence(input: &Input<'_>, host: &HostName) -> Option<Span> {
    let observed_at = input.fleet.hosts.get(host)?.observed_at;
    let span = Span::between(observed_at, input.now);
    (span > input.policies.general().agents.silent_after).then_some(span)
}

fn silent_elsewhere(input: &Input<'_>) -> Vec<Warning> {
    let cluster_of = |host: &HostName| input.fleet.hosts.get(host).map(|host| &host.facts.cluster);
    let clusters: BTreeSet<&String> = input.emptying.iter().filter_map(cluster_of).collect();
    let others = input
        .fleet
        .hosts
        .iter()
        .filter(|(name, host)| clusters.contains(&host.facts.cluster) && !input.emptying.contains(*name));
    others
        .filter_map(|(host, _)| {
            Some(Warning::SilentHost { host: host.clone(), silent_for: silence(input, host)? })
        })
        .collect()
}
