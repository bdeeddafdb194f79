//! Whether moves keep every constraint, at every moment. It shares no code with what made them: it counts anew, from the problem alone.

use std::collections::BTreeMap;
use std::fmt;

use super::{HostRow, Move, Open, Problem, ServerRow, Wave};

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
        }
    }
}

/// Looks at waves one after the other.
///
/// Within a wave any order of its moves must do, and a server counts at both ends while it moves: so all that a wave brings is there before
/// anything has left.
///
/// # Errors
/// The first constraint that is broken.
pub fn waves(problem: &Problem, waves: &[Wave]) -> Result<(), Broken> {
    let mut at: Vec<HostRow> = problem.servers.iter().map(|server| server.host).collect();
    for wave in waves {
        let mut both: Vec<(ServerRow, HostRow)> = pairs(&at);
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

/// Whether all of it can stand at one moment.
fn standing(problem: &Problem, there: &[(ServerRow, HostRow)]) -> Result<(), Broken> {
    let mut by_host: BTreeMap<HostRow, Vec<ServerRow>> = BTreeMap::new();
    for (server, host) in there {
        by_host.entry(*host).or_default().push(*server);
    }
    for (host, servers) in by_host {
        let host = &problem.hosts[host.0 as usize];
        for (index, resource) in problem.resources.iter().enumerate() {
            let used: u64 =
                servers.iter().map(|server| problem.servers[server.0 as usize].needs[index]).sum();
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
    }
    Ok(())
}
