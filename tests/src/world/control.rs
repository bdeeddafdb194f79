//! The scheduler as a process: opened on its database, killed, opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use drover_notifier::deliver::{Channel, MaildirConfig};
use drover_notifier::render::Renderer;
use drover_notifier::reply::Keys;
use drover_policies::ids::IdSource;
use drover_policies::policy::PolicySet;
use drover_policies::time::{Clock, Instant};
use drover_scheduler::app::{App, Parts};
use drover_scheduler::config::{Config, MailConfig};
use drover_scheduler::deliver::{self, Delivering};
use drover_scheduler::execute;
use drover_scheduler::incoming::Answering;
use drover_scheduler::lease::Lease;
use drover_scheduler::store::Store;
use futures_util::FutureExt;

use super::clock::{CountingIds, MachineClock, WorldTime};

/// The scheduler.
pub struct Control {
    /// The clock of its machine.
    pub clock: Arc<MachineClock>,
    /// The process, while it runs.
    pub app: Option<Arc<App>>,
    /// How much it has committed so far, over all of its lives.
    pub commits: u64,
    /// How many deliveries it has tried, over all of its lives.
    pub deliveries: u64,
    ids: Arc<CountingIds>,
    answering: Answering,
    policies: Arc<PolicySet>,
    config: Config,
    delivering: Arc<Delivering>,
    /// When the last look asked for another one, by its clock.
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
}

/// Production looks again after so long even if nothing nudges it.
pub const LOOK_AT_THE_LATEST: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was due, or nothing changed.
    Quiet,
    /// Something was decided and stored.
    Committed,
}

impl Control {
    /// A scheduler that does not run yet, in this directory.
    ///
    /// # Errors
    /// The policy or the templates are wrong.
    pub fn new(directory: &Path, time: &Arc<WorldTime>, policies: PolicySet) -> Result<Self> {
        let maildir = directory.join("mail");
        let channel = Channel::Maildir(MaildirConfig { path: maildir });
        let config = Config {
            data_dir: directory.to_owned(),
            mail: MailConfig {
                channel: Some(channel.clone()),
                operators: vec!["operators@cloud.example".to_owned()],
                ..MailConfig::default()
            },
            ..Config::default()
        };
        let renderer = match Renderer::new(None) {
            Ok(renderer) => renderer,
            Err(problems) => bail!("the shipped templates are wrong: {problems:?}"),
        };
        let answering = Answering {
            address: "reply@cloud.example".parse().context("a fixed address")?,
            keys: Keys::read(&"5a".repeat(32)).context("a fixed key")?,
        };
        Ok(Self {
            clock: MachineClock::new(time),
            app: None,
            commits: 0,
            deliveries: 0,
            ids: Arc::new(CountingIds::default()),
            answering: answering.clone(),
            policies: Arc::new(policies),
            config,
            delivering: Arc::new(Delivering { renderer, mail: channel, answers: Some(answering), rt: None }),
            look_at: None,
            looked_at: None,
        })
    }

    /// How answers to mails are recognised.
    #[must_use]
    pub fn answering(&self) -> &Answering {
        &self.answering
    }

    /// Where mails arrive.
    #[must_use]
    pub fn maildir(&self) -> PathBuf {
        self.config.data_dir.join("mail")
    }

    /// Starts it, as `drover-scheduler serve` does.
    ///
    /// # Errors
    /// The database can't be opened, or another holds the lease.
    pub async fn start(&mut self) -> Result<()> {
        if self.app.is_some() {
            return Ok(());
        }
        let store = Store::open(&self.config.database_url()).await.context("opening the database")?;
        store.migrate().await.context("bringing the tables up to date")?;
        let lease =
            Lease::take(&store, "world", self.clock.now()).await?.context("another holds the lease")?;
        let parts = Parts {
            config: self.config.clone(),
            store,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            ids: Arc::clone(&self.ids) as Arc<dyn IdSource>,
            policies: Arc::clone(&self.policies),
            lease,
            page_keys: None,
            languages: self.delivering.renderer.languages().cloned().collect(),
        };
        self.app = Some(App::open(parts).await?);
        // Production looks once as soon as it runs.
        self.looked_at = None;
        Ok(())
    }

    /// As `kill -9`: what is in the database is all that is left.
    pub async fn kill(&mut self) {
        if let Some(app) = self.app.take() {
            app.store.close().await;
        }
    }

    /// Looks, if something has stirred it or the time has come.
    ///
    /// # Errors
    /// The database failed.
    pub async fn look(&mut self) -> Result<Turn> {
        let Some(app) = self.app.clone() else { return Ok(Turn::Quiet) };
        let now = self.clock.now();
        let stirred = app.stirred.notified().now_or_never().is_some();
        let due = self.look_at.is_some_and(|at| at <= now)
            || self.looked_at.is_none_or(|at| now - at >= LOOK_AT_THE_LATEST || now < at);
        if !stirred && !due {
            return Ok(Turn::Quiet);
        }
        self.look_at = execute::look(&app).await?;
        self.looked_at = Some(now);
        Ok(self.take_note_of_commits(&app))
    }

    /// Whether a commit has nudged the scheduler; the nudge stays, so that it looks again.
    pub fn take_note_of_commits(&mut self, app: &App) -> Turn {
        if app.stirred.notified().now_or_never().is_none() {
            return Turn::Quiet;
        }
        app.stirred.notify_one();
        self.commits += 1;
        Turn::Committed
    }

    /// Delivers what is due.
    ///
    /// # Errors
    /// The database failed.
    pub async fn deliver(&mut self) -> Result<()> {
        let Some(app) = self.app.clone() else { return Ok(()) };
        while deliver::deliver_due(&app, &self.delivering).await? > 0 {
            self.deliveries += 1;
        }
        Ok(())
    }

    /// When it wants to be woken next, in the world's time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_due(&self) -> Result<Option<Instant>> {
        let Some(app) = &self.app else { return Ok(None) };
        let mail = app.store.next_delivery_at().await?;
        let shown = self.look_at.into_iter().chain(mail).min();
        Ok(shown.map(|at| self.clock.in_world(at)))
    }

    /// How long an agent may say nothing before it counts as silent.
    #[must_use]
    pub fn silent_after(&self) -> chrono::TimeDelta {
        self.policies.general().agents.silent_after.delta()
    }

    /// The scheduler's policies.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }
}
