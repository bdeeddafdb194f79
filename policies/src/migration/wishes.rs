//! What a person may wish of a migration: each wish is granted as a value, or refused with what would help instead.

use super::{Confirmation, Ends, FailedBecause, Migration, State, Waiting};
use crate::appointment::Appointment;
use crate::attempt::{Method, Moved, Phase};
use crate::ids::OperationId;
use crate::notices::{Actor, Wisher};
use crate::time::{Instant, Span};

/// Why a migration can't do what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing runs that could be aborted.
    #[error("nothing of it is running: it is {state}; {instead}")]
    NothingToAbort {
        /// Its state.
        state: &'static str,
        /// What can be done instead.
        instead: &'static str,
    },
    /// The source is fenced: going back would be slower than going on.
    #[error("it is past the point of return ({phase}); it will be at its destination in a moment")]
    PastReturn {
        /// Where it is.
        phase: Phase,
    },
    /// It has not failed.
    #[error("it is {state}, not failed; there is nothing to retry")]
    NotFailed {
        /// Its state.
        state: &'static str,
    },
    /// It can't be forced now.
    #[error("{why}")]
    NotForced {
        /// Why, and what would help.
        why: String,
    },
    /// It is over, or not a reboot migration, so there is no time to agree on.
    #[error("it is {state}; only a reboot migration that waits for its time has an appointment")]
    NoAppointment {
        /// Its state.
        state: &'static str,
    },
    /// A maintenance needs it, or it was never asked for.
    #[error("a maintenance needs this move, so it can't be cancelled; choose another time with reschedule")]
    Needed,
    /// Somebody else asked for it.
    #[error(
        "our operators asked for this move, so only they can cancel it; choose another time with reschedule"
    )]
    AskedByOthers,
    /// It can't be taken back any more.
    #[error("it is {state}; what has begun or is over can't be cancelled")]
    NotCancelled {
        /// Its state.
        state: &'static str,
    },
    /// It has not been moved by a reboot.
    #[error("it is {state}; only a reboot migration that is done can be confirmed or reverted")]
    NotDone {
        /// Its state.
        state: &'static str,
    },
    /// It is on its way back.
    #[error("it is being reverted (by migration {by}); cancel that first, as long as it has not begun")]
    BeingReverted {
        /// The number of what reverts it.
        by: u32,
    },
    /// It has gone back.
    #[error(
        "it has been reverted (by migration {by}); to move the server once more, ask for a new migration with migrate"
    )]
    WasReverted {
        /// The number of what reverted it.
        by: u32,
    },
    /// Confirmed, or the time for it is over.
    #[error(
        "it was confirmed by {by}, so it can't be reverted any more; the server can be moved again with migrate, to whichever host suits it"
    )]
    WasConfirmed {
        /// By whom; by Drover, when the time was over.
        by: String,
    },
    /// It is closed: confirmed by somebody's word, or by itself.
    #[error(
        "it is confirmed, by somebody's word or because the time to revert it was over; the server can be moved again with migrate, to whichever host suits it"
    )]
    IsClosed,
    /// The time to revert it is over.
    #[error(
        "it could be reverted until {until}; the server can be moved again with migrate, to whichever host suits it"
    )]
    TooLate {
        /// Until when.
        until: Instant,
    },
    /// It is a revert itself.
    #[error(
        "it is a revert itself, and that is final; the server can be moved again with migrate, to whichever host suits it"
    )]
    IsRevert,
}

impl Refusal {
    /// A stable word for programs, and for those who say it in other languages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingToAbort { .. } => "nothing_to_abort",
            Self::PastReturn { .. } => "past_return",
            Self::NotFailed { .. } => "not_failed",
            Self::NotForced { .. } => "not_forced",
            Self::NoAppointment { .. } => "no_appointment",
            Self::Needed => "needed",
            Self::AskedByOthers => "asked_by_others",
            Self::NotCancelled { .. } => "not_cancelled",
            Self::NotDone { .. } => "not_done",
            Self::BeingReverted { .. } => "being_reverted",
            Self::WasReverted { .. } => "was_reverted",
            Self::WasConfirmed { .. } => "was_confirmed",
            Self::IsClosed => "is_closed",
            Self::TooLate { .. } => "too_late",
            Self::IsRevert => "is_revert",
        }
    }
}

/// What a confirmation comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Confirmed {
    /// It is confirmed now.
    Now(Box<Migration>),
    /// It was so already.
    Already,
}

/// A migration that may be reverted.
#[derive(Debug, Clone, PartialEq)]
pub struct Revertible {
    /// When it was completed.
    pub completed_at: Instant,
    /// What the move cost.
    pub moved: Moved,
    /// Until when it may.
    pub until: Instant,
}

/// What an operator's force comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Forced {
    /// The running live migration may stand still for as long as a reboot would take, and so comes to its end.
    AllowDowntime(OperationId, Span),
    /// It is tried again at once.
    Now(Box<Migration>),
}

impl Migration {
    /// The order that an abort stops.
    ///
    /// # Errors
    /// Nothing runs, or it is past the point of return.
    pub fn abort(&self) -> Result<OperationId, Refusal> {
        match &self.state {
            State::Preflight { operation } | State::Transferring { operation, .. } => Ok(*operation),
            State::CuttingOver { operation, phase } => match phase {
                Phase::Preflight | Phase::Armed | Phase::FinalDelta | Phase::PowerOffSource => Ok(*operation),
                Phase::Transferring
                | Phase::GuestFixes
                | Phase::Finalize
                | Phase::BootTarget
                | Phase::Verifying
                | Phase::RollingBack
                | Phase::InDoubt => Err(Refusal::PastReturn { phase: *phase }),
            },
            State::Verifying { .. } => Err(Refusal::PastReturn { phase: Phase::Verifying }),
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => {
                Err(Refusal::NothingToAbort { state: self.state.name(), instead: self.instead_of_abort() })
            }
        }
    }

    /// What whoever wants to abort may do where nothing runs.
    fn instead_of_abort(&self) -> &'static str {
        if self.is_drill() && self.is_open() {
            return "nothing is done in a drill; cancel it to end it";
        }
        match &self.state {
            State::Failed { .. } => {
                "`drover migrations retry` begins it anew, and cancelling its maintenance gives it up"
            }
            State::Preparing { .. } | State::Ready { .. } => "reschedule it, or cancel its maintenance",
            State::Pending { .. } | State::RolledBack { .. } => "pause or cancel its maintenance",
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => "there is nothing left to stop",
        }
    }

    /// Begins a failed migration anew: with its tries forgotten, or, where the server has left already, by looking at it again.
    ///
    /// # Errors
    /// It has not failed.
    pub fn retry(mut self) -> Result<Self, Refusal> {
        match &self.state {
            State::Failed {
                why:
                    FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. } | FailedBecause::LeftOff { .. },
                ..
            } => {
                self.attempts.clear();
                // What somebody asked for is a reboot; nothing else has to be found anew about it.
                if self.asked().is_none() {
                    self.why_not_live = None;
                    self.method = Method::Live;
                }
                self.appointment = Appointment::Unscheduled;
                self.state = State::Pending { waits_for: Waiting::Nothing };
                Ok(self)
            }
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NotFailed { state: self.state.name() }),
        }
    }

    /// Brings a live migration to its end, or ends a wait that needs nobody's consent.
    ///
    /// # Errors
    /// What it waits for is an owner, or something that force doesn't help with.
    pub fn force(mut self, downtime: Span) -> Result<Forced, Refusal> {
        let refusal = |why: &str| Err(Refusal::NotForced { why: why.to_owned() });
        match &self.state {
            State::Transferring { operation, .. } => Ok(Forced::AllowDowntime(*operation, downtime)),
            State::Pending { waits_for: Waiting::BackOff { .. } } => {
                self.state = State::Pending { waits_for: Waiting::Nothing };
                Ok(Forced::Now(Box::new(self)))
            }
            State::Preparing { .. } | State::Ready { .. } => refusal(
                "it waits for the time agreed with its owner; a window is broken only in an emergency: \
                 `drover maintenance emergency`, or `drover migrate-now` with the owner's consent",
            ),
            State::Failed { .. } => self.retry().map(|this| Forced::Now(Box::new(this))),
            State::Pending { waits_for } => {
                Err(Refusal::NotForced { why: format!("force does not help with {waits_for}") })
            }
            State::Preflight { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NotForced {
                why: format!("it is {}; there is nothing to force", self.state.name()),
            }),
        }
    }

    /// Whether there is an appointment that can be talked about.
    ///
    /// # Errors
    /// There is none.
    pub fn has_appointment(&self) -> Result<(), Refusal> {
        match self.state {
            State::Preparing { .. } | State::Ready { .. } => Ok(()),
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverting { .. }
            | State::Reverted { .. }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NoAppointment { state: self.state.name() }),
        }
    }

    /// Whether it can be started now: it waits for its time, here or at its agent.
    ///
    /// # Errors
    /// There is nothing that waits.
    pub fn can_be_started(&self) -> Result<(), Refusal> {
        if self.is_armed() { Ok(()) } else { self.has_appointment() }
    }

    /// Takes back what was asked for, before it has begun. Who waits for its end is not looked at here.
    ///
    /// # Errors
    /// A maintenance needs it, somebody else asked for it, or it has begun.
    pub fn cancel(mut self, who: Wisher, now: Instant) -> Result<Self, Refusal> {
        // A drill is its owner's to end, whoever asked for it.
        if !self.is_drill() {
            let asked = match (self.asked(), self.maintenance) {
                (Some(asked), None) => asked,
                (Some(_) | None, Some(_)) | (None, None) => return Err(Refusal::Needed),
            };
            match (who, Wisher::of(&asked.by)) {
                (Wisher::Owner, Wisher::Operators) => return Err(Refusal::AskedByOthers),
                (Wisher::Owner, Wisher::Owner) | (Wisher::Operators, Wisher::Owner | Wisher::Operators) => {}
            }
        }
        match &self.state {
            State::Pending { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::Rehearsing { .. }
            | State::RolledBack { .. }
            | State::Failed {
                why:
                    FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. } | FailedBecause::LeftOff { .. },
                ..
            } => {
                self.appointment = Appointment::Done;
                self.state = State::Cancelled { at: now };
                Ok(self)
            }
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Reverting { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Reverted { .. }
            | State::Failed {
                why: FailedBecause::NotSeenAlive { .. } | FailedBecause::ChecksFailed { .. },
                ..
            }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NotCancelled { state: self.state.name() }),
        }
    }

    /// Somebody says that all is well. Of one that was not seen alive, or on which a
    /// check failed, that is what a person found out.
    ///
    /// # Errors
    /// It is not done, or on its way back.
    pub fn confirm(mut self, by: Actor) -> Result<Confirmed, Refusal> {
        match self.state {
            State::Completed { at, moved, confirmation: Confirmation::Awaited { .. } }
            | State::Failed {
                at,
                why: FailedBecause::NotSeenAlive { moved, .. } | FailedBecause::ChecksFailed { moved, .. },
            } => {
                self.state = State::Completed { at, moved, confirmation: Confirmation::Given { by } };
                Ok(Confirmed::Now(Box::new(self)))
            }
            State::Completed { confirmation: Confirmation::Given { .. }, .. }
            | State::Discarding { then: Ends::Closed, .. }
            | State::Closed { .. } => Ok(Confirmed::Already),
            State::Reverting { by, .. } => Err(Refusal::BeingReverted { by: by.number }),
            State::Discarding { then: Ends::Reverted { by }, .. } | State::Reverted { by, .. } => {
                Err(Refusal::WasReverted { by: by.number })
            }
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::RolledBack { .. }
            | State::Failed {
                why:
                    FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. } | FailedBecause::LeftOff { .. },
                ..
            }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NotDone { state: self.state.name() }),
        }
    }

    /// Whether it may be reverted now. Whether its old host can take it is another question.
    ///
    /// # Errors
    /// It is not done, confirmed, on its way back, or a revert itself.
    pub fn revertible(&self, confirm_within: Span, now: Instant) -> Result<Revertible, Refusal> {
        let (completed_at, moved, told) = match &self.state {
            State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::Failed { .. }
                if self.reverts().is_some() =>
            {
                return Err(Refusal::IsRevert);
            }
            State::Completed { at, moved, confirmation: Confirmation::Awaited { until } } => {
                (at, moved, *until)
            }
            State::Failed {
                at,
                why: FailedBecause::NotSeenAlive { moved, .. } | FailedBecause::ChecksFailed { moved, .. },
            } => (at, moved, None),
            State::Completed { confirmation: Confirmation::Given { by }, .. } => {
                return Err(Refusal::WasConfirmed { by: by.to_string() });
            }
            State::Discarding { then: Ends::Closed, .. } | State::Closed { .. } => {
                return Err(Refusal::IsClosed);
            }
            State::Reverting { by, .. } => return Err(Refusal::BeingReverted { by: by.number }),
            State::Discarding { then: Ends::Reverted { by }, .. } | State::Reverted { by, .. } => {
                return Err(Refusal::WasReverted { by: by.number });
            }
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Preparing { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::RolledBack { .. }
            | State::Failed {
                why:
                    FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. } | FailedBecause::LeftOff { .. },
                ..
            }
            | State::Rehearsing { .. }
            | State::Rehearsed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => return Err(Refusal::NotDone { state: self.state.name() }),
        };
        let until = told.unwrap_or(*completed_at + confirm_within.delta());
        if now > until {
            return Err(Refusal::TooLate { until });
        }
        Ok(Revertible { completed_at: *completed_at, moved: moved.clone(), until })
    }
}
