//! Bringing servers of other kinds of hypervisors here.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Listing;

/// A server to be brought here.
#[derive(Debug, Args)]
pub struct ImportServer {
    /// The file that describes it: its name, memory and processors, its networks, and where its disks are read and go
    pub file: PathBuf,
    /// The host where it is to run, or auto for the one with the most room
    #[arg(long, default_value = "auto", value_name = "HOST")]
    pub host: String,
    /// With auto: only look in this cluster
    #[arg(long)]
    pub cluster: Option<String>,
    /// Boot it when it is there; it must be off at its source, and stay so
    #[arg(long)]
    pub start: bool,
    /// Follow its log to the end
    #[arg(long, short)]
    pub follow: bool,
}

/// Imports.
#[derive(Debug, Subcommand)]
pub enum Imports {
    /// List them
    List {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
        /// Only to this host
        #[arg(long)]
        host: Option<String>,
        /// Only in this state: running, failed, cancelling, imported, cancelled
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one
    Show {
        /// The server's name, or the import's id
        import: String,
    },
    /// Its log: what was done, and every line of the converter's
    Log {
        /// The server's name, or the import's id
        import: String,
        /// Go on to its end, with the figures of what is being done
        #[arg(long, short)]
        follow: bool,
    },
    /// Call it off and clear away what was done
    Cancel {
        /// The server's name, or the import's id
        import: String,
    },
    /// Have a failed one go on where it stopped
    Retry {
        /// The server's name, or the import's id
        import: String,
        /// Throw away what was done, and begin from the beginning
        #[arg(long)]
        anew: bool,
    },
}
