//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use drover_policies::time::Span;

use super::exit;

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
    /// Maintenances: follow, pause, resume, cancel
    #[command(subcommand)]
    Maintenance(Maintenance),
    /// Migrations: follow, abort, retry, force
    #[command(subcommand)]
    Migrations(Migrations),
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

/// What happens to servers and when.
#[derive(Debug, Args)]
pub struct Upcoming {
    /// One event with its history: `DR-1001`, `1001` or the id
    pub event: Option<String>,
    /// Only of this server, by name or id
    #[arg(long, conflicts_with = "event")]
    pub server: Option<String>,
    /// Only of this owner
    #[arg(long, conflicts_with = "event")]
    pub owner: Option<String>,
    /// What is over, too
    #[arg(long, conflicts_with = "event")]
    pub all: bool,
    /// At most so many
    #[command(flatten)]
    pub listing: Listing,
}

/// A drill.
#[derive(Debug, Args)]
pub struct Drill {
    /// The server's name or id
    pub server: String,
    /// It begins in so long
    #[arg(long = "in", value_name = "SPAN", default_value = "15m")]
    pub starts_in: Span,
    /// For so long the server pretends to be off [default: 5m]
    #[arg(long = "for", value_name = "SPAN")]
    pub duration: Option<Span>,
    /// Why, for the ticket
    #[arg(long)]
    pub reason: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct Listing {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Hosts.
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// List them
    List {
        /// Only of this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only in this standing: open, cordoned, draining or drained
        #[arg(long)]
        standing: Option<String>,
    },
    /// Show one, with its servers
    Show {
        /// Its name
        host: String,
    },
    /// Keep new servers away
    Cordon {
        /// Its name
        host: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let servers come again
    Uncordon {
        /// Its name
        host: String,
    },
}

/// Servers.
#[derive(Debug, Subcommand)]
pub enum Servers {
    /// List them
    List {
        /// Only on this host
        #[arg(long)]
        host: Option<String>,
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one
    Show {
        /// Its name or id
        server: String,
    },
}

/// Empty hosts.
#[derive(Debug, Args)]
pub struct Drain {
    /// The hosts
    #[arg(required = true, value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Why: policies choose the notice by it, owners read it
    #[arg(long)]
    pub reason: String,
    /// When the hosts must be free: `7d` from now, or a time [default: as policy says]
    #[arg(long, value_name = "SPAN|TIME")]
    pub deadline: Option<String>,
    /// Show the plan, change nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Follow it until every host is empty, or something needs a person
    #[arg(long)]
    pub wait: bool,
    /// The hosts are in danger: skip windows and notice; owners are told afterwards, with this reason
    #[arg(long, value_name = "WHY")]
    pub emergency: Option<String>,
}

/// Maintenances.
#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// List them
    List {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one: hosts, counts, what waits for what, what needs a person
    Show {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Show its plan
    Plan {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Begin nothing new; what runs goes on
    Pause {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Go on
    Resume {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Give it up; what has begun is ended in order, and its hosts are given back
    Cancel {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Skip windows and notice from here on; owners are told afterwards
    Emergency {
        /// `MT-12`, `12` or the id
        maintenance: String,
        /// What endangers the hosts
        #[arg(long)]
        why: String,
    },
    /// Follow it; Ctrl-C ends the watching, not the drain
    Watch {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
}

/// Migrations.
#[derive(Debug, Subcommand)]
pub enum Migrations {
    /// List them
    List {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
        /// Only of this maintenance
        #[arg(long)]
        maintenance: Option<String>,
        /// Only of this server
        #[arg(long)]
        server: Option<String>,
        /// Only from or to this host
        #[arg(long)]
        host: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one, with its story
    Show {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Follow one
    Watch {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Stop it and leave the server where it is
    Abort {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Begin a failed one anew
    Retry {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// End a wait that needs nobody's consent, or bring a live migration to its end
    Force {
        /// `DR-1001`, `1001` or the id
        migration: String,
    },
    /// Times that are open and free
    Slots {
        /// `DR-1001`, `1001` or the id
        migration: String,
        /// How many
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
}

/// Windows.
#[derive(Debug, Subcommand)]
pub enum Windows {
    /// List them
    List {
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Add one that comes again (--cron, --duration) or opens once (--from, --to)
    Add(WindowAdd),
    /// Show one, with its next ten openings
    Show {
        /// Its id
        window: String,
    },
    /// Remove one
    Remove {
        /// Its id
        window: String,
    },
}

/// Freezes.
#[derive(Debug, Subcommand)]
pub enum Freezes {
    /// List them
    List {
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Show one, with its next times
    Show {
        /// Its id
        freeze: String,
    },
    /// Add one: whole days (--from, --to), an iCalendar file (--file), or one that is fetched every hour (--fetch)
    Add(FreezeAdd),
    /// Remove one
    Remove {
        /// Its id
        freeze: String,
    },
}

/// A freeze to be added.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("times").required(true).args(["from", "file", "fetch"]))]
pub struct FreezeAdd {
    /// What it is called: refusals name it
    pub name: String,
    /// Whose; not needed with an owner's token
    #[arg(long)]
    pub owner: Option<String>,
    /// For this server only
    #[arg(long, conflicts_with = "label")]
    pub server: Option<String>,
    /// For servers with this label only
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Option<String>,
    /// The first day: `2026-12-19`
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// The last day [default: the first]
    #[arg(long, value_name = "DAY", requires = "from")]
    pub to: Option<String>,
    /// An iCalendar file; whatever stands in it is frozen
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// The https address of such a file; it is fetched at once, and again every hour
    #[arg(long, value_name = "ADDRESS")]
    pub fetch: Option<String>,
    /// In which zone days are meant [default: the zone in which times are shown]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
}

/// Limits.
#[derive(Debug, Subcommand)]
pub enum Limits {
    /// List them
    List {
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Set how many may be rebooted at once; one that is set for the same servers is changed
    Set {
        /// How many
        #[arg(value_name = "N")]
        max_simultaneous: u32,
        /// Whose; not needed with an owner's token
        #[arg(long)]
        owner: Option<String>,
        /// Among servers with this label only
        #[arg(long, value_name = "NAME=VALUE")]
        label: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its id
        limit: String,
    },
}

/// Checks.
#[derive(Debug, Subcommand)]
pub enum Checks {
    /// List them
    List {
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Add one; the nearest hold: those for a server, then for a label, then for the account
    Add(CheckAdd),
    /// Remove one
    Remove {
        /// Its id
        check: String,
    },
}

/// A check to be added.
#[derive(Debug, Args)]
pub struct CheckAdd {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A TCP port that must be open
    #[arg(long, value_name = "PORT", conflicts_with_all = ["http", "port", "tls", "expect"])]
    pub tcp: Option<u32>,
    /// A path that a web server must answer: `/health`
    #[arg(long, value_name = "PATH")]
    pub http: Option<String>,
    /// Its port [default: 80, or 443 with --tls]
    #[arg(long)]
    pub port: Option<u32>,
    /// Speak TLS; the certificate is not judged
    #[arg(long)]
    pub tls: bool,
    /// The status that is expected [default: any below 400]
    #[arg(long, value_name = "STATUS")]
    pub expect: Option<u32>,
    /// At this one of the server's own addresses [default: any of them]
    #[arg(long)]
    pub address: Option<String>,
    /// Only tell when it fails: it does not count against the move
    #[arg(long)]
    pub advisory: bool,
    /// How long it may take after the guest was seen alive: `2m` [default: what policy says]
    #[arg(long, value_name = "SPAN")]
    pub within: Option<String>,
    /// Whose; not needed with an owner's token
    #[arg(long)]
    pub owner: Option<String>,
    /// For this server only
    #[arg(long, conflicts_with = "label")]
    pub server: Option<String>,
    /// For servers with this label only
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Option<String>,
}

/// A window to be added.
#[derive(Debug, Args)]
pub struct WindowAdd {
    /// Whose; not needed with an owner's token
    #[arg(long)]
    pub owner: Option<String>,
    /// For this server only
    #[arg(long, conflicts_with = "label")]
    pub server: Option<String>,
    /// For servers with this label only
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Option<String>,
    /// When it opens: minute, hour, day of month, month, day of week (Sunday is 0 and 7)
    #[arg(long, requires = "duration", conflicts_with_all = ["from", "to"])]
    pub cron: Option<String>,
    /// How long it stays open: `4h`
    #[arg(long)]
    pub duration: Option<String>,
    /// In which zone --cron is meant [default: the zone in which times are shown]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// When a single one opens: `2026-11-25 03:00`
    #[arg(long, requires = "to")]
    pub from: Option<String>,
    /// When a single one closes
    #[arg(long, requires = "from")]
    pub to: Option<String>,
    /// Check it and show its next ten openings, but add nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List them, without their secrets
    List {
        /// Of this owner
        #[arg(long)]
        owner: Option<String>,
    },
    /// Add one; its secret is shown this once
    Add {
        /// Where to: an address that begins with https://
        url: String,
        /// Hear this kind of message only (`proposed`, `reminder`, `done`, …); may be repeated
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<String>,
        /// Whose it is; needed with an operator's token
        #[arg(long)]
        owner: Option<String>,
    },
    /// Remove one, and all that waits for it
    Remove {
        /// Its id
        webhook: String,
    },
    /// Give one another secret, which is shown this once
    Rotate {
        /// Its id
        webhook: String,
        /// For so long events are signed with the present secret, too; 0s for one that somebody else has seen [default: 24h]
        #[arg(long, value_name = "SPAN")]
        grace: Option<Span>,
    },
    /// Post a test event to one, and show what was answered
    Test {
        /// Its id
        webhook: String,
    },
}

/// Dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List them, latest first
    List {
        /// Of this channel: `mail`, `rt` or `webhook:NAME`
        #[arg(long)]
        channel: Option<String>,
        /// Of this owner's tickets
        #[arg(long)]
        owner: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Have one, or all of a channel, tried again
    Replay {
        /// Its number
        letter: Option<String>,
        /// All of this channel
        #[arg(long, conflicts_with = "letter")]
        channel: Option<String>,
    },
}

/// Tickets.
#[derive(Debug, Subcommand)]
pub enum Tickets {
    /// List them
    List {
        /// Closed ones, too
        #[arg(long)]
        all: bool,
        /// Only those in which an owner waits for an answer, open or closed
        #[arg(long, conflicts_with = "all")]
        needs_answer: bool,
        /// Only of this owner
        #[arg(long)]
        owner: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one, with what was told and written
    Show {
        /// `DR-1001`, `1001` or the id
        ticket: String,
    },
    /// Write into one: to its owner as an operator, to the operators as its owner
    Reply {
        /// `DR-1001`, `1001` or the id
        ticket: String,
        /// What is to be read; `-` for standard input
        text: String,
    },
}

/// Owners.
#[derive(Debug, Subcommand)]
pub enum Owners {
    /// List them
    List,
    /// Show how one is reached
    Show {
        /// The account
        owner: String,
    },
    /// Set how one is reached
    Set {
        /// The account
        owner: String,
        /// For the salutation
        #[arg(long, default_value = "")]
        name: String,
        /// A mail address; may be given several times
        #[arg(long, value_name = "ADDRESS")]
        mail: Vec<String>,
        /// In which times are told
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        zone: String,
        /// In which mails are written: a tag such as `de` or `pt-BR`
        #[arg(long, default_value = "en", value_name = "LANGUAGE")]
        language: String,
        /// Mail no reminders; everything else is always mailed
        #[arg(long)]
        no_reminders: bool,
    },
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List them, without their secrets
    List,
    /// Issue one; it is shown this once
    Create {
        /// For whom
        role: Role,
        /// The operator's, owner's or host's name
        subject: String,
    },
    /// Make one worthless
    Revoke {
        /// Its id
        token: String,
    },
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Does everything.
    Operator,
    /// Sees and moves the servers of one account.
    Owner,
    /// Speaks for one host.
    Agent,
}

/// Policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Check files, without a scheduler; they are merged in the order of their names
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what is in force
    Show {
        /// For this server
        #[arg(long)]
        server: Option<String>,
    },
}

/// What happened.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens
    #[arg(long, short)]
    pub follow: bool,
    /// Only of this maintenance
    #[arg(long)]
    pub maintenance: Option<String>,
    /// Only of this migration
    #[arg(long)]
    pub migration: Option<String>,
    /// Only of this server
    #[arg(long)]
    pub server: Option<String>,
    /// Only after this one
    #[arg(long, value_name = "SEQ")]
    pub after: Option<i64>,
}
