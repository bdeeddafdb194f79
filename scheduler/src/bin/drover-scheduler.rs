//! The scheduler's program.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use drover_notifier::words;
use drover_policies::ids::IdSource;
use drover_policies::language::Language;
use drover_policies::time::Clock;
use drover_scheduler::clock::{RandomIds, SystemClock};
use drover_scheduler::config::{Config, EXAMPLE};
use drover_scheduler::incoming::{Refused, Spool, Taking, make_keys, receive, spool_of};
use drover_scheduler::store::Role;
use drover_scheduler::{auth, http, mails, policy_files, serve};
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
    /// Take in an answer to a mail from standard input, as a mail server's pipe hands it over. The exit status is one that mail servers
    /// know: 0 when the mail is safely stored, 75 when it should be handed over again later, 65 when it never will be taken.
    MailIn {
        /// The address that it was sent to, where the mail server's pipe knows it.
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<String>,
    },
    /// Look at configuration, policies and templates, and say what is wrong; changes nothing.
    Check,
    /// Write to files what mails look like, with the templates, links and sender of the configuration.
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
    Mails {
        /// Write a mail of every kind into this directory.
        #[arg(long, value_name = "DIR", group = "what")]
        samples: Option<PathBuf>,
        /// Only in this language, a tag such as `de`; else in all that there are words for.
        #[arg(long, value_name = "LANGUAGE", requires = "samples")]
        language: Option<Language>,
        /// Write the shipped templates and words into this directory, to begin one's own with.
        #[arg(long, value_name = "DIR", group = "what")]
        templates: Option<PathBuf>,
    },
    /// Print the commented example of the configuration.
    Example,
    /// Print the description of the API (OpenAPI).
    Openapi,
}

/// Of sysexits.h: the mail is wrong, and will be so next time.
const EX_DATAERR: u8 = 65;
/// The same: it may be taken later.
const EX_TEMPFAIL: u8 = 75;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            // A slip in a mail server's configuration must not send owners' mails back.
            let for_mail_server = error.use_stderr() && std::env::args_os().any(|word| word == "mail-in");
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return ExitCode::from(if for_mail_server { EX_TEMPFAIL } else { code });
        }
    };
    let filter = EnvFilter::try_new(&args.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if let Command::MailIn { recipient } = &args.command {
        return mail_in(&args.config, recipient.as_deref());
    }
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
        Command::MailIn { .. } => unreachable!("it was done before"),
        Command::Mails { samples, language, templates } => {
            write_mails(&config(&args.config)?, samples.as_deref(), language.as_ref(), templates.as_deref())
        }
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

fn config(path: &Path) -> anyhow::Result<Config> {
    if path.exists() { Ok(Config::read(path)?) } else { Ok(Config::default()) }
}

/// Into the spool, where a running scheduler finds it; none need run now.
fn mail_in(path: &std::path::Path, recipient: Option<&str>) -> ExitCode {
    match take_in(path, recipient) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drover-scheduler: {error:#}");
            let never = matches!(error.downcast_ref(), Some(Refused::TooLarge { .. } | Refused::Empty));
            ExitCode::from(if never { EX_DATAERR } else { EX_TEMPFAIL })
        }
    }
}

fn take_in(path: &std::path::Path, recipient: Option<&str>) -> anyhow::Result<()> {
    let config = config(path)?;
    let incoming = config.mail.incoming.as_ref().with_context(|| {
        format!("{} has no section [mail.incoming], so no scheduler would read this mail", path.display())
    })?;
    let spool = Spool::open(&spool_of(&config.data_dir)).context("the spool can't be opened")?;
    let head = match recipient.map(|recipient| words::one_line(recipient, 300)) {
        Some(recipient) if !recipient.is_empty() => format!("X-Original-To: {recipient}\r\n"),
        Some(_) | None => String::new(),
    };
    let name = format!("pipe-{}", RandomIds.next());
    let taking = Taking { name: &name, head: &head, largest: incoming.largest };
    receive(std::io::stdin().lock(), &taking, &spool)?;
    Ok(())
}

async fn init(config: Config, name: &str, quiet: bool) -> anyhow::Result<()> {
    let _data_dir = serve::DataDir::hold(&config)?;
    make_keys(&config.data_dir)?;
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
    mails::renderer(&config.mail)?;
    println!("Configuration, policies and templates are in order.");
    Ok(())
}

fn write_mails(
    config: &Config,
    samples: Option<&Path>,
    language: Option<&Language>,
    templates: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(directory) = samples {
        let count = mails::write_samples(&config.mail, language, directory)?;
        println!("{count} mails, each as .eml, .txt and .html, are in {}.", directory.display());
    }
    if let Some(directory) = templates {
        let count = mails::write_templates(directory)?;
        println!("{count} files are in {}. Remove those that you leave as they are.", directory.display());
    }
    Ok(())
}
