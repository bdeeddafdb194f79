//! Why a server would, or would not, be rebooted at a time that somebody has in mind.

use super::known::Known;
use super::{Conductor, Situation};
use crate::estimate::expected_move;
use crate::fleet::Server;
use crate::migration::{Migration, State};
use crate::owners::{Nearness, Scope, Whose};
use crate::replica::Replica;
use crate::time::Instant;
use crate::windows::{Slot, Slots};

use super::schedule::{Full, slot_length};

/// What stands in the way of a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// It is not in a window.
    #[error("it is outside of {}; an owner may choose it all the same", .from.windows())]
    OutsideWindows {
        /// Of these.
        from: Nearness,
    },
    /// Nothing is done then.
    #[error("nothing is done then: {name} ({})", whose(*.from))]
    Frozen {
        /// What the freeze is called.
        name: String,
        /// Who has set it, and for what.
        from: Nearness,
    },
    /// Too soon to be chosen.
    #[error("it is too soon to be chosen: {earliest} is the earliest")]
    TooSoon {
        /// The earliest that would do.
        earliest: Instant,
    },
    /// Too late.
    #[error("it would not be over by the deadline, {deadline}; {latest} is the latest")]
    AfterDeadline {
        /// The hard deadline.
        deadline: Instant,
        /// The latest that would do.
        latest: Instant,
    },
    /// Others have that time.
    #[error("the hosts are busy with other migrations then")]
    Taken,
    /// Too many of the owner's own then.
    #[error(
        "{most} of the owner's servers have an appointment then, and no more are rebooted at once ({among})"
    )]
    Limit {
        /// How many at once.
        most: u32,
        /// Among which.
        among: Scope,
    },
}

impl Hindrance {
    /// The stable word for it; where a wish for such a time would be refused by a rule, the word of that rule.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutsideWindows { .. } => "outside_windows",
            Self::Frozen { .. } => "excluded",
            Self::TooSoon { .. } => "too_soon",
            Self::AfterDeadline { .. } => "after_deadline",
            Self::Taken => "taken",
            Self::Limit { .. } => "limit",
        }
    }
}

fn whose(from: Nearness) -> &'static str {
    match from {
        Nearness::Server => "a freeze of its owner for this server",
        Nearness::Label => "a freeze of its owner for a label",
        Nearness::Account => "a freeze of its owner for the whole account",
        Nearness::Policy => "by policy",
    }
}

/// Everything that stands in the way of rebooting a server at a time. Where its migration waits for a time, also by its deadline, its hosts and
/// the appointments of the owner's other servers.
#[must_use]
pub fn hindrances(situation: Situation<'_>, server: &Server, at: Instant) -> Vec<Hindrance> {
    let conductor = Conductor::new(situation);
    let waiting = |migration: &&Known<'_, Migration>| {
        migration.server == server.facts.id
            && matches!(migration.state, State::Preparing { .. } | State::Ready { .. })
    };
    let migration = conductor.migrations.iter().find(waiting);
    conductor.hindrances(server, migration.map(|known| &**known), at)
}

impl Conductor<'_> {
    fn hindrances(&self, server: &Server, migration: Option<&Migration>, at: Instant) -> Vec<Hindrance> {
        let effective = self.policies.shared_of(server, self.fleet);
        let policy = &effective.policy;
        let whose = Whose::server(server);
        let history = self.history.get(&server.facts.id).map_or(&[][..], Vec::as_slice);
        let known = migration.and_then(|migration| self.replica_for(migration)).and_then(Replica::seen);
        let expected = expected_move(&server.facts, policy, history, known);
        let slot = Slot::from_start(at, slot_length(policy, &expected));
        let mut found = Vec::new();
        let earliest = self.now + policy.owners.reschedule_ahead.delta();
        if at < earliest {
            found.push(Hindrance::TooSoon { earliest });
        }
        let (open, from) = self.owners.windows_in(&whose, policy, slot);
        if !Slots::from(open).covers(slot) {
            found.push(Hindrance::OutsideWindows { from });
        }
        let frozen = self.owners.frozen(&whose, policy, slot);
        found.extend(
            frozen.iter().map(|freeze| Hindrance::Frozen { name: freeze.name.to_owned(), from: freeze.from }),
        );
        let Some(migration) = migration else { return found };
        if slot.end > migration.deadline {
            let latest = migration.deadline - (slot.end - slot.start);
            found.push(Hindrance::AfterDeadline { deadline: migration.deadline, latest });
        }
        match self.room_for(migration, policy, slot) {
            Ok(()) => {}
            Err(Full::Hosts) => found.push(Hindrance::Taken),
            Err(Full::Owner { most, among, .. }) => found.push(Hindrance::Limit { most, among }),
        }
        found
    }
}
