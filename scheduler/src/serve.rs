//! The scheduler as a process: everything is opened, checked and started here, and ended in order.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use drover_notifier::render::Renderer;
use drover_notifier::rt::Rt;
use drover_policies::time::{Clock, Span};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Parts};
use crate::clock::{RandomIds, SystemClock};
use crate::config::Config;
use crate::deliver::{self, Delivering};
use crate::incoming::{self, Answering};
use crate::lease::{self, Lease};
use crate::store::{Keep, Store};
use crate::{execute, freezes, http, policy_files, rt};

/// How often old things are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// How long a repeated request with the same key gets the same answer.
const KEEP_ANSWERS: Span = Span::hours(24);

/// How long to wait before asking again for a lease that another holds.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long open answers may take when the scheduler ends.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// The data directory, held for as long as this lives: two schedulers on one SQLite file would each believe to be the only one.
pub struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it isn't there, and holds it.
    ///
    /// # Errors
    /// Another scheduler holds it, or it can't be made.
    pub fn hold(config: &Config) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        std::fs::create_dir_all(dir).with_context(|| {
            format!("data_dir {} can't be made; run as a user who may, or name another", dir.display())
        })?;
        let path: PathBuf = dir.join("lock");
        let lock = File::create(&path).with_context(|| format!("{} can't be opened", path.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "another drover-scheduler uses data_dir {}; stop it first, or name another directory",
                dir.display()
            );
        }
        Ok(Self { _lock: lock })
    }
}

/// Opens the database and brings its tables up to date.
///
/// # Errors
/// It can't be opened, or was used by a newer version.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&config.database_url()).await.context("the database can't be opened")?;
    store.migrate().await.context("the database's tables can't be brought up to date")?;
    Ok(store)
}

/// Runs until a signal, or until another scheduler takes over.
///
/// # Errors
/// Something can't be opened or is wrong; the message says what to do.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let policies = policy_files::load(config.policies.as_deref())?;
    let renderer = Renderer::new(config.mail.templates.as_deref()).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        anyhow::anyhow!("the mail templates are wrong:\n{}", problems.join("\n"))
    })?;
    let languages = renderer.languages().cloned().collect();
    let _data_dir = DataDir::hold(&config)?;
    let answers = Answering::configured(&config).context("answers by mail can't be taken in")?;
    let rt = config.rt.clone().map(Rt::new).transpose().context("Request Tracker can't be used")?;
    let delivering = Arc::new(Delivering { renderer, mail: config.channel(), answers, rt });
    let store = open_store(&config).await?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("listen = \"{}\" can't be opened; is another scheduler running there?", config.listen)
    })?;
    let address = listener.local_addr()?;
    // The address is this process's alone on this machine, so no two have the same name.
    let lease = wait_for_lease(&store, &format!("{}/{address}", host_name())).await?;
    // Without an address for browsers no mail has a link, and none is taken.
    let page_keys = match config.web.address {
        Some(_) => Some(incoming::read_keys(&config.data_dir).context("links can't be signed")?),
        None => None,
    };
    let parts = Parts {
        config,
        store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        policies: Arc::new(policies),
        lease,
        page_keys,
        languages,
    };
    let app = App::open(parts).await.context("what is stored can't be read")?;
    tracing::info!(%address, "ready");
    run(app, listener, delivering).await
}

async fn run(app: Arc<App>, listener: TcpListener, delivering: Arc<Delivering>) -> anyhow::Result<()> {
    let (stop, stopped) = tokio::sync::watch::channel(());
    let serving = {
        let mut stopped = stopped.clone();
        let service = axum::serve(listener, http::router(app.clone())).with_graceful_shutdown(async move {
            let _ = stopped.changed().await;
        });
        tokio::spawn(service.into_future())
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = execute::run(&app) => {}
        () = deliver::run(&app, &delivering) => {}
        () = incoming::run(&app, delivering.answers.as_ref()) => {}
        () = rt::run(&app, delivering.rt.as_ref()) => {}
        () = purge(&app) => {}
        () = freezes::run(&app) => {}
        () = lease::keep(&app) => {}
        _ = interrupt.recv() => tracing::info!("interrupted"),
        _ = terminate.recv() => tracing::info!("asked to end"),
    }
    let _ = stop.send(());
    // Calls that are held for agents are cut off: they come again.
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    app.store
        .release(&app.lease().fence, app.clock.now())
        .await
        .context("the lease could not be given back")?;
    app.store.close().await;
    Ok(())
}

async fn wait_for_lease(store: &Store, holder: &str) -> anyhow::Result<Lease> {
    let mut said = false;
    loop {
        if let Some(lease) =
            Lease::take(store, holder, SystemClock.now()).await.context("the lease can't be read")?
        {
            return Ok(lease);
        }
        if !said {
            tracing::info!("another scheduler acts; this one waits until it ends");
            said = true;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Throws away what is older than policy keeps.
async fn purge(app: &App) {
    loop {
        let now = app.clock.now();
        let keep = Keep {
            history_since: now - app.policies.general().retention.history.delta(),
            answers_since: now - KEEP_ANSWERS.delta(),
            sessions_since: now - app.config.web.idle.delta(),
        };
        match app.store.purge(keep).await {
            Ok(purged) => tracing::debug!(?purged, "old things thrown away"),
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "old things could not be thrown away")
            }
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
