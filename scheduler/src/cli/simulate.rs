//! `drover simulate`: how a maintenance over a whole fleet would go, without a scheduler.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Arg, Args};
use drover_policies::by_hand::ByHand;
use drover_policies::fleet::Fleet;
use drover_policies::ids::MaintenanceId;
use drover_policies::maintenance::State;
use drover_policies::notices::Actor;
use drover_policies::owners::OwnersRules;
use drover_policies::policy::PolicySet;
use drover_policies::time::{Instant, Span};
use serde::Serialize;
use uuid::Uuid;

use super::args::{RollingTerms, WhichHosts};
use super::exit::Failed;
use super::maintenances::rolling;
use super::plan::{Written, written};
use super::policy::read_files;
use super::screen::{Rows, Screen};
use super::words::{bytes, count, rate, span};
use crate::commands::maintenances::drafted;
use crate::http::views::{MaintenanceBody, RollingBody};
use crate::simulate::{self, Ended, Model, Outcome, Progress, Report, Setup, begins_at, drawn};
use crate::written::{bytes_each_second, link_rate};

/// What `drover simulate` is told.
///
/// The scheduler's own decisions are carried out on a clock of their own; the database, mails and libvirt are left out, and how long things take is
/// a model. The same input gives the same result.
#[derive(Debug, Args)]
#[command(mut_arg("hosts", |_| hosts()))]
pub struct Simulate {
    /// The fleet: as `drover fleet export` writes it, written by hand (docs/fleets.md), or in Ganeti's text format
    #[arg(long, value_name = "FILE", required_unless_present = "drawn_hosts")]
    fleet: Option<PathBuf>,
    /// Make up a fleet of so many hosts instead, in clusters of forty
    #[arg(long = "hosts", value_name = "N", requires = "drawn_servers", conflicts_with = "fleet")]
    drawn_hosts: Option<u32>,
    /// … with so many servers
    #[arg(long = "servers", value_name = "N", requires = "drawn_hosts")]
    drawn_servers: Option<u32>,
    /// Which hosts.
    #[command(flatten)]
    which: WhichHosts,
    /// Why: policies choose the notice by it
    #[arg(long, default_value = "simulated", value_name = "WORD")]
    reason: String,
    /// When all must be over: `7d` from the beginning on [default: as policy says]
    #[arg(long, value_name = "SPAN")]
    deadline: Option<Span>,
    /// What it keeps to.
    #[command(flatten)]
    terms: RollingTerms,
    /// Policies, merged in the order of their names
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// What a host's link carries, in each direction, shared by all that is sent at once
    #[arg(long, value_name = "RATE", default_value = "1Gbit", value_parser = link_rate)]
    link: u64,
    /// What a guest in the middle writes anew each second; each has its own, from a tenth to ten times of it
    #[arg(long, value_name = "BYTES", default_value = "8MiB", value_parser = bytes_each_second)]
    dirty_rate: u64,
    /// How many of all tries to move a server fail: 0.01 is one in a hundred
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = part)]
    fail_rate: f64,
    /// How many hooks of hosts fail
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = part)]
    hook_fail_rate: f64,
    /// How long the hook takes that a host is emptied for, its reboot included; every host is taken to have it
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    hook: Span,
    /// The time between two looks of the scheduler while something happens
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = some_time)]
    every: Span,
    /// It ends after so many days at the latest
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Whatever is left to chance hangs on this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Kill the scheduler so often, at random points: the result has to be the same
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// Draw each host's time line into an HTML file, which any browser shows without a network
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

/// Other than where something is really done, nobody has to say which hosts.
fn hosts() -> Arg {
    Arg::new("hosts").value_name("HOST").num_args(0..).help("The hosts [default: every host of the fleet]")
}

/// `0.01`.
fn part(text: &str) -> Result<f64, String> {
    let part: f64 =
        text.parse().map_err(|_| "write a number from 0 to 1: 0.01 is one in a hundred".to_owned())?;
    if (0.0..=1.0).contains(&part) {
        Ok(part)
    } else {
        Err("it is a part of all, so it lies between 0 and 1: 0.01 is one in a hundred".to_owned())
    }
}

/// A length of time that is not nothing.
fn some_time(text: &str) -> Result<Span, String> {
    match text.parse::<Span>() {
        Ok(span) if span > Span::ZERO => Ok(span),
        Ok(_) => Err("there has to be some time between two looks; write for example 10s".to_owned()),
        Err(_) => Err("write a length of time: 10s or 1m".to_owned()),
    }
}

/// How many owners, and hosts that are left, are shown.
const SHOWN: usize = 10;

/// Simulates, and shows what came of it.
pub(super) fn simulate(screen: &Screen, asked: Simulate) -> Result<(), Failed> {
    let policies = read_files(&asked.policy)?;
    let timeline = asked.timeline.clone();
    let setup = setup(asked, policies)?;
    let mut shown = Shown::new(screen.json);
    let outcome = simulate::run(setup, |progress| shown.tell(progress));
    shown.over();
    if let Some(file) = &timeline {
        draw(file, screen, &outcome)?;
    }
    if screen.json {
        screen.json(&Answer { killed: outcome.killed, report: &outcome.report });
    } else {
        show(screen, &outcome, timeline.as_deref());
    }
    match outcome.report.ended {
        Ended::Completed => Ok(()),
        Ended::Failed | Ended::Halted | Ended::OutOfTime | Ended::Stuck => {
            Err(Failed::refused(format!("the maintenance is {}", outcome.report.ended)))
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    killed: u32,
    #[serde(flatten)]
    report: &'a Report,
}

fn setup(asked: Simulate, policies: PolicySet) -> Result<Setup, Failed> {
    let ByHand { mut fleet, windows, dirty } = fleet(&asked, &policies)?;
    drawn::equip(&mut fleet);
    let now: Instant = begins_at(&fleet);
    let (hosts, select) = rolling::which(asked.which.or_all());
    // What can't be done is left, and told at the end.
    let terms = RollingBody { approve: true, anyway: true, ..rolling::terms(asked.terms) };
    let body = MaintenanceBody {
        hosts,
        select,
        reason: asked.reason,
        deadline: asked.deadline.map(|deadline| deadline.to_string()),
        emergency: None,
        rolling: Some(terms),
        dry_run: false,
    };
    let by = Actor::Operator { name: "simulation".to_owned() };
    let id = MaintenanceId(Uuid::from_u128(1));
    let maintenance = drafted(&body, (&fleet, &policies), by, id, now).map_err(|problem| Failed {
        problem: serde_json::to_value(&problem).ok(),
        ..Failed::usage(&problem.detail)
    })?;
    debug_assert!(matches!(maintenance.state, State::Approved { .. }), "it begins by itself");
    Ok(Setup {
        fleet,
        policies,
        owners: OwnersRules::new(windows, [], []),
        maintenance,
        dirty,
        model: Model {
            link: asked.link,
            dirty_rate: asked.dirty_rate,
            fail_rate: asked.fail_rate,
            hook_fail_rate: asked.hook_fail_rate,
            hook: asked.hook,
        },
        seed: asked.seed,
        lasts: Span::days(asked.days.into()),
        every: asked.every,
        kills: asked.kills,
    })
}

fn fleet(asked: &Simulate, policies: &PolicySet) -> Result<ByHand, Failed> {
    let only = |fleet: Fleet| ByHand { fleet, ..ByHand::default() };
    let Some(file) = &asked.fleet else {
        let number = |given: Option<u32>| given.unwrap_or(0) as usize;
        return drawn::fleet(number(asked.drawn_hosts), number(asked.drawn_servers), asked.seed)
            .map(only)
            .map_err(Failed::usage);
    };
    match written(file)? {
        Written::Exported(fleet) => Ok(only(fleet)),
        Written::ByHand(made) => Ok(*made),
        Written::Ganeti(problem) => drawn::of_rows(&problem, policies)
            .map(only)
            .map_err(|bad| Failed::usage(format!("{}: {bad}", file.display()))),
    }
}

/// On standard error, where somebody looks at it: how far it is.
struct Shown {
    lively: bool,
    percent: Option<usize>,
}

impl Shown {
    fn new(json: bool) -> Self {
        Self { lively: !json && std::io::stderr().is_terminal(), percent: None }
    }

    fn tell(&mut self, progress: Progress) {
        let percent = progress.over * 100 / progress.hosts.max(1);
        // A long wait for owners is told as well.
        if !self.lively || (self.percent == Some(percent) && !progress.looks.is_multiple_of(100)) {
            return;
        }
        self.percent = Some(percent);
        let at = progress.now.format("%Y-%m-%d %H:%M");
        // Nobody is left to be told when this fails.
        let _ = write!(
            std::io::stderr(),
            "\r{percent:3} %  {} of {} hosts over, {at} UTC, {} looks ",
            progress.over,
            progress.hosts,
            progress.looks
        );
    }

    fn over(&self) {
        if self.lively {
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn draw(file: &Path, screen: &Screen, outcome: &Outcome) -> Result<(), Failed> {
    let report = &outcome.report;
    let title =
        format!("Maintenance of {}, {}", count(report.hosts, "host"), count(report.servers, "server"));
    let html = outcome.timeline.html(&title, &facts(screen, report));
    fs::write(file, html).map_err(|error| {
        Failed::refused(format!("{} can't be written: {error}", file.display()))
            .hint("--timeline names a file in a folder that is there.")
    })
}

fn took(report: &Report) -> Span {
    Span::between(report.began_at, report.ended_at)
}

/// What is told above the picture, and first on the screen.
fn facts(screen: &Screen, report: &Report) -> Vec<(&'static str, String)> {
    let moves = &report.moves;
    let reboots = match moves.reboot {
        0 => String::new(),
        reboots => format!(", {} by a reboot", reboots),
    };
    let times = match moves.more_than_once {
        0 => "none twice".to_owned(),
        more => format!("{} more than once", count(more, "server")),
    };
    let late = match (report.deadline.hosts_late, report.deadline.servers_late) {
        (0, _) => "kept".to_owned(),
        (hosts, servers) => {
            format!("missed by {} and {}", count(hosts, "host"), count(servers, "server"))
        }
    };
    let mut hosts = format!("{} of {} done", report.done, report.hosts);
    for (some, what) in
        [(report.skipped, "left out"), (report.failed, "failed"), (report.left.len(), "not over")]
    {
        if some > 0 {
            hosts.push_str(&format!(", {some} {what}"));
        }
    }
    vec![
        ("ended", report.ended.to_string()),
        ("took", span(took(report))),
        ("hosts", hosts),
        ("moves", format!("{}{reboots}, {times}", moves.live + moves.reboot)),
        ("failed tries", moves.tries_failed.to_string()),
        ("fell back to a reboot", moves.fell_back.to_string()),
        ("deadline", format!("{}: {late}", screen.times().at(report.deadline.at))),
        (
            "standing still",
            format!("{} in all, {} at most", span(report.live.total), span(report.live.longest)),
        ),
        ("off", format!("{} in all, {} at most", span(report.reboots.total), span(report.reboots.longest))),
        (
            "at once at most",
            format!(
                "{} under way, {} over all links, {} over one host's",
                count(report.peaks.moving, "server"),
                rate(report.peaks.rate),
                report.peaks.at_one_host
            ),
        ),
    ]
}

fn show(screen: &Screen, outcome: &Outcome, timeline: Option<&Path>) {
    let report = &outcome.report;
    screen.line(
        "The scheduler's own decisions, in a world of figures: no database, no mails, no libvirt. How long things take is a model.\n",
    );
    let mut facts = facts(screen, report);
    facts.push(("looks", report.looks.to_string()));
    facts.push(("digest", report.story.clone()));
    if outcome.killed > 0 {
        facts.push(("scheduler killed", count(outcome.killed as usize, "time")));
    }
    screen.facts(&facts);
    if !report.owners.is_empty() {
        let mut rows = Rows::new(&["OWNER", "MOVES", "BY A REBOOT", "DOWN IN ALL", "LONGEST"]);
        for owner in report.owners.iter().take(SHOWN) {
            rows.push(vec![
                owner.owner.to_string(),
                owner.moves.to_string(),
                owner.reboots.to_string(),
                span(owner.downtime.total),
                span(owner.downtime.longest),
            ]);
        }
        screen.line("");
        screen.table(&rows, "nobody's server was moved");
        more(screen, report.owners.len(), "owner");
    }
    if !report.left.is_empty() {
        let mut rows = Rows::new(&["HOST NOT OVER", "IT IS", "WHY"]);
        for left in report.left.iter().take(SHOWN) {
            rows.push(vec![left.host.to_string(), left.stage.clone(), left.why.clone().unwrap_or_default()]);
        }
        screen.line("");
        screen.table(&rows, "all are over");
        more(screen, report.left.len(), "host");
    }
    if report.overfull > 0 {
        screen.line(format!(
            "\n{} arrived at hosts that carried more memory than they have; please report this with the fleet.",
            count(report.overfull, "server")
        ));
    }
    if let Some(why) = &report.no_room {
        screen.line(format!("\nWhat last kept hosts from beginning: {why}"));
    }
    if let Some(file) = timeline {
        let size = fs::metadata(file).map_or(0, |file| file.len());
        screen.line(format!("\nThe picture: {} ({})", file.display(), bytes(size)));
    }
}

fn more(screen: &Screen, all: usize, what: &str) {
    if all > SHOWN {
        screen.line(format!("… and {}; --json names all.", count(all - SHOWN, &format!("other {what}"))));
    }
}
