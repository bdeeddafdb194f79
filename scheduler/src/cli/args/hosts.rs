//! Hosts, their servers, and emptying them.

use clap::{Args, Subcommand};

use super::{Listing, WhichHosts};

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
    /// Why it is treated as it is: what keeps servers away, why its turn comes when it does, what it waits for
    Explain {
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
    #[command(flatten)]
    pub which: WhichHosts,
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
