//! Fleets that are made up, and such as are known in rows only.

use drover_policies::fleet::{Ability, Allowance, Fleet, Host, Server, ServerFacts};
use drover_policies::host::Standing;
use drover_policies::ids::{BadName, HookName, HostName, OwnerId, ServerId};
use drover_policies::packing::{Open, Problem};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, host_facts, server_facts};
use drover_policies::time::Instant;
use uuid::Uuid;

use super::lots::{Lots, What};

/// When a maintenance of such a fleet begins.
pub const BEGINS: Instant = NOON;

/// Hosts of a cluster, and of a rack.
const CLUSTER: usize = 40;
const RACK: usize = 20;

/// A host's memory and threads.
const HOST: (u64, u32) = (256 << 30, 64);

/// Servers: memory and processors, with how many of a hundred are such ones.
const SIZES: [((u64, u32), f64); 5] = [
    ((2 << 30, 1), 30.0),
    ((4 << 30, 2), 30.0),
    ((8 << 30, 4), 20.0),
    ((16 << 30, 8), 15.0),
    ((32 << 30, 8), 5.0),
];

/// At most this part of a host's memory is used.
const FULLEST: f64 = 0.8;

/// An owner has so many servers, as a rule.
const OF_ONE_OWNER: usize = 40;

/// One server of so many has an owner who forbids that it is moved while it runs, and has to be rebooted.
const FORBIDDEN: f64 = 1.0 / 500.0;

/// Why a fleet can't be made up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFleet {
    /// There is no fleet without.
    #[error(
        "there is no fleet of {hosts} hosts and {servers} servers: name at least two hosts, and one server"
    )]
    Nothing {
        /// So many were asked for.
        hosts: usize,
        /// … and so many.
        servers: usize,
    },
    /// They have no room.
    #[error(
        "{servers} servers are too many for {hosts} hosts: {placed} have found room; name fewer servers, or more hosts"
    )]
    Full {
        /// So many were asked for.
        hosts: usize,
        /// … and so many.
        servers: usize,
        /// So many fit.
        placed: usize,
    },
    /// A name can't be used.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// A fleet of so many hosts and servers, the same for a seed.
///
/// # Errors
/// They have no room, or there are too few.
pub fn fleet(hosts: usize, servers: usize, seed: u64) -> Result<Fleet, BadFleet> {
    if hosts < 2 || servers == 0 {
        return Err(BadFleet::Nothing { hosts, servers });
    }
    let mut fleet = Fleet::default();
    let mut names = Vec::with_capacity(hosts);
    for number in 0..hosts {
        let name = HostName::new(format!("h{:05}", number + 1))?;
        let mut facts = host_facts(name.as_str());
        facts.cluster = format!("c{:03}", number / CLUSTER + 1);
        facts.labels.insert("rack".to_owned(), format!("r{:04}", number / RACK + 1));
        (facts.memory_bytes, facts.cpu_threads) = HOST;
        let host = Host { name: name.clone(), facts, observed_at: BEGINS, standing: Standing::Open };
        fleet.hosts.insert(name.clone(), host);
        fleet.sightings.insert(name.clone(), drover_policies::fleet::OnHost::default());
        names.push(name);
    }
    let lots = Lots(seed);
    let mut used = vec![0_u64; hosts];
    let most = (HOST.0 as f64 * FULLEST) as u64;
    for number in 0..servers {
        let of = number as u128;
        let (memory, vcpus) = size(lots.draw(What::Size, of, 0) * 100.0);
        // One that is too large for its host is one of the smallest, and looks for the next host with room.
        let begin = number % hosts;
        let (memory, vcpus) = if used[begin] + memory <= most { (memory, vcpus) } else { SIZES[0].0 };
        let row = (0..hosts).map(|step| (begin + step) % hosts).find(|row| used[*row] + memory <= most);
        let Some(row) = row else { return Err(BadFleet::Full { hosts, servers, placed: number }) };
        used[row] += memory;
        let mut facts = named(number, format!("vm-{:06}", number + 1));
        (facts.memory_bytes, facts.vcpus) = (memory, vcpus);
        let owners = servers.div_ceil(OF_ONE_OWNER);
        let owner = (lots.draw(What::Owner, of, 0) * owners as f64) as usize;
        facts.owner = Some(OwnerId::new(format!("owner-{:04}", owner + 1))?);
        if lots.draw(What::Forbidden, of, 0) < FORBIDDEN {
            facts.rules.live_migration = Some(Allowance::Forbidden);
        }
        put(&mut fleet, &names[row], facts);
    }
    Ok(fleet)
}

/// A fleet of which only rows are known: those of Ganeti's text format. Storage that hosts share is taken for large enough.
///
/// # Errors
/// A name can't be used.
pub fn of_rows(problem: &Problem, policies: &PolicySet) -> Result<Fleet, BadFleet> {
    let at = |name: &str| problem.resources.iter().position(|resource| resource.name == name);
    let (memory, vcpus) = (at("memory"), at("vcpus"));
    let of = |row: &[u64], place: Option<usize>| place.and_then(|place| row.get(place)).copied().unwrap_or(0);
    let general = policies.general();
    let mut fleet = Fleet::default();
    for (number, row) in problem.hosts.iter().enumerate() {
        let name = HostName::new(row.name.clone())?;
        let mut facts = host_facts(name.as_str());
        let group = problem.reaches.iter().position(|reach| reach[number]).unwrap_or(0);
        facts.cluster = format!("group-{:02}", group + 1);
        facts.memory_bytes = of(&row.has, memory);
        let threads = of(&row.has, vcpus) as f64 / general.placement.vcpu_overcommit.max(0.01);
        facts.cpu_threads = threads.ceil() as u32;
        let standing = match row.open {
            Open::Yes => Standing::Open,
            Open::No => Standing::Cordoned { reason: "offline".to_owned(), since: BEGINS },
        };
        let host = Host { name: name.clone(), facts, observed_at: BEGINS, standing };
        fleet.sightings.insert(name.clone(), drover_policies::fleet::OnHost::default());
        fleet.hosts.insert(name, host);
    }
    for (number, row) in problem.servers.iter().enumerate() {
        let host = HostName::new(problem.hosts[row.host.0 as usize].name.clone())?;
        let mut facts = named(number, row.name.clone());
        // What QEMU needs besides is a part of the figure there.
        facts.memory_bytes = of(&row.needs, memory).saturating_sub(general.placement.memory_overhead);
        facts.vcpus = of(&row.needs, vcpus) as u32;
        facts.owner = None;
        facts.rules.anti_affinity = row.apart.iter().map(|group| format!("exclusion-{}", group.0)).collect();
        put(&mut fleet, &host, facts);
    }
    Ok(fleet)
}

/// Every host is taken to have the hook that a maintenance is for: how long it takes is a figure of the simulation.
pub fn equip(fleet: &mut Fleet) {
    for host in fleet.hosts.values_mut() {
        host.facts.abilities.insert(Ability::RunHooks);
        host.facts.hooks.insert(HookName::maintain());
    }
}

fn named(number: usize, name: String) -> ServerFacts {
    server_facts(ServerId(Uuid::from_u128(number as u128 + 1)), &name)
}

fn put(fleet: &mut Fleet, host: &HostName, facts: ServerFacts) {
    let server = Server { host: host.clone(), observed_at: BEGINS, facts };
    fleet.sightings.entry(host.clone()).or_default().insert(server.facts.id, server);
}

/// The size that a number below 100 stands for.
fn size(mut lot: f64) -> (u64, u32) {
    for (size, weight) in SIZES {
        if lot < weight {
            return size;
        }
        lot -= weight;
    }
    SIZES[0].0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_the_same_for_a_seed_and_another_for_another() {
        let one = fleet(20, 400, 7).expect("they have room");
        assert_eq!(one.hosts.len(), 20);
        assert_eq!(one.servers().len(), 400);
        assert_eq!(one, fleet(20, 400, 7).expect("they have room"));
        assert_ne!(one, fleet(20, 400, 8).expect("they have room"));
    }

    #[test]
    fn more_servers_than_hosts_can_hold_are_refused_with_how_many_would_do() {
        let refused = fleet(2, 1000, 7).expect_err("they have no room");
        assert!(matches!(refused, BadFleet::Full { placed: 50..=204, .. }), "{refused}");
        assert_eq!(fleet(1, 5, 7), Err(BadFleet::Nothing { hosts: 1, servers: 5 }));
    }
}
