//! `drover plan --fleet`: what emptying or rolling a whole fleet would take, without a scheduler.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use drover_policies::fleet::Fleet;
use drover_policies::packing::{
    FleetPlan, Impossible, Rows, Stuck, Wishes, ganeti, plan_evacuation, plan_rolling, rows,
};
use drover_policies::policy::PolicySet;

use super::exit::Failed;
use super::policy::read_files;
use super::screen::{Rows as Table, Screen};
use super::words::count;

/// What `drover plan` is told.
#[derive(Debug, Args)]
pub struct Plan {
    /// The fleet: as `drover fleet export` writes it, or in Ganeti's text format
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// The hosts that are to be empty, all at once; with --roll those that are rolled
    #[arg(value_name = "HOST", required_unless_present = "roll")]
    hosts: Vec<String>,
    /// Empty each host once, in waves: all open ones, or those that are named
    #[arg(long)]
    roll: bool,
    /// At most so many waves; without it the choices are listed: the more waves, the fewer moves
    #[arg(long, value_name = "N", requires = "roll", value_parser = clap::value_parser!(u16).range(1..))]
    waves: Option<u16>,
    /// At most so many hosts in one wave
    #[arg(long, value_name = "N", requires = "roll", value_parser = clap::value_parser!(u32).range(1..))]
    hosts_at_once: Option<u32>,
    /// Keep as much free at every moment as so many of the largest hosts hold
    #[arg(long, value_name = "N", requires = "roll", default_value_t = 0)]
    reserve_hosts: u32,
    /// Policies, merged in the order of their names
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

/// How many choices are listed.
const CHOICES: usize = 5;

/// Plans, and shows it.
pub(super) fn plan(screen: &Screen, asked: &Plan) -> Result<(), Failed> {
    let rows = read(&asked.fleet, &read_files(&asked.policy)?)?;
    if !asked.roll {
        let plan = plan_evacuation(&rows, &asked.hosts).map_err(failed)?;
        return show(screen, &plan);
    }
    let wishes = Wishes {
        waves: asked.waves.map_or(usize::MAX, usize::from),
        hosts_at_once: asked.hosts_at_once.map(|hosts| hosts as usize),
        reserve_hosts: u64::from(asked.reserve_hosts),
    };
    let named = (!asked.hosts.is_empty()).then_some(asked.hosts.as_slice());
    if asked.waves.is_some() {
        return show(screen, &plan_rolling(&rows, named, wishes).map_err(failed)?);
    }
    let plans = choices(&rows, named, wishes)?;
    if screen.json {
        screen.json(&plans);
        return Ok(());
    }
    let mut table = Table::new(&["WAVES", "MOVES", "PER SERVER", "LEAST POSSIBLE", "LARGEST WAVE"]);
    for plan in &plans {
        let largest = plan.waves.iter().map(|wave| wave.hosts.len()).max().unwrap_or(0);
        table.push(vec![
            plan.waves.len().to_string(),
            plan.moves.to_string(),
            per_server(plan.moves, plan),
            per_server(plan.least_moves, plan),
            count(largest, "host"),
        ]);
    }
    screen.table(&table, "no choices");
    screen.line("More waves, fewer moves; `--waves N` shows the plan.");
    plans.first().map_or(Ok(()), |plan| left_out(screen, plan))
}

/// From the fewest waves on.
fn choices(rows: &Rows, named: Option<&[String]>, wishes: Wishes) -> Result<Vec<FleetPlan>, Failed> {
    let fewest = match plan_rolling(rows, named, Wishes { waves: 1, ..wishes }) {
        Ok(plan) => plan.waves.len(),
        Err(Impossible::Stuck(Stuck::MoreWaves { least, .. })) => least,
        Err(other) => return Err(failed(other)),
    };
    let mut plans: Vec<FleetPlan> = Vec::new();
    for waves in fewest..fewest + CHOICES {
        let plan = plan_rolling(rows, named, Wishes { waves, ..wishes }).map_err(failed)?;
        if plans.last().is_none_or(|last| plan.moves < last.moves) {
            plans.push(plan);
        }
    }
    Ok(plans)
}

fn failed(why: Impossible) -> Failed {
    match why {
        Impossible::NoHost { .. } => Failed::usage(why),
        Impossible::Nothing { .. } | Impossible::Stuck(_) | Impossible::Broken(_) => Failed::refused(why),
    }
}

fn read(path: &Path, policies: &PolicySet) -> Result<Rows, Failed> {
    let shown = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| Failed::usage(format!("{shown} can't be read: {error}")))?;
    // An exported fleet is one JSON object; Ganeti's text begins with a group's name.
    if !text.trim_start().starts_with('{') {
        return ganeti::read(&text)
            .map(Rows::of_problem)
            .map_err(|bad| Failed::usage(format!("{shown} is no fleet in Ganeti's text format: {bad}")));
    }
    let fleet: Fleet = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text))
        .map_err(|error| {
            Failed::usage(format!("{shown} is no exported fleet: at {}: {}", error.path(), error.inner()))
        })?;
    Ok(rows(&fleet, policies))
}

fn show(screen: &Screen, plan: &FleetPlan) -> Result<(), Failed> {
    if screen.json {
        screen.json(plan);
        return left_over(plan);
    }
    let waves = match plan.waves.len() {
        1 => String::new(),
        waves => format!(" in {waves} waves"),
    };
    let emptied: usize = plan.waves.iter().map(|wave| wave.hosts.len()).sum();
    screen.line(format!(
        "{} of {} emptied{waves} by {}: {} per server moved where {} is the least possible.",
        emptied,
        count(plan.hosts, "host"),
        count(plan.moves, "move"),
        per_server(plan.moves, plan),
        per_server(plan.least_moves, plan),
    ));
    let mut table = Table::new(&["WAVE", "SERVER", "FROM", "TO"]);
    for (number, wave) in (1..).zip(&plan.waves) {
        for one in &wave.moves {
            table.push(vec![number.to_string(), one.server.clone(), one.from.clone(), one.to.clone()]);
        }
    }
    screen.table(&table, "nothing is to be moved");
    left_out(screen, plan)
}

/// What keeps hosts from being emptied.
fn left_out(screen: &Screen, plan: &FleetPlan) -> Result<(), Failed> {
    for stays in &plan.stays {
        screen.line(format!("{} stays, so {} is left out: {}", stays.server, stays.host, stays.why));
    }
    for left in &plan.not_placed {
        screen.line(format!("{} has no place, so {} is not empty: {}", left.server, left.host, left.why));
    }
    left_over(plan)
}

fn left_over(plan: &FleetPlan) -> Result<(), Failed> {
    match plan.not_placed.len() {
        0 => Ok(()),
        left => Err(Failed::refused(format!("{} without a place", count(left, "server")))
            .hint("Empty fewer hosts at once, or roll them: `--roll`.")),
    }
}

fn per_server(moves: usize, plan: &FleetPlan) -> String {
    let moved: std::collections::BTreeSet<&str> =
        plan.waves.iter().flat_map(|wave| &wave.moves).map(|one| one.server.as_str()).collect();
    format!("{:.3}", moves as f64 / moved.len().max(1) as f64)
}
