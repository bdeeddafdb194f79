//! What becomes of a whole fleet, in names, for people and programs.

mod evening;
mod help;
mod reasons;
mod times;

use std::collections::BTreeSet;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

pub use self::evening::{Evened, Reboots, Uneven, even_rows, plan_evening};
use self::help::{amounts, what_helps, why_no_room};
pub use self::help::{helps_empty, lacking, lacking_at_a_glance};
use self::reasons::Reasons;
pub use self::times::{PlannedTime, When};
use super::check::{self, Broken};
use super::{
    Evacuation, HostRow, Move, Open, Problem, Rolling, Rows, Stuck, Unplaced, Wave, Wishes,
    evacuate_making_way, fewest_moves, fewest_relieving, relieve, roll,
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
    /// How long the moves take; nothing where nothing is said of links ([`Rows::on_links`]).
    pub time: Option<PlannedTime>,
    /// Servers that can't be moved: their hosts are left out.
    pub stays: Vec<StaysThere>,
    /// Servers for which there is no room: their hosts can't be emptied.
    pub not_placed: Vec<NotPlaced>,
    /// The least that would have to change for these to have room; each by itself is enough.
    pub would_help: Vec<String>,
    /// Hosts that are used by more or less than was wished even so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uneven: Vec<Uneven>,
}

/// Hosts that are emptied together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// They. None in a wave that only makes room for the next one.
    pub hosts: Vec<String>,
    /// Why these, and not more or others.
    pub why: String,
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
    /// Why there.
    pub why: String,
    /// When it is under way, if that is planned.
    pub when: Option<When>,
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
    /// What is missing, and where least of it is.
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
    let problem = &rows.problem;
    let named = find(problem, hosts)?;
    let (emptied, stays) = without_stays(rows, &named);
    let evacuation = evacuate_making_way(problem, &emptied);
    let waves = evacuation.waves(problem, &emptied);
    check::waves(problem, &waves).map_err(Impossible::Broken)?;
    let least = evacuation.moves.len();
    let not_placed = evacuation.unplaced.iter().map(|left| not_placed(problem, left)).collect();
    let would_help = what_helps(problem, &emptied, &evacuation);
    Ok(FleetPlan { not_placed, would_help, ..told(rows, &waves, least, stays)? })
}

/// Moves as few servers as it takes so that no host carries more than it has, and no two meet that must not.
///
/// # Errors
/// Only if the planner has made a mistake.
pub fn plan_relief(rows: &Rows) -> Result<FleetPlan, Impossible> {
    let problem = &rows.problem;
    let found = relieve(problem);
    let waves = found.waves(problem, &[]);
    check::waves(problem, &waves).map_err(Impossible::Broken)?;
    let least = fewest_relieving(problem);
    let not_placed = found.unplaced.iter().map(|left| not_placed(problem, left)).collect();
    Ok(FleetPlan { not_placed, ..told(rows, &waves, least, Vec::new())? })
}

/// Empties these hosts, or all open ones, each once, in as many waves as wished or fewer.
///
/// # Errors
/// A host that isn't there, or it can't be done.
pub fn plan_rolling(rows: &Rows, hosts: Option<&[String]>, wishes: &Wishes) -> Result<FleetPlan, Impossible> {
    let (rolling, stays) = find_rolling(rows, hosts, wishes)?;
    let least = fewest_moves(&rows.problem, &rolling.hosts(), rolling.waves.len());
    told(rows, &rolling.waves, least, stays)
}

/// The waves of [`plan_rolling`] as rows, with what keeps those hosts that are left out.
///
/// # Errors
/// As there.
pub fn find_rolling(
    rows: &Rows,
    hosts: Option<&[String]>,
    wishes: &Wishes,
) -> Result<(Rolling, Vec<StaysThere>), Impossible> {
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
    let rolling = roll(problem, &emptied, wishes).map_err(|stuck| match stuck {
        Stuck::NoRoom => Impossible::Nothing { why: why_no_room(problem, &emptied, wishes) },
        Stuck::MoreWaves { .. } => Impossible::Stuck(stuck),
    })?;
    check::waves(problem, &rolling.waves).map_err(Impossible::Broken)?;
    Ok((rolling, stays))
}

/// Waves that were found elsewhere, by the numbers that they are known by there, as a plan with times and reasons. `least_moves`: no plan of so
/// many waves can do with fewer.
///
/// # Errors
/// They break a constraint.
pub fn plan_waves(
    rows: &Rows,
    waves: &[Wave],
    numbers: &[u32],
    least_moves: usize,
) -> Result<FleetPlan, Impossible> {
    check::waves(&rows.problem, waves).map_err(Impossible::Broken)?;
    told_by_numbers(rows, waves, numbers, least_moves, Vec::new())
}

/// From 1.
fn numbers(waves: usize) -> Vec<u32> {
    (1..).take(waves).collect()
}

impl Rows {
    /// The rows of these hosts, each once.
    ///
    /// # Errors
    /// One that isn't there.
    pub fn hosts_named(&self, names: &[String]) -> Result<Vec<HostRow>, Impossible> {
        find(&self.problem, names)
    }
}

fn find(problem: &Problem, names: &[String]) -> Result<Vec<HostRow>, Impossible> {
    let rows: HashMap<&str, HostRow> =
        problem.host_rows().map(|row| (problem.host(row).name.as_str(), row)).collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for name in names {
        let row =
            rows.get(name.as_str()).copied().ok_or_else(|| Impossible::NoHost { name: name.clone() })?;
        // A host that is named twice is emptied once.
        if known.insert(row) {
            found.push(row);
        }
    }
    Ok(found)
}

/// Those that can be emptied, and what keeps the others.
fn without_stays(rows: &Rows, hosts: &[HostRow]) -> (Vec<HostRow>, Vec<StaysThere>) {
    let keeping: BTreeSet<HostRow> = rows.stays.iter().map(|stays| stays.host).collect();
    let wanted: BTreeSet<HostRow> = hosts.iter().copied().collect();
    let stays = rows.stays.iter().filter(|stays| wanted.contains(&stays.host)).map(|stays| StaysThere {
        server: stays.name.clone(),
        host: rows.problem.host(stays.host).name.clone(),
        why: stays.why.to_string(),
    });
    (hosts.iter().copied().filter(|host| !keeping.contains(host)).collect(), stays.collect())
}

fn not_placed(problem: &Problem, left: &Unplaced) -> NotPlaced {
    let server = problem.server(left.server);
    let may = |host: &HostRow| *host != server.host && problem.may_use(server, *host);
    let why = match &left.lacks {
        None if problem.host_rows().any(|host| may(&host)) => {
            "every host that may have it is out of service, or emptied as well".to_owned()
        }
        None => {
            "no open host has what it needs (processor, machine type, storage, cluster, labels)".to_owned()
        }
        Some(lacks) => {
            let host = &problem.host(lacks.host).name;
            match amounts(problem, &lacks.of) {
                None => format!("every host with room, {host} for one, has a server that it must not meet"),
                Some(missing) => format!("{missing} more would be needed on {host}, which lacks least"),
            }
        }
    };
    NotPlaced { server: server.name.clone(), host: problem.host(server.host).name.clone(), why }
}

/// Why each server goes there that has to leave when `hosts` are emptied at once, in the order of these moves.
#[must_use]
pub fn why_there(problem: &Problem, hosts: &[HostRow], evacuation: &Evacuation) -> Vec<String> {
    let waves = evacuation.waves(problem, hosts);
    let numbers = numbers(waves.len());
    let reasons = Reasons::new(problem, &waves, &numbers);
    evacuation.moves.iter().map(|one| reasons.of_move(waves.len() - 1, one)).collect()
}

fn told(
    rows: &Rows,
    waves: &[Wave],
    least_moves: usize,
    stays: Vec<StaysThere>,
) -> Result<FleetPlan, Impossible> {
    told_by_numbers(rows, waves, &numbers(waves.len()), least_moves, stays)
}

fn told_by_numbers(
    rows: &Rows,
    waves: &[Wave],
    numbers: &[u32],
    least_moves: usize,
    stays: Vec<StaysThere>,
) -> Result<FleetPlan, Impossible> {
    let problem = &rows.problem;
    let host = |row: HostRow| problem.host(row).name.clone();
    let times = rows.ways.as_ref().map(|ways| times::times(rows, ways, waves)).transpose()?;
    let reasons = Reasons::new(problem, waves, numbers);
    let planned = |number: usize, index: usize, one: &Move| PlannedMove {
        server: problem.server(one.server).name.clone(),
        from: host(one.from),
        to: host(one.to),
        why: reasons.of_move(number, one),
        when: times.as_ref().map(|(times, _)| times[number][index]),
    };
    let waves: Vec<PlannedWave> = waves
        .iter()
        .enumerate()
        .map(|(number, wave)| PlannedWave {
            hosts: wave.hosts.iter().copied().map(host).collect(),
            why: reasons.of_wave(number, wave),
            moves: wave.moves.iter().enumerate().map(|(index, one)| planned(number, index, one)).collect(),
        })
        .collect();
    Ok(FleetPlan {
        hosts: problem.hosts.len(),
        servers: rows.servers.iter().map(Vec::len).sum::<usize>() + rows.stays.len(),
        moves: waves.iter().map(|wave| wave.moves.len()).sum(),
        waves,
        least_moves,
        time: times.map(|(_, time)| time),
        stays,
        not_placed: Vec::new(),
        would_help: Vec::new(),
        uneven: Vec::new(),
    })
}
