//! What becomes of a whole fleet, in names, for people and programs.

use serde::{Deserialize, Serialize};

use super::check::{self, Broken};

use super::{
    HostRow, Move, Open, Problem, Rows, Stuck, Unplaced, Wave, Wishes, evacuate, fewest_moves, roll,
};

/// What emptying hosts of a fleet takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetPlan {
    /// Hosts of the fleet.
    pub hosts: usize,
    /// Servers of the fleet; of those that stay together, each.
    pub servers: usize,
    /// In order.
    pub waves: Vec<PlannedWave>,
    /// All of them.
    pub moves: usize,
    /// No plan of so many waves can do with fewer.
    pub least_moves: usize,
    /// Servers that can't be moved: their hosts are left out.
    pub stays: Vec<StaysThere>,
    /// Servers for which there is no room: their hosts can't be emptied.
    pub not_placed: Vec<NotPlaced>,
}

/// Hosts that are emptied together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// They.
    pub hosts: Vec<String>,
    /// Their servers.
    pub moves: Vec<PlannedMove>,
}

/// A server goes somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// Which; several names with ` + ` between stay together.
    pub server: String,
    /// From there.
    pub from: String,
    /// To there.
    pub to: String,
}

/// A server that can't be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaysThere {
    /// Which.
    pub server: String,
    /// Where.
    pub host: String,
    /// Why, and what would help.
    pub why: String,
}

/// A server for which there is no room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotPlaced {
    /// Which.
    pub server: String,
    /// From where.
    pub host: String,
    /// What is missing.
    pub why: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// A host is named that the fleet doesn't have.
    #[error("there is no host {name:?} in this fleet")]
    NoHost {
        /// As it was named.
        name: String,
    },
    /// Nothing can be emptied.
    #[error("no host can be emptied: {why}")]
    Nothing {
        /// Why.
        why: String,
    },
    /// The waves.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// The planner has made a mistake: the plan breaks a constraint, and is not given out.
    #[error(
        "the plan that was found breaks a rule, so it is not shown; please report this with the fleet: {0}"
    )]
    Broken(Broken),
}

/// Empties these hosts at once.
///
/// # Errors
/// A host that isn't there.
pub fn plan_evacuation(rows: &Rows, hosts: &[String]) -> Result<FleetPlan, Impossible> {
    let named = find(&rows.problem, hosts)?;
    let (emptied, stays) = without_stays(rows, &named);
    let evacuation = evacuate(&rows.problem, &emptied);
    let wave = Wave { hosts: emptied, moves: evacuation.moves };
    // A host of a server without a place is not empty at the end, and says so elsewhere.
    let full = |host: &HostRow| {
        let is_there = |left: &Unplaced| rows.problem.server(left.server).host == *host;
        !evacuation.unplaced.iter().any(is_there)
    };
    let emptied = wave.hosts.iter().copied().filter(full).collect();
    let wave = Wave { hosts: emptied, moves: wave.moves };
    check::waves(&rows.problem, std::slice::from_ref(&wave)).map_err(Impossible::Broken)?;
    let least = wave.moves.len();
    let not_placed = evacuation.unplaced.iter().map(|left| not_placed(&rows.problem, left)).collect();
    Ok(FleetPlan { not_placed, ..told(rows, &[wave], least, stays) })
}

/// Empties these hosts, or all open ones, each once, in as many waves as wished or fewer.
///
/// # Errors
/// A host that isn't there, or it can't be done.
pub fn plan_rolling(rows: &Rows, hosts: Option<&[String]>, wishes: Wishes) -> Result<FleetPlan, Impossible> {
    let problem = &rows.problem;
    let named = match hosts {
        Some(hosts) => find(problem, hosts)?,
        None => problem.host_rows().filter(|host| problem.host(*host).open == Open::Yes).collect(),
    };
    let (emptied, stays) = without_stays(rows, &named);
    if emptied.is_empty() {
        let why = match stays.first() {
            Some(first) => format!(
                "on each there is a server that can't be moved, {} for example: {}",
                first.server, first.why
            ),
            None => "none is open".to_owned(),
        };
        return Err(Impossible::Nothing { why });
    }
    let rolling = roll(problem, &emptied, wishes)?;
    check::waves(problem, &rolling.waves).map_err(Impossible::Broken)?;
    let least = fewest_moves(problem, &emptied, rolling.waves.len());
    Ok(told(rows, &rolling.waves, least, stays))
}

fn find(problem: &Problem, names: &[String]) -> Result<Vec<HostRow>, Impossible> {
    let rows: std::collections::HashMap<&str, HostRow> =
        problem.host_rows().map(|row| (problem.host(row).name.as_str(), row)).collect();
    names
        .iter()
        .map(|name| rows.get(name.as_str()).copied().ok_or_else(|| Impossible::NoHost { name: name.clone() }))
        .collect()
}

/// Those that can be emptied, and what keeps the others.
fn without_stays(rows: &Rows, hosts: &[HostRow]) -> (Vec<HostRow>, Vec<StaysThere>) {
    let keeps = |host: &HostRow| rows.stays.iter().any(|stays| stays.host == *host);
    let stays = rows.stays.iter().filter(|stays| hosts.contains(&stays.host)).map(|stays| StaysThere {
        server: stays.name.clone(),
        host: rows.problem.host(stays.host).name.clone(),
        why: stays.why.to_string(),
    });
    (hosts.iter().copied().filter(|host| !keeps(host)).collect(), stays.collect())
}

fn not_placed(problem: &Problem, left: &Unplaced) -> NotPlaced {
    let server = problem.server(left.server);
    let why = match &left.lacks {
        None => {
            "no open host has what it needs (processor, machine type, storage, cluster, labels)".to_owned()
        }
        Some(lacks) => {
            let missing: Vec<String> = problem
                .resources
                .iter()
                .zip(lacks)
                .filter(|(_, lacks)| **lacks > 0)
                .map(|(resource, lacks)| format!("{lacks} of {}", resource.name))
                .collect();
            match missing.is_empty() {
                true => "every host with room has a server that it must not meet".to_owned(),
                false => format!("the host that lacks least still lacks {}", missing.join(" and ")),
            }
        }
    };
    NotPlaced { server: server.name.clone(), host: problem.host(server.host).name.clone(), why }
}

fn told(rows: &Rows, waves: &[Wave], least_moves: usize, stays: Vec<StaysThere>) -> FleetPlan {
    let problem = &rows.problem;
    let host = |row: HostRow| problem.host(row).name.clone();
    let planned = |Move { server, from, to }: &Move| PlannedMove {
        server: problem.server(*server).name.clone(),
        from: host(*from),
        to: host(*to),
    };
    let waves: Vec<PlannedWave> = waves
        .iter()
        .map(|wave| PlannedWave {
            hosts: wave.hosts.iter().copied().map(host).collect(),
            moves: wave.moves.iter().map(planned).collect(),
        })
        .collect();
    FleetPlan {
        hosts: problem.hosts.len(),
        servers: rows.servers.iter().map(Vec::len).sum::<usize>() + rows.stays.len(),
        moves: waves.iter().map(|wave| wave.moves.len()).sum(),
        waves,
        least_moves,
        stays,
        not_placed: Vec::new(),
    }
}
