//! The time agreed with an owner for a reboot migration.
//!
//! ```text
//! unscheduled ── propose ──▶ proposed ── accept ──▶ accepted ──┐
//!      ▲                      │   │                    │       │
//!      │                      │   └──── reschedule ────┤       │
//!      │                      │                        ▼       │
//!      │                      │                   rescheduled ─┤
//!      │                      └──────────── the slot opens ────┴──▶ running ──▶ done
//!      └── the slot passed, or the attempt was rolled back ◀── missed / running
//! proposed, accepted, rescheduled ── decline, or frozen ──▶ unscheduled ── propose another ──▶ proposed
//! any of them ── start now ──▶ at once        any of them ── emergency ──▶ at once, told afterwards
//! ```
//!
//! Whether an appointment is *due* is not stored: it follows from the slot and the present.

use serde::{Deserialize, Serialize};

use crate::notices::Actor;
use crate::owners::Scope;
use crate::policy::OwnerPolicy;
use crate::time::{Instant, Span};
use crate::windows::Slot;

/// The time agreed, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Appointment {
    /// None yet, or none could be found.
    #[default]
    Unscheduled,
    /// Told to the owner, who may leave it at that.
    Proposed {
        /// When.
        slot: Slot,
    },
    /// The owner agreed.
    Accepted {
        /// When.
        slot: Slot,
        /// Who agreed.
        by: Actor,
    },
    /// Somebody chose another time.
    Rescheduled {
        /// When.
        slot: Slot,
        /// Who chose it.
        by: Actor,
    },
    /// Somebody said: now.
    StartNow {
        /// Since when.
        at: Instant,
        /// Who.
        by: Actor,
    },
    /// The host is in danger: at once, and the owner is told afterwards.
    Emergency {
        /// What endangers it.
        why: String,
    },
    /// It has begun.
    Running {
        /// The slot that it began in; nothing when it began outside of one.
        slot: Option<Slot>,
    },
    /// It is over.
    Done,
}

/// Why an appointment can't be changed as wished. Each says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It runs, or is over.
    #[error("the migration has already begun, so its time can't be changed any more")]
    AlreadyBegun,
    /// There is nothing to agree to.
    #[error("no time is proposed at present; choose one with reschedule, or start it now")]
    NothingProposed,
    /// Too late to change it.
    #[error(
        "it begins at {start}, and is not moved within {fixed_before} of that; wait for its end, or start it now"
    )]
    TooClose {
        /// Its beginning.
        start: Instant,
        /// The policy.
        fixed_before: Span,
    },
    /// The new time is too soon.
    #[error("{wished} is too soon: choose {earliest} or later, or start it now")]
    TooSoon {
        /// The refused time.
        wished: Instant,
        /// The first that would do.
        earliest: Instant,
    },
    /// The new time is too late.
    #[error("{wished} is too late: it must be over by {deadline}, so choose {latest} or earlier")]
    AfterDeadline {
        /// The refused time.
        wished: Instant,
        /// The hard deadline.
        deadline: Instant,
        /// The last beginning that would do.
        latest: Instant,
    },
    /// Nothing happens then.
    #[error("{wished} is on a day on which nothing is done ({name}); free are {}", list(.free))]
    Excluded {
        /// The refused time.
        wished: Instant,
        /// What the freeze is called.
        name: String,
        /// The next free ones.
        free: Vec<Instant>,
    },
    /// Too many of the owner's own then.
    #[error(
        "{wished} has no room: no more than {most} of the owner's servers are rebooted at once ({among}), and as many are then; free are {}",
        list(.free)
    )]
    Limit {
        /// The refused time.
        wished: Instant,
        /// How many at once.
        most: u32,
        /// Among which.
        among: Scope,
        /// The next free ones.
        free: Vec<Instant>,
    },
    /// It is declined as close to its beginning as it may be changed at all, or closer.
    #[error(
        "it begins at {start}, and is not declined within {fixed_before} of that; wait for its end, or start it now"
    )]
    TooCloseToDecline {
        /// Its beginning.
        start: Instant,
        /// The policy.
        fixed_before: Span,
    },
    /// There is nothing to decline.
    #[error(
        "no time is proposed at present, so there is none to decline; choose one with reschedule, or start it now"
    )]
    NothingToDecline,
    /// What is proposed is what is left.
    #[error(
        "{start} is what is left before the deadline, {deadline}, for no time fits the windows; choose another with reschedule (free are {}), or start it now",
        list(.free)
    )]
    LastTime {
        /// The time that was proposed.
        start: Instant,
        /// The hard deadline.
        deadline: Instant,
        /// The next free ones.
        free: Vec<Instant>,
    },
    /// Others have that time.
    #[error("{wished} is taken: the hosts are busy with other migrations then; free are {}", list(.free))]
    Taken {
        /// The refused time.
        wished: Instant,
        /// The next free ones.
        free: Vec<Instant>,
    },
}

fn list(times: &[Instant]) -> String {
    if times.is_empty() {
        return "none before the deadline".to_owned();
    }
    times.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Appointment {
    /// The slot that is agreed, as long as it lies ahead or runs.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Proposed { slot } | Self::Accepted { slot, .. } | Self::Rescheduled { slot, .. } => {
                Some(*slot)
            }
            Self::Running { slot } => *slot,
            Self::Unscheduled | Self::StartNow { .. } | Self::Emergency { .. } | Self::Done => None,
        }
    }

    /// Whether the migration may begin at this moment.
    #[must_use]
    pub fn may_begin(&self, now: Instant, downtime: Span) -> MayBegin {
        match self {
            Self::StartNow { .. } | Self::Emergency { .. } => MayBegin::Now,
            Self::Proposed { slot } | Self::Accepted { slot, .. } | Self::Rescheduled { slot, .. } => {
                if now < slot.start {
                    MayBegin::NotBefore(slot.start)
                } else if now + downtime.delta() <= slot.end {
                    MayBegin::Now
                } else {
                    MayBegin::Missed(*slot)
                }
            }
            Self::Unscheduled | Self::Running { .. } | Self::Done => MayBegin::NotAgreed,
        }
    }

    /// The owner agrees to the proposed time. Agreeing twice is agreeing.
    ///
    /// # Errors
    /// There is no time to agree to, or it is past changing.
    pub fn accept(self, by: Actor) -> Result<Self, Refusal> {
        match self {
            Self::Proposed { slot } => Ok(Self::Accepted { slot, by }),
            Self::Accepted { .. } | Self::Rescheduled { .. } => Ok(self),
            Self::Unscheduled => Err(Refusal::NothingProposed),
            Self::StartNow { .. } | Self::Emergency { .. } | Self::Running { .. } | Self::Done => {
                Err(Refusal::AlreadyBegun)
            }
        }
    }

    /// The owner says: not then. Answers with the time that is given up.
    ///
    /// # Errors
    /// There is no time to give up, it is too close, or it has begun.
    pub fn decline(self, rules: &OwnerPolicy, now: Instant) -> Result<Slot, Refusal> {
        match self {
            Self::Proposed { slot } | Self::Accepted { slot, .. } | Self::Rescheduled { slot, .. } => {
                if slot.start - now <= rules.fixed_before.delta() {
                    return Err(Refusal::TooCloseToDecline {
                        start: slot.start,
                        fixed_before: rules.fixed_before,
                    });
                }
                Ok(slot)
            }
            Self::Unscheduled => Err(Refusal::NothingToDecline),
            Self::StartNow { .. } | Self::Emergency { .. } | Self::Running { .. } | Self::Done => {
                Err(Refusal::AlreadyBegun)
            }
        }
    }

    /// Somebody says: now. Saying it twice is saying it.
    ///
    /// # Errors
    /// It has begun.
    pub fn start_now(self, by: Actor, now: Instant) -> Result<Self, Refusal> {
        match self {
            Self::Unscheduled | Self::Proposed { .. } | Self::Accepted { .. } | Self::Rescheduled { .. } => {
                Ok(Self::StartNow { at: now, by })
            }
            Self::StartNow { .. } | Self::Emergency { .. } => Ok(self),
            Self::Running { .. } | Self::Done => Err(Refusal::AlreadyBegun),
        }
    }

    /// Somebody chooses another time. Whether the hosts have room then is the caller's question; everything else is checked here.
    ///
    /// # Errors
    /// A rule of policy is broken, or it has begun.
    pub fn reschedule(self, wish: &Wish<'_>) -> Result<Self, Refusal> {
        match &self {
            Self::Proposed { slot } | Self::Accepted { slot, .. } | Self::Rescheduled { slot, .. } => {
                if slot.start - wish.now <= wish.rules.fixed_before.delta() {
                    return Err(Refusal::TooClose {
                        start: slot.start,
                        fixed_before: wish.rules.fixed_before,
                    });
                }
            }
            Self::Unscheduled => {}
            Self::StartNow { .. } | Self::Emergency { .. } | Self::Running { .. } | Self::Done => {
                return Err(Refusal::AlreadyBegun);
            }
        }
        let earliest = wish.now + wish.rules.reschedule_ahead.delta();
        if wish.slot.start < earliest {
            return Err(Refusal::TooSoon { wished: wish.slot.start, earliest });
        }
        if wish.slot.end > wish.deadline {
            let latest = wish.deadline - (wish.slot.end - wish.slot.start);
            return Err(Refusal::AfterDeadline { wished: wish.slot.start, deadline: wish.deadline, latest });
        }
        Ok(Self::Rescheduled { slot: wish.slot, by: wish.by.clone() })
    }
}

/// A wish for another time.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The time wished.
    pub slot: Slot,
    /// Who wishes.
    pub by: Actor,
    /// The hard deadline.
    pub deadline: Instant,
    /// The rules.
    pub rules: &'a OwnerPolicy,
    /// The present.
    pub now: Instant,
}

/// Whether a reboot migration may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayBegin {
    /// Yes.
    Now,
    /// Not before this moment.
    NotBefore(Instant),
    /// The slot has passed, or what is left of it is too short.
    Missed(Slot),
    /// Nothing is agreed.
    NotAgreed,
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> Instant {
        Instant::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn slot(start: i64, end: i64) -> Slot {
        Slot { start: at(start), end: at(end) }
    }

    fn owner() -> Actor {
        Actor::Owner { owner: "acme".parse().expect("a name") }
    }

    /// As shipped: 60 minutes ahead, fixed 5 minutes before.
    fn rules() -> OwnerPolicy {
        crate::policy::PolicySet::default().general().owners.clone()
    }

    fn wish(rules: &OwnerPolicy, slot: Slot, now: i64) -> Wish<'_> {
        Wish { slot, by: owner(), deadline: at(10_000), rules, now: at(now) }
    }

    #[test]
    fn it_begins_within_its_slot_only_while_the_downtime_still_fits() {
        let appointment = Appointment::Proposed { slot: slot(100, 130) };
        let downtime = Span::minutes(10);
        assert_eq!(appointment.may_begin(at(99), downtime), MayBegin::NotBefore(at(100)));
        assert_eq!(appointment.may_begin(at(100), downtime), MayBegin::Now);
        assert_eq!(appointment.may_begin(at(120), downtime), MayBegin::Now);
        assert_eq!(appointment.may_begin(at(121), downtime), MayBegin::Missed(slot(100, 130)));
    }

    #[test]
    fn a_new_time_must_be_an_hour_ahead_and_before_the_deadline() {
        let rules = rules();
        let proposed = Appointment::Proposed { slot: slot(600, 630) };
        assert_eq!(
            proposed.clone().reschedule(&wish(&rules, slot(59, 89), 0)),
            Err(Refusal::TooSoon { wished: at(59), earliest: at(60) })
        );
        assert_eq!(
            proposed.clone().reschedule(&wish(&rules, slot(9_990, 10_020), 0)),
            Err(Refusal::AfterDeadline { wished: at(9_990), deadline: at(10_000), latest: at(9_970) })
        );
        assert_eq!(
            proposed.reschedule(&wish(&rules, slot(700, 730), 0)),
            Ok(Appointment::Rescheduled { slot: slot(700, 730), by: owner() })
        );
    }

    #[test]
    fn a_time_that_is_five_minutes_away_is_not_moved_but_can_be_begun() {
        let rules = rules();
        let proposed = Appointment::Proposed { slot: slot(100, 130) };
        assert!(matches!(
            proposed.clone().reschedule(&wish(&rules, slot(700, 730), 95)),
            Err(Refusal::TooClose { .. })
        ));
        assert!(proposed.start_now(owner(), at(95)).is_ok());
    }

    #[test]
    fn nothing_is_changed_once_it_has_begun() {
        let rules = rules();
        for begun in [Appointment::Running { slot: None }, Appointment::Done] {
            assert_eq!(begun.clone().accept(owner()), Err(Refusal::AlreadyBegun));
            assert_eq!(begun.clone().start_now(owner(), at(0)), Err(Refusal::AlreadyBegun));
            assert_eq!(begun.reschedule(&wish(&rules, slot(700, 730), 0)), Err(Refusal::AlreadyBegun));
        }
    }
}
