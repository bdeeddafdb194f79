//! An order that waits for its time at the agent.
//!
//! It is given a little ahead, while its owner can't move the time any more, so that what was agreed begins on the dot however much
//! begins then, and also when the scheduler is down. Until the agent says that it has begun, nothing has: there is no try, nobody is told,
//! and it can be called off.

use super::{Conductor, Go, NewWish};
use crate::appointment::{Appointment, MayBegin};
use crate::attempt::{Failure, FailureClass, Outcome, Phase, Report};
use crate::events::Happened;
use crate::ids::OperationId;
use crate::migration::{FailedBecause, Migration, State, Waiting};
use crate::notices::Tells;
use crate::policy::Policy;
use crate::time::{Instant, Span};
use crate::windows::Slot;

/// Enough for the scheduler to give ten thousand orders, and for their agents to look at both hosts.
const AHEAD: Span = Span::seconds(30);

/// How long before its time an order is given. Never while its owner may still move that time.
pub(super) fn ahead(policy: &Policy) -> Span {
    AHEAD.min(policy.owners.fixed_before)
}

/// When what was agreed may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// Not earlier.
    pub not_before: Instant,
    /// Not later: else the expected downtime would not fit.
    pub not_after: Instant,
}

impl Within {
    /// Of a slot; nothing when it is too short for the downtime.
    pub(super) fn of(slot: Slot, downtime: Span) -> Option<Self> {
        let not_after = slot.end - downtime.delta();
        (slot.start <= not_after).then_some(Self { not_before: slot.start, not_after })
    }
}

impl Conductor<'_> {
    pub(super) fn armed(&mut self, migration: Migration, operation: OperationId) -> Migration {
        match self.reports.get(&operation).cloned() {
            None => self.keep_armed(migration, operation),
            Some(Report::Running(progress)) if matches!(progress.phase, Phase::Preflight | Phase::Armed) => {
                self.keep_armed(migration, operation)
            }
            Some(Report::Ended {
                outcome: Outcome::StayedAtSource { failure, left_off: Some(was) }, ..
            }) => {
                let migration = self.has_begun(migration, operation);
                self.left_off(migration, operation, failure, was)
            }
            Some(
                Report::Ended { outcome: Outcome::StayedAtSource { failure, .. }, .. }
                | Report::Refused(failure),
            ) => {
                if failure.class == FailureClass::NotBegun {
                    self.not_begun(migration, operation)
                } else if migration.appointment.slot().is_some_and(|slot| self.now < slot.start) {
                    // The look ahead has shown that it would not go well.
                    self.stayed(migration, operation, failure)
                } else {
                    let migration = self.has_begun(migration, operation);
                    self.stayed(migration, operation, failure)
                }
            }
            Some(Report::Ended { outcome: Outcome::Gone, .. }) => self.gone(migration, operation),
            Some(
                Report::Running(_)
                | Report::Ended { outcome: Outcome::Moved(_), .. }
                | Report::Alive { .. }
                | Report::NotAlive(_)
                | Report::Counted { .. }
                | Report::Discarded
                | Report::Held
                | Report::Replicating(_)
                | Report::Stopped
                | Report::Released
                | Report::Importing(_)
                | Report::ImportEnded { .. }
                | Report::Testing(_)
                | Report::RunningHook(_)
                | Report::HookRan(_)
                | Report::Healthy(_)
                | Report::Unhealthy(_)
                | Report::Tested { .. },
            ) => {
                let migration = self.has_begun(migration, operation);
                self.cutting_over(migration)
            }
        }
    }

    /// What has changed since it was ordered is told to the agent, which knows whether it comes in time.
    fn keep_armed(&mut self, mut migration: Migration, operation: OperationId) -> Migration {
        let effective = self.policy_for(&migration);
        let policy = &effective.policy;
        match self.go(&migration) {
            // Its abort has been wished.
            Go::Cancelled => return migration,
            Go::Paused => {
                self.wish(operation, NewWish::Postpone);
                return migration;
            }
            Go::Emergency { why } => migration.appointment = Appointment::Emergency { why },
            Go::Run => {}
        }
        let downtime = self.expected_downtime(&migration, policy);
        let has_slot = migration.appointment.slot().is_some();
        match migration.appointment.may_begin(self.now, downtime) {
            MayBegin::Now if !has_slot => self.wish(operation, NewWish::StartAtOnce),
            MayBegin::Now | MayBegin::Missed(_) => {}
            MayBegin::NotBefore(start) if start - self.now <= ahead(policy).delta() => {}
            // The scheduler's clock was put back, or what was agreed is not agreed any more.
            MayBegin::NotBefore(_) | MayBegin::NotAgreed => self.wish(operation, NewWish::Postpone),
        }
        migration
    }

    /// Nothing was touched, so there was no try.
    fn not_begun(&mut self, mut migration: Migration, operation: OperationId) -> Migration {
        self.changes.ended.push(operation);
        migration.attempts.retain(|attempt| attempt.operation != operation);
        migration.state = State::Ready { waits_for: Waiting::Nothing };
        if self.go(&migration) == Go::Cancelled {
            return self.cancelled(migration);
        }
        if self.wishes.get(&operation) != Some(&NewWish::AbortAsked) {
            return migration;
        }
        let class = FailureClass::Aborted;
        self.say(
            &migration,
            Happened::AttemptFailed {
                method: migration.method,
                failure: Failure { class, text: class.to_string() },
                again_at: None,
            },
        );
        migration.appointment = Appointment::Unscheduled;
        let tells = Tells::RolledBack { why: class.to_string(), downtime: None, slot: None, left_off: false };
        self.tell(&migration, &format!("rolled_back/{operation}"), tells);
        self.give_up(migration, FailedBecause::Aborted)
    }

    /// The agent has begun: now its owner hears of it.
    pub(super) fn has_begun(&mut self, mut migration: Migration, operation: OperationId) -> Migration {
        let effective = self.policy_for(&migration);
        let downtime = self.expected_downtime(&migration, &effective.policy);
        if let Some(attempt) = migration.attempts.iter_mut().find(|attempt| attempt.operation == operation) {
            attempt.began_at = self.now;
        }
        self.say_began(&migration);
        if !matches!(migration.appointment, Appointment::Emergency { .. }) {
            self.tell(&migration, &format!("started/{operation}"), Tells::Started { downtime });
            migration.appointment = Appointment::Running { slot: migration.appointment.slot() };
        }
        migration.state = State::CuttingOver { operation, phase: Phase::Preflight };
        migration
    }
}
