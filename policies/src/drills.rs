//! What may be asked of a drill, and what it is at first. [`crate::conduct`] goes on with it.

use serde::{Deserialize, Serialize};

use crate::appointment::Appointment;
use crate::attempt::Method;
use crate::checks::Validation;
use crate::fleet::Server;
use crate::ids::MigrationId;
use crate::migration::{Migration, Purpose, State, Waiting};
use crate::notices::Actor;
use crate::time::{Instant, Span};
use crate::windows::Slot;

/// The farthest ahead that a drill may begin.
pub const FARTHEST: Span = Span::days(30);

/// The shortest that a drill may last: less, and software that asks every minute would not see it.
pub const SHORTEST: Span = Span::minutes(1);

/// The longest that a drill may last.
pub const LONGEST: Span = Span::hours(4);

/// How long a drill lasts unless somebody says otherwise.
pub const USUAL: Span = Span::minutes(5);

/// How many drills an account may have within [`WITHIN`]: each is some mails, and calls to its hooks.
pub const MOST: u64 = 10;

/// See [`MOST`].
pub const WITHIN: Span = Span::hours(24);

/// How long after its proposed time a drill can still be had: that is the deadline that its owner reads.
const ROOM: Span = Span::days(7);

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillWish {
    /// Who.
    pub by: Actor,
    /// It begins in so long.
    pub starts_in: Span,
    /// For so long the server pretends to be off.
    pub duration: Span,
    /// Why, for the ticket.
    pub reason: String,
    /// The present.
    pub now: Instant,
}

/// Why there can be no such drill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Refusal {
    /// Too far ahead.
    #[error("in {given} is too far ahead: a drill begins within {FARTHEST}")]
    TooFar {
        /// What was asked for.
        given: Span,
    },
    /// Too short or too long.
    #[error("{given} is no length for a drill: choose {SHORTEST} to {LONGEST}")]
    Length {
        /// What was asked for.
        given: Span,
    },
    /// Too many.
    #[error(
        "its owner's servers have had {had} drills within {WITHIN}, and {MOST} is the most; ask again later"
    )]
    TooMany {
        /// How many there were.
        had: u64,
    },
    /// One goes on.
    #[error("{number} is a drill of this server already; cancel it, or wait for its end")]
    Another {
        /// Its number.
        number: String,
    },
    /// It is to be moved.
    #[error(
        "this server is to be moved for real ({number}); a drill would only confuse whoever looks after it"
    )]
    ForReal {
        /// The migration's number.
        number: String,
    },
}

/// What is known of the server's owner and of the server.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Every migration of the server that is open, drills included.
    pub open: &'a [Migration],
    /// How many drills the owner's servers had within [`WITHIN`].
    pub had: u64,
}

impl DrillWish {
    /// Whether there may be such a drill now.
    ///
    /// # Errors
    /// Which rule is broken, and what would be accepted.
    pub fn check(&self, known: &Known<'_>) -> Result<(), Refusal> {
        if self.starts_in > FARTHEST {
            return Err(Refusal::TooFar { given: self.starts_in });
        }
        if self.duration < SHORTEST || self.duration > LONGEST {
            return Err(Refusal::Length { given: self.duration });
        }
        if let Some(open) = known.open.first() {
            let number = open.ticket_number();
            return Err(if open.is_drill() {
                Refusal::Another { number }
            } else {
                Refusal::ForReal { number }
            });
        }
        if known.had >= MOST {
            return Err(Refusal::TooMany { had: known.had });
        }
        Ok(())
    }

    /// The drill, as it begins. Its owner is told by the next decision.
    #[must_use]
    pub fn drill(self, id: MigrationId, number: u32, server: &Server) -> Migration {
        let slot = Slot::from_start(self.now + self.starts_in.delta(), self.duration);
        Migration {
            id,
            number,
            maintenance: None,
            purpose: Purpose::Drill { duration: self.duration, by: self.by },
            reason: self.reason,
            server: server.facts.id,
            server_name: server.facts.name.clone(),
            owner: server.facts.owner.clone(),
            from: server.host.clone(),
            place: None,
            place_why: String::new(),
            method: Method::Reboot,
            why_not_live: None,
            state: State::Pending { waits_for: Waiting::Nothing },
            attempts: Vec::new(),
            appointment: Appointment::Proposed { slot },
            agreed_at: Some(self.now),
            declined: Vec::new(),
            ticket: None,
            deadline: slot.end + ROOM.delta(),
            opened_at: self.now,
            validation: Validation::default(),
            shaped: None,
            left_off: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MigrationId;
    use crate::samples::{NOON, Sample, owner_id, server_id};

    fn wish() -> DrillWish {
        DrillWish {
            by: Actor::Owner { owner: owner_id("acme") },
            starts_in: Span::minutes(15),
            duration: USUAL,
            reason: "an exercise".to_owned(),
            now: NOON,
        }
    }

    fn drill() -> Migration {
        let fleet = Sample::new().hosts(&["h1"]).server("h1", "web", |_| {}).fleet();
        let server = fleet.server(server_id(1)).expect("the sample's server");
        wish().drill(MigrationId(uuid::Uuid::from_u128(1)), 1001, server)
    }

    #[test]
    fn a_drill_holds_no_place_and_begins_when_it_was_asked_to() {
        let drill = drill();
        assert!(drill.is_drill() && drill.is_open() && drill.place.is_none() && !drill.is_moving());
        let slot = drill.appointment.slot().expect("a time");
        assert_eq!((slot.start, slot.length()), (NOON + Span::minutes(15).delta(), USUAL));
    }

    #[test]
    fn each_rule_broken_is_refused_with_what_would_be_accepted() {
        let free = Known { open: &[], had: 0 };
        assert_eq!(wish().check(&free), Ok(()));
        let far = DrillWish { starts_in: Span::days(31), ..wish() };
        assert_eq!(far.check(&free), Err(Refusal::TooFar { given: Span::days(31) }));
        for duration in [Span::seconds(59), Span::minutes(241)] {
            let wish = DrillWish { duration, ..wish() };
            assert_eq!(wish.check(&free), Err(Refusal::Length { given: duration }));
        }
        assert_eq!(wish().check(&Known { had: MOST, ..free }), Err(Refusal::TooMany { had: MOST }));
        let running = [drill()];
        let number = "DR-1001".to_owned();
        assert_eq!(
            wish().check(&Known { open: &running, had: 1 }),
            Err(Refusal::Another { number: number.clone() })
        );
        let real = [Migration { purpose: Purpose::Move, ..drill() }];
        assert_eq!(wish().check(&Known { open: &real, had: 0 }), Err(Refusal::ForReal { number }));
        let said = Refusal::Length { given: Span::seconds(1) }.to_string();
        assert_eq!(said, "1s is no length for a drill: choose 1m to 4h");
    }
}
