//! Maintenances, and which hosts are meant.

use clap::{Args, Subcommand, ValueEnum};

use super::Listing;
use crate::http::views::HintBody;
use crate::written::{hint, label, per, rate, uplink};

/// Which hosts.
#[derive(Debug, Clone, Default, Args)]
pub struct WhichHosts {
    /// The hosts
    #[arg(value_name = "HOST", required_unless_present_any = ["label", "cluster", "all"])]
    pub hosts: Vec<String>,
    /// Hosts with this label, and with all others that are given
    #[arg(long = "label", value_name = "LABEL=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// Hosts of this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Vec<String>,
    /// Every host
    #[arg(long)]
    pub all: bool,
}

impl WhichHosts {
    /// Every host where none is named.
    pub fn or_all(mut self) -> Self {
        self.all |= self.hosts.is_empty() && self.label.is_empty() && self.cluster.is_empty();
        self
    }
}

/// What is done with each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum MaintenanceKind {
    /// It is emptied, worked on by its hooks, and comes back into service.
    #[default]
    Patch,
    /// It is emptied, and stays so.
    Drain,
    /// It is emptied and stays out of service for good.
    Decommission,
    /// It stays in service; as few servers as it takes are moved so that all are used about alike.
    Rebalance,
}

/// What is done with hosts, how many of them at once, and in which order.
#[derive(Debug, Args)]
pub struct RollingTerms {
    /// What is done with each host
    #[arg(long, default_value = "patch", value_name = "KIND")]
    pub kind: MaintenanceKind,
    /// At most so many hosts at once [default: as many as there is room for]
    #[arg(long, value_name = "N")]
    pub hosts_at_once: Option<u32>,
    /// At most so many at once with the same value of a label: `rack=1`
    #[arg(long, value_name = "LABEL=N", value_parser = per)]
    pub per: Vec<(String, u32)>,
    /// At most so many at once in one cluster
    #[arg(long, value_name = "N")]
    pub per_cluster: Option<u32>,
    /// At most so many live migrations leave one host at once, where policy allows more
    #[arg(long, value_name = "N")]
    pub live_out_per_host: Option<u32>,
    /// At most so many arrive at one host at once, where policy allows more
    #[arg(long, value_name = "N")]
    pub live_in_per_host: Option<u32>,
    /// At most so many servers of one owner are moved at once, where policy allows more
    #[arg(long, value_name = "N")]
    pub per_owner: Option<u32>,
    /// At most so much of all its live migrations together, each of which is given a share: `8Gbit`, `500MiB`
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
    /// At most so much in each direction through the uplink of hosts with the same value of a label: `rack=10Gbit`
    #[arg(long, value_name = "LABEL=RATE", value_parser = uplink)]
    pub uplink: Vec<(String, u64)>,
    /// In so many waves, if that can be; fewer take more moves [default: 6]
    #[arg(long, value_name = "N")]
    pub waves: Option<u32>,
    /// No further host begins when more than so many have failed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub max_failed_hosts: u32,
    /// Tell of a host that takes longer: `2h`
    #[arg(long, value_name = "SPAN")]
    pub warn_after: Option<String>,
    /// After a host's turn no other begins for so long: `5m`
    #[arg(long, value_name = "SPAN")]
    pub pause_between: Option<String>,
    /// In which order: `"h2 after h1"`, `"rack=r1 before rack=r2"`
    #[arg(long, value_name = "ORDER", value_parser = hint)]
    pub order: Vec<HintBody>,
    /// Run no hooks
    #[arg(long)]
    pub no_hooks: bool,
    /// How long a host may be out of reach, or not healthy, before it has failed [default: 30m]
    #[arg(long, value_name = "SPAN")]
    pub return_within: Option<String>,
    /// In a rebalance: by so many percentage points a host's use may be off [default: 10]
    #[arg(long, value_name = "POINTS")]
    pub within: Option<u32>,
    /// In a rebalance: move servers that can't go live as well, at times that their owners agree to
    #[arg(long)]
    pub with_reboots: bool,
}

/// Plan a maintenance over many hosts.
#[derive(Debug, Args)]
pub struct Draft {
    /// Which hosts.
    #[command(flatten)]
    pub which: WhichHosts,
    /// Why: policies choose the notice by it, owners read it
    #[arg(long)]
    pub reason: String,
    /// When all must be over: `7d` from now, or a time [default: as policy says]
    #[arg(long, value_name = "SPAN|TIME")]
    pub deadline: Option<String>,
    /// What it keeps to.
    #[command(flatten)]
    pub terms: RollingTerms,
    /// Begin at once
    #[arg(long, conflicts_with = "dry_run")]
    pub approve: bool,
    /// With --approve: also if not all of it can be done
    #[arg(long, requires = "approve")]
    pub anyway: bool,
    /// Show the plan, store nothing: the order of hosts, and where and when each server goes
    #[arg(long)]
    pub dry_run: bool,
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
    /// Plan one over many hosts: nothing is done before it is approved
    Draft(Box<Draft>),
    /// Show its plan: the order of its hosts, and where and when each server goes; once it runs, of the hosts that have begun
    Plan {
        /// `MT-12`, `12` or the id
        maintenance: String,
    },
    /// Let it begin
    Approve {
        /// `MT-12`, `12` or the id
        maintenance: String,
        /// Also if not all of it can be done: what can be is
        #[arg(long)]
        anyway: bool,
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
    /// Show one of its hosts: why it comes when it does, and what its hooks wrote
    Host {
        /// `MT-12`, `12` or the id
        maintenance: String,
        /// The host
        host: String,
    },
    /// Try a host again that has failed, from the step on in which it did
    RetryHost {
        /// `MT-12`, `12` or the id
        maintenance: String,
        /// The host
        host: String,
    },
    /// Leave a host out: it is in service as it was
    SkipHost {
        /// `MT-12`, `12` or the id
        maintenance: String,
        /// The host
        host: String,
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
