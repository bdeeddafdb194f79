//! What a person may wish of a migration: each wish is granted as a value, or refused with what would help instead.

use super::{FailedBecause, Migration, State, Waiting};
use crate::appointment::Appointment;
use crate::attempt::{Method, Phase};
use crate::ids::OperationId;
use crate::time::Span;

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
                Phase::Preflight | Phase::PowerOffSource => Ok(*operation),
                Phase::Transferring
                | Phase::Finalize
                | Phase::BootTarget
                | Phase::Verifying
                | Phase::RollingBack
                | Phase::InDoubt => Err(Refusal::PastReturn { phase: *phase }),
            },
            State::Verifying { .. } => Err(Refusal::PastReturn { phase: Phase::Verifying }),
            State::Pending { .. }
            | State::Ready { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
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
        match &self.state {
            State::Failed { .. } => {
                "`drover migrations retry` begins it anew, and cancelling its maintenance gives it up"
            }
            State::Ready { .. } => "reschedule it, or cancel its maintenance",
            State::Pending { .. } | State::RolledBack { .. } => "pause or cancel its maintenance",
            State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
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
            State::Failed { why: FailedBecause::Aborted | FailedBecause::AttemptsUsedUp { .. }, .. } => {
                self.attempts.clear();
                self.why_not_live = None;
                self.method = Method::Live;
                self.appointment = Appointment::Unscheduled;
                self.state = State::Pending { waits_for: Waiting::Nothing };
                Ok(self)
            }
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::Ready { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
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
            State::Ready { .. } => refusal(
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
            State::Ready { .. } => Ok(()),
            State::Pending { .. }
            | State::Preflight { .. }
            | State::Transferring { .. }
            | State::CuttingOver { .. }
            | State::Verifying { .. }
            | State::Succeeded { .. }
            | State::Completed { .. }
            | State::Discarding { .. }
            | State::Closed { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Avoided { .. } => Err(Refusal::NoAppointment { state: self.state.name() }),
        }
    }
}
