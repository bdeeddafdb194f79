//! What a plan was made of in a number: whether it has changed is asked in every look, and costs one pass over the fleet.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::Conductor;
use crate::fleet::Fleet;
use crate::host::Standing;
use crate::ids::HostName;
use crate::maintenance::{Maintenance, Seen};

impl Conductor<'_> {
    /// What waves are made of. Where servers are is no part of it: that they move is what the plan is for.
    pub(super) fn seen(&self, maintenance: &Maintenance) -> Seen {
        let unusable: BTreeSet<HostName> =
            self.fleet.hosts.keys().filter(|host| self.is_unusable(maintenance, host)).cloned().collect();
        let mut digest = DefaultHasher::new();
        unusable.hash(&mut digest);
        for (name, host) in &self.fleet.hosts {
            (name, host.facts.memory_bytes, host.facts.cpu_threads, &host.facts.cluster).hash(&mut digest);
        }
        for (id, server) in &self.servers {
            let facts = &server.facts;
            (id, facts.memory_bytes, facts.vcpus, facts.blockers.is_empty()).hash(&mut digest);
        }
        Seen { digest: digest.finish(), servers: self.servers.len(), unusable }
    }

    /// Whether a host can be neither emptied nor used, without this maintenance's own doing: one that is worked on is out of reach for a while.
    fn is_unusable(&self, maintenance: &Maintenance, host: &HostName) -> bool {
        let cordoned = || {
            let standing = self.fleet.hosts.get(host).map(|host| &host.standing);
            matches!(standing, Some(Standing::Cordoned { .. }))
        };
        match maintenance.hosts.get(host) {
            Some(stage) if stage.is_over(maintenance.kind()) => self.is_silent(host),
            Some(stage) if stage.is_in_work(maintenance.kind()) => false,
            Some(_) | None => self.is_silent(host) || cordoned(),
        }
    }

    /// The whole picture: what waves are made of, and where every server will be when all has come about that is decided.
    pub(super) fn picture(&self, maintenance: &Maintenance) -> u64 {
        let mut digest = DefaultHasher::new();
        maintenance.rolling.waves.seen.digest.hash(&mut digest);
        digest_of(&self.settled(&self.doomed), &mut digest);
        digest.finish()
    }
}

fn digest_of(fleet: &Fleet, digest: &mut DefaultHasher) {
    for (name, host) in &fleet.hosts {
        (name, host.standing.takes_servers()).hash(digest);
    }
    for (host, servers) in &fleet.sightings {
        host.hash(digest);
        servers.keys().for_each(|server| server.hash(digest));
    }
}
