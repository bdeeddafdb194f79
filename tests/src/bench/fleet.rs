//! Planning for whole fleets, beside Ganeti's tools on the same fleets. Fleets are drawn from fixed seeds, in Ganeti's own text format.
//!
//! What a plan says is looked at by the checker before anything is told about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use drover_policies::packing::schedule::schedule;
use drover_policies::packing::{
    HostRow, Move, Open, Problem, Rolling, Server, Stuck, Wishes, check, evacuate, fewest_moves, ganeti, roll,
};
use drover_policies::samples::Racks;

use super::htools::{Text, hail, hroller, said};
use super::report::{Against, Row, Sample, Unit};
use super::say;
use crate::demo::interrupt::Interrupt;

/// How often each plan is made.
const TIMES: usize = 20;

/// Ganeti's tools judge fleets of at most so many hosts: `hbal` takes minutes for that many.
const JUDGED: usize = 100;

/// Memory of a host in MiB, as in the fleets that the published figures of `hbal` and `hroller` are for.
const MEMORY: u64 = 262_144;
/// What a host needs for itself, in MiB.
const OWN: u64 = 1024;

/// Servers: memory in MiB and processors, with how many of a hundred are such ones.
const SIZES: [((u64, u64), u32); 5] =
    [((2048, 1), 30), ((4096, 2), 30), ((8192, 4), 20), ((16_384, 8), 15), ((32_768, 8), 5)];

/// The size that a number below 100 stands for.
fn size(mut lot: u32) -> (u64, u64) {
    for (size, weight) in SIZES {
        match lot.checked_sub(weight) {
            Some(rest) => lot = rest,
            None => return size,
        }
    }
    SIZES[0].0
}

/// A fleet that is drawn.
struct Drawn {
    hosts: usize,
    servers_per_host: usize,
    /// Hosts that are out of service, to be emptied.
    doomed: usize,
    /// At most this part of a host's memory is used.
    load: f64,
}

impl Drawn {
    fn text(&self) -> Result<String> {
        let mut rng = fastrand::Rng::with_seed(20_261_121);
        let most = (MEMORY as f64 * self.load) as u64;
        let (mut nodes, mut instances) = (String::new(), String::new());
        let doomed = rng.choose_multiple(0..self.hosts, self.doomed);
        let first_open = (0..self.hosts).find(|host| !doomed.contains(host));
        let mut number = 0;
        for host in 0..self.hosts {
            let mut used = 0;
            for _ in 0..self.servers_per_host {
                let (memory, vcpus) = size(rng.u32(0..100));
                if used + memory <= most {
                    used += memory;
                    writeln!(
                        instances,
                        "vm-{number:06}|{memory}|10240|{vcpus}|running|Y|node-{host:05}||ext||1|-"
                    )?;
                    number += 1;
                }
            }
            let mark = match (doomed.contains(&host), Some(host) == first_open) {
                (true, _) => "Y",
                (false, true) => "M",
                (false, false) => "N",
            };
            let free = MEMORY - OWN - used;
            writeln!(
                nodes,
                "node-{host:05}|{MEMORY}|{OWN}|{free}|4194304|4194304|64|{mark}|uuid-01|1||N|0|1|1.0"
            )?;
        }
        let limits = "128,1,1024,1,1,1|128,1,1024,1,1,1;131072,32,1048576,16,8,12|diskless,ext|8.0|64.0";
        Ok(format!("group-01|uuid-01|preferred||\n\n{nodes}\n{instances}\n\n|{limits}\ngroup-01|{limits}\n"))
    }
}

/// `files` are fleets in Ganeti's text format that are planned besides.
pub(super) fn measure(interrupt: &Interrupt, files: &[PathBuf]) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for (hosts, doomed, limit) in [(100, 10, 1.0), (1000, 100, 10.0), (5000, 250, 50.0)] {
        interrupt.check()?;
        let drawn = Drawn { hosts, servers_per_host: 20, doomed, load: 0.8 };
        rows.extend(emptied("", &drawn.text()?, Some(limit), dir.path())?);
    }
    interrupt.check()?;
    rows.extend(growing()?);
    rows.extend(scheduled());
    interrupt.check()?;
    let usual = Drawn { hosts: 1000, servers_per_host: 20, doomed: 0, load: 0.8 };
    let goals = [(0, Some(1.25)), (1, Some(1.11)), (3, Some(1.02))];
    rows.extend(rolled("", &usual.text()?, 3, &goals, Some(50.0), dir.path())?);
    interrupt.check()?;
    let full = Drawn { hosts: 1000, servers_per_host: 40, doomed: 0, load: 0.845 };
    rows.extend(rolled("", &full.text()?, 7, &[(0, Some(1.165))], Some(50.0), dir.path())?);
    interrupt.check()?;
    let large = Drawn { hosts: 5000, servers_per_host: 20, doomed: 0, load: 0.8 };
    rows.extend(rolled_alone(&large, 3, 300.0)?);
    if files.is_empty() {
        say("fleets of your own are planned besides with `make bench HTOOLS=FILE` (Ganeti's text format)");
    }
    for file in files {
        interrupt.check()?;
        let text =
            std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
        let name = file.file_name().map(|name| format!(" of {}", name.to_string_lossy())).unwrap_or_default();
        let read =
            |rows: Result<Vec<Row>>| rows.with_context(|| format!("{} can't be planned", file.display()));
        rows.extend(read(emptied(&name, &text, None, dir.path()))?);
        rows.extend(read(rolled(&name, &text, 3, &[(0, None), (1, None), (3, None)], None, dir.path()))?);
    }
    Ok(rows)
}

/// Empties the hosts that are out of service; of a small fleet Ganeti's tools say how good that is, beside their own plans.
fn emptied(name: &str, text: &str, limit_ms: Option<f64>, dir: &Path) -> Result<Vec<Row>> {
    let problem = ganeti::read(text)?;
    let doomed: Vec<HostRow> =
        problem.host_rows().filter(|host| problem.hosts[host.0 as usize].open == Open::No).collect();
    if doomed.is_empty() {
        return Ok(Vec::new());
    }
    let mut sample = Sample::default();
    let (mut waves, mut moves) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let began = Instant::now();
        let evacuation = evacuate(&problem, &doomed);
        sample.add(began.elapsed().as_secs_f64() * 1e3);
        ensure!(evacuation.unplaced.is_empty(), "{} servers found no place", evacuation.unplaced.len());
        moves = evacuation.moves.clone();
        waves = evacuation.waves(&problem, &doomed);
    }
    check::waves(&problem, &waves).map_err(|broken| anyhow::anyhow!("the plan breaks a rule: {broken}"))?;
    let on = |server: &Server| doomed.contains(&server.host);
    let least = problem.servers.iter().filter(|server| on(server)).count();
    ensure!(moves.len() == least, "{} moves, and {least} are the bound", moves.len());
    let short = format!("plan: empty {} of {} hosts{name}", doomed.len(), problem.hosts.len());
    let what = format!("{short}, {} moves", moves.len());
    say(&format!("{what}: {:.2} ms", sample.median()));
    let mut rows = vec![within(what, Unit::Milliseconds, sample.clone(), limit_ms)];
    if problem.hosts.len() <= JUDGED {
        let named = |one: &Move| {
            let (server, host) = (&problem.servers[one.server.0 as usize], &problem.hosts[one.to.0 as usize]);
            (server.name.clone(), host.name.clone())
        };
        let to = moves.iter().map(named).collect();
        rows.extend(judged(&short, &Text::of(text), &to, &sample, dir)?);
    }
    Ok(rows)
}

/// Beside a limit, where there is one.
fn within(what: String, unit: Unit, sample: Sample, limit: Option<f64>) -> Row {
    match limit {
        Some(limit) => Row::limited(what, unit, sample, limit),
        None => Row::told(what, unit, sample),
    }
}

/// How the cost grows: a tenth of the hosts is emptied, for each server of the fleet.
fn growing() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for hosts in [100, 300, 1000, 3000, 10_000] {
        let problem =
            ganeti::read(&Drawn { hosts, servers_per_host: 20, doomed: hosts / 10, load: 0.8 }.text()?)?;
        let closed = |host: &HostRow| problem.hosts[host.0 as usize].open == Open::No;
        let doomed: Vec<HostRow> = problem.host_rows().filter(closed).collect();
        let mut sample = Sample::default();
        for _ in 0..TIMES {
            let began = Instant::now();
            ensure!(evacuate(&problem, &doomed).unplaced.is_empty(), "a server found no place");
            sample.add(began.elapsed().as_secs_f64() * 1e9 / problem.servers.len() as f64);
        }
        rows.push(Row::told(
            format!("plan: empty a tenth of {hosts} hosts: nanoseconds for each server"),
            Unit::Plain,
            sample,
        ));
    }
    Ok(rows)
}

/// The racks of mVM's published experiment, whose own schedules took 1.165, 1.33 and 1.00 of the bound.
fn scheduled() -> Vec<Row> {
    let sizes = [(1, "10"), (2, "20"), (4, "40")];
    let row = |(filled, gigabits): (u32, &str)| {
        let racks = Racks::new(filled);
        let began = Instant::now();
        let table = schedule(&racks.ways, &racks.transfers);
        let took = began.elapsed().as_secs_f64() * 1e3;
        let ratio = racks.makespan(table.lasts) as f64 / racks.makespan(table.least) as f64;
        let what = format!(
            "schedule: mVM's racks of {gigabits} Gbit/s, makespan by the bound (planned in {took:.1} ms)"
        );
        say(&format!("{what}: {ratio:.4}"));
        Row::limited(what, Unit::Plain, [ratio].into(), 1.02)
    };
    sizes.into_iter().map(row).collect()
}

/// `hbal`'s score of our plan beside that of its own and of `hail`'s, and what `hcheck` counts.
fn judged(
    what: &str,
    text: &Text,
    moves: &BTreeMap<String, String>,
    ours_ms: &Sample,
    dir: &Path,
) -> Result<Vec<Row>> {
    let ours = dir.join("ours.data");
    std::fs::write(&ours, text.moved(moves)?)?;
    let theirs = dir.join("theirs.data");
    std::fs::write(&theirs, text.moved(&BTreeMap::new())?)?;
    let score =
        |file: &Path| said(Command::new("hbal").arg("-t").arg(file).args(["-l", "0"]), "Initial score: ");
    let beside = |what: String, unit: Unit, ours: Sample, name: &str, theirs: f64| Row {
        what,
        unit,
        sample: ours,
        against: Against::Peer { name: name.to_owned(), sample: [theirs].into() },
        goal: Some(1.0),
    };
    let Some(scored) = score(&ours)? else {
        say("hbal is not installed, so nobody says how even the fleet became: apt-get install ganeti-htools");
        return Ok(Vec::new());
    };
    say("hbal makes its own plan of the same fleet; that takes it about two minutes");
    let own = said(Command::new("hbal").arg("-t").arg(&theirs).arg("--evac-mode"), " to ")?;
    let own = own.context("hbal does not say to what its plan improves the score")?;
    let scores = format!("{what}, hbal's score of what comes out");
    let mut rows = vec![beside(scores.clone(), Unit::Plain, [scored].into(), "hbal", own)];
    if let Some(hail) = hail(text, dir)? {
        let file = dir.join("hail.data");
        std::fs::write(&file, text.moved(&hail.to)?)?;
        rows.push(beside(
            format!("{what}: planning"),
            Unit::Milliseconds,
            ours_ms.clone(),
            "hail",
            hail.took,
        ));
        let theirs = score(&file)?.context("hbal says no score of what hail planned")?;
        rows.push(beside(format!("{scores}, beside hail"), Unit::Plain, [scored].into(), "hail", theirs));
    } else {
        say("hail is not installed: apt-get install ganeti-htools");
    }
    let failures = said(
        Command::new("hcheck").arg("-t").arg(&ours).args(["--no-simulation", "--machine-readable"]),
        "HCHECK_INIT_CLUSTER_N1_FAIL=",
    )?;
    let failures = failures.context("hcheck counts no failures")?;
    let counted = format!("{what}: hosts that could not fail afterwards, by hcheck");
    rows.push(Row::limited(counted, Unit::Plain, [failures].into(), 0.0));
    Ok(rows)
}

/// In `hroller`'s number of waves, or `groups` where it isn't there, and in some more.
fn rolled(
    name: &str,
    text: &str,
    groups: usize,
    goals: &[(usize, Option<f64>)],
    limit_ms: Option<f64>,
    dir: &Path,
) -> Result<Vec<Row>> {
    let problem = ganeti::read(text)?;
    let file = dir.join("roll.data");
    std::fs::write(&file, text)?;
    let hroller = hroller(&file)?;
    if hroller.is_none() {
        say(&format!(
            "hroller is not installed, so its number of waves is taken to be {groups}: apt-get install ganeti-htools"
        ));
    }
    let groups = hroller.map_or(groups, |(groups, _)| groups.max(1));
    let mut rows = Vec::new();
    for (more, goal) in goals {
        let waves = groups + more;
        let of = format!("{} hosts{name} at load {:.2}", problem.hosts.len(), used(&problem));
        let (rolling, sample) = match timed(&problem, &Wishes::in_waves(waves)) {
            Ok(found) => found,
            Err(why) => {
                say(&format!("roll {of} in {waves} waves: {why}"));
                continue;
            }
        };
        let per_server = per_server(&problem, rolling.moves());
        let least = self::per_server(&problem, fewest_moves(&problem, &all(&problem), waves));
        let what = format!("roll {of} in {waves} waves");
        say(&format!(
            "{what}: {per_server:.3} moves per server, {least:.3} the bound, {:.1} ms",
            sample.median()
        ));
        let moved = format!("{what}: moves per server (bound {least:.3}, hroller 2)");
        rows.push(within(moved, Unit::Plain, [per_server].into(), *goal));
        if *more == 0 {
            rows.push(within(format!("{what}: planning"), Unit::Milliseconds, sample.clone(), limit_ms));
            if let Some((_, took)) = hroller {
                let against = Against::Peer { name: "hroller".to_owned(), sample: [took].into() };
                let what = format!("{what}: planning beside hroller");
                rows.push(Row { what, unit: Unit::Milliseconds, sample, against, goal: None });
            }
        }
        rows.extend(with_reserve(&problem, &of, waves));
    }
    Ok(rows)
}

fn per_server(problem: &Problem, moves: usize) -> f64 {
    moves as f64 / problem.servers.len().max(1) as f64
}

/// The same with one host's worth kept free at every moment, in as many waves, or where that can't be in the fewest that were found.
fn with_reserve(problem: &Problem, of: &str, waves: usize) -> Option<Row> {
    let rolled =
        |waves| roll(problem, &all(problem), &Wishes { reserve_hosts: 1, ..Wishes::in_waves(waves) });
    let told = |waves: usize, instead: &str, moves: usize| {
        let what =
            format!("roll {of} in {waves} waves{instead}: moves per server with a host's worth kept free");
        let per_server = per_server(problem, moves);
        say(&format!("{what}: {per_server:.3}"));
        Some(Row::told(what, Unit::Plain, [per_server].into()))
    };
    match rolled(waves) {
        Ok(rolling) => told(waves, "", rolling.moves()),
        Err(Stuck::MoreWaves { least, .. }) => {
            let moves = rolled(least).ok()?.moves();
            told(least, &format!(" ({waves} don't do)"), moves)
        }
        Err(why @ Stuck::NoRoom) => {
            say(&format!("roll {of} with a host's worth kept free: {why}"));
            None
        }
    }
}

/// Without a peer, which would take a minute.
fn rolled_alone(drawn: &Drawn, waves: usize, limit_ms: f64) -> Result<Vec<Row>> {
    let problem = ganeti::read(&drawn.text()?)?;
    let (rolling, sample) = timed(&problem, &Wishes::in_waves(waves))?;
    let moved = per_server(&problem, rolling.moves());
    let what = format!("roll {} hosts in {waves} waves, {moved:.3} moves per server: planning", drawn.hosts);
    say(&format!("{what}: {:.1} ms", sample.median()));
    let of = format!("{} hosts at load {:.2}", drawn.hosts, used(&problem));
    let planned = Row::limited(what, Unit::Milliseconds, sample, limit_ms);
    Ok([planned].into_iter().chain(with_reserve(&problem, &of, waves)).collect())
}

fn timed(problem: &Problem, wishes: &Wishes) -> Result<(Rolling, Sample)> {
    let hosts = all(problem);
    let mut sample = Sample::default();
    let mut last = None;
    for _ in 0..TIMES {
        let began = Instant::now();
        let rolling = roll(problem, &hosts, wishes)?;
        sample.add(began.elapsed().as_secs_f64() * 1e3);
        last = Some(rolling);
    }
    let rolling = last.context("nothing was measured")?;
    check::waves(problem, &rolling.waves)
        .map_err(|broken| anyhow::anyhow!("the plan breaks a rule: {broken}"))?;
    Ok((rolling, sample))
}

fn all(problem: &Problem) -> Vec<HostRow> {
    problem.host_rows().filter(|host| problem.hosts[host.0 as usize].open == Open::Yes).collect()
}

/// The part of the memory that is used.
fn used(problem: &Problem) -> f64 {
    let needs: u64 = problem.servers.iter().map(|server| server.needs[0]).sum();
    needs as f64 / problem.hosts.iter().map(|host| host.has[0]).sum::<u64>() as f64
}
