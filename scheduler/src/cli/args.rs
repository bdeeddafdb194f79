//! What can be written on the command line.

mod access;
mod blueprints;
mod hosts;
mod imports;
mod maintenances;
mod messages;
mod migrations;
mod owners;
mod test_launches;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::exit;

pub use access::*;
pub use blueprints::*;
pub use hosts::*;
pub use imports::*;
pub use maintenances::*;
pub use messages::*;
pub use migrations::*;
pub use owners::*;
pub use test_launches::*;

/// Empties hypervisors for maintenance without surprising the people whose servers run on them.
#[derive(Debug, Parser)]
#[command(name = "drover", version, after_help = exit::EXPLAINED, max_term_width = 110)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Where the scheduler is [default: http://127.0.0.1:7070]
    #[arg(long, env = "DROVER_URL", global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The token; better in a file, where `ps` doesn't show it
    #[arg(long, env = "DROVER_TOKEN", global = true, hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A file that holds the token
    #[arg(long, env = "DROVER_TOKEN_FILE", global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The configuration, with `url` and `token` or `token_file` [default: ~/.config/drover/config.toml]
    #[arg(long, env = "DROVER_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the API's JSON; streams as one line per object
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour and a live display
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub color: Color,
    /// The zone in which times are shown [default: this machine's]
    #[arg(long, env = "TZ", global = true, hide_env_values = true, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// As everybody else's: set, there is no colour
    #[arg(long, env = "NO_COLOR", global = true, hide = true, value_name = "ANYTHING")]
    pub no_color: Option<String>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hosts: what is on them, and whether servers may come
    #[command(subcommand)]
    Hosts(Hosts),
    /// Servers: where they are and what is to happen to them
    #[command(subcommand)]
    Servers(Servers),
    /// Empty hosts: plan, move what can be moved live, agree times for the rest
    Drain(Drain),
    /// Maintenances: plan many hosts, approve, follow, pause, resume, cancel
    #[command(subcommand)]
    Maintenance(Maintenance),
    /// Migrations: follow, abort, retry, force
    #[command(subcommand)]
    Migrations(Migrations),
    /// Replicas: copies of servers' local disks, and how far they are behind
    #[command(subcommand)]
    Replicas(Replicas),
    /// Bring a server of another kind of hypervisor here: copy its disks, make it fit to boot, define it
    Import(ImportServer),
    /// Imports: follow, cancel, retry
    #[command(subcommand)]
    Imports(Imports),
    /// Choose another time for a reboot migration
    Reschedule {
        /// `DR-1001`, `1001` or the id
        migration: String,
        /// `2026-11-25 03:00` (in your zone), `2026-11-25T03:00+01:00` or `+2h`
        #[arg(long, value_name = "TIME", required_unless_present = "slots")]
        to: Option<String>,
        /// Show the times that are free instead
        #[arg(long, conflicts_with = "to")]
        slots: bool,
    },
    /// Agree to the time that was proposed for a reboot migration
    Approve {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Decline the time that was proposed for a reboot migration; another one is proposed
    Decline {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Move a server by a reboot, now
    MigrateNow {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
        /// Why, for the ticket
        #[arg(long)]
        reason: Option<String>,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Move a server by a reboot, at a time that you choose
    Migrate {
        /// The server's name or id, or its ticket: `DR-1001`
        server: String,
        /// `2026-11-25 03:00` (in your zone), `2026-11-25T03:00+01:00` or `+2h`
        #[arg(long, value_name = "TIME")]
        at: String,
        /// Why, for the ticket
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take back a migration that was asked for, before it begins
    Cancel {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Say that all is well after a reboot migration: it can't be reverted any more
    Confirm {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Take a server back to where it was before a reboot migration, by another one
    Revert {
        /// `DR-1001`, `1001` or the id
        migration: String,
        /// `2026-11-25 03:00` (in your zone), `2026-11-25T03:00+01:00` or `+2h` [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Go back to the old local disks as they were, without copying back what was written since: that is lost
        #[arg(long)]
        accept_data_loss: bool,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Times in which owners allow reboot migrations
    #[command(subcommand)]
    Windows(Windows),
    /// Freezes: when nothing may happen to an owner's servers
    #[command(subcommand)]
    Freezes(Freezes),
    /// Limits: how many of an owner's servers may be rebooted at once
    #[command(subcommand)]
    Limits(Limits),
    /// Checks: what servers are looked at for after a move
    #[command(subcommand)]
    Checks(Checks),
    /// Blueprints: what servers shall look like at their next launch by a reboot
    #[command(subcommand)]
    Blueprint(Blueprints),
    /// Test launches: try a server with local disks at its destination before it is moved
    #[command(subcommand)]
    Test(Test),
    /// Tickets: what owners were told, and whether it arrived
    #[command(subcommand)]
    Tickets(Tickets),
    /// Webhooks: where owners' programs hear of their tickets
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Dead letters: messages that were given up on a channel
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Owners: how they are reached
    #[command(subcommand)]
    Owners(Owners),
    /// Tokens of operators, owners and agents
    #[command(subcommand)]
    Tokens(Tokens),
    /// Why a server is treated as it is: rules, obstacles, places, windows
    Explain {
        /// The server's name or id
        server: String,
        /// Also say what stands in the way of a reboot at this time: `2026-11-25 03:00`
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Policies: check files, show what is in force
    #[command(subcommand)]
    Policy(Policy),
    /// What happened
    Events(Events),
    /// What happens to servers and when
    Upcoming(Upcoming),
    /// Run a drill: a pretended migration of a server, through every channel
    Drill(Drill),
    /// What is wrong with this installation, and what to do about it
    Doctor,
    /// Plan to empty hosts of a fleet in a file, or to roll all of it; needs no scheduler
    Plan(super::plan::Plan),
    /// Simulate a maintenance over a whole fleet, with a report and a picture; needs no scheduler
    Simulate(Box<super::simulate::Simulate>),
    /// The fleet as a file
    #[command(subcommand)]
    Fleet(super::fleet::FleetCommand),
    /// Print completions for a shell
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        #[arg(value_name = "FOLDER")]
        into: PathBuf,
    },
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct Listing {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}
