//! What live migrations share of links, and the rate that each is given of that.
//!
//! A guest writes while it is sent, so a migration at half the rate sends more: each goes at its full share, or waits.

use super::Conductor;
use super::counted::cluster_of;
use crate::estimate::share_of;
use crate::fleet::Fleet;
use crate::ids::{HostName, MaintenanceId};
use crate::maintenance::label_of;
use crate::migration::Migration;
use crate::policy::{LivePolicy, Policy};

/// Something that several migrations send through, or count as if they did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// All that one maintenance sends.
    Maintenance(MaintenanceId),
    /// All that is sent in one cluster.
    Cluster(Option<String>),
    /// What leaves hosts of one label by their uplink.
    OutOf(Uplink),
    /// What comes to them.
    Into(Uplink),
}

/// Hosts of one cluster with the same value of a label have it in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Uplink {
    cluster: Option<String>,
    label: String,
    value: String,
}

/// A limit on what is sent through a link.
struct Limited {
    link: Link,
    /// Bytes per second.
    most: u64,
    /// In words, with the limit's name.
    told: String,
}

/// By which of a label's uplinks something goes that is sent from one host to another: nothing within one.
fn uplinks(fleet: &Fleet, from: &HostName, to: &HostName, label: &str) -> Vec<Link> {
    let uplink = |host: &HostName| {
        let cluster = cluster_of(fleet, host).map(ToOwned::to_owned);
        let value = label_of(fleet, host, label)?.clone();
        Some(Uplink { cluster, label: label.to_owned(), value })
    };
    let (from, to) = (uplink(from), uplink(to));
    if from == to {
        return Vec::new();
    }
    from.map(Link::OutOf).into_iter().chain(to.map(Link::Into)).collect()
}

/// All that a migration goes through, whether or not that is limited.
pub(super) fn links_of(migration: &Migration, fleet: &Fleet) -> Vec<Link> {
    let Some(to) = migration.to() else { return Vec::new() };
    let labels = |host: &HostName| fleet.hosts.get(host).map(|host| host.facts.labels.keys());
    let mut named: Vec<&String> =
        [labels(&migration.from), labels(to)].into_iter().flatten().flatten().collect();
    named.sort_unstable();
    named.dedup();
    let cluster = cluster_of(fleet, &migration.from).map(ToOwned::to_owned);
    let general = migration.maintenance.map(Link::Maintenance).into_iter().chain([Link::Cluster(cluster)]);
    general.chain(named.into_iter().flat_map(|label| uplinks(fleet, &migration.from, to, label))).collect()
}

impl Conductor<'_> {
    /// The rate that a live migration is to keep to, because of what it shares; nothing where nothing of that is limited.
    pub(super) fn rate_for(&self, migration: &Migration, policy: &Policy, to: &HostName) -> Option<u64> {
        rate(&policy.live, &self.limited(migration, policy, to))
    }

    /// Which link has not enough left for one more.
    pub(super) fn link_full(&self, migration: &Migration, policy: &Policy, to: &HostName) -> Option<String> {
        let limited = self.limited(migration, policy, to);
        let rate = rate(&policy.live, &limited)?;
        limited.into_iter().find_map(|Limited { link, most, told }| {
            let given = self.counted.sent(&link, migration.id);
            let mib = |bytes: u64| bytes >> 20;
            (given.saturating_add(rate) > most)
                .then(|| format!("{} of {} MiB/s are given away {told}", mib(given), mib(most)))
        })
    }

    fn limited(&self, migration: &Migration, policy: &Policy, to: &HostName) -> Vec<Limited> {
        let limits = self.limits(migration, policy);
        let mut limited = Vec::new();
        let own = self.terms_of(migration).and_then(|terms| terms.bandwidth);
        if let (Some(most), Some(id)) = (own, migration.maintenance) {
            let told = "in its maintenance (bandwidth)".to_owned();
            limited.push(Limited { link: Link::Maintenance(id), most: most.get(), told });
        }
        if limits.bandwidth_per_cluster > 0 {
            let cluster = self.cluster_of(&migration.from).map(ToOwned::to_owned);
            let name = cluster.as_deref().unwrap_or("?");
            let told = format!("in cluster {name} (limits.bandwidth_per_cluster)");
            limited.push(Limited { link: Link::Cluster(cluster), most: limits.bandwidth_per_cluster, told });
        }
        for (label, most) in &limits.uplinks {
            let links = uplinks(self.fleet, &migration.from, to, label);
            let told = format!("at an uplink of {label} (uplinks)");
            limited.extend(links.into_iter().map(|link| Limited { link, most: *most, told: told.clone() }));
        }
        limited
    }
}

fn rate(policy: &LivePolicy, limited: &[Limited]) -> Option<u64> {
    limited.iter().map(|limited| share_of(limited.most, policy.full_rate())).min()
}
