//! Planning for whole fleets, beside Ganeti's tools on the same fleets: `hbal` for how even it becomes, `hcheck` for whether a host may
//! still fail, `hroller` for waves. Fleets are drawn from fixed seeds, in Ganeti's own text format.
//!
//! What a plan says is looked at by the checker before anything is told about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use drover_policies::packing::schedule::schedule;
use drover_policies::packing::{
    HostRow, Open, Problem, Rolling, Server, Wishes, check, evacuate, fewest_moves, ganeti, roll,
};
use drover_policies::samples::Racks;

use super::report::{Against, Row, Sample, Unit};
use super::say;
use crate::demo::interrupt::Interrupt;

/// How often each plan is made.
const TIMES: usize = 20;

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

pub(super) fn measure(interrupt: &Interrupt) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for (hosts, doomed, limit) in [(100, 10, 1.0), (1000, 100, 10.0), (5000, 250, 50.0)] {
        interrupt.check()?;
        rows.extend(emptied(&Drawn { hosts, servers_per_host: 20, doomed, load: 0.8 }, limit, dir.path())?);
    }
    interrupt.check()?;
    rows.extend(growing()?);
    rows.extend(scheduled());
    interrupt.check()?;
    let usual = Drawn { hosts: 1000, servers_per_host: 20, doomed: 0, load: 0.8 };
    rows.extend(rolled(&usual, &[(0, 1.25), (1, 1.11), (3, 1.02)], 50.0, dir.path())?);
    interrupt.check()?;
    let full = Drawn { hosts: 1000, servers_per_host: 40, doomed: 0, load: 0.845 };
    rows.extend(rolled(&full, &[(0, 1.165)], 50.0, dir.path())?);
    interrupt.check()?;
    let large = Drawn { hosts: 5000, servers_per_host: 20, doomed: 0, load: 0.8 };
    rows.extend(rolled_alone(&large, 3, 300.0)?);
    Ok(rows)
}

/// Empties the doomed hosts; of a small fleet `hbal` says how even that became, beside its own plan.
fn emptied(drawn: &Drawn, limit_ms: f64, dir: &Path) -> Result<Vec<Row>> {
    let text = drawn.text()?;
    let problem = ganeti::read(&text)?;
    let doomed: Vec<HostRow> =
        problem.host_rows().filter(|host| problem.hosts[host.0 as usize].open == Open::No).collect();
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
    let what = format!("plan: empty {} of {} hosts, {} moves", drawn.doomed, drawn.hosts, moves.len());
    say(&format!("{what}: {:.2} ms", sample.median()));
    let mut rows = vec![Row::limited(what, Unit::Milliseconds, sample, limit_ms)];
    if drawn.hosts <= 100 {
        let ours = dir.join("ours.data");
        let to: BTreeMap<&str, &str> = moves
            .iter()
            .map(|one| {
                let (server, host) =
                    (&problem.servers[one.server.0 as usize], &problem.hosts[one.to.0 as usize]);
                (server.name.as_str(), host.name.as_str())
            })
            .collect();
        std::fs::write(&ours, moved(&text, &to)?)?;
        let theirs = dir.join("theirs.data");
        std::fs::write(&theirs, &text)?;
        rows.extend(judged(&ours, &theirs)?);
    }
    Ok(rows)
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

/// The text after these servers have moved.
fn moved(text: &str, to: &BTreeMap<&str, &str>) -> Result<String> {
    let mut free: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect();
    for line in &mut lines {
        if let Some(host) = line.first().and_then(|name| to.get(name.as_str())) {
            line[6] = (*host).to_owned();
        }
        if line.first().is_some_and(|name| name.starts_with("vm-")) {
            *free.entry(line[6].clone()).or_default() += line[1].parse::<u64>()?;
        }
    }
    for line in lines.iter_mut().filter(|line| line.first().is_some_and(|name| name.starts_with("node-"))) {
        let used = free.get(&line[0]).copied().unwrap_or(0);
        line[3] = (MEMORY - OWN - used).to_string();
    }
    let lines: Vec<String> = lines.into_iter().map(|line| line.join("|")).collect();
    Ok(lines.join("\n") + "\n")
}

/// `hbal`'s score of our plan beside that of its own, and what `hcheck` counts.
fn judged(ours: &Path, theirs: &Path) -> Result<Vec<Row>> {
    let Some(score) = said(Command::new("hbal").arg("-t").arg(ours).args(["-l", "0"]), "Initial score: ")?
    else {
        say("hbal is not installed, so nobody says how even the fleet became: apt-get install ganeti-htools");
        return Ok(Vec::new());
    };
    say("hbal makes its own plan of the same fleet; that takes it about two minutes");
    let own = said(Command::new("hbal").arg("-t").arg(theirs).arg("--evac-mode"), " to ")?;
    let own = own.context("hbal does not say to what its plan improves the score")?;
    let failures = said(
        Command::new("hcheck").arg("-t").arg(ours).args(["--no-simulation", "--machine-readable"]),
        "HCHECK_INIT_CLUSTER_N1_FAIL=",
    )?;
    Ok(vec![
        Row {
            what: "plan: empty 10 of 100 hosts, hbal's score of what comes out".to_owned(),
            unit: Unit::Plain,
            sample: [score].into(),
            against: Against::Peer { name: "hbal".to_owned(), sample: [own].into() },
            goal: Some(1.0),
        },
        Row::told(
            "plan: hosts that could not fail afterwards, by hcheck",
            Unit::Plain,
            [failures.context("hcheck counts no failures")?].into(),
        ),
    ])
}

/// The number after these words, in the last line that has them; nothing when the program is not there.
fn said(command: &mut Command, words: &str) -> Result<Option<f64>> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find_map(|line| Some(line.split_once(words)?.1));
    Ok(line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()))
}

/// In `hroller`'s number of waves and in some more.
fn rolled(drawn: &Drawn, goals: &[(usize, f64)], limit_ms: f64, dir: &Path) -> Result<Vec<Row>> {
    let text = drawn.text()?;
    let problem = ganeti::read(&text)?;
    let file = dir.join("roll.data");
    std::fs::write(&file, &text)?;
    let began = Instant::now();
    let hroller =
        Command::new("hroller").arg("-t").arg(&file).args(["--full-evacuation", "--force"]).output();
    let (groups, took) = match hroller {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let groups = text.lines().filter(|line| line.starts_with("node-")).count();
            (groups, Some(began.elapsed().as_secs_f64() * 1e3))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            say(
                "hroller is not installed, so its number of waves is taken from earlier runs: apt-get install ganeti-htools",
            );
            (if drawn.load < 0.83 { 3 } else { 7 }, None)
        }
        Err(error) => return Err(error.into()),
    };
    let mut rows = Vec::new();
    for (more, goal) in goals {
        let waves = groups + more;
        let (rolling, sample) = timed(&problem, &Wishes::in_waves(waves))?;
        let per_server = rolling.moves() as f64 / problem.servers.len() as f64;
        let least = fewest_moves(&problem, &all(&problem), waves) as f64 / problem.servers.len() as f64;
        let what = format!("roll {} hosts at load {:.2} in {waves} waves", drawn.hosts, used(&problem));
        say(&format!(
            "{what}: {per_server:.3} moves per server, {least:.3} the bound, {:.1} ms",
            sample.median()
        ));
        let moved = format!("{what}: moves per server (bound {least:.3}, hroller 2)");
        rows.push(Row::limited(moved, Unit::Plain, [per_server].into(), *goal));
        if *more == 0 {
            rows.push(Row::limited(
                format!("{what}: planning"),
                Unit::Milliseconds,
                sample.clone(),
                limit_ms,
            ));
            if let Some(took) = took {
                let against = Against::Peer { name: "hroller".to_owned(), sample: [took].into() };
                let what = format!("{what}: planning beside hroller");
                rows.push(Row { what, unit: Unit::Milliseconds, sample, against, goal: None });
            }
        }
        let wishes = Wishes { reserve_hosts: 1, ..Wishes::in_waves(waves) };
        let reserve = roll(&problem, &all(&problem), &wishes);
        let kept = match reserve {
            Ok(rolling) => rolling.moves() as f64 / problem.servers.len() as f64,
            Err(why) => {
                say(&format!("{what} with a host's worth kept free: {why}"));
                f64::NAN
            }
        };
        let what = format!("{what}: moves per server with a host's worth kept free");
        rows.push(Row::told(what, Unit::Plain, [kept].into()));
    }
    Ok(rows)
}

/// Without a peer, which would take a minute.
fn rolled_alone(drawn: &Drawn, waves: usize, limit_ms: f64) -> Result<Vec<Row>> {
    let problem = ganeti::read(&drawn.text()?)?;
    let (rolling, sample) = timed(&problem, &Wishes::in_waves(waves))?;
    let per_server = rolling.moves() as f64 / problem.servers.len() as f64;
    let what =
        format!("roll {} hosts in {waves} waves, {per_server:.3} moves per server: planning", drawn.hosts);
    say(&format!("{what}: {:.1} ms", sample.median()));
    Ok(vec![Row::limited(what, Unit::Milliseconds, sample, limit_ms)])
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
