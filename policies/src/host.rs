//! Whether servers may be placed on a host.
//!
//! ```text
//! open ── cordon ──▶ cordoned ── drain ──▶ draining ── found empty ──▶ drained
//!   ▲                   │                     │                           │
//!   └──── uncordon ─────┴──── cancel ─────────┴──────── uncordon ─────────┘
//! ```
//!
//! Up or down is another matter: it is observed (the age of a host's facts), never wished.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::MaintenanceId;
use crate::time::Instant;

/// What is wished of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Servers may be placed on it.
    #[default]
    Open,
    /// An operator said that nothing new shall come.
    Cordoned {
        /// Why.
        reason: String,
        /// Since when.
        since: Instant,
    },
    /// A maintenance empties it.
    Draining {
        /// Which.
        maintenance: MaintenanceId,
        /// Since when.
        since: Instant,
    },
    /// Its libvirt confirmed that it is empty.
    Drained {
        /// By which maintenance.
        maintenance: MaintenanceId,
        /// When that was confirmed.
        at: Instant,
    },
}

/// Why a host may not go from one standing to another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another maintenance has it.
    #[error("maintenance {0} already drains this host; follow that one, or cancel it first")]
    DrainedByAnother(MaintenanceId),
    /// Nobody drains it.
    #[error("no maintenance drains this host")]
    NotDraining,
}

impl Standing {
    /// Whether servers may be placed here.
    #[must_use]
    pub fn takes_servers(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Cordoned { .. } | Self::Draining { .. } | Self::Drained { .. } => false,
        }
    }

    /// The maintenance that has this host, if one has.
    #[must_use]
    pub fn maintenance(&self) -> Option<MaintenanceId> {
        match self {
            Self::Draining { maintenance, .. } | Self::Drained { maintenance, .. } => Some(*maintenance),
            Self::Open | Self::Cordoned { .. } => None,
        }
    }

    /// A maintenance begins to empty the host.
    ///
    /// # Errors
    /// Another maintenance has it.
    pub fn drain(self, maintenance: MaintenanceId, now: Instant) -> Result<Self, Refusal> {
        match self.maintenance() {
            Some(other) if other != maintenance => Err(Refusal::DrainedByAnother(other)),
            Some(_) => Ok(self),
            None => Ok(Self::Draining { maintenance, since: now }),
        }
    }

    /// The host's libvirt said that nothing is left on it.
    ///
    /// # Errors
    /// The host isn't drained by this maintenance.
    pub fn confirmed_empty(self, maintenance: MaintenanceId, now: Instant) -> Result<Self, Refusal> {
        match self {
            Self::Draining { maintenance: this, .. } if this == maintenance => {
                Ok(Self::Drained { maintenance, at: now })
            }
            Self::Drained { maintenance: this, .. } if this == maintenance => Ok(self),
            Self::Draining { maintenance: other, .. } | Self::Drained { maintenance: other, .. } => {
                Err(Refusal::DrainedByAnother(other))
            }
            Self::Open | Self::Cordoned { .. } => Err(Refusal::NotDraining),
        }
    }

    /// The maintenance gives the host back (it was cancelled); what others wish of the host stays.
    #[must_use]
    pub fn release(self, maintenance: MaintenanceId) -> Self {
        if self.maintenance() == Some(maintenance) { Self::Open } else { self }
    }

    /// An operator keeps new servers away.
    ///
    /// # Errors
    /// A maintenance has the host: it is kept away from new servers already.
    pub fn cordon(self, reason: String, now: Instant) -> Result<Self, Refusal> {
        match self.maintenance() {
            Some(other) => Err(Refusal::DrainedByAnother(other)),
            None => Ok(Self::Cordoned { reason, since: now }),
        }
    }

    /// An operator opens the host again.
    ///
    /// # Errors
    /// A maintenance is still emptying it.
    pub fn uncordon(self) -> Result<Self, Refusal> {
        match self {
            Self::Draining { maintenance, .. } => Err(Refusal::DrainedByAnother(maintenance)),
            Self::Open | Self::Cordoned { .. } | Self::Drained { .. } => Ok(Self::Open),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Cordoned { .. } => "cordoned",
            Self::Draining { .. } => "draining",
            Self::Drained { .. } => "drained",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: Instant = Instant::UNIX_EPOCH;

    fn maintenance(n: u128) -> MaintenanceId {
        MaintenanceId(Uuid::from_u128(n))
    }

    #[test]
    fn a_second_maintenance_cannot_take_a_host_that_is_draining() {
        let draining = Standing::Open.drain(maintenance(1), NOW).expect("first");
        assert_eq!(draining.clone().drain(maintenance(1), NOW), Ok(draining.clone()));
        assert_eq!(draining.drain(maintenance(2), NOW), Err(Refusal::DrainedByAnother(maintenance(1))));
    }

    #[test]
    fn only_the_draining_maintenance_can_call_a_host_drained() {
        assert_eq!(Standing::Open.confirmed_empty(maintenance(1), NOW), Err(Refusal::NotDraining));
        let draining = Standing::Open.drain(maintenance(1), NOW).expect("drain");
        assert!(draining.clone().confirmed_empty(maintenance(2), NOW).is_err());
        let drained = draining.confirmed_empty(maintenance(1), NOW).expect("confirm");
        assert!(!drained.takes_servers());
        assert_eq!(drained.uncordon(), Ok(Standing::Open));
    }

    #[test]
    fn a_cancelled_maintenance_gives_back_only_its_own_host() {
        let draining = Standing::Open.drain(maintenance(1), NOW).expect("drain");
        assert_eq!(draining.clone().release(maintenance(2)), draining);
        assert_eq!(draining.release(maintenance(1)), Standing::Open);
    }
}
