//! Migrations, and what happened and will happen.

use clap::{Args, Subcommand};
use drover_policies::time::Span;

use super::Listing;

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

/// Replicas.
#[derive(Debug, Subcommand)]
pub enum Replicas {
    /// List them
    List {
        /// Only of this server
        #[arg(long)]
        server: Option<String>,
        /// Only from or to this host
        #[arg(long)]
        host: Option<String>,
        /// Only in this state: continuous, initial_sync, backlog, paused, stalled, …
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one: its lag, its rounds, and what to expect of the cutover
    Show {
        /// `DR-1001` or `1001` of its migration, or its own id
        replica: String,
    },
    /// Sync now: the next round is done at once
    Sync {
        /// `DR-1001` or `1001` of its migration, or its own id
        replica: String,
    },
    /// No further rounds until it is resumed
    Pause {
        /// `DR-1001` or `1001` of its migration, or its own id
        replica: String,
    },
    /// Rounds again
    Resume {
        /// `DR-1001` or `1001` of its migration, or its own id
        replica: String,
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
    /// Only of this import, by id or the server's name
    #[arg(long)]
    pub import: Option<String>,
    /// Only after this one
    #[arg(long, value_name = "SEQ")]
    pub after: Option<i64>,
}
