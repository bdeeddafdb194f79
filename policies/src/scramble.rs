//! A fleet without anybody's names: the same fleet to every planner, and nothing that tells whose it is.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::fleet::{Disk, Fleet, Host, HostFacts, Labels, Reach, Server, ServerFacts};
use crate::host::Standing;
use crate::ids::{HostName, OwnerId, ServerId};

/// Replaces every name, label, address and id by a number, the same one by the same one.
///
/// Kept are sizes, versions, processors, machine types, times and states: what planning depends on.
#[must_use]
pub fn scrambled(fleet: &Fleet) -> Fleet {
    let mut names = Names::default();
    let hosts = fleet.hosts.values().map(|host| {
        let host = names.host(host);
        (host.name.clone(), host)
    });
    let hosts: BTreeMap<HostName, Host> = hosts.collect();
    let sightings = fleet.sightings.iter().map(|(host, servers)| {
        let host = names.host_name(host);
        let servers = servers.values().map(|server| {
            let server = Server {
                host: host.clone(),
                facts: names.server(&server.facts),
                observed_at: server.observed_at,
            };
            (server.facts.id, server)
        });
        (host.clone(), servers.collect())
    });
    Fleet { sightings: sightings.collect(), hosts }
}

/// What each name has become, by kind.
#[derive(Default)]
struct Names {
    known: BTreeMap<(&'static str, String), usize>,
    counts: BTreeMap<&'static str, usize>,
}

impl Names {
    fn number(&mut self, kind: &'static str, name: &str) -> usize {
        let count = self.counts.entry(kind).or_default();
        *self.known.entry((kind, name.to_owned())).or_insert_with(|| {
            *count += 1;
            *count
        })
    }

    fn word(&mut self, kind: &'static str, name: &str) -> String {
        format!("{kind}-{}", self.number(kind, name))
    }

    fn host_name(&mut self, host: &HostName) -> HostName {
        let word = self.word("host", host.as_str());
        // Letters, a dash and digits are a name.
        HostName::new(word).unwrap_or_else(|_| host.clone())
    }

    fn labels(&mut self, labels: &Labels) -> Labels {
        labels.iter().map(|(key, value)| (self.word("label", key), self.word("value", value))).collect()
    }

    fn host(&mut self, host: &Host) -> Host {
        let facts = HostFacts {
            cluster: self.word("cluster", &host.facts.cluster),
            labels: self.labels(&host.facts.labels),
            libvirt_uri: String::new(),
            migration_address: None,
            shared_storage: host.facts.shared_storage.iter().map(|name| self.word("storage", name)).collect(),
            replication: None,
            abilities: BTreeSet::new(),
            plugs: None,
            boot_id: None,
            ..host.facts.clone()
        };
        let standing = match &host.standing {
            Standing::Cordoned { since, .. } => {
                Standing::Cordoned { reason: "not told".to_owned(), since: *since }
            }
            Standing::Open | Standing::Draining { .. } | Standing::Drained { .. } => host.standing.clone(),
        };
        Host { name: self.host_name(&host.name), facts, observed_at: host.observed_at, standing }
    }

    fn server(&mut self, facts: &ServerFacts) -> ServerFacts {
        let id = ServerId(Uuid::from_u128(self.number("server", &facts.id.to_string()) as u128));
        let owner =
            facts.owner.as_ref().and_then(|owner| OwnerId::new(self.word("owner", owner.as_str())).ok());
        let groups = |names: &mut Self, groups: &BTreeSet<String>| -> BTreeSet<String> {
            groups.iter().map(|group| names.word("group", group)).collect()
        };
        let mut rules = facts.rules.clone();
        rules.anti_affinity = groups(self, &rules.anti_affinity);
        rules.affinity = groups(self, &rules.affinity);
        ServerFacts {
            id,
            name: self.word("name", &facts.name),
            owner,
            labels: self.labels(&facts.labels),
            rules,
            disks: facts.disks.iter().map(|disk| self.disk(disk)).collect(),
            blockers: Vec::new(),
            plugs: None,
            ..facts.clone()
        }
    }

    fn disk(&mut self, disk: &Disk) -> Disk {
        let reach = match &disk.reach {
            Reach::Shared { storage } => Reach::Shared { storage: self.word("storage", storage) },
            Reach::Local => Reach::Local,
            Reach::Empty => Reach::Empty,
        };
        Disk { source: self.word("disk", &disk.source), reach, ..disk.clone() }
    }
}
