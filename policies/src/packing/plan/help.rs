//! What would have to change so that everything has room.

use super::super::{
    Evacuation, Host, HostRow, Open, Problem, Rows, Wishes, evacuate, evacuate_making_way,
    first_without_place, needs_no_first, roll,
};
use crate::placement::Bytes;

/// So many hosts are tried, one after the other, for what leaving each out would change.
const TRIED: usize = 16;

/// So many moves are named where servers would have to make way.
const NAMED: usize = 3;

/// Of more hosts than these it is not found out one by one which could not be emptied even alone.
const LOOKED_AT: usize = 256;

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
    let empties =
        |problem: &Problem, hosts: &[HostRow]| evacuate_making_way(problem, hosts).unplaced.is_empty();
    let mut helps: Vec<String> = more_hosts(problem, hosts, empties).into_iter().collect();
    let full = found.unplaced.iter().map(|left| problem.server(left.server).host).collect();
    helps.extend(leave_out(problem, hosts, full, empties));
    helps
}

/// The least changes by which hosts can be rolled that can't be; `full` are those that could not even be emptied alone.
pub(super) fn what_helps_to_roll(
    problem: &Problem,
    hosts: &[HostRow],
    full: &[HostRow],
    wishes: &Wishes,
) -> Vec<String> {
    let wishes = Wishes { waves: usize::MAX, ..wishes.clone() };
    let onto_others = |problem: &Problem, hosts: &[HostRow]| needs_no_first(problem, hosts, &wishes);
    let mut helps: Vec<String> = more_hosts(problem, hosts, onto_others).into_iter().collect();
    if !full.is_empty() {
        let rolls = |problem: &Problem, hosts: &[HostRow]| roll(problem, hosts, &wishes).is_ok();
        helps.extend(leave_out(problem, hosts, full.to_vec(), rolls));
    }
    helps
}

/// Which server of a host finds no place and what is missing, while nobody else moves, as it is done in its turn; nothing where all of its
/// servers find one.
#[must_use]
pub fn lacking(rows: &Rows, host: HostRow) -> Option<String> {
    let problem = &rows.problem;
    let found = evacuate(problem, &[host]);
    let told = super::not_placed(problem, found.unplaced.first()?);
    let more = match found.unplaced.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("{} of {} finds no place: {}{more}", told.server, told.host, told.why))
}

/// As [`lacking`] of a host that is known to lack room, of one server: many hosts are told of in the time that one takes.
#[must_use]
pub fn lacking_at_a_glance(rows: &Rows, host: HostRow) -> String {
    let problem = &rows.problem;
    match first_without_place(problem, &[host]) {
        Some(left) => {
            let told = super::not_placed(problem, &left);
            format!("{} of {} finds no place: {}", told.server, told.host, told.why)
        }
        None => format!("not all servers of {} find a place", problem.host(host).name),
    }
}

/// The least changes by which a host could be emptied by itself that can't be; each by itself is enough.
#[must_use]
pub fn helps_empty(rows: &Rows, host: HostRow) -> Vec<String> {
    let empties = |problem: &Problem, hosts: &[HostRow]| evacuate(problem, hosts).unplaced.is_empty();
    make_way(&rows.problem, host).into_iter().chain(more_hosts(&rows.problem, &[host], empties)).collect()
}

/// Servers of other hosts by whose going elsewhere a host could be emptied.
fn make_way(problem: &Problem, host: HostRow) -> Option<String> {
    let found = evacuate_making_way(problem, &[host]);
    if !found.unplaced.is_empty() || found.making_way.is_empty() {
        return None;
    }
    let name = |host: HostRow| &problem.host(host).name;
    let moved = found.making_way.iter().take(NAMED).map(|one| {
        format!("{} from {} to {}", problem.server(one.server).name, name(one.from), name(one.to))
    });
    let moved: Vec<String> = moved.collect();
    let more = match found.making_way.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("moving {}{more} first, which nobody does by itself", moved.join(", ")))
}

/// The largest host, and how many more of its kind would be enough.
fn more_hosts(
    problem: &Problem,
    hosts: &[HostRow],
    works: impl Fn(&Problem, &[HostRow]) -> bool,
) -> Option<String> {
    let like = problem
        .host_rows()
        .filter(|host| problem.host(*host).open == Open::Yes || hosts.contains(host))
        .max_by_key(|host| (&problem.host(*host).has, std::cmp::Reverse(*host)))?;
    let enough = |more: usize| {
        let larger = with_more(problem, like, more);
        works(&larger, hosts)
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
fn leave_out(
    problem: &Problem,
    hosts: &[HostRow],
    mut full: Vec<HostRow>,
    works: impl Fn(&Problem, &[HostRow]) -> bool,
) -> Option<String> {
    full.sort_unstable();
    full.dedup();
    let enough = |out: &[HostRow]| {
        let others: Vec<HostRow> = hosts.iter().copied().filter(|host| !out.contains(host)).collect();
        !others.is_empty() && works(problem, &others)
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
    let names: Vec<&str> = out.iter().take(TRIED).map(|host| problem.host(*host).name.as_str()).collect();
    let more = match out.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("leaving out {}{more}", names.join(", ")))
}

/// Which host comes nearest to being emptied, what that lacks, and the least by which all could be.
pub(super) fn why_no_room(problem: &Problem, hosts: &[HostRow], wishes: &Wishes) -> String {
    let mut lightest = hosts.to_vec();
    let load = super::super::Load::new(problem);
    lightest.sort_by_key(|host| (load.on(*host).len(), *host));
    let tried = lightest.iter().take(TRIED).map(|host| (*host, evacuate(problem, &[*host])));
    let Some((host, found)) = tried.min_by_key(|(host, found)| (found.unplaced.len(), *host)) else {
        return "none is named".to_owned();
    };
    let name = &problem.host(host).name;
    let why = match (found.unplaced.first(), wishes.reserve_hosts) {
        (Some(left), _) => {
            let told = super::not_placed(problem, left);
            format!("{name} comes nearest, and {} has no place: {}", told.server, told.why)
        }
        (None, 0) => {
            format!("{name} could be, but not all of them, one after the other, in any order that was tried")
        }
        (None, kept) => {
            format!("{name} could be, but then less would stay free than {kept} of the largest hosts hold")
        }
    };
    let alone = |host: &&HostRow| !evacuate(problem, &[**host]).unplaced.is_empty();
    let full: Vec<HostRow> = hosts.iter().take(LOOKED_AT).filter(alone).copied().collect();
    let full = if hosts.len() > LOOKED_AT { &[][..] } else { &full };
    let mut helps = what_helps_to_roll(problem, hosts, full, wishes);
    if !found.unplaced.is_empty() && hosts.len() == 1 {
        helps.extend(make_way(problem, host));
    }
    match helps.is_empty() {
        true => why,
        false => format!("{why}; what would do: {}", helps.join("; or ")),
    }
}
