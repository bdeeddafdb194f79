//! What people may wish of a maintenance.

use super::{Maintenance, SkippedBy, Stage, State, Step, Urgency, Wave};
use crate::ids::HostName;
use crate::notices::Actor;
use crate::time::Instant;

/// Why a maintenance can't do what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("maintenance MT-{number} is {state}; start a new one")]
    Over {
        /// Its number.
        number: u32,
        /// How it ended.
        state: State,
    },
    /// Nobody has approved it yet.
    #[error(
        "maintenance MT-{number} is {state} and has not begun; approve it with `drover maintenance approve MT-{number}`"
    )]
    NotBegun {
        /// Its number.
        number: u32,
        /// How it stands.
        state: State,
    },
    /// The order of its hosts is not known yet.
    #[error(
        "maintenance MT-{number} is still being planned; look at its plan with `drover maintenance show MT-{number}`, then approve it"
    )]
    NotPlanned {
        /// Its number.
        number: u32,
    },
    /// Something of it can't be done.
    #[error(
        "maintenance MT-{number} can't be done in whole: {what}; clear that away, or approve what can be done with --anyway"
    )]
    InPart {
        /// Its number.
        number: u32,
        /// What can't.
        what: String,
    },
    /// Nothing of it is urgent.
    #[error(
        "maintenance MT-{number} only evens hosts out, which is never an emergency; drain the hosts that are in danger: drover drain HOST --emergency WHY"
    )]
    NotUrgent {
        /// Its number.
        number: u32,
    },
    /// It has no such host.
    #[error("maintenance MT-{number} has no host {host}; its hosts: drover maintenance show MT-{number}")]
    NoHost {
        /// Its number.
        number: u32,
        /// As it was named.
        host: HostName,
    },
    /// It has not failed.
    #[error("host {host} is {stage}, and only one that has failed can be tried again")]
    NotFailed {
        /// The host.
        host: HostName,
        /// How far it is.
        stage: Stage,
    },
    /// It is too late to leave it out.
    #[error("host {host} is at its {stage} just now; it can be left out when that has ended")]
    AtWork {
        /// The host.
        host: HostName,
        /// How far it is.
        stage: Stage,
    },
    /// It has had its turn.
    #[error("host {host} is {stage} already")]
    HadItsTurn {
        /// The host.
        host: HostName,
        /// How far it is.
        stage: Stage,
    },
}

/// Whether a maintenance is approved that can't be done in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPart {
    /// It is not.
    Refused,
    /// What can be done is done.
    Accepted,
}

impl Maintenance {
    fn open(self) -> Result<Self, Refusal> {
        if self.is_open() { Ok(self) } else { Err(Refusal::Over { number: self.number, state: self.state }) }
    }

    fn begun(self) -> Result<Self, Refusal> {
        match self.state {
            State::Draft | State::Planned => {
                Err(Refusal::NotBegun { number: self.number, state: self.state })
            }
            _ => self.open(),
        }
    }

    /// Lets it begin. Approving twice is approving.
    ///
    /// # Errors
    /// It is over, not planned yet, or can't be done in whole.
    pub fn approve(self, by: Actor, in_part: InPart, now: Instant) -> Result<Self, Refusal> {
        let number = self.number;
        match &self.state {
            State::Draft => Err(Refusal::NotPlanned { number }),
            State::Approved { .. } | State::Running | State::Paused { .. } => Ok(self),
            State::Completed { .. } | State::Failed { .. } | State::Cancelled { .. } => self.open(),
            State::Planned => {
                let waves = &self.rolling.waves.ahead;
                let obstacles: Vec<&Wave> = waves.iter().filter(|wave| wave.because.is_obstacle()).collect();
                if !obstacles.is_empty() && in_part == InPart::Refused {
                    return Err(Refusal::InPart { number, what: in_the_way(&obstacles) });
                }
                Ok(Self { state: State::Approved { at: now, by }, ..self })
            }
        }
    }

    /// Begins nothing new from here on. Pausing twice is pausing.
    ///
    /// # Errors
    /// It is over, or has not begun.
    pub fn pause(self, by: Actor, now: Instant) -> Result<Self, Refusal> {
        let this = self.begun()?;
        match this.state {
            State::Paused { .. } => Ok(this),
            _ => Ok(Self { state: State::Paused { since: now, by }, ..this }),
        }
    }

    /// Goes on, in spite of the hosts that have failed.
    ///
    /// # Errors
    /// It is over, or has not begun.
    pub fn resume(self) -> Result<Self, Refusal> {
        let mut this = self.begun()?;
        this.rolling.borne = this.rolling.borne.max(u32::try_from(this.failed().count()).unwrap_or(u32::MAX));
        this.rolling.halted_at = None;
        match this.state {
            State::Paused { .. } => Ok(Self { state: State::Running, ..this }),
            _ => Ok(this),
        }
    }

    /// Gives up. Cancelling what is cancelled is no error.
    ///
    /// # Errors
    /// It is completed.
    pub fn cancel(self, by: Actor, now: Instant) -> Result<Self, Refusal> {
        match self.state {
            State::Cancelled { .. } => Ok(self),
            _ => Ok(Self { state: State::Cancelled { at: now, by }, ..self.open()? }),
        }
    }

    /// Skips windows and notice from here on, and goes on if it was paused.
    ///
    /// # Errors
    /// It is over, or has not begun.
    pub fn declare_emergency(self, why: String) -> Result<Self, Refusal> {
        if !self.empties() {
            return Err(Refusal::NotUrgent { number: self.number });
        }
        Ok(Self { urgency: Urgency::Emergency { why }, state: State::Running, ..self.begun()? })
    }

    /// Tries a host again that has failed, from the step on in which it did. One that is over because of it goes on.
    ///
    /// # Errors
    /// It has no such host, the host has not failed, or it is completed or cancelled.
    pub fn retry_host(mut self, host: &HostName, now: Instant) -> Result<(Self, Step), Refusal> {
        let number = self.number;
        if !self.is_open() && !matches!(self.state, State::Failed { .. }) {
            return Err(Refusal::Over { number, state: self.state });
        }
        let Some(stage) = self.hosts.get_mut(host) else {
            return Err(Refusal::NoHost { number, host: host.clone() });
        };
        let Stage::Failed { step, attempt, .. } = *stage else {
            return Err(Refusal::NotFailed { host: host.clone(), stage: stage.clone() });
        };
        *stage = Stage::Working { step, operation: None, attempt: attempt + 1, since: now };
        Ok((self.goes_on_again(), step))
    }

    /// Leaves a host out: its servers stay, and it is in service as it was.
    ///
    /// # Errors
    /// It has no such host, the host is over or at work just now, or the maintenance is over.
    pub fn skip_host(mut self, host: &HostName, by: Actor, now: Instant) -> Result<Self, Refusal> {
        let (number, kind) = (self.number, self.kind());
        if !self.is_open() && !matches!(self.state, State::Failed { .. }) {
            return Err(Refusal::Over { number, state: self.state });
        }
        let Some(stage) = self.hosts.get_mut(host) else {
            return Err(Refusal::NoHost { number, host: host.clone() });
        };
        match stage {
            Stage::Working { .. } => Err(Refusal::AtWork { host: host.clone(), stage: stage.clone() }),
            Stage::Skipped { .. } => Ok(self),
            over if over.is_over(kind) => {
                Err(Refusal::HadItsTurn { host: host.clone(), stage: over.clone() })
            }
            _ => {
                *stage = Stage::Skipped { at: now, by: SkippedBy::Actor { by } };
                self.rolling.waves.take(host);
                Ok(self.goes_on_again())
            }
        }
    }

    /// What kept further hosts from beginning may be gone: then it goes on by itself, unless somebody else has paused it.
    fn goes_on_again(mut self) -> Self {
        let halted = self.is_halted();
        if !halted {
            self.rolling.halted_at = None;
        }
        match self.state {
            State::Failed { .. } => Self { state: State::Running, ..self },
            State::Paused { by: Actor::Drover, .. } if !halted => Self { state: State::Running, ..self },
            _ => self,
        }
    }
}

/// So many obstacles are told when a maintenance is to be approved; its plan shows all.
const TOLD: usize = 8;

/// What keeps which hosts from being emptied, and what would help.
fn in_the_way(obstacles: &[&Wave]) -> String {
    let told = obstacles.iter().take(TOLD).map(|Wave { hosts, because, .. }| {
        let hosts = hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
        format!("{hosts}: {because} (what would help: {})", because.would_help(&hosts))
    });
    let mut told: Vec<String> = told.collect();
    let more: usize = obstacles.iter().skip(TOLD).map(|wave| wave.hosts.len()).sum();
    if more > 0 {
        told.push(format!("and {more} more hosts"));
    }
    told.join("; ")
}
