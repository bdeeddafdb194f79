//! What a maintenance over many hosts keeps to: how many at once, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fleet::Fleet;
use crate::ids::{BadName, HostName};
use crate::packing::Reboots;
use crate::time::Span;

/// What is done with hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They are emptied, and stay so.
    #[default]
    Drain,
    /// They are emptied, worked on by their hooks, and come back into service.
    Patch,
    /// They are emptied and stay out of service for good.
    Decommission,
    /// They stay in service, and as few servers as it takes are moved among them, so that each is used about as much as the others.
    Rebalance,
}

impl Kind {
    pub(super) fn is_drain(&self) -> bool {
        *self == Self::Drain
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Drain, Self::Patch, Self::Decommission, Self::Rebalance];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Patch => "patch",
            Self::Decommission => "decommission",
            Self::Rebalance => "rebalance",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a maintenance over many hosts keeps to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// At most so many hosts at once; nothing for as many as there is room for. Hosts whose servers wait for their owners are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts_at_once: Option<NonZeroU32>,
    /// At most so many at once of those that have the same value of a label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per: BTreeMap<String, NonZeroU32>,
    /// At most so many at once in one cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_cluster: Option<NonZeroU32>,
    /// At most so many live migrations leave one host at once; policy's own limit holds as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_out_per_host: Option<NonZeroU32>,
    /// At most so many arrive at one host at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_in_per_host: Option<NonZeroU32>,
    /// At most so many servers of one owner are moved at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_owner: Option<NonZeroU32>,
    /// At most so many bytes per second of all its live migrations together: each is given a share of it, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<NonZeroU64>,
    /// By label, as many in each direction through the uplink that hosts with the same value of it share, whoever's migrations they are; policy's
    /// own limit holds as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uplinks: BTreeMap<String, NonZeroU64>,
    /// In so many waves, if that can be: fewer take more moves.
    pub waves: NonZeroU32,
    /// No host begins any more when more than so many have failed.
    #[serde(default)]
    pub max_failed_hosts: u32,
    /// A host that takes longer than this is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_after: Option<Span>,
    /// After a host's turn no other begins for so long.
    #[serde(default)]
    pub pause_between: Span,
    /// Which hosts come after which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// Whether hooks are run.
    #[serde(default)]
    pub hooks: Hooks,
    /// How long a host that is worked on may be out of reach, or not healthy, before it counts as failed.
    pub return_within: Span,
    /// In a rebalance: by so many percentage points a host's use may be more or less than that of its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<NonZeroU32>,
    /// In a rebalance: whether servers that can't go live are moved as well.
    #[serde(default, skip_serializing_if = "Reboots::is_none")]
    pub reboots: Reboots,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            hosts_at_once: None,
            per: BTreeMap::new(),
            per_cluster: None,
            live_out_per_host: None,
            live_in_per_host: None,
            per_owner: None,
            bandwidth: None,
            uplinks: BTreeMap::new(),
            waves: WAVES,
            max_failed_hosts: 0,
            warn_after: None,
            pause_between: Span::ZERO,
            hints: Vec::new(),
            hooks: Hooks::Run,
            return_within: Span::minutes(30),
            within: None,
            reboots: Reboots::None,
        }
    }
}

/// In percentage points: less costs many moves, and the next servers that come and go undo it.
const WITHIN: u32 = 10;

/// More waves save hardly any moves; see the table of the benchmark.
const WAVES: NonZeroU32 = NonZeroU32::new(6).expect("it is not zero");

/// Whether hooks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hooks {
    /// Those that a host's agent has.
    #[default]
    Run,
    /// None.
    None,
}

/// These hosts begin when those are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Which have to wait.
    pub hosts: Which,
    /// For which.
    pub after: Which,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}", self.hosts, self.after)
    }
}

/// One host, or all that have a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Which {
    /// By its name.
    Host(HostName),
    /// By a label: `rack=r12`.
    Label {
        /// Which.
        label: String,
        /// Its value.
        value: String,
    },
}

impl Which {
    /// Whether a host is one of them.
    #[must_use]
    pub fn is(&self, host: &HostName, fleet: &Fleet) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::Label { label, value } => label_of(fleet, host, label) == Some(value),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Label { label, value } => write!(f, "{label}={value}"),
        }
    }
}

impl FromStr for Which {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Ok(match text.split_once('=') {
            Some((label, value)) => Self::Label { label: label.to_owned(), value: value.to_owned() },
            None => Self::Host(HostName::new(text)?),
        })
    }
}

impl TryFrom<String> for Which {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Which> for String {
    fn from(which: Which) -> String {
        which.to_string()
    }
}

/// What a host has as the value of a label.
#[must_use]
pub fn label_of<'a>(fleet: &'a Fleet, host: &HostName, label: &str) -> Option<&'a String> {
    fleet.hosts.get(host).and_then(|host| host.facts.labels.get(label))
}

/// Why an order of hosts makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// It names nothing of this maintenance.
    #[error(
        "no host of this maintenance is meant by {which}; write a host's name, or label=value of a label that one has"
    )]
    Nothing {
        /// As it was written.
        which: String,
    },
    /// They wait for each other.
    #[error("these wait for each other, so that none would ever begin: {}; leave one of them out", .hosts.join(" after "))]
    Circle {
        /// In a circle: each after the next.
        hosts: Vec<String>,
    },
}

impl Terms {
    /// Whether nothing that is done in one cluster counts for limits in another.
    #[must_use]
    pub fn limits_end_with_clusters(&self) -> bool {
        self.hosts_at_once.is_none() && self.per.is_empty()
    }

    /// By so many percentage points the use of hosts that are evened out may be off.
    #[must_use]
    pub fn even_within(&self) -> u32 {
        self.within.map_or(WITHIN, NonZeroU32::get)
    }

    /// Whether hosts can be taken in the order that is wished.
    ///
    /// # Errors
    /// A hint means nothing, or hosts wait for each other.
    pub fn check_order(&self, hosts: &BTreeSet<HostName>, fleet: &Fleet) -> Result<(), BadOrder> {
        for which in self.hints.iter().flat_map(|hint| [&hint.hosts, &hint.after]) {
            if !hosts.iter().any(|host| which.is(host, fleet)) {
                return Err(BadOrder::Nothing { which: which.to_string() });
            }
        }
        // Whoever waits for nobody is taken away, until nobody is left or only such as wait for each other.
        let mut left = hosts.clone();
        loop {
            let free: Vec<HostName> =
                left.iter().filter(|host| self.waits_for(host, &left, fleet).is_none()).cloned().collect();
            if free.is_empty() {
                break;
            }
            left.retain(|host| !free.contains(host));
        }
        match self.circle(&left, fleet) {
            Some(hosts) => Err(BadOrder::Circle { hosts }),
            None => Ok(()),
        }
    }

    /// Of hosts that all wait for one of them.
    fn circle(&self, left: &BTreeSet<HostName>, fleet: &Fleet) -> Option<Vec<String>> {
        let mut way: Vec<&HostName> = vec![left.first()?];
        loop {
            let next = self.waits_for(way.last()?, left, fleet)?;
            if let Some(seen) = way.iter().position(|host| *host == next) {
                let circle = way[seen..].iter().copied().chain([next]);
                return Some(circle.map(ToString::to_string).collect());
            }
            way.push(next);
        }
    }

    /// One of `unfinished` that a host has to wait for, by the order that is wished.
    #[must_use]
    pub fn waits_for<'a>(
        &self,
        host: &HostName,
        unfinished: &'a BTreeSet<HostName>,
        fleet: &Fleet,
    ) -> Option<&'a HostName> {
        let mine = self.hints.iter().filter(|hint| hint.hosts.is(host, fleet));
        mine.flat_map(|hint| unfinished.iter().filter(|other| hint.after.is(other, fleet))).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Sample, host_name};

    fn fleet() -> Fleet {
        let racked = |sample: Sample, (name, rack): (&str, &str)| {
            sample.host(name, |host| drop(host.facts.labels.insert("rack".to_owned(), rack.to_owned())))
        };
        [("h1", "r1"), ("h2", "r1"), ("h3", "r2")].into_iter().fold(Sample::new(), racked).fleet()
    }

    fn check(hints: &[(&str, &str)]) -> Result<(), String> {
        let which = |text: &str| text.parse::<Which>().expect("a host or a label");
        let hints = hints.iter().map(|(hosts, after)| Hint { hosts: which(hosts), after: which(after) });
        let terms = Terms { hints: hints.collect(), ..Terms::default() };
        let hosts = ["h1", "h2", "h3"].map(host_name).into();
        terms.check_order(&hosts, &fleet()).map_err(|bad| bad.to_string())
    }

    #[test]
    fn an_order_by_names_and_labels_is_taken() {
        assert_eq!(check(&[("h3", "rack=r1"), ("h2", "h1")]), Ok(()));
    }

    #[test]
    fn hosts_that_wait_for_each_other_are_named() {
        let refused = check(&[("h1", "h3"), ("rack=r2", "h2"), ("h2", "h1")]).expect_err("a circle");
        assert!(refused.contains("h1 after h3 after h2 after h1"), "{refused}");
        let itself = check(&[("rack=r1", "h2")]).expect_err("h2 would wait for itself");
        assert!(itself.contains("h2 after h2"), "{itself}");
    }

    #[test]
    fn an_order_of_hosts_that_are_not_there_is_refused() {
        let refused = check(&[("h1", "rack=r9")]).expect_err("there is no such rack");
        assert!(refused.starts_with("no host of this maintenance is meant by rack=r9"), "{refused}");
    }
}
