//! What a plan was made of in a number: whether it has changed is asked in every look, and costs one pass over the fleet.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashSet;

use super::super::Conductor;
use super::Line;
use crate::fleet::{Host, at};
use crate::host::Standing;
use crate::ids::HostName;
use crate::maintenance::{Maintenance, Seen};

impl Conductor<'_> {
    /// What waves are made of. Where servers are is no part of it: that they move is what the plan is for.
    pub(super) fn seen(&self, maintenance: &Maintenance) -> Seen {
        let unusable =
            self.fleet.hosts.iter().filter(|(name, host)| self.is_unusable(maintenance, name, host));
        let unusable: BTreeSet<HostName> = unusable.map(|(name, _)| name.clone()).collect();
        let mut digest = DefaultHasher::new();
        unusable.hash(&mut digest);
        for (name, host) in &self.fleet.hosts {
            (name, host.facts.memory_bytes, host.facts.cpu_threads, &host.facts.cluster).hash(&mut digest);
            if !host.facts.resources.is_empty() {
                host.facts.resources.hash(&mut digest);
            }
        }
        self.fleet.sightings.digest_of_facts().hash(&mut digest);
        Seen { digest: digest.finish(), servers: self.fleet.sightings.servers(), unusable }
    }

    /// Whether a host can be neither emptied nor used, without this maintenance's own doing: one that is worked on is out of reach for a while.
    fn is_unusable(&self, maintenance: &Maintenance, name: &HostName, host: &Host) -> bool {
        let silent = self.tells_nothing(host);
        if !silent && !matches!(host.standing, Standing::Cordoned { .. }) {
            return false;
        }
        match maintenance.hosts.get(name) {
            Some(stage) if stage.is_over(maintenance.kind()) => silent,
            Some(stage) if stage.is_in_work(maintenance.kind()) => false,
            Some(_) | None => true,
        }
    }

    /// The same for hosts that are evened out: for these it counts where every server is.
    pub(super) fn picture_of(&self, maintenance: &Maintenance) -> u64 {
        let mut digest = DefaultHasher::new();
        self.seen(maintenance).digest.hash(&mut digest);
        self.hash_settled(self.fleet.hosts.keys(), &mut digest);
        digest.finish()
    }

    /// Everything on which it hangs whether one of those in line in a cluster can begin: what waves are made of, who is in line and who is in
    /// work, and where every server of the cluster will be when all has come about that is decided.
    pub(super) fn picture(&self, maintenance: &Maintenance, cluster: &str, line: &Line) -> u64 {
        let hosts = || self.room.hosts_of(cluster).iter().copied();
        let mut digest = DefaultHasher::new();
        maintenance.rolling.waves.seen.digest.hash(&mut digest);
        line.hash(&mut digest);
        self.comes_to_an_end(maintenance, hosts()).hash(&mut digest);
        self.hash_settled(hosts(), &mut digest);
        digest.finish()
    }

    /// Who of these hosts takes servers, and where every server of theirs will be when all has come about that is decided.
    fn hash_settled<'b>(
        &self,
        hosts: impl Iterator<Item = &'b HostName> + Clone,
        digest: &mut DefaultHasher,
    ) {
        let mut places = 0_u64;
        for name in hosts.clone() {
            let Some(host) = self.room.host(name) else { continue };
            let closed = || self.tells_nothing(host) || self.doomed.contains(name);
            let takes = host.standing.takes_servers() && !(host.standing == Standing::Open && closed());
            (name, takes).hash(digest);
            places = places.wrapping_add(self.fleet.sightings.digest_of(name));
        }
        let mut left = HashSet::new();
        for (migration, to) in self.bound_elsewhere(hosts) {
            let (from, server) = (&migration.from, migration.server);
            if self.fleet.seen(from, server).is_none() || !left.insert((from, server)) {
                continue;
            }
            places = places.wrapping_sub(at(from, server));
            if self.fleet.seen(to, server).is_none() {
                places = places.wrapping_add(at(to, server));
            }
        }
        places.hash(digest);
    }
}
