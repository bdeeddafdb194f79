//! What a server looks like where it is moved to: as its blueprint says, or, of a revert, as it was before.

use super::{Conductor, Shape};
use crate::attempt::{Method, Moved};
use crate::blueprint::{Blueprint, Boot, Shaped};
use crate::events::Happened;
use crate::fleet::{Ability, Server};
use crate::migration::{Migration, Waiting};

impl Conductor<'_> {
    /// Takes up what the server's blueprint says now. A revert brings back what was, whatever was wished since.
    pub(super) fn shape(&self, mut migration: Migration, server: &Server) -> Migration {
        if migration.reverts().is_some() {
            return migration;
        }
        let blueprint = match migration.method {
            Method::Live => None,
            Method::Reboot => self.blueprints.get(&migration.server),
        };
        let is_so = migration.blueprint() == blueprint;
        if !is_so {
            migration.shaped = blueprint.map(|blueprint| Shaped::of(blueprint, &server.facts));
        }
        migration
    }

    /// What its local disks are to be at the destination. A hypervisor that copies them live leaves them as they are.
    pub(super) fn shape_of_disks(migration: &Migration) -> Option<&Blueprint> {
        match migration.method {
            Method::Live => None,
            Method::Reboot => migration.blueprint(),
        }
    }

    /// What is ordered.
    ///
    /// # Errors
    /// Its host's agent can't do it.
    pub(super) fn shape_ordered(&self, migration: &Migration) -> Result<Shape, Waiting> {
        let Some(blueprint) = migration.blueprint() else { return Ok(Shape::AsItIs) };
        let needed = if blueprint.disks.is_empty() { Ability::Reshape } else { Ability::ReshapeDisks };
        if !self.room.host(&migration.from).is_some_and(|host| host.facts.can(needed)) {
            let limit = format!(
                "the agent of {} is too old to give a server another shape; upgrade it, or clear the server's blueprint",
                migration.from
            );
            return Err(Waiting::Turn { limit });
        }
        let original = migration.reverts().and_then(|of| self.find(of.migration));
        Ok(match original.and_then(|original| original.attempts.last()) {
            Some(attempt) => Shape::Before(attempt.operation),
            None => Shape::Blueprint(blueprint.clone()),
        })
    }

    /// It has arrived. What moved it by other means knew nothing of its blueprint, which waits for the next launch then.
    pub(super) fn has_been_shaped(&mut self, migration: &Migration, moved: &Moved) {
        let Some(blueprint) = migration.blueprint().filter(|_| moved.power_off.is_some()) else { return };
        if migration.reverts().is_some() {
            self.say(migration, Happened::ShapedBack);
            return;
        }
        self.say(migration, Happened::Shaped { blueprint: blueprint.to_string() });
        // One that was changed in the meantime is for the next launch.
        if self.blueprints.get(&migration.server) == Some(blueprint) {
            self.changes.blueprints_spent.push(migration.server);
        }
    }
}

/// Whether a server is booted where it is moved to.
pub(super) fn boot(migration: &Migration) -> Boot {
    migration.blueprint().map_or(Boot::Now, |blueprint| blueprint.boot)
}
