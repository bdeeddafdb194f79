//! BtrPlace's published instances: 5,000 hosts of which 250 are lost, or whose servers ask for more than they did.
//!
//! They are not part of this repository; `--btrplace DIR` names a folder with some of them (`wkld-tdsc` of BtrPlace's workloads, as JSON,
//! packed with gzip). Whether all constraints are kept is judged from the instance's own text, by nothing that plans.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use drover_policies::packing::{
    GroupRow, Host, HostRow, Open, Problem, ReachRow, Resource, Server, ServerRow, UNLIMITED, evacuate,
    relieve,
};
use serde::Deserialize;

use super::report::{Row, Sample, Unit};
use super::say;

/// How often each is solved.
const TIMES: usize = 20;
/// The published planner took 3.5 to 28 seconds here.
const LIMIT_MS: f64 = 100.0;

#[derive(Deserialize)]
struct Instance {
    model: Model,
    constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
struct Model {
    mapping: Mapping,
    views: Vec<View>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    #[serde(rename = "readyVMs")]
    ready: Vec<u32>,
    online_nodes: BTreeMap<u32, Tenants>,
    offline_nodes: Vec<u32>,
}

#[derive(Deserialize)]
struct Tenants {
    #[serde(rename = "runningVMs")]
    running: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(tag = "id", rename_all = "camelCase")]
enum View {
    #[serde(rename_all = "camelCase")]
    ShareableResource {
        rc_id: String,
        nodes: BTreeMap<String, u64>,
        vms: BTreeMap<String, u64>,
        def_capacity: u64,
        def_consumption: u64,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "id", rename_all = "camelCase")]
enum Constraint {
    Spread { vms: Vec<u32> },
    Among { vms: Vec<u32>, parts: Vec<Vec<u32>> },
    Preserve { vm: u32, rc: String, amount: u64 },
    Running { vm: u32 },
    Online,
    Offline { node: u32 },
}

/// A resource: what nodes have, and what servers need once `preserve` is heeded.
struct Amounts {
    name: String,
    has: BTreeMap<u32, u64>,
    needs: BTreeMap<u32, u64>,
    otherwise: (u64, u64),
}

impl Instance {
    fn read(path: &Path) -> Result<Self> {
        let output = Command::new("gzip").arg("-dc").arg(path).output().context("gzip")?;
        ensure!(output.status.success(), "{} can't be unpacked", path.display());
        let mut json = serde_json::Deserializer::from_slice(&output.stdout);
        Self::deserialize(&mut json)
            .with_context(|| format!("{} is no instance of BtrPlace's", path.display()))
    }

    fn amounts(&self) -> Result<Vec<Amounts>> {
        let mut all = Vec::new();
        for view in &self.model.views {
            let View::ShareableResource { rc_id, nodes, vms, def_capacity, def_consumption } = view else {
                continue;
            };
            let mut needs = by_number(vms)?;
            for constraint in &self.constraints {
                if let Constraint::Preserve { vm, rc, amount } = constraint
                    && rc == rc_id
                {
                    needs.insert(*vm, *amount);
                }
            }
            let otherwise = (*def_capacity, *def_consumption);
            all.push(Amounts { name: rc_id.clone(), has: by_number(nodes)?, needs, otherwise });
        }
        Ok(all)
    }

    /// Where servers run. One that is not running anywhere waits at no node.
    fn placed(&self) -> BTreeMap<u32, Option<u32>> {
        let mapping = &self.model.mapping;
        let running = mapping
            .online_nodes
            .iter()
            .flat_map(|(node, tenants)| tenants.running.iter().map(move |vm| (*vm, Some(*node))));
        mapping.ready.iter().map(|vm| (*vm, None)).chain(running).collect()
    }
}

/// Keys of an object are text, and serde reads no number from one inside of a tagged value.
fn by_number(amounts: &BTreeMap<String, u64>) -> Result<BTreeMap<u32, u64>> {
    amounts.iter().map(|(key, amount)| Ok((key.parse()?, *amount))).collect()
}

/// An instance as rows.
struct Imported {
    problem: Problem,
    /// By row.
    nodes: Vec<u32>,
    vms: Vec<u32>,
    /// The row where servers are that don't run.
    waiting: HostRow,
}

fn row(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn import(instance: &Instance) -> Result<Imported> {
    let (amounts, placed) = (instance.amounts()?, instance.placed());
    let mapping = &instance.model.mapping;
    let nodes: Vec<u32> = mapping.online_nodes.keys().chain(&mapping.offline_nodes).copied().collect();
    let offline: BTreeSet<u32> = mapping.offline_nodes.iter().copied().collect();
    let mut hosts: Vec<Host> = nodes
        .iter()
        .map(|node| Host {
            name: format!("N{node}"),
            has: amounts.iter().map(|of| of.has.get(node).copied().unwrap_or(of.otherwise.0)).collect(),
            open: if offline.contains(node) { Open::No } else { Open::Yes },
        })
        .collect();
    let waiting = HostRow(row(hosts.len()));
    hosts.push(Host { name: "nowhere".to_owned(), has: vec![UNLIMITED; amounts.len()], open: Open::No });
    let at: BTreeMap<u32, u32> = nodes.iter().enumerate().map(|(index, node)| (*node, row(index))).collect();
    let mut reaches = vec![vec![true; hosts.len()]];
    let (mut apart, mut reach_of) = (BTreeMap::<u32, Vec<GroupRow>>::new(), BTreeMap::new());
    for (number, constraint) in (0..).zip(&instance.constraints) {
        match constraint {
            Constraint::Spread { vms } => {
                vms.iter().for_each(|vm| apart.entry(*vm).or_default().push(GroupRow(number)));
            }
            Constraint::Among { vms, parts } => {
                // The part where those are that run; they stay there.
                let runs =
                    |part: &&Vec<u32>| vms.iter().any(|vm| placed[vm].is_some_and(|at| part.contains(&at)));
                let part = parts.iter().find(runs).or(parts.first()).context("an `among` without parts")?;
                let mut reach = vec![false; hosts.len()];
                part.iter().for_each(|node| reach[at[node] as usize] = true);
                reach_of.extend(vms.iter().map(|vm| (*vm, ReachRow(row(reaches.len())))));
                reaches.push(reach);
            }
            Constraint::Preserve { .. }
            | Constraint::Running { .. }
            | Constraint::Online
            | Constraint::Offline { .. } => {}
        }
    }
    let servers = placed.iter().map(|(vm, node)| Server {
        name: format!("vm{vm}"),
        needs: amounts.iter().map(|of| of.needs.get(vm).copied().unwrap_or(of.otherwise.1)).collect(),
        host: node.map_or(waiting, |node| HostRow(at[&node])),
        apart: apart.get(vm).cloned().unwrap_or_default(),
        reach: reach_of.get(vm).copied().unwrap_or(ReachRow(0)),
    });
    let problem = Problem {
        resources: amounts.iter().map(|of| Resource { name: of.name.clone(), weight: 1.0 }).collect(),
        servers: servers.collect(),
        hosts,
        reaches,
    };
    Ok(Imported { problem, nodes, vms: placed.into_keys().collect(), waiting })
}

/// Judges a placement by the instance's text: by server, its node.
fn judge(instance: &Instance, at: &BTreeMap<u32, u32>) -> Result<()> {
    let online: BTreeSet<u32> = instance.model.mapping.online_nodes.keys().copied().collect();
    for of in instance.amounts()? {
        let mut used: BTreeMap<u32, u64> = BTreeMap::new();
        for (vm, node) in at {
            *used.entry(*node).or_default() += of.needs.get(vm).copied().unwrap_or(of.otherwise.1);
        }
        for (node, used) in used {
            let has = of.has.get(&node).copied().unwrap_or(of.otherwise.0);
            ensure!(used <= has, "node {node} has {has} of {}, and {used} is used", of.name);
        }
    }
    for (vm, node) in at {
        ensure!(online.contains(node), "vm {vm} is on node {node}, which is offline");
    }
    let used: BTreeSet<u32> = at.values().copied().collect();
    for constraint in &instance.constraints {
        match constraint {
            Constraint::Spread { vms } => {
                let nodes: BTreeSet<u32> = vms.iter().map(|vm| at[vm]).collect();
                ensure!(nodes.len() == vms.len(), "two of {vms:?} are together");
            }
            Constraint::Among { vms, parts } => {
                let whole = |part: &Vec<u32>| vms.iter().all(|vm| part.contains(&at[vm]));
                ensure!(parts.iter().any(whole), "{vms:?} are not among one part");
            }
            Constraint::Running { vm } => ensure!(at.contains_key(vm), "vm {vm} does not run"),
            Constraint::Offline { node } => ensure!(!used.contains(node), "something is on node {node}"),
            // What is preserved is in the amounts above; nodes are not started or stopped here.
            Constraint::Preserve { .. } | Constraint::Online => {}
        }
    }
    Ok(())
}

pub(super) fn measure(dir: Option<&Path>) -> Result<Vec<Row>> {
    let Some(dir) = dir else {
        say(
            "BtrPlace's instances are left out: `make bench BTRPLACE=DIR` (or `drover-bench --btrplace DIR`) names a folder that has them",
        );
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "gz"));
    paths.sort();
    if paths.is_empty() {
        bail!("{} has no instance: files whose names end in .gz are looked for", dir.display());
    }
    paths.iter().map(|path| solved(path)).collect()
}

fn solved(path: &Path) -> Result<Row> {
    let instance = Instance::read(path)?;
    let Imported { problem, nodes, vms, waiting } = import(&instance)?;
    let mut sample = Sample::default();
    let mut found = None;
    for _ in 0..TIMES {
        let began = Instant::now();
        let restarts = problem.servers.iter().any(|server| server.host == waiting);
        let evacuation = if restarts { evacuate(&problem, &[waiting]) } else { relieve(&problem) };
        sample.add(began.elapsed().as_secs_f64() * 1e3);
        found = Some(evacuation);
    }
    let found = found.context("nothing was solved")?;
    ensure!(found.unplaced.is_empty(), "{} servers found no place", found.unplaced.len());
    let mut at: Vec<HostRow> = problem.servers.iter().map(|server| server.host).collect();
    for one in found.all_moves() {
        at[one.server.0 as usize] = one.to;
    }
    let by_vm = |(server, vm): (ServerRow, &u32)| Some((*vm, *nodes.get(at[server.0 as usize].0 as usize)?));
    let placed: BTreeMap<u32, u32> = problem.server_rows().zip(&vms).filter_map(by_vm).collect();
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().trim_end_matches(".json");
    judge(&instance, &placed).with_context(|| format!("{name} breaks a constraint"))?;
    let (moves, constraints) = (found.all_moves().count(), instance.constraints.len());
    let what = format!("plan: BtrPlace's {name}, {moves} moves, all of {constraints} constraints kept");
    say(&format!("{what}: {:.2} ms", sample.median()));
    Ok(Row::limited(what, Unit::Milliseconds, sample, LIMIT_MS))
}
