//! The scheduler's program.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use drover_notifier::render::Renderer;
use drover_policies::ids::IdSource;
use drover_policies::time::Clock;
use drover_scheduler::clock::{RandomIds, SystemClock};
use drover_scheduler::config::{Config, EXAMPLE};
use drover_scheduler::store::Role;
use drover_scheduler::{auth, http, policy_files, serve};
use tracing_subscriber::EnvFilter;

/// Plans and carries out the emptying of hypervisors.
#[derive(Parser)]
#[command(name = "drover-scheduler", version, about, propagate_version = true)]
struct Args {
    /// The configuration file; without one, and without the file at this place, everything has its default.
    #[arg(
        long,
        global = true,
        env = "DROVER_SCHEDULER_CONFIG",
        default_value = "/etc/drover/scheduler.toml"
    )]
    config: PathBuf,
    /// What is logged: error, warn, info, debug, or per module as in `info,drover_scheduler=debug`.
    #[arg(long, global = true, env = "DROVER_LOG", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until a signal comes.
    Serve,
    /// Make the data directory and the database, and print a first operator's token. It is shown once.
    Init {
        /// The name that stands in the story for what is done with this token.
        #[arg(long, default_value = "admin")]
        name: String,
        /// Print the token alone, for scripts.
        #[arg(long)]
        quiet: bool,
    },
    /// Look at configuration, policies and templates, and say what is wrong; changes nothing.
    Check,
    /// Print the commented example of the configuration.
    Example,
    /// Print the description of the API (OpenAPI).
    Openapi,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_new(&args.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drover-scheduler: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Serve => serve::serve(config(&args.config)?).await,
        Command::Init { name, quiet } => init(config(&args.config)?, &name, quiet).await,
        Command::Check => check(&config(&args.config)?),
        Command::Example => {
            print!("{EXAMPLE}");
            Ok(())
        }
        Command::Openapi => {
            println!("{}", http::openapi_json());
            Ok(())
        }
    }
}

fn config(path: &std::path::Path) -> anyhow::Result<Config> {
    if path.exists() { Ok(Config::read(path)?) } else { Ok(Config::default()) }
}

async fn init(config: Config, name: &str, quiet: bool) -> anyhow::Result<()> {
    let _data_dir = serve::DataDir::hold(&config)?;
    let store = serve::open_store(&config).await?;
    let issued = auth::issue(RandomIds.next(), Role::Operator, name, SystemClock.now());
    store.add_token(&issued.token).await.context("the token could not be stored")?;
    store.close().await;
    let token = issued.secret;
    if quiet {
        println!("{token}");
    } else {
        println!("Data directory: {}", config.data_dir.display());
        println!("Operator token: {token}");
        println!(
            "It is shown once. For the command line: export DROVER_URL=http://{} DROVER_TOKEN={token}",
            config.listen
        );
    }
    Ok(())
}

fn check(config: &Config) -> anyhow::Result<()> {
    policy_files::load(config.policies.as_deref())?;
    if let Err(problems) = Renderer::new(config.mail.templates.as_deref()) {
        let problems: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        anyhow::bail!("the mail templates are wrong:\n{}", problems.join("\n"));
    }
    println!("Configuration, policies and templates are in order.");
    Ok(())
}
