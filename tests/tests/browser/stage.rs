//! A real scheduler on a port of its own, and the real agents of a simulated fleet, all in this process and in real time: a server is moved
//! within seconds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use drover_agent_api::SyncRequest;
use drover_host_agent::agent::Agent;
use drover_host_agent::clock as host;
use drover_host_agent::hypervisor::simulated::SimulatedFleet;
use drover_host_agent::link::{Answering, Link, LinkError, keep_in_step};
use drover_host_agent::runtime;
use drover_notifier::reply::Keys;
use drover_policies::ids::{HostName, IdSource as _};
use drover_policies::policy::PolicySet;
use drover_policies::samples::owner_id;
use drover_policies::time::Clock as _;
use drover_scheduler::app::{App, Parts};
use drover_scheduler::auth::issue;
use drover_scheduler::clock::{RandomIds, SystemClock};
use drover_scheduler::config::{Config, WebConfig};
use drover_scheduler::lease::{self, Lease};
use drover_scheduler::store::{Batch, Role, Store, Ticket};
use drover_scheduler::{execute, http, sync};
use drover_tests::world::fleet_file::FleetFile;
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A browser is not kept waiting for what only takes time.
const POLICY: &str = r#"
[validation]
before_within = "0s"
[notice]
lead = "24h"
[replication]
far = "2s"
near = "1s"
[[windows.default]]
cron = "0 * * * *"
duration = "1h"
timezone = "UTC"
"#;

/// How often the simulated hypervisors are looked at, so that what happens there by itself is noticed.
const NOTICED: Duration = Duration::from_millis(50);

/// How long the stage may take to be set.
const PATIENCE: Duration = Duration::from_secs(30);

/// The scheduler and its fleet.
pub struct Stage {
    /// Where its pages are.
    pub root: String,
    /// An operator's token.
    pub operator: String,
    /// The token of owner acme.
    pub acme: String,
    app: Arc<App>,
    runtime: Runtime,
    _folder: TempDir,
}

impl Stage {
    /// Sets everything.
    pub fn set() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/fleet.toml");
        let file = FleetFile::read(&file)?;
        let hosts = file.hosts.len();
        let (app, root, [operator, acme]) = runtime.block_on(scheduler(folder.path(), &file))?;
        begin_agents(&runtime, &app, file, folder.path())?;
        let stage = Self { root, operator, acme, app, runtime, _folder: folder };
        stage.wait("all hosts to be heard of", |app| Ok((app.fleet().hosts.len() == hosts).then_some(())))?;
        Ok(stage)
    }

    fn wait<T>(&self, what: &str, mut ask: impl FnMut(&App) -> Result<Option<T>>) -> Result<T> {
        let began = std::time::Instant::now();
        loop {
            if let Some(found) = ask(&self.app)? {
                return Ok(found);
            }
            ensure!(began.elapsed() < PATIENCE, "waited for {what}, in vain");
            std::thread::sleep(NOTICED);
        }
    }

    /// The link that the mails of a server's ticket have.
    pub fn link(&self, server: &str) -> Result<String> {
        let ticket = self.ticket(server)?;
        let keys = self.app.page_keys.as_ref().context("there are keys")?;
        Ok(format!("/t/{}", keys.sign_page(&ticket.number, ticket.id, &ticket.owner)))
    }

    /// The ticket of a server, as soon as there is one.
    pub fn ticket(&self, server: &str) -> Result<Ticket> {
        self.wait("a ticket", |app| {
            let open = self.runtime.block_on(app.store.migrations_open())?;
            let found = open.into_iter().map(|read| read.value).find(|found| found.server_name == server);
            let Some(id) = found.and_then(|found| found.ticket) else { return Ok(None) };
            Ok(Some(self.runtime.block_on(app.store.ticket(id))?.context("it is there")?))
        })
    }
}

async fn scheduler(folder: &Path, file: &FleetFile) -> Result<(Arc<App>, String, [String; 2])> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let root = format!("http://{}", listener.local_addr()?);
    let web = WebConfig { address: Some(root.clone()), ..WebConfig::default() };
    let config = Config { data_dir: folder.to_owned(), web, ..Config::default() };
    let store = Store::open(&config.database_url()).await?;
    store.migrate().await?;
    let now = SystemClock.now();
    let lease = Lease::take(&store, "test", now).await?.context("nobody else has it")?;
    let mut batch = Batch::new(now);
    batch.owners_put.clone_from(&file.owners);
    let tokens = [(Role::Operator, "ada"), (Role::Owner(owner_id("acme")), "acme")].map(|(role, name)| {
        let issued = issue(RandomIds.next(), role, name, now);
        batch.tokens_added.push(issued.token);
        issued.secret
    });
    let policies = PolicySet::parse(&[("policy.toml", POLICY)]).map_err(|found| anyhow!("{found:?}"))?;
    let parts = Parts {
        config,
        store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        policies: Arc::new(policies),
        lease,
        page_keys: Some(Keys::read(&Keys::write([7; 32]))?),
        languages: ["en", "de"].into_iter().map(str::parse).collect::<Result<_, _>>()?,
    };
    let app = App::open(parts).await?;
    app.commit(batch).await?;
    let router = http::router(app.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    for task in ["look", "lease"] {
        let app = app.clone();
        tokio::spawn(async move {
            match task {
                "look" => execute::run(&app).await,
                _ => lease::keep(&app).await,
            }
        });
    }
    Ok((app, root, tokens))
}

/// The call of an agent, without a network between.
struct Call {
    app: Arc<App>,
    host: HostName,
}

impl Link for Call {
    fn sync(&self, request: SyncRequest) -> Answering<'_> {
        Box::pin(async move {
            let answer = sync::sync(&self.app, &self.host, request).await;
            answer.map_err(|error| LinkError::Refused { status: StatusCode::OK, text: error.to_string() })
        })
    }
}

/// Starts the hypervisors and an agent on each, with the threads that it has in production.
fn begin_agents(runtime: &Runtime, app: &Arc<App>, file: FleetFile, folder: &Path) -> Result<()> {
    let fleet = SimulatedFleet::new(Arc::new(host::SystemClock));
    fleet.set_bandwidth(file.bandwidth);
    for (name, facts) in &file.hosts {
        fleet.add_host(name.clone(), facts.clone());
    }
    for placed in file.servers.into_values() {
        let host = placed.host.context("every server is somewhere")?;
        fleet.add_server(&host, placed.facts, placed.guest);
    }
    for host in file.hosts.into_keys() {
        let ledger = folder.join("agents").join(host.as_str());
        let agent = Agent::open(host.clone(), fleet.hypervisor(&host), Arc::new(host::SystemClock), &ledger)?;
        runtime::start(&agent)?;
        let call = Call { app: app.clone(), host };
        runtime.spawn(async move { keep_in_step(agent, &call).await });
    }
    runtime.spawn(async move {
        loop {
            let _ = fleet.next_event();
            tokio::time::sleep(NOTICED).await;
        }
    });
    Ok(())
}
