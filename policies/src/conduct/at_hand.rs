//! Where migrations are found, so that what is asked of one host costs the same however many are open elsewhere.

use hashbrown::HashMap;

use crate::ids::{HostName, MigrationId};
use crate::migration::Migration;

/// By host and by id, the places in the list of all of them. What a migration is found by never changes, and none is ever taken out.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    from: HashMap<HostName, Vec<usize>>,
    by_id: HashMap<MigrationId, usize>,
}

impl AtHand {
    pub(super) fn new<'a>(migrations: impl IntoIterator<Item = &'a Migration>) -> Self {
        let mut at_hand = Self::default();
        for (place, migration) in migrations.into_iter().enumerate() {
            at_hand.add(place, migration);
        }
        at_hand
    }

    pub(super) fn add(&mut self, place: usize, migration: &Migration) {
        match self.from.get_mut(&migration.from) {
            Some(places) => places.push(place),
            None => drop(self.from.insert(migration.from.clone(), vec![place])),
        }
        self.by_id.insert(migration.id, place);
    }

    /// Migrations that leave a host, in the order in which they are served.
    pub(super) fn from(&self, host: &HostName) -> impl Iterator<Item = usize> {
        self.from.get(host).into_iter().flatten().copied()
    }

    pub(super) fn migration(&self, id: MigrationId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }
}
