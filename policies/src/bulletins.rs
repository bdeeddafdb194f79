//! What operators are told of a maintenance, as facts: which kind of message, with which figures. Words are the notifier's.
//!
//! A bulletin is stored in the same transaction as the fact that it tells, under a key that names the fact, as a notice is. It belongs to no
//! ticket and to no owner: it names hosts, and goes to nobody but operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{HostName, MaintenanceId, NoticeId};
use crate::maintenance::{Kind, Maintenance, Stage};
use crate::notices::Actor;
use crate::time::{Instant, Span};

/// One message about a maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulletin {
    /// Its own id; also the mail's Message-ID.
    pub id: NoticeId,
    /// Names the fact that it tells: unique among all notices and bulletins.
    pub key: String,
    /// What it is about; the mails of one maintenance are one thread.
    pub maintenance: MaintenanceSummary,
    /// What is told.
    pub says: Says,
    /// When the fact came about.
    pub at: Instant,
}

impl Bulletin {
    /// A message about a maintenance as it is now.
    #[must_use]
    pub fn new(id: NoticeId, maintenance: &Maintenance, says: Says, at: Instant) -> Self {
        let key = format!("{}/{}", maintenance.id, says.fact(maintenance, at));
        Self { id, key, maintenance: MaintenanceSummary::of(maintenance), says, at }
    }
}

/// What every message about a maintenance needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceSummary {
    /// Which.
    pub id: MaintenanceId,
    /// A short number for people: `MT-12`.
    pub number: String,
    /// What is done with its hosts.
    pub kind: Kind,
    /// Why, in the operator's words.
    pub reason: String,
    /// How many hosts it has.
    pub hosts: usize,
    /// One of them; the only one where there is one.
    pub host: Option<HostName>,
    /// When they must be free.
    pub deadline: Instant,
}

impl MaintenanceSummary {
    fn of(maintenance: &Maintenance) -> Self {
        Self {
            id: maintenance.id,
            number: format!("MT-{}", maintenance.number),
            kind: maintenance.kind(),
            reason: maintenance.reason.clone(),
            hosts: maintenance.hosts.len(),
            host: maintenance.hosts.keys().next().cloned(),
            deadline: maintenance.deadline,
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum Says {
    /// Its plan is made, and nothing is done before somebody approves it.
    AwaitsApproval {
        /// What of it can't be done as things are, each for people.
        obstacles: Vec<String>,
    },
    /// Servers leave its hosts from now on.
    Begun {
        /// Who said that it may.
        by: Actor,
    },
    /// Hosts need a person.
    HostsFailed {
        /// Those of one wave that have not been told of.
        failed: Vec<FailedHost>,
        /// With which wave their turn had come.
        wave: u32,
        /// Whether no further host begins because of them.
        stopped: bool,
    },
    /// None of the hosts whose turn is yet to come can begin, and none is in work.
    Stopped {
        /// Why.
        why: String,
    },
    /// Hosts take longer than they should.
    TakesLong {
        /// Those that have not been told of.
        hosts: Vec<SlowHost>,
    },
    /// The deadline is near, and not all is done.
    DeadlineNear {
        /// What is not.
        left: Left,
    },
    /// The deadline won't be kept, or has passed.
    Late {
        /// When it will be over at the pace so far; nothing when the deadline has passed.
        expected: Option<Instant>,
    },
    /// It is over.
    Over {
        /// How it ended.
        end: End,
        /// What has come of it.
        tally: Tally,
    },
}

impl Says {
    /// The names of all kinds. They all begin alike, so that none is also the name of a kind of notice.
    pub const KINDS: [&'static str; 8] = [
        "maintenance_awaits_approval",
        "maintenance_begun",
        "maintenance_hosts_failed",
        "maintenance_stopped",
        "maintenance_takes_long",
        "maintenance_deadline_near",
        "maintenance_late",
        "maintenance_over",
    ];

    /// Its kind, one of [`Says::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AwaitsApproval { .. } => "maintenance_awaits_approval",
            Self::Begun { .. } => "maintenance_begun",
            Self::HostsFailed { .. } => "maintenance_hosts_failed",
            Self::Stopped { .. } => "maintenance_stopped",
            Self::TakesLong { .. } => "maintenance_takes_long",
            Self::DeadlineNear { .. } => "maintenance_deadline_near",
            Self::Late { .. } => "maintenance_late",
            Self::Over { .. } => "maintenance_over",
        }
    }

    /// Names the fact among those of its maintenance. What may come about several times bears when it did.
    fn fact(&self, maintenance: &Maintenance, at: Instant) -> String {
        match self {
            Self::AwaitsApproval { .. } | Self::Begun { .. } => self.kind().to_owned(),
            Self::HostsFailed { wave, .. } => format!("{}/{wave}/{at}", self.kind()),
            // Until another host has begun it is the same standstill, whatever keeps it up.
            Self::Stopped { .. } => format!("{}/{}", self.kind(), maintenance.rolling.turns.len()),
            Self::DeadlineNear { .. } | Self::Late { .. } => {
                format!("{}/{}", self.kind(), maintenance.deadline)
            }
            Self::TakesLong { .. } | Self::Over { .. } => format!("{}/{at}", self.kind()),
        }
    }
}

/// A host that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedHost {
    /// Which.
    pub host: HostName,
    /// In which step it failed, in words.
    pub step: String,
    /// Why.
    pub why: String,
}

impl FailedHost {
    /// What has become of a host, if it has failed.
    #[must_use]
    pub fn of(host: &HostName, stage: &Stage) -> Option<Self> {
        match stage {
            Stage::Failed { step, why, .. } => {
                Some(Self { host: host.clone(), step: step.to_string(), why: why.clone() })
            }
            Stage::Waiting
            | Stage::Giving
            | Stage::Draining
            | Stage::Confirming { .. }
            | Stage::Drained { .. }
            | Stage::Working { .. }
            | Stage::Done { .. }
            | Stage::Skipped { .. } => None,
        }
    }
}

/// A host that takes longer than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowHost {
    /// Which.
    pub host: HostName,
    /// What it is at, in words.
    pub stage: String,
    /// For how long its turn has lasted.
    pub since: Span,
}

/// What is not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "left", rename_all = "snake_case")]
pub enum Left {
    /// Of a drain, so many servers.
    Servers {
        /// The number.
        count: usize,
    },
    /// Of a maintenance over many hosts, so many of them.
    Hosts {
        /// The number.
        count: usize,
    },
}

/// How a maintenance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// All of its hosts have had their turn.
    Completed,
    /// All have, and more have failed than may.
    Failed,
    /// It was given up.
    Cancelled {
        /// Who gave it up.
        by: Actor,
    },
}

/// What has come of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Hosts with which all is well.
    pub done: usize,
    /// Hosts that were left out.
    pub skipped: usize,
    /// Hosts that need a person.
    pub failed: Vec<FailedHost>,
    /// Hosts whose turn had not come, or was not over.
    pub left: usize,
    /// From the request until the end.
    pub took: Span,
    /// What became of the servers; whoever stores it counts them.
    pub servers: Option<Servers>,
}

/// What became of the servers of a maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    /// So many were moved while they ran.
    pub live: u32,
    /// So many were moved by a reboot, or while they were off.
    pub by_reboot: u32,
    /// So many need a person.
    pub need_person: u32,
}

impl Tally {
    /// That of a maintenance as it is now, but for its servers.
    #[must_use]
    pub fn of(maintenance: &Maintenance, now: Instant) -> Self {
        let kind = maintenance.kind();
        let hosts: &BTreeMap<HostName, Stage> = &maintenance.hosts;
        let skipped = maintenance.hosts_at(|stage| matches!(stage, Stage::Skipped { .. })).count();
        let done = maintenance.hosts_at(|stage| stage.is_over(kind)).count() - skipped;
        let failed: Vec<_> = hosts.iter().filter_map(|(host, stage)| FailedHost::of(host, stage)).collect();
        let left = hosts.len() - done - skipped - failed.len();
        let took = Span::between(maintenance.requested_at, now);
        Self { done, skipped, failed, left, took, servers: None }
    }
}
