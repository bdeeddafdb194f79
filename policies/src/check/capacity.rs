//! Memory, processors, named resources, names and anti-affinity, with everything moved at once: every server at both ends.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, is_under_way};
use crate::fleet::{Resources, SERVERS, Server};
use crate::ids::{HostName, OwnerId, ServerId};
use crate::plan::{Plan, Planned};
use crate::planner::Input;
use crate::policy::Policy;

/// A server on a host, or what is held for it there.
#[derive(Default)]
struct Occupant {
    memory: u64,
    vcpus: u64,
    name: Option<String>,
    owner: Option<OwnerId>,
    anti_affinity: BTreeSet<String>,
    resources: Resources,
    /// Processors that the host may carry in all if this server is newly planned to come.
    limit_if_coming: Option<u64>,
}

/// Only hosts to which the plan brings something are looked at: what is too much without it is not the plan's doing.
pub(super) fn capacity(input: &Input<'_>, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    for (host, occupants) in occupants(input, plan) {
        let Some(facts) = input.fleet.hosts.get(&host).map(|host| &host.facts) else { continue };
        let Some(vcpus_allowed) = occupants.values().filter_map(|occupant| occupant.limit_if_coming).max()
        else {
            continue;
        };
        let memory = occupants.values().fold(0_u64, |sum, occupant| sum.saturating_add(occupant.memory));
        if memory > facts.memory_bytes {
            found.push(Violation::Memory { host: host.clone(), used: memory, has: facts.memory_bytes });
        }
        let vcpus = occupants.values().map(|occupant| occupant.vcpus).sum();
        if vcpus > vcpus_allowed {
            found.push(Violation::Vcpus { host: host.clone(), used: vcpus, has: vcpus_allowed });
        }
        found.extend(clashes(&host, &occupants));
        found.extend(overdrawn(&host, &facts.resources, &occupants));
    }
    found
}

/// Of what those who come take some of, more is taken than there is.
fn overdrawn(host: &HostName, has: &Resources, occupants: &BTreeMap<ServerId, Occupant>) -> Vec<Violation> {
    let coming = occupants.values().filter(|occupant| occupant.limit_if_coming.is_some());
    let names: BTreeSet<&String> = coming.flat_map(|occupant| occupant.resources.keys()).collect();
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| *name != SERVERS) {
        let amounts = occupants.values().filter_map(|occupant| occupant.resources.get(name));
        let used = amounts.map(|amount| u64::from(*amount)).sum();
        let has = has.get(name).copied().unwrap_or(0).into();
        if used > has {
            found.push(Violation::Resource { host: host.clone(), name: name.clone(), used, has });
        }
    }
    if let Some(most) = has.get(SERVERS).copied().map(u64::from).filter(|most| occupants.len() as u64 > *most)
    {
        let (name, used) = (SERVERS.to_owned(), occupants.len() as u64);
        found.push(Violation::Resource { host: host.clone(), name, used, has: most });
    }
    found
}

fn clashes(host: &HostName, occupants: &BTreeMap<ServerId, Occupant>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (server, coming) in occupants.iter().filter(|(_, occupant)| occupant.limit_if_coming.is_some()) {
        for (_, other) in occupants.iter().filter(|(id, _)| *id != server) {
            if let Some(name) = coming.name.clone().filter(|name| other.name.as_ref() == Some(name)) {
                found.push(Violation::Name { host: host.clone(), name });
            }
            if coming.owner == other.owner {
                let shared = coming.anti_affinity.intersection(&other.anti_affinity);
                found.extend(
                    shared.map(|group| Violation::AntiAffinity { host: host.clone(), group: group.clone() }),
                );
            }
        }
    }
    found
}

fn occupants(input: &Input<'_>, plan: &Plan) -> BTreeMap<HostName, BTreeMap<ServerId, Occupant>> {
    let mut hosts: BTreeMap<HostName, BTreeMap<ServerId, Occupant>> = BTreeMap::new();
    for (host, servers) in &input.fleet.sightings {
        for (id, server) in servers.iter() {
            hosts.entry(host.clone()).or_default().insert(*id, occupant(input, server));
        }
    }
    for place in input.reservations {
        // What the plan has decided anew for a server takes the place of what was held for it.
        if plan.of(place.server).is_some_and(|planned| planned.decision.to() != Some(&place.host)) {
            continue;
        }
        let occupant = hosts.entry(place.host.clone()).or_default().entry(place.server).or_default();
        occupant.memory = occupant.memory.max(place.memory_bytes);
        occupant.vcpus = occupant.vcpus.max(u64::from(place.vcpus));
        occupant.owner = occupant.owner.take().or_else(|| place.owner.clone());
        occupant.anti_affinity.extend(place.anti_affinity.iter().cloned());
        occupant.takes_too(&place.resources);
        if occupant.name.is_none() {
            occupant.name = input.fleet.server(place.server).map(|server| server.facts.name.clone());
        }
    }
    for planned in plan.servers() {
        let server = input.fleet.seen(&planned.from, planned.server);
        let (Some(to), Some(server)) = (planned.decision.to(), server) else { continue };
        let policy = &input.policies.shared_of(server, input.fleet).policy;
        let threads = input.fleet.hosts.get(to).map_or(0, |host| host.facts.cpu_threads);
        let limit = (f64::from(threads) * policy.placement.vcpu_overcommit).floor() as u64;
        let there = hosts.entry(to.clone()).or_default().entry(planned.server).or_default();
        let needs = occupant(input, server).shaped(planned, policy);
        there.memory = there.memory.max(needs.memory);
        there.vcpus = there.vcpus.max(needs.vcpus);
        there.name = needs.name;
        there.owner = needs.owner;
        there.anti_affinity.extend(needs.anti_affinity);
        there.takes_too(&needs.resources);
        there.limit_if_coming = (!is_under_way(input, planned.server)).then_some(limit);
    }
    hosts
}

impl Occupant {
    /// The larger of each: a server that is seen and held is there once.
    fn takes_too(&mut self, resources: &Resources) {
        for (name, amount) in resources {
            let known = self.resources.entry(name.clone()).or_default();
            *known = (*known).max(*amount);
        }
    }

    /// As its blueprint wants it.
    fn shaped(self, planned: &Planned, policy: &Policy) -> Self {
        let Some(blueprint) = &planned.blueprint else { return self };
        let overhead = policy.placement.memory_overhead;
        Self {
            memory: blueprint.memory_bytes.map_or(self.memory, |bytes| bytes.saturating_add(overhead)),
            vcpus: blueprint.vcpus.map_or(self.vcpus, u64::from),
            ..self
        }
    }
}

fn occupant(input: &Input<'_>, server: &Server) -> Occupant {
    let policy = &input.policies.shared_of(server, input.fleet).policy;
    let facts = &server.facts;
    Occupant {
        memory: facts.memory_bytes.saturating_add(policy.placement.memory_overhead),
        vcpus: u64::from(facts.vcpus),
        name: Some(facts.name.clone()),
        owner: facts.owner.clone(),
        anti_affinity: facts.rules.anti_affinity.clone(),
        resources: facts.resources.clone(),
        limit_if_coming: None,
    }
}
