//! Whether moves keep every constraint, at every moment. It shares no code with what made them: it counts anew, from the problem alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{HostRow, Move, Open, Problem, ServerRow, Wave};

mod moments;

pub use moments::moments;

/// A constraint that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// A host would have to give more than it has.
    TooFull {
        /// Which.
        host: String,
        /// Of what.
        resource: String,
        /// What it has.
        has: u64,
        /// What would be used.
        used: u64,
    },
    /// Two that must not meet are on one host.
    Met {
        /// Where.
        host: String,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// A server is taken from where it isn't.
    NotThere {
        /// Which.
        server: String,
        /// From where.
        host: String,
    },
    /// A server is put where it may not go.
    OutOfReach {
        /// Which.
        server: String,
        /// Where.
        host: String,
    },
    /// A host that is out of service, or is being emptied in this very wave, is given something.
    NotOpen {
        /// Which.
        host: String,
    },
    /// A host is said to be empty and isn't.
    NotEmpty {
        /// Which.
        host: String,
        /// What is left.
        server: String,
    },
    /// Some moves have no time.
    Unscheduled {
        /// So many moves.
        moves: usize,
        /// So many times.
        scheduled: usize,
    },
    /// A move is over before everything can have been sent.
    TooShort {
        /// Whose.
        server: String,
    },
    /// More goes through at once than can.
    Crowded {
        /// Where.
        place: String,
        /// So many moves.
        moves: u32,
        /// At so many bytes per second together.
        rate: u64,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFull { host, resource, has, used } => {
                write!(f, "{host} has {has} of {resource}, and {used} would be used")
            }
            Self::Met { host, one, other } => write!(f, "{one} and {other} must not meet, and do on {host}"),
            Self::NotThere { server, host } => write!(f, "{server} is not on {host}"),
            Self::OutOfReach { server, host } => write!(f, "{server} may not go to {host}"),
            Self::NotOpen { host } => write!(f, "{host} takes no servers"),
            Self::NotEmpty { host, server } => write!(f, "{host} is not empty: {server} is left"),
            Self::Unscheduled { moves, scheduled } => {
                write!(f, "there are {moves} moves, and times for {scheduled}")
            }
            Self::TooShort { server } => write!(f, "{server} is done before all of it can have been sent"),
            Self::Crowded { place, moves, rate } => {
                write!(f, "{moves} moves at {rate} bytes per second together are too much for {place}")
            }
        }
    }
}

/// Looks at waves one after the other.
///
/// Within a wave any order of its moves must do, and a server counts at both ends while it moves: so all that a wave brings is there before
/// anything has left. A host to which nothing comes may be as full as it was found.
///
/// # Errors
/// The first constraint that is broken.
pub fn waves(problem: &Problem, waves: &[Wave]) -> Result<(), Broken> {
    let mut at: Vec<HostRow> = problem.servers.iter().map(|server| server.host).collect();
    for wave in waves {
        let receiving: BTreeSet<HostRow> = wave.moves.iter().map(|one| one.to).collect();
        let mut both = pairs(&at);
        both.retain(|(_, host)| receiving.contains(host));
        for Move { server, from, to } in &wave.moves {
            let row = &problem.servers[server.0 as usize];
            let name = || problem.hosts[to.0 as usize].name.clone();
            if at[server.0 as usize] != *from {
                let host = problem.hosts[from.0 as usize].name.clone();
                return Err(Broken::NotThere { server: row.name.clone(), host });
            }
            if !problem.reaches[row.reach.0 as usize][to.0 as usize] {
                return Err(Broken::OutOfReach { server: row.name.clone(), host: name() });
            }
            if wave.hosts.contains(to) || problem.hosts[to.0 as usize].open == Open::No {
                return Err(Broken::NotOpen { host: name() });
            }
            both.push((*server, *to));
        }
        standing(problem, &both)?;
        for Move { server, to, .. } in &wave.moves {
            at[server.0 as usize] = *to;
        }
        for host in &wave.hosts {
            if let Some(left) = at.iter().position(|there| there == host) {
                let server = problem.servers[left].name.clone();
                return Err(Broken::NotEmpty { host: problem.hosts[host.0 as usize].name.clone(), server });
            }
        }
    }
    Ok(())
}

fn pairs(at: &[HostRow]) -> Vec<(ServerRow, HostRow)> {
    (0_u32..).map(ServerRow).zip(at.iter().copied()).collect()
}

/// Whether all servers can be where they are.
///
/// # Errors
/// The first constraint that is broken.
pub fn stands(problem: &Problem, at: &[HostRow]) -> Result<(), Broken> {
    standing(problem, &pairs(at))
}

/// Whether all of it can stand at one moment.
fn standing(problem: &Problem, there: &[(ServerRow, HostRow)]) -> Result<(), Broken> {
    let mut by_host: BTreeMap<HostRow, Vec<ServerRow>> = BTreeMap::new();
    for (server, host) in there {
        by_host.entry(*host).or_default().push(*server);
    }
    by_host.iter().try_for_each(|(host, servers)| standing_on(problem, *host, servers))
}

/// Whether all of these can be on a host at one moment.
fn standing_on(problem: &Problem, host: HostRow, servers: &[ServerRow]) -> Result<(), Broken> {
    let host = &problem.hosts[host.0 as usize];
    for (index, resource) in problem.resources.iter().enumerate() {
        let used: u64 = servers.iter().map(|server| problem.servers[server.0 as usize].needs[index]).sum();
        if used > host.has[index] {
            let (resource, has) = (resource.name.clone(), host.has[index]);
            return Err(Broken::TooFull { host: host.name.clone(), resource, has, used });
        }
    }
    let mut met: BTreeMap<u32, &str> = BTreeMap::new();
    for server in servers {
        let server = &problem.servers[server.0 as usize];
        for group in &server.apart {
            if let Some(one) = met.insert(group.0, &server.name) {
                let (one, other) = (one.to_owned(), server.name.clone());
                return Err(Broken::Met { host: host.name.clone(), one, other });
            }
        }
    }
    Ok(())
}
