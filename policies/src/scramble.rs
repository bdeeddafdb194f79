//! A fleet without anybody's names: the same fleet to every planner, and nothing that tells whose it is.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::fleet::{
    Blocker, CertificateDigest, Disk, Fleet, Host, HostFacts, Labels, LocalStorage, Plug, Reach, Replication,
    Resources, SERVERS, Server, ServerFacts,
};
use crate::host::Standing;
use crate::ids::{HookName, HostName, MaintenanceId, OwnerId, ServerId};

/// Replaces every name, label, address, path and id by a number, the same one by the same one, and in the same order: what is decided by the
/// order of names is decided alike.
///
/// Kept are sizes, versions, processors, machine types, times, states, abilities, which directories lie in which and what keeps servers where
/// they are: what planning depends on.
#[must_use]
pub fn scrambled(fleet: &Fleet) -> Fleet {
    let mut names = Names::default();
    // The first time names are only gathered.
    names.fleet(fleet);
    names.number_all();
    names.fleet(fleet)
}

/// What each name becomes, by kind.
#[derive(Default)]
struct Names {
    known: BTreeMap<&'static str, BTreeMap<String, usize>>,
}

impl Names {
    fn fleet(&mut self, fleet: &Fleet) -> Fleet {
        let hosts = fleet.hosts.values().map(|host| {
            let host = self.host(host);
            (host.name.clone(), host)
        });
        let hosts: BTreeMap<HostName, Host> = hosts.collect();
        let sightings = fleet.sightings.iter().map(|(host, servers)| {
            let host = self.host_name(host);
            let servers = servers.values().map(|server| {
                let server = Server {
                    host: host.clone(),
                    facts: self.server(&server.facts),
                    observed_at: server.observed_at,
                };
                (server.facts.id, server)
            });
            (host.clone(), servers.collect())
        });
        Fleet { sightings: sightings.collect(), hosts }
    }

    /// In the order of the names.
    fn number_all(&mut self) {
        for known in self.known.values_mut() {
            known.values_mut().zip(1..).for_each(|(number, next)| *number = next);
        }
    }

    fn number(&mut self, kind: &'static str, name: &str) -> usize {
        *self.known.entry(kind).or_default().entry(name.to_owned()).or_default()
    }

    /// With as many digits as the largest of its kind has, so that words are in the order of the names.
    fn word(&mut self, kind: &'static str, name: &str) -> String {
        let number = self.number(kind, name);
        let digits = self.known.get(kind).map_or(1, |known| known.len().to_string().len());
        format!("{kind}-{number:0digits$}")
    }

    /// Part by part, so that what lies in a directory does so afterwards. What devices and CDs are known by stays.
    fn path(&mut self, path: &str) -> String {
        let parts: Vec<String> = path.split('/').map(|part| self.part(part)).collect();
        parts.join("/")
    }

    fn part(&mut self, part: &str) -> String {
        if matches!(part, "" | "dev") {
            return part.to_owned();
        }
        let word = self.word("part", part);
        match part.rsplit_once('.') {
            Some((_, end)) if end.eq_ignore_ascii_case("iso") => format!("{word}.iso"),
            _ => word,
        }
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

    /// That of which every server takes one keeps its name.
    fn resources(&mut self, resources: &Resources) -> Resources {
        let named = |name: &String| if name == SERVERS { name.clone() } else { self.word("resource", name) };
        resources.keys().map(named).zip(resources.values().copied()).collect()
    }

    fn host(&mut self, host: &Host) -> Host {
        let facts = HostFacts {
            cluster: self.word("cluster", &host.facts.cluster),
            labels: self.labels(&host.facts.labels),
            libvirt_uri: String::new(),
            migration_address: None,
            shared_storage: host.facts.shared_storage.iter().map(|name| self.word("storage", name)).collect(),
            replication: host.facts.replication.as_ref().map(|replication| self.replication(replication)),
            plugs: host.facts.plugs.as_ref().map(|plugs| self.plugs(plugs)),
            boot_id: None,
            hooks: host.facts.hooks.iter().filter_map(|hook| self.hook(hook)).collect(),
            agent: None,
            resources: self.resources(&host.facts.resources),
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
            blockers: facts.blockers.iter().map(|blocker| self.blocker(blocker)).collect(),
            plugs: facts.plugs.as_ref().map(|plugs| self.plugs(plugs)),
            resources: self.resources(&facts.resources),
            ..facts.clone()
        }
    }

    fn disk(&mut self, disk: &Disk) -> Disk {
        let reach = match &disk.reach {
            Reach::Shared { storage } => Reach::Shared { storage: self.word("storage", storage) },
            Reach::Local => Reach::Local,
            Reach::Empty => Reach::Empty,
        };
        // Network storage and volumes have names, not paths.
        let source = match disk.source.as_str() {
            "" => String::new(),
            path if path.starts_with('/') => self.path(path),
            name => self.word("disk", name),
        };
        Disk { source, reach, ..disk.clone() }
    }

    fn replication(&mut self, replication: &Replication) -> Replication {
        let directory = |names: &mut Self, directory: &LocalStorage| LocalStorage {
            path: names.path(&directory.path.to_string_lossy()).into(),
            ..directory.clone()
        };
        Replication {
            address: self.word("address", &replication.address),
            certificate: CertificateDigest(format!(
                "{:064x}",
                self.number("certificate", &replication.certificate.0)
            )),
            directories: replication.directories.iter().map(|one| directory(self, one)).collect(),
        }
    }

    fn plugs(&mut self, plugs: &BTreeSet<Plug>) -> BTreeSet<Plug> {
        plugs.iter().map(|plug| plug.called(&self.word("plug", plug.name()))).collect()
    }

    /// Those that every maintenance knows keep their names.
    fn hook(&mut self, hook: &HookName) -> Option<HookName> {
        let known =
            [HookName::pre(), HookName::maintain(), HookName::health(), HookName::post()].contains(hook);
        if known { Some(hook.clone()) } else { HookName::new(self.word("hook", hook.as_str())).ok() }
    }

    fn blocker(&mut self, blocker: &Blocker) -> Blocker {
        match blocker {
            Blocker::HostDevice { device } => Blocker::HostDevice { device: self.word("device", device) },
            Blocker::SharedFilesystem { tag } => Blocker::SharedFilesystem { tag: self.word("tag", tag) },
            // Of the guest's own disks, which are called the same everywhere.
            Blocker::Snapshots { .. }
            | Blocker::BlockJob { .. }
            | Blocker::UnsafeCache { .. }
            | Blocker::LostByLibvirt => blocker.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::eligibility::suits;
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
                host.facts.hooks = [HookName::new("secret-hook").expect("a name"), HookName::pre()].into();
                host.facts.plugs = Some([Plug::Bridge("secret-bridge".to_owned())].into());
                let directory = |path: &str, gibs| LocalStorage {
                    path: path.into(),
                    total_bytes: gib(500),
                    free_bytes: gib(gibs),
                };
                host.facts.replication = Some(Replication {
                    address: "secret.example:7071".to_owned(),
                    certificate: CertificateDigest("5ec2e7".repeat(11)[..64].to_owned()),
                    // One lies in the other, and has a file system of its own.
                    directories: vec![directory("/srv/secret", 200), directory("/srv/secret/fast", 40)],
                });
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
