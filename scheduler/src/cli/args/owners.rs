//! What owners set, and how they are reached.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

/// For which servers something holds that is added.
#[derive(Debug, Args)]
pub struct Holds {
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
    /// Whose, and for which servers.
    #[command(flatten)]
    pub holds: Holds,
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
    /// Whose, and for which servers.
    #[command(flatten)]
    pub holds: Holds,
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
    /// Whose, and for which servers.
    #[command(flatten)]
    pub holds: Holds,
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
