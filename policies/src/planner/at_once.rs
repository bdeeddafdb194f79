//! Places for servers of several hosts, or that take what operators name, all of which are sought at once.
//!
//! One after the other, the last servers get what the first ones left: where room is short some would find nothing, although there is a place for
//! each. The engine of whole fleets looks at all of them together. It knows less of each than [`crate::placement`], which judges what was found. Servers
//! that stay with others have their places before: the engine joins those of one host only.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Input};
use crate::host::Standing;
use crate::ids::{HostName, ServerId};
use crate::packing::{Held, HostRow, Open, Rows, Shown, evacuate, rows_of, why_there};
use crate::placement::Reservation;
use crate::plan::Planned;

/// Where these servers would go, and why; nothing of those for which nothing was found, nor where they all leave one host and are placed one after
/// the other, by memory and processors, as well.
pub(super) fn found(
    input: &Input<'_>,
    planned: &[Planned],
    candidates: &[Candidate<'_>],
) -> BTreeMap<ServerId, (HostName, String)> {
    let from: BTreeSet<&HostName> = candidates.iter().map(|candidate| &candidate.wish.server.host).collect();
    let take_named = || candidates.iter().any(|candidate| !candidate.wish.server.facts.resources.is_empty());
    if from.len() < 2 && !take_named() {
        return BTreeMap::new();
    }
    let rows = rows_beside_settled(input, planned, candidates, &from);
    let emptied: Vec<HostRow> = from.iter().filter_map(|host| rows.host_row(host)).collect();
    let evacuation = evacuate(&rows.problem, &emptied);
    let reasons = why_there(&rows.problem, &emptied, &evacuation);
    let mut found = BTreeMap::new();
    for (one, why) in evacuation.moves.iter().zip(reasons) {
        let Some(to) = rows.host_name(one.to) else { continue };
        let servers = rows.servers[one.server.0 as usize].iter();
        found.extend(servers.map(|server| (*server, (to.clone(), why.clone()))));
    }
    found
}

/// The clusters that are concerned, as they will be when all has come about that is settled.
fn rows_beside_settled(
    input: &Input<'_>,
    planned: &[Planned],
    candidates: &[Candidate<'_>],
    from: &BTreeSet<&HostName>,
) -> Rows {
    let fleet = input.fleet;
    let cluster = |host: &HostName| fleet.hosts.get(host).map(|host| host.facts.cluster.as_str());
    let clusters: BTreeSet<Option<&str>> = from.iter().map(|host| cluster(host)).collect();
    let open: BTreeSet<ServerId> = candidates.iter().map(Candidate::id).collect();
    let settled = planned.iter().filter_map(|planned| planned.place.as_ref());
    // What is settled stands, whatever was held before it was.
    let places = input.reservations.iter().chain(settled).filter(|place| !open.contains(&place.server));
    let places: BTreeMap<ServerId, &Reservation> = places.map(|place| (place.server, place)).collect();

    let mut shown = Shown::default();
    let mut coming = BTreeSet::new();
    for host in fleet.hosts.values().filter(|host| clusters.contains(&Some(host.facts.cluster.as_str()))) {
        let silent = input.now - host.observed_at > input.policies.general().agents.silent_after.delta();
        let takes = host.standing == Standing::Open
            && !silent
            && !input.emptying.contains(&host.name)
            && !input.doomed.contains(&host.name);
        shown.host(host, if takes { Open::Yes } else { Open::No });
    }
    let hosts = fleet.hosts.keys().filter(|host| clusters.contains(&cluster(host)));
    for server in hosts.flat_map(|host| fleet.on(host)) {
        match places.get(&server.facts.id).filter(|place| place.host != server.host) {
            Some(place) => {
                coming.insert(server.facts.id);
                shown.moved(server, &place.host);
            }
            None => shown.server(server),
        }
    }
    let unseen = |place: &&&Reservation| fleet.server(place.server).is_none();
    let places = places.values().filter(unseen).map(|place| Reservation::clone(place)).collect();
    rows_of(fleet, &shown, input.policies, &Held { coming, places })
}
