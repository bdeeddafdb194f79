//! What a maintenance will do, decided before anything is touched.
//!
//! A plan is never changed: what has come true or false since is found by planning again and looking at the [`Difference`]. It leaves
//! nothing to choose to whoever carries it out, and it says of every server why it is done so.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::Method;
use crate::blueprint::Blueprint;
use crate::eligibility::{Interruption, WhyBlocked, WhyNotLive};
use crate::estimate::Estimate;
use crate::fleet::Fleet;
use crate::ids::{HostName, OwnerId, ServerId};
use crate::placement::{NoPlace, Reservation};
use crate::time::Instant;

pub use text::text;

/// What is done with every server of the hosts to be emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// When it was made, from facts of that moment.
    pub made_at: Instant,
    /// Per host, in the order in which its servers are best begun: what goes live first, the largest first; what can't go yet last.
    pub hosts: BTreeMap<HostName, Vec<Planned>>,
}

/// What is done with one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Whose it is, if anybody knows.
    pub owner: Option<OwnerId>,
    /// The host that it leaves.
    pub from: HostName,
    /// What is done.
    pub decision: Decision,
    /// Who has to agree to the time.
    pub agreement: Agreement,
    /// What must be held at the destination; nothing when there is none.
    pub place: Option<Reservation>,
    /// Why there, for people; empty when there is no destination.
    pub place_why: String,
    /// How long it will take; nothing if it can't be moved yet, and if it is off, when it takes moments and nobody notices.
    pub expected: Option<Estimate>,
    /// What it is to look like at its destination; nothing when it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<Blueprint>,
}

/// What is done with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It is migrated while it runs.
    Live {
        /// Where to.
        to: HostName,
    },
    /// It is powered off here and booted there. If it is off, it is just moved.
    Reboot {
        /// Where to.
        to: HostName,
        /// Why not live.
        why: WhyNotLive,
    },
    /// It can't be moved until somebody clears the way.
    Blocked {
        /// What stands in it.
        why: WhyBlocked,
        /// What else does, so that all of it can be cleared in one go.
        also: Vec<WhyBlocked>,
    },
    /// It could be moved, but no host can take it.
    NoPlace {
        /// Why not.
        why: NoPlace,
        /// Why it would not go live, if it wouldn't.
        not_live: Option<WhyNotLive>,
    },
}

impl Decision {
    /// Where the server goes; nothing when it can't go yet.
    #[must_use]
    pub fn to(&self) -> Option<&HostName> {
        match self {
            Self::Live { to } | Self::Reboot { to, .. } => Some(to),
            Self::Blocked { .. } | Self::NoPlace { .. } => None,
        }
    }

    /// By which method; nothing when none will do yet.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        match self {
            Self::Live { .. } | Self::NoPlace { not_live: None, .. } => Some(Method::Live),
            Self::Reboot { .. } | Self::NoPlace { not_live: Some(_), .. } => Some(Method::Reboot),
            Self::Blocked { .. } => None,
        }
    }

    /// Why it doesn't go live; nothing if it does or would.
    #[must_use]
    pub fn why_not_live(&self) -> Option<&WhyNotLive> {
        match self {
            Self::Reboot { why, .. } => Some(why),
            Self::NoPlace { not_live, .. } => not_live.as_ref(),
            Self::Live { .. } | Self::Blocked { .. } => None,
        }
    }

    /// A stable word for programs wherever a server does not simply go live.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Live { .. } => None,
            Self::Reboot { why, .. } => Some(why.code()),
            Self::Blocked { why, .. } => Some(why.code()),
            Self::NoPlace { .. } => Some("no_place"),
        }
    }

    /// Whether carrying out the one is carrying out the other. Why there is no place changes with every server that comes or goes,
    /// and changes nothing of what is done.
    #[must_use]
    pub fn does_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NoPlace { .. }, Self::NoPlace { .. }) => self.method() == other.method(),
            (Self::Blocked { why, .. }, Self::Blocked { why: other, .. }) => why == other,
            (
                Self::Live { .. } | Self::Reboot { .. } | Self::Blocked { .. } | Self::NoPlace { .. },
                Self::Live { .. } | Self::Reboot { .. } | Self::Blocked { .. } | Self::NoPlace { .. },
            ) => self == other,
        }
    }
}

/// Who has to agree to the time of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Nobody: nothing is interrupted, or nothing is done yet.
    NotNeeded,
    /// Its owner.
    Owner,
    /// An operator: no metadata and no import says whose it is, so nobody else can be asked.
    Operator,
}

impl Agreement {
    /// Who has to agree to a migration of this method.
    #[must_use]
    pub fn needed_for(not_live: Option<&WhyNotLive>, owner: Option<&OwnerId>) -> Self {
        match (not_live.map(WhyNotLive::interruption), owner) {
            (None | Some(Interruption::None), _) => Self::NotNeeded,
            (Some(Interruption::Felt), Some(_)) => Self::Owner,
            (Some(Interruption::Felt), None) => Self::Operator,
        }
    }
}

impl Plan {
    /// Every server that the plan names.
    pub fn servers(&self) -> impl Iterator<Item = &Planned> {
        self.hosts.values().flatten()
    }

    /// What the plan says of one server.
    #[must_use]
    pub fn of(&self, server: ServerId) -> Option<&Planned> {
        self.servers().find(|planned| planned.server == server)
    }

    /// With what a plan before this one says of other hosts, as far as they are still `emptied` and their servers are still there: planned anew is
    /// only where something is to be decided.
    #[must_use]
    pub fn beside(mut self, before: Self, emptied: &BTreeSet<HostName>, fleet: &Fleet) -> Self {
        let others = before.hosts.into_iter().filter(|(host, _)| emptied.contains(host));
        for (host, mut servers) in others {
            servers.retain(|planned| fleet.seen(&planned.from, planned.server).is_some());
            self.hosts.entry(host).or_insert(servers);
        }
        self
    }

    /// Everything that has to be held for it.
    #[must_use]
    pub fn reservations(&self) -> Vec<Reservation> {
        self.servers().filter_map(|planned| planned.place.clone()).collect()
    }
}

/// What another plan does differently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Difference {
    /// In the new plan only: servers that appeared on a host to be emptied.
    pub added: Vec<Planned>,
    /// In the old plan only: servers that have left, by whatever way.
    pub removed: Vec<Planned>,
    /// In both, but with another decision or from another host.
    pub changed: Vec<Changed>,
}

/// A server for which something else is done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// As it was.
    pub old: Planned,
    /// As it is.
    pub new: Planned,
}

impl Difference {
    /// Whether both plans do the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Planned { name, from, decision, .. } in &self.added {
            writeln!(f, "+ {name} on {from}: {decision}")?;
        }
        for Planned { name, from, .. } in &self.removed {
            writeln!(f, "- {name} is no longer on {from}")?;
        }
        for Changed { old, new } in &self.changed {
            writeln!(f, "~ {} on {}: {}, was {}", new.name, new.from, new.decision, old.decision)?;
        }
        Ok(())
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live { to } => write!(f, "live to {to}"),
            Self::Reboot { to, why: WhyNotLive::NotRunning } => write!(f, "moved to {to} while it is off"),
            Self::Reboot { to, why } => write!(f, "reboot to {to} ({})", why.code()),
            Self::Blocked { why, .. } => write!(f, "blocked ({})", why.code()),
            Self::NoPlace { .. } => f.write_str("no place"),
        }
    }
}

/// What `new` does differently from `old`. Explanations and estimates may differ without making a difference.
#[must_use]
pub fn difference(old: &Plan, new: &Plan) -> Difference {
    let by_server = |plan: &Plan| -> BTreeMap<ServerId, Planned> {
        plan.servers().map(|planned| (planned.server, planned.clone())).collect()
    };
    let mut before = by_server(old);
    let mut difference = Difference::default();
    for (server, new) in by_server(new) {
        match before.remove(&server) {
            None => difference.added.push(new),
            Some(old) if old.from == new.from && old.decision.does_the_same_as(&new.decision) => {}
            Some(old) => difference.changed.push(Changed { old, new }),
        }
    }
    difference.removed.extend(before.into_values());
    difference
}
