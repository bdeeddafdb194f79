//! `drover-agent`: runs on every hypervisor.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use drover_host_agent::agent::Agent;
use drover_host_agent::clock::SystemClock;
use drover_host_agent::config::{Config, File};
use drover_host_agent::convert::fixes;
use drover_host_agent::guest_events;
use drover_host_agent::hooks;
use drover_host_agent::hypervisor::Hypervisor;
use drover_host_agent::hypervisor::libvirt::Libvirt;
use drover_host_agent::link::{HttpLink, keep_in_step};
use drover_host_agent::replica;
use drover_host_agent::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The host agent of Drover: tells the scheduler what runs on this hypervisor, and moves servers off it.
///
/// What it has begun goes on in libvirt when it ends, and is taken up at its next start.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct Settings {
    /// The configuration file. Each of the flags below goes before what it says.
    #[arg(long, env = "DROVER_AGENT_CONFIG", default_value = "/etc/drover/agent.toml", global = true)]
    config: PathBuf,
    /// This host's name.
    #[arg(long, env = "DROVER_AGENT_HOST", global = true)]
    host: Option<String>,
    /// The scheduler's address.
    #[arg(long, env = "DROVER_AGENT_SCHEDULER", global = true)]
    scheduler: Option<String>,
    /// The file that holds this agent's token.
    #[arg(long, env = "DROVER_AGENT_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Where the agent keeps its ledger.
    #[arg(long, env = "DROVER_AGENT_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// How this agent reaches libvirt.
    #[arg(long, env = "DROVER_AGENT_LIBVIRT_URI", global = true)]
    libvirt_uri: Option<String>,
    /// The cluster that this host belongs to.
    #[arg(long, env = "DROVER_AGENT_CLUSTER", global = true)]
    cluster: Option<String>,
    /// A label of this host, as name=value; may be given several times.
    #[arg(long = "label", value_parser = label, global = true)]
    labels: Vec<(String, String)>,
    /// What is logged, for example info or drover_host_agent=debug.
    #[arg(long, env = "DROVER_AGENT_LOG", default_value = "info", global = true)]
    log: EnvFilter,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong with this installation, and what to do.
    Check,
    /// Run the hook that a directory tells of; the agent calls this.
    #[command(hide = true)]
    SuperviseHook {
        /// The directory.
        directory: PathBuf,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value, for example rack=r12")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(arguments.settings.log.clone())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match arguments.command {
        Some(Command::Check) => check(arguments.settings),
        Some(Command::SuperviseHook { directory }) => {
            hooks::supervise(&directory).map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::new)
        }
        None => run(arguments.settings).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("drover-agent: {error:#}");
        ExitCode::FAILURE
    })
}

/// The file, with the flags before it. Without flags for the essentials there must be a file.
fn configure(settings: Settings) -> anyhow::Result<Config> {
    let essentials = settings.host.is_some() && settings.scheduler.is_some() && settings.token_file.is_some();
    let mut file =
        if essentials && !settings.config.exists() { File::default() } else { File::read(&settings.config)? };
    file.host = settings.host.or(file.host);
    file.scheduler = settings.scheduler.or(file.scheduler);
    file.token_file = settings.token_file.or(file.token_file);
    file.data_dir = settings.data_dir.or(file.data_dir);
    file.libvirt.uri = settings.libvirt_uri.or(file.libvirt.uri);
    file.cluster = settings.cluster.or(file.cluster);
    file.labels.extend(settings.labels);
    Ok(file.complete()?)
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let config = configure(settings)?;
    let link = HttpLink::new(&config)?;
    let ends =
        config.replication.clone().map(|replication| replica::Ends::start(replication, &config.data_dir));
    let ends = ends.transpose().context("this host can't take or send replicas")?;
    let hypervisor = Libvirt::new(config.host.clone()).map_err(anyhow::Error::msg)?;
    let hypervisor = match ends {
        Some(ends) => hypervisor.replicating(ends),
        None => hypervisor,
    };
    let hypervisor = match config.import.clone() {
        Some(import) => hypervisor.importing(import, config.data_dir.clone()),
        None => hypervisor,
    };
    let hypervisor = Arc::new(hypervisor.running_hooks(hook_setting(&config)).with_context(|| {
        format!("data_dir is {:?}, and has no absolute path here", config.data_dir.display().to_string())
    })?);
    let name = config.host.name.clone();
    let port = Arc::clone(&hypervisor) as Arc<dyn Hypervisor>;
    let agent = Agent::open(name.clone(), port, Arc::new(SystemClock), &config.data_dir)
        .with_context(|| format!("the ledger in {} can't be used", config.data_dir.display()))?;
    runtime::start(&agent).context("the agent's threads can't be started")?;
    tracing::info!(host = %name, scheduler = config.scheduler, version = env!("CARGO_PKG_VERSION"), "started");
    event_loop()?.block_on(async {
        if let Some(events) = &config.guest_events {
            guest_events::start(events, &agent, Arc::new(move || hypervisor.attached()));
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = keep_in_step(agent, &link) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        anyhow::Ok(())
    })?;
    tracing::info!("ended; what was begun goes on in libvirt and is taken up at the next start");
    Ok(())
}

/// One that is not as it should be is not run, and the agent does its other work: servers may be on their way.
fn hook_setting(config: &Config) -> hooks::Setting {
    for line in hooks::config::check(&config.hooks) {
        tracing::error!("{line}");
    }
    hooks::Setting {
        hooks: config.hooks.clone(),
        host: config.host.name.clone(),
        data_dir: config.data_dir.clone(),
        boot_id: hooks::boot_id(),
        // This very program, also when its file has been replaced by an upgrade.
        supervisor: PathBuf::from("/proc/self/exe"),
    }
}

fn event_loop() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("the system gives no event loop")
}

fn check(settings: Settings) -> anyhow::Result<ExitCode> {
    let config = configure(settings)?;
    let mut found = Vec::new();
    found.extend(check_token(&config.token_file));
    match HttpLink::new(&config) {
        Ok(link) => {
            if let Err(error) = event_loop()?.block_on(link.probe()) {
                found.push(format!(
                    "{:#}: see `scheduler` and `token_file` in the configuration",
                    anyhow::Error::new(error)
                ));
            }
        }
        Err(error) => found.push(error.to_string()),
    }
    found.extend(config.host.storage.shared.iter().filter(|(_, path)| !path.is_dir()).map(|(name, path)| {
        format!(
            "shared storage {name}: {} is no directory here: mount it, or correct its path",
            path.display()
        )
    }));
    found.extend(config.guest_events.iter().flat_map(guest_events::check));
    found.extend(hooks::config::check(&config.hooks));
    found.extend(config.replication.iter().flat_map(|_| replica::check()));
    found
        .extend(config.import.iter().filter_map(|_| fixes::converter().err()).map(|error| error.to_string()));
    match Libvirt::new(config.host.clone()).map_err(anyhow::Error::msg)?.check() {
        Ok(lines) => found.extend(lines),
        Err(refusal) => found.push(format!("{refusal}: start libvirt, or correct `libvirt.uri`")),
    }
    for line in &found {
        println!("- {line}");
    }
    if found.is_empty() {
        println!("{}: nothing is wrong", config.host.name);
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn check_token(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            Some(format!("{shown} can be read by others than its owner: chmod 600 {shown}"))
        }
        Ok(_) => None,
        Err(error) => Some(format!("{shown}: {error}: put this host's token there")),
    }
}
