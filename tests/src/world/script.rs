//! The language of a scenario's `script`: one command per line, `#` begins a comment.
//!
//! ```text
//! at +30s COMMAND             at that time after the beginning
//! after 30s COMMAND           so long after the line before
//! COMMAND                     at once
//! until CONDITION within 3h   lets time pass until it holds; it is an error when it does not
//! expect CONDITION            must hold now             expect not CONDITION    must not
//! for-each-crash-point agent h1 | scheduler             (first line) the rest is run once for each moment at which that one can die
//! ```
//!
//! Commands and conditions are those of [`Command`] and [`Condition`]; servers, hosts and owners go by their names. A migration is the latest of its
//! server, or goes by its ticket: `DR-1001`.

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use drover_host_agent::hypervisor::simulated::{Moment, Script as HookScript};
use drover_policies::attempt::FailureClass;
use drover_policies::blueprint::{Blueprint, Boot};
use drover_policies::ids::{HookName, HostName, OwnerId};
use drover_policies::time::Span;

use super::fleet_file::bytes;

mod hook;

/// A whole script.
#[derive(Debug, Clone)]
pub struct Script {
    /// Whether it is run once, or once for each crash point.
    pub mode: Mode,
    /// What is done, in this order.
    pub lines: Vec<Line>,
}

/// How often a script is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Once.
    Story,
    /// Once for each call at which this host's agent can die.
    EachCallOf(HostName),
    /// Once for each commit after which the scheduler can die, and each delivery that it can be cut off in.
    EachStepOfScheduler,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// As it is written, without the time.
    pub text: String,
    /// Its number in the file, from 1.
    pub number: usize,
    /// When.
    pub when: When,
    /// What.
    pub step: Step,
}

/// When a line is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// So long after the beginning.
    At(Span),
    /// So long after the line before.
    After(Span),
}

/// What a line is.
#[derive(Debug, Clone)]
pub enum Step {
    /// Something is done.
    Do(Command),
    /// Time passes until it holds.
    Until {
        /// What.
        condition: Condition,
        /// At most so long.
        within: Span,
    },
    /// It must hold, or must not.
    Expect {
        /// What.
        condition: Condition,
        /// Whether it must.
        holds: bool,
    },
}

/// What can be done.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the line of the script above each says what its fields are")]
pub enum Command {
    /// `wait`: nothing, at its time.
    Wait,
    /// `drain h1 h2 --reason kernel-update --deadline 2h`
    Drain { hosts: Vec<HostName>, reason: String, deadline: Option<Span> },
    /// `draft {"select": {"all": true}, "reason": "kernel", "rolling": {"hosts_at_once": 2}}`: the body of the API, in one line
    Draft { body: serde_json::Value },
    /// `operator pause|resume|cancel MT-1`, `operator approve MT-1`, `operator retry-host|skip-host MT-1 h2`, `operator emergency MT-1 the fan is broken`
    Maintenance { verb: MaintenanceVerb, number: u32 },
    /// `operator|owner acme abort|retry|force|approve|decline|cancel|confirm|revert|migrate-now web-1`, `… reschedule|migrate web-1 +3h`,
    /// `… revert web-1 +3h`, `… revert-losing web-1`, `… copy sync|pause|resume web-1`
    Migration { by: Caller, verb: MigrationVerb, server: String },
    /// `operator import legacy to auto|h2 20GiB off|started`: a foreign server with one disk of this size.
    Import { server: String, to: String, size: u64, start: bool },
    /// `operator cancel-import|retry-import|retry-import-anew legacy`
    ChangeImport { verb: ImportVerb, server: String },
    /// `cordon h2 flaky memory`
    Cordon { host: HostName, reason: String },
    /// `uncordon h2`
    Uncordon { host: HostName },
    /// `owner acme window * * * * * for 1h in Europe/Berlin` (for the whole account)
    Window { owner: OwnerId, cron: String, duration: Span, timezone: String },
    /// `owner acme freeze 2026-01-06 launch day` (for the whole account)
    Freeze { owner: OwnerId, day: String, name: String },
    /// `owner acme limit 1` (of the whole account)
    Limit { owner: OwnerId, most: u32 },
    /// `owner acme check shop http 80 /health`, `owner acme check ssh tcp 22`: for all of his servers.
    Check { owner: OwnerId, name: String, check: String, port: u16, path: Option<String> },
    /// `operator|owner acme blueprint web-1 memory 4GiB vcpus 4 network br0=br1 boot later`, any of them; `… clear`
    Blueprint { by: Caller, server: String, blueprint: Option<Blueprint> },
    /// `owner acme stop|start|pause|delete web-1`
    Touch { touch: Touch, server: String },
    /// `kill agent h1`, `kill agent h1 at call 7 before|after`
    KillAgent { host: HostName, at: Option<(u64, Moment)> },
    /// `start agent h1`
    StartAgent { host: HostName },
    /// `kill scheduler`
    KillScheduler,
    /// `start scheduler`
    StartScheduler,
    /// `cut link h1 h2`, `cut link h1 scheduler`
    Cut(Link),
    /// `heal link h1 h2`, `heal link h1 scheduler`
    Heal(Link),
    /// `libvirtd h2 stop|start`
    Daemon { host: HostName, up: bool },
    /// `crash host h3`
    CrashHost { host: HostName },
    /// `start host h3`
    StartHost { host: HostName },
    /// `hook h1 maintain`, with any of `takes 5m`, `hangs`, `exits 70`, `reboots for 3m`, `floods`, `upgrades libvirt`: what that hook does
    /// there from now on, when it is run.
    Hook { host: HostName, hook: HookName, script: HookScript },
    /// See [`Fault`].
    Fault(Fault),
    /// `clock jump +2h`, `clock jump -2h`: the scheduler's.
    ClockJump { by: TimeDelta },
    /// `agent clock h1 +5m`
    AgentClock { host: HostName, by: TimeDelta },
    /// `appear web-9 on h1`
    Appear { server: String, host: HostName },
    /// `carry web-1 to h2`: somebody moves it by hand, as an outage of a moment.
    Carry { server: String, host: HostName },
    /// `unblock web-1`: what kept it from going live ends.
    Unblock { server: String },
    /// `block web-1`: a block job begins on its disk.
    Block { server: String },
    /// `mail down|up`
    Mail { up: bool },
    /// `owner acme answers web-1: move to 2026-01-10 22:00`: to the last mail about it.
    Answers { owner: OwnerId, server: String, text: String },
    /// `operator|owner acme drill web-1 in 15m for 5m`
    Drill { by: Caller, server: String, starts_in: Span, duration: Span },
    /// `guest web-1 reads|acknowledges`: software in it asks its host's agent for its events, and says that it is ready for all of them.
    Guest { verb: GuestVerb, server: String },
}

/// What an operator does to an import.
#[derive(Debug, Clone, Copy)]
pub enum ImportVerb {
    /// It is called off.
    Cancel,
    /// It goes on where it stopped.
    Retry,
    /// It begins from the beginning.
    RetryAnew,
}

/// What software in a guest does.
#[derive(Debug, Clone, Copy)]
pub enum GuestVerb {
    /// It reads its events.
    Reads,
    /// It is ready for them.
    Acknowledges,
}

/// Between whom a link is.
#[derive(Debug, Clone)]
pub enum Link {
    /// Two hosts.
    Hosts(HostName, HostName),
    /// A host's agent and the scheduler.
    Scheduler(HostName),
}

/// What an operator does to a maintenance.
#[derive(Debug, Clone)]
pub enum MaintenanceVerb {
    /// Nothing new is begun.
    Pause,
    /// It goes on.
    Resume,
    /// It is given up.
    Cancel,
    /// Windows are skipped, for this reason.
    Emergency(String),
    /// It begins.
    Approve,
    /// A host is tried again.
    RetryHost(HostName),
    /// A host is left out.
    SkipHost(HostName),
}

/// What somebody does to a migration.
#[derive(Debug, Clone)]
pub enum MigrationVerb {
    /// Stop what runs.
    Abort,
    /// Begin anew.
    Retry,
    /// Go on without waiting.
    Force,
    /// Agree to the time.
    Approve,
    /// Not at that time.
    Decline,
    /// Do it now.
    Now,
    /// Another time, so long after the beginning of the scenario.
    Reschedule(Span),
    /// Do it at this time, as long after the beginning.
    At(Span),
    /// Take back what was asked for.
    Cancel,
    /// Say that all is well.
    Confirm,
    /// Take the server back, now or at this time.
    Revert(Option<Span>),
    /// Back now, to the old disks as they were.
    RevertLosing,
    /// The copy of its disks.
    Copy(CopyVerb),
}

/// What somebody does to the copy of a server's disks.
#[derive(Debug, Clone, Copy)]
pub enum CopyVerb {
    /// A round at once.
    Sync,
    /// No rounds until it is resumed.
    Pause,
    /// Rounds again.
    Resume,
}

impl MigrationVerb {
    /// Its name in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Retry => "retry",
            Self::Force => "force",
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Now => "start-now",
            Self::Reschedule(_) => "reschedule",
            Self::At(_) => "migrate",
            Self::Cancel => "cancel",
            Self::Confirm => "confirm",
            Self::Revert(_) | Self::RevertLosing => "revert",
            Self::Copy(CopyVerb::Sync) => "replica/sync",
            Self::Copy(CopyVerb::Pause) => "replica/pause",
            Self::Copy(CopyVerb::Resume) => "replica/resume",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An operator.
    Operator,
    /// An owner.
    Owner(OwnerId),
}

/// What an owner does to his server from inside, or by his own panel.
#[derive(Debug, Clone, Copy)]
pub enum Touch {
    /// Shuts it down.
    Stop,
    /// Starts it.
    Start,
    /// Pauses it.
    Pause,
    /// Deletes it.
    Delete,
}

/// What goes wrong, once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// `fault h2 define fails`
    Define(HostName),
    /// `fault h2 start fails`
    Start(HostName),
    /// `fault h2 disk fails`: at the next boot there.
    Disk(HostName),
    /// `fault h2 answer 3 lost`
    Answer(HostName, u32),
    /// `fault web-1 receiver dies at 40`
    Receiver(String, u8),
    /// `fault web-1 refused by-source|by-destination|busy`
    Refused(String, FailureClass),
    /// `fault h2 import in the way: the source is not there`
    ImportInTheWay(HostName, String),
    /// `fault h2 conversion fails`
    Conversion(HostName),
    /// `fault web-1 tail fails`: the next round from its powered-off disks.
    Tail(String),
}

/// What can be waited for and expected.
#[derive(Debug, Clone)]
pub enum Condition {
    /// `drained h1`
    Drained(HostName),
    /// `standing h1 open`
    Standing(HostName, String),
    /// `completed MT-1`: it is over and was not cancelled.
    Completed(u32),
    /// `stands MT-1 paused`
    Stands(u32, String),
    /// `stage MT-1 h2 working`: as the API has it.
    Stage(u32, HostName, String),
    /// `state web-1 transferring`
    State(String, String),
    /// `phase web-1 power off source`: as its agent told last.
    Phase(String, String),
    /// `waits web-1 place`
    Waits(String, String),
    /// `method web-1 live`
    Method(String, String),
    /// `running web-1 h2`
    Running(String, HostName),
    /// `off web-1 h2`
    Off(String, HostName),
    /// `nowhere web-1`
    Nowhere(String),
    /// `told web-1 done`
    Told(String, String),
    /// `sent web-1 40`: so many per cent of the memory.
    Sent(String, u8),
    /// `shown web-1 Scheduled`: as its guest reads it; `nothing` when it reads that there is nothing.
    Shown(String, String),
    /// `copy web-1 h2`: that host holds a copy of its disks.
    Copy(String, HostName),
    /// `looks web-1 4GiB 4 br1`: its memory, its processors and the bridge that it is plugged into, on the first host that has it.
    Looks(String, u64, u32, String),
    /// `disks web-1 h1`: that host has files where its definition names its disks.
    Disks(String, HostName),
    /// `import legacy failed`: the state of the import of this name, or the step that its agent is at.
    Import(String, String),
    /// `quiet`: nothing runs.
    Quiet,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// A line is none; it says which and why.
    pub fn parse(text: &str) -> Result<Self> {
        let mut mode = Mode::Story;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let read = || format!("script line {number}: {line}");
            if let ["for-each-crash-point", rest @ ..] = words.as_slice() {
                mode = match rest {
                    ["agent", host] => Mode::EachCallOf(host.parse().with_context(read)?),
                    ["scheduler"] => Mode::EachStepOfScheduler,
                    _ => bail!("{}: `agent HOST` or `scheduler` belongs here", read()),
                };
                continue;
            }
            lines.push(parse_line(&words, number).with_context(read)?);
        }
        Ok(Self { mode, lines })
    }
}

fn parse_line(words: &[&str], number: usize) -> Result<Line> {
    let (when, words) = match words {
        ["at", time, rest @ ..] => {
            (When::At(time.strip_prefix('+').context("a time is written +30s")?.parse()?), rest)
        }
        ["after", time, rest @ ..] => (When::After(time.parse()?), rest),
        _ => (When::Now, words),
    };
    let step = match words {
        ["until", condition @ .., "within", within] => {
            Step::Until { condition: parse_condition(condition)?, within: within.parse()? }
        }
        ["until", ..] => bail!("say how long: until CONDITION within 3h"),
        ["expect", "not", condition @ ..] => {
            Step::Expect { condition: parse_condition(condition)?, holds: false }
        }
        ["expect", condition @ ..] => Step::Expect { condition: parse_condition(condition)?, holds: true },
        command => Step::Do(parse_command(command)?),
    };
    Ok(Line { text: words.join(" "), number, when, step })
}

fn parse_command(words: &[&str]) -> Result<Command> {
    Ok(match words {
        ["wait"] => Command::Wait,
        ["drain", rest @ ..] => parse_drain(rest)?,
        ["operator", verb @ ("pause" | "resume" | "cancel"), number] => {
            let verb = match *verb {
                "pause" => MaintenanceVerb::Pause,
                "resume" => MaintenanceVerb::Resume,
                _ => MaintenanceVerb::Cancel,
            };
            Command::Maintenance { verb, number: maintenance(number)? }
        }
        ["operator", "emergency", number, why @ ..] => Command::Maintenance {
            verb: MaintenanceVerb::Emergency(why.join(" ")),
            number: maintenance(number)?,
        },
        ["operator", "import", server, "to", to, size, power @ ("off" | "started")] => Command::Import {
            server: (*server).to_owned(),
            to: (*to).to_owned(),
            size: bytes(size)?,
            start: *power == "started",
        },
        ["operator", verb @ ("cancel-import" | "retry-import" | "retry-import-anew"), server] => {
            let verb = match *verb {
                "cancel-import" => ImportVerb::Cancel,
                "retry-import" => ImportVerb::Retry,
                _ => ImportVerb::RetryAnew,
            };
            Command::ChangeImport { verb, server: (*server).to_owned() }
        }
        ["draft", rest @ ..] => Command::Draft { body: serde_json::from_str(&rest.join(" "))? },
        ["operator", "approve", number] if number.starts_with("MT-") => {
            Command::Maintenance { verb: MaintenanceVerb::Approve, number: maintenance(number)? }
        }
        ["operator", "retry-host", number, host] => Command::Maintenance {
            verb: MaintenanceVerb::RetryHost(host.parse()?),
            number: maintenance(number)?,
        },
        ["operator", "skip-host", number, host] => Command::Maintenance {
            verb: MaintenanceVerb::SkipHost(host.parse()?),
            number: maintenance(number)?,
        },
        ["operator", "drill", rest @ ..] => parse_drill(Caller::Operator, rest)?,
        ["operator", "blueprint", rest @ ..] => parse_blueprint(Caller::Operator, rest)?,
        ["owner", owner, "blueprint", rest @ ..] => parse_blueprint(Caller::Owner(owner.parse()?), rest)?,
        ["operator", rest @ ..] => parse_migration(Caller::Operator, rest)?,
        ["cordon", host, reason @ ..] => Command::Cordon { host: host.parse()?, reason: reason.join(" ") },
        ["uncordon", host] => Command::Uncordon { host: host.parse()? },
        ["owner", owner, "window", cron @ .., "for", duration, "in", timezone] => Command::Window {
            owner: owner.parse()?,
            cron: cron.join(" "),
            duration: duration.parse()?,
            timezone: (*timezone).to_owned(),
        },
        ["owner", owner, "freeze", day, name @ ..] => {
            Command::Freeze { owner: owner.parse()?, day: (*day).to_owned(), name: name.join(" ") }
        }
        ["owner", owner, "limit", most] => Command::Limit { owner: owner.parse()?, most: most.parse()? },
        ["owner", owner, "check", name, check, port, path @ ..] => Command::Check {
            owner: owner.parse()?,
            name: (*name).to_owned(),
            check: (*check).to_owned(),
            port: port.parse()?,
            path: path.first().map(|path| (*path).to_owned()),
        },
        ["owner", _, touch @ ("stop" | "start" | "pause" | "delete"), server] => {
            let touch = match *touch {
                "stop" => Touch::Stop,
                "start" => Touch::Start,
                "pause" => Touch::Pause,
                _ => Touch::Delete,
            };
            Command::Touch { touch, server: (*server).to_owned() }
        }
        ["owner", owner, "answers", server, text @ ..] => Command::Answers {
            owner: owner.parse()?,
            server: server.trim_end_matches(':').to_owned(),
            text: text.join(" "),
        },
        ["owner", owner, "drill", rest @ ..] => parse_drill(Caller::Owner(owner.parse()?), rest)?,
        ["owner", owner, rest @ ..] => parse_migration(Caller::Owner(owner.parse()?), rest)?,
        ["mail", state @ ("up" | "down")] => Command::Mail { up: *state == "up" },
        ["guest", server, verb @ ("reads" | "acknowledges")] => Command::Guest {
            verb: if *verb == "reads" { GuestVerb::Reads } else { GuestVerb::Acknowledges },
            server: (*server).to_owned(),
        },
        ["hook", host, hook, rest @ ..] => {
            Command::Hook { host: host.parse()?, hook: hook.parse()?, script: hook::parse(rest)? }
        }
        ["fault", rest @ ..] => Command::Fault(parse_fault(rest)?),
        ["clock", "jump", by] => Command::ClockJump { by: signed(by)? },
        ["agent", "clock", host, by] => Command::AgentClock { host: host.parse()?, by: signed(by)? },
        _ => parse_machinery(words)?,
    })
}

fn parse_drain(words: &[&str]) -> Result<Command> {
    let (mut hosts, mut reason, mut deadline) = (Vec::new(), "kernel-update".to_owned(), None);
    let mut rest = words;
    loop {
        rest = match rest {
            [] => break,
            ["--reason", given, rest @ ..] => {
                reason = (*given).to_owned();
                rest
            }
            ["--deadline", given, rest @ ..] => {
                deadline = Some(given.parse()?);
                rest
            }
            [host, rest @ ..] => {
                hosts.push(host.parse()?);
                rest
            }
        };
    }
    Ok(Command::Drain { hosts, reason, deadline })
}

fn parse_drill(by: Caller, words: &[&str]) -> Result<Command> {
    match words {
        [server, "in", starts_in, "for", duration] => Ok(Command::Drill {
            by,
            server: (*server).to_owned(),
            starts_in: starts_in.parse()?,
            duration: duration.parse()?,
        }),
        _ => bail!("drill SERVER in 15m for 5m belongs here"),
    }
}

fn parse_blueprint(by: Caller, words: &[&str]) -> Result<Command> {
    let [server, words @ ..] = words else { bail!("blueprint SERVER … belongs here") };
    let server = (*server).to_owned();
    if let ["clear"] = words {
        return Ok(Command::Blueprint { by, server, blueprint: None });
    }
    let mut blueprint = Blueprint::default();
    for pair in words.chunks(2) {
        match pair {
            ["memory", size] => blueprint.memory_bytes = Some(bytes(size)?),
            ["vcpus", vcpus] => blueprint.vcpus = Some(vcpus.parse()?),
            ["boot", "later"] => blueprint.boot = Boot::Later,
            ["network", change] => {
                let (from, to) = change.split_once('=').context("a network is written br0=br1")?;
                blueprint.networks.insert(from.to_owned(), to.to_owned());
            }
            _ => bail!("memory 4GiB, vcpus 4, network br0=br1, boot later or clear belongs here"),
        }
    }
    Ok(Command::Blueprint { by, server, blueprint: Some(blueprint) })
}

fn parse_migration(by: Caller, words: &[&str]) -> Result<Command> {
    let (verb, server) = match words {
        ["abort", server] => (MigrationVerb::Abort, server),
        ["retry", server] => (MigrationVerb::Retry, server),
        ["force", server] => (MigrationVerb::Force, server),
        ["approve", server] => (MigrationVerb::Approve, server),
        ["decline", server] => (MigrationVerb::Decline, server),
        ["migrate-now", server] => (MigrationVerb::Now, server),
        ["cancel", server] => (MigrationVerb::Cancel, server),
        ["confirm", server] => (MigrationVerb::Confirm, server),
        ["copy", "sync", server] => (MigrationVerb::Copy(CopyVerb::Sync), server),
        ["copy", "pause", server] => (MigrationVerb::Copy(CopyVerb::Pause), server),
        ["copy", "resume", server] => (MigrationVerb::Copy(CopyVerb::Resume), server),
        ["revert", server] => (MigrationVerb::Revert(None), server),
        ["revert-losing", server] => (MigrationVerb::RevertLosing, server),
        ["revert", server, time] => (MigrationVerb::Revert(Some(since_start(time)?)), server),
        ["migrate", server, time] => (MigrationVerb::At(since_start(time)?), server),
        ["reschedule", server, time] => (MigrationVerb::Reschedule(since_start(time)?), server),
        _ => {
            bail!(
                "abort, retry, force, approve, decline, cancel, confirm, revert, revert-losing, migrate-now SERVER or reschedule, migrate, revert SERVER +TIME belongs here"
            )
        }
    };
    Ok(Command::Migration { by, verb, server: (*server).to_owned() })
}

fn since_start(time: &str) -> Result<Span> {
    Ok(time.strip_prefix('+').context("a time is written +3h, from the beginning on")?.parse()?)
}

fn parse_machinery(words: &[&str]) -> Result<Command> {
    Ok(match words {
        ["kill", "agent", host] => Command::KillAgent { host: host.parse()?, at: None },
        ["kill", "agent", host, "at", "call", call, moment @ ("before" | "after")] => {
            let moment = if *moment == "before" { Moment::Before } else { Moment::After };
            Command::KillAgent { host: host.parse()?, at: Some((call.parse()?, moment)) }
        }
        ["start", "agent", host] => Command::StartAgent { host: host.parse()? },
        ["kill", "scheduler"] => Command::KillScheduler,
        ["start", "scheduler"] => Command::StartScheduler,
        ["cut", "link", a, b] => Command::Cut(link(a, b)?),
        ["heal", "link", a, b] => Command::Heal(link(a, b)?),
        ["libvirtd", host, state @ ("start" | "stop")] => {
            Command::Daemon { host: host.parse()?, up: *state == "start" }
        }
        ["crash", "host", host] => Command::CrashHost { host: host.parse()? },
        ["start", "host", host] => Command::StartHost { host: host.parse()? },
        ["appear", server, "on", host] => {
            Command::Appear { server: (*server).to_owned(), host: host.parse()? }
        }
        ["carry", server, "to", host] => Command::Carry { server: (*server).to_owned(), host: host.parse()? },
        ["unblock", server] => Command::Unblock { server: (*server).to_owned() },
        ["block", server] => Command::Block { server: (*server).to_owned() },
        _ => bail!("there is no such command"),
    })
}

fn parse_fault(words: &[&str]) -> Result<Fault> {
    Ok(match words {
        [host, "define", "fails"] => Fault::Define(host.parse()?),
        [host, "start", "fails"] => Fault::Start(host.parse()?),
        [host, "disk", "fails"] => Fault::Disk(host.parse()?),
        [host, "answer", call, "lost"] => Fault::Answer(host.parse()?, call.parse()?),
        [host, "import", "in", "the", "way:", what @ ..] => {
            Fault::ImportInTheWay(host.parse()?, what.join(" "))
        }
        [host, "conversion", "fails"] => Fault::Conversion(host.parse()?),
        [server, "tail", "fails"] => Fault::Tail((*server).to_owned()),
        [server, "receiver", "dies", "at", percent] => {
            Fault::Receiver((*server).to_owned(), percent.parse()?)
        }
        [server, "refused", by] => {
            let class = match *by {
                "by-source" => FailureClass::RefusedBySource,
                "by-destination" => FailureClass::RefusedByDestination,
                "busy" => FailureClass::Busy,
                _ => bail!("by-source, by-destination or busy belongs here"),
            };
            Fault::Refused((*server).to_owned(), class)
        }
        _ => bail!("there is no such fault"),
    })
}

fn parse_condition(words: &[&str]) -> Result<Condition> {
    let text = |word: &str| word.to_owned();
    Ok(match words {
        ["drained", host] => Condition::Drained(host.parse()?),
        ["standing", host, standing] => Condition::Standing(host.parse()?, text(standing)),
        ["completed", number] => Condition::Completed(maintenance(number)?),
        ["stands", number, state] => Condition::Stands(maintenance(number)?, text(state)),
        ["stage", number, host, stage] => Condition::Stage(maintenance(number)?, host.parse()?, text(stage)),
        ["state", server, state] => Condition::State(text(server), text(state)),
        ["phase", server, phase @ ..] => Condition::Phase(text(server), phase.join(" ")),
        ["waits", server, what] => Condition::Waits(text(server), text(what)),
        ["method", server, method] => Condition::Method(text(server), text(method)),
        ["running", server, host] => Condition::Running(text(server), host.parse()?),
        ["off", server, host] => Condition::Off(text(server), host.parse()?),
        ["nowhere", server] => Condition::Nowhere(text(server)),
        ["told", server, kind] => Condition::Told(text(server), text(kind)),
        ["sent", server, percent] => Condition::Sent(text(server), percent.parse()?),
        ["shown", server, what] => Condition::Shown(text(server), text(what)),
        ["copy", server, host] => Condition::Copy(text(server), host.parse()?),
        ["looks", server, memory, vcpus, bridge] => {
            Condition::Looks(text(server), bytes(memory)?, vcpus.parse()?, text(bridge))
        }
        ["disks", server, host] => Condition::Disks(text(server), host.parse()?),
        ["import", server, what] => Condition::Import(text(server), text(what)),
        ["quiet"] => Condition::Quiet,
        _ => bail!("there is no such condition"),
    })
}

fn maintenance(text: &str) -> Result<u32> {
    Ok(text.strip_prefix("MT-").context("a maintenance is written MT-1")?.parse()?)
}

fn link(a: &str, b: &str) -> Result<Link> {
    Ok(match (a, b) {
        (host, "scheduler") | ("scheduler", host) => Link::Scheduler(host.parse()?),
        (a, b) => Link::Hosts(a.parse()?, b.parse()?),
    })
}

fn signed(text: &str) -> Result<TimeDelta> {
    let (sign, span) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(span), _) => (1, span),
        (None, Some(span)) => (-1, span),
        (None, None) => bail!("write +2h or -2h"),
    };
    Ok(span.parse::<Span>()?.delta() * sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_none_is_named() {
        let error = Script::parse("wait\nkill scheduler twice").expect_err("refused");
        assert_eq!(format!("{error:#}"), "script line 2: kill scheduler twice: there is no such command");
        let error = Script::parse("until drained h1").expect_err("refused");
        assert!(format!("{error:#}").contains("within"), "{error:#}");
    }

    #[test]
    fn times_are_of_the_scenario_or_of_the_line_before() {
        let script = Script::parse("at +30s wait # half a minute\n\nafter 2h kill agent h1 at call 7 before")
            .expect("read");
        assert_eq!(script.lines[0].when, When::At(Span::seconds(30)));
        assert_eq!(script.lines[1].when, When::After(Span::hours(2)));
        assert!(matches!(
            script.lines[1].step,
            Step::Do(Command::KillAgent { at: Some((7, Moment::Before)), .. })
        ));
        assert_eq!(script.lines[1].number, 3);
    }
}
