//! `drover plan --fleet`: what emptying or rolling a whole fleet would take, without a scheduler.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use drover_policies::by_hand::{self, ByHand};
use drover_policies::fleet::Fleet;
use drover_policies::packing::{
    FleetPlan, Impossible, Problem, Reboots, Rows, Stuck, Wishes, ganeti, plan_evacuation, plan_evening,
    plan_relief, plan_rolling, rows,
};
use drover_policies::policy::PolicySet;

use super::exit::Failed;
use super::policy::read_files;
use super::screen::{Rows as Table, Screen};
use super::words::{count, sentence, span};
use crate::written::link_rate;

/// What `drover plan` is told.
#[derive(Debug, Args)]
pub struct Plan {
    /// The fleet: as `drover fleet export` writes it, written by hand (docs/fleets.md), or in Ganeti's text format
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// The hosts that are to be empty, all at once; with --roll those that are rolled
    #[arg(value_name = "HOST", required_unless_present_any = ["roll", "relieve", "even_out"])]
    hosts: Vec<String>,
    /// Empty each host once, in waves: all open ones, or those that are named
    #[arg(long)]
    roll: bool,
    /// Move as few servers as it takes so that no host carries more than it has, and no two meet that must not
    #[arg(long, conflicts_with_all = ["roll", "hosts"])]
    relieve: bool,
    /// Move as few servers as it takes so that the hosts, or those that are named, are used about alike
    #[arg(long, conflicts_with_all = ["roll", "relieve"])]
    even_out: bool,
    /// By so many percentage points a host's use may be off
    #[arg(long, value_name = "POINTS", requires = "even_out", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    within: u32,
    /// Move servers that can't go live as well
    #[arg(long, requires = "even_out")]
    with_reboots: bool,
    /// At most so many waves; without it the choices are listed: the more waves, the fewer moves
    #[arg(long, value_name = "N", requires = "roll", value_parser = clap::value_parser!(u16).range(1..))]
    waves: Option<u16>,
    /// At most so many hosts in one wave
    #[arg(long, value_name = "N", requires = "roll", value_parser = clap::value_parser!(u32).range(1..))]
    hosts_at_once: Option<u32>,
    /// Keep as much free at every moment as so many of the largest hosts hold
    #[arg(long, value_name = "N", requires = "roll", default_value_t = 0)]
    reserve_hosts: u32,
    /// What a host's link carries, in each direction: 10Gbit, 800Mbit; without it one gigabit is assumed
    #[arg(long, value_name = "RATE", value_parser = link_rate)]
    link: Option<u64>,
    /// Hosts with the same value of this label share an uplink, in an exported fleet
    #[arg(long, value_name = "LABEL", requires = "uplink")]
    rack: Option<String>,
    /// What such an uplink carries, in each direction: 40Gbit
    #[arg(long, value_name = "RATE", requires = "rack", value_parser = link_rate)]
    uplink: Option<u64>,
    /// Policies, merged in the order of their names
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
}

/// How many choices are listed.
const CHOICES: usize = 5;

/// Plans, and shows it.
pub(super) fn plan(screen: &Screen, asked: &Plan) -> Result<(), Failed> {
    let rows = read(asked, &read_files(&asked.policy)?)?;
    if asked.relieve {
        return show(screen, &plan_relief(&rows).map_err(failed)?);
    }
    if asked.even_out {
        let named = (!asked.hosts.is_empty()).then_some(asked.hosts.as_slice());
        let reboots = if asked.with_reboots { Reboots::Agreed } else { Reboots::None };
        return show(screen, &plan_evening(&rows, named, asked.within, reboots).map_err(failed)?);
    }
    if !asked.roll {
        let plan = plan_evacuation(&rows, &asked.hosts).map_err(failed)?;
        return show(screen, &plan);
    }
    let wishes = Wishes {
        hosts_at_once: asked.hosts_at_once.map(|hosts| hosts as usize),
        reserve_hosts: u64::from(asked.reserve_hosts),
        ..Wishes::in_waves(asked.waves.map_or(usize::MAX, usize::from))
    };
    let named = (!asked.hosts.is_empty()).then_some(asked.hosts.as_slice());
    if asked.waves.is_some() {
        return show(screen, &plan_rolling(&rows, named, &wishes).map_err(failed)?);
    }
    let plans = choices(&rows, named, &wishes)?;
    if screen.json {
        screen.json(&plans);
        return Ok(());
    }
    let mut table =
        Table::new(&["WAVES", "MOVES", "PER SERVER", "LEAST POSSIBLE", "LARGEST WAVE", "MOVING TAKES"]);
    for plan in &plans {
        let largest = plan.waves.iter().map(|wave| wave.hosts.len()).max().unwrap_or(0);
        table.push(vec![
            plan.waves.len().to_string(),
            plan.moves.to_string(),
            per_server(plan.moves, plan),
            per_server(plan.least_moves, plan),
            count(largest, "host"),
            plan.time.as_ref().map_or_else(String::new, |time| span(time.expected)),
        ]);
    }
    screen.table(&table, "no choices");
    screen.line("More waves, fewer moves; `--waves N` shows the plan.");
    plans.first().map_or(Ok(()), |plan| left_out(screen, plan))
}

/// From the fewest waves on.
fn choices(rows: &Rows, named: Option<&[String]>, wishes: &Wishes) -> Result<Vec<FleetPlan>, Failed> {
    let fewest = match plan_rolling(rows, named, &Wishes { waves: 1, ..wishes.clone() }) {
        Ok(plan) => plan.waves.len(),
        Err(Impossible::Stuck(Stuck::MoreWaves { least, .. })) => least,
        Err(other) => return Err(failed(other)),
    };
    let mut plans: Vec<FleetPlan> = Vec::new();
    for waves in fewest..fewest + CHOICES {
        let plan = plan_rolling(rows, named, &Wishes { waves, ..wishes.clone() }).map_err(failed)?;
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

/// A fleet as it is in a file.
pub(super) enum Written {
    /// As a scheduler exports it.
    Exported(Fleet),
    /// By a person.
    ByHand(Box<ByHand>),
    /// In Ganeti's text format.
    Ganeti(Problem),
}

/// Reads a fleet's file.
pub(super) fn written(file: &Path) -> Result<Written, Failed> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| Failed::usage(format!("{shown} can't be read: {error}")))?;
    let by_hand = |read: by_hand::Written| {
        let made = read.fleet().map_err(|bad| Failed::usage(format!("{shown} is no fleet: {bad}")))?;
        Ok(Written::ByHand(Box::new(made)))
    };
    let is_toml = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    if is_toml || text.lines().any(|line| line.trim() == "[[hosts]]") {
        return by_hand(
            toml::from_str(&text).map_err(|error| Failed::usage(format!("{shown} is no fleet: {error}")))?,
        );
    }
    // Other fleets than Ganeti's are one JSON object; Ganeti's text begins with a group's name.
    if text.trim_start().starts_with('{') {
        // One that is exported says where servers were seen.
        if !text.contains("\"sightings\"") {
            let mut json = serde_json::Deserializer::from_str(&text);
            let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
                Failed::usage(format!("{shown} is no fleet: at {}: {}", error.path(), error.inner()))
            })?;
            return by_hand(read);
        }
        let mut json = serde_json::Deserializer::from_str(&text);
        let fleet = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            Failed::usage(format!("{shown} is no exported fleet: at {}: {}", error.path(), error.inner()))
        })?;
        return Ok(Written::Exported(fleet));
    }
    let problem = ganeti::read(&text)
        .map_err(|bad| Failed::usage(format!("{shown} is no fleet in Ganeti's text format: {bad}")))?;
    for told in ganeti::ignored(&text) {
        eprintln!("drover: {shown}: {told}");
    }
    Ok(Written::Ganeti(problem))
}

fn read(asked: &Plan, policies: &PolicySet) -> Result<Rows, Failed> {
    let of_fleet = |fleet: &Fleet| {
        let mut rows = rows(fleet, policies);
        rows.on_links(policies, asked.link);
        rows.within(fleet, &policies.general().limits, None);
        if let (Some(label), Some(uplink)) = (&asked.rack, asked.uplink) {
            rows.with_uplinks(fleet, label, uplink);
        }
        rows
    };
    match written(&asked.fleet)? {
        Written::Exported(fleet) => Ok(of_fleet(&fleet)),
        Written::ByHand(made) => Ok(of_fleet(&made.fleet)),
        Written::Ganeti(_) if asked.rack.is_some() => Err(Failed::usage(format!(
            "{} is in Ganeti's text format, which has no labels, so --rack means nothing",
            asked.fleet.display()
        ))),
        Written::Ganeti(problem) => {
            let mut rows = Rows::of_ganeti(problem);
            rows.on_links(policies, asked.link);
            Ok(rows)
        }
    }
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
    screen.line(match emptied {
        0 => format!("{}, where {} is the least possible.", count(plan.moves, "move"), plan.least_moves),
        emptied => format!(
            "{} of {} emptied{waves} by {}: {} per server moved where {} is the least possible.",
            emptied,
            count(plan.hosts, "host"),
            count(plan.moves, "move"),
            per_server(plan.moves, plan),
            per_server(plan.least_moves, plan),
        ),
    });
    if let Some(time) = &plan.time {
        screen.line(sentence(&time.to_string()));
    }
    if plan.waves.len() > 1 {
        for (number, wave) in (1..).zip(&plan.waves) {
            screen.line(format!("Wave {number}, {}: {}.", count(wave.hosts.len(), "host"), wave.why));
        }
    }
    let mut table = Table::new(&["WAVE", "SERVER", "FROM", "TO", "BEGINS AFTER", "TAKES", "WHY THERE"]);
    for (number, wave) in (1..).zip(&plan.waves) {
        for one in &wave.moves {
            table.push(vec![
                number.to_string(),
                one.server.clone(),
                one.from.clone(),
                one.to.clone(),
                one.when.map_or_else(String::new, |when| span(when.begins)),
                one.when.map_or_else(String::new, |when| span(when.lasts)),
                one.why.clone(),
            ]);
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
    for uneven in &plan.uneven {
        screen.line(format!("{} stays uneven: {}", uneven.host, uneven.why));
    }
    if !plan.would_help.is_empty() {
        screen.line(format!("Enough room would make: {}.", plan.would_help.join("; or ")));
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
