//! A fleet without anybody's names: the same fleet to every planner, and nothing that tells whose it is.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::fleet::{Disk, Fleet, Host, HostFacts, Labels, Reach, Server, ServerFacts};
use crate::host::Standing;
use crate::ids::{HostName, MaintenanceId, OwnerId, ServerId};

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

    fn maintenance(&mut self, id: MaintenanceId) -> MaintenanceId {
        MaintenanceId(Uuid::from_u128(self.number("maintenance", &id.to_string()) as u128))
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
            hooks: BTreeSet::new(),
            agent: None,
            ..host.facts.clone()
        };
        let standing = match &host.standing {
            Standing::Cordoned { since, .. } => {
                Standing::Cordoned { reason: "not told".to_owned(), since: *since }
            }
            Standing::Draining { maintenance, since } => {
                Standing::Draining { maintenance: self.maintenance(*maintenance), since: *since }
            }
            Standing::Drained { maintenance, at } => {
                Standing::Drained { maintenance: self.maintenance(*maintenance), at: *at }
            }
            Standing::Open => Standing::Open,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::eligibility::suits;
    use crate::ids::HookName;
    use crate::policy::{PolicySet, Subject};
    use crate::samples::{Sample, gib};
    use crate::time::Instant;

    const MAINTENANCE: Uuid = Uuid::from_u128(0x5ec2_e700_0000_4000_8000_0000_0000_0001);

    /// Everything that somebody could be told by bears the word.
    fn fleet() -> Fleet {
        let draining =
            Standing::Draining { maintenance: MaintenanceId(MAINTENANCE), since: Instant::UNIX_EPOCH };
        let drained = Standing::Drained { maintenance: MaintenanceId(MAINTENANCE), at: Instant::UNIX_EPOCH };
        let named = |standing: Standing| {
            move |host: &mut Host| {
                host.facts.labels.insert("secret-label".to_owned(), "secret-value".to_owned());
                host.facts.libvirt_uri = "qemu+tls://secret/system".to_owned();
                host.facts.migration_address = Some("secret.example".to_owned());
                host.facts.boot_id = Some("secret-boot".to_owned());
                host.facts.hooks = [HookName::new("secret-hook").expect("a name")].into();
                host.standing = standing.clone();
            }
        };
        let cordoned = Standing::Cordoned { reason: "secret reason".to_owned(), since: Instant::UNIX_EPOCH };
        let hosts = Sample::new()
            .host("secret-h1", named(draining))
            .host("secret-h2", named(drained))
            .host("secret-h3", named(cordoned))
            .host("secret-h4", named(Standing::Open));
        let server = |facts: &mut ServerFacts| {
            facts.id = ServerId(Uuid::from_u128(
                MAINTENANCE.as_u128() + facts.name.bytes().map(u128::from).sum::<u128>(),
            ));
            facts.memory_bytes = gib(3);
            facts.owner = OwnerId::new("secret-owner").ok();
            facts.labels.insert("secret-label".to_owned(), "secret-value".to_owned());
            facts.rules.anti_affinity = ["secret-group".to_owned()].into();
            facts.rules.affinity = ["secret-other".to_owned()].into();
        };
        hosts.server("secret-h1", "secret-1", server).server("secret-h4", "secret-2", server).fleet()
    }

    #[test]
    fn nothing_is_left_by_which_anybody_could_be_told() {
        let fleet = fleet();
        let text = serde_json::to_string(&scrambled(&fleet)).expect("a fleet is written");
        assert!(!text.contains("secret"), "{text}");
        let ids = fleet.sightings.values().flat_map(|servers| servers.keys()).map(ToString::to_string);
        let ids: BTreeSet<String> = ids.chain([MAINTENANCE.to_string()]).collect();
        assert_eq!(ids.len(), 3);
        for id in ids {
            assert!(!text.contains(&id), "{id} is still in {text}");
        }
    }

    #[test]
    fn a_planner_sees_the_same_fleet() {
        let before = fleet();
        let after = scrambled(&before);
        let policies = PolicySet::parse(&[]).expect("the shipped policy is right");
        let seen = |fleet: &Fleet| -> Vec<(u64, u32, String)> {
            let servers = fleet.sightings.values().flat_map(|servers| servers.values());
            let mut seen: Vec<_> = servers
                .map(|server| {
                    let policy = policies.effective(&Subject::of(server, fleet));
                    let suits = format!("{:?}", suits(server, fleet, None, &policy.policy));
                    (server.facts.memory_bytes, server.facts.vcpus, suits)
                })
                .collect();
            seen.sort();
            seen
        };
        assert_eq!(seen(&before), seen(&after));
        let standings = |fleet: &Fleet| -> BTreeSet<String> {
            fleet.hosts.values().map(|host| host.standing.to_string()).collect()
        };
        assert_eq!(standings(&before), standings(&after));
    }
}
