//! Servers that stay together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, is_under_way};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::plan::{Decision, Plan};
use crate::planner::Input;

/// One owner's affinity group.
type Group<'a> = (Option<&'a OwnerId>, &'a String);

/// Where the members of a group are bound for.
#[derive(Default)]
struct Members<'a> {
    /// Those that the plan moves anew.
    planned: BTreeMap<ServerId, &'a HostName>,
    /// Where the others will be, as far as they stay there.
    others: BTreeSet<&'a HostName>,
}

/// Every server that the plan moves joins those of its groups that stay or are expected somewhere; where there are none, all that it moves
/// go to one host.
pub(super) fn company(input: &Input<'_>, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((_, group), members) in groups(input, plan) {
        let first: BTreeSet<&HostName> = members.planned.values().copied().take(1).collect();
        let right = if members.others.is_empty() { &first } else { &members.others };
        let wrong = members.planned.iter().filter(|(_, to)| !right.contains(**to));
        found.extend(wrong.map(|(server, _)| Violation::Affinity { server: *server, group: group.clone() }));
    }
    found
}

fn groups<'a>(input: &Input<'a>, plan: &'a Plan) -> BTreeMap<Group<'a>, Members<'a>> {
    let stays = |host: &HostName| {
        let leaving = input.fleet.hosts.get(host).is_none_or(|host| match host.standing {
            Standing::Draining { .. } | Standing::Drained { .. } => true,
            Standing::Open | Standing::Cordoned { .. } => false,
        });
        !leaving && !input.emptying.contains(host)
    };
    let mut groups: BTreeMap<Group<'a>, Members<'a>> = BTreeMap::new();
    for planned in plan.servers() {
        let Some(server) = input.fleet.seen(&planned.from, planned.server) else { continue };
        let Some(to) = planned.decision.to() else { continue };
        for group in &server.facts.rules.affinity {
            let members = groups.entry((server.facts.owner.as_ref(), group)).or_default();
            if !is_under_way(input, planned.server) {
                members.planned.insert(planned.server, to);
            } else if stays(to) {
                members.others.insert(to);
            }
        }
    }
    // Whoever is expected somewhere does not count where he is seen; one that the plan can't move yet counts like all the others.
    let moving = plan.servers().filter(|planned| planned.decision.to().is_some_and(stays));
    let mut expected: BTreeSet<ServerId> = moving.map(|planned| planned.server).collect();
    for place in input.reservations {
        // What is held for a server that the plan finds blocked goes on to be held; a place that was lost does not.
        let holds = match plan.of(place.server).map(|planned| &planned.decision) {
            None | Some(Decision::Blocked { .. }) => true,
            Some(Decision::Live { .. } | Decision::Reboot { .. } | Decision::NoPlace { .. }) => false,
        };
        if holds && stays(&place.host) {
            expected.insert(place.server);
            for group in &place.affinity {
                groups.entry((place.owner.as_ref(), group)).or_default().others.insert(&place.host);
            }
        }
    }
    for (host, servers) in input.fleet.sightings.iter().filter(|(host, _)| stays(host)) {
        for server in servers.values().filter(|server| !expected.contains(&server.facts.id)) {
            for group in &server.facts.rules.affinity {
                groups.entry((server.facts.owner.as_ref(), group)).or_default().others.insert(host);
            }
        }
    }
    groups
}
