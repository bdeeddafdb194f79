//! A scenario folder: read, run, and compared with what it is expected to be.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use drover_host_agent::hypervisor::simulated::Moment;
use drover_policies::ids::HostName;
use drover_policies::policy::PolicySet;
use similar::TextDiff;

use super::fleet_file::FleetFile;
use super::run::{SchedulerDeath, World};
use super::script::{Mode, Script};

/// More crash points than any scenario has; a run that dies nowhere ends the loop.
const MOST_POINTS: u64 = 400;

/// A scenario.
pub struct Scenario {
    /// Its folder.
    pub folder: PathBuf,
    script: Script,
    policies: PolicySet,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// For `log.expect`.
    pub log: String,
    /// For `mail.expect`.
    pub mail: String,
    /// For `operators.expect`, which only those stories have that show what operators are told.
    pub operators: String,
}

/// What is used where a scenario brings no policy of its own: hours in place of days.
pub const POLICY: &str = include_str!("../../scenarios/policy.toml");

impl Scenario {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file is missing or makes no sense.
    pub fn read(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        if text("README.md")?.trim().is_empty() {
            bail!("README.md says nothing; write in a few sentences what the scenario shows");
        }
        let own = folder.join("policy.toml").exists().then(|| text("policy.toml")).transpose()?;
        // The later name wins.
        let mut files = vec![("../policy.toml", POLICY)];
        files.extend(own.as_deref().map(|own| ("policy.toml", own)));
        let policies = PolicySet::parse(&files).map_err(|problems| {
            anyhow::anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        Ok(Self { folder: folder.to_owned(), script: Script::parse(&text("script")?)?, policies })
    }

    /// Runs it, in whatever mode it is written for.
    ///
    /// # Errors
    /// Something that must not happen has happened, or an expectation does not hold.
    pub async fn run(&self) -> Result<Ran> {
        match &self.script.mode {
            Mode::Story => {
                let mut world = self.begin().await?;
                self.perform(&mut world).await?;
                Ok(Ran {
                    log: world.story.text().to_owned(),
                    mail: world.mailbox.of_tickets(),
                    operators: world.mailbox.of_maintenances(),
                })
            }
            Mode::EachCallOf(host) => self.each_call(host).await,
            Mode::EachStepOfScheduler => self.each_step().await,
        }
    }

    async fn begin(&self) -> Result<World> {
        World::begin(FleetFile::read(&self.folder.join("fleet.toml"))?, self.policies.clone()).await
    }

    async fn perform(&self, world: &mut World) -> Result<()> {
        for line in &self.script.lines {
            world
                .perform(line)
                .await
                .with_context(|| format!("script line {}: {}", line.number, line.text))?;
        }
        world.end().await
    }

    async fn each_call(&self, host: &HostName) -> Result<Ran> {
        let mut summary = Summary::default();
        for moment in [Moment::Before, Moment::After] {
            let name = match moment {
                Moment::Before => "before",
                Moment::After => "after",
            };
            for call in 1..MOST_POINTS {
                let mut world = self.begin().await?;
                world.restarts = true;
                world.fleet.kill_agent_at_call(host, call, moment);
                let point = format!("the agent of {host} dies {name} its call {call}");
                self.perform(&mut world).await.with_context(|| point.clone())?;
                if world.deaths.is_empty() {
                    break;
                }
                summary.add(&format!("{name} call"), call, &world);
            }
        }
        Ok(summary.ran())
    }

    async fn each_step(&self) -> Result<Ran> {
        let mut summary = Summary::default();
        type Death = fn(u64) -> SchedulerDeath;
        let kinds: [(&str, Death); 2] =
            [("after commit", SchedulerDeath::AfterCommit), ("in delivery", SchedulerDeath::InDelivery)];
        for (name, death) in kinds {
            for number in 1..MOST_POINTS {
                let mut world = self.begin().await?;
                world.restarts = true;
                // What was stored while the world was set up is nobody's story.
                let before = match death(number) {
                    SchedulerDeath::AfterCommit(_) => world.control.commits,
                    SchedulerDeath::InDelivery(_) => world.control.deliveries,
                };
                world.death = Some(death(before + number));
                let point = format!("the scheduler dies {name} {number}");
                self.perform(&mut world).await.with_context(|| point.clone())?;
                if world.deaths.is_empty() {
                    break;
                }
                summary.add(name, number, &world);
            }
        }
        Ok(summary.ran())
    }

    /// Runs it and compares; with `UPDATE_EXPECT=1`, or where there is nothing to compare with yet, what came is written.
    ///
    /// # Errors
    /// The run failed, or came to something else.
    pub async fn check(&self, update: bool) -> Result<()> {
        let ran = self.run().await?;
        let operators = ("operators.expect", &ran.operators);
        let differences: Vec<String> = [("log.expect", &ran.log), ("mail.expect", &ran.mail)]
            .into_iter()
            .chain(self.folder.join(operators.0).exists().then_some(operators))
            .filter_map(|(name, text)| compare(&self.folder.join(name), text, update).transpose())
            .collect::<Result<_>>()?;
        if differences.is_empty() {
            return Ok(());
        }
        bail!("it went otherwise (UPDATE_EXPECT=1 accepts it as it is):\n{}", differences.join("\n"))
    }
}

fn compare(path: &Path, text: &str, update: bool) -> Result<Option<String>> {
    if update || !path.exists() {
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        return Ok(None);
    }
    let expected = std::fs::read_to_string(path)?;
    if expected == text {
        return Ok(None);
    }
    let name = path.display().to_string();
    let diff = TextDiff::from_lines(expected.as_str(), text);
    Ok(Some(diff.unified_diff().context_radius(3).header(&name, "what came").to_string()))
}

/// Runs over crash points: which points come to the same end.
#[derive(Debug, Default)]
struct Summary {
    ends: Vec<(String, u64, u64, String)>,
}

impl Summary {
    fn add(&mut self, kind: &str, point: u64, world: &World) {
        let end = end_of(world);
        match self.ends.last_mut() {
            Some((last, _, to, same)) if last == kind && *same == end => *to = point,
            Some(_) | None => self.ends.push((kind.to_owned(), point, point, end)),
        }
    }

    fn ran(self) -> Ran {
        let mut log = String::new();
        for (kind, from, to, end) in self.ends {
            let points = if from == to { format!("{from}") } else { format!("{from} to {to}") };
            // Writing to a string can't fail.
            let _ = writeln!(log, "dead {kind} {points}:\n{end}");
        }
        Ran { log, mail: String::new(), operators: String::new() }
    }
}

/// Where everybody is, how they came there, and what their owners were told.
fn end_of(world: &World) -> String {
    let mut end = String::new();
    for (name, placed) in &world.file.servers {
        let places: Vec<String> = world
            .fleet
            .places(placed.facts.id)
            .into_iter()
            .map(|place| format!("{} on {}", place.state, place.host))
            .collect();
        let _ = write!(end, "  {name}: {}", places.join(" and "));
        if let Some(migration) = world.known.migration_of(placed.facts.id) {
            let tries = migration.attempts.len();
            let _ = write!(end, "; {} migration {}, tries {tries}", migration.method, migration.state.name());
            let number = migration.ticket_number();
            let told: Vec<&str> = world
                .mailbox
                .mails
                .iter()
                .filter(|mail| mail.ticket == number)
                .map(|mail| mail.kind.as_str())
                .collect();
            if !told.is_empty() {
                let _ = write!(end, "; told: {}", told.join(", "));
            }
        }
        end.push('\n');
    }
    end
}
