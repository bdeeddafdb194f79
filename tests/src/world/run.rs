//! The world as it runs: one moment after another, and between two moments nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use drover_host_agent::hypervisor::simulated::{Condition as Power, SimulatedFleet};
use drover_policies::events::Event;
use drover_policies::host::Standing;
use drover_policies::ids::{HostName, ServerId};
use drover_policies::import::Import;
use drover_policies::maintenance::Maintenance;
use drover_policies::migration::Migration;
use drover_policies::policy::PolicySet;
use drover_policies::time::{Clock, Instant, Span};
use drover_scheduler::app::App;
use drover_scheduler::store::{EventFilter, ImportFilter, MigrationFilter, Only, Purposes, Seq};
use drover_scheduler::sync::sync;
use tempfile::TempDir;

use super::clock::WorldTime;
use super::console::Console;
use super::control::{Control, LOOK_AT_THE_LATEST, Turn};
use super::fleet_file::FleetFile;
use super::mail::Mailbox;
use super::node::{Lived, Node};
use super::story::Story;
use super::watcher::{Around, Watcher};

/// The longest step while nothing runs.
const IDLE_STEP: TimeDelta = TimeDelta::minutes(10);
/// The longest step while operations run, so that they are seen on their way.
const BUSY_STEP: TimeDelta = TimeDelta::seconds(1);
/// What an idle agent wants within this time is no mere full compare: something has happened on its host.
const SOON: TimeDelta = TimeDelta::seconds(6);
/// How often everybody may have something new to say within one moment. More is a circle.
const ROUNDS: u32 = 60;
/// How long a service manager waits before it starts a process again that was killed at a crash point.
const RESTART_AFTER: TimeDelta = TimeDelta::seconds(3);

/// Where the scheduler is killed in a run over crash points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulerDeath {
    /// After this commit, counted from 1: nobody has been told of it yet.
    AfterCommit(u64),
    /// In this delivery, counted from 1: the mail is out, and nobody has noted it.
    InDelivery(u64),
}

/// What the scheduler has stored, as last read.
#[derive(Debug, Default)]
pub struct Known {
    /// Every migration, the latest of a server last.
    pub migrations: Vec<Migration>,
    /// Every import, oldest first.
    pub imports: Vec<Import>,
    /// By number.
    pub maintenances: BTreeMap<u32, Maintenance>,
    /// Of every host.
    pub standings: BTreeMap<HostName, Standing>,
    seq: Option<Seq>,
}

/// Whether any agent was told something new for the guests on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guests {
    HeardNews,
    Knew,
}

impl Known {
    /// The latest migration of a server.
    #[must_use]
    pub fn migration_of(&self, server: ServerId) -> Option<&Migration> {
        self.migrations
            .iter()
            .filter(|migration| migration.server == server)
            .max_by_key(|migration| migration.number)
    }
}

/// The world.
pub struct World {
    /// Its time.
    pub time: Arc<WorldTime>,
    /// When it began.
    pub start: Instant,
    /// What it began with.
    pub file: FleetFile,
    /// Its machines.
    pub fleet: Arc<SimulatedFleet>,
    /// Its agents.
    pub nodes: BTreeMap<HostName, Node>,
    /// Its scheduler.
    pub control: Control,
    /// What people call the scheduler with.
    pub console: Console,
    /// What is stored.
    pub known: Known,
    /// Its story.
    pub story: Story,
    /// What owners got.
    pub mailbox: Mailbox,
    /// What must never happen.
    pub watcher: Watcher,
    /// Whether processes that die are started again by themselves.
    pub restarts: bool,
    /// Where the scheduler is to die.
    pub death: Option<SchedulerDeath>,
    /// What died by a crash point, in words.
    pub deaths: Vec<String>,
    comes_back: BTreeMap<String, Instant>,
    /// Hosts that a hook has rebooted, and that are not up yet.
    rebooting: BTreeSet<HostName>,
    directory: TempDir,
}

/// On memory where the system has it: the runs are many, and what is on a disk after a power cut is not what they are about.
fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let in_memory = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    match in_memory {
        Some(directory) => Ok(directory),
        None => Ok(tempfile::tempdir()?),
    }
}

impl World {
    /// Everything is started, and nothing is wished yet.
    ///
    /// # Errors
    /// Something can't be started.
    pub async fn begin(file: FleetFile, policies: PolicySet) -> Result<Self> {
        let directory = scratch()?;
        let time = WorldTime::new(file.start);
        let fleet = SimulatedFleet::new(Arc::clone(&time) as Arc<dyn Clock>);
        fleet.set_bandwidth(file.bandwidth);
        let mut watcher = Watcher::default();
        let mut nodes = BTreeMap::new();
        for (name, facts) in &file.hosts {
            fleet.add_host(name.clone(), facts.clone());
            watcher.add_host(name, facts);
            nodes.insert(name.clone(), Node::new(name.clone(), &time, &fleet, directory.path()));
        }
        for (name, placed) in &file.servers {
            if let Some(host) = &placed.host {
                fleet.add_server(host, placed.facts.clone(), placed.guest.clone());
            }
            watcher.add_server(placed.facts.id, name, placed.facts.memory_bytes, placed.host.is_some());
        }
        let scheduler = directory.path().join("scheduler");
        std::fs::create_dir_all(&scheduler)?;
        let mut control = Control::new(&scheduler, &time, policies)?;
        control.start().await?;
        let app = control.app.clone().context("it has just been started")?;
        let console = Console::equip(&app, &file.owners).await?;
        let mut world = Self {
            start: file.start,
            time,
            fleet,
            nodes,
            mailbox: Mailbox::new(&control.maildir()),
            control,
            console,
            known: Known::default(),
            story: Story::default(),
            watcher,
            restarts: false,
            death: None,
            deaths: Vec::new(),
            comes_back: BTreeMap::new(),
            rebooting: BTreeSet::new(),
            file,
            directory,
        };
        for node in world.nodes.values_mut() {
            node.start()?;
        }
        world.settle().await?;
        Ok(world)
    }

    /// Lets time pass up to a moment.
    ///
    /// # Errors
    /// Something that must not happen has happened.
    pub async fn pass_until(&mut self, moment: Instant) -> Result<()> {
        while self.time.now() < moment {
            self.tick(moment).await?;
        }
        Ok(())
    }

    /// Lets time pass up to the next moment that anybody wants, at most to `limit`, and lets everybody act.
    ///
    /// # Errors
    /// Something that must not happen has happened.
    pub async fn tick(&mut self, limit: Instant) -> Result<()> {
        let next = self.next_moment(limit).await?;
        self.time.advance_to(next);
        self.come_back().await?;
        self.settle().await
    }

    async fn next_moment(&self, limit: Instant) -> Result<Instant> {
        let now = self.time.now();
        let busy = self.nodes.values().any(|node| node.agent.as_ref().is_some_and(|agent| agent.is_busy()));
        let step = if busy || self.fleet.flows() { BUSY_STEP } else { IDLE_STEP };
        let works = busy || self.nodes.values().any(Node::works);
        let agents = self.nodes.values().filter_map(Node::next_due).filter(|due| works || *due - now <= SOON);
        let silences =
            self.nodes.values().filter(|node| node.agent.is_none() || !node.reaches_scheduler).flat_map(
                |node| {
                    let silent = node.heard_at + self.control.silent_after() + TimeDelta::seconds(1);
                    // The scheduler may have looked a moment before.
                    [silent, silent + LOOK_AT_THE_LATEST]
                },
            );
        let wanted = agents
            .chain(silences)
            .chain(self.fleet.next_event())
            .chain(self.control.next_due().await?)
            .chain(self.comes_back.values().copied())
            .filter(|at| *at > now)
            .chain([now + step, limit])
            .min();
        // Two things that are a microsecond apart are one moment: nobody's decision hangs on that.
        Ok(wanted
            .unwrap_or(limit)
            .max(now + TimeDelta::milliseconds(1))
            .min(limit.max(now + TimeDelta::milliseconds(1))))
    }

    async fn come_back(&mut self) -> Result<()> {
        let now = self.time.now();
        let back: Vec<String> =
            self.comes_back.iter().filter(|(_, at)| **at <= now).map(|(who, _)| who.clone()).collect();
        for who in back {
            self.comes_back.remove(&who);
            match who.as_str() {
                "scheduler" => self.control.start().await?,
                host => {
                    if let Some(node) = self.nodes.get_mut(&HostName::new(host)?) {
                        node.start()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody acts, at this moment, until nobody has anything new to do.
    ///
    /// # Errors
    /// They never come to rest, or something that must not happen has happened.
    pub async fn settle(&mut self) -> Result<()> {
        for _ in 0..ROUNDS {
            self.step_agents()?;
            self.sync_agents().await?;
            let turn = self.look().await?;
            self.deliver().await?;
            self.watcher.look_at_fleet(&self.fleet);
            self.check()?;
            // What guests are told is worked out by a look, and is there for them when their agents have called once more.
            if turn == Turn::Quiet && !self.anybody_due() && self.sync_agents().await? == Guests::Knew {
                return Ok(());
            }
        }
        bail!("at {} nobody came to rest:\n{}", self.time.now(), self.story.text())
    }

    fn anybody_due(&self) -> bool {
        let now = self.time.now();
        self.nodes.values().any(|node| node.next_due().is_some_and(|due| due <= now))
    }

    /// A host that a hook reboots takes its agent with it, and starts it again when it is up.
    fn reboot_agents(&mut self) -> Result<()> {
        let now = self.control.clock.now();
        for (name, node) in &mut self.nodes {
            match self.fleet.power(name) {
                Power::Down if node.agent.is_some() => {
                    node.kill();
                    self.rebooting.insert(name.clone());
                    self.story.note(now, &format!("{name} reboots"));
                }
                Power::Up if self.rebooting.remove(name) => {
                    node.start()?;
                    self.story.note(now, &format!("{name} is up again"));
                }
                Power::Down | Power::Up => {}
            }
        }
        Ok(())
    }

    fn step_agents(&mut self) -> Result<()> {
        self.reboot_agents()?;
        let hosts: Vec<HostName> = self.nodes.keys().cloned().collect();
        for host in hosts {
            let before = self.nodes.get(&host).is_some_and(|node| node.agent.is_some());
            let lived = self.nodes.get_mut(&host).map_or(Lived::Yes, Node::step);
            if before && lived == Lived::No {
                self.story.note(self.control.clock.now(), &format!("the agent of {host} is killed"));
                self.deaths.push(host.to_string());
                if self.restarts {
                    self.comes_back.insert(host.to_string(), self.time.now() + RESTART_AFTER);
                }
            }
        }
        Ok(())
    }

    async fn sync_agents(&mut self) -> Result<Guests> {
        let mut heard = Guests::Knew;
        let Some(app) = self.control.app.clone() else { return Ok(heard) };
        let now = self.time.now();
        let mut acknowledged = false;
        for node in self.nodes.values_mut().filter(|node| node.reaches_scheduler) {
            let Some(agent) = node.agent.clone() else { continue };
            let request = agent.request(Span::ZERO);
            acknowledged |= request.guests.as_ref().is_some_and(|guests| !guests.acknowledged.is_empty());
            let answer = sync(&app, &node.name, request)
                .await
                .with_context(|| format!("the call of the agent of {}", node.name))?;
            agent.take(&answer);
            node.heard_at = now;
            if answer.guests.is_some_and(|guests| guests.told.is_some()) {
                heard = Guests::HeardNews;
            }
        }
        if acknowledged && self.control.take_note_of_commits(&app) == Turn::Committed {
            self.after_commit().await?;
        }
        Ok(heard)
    }

    async fn look(&mut self) -> Result<Turn> {
        let turn = self.control.look().await?;
        if turn == Turn::Committed {
            self.after_commit().await?;
        }
        Ok(turn)
    }

    /// Something was stored: it is told, checked, and perhaps the last that this life of the scheduler does.
    ///
    /// # Errors
    /// The database failed.
    pub async fn after_commit(&mut self) -> Result<()> {
        self.read_known().await?;
        if self.death == Some(SchedulerDeath::AfterCommit(self.control.commits)) {
            self.die("after a commit").await;
        }
        Ok(())
    }

    async fn die(&mut self, when: &str) {
        self.story.note(self.control.clock.now(), &format!("the scheduler is killed {when}"));
        self.deaths.push("scheduler".to_owned());
        self.death = None;
        self.control.kill().await;
        self.comes_back.insert("scheduler".to_owned(), self.time.now() + RESTART_AFTER);
    }

    async fn deliver(&mut self) -> Result<()> {
        let dies = match self.death {
            Some(SchedulerDeath::InDelivery(number)) => {
                self.control.deliveries + 1 == number && self.mail_is_due().await?
            }
            Some(SchedulerDeath::AfterCommit(_)) | None => false,
        };
        if dies {
            return self.die_in_delivery().await;
        }
        self.control.deliver().await?;
        self.mailbox.collect(self.control.clock.now())
    }

    async fn mail_is_due(&self) -> Result<bool> {
        let Some(app) = &self.control.app else { return Ok(false) };
        Ok(app.store.next_delivery_at().await?.is_some_and(|at| at <= self.control.clock.now()))
    }

    /// The mail is out, and the database is as it was before: what was noted did not reach the disk.
    async fn die_in_delivery(&mut self) -> Result<()> {
        let database = self.directory.path().join("scheduler");
        let before = tempfile::tempdir_in(self.directory.path())?;
        copy_database(&database, before.path())?;
        self.control.deliver().await?;
        self.mailbox.collect(self.control.clock.now())?;
        self.die("in a delivery").await;
        copy_database(before.path(), &database)
    }

    /// Reads what is stored, and tells what is new of it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read_known(&mut self) -> Result<()> {
        let Some(app) = self.control.app.clone() else { return Ok(()) };
        let all = MigrationFilter { purposes: Purposes::All, ..MigrationFilter::default() };
        let page = app.store.migrations_page(&all, None, 1000).await?;
        self.known.migrations = page.items.into_iter().map(|migration| migration.value).collect();
        let imports = app.store.imports(&ImportFilter::default()).await?;
        self.known.imports = imports.into_iter().map(|import| import.value).collect();
        let page = app.store.maintenances_page(Only::All, None, 1000).await?;
        self.known.maintenances =
            page.items.into_iter().map(|maintenance| (maintenance.value.number, maintenance.value)).collect();
        let events = self.new_events(&app).await?;
        for event in &events {
            let number = self.known.maintenances.values().find(|known| Some(known.id) == event.maintenance);
            self.story.event(event, number.map(|known| known.number));
        }
        let ticketed = self.known.migrations.iter().filter(|migration| migration.ticket.is_some());
        let around = Around {
            standings: &self.known.standings,
            fleet: &self.fleet,
            ticketed: &ticketed.map(|migration| migration.id).collect(),
        };
        self.watcher.take_in(&events, &around);
        self.known.standings =
            app.store.hosts().await?.into_iter().map(|host| (host.name, host.standing.value)).collect();
        Ok(())
    }

    async fn new_events(&mut self, app: &App) -> Result<Vec<Event>> {
        let after = self.known.seq.unwrap_or(Seq::START);
        let found = app.store.events_after(after, &EventFilter::default(), 10_000).await?;
        if let Some((last, _)) = found.last() {
            self.known.seq = Some(*last);
        }
        Ok(found.into_iter().map(|(_, event)| event).collect())
    }

    /// Whether something that must not happen has happened.
    ///
    /// # Errors
    /// It has.
    pub fn check(&self) -> Result<()> {
        match self.watcher.violations() {
            [] => Ok(()),
            violations => bail!(
                "this must never happen:\n  {}\nthe story so far:\n{}",
                violations.join("\n  "),
                self.story.text()
            ),
        }
    }

    /// What can only be said at the end: nobody is lost, everybody was told everything once.
    ///
    /// # Errors
    /// Something that must not happen has happened.
    pub async fn end(&mut self) -> Result<()> {
        self.watcher.look_for_lost(&self.fleet);
        self.watcher.compare_mails(&self.mailbox.mails);
        if let Some(app) = self.control.app.clone() {
            for migration in self.known.migrations.iter().filter(|migration| migration.ticket.is_some()) {
                // A revert goes on in the ticket of what it reverts.
                let stored = match migration.ticket {
                    Some(ticket) => app.store.ticket(ticket).await?,
                    None => None,
                };
                let Some(ticket) = stored else {
                    self.watcher.blame(format!("{} has no stored ticket", migration.server_name));
                    continue;
                };
                let notices = app.store.notices_of(ticket.id).await?;
                let own = format!("{}/", migration.id);
                let told: Vec<_> = notices
                    .into_iter()
                    .filter(|stored| stored.notice.key.starts_with(&own))
                    .map(|stored| (stored.notice.key, stored.notice.tells))
                    .collect();
                self.watcher.compare_told(migration.id, &migration.server_name, &told);
            }
        }
        self.check()?;
        self.control.kill().await;
        Ok(())
    }
}

/// The database is two files while it is open; a third is made anew from them.
fn copy_database(from: &Path, to: &Path) -> Result<()> {
    for name in ["drover.db", "drover.db-wal"] {
        if to.join(name).exists() {
            std::fs::remove_file(to.join(name))?;
        }
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name))?;
        }
    }
    Ok(())
}
