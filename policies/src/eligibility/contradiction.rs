//! Servers whose rules can't be kept on any host.

use std::collections::BTreeSet;

use super::WhyBlocked;
use crate::fleet::{Fleet, Server};

/// Two of the servers that are to stay with this one, it among them, that must not be on one host. Found on the host on which they are:
/// whoever has been parted from the others stays so, and can be moved.
pub(super) fn contradiction(server: &Server, fleet: &Fleet) -> Option<WhyBlocked> {
    if server.facts.rules.affinity.is_empty() {
        return None;
    }
    let (company, together) = company(server, fleet);
    let pairs = company
        .iter()
        .enumerate()
        .flat_map(|(n, one)| company[n + 1..].iter().map(move |other| (one, other)));
    let (one, other, apart) = pairs.into_iter().find_map(|(one, other)| {
        let apart = &one.facts.rules.anti_affinity;
        let apart = apart.iter().find(|group| other.facts.rules.anti_affinity.contains(*group))?;
        Some((one, other, apart))
    })?;
    Some(WhyBlocked::Contradiction {
        one: one.facts.name.clone(),
        other: other.facts.name.clone(),
        together: together.into_iter().collect::<Vec<_>>().join(", "),
        apart: apart.clone(),
    })
}

/// All on its host that have to leave with a server, directly or through others, in the order of their ids, and the groups that say so.
fn company<'a>(server: &'a Server, fleet: &'a Fleet) -> (Vec<&'a Server>, BTreeSet<String>) {
    let mut others: Vec<&Server> = fleet
        .on(&server.host)
        .filter(|other| other.facts.owner == server.facts.owner && other.facts.id != server.facts.id)
        .filter(|other| !other.facts.rules.affinity.is_empty())
        .collect();
    let mut company = vec![server];
    let mut groups: BTreeSet<String> = server.facts.rules.affinity.clone();
    let mut binding = BTreeSet::new();
    loop {
        let (joined, left): (Vec<&Server>, Vec<&Server>) =
            others.into_iter().partition(|other| !other.facts.rules.affinity.is_disjoint(&groups));
        others = left;
        if joined.is_empty() {
            break;
        }
        for other in joined {
            let theirs = &other.facts.rules.affinity;
            binding.extend(theirs.intersection(&groups).cloned());
            groups.extend(theirs.iter().cloned());
            company.push(other);
        }
    }
    company.sort_by_key(|member| member.facts.id);
    (company, binding)
}
