//! Evening out a fleet, in names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::{Evening, Evenness, HostRow, Open, Rows, ServerRow, StillUneven, Wave, check, even_out};
use super::{FleetPlan, Impossible, find, told};
use crate::ids::{HostName, ServerId};

/// Whether servers that can't go live are moved as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboots {
    /// They stay where they are: nobody is rebooted for the sake of evenness.
    #[default]
    None,
    /// They are, at times that their owners agree to.
    Agreed,
}

impl Reboots {
    /// Whether it is the first of them.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A host that is used by more or less than was wished, whatever is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uneven {
    /// Which.
    pub host: String,
    /// Of what, how much, and what would help.
    pub why: String,
}

/// What evens hosts out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evened {
    /// Each server, and where it goes.
    pub moves: Vec<(ServerId, HostName)>,
    /// Hosts that are beyond what was wished even so.
    pub uneven: Vec<Uneven>,
}

/// Evens hosts out: `within` is in percentage points of a host. Those that are `settled` are not moved.
#[must_use]
pub fn even_rows(
    rows: &Rows,
    hosts: &BTreeSet<HostName>,
    (within, reboots): (u32, Reboots),
    settled: &BTreeSet<ServerId>,
) -> Evened {
    let names: BTreeSet<&str> = hosts.iter().map(HostName::as_str).collect();
    let is_named = |row: &HostRow| names.contains(rows.problem.host(*row).name.as_str());
    let named: Vec<HostRow> = rows.problem.host_rows().filter(is_named).collect();
    let found = evened(rows, &named, (within, reboots), settled);
    let moves = found.moves.iter().flat_map(|one| {
        let servers = rows.servers[one.server.index()].iter();
        servers.filter_map(move |server| Some((*server, rows.host_name(one.to)?)))
    });
    Evened { moves: moves.collect(), uneven: in_words(rows, &found.left, within) }
}

/// Moves as few servers as it takes so that every host, or each of these, is used about as much as its cluster.
///
/// # Errors
/// A host that isn't there, or none that is open.
pub fn plan_evening(
    rows: &Rows,
    hosts: Option<&[String]>,
    within: u32,
    reboots: Reboots,
) -> Result<FleetPlan, Impossible> {
    let problem = &rows.problem;
    let named = match hosts {
        Some(hosts) => find(problem, hosts)?,
        None => problem.host_rows().collect(),
    };
    if !named.iter().any(|host| problem.host(*host).open == Open::Yes) {
        return Err(Impossible::Nothing { why: "none is open".to_owned() });
    }
    let found = evened(rows, &named, (within, reboots), &BTreeSet::new());
    let waves = [Wave { hosts: Vec::new(), moves: found.moves }];
    check::waves(problem, &waves).map_err(Impossible::Broken)?;
    let uneven = in_words(rows, &found.left, within);
    Ok(FleetPlan { uneven, ..told(rows, &waves, found.least, Vec::new())? })
}

fn evened(
    rows: &Rows,
    hosts: &[HostRow],
    (within, reboots): (u32, Reboots),
    settled: &BTreeSet<ServerId>,
) -> Evening {
    let problem = &rows.problem;
    let stays = |row: &ServerRow| {
        let rebooted = reboots.is_none() && rows.sent[row.index()].reboots > 0;
        rebooted || rows.servers[row.index()].iter().any(|server| settled.contains(server))
    };
    let mut besides: BTreeMap<HostRow, Vec<u64>> = BTreeMap::new();
    for stays in &rows.stays {
        let known = besides.entry(stays.host).or_insert_with(|| vec![0; problem.resources.len()]);
        known.iter_mut().zip(&stays.needs).for_each(|(sum, needs)| *sum = sum.saturating_add(*needs));
    }
    let wish = Evenness {
        hosts,
        cluster_of: rows.clusters(),
        besides: &besides,
        fixed: &problem.server_rows().filter(stays).collect(),
        within: f64::from(within) / 100.0,
    };
    even_out(problem, wish)
}

fn in_words(rows: &Rows, left: &[StillUneven], within: u32) -> Vec<Uneven> {
    let percent = |part: f64| (part * 100.0).round();
    let one = |left: &StillUneven| {
        let resource = &rows.problem.resources[left.resource].name;
        let (used, mean) = (percent(left.used), percent(left.mean));
        let help = match left.used > left.mean {
            true => "no server of it that may be moved fits elsewhere and would make it more even",
            false => "no server that may be moved fits there and would make it more even",
        };
        Uneven {
            host: rows.problem.host(left.host).name.clone(),
            why: format!(
                "{used} % of its {resource} is used where {mean} % of its cluster's is (within {within}): {help}; more hosts, or servers \
                 that are rebooted as well, would help"
            ),
        }
    };
    left.iter().map(one).collect()
}
