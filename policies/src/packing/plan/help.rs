//! What would have to change so that everything has room.

use super::super::{Evacuation, Host, HostRow, Open, Problem, Wishes, evacuate_making_way};
use crate::placement::Bytes;

/// So many hosts are tried, one after the other, for what leaving each out would change.
const TRIED: usize = 16;

/// `2.0 GiB of memory and 4 of vcpus`; nothing if nothing is missing.
pub(super) fn amounts(problem: &Problem, of: &[u64]) -> Option<String> {
    let amount = |(resource, amount): (&super::super::Resource, &u64)| match resource.name.as_str() {
        "memory" => format!("{} of memory", Bytes::needed(*amount)),
        name if name.starts_with("storage") => format!("{} of {name}", Bytes::needed(*amount)),
        name => format!("{amount} {name}"),
    };
    let missing: Vec<String> =
        problem.resources.iter().zip(of).filter(|(_, amount)| **amount > 0).map(amount).collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// The least changes by which what found no room would; none when all has.
pub(super) fn what_helps(problem: &Problem, hosts: &[HostRow], found: &Evacuation) -> Vec<String> {
    if found.unplaced.is_empty() {
        return Vec::new();
    }
    let mut helps: Vec<String> = more_hosts(problem, hosts).into_iter().collect();
    helps.extend(leave_out(problem, hosts, found));
    helps
}

/// The largest host, and how many more of its kind would be enough.
fn more_hosts(problem: &Problem, hosts: &[HostRow]) -> Option<String> {
    let like = problem
        .host_rows()
        .filter(|host| problem.host(*host).open == Open::Yes || hosts.contains(host))
        .max_by_key(|host| (&problem.host(*host).has, std::cmp::Reverse(*host)))?;
    let enough = |more: usize| {
        let larger = with_more(problem, like, more);
        evacuate_making_way(&larger, hosts).unplaced.is_empty()
    };
    let most = hosts.len();
    if !enough(most) {
        return None;
    }
    let (mut short, mut more) = (0, most);
    while more - short > 1 {
        let middle = short + (more - short) / 2;
        if enough(middle) { more = middle } else { short = middle }
    }
    let has = amounts(problem, &limited(problem.host(like))).unwrap_or_default();
    let plural = if more == 1 { "host" } else { "hosts" };
    Some(format!("{more} more {plural} like {} ({has})", problem.host(like).name))
}

fn limited(host: &Host) -> Vec<u64> {
    host.has.iter().map(|has| if *has == super::super::UNLIMITED { 0 } else { *has }).collect()
}

fn with_more(problem: &Problem, like: HostRow, more: usize) -> Problem {
    let mut larger = problem.clone();
    let host = Host { open: Open::Yes, ..problem.host(like).clone() };
    larger.hosts.extend(std::iter::repeat_n(host, more));
    for reach in &mut larger.reaches {
        reach.extend(std::iter::repeat_n(reach[like.index()], more));
    }
    larger
}

/// A host without which the others can be emptied; or all that can't, if that is so.
fn leave_out(problem: &Problem, hosts: &[HostRow], found: &Evacuation) -> Option<String> {
    let mut full: Vec<HostRow> = found.unplaced.iter().map(|left| problem.server(left.server).host).collect();
    full.sort_unstable();
    full.dedup();
    let enough = |out: &[HostRow]| {
        let others: Vec<HostRow> = hosts.iter().copied().filter(|host| !out.contains(host)).collect();
        !others.is_empty() && evacuate_making_way(problem, &others).unplaced.is_empty()
    };
    let mut tried: Vec<HostRow> = full.clone();
    tried.extend(hosts.iter().copied().filter(|host| !full.contains(host)));
    tried.truncate(TRIED);
    let out = match tried.into_iter().find(|host| enough(&[*host])) {
        Some(host) => vec![host],
        None => full,
    };
    if !enough(&out) {
        return None;
    }
    let names: Vec<&str> = out.iter().map(|host| problem.host(*host).name.as_str()).collect();
    Some(format!("leaving out {}", names.join(", ")))
}

/// Which host comes nearest to being emptied, and what that lacks.
pub(super) fn why_no_room(problem: &Problem, hosts: &[HostRow], wishes: Wishes) -> String {
    let mut lightest = hosts.to_vec();
    let load = super::super::Load::new(problem);
    lightest.sort_by_key(|host| (load.on(*host).len(), *host));
    let nearest = lightest
        .into_iter()
        .take(TRIED)
        .map(|host| (host, evacuate_making_way(problem, &[host])))
        .min_by_key(|(host, found)| (found.unplaced.len(), *host));
    let Some((host, found)) = nearest else { return "none is named".to_owned() };
    let name = &problem.host(host).name;
    let Some(left) = found.unplaced.first() else {
        return match wishes.reserve_hosts {
            0 => format!(
                "{name} could be, but not all of them, one after the other, in any order that was tried"
            ),
            kept => format!(
                "{name} could be, but then less would stay free than {kept} of the largest hosts hold"
            ),
        };
    };
    let told = super::not_placed(problem, left);
    let helps = more_hosts(problem, &[host]).map(|more| format!("; {more} would do")).unwrap_or_default();
    format!("{name} comes nearest, and {} has no place: {}{helps}", told.server, told.why)
}
